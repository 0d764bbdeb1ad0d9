"""Reductions along axes, with NumPy's `axis` and `keepdims`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import Axes, DType, checked
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.primitive import linear, opaque
from ..engine.tensor import Array, Tensor
from .complex import squared_size
from .elementwise import WIDER, equal, exp, isnan, logical_and, logical_or, multiply, narrow, root, where, wide
from .shape import astype, broadcast_to, concat, flip, permute_dims, reshape

Axis = Axes


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes that a reduction goes over, as sorted numbers from 0. Raises as NumPy for one that is not there.

    A number has an axis 0 here, as for NumPy's own reductions.
    """
    if not ndim and axis in (0, -1):
        return ()
    return tuple(range(ndim)) if axis is None else tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, ndim)))


def _keep(g: Array, x_shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Array:
    """A reduced array with the reduced axes back as size 1."""
    if keepdims or axis is None:
        return g
    axes = normalize_axes(axis, len(x_shape))
    return reshape(g, tuple(1 if k in axes else n for k, n in enumerate(x_shape)))


_total: Any = np.add.reduce


@linear(
    lambda g, x_shape, axis, keepdims: broadcast_to(_keep(g, x_shape, axis, keepdims), x_shape), label="Σ",
    samples=lambda d: d.reduction_sample(),
)  # fmt: skip
def sum(x: Array, axis: Axis = None, keepdims: bool = False, *, dtype: DType | None = None) -> Array:
    """The sum over axes, added up in a dtype if one is given. Derivative: 1 for every element.

    >>> sum(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    Tensor([4., 6.])
    """
    return _total(x, axis, dtype, None, keepdims)


@checked
def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The average over axes, of float16 added up in float32 and of integers in float64. Derivative: 1/n everywhere.

    >>> mean(Tensor([1.0, 2.0, 6.0]))
    Tensor(3.)
    """
    char = np.asarray(array_of(x)).dtype.char
    wider = WIDER.get(char)
    total = sum(x if wider is None else astype(x, wider), axis=axis, keepdims=keepdims) / _count(x, axis)
    return total if char != "e" else astype(total, np.float16)


def _count(x: Array, axis: Axis) -> int:
    shape = shape_of(x)
    return math.prod(shape if axis is None else [shape[k] for k in normalize_axes(axis, len(shape))])


@checked
def prod(x: Array, axis: Axis = None, keepdims: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The product over axes, multiplied pairwise (in a dtype if one is given).

    Derivative: the product of all the others (exact with zeros too).

    >>> prod(Tensor([2.0, 3.0, 4.0]))
    Tensor(24.)
    """
    shape = shape_of(x)
    axes = normalize_axes(axis, len(shape))
    kept = tuple(k for k in range(len(shape)) if k not in axes)
    n = _count(x, axis)
    x = _as_numpy_multiplies(x) if dtype is None else astype(x, dtype)
    rows = reshape(permute_dims(x, (*axes, *kept)), (n, *(shape[k] for k in kept)))
    if n == 0:
        rows = concat([rows, constant(np.ones((1, *rows.shape[1:]), rows.dtype))])
    rows = halved(multiply, rows)
    return reshape(rows, tuple(1 if k in axes else n for k, n in enumerate(shape)) if keepdims else rows.shape[1:])


def halved(combine: Callable[[Any, Any], Any], rows: Any) -> Any:
    """One row of all, combined in pairs, which takes log n operations."""
    while rows.shape[0] > 1:
        half = rows.shape[0] // 2
        pairs = combine(rows[:half], rows[half : 2 * half])
        rows = concat([pairs, rows[2 * half :]]) if rows.shape[0] % 2 else pairs
    return rows


def _as_numpy_multiplies(x: Array) -> Array:
    """Small integers and bools as NumPy's integers, which do not run over as soon."""
    dtype = np.asarray(array_of(x)).dtype
    wanted = np.multiply.reduce(np.ones(0, dtype)).dtype
    return x if wanted == dtype else astype(x, wanted)


@plain
def _tie_share(x: Array, y: Array, axis: Axis, keepdims: bool) -> Any:
    """1/m at each of the m elements that equal their extreme, as data."""
    y = _keep(y, x.shape, axis, keepdims)
    hit = logical_or(equal(x, y), logical_and(isnan(x), isnan(y)))
    return (hit / np.sum(hit, axis=axis, keepdims=True)).astype(x.dtype)


_EXTREME: Any = {
    "vjp": lambda g, x, y, axis, keepdims: _keep(g, x.shape, axis, keepdims) * _tie_share(x, y, axis, keepdims),
    "jvp": lambda t, x, y, axis, keepdims: sum(t * _tie_share(x, y, axis, keepdims), axis=axis, keepdims=keepdims),
    "kinks": "m tied extremes get 1/m each",
    "tie": "share",
    "samples": lambda d: d.reduction_sample(nonempty=True),
}


@opaque(**_EXTREME)
def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest element over axes. Derivative: 1 for it, 0 for the others; m tied ones get 1/m each.

    >>> max(Tensor([1.0, 5.0, 2.0]))
    Tensor(5.)
    """
    return np.max(x, axis=axis, keepdims=keepdims)


@opaque(**_EXTREME)
def min(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest element over axes. Derivative: 1 for it, 0 for the others; m tied ones get 1/m each.

    >>> min(Tensor([1.0, 5.0, 2.0]))
    Tensor(1.)
    """
    return np.min(x, axis=axis, keepdims=keepdims)


@checked
def var(
    x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False, correction: float | None = None
) -> Tensor:
    """The variance over axes, in two passes; divides by n - ddof (the Array API calls it `correction`).

    Derivative: 2 (x - mean) / (n - ddof). Warns where n is not above ddof, as NumPy does; the result is then NaN (or
    infinite).

    >>> var(Tensor([1.0, 3.0]))
    Tensor(1.)
    """
    ddof = ddof if correction is None else correction
    char = np.asarray(array_of(x)).dtype.char
    if char in WIDER:
        x = astype(x, WIDER[char])
    left = _count(x, axis) - ddof
    if left <= 0:
        n = left + ddof
        warnings.warn(f"Degrees of freedom <= 0: var of {n} with ddof={ddof}", RuntimeWarning, stacklevel=2)
        left = 0
    centred = x - mean(x, axis=axis, keepdims=True)
    y = sum(squared_size(centred), axis=axis, keepdims=keepdims) / left
    return y if char != "e" else astype(y, np.float16)


@checked
def std(
    x: Array, axis: Axis = None, ddof: float = 0, keepdims: bool = False, correction: float | None = None
) -> Tensor:
    """The standard deviation over axes: the root of `var`. Derivative: (x - mean) / ((n - ddof) y), and 0 at y = 0.

    >>> std(Tensor([1.0, 3.0]))
    Tensor(1.)
    """
    return root(var(x, axis=axis, ddof=ddof, keepdims=keepdims, correction=correction))


def _shares(x: Array, y: Array, axis: Axis, keepdims: bool) -> Array:
    """exp(x - y): what each element has of its sum; 0 where all are exp(-inf)."""
    y = _keep(y, x.shape, axis, keepdims)
    return exp(x - where(equal(y, -np.inf), 0.0, y))


@opaque(
    vjp=lambda g, x, y, axis, keepdims: _keep(g, x.shape, axis, keepdims) * _shares(x, y, axis, keepdims),
    jvp=lambda t, x, y, axis, keepdims: sum(t * _shares(x, y, axis, keepdims), axis=axis, keepdims=keepdims),
    flops=20, samples=lambda d: d.reduction_sample(nonempty=True),
)  # fmt: skip
def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """log Σ eˣ over axes, without overflow. Derivative: the softmax of x.

    >>> logsumexp(Tensor([1000.0, -1000.0]))
    Tensor(1000.)
    """
    given = np.asarray(x)
    x = wide(given)
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # log 0 = -inf is the value where all elements are -inf
        y = narrow(np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top, given)
    return y if keepdims else np.squeeze(y, axis=normalize_axes(axis, y.ndim))


@linear(
    lambda g, x_shape, axis: reshape(flip(cumsum(flip(g, axis or 0), axis or 0), axis or 0), x_shape),
    samples=lambda d: d.axis_sample(),
)
def cumsum(x: Array, axis: int | None = None) -> Array:
    """The running sum along an axis (of the flattened array when None). Derivative: 1 for all later sums.

    >>> cumsum(Tensor([1.0, 2.0, 3.0]))
    Tensor([1., 3., 6.])
    """
    return np.cumsum(x, axis=axis)


# ------------------------------------------------------------------------------------------------------------------
# Plain values


@checked
@plain
def argmax(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest element, as an integer without a gradient.

    >>> argmax(Tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    Tensor([1, 0])
    """
    return np.argmax(x, axis=axis, keepdims=keepdims)


@checked
@plain
def argmin(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest element, as an integer without a gradient.

    >>> argmin(Tensor([3.0, 1.0, 1.0]))
    Tensor(1)
    """
    return np.argmin(x, axis=axis, keepdims=keepdims)


@checked
@plain
def argsort(x: Array, axis: int | None = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that would sort along an axis (all elements as one row when None), as integers without a gradient.

    NaN stands last, or first if descending.

    `stable` is accepted for compatibility: it is always so.

    >>> argsort(Tensor([3.0, 1.0, 2.0]))
    Tensor([1, 2, 0])
    """
    if axis is None:
        x, axis = np.ravel(x), 0
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Flipped before and after, so that equal elements stay as they stood.
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.flip(np.shape(x)[axis] - 1 - backwards, axis)


@checked
@plain
def all(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Are all true? As bools without a gradient.

    >>> all(Tensor([[1.0, 2.0], [0.0, 3.0]]) > 0, axis=1)
    Tensor([ True, False])
    """
    return np.all(x, axis=axis, keepdims=keepdims)


@checked
@plain
def any(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Is any true? As bools without a gradient.

    >>> any(isnan(Tensor([1.0, np.nan])))
    Tensor(True)
    """
    return np.any(x, axis=axis, keepdims=keepdims)


@checked
@plain
def count_nonzero(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many are not 0? As integers without a gradient.

    >>> count_nonzero(Tensor([[1.0, 0.0], [2.0, 3.0]]), axis=1)
    Tensor([1, 2])
    """
    return np.count_nonzero(x, axis=axis, keepdims=keepdims)


__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "count_nonzero", "cumsum", "logsumexp", "max", "mean", "min", "prod",
    "std", "sum", "var",
]  # fmt: skip
