"""Arrays as the compiled functions take them: one kind only, so that each is compiled once for each dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..window import Window

__all__ = ["array", "per_window", "rows"]

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


def rows(x: Array) -> Array:
    """(..., C) as (places, C)."""
    return array(x).reshape(prod(x.shape[:-1]), x.shape[-1])


def per_window(f: Callable[..., Any]) -> Callable[..., Any]:
    """What a function makes of a window, and perhaps of a few numbers, is kept with the window."""

    @wraps(f)
    def kept(window: Window, *numbers: Any) -> Any:
        known: dict[Any, Any] = window.__dict__
        key = (f, *numbers)
        if key not in known:
            known[key] = f(window, *numbers)
        return known[key]

    return kept
