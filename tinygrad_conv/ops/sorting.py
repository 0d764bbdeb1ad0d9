"""Sorted elements, and what is read off them: medians and quantiles. All composed of `take_along_axis`.

Sorting moves elements, so its derivative moves gradients back to where the elements came from; of equal elements the
first stays first.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from ..arguments import Axes, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .axes import along
from .elementwise import equal, isfinite, isnan, where
from .indexing import take_along_axis
from .reductions import any, argsort, max, mean, min, normalize_axes
from .shape import astype, broadcast_to, flip, permute_dims, reshape

# ------------------------------------------------------------------------------------------------------------------
# Order


@checked
def sort(x: Array, axis: int | None = -1, *, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements in order along an axis (of the flattened array when None), equal ones as they stood; NaN last.

    `stable` is accepted for compatibility: it is always so.
    Derivative: each gradient goes back to where its element came from.

    >>> sort(Tensor([3.0, 1.0, 2.0]))
    Tensor([1., 2., 3.])
    """
    x, axis = along("sort", x, axis)
    if descending:  # flipped before and after, so that equal elements stay as they stood
        return flip(take_along_axis(flip(x, axis), argsort(flip(x, axis), axis=axis), axis), axis)
    return take_along_axis(x, argsort(x, axis=axis), axis)


@checked
def partition(x: Array, kth: Any, axis: int | None = -1) -> Tensor:
    """The elements along an axis, the k-th in its place, smaller ones before it and larger ones behind.

    >>> partition(Tensor([3.0, 1.0, 2.0]), 1)
    Tensor([1., 2., 3.])
    """
    x, axis = along("partition", x, axis)
    return take_along_axis(x, argpartition(x, kth, axis), axis)


@checked
@plain
def argpartition(x: Array, kth: Any, axis: int | None = -1) -> Any:
    """The indices that `partition` takes, as integers without a gradient.

    >>> x = Tensor([3.0, 1.0, 2.0])
    >>> x[argpartition(x, 1)]
    Tensor([1., 2., 3.])
    """
    return np.argpartition(x, kth, axis=axis)


@checked
@plain
def searchsorted(x1: Array, x2: Array, side: Literal["left", "right"] = "left", sorter: Array | None = None) -> Any:
    """Where x2 would have to stand in x1, which is sorted, to keep the order; as integers without a gradient.

    With ``side="left"`` before equal elements, with "right" behind them; `sorter` are the indices that sort x1.

    >>> searchsorted(Tensor([1.0, 2.0, 3.0]), [2.0, 2.5]), searchsorted(Tensor([1.0, 2.0, 3.0]), 2.0, side="right")
    (Tensor([1, 2]), Tensor(2))
    """
    return np.searchsorted(x1, x2, side=side, sorter=sorter)


@checked
def ptp(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The range, largest minus smallest element, over axes.

    >>> ptp(Tensor([1.0, 5.0, 2.0]))
    Tensor(4.)
    """
    return max(x, axis=axis, keepdims=keepdims) - min(x, axis=axis, keepdims=keepdims)


# ------------------------------------------------------------------------------------------------------------------
# Quantiles

METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
)  # fmt: skip
LINES = {  # the methods whose quantile is at place (n + 1 - a - b) q + a - 1 of n sorted elements, the first at 0
    "interpolated_inverted_cdf": (0, 1), "hazen": (1 / 2, 1 / 2), "weibull": (0, 0), "linear": (1, 1),
    "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8),
}  # fmt: skip
Method: TypeAlias = Annotated[str, one_of(*METHODS)]


@checked
def quantile(
    x: Array, q: Array, axis: Axes = None, method: Method = "linear", keepdims: bool = False, *,
    weights: Array | None = None,
) -> Tensor:  # fmt: skip
    """The q-th quantile over axes, between two neighbours in the order as `method` says (see `numpy.quantile`).

    The axes of q, a number in [0, 1] or an array of them, come first. Where an element is NaN, so is the result.
    With `weights` (data, method "inverted_cdf"), of x's shape or one for each place along the axis, it is the first
    element up to which their share is q. Derivatives: each of the two neighbours' share; by q the slope between them.
    At an element it is the slope on its right (at the last, on its left); 0 for methods with steps, and where a
    neighbour is infinite.

    >>> quantile(Tensor([1.0, 2.0, 4.0, 8.0]), 0.5)
    Tensor(3.)
    """
    y, spoilt, finish = _quantile("quantile", x, q, axis, method, keepdims, weights)
    return finish(where(spoilt, np.nan, y) if array_of(y).dtype.kind == "f" else y)


@checked
def percentile(
    x: Array, q: Array, axis: Axes = None, method: Method = "linear", keepdims: bool = False, *,
    weights: Array | None = None,
) -> Tensor:  # fmt: skip
    """The `quantile` for q in per cent.

    >>> percentile(Tensor([1.0, 2.0, 3.0]), 25)
    Tensor(1.5)
    """
    return quantile(x, _hundredth(q), axis, method, keepdims, weights=weights)


@checked
def median(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The middle element over axes, or the mean of the two middle ones. Derivative: 1, or 1/2 for each of the two.

    >>> median(Tensor([1.0, 4.0, 2.0]))
    Tensor(2.)
    """
    rows, kept = _rows(x, axis, keepdims)
    n = shape_of(rows)[-1]
    if not n:
        return reshape(mean(rows, axis=-1), kept)  # NaN, with NumPy's warning
    ordered = sort(rows)
    middle = mean(ordered[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    return reshape(where(any(isnan(rows), axis=-1), np.nan, middle), kept)


@checked
def nanquantile(
    x: Array, q: Array, axis: Axes = None, method: Method = "linear", keepdims: bool = False, *,
    weights: Array | None = None,
) -> Tensor:  # fmt: skip
    """The `quantile` of the elements that are not NaN; NaN where there are none.

    >>> nanquantile(Tensor([1.0, np.nan, 3.0]), 0.5)
    Tensor(2.)
    """
    if not np.size(array_of(x)):
        return mean(x, axis=axis, keepdims=keepdims)  # as NumPy: NaN, one for all q
    y, _, finish = _quantile("nanquantile", x, q, axis, method, keepdims, weights)
    return finish(y)


@checked
def nanpercentile(
    x: Array, q: Array, axis: Axes = None, method: Method = "linear", keepdims: bool = False, *,
    weights: Array | None = None,
) -> Tensor:  # fmt: skip
    """The `nanquantile` for q in per cent.

    >>> nanpercentile(Tensor([1.0, np.nan, 2.0, 3.0]), 25)
    Tensor(1.5)
    """
    return nanquantile(x, _hundredth(q), axis, method, keepdims, weights=weights)


@checked
def nanmedian(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The `median` of the elements that are not NaN.

    >>> nanmedian(Tensor([1.0, np.nan, 2.0, 9.0]))
    Tensor(2.)
    """
    if np.asarray(array_of(x)).dtype == bool:
        return median(x, axis, keepdims)
    return nanquantile(x, 0.5, axis=axis, keepdims=keepdims)


def _quantile(
    what: str, x: Array, q: Array, axis: Axes, method: Method, keepdims: bool, weights: Array | None
) -> tuple[Any, Any, Any]:
    """Quantiles of what is not NaN, as last axis of rows; which rows have a NaN; what gives results their shape."""
    shares = np.asarray(array_of(q), dtype=np.float64)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ArgumentError(f"{what}: expected q in [0, 1], got {shares.tolist()}")
    rows, kept = _rows(x, axis, keepdims)
    dtype = np.quantile(np.zeros(1, np.asarray(array_of(x)).dtype), array_of(q), method=method).dtype  # type: ignore[call-overload]
    left = shape_of(rows)[:-1]

    def finish(y: Any) -> Tensor:
        return _quantiles_first(reshape(y, (*left, *shares.shape)), shares.ndim, kept)

    if not shape_of(rows)[-1]:
        raise ShapeError(f"{what}: expected at least one element, got shape {shape_of(x)}")
    ordered = sort(rows)  # NaN last
    if weights is None:
        low, high, part = _places(rows, shares, dtype, method)
        first, second = take_along_axis(ordered, low), take_along_axis(ordered, high)
        y = first + where(equal(part, 0), 0, second - first) * part
    elif method == "inverted_cdf":
        if not (np.asarray(array_of(weights)) > 0).any():
            raise ArgumentError(f"{what}: expected weights of which one is above 0, got none")
        sized = weights if shape_of(weights) == shape_of(x) else _along_axis(what, x, weights, axis)
        y = take_along_axis(ordered, _weighted_places(rows, shares, _rows(sized, axis, keepdims)[0]))
    else:
        raise ArgumentError(f'{what}: expected method "inverted_cdf" with weights, got {method!r}')
    if isinstance(q, Tensor) and dtype.kind != "f":
        y = Tensor(y)
    elif isinstance(q, Tensor):
        slope: Any = 0.0
        if method in LINES:
            near, far, steepness = _steepness(rows, shares, low, dtype, *LINES[method])
            gap = take_along_axis(ordered, far) - take_along_axis(ordered, near)
            slope = where(isfinite(gap), gap, 0.0) * steepness
        y = y + slope * reshape(astype(q - q.detach(), dtype), (-1,))  # adds 0, and the derivative by q
    return y, any(isnan(rows), axis=-1, keepdims=True), finish


def _along_axis(what: str, x: Array, weights: Array, axis: Axes) -> Any:
    """One weight for each place along an axis, as an array of x's shape."""
    shape = shape_of(x)
    if not isinstance(axis, int) or shape_of(weights) != (shape[axis],):
        given = shape_of(weights)
        raise ShapeError(f"{what}: expected weights of x's shape {shape}, or a vector for one axis, got {given}")
    return broadcast_to(reshape(weights, (-1, *(1,) * (len(shape) - 1 - axis % len(shape)))), shape)


@plain
def _places(rows: Array, shares: Any, dtype: Any, method: str) -> Any:
    """Between which two of the elements of a row that are not NaN each quantile lies, and how far.

    A quantile is linear in the sorted elements: of the numbers 0, 1, ... it is the place between two of them.
    """
    numbers = np.sum(~np.isnan(rows), axis=-1)
    known, which = np.unique(numbers, return_inverse=True)
    how: Any = method
    places = [np.quantile(np.arange(float(n or 1)), shares.reshape(-1), method=how) for n in known]
    place = np.reshape(places, (len(known), shares.size))[which].reshape(*numbers.shape, shares.size)
    last = np.maximum(numbers - 1, 0)[..., None]
    low = np.clip(np.floor(place), 0, last).astype(np.intp)
    return low, np.minimum(low + 1, last), np.asarray(place - low, dtype)


@plain
def _steepness(rows: Array, shares: Any, low: Any, dtype: Any, a: float, b: float) -> Any:
    """Between which two elements a change of q moves each quantile, and how many places a change by 1 would be."""
    n = np.sum(~np.isnan(rows), axis=-1)[..., None]
    steepness = n + 1 - a - b
    place = steepness * shares.reshape(-1) + a - 1
    near = np.minimum(low, np.maximum(n - 2, 0))
    return near, near + (n > 1), np.where((place >= 0) & (place <= n - 1), steepness, 0).astype(dtype)


@plain
def _weighted_places(rows: Array, shares: Any, weights: Array) -> Any:
    """The place, among the sorted elements of a row, where the share of the weights reaches each quantile's."""
    order = np.argsort(rows, axis=-1, stable=True)
    weights = np.take_along_axis(np.where(np.isnan(rows), 0.0, weights), order, -1)
    share = np.cumsum(weights, -1)
    share = np.where(share > 0, share / np.where(share[..., -1:] > 0, share[..., -1:], 1), -1)[..., None, :]
    return np.minimum((share < shares.reshape(-1, 1)).sum(-1), rows.shape[-1] - 1)


def _hundredth(q: Array) -> Any:
    return q / 100 if isinstance(q, (int, float, Tensor)) else np.true_divide(np.asarray(q), 100)


def _rows(x: Array, axis: Any, keepdims: bool) -> tuple[Any, tuple[int, ...]]:
    """x with the axes to be reduced as one last axis, and the shape of a result."""
    shape = shape_of(x)
    axes = normalize_axes(axis, len(shape))
    others = tuple(k for k in range(len(shape)) if k not in axes)
    left = tuple(shape[k] for k in others)
    size = int(np.prod([shape[k] for k in axes], dtype=np.int64))
    rows = reshape(permute_dims(x, (*others, *axes)), (*left, size))
    return rows, tuple(1 if k in axes else n for k, n in enumerate(shape)) if keepdims else left


def _quantiles_first(y: Any, ndim: int, kept: tuple[int, ...]) -> Tensor:
    """The axes of q, which come last, first; and the others as they are to be."""
    before = np.ndim(array_of(y)) - ndim
    sizes = shape_of(y)[before:]
    y = permute_dims(y, (*range(before, before + ndim), *range(before)))
    return reshape(y, (*sizes, *kept))


__all__ = [
    "argpartition", "median", "nanmedian", "nanpercentile", "nanquantile", "partition", "percentile", "ptp", "quantile",
    "searchsorted", "sort",
]  # fmt: skip
