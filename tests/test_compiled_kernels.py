"""Both forms of every kernel give the same: forward, backward, and wherever they are told to write."""

import itertools
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import threading
from functools import partial
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import LAYOUTS, geometries

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, MissingExtraError
from tinygrad_conv.kernels import registry, wanted
from tinygrad_conv.kernels.geometry import conv_window, pool_window
from tinygrad_conv.kernels.registry import KERNELS, get
from tinygrad_conv.testing import checks
from tinygrad_conv.testing.draw import Draw
from tinygrad_conv.testing.mutation import matching
from tinygrad_conv.testing.report import GradientError

numba = pytest.importorskip("numba")
from tinygrad_conv.kernels.compiled import update  # noqa: E402  (which needs it)

DTYPES = st.sampled_from((np.float32, np.float64))
NIGHTLY = settings().max_examples >= 1000
slow = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

# ------------------------------------------------------------------------------------------------------------------
# Drawing arguments: Hypothesis draws the structure and a seed, a generator fills in the values

SPECIAL = (0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan)


class Values:
    """Arrays of one dtype, of drawn layouts: ordinary numbers, numbers with many ties, or with infinities and NaN."""

    def __init__(self, draw):
        self.draw, self.dtype = draw, draw(DTYPES)
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        self.kind = draw(st.sampled_from(("normal", "ties", "special")))

    def __call__(self, *shape):
        if self.kind == "normal":
            values = self.rng.standard_normal(shape)
        elif self.kind == "ties":
            values = self.rng.integers(-2, 3, shape).astype(float)
        else:
            values = self.rng.choice(SPECIAL, shape)
        layout = LAYOUTS[self.draw(st.sampled_from(sorted(LAYOUTS)))] if len(shape) > 1 else np.array
        return layout(values.astype(self.dtype))


@st.composite
def poolings(draw):
    c = draw(geometries(pool=True))
    values = Values(draw)
    n, channels = draw(st.sampled_from((0, 1, 2, 3))), draw(st.sampled_from((1, 2, 3, 8, 17, 32)))
    shape = (n, *c.sizes, channels)
    window = pool_window("t", len(c.kernel), shape, c.kernel, c.stride, c.pads, c.dilation, None)
    places = (n, *window.out_sizes, channels)
    return SimpleNamespace(window=window, x=values(*shape), g=values(*places), b=values(channels), c=channels)


def both(name, *args, bound=None, **options):
    """The results of the compiled form, which must be those of the plain one; to the bit, where no bound is given."""
    kernel = get(name)
    assert kernel.takes(*args, **options)
    with np.errstate(all="ignore"):
        plain, compiled = (as_list(form(*args, **options)) for form in (kernel.plain, kernel.compiled))
    compare(plain, compiled, bound)
    out = [used(a) for a in plain]
    given_out = tuple(out) if len(out) > 1 else out[0]
    with tg.use_kernels("compiled"):
        again = as_list(kernel(*args, out=given_out, **options))
    assert all(a is b for a, b in zip(again, out, strict=True))
    compare(compiled, again, None)
    return compiled


def as_list(result):
    return list(result) if isinstance(result, tuple) else [result]


def used(like):
    """Memory that was used before: what is not written shows."""
    return np.full_like(like, 77, order="C", subok=False)


def compare(expected, got, bound):
    for k, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        limit = None if bound is None else bound[k]
        if limit is None:
            np.testing.assert_array_equal(b, a)  # NaN equals NaN here, and 0 equals -0
        else:
            finite = np.isfinite(a) & np.isfinite(limit)
            assert (np.abs(a[finite] - b[finite]) <= limit[finite]).all()
            np.testing.assert_array_equal(b[~finite], a[~finite])


def rounding(terms, dtype, n):
    """What two ways of adding the same n terms, whose magnitudes sum up to `terms`, may differ by."""
    return (n + 2) * np.finfo(dtype).eps * terms


# ------------------------------------------------------------------------------------------------------------------
# Pooling


@slow
@given(poolings())
def test_pooling(c):
    with np.errstate(invalid="ignore"):
        _, argmax = both("max_pool", c.x, c.window)
        both("maxima", c.x, c.window)
        both("pool_scatter", c.g, argmax, c.window)
        for count_include_pad in (False, True):
            for name, x in (("avg_pool", c.x), ("avg_pool_transpose", c.g)):
                terms = get(name).plain(np.abs(x), c.window, count_include_pad)
                both(name, x, c.window, count_include_pad, bound=[rounding(terms, x.dtype, prod(c.window.kernel))])
        if c.x.size:
            sizes = c.x.shape[1:-1]
            both("maxima", c.x, pool_window("t", len(sizes), c.x.shape, sizes, None, 0, 1, None))


@slow
@given(poolings())
def test_bias_relu_max_pool(c):
    y, argmax = both("bias_relu_max_pool", c.x, c.b, c.window)
    dz, db = both("bias_relu_max_pool_grad", c.g, y, argmax, c.window, bound=(None, sum_bound(c.g)))
    with np.errstate(invalid="ignore"):
        z = np.maximum(c.x + c.b, 0)  # one operation after the other
        expected, places = get("max_pool").plain(z, c.window)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(argmax, places)
        back = get("pool_scatter").plain(c.g, argmax, c.window) * (z > 0)
        if np.isfinite(c.g).all():
            np.testing.assert_array_equal(dz, back)
            compare([back.reshape(-1, c.c).sum(0)], [db], [sum_bound(c.g)])


def sum_bound(g):
    """For a sum over all but the last axis."""
    rows = g.reshape(-1, g.shape[-1]) if g.size else np.zeros((0, g.shape[-1]), g.dtype)
    return rounding(np.abs(rows).sum(0), g.dtype, len(rows))


def test_pooling_at_real_sizes(rng):
    x = rng.standard_normal((16, 28, 26, 32)).astype(np.float32)
    for size, stride, padding in ((2, 2, "valid"), (3, 2, "same"), (3, 1, 1)):
        window = pool_window("t", 2, x.shape, size, stride, padding, 1, None)
        y, argmax = both("max_pool", x, window)
        both("pool_scatter", np.sin(y), argmax, window)
        both("avg_pool", x, window, bound=[rounding(np.abs(x).max(), x.dtype, size * size) + 0 * y])
        both("avg_pool_transpose", np.sin(y), window, bound=[rounding(1, x.dtype, size * size) + 0 * x])


def test_large_windows(rng):
    """Side by side, overlapping, over an edge, the whole image; of more cells than are asked one by one, and fewer."""
    for sizes, kernel, stride, pads in (
        ((12, 18), (6, 6), 6, 0),
        ((13, 20), (4, 5), (4, 5), 0),
        ((12, 12), (7, 5), 3, ((3, 2), (2, 0))),
        ((7, 9), (7, 9), 1, 0),
        ((6, 6, 9), (3, 3, 3), 3, 0),
        ((5, 6, 7), (3, 4, 3), (2, 1, 2), 1),
        ((70,), (40,), 15, 20),
    ):
        for channels in (3, 16, 19):
            x = rng.integers(-50, 50, (2, *sizes, channels)).astype(np.float32)
            window = pool_window("t", len(sizes), x.shape, kernel, stride, pads, 1, None)
            y, argmax = both("max_pool", x, window)
            g, b = rng.integers(-5, 5, y.shape).astype(np.float32), rng.integers(-5, 5, channels).astype(np.float32)
            both("pool_scatter", g, argmax, window)
            z, argmax = both("bias_relu_max_pool", x, b, window)
            both("bias_relu_max_pool_grad", g, z, argmax, window)
            n = prod(window.kernel)
            both("avg_pool", x, window, bound=[rounding(50, x.dtype, n) + 0 * y])
            both("avg_pool_transpose", g, window, bound=[rounding(5, x.dtype, n) + 0 * x])


def test_an_argmax_that_is_none_writes_nothing_elsewhere():
    window = pool_window("t", 2, (1, 2, 2, 1), 2, 2, 1, 1, None)
    argmax = np.array([0, 77, 0, 255], np.uint8).reshape(1, 2, 2, 1)  # in the padding, and beyond the window
    g = np.ones((1, 2, 2, 1))
    np.testing.assert_array_equal(get("pool_scatter").compiled(g, argmax, window), np.zeros(g.shape))


# ------------------------------------------------------------------------------------------------------------------
# Convolution


@st.composite
def convolutions(draw):
    c = draw(geometries())
    values = Values(draw)
    groups, c_in, c_out = draw(
        st.sampled_from(
            (
                (1, 1, 1),
                (1, 3, 2),
                (1, 2, 17),
                (1, 5, 40),
                (1, 1, 64),
                (2, 3, 1),
                (2, 1, 9),
                (3, 1, 1),
                (17, 1, 2),
                (1, 20, 112),
            )
        )
    )
    n = draw(st.integers(1, 5))
    x_shape, w_shape = (n, *c.sizes, groups * c_in), (*c.kernel, c_in, groups * c_out)
    c.window = conv_window("t", len(c.kernel), x_shape, w_shape, c.stride, c.pads, c.dilation, groups, None)
    c.x, c.w, c.g = values(*x_shape), np.array(values(*w_shape)), values(n, *c.window.out_sizes, w_shape[-1])
    c.w[~np.isfinite(c.w)] = 2  # zeros of the padding times infinite weights: which form meets which is not promised
    return c


def convolve(c):
    kernel, outs = prod(c.window.kernel), prod(c.window.out_sizes)
    for name, a, b, n in (
        ("conv", c.x, c.w, kernel * c.w.shape[-2]),
        ("conv_input_grad", c.g, c.w, kernel * c.w.shape[-1]),
        ("conv_kernel_grad", c.x, c.g, len(c.x) * outs),
    ):
        with np.errstate(invalid="ignore"):
            terms = get(name).plain(np.abs(a), np.abs(b), c.window)
        yield name, a, b, rounding(terms, a.dtype, n)


@slow
@given(convolutions())
def test_convolution(c):
    for name, a, b, limit in convolve(c):
        with np.errstate(invalid="ignore"):
            both(name, a, b, c.window, bound=[limit])


def test_convolution_at_real_sizes(rng):
    """Several blocks of images, bands of rows, panels of channels, and parts of a kernel."""
    for x_shape, w_shape, stride, padding, groups in (
        ((40, 9, 11, 16), (3, 3, 16, 24), 1, "same", 1),
        ((2, 90, 90, 3), (5, 5, 3, 16), 2, 2, 1),
        ((3, 5, 5, 520), (3, 3, 520, 64), 1, 1, 1),
        ((9, 30, 30, 20), (3, 3, 1, 20), 1, 1, 20),
        ((9, 30, 30, 8), (3, 3, 1, 24), 2, 1, 8),
        ((30, 40, 12), (5, 6, 16), 3, "same", 2),
        ((3, 9, 8, 10, 16), (3, 3, 3, 16, 40), 1, 1, 1),
        ((2, 13, 12, 11, 6), (4, 2, 3, 3, 18), (2, 1, 3), "same", 2),
        ((2, 40, 30, 20, 8), (2, 3, 3, 1, 8), 1, 1, 8),
        ((20, 7, 7, 3), (7, 7, 3, 24), 1, "same", 1),
        ((2, 5000, 2), (3, 2, 8), 1, 1, 1),
    ):
        window = conv_window("t", len(x_shape) - 2, x_shape, w_shape, stride, padding, 1, groups, None)
        x, w = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, w_shape))
        g = rng.standard_normal((len(x), *window.out_sizes, w_shape[-1])).astype(np.float32)
        for name, a, b, limit in convolve(SimpleNamespace(window=window, x=x, w=w, g=g)):
            compiled = get(name).compiled(a, b, window)
            assert (np.abs(compiled - get(name).plain(a.astype(float), b.astype(float), window)) <= limit).all()
            np.testing.assert_array_equal(compiled, get(name).compiled(a, b, window))


def test_arrays_wherever_they_lie(rng):
    """In memory of another kind, in another order, in the middle of something else."""
    x, w, g = (rng.standard_normal(shape) for shape in ((2, 6, 6, 3), (3, 3, 3, 5), (2, 4, 4, 5)))
    window = conv_window("t", 2, x.shape, w.shape, 1, 0, 1, 1, None)

    def in_bytes(a):
        memory = np.zeros(a.nbytes + 8, np.uint8)
        view = np.ndarray(a.shape, a.dtype, memory, 8)
        view[...] = a
        return view

    def in_other_order(a):
        return np.array(a.T, order="F").T

    def amid(a):
        return np.concatenate([np.full_like(a, np.nan)] * 2 + [a])[2 * len(a) :]

    for name, a, b in (("conv", x, w), ("conv_input_grad", g, w), ("conv_kernel_grad", x, g)):
        expected = get(name).compiled(a, b, window)
        for lie in (in_bytes, in_other_order, amid):
            assert lie(a).flags.c_contiguous
            np.testing.assert_array_equal(get(name).compiled(lie(a), lie(b), window), expected)


# ------------------------------------------------------------------------------------------------------------------
# Normalisation


@st.composite
def normalisations(draw):
    values = Values(draw)
    shape = draw(st.sampled_from(((1, 1), (5, 3), (2, 3, 4, 17), (3, 50, 2, 70), (4, 0), (0, 4))))
    x, g, mean, scale = values(*shape), values(*shape), values(shape[-1]), np.abs(values(shape[-1]))
    return SimpleNamespace(x=x + x.dtype.type(draw(st.sampled_from((0, 100)))), g=g, mean=mean, scale=scale)


@slow
@given(normalisations())
def test_normalisation(c):
    with np.errstate(invalid="ignore"):
        (y,) = both("standardize", c.x, c.mean, c.scale)
    if c.x.size and np.isfinite(c.x).all():
        rows = np.abs(c.x.reshape(-1, c.x.shape[-1]))
        mean = 4 * rounding(rows.mean(0), c.x.dtype, len(rows))
        both("moments", c.x, bound=(mean, 4 * rounding(((rows + rows.mean(0)) ** 2).mean(0), c.x.dtype, len(rows))))
    if c.x.size and all(np.isfinite(a).all() for a in (y, c.g, c.scale)):
        most = np.abs(c.g).max() * (2 + np.abs(y).max() ** 2)
        limit = 4 * c.scale * rounding(most, y.dtype, y.size) + 0 * y
        both("standardize_grad", c.g, y, c.scale, bound=[limit])


def test_moments_of_numbers_far_from_zero(rng):
    x = (rng.standard_normal((70_000, 3)) + 1000).astype(np.float32)
    mean, variance = get("moments").compiled(x)
    np.testing.assert_allclose(mean, x.mean(0, dtype=float), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var(0, dtype=float), rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------------
# Optimisers


@st.composite
def updates(draw):
    """The name of an update with its arguments: every combination of running arrays, and of numbers that are 0."""
    values, shape = Values(draw), draw(st.sampled_from(((), (1,), (0,), (5, 3), (40, 33))))
    lr, first, second, decay = (draw(st.sampled_from((0.0, 0.1, 0.9))) for _ in range(4))

    def state(wanted=True):
        return np.array(np.abs(values(*shape)), order="C") if wanted else None

    def maybe():
        return state(draw(st.booleans()))

    name = draw(st.sampled_from(("sgd", "adam", "rmsprop")))
    if name == "sgd":
        rest = (maybe(), lr, first, draw(st.booleans()), decay)
    elif name == "adam":
        rest = (state(), state(), (first, second), (0.3, 0.7), lr, 1e-8, decay, 1 - decay)
    else:
        rest = (state(), maybe(), maybe(), lr, first, 1e-8, second, decay)
    return name, (values(*shape), values(*shape), *rest)


@slow
@given(updates())
def test_updates_are_the_same_to_the_bit(c):
    same_update(*c)


@pytest.mark.parametrize("flags", list(itertools.product((False, True), repeat=4)))
@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_every_kind_of_update_is_the_same_to_the_bit(name, flags):
    """With each running array or without it, each number that may be 0 or 1 so or otherwise."""
    p, g, *running = np.random.default_rng(0).uniform(0.5, 1.5, (5, 40, 3))
    first, second, third, fourth = flags
    decay, rate = 0.3 * third, 0.7 if fourth else 1.0
    if name == "sgd":
        rest = (running[0] if first else None, 0.1, 0.9, second, decay, rate)
    elif name == "adam":
        rest = (*running[:2], (0.9, 0.7), (0.3, 0.6), 0.1, 0.2 if first else 0.0, decay, 0.8 if second else 1.0)
    else:
        moving = running[1] if first else None, running[2] if second else None
        rest = (running[0], *moving, 0.1, 0.8, 0.2, 0.6, decay, 0.3 * fourth, rate)
    same_update(name, (p, g, *rest))


def by_elements(name, p, g, *rest, out=None):
    """The compiled update of p, in place if that is where to write."""
    flat = [None if a is None else np.ascontiguousarray(a).reshape(-1) for a in (p, g, *rest[: STATE[name]])]
    p = p.copy() if out is None else out
    flat[0] = p.reshape(-1)
    numbers = tuple(map(p.dtype.type, update.NUMBERS[name](*rest[STATE[name] :])))
    if name == "sgd":
        update.sgd_elements(*flat, numbers[:4], rest[3], numbers[2] != 0)
    elif name == "adam":
        update.adam_elements(*flat, numbers, numbers[7] != 0)
    else:
        update.rmsprop_elements(*flat, numbers, numbers[5] != 0)
    return p


STATE = {"sgd": 1, "adam": 2, "rmsprop": 3}  # how many running arrays


def same_update(name, arguments):
    results = []
    for form in (get(name).plain, partial(by_elements, name)):
        given_arguments = copied(arguments)
        with np.errstate(all="ignore"):
            new = form(*given_arguments)
            again = copied(arguments)
            p = np.array(again[0], order="C")
            assert form(p, *again[1:], out=p) is p  # in place
        compare(arguments[:2], given_arguments[:2], None)  # only what is running changes
        compare([new], [p], None)
        results.append([new, *(a for a in given_arguments if isinstance(a, np.ndarray))])
    compare(*results, None)


def copied(arguments):
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: tg.optim.SGD(p, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda p: tg.optim.AdamW(p),
        lambda p: tg.optim.RMSprop(p, momentum=0.9, centered=True),
    ],
)
def test_training_is_the_same_to_the_bit(make, rng):
    start, gradients = rng.standard_normal((200, 100)), rng.standard_normal((5, 200, 100)).astype(np.float32)
    ends = []
    for choice in ("plain", "auto"):
        w = tg.nn.Parameter(start.astype(np.float32))
        optimizer = make([w])

        @tg.compile
        def step(g, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            (w * g).sum().backward()
            optimizer.step()

        with tg.use_kernels(choice):
            for g in gradients:
                step(g)
        assert len(step.plan.updates) == (choice == "auto")
        ends.append(w.numpy())
    np.testing.assert_array_equal(*ends)


# ------------------------------------------------------------------------------------------------------------------
# The property: every primitive that has compiled kernels


def test_every_compiled_form_is_compared_here():
    """By its name, given to `both` or to a list of names."""
    here = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert not [kernel.name for kernel in KERNELS.values() if kernel.module and f'"{kernel.name}"' not in here]


@pytest.mark.parametrize(
    "name", ["conv", "conv_kernel_gradient", "conv_transpose", "pool_max", "pool_mean", "_standardize"]
)
def test_the_property_holds(name):
    (primitive,) = matching(name)
    found = [
        checks.run(checks.primitive_case(primitive, Draw.seeded(seed)), ["compiled_vs_plain"])["compiled_vs_plain"]
        for seed in range(20)
    ]
    assert "holds" in found
    assert set(found) <= {"holds", "it has no compiled kernels"}  # three axes, or others


def test_a_wrong_compiled_kernel_is_found(monkeypatch):
    compiled = registry._compiled

    def wrong(module, name):
        form = compiled(module, name)
        return form if name != "conv" else lambda *args, out=None: form(*args) * 1.001

    monkeypatch.setattr(registry, "_compiled", wrong)
    (primitive,) = matching("conv")
    cases = [checks.primitive_case(primitive, Draw.seeded(seed)) for seed in range(5)]
    with pytest.raises(GradientError, match=r"its value is .* by compiled conv"):
        _ = [checks.run(case, ["compiled_vs_plain"]) for case in cases]


# ------------------------------------------------------------------------------------------------------------------
# Threads


def test_threads_do_not_meet(rng):
    window = conv_window("t", 2, (6, 15, 14, 9), (3, 3, 9, 20), 1, 1, 1, 1, None)
    pooling = pool_window("t", 2, (6, 15, 14, 20), 3, 2, 1, 1, None)

    def work(x, w):
        y = get("conv").compiled(x, w, window)
        z, argmax = get("max_pool").compiled(y, pooling)
        g = get("pool_scatter").compiled(z, argmax, pooling)
        return (
            g, get("conv_input_grad").compiled(g, w, window), get("conv_kernel_grad").compiled(x, g, window),
            *get("moments").compiled(y),
        )  # fmt: skip

    inputs = [(rng.standard_normal((6, 15, 14, 9)), rng.standard_normal((3, 3, 9, 20))) for _ in range(4)]
    expected, got, start = [work(*a) for a in inputs], [[] for _ in inputs], threading.Barrier(len(inputs))

    def repeat(a, results):
        start.wait()
        results.extend(work(*a) for _ in range(30))

    threads = [threading.Thread(target=repeat, args=pair) for pair in zip(inputs, got, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for once, results in zip(expected, got, strict=True):
        assert len(results) == 30
        for again in results:
            compare(list(once), list(again), None)


# ------------------------------------------------------------------------------------------------------------------
# The choice


def forms(monkeypatch, name="max_pool"):
    """What runs, as a list that grows with each call of a kernel."""
    ran = []
    kernel = get(name)
    monkeypatch.setattr(kernel, "plain", lambda *args, **options: ran.append("plain"))
    monkeypatch.setattr(registry, "_compiled", lambda *which: lambda *args, **options: ran.append("compiled"))
    return ran


SMALL, LARGE = np.ones((1, 4, 4, 1), np.float32), np.ones((8, 28, 28, 32), np.float32)


def pooled(x, kind=np.float32):
    return get("max_pool")(x.astype(kind), pool_window("t", 2, x.shape, 2, 2, 0, 1, None))


def test_auto_takes_the_compiled_form_where_it_pays(monkeypatch):
    ran = forms(monkeypatch)
    with tg.use_kernels("auto"):
        pooled(SMALL)
        pooled(LARGE)
        pooled(LARGE, np.float16)
        pooled(LARGE, np.int64)
        pooled(LARGE, ">f4")
    assert ran == ["plain", "compiled", "plain", "plain", "plain"]


def test_choices_nest_and_end(monkeypatch):
    ran = forms(monkeypatch)
    choice = tg.use_kernels("compiled")
    with choice:
        pooled(SMALL)
        with tg.use_kernels("plain"), choice, tg.use_kernels("plain"):
            pooled(LARGE)
        pooled(SMALL)
        tg.use_kernels("plain")(pooled)(LARGE)
        threads = [threading.Thread(target=pooled, args=(SMALL,))]  # another thread: the choice is not its own
        for thread in threads:
            thread.start()
            thread.join()
    assert ran == ["compiled", "plain", "compiled", "plain", "plain"]


def test_a_bare_call_takes_effect_until_the_next_one():
    def chosen():
        return wanted.choice()

    def in_a_thread():
        said = []
        before = chosen()
        tg.use_kernels("plain")
        said.append(chosen())
        for _ in range(3):  # a call after the other leaves nothing behind
            tg.use_kernels("compiled")
        depth = 0
        entered = tg.use_kernels.entered.get()
        while entered is not None:
            depth, entered = depth + 1, entered[2]
        said.append((chosen(), depth))
        with tg.use_kernels("plain"):
            said.append(chosen())
            with pytest.raises(ArgumentError):
                tg.use_kernels("fast")
        said.append(chosen())
        kept = tg.use_kernels("plain")
        with kept, kept:
            said.append(chosen())
        said.append(chosen())  # a block gives back what held before, also where it was said earlier

        @tg.use_kernels("plain")
        def decorated():
            return chosen()

        said.append((chosen(), decorated(), chosen()))
        tg.use_kernels("auto")
        said.append(chosen() == before)
        result.append(said)

    result = []
    here = chosen()
    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert result == [
        ["plain", ("compiled", 1), "plain", "compiled", "plain", "compiled", ("compiled", "plain", "compiled"), True]
    ]
    assert chosen() == here


def test_four_axes_are_plain():
    x = np.ones((1, 4, 4, 4, 4, 2), np.float32)
    window = pool_window("t", 4, x.shape, 2, 2, 0, 1, None)
    with tg.use_kernels("compiled"):
        assert get("max_pool").chosen(x, window) == "plain"


def test_an_unknown_choice_or_kernel():
    with pytest.raises(ArgumentError, match=r"expected one of 'auto', 'plain', 'compiled', 'exact', got 'fast'"):
        tg.use_kernels("fast")
    with pytest.raises(ArgumentError, match=r"expected one of adam, .*, got 'maxpool'"):
        get("maxpool")
    with pytest.raises(ArgumentError, match=r"patches: .* has none"):
        _ = get("patches").compiled


def test_without_numba(monkeypatch):
    monkeypatch.setattr(wanted, "_installed", lambda: False)
    with tg.use_kernels("auto"):
        assert get("max_pool").chosen(LARGE, pool_window("t", 2, LARGE.shape, 2, 2, 0, 1, None)) == "plain"
    with pytest.raises(MissingExtraError, match=r"^compiled kernels need numba: pip install 'tinygrad-conv\[fast\]'$"):
        tg.use_kernels("compiled")


def run(code, cwd=None, **environment):
    """Run Python in a fresh process, warnings being errors; what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=False, cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-500:]}{done.stderr}"
    return done.stdout


POOL = """
import numpy as np, sys, tinygrad_conv as tg
try:
    tg.max_pool2d(np.ones((1, 4, 4, 1)), 2)
    print("numba" in sys.modules)
except ValueError as error:
    print(error)
"""


def test_the_environment_says_what_holds():
    assert run(POOL) == "False\n"
    assert run(POOL, TINYGRAD_CONV_KERNELS="compiled") == "True\n"
    assert run(POOL, TINYGRAD_CONV_KERNELS="plain") == "False\n"
    assert run(POOL, TINYGRAD_CONV_KERNELS="quick").startswith("TINYGRAD_CONV_KERNELS: expected one of 'auto'")


HITS = f"{POOL}\nfrom tinygrad_conv.kernels.compiled import pool\nprint(sum(pool._max_pool.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, without machine code; the environment in which it is imported."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    copy = tmp_path / "tinygrad_conv"
    shutil.copytree(pathlib.Path(tg.__file__).parent, copy, ignore=lambda *_: {"__pycache__", "data"})
    environment = {"TINYGRAD_CONV_KERNELS": "compiled", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tmp_path)}
    return copy / "kernels" / "compiled", {**environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_machine_code_is_kept_until_what_it_calls_changes(package, tmp_path):
    """Beside the source; Numba looks at the file of a function alone."""
    folder, environment = package
    assert [run(HITS, cwd=tmp_path, **environment) for _ in range(2)] == ["True\n0\n", "True\n1\n"]
    with open(folder / "vectors.py", "a") as file:
        file.write("# another version\n")
    assert run(HITS, cwd=tmp_path, **environment) == "True\n0\n"


@pytest.mark.parametrize("cache", [True, False])
def test_machine_code_is_kept_elsewhere_or_not_at_all(cache, package, tmp_path):
    """In the user's cache where there is no place beside the source; without either each process compiles."""
    folder, environment = package
    (folder / "__pycache__").write_text("")  # a file where a directory would be, which stops the superuser too
    if not cache:
        (tmp_path / "cache").write_text("")
    assert run(HITS, cwd=tmp_path, **environment) == "True\n0\n"  # and no warning
    assert any(tmp_path.rglob("*_max_pool*.nbc")) is cache


JITTED = """
import numpy as np
from tinygrad_conv.kernels.compiled.jit import jit

@jit
def f(each, x):
    return x[0] if each is None else x[1]

print(f(None, np.arange(2.0)), f(1, np.arange(2.0)), sum(f.stats.cache_hits.values()))
"""


def swap(first, *more):
    code = [file.read_bytes() for file in (first, *more)]
    for file, other in zip((*more, first), code, strict=True):
        file.write_bytes(other)


def empty(*files):
    for file in files:
        file.write_bytes(b"")


def block(*files):
    for file in files:
        file.unlink()
        file.mkdir()  # can be neither read nor written


def test_machine_code_that_is_not_what_it_should_be_is_made_again(tmp_path):
    """And it is kept for each processor."""
    (tmp_path / "jitted.py").write_text(JITTED)
    environment = {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path)), "NUMBA_CACHE_DIR": str(tmp_path)}

    def hits(**processor):
        said = run("import jitted", **environment, **processor)
        assert said.startswith("0.0 1.0 ")
        return said[-2]

    assert hits() == "0"
    if platform.machine() in ("x86_64", "AMD64"):
        assert hits(**PROCESSORS["no AVX"]) == "0"
    assert hits() == "2"
    for spoil, pattern in ((swap, "*.nbc"), (empty, "*.nbc"), (empty, "*.nbi"), (block, "*.nb?")):
        spoil(*sorted(tmp_path.rglob(pattern)))
        assert hits() == "0", (spoil, pattern)


FEWER = """
import types, sys
sys.modules["numba.core.caching"] = types.ModuleType("numba.core.caching")
"""
OTHER = """
from numba.core import cgutils
del cgutils.alloca_once
"""
BROKEN = """
import warnings, numpy as np, tinygrad_conv as tg
x, w = np.ones((8, 20, 20, 16), "f4"), np.ones((3, 3, 16, 16), "f4")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        y = tg.relu(tg.conv2d(x, w))
        assert (tg.max_pool2d(y, 2) == 144).all()
for warning in caught:
    print(warning.category.__name__, warning.message)
try:
    with tg.use_kernels("compiled"):
        tg.conv2d(x, w)
except tg.errors.MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("before", "package", "environment", "reason"),
    [
        ("", "raise ImportError('Numba needs NumPy 1.0')", {}, "ImportError: Numba needs NumPy 1.0"),
        ("", "njit = 1", {}, "cannot import name"),
        ("", "", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set"),
        (FEWER, None, {}, "cannot import name"),
        (OTHER, None, {}, "has no attribute 'alloca_once'"),
    ],
    ids=["does not import", "is something else", "is switched off", "has no such part", "does not compile"],
)
def test_a_numba_that_does_not_work(before, package, environment, reason, tmp_path):
    """One warning, and plain kernels; an error for who asked for compiled ones."""
    if package:
        (tmp_path / "numba").mkdir()
        (tmp_path / "numba" / "__init__.py").write_text(package)
    environment |= {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path)), "TINYGRAD_CONV_KERNELS": "auto"}
    warning, error = run(before + BROKEN, NUMBA_CACHE_DIR=str(tmp_path / "cache"), **environment).splitlines()
    for message in (warning, error):
        assert "conv: expected a numba that compiles it, got " in message
        assert reason in message
        assert "pip install -U 'tinygrad-conv[fast]', or use_kernels(\"plain\")" in message
    assert "RuntimeWarning" in warning


def test_an_error_of_the_caller_s_is_not_numba_s():
    window = pool_window("t", 2, LARGE.shape, 2, 2, 0, 1, None)
    with tg.use_kernels("auto"):
        with pytest.raises(ArgumentError, match="expected out to be C-contiguous"):
            get("max_pool")(LARGE, window, out=(LARGE, LARGE))
        assert get("max_pool").chosen(LARGE, window) == "compiled"


# ------------------------------------------------------------------------------------------------------------------
# Processors, and memory

PROCESSORS = {
    "this one": {},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"},
    "no AVX": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


def processor(name):
    """The environment in which Numba compiles for it, where it can be run."""
    if name != "this one" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("another kind of processor")
    if name == "AVX2" and not pytest.importorskip("llvmlite.binding").get_host_cpu_features().get("avx2"):
        pytest.skip("a processor without AVX2")
    return PROCESSORS[name]


GUARDED = """
import runpy, sys
from tinygrad_conv.kernels.compiled import jit
print(jit.VECTOR_BYTES)
sys.argv[1:] = {arguments}
runpy.run_path("guarded.py", run_name="__main__")
"""
posix = pytest.mark.skipif(os.name != "posix", reason="pages are guarded with mprotect")


@posix
@pytest.mark.parametrize("name", PROCESSORS if NIGHTLY else ["this one", "AVX2"])
def test_nothing_beyond_an_array_is_touched(name):
    """Memory that may not be touched lies around each array. Other processors have other tiles, in convolution.

    For these machine code is made anew, so by day it is for one of them and for one dtype.
    """
    environment = processor(name)
    arguments = ["0", "400"] if name == "this one" else ["1000", "3000" if NIGHTLY else "1150", "conv"]
    if name == "AVX2" and not NIGHTLY:
        arguments.append("float32")
    lines = run(GUARDED.format(arguments=arguments), cwd=pathlib.Path(__file__).parent, **environment).splitlines()
    assert int(lines[0]) == {"AVX2": 32, "no AVX": 16}.get(name, int(lines[0]))
    assert len(lines) == 1 + int(arguments[1]) - int(arguments[0])


@posix
@pytest.mark.parametrize(("at_end", "offset"), [(True, 12), (False, -4)])
def test_touching_what_lies_beyond_ends_the_process(at_end, offset):
    code = f"""
import ctypes, guarded
guarded.guard.at_end = {at_end}
array = guarded.guard((3,), "f4")
at = array.ctypes.data
ctypes.string_at(at, 12)
print("inside", flush=True)
ctypes.string_at(at + {offset}, 4)
"""
    cwd = pathlib.Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=cwd, capture_output=True, text=True)
    assert done.stdout == "inside\n"
    assert done.returncode < 0
