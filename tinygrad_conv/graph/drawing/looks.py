"""How nodes look: fills and outlines by kind, by cost or by gradient, and the legend that explains them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape
from typing import Any, Literal, NamedTuple, TypeAlias

from ...digits import amount_text
from ...palette import COSTS, tint
from ..value import Graph, GraphNode

__all__ = ["COLORS", "Color", "Look", "Painter", "amount_text"]

Color: TypeAlias = Literal["kind", "cost", "bytes", "time", "gradients"]
COLORS: tuple[Color, ...] = ("kind", "cost", "bytes", "time", "gradients")

PAPER, INK, QUIET, ALARM = map(tint, ("paper", "ink", "quiet", "alarm"))


class Look(NamedTuple):
    fill: str
    border: str
    shape: str = "box"
    style: str = "filled"
    margin: str = "0.12,0.06"
    group: str | None = "data"  # Graphviz aligns nodes of one group
    width: str = "1"  # of the outline


def _look(kind: str, line: str = "", **more: Any) -> Look:
    return Look(tint(kind), tint(line or f"{kind}-line"), **more)


_LOOKS = {
    "input": _look("input", shape="ellipse", margin="0.01,0.01"),
    "parameter": _look("parameter", group=None),
    "constant": _look("constant", style="filled,dashed", margin="0.08,0.04", group=None),
    "operation": _look("operation", style="filled,rounded"),
    "module": _look("module", style="filled,rounded"),
    "group": _look("group", "operation-line", shape="box3d"),
    "output": _look("output", shape="ellipse", margin="0.01,0.01"),
    "gradient": _look("grad-fill", "grad", style="filled,rounded"),
    "link": Look(PAPER, tint("module-line"), style="filled,dotted", margin="0.05,0.02"),
    "second gradient": _look("grad2-fill", "grad2", style="filled,rounded"),
}
_WORDS = {"link": "goes on in another row"}
_MARKS = {
    "added": _look("added", style="filled,bold", width="2"),
    "removed": _look("removed", "alarm-line", style="filled,dashed", width="2"),
    "changed": _look("alarm", "parameter-line", style="filled,bold", width="2"),
}
_DEAD = {"zero": "gradient is zero", "nan": "gradient has NaN", "infinite": "gradient is infinite"}
_BAD = {"nan": "NaN", "infinite": "infinite"}
_UNITS = {"cost": "FLOPs", "bytes": "bytes", "time": "time", "gradients": "gradient norm"}


class Painter:
    """Gives every node of a graph its look, and the legend for those looks that occur."""

    def __init__(self, graph: Graph, color: Color, show: Collection[str], wrapped: bool = False) -> None:
        self.graph, self.color, self._wrapped = graph, color, wrapped
        self._alarms = {
            node.name: alarm for node in graph.nodes if (alarm := _alarm(node, graph, color == "gradients", show))
        }
        amounts = [amount for node in graph.nodes if (amount := self._amount(node)) > 0]
        self._low, self._high = (min(amounts), max(amounts)) if amounts else (0.0, 0.0)

    def alarm(self, node: GraphNode) -> str:
        """What is wrong with a node or differs, in words; empty if nothing does."""
        return node.mark or self._alarms.get(node.name, "")

    def ink(self, node: GraphNode) -> str:
        """The colour of small print: darker where the ground is."""
        return INK if self.color != "kind" or node.name in self._alarms else QUIET

    def look(self, node: GraphNode) -> Look:
        """How a node is drawn."""
        base = _LOOKS[self._kind(node)]
        if node.mark:
            mark = _MARKS[node.mark.split(":")[0]]
            style = mark.style + (",rounded" if "rounded" in base.style else "")
            return mark._replace(shape=base.shape, style=style, margin=base.margin, group=base.group)
        if node.name in self._alarms:
            style = base.style + (",dashed" if "not" in self._alarms[node.name] and "dashed" not in base.style else "")
            return base._replace(fill=ALARM, border=tint("alarm-line"), width="3", style=style)
        if self.color == "kind":
            return base
        amount = self._amount(node)
        return base._replace(fill=COSTS[self._step(amount)] if amount > 0 else PAPER)

    def _kind(self, node: GraphNode) -> str:
        if node.order and node.kind in ("operation", "output", "module"):
            return "gradient" if node.order == 1 else "second gradient"
        return node.kind

    def _amount(self, node: GraphNode) -> float:
        """What the colour shows of a node; 0 where there is nothing to show."""
        if self.color == "gradients":
            norm = node.gradients.norm if node.gradients is not None else 0.0
            return norm if math.isfinite(norm) else 0.0
        if self.color == "kind" or node.kind not in ("operation", "module", "group"):
            return 0.0
        return float({"cost": node.flops, "bytes": node.bytes, "time": node.time}[self.color] or 0.0)

    def _step(self, amount: float) -> int:
        """A place on the ramp, which is logarithmic and spans at most six decades."""
        low = max(self._low, self._high / 1e6)
        if self._high <= low:
            return len(COSTS) - 1
        place = math.log(max(amount, low) / low) / math.log(self._high / low)
        return min(int(place * len(COSTS)), len(COSTS) - 1)

    def legend(self) -> list[str]:
        """Rows of an HTML-like table: what each look means."""
        kinds = {self._kind(node) for node in self.graph.nodes} | ({"link"} if self._wrapped else set())
        looks = [(look, _WORDS.get(kind, kind)) for kind, look in _LOOKS.items() if kind in kinds]
        if self.color != "kind":
            looks = [(look._replace(fill=PAPER), kind) for look, kind in looks]
        marks = {node.mark.split(":")[0] for node in self.graph.nodes if node.mark}
        looks += [(look, mark) for mark, look in _MARKS.items() if mark in marks]
        if self._alarms:
            faults = dict.fromkeys(word.split(":")[0] for word in self._alarms.values())
            looks.append((_look("alarm", width="3"), ", ".join(faults)))
        rows = [_row([(look.fill, look.border, name) for look, name in looks])] if looks else []
        if self.color != "kind" and self._high:
            low, high = (amount_text(x, self.color) for x in (max(self._low, self._high / 1e6), self._high))
            cells = [(fill, INK, "") for fill in COSTS]
            meaning = f"{_UNITS[self.color]} from {low.strip()} to {high.strip()} (logarithmic); unfilled: none"
            rows.append(_row([*cells[:-1], (*cells[-1][:2], meaning)]))
        return rows


def _row(cells: Sequence[tuple[str, str, str]]) -> str:
    drawn = "".join(
        f'<TD BORDER="1" COLOR="{border}" BGCOLOR="{fill}" WIDTH="18" HEIGHT="10" FIXEDSIZE="TRUE"></TD>'
        + (f'<TD><FONT POINT-SIZE="10"> {escape(name)}</FONT></TD><TD WIDTH="6"></TD>' if name else "")
        for fill, border, name in cells
    )
    return f'<TABLE BORDER="0" CELLSPACING="2" CELLPADDING="0"><TR>{drawn}</TR></TABLE>'


def _alarm(node: GraphNode, graph: Graph, coloured: bool, show: Collection[str]) -> str:
    """Numbers that ought to worry the reader, of those that were asked for."""
    if node.values is not None and node.values.state in _BAD:
        bad = node.values.nans or node.values.infinities
        return f"values are {_BAD[node.values.state]}: {bad:,} of {node.values.array.size:,}"
    if "gradients" not in graph.known or not (coloured or "gradients" in show):
        return ""
    if node.kind in ("constant", "output") or node.order:
        return ""
    if node.gradients is None:
        return "no gradient: not reached"
    return _DEAD.get(node.gradients.state, "")
