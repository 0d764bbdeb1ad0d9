"""`rule`: how a gradient passes through an operation on single numbers, as an expression that a page can fill in.

Nothing is written down twice: the rule that the primitive declares runs once, recorded; its graph is the expression.
"""

from __future__ import annotations

from ast import literal_eval
from contextlib import suppress
from typing import Any, TypeAlias

from ...engine.primitive import primitives
from ..snapshot import snapshot
from ..value import Graph, GraphNode

__all__ = ["Expression", "rule"]

Expression: TypeAlias = "str | float | list[Any]"  # "g", "x0", "y"; a number; or an operation's label and operands


def rule(node: GraphNode, graph: Graph) -> list[Expression | None] | None:
    """For each input of a node what the node adds to its gradient; None where that is no expression of numbers.

    ``"?"`` stands for a condition (1 or 0), which depends on the numbers.

    >>> import tinygrad_conv as tg
    >>> graph = snapshot(tg.tanh, 1.0, values=True)
    >>> rule(graph["tanh_1"], graph)
    [['*', ['-', 1.0, ['*', 'y', 'y']], 'g']]
    """
    primitive = primitives().get(node.primitive)
    inputs = [graph[name] for name in node.inputs]
    if primitive is None:
        return None
    try:
        params = {name: literal_eval(text) for name, text in node.params}
    except (ValueError, SyntaxError):
        return None

    def scaled(g: Any, *xs: Any) -> Any:
        return primitive(*xs, **params) * g

    with suppress(Exception):  # somebody's own primitive may raise what it likes: then nothing is filled in
        numbers = [1.0 if x.values is None else float(x.values.array.item()) for x in inputs]
        found = snapshot(scaled, 1.0, *numbers, values=True, backward=1)
        ends = {f"gradient of xs.{k}": k for k in range(len(inputs))}
        written: list[Expression | None] = [None] * len(inputs)
        for end in found.nodes:
            if end.label in ends:
                written[ends[end.label]] = _expression(end.inputs[0], found)
        return written
    return None


def _expression(name: str, graph: Graph) -> Expression:
    node = graph[name]
    if node.kind == "input":
        return f"x{name.removeprefix('xs.')}" if name != "g" else "g"
    if node.kind == "constant":
        number = node.values.array.item() if node.values is not None else float("nan")
        return "?" if isinstance(number, bool) else float(number)
    if not node.order:
        return "y"
    operands = [_expression(before, graph) for before in node.inputs]
    if node.label == "*" and 1.0 in operands:  # the seed of the backward pass
        operands.remove(1.0)
        return operands[0]
    if node.label == "where" and operands[0] == "?":  # the branch that these numbers take
        condition = graph[node.inputs[0]].values
        return operands[1 if condition is not None and condition.array.item() else 2]
    if node.label == "*" and operands[0] == "g":  # as people write it: the slope, times what comes in
        operands.reverse()
    return [node.label, *operands]
