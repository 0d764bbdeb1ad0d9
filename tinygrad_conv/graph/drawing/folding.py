"""Smaller graphs that say the same: equal blocks once, branches by kind, and at most so many nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...arguments import Size, checked
from ..value import Graph, GraphModule, GraphNode, counted
from .branches import by_kind
from .groups import collapsed, merged, noted, one_per_call, prefixes, shares, sums_of
from .nesting import MOST, Box, boxes, shown_in
from .repeats import fold_repeats

__all__ = ["fold"]


@checked
def fold(graph: Graph, most: Size = MOST) -> Graph:
    """Equal blocks drawn once, many branches by kind, and as much more folded as it takes to show at most `most` nodes.

    What was folded is in `notes`.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> def f(x):
    ...     for _ in range(1000):
    ...         x = tg.sin(x)
    ...     return x
    >>> folded = fold(snapshot(f, 1.0))
    >>> [node.name for node in folded.nodes], folded.notes
    (['x', 'sin_1', 'output'], ('1,000 equal blocks drawn once (x 1,000)',))
    """
    graph = one_per_call(graph)
    folded = fold_repeats(graph)
    if by_kind(folded) is not folded:  # not all of its branches were equal
        folded = fold_repeats(by_kind(graph))
    return folded if len(folded.nodes) <= most else _closed(folded, *boxes(graph, most=most)[1:])


def _closed(folded: Graph, found: list[Box], home: dict[str, str]) -> Graph:
    """The graph with one node for each box that is not open."""
    around = shown_in(found)
    of: dict[str, Box] = {}
    nodes = []
    for node in folded.nodes:
        chain = around[home[node.name]] if node.name in home else around[node.name][:-1]  # a box stands for a kind
        closed = next((box for box in chain if not box.open), None)
        if closed is not None:
            of[node.name] = closed
            if any(box.kind == "repeat" for box in chain[chain.index(closed) :]):  # what goes round goes round inside
                node = replace(node, again=())
        nodes.append(node)
    modules, times = {module.path: module for module in folded.modules}, shares(folded)
    sizes = Counter(path for node in folded.nodes for path in prefixes(node.module))

    def whole(name: str, part: Sequence[GraphNode]) -> GraphNode:
        box, paths = of[part[0].name], [path for path in prefixes(part[0].module) if path in modules]
        inside = Counter(path for node in part for path in prefixes(node.module))
        shared = [path for path in paths if inside[path] < sizes[path]]
        within = shared[-1] if shared else ""
        if box.kind == "part":
            return replace(_stretch(name, part, times), module=within)
        own = next((modules[path] for path in paths if path not in shared), GraphModule(box.path, "", 0))
        own = replace(own, label=own.label or box.name)
        return replace(merged(name, part, own, modules, times), module=within)

    path = {name: box.path for name, box in of.items()}
    shown = collapsed(replace(folded, nodes=tuple(nodes)), lambda node: path.get(node.name, ""), whole, split=False)
    shown = replace(shown, nodes=tuple(_inputs_first(shown.nodes)))
    return noted(shown, f"{len(folded.nodes):,} nodes drawn as {len(shown.nodes)}")


def _inputs_first(nodes: Sequence[GraphNode]) -> Iterable[GraphNode]:
    """Each node after those that it reads, as far as no two boxes read each other."""
    by_name, met = {node.name: node for node in nodes}, set[str]()
    order: dict[str, GraphNode] = {}
    for node in nodes:
        waiting = [node.name]
        while waiting:
            name = waiting[-1]
            met.add(name)
            if before := [it for it in by_name[name].inputs if it not in met]:
                waiting += before[::-1]
            else:
                order.setdefault(waiting.pop(), by_name[name])
    return order.values()


def _stretch(name: str, part: Sequence[GraphNode], times: dict[str, int]) -> GraphNode:
    """Nodes, as they follow one another, as one node."""
    common = Counter(node.label for node in part if node.kind != "constant").most_common(2)
    sums = sums_of(part, times)
    label = counted(sums["count"], "operation") if sums["count"] else counted(len(part), "node")
    return replace(
        part[-1], name=name, kind="group", label=label, params=tuple((name, f"x {n}") for name, n in common),
        changed=tuple(name for name, _ in common), primitive="", of="", calls=(), again=(), **sums,
    )  # fmt: skip
