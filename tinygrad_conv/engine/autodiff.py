"""Differentiation: the two walks over the graph, and what is built on them.

`pull` walks backward (reverse mode), `push` walks forward (forward mode). Both are loops over nodes in order of
creation, never recursive, and both keep their gradients in a dictionary, so nothing in the graph changes.

Each rule runs on bare arrays; when the result must itself be differentiable (`create_graph`, or an inner transform
whose result depends on something an outer one follows), the same rule runs on tensors and is recorded.

Nested transforms do not confuse their variables: each call makes nodes of its own for its arguments and asks only
for the gradients of those.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from copy import copy
from dataclasses import replace
from functools import partial
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Annotated, Any, NoReturn, TypeAlias

import numpy as np

from ..arguments import Kind, called, checked, described, items_of, one_of
from ..errors import AnomalyError, ArgumentError, DTypeError, GraphError, MutationError, ShapeError
from .modes import MODE, Mode, constant, enable_grad, mode, observer
from .primitive import Primitive, iter_parents, ops
from .tensor import (
    FREED,
    Array,
    Node,
    Tensor,
    _late,
    accumulate_grad,
    checksum,
    describe_source,
    fingerprint,
    ndarray,
    reachable,
    user_source,
    wrap,
)

__all__ = [
    "backward", "checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "pull", "push", "steps", "value_and_grad",
    "vjp",
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# The walks


def pull(
    cotangents: dict[Node, Any], wanted: Iterable[Node] | None = None, *, recording: bool = False, retain: bool = False
) -> dict[Node, Any]:
    """Reverse mode: pull cotangents of some nodes back to the leaves, or to the `wanted` nodes.

    The latest node goes first: all that was computed from it is later, so its cotangent is complete.

    Parameters
    ----------
    cotangents : node -> cotangent (array, or tensor when `recording`)
    wanted : nodes to stop at; the leaves when None
    recording : run the rules on tensors and record them
    retain : keep what the nodes saved; otherwise each is freed as soon as its rules have run

    Returns
    -------
    The cotangent of every wanted node (or leaf) that was reached.
    """
    found: dict[Node, Any] = {}
    for _ in _walk(cotangents, found, wanted, recording, retain, watched=False):
        pass
    return found


def _walk(
    cotangents: dict[Node, Any], found: dict[Node, Any], wanted: Iterable[Node] | None, recording: bool, retain: bool,
    watched: bool,
) -> Iterator[tuple[Node, Any, list[Any]]]:  # fmt: skip
    """`pull`, which collects in `found`. If `watched`, it pauses after the rules of each node, and yields the node, its
    cotangent, and for each of its inputs what they made of it (None for what is not followed)."""
    stop = None if wanted is None else set(wanted)
    anomaly, by = MODE.get().anomaly, observer()
    on_tensors = recording or by is not None  # an observer sees operations on tensors, not NumPy's on arrays
    pending = dict(cotangents) if recording or by is None else {node: wrap(g, None) for node, g in cotangents.items()}
    owned: set[Node] = set()  # whose cotangent is an array of this walk's own, so that it may be added to in place
    outgoing: list[Any] = []
    heap = [(-node.index, node) for node in pending]
    heapify(heap)
    while heap:
        node = heappop(heap)[1]
        g = pending.pop(node)
        if node.hooks:
            g = _run_hooks(node, g, on_tensors)
            owned.discard(node)
        primitive = node.primitive
        if stop is None:
            if primitive is None:
                found[node] = g if on_tensors or node in owned else _own(g)
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
                f"{node.label}: the graph from {describe_source(node.source)} was already used by a backward pass and "
                "freed; call the first backward with retain_graph=True, or compute the value again"
            )
        if node.guards is not None or _late:
            node.check_saved()
        if by is not None:
            token = MODE.set(replace(MODE.get(), backward=node))
        rules = primitive.vjps_on_tensors if on_tensors else primitive.vjps
        variadic, conjugated = primitive.variadic, node.dtype.kind == "c" and primitive.joint is None
        if (
            conjugated
        ):  # rules multiply by the derivative, and a gradient is the steepest ascent: that needs its conjugate
            arrived, g = g, ops.conj(g)
        together = None if primitive.joint is None else primitive.joint.pull_all(node, g, on_tensors)
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
            found[node] = _own(g._array)


def push(tangents: dict[Node, Any], outputs: Sequence[Node], *, recording: bool = False) -> list[Any]:
    """Forward mode: push tangents of some nodes through the recorded graph to the outputs (None where none arrives)."""
    by = observer()
    on_tensors = recording or by is not None
    tangents = dict(tangents) if recording or by is None else {node: wrap(t, None) for node, t in tangents.items()}
    for node in sorted(_ancestors(outputs, tangents), key=_creation):
        primitive = node.primitive
        if primitive is None or node in tangents:
            continue
        if node.freed:
            raise GraphError(f"{node.label}: the graph was freed by a backward pass; compute the value again")
        node.check_saved()
        if primitive.joint is not None:
            tangents[node] = primitive.joint.push_all(node, tangents, on_tensors)
            continue
        rules = primitive.jvps_on_tensors if on_tensors else primitive.jvps
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


_creation = attrgetter("index")  # the order in which nodes were made, a topological order


def _ancestors(outputs: Iterable[Node], stop: Iterable[Node]) -> set[Node]:
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
    if not primitive.broadcasts and g.shape != ():
        raise ShapeError(
            f"{primitive.name}: its rule returned a gradient of shape {g.shape} for an input of shape {parent.shape}; "
            "a rule must return the input's shape"
        )
    if g.shape == () and parent.shape != () and not primitive.broadcasts:
        return ops.broadcast_to(g, parent.shape)
    return ops.sum_to(g, parent.shape)


def _no_array(primitive: Primitive, result: Any) -> DTypeError:
    return DTypeError(
        f"{primitive.shown}: expected its rules to return arrays or tensors, got {described(result)}; return one"
    )


def _own(g: Any) -> Any:
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
                raise ShapeError(f"hook of {node.label}: expected a gradient of shape {node.shape}, got {tensor.shape}")
    return tensor if recording else tensor._array


def _check_cotangent(node: Node, g: Any) -> None:
    array = g._array if isinstance(g, Tensor) else np.asarray(g)
    bad = int(np.isnan(array).sum())
    if bad:
        raise AnomalyError(
            f"{node.label}: its gradient has {bad} NaN of {array.size}; the operation ran at "
            f"{describe_source(node.source)}"
        )


# ------------------------------------------------------------------------------------------------------------------
# backward()


@checked
def backward(y: Tensor, gradient: Array | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """`Tensor.backward`: see there."""
    node, seed = _seeded("backward", y, gradient)
    g = seed if create_graph else seed._array
    with mode(recording=create_graph):
        found = pull({node: g}, recording=create_graph, retain=retain_graph or create_graph)
    _accumulate(found)


def steps(y: Tensor, gradient: Array | None, retain: bool) -> Iterator[tuple[Node, Any, list[Any]]]:
    """`backward`, one operation at a time: yields what `_walk` does, and fills ``.grad`` of the leaves at the end."""
    node, seed = _seeded("backward_steps", y, gradient)
    found: dict[Node, Any] = {}

    def one_by_one() -> Iterator[tuple[Node, Any, list[Any]]]:
        walk = _walk({node: seed._array}, found, None, False, retain, watched=True)
        while True:
            with mode(recording=False):  # while the rules run, not while the caller looks at a step
                step = next(walk, None)
            if step is None:
                break
            yield step
        _accumulate(found)

    return one_by_one()


def _seeded(what: str, y: Tensor, gradient: Array | None) -> tuple[Node, Tensor]:
    """Where a backward pass starts, and with which cotangent."""
    node = y._needs_node(what)
    if gradient is None:
        if y.size != 1:
            raise GraphError(
                f"{what}: expected a tensor with one element, got shape {y.shape}; "
                f"reduce it (y.sum().{what}()) or pass gradient= of that shape"
            )
        if y.dtype.kind == "c":
            raise GraphError(
                f"{what}: expected a real number, got {y.dtype}; take real(y) or abs(y), or pass gradient="
            )
        return node, wrap(constant(np.ones(y.shape, y.dtype)), None)
    return node, _cotangent(what, gradient, y)


def _accumulate(found: dict[Node, Any]) -> None:
    for leaf, total in found.items():
        accumulate_grad(leaf, total if isinstance(total, Tensor) else wrap(total, None))


def _cotangent(what: str, g: Array, y: Tensor) -> Tensor:
    tensor = g if isinstance(g, Tensor) else Tensor(np.array(g) if type(g) is ndarray else g)
    if tensor.shape != y.shape:
        raise ShapeError(f"{what}: expected a gradient of the output's shape {y.shape}, got {tensor.shape}")
    if tensor.dtype.kind == "c" != y.dtype.kind:
        raise DTypeError(f"{what}: expected a real gradient for a result of dtype {y.dtype}, got {tensor.dtype}")
    return tensor if tensor.dtype == y.dtype else ops.astype(tensor, dtype=y.dtype)


# ------------------------------------------------------------------------------------------------------------------
# Trees: nested lists, tuples and dictionaries of tensors


def flatten(tree: Any, shared: bool = False) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of a tree in order, and the function that builds the same tree from other leaves.

    However deep it is. With `shared`, a list or dictionary that is there twice is taken apart once, and is one again.
    Raises ArgumentError for a container that holds itself.
    """
    leaves: list[Any] = []
    plan: list[_Step] = []
    finished: dict[int, int] = {}  # the ids of lists and dictionaries that are shared: the steps that build them
    around: list[tuple[Iterator[Any], Callable[[Any], Any], int, int]] = []  # the containers that are not done yet
    build: Callable[[Any], Any] = tuple
    items, size, key, deep = iter((tree,)), 0, 0, 1000
    while True:
        for item in items:
            size += 1
            kind = type(item)
            if kind is tuple or kind is list or isinstance(item, (tuple, list, dict)):
                if id(item) in finished:
                    plan.append(finished[id(item)])
                    continue
                around.append((items, build, size, key))
                if len(around) == deep:
                    deep = _deeper(around)
                items, build, size, key = _items(item), _builder(kind, item), 0, id(item)
                break
            leaves.append(item)
            plan.append(None)
        else:
            if not around:
                return leaves, partial(_rebuilt, plan)
            if shared and build is not tuple:
                finished[key] = len(plan)
            plan.append((build, size))
            items, build, size, key = around.pop()


# From inside out: a leaf, what so many parts become, or what an earlier step has built
_Step: TypeAlias = tuple[Callable[[Any], Any], int] | int | None


def _items(tree: Any) -> Iterator[Any]:
    """What a container holds, whatever a class of one's own makes of going through it."""
    if isinstance(tree, dict):
        return iter(dictionary(tree).values(tree))
    return list.__iter__(tree) if isinstance(tree, list) else tuple.__iter__(tree)


def _builder(kind: Any, tree: Any) -> Callable[[Any], Any]:
    """What makes a container like this one of its parts. It does not hold the container."""
    if kind is list or kind is tuple:
        return kind
    if isinstance(tree, tuple):
        return partial(_tuple, kind, dict(getattr(tree, "__dict__", {})))
    if isinstance(tree, list):
        return partial(_list, _emptied(tree, list))
    base = dictionary(tree)
    return partial(_dictionary, {} if kind is dict else _emptied(tree, base), base, list(base.keys(tree)))


def dictionary(tree: Any) -> Any:
    """The class of Python's that keeps the items of a dictionary, whatever is derived from it."""
    return OrderedDict if isinstance(tree, OrderedDict) else dict


def _emptied(tree: Any, base: Any) -> Any:
    """A container of a class of one's own, with what that keeps beside what is in it."""
    empty = copy(tree)
    base.clear(empty)
    return empty


def _tuple(kind: Any, more: dict[str, Any], parts: Sequence[Any]) -> Any:
    new = tuple.__new__(kind, parts)
    if more:
        new.__dict__.update(more)
    return new


def _list(empty: Any, parts: Sequence[Any]) -> Any:
    new = copy(empty)
    list.extend(new, parts)
    return new


def _dictionary(empty: Any, base: Any, keys: list[Any], parts: Sequence[Any]) -> Any:
    new = copy(empty)
    for key, part in zip(keys, parts, strict=True):
        base.__setitem__(new, key, part)
    return new


def _deeper(around: Sequence[tuple[Any, Any, int, int]]) -> int:
    """The depth at which to look again whether a container holds itself, if none of these does."""
    if len({key for *_, key in around}) < len(around):
        raise ArgumentError("expected containers of tensors, got one that holds itself")
    return 2 * len(around)


def _rebuilt(plan: Sequence[_Step], leaves: Sequence[Any]) -> Any:
    """The tree that a plan of `flatten` makes of leaves."""
    rest = iter(leaves)
    made: list[Any] = []
    again = dict.fromkeys(step for step in plan if type(step) is int)
    for number, step in enumerate(plan):
        if step is None:
            made.append(next(rest))
        elif isinstance(step, int):
            made.append(again[step])
        else:
            build, size = step
            start = len(made) - size
            made[start:] = [build(made[start:])]
            if number in again:
                again[number] = made[-1]
    return made[0]


# ------------------------------------------------------------------------------------------------------------------
# Tracing a function


_CLOSED = "variable of a finished transform"


class _Trace:
    """One run of `f` on fresh variables: what every transform starts with."""

    def __init__(self, what: str, f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]) -> None:
        self.what = what
        self.outer = MODE.get().recording
        args = list(args)
        leaves: list[Tensor] = []
        builders = []
        with enable_grad():
            for position in argnums:
                if not -len(args) <= position < len(args):
                    raise ArgumentError(f"{what}: argnums={position}, but the function was given {len(args)} arguments")
                parts, build = flatten(args[position])
                fresh = [_fresh(what, position, part) for part in parts]
                builders.append((len(fresh), build))
                leaves += fresh
                args[position] = build(fresh)
            self.inputs = leaves
            self.nodes = [leaf._needs_node(what) for leaf in leaves]
            self._builders = builders
            self.result = called(what, f, *args)
        self.outputs: list[Tensor] = []

    def flatten_result(self) -> None:
        """Take the result apart into `outputs`, remembering its structure."""
        parts, self.rebuild_output = flatten(self.result)
        self.outputs = [part if isinstance(part, Tensor) else _as_output(self.what, part) for part in parts]

    def depends_on_more(self) -> bool:
        """Does the result depend on something outside that is followed too (an outer transform, a parameter)?"""
        if not self.outer:
            return False
        nodes = [y.node for y in self.outputs if y.node is not None]
        mine = set(self.nodes)
        if any(node.parents for node in mine):
            return True
        return any(
            node.primitive is None and node not in mine and node.extra is not _CLOSED
            for node in _ancestors(nodes, mine)
        )

    def close(self) -> None:
        """Nothing will run inside this trace any more: its variables are nobody's concern from here on."""
        for node in self.nodes:
            node.extra = _CLOSED

    def finish(self, recording: bool) -> None:
        """Outputs as the caller may have them: in the outer graph if there is one, else plain."""
        self.outputs = [y if recording else wrap(y._array, None) for y in self.outputs]

    def arrange(self, gradients: Sequence[Any]) -> list[Any]:
        """Per argument, its gradients in the argument's structure."""
        out, start = [], 0
        for n, build in self._builders:
            out.append(build(gradients[start : start + n]))
            start += n
        return out


def _fresh(what: str, position: int, value: Any) -> Tensor:
    """A variable of its own for one argument leaf, tied to the outer graph if there is one."""
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    if tensor.dtype.kind not in "fc":
        raise DTypeError(
            f"{what}: expected floating-point input, argument {position} has dtype {tensor.dtype}; "
            "write 3.0 for 3, or convert with astype('float32')"
        )
    if tensor.node is None:
        out = wrap(tensor._shared(), None)
        out.requires_grad = True
        return out
    return ops.identity(tensor)  # type: ignore[no-any-return]


def _as_output(what: str, value: Any) -> Tensor:
    if value is None:
        raise DTypeError(f"{what}: the function returned None; return the tensor that you computed")
    return Tensor(value)


def _scalar(trace: _Trace, has_aux: bool) -> tuple[Tensor, Any]:
    """The scalar that a function returned, and what it returned beside it."""
    y, aux = trace.result, None
    if has_aux:
        if not (isinstance(y, tuple) and len(y) == 2):
            raise DTypeError(f"{trace.what}: with has_aux=True the function must return (value, aux)")
        y, aux = y
    if isinstance(y, (tuple, list, dict)):
        raise DTypeError(
            f"{trace.what}: expected a function with one number as its value, got a {type(y).__name__}; "
            "return (value, aux) and say has_aux=True, or use tg.jacobian"
        )
    if not isinstance(y, Tensor):
        y = _as_output(trace.what, y)
    if y.size != 1:
        raise ShapeError(
            f"{trace.what}: expected a function with one number as its value, got shape {y.shape}; "
            "sum or average it, or use tg.jacobian"
        )
    trace.outputs = [y]
    return y, aux


def _pull_back(trace: _Trace, cotangents: Sequence[Tensor], recording: bool, retain: bool) -> list[Tensor]:
    """Cotangents of a trace's outputs, pulled back to its inputs; zeros where nothing arrives."""
    start: dict[Node, Any] = {}
    for y, g in zip(trace.outputs, cotangents, strict=True):
        if y.node is not None:
            value = g if recording else g._array
            start[y.node] = value if y.node not in start else start[y.node] + value
    with mode(recording=recording):
        found = pull(start, trace.nodes, recording=recording, retain=retain)
    return [
        _as_tensor(found[node]) if node in found else wrap(constant(np.zeros(node.shape, node.dtype)), None)
        for node in trace.nodes
    ]


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else wrap(_own(value), None)


def _different(argnums: Any) -> Any:
    numbers = tuple(items_of(argnums)) if isinstance(argnums, (tuple, list, range)) else (argnums,)
    if not all(isinstance(k, int) for k in numbers) or len(set(numbers)) < len(numbers):
        raise ValueError
    return argnums if isinstance(argnums, int) else numbers


Argnums: TypeAlias = Annotated[int | Sequence[int], Kind("an int or different ints", _different)]


def _argnums(argnums: Argnums) -> tuple[tuple[int, ...], bool]:
    """As a tuple, and was it one number?"""
    return ((argnums,), True) if isinstance(argnums, int) else (tuple(argnums), False)


# ------------------------------------------------------------------------------------------------------------------
# The transforms


@checked
def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``f``'s scalar value and its gradient.

    Parameters
    ----------
    f : callable returning one number (or ``(number, aux)`` with ``has_aux``)
    argnums : int or tuple of ints
        Which positional arguments to differentiate; each may be a nested list, tuple or dict of tensors.

    Returns
    -------
    callable
        ``(value, gradient)``; the gradient has the structure of the argument (a tuple of such for several argnums).

    Raises
    ------
    ShapeError, DTypeError
        ``f`` returns more than one number, nothing, or is given integers.

    >>> import tinygrad_conv as tg
    >>> tg.value_and_grad(lambda x: x * x)(3.0)
    (Tensor(9.), Tensor(6.))
    """
    numbers, single = _argnums(argnums)

    def value_and_grad_f(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        trace = _Trace("grad", lambda *a: f(*a, **kwargs), args, numbers)
        y, aux = _scalar(trace, has_aux)
        recording = trace.depends_on_more()
        one = wrap(constant(np.ones(y.shape, y.dtype)), None)
        gradients = trace.arrange(_pull_back(trace, [one], recording, retain=recording))
        trace.finish(recording)
        trace.close()
        if aux is not None and not recording:  # data: what it came from is this call's own
            parts, rebuild = flatten(aux)
            aux = rebuild([wrap(part._array, None) if isinstance(part, Tensor) else part for part in parts])
        value = (trace.outputs[0], aux) if has_aux else trace.outputs[0]
        return value, gradients[0] if single else tuple(gradients)

    return value_and_grad_f


@checked
def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function. Touches nobody's ``.grad``; nests to any order.

    See `value_and_grad` for the arguments and errors.

    >>> import tinygrad_conv as tg
    >>> tg.grad(lambda x: x ** 3)(2.0)
    Tensor(12.)
    >>> tg.grad(tg.grad(lambda x: x ** 3))(2.0)
    Tensor(12.)
    >>> tg.grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    {'a': Tensor(5.), 'b': Tensor(2.)}
    """
    both = value_and_grad(f, argnums, has_aux)

    def grad_f(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_f


@checked
def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Reverse mode: ``f``'s value, and the function that pulls a cotangent back to the primals.

    Returns
    -------
    (y, pullback)
        ``pullback(g)`` takes a cotangent of ``y``'s structure and returns one gradient per primal, as a tuple;
        it may be called many times.

    >>> import tinygrad_conv as tg
    >>> y, pullback = tg.vjp(lambda x, w: x * w, 2.0, 3.0)
    >>> pullback(1.0)
    (Tensor(3.), Tensor(2.))
    """
    trace = _Trace("vjp", f, primals, range(len(primals)))
    trace.flatten_result()
    recording = trace.depends_on_more()

    def pullback(g: Any) -> tuple[Any, ...]:
        parts, _ = flatten(g)
        if len(parts) != len(trace.outputs):
            raise ShapeError(f"vjp: expected {len(trace.outputs)} cotangents, one per output, got {len(parts)}")
        cotangents = [_cotangent("vjp", part, y) for part, y in zip(parts, trace.outputs, strict=True)]
        follow = (recording or any(c.node is not None for c in cotangents)) and MODE.get().recording
        return tuple(trace.arrange(_pull_back(trace, cotangents, follow, retain=True)))

    visible = [y if recording else wrap(y._array, None) for y in trace.outputs]
    return trace.rebuild_output(visible), pullback


@checked
def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Forward mode: ``f``'s value, and its derivative along the tangents.

    Parameters
    ----------
    primals, tangents : tuple (or list)
        The arguments of ``f``, and for each a direction of the same structure and shapes.

    Returns
    -------
    (y, tangent), both of ``y``'s structure.

    >>> import tinygrad_conv as tg
    >>> tg.jvp(lambda x: x * x, (3.0,), (1.0,))
    (Tensor(9.), Tensor(6.))
    """
    primals = tuple(primals) if isinstance(primals, (tuple, list)) else (primals,)
    tangents = tuple(tangents) if isinstance(tangents, (tuple, list)) else (tangents,)
    trace = _Trace("jvp", f, primals, range(len(primals)))
    trace.flatten_result()
    parts, _ = flatten(tangents)
    if len(parts) != len(trace.inputs):
        raise ShapeError(f"jvp: expected {len(trace.inputs)} tangents, one per primal, got {len(parts)}")
    directions = [_cotangent("jvp", part, x) for part, x in zip(parts, trace.inputs, strict=True)]
    recording = trace.outer and (trace.depends_on_more() or any(t.node is not None for t in directions))
    results = _push_forward(trace, directions, recording)
    trace.finish(recording)
    trace.close()
    return trace.rebuild_output(trace.outputs), trace.rebuild_output(results)


def _push_forward(trace: _Trace, directions: Sequence[Tensor], recording: bool) -> list[Tensor]:
    start = {n: (t if recording else t._array) for n, t in zip(trace.nodes, directions, strict=True)}
    outputs = [y.node for y in trace.outputs if y.node is not None]
    with mode(recording=recording):
        arrived = iter(push(start, outputs, recording=recording))
    results = []
    for y in trace.outputs:
        t = next(arrived) if y.node is not None else None
        results.append(_as_tensor(t) if t is not None else wrap(constant(np.zeros(y.shape, y.dtype)), None))
    return results


Direction: TypeAlias = Annotated[str, one_of("auto", "reverse", "forward")]


@checked
def jacobian(f: Callable[..., Any], argnums: Argnums = 0, mode: Direction = "auto") -> Callable[..., Any]:
    """The matrix of all first derivatives, of shape ``y.shape + x.shape``.

    Parameters
    ----------
    mode : "reverse" (one pullback per output element), "forward" (one push per input element), or "auto"

    >>> import tinygrad_conv as tg
    >>> tg.jacobian(lambda x: x * x)(tg.Tensor([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]])
    """
    numbers, single = _argnums(argnums)

    def jacobian_f(*args: Any, **kwargs: Any) -> Any:
        trace = _Trace("jacobian", lambda *a: f(*a, **kwargs), args, numbers)
        trace.flatten_result()
        recording = trace.depends_on_more()
        blocks = [[_jacobian_block(trace, k, j, recording, mode) for j in range(len(trace.inputs))]
                  for k in range(len(trace.outputs))]  # fmt: skip
        trace.close()
        rows = [trace.arrange(row) for row in blocks]
        return trace.rebuild_output([row[0] if single else tuple(row) for row in rows])

    return jacobian_f


def _jacobian_block(trace: _Trace, k: int, j: int, recording: bool, how: str) -> Tensor:
    """The derivative of output k with respect to input j."""
    y, x = trace.outputs[k], trace.inputs[j]
    shape = y.shape + x.shape
    if y.node is None:
        return wrap(constant(np.zeros(shape, y.dtype)), None)
    forward = how == "forward" or (how == "auto" and x.size < y.size)
    columns = []
    for e in range(x.size if forward else y.size):
        basis = np.zeros(x.size if forward else y.size, x.dtype if forward else y.dtype)
        basis[e] = 1
        constant(basis)
        if forward:
            start = {trace.nodes[j]: _seed(basis.reshape(x.shape), recording)}
            with mode(recording=recording):
                column = push(start, [y.node], recording=recording)[0]
        else:
            start = {y.node: _seed(basis.reshape(y.shape), recording)}
            with mode(recording=recording):
                column = pull(start, trace.nodes, recording=recording, retain=True).get(trace.nodes[j])
        if column is None:
            column = _seed(np.zeros(y.shape if forward else x.shape, y.dtype), recording)
        columns.append(column)
    if not columns:
        return wrap(constant(np.zeros(shape, y.dtype)), None)
    stacked = ops.stack(columns, axis=-1 if forward else 0)
    return _as_tensor(ops.reshape(stacked, shape))


def _seed(array: ndarray, recording: bool) -> Any:
    return wrap(array, None) if recording else array


@checked
def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The matrix of all second derivatives of a scalar function, of shape ``x.shape + x.shape`` (forward over reverse).

    >>> import tinygrad_conv as tg
    >>> tg.hessian(lambda x: (x ** 3).sum())(tg.Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums, mode="forward")


@checked
def hvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """The Hessian of a scalar function times a direction, without the Hessian (forward over reverse).

    Parameters
    ----------
    primals, tangents : a tensor, or a tuple of arguments and of directions

    Returns
    -------
    The product, of the structure of `primals`.

    >>> import tinygrad_conv as tg
    >>> tg.hvp(lambda x: (x ** 3).sum(), tg.Tensor([1.0, 2.0]), tg.Tensor([1.0, 1.0]))
    Tensor([ 6., 12.])
    """
    several = isinstance(primals, (tuple, list))
    points = tuple(primals) if several else (primals,)
    directions = tuple(tangents) if several else (tangents,)
    gradient = grad(f, argnums=tuple(range(len(points))))
    product = jvp(gradient, points, directions)[1]
    return product if several else product[0]


# ------------------------------------------------------------------------------------------------------------------
# Checkpointing


@checked
def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f``, keeping only its arguments for backward and computing the rest again there: less memory, more time.

    Random numbers that the library's operations draw (dropout) are the same in the second run, and running statistics
    (batch norm) are updated once. Works to any order. Source: T. Chen et al., "Training deep nets with sublinear
    memory cost" (2016).

    The second run happens during backward and must compute what the first one did, to the bit; `MutationError` if it
    does not, because a parameter, an array or a number that ``f`` uses was changed meanwhile.

    >>> import tinygrad_conv as tg
    >>> tg.grad(tg.checkpoint(lambda x: tg.exp(tg.sin(x))))(0.0)
    Tensor(1.)
    """

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not MODE.get().recording:
            return f(*args, **kwargs)
        leaves, rebuild = flatten((args, kwargs))
        start = Node(None, (), {}, (), (), np.dtype("float64"), None).index
        generators: dict[int, tuple[Any, Any]] = {}
        with mode(generators=generators):
            parts, rebuild_output = flatten(f(*args, **kwargs))
        followed = [k for k, part in enumerate(parts) if isinstance(part, Tensor) and part.node is not None]
        if not followed:
            return rebuild_output(parts)
        n = len(parts)

        def again(arguments: Sequence[Any]) -> Tensor | None:
            inner_args, inner_kwargs = rebuild(arguments)
            again_parts, _ = flatten(f(*inner_args, **inner_kwargs))
            return _pack([again_parts[k] for k in followed]) if len(again_parts) == n else None

        tensors = [parts[k] for k in followed]
        packed = _segment(f, again, leaves, generators, tensors, start)
        for k, tensor in zip(followed, _unpack(packed, tensors), strict=True):
            parts[k] = tensor
        return rebuild_output(parts)

    return checkpointed


def _pack(tensors: Sequence[Tensor]) -> Tensor:
    """Several outputs as one vector, because a node has one output."""
    if len(tensors) == 1:
        return tensors[0]
    return ops.concat([ops.reshape(t, (-1,)) for t in tensors])  # type: ignore[no-any-return]


def _unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    if len(like) == 1:
        return [packed]
    out, start = [], 0
    for t in like:
        part = ops.reshape(packed[start : start + t.size], t.shape)
        out.append(part if part.dtype == t.dtype else ops.astype(part, t.dtype))
        start += t.size
    return out


class _Segment(Primitive):
    """The primitive of one checkpointed call: its rules run the function again and walk the graph that makes.

    ``before`` is the checksum of what the first run returned. ``used`` are tensors with the arrays that they had then:
    the arguments, and (weakly) the leaves that the function uses besides.
    """

    def __init__(
        self, f: Callable[..., Any], again: Callable[[Sequence[Any]], Tensor | None],
        generators: dict[int, tuple[Any, Any]], before: int, used: Sequence[tuple[Callable[[], Any], ndarray]],
    ) -> None:  # fmt: skip
        self.name = self.label = f"checkpoint({getattr(f, '__name__', 'function')})"
        self.kind, self.doc, self.flops = "opaque", "a checkpointed function", 0
        self.variadic, self.broadcasts, self.inputs, self.params = True, False, ("x",), ()
        self._again, self._generators, self._before, self._used = again, generators, before, used
        self._context = copy_context()  # the kernels chosen, for example

    @property
    def joint(self) -> Any:
        """Its rules share their work. (An attribute would be a reference cycle.)"""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(f"{self.name} is a part of a graph, which is neither copied nor pickled")

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def _rerun(self, node: Node) -> Tensor:
        by = observer()
        if by is not None and self._generators:
            by.escape("a checkpoint draws random numbers again")
        for tensor, array in self._used:
            if (now := tensor()) is not None and now._array is not array:
                self._changed(node, f"the data of a tensor of shape {array.shape} that it uses were replaced")
        states = [(rng, rng.bit_generator.state) for rng, _ in self._generators.values()]
        for rng, first in self._generators.values():
            rng.bit_generator.state = first
        try:
            y = self._context.copy().run(self._run, node, MODE.get())
        finally:
            for rng, state in states:
                rng.bit_generator.state = state
        if not isinstance(y, Tensor) or y.node is None or y.shape != node.shape or checksum(y._array) != self._before:
            self._changed(node, "its second run returned other values than its first")
        return y

    def _run(self, node: Node, now: Mode) -> Tensor | None:
        MODE.set(now.but(recording=True, replaying=True, generators=None, path=node.extra or ""))
        return self._again(node.saved[-1])

    def _changed(self, node: Node, what: str) -> NoReturn:
        raise MutationError(
            f"{self.name}: {what}, so that its gradient would be wrong; it ran at {describe_source(node.source)}. "
            "Change parameters, arrays and numbers that a checkpointed function uses after backward()"
        )

    def pull_all(self, node: Node, g: Any, recording: bool) -> list[Any]:
        parents = list(iter_parents(node))
        y = self._rerun(node)
        found = pull({y._needs_node(self.name): g}, parents, recording=recording, retain=recording)
        return [found.get(parent) for parent in parents]

    def push_all(self, node: Node, tangents: dict[Node, Any], recording: bool) -> Any:
        y = self._rerun(node)
        start = {parent: tangents[parent] for parent in iter_parents(node) if parent in tangents}
        return push(start, [y._needs_node(self.name)], recording=recording)[0]


def _segment(
    f: Callable[..., Any], again: Callable[[Sequence[Any]], Tensor | None], leaves: Sequence[Any],
    generators: dict[int, tuple[Any, Any]], outputs: Sequence[Tensor], start: int,
) -> Tensor:  # fmt: skip
    """One node that stands for everything recorded since `start`; its parents are the older nodes it was made from."""
    stack: list[Node] = [y.node for y in outputs if y.node is not None]
    seen: set[Node] = set()
    edge: list[Node] = []
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.index < start or node.primitive is None:
            edge.append(node)
        else:
            stack.extend(iter_parents(node))
    packed = _pack([wrap(y._array, None) for y in outputs])
    edge.sort(key=_creation)
    given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    used = [(partial(_itself, tensor), tensor._array) for tensor in given]
    known = set(map(id, given))
    for node in edge:
        tensor = node.params["tensor"]() if node.primitive is None and "tensor" in node.params else None
        if tensor is not None and id(tensor) not in known:
            used.append((node.params["tensor"], tensor._array))
    arrays = [array for _, array in used] + [leaf for leaf in leaves if isinstance(leaf, ndarray)]
    guards = tuple(
        (k, array, fingerprint(array)) for k, array in enumerate(arrays) if k >= len(used) or reachable(array, ())
    )
    packed.node = Node(
        _Segment(f, again, generators, checksum(packed._array), used), tuple(edge), {}, (*arrays, None, list(leaves)),
        packed.shape, packed.dtype, user_source(3), guards,
    )  # fmt: skip
    packed.node.extra = MODE.get().path or None
    return packed


def _itself(tensor: Tensor) -> Tensor:
    return tensor
