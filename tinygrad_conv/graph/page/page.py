"""`render_html`: a graph as one HTML file that explains itself in a browser, and needs nothing else.

The layout is the page's own (`page.js`), so no layout program is needed. The same graph gives the same bytes.
"""

from __future__ import annotations

import os
from ast import literal_eval
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from ...arguments import checked
from ...digits import short
from ...engine.primitive import primitives
from ...files import write
from ..describing import operands, options
from ..drawing.dot import DEFAULT_SHOW, Shown
from ..drawing.groups import as_modules
from ..drawing.looks import Color, Painter
from ..drawing.nesting import Box, boxes
from ..value import Graph, GraphNode, Values, counted
from .letters import squeezed
from .numbers import numbers
from .picture import picture
from .rules import rule
from .template import fill, template

__all__ = ["html", "render_html"]

_PIXELS = 320_000  # of all images of a page together, about


@checked
def render_html(
    graph: Graph, path: str | os.PathLike[str], show: Shown | None = None, color: Color = "kind",
    level: Literal["ops", "modules"] = "ops", fold: bool = True, theme: Literal["auto", "light", "dark"] = "auto",
) -> Path:  # fmt: skip
    """Write a graph as one self-contained HTML file. See `html`.

    Raises DataError for a path that cannot be written.
    """
    return write(path, html(graph, show, color, level, fold, theme), "render")


@checked
def html(
    graph: Graph, show: Shown | None = None, color: Color = "kind", level: Literal["ops", "modules"] = "ops",
    fold: bool = True, theme: Literal["auto", "light", "dark"] = "auto",
) -> str:  # fmt: skip
    """The page of a graph as text. What the options say is how it opens; it has switches for them.

    Parameters
    ----------
    show : names, as `draw` takes them
        What is written on the cards. None: shapes and options, and values and gradients if the graph has them.
    color : "kind", "cost", "bytes", "time" or "gradients"
        What fills mean.
    level : "ops" or "modules"
        Whether it opens with the innermost modules open or closed.
    fold : bool
        Equal blocks once, until somebody asks for all.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> html(snapshot(tg.exp, 1.0)).splitlines()[0]
    '<!DOCTYPE html>'
    """
    facts = [counted(graph.n_operations, "operation")]
    facts += [counted(n, unit) for n, unit in ((graph.n_params, "parameter"), (graph.flops, "FLOP")) if n]
    if show is None:
        show = (*DEFAULT_SHOW, *(name for name in ("values", "gradients") if name in graph.known))
    data = _data(graph, fold, level == "modules", color == "gradients" or "gradients" in show)
    data |= {"show": [show] if isinstance(show, str) else sorted(show), "color": color, "level": level, "theme": theme}
    if any("window" in node or node.get("op") == "_matmul" for node in data["nodes"]) and data["numbers"]:
        data["microscope"] = squeezed(template(__package__.replace("page", "microscope"), "slides", "{{colours}}"))
    return fill(__package__, "page", graph.title or "Graph", " · ".join(facts), data)


# ------------------------------------------------------------------------------------------
# The data


def _data(graph: Graph, fold: bool, at_modules: bool, with_gradients: bool) -> dict[str, Any]:
    modules = {_named(node.name): node for node in as_modules(graph).nodes if node.kind == "module"}
    graph, found, home = boxes(graph, fold, at_modules, with_gradients)
    index = {node.name: k for k, node in enumerate(graph.nodes)}
    known = numbers(graph)
    album, rules = _Album(graph, known), _Rules(graph)
    values, gradients = (Painter(graph, color, ()) for color in ("kind", "gradients"))
    nodes = [
        {
            **_node(node, index, album), **_dropping({
                "within": home[node.name], "alarm": values.alarm(node), "dead": gradients.alarm(node),
                "rule": rules.add(node), "window": _window(node),
            })
        }
        for node in graph.nodes
    ]  # fmt: skip
    first = [k for k, node in enumerate(graph.nodes) if not node.order]
    operations = [k for k in reversed(first) if graph.nodes[k].kind == "operation"]
    pulled = sorted((k for k in operations if graph.nodes[k].step), key=lambda k: graph.nodes[k].step)
    seeds = {k for k in first if graph.nodes[k].kind == "output"}
    seeds |= {index[name] for k in seeds for name in graph.nodes[k].inputs}
    return {
        "nodes": nodes,
        "boxes": [_box(box, index, modules.get(_named(box.path))) for box in found],
        "pictures": album.pictures,
        "formulas": _formulas(graph),
        "rules": rules.written,
        "steps": pulled or operations,
        "seeds": sorted(seeds),
        "numbers": known,
        "notes": list(graph.notes),
        "known": list(graph.known),
        "has_values": any(node.values is not None for node in graph.nodes),
        "has_gradients": any(node.gradients is not None for node in graph.nodes),
    }


def _named(path: str) -> str:
    return path.replace("#", "_")  # as names of folded nodes are


def _node(node: GraphNode, index: dict[str, int], album: _Album) -> dict[str, Any]:
    details = {
        "op": node.primitive, "ordered": operands(node), "options": short(options(node)),
        "params": [[name, short(value)] for name, value in node.params],
        "shape": _shape(node), "dtype": node.dtype, "n_params": node.n_params, "flops": node.flops,
        "bytes": node.bytes, "source": node.source, "time": node.time and float(f"{node.time:.3g}"),
        "note": f"× {node.count}" if node.count > 1 else "", "order": node.order, "of": node.of,
        "value": album.add(node, node.values), "gradient": album.add(node, node.gradients),
        "norm": node.gradients and _short(node.gradients.norm), "module": node.module.replace("#", ", call "),
        "arrivals": [[index[user], album.add(node, so_far)] for user, so_far in node.arrivals],
    }  # fmt: skip
    return {
        "name": node.name, "kind": node.kind, "label": short(node.label) if node.kind == "constant" else node.label,
        "inputs": [index[name] for name in node.inputs], **_dropping(details),
    }  # fmt: skip


def _window(node: GraphNode) -> dict[str, Any]:
    """The geometry of a convolution or pooling, which a page computes with."""
    told = dict(node.params)
    if not {"kernel", "stride", "pads"} <= told.keys():
        return {}
    names = ("kernel", "stride", "dilation", "pads", "groups", "count_include_pad")
    return {name: literal_eval(told[name]) for name in names if name in told}


def _shape(node: GraphNode) -> str:
    return "" if node.shape is None else "scalar" if node.shape == () else str(node.shape)


def _short(number: float) -> float | None:
    """A number that JSON can hold, in four digits."""
    return float(f"{number:.4g}") if isfinite(number) else None


def _box(box: Box, index: dict[str, int], whole: GraphNode | None) -> dict[str, Any]:
    """A box, with what a picture of modules would say of it as a whole."""
    said = {"options": options(whole), "shape": _shape(whole)} if whole is not None else {}
    details = {
        "what": box.what, "told": box.told, "within": box.within, "round": box.round, "whole": box.whole,
        "closed": not (box.open or box.whole), **said,
        "blocks": [[index[name] for name in block] for block in box.blocks],
        "more": [[index[name], index[user]] for name, user in box.more.items()],
    }  # fmt: skip
    return {"path": box.path, "kind": box.kind, "name": box.name, **_dropping(details)}


def _dropping(details: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty (0 as the number of a picture or of a rule stays)."""
    numbers = ("value", "gradient", "rule")
    return {name: value for name, value in details.items() if value or (value == 0 and name in numbers)}


class _Rules:
    """How gradients pass through operations on single numbers; those of one kind share an expression."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._numbers: dict[Any, int | None] = {}
        self.written: list[Any] = []

    def add(self, node: GraphNode) -> int | None:
        """The number of the node's expression."""
        inputs = [self._graph[name] for name in node.inputs]
        if node.kind != "operation" or node.order or node.shape != () or any(x.shape not in ((), None) for x in inputs):
            return None
        key = node.primitive, node.params
        if key not in self._numbers:
            written = rule(node, self._graph)
            self._numbers[key] = None if written is None else len(self.written)
            self.written += [] if written is None else [written]
        return self._numbers[key]


def _formulas(graph: Graph) -> dict[str, str]:
    """For each primitive of the graph what its documentation says of its derivative."""
    known = primitives()
    names = dict.fromkeys(node.primitive for node in graph.nodes if node.primitive in known)
    return {name: derivative(known[name].doc) for name in names if derivative(known[name].doc)}


def derivative(doc: str) -> str:
    """The sentence of a docstring that begins with "Derivative".

    >>> derivative("max(x, 0). Derivative: 1 for x > 0, else 0.")
    'Derivative: 1 for x > 0, else 0.'
    """
    start = doc.find("Derivative")
    return " ".join(doc[start:].split("\n\n")[0].split()) if start >= 0 else ""


class _Album:
    """The pictures of a page; equal arrays share one."""

    def __init__(self, graph: Graph, known: dict[str, Any]) -> None:
        self._leaves = {graph.nodes[place].name: place for place, *_ in known.get("leaves", ())}
        arrays = {v for node in graph.nodes for v in (node.values, node.gradients) if v is not None}
        arrays |= {so_far for node in graph.nodes for _, so_far in node.arrivals}
        self._pixels = min(8192, max(64, _PIXELS // max(1, len(arrays))))
        self._few = min(900, self._pixels)
        self._numbers: dict[tuple[Values, bool], int] = {}
        self.pictures: list[dict[str, Any]] = []

    def add(self, node: GraphNode, values: Values | None) -> int | None:
        """The number of the picture of these values."""
        if values is None:
            return None
        kernel = node.kind == "parameter" and values.array.ndim > 2
        key = values, kernel
        if key not in self._numbers:
            self._numbers[key] = len(self.pictures)
            few = node.kind == "parameter" and values.array.size > self._few  # noise to look at
            self.pictures.append(picture(values.array, kernel, self._few if few else self._pixels))
            if few and values is node.values and values.array.ndim == 2 and node.name in self._leaves:
                h, w = values.array.shape  # the page has the numbers themselves
                self.pictures[-1] |= {
                    "w": w,
                    "h": h,
                    "codes": "",
                    "leaf": self._leaves[node.name],
                    "caption": f"{h} by {w}",
                }
        return self._numbers[key]
