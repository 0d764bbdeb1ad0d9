"""Where arrays enter the library: what comes in becomes a plain array.

NumPy's subclasses compute otherwise than arrays do: ``*`` of two `numpy.matrix` is a matrix product, and a masked array
leaves elements out. The library's rules hold for plain arrays, so a subclass is one from here on, and an array with
masked elements, whose meaning that would change, is refused.
"""

from __future__ import annotations

import sys
from typing import Any

from numpy import asarray, ndarray

from ..errors import ArgumentError

__all__ = ["as_array", "bare_array", "is_not_bare"]


def is_not_bare(value: Any) -> bool:
    """Is this an array of a subclass, or a list of arrays with one?"""
    if isinstance(value, (list, tuple)):
        return len(value) > 0 and isinstance(value[0], ndarray) and any(map(is_not_bare, value))
    return type(value) is not ndarray and isinstance(value, ndarray)


def bare_array(value: Any, what: str = "") -> Any:
    """An array of a subclass as a plain one of the same memory, also in a list; anything else as it is.

    Raises ArgumentError, beginning with `what` if there is one, for a masked array with masked elements.

    >>> import numpy as np
    >>> bare_array(np.ma.array([1.0, 2.0], mask=[False, False]), "sum")
    array([1., 2.])
    """
    if not is_not_bare(value):
        return value
    if not isinstance(value, ndarray):
        return type(value)([bare_array(item, what) for item in value])
    masks = sys.modules.get("numpy.ma")  # who has a masked array has imported it
    if masks is not None and isinstance(value, masks.MaskedArray) and masks.is_masked(value):
        raise ArgumentError(
            f"{what}{': ' * bool(what)}expected an array without masked elements, got {masks.count_masked(value)} of "
            f"{value.size} masked; say what they are with x.filled(0), or choose with tg.where(mask, a, b)"
        )
    return asarray(value)


def as_array(value: Any, what: str, dtype: Any = None) -> Any:
    """Anything as a plain array; raises as `bare_array` does.

    >>> as_array([1, 2], "fit")
    array([1, 2])
    """
    return asarray(bare_array(value, what), dtype)
