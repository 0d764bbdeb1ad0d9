"""`Plan`: a recorded step as a flat list of calls on memory that is laid out once.

From a tape to a plan: calls whose results nobody needs are dropped; what depends on constants alone is computed once;
values that die give their memory to later ones; views of memory that never moves are taken once. What is left is
written out as one Python function, a line per call, which `Plan.source` shows.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import finalize

import numpy as np

from ..errors import ArgumentError
from . import telling
from .calls import Call, Slot, replaced
from .chains import Chain, between, chained
from .fusing import fused
from .into import into, is_elementwise, is_total, is_view
from .ours import ours
from .owning import owned
from .program import Program, Programs, wanted
from .raising import can_explain, explained, raised_by
from .source import written
from .tape import Tape
from .updates import Update

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
    steps : the same calls, those of a program together
    updates : what runs in the place of an optimiser's step
    static, written : the slots whose arrays never move, and those that calls write in such
    source : the Python function that runs
    """

    def __init__(self, name: str, tape: Tape, outputs: Sequence[Slot]) -> None:
        self.name = name
        self.arguments = tape.arguments
        calls, self.outputs = owned(_needed(tape.calls, outputs), outputs, tape.fresh())
        self.calls = chained(fused(calls, self.outputs), self.outputs)
        self.recorded = len(tape.calls)
        self._groups = _Groups(self)
        self._memory = _Memory(self.calls, self._groups)
        self.static, self.written = self._memory.arrays, self._memory.written
        self._views: dict[Slot, Slot] = {}
        self._take_views()
        self.steps: Sequence[Call | Program] = self.calls
        self.updates: dict[Call, Update] = {}
        if wanted():
            self.steps = Programs(self.calls, self.arguments, self.static).steps
            self.updates = {call: update for call in self.calls if (update := Update.of(call)) is not None}
        file, self.source, self._function, self._lines = written(self, self.steps)
        finalize(self, linecache.cache.pop, file, None)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arguments of the same signature."""
        try:
            return self._function(arrays)  # type: ignore[no-any-return]
        except (ValueError, TypeError, IndexError) as error:
            call = raised_by(error.__traceback__, self._function.__code__, self._lines)
            if not can_explain(call, error):
                raise
            raise explained(call, error) from error

    # -- telling ---------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """The bytes of memory that are laid out for results."""
        return self._memory.nbytes

    def summary(self) -> str:
        """A table: each call with module, result, FLOPs, bytes read and written, where its result lies, its program."""
        return telling.table(self)

    def __graph__(self, *args: Any, **options: Any) -> Graph:
        """The calls as a `Graph`: what `tg.draw(plan)` draws. A plan knows what they cost, but not their numbers."""
        if args:
            raise ArgumentError(f"draw: expected a plan alone, for it knows its shapes; got {len(args)} more arguments")
        return telling.graph(self)

    def memory_of(self, call: Call) -> str:
        """Where the results of a call lie: in which block of the plan's memory, or in new memory at each run."""
        return ", ".join(map(self._place, call.outputs))

    def _place(self, slot: Slot) -> str:
        block = self._memory.block_of.get(slot)
        return f"block {block}" if block is not None else self._between.get(slot, "new")

    def runs_in(self, call: Call) -> str:
        """Which chain or program a call is in; nothing for a line of Python."""
        return "update" if call in self.updates else self._runs_in.get(call, "")

    @cached_property
    def _between(self) -> dict[Slot, str]:
        return {slot: f"{k} of {n} at a time" for slot, k, n in between(self.calls)}

    @cached_property
    def _runs_in(self) -> dict[Call, str]:
        chains = (call.function for call in self.calls if isinstance(call.function, Chain))
        programs = (step for step in self.steps if isinstance(step, Program))
        names = {call: f"chain_{k}" for k, chain in enumerate(chains, 1) for call in chain.calls}
        return names | {call: f"program_{k}" for k, program in enumerate(programs, 1) for call in program.calls}

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
            if is_view(call) and not self._groups.escapes(call.outputs[0]):
                slots = list(call.inputs)
                if len(slots) == 1 and slots[0] in self.static:
                    args, kwargs = (replaced(tree, self._now) for tree in (call.args, call.kwargs))
                    view = call.function(*args, **kwargs)
                    if view.base is not None and np.may_share_memory(view, self.static[slots[0]]):
                        self.static[call.outputs[0]] = view
                        self._views[call.outputs[0]] = slots[0]
                        continue
            left.append(call)
        self.calls = left

    def _now(self, leaf: Any) -> Any:
        return self.static[leaf] if isinstance(leaf, Slot) else leaf


# ------------------------------------------------------------------------------------------------------------------
# Passes over the calls


def _needed(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls that something depends on: an output, or an effect; and those that may raise."""
    wanted = set(outputs)
    kept = []
    for call in reversed(calls):
        if not is_total(call) or not wanted.isdisjoint(call.outputs):
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
            foreign += (slot for slot in call.inputs if slot.origin != "call" or not ours(call))
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
