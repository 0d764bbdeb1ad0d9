"""Max and average pooling on bare arrays, channels last.

Max pooling is an argmax, which has no derivative, and then a linear gather. So `max_pool` returns both the maxima and
where in its window each was found, and `pool_gather` and its transpose `pool_scatter` do the rest.

Each takes as `out` the array to write its result in (for `max_pool` a pair of them): C-contiguous, of the result's
shape and dtype, apart from the inputs, and of any content.

How they work: maxima and sums are taken along one axis at a time, so that a window costs the sum of its sizes and not
their product. Along an axis, the kernel offsets are visited one after the other, and at each all outputs at once.
Outputs that would read padding there are left out, so padding is never made, and never wins. Where only some elements
are wanted, they are multiplied by 0 and 1, not selected: NumPy selects one at a time.

What costs time is how short the runs are that lie together, such as the channels of every other column. Images are
therefore visited in blocks that fit the cache, and their columns first dealt out by the stride (`_Columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .scratch import Array, blocks, copy_runs, result, scratch
from .window import Slices, Window

__all__ = ["avg_pool", "avg_pool_transpose", "max_pool", "pool_gather", "pool_scatter"]

BLOCK_BYTES = 1 << 21  # of images at a time: in smaller blocks, calling NumPy costs more than the level-2 cache saves
SHORT_RUN = 256  # bytes: runs as long as this are fast to visit where they are

# ------------------------------------------------------------------------------------------------------------------
# Maximum


def max_pool(x: Array, window: Window, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """The maximum of each window, and the place of the first one in it (row-major); a NaN counts as greatest."""
    shape = (len(x), *window.out_sizes, x.shape[-1])
    y, argmax = out or (None, None)
    y, argmax = result(y, shape, x.dtype), result(argmax, shape, np.min_scalar_type(prod(window.kernel) - 1))
    for block in _blocks(x):
        images, best, place = _together(x[block]), y[block], argmax[block]
        _max_block(images, window, np.greater, best, place)
        if best.size and x.dtype.kind == "f" and np.isnan(best.max()):
            _max_block(images, window, _greater_or_nan, best, place)
    return y, argmax


def _max_block(x: Array, window: Window, greater: Callable[..., Any], y: Array, argmax: Array) -> None:
    """The first maxima along the last axis, the first of these along the axis before, and so on: first row-major."""
    places: Array | None = None  # where in the passes so far each x was found
    for i, step in reversed(list(enumerate(_passes(x, window)))):
        best = scratch(f"pass {i}", step.outs, y.dtype) if i else y.reshape(step.outs)
        place = scratch(f"place {i}", step.outs, argmax.dtype) if i else argmax.reshape(step.outs)
        _max_pass(step, x.reshape(step.ins), None if places is None else places.reshape(step.ins), greater, best, place)
        x, places = best, place


def _max_pass(
    step: _Pass, x: Array, places: Array | None, greater: Callable[..., Any], y: Array, argmax: Array
) -> None:
    cells = _Columns("cells", x, step.stride).deal()
    behind = None if places is None else _Columns("places", places, step.stride).deal()
    for k, outputs, inputs, cell, best in _visits(step, cells, y):
        place, here = argmax[:, *outputs], argmax.dtype.type(k * step.weight)
        found = place if best is None else scratch("found", cell.shape, argmax.dtype)
        if behind is None:
            found[...] = here
        else:
            np.add(behind.at(inputs), here, out=found)
        if best is not None:
            wins = greater(cell, best, out=scratch("mask", cell.shape, np.dtype(bool))).view(np.uint8)
            # Places only grow, so the greater of the place so far and of the one found, 0 where it loses, is the place.
            np.maximum(place, np.multiply(found, wins, out=found), out=place)
            np.maximum(best, cell, out=y[:, *outputs])


def _greater_or_nan(a: Array, b: Array, out: Array) -> Any:
    """Is a greater, a NaN being greater than any number? (Every comparison with a NaN is false.)"""
    return np.logical_or(a > b, np.isnan(a) & ~np.isnan(b), out=out)


def pool_gather(x: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """The element of each window that `argmax` names."""
    y = result(out, argmax.shape, x.dtype)
    y[...] = 0
    for block in _blocks(x):
        total, place = _bits(y[block]), argmax[block]
        cells = _Columns("cells", _bits(_together(x[block])), window.stride[-1]).deal()
        for k, (outputs, inputs) in enumerate(window.cells):
            total[:, *outputs] += cells.at(inputs) * (place[:, *outputs] == k)
    return y


def pool_scatter(g: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """The transpose of `pool_gather`: each element added to the place it was gathered from."""
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    for block in _blocks(dx):
        images, source, place = dx[block], _bits(_together(g[block])), argmax[block]
        step = _all_axes(images, window)
        in_place = not step.overlap and 2 * g.shape[-1] * g.itemsize >= SHORT_RUN  # half: it saves a copy
        cells = _cleared(step, images)
        mask = scratch("mask", place.shape, np.dtype(bool))
        part = scratch("found", source.shape, source.dtype)
        for k, (outputs, inputs) in enumerate(step.cells):
            to, chosen = cells.at(inputs), np.equal(place, k, out=mask)
            if in_place:
                np.multiply(source[:, *outputs], chosen[:, *outputs], out=_bits(to))
                continue
            found = np.multiply(source, chosen, out=part).view(g.dtype)[:, *outputs]
            if step.overlap:
                to += found
            else:
                copy_runs(to, found)
        cells.collect()
    return dx


def _bits(x: Array) -> Array:
    """Floats as integers of the same memory, of which 0 and 1 times any is exact: infinity and NaN times 0 too."""
    return x.view(f"i{x.dtype.itemsize}") if x.dtype.kind == "f" and x.dtype.itemsize <= 8 else x


# ------------------------------------------------------------------------------------------------------------------
# Mean


def avg_pool(x: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """The mean of each window; padding counts as zeros, or not at all."""
    scale = _scale(window, count_include_pad, x.dtype if x.dtype.kind == "f" else np.float64)
    y = result(out, (len(x), *window.out_sizes, x.shape[-1]), scale.dtype)
    for block in _blocks(x):
        part, mean = _together(x[block]), y[block]
        for i, step in reversed(list(enumerate(_passes(part, window)))):
            total = scratch(f"pass {i}", step.outs, y.dtype) if i else mean.reshape(step.outs)
            cells = _Columns("cells", part.reshape(step.ins), step.stride).deal()
            for _, outputs, _, cell, so_far in _visits(step, cells, total):
                if so_far is not None:
                    np.add(so_far, cell, out=total[:, *outputs], dtype=y.dtype)
            part = total
        mean *= scale
    return y


def avg_pool_transpose(g: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """The transpose of `avg_pool`: each element shared out equally over its window."""
    scale = _scale(window, count_include_pad, g.dtype)
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    for block in _blocks(dx):
        part = np.multiply(g[block], scale, out=scratch("image", g[block].shape, g.dtype))
        passes = _passes(dx[block], window)
        for i, step in enumerate(passes, start=1 - len(passes)):
            spread = scratch(f"pass {i}", step.ins, g.dtype) if i else dx[block].reshape(step.ins)
            part = part.reshape(step.outs)
            cells = _cleared(step, spread)
            for outputs, inputs in step.cells:
                to = cells.at(inputs)
                if step.overlap:
                    to += part[:, *outputs]
                else:
                    copy_runs(to, part[:, *outputs])
            cells.collect()
            part = spread
    return dx


def _scale(window: Window, count_include_pad: bool, dtype: Any) -> Array:
    """One over the number of cells of each window that count: (*out, 1)."""
    if count_include_pad or not window.padded:
        return np.full((1,) * (window.rank + 1), 1 / prod(window.kernel), dtype)
    count = np.zeros((*window.out_sizes, 1))
    for outputs, _ in window.cells:
        count[outputs] += 1
    return (1 / count).astype(dtype)


# ------------------------------------------------------------------------------------------------------------------
# Passes over the offsets of the kernel


class _Pass(NamedTuple):
    """The kernel offsets along one axis, of images (M, n, R), or along all together, of images (N, *sizes, C)."""

    ins: tuple[int, ...]  # the shape of the images
    outs: tuple[int, ...]
    cells: tuple[tuple[Slices, Slices], ...]  # for each offset, outputs and the inputs they read there
    stride: int  # of the last axis but one
    weight: int  # of an offset in the place of a window's cell
    overlap: bool  # may an input be read twice?
    padded: bool
    tiles: bool  # is every input read once, but for some beyond the last window?


def _all_axes(x: Array, window: Window) -> _Pass:
    outs = (len(x), *window.out_sizes, x.shape[-1])
    overlap = any(reach > stride for reach, stride in zip(window.reach, window.stride, strict=True))
    return _Pass(x.shape, outs, window.cells, window.stride[-1], 1, overlap, window.padded, window.tiles)


def _passes(x: Array, window: Window) -> list[_Pass]:
    """How to reduce images x, from the last pass to the first: axis by axis, or at once if windows share nothing."""
    whole = _all_axes(x, window)
    if not whole.overlap and not whole.padded:
        return [whole]
    passes = []
    for axis, (n, o) in enumerate(zip(window.in_sizes, window.out_sizes, strict=True)):
        # The axes before still have the sizes of the input, those behind already those of the output.
        m, r = len(x) * prod(window.in_sizes[:axis]), prod(window.out_sizes[axis + 1 :]) * x.shape[-1]
        cells = tuple(((outputs,), (inputs,)) for outputs, inputs in window.axis_cells[axis])
        stride, weight = window.stride[axis], prod(window.kernel[axis + 1 :])
        overlap, padded = window.reach[axis] > stride, any(window.pads[axis])
        tiles = not overlap and not padded and window.kernel[axis] == stride
        passes.append(_Pass((m, n, r), (m, o, r), cells, stride, weight, overlap, padded, tiles))
    return passes


def _visits(step: _Pass, cells: _Columns, y: Array) -> Iterator[tuple[int, Slices, Slices, Array, Array | None]]:
    """The cells to combine into y: for each kernel offset (k, outputs, inputs, cell, so far).

    `cell` is what the outputs read there, at the inputs, and `so far` what to combine it with into ``y[:, *outputs]``;
    it is None where the outputs read their first cell, which needs nothing more. All do at offset 0, but with padding
    (then there is one axis) a few at a further offset only: those before the ones already reached.
    """
    if not step.padded:
        held: Array | None = None
        for k, (outputs, inputs) in enumerate(step.cells):
            cell = cells.at(inputs)
            if k == 0 and len(step.cells) > 1:
                held = cell  # and combine it at offset 1: saves a copy
                yield k, outputs, inputs, cell, None
            elif k == 0:
                y[:, *outputs] = cell
                yield k, outputs, inputs, cell, None
            else:
                yield k, outputs, inputs, cell, y if held is None else held
                held = None
        return
    reached = y.shape[1]
    for k, ((o,), (i,)) in enumerate(step.cells):
        if o.start == o.stop:
            continue
        split = min(reached, o.stop)
        at = i.start + (split - o.start) * step.stride
        if o.start < split:
            outputs, inputs = (slice(o.start, split),), (slice(i.start, at, step.stride),)
            y[:, *outputs] = cells.at(inputs)
            yield k, outputs, inputs, cells.at(inputs), None
        if split < o.stop:
            outputs, inputs = (slice(split, o.stop),), (slice(at, i.stop, step.stride),)
            yield k, outputs, inputs, cells.at(inputs), y[:, *outputs]
        reached = min(reached, o.start)


# ------------------------------------------------------------------------------------------------------------------
# Memory


def _blocks(x: Array) -> Iterator[slice]:
    """Blocks of images that fit the cache together with what is computed from them."""
    return blocks(len(x), x[:1].nbytes, BLOCK_BYTES)


def _together(x: Array) -> Array:
    """x, or where it is not contiguous a copy that is."""
    if x.flags.c_contiguous:
        return x
    images = scratch("image", x.shape, x.dtype)
    images[...] = x
    return images


def _cleared(step: _Pass, images: Array) -> _Columns:
    """The columns of images to write or add to, 0 wherever not every one of them is sure to be written."""
    cells = _Columns("cells", images, step.stride if step.overlap else 1)
    if step.tiles:
        for axis, inputs in enumerate(step.cells[0][1], start=1):
            images[(slice(None),) * axis + (slice(inputs.stop, None),)] = 0
    else:
        (cells.piles if cells.dealt else images).fill(0)
    return cells


class _Columns:
    """Every stride-th column of images (..., n, R), in long runs.

    Where columns are short and so far apart, they are dealt into piles, one for each remainder of n by the stride.
    """

    def __init__(self, name: str, images: Array, stride: int) -> None:
        *before, n, run = images.shape
        self.images, self.stride = images, stride
        self.dealt = stride > 1 and run * images.itemsize < SHORT_RUN
        if self.dealt:
            self.piles = scratch(name, (min(stride, n), *before, -(-n // stride), run), images.dtype)

    def at(self, inputs: Slices) -> Array:
        """The images at slices of all axes but the first and the last, the last of them of a step of the stride."""
        *before, last = inputs
        if not self.dealt:
            return self.images[:, *inputs]
        pile, start = last.start % self.stride, last.start // self.stride
        columns: Array = self.piles[pile][:, *before, start : start + (last.stop - last.start) // self.stride]
        return columns

    def deal(self) -> _Columns:
        """Fill the piles from the images."""
        for pile, columns in self._pairs():
            copy_runs(pile, columns)
        return self

    def collect(self) -> None:
        """Fill the images from the piles."""
        for pile, columns in self._pairs():
            copy_runs(columns, pile)

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        for k, pile in enumerate(self.piles if self.dealt else ()):
            columns = self.images[..., k :: self.stride, :]
            yield pile[..., : columns.shape[-2], :], columns
