"""Convolutions with 3x3 kernels in fewer multiplications: Winograd's minimal filtering F(2x2, 3x3).

Two outputs of a row need six multiplications with a kernel of three. Four will do, of sums and differences::

    y0 = m0 + m1 + m2        m0 = (x0 - x2) w0                    m1 = (x1 + x2) (w0 + w1 + w2) / 2
    y1 = m1 - m2 - m3        m3 = (x1 - x3) w2                    m2 = (x2 - x1) (w0 - w1 + w2) / 2

In two dimensions that is Y = Aᵀ[(G w Gᵀ) ∘ (Bᵀ X B)]A for each tile of 2x2 outputs, which reads 4x4 inputs: 16
multiplications where there were 36. With channels they become 16 matrix products. The kernel's gradient is the
transpose of the same: dw = Gᵀ[Σ (Bᵀ X B) ∘ (A dY Aᵀ)]G, summed over all tiles.

Source: Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). The additions cost as much as they
save unless there are many channels: see `pays`. An infinity or a NaN in a tile would spoil its other outputs, so a
result that holds one is not used: the functions say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from .columns import Block, output_blocks, staged
from .product import matmul, sum_rows
from .scratch import Array, scratch
from .wanted import exact
from .window import Window

__all__ = ["conv", "conv_kernel_grad", "pays", "tile"]

MANY_CHANNELS = 48  # from so many on, in and out, the products that are saved take longer than the additions
MANY_TILES = 256  # for fewer, transforming the kernel costs too much

# Of the compiled form, by the outputs of a tile along an axis: the products as a share of the direct algorithm's, the
# channels with which transforms take as long as products, and the outputs whose products take as long as the kernel's
# transform. Measured on a processor with AVX-512.
TIMES = {2: (16 / 36, 16, 35), 4: (36 / 144, 23, 100)}
FEWEST = {2: 16, 4: 32}  # channels: with fewer, errors can be more than four times the direct algorithm's

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def pays(x: Array, c_out: int, window: Window) -> bool:
    """Is this a 3x3 convolution, of one group and one step, with so many channels that it takes less time so?"""
    return (
        _fits(window) and x.dtype.char in "fd" and min(x.shape[-1], c_out) >= MANY_CHANNELS
        and len(x) * window.out_sizes[0] * window.out_sizes[1] >= 4 * MANY_TILES
    )  # fmt: skip


def tile(n: int, channels: int, filters: int, window: Window) -> int:
    """How many outputs along an axis the tiles of the compiled form have; 0 where the direct algorithm takes less time.

    The products that are left, and what else there is to do, against the direct one's products:

    >>> from .geometry import conv_window
    >>> [tile(8, c, c, conv_window("conv", 2, (8, n, n, c), (3, 3, c, c), 1, 1, 1, 1, None))
    ...  for c, n in ((8, 32), (64, 32), (64, 6))]
    [0, 4, 2]
    """
    if not _fits(window):
        return 0
    places, times = prod(window.out_sizes), {0: 1.0}
    for size, (products, adding, kernel) in TIMES.items():
        if min(channels, filters) >= FEWEST[size]:
            computed = prod(-(-o // size) * size for o in window.out_sizes)  # whole tiles
            each = products * (1 + adding / channels + adding / filters)
            times[size] = each * computed / places + kernel / (n * places)
    return min(times, key=lambda size: times[size])


def _fits(window: Window) -> bool:
    return (
        window.kernel == (3, 3) and max(*window.stride, *window.dilation) == window.groups == 1
        and min(window.out_sizes) > 0 and not exact()
    )  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")
def conv(x: Array, w: Array, window: Window, y: Array) -> bool:
    """y = conv(x, w); False if there is an infinity or a NaN in it, and it has to be computed in another way."""
    c_in, c_out = w.shape[2:]
    transform = G.astype(w.dtype)
    kernel = matmul(transform, matmul(transform, w.reshape(3, -1)).reshape(4, 3, -1))  # G w Gᵀ, (4, 4, C_in * C_out)
    for block, inputs in _tiles(x, window, c_out):
        products = scratch("winograd products", (16, inputs.shape[1], c_out), x.dtype)
        matmul(inputs, kernel.reshape(16, c_in, c_out), out=products)
        if not _write(products, y[block]):
            return False
    return True


@np.errstate(over="ignore", invalid="ignore")
def conv_kernel_grad(x: Array, g: Array, window: Window, dw: Array) -> bool:
    """dw = conv_kernel_grad(x, g); False as from `conv`."""
    c_in, c_out = dw.shape[2:]
    total = np.zeros((16, c_in, c_out), x.dtype)
    for block, inputs in _tiles(x, window, c_out):
        total += matmul(inputs.swapaxes(1, 2), _spread(g[block]))
    transpose = G.T.astype(x.dtype)
    matmul(transpose, matmul(transpose, total.reshape(4, 4, -1)).reshape(4, -1), out=dw.reshape(3, -1))
    return bool(np.isfinite(total).all())


def _tiles(x: Array, window: Window, c_out: int) -> Iterator[tuple[Block, Array]]:
    """For each block of outputs, Bᵀ X B of its tiles: (16, tiles, C). The memory is used again for the next block."""
    channels, dtype = x.shape[-1], x.dtype
    tiles = tuple(-(-n // 2) for n in window.out_sizes)
    even = replace(  # with a row and a column of padding more, where the last tile has one output only
        window, out_sizes=tuple(2 * n for n in tiles),
        pads=tuple((before, after + n % 2) for (before, after), n in zip(window.pads, window.out_sizes, strict=True)),
    )  # fmt: skip
    for images, band in output_blocks(len(x), replace(even, out_sizes=tiles), 16 * (channels + c_out) * dtype.itemsize):
        rows = slice(2 * band.start, 2 * band.stop)
        source = staged(x, (images, rows), even, dtype)
        n, th, tw = len(source), band.stop - band.start, tiles[1]
        half = scratch("winograd rows", (4, n, th, source.shape[2], channels), dtype)
        whole = scratch("winograd inputs", (4, 4, n, th, tw, channels), dtype)
        _differences([source[:, k : k + 2 * th : 2] for k in range(4)], half)
        _differences([half[:, :, :, k : k + 2 * tw : 2] for k in range(4)], whole.swapaxes(0, 1))
        outputs = slice(rows.start, min(rows.stop, window.out_sizes[0]))
        yield (images, outputs), whole.reshape(16, -1, channels)


def _differences(x: list[Array], out: Array) -> None:
    """Bᵀ x: (x0 - x2, x1 + x2, x2 - x1, x1 - x3)."""
    np.subtract(x[0], x[2], out[0])
    np.add(x[1], x[2], out[1])
    np.subtract(x[2], x[1], out[2])
    np.subtract(x[1], x[3], out[3])


def _write(products: Array, y: Array) -> bool:
    """Y = Aᵀ M A of all tiles; False if it holds an infinity or a NaN."""
    n, height, width, channels = y.shape
    th, tw = -(-height // 2), -(-width // 2)
    whole = (n, 2 * th, 2 * tw, channels)
    full = y if y.shape == whole and y.flags.c_contiguous else scratch("winograd outputs", whole, y.dtype)
    m = products.reshape(4, 4, -1)
    half = scratch("winograd sums", (2, *m.shape[1:]), y.dtype)
    _sums(list(m), half)
    quarters = full.reshape(n, th, 2, tw, 2, channels)
    for i in range(2):
        _sums([part.reshape(n, th, tw, channels) for part in half[i]], quarters[:, :, i].transpose(3, 0, 1, 2, 4))
    if full is not y:
        y[...] = full[:, :height, :width]
    return bool(np.isfinite(sum_rows(full)).all())


def _sums(m: list[Array], out: Array) -> None:
    """Aᵀ m: (m0 + m1 + m2, m1 - m2 - m3)."""
    np.add(m[0], m[1], out[0])
    np.add(out[0], m[2], out[0])
    np.subtract(m[1], m[2], out[1])
    np.subtract(out[1], m[3], out[1])


def _spread(g: Array) -> Array:
    """A dY Aᵀ of all tiles: (16, tiles, C); outputs that a last tile has too many are 0."""
    n, height, width, channels = g.shape
    th, tw = -(-height // 2), -(-width // 2)
    if (height, width) != (2 * th, 2 * tw):
        full = scratch("winograd outputs", (n, 2 * th, 2 * tw, channels), g.dtype)
        full.fill(0)
        full[:, :height, :width] = g
        g = full
    half = scratch("winograd sums", (4, n, th, 2 * tw, channels), g.dtype)
    whole = scratch("winograd products", (4, 4, n, th, tw, channels), g.dtype)
    _spread_axis(g[:, ::2], g[:, 1::2], half)
    _spread_axis(half[:, :, :, ::2], half[:, :, :, 1::2], whole.swapaxes(0, 1))
    return whole.reshape(16, -1, channels)


def _spread_axis(y0: Array, y1: Array, out: Array) -> None:
    """A y: (y0, y0 + y1, y0 - y1, -y1)."""
    np.copyto(out[0], y0)
    np.add(y0, y1, out[1])
    np.subtract(y0, y1, out[2])
    np.negative(y1, out[3])
