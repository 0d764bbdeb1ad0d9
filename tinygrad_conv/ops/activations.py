"""Activation functions: elementwise primitives, and the softmax pair.

Where it can, a rule reads y and not x: y is what the next layer reads too, so it costs no memory.

Each is a primitive rather than a composition for stability at large |x|, and for speed: one pass, one saved array.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Kind
from ..engine.plain import plain
from ..engine.primitive import elementwise, opaque
from ..engine.tensor import Array, Tensor  # noqa: F401  (the examples need it)
from ..errors import DTypeError
from ..kernels import special
from ..kernels.scratch import counted, number
from .elementwise import abs, exp, floats, greater, narrow, tanh, where, wide
from .reductions import sum

_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717
_SQRT_2_PI = math.sqrt(2 / math.pi)


@plain
def _pick(condition: Any, high: float, low: float, like: Array) -> Any:
    """A step, as data of the dtype of `like`."""
    scalar = like.dtype.type
    return np.where(condition, scalar(high), scalar(low))


def _at_least_0(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError
    if not (array >= 0).all():
        raise ValueError
    return value


Slope: TypeAlias = Annotated[
    float, Kind("a number >= 0, or several that broadcast", _at_least_0, np.abs, "type({0}) is float and {0} >= 0")
]


def _sigmoid(x: Any) -> Any:
    x = floats(x)
    if x.dtype.kind == "c":
        e = np.exp(np.where(x.real < 0, x, -x))
        return np.where(x.real < 0, e / (1 + e), 1 / (1 + e))
    e = np.exp(-np.abs(x))  # never overflows
    return np.where(np.greater_equal(x, 0), 1 / (1 + e), e / (1 + e))


@elementwise(lambda residual: residual, kinks="0 at x = 0", tie="left", residual=True)
def relu(x: Array) -> Any:
    """max(x, 0). Derivative: 1 for x > 0, else 0 (0 at 0), kept as a byte per element.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return rectified(x)


def rectified(x: Any, *, out: Any = (None, None)) -> Any:
    """`relu`, into `out` if that is given (the first of which may be x)."""
    zero = number(0, x.dtype) if type(x) is np.ndarray and x.dtype.kind == "f" else 0
    above = np.greater(x, zero, out[1])
    return np.maximum(x, zero, out=out[0]), above


@elementwise(
    lambda y, negative_slope: _pick(greater(y, 0), 1, negative_slope, y),
    kinks="the negative slope at x = 0", tie="left",
    samples=lambda d: (d.plain_sample()[0], {"negative_slope": d.choice((0.01, 0.3))}),
)  # fmt: skip
def leaky_relu(x: Array, negative_slope: Slope = 0.01) -> Array:
    """x for x > 0, else negative_slope * x. Derivative: 1, or the slope (at 0 too). Source: Maas et al. (2013).

    Raises ArgumentError for a slope below 0, with which the sign of y would not be that of x.

    >>> leaky_relu(Tensor([-1.0, 2.0]))
    Tensor([-0.01,  2.  ])
    """
    return np.where(np.greater(x, 0), x, negative_slope * np.asarray(x))


@elementwise(
    lambda y, alpha: where(greater(y, 0), 1.0, y + alpha), flops=10, kinks="alpha at x = 0", tie="left",
    samples=lambda d: (d.plain_sample()[0], {"alpha": d.choice((1.0, 0.7))}),
)  # fmt: skip
def elu(x: Array, alpha: Slope = 1.0) -> Array:
    """x for x > 0, else alpha (eˣ - 1). Derivative: 1, or y + alpha. Source: Clevert et al. (2015).

    Raises ArgumentError for an alpha below 0, with which the sign of y would not be that of x.

    >>> elu(Tensor([0.0, 2.0]))
    Tensor([0., 2.])
    """
    return np.where(np.greater(x, 0), x, alpha * np.expm1(np.minimum(x, 0)))


@elementwise(
    lambda y: where(greater(y, 0), _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA), flops=10,
    kinks="scale * alpha at x = 0", tie="left",
)  # fmt: skip
def selu(x: Array) -> Array:
    """scale * elu(x, alpha) with the self-normalising constants. Derivative: scale, or y + scale * alpha.

    Source: Klambauer et al. (2017).

    >>> selu(Tensor([0.0]))
    Tensor([0.])
    """
    return _SELU_SCALE * np.where(np.greater(x, 0), x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def _gelu_slope(x: Array, approximate: bool) -> Array:
    if approximate:
        t = tanh(_SQRT_2_PI * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _SQRT_2_PI * (1 + 3 * 0.044715 * x * x)
    return _normal_cdf(x) + x * exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@elementwise(lambda x: exp(-0.5 * x * x) / math.sqrt(2 * math.pi), flops=20)
def _normal_cdf(x: Array) -> Array:
    """Φ(x), the probability that a standard normal variable is below x. Derivative: its density."""
    return 0.5 * (1 + special.erf(np.asarray(x) / math.sqrt(2)))


@elementwise(_gelu_slope, flops=20, samples=lambda d: (d.plain_sample()[0], {"approximate": d.boolean()}))
def gelu(x: Array, approximate: bool = False) -> Array:
    """x Φ(x), Φ the normal distribution function; or its tanh approximation. Derivative: Φ(x) + x φ(x).

    Source: Hendrycks & Gimpel (2016).

    >>> gelu(Tensor([0.0]))
    Tensor([0.])
    """
    x = floats(x)
    if approximate:
        return 0.5 * x * (1 + np.tanh(_SQRT_2_PI * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + special.erf(x / math.sqrt(2)))


@elementwise(lambda y: y * (1 - y), flops=10)
def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), stable for any x. Derivative: y (1 - y).

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    return _sigmoid(x)


def _silu_slope(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1 + x * (1 - s))


@elementwise(_silu_slope, flops=10)
def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish. Derivative: s (1 + x (1 - s)), s = sigmoid(x). Source: Elfwing et al. (2017).

    >>> silu(Tensor([0.0]))
    Tensor([0.])
    """
    return x * _sigmoid(x)


@elementwise(lambda x: sigmoid(x), flops=20)
def softplus(x: Array) -> Array:
    """log(1 + eˣ), stable for any x. Derivative: sigmoid(x).

    >>> softplus(Tensor([1000.0]))
    Tensor([1000.])
    """
    return np.logaddexp(floats(x), 0)


@elementwise(lambda x: 1 / ((1 + abs(x)) * (1 + abs(x))))
def softsign(x: Array) -> Array:
    """x / (1 + |x|). Derivative: 1 / (1 + |x|)².

    >>> softsign(Tensor([1.0]))
    Tensor([0.5])
    """
    x = floats(x)
    if x.dtype.kind == "c":
        raise DTypeError(f"softsign: expected real numbers, got {x.dtype}; apply it to real and imaginary parts")
    return x / (1 + np.abs(x))


def _mish_slope(x: Array) -> Array:
    t = tanh(softplus(x))
    return t + x * sigmoid(x) * (1 - t * t)


@elementwise(_mish_slope, flops=30)
def mish(x: Array) -> Array:
    """x tanh(softplus(x)). Derivative: t + x sigmoid(x) (1 - t²), t = tanh(softplus(x)). Source: Misra (2019).

    >>> mish(Tensor([0.0]))
    Tensor([0.])
    """
    x = floats(x)
    return x * np.tanh(np.logaddexp(x, 0))


@elementwise(lambda x: _pick(abs(x) < 3, 1 / 6, 0, x), kinks="0 at x = -3 and x = 3", tie="least")
def hard_sigmoid(x: Array) -> Array:
    """x / 6 + 1/2 limited to [0, 1]. Derivative: 1/6 for |x| < 3, else 0.

    >>> hard_sigmoid(Tensor([-3.0, 0.0, 3.0]))
    Tensor([0. , 0.5, 1. ])
    """
    return np.clip(floats(x) / 6 + 0.5, 0, 1)


def _top(x: Any, axis: int) -> Any:
    """The largest element along an axis, which stays as one of size 1; -inf where it has no elements."""
    if axis not in (-1, x.ndim - 1) or x.size < 24 * x.shape[-1] or not x.size:
        return np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    rows = x.reshape(-1, x.shape[-1])  # of many short rows: to find where it is takes NumPy a fifth of the time
    return rows[counted(len(rows)), rows.argmax(-1)].reshape(*x.shape[:-1], 1)


@opaque(
    vjp=lambda g, y, axis: y * (g - sum(g * y, axis=axis, keepdims=True)),
    jvp=lambda t, y, axis: y * (t - sum(t * y, axis=axis, keepdims=True)),
    flops=14, samples=lambda d: d.axis_sample(),
)  # fmt: skip
def softmax(x: Array, axis: int = -1) -> Array:
    """eˣ / Σ eˣ along an axis, stable for any x. Derivative: diag(y) - y yᵀ.

    >>> softmax(Tensor([0.0, 0.0]))
    Tensor([0.5, 0.5])
    """
    given = np.asarray(x)
    x = wide(given)
    e = np.exp(x - _top(x, axis))
    return narrow(e / np.add.reduce(e, axis=axis, keepdims=True), given)


@opaque(
    vjp=lambda g, y, axis: g - exp(y) * sum(g, axis=axis, keepdims=True),
    jvp=lambda t, y, axis: t - sum(exp(y) * t, axis=axis, keepdims=True),
    flops=14, samples=lambda d: d.axis_sample(),
)  # fmt: skip
def log_softmax(x: Array, axis: int = -1) -> Array:
    """x - log Σ eˣ along an axis, stable for any x. Derivative: 1 - softmax(x), column by column.

    >>> log_softmax(Tensor([0.0, -1000.0]))
    Tensor([    0., -1000.])
    """
    return log_softmaxed(x, axis)


def log_softmaxed(x: Any, axis: int = -1, *, out: Any = None) -> Any:
    """`log_softmax`, into `out` if that is given."""
    given = np.asarray(x)
    x = wide(given)
    y = np.subtract(x, _top(x, axis), out if x is given else None)
    if y.size:
        np.subtract(y, np.log(np.add.reduce(np.exp(y), axis=axis, keepdims=True)), y)
    if out is None or x is given:
        return narrow(y, given)
    np.copyto(out, y)
    return out


__all__ = [
    "elu", "gelu", "hard_sigmoid", "leaky_relu", "log_softmax", "mish", "relu", "selu", "sigmoid", "silu", "softmax",
    "softplus", "softsign",
]  # fmt: skip
