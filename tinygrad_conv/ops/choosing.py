"""Choosing between arrays, and applying functions along axes: composed of `where`, `stack` and indexing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Annotated, Any

import numpy as np

from ..arguments import checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .axes import axis_of
from .complex import imag, real
from .elementwise import equal, isnan, where
from .indexing import getitem, set_at
from .joining import decided
from .shape import Arrays, astype, broadcast_to, moveaxis, reshape, stack


@checked
def select(conditions: Arrays, choices: Arrays, default: Array = 0) -> Tensor:
    """For each element the choice of the first condition that holds, or the default.

    >>> select([np.array([True, False])], [Tensor([1.0, 2.0])], -1.0)
    Tensor([ 1., -1.])
    """
    if len(conditions) != len(choices) or not conditions:
        raise ArgumentError(
            f"select: expected as many choices as conditions, one at least, got {len(choices)} and {len(conditions)}"
        )
    kinds = [v if type(v) in (int, float, complex) else np.asarray(array_of(v)).dtype for v in (*choices, default)]
    y: Any = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        if np.asarray(array_of(condition)).dtype != bool:
            raise ArgumentError(f"select: expected bool conditions, got {np.asarray(array_of(condition)).dtype}")
        y = where(condition, choice, y)
    dtype = np.result_type(*kinds)
    return y if y.dtype == dtype else astype(y, dtype)


@checked
def choose(index: Array, choices: Arrays, mode: Annotated[str, one_of("raise", "wrap", "clip")] = "raise") -> Tensor:
    """For each element the one of the choice that the integer index names there; they broadcast together.

    >>> choose(np.array([0, 1]), [Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    Tensor([1., 4.])
    """
    number = _choice_numbers(index, len(choices), mode)
    shape = np.broadcast_shapes(shape_of(number), *(shape_of(c) for c in choices))
    choices = [np.asarray(c) if isinstance(c, (list, tuple)) else c for c in choices]
    kind = np.result_type(*(array_of(c) for c in choices))  # numbers of Python's take that of the others
    table = stack([astype(broadcast_to(c, shape), kind) for c in choices])
    table = Tensor(table) if isinstance(index, Tensor) else table
    grids: Any = np.indices(shape, sparse=True)
    places = map(constant, grids)
    return getitem(table, (broadcast_to(number, shape), *places))


@plain
def _choice_numbers(index: Any, n: int, mode: str) -> Any:
    number = np.asarray(index)
    if number.dtype.kind not in "iub":
        raise ArgumentError(f"choose: expected integers as index, got {number.dtype}")
    number = number.astype(np.intp)
    if mode != "raise":
        return number % n if mode == "wrap" else np.clip(number, 0, n - 1)
    if ((number < 0) | (number >= n)).any():
        raise ArgumentError(
            f"choose: expected an index from 0 to {n - 1}, got {int(number.min())} to {int(number.max())}"
        )
    return number


@checked
def piecewise(x: Array, conditions: Any, functions: Sequence[Any], *args: Any, **kwargs: Any) -> Tensor:
    """Each function, or number, where its condition holds (the last that does); one more is for all the rest, else 0.

    >>> piecewise(Tensor([-1.0, 2.0]), [np.array([True, False])], [lambda x: -x, lambda x: x * 10])
    Tensor([ 1., 20.])
    """
    shape = shape_of(x)
    if not isinstance(conditions, (list, tuple)) and np.ndim(array_of(conditions)) > 1:
        conditions = list(conditions)  # one row each, as NumPy reads it
    if not isinstance(conditions, (list, tuple)) or (conditions and np.ndim(array_of(conditions[0])) == 0 < len(shape)):
        conditions = [conditions]
    masks = [np.asarray(decided("piecewise", c)).astype(bool) for c in conditions]
    if {mask.shape for mask in masks} - {shape}:
        raise ShapeError(f"piecewise: expected conditions of x's shape {shape}, got {[mask.shape for mask in masks]}")
    if len(functions) not in (len(masks), len(masks) + 1):
        raise ArgumentError(f"piecewise: expected {len(masks)} or {len(masks) + 1} functions, got {len(functions)}")
    if len(functions) == len(masks) + 1:
        masks.append(~np.any(masks, axis=0))
    y: Any = x * 0
    for mask, function in zip(masks, functions, strict=True):
        if callable(function):
            if mask.any():  # outside of its condition a function may not be defined
                y = set_at(y, mask, function(getitem(x, mask), *args, **kwargs))
        else:
            y = where(mask, function, y)
    dtype = np.asarray(array_of(x)).dtype
    return y if y.dtype == dtype else astype(y, dtype)  # the result is of x's dtype, as NumPy's is


@checked
def apply_along_axis(function: Callable[..., Any], axis: int, x: Array, *args: Any, **kwargs: Any) -> Tensor:
    """The function of each vector along an axis; its result's axes take the place of that axis.

    >>> apply_along_axis(lambda v: v.sum(), 0, Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([4., 6.])
    """
    shape = shape_of(x)
    axis = axis_of("apply_along_axis", axis, shape)
    others = shape[:axis] + shape[axis + 1 :]
    vectors = reshape(moveaxis(x, axis, -1), (prod(others), shape[axis]))
    if not vectors.shape[0]:
        raise ShapeError(f"apply_along_axis: expected at least one vector, got shape {shape}")
    made = stack([function(vectors[k], *args, **kwargs) for k in range(vectors.shape[0])])
    own = made.shape[1:]
    y = reshape(made, (*others, *own))
    return moveaxis(y, tuple(range(len(others), y.ndim)), tuple(range(axis, axis + len(own))))


@checked
def nan_to_num(x: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    """NaN as 0 and infinities as the largest numbers of the dtype, or as asked. Derivative: 1 where x is finite.

    >>> nan_to_num(Tensor([1.0, np.nan, np.inf]), posinf=9.0)
    Tensor([1., 0., 9.])
    """
    dtype = np.asarray(array_of(x)).dtype
    if dtype.kind == "c":
        return nan_to_num(real(x), nan, posinf, neginf) + 1j * nan_to_num(imag(x), nan, posinf, neginf)
    if dtype.kind != "f":
        return x if isinstance(x, Tensor) else np.asarray(x)  # type: ignore[return-value]
    most = np.finfo(dtype)
    high = float(most.max) if posinf is None else posinf
    low = float(most.min) if neginf is None else neginf
    return where(isnan(x), nan, where(equal(x, np.inf), high, where(equal(x, -np.inf), low, x)))


__all__ = ["apply_along_axis", "choose", "nan_to_num", "piecewise", "select"]
