"""`Tape`: all that a step computes, written down while it runs.

A tape stands at the doors of `modes` as an `Observer`. Every call of a primitive, of a function of data and of an
effect becomes a `Call` between `Slot`s, and every array that came from somewhere else is told apart: an argument of the
step, a tensor that lives on (a parameter: read again at every replay), or a constant.

What cannot be written down ends the tape, with the reason and the user's line: a value that leaves the library, where
what is done with it, such as an `if`, will not be seen.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import prod
from typing import Any, Literal, TypeAlias
from weakref import ref

import numpy as np

from ..modes import MODE, observed
from ..primitive import Primitive
from ..tensor import Source, Tensor, _owner, describe_source, ndarray, user_source, wrap

__all__ = ["Call", "Seen", "Slot", "Tape", "parts", "replaced"]

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
        self.whole = _owner(array).size == array.size  # is it all of its memory?
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

    ``results`` says where in what the function returns (nested tuples) each output is. A "load" reads a
    tensor, a "chain" is several calls in one.
    """

    kind: Literal["primitive", "compute", "effect", "load", "chain"]
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


class Tape:
    """The recording of one run of a step.

    Attributes
    ----------
    calls : in the order in which they ran
    arguments : the slots of the step's arrays, in order
    modules : every module that was called
    broken : why this run cannot be replayed, or None
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.constants: list[Slot] = []
        self.arguments: list[Slot] = []
        self.modules: dict[int, Any] = {}
        self.broken: str | None = None
        self._count = count()
        self._memories = count()
        self._known: dict[int, Slot] = {}  # by the id of an array, as long as it lives
        self._memory: dict[int, int] = {}  # by the id of the array that owns it
        self._alive: list[Any] = []  # watches over these, and what cannot be watched
        self._pinned: set[int] = set()  # the ids of the latter

    # -- slots -----------------------------------------------------------------------------------------------------

    def _slot(self, origin: Origin, array: Any, **more: Any) -> Slot:
        slot = Slot(next(self._count), origin, Seen(array, self._memory_of(array)), **more)
        if origin == "constant":
            slot.value = array
            self.constants.append(slot)
        self._know(array, slot)
        return slot

    def _know(self, array: Any, slot: Slot) -> None:
        self._known[id(array)] = slot
        self._watch(array, self._known)

    def _memory_of(self, array: Any) -> int:
        owner = _owner(array)
        memory = self._memory.get(id(owner))
        if memory is None:
            memory = self._memory[id(owner)] = next(self._memories)
            self._watch(owner, self._memory)
        return memory

    def _watch(self, array: Any, table: dict[int, Any]) -> None:
        """Take an array out of a table when it dies: another may get its id."""
        if isinstance(array, ndarray):
            self._alive.append(ref(array, partial(_forget, table, id(array))))
        else:
            self._alive.append(array)
            self._pinned.add(id(array))

    def argument(self, array: ndarray) -> Tensor:
        """The next array that the step is called with, as the tensor to give it."""
        view = array.view()  # an array of its own, should the step be called with one array twice
        self.arguments.append(self._slot("argument", view))
        return wrap(view, None)

    def known(self, array: Any) -> Slot | None:
        """The slot of an array, if it has one."""
        return self._known.get(id(array))

    def slot_of(self, tensor: Tensor) -> Slot:
        """The slot of a tensor's array; a tensor not seen before is read now, as at every replay."""
        slot = self._known.get(id(tensor._array))
        if slot is None:
            slot = self._slot("tensor", tensor._array)
            self._alive.append(tensor._array)  # held to the end, so that no update in place makes it another value
            call = Call("load", "load", lambda tensor: tensor._array, (tensor,), {}, [slot], [()])
            self.calls.append(call)
        return slot

    def _operand(self, value: Any) -> Any:
        """What a call reads: a slot for an array or a tensor, anything else as it is."""
        if isinstance(value, Tensor):
            return self.slot_of(value)
        if not isinstance(value, (ndarray, np.generic)):
            return value
        slot = self._known.get(id(value))
        if slot is None:
            slot = self._slot("constant", value, checked=isinstance(value, np.generic), source=user_source(4))
        return slot

    def _given(self, value: Any) -> Any:
        """What an effect is given: computed arrays and tensors as slots, lasting objects as they are."""
        if isinstance(value, Tensor):
            slot = self._known.get(id(value._array))
            return value if slot is None or slot.origin in ("tensor", "constant") else Wrapped(slot)
        return self._operand(value)

    def _note(self, call: Call, result: Any) -> None:
        if self._is_constant(call):
            for _, leaf in _leaves(result):
                self.constant(leaf._array if isinstance(leaf, Tensor) else leaf)
            return
        mode = MODE.get()
        call.path = mode.path
        if mode.backward is not None:
            call.path, call.backward = mode.backward.extra or "", mode.backward.label
            call.source = mode.backward.source
        for path, leaf in _leaves(result):
            array = leaf._array if isinstance(leaf, Tensor) else leaf
            if isinstance(array, (ndarray, np.generic)) and id(array) not in self._known:
                call.outputs.append(self._slot("call", array))
                call.results.append((*path, -1) if isinstance(leaf, Tensor) else path)
        self.calls.append(call)

    # -- the doors -------------------------------------------------------------------------------------------------

    def run(self, primitive: Primitive, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any]) -> Any:
        with observed(None):  # what a forward function is made of is its own affair
            y = primitive.forward(*values, **params)
        array = y[0] if primitive.has_residual else y
        if type(array) is not ndarray and any(isinstance(arg, Tensor) for arg in args):
            array = np.asarray(array)
            y = (array, y[1]) if primitive.has_residual else array
        if self.broken is None:
            operands = tuple(map(self._operand, args))
            named = {name: replaced(value, self._operand) for name, value in params.items() if name != "shapes"}
            if any(array is value for value in values):  # the identity: nothing to do
                return y
            call = Call(
                "primitive", primitive.name, primitive.forward, operands, named, primitive=primitive,
                source=user_source(3),
            )  # fmt: skip
            self._note(call, y)
        return y

    def compute(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        operands = tuple(replaced(arg, self._operand) for arg in args)
        named = {name: replaced(value, self._operand) for name, value in kwargs.items()}
        args = [replaced(arg, _plain) for arg in args]
        kwargs = {name: replaced(value, _plain) for name, value in kwargs.items()}
        with observed(None):
            result = function(*args, **kwargs)
        if self.broken is None:
            self._note(Call("compute", _name(function), function, operands, named, source=user_source(3)), result)
        return result

    def effect(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        args = [tuple(arg) if isinstance(arg, Iterator) else arg for arg in args]  # a replay goes through it again
        given = tuple(replaced(arg, self._given) for arg in args)
        named = {name: replaced(value, self._given) for name, value in kwargs.items()}
        with observed(None):
            result = function(*args, **kwargs)
        if self.broken is None:
            self._note(Call("effect", _name(function), function, given, named, source=user_source(3)), result)
        return result

    def _is_constant(self, call: Call) -> bool:
        """Does a call depend on nothing but constants that were made from shapes?"""
        slots = list(call.inputs)
        of_shapes = all(slot.origin == "constant" and slot.checked for slot in slots)
        return call.kind in ("primitive", "compute") and bool(slots) and of_shapes

    def constant(self, array: Any) -> None:
        if isinstance(array, (ndarray, np.generic)) and id(array) not in self._known:
            self._slot("constant", array)

    def same(self, array: Any, original: Any) -> None:
        self._know(array, self._operand(original))

    def touch(self, tensor: Tensor) -> None:
        self.slot_of(tensor)

    def enter(self, module: Any) -> None:
        self.modules[id(module)] = module

    def escape(self, why: str) -> None:
        if self.broken is None:
            self.broken = f"{why} at {describe_source(user_source(3))}"

    # -- the end ---------------------------------------------------------------------------------------------------

    def kept(self, outputs: Sequence[Slot]) -> list[Call]:
        """The calls whose results somebody still holds, though the step has ended and they are no outputs.

        They are state that the step keeps in Python, such as a list that it appends to: a replay would not.
        """
        known = {slot.seen.memory for slot in outputs}
        effects = [call for call in self.calls if call.kind == "effect"]
        known |= {slot.seen.memory for call in effects for slot in (*call.inputs, *call.outputs)}
        for collect in (False, True):
            if collect:
                gc.collect()
            alive = {
                slot for key, slot in self._known.items()
                if slot.origin == "call" and slot.seen.memory not in known and key not in self._pinned
            }  # fmt: skip
            if not alive:
                return []
        return [call for call in self.calls if not alive.isdisjoint(call.outputs)]

    def unproven(self) -> list[Slot]:
        """The constants that nobody else holds, so that they were made during the step and may differ next time."""
        # Who else refers to the array: the slot, and the argument of getrefcount.
        return [
            slot for slot in self.constants
            if not slot.checked and sys.getrefcount(slot.value) <= 2 and not _owned(slot.value)
        ]  # fmt: skip


def _forget(table: dict[int, Any], key: int, _: Any) -> None:
    table.pop(key, None)


def _owned(array: ndarray) -> bool:
    """Is the array a view of one that somebody holds?"""
    base = array.base
    return isinstance(base, ndarray) and sys.getrefcount(base) > 3  # `array`, `base`, the argument


def _plain(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


def _leaves(result: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(result, (tuple, list)):
        for k, item in enumerate(result):
            yield from _leaves(item, (*path, k))
    else:
        yield path, result


def _name(function: Callable[..., Any]) -> str:
    inner = getattr(function, "func", function)  # of a partial
    if inner is not function and getattr(function, "args", None):
        inner = function.args[0]  # type: ignore[attr-defined]
    return getattr(inner, "__qualname__", type(inner).__name__).split(".<locals>.")[-1]
