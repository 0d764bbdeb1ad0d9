"""Reading a recorded graph into a `Graph`: order, names, labels, and every value as text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..arguments import unchecked
from ..engine.node import Leaf, Node, Shape, iter_parents
from ..engine.primitive import Primitive
from ..engine.source import describe_source, whose
from ..engine.tensor import Tensor, ndarray, wrap
from ..errors import GraphError
from ..nn.layer import Layer, told_of
from ..nn.module import Module, Parameter
from .value import Graph, GraphModule, GraphNode, Kind, Values
from .watching import End, Watch, numbers_of, side_by_side

__all__ = ["GRADIENT", "Reader"]

GRADIENT = "∇"  # the path of the module that all operations of a gradient are in; twice for the second gradient


class Reader:
    """Turns recorded nodes into `GraphNode`s, under the names that the caller has for them.

    Tell it of arguments and modules, then let it `read` once. ``leaf_kind`` is what a leaf counts as that
    is neither an argument nor used in a module: an input of a tensor's graph, a parameter of a function.
    """

    def __init__(self, title: str, leaf_kind: Kind = "input") -> None:
        self.title = title
        self.leaf_kind = leaf_kind
        self._arguments: dict[Node, str] = {}  # tracked ones, with their path
        self.data: dict[int, tuple[Any, str]] = {}  # others, such as labels: id -> array, path
        self._parameters: dict[Node, str] = {}
        self._classes: dict[str, str] = {}  # module path -> class name
        self._again: dict[str, str] = {}  # another path to a module -> the one above
        self._told: dict[str, tuple[type, dict[str, Any]]] = {}  # module path -> class and attributes, as they are now

    # -- what the caller knows

    def argument(self, path: str, value: Any) -> Any:
        """One leaf of the arguments: floating-point data come back as a tracked tensor."""
        if not isinstance(value, (Tensor, ndarray, np.generic, float, complex)):
            return value
        tensor = value if isinstance(value, Tensor) else Tensor(value)
        if tensor.dtype.kind not in "fc":
            self.data[id(tensor._array)] = tensor._array, path
            return value
        followed = wrap(tensor._array, None)
        followed.node = node = Leaf(followed, None)  # no line of the user's made it
        self._arguments[node] = path
        return followed

    def module(self, module: Any) -> None:
        """The parameters of a module have names, and its parts have classes."""
        kind = Parameter if isinstance(module, Module) else Tensor
        for path, part, _, held in module._walk(again=self._again):
            self._classes[path] = type(part).__name__
            if getattr(type(part), "_brief", Module._brief) is not Module._brief:
                self._told[path] = type(part), part.__dict__.copy()
            for name, item in held:
                if isinstance(item, kind) and (node := item.node) is not None and node not in self._parameters:
                    self._parameters[node] = f"{path}.{name}" if path else name

    def name_of(self, leaf: Node) -> str:
        """What the caller calls a leaf."""
        return self._arguments.get(leaf) or self._parameters.get(leaf) or _home(leaf) or self.leaf_kind

    # -- the walk

    def read(self, outputs: Sequence[tuple[str, Tensor | End]], watch: Watch, known: tuple[str, ...] = ()) -> Graph:
        """The graph of everything that the outputs, given as (path, tensor), were computed from.

        `known` says what is wanted of what the `watch` saw: "values", "gradients", "time".
        """
        self._watch, self._known = watch, known
        self._nodes: list[GraphNode] = []
        self._names: dict[Node | int, str] = {}  # node, or id of an argument's array -> name
        self._used: set[str] = set()
        self._counts: dict[str, int] = {}
        self._lines: dict[tuple[int, int], str] = {}
        self._sizes: dict[str, tuple[Shape | None, int | None]] = {}  # name -> shape and bytes, as far as known
        self._bases: dict[str, str] = {}
        self._values: dict[tuple[str, Node], Values] = {}
        order = side_by_side((y.node for _, y in outputs if y.node is not None), watch.orders)
        refuse_freed(order)
        homes = _homes(order)
        for node in order:
            if node.primitive is None:
                self._names[node] = self._leaf(node, homes.get(node, ""))
            else:
                self._names[node] = self._operation(node, node.primitive)
        owners = {path: self._owner(path) for path in self._parameters.values()}
        owners |= dict.fromkeys(self._arguments.values(), "")
        for path, y in outputs:
            order_of, of = path.count(GRADIENT), path.lstrip(GRADIENT)
            owner = owners.get(of, "") if order_of else ""
            label = of.removeprefix(f"{owner}.")
            if order_of:
                label = f"{'second ' if order_of == 2 else ''}gradient of {label}"
            place: dict[str, Any] = {"module": f"{GRADIENT * order_of}.{owner}" if owner else "", "order": order_of}
            place |= {"shape": y.shape, "dtype": str(y.dtype)}
            before = self._output_of(y, place) if y.node is None else self._names[y.node]
            path = path.replace(GRADIENT, "gradient.")
            self._add(path, "output", label, inputs=(before,), **place, **self._numbers(y.node))
        self._add_calls()
        if "gradients" in known:
            self._add_arrivals()
        self._nodes = _beside_their_rules(self._nodes)
        if "gradients" in known:
            self._add_unreached()
        return Graph(self.title, tuple(self._nodes), self._modules(), known)

    def _add_calls(self) -> None:
        """In which call of a module a node is, of those modules that were called more than once."""
        calls = {self._names[node]: self._calls(node) for node in self._names if isinstance(node, Node)}
        numbers: dict[str, list[int]] = {}
        for which, path in sorted({call for around in calls.values() for call in around}):
            numbers.setdefault(self._first_path(path), []).append(which)
        for node in self._nodes:
            within = [(n, path, numbers[self._first_path(path)]) for n, path in calls.get(node.name, ())]
            prefix = f"{GRADIENT * node.order}." if node.order else ""
            told = tuple((prefix + path, same.index(n) + 1, len(same)) for n, path, same in within if len(same) > 1)
            if told:
                object.__setattr__(node, "calls", told)  # nobody has seen the node yet

    def _first_path(self, path: str) -> str:
        """The path under which a module is known: of several ways to it, the first."""
        start = path if self._again else ""
        while start and start not in self._again:
            start = start.rpartition(".")[0]
        return self._again[start] + path[len(start) :] if start else path

    def _calls(self, node: Node) -> tuple[tuple[int, str], ...]:
        """The calls of modules in which a node ran; of a gradient's, those of what it is the gradient of."""
        of: Node | None = node
        while of is not None and self._watch.orders.get(of, 0):
            of = self._watch.of.get(of)
        return self._watch.calls.get(of, ()) if of is not None else ()

    def _add_arrivals(self) -> None:
        """Gradients on their way, under the names of the operations that sent them, which come later."""
        of = {self._names[node]: sent for node, sent in self._watch.arrivals.items() if node in self._names}
        for node in self._nodes:
            if node.name in of:
                sums = tuple((self._names[user], Values(so_far)) for user, so_far in of[node.name])
                object.__setattr__(node, "arrivals", sums)  # nobody has seen the node yet

    def _add_unreached(self) -> None:
        """Arguments and parameters that the result does not depend on: their gradient would be sought in vain."""
        for node, path in self._arguments.items():
            if node not in self._names:
                self._names[node] = self._add(path, "input", path, shape=node.shape, dtype=str(node.dtype))
        for node in self._parameters:
            if node not in self._names:
                self._names[node] = self._leaf(node, "")

    def _numbers(self, node: Node | None) -> dict[str, Any]:
        """What is wanted of a node's numbers and known."""
        found: dict[str, Any] = {}
        for name, arrays in (("values", self._watch.outputs), ("gradients", self._watch.gradients)):
            if name in self._known and node is not None and node in arrays:
                key = name, node
                if key not in self._values:
                    self._values[key] = Values(arrays[node])
                found[name] = self._values[key]
        return found

    def _leaf(self, node: Node, home: str) -> str:
        details: dict[str, Any] = {"shape": node.shape, "dtype": str(node.dtype), "source": self._source(node)}
        details |= self._numbers(node)
        if node in self._arguments:
            path = self._arguments[node]
            return self._add(path, "input", path, **details)
        if node in self._parameters:
            path = self._parameters[node]
            home = self._owner(path)
            kind: Kind = "parameter"
        else:
            kind = "parameter" if home else self.leaf_kind
            path = _home(node) or kind
            path = f"{home}.{path}" if home else path
        label = path[len(home) :].lstrip(".")
        n_params = prod(node.shape) if kind == "parameter" else 0
        return self._add(path, kind, label, module=home, n_params=n_params, **details)

    def _owner(self, path: str) -> str:
        """The module that holds a parameter: ``head`` for ``head.weights.0``, where `weights` is a list."""
        while path:
            path = path.rpartition(".")[0]
            if path in self._classes:
                break
        return path

    def _operation(self, node: Node, primitive: Primitive) -> str:
        order, of = self._watch.orders.get(node, 0), self._watch.of.get(node)
        home = self._home(node)
        inputs = tuple(
            self._untracked(node, k, home, order) if parent is None else self._names[parent]
            for k, parent in enumerate(node.parents)
        )
        read = [self._sizes[name] for name in inputs]
        options = list(_options(node, primitive)) if node.params else []
        name = self._add(
            primitive.name.lstrip("_"), "operation", primitive.label.lstrip("_"), numbered=True,
            inputs=inputs, primitive=primitive.name, shape=node.shape, dtype=_dtype_name(node.dtype),
            params=tuple((name, text) for name, text, _ in options),
            changed=tuple(name for name, _, plain in options if not plain),
            module=home, flops=_flops(node, primitive, [shape for shape, _ in read]),
            bytes=_total([*(size for _, size in read), prod(node.shape) * node.dtype.itemsize]),
            time=self._watch.time(node) if "time" in self._known else None,
            step=self._watch.steps.get(node, 0) if "gradients" in self._known else 0,
            source=self._source(node), order=order, of=self._names.get(of, "") if of is not None else "",
            **self._numbers(node),
        )  # fmt: skip
        if "values" in self._known:
            object.__setattr__(self._nodes[-1], "live", (node, self._watch))  # for `explain`
        return name

    def _home(self, node: Node) -> str:
        """The module that an operation belongs to; a gradient's are in a world of their own, named as the first."""
        order, of = self._watch.orders.get(node, 0), self._watch.of.get(node)
        if not order:
            return _home(node)
        while of is not None and self._watch.orders.get(of, 0):
            of = self._watch.of.get(of)
        home = _home(of) if of is not None else ""
        return f"{GRADIENT * order}.{home}" if home else GRADIENT * order

    def _untracked(self, node: Node, k: int, home: str, order: int) -> str:
        """An input that is not tracked. What no rule reads was not kept: not even its shape is known then."""
        seen = self._watch.inputs.get(node, ())
        value = seen[k] if k < len(seen) else None
        value = node.saved[k] if value is None else value
        if value is None:
            shapes = node.params.get("shapes")
            return self._constant(shapes and shapes[k], module=home, order=order)
        array = np.asarray(value)
        shape, dtype = array.shape, str(array.dtype)
        details: dict[str, Any] = {"values": Values(array)} if "values" in self._known else {}
        if id(value) not in self.data:
            label = _text(value) if shape == () else numbers_of(array)
            return self._constant(shape, label, dtype=dtype, module=home, order=order, **details)
        if id(value) not in self._names:
            path = self.data[id(value)][1]
            self._names[id(value)] = self._add(path, "input", path, shape=shape, dtype=dtype, **details)
        return self._names[id(value)]

    def _output_of(self, y: Tensor | End, place: dict[str, Any]) -> str:
        """An output that is no operation's: its numbers, if they are known."""
        if isinstance(y, End):
            return self._constant(label=y.label, **place)
        known: dict[str, Any] = {"values": Values(y._array)} if "values" in self._known else {}
        return self._constant(label=numbers_of(y._array), **place, **known)

    def _constant(self, shape: Shape | None, label: str = "constant", **details: Any) -> str:
        return self._add("constant", "constant", label, numbered=True, shape=shape, **details)

    def _add(self, path: str, kind: Kind, label: str, *, numbered: bool = False, **details: Any) -> str:
        base = self._bases.get(path, "")
        if not base:
            base = self._bases[path] = re.sub(r"[^\w.]+", "_", path).strip("_") or kind  # safe in DOT and file names
        name = base
        while numbered or name in self._used:
            self._counts[base] = self._counts.get(base, 0 if numbered else 1) + 1
            name, numbered = f"{base}_{self._counts[base]}", False
        self._used.add(name)
        shape, dtype = details.get("shape"), details.get("dtype")
        self._sizes[name] = shape, prod(shape) * _itemsize(dtype) if shape is not None and dtype else None
        node = GraphNode.__new__(GraphNode)
        _set(node, name, kind, label, **details)
        self._nodes.append(node)
        return name

    def _source(self, node: Node) -> str:
        if node.source is None:
            return ""
        code, instruction = node.source
        key = id(code), instruction  # the node keeps the code alive
        if key not in self._lines:
            self._lines[key] = describe_source(node.source)
        return self._lines[key]

    def _modules(self) -> tuple[GraphModule, ...]:
        """Every module that has a node in the graph, and the modules around it, in order of appearance."""
        totals: dict[str, int] = {}
        for node in self._nodes:
            parts = node.module.split(".") if node.module else []
            for k in range(len(parts)):
                path = ".".join(parts[: k + 1])
                known = self._first_path(path.lstrip(GRADIENT).lstrip("."))
                if path == node.module or not known or known in self._classes or not self._classes:  # else a list
                    totals[path] = totals.get(path, 0) + node.n_params
        worlds = {GRADIENT: "gradient", GRADIENT * 2: "second gradient"}
        firsts = {path: self._first_path(path.lstrip(GRADIENT).lstrip(".")) for path in totals}
        classes = {path: self._classes.get(first, "") for path, first in firsts.items()}
        told = {
            path: _told(*self._told[firsts[path]])
            for path in totals
            if firsts[path] in self._told and path[0] != GRADIENT
        }
        return tuple(
            GraphModule(path, classes[path], n, label=worlds.get(path, ""), options=told.get(path, ()))
            for path, n in totals.items()
        )


# ------------------------------------------------------------------------------------------
# Order and place, by structure alone


def refuse_freed(order: Iterable[Node]) -> None:
    """Raise GraphError if a backward pass has freed one of these nodes."""
    for node in order:
        if node.freed:
            raise GraphError(
                f"snapshot: the graph of {node.shown} from {describe_source(node.source)} was freed by a "
                "backward pass; take the snapshot before, or call backward(retain_graph=True)"
            )


def _beside_their_rules(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """The gradient of a module's parameter comes right after the operation that computes it: then blocks are equal."""
    follow: dict[str, list[GraphNode]] = {}
    for node in nodes:
        if node.kind == "output" and node.module:
            follow.setdefault(node.inputs[0], []).append(node)
    kept = (node for node in nodes if not (node.kind == "output" and node.module))
    return [it for node in kept for it in (node, *follow.get(node.name, ()))]


def _home(node: Node) -> str:
    """The path of the module in which an operation ran; for a leaf, its name."""
    return (node.name or "") if isinstance(node, Leaf) else node.path


def _homes(order: Iterable[Node]) -> dict[Node, str]:
    """For each leaf the module that uses it: where several do, the one around them all."""
    homes: dict[Node, str] = {}
    for node in order:
        for parent in iter_parents(node):
            if parent.primitive is None:
                homes[parent] = _around(homes[parent], _home(node)) if parent in homes else _home(node)
    return homes


def _around(a: str, b: str) -> str:
    while a and a != b and not b.startswith(f"{a}."):
        a = a.rpartition(".")[0]
    return a


# ------------------------------------------------------------------------------------------
# Details


_SEEN = frozenset((  # in operations, shapes and parameters, or which decide first values alone
    "activation", "dilation", "factor", "features", "filters", "in_channels", "in_features", "input_dim", "input_shape",
    "kernel_size", "layers", "multiplier", "name", "output_dim", "output_size", "padding", "pool_size", "seed", "size",
    "stride", "target_shape", "units",
))  # fmt: skip


def _told(kind: type, state: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a module with these attributes was told, as far as its operations do not show it."""
    module: Any = object.__new__(kind)
    vars(module).update(state)
    with suppress(Exception):  # a user's `_brief` may do anything
        if kind._brief is not Layer._brief:  # type: ignore[attr-defined]
            said = " ".join(str(module._brief()).partition("(")[2].rpartition(")")[0].split())
            return (("", said),) if said else ()
        seen = _SEEN | module._ignored if whose(sys.modules[kind.__module__].__file__ or "") == "library" else ()
        parts = {name for name, value in state.items() if any(isinstance(part, Module) for part in _items(value))}
        groups = {"groups"} if "kernel_size" in state else set()  # a window, whose groups its operation shows
        return tuple((name, text) for name, _, text, _ in told_of(module, {*seen, *parts, *groups}))
    return ()


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else (value,)


def _options(node: Node, primitive: Primitive) -> Iterator[tuple[str, str, bool]]:
    """Keyword parameters as (name, text, is it plain?); one that is a dataclass counts as its fields.

    Plain is what stands at its default, what the output's shape tells, and arrays, which are data. The fields of a
    window have no defaults: there, no padding and a step of 1 are plain, and so are the sizes of what it moves over.
    """
    defaults = getattr(primitive, "defaults", {})
    for name, value in node.params.items():
        if is_dataclass(value):
            for part in fields(value):
                text = _text(getattr(value, part.name))
                numbers = set(text) - set("(), ")
                yield part.name, text, numbers == _PLAIN.get(part.name) or part.name.endswith("_sizes")
        elif name in primitive.params:  # else it is the engine's
            text = _text(value)
            at_default = name in defaults and text == _text(defaults[name])
            told = text == str(node.shape) or name == "cuts"  # by shapes
            data = _holds_array(value) and name != "index"  # which says what is done
            yield name, text, at_default or told or data


_PLAIN = {"stride": {"1"}, "dilation": {"1"}, "pads": {"0"}, "groups": {"1"}}  # of a window: all of its numbers


def _holds_array(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_holds_array, value))
    return isinstance(value, (ndarray, Tensor))


def _flops(node: Node, primitive: Primitive, shapes: Sequence[Shape | None]) -> int | None:
    if not callable(primitive.flops):
        return int(primitive.flops) * prod(node.shape)
    if None in shapes and not primitive.variadic:  # the count may read the shape of a constant that was not kept
        shapes = [() if shape is None else shape for shape in shapes]
    try:
        return int(primitive.flops(*shapes, node.shape, **node.params))
    except (TypeError, ValueError, IndexError):
        return None


_set = unchecked(GraphNode.__init__)  # nothing here comes from a caller
_dtype_name, _itemsize = cache(str), cache(lambda name: np.dtype(name).itemsize)


def _total(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else sum(size or 0 for size in sizes)


_FEW = 4  # indices are shown as they are


def _text(value: Any) -> str:
    """A value as text that is the same in every process."""
    if isinstance(value, Tensor):
        value = value._array
    if isinstance(value, (ndarray, np.generic)):  # before floats, of which NumPy's are some
        if value.ndim == 1 and value.size <= _FEW and value.dtype.kind in "biu":
            return str(value.tolist())
        return str(value) if value.shape == () else f"{value.dtype} {value.shape}"
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return repr(value)
    if value is Ellipsis:
        return "..."
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, slice):
        start, stop, step = ("" if part is None else _text(part) for part in (value.start, value.stop, value.step))
        return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(_text, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
    return str(getattr(value, "__name__", type(value).__name__))  # never an address
