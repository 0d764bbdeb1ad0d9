"""Every function and ufunc of NumPy that a tensor is asked about, in exactly one class.

=========  ===========================================================================================================
operation  it is one of ours: found by name in the families of operations, or by `SPELLINGS`
data       it has no derivative (indices, shapes, truths, what is saved or printed), and runs on the arrays
refused    the rest: on a tensor that a gradient follows it raises GraphError; on others it runs on the arrays
=========  ===========================================================================================================

To give a refused function an operation, take its name from `REASONS` and give it one: an operation of that name in a
family, or a line in `SPELLINGS`. Names are paths in ``numpy``; NumPy versions that lack one are fine.
`docs/numpy.md` is this table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine.plain import is_plain
from . import FAMILIES, creation, fourier
from .spellings import SPELLINGS

__all__ = ["DATA", "REASONS", "REFUSED", "TEXT", "class_of", "found", "name_of", "operations"]

_DATA = """
    _ones_like allclose argpartition argwhere array2string array_equal array_equiv array_repr array_str can_cast
    common_type diag_indices_from digitize einsum_path empty eye flatnonzero identity in1d isclose iscomplex
    iscomplexobj isneginf isposinf isreal isrealobj lexsort may_share_memory min_scalar_type nanargmax nanargmin
    ndim ones result_type save savetxt savez savez_compressed shape shares_memory size spacing tri tril_indices_from
    triu_indices_from zeros
"""

REASONS = {  # why a function is refused
    "It writes into an array; use `tg.set_at`, `tg.add_at` or `tg.where`, which give a new one.": """
        copyto fill_diagonal place put put_along_axis putmask
    """,
    "It counts; where the bins end may follow from the elements, and their number always does.": """
        histogram histogram2d histogram_bin_edges histogramdd
    """,
    "It makes an array of lists, text, buffers, files or a function: a tensor is asked through `like=` alone.": """
        arange array asanyarray asarray ascontiguousarray asfortranarray frombuffer fromfile fromfunction fromiter
        fromstring full genfromtxt loadtxt require
    """,
    "It is of integers, bits or dates, which have no derivative.": """
        bitwise_count busday_count busday_offset datetime_as_string gcd is_busday isnat lcm packbits
        ravel_multi_index unpackbits unravel_index
    """,
    "It is of text.": """
        _center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _partition _partition_index
        _replace _rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice _strip_chars
        _strip_whitespace _zfill count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace
        istitle isupper rfind rindex startswith str_len
    """,
}

DATA = frozenset(_DATA.split())
REFUSED = frozenset(name for names in REASONS.values() for name in names.split())
TEXT = ("char.", "lib.recfunctions.", "strings.")  # all of these modules is refused: text and records are no numbers


def found(name: str) -> Any:
    """What NumPy has under a name, or None."""
    try:
        return attrgetter(name)(np)
    except AttributeError:
        return None


@cache
def operations() -> dict[Any, Callable[..., Any]]:
    """NumPy's functions that are operations, and which. Made when it is first asked for: `numpy.fft` is loaded then."""
    table = {
        found(where + name): getattr(family, name)
        for where in ("", "linalg.", "fft.")
        for family in FAMILIES
        if family is not creation and (family is fourier) == (where == "fft.")
        for name in family.__all__
        if name not in DATA  # `numpy.identity` makes a matrix
    }
    table |= {found(name): operation for name, operation in SPELLINGS.items()}
    table.pop(None, None)
    return table


def class_of(function: Callable[..., Any]) -> str:
    """``"operation"``, ``"data"`` or ``"refused"``.

    >>> class_of(np.exp), class_of(np.argmax), class_of(np.histogram)
    ('operation', 'data', 'refused')
    """
    operation = operations().get(function)
    if operation is not None:
        return "data" if is_plain(operation) else "operation"
    return "data" if function in _data() else "refused"


@cache
def _data() -> frozenset[Any]:
    return frozenset(map(found, DATA))


def name_of(function: Callable[..., Any]) -> str:
    """The name of NumPy's function in this table.

    >>> name_of(np.linalg.det), name_of(np.add)
    ('linalg.det', 'add')
    """
    if isinstance(function, np.ufunc):
        return function.__name__
    path = f"{function.__module__}.{function.__name__}".removeprefix("numpy.")
    return path.replace("lib._scimath_impl.", "lib.scimath.")  # as NumPy 2.0 says
