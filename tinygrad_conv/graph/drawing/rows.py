"""A long picture in rows, as lines of text are wrapped: what goes on in another row says so at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from ..value import Graph, GraphNode
from .groups import with_nodes

__all__ = ["in_rows"]


_LONGEST = 60  # steps in one row, if nobody says in how many


def in_rows(graph: Graph, n: int = 0) -> list[Graph]:
    """The graph in at most `n` parts, each as many steps deep; in each, nodes of kind "link" stand for the others.
    What a gradient reads of the forward pass is read across rows.

    With 0 in one, or if it is long in as many as give a picture that is about as wide as high.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> above, below = in_rows(snapshot(lambda x: tg.exp(tg.sin(x)), 1.0), 2)
    >>> [(node.name, node.label) for node in above.nodes if node.kind == "link"]
    [('sin_1.goes_on', 'sin_1 …')]
    >>> [(node.name, node.label) for node in below.nodes if node.kind == "link"]
    [('sin_1.row_2', '… sin_1')]
    """
    deep = _depths(graph) if n != 1 else {}
    steps = max(deep.values(), default=0) + 1
    n = n or (1 if steps <= _LONGEST else round(steps**0.5))
    if n == 1:
        return [graph]
    each = ceil(steps / n)
    rows = {name: depth // each for name, depth in deep.items()}
    parts: list[dict[str, GraphNode]] = [{} for _ in range(max(rows.values(), default=0) + 1)]
    for node in graph.nodes:
        row, here = rows[node.name], {}
        for before in (*node.inputs, *node.again):
            if rows[before] != row and graph[before].order == node.order:
                out = GraphNode(f"{before}.goes_on", "link", f"{before} …", (before,), order=graph[before].order)
                comes = GraphNode(f"{before}.row_{row + 1}", "link", f"… {before}", order=node.order)
                parts[rows[before]].setdefault(out.name, out)
                parts[row].setdefault(comes.name, comes)
                here[before] = comes.name
        inputs, again = (tuple(here.get(name, name) for name in names) for names in (node.inputs, node.again))
        parts[row][node.name] = replace(node, inputs=inputs, again=again)
    return [with_nodes(graph, part.values()) for part in parts]


def _depths(graph: Graph) -> dict[str, int]:
    """How many steps into the picture each node stands, from 0; what nothing leads to stands by what reads it."""
    inputs: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    users: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for before, after in _layout_edges(graph):
        inputs[after].append(before)
        users[before].append(after)
    found: dict[str, int] = {}
    waiting = {name: len(before) for name, before in inputs.items()}
    ready = [name for name, n in waiting.items() if not n]
    while ready:
        name = ready.pop()
        found[name] = max((found[before] + 1 for before in inputs[name]), default=0)
        for user in users[name]:
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    for node in graph.nodes:
        if not inputs[node.name] and users[node.name]:
            found[node.name] = min(found[user] for user in users[node.name])
    return found


def _layout_edges(graph: Graph) -> Iterator[tuple[str, str]]:
    """Edges as the layout goes: the gradient flows back, beneath what it is the gradient of.

    Of two boxes that read each other, the first counts.
    """
    orders = {node.name: node.order for node in graph.nodes}
    places = {node.name: k for k, node in enumerate(graph.nodes)}
    for before, after in graph.edges:
        if orders[before] == orders[after] and places[before] < places[after]:
            yield (after, before) if orders[after] % 2 else (before, after)
