"""Memory for the results of a plan's calls, laid out once: what dies gives its memory to what comes after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .calls import Call, Slot, replaced
from .into import into, is_elementwise, is_view
from .ours import ours

__all__ = ["Layout"]

Array: TypeAlias = np.ndarray[Any, Any]


class Layout:
    """Where the results of a plan's calls lie.

    Attributes
    ----------
    calls : those that are left to run: views of memory that never moves are taken now, once
    arrays : slot -> the array it always lies in
    written : the slots whose calls write into such an array
    nbytes : how much memory there is in all
    block_of : slot -> the number of the block of memory it lies in
    """

    def __init__(self, calls: Sequence[Call], arguments: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        self._foreign = _foreign(calls, arguments, outputs)
        self.arrays: dict[Slot, Array] = {}
        self.written: set[Slot] = set()
        self.nbytes = 0
        self.block_of: dict[Slot, int] = {}  # numbered in the order in which they are first needed
        self._free: list[Array] = []  # blocks of bytes
        self._numbers: dict[int, int] = {}
        self._block: dict[int, Array] = {}  # of slots that share memory
        self._views: dict[Slot, Slot] = {}
        self._lay_out(calls)
        self.calls = self._without_views(calls)

    def seen_as(self, slot: Slot) -> Slot:
        """The slot that a slot is a view of, if the view was taken once and for all; else the slot itself."""
        while slot in self._views:
            slot = self._views[slot]
        return slot

    def _escapes(self, slot: Slot) -> bool:
        """May the slot's memory be held by somebody after the step, or has it come from outside?"""
        return slot.seen.memory in self._foreign

    def _lay_out(self, calls: Sequence[Call]) -> None:
        last = {}
        for number, call in enumerate(calls):
            for slot in (*call.inputs, *call.outputs):
                last[slot.seen.memory] = number
        for number, call in enumerate(calls):
            ending = {slot.seen.memory for slot in call.inputs if last[slot.seen.memory] == number}
            if self._can_write(call):
                first, *others = (slot for slot in call.outputs if not self._escapes(slot))
                for slot in others:
                    self._place(slot)
                laid = ending & self._block.keys()
                if first is call.outputs[0] and is_elementwise(call) and self._same_layout(call, laid):
                    self._release(laid)
                self._place(first)
                self.written.update((first, *others))
            self._release(ending)
            self._release({slot.seen.memory for slot in call.outputs if last[slot.seen.memory] == number})

    def _can_write(self, call: Call) -> bool:
        if into(call) is None or not call.outputs:
            return False
        if not all(slot.seen.dense and slot.seen.whole for slot in call.outputs):
            return False
        if call.primitive is not None and call.primitive.has_residual and len(call.outputs) != 2:
            return False
        return not all(map(self._escapes, call.outputs))

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
            block = aligned(size)
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

    def _without_views(self, calls: Sequence[Call]) -> list[Call]:
        left = []
        for call in calls:
            if is_view(call) and not self._escapes(call.outputs[0]):
                slots = list(call.inputs)
                if len(slots) == 1 and slots[0] in self.arrays:
                    args, kwargs = (replaced(tree, self._laid) for tree in (call.args, call.kwargs))
                    view = call.function(*args, **kwargs)
                    if view.base is not None and np.may_share_memory(view, self.arrays[slots[0]]):
                        self.arrays[call.outputs[0]] = view
                        self._views[call.outputs[0]] = slots[0]
                        continue
            left.append(call)
        return left

    def _laid(self, leaf: Any) -> Any:
        return self.arrays[leaf] if isinstance(leaf, Slot) else leaf


def aligned(size: int) -> Array:
    """Bytes that start at a cache line."""
    size = -(-size // 64) * 64
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + size]


def _foreign(calls: Sequence[Call], arguments: Sequence[Slot], outputs: Sequence[Slot]) -> set[int]:
    """Memory that is not the plan's to reuse: it is given, somebody may hold it later, or nobody knows."""
    foreign = [*arguments, *outputs]
    for call in calls:
        if call.kind in ("effect", "load", "compute"):
            foreign += call.outputs if into(call) is None else ()
        foreign += (slot for slot in call.inputs if slot.origin != "call" or not ours(call))
    return {slot.seen.memory for slot in foreign}
