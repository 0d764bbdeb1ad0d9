"""Smaller graphs that say the same: modules as one node, equal blocks once, and at most so many nodes.

Each function takes a `Graph` and gives another, so that whatever shows graphs shows folded ones too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...arguments import Size, checked
from ...engine.primitive import primitives
from ..value import Graph, GraphModule, GraphNode, Values, counted

__all__ = [
    "MOST", "around_all", "as_modules", "blocks", "fold", "fold_repeats", "is_inside", "one_per_call", "with_nodes",
]  # fmt: skip

MOST = 200  # nodes that a reader can take in
_LEAST = 3  # equal blocks that are worth folding
_WORTH = 6  # nodes that it must save
_LONGEST = 2_000  # nodes to a block
_ARITY = 4  # an operation of more inputs is never part of a repeated block


@checked
def fold(graph: Graph, most: Size = MOST) -> Graph:
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
    folded = fold_repeats(one_per_call(graph))
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


@checked
def as_modules(graph: Graph) -> Graph:
    """Each innermost module as one node, one for each of its calls; what runs between modules stays.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> net = tg.nn.Sequential([tg.nn.Dense(10), tg.nn.Activation("relu")])
    >>> [node.label for node in as_modules(tg.graph.snapshot(net, np.ones((1, 4)))).nodes]
    ['x', 'Dense', 'Activation', 'output']
    """
    graph = one_per_call(graph)
    outer = {around for module in graph.modules for around in _arounds(module.path)}
    return _collapsed(graph, lambda node: node.module if node.module not in outer else "")


def one_per_call(graph: Graph) -> Graph:
    """A module of its own for each call of a module that is called several times; parameters are with the first.

    Its path is that of the module with ``#2`` behind the name for the second call.
    """
    if not any(node.calls for node in graph.nodes):
        return graph
    modules = {module.path: module for module in graph.modules}
    first = {path: which for node in reversed(graph.nodes) for path, which, _ in node.calls}
    many = {path: n for node in graph.nodes for path, _, n in node.calls}
    found: dict[str, GraphModule] = {}
    nodes = []
    for node in graph.nodes:
        which = first | {path: number for path, number, _ in node.calls}
        new = ""
        for path in [*_arounds(node.module), node.module] if node.module else []:
            own = path.rpartition(".")[2] + (f"#{which[path]}" if path in many else "")
            new = f"{new}.{own}" if new else own
            if path in modules and new not in found:
                module = modules[path]
                label = f"{module.path.rpartition('.')[2]}, call {which[path]} of {many[path]}" if path in many else ""
                shared = path in many and which[path] != first[path]
                found[new] = replace(module, path=new, label=label, n_params=0 if shared else module.n_params)
        nodes.append(replace(node, module=new, calls=()))
    return replace(graph, nodes=tuple(nodes), modules=tuple(found.values()))


def _called(path: str) -> str:
    """The path of the module itself, whichever call of it this is."""
    return re.sub(r"#\d+", "", path)


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
    names: dict[int, str] = {}  # (# is kept out of names: they are safe in file names)
    taken = {part[0].name for part, path in zip(members, paths, strict=True) if not path}
    seen: Counter[str] = Counter()
    for place, path in enumerate(paths):
        seen[path] += 1
        name = members[place][0].name if not path else f"{path}_{seen[path]}" if used[path] > 1 else path
        name = name.replace("#", "_")
        while path and name in taken:
            name += "_"
        names[place] = name
        taken.add(name)
    nodes = []
    for place, part in enumerate(members):
        outside = [
            home[name] for node in part for name in node.inputs if home[name] != place
            and not (graph[name].kind == "parameter" and _called(paths[home[name]]) == _called(paths[place]) != "")
        ]  # fmt: skip
        inputs = tuple(names[other] for other in (outside if not paths[place] else dict.fromkeys(outside)))
        whole = part[0] if not paths[place] else _merged(names[place], part, kinds[paths[place]], kinds, times)
        again = dict.fromkeys(home[name] for node in part for name in node.again if home.get(name, place) != place)
        nodes.append(replace(whole, inputs=inputs, again=tuple(names[other] for other in again)))
    return with_nodes(graph, nodes)


def _times(graph: Graph) -> dict[str, int]:
    """For how many equal ones a module's nodes stand, with what is around it."""
    repeats = {module.path: module.repeat for module in graph.modules}
    return {path: math.prod(repeats.get(part, 1) for part in (*_arounds(path), path)) for path in repeats}


def _merged(
    name: str, part: Sequence[GraphNode], module: GraphModule, modules: Collection[str], times: Mapping[str, int]
) -> GraphNode:  # fmt: skip
    """One node for what a module does: it looks like its last operation, and costs what all cost."""
    operations = [node for node in part if node.kind in ("operation", "module", "group")]
    last = operations[-1] if operations else part[-1]
    known = primitives()
    products = [node for node in operations if node.primitive in known and known[node.primitive].kind == "bilinear"]
    main = max(products or operations, key=lambda node: node.flops or 0, default=last)
    own = module.path.rpartition(".")[2]
    around = next((path for path in reversed(_arounds(module.path)) if path in modules), "")  # no list of modules
    ends = _activations(operations[operations.index(main) + 1 :] if main in operations else [])
    label = (module.kind or module.label or own) + (f" x {module.repeat:,}" if module.repeat > 1 else "")
    more = [("then", end) for end in ends]
    if ", call " in module.label:
        more.append(("call", module.label.rpartition(", call ")[2]))
    return replace(
        last, name=name, kind="module", label=label, module=around, primitive="",
        params=(*main.params, *more), changed=(*main.changed, *(name for name, _ in more)), **_sums(part, times),
        of="", calls=(),
    )  # fmt: skip


def _activations(operations: Sequence[GraphNode]) -> list[str]:
    """The functions of one number that a module applies to what its main operation gives."""
    known = primitives()
    return [
        node.label for node in operations
        if node.primitive in known and known[node.primitive].kind == "elementwise" and len(node.inputs) == 1
    ]  # fmt: skip


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
        inputs = tuple(name for name in outside if name != own)
        nodes.append((places[part[-1].name], replace(whole, inputs=inputs, again=())))
    renamed = [
        node
        if node.kind == "group"
        else replace(
            node,
            inputs=tuple(names.get(name, name) for name in node.inputs),
            again=tuple(names.get(name, name) for name in node.again),
        )
        for _, node in sorted(nodes, key=lambda it: it[0])
    ]
    return _noted(with_nodes(graph, renamed), f"{len(graph.nodes):,} nodes drawn as {len(renamed)}")


def with_nodes(graph: Graph, nodes: Iterable[GraphNode]) -> Graph:
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


def blocks(graph: Graph) -> Iterator[list[list[str]]]:
    """The runs that `fold_repeats` folds, inner ones first: for each of their blocks, the names of its nodes.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> def f(x):
    ...     for _ in range(8):
    ...         x = tg.sin(x)
    ...     return x
    >>> [run[:2] for run in blocks(snapshot(f, 1.0))]
    [[['sin_1'], ['sin_2']]]
    """
    stands_for: dict[str, list[str]] = {}  # a node that stands for others in a folded graph
    number = 0
    while runs := _runs(graph):
        number += len(runs)
        names = [node.name for node in graph.nodes]
        for run in runs:
            starts = range(run.start, run.end, run.length)
            each = [names[start : start + run.length] for start in starts]
            yield [[name for own in block for name in stands_for.get(own, [own])] for block in each]
            for k, first in enumerate(each[0]):
                stands_for[first] = [name for block in each for name in stands_for.get(block[k], [block[k]])]
        graph = _folded(graph, runs, number)


def _runs(graph: Graph) -> list[_Run]:
    """The runs that hide the most nodes; they do not overlap."""
    nodes = graph.nodes
    n = len(nodes)
    kinds: dict[Any, int] = {}
    places = {node.name: place for place, node in enumerate(nodes)}
    with_gradients, times = "gradients" in graph.known, _times(graph)
    known = [(times.get(node.module, 1), _look(node, with_gradients)) for node in nodes]
    looks = np.array([kinds.setdefault(look, len(kinds)) for look in known])
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
    alone = node.kind == "input" and not re.search(r"\.\d+", node.label)  # not one of a list
    if alone or (node.kind == "output" and not node.module) or len(node.inputs) > _ARITY:
        return node.name  # nothing is equal to it
    label = re.sub(r"\d+", "#", node.label) if node.kind in ("input", "parameter", "module") else node.label
    state = (node.gradients.state if node.gradients is not None else "none") if with_gradients else ""
    module = node.module if "*" in node.module else re.sub(r"\d+", "#", node.module)  # * is a block folded before
    params = tuple((name, re.sub(r"\d+", "#", text) if _counts(node, name) else text) for name, text in node.params)
    return node.kind, label, node.primitive, params, node.shape, node.dtype, module, node.order, state, node.mark


def _counts(node: GraphNode, name: str) -> bool:
    """May the numbers in a parameter be others in each of some equal blocks, as where a loop goes through an array?"""
    return name == "call" or node.primitive == "_getitem"


def _spans(first: GraphNode, last: GraphNode) -> GraphNode:
    """The first of equal nodes, which says what the last has instead: ``(:, 0 … 39)``."""
    if first.kind == "input":
        return replace(first, label=_span(first.label, last.label))
    if first.params == last.params:
        return first
    pairs = zip(first.params, last.params, strict=True)
    return replace(first, params=tuple((name, _span(one, other)) for (name, one), (_, other) in pairs))


def _span(one: str, other: str) -> str:
    """
    >>> _span("(:, 0)", "(:, 39)")
    '(:, 0 … 39)'
    """
    begins, ends = re.split(r"(\d+)", one), re.split(r"(\d+)", other)
    return "".join(a if a == b else f"{a} … {b}" for a, b in zip(begins, ends, strict=True))


def _aligned(nodes: Sequence[GraphNode], looks: Any, inputs: Any, run: _Run, end: int) -> _Run:
    """The run, shifted so that a block starts where a module does, that it has most blocks, and that least goes round.

    It may reach back further than blocks are equal: what the first block gets from outside may come from elsewhere.
    """
    length, best, score = run.length, run, (-1, -1, 0, 0)
    for start in range(max(run.start - length, 0), min(run.start + length, end - length)):
        if start < run.start and not _is_first(looks, inputs, start, run):
            continue
        times = (end - start) // length
        unit = _unit(nodes[start].module, nodes[start + length].module)
        at_module = bool(unit) and (start == 0 or not is_inside(nodes[start - 1].module, unit))
        later = inputs[start + length : start + 2 * length]
        goes_round = int(((later >= start) & (later < start + length)).sum())
        here = at_module, times, -goes_round, nodes[start].kind == "module"
        if times >= _LEAST and here > score:
            best, score = _Run(start, length, times), here
    return best


def _is_first(looks: Any, inputs: Any, start: int, run: _Run) -> bool:
    """Could the block from `start` be the first of the run, but for what it gets from outside?"""
    length = run.length
    one, two = slice(start, run.start), slice(start + length, run.start + length)
    if (looks[one] != looks[two]).any():
        return False
    before, later = inputs[one], inputs[two]
    outside = (before < start) & (later < start + length) & (before >= 0) & (later >= 0)
    return bool(((later - before == length) | (later == before) | outside).all())


def _unit(a: str, b: str) -> str:
    """The outermost module around `a` that `b` is not in."""
    for path in (*_arounds(a), a):
        if path and not is_inside(b, path):
            return path
    return ""


def is_inside(path: str, module: str) -> bool:
    """Is a module or node with this path in a module, or the module itself?"""
    return path == module or path.startswith(f"{module}.")


def _is_sound(nodes: Sequence[GraphNode], inputs: Any, run: _Run) -> bool:
    """A block does something, and what all blocks share comes from before the first."""
    block = slice(run.start, run.start + run.length)
    if not any(node.kind in ("input", "operation", "module", "group") for node in nodes[block]):
        return False
    first, second = inputs[block], inputs[run.start + run.length : run.start + 2 * run.length]
    shared = first[(first == second) & (first >= 0)]
    return bool((shared < run.start).all())


def _folded(graph: Graph, runs: Sequence[_Run], number: int) -> Graph:
    """The first block of each run in place of all. A block that is no module gets a box of its own, `*number`."""
    nodes = graph.nodes
    first_of: dict[str, str] = {}
    last_of: dict[str, GraphNode] = {}
    again: dict[str, tuple[str, ...]] = {}
    places = {node.name: place for place, node in enumerate(nodes)}
    homes: dict[str, str] = {}  # node of a first block -> the module it is now in
    dropped: set[str] = set()
    modules = {module.path: module for module in graph.modules}
    for k, run in enumerate(runs):
        block = nodes[run.start : run.start + run.length]
        for place in range(run.start + run.length, run.end):
            first_of[nodes[place].name] = block[(place - run.start) % run.length].name
            dropped.add(nodes[place].name)
        last_of.update((node.name, nodes[run.end - run.length + k]) for k, node in enumerate(block))
        own = range(run.start, run.start + run.length)
        for k, node in enumerate(block):
            second = zip(node.inputs, nodes[run.start + run.length + k].inputs, strict=True)
            again[node.name] = tuple(now for before, now in second if before != now and places[now] in own)
        unit = _unit(block[0].module, nodes[run.start + run.length].module)
        own_nodes = sum(is_inside(node.module, unit) for node in nodes) if unit else 0
        if own_nodes == run.length and all(is_inside(node.module, unit) for node in block):  # the block is a module
            last = _unit(nodes[run.end - run.length].module, block[0].module)
            label = f"{unit.rpartition('.')[2]} to {last.rpartition('.')[2]}"
            modules[unit] = replace(modules[unit], repeat=run.times, label=label)
            continue
        around = around_all([node.module for node in block])
        star = f"{around}.*{number - k}" if around else f"*{number - k}"
        modules[star] = GraphModule(star, "", sum(node.n_params for node in block), repeat=run.times, label="block")
        for node in block:
            homes[node.name] = star + (f".{node.module[len(around) :].lstrip('.')}" if node.module != around else "")
            for path in (node.module, *_arounds(node.module)):
                if path in modules and path != around and not is_inside(around, path):
                    moved = f"{star}.{path[len(around) :].lstrip('.')}"
                    modules[moved] = replace(modules[path], path=moved)
            ends = last_of[node.name].module
            if node.module in modules and ends in modules and homes[node.name] in modules and node.module != ends:
                both = modules[node.module].label, modules[ends].label
                modules[homes[node.name]] = replace(modules[homes[node.name]], label=_span(*both))
    kept = []
    for node in nodes:
        if node.name in dropped:
            continue
        if node.name in last_of:
            node = replace(_spans(node, last_of[node.name]), again=(*node.again, *again[node.name]))
        inputs = tuple(first_of.get(name, name) for name in node.inputs)
        if len(inputs) > _ARITY and len(set(inputs)) < len(inputs):  # what equal branches end in
            node = replace(node, params=(*node.params, *_times_each(inputs)), changed=(*node.changed, "reads"))
            inputs = tuple(dict.fromkeys(inputs))
        home = homes.get(node.name, node.module)
        round_ = tuple(dict.fromkeys(first_of.get(name, name) for name in node.again))
        same = inputs == node.inputs and home == node.module and round_ == node.again
        kept.append(node if same else replace(node, inputs=inputs, module=home, again=round_))
    outer_first = tuple(sorted(modules.values(), key=lambda module: module.path.count(".")))
    return with_nodes(replace(graph, modules=outer_first), kept)


def _times_each(inputs: Sequence[str]) -> list[tuple[str, str]]:
    return [("reads", f"{name} ×{n}") for name, n in Counter(inputs).items() if n > 1]


def around_all(paths: Sequence[str]) -> str:
    """The innermost module around all these paths."""
    around = paths[0]
    while around and not all(is_inside(path, around) for path in paths):
        around = around.rpartition(".")[0]
    return around
