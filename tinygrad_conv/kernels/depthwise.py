"""Depthwise convolution, channels last: every channel by itself, with kernels of its own.

It does too little arithmetic per element for matrices. A row of outputs is the sum, over the kernel offsets, of a row
of inputs times a row of the offset's weights, one per channel, again and again: long runs, summed up by `numpy.einsum`,
which multiplies and adds in one pass. With a stride, columns are first dealt out by it, so that runs stay long.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any

import numpy as np

from .columns import Block, output_blocks, staged
from .runs import Piles, copy_runs
from .scratch import Array, blocks, scratch
from .window import Window

__all__ = ["depthwise", "depthwise_input_grad", "depthwise_kernel_grad", "is_depthwise"]

BLOCK_BYTES = 1 << 20  # of images at a time: what a level-2 cache holds


def is_depthwise(channels: int, window: Window) -> bool:
    """Is every channel a group by itself?"""
    return window.groups == channels > 1


def depthwise(x: Array, w: Array, window: Window, y: Array) -> Array:
    """`conv` into y."""
    rows, taps, outs = _labels(window)
    found = _blocks(x, w.shape[-1], window, y.dtype)
    weights = _weights(w, _width(found, window), window, y.dtype)
    for block, parts in _row_blocks(x, w.shape[-1], window, y.dtype, found):
        total = _as_rows(y[block])
        for i, (offsets, inputs) in enumerate(parts):
            term = scratch("term", total.shape, y.dtype) if i else total
            np.einsum(inputs, rows, weights[..., offsets, : total.shape[-1]], taps, outs, out=term)
            if i:
                total += term
    return y


def depthwise_kernel_grad(x: Array, g: Array, window: Window, dw: Array) -> Array:
    """`conv_kernel_grad` into dw."""
    rows, taps, outs = _labels(window)
    c_out = g.shape[-1]
    found = _blocks(x, c_out, window, dw.dtype)
    total = np.zeros((*window.kernel, _width(found, window) * c_out), dw.dtype)
    for block, parts in _row_blocks(x, c_out, window, dw.dtype, found):
        cotangents = _as_rows(g[block].astype(dw.dtype, copy=False))
        for offsets, inputs in parts:
            total[..., offsets, : cotangents.shape[-1]] += np.einsum(inputs, rows, cotangents, outs, taps)
    np.sum(total.reshape(*window.kernel, 1, -1, c_out), axis=-2, out=dw)
    return dw


def depthwise_input_grad(g: Array, w: Array, window: Window, dx: Array) -> Array:
    """`conv_input_grad` into dx."""
    c_out, multiplier = g.shape[-1], g.shape[-1] // dx.shape[-1]
    transposed = window.transposed
    flipped = np.flip(w, tuple(range(window.rank)))
    weights = _weights(w, window.out_sizes[-1], window, dx.dtype).reshape(-1, window.out_sizes[-1], c_out)
    for images in blocks(len(g), max(dx[:1].nbytes * multiplier, g[:1].nbytes), BLOCK_BYTES):
        part = g[images]
        shape = (*dx[images].shape[:-1], c_out)
        total = dx[images] if multiplier == 1 else scratch("images", shape, dx.dtype)
        if transposed is not None:
            depthwise(part, flipped, transposed, total)
        else:
            term = scratch("term", part.shape, dx.dtype)
            cells = Piles(total, window.stride[-1], len(weights)).clear()
            for tap, (outputs, inputs) in zip(weights, window.cells, strict=True):
                to, terms = cells.at(inputs), np.multiply(part, tap, out=term)
                to += terms[:, *outputs]
            cells.collect()
        if multiplier > 1:
            np.sum(total.reshape(*dx[images].shape, multiplier), axis=-1, out=dx[images])
    return dx


# ------------------------------------------------------------------------------------------------------------------
# Rows


def _labels(window: Window) -> tuple[list[int], list[int], list[int]]:
    """What `numpy.einsum` calls the axes (N, *outs, *offsets, row), (*offsets, row) and (N, *outs, row)."""
    before, last = window.rank - 1, 2 * window.rank
    outs, offsets = list(range(before + 1)), list(range(before + 1, last))
    return [*outs, *offsets, last], [*offsets, last], [*outs, last]


def _as_rows(y: Array) -> Array:
    """Outputs (N, *out, C) as (N, *out[:-1], ow * C)."""
    return y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1])


def _weights(w: Array, width: int, window: Window, dtype: np.dtype[Any]) -> Array:
    """The kernel as (*kernel, width * C): repeated along a row of outputs."""
    return _as_rows(np.ascontiguousarray(np.broadcast_to(w, (*window.kernel, width, w.shape[-1])), dtype))


def _blocks(x: Array, c_out: int, window: Window, dtype: np.dtype[Any]) -> list[Block]:
    return list(output_blocks(len(x), window, 2 * c_out * dtype.itemsize))


def _width(found: list[Block], window: Window) -> int:
    """How many outputs there are in a row. Along a single axis a block is part of a row, and the first the longest."""
    return window.out_sizes[-1] if window.rank > 1 else found[0][1].stop


def _row_blocks(
    x: Array, c_out: int, window: Window, dtype: np.dtype[Any], found: list[Block]
) -> Iterator[tuple[Block, list[tuple[slice, Array]]]]:
    """For each block of outputs, the inputs they read: a view (N, *outs, *offsets, row), for some offsets of the last
    axis at a time; with a stride s, for those whose inputs are in the same pile of every s-th column."""
    stride, dilation, k = window.stride[-1], window.dilation[-1], window.kernel[-1]
    apart = stride // gcd(stride, dilation)  # offsets that read the same pile are so far apart
    for block in found:
        source = staged(x, block, window, dtype)
        if c_out != x.shape[-1]:
            source = np.repeat(source, c_out // x.shape[-1], axis=-1)  # each channel as often as it has kernels
        *before, w, _ = source.shape
        piles = source[None]
        if stride > 1:
            piles = scratch("piles", (stride, *before, -(-w // stride), c_out), dtype)
            for pile, columns in enumerate(source[..., i::stride, :] for i in range(stride)):
                copy_runs(piles[pile][..., : columns.shape[-2], :], columns)
        image, *steps, column, element = piles.strides[1:]
        *outs, width = block[1].stop - block[1].start, *window.out_sizes[1:]
        parts = []
        for first in range(min(apart, k)):
            offsets = slice(first, k, apart)
            pile, start = first * dilation % stride, first * dilation // stride
            shape = (before[0], *outs, *window.kernel[:-1], len(range(first, k, apart)), width * c_out)
            strides = (
                image,
                *(step * s for step, s in zip(steps, window.stride[:-1], strict=True)),
                *(step * d for step, d in zip(steps, window.dilation[:-1], strict=True)),
                apart * dilation // stride * column,
                element,
            )
            parts.append((offsets, np.ndarray(shape, dtype, piles[pile], start * column, strides)))
        yield block, parts
