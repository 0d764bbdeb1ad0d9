"""Polynomials as vectors of coefficients, the highest power first: NumPy's names, composed.

How many coefficients a result has may depend on which are 0 (leading zeros are dropped); that is data, without a
gradient.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from ..arguments import Count, checked
from ..arguments.kinds import integers
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .calculus import convolve
from .complex import conj, real
from .decompositions import lstsq
from .eigenvalues import eigen
from .elementwise import sqrt
from .indexing import getitem
from .joining import atleast_1d, looked_at
from .leaving import followed
from .linalg import inv, matmul, outer
from .reductions import prod, sum
from .shape import Arrays, astype, concat, expand_dims, flip, matrix_transpose, reshape, stack


def _vector(what: str, p: Any) -> Any:
    """Coefficients as a tensor or array with one axis."""
    p = atleast_1d(p)
    if np.ndim(array_of(p)) != 1:
        raise ShapeError(f"{what}: expected coefficients as a vector, got shape {shape_of(p)}")
    return p


def _zeros(n: int, dtype: Any) -> Any:
    return constant(np.zeros(n, dtype))


def _trimmed(p: Any) -> Any:
    """Without leading zeros; [0] of zeros alone."""
    p = _vector("polymul", p)
    places = np.flatnonzero(looked_at("polymul", p))
    return p[int(places[0]) :] if places.size else p[-1:] * 0 if p.shape[0] else _zeros(1, p.dtype)


# ------------------------------------------------------------------------------------------------------------------
# Values


@checked
def polyval(p: Array, x: Array) -> Tensor:
    """The polynomial with coefficients p, the highest power first, at x (Horner's rule).

    >>> polyval([1.0, 0.0, 2.0], Tensor(3.0))
    Tensor(11.)
    """
    coefficients = p if isinstance(p, Tensor) else np.asarray(p)
    if not coefficients.shape[0]:
        return x * False
    y: Any = np.zeros_like(array_of(x))
    for k in range(coefficients.shape[0]):
        y = y * x + coefficients[k]
    return y


@checked
def polyvalnd(points: Arrays, c: Array) -> Tensor:
    """The polynomial Σ c_ijk... x^i y^j z^k ... at points (x, y, z, ...) of one shape, the lowest powers first.

    >>> polyvalnd([Tensor([2.0]), Tensor([3.0])], [[1.0, 0.0], [0.0, 1.0]])
    Tensor([7.])
    """
    points = [x if isinstance(x, Tensor) else np.asarray(x) for x in points]
    shapes = {x.shape for x in points}
    if len(shapes) != 1:
        raise ShapeError(f"polyvalnd: expected points of one shape, got {sorted(shapes) or 'none'}")
    y = _ascending(c, points[0], apart=True)
    for x in points[1:]:
        y = _ascending(y, x, apart=False)
    return y


@checked
def polygrid2d(x: Array, y: Array, c: Array) -> Tensor:
    """The polynomial Σ c_ij x^i y^j at all pairs of x and y, the lowest powers first.

    >>> polygrid2d(Tensor([1.0, 2.0]), Tensor([1.0, 10.0]), [[0.0, 1.0], [1.0, 0.0]])
    Tensor([[ 2., 11.],
            [ 3., 12.]])
    """
    return _ascending(_ascending(c, x, apart=True), y, apart=True)


def _ascending(c: Any, x: Any, apart: bool) -> Any:
    """Σ c_k x^k; `apart`, for each of c's other elements at each x, else with c's other axes as those of x."""
    c, x = c if isinstance(c, Tensor) else np.asarray(c), np.asarray(x) if isinstance(x, (list, tuple)) else x
    if not c.ndim or not c.shape[0]:
        raise ShapeError(f"polynomial: expected at least one coefficient, got shape {c.shape}")
    if apart:
        c = reshape(c, (*c.shape, *(1,) * np.ndim(array_of(x))))
    y = c[-1] + x * 0
    for k in range(c.shape[0] - 2, -1, -1):
        y = c[k] + y * x
    return y


@checked
def vander(x: Array, N: Count | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector as columns, the highest first.

    >>> vander(Tensor([2.0, 3.0]), 3)
    Tensor([[4., 2., 1.],
            [9., 3., 1.]])
    """
    shape = shape_of(x)
    if len(shape) != 1:
        raise ShapeError(f"vander: expected a vector, got shape {shape}")
    n = shape[0] if N is None else N
    x = astype(x, np.result_type(array_of(x), np.int_))  # as NumPy does
    columns: list[Any] = [x * 0 + 1]
    while len(columns) < n:
        columns.append(columns[-1] * x)
    powers = stack(columns, axis=1)[:, :n]
    return powers if increasing else flip(powers, 1)


# ------------------------------------------------------------------------------------------------------------------
# Arithmetic


def _aligned(what: str, a1: Array, a2: Array) -> tuple[Any, Any]:
    """Both with as many coefficients."""
    a, b = _vector(what, a1), _vector(what, a2)
    short = a.shape[0] - b.shape[0]
    if short > 0:
        b = concat([_zeros(short, b.dtype), b])
    elif short < 0:
        a = concat([_zeros(-short, a.dtype), a])
    return a, b


@checked
def polyadd(a1: Array, a2: Array) -> Tensor:
    """The sum of two polynomials.

    >>> polyadd(Tensor([1.0, 2.0]), [3.0])
    Tensor([1., 5.])
    """
    a, b = _aligned("polyadd", a1, a2)
    return a + b


@checked
def polysub(a1: Array, a2: Array) -> Tensor:
    """The difference of two polynomials.

    >>> polysub(Tensor([1.0, 2.0]), [3.0])
    Tensor([ 1., -1.])
    """
    a, b = _aligned("polysub", a1, a2)
    return a - b


@checked
def polymul(a1: Array, a2: Array) -> Tensor:
    """The product of two polynomials, without leading zeros.

    >>> polymul(Tensor([1.0, 1.0]), [1.0, -1.0])
    Tensor([ 1.,  0., -1.])
    """
    return convolve(_trimmed(a1), _trimmed(a2))


@checked
def polydiv(u: Array, v: Array) -> tuple[Tensor, Tensor]:
    """The quotient and the remainder of two polynomials.

    >>> polydiv(Tensor([1.0, 0.0, -1.0]), [1.0, 1.0])
    (Tensor([ 1., -1.]), Tensor([0.]))
    """
    rest, v = _vector("polydiv", u) + 0.0, _vector("polydiv", v) + 0.0
    dtype, scale = np.result_type(rest.dtype, v.dtype), 1 / v[0]
    rest, n = astype(rest, dtype), v.shape[0]
    found: list[Any] = []
    for k in range(rest.shape[0] - n + 1):
        share = scale * rest[k]
        found.append(expand_dims(share, 0))
        rest = concat([rest[:k], rest[k : k + n] - share * v, rest[k + n :]])
    values = looked_at("polydiv", rest)
    start = 0
    while start < rest.shape[0] - 1 and np.allclose(values[start], 0, rtol=1e-14):
        start += 1
    return concat(found) if found else _zeros(1, dtype), rest[start:]


@checked
def polyder(p: Array, m: Count = 1) -> Tensor:
    """The m-th derivative of a polynomial.

    >>> polyder(Tensor([1.0, 2.0, 3.0]))
    Tensor([2., 2.])
    """
    p = _vector("polyder", p)
    for _ in range(min(m, p.shape[0] + 1)):  # then nothing is left
        p = p[:-1] * constant(np.arange(p.shape[0] - 1, 0, -1))
    return p


@checked
def polyint(p: Array, m: Annotated[int, integers(0, 1000)] = 1, k: Array | None = None) -> Tensor:
    """The m-th antiderivative (m up to 1,000) of a polynomial; k are the constants of integration, 0 if not given.

    >>> polyint(Tensor([2.0, 2.0]))
    Tensor([1., 2., 0.])
    """
    p = _vector("polyint", p)
    constants: Any = np.zeros(m) if k is None else atleast_1d(k)
    if constants.shape[0] == 1 < m:
        constants = concat([constants] * m)
    if constants.shape[0] < m:
        raise ShapeError(f"polyint: expected one constant or {m}, got {constants.shape[0]}")
    for step in range(m):
        p = concat([p / constant(np.arange(p.shape[0], 0, -1)), constants[step : step + 1]])
    return p


# ------------------------------------------------------------------------------------------------------------------
# Roots and fits


@checked
def roots(p: Array) -> Tensor:
    """The roots of a polynomial, as eigenvalues of its companion matrix. Derivative: -xᵏ / p'(x) for the factor of xᵏ.

    That is infinite as roots come together, and left out between roots that are equal. Raises ArgumentError for zeros
    in front while a gradient follows.

    >>> roots(Tensor([1.0, -3.0, 2.0]))
    Tensor([2., 1.])
    """
    p = _vector("roots", p)
    places = np.flatnonzero(looked_at("roots", p))
    if not places.size:
        return astype(real(p[:0]), np.float64)
    if places[0] and followed(p):
        raise ArgumentError(
            f"roots: expected a first factor that is not 0 while a gradient follows, got {places[0]} of 0 in front; "
            f"their change would give further roots; use p[{places[0]}:]"
        )
    p = p[int(places[0]) :]
    zeros = p.shape[0] - 1 - int(places[-1] - places[0])
    if zeros and followed(p):
        return _roots_of_all(p)
    p = p[: p.shape[0] - zeros]
    if p.shape[0] == 1:
        return concat([real(p[:0]), _zeros(zeros, np.float64)])
    found = _companion_roots(p)
    return concat([found, _zeros(zeros, found.dtype)])


def _companion_roots(p: Any) -> Any:
    p = p if p.dtype.kind in "fc" else astype(p, np.float64)
    n = p.shape[0] - 1
    below = constant(np.eye(n - 1, n, dtype=p.dtype))
    return eigen(concat([expand_dims(-p[1:] / p[0], 0), below])).eigenvalues


def _roots_of_all(p: Any) -> Any:
    """The roots of what a gradient follows and has roots 0, which change with its last factors, in NumPy's order."""
    wanted, found = np.roots(array_of(p)), _companion_roots(p)
    found = getitem(found, np.abs(array_of(found) - wanted[:, None]).argmin(1))
    return astype(found if np.iscomplexobj(wanted) else real(found), wanted.dtype)


@checked
def poly(roots: Array) -> Tensor:
    """The polynomial that has these roots, or whose roots are the eigenvalues of a square matrix; leading factor 1.

    >>> poly(Tensor([1.0, 2.0]))
    Tensor([ 1., -3.,  2.])
    """
    zeros: Any = atleast_1d(roots)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] > 0:
        zeros = eigen(zeros).eigenvalues
    elif zeros.ndim != 1:
        raise ShapeError(f"poly: expected a vector of roots or a square matrix, got shape {zeros.shape}")
    if not zeros.shape[0]:
        return prod(zeros)
    zeros = astype(zeros, np.dtype(np.mintypecode(zeros.dtype.char)))  # float64 for what NumPy cannot solve with
    found: Any = constant(np.ones(1, zeros.dtype))
    for k in range(zeros.shape[0]):
        found = convolve(found, stack([constant(np.ones((), zeros.dtype)), -zeros[k]]))
    if np.iscomplexobj(array_of(found)):
        values = np.asarray(looked_at("poly", zeros), complex)
        if np.all(np.sort(values) == np.sort(values.conj())):  # conjugate pairs
            return real(found)
    return found


@checked
def polyfit(
    x: Array, y: Array, deg: Count, rcond: float | None = None, full: bool = False, w: Array | None = None,
    cov: Any = False,
) -> Any:  # fmt: skip
    """The polynomial of a degree that fits points (x, y) best: the sum of squares of w (p(x) - y) is least.

    With `full`, also what else `lstsq` gives, and rcond; with `cov` (True or "unscaled"), also the covariance of the
    coefficients.

    >>> polyfit(np.array([0.0, 1.0, 2.0]), Tensor([1.0, 3.0, 5.0]), 1).round(6)
    Tensor([2., 1.])
    """
    x, y = (v + 0.0 if isinstance(v, Tensor) else np.asarray(v) + 0.0 for v in (x, y))
    if x.ndim != 1 or not x.shape[0] or y.ndim not in (1, 2) or y.shape[:1] != x.shape:
        raise ShapeError(f"polyfit: expected x (M,) and y (M,) or (M, K), got {x.shape} and {y.shape}")
    least = x.shape[0] * np.finfo(x.dtype).eps if rcond is None else rcond
    left, right = vander(x, deg + 1), y
    if w is not None:
        if shape_of(w) != x.shape:
            raise ShapeError(f"polyfit: expected one weight for each of {x.shape} points, got {shape_of(w)}")
        left = left * reshape(w, (-1, 1))
        right = right * reshape(w, (-1, *(1,) * (y.ndim - 1)))
    scale = sqrt(sum(left * conj(left), axis=0))
    found, residuals, rank, s = lstsq(left / scale, right, least)
    found = found / reshape(scale, (-1, *(1,) * (y.ndim - 1)))
    if full:
        return found, residuals, rank, s, least
    if not cov:
        return found
    scaled = left / scale
    base = inv(matmul(matrix_transpose(scaled), scaled)) / outer(scale, scale)
    if cov == "unscaled":
        factor: Any = 1
    elif x.shape[0] > deg + 1:
        factor = residuals / (x.shape[0] - deg - 1)
    else:
        raise ArgumentError(
            f'polyfit: expected more than {deg + 1} points with cov=True, got {x.shape[0]}; use cov="unscaled"'
        )
    return found, base * factor if y.ndim == 1 else expand_dims(base, -1) * factor


__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polygrid2d", "polyint", "polymul", "polysub", "polyval",
    "polyvalnd", "roots", "vander",
]  # fmt: skip
