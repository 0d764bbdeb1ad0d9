"""Sums of arrays over the parts of a batch, and then over ranks.

Arrays lie side by side in flat memory, so that one message carries many. That memory is this file's own: MPI reads and
writes it while the program goes on, so nobody else may free it or write to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .world import World

__all__ = ["Bucket", "buckets", "rows_of"]

Array: TypeAlias = np.ndarray[Any, Any]

LARGEST = 1 << 22  # bytes of a bucket: its message travels while the next one is being filled


def rows_of(part: int, parts: int, length: int) -> slice:
    """Which of so many rows are those of a part, of nearly equal ones.

    >>> [rows_of(k, 3, 8) for k in range(3)]
    [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    """
    return slice(length * part // parts, length * (part + 1) // parts)


class Bucket:
    """Some arrays of one dtype, each called by a number.

    Attributes
    ----------
    places : number -> where it lies, and its shape
    missing : those that were not put yet, of the part that is being added

    The parts are added as a balanced tree: 1 + 2, 3 + 4, then both, and so on. With a power of two of parts on each
    rank this is a subtree of the tree over all parts, which `over_ranks` completes. So the sum is the same to the bit
    however many ranks share the parts.
    """

    def __init__(self, arrays: Sequence[tuple[int, tuple[int, ...], np.dtype[Any]]]) -> None:
        self.dtype = _carried(arrays[0][2])
        self.places: dict[int, tuple[slice, tuple[int, ...]]] = {}
        start = 0
        for number, shape, _ in arrays:
            count = int(np.prod(shape))
            self.places[number] = slice(start, start + count), shape
            start += count
        self.missing = set(self.places)  # of the part that is being added
        self._size, self._parts = start, 0
        self._sums: list[Array] = []  # of 1, 2, 4, ... parts
        self._free = np.empty(start, self.dtype)

    def put(self, number: int, array: Array | None, weight: float) -> bool:
        """One array of a part, times `weight`; zeros for None. Is the part complete?"""
        place, shape = self.places[number]
        here = self._free[place].reshape(shape)
        if array is None:
            here.fill(0)
        elif weight == 1:
            np.copyto(here, array)
        else:
            np.multiply(array, weight, out=here, dtype=self.dtype)
        self.missing.discard(number)
        return not self.missing

    def add(self, arrays: Sequence[Array | None], weight: float) -> None:
        """One part: those of its arrays that were not put yet."""
        for number in list(self.missing):
            self.put(number, arrays[number], weight)
        self.missing = set(self.places)
        level, total = 0, self._free
        while self._parts >> level & 1:
            np.add(self._sums[level], total, out=total)
            level += 1
        if level == len(self._sums):
            self._sums.append(np.empty(self._size, self.dtype))
        self._free, self._sums[level] = self._sums[level], total
        self._parts += 1

    @property
    def total(self) -> Array:
        """The sum over the parts, of which there were a power of two."""
        return self._sums[self._parts.bit_length() - 1]

    def begin(self, world: World) -> Any:
        """Start the sum over ranks, in the order that MPI likes; what is returned is to be waited for."""
        return world.background.Iallreduce(world.in_place, self.total)

    def over_ranks(self, world: World) -> None:
        """The sum over ranks, as the upper part of the tree. Their number is a power of two."""
        distance, theirs = 1, self._free
        while distance < world.size:
            partner = world.rank ^ distance
            world.comm.Sendrecv(self.total, partner, recvbuf=theirs, source=partner)
            np.add(self.total, theirs, out=self.total)  # the same bits on both sides, for a + b is b + a
            distance *= 2

    def take(self, into: list[Array | None]) -> None:
        """Copy the sums out, and begin anew."""
        for number, (place, shape) in self.places.items():
            into[number] = self.total[place].reshape(shape).copy()
        self._parts = 0


def buckets(shapes: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> list[Bucket]:
    """Buckets for numbered arrays, the last ones first: backward finds their gradients first."""
    found: list[Bucket] = []
    waiting: dict[np.dtype[Any], list[tuple[int, tuple[int, ...], np.dtype[Any]]]] = {}
    nbytes: dict[np.dtype[Any], int] = {}
    for number, (shape, dtype) in reversed(list(enumerate(shapes))):
        of = _carried(dtype)
        waiting.setdefault(of, []).append((number, shape, dtype))
        nbytes[of] = nbytes.get(of, 0) + int(np.prod(shape)) * of.itemsize
        if nbytes[of] >= LARGEST:
            found.append(Bucket(waiting.pop(of)))
            nbytes.pop(of)
    return found + [Bucket(arrays) for arrays in waiting.values()]


def _carried(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """In which dtype sums are made: MPI has no float16."""
    return np.dtype(np.float32) if dtype.char == "e" else dtype
