"""JSON that the library wrote, and perhaps somebody edited since: read as records whose fields say their kinds."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar, get_type_hints

from ..arguments import check
from ..errors import DataError, TinygradConvError
from .reading import Expected

__all__ = ["parsed", "record", "value"]

T = TypeVar("T")


def parsed(text: bytes | str, expected: Expected) -> Any:
    """What a JSON text says. Raises DataError for any other text, also for one that is nested too deeply."""
    with expected.checking("other content"):
        return json.loads(text)


def record(of: type[T], found: Any, expected: Expected) -> T:
    """An instance of a dataclass from a JSON object: its fields (those with a default may be missing) and no others.

    Raises DataError for a value that is not of the kind that its field is annotated with: it names the field, what that
    may be, and what is there.

    >>> from dataclasses import make_dataclass
    >>> from tinygrad_conv.arguments import Size
    >>> Settings = make_dataclass("Settings", [("epochs", Size)])
    >>> try:
    ...     record(Settings, {"epochs": 0}, Expected("settings.json", "settings"))
    ... except DataError as error:
    ...     print(error)
    settings.json: expected epochs to be an int >= 1, got 0; use epochs=1
    """
    kinds, needed = _fields(of)  # type: ignore[arg-type, unused-ignore]
    if not isinstance(found, dict) or not needed <= found.keys() <= kinds.keys():
        got = f"{', '.join(map(repr, found))}"[:200] if isinstance(found, dict) else type(found).__name__
        raise expected.error(f"other content ({got} instead of {', '.join(kinds)})")
    return of(**{name: value(kinds[name], name, it, expected) for name, it in found.items()})


@cache
def _fields(of: Any) -> tuple[dict[str, Any], set[str]]:
    """The annotations of a dataclass' fields, and which of them have no default."""
    kinds = get_type_hints(of, include_extras=True)
    return {field.name: kinds[field.name] for field in fields(of)}, {f.name for f in fields(of) if f.default is MISSING}


def value(annotation: Any, name: str, found: Any, expected: Expected) -> Any:
    """One value of the kind that an annotation stands for. Raises DataError as `record` does."""
    try:
        return check(annotation, expected.where, name, found)
    except TinygradConvError as error:
        raise DataError(str(error)) from None
