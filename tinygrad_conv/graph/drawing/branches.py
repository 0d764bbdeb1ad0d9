"""`by_kind`: many different branches that end in one operation, such as a wide `concat`, as one node for each kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ...digits import short
from ..describing import written
from ..value import Graph, GraphNode
from .groups import around_all, noted, shares, sums_of, with_nodes

__all__ = ["by_kind", "kinds"]

MANY = 12  # branches that are drawn as they are, and kinds of more


def by_kind(graph: Graph) -> Graph:
    """Branches of one kind do the same operations one after another, with whatever options and shapes.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> def f(x):
    ...     return tg.concat([tg.sin(x) if k % 3 else tg.exp(x * k) for k in range(30)], axis=0)
    >>> [(node.label, dict(node.params).get("told", "")) for node in by_kind(snapshot(f, np.ones(1))).nodes[1:]]
    [('* → exp ×10', '0 … 27'), ('sin ×20', ''), ('concat', ''), ('output', '')]
    """
    whole: dict[str, GraphNode] = {}  # what stands for a node, by its name
    folded, last = graph, set()  # the nodes in whose places these come
    for sink, found in kinds(graph):
        whole |= {part.name: one for one, alike in found for branch in alike for part in branch}
        last |= {alike[-1][-1].name for _, alike in found}
        branches = sum(len(alike) for _, alike in found)
        folded = noted(folded, f"{branches:,} branches of {sink} drawn as {len(found)}, by kind")
    if not whole:
        return graph

    def renamed(node: GraphNode) -> GraphNode:
        inputs = dict.fromkeys(whole[name].name if name in whole else name for name in node.inputs)
        return replace(node, inputs=tuple(name for name in inputs if name != node.name))

    kept = (whole.get(node.name, node) for node in graph.nodes if node.name not in whole or node.name in last)
    return with_nodes(folded, map(renamed, kept))


def kinds(graph: Graph) -> Iterator[tuple[str, list[tuple[GraphNode, list[list[GraphNode]]]]]]:
    """For each operation in which many branches end, what stands for each kind of them, and these branches."""
    users: dict[str, set[str]] = {node.name: set() for node in graph.nodes}
    for node in graph.nodes:
        for name in (*node.inputs, *node.again):
            users[name].add(node.name)
    for node in graph.nodes:
        if node.order or len(set(node.inputs)) <= MANY:
            continue
        branches = [it for name in dict.fromkeys(node.inputs) if (it := _branch(graph, users, name, node.name))]
        if len(branches) <= MANY:
            continue
        found: dict[tuple[str, ...], list[list[GraphNode]]] = {}
        for branch in branches:
            found.setdefault(_kind(branch), []).append(branch)
        most = sorted(found, key=lambda kind: -len(found[kind]))
        if len(most) > MANY:
            found[("others",)] = [branch for kind in most[MANY - 1 :] for branch in found.pop(kind)]
        ones = (_as_one(graph, f"{node.name}.kind_{k}", *them) for k, them in enumerate(found.items(), 1))
        yield node.name, list(zip(ones, found.values(), strict=True))


def _branch(graph: Graph, users: Mapping[str, set[str]], end: str, sink: str) -> list[GraphNode]:
    """The nodes that lead to the sink by this one alone, in order; none if others use it, or it is an argument."""
    if users[end] != {sink} or graph[end].kind == "input":
        return []
    found, waiting = {end}, [*graph[end].inputs]
    while waiting:
        name = waiting.pop()
        if name not in found and graph[name].kind != "input" and users[name] <= found:
            found.add(name)
            waiting += graph[name].inputs
    return [node for node in graph.nodes if node.name in found]


def _steps(branch: Sequence[GraphNode]) -> list[GraphNode]:
    return [node for node in branch if node.kind not in ("parameter", "constant")]


def _kind(branch: Sequence[GraphNode]) -> tuple[str, ...]:
    return tuple(node.label for node in _steps(branch)) or ("leaf",)


def _as_one(
    graph: Graph, name: str, kind: tuple[str, ...], alike: Sequence[Sequence[GraphNode]]
) -> GraphNode:  # fmt: skip
    """One node for all branches of a kind, which says what differs, or what they share."""
    nodes = [node for branch in alike for node in branch]
    end = alike[0][-1]
    label = " → ".join(kind[:4]) + (" → …" if len(kind) > 4 else "") + (f" ×{len(alike):,}" if len(alike) > 1 else "")
    said = [("told", text) for text in _told(kind, alike)]
    shapes = {branch[-1].shape or () for branch in alike}
    if len(shapes) > 1:
        said.append(("told", f"({', '.join(map(_range, zip(*shapes, strict=False)))})"))
    inside, modules = {node.name for node in nodes}, {module.path for module in graph.modules}
    around = around_all([node.module for node in nodes])
    while around not in modules and around:  # the name of a list of modules, which is no module
        around = around.rpartition(".")[0]
    return replace(
        end, name=name, kind="group", label=label, params=tuple(said), changed=("told",), again=(), primitive="", of="",
        inputs=tuple(dict.fromkeys(it for node in nodes for it in node.inputs if it not in inside)),
        module=around, shape=end.shape if len(shapes) == 1 else None,
        calls=(), **sums_of(nodes, shares(graph)),
    )  # fmt: skip


def _range(sizes: Sequence[int]) -> str:
    return f"{min(sizes):,} … {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"


def _told(kind: tuple[str, ...], alike: Sequence[Sequence[GraphNode]]) -> list[str]:
    """For each step the options, and for each constant the numbers, that the branches have."""
    if kind == ("others",):
        return [", ".join(sorted({" → ".join(_kind(branch)) for branch in alike})[:4]) + " …"]
    texts = []
    for step in zip(*map(_steps, alike), strict=True):
        said = [written(node) for node in step]
        names = dict.fromkeys(name for each in said for name, _ in each)
        texts += [[", ".join(text for own, text in each if own == name) for each in said] for name in names]
    constants = [[short(node.label) for node in branch if node.kind == "constant"] for branch in alike]
    if len({len(found) for found in constants}) == 1:
        texts += map(list, zip(*constants, strict=True))
    return [text for each in texts if (text := _span(list(dict.fromkeys(each))))]


def _span(texts: Sequence[str]) -> str:
    """Different texts as one, from the least number to the largest where only numbers differ.

    >>> _span(["1×1", "5×5", "3×3"]), _span(["stride 2"]), _span(["0", "7", "2", "4"])
    ('1×1 or 3×3 or 5×5', 'stride 2', '0 … 7')
    """
    ordered = sorted(texts, key=lambda text: [float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)])
    if len(texts) > 3 and len({re.sub(r"\d+(?:\.\d+)?", "#", text) for text in texts}) == 1:
        return f"{ordered[0]} … {ordered[-1]}"
    more = f" and {len(texts) - 4:,} more" if len(texts) > 4 else ""
    return " or ".join(text or "none" for text in ordered[:4]) + more
