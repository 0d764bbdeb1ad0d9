"""The instructions of a program, as they are written: a table that one compiled function goes through."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..kernels.loops import loop
from .calls import Call, Slot
from .into import ROUNDED
from .standins import StandIns, UnfitError

__all__ = ["Instructions", "machine"]

Array: TypeAlias = np.ndarray[Any, Any]

MOST_ROWS = 1 << 6  # instructions for one call
MOST_PRODUCT = 1 << 21  # multiply-adds of a product; larger ones are for BLAS and its threads
MOST_NARROW = 1 << 14  # the same where vectors have but 16 bytes: there BLAS is quicker

# Of these, the loops of NumPy (2.4) write wrong values at times where there are gaps between them.
DENSE = (np.negative, np.isnan, np.isfinite)


class Instructions:
    """The instructions of one program, as they are written.

    Attributes
    ----------
    table : the instructions
    objects : slots of the arrays that the program is given at each run
    checks : instruction number -> the call that it checks for
    """

    def __init__(self, memory: StandIns) -> None:
        self.memory, self.table = memory, machine().Table()
        self.objects: list[Slot] = []
        self.checks: dict[int, Call] = {}

    def mark(self) -> tuple[int, int]:
        """How much there is, to come back to."""
        return len(self.table.rows), len(self.objects)

    def reset(self, mark: tuple[int, int]) -> None:
        self.table.reset(mark[0])
        del self.objects[mark[1] :]
        self.checks = {number: call for number, call in self.checks.items() if number < mark[0]}

    def _add(self, name: str, *words: Any) -> None:
        """An instruction: numbers, and arrays, of which the addresses are meant."""
        places = (self._place(word) if isinstance(word, np.ndarray) else word for word in words)
        self.table.add([getattr(machine(), name), *places])

    def _place(self, array: Array) -> Any:
        slot, offset = self.memory.find(array)
        if slot is None:
            return offset
        if slot not in self.objects:
            self.objects.append(slot)
        return machine().Given(self.objects.index(slot), offset, array.dtype.alignment)

    def loop(self, ufunc: np.ufunc, *operands: Any) -> None:
        """``ufunc(*operands)``, the last of them the output, the others arrays that broadcast to it, or numbers."""
        *given, out = operands
        dtypes = _dtypes(ufunc, given)
        found = loop(ufunc, dtypes)
        if found is None or dtypes[-1] != out.dtype or len(operands) > 3:
            raise UnfitError
        arrays = [self.cast(x, dtype) for x, dtype in zip(given, dtypes, strict=False)]
        if ufunc in ROUNDED.values() and any(step < 0 for x in arrays for step in x.strides):
            raise UnfitError
        arrays = [*(np.broadcast_to(x, out.shape) for x in arrays), out]
        for places, (n, steps), (count, row_steps) in _levels(out.shape, arrays):
            addresses = [_at(x, place) for x, place in zip(arrays, places, strict=True)]
            if ufunc in DENSE and n > 1 and steps[-1] != out.itemsize:
                raise UnfitError
            self._add("LOOP", *found, n, count, *_three(addresses), *_three(steps), *_three(row_steps))

    def new(self, ufunc: np.ufunc, *given: Any) -> Array:
        """``ufunc(*given)`` in scratch memory."""
        shape = np.broadcast_shapes(*map(np.shape, given))
        out = self.memory.scratch(shape, _dtypes(ufunc, given)[-1])
        self.loop(ufunc, *given, out)
        return out

    def cast(self, x: Any, dtype: np.dtype[Any]) -> Array:
        """A number or an array as an array of a dtype."""
        if not isinstance(x, np.ndarray):
            with np.errstate(all="ignore"):
                return self.memory.constant(np.array(x, dtype))
        if x.dtype == dtype:
            return x
        kind = _CASTS.get((x.dtype.char, dtype.char))
        if kind is None or not x.flags.c_contiguous or not x.dtype.isnative:
            raise UnfitError
        y = self.memory.scratch(x.shape, dtype)
        self._add("CAST", kind, x.size, x, y)
        return y

    def fill(self, number: float, out: Array) -> None:
        self.loop(np.positive, self.memory.constant(np.array(number, out.dtype)), out)

    def copy(self, x: Array, out: Array) -> None:
        self.loop(np.positive, x, out)

    def reduce(self, ufunc: np.ufunc, x: Array, axes: Sequence[int], out: Array) -> None:
        """``ufunc.reduce`` over axes; `out` has a 1 in their places."""
        first = (*(slice(0, 1) if k in axes else slice(None) for k in range(x.ndim)), ...)
        if ufunc is np.add:
            self.fill(0, out)
        else:
            self.copy(x[first], out)
        sums = np.broadcast_to(out, x.shape)
        self.loop(ufunc, sums, x, sums)

    def product(self, a: Array, b: Array, y: Array) -> None:
        """y = a @ b, all matrices."""
        (m, k), n, size = a.shape, b.shape[1], y.itemsize
        if not (a.dtype == b.dtype == y.dtype and y.dtype.char in "fd" and y.dtype.isnative):
            raise UnfitError
        most = MOST_PRODUCT if machine().VECTOR_BYTES > 16 else MOST_NARROW
        if m * n * k > (most if n > 1 else min(most, MOST_NARROW)):  # one column fills one lane
            raise UnfitError
        if n > 1 and y.strides[1] != size:
            raise UnfitError
        if n > 1 and b.strides[1] != size:
            b, given = self.memory.scratch(b.shape, b.dtype), b
            self.copy(given, b)
        self._add("PRODUCT", size, m, n, k, a, *a.strides, b, b.strides[0], y, y.strides[0])

    def move(self, call: Call, labels: Array, source: Array, to: Array) -> None:
        """to[r, label r] = source[r, label r], where one of them may have but one column, whatever the label."""
        size, classes = to.itemsize, max(to.shape[1], source.shape[1])
        if source.dtype != to.dtype or size not in (4, 8):
            raise UnfitError
        self.check(call, labels, -classes, classes)
        (row, column), (from_row, from_column) = to.strides, source.strides
        column, from_column = column * (to.shape[1] > 1), from_column * (source.shape[1] > 1)
        kind, step = _label_kind(labels), labels.strides[0]
        places = to, row, column, source, from_row, from_column
        self._add("MOVE", size, len(labels), labels, kind, step, *places, classes)

    def select(self, condition: Array, yes: Any, no: Any, out: Array) -> None:
        if not isinstance(condition, np.ndarray) or condition.dtype != bool or out.itemsize not in (4, 8):
            raise UnfitError
        arrays = [condition, self.cast(yes, out.dtype), self.cast(no, out.dtype)]
        arrays = [*(np.broadcast_to(x, out.shape) for x in arrays), out]
        for places, (n, steps), (count, row_steps) in _levels(out.shape, arrays):
            addresses = [_at(x, place) for x, place in zip(arrays, places, strict=True)]
            self._add("SELECT", out.itemsize, n, count, *addresses, *steps, *row_steps)

    def check(self, call: Call, labels: Array, low: int, high: int) -> None:
        """Stop unless all labels are in low ... high - 1; the call then says what is wrong."""
        if labels.ndim != 1:
            raise UnfitError
        self.checks[len(self.table.rows)] = call
        self._add("CHECK", labels, _label_kind(labels), labels.strides[0], len(labels), low, high)


_CASTS = {("?", "f"): 0, ("?", "d"): 1, ("f", "d"): 2, ("d", "f"): 3, ("l", "d"): 4, ("q", "d"): 4}


def _label_kind(labels: Array) -> int:
    kind = {"i8": 8, "i4": 4, "i1": 1, "u1": -1}.get(labels.dtype.str[1:])
    if kind is None or not labels.dtype.isnative:
        raise UnfitError
    return kind


def machine() -> Any:
    """The module that runs programs."""
    from ..kernels.compiled import program  # which imports Numba

    return program


def _three(words: Sequence[Any]) -> list[Any]:
    return [*words, *[0] * (3 - len(words))]


def _at(x: Array, place: tuple[int, ...]) -> Array:
    """The part of an array that starts at a place, of which the address is the array's."""
    return x[tuple(slice(k, None) for k in place)] if any(place) else x


def _dtypes(ufunc: np.ufunc, given: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
    """The dtypes that a ufunc computes with, its output's last; Python's numbers have none of their own."""
    kinds = [x.dtype if isinstance(x, np.ndarray) else type(x) for x in given]
    try:
        return ufunc.resolve_dtypes((*kinds, None))
    except TypeError:
        raise UnfitError from None


Level: TypeAlias = tuple[int, tuple[int, ...]]  # how many, and bytes from one to the next in each array


def _levels(shape: Sequence[int], arrays: Sequence[Array]) -> Iterator[tuple[Any, Level, Level]]:
    """Going through arrays of one shape as rows of elements: for each group of rows where it starts, in each array;
    the elements of a row; and the rows.

    Axes are taken in the order in which they lie in memory, and as one where they lie so in all arrays.
    """
    axes: list[tuple[list[int], int, tuple[int, ...]]] = []  # which axes, how long together, steps
    every = [(axis, n, tuple(x.strides[axis] for x in arrays)) for axis, n in enumerate(shape) if n > 1]
    for axis, n, steps in sorted(every, key=lambda each: -max(map(abs, each[2]))):
        if axes and all(before == step * n for before, step in zip(axes[-1][2], steps, strict=True)):
            numbers, count, _ = axes.pop()
            axes.append(([*numbers, axis], count * n, steps))
        else:
            axes.append(([axis], n, steps))
    still: Level = (1, (0,) * len(arrays))
    inner = axes.pop()[1:] if axes else still
    rows = axes.pop()[1:] if axes else still
    if inner[0] < 8 and inner[0] < rows[0]:
        inner, rows = rows, inner
    if math.prod(count for _, count, _ in axes) > MOST_ROWS:
        raise UnfitError
    for place in np.ndindex(*(count for _, count, _ in axes)):
        start = [0] * len(shape)
        for (numbers, _, _), k in zip(axes, place, strict=True):
            for axis, at in zip(numbers, np.unravel_index(k, [shape[a] for a in numbers]), strict=True):
                start[axis] = int(at)
        yield [tuple(start)] * len(arrays), inner, rows
