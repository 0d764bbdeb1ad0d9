"""Decompositions of matrices, in stacks: Cholesky, QR, eigenvectors, singular values, and what is composed of them.

A primitive has one output, so the factors of a decomposition are packed side by side into one array, and cut apart
again.

Where eigenvalues or singular values are equal, their vectors are any basis of a plane and have no derivative: what the
rules would divide by a difference of 0, they leave out. Values that are equal share the gradient as their vectors say.

Sources: M. Giles, "Collected matrix derivative results" (2008); I. Murray, "Differentiation of the Cholesky
decomposition" (2016); S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions" (2010);
J. Townsend, "Differentiating the singular value decomposition" (2016); G. Golub and V. Pereyra, "The differentiation of
pseudo-inverses" (1973).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import Axes, checked
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.primitive import opaque
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import product
from .complex import real, squared_size
from .eigenvalues import eigh
from .elementwise import abs, equal, sign, where
from .indexing import take_along_axis
from .leaving import followed
from .linalg import diagonal, inv, linalg_norm, matmul, solve, tril
from .matrices import (
    adjoint,
    eye_like,
    inverse_gaps,
    lower_half,
    lower_mirrored,
    need_matrices,
    need_square,
    pulled,
    symmetric,
)
from .reductions import max, min, sum
from .shape import astype, concat, expand_dims, matrix_transpose, moveaxis, squeeze

# ------------------------------------------------------------------------------------------------------------------
# Cholesky


def _cholesky_push(t: Any, y: Any) -> Any:
    inner = solve(y, adjoint(solve(y, symmetric(t))))
    return matmul(y, lower_half(inner))


def _cholesky_pull(g: Any, y: Any) -> Any:
    inner = lower_half(matmul(adjoint(y), tril(g)))
    turned = adjoint(y)
    return symmetric(solve(turned, adjoint(solve(turned, adjoint(inner)))))


@opaque(
    vjp=lambda g, y: pulled(_cholesky_pull, g, y), jvp=lambda t, y: _cholesky_push(t, y),
    samples=lambda d: ((_definite(d),), {}),
)  # fmt: skip
def _cholesky(x: Array) -> Array:
    """The lower l with l lᵀ = (x + xᵀ) / 2. Derivative: l Φ(l⁻¹ t l⁻ᵀ), Φ being what is below and half the diagonal."""
    return np.linalg.cholesky((x + np.conj(np.swapaxes(x, -1, -2))) / 2)


def _definite(d: Any) -> Any:
    a = d.well_conditioned(d.integer(1, 3), d.shape(max_ndim=1))
    return product.matmul(a, np.swapaxes(a, -1, -2))


@checked
def cholesky(x: Array, *, upper: bool = False) -> Tensor:
    """The triangular factor of symmetric positive definite matrices, of which one triangle is read: x = l lᵀ.

    Raises ShapeError when a matrix is not square, MatrixError (a `LinAlgError`) when it is not positive definite.

    >>> cholesky(Tensor([[4.0, 2.0], [2.0, 5.0]]))
    Tensor([[2., 0.],
            [1., 2.]])
    """
    need_square("cholesky", x)
    lower = _cholesky(lower_mirrored(x, upper))
    return adjoint(lower) if upper else lower


# ------------------------------------------------------------------------------------------------------------------
# QR


class QR(NamedTuple):
    """Q with orthonormal columns and R upper triangular, x = Q R."""

    Q: Tensor
    R: Tensor


def _cut_qr(y: Any, m: int) -> tuple[Any, Any]:
    return matrix_transpose(y[..., :m]), y[..., m:]


def _qr_push(t: Any, y: Any, m: int) -> Any:
    q, r = _cut_qr(y, m)
    scaled = matrix_transpose(solve(matrix_transpose(r), matrix_transpose(t)))  # t r⁻¹
    inner = matmul(adjoint(q), scaled)
    turn = tril(inner, -1) - adjoint(tril(inner, -1)) + _diagonal_part(inner - real(inner))
    dq = scaled + matmul(q, turn - inner)
    return concat([matrix_transpose(dq), matmul(inner - turn, r)], axis=-1)


def _qr_pull(g: Any, y: Any, m: int) -> Any:
    q, r = _cut_qr(y, m)
    gq, gr = _cut_qr(g, m)
    inner = matmul(r, adjoint(gr)) - matmul(adjoint(gq), q)
    below = tril(inner, -1)
    mirrored = below + adjoint(below) + _diagonal_part(real(inner))
    return adjoint(solve(r, adjoint(gq + matmul(q, mirrored))))


def _diagonal_part(x: Any) -> Any:
    return x * eye_like(x.shape[-1], x)


@opaque(
    vjp=lambda g, y, m: pulled(_qr_pull, g, y, m), jvp=lambda t, y, m: _qr_push(t, y, m),
    samples=lambda d: ((_tall(d),), {"m": 3}),
)  # fmt: skip
def _qr(x: Array, m: int) -> Array:
    """[Qᵀ, R] of matrices with m rows and no more columns. Derivative: see the sources above."""
    q, r = np.linalg.qr(x)
    return np.concatenate([np.swapaxes(q, -1, -2), r], axis=-1)


def _tall(d: Any) -> Any:
    return d.well_conditioned(3, d.shape(max_ndim=1))[..., : d.integer(1, 3)]


@checked
def qr(x: Array, *, mode: str = "reduced") -> Any:
    """The QR decomposition: "reduced" or "complete" (Q, R), or "r", R alone. Of full rank where differentiated.

    Raises ArgumentError for mode "complete" of tall matrices that a gradient follows: what fills Q is arbitrary.

    >>> q, r = qr(Tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> (q @ r).round(6)
    Tensor([[3., 1.],
            [4., 2.]])
    """
    *_, m, n = need_matrices("qr", x)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f'qr: expected mode "reduced", "complete" or "r", got {mode!r}')
    if mode == "complete" and m > n:
        _refuse_filling('qr: expected mode="reduced"', x)
        return QR(*_filled_qr(x))
    k = m if m < n else n
    left = x if k == n else x[..., :k]
    q, r = _cut_qr(_qr(left, m=m), m)
    if k < n:  # the columns behind follow from the first: r = qᵀ x
        r = concat([r, matmul(adjoint(q), x[..., k:])], axis=-1)
    return r if mode == "r" else QR(q, r)


# ------------------------------------------------------------------------------------------------------------------
# Singular values


class SVD(NamedTuple):
    """x = U diag(S) Vh: U's columns and Vh's rows are orthonormal, S descends."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def _cut_svd(y: Any, m: int) -> tuple[Any, Any, Any]:
    """U (m, k), S (k,) and V (n, k), of [Uᵀ, S, Vᴴ]."""
    return matrix_transpose(y[..., :m]), real(y[..., m]), adjoint(y[..., m + 1 :])


def _joined_svd(u: Any, s: Any, v: Any) -> Any:
    return concat([matrix_transpose(u), expand_dims(s, -1), adjoint(v)], axis=-1)


def _per(x: Any, s: Any) -> Any:
    """x diag(1 / s), with 0 for 1 / 0."""
    zero = equal(s, 0)
    return x * expand_dims(where(zero, 0, 1 / where(zero, 1, s)), -2)


def _beyond(u: Any, x: Any) -> Any:
    """The part of x's columns that is orthogonal to all of u's."""
    return x - matmul(u, matmul(adjoint(u), x))


def _svd_push(t: Any, y: Any, m: int) -> Any:
    u, s, v = _cut_svd(y, m)
    f, row, column = inverse_gaps(s * s), expand_dims(s, -2), expand_dims(s, -1)
    tv, tu = matmul(t, v), matmul(adjoint(t), u)
    inner = matmul(adjoint(u), tv)
    turned = adjoint(inner)
    turn = _per(_diagonal_part(inner - real(inner)), 2 * s)  # of complex vectors, whose phases are free: half to each
    du = matmul(u, f * (inner * row + column * turned) + turn) + _per(_beyond(u, tv), s)
    dv = matmul(v, f * (column * inner + turned * row) - turn) + _per(_beyond(v, tu), s)
    return _joined_svd(du, real(diagonal(inner, 0, -2, -1)), dv)


def _svd_pull(g: Any, y: Any, m: int) -> Any:
    u, s, v = _cut_svd(y, m)
    gu, gs, gv = _cut_svd(g, m)
    f, row, column = inverse_gaps(s * s), expand_dims(s, -2), expand_dims(s, -1)
    turned_u, turned_v = matmul(adjoint(u), gu), matmul(adjoint(v), gv)
    turn = turned_u - turned_v
    of_u, of_v = f * turned_u, f * turned_v
    inner = (of_u + adjoint(of_u)) * row + column * (of_v + adjoint(of_v))
    inner = inner + _per(_diagonal_part(turn - real(turn)), 2 * s)
    inner = inner + expand_dims(gs, -1) * eye_like(s.shape[-1], s)
    found = matmul(matmul(u, inner), adjoint(v))
    found = found + matmul(_per(_beyond(u, gu), s), adjoint(v))
    return found + matmul(u, adjoint(_per(_beyond(v, gv), s)))


@opaque(
    vjp=lambda g, y, m: pulled(_svd_pull, g, y, m), jvp=lambda t, y, m: _svd_push(t, y, m),
    samples=lambda d: _svd_sample(d),
)  # fmt: skip
def _svd(x: Array, m: int) -> Array:
    """[Uᵀ, S, Vh] of matrices with m rows. Derivative: S: the diagonal of Uᵀ t V; vectors: see the sources above."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([np.swapaxes(u, -1, -2), s[..., None], vh], axis=-1)


def _svd_sample(d: Any) -> Any:
    """Matrices whose singular values are at least 0.5 apart, and from 0."""
    m, n, batch = d.integer(1, 3), d.integer(1, 3), d.shape(max_ndim=1)
    k = np.minimum(m, n)
    u = np.linalg.qr(d.rng.standard_normal((*batch, m, m)))[0][..., :k]
    v = np.linalg.qr(d.rng.standard_normal((*batch, n, n)))[0][..., :k]
    s = 0.75 * np.arange(k, 0, -1) + d.rng.uniform(-0.1, 0.1, (*batch, k))
    return (product.matmul(u * s[..., None, :], np.swapaxes(v, -1, -2)),), {"m": m}


@checked
def svd(x: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """The singular value decomposition x = U diag(S) Vh; with ``full_matrices=False`` without what only fills U or Vh.

    With `hermitian`, only the lower triangle of x is read, and U are its eigenvectors. Derivative of U and Vh: as in
    `eigh`; vectors of complex matrices turn as little as they can.

    Raises ArgumentError for full matrices of what a gradient follows and is not square: what fills them is arbitrary.

    >>> u, s, vh = svd(Tensor([[3.0, 0.0], [0.0, 2.0]]))
    >>> s
    Tensor([3., 2.])
    """
    *_, m, n = need_matrices("svd", x)
    if hermitian:
        w, u = eigh(x)
        order = _descending(w)
        w, u = take_along_axis(w, order, -1), take_along_axis(u, np.expand_dims(array_of(order), -2), -1)
        return SVD(u, abs(w), adjoint(u * expand_dims(sign(w), -2))) if compute_uv else abs(w)
    if compute_uv and full_matrices and m != n:
        _refuse_filling("svd: expected full_matrices=False", x)
        return SVD(*_filled_svd(x))
    u, s, v = _cut_svd(_svd(x, m=m), m)
    return SVD(u, s, adjoint(v)) if compute_uv else s


@plain
def _descending(w: Array) -> Any:
    return np.argsort(np.absolute(w), axis=-1)[..., ::-1]


@plain
def _filled_svd(x: Array) -> Any:
    return tuple(np.linalg.svd(x))


@plain
def _filled_qr(x: Array) -> Any:
    return tuple(np.linalg.qr(x, "complete"))


def _refuse_filling(what: str, x: Array) -> None:
    if isinstance(x, Tensor) and x.node is not None:
        m, n = x.shape[-2:]
        raise ArgumentError(
            f"{what} for matrices of {m} by {n} that a gradient follows: further vectors are arbitrary, and have no "
            "derivative"
        )


@checked
def svdvals(x: Array) -> Tensor:
    """The singular values, descending. Derivative: u vᵀ for each.

    >>> svdvals(Tensor([[3.0, 0.0], [0.0, 2.0]]))
    Tensor([3., 2.])
    """
    return svd(x, compute_uv=False)


# ------------------------------------------------------------------------------------------------------------------
# Pseudo-inverses, least squares, norms of matrices


def _pinv_push(t: Any, x: Any, y: Any) -> Any:
    turned = adjoint(t)
    first = matmul(matmul(y, adjoint(y)), turned - matmul(matmul(turned, x), y))
    second = matmul(turned - matmul(matmul(y, x), turned), matmul(adjoint(y), y))
    return first + second - matmul(matmul(y, t), y)


def _pinv_pull(g: Any, x: Any, y: Any) -> Any:
    turned, yt = adjoint(g), adjoint(y)
    first = matmul(turned - matmul(matmul(x, y), turned), matmul(y, yt))
    second = matmul(matmul(yt, y), turned - matmul(matmul(turned, y), x))
    return first + second - matmul(matmul(yt, g), yt)


@opaque(
    vjp=lambda g, x, y: pulled(_pinv_pull, g, x, y), jvp=lambda t, x, y: _pinv_push(t, x, y),
    samples=lambda d: (_svd_sample(d)[0], {}),
)  # fmt: skip
def _pinv(x: Array, rcond: Any = None) -> Array:
    """The pseudo-inverse. Derivative, where the rank stays: Golub and Pereyra (1973)."""
    return np.linalg.pinv(x) if rcond is None else np.linalg.pinv(x, rcond)


@checked
def pinv(x: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """The Moore-Penrose pseudo-inverse of matrices; singular values up to `rtol` times the largest count as 0.

    With `hermitian`, only the lower triangle of x is read. Derivative: that of matrices of the same rank.

    >>> pinv(Tensor([[2.0], [0.0]]))
    Tensor([[0.5, 0. ]])
    """
    m, n = need_matrices("pinv", x)[-2:]
    if hermitian:
        x = lower_mirrored(x)
    cut = rcond if rtol is None else rtol
    if cut is not None and followed(x):
        s = np.linalg.svd(array_of(x), compute_uv=False)
        largest = s.max(axis=-1, keepdims=True, initial=0)
        rounding = np.finfo(s.dtype).eps * (m if m > n else n)
        if ((s > rounding * largest) & (s <= np.expand_dims(array_of(cut), -1) * largest)).any():
            raise ArgumentError(
                f"pinv: expected a rtol that cuts off zeros only, as the derivative is for one rank, got {cut}; use "
                f"rtol={rounding:.0e}, or x.detach()"
            )
    return _pinv(x, rcond=cut)


@checked
def lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Tensor, Tensor, Any, Tensor]:
    """Least squares: x of the smallest |a x - b|, then the sums of squares left, the rank, and a's singular values.

    >>> lstsq(Tensor([[1.0], [1.0]]), Tensor([1.0, 3.0]))[0]
    Tensor([2.])
    """
    shapes = need_matrices("lstsq", a), shape_of(b)
    (m, n) = shapes[0][-2:]
    if len(shapes[0]) != 2 or len(shapes[1]) not in (1, 2) or shapes[1][0] != m:
        raise ShapeError(f"lstsq: expected a (M, N) and b (M,) or (M, K), got {shapes[0]} and {shapes[1]}")
    s = svdvals(a)
    dtype = np.result_type(array_of(s), np.asarray(array_of(b)).real.dtype)
    s = astype(s, dtype)
    least = np.finfo(dtype).eps * (m if m > n else n) if rcond is None else rcond
    if not 0 < least < 1:
        least = np.finfo(dtype).eps  # as LAPACK reads it
    values = s.numpy() if isinstance(s, Tensor) else s
    rank = np.int32((values > least * values.max(initial=0)).sum())  # as LAPACK counts
    columns = b if len(shapes[1]) == 2 else expand_dims(b, 1)
    x = matmul(pinv(a, least), columns)
    rest = columns - matmul(a, x)
    left: Any = sum(squared_size(rest), axis=0) if rank == n and m > n else constant(np.zeros(0, dtype))
    return x if len(shapes[1]) == 2 else squeeze(x, 1), left, rank, s


@checked
def matrix_norm(x: Array, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of matrices: "fro", "nuc" (sum of singular values), 2 and -2 (largest and smallest), 1, -1, inf, -inf.

    >>> matrix_norm(Tensor([[3.0, 0.0], [0.0, 2.0]]), ord=2)
    Tensor(3.)
    """
    need_matrices("matrix_norm", x)
    if np.asarray(array_of(x)).dtype.kind in "biu":
        x = astype(x, np.float64)
    if ord in (None, "fro"):
        return linalg_norm(x, axis=(-2, -1), keepdims=keepdims)
    extreme: Any = min if isinstance(ord, (int, float)) and ord < 0 else max
    if ord in (1, -1, np.inf, -np.inf):
        sums = sum(abs(x), axis=-2 if ord in (1, -1) else -1)
    elif ord in (2, -2, "nuc"):
        sums, extreme = svdvals(x), sum if ord == "nuc" else extreme
    else:
        raise ArgumentError(f"matrix_norm: expected ord 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    y = extreme(sums, axis=-1)
    return expand_dims(y, (-2, -1)) if keepdims else y


@checked
def norm(x: Array, ord: Any = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """`numpy.linalg.norm`: of all elements, of vectors along one axis, or of matrices in two axes.

    >>> norm(Tensor([[3.0, 0.0], [0.0, 2.0]]), 2)
    Tensor(3.)
    """
    ndim = np.ndim(array_of(x))
    axes = np.lib.array_utils.normalize_axis_tuple(tuple(range(ndim)) if axis is None else axis, ndim)
    if (ord is None and axis is None) or (len(axes) == 1 and not isinstance(ord, str)):
        return linalg_norm(x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ArgumentError(f"norm: expected one axis or two for ord={ord!r}, got shape {shape_of(x)}, axis={axis}")
    y = matrix_norm(moveaxis(x, axes, (-2, -1)), ord=ord)
    return expand_dims(y, tuple(sorted(axes))) if keepdims else y


@checked
def cond(x: Array, p: Any = None) -> Tensor:
    """The condition number of matrices: the norm times that of the inverse; with p None or 2, largest / smallest S.

    >>> cond(Tensor([[4.0, 0.0], [0.0, 2.0]]))
    Tensor(2.)
    """
    need_matrices("cond", x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return matrix_norm(x, ord=p) * matrix_norm(inv(x), ord=p)


@checked
@plain
def matrix_rank(x: Array, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values are above `tol`, or `rtol` times the largest, as integers without a gradient.

    >>> matrix_rank(Tensor([[1.0, 2.0], [2.0, 4.0]]))
    Tensor(1)
    """
    return np.linalg.matrix_rank(x, tol=tol, hermitian=hermitian, rtol=rtol)


__all__ = [
    "cholesky", "cond", "lstsq", "matrix_norm", "matrix_rank", "norm", "pinv", "qr", "svd",
    "svdvals",
]  # fmt: skip
