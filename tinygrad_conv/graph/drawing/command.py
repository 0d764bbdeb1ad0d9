"""``tinygrad-conv draw FILE.py:name``: a picture, or a difference, from the command line."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from ...arguments import ShapeLike, afford, check
from ...engine.tensor import Tensor
from ...errors import ArgumentError, DataError
from ...files import Expected, write
from ..snapshot import own_example, snapshot
from ..value import Graph, counted
from .diff import diff
from .render import Drawing, draw

__all__ = ["draw_command", "load"]

_LARGEST = 1 << 28  # bytes of a file that is read


def draw_command(
    target: str, shapes: Sequence[str] = (), out: str | None = None, against: str | None = None, **options: Any
) -> int:
    """Draw what `target` names; returns the exit code.

    Parameters
    ----------
    target : str
        ``FILE.py:name``: a tensor, model or function in a Python file, or a function of no arguments that makes one;
        or a ``.json`` file of `Graph.to_json`.
    shapes : such as "1x28x28x1"
        The shapes of the arguments, which are drawn from a fixed seed.
    out : path, optional
        Where to write the picture (.svg, .png, .pdf, .dot, .html, or .json for the graph); a tree is printed without.
    against : str, optional
        Another target: print what differs from it; the exit code is 1 if anything does.
    **options
        What `draw` takes.

    Raises
    ------
    ArgumentError
        There is no such file or name, a shape that is none, or more or fewer of them than there are arguments.
    """
    args = [_example(shape) for shape in shapes]
    graph_or_thing = load(target)
    _fits(graph_or_thing, target, shapes)
    if against is not None:
        other = load(against)
        _fits(other, against, shapes)
        changes = diff(snapshot(other, *args), snapshot(graph_or_thing, *args))
        print(changes)
        if out is not None:
            print(changes.render(out))
        return changes.exit_code
    drawing = graph_or_thing if isinstance(graph_or_thing, Drawing) else draw(graph_or_thing, *args, **options)
    if out is None:
        print(drawing)
    elif out.lower().endswith(".json"):
        print(write(out, drawing.graph.to_json(), "draw"))
    else:
        print(drawing.render(out))
    return 0


def load(target: str) -> Any:
    """What ``FILE.py:name`` stands for."""
    file, _, name = target.rpartition(":")
    if not file:
        file, name = target, ""
    path = Path(file)
    if path.suffix == ".json":
        try:
            return Graph.from_json(_content(path).decode(errors="replace"))
        except DataError as error:
            raise DataError(f"draw: {path}: {error}") from None
    if not name or path.suffix != ".py":
        raise ArgumentError(f"draw: expected FILE.py:name, such as model.py:model, got {target!r}")
    _content(path)  # for its error
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"draw: {file} is no Python file")
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, name):
        names = [known for known in vars(module) if not known.startswith("_")]
        raise ArgumentError(f"draw: {file} has no {name!r}; it has {', '.join(names) or 'no names at all'}")
    thing = getattr(module, name)
    return thing() if _makes_one(thing) else thing


def _makes_one(thing: Any) -> bool:
    """Is this a function of no arguments, or a class, that makes what is to be drawn?"""
    code = getattr(thing, "__code__", None)
    return isinstance(thing, type) or (code is not None and not code.co_argcount and not code.co_flags & 0x0C)


def _content(path: Path) -> bytes:
    return Expected(f"draw: cannot read {str(path)!r}", "a file").read(path, _LARGEST)


def _fits(thing: Any, target: str, shapes: Sequence[str]) -> None:
    """Raise ArgumentError if what is to be drawn takes another number of arguments than there are shapes."""
    if isinstance(thing, (Tensor, Graph, Drawing)) or hasattr(type(thing), "__graph__") or not callable(thing):
        return
    args = shapes or own_example(thing)
    takes = inspect.signature(getattr(thing, "forward", thing))
    try:
        takes.bind(*args)
    except TypeError:
        names = ", ".join(str(p.replace(annotation=p.empty)) for p in takes.parameters.values())
        raise ArgumentError(
            f"draw: {target} takes ({names}), got {counted(len(args), 'argument')}: give the shape of each with "
            "--input, such as --input 1x28x28x1"
        ) from None


def _example(shape: str) -> Tensor:
    """
    >>> _example("2x3").shape, _example("").shape
    ((2, 3), ())
    """
    if not re.fullmatch(r"(\d{1,18}([x,]\d{1,18})*)?", shape):
        raise ArgumentError(f"draw: expected a shape such as 1x28x28x1, got {shape!r}")
    sizes: tuple[int, ...] = check(ShapeLike, "draw", "--input", tuple(map(int, re.findall(r"\d+", shape))))
    afford("draw", sizes)
    return Tensor(np.random.default_rng(0).normal(size=sizes).astype("float32"))
