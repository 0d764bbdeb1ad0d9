"""Convolution and pooling against loops that follow the definitions, and every error's advice taken."""

import ast
import math
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_conv.kernels import conv as conv_kernels
from tinygrad_conv.kernels import fused, masks, scratch
from tinygrad_conv.kernels import pool as pool_kernels
from tinygrad_conv.kernels.geometry import conv_window, pool_window, transpose_window
from tinygrad_conv.kernels.window import Window
from tinygrad_conv.testing.checks import check_gradients

# ------------------------------------------------------------------------------------------------------------------
# Drawing cases: Hypothesis draws the structure and a seed, a generator fills in the values


LAYOUTS = {
    "contiguous": lambda a: a,
    "fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
    "every other": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "read-only": lambda a: _frozen(a.copy()),
}


def _frozen(a):
    a.flags.writeable = False
    return a


def laid_out(draw, values):
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](values)


@st.composite
def geometries(draw, pool=False):
    """kernel, stride, dilation, pads, sizes of a window that fits, in 1, 2 or 3 dimensions."""
    rank = draw(st.sampled_from((1, 2, 2, 2, 3)))
    most = 3 if rank < 3 else 2
    axes = []
    for _ in range(rank):
        k, s, d = (draw(st.integers(1, most)) for _ in "ksd")
        d = min(d, 2)
        limit = k // 2 if pool else 2
        pads = (draw(st.integers(0, limit)), draw(st.integers(0, limit)))
        reach = d * (k - 1) + 1
        least = reach if pool else max(1, reach - sum(pads))
        axes.append((k, s, d, pads, least + draw(st.integers(0, most))))
    kernel, stride, dilation, pads, sizes = zip(*axes, strict=True)
    if pool and draw(st.booleans()):
        stride = kernel
    if draw(st.booleans()):
        pads = ((0, 0),) * rank
        sizes = tuple(max(n, d * (k - 1) + 1) for n, k, d in zip(sizes, kernel, dilation, strict=True))
    return SimpleNamespace(kernel=kernel, stride=stride, dilation=dilation, pads=pads, sizes=sizes)


@st.composite
def convolutions(draw):
    """A convolution with its input x, kernel w and output cotangent g."""
    c = draw(geometries())
    c.groups, c_in, c_out = draw(st.sampled_from(((1, 1, 2), (1, 3, 1), (1, 2, 3), (2, 2, 1), (2, 1, 2), (3, 1, 1))))
    n = draw(st.integers(1, 3))
    x_shape = (n, *c.sizes, c.groups * c_in)
    w_shape = (*c.kernel, c_in, c.groups * c_out)
    c.window = conv_window("t", len(c.kernel), x_shape, w_shape, c.stride, c.pads, c.dilation, c.groups, None)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    c.x, c.w = laid_out(draw, rng.standard_normal(x_shape)), laid_out(draw, rng.standard_normal(w_shape))
    c.g = laid_out(draw, rng.standard_normal((n, *c.window.out_sizes, w_shape[-1])))
    return c


@st.composite
def poolings(draw):
    """A pooling with its input x, values with many ties, and an output cotangent g."""
    c = draw(geometries(pool=True))
    n, channels = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    x_shape = (n, *c.sizes, channels)
    c.window = pool_window("t", len(c.kernel), x_shape, c.kernel, c.stride, c.pads, c.dilation, None)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    c.x = laid_out(draw, rng.integers(-2, 3, x_shape).astype(float))
    c.g = laid_out(draw, rng.standard_normal((n, *c.window.out_sizes, channels)))
    return c


def geometry_of(c, *names):
    return {name: getattr(c, name) for name in ("stride", "pads", "dilation", *names)}


def assert_close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


class UsedMemory:
    """NumPy, with an `empty` that gives memory that was used before: what a plain kernel forgets to write shows."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=float, **options):
        out = np.empty(shape, dtype, **options)
        out.fill(77)
        return out


@pytest.fixture(autouse=True)
def used_memory(monkeypatch):
    for module in ("columns", "conv", "depthwise", "fused", "norm", "pool", "runs", "scratch"):
        monkeypatch.setattr(f"tinygrad_conv.kernels.{module}.np", UsedMemory())
    with tg.use_kernels("plain"):
        yield


# ------------------------------------------------------------------------------------------------------------------
# Convolution kernels


PATHS = {  # every algorithm on every shape, not only where it is the fastest
    "as chosen": {},
    "rows, sums": {
        "columns._runs_are_longer_in_images": lambda run, window: False, "conv.FEW_CHANNELS": 0,
        "conv._convolution_pays": lambda *_: False,
    },
    "rows, convolutions": {
        "columns._runs_are_longer_in_images": lambda run, window: False, "conv.FEW_CHANNELS": 0,
        "conv._convolution_pays": lambda *_: True,
    },
    "channels first": {"columns._runs_are_longer_in_images": lambda run, window: True, "conv.FEW_CHANNELS": 99},
    "small blocks": {f"{module}.BLOCK_BYTES": 64 for module in ("columns", "conv", "depthwise", "pool")},
    "all dealt out, nothing kept": {
        "runs.SHORT_RUN": 10**9, "runs.FEW_RUNS": 0, "pool.SHORT_RUN": 10**9, "scratch.MOST_BYTES": 0,
    },
    "none dealt out": {"runs.SHORT_RUN": 0, "pool.SHORT_RUN": 0},
    "one axis at a time": {"pool.FEW": 0},
    "all axes at once": {"pool.FEW": 10**9},
}  # fmt: skip


@pytest.fixture(params=sorted(PATHS))
def path(request, monkeypatch):
    for name, value in PATHS[request.param].items():
        monkeypatch.setattr(f"tinygrad_conv.kernels.{name}", value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(convolutions())
def test_convolution_equals_the_loops(path, c):
    before = [a.copy() for a in (c.x, c.w, c.g)]
    assert_close(conv_kernels.conv(c.x, c.w, c.window), reference.conv(c.x, c.w, **geometry_of(c, "groups")))
    dx = reference.conv_input_grad(c.g, c.w, **geometry_of(c, "sizes", "groups"))
    assert_close(conv_kernels.conv_input_grad(c.g, c.w, c.window), dx)
    dw = reference.conv_kernel_grad(c.x, c.g, **geometry_of(c, "kernel", "groups"))
    assert_close(conv_kernels.conv_kernel_grad(c.x, c.g, c.window), dw)
    for a, b in zip((c.x, c.w, c.g), before, strict=True):
        np.testing.assert_array_equal(a, b)


@given(convolutions())
def test_the_three_are_each_others_transposes(c):
    y = conv_kernels.conv(c.x, c.w, c.window)
    through_y = np.vdot(c.g, y)
    scale = np.linalg.norm(c.g) * np.linalg.norm(y) + 1
    assert abs(np.vdot(conv_kernels.conv_input_grad(c.g, c.w, c.window), c.x) - through_y) < 1e-12 * scale
    assert abs(np.vdot(conv_kernels.conv_kernel_grad(c.x, c.g, c.window), c.w) - through_y) < 1e-12 * scale


@given(convolutions())
def test_patches_are_what_a_convolution_multiplies(c):
    columns = conv_kernels.patches(c.x, c.window)
    ungrouped = np.ones((*c.kernel, c.x.shape[-1], 1))
    expected = reference.conv(c.x, ungrouped, **geometry_of(c))
    assert_close(columns.sum(-1, keepdims=True), expected)
    weights = np.random.default_rng(0).standard_normal(columns.shape)
    back = conv_kernels.patches_transpose(weights, c.window)
    assert back.shape == c.x.shape
    np.testing.assert_allclose(np.vdot(back, c.x), np.vdot(weights, columns), rtol=1e-10, atol=1e-10)


SHAPES = [  # x, w, stride, padding, groups: sizes at which the choices of algorithm differ
    ((4, 28, 28, 1), (3, 3, 1, 32), 1, "valid", 1),
    ((3, 13, 13, 32), (3, 3, 32, 16), 1, "valid", 1),
    ((2, 19, 21, 3), (7, 7, 3, 8), 2, 3, 1),
    ((2, 9, 9, 16), (1, 1, 16, 24), 1, "valid", 1),
    ((2, 9, 9, 16), (1, 1, 16, 24), 2, "same", 1),
    ((3, 9, 11, 16), (3, 3, 4, 8), 1, "same", 4),
    ((3, 9, 11, 16), (3, 3, 1, 32), 2, "same", 16),
    ((2, 40, 16), (5, 16, 8), 3, "same", 1),
    ((2, 6, 7, 8, 4), (3, 3, 3, 4, 8), 1, "same", 1),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding", "groups"), SHAPES)
def test_float32_at_real_sizes(x_shape, w_shape, stride, padding, groups, rng):
    window = conv_window("t", len(x_shape) - 2, x_shape, w_shape, stride, padding, 1, groups, None)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    g = rng.standard_normal((x_shape[0], *window.out_sizes, w_shape[-1]))
    for f, a, b in (
        (conv_kernels.conv, x, w),
        (conv_kernels.conv_input_grad, g, w),
        (conv_kernels.conv_kernel_grad, x, g),
    ):
        exact = f(a, b, window)
        single = f(a.astype(np.float32), b.astype(np.float32), window)
        assert single.dtype == np.float32
        assert_close(single, exact, 1e-5)
        np.testing.assert_array_equal(single, f(a.astype(np.float32), b.astype(np.float32), window))
    y = sum(  # the definition once more, written with NumPy: each offset's product
        np.einsum("...gk,kgc->...gc", part, tap).reshape(g.shape) for part, tap in offset_products(x, w, window)
    )
    assert_close(conv_kernels.conv(x, w, window), y)


def offset_products(x, w, window):
    g, per_group = window.groups, w.shape[-2]
    padded = np.pad(x, ((0, 0), *window.pads, (0, 0)))
    for offset in np.ndindex(window.kernel):
        at = tuple(
            slice(i * d, i * d + (o - 1) * s + 1, s)
            for i, d, o, s in zip(offset, window.dilation, window.out_sizes, window.stride, strict=True)
        )
        part = padded[:, *at]
        yield part.reshape(*part.shape[:-1], g, per_group), w[offset].reshape(per_group, g, -1)


@pytest.mark.parametrize(
    ("x_type", "w_type", "y_type"),
    [line.split() for line in ("f4 f4 f4", "f8 f8 f8", "f4 f8 f8", "f2 f4 f4", "i4 f4 f8", "i8 i8 i8")],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_dtypes_follow_numpy(x_type, w_type, y_type, groups):
    x, w = np.ones((2, 4, 4, 2), x_type), np.ones((3, 3, 2 // groups, 2), w_type)
    window = conv_window("t", 2, x.shape, w.shape, 1, 1, 1, groups, None)
    y = conv_kernels.conv(x, w, window)
    assert y.dtype == np.dtype(y_type)
    assert y.max() == 9 * 2 // groups
    assert conv_kernels.conv_input_grad(y.astype(x_type), w, window).dtype == np.dtype(y_type)
    assert conv_kernels.conv_kernel_grad(x, y.astype(w_type), window).dtype == np.dtype(y_type)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_empty_batch(groups, kernel, padding):
    x, w = np.ones((0, 5, 4, 2)), np.ones((kernel, kernel, 2 // groups, 4))
    window = conv_window("t", 2, x.shape, w.shape, 1, padding, 1, groups, None)
    y = conv_kernels.conv(x, w, window)
    assert y.shape == (0, *window.out_sizes, 4)
    assert conv_kernels.conv_input_grad(y, w, window).shape == x.shape
    dw = conv_kernels.conv_kernel_grad(x, y, window)
    assert dw.shape == w.shape
    assert not dw.any()
    assert conv_kernels.patches(x, window).shape == (0, *window.out_sizes, kernel * kernel * 2)
    assert tg.max_pool2d(x).shape == tg.avg_pool2d(x).shape == (0, 2, 2, 2)


@pytest.mark.parametrize(("c_in", "per_group", "c_out", "groups"), [(0, 0, 3, 1), (3, 3, 0, 1), (2, 1, 0, 2)])
def test_no_channels(c_in, per_group, c_out, groups):
    x, w = np.ones((2, 5, 4, c_in)), np.ones((3, 3, per_group, c_out))
    window = conv_window("t", 2, x.shape, w.shape, 1, 1, 1, groups, None)
    y = conv_kernels.conv(x, w, window)
    np.testing.assert_array_equal(y, np.zeros((2, 5, 4, c_out)))
    np.testing.assert_array_equal(conv_kernels.conv_input_grad(y, w, window), np.zeros(x.shape))
    assert conv_kernels.conv_kernel_grad(x, y, window).shape == w.shape


def test_one_pixel():
    x, w = np.full((1, 1, 1, 1), 3.0), np.arange(9.0).reshape(3, 3, 1, 1)
    np.testing.assert_array_equal(tg.conv2d(x, w, padding="same"), [[[[12.0]]]])
    np.testing.assert_array_equal(tg.conv2d(x, w[:1, :1] + 2), [[[[6.0]]]])
    np.testing.assert_array_equal(tg.max_pool2d(x, 1), x)
    np.testing.assert_array_equal(tg.max_pool2d(x, 3, padding=1), x)
    np.testing.assert_array_equal(tg.avg_pool2d(x, 3, padding="same"), x)


def test_the_lectures_example():
    x = np.array([[1, 0, 2], [2, -1, 4], [0, -5, 3]]).reshape(1, 3, 3, 1)
    w = np.array([[1, -1], [-1, 1]]).reshape(2, 2, 1, 1)
    np.testing.assert_array_equal(tg.conv2d(x, w).reshape(2, 2), [[-2, 3], [-2, 3]])


# ------------------------------------------------------------------------------------------------------------------
# Geometry


@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_same_is_tensorflows_same(n, k, s, d):
    window = conv_window("t", 1, (1, n, 1), (k, 1, 1), s, "same", d, 1, None)
    reach = (k - 1) * d + 1
    total = max(reach - (s if n % s == 0 else n % s), 0)  # as TensorFlow's documentation writes it
    assert window.out_sizes == (math.ceil(n / s),)
    assert window.pads == ((total // 2, total - total // 2),)


@given(geometries())
def test_output_sizes_count_windows(c):
    shape = (1, *c.sizes, 1)
    window = conv_window("t", len(c.kernel), shape, (*c.kernel, 1, 1), c.stride, c.pads, c.dilation, 1, None)
    assert window.out_sizes == reference.out_sizes(c.sizes, c.kernel, c.stride, c.pads, c.dilation)


def test_padding_can_be_written_in_five_ways():
    def pads(padding, rank=2):
        return conv_window("t", rank, (1, *(8,) * rank, 1), (3,) * rank + (1, 1), 1, padding, 1, 1, None).pads

    assert pads("valid") == pads(0) == ((0, 0), (0, 0))
    assert pads("same") == pads(1) == pads((1, 1)) == pads([1, 1]) == pads(((1, 1), (1, 1)))
    assert pads((1, (2, 0))) == ((1, 1), (2, 0))
    assert pads(np.int64(2), 1) == pads((2,), 1) == pads(((2, 2),), 1) == ((2, 2),)


def test_windows_are_values():
    one, two = (conv_window("t", 2, (1, 5, 5, 1), (3, 3, 1, 1), [1, 1], p, 1, 1, None) for p in ((1, 1), 1))
    assert one == two
    assert hash(one) == hash(two)
    assert isinstance(one, Window)


# ------------------------------------------------------------------------------------------------------------------
# Pooling kernels


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(poolings())
def test_max_pooling_equals_the_loops(path, c):
    before = c.x.copy()
    y, argmax = pool_kernels.max_pool(c.x, c.window)
    expected, places = reference.max_pool(c.x, c.kernel, **geometry_of(c))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, places)  # so a tie goes to the first
    np.testing.assert_array_equal(pool_kernels.pool_gather(c.x, argmax, c.window), expected)
    dx = pool_kernels.pool_scatter(c.g, argmax, c.window)
    assert dx.shape == c.x.shape
    np.testing.assert_allclose(np.vdot(dx, c.x), np.vdot(c.g, y), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(c.x, before)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(poolings(), st.integers(0, 2**32))
def test_max_pooling_with_nan_and_infinity(path, c, seed):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(c.x.shape) < 0.3, rng.choice([np.nan, -np.inf, np.inf], c.x.shape), c.x)
    y, argmax = pool_kernels.max_pool(x, c.window)
    expected, places = reference.max_pool(x, c.kernel, **geometry_of(c))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, places)
    np.testing.assert_array_equal(pool_kernels.pool_gather(x, argmax, c.window), expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(poolings(), st.booleans())
def test_average_pooling_equals_the_loops(path, c, count_include_pad):
    before = c.x.copy()
    y = pool_kernels.avg_pool(c.x, c.window, count_include_pad)
    expected = reference.avg_pool(c.x, c.kernel, **geometry_of(c), count_include_pad=count_include_pad)
    assert_close(y, expected)
    dx = pool_kernels.avg_pool_transpose(c.g, c.window, count_include_pad)
    assert dx.shape == c.x.shape
    np.testing.assert_allclose(np.vdot(dx, c.x), np.vdot(c.g, y), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(c.x, before)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "i8", "u1", "?"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2])
def test_pooling_keeps_dtypes(dtype, padding, stride):
    x = np.arange(25).reshape(1, 5, 5, 1).astype(dtype)
    window = pool_window("t", 2, x.shape, 2, stride, padding, 1, None)
    y, argmax = pool_kernels.max_pool(x, window)
    expected, places = reference.max_pool(x.astype(float), window.kernel, window.stride, window.pads, window.dilation)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, places)
    np.testing.assert_array_equal(pool_kernels.pool_gather(x, argmax, window), y)
    assert pool_kernels.pool_scatter(y, argmax, window).dtype == x.dtype
    mean = pool_kernels.avg_pool(x, window)
    assert mean.dtype == (x.dtype if x.dtype.kind == "f" else np.float64)


@pytest.mark.parametrize("lowest", [np.full((1, 4, 3, 1), -np.inf), np.full((1, 4, 3, 1), -128, np.int8)])
def test_padding_never_wins(lowest):
    window = pool_window("t", 2, lowest.shape, 3, 2, 1, 1, None)
    _, argmax = pool_kernels.max_pool(lowest, window)
    _, places = reference.max_pool(lowest, window.kernel, window.stride, window.pads, window.dilation)
    np.testing.assert_array_equal(argmax, places)
    assert pool_kernels.pool_scatter(np.ones(argmax.shape), argmax, window).sum() == argmax.size


@pytest.mark.parametrize(("kernel", "dtype"), [((16, 16), np.uint8), ((16, 17), np.uint16)])
def test_places_take_the_smallest_dtype_that_holds_them(kernel, dtype):
    x = np.zeros((1, *kernel, 1))
    x[0, -1, -1, 0] = 1
    window = pool_window("t", 2, x.shape, kernel, None, "valid", 1, None)
    _, argmax = pool_kernels.max_pool(x, window)
    assert argmax.dtype == dtype
    assert argmax.item() == kernel[0] * kernel[1] - 1


def test_an_infinite_gradient_stays_where_it_belongs():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    for stride in (1, 2):
        window = pool_window("t", 2, x.shape, 2, stride, "valid", 1, None)
        y, argmax = pool_kernels.max_pool(x, window)
        dx = pool_kernels.pool_scatter(np.full(y.shape, np.inf), argmax, window)
        assert np.isinf(dx).sum() == y.size
        assert not np.isnan(dx).any()


@given(poolings())
def test_global_pooling(c):
    axes = tuple(range(1, c.x.ndim - 1))
    np.testing.assert_array_equal(tg.global_max_pool(c.x), c.x.max(axes))
    np.testing.assert_allclose(tg.global_avg_pool(c.x, keepdims=True), c.x.mean(axes, keepdims=True), atol=1e-12)
    first, back = np.moveaxis(c.x, -1, 1), tuple(axis + 1 for axis in axes)
    for pool, reduced in ((tg.global_max_pool, first.max), (tg.global_avg_pool, first.mean)):
        for keepdims in (False, True):
            y = pool(first, keepdims=keepdims, data_format="channels_first")
            expected = reduced(back, keepdims=keepdims)
            assert y.shape == expected.shape
            np.testing.assert_allclose(y, expected, atol=1e-12)
    grad = tg.grad(lambda x: tg.sum(tg.global_max_pool(x)))(c.x).numpy()
    whole = pool_window("t", len(axes), c.x.shape, c.sizes, None, "valid", 1, None)
    _, argmax = pool_kernels.max_pool(c.x, whole)
    np.testing.assert_array_equal(grad, pool_kernels.pool_scatter(np.ones(argmax.shape), argmax, whole))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", "i8", "u1", "?"])
def test_whole_windows_keep_dtypes(dtype, rng):
    x = rng.integers(0, 2, (3, 5, 4, 2)).astype(dtype)
    window = pool_window("t", 2, x.shape, (5, 4), None, "valid", 1, None)
    y, argmax = pool_kernels.max_pool(x, window)
    expected, places = reference.max_pool(x.astype(float), window.kernel, window.stride, window.pads, window.dilation)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, places)
    mean = pool_kernels.avg_pool(x, window)
    assert mean.dtype == (x.dtype if x.dtype.kind == "f" else np.float64)
    np.testing.assert_allclose(mean, x.astype(float).mean((1, 2), keepdims=True), rtol=1e-3)
    assert tg.global_max_pool(x).dtype == y.dtype
    assert tg.global_avg_pool(x).dtype == mean.dtype


def test_global_pooling_of_nan_and_of_nothing():
    x = np.array([1.0, np.nan, 3.0, np.inf, -np.inf, -np.inf]).reshape(1, 3, 1, 2)
    followed = tg.Tensor(x, requires_grad=True)
    for y in (tg.global_max_pool(x), tg.global_max_pool(followed).numpy()):  # by two ways
        np.testing.assert_array_equal(y, [[3.0, np.nan]])
    tg.global_max_pool(followed).backward(np.ones((1, 2)))
    np.testing.assert_array_equal(followed.grad.numpy().reshape(3, 2), [[0, 1], [1, 0], [0, 0]])
    for shape in ((0, 3, 2, 4), (2, 3, 2, 0)):
        for pool in (tg.global_max_pool, tg.global_avg_pool):
            assert pool(np.ones(shape)).shape == (shape[0], shape[-1])


# ------------------------------------------------------------------------------------------------------------------
# Where kernels write


def conv_calls(c):
    yield conv_kernels.conv, (c.x, c.w, c.window)
    yield conv_kernels.conv_input_grad, (c.g, c.w, c.window)
    yield conv_kernels.conv_kernel_grad, (c.x, c.g, c.window)
    columns = conv_kernels.patches(c.x, c.window)
    yield conv_kernels.patches, (c.x, c.window)
    yield conv_kernels.patches_transpose, (columns, c.window)


def pool_calls(c):
    _, argmax = pool_kernels.max_pool(c.x, c.window)
    yield pool_kernels.max_pool, (c.x, c.window)
    yield pool_kernels.pool_gather, (c.x, argmax, c.window)
    yield pool_kernels.pool_scatter, (c.g, argmax, c.window)
    yield pool_kernels.avg_pool, (c.x, c.window)
    yield pool_kernels.avg_pool_transpose, (c.g, c.window)


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.one_of(convolutions().map(conv_calls), poolings().map(pool_calls)))
def test_a_result_can_be_written_where_one_wants(path, calls):
    for f, arguments in calls:
        expected = as_tuple(f(*arguments))
        out = tuple(np.full_like(a, 3) for a in expected)
        written = as_tuple(f(*arguments, out=out if len(out) > 1 else out[0]))
        for a, b, e in zip(written, out, expected, strict=True):
            assert a is b
            np.testing.assert_array_equal(b, e)  # to the bit, and nothing of what was there before


@pytest.mark.parametrize("spoil", [lambda a: a[:-1], lambda a: a.astype("f2"), lambda a: a[..., ::-1]])
def test_results_are_not_written_where_they_do_not_fit(spoil):
    x = np.ones((2, 4, 4, 2))
    window = pool_window("t", 2, x.shape, 2, None, "valid", 1, None)
    y, argmax = pool_kernels.max_pool(x, window)
    message = r"expected out to be C-contiguous, of shape .* and dtype .*: use np\.empty"
    with pytest.raises(ArgumentError, match=message):
        pool_kernels.avg_pool(x, window, out=spoil(y))
    with pytest.raises(ArgumentError, match=message):
        pool_kernels.max_pool(x, window, out=(y, spoil(argmax)))
    w = np.ones((3, 3, 2, 3))
    window = conv_window("t", 2, x.shape, w.shape, 1, 1, 1, 1, None)
    with pytest.raises(ArgumentError, match=message):
        conv_kernels.conv(x, w, window, out=spoil(conv_kernels.conv(x, w, window)))


def test_temporaries_of_threads_are_apart(rng):
    xs, w = rng.standard_normal((8, 4, 20, 20, 8)), rng.standard_normal((3, 3, 8, 8))
    window = conv_window("t", 2, xs[0].shape, w.shape, 1, "same", 1, 1, None)
    expected = [conv_kernels.conv(x, w, window) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda x: conv_kernels.conv(x, w, window), [*xs] * 20))
    for y, e in zip(results, expected * 20, strict=True):
        np.testing.assert_array_equal(y, e)


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(scratch, "MOST_BYTES", 100)
    before = dict(scratch._store.buffers)
    large = scratch.scratch("t", (26,), np.dtype("f4"))
    assert large.shape == (26,)
    assert scratch._store.buffers == before
    small = scratch.scratch("t", (5, 5), np.dtype("f4"))
    assert small.ctypes.data % 64 == 0  # at a cache line
    assert np.shares_memory(small, scratch.scratch("t", (3,), np.dtype("f8")))
    assert not np.shares_memory(small, scratch.scratch("u", (3,), np.dtype("f8")))


# ------------------------------------------------------------------------------------------------------------------
# Public functions

CONV = {1: tg.conv1d, 2: tg.conv2d, 3: tg.conv3d}
CONV_TRANSPOSE = {1: tg.conv1d_transpose, 2: tg.conv2d_transpose, 3: tg.conv3d_transpose}
MAX_POOL = {1: tg.max_pool1d, 2: tg.max_pool2d, 3: tg.max_pool3d}
AVG_POOL = {1: tg.avg_pool1d, 2: tg.avg_pool2d, 3: tg.avg_pool3d}


@given(convolutions())
def test_public_convolution_in_both_layouts(c):
    f, b = CONV[len(c.kernel)], np.arange(c.w.shape[-1]) * 1.0
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation, "groups": c.groups}
    expected = reference.conv(c.x, c.w, **geometry_of(c, "groups")) + b
    y = f(c.x, c.w, b, **options)
    assert type(y) is np.ndarray
    assert_close(y, expected)
    first = f(np.moveaxis(c.x, -1, 1), c.w, b, **options, data_format="channels_first")
    assert_close(np.moveaxis(first, 1, -1), expected)
    recorded = f(tg.Tensor(c.x), c.w.tolist(), tg.Tensor(b), **options, data_format=None)
    assert isinstance(recorded, tg.Tensor)
    assert_close(recorded.numpy(), expected)


@given(geometries(), st.data())
def test_transposed_convolution_equals_scatter_and_crop(c, data):
    rank, rng = len(c.kernel), np.random.default_rng(data.draw(st.integers(0, 2**32)))
    extra = tuple(data.draw(st.integers(0, s - 1)) for s in c.stride)
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(
        c.sizes, c.stride, c.dilation, c.kernel, extra, strict=True)]  # fmt: skip
    pads = tuple((0, 0) if sum(p) >= m else p for p, m in zip(c.pads, full, strict=True))
    x, w = rng.standard_normal((2, *c.sizes, 2)), rng.standard_normal((*c.kernel, 3, 2))
    y = CONV_TRANSPOSE[rank](x, w, stride=c.stride, padding=pads, output_padding=extra, dilation=c.dilation)
    assert_close(y, reference.conv_transpose(x, w, c.stride, pads, extra, c.dilation))


@pytest.mark.parametrize(
    ("n", "k", "stride", "padding", "output_padding", "dilation", "size"),
    [  # what Keras 3's Conv2DTranspose gives
        (5, 3, 2, "valid", None, 1, 11), (5, 2, 3, "valid", None, 1, 15), (5, 3, 2, "valid", 1, 1, 12),
        (5, 3, 2, "valid", 0, 1, 11), (5, 3, 1, "valid", None, 2, 9), (5, 3, 2, "same", None, 1, 10),
        (5, 3, 2, "same", 0, 1, 9), (5, 3, 2, "same", 1, 1, 10), (5, 4, 2, "same", None, 1, 10),
        (5, 4, 2, "same", 1, 1, 9), (5, 2, 3, "same", None, 1, 15), (5, 1, 2, "same", 0, 1, 9),
        (5, 3, 1, "same", None, 1, 5), (1, 5, 2, "same", None, 1, 2),
    ],
)  # fmt: skip
def test_transposed_sizes_are_those_of_keras(n, k, stride, padding, output_padding, dilation, size):
    x, w = np.ones((1, n, n, 1)), np.ones((k, k, 1, 1))
    y = tg.conv2d_transpose(x, w, None, stride, padding, output_padding, dilation)
    assert y.shape == (1, size, size, 1)
    window, beyond = transpose_window("t", 2, x.shape, w.shape, stride, padding, output_padding, dilation, 1, None)
    assert not any(beyond)
    again = conv_window("t", 2, y.shape, w.shape, stride, window.pads, dilation, 1, None)
    assert again.out_sizes == (n, n)  # it is the transpose of a convolution back to n
    if padding == "same" and output_padding is None:
        assert again == conv_window("t", 2, y.shape, w.shape, stride, "same", dilation, 1, None)


@given(convolutions())
def test_transposed_convolution_is_the_gradient(c):
    rank = len(c.kernel)
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation, "groups": c.groups}
    extra = tuple(
        n - (o - 1) * s - d * (k - 1) - 1 + sum(p)
        for n, o, s, d, k, p in zip(c.sizes, c.window.out_sizes, c.stride, c.dilation, c.kernel, c.pads, strict=True)
    )
    dx = tg.grad(lambda x: tg.sum(CONV[rank](x, c.w, **options) * c.g))(c.x).numpy()
    assert_close(CONV_TRANSPOSE[rank](c.g, c.w, output_padding=extra, **options), dx)


@given(geometries(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**32))
def test_depthwise_and_separable(c, channels, multiplier, seed):
    if len(c.kernel) != 2:
        return
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, *c.sizes, channels)), rng.standard_normal((*c.kernel, channels, multiplier))
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation}
    b = rng.standard_normal(channels * multiplier)
    expected = reference.depthwise_conv2d(x, w, **geometry_of(c))
    assert_close(tg.depthwise_conv2d(x, w, b, **options), expected + b)
    pointwise = rng.standard_normal((1, 1, channels * multiplier, 2))
    mixed = expected @ pointwise[0, 0] + [1.0, 2.0]
    assert_close(tg.separable_conv2d(x, w, pointwise, [1.0, 2.0], **options), mixed)
    first = tg.separable_conv2d(
        np.moveaxis(x, -1, 1), w, pointwise, [1.0, 2.0], **options, data_format="channels_first"
    )
    assert_close(first, np.moveaxis(mixed, -1, 1))


@given(geometries(), st.integers(1, 2), st.integers(0, 2**32))
def test_locally_connected(c, channels, seed):
    if len(c.kernel) != 2:
        return
    rng = np.random.default_rng(seed)
    out = reference.out_sizes(c.sizes, c.kernel, c.stride, c.pads, c.dilation)
    x = rng.standard_normal((2, *c.sizes, channels))
    w = rng.standard_normal((*out, math.prod(c.kernel) * channels, 3))
    b = rng.standard_normal((*out, 3))
    options = {"kernel_size": c.kernel, "stride": c.stride, "padding": c.pads, "dilation": c.dilation}
    expected = reference.locally_connected2d(x, w, c.kernel, **geometry_of(c))
    assert_close(tg.locally_connected2d(x, w, b, **options), expected + b)
    assert_close(tg.locally_connected2d(x, w, b[0, 0], **options), expected + b[0, 0])
    first = tg.locally_connected2d(np.moveaxis(x, -1, 1), w, **options, data_format="channels_first")
    assert_close(first, np.moveaxis(expected, -1, 1))


def test_without_sharing_equals_with_sharing_if_all_kernels_are_equal(rng):
    x, w = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((3, 2, 3, 4))
    y = tg.conv2d(x, w)
    each = np.broadcast_to(w.reshape(-1, 4), (*y.shape[1:3], 18, 4))
    assert_close(tg.locally_connected2d(x, each, kernel_size=(3, 2)), y)


@given(poolings(), st.booleans())
def test_public_pooling_in_both_layouts(c, include):
    rank = len(c.kernel)
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation}
    largest, _ = reference.max_pool(c.x, c.kernel, **geometry_of(c))
    mean = reference.avg_pool(c.x, c.kernel, **geometry_of(c), count_include_pad=include)
    assert_close(MAX_POOL[rank](c.x, c.kernel, **options), largest)
    assert_close(tg.max_pool(c.x, c.kernel, **options), largest)
    assert_close(AVG_POOL[rank](c.x, c.kernel, **options, count_include_pad=include), mean)
    assert_close(tg.avg_pool(c.x.tolist(), c.kernel, **options, count_include_pad=include), mean)
    first = np.moveaxis(c.x, -1, 1)
    y = MAX_POOL[rank](tg.Tensor(first), c.kernel, **options, data_format="channels_first").numpy()
    assert_close(np.moveaxis(y, 1, -1), largest)
    y = AVG_POOL[rank](first, c.kernel, **options, data_format="channels_first", count_include_pad=include)
    assert_close(np.moveaxis(y, 1, -1), mean)


def test_pooling_over_four_axes():
    x = np.arange(2 * 4**4).reshape(2, 4, 4, 4, 4, 1).astype(float)
    assert tg.max_pool(x).shape == (2, 2, 2, 2, 2, 1)
    np.testing.assert_allclose(tg.avg_pool(x).mean(), x.mean())


def test_same_padding_is_never_counted():
    x = np.ones((1, 3, 3, 1))
    for include in (False, True):
        y = tg.avg_pool2d(x, 2, padding="same", count_include_pad=include)
        np.testing.assert_array_equal(y, np.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(tg.avg_pool2d(x, 2, padding=1, count_include_pad=True)[0, 0, 0], [0.25])


# ------------------------------------------------------------------------------------------------------------------
# Derivatives


@settings(max_examples=15)
@given(convolutions())
def test_derivatives_of_convolutions(c):
    rank = len(c.kernel)
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation, "groups": c.groups}
    b = np.ones(c.w.shape[-1])
    check_gradients(lambda x, w, b: CONV[rank](x, w, b, **options), c.x, c.w, b, name="conv")


@settings(max_examples=15)
@given(geometries(), st.integers(0, 2**32), st.sampled_from(("valid", "same")))
def test_derivatives_of_transposed_convolutions(c, seed, padding):
    rng, rank = np.random.default_rng(seed), len(c.kernel)
    x, w = rng.standard_normal((1, *c.sizes, 2)), rng.standard_normal((*c.kernel, 1, 2))
    options = {"stride": c.stride, "padding": padding, "dilation": c.dilation}
    check_gradients(lambda x, w: CONV_TRANSPOSE[rank](x, w, **options), x, w, name="conv_transpose")


@settings(max_examples=15)
@given(poolings(), st.integers(0, 2**32))
def test_derivatives_of_poolings(c, seed):
    x = np.random.default_rng(seed).permutation(c.x.size).reshape(c.x.shape) / c.x.size  # no ties
    options = {"stride": c.stride, "padding": c.pads, "dilation": c.dilation}
    # The square makes second derivatives that are not all zero.
    check_gradients(lambda x: tg.square(MAX_POOL[len(c.kernel)](x, c.kernel, **options)), x, name="max_pool")
    check_gradients(lambda x: tg.square(AVG_POOL[len(c.kernel)](x, c.kernel, **options)), x, name="avg_pool")


def test_derivatives_of_the_rest(rng):
    x = rng.standard_normal((2, 5, 4, 2))
    w = rng.standard_normal((2, 2, 12, 3))
    options = {"kernel_size": (3, 2), "stride": 2, "padding": ((0, 1), (0, 0))}
    check_gradients(lambda x, w: tg.locally_connected2d(x, w, **options), x, w[:, :2], name="locally_connected2d")
    check_gradients(
        lambda x, d, p: tg.separable_conv2d(x, d, p, padding="same"),
        x, rng.standard_normal((3, 3, 2, 2)), rng.standard_normal((1, 1, 4, 2)), name="separable_conv2d",
    )  # fmt: skip
    check_gradients(lambda x: tg.square(tg.global_avg_pool(x)), x, name="global_avg_pool")
    check_gradients(lambda x: tg.square(tg.global_max_pool(x)), x, name="global_max_pool")


def test_gradients_are_plain_memory(rng):
    """A convolution saves its inputs, and nothing else."""
    x = tg.Tensor(rng.standard_normal((2, 6, 6, 1)), requires_grad=True)
    w = tg.Tensor(rng.standard_normal((3, 3, 1, 2)), requires_grad=True)
    node = tg.conv2d(x, w).node
    assert [a is not None for a in node.saved] == [True, True, False, False]
    assert node.saved[0] is x._array


# ------------------------------------------------------------------------------------------------------------------
# Errors, and taking their advice


def options_of(message):
    """The alternatives after the last "use": ``groups=2, or w of shape (3, 3, 3, 16)`` gives two."""
    return re.split(r", or (?=[a-z])", message.rsplit("use ", 1)[1])


def follow(advice, arguments):
    """The arguments changed as one piece of advice says."""
    out = dict(arguments)
    shape = re.search(r"\b(w|b|x|depthwise|pointwise) of shape (\(.*?\))", advice)
    if shape:
        out[shape[1]] = np.ones(ast.literal_eval(shape[2]))
    for name, value in re.findall(r"(\w+)=(\"\w+\"|\(.*\)|-?\d+)", advice):
        out[name] = ast.literal_eval(value)
    most = re.search(r"a (kernel_size|kernel|pool_size) of at most (\(.*?\)|\d+)", advice)
    if most:
        value = ast.literal_eval(most[2])
        if most[1] == "kernel":
            w = out["w"] if "w" in out else out["depthwise"]
            rank = w.ndim - 2
            kernel = (value,) * rank if isinstance(value, int) else value
            kernel = tuple(min(k, m) for k, m in zip(w.shape, kernel, strict=False))
            out["w" if "w" in out else "depthwise"] = np.ones((*kernel, *w.shape[-2:]))
        else:
            out[most[1]] = value
    index = re.search(r"x(\[[^\]]*None\])", advice)
    if index:
        out["x"] = eval(f"x{index[1]}", {"x": out["x"]})
    assert out.keys() != arguments.keys() or any(out[k] is not arguments[k] for k in out), f"no advice in {advice!r}"
    return out


def shaped(**arguments):
    return {k: np.ones(v) if k in ("x", "w", "b", "depthwise", "pointwise") else v for k, v in arguments.items()}


def bad(f, message, error=ShapeError, **arguments):
    """A bad call, shapes standing for arrays, and what its message says, "…" standing for anything."""
    return pytest.param(
        f, arguments, error, ".*".join(map(re.escape, message.split("…"))), id=f"{f.__name__}: {message}"
    )


def bad_numbers(f, name, **arguments):
    """Strides and dilations that are none."""
    for value, error, fix in (
        (0, ArgumentError, "1"), (-1, ArgumentError, "1"), (1.5, DTypeError, "2"), ("a", DTypeError, "1"),
        ((1, 0), ArgumentError, "1"), ((2, 1, 1), ArgumentError, "(2, 1)"), ((2.0, 1), DTypeError, "(2, 1)"),
        ((), ArgumentError, "1"), ([3, -2], ArgumentError, "(3, 1)"),
    ):  # fmt: skip
        message = f"expected {name} to be an int >= 1, or 2 of them (H, W), got {value!r}; use {name}={fix}"
        yield bad(f, message, error, **arguments, **{name: value})


def bad_paddings(f, **arguments):
    for value, error, fix in (
        ("full", ArgumentError, '"valid"'), ("SAME", ArgumentError, '"same"'), ("Valid", ArgumentError, '"valid"'),
        (-1, ArgumentError, "0"), (1.0, DTypeError, "1"), (None, DTypeError, "0"), ((1, 1, 1), ArgumentError, "1"),
        ((1, 0, 2, 2), ArgumentError, "((1, 0), (2, 2))"), ((1, -1), ArgumentError, "(1, 0)"),
        (((1, 0),), ArgumentError, "((1, 0), (0, 0))"), (((1, 2, 3), 1), ArgumentError, "((1, 2), (1, 1))"),
        ((1, "x"), DTypeError, "(1, 0)"),
    ):  # fmt: skip
        yield bad(f, f"expected padding to be …, got {value!r}; use padding={fix}", error, **arguments, padding=value)


BAD = [
    # channels and groups
    bad(
        tg.conv2d,
        "conv2d: expected x.shape[3] == w.shape[2] * groups, got 6 and 4 * 2 (x (8, 32, 32, 6), w (3, 3, "
        "4, 16)): use w of shape (3, 3, 3, 16)",
        x=(8, 32, 32, 6),
        w=(3, 3, 4, 16),
        groups=2,
    ),
    bad(tg.conv2d, "got 8 and 4 * 1 …: use groups=2, or w of shape", x=(8, 9, 9, 8), w=(3, 3, 4, 16)),
    bad(tg.conv2d, "use groups=1 with w of shape", x=(8, 9, 9, 5), w=(3, 3, 4, 16), groups=2),
    bad(tg.conv2d, 'or data_format="channels_first"', x=(2, 3, 9, 9), w=(3, 3, 3, 4)),
    bad(
        tg.conv2d,
        'expected x.shape[1] == w.shape[2] * groups…or data_format="channels_last"',
        x=(2, 9, 9, 3),
        w=(3, 3, 3, 4),
        data_format="channels_first",
    ),
    bad(tg.conv2d, "groups to divide C_out…got groups=2 and 5", x=(2, 9, 9, 4), w=(3, 3, 2, 5), groups=2),
    bad(
        tg.conv2d,
        "groups to be an int >= 1, got 0; use groups=1",
        ArgumentError,
        x=(2, 9, 9, 4),
        w=(3, 3, 4, 5),
        groups=0,
    ),
    bad(tg.conv2d, "use groups=1", ArgumentError, x=(2, 9, 9, 4), w=(3, 3, 4, 5), groups=-2),
    bad(tg.conv2d, "use groups=2", DTypeError, x=(2, 9, 9, 4), w=(3, 3, 2, 4), groups=2.0),
    bad(tg.conv1d, "conv1d: expected x.shape[2] == w.shape[1] * groups", x=(8, 32, 6), w=(3, 4, 16)),
    bad(tg.conv3d, "conv3d: expected x.shape[4] == w.shape[3]", x=(1, 4, 4, 4, 6), w=(3, 3, 3, 4, 16)),
    bad(
        tg.depthwise_conv2d,
        "depthwise_conv2d: expected x.shape[3] == w.shape[2], got 4 and 3",
        x=(2, 9, 9, 4),
        w=(3, 3, 3, 2),
    ),
    bad(tg.conv2d_transpose, "use w of shape (3, 3, 8, 4)", x=(2, 9, 9, 4), w=(3, 3, 4, 8)),
    bad(tg.conv2d_transpose, "use w of shape (3, 3, 5, 4)", x=(2, 9, 9, 4), w=(3, 3, 5, 8)),
    bad(tg.conv2d_transpose, "use groups=2", x=(2, 9, 9, 4), w=(3, 3, 5, 4), groups=3),
    bad(
        tg.separable_conv2d,
        "C * multiplier, C_out), got (1, 1, 4, 3) …use pointwise of shape (1, 1, 8, 3)",
        x=(2, 9, 9, 4),
        depthwise=(3, 3, 4, 2),
        pointwise=(1, 1, 4, 3),
    ),
    bad(
        tg.separable_conv2d,
        "separable_conv2d: expected x.shape[3] == depthwise.shape[2], got 4 and 3",
        x=(2, 9, 9, 4),
        depthwise=(3, 3, 3, 2),
        pointwise=(1, 1, 8, 3),
    ),
    bad(tg.separable_conv2d, "does not fit", x=(2, 2, 2, 4), depthwise=(3, 3, 4, 2), pointwise=(1, 1, 8, 3)),
    bad(
        tg.separable_conv2d,
        "use pointwise of shape (1, 1, 8, 3)",
        x=(2, 9, 9, 4),
        depthwise=(3, 3, 4, 2),
        pointwise=(3, 3, 8, 3),
    ),
    bad(
        tg.locally_connected2d,
        "oh = 4, ow = 4 and kh * kw * C = 3 * 3 * 1 = 9, got (3, 3, 9, 2)…: use w of shape (4, 4, 9, 2)",
        x=(2, 6, 6, 1),
        w=(3, 3, 9, 2),
    ),
    # axes
    bad(
        tg.conv2d,
        "expected x of 4 axes (N, H, W, C), got 3 …: use x[None] for a batch of one",
        x=(9, 9, 3),
        w=(3, 3, 3, 4),
    ),
    bad(tg.conv2d, "use x[..., None] for one channel", x=(2, 9, 9), w=(3, 3, 1, 4)),
    bad(tg.conv2d, "(N, C, H, W)…use x[:, None]", x=(2, 9, 9), w=(3, 3, 1, 4), data_format="channels_first"),
    bad(tg.conv1d, "(N, L, C)", x=(9, 3), w=(3, 3, 4)),
    bad(tg.conv3d, "(N, D, H, W, C)", x=(9, 9, 9, 3), w=(3, 3, 3, 3, 4)),
    bad(tg.max_pool2d, "max_pool2d: expected x of 4 axes …: use x[None] for a batch of one", x=(9, 9, 1)),
    bad(tg.avg_pool2d, "use x[None] for a batch of one, or x[..., None] for one channel", x=(9, 9, 9)),
    bad(tg.depthwise_conv2d, "use x[None]", x=(9, 9, 3), w=(3, 3, 3, 1)),
    bad(tg.conv2d_transpose, "use x[None]", x=(9, 9, 3), w=(3, 3, 5, 3)),
    # kernels that do not fit
    bad(
        tg.conv2d,
        "conv2d: the kernel does not fit: oh = (H + top + bottom - dilation * (kh - 1) - 1) // stride + 1 "
        "= (2 + 0 + 0 - 1 * (3 - 1) - 1) // 1 + 1 = 0 (x (1, 2, 2, 1), w (3, 3, 1, 1)); use a kernel of at "
        "most 2, or padding=1",
        x=(1, 2, 2, 1),
        w=(3, 3, 1, 1),
    ),
    bad(tg.conv2d, "ow = (W …use a kernel of at most (3, 2), or padding=(0, 2)", x=(1, 5, 2, 1), w=(3, 6, 1, 1)),
    bad(tg.conv2d, "at most 2, or padding=2", x=(1, 4, 4, 1), w=(3, 3, 1, 1), dilation=3, stride=2),
    bad(tg.conv2d, "use a kernel", x=(1, 1, 2, 1), w=(5, 5, 1, 1), padding=((1, 0), (0, 1))),
    bad(tg.conv1d, "ol = (L + left + right", x=(1, 2, 1), w=(3, 1, 1)),
    bad(tg.conv3d, "od = (D + front + back", x=(1, 2, 3, 3, 1), w=(3, 3, 3, 1, 1)),
    bad(tg.depthwise_conv2d, "depthwise_conv2d: the kernel does not fit", x=(1, 2, 2, 2), w=(3, 3, 2, 1)),
    bad(tg.max_pool2d, "use a pool_size of at most (2, 3), or padding=1", x=(1, 2, 3, 1), pool_size=4),
    bad(tg.max_pool2d, "use a pool_size of at most 1", x=(1, 1, 1, 1), pool_size=2, dilation=2, padding=0),
    bad(tg.avg_pool1d, "avg_pool1d: the kernel does not fit", x=(1, 1, 1), pool_size=2),
    bad(
        tg.locally_connected2d,
        "use a kernel_size of at most 2 with w of shape (1, 1, 4, 2), or padding=1 with w of shape (2, 2, 9, 2)",
        x=(2, 2, 2, 1),
        w=(1, 1, 9, 2),
    ),
    bad(
        tg.conv2d_transpose,
        "nothing is left after cropping: oh = (H - 1) * stride + dilation * (kh - 1) + 1 - (top + bottom) "
        "+ output_padding = (1 - 1) * 1 + 1 * (2 - 1) + 1 - (1 + 1) + 0 = 0 …use padding=0",
        x=(1, 1, 1, 1),
        w=(2, 2, 1, 1),
        padding=1,
    ),
    bad(tg.conv2d_transpose, "use padding=", x=(1, 1, 3, 1), w=(2, 2, 1, 1), padding=((3, 0), (0, 1))),
    bad(tg.conv2d_transpose, "use output_padding=0", ArgumentError, x=(1, 1, 1, 1), w=(2, 2, 1, 1), output_padding=1),
    bad(
        tg.conv2d_transpose,
        "use output_padding=(0, 2)",
        ArgumentError,
        x=(1, 2, 2, 1),
        w=(2, 2, 1, 1),
        stride=(1, 3),
        output_padding=2,
    ),
    bad(tg.conv2d_transpose, "an int >= 0", ArgumentError, x=(1, 2, 2, 1), w=(2, 2, 1, 1), output_padding=-1),
    # windows of nothing but padding
    bad(tg.max_pool2d, "window 0 along H lies entirely in padding…use padding=1", x=(1, 4, 4, 1), padding=2),
    bad(tg.avg_pool2d, "along W lies entirely in padding", x=(1, 4, 4, 1), padding=((0, 0), (0, 5))),
    bad(tg.max_pool1d, "entirely in padding", x=(1, 1, 1), dilation=2, padding="same"),
    bad(tg.max_pool1d, "entirely in padding", x=(1, 1, 1), pool_size=2, dilation=2, padding=1),
    # numbers
    *bad_numbers(tg.conv2d, "stride", x=(1, 9, 9, 1), w=(3, 3, 1, 1)),
    *bad_numbers(tg.conv2d_transpose, "dilation", x=(1, 9, 9, 1), w=(3, 3, 1, 1)),
    *bad_numbers(tg.max_pool2d, "stride", x=(1, 9, 9, 1)),
    *bad_numbers(tg.avg_pool2d, "pool_size", x=(1, 9, 9, 1)),
    bad(tg.max_pool2d, "pool_size to be an int >= 1…use pool_size=1", ArgumentError, x=(1, 9, 9, 1), pool_size=0),
    bad(tg.conv1d, "an int >= 1, got", ArgumentError, x=(1, 9, 1), w=(3, 1, 1), stride=(1, 2)),
    *bad_paddings(tg.conv2d, x=(1, 9, 9, 1), w=(3, 3, 1, 1)),
    *bad_paddings(tg.avg_pool2d, x=(1, 9, 9, 1), pool_size=3),
    bad(tg.conv2d, 'use data_format="channels_', ArgumentError, x=(1, 9, 9, 1), w=(3, 3, 1, 1), data_format="NHWC"),
    bad(tg.max_pool2d, 'use data_format="channels_first"', ArgumentError, x=(1, 1, 9, 9), data_format="channels_frist"),
    bad(
        tg.conv2d,
        "expected b of shape (C_out,) = (4,), got (3,): use b of shape (4,)",
        x=(1, 9, 9, 1),
        w=(3, 3, 1, 4),
        b=(3,),
    ),
    bad(tg.conv2d, "use b of shape (1,)", x=(1, 9, 9, 1), w=(3, 3, 1, 1), b=(1, 1)),
    bad(tg.locally_connected2d, "use b of shape (4, 4, 2)", x=(2, 6, 6, 1), w=(4, 4, 9, 2), b=(3,)),
]


@pytest.mark.parametrize(("f", "arguments", "error", "message"), BAD)
def test_errors_give_advice_that_works(f, arguments, error, message):
    arguments = shaped(**arguments)
    with pytest.raises(error, match=message) as caught:
        f(**arguments)
    assert isinstance(caught.value, (ValueError, TypeError))
    text = str(caught.value)
    assert text.startswith(f"{f.__name__}: ")
    for advice in options_of(text):
        f(**follow(advice, arguments))


ONE = np.ones((1, 3, 3, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tg.conv2d(ONE, np.ones((3, 3))),
            ShapeError,
            "conv2d: expected w of 4 axes (kh, kw, C_in/groups, C_out)",
        ),
        (lambda: tg.conv2d_transpose(ONE, np.ones(3)), ShapeError, "(kh, kw, C_out/groups, C_in), got 1 (x"),
        (lambda: tg.conv2d(ONE, np.ones((0, 3, 1, 1))), ShapeError, "a kernel of at least 1 on each axis, got (0, 3)"),
        (lambda: tg.conv2d(ONE[:, :0], ONE), ShapeError, "at least 1 element along H, W, got (0, 3)"),
        (lambda: tg.conv2d(np.ones(9), ONE), ShapeError, "x of 4 axes"),
        (lambda: tg.conv2d([["a"]], ONE), DTypeError, "expected numbers"),
        (lambda: tg.conv2d(np.array([["a"]]), ONE), DTypeError, "conv2d: expected x to be an array of real numbers"),
        (lambda: tg.max_pool2d(ONE + 1j), DTypeError, "real numbers, got ndarray (1, 3, 3, 1) complex128"),
        (lambda: tg.max_pool(np.ones((3, 3))), ShapeError, "max_pool: expected x of at least 3 axes"),
        (lambda: tg.global_avg_pool(np.ones((3, 0, 3))), ShapeError, "global_avg_pool: expected at least 1 element"),
    ],
)
def test_errors_without_a_single_fix(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3))
def test_any_pooling_works_or_its_advice_does(n, k, s, d, before, after):
    arguments = {"x": np.ones((1, n, 1)), "pool_size": k, "stride": s, "dilation": d, "padding": ((before, after),)}
    try:
        tg.max_pool1d(**arguments)
    except ShapeError as error:
        options = options_of(str(error))
        assert options
        for advice in options:
            tg.max_pool1d(**follow(advice, arguments))


# ------------------------------------------------------------------------------------------------------------------
# One of two numbers


OTHERS = (
    0, 0.0, -0.0, False, 0j, 1.5, 10**4, np.float32(0), np.float64(0), np.float32(-0.0), np.int64(3), np.array(0),
    np.array(0.0, "f"), [0.0], np.arange(90.0), np.arange(90.0, dtype="f"), np.ones((3, 1, 120, 90), "f"),
)  # fmt: skip


@settings(max_examples=100)
@given(
    st.sampled_from(["float32", "float64", "float16", ">f4", "int64", "complex64"]),
    st.sampled_from(range(len(OTHERS))),
    st.sampled_from(sorted(LAYOUTS)), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_where_is_numpys_to_the_bit(dtype, other, layout, first, wide, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((120, 90)).astype(dtype)
    if x.dtype.kind == "f":
        x[rng.random(x.shape) < 0.2] = rng.choice([np.nan, -np.nan, np.inf, -np.inf, -0.0], 1)
    x = LAYOUTS[layout](x)
    condition = LAYOUTS[layout](rng.random((120, 90)) < 0.5)
    condition = np.broadcast_to(condition, (2, 120, 90)) if wide else condition
    pair = (OTHERS[other], x) if first else (x, OTHERS[other])
    expected, found = np.where(condition, *pair), masks.where(condition, *pair)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


# ------------------------------------------------------------------------------------------------------------------
# Bias and relu


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 3), (2, 3, 4, 17), (70, 2, 32), (3, 0)])
def test_bias_relu(shape, dtype, rng):
    z, g, b = (rng.standard_normal(s).astype(dtype) for s in (shape, shape, shape[-1:]))
    z.reshape(-1)[::7] = np.nan
    g.reshape(-1)[::5] = np.inf
    with np.errstate(invalid="ignore"):
        y = fused.bias_relu(z, b)
        np.testing.assert_array_equal(y, np.maximum(z + b, 0))
        dz, db = fused.bias_relu_grad(g, y)
        np.testing.assert_array_equal(dz, g * (y > 0))
        np.testing.assert_allclose(db, dz.sum(tuple(range(z.ndim - 1)), np.float64), 1e-5)
        np.testing.assert_array_equal(fused.bias_relu(z, b, out=z), y)  # in place
