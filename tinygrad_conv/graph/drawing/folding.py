"""Smaller graphs that say the same: equal blocks once, branches by kind, and at most so many nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...arguments import Size, checked
from ..value import Graph, counted
from .branches import by_kind
from .groups import modules_from, noted, one_per_call, shares, sums_of, with_nodes
from .repeats import fold_repeats

__all__ = ["MOST", "fold"]

MOST = 200  # nodes that a reader can take in


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
    own = (module.path for module in folded.modules if "*" not in module.path)  # not made by folding
    deepest = max((path.count(".") for path in own), default=-1)
    for depth in range(deepest, -1, -1):
        if len(folded.nodes) <= most:
            break
        folded = modules_from(folded, depth)
        inside = "modules" if depth == 0 else f"modules inside level {depth}"
        folded = fold_repeats(noted(folded, f"{inside} drawn as one node each", replacing="drawn as one node each"))
    return folded if len(folded.nodes) <= most else _in_stretches(folded, most)


def _in_stretches(graph: Graph, most: int) -> Graph:
    """Stretches of nodes, as they follow one another, as one node each."""
    ends = [node for node in graph.nodes if node.kind in ("input", "output")]
    kept = {node.name for node in ends} if len(ends) <= most // 4 else set()
    inner = [node for node in graph.nodes if node.name not in kept]
    size = -(-len(inner) // (most - len(kept)))
    times = shares(graph)
    stretches = [inner[start : start + size] for start in range(0, len(inner), size)]
    names = {node.name: f"stretch_{k}" for k, part in enumerate(stretches, 1) if len(part) > 1 for node in part}
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    nodes = [(places[name], graph[name]) for name in kept]
    for part in stretches:
        if len(part) == 1:
            nodes.append((places[part[0].name], part[0]))
            continue
        own = names[part[0].name]
        outside = dict.fromkeys(names.get(name, name) for node in part for name in node.inputs)
        common = Counter(node.label for node in part if node.kind != "constant").most_common(2)
        sums = sums_of(part, times)
        count = sums["count"]
        label = counted(count, "operation") if count else counted(len(part), "node")
        whole = replace(
            part[-1], name=own, kind="group", label=label, params=tuple((name, f"x {n}") for name, n in common),
            changed=tuple(name for name, _ in common), module="", primitive="", of="", **sums,
        )  # fmt: skip
        inputs = tuple(name for name in outside if name != own)
        nodes.append((places[part[-1].name], replace(whole, inputs=inputs, again=())))
    renamed = [
        node
        if node.kind == "group"
        else replace(
            node,
            inputs=tuple(names.get(name, name) for name in node.inputs),
            again=tuple(names.get(name, name) for name in node.again),
        )
        for _, node in sorted(nodes, key=lambda it: it[0])
    ]
    return noted(with_nodes(graph, renamed), f"{len(graph.nodes):,} nodes drawn as {len(renamed)}")
