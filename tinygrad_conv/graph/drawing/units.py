"""`units_to_dot`: the neurons of a small dense network, and a single one of them, as lectures draw them."""

from __future__ import annotations

import textwrap
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from ...digits import number
from ...errors import ArgumentError, GraphError
from ...palette import tint
from ..value import Graph, GraphNode

__all__ = ["units_to_dot"]

_MOST = 10  # units of a layer that are drawn; of more, the first and last few
PAPER, INK, QUIET, LINE, PLUS, MINUS = map(tint, ("paper", "ink", "quiet", "line", "positive", "negative"))


class _Dense(NamedTuple):
    """One dense layer: its matrix product, its weights (inputs by units), and what follows it."""

    product: GraphNode
    weights: Any
    bias: Any
    name: str
    activation: str
    nodes: frozenset[str]  # the operations that it is


def units_to_dot(graph: Graph, direction: str = "LR", unit: int | None = None) -> str:
    """The units of a dense network in DOT: circles in layers, joined by lines as thick as their weights.

    Parameters
    ----------
    graph : Graph
        With values, so that weights are known.
    unit : int, optional
        Draw only this unit of the first layer: its inputs, weights, sum and activation.

    Raises
    ------
    GraphError
        There is no dense layer.
    ArgumentError
        The first layer has no such unit.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> graph = snapshot(lambda x, w: x @ w, np.ones((1, 3)), np.ones((3, 2)), values=True)
    >>> units_to_dot(graph).count("penwidth")
    6
    """
    layers = _layers(graph)
    if not layers:
        raise GraphError("draw: level='units' draws dense layers, and this graph has none; use level='modules'")
    import graphviz  # type: ignore[import-untyped]

    dot = graphviz.Digraph(
        "units",
        graph_attr={
            "rankdir": direction, "fontname": "Helvetica", "fontcolor": INK, "bgcolor": PAPER, "pad": "0.2",
            "nodesep": "0.12", "ranksep": "1.4", "splines": "line", "labelloc": "t", "ordering": "out",
        },
        node_attr={
            "fontname": "Helvetica", "fontsize": "10", "fontcolor": INK, "shape": "circle", "width": "0.42",
            "fixedsize": "true", "style": "filled", "fillcolor": tint("operation"), "color": tint("operation-line"),
        },
        edge_attr={"arrowhead": "none", "fontname": "Helvetica", "fontsize": "9", "fontcolor": QUIET},
    )  # fmt: skip
    if unit is not None:
        return _one(dot, graph, layers[0], unit, "e" if direction == "LR" else "s")
    _columns(dot, graph, layers)
    return dot.source


def _layers(graph: Graph) -> list[_Dense]:
    """The matrix products of the forward pass whose second factor is a matrix of weights or data, in order."""
    users: dict[str, list[GraphNode]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    found = []
    for node in graph.nodes:
        if node.primitive.lstrip("_") != "matmul" or node.order or len(graph[node.inputs[1]].shape or ()) != 2:
            continue
        weights, bias, activation, last = graph[node.inputs[1]], None, "", node
        nodes = {node.name}
        while len(users.get(last.name, ())) == 1 and (then := users[last.name][0]).kind == "operation":
            other = [graph[name] for name in then.inputs if name != last.name]
            if then.primitive == "add" and bias is None and other and other[0].kind in ("parameter", "constant"):
                bias = other[0]
            elif len(then.inputs) == 1 and then.shape == node.shape:
                activation = then.label
                nodes.add(then.name)
                break
            else:
                break
            last = then
            nodes.add(last.name)
        found.append(
            _Dense(
                node, weights.values.array if weights.values is not None else None,
                bias.values.array if bias is not None and bias.values is not None else None,
                node.module.rpartition(".")[2] or node.name, activation, frozenset(nodes),
            )
        )  # fmt: skip
    return found


def _left_out(graph: Graph, layers: list[_Dense]) -> list[str]:
    """The modules and operations of the forward pass that are no dense layers; what only reshapes changes no unit."""
    drawn = {name for layer in layers for name in layer.nodes}
    kinds = {module.path: module.kind for module in graph.modules}
    missing = [
        f"{node.module.rpartition('.')[2]} {kinds[node.module]}".strip() if node.module in kinds else node.label
        for node in graph.nodes
        if node.kind == "operation" and not node.order and node.name not in drawn and node.primitive != "reshape"
    ]
    return list(dict.fromkeys(missing))


def _origin(graph: Graph, layer: _Dense) -> str:
    """What the first layer reads: the input, or what another module leaves."""
    node = graph[layer.product.inputs[0]]
    while node.primitive == "reshape":
        node = graph[node.inputs[0]]
    return "input" if node.kind == "input" else f"from {node.module.rpartition('.')[2] or node.label}"


def _sizes(graph: Graph, layer: _Dense) -> tuple[int, int]:
    n_in, n_out = graph[layer.product.inputs[1]].shape or (0, 0)
    return n_in, n_out


def _drawn(size: int) -> list[int | None]:
    """Which units of a layer are drawn; None is an ellipsis."""
    return [*range(size)] if size <= _MOST else [*range(5), None, *range(size - 3, size)]


def _columns(dot: Any, graph: Graph, layers: list[_Dense]) -> None:
    sizes = [_sizes(graph, layers[0])[0], *(_sizes(graph, layer)[1] for layer in layers)]
    partial = any(size > _MOST for size in sizes)
    n_params = sum(a * b for a, b in pairwise(sizes)) + sum(
        layer.bias.size for layer in layers if layer.bias is not None
    )
    title, counts = graph.title or "Dense network", " → ".join(f"{n:,}" for n in sizes)
    rows = [
        f'<FONT POINT-SIZE="16"><B>{escape(title)}{" (partial diagram)" if partial else ""}</B></FONT>',
        f'<FONT POINT-SIZE="10" COLOR="{QUIET}">{counts} units · {n_params:,} params</FONT>',
        f'<FONT POINT-SIZE="10">weights: <FONT COLOR="{PLUS}"><B>positive</B></FONT>, '
        f'<FONT COLOR="{MINUS}"><B>negative</B></FONT>; thick is large</FONT>',
    ]
    missing = _left_out(graph, layers)
    if missing:
        few = ", ".join(missing[:6]) + (f" and {len(missing) - 6:,} more" if len(missing) > 6 else "")
        rows += [
            f'<FONT POINT-SIZE="10" COLOR="{QUIET}">{escape(line)}</FONT>'
            for line in textwrap.wrap(f"left out, for they have no dense units: {few}; level='modules' draws them", 60)
        ]
    dot.attr(label=f"<{'<BR/>'.join(rows)}>")
    names = [_origin(graph, layers[0]), *(layer.name for layer in layers)]
    for column, size in enumerate(sizes):
        look = _tints("input") if column == 0 else {}
        if column == len(sizes) - 1:
            look = _tints("output")
        activation = layers[column - 1].activation if column else ""
        below = f"<BR/>{escape(activation)}" if activation else ""
        dot.node(
            f"u{column}", f"<<B>{escape(names[column])}</B><BR/>{size:,}{below}>", shape="plaintext", style="",
            fixedsize="false", fontsize="11",
        )  # fmt: skip
        for unit in _drawn(size):
            if unit is None:
                dot.node(f"u{column}_more", f"{size - 8:,}\\nmore", shape="plaintext", style="", fontsize="9")
            else:
                dot.node(f"u{column}_{unit}", str(unit), **look)
        units = (f"u{column}_{'more' if unit is None else unit}" for unit in _drawn(size))
        _in_order(dot, [f"u{column}", *units])
    for column, layer in enumerate(layers):
        limit = _largest(layer.weights)
        for a in _drawn(sizes[column]):
            for b in _drawn(sizes[column + 1]):
                if a is None or b is None:
                    continue
                weight = float(layer.weights[a, b]) if layer.weights is not None else 1.0
                dot.edge(
                    f"u{column}_{a}", f"u{column + 1}_{b}", color=PLUS if weight >= 0 else MINUS,
                    penwidth=f"{0.2 + 1.8 * abs(weight) / limit:.2f}",
                )  # fmt: skip


def _tints(kind: str) -> dict[str, str]:
    return {"fillcolor": tint(kind), "color": tint(f"{kind}-line")}


def _in_order(box: Any, names: list[str]) -> None:
    """Keep units in the order of their numbers; Graphviz would sort them so that fewer lines cross."""
    with box.subgraph() as row:
        row.attr(rank="same")
        for one, next_one in pairwise(names):
            row.edge(one, next_one, style="invis", weight="100")


def _largest(weights: Any) -> float:
    return (float(abs(weights).max()) if weights is not None and weights.size else 0.0) or 1.0


def _one(dot: Any, graph: Graph, layer: _Dense, unit: int, port: str) -> str:
    """Inputs, weights, sum and activation of one unit."""
    n_in, n_out = _sizes(graph, layer)
    if not 0 <= unit < n_out:
        raise ArgumentError(f"draw: expected unit to be from 0 to {n_out - 1}, got {unit}")
    activation = layer.activation or "no activation"
    dot.attr(
        label=f'<<FONT POINT-SIZE="16"><B>A single unit: {layer.name}, number {unit}</B></FONT><BR/>'
        f'<FONT POINT-SIZE="10" COLOR="{QUIET}">{n_in:,} weights{" and a bias" if layer.bias is not None else ""}'
        f" · output = {activation}(sum of input times weight{' plus bias' if layer.bias is not None else ''})</FONT>>"
    )
    limit = _largest(layer.weights)
    wide = {"shape": "ellipse", "width": "1.2", "height": "0.46"}
    for k in _drawn(n_in):
        if k is None:
            dot.node("x_more", f"{n_in - 8:,}\\nmore", shape="plaintext", style="", fontsize="9")
            continue
        weight = float(layer.weights[k, unit]) if layer.weights is not None else 0.0
        colour = PLUS if weight >= 0 else MINUS
        text = f'<<B>x{k}</B><BR/><FONT COLOR="{colour}">times {number(weight, 3)}</FONT>>'
        dot.node(f"x_{k}", text, **_tints("input"), **wide)
        dot.edge(f"x_{k}", "sum", tailport=port, color=colour, penwidth=f"{0.3 + 2.7 * abs(weight) / limit:.2f}")
    names = [f"x_{'more' if k is None else k}" for k in _drawn(n_in)]
    _in_order(dot, [*names, "bias"] if layer.bias is not None else names)
    if layer.bias is not None:
        text = f"<<B>bias</B><BR/>{number(float(layer.bias.reshape(-1)[unit]), 3)}>"
        dot.node("bias", text, **_tints("parameter"), **wide)
        dot.edge("bias", "sum", tailport=port, color=LINE, style="dashed")
    dot.node("sum", "+", width="0.6", fontsize="18")
    last = "sum"
    if layer.activation:
        dot.node("activation", layer.activation, shape="box", style="filled,rounded", width="0.9", height="0.45")
        dot.edge("sum", "activation", arrowhead="normal", color=LINE)
        last = "activation"
    dot.node("y", "output", **_tints("output"), width="0.7")
    dot.edge(last, "y", arrowhead="normal", color=LINE)
    return dot.source
