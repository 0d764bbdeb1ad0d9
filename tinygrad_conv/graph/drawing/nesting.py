"""`boxes`: boxes in boxes, which a page opens and closes: modules, calls, repeated blocks, iterations, stretches.

A picture draws equal blocks once. A page has room for all of them, so it keeps every node: each run of equal blocks is
a box that shows its first block for all (``x 24``), or all of them when asked. Of more nodes than a reader can take in,
both show what is in the same boxes: those that are `open`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, isqrt

from ..describing import told
from ..value import Graph, GraphNode
from .branches import by_kind, kinds
from .groups import around_all, as_modules, is_inside, one_per_call, one_per_node, prefixes
from .repeats import blocks, fold_repeats

__all__ = ["MOST", "Box", "boxes", "shown_in"]

MOST = 200  # nodes that a reader can take in
_ARROWS = 1.5  # between so many things that a reader can take in, for each of them
_CHILDREN = 120  # that one box shows; of more, some that follow one another are put into a box


@dataclass
class Box:
    """Something to open: its path is its name and unlike any other, `within` is the path of the box around it.

    Attributes
    ----------
    kind : "module", "repeat" (a run of equal blocks), "block" (one of them), "group" (branches of one kind) or "part"
        (some children that follow)
    whole : bool
        Is it one node in a picture, unless somebody opens it?
    open : bool
        Does a picture show what is in it?
    what : str
        A module's class; the line that a part comes from.
    told : str
        What a module was told that its operations do not show.
    blocks : for a repeat, the names of each block's nodes, in an order that is the same for all of them
    more : for a repeat, what else is in later blocks, and the node of which it is a part there: parameters, which the
        first call of a module has
    round : bool
        For a repeat: does one block give something to the next?
    """

    path: str
    kind: str
    name: str
    within: str = ""
    what: str = ""
    told: str = ""
    blocks: list[list[str]] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)
    round: bool = False
    whole: bool = False
    open: bool = False


def boxes(
    graph: Graph, fold: bool = True, modules: bool = False, gradients: bool = True, most: int = MOST
) -> tuple[Graph, list[Box], dict[str, str]]:  # fmt: skip
    """The graph with a module for each call of a module, its boxes, outer ones first, and for each node its box.

    Boxes are those of a picture: with `modules` one of level "modules", with `gradients` one that shows them. From the
    outside in, all boxes of one depth are open as long as no more than `most` things are to be seen, with at most one
    and a half times as many arrows.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> def f(x):
    ...     for _ in range(300):
    ...         x = tg.sin(x)
    ...     return x
    >>> _, found, home = boxes(snapshot(f, 1.0))
    >>> [box.name for box in found[:3]], home["sin_300"]
    (['iterations', 'iterations 1 to 17', 'iterations 18 to 34'], '*1#290to')
    """
    graph, stands_for = one_per_node(graph) if modules else (one_per_call(graph), {})
    drawn = as_modules(graph) if modules else graph
    tree = _Tree(graph)
    for node in drawn.nodes if modules else ():
        if node.kind == "module":
            tree.found[graph[stands_for[node.name][0]].module].whole = True

    def members(block: Iterable[str]) -> list[str]:
        return [name for own in block for name in stands_for.get(own, [own])]

    if fold:
        drawn = drawn if gradients else replace(drawn, known=tuple(it for it in drawn.known if it != "gradients"))
        if by_kind(drawn) is not drawn and by_kind(folded := fold_repeats(drawn)) is not folded:  # as `fold` does
            for one, alike in (it for _, found in kinds(drawn) for it in found):
                tree.add_group(one, members(node.name for branch in alike for node in branch))
            drawn = by_kind(drawn)
        for number, run in enumerate(reversed(list(blocks(drawn))), 1):
            tree.add(number, [members(block) for block in run])
    return graph, *tree.finished(most)


class _Tree:
    """For each node the boxes around it, the outermost first, each with the module that it lies in."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.found: dict[str, Box] = {}
        self.later: set[str] = set()  # the nodes of all blocks but the first of their run
        modules = {module.path: module for module in graph.modules}
        self.around: dict[str, list[tuple[str, str]]] = {}
        self.sizes = Counter(path for node in graph.nodes for path in prefixes(node.module))
        for node in graph.nodes:
            paths = [path for path in prefixes(node.module) if path in modules]
            self.around[node.name] = [(path, path) for path in paths]
            for path, outer in zip(paths, ["", *paths], strict=False):
                module = modules[path]
                name = module.label or path.removeprefix(f"{outer}." if outer else "")
                self.found.setdefault(path, Box(path, "module", name, what=module.kind, told=told(module)))

    def add_group(self, one: GraphNode, names: Sequence[str]) -> None:
        """A box for branches of one kind."""
        self.found[one.name] = Box(one.name, "group", one.label, whole=True)
        for name in names:
            chain = self.around[name]
            depth = sum(is_inside(one.module, place) or not place for _, place in chain)
            self.around[name] = [*chain[:depth], (one.name, one.module), *chain[depth:]]

    def add(self, number: int, run: Sequence[Sequence[str]]) -> None:
        """A box for a run of equal blocks, and one for each block; outer runs come first."""
        home = {name: k for k, block in enumerate(run) for name in block}
        self.later.update(name for name, k in home.items() if k)
        equal = [list(block) for block in run]
        more: dict[str, str] = {}
        if len({len(block) for block in run}) > 1:  # the first call has the parameters that all calls share
            equal = [[name for name in block if self.graph[name].kind != "parameter"] for block in run]
            users = {before: name for block in equal[:0:-1] for name in block for before in self.graph[name].inputs}
            more = {name: users[name] for name, k in home.items() if k and self.graph[name].kind == "parameter"}
        round_ = any(
            home.get(before, k) == k - 1 and self.graph[before].kind != "parameter"
            for name, k in home.items() for before in self.graph[name].inputs
        )  # fmt: skip
        module = around_all([self.graph[name].module for name in home])
        what, path = "iteration" if round_ else "block", f"*{number}"
        units = [self._unit(block, module) for block in run]
        whole = all(units)
        name = f"{self.found[units[0]].name} to {self.found[units[-1]].name}" if whole else f"{what}s"
        self.found[path] = Box(path, "repeat", name, blocks=equal, more=more, round=round_)
        held = [Counter(p for name in block for p in prefixes(self.graph[name].module)) for block in run]
        per = ceil(len(run) / ceil(len(run) / isqrt(len(run)))) if len(run) > _CHILDREN else len(run)
        for name, k in home.items():
            inner = [path]
            if per < len(run):
                start = k // per * per
                part = f"{path}#{start + 1}to"
                title = f"{what}s {start + 1:,} to {min(start + per, len(run)):,}"
                self.found.setdefault(part, Box(part, "part", title))
                inner.append(part)
            if not whole and len(run[0]) > 1:
                own = f"{path}#{k + 1}"
                self.found.setdefault(own, Box(own, "block", f"{what} {k + 1:,}"))
                inner.append(own)
            chain = self.around[name]
            depth = sum(is_inside(module, place) or not place for _, place in chain)
            inside = [(self._share(path, place, inner[-1], held[k]), place) for path, place in chain[depth:]]
            self.around[name] = [*chain[:depth], *((each, module) for each in inner), *inside]

    def _share(self, path: str, module: str, block: str, held: Counter[str]) -> str:
        """A module that is not in one block as a whole is a box in each of them."""
        if self.sizes[module] == held[module]:
            return path
        box = self.found[path]
        return self.found.setdefault(f"{block}|{path}", replace(box, path=f"{block}|{path}")).path

    def _unit(self, block: Sequence[str], module: str) -> str:
        """The one module that a block is, if it is one."""
        units = {next((p for p, own in self.around[n] if p == own and not is_inside(module, p)), "") for n in block}
        unit = units.pop()
        return unit if unit and not units and self.sizes[unit] == len(block) else ""

    def finished(self, most: int) -> tuple[list[Box], dict[str, str]]:
        """The boxes, outer ones first, and the box of each node."""
        self._part()
        order: dict[str, Box] = {}
        for chain in self.around.values():
            within = ""
            for path, _ in chain:
                if path not in order:
                    order[path] = self.found[path]
                    order[path].within = within
                within = path
        home = {name: chain[-1][0] if chain else "" for name, chain in self.around.items()}
        found = list(order.values())
        self._open(found, home, most)
        return found, home

    def _open(self, found: Sequence[Box], home: Mapping[str, str], most: int) -> None:
        """Open the boxes of one depth, if what is in all of them fits, and go on inside."""
        around = shown_in(found)
        inside: dict[str, dict[str, Box | None]] = {"": {}}  # box -> its boxes and (None) nodes
        for node in self.graph.nodes:
            if node.name not in self.later:
                chain = around[home[node.name]]
                for outer, inner in zip([None, *chain], [*chain, None], strict=True):
                    within, child = outer.path if outer else "", inner.path if inner else f"={node.name}"
                    inside.setdefault(within, {})[child] = inner
        for box in reversed(found):  # one operation needs no box
            if box.kind == "module" and not box.whole and len(children := inside.get(box.path, {})) == 1:
                ((name, inner),) = children.items()
                box.open = inner.open if inner is not None else self.graph[name[1:]].kind != "module"
        front, opened = [""], {box.path for box in found if box.open}
        while front and self._fits(around, home, opened := opened | {*front}, most):
            for path in front:
                if path:
                    self.found[path].open = True
            front = [it.path for path in front for it in inside[path].values() if it is not None and not it.whole]

    def _fits(
        self, around: Mapping[str, Sequence[Box]], home: Mapping[str, str], opened: Container[str], most: int
    ) -> bool:  # fmt: skip
        """With these boxes open, are at most `most` things to be seen, and no more arrows than one can follow?"""
        seen: dict[str, str] = {}
        for node in self.graph.nodes:
            if node.name not in self.later:
                closed = (box.path for box in around[home[node.name]] if box.path not in opened)
                seen[node.name] = next(closed, f"={node.name}")
        if len({*seen.values()}) > most:
            return False
        ends = ((seen.get(before), seen[name]) for name in seen for before in self.graph[name].inputs)
        return len({(a, b) for a, b in ends if a is not None and a != b}) <= _ARROWS * most

    def _part(self) -> None:
        """More children than anybody can read: boxes of some that follow one another, named by what they are."""
        children: dict[str, dict[str, list[GraphNode]]] = {}
        ends = {node.name for node in self.graph.nodes if node.kind in ("input", "output") and not node.module}
        for node in self.graph.nodes:
            if node.name in ends and 4 * len(ends) <= _CHILDREN:  # always to be seen
                continue
            chain = [path for path, _ in self.around[node.name]]
            for within, child in zip(["", *chain], [*chain, f"={node.name}"], strict=True):
                children.setdefault(within, {}).setdefault(child, []).append(node)
        for within, each in children.items():
            if len(each) <= _CHILDREN or (within and self.found[within].kind != "module"):
                continue
            per = max(isqrt(len(each)), ceil(len(each) / _CHILDREN))
            parts = list(each.values())
            for k in range(0, len(parts), per):
                some = [node for part in parts[k : k + per] for node in part]
                path = f"{within}#{k + 1}"
                name, what = _said(some)
                self.found[path] = Box(path, "part", name, what=what)
                depth = len(_depth(self.around[some[0].name], within))
                for node in some:
                    outer = self.around[node.name]
                    self.around[node.name] = [*outer[:depth], (path, within), *outer[depth:]]


def _depth(chain: list[tuple[str, str]], within: str) -> list[tuple[str, str]]:
    paths = [path for path, _ in chain]
    return chain[: paths.index(within) + 1] if within else []


def _said(nodes: Sequence[GraphNode]) -> tuple[str, str]:
    """What some nodes are together: the line that most come from, or the operations that are most of them."""
    operations = [node for node in nodes if node.kind in ("operation", "module")] or list(nodes)
    (label, often), *_ = Counter(node.label for node in operations).most_common(1)
    line, lines = Counter(node.source for node in operations).most_common(1)[0]
    name = f"{operations[0].name} to {operations[-1].name}"
    said = line if line and 2 * lines > len(operations) else f"{label} ×{often}" if often > 1 else ""
    return name, said


def shown_in(found: Sequence[Box]) -> dict[str, list[Box]]:
    """For each box (and for "") the boxes to be seen around what is in it, the outermost first, it among them.

    Blocks, and parts of a run, are no more to be seen than what is in them: the run shows its first block for all.
    """
    around: dict[str, list[Box]] = {"": []}
    of_run: set[str] = set()
    for box in found:  # outer ones first
        if box.kind in ("block", "part") and box.within in of_run:
            of_run.add(box.path)
            around[box.path] = around[box.within]
        else:
            of_run |= {box.path} if box.kind == "repeat" else set()
            around[box.path] = [*around[box.within], box]
    return around
