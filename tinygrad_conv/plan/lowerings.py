"""What operations come to in instructions, for those that have any.

A lowering is given the code that it adds to, the call, the call's arguments and outputs as arrays (stand-ins) and
numbers, and its parameters. It raises `UnfitError` where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .calls import Call
from .instructions import Instructions
from .into import INTO
from .standins import UnfitError

__all__ = ["LOWERINGS"]

Array: TypeAlias = np.ndarray[Any, Any]


def elementwise(ufunc: np.ufunc) -> Callable[..., None]:
    def lowering(code: Instructions, call: Call, *args: Any, out: list[Array]) -> None:
        code.loop(ufunc, *args, out[0])

    return lowering


def _relu(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    y, above = out
    code.loop(np.greater, x, 0, above)  # first, for y may lie where x does
    code.loop(np.maximum, x, 0, y)


def _power(code: Instructions, call: Call, x1: Any, x2: Any, *, out: list[Array]) -> None:
    if out[0].dtype.kind != "f":  # for integers it may raise
        raise UnfitError
    code.loop(np.power, x1, float(x2) if isinstance(x2, int) and x2 < 0 else x2, out[0])


def _reciprocal(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.true_divide, 1, x, out[0])


def _copy(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    code.copy(x, out[0])


def _where(code: Instructions, call: Call, condition: Array, yes: Any, no: Any, *, out: list[Array]) -> None:
    code.select(condition, yes, no, out[0])


def _cast(code: Instructions, call: Call, x: Array, dtype: Any, *, out: list[Array]) -> None:
    code.copy(code.cast(x, np.dtype(dtype)), out[0])


def _logistic(code: Instructions, x: Array) -> Array:
    e = code.new(np.exp, code.new(np.negative, code.new(np.absolute, x)))
    y, d = code.memory.scratch(x.shape, x.dtype), code.new(np.add, 1, e)
    right, left = code.new(np.true_divide, 1, d), code.new(np.true_divide, e, d)
    code.select(code.new(np.greater_equal, x, 0), right, left, y)
    return y


def _sigmoid(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    code.copy(_logistic(code, x), out[0])


def _silu(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.multiply, x, _logistic(code, x), out[0])


def _softplus(code: Instructions, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.logaddexp, x, 0, out[0])


def _leaky_relu(code: Instructions, call: Call, x: Array, negative_slope: Any = 0.01, *, out: list[Array]) -> None:
    code.select(code.new(np.greater, x, 0), x, code.new(np.multiply, _number(negative_slope), x), out[0])


def _elu(code: Instructions, call: Call, x: Array, alpha: Any = 1.0, *, out: list[Array]) -> None:
    left = code.new(np.multiply, _number(alpha), code.new(np.expm1, code.new(np.minimum, x, 0)))
    code.select(code.new(np.greater, x, 0), x, left, out[0])


def _number(value: Any) -> Any:
    """A parameter that was checked when it was recorded."""
    if isinstance(value, np.ndarray):
        raise UnfitError
    return value


def _reduction(ufunc: np.ufunc) -> Callable[..., None]:
    def lowering(
        code: Instructions, call: Call, x: Array, axis: Any = None, keepdims: Any = None, dtype: Any = None, *,
        out: list[Array],
    ) -> None:  # fmt: skip
        if dtype is not None:
            raise UnfitError
        given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = [k % x.ndim for k in given]
        code.reduce(ufunc, x, axes, _kept(out[0], x, axes))

    return lowering


def _kept(out: Array, x: Array, axes: Sequence[int]) -> Array:
    """What is left of x without some axes, with a 1 for each of them."""
    return out.reshape([1 if k in axes else n for k, n in enumerate(x.shape)])


def _sum_to(code: Instructions, call: Call, x: Array, shape: tuple[int, ...], *, out: list[Array]) -> None:
    lead = x.ndim - len(shape)
    axes = [k for k in range(x.ndim) if k < lead or (shape[k - lead] == 1 and x.shape[k] != 1)]
    code.reduce(np.add, x, axes, _kept(out[0], x, axes))


def _matmul(code: Instructions, call: Call, a: Array, b: Array, *, out: list[Array]) -> None:
    y = out[0]
    if b.ndim != 2 or a.ndim < 2:
        raise UnfitError
    if a.ndim > 2:
        a, y = a.reshape(-1, a.shape[-1]), y.reshape(-1, y.shape[-1])
    code.product(a, b, y)


def _log_softmax(code: Instructions, call: Call, x: Array, axis: int = -1, *, out: list[Array]) -> None:
    axes, y = [axis % x.ndim], out[0]
    top = code.memory.scratch([1 if k in axes else n for k, n in enumerate(x.shape)], x.dtype)
    total, e = code.memory.scratch(top.shape, x.dtype), code.memory.scratch(x.shape, x.dtype)
    code.reduce(np.maximum, x, axes, top)
    code.loop(np.subtract, x, top, y)
    code.loop(np.exp, y, e)
    code.reduce(np.add, e, axes, total)
    code.loop(np.log, total, total)
    code.loop(np.subtract, y, total, y)


def _softmax(code: Instructions, call: Call, x: Array, axis: int = -1, *, out: list[Array]) -> None:
    axes, y = [axis % x.ndim], out[0]
    total = code.memory.scratch([1 if k in axes else n for k, n in enumerate(x.shape)], x.dtype)
    code.reduce(np.maximum, x, axes, total)
    code.loop(np.subtract, x, total, y)
    code.loop(np.exp, y, y)
    code.reduce(np.add, y, axes, total)
    code.loop(np.true_divide, y, total, y)


def _cross_entropy(code: Instructions, call: Call, x: Array, labels: Array, *, out: list[Array]) -> None:
    losses, log_p = out
    _log_softmax(code, call, x, out=[log_p])
    code.move(call, labels.reshape(-1), log_p.reshape(-1, x.shape[-1]), losses.reshape(-1, 1))
    code.loop(np.negative, losses, losses)


def _pick(code: Instructions, call: Call, x: Array, labels: Array, *, out: list[Array]) -> None:
    code.move(call, labels.reshape(-1), x.reshape(-1, x.shape[-1]), out[0].reshape(-1, 1))


def _place(code: Instructions, call: Call, x: Array, labels: Array, classes: int, *, out: list[Array]) -> None:
    code.fill(0, out[0])
    code.move(call, labels.reshape(-1), x.reshape(-1, 1), out[0].reshape(-1, classes))


def _class_numbers(code: Instructions, call: Call, labels: Array, classes: int, *, out: list[Array]) -> None:
    if out:  # labels of another dtype are converted
        raise UnfitError
    code.check(call, labels.reshape(-1), 0, classes)


LOWERINGS: dict[str, Callable[..., None]] = {
    name: elementwise(ufunc) for name, ufunc in INTO.items() if isinstance(ufunc, np.ufunc) and ufunc.signature is None
} | {
    "relu": _relu, "pow": _power, "reciprocal": _reciprocal, "copy": _copy, "where": _where,
    "sum": _reduction(np.add), "max": _reduction(np.maximum), "min": _reduction(np.minimum), "sum_to": _sum_to,
    "_matmul": _matmul, "log_softmax": _log_softmax, "softmax": _softmax, "cross_entropy": _cross_entropy,
    "pick": _pick, "place": _place, "_class_numbers": _class_numbers, "_cast": _cast, "sigmoid": _sigmoid,
    "silu": _silu, "softplus": _softplus, "leaky_relu": _leaky_relu, "elu": _elu,
}  # fmt: skip
