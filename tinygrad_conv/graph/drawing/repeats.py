"""Equal blocks, one after another, as the first of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..value import Graph, GraphModule, GraphNode
from .groups import around_all, is_inside, noted, prefixes, shares, with_nodes

__all__ = ["blocks", "fold_repeats"]

_LEAST = 3  # equal blocks that are worth folding
_WORTH = 6  # nodes that it must save
_LONGEST = 2_000  # nodes to a block
_ARITY = 4  # an operation of more inputs is never part of a repeated block


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
    return noted(graph, f"{times[0]:,} equal blocks drawn once (x {times[0]:,})" if len(times) == 1 else runs_of)


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
    with_gradients, times = "gradients" in graph.known, shares(graph)
    told = {module.path: module.options for module in graph.modules if module.options}
    known = [
        (
            times.get(node.module, 1),
            _look(node, with_gradients),
            *(told.get(path) for path in prefixes(node.module) if told),
        )
        for node in nodes
    ]
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
    inside = (node.count, node.flops) if node.kind == "module" else ()  # one class may do this and that
    return (
        node.kind,
        label,
        node.primitive,
        params,
        node.shape,
        node.dtype,
        module,
        node.order,
        state,
        node.mark,
        inside,
    )


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
    for path in prefixes(a):
        if not is_inside(b, path):
            return path
    return ""


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
    others: dict[str, list[str]] = {}  # node of a first block -> what those of later blocks read from outside
    places = {node.name: place for place, node in enumerate(nodes)}
    homes: dict[str, str] = {}  # node of a first block -> the module it is now in
    dropped: set[str] = set()
    modules = {module.path: module for module in graph.modules}
    for k, run in enumerate(runs):
        block = nodes[run.start : run.start + run.length]
        for place in range(run.start + run.length, run.end):
            first = first_of[nodes[place].name] = block[(place - run.start) % run.length].name
            outside = (name for name in nodes[place].inputs if not run.start <= places[name] < run.end)
            others.setdefault(first, []).extend(outside)
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
            for path in prefixes(node.module):
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
        more = dict.fromkeys(first_of.get(name, name) for name in others.get(node.name, ()))
        inputs += tuple(name for name in more if name not in inputs)
        home = homes.get(node.name, node.module)
        round_ = tuple(dict.fromkeys(first_of.get(name, name) for name in node.again))
        same = inputs == node.inputs and home == node.module and round_ == node.again
        kept.append(node if same else replace(node, inputs=inputs, module=home, again=round_))
    outer_first = tuple(sorted(modules.values(), key=lambda module: module.path.count(".")))
    return with_nodes(replace(graph, modules=outer_first), kept)


def _times_each(inputs: Sequence[str]) -> list[tuple[str, str]]:
    return [("reads", f"{name} ×{n}") for name, n in Counter(inputs).items() if n > 1]
