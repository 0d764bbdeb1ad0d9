"""Where arrays enter the library: what comes in becomes a plain array.

NumPy's subclasses compute otherwise than arrays do: ``*`` of two `numpy.matrix` is a matrix product, and a masked array
leaves elements out. The library's rules hold for plain arrays, so a subclass is one from here on, and an array with
masked elements, whose meaning that would change, is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import asarray, ndarray

from ..errors import ArgumentError, DTypeError, TinygradConvError
from .kinds import described
from .memory import afford

__all__ = ["array_from", "as_array", "bare_array", "is_not_bare"]


def is_not_bare(value: Any) -> bool:
    """Is this an array of a subclass, or a list of arrays with one?"""
    if issubclass(type(value), (list, tuple)):  # (a strange object may lie about its class, or raise)
        return len(value) > 0 and isinstance(value[0], ndarray) and any(map(is_not_bare, value))
    return type(value) is not ndarray and issubclass(type(value), ndarray)


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
    return asarray(value if type(value) is ndarray else bare_array(value, what), dtype)


def array_from(
    data: Any, dtype: Any = None, copy: bool | None = None, of: Callable[[Any], Any] = bare_array
) -> ndarray[Any, Any]:
    """Numbers as an array: nested lists, scalars, what has an array, with `of` asked about what stands in lists.

    Raises DTypeError in words that follow the name of who was given them.

    >>> array_from([[1, 2], [3, 4.5]])
    array([[1. , 2. ],
           [3. , 4.5]])
    """
    if type(data) is ndarray and dtype is copy is None and data.dtype.kind in "fiubc" and data.dtype.isnative:
        return data  # as most are
    try:
        data = _listed(data, of) if isinstance(data, (list, tuple)) else bare_array(data)
        if isinstance(data, range):
            afford("a range", (len(data),))
        if dtype is not None and np.dtype(dtype).kind not in "cb" and np.iscomplexobj(data):
            raise DTypeError(f"expected real numbers for {np.dtype(dtype)}, got complex ones; take the real part first")
        array = np.array(data, dtype=dtype, copy=copy)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
    except TinygradConvError:
        raise
    except Exception as error:  # an object may raise anything when it is asked for its array
        raise DTypeError(f"expected numbers of one regular shape, got {described(data)} ({error})") from None
    if array.dtype.kind not in "fiubc":
        raise DTypeError(f"expected numbers, got dtype {array.dtype} from {described(data)}; convert the data first")
    return array


def _listed(data: Any, of: Callable[[Any], Any], depth: int = 0) -> Any:
    """Nested lists, with what stands in them as `of` has it."""
    if not isinstance(data, (list, tuple)):
        return of(data)
    if depth > 64:
        raise DTypeError("expected lists nested at most 64 deep, as many axes as NumPy's arrays have")
    return [_listed(item, of, depth + 1) for item in data]
