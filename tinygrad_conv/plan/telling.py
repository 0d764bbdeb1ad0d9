"""What a plan tells of itself: a table of its calls and what they cost, and a `Graph` to draw."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from ..engine.node import Node
from ..engine.primitive import Primitive
from ..engine.source import describe_source
from .calls import Call, Slot, parts
from .ours import ours

if TYPE_CHECKING:
    from ..graph.value import Graph, GraphNode

__all__ = ["flops", "graph", "table"]


class Telling(Protocol):
    """What is asked of a plan."""

    name: str
    calls: list[Call]
    arguments: list[Slot]
    outputs: list[Slot]

    @property
    def nbytes(self) -> int: ...
    def memory_of(self, call: Call) -> str: ...
    def runs_in(self, call: Call) -> str: ...
    def seen_as(self, slot: Slot) -> Slot: ...


def flops(call: Call) -> int:
    """The floating-point operations of a call, as its primitive declares them; 0 where nobody does."""
    if not call.outputs or call.kind in ("load", "effect"):
        return 0
    y = call.outputs[0].seen.shape
    if call.primitive is None:
        name = ours(call)
        return prod(call.args[0].seen.shape) * 2 + (prod(y) if "max_pool" in name else 0) if name in _FUSED else 0
    return _declared(call.primitive, call, y)


_FUSED = {"bias_relu", "bias_relu_grad", "bias_relu_max_pool", "bias_relu_max_pool_grad"}


def _declared(primitive: Primitive, call: Call, y: tuple[int, ...]) -> int:
    if isinstance(primitive.flops, (int, float)):
        return int(primitive.flops) * prod(y)
    shapes = [arg.seen.shape if isinstance(arg, Slot) else () for arg in call.args]
    return int(primitive.flops(*shapes, y, **{**primitive.defaults, **call.kwargs}))


def moved(call: Call) -> int:
    """The bytes that a call reads and writes."""
    return sum(slot.seen.nbytes for slot in {*call.inputs, *call.outputs})


def table(plan: Telling) -> str:
    """The calls of a plan, a line each, and their sums."""
    head = ["call", "module", "result", "FLOPs", "bytes moved", "memory", "runs in"]
    rows = []
    for call in plan.calls:
        result = ", ".join(f"{slot.seen.shape} {slot.seen.dtype}" for slot in call.outputs)
        numbers = [f"{flops(call):,}", f"{moved(call):,}"]
        rows.append([title(call), call.path, result, *numbers, plan.memory_of(call), plan.runs_in(call)])
    sums = [f"{sum(map(price, plan.calls)):,}" for price in (flops, moved)]
    rows.append([f"{len(plan.calls)} calls", "", "", *sums, f"{plan.nbytes:,} bytes", ""])
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    lines = []
    for row in (head, *rows):
        pairs = enumerate(zip(row, widths, strict=True))
        cells = [cell.rjust(width) if k in (3, 4) else cell.ljust(width) for k, (cell, width) in pairs]
        lines.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, lines))
    return "\n".join([repr(plan), lines[0], rule, *lines[1:-1], rule, lines[-1]])


def title(call: Call) -> str:
    """What a call is called: its operation, and for a call of a rule whose it is."""
    return f"{call.name} (of {call.backward}ᵀ)" if call.backward else call.name


def graph(plan: Telling) -> Graph:
    """The plan as a graph: a node for each argument, tensor read, constant and call."""
    from ..graph.value import Graph, GraphModule, GraphNode  # here, so that compiling a step does not import pictures

    counts: Counter[str] = Counter()
    names: dict[Slot, str] = {}
    nodes: list[GraphNode] = []

    def leaf(slot: Slot, name: str, kind: Any) -> None:
        names[slot] = name
        size = prod(slot.seen.shape) if kind == "parameter" else 0
        nodes.append(
            GraphNode(name, kind, name, shape=tuple(slot.seen.shape), dtype=str(slot.seen.dtype), n_params=size)
        )

    for k, slot in enumerate(plan.arguments):
        leaf(slot, f"argument_{k}", "input")
    for call in plan.calls:
        if call.kind == "load":
            tensor = call.args[0]
            counts["tensor"] += 1
            name = getattr(tensor, "name", None) or f"tensor_{counts['tensor']}"
            is_gradient = isinstance(tensor, Node)
            name = f"gradient of {name}" if is_gradient else name
            counts[name] += 1
            unique = name if counts[name] == 1 else f"{name}_{counts[name]}"
            leaf(call.outputs[0], unique, "constant" if is_gradient or not tensor.requires_grad else "parameter")
            continue
        for slot in call.inputs:
            if slot not in names and slot.origin == "constant":
                counts["constant"] += 1
                leaf(slot, f"constant_{counts['constant']}", "constant")
        counts[call.name] += 1
        name = f"{call.name.strip('_')}_{counts[call.name]}"
        y = call.outputs[0].seen if call.outputs else None
        plain = {key: value for key, value in call.kwargs.items() if not any(isinstance(p, Slot) for p in parts(value))}
        if plan.runs_in(call):
            plain["runs in"] = plan.runs_in(call)
        label = call.primitive.label if call.primitive is not None else call.name.strip("_")
        nodes.append(
            GraphNode(
                name, "operation", label, tuple(names[s] for s in map(plan.seen_as, call.inputs) if s in names),
                call.primitive.name if call.primitive is not None else call.name,
                tuple((key, str(value)) for key, value in plain.items()), (),
                None if y is None else tuple(y.shape), "" if y is None else str(y.dtype), call.path, 0, flops(call),
                moved(call), describe_source(call.source) if call.source else "", order=int(bool(call.backward)),
            )
        )  # fmt: skip
        for slot in call.outputs:
            names[slot] = name
    for k, slot in enumerate(plan.outputs):
        slot = plan.seen_as(slot)
        if slot in names:
            y = slot.seen
            nodes.append(
                GraphNode(f"output_{k}", "output", "output", (names[slot],), shape=tuple(y.shape), dtype=str(y.dtype))
            )
    paths = dict.fromkeys(path for node in nodes for path in _prefixes(node.module))
    return Graph(f"plan of {plan.name}", tuple(nodes), tuple(GraphModule(path, "", 0) for path in paths))


def _prefixes(path: str) -> list[str]:
    """The modules around a module, outermost first, and itself."""
    names = path.split(".") if path else []
    return [".".join(names[: k + 1]) for k in range(len(names))]
