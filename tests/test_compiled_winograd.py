"""Winograd's convolution, compiled: what the direct algorithm gives, nearly as exactly, infinities included."""

import json
from math import prod
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import LAYOUTS
from threadpoolctl import threadpool_limits

import tinygrad_conv as tg
from tinygrad_conv.kernels import registry, winograd
from tinygrad_conv.kernels.geometry import conv_window

pytest.importorskip("numba")
from tinygrad_conv.kernels.compiled import conv, measured

NIGHTLY = settings().max_examples >= 1000
KINDS = [(np.float32, 4), (np.float32, 2), (np.float64, 4), *[(np.float64, 2)] * NIGHTLY]
FORMS = ("conv", "conv_input_grad", "conv_kernel_grad")
drawn = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def by(tile, form, a, b, window, out=None):
    """A kernel with tiles of so many outputs along an axis: 0 is the direct algorithm, None what `tile` says."""
    with pytest.MonkeyPatch.context() as patch:
        if tile is not None:
            patch.setattr(conv, "tile", lambda *shape: tile)
        return getattr(conv, form)(a, b, window, out=out)


def convolution(rng, n, sizes, c_in, c_out, pads=((1, 1), (1, 1)), dtype=np.float32):
    """The operands of the three kernels, and the window."""
    window = conv_window("t", 2, (n, *sizes, c_in), (3, 3, c_in, c_out), 1, pads, 1, 1, None)
    shapes = (n, *sizes, c_in), (3, 3, c_in, c_out), (n, *window.out_sizes, c_out)
    x, w, g = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return {"conv": (x, w), "conv_input_grad": (g, w), "conv_kernel_grad": (x, g)}, window


def error(form, a, b, window, got):
    """The largest one, against the direct algorithm in float64."""
    return np.abs(got - by(0, form, a.astype(np.float64), b.astype(np.float64), window)).max()


@drawn
@given(data=st.data())
def test_it_is_the_convolution(data):
    draw = data.draw
    dtype, tile = draw(st.sampled_from(KINDS))
    pads = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2))
    sizes = [max(draw(st.integers(1, 13)), 3 - sum(pad)) for pad in pads]
    channels = st.sampled_from((1, 3, 8, 17, 33, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    operands, window = convolution(rng, draw(st.integers(1, 3)), sizes, draw(channels), draw(channels), pads, dtype)
    layouts = st.sampled_from(sorted(LAYOUTS))
    for form, arrays in operands.items():
        a, b = (LAYOUTS[draw(layouts)](x) for x in arrays)
        expected = by(0, form, a, b, window)
        out = np.full_like(expected, 77, order="C", subok=False)  # what is not written shows
        got = by(tile, form, a, b, window, out)
        assert got is out
        terms = by(0, form, np.abs(a), np.abs(b), window)
        assert (np.abs(got - expected) <= 100 * np.finfo(dtype).eps * (terms + terms.max())).all()


@drawn
@given(data=st.data())
def test_errors_are_at_most_four_times_those_of_the_direct_algorithm(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes, channels = st.integers(4, 22), st.sampled_from((16, 32, 33, 48, 64))
    shape = draw(st.integers(1, 3)), (draw(sizes), draw(sizes)), draw(channels), draw(channels)
    operands, window = convolution(rng, *shape)
    scales, positive = [10.0 ** draw(st.integers(-18, 18)) for _ in "ab"], draw(st.booleans())
    for form, arrays in operands.items():
        a, b = ((np.maximum(x, 0) if positive else x) * np.float32(k) for x, k in zip(arrays, scales, strict=True))
        errors = [error(form, a, b, window, by(tile, form, a, b, window)) for tile in (None, 0)]
        assert errors[0] <= 4 * errors[1]


@pytest.mark.parametrize("scales", [(1e-38, 1), (1, 1e-38), (1e-20, 1e-20), (1e19, 1e18), (1e37, 1e-38), (3e-42, 1e10)])
@pytest.mark.parametrize("tile", [2, 4])
def test_numbers_at_the_ends_of_the_range_do_not_lose_digits(tile, scales, rng):
    operands, window = convolution(rng, 1, (9, 7), 32, 32)
    for form, arrays in operands.items():
        a, b = (x * np.float32(scale) for x, scale in zip(arrays, scales, strict=True))
        assert error(form, a, b, window, by(tile, form, a, b, window)) <= 4 * error(
            form, a, b, window, by(0, form, a, b, window)
        )


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("form", FORMS)
def test_an_infinity_spoils_no_neighbours(form, tile, value, rng):
    operands, window = convolution(rng, 3, (9, 10), 16, 16)
    for which in range(2):
        arrays = [a.copy() for a in operands[form]]
        arrays[which][(1,) * 4] = value
        if abs(value) < np.inf:
            arrays[which][arrays[which] == value] = np.nextafter(np.float32(np.inf), np.float32(0))
        expected, got, before = by(0, form, *arrays, window), by(tile, form, *arrays, window), operands[form]
        assert not np.isfinite(by(tile, form, *arrays, window)).all() or abs(value) < np.inf
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
        np.testing.assert_array_equal(got[~np.isfinite(expected)], expected[~np.isfinite(expected)])
        if form != "conv_kernel_grad" and which == 0:  # the other images are none of its business
            np.testing.assert_array_equal(got[[0, 2]], by(tile, form, *before, window)[[0, 2]])
            np.testing.assert_array_equal(got[1], expected[1])


def test_nothing_but_zeros_is_no_reason_to_compute_again(monkeypatch):
    window = conv_window("t", 2, (2, 8, 8, 32), (3, 3, 32, 32), 1, 1, 1, 1, None)
    x, w = np.zeros((2, 8, 8, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
    monkeypatch.setattr(conv, "_correlate_directly", None)  # would fail
    for a, b in ((x, w), (np.ones_like(x), np.zeros_like(w))):
        np.testing.assert_array_equal(by(4, "conv", a, b, window), x)


def tile_of(c_in=64, c_out=64, n=8, sizes=(32, 32), kernel=(3, 3), stride=1, dilation=1, groups=1):
    shape = (*kernel, c_in // groups, c_out)
    window = conv_window("t", len(kernel), (n, *sizes, c_in), shape, stride, 1, dilation, groups, None)
    return winograd.tile(n, c_in, c_out, window)


def test_where_it_runs():
    assert tile_of() == tile_of(c_in=32, c_out=32) == tile_of(n=1) == 4
    assert tile_of(sizes=(6, 6)) == 2  # four tiles of 4x4 would compute 64 outputs for 36
    assert not any([
        tile_of(c_in=3), tile_of(c_out=8), tile_of(n=1, sizes=(4, 4)), tile_of(kernel=(3, 2)), tile_of(kernel=(5, 5)),
        tile_of(stride=2), tile_of(stride=(1, 2)), tile_of(dilation=(2, 1)), tile_of(groups=2),
        tile_of(sizes=(32,), kernel=(3,)), tile_of(sizes=(8, 8, 8), kernel=(3, 3, 3)),
    ])  # fmt: skip


@threadpool_limits.wrap(1)  # shares of a sum over images are added in another order
def test_the_direct_algorithm_can_be_asked_for(rng):
    operands, window = convolution(rng, 2, (12, 12), 48, 48)
    for form, arrays in operands.items():
        with tg.use_kernels("exact") as forms:
            assert winograd.tile(2, 48, 48, window) == 0
            np.testing.assert_array_equal(getattr(registry, form)(*arrays, window), by(0, form, *arrays, window))
        assert forms.ran == {form}
        with tg.use_kernels("auto"):
            assert (getattr(registry, form)(*arrays, window) != by(0, form, *arrays, window)).any()


def test_what_was_measured_once_decides(tmp_path, monkeypatch):
    def chosen():
        measured._read.cache_clear()
        window = conv_window("t", 2, (8, 32, 32, 60), (3, 3, 60, 36), 1, 1, 1, 1, None)
        return winograd.tile(8, 60, 36, window, conv._measured)

    monkeypatch.setattr(measured, "folder", lambda: tmp_path)
    assert chosen() == 4
    assert not list(tmp_path.iterdir())  # it is turned off where tests run
    monkeypatch.setenv("TINYGRAD_CONV_MEASURE", "1")
    chosen()
    (file,) = tmp_path.iterdir()
    (number,) = json.loads(file.read_text()).values()
    assert 0.05 < number < 20
    for damaged in ("", "{", "[1]", '{"64 32": "x"}', '{"64 32": 1e9}'):
        file.write_text(damaged)
        monkeypatch.setattr(measured, "_seconds", Mock(side_effect=[2.0, 1.0] * 7))
        assert chosen() == 4
        assert json.loads(file.read_text())["64 32"] == 0.5
    monkeypatch.setattr(measured, "_seconds", lambda run: pytest.fail("it was measured again"))
    for said, tile in ((0.4, 4), (5.0, 0)):
        file.write_text(json.dumps({"64 32": said}))
        assert chosen() == tile
    monkeypatch.setattr(measured, "folder", lambda: None)
    assert chosen() == 4


def test_padding_beyond_the_kernel_has_no_transposed_convolution(rng):
    operands, window = convolution(rng, 1, (9, 9), 32, 32, ((3, 1), (0, 3)))
    for form, arrays in operands.items():
        expected = by(0, form, *arrays, window)
        np.testing.assert_allclose(
            by(None, form, *arrays, window), expected, rtol=0, atol=1e-4 * np.abs(expected).max()
        )


def test_a_training_step_is_the_same(rng):
    """Compiled, in blocks of a few images."""
    x, t = rng.standard_normal((16, 16, 16, 32)).astype(np.float32), np.arange(16) % 10

    def losses(kernels):
        layers = [tg.nn.Conv2D(32, 3, padding="same", activation="relu") for _ in range(2)]
        net = tg.nn.Sequential([*layers, tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(10)], seed=0)
        with tg.use_kernels(kernels):
            net(x)
            optimizer = tg.optim.SGD(net.parameters(), lr=0.01)

            @tg.compile
            def step(x, t):
                loss = tg.softmax_cross_entropy(net(x), t)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                return loss

            return [step(x, t).item() for _ in range(4)]

    np.testing.assert_allclose(losses("compiled"), losses("exact"), rtol=1e-4)


def test_the_products_are_fewer():
    """What the docstrings say."""
    assert [prod((size + 2,) * 2) / (9 * size**2) for size in (2, 4)] == [winograd.TIMES[k][0] for k in (2, 4)]
