"""Special functions that NumPy lacks: the error function, derivatives of sinc, modified Bessel functions."""

from __future__ import annotations

from math import factorial, pi
from typing import Any

import numpy as np

__all__ = ["bessel_i", "erf", "sinc"]

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969): numerator and
# denominator coefficients, lowest power first, on |x| <= 0.46875, 0.46875 < |x| <= 4, and |x| > 4.
_P1 = (3.209377589138469472562e3, 3.774852376853020208137e2, 1.138641541510501556495e2, 3.161123743870565596947e0,
       1.857777061846031526730e-1)  # fmt: skip
_Q1 = (2.844236833439170622273e3, 1.282616526077372275645e3, 2.440246379344441733056e2, 2.360129095234412093499e1, 1.0)
_P2 = (1.23033935479799725272e3, 2.05107837782607146532e3, 1.71204761263407058314e3, 8.81952221241769090411e2,
       2.98635138197400131132e2, 6.61191906371416294775e1, 8.88314979438837594118e0, 5.64188496988670089180e-1,
       2.15311535474403846343e-8)  # fmt: skip
_Q2 = (1.23033935480374942043e3, 3.43936767414372163696e3, 4.36261909014324715820e3, 3.29079923573345962678e3,
       1.62138957456669018874e3, 5.37181101862009857509e2, 1.17693950891312499305e2, 1.57449261107098347253e1,
       1.0)  # fmt: skip
_P3 = (-6.58749161529837803157e-4, -1.60837851487422766278e-2, -1.25781726111229246204e-1,
       -3.60344899949804439429e-1, -3.05326634961232344035e-1, -1.63153871373020978498e-2)  # fmt: skip
_Q3 = (2.33520497626869185443e-3, 6.05183413124413191178e-2, 5.27905102951428412248e-1, 1.87295284992346725209e0,
       2.56852019228982242072e0, 1.0)  # fmt: skip
_RSQRT_PI = 5.6418958354775628695e-1


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    out = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        out *= x
        out += c
    return out


def erf(x: Any) -> Any:
    """The error function, within 2 units in the last place of float64 (computed in float64, returned in x's dtype).

    >>> round(float(erf(np.array(1.0))), 14)
    0.84270079294971
    """
    given = np.asarray(x)
    z = np.abs(given.astype(np.float64, copy=False))
    out = np.empty_like(z)
    small = z <= 0.46875
    s = z[small]
    out[small] = s * _polynomial(s * s, _P1) / _polynomial(s * s, _Q1)
    middle = (z > 0.46875) & (z <= 4.0)
    m = z[middle]
    out[middle] = 1.0 - np.exp(-m * m) * _polynomial(m, _P2) / _polynomial(m, _Q2)
    large = z > 4.0
    t = np.minimum(z[large], 6.0)  # erf(6) is 1 to the last bit
    r = 1.0 / (t * t)
    out[large] = 1.0 - np.exp(-t * t) / t * (_RSQRT_PI + r * _polynomial(r, _P3) / _polynomial(r, _Q3))
    out[np.isnan(z)] = np.nan
    dtype = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
    return np.copysign(out, given).astype(dtype, copy=False)


def _float_of(x: Any) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind in "fc" else np.dtype(np.float64)


def sinc(x: Any, n: int = 0) -> Any:
    """The n-th derivative of sin(π x) / (π x).

    Up to |x| = 1 by its power series; beyond by deriving ``x y = sin(π x) / π`` n times, which gives each derivative
    from the one before: ``x y⁽ⁿ⁾ + n y⁽ⁿ⁻¹⁾ = πⁿ⁻¹ sin(π x + n π/2)``.

    >>> float(sinc(np.array(0.0), 2)), -np.pi**2 / 3
    (-3.289868133696453, -3.289868133696453)
    """
    given = np.asarray(x)
    if n == 0 and given.dtype.char != "e":  # for which NumPy 2.0 has no value at 0
        return np.sinc(given)
    z = given.astype(np.complex128 if given.dtype.kind == "c" else np.float64, copy=False)
    near, far = np.where(np.abs(z) <= 1, z, 0.0), np.where(np.abs(z) <= 1, 1.0, z)
    series = np.zeros_like(z)
    for k in range(-(-n // 2), n // 2 + 20):
        series += (-1) ** k * pi ** (2 * k) / ((2 * k + 1) * factorial(2 * k - n)) * near ** (2 * k - n)
    y = np.sinc(far)
    for m in range(1, n + 1):
        y = (pi ** (m - 1) * np.sin(pi * far + m * pi / 2) - m * y) / far
    return np.where(np.abs(z) <= 1, series, y).astype(_float_of(given), copy=False)


_ANGLES = 256  # enough for every x whose Bessel function is finite: what is left out is exp(-_ANGLES² / (2 x)) of it


def bessel_i(x: Any, n: int = 0) -> Any:
    """The modified Bessel function of the first kind I_n, n an integer.

    By ``I_n(x) = 1/π ∫₀^π exp(x cos t) cos(n t) dt``, of which the trapezoidal rule is exact to rounding, because the
    integrand is periodic (L. N. Trefethen and J. A. C. Weideman, SIAM Review 56, 2014).

    >>> float(bessel_i(np.array(0.0), 1)), round(float(bessel_i(np.array(1.0), 1)), 12)
    (0.0, 0.565159103992)
    """
    given = np.asarray(x)
    if n == 0:
        return np.i0(given).astype(_float_of(given), copy=False)
    z = given.astype(np.float64, copy=False)
    size, total = np.abs(z), np.zeros_like(z)
    for k in range(_ANGLES // 2 + 1):  # the integrand is even, so each angle but 0 and π stands for two
        angle, count = 2 * pi * k / _ANGLES, 1 if k in (0, _ANGLES // 2) else 2
        total += count * np.exp(z * np.cos(angle) - size) * np.cos(n * angle)
    half = np.exp(size / 2)  # twice, because exp(size) may overflow where the result does not
    y = total / _ANGLES * half * half
    return np.where(z == 0, 0.0, y).astype(_float_of(given), copy=False)
