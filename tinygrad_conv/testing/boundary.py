"""Boundary classes, which most mistakes need to show, and a few samples that together fall in all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

__all__ = ["LAYOUTS", "boundary_samples", "shape_classes"]

LAYOUTS = ("contiguous", "transposed", "strided", "negative stride", "read-only")  # of arrays in memory
_POOL = 120  # samples that are chosen from
_MOST = 14  # that are chosen


def shape_classes(shape: Sequence[int]) -> set[str]:
    """The boundary classes that the shape of an array falls in.

    >>> shape_classes(()), sorted(shape_classes((1, 2, 3)))
    ({'0-d'}, ['not square', 'one row'])
    """
    if not shape or prod(shape) < 2:
        return {("empty", "one element")[prod(shape)] if shape else "0-d"}
    if len(shape) == 1:
        return set()
    return {"square" if shape[-1] == shape[-2] else "not square", *(["one row"] if shape[0] == 1 else [])}


@cache
def boundary_samples(make: Callable[..., Any], build: Callable[..., Any], *args: Any) -> tuple[tuple[int, ...], ...]:
    """What a few samples chose that together fall in every boundary class, outside of each, and in all pairs of these.

    ``build(make(integer, seed), *args)`` draws one. Each is the one that adds the most to those before it, so that
    a few find what is wrong only where two things meet, as a kernel of 1 with padding.
    """
    drawn: dict[tuple[int, ...], tuple[set[str], set[Any]]] = {}
    for seed in range(_POOL):
        ends: set[Any] = set()
        structure = np.random.default_rng([seed, 2])

        def integer(low: int, high: int, ends: set[Any] = ends, structure: Any = structure) -> int:
            chosen = int(structure.integers(low, high + 1))
            ends.add((1, len(ends), (chosen > low) + 2 * (chosen < high)))
            return chosen

        draw = make(integer, seed)
        build(draw, *args)
        arrays = {(10, name, k) for k, shape in enumerate(draw.shapes) for name in shape_classes(shape)}
        drawn[tuple(draw.choices)] = draw.classes - set(LAYOUTS), ends | arrays
    known = sorted(set().union(*(classes for classes, _ in drawn.values())))
    left = {choices: others | _met(classes, known) for choices, (classes, others) in drawn.items()}
    chosen: list[tuple[int, ...]] = []
    while left and len(chosen) < _MOST:
        best = max(left, key=lambda choices: sum(weight for weight, *_ in left[choices]))
        new = left.pop(best)
        chosen.append(best)
        left = {choices: features - new for choices, features in left.items() if features - new}
    return tuple(chosen)


def _met(classes: set[str], known: Sequence[str]) -> set[Any]:
    """The classes that a sample falls in, and, of all pairs of classes, in which of the two; with weights."""
    each = [(name, name in classes) for name in known]
    return {(30, *one) for one in each} | {(1, *pair) for pair in combinations(each, 2)}
