"""`read_dot`: the DOT text that this package writes, as what it is made of. Not all of the language: what is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["DotEdge", "DotNode", "DotPart", "Html", "read_dot"]

_TOKEN = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|<(?P<html>(?:[^<>]|<[^<>]*>)*)>|(?P<sign>->|[{}\[\]=])|(?P<word>-?[\w.]+))'
)


class Html(str):
    """A label with tags in it."""


@dataclass
class DotNode:
    name: str
    says: dict[str, str]


@dataclass
class DotEdge:
    tail: str
    head: str
    says: dict[str, str]


@dataclass
class DotPart:
    """A graph, or a subgraph: its attributes, its nodes and edges as written in it, and the subgraphs in it."""

    name: str = ""
    says: dict[str, str] = field(default_factory=dict)
    nodes: list[DotNode] = field(default_factory=list)
    edges: list[DotEdge] = field(default_factory=list)
    parts: list[DotPart] = field(default_factory=list)


def read_dot(source: str) -> DotPart:
    """
    >>> graph = read_dot('digraph { rankdir=LR node [shape=box] a [label="the first"] a -> b { rank=same b c } }')
    >>> graph.says, graph.nodes[0].says, graph.edges[0].head, graph.parts[0].says
    ({'rankdir': 'LR'}, {'shape': 'box', 'label': 'the first'}, 'b', {'rank': 'same'})
    """
    tokens = [*_tokens(source), ("sign", "")]
    root, place, open_parts = DotPart(), 0, list[DotPart]()
    common: dict[str, dict[str, str]] = {"node": {}, "edge": {}}

    def attributes() -> dict[str, str]:
        nonlocal place
        found: dict[str, str] = {}
        if tokens[place] == ("sign", "["):
            end = tokens.index(("sign", "]"), place)
            found = {tokens[k][1]: tokens[k + 2][1] for k in range(place + 1, end, 3)}
            place = end + 1
        return found

    while place < len(tokens) - 1:
        (kind, text), after = tokens[place], tokens[place + 1]
        place += 1
        if (kind, text) == ("sign", "{"):  # of the whole, or of a part without a name
            open_parts.append(DotPart() if open_parts else root)
            if len(open_parts) > 1:
                open_parts[-2].parts.append(open_parts[-1])
        elif (kind, text) == ("sign", "}"):
            open_parts.pop()
        elif not open_parts:  # digraph, and its name
            continue
        elif (kind, text) == ("word", "subgraph"):
            open_parts[-1].parts.append(DotPart(after[1]))
            open_parts.append(open_parts[-1].parts[-1])
            place += 2
        elif kind == "word" and text in ("graph", *common):
            common.get(text, open_parts[-1].says).update(attributes())
        elif after == ("sign", "="):
            open_parts[-1].says[text] = tokens[place + 1][1]
            place += 2
        elif after == ("sign", "->"):
            head = tokens[place + 1][1]
            place += 2
            open_parts[-1].edges.append(DotEdge(text, head, common["edge"] | attributes()))
        else:
            own = attributes()
            open_parts[-1].nodes.append(DotNode(text, common["node"] | own if own else {}))
    return root


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each; a label in quotes keeps its ``\\n``."""
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or ""
        text = match[kind]
        if kind == "quoted":
            text = re.sub(r'\\(["\\])', r"\1", text)
        yield kind, Html(text) if kind == "html" else text
