"""`lay_out`: where boxes and lines go, for pictures that are made without a layout program.

Source: Gansner, Koutsofios, North and Vo, *A Technique for Drawing Directed Graphs*, 1993, in a small form: ranks by
longest path, order by barycentres, places by least squares. Each box is laid out by itself, inner ones first; what
enters or leaves it does so through a port on its border. `u` runs along the flow, `v` across it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["Item", "Link", "Point", "lay_out", "path_of"]

Point: TypeAlias = tuple[float, float]
Kind: TypeAlias = Literal["node", "stack", "box", "in", "out", "way"]

_BORDER = 8.0  # between what is on a box's border, and the first and last rank in it
_TURN = 14.0  # how far the line of a loop reaches out
_STIFF = 60  # how much more it matters that the main line and a long line's middle are straight, than where they meet
_STEEP = 6.0  # as much longer as it climbs, divided by this, is the way from one rank to the next


class Item:
    """What has a place: a node, a stack of nodes in one rank, a box around others, a port in its border, a waypoint."""

    def __init__(self, deep: float = 0.0, wide: float = 0.0, kind: Kind = "node") -> None:
        self.deep, self.wide, self.kind = deep, wide, kind  # how long along the flow, and across it
        self.u = self.v = 0.0  # of its corner, as seen from that of the item which it is in
        self.start = self.end = 0.0  # of its rank
        self.home: Item | None = None
        self.parts: list[Item] = []
        self.hops: dict[tuple[Item, Item, bool], Hop] = {}  # of a box: the lines in it
        self.inset = 0.0, 0.0, 0.0, 0.0  # of a box: room before and after what is in it, along and across
        self.least = 0.0, 0.0

    def add(self, part: Item) -> Item:
        part.home = self
        self.parts.append(part)
        return part

    @property
    def around(self) -> list[Item]:
        """The boxes that it is in, the outermost first."""
        found, home = list[Item](), self.home
        while home is not None:
            found += [home] * (home.kind == "box")
            home = home.home
        return found[::-1]

    @property
    def corner(self) -> Point:
        u, v, item = 0.0, 0.0, self
        while item.home is not None:
            u, v, item = u + item.u, v + item.v, item.home
        return u, v


class Link(NamedTuple):
    """A line from one node to another; a loop has no say in where things stand, and has a lane so wide of its own."""

    tail: Item
    head: Item
    hops: list[Hop]
    lane: float = 0.0


class Hop:
    """The part of a line that is in one box."""

    def __init__(self, room: Item, tail: Item, head: Item, lane: float) -> None:
        self.room, self.tail, self.head, self.lane = room, tail, head, lane
        self.ways: list[Item] = []
        self.at = 0.0  # where its lane is


class Near(NamedTuple):
    """A neighbour: where a line joins the two, and if it is to be straight, as between two nodes, or two waypoints."""

    other: Item
    own: float
    theirs: float
    stiff: bool


def lay_out(root: Item, links: Sequence[Link], between: float, beside: float) -> None:
    """Give everything in `root` its place. `between` ranks, and `beside` one another, is so much room."""
    ports: dict[tuple[Item, Kind, Item], Item] = {}

    def port(box: Item, kind: Kind) -> Item:
        if (box, kind, link.tail) not in ports:
            ports[box, kind, link.tail] = box.add(Item(0, _BORDER, kind))
        return ports[box, kind, link.tail]

    def hop(room: Item, tail: Item, head: Item) -> Item:
        key = tail, head, bool(link.lane)
        link.hops.append(room.hops.setdefault(key, Hop(room, tail, head, link.lane)))
        return head

    for link in links:
        up, down = link.tail.around, link.head.around
        shared = sum(a is b for a, b in zip(up, down, strict=False))
        room, at = up[shared - 1], link.tail
        if not link.lane:
            for box in reversed(up[shared:]):
                at = hop(box, at, port(box, "out"))
            for box in down[shared:]:
                room, at = box, hop(room, at, port(box, "in"))
        hop(room, at, link.head)
    _place(root, between, beside)


def _place(room: Item, between: float, beside: float) -> None:
    for item in room.parts:
        if item.kind == "box":
            _place(item, between, beside)
        elif item.kind == "stack":
            item.deep = max(part.deep for part in item.parts)
            for part in item.parts:
                part.u, part.v = (item.deep - part.deep) / 2, item.wide
                item.wide += part.wide + beside
            item.wide -= beside
    hops = [hop for hop in room.hops.values() if not hop.lane]
    ranks = _ranks(room, hops)
    for hop in hops:
        if ranks[_top(hop.head, room)] <= ranks[_top(hop.tail, room)]:
            hop.lane = _TURN  # a box that is left and entered again: back outside of all
    rows, near = _with_ways(room, ranks, [hop for hop in hops if not hop.lane])
    _sort(rows, near, ranks)
    _settle_all(rows, near, beside)
    u, _, across, after = room.inset
    for row, following in zip(rows, [*rows[1:], []], strict=False):
        deep = max(item.deep for item in row)
        for item in row:
            item.u = u + (deep - item.deep) / 2 if near[item] else u
            item.start, item.end = u, u + deep
        ends = {item.kind for item in row} <= {"in"} or {item.kind for item in following} <= {"out"}
        rises = (
            abs(item.v + it.own - it.other.v - it.theirs)
            for item in row for it in near[item] if ranks[it.other] > ranks[item]
        )  # fmt: skip
        u += deep + ((_BORDER if ends else between) + min(max(rises, default=0.0) / _STEEP, 60.0) if following else 0)
    every = [item for row in rows for item in row]
    low = min((item.v for item in every), default=0.0)
    for item in every:
        item.v += across - low
    room.wide = max((item.v + item.wide for item in every), default=across)
    for hop in room.hops.values():
        if hop.lane:
            hop.at = room.wide + _BORDER
            room.wide += hop.lane
    room.deep, room.wide = max(u + room.inset[1], room.least[0]), max(room.wide + after, room.least[1])
    for item in room.parts:
        if item.kind in ("in", "out"):
            item.u = item.start = item.end = 0.0 if item.kind == "in" else room.deep


def _mean(places: Sequence[float], weights: Sequence[int]) -> float:
    return sum(place * weight for place, weight in zip(places, weights, strict=True)) / sum(weights)


def _top(item: Item, room: Item) -> Item:
    """What stands in the room itself: the item, or what it is in."""
    while item.home is not room and item.home is not None:
        item = item.home
    return item


def _middle(item: Item, top: Item) -> float:
    v = item.wide / 2
    while item is not top and item.home is not None:
        v, item = v + item.v, item.home
    return v


def _ranks(room: Item, hops: Sequence[Hop]) -> dict[Item, int]:
    """By longest path; lines back to where they come from do not count, and what nothing leads to is by its user."""
    after: dict[Item, list[Item]] = {item: [] for item in room.parts}
    for hop in hops:
        after[_top(hop.tail, room)].append(_top(hop.head, room))
    order, seen = list[Item](), set[Item]()
    for item in room.parts:
        stack = [] if item in seen else [(item, iter(after[item]))]
        seen.add(item)
        while stack:  # depth first
            top, following = stack[-1]
            new = next((it for it in following if it not in seen), None)
            if new is None:
                order.append(top)
                stack.pop()
            else:
                seen.add(new)
                stack.append((new, iter(after[new])))
    order.reverse()
    places = {item: k for k, item in enumerate(order)}
    forward = {item: [it for it in after[item] if places[it] > places[item]] for item in order}
    ranks = {item: 0 if item.kind == "in" else 1 for item in order}
    for item in order:
        ranks |= {it: max(ranks[it], ranks[item] + 1) for it in forward[item]}
    led = {it for there in forward.values() for it in there}
    for item in reversed(order):
        if item not in led and forward[item] and item.kind != "in":
            ranks[item] = min(ranks[it] for it in forward[item]) - 1
    ranks |= {item: len(order) + 2 for item in order if item.kind == "out"}
    dense = {rank: k for k, rank in enumerate(sorted(set(ranks.values())))}
    return {item: dense[ranks[item]] for item in room.parts}


def _with_ways(
    room: Item, ranks: dict[Item, int], hops: Sequence[Hop]
) -> tuple[list[list[Item]], dict[Item, list[Near]]]:
    """The ranks in rows, with a waypoint in each that a line passes; lines from one item share them."""
    rows: list[list[Item]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    near: dict[Item, list[Near]] = defaultdict(list)
    for item in room.parts:
        rows[ranks[item]].append(item)

    def join(a: Item, end_a: float, b: Item, end_b: float) -> None:
        stiff = (a.kind == "way") == (b.kind == "way")
        near[a].append(Near(b, end_a, end_b, stiff))
        near[b].append(Near(a, end_b, end_a, stiff))

    shared: dict[tuple[Item, int], Item] = {}
    for hop in hops:
        tail, head = _top(hop.tail, room), _top(hop.head, room)
        at, end = tail, _middle(hop.tail, tail)
        for rank in range(ranks[tail] + 1, ranks[head]):
            way = shared.get((hop.tail, rank))
            if way is None:
                way = shared[hop.tail, rank] = Item(0, 0, "way")
                ranks[way] = rank
                rows[rank].append(way)
                join(at, end, way, 0)
            hop.ways.append(way)
            at, end = way, 0
        join(at, end, head, _middle(hop.head, head))
    return rows, near


def _sort(rows: list[list[Item]], near: dict[Item, list[Near]], ranks: dict[Item, int]) -> None:
    """Each row by the mean place of the neighbours in the row before, then in the one after, and so on."""
    slots = {item: float(k) for row in rows for k, item in enumerate(row)}
    for sweep in range(8):
        step = 1 if sweep % 2 == 0 else -1
        for row in rows[::step]:
            keys = {}
            for item in row:
                there = [it for it in near[item] if ranks[it.other] == ranks[item] - step]
                places = [slots[it.other] + it.theirs / (it.other.wide or 1) for it in there]
                keys[item] = _mean(places, [8 if it.stiff else 1 for it in there]) if places else slots[item]
            row.sort(key=lambda item: (keys[item], slots[item]))
            slots |= {item: float(k) for k, item in enumerate(row)}


def _settle_all(rows: list[list[Item]], near: dict[Item, list[Near]], beside: float) -> None:
    for row in rows:
        for before, item in pairwise(row):
            item.v = before.v + before.wide + beside
    most = min(300, 30_000 // max(sum(map(len, rows)), 1))
    for stiffness in (1, 8, _STIFF):  # stiff lines move slowly: first near to their places
        for sweep in range(most):
            moved = [_settle(row, near, beside, stiffness) for row in rows[:: 1 if sweep % 2 else -1]]
            if max(moved, default=0.0) < 0.02:
                break


def _settle(row: list[Item], near: dict[Item, list[Near]], beside: float, stiffness: int) -> float:
    """Places nearest to those wished for that keep the order and the gaps; returns how far it moved any of them."""
    blocks: list[tuple[float, float, list[tuple[Item, float]]]] = []  # sum of wishes, weight, items with their offsets
    offset = 0.0
    for k, item in enumerate(row):
        if k:
            offset += row[k - 1].wide + (beside / 3 if item.kind == row[k - 1].kind == "way" else beside)
        places = [it.other.v + it.theirs - it.own for it in near[item]]
        wish = _mean(places, [stiffness if it.stiff else 1 for it in near[item]]) if places else item.v
        matters = 0.01 if not places else 2.0 if item.kind == "way" else 1.0
        block = (wish - offset) * matters, matters, [(item, offset)]
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            last = blocks.pop()
            block = last[0] + block[0], last[1] + block[1], last[2] + block[2]
        blocks.append(block)
    moved = 0.0
    for total, n, items in blocks:
        for item, offset in items:
            moved = max(moved, abs(total / n + offset - item.v))
            item.v = total / n + offset
    return moved


# ------------------------------------------------------------------------------------------
# Lines


def path_of(link: Link) -> list[Point]:
    """A line as Bézier curves: its start, and for each curve two points that it bends to, and its end.

    Between ranks it curves; past the boxes of a rank it goes straight, so that it touches none.
    """
    sign = -1 if link.lane and link.tail.corner[0] < link.head.corner[0] else 1  # what flows back, goes round forward
    points = [_side(link.tail, sign)]
    for hop in link.hops:
        u, v = hop.room.corner
        tail, head = _top(hop.tail, hop.room), _top(hop.head, hop.room)
        out, to = (tail.end, head.start) if sign > 0 else (tail.start, head.end)
        leave, arrive = (u + out, points[-1][1]), (u + to, v + head.v + _middle(hop.head, head))
        points += _curve(points[-1], leave)
        if hop.lane:
            at, turn = v + hop.at, sign * _TURN
            points += [(leave[0] + turn, leave[1]), (leave[0] + turn, at), (leave[0], at)]
            points += _curve((leave[0], at), (arrive[0], at))
            points += [(arrive[0] - turn, at), (arrive[0] - turn, arrive[1]), arrive]
        for way in hop.ways:
            points += _curve(points[-1], (u + way.start, v + way.v))
            points += _curve(points[-1], (u + way.end, v + way.v))
        points += _curve(points[-1], arrive)
        points += _curve(arrive, _side(hop.head, -sign))
    return points


def _side(item: Item, sign: int) -> Point:
    u, v = item.corner
    return u + (item.deep if sign > 0 else 0), v + item.wide / 2


def _curve(start: Point, end: Point) -> list[Point]:
    """A curve that leaves and arrives along the flow; nothing where there is no way to go."""
    if abs(start[0] - end[0]) < 0.01 and abs(start[1] - end[1]) < 0.01:
        return []
    middle = (start[0] + end[0]) / 2
    return [(middle, start[1]), (middle, end[1]), end]
