"""Normalisation, dropout and embedding. One primitive, `standardize`, serves the four norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import Axes as Axis
from ..arguments import Fraction, NonNegative, Size, Sizes, as_array, checked
from ..engine.bare import array_of, shape_of
from ..engine.modes import MODE, effect, is_grad_enabled
from ..engine.plain import plain
from ..engine.primitive import opaque
from ..engine.tensor import Array, Tensor, wrap
from ..errors import ArgumentError, ShapeError
from ..kernels import registry as kernels
from ..kernels.spatial import divisors
from .elementwise import add, divide, multiply, sqrt
from .indexing import take
from .reductions import normalize_axes, var
from .shape import astype, copy, reshape, sum_to

Axes = tuple[int, ...]


def _all_but_last(x: Any, axes: Axes) -> bool:
    """Are these the axes for which there are kernels?"""
    return axes == tuple(range(x.ndim - 1)) != ()


@plain
def _statistics(x: Any, axes: Axes) -> tuple[Any, Any]:
    """Mean and variance over axes, axes kept."""
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    if _all_but_last(x, axes):
        mean, variance = kernels.moments(x)
        return mean.reshape(kept), variance.reshape(kept)
    n = x.dtype.type(math.prod(x.shape[k] for k in axes))
    mean = sum_to(x, kept) / n
    centred = x - mean
    return mean, sum_to(centred * centred, kept) / n


def _inverse_std(x: Array, axes: Axes, epsilon: float, statistics: Any) -> Array:
    """1/√(var + ε): from the statistics that forward used, or from x where it is followed."""
    if isinstance(x, Tensor) and is_grad_enabled():
        return 1 / sqrt(var(x, axis=axes, keepdims=True) + epsilon)
    variance = statistics[1] if statistics is not None else _statistics(x, axes)[1]
    return divide(1, sqrt(add(variance, x.dtype.type(epsilon))))


def _project(g: Array, x: Array, y: Array, axes: Axes, epsilon: float, statistics: Any) -> Array:
    """The Jacobian of `standardize`, which is symmetric: r (g - mean(g) - y mean(g y))."""
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    n = math.prod(x.shape[k] for k in axes)
    r = _inverse_std(x, axes, epsilon, statistics)
    if _all_but_last(x, axes) and not (is_grad_enabled() and any(isinstance(a, Tensor) for a in (g, y, r))):
        return _standardize_grad(g, y, r)
    return r * (g - sum_to(g, kept) / n - y * (sum_to(g * y, kept) / n))


@plain
def _standardize_grad(g: Any, y: Any, r: Any) -> Any:
    return kernels.standardize_grad(g, y, r.reshape(-1))


@opaque(
    vjp=lambda g, x, y, axes, epsilon, statistics: _project(g, x, y, axes, epsilon, statistics),
    jvp=lambda t, x, y, axes, epsilon, statistics: _project(t, x, y, axes, epsilon, statistics),
    flops=8, samples=lambda d: d.standardize_sample(),
)  # fmt: skip
def _standardize(x: Array, axes: Axes, epsilon: float, statistics: Any = None) -> Array:
    """(x - mean) / √(var + ε) over axes. A primitive for speed: two passes, and a rule of its own.

    Derivative: (1 - 1/n - y yᵀ/n) / √(var + ε), a symmetric matrix.
    """
    return standardized(x, axes, epsilon, statistics)


def standardized(x: Any, axes: Axes, epsilon: float, statistics: Any = None, *, out: Any = None) -> Any:
    """`_standardize`, into `out` if that is given."""
    mean, variance = _statistics(x, axes) if statistics is None else statistics
    scale = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    if _all_but_last(x, axes):
        return kernels.standardize(x, mean.reshape(-1), scale.reshape(-1), out=out)
    centred = np.subtract(x, mean, out)
    return np.multiply(centred, scale, centred)


@checked
def standardize(x: Array, axis: Axis = -1, epsilon: NonNegative = 1e-3) -> Tensor:
    """Mean 0 and variance 1 over axes: (x - mean) / √(var + epsilon).

    Derivative: (1 - 1/n - y yᵀ/n) / √(var + epsilon). Source: Ioffe & Szegedy (2015).

    >>> standardize(Tensor([-1.0, 1.0]), epsilon=0.0)
    Tensor([-1.,  1.])
    """
    y, _ = _standardized("standardize", x, normalize_axes(axis, np.ndim(array_of(x))), epsilon)
    return y


def _standardized(what: str, x: Array, axes: Axes, epsilon: float) -> tuple[Tensor, Any]:
    raw = as_array(array_of(x), what)
    if raw.dtype.kind != "f":
        raise ArgumentError(f"{what}: expected floating-point x, got dtype {raw.dtype}; convert with astype('float32')")
    if not math.prod(raw.shape[k] for k in axes):
        raise ShapeError(f"{what}: expected at least one element to normalise over, got x {raw.shape}")
    source: Any = x if isinstance(x, Tensor) else raw
    if raw.dtype.char == "e":  # whose sums run over, and whose squares; the statistics stay float32
        y, statistics = _standardized(what, astype(source, np.float32), axes, epsilon)
        return astype(y, np.float16), statistics
    statistics = tuple(map(array_of, _statistics(source, axes)))
    return _standardize(source, axes=axes, epsilon=epsilon, statistics=statistics), statistics


def _affine(what: str, y: Array, gamma: Array | None, beta: Array | None) -> Tensor:
    """y * gamma + beta, one of each per channel (or left out)."""
    channels = shape_of(y)[-1]
    for name, value in (("gamma", gamma), ("beta", beta)):
        if value is not None and shape_of(value) != (channels,):
            raise ShapeError(f"{what}: expected {name} of shape ({channels},), one per channel, got {shape_of(value)}")
    if gamma is not None:
        y = y * gamma
    return y if beta is None else y + beta


@checked
def batch_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, mean: Array | None = None,
    var: Array | None = None, epsilon: NonNegative = 1e-3,
) -> Any:  # fmt: skip
    """Each channel (last axis) to mean 0 and variance 1, then scaled by gamma and shifted by beta.

    Parameters
    ----------
    x : (N, ..., C)
    gamma, beta : (C,), optional
    mean, var : (C,), optional
        Given statistics, as at inference. Without them the batch's own are used.

    Returns
    -------
    y with given statistics; ``(y, mean, var)`` without, the statistics as plain arrays (C,).

    Source: Ioffe & Szegedy, "Batch normalization" (2015).

    >>> y, mean, var = batch_norm(Tensor([[1.0], [3.0]]), epsilon=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    ndim = np.ndim(array_of(x))
    if ndim < 2:
        raise ShapeError(f"batch_norm: expected x (N, ..., C), got shape {shape_of(x)}")
    if (mean is None) != (var is None):
        raise ArgumentError("batch_norm: expected both mean and var, or neither")
    if mean is not None:
        mean, var = (v if isinstance(v, Tensor) else as_array(v, "batch_norm", array_of(x).dtype) for v in (mean, var))
        scale = 1 / sqrt(var + epsilon)
        return _affine("batch_norm", (x - mean) * scale, gamma, beta)
    y, (batch_mean, batch_var) = _standardized("batch_norm", x, tuple(range(ndim - 1)), epsilon)
    statistics = (copy(reshape(s, (-1,))) for s in (batch_mean, batch_var))
    return _affine("batch_norm", y, gamma, beta), *(s if s.dtype == y.dtype else astype(s, y.dtype) for s in statistics)


@checked
def layer_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, axis: Axis = -1, epsilon: NonNegative = 1e-3
) -> Tensor:
    """Each example to mean 0 and variance 1 over `axis`, then gamma and beta per channel. Source: Ba et al. (2016).

    >>> layer_norm(Tensor([[1.0, 3.0]]), epsilon=0.0)
    Tensor([[-1.,  1.]])
    """
    y, _ = _standardized("layer_norm", x, normalize_axes(axis, np.ndim(array_of(x))), epsilon)
    return _affine("layer_norm", y, gamma, beta)


@checked
def group_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, groups: Size = 1, epsilon: NonNegative = 1e-3
) -> Tensor:
    """Each example's groups of channels to mean 0 and variance 1. Source: Wu & He (2018).

    >>> group_norm(Tensor([[1.0, 3.0, 10.0, 10.0]]), groups=2, epsilon=0.0001).shape
    (1, 4)
    """
    shape = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"group_norm: expected x (N, ..., C), got shape {shape}")
    if shape[-1] % groups:
        fits = divisors(shape[-1])
        raise ArgumentError(f"group_norm: expected groups that divide {shape[-1]} channels, got {groups}; use {fits}")
    apart = reshape(x, (*shape[:-1], groups, shape[-1] // groups))  # (N, ..., G, C/G)
    axes = (*range(1, len(shape) - 1), len(shape))
    y, _ = _standardized("group_norm", apart, axes, epsilon)
    return _affine("group_norm", reshape(y, shape), gamma, beta)


@checked
def instance_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: NonNegative = 1e-3
) -> Tensor:
    """Each example's channels to mean 0 and variance 1 over space. Source: Ulyanov et al. (2016).

    >>> instance_norm(Tensor([[[1.0], [3.0]]]), epsilon=0.0).tolist()
    [[[-1.0], [1.0]]]
    """
    ndim = np.ndim(array_of(x))
    if ndim < 3:
        raise ShapeError(f"instance_norm: expected x (N, spatial..., C), got shape {shape_of(x)}")
    y, _ = _standardized("instance_norm", x, tuple(range(1, ndim - 1)), epsilon)
    return _affine("instance_norm", y, gamma, beta)


@checked
def dropout(x: Array, rate: Fraction, rng: np.random.Generator, noise_shape: Sizes | None = None) -> Tensor:
    """Each element is 0 with probability `rate`, else divided by 1 - rate. Derivative: the same mask.

    `noise_shape` is the mask's shape, where it is not that of x: along an axis where it has 1, elements are dropped
    together; None stands for x's own size. Source: Srivastava et al. (2014). Call it in training only.

    Raises ArgumentError for a rate outside [0, 1), ShapeError for a `noise_shape` that does not spread over x.

    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, np.random.default_rng(0)).tolist()
    [2.0, 2.0, 2.0, 0.0]
    """
    if rate == 0:
        return x
    used = MODE.get().generators
    if used is not None and id(rng) not in used:
        used[id(rng)] = (rng, rng.bit_generator.state)
    raw = array_of(x)
    kept = _kept(rng, _mask_shape(np.shape(raw), noise_shape), rate)  # a byte per element is all that backward needs
    scale = np.result_type(raw, np.float16).type(1 / (1 - rate))
    return multiply(x, wrap(kept, None) if isinstance(x, Tensor) else kept) * scale


def _mask_shape(shape: tuple[int, ...], noise_shape: tuple[int | None, ...] | None) -> tuple[int, ...]:
    if noise_shape is None:
        return shape
    if len(noise_shape) == len(shape):
        sizes = tuple(n if size is None else size for n, size in zip(shape, noise_shape, strict=True))
        if all(size in (1, n) for n, size in zip(shape, sizes, strict=True)):
            return sizes
    raise ShapeError(
        f"dropout: expected noise_shape with 1, None or x's size for each axis of x {shape}, got {tuple(noise_shape)}"
    )


@effect
def _kept(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> Any:
    """Which elements stay. An effect, for the generator moves on."""
    return rng.random(shape, dtype=np.float32) >= rate


@checked
def embedding(indices: Array, table: Array) -> Tensor:
    """The rows of a table (V, D) at integer indices (...): an array (..., D). Derivative: row by row, adding up.

    Raises ArgumentError for an index out of range.

    >>> embedding([1, 0], Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[3., 4.],
            [1., 2.]])
    """
    shape = shape_of(table)
    if len(shape) != 2:
        raise ShapeError(f"embedding: expected a table (V, D), got shape {shape}")
    _check_rows(indices, shape)
    return take(table, indices, axis=0)


@plain
def _check_rows(indices: Any, shape: tuple[int, ...]) -> None:
    index = np.asarray(indices)
    wrong = index[(index < 0) | (index >= shape[0])]
    if wrong.size:
        raise ArgumentError(
            f"embedding: expected indices from 0 to {shape[0] - 1}, got {wrong[0]} (table {shape}); make the table "
            "larger, or renumber"
        )


__all__ = [
    "batch_norm", "dropout", "embedding", "group_norm", "instance_norm", "layer_norm", "standardize",
]  # fmt: skip
