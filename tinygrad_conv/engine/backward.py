"""`Tensor.backward`: the gradient of one tensor, added to the ``.grad`` of every leaf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..arguments import checked
from ..errors import DTypeError, GraphError, ShapeError
from .modes import MODE, constant, keep_gradients, mode, observer
from .node import Node, accumulate_grad, iter_parents
from .tensor import Array, Tensor, ndarray, ops, wrap
from .walk import ancestors, pull, walk

__all__ = ["LISTENERS", "Listener", "Reached", "backward", "cotangent", "gradients", "steps"]


@checked
def backward(y: Tensor, gradient: Array | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """`Tensor.backward`: see there."""
    node, seed = _seeded("backward", y, gradient, retain_graph or create_graph)
    g = seed if create_graph else seed._array
    if LISTENERS and not create_graph and observer() is None:
        _accumulate(_told(node, g, retain_graph))
        for listener in LISTENERS:
            listener.over()
    else:
        _accumulate(pull({node: g}, recording=create_graph, retain=retain_graph or create_graph))


class Listener(Protocol):
    """Who sends gradients away while a backward pass still runs."""

    def complete(self, leaf: Node, gradient: Any) -> None:
        """Nothing more will be added, in this pass, to the gradient of a leaf without hooks."""

    def over(self) -> None:
        """The pass has ended, and gradients are in ``.grad``."""


LISTENERS: list[Listener] = []


def _told(node: Node, g: Any, retain: bool) -> dict[Node, Any]:
    """`pull`, which tells the listeners of each leaf's gradient when all operations that use the leaf have run."""
    left = Counter(
        parent for child in ancestors([node], ()) for parent in iter_parents(child)
        if parent.primitive is None and not parent.hooks
    )  # fmt: skip
    found: dict[Node, Any] = {}
    sums: dict[Node, Any] = {}
    with mode(recording=False):
        for child, _, outgoing in walk({node: g}, found, None, False, retain, watched=True):
            for parent, part in zip(child.parents, outgoing, strict=True):
                if parent is None or parent not in left:
                    continue
                left[parent] -= 1
                if part is not None:
                    sums[parent] = sums[parent] + part if parent in sums else part
                if not left[parent] and parent in sums:
                    for listener in LISTENERS:
                        listener.complete(parent, sums[parent])
                    del sums[parent]
    return found


def gradients(y: Tensor, leaves: Sequence[Tensor]) -> list[Tensor | None]:
    """What `backward` would add to ``.grad`` of some leaves; None for one that y does not depend on."""
    node, seed = _seeded("gradients", y, None, False)
    found = pull({node: seed._array}, [leaf._needs_node("gradients") for leaf in leaves])
    given = [found.get(leaf.node) for leaf in leaves]  # type: ignore[arg-type]
    return [g if g is None or isinstance(g, Tensor) else wrap(g, None) for g in given]


def steps(y: Tensor, gradient: Array | None, retain: bool) -> Iterator[tuple[Node, Any, list[Any]]]:
    """`backward`, one operation at a time: yields what `walk` does, and fills ``.grad`` of the leaves at the end."""
    node, seed = _seeded("backward_steps", y, gradient, retain)
    found: dict[Node, Any] = {}

    def one_by_one() -> Iterator[tuple[Node, Any, list[Any]]]:
        walked = walk({node: seed._array}, found, None, False, retain, watched=True)
        while True:
            with mode(recording=False):  # while the rules run, not while the caller looks at a step
                step = next(walked, None)
            if step is None:
                break
            yield step
        _accumulate(found)

    return one_by_one()


class Reached(BaseException):
    """A run for a picture came to a backward pass that would free what is to be shown: there it ends.

    It is no Exception, so that no code on the way takes it for a mistake.
    """

    def __init__(self, y: Tensor) -> None:
        super().__init__()
        self.y = y


def _seeded(what: str, y: Tensor, gradient: Array | None, retain: bool) -> tuple[Node, Tensor]:
    """Where a backward pass starts, and with which cotangent."""
    node = y._needs_node(what)
    if not retain and (now := MODE.get()).watch is not None and now.replaying:
        raise Reached(y)
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
        return node, wrap(constant(np.array(1, y.dtype, ndmin=y.ndim)), None)
    return node, cotangent(what, gradient, y)


def _accumulate(found: dict[Node, Any]) -> None:
    keep_gradients(found)
    for leaf, total in found.items():
        accumulate_grad(leaf, total if isinstance(total, Tensor) else wrap(total, None))


def cotangent(what: str, g: Array, y: Tensor) -> Tensor:
    """A gradient that somebody gave for `y`, of its shape and dtype. Raises ShapeError, DTypeError."""
    tensor = g if isinstance(g, Tensor) else Tensor(np.array(g) if type(g) is ndarray else g)
    if tensor.shape != y.shape:
        raise ShapeError(f"{what}: expected a gradient of the output's shape {y.shape}, got {tensor.shape}")
    if tensor.dtype.kind == "c" != y.dtype.kind:
        raise DTypeError(f"{what}: expected a real gradient for a result of dtype {y.dtype}, got {tensor.dtype}")
    return tensor if tensor.dtype == y.dtype else ops.astype(tensor, dtype=y.dtype)
