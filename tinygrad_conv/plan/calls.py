"""What a recording is written in: calls between slots, and what is remembered of the arrays that it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..engine.guards import owner_of
from ..engine.node import Node
from ..engine.primitive import Primitive
from ..engine.source import Source
from ..engine.tensor import Tensor, ndarray
from ..ops.shape import copy

__all__ = [
    "Call", "Found", "Kind", "Path", "Seen", "Slot", "Wrapped", "copying", "kind_of", "like", "parts", "replaced",
]  # fmt: skip

Origin: TypeAlias = Literal["argument", "tensor", "constant", "call"]
Path: TypeAlias = tuple[int, ...]  # where in nested tuples a value is


class Seen:
    """What is remembered of an array that was seen while recording: all but its numbers.

    ``memory`` is the same for arrays that share theirs.
    """

    __slots__ = ("contiguous", "dtype", "memory", "shape", "strides", "whole")

    def __init__(self, array: Any, memory: int) -> None:
        self.shape, self.dtype, self.strides = array.shape, array.dtype, getattr(array, "strides", ())
        self.contiguous = array.flags.c_contiguous
        self.whole = owner_of(array).size == array.size  # is it all of its memory?
        self.memory = memory

    @property
    def nbytes(self) -> int:
        return int(prod(self.shape) * self.dtype.itemsize)

    @property
    def dense(self) -> bool:
        """Does the array fill its memory, each element once, in some order of its axes?"""
        expected = self.dtype.itemsize
        for stride, size in sorted(zip(self.strides, self.shape, strict=False)):
            if size > 1:
                if stride != expected:
                    return False
                expected *= size
        return True


Kind: TypeAlias = tuple[tuple[int, ...], "np.dtype[Any]", tuple[int, ...]]


def kind_of(array: ndarray) -> Kind:
    """Shape, dtype and strides: what a plan is made for."""
    return array.shape, array.dtype, array.strides


class Found(NamedTuple):
    """A tensor that lives on, as a recording found it: its array's kind, whether it is followed, and its hooks."""

    tensor: Tensor
    kind: Kind
    node: Node | None
    hooks: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Found:
        return cls(tensor, kind_of(tensor._array), tensor.node, _hooks(tensor.node))

    def fits(self) -> bool:
        """Is the tensor still as it was found?"""
        return kind_of(self.tensor._array) == self.kind and self.is_followed_alike()

    def is_followed_alike(self) -> bool:
        return self.tensor.node is self.node and _hooks(self.node) == self.hooks


def _hooks(node: Node | None) -> tuple[int, ...]:
    return () if node is None else tuple(node.hooks or ())


@dataclass(eq=False, slots=True)
class Slot:
    """A value of the step: an array that some calls make or read.

    Attributes
    ----------
    origin : "argument" of the step, "tensor" that lives on, "constant", or result of a "call"
    seen : the array that was there while recording
    value : the array itself, of a constant
    checked : for a constant: is it known to be one?
    """

    index: int
    origin: Origin
    seen: Seen
    value: Any = None
    checked: bool = True
    source: Source | None = None

    def __repr__(self) -> str:
        return f"%{self.index}"


@dataclass(eq=False, slots=True)
class Call:
    """One instruction: ``outputs = function(*args, **kwargs)``, the slots among the arguments standing for arrays.

    ``results`` says where in what the function returns (nested tuples) each output is. A "load" reads a tensor.
    """

    kind: Literal["primitive", "compute", "effect", "load"]
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[Slot] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    primitive: Primitive | None = None
    path: str = ""
    source: Source | None = None
    backward: str = ""  # the operation whose rule this call belongs to

    @property
    def inputs(self) -> Iterator[Slot]:
        """The slots that the call reads, as often as it names them."""
        return (part for part in parts((self.args, self.kwargs)) if isinstance(part, Slot))


@dataclass(frozen=True, slots=True)
class Wrapped:
    """An argument of an effect that is to be a tensor again."""

    slot: Slot


COPY: Primitive = copy.primitive  # type: ignore[attr-defined]


def copying(slot: Slot) -> Call:
    """A call that copies what is in a slot."""
    return Call("primitive", "copy", COPY.forward, (slot,), {}, primitive=COPY)


def like(arg: Any) -> Any:
    """For a slot an array of its shape and dtype, of any content; anything else as it is."""
    return np.broadcast_to(np.empty((), arg.seen.dtype), arg.seen.shape) if isinstance(arg, Slot) else arg


def parts(tree: Any) -> Iterator[Any]:
    """The leaves of nested tuples, lists and dictionaries."""
    if isinstance(tree, (tuple, list)):
        for item in tree:
            yield from parts(item)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from parts(item)
    elif isinstance(tree, Wrapped):
        yield tree.slot
    else:
        yield tree


def replaced(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nested tuples, lists and dictionaries with other leaves."""
    if type(tree) in (tuple, list):
        return type(tree)([replaced(item, leaf) for item in tree])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[replaced(item, leaf) for item in tree])
    if type(tree) is dict:
        return {key: replaced(item, leaf) for key, item in tree.items()}
    return leaf(tree)
