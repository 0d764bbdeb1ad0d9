"""Winograd's convolution gives what columns and products give, and stands aside where it would not."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import LAYOUTS

import tinygrad_conv as tg
from tinygrad_conv.kernels import columns, conv, winograd
from tinygrad_conv.kernels.geometry import conv_window

MANY_TILES, MOST_WASTE = winograd.MANY_TILES, winograd.MOST_WASTE
drawn = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """However few channels and tiles there are."""
    monkeypatch.setattr(winograd, "MANY_CHANNELS", 1)
    monkeypatch.setattr(winograd, "MANY_TILES", 0)
    monkeypatch.setattr(winograd, "MOST_WASTE", 100)


def direct(form, *args):
    """The same without Winograd's algorithm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "pays", lambda *args: False)
        return form(*args)


@st.composite
def convolutions(draw):
    n, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pads = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2))
    height, width = (max(size, 3 - sum(pad)) for size, pad in zip((height, width), pads, strict=True))
    c_in, c_out = draw(st.sampled_from((1, 2, 5))), draw(st.sampled_from((1, 3, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    x, w = rng.standard_normal((n, height, width, c_in)), rng.standard_normal((3, 3, c_in, c_out))
    window = conv_window("t", 2, x.shape, w.shape, 1, pads, 1, 1, None)
    g = rng.standard_normal((n, *window.out_sizes, c_out))
    layouts = [LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))] for _ in "xwg"]
    return [layout(a.astype(dtype)) for layout, a in zip(layouts, (x, w, g), strict=True)], window


@drawn
@given(c=convolutions(), block=st.sampled_from((1, 2_000, 1 << 21)))
def test_it_is_the_convolution(c, block, monkeypatch):
    monkeypatch.setattr(columns, "BLOCK_BYTES", block)
    (x, w, g), window = c
    for form, a, b in ((conv.conv, x, w), (conv.conv_input_grad, g, w), (conv.conv_kernel_grad, x, g)):
        expected, terms = direct(form, a, b, window), direct(form, np.abs(a), np.abs(b), window)
        got = form(a, b, window)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        # Each of the 24 products is of sums of up to 4 x 5 inputs and 9 weights, and 3 x 5 of them are added.
        assert (np.abs(got - expected) <= 100 * np.finfo(x.dtype).eps * (terms + terms.max(initial=0))).all()


def error(got, form, a, b, window):
    """The largest one, against float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(got - direct(form, a.astype(float), b.astype(float), window).astype(a.dtype)).max()


@settings(drawn, max_examples=25)
@given(seed=st.integers(0, 2**32), positive=st.booleans(), channels=st.tuples(*[st.sampled_from((32, 33, 64))] * 2),
       scales=st.tuples(*[st.integers(-18, 18)] * 2), sizes=st.tuples(*[st.integers(8, 22)] * 2))  # fmt: skip
def test_errors_are_at_most_four_times_those_of_columns(seed, positive, channels, scales, sizes, monkeypatch):
    monkeypatch.setattr(winograd, "MANY_TILES", MANY_TILES)
    monkeypatch.setattr(winograd, "MOST_WASTE", MOST_WASTE)
    rng = np.random.default_rng(seed)
    (c_in, c_out), (height, width) = channels, sizes
    x, w, g = (
        np.float32(rng.random(shape) if positive else rng.standard_normal(shape))
        for shape in ((4, height, width, c_in), (3, 3, c_in, c_out), (4, height, width, c_out))
    )
    window = conv_window("t", 2, x.shape, w.shape, 1, 1, 1, 1, None)
    for form, *arrays in ((conv.conv, x, w), (conv.conv_input_grad, g, w), (conv.conv_kernel_grad, x, g)):
        a, b = (array * np.float32(10.0**scale) for array, scale in zip(arrays, scales, strict=True))
        errors = [error(got, form, a, b, window) for got in (form(a, b, window), direct(form, a, b, window))]
        assert errors[0] <= 4 * errors[1]


@pytest.mark.parametrize("scales", [(1e-38, 1), (1, 1e-38), (1e-20, 1e-20), (1e37, 1e-38), (3e-42, 1e10)])
def test_numbers_at_the_ends_of_the_range_lose_no_digits(scales, rng):
    x, g, w = (rng.random(shape).astype(np.float32) for shape in ((4, 12, 12, 32), (4, 12, 12, 32), (3, 3, 32, 32)))
    window = conv_window("t", 2, x.shape, w.shape, 1, 1, 1, 1, None)
    for form, a, b in ((conv.conv, x, w), (conv.conv_input_grad, g, w), (conv.conv_kernel_grad, x, g)):
        a, b = a * np.float32(scales[0]), b * np.float32(scales[1])
        errors = [error(got, form, a, b, window) for got in (form(a, b, window), direct(form, a, b, window))]
        assert errors[0] <= 4 * errors[1]


def test_it_runs_where_it_pays_and_nowhere_else(monkeypatch, rng):
    ran = []
    for name in ("conv", "conv_kernel_grad"):
        monkeypatch.setattr(winograd, name, lambda *args, name=name: bool(ran.append(name)))
    x, g = rng.standard_normal((2, 8, 8, 4)), rng.standard_normal((2, 6, 6, 6))

    def runs(x=x, kernel=(3, 3), stride=1, dilation=1, groups=1):
        del ran[:]
        w = np.zeros((*kernel, x.shape[-1] // groups, 6), x.dtype)
        conv.conv(x, w, conv_window("t", len(kernel), x.shape, w.shape, stride, 0, dilation, groups, None))
        return bool(ran)

    assert runs()
    conv.conv_kernel_grad(x, g, conv_window("t", 2, x.shape, (3, 3, 4, 6), 1, 0, 1, 1, None))
    assert ran == ["conv", "conv_kernel_grad"]
    assert not any([
        runs(kernel=(3, 2)), runs(kernel=(5, 5)), runs(stride=2), runs(stride=(1, 2)), runs(dilation=(2, 1)),
        runs(groups=2), runs(x.astype(np.float16)), runs(x[:, :, 0], (3,)), runs(x[..., None], (3, 3, 1)),
    ])  # fmt: skip
    monkeypatch.setattr(winograd, "MANY_CHANNELS", 5)
    assert not runs()
    monkeypatch.setattr(winograd, "MANY_CHANNELS", 4)
    monkeypatch.setattr(winograd, "MANY_TILES", 12)
    assert runs()
    monkeypatch.setattr(winograd, "MANY_TILES", 13)
    assert not runs()
    monkeypatch.setattr(winograd, "MANY_TILES", 0)
    monkeypatch.setattr(winograd, "MOST_WASTE", 48 / 36)
    assert runs()
    monkeypatch.setattr(winograd, "MOST_WASTE", 47 / 36)
    assert not runs()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("which", ["x", "w", "g"])
def test_an_infinity_spoils_no_neighbours(value, which, rng):
    arrays = {"x": rng.standard_normal((2, 7, 6, 3)), "w": rng.standard_normal((3, 3, 3, 2))}
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()}
    window = conv_window("t", 2, arrays["x"].shape, arrays["w"].shape, 1, 1, 1, 1, None)
    arrays["g"] = rng.standard_normal((2, *window.out_sizes, 2)).astype(np.float32)
    arrays[which][(1,) * 4] = value
    if abs(value) < np.inf:
        arrays[which][...] = value  # differences overflow where products need not
        arrays["w" if which != "w" else "x"] *= 1e-6
    x, w, g = arrays["x"], arrays["w"], arrays["g"]
    for form, a, b in ((conv.conv, x, w), (conv.conv_input_grad, g, w), (conv.conv_kernel_grad, x, g)):
        with np.errstate(all="ignore"):
            expected = direct(form, a, b, window)
            got = form(a, b, window)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
        if not np.isfinite(expected).all():
            np.testing.assert_array_equal(got, expected)


def test_it_warns_of_nothing_that_it_mends(rng):
    x, w = np.full((1, 4, 4, 1), np.inf), np.ones((3, 3, 1, 1))
    window = conv_window("t", 2, x.shape, w.shape, 1, 0, 1, 1, None)
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(conv.conv(x, w, window), np.full((1, 2, 2, 1), np.inf))


def test_gradients_to_second_order(rng):
    from tinygrad_conv.testing import check_gradients

    x, w = rng.standard_normal((2, 5, 4, 2)), rng.standard_normal((3, 3, 2, 2))
    with tg.use_kernels("plain"):
        check_gradients(lambda x, w: tg.conv2d(x, w, padding="same"), x, w)
