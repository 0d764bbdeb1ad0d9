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

__all__ = ["Again", "Leaves", "Rebuild", "as_arguments", "is_array", "never", "recognizer", "taken_apart", "told_apart"]


MOST_RECOGNIZED = 8  # arguments

Leaves: TypeAlias = Sequence[Any]
Rebuild: TypeAlias = Callable[[Leaves], Any]
Again: TypeAlias = Callable[..., Sequence[ndarray] | None]  # of (args, kwargs, recording, training, choice)


def taken_apart(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Leaves, Rebuild, tuple[Hashable, ...]]:
    """What stands in the nested lists, tuples and dictionaries of a call; the function that makes ``(args, kwargs)`` of
    other leaves; and their structure, which is nothing where there are no containers and no keywords."""
    if not kwargs:
        for arg in args:
            if type(arg) is not ndarray and type(arg) is not Tensor:
                break
        else:
            return args, as_arguments, ()  # most calls have arrays and nothing else
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


_AGAIN = """\
def again(args, kwargs, recording, training, wanted):
    if {tests}:
        return ({arrays})
"""


def recognizer(args: tuple[Any, ...], kwargs: dict[str, Any], recording: bool, training: Any, wanted: str) -> Again:
    """A function that gives the arrays of a call whose key is that of this one, and None for any other.

    It knows calls with few arguments, all of them arrays, tensors without a name or parameters, in a third of the time
    of `told_apart`: written out, and without a key.
    """
    if kwargs or len(args) > MOST_RECOGNIZED:
        return never
    tests = [f"not kwargs and len(args) == {len(args)} and recording is {recording} and training is {training}"]
    tests.append(f"wanted == {wanted!r}")
    names: dict[str, Any] = {"Tensor": Tensor, "ndarray": ndarray}
    arrays: list[int] = []
    for k, arg in enumerate(args):
        if isinstance(arg, Tensor) and (type(arg) is not Tensor or arg.node is not None):
            names |= {f"t{k}": arg, f"n{k}": arg.node}
            tests.append(f"args[{k}] is t{k} and t{k}.node is n{k}")
            continue
        array = arg
        if type(arg) is Tensor and arg.name is None:
            tests.append(f"type(t := args[{k}]) is Tensor and t.node is None and t.name is None")
            array = arg._array
        elif type(arg) is not ndarray or not arg.dtype.isnative:
            return never
        names |= {f"d{k}": array.dtype, f"s{k}": array.shape, f"r{k}": array.strides}
        tests.append(f"type(a{k} := {'t._array' if array is not arg else f'args[{k}]'}) is ndarray")
        tests.append(f"a{k}.dtype is d{k} and a{k}.shape == s{k} and a{k}.strides == r{k}")
        tests += (f"args[{j}] is {'' if args[j] is arg else 'not '}args[{k}]" for j in arrays)
        arrays.append(k)
    exec(_AGAIN.format(tests=" and ".join(tests), arrays="".join(f"a{k}, " for k in arrays)), names)
    again: Again = names.pop("again")  # not to be in its own globals: a cycle
    return again


def never(*call: Any) -> None:
    """Recognizes no call."""


def is_array(leaf: Any) -> bool:
    """Is a leaf an array to a plan: one, or a number of NumPy's, or a tensor that nobody follows?"""
    return (type(leaf) is Tensor and leaf.node is None) or isinstance(leaf, (ndarray, np.generic))


def as_arguments(leaves: Leaves) -> tuple[Leaves, dict[str, Any]]:
    """The arguments of a call whose leaves these are, without containers and keywords."""
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
