"""What transforms put into a graph and nobody wrote: a reader need not see it."""

from __future__ import annotations

from dataclasses import replace

from ..value import Graph, GraphNode, counted
from .groups import with_nodes

__all__ = ["without_plumbing"]

_ZERO = {"0", "0.0", "-0.0"}


def without_plumbing(graph: Graph) -> Graph:
    """Without the identities on which transforms hold their variables, sums with 0, and ``0 - x`` as the sign it is.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> graph = snapshot(lambda x, v: tg.jvp(tg.square, (x,), (v,))[1], 3.0, 1.0)
    >>> [node.name for node in graph.nodes if node.name not in without_plumbing(graph)]
    ['identity_1']
    """
    zeros = {node.name for node in graph.nodes if node.kind == "constant" and node.shape == () and node.label in _ZERO}
    instead: dict[str, str] = {}
    kept: list[GraphNode] = []
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        zero = [name in zeros for name in inputs]
        if node.primitive == "identity" or (node.primitive in ("add", "subtract") and zero == [False, True]):
            instead[node.name] = inputs[0]
        elif node.primitive == "add" and zero == [True, False]:
            instead[node.name] = inputs[1]
        elif node.primitive == "subtract" and zero == [True, False]:
            kept.append(replace(node, inputs=inputs[1:], label="neg"))
        else:
            kept.append(node if inputs == node.inputs else replace(node, inputs=inputs))
    used = {name for node in kept for name in (*node.inputs, *node.again)}
    kept = [node for node in kept if node.kind != "constant" or node.name in used]
    if not instead:
        return graph
    note = f"{counted(len(instead), 'step')} of transforms left out, which change nothing"
    return replace(with_nodes(graph, kept), notes=(*graph.notes, note))
