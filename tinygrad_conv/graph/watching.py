"""What a run computes beside its graph: the numbers of each operation, their gradients, the time each takes.

The graph keeps only what rules read. A `Watch` is told of everything while a function runs (`Mode.watch`); for a tensor
that was computed before, it recovers what the graph still tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from ..digits import number
from ..engine.bare import array_of
from ..engine.modes import MODE, mode
from ..engine.node import Leaf, Node, Shape, iter_parents
from ..engine.tensor import Tensor, wrap
from ..engine.walk import pull, walk

if TYPE_CHECKING:
    from ..profiling import Profile

__all__ = ["End", "Watch", "numbers_of", "side_by_side", "topological"]

_new = object.__new__
_KEY = -1  # of the hooks that this file sets for a moment: users' hooks count from 0


class End(NamedTuple):
    """What is read of an output."""

    node: Node | None
    shape: Shape
    dtype: Any
    label: str = ""


class _Noted(Node):
    """The copy of a node that `Watch.note` keeps."""

    __slots__ = ()


class Watch:
    """The outputs and inputs of nodes, as far as known; given to `Mode.watch`, it hears of every new node.

    Attributes
    ----------
    outputs : node -> array
    inputs : node -> its inputs: arrays, numbers, or None where not known
    gradients : node -> array
    steps : operation -> its place in the backward pass, from 1
    arrivals : node -> (operation, the gradient so far) after each operation that contributes, but the last
    seen : operation -> its copy, in the order in which they ran, where no arrays are wanted
    calls : node -> the calls of modules in which it ran, the outermost first: number, path
    orders, of : for nodes of a gradient: 1 or 2, and the node whose rule made them
    """

    def __init__(self, profile: Profile | None = None, keep: bool = True) -> None:
        self.keep = keep  # all arrays; else those alone that no node stands for: memory that goes is fast, new is slow
        self.profile = profile  # of a real run, whose times count instead of those of the operation alone
        self.given: set[int] = set()  # the ids of arguments that are no tensors: data under a name of their own
        self.seen: dict[Node, Node] = {}
        self.outputs: dict[Node, Any] = {}
        self.inputs: dict[Node, Sequence[Any]] = {}
        self.gradients: dict[Node, Any] = {}
        self.steps: dict[Node, int] = {}
        self.arrivals: dict[Node, list[tuple[Node, Any]]] = {}
        self.calls: dict[Node, tuple[tuple[int, str], ...]] = {}
        self.orders: dict[Node, int] = {}
        self.of: dict[Node, Node | None] = {}
        self._order = 0
        self._current: Node | None = None

    def __call__(self, node: Node, y: Any, inputs: Sequence[Any]) -> None:
        """An operation ran, whose arrays are wanted too."""
        held = [
            self._held(value) if parent is None else value for value, parent in zip(inputs, node.parents, strict=False)
        ]
        self.outputs[node], self.inputs[node] = y, held
        if calls := MODE.get().calls:
            self.calls[node] = calls
        if self._order:
            self.orders[node], self.of[node] = self._order, self._current
            if self._current is not None:
                node.source = self._current.source

    def note(self, node: Node, y: Any, inputs: Sequence[Any]) -> None:
        """An operation ran, of which no arrays are wanted but those that no node stands for: a copy of its node stays.

        It stands apart from the recorded graph: nothing that happens to that is in a later picture.
        """
        seen, parents = self.seen, node.parents
        seen[node] = own = _new(_Noted)
        own.primitive, own.params, own.source, own.path = node.primitive, node.params, node.source, node.path
        own.shape, own.dtype, own.saved = node.shape, node.dtype, (None,) * len(parents)
        own.parents = [seen.get(parent, parent) for parent in parents]  # type: ignore[arg-type]
        if None in parents:
            pairs = zip(inputs, parents, strict=False)
            self.inputs[own] = [self._held(value) if parent is None else None for value, parent in pairs]
        self.calls[own] = MODE.get().calls

    def _held(self, value: Any) -> Any:
        """A constant as it is now: the user may change an array later, even while the function runs."""
        return value.copy() if isinstance(value, np.ndarray) and id(value) not in self.given else value

    def apart(self, outputs: Sequence[tuple[str, Tensor]]) -> list[tuple[str, End]] | None:
        """The outputs, as `note` keeps operations; None where others than those that were noted belong to the graph."""
        seen = self.seen
        ends = [
            (path, End(None, y.shape, y.dtype, numbers_of(y._array)) if y.node is None
             else End(seen.get(y.node, y.node), y.shape, y.dtype))
            for path, y in outputs
        ]  # fmt: skip
        read = [end.node for _, end in ends] + [parent for own in seen.values() for parent in own.parents]
        if {Leaf, _Noted, NoneType}.issuperset(map(type, read)):
            seen.clear()
            return ends
        for told in cast("tuple[dict[Node, Any], ...]", (self.inputs, self.calls)):
            known = {node: told[own] for node, own in seen.items() if own in told}
            told.clear()
            told.update(known)
        return None

    def forget(self) -> None:
        """Let go of all arrays: what explains a node later finds them again in the recorded graph."""
        for known in (self.seen, self.outputs, self.inputs, self.gradients, self.steps, self.arrivals):
            known.clear()
        for told in (self.calls, self.orders, self.of):
            told.clear()

    def recover(self, order: Sequence[Node]) -> None:
        """For nodes (inputs first) that ran unwatched: what they saved, or else compute it again."""
        for node in order:
            if node.primitive is None:
                tensor = node.tensor() if isinstance(node, Leaf) else None
                if tensor is not None and tensor.node is node:
                    self.outputs.setdefault(node, tensor._array)
                elif isinstance(node, Leaf) and node.kept is not None:
                    self.outputs.setdefault(node, node.kept)
                continue
            if hasattr(node.primitive, "forward"):  # a checkpointed segment has none, and saves other things
                for parent, saved in zip(node.parents, node.saved, strict=False):
                    if parent is not None and saved is not None:
                        self.outputs.setdefault(parent, saved)
        for node in order:
            if not hasattr(node.primitive, "forward") or node in self.inputs:
                continue
            pairs = zip(node.parents, node.saved, strict=False)
            inputs = [saved if parent is None else self.outputs.get(parent) for parent, saved in pairs]
            self.inputs[node] = inputs
            if node not in self.outputs:
                y = node.saved[-2] if node.saved[-2] is not None else _computed(node, inputs)
                if y is not None:
                    self.outputs[node] = y

    def differentiate(self, ys: Sequence[Tensor]) -> None:
        """The gradient of the sum of all elements of `ys` by every node: no ``.grad`` changes, nothing is freed."""
        users = Counter(
            parent for node in topological(_nodes(ys)) for parent in set(node.parents) if parent is not None
        )
        sums = _ones(ys, recording=False)
        with mode(recording=False), np.errstate(all="ignore"):  # the picture shows what is not finite
            for node, g, outgoing in walk(dict(sums), self.gradients, None, False, retain=True, watched=True):
                self.gradients[node] = array_of(g)
                self.steps[node] = len(self.steps) + 1
                parents = [parent for parent in node.parents if parent is not None and users[parent] > 1]
                for parent, sent in zip(node.parents, outgoing, strict=True):
                    if parent in parents and sent is not None:
                        sums[parent] = sums[parent] + array_of(sent) if parent in sums else array_of(sent)
                for parent in dict.fromkeys(parents):
                    if parent in sums:
                        self.arrivals.setdefault(parent, []).append((node, sums[parent]))
        for node, g in self.gradients.items():
            self.gradients[node] = array_of(g)
        for so_far in self.arrivals.values():
            so_far.pop()  # the gradient itself

    def derive(self, ys: Sequence[Tensor], order: int) -> dict[Node, Tensor]:
        """Record the gradient of the sum of all elements of `ys`; returns that of each leaf."""
        self._order = order

        def enter(node: Node, g: Tensor) -> None:
            self._current = node

        try:
            with mode(watch=self):
                return _hooked(enter, ys)
        finally:
            self._order, self._current = 0, None

    def time(self, node: Node, repeats: int = 3) -> float | None:
        """Seconds for the operation alone: the least of some runs on the same inputs; None where they are not known."""
        if self.profile is not None:
            return self.profile.seconds_of(node, self.of.get(node))
        inputs = self.inputs.get(node, (None,))
        if any(x is None for x in inputs):
            return None
        best = None
        for _ in range(repeats):
            start = perf_counter()
            if _computed(node, inputs) is None:
                return None
            took = perf_counter() - start
            best = took if best is None else min(best, took)
        return best


def _hooked(hook: Callable[[Node, Tensor], None], ys: Sequence[Tensor]) -> dict[Node, Tensor]:
    """Pull ones back from `ys`, recording, and call ``hook(node, gradient)`` at each node before its rules run."""
    order = topological(_nodes(ys))
    bare = [node for node in order if node.hooks is None]
    try:
        for node in order:
            node.hooks = {} if node.hooks is None else node.hooks
            node.hooks[_KEY] = partial(hook, node)
        with np.errstate(all="ignore"):
            return pull(_ones(ys, recording=True), recording=True, retain=True)
    finally:
        for node in order:
            if node.hooks:
                node.hooks.pop(_KEY, None)
        for node in bare:
            node.hooks = None


def _nodes(ys: Iterable[Tensor]) -> list[Node]:
    return [y.node for y in ys if y.node is not None]


def _ones(ys: Iterable[Tensor], recording: bool) -> dict[Node, Any]:
    """The cotangents of the sum of all elements: an output that is there twice counts twice."""
    seeds: dict[Node, Any] = {}
    for y in ys:
        if y.node is not None:
            one = wrap(np.ones(y.shape, y.dtype), None) if recording else np.ones(y.shape, y.dtype)
            seeds[y.node] = seeds[y.node] + one if y.node in seeds else one
    return seeds


def _computed(node: Node, inputs: Sequence[Any]) -> Any:
    """The operation once more, on arrays; None where an input is not known."""
    primitive = node.primitive
    forward = getattr(primitive, "forward", None)
    if primitive is None or forward is None or any(x is None for x in inputs):
        return None
    params = {name: value for name, value in node.params.items() if name in primitive.params}
    with suppress(ValueError, TypeError, IndexError), np.errstate(all="ignore"):
        y = forward(*inputs, **params)
        return y[0] if primitive.has_residual else y
    return None


def numbers_of(array: np.ndarray[Any, Any]) -> str:
    """What a constant is: its numbers if they are few or all the same, else from where to where they go.

    >>> numbers_of(np.zeros((2, 3))), numbers_of(np.array([1.0, 2.5])), numbers_of(np.arange(100.0))
    ('0', '[1, 2.5]', '0 … 99')
    """
    if not array.size or array.dtype.kind not in "fiub":
        return "constant"
    if (array == array.flat[0]).all():
        return number(array.flat[0])
    if array.size <= 4:
        return np.array2string(array, separator=", ", formatter={"all": number}).replace("\n", "")
    return f"{number(np.nanmin(array))} … {number(np.nanmax(array))}"


def side_by_side(roots: Iterable[Node], orders: Mapping[Node, int]) -> list[Node]:
    """Inputs before what is computed from them; of several, the one that took most steps comes first.

    So the steps of a loop follow one another, each with what it alone reads. Operations of a gradient (`orders`) keep
    the order of arguments: they follow the steps backward as they are.
    """
    depth: dict[Node, int] = {}
    roots = list(roots)
    for node in topological(roots):
        if not orders.get(node):
            depth[node] = 1 + max((depth[parent] for parent in iter_parents(node)), default=0)
    return topological(roots, depth)


def topological(roots: Iterable[Node], depth: Mapping[Node, int] | None = None) -> list[Node]:
    """Depth first: inputs before what is computed from them, in the order of arguments, or the deepest first."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = list(roots)[::-1]
    while stack:
        node = stack[-1]
        waiting = [] if node in seen else [parent for parent in iter_parents(node) if parent not in seen]
        if waiting:
            if depth is not None and node in depth and len(waiting) > 1:
                waiting.sort(key=depth.__getitem__, reverse=True)
            stack += waiting[::-1]
            continue
        stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
    return order
