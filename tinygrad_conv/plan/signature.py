"""What a compiled step is called with: arrays, which a plan takes anew at each call, and all else, which it assumes.

The key of a call holds its structure (where containers of which kind are, keywords and keys in order), plain values by
bits, other objects by identity, and of arrays what a plan is made for. Two calls of one key are one to a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..engine.tensor import Tensor, ndarray
from ..engine.trees import dictionary, flatten
from .values import Same, told

__all__ = ["Leaves", "Rebuild", "is_array", "taken_apart", "told_apart"]


Leaves: TypeAlias = Sequence[Any]
Rebuild: TypeAlias = Callable[[Leaves], Any]


def taken_apart(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Leaves, Rebuild, tuple[Hashable, ...]]:
    """What stands in the nested lists, tuples and dictionaries of a call; the function that makes ``(args, kwargs)`` of
    other leaves; and their structure, which is nothing where there are no containers and no keywords."""
    if not kwargs:
        for arg in args:
            if type(arg) is not ndarray and type(arg) is not Tensor:
                break
        else:
            return args, _as_arguments, ()  # most calls have arrays and nothing else
    leaves, rebuild = flatten((args, kwargs), shared=True)
    return leaves, rebuild, tuple(_structure((args, kwargs)))


def told_apart(leaves: Leaves, *more: Hashable) -> tuple[Hashable, list[ndarray]]:
    """The key of a call, of which `more` is part, and its arrays, to which tensors that nobody follows belong.

    The key is None for a call that is followed: a gradient is to flow through it.
    """
    key: list[Hashable] = [*more]
    arrays: list[ndarray] = []
    given: list[int] = []
    for leaf in leaves:
        array = leaf
        if type(leaf) is not ndarray or not leaf.dtype.isnative:
            if isinstance(leaf, Tensor):
                if type(leaf) is not Tensor or leaf.node is not None:
                    if leaf.node is not None and leaf.node.primitive is not None:
                        return None, arrays
                    key.append(Same(leaf))  # a parameter is read where it is, like one that the step finds by itself
                    continue
                array = leaf._array
                if leaf.name is not None:
                    key.append(leaf.name)
            elif isinstance(leaf, (ndarray, np.generic)):
                array = Tensor(leaf)._array
            else:
                key.append(told(leaf))
                continue
        arrays.append(array)
        given.append(id(leaf))
        key.append((array.shape, array.dtype, None if array.flags.c_contiguous else array.strides))
    if len(given) > 1 and len(set(given)) < len(given):  # one of them is there twice
        key.append(tuple(map(given.index, given)))
    return tuple(key), arrays


def is_array(leaf: Any) -> bool:
    """Is a leaf an array to a plan: one, or a number of NumPy's, or a tensor that nobody follows?"""
    return (type(leaf) is Tensor and leaf.node is None) or isinstance(leaf, (ndarray, np.generic))


def _as_arguments(leaves: Leaves) -> tuple[Leaves, dict[str, Any]]:
    return leaves, {}


def _structure(tree: Any) -> Iterator[Hashable]:
    """The containers of a tree as they are met, each with what it is and what it has, and the number of one that is
    there again; None for a leaf."""
    left = [tree]
    met: dict[int, int] = {}
    while left:
        item = left.pop()
        if isinstance(item, (dict, list)):
            if id(item) in met:
                yield met[id(item)]
                continue
            met[id(item)] = len(met)
        if isinstance(item, dict):
            base = dictionary(item)
            yield type(item), *map(told, base.keys(item)), *_more(item)
            left += reversed(base.values(item))
        elif isinstance(item, (list, tuple)):
            items = list(list.__iter__(item) if isinstance(item, list) else tuple.__iter__(item))
            yield type(item), len(items), *_more(item)
            left += reversed(items)
        else:
            yield None


def _more(container: Any) -> Iterator[Hashable]:
    """What a container of a class of somebody's own keeps beside what is in it."""
    for name, value in getattr(container, "__dict__", {}).items():
        yield name, told(value)
    yield told(getattr(container, "default_factory", None))
