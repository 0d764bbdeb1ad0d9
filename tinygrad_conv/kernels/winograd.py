"""Convolutions with 3x3 kernels in fewer multiplications: Winograd's minimal filtering, in NumPy F(2x4, 3x3).

Two outputs of a row need six multiplications with a kernel of three. Four will do, of sums and differences::

    y0 = m0 + m1 + m2        m0 = (x0 - x2) w0                    m1 = (x1 + x2) (w0 + w1 + w2) / 2
    y1 = m1 - m2 - m3        m3 = (x1 - x3) w2                    m2 = (x2 - x1) (w0 - w1 + w2) / 2

Four outputs, which read six inputs, need six instead of twelve. In two dimensions that is Y = Aᵀ[(G w Gᵀ) ∘ (B X Bᵀ)]A
for each tile of outputs: with tiles of 2 rows and 4 columns 24 multiplications where there were 72. With channels they
become 24 matrix products. The kernel's gradient is the transpose of the same: dw = Gᵀ[Σ (B X Bᵀ) ∘ (A dY Aᵀ)]G, summed
over all tiles. The transforms are products by BLAS, and what lies between the inputs and the outputs of some tiles at a
time shares two buffers, which stay in the cache.

The matrices come from polynomials: a tile and a kernel are multiplied by their values at some points and at infinity
(Toom, Cook). For 4 outputs these are 0 and about ±1/√2 and ±√2, with which errors are half of those with the textbook's
0, ±1, ±2; their powers are exact in float32. Tiles of 4x4 take 0.8 times as long, but errors can come to more than four
times those of columns; with 2x4 they are as large as these.

Source: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). The transforms cost as much as they
save unless there are many channels: see `pays`. An infinity or a NaN in a tile would spoil its other outputs, and
numbers near the smallest ones lose digits, so such a result is not used: the functions say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from math import prod
from typing import Any

import numpy as np

from .columns import Block, output_blocks, staged
from .product import matmul
from .scratch import Array, scratch
from .wanted import exact
from .window import Window

__all__ = ["conv", "conv_kernel_grad", "expected", "matrices", "pays", "tile"]

MANY_CHANNELS = 32  # from so many on, in and out, the products that are saved take longer than the transforms
MANY_TILES = 32  # for fewer, transforming the kernel costs too much
MOST_WASTE = 1.32  # outputs that are computed, in whole tiles, over those that there are
SIZES, REACH = (2, 4), (4, 6)  # of a tile along each axis: its outputs, and the inputs that they read
POINTS_OF_TILE = prod(REACH)

# Magnitudes of a transformed kernel, and of results: so far from the ends of the range no digits are lost.
KERNELS, RESULTS = (2.0**-30, 2.0**40), (2.0**-80, np.inf)

# Of the compiled form, by the outputs of a tile along an axis: the products as a share of the direct algorithm's, the
# channels with which transforms take as long as products, and the outputs whose products take as long as the kernel's
# transform. Measured on a processor with AVX-512.
TIMES = {2: (16 / 36, 16, 35), 4: (36 / 144, 23, 100)}
FEWEST = {2: 16, 4: 32}  # channels: with fewer, errors can be more than four times the direct algorithm's

POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 23 / 32, -23 / 32, 45 / 32, -45 / 32)}


def matrices(size: int) -> tuple[Array, Array, Array]:
    """A (size + 2, size), B (size + 2, size + 2) and G (size + 2, 3): outputs are Aᵀ[(G w) ∘ (B d)].

    >>> a, b, g = matrices(2)
    >>> b.tolist()
    [[-1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]]
    """
    points, n = POINTS[size], size + 2
    others = [[b for b in points if b != a] for a in points]
    a, b, g = np.zeros((n, size)), np.zeros((n, n)), np.zeros((n, 3))
    a[:-1], g[:-1] = np.vander(points, size, increasing=True), np.vander(points, 3, increasing=True)
    for row, (point, rest) in enumerate(zip(points, others, strict=True)):
        b[row, :-1] = np.poly(rest)[::-1]
        scale = np.prod([point - other for other in rest])
        g[row] /= scale
    a[-1, -1] = g[-1, -1] = 1
    b[-1] = np.poly(points)[::-1]
    return a, b, g


@cache
def _pairs() -> tuple[Sequence[Array], ...]:
    """A, B and G, each as a matrix for the rows of a tile and one for its columns."""
    return tuple(zip(*map(matrices, SIZES), strict=True))


def _transposed(pair: Sequence[Array]) -> Sequence[Array]:
    return [matrix.T for matrix in pair]


def pays(x: Array, c_out: int, window: Window) -> bool:
    """Is this a 3x3 convolution, of one group and one step, with so many channels that it takes less time so?"""
    return (
        _fits(window) and x.dtype.char in "fd" and min(x.shape[-1], c_out) >= MANY_CHANNELS
        and len(x) * prod(tiles := _tiles_of(window)) >= MANY_TILES
        and prod(SIZES) * prod(tiles) <= MOST_WASTE * prod(window.out_sizes)
    )  # fmt: skip


def tile(
    n: int, channels: int, filters: int, window: Window, measured: Callable[[int, int], float | None] = lambda *_: None
) -> int:
    """How many outputs along an axis the tiles of the compiled form have; 0 where the direct algorithm takes less time.

    The products that are left, and what else there is to do, against the direct one's products. Where a time of F(4x4)
    was measured for so many channels, both times are in proportion to it.

    >>> from .geometry import conv_window
    >>> [tile(8, c, c, conv_window("conv", 2, (8, n, n, c), (3, 3, c, c), 1, 1, 1, 1, None))
    ...  for c, n in ((8, 32), (64, 32), (64, 6))]
    [0, 4, 2]
    """
    if not _fits(window):
        return 0
    places, times = prod(window.out_sizes), {0: 1.0}
    for size, (_, _, kernel) in TIMES.items():
        if min(channels, filters) >= FEWEST[size]:
            computed = prod(-(-o // size) * size for o in window.out_sizes)  # whole tiles
            times[size] = expected(size, channels, filters) * computed / places + kernel / (n * places)
    if min(times.values()) < 1 and (found := measured(channels, filters)) is not None:
        times |= {size: time * found / expected(4, channels, filters) for size, time in times.items() if size}
    return min(times, key=lambda size: times[size])


def expected(size: int, channels: int, filters: int) -> float:
    """The time of F(size, 3) without the kernel's transform as a share of the direct algorithm's."""
    products, adding, _ = TIMES[size]
    return products * (1 + adding / channels + adding / filters)


def _fits(window: Window) -> bool:
    return (
        window.kernel == (3, 3) and max(*window.stride, *window.dilation) == window.groups == 1
        and min(window.out_sizes) > 0 and not exact()
    )  # fmt: skip


def _tiles_of(window: Window) -> tuple[int, int]:
    """How many tiles there are along each axis; the last may lie over the edge."""
    height, width = (-(-n // size) for n, size in zip(window.out_sizes, SIZES, strict=True))
    return height, width


@np.errstate(over="ignore", invalid="ignore")
def conv(x: Array, w: Array, window: Window, y: Array) -> bool:
    """y = conv(x, w); False if its numbers are not ordinary ones, and it has to be computed in another way."""
    c_in, c_out = w.shape[2:]
    a, _, g = _pairs()
    kernel = _both_axes(g, w.reshape(3, 3, -1), "winograd rows", "winograd kernel").reshape(-1, c_in, c_out)
    if not _within(kernel, *KERNELS):
        return False
    for block, inputs in _blocks(x, window, c_out):
        products = scratch("winograd rows", (POINTS_OF_TILE, inputs.shape[1], c_out), x.dtype)
        matmul(inputs, kernel, out=products)
        tiles = _both_axes(_transposed(a), products.reshape(*REACH, -1), "winograd tiles", "winograd rows")
        part = y[block]
        full, cells = _cells(part)
        np.copyto(cells, _runs(tiles.reshape(*SIZES, *cells.shape[2:], c_out)))
        if full is not part:
            part[...] = full[:, : part.shape[1], : part.shape[2]]
        if not _within(full, *RESULTS):
            return False
    return True


@np.errstate(over="ignore", invalid="ignore")
def conv_kernel_grad(x: Array, g: Array, window: Window, dw: Array) -> bool:
    """dw = conv_kernel_grad(x, g); False as from `conv`."""
    c_in, c_out = dw.shape[2:]
    a, _, transform = _pairs()
    total = np.zeros((POINTS_OF_TILE, c_in, c_out), x.dtype)
    for block, inputs in _blocks(x, window, c_out):
        _, cells = _cells(g[block], fill=True)
        tiles = scratch("winograd rows", (*SIZES, *cells.shape[2:], c_out), x.dtype)
        np.copyto(_runs(tiles), cells)
        outputs = _both_axes(a, tiles.reshape(*SIZES, -1), "winograd spread", "winograd rows")
        products = scratch("winograd spread", total.shape, x.dtype)
        total += matmul(inputs.swapaxes(1, 2), outputs.reshape(*inputs.shape[:2], c_out), out=products)
    _both_axes(_transposed(transform), total.reshape(*REACH, -1), "winograd rows", dw.reshape(3, 3, -1))
    return _within(total, *RESULTS)


def _blocks(x: Array, window: Window, c_out: int) -> Iterator[tuple[Block, Array]]:
    """For each block of outputs, B X Bᵀ of its tiles: (24, tiles, C). The memory is used again for the next block."""
    channels, dtype, tiles = x.shape[-1], x.dtype, _tiles_of(window)
    whole = replace(  # with as much padding more as a last tile lies over the edge
        window, out_sizes=(sizes := tuple(size * n for size, n in zip(SIZES, tiles, strict=True))),
        pads=tuple((before, after + size - out)
                   for (before, after), size, out in zip(window.pads, sizes, window.out_sizes, strict=True)),
    )  # fmt: skip
    bytes_each = POINTS_OF_TILE * (channels + c_out) * dtype.itemsize
    for images, band in output_blocks(len(x), replace(whole, out_sizes=tiles), bytes_each):
        rows = slice(SIZES[0] * band.start, SIZES[0] * band.stop)
        source = staged(x, (images, rows), whole, dtype)
        image, row, column, _ = source.strides
        shape = (*REACH, len(source), band.stop - band.start, tiles[1])
        strides = (row, column, image, SIZES[0] * row, SIZES[1] * column)
        patches = scratch("winograd tiles", (*shape, channels), dtype)
        np.copyto(_runs(patches), np.ndarray(shape, _run(source), source, 0, strides))
        inputs = _both_axes(_pairs()[1], patches.reshape(*REACH, -1), "winograd rows", "winograd tiles")
        outputs = slice(rows.start, min(rows.stop, window.out_sizes[0]))
        yield (images, outputs), inputs.reshape(POINTS_OF_TILE, -1, channels)


def _both_axes(pair: Sequence[Array], x: Array, between: str, to: str | Array) -> Array:
    """p @ x @ qᵀ of a pair (p, q), x (n, m, M), each of M apart; by way of scratch memory, and in some or in `to`."""
    p, q = (matrix.astype(x.dtype) for matrix in pair)
    half = matmul(p, x.reshape(len(x), -1), out=scratch(between, (len(p), x[0].size), x.dtype))
    out = scratch(to, (len(p), len(q), x.shape[-1]), x.dtype) if isinstance(to, str) else to
    return matmul(q, half.reshape(len(p), x.shape[1], -1), out=out)


def _within(x: Array, least: float, most: float) -> bool:
    """Is the largest magnitude between these, or everything 0?"""
    largest = max(x.max(), -x.min())
    return bool(least < largest < most or largest == 0)


def _run(x: Array) -> np.dtype[Any]:
    """All channels of a place as one element."""
    return np.dtype((np.void, x.shape[-1] * x.itemsize))


def _runs(x: Array) -> Array:
    return x.view(_run(x))[..., 0]


def _cells(y: Array, fill: bool = False) -> tuple[Array, Array]:
    """Outputs in whole tiles, y itself or a copy if to be filled, and a view of them: (*SIZES, N, th, tw) runs."""
    n, height, width, channels = y.shape
    th, tw = -(-height // SIZES[0]), -(-width // SIZES[1])
    whole = (n, SIZES[0] * th, SIZES[1] * tw, channels)
    full = y
    if y.shape != whole or not y.flags.c_contiguous:
        full = scratch("winograd outputs", whole, y.dtype)
        if fill:
            full.fill(0)
            full[:, :height, :width] = y
    return full, _runs(full).reshape(n, th, SIZES[0], tw, SIZES[1]).transpose(2, 4, 0, 1, 3)
