"""`volumes`: what flows through a network as boxes in perspective, as papers draw it.

Each is as high and deep as the image and as wide as its channels; what made it stands beneath, skips are arcs above.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from math import log2, sqrt
from typing import NamedTuple

from ...engine.primitive import primitives
from ...errors import GraphError
from ...palette import dark_style, darkened, tint
from ..describing import options
from ..value import Graph, GraphNode, counted
from .fonts import fitted, width

__all__ = ["SHOWN", "volumes"]

SHOWN = ("shape", "params", "options", "legend")  # all that can be shown
_FONTS = "Helvetica,Arial,Nimbus Sans,Liberation Sans,Arimo,sans-serif"
_SIDE, _FLAT, _GAP, _EDGE = 110.0, 14.0, 26.0, 18.0  # of the largest image, of what is none; between boxes; around all
_SLANT = 0.4  # how far back a side reaches, of its length


class _Volume(NamedTuple):
    """A box: where its front stands (left, and the middle of its height), its sides, and what is written beneath."""

    node: GraphNode
    x: float
    wide: float
    tall: float
    deep: float
    lines: tuple[tuple[str, bool], ...]  # text, is it bold?
    room: float  # from the left of this column

    @property
    def middle(self) -> float:
        return self.x + (self.wide + self.deep) / 2


def volumes(graph: Graph, whole: Graph | None = None, theme: str = "auto", show: Collection[str] = SHOWN) -> str:
    """The picture as SVG; `whole` is what it was folded from, of which it gives the totals.

    Images are boxes as high and deep as the square roots of their sides, and as wide as the logarithm of their
    channels; vectors are bars. Constants and parameters are left out.

    Raises
    ------
    GraphError
        Nothing in the graph has a shape.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> x, w = np.ones((1, 8, 8, 1)), np.ones((3, 3, 1, 4))
    >>> volumes(snapshot(lambda x, w: tg.relu(tg.conv2d(x, w)), x, w)).count('class="volume"')
    5
    """
    nodes = [node for node in graph.nodes if node.kind not in ("parameter", "constant") and node.shape is not None]
    if not nodes:
        raise GraphError("draw: style='volumes' draws what has a shape: nothing here has; use style='graph'")
    boxes = {box.node.name: box for box in _placed(nodes, show)}
    places = {name: k for k, name in enumerate(boxes)}
    edges = [(a, node.name, "") for node in nodes for a in dict.fromkeys(node.inputs) if a in boxes]
    rounds = [(a, node.name, f"{a}, the next time") for node in nodes for a in node.again if a in boxes]
    skips = [edge for edge in edges if places[edge[1]] - places[edge[0]] > 1]
    reach = [abs(places[b] - places[a]) for a, b, _ in (*skips, *rounds)]
    arcs = _rise(max(reach)) + 26 if reach else 0.0
    over = max(box.tall / 2 + box.deep for box in boxes.values())
    middle = _EDGE + 44 + arcs + over
    under = middle + max(box.tall for box in boxes.values()) / 2 + 18
    across = max(box.room + _EDGE for box in boxes.values())
    down = under + 14 * max(len(box.lines) for box in boxes.values()) + _EDGE
    whole = whole or graph
    facts = [counted(whole.n_operations, "operation"), *([counted(whole.n_params, "param")] if whole.n_params else [])]
    facts += [f"folded: {note}" for note in graph.notes]
    across = max(across, width(graph.title, 16, bold=True) + 2 * _EDGE)
    head = [
        _words(across / 2, _EDGE + 14, graph.title, 16, True),
        _words(across / 2, _EDGE + 30, " · ".join(facts), 10),
    ]
    parts = [
        *(head if "legend" in show else []),
        *(_box(box, middle) for box in boxes.values()),
        *(_written(box, under) for box in boxes.values()),
    ]  # fmt: skip
    for a, b, _ in edges:
        if (a, b, _) not in skips:
            parts.append(_straight(boxes[a], boxes[b], middle))
    top = middle - over - 8
    for a, b, what in (*skips, *rounds):
        rise = _rise(abs(places[b] - places[a])) + (14 if what else 0)
        parts.append(_arc(boxes[a], boxes[b], middle, top, rise, what))
    alt = escape(f"{graph.title}: volumes", quote=True)
    svg = fitted(
        f'<svg xmlns="http://www.w3.org/2000/svg" style="max-width:100%;height:auto" class="tgc" role="img" '
        f'aria-label="{alt}" width="{across:.0f}pt" height="{down:.0f}pt" viewBox="0 0 {across:.0f} {down:.0f}" '
        f'font-family="{_FONTS}"><title>{alt}</title>{dark_style() if theme == "auto" else ""}'
        f'<rect x="0" y="0" width="{across:.0f}" height="{down:.0f}" fill="{tint("paper")}"/>{"".join(parts)}</svg>'
    )
    return darkened(svg) if theme == "dark" else svg


def _rise(reach: int) -> float:
    """How high an arc over so many boxes is, so that long ones are above short ones."""
    return 12 * sqrt(reach)


def _placed(nodes: Sequence[GraphNode], show: Collection[str]) -> Iterator[_Volume]:
    """From left to right, each as far from the one before as the text beneath asks for."""
    largest = max((side for node in nodes for side in _image(node)[:2]), default=1)
    x = _EDGE
    for node in nodes:
        high, back, channels = _image(node) or (0, 0, node.shape[-1] if node.shape else 1)
        if high:
            tall, deep = (max(_FLAT, _SIDE * sqrt(side / largest)) for side in (high, back))
            wide = 5 + 4 * log2(channels + 1)
        else:
            tall, deep, wide = 12 + 9 * log2(channels + 1), _FLAT, 8.0
        deep *= _SLANT
        lines = tuple(_lines(node, show))
        column = max(wide + deep, *(width(text, 10, bold) for text, bold in lines))
        yield _Volume(node, x + (column - wide - deep) / 2, wide, tall, deep, lines, x + column)
        x += column + _GAP


def _image(node: GraphNode) -> tuple[int, int, int] | tuple[()]:
    """Height, width and channels; of one axis the height is 1, of three the depth is left to the text."""
    shape = node.shape or ()
    if len(shape) < 3:
        return ()
    return (shape[-3] if len(shape) > 3 else 1), shape[-2], shape[-1]


def _lines(node: GraphNode, show: Collection[str]) -> Iterator[tuple[str, bool]]:
    yield node.label, True
    own = node.name.rpartition(".")[2]
    if node.kind in ("module", "group") and own != node.label:
        yield own, False
    if "options" in show and (told := options(node)):
        yield told, False
    if "shape" in show:
        yield "×".join(map(str, (node.shape or ())[1:])) or "scalar", False
    if "params" in show and node.n_params:
        yield counted(node.n_params, "param"), False


def _kind(node: GraphNode) -> str:
    known = primitives()
    if node.kind in ("input", "output"):
        return node.kind
    if node.order:
        return "grad-fill"
    bilinear = node.primitive in known and known[node.primitive].kind == "bilinear"
    return "parameter" if node.n_params or bilinear else "module" if node.kind == "module" else "operation"


def _box(box: _Volume, middle: float) -> str:
    """Front, top and side: a front in the colour of its kind, with the lines of it around all."""
    kind = _kind(box.node)
    line = tint({"grad-fill": "grad"}.get(kind, f"{kind}-line"))
    x, y, w, h, d = box.x, middle - box.tall / 2, box.wide, box.tall, box.deep
    faces = (
        ((x, y), (x + w, y), (x + w, y + h), (x, y + h)), ((x, y), (x + d, y - d), (x + w + d, y - d), (x + w, y)),
        ((x + w, y), (x + w + d, y - d), (x + w + d, y + h - d), (x + w, y + h)),
    )  # fmt: skip
    drawn = "".join(
        f'<polygon fill="{tint(kind)}" stroke="{line}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in face)}"/>'
        for face in faces
    )
    return f'<g class="volume"><title>{escape(box.node.name)}</title>{drawn}</g>'


def _written(box: _Volume, under: float) -> str:
    return "".join(_words(box.middle, under + 12 * k, text, 10, bold) for k, (text, bold) in enumerate(box.lines))


def _words(x: float, y: float, text: str, size: int, bold: bool = False, ink: str = "ink") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}"{weight} text-anchor="middle" '
        f'fill="{tint(ink)}">{escape(text)}</text>'
    )


def _straight(one: _Volume, other: _Volume, middle: float) -> str:
    start, end = one.x + one.wide + one.deep, other.x
    path = f"M{start:.1f},{middle:.1f}L{end - 5:.1f},{middle:.1f}"
    return f'<path fill="none" stroke="{tint("line")}" d="{path}"/>{_tip(end, middle, 1, 0, "line")}'


def _arc(one: _Volume, other: _Volume, middle: float, top: float, rise: float, what: str) -> str:
    """From the top of one box to the top of the other; what goes round goes back, and says what it is."""
    ink = "module-line" if what else "line"
    a, b = one.middle + 3, other.middle - 3
    y, z = (middle - box.tall / 2 - box.deep for box in (one, other))
    high = top - rise
    curve = f"M{a:.1f},{y:.1f}C{a:.1f},{high:.1f} {a:.1f},{high:.1f} {(a + b) / 2:.1f},{high:.1f}"
    curve += f"C{b:.1f},{high:.1f} {b:.1f},{high:.1f} {b:.1f},{z - 5:.1f}"
    name = _words((a + b) / 2, high - 3, what, 10, ink=ink) if what else ""
    return f'<path fill="none" stroke="{tint(ink)}" d="{curve}"/>{_tip(b, z, 0, 1, ink)}{name}'


def _tip(x: float, y: float, dx: int, dy: int, ink: str) -> str:
    """An arrowhead that ends here."""
    points = ((x, y), (x - 6 * dx - 3 * dy, y - 6 * dy - 3 * dx), (x - 6 * dx + 3 * dy, y - 6 * dy + 3 * dx))
    return f'<polygon fill="{tint(ink)}" stroke="none" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>'
