"""Tensors from nothing: NumPy's names and arguments, plus `requires_grad`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import bare_array
from ..modes import constant
from ..primitive import Array
from ..tensor import Tensor
from .elementwise import _raw


def _made(array: Any, requires_grad: bool) -> Tensor:
    out = Tensor(0.0)
    out._array = constant(array)  # made here, so nobody else holds it
    out.requires_grad = requires_grad
    return out


def asarray(data: Array, dtype: Any = None) -> Tensor:
    """`data` as a tensor; a tensor of that dtype is returned as it is.

    >>> asarray([1.0, 2.0])
    Tensor([1., 2.])
    """
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == np.dtype(dtype) else data.astype(dtype)
    return Tensor(data, dtype=dtype)


def zeros(shape: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0.

    >>> zeros(2)
    Tensor([0., 0.])
    """
    return _made(np.zeros(shape, dtype or np.float64), requires_grad)


def ones(shape: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1.

    >>> ones((1, 2), requires_grad=True)
    Tensor([[1., 1.]], requires_grad=True)
    """
    return _made(np.ones(shape, dtype), requires_grad)


def full(shape: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All `fill_value`.

    >>> full(2, 7.0)
    Tensor([7., 7.])
    """
    return _made(np.full(shape, bare_array(fill_value, "full"), dtype), requires_grad)


def zeros_like(x: Array, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 0, with the shape and dtype of x."""
    return _made(np.zeros_like(_raw(x), dtype, subok=False), requires_grad)


def ones_like(x: Array, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All 1, with the shape and dtype of x."""
    return _made(np.ones_like(_raw(x), dtype, subok=False), requires_grad)


def full_like(x: Array, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """All `fill_value`, with the shape and dtype of x."""
    return _made(np.full_like(_raw(x), bare_array(fill_value, "full_like"), dtype, subok=False), requires_grad)


def arange(*args: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Evenly spaced values from start to (not including) stop.

    >>> arange(3)
    Tensor([0, 1, 2])
    """
    return _made(np.arange(*args, dtype=dtype), requires_grad)


def linspace(start: float, stop: float, num: int = 50, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`num` evenly spaced values from start to stop, both included.

    >>> linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    start, stop = bare_array(start, "linspace"), bare_array(stop, "linspace")
    return _made(np.linspace(start, stop, num, dtype=dtype), requires_grad)


def eye(n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """1 on the diagonal, 0 elsewhere.

    >>> eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return _made(np.eye(n, m, dtype=dtype or np.float64), requires_grad)


__all__ = ["arange", "asarray", "eye", "full", "full_like", "linspace", "ones", "ones_like", "zeros", "zeros_like"]
