"""NumPy's own inner loops by their addresses: what a ufunc runs on each row of elements, without what it does before.

A call of a ufunc on a few numbers takes half a microsecond, nearly all of it to find out what to do. Whoever knows that
already, for always the same shapes and dtypes, can call the loop alone: a C function ``loop(args, n, steps, data)``,
with the addresses of the operands, the number of elements, and the bytes from one element to the next. It gives, to
the bit, what the ufunc gives.

Structures of CPython and NumPy are read here as their C headers declare them; `known` says whether they are so.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

__all__ = ["ARRAY_DATA", "TUPLE_ITEMS", "known", "loop"]

ARRAY_DATA = object.__basicsize__  # bytes into an array object: the address of its elements
TUPLE_ITEMS = tuple.__basicsize__  # bytes into a tuple: its items


class _Ufunc(ctypes.Structure):
    """The first fields of PyUFuncObject (numpy/ufuncobject.h)."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        ("nin", ctypes.c_int), ("nout", ctypes.c_int), ("nargs", ctypes.c_int), ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)), ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )  # fmt: skip


@cache
def known() -> bool:
    """Do arrays, tuples and ufuncs lie in memory as this file reads them?"""
    if sys.implementation.name != "cpython" or np.dtype(np.intp).itemsize != 8:
        return False
    array = np.arange(3.0)
    holder = (None, array)
    item = ctypes.c_void_p.from_address(id(holder) + TUPLE_ITEMS + 8).value
    data = ctypes.c_void_p.from_address(id(array) + ARRAY_DATA).value
    ufuncs = all(
        (u.nin, u.nout, u.nargs, u.ntypes) == (raw.nin, raw.nout, raw.nargs, raw.ntypes)
        for u, raw in ((u, _Ufunc.from_address(id(u))) for u in (np.add, np.exp, np.isnan, np.divmod))
    )
    return item == id(array) and data == array.ctypes.data and ufuncs


@cache
def loop(ufunc: np.ufunc, dtypes: Sequence[np.dtype[Any]]) -> tuple[int, int] | None:
    """The addresses of the loop and of its data for operands of these dtypes, inputs then outputs; None if it has none.

    None for float16 too, whose results NumPy rounds by how the arrays lie.

    >>> loop(np.exp, (np.dtype("f4"), np.dtype("f4"))) is None
    False
    """
    if not known() or not all(dtype.isnative for dtype in dtypes):
        return None
    kinds = "".join(dtype.char for dtype in dtypes)
    types = [text.replace("->", "") for text in ufunc.types]
    if kinds not in types or "O" in kinds or "e" in kinds:
        return None
    raw, k = _Ufunc.from_address(id(ufunc)), types.index(kinds)
    return (raw.functions[k], raw.data[k] or 0) if raw.functions[k] else None
