"""`tree`: a `Graph` as text for the terminal, modules as branches."""

from __future__ import annotations

from collections.abc import Iterator

from ..describing import describe, kind_of
from ..value import Graph, GraphModule, GraphNode, counted

__all__ = ["tree"]


def tree(graph: Graph, whole: Graph | None = None) -> str:
    """The graph as an indented tree; `whole` is what it was folded from, of which the first line gives the totals.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> print(tree(snapshot(lambda x: tg.exp(x) * 2.0, 1.0)))
    2 operations, 11 FLOPs
    ├─ x: input scalar
    ├─ exp_1: exp scalar <- x
    ├─ multiply_1: * scalar <- exp_1, 2.0
    └─ output: output scalar <- multiply_1
    """
    whole = whole or graph
    facts = [counted(whole.n_operations, "operation")]
    facts += [counted(n, unit) for n, unit in ((whole.n_params, "param"), (whole.flops, "FLOP")) if n]
    lines = [(f"{graph.title}: " if graph.title else "") + ", ".join(facts)]
    lines += [f"folded: {note}" for note in graph.notes]
    nodes: dict[str, list[GraphNode | GraphModule]] = {"": [], **{module.path: [] for module in graph.modules}}
    modules = {module.path: module for module in graph.modules}
    placed: set[str] = set()
    for node in graph.nodes:
        _place(node.module, nodes, modules, placed)
        if node.kind != "constant":
            nodes[node.module].append(node)

    def branch(path: str, indent: str) -> Iterator[str]:
        last = len(nodes[path]) - 1
        for k, item in enumerate(nodes[path]):
            corner, under = ("└─ ", "   ") if k == last else ("├─ ", "│  ")
            if isinstance(item, GraphModule):
                yield indent + corner + _module(item, path)
                yield from branch(item.path, indent + under)
            else:
                yield indent + corner + describe(item, graph)

    return "\n".join([*lines, *branch("", "")])


def _place(
    path: str, nodes: dict[str, list[GraphNode | GraphModule]], modules: dict[str, GraphModule], placed: set[str]
) -> None:
    """Put a module, where its first node comes, into the module around it."""
    while path and path not in placed:
        placed.add(path)
        around = path.rpartition(".")[0]
        while around not in nodes:
            around = around.rpartition(".")[0]
        nodes[around].append(modules[path])
        path = around


def _module(module: GraphModule, around: str) -> str:
    name = module.label or module.path.removeprefix(f"{around}.")
    parts = [f"{name}/", kind_of(module), f"x {module.repeat:,}" if module.repeat > 1 else ""]
    parts.append(counted(module.n_params, "param") if module.n_params else "")
    return " ".join(filter(None, parts))
