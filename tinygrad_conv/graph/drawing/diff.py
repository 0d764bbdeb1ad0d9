"""`diff`: what differs between two graphs, with a picture of both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...arguments import checked
from ..comparison import Comparison
from ..snapshot import snapshot
from ..value import Graph, GraphModule, GraphNode
from .render import Drawing

__all__ = ["Diff", "diff"]


@checked
def diff(a: Any, b: Any) -> Diff:
    """What changed from graph `a` to graph `b`.

    Parameters
    ----------
    a, b : Graph, or a tensor or model that `snapshot` takes without arguments

    Returns
    -------
    Diff
        ``print`` shows a line per added, removed or changed node; it is true if there are any.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> before = snapshot(lambda x: tg.relu(x * 2.0).sum(), 1.0)
    >>> after = snapshot(lambda x: tg.tanh(x * 3.0).sum(axis=()), 1.0)
    >>> changes = diff(before, after)
    >>> print(changes)
    ~ constant_1: 2.0 -> 3.0
    - relu_1: relu scalar <- multiply_1
    + tanh_1: tanh scalar <- multiply_1
    ~ sum_1: axis None -> (); computed from relu_1 -> tanh_1
    >>> changes.exit_code, bool(diff(before, before))
    (1, False)
    """
    return Diff(snapshot(a), snapshot(b))


@checked
class Diff(Comparison):
    """The differences between two graphs (see `Comparison`), which can be drawn.

    >>> import tinygrad_conv as tg
    >>> found = tg.graph.diff(tg.graph.snapshot(tg.exp, 1.0), tg.graph.snapshot(tg.sin, 1.0))
    >>> print(found)
    - exp_1: exp scalar <- x
    + sin_1: sin scalar <- x
    ~ output: computed from exp_1 -> sin_1
    """

    @cached_property
    def drawing(self) -> Drawing:
        """Both graphs in one picture: what was added, removed and changed is marked."""
        added = {node.name for node in self.added}
        changed = {two.name: text for _, two, text in self.changed}
        marks = {name: f"changed: {text}" for name, text in changed.items()} | dict.fromkeys(added, "added")
        kept = [replace(node, mark=marks.get(node.name, "")) for node in self.b.nodes]
        gone = {node.name: f"removed.{node.name}" for node in self.removed}
        twins = {one.name: two.name for one, two in self.kept}
        old = []
        for node in self.removed:
            inputs = tuple(gone.get(name) or twins[name] for name in node.inputs)
            old.append(replace(node, name=gone[node.name], inputs=inputs, mark="removed"))
        modules = {module.path: module for module in (*self.a.modules, *self.b.modules)}
        outer_first = sorted(modules.values(), key=lambda module: module.path.count("."))
        return Drawing(_united(self.b, [*kept, *old], outer_first))

    def render(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture: see `Drawing.render`.

        >>> import tempfile
        >>> import tinygrad_conv as tg
        >>> changes = tg.graph.diff(tg.graph.snapshot(tg.exp, 1.0), tg.graph.snapshot(tg.sin, 1.0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     changes.render(f"{folder}/changes.svg").name
        'changes.svg'
        """
        return self.drawing.render(path)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {**self.drawing._repr_mimebundle_(), "text/plain": str(self)}


def _united(b: Graph, nodes: Sequence[GraphNode], modules: Sequence[GraphModule]) -> Graph:
    """The second graph with what was removed, each where its last input is."""
    places: dict[str, tuple[int, int]] = {}
    for k, node in enumerate(nodes):
        last = max((places[name][0] for name in node.inputs), default=-1)
        places[node.name] = (last, k) if node.mark == "removed" else (k, -1)
    order = sorted(nodes, key=lambda node: places[node.name])
    return replace(b, nodes=tuple(order), modules=tuple(modules))
