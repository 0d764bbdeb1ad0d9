"""Pooling, compiled. Each output is made at once: its window's cells are read, and it is written once.

A vector of channels, which lie side by side, goes through the cells of a window in registers. Images are
(N, D, H, W, C), as flat arrays, with sizes of 1 where there are fewer axes.

Maxima, and what is scattered, equal the plain form's to the bit, but for the sign of a zero: sums are in
the same order. Means add up in another order.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..scratch import result
from ..window import Window
from .arrays import array, per_window
from .jit import inlined, jit
from .places import axes_of
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
    "avg_pool", "avg_pool_transpose", "bias_relu_max_pool", "bias_relu_max_pool_grad", "max_pool", "maxima",
    "pool_scatter",
]  # fmt: skip

Array: TypeAlias = np.ndarray[Any, Any]


def max_pool(x: Array, window: Window, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """`kernels.pool.max_pool`, compiled."""
    return bias_relu_max_pool(x, None, window, out=out)


def maxima(x: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.pool.maxima`, compiled."""
    n, channels = len(x), x.shape[-1]
    y = result(out, (n, *window.out_sizes, channels), x.dtype)
    if window.whole:
        _max_whole(_flat(x), n, prod(window.kernel), channels, y.reshape(-1))
    else:
        _max_pool(_flat(x), None, *_geometry(window, channels), n, channels, y.reshape(-1), None)
    return y


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


@per_window
def _geometry(window: Window, channels: int, place: Any = np.intp) -> tuple[Array, ...]:
    """Where windows lie in an image, and which of their cells are no padding.

    Four numbers: the elements of an image, whether windows are apart, whether they leave nothing over, and their cells.
    For each row of outputs, and for each in a row, where the first cell of its window would lie, and of which kind the
    window is: both are to be added. For each kind, the first of its cells in the last two lists: where they lie, and
    their numbers.

    >>> _, rows, columns, firsts, at, k = _geometry(Window((3,), (1,), (1,), ((1, 0),), (4,), (3,)), 8, "B")
    >>> columns
    array([[-8,  0],
           [ 0,  1],
           [ 8,  1]])
    >>> firsts, at, k  # the first window has two cells, the others three
    (array([0, 2, 5]), array([ 8, 16,  0,  8, 16]), array([1, 2, 0, 1, 2], dtype=uint8))
    """
    axes, cells = axes_of(window), prod(window.kernel)
    apart = all(reach <= stride for reach, stride in zip(window.reach, window.stride, strict=True))
    covered = (
        window.kernel == window.stride and max(window.dilation) == 1
        and all(axis.places * axis.taps - axis.before >= axis.size for axis in axes)
    )  # fmt: skip
    numbers = np.array((prod(window.in_sizes) * channels, apart, covered, cells), np.intp)
    steps = [channels * prod(axis.size for axis in axes[k + 1 :]) for k in range(3)]
    parts = [axis.parts() for axis in axes]
    kinds = [prod(map(len, parts[k + 1 :])) for k in range(3)]
    places = [
        np.array([
            ((t * axis.stride - axis.before) * step, kind * number)
            for number, (low, high, _, _) in enumerate(part) for t in range(low, high)
        ], np.intp).reshape(-1, 2)
        for axis, part, step, kind in zip(axes, parts, steps, kinds, strict=True)
    ]  # fmt: skip
    number = np.arange(cells).reshape([axis.taps for axis in axes])
    taps = zip(axes, steps, strict=True)
    where: Any = sum(np.ix_(*(np.arange(axis.taps) * axis.dilation * step for axis, step in taps)), start=np.intp(0))
    lists = [tuple(slice(low, high) for _, _, low, high in kind) for kind in product(*parts)]
    ends = np.cumsum([0, *(number[part].size for part in lists)])
    at, k = (np.concatenate([x[part].reshape(-1) for part in lists] or [np.empty(0)]) for x in (where, number))
    rows = (places[0][:, None] + places[1]).reshape(-1, 2)
    return numbers, rows, places[2], ends.astype(np.intp), at.astype(np.intp), k.astype(place)


# ------------------------------------------------------------------------------------------------------------------
# Loops


@jit
def _max_whole(x, n, places, channels, y):
    whole = channels - channels % lanes(x)
    for image in range(n):
        start, to = image * places * channels, image * channels
        for c in range(0, whole, lanes(x)):
            store(y, to + c, None, _greatest(x, start + c, places, channels, None))
        if whole < channels:
            store(y, to + whole, channels - whole, _greatest(x, start + whole, places, channels, channels - whole))


@inlined
def _greatest(x, start, places, step, valid):
    """Four at a time, for each waits for the one before."""
    a = b = c = d = load(x, start, valid)
    for k in range(start, start + (places - 3) * step, 4 * step):
        a = _greater(a, load(x, k, valid))
        b = _greater(b, load(x, k + step, valid))
        c = _greater(c, load(x, k + 2 * step, valid))
        d = _greater(d, load(x, k + 3 * step, valid))
    for k in range(start + places // 4 * 4 * step, start + places * step, step):
        a = _greater(a, load(x, k, valid))
    return _greater(_greater(a, b), _greater(c, d))


@inlined
def _greater(v, w):
    return select(wins(w, v), w, v)


@inlined
def _window(rows, columns, firsts, row, column):
    """Where the window of an output lies, the first of its cells in the lists, and how many they are."""
    kind = rows[row, 1] + columns[column, 1]
    return rows[row, 0] + columns[column, 0], firsts[kind], firsts[kind + 1] - firsts[kind]


@jit
def _max_pool(x, b, numbers, rows, columns, firsts, at, k, n, channels, y, argmax):
    """The maximum of each window of x, or of relu(x + b); and where it is, unless `argmax` is None."""
    size = numbers[0]
    to, whole = 0, channels - channels % lanes(x)
    for image in range(n):
        for row in range(len(rows)):
            for column in range(len(columns)):
                base, first, count = _window(rows, columns, firsts, row, column)
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
    if argmax is not None:
        place = full(item(k, first), best)
    for t in range(first + 1, first + count):
        fetch(x, base + item(at, t) + AHEAD)
        v = _activation(load(x, base + item(at, t), valid), b, c, valid)
        above = wins(v, best)
        best = select(above, v, best)
        if argmax is not None:
            place = select(above, full(item(k, t), v), place)
    store(y, to, valid, best)
    if argmax is not None:
        store(argmax, to, valid, place)


@inlined
def _activation(v, b, c, valid):
    return v if b is None else zero_or_more(add(v, load(b, c, valid)))


AHEAD = 1 << 12  # elements: memory is asked for so early, for few processors guess which rows a window reads
MOST_CELLS = 32  # of a window that are all asked whether they are meant; of larger ones the right one is looked up


@jit
def _scatter(g, y, argmax, numbers, rows, columns, firsts, at, k, n, channels, dx, total):
    """Send g, or g times the slope of relu where its output was y; and add that, summed over all places, to `total`."""
    size, apart, covered, where = numbers[0], numbers[1] != 0, numbers[2] != 0, np.empty(numbers[3], np.intp)
    start, whole = 0, channels - channels % lanes(g)
    for image in range(n):
        if not covered or len(where) > MOST_CELLS:
            dx[image * size : (image + 1) * size] = 0
        for row in range(len(rows)):
            for column in range(len(columns)):
                base, first, count = _window(rows, columns, firsts, row, column)
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
def _mean(x, numbers, rows, columns, firsts, at, k, count_include_pad, n, channels, y):
    size = numbers[0]
    to, whole = 0, channels - channels % lanes(x)
    for image in range(n):
        for row in range(len(rows)):
            for column in range(len(columns)):
                base, first, count = _window(rows, columns, firsts, row, column)
                share = x.dtype.type(1 / (numbers[3] if count_include_pad else count))
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
def _spread(g, numbers, rows, columns, firsts, at, k, count_include_pad, n, channels, dx):
    """Add each element, times its share, to all cells of its window."""
    size, apart, covered = numbers[0], numbers[1] != 0, numbers[2] != 0
    start, whole = 0, channels - channels % lanes(g)
    for image in range(n):
        if not covered:
            dx[image * size : (image + 1) * size] = 0
        for row in range(len(rows)):
            for column in range(len(columns)):
                base, first, count = _window(rows, columns, firsts, row, column)
                share = g.dtype.type(1 / (numbers[3] if count_include_pad else count))
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
