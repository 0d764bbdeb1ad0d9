"""Convolutions with 3x3 kernels in fewer multiplications, compiled: Winograd's F(4x4, 3x3) and F(2x2, 3x3).

Y = Aᵀ[(G w Gᵀ) ∘ (Bᵀ X B)]A for each tile of 4x4 outputs, which reads 6x6 inputs: 36 multiplications where there were
144; with 2x2 outputs, 16 where there were 36. Each of the 36 is a matrix product over channels, of many tiles at once.
The kernel's gradient is the transpose of the same: dw = Gᵀ[Σ (Bᵀ X B) ∘ (A dY Aᵀ)]G, summed over all tiles.

Tiles go through it in *blocks*: the inputs of some tiles are transformed, multiplied and transformed back before the
next ones, and all that is in between stays in the level-2 cache. The products run in the tiles of registers of `tiles`;
`transforms` has the matrices, for a vector of channels at a time. Tiles over an edge are copied with their padding.

An infinity, a NaN or an overflow spoils the whole of its tile, and numbers near the smallest ones lose digits. So each
tile adds up the magnitudes of its results, and what is not an ordinary number is left to the direct algorithm.

Sources: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Jia, Zlateski, Durand & Li,
"Optimizing N-Dimensional, Winograd-Based Convolution for Manycore CPUs" (PPoPP 2018): blocks of tiles and batched
products. Zlateski, Jia, Li & Durand, "The Anatomy of Efficient FFT and Winograd Convolutions on Modern CPUs" (2018,
arXiv:1809.07851) and Gelashvili, Shavit & Zlateski, arXiv:1912.02165: fused by the level-2 cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..scratch import Array, scratch
from ..window import Window
from ..winograd import KERNELS, RESULTS
from .arrays import array, per_window
from .jit import VECTOR_BYTES, inlined, jit
from .places import seven
from .tiles import MOST_ROWS, one_step, panels_of, run
from .transforms import gradient_of, inputs_of, kernel_of, outputs_of, spread_of
from .vectors import add, lanes, total
from .weights import map_of, pack, packing

__all__ = ["correlate", "kernel_gradient"]

BLOCK_BYTES = 700 << 10  # of transformed tiles at a time
FEWEST, MOST = 12, 60  # tiles of a block: whole tiles of registers
SMALLEST, LARGEST = RESULTS  # between these, the magnitudes in a tile's results; or all are 0


def correlate(size: int, back: bool, x: Array, w: Array, window: Window, y: Array) -> Array:
    """y = conv(x, w), with `back` of the kernel turned around and transposed; which images are to be done otherwise."""
    x, w, small = array(x), array(w), None if size == 4 else 1
    taps, sizes, panels, at, to, steps, (packed, points, inputs, outputs, patch) = _plan(
        window, size, back, len(x), x.shape[-1], y.shape[-1], x.itemsize
    )
    memory, weights = scratch("packed", (packed,), x.dtype), scratch("winograd kernel", (points,), x.dtype)
    pack(w.reshape(-1), *taps, memory)
    left = np.zeros(len(x), np.bool_)
    magnitude = _transform_kernel(small, memory, panels, sizes, weights)
    if not (KERNELS[0] < magnitude < KERNELS[1] or magnitude == 0):
        left[:] = True
        return left
    _correlate(
        small, x.reshape(-1), weights, sizes, panels, at, to, steps, scratch("winograd inputs", (inputs,), x.dtype),
        scratch("winograd products", (outputs,), x.dtype), scratch("stage", (patch,), x.dtype), y.reshape(-1), left,
    )  # fmt: skip
    return left


def kernel_gradient(size: int, x: Array, g: Array, window: Window, dw: Array) -> bool:
    """dw = conv_kernel_grad(x, g); False if it is still to be done otherwise."""
    small = None if size == 4 else 1
    sizes, panels, at, to, steps, (inputs, outputs, sums, patch) = _gradient_plan(
        window, size, len(x), x.shape[-1], g.shape[-1], x.itemsize
    )
    magnitude = _kernel_gradient(
        small, array(x).reshape(-1), array(g).reshape(-1), sizes, panels, at, to, steps,
        scratch("winograd inputs", (inputs,), x.dtype), scratch("winograd products", (outputs,), x.dtype),
        scratch("winograd sums", (sums,), x.dtype), scratch("stage", (patch,), x.dtype), dw.reshape(-1),
    )  # fmt: skip
    return bool(SMALLEST < magnitude < LARGEST or magnitude == 0)


# ------------------------------------------------------------------------------------------------------------------
# What the compiled functions must be told


def _sizes(
    window: Window, size: int, n: int, channels: int, filters: int, itemsize: int
) -> tuple[tuple[int, ...], Array, int]:
    """Numbers of one kind in an array, how filters are split, and how many values a tile has."""
    points, vector = (size + 2) ** 2, VECTOR_BYTES // itemsize
    panels = panels_of(filters, itemsize)
    k_each, f_each = (-(-count // vector) * vector for count in (channels, max(filters, int(panels[:, 3].sum()))))
    tiles = n * -(-window.out_sizes[0] // size) * -(-window.out_sizes[1] // size)
    most = BLOCK_BYTES // (points * (k_each + f_each) * itemsize) // FEWEST * FEWEST
    most = min(max(most, FEWEST), MOST, -(-tiles // FEWEST) * FEWEST)
    (top, _), (left, _) = window.pads
    # A line more for each point: at a power of two, all would fall on the same lines of the cache.
    apart = most * k_each + vector, most * f_each + vector, int(panels[:, 3].sum()) * channels + vector
    sizes = (*window.in_sizes, *window.out_sizes, top, left, n, channels, filters, k_each, f_each, most, tiles, *apart)
    return sizes, panels, points


@per_window
def _plan(window: Window, size: int, back: bool, n: int, channels: int, filters: int, itemsize: int) -> tuple[Any, ...]:
    whole = map_of((1, 3, 3, filters, channels) if back else (1, 3, 3, channels, filters))
    taps = whole[:, ::-1, ::-1].swapaxes(3, 4) if back else whole
    sizes, panels, points = _sizes(window, size, n, channels, filters, itemsize)
    k_each, f_each, most = sizes[9:12]
    u_apart, m_apart, w_apart = sizes[13:]
    tiles = np.minimum(np.arange(most + MOST_ROWS), most - 1)
    steps = np.array([one_step(k, k) for k in range(channels)], np.intp)
    packed = 9 * channels * int(panels[:, 3].sum())
    patch = points * max(k_each, f_each)
    memory = packed, points * w_apart, points * u_apart, points * m_apart, patch
    return (
        packing(taps[:, :, :, :, None], whole, panels),
        np.array(sizes),
        panels,
        tiles * k_each,
        tiles * f_each,
        steps,
        memory,
    )


@per_window
def _gradient_plan(window: Window, size: int, n: int, channels: int, filters: int, itemsize: int) -> tuple[Any, ...]:
    sizes, panels, points = _sizes(window, size, n, channels, filters, itemsize)
    k_each, f_each, most = sizes[9:12]
    u_apart, m_apart, w_apart = sizes[13:]
    rows = np.minimum(np.arange(channels + MOST_ROWS), channels - 1)
    steps = np.array([one_step(t * k_each, t) for t in range(most)], np.intp)
    memory = points * u_apart, points * m_apart, points * w_apart, points * max(k_each, f_each)
    return np.array(sizes), panels, rows, rows, steps, memory


# ------------------------------------------------------------------------------------------------------------------
# Transforms


@inlined
def _edge(small):
    return 6 if small is None else 4


@jit
def _transform_kernel(small, taps, panels, sizes, weights):
    """G w Gᵀ: packed taps (panel, 9, channels, width) to (point, panel, channels, width). Their mean magnitude."""
    channels, apart, start, magnitude = sizes[7], sizes[15], 0, 0.0
    for panel in range(panels.shape[0]):
        step = channels * panels[panel, 3]
        for k in range(0, step, lanes(taps)):
            left = min(step - k, lanes(taps))
            magnitude += total(
                kernel_of(
                    small,
                    taps,
                    9 * start + k,
                    3 * step,
                    step,
                    left,
                    weights,
                    start + k,
                    _edge(small) * apart,
                    apart,
                    left,
                )
            )
        start += step
    return magnitude / max(start, 1)


@jit
def _transform_inputs(small, x, at, row, column, u, to, apart):
    """Bᵀ X B of one tile, all of its channels."""
    for c in range(0, column, lanes(x)):
        inputs_of(small, x, at + c, row, column, column - c, u, to + c, _edge(small) * apart, apart, None)


@jit
def _inputs(small, x, sizes, first, count, patch, u):
    """Bᵀ X B of a block of tiles."""
    height, width, out_height, out_width, top, left, _ = seven(sizes)
    channels, k_each, apart = sizes[7], sizes[9], sizes[13]
    edge, size = _edge(small), _edge(small) - 2
    down, across = -(-out_height // size), -(-out_width // size)
    for t in range(count):
        image, row, col = _tile(first + t, down, across, size)
        row, col = row - top, col - left
        if row >= 0 and col >= 0 and row + edge <= height and col + edge <= width:
            start = ((image * height + row) * width + col) * channels
            _transform_inputs(small, x, start, width * channels, channels, u, t * k_each, apart)
        else:
            _cut(x, image, row, col, height, width, channels, edge, patch)
            _transform_inputs(small, patch, 0, edge * channels, channels, u, t * k_each, apart)


@inlined
def _tile(number, down, across, size):
    """The image of a tile, and its first row and column of outputs."""
    return number // (down * across), number // across % down * size, number % across * size


@jit
def _cut(x, image, row, col, height, width, channels, edge, patch):
    """Some rows and columns of an image from (row, col) on, 0 where there are none."""
    for i in range(edge):
        for j in range(edge):
            p, q, to = row + i, col + j, (i * edge + j) * channels
            if 0 <= p < height and 0 <= q < width:
                source = ((image * height + p) * width + q) * channels
                for c in range(channels):
                    patch[to + c] = x[source + c]
            else:
                for c in range(channels):
                    patch[to + c] = 0


@jit
def _transform_outputs(small, m, at, apart, y, to, row, column):
    """Aᵀ M A of one tile; the sum of the magnitudes."""
    size = outputs_of(small, m, at, _edge(small) * apart, apart, column, y, to, row, column, column)
    for c in range(lanes(m), column, lanes(m)):
        left = column - c
        some = outputs_of(small, m, at + c, _edge(small) * apart, apart, left, y, to + c, row, column, left)
        size = add(size, some)
    return total(size)


@jit
def _outputs(small, m, sizes, first, count, patch, y, left):
    """Aᵀ M A of a block of tiles; an image with anything else than ordinary numbers is left."""
    out_height, out_width, filters, f_each, apart = sizes[2], sizes[3], sizes[8], sizes[10], sizes[14]
    size = _edge(small) - 2
    down, across = -(-out_height // size), -(-out_width // size)
    for t in range(count):
        image, row, col = _tile(first + t, down, across, size)
        start = ((image * out_height + row) * out_width + col) * filters
        if row + size <= out_height and col + size <= out_width:
            magnitude = _transform_outputs(small, m, t * f_each, apart, y, start, out_width * filters, filters)
        else:
            magnitude = _transform_outputs(small, m, t * f_each, apart, patch, 0, size * filters, filters)
            for i in range(min(size, out_height - row)):
                for j in range(min(size, out_width - col)):
                    source, target = (i * size + j) * filters, start + (i * out_width + j) * filters
                    for c in range(filters):
                        y[target + c] = patch[source + c]
        if not (SMALLEST < magnitude < LARGEST or magnitude == 0):
            left[image] = True


@jit
def _correlate(small, x, weights, sizes, panels, at, to, steps, u, m, patch, y, left):
    channels, most, tiles, u_apart, m_apart, w_apart = sizes[7], sizes[11], sizes[12], sizes[13], sizes[14], sizes[15]
    for first in range(0, tiles, most):
        count = min(most, tiles - first)
        _inputs(small, x, sizes, first, count, patch, u)
        for point in range(_edge(small) ** 2):
            start = point * w_apart
            for panel in range(panels.shape[0]):
                which, filter_, width = panels[panel, 0], panels[panel, 1], panels[panel, 3]
                run(
                    which, None, 0, count, u, at, point * u_apart, weights, start, steps, 0, channels, m, to, 1,
                    point * m_apart + filter_, width, False,
                )  # fmt: skip
                start += channels * width
        _outputs(small, m, sizes, first, count, patch, y, left)


# ------------------------------------------------------------------------------------------------------------------
# The kernel's gradient


@jit
def _spread(small, g, sizes, panels, first, count, patch, v):
    """A dY Aᵀ of a block of tiles: (point, panel, tile, width)."""
    out_height, out_width, filters, most, apart = sizes[2], sizes[3], sizes[8], sizes[11], sizes[14]
    edge, size = _edge(small), _edge(small) - 2
    down, across = -(-out_height // size), -(-out_width // size)
    for t in range(count):
        image, row, col = _tile(first + t, down, across, size)
        source, at, step = g, ((image * out_height + row) * out_width + col) * filters, out_width * filters
        if row + size > out_height or col + size > out_width:
            _cut(g, image, row, col, out_height, out_width, filters, size, patch)
            source, at, step = patch, 0, size * filters
        for panel in range(panels.shape[0]):
            filter_, valid, width = panels[panel, 1], panels[panel, 2], panels[panel, 3]
            to = filter_ * most + t * width
            for c in range(0, width, lanes(g)):
                spread_of(
                    small, source, at + filter_ + c, step, filters, valid - c, v, to + c, edge * apart, apart, width - c
                )  # fmt: skip


@jit
def _kernel_gradient(small, x, g, sizes, panels, at, to, steps, u, v, sums, patch, dw):
    """The sum of the magnitudes in dw."""
    channels, filters, most, tiles = sizes[7], sizes[8], sizes[11], sizes[12]
    u_apart, v_apart, s_apart = sizes[13], sizes[14], sizes[15]
    sums[:] = 0
    for first in range(0, tiles, most):
        count = min(most, tiles - first)
        _inputs(small, x, sizes, first, count, patch, u)
        _spread(small, g, sizes, panels, first, count, patch, v)
        for point in range(_edge(small) ** 2):
            for panel in range(panels.shape[0]):
                which, filter_, width = panels[panel, 0], panels[panel, 1], panels[panel, 3]
                run(
                    which, None, 0, channels, u, at, point * u_apart, v, point * v_apart + filter_ * most, steps, 0,
                    count, sums, to, width, point * s_apart + filter_ * channels, width, True,
                )  # fmt: skip
    magnitude, edge = 0.0, _edge(small)
    for panel in range(panels.shape[0]):
        filter_, valid, width = panels[panel, 1], panels[panel, 2], panels[panel, 3]
        for k in range(channels):
            start = (filter_ * channels) + k * width
            for c in range(0, valid, lanes(g)):
                magnitude += total(
                    gradient_of(
                        small, sums, start + c, edge * s_apart, s_apart, width - c, dw, k * filters + filter_ + c,
                        3 * channels * filters, channels * filters, valid - c,
                    )
                )  # fmt: skip
    return magnitude
