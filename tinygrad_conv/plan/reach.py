"""All that the Python code of a step can read: found by what its code names, before it runs.

Nobody sees an attribute being read. But what can be read can be found: the variables that the step's code names, those
of the functions that it can call, what they hold, and of the objects among it the attributes whose names stand in that
code. Each is a `Place`, whose content a plan takes for granted. Code of the library is known to read nothing but what
it is given, and its objects say themselves on what of them a step depends (``_assumed``).

What cannot be followed is noted: an object of foreign make that may change within (`refused`), a function that may give
something else each time (`doubt`).
"""

from __future__ import annotations

import builtins
import random
import sys
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from operator import attrgetter, itemgetter, methodcaller
from pathlib import PurePath
from re import Pattern
from threading import Lock, RLock
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, NamedTuple

import numpy as np

from ..engine.source import describe_source, whose
from ..engine.tensor import Tensor, ndarray
from ..nn import init
from .naming import line_of, named
from .places import (
    MISSING,
    Attribute,
    Cache,
    Cell,
    Contents,
    Detail,
    Entry,
    Items,
    Keys,
    Member,
    Pairs,
    Place,
    Settings,
    State,
    Variable,
    items_of,
    pairs_of,
)
from .values import is_plain

__all__ = ["Reach"]

MOST_PLACES = 200_000  # a place is a few nanoseconds at each call
MOST_ITEMS = 10_000  # of a container


class Reach:
    """What the code of a step can read.

    Attributes
    ----------
    places : where it can read
    tensors : those that it can read, by their ids
    refused : why no plan can be had, if something cannot be followed
    doubt : what may give something else each time
    prints : is a text that the code makes of a tensor part of what it does?
    """

    prints = True

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.tensors: dict[int, Tensor] = {}
        self.refused: str | None = None
        self.doubt: str | None = None
        self._seen: dict[int, Any] = {}  # by id; held, so that no other gets it
        self._taken: set[tuple[Any, ...]] = set()  # the places that there are
        self._left: list[tuple[str, Any]] = []
        self._objects: list[tuple[str, Any]] = []  # whose attributes count if they are named
        self._names: set[str] = set()
        self._codes: list[CodeType] = []
        self._anything = False
        self._classes: dict[type, _Class] = {}
        self._place(State, "the random numbers of numpy.random", np.random.mtrand._rand, _legacy_state)
        self._place(State, "the random numbers of random", random._inst, _python_state)
        self._hold(Entry, "the package's generator", vars(init), "_default")

    def add(self, label: str, value: Any) -> None:
        """Find all that can be read from a value."""
        self._left.append((label, value))
        known: Any = None
        while self._left or known != (len(self._names), self._anything, self.doubt):
            if not self._left:
                known = len(self._names), self._anything, self.doubt
                for name, of in list(self._objects):
                    self._attributes(name, of)
                continue
            label, value = self._left.pop()
            if id(value) not in self._seen and not is_plain(value):
                self._seen[id(value)] = value
                self._visit(label, value)
            if len(self.places) > MOST_PLACES:
                self._refuse(f"it can read more than {MOST_PLACES:,} variables and attributes")
                self._left.clear()
                return

    def includes(self, value: Any) -> bool:
        """Can the step read this object?"""
        return id(value) in self._seen

    def places_of(self, objects: Sequence[Any]) -> list[Place]:
        """The places that an effect on some objects may change."""
        if not all(isinstance(of, np.random.Generator) for of in objects):
            return self.places
        return [place for place in self.places if any(place.of is of for of in objects)] if objects else []

    def line(self, label: str) -> str:
        """Where the step's code changes, or reads, what has this label."""
        name = label.split("[")[0].split(".")[-1]
        found = [source for code in self._codes if (source := line_of(code, name)) is not None]
        return f" at {describe_source(found[0])}" if found else ""

    # -- one value -------------------------------------------------------------------------------------------------

    def _visit(self, label: str, value: Any) -> None:
        self._anything |= id(value) in _BY_NAME
        for kinds, visit in _VISITS:
            if issubclass(type(value), kinds):
                visit(self, label, value)
                return
        self._object(label, value)

    def _tensor(self, label: str, value: Tensor) -> None:
        self.tensors[id(value)] = value
        self._objects.append((label, value))  # for its name, and what a subclass may have

    def _array(self, label: str, value: ndarray) -> None:
        if value.dtype.hasobject:
            self._refuse(f"it can read {label}, an array of objects: make a list of it")
        else:
            self._place(Contents, label, value)

    def _view(self, label: str, value: memoryview) -> None:
        self._left.append((label, np.asarray(value)))

    def _function(self, label: str, function: FunctionType) -> None:
        """Its code, and what that names: the variables around it, globals, defaults of its arguments."""
        code = function.__code__
        origin = whose(code.co_filename)
        if origin != "user":
            self._decorated(label, function)
            if origin == "foreign" and not hasattr(function, "__wrapped__"):
                self._doubt(label)
            return
        names = named(code)
        self._codes.append(code)
        self._names |= names.attributes
        self._anything |= names.anything
        if names.catches is not None:
            self._refuse(f"it catches what is raised, at {describe_source(names.catches)}")
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._hold(Cell, name, cell)
        for name in sorted(names.globals):
            self._hold(Entry, name, function.__globals__, name)
            if name not in function.__globals__:
                self._left.append((name, getattr(builtins, name, None)))
        for name in sorted(names.modules):
            self._left.append((name, sys.modules.get(name.split(".")[0])))
        self._hold(Detail, label, function, "__code__")
        for key in ("__defaults__", "__kwdefaults__"):
            if getattr(function, key):  # where there are none, all arguments are given
                self._hold(Detail, f"the defaults of {label}", function, key)
        if "geterr" in names.attributes:
            self._place(Settings, "np.geterr()", np.geterr)
        if function.__dict__:
            self._object(label, function)

    def _decorated(self, label: str, function: FunctionType) -> None:
        """Functions of others in one that is not the user's: what it decorates, and the rules of an operation."""
        inner = [Cell(label, cell).start for cell in function.__closure__ or ()]
        if (primitive := getattr(function, "primitive", None)) is not None:
            inner += [primitive.forward, *primitive.vjps, *primitive.vjps_on_tensors, *primitive.jvps]
            inner += primitive.jvps_on_tensors
        self._left += [(label, value) for value in inner if callable(value)]

    def _method(self, label: str, method: Any) -> None:
        self._left += [(label, method.__self__), (label, method.__func__)]

    def _partial(self, label: str, value: Any) -> None:
        self._left.append((label, value.func))
        self._items(label, value.args)
        self._pairs(label, value.keywords)

    def _builtin(self, label: str, function: Any) -> None:
        of = function.__self__
        if of is not None and not isinstance(of, ModuleType):
            self._left.append((label, of))
        elif function in _IMPURE or not (function.__module__ or "numpy").startswith(_PURE):
            self._doubt(label)

    def _module(self, label: str, module: ModuleType) -> None:
        if not module.__name__.startswith(_KNOWN):
            self._object(label, module)

    def _items(self, label: str, value: Any) -> None:
        items = items_of(value)
        if self._is_short(label, value, items):
            if not isinstance(value, (tuple, frozenset)):
                self._place(Items, label, value)
            self._left += [(f"{label}[{k}]", item) for k, item in enumerate(items)]
            if type(value).__module__ not in _CONTAINERS:
                self._object(label, value)

    def _pairs(self, label: str, value: Any) -> None:
        pairs = pairs_of(value)
        if self._is_short(label, value, pairs):
            self._place(Pairs, label, value)
            half = len(pairs) // 2
            for key, item in zip(pairs[:half], pairs[half:], strict=True):
                self._left += [(label, key), (f"{label}[{key!r}]" if is_plain(key) else label, item)]
            if type(value).__module__ not in _CONTAINERS:
                self._object(label, value)

    def _is_short(self, label: str, value: Any, items: tuple[Any, ...]) -> bool:
        if len(items) > MOST_ITEMS:
            self._refuse(f"it can read {label}, a {type(value).__name__} of {len(items):,}: make an array of it")
        return len(items) <= MOST_ITEMS

    def _generator(self, label: str, value: Any) -> None:
        self._place(State, label, value, _state)

    def _legacy_generator(self, label: str, value: Any) -> None:
        self._place(State, label, value, _legacy_state)

    def _python_generator(self, label: str, value: Any) -> None:
        self._place(State, label, value, _python_state)

    def _property(self, label: str, value: property) -> None:
        self._left += [(label, value.fget), (label, value.fset), (label, value.fdel)]

    def _wrapped(self, label: str, value: Any) -> None:
        self._left.append((label, value.__func__))

    def _cached(self, label: str, value: cached_property[Any]) -> None:
        self._left.append((label, value.func))

    def _cache(self, label: str, value: Any) -> None:
        self._place(Cache, label, value)
        self._left.append((label, value.__wrapped__))

    def _variable(self, label: str, value: ContextVar[Any]) -> None:
        self._hold(Variable, label, value)

    def _getter(self, label: str, value: Any) -> None:
        """What it asks of an object: names, or a method and what that is called with."""
        make, parts = value.__reduce__()
        if isinstance(make, partial):  # a methodcaller with keywords
            parts = (*make.args, *parts, *make.keywords.values())
        asked = parts[:1] if isinstance(value, methodcaller) else parts
        self._names.update(*(name.split(".") for name in asked))
        self._items(label, parts)

    def _known(self, label: str, value: Any) -> None:
        """Nothing in it changes."""

    # -- objects ---------------------------------------------------------------------------------------------------

    def _object(self, label: str, value: Any) -> None:
        """An object, of which those attributes count that some code names, or that it says itself."""
        kind = type(value)
        self._objects.append((label, value))
        self._attributes(label, value)
        if isinstance(value, (type, ModuleType)) or kind in (object, SimpleNamespace, _namespace()):
            return
        if hasattr(kind, "__next__"):
            self._refuse(f"it can read {label}, a {kind.__name__}, which may give something else each time")
        elif (inner := _own(value, "__self__")) is not None:  # a method that is not written in Python
            self._left.append((label, inner))
            self._doubt(label)
        elif self._class(kind).is_foreign:
            self._refuse(f"it can read {label}, a {kind.__name__}, within which a plan cannot look")

    def _attributes(self, label: str, value: Any) -> None:
        """The attributes of an object, a class or a module that count by now."""
        own: Mapping[str, Any]
        kind, own = type(value), _own(value, "__dict__", MappingProxyType({}))
        names: set[str] | frozenset[str] = self._names
        instance = not isinstance(value, (type, ModuleType, FunctionType))
        anything = self._anything or (instance and self.doubt is not None)  # code of others asks what it is given
        if isinstance(value, type):
            kind, own = value, MappingProxyType({})
        elif hasattr(kind, "_assumed"):
            names = value._assumed(self._names) | (set(own) - (kind._ignored or own.keys()) if anything else set())
            anything = False
            if kind._ignored is not None:
                self._place(Keys, f"the attributes of {label}", own, kind._ignored)
        elif instance and _own(value, "__dict__") is not None:
            self._place(Keys, f"the attributes of {label}", own, frozenset())
        if anything:
            names = names | {name for name in own if instance or not name.startswith("__")}
        for name in [name for name in own if name in names]:
            self._hold(Entry, f"{label}.{name}", own, name)
        if isinstance(value, ModuleType) or kind.__flags__ & _IMMUTABLE:
            return
        attributes, ways_in, _ = self._class(kind)
        if anything:
            names = names | attributes.keys()
        for name in sorted((names | ways_in) & attributes.keys()):
            if isinstance(attributes[name], MemberDescriptorType):
                if not isinstance(value, type) and name not in ("_array", "node"):  # which are looked at in any case
                    self._hold(Member, f"{label}.{name}", value, attributes[name])
            elif name not in own and (name in ("forward", "call") or "library" not in _origins(attributes[name])):
                self._hold(Attribute, f"{kind.__name__}.{name}", kind, name)

    def _class(self, kind: type) -> _Class:
        if kind not in self._classes:
            self._classes[kind] = _Class.of(kind)
        return self._classes[kind]

    # -- places ----------------------------------------------------------------------------------------------------

    def _hold(self, kind: type[Place], label: str, of: Any, key: Any = None) -> None:
        """Add a place that holds one value, which can be read then."""
        place = self._place(kind, label, of, key)
        if place is not None and place.start is not MISSING:
            self._left.append((label, place.start))

    def _place(self, kind: type[Place], label: str, of: Any, key: Any = None) -> Place | None:
        """Add a place; None if it is there already."""
        at = kind, id(of), key
        if at in self._taken:
            return None
        self._taken.add(at)
        self._seen.setdefault(id(of), of)
        place = kind(label, of, key)
        self.places.append(place)
        return place

    def _refuse(self, why: str) -> None:
        self.refused = self.refused or why

    def _doubt(self, label: str) -> None:
        self.doubt = self.doubt or label


_KNOWN = (  # of these modules nobody changes a thing
    "abc", "builtins", "cmath", "collections", "contextlib", "dataclasses", "enum", "functools", "itertools", "math",
    "numpy", "operator", "tinygrad_conv", "types", "typing",
)  # fmt: skip
_PURE = ("_functools", "_operator", "builtins", "cmath", "math", "numpy")
_IMPURE = {input, open, id, breakpoint, np.random.default_rng}
_BY_NAME = {  # what asks an object for a name that need not stand in the code, whatever it is called there
    *map(id, (getattr, setattr, hasattr, delattr, vars, eval, exec, globals, locals, dir, attrgetter, methodcaller)),
    *map(id, (object.__getattribute__, type.__getattribute__, super.__getattribute__, ModuleType.__getattribute__)),
}  # fmt: skip
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_FIXED = (  # objects that are what they are
    date, time, timedelta, tzinfo, Decimal, Enum, Fraction, PurePath, Pattern, type(Lock()), type(RLock()), np.ufunc,
    type(np.mean), itemgetter,
)  # fmt: skip
_CONTAINERS = ("builtins", "collections", "array", "types")  # modules with the classes of containers

_VISITS: list[tuple[Any, Any]] = [
    (Tensor, Reach._tensor),
    (ndarray, Reach._array),
    (FunctionType, Reach._function),
    (MethodType, Reach._method),
    (BuiltinFunctionType, Reach._builtin),
    (partial, Reach._partial),
    (ModuleType, Reach._module),
    (type, Reach._object),
    ((dict, MappingProxyType), Reach._pairs),
    ((tuple, list, set, frozenset, deque, bytearray, array), Reach._items),
    (np.random.Generator, Reach._generator),
    (np.random.RandomState, Reach._legacy_generator),
    (random.Random, Reach._python_generator),
    (property, Reach._property),
    ((classmethod, staticmethod), Reach._wrapped),
    (cached_property, Reach._cached),
    (ContextVar, Reach._variable),
    (type(lru_cache(int)), Reach._cache),
    (memoryview, Reach._view),
    ((attrgetter, methodcaller), Reach._getter),
    (_FIXED, Reach._known),
]


def _state(generator: np.random.Generator) -> Any:
    return _frozen(generator.bit_generator.state)


def _legacy_state(generator: np.random.RandomState) -> Any:
    return _frozen(generator.get_state(legacy=False))


def _python_state(generator: random.Random) -> Any:
    return generator.getstate()


def _frozen(state: Any) -> Any:
    """Nested dictionaries of numbers and arrays as what can be compared."""
    if isinstance(state, dict):
        return tuple((key, _frozen(item)) for key, item in state.items())
    return state.tobytes() if isinstance(state, ndarray) else state


class _Class(NamedTuple):
    """What is asked of a class.

    Attributes
    ----------
    attributes : all that it has, but what every object has
    ways_in : methods that a user wrote and that are called though no code of theirs names them: for operators, for a
        ``with``, and those of a class of the library that were written anew
    is_foreign : is it, or a class that it is derived from, of neither the user nor the library? Then nobody knows what
        its objects hold.
    """

    attributes: dict[str, Any]
    ways_in: frozenset[str]
    is_foreign: bool

    @classmethod
    def of(cls, kind: type) -> _Class:
        bases = [base for base in kind.__mro__ if base.__module__ not in ("builtins", "typing", "abc", "collections")]
        attributes = {name: found for base in reversed(bases) for name, found in vars(base).items()}
        origins = [(name, origin) for base in bases for name, found in vars(base).items() for origin in _origins(found)]
        ours = {name for name, origin in origins if origin == "library"}
        ways_in = frozenset(
            name for name, origin in origins
            if origin == "user" and (name in ours or (name.startswith("__") and name.endswith("__")))
        )  # fmt: skip
        return cls(attributes, ways_in, any(map(_is_foreign, bases)))


def _is_foreign(kind: type) -> bool:
    """Does a class come with Python, or with something that was installed beside it?"""
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    return file is None or whose(file) == "foreign"


def _namespace() -> Any:
    """The class of what `argparse` gives, if somebody uses it: an object of attributes."""
    return getattr(sys.modules.get("argparse"), "Namespace", None)


def _own(value: Any, name: str, default: Any = None) -> Any:
    """An attribute of an object, without asking its class for what it makes of that."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return default


def _origins(found: Any) -> Iterator[str]:
    """Whose the functions of a class's attribute are."""
    for inner in (found, *(getattr(found, name, None) for name in ("__func__", "fget", "fset", "__wrapped__"))):
        if isinstance(inner, FunctionType):
            origin = whose(inner.__code__.co_filename)
            if origin != "foreign" or not hasattr(inner, "__wrapped__"):
                yield origin
