"""What a rank's program consists of, as lines that other ranks can compare: its files, and the code and settings of
objects such as a model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Set
from functools import partial
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from .. import nn, optim
from ..engine.source import whose
from ..engine.tensor import Tensor

__all__ = ["Line", "of_files", "of_object"]

Line: TypeAlias = tuple[str, str]  # what, and what is told of it
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, np.dtype, np.generic)


def of_files() -> Iterator[Line]:
    """The user's own modules that are loaded, the program among them."""
    for name, module in sorted(sys.modules.copy().items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and whose(file) == "user":
            yield f"file of {'the program' if name == '__main__' else name}", _checksum(file)
    if not hasattr(sys.modules["__main__"], "__file__"):  # python -c
        yield "program", " ".join(sys.orig_argv)


def _checksum(file: str) -> str:
    try:
        return f"{Path(file).name} ({crc32(Path(file).read_bytes()):08x})"
    except OSError:  # it is in an archive, or gone
        return "one that cannot be read"


def of_object(name: str, value: Any) -> Iterator[Line]:
    """The classes, code and settings that an object consists of. Of parameters the values are left out.

    >>> import tinygrad_conv as tg
    >>> dict(of_object("net", tg.nn.Sequential([tg.nn.Dropout(0.5)])))["net.layers[0].rate"]
    '0.5'
    """
    left, seen = [(name, value)], dict[int, tuple[str, Any]]()  # with the objects, so that no id is used again
    while left:
        name, value = left.pop()
        if isinstance(value, _PLAIN):
            yield name, repr(value)
            continue
        if first := seen.get(id(value)):
            yield name, f"the same as {first[0]}"
            continue
        seen[id(value)] = name, value
        told, inside = _opened(value)
        yield name, told
        left += [(name + key, part) for key, part in reversed(inside)]


def _opened(value: Any) -> tuple[str, list[tuple[str, Any]]]:
    """What is told of a value, and what lies in it, each with what is added to the name."""
    if isinstance(value, Tensor):
        return f"shape {value.shape}, dtype {value.dtype}", []
    if isinstance(value, np.ndarray):
        content = "objects" if value.dtype.hasobject else f"content {crc32(value.tobytes()):08x}"
        return f"shape {value.shape}, dtype {value.dtype}, {content}", []
    if isinstance(value, list | tuple):
        return f"{_name(type(value))} of {len(value)}", [(f"[{k}]", part) for k, part in enumerate(value)]
    if isinstance(value, Mapping):
        return f"{_name(type(value))} of {len(value)}", [(f"[{_key(key)}]", part) for key, part in value.items()]
    if isinstance(value, set | frozenset):
        return f"{_name(type(value))} of {sorted(map(_key, value))}", []
    if isinstance(value, MethodType):
        return "a method", [(".__func__", value.__func__), (".__self__", value.__self__)]
    if isinstance(value, partial):
        return "a partial", [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, staticmethod | classmethod):
        return "a method", [("", value.__func__)]
    if isinstance(value, property):
        return "a property", [("", value.fget)]
    if callable(value) and unwrap(value) is not value:
        return "a wrapped function", [("", unwrap(value))]
    if isinstance(value, FunctionType):
        return _function(value)
    if isinstance(value, type):
        return _name(value), _written(value)
    inside = [(".__class__", type(value))] if _origin(type(value)) == "user" else []
    if _origin(type(value)) != "foreign":
        kept = getattr(value, "__dict__", {})
        inside += [(f".{name}", part) for name, part in sorted(kept.items()) if name not in _ignored(value)]
    return _name(type(value)), inside


def _ignored(value: Any) -> Set[str]:
    """The attributes that decide nothing, or are taken over from rank 0."""
    if isinstance(value, nn.Module):
        return value._ignored - {"loss", "_metrics"} | {"seed"}
    return optim.Optimizer._ignored | {"steps", "state"} if isinstance(value, optim.Optimizer) else frozenset()


def _function(function: FunctionType) -> tuple[str, list[tuple[str, Any]]]:
    """Its code, if it is the user's, and the numbers and functions that it was given when it was made."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    inside = [(f" ({name})", cell.cell_contents) for name, cell in cells if _filled(cell)]
    if _origin(function) != "user":
        return _name(function), inside if _origin(function) == "library" else []
    inside += [(" (default)", part) for part in (function.__defaults__, function.__kwdefaults__) if part]
    used = ((name, function.__globals__.get(name)) for name in function.__code__.co_names)
    inside += [(f" ({name})", part) for name, part in used if isinstance(part, FunctionType | type)]
    return f"{_name(function)}, code {crc32(_text(function.__code__).encode()):08x}", inside


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _text(code: CodeType) -> str:
    """What code does, without where it stands."""
    return f"{code.co_code!r} {[_key(part) for part in code.co_consts]} {code.co_names} {code.co_varnames}"


def _key(value: Any) -> str:
    """A text without addresses, and of sets in one order."""
    if isinstance(value, CodeType):
        return _text(value)
    if isinstance(value, tuple | frozenset):
        texts = [_key(part) for part in value]
        return str(texts if isinstance(value, tuple) else sorted(texts))
    return repr(value) if isinstance(value, _PLAIN) else _name(type(value))


def _written(kind: type) -> list[tuple[str, Any]]:
    """What the user has written in a class, and in those that it derives from."""
    if _origin(kind) != "user":
        return []
    own = [
        (f".{name}", part) for name, part in sorted(vars(kind).items())
        if not name.startswith("__") or isinstance(part, FunctionType)
    ]  # fmt: skip
    return [*own, *((f" ({base.__name__})", base) for base in kind.__bases__)]


def _origin(thing: Any) -> str:
    """Whose a class or function is."""
    code = getattr(thing, "__code__", None)
    file = code.co_filename if code else getattr(sys.modules.get(thing.__module__), "__file__", None)
    if thing.__module__ == "__main__" and file is None:  # python -c
        return "user"
    return whose(file) if isinstance(file, str) else "foreign"


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__name__)).rpartition("<locals>.")[2]
