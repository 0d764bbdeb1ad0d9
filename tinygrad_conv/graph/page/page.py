"""`render_html`: a graph as one HTML file that explains itself in a browser, and needs nothing else.

The layout is the page's own (`page.js`), so no layout program is needed. The same graph gives the same bytes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...engine.primitive import primitives
from ...files import write
from ..describing import options
from ..value import Graph, GraphModule, GraphNode, Values, counted
from .picture import picture
from .template import fill

__all__ = ["html", "render_html"]

_PIXELS = 320_000  # of all images of a page together, about


def render_html(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write a graph as one self-contained HTML file.

    Values and gradients are on it if the graph has them (``show=("values", "gradients")``).

    Raises DataError for a path that cannot be written.
    """
    return write(path, html(graph), "render")


def html(graph: Graph) -> str:
    """The page of a graph as text.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> html(snapshot(tg.exp, 1.0)).splitlines()[0]
    '<!DOCTYPE html>'
    """
    facts = [counted(graph.n_operations, "operation")]
    facts += [counted(n, unit) for n, unit in ((graph.n_params, "parameter"), (graph.flops, "FLOP")) if n]
    return fill(__package__, "page", graph.title or "Graph", " · ".join(facts), _data(graph))


# ------------------------------------------------------------------------------------------
# The data


def _data(graph: Graph) -> dict[str, Any]:
    index = {node.name: k for k, node in enumerate(graph.nodes)}
    album = _Album(graph)
    nodes = [_node(node, index, album) for node in graph.nodes]
    first = [k for k, node in enumerate(graph.nodes) if not node.order]
    operations = [k for k in reversed(first) if graph.nodes[k].kind == "operation"]
    pulled = sorted((k for k in operations if graph.nodes[k].step), key=lambda k: graph.nodes[k].step)
    seeds = {k for k in first if graph.nodes[k].kind == "output"}
    seeds |= {index[name] for k in seeds for name in graph.nodes[k].inputs}
    return {
        "nodes": nodes,
        "modules": [_module(module) for module in graph.modules],
        "pictures": album.pictures,
        "formulas": _formulas(graph),
        "steps": pulled or operations,
        "seeds": sorted(seeds),
        "notes": list(graph.notes),
        "has_values": any(node.values is not None for node in graph.nodes),
        "has_gradients": any(node.gradients is not None for node in graph.nodes),
    }


def _node(node: GraphNode, index: dict[str, int], album: _Album) -> dict[str, Any]:
    details = {
        "op": node.primitive, "options": options(node), "params": [list(pair) for pair in node.params],
        "shape": "" if node.shape is None else "scalar" if node.shape == () else str(node.shape), "dtype": node.dtype,
        "n_params": node.n_params, "flops": node.flops, "bytes": node.bytes, "source": node.source,
        "time": f"{node.time * 1e6:,.1f} µs" if node.time else "", "note": f"× {node.count}" if node.count > 1 else "",
        "value": album.add(node, node.values), "gradient": album.add(node, node.gradients),
        "arrivals": [[index[user], album.add(node, so_far)] for user, so_far in node.arrivals],
    }  # fmt: skip
    return {
        "name": node.name, "kind": node.kind, "label": node.label, "inputs": [index[name] for name in node.inputs],
        "module": node.module, **_dropping(details),
    }  # fmt: skip


def _module(module: GraphModule) -> dict[str, Any]:
    repeat = module.repeat if module.repeat > 1 else 0
    details = {"kind": module.kind, "n_params": module.n_params, "label": module.label, "repeat": repeat}
    return {"path": module.path, **_dropping(details)}


def _dropping(details: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty (0 as a picture's number stays)."""
    return {
        name: value for name, value in details.items() if value or (value == 0 and name in ("value", "gradient"))
    }  # fmt: skip


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

    def __init__(self, graph: Graph) -> None:
        arrays = {v for node in graph.nodes for v in (node.values, node.gradients) if v is not None}
        arrays |= {so_far for node in graph.nodes for _, so_far in node.arrivals}
        self._pixels = min(8192, max(64, _PIXELS // max(1, len(arrays))))
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
            self.pictures.append(picture(values.array, kernel, self._pixels))
        return self._numbers[key]
