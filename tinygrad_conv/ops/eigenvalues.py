"""Eigenvalues and eigenvectors of square matrices, in stacks: symmetric ones and any.

Where eigenvalues are equal, their vectors are any basis of a plane and have no derivative: what the rules would divide
by a difference of 0, they leave out. A matrix without a full set of vectors (a Jordan block) has no derivative at all:
the rules raise as for a singular matrix, or give what rounding leaves.

Sources: M. Giles, "Collected matrix derivative results" (2008); C. Boeddeker et al., "On the computation of
complex-valued gradients with application to statistically optimum beamforming" (2017).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from ..arguments import checked, one_of
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.primitive import opaque
from ..engine.tensor import Array, Tensor
from ..kernels import product
from .complex import conj, imag, real
from .indexing import scatter, take_along_axis
from .linalg import diagonal, matmul, solve
from .matrices import (
    adjoint,
    eye_like,
    inverse_gaps,
    lower_mirrored,
    need_square,
    pulled,
    symmetric,
)
from .reductions import sum
from .shape import concat, expand_dims

# ------------------------------------------------------------------------------------------------------------------
# Symmetric matrices


class Eigh(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _eigh_push(t: Any, y: Any) -> Any:
    v, w = y[..., :-1], real(y[..., -1])
    inner = matmul(matmul(adjoint(v), symmetric(t)), v)
    dv = matmul(v, inverse_gaps(w) * inner)
    return concat([dv, expand_dims(real(diagonal(inner, 0, -2, -1)), -1)], axis=-1)


def _eigh_pull(g: Any, y: Any) -> Any:
    v, w = y[..., :-1], real(y[..., -1])
    gv, gw = g[..., :-1], real(g[..., -1])
    inner = inverse_gaps(w) * matmul(adjoint(v), gv)
    inner = inner + expand_dims(gw, -1) * eye_like(v.shape[-1], v)
    return symmetric(matmul(matmul(v, inner), adjoint(v)))


@opaque(
    vjp=lambda g, y: pulled(_eigh_pull, g, y), jvp=lambda t, y: _eigh_push(t, y),
    samples=lambda d: ((_separate(d),), {"UPLO": d.choice(["L", "U"])}),
)  # fmt: skip
def _eigh(x: Array, UPLO: str = "L") -> Array:
    """[V, w] of (x + xᵀ) / 2. Derivatives: w: the diagonal of Vᵀ t V; V: V (F ∘ Vᵀ t V), F_ij = 1 / (w_j - w_i)."""
    w, v = np.linalg.eigh((x + np.conj(np.swapaxes(x, -1, -2))) / 2, UPLO)  # type: ignore[call-overload]
    return np.concatenate([v, w[..., None]], axis=-1)


def _separate(d: Any) -> Any:
    """Symmetric matrices whose eigenvalues are at least 1 apart."""
    n, batch = d.integer(1, 3), d.shape(max_ndim=1)
    q = np.linalg.qr(d.rng.standard_normal((*batch, n, n)))[0]
    values = np.arange(n) * 1.5 + d.rng.uniform(-0.25, 0.25, (*batch, n))
    return product.matmul(q * values[..., None, :], np.swapaxes(q, -1, -2))


@checked
def eigh(x: Array, UPLO: Annotated[str, one_of("L", "U", "l", "u")] = "L") -> Eigh:
    """Eigenvalues and eigenvectors of symmetric matrices, of which the lower triangle is read (the upper with "U").

    Derivative of vectors: infinite as eigenvalues come together; between equal ones it is left out. The angles of
    complex vectors are arbitrary: they turn as little as they can.

    >>> eigh(Tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues
    Tensor([1., 2.])
    """
    need_square("eigh", x)
    y = _eigh(lower_mirrored(x, UPLO in "Uu"), UPLO=UPLO.upper())
    return Eigh(real(y[..., -1]), y[..., :-1])


@checked
def eigvalsh(x: Array, UPLO: Annotated[str, one_of("L", "U", "l", "u")] = "L") -> Tensor:
    """The eigenvalues of symmetric matrices in ascending order. Derivative: v vᵀ for each.

    >>> eigvalsh(Tensor([[2.0, 0.0], [0.0, 1.0]]))
    Tensor([1., 2.])
    """
    return eigh(x, UPLO).eigenvalues


# ------------------------------------------------------------------------------------------------------------------
# Any matrices


class Eig(NamedTuple):
    """Eigenvalues, and eigenvectors as columns: x V = V diag(w)."""

    eigenvalues: Tensor
    eigenvectors: Tensor


@plain
def _largest(v: Array) -> Any:
    """In which row the largest element of each column is."""
    return np.argmax(np.abs(v), axis=-2, keepdims=True) if v.size else np.zeros((*v.shape[:-2], 1, v.shape[-1]), int)


def _eig_push(t: Any, y: Any) -> Any:
    v, w = y[..., :-1], y[..., -1]
    inner = solve(v, matmul(t, v))
    dv = matmul(v, inverse_gaps(w) * inner)
    # A vector's length is 1 and its largest element real: what would change that is taken off, along the vector.
    longer = real(sum(conj(v) * dv, axis=-2, keepdims=True))
    place = _largest(v)
    turned = imag(take_along_axis(dv, place, -2) / take_along_axis(v, place, -2))
    return concat([dv - v * (longer + 1j * turned), expand_dims(diagonal(inner, 0, -2, -1), -1)], axis=-1)


def _eig_pull(g: Any, y: Any) -> Any:
    v, w = y[..., :-1], y[..., -1]
    gv, gw = g[..., :-1], g[..., -1]
    share = sum(conj(gv) * v, axis=-2, keepdims=True)
    place = _largest(v)
    rest = gv - v * real(share) + _placed(1j * imag(share) / take_along_axis(v, place, -2), place, v)
    inner = inverse_gaps(conj(w)) * matmul(adjoint(v), rest) + expand_dims(gw, -2) * eye_like(v.shape[-1], v)
    turned = adjoint(v)
    return solve(turned, matmul(inner, turned))


def _placed(values: Any, place: Any, like: Any) -> Any:
    """Zeros like `like` but for one value in each column, in the row that `place` says."""
    grids = np.indices((*like.shape[:-2], 1, like.shape[-1]), sparse=True)
    return scatter(values, (*grids[:-2], array_of(place), grids[-1]), like.shape)


@opaque(
    vjp=lambda g, y: pulled(_eig_pull, g, y), jvp=lambda t, y: _eig_push(t, y), samples=lambda d: ((_apart(d),), {}),
)  # fmt: skip
def _eig(x: Array) -> Array:
    """[V, w], complex. Derivatives: w: the diagonal of P = V⁻¹ t V; V: V (F ∘ P), F_ij = 1 / (w_j - w_i), less what
    changes the length 1 of vectors and the angle 0 of their largest elements.
    """
    w, v = np.linalg.eig(x)
    y = np.concatenate([v, w[..., None]], axis=-1)
    return y.astype(np.result_type(y, np.complex64))


def _apart(d: Any) -> Any:
    """Matrices whose eigenvalues are about 1.5 apart, and whose vectors are not nearly parallel."""
    n, batch = d.integer(1, 3), d.shape(max_ndim=1)
    v = np.eye(n) + d.rng.uniform(-0.3, 0.3, (*batch, n, n))
    values = np.arange(n) * 1.5 + d.rng.uniform(-0.25, 0.25, (*batch, n))
    return product.matmul(v * values[..., None, :], np.linalg.inv(v))


_ALWAYS_COMPLEX = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 5)


@checked
def eig(x: Array) -> Eig:
    """Eigenvalues and eigenvectors (columns of length 1) of square matrices.

    Complex; as in NumPy before 2.5, real under such a NumPy where all eigenvalues are.

    Derivatives are those of vectors as LAPACK scales them: of length 1, the largest element real. They are infinite as
    eigenvalues come together; between equal ones they are left out.

    Raises ShapeError for matrices that are not square.

    >>> eig(Tensor([[2.0, 1.0], [0.0, 1.0]])).eigenvalues.real
    Tensor([2., 1.])
    """
    return eigen(x, _ALWAYS_COMPLEX)


def eigen(x: Array, always_complex: bool = False) -> Eig:
    """`eig`, real where all eigenvalues are unless that is not wanted."""
    need_square("eig", x)
    y = _eig(x)
    v, w = y[..., :-1], y[..., -1]
    if always_complex or np.iscomplexobj(array_of(x)) or _turns(w):
        return Eig(w, v)
    return Eig(real(w), real(v))


@plain
def _has_imaginary(w: Array) -> Any:
    return np.any(w.imag)


def _turns(w: Array) -> bool:
    """Is one of the eigenvalues of a real matrix complex? This decides a dtype, so a compiled step is told."""
    return bool(_has_imaginary(w))


@checked
def eigvals(x: Array) -> Tensor:
    """The eigenvalues of square matrices, of the dtype that `eig` gives. Derivative: the diagonal of V⁻¹ t V.

    >>> eigvals(Tensor([[0.0, 1.0], [-1.0, 0.0]])).imag
    Tensor([ 1., -1.])
    """
    return eig(x).eigenvalues


__all__ = ["eig", "eigh", "eigvals", "eigvalsh"]
