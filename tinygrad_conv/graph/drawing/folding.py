"""Smaller graphs that say the same: modules as one node, equal blocks once, and at most so many nodes.

Each function takes a `Graph` and gives another, so that whatever shows graphs shows folded ones too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..value import Graph, GraphModule, GraphNode, Values, counted

__all__ = ["MOST", "as_modules", "fold", "fold_repeats"]

MOST = 200  # nodes that a reader can take in
_LEAST = 3  # equal blocks that are worth folding
_WORTH = 6  # nodes that it must save
_LONGEST = 2_000  # nodes to a block
_ARITY = 4  # an operation of more inputs is never part of a repeated block


def fold(graph: Graph, most: int = MOST) -> Graph:
    """Equal blocks drawn once, and as much more folded as it takes to show at most `most` nodes; `notes` say what.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> def f(x):
    ...     for _ in range(1000):
    ...         x = tg.sin(x)
    ...     return x
    >>> folded = fold(snapshot(f, 1.0))
    >>> [node.name for node in folded.nodes], folded.notes
    (['x', 'sin_1', 'output'], ('1,000 equal blocks drawn once (x 1,000)',))
    """
    folded = fold_repeats(graph)
    own = (module.path for module in folded.modules if "*" not in module.path)  # not made by folding
    deepest = max((path.count(".") for path in own), default=-1)
    for depth in range(deepest, -1, -1):
        if len(folded.nodes) <= most:
            break
        folded = _modules_from(folded, depth)
        inside = "modules" if depth == 0 else f"modules inside level {depth}"
        folded = fold_repeats(_noted(folded, f"{inside} drawn as one node each", replacing="drawn as one node each"))
    return folded if len(folded.nodes) <= most else _in_stretches(folded, most)


def _noted(graph: Graph, note: str, replacing: str = "\0") -> Graph:
    return replace(graph, notes=(*(old for old in graph.notes if replacing not in old), note))


# ------------------------------------------------------------------------------------------
# Groups of nodes as one node


def as_modules(graph: Graph) -> Graph:
    """Each innermost module as one node; what runs between modules stays."""
    outer = {around for module in graph.modules for around in _arounds(module.path)}
    return _collapsed(graph, lambda node: node.module if node.module not in outer else "")


def _modules_from(graph: Graph, depth: int) -> Graph:
    """Modules at this depth (0 for outermost) as one node each, with all that is inside."""
    paths = {module.path for module in graph.modules}

    def group(node: GraphNode) -> str:
        path = ".".join(node.module.split(".")[: depth + 1])
        return path if path in paths else ""

    return _collapsed(graph, group)


def _arounds(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


def _collapsed(graph: Graph, group_of: Callable[[GraphNode], str]) -> Graph:
    """Nodes of one group (a module's path) as one node; a module that is called twice gives two nodes.

    It was called again where an input from outside depends on what the group has computed already.
    """
    kinds = {module.path: module for module in graph.modules}
    times = _times(graph)
    members: list[list[GraphNode]] = []
    paths: list[str] = []
    home: dict[str, int] = {}  # name -> place in `members`
    after: dict[int, int] = {}  # place -> bit set of the places that it was computed from
    current: dict[str, int] = {}
    for node in graph.nodes:
        path = group_of(node) if node.kind != "input" and (node.kind != "output" or node.module) else ""
        place = current.get(path) if path else None
        before = {home[name] for name in node.inputs if name in home}
        if place is not None and any(after[other] >> place & 1 for other in before if other != place):
            place = None
        if place is None:
            place = len(members)
            members.append([])
            paths.append(path)
            after[place] = 0
            if path:
                current[path] = place
        home[node.name] = place
        members[place].append(node)
        for other in before - {place}:
            after[place] |= after[other] | 1 << other
    used = Counter(path for path in paths if path)
    names: dict[int, str] = {}
    taken = {part[0].name for part, path in zip(members, paths, strict=True) if not path}
    seen: Counter[str] = Counter()
    for place, path in enumerate(paths):
        seen[path] += 1
        name = members[place][0].name if not path else f"{path}_{seen[path]}" if used[path] > 1 else path
        while path and name in taken:
            name += "_"
        names[place] = name
        taken.add(name)
    nodes = []
    for place, part in enumerate(members):
        outside = [home[name] for node in part for name in node.inputs if home[name] != place]
        inputs = tuple(names[other] for other in (outside if not paths[place] else dict.fromkeys(outside)))
        whole = part[0] if not paths[place] else _merged(names[place], part, kinds[paths[place]], times)
        nodes.append(replace(whole, inputs=inputs))
    return _with_modules(graph, nodes)


def _times(graph: Graph) -> dict[str, int]:
    """For how many equal ones a module's nodes stand, with what is around it."""
    repeats = {module.path: module.repeat for module in graph.modules}
    return {path: math.prod(repeats.get(part, 1) for part in (*_arounds(path), path)) for path in repeats}


def _merged(name: str, part: Sequence[GraphNode], module: GraphModule, times: Mapping[str, int]) -> GraphNode:
    """One node for what a module does: it looks like its last operation, and costs what all cost."""
    operations = [node for node in part if node.kind in ("operation", "module", "group")]
    last = operations[-1] if operations else part[-1]
    main = max(operations, key=lambda node: node.flops or 0, default=last)
    around, _, own = module.path.rpartition(".")
    label = (module.kind or module.label or own) + (f" x {module.repeat:,}" if module.repeat > 1 else "")
    return replace(
        last, name=name, kind="module", label=label, module=around, primitive="", params=main.params,
        changed=main.changed, **_sums(part, times), of="",
    )  # fmt: skip


def _sums(part: Sequence[GraphNode], times: Mapping[str, int]) -> dict[str, Any]:
    """What a group costs in all, counting equal blocks as often as they are there."""
    shares = [(node, times.get(node.module, 1)) for node in part]
    took = [n * node.time for node, n in shares if node.time is not None]
    found: dict[str, Any] = {
        "n_params": sum(n * node.n_params for node, n in shares),
        "flops": sum(n * (node.flops or 0) for node, n in shares),
        "bytes": sum(n * (node.bytes or 0) for node, n in shares),
        "time": sum(took) if took else None,
        "count": sum(n * node.count for node, n in shares if node.kind in ("operation", "module", "group")),
    }
    found["mark"] = "changed: inside" if any(node.mark for node in part) else ""
    learned = [node.gradients.array.ravel() for node in part if node.kind == "parameter" and node.gradients is not None]
    if learned:
        found["gradients"] = Values(np.concatenate(learned))
    return found


def _in_stretches(graph: Graph, most: int) -> Graph:
    """Stretches of nodes, as they follow one another, as one node each."""
    ends = [node for node in graph.nodes if node.kind in ("input", "output")]
    kept = {node.name for node in ends} if len(ends) <= most // 4 else set()
    inner = [node for node in graph.nodes if node.name not in kept]
    size = -(-len(inner) // (most - len(kept)))
    times = _times(graph)
    stretches = [inner[start : start + size] for start in range(0, len(inner), size)]
    names = {node.name: f"stretch_{k}" for k, part in enumerate(stretches, 1) if len(part) > 1 for node in part}
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    nodes = [(places[name], graph[name]) for name in kept]
    for part in stretches:
        if len(part) == 1:
            nodes.append((places[part[0].name], part[0]))
            continue
        own = names[part[0].name]
        outside = dict.fromkeys(names.get(name, name) for node in part for name in node.inputs)
        common = Counter(node.label for node in part if node.kind != "constant").most_common(2)
        sums = _sums(part, times)
        count = sums["count"]
        label = counted(count, "operation") if count else counted(len(part), "node")
        whole = replace(
            part[-1], name=own, kind="group", label=label, params=tuple((name, f"x {n}") for name, n in common),
            changed=tuple(name for name, _ in common), module="", primitive="", of="", **sums,
        )  # fmt: skip
        nodes.append((places[part[-1].name], replace(whole, inputs=tuple(name for name in outside if name != own))))
    renamed = [
        node if node.kind == "group" else replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))
        for _, node in sorted(nodes, key=lambda it: it[0])
    ]
    return _noted(_with_modules(graph, renamed), f"{len(graph.nodes):,} nodes drawn as {len(renamed)}")


def _with_modules(graph: Graph, nodes: Iterable[GraphNode]) -> Graph:
    """The graph with other nodes, and those of its modules that still have nodes."""
    nodes = tuple(nodes)
    alive = {path for node in nodes if node.module for path in (node.module, *_arounds(node.module))}
    return replace(graph, nodes=nodes, modules=tuple(module for module in graph.modules if module.path in alive))


# ------------------------------------------------------------------------------------------
# Equal blocks


class _Run(NamedTuple):
    """Equal blocks one after another: where the first starts, how long it is, how many there are."""

    start: int
    length: int
    times: int

    @property
    def end(self) -> int:
        return self.start + self.length * self.times

    @property
    def saved(self) -> int:
        return self.length * (self.times - 1)


def fold_repeats(graph: Graph) -> Graph:
    """Three or more equal blocks, each computed from the one before, as the first of them.

    Blocks are equal if they hold the same operations with the same parameters, shapes and dtypes, connected alike;
    numbers in the names of modules and parameters do not count.
    """
    times: list[int] = []
    while runs := _runs(graph):
        times += (run.times for run in runs)
        graph = _folded(graph, runs, len(times))
    if not times:
        return graph
    runs_of = f"{len(times):,} runs of equal blocks drawn once (x {max(times):,} at most)"
    return _noted(graph, f"{times[0]:,} equal blocks drawn once (x {times[0]:,})" if len(times) == 1 else runs_of)


def _runs(graph: Graph) -> list[_Run]:
    """The runs that hide the most nodes; they do not overlap."""
    nodes = graph.nodes
    n = len(nodes)
    kinds: dict[Any, int] = {}
    places = {node.name: place for place, node in enumerate(nodes)}
    looks = np.array([kinds.setdefault(_look(node, "gradients" in graph.known), len(kinds)) for node in nodes])
    inputs = np.full((n, _ARITY), -1)
    for place, node in enumerate(nodes):
        if len(node.inputs) <= _ARITY:
            inputs[place, : len(node.inputs)] = [places[name] for name in node.inputs]
    found: list[_Run] = []
    covered = np.zeros(n, bool)  # by a run of shorter blocks
    for length in range(1, min(n // _LEAST, _LONGEST) + 1):
        same = looks[:-length] == looks[length:]
        if np.count_nonzero(same) < (_LEAST - 1) * length or not (same & ~covered[:-length]).any():
            continue
        before, later = inputs[:-length], inputs[length:]
        same &= ((later - before == length) | (later == before)).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False]))))
        starts, ends = edges[0::2], edges[1::2]
        long = ends - starts >= (_LEAST - 1) * length
        for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
            run = _Run(start, length, (end - start) // length + 1)
            run = _aligned(nodes, looks, inputs, run, end + length)
            if run.saved >= _WORTH:
                found.append(run)
                covered[run.start : run.end] = True
    taken = np.zeros(n, bool)
    chosen: list[_Run] = []
    for run in sorted(found, key=lambda run: (-run.saved, run.length, run.start)):
        if not taken[run.start : run.end].any() and _is_sound(nodes, inputs, run):
            taken[run.start : run.end] = True
            chosen.append(run)
    return sorted(chosen)


def _look(node: GraphNode, with_gradients: bool) -> Any:
    """What two nodes must share to be equal."""
    if node.kind == "input" or (node.kind == "output" and not node.module) or len(node.inputs) > _ARITY:
        return node.name  # nothing is equal to it
    label = re.sub(r"\d+", "#", node.label) if node.kind in ("parameter", "module") else node.label
    state = (node.gradients.state if node.gradients is not None else "none") if with_gradients else ""
    module = node.module if "*" in node.module else re.sub(r"\d+", "#", node.module)  # * is a block folded before
    return node.kind, label, node.primitive, node.params, node.shape, node.dtype, module, node.order, state, node.mark


def _aligned(nodes: Sequence[GraphNode], looks: Any, inputs: Any, run: _Run, end: int) -> _Run:
    """The run, shifted so that a block starts where a module does, and so that it has most blocks.

    It may reach back further than blocks are equal: what the first block gets from outside may come from elsewhere.
    """
    length, best, score = run.length, run, (-1, -1)
    for start in range(max(run.start - length, 0), min(run.start + length, end - length)):
        if start < run.start and not _is_first(looks, inputs, start, run):
            continue
        times = (end - start) // length
        unit = _unit(nodes[start].module, nodes[start + length].module)
        at_module = bool(unit) and (start == 0 or not _is_inside(nodes[start - 1].module, unit))
        if times >= _LEAST and (at_module, times) > score:
            best, score = _Run(start, length, times), (at_module, times)
    return best


def _is_first(looks: Any, inputs: Any, start: int, run: _Run) -> bool:
    """Could the block from `start` be the first of the run, but for what it gets from outside?"""
    length = run.length
    one, two = slice(start, run.start), slice(start + length, run.start + length)
    if (looks[one] != looks[two]).any():
        return False
    before, later = inputs[one], inputs[two]
    outside = (before < start) & (later < start + length) & (before >= 0)
    return bool(((later - before == length) | (later == before) | outside).all())


def _unit(a: str, b: str) -> str:
    """The outermost module around `a` that `b` is not in."""
    for path in (*_arounds(a), a):
        if path and not _is_inside(b, path):
            return path
    return ""


def _is_inside(path: str, module: str) -> bool:
    return path == module or path.startswith(f"{module}.")


def _is_sound(nodes: Sequence[GraphNode], inputs: Any, run: _Run) -> bool:
    """A block does something, and what all blocks share comes from before the first."""
    block = slice(run.start, run.start + run.length)
    if not any(node.kind in ("operation", "module", "group") for node in nodes[block]):
        return False
    first, second = inputs[block], inputs[run.start + run.length : run.start + 2 * run.length]
    shared = first[(first == second) & (first >= 0)]
    return bool((shared < run.start).all())


def _folded(graph: Graph, runs: Sequence[_Run], number: int) -> Graph:
    """The first block of each run in place of all. A block that is no module gets a box of its own, `*number`."""
    nodes = graph.nodes
    first_of: dict[str, str] = {}
    homes: dict[str, str] = {}  # node of a first block -> the module it is now in
    dropped: set[str] = set()
    modules = {module.path: module for module in graph.modules}
    for k, run in enumerate(runs):
        block = nodes[run.start : run.start + run.length]
        for place in range(run.start + run.length, run.end):
            first_of[nodes[place].name] = block[(place - run.start) % run.length].name
            dropped.add(nodes[place].name)
        unit = _unit(block[0].module, nodes[run.start + run.length].module)
        if unit and all(_is_inside(node.module, unit) for node in block):
            last = _unit(nodes[run.end - run.length].module, block[0].module)
            label = f"{unit.rpartition('.')[2]} to {last.rpartition('.')[2]}"
            modules[unit] = replace(modules[unit], repeat=run.times, label=label)
            continue
        around = _common([node.module for node in block])
        star = f"{around}.*{number - k}" if around else f"*{number - k}"
        modules[star] = GraphModule(star, "", sum(node.n_params for node in block), repeat=run.times, label="block")
        for node in block:
            homes[node.name] = star + (f".{node.module[len(around) :].lstrip('.')}" if node.module != around else "")
            for path in (node.module, *_arounds(node.module)):
                if path in modules and path != around and not _is_inside(around, path):
                    moved = f"{star}.{path[len(around) :].lstrip('.')}"
                    modules[moved] = replace(modules[path], path=moved)
    kept = []
    for node in nodes:
        if node.name in dropped:
            continue
        inputs = tuple(first_of.get(name, name) for name in node.inputs)
        home = homes.get(node.name, node.module)
        same = inputs == node.inputs and home == node.module
        kept.append(node if same else replace(node, inputs=inputs, module=home))
    outer_first = tuple(sorted(modules.values(), key=lambda module: module.path.count(".")))
    return _with_modules(replace(graph, modules=outer_first), kept)


def _common(paths: Sequence[str]) -> str:
    """The innermost module around all these paths."""
    around = paths[0]
    while around and not all(_is_inside(path, around) for path in paths):
        around = around.rpartition(".")[0]
    return around
