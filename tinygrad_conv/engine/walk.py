"""The two walks over the graph: `pull` goes backward (reverse mode), `push` goes forward (forward mode).

Both are loops over nodes in order of creation, never recursive, and both keep their gradients in a dictionary, so
nothing in the graph changes.

Where broadcasting repeated an input, `pull` sums its gradient again (`_unbroadcast`), so no rule has to.

Each rule runs on bare arrays; when the result must itself be differentiable (`create_graph`, or an inner transform
whose result depends on something an outer one follows), the same rule runs on tensors and is recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Any

import numpy as np

from ..arguments import described
from ..errors import AnomalyError, DTypeError, GraphError, ShapeError
from .guards import alone, handed_out
from .modes import MODE, observer
from .node import FREED, Node, iter_parents
from .primitive import Primitive
from .rules import JVPS, ON_TENSORS, VJPS
from .source import describe_source
from .tensor import Tensor, ndarray, ops, wrap

__all__ = ["ancestors", "creation", "own", "pull", "push", "walk"]

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)


def pull(
    cotangents: dict[Node, Any], wanted: Iterable[Node] | None = None, *, recording: bool = False, retain: bool = False,
    part: bool = False,
) -> dict[Node, Any]:  # fmt: skip
    """Reverse mode: pull cotangents of some nodes back to the leaves, or to the `wanted` nodes.

    The latest node goes first: all that was computed from it is later, so its cotangent is complete.

    Parameters
    ----------
    cotangents : node -> cotangent (array, or tensor when `recording`)
    wanted : nodes to stop at; the leaves when None
    recording : run the rules on tensors and record them
    retain : keep what the nodes saved; otherwise each is freed as soon as its rules have run
    part : this is a part of another walk, whose mode stays, and which runs the hooks of the wanted nodes

    Returns
    -------
    The cotangent of every wanted node (or leaf) that was reached.
    """
    found: dict[Node, Any] = {}
    token = MODE.set(MODE.get() if part else MODE.get().but(recording=recording))
    try:
        for _ in walk(cotangents, found, wanted, recording, retain, watched=False, part=part):
            pass
    finally:
        MODE.reset(token)
    return found


def walk(
    cotangents: dict[Node, Any], found: dict[Node, Any], wanted: Iterable[Node] | None, recording: bool, retain: bool,
    watched: bool, part: bool = False,
) -> Iterator[tuple[Node, Any, list[Any]]]:  # fmt: skip
    """`pull`, which collects in `found`. If `watched`, it pauses after the rules of each node, and yields the node, its
    cotangent, and for each of its inputs what they made of it (None for what is not followed).

    While it runs, the mode must say `recording` too.
    """
    stop = None if wanted is None else set(wanted)
    anomaly, by = MODE.get().anomaly, observer()
    on_tensors = recording or by is not None  # an observer sees operations on tensors, not NumPy's on arrays
    form = VJPS + ON_TENSORS * on_tensors
    pending = dict(cotangents) if recording or by is None else {node: wrap(g, None) for node, g in cotangents.items()}
    owned: set[Node] = set()  # whose cotangent is an array of this walk's own, so that it may be added to in place
    outgoing: list[Any] = []
    heap = [(-node.index, node) for node in pending]
    heapify(heap)
    while heap:
        node = heappop(heap)[1]
        g = pending.pop(node)
        if node.hooks and not (part and stop is not None and node in stop):
            g = _run_hooks(node, g, on_tensors)
            owned.discard(node)
        primitive = node.primitive
        if stop is None:
            if primitive is None:
                contribution = together = before = None  # may be g
                found[node] = g if on_tensors or node in owned or alone(g) else own(g)
                continue
        elif node in stop:
            found[node] = g
            continue
        elif primitive is None:
            continue
        if owned:
            owned.discard(node)
        parents, saved = node.parents, node.saved  # in this order: another thread may be freeing the node just now
        if saved is FREED:
            raise GraphError(
                f"{node.shown}: the graph from {describe_source(node.source)} was already used by a backward pass and "
                "freed; call the first backward with retain_graph=True, or compute the value again"
            )
        if node.guards is not None or handed_out:
            node.check_saved()
        if by is not None:
            token = MODE.set(MODE.get().but(backward=node))
        rules = primitive.rules[form] or primitive.compiled(form)
        variadic, joint, dtype = primitive.variadic, primitive.joint, node.dtype
        conjugated = dtype is not float32 and dtype is not float64 and dtype.kind == "c" and not joint
        if conjugated:  # rules multiply by the derivative; a gradient, the steepest ascent, needs its conjugate
            arrived, g = g, ops.conj(g)
        together = primitive.pull_all(node, g, on_tensors) if joint else None
        if watched:
            outgoing = [None] * len(parents)
        for i in primitive.positions or range(len(parents)):
            parent = parents[i]
            if parent is None:
                continue
            if together is None:
                contribution = rules[0 if variadic else i](g, node, saved, parents, i)
            else:
                contribution = together[i]
                if contribution is None:
                    continue
            try:
                shape = contribution.shape
            except AttributeError:
                raise _no_array(primitive, contribution) from None
            if shape != parent.shape:
                contribution = _unbroadcast(primitive, contribution, parent)
            if conjugated:
                contribution = ops.conj(contribution)
            dtype = parent.dtype
            if contribution.dtype is not dtype and contribution.dtype != dtype:
                contribution = _converted(contribution, dtype)
            if anomaly:
                _check_cotangent(node, contribution)
            if watched:
                outgoing[i] = contribution
            before = pending.get(parent)
            if before is None:
                pending[parent] = contribution
                heappush(heap, (-parent.index, parent))
            elif parent in owned and type(contribution) is ndarray:
                before += contribution
            else:
                pending[parent] = before + contribution
                if not on_tensors and type(pending[parent]) is ndarray:
                    owned.add(parent)
                else:  # somebody's rule gave a tensor
                    owned.discard(parent)
        if by is not None:
            MODE.reset(token)
        if watched:
            yield node, arrived if conjugated else g, outgoing
        if not retain:  # node.free()
            node.saved, node.parents, node.guards = FREED, (), None
    if on_tensors and not recording:
        for node, g in found.items():
            found[node] = own(g._array)


def push(
    tangents: dict[Node, Any], outputs: Sequence[Node], *, recording: bool = False, part: bool = False
) -> list[Any]:
    """Forward mode: push tangents of some nodes through the recorded graph to the outputs (None where none arrives)."""
    token = MODE.set(MODE.get() if part else MODE.get().but(recording=recording))
    try:
        return _push(tangents, outputs, recording)
    finally:
        MODE.reset(token)


def _push(tangents: dict[Node, Any], outputs: Sequence[Node], recording: bool) -> list[Any]:
    by = observer()
    on_tensors = recording or by is not None
    form = JVPS + ON_TENSORS * on_tensors
    tangents = dict(tangents) if recording or by is None else {node: wrap(t, None) for node, t in tangents.items()}
    for node in sorted(ancestors(outputs, tangents), key=creation):
        primitive = node.primitive
        if primitive is None or node in tangents:
            continue
        if node.freed:
            raise GraphError(f"{node.shown}: the graph was freed by a backward pass; compute the value again")
        node.check_saved()
        if primitive.joint:
            tangents[node] = primitive.push_all(node, tangents, on_tensors)
            continue
        rules = primitive.rules[form] or primitive.compiled(form)
        total = None
        arriving = [None if parent is None else tangents.get(parent) for parent in node.parents]
        if primitive.variadic and hasattr(rules[0], "together") and any(t is not None for t in arriving):
            total, arriving = rules[0].together(arriving, node), []
        for i, t in enumerate(arriving):
            if t is None:
                continue
            if primitive.kind == "elementwise" and t.dtype.kind == "c" != node.dtype.kind:  # such as |z|
                t = ops.conj(t)
            contribution = rules[0 if primitive.variadic else i](t, node, node.saved, node.parents, i)
            if not hasattr(contribution, "shape"):
                raise _no_array(primitive, contribution)
            if contribution.shape != node.shape:
                contribution = ops.broadcast_to(contribution, node.shape)
            total = contribution if total is None else total + contribution
        if total is not None:
            if total.dtype != node.dtype:
                total = _converted(total, node.dtype)
            tangents[node] = total
    arrived = [tangents.get(node) for node in outputs]
    return arrived if recording or by is None else [None if t is None else t._array for t in arrived]


def _converted(g: Any, dtype: np.dtype[Any]) -> Any:
    """A gradient or tangent in the dtype of what it belongs to; of a real number, its real part."""
    return ops.astype(ops.real(g) if g.dtype.kind == "c" != dtype.kind else g, dtype=dtype)


creation = attrgetter("index")  # the order in which nodes were made, a topological order


def ancestors(outputs: Iterable[Node], stop: Iterable[Node]) -> set[Node]:
    """Every node that the outputs were computed from, not looking past `stop`."""
    stop = set(stop)
    seen: set[Node] = set()
    stack = [node for node in outputs if node is not None]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node not in stop:
                stack.extend(iter_parents(node))
    return seen


def _unbroadcast(primitive: Primitive, g: Any, parent: Node) -> Any:
    """Undo broadcasting: sum a cotangent over the axes along which the input was repeated."""
    if primitive.broadcasts:
        sum_to = ops.sum_to.primitive.forward if type(g) is ndarray else ops.sum_to
        return sum_to(g, parent.shape)
    if g.shape == ():  # one number for all elements
        return ops.broadcast_to(g, parent.shape)
    raise ShapeError(
        f"{primitive.name}: its rule returned a gradient of shape {g.shape} for an input of shape {parent.shape}; "
        "a rule must return the input's shape"
    )


def _no_array(primitive: Primitive, result: Any) -> DTypeError:
    return DTypeError(
        f"{primitive.shown}: expected its rules to return arrays or tensors, got {described(result)}; return one"
    )


def own(g: Any) -> Any:
    """An array that nobody else holds: a rule may have passed its own cotangent on, to several inputs at once."""
    own = np.array(g) if type(g) is ndarray else np.asarray(g)
    by = observer()
    if by is not None:
        by.copied(own, g)
    return own


def _run_hooks(node: Node, g: Any, recording: bool) -> Any:
    if not isinstance(g, Tensor):
        view = np.asarray(g).view()  # other nodes may be given the same array, so a hook returns what it wants changed
        view.flags.writeable = False
        g = wrap(view, None)
    tensor = g
    for hook in list((node.hooks or {}).values()):
        result = hook(tensor)
        if result is not None:
            tensor = result if isinstance(result, Tensor) else Tensor(np.array(result))
            if tensor.shape != node.shape:
                raise ShapeError(f"hook of {node.shown}: expected a gradient of shape {node.shape}, got {tensor.shape}")
    return tensor if recording else tensor._array


def _check_cotangent(node: Node, g: Any) -> None:
    array = g._array if isinstance(g, Tensor) else np.asarray(g)
    bad = int(np.isnan(array).sum())
    if bad:
        raise AnomalyError(
            f"{node.shown}: its gradient has {bad} NaN of {array.size}; the operation ran at "
            f"{describe_source(node.source)}"
        )
