"""One run of a function on variables of its own: what every transform starts with.

Nested transforms do not confuse their variables: each makes nodes of its own for its arguments and asks only for the
gradients of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arguments import called
from ..errors import ArgumentError, DTypeError, ShapeError
from .modes import MODE, constant, enable_grad
from .node import Leaf, Node
from .tensor import Tensor, ops, wrap
from .trees import flatten
from .walk import ancestors, own, pull, push

__all__ = ["Trace", "as_tensor"]


class Trace:
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
        return any(isinstance(node, Leaf) and node not in mine and not node.closed for node in ancestors(nodes, mine))

    def close(self) -> None:
        """Nothing will run inside this trace any more, so its variables need not be told apart from here on."""
        for node in self.nodes:
            if isinstance(node, Leaf):
                node.closed = True

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

    def scalar(self, has_aux: bool) -> tuple[Tensor, Any]:
        """The scalar that a function returned, and what it returned beside it."""
        y, aux = self.result, None
        if has_aux:
            if not (isinstance(y, tuple) and len(y) == 2):
                raise DTypeError(f"{self.what}: with has_aux=True the function must return (value, aux)")
            y, aux = y
        if isinstance(y, (tuple, list, dict)):
            raise DTypeError(
                f"{self.what}: expected a function with one number as its value, got a {type(y).__name__}; "
                "return (value, aux) and say has_aux=True, or use tg.jacobian"
            )
        if not isinstance(y, Tensor):
            y = _as_output(self.what, y)
        if y.size != 1:
            raise ShapeError(
                f"{self.what}: expected a function with one number as its value, got shape {y.shape}; "
                "sum or average it, or use tg.jacobian"
            )
        self.outputs = [y]
        return y, aux

    def pull_back(self, cotangents: Sequence[Tensor], recording: bool, retain: bool) -> list[Tensor]:
        """Cotangents of a trace's outputs, pulled back to its inputs; zeros where nothing arrives."""
        start: dict[Node, Any] = {}
        for y, g in zip(self.outputs, cotangents, strict=True):
            if y.node is not None:
                value = g if recording else g._array
                start[y.node] = value if y.node not in start else start[y.node] + value
        found = pull(start, self.nodes, recording=recording, retain=retain)
        return [
            as_tensor(found[node]) if node in found else wrap(constant(np.zeros(node.shape, node.dtype)), None)
            for node in self.nodes
        ]

    def push_forward(self, directions: Sequence[Tensor], recording: bool) -> list[Tensor]:
        """Tangents of the inputs, pushed forward to the outputs; zeros where nothing arrives."""
        start = {n: (t if recording else t._array) for n, t in zip(self.nodes, directions, strict=True)}
        outputs = [y.node for y in self.outputs if y.node is not None]
        arrived = iter(push(start, outputs, recording=recording))
        results = []
        for y in self.outputs:
            t = next(arrived) if y.node is not None else None
            results.append(as_tensor(t) if t is not None else wrap(constant(np.zeros(y.shape, y.dtype)), None))
        return results


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
    return ops.identity(tensor)


def _as_output(what: str, value: Any) -> Tensor:
    if value is None:
        raise DTypeError(f"{what}: the function returned None; return the tensor that you computed")
    return Tensor(value)


def as_tensor(value: Any) -> Tensor:
    """A gradient as a tensor that holds an array of its own."""
    return value if isinstance(value, Tensor) else wrap(own(value), None)
