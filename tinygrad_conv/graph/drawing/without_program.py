"""`dot_to_svg`: a picture in DOT as SVG, without a layout program, as in a browser's Pyodide.

It gives what Graphviz would: the same boxes, text and groups, so that whatever reads the one reads the other; only the
places differ. Text has the widths that Graphviz takes it to have.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from html import escape
from typing import NamedTuple

from ...palette import tint
from .fonts import width
from .layout import Item, Link, Point, lay_out, path_of
from .reading_dot import DotEdge, DotNode, DotPart, Html, read_dot

__all__ = ["dot_to_svg"]

_INCH = 72.0
_SPACING = 1.2  # of lines, in sizes of the font
_TIP = 7.0  # how long the head of an arrow is
_ROOM = 12.0  # between a frame and what is in it, and for a line that goes round
_PAD = 0.2 * _INCH  # around the picture
_WORD = "laid out without Graphviz"


class _Piece(NamedTuple):
    """A stretch of a line: text in one style, or (with a fill) a swatch of a legend."""

    text: str
    size: float
    bold: bool
    colour: str
    fill: str = ""
    wide: float = 0.0


class _Label:
    """Lines of pieces, and how much room they take."""

    def __init__(self, text: str, says: Mapping[str, str]) -> None:
        self.lines: list[list[_Piece]] = [[]]
        self.right = False
        style = float(says.get("fontsize", "14")), False, says.get("fontcolor", tint("ink"))
        if isinstance(text, Html):
            self._read(ET.fromstring(f"<all>{text}</all>"), *style)
        else:
            for line in text.split("\\n"):
                self._new_line()
                self._add(line, *style)
        self.lines = [line for line in self.lines if line]
        self.wide = max((sum(piece.wide for piece in line) for line in self.lines), default=0.0)
        self.high = sum(map(_height, self.lines))

    def _new_line(self) -> None:
        if self.lines[-1]:
            self.lines.append([])

    def _add(self, text: str, size: float, bold: bool, colour: str) -> None:
        if text:
            self.lines[-1].append(_Piece(text, size, bold, colour, wide=width(text, size, bold)))

    def _read(self, element: ET.Element, size: float, bold: bool, colour: str) -> None:
        says = element.attrib
        size, bold = float(says.get("POINT-SIZE", size)), bold or element.tag == "B"
        self.right |= says.get("ALIGN") == "RIGHT"
        if element.tag in ("BR", "TR"):
            self._new_line()
        if "WIDTH" in says:  # a cell of a legend: a swatch, or nothing
            fill = says.get("BGCOLOR", "")
            self.lines[-1].append(_Piece("", 10, False, says.get("COLOR", ""), fill, float(says["WIDTH"]) + 2))
        colour = colour if element.tag == "TD" else says.get("COLOR", colour)
        self._add(element.text or "", size, bold, colour)
        for child in element:
            self._read(child, size, bold, colour)
            self._add(child.tail or "", size, bold, colour)

    def svg(self, x: float, y: float) -> Iterator[str]:
        """The lines, in the middle around `x` (or, set right, up to it), from `y` down."""
        for line in self.lines:
            wide = sum(piece.wide for piece in line)
            left, base = x - wide * (1 if self.right else 0.5), y + 0.78 * _height(line)
            for piece in line:
                if piece.fill:
                    box = _points([(left, base - 9), (left + 18, base - 9), (left + 18, base + 1), (left, base + 1)])
                    yield f'<polygon fill="{piece.fill}" stroke="{piece.colour}" points="{box}"/>'
                elif piece.text.strip():
                    bold = ' font-weight="bold"' if piece.bold else ""
                    text = piece.text.strip()  # SVG leaves out spaces at the ends
                    start = left + piece.wide - width(piece.text.lstrip(), piece.size, piece.bold)
                    yield (
                        f'<text text-anchor="start" x="{start:.2f}" y="{base:.2f}" font-family="Helvetica,sans-Serif"'
                        f'{bold} font-size="{piece.size:.2f}" fill="{piece.colour}">{escape(text)}</text>'
                    )
                left += piece.wide
            y += _height(line)


def _height(line: Sequence[_Piece]) -> float:
    return max(piece.size for piece in line) * _SPACING + (4 if any(piece.fill for piece in line) else 0)


# ------------------------------------------------------------------------------------------
# From DOT to places


def dot_to_svg(source: str) -> str:
    """
    >>> svg = dot_to_svg('digraph { a [label="the first"] b [label=b] a -> b }')
    >>> svg.count('class="node"'), svg.count('class="edge"')
    (2, 1)
    """
    return _Picture(read_dot(source)).svg()


class _Line(NamedTuple):
    """What is said of an edge, its label, and how it goes through boxes, unless it goes straight to its end."""

    says: Mapping[str, str]
    title: str
    label: _Label
    link: Link
    is_free: bool


class _Picture:
    def __init__(self, root: DotPart) -> None:
        self.says, self.flat = root.says, root.says.get("rankdir") == "LR"
        self.nodes: dict[str, tuple[DotNode, _Label, Item]] = {}
        self.boxes: list[tuple[DotPart, _Label, Item]] = []
        self.root = Item(kind="box")
        self._read(root, self.root)
        if self.flat and any(box.kind == "box" and not any(box.inset) for box in self.root.parts):  # rows: from below
            self.root.parts.reverse()
        edges = list(_edges(root))
        for names in _merged(part for part in _parts(root) if part.says.get("rank") == "same"):
            self._stack(names, edges)
        self.lines = [self._line(edge) for edge in edges]
        between, beside = (float(root.says.get(name, 0.5)) * _INCH for name in ("ranksep", "nodesep"))
        lay_out(self.root, [line.link for line in self.lines if not line.is_free], between, beside)

    def _sides(self, x: float, y: float) -> Point:
        """Along the flow and across it, or back."""
        return (x, y) if self.flat else (y, x)

    def _read(self, part: DotPart, room: Item) -> None:
        for node in part.nodes:
            if node.says and node.name not in self.nodes:
                label = _Label(node.says.get("label", node.name), node.says)
                self.nodes[node.name] = node, label, room.add(Item(*self._sides(*_size(node.says, label))))
        for inner in part.parts:
            box = room
            if inner.name.startswith("cluster"):
                label, box = _Label(inner.says.get("label", ""), {}), room.add(Item(kind="box"))
                if inner.says.get("peripheries") != "0":
                    top = label.high + _ROOM
                    box.inset = (_ROOM, _ROOM, top, _ROOM) if self.flat else (top, _ROOM, _ROOM, _ROOM)
                    box.least = self._sides(label.wide + 2 * _ROOM, 0)
                    self.boxes.append((inner, label, box))
            self._read(inner, box)

    def _stack(self, names: Sequence[str], edges: Sequence[DotEdge]) -> None:
        """Nodes of the same rank as one thing, in the order that the lines between them say."""
        items = {name: self.nodes[name][2] for name in names}
        room = items[names[0]].home
        assert room is not None
        stack = Item(kind="stack")
        room.parts.insert(room.parts.index(items[names[0]]), stack)
        stack.home = room
        for item in items.values():
            room.parts.remove(item)
            stack.add(item)
        order = TopologicalSorter(dict.fromkeys(stack.parts, ()))
        for edge in edges:
            if edge.tail in items and edge.head in items and edge.says.get("constraint") != "false":
                order.add(items[edge.head], items[edge.tail])
        stack.parts = list(order.static_order())

    def _line(self, edge: DotEdge) -> _Line:
        tail, head = self.nodes[edge.tail][2], self.nodes[edge.head][2]
        label = _Label(edge.says.get("label", ""), edge.says)
        loose = edge.says.get("constraint") == "false"  # with a label it goes round
        long, wide = self._sides(label.wide, label.high)
        lane = _ROOM + wide if loose and wide else 0.0
        if lane and (room := tail.around[-1]) is not self.root:
            room.least = max(room.least[0], long + 2 * _ROOM), room.least[1]
        link = Link(tail, head, [], lane)
        stacked = tail.home is not None and tail.home is head.home and tail.home.kind == "stack"
        return _Line(edge.says, f"{edge.tail}->{edge.head}", label, link, (loose or stacked) and not lane)

    # -- and to SVG

    def svg(self) -> str:
        """The whole picture, as Graphviz writes it: a group for each box, node and line."""
        heading = _Label(self.says.get("label", ""), self.says)
        inner, high = self._sides(self.root.deep, self.root.wide)
        wide = max(inner, heading.wide)
        left, top = _PAD + (wide - inner) / 2, _PAD + heading.high + (8 if heading.high else 0)
        self.left, self.top = left, top
        whole = wide + 2 * _PAD, top + high + _PAD + 12
        paper = self.says.get("bgcolor", tint("paper"))
        drawn = [
            *heading.svg(whole[0] / 2, _PAD),
            *(text for box in self.boxes for text in self._box(*box)),
            *(text for line in self.lines if line.says.get("style") != "invis" for text in self._edge(line)),
            *(text for node in self.nodes.values() for text in self._node(*node)),
            *_Label(_WORD, {"fontsize": "10", "fontcolor": tint("quiet")}).svg(whole[0] / 2, whole[1] - 14),
        ]
        corners = _points([(0, 0), (whole[0], 0), whole, (0, whole[1])])
        return "\n".join([
            f'<svg width="{whole[0]:.0f}pt" height="{whole[1]:.0f}pt" viewBox="0 0 {whole[0]:.2f} {whole[1]:.2f}" '
            'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">',
            f'<g id="graph0" class="graph"><polygon fill="{paper}" stroke="none" points="{corners}"/>',
            *drawn, "</g></svg>", "",
        ])  # fmt: skip

    def _at(self, u: float, v: float) -> Point:
        x, y = self._sides(u, v)
        return x + self.left, y + self.top

    def _rectangle(self, item: Item) -> tuple[float, float, float, float]:
        return *self._at(*item.corner), *self._sides(item.deep, item.wide)

    def _box(self, part: DotPart, label: _Label, item: Item) -> Iterator[str]:
        x, y, wide, high = self._rectangle(item)
        look = _look(part.says)
        right = x + (wide - 8 if label.right else wide / 2)
        yield f'<g class="cluster"><title>{escape(part.name)}</title>'
        yield from (f'<path {look} d="{_rounded(x, y, wide, high)}"/>', *label.svg(right, y + 6), "</g>")

    def _node(self, node: DotNode, label: _Label, item: Item) -> Iterator[str]:
        x, y, wide, high = self._rectangle(item)
        look, shape = _look(node.says), node.says.get("shape", "ellipse")
        corners = [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)]
        yield f'<g class="node"><title>{escape(node.name)}</title>'
        yield f'<g><a xlink:title="{escape(node.says.get("tooltip", node.name))}">'
        if shape in ("ellipse", "circle"):
            sizes = f'cx="{x + wide / 2:.2f}" cy="{y + high / 2:.2f}" rx="{wide / 2:.2f}" ry="{high / 2:.2f}"'
            yield f"<ellipse {look} {sizes}/>"
        elif "rounded" in node.says.get("style", ""):
            yield f'<path {look} d="{_rounded(x, y, wide, high)}"/>'
        elif shape != "plaintext":
            yield f'<polygon {look} points="{_points(corners)}"/>'
        if shape == "box3d":
            yield f'<polyline {look} points="{_points([(x + 4, y + high), (x + 4, y + 4), (x + wide, y + 4)])}"/>'
        yield from (*label.svg(x + wide / 2, y + (high - label.high) / 2), "</a></g></g>")

    def _edge(self, line: _Line) -> Iterator[str]:
        """A line with its head, and the words beside it."""
        points = [self._at(*point) for point in self._path(line)]
        if line.says.get("dir") == "back":
            points.reverse()
        end, before = points[-1], next(point for point in reversed(points[:-1]) if math.dist(point, points[-1]) > 0.01)
        far = math.dist(end, before)
        along = (end[0] - before[0]) / far, (end[1] - before[1]) / far
        foot = end[0] - _TIP * along[0], end[1] - _TIP * along[1]
        look, colour = _look(line.says, fill="none"), line.says.get("color", "black")
        yield f'<g class="edge"><title>{escape(line.title)}</title>'
        if line.says.get("arrowhead") != "none":
            points[-1] = foot
            across = -along[1] * _TIP * 0.36, along[0] * _TIP * 0.36
            head = _points(
                [end, (foot[0] + across[0], foot[1] + across[1]), (foot[0] - across[0], foot[1] - across[1])]
            )
            yield f'<polygon fill="{colour}" stroke="{colour}" points="{head}"/>'
        yield f'<path {look} d="M{_points(points[:1])}C{_points(points[1:])}"/>'
        if line.link.lane:
            (hop,), (one, other) = line.link.hops, (self._at(*item.corner) for item in line.link[:2])
            middle = self._at(0, hop.room.corner[1] + hop.at)
            x, y = ((one[0] + other[0]) / 2, middle[1] + 1) if self.flat else (middle[0], (one[1] + other[1]) / 2)
            yield from line.label.svg(x + (0 if self.flat else line.label.wide / 2 + 4), y)
        for text in filter(None, (line.says.get("headlabel"), line.says.get("taillabel"))):
            x, y = _beside(points)
            yield from _Label(text, line.says).svg(x + (3 if text == "2" else -3), y)  # in x @ x both are in one place
        yield "</g>"

    def _path(self, line: _Line) -> list[Point]:
        link = line.link
        if not line.is_free and self.says.get("splines") != "line":
            return path_of(link)
        (u, v), (u2, v2) = link.tail.corner, link.head.corner
        if not line.is_free:
            start, end = (u + link.tail.deep, v + link.tail.wide / 2), (u2, v2 + link.head.wide / 2)
            return [start, start, end, end]
        down = v2 > v
        start = u + link.tail.deep / 2, v + (link.tail.wide if down else 0)
        end = u2 + link.head.deep / 2, v2 + (0 if down else link.head.wide)
        out = (
            0.0 if abs(v2 - v) < link.tail.wide + link.head.wide + 40 or link.tail.home is not link.head.home else 40.0
        )
        middle = (start[1] + end[1]) / 2
        return [start, (start[0] - out, middle), (end[0] - out, middle), end]


def _merged(groups: Iterable[DotPart]) -> list[list[str]]:
    """The names in groups, those that share one as one."""
    found: dict[str, list[str]] = {}
    for group in groups:
        own = [name for node in group.nodes for name in (node.name,)] + [
            name for edge in group.edges for name in (edge.tail, edge.head)
        ]
        whole = list(dict.fromkeys(name for each in own for name in found.get(each, [each])))
        found |= dict.fromkeys(whole, whole)
    return list({id(names): names for names in found.values()}.values())


def _parts(part: DotPart) -> Iterator[DotPart]:
    yield part
    for inner in part.parts:
        yield from _parts(inner)


def _edges(root: DotPart) -> Iterator[DotEdge]:
    for part in _parts(root):
        yield from part.edges


def _beside(points: Sequence[Point]) -> Point:
    """A place for a number beside the last stretch of a line that bends, else of one that is long enough."""
    parts = [points[k : k + 4] for k in range(len(points) - 4, -1, -3)]
    long = [part for part in parts if math.dist(part[0], part[3]) > 5] or parts
    a, b, c, d = next((part for part in long[:2] if min(abs(part[3][k] - part[0][k]) for k in (0, 1)) > 5), long[0])
    x, y = ((a[k] + 3 * b[k] + 3 * c[k] + d[k]) / 8 for k in (0, 1))
    return (x - 9, y - 6) if abs(d[1] - a[1]) > abs(d[0] - a[0]) else (x, y - 12)


# ------------------------------------------------------------------------------------------
# Sizes and looks


def _size(says: Mapping[str, str], label: _Label) -> Point:
    least = float(says.get("width", 0.75)) * _INCH, float(says.get("height", 0.5)) * _INCH
    if says.get("fixedsize") == "true":
        return least if "height" in says else (least[0], least[0])
    x, y = (float(inch) * _INCH for inch in says.get("margin", "0.11,0.055").split(","))
    round_ = math.sqrt(2) if says.get("shape", "ellipse") in ("ellipse", "circle") else 1.0
    return max(least[0], label.wide * round_ + 2 * x), max(least[1], label.high * round_ + 2 * y)


def _look(says: Mapping[str, str], fill: str = "") -> str:
    style = says.get("style", "").split(",")
    dashes = ' stroke-dasharray="5,2"' * ("dashed" in style) + ' stroke-dasharray="1,5"' * ("dotted" in style)
    thick = says.get("penwidth") or ("2" if "bold" in style else "1")
    fill = fill or (says.get("fillcolor", tint("group")) if "filled" in style else "none")
    return f'fill="{fill}" stroke="{says.get("color", "black")}" stroke-width="{thick}"{dashes}'


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _rounded(x: float, y: float, wide: float, high: float) -> str:
    a, b, c, d, r, k = x, y, x + wide, y + high, 8.0, 3.6
    return (
        f"M{_points([(a + r, b)])}L{_points([(c - r, b)])}C{_points([(c - k, b), (c, b + k), (c, b + r)])}"
        f"L{_points([(c, d - r)])}C{_points([(c, d - k), (c - k, d), (c - r, d)])}"
        f"L{_points([(a + r, d)])}C{_points([(a + k, d), (a, d - k), (a, d - r)])}"
        f"L{_points([(a, b + r)])}C{_points([(a, b + k), (a + k, b), (a + r, b)])}"
    )
