"""Programs of compiled steps: what they give is what the calls give one by one, and memory is never anybody else's."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.kernels import loops, registry, wanted
from tinygrad_conv.kernels.geometry import conv_window
from tinygrad_conv.plan import instructions, programs, updates
from tinygrad_conv.plan.into import INTO
from tinygrad_conv.plan.lowerings import LOWERINGS, elementwise
from tinygrad_conv.plan.programs import Program
from tinygrad_conv.plan.standins import StandIns
from tinygrad_conv.testing import Draw
from tinygrad_conv.testing.samples import draw_sample

pytest.importorskip("numba")
from tinygrad_conv.kernels.compiled import program as machine

pytestmark = pytest.mark.skipif(not loops.known(), reason="needs a CPython of 64 bits")

LIBRARY = {n: p for n, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}
SUMS = {"sum", "sum_to", "_matmul", "log_softmax", "softmax", "cross_entropy"}  # whose order may be another


@pytest.fixture(autouse=True)
def _every_call_is_worth_it(monkeypatch):
    monkeypatch.setattr(programs, "LEAST_CALLS", 1)
    monkeypatch.setattr(instructions, "MOST_NARROW", instructions.MOST_PRODUCT)


def lowered(step):
    """The names of the calls of a compiled step's plan that are in programs."""
    return [call.name for one in step.plan.steps if isinstance(one, Program) for call in one.calls]


def numbers(result):
    parts = result if isinstance(result, (tuple, list)) else [result]
    return [np.array(tg.stop_gradient(part)) for part in parts]


def assert_same(got, expected, exact, terms=1):
    """Arrays to the bit; or as sums of so many terms in another order differ, with NaN where there was one."""
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if exact or a.dtype.kind != "f":
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            continue
        assert np.array_equal(np.isnan(a), np.isnan(b))
        with np.errstate(invalid="ignore"):
            scale = np.nanmax(np.where(np.isfinite(b), np.abs(b), 0), initial=0)
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * terms * np.finfo(a.dtype).eps * max(scale, 1e-30))


def both(step, *batches):
    """What a step gives as a program, and by plain NumPy; the compiled step."""
    compiled = tg.compile(step)
    got, expected = [], []
    with np.errstate(all="ignore"):
        for batch in (batches[0], *batches):
            with tg.use_kernels("plain"):
                expected.append(numbers(step(*map(tg.Tensor, batch))))
            with tg.use_kernels("compiled"):
                result = compiled(*batch)
            got.append(result)
    assert compiled.plans, compiled.reasons
    return [array for one in got for array in numbers(one)], [array for one in expected for array in one], compiled


# ---------------------------------------------------------------------------------------------------------------
# NumPy's loops

KINDS = [np.dtype(kind) for kind in "?fdl"]


def test_structures_are_as_they_are_read():
    assert loops.known()


@pytest.mark.parametrize("name", sorted({u.__name__ for u in INTO.values() if isinstance(u, np.ufunc)}))
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), step=st.integers(1, 9), in_place=st.booleans())
@settings(max_examples=15)
def test_a_loop_gives_what_the_ufunc_gives_to_the_bit(name, seed, n, step, in_place):
    ufunc, rng = getattr(np, name), np.random.default_rng(seed)
    for kind in KINDS:
        try:
            dtypes = ufunc.resolve_dtypes((*[kind] * ufunc.nin, *[None] * ufunc.nout))
        except TypeError:
            continue
        found = loops.loop(ufunc, dtypes)
        if found is None or ufunc.signature is not None or ufunc.nargs > 3:
            continue
        special = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e30, -1e-30] if kind.kind == "f" else [0, 1]
        given_ = [
            np.where(rng.random(n * step) < 0.2, rng.choice(special, n * step), rng.normal(0, 3, n * step)).astype(d)
            for d in dtypes[: ufunc.nin]
        ]
        given_ = [x[::step] for x in given_]
        out = np.zeros(n * step, dtypes[-1])[::step]
        if ufunc in instructions.DENSE:
            out = out.copy()
        elif in_place and dtypes[0] == dtypes[-1]:
            out = given_[0]
        expected = np.zeros((n, max(1, out.strides[0] // out.itemsize)), out.dtype)[:, 0]  # lies as `out` does
        with np.errstate(all="ignore"):
            ufunc(*given_, out=expected)
        arrays = [*given_, out]
        table = machine.Table()
        words = [[x.ctypes.data for x in arrays], [x.strides[0] for x in arrays]]
        addresses, steps = ([*w, *[0] * (3 - len(w))] for w in words)
        table.add([machine.LOOP, *found, n, 1, *addresses, *steps, 0, 0, 0])
        assert table.run(()) == -1
        assert np.array_equal(out, expected, equal_nan=out.dtype.kind == "f")


# ---------------------------------------------------------------------------------------------------------------
# Every operation that becomes instructions


def special(x, rng, share):
    """The same array with NaN, infinities and zeros in some places."""
    if x.dtype.kind != "f" or not share:
        return x
    return np.where(rng.random(x.shape) < share, rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], x.shape), x).astype(
        x.dtype
    )


@pytest.mark.parametrize("name", sorted(set(LOWERINGS) & set(LIBRARY)))
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_lowering(name, data):
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    args, params = draw_sample(LIBRARY[name], Draw(lambda low, high: data.draw(st.integers(low, high)), seed))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]), label="dtype")
    share = data.draw(st.sampled_from([0, 0.2]), label="special")
    args = [x.astype(dtype) if x.dtype.kind == "f" else x for x in args]
    rng, operation = np.random.default_rng(seed), LIBRARY[name].operation
    batches = [[special(x, rng, share) for x in args], [special(np.flip(x).copy(), rng, share) for x in args]]
    got, expected, compiled = both(lambda *xs: operation(*xs, **params), *batches)
    assert_same(got, expected, name not in SUMS, max(x.size for x in args))
    small = all(x.size for x in args)
    if small and all(x.flags.c_contiguous for x in args) and name != "_matmul":
        assert name in lowered(compiled)


MATRICES = st.sampled_from(["C", "F", "every second", "turned"])


def laid(x, how):
    if how == "F":
        return np.asfortranarray(x)
    if how == "every second":
        return np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2]
    return x[::-1, ::-1].copy()[::-1, ::-1] if how == "turned" else x


@given(
    m=st.integers(1, 40), n=st.integers(1, 70), k=st.integers(1, 40), dtype=st.sampled_from(["f4", "f8"]),
    a=MATRICES, b=MATRICES, seed=st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_products(m, n, k, dtype, a, b, seed):
    rng = np.random.default_rng(seed)
    x, w = laid(rng.standard_normal((m, k)).astype(dtype), a), laid(rng.standard_normal((k, n)).astype(dtype), b)
    compiled = tg.compile(lambda x, w: x @ w)
    with tg.use_kernels("compiled"):
        y = [compiled(x, w) for _ in range(2)][1]
    exact = [[sum(float(x[i, q]) * float(w[q, j]) for q in range(k)) for j in range(n)] for i in range(m)]
    size = np.abs(x).astype("f8") @ np.abs(w).astype("f8")
    assert (np.abs(y.numpy() - exact) <= (k + 1) * np.finfo(dtype).eps * size).all()
    assert lowered(compiled) == ["_matmul"]
    assert y.dtype == dtype


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=5), seed=st.integers(0, 1000), data=st.data(),
    name=st.sampled_from(["sum", "max", "min"]), keepdims=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reductions_over_any_axes_of_any_layout(shape, seed, data, name, keepdims):
    axes = data.draw(st.none() | st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    order = data.draw(st.permutations(range(len(shape))))
    x = np.random.default_rng(seed).standard_normal(shape).transpose(order)
    got, expected, _ = both(lambda x: getattr(tg, name)(x, axis=axes, keepdims=keepdims) * 1.0, (x,), (2 * x,))
    assert_same(got, expected, name != "sum", x.size)


@given(shapes=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_operands_of_any_layout_broadcast(shapes, seed):
    from hypothesis.extra.numpy import mutually_broadcastable_shapes

    drawn = shapes.draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4))
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal(shape[::-1]).T for shape in drawn.input_shapes]
    step = lambda x, y, z: (tg.maximum(x * y, z) - y, tg.where(x > y, z, 2.0), x.T * 2.0)  # noqa: E731
    got, expected, _ = both(step, xs, [x + 1 for x in xs])
    assert_same(got, expected, True)


def test_nothing_is_lowered_of_functions_that_only_have_the_same_name(monkeypatch):
    monkeypatch.setattr(tg.engine.primitive, "_registry", {})

    @tg.elementwise(lambda: 3.0)
    def tripled(x):
        return 3.0 * x

    tripled.primitive.name = "exp"
    step = tg.compile(lambda x: tripled(x) + 1.0)
    with tg.use_kernels("compiled"):
        assert [step(np.full(2, 2.0)).tolist() for _ in range(3)] == [[7.0, 7.0]] * 3
    assert [call.name for call in step.plan.calls] == ["exp", "add"]
    assert lowered(step) == []


# ---------------------------------------------------------------------------------------------------------------
# Whole steps

ACTIVATIONS = ["relu", "tanh", "sigmoid", "elu", "softplus", "silu", "leaky_relu", "softmax", "gelu"]
OPTIMIZERS = {
    "sgd": lambda p: tg.optim.SGD(p, lr=0.05),
    "decay": lambda p: tg.optim.SGD(p, lr=tg.optim.StepDecay(0.05, every=2, factor=0.5), weight_decay=0.01),
    "momentum": lambda p: tg.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: tg.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: tg.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: tg.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: tg.optim.RMSprop(p, lr=0.01),
    "centered": lambda p: tg.optim.RMSprop(p, lr=0.01, centered=True, weight_decay=0.1),
    "rmsprop with momentum": lambda p: tg.optim.RMSprop(p, lr=0.01, momentum=0.5),
    "both": lambda p: tg.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: tg.optim.Adagrad(p, lr=0.05),
}
LOSSES = {
    "cross-entropy": lambda y, t: tg.softmax_cross_entropy(y, t),
    "smoothed": lambda y, t: tg.softmax_cross_entropy(y, t, label_smoothing=0.1),
    "mse": lambda y, t: tg.mse(y, tg.one_hot(t, 5, y.dtype)),
    "huber": lambda y, t: tg.huber(y, tg.one_hot(t, 5, y.dtype)),
    "mae": lambda y, t: tg.mae(y, tg.one_hot(t, 5, y.dtype), reduction="sum"),
}
ORDERS = ("first", "last", "never")  # when gradients are forgotten


def dense_net(layers, dtype, seed):
    tg.nn.init.seed(seed)
    made = {"norm": tg.nn.LayerNorm, "batch norm": tg.nn.BatchNorm, "dropout": lambda: tg.nn.Dropout(0.3)}
    net = tg.nn.Sequential(
        *(made[one]() if one in made else tg.nn.Dense(7, activation=one) for one in layers), tg.nn.Dense(5)
    )
    net(np.zeros((3, 6), dtype))
    for param in net.parameters():
        param._array = param._array.astype(dtype)
        param.requires_grad = False
        param.requires_grad = True
    return net


def trained(form, layers, loss, optimizer, dtype, order, seed, batches, between=lambda k, net: None):
    """Losses, gradients and weights of a network that is trained for some steps, eager (None) or compiled."""
    net = dense_net(layers, dtype, seed)
    optimizer = OPTIMIZERS[optimizer](list(net.parameters()))

    def step(x, t):
        if order == "first":
            optimizer.zero_grad()
        value = LOSSES[loss](net(x), t)
        value.backward()
        optimizer.step()
        if order == "last":
            optimizer.zero_grad()
        return value

    run = step if form is None else tg.compile(step)
    with tg.use_kernels("plain" if form is None else form):
        results = []
        for k, (x, t) in enumerate(batches):
            results.append(run(tg.Tensor(x), tg.Tensor(t)))
            between(k, net)
    gradients = [np.zeros(0) if p.grad is None else np.asarray(p.grad) for p in net.parameters()]
    state = [optimizer.state_dict()[key] for key in sorted(optimizer.state_dict()) if "." in key]
    parts = [*results, *gradients, *net.state_dict().values(), *state]
    return [np.asarray(tg.stop_gradient(part)) for part in parts], run


def test_every_optimiser_is_trained_with():
    kinds = {k for k in vars(tg.optim).values() if isinstance(k, type) and issubclass(k, tg.optim.Optimizer)}
    assert {type(make([tg.nn.Parameter([1.0])])) for make in OPTIMIZERS.values()} == kinds - {tg.optim.Optimizer}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimiser_is_the_same_in_a_program(optimizer):
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((4, 6)), rng.integers(0, 5, 4)) for _ in range(5)]
    given_ = ["tanh"], "mse", optimizer, "f8", "first", 0, batches
    (expected, _), (got, step) = trained(None, *given_), trained("auto", *given_)
    assert step.plan.updates or optimizer == "adagrad"  # which has no kernel
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS.keys() - {"adagrad"}))
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_table_of_an_update_is_written_once(optimizer, dtype, monkeypatch):
    """What looks at it anew at each replay gives the same numbers, and takes three times as long."""
    written = []
    write = updates.Update._write
    monkeypatch.setattr(updates.Update, "_write", lambda self, kinds: [written.append(kinds), write(self, kinds)])
    net = tg.nn.Sequential(tg.nn.Dense(3, in_features=6, dtype=dtype), tg.nn.Dense(5, dtype=dtype), seed=0)
    x, t = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype), np.arange(4)
    net(x)
    made = OPTIMIZERS[optimizer](net.parameters())

    @tg.compile
    def step(x, t):
        made.zero_grad()
        tg.softmax_cross_entropy(net(x), t).backward()
        made.step()

    for _ in range(8):
        step(x, t)
    assert len(written) == 1


@given(
    layers=st.lists(st.sampled_from([*ACTIVATIONS, "norm", "batch norm", "dropout"]), max_size=3),
    loss=st.sampled_from(sorted(LOSSES)), optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    dtype=st.sampled_from(["f4", "f8"]), order=st.sampled_from(ORDERS), seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=2), labels=st.sampled_from(["i8", "i4", "u1", "i2"]),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_training_dense_networks(layers, loss, optimizer, dtype, order, seed, sizes, labels):
    rng = np.random.default_rng(seed)
    batches = [(rng.standard_normal((n, 6)).astype(dtype), rng.integers(0, 5, n).astype(labels)) for n in sizes * 4]
    given_ = layers, loss, optimizer, dtype, order, seed, batches
    expected, _ = trained(None, *given_)
    plain, step = trained("plain", *given_)
    assert not lowered(step)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(plain, expected, strict=True))
    got, step = trained("auto", *given_)
    assert "_matmul" in lowered(step)
    if dtype == "f8":  # rounding grows over steps; in float32 signs of tiny gradients may differ
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)
    else:
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=1e-6)
    assert all(a.dtype == b.dtype and a.shape == b.shape for a, b in zip(got, expected, strict=True))


def changes(k, net):
    """What people do to parameters between steps."""
    params = list(net.parameters())
    w = params[k % len(params)]
    match k % 6:
        case 0:
            w.data = w.numpy() * 0.5
        case 1:
            w.numpy()[...] += 0.25
        case 2:
            w._array = np.asfortranarray(w._array)
        case 3:
            block = np.empty(w._array.nbytes + 1, np.uint8)
            moved = block[1:].view(w.dtype).reshape(w.shape)  # not aligned
            moved[...] = w._array
            w._array = moved
        case 4:
            net.load_state_dict({name: value + 0.125 for name, value in net.state_dict().items()})
        case 5:
            w._array = np.repeat(w._array, 2, -1)[..., ::2]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("order", ORDERS)
def test_parameters_are_replaced_from_outside_between_steps(optimizer, order):
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((4, 6)), rng.integers(0, 5, 4)) for _ in range(26)]
    given_ = ["tanh"], "cross-entropy", optimizer, "f8", order, 1, batches, changes
    expected, _ = trained(None, *given_)
    got, _ = trained("auto", *given_)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def mlp(dtype="f4", order="first"):
    net = dense_net(["relu"], dtype, 0)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x, t):
        if order == "first":
            optimizer.zero_grad()
        loss = tg.softmax_cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss, net(x).detach()

    return net, optimizer, step


X, T = np.random.default_rng(0).standard_normal((8, 6)).astype("f4"), np.arange(8) % 5


def test_results_and_gradients_are_nobody_s_to_write_to_later():
    net, _, step = mlp()
    with tg.use_kernels("auto"):
        held = []
        for k in range(8):
            parts = [*step(X * (1 + k / 8), T), *(p.grad for p in net.parameters())]
            held.append([(part, np.array(tg.stop_gradient(part))) for part in parts])
    for parts in held[1:]:
        for part, then in parts:
            assert np.asarray(tg.stop_gradient(part)).tobytes() == then.tobytes()
    assert len({then.tobytes() for _, then in (parts[0] for parts in held)}) == 8


@pytest.mark.parametrize("kind", ["i8", "i4", "i1", "u1", "i2", "f8"])
@pytest.mark.parametrize("wrong", [-1, 5, 100])
def test_a_label_out_of_range_raises_what_it_raises_eagerly(kind, wrong):
    if wrong < 0 and kind == "u1":
        return
    net, optimizer, step = mlp()
    labels = T.astype(kind)
    bad = labels.copy()
    bad[3] = wrong
    with tg.use_kernels("auto"):
        for _ in range(3):
            step(X, labels)
        before = [np.array(p.numpy()) for p in net.parameters()]
        with pytest.raises(tg.errors.ArgumentError) as got:
            step(X, bad)
        with pytest.raises(tg.errors.ArgumentError) as expected:
            tg.softmax_cross_entropy(net(X), bad)
        assert str(got.value) == str(expected.value)
        assert all(a.tobytes() == p.numpy().tobytes() for a, p in zip(before, net.parameters(), strict=True))
        assert optimizer.steps == 3
        step(X, labels)
    assert ("_class_numbers" in lowered(step)) is (kind not in ("i2", "f8"))


def test_labels_that_are_a_part_of_an_argument():
    table = np.stack([T, T + 1], 1) % 5
    step = tg.compile(lambda x, t: tg.softmax_cross_entropy(x, t[:, 1]))
    logits = X[:, :5].copy()
    with tg.use_kernels("auto"):
        values = [step(logits, table).item() for _ in range(3)]
        np.testing.assert_allclose(values, tg.softmax_cross_entropy(logits, table[:, 1]).item(), rtol=1e-6)
        with pytest.raises(tg.errors.ArgumentError, match="labels from 0 to 4, got 9 at index 2"):
            step(logits, np.where(np.arange(8)[:, None] == 2, 9, table))
    assert "_class_numbers" in lowered(step)


@pytest.mark.parametrize("label", [-6, 5, -1])
def test_picking_by_numpy_s_rules(label):
    step = tg.compile(lambda x, t: tg.ops.indexing.pick(x, labels=t) * 2.0)
    x, t = X[:, :5].copy(), np.arange(8) % 5
    with tg.use_kernels("auto"):
        for _ in range(2):
            step(x, t)
        t[2] = label
        if label == -1:
            assert step(x, t).tolist() == (2 * x[np.arange(8), t]).tolist()
        else:
            with pytest.raises(IndexError, match=f"index {label} is out of bounds"):
                step(x, t)
    assert "pick" in lowered(step)


def test_arguments_that_are_not_aligned_or_not_contiguous_or_read_only():
    net, _, step = mlp()
    block = np.empty(X.nbytes + 1, np.uint8)
    moved = block[1:].view("f4").reshape(X.shape)
    moved[...] = X
    still = X.copy()
    still.setflags(write=False)
    with tg.use_kernels("auto"):
        for x in (X, moved, still, np.asfortranarray(X), X[::-1].copy()[::-1], np.repeat(X, 2, 1)[:, ::2]) * 3:
            want = net(x).numpy()  # before the step
            loss = tg.softmax_cross_entropy(want, T).item()
            np.testing.assert_allclose(step(x, T)[0].item(), loss, rtol=1e-5)
    assert step.plans


def test_empty_arrays():
    step = tg.compile(lambda x, w: (tg.relu(x @ w) * 2.0, tg.exp(x).sum(), (x * 3.0).sum(axis=0)))
    for n, k, m in [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)] * 2:
        with tg.use_kernels("auto"):
            y, total, rows = step(np.ones((n, k)), np.ones((k, m)))
        assert y.shape == (n, m)
        assert total.item() == pytest.approx(np.e * n * k)
        assert rows.tolist() == [3.0 * n] * k


def test_numbers_that_are_not_finite_go_through_a_network():
    net, _, step = mlp()
    x = X.copy()
    x[1, 2], x[4, 1] = np.nan, np.inf
    with tg.use_kernels("auto"), np.errstate(all="ignore"):
        for _ in range(3):
            step(x, T)
    assert all(np.isnan(p.numpy()).any() for p in list(net.parameters())[-2:])


def test_in_two_threads_at_once():
    net, *_ = mlp("f8")
    frozen = tg.compile(lambda x: tg.softmax(net(x)).detach() * 1.0)
    xs = [X.astype("f8") * k for k in range(1, 30)]
    with tg.use_kernels("auto"):
        expected = [tg.softmax(net(x)).numpy() for x in xs]
        frozen(xs[0])

    def run(k):
        with tg.use_kernels("auto"):
            return frozen(xs[k]).numpy()

    with ThreadPoolExecutor(4) as pool:
        for k, y in enumerate(pool.map(run, list(range(len(xs))) * 5)):
            np.testing.assert_allclose(y, expected[k % len(xs)], rtol=1e-12)

    # Two steps of their own, on parameters of their own.
    losses, steps = {}, [mlp("f8")[2] for _ in range(3)]

    def train(name):
        step = steps[name]
        with tg.use_kernels("auto"):
            losses[name] = [step(X.astype("f8"), T)[0].item() for _ in range(50)]

    threads = [threading.Thread(target=train, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert losses[0] == losses[1] == losses[2]


def test_dropout_draws_as_ever():
    def masks(form):
        tg.nn.init.seed(3)
        layer = tg.nn.Dropout(0.5)
        step = (lambda f: f) if form is None else tg.compile
        run = step(lambda x: (layer(x * 1.0) * 2.0 + 0.0).detach())
        with tg.use_kernels(form or "plain"):
            return [np.asarray(run(tg.Tensor(np.ones((4, 5))))).tolist() for _ in range(5)]

    assert masks("auto") == masks("plain") == masks(None)


def test_without_numba_or_with_plain_kernels_nothing_is_lowered(monkeypatch):
    with tg.use_kernels("plain"):
        _, _, step = mlp()
        for _ in range(3):
            step(X, T)
    assert step.plan.steps is step.plan.calls
    assert not step.plan.updates
    assert "program" not in step.plan.source + step.plan.summary().split("runs in")[1]
    monkeypatch.setattr(wanted, "_installed", lambda: False)
    _, _, step = mlp()
    for _ in range(3):
        step(X, T)
    assert step.plan.steps is step.plan.calls


def test_a_numba_that_fails_is_reported_once_and_done_without(monkeypatch):
    monkeypatch.setattr(wanted, "_failures", [])
    monkeypatch.setattr(programs, "_compiled", lambda: ValueError("no such instruction"))
    _, _, step = mlp()
    told = "a compiled step: expected a numba that compiles it, got ValueError: no"
    with tg.use_kernels("auto"):  # whatever a bare call in a test before has left
        with pytest.warns(RuntimeWarning, match=told):
            step(X, T)
        step(X, T)
        assert not lowered(step)
    monkeypatch.setattr(wanted, "_failures", [])
    with tg.use_kernels("compiled"), pytest.raises(tg.errors.MissingExtraError, match="no such instruction"):
        tg.compile(lambda x: x * 2.0 + 1.0)(X)


def test_a_plan_chooses_the_forms_of_kernels_once(monkeypatch, rng):
    """The form alone where work is little, the kernel where threads may share it; the plain form, should that fail."""
    window = conv_window("conv", 2, (32, 16, 16, 8), (3, 3, 8, 8), 1, 1, 1, 1, None)
    x, w = rng.standard_normal((32, 16, 16, 8)), rng.standard_normal((3, 3, 8, 8))
    few, expected = x[:1], registry.conv.plain(x[:1], w, window)
    monkeypatch.setattr(wanted, "_failures", [])
    with tg.use_kernels("plain"):
        assert registry.conv.bound(few, w, window) == registry.conv.plain
        assert registry.sgd.bound(w, w, None, 0.1, 0.0, False, 0.0) == registry.sgd.plain
        assert registry.conv.bound(x, w, window) is registry.conv
    with tg.use_kernels("compiled"):
        assert registry.conv.bound(x, w, window) is registry.conv
        np.testing.assert_allclose(registry.conv.bound(few, w, window)(few, w, window), expected, rtol=0, atol=1e-12)
        with pytest.raises(tg.errors.ArgumentError, match="expected out to be C-contiguous"):
            registry.conv.bound(few, w, window)(few, w, window, out=np.empty(3))

    def broken(*args, **options):
        raise ValueError("no such instruction")

    monkeypatch.setattr(registry, "_compiled", lambda module, name: broken)
    with tg.use_kernels("auto"):
        run = registry.conv.bound(few, w, window)
        with pytest.warns(RuntimeWarning, match="conv: expected a numba that compiles it, got ValueError: no such"):
            np.testing.assert_array_equal(run(few, w, window), expected)


def test_an_update_that_cannot_be_compiled_is_made_by_the_optimiser(monkeypatch):
    def broken(*args):
        raise ValueError("no such instruction")

    monkeypatch.setattr(wanted, "_failures", [])
    monkeypatch.setitem(machine._UPDATES, "sgd", broken)
    net, optimizer, step = mlp()
    other, _, eager = mlp()
    with tg.use_kernels("auto"):
        step(X, T)
        with pytest.warns(RuntimeWarning, match="sgd: expected a numba that compiles it, got ValueError: no such"):
            step(X, T)
        step(X, T)
    with tg.use_kernels("plain"):
        for _ in range(3):
            eager(X, T)
    assert optimizer.steps == 3
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


def test_a_plan_tells_what_is_in_its_programs(tmp_path):
    _, _, step = mlp()
    with tg.use_kernels("auto"):
        step(X, T)
    table = step.plan.summary()
    rows = {line.split()[0]: line for line in table.splitlines() if line}
    assert rows["_matmul"].endswith("program_2")
    assert rows["cross_entropy"].rstrip().endswith("program_1")
    assert rows["Optimizer.step"].rstrip().endswith("update")
    assert not rows["Optimizer.zero_grad"].rstrip().endswith("program_1")
    assert "# matmul, add, relu" in step.plan.source
    assert "update()  # Optimizer.step of SGD(4 parameters, lr=0.1)" in step.plan.source
    tg.draw(step.plan).render(tmp_path / "plan.html")
    assert "program_1" in (tmp_path / "plan.html").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------------
# Wrong programs are noticed


def a_check():
    x = np.linspace(-1, 1, 24).reshape(4, 6)
    got, expected, _ = both(lambda x: tg.tanh(x * 2.0 + 1.0) @ x.T - x.sum(), (x,), (x[::-1].copy(),))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_the_check_of_planted_bugs_passes_without_them():
    a_check()


@pytest.mark.parametrize("other", ["tanh", "add", "multiply"])
def test_a_wrong_loop_is_noticed(other, monkeypatch):
    wrong = {"tanh": np.sinh, "add": np.subtract, "multiply": np.maximum}[other]
    monkeypatch.setitem(LOWERINGS, other, elementwise(wrong))
    with pytest.raises(AssertionError):
        a_check()


def test_a_stale_address_is_noticed(monkeypatch):
    """As if the address of an argument were written down once, and not patched."""
    run, first = machine.Table.run, {}

    def once(self, arrays):
        return run(self, (first.setdefault(self, arrays)[0], *arrays[1:]) if arrays else arrays)

    monkeypatch.setattr(machine.Table, "run", once)
    with pytest.raises(AssertionError):
        a_check()


def test_a_wrong_offset_is_noticed(monkeypatch):
    find = StandIns.find

    def beside(self, array):
        slot, at = find(self, array)
        return (slot, at) if slot is None or array.ndim < 2 or array.shape[0] < 4 else (slot, at + 8)

    monkeypatch.setattr(StandIns, "find", beside)
    got, expected, _ = both(lambda x: x[:, :4] * 2.0 + 1.0, (np.arange(24.0).reshape(4, 6),))
    with pytest.raises(AssertionError):
        assert_same(got, expected, True)


# ---------------------------------------------------------------------------------------------------------------
# Nothing beyond the arrays is read or written

GUARDED = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, tinygrad_conv as tg
from guarded import guard
from tinygrad_conv.plan import layout, programs, source

guard.at_end = {at_end}
programs.LEAST_CALLS = 1
layout.aligned = lambda size: guard((size,), np.uint8)
made = []
def empty(shape, dtype):
    made.append(guard(shape, dtype))
    return made[-1]
source.np.empty = empty
rng = np.random.default_rng({at_end})
for k, (n, i, h, o) in enumerate([(1, 3, 17, 1), (5, 9, 33, 10), (13, 1, 4, 16), (8, 40, 64, 3), (9, 2, 1, 31)]):
    for dtype in ("f4", "f8"):
        x, t = guard.copy(rng.standard_normal((n, i)).astype(dtype)), guard.copy(rng.integers(0, o, n))
        shapes = (i, h), (h,), (h, o), (o,)
        params = [tg.nn.Parameter(guard.copy(rng.standard_normal(shape).astype(dtype))) for shape in shapes]
        w1, b1, w2, b2 = params
        optimizer = [tg.optim.Adam, tg.optim.SGD, tg.optim.RMSprop][k % 3](params, lr=0.1)
        @tg.compile
        def step(x, t):
            optimizer.zero_grad()
            loss = tg.softmax_cross_entropy(tg.sigmoid(x @ w1 + b1) @ w2 + b2, t)
            loss.backward()
            optimizer.step()
            return loss
        with tg.use_kernels("auto"):
            losses = [step(x, t).item() for _ in range(4)]
        assert np.isfinite(losses).all() and (o == 1 or losses[-1] < losses[0]), losses
        assert sum(isinstance(one, programs.Program) for one in step.plan.steps) > 0
print("done", len(made))
"""


@pytest.mark.skipif(os.name != "posix", reason="pages are guarded with mprotect")
@pytest.mark.parametrize("at_end", [True, False])
def test_programs_stay_in_their_arrays(at_end):
    code = GUARDED.format(tests=os.path.dirname(__file__), at_end=at_end)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("done"), (run.returncode, run.stdout, run.stderr[-2000:])
    assert int(run.stdout.split()[1]) > 100
