"""A `Graph` for other programs: as JSON text and back, and as a networkx graph."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import DType, checked
from ..errors import MissingExtraError
from ..files import Expected, parsed, record, value
from .value import Graph, GraphModule, GraphNode, Values

if TYPE_CHECKING:
    from networkx import MultiDiGraph  # type: ignore[import-untyped]

__all__ = ["from_json", "to_json", "to_networkx"]

_FORMAT = 1


@checked
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


@checked
def from_json(text: str) -> Graph:
    """The graph that `to_json` wrote.

    Raises
    ------
    DataError
        The text is not such JSON, or not that of a graph: names the value that cannot be.

    >>> from_json("{}")
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.DataError: from_json: expected what to_json wrote, got '{}'
    """
    expected = Expected("from_json", "what to_json wrote")
    it = parsed(text, expected)
    if not isinstance(it, dict) or it.pop("format", None) != _FORMAT:
        raise expected.error(f"{text[:40]!r}")
    with expected.checking("other content"):
        modules = tuple(record(GraphModule, module, expected) for module in it["modules"])
        nodes = tuple(record(GraphNode, _decoded(node, expected), expected) for node in it["nodes"])
        graph = record(Graph, {**it, "modules": modules, "nodes": nodes}, expected)
    before: set[str] = set()
    paths = {"", *(module.path for module in modules)}
    for node in nodes:
        if node.name in before or not before.issuperset(node.inputs) or node.module not in paths:
            raise expected.error(f"other content ({node.name!r} is there twice, or without its module or an input)")
        before.add(node.name)
    return graph


def _decoded(node: Any, expected: Expected) -> dict[str, Any]:
    """A node's record with the numbers in it as arrays."""
    decoded: dict[str, Any] = {name: _array(node[name], expected) for name in ("values", "gradients") if name in node}
    if "arrivals" in node:
        decoded["arrivals"] = tuple((user, _array(so_far, expected)) for user, so_far in node["arrivals"])
    return {**node, **decoded}


def _array(it: Any, expected: Expected) -> Values:
    dtype = np.dtype(value(DType, "dtype", it["dtype"], expected))
    array = np.frombuffer(base64.b64decode(it["data"]), dtype.newbyteorder("<")).astype(dtype)
    return Values(array.reshape(it["shape"]))


@checked
def to_networkx(graph: Graph) -> MultiDiGraph:
    """The graph for networkx's algorithms; an edge's ``argument`` is its place among the inputs.

    Raises MissingExtraError without networkx.

    >>> import networkx
    >>> import tinygrad_conv as tg
    >>> graph = to_networkx(tg.graph.snapshot(lambda x: tg.exp(x) * x, 1.0))
    >>> networkx.dag_longest_path(graph)
    ['x', 'exp_1', 'multiply_1', 'output']
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
