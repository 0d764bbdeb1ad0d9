"""``tinygrad-conv draw FILE.py:name``: a picture, or a difference, from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...arguments import afford
from ...engine.tensor import Tensor
from ...errors import DataError
from ...files import write
from ...files.targets import content, fits, made, named, sizes
from ..snapshot import own_example, snapshot
from ..value import Graph
from .diff import diff
from .render import Drawing, draw

__all__ = ["draw_command", "load"]


def draw_command(
    target: str, shapes: Sequence[str] = (), out: str | None = None, against: str | None = None, **options: Any
) -> int:
    """Draw what `target` names; returns the exit code.

    Parameters
    ----------
    target : str
        ``FILE.py:name`` or ``MODULE:name``: a tensor, model or function, or a function of no arguments that makes one;
        or a ``.json`` file of `Graph.to_json`.
    shapes : such as "1x28x28x1"
        The shapes of the arguments, which are drawn from a fixed seed.
    out : path, optional
        Where to write the picture (.svg, .png, .pdf, .tikz, .dot, .html, or .json for the graph); a tree is printed
        without.
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
    """What ``FILE.py:name`` or ``MODULE:name`` stands for, or the graph in a ``.json`` file."""
    path = Path(target)
    if path.suffix != ".json":
        return made(named("draw", target))
    try:
        return Graph.from_json(content("draw", path).decode(errors="replace"))
    except DataError as error:
        raise DataError(f"draw: {path}: {error}") from None


def _fits(thing: Any, target: str, shapes: Sequence[str]) -> None:
    """Raise ArgumentError if what is to be drawn takes another number of arguments than there are shapes."""
    if isinstance(thing, (Tensor, Graph, Drawing)) or hasattr(type(thing), "__graph__") or not callable(thing):
        return
    fits("draw", target, thing, shapes or own_example(thing))


def _example(shape: str) -> Tensor:
    """
    >>> _example("2x3").shape, _example("").shape
    ((2, 3), ())
    """
    size = sizes("draw", shape)
    afford("draw", size)
    return Tensor(np.random.default_rng(0).normal(size=size).astype("float32"))
