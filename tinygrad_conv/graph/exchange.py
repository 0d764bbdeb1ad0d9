"""A `Graph` for other programs: as JSON text and back, and as a networkx graph."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, MissingExtraError
from .value import Graph, GraphModule, GraphNode, Values

if TYPE_CHECKING:
    from networkx import MultiDiGraph  # type: ignore[import-untyped]

__all__ = ["from_json", "to_json", "to_networkx"]

_FORMAT = 1


def to_json(graph: Graph) -> str:
    """The graph as JSON: what is at its default is left out, numbers are base64 of their little-endian bytes.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> graph = snapshot(tg.exp, 1.0, values=True)
    >>> from_json(to_json(graph)) == graph
    True
    """
    it = {"format": _FORMAT, "title": graph.title, "known": graph.known, "notes": graph.notes}
    it["modules"] = [_record(module) for module in graph.modules]
    it["nodes"] = [_record(node) for node in graph.nodes]
    return json.dumps(it, default=_encoded, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _record(value: GraphNode | GraphModule) -> dict[str, Any]:
    pairs = ((part, getattr(value, part.name)) for part in fields(value))
    return {part.name: it for part, it in pairs if it != part.default or part.name == "kind"}


def _encoded(value: Any) -> Any:
    if isinstance(value, Values):
        array = value.array
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        return {"shape": array.shape, "dtype": str(array.dtype), "data": base64.b64encode(data).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"to_json: cannot write {type(value).__name__}")


def from_json(text: str) -> Graph:
    """The graph that `to_json` wrote.

    Raises
    ------
    ArgumentError
        The text is not such JSON.
    """
    try:
        it = json.loads(text)
        if it["format"] != _FORMAT:
            raise ArgumentError(f"from_json: expected format {_FORMAT}, got {it['format']!r}")
        modules = tuple(GraphModule(**record) for record in it["modules"])
        nodes = tuple(GraphNode(**{name: _decoded(name, part) for name, part in it.items()}) for it in it["nodes"])
        return Graph(it["title"], nodes, modules, tuple(it["known"]), tuple(it["notes"]))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"from_json: expected what to_json wrote, got {text[:40]!r} ({error})") from None


def _decoded(name: str, part: Any) -> Any:
    if name in ("values", "gradients"):
        dtype = np.dtype(part["dtype"])
        array = np.frombuffer(base64.b64decode(part["data"]), dtype.newbyteorder("<")).astype(dtype)
        return Values(array.reshape(part["shape"]))
    if name == "arrivals":
        return tuple((user, _decoded("gradients", so_far)) for user, so_far in part)
    return tuple(tuple(x) if isinstance(x, list) else x for x in part) if isinstance(part, list) else part


def to_networkx(graph: Graph) -> MultiDiGraph:
    """The graph for networkx's algorithms; an edge's ``argument`` is its place among the inputs.

    Raises MissingExtraError without networkx.
    """
    try:
        import networkx
    except ImportError:
        raise MissingExtraError("to_networkx needs networkx: pip install 'tinygrad-conv[graphs]'") from None
    made = networkx.MultiDiGraph(title=graph.title)
    known = [part.name for part in fields(GraphNode) if part.name != "name"]
    for node in graph.nodes:
        made.add_node(node.name, **{name: getattr(node, name) for name in known})
    for node in graph.nodes:
        made.add_edges_from((before, node.name, {"argument": k}) for k, before in enumerate(node.inputs))
    return made
