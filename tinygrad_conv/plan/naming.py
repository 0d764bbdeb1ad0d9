"""What a piece of Python code names: the globals it reads, the attributes it may ask for, and where it says so."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import NamedTuple

__all__ = ["Named", "line_of", "named"]


class Named(NamedTuple):
    """The names in some code, and in the functions and classes that are written in it.

    Attributes
    ----------
    globals : names that are looked up among the globals of the code
    attributes : names that are asked of objects; strings that could be such count, for ``getattr``
    modules : names of modules that are imported
    anything : may it ask an object for a name that does not stand in it?
    catches : where it has an ``except`` or a ``finally``
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    modules: frozenset[str]
    anything: bool
    catches: tuple[CodeType, int] | None


@lru_cache(maxsize=4096)
def named(code: CodeType) -> Named:
    """The names in some code."""
    names, attributes, texts, modules = set[str](), set[str](), set[str](), set[str]()
    catches = None
    for inner in _all(code):
        texts |= {text for text in inner.co_consts if isinstance(text, str) and text.isidentifier()}
        caught = -1
        for instruction in dis.get_instructions(inner):
            name = instruction.argval
            if instruction.opname == "PUSH_EXC_INFO":
                caught = instruction.offset
            elif caught >= 0:
                if instruction.opname != "WITH_EXCEPT_START":  # the end of a `with`
                    catches = catches or (inner, caught)
                caught = -1
            if not isinstance(name, str):
                continue
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
                names.add(name)
            elif instruction.opname == "IMPORT_NAME":
                modules.add(name)
            elif instruction.opname.endswith(("_ATTR", "_METHOD", "IMPORT_FROM")):
                attributes.add(name)
    anything = not (names | attributes).isdisjoint(_BY_NAME)  # a text, as in mode == "eval", calls nothing
    return Named(frozenset(names), frozenset(attributes | texts), frozenset(modules), anything, catches)


_BY_NAME = (
    "getattr", "setattr", "hasattr", "delattr", "vars", "eval", "exec", "globals", "locals", "dir", "attrgetter",
    "methodcaller", "__dict__", "__getattribute__", "__builtins__",
)  # fmt: skip


def line_of(code: CodeType, name: str) -> tuple[CodeType, int] | None:
    """Where some code changes what is called `name`, or else where it first names it."""
    first = None
    for inner in _all(code):
        for instruction in dis.get_instructions(inner):
            if instruction.argval == name:
                if instruction.opname.startswith(("STORE_", "DELETE_")):
                    return inner, instruction.offset
                first = first or (inner, instruction.offset)
    return first


def _all(code: CodeType) -> Iterator[CodeType]:
    """Some code, and the code of the functions and classes that are written in it."""
    left = [code]
    while left:
        inner = left.pop()
        yield inner
        left += (part for part in inner.co_consts if isinstance(part, CodeType))
