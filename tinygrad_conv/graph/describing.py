"""`describe`: a node of a graph in one line of text."""

from __future__ import annotations

from .value import Graph, GraphNode, counted

__all__ = ["describe"]


def describe(node: GraphNode, graph: Graph) -> str:
    """A node in one line: its name, what it does with which parameters, its shape, and what it is computed from."""
    options = ", ".join(f"{name}={value}" for name, value in node.params if name in node.changed)
    what = node.label if node.kind in ("operation", "module", "group") else node.kind
    if options:
        what += f"({options})"
    shape = "" if node.shape is None else "scalar" if node.shape == () else str(node.shape)
    inputs = (graph[name] for name in node.inputs)
    named = ", ".join(it.label if it.kind == "constant" else it.name for it in inputs)
    numbers = [counted(node.n_params, "param") if node.n_params else "", f"= {node.values}" if node.values else ""]
    if node.gradients is not None and node.kind != "output":
        numbers.append(f"gradient {node.gradients}")
    return " ".join(filter(None, [f"{node.name}:", what, shape, *numbers, f"<- {named}" if named else ""]))
