"""Stand-ins: arrays for memory that is not there yet, of which instructions are written.

A *stand-in* is an array of the same shape, dtype and strides as what will be there, so that views are taken of it by
NumPy's own means (`reshape`, `T`, slices), and give the right places. Where a stand-in is for memory of the plan, or a
constant, it is the array itself, and its address is written down. Where it is for an array that may be another one at
each run (an argument, a parameter, a result that somebody may keep) the instruction is patched at each run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from ..engine.guards import owner_of
from .calls import Call, Slot

__all__ = ["StandIns", "UnfitError"]

Array: TypeAlias = np.ndarray[Any, Any]


class UnfitError(Exception):
    """A call has no instructions: it stays a line of Python."""


class StandIns:
    """Stand-ins, and what they stand for.

    Attributes
    ----------
    views : slot -> the call that takes it as a view of another's array
    """

    def __init__(self, static: dict[Slot, Array]) -> None:
        self.views: dict[Slot, Call] = {}
        self._arrays: dict[Slot, Array] = {}
        self._patched: set[Slot] = set()
        self._owners: dict[int, tuple[Slot | None, int]] = {}  # by id of the owner: whose stand-in, and its address
        self._kept: list[Array] = []
        self._free: list[Array] = []
        self._used: list[Array] = []
        for slot, array in static.items():
            self.know(slot, array, None)

    def know(self, slot: Slot, array: Array, patched: Slot | None) -> None:
        """What stands in for a slot; `patched` is the slot whose array is given at each run."""
        self._arrays[slot] = array
        self._own(array, patched)

    def _own(self, array: Array, patched: Slot | None) -> None:
        self._kept.append(array)  # so that no other gets its id
        self._owners.setdefault(id(owner_of(array)), (patched, _address(array)))

    def of(self, slot: Slot) -> Array:
        """The stand-in of a slot."""
        if slot not in self._arrays:
            if slot.origin == "constant":
                self.know(slot, np.asarray(slot.value), None)
            elif slot in self._patched:
                self._stand_in(slot)
        array = self._arrays.get(slot)
        if array is None or not (array.flags.aligned and array.dtype.isnative and array.size):
            raise UnfitError
        return array

    def given(self, slot: Slot) -> None:
        """The array of a slot is given at each run, with the layout that was seen."""
        self._patched.add(slot)

    def _stand_in(self, slot: Slot) -> None:
        seen = slot.seen
        low = sum(min(0, step * (n - 1)) for n, step in zip(seen.shape, seen.strides, strict=True))
        high = sum(max(0, step * (n - 1)) for n, step in zip(seen.shape, seen.strides, strict=True))
        if 0 in seen.shape or seen.dtype.hasobject:
            return
        block = np.empty(high - low + seen.dtype.itemsize, np.uint8)
        self.know(slot, np.ndarray(seen.shape, seen.dtype, block, -low, seen.strides), slot)

    def find(self, array: Array) -> tuple[Slot | None, int]:
        """Where an array lies: in that of a slot, so many bytes on; or (None) at an address."""
        found = self._owners.get(id(owner_of(array)))
        if found is None:  # a copy, not a view
            raise UnfitError
        slot, start = found
        return (None, _address(array)) if slot is None else (slot, _address(array) - start)

    def holds(self, array: Array) -> bool:
        """Is this a view of memory that is known?"""
        return id(owner_of(array)) in self._owners

    def scratch(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Memory that a call needs while it runs."""
        size = math.prod(shape) * dtype.itemsize
        fitting = [block for block in self._free if block.nbytes >= size]
        block = min(fitting, key=lambda block: block.nbytes) if fitting else np.empty(max(size, 64), np.uint8)
        self._free = [other for other in self._free if other is not block]
        self._used.append(block)
        self._own(block, None)
        return block[:size].view(dtype).reshape(shape)

    def constant(self, array: Array) -> Array:
        self._own(array, None)
        return array

    def release(self) -> None:
        """The scratch memory of a call is free again."""
        self._free += self._used
        self._used = []

    def finish(self) -> None:
        """All is written: what was nothing but a stand-in may go."""

        def lasts(array: Array) -> bool:
            return self._owners[id(owner_of(array))][0] is None

        self._arrays = {slot: array for slot, array in self._arrays.items() if lasts(array)}
        self._kept = [array for array in self._kept if lasts(array)]
        self._owners, self._free = {}, []


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
