"""NumPy's other names for what the library has, and its functions that are one line of operations.

`SPELLINGS` says which operation a NumPy function is, by its path in ``numpy``, where its name does not say so already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..primitive import Array
from ..tensor import Tensor
from .elementwise import _raw, abs, clip, pow, round, trunc, where
from .linalg import (
    det,
    diagonal,
    inv,
    linalg_norm,
    matmul,
    outer,
    solve,
    tensordot,
    trace,
    vecdot,
    vector_norm,
)  # fmt: skip
from .reductions import max, min
from .shape import astype, broadcast_to, concat, flatten, identity, matrix_transpose, reshape

__all__ = ["SPELLINGS"]


def _where(condition: Array, x: Array = None, y: Array = None) -> Any:
    if x is None and y is None:
        return np.nonzero(_raw(condition))  # places, which have no derivative
    return where(condition, x, y)


def _full_like(a: Array, fill_value: Array, dtype: Any = None, shape: Any = None) -> Any:
    if not isinstance(fill_value, Tensor):
        return np.full_like(_raw(a), fill_value, dtype=dtype, shape=shape)
    return broadcast_to(astype(fill_value, dtype or a.dtype), np.shape(_raw(a)) if shape is None else shape)


def _matrix_trace(x: Array, offset: int = 0) -> Tensor:
    return trace(x, offset, -2, -1)


def _matrix_diagonal(x: Array, offset: int = 0) -> Tensor:
    return diagonal(x, offset, -2, -1)


def _matrix_norm(x: Array, ord: Any = "fro", keepdims: bool = False) -> Tensor:
    return linalg_norm(x, ord, (-2, -1), keepdims)


def _vstack(tup: Sequence[Array]) -> Tensor:
    return concat([a if np.ndim(_raw(a)) > 1 else reshape(a, (1, -1)) for a in tup])


def _hstack(tup: Sequence[Array]) -> Tensor:
    parts = [a if np.ndim(_raw(a)) else reshape(a, (1,)) for a in tup]
    return concat(parts, 0 if parts and np.ndim(_raw(parts[0])) == 1 else 1)


def _column_stack(tup: Sequence[Array]) -> Tensor:
    return concat([a if np.ndim(_raw(a)) > 1 else reshape(a, (-1, 1)) for a in tup], 1)


def _dstack(tup: Sequence[Array]) -> Tensor:
    parts = [a if np.ndim(_raw(a)) > 1 else reshape(a, (1, -1)) for a in tup]
    return concat([a if np.ndim(_raw(a)) > 2 else reshape(a, (*np.shape(_raw(a)), 1)) for a in parts], 2)


SPELLINGS: dict[str, Callable[..., Any]] = {
    "absolute": abs, "fabs": abs, "positive": identity, "power": pow, "rint": round, "fix": trunc, "around": round,
    "_core.umath.clip": clip, "where": _where, "full_like": _full_like, "ravel": flatten,
    "amax": max, "amin": min,
    "vstack": _vstack, "hstack": _hstack, "column_stack": _column_stack, "dstack": _dstack,
    "linalg.det": det, "linalg.diagonal": _matrix_diagonal, "linalg.inv": inv, "linalg.matmul": matmul,
    "linalg.matrix_norm": _matrix_norm, "linalg.matrix_transpose": matrix_transpose, "linalg.norm": linalg_norm,
    "linalg.outer": outer, "linalg.solve": solve, "linalg.tensordot": tensordot, "linalg.trace": _matrix_trace,
    "linalg.vecdot": vecdot, "linalg.vector_norm": vector_norm,
}  # fmt: skip
