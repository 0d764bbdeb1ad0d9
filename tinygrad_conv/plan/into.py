"""Operations that can write their result into memory they are given, so that a replay allocates nothing.

Each entry computes what the primitive's forward function (or the function of data) of that name does, to the bit.
A ufunc takes the output after its inputs, anything else as `out=`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..kernels import product
from ..kernels import registry as kernels
from ..kernels.threads import over_rows
from ..ops.activations import log_softmaxed, rectified
from ..ops.indexing import picked, placed
from ..ops.normalization import standardized
from ..ops.shape import summed_to
from .calls import Call
from .ours import ours

__all__ = ["INTO", "ROUNDED", "VIEWS", "into", "is_elementwise", "is_total", "is_view"]

Array: TypeAlias = np.ndarray[Any, Any]

# Without what np.sum and its kin do around them.
_total: Any = np.add.reduce
_largest: Any = np.maximum.reduce
_smallest: Any = np.minimum.reduce


def _sum(x: Array, axis: Any = None, keepdims: bool = False, dtype: Any = None, *, out: Array) -> None:
    _total(x, axis, dtype, out, keepdims)


def _max(x: Array, axis: Any = None, keepdims: bool = False, *, out: Array) -> None:
    _largest(x, axis, None, out, keepdims)


def _min(x: Array, axis: Any = None, keepdims: bool = False, *, out: Array) -> None:
    _smallest(x, axis, None, out, keepdims)


def _power(x1: Any, x2: Any, *, out: Array) -> None:
    np.power(x1, float(x2) if isinstance(x2, int) and x2 < 0 else x2, out=out)


def _reciprocal(x: Array, *, out: Array) -> None:
    np.true_divide(1, x, out)


def _concat(*arrays: Array, axis: int = 0, cuts: Any = None, out: Array) -> None:
    np.concatenate(arrays, axis, out)


def _cross_entropy(x: Array, labels: Array, *, out: tuple[Array, Array]) -> None:
    losses, log_p = out
    np.negative(picked(log_softmaxed(x, out=log_p), labels), losses)


def _standardize_grad(g: Array, y: Array, r: Array, *, out: Array) -> None:
    kernels.standardize_grad(g, y, r.reshape(-1), out=out)


def _copy(x: Array, *, out: Array) -> None:
    np.copyto(out, x)


INTO: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.true_divide, "negative": np.negative,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "square": np.square, "sqrt": np.sqrt, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "log2": np.log2, "log10": np.log10, "abs": np.absolute,
    "_sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "maximum": np.maximum, "minimum": np.minimum, "greater": np.greater,
    "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal, "equal": np.equal,
    "not_equal": np.not_equal, "logical_and": np.logical_and, "logical_or": np.logical_or,
    "logical_not": np.logical_not, "logical_xor": np.logical_xor, "isnan": np.isnan,
    "relu": rectified, "pow": _power, "reciprocal": _reciprocal, "sum": _sum, "sum_to": summed_to,
    "log_softmax": log_softmaxed, "cross_entropy": _cross_entropy, "pick": picked, "place": placed,
    "max": _max, "min": _min, "_standardize": standardized, "_standardize_grad": _standardize_grad, "copy": _copy,
    "_matmul": product.matmul, "_concat": _concat,
    "conv": kernels.conv, "conv_transpose": kernels.conv_input_grad,
    "conv_kernel_gradient": kernels.conv_kernel_grad, "pool_max": kernels.max_pool, "pool_maxima": kernels.maxima,
    "pool_gather": kernels.pool_gather, "pool_scatter": kernels.pool_scatter, "pool_mean": kernels.avg_pool,
    "pool_mean_transpose": kernels.avg_pool_transpose, "bias_relu": kernels.bias_relu,
    "bias_relu_grad": kernels.bias_relu_grad, "bias_relu_max_pool": kernels.bias_relu_max_pool,
    "bias_relu_max_pool_grad": kernels.bias_relu_max_pool_grad,
}  # fmt: skip

# NumPy (2.4) rounds these by how arrays lie, where an operand lies backwards: done in parts they may differ in a bit.
ROUNDED = {"pow": np.power, "atan2": np.arctan2}

# Where the output may be memory of an input that is needed no more, if shapes and layouts are equal.
_ELEMENTWISE = {"relu", "reciprocal", "pow", "bias_relu", "bias_relu_grad"}

MANY = 1 << 18  # elements of a result: what threads may share

# These look at the memory of their input in another way, whenever NumPy can.
VIEWS = {"reshape", "permute_dims", "broadcast_to", "_getitem", "identity", "flip"}


def into(call: Call) -> Callable[..., Any] | None:
    """The function that does what a call does, into memory it is given; None if there is none.

    What visits elements one by one, and many of them, does so in threads.
    """
    function = INTO.get(ours(call))
    alone = function is rectified or (_is_by_element(function) and function not in ROUNDED.values())
    if function is not None and alone and call.outputs and prod(call.outputs[0].seen.shape) >= MANY:
        return partial(over_rows, function)
    return function


def is_view(call: Call) -> bool:
    """Does a call but look at the memory of its input in another way?"""
    return ours(call) in VIEWS and len(call.outputs) == len(set(call.inputs)) == 1  # an index may be an array


def is_total(call: Call) -> bool:
    """Does a call give something whatever the numbers are, and nothing else? Integers may be labels and indices."""
    total = call.kind == "load" or ours(call) in INTO or is_view(call)
    return total and bool(call.outputs) and all(slot.seen.dtype.kind in "fb" for slot in call.inputs)


def is_elementwise(call: Call) -> bool:
    """May a call's first result lie where an input of the same layout was?"""
    return ours(call) in _ELEMENTWISE or _is_by_element(INTO.get(ours(call)))


def _is_by_element(function: Any) -> bool:
    return isinstance(function, np.ufunc) and function.signature is None
