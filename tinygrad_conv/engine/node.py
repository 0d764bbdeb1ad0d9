"""`Node`: what the graph remembers of one operation, or of a leaf.

A node knows its primitive, the nodes of its inputs, and only those arrays that the primitive's rules read. Nodes never
point at tensors, so there are no reference cycles: when the last tensor of a graph goes, the graph goes.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from threading import RLock
from typing import Any, TypeAlias

import numpy as np

from ..errors import GraphError, MutationError
from .guards import Guard, arrays_in, checksum, handed_out, owner_of, unchanged
from .modes import clears, effect, observer
from .source import Source, describe_source

__all__ = [
    "FREED", "LOCKS", "HookHandle", "Leaf", "Node", "Shape", "accumulate_grad", "add_grad", "iter_parents", "lock_of",
    "next_index", "set_grad",
]  # fmt: skip

ndarray = np.ndarray
Shape: TypeAlias = tuple[int, ...]

next_index = count(1).__next__
FREED: tuple[Any, ...] = ("freed",)


class Node:
    """What the graph remembers of one operation (of a leaf: see `Leaf`; its `primitive` is None).

    ``saved`` holds, per input, the array if a rule reads it (else None), then the output if read, then the residual.
    ``index`` grows with creation, so every parent has a smaller index than its children: sorting by it is a
    topological order, and no walk recurses.
    """

    __slots__ = (
        "__weakref__", "dtype", "grad", "guards", "hooks", "index", "params", "parents", "path", "primitive", "saved",
        "shape", "source",
    )  # fmt: skip

    def __init__(
        self,
        primitive: Any,
        parents: Sequence[Node | None],
        params: dict[str, Any],
        saved: Sequence[Any],
        shape: Shape,
        dtype: np.dtype[Any],
        source: Source | None,
        guards: tuple[Guard, ...] | None = None,
    ) -> None:
        self.primitive = primitive
        self.parents = parents
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.source = source
        self.guards = guards  # one for each saved buffer that user code can reach
        self.index = next_index()
        self.path = ""  # of the module in which the operation ran
        self.grad: Any = None  # a Tensor, of leaves and of nodes that retain their gradient
        self.hooks: dict[int, Callable[[Any], Any]] | None = None

    @property
    def freed(self) -> bool:
        """Has a backward pass already used this node up?"""
        return self.saved is FREED

    def free(self) -> None:
        """Let go of everything that only a further backward would need."""
        self.saved = FREED
        self.parents = ()
        self.guards = None

    def keep(self, array: Any) -> None:
        """Of a leaf: its array is to be had even when its tensor is gone, for pictures; no rule reads it."""

    def check_saved(self) -> None:
        """Raise `MutationError` if a saved buffer is not what it was when it was saved."""
        guarded = set()
        for what, array, before in self.guards or ():
            guarded.add(id(array))
            if not unchanged(array, before):
                self._raise_mutated(what, array)
        if handed_out:
            for position, saved in enumerate(self.saved):
                for array in (saved,) if type(saved) is ndarray else arrays_in(saved):
                    if id(array) not in guarded:
                        owner = owner_of(array)
                        first = handed_out.get(id(owner))
                        if first is not None and checksum(owner) != first:
                            last = len(self.saved) - 1
                            self._raise_mutated({last: "residual", last - 1: "output"}.get(position, position), array)

    def _raise_mutated(self, what: int | str, array: ndarray) -> None:
        raise MutationError(
            f"{self.shown}: its saved {what if isinstance(what, str) else f'input {what}'} (shape {array.shape}) was "
            f"changed in place after the operation ran at {describe_source(self.source)}; its gradient would be "
            "wrong. Change a copy (x.numpy().copy()), or change it after backward()"
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            "a graph is neither copied nor pickled: take the values of its tensors (x.numpy(), x.detach())"
        )

    @property
    def shown(self) -> str:
        """What users call the operation."""
        return self.primitive.shown

    def __repr__(self) -> str:
        return f"<Node {self.shown} {self.shape} {self.dtype}>"


class Leaf(Node):
    """The node of a tensor that was made, not computed, and whose gradient is wanted: here a backward pass ends."""

    __slots__ = ("closed", "kept", "name", "tensor")

    def __init__(self, tensor: Any, source: Source | None) -> None:
        super().__init__(None, (), {}, (), tensor.shape, tensor.dtype, source)
        self.tensor = weakref.ref(tensor)
        self.name: str | None = tensor.name
        self.closed = False  # was this the variable of a transform that has finished?
        self.kept: Any = None

    def keep(self, array: Any) -> None:
        self.kept = array

    @property
    def shown(self) -> str:
        return "leaf"


def iter_parents(node: Node) -> Iterator[Node]:
    """The nodes of the inputs that are followed."""
    return (parent for parent in node.parents if parent is not None)


class HookHandle:
    """Removes the hook it stands for."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError("the handle of a hook is neither copied nor pickled: register the hook on the copied tensor")

    def remove(self) -> None:
        """Take the hook away; calling it twice is fine."""
        self._hooks.pop(self._key, None)


LOCKS: list[Any] = []  # of nodes, by their number: two threads that add to one gradient must not lose a sum


def _new_locks() -> None:
    LOCKS[:] = [RLock() for _ in range(61)]


_new_locks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)  # a thread of the parent may have held one


def lock_of(node: Node) -> Any:
    """What to hold while a node's gradient or hooks are changed."""
    return LOCKS[node.index % 61]


def accumulate_grad(node: Node, gradient: Any) -> None:
    """Add to a node's ``.grad``, as `backward` does; other threads may do so at the same time."""
    by = observer()
    if by is None:
        _add_grad(node, gradient)
    else:
        by.gradient(node)
        add_grad(node, gradient)


def _add_grad(node: Node, gradient: Any) -> Any:
    """Add to a node's ``.grad``; returns the new gradient."""
    with LOCKS[node.index % 61]:
        before = node.grad
        node.grad = total = gradient if before is None else before + gradient
    return total


add_grad = effect(_add_grad)


@clears(lambda node: [node])
def set_grad(node: Node, gradient: Any) -> None:
    """Give a node another ``.grad``, or none."""
    node.grad = gradient
