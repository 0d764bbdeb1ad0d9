"""Operations that can write their result into memory they are given, so that a replay allocates nothing.

Each entry computes exactly what the primitive's forward function (or the function of data) of that name does, to the bit.
A ufunc takes the output after its inputs, anything else as `out=`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..kernels import conv, pool

__all__ = ["INTO", "VIEWS", "is_elementwise"]

Array: TypeAlias = np.ndarray[Any, Any]


def _sum(x: Array, axis: Any = None, keepdims: bool = False, *, out: Array) -> None:
    np.add.reduce(x, axis, None, out, keepdims)


def _max(x: Array, axis: Any = None, keepdims: bool = False, *, out: Array) -> None:
    np.maximum.reduce(x, axis, None, out, keepdims)


def _min(x: Array, axis: Any = None, keepdims: bool = False, *, out: Array) -> None:
    np.minimum.reduce(x, axis, None, out, keepdims)


def _relu(x: Array, *, out: Array) -> None:
    np.maximum(x, 0, out=out)


def _power(x1: Any, x2: Any, *, out: Array) -> None:
    np.power(x1, float(x2) if isinstance(x2, int) and x2 < 0 else x2, out=out)


def _reciprocal(x: Array, *, out: Array) -> None:
    np.true_divide(1, x, out)


def _concat(*arrays: Array, axis: int = 0, out: Array) -> None:
    np.concatenate(arrays, axis, out)


def _copy(x: Array, *, out: Array) -> None:
    np.copyto(out, x)


INTO: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.true_divide, "negative": np.negative,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "square": np.square, "sqrt": np.sqrt, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "abs": np.absolute,
    "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "maximum": np.maximum, "minimum": np.minimum, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal, "equal": np.equal,
    "not_equal": np.not_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_not": np.logical_not, "logical_xor": np.logical_xor, "isnan": np.isnan,
    "relu": _relu, "pow": _power, "reciprocal": _reciprocal, "sum": _sum, "max": _max, "min": _min, "copy": _copy,
    "_matmul": np.matmul, "_concat": _concat, "conv": conv.conv, "conv_transpose": conv.conv_input_grad,
    "conv_kernel_gradient": conv.conv_kernel_grad, "pool_max": pool.max_pool, "pool_gather": pool.pool_gather,
    "pool_scatter": pool.pool_scatter, "pool_mean": pool.avg_pool, "pool_mean_transpose": pool.avg_pool_transpose,
}  # fmt: skip

# Where the output may be memory of an input that is needed no more, if shapes and layouts are equal.
_ELEMENTWISE = {"relu", "reciprocal", "pow"}

# These look at the memory of their input in another way, whenever NumPy can.
VIEWS = {"reshape", "permute_dims", "broadcast_to", "_getitem", "identity", "flip"}


def is_elementwise(name: str) -> bool:
    """May an operation's result lie where an input of the same layout was?"""
    function = INTO.get(name)
    return name in _ELEMENTWISE or (isinstance(function, np.ufunc) and function.signature is None)
