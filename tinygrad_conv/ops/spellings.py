"""NumPy's other names for what the library has, and its functions that are one line of operations.

`SPELLINGS` says which operation a NumPy function is, by its path in ``numpy``, where its name does not say so already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import DType, checked
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from .complex import conj, imag, real
from .decompositions import norm
from .elementwise import abs, clip, pow, round, trunc, where
from .functions import bitwise_left_shift, bitwise_right_shift, deg2rad, rad2deg
from .linalg import diagonal, vector_norm
from .products import cross
from .reductions import max, min, sum
from .shape import astype, broadcast_to, expand_dims, flatten

__all__ = ["SPELLINGS"]


def _where(condition: Array, x: Array = None, y: Array = None) -> Any:
    if x is None and y is None:
        return np.nonzero(array_of(condition))  # places, which have no derivative
    return where(condition, x, y)


def _full_like(a: Array, fill_value: Array, dtype: Any = None, shape: Any = None) -> Any:
    if not isinstance(fill_value, Tensor):
        return Tensor(np.full_like(array_of(a), fill_value, dtype=dtype, shape=shape))
    return broadcast_to(astype(fill_value, dtype or a.dtype), np.shape(array_of(a)) if shape is None else shape)


@checked
def _filled(make: Callable[..., Any]) -> Any:
    """A function of NumPy's that makes an array like another one, for tensors."""

    @plain
    def like(a: Array, dtype: Any = None, shape: Any = None) -> Any:
        return make(array_of(a), dtype=dtype, shape=shape)

    return like


@checked
def _matrix_trace(x: Array, offset: int = 0, dtype: DType | None = None) -> Tensor:
    return sum(diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)


def _matrix_diagonal(x: Array, offset: int = 0) -> Tensor:
    return diagonal(x, offset, -2, -1)


def _apply_over_axes(func: Any, a: Array, axes: Any) -> Any:
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        made = func(a, axis)
        a = made if np.ndim(array_of(made)) == np.ndim(array_of(a)) else expand_dims(made, axis)
    return a


def _linalg_cross(x1: Array, x2: Array, axis: int = -1) -> Tensor:
    return cross(x1, x2, axis=axis)


SPELLINGS: dict[str, Callable[..., Any]] = {
    "left_shift": bitwise_left_shift, "right_shift": bitwise_right_shift,
    "absolute": abs, "fabs": abs, "power": pow, "fix": trunc, "around": round,
    "_core.umath.clip": clip, "_core.umath.real": real, "_core.umath.imag": imag,
    "where": _where, "full_like": _full_like, "zeros_like": _filled(np.zeros_like), "ones_like": _filled(np.ones_like),
    "empty_like": _filled(np.zeros_like), "ravel": flatten, "amax": max, "amin": min,
    "degrees": rad2deg, "radians": deg2rad, "conjugate": conj, "apply_over_axes": _apply_over_axes,
    "linalg.diagonal": _matrix_diagonal, "linalg.norm": norm, "linalg.trace": _matrix_trace,
    "linalg.cross": _linalg_cross, "linalg.vector_norm": vector_norm,
}  # fmt: skip
