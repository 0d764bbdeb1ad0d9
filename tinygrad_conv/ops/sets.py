"""Which values there are, and where: sets and places, as data without a gradient, under the Array API's names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import checked
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Tensor
    inverse_indices: Tensor


@plain
def _unique(x: Array) -> Any:
    """Values in order, where each stands first, where each element is among them, how often each is there."""
    return tuple(np.unique_all(x))


def _parts(x: Array) -> UniqueAll:
    return UniqueAll(*_unique(x))


@checked
def unique_all(x: Array) -> UniqueAll:
    """The values in order, where each stands first, where each element is among them, and how often each is there.

    Every NaN is a value of its own.

    >>> unique_all(Tensor([3, 1, 3])).counts
    Tensor([1, 2])
    """
    return _parts(x)


@checked
def unique_counts(x: Array) -> UniqueCounts:
    """The values in order, and how often each is there.

    >>> unique_counts(Tensor([3, 1, 3]))
    UniqueCounts(values=Tensor([1, 3]), counts=Tensor([1, 2]))
    """
    parts = _parts(x)
    return UniqueCounts(parts.values, parts.counts)


@checked
def unique_inverse(x: Array) -> UniqueInverse:
    """The values in order, and where each element is among them.

    >>> unique_inverse(Tensor([3, 1, 3]))
    UniqueInverse(values=Tensor([1, 3]), inverse_indices=Tensor([1, 0, 1]))
    """
    parts = _parts(x)
    return UniqueInverse(parts.values, parts.inverse_indices)


@checked
@plain
def unique_values(x: Array) -> Any:
    """The values in order.

    >>> unique_values(Tensor([3, 1, 3]))
    Tensor([1, 3])
    """
    return np.sort(np.unique_values(x))


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


__all__ = ["isin", "nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values"]
