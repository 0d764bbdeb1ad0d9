"""The error function, which NumPy lacks."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["erf"]

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
