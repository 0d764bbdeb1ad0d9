"""Elementwise arithmetic, functions and comparisons, one block each.

All follow NumPy: broadcasting, dtype promotion (``float32 * 2.0`` stays ``float32``) and names. `reciprocal`, `square`
and the rest take arrays, scalars or tensors; given no tensor they compute on, and return, plain arrays.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import checked, integers
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.primitive import NONDIFF, elementwise, linear
from ..engine.tensor import Array, Tensor
from ..kernels import masks, special

# ------------------------------------------------------------------------------------------------------------------
# Arithmetic


@linear((lambda g: g, lambda g: g), label="+")
def add(x1: Array, x2: Array) -> Array:
    """x1 + x2. Derivatives: 1 and 1.

    >>> add(Tensor([1.0, 2.0]), 10)
    Tensor([11., 12.])
    """
    return np.add(x1, x2)


@linear((lambda g: g, lambda g: -g), label="-", ordered=True)
def subtract(x1: Array, x2: Array) -> Array:
    """x1 - x2. Derivatives: 1 and -1.

    >>> subtract(Tensor([1.0, 2.0]), 1)
    Tensor([0., 1.])
    """
    return np.subtract(x1, x2)


@elementwise(lambda x2: x2, lambda x1: x1, label="*")
def multiply(x1: Array, x2: Array) -> Array:
    """x1 * x2. Derivatives: x2 and x1.

    >>> multiply(Tensor([1.0, 2.0]), 3)
    Tensor([3., 6.])
    """
    return np.multiply(x1, x2)


def _inverse(x: Any) -> Any:
    if isinstance(x, (int, float)) and not x:  # a number of Python's, which has no infinite result; it stays one, so
        return math.copysign(math.inf, x)  # that float32 stays float32
    return 1 / x


@elementwise(lambda x2: _inverse(x2), lambda x2, y: -y / x2, label="/", domain=((-3, 3), (0.5, 3)), ordered=True)
def divide(x1: Array, x2: Array) -> Array:
    """x1 / x2. Derivatives: 1 / x2 and -x1 / x2².

    >>> divide(Tensor([1.0, 2.0]), 4)
    Tensor([0.25, 0.5 ])
    """
    return np.true_divide(x1, x2)


@linear(lambda g: -g, label="neg")
def negative(x: Array) -> Array:
    """-x. Derivative: -1.

    >>> negative(Tensor([1.0, -2.0]))
    Tensor([-1.,  2.])
    """
    return np.negative(x)


@elementwise(lambda y: -y * y, label="1/x", domain=(0.5, 3))
def reciprocal(x: Array) -> Array:
    """1 / x. Derivative: -1 / x².

    >>> reciprocal(Tensor([2.0, 4.0]))
    Tensor([0.5 , 0.25])
    """
    return np.true_divide(1, x)


def _power_of_base(x1: Array, x2: Array) -> Array:
    if isinstance(x2, (int, float)):
        return 0.0 if x2 == 0 else x2 * pow(x1, x2 - 1)
    known = where(equal(x1, x1), where(equal(x1, 0), 1, x1), 1)
    base = where(equal(x2, 0), known, x1)  # x**0 is constant, also at 0 and NaN, where 0 * x**-1 is NaN
    return x2 * pow(base, x2 - 1)


@elementwise(
    _power_of_base, lambda x1, y: y * log(where(equal(x1, 0), 1, x1)), label="**", flops=10, domain=((0.5, 2), (-2, 3)),
    kinks="0 ** x2 has derivative 0 with respect to x2", ordered=True,
)  # fmt: skip
def pow(x1: Array, x2: Array) -> Array:
    """x1 ** x2. Derivatives: x2 x1^(x2 - 1) and x1^x2 log x1 (0 at x1 = 0).

    >>> pow(Tensor([2.0, 3.0]), 2)
    Tensor([4., 9.])
    """
    if isinstance(x2, int) and x2 < 0:
        x2 = float(x2)  # NumPy refuses negative integer powers of integers
    return np.power(x1, x2)


@elementwise(
    lambda: 0.0, lambda: 0.0, label="//", domain=((-3, 3), (0.5, 3)), kinks="0 at the steps", tie="mean", ordered=True
)
def floor_divide(x1: Array, x2: Array) -> Array:
    """The largest integer not above x1 / x2. Derivatives: 0 (also at the steps).

    >>> floor_divide(Tensor([5.0, -5.0]), 2)
    Tensor([ 2., -3.])
    """
    return np.floor_divide(x1, x2)


@elementwise(
    lambda: 1.0, lambda x1, x2: -floor_divide(x1, x2), label="%", domain=((-3, 3), (0.5, 3)), kinks="1 at the steps",
    tie=("mean", None), ordered=True,
)  # fmt: skip
def remainder(x1: Array, x2: Array) -> Array:
    """x1 - x2 * floor(x1 / x2). Derivatives: 1 and -floor(x1 / x2).

    >>> remainder(Tensor([5.0, -5.0]), 3)
    Tensor([2., 1.])
    """
    return np.remainder(x1, x2)


# ------------------------------------------------------------------------------------------------------------------
# Powers, exponentials, logarithms


@elementwise(lambda x: 2 * x, label="x²")
def square(x: Array) -> Array:
    """x². Derivative: 2 x.

    >>> square(Tensor([1.0, 3.0]))
    Tensor([1., 9.])
    """
    return np.square(x)


@elementwise(lambda y: 0.5 / y, domain=(0.1, 3))
def sqrt(x: Array) -> Array:
    """√x. Derivative: 1 / (2 √x), infinite at 0.

    >>> sqrt(Tensor([4.0, 9.0]))
    Tensor([2., 3.])
    """
    return np.sqrt(x)


@elementwise(lambda y: y, flops=10)
def exp(x: Array) -> Array:
    """eˣ. Derivative: eˣ.

    >>> exp(Tensor([0.0]))
    Tensor([1.])
    """
    return np.exp(x)


@elementwise(lambda y: y + 1, flops=10)
def expm1(x: Array) -> Array:
    """eˣ - 1, exact for small x. Derivative: eˣ.

    >>> expm1(Tensor([0.0]))
    Tensor([0.])
    """
    return np.expm1(x)


@elementwise(lambda x: 1 / x, flops=10, domain=(0.1, 3))
def log(x: Array) -> Array:
    """The natural logarithm. Derivative: 1 / x.

    >>> log(Tensor([1.0]))
    Tensor([0.])
    """
    return np.log(x)


@elementwise(lambda x: 1 / (1 + x), flops=10, domain=(-0.8, 3))
def log1p(x: Array) -> Array:
    """log(1 + x), exact for small x. Derivative: 1 / (1 + x).

    >>> log1p(Tensor([0.0]))
    Tensor([0.])
    """
    return np.log1p(x)


@elementwise(lambda x: 1 / (x * math.log(2)), flops=10, domain=(0.1, 3))
def log2(x: Array) -> Array:
    """The logarithm to base 2. Derivative: 1 / (x log 2).

    >>> log2(Tensor([8.0]))
    Tensor([3.])
    """
    return np.log2(x)


@elementwise(lambda x: 1 / (x * math.log(10)), flops=10, domain=(0.1, 3))
def log10(x: Array) -> Array:
    """The logarithm to base 10. Derivative: 1 / (x log 10).

    >>> log10(Tensor([100.0]))
    Tensor([2.])
    """
    return np.log10(x)


@elementwise(lambda x1, y: exp(x1 - y), lambda x2, y: exp(x2 - y), flops=20)
def logaddexp(x1: Array, x2: Array) -> Array:
    """log(exp x1 + exp x2), without overflow. Derivatives: exp(x1 - y) and exp(x2 - y).

    >>> logaddexp(Tensor([1000.0]), -1000.0)
    Tensor([1000.])
    """
    return np.logaddexp(x1, x2)


@elementwise(lambda x: 2 / math.sqrt(math.pi) * exp(-x * x), flops=20)
def erf(x: Array) -> Array:
    """The error function 2/√π ∫₀ˣ exp(-t²) dt. Derivative: 2/√π exp(-x²). Source: Cody (1969).

    >>> erf(Tensor([0.0]))
    Tensor([0.])
    """
    return special.erf(x)


# ------------------------------------------------------------------------------------------------------------------
# Sign, rounding, bounds


def _direction(x: Any, y: Any) -> Any:
    """x / |x|, and 0 at 0."""
    if x.dtype.kind != "c":
        return _sign(x)
    zero = equal(y, 0)
    return where(zero, 0.0, x / where(zero, 1.0, y))


@elementwise(lambda x, y: _direction(x, y), label="|x|", kinks="0 at x = 0", tie="mean")
def abs(x: Array) -> Array:
    """|x|. Derivative: x / |x|, 0 at 0.

    >>> abs(Tensor([-2.0, 3.0]))
    Tensor([2., 3.])
    """
    return np.abs(x)


@elementwise(lambda: 0.0, kinks="0 at the step", tie="mean")
def _sign(x: Array) -> Array:
    """-1, 0 or 1. Derivative: 0 everywhere."""
    return np.sign(x)


@checked
def sign(x: Array) -> Tensor:
    """-1, 0 or 1; of a complex number x / |x|. Derivative: 0 for real numbers.

    >>> sign(Tensor([-2.0, 0.0, 3.0]))
    Tensor([-1.,  0.,  1.])
    """
    return _direction(x, abs(x)) if np.iscomplexobj(array_of(x)) else _sign(x)


@elementwise(lambda: 0.0, kinks="0 at the steps", tie="mean")
def floor(x: Array) -> Array:
    """The largest integer not above x. Derivative: 0 everywhere.

    >>> floor(Tensor([1.7, -1.2]))
    Tensor([ 1., -2.])
    """
    return np.floor(x)


@elementwise(lambda: 0.0, kinks="0 at the steps", tie="mean")
def ceil(x: Array) -> Array:
    """The smallest integer not below x. Derivative: 0 everywhere.

    >>> ceil(Tensor([1.2, -1.7]))
    Tensor([ 2., -1.])
    """
    return np.ceil(x)


Decimals: TypeAlias = Annotated[int, integers(-400, 400)]  # no number has more


@elementwise(lambda: 0.0, kinks="0 at the steps", tie="mean")
def round(x: Array, decimals: Decimals = 0) -> Array:
    """The nearest integer (or number of so many decimals), halves to even. Derivative: 0 everywhere.

    >>> round(Tensor([1.2, 2.5]))
    Tensor([1., 2.])
    """
    return np.round(x, decimals)


@elementwise(lambda: 0.0, kinks="0 at the steps", tie="mean")
def trunc(x: Array) -> Array:
    """x without its fraction. Derivative: 0 everywhere.

    >>> trunc(Tensor([1.7, -1.7]))
    Tensor([ 1., -1.])
    """
    return np.trunc(x)


@plain
def _greater_share(a: Array, b: Array) -> Array:
    """1 where a > b, 1/2 at ties, 0 elsewhere, as data."""
    share = np.where(np.equal(a, b), 0.5, np.greater(a, b))
    return share.astype(np.result_type(a, b, np.float16))


@elementwise(
    lambda x1, x2: _greater_share(x1, x2), lambda x1, x2: _greater_share(x2, x1), label="max",
    kinks="a tie gives half to each input", tie="mean",
)  # fmt: skip
def maximum(x1: Array, x2: Array) -> Array:
    """The larger of x1 and x2. Derivatives: 1 for the larger, 0 for the other, 1/2 each at a tie.

    >>> maximum(Tensor([1.0, 5.0]), 2.0)
    Tensor([2., 5.])
    """
    return np.maximum(x1, x2)


@elementwise(
    lambda x1, x2: _greater_share(x2, x1), lambda x1, x2: _greater_share(x1, x2), label="min",
    kinks="a tie gives half to each input", tie="mean",
)  # fmt: skip
def minimum(x1: Array, x2: Array) -> Array:
    """The smaller of x1 and x2. Derivatives: 1 for the smaller, 0 for the other, 1/2 each at a tie.

    >>> minimum(Tensor([1.0, 5.0]), 2.0)
    Tensor([1., 2.])
    """
    return np.minimum(x1, x2)


@plain
def _inside(x: Array, min: Any, max: Any) -> Array:
    inside: Any = np.ones(x.shape, bool)
    if min is not None:
        inside = inside & np.greater_equal(x, min)
    return inside if max is None else inside & np.less_equal(x, max)


def _sample_clip(d: Any) -> Any:
    """With both bounds, one, or none; they are where tied values are drawn."""
    (x,), _ = d.plain_sample()
    return (x,), {"min": d.choice((None, -1.0)), "max": d.choice((None, 1.5))}


@elementwise(
    lambda x, min, max: _inside(x, min, max), kinks="1 at the bounds themselves", tie="greatest", samples=_sample_clip
)
def _clip(x: Array, min: Any = None, max: Any = None) -> Array:
    """x limited to [min, max]. Derivative: 1 inside and at the bounds, 0 outside."""
    return np.clip(x, min, max) if min is not None or max is not None else np.array(x)


@plain
def _bound_counts(x: Array, low: Any, high: Any) -> tuple[Array, Array]:
    """Where the result is the lower bound, and where it is the upper one (which wins if the lower is above it)."""
    return np.logical_and(np.less(x, low), np.less_equal(low, high)), np.greater(np.maximum(x, low), high)


@elementwise(
    lambda x, low, high: _inside(x, low, high), lambda x, low, high: _bound_counts(x, low, high)[0],
    lambda x, low, high: _bound_counts(x, low, high)[1], label="clip",
    domain=((-3, 3), (-2, -0.5), (0.5, 2)),  # where all three are equal there is no derivative
    kinks="at a bound, 1 for x and 0 for the bound", tie=("greatest", "least", "least"),
)  # fmt: skip
def _clip_to(x: Array, low: Array, high: Array) -> Array:
    """`clip` with bounds that are followed. Derivatives: 1 for the one of the three that the result is."""
    return np.minimum(np.maximum(x, low), high)


@checked
def clip(x: Array, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max], by NumPy's rules. Derivative: 1 inside and at the bounds, 0 outside, where a bound that
    is followed has derivative 1.

    >>> clip(Tensor([-1.0, 0.5, 2.0]), 0, 1)
    Tensor([0. , 0.5, 1. ])
    >>> import tinygrad_conv as tg
    >>> tg.grad(lambda low: clip(np.array([-1.0, 0.5, 2.0]), low, 1).sum())(0.0)
    Tensor(1.)
    """
    if any(isinstance(bound, Tensor) and bound.requires_grad for bound in (min, max)):
        return _clip_to(x, -math.inf if min is None else min, math.inf if max is None else max)
    return _clip(x, min=_bound(min), max=_bound(max))


def _bound(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float, Tensor)) else np.asarray(value)


def _sample_where(d: Any) -> Any:
    """A condition that picks from either side, and the two sides."""
    (condition, x1, x2), params = d.elementwise_sample(((-3.0, 3.0),) * 3)
    return (condition > 0, x1, x2), params


@linear(
    (NONDIFF, lambda g, condition: where(condition, g, 0), lambda g, condition: where(condition, 0, g)),
    samples=_sample_where, ordered=True,
)  # fmt: skip
def where(condition: Array, x1: Array, x2: Array) -> Array:
    """x1 where the condition holds, x2 elsewhere. Derivatives: the condition, and its opposite.

    The gradient of the branch not taken is exactly 0, but a rule further back multiplies that 0 by its derivative, and
    0 * inf is NaN. So guard the *input* of a function with a pole, not only its output:
    ``where(x > 0, sqrt(where(x > 0, x, 1)), 0)``.

    >>> where(np.array([True, False]), Tensor([1.0, 2.0]), 0.0)
    Tensor([1., 0.])
    """
    return masks.where(condition, x1, x2)


# ------------------------------------------------------------------------------------------------------------------
# Trigonometry


@elementwise(lambda x: cos(x), flops=10)
def sin(x: Array) -> Array:
    """The sine of x in radians. Derivative: cos x.

    >>> sin(Tensor([0.0]))
    Tensor([0.])
    """
    return np.sin(x)


@elementwise(lambda x: -sin(x), flops=10)
def cos(x: Array) -> Array:
    """The cosine of x in radians. Derivative: -sin x.

    >>> cos(Tensor([0.0]))
    Tensor([1.])
    """
    return np.cos(x)


@elementwise(lambda y: 1 + y * y, flops=10, domain=(-1.2, 1.2))
def tan(x: Array) -> Array:
    """The tangent of x in radians. Derivative: 1 + tan² x.

    >>> tan(Tensor([0.0]))
    Tensor([0.])
    """
    return np.tan(x)


def _cosine_of_asin(x: Array) -> Any:
    """√(1 - x²), for complex x on the sheet that arcsin chose."""
    return cos(asin(x)) if x.dtype.kind == "c" else sqrt(1 - x * x)


@elementwise(lambda x: 1 / _cosine_of_asin(x), flops=10, domain=(-0.9, 0.9))
def asin(x: Array) -> Array:
    """The angle in [-π/2, π/2] whose sine is x. Derivative: 1 / √(1 - x²).

    >>> asin(Tensor([0.0]))
    Tensor([0.])
    """
    return np.arcsin(x)


@elementwise(lambda x: -1 / _cosine_of_asin(x), flops=10, domain=(-0.9, 0.9))
def acos(x: Array) -> Array:
    """The angle in [0, π] whose cosine is x. Derivative: -1 / √(1 - x²).

    >>> acos(Tensor([1.0]))
    Tensor([0.])
    """
    return np.arccos(x)


@elementwise(lambda x: 1 / (1 + x * x), flops=10)
def atan(x: Array) -> Array:
    """The angle in (-π/2, π/2) whose tangent is x. Derivative: 1 / (1 + x²).

    >>> atan(Tensor([0.0]))
    Tensor([0.])
    """
    return np.arctan(x)


def _radius_squared(x1: Array, x2: Array) -> Array:
    r2 = x1 * x1 + x2 * x2
    return where(equal(r2, 0), 1.0, r2)


@elementwise(
    lambda x1, x2: x2 / _radius_squared(x1, x2), lambda x1, x2: -(x1 / _radius_squared(x1, x2)), flops=10,
    domain=(0.2, 3), kinks="0 at the origin", ordered=True,
)  # fmt: skip
def atan2(x1: Array, x2: Array) -> Array:
    """The angle in [-π, π] of the point (x2, x1). Derivatives: x2 / r² and -x1 / r², r² = x1² + x2²; 0 at r = 0.

    >>> atan2(Tensor([0.0]), 1.0)
    Tensor([0.])
    """
    return np.arctan2(x1, x2)


@elementwise(lambda x: cosh(x), flops=10)
def sinh(x: Array) -> Array:
    """The hyperbolic sine. Derivative: cosh x.

    >>> sinh(Tensor([0.0]))
    Tensor([0.])
    """
    return np.sinh(x)


@elementwise(lambda x: sinh(x), flops=10)
def cosh(x: Array) -> Array:
    """The hyperbolic cosine. Derivative: sinh x.

    >>> cosh(Tensor([0.0]))
    Tensor([1.])
    """
    return np.cosh(x)


@elementwise(lambda y: 1 - y * y, flops=10)
def tanh(x: Array) -> Array:
    """The hyperbolic tangent. Derivative: 1 - tanh² x.

    >>> tanh(Tensor([0.0]))
    Tensor([0.])
    """
    return np.tanh(x)


# ------------------------------------------------------------------------------------------------------------------
# Comparisons and predicates: plain values


@checked
@plain
def equal(x1: Array, x2: Array) -> Array:
    """x1 == x2, elementwise, as bools without a gradient.

    >>> equal(Tensor([1.0, 2.0]), 2)
    Tensor([False,  True])
    """
    return np.equal(x1, x2)


@checked
@plain
def not_equal(x1: Array, x2: Array) -> Array:
    """x1 != x2, elementwise, as bools without a gradient.

    >>> not_equal(Tensor([1.0, 2.0]), 2)
    Tensor([ True, False])
    """
    return np.not_equal(x1, x2)


@checked
@plain
def less(x1: Array, x2: Array) -> Array:
    """x1 < x2, elementwise, as bools without a gradient.

    >>> less(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([ True, False, False])
    """
    return np.less(x1, x2)


@checked
@plain
def less_equal(x1: Array, x2: Array) -> Array:
    """x1 <= x2, elementwise, as bools without a gradient.

    >>> less_equal(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([ True,  True, False])
    """
    return np.less_equal(x1, x2)


@checked
@plain
def greater(x1: Array, x2: Array) -> Array:
    """x1 > x2, elementwise, as bools without a gradient.

    >>> greater(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([False, False,  True])
    """
    return np.greater(x1, x2)


@checked
@plain
def greater_equal(x1: Array, x2: Array) -> Array:
    """x1 >= x2, elementwise, as bools without a gradient.

    >>> greater_equal(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([False,  True,  True])
    """
    return np.greater_equal(x1, x2)


@checked
@plain
def logical_and(x1: Array, x2: Array) -> Array:
    """Both true, elementwise.

    >>> x = Tensor([-1.0, 0.5, 2.0])
    >>> logical_and(x > 0, x < 1)
    Tensor([False,  True, False])
    """
    return np.logical_and(x1, x2)


@checked
@plain
def logical_or(x1: Array, x2: Array) -> Array:
    """Either true, elementwise.

    >>> x = Tensor([-1.0, 0.5, 2.0])
    >>> logical_or(x < 0, x > 1)
    Tensor([ True, False,  True])
    """
    return np.logical_or(x1, x2)


@checked
@plain
def logical_xor(x1: Array, x2: Array) -> Array:
    """Exactly one true, elementwise.

    >>> logical_xor([True, True, False], Tensor([True, False, False]))
    Tensor([False,  True, False])
    """
    return np.logical_xor(x1, x2)


@checked
@plain
def logical_not(x: Array) -> Array:
    """Not true, elementwise.

    >>> logical_not(Tensor([0.0, 2.0]))
    Tensor([ True, False])
    """
    return np.logical_not(x)


@checked
@plain
def bitwise_and(x1: Array, x2: Array) -> Array:
    """x1 & x2 of integers, bit by bit, or of bools.

    >>> bin(bitwise_and(0b1100, 0b1010))
    '0b1000'
    """
    return np.bitwise_and(x1, x2)


@checked
@plain
def bitwise_or(x1: Array, x2: Array) -> Array:
    """x1 | x2 of integers, bit by bit, or of bools.

    >>> bin(bitwise_or(0b1100, 0b1010))
    '0b1110'
    """
    return np.bitwise_or(x1, x2)


@checked
@plain
def bitwise_xor(x1: Array, x2: Array) -> Array:
    """x1 ^ x2 of integers, bit by bit, or of bools.

    >>> bin(bitwise_xor(0b1100, 0b1010))
    '0b110'
    """
    return np.bitwise_xor(x1, x2)


@checked
@plain
def bitwise_invert(x: Array) -> Array:
    """~x of integers, bit by bit, or of bools.

    >>> bitwise_invert(Tensor([0, 5])), bitwise_invert(Tensor([True]))
    (Tensor([-1, -6]), Tensor([False]))
    """
    return np.invert(x)


@checked
@plain
def isnan(x: Array) -> Array:
    """Is it not a number? Elementwise.

    >>> isnan(Tensor([1.0, np.nan, np.inf]))
    Tensor([False,  True, False])
    """
    return np.isnan(x)


@checked
@plain
def isinf(x: Array) -> Array:
    """Is it infinite? Elementwise.

    >>> isinf(Tensor([1.0, np.nan, -np.inf]))
    Tensor([False, False,  True])
    """
    return np.isinf(x)


@checked
@plain
def isfinite(x: Array) -> Array:
    """Is it neither infinite nor NaN? Elementwise.

    >>> isfinite(Tensor([1.0, np.nan, np.inf]))
    Tensor([ True, False, False])
    """
    return np.isfinite(x)


def root(x: Array) -> Tensor:
    """√x for x >= 0, with derivative 0 instead of infinity at 0: what norms and deviations end in."""
    zero = equal(x, 0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


# By a dtype's character, the dtype in which NumPy's mean adds numbers up, where that is another one.
WIDER: dict[str, Any] = {"e": np.float32, **dict.fromkeys("?bBhHiIlLqQ", np.float64)}


def wide(x: Any) -> Any:
    """An array in the dtype that NumPy's mean adds it up in."""
    x = np.asarray(x)
    wider = WIDER.get(x.dtype.char)
    return x if wider is None else x.astype(wider)


def floats(x: Any) -> Any:
    """An array with integers and bools as NumPy's functions of floats have them (int8 as float16, int64 as float64)."""
    x = np.asarray(x)
    return x if x.dtype.kind not in "iub" else x.astype(np.result_type(x.dtype, np.float16))


def narrow(y: Any, x: Any) -> Any:
    """What was computed with `wide`, in the dtype of x if that was float16."""
    return y.astype(np.float16) if x.dtype.char == "e" else y


__all__ = [
    "abs",
    "acos",
    "add",
    "asin",
    "atan",
    "atan2",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "equal",
    "erf",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "pow",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
]  # fmt: skip
