"""`diff`: what differs between two graphs, as text for a terminal, a picture, and an exit code for CI."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

from .render import Drawing
from .snapshot import snapshot
from .tree import describe
from .value import Graph, GraphModule, GraphNode

__all__ = ["Diff", "assert_same_graph", "diff"]

_MOST = 2_000  # nodes in the part that differs, to be matched with care


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


def assert_same_graph(actual: Any, expected: Any) -> None:
    """For tests: AssertionError, with the difference, unless both compute the same, whatever things are called.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> assert_same_graph(snapshot(lambda x: tg.exp(x) + 1.0, 0.0), snapshot(lambda y: tg.exp(y) + 1.0, 0.0))
    """
    a, b = snapshot(expected), snapshot(actual)
    if a.structural_hash() != b.structural_hash():
        raise AssertionError(f"expected the same graph, got these differences:\n{Diff(a, b) or 'the order of nodes'}")


class Diff:
    """The differences between two graphs.

    Attributes
    ----------
    a, b : Graph
    added, removed : tuple of GraphNode
    changed : tuple of (node before, node after, what changed in words)
    """

    def __init__(self, a: Graph, b: Graph) -> None:
        self.a, self.b = a, b
        pairs = dict(_pairs(a.nodes, b.nodes))
        matched = {two: one for one, two in pairs.items()}
        names = {a.nodes[one].name: b.nodes[two].name for one, two in pairs.items()}
        self.added = tuple(node for k, node in enumerate(b.nodes) if k not in matched)
        self.removed = tuple(node for k, node in enumerate(a.nodes) if k not in pairs)
        both = ((a.nodes[one], b.nodes[two]) for one, two in sorted(pairs.items()))
        self.changed = tuple((one, two, said) for one, two in both if (said := _changes(one, two, names)))
        self._lines = self._in_order(pairs)

    def _in_order(self, pairs: dict[int, int]) -> list[str]:
        """Lines in the order of the second graph, what was removed before what follows it."""
        said = {two.name: f"~ {two.name}: {text}" for _, two, text in self.changed}
        lines: list[tuple[tuple[int, int], str]] = []
        place = -1
        for k, node in enumerate(self.a.nodes):
            place = pairs.get(k, place)
            if k not in pairs:
                lines.append(((place, 1), f"- {describe(node, self.a)}"))
        added = {node.name for node in self.added}
        for k, node in enumerate(self.b.nodes):
            if node.name in added:
                lines.append(((k, 0), f"+ {describe(node, self.b)}"))
            elif node.name in said:
                lines.append(((k, 0), said[node.name]))
        return [line for _, line in sorted(lines, key=lambda it: it[0])]

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def exit_code(self) -> int:
        """1 if there are differences, else 0."""
        return int(bool(self))

    def __str__(self) -> str:
        return "\n".join(self._lines) if self else "no difference"

    def __repr__(self) -> str:
        return f"<Diff: {len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed>"

    @cached_property
    def drawing(self) -> Drawing:
        """Both graphs in one picture: what was added, removed and changed is marked."""
        added = {node.name for node in self.added}
        changed = {two.name: text for _, two, text in self.changed}
        marks = {name: f"changed: {text}" for name, text in changed.items()} | dict.fromkeys(added, "added")
        kept = [replace(node, mark=marks.get(node.name, "")) for node in self.b.nodes]
        gone = {node.name: f"removed.{node.name}" for node in self.removed}
        twins = {one.name: two.name for one, two in self._twins()}
        old = []
        for node in self.removed:
            inputs = tuple(gone.get(name) or twins[name] for name in node.inputs)
            old.append(replace(node, name=gone[node.name], inputs=inputs, mark="removed"))
        modules = {module.path: module for module in (*self.a.modules, *self.b.modules)}
        outer_first = sorted(modules.values(), key=lambda module: module.path.count("."))
        return Drawing(_united(self.b, [*kept, *old], outer_first))

    def _twins(self) -> Iterator[tuple[GraphNode, GraphNode]]:
        return ((self.a.nodes[one], self.b.nodes[two]) for one, two in _pairs(self.a.nodes, self.b.nodes))

    def render(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture: see `Drawing.render`."""
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


def _pairs(a: Sequence[GraphNode], b: Sequence[GraphNode]) -> Iterator[tuple[int, int]]:
    """Places of nodes that are the same operation or leaf in both graphs, in order."""
    one, two = [_key(node) for node in a], [_key(node) for node in b]
    start = 0
    while start < min(len(one), len(two)) and one[start] == two[start]:
        yield start, start
        start += 1
    ends = 0
    while ends < min(len(one), len(two)) - start and one[-1 - ends] == two[-1 - ends]:
        ends += 1
        yield len(one) - ends, len(two) - ends
    one, two = one[start : len(one) - ends], two[start : len(two) - ends]
    if max(len(one), len(two)) > _MOST:
        places = {node.name: k for k, node in enumerate(b)}
        for k in range(start, start + len(one)):
            other = places.get(a[k].name, -1)
            if start <= other < start + len(two) and one[k - start] == two[other - start]:
                yield k, other
        return
    for block in SequenceMatcher(None, one, two, autojunk=False).get_matching_blocks():
        for k in range(block.size):
            yield start + block.a + k, start + block.b + k


def _key(node: GraphNode) -> tuple[str, ...]:
    return node.kind, node.primitive, "" if node.kind in ("constant", "input") else node.label, node.module


def _changes(a: GraphNode, b: GraphNode, names: dict[str, str]) -> str:
    """What changed in a node, in words."""
    before, after = dict(a.params), dict(b.params)
    names_of = {**before, **after}
    pairs: list[tuple[str, Any, Any]] = [(x, before.get(x, "none"), after.get(x, "none")) for x in names_of]
    pairs += [("shape", a.shape, b.shape), ("dtype", a.dtype, b.dtype)]
    if a.kind == "constant":
        pairs.insert(0, ("", a.label, b.label))
    inputs = tuple(names.get(name, name) for name in a.inputs)
    if inputs != b.inputs:
        pairs.append(("computed from", ", ".join(a.inputs), ", ".join(b.inputs)))
    for name in ("values", "gradients"):
        one, two = getattr(a, name), getattr(b, name)
        if one is not None and two is not None and one != two:
            pairs.append((name, one, two) if repr(one) != repr(two) else (name, one, "others of the same statistics"))
    return "; ".join(f"{name} {one} -> {two}".lstrip() for name, one, two in pairs if one != two)
