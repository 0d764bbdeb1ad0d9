"""Arrays as the compiled functions take them: one kind only, so that each is compiled once for each dtype."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..window import Window

__all__ = ["array", "images", "reads", "rows"]

Array: TypeAlias = np.ndarray[Any, Any]


class _Memory:
    """The memory of a read-only array, as if it could be written to."""

    def __init__(self, x: Array) -> None:
        self.x = x  # keeps the memory alive
        self.__array_interface__ = x.__array_interface__ | {"data": (x.ctypes.data, False)}


def array(x: Array) -> Array:
    """The same elements, contiguous and aligned; not read-only, which would be another type. Never written to."""
    flags = x.flags
    if not (flags.c_contiguous and flags.aligned):
        return np.array(x, order="C")
    return x if flags.writeable else np.asarray(_Memory(x))


def images(x: Array) -> Array:
    """(N, *spatial, C) as (N, H, W, C), one spatial axis as H = 1."""
    x = array(x)
    return x if x.ndim == 4 else x.reshape(len(x), 1, *x.shape[1:])


def rows(x: Array) -> Array:
    """(..., C) as (places, C)."""
    return array(x).reshape(prod(x.shape[:-1]), x.shape[-1])


@lru_cache(maxsize=512)
def reads(window: Window) -> tuple[Array, Array]:
    """For each row of outputs and each row of the kernel, the row of inputs read, -1 for padding; and for columns.

    >>> reads(Window((3,), (1,), (1,), ((1, 0),), (4,), (3,)))[1].tolist()
    [[-1, 0, 1], [0, 1, 2], [1, 2, 3]]
    """
    tables = [np.zeros((1, 1), np.intp)] if window.rank == 1 else []
    w = window
    for n, out, k, s, d, (before, _) in zip(
        w.in_sizes, w.out_sizes, w.kernel, w.stride, w.dilation, w.pads, strict=True
    ):
        at = np.arange(out)[:, None] * s + np.arange(k) * d - before
        tables.append(np.where((at >= 0) & (at < n), at, -1))
    return tables[0], tables[1]
