"""Groups of nodes as one node: modules, and each of their calls.

Each function takes a `Graph` and gives another, so that whatever shows graphs shows folded ones too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arguments import checked
from ...engine.primitive import primitives
from ..describing import options
from ..value import Graph, GraphModule, GraphNode, Values

__all__ = [
    "around_all", "around_of", "as_modules", "collapsed", "is_inside", "merged", "noted", "one_per_call",
    "one_per_node", "prefixes", "shares", "sums_of", "with_nodes",
]  # fmt: skip


@checked
def as_modules(graph: Graph) -> Graph:
    """Each innermost module as one node, one for each of its calls; what runs between modules stays.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> net = tg.nn.Sequential([tg.nn.Dense(10), tg.nn.Activation("relu")])
    >>> [node.label for node in as_modules(tg.graph.snapshot(net, np.ones((1, 4)))).nodes]
    ['x', 'Dense', 'Activation', 'output']
    """
    graph = _apart(one_per_call(graph))
    modules, times = {module.path: module for module in graph.modules}, shares(graph)
    return collapsed(
        graph, _innermost(graph), lambda name, part: merged(name, part, modules[part[0].module], modules, times)
    )


def _apart(graph: Graph) -> Graph:
    """Parameters that other modules read, too, outside of theirs: an arrow from there says what the module gives."""
    parameters = {node.name: node for node in graph.nodes if node.kind == "parameter" and node.module}
    apart = {
        name for node in graph.nodes if not node.order
        for name in node.inputs if name in parameters and _called(parameters[name].module) != _called(node.module)
    }  # fmt: skip
    known = {module.path for module in graph.modules}

    def moved(node: GraphNode) -> GraphNode:
        around = around_of(node.module, known)
        own = _called(node.module.removeprefix(f"{around}."))
        return replace(node, module=around, label=f"{own}.{node.label}")

    return with_nodes(graph, [moved(node) if node.name in apart else node for node in graph.nodes]) if apart else graph


def _innermost(graph: Graph) -> Callable[[GraphNode], str]:
    outer: set[str] = set()
    for module in graph.modules:
        around = module.path.rpartition(".")[0]
        while around and around not in outer:  # what is around that is known then, too
            outer.add(around)
            around = around.rpartition(".")[0]

    def group(node: GraphNode) -> str:
        return node.module if node.kind != "input" and node.module not in outer else ""

    return group


def one_per_node(graph: Graph) -> tuple[Graph, dict[str, list[str]]]:
    """The graph with a module of its own for each node of `as_modules`; and for each of these, what it stands for."""
    graph = _apart(one_per_call(graph))
    members, paths, names = _parts(graph, _innermost(graph))
    of = {node.name: k for k, part in enumerate(members) for node in part}
    own = [path + name[len(path) :] for path, name in zip(paths, names, strict=True)]  # they differ in "#" for "_"
    several = {path: [own[k] for k, it in enumerate(paths) if it == path] for path in dict.fromkeys(paths) if path}
    modules = [
        replace(module, path=path, label=module.label or module.path.rpartition(".")[2] * (path != module.path),
                n_params=module.n_params * (k == 0))
        for module in graph.modules for k, path in enumerate(several.get(module.path, [module.path]))
    ]  # fmt: skip
    nodes = tuple(replace(node, module=own[of[node.name]]) if paths[of[node.name]] else node for node in graph.nodes)
    stands_for = {name: [node.name for node in part] for name, part in zip(names, members, strict=True)}
    return replace(graph, nodes=nodes, modules=tuple(modules)), stands_for


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
        for path in prefixes(node.module):
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


def prefixes(path: str) -> list[str]:
    """The paths of the modules around one, the outermost first, and its own; none of "", where no module is."""
    parts = path.split(".") if path else []
    return [".".join(parts[:k]) for k in range(1, len(parts) + 1)]


def _parts(
    graph: Graph, group_of: Callable[[GraphNode], str], split: bool = True
) -> tuple[list[list[GraphNode]], list[str], list[str]]:  # fmt: skip
    """Nodes of one group (a module's path), the paths of the groups, and a name for each.

    With `split`, a module that is called twice gives two. It was called again where an input from outside depends on
    what the group has computed already.
    """
    members: list[list[GraphNode]] = []
    paths: list[str] = []
    home: dict[str, int] = {}  # name -> place in `members`
    after: dict[int, int] = {}  # place -> bit set of the places that it was computed from
    current: dict[str, int] = {}
    for node in graph.nodes:
        path = group_of(node)
        place = current.get(path) if path else None
        before = {home[name] for name in node.inputs if name in home}
        if split and place is not None and any(after[other] >> place & 1 for other in before if other != place):
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
    names: list[str] = []  # (# is kept out of names: they are safe in file names)
    taken = {part[0].name for part, path in zip(members, paths, strict=True) if not path}
    seen: Counter[str] = Counter()
    for place, path in enumerate(paths):
        seen[path] += 1
        name = members[place][0].name if not path else f"{path}_{seen[path]}" if used[path] > 1 else path
        name = name.replace("#", "_")
        while path and name in taken:
            name += "_"
        names.append(name)
        taken.add(name)
    return members, paths, names


def collapsed(
    graph: Graph, group_of: Callable[[GraphNode], str], whole: Callable[[str, Sequence[GraphNode]], GraphNode],
    split: bool = True,
) -> Graph:  # fmt: skip
    """Nodes of one group as one node: what ``whole(its name, they)`` says. For `split` see `_parts`."""
    members, paths, names = _parts(graph, group_of, split)
    home = {node.name: place for place, part in enumerate(members) for node in part}
    nodes = []
    for place, part in enumerate(members):
        outside = [
            home[name] for node in part for name in node.inputs if home[name] != place
            and not (graph[name].kind == "parameter" and _called(paths[home[name]]) == _called(paths[place]) != "")
        ]  # fmt: skip
        inputs = tuple(names[other] for other in (outside if not paths[place] else dict.fromkeys(outside)))
        again = dict.fromkeys(home[name] for node in part for name in node.again if name in home)
        one = whole(names[place], part) if paths[place] else part[0]
        nodes.append(replace(one, inputs=inputs, again=tuple(names[other] for other in again)))
    return with_nodes(graph, nodes)


def shares(graph: Graph) -> dict[str, int]:
    """For how many equal ones a module's nodes stand, with what is around it."""
    found = {"": 1}
    for module in sorted(graph.modules, key=lambda module: len(module.path)):  # what is around one comes before
        found[module.path] = found[around_of(module.path, found)] * module.repeat
    del found[""]
    return found


def merged(
    name: str, part: Sequence[GraphNode], module: GraphModule, modules: Collection[str], times: Mapping[str, int]
) -> GraphNode:  # fmt: skip
    """One node for what a module does: it looks like its last operation, and costs what all cost."""
    operations = [node for node in part if node.kind in ("operation", "module", "group")]
    last = operations[-1] if operations else part[-1]
    known = primitives()
    products = [node for node in operations if node.primitive in known and known[node.primitive].kind == "bilinear"]
    main = max(products or operations, key=lambda node: node.flops or 0, default=last)
    own = module.path.rpartition(".")[2]
    around = around_of(module.path, modules)
    ends = _activations(operations[operations.index(main) + 1 :] if main in operations else [])
    label = (module.kind or module.label or own) + (f" x {module.repeat:,}" if module.repeat > 1 else "")
    more = [(name, text) for name, text in module.options if name not in main.changed]
    more += [("then", end) for end in ends]
    if ", call " in module.label:
        more.append(("call", module.label.rpartition(", call ")[2]))
    return replace(
        last, name=name, kind="module", label=label, module=around, primitive="",
        params=(*main.params, *more), changed=(*main.changed, *(name for name, _ in more)), **sums_of(part, times),
        of="", calls=(),
    )  # fmt: skip


def _activations(operations: Sequence[GraphNode]) -> list[str]:
    """The functions that a module applies to what its main operation gives: of one number, or softmax and its like."""
    known = primitives()
    found = [
        node for node in operations
        if node.primitive in known and len(node.inputs) == 1
        and (known[node.primitive].kind == "elementwise" or "softmax" in node.primitive)
    ]  # fmt: skip
    return [f"{node.label}({told})" if (told := options(node)) else node.label for node in found]


def sums_of(part: Sequence[GraphNode], times: Mapping[str, int]) -> dict[str, Any]:
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


def noted(graph: Graph, note: str, replacing: str = "\0") -> Graph:
    """The graph with one more note, in place of those with this text in it."""
    return replace(graph, notes=(*(old for old in graph.notes if replacing not in old), note))


def with_nodes(graph: Graph, nodes: Iterable[GraphNode]) -> Graph:
    """The graph with other nodes, and those of its modules that still have nodes."""
    nodes = tuple(nodes)
    alive = {path for node in nodes for path in prefixes(node.module)}
    return replace(graph, nodes=nodes, modules=tuple(module for module in graph.modules if module.path in alive))


def is_inside(path: str, module: str) -> bool:
    """Is a module or node with this path in a module, or the module itself?"""
    return path == module or path.startswith(f"{module}.")


def around_of(path: str, modules: Container[str]) -> str:
    """The innermost of the modules around a path, "" if there is none. (A list of modules has a name, and is none.)"""
    around = path.rpartition(".")[0]
    while around and around not in modules:
        around = around.rpartition(".")[0]
    return around


def around_all(paths: Sequence[str]) -> str:
    """The innermost module around all these paths."""
    around = paths[0]
    while around and not all(is_inside(path, around) for path in paths):
        around = around.rpartition(".")[0]
    return around
