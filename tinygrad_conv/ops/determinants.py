"""Determinants, with derivatives at singular matrices too: those are the cofactors, which need no inverse.

Source: M. Giles, "Collected matrix derivative results" (2008), and Jacobi's formula for the cofactors of minors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import checked
from ..engine.bare import array_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.primitive import opaque
from ..engine.tensor import Array, Tensor
from ..kernels import product
from .complex import imag, real
from .elementwise import equal, exp, where
from .indexing import scatter
from .linalg import inv
from .matrices import need_square
from .reductions import sum
from .shape import matrix_transpose


@opaque(
    vjp=lambda g, x: g[..., None, None] * cofactors(x), jvp=lambda t, x: sum(cofactors(x) * t, axis=(-2, -1)),
    samples=lambda d: d.square_sample(),
)  # fmt: skip
def det(x: Array) -> Array:
    """The determinant of square matrices. Derivative: their cofactors.

    >>> det(Tensor([[1.0, 2.0], [3.0, 5.0]])).round()
    Tensor(-1.)
    """
    need_square("det", x)
    return product.quietly(np.linalg.det, x)


def _minors(n: int) -> tuple[Any, Any]:
    """Where in an n by n matrix the elements of its minors (i, j) are: rows and columns, (n, n, n - 1, n - 1) each."""
    least = n - 1 if n else 0
    others = np.array([[k for k in range(n) if k != i] for i in range(n)], np.intp).reshape(n, least)
    return others[:, None, :, None], others[None, :, None, :]


def _signs(n: int, like: Any) -> Any:
    return constant(((-1.0) ** np.add.outer(np.arange(n), np.arange(n))).astype(like.dtype))


def _cofactor_push(t: Any, x: Any) -> Any:
    n = x.shape[-1]
    rows, columns = _minors(n)
    return _signs(n, x) * sum(cofactors(x[..., rows, columns]) * t[..., rows, columns], axis=(-2, -1))


def _cofactor_pull(g: Any, x: Any) -> Any:
    n = x.shape[-1]
    index = (..., *_minors(n))
    weights = g * _signs(n, x)
    return scatter(cofactors(x[index]) * weights[..., None, None], index, x.shape)


@opaque(
    vjp=lambda g, x: _cofactor_pull(g, x), jvp=lambda t, x: _cofactor_push(t, x), samples=lambda d: d.square_sample(),
)  # fmt: skip
def cofactors(x: Array) -> Array:
    """The cofactors of square matrices, det(x) x⁻ᵀ where there is an inverse, and everywhere else too.

    Derivative: the cofactors of the minors.

    >>> cofactors(Tensor([[1.0, 2.0], [3.0, 4.0]])).round(6)
    Tensor([[ 4., -3.],
            [-2.,  1.]])
    """
    u, s, vh = np.linalg.svd(x)
    others = s.copy()
    for k in range(s.shape[-1]):
        others[..., k] = np.prod(np.delete(s, k, axis=-1), axis=-1)
    sign = product.quietly(np.linalg.det, u) * product.quietly(np.linalg.det, vh)
    return product.matmul(np.conj(u) * (others * sign[..., None])[..., None, :], np.conj(vh))


class SlogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


def _signs_and_logarithms(x: Any) -> Any:
    function = np.linalg.slogdet
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # BLAS flags what is in unused lanes
        return function(x)


@plain
def _sign_of_det(x: Array) -> Any:
    return _signs_and_logarithms(x)[0]


@opaque(
    vjp=lambda g, x: g[..., None, None] * matrix_transpose(inv(x)),
    jvp=lambda t, x: sum(matrix_transpose(inv(x)) * t, axis=(-2, -1)), samples=lambda d: d.square_sample(),
)  # fmt: skip
def _log_det(x: Array) -> Array:
    """log |det x|, and for complex x the angle of det x as imaginary part. Derivative: x⁻ᵀ."""
    sign, logarithm = _signs_and_logarithms(x)
    return logarithm + 1j * np.angle(sign) if x.dtype.kind == "c" else logarithm


@checked
def slogdet(x: Array) -> SlogDet:
    """The sign and the logarithm of the size of determinants, without overflow. Derivative of the latter: x⁻ᵀ.

    The sign of a complex determinant has size 1, and turns with its angle.

    >>> slogdet(Tensor([[2.0, 0.0], [0.0, -1.0]]))
    SlogDet(sign=Tensor(-1.), logabsdet=Tensor(0.69314718))
    """
    need_square("slogdet", array_of(x))
    logarithm = _log_det(x)
    if not np.iscomplexobj(array_of(x)):
        return SlogDet(_sign_of_det(x), logarithm)
    return SlogDet(where(equal(_sign_of_det(x), 0), 0, exp(1j * imag(logarithm))), real(logarithm))


__all__ = ["cofactors", "det", "slogdet"]
