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
im2col makes never reaches main memory. The input gradient is a convolution too, or a sum of products, whichever is
less work. Depthwise convolutions do too little arithmetic per element for matrices: see `depthwise`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from . import winograd
from .columns import column_blocks
from .depthwise import depthwise, depthwise_input_grad, depthwise_kernel_grad, is_depthwise
from .product import matmul
from .scratch import BLOCK_BYTES, Array, blocks, result, scratch
from .window import Window

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad", "patches", "patches_transpose"]

FEW_CHANNELS = 8  # below, a product with the kernel of one offset is too narrow for BLAS
MORE_PLACES, MORE_CHANNELS = 1.15, 2  # up to so many times those of the outputs: one convolution beats many products
MANY_PLACES, SMALL_KERNEL = 512, 1 << 15  # from so many outputs, or up to so few elements: flipping the kernel is cheap


def conv(x: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """y[n, o, c] = Σ over i, k of x[n, o * stride - before + i * dilation, k] w[i, k, c], within each group."""
    dtype = np.result_type(x, w)
    y = result(out, (len(x), *window.out_sizes, w.shape[-1]), dtype)
    if not (x.size and w.size):  # without images, or without channels
        y.fill(0)
        return y
    if is_depthwise(x.shape[-1], window):
        return depthwise(x, w, window, y)
    x, w, groups = x.astype(dtype, copy=False), w.astype(dtype, copy=False), window.groups
    if winograd.pays(x, w.shape[-1], window) and winograd.conv(x, w, window, y):
        return y
    matrix = _matrix(w, groups)
    if window.pointwise:
        matmul(_rows(x, groups), matrix, out=_rows(y, groups))
        return y
    for block, columns in column_blocks(x, window, dtype):
        matmul(columns, matrix, out=_rows(y[block], groups))  # (G, M, K) @ (G, K, C_out / G)
    return y


def conv_input_grad(g: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """dx[n, o * stride - before + i * dilation, k] += Σ over c of g[n, o, c] w[i, k, c], for all o and i."""
    dtype = np.result_type(g, w)
    groups, per_group = window.groups, w.shape[-2]
    channels = groups * per_group
    g, w = g.astype(dtype, copy=False), w.astype(dtype, copy=False)
    dx = result(out, (len(g), *window.in_sizes, channels), dtype)
    if not (g.size and w.size and dx.size):
        dx.fill(0)
    elif is_depthwise(channels, window):
        depthwise_input_grad(g, w, window, dx)
    elif window.pointwise:
        matmul(_rows(g, groups), _matrix(w, groups).swapaxes(1, 2), out=_rows(dx, groups))
    elif per_group < FEW_CHANNELS:
        _sum_blocks(_add_planes, dx, g, w, window)
    elif (transposed := window.transposed) is not None and _convolution_pays(transposed, g, w, channels):
        conv(g, _flipped(w, groups), transposed, out=dx)
    else:
        _sum_blocks(_add_offsets, dx, g, w, window)
    return dx


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    """dw[i, k, c] = Σ over n, o of x[n, o * stride - before + i * dilation, k] g[n, o, c], within each group."""
    dtype = np.result_type(x, g)
    groups = window.groups
    dw = result(out, (*window.kernel, x.shape[-1] // groups, g.shape[-1]), dtype)
    if not (x.size and g.size):
        dw.fill(0)
        return dw
    if is_depthwise(x.shape[-1], window):
        return depthwise_kernel_grad(x, g, window, dw)
    x, g, matrix = x.astype(dtype, copy=False), g.astype(dtype, copy=False), _matrix(dw, groups)
    if window.pointwise:
        matmul(_rows(x, groups).swapaxes(1, 2), _rows(g, groups), out=matrix)
        return dw
    if winograd.pays(x, g.shape[-1], window) and winograd.conv_kernel_grad(x, g, window, dw):
        return dw
    dw.fill(0)
    for block, columns in column_blocks(x, window, dtype):
        matrix += matmul(columns.swapaxes(1, 2), _rows(g[block], groups))  # (G, K, M) @ (G, M, C_out / G)
    return dw


def patches(x: Array, window: Window, *, out: Array | None = None) -> Array:
    """The inputs under each window: (N, *out, K * C), the kernel offsets in row-major order, padding as 0."""
    y = result(out, (len(x), *window.out_sizes, prod(window.kernel) * x.shape[-1]), x.dtype)
    if x.size:
        for block, columns in column_blocks(x, replace(window, groups=1), x.dtype):
            y[block].reshape(columns.shape[1:])[...] = columns[0]
    return y


def patches_transpose(g: Array, window: Window, *, out: Array | None = None) -> Array:
    """The transpose of `patches`: each window's elements added back to where they came from."""
    channels = g.shape[-1] // prod(window.kernel)
    dx = result(out, (len(g), *window.in_sizes, channels), g.dtype)
    dx.fill(0)
    parts = np.moveaxis(g.reshape(*g.shape[:-1], prod(window.kernel), channels), -2, 0)  # (offsets, N, *out, C)
    for part, (outputs, inputs) in zip(parts, window.cells, strict=True):
        dx[:, *inputs] += part[:, *outputs]
    return dx


# ------------------------------------------------------------------------------------------------------------------
# Matrices


def _rows(y: Array, groups: int) -> Array:
    """Outputs (N, *out, C_out) as matrices (groups, M, C_out / groups), M = N * places: a view of contiguous ones."""
    return y.reshape(prod(y.shape[:-1]), groups, y.shape[-1] // groups).swapaxes(0, 1)


def _matrix(w: Array, groups: int) -> Array:
    """A kernel (*kernel, C / groups, C_out) as matrices (groups, K, C_out / groups)."""
    return w.reshape(prod(w.shape[:-1]), groups, w.shape[-1] // groups).swapaxes(0, 1)


def _flipped(w: Array, groups: int) -> Array:
    """The kernel of the convolution that is the input gradient: (*kernel, C_out / groups, C), offsets reversed."""
    *kernel, per_group, c_out = w.shape
    taps = w.reshape(prod(kernel), per_group, groups, c_out // groups)[::-1]
    return taps.transpose(0, 3, 2, 1).reshape(*kernel, c_out // groups, groups * per_group)


# ------------------------------------------------------------------------------------------------------------------
# Input gradients as sums of products, one for each kernel offset


def _convolution_pays(transposed: Window, g: Array, w: Array, channels: int) -> bool:
    """Does the input gradient as a convolution take less time than as a sum of products?

    It multiplies the padding of g too, copies g's channels where the sum adds up x's, and needs the kernel flipped.
    """
    return (
        prod(transposed.out_sizes) <= MORE_PLACES * prod(transposed.in_sizes)
        and g.shape[-1] <= MORE_CHANNELS * channels
        and (prod(g.shape[:-1]) >= MANY_PLACES or w.size <= SMALL_KERNEL)
    )


def _sum_blocks(add: Callable[..., None], dx: Array, g: Array, w: Array, window: Window) -> None:
    """Images that fit the cache together with what is added to them, one block after the other."""
    channels = dx.shape[-1]
    elements = prod(window.out_sizes) * (g.shape[-1] + channels) + 2 * prod(dx.shape[1:])
    for block in blocks(len(g), elements * dx.itemsize, BLOCK_BYTES):
        dx[block] = 0
        add(dx[block], g[block], w, window)


def _add_offsets(dx: Array, g: Array, w: Array, window: Window) -> None:
    """Add each kernel offset's product g @ w[i]ᵀ, rows of (ow, C) at a time."""
    groups, per_group, c_out = window.groups, w.shape[-2], w.shape[-1]
    rows = _rows(g, groups)  # (G, M, C_out / G)
    taps = w.reshape(prod(window.kernel), per_group, groups, c_out // groups)
    taps = taps.transpose(0, 2, 3, 1)  # (offsets, G, C_out / G, C / G)
    part = scratch("part", (*g.shape[:-1], groups * per_group), dx.dtype)
    for tap, (outputs, inputs) in zip(taps, window.cells, strict=True):
        matmul(rows, tap, out=_rows(part, groups))
        dx[:, *inputs] += part[:, *outputs]


def _add_planes(dx: Array, g: Array, w: Array, window: Window) -> None:
    """Add the products of all offsets, with channels first, rows of images at a time."""
    groups, per_group = window.groups, w.shape[-2]
    matrix, rows = _matrix(w, groups), _rows(g, groups)
    columns = matmul(matrix, rows.swapaxes(1, 2))  # (G, K, C_out / G) @ (G, C_out / G, M)
    images, outs = per_group * len(g), g.shape[1:-1]
    parts = columns.reshape(groups, prod(window.kernel), images, *outs).swapaxes(0, 1)  # (offsets, G, C / G * N, *out)
    planes = np.zeros((groups, images, *window.in_sizes), dx.dtype)
    for part, (outputs, inputs) in zip(parts, window.cells, strict=True):
        planes[:, :, *inputs] += part[:, :, *outputs]
    dx += np.moveaxis(planes.reshape(-1, *dx.shape[:-1]), 0, -1)
