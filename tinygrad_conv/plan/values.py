"""Python values as a recording compares them: by bits where they are plain, by identity where they are not.

``0.0`` and ``-0.0`` are two values, ``NaN`` is equal to itself, and ``1``, ``1.0`` and ``True`` are three.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from struct import pack
from typing import Any

import numpy as np

__all__ = ["Same", "alike", "is_plain", "told"]


class Same:
    """Stands for an object: equal to what stands for that very object, which lives as long as this does."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def told(value: Any) -> Hashable:
    """What is equal for two values if, and only if, they are the same for ever: plain ones of the same bits, tuples of
    such, or one object."""
    try:
        return _told(value)
    except RecursionError:  # tuples in tuples, very deep
        return Same(value)


def _told(value: Any) -> Hashable:
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return kind, pack("d", value)
    if kind is complex:
        return kind, pack("dd", value.real, value.imag)
    if issubclass(kind, np.dtype):
        return np.dtype, value
    if issubclass(kind, np.generic) and not value.dtype.hasobject:
        return kind, value.dtype, value.tobytes()
    if kind is slice:
        return kind, _told(value.start), _told(value.stop), _told(value.step)
    if kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return kind, *map(_told, tuple.__iter__(value))
    if kind is frozenset:
        return kind, frozenset(map(_told, value))
    if is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return kind, *(_told(getattr(value, field.name, None)) for field in fields(kind))
    return Same(value)


def is_plain(value: Any) -> bool:
    """Is a value told by what it is, to its last part?"""
    left = [told(value)]
    while left:
        part = left.pop()
        if isinstance(part, Same):
            return False
        left += part if isinstance(part, (tuple, frozenset)) else ()
    return True


def alike(a: Any, b: Any) -> bool:
    """Are two values told alike?"""
    return a is b or (type(a) is type(b) and told(a) == told(b))


_PLAIN = {int, str, bytes, bool, type(None), type(...), type(NotImplemented), range}
