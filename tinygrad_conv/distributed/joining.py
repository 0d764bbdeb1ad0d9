"""Functions of arrays that all ranks call together: for steps that are functions of values, as those of stock Keras."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..engine.plain import plain
from .totals import Array, Bucket, buckets, rows_of
from .world import world

__all__ = ["mean_over_ranks", "own_rows", "rows_of_all"]


@plain
def mean_over_ranks(*arrays: Any, count: int) -> tuple[Array, ...]:
    """The mean of each array over all ranks, of which each counts by its number of examples.

    >>> mean_over_ranks(np.array([1.0, 2.0]), count=3)
    (array([1., 2.]),)
    """
    ranks = world()
    if ranks.comm is None:
        return arrays
    ranks.meet(f"averages {len(arrays)} arrays")
    given = [np.ones(()), *arrays]
    memory = _memory(tuple((array.shape, array.dtype) for array in given))
    requests = []
    for bucket in memory:
        bucket.add(given if count else [None] * len(given), count)
        requests.append(bucket.begin(ranks))
    totals: list[Any] = [None] * len(given)
    for bucket, request in zip(memory, requests, strict=True):
        request.Wait()
        bucket.take(totals)
    means = (total / totals[0].item() for total in totals[1:])
    return tuple(mean.astype(array.dtype, copy=False) for mean, array in zip(means, arrays, strict=True))


@lru_cache(64)
def _memory(shapes: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]) -> list[Bucket]:
    return buckets(shapes)


@plain
def rows_of_all(array: Array) -> Array:
    """The rows of all ranks' arrays, in their order."""
    return np.concatenate(world().gathered("joins rows", array))


def own_rows(length: int) -> slice:
    """Which of so many rows are this rank's.

    >>> own_rows(8)
    slice(0, 8, None)
    """
    ranks = world()
    return rows_of(ranks.rank, ranks.size, length)
