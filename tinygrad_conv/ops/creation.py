"""Tensors from nothing: NumPy's names and arguments, plus `requires_grad`."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

import numpy as np

from ..arguments import Count, DType, ShapeLike, afford, checked
from ..engine.bare import array_of
from ..engine.modes import constant
from ..engine.node import Shape
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError


def _made(array: Any, requires_grad: bool) -> Tensor:
    out = Tensor(0.0)
    out._array = constant(array)  # made here, so nobody else holds it
    out.requires_grad = requires_grad
    return out


def _fits(what: str, shape: Shape, dtype: Any) -> Any:
    """The dtype, float64 if it is None, after a look at the memory that so much of it takes."""
    dtype = np.dtype(np.float64 if dtype is None else dtype)
    afford(what, shape, dtype.itemsize)
    return dtype


@checked
def asarray(data: Any, dtype: DType | None = None) -> Tensor:
    """`data` as a tensor; a tensor of that dtype is returned as it is.

    >>> asarray([1.0, 2.0])
    Tensor([1., 2.])
    """
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)
    return Tensor(data, dtype=dtype)


@checked
def zeros(shape: ShapeLike, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All 0.

    >>> zeros(2)
    Tensor([0., 0.])
    """
    return _made(np.zeros(shape, _fits("zeros", shape, dtype)), requires_grad)


@checked
def ones(shape: ShapeLike, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All 1.

    >>> ones((1, 2), requires_grad=True)
    Tensor([[1., 1.]], requires_grad=True)
    """
    return _made(np.ones(shape, _fits("ones", shape, dtype)), requires_grad)


@checked
def full(shape: ShapeLike, fill_value: Array, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All `fill_value`.

    >>> full(2, 7.0)
    Tensor([7., 7.])
    """
    _fits("full", shape, dtype)
    return _made(np.full(shape, fill_value, dtype), requires_grad)


@checked
def zeros_like(x: Array, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All 0, with the shape and dtype of x."""
    return _made(np.zeros_like(array_of(x), dtype, subok=False), requires_grad)


@checked
def ones_like(x: Array, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All 1, with the shape and dtype of x."""
    return _made(np.ones_like(array_of(x), dtype, subok=False), requires_grad)


@checked
def full_like(x: Array, fill_value: Array, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """All `fill_value`, with the shape and dtype of x."""
    return _made(np.full_like(array_of(x), fill_value, dtype, subok=False), requires_grad)


@checked
def arange(*args: float, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """Evenly spaced values from start to (not including) stop.

    >>> arange(3)
    Tensor([0, 1, 2])
    """
    if not 1 <= len(args) <= 3:
        raise ArgumentError(
            f"arange: expected stop, or start and stop, or start, stop and step; got {len(args)} numbers"
        )
    start, stop, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    steps = (stop - start) / step if step else 0.0
    if isfinite(steps):  # NumPy refuses the others
        _fits("arange", (max(0, ceil(steps)),), dtype)
    return _made(np.arange(*args, dtype=dtype), requires_grad)


@checked
def linspace(
    start: float, stop: float, num: Count = 50, dtype: DType | None = None, requires_grad: bool = False
) -> Tensor:
    """`num` evenly spaced values from start to stop, both included.

    >>> linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    _fits("linspace", (num,), None)
    return _made(np.linspace(start, stop, num, dtype=dtype), requires_grad)


@checked
def eye(n: Count, m: Count | None = None, dtype: DType | None = None, requires_grad: bool = False) -> Tensor:
    """1 on the diagonal, 0 elsewhere.

    >>> eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return _made(np.eye(n, m, dtype=_fits("eye", (n, n if m is None else m), dtype)), requires_grad)


__all__ = ["arange", "asarray", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros", "zeros_like"]
