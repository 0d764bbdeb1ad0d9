"""Further functions of one and of two numbers, which `elementwise` has no room for: NumPy's names, one block each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import checked
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.primitive import NONDIFF, elementwise, linear
from ..engine.tensor import Array, Tensor
from ..kernels import special
from .elementwise import equal, floor_divide, greater, isnan, remainder, sqrt, trunc, where

# ------------------------------------------------------------------------------------------------------------------
# Powers, roots, logarithms


@elementwise(lambda y: y * math.log(2), flops=10)
def exp2(x: Array) -> Array:
    """2ˣ. Derivative: 2ˣ log 2.

    >>> exp2(Tensor([3.0]))
    Tensor([8.])
    """
    return np.exp2(x)


@elementwise(lambda y: 1 / (3 * y * y), flops=10, domain=(0.3, 3), label="∛")
def cbrt(x: Array) -> Array:
    """The cube root, also of negative numbers. Derivative: 1 / (3 y²), infinite at 0.

    >>> cbrt(Tensor([-8.0]))
    Tensor([-2.])
    """
    return np.cbrt(x)


@elementwise(lambda x1, y: exp2(x1 - y), lambda x2, y: exp2(x2 - y), flops=20)
def logaddexp2(x1: Array, x2: Array) -> Array:
    """log₂(2^x1 + 2^x2), without overflow. Derivatives: 2^(x1 - y) and 2^(x2 - y).

    >>> logaddexp2(Tensor([1.0]), 1.0)
    Tensor([2.])
    """
    return np.logaddexp2(x1, x2)


@checked
def float_power(x1: Array, x2: Array) -> Tensor:
    """x1 ** x2 in float64 at least, so that integers may have negative powers.

    >>> float_power([2, 4], Tensor([-1.0]))
    Tensor([0.5 , 0.25])
    """
    wide = np.result_type(np.asarray(array_of(x1)), np.asarray(array_of(x2)), np.float64)
    return _cast(x1, wide) ** _cast(x2, wide)


def _cast(x: Array, dtype: Any) -> Any:
    return x.astype(dtype) if isinstance(x, Tensor) else np.asarray(x, dtype)


def resolved(ufunc: np.ufunc, *inputs: Any, dtype: Any = None, casting: Any = "same_kind") -> tuple[np.dtype[Any], ...]:
    """The dtypes in which NumPy's ufunc takes these inputs, and gives its results. Raises TypeError as it does.

    >>> resolved(np.fabs, Tensor([1, 2]))
    (dtype('float64'), dtype('float64'))
    """
    given = [type(v) if type(v) in (int, float, complex) else np.asarray(array_of(v)).dtype for v in inputs]
    asked = (*(None,) * ufunc.nin, *(None if dtype is None else np.dtype(dtype),) * ufunc.nout)
    return ufunc.resolve_dtypes((*given, *(None,) * ufunc.nout), signature=asked, casting=casting)


def as_taken(ufunc: np.ufunc, *inputs: Array) -> list[Any]:
    """The inputs in the dtypes in which NumPy's ufunc takes them: integers as floats, where it is of floats only."""
    return [_cast(x, dtype) for x, dtype in zip(inputs, resolved(ufunc, *inputs), strict=False)]


def _hypotenuse(y: Array) -> Any:
    return where(equal(y, 0), 1.0, y)


@elementwise(
    lambda x1, y: x1 / _hypotenuse(y), lambda x2, y: x2 / _hypotenuse(y), flops=4, domain=(0.2, 3),
    kinks="0 at the origin",
)  # fmt: skip
def hypot(x1: Array, x2: Array) -> Array:
    """√(x1² + x2²), without overflow. Derivatives: x1 / y and x2 / y; 0 at the origin.

    >>> hypot(Tensor([3.0]), 4.0)
    Tensor([5.])
    """
    return np.hypot(x1, x2)


# ------------------------------------------------------------------------------------------------------------------
# Angles


@elementwise(lambda x: 1 / sqrt(x * x + 1) if x.dtype.kind == "c" else 1 / hypot(x, 1.0), flops=20)
def asinh(x: Array) -> Array:
    """The inverse hyperbolic sine. Derivative: 1 / √(x² + 1).

    >>> asinh(Tensor([0.0]))
    Tensor([0.])
    """
    return np.arcsinh(x)


@elementwise(lambda x: 1 / ((x - 1) ** 0.5 * (x + 1) ** 0.5), flops=20, domain=(1.3, 3))
def acosh(x: Array) -> Array:
    """The inverse hyperbolic cosine, of x >= 1. Derivative: 1 / √(x² - 1), infinite at 1.

    >>> acosh(Tensor([1.0]))
    Tensor([0.])
    """
    return np.arccosh(x)


@elementwise(lambda x: 1 / ((1 - x) * (1 + x)), flops=20, domain=(-0.8, 0.8))
def atanh(x: Array) -> Array:
    """The inverse hyperbolic tangent, of |x| <= 1. Derivative: 1 / (1 - x²), infinite at -1 and 1.

    >>> atanh(Tensor([0.0]))
    Tensor([0.])
    """
    return np.arctanh(x)


@linear(lambda g: deg2rad(g))
def deg2rad(x: Array) -> Array:
    """Degrees as radians: x π / 180. Derivative: π / 180.

    >>> deg2rad(Tensor([180.0]))
    Tensor([3.14159265])
    """
    return np.deg2rad(x)


@linear(lambda g: rad2deg(g))
def rad2deg(x: Array) -> Array:
    """Radians as degrees: x 180 / π. Derivative: 180 / π.

    >>> rad2deg(Tensor([np.pi]))
    Tensor([180.])
    """
    return np.rad2deg(x)


@elementwise(lambda x, n: _sinc(x, n=n + 1), flops=20)
def _sinc(x: Array, n: int = 0) -> Array:
    """The n-th derivative of sin(π x) / (π x). Derivative: the next one, so the family is closed."""
    return special.sinc(np.asarray(x), n)


@checked
def sinc(x: Array) -> Tensor:
    """sin(π x) / (π x), and 1 at 0. Derivative: (cos(π x) - y) / x, and 0 at 0.

    >>> sinc(Tensor([0.0, 0.5])).round(4)
    Tensor([1.    , 0.6366])
    """
    return _sinc(x)


@elementwise(lambda x, n: (_bessel_i(x, n=n - 1) + _bessel_i(x, n=n + 1)) / 2, flops=100)
def _bessel_i(x: Array, n: int = 0) -> Array:
    """The modified Bessel function I_n. Derivative: (I_(n-1) + I_(n+1)) / 2, so the family is closed."""
    return special.bessel_i(np.asarray(x), n)


@checked
def i0(x: Array) -> Tensor:
    """The modified Bessel function of order 0. Derivative: I₁(x).

    >>> i0(Tensor([0.0]))
    Tensor([1.])
    """
    return _bessel_i(x)


# ------------------------------------------------------------------------------------------------------------------
# Pieces


@plain
def _number_share(a: Array, b: Array, largest: bool) -> Array:
    """1 where a is chosen by `fmax` (or `fmin`), 1/2 at ties, 0 elsewhere: a NaN is never chosen before a number."""
    better = np.greater(a, b) if largest else np.less(a, b)
    share = np.where(np.equal(a, b), 0.5, better | (np.isnan(b) & ~np.isnan(a)))
    share = np.where(np.isnan(a) & np.isnan(b), 0.5, share)
    return share.astype(np.result_type(a, b, np.float16))


@elementwise(
    lambda x1, x2: _number_share(x1, x2, True), lambda x1, x2: _number_share(x2, x1, True),
    kinks="a tie gives half to each input", tie="mean",
)  # fmt: skip
def fmax(x1: Array, x2: Array) -> Array:
    """The larger of x1 and x2, or the one that is not NaN. Derivatives: 1 for the one taken, 1/2 each at a tie.

    >>> fmax(Tensor([1.0, np.nan]), 2.0)
    Tensor([2., 2.])
    """
    return np.fmax(x1, x2)


@elementwise(
    lambda x1, x2: _number_share(x1, x2, False), lambda x1, x2: _number_share(x2, x1, False),
    kinks="a tie gives half to each input", tie="mean",
)  # fmt: skip
def fmin(x1: Array, x2: Array) -> Array:
    """The smaller of x1 and x2, or the one that is not NaN. Derivatives: 1 for the one taken, 1/2 each at a tie.

    >>> fmin(Tensor([1.0, np.nan]), 2.0)
    Tensor([1., 2.])
    """
    return np.fmin(x1, x2)


@elementwise(
    lambda: 1.0, lambda x1, x2: -_towards_zero(x1, x2), domain=((-3, 3), (0.5, 3)), kinks="1 at the steps",
    tie=("mean", None), ordered=True,
)  # fmt: skip
def fmod(x1: Array, x2: Array) -> Array:
    """x1 - x2 * trunc(x1 / x2): the remainder with the sign of x1. Derivatives: 1 and -trunc(x1 / x2).

    >>> fmod(Tensor([5.0, -5.0]), 3)
    Tensor([ 2., -2.])
    """
    return np.fmod(x1, x2)


@plain
def _towards_zero(x1: Array, x2: Array) -> Array:
    return np.rint((x1 - np.fmod(x1, x2)) / x2)


@plain
def _signs_agree(x1: Array, x2: Array) -> Array:
    """1 where the signs agree, -1 where they do not."""
    return np.where(np.signbit(x1) == np.signbit(x2), 1, -1).astype(np.result_type(x1, x2, np.float16))


@elementwise(
    lambda x1, x2: where(equal(x1, 0), 0.0, _signs_agree(x1, x2)), lambda: 0.0,
    kinks="0 where x1 is 0; 0 by x2", tie=("mean", "mean"), ordered=True,
)  # fmt: skip
def copysign(x1: Array, x2: Array) -> Array:
    """|x1| with the sign of x2. Derivatives: 1 or -1 (0 at x1 = 0), and 0.

    >>> copysign(Tensor([1.0, 2.0]), [-1.0, 1.0])
    Tensor([-1.,  2.])
    """
    return np.copysign(x1, x2)


@checked
def heaviside(x1: Array, x2: Array) -> Tensor:
    """0 for x1 < 0, x2 at 0, 1 for x1 > 0. Derivatives: 0, and 1 by x2 where x1 is 0.

    >>> heaviside(Tensor([-1.0, 0.0, 2.0]), 0.5)
    Tensor([0. , 0.5, 1. ])
    """
    x1, x2 = as_taken(np.heaviside, x1, x2)
    step = _cast(greater(x1, 0), x1.dtype)
    return where(isnan(x1), x1, where(equal(x1, 0), x2, step))


@linear(
    (lambda g, x2: ldexp(g, x2), NONDIFF), jvp=(lambda t, x2: ldexp(t, x2), NONDIFF),
    samples=lambda d: ((d.array((2, 3)), d.rng.integers(-3, 4, (3,))), {}), ordered=True,
)  # fmt: skip
def ldexp(x1: Array, x2: Array) -> Array:
    """x1 * 2^x2, x2 integers that are data. Derivative: 2^x2.

    >>> ldexp(Tensor([1.5]), 2)
    Tensor([6.])
    """
    return np.ldexp(x1, x2)


@plain
def _exponent(x: Array) -> Any:
    return np.frexp(x)[1]


@checked
def frexp(x: Array) -> tuple[Tensor, Tensor]:
    """x as y * 2^n, y in [0.5, 1) but for its sign: y, and n as data. Derivative of y: 2^-n.

    >>> frexp(Tensor([6.0]))
    (Tensor([0.75]), Tensor([3], dtype=int32))
    """
    n = _exponent(x)
    return ldexp(x, -n), n


@elementwise(lambda: 0.0, kinks="0 at the steps", tie="mean")
def rint(x: Array) -> Array:
    """The nearest integer, halves to even. Derivative: 0.

    >>> rint(Tensor([1.5, 2.5]))
    Tensor([2., 2.])
    """
    return np.rint(x)


@elementwise(lambda: 1.0, lambda: 0.0, ordered=True)
def nextafter(x1: Array, x2: Array) -> Array:
    """The number next to x1 on the way to x2. Derivatives: 1 and 0.

    >>> nextafter(Tensor([1.0]), 2.0) > 1
    Tensor([ True])
    """
    return np.nextafter(x1, x2)


@checked
@plain
def signbit(x: Array) -> Any:
    """Is there a minus before it, be it of 0 or of NaN? Elementwise, without a gradient.

    >>> signbit(Tensor([-1.0, -0.0, 0.0]))
    Tensor([ True,  True, False])
    """
    return np.signbit(x)


@checked
@plain
def bitwise_left_shift(x1: Array, x2: Array) -> Any:
    """The bits of integers x1 moved to the left by x2 places, without a gradient.

    >>> bitwise_left_shift(Tensor([1, 3]), 2)
    Tensor([ 4, 12])
    """
    return np.left_shift(x1, x2)


@checked
@plain
def bitwise_right_shift(x1: Array, x2: Array) -> Any:
    """The bits of integers x1 moved to the right by x2 places, without a gradient.

    >>> bitwise_right_shift(Tensor([4, 13]), 2)
    Tensor([1, 3])
    """
    return np.right_shift(x1, x2)


@checked
def divmod(x1: Array, x2: Array) -> tuple[Tensor, Tensor]:
    """`floor_divide` and `remainder` together.

    >>> divmod(Tensor([5.0]), 3.0)
    (Tensor([1.]), Tensor([2.]))
    """
    return floor_divide(x1, x2), remainder(x1, x2)


@checked
def modf(x: Array) -> tuple[Tensor, Tensor]:
    """The part behind the point, and the whole part, both with x's sign. Derivatives: 1 and 0.

    >>> modf(Tensor([1.5, -1.5]))
    (Tensor([ 0.5, -0.5]), Tensor([ 1., -1.]))
    """
    (x,) = as_taken(np.modf, x)
    return fmod(x, 1.0), trunc(x)


__all__ = [
    "acosh", "asinh", "atanh", "bitwise_left_shift", "bitwise_right_shift", "cbrt", "copysign", "deg2rad", "divmod",
    "exp2", "float_power", "fmax", "fmin", "fmod", "frexp", "heaviside", "hypot", "i0", "ldexp", "logaddexp2", "modf",
    "nextafter", "rad2deg", "rint", "signbit", "sinc",
]  # fmt: skip
