"""Distinct elements, sets and counts. Which elements a result holds is data; the elements keep their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import Count, checked
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from .indexing import getitem, scatter, take
from .joining import decided, looked_at
from .shape import astype, concat, reshape


class Unique(NamedTuple):
    """The distinct elements, where each comes first, which of them each element is, and how often each is there."""

    values: Tensor
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """The distinct elements, and how often each is there."""

    values: Tensor
    counts: Any


class UniqueInverse(NamedTuple):
    """The distinct elements, and which of them each element is."""

    values: Tensor
    inverse_indices: Any


@plain
def _found(x: Array, axis: int | None, equal_nan: bool) -> Any:
    """Where each distinct element comes first, which of them each element is, how often each is there."""
    return np.unique(x, True, True, True, axis, equal_nan=equal_nan)[1:]


@checked
def unique(
    x: Array, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    """The distinct elements in order (slices along an axis), and what else is asked for, as `numpy.unique`.

    `sorted` is accepted for compatibility: they are always in order. Derivative: of equal elements, the first gets the
    gradient.

    >>> unique(Tensor([3.0, 1.0, 3.0]))
    Tensor([1., 3.])
    """
    looked_at("unique", x)
    found = _found(x, axis, equal_nan)
    values = take(x, found[0], axis=axis)
    asked = [part for part, wanted in zip(found, (return_index, return_inverse, return_counts), strict=True) if wanted]
    return (values, *asked) if asked else values


@checked
def unique_all(x: Array) -> Unique:
    """The distinct elements with all that `unique` can tell; each NaN is one.

    >>> tuple(unique_all(Tensor([7.0, 5.0, 7.0])))
    (Tensor([5., 7.]), Tensor([1, 0]), Tensor([1, 0, 1]), Tensor([1, 2]))
    """
    return Unique(*unique(x, True, True, True, equal_nan=False))


@checked
def unique_counts(x: Array) -> UniqueCounts:
    """The distinct elements, and how often each is there; each NaN is one.

    >>> unique_counts(Tensor([7.0, 5.0, 7.0])).counts
    Tensor([1, 2])
    """
    return UniqueCounts(*unique(x, return_counts=True, equal_nan=False))


@checked
def unique_inverse(x: Array) -> UniqueInverse:
    """The distinct elements, and which of them each element is; each NaN is one.

    >>> values, inverse = unique_inverse(Tensor([7.0, 5.0, 7.0]))
    >>> values[inverse]
    Tensor([7., 5., 7.])
    """
    return UniqueInverse(*unique(x, return_inverse=True, equal_nan=False))


@checked
def unique_values(x: Array) -> Tensor:
    """The distinct elements; each NaN is one.

    >>> unique_values(Tensor([7.0, np.nan, 7.0, np.nan]))
    Tensor([ 7., nan, nan])
    """
    return unique(x, equal_nan=False)


# ------------------------------------------------------------------------------------------------------------------
# Sets


def _flat(x: Array) -> Any:
    return reshape(x, (-1,))


@checked
def union1d(x1: Array, x2: Array) -> Tensor:
    """The distinct elements of two arrays, in order.

    >>> union1d(Tensor([1.0, 3.0]), [2.0, 3.0])
    Tensor([1., 2., 3.])
    """
    return unique(concat([_flat(x1), _flat(x2)]))


@checked
def intersect1d(x1: Array, x2: Array, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The distinct elements that both arrays have, in order; x1 gets the gradient. With places in both, if asked for.

    >>> intersect1d(Tensor([1.0, 3.0]), [2.0, 3.0])
    Tensor([3.])
    """
    a, b = (looked_at("intersect1d", x) for x in (x1, x2))
    _, first, second = np.intersect1d(a, b, assume_unique, return_indices=True)
    both = astype(getitem(_flat(x1), first), np.result_type(array_of(x1), array_of(x2)))
    return (both, first, second) if return_indices else both


@checked
def setdiff1d(x1: Array, x2: Array, assume_unique: bool = False) -> Tensor:
    """The distinct elements of x1 that x2 does not have, in order.

    >>> setdiff1d(Tensor([1.0, 3.0]), [2.0, 3.0])
    Tensor([1.])
    """
    x1 = _flat(x1) if assume_unique else unique(x1)
    return getitem(x1, np.isin(looked_at("setdiff1d", x1), looked_at("setdiff1d", x2), invert=True, assume_unique=True))


@checked
def setxor1d(x1: Array, x2: Array, assume_unique: bool = False) -> Tensor:
    """The distinct elements that only one of the arrays has, in order.

    >>> setxor1d(Tensor([1.0, 3.0]), [2.0, 3.0])
    Tensor([1., 2.])
    """
    parts = [_flat(x) if assume_unique else unique(x) for x in (x1, x2)]
    values, counts = unique(concat(parts), return_counts=True)
    return getitem(values, counts == 1)


# ------------------------------------------------------------------------------------------------------------------
# Places and counts


@checked
@plain
def isin(x1: Array, x2: Array, invert: bool = False) -> Any:
    """For each element of x1: is it among those of x2 (or, with ``invert``, not)?

    >>> isin(Tensor([1, 2, 3]), [1, 3])
    Tensor([ True, False,  True])
    """
    return np.isin(x1, x2, invert=invert)


@checked
@plain
def nonzero(x: Array) -> Any:
    """Where the elements are that are not 0: a vector of indices for each axis.

    >>> nonzero(Tensor([0.0, 5.0, 7.0]))
    (Tensor([1, 2]),)
    """
    return np.nonzero(x)


@checked
def bincount(x: Array, weights: Array | None = None, minlength: Count = 0) -> Any:
    """How often each integer is in x (data); with `weights`, the sum of the weights that stand beside it.

    >>> bincount([0, 2, 2], Tensor([1.0, 2.0, 3.0]))
    Tensor([1., 0., 5.])
    """
    if weights is None or not np.size(array_of(x)):
        return _counts(x, minlength)
    places = np.asarray(decided("bincount", x))
    size = np.bincount(places, np.asarray(array_of(weights)), minlength).size  # and NumPy's refusals
    return scatter(astype(weights, np.float64), places.astype(np.intp), (size,))


@plain
def _counts(x: Array, minlength: int) -> Any:
    return np.bincount(x, minlength=minlength)


__all__ = [
    "bincount", "intersect1d", "isin", "nonzero", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values",
]  # fmt: skip
