"""`Comparison`: what differs between two graphs, as text for a terminal and as an exit code for CI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from ..arguments import checked
from ..errors import CheckError
from .describing import describe
from .snapshot import snapshot
from .value import Graph, GraphNode

__all__ = ["Comparison", "assert_same_graph"]

_MOST = 2_000  # nodes in the part that differs, to be matched with care


@checked
def assert_same_graph(actual: Any, expected: Any) -> None:
    """For tests: CheckError, with the difference, unless both compute the same, whatever things are called.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> assert_same_graph(snapshot(lambda x: tg.exp(x) + 1.0, 0.0), snapshot(lambda y: tg.exp(y) + 1.0, 0.0))
    """
    a, b = snapshot(expected), snapshot(actual)
    if a.structural_hash() != b.structural_hash():
        raise CheckError(f"expected the same graph, got these differences:\n{Comparison(a, b) or 'the order of nodes'}")


@checked
class Comparison:
    """The differences between two graphs.

    Attributes
    ----------
    a, b : Graph
    added, removed : tuple of GraphNode
    changed : tuple of (node before, node after, what changed in words)
    kept : tuple of (node before, node after), changed or not
    """

    def __init__(self, a: Graph, b: Graph) -> None:
        self.a, self.b = a, b
        pairs = dict(_pairs(a.nodes, b.nodes))
        self.kept = tuple((a.nodes[one], b.nodes[two]) for one, two in pairs.items())
        matched = {two: one for one, two in pairs.items()}
        names = {one.name: two.name for one, two in self.kept}
        self.added = tuple(node for k, node in enumerate(b.nodes) if k not in matched)
        self.removed = tuple(node for k, node in enumerate(a.nodes) if k not in pairs)
        both = ((a.nodes[one], b.nodes[two]) for one, two in sorted(pairs.items()))
        self.changed = tuple((one, two, said) for one, two in both if (said := _changes(one, two, names)))
        self._lines = self._in_order(pairs)

    def _in_order(self, pairs: dict[int, int]) -> list[str]:
        """Lines in the order of the second graph, what was removed before what follows it."""
        said = {two.name: f"~ {two.name}: {text}" for _, two, text in self.changed}
        lines: list[tuple[tuple[int, int], str]] = []
        for path, text in _told_otherwise(self.a, self.b):
            inside = (k for k, node in enumerate(self.b.nodes) if f"{node.module}.".startswith(f"{path}."))
            first = next(inside, 0)
            lines.append(((first, -1), f"~ {text}"))
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
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        return f"<{type(self).__name__}: {counts}>"


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


def _told_otherwise(a: Graph, b: Graph) -> Iterator[tuple[str, str]]:
    """The modules that are in both graphs and were told something else (a dropout's rate): path, and a line."""
    before = {(module.path, module.kind): dict(module.options) for module in a.modules}
    for module in b.modules:
        old, new = before.get((module.path, module.kind)), dict(module.options)
        if old is not None and old != new:
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            said = (f"{name} {old.get(name, 'default')} -> {new.get(name, 'default')}".lstrip() for name in names)
            yield module.path, f"{module.path} ({module.kind}): {'; '.join(said)}"


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
