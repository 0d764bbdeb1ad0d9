"""`Plan`: a recorded step as a flat list of calls on memory that is laid out once.

From a tape to a plan: calls whose results nobody needs are dropped; what depends on constants alone is computed once;
values that die give their memory to later ones; views of memory that never moves are taken once. What is left is
written out as one Python function, a line per call, which `Plan.source` shows.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import finalize

import numpy as np

from ..errors import ArgumentError
from ..tensor import Tensor, wrap
from . import telling
from .chains import chained
from .fusing import fused
from .into import VIEWS, into, is_elementwise, is_ours
from .tape import Call, Slot, Tape, Wrapped, parts, replaced

if TYPE_CHECKING:
    from ..graph.value import Graph

__all__ = ["Plan"]

Array: TypeAlias = np.ndarray[Any, Any]


class Plan:
    """One signature of a compiled step, ready to run.

    Attributes
    ----------
    name : the step's
    calls : the calls that run, in order
    arguments, outputs : slots
    source : the Python function that runs
    """

    def __init__(self, name: str, tape: Tape, outputs: Sequence[Slot]) -> None:
        self.name = name
        self.arguments, self.outputs = tape.arguments, list(outputs)
        self.modules = [(module, module.training) for module in tape.modules.values()]  # as they are between steps
        self.calls = chained(fused(_needed(tape.calls, self.outputs), self.outputs), self.outputs)
        self.recorded = len(tape.calls)
        self._groups = _Groups(self)
        self._memory = _Memory(self.calls, self._groups)
        self._static = self._memory.arrays
        self._views: dict[Slot, Slot] = {}
        self._take_views()
        self.source, self._function = self._written()
        self._tensors = [  # all that the step looked at, with what must stay as it was
            (tensor, a.shape, a.dtype, a.strides, tensor.node, _hooks(tensor))
            for tensor, a in ((call.args[0], call.outputs[0].seen) for call in tape.calls if call.kind == "load")
        ]

    def fits(self) -> bool:
        """Is everything outside as it was: modes of modules, shapes and kinds of parameters?"""
        for module, training in self.modules:
            if module.training is not training:
                return False
        for tensor, shape, dtype, strides, node, hooks in self._tensors:
            array = tensor._data
            if array.shape != shape or array.dtype != dtype or array.strides != strides or tensor.node is not node:
                return False
            if node is not None and node.hooks is not None and _hooks(tensor) != hooks:
                return False
        return True

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arguments of the same signature."""
        return self._function(arrays)

    # -- telling ---------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """The bytes of memory that are laid out for results."""
        return self._memory.nbytes

    def summary(self) -> str:
        """A table: each call with its module, result, FLOPs, bytes read and written, and where its result lies."""
        return telling.table(self)

    def __graph__(self, *args: Any, **options: Any) -> Graph:
        """The calls as a `Graph`: what `tg.draw(plan)` draws. A plan knows what they cost, but not their numbers."""
        if args:
            raise ArgumentError(f"draw: expected a plan alone, for it knows its shapes; got {len(args)} more arguments")
        return telling.graph(self)

    def memory_of(self, call: Call) -> str:
        """Where the results of a call lie: in which block of the plan's memory, or in new memory at each run."""
        blocks = [self._memory.block_of.get(slot) for slot in call.outputs]
        return ", ".join("new" if block is None else f"block {block}" for block in blocks)

    def seen_as(self, slot: Slot) -> Slot:
        """The slot that a slot is a view of, if the view was taken once and for all; else the slot itself."""
        while slot in self._views:
            slot = self._views[slot]
        return slot

    def __repr__(self) -> str:
        return (
            f"<plan of {self.name}: {len(self.calls)} calls of {self.recorded} recorded, "
            f"{self.nbytes / 1e6:.2f} MB laid out>"
        )

    # -- building --------------------------------------------------------------------------------------------------

    def _take_views(self) -> None:
        """Views of memory that never moves are taken now, once."""
        left = []
        for call in self.calls:
            if call.name in VIEWS and is_ours(call) and not self._groups.escapes(call.outputs[0]):
                slots = list(call.inputs)
                if len(slots) == 1 and slots[0] in self._static:
                    args, kwargs = (replaced(tree, self._now) for tree in (call.args, call.kwargs))
                    view = call.function(*args, **kwargs)
                    if view.base is not None and np.may_share_memory(view, self._static[slots[0]]):
                        self._static[call.outputs[0]] = view
                        self._views[call.outputs[0]] = slots[0]
                        continue
            left.append(call)
        self.calls = left

    def _now(self, leaf: Any) -> Any:
        return self._static[leaf] if isinstance(leaf, Slot) else leaf

    def _written(self) -> tuple[str, Callable[[Sequence[Array]], list[Array]]]:
        """The function that runs the calls, and its source."""
        scope: dict[str, Any] = {"wrap": wrap}
        names: dict[int, str] = {}

        def constant(value: Any, prefix: str = "k") -> str:
            if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
                text = repr(value)
                if len(text) < 40:
                    return text
            if id(value) not in names:
                names[id(value)] = f"{prefix}{len(names)}"
                scope[names[id(value)]] = value
            return names[id(value)]

        def read(tree: Any) -> str:
            if isinstance(tree, Wrapped):
                return f"wrap({read(tree.slot)}, None)"
            if isinstance(tree, Slot):
                if tree in self._static:
                    name = f"b{tree.index}"
                    scope[name] = self._static[tree]
                    return name
                return constant(tree.value, "c") if tree.origin == "constant" else f"v{tree.index}"
            if type(tree) in (tuple, list) and any(isinstance(part, Slot) for part in parts(tree)):
                inner = ", ".join(map(read, tree))
                return f"({inner},)" if isinstance(tree, tuple) else f"[{inner}]"
            if type(tree) is dict and any(isinstance(part, Slot) for part in parts(tree)):
                return "{" + ", ".join(f"{constant(key)}: {read(item)}" for key, item in tree.items()) + "}"
            return constant(tree)

        lines = [f"    v{slot.index} = arrays[{k}]" for k, slot in enumerate(self.arguments)]
        for call in self.calls:
            lines += (f"    {line}" for line in self._line(call, read, scope))
        lines.append(f"    return [{', '.join(map(read, self.outputs))}]")
        source = "def step(arrays):\n" + "\n".join(lines) + "\n"
        file = f"<plan of {self.name} {id(self):x}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        finalize(self, linecache.cache.pop, file, None)
        exec(compile(source, file, "exec"), scope)
        return source, scope["step"]

    def _line(self, call: Call, read: Callable[[Any], str], scope: dict[str, Any]) -> Iterator[str]:
        """A call as a line or two of Python."""
        if call.kind == "load":
            yield f"v{call.outputs[0].index} = {read(call.args[0])}._data"
            return
        given = [read(arg) for arg in call.args]
        named = [f"{name}={read(value)}" for name, value in call.kwargs.items()]
        if not self._memory.written.isdisjoint(call.outputs):
            write = into(call)
            name = _named(scope, write, call.name)
            for slot in call.outputs:
                if slot not in self._memory.written:
                    scope["empty"] = np.empty
                    yield f"{read(slot)} = empty({slot.seen.shape}, {slot.seen.dtype.str!r})"
            outs = [read(slot) for slot in call.outputs]
            out = outs[0] if len(outs) == 1 else f"({', '.join(outs)})"
            if isinstance(write, np.ufunc) and not named and write not in (np.maximum, np.minimum):
                yield f"{name}({', '.join([*given, out])})"
            else:
                yield f"{name}({', '.join([*given, *named, f'out={out}'])})"
            return
        text = f"{_named(scope, call.function, f'f_{call.name}')}({', '.join([*given, *named])})"
        if call.kind == "primitive" and not call.primitive.has_residual and call.outputs:  # type: ignore[union-attr]
            yield f"v{call.outputs[0].index} = {text}"
            return
        if not call.outputs:
            yield text
            return
        yield f"r = {text}"
        for slot, path in zip(call.outputs, call.results, strict=True):
            yield f"v{slot.index} = r" + "".join("._data" if k == -1 else f"[{k}]" for k in path)


def _named(scope: dict[str, Any], value: Any, text: str) -> str:
    """A name for a function in the source, made of what it is called."""
    name = "".join(c if c.isalnum() else "_" for c in text)
    while scope.get(name, value) is not value:
        name += "_"
    scope[name] = value
    return name


def _hooks(tensor: Tensor) -> tuple[int, ...]:
    """Which hooks a tensor has: they ran while recording."""
    return tuple(tensor.node.hooks or ()) if tensor.node is not None else ()


# ------------------------------------------------------------------------------------------------------------------
# Passes over the calls


def _needed(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls that something depends on: an output, an effect, or a check that may raise."""
    wanted = set(outputs)
    kept = []
    for call in reversed(calls):
        if call.kind == "effect" or not call.outputs or not wanted.isdisjoint(call.outputs):
            wanted.update(call.inputs)
            kept.append(call)
    return kept[::-1]


class _Groups:
    """Which slots share memory, as seen while recording; and which of that memory is not the plan's to reuse."""

    def __init__(self, plan: Plan) -> None:
        foreign = [*plan.arguments, *plan.outputs]
        for call in plan.calls:
            if call.kind in ("effect", "load", "compute"):
                foreign += call.outputs if into(call) is None else ()
            if call.kind == "effect":
                foreign += call.inputs
            foreign += (slot for slot in call.inputs if slot.origin != "call")
        self._foreign = {slot.seen.memory for slot in foreign}

    def escapes(self, slot: Slot) -> bool:
        """May the slot's memory be held by somebody after the step, or has it come from outside?"""
        return slot.seen.memory in self._foreign


class _Memory:
    """Memory for results, laid out once; what dies gives its memory to what comes after.

    Attributes
    ----------
    arrays : slot -> the array it always lies in
    written : the slots whose calls write into such an array
    nbytes : how much memory there is in all
    block_of : slot -> the number of the block of memory it lies in
    """

    def __init__(self, calls: Sequence[Call], groups: _Groups) -> None:
        self.arrays: dict[Slot, Array] = {}
        self.written: set[Slot] = set()
        self.nbytes = 0
        self.block_of: dict[Slot, int] = {}  # numbered in the order in which they are first needed
        self._free: list[Array] = []  # blocks of bytes
        self._numbers: dict[int, int] = {}
        self._block: dict[int, Array] = {}  # of a group
        last = {}
        for number, call in enumerate(calls):
            for slot in (*call.inputs, *call.outputs):
                last[slot.seen.memory] = number
        for number, call in enumerate(calls):
            ending = {slot.seen.memory for slot in call.inputs if last[slot.seen.memory] == number}
            if self._can_write(call, groups):
                first, *others = (slot for slot in call.outputs if not groups.escapes(slot))
                for slot in others:
                    self._place(slot)
                laid = ending & self._block.keys()
                if first is call.outputs[0] and is_elementwise(call) and self._same_layout(call, laid):
                    self._release(laid)
                self._place(first)
                self.written.update((first, *others))
            self._release(ending)
            self._release({slot.seen.memory for slot in call.outputs if last[slot.seen.memory] == number})

    @staticmethod
    def _can_write(call: Call, groups: _Groups) -> bool:
        if into(call) is None or not call.outputs:
            return False
        if not all(slot.seen.dense and slot.seen.whole for slot in call.outputs):
            return False
        if call.primitive is not None and call.primitive.has_residual and len(call.outputs) != 2:
            return False
        return not all(map(groups.escapes, call.outputs))

    @staticmethod
    def _same_layout(call: Call, ending: set[int]) -> bool:
        """Do the inputs that end here lie in memory exactly as the output will?"""
        out = call.outputs[0].seen
        return all(
            slot.seen.shape == out.shape and slot.seen.strides == out.strides and slot.seen.dtype == out.dtype
            for slot in call.inputs if slot.seen.memory in ending
        )  # fmt: skip

    def _place(self, slot: Slot) -> None:
        seen, rank = slot.seen, len(slot.seen.shape)
        size = max(seen.nbytes, 1)
        fitting = [block for block in self._free if size <= block.nbytes <= max(2 * size, 256)]
        if fitting:
            block = min(fitting, key=lambda block: block.nbytes)
            self._free = [other for other in self._free if other is not block]
        else:
            block = _aligned(size)
            self.nbytes += block.nbytes
        self._block[seen.memory] = block
        self.block_of[slot] = self._numbers.setdefault(id(block), len(self._numbers))
        flat = block[: seen.nbytes].view(seen.dtype)
        order = sorted(range(rank), key=lambda k: (-seen.strides[k], k))  # axes from the outermost in memory
        laid = flat.reshape([seen.shape[k] for k in order])
        self.arrays[slot] = laid.transpose(np.argsort(order)) if rank else laid

    def _release(self, groups: set[int]) -> None:
        for group in groups:
            block = self._block.pop(group, None)
            if block is not None:
                self._free.append(block)


def _aligned(size: int) -> Array:
    """Bytes that start at a cache line."""
    size = -(-size // 64) * 64
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + size]
