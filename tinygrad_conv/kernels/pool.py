"""Max and average pooling on bare arrays, channels last.

Max pooling is an argmax, which has no derivative, and then a linear gather. So `max_pool` returns both the maxima and
where in its window each was found, and `pool_gather` and its transpose `pool_scatter` do the rest.

All walk over the offsets of the kernel, and at each offset touch every output at once. Outputs that would read padding
there are left out by `Window.cells`, so padding is never made, and never wins. Where only some elements are wanted,
they are multiplied by 0 and 1, not selected: a masked copy in NumPy goes one element at a time.
"""

from __future__ import annotations

from math import prod
from operator import mul
from typing import Any, TypeAlias

import numpy as np

from .window import Window

__all__ = ["avg_pool", "avg_pool_transpose", "max_pool", "pool_gather", "pool_scatter"]

Array: TypeAlias = np.ndarray[Any, Any]


def max_pool(x: Array, window: Window) -> tuple[Array, Array]:
    """The maximum of each window, and the place of the first one in it (row-major); a NaN counts as greatest."""
    y, argmax = _max_pool(x, window, np.greater)
    if y.size and x.dtype.kind == "f" and np.isnan(y.max()):
        y, argmax = _max_pool(x, window, _greater_or_nan)
    return y, argmax


def _max_pool(x: Array, window: Window, greater: Any) -> tuple[Array, Array]:
    shape = (len(x), *window.out_sizes, x.shape[-1])
    y, argmax = np.empty(shape, x.dtype), np.zeros(shape, np.min_scalar_type(prod(window.kernel) - 1))
    cells = enumerate(window.cells)
    if window.padded:
        y[...] = _lowest(x.dtype)
        argmax[...] = _first_cell(window, argmax.dtype)
    else:
        _, (_, inputs) = next(cells)
        y[...] = x[:, *inputs]
    for k, (outputs, inputs) in cells:
        best, place, cell = y[:, *outputs], argmax[:, *outputs], x[:, *inputs]
        # Places only grow, so the greater of the place so far and of k where it wins (0 elsewhere) is the new place.
        np.maximum(place, greater(cell, best) * argmax.dtype.type(k), out=place)
        np.maximum(best, cell, out=best)
    return y, argmax


def _greater_or_nan(a: Array, b: Array) -> Array:
    """Is a greater, a NaN being greater than any number? (Every comparison with a NaN is false.)"""
    found: Array = np.greater(a, b) | (np.isnan(a) & ~np.isnan(b))
    return found


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


def _first_cell(window: Window, dtype: np.dtype[Any]) -> Array:
    """For each output, the first cell of its window that is no padding: (*out, 1)."""
    first = np.zeros((*window.out_sizes, 1), dtype)
    for k in reversed(range(len(window.cells))):
        first[window.cells[k][0]] = k
    return first


def pool_gather(x: Array, argmax: Array, window: Window) -> Array:
    """The element of each window that `argmax` names."""
    y = np.zeros(argmax.shape, x.dtype)
    bits, x = _bits(y), _bits(x)
    for k, (outputs, inputs) in enumerate(window.cells):
        bits[:, *outputs] += x[:, *inputs] * (argmax[:, *outputs] == k)
    return y


def pool_scatter(g: Array, argmax: Array, window: Window) -> Array:
    """The transpose of `pool_gather`: each element added to the place it was gathered from."""
    shape = (len(g), *window.in_sizes, g.shape[-1])
    if window.tiles:
        return _scatter_tiles(g, argmax, window, shape)
    dx, bits = np.zeros(shape, g.dtype), _bits(g)
    for k, (outputs, inputs) in enumerate(window.cells):
        dx[:, *inputs] += (bits[:, *outputs] * (argmax[:, *outputs] == k)).view(g.dtype)
    return dx


def _scatter_tiles(g: Array, argmax: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Every input is in one window, or in none beyond the last: each is written once, and nothing is added."""
    dx = np.empty(shape, g.dtype)
    bits, source = _bits(dx), _bits(g)
    for k, (_, inputs) in enumerate(window.cells):
        np.multiply(source, argmax == k, out=bits[:, *inputs])
    for axis, covered in enumerate(map(mul, window.kernel, window.out_sizes), start=1):
        dx[(slice(None),) * axis + (slice(covered, None),)] = 0
    return dx


def _bits(x: Array) -> Array:
    """Floats as integers of the same memory, of which 0 and 1 times any is exact: infinity and NaN times 0 too."""
    return x.view(f"i{x.dtype.itemsize}") if x.dtype.kind == "f" and x.dtype.itemsize <= 8 else x


def avg_pool(x: Array, window: Window, count_include_pad: bool = False) -> Array:
    """The mean of each window; padding counts as zeros, or not at all."""
    scale = _scale(window, count_include_pad, x.dtype if x.dtype.kind == "f" else np.float64)
    y = np.zeros((len(x), *window.out_sizes, x.shape[-1]), scale.dtype)
    for outputs, inputs in window.cells:
        y[:, *outputs] += x[:, *inputs]
    return np.multiply(y, scale, out=y)


def avg_pool_transpose(g: Array, window: Window, count_include_pad: bool = False) -> Array:
    """The transpose of `avg_pool`: each element shared out equally over its window."""
    g = g * _scale(window, count_include_pad, g.dtype)
    dx = np.zeros((len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    for outputs, inputs in window.cells:
        dx[:, *inputs] += g[:, *outputs]
    return dx


def _scale(window: Window, count_include_pad: bool, dtype: Any) -> Array:
    """One over the number of cells of each window that count: (*out, 1)."""
    if count_include_pad or not window.padded:
        return np.full((1,) * (window.rank + 1), 1 / prod(window.kernel), dtype)
    count = np.zeros((*window.out_sizes, 1))
    for outputs, _ in window.cells:
        count[outputs] += 1
    return (1 / count).astype(dtype)
