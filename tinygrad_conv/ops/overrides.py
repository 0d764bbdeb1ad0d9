"""Every function and ufunc of NumPy that a tensor is asked about, in exactly one class.

=========  ===========================================================================================================
operation  it is one of ours: found by name in the families of operations, or by `SPELLINGS`
data       it has no derivative (indices, shapes, truths, what is saved or printed), and runs on the arrays
refused    the rest: on a tensor that a gradient follows it raises GraphError; on others it runs on the arrays
=========  ===========================================================================================================

To give a refused function an operation, take its name from `REFUSED` and give it one: an operation of that name in a
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
from . import (
    calculus,
    choosing,
    complex,
    decompositions,
    determinants,
    elementwise,
    fourier,
    functions,
    indexing,
    joining,
    linalg,
    products,
    reductions,
    scans,
    shape,
    sorting,
    statistics,
)
from .spellings import SPELLINGS

__all__ = ["DATA", "REFUSED", "TEXT", "class_of", "found", "name_of", "operations"]

_DATA = """
    allclose argpartition argwhere array2string array_equal array_equiv array_repr array_str can_cast common_type
    diag_indices_from digitize einsum_path empty eye flatnonzero identity in1d isclose iscomplex
    iscomplexobj isin isneginf isposinf isreal isrealobj lexsort may_share_memory
    min_scalar_type nanargmax nanargmin ndim nonzero ones result_type save savetxt savez
    savez_compressed searchsorted shape shares_memory size tri tril_indices_from triu_indices_from unique
    unique_all unique_counts unique_inverse unique_values zeros
"""

_REFUSED = """
    _center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _ones_like _partition
    _partition_index _replace _rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice
    _strip_chars _strip_whitespace _zfill arange array asanyarray asarray ascontiguousarray asfortranarray bincount
    bitwise_count busday_count busday_offset copyto count datetime_as_string endswith fill_diagonal find frexp
    frombuffer fromfile fromfunction fromiter fromstring full gcd genfromtxt geomspace histogram histogram2d
    histogram_bin_edges histogramdd index intersect1d is_busday isalnum isalpha isdecimal isdigit islower isnat
    isnumeric isspace istitle isupper ix_ lcm lib.scimath.arccos lib.scimath.arcsin lib.scimath.arctanh
    lib.scimath.log lib.scimath.log10 lib.scimath.log2 lib.scimath.logn lib.scimath.power lib.scimath.sqrt
    lib.stride_tricks.sliding_window_view linalg.eig linalg.eigvals linalg.tensorinv linalg.tensorsolve linspace
    loadtxt logspace matvec packbits place poly polyadd polyder polydiv polyfit polyint polymul
    polynomial.polynomial.polygrid2d polynomial.polynomial.polyval2d polynomial.polynomial.polyvalnd polysub put
    put_along_axis putmask ravel_multi_index real_if_close require rfind rindex rollaxis roots setdiff1d
    setxor1d sort_complex spacing startswith str_len trim_zeros union1d unpackbits unravel_index vecmat
"""

DATA, REFUSED = frozenset(_DATA.split()), frozenset(_REFUSED.split())
TEXT = ("char.", "lib.recfunctions.", "strings.")  # all of these modules is refused: text and records are no numbers


def found(name: str) -> Any:
    """What NumPy has under a name, or None."""
    try:
        return attrgetter(name)(np)
    except AttributeError:
        return None


_FAMILIES = {  # where in NumPy the names of a family are
    "": (
        elementwise, functions, complex, reductions, scans, indexing, choosing, shape, joining, sorting, statistics,
        linalg, products, calculus,
    ),
    "linalg.": (linalg, products, determinants, decompositions, shape),
    "fft.": (fourier,),
}  # fmt: skip


@cache
def operations() -> dict[Any, Callable[..., Any]]:
    """NumPy's functions that are operations, and which. Made when it is first asked for: `numpy.fft` is loaded then."""
    table = {
        found(where + name): getattr(family, name)
        for where, families in _FAMILIES.items()
        for family in families
        for name in family.__all__
        if name not in DATA  # `numpy.identity` makes a matrix
    }
    table |= {found(name): operation for name, operation in SPELLINGS.items()}
    table.pop(None, None)
    return table


def class_of(function: Callable[..., Any]) -> str:
    """``"operation"``, ``"data"`` or ``"refused"``.

    >>> class_of(np.exp), class_of(np.argmax), class_of(np.frexp)
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
