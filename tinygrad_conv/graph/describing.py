"""`describe`: a node of a graph in one line of text; `options`: what it was told, as people write it; `operands`."""

from __future__ import annotations

import re

from ..engine.primitive import primitives
from .value import Graph, GraphModule, GraphNode, counted

__all__ = ["describe", "kind_of", "operands", "options", "told", "written"]


def describe(node: GraphNode, graph: Graph) -> str:
    """A node in one line: its name, what it does with which parameters, its shape, and what it is computed from."""
    told = options(node)
    what = node.label if node.kind in ("operation", "module", "group") else node.kind
    if told:
        what += f"({told})"
    shape = "" if node.shape is None else "scalar" if node.shape == () else str(node.shape)
    inputs = (graph[name] for name in node.inputs)
    named = ", ".join([
        *(it.label if it.kind == "constant" else it.name for it in inputs), *(f"then {name}" for name in node.again)
    ])  # fmt: skip
    numbers = [counted(node.n_params, "param") if node.n_params else "", f"= {node.values}" if node.values else ""]
    if node.gradients is not None and node.kind != "output":
        numbers.append(f"gradient {node.gradients}")
    return " ".join(filter(None, [f"{node.name}:", what, shape, *numbers, f"<- {named}" if named else ""]))


def operands(node: GraphNode) -> int:
    """How many inputs need a number, since it matters which is which; 0 where it does not.

    >>> import tinygrad_conv as tg
    >>> graph = tg.graph.snapshot(lambda x, y: tg.where(x > y, x - y, x + y), 1.0, 2.0)
    >>> [operands(graph[name]) for name in ("subtract_1", "add_1", "where_1")]
    [2, 0, 3]
    """
    known = primitives().get(node.primitive)
    return len(known.inputs) if known is not None and known.ordered and len(node.inputs) > 1 else 0


def options(node: GraphNode) -> str:
    """What a node was told that is not the default, as people write it.

    >>> window = (("kernel", "(3, 3)"), ("stride", "(2, 2)"), ("pads", "((1, 1), (1, 1))"), ("groups", "4"))
    >>> options(GraphNode("conv_1", "operation", "conv", params=window, changed=("kernel", "stride", "pads", "groups")))
    '3×3, stride 2, padding 1, groups 4'
    """
    return ", ".join(text for _, text in written(node))


def written(node: GraphNode) -> list[tuple[str, str]]:
    """The same, each with the name of the parameter."""
    return [(name, _written(name, value)) for name, value in node.params if name in node.changed]


def kind_of(module: GraphModule) -> str:
    """A module's class, with what it was told.

    >>> kind_of(GraphModule("drop", "Dropout", 0, options=(("rate", "0.3"),)))
    'Dropout(rate=0.3)'
    """
    return f"{module.kind}({told(module)})" if module.options else module.kind


def told(module: GraphModule) -> str:
    """What a module was told that neither its operations nor shapes show."""
    return ", ".join(_written(name, text) for name, text in module.options)


_WORDS = {"call", "with", "used", "reads", "groups"}  # which are read as words


def _written(name: str, value: str) -> str:
    numbers = re.findall(r"-?\d+", value)
    if name in ("then", "told", ""):  # what a module ends with; what branches of one kind have; what a user wrote
        return value
    if name == "kernel":
        return "×".join(numbers) if len(numbers) > 1 else f"kernel {value}"
    if name in ("stride", "dilation"):
        return f"{name} {_brief(numbers)}"
    if name == "pads":
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return f"padding {_brief([a if a == b else f'{a}+{b}' for a, b in pairs])}"
    return f"{name} {value}" if name in _WORDS or value.startswith("x ") else f"{name}={value}"


def _brief(numbers: list[str]) -> str:
    """One for all axes where they are equal."""
    return numbers[0] if len(set(numbers)) == 1 else "×".join(numbers)
