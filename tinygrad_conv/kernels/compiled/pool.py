"""Pooling, compiled. Each output is made at once: its window's cells are read, and it is written once.

The innermost loop is over channels, which lie side by side, and reads four cells at a time; a window whose number of
cells is no multiple of four repeats its first cell, which changes neither a maximum nor where it is. So all of it
becomes vector instructions, and nothing is asked twice.

Maxima, and what is gathered and scattered, equal the plain form's to the bit, but for the sign of a zero: sums are in
the same order. Means add up in another order.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..scratch import result
from ..window import Window
from .arrays import array, images, reads
from .jit import jit

__all__ = [
    "avg_pool", "avg_pool_transpose", "bias_relu_max_pool", "bias_relu_max_pool_grad", "max_pool", "pool_gather",
    "pool_scatter",
]  # fmt: skip

Array: TypeAlias = np.ndarray[Any, Any]


def max_pool(x: Array, window: Window, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """`kernels.pool.max_pool`, compiled."""
    return bias_relu_max_pool(x, None, window, out=out)


def bias_relu_max_pool(
    z: Array, b: Array | None, window: Window, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`kernels.fused.bias_relu_max_pool`, compiled."""
    shape = (len(z), *window.out_sizes, z.shape[-1])
    y, argmax = out or (None, None)
    y, argmax = result(y, shape, z.dtype), result(argmax, shape, np.min_scalar_type(prod(window.kernel) - 1))
    _max_pool(images(z), None if b is None else array(b), *reads(window), images(y), images(argmax))
    return y, argmax


def bias_relu_max_pool_grad(
    g: Array, y: Array, argmax: Array, window: Window, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`kernels.fused.bias_relu_max_pool_grad`, compiled."""
    dz, db = out or (None, None)
    dz = result(dz, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    db = result(db, g.shape[-1:], g.dtype)
    _scatter(images(g), images(y), images(argmax), *reads(window), images(dz), db)
    return dz, db


def pool_gather(x: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.pool.pool_gather`, compiled."""
    y = result(out, argmax.shape, x.dtype)
    _gather(images(x), images(argmax), *reads(window), images(y))
    return y


def pool_scatter(g: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.pool.pool_scatter`, compiled."""
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    _scatter(images(g), None, images(argmax), *reads(window), images(dx), np.empty(0, g.dtype))
    return dx


def avg_pool(x: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """`kernels.pool.avg_pool`, compiled."""
    y = result(out, (len(x), *window.out_sizes, x.shape[-1]), x.dtype)
    _mean(images(x), *reads(window), _scale(window, count_include_pad, x.dtype), images(y))
    return y


def avg_pool_transpose(g: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """`kernels.pool.avg_pool_transpose`, compiled."""
    dx = result(out, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    _spread(images(g), *reads(window), _scale(window, count_include_pad, g.dtype), images(dx))
    return dx


def _scale(window: Window, count_include_pad: bool, dtype: Any) -> Array:
    """One over the number of cells of each window that count: (oh, ow)."""
    rows, columns = reads(window)
    if count_include_pad:
        return np.full((len(rows), len(columns)), 1 / prod(window.kernel), dtype)
    return (1 / np.outer((rows >= 0).sum(1), (columns >= 0).sum(1))).astype(dtype)


# ------------------------------------------------------------------------------------------------------------------
# Loops: images are (N, H, W, C), tables (places, offsets)


@jit
def _max_pool(x, b, rows, columns, y, argmax):
    """The maximum of each window of x, or of relu(x + b)."""
    n, height, width, channels = x.shape
    kh, kw = rows.shape[1], columns.shape[1]
    cells = x.reshape(n, height * width, channels)
    at = np.empty(kh * kw + 3, np.intp)
    k = np.empty(kh * kw + 3, argmax.dtype)
    for image in range(n):
        for p in range(rows.shape[0]):
            for q in range(columns.shape[0]):
                count = 0
                for i in range(kh):
                    for j in range(kw):
                        if rows[p, i] >= 0 and columns[q, j] >= 0:
                            at[count] = rows[p, i] * width + columns[q, j]
                            k[count] = i * kw + j
                            count += 1
                at[count : count + 3] = at[0]
                k[count : count + 3] = k[0]
                best, place = y[image, p, q], argmax[image, p, q]
                for t in range(0, count, 4):
                    k0, k1, k2, k3 = k[t], k[t + 1], k[t + 2], k[t + 3]
                    x0, x1 = cells[image, at[t]], cells[image, at[t + 1]]
                    x2, x3 = cells[image, at[t + 2]], cells[image, at[t + 3]]
                    if t == 0:
                        for c in range(channels):
                            v, w = _activation(x0, b, c), k0
                            v, w = _greater(v, w, _activation(x1, b, c), k1)
                            v, w = _greater(v, w, _activation(x2, b, c), k2)
                            best[c], place[c] = _greater(v, w, _activation(x3, b, c), k3)
                    else:
                        for c in range(channels):
                            v, w = _greater(best[c], place[c], _activation(x0, b, c), k0)
                            v, w = _greater(v, w, _activation(x1, b, c), k1)
                            v, w = _greater(v, w, _activation(x2, b, c), k2)
                            best[c], place[c] = _greater(v, w, _activation(x3, b, c), k3)


@jit
def _activation(x, b, c):
    if b is None:
        return x[c]
    z = x[c] + b[c]
    return x.dtype.type(0) if z <= 0 else z  # a NaN stays


@jit
def _greater(v, k, w, l):  # noqa: E741
    """The greater of two values and its place: the first if they are equal, a NaN before all numbers."""
    wins = (v == v) & ~(w <= v)
    return w if wins else v, l if wins else k


@jit
def _cells(rows, columns, p, q, step, at):
    """Where the cells of a window lie in an image, -1 for padding, `step` being the length of a row."""
    for i in range(rows.shape[1]):
        for j in range(columns.shape[1]):
            inside = rows[p, i] >= 0 and columns[q, j] >= 0
            at[i * columns.shape[1] + j] = rows[p, i] * step + columns[q, j] if inside else -1


@jit
def _gather(x, argmax, rows, columns, y):
    n, height, width, channels = x.shape
    cells = x.reshape(n, height * width, channels)
    at = np.empty(rows.shape[1] * columns.shape[1], np.intp)
    for image in range(n):
        for p in range(rows.shape[0]):
            for q in range(columns.shape[0]):
                _cells(rows, columns, p, q, width, at)
                for c in range(channels):
                    k = argmax[image, p, q, c]
                    found = 0 <= k < len(at) and at[k] >= 0
                    y[image, p, q, c] = cells[image, at[k], c] if found else x.dtype.type(0)


@jit
def _scatter(g, y, argmax, rows, columns, dx, db):
    """Send g, or g times the slope of relu where its output was y, and the sums of that over all places to db.

    A product, because 0 times an infinity is a NaN in the operations by themselves too.
    """
    n, height, width, channels = dx.shape
    cells = dx.reshape(n, height * width, channels)
    at = np.empty(rows.shape[1] * columns.shape[1], np.intp)
    total = np.zeros(channels)
    for image in range(n):
        cells[image] = 0
        for p in range(rows.shape[0]):
            for q in range(columns.shape[0]):
                _cells(rows, columns, p, q, width, at)
                for c in range(channels):
                    v, k = g[image, p, q, c], argmax[image, p, q, c]
                    if y is not None:
                        v *= g.dtype.type(y[image, p, q, c] > 0)
                        total[c] += v
                    if 0 <= k < len(at) and at[k] >= 0:
                        cells[image, at[k], c] += v
    for c in range(len(db)):
        db[c] = total[c]


@jit
def _spread(g, rows, columns, scale, dx):
    """Add each element, times the scale of its window, to all cells of the window: four at a time."""
    n, height, width, channels = dx.shape
    cells = dx.reshape(n, height * width, channels)
    spare = np.zeros((3, channels), g.dtype)  # written where there are fewer than four
    at = np.empty(rows.shape[1] * columns.shape[1], np.intp)
    for image in range(n):
        cells[image] = 0
        for p in range(rows.shape[0]):
            for q in range(columns.shape[0]):
                _cells(rows, columns, p, q, width, at)
                count = 0
                for k in range(len(at)):
                    if at[k] >= 0:
                        at[count] = at[k]
                        count += 1
                source, share = g[image, p, q], scale[p, q]
                for t in range(0, count, 4):
                    d0 = cells[image, at[t]]
                    d1 = cells[image, at[t + 1]] if t + 1 < count else spare[0]
                    d2 = cells[image, at[t + 2]] if t + 2 < count else spare[1]
                    d3 = cells[image, at[t + 3]] if t + 3 < count else spare[2]
                    for c in range(channels):
                        v = source[c] * share
                        d0[c] += v
                        d1[c] += v
                        d2[c] += v
                        d3[c] += v


@jit
def _mean(x, rows, columns, scale, y):
    n, height, width, channels = x.shape
    cells = x.reshape(n, height * width, channels)
    nothing = np.zeros(channels, x.dtype)
    at = np.empty(rows.shape[1] * columns.shape[1], np.intp)
    for image in range(n):
        for p in range(rows.shape[0]):
            for q in range(columns.shape[0]):
                _cells(rows, columns, p, q, width, at)
                count = 0
                for k in range(len(at)):
                    if at[k] >= 0:
                        at[count] = at[k]
                        count += 1
                to, share = y[image, p, q], scale[p, q]
                for t in range(0, count, 4):
                    x0 = cells[image, at[t]]
                    x1 = cells[image, at[t + 1]] if t + 1 < count else nothing
                    x2 = cells[image, at[t + 2]] if t + 2 < count else nothing
                    x3 = cells[image, at[t + 3]] if t + 3 < count else nothing
                    last = share if t + 4 >= count else x.dtype.type(1)
                    if t == 0:
                        for c in range(channels):
                            to[c] = (((x0[c] + x1[c]) + x2[c]) + x3[c]) * last
                    else:
                        for c in range(channels):
                            to[c] = ((((to[c] + x0[c]) + x1[c]) + x2[c]) + x3[c]) * last
