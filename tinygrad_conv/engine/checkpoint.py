"""Checkpointing: keep the arguments of a function for backward, and compute the rest again there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, NoReturn

from ..arguments import called, checked
from ..errors import GraphError, MutationError
from .guards import checksum, fingerprint, reachable
from .modes import MODE, Mode, mode, observer
from .node import Leaf, Node, iter_parents, next_index
from .primitive import NONDIFF, Primitive
from .source import describe_source, user_source
from .tensor import Tensor, ndarray, ops, wrap
from .trees import flatten
from .walk import creation, pull, push

__all__ = ["checkpoint"]


@checked
def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that keeps only its arguments for backward, and runs ``f`` again there: less memory, more time.

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
            return called("checkpoint", f, *args, **kwargs)
        leaves, rebuild = flatten((args, kwargs))
        start = next_index()
        generators: dict[int, tuple[Any, Any]] = {}
        with mode(generators=generators):
            parts, rebuild_output = flatten(called("checkpoint", f, *args, **kwargs))
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
    return ops.concat([ops.reshape(t, (-1,)) for t in tensors])


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
        self.kind, self.flops, self.joint, self.positions, self.rules = "opaque", 0, True, (), [(NONDIFF,)] * 4
        self.variadic, self.broadcasts, self.inputs, self.params = True, False, ("x",), ()
        self._again, self._generators, self._before, self._used = again, generators, before, used
        self._context = copy_context()  # the kernels chosen, for example

    doc = "a checkpointed function"

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
        MODE.set(now.but(recording=True, replaying=True, generators=None, path=node.path))
        return self._again(node.saved[-1])

    def _changed(self, node: Node, what: str) -> NoReturn:
        raise MutationError(
            f"{self.name}: {what}, so that its gradient would be wrong; it ran at {describe_source(node.source)}. "
            "Change parameters, arrays and numbers that a checkpointed function uses after backward()"
        )

    def pull_all(self, node: Node, g: Any, on_tensors: bool) -> list[Any]:
        parents = list(iter_parents(node))
        y = self._rerun(node)
        start = {y._needs_node(self.name): g}
        found = pull(start, parents, recording=on_tensors, retain=on_tensors, part=True)
        return [found.get(parent) for parent in parents]

    def push_all(self, node: Node, tangents: dict[Node, Any], on_tensors: bool) -> Any:
        y = self._rerun(node)
        start = {parent: tangents[parent] for parent in iter_parents(node) if parent in tangents}
        return push(start, [y._needs_node(self.name)], recording=on_tensors, part=True)[0]


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
    edge.sort(key=creation)
    given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    used: list[tuple[Callable[[], Any], ndarray]] = [(partial(_itself, tensor), tensor._array) for tensor in given]
    known = set(map(id, given))
    for node in edge:
        tensor = node.tensor() if isinstance(node, Leaf) else None
        if tensor is not None and id(tensor) not in known:
            used.append((weakref.ref(tensor), tensor._array))
    arrays = [array for _, array in used] + [leaf for leaf in leaves if isinstance(leaf, ndarray)]
    guards = tuple(
        (k, array, fingerprint(array)) for k, array in enumerate(arrays) if k >= len(used) or reachable(array, ())
    )
    packed.node = Node(
        _Segment(f, again, generators, checksum(packed._array), used), tuple(edge), {}, (*arrays, None, list(leaves)),
        packed.shape, packed.dtype, user_source(3), guards,
    )  # fmt: skip
    packed.node.path = MODE.get().path
    return packed


def _itself(tensor: Tensor) -> Tensor:
    return tensor
