"""Trees: nested lists, tuples and dictionaries of tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias

from ..errors import ArgumentError

__all__ = ["dictionary", "flatten"]


def flatten(tree: Any, shared: bool = False) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of a tree in order, and the function that builds the same tree from other leaves.

    The tree may be nested to any depth. With `shared`, a list or dictionary that stands in it twice is taken apart
    once, and both places of the new tree hold one object. Raises ArgumentError for a container that holds itself.
    """
    if not isinstance(tree, (tuple, list, dict)):  # as most results
        return [tree], itemgetter(0)
    if type(tree) is list and not any(isinstance(item, (tuple, list, dict)) for item in tree):  # as most arguments
        return tree[:], list
    leaves: list[Any] = []
    plan: list[_Step] = []
    finished: dict[int, int] = {}  # the ids of lists and dictionaries that are shared: the steps that build them
    around: list[tuple[Iterator[Any], Callable[[Any], Any], int, int]] = []  # the containers that are not done yet
    build: Callable[[Any], Any] = tuple
    items, size, key, deep = iter((tree,)), 0, 0, 1000
    while True:
        for item in items:
            size += 1
            kind = type(item)
            if kind is tuple or kind is list or isinstance(item, (tuple, list, dict)):
                if id(item) in finished:
                    plan.append(finished[id(item)])
                    continue
                around.append((items, build, size, key))
                if len(around) == deep:
                    deep = _deeper(around)
                items, build, size, key = _items(item), _builder(kind, item), 0, id(item)
                break
            leaves.append(item)
            plan.append(None)
        else:
            if not around:
                return leaves, partial(_rebuilt, plan)
            if shared and build is not tuple:
                finished[key] = len(plan)
            plan.append((build, size))
            items, build, size, key = around.pop()


# A step: None for a leaf; a function and the number of parts that it is given; or the number of an earlier step, whose
# result stands here again.
_Step: TypeAlias = tuple[Callable[[Any], Any], int] | int | None


def _items(tree: Any) -> Iterator[Any]:
    """The items of a container, even if its class has an ``__iter__`` of its own."""
    if isinstance(tree, dict):
        return iter(dictionary(tree).values(tree))
    return list.__iter__(tree) if isinstance(tree, list) else tuple.__iter__(tree)


def _builder(kind: Any, tree: Any) -> Callable[[Any], Any]:
    """A function from parts to a container of the same kind as this one, which it does not hold."""
    if kind is list or kind is tuple:
        return kind
    if isinstance(tree, tuple):
        return partial(_tuple, kind, dict(getattr(tree, "__dict__", {})))
    if isinstance(tree, list):
        return partial(_list, _emptied(tree, list))
    base = dictionary(tree)
    return partial(_dictionary, {} if kind is dict else _emptied(tree, base), base, list(base.keys(tree)))


def dictionary(tree: Any) -> Any:
    """The class of Python's that keeps the items of a dictionary, whatever is derived from it."""
    return OrderedDict if isinstance(tree, OrderedDict) else dict


def _emptied(tree: Any, base: Any) -> Any:
    """A copy of a container without its items, but with its class and its attributes."""
    empty = copy(tree)
    base.clear(empty)
    return empty


def _tuple(kind: Any, more: dict[str, Any], parts: Sequence[Any]) -> Any:
    new = tuple.__new__(kind, parts)
    if more:
        new.__dict__.update(more)
    return new


def _list(empty: Any, parts: Sequence[Any]) -> Any:
    new = copy(empty)
    list.extend(new, parts)
    return new


def _dictionary(empty: Any, base: Any, keys: list[Any], parts: Sequence[Any]) -> Any:
    new = copy(empty)
    for key, part in zip(keys, parts, strict=True):
        base.__setitem__(new, key, part)
    return new


def _deeper(around: Sequence[tuple[Any, Any, int, int]]) -> int:
    """Raise ArgumentError if one of these containers holds itself; else the depth at which to look again."""
    if len({key for *_, key in around}) < len(around):
        raise ArgumentError("expected containers of tensors, got one that holds itself")
    return 2 * len(around)


def _rebuilt(plan: Sequence[_Step], leaves: Sequence[Any]) -> Any:
    """The tree that a plan of `flatten` makes of leaves."""
    rest = iter(leaves)
    made: list[Any] = []
    again = dict.fromkeys(step for step in plan if type(step) is int)
    for number, step in enumerate(plan):
        if step is None:
            made.append(next(rest))
        elif isinstance(step, int):
            made.append(again[step])
        else:
            build, size = step
            start = len(made) - size
            made[start:] = [build(made[start:])]
            if number in again:
                again[number] = made[-1]
    return made[0]
