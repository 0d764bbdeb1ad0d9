"""Elementwise calls in a row, made into one: a block of the arrays at a time, that stays in the cache.

Ten operations on arrays of ten megabytes go ten times through memory; a chain of them goes once, and what is needed in
between only is never larger than a block. Each element is computed by the same operations, so results are the same to
the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .into import into, is_ufunc
from .tape import Call, Slot

__all__ = ["Chain", "chained"]

WORTHWHILE = 1 << 20  # bytes: smaller arrays stay in the cache as they are
BLOCK_BYTES = 1 << 17  # of each array at a time


class Chain:
    """Some elementwise calls as one function: ``chain(*inputs, out=outputs)``.

    Inputs that are as long as the outputs are cut into blocks along the first axis; others (a bias, a scale) broadcast.
    """

    def __init__(self, calls: Sequence[Call], inputs: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        shape = outputs[0].seen.shape
        made = [slot for call in calls for slot in call.outputs]
        between = [slot for slot in made if slot not in outputs]
        self._place = {slot: k for k, slot in enumerate((*inputs, *outputs, *between))}
        self._cut = [_is_cut(slot, shape) for slot in inputs]
        self._outputs = [(slot.seen.shape, slot.seen.dtype) for slot in outputs]
        self._between = [slot.seen.dtype for slot in between]
        self._rows = max(1, BLOCK_BYTES * len(made) // max(1, sum(slot.seen.nbytes for slot in made) // shape[0]))
        self._steps: list[tuple[Any, Any, Any]] = [
            (into(call), self._read(call), self._written(call)) for call in calls
        ]

    def _read(self, call: Call) -> list[tuple[bool, Any]]:
        """For each argument of a call: (True, its place), or (False, the number it is)."""
        return [(True, self._place[arg]) if isinstance(arg, Slot) else (False, arg) for arg in call.args]

    def _written(self, call: Call) -> list[int]:
        return [self._place[slot] for slot in call.outputs]

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        outs = out if isinstance(out, tuple) else (out,)
        if out is None:
            outs = tuple(np.empty(shape, dtype) for shape, dtype in self._outputs)
        n, *rest = outs[0].shape
        spare = [np.empty((min(self._rows, n), *rest), dtype) for dtype in self._between]
        for start in range(0, n, self._rows):
            stop = min(start + self._rows, n)
            here = [a[start:stop] if cut else a for a, cut in zip(arrays, self._cut, strict=True)]
            here += [a[start:stop] for a in outs]
            here += [a[: stop - start] for a in spare]
            for function, read, written in self._steps:
                given = [here[what] if is_place else what for is_place, what in read]
                target = [here[place] for place in written]
                function(*given, out=target[0] if len(target) == 1 else tuple(target))
        return outs if len(outs) > 1 else outs[0]


def chained(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls, with each row of elementwise ones on large arrays made into one."""
    last: dict[Slot, int] = {}
    for number, call in enumerate(calls):
        for slot in call.inputs:
            last[slot] = number
    for slot in outputs:
        last[slot] = len(calls)
    left: list[Call] = []
    row: list[Call] = []
    for number, call in enumerate(calls):
        if call.kind == "load":  # reading a tensor can as well be done before the row
            left.append(call)
            continue
        if row and not _goes_on(call, row):
            left += _joined(row, last, number)
            row = []
        if _can_start(call) or row:
            row.append(call)
        else:
            left.append(call)
    return left + _joined(row, last, len(calls))


def _can_start(call: Call) -> bool:
    """Is a call elementwise, on large arrays that lie in memory in order?"""
    if not is_ufunc(call) or call.kwargs or not call.outputs:
        return False
    seen = call.outputs[0].seen
    if any(slot.seen.shape != seen.shape or not slot.seen.contiguous for slot in call.outputs):
        return False
    if not (seen.contiguous and seen.whole and seen.shape and seen.nbytes >= max(WORTHWHILE, 1)):
        return False
    return all(_fits(slot, seen.shape) for slot in call.inputs)


def _goes_on(call: Call, row: Sequence[Call]) -> bool:
    return _can_start(call) and call.outputs[0].seen.shape == row[0].outputs[0].seen.shape


def _fits(slot: Slot, shape: tuple[int, ...]) -> bool:
    """Can an array be cut as the outputs are, or left whole?"""
    own = slot.seen.shape
    return len(own) < len(shape) or (len(own) == len(shape) and own[0] in (1, shape[0]))


def _is_cut(slot: Slot, shape: tuple[int, ...]) -> bool:
    own = slot.seen.shape
    return len(own) == len(shape) and own[0] == shape[0] and shape[0] > 1


def _joined(row: Sequence[Call], last: dict[Slot, int], after: int) -> list[Call]:
    """A row as one call; as it is, if it is too short."""
    if len(row) < 2:
        return list(row)
    made = {slot for call in row for slot in call.outputs}
    outputs = [slot for call in row for slot in call.outputs if last.get(slot, -1) >= after]
    if not outputs:
        return list(row)
    inputs = list(dict.fromkeys(slot for call in row for slot in call.inputs if slot not in made))
    results: list[Any] = [()] if len(outputs) == 1 else [(k,) for k in range(len(outputs))]
    name = f"chain of {len(row)} ({', '.join(call.name for call in row[:4])}{', ...' if len(row) > 4 else ''})"
    first = row[0]
    return [
        Call(
            "chain", name, Chain(row, inputs, outputs), tuple(inputs), {}, outputs, results, path=first.path,
            source=first.source, backward=first.backward,
        )
    ]  # fmt: skip
