"""`to_dot`: a `Graph` in DOT, the language of Graphviz.

The picture reads like a lecture: data flow along one line, parameters stand beside the operation that uses them,
modules are boxes around their operations. `looks` says how kinds differ. The same graph gives the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from ...arguments import Count, checked, names_of
from ...digits import amount_text, number
from ...palette import tint
from ..describing import kind_of, operands, options, told
from ..reading import GRADIENT
from ..value import Graph, GraphModule, GraphNode, Values, counted
from .groups import around_of
from .looks import Color, Painter
from .rows import in_rows

if TYPE_CHECKING:
    from graphviz import Digraph  # type: ignore[import-untyped]

__all__ = ["DEFAULT_SHOW", "SHOW", "Direction", "Shown", "heading", "to_dot"]

Direction: TypeAlias = Literal["LR", "TB"]
DEFAULT_SHOW = ("shape", "params", "options", "legend")
EXTRA = ("dtype", "values", "gradients", "flops", "bytes", "time", "source", "plumbing", "exact")
SHOW = (*DEFAULT_SHOW, *EXTRA)  # all that can be shown
Shown: TypeAlias = Annotated[str | Collection[str], names_of(SHOW)]

PAPER, INK, QUIET, LINE, ROUND = map(tint, ("paper", "ink", "quiet", "line", "module-line"))
_FONT = "Helvetica"  # Graphviz knows its widths, and every viewer has it or a font of the same widths
_WIDTH = 30  # characters to a line of a label
_DEEPEST = 40  # boxes in boxes; what is nested more deeply stands in the innermost of them, and says its path
_LONGEST = 60  # characters of a path
_MOST_USES = 12  # of a leaf, to be drawn as lines


@checked
def to_dot(
    graph: Graph, direction: Direction = "LR", show: Shown = DEFAULT_SHOW, color: Color = "kind",
    whole: Graph | None = None, rows: Count = 0,
) -> Digraph:  # fmt: skip
    """The graph in DOT, as a `graphviz.Digraph`; its text is ``.source``.

    Parameters
    ----------
    direction : "LR" (left to right) or "TB" (top to bottom)
    show : names out of "shape", "params", "options", "legend", "dtype", "values", "gradients", "flops", "bytes",
        "time", "source", "plumbing", "exact"
        What is printed beside the names: shapes, parameter counts, an operation's keyword parameters that are
        not at their default, a title with a legend; and on request dtypes, numbers, costs, the user's lines,
        and (of `draw`) what transforms put in that changes nothing, and all digits of
        numbers instead of four.
    color : "kind", "cost" (FLOPs), "bytes", "time" or "gradients"
        What fills mean. With "gradients", and where gradients are shown, dead ones stand out.
    whole : Graph, optional
        What `graph` was folded from: the title gives its totals.
    rows : int
        In how many rows a long picture is wrapped, one under the other (or columns, from top to bottom); 0 for one, or
        as many as it takes if it is more than 60 steps long.

    Raises
    ------
    ArgumentError
        Another direction or colour, or another name in `show`.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot, to_dot
    >>> dot = to_dot(snapshot(tg.exp, 1.0), show=())
    >>> [line.strip() for line in dot.source.splitlines() if "->" in line]
    ['x -> exp_1 [weight=8]', 'exp_1 -> output [weight=8]']
    """
    import graphviz  # here, so that importing the library stays cheap

    dot = graphviz.Digraph(
        "graph",
        graph_attr={
            "rankdir": direction, "fontname": _FONT, "fontcolor": INK, "bgcolor": PAPER, "pad": "0.2",
            "nodesep": "0.3", "ranksep": "0.35", "labelloc": "t",
        },
        node_attr={"fontname": _FONT, "fontsize": "12", "fontcolor": INK, "height": "0.3", "width": "0.6"},
        edge_attr={
            "color": LINE, "arrowsize": "0.7", "fontname": _FONT, "fontsize": "10", "fontcolor": QUIET,
            "labeldistance": "1.6",
        },
    )  # fmt: skip
    parts = in_rows(_without_hubs(graph), rows)
    painter = Painter(graph, color, show, wrapped=len(parts) > 1)
    if "legend" in show:
        dot.attr(label=heading(whole or graph, graph.notes, painter.legend()))
    if len(parts) == 1:
        _write_part(dot, dot, parts[0], show, painter)
        return dot
    for k in sorted(range(len(parts)), reverse=direction == "LR"):  # `dot` puts the first of rows at the bottom
        row = graphviz.Digraph(f"cluster_{k}", graph_attr={"peripheries": "0", "label": ""})
        _write_part(dot, row, parts[k], show, painter, f"{k}_")
        dot.subgraph(row)
    return dot


def _write_part(
    dot: Digraph, box: Digraph, graph: Graph, show: Collection[str], painter: Painter, row: str = ""
) -> None:
    beside = _beside(graph)
    _write_boxes(box, graph, beside, show, painter, row)
    _write_edges(dot, box, graph, beside)


def _beside(graph: Graph) -> dict[str, str]:
    """Parameter or constant -> the operation that it stands beside: its first user, if in the same box."""
    side = {node.name: node for node in graph.nodes if node.kind in ("parameter", "constant")}
    found: dict[str, str] = {}
    for node in graph.nodes:
        for before in node.inputs:
            if before in side and before not in found and side[before].module == node.module:
                found[before] = node.name
    return found


def _without_hubs(graph: Graph) -> Graph:
    """Without the edges of leaves that are used all over: their users say "with w" instead.

    A folded node that reads all over (the gradient as a whole does) keeps the edge from what comes last.
    """
    uses: dict[str, int] = {}
    for before, _ in graph.edges:
        uses[before] = uses.get(before, 0) + 1
    hubs = {node.name for node in graph.nodes if not node.inputs and uses.get(node.name, 0) > _MOST_USES}
    folded = [node for node in graph.nodes if node.kind in ("module", "group") and len(node.inputs) > _MOST_USES]
    if not hubs and not folded:
        return graph
    places = {node.name: k for k, node in enumerate(graph.nodes)}
    last = {node.name: max(node.inputs, key=places.__getitem__) for node in folded}

    def relabelled(node: GraphNode) -> GraphNode:
        if node.name in hubs:
            return replace(node, params=(("used", f"{uses[node.name]:,} times"),), changed=("used",))
        if node.name in last:
            params = (("reads", f"{len(node.inputs):,} nodes"), *node.params)
            node = replace(node, inputs=(last[node.name],), params=params, changed=("reads", *node.changed))
        names = dict.fromkeys(name for name in node.inputs if name in hubs)
        if not names:
            return node
        said = tuple(("with", name) for name in names)
        inputs = tuple(name for name in node.inputs if name not in hubs)
        return replace(node, inputs=inputs, params=node.params + said, changed=(*node.changed, "with"))

    return replace(graph, nodes=tuple(map(relabelled, graph.nodes)))


# ------------------------------------------------------------------------------------------
# Nodes, inside the boxes of their modules


def _write_boxes(
    dot: Digraph, graph: Graph, beside: dict[str, str], show: Collection[str], painter: Painter, row: str = ""
) -> None:
    from graphviz import Digraph  # parts are made apart: ``with dot.subgraph()`` copies what there is, each time

    nodes: dict[str, list[GraphNode]] = {path: [] for path in ("", *(module.path for module in graph.modules))}
    for node in graph.nodes:
        nodes[node.module].append(node)
    inside: dict[str, list[GraphModule]] = {path: [] for path in nodes}
    depths, homes = {"": 0}, {"": ""}  # how many boxes are around a module, and the innermost of them
    for module in graph.modules:
        around = around_of(module.path, inside)
        around = around if depths[around] < _DEEPEST else homes[around]
        depths[module.path], homes[module.path] = depths[around] + 1, around
        if depths[module.path] < _DEEPEST or nodes[module.path]:
            inside[around].append(module)

    def write(box: Digraph, path: str, depth: int) -> None:
        for node in nodes[path]:
            _write_node(box, node, show, painter)
            if node.name in beside:
                line = Digraph()
                line.attr(rank="same")
                line.node(node.name)
                line.node(beside[node.name])
                box.subgraph(line)
        for module in inside[path]:
            alone = len(nodes[module.path]) == 1 and not inside[module.path] and module.repeat == 1 and not module.label
            if alone:  # one node needs no box: it says the path
                _write_node(
                    box,
                    nodes[module.path][0],
                    show,
                    painter,
                    f"{_module_name(module, path)} {kind_of(module)}".rstrip(),
                )
            else:
                border = INK if module.repeat > 1 else tint("box-line")
                inner = Digraph(f"cluster_{row}{module.path}")
                inner.attr(label=_module_label(module, path, show), labeljust="r", tooltip=module.path)
                inner.attr(style="rounded,filled", color=border, fillcolor=tint("box2" if depth % 2 else "box"))
                write(inner, module.path, depth + 1)
                box.subgraph(inner)

    write(dot, "", 0)


def _write_node(box: Digraph, node: GraphNode, show: Collection[str], painter: Painter, path: str = "") -> None:
    look = painter.look(node)
    box.node(
        node.name, _label(node, show, path, painter.alarm(node), painter.ink(node)), shape=look.shape, style=look.style,
        fillcolor=look.fill, color=look.border, margin=look.margin, group=look.group, tooltip=_tooltip(node),
        penwidth=None if look.width == "1" else look.width,
    )  # fmt: skip


def _label(node: GraphNode, show: Collection[str], path: str, alarm: str, ink: str) -> str:
    """An HTML-like label: the name in bold, and what is to be shown under it in small print."""
    shape = _shape(node) if "shape" in show else ""
    small = _numbers(node, show)
    warning = [f'<FONT POINT-SIZE="10"><B>{escape(line)}</B></FONT>' for line in _wrapped(alarm)]
    if node.kind == "link":
        return _lines([_small(_plain(node.label), ROUND)])
    if node.kind == "constant":
        small = [] if node.label != "constant" else small  # its label is its value
        text = f"{node.label} {'' if node.shape == () else shape}".rstrip()
        return _lines([*(_small(line, ink) for line in (text, *small)), *warning])
    bold = [f"<B>{escape(line)}</B>" for line in _wrapped(node.label)]
    if node.kind == "module" and not path:
        path = node.name.rpartition(".")[2] if node.name.rpartition(".")[2] != node.label else ""
    first = _wrapped(path)
    if "options" in show:
        first += _wrapped(options(node))
    if node.kind == "parameter" and shape and bold:
        bold[-1] += f" {_small(shape, ink)}"
    else:
        first.append(shape)
    if "params" in show and node.n_params:
        first.append(counted(node.n_params, "param"))
    if "dtype" in show:
        first.append(node.dtype)
    if "flops" in show and node.flops:
        first.append(_flops(node.flops))
    if "bytes" in show and node.bytes:
        first.append(f"{amount_text(node.bytes, 'bytes')}B")
    if "time" in show and node.time is not None:
        first.append(amount_text(node.time, "time"))
    if "source" in show and node.kind == "operation":
        first += _wrapped(node.source)
    return _lines([*bold, *(_small(line, ink) for line in (*first, *small) if line), *warning])


def _numbers(node: GraphNode, show: Collection[str]) -> list[str]:
    """Values and gradient in brief: the number itself, or range and norm."""
    lines = []
    if "values" in show and (values := node.values) is not None:
        lines.append(_brief(values, f"{number(values.minimum, 3)} … {number(values.maximum, 3)}", "value", show))
    if "gradients" in show and node.gradients is not None and node.kind != "output" and node.gradients.state != "zero":
        lines.append(_brief(node.gradients, f"gradient norm {number(node.gradients.norm, 3)}", "gradient", show))
    return lines


def _brief(values: Values, of_many: str, what: str, show: Collection[str]) -> str:
    if values.array.size != 1:
        return of_many
    return f"{what} {values.array.reshape(-1)[0] if 'exact' in show else number(values.array.item())}"


def _lines(lines: Iterable[str]) -> str:
    return f"<{'<BR/>'.join(lines)}>"


def _small(text: str, ink: str = QUIET) -> str:
    return f'<FONT POINT-SIZE="10" COLOR="{ink}">{escape(text)}</FONT>'


def _plain(text: str) -> str:
    """Paths in words: some fonts do not have the sign."""
    return text.replace(GRADIENT, "gradient")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_plain(text), _WIDTH, max_lines=3, placeholder=" …")


def _shape(node: GraphNode) -> str:
    return "" if node.shape is None else "scalar" if node.shape == () else str(node.shape)


def _flops(n: int) -> str:
    return f"{amount_text(n, 'cost')}FLOPs" if n >= 1000 else counted(n, "FLOP")


def _module_name(module: GraphModule, around: str) -> str:
    """The path inside the box around a module."""
    path = module.path.removeprefix(f"{around}.")
    path = path if len(path) <= _LONGEST else f"{path[: _LONGEST // 3]}…{path[-_LONGEST // 3 :]}"
    return module.label or _plain(path)


def _module_label(module: GraphModule, around: str, show: Collection[str]) -> str:
    name = _module_name(module, around)
    times = f" <B>x {module.repeat:,}</B>" if module.repeat > 1 else ""
    lines = [f"<B>{escape(name)}</B> {escape(module.kind)}".rstrip() + times]
    lines += map(escape, _wrapped(told(module)))
    if module.n_params and "params" in show:
        lines.append(counted(module.n_params, "param") + (" each" if module.repeat > 1 else ""))
    text = "".join(f'{line}<BR ALIGN="RIGHT"/>' for line in lines)
    return f'<<FONT POINT-SIZE="10" COLOR="{QUIET}">{text}</FONT>>'


def _tooltip(node: GraphNode) -> str:
    """Everything there is to know about a node, for whoever points at it in a browser."""
    params = [f"{name}={value}" for name, value in node.params]
    flops = [counted(node.flops, "FLOP")] if node.flops else []
    known = [node.name, node.kind, *params, _shape(node), node.dtype, *flops]
    return ", ".join(part for part in known if part).replace("\\", "\\\\")


# ------------------------------------------------------------------------------------------
# Edges


def _write_edges(dot: Digraph, box: Digraph, graph: Graph, beside: dict[str, str]) -> None:
    """Data edges are straight; what stands beside an operation joins from the right, the next from the left.

    The gradient flows back, beneath what it is the gradient of. What it reads of the forward pass has no say in where
    things stand: `dot` would draw it all in one line, and of many such edges between boxes it cannot make ranks at all.
    """
    for node in graph.nodes:
        for before in node.again:  # what goes round, from one of equal blocks to the next
            what = graph[before].label if graph[before].kind == "link" else before
            box.edge(
                before, node.name, constraint="false", style="bold", color=ROUND, fontcolor=ROUND, fontsize="10",
                fontname=_FONT, label=f"{_plain(what)}, the next time",
            )  # fmt: skip
    orders = {node.name: node.order for node in graph.nodes}
    seen: dict[str, int] = {}
    for before, after, place in _numbered(graph):
        head, tail = ({"headlabel": place}, {"taillabel": place}) if place else ({}, {})
        if beside.get(before) != after:
            if orders.get(before) != orders[after]:  # it may be in another row
                dot.edge(before, after, constraint="false", **head)
            elif orders[after] % 2:
                box.edge(after, before, dir="back", weight="8", **tail)
            else:
                box.edge(before, after, weight="8", **head)
            continue
        seen[after] = seen.get(after, 0) + 1
        if seen[after] % 2:
            box.edge(after, before, dir="back", style="dashed", **tail)
        else:
            box.edge(before, after, style="dashed", **head)


def _numbered(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Edges, with the number of the operand where it matters which is which."""
    for node in graph.nodes:
        for k, before in enumerate(node.inputs, 1):  # of more, the rest is what other equal blocks read
            yield before, node.name, str(k) if k <= operands(node) else ""


# ------------------------------------------------------------------------------------------
# Title and legend


def heading(graph: Graph, notes: Collection[str] = (), legend: Collection[str] = ()) -> str:
    """An HTML-like label above the picture: its title, totals, what was folded, and the legend's rows."""
    facts = [counted(graph.n_operations, "operation")]
    if graph.n_params:
        facts.append(counted(graph.n_params, "param"))
    if graph.flops:
        facts.append(_flops(graph.flops))
    rows = [f'<FONT POINT-SIZE="16"><B>{escape(graph.title)}</B></FONT>'] if graph.title else []
    rows.append(_small(" · ".join(facts)))
    rows += [_small(f"folded: {note}") for note in notes]
    table = "".join(f"<TR><TD>{row}</TD></TR>" for row in [*rows, *legend])
    return f'<<TABLE BORDER="0" CELLSPACING="2" CELLPADDING="1">{table}</TABLE>>'
