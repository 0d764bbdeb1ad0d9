"""What words of the command line stand for: ``FILE.py:name`` and ``MODULE:name`` in Python, ``2x3`` for a shape."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from ..arguments import ShapeLike, check
from ..errors import ArgumentError
from .reading import Expected

__all__ = ["content", "fits", "made", "named", "sizes"]

_LARGEST = 1 << 28  # bytes of a file that is read


def named(who: str, target: str) -> Any:
    """What ``FILE.py:name``, or ``MODULE:name`` with the current folder among the places of modules, stands for.

    ``who`` is what messages begin with. Raises DataError where a file cannot be read, ArgumentError where there is no
    such module or name; what the code itself raises is left alone.

    >>> named("draw", "math:tau")
    6.283185307179586
    """
    place, _, name = target.rpartition(":")
    if name and Path(place).suffix == ".py":
        module = _run(who, Path(place))
    elif name and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", place):
        module = _imported(who, place)
    else:
        raise ArgumentError(f"{who}: expected FILE.py:name or MODULE:name, such as model.py:model, got {target!r}")
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            names = [known for known in vars(module) if not known.startswith("_")]
            names = names if len(names) <= 20 else [*get_close_matches(name, names), "many other names"]
            raise ArgumentError(f"{who}: {place} has no {name!r}; it has {', '.join(names) or 'no names at all'}")
        thing = getattr(thing, part)
    return thing


def content(who: str, path: Path) -> bytes:
    """What is in a file."""
    return Expected(f"{who}: cannot read {str(path)!r}", "a file").read(path, _LARGEST)


def _run(who: str, path: Path) -> ModuleType:
    source = content(who, path)
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{who}: {path} is no Python file")
    module = module_from_spec(spec)
    code = compile(source, str(path), "exec", dont_inherit=True)  # not what Python has kept of an earlier version
    with _findable(path.resolve().parent):
        before = sys.modules.get(path.stem)
        sys.modules[path.stem] = module  # where dataclasses look for it
        try:
            exec(code, vars(module))
        finally:
            del sys.modules[path.stem]
            if before is not None:
                sys.modules[path.stem] = before
    return module


def _imported(who: str, name: str) -> ModuleType:
    with _findable(Path.cwd()):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # one that it imports
            raise ArgumentError(f"{who}: there is no module {error.name!r}; for a file, write FILE.py:name") from None


@contextmanager
def _findable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):  # the code itself may have removed it
            sys.path.remove(str(folder))


def made(thing: Any) -> Any:
    """What a class, or a function of no arguments, makes; anything else is what it is.

    >>> made(lambda: 3), made(3)
    (3, 3)
    """
    code = getattr(thing, "__code__", None)
    makes = isinstance(thing, type) or (code is not None and not code.co_argcount and not code.co_flags & 0x0C)
    return thing() if makes else thing


def fits(who: str, target: str, thing: Any, args: Sequence[Any]) -> None:
    """Raise ArgumentError if a function takes another number of arguments than there are shapes."""
    if isinstance(thing, type):
        return
    try:
        takes = inspect.signature(getattr(thing, "forward", thing))
    except (TypeError, ValueError):  # written in C
        return
    try:
        takes.bind(*args)
    except TypeError:
        names = ", ".join(str(p.replace(annotation=p.empty)) for p in takes.parameters.values())
        n = len(args)
        raise ArgumentError(
            f"{who}: {target} takes ({names}), got {n} argument{'s' * (n != 1)}: give the shape of each with "
            "--input, such as --input 1x28x28x1"
        ) from None


def sizes(who: str, shape: str) -> tuple[int, ...]:
    """The shape that a word says.

    >>> sizes("draw", "2x3"), sizes("draw", "")
    ((2, 3), ())
    """
    if not re.fullmatch(r"(\d{1,18}([x,]\d{1,18})*)?", shape):
        raise ArgumentError(f"{who}: expected a shape such as 1x28x28x1, got {shape!r}")
    found: tuple[int, ...] = check(ShapeLike, who, "--input", tuple(map(int, re.findall(r"\d+", shape))))
    return found
