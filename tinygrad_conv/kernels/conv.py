"""Convolution on bare arrays, channels last: three functions, each the transpose of the others.

====================  ================================================================================
`conv`                y = conv(x, w), the cross-correlation
`conv_input_grad`     dx such that <g, conv(x, w)> = <dx, x>, the transposed convolution
`conv_kernel_grad`    dw such that <g, conv(x, w)> = <dw, w>
====================  ================================================================================

Each takes as `out` the array to write its result in: C-contiguous, of the result's shape and dtype, apart from the
inputs, and of any content.

How they work: the inputs under each window become a row of a matrix of *columns* (im2col), and a convolution is one
matrix product per block of images. A block is small enough for its columns to stay in the cache, so the copy that
im2col makes never reaches main memory. The input gradient needs no columns: one product per kernel offset, added where
it belongs. Depthwise convolutions do too little arithmetic per element for matrices, and add up shifted products.

What costs time besides the arithmetic is how short the contiguous runs are that NumPy copies and adds. With many
channels a run is a row of a window, kw * C elements. With few, a block is staged with its channels first, and a run is
a row of the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .scratch import result, scratch
from .window import Window

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad", "patches", "patches_transpose"]

Array: TypeAlias = np.ndarray[Any, Any]
Block: TypeAlias = tuple[slice, slice]  # of images, and of rows in them

BLOCK_BYTES = 1 << 20  # of columns at a time: what a level-2 cache holds
SHORT_RUN = 12  # elements: copying shorter runs costs more than rearranging the block
FEW_CHANNELS = 8  # below, a product with the kernel of one offset is too narrow for BLAS


def conv(x: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """y[n, o, c] = Σ over i, k of x[n, o * stride - before + i * dilation, k] w[i, k, c], within each group."""
    dtype = np.result_type(x, w)
    y = result(out, (len(x), *window.out_sizes, w.shape[-1]), dtype)
    if _is_depthwise(x.shape[-1], window):
        return _depthwise(x, w, window, y)
    groups = window.groups
    matrix = _matrix(w.astype(dtype, copy=False), groups)
    for block, columns in _column_blocks(x, window, dtype):
        np.matmul(columns, matrix, out=_rows(y[block], groups))  # (G, M, K) @ (G, K, C_out / G)
    return y


def conv_input_grad(g: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """dx[n, o * stride - before + i * dilation, k] += Σ over c of g[n, o, c] w[i, k, c], for all o and i."""
    dtype = np.result_type(g, w)
    groups, per_group = window.groups, w.shape[-2]
    channels = groups * per_group
    g, w = g.astype(dtype, copy=False), w.astype(dtype, copy=False)
    dx = result(out, (len(g), *window.in_sizes, channels), dtype)
    if _is_depthwise(channels, window):
        return _depthwise_input_grad(g, w, window, dx)
    if window.pointwise:
        np.matmul(_rows(g, groups), _matrix(w, groups).swapaxes(1, 2), out=_rows(dx, groups))
        return dx
    add = _add_planes if per_group < FEW_CHANNELS else _add_offsets
    dx[...] = 0
    per_image = dtype.itemsize * (prod(window.out_sizes) * (g.shape[-1] + channels) + 2 * prod(dx.shape[1:]))
    for block in _blocks(len(g), per_image):
        add(dx[block], g[block], w, window)
    return dx


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    """dw[i, k, c] = Σ over n, o of x[n, o * stride - before + i * dilation, k] g[n, o, c], within each group."""
    dtype = np.result_type(x, g)
    groups = window.groups
    dw = result(out, (*window.kernel, x.shape[-1] // groups, g.shape[-1]), dtype)
    dw[...] = 0
    if _is_depthwise(x.shape[-1], window):
        return _depthwise_kernel_grad(x, g, window, dw)
    g = g.astype(dtype, copy=False)
    matrix = _matrix(dw, groups)
    for block, columns in _column_blocks(x, window, dtype):
        matrix += np.matmul(columns.swapaxes(1, 2), _rows(g[block], groups))  # (G, K, M) @ (G, M, C_out / G)
    return dw


def patches(x: Array, window: Window, *, out: Array | None = None) -> Array:
    """The inputs under each window: (N, *out, K * C), the kernel offsets in row-major order, padding as 0."""
    if window.padded:
        padded = np.zeros((len(x), *window.padded_sizes, x.shape[-1]), x.dtype)
        padded[:, *window.interior] = x
        x = padded
    y = result(out, (len(x), *window.out_sizes, prod(window.kernel) * x.shape[-1]), x.dtype)
    windows = _windows(x, window)
    y.reshape(windows.shape)[...] = windows
    return y


def patches_transpose(g: Array, window: Window, *, out: Array | None = None) -> Array:
    """The transpose of `patches`: each window's elements added back to where they came from."""
    channels = g.shape[-1] // prod(window.kernel)
    dx = result(out, (len(g), *window.in_sizes, channels), g.dtype)
    dx[...] = 0
    parts = np.moveaxis(g.reshape(*g.shape[:-1], prod(window.kernel), channels), -2, 0)  # (offsets, N, *out, C)
    for part, (outputs, inputs) in zip(parts, window.cells, strict=True):
        dx[:, *inputs] += part[:, *outputs]
    return dx


# ------------------------------------------------------------------------------------------------------------------
# Blocks, and matrices


def _blocks(n: int, bytes_per_image: int) -> Iterator[slice]:
    """Slices of the batch of at most about `BLOCK_BYTES` each, as equal as can be."""
    count = -(-n * bytes_per_image // BLOCK_BYTES) or 1
    size = -(-n // count) or 1
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _rows(y: Array, groups: int) -> Array:
    """Outputs (N, *out, C_out) as matrices (groups, M, C_out / groups), M = N * places: a view of contiguous ones."""
    return y.reshape(prod(y.shape[:-1]), groups, y.shape[-1] // groups).swapaxes(0, 1)


def _matrix(w: Array, groups: int) -> Array:
    """A kernel (*kernel, C / groups, C_out) as matrices (groups, K, C_out / groups)."""
    return w.reshape(prod(w.shape[:-1]), groups, w.shape[-1] // groups).swapaxes(0, 1)


def _runs_are_short(window: Window, per_group: int) -> bool:
    """Would rows of images be longer runs than rows of windows, and are those too short?"""
    run = per_group * (window.kernel[-1] if window.dilation[-1] == 1 and window.groups == 1 else 1)
    return run < min(SHORT_RUN, window.out_sizes[-1])


# ------------------------------------------------------------------------------------------------------------------
# Columns


def _windows(x: Array, window: Window) -> Array:
    """A view (N, *out, *kernel, C) of a padded input: no copy, an element appears once for each window it is in."""
    steps = x.strides[1:-1]
    return as_strided(
        x,
        (len(x), *window.out_sizes, *window.kernel, x.shape[-1]),
        (
            x.strides[0],
            *(step * s for step, s in zip(steps, window.stride, strict=True)),
            *(step * d for step, d in zip(steps, window.dilation, strict=True)),
            x.strides[-1],
        ),
        writeable=False,
    )


def _column_blocks(x: Array, window: Window, dtype: np.dtype[Any]) -> Iterator[tuple[Block, Array]]:
    """For each block of outputs, its columns (groups, M, K): M windows, K = kernel elements * channels of a group.

    A block is some images, or some rows of one image if a whole one is too large. The memory of the columns is used
    again for the next block.
    """
    n, channels, groups, rank = len(x), x.shape[-1], window.groups, window.rank
    if window.pointwise:
        yield (slice(0, n), slice(None)), _rows(x, groups)
        return
    per_group = channels // groups
    short = _runs_are_short(window, per_group)
    k = prod(window.kernel) * per_group
    rows = window.out_sizes[0]
    per_row = prod(window.out_sizes[1:]) * k * groups
    images = list(_blocks(n, rows * per_row * dtype.itemsize))
    bands = list(_blocks(rows, per_row * dtype.itemsize)) if images and images[0].stop == 1 else [slice(0, rows)]

    source, stage = x, None
    if window.padded or (short and channels > 1):
        most, sizes = images[0].stop if images else 0, window.padded_sizes
        source = scratch("stage", (channels, most, *sizes) if short else (most, *sizes, channels), x.dtype)
        source[...] = 0
        source = np.moveaxis(source, 0, -1) if short else source  # (images, *padded, C), whatever lies in memory
        stage = source[:, *window.interior]
    view = _windows(source, window)
    view = view.reshape(*view.shape[:-1], groups, per_group)
    # (N, *out, *kernel, G, C / G) to (G, *kernel, C / G, N, *out), or to (G, N, *out, *kernel, C / G)
    outer, inner = tuple(range(rank + 1)), (*range(rank + 1, 2 * rank + 1), 2 * rank + 2)
    view = view.transpose(2 * rank + 1, *inner, *outer) if short else view.transpose(2 * rank + 1, *outer, *inner)
    before = (slice(None),) * (rank + 2 if short else 1)

    for block in images:
        here = block
        if stage is not None:
            here = slice(0, block.stop - block.start)
            stage[here] = x[block]
        for band in bands:
            part = view[*before, here, band]
            columns = scratch("columns", part.shape, dtype)
            np.copyto(columns, part)
            m = prod(part.shape[rank + 2 :] if short else part.shape[1 : rank + 2])
            matrix = columns.reshape(groups, k, m).swapaxes(1, 2) if short else columns.reshape(groups, m, k)
            yield (block, band), matrix


# ------------------------------------------------------------------------------------------------------------------
# Input gradients


def _add_offsets(dx: Array, g: Array, w: Array, window: Window) -> None:
    """Add each kernel offset's product g @ w[i]ᵀ, rows of (ow, C) at a time."""
    groups, per_group, c_out = window.groups, w.shape[-2], w.shape[-1]
    rows = _rows(g, groups)  # (G, M, C_out / G)
    taps = w.reshape(prod(window.kernel), per_group, groups, c_out // groups).transpose(
        0, 2, 3, 1
    )  # (offsets, G, C_out / G, C / G)
    part = scratch("part", (*g.shape[:-1], groups * per_group), dx.dtype)
    for tap, (outputs, inputs) in zip(taps, window.cells, strict=True):
        np.matmul(rows, tap, out=_rows(part, groups))
        dx[:, *inputs] += part[:, *outputs]


def _add_planes(dx: Array, g: Array, w: Array, window: Window) -> None:
    """Add the products of all offsets, with channels first, rows of images at a time."""
    groups, per_group = window.groups, w.shape[-2]
    matrix, rows = _matrix(w, groups), _rows(g, groups)
    columns = np.matmul(matrix, rows.swapaxes(1, 2))  # (G, K, C_out / G) @ (G, C_out / G, M)
    images, outs = per_group * len(g), g.shape[1:-1]
    parts = columns.reshape(groups, prod(window.kernel), images, *outs).swapaxes(0, 1)  # (offsets, G, C / G * N, *out)
    planes = np.zeros((groups, images, *window.in_sizes), dx.dtype)
    for part, (outputs, inputs) in zip(parts, window.cells, strict=True):
        planes[:, :, *inputs] += part[:, :, *outputs]
    dx += np.moveaxis(planes.reshape(-1, *dx.shape[:-1]), 0, -1)


# ------------------------------------------------------------------------------------------------------------------
# Depthwise: every channel by itself


def _is_depthwise(channels: int, window: Window) -> bool:
    return window.groups == channels > 1


def _depthwise_blocks(n: int, window: Window, channels: int, dtype: np.dtype[Any]) -> Iterator[slice]:
    return _blocks(n, 4 * prod(window.out_sizes) * channels * dtype.itemsize)


def _depthwise_taps(w: Array, window: Window, dtype: np.dtype[Any]) -> Array:
    """The kernel as (offsets, ow, C_out): repeated along a row of outputs, so that products have long runs."""
    c_out = w.shape[-1]
    taps = w.reshape(prod(window.kernel), 1, c_out).astype(dtype, copy=False)
    return np.ascontiguousarray(np.broadcast_to(taps, (len(taps), window.out_sizes[-1], c_out)))


def _repeated(x: Array, multiplier: int) -> Array:
    """Each channel as often as it has kernels."""
    return x if multiplier == 1 else np.repeat(x, multiplier, axis=-1)


def _depthwise(x: Array, w: Array, window: Window, y: Array) -> Array:
    taps = _depthwise_taps(w, window, y.dtype)
    y[...] = 0
    for block in _depthwise_blocks(len(x), window, w.shape[-1], y.dtype):
        images, out = _repeated(x[block], w.shape[-1] // x.shape[-1]), y[block]
        for tap, (outputs, inputs) in zip(taps, window.cells, strict=True):
            out[:, *outputs] += images[:, *inputs] * tap[outputs[-1]]
    return y


def _depthwise_input_grad(g: Array, w: Array, window: Window, dx: Array) -> Array:
    taps = _depthwise_taps(w, window, g.dtype)
    channels, c_out = window.groups, g.shape[-1]
    for block in _depthwise_blocks(len(g), window, c_out, g.dtype):
        part = g[block]
        images = np.zeros((len(part), *window.in_sizes, c_out), g.dtype)
        for tap, (outputs, inputs) in zip(taps, window.cells, strict=True):
            images[:, *inputs] += part[:, *outputs] * tap[outputs[-1]]
        dx[block] = images if c_out == channels else images.reshape(*dx[block].shape, c_out // channels).sum(-1)
    return dx


def _depthwise_kernel_grad(x: Array, g: Array, window: Window, dw: Array) -> Array:
    c_out = g.shape[-1]
    sums = dw.reshape(prod(window.kernel), c_out)
    for block in _depthwise_blocks(len(x), window, c_out, dw.dtype):
        images, part = _repeated(x[block], c_out // x.shape[-1]), g[block]
        for tap, (outputs, inputs) in zip(sums, window.cells, strict=True):
            products = images[:, *inputs] * part[:, *outputs]
            products = products.reshape(prod(products.shape[:-1]), c_out)
            tap += np.ones(len(products), dw.dtype) @ products  # a sum, as fast as BLAS
    return dw
