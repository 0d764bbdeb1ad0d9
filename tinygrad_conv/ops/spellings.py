"""NumPy's other names for what the library has, and its functions that are one line of operations.

`SPELLINGS` says which operation a NumPy function is, by its path in ``numpy``, where its name does not say so already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..arguments import DType, checked
from ..engine.bare import array_of, shape_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError
from .choosing import nan_to_num
from .complex import angle, conj, imag, real
from .decompositions import norm
from .elementwise import abs, acos, asin, clip, log, log2, log10, pow, reciprocal, round, sqrt, trunc, where
from .functions import as_taken, atanh, bitwise_left_shift, bitwise_right_shift, deg2rad, rad2deg
from .linalg import LETTERS, diagonal, einsum, vector_norm
from .polynomials import polygrid2d, polyvalnd
from .products import cross
from .reductions import max, min, sum
from .shape import astype, broadcast_to, copy, expand_dims, moveaxis, permute_dims, reshape, transpose
from .sorting import sort
from .windows import sliding_window_view

__all__ = ["SPELLINGS"]


def _where(condition: Array, x: Array = None, y: Array = None) -> Any:
    if x is None and y is None:
        return np.nonzero(array_of(condition))  # places, which have no derivative
    return where(condition, x, y)


def _full_like(a: Array, fill_value: Array, dtype: Any = None, shape: Any = None) -> Any:
    if not isinstance(fill_value, Tensor):
        return Tensor(np.full_like(array_of(a), fill_value, dtype=dtype, shape=shape))
    return broadcast_to(astype(fill_value, dtype or a.dtype), shape_of(a) if shape is None else shape)


@checked
def _filled(make: Callable[..., Any]) -> Any:
    """A function of NumPy's that makes an array like another one, for tensors."""

    @plain
    def like(a: Array, dtype: Any = None, shape: Any = None) -> Any:
        return make(array_of(a), dtype=dtype, shape=shape)

    return like


@checked
def _matrix_trace(x: Array, offset: int = 0, dtype: DType | None = None) -> Tensor:
    """The sums of the diagonals of matrices, the last two axes: `numpy.linalg.trace`. Derivative: 1 on the diagonal.

    >>> np.linalg.trace(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor(5.)
    """
    return sum(diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)


def _matrix_diagonal(x: Array, offset: int = 0) -> Tensor:
    """The diagonals of matrices, the last two axes: `numpy.linalg.diagonal`.

    >>> np.linalg.diagonal(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 4.])
    """
    return diagonal(x, offset, -2, -1)


def _apply_over_axes(func: Any, a: Array, axes: Any) -> Any:
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        made = func(a, axis)
        a = made if np.ndim(array_of(made)) == np.ndim(array_of(a)) else expand_dims(made, axis)
    return a


def _linalg_cross(x1: Array, x2: Array, axis: int = -1) -> Tensor:
    """The vector product along an axis of size 3: `numpy.linalg.cross`.

    >>> np.linalg.cross(Tensor([1.0, 0.0, 0.0]), Tensor([0.0, 1.0, 0.0]))
    Tensor([0., 0., 1.])
    """
    return cross(x1, x2, axis=axis)


def _cross(a: Array, b: Array, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    if axis is not None:
        axisa = axisb = axisc = axis
    return moveaxis(cross(moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)), -1, axisc)


def _angle(z: Array, deg: bool = False) -> Tensor:
    return rad2deg(angle(z)) if deg else angle(z)


@checked
def _fabs(x: Array) -> Tensor:
    return abs(*as_taken(np.fabs, x))


def _reciprocal(x: Array) -> Tensor:
    return _whole_reciprocal(x) if np.asarray(array_of(x)).dtype.kind in "biu" else reciprocal(x)


@plain
def _whole_reciprocal(x: Array) -> Any:
    return np.reciprocal(x)


def _nan_to_num(x: Array, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    if not copy:
        raise ArgumentError("np.nan_to_num: expected copy=True, as a tensor is not written to")
    return nan_to_num(x, nan, posinf, neginf)


def _polyval2d(x: Array, y: Array, c: Array) -> Tensor:
    return polyvalnd([x, y], c)


@checked
def _reshape(x: Array, shape: Any, order: Literal["C", "F", "A"] = "C", copy: bool | None = None) -> Tensor:
    if order == "F" or (order == "A" and np.isfortran(np.asarray(array_of(x)))):
        return transpose(reshape(transpose(x), shape[::-1] if isinstance(shape, (tuple, list)) else shape))
    return reshape(x, shape, copy=copy)


@checked
def _ravel(x: Array, order: Literal["C", "F", "A", "K"] = "C") -> Tensor:
    if order == "K":  # as the elements lie in memory
        steps = np.absolute(np.asarray(array_of(x)).strides)
        return reshape(permute_dims(x, tuple(np.argsort(-steps, kind="stable").tolist())), (-1,))
    return _reshape(x, (-1,), order)


def _copy(a: Array, order: str = "K", subok: bool = False) -> Tensor:
    return copy(a)


@checked
def _rollaxis(a: Array, axis: int, start: int = 0) -> Tensor:
    ndim = np.ndim(array_of(a))
    (axis,) = np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    (start,) = np.lib.array_utils.normalize_axis_tuple(start - (start < 0), ndim + 1)  # behind the last axis too
    return moveaxis(a, axis, start - (start > axis))


def _ix(*args: Array) -> tuple[Tensor, ...]:
    made = []
    for k, x in enumerate(args):
        if np.asarray(array_of(x)).dtype == bool:
            x = np.flatnonzero(array_of(x))
        made.append(reshape(x, (*(1,) * k, -1, *(1,) * (len(args) - k - 1))))
    return tuple(made)


def _sort_complex(a: Array) -> Tensor:
    y = sort(a)
    if y.dtype.kind == "c":
        return y
    return astype(y, np.complex64 if y.dtype.char in "bBhH" else np.complex128)


def _einsum(*operands: Any, order: str = "K") -> Tensor:
    if isinstance(operands[0], str):
        return einsum(*operands)
    inputs = operands[: len(operands) // 2 * 2]  # arrays and their axes' numbers in turn, then those of the result
    terms = [",".join(map(_letters, inputs[1::2])), *map(_letters, operands[len(inputs) :])]
    return einsum("->".join(terms), *inputs[::2])


def _letters(axes: Any) -> str:
    return "".join("..." if k is Ellipsis else LETTERS[k] for k in axes)


def _made_complex(x: Array, low: float = 0, high: float = np.inf) -> Any:
    """x, as complex numbers if an element is not between low and high."""
    values = np.asarray(array_of(x))
    if values.dtype.kind == "c" or bool(_all_between(x, low, high)):
        return x
    single = values.dtype != np.float16  # NumPy has no small complex numbers for that
    return astype(x, np.result_type(values, np.complex64 if single else np.complex128))


@plain
def _all_between(x: Array, low: float, high: float) -> Any:
    x = np.asarray(x)
    return np.all((x >= low) & (x <= high) | np.isnan(x))


def _wide(operation: Callable[[Any], Any], *ends: float) -> Callable[[Array], Any]:
    def wide(x: Array) -> Any:
        return operation(_made_complex(x, *ends))

    return wide


def _wide_logn(n: Array, x: Array) -> Any:
    n, x = (v if isinstance(v, Tensor) else np.asarray(v) for v in (n, x))
    return log(_made_complex(x)) / log(_made_complex(n))


def _wide_power(x: Array, p: Array) -> Any:
    x, p = (v if isinstance(v, Tensor) else np.asarray(v) for v in (x, p))  # a number counts as its array does
    whole = p.dtype.kind in "iu" and bool((array_of(p) < 0).any())
    return pow(_made_complex(x), astype(p, np.float64) if whole else p)


SPELLINGS: dict[str, Callable[..., Any]] = {
    "left_shift": bitwise_left_shift, "right_shift": bitwise_right_shift,
    "absolute": abs, "fabs": _fabs, "angle": _angle, "cross": _cross, "reciprocal": _reciprocal,
    "power": pow, "fix": trunc, "around": round,
    "_core.umath.clip": clip, "_core.umath.real": real, "_core.umath.imag": imag,
    "where": _where, "full_like": _full_like, "zeros_like": _filled(np.zeros_like), "ones_like": _filled(np.ones_like),
    "empty_like": _filled(np.zeros_like), "ravel": _ravel, "reshape": _reshape, "copy": _copy, "amax": max,
    "amin": min, "degrees": rad2deg, "radians": deg2rad, "conjugate": conj, "apply_over_axes": _apply_over_axes,
    "nan_to_num": _nan_to_num, "rollaxis": _rollaxis, "ix_": _ix, "sort_complex": _sort_complex, "einsum": _einsum,
    "lib.stride_tricks.sliding_window_view": sliding_window_view,
    "polynomial.polynomial.polyval2d": _polyval2d, "polynomial.polynomial.polyvalnd": polyvalnd,
    "polynomial.polynomial.polygrid2d": polygrid2d,
    "linalg.diagonal": _matrix_diagonal, "linalg.norm": norm, "linalg.trace": _matrix_trace,
    "linalg.cross": _linalg_cross, "linalg.vector_norm": vector_norm,
    "lib.scimath.power": _wide_power, "lib.scimath.logn": _wide_logn,
    **{f"lib.scimath.{f.__name__}": _wide(f, 0) for f in (sqrt, log, log2, log10)},
    **{f"lib.scimath.arc{f.__name__[1:]}": _wide(f, -1, 1) for f in (acos, asin, atanh)},
}  # fmt: skip
