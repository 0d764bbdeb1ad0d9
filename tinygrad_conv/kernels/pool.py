"""Max and average pooling on bare arrays, channels last.

Max pooling is an argmax, which has no derivative, and then a linear gather. So `max_pool` returns both the maxima and
where in its window each was found, and `pool_gather` and its transpose `pool_scatter` do the rest.

Each takes as `out` the array to write its result in (for `max_pool` a pair of them): C-contiguous, of the result's
shape and dtype, apart from the inputs, and of any content.

How they work: the kernel offsets are visited one after the other, and at each all outputs at once. Where windows
overlap or are large, that is done along one axis at a time: a window costs the sum of its sizes, not their product.
Outputs that would read padding at an offset are left out, so padding is never made, and never wins. Where only some
elements are wanted, they are multiplied by 0 and 1 if there are few offsets, and looked up by their index otherwise.

Images are visited in blocks that fit the cache, their columns first dealt out by the stride (see `runs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from operator import mul
from typing import Any

import numpy as np

from .product import matmul
from .runs import SHORT_RUN, Piles, copy_runs
from .scratch import BLOCK_BYTES, Array, blocks, number, result, scratch
from .window import Window

__all__ = ["avg_pool", "avg_pool_transpose", "max_pool", "maxima", "pool_gather", "pool_scatter"]

FEW = 9  # offsets in a window: so many are faster all at once than one axis at a time

# ------------------------------------------------------------------------------------------------------------------
# Maximum


def max_pool(x: Array, window: Window, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """The maximum of each window, and the place of the first one in it (row-major); a NaN counts as greatest."""
    shape = (len(x), *window.out_sizes, x.shape[-1])
    y, argmax = out or (None, None)
    y, argmax = result(y, shape, x.dtype), result(argmax, shape, np.min_scalar_type(prod(window.kernel) - 1))
    if window.whole:
        places = x.reshape(len(x), prod(window.kernel), x.shape[-1])
        found = np.argmax(places, 1, keepdims=True)
        y.reshape(found.shape)[...] = np.take_along_axis(places, found, 1)
        argmax.reshape(found.shape)[...] = found
        return y, argmax
    for block in _blocks(x):
        images, best, place = _together(x[block]), y[block], argmax[block]
        _max_block(images, window, np.greater, best, place)
        if best.size and x.dtype.kind == "f" and np.isnan(best.max()):
            _max_block(images, window, _greater_or_nan, best, place)
    return y, argmax


def maxima(x: Array, window: Window, *, out: Array | None = None) -> Array:
    """The maxima of `max_pool` alone, which takes half the time."""
    y = result(out, (len(x), *window.out_sizes, x.shape[-1]), x.dtype)
    if not window.whole:
        _combine(np.maximum, x, window, y)
        return y
    if not x.flags.c_contiguous:
        return np.maximum.reduce(x, tuple(range(1, window.rank + 1)), None, y, keepdims=True)
    for n in window.in_sizes:  # along one axis after the other, behind which all elements lie together
        x = np.maximum.reduce(x.reshape(len(y), n, x.size // (len(y) * n or 1)), 1)
    y.reshape(x.shape)[...] = x
    return y


def _max_block(x: Array, window: Window, greater: Callable[..., Any], y: Array, argmax: Array) -> None:
    if _few_apart(window):
        return _max_apart(x, window, greater, y, argmax)
    # The first maxima along the last axis, the first of these along the axis before, and so on: the first row-major.
    places: Array | None = None
    for axis, ins, outs in reversed(_passes(x, window)):
        best = scratch(f"best {axis}", outs, y.dtype) if axis else y.reshape(outs)
        place = scratch(f"place {axis}", outs, argmax.dtype) if axis else argmax.reshape(outs)
        _max_along(axis, x.reshape(ins), None if places is None else places.reshape(ins), window, greater, best, place)
        x, places = best, place
    return None


# In both, places only grow. So the greater of the place so far and of the new one where it wins, else 0, is the place.


def _max_apart(x: Array, window: Window, greater: Callable[..., Any], y: Array, argmax: Array) -> None:
    columns = Piles(x, window.stride[-1], visits=2).deal()
    first, *others = (columns.at(inputs) for _, inputs in window.cells)
    mask, found = scratch("mask", y.shape, np.dtype(bool)), scratch("found", y.shape, argmax.dtype)
    argmax.fill(0)
    best = first
    for k, cell in enumerate(others, start=1):
        wins = greater(cell, best, out=mask).view(np.uint8)
        np.maximum(argmax, np.multiply(wins, argmax.dtype.type(k), out=found), out=argmax)
        best = np.maximum(cell, best, out=y)
    if not others:
        y[...] = first


def _max_along(
    axis: int, x: Array, places: Array | None, window: Window, greater: Callable[..., Any], y: Array, argmax: Array
) -> None:
    """Maxima along one axis; `places` is where in the axes behind each x was found."""
    stride, visits = window.stride[axis], 2 * window.kernel[axis]
    columns = Piles(x, stride, visits).deal()
    behind = None if places is None else Piles(places, stride, visits, "places").deal()
    step = prod(window.kernel[axis + 1 :])
    for k, outputs, inputs, first in _visits(axis, window):
        cell, best, place = columns.at((inputs,)), y[:, outputs], argmax[:, outputs]
        found = place if first else scratch("found", cell.shape, argmax.dtype)
        if behind is None:
            found[...] = k
        else:
            np.add(behind.at((inputs,)), argmax.dtype.type(k * step), out=found)
        if first:
            best[...] = cell
        else:
            wins = greater(cell, best, out=scratch("mask", cell.shape, np.dtype(bool))).view(np.uint8)
            np.maximum(place, np.multiply(found, wins, out=found), out=place)
            np.maximum(best, cell, out=best)


def _greater_or_nan(a: Array, b: Array, out: Array) -> Any:
    """Is a greater, a NaN being greater than any number? (Every comparison with a NaN is false.)"""
    return np.logical_or(a > b, np.isnan(a) & ~np.isnan(b), out=out)


def pool_gather(x: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """The element of each window that `argmax` names."""
    y = result(out, argmax.shape, x.dtype)
    for block in _blocks(x):
        indices = _indices(argmax[block], window)
        np.take(x[block].reshape(-1), indices, out=y[block], mode="clip")  # "raise" would need a copy of y
    return y


def pool_scatter(g: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """The transpose of `pool_gather`: each element added to the place it was gathered from."""
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    if not _few_apart(window):
        dx.fill(0)
        for block in _blocks(dx):
            images, indices = dx[block].reshape(-1), _indices(argmax[block], window).reshape(-1)
            np.clip(indices, 0, images.size - 1, out=indices)  # as in `pool_gather`: transposes whatever argmax says
            np.add.at(images, indices, g[block].reshape(-1))  # flat, it takes a fast path
        return dx
    in_place = g.shape[-1] * g.itemsize >= SHORT_RUN
    for block in _blocks(dx):
        images, place, source = dx[block], argmax[block], _bits(_together(g[block]))
        _clear(images, window)
        mask, part = scratch("mask", place.shape, np.dtype(bool)), scratch("found", source.shape, source.dtype)
        for k, (outputs, inputs) in enumerate(window.cells):
            to, chosen = _bits(images[:, *inputs]), np.equal(place, k, out=mask)
            if in_place:
                np.multiply(source[:, *outputs], chosen[:, *outputs], out=to)
            else:
                copy_runs(to, np.multiply(source, chosen, out=part)[:, *outputs])
    return dx


def _indices(argmax: Array, window: Window) -> Array:
    """The indices of the places (N, *out, C) in the images, flat."""
    rank, stride = window.rank, argmax.shape[-1]
    first = np.arange(stride)  # the index of each window's first element: (N, *out, C) in the end
    offset = np.zeros((1,) * rank, np.intp)  # what each kernel offset adds to it: (*kernel)
    for axis in reversed(range(rank)):
        starts = np.arange(window.out_sizes[axis]) * window.stride[axis] - window.pads[axis][0]
        first = first + (starts * stride).reshape(-1, *(1,) * (rank - axis))
        offset = offset + (np.arange(window.kernel[axis]) * window.dilation[axis] * stride).reshape(
            -1, *(1,) * (rank - axis - 1)
        )
        stride *= window.in_sizes[axis]
    indices: Array = np.take(offset.reshape(-1), argmax)
    indices += first
    indices += (np.arange(len(argmax)) * stride).reshape(-1, *(1,) * (rank + 1))
    return indices


def _bits(x: Array) -> Array:
    """Floats as integers of the same memory, of which 0 and 1 times any is exact: infinity and NaN times 0 too."""
    return x.view(f"i{x.dtype.itemsize}") if x.dtype.kind == "f" and x.dtype.itemsize <= 8 else x


# ------------------------------------------------------------------------------------------------------------------
# Mean


def avg_pool(x: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """The mean of each window; padding counts as zeros, or not at all. Of float16 it is added up in float32."""
    if x.dtype.char == "e":
        y = result(out, (len(x), *window.out_sizes, x.shape[-1]), x.dtype)
        y[...] = avg_pool(x.astype(np.float32), window, count_include_pad)
        return y
    scale = _scale(window, count_include_pad, x.dtype if x.dtype.kind == "f" else np.float64)
    y = result(out, (len(x), *window.out_sizes, x.shape[-1]), scale.dtype)
    if window.whole:
        _sum(x, window, y)
        y *= scale
        return y
    _combine(np.add, x, window, y, scale)
    return y


def _combine(ufunc: np.ufunc, x: Array, window: Window, y: Array, scale: Array | None = None) -> None:
    """What a ufunc makes of each window's elements, times the scale."""
    for block in _blocks(x):
        part, to = _together(x[block]), y[block]
        if _few_apart(window):
            columns = Piles(part, window.stride[-1]).deal()
            first, *others = (columns.at(cells) for _, cells in window.cells)
            for cell in others:
                first = ufunc(cell, first, out=to, dtype=to.dtype)
            if not others:
                to[...] = first
        else:
            for axis, ins, outs in _passes(part, window, rows_first=True):
                last = axis == window.rank - 1
                total = to.reshape(outs) if last else scratch(f"best {axis}", outs, y.dtype)
                columns = Piles(part.reshape(ins), window.stride[axis], window.kernel[axis]).deal()
                for _, outputs, inputs, is_first in _visits(axis, window):
                    if is_first:
                        total[:, outputs] = columns.at((inputs,))
                    else:
                        ufunc(columns.at((inputs,)), total[:, outputs], out=total[:, outputs])
                part = total
        if scale is not None:
            to *= scale


def _sum(x: Array, window: Window, y: Array) -> None:
    """The sums of whole images; by BLAS, many times as fast as NumPy's sums of short runs, if channels come last."""
    if x.dtype.char in "fd" and x.flags.c_contiguous and x.size:
        ones = np.ones(prod(window.kernel), x.dtype)
        matmul(ones, x.reshape(len(x), len(ones), x.shape[-1]), out=y.reshape(len(x), x.shape[-1]))
    else:
        np.add.reduce(x, axis=tuple(range(1, window.rank + 1)), dtype=y.dtype, out=y, keepdims=True)


def avg_pool_transpose(g: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """The transpose of `avg_pool`: each element shared out equally over its window."""
    scale = _scale(window, count_include_pad, g.dtype)
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    if window.whole:
        dx[...] = g * scale
        return dx
    for block in _blocks(dx):
        part = np.multiply(g[block], scale, out=scratch("image", g[block].shape, g.dtype))
        if _few_apart(window):
            _clear(dx[block], window)
            for places, cells in window.cells:
                copy_runs(dx[block][:, *cells], part[:, *places])
            continue
        for axis, ins, outs in reversed(_passes(dx[block], window, rows_first=True)):
            spread = scratch(f"best {axis}", ins, g.dtype) if axis else dx[block].reshape(ins)
            columns = Piles(spread, window.stride[axis], window.kernel[axis]).clear()
            for outputs, inputs in window.axis_cells[axis]:
                to = columns.at((inputs,))
                to += part.reshape(outs)[:, outputs]
            columns.collect()
            part = spread
    return dx


def _scale(window: Window, count_include_pad: bool, dtype: Any) -> Array:
    """One over the number of cells of each window that count: (*out, 1), or one number for all."""
    if count_include_pad or not window.padded:
        return number(1 / prod(window.kernel), np.dtype(dtype))
    count = np.zeros((*window.out_sizes, 1))
    for outputs, _ in window.cells:
        count[outputs] += 1
    return (1 / count).astype(dtype)


# ------------------------------------------------------------------------------------------------------------------
# The offsets of the kernel, and blocks of images


def _few_apart(window: Window) -> bool:
    """Are windows small, without padding, and do no two read the same input? Then one axis at a time saves nothing."""
    overlap = any(reach > stride for reach, stride in zip(window.reach, window.stride, strict=True))
    return prod(window.kernel) <= FEW and not overlap and not window.padded


def _passes(
    x: Array, window: Window, rows_first: bool = False
) -> list[tuple[int, tuple[int, int, int], tuple[int, int, int]]]:
    """For each axis, the shapes (M, n, R) of x before and after it is reduced along the axis, the last axis first.

    n is the axis, M what lies before it, still of the input's sizes, and R what lies behind, already of the output's;
    with `rows_first` the other way round, so that long runs come first, and what is left for short ones is less.
    """
    before, behind = (window.out_sizes, window.in_sizes) if rows_first else (window.in_sizes, window.out_sizes)
    passes = []
    for axis, (n, o) in enumerate(zip(window.in_sizes, window.out_sizes, strict=True)):
        m, r = len(x) * prod(before[:axis]), prod(behind[axis + 1 :]) * x.shape[-1]
        passes.append((axis, (m, n, r), (m, o, r)))
    return passes


def _visits(axis: int, window: Window) -> Iterator[tuple[int, slice, slice, bool]]:
    """For each kernel offset along an axis, outputs and the inputs they read there: (k, outputs, inputs, first).

    `first` says that these outputs have read no other input yet. So it is for all at offset 0, but with padding a few
    come later: at each offset those before the ones already reached.
    """
    reached, stride = window.out_sizes[axis], window.stride[axis]
    for k, (outputs, inputs) in enumerate(window.axis_cells[axis]):
        if outputs.start == outputs.stop:
            continue
        split = min(reached, outputs.stop)
        at = inputs.start + (split - outputs.start) * stride
        if outputs.start < split:
            yield k, slice(outputs.start, split), slice(inputs.start, at, stride), True
        if split < outputs.stop:
            yield k, slice(split, outputs.stop), slice(at, inputs.stop, stride), False
        reached = min(reached, outputs.start)


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


def _clear(dx: Array, window: Window) -> None:
    """Set to 0 what may not be written: next to windows side by side the rest of the image, otherwise all."""
    if not window.tiles:
        dx.fill(0)
        return
    for axis, covered in enumerate(map(mul, window.kernel, window.out_sizes), start=1):
        dx[(slice(None),) * axis + (slice(covered, None),)] = 0
