"""`backward_steps`: a backward pass that can be watched, one operation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..arguments import checked
from ..engine.backward import steps
from ..engine.node import Node
from ..engine.tensor import Array, Tensor, wrap
from .reading import Reader
from .value import GraphNode
from .watching import Watch

__all__ = ["Step", "backward_steps"]


@checked
class Step(NamedTuple):
    """One operation of a backward pass, its vector-Jacobian product (VJP) just computed.

    Attributes
    ----------
    node : GraphNode
        The operation, under the name that it has in a snapshot: ``step.node.name``, ``.source``, ``.shape``.
    incoming : Tensor
        The gradient of the operation's output: complete, since everything that used it has had its step.
    outgoing : tuple of Tensor or None
        For each of the node's inputs what this operation adds to its gradient; None for an input that is not followed.

    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor(3.0, requires_grad=True, name="x")
    >>> (step,) = (x * x).backward_steps()
    >>> step.node.name, step.incoming, step.outgoing
    ('multiply_1', Tensor(1.), (Tensor(3.), Tensor(3.)))
    """

    node: GraphNode
    incoming: Tensor
    outgoing: tuple[Tensor | None, ...]

    def __repr__(self) -> str:
        passed = [f"{name}: {g}" for name, g in zip(self.node.inputs, self.outgoing, strict=True) if g is not None]
        return f"{self.node.name}: {self.incoming} -> {', '.join(passed)}"


@checked
def backward_steps(y: Tensor, gradient: Array | None = None, retain_graph: bool = False) -> Iterator[Step]:
    """`Tensor.backward`, one operation at a time. See `Tensor.backward_steps`.

    Each step runs one operation's VJP. After the last one, leaves have in ``.grad`` what `backward` gives them, to
    the bit; who stops before leaves ``.grad`` alone.

    >>> import tinygrad_conv as tg
    >>> a = tg.Tensor(2.0, requires_grad=True, name="a")
    >>> b = tg.Tensor(3.0, requires_grad=True, name="b")
    >>> for step in backward_steps((a * b + a) * 10.0):
    ...     print(step)
    multiply_2: Tensor(1.) -> add_1: Tensor(10.)
    add_1: Tensor(10.) -> multiply_1: Tensor(10.), a: Tensor(10.)
    multiply_1: Tensor(10.) -> a: Tensor(30.), b: Tensor(20.)
    >>> a.grad, b.grad
    (Tensor(40.), Tensor(20.))
    """
    walk = steps(y, gradient, retain_graph)
    reader = Reader(y.name or "")
    graph = reader.read([(y.name or "output", y)], Watch())
    by_name = {node.name: node for node in graph.nodes}
    named = {node: by_name[name] for node, name in reader._names.items() if isinstance(node, Node)}
    return (Step(named[node], _tensor(g), tuple(map(_tensor, outgoing))) for node, g, outgoing in walk)


def _tensor(g: Any) -> Any:
    return g if g is None or isinstance(g, Tensor) else wrap(g, None)  # observed rules run on tensors
