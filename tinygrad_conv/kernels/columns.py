"""The inputs that a block of outputs reads: with their padding, and as a matrix (im2col).

A block is some images or, where a whole one is too large, some rows of one: small enough that what is copied for it
stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np

from .scratch import BLOCK_BYTES, Array, blocks, scratch
from .window import Window

__all__ = ["Block", "column_blocks", "output_blocks", "staged"]

Block: TypeAlias = tuple[slice, slice]  # of images, and of rows of outputs in them

FEW_TOGETHER = 12  # elements: copying shorter runs costs more than rearranging the block


def output_blocks(n: int, window: Window, bytes_each: int) -> Iterator[Block]:
    """Blocks of the outputs of n images, given what one output (one place) costs in memory."""
    rows = window.out_sizes[0]
    per_row = prod(window.out_sizes[1:]) * bytes_each
    for images in blocks(n, rows * per_row, BLOCK_BYTES):
        single = images.stop - images.start == 1
        for band in blocks(rows, per_row, BLOCK_BYTES) if single else (slice(0, rows),):
            yield images, band


def staged(x: Array, block: Block, window: Window, dtype: np.dtype[Any], channels_first: bool = False) -> Array:
    """The inputs that a block of outputs reads, with their padding: (n, rows, ..., C) or (C, n, rows, ...), contiguous.

    It is x itself, where that is so already.
    """
    images, band = block
    (before, _), stride, size = window.pads[0], window.stride[0], window.in_sizes[0]
    first, last = band.start * stride, (band.stop - 1) * stride + window.reach[0]  # rows of the padded input
    if band.stop == window.out_sizes[0]:
        last = window.padded_sizes[0]  # with what no window reads: a whole image needs no copy
    top, bottom = min(max(first - before, 0), size), min(max(last - before, 0), size)
    part = x[images, top:bottom]
    shape = (len(part), last - first, *window.padded_sizes[1:])
    channels = x.shape[-1]
    if part.shape[1:-1] == shape[1:] and part.dtype == dtype and part.flags.c_contiguous:
        if not channels_first:
            return part
        if channels == 1:
            return part.reshape(1, *shape)
    stage = scratch("stage", (channels, *shape) if channels_first else (*shape, channels), dtype)
    inputs = np.moveaxis(stage, 0, -1) if channels_first else stage
    if part.shape[1:-1] != shape[1:]:
        stage.fill(0)
        inputs = inputs[:, top + before - first : bottom + before - first, *window.interior[1:]]
    inputs[...] = part
    return stage


def _runs_are_longer_in_images(in_window: int, window: Window) -> bool:
    return in_window < min(FEW_TOGETHER, window.out_sizes[-1])


def column_blocks(x: Array, window: Window, dtype: np.dtype[Any]) -> Iterator[tuple[Block, Array]]:
    """For each block of outputs, its columns (groups, M, K): M windows, K = kernel elements * channels of a group.

    The memory of the columns is used again for the next block. Elements that lie together are copied as one: with many
    channels those of a row of a window, with few those of a row of outputs, once the channels come first.
    """
    groups, per_group = window.groups, x.shape[-1] // window.groups
    k = prod(window.kernel) * per_group
    by_row = groups == 1 and window.dilation[-1] == 1  # does a row of a window lie together?
    in_window = per_group * (window.kernel[-1] if by_row else 1)
    channels_first = _runs_are_longer_in_images(in_window, window)
    for block in output_blocks(len(x), window, groups * k * dtype.itemsize):
        source = staged(x, block, window, dtype, channels_first)
        n, outs = block[0].stop - block[0].start, (block[1].stop - block[1].start, *window.out_sizes[1:])
        channel, image, *steps = source.strides if channels_first else (source.strides[-1], *source.strides[:-1])
        out_axes = [(o, step * s) for o, step, s in zip(outs, steps, window.stride, strict=True)]
        kernel_axes = [(i, step * d) for i, step, d in zip(window.kernel, steps, window.dilation, strict=True)]
        group_axis, channel_axis = (groups, per_group * channel), (per_group, channel)
        if channels_first:
            run = outs[-1] if window.stride[-1] == 1 else 1
            axes = [group_axis, *kernel_axes, channel_axis, (n, image), *(out_axes[:-1] if run > 1 else out_axes)]
        else:
            run = in_window
            axes = [group_axis, (n, image), *out_axes, *(kernel_axes[:-1] if by_row else kernel_axes)]
        shape, strides = zip(*axes, strict=True)
        element = np.dtype((np.void, run * dtype.itemsize)) if run > 1 else dtype
        columns = scratch("columns", shape, element)
        np.copyto(columns, np.ndarray(shape, element, source, 0, strides))
        matrix = columns.view(dtype).reshape((groups, k, -1) if channels_first else (groups, -1, k))
        yield block, matrix.swapaxes(1, 2) if channels_first else matrix
