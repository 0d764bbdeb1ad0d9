"""Places that Python code reads from: a variable, an attribute, what a container holds, the numbers of an array.

A place is looked at when a recording starts, and compared before each replay. So that this costs little it is written
as a line of source code (`TEST`), which is true if the place holds the very object that it held. Where it holds another
one, that is looked at more closely (`holds`).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from inspect import getattr_static
from operator import is_
from types import CellType, MappingProxyType
from typing import Any, ClassVar

import numpy as np

from ..engine.guards import fingerprint
from ..engine.tensor import ndarray
from ..engine.trees import dictionary
from .values import alike

__all__ = [
    "HELPERS", "MISSING", "Attribute", "Cache", "Cell", "Contents", "Detail", "Entry", "Items", "Keys", "Member",
    "Pairs", "Place", "Settings", "State", "Variable", "items_of", "pairs_of",
]  # fmt: skip

MISSING: Any = object()


class Place:
    """A place, what it held when it was first looked at, and what it held after the last effect that may change it.

    Attributes
    ----------
    label : what it is called in messages
    of, key : the object that it is in, and where in it
    start, now : what it held
    TEST : in which {of}, {key} and {mark} stand for the names of these
    CHANGED : what a step did that changed it by itself
    """

    TEST: ClassVar[str] = ""
    CHANGED: ClassVar[str] = "it changes {label}"

    def __init__(self, label: str, of: Any, key: Any = None) -> None:
        self.label, self.of, self.key = label, of, key
        self.start = self.now = self.look()

    def look(self) -> Any:
        """What the place holds."""
        raise NotImplementedError

    @property
    def test(self) -> str:
        return self.TEST

    @property
    def mark(self) -> Any:
        """What the test compares with."""
        return self.start

    def changed(self) -> bool:
        """Does it hold something else than after the last effect?"""
        return not alike(self.now, self.look())

    def settle(self) -> None:
        """What it holds now is as it should be: an effect has run."""
        self.now = self.look()

    def holds(self) -> bool:
        """Does it hold what it held at the start, or what cannot be told from that?"""
        now = self.look()
        if not alike(self.start, now):
            return False
        self.start = now
        return True


class Entry(Place):
    """What a dictionary has for a key: a global, or an attribute of an object."""

    of: Mapping[str, Any]

    def look(self) -> Any:
        return self.of.get(self.key, MISSING)

    @property
    def test(self) -> str:
        return "{key} not in {of}" if self.start is MISSING else "{of}[{key}] is {mark}"


class Attribute(Place):
    """What a class has under a name."""

    def look(self) -> Any:
        return next((vars(base)[self.key] for base in self.of.__mro__ if self.key in vars(base)), MISSING)

    @property
    def test(self) -> str:
        plain = getattr(self.of, self.key, None) is self.start
        return f"{{of}}.{self.key} is {{mark}}" if plain else "getattr_static({of}, {key}, MISSING) is {mark}"


class Member(Place):
    """What an object has in one of its ``__slots__``."""

    def look(self) -> Any:
        return _in_slot(self.of, self.key)

    @property
    def test(self) -> str:
        plain = self.start is not MISSING
        return f"{{of}}.{self.key.__name__} is {{mark}}" if plain else "in_slot({of}, {key}) is {mark}"


class Cell(Place):
    """A variable that a function has from the one around it."""

    of: CellType

    def look(self) -> Any:
        return _in_cell(self.of)

    @property
    def test(self) -> str:
        return "in_cell({of}) is {mark}" if self.start is MISSING else "{of}.cell_contents is {mark}"


class Detail(Place):
    """What Python keeps of a function: its code, the defaults of its arguments."""

    def look(self) -> Any:
        return getattr(self.of, self.key)

    @property
    def test(self) -> str:
        return f"{{of}}.{self.key} is {{mark}}"


class Items(Place):
    """What a list, a set or a queue holds."""

    def look(self) -> Any:
        return items_of(self.of)

    @property
    def test(self) -> str:
        if type(self.of) is list and len(self.start) < 9:  # item by item this is quicker
            each = [f"i[{k}] is j[{k}]" for k in range(len(self.start))]
            return " and ".join(["len(i := {of}) == len(j := {mark})", *each])
        plain = type(self.of) in _SEQUENCES
        return "same_items({of}, {mark})" if plain else "same_items(items_of({of}), {mark})"


class Pairs(Place):
    """The keys and the values of a dictionary."""

    def look(self) -> Any:
        return pairs_of(self.of)

    @property
    def test(self) -> str:
        plain = type(self.of) is dict
        return "same_items((*{of}, *{of}.values()), {mark})" if plain else "same_items(pairs_of({of}), {mark})"


class Keys(Place):
    """The names of an object's attributes, but for some (`key`)."""

    TEST = "len({of}) == {mark}"

    def look(self) -> Any:
        return tuple(name for name in self.of if name not in self.key)

    @property
    def mark(self) -> Any:
        return len(self.of)


class Contents(Place):
    """The numbers of an array that the step may read by itself, and not by an operation."""

    TEST = "fingerprint({of}) == {mark}"

    of: ndarray

    def look(self) -> Any:
        return self.of.shape, self.of.dtype, fingerprint(self.of)

    @property
    def mark(self) -> Any:
        return self.start[-1]


class Settings(Place):
    """What NumPy does about overflow and its kind."""

    TEST = "geterr() == {mark}"

    def look(self) -> Any:
        return tuple(np.geterr().items())

    @property
    def mark(self) -> Any:
        return dict(self.start)


class Cache(Place):
    """What a function of `functools.lru_cache` knows: emptied, it computes again."""

    TEST = "in_cache({of}) == {mark}"

    def look(self) -> Any:
        return _in_cache(self.of)


class Variable(Place):
    """What a `ContextVar` holds."""

    TEST = "{of}.get(MISSING) is {mark}"

    def look(self) -> Any:
        return self.of.get(MISSING)


class State(Place):
    """The state of a generator of random numbers. It moves on at each call, so it is not compared with the start."""

    CHANGED = "it draws from {label}, so that numbers are made anew, with other values, at each call,"

    def look(self) -> Any:
        return self.key(self.of)

    def changed(self) -> bool:
        return bool(self.now != self.look())

    def holds(self) -> bool:
        return True


_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset, deque, bytearray, array)


def items_of(container: Any) -> tuple[Any, ...]:
    """What a sequence or a set holds, whatever its class makes of going through it."""
    base = next(base for base in _SEQUENCES if issubclass(type(container), base))
    return tuple(base.__iter__(container))


def pairs_of(mapping: Any) -> tuple[Any, ...]:
    """The keys and then the values of a dictionary, whatever its class makes of them."""
    base = dictionary(mapping) if issubclass(type(mapping), dict) else MappingProxyType
    return (*base.keys(mapping), *base.values(mapping))


def _in_slot(of: Any, descriptor: Any) -> Any:
    try:
        return descriptor.__get__(of)
    except AttributeError:
        return MISSING


def _in_cache(function: Any) -> tuple[int, int]:
    info = function.cache_info()
    return info.misses, info.currsize


def _in_cell(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _same_items(container: Any, items: tuple[Any, ...]) -> bool:
    return len(container) == len(items) and all(map(is_, container, items))


HELPERS: dict[str, Any] = {  # what tests call
    "MISSING": MISSING, "fingerprint": fingerprint, "getattr_static": getattr_static, "geterr": np.geterr,
    "in_cache": _in_cache, "in_cell": _in_cell, "in_slot": _in_slot, "items_of": items_of, "pairs_of": pairs_of,
    "same_items": _same_items,
}  # fmt: skip
