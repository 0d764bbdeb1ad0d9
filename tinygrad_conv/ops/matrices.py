"""What the decompositions of matrices share: adjoints, triangles, differences of eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.bare import shape_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.tensor import Array
from ..errors import ShapeError
from .complex import conj
from .elementwise import where
from .linalg import tril
from .shape import expand_dims, matrix_transpose


def need_square(what: str, x: Array) -> None:
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{what}: expected square matrices, got shape {shape}")


def need_matrices(what: str, x: Array) -> tuple[int, ...]:
    shape: tuple[int, ...] = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"{what}: expected matrices, got shape {shape}")
    return shape


def eye_like(n: int, like: Any) -> Any:
    return constant(np.eye(n, dtype=like.dtype))


def adjoint(x: Any) -> Any:
    """The conjugate transpose."""
    return conj(matrix_transpose(x))


def pulled(rule: Any, g: Any, *known: Any) -> Any:
    """A rule that is written for gradients as they are: the engine gives and takes their conjugates."""
    return conj(rule(conj(g), *known))


def lower_half(x: Any) -> Any:
    """The lower triangle with half of the diagonal: x = h + hᵀ for symmetric x."""
    return x * constant(np.tril(np.ones(x.shape[-2:], x.dtype)) - np.eye(x.shape[-1], dtype=x.dtype) / 2)


def symmetric(x: Any) -> Any:
    return (x + adjoint(x)) / 2


def lower_mirrored(x: Array, upper: bool = False) -> Any:
    """The symmetric matrix whose lower (or upper) triangle is x's; the other one is not read, as in LAPACK."""
    half = lower_half(tril(adjoint(x) if upper else x))
    return half + adjoint(half)


@plain
def _gaps(w: Array) -> Any:
    """Which differences w_j - w_i are not 0?"""
    return w[..., None, :] != w[..., :, None]


def inverse_gaps(w: Any) -> Any:
    """1 / (w_j - w_i), and 0 where they are equal."""
    apart, gaps = _gaps(w), expand_dims(w, -2) - expand_dims(w, -1)
    return where(apart, 1 / where(apart, gaps, 1), 0)
