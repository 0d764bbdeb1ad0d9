"""Pooling, compiled. Each output is made at once: its window's cells are read, and it is written once.

A vector of channels, which lie side by side, goes through the cells of a window in registers. Images are
(N, D, H, W, C), as flat arrays, with sizes of 1 where there are fewer axes.

Maxima, and what is gathered and scattered, equal the plain form's to the bit, but for the sign of a zero: sums are in
the same order. Means add up in another order.
"""

from __future__ import annotations

from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..scratch import result
from ..window import Window
from .arrays import array, per_window
from .jit import inlined, jit
from .vectors import (
    add,
    add_to,
    equals,
    fetch,
    full,
    item,
    lanes,
    load,
    load_like,
    multiply,
    positive,
    select,
    store,
    wins,
    zero_or_more,
)

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
    n, channels, place = len(z), z.shape[-1], np.min_scalar_type(prod(window.kernel) - 1)
    shape = (n, *window.out_sizes, channels)
    y, argmax = out or (None, None)
    y, argmax = result(y, shape, z.dtype), result(argmax, shape, place)
    b = None if b is None else array(b)
    _max_pool(_flat(z), b, *_geometry(window, channels, place), n, channels, y.reshape(-1), argmax.reshape(-1))
    return y, argmax


def bias_relu_max_pool_grad(
    g: Array, y: Array, argmax: Array, window: Window, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """`kernels.fused.bias_relu_max_pool_grad`, compiled."""
    n, channels = len(g), g.shape[-1]
    dz, db = out or (None, None)
    dz, db = result(dz, (n, *window.in_sizes, channels), g.dtype), result(db, (channels,), g.dtype)
    geometry, total = _geometry(window, channels, argmax.dtype), np.zeros(channels)
    _scatter(_flat(g), _flat(y), _flat(argmax), *geometry, n, channels, dz.reshape(-1), total)
    db[...] = total
    return dz, db


def pool_gather(x: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.pool.pool_gather`, compiled."""
    n, channels = len(x), x.shape[-1]
    y = result(out, argmax.shape, x.dtype)
    _gather(_flat(x), _flat(argmax), *_geometry(window, channels, argmax.dtype), n, channels, y.reshape(-1))
    return y


def pool_scatter(g: Array, argmax: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.pool.pool_scatter`, compiled."""
    n, channels = len(g), g.shape[-1]
    dx, geometry = result(out, (n, *window.in_sizes, channels), g.dtype), _geometry(window, channels, argmax.dtype)
    _scatter(_flat(g), None, _flat(argmax), *geometry, n, channels, dx.reshape(-1), None)
    return dx


def avg_pool(x: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """`kernels.pool.avg_pool`, compiled."""
    n, channels = len(x), x.shape[-1]
    y = result(out, (n, *window.out_sizes, channels), x.dtype)
    _mean(_flat(x), *_geometry(window, channels), count_include_pad, n, channels, y.reshape(-1))
    return y


def avg_pool_transpose(g: Array, window: Window, count_include_pad: bool = False, *, out: Array | None = None) -> Array:
    """`kernels.pool.avg_pool_transpose`, compiled."""
    n, channels = len(g), g.shape[-1]
    dx = result(out, (n, *window.in_sizes, channels), g.dtype)
    _spread(_flat(g), *_geometry(window, channels), count_include_pad, n, channels, dx.reshape(-1))
    return dx


def _flat(x: Array) -> Array:
    return array(x).reshape(-1)


# ------------------------------------------------------------------------------------------------------------------
# Windows


def _geometry(window: Window, channels: int, place: Any = np.intp) -> tuple[Array, Array, Array]:
    """What `_table` knows, with its lists copied: compiled functions write behind what they hold."""
    table, at, k = _table(window, channels, np.dtype(place).char)
    return table, at.copy(), k.copy()


@per_window
def _table(window: Window, channels: int, place: str) -> tuple[Array, Array, Array]:
    """Of three axes, the first ones made up: kernel, stride, dilation, cells before, sizes in and out; and of all:
    the elements of an image, whether windows are apart, and whether they leave nothing over. Then where the cells of a
    window lie, from its first, and their numbers; room for those of another window lies behind.

    >>> table, at, k = _table(Window((3,), (1,), (1,), ((1, 0),), (4,), (3,)), 8, "B")
    >>> table
    array([[ 1,  1,  1,  0,  1,  1],
           [ 1,  1,  1,  0,  1,  1],
           [ 3,  1,  1,  1,  4,  3],
           [32,  0,  0,  0,  0,  0]])
    >>> at[:3], k[:3]
    (array([ 0,  8, 16]), array([0, 1, 2], dtype=uint8))
    """
    w = window
    before = [front for front, _ in w.pads]
    own = list(zip(w.kernel, w.stride, w.dilation, before, w.in_sizes, w.out_sizes, strict=True))
    apart = all(reach <= stride for reach, stride in zip(w.reach, w.stride, strict=True))
    covered = (
        w.kernel == w.stride and max(w.dilation) == 1 and all(out * k - front >= n for k, _, _, front, n, out in own)
    )
    rows = [*[(1, 1, 1, 0, 1, 1)] * (3 - w.rank), *own, (prod(w.in_sizes) * channels, apart, covered, 0, 0, 0)]
    at = np.zeros((), np.intp)
    for kernel, _, dilation, _, size, _ in own:
        at = (at * size)[..., None] + np.arange(kernel) * dilation
    return np.array(rows, np.intp), np.tile(at.reshape(-1) * channels, 2), np.tile(np.arange(at.size, dtype=place), 2)


@inlined
def _axes(table):
    """Numbers, which stay in registers, instead of memory, which some store might change."""
    t = table
    return (
        (t[0, 0], t[0, 1], t[0, 2], t[0, 3], t[0, 4], t[0, 5]),
        (t[1, 0], t[1, 1], t[1, 2], t[1, 3], t[1, 4], t[1, 5]),
        (t[2, 0], t[2, 1], t[2, 2], t[2, 3], t[2, 4], t[2, 5]),
    )


@jit
def _list_cells(axes, z, p, q, at, k):
    """List those cells of a window, from place (z, p, q) on, that are no padding, and say how many they are."""
    (kd, _, dd, _, depth, _), (kh, _, dh, _, height, _), (kw, _, dw, _, width, _) = axes
    cell, count = 0, kd * kh * kw
    for h in range(kd):
        for i in range(kh):
            for j in range(kw):
                a, b, c = z + h * dd, p + i * dh, q + j * dw
                if 0 <= a < depth and 0 <= b < height and 0 <= c < width:
                    at[count], k[count] = at[cell], k[cell]
                    count += 1
                cell += 1
    return count - cell


@inlined
def _cells(axes, channels, z, p, q, at, k):
    """The cells of the window at an output: from its first, `base`, they lie at[first:first + count] apart; and k."""
    (kd, sd, dd, front, depth, _), (kh, sh, dh, top, height, _), (kw, sw, dw, left, width, _) = axes
    z, p, q, cells = z * sd - front, p * sh - top, q * sw - left, kd * kh * kw
    base = ((z * height + p) * width + q) * channels
    if (
        z >= 0 and z + (kd - 1) * dd < depth and p >= 0 and p + (kh - 1) * dh < height
        and q >= 0 and q + (kw - 1) * dw < width
    ):  # fmt: skip
        return base, 0, cells
    return base, cells, _list_cells(axes, z, p, q, at, k)


# ------------------------------------------------------------------------------------------------------------------
# Loops


@jit
def _max_pool(x, b, table, at, k, n, channels, y, argmax):
    """The maximum of each window of x, or of relu(x + b)."""
    axes, size = _axes(table), table[3, 0]
    to, whole = 0, channels - channels % lanes(x)
    for image in range(n):
        for z in range(axes[0][5]):
            for p in range(axes[1][5]):
                for q in range(axes[2][5]):
                    base, first, count = _cells(axes, channels, z, p, q, at, k)
                    base += image * size
                    for c in range(0, whole, lanes(x)):
                        _maximum(x, base + c, at, k, first, count, b, c, y, argmax, to + c, None)
                    if whole < channels:
                        c, rest = whole, channels - whole
                        _maximum(x, base + c, at, k, first, count, b, c, y, argmax, to + c, rest)
                    to += channels


@inlined
def _maximum(x, base, at, k, first, count, b, c, y, argmax, to, valid):
    fetch(x, base + item(at, first) + AHEAD)
    best = _activation(load(x, base + item(at, first), valid), b, c, valid)
    place = full(item(k, first), best)
    for t in range(first + 1, first + count):
        fetch(x, base + item(at, t) + AHEAD)
        v = _activation(load(x, base + item(at, t), valid), b, c, valid)
        above = wins(v, best)
        best, place = select(above, v, best), select(above, full(item(k, t), v), place)
    store(y, to, valid, best)
    store(argmax, to, valid, place)


@inlined
def _activation(v, b, c, valid):
    return v if b is None else zero_or_more(add(v, load(b, c, valid)))


AHEAD = 1 << 12  # elements: memory is asked for so early, for few processors guess which rows a window reads
MOST_CELLS = 32  # of a window that are all asked whether they are meant; of larger ones the right one is looked up


@inlined
def _list_places(base, at, k, first, count, where):
    """For each number of a cell, where it lies; -1 for padding."""
    where[:] = -1
    for t in range(first, first + count):
        where[k[t]] = base + at[t]


@jit
def _gather(x, argmax, table, at, k, n, channels, y):
    axes, size, where = _axes(table), table[3, 0], np.empty(len(at) // 2, np.intp)
    to, whole = 0, channels - channels % lanes(x)
    for image in range(n):
        for z in range(axes[0][5]):
            for p in range(axes[1][5]):
                for q in range(axes[2][5]):
                    base, first, count = _cells(axes, channels, z, p, q, at, k)
                    base += image * size
                    if len(where) > MOST_CELLS:
                        _list_places(base, at, k, first, count, where)
                        for c in range(channels):
                            place = argmax[to + c]
                            found = 0 <= place < len(where) and where[place] >= 0
                            y[to + c] = x[where[place] + c] if found else x.dtype.type(0)
                    else:
                        for c in range(0, whole, lanes(x)):
                            _take(x, base + c, at, k, first, count, argmax, to + c, y, None)
                        if whole < channels:
                            rest = channels - whole
                            _take(x, base + whole, at, k, first, count, argmax, to + whole, y, rest)
                    to += channels


@inlined
def _take(x, base, at, k, first, count, argmax, to, y, valid):
    v = full(x.dtype.type(0), load(x, base + item(at, first), valid))
    place = load_like(argmax, to, valid, v)
    for t in range(first, first + count):
        v = select(equals(place, full(item(k, t), v)), load(x, base + item(at, t), valid), v)
    store(y, to, valid, v)


@jit
def _scatter(g, y, argmax, table, at, k, n, channels, dx, total):
    """Send g, or g times the slope of relu where its output was y; and add that, summed over all places, to `total`."""
    axes, where = _axes(table), np.empty(len(at) // 2, np.intp)
    size, apart, covered = table[3, 0], table[3, 1] != 0, table[3, 2] != 0
    start, whole = 0, channels - channels % lanes(g)
    for image in range(n):
        if not covered or len(where) > MOST_CELLS:
            dx[image * size : (image + 1) * size] = 0
        for z in range(axes[0][5]):
            for p in range(axes[1][5]):
                for q in range(axes[2][5]):
                    base, first, count = _cells(axes, channels, z, p, q, at, k)
                    base += image * size
                    if len(where) > MOST_CELLS:
                        where[:] = -1
                        for t in range(first, first + count):
                            where[item(k, t)] = base + item(at, t)
                        for c in range(channels):
                            v, place = g[start + c], argmax[start + c]
                            if y is not None:
                                v *= g.dtype.type(y[start + c] > 0)
                                total[c] += v
                            if 0 <= place < len(where) and where[place] >= 0:
                                dx[where[place] + c] += v
                    else:
                        for c in range(0, whole, lanes(g)):
                            _send(g, y, argmax, start + c, total, c, dx, base + c, at, k, first, count, apart, None)
                        if whole < channels:
                            c, rest = whole, channels - whole
                            _send(g, y, argmax, start + c, total, c, dx, base + c, at, k, first, count, apart, rest)
                    start += channels


@inlined
def _send(g, y, argmax, start, total, c, dx, base, at, k, first, count, apart, valid):
    v = load(g, start, valid)
    if y is not None:
        v = multiply(v, positive(load(y, start, valid)))  # because 0 times an infinity is a NaN in single steps too
        add_to(total, c, valid, v)
    place, zero = load_like(argmax, start, valid, v), full(g.dtype.type(0), v)
    for t in range(first, first + count):
        fetch(dx, base + item(at, t) + AHEAD)
        part = select(equals(place, full(item(k, t), v)), v, zero)
        store(dx, base + item(at, t), valid, part if apart else add(load(dx, base + item(at, t), valid), part))


@jit
def _mean(x, table, at, k, count_include_pad, n, channels, y):
    axes, size = _axes(table), table[3, 0]
    to, whole = 0, channels - channels % lanes(x)
    for image in range(n):
        for z in range(axes[0][5]):
            for p in range(axes[1][5]):
                for q in range(axes[2][5]):
                    base, first, count = _cells(axes, channels, z, p, q, at, k)
                    share = x.dtype.type(1 / (len(at) // 2 if count_include_pad else count))
                    base += image * size
                    for c in range(0, whole, lanes(x)):
                        _average(x, base + c, at, first, count, share, y, to + c, None)
                    if whole < channels:
                        _average(x, base + whole, at, first, count, share, y, to + whole, channels - whole)
                    to += channels


@inlined
def _average(x, base, at, first, count, share, y, to, valid):
    total = load(x, base + item(at, first), valid)
    fetch(x, base + item(at, first) + AHEAD)
    for t in range(first + 1, first + count):
        fetch(x, base + item(at, t) + AHEAD)
        total = add(total, load(x, base + item(at, t), valid))
    store(y, to, valid, multiply(total, full(share, total)))


@jit
def _spread(g, table, at, k, count_include_pad, n, channels, dx):
    """Add each element, times its share, to all cells of its window."""
    axes, size, apart, covered = _axes(table), table[3, 0], table[3, 1] != 0, table[3, 2] != 0
    start, whole = 0, channels - channels % lanes(g)
    for image in range(n):
        if not covered:
            dx[image * size : (image + 1) * size] = 0
        for z in range(axes[0][5]):
            for p in range(axes[1][5]):
                for q in range(axes[2][5]):
                    base, first, count = _cells(axes, channels, z, p, q, at, k)
                    share = g.dtype.type(1 / (len(at) // 2 if count_include_pad else count))
                    base += image * size
                    for c in range(0, whole, lanes(g)):
                        _share_out(g, start + c, share, dx, base + c, at, first, count, apart, None)
                    if whole < channels:
                        c, rest = whole, channels - whole
                        _share_out(g, start + c, share, dx, base + c, at, first, count, apart, rest)
                    start += channels


@inlined
def _share_out(g, start, share, dx, base, at, first, count, apart, valid):
    v = load(g, start, valid)
    v = multiply(v, full(share, v))
    for t in range(first, first + count):
        fetch(dx, base + item(at, t) + AHEAD)
        store(dx, base + item(at, t), valid, v if apart else add(load(dx, base + item(at, t), valid), v))
