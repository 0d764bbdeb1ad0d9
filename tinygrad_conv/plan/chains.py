"""Calls in a row made into one, that goes through the batch once: some images at a time, that stay in the cache.

Ten operations on arrays of ten megabytes go ten times through memory; a chain of them goes once, and what is needed in
between only is never larger than a block. Threads take a part of the batch each, for the whole chain.

In a chain are elementwise operations, with results the same to the bit. Where compiled kernels are wanted there are
convolutions and all that goes image by image as well, and sums over the batch, whose blocks are added up: these differ
as two orders of a sum do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from inspect import signature
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..kernels import registry as kernels
from ..kernels.scratch import blocks, scratch
from ..kernels.threads import shared, worth
from ..kernels.wanted import choice
from .calls import Call, Slot, parts, replaced
from .into import ROUNDED, into, is_ufunc
from .ours import ours

__all__ = ["Chain", "between", "chained", "unchained"]

Array: TypeAlias = np.ndarray[Any, Any]

WORTHWHILE = 1 << 20  # bytes of a result: smaller arrays stay in the cache as they are
BLOCK_BYTES = 1 << 17  # at a time of each array of elementwise operations
MOST_BYTES = 1 << 22  # at a time of all arrays together
MOST_WHOLE = 1 << 19  # bytes that every block reads, such as kernels: for more, blocks would have to be too large


class Piece(NamedTuple):
    """A call that goes through a batch of n images.

    ``cut`` says which of its arguments are cut along the first axis, ``kinds`` which of its results are ("n") or are a
    sum over the batch ("+"); ``work`` is about so many multiply-adds.
    """

    call: Call
    n: int
    args: Sequence[Any]
    cut: Sequence[bool]
    kwargs: dict[str, Any]  # slots in it are not cut
    kinds: Sequence[str]
    work: int

    @property
    def elementwise(self) -> bool:
        return is_ufunc(self.call)

    def read(self) -> Iterator[tuple[Slot, bool]]:
        """The slots among its arguments, and whether they are cut."""
        for arg, cut in zip(self.args, self.cut, strict=True):
            if isinstance(arg, Slot):
                yield arg, cut
        yield from ((part, False) for part in parts(self.kwargs) if isinstance(part, Slot))

    def made(self, kind: str) -> set[Slot]:
        return {slot for slot, own in zip(self.call.outputs, self.kinds, strict=True) if own == kind}


def chained(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls, with those in a row that go through the batch together made into one."""
    last: dict[Slot, int] = {}
    for number, call in enumerate(calls):
        for slot in call.inputs:
            last[slot] = number
    for slot in outputs:
        last[slot] = len(calls)
    left: list[Call] = []
    row: list[Piece] = []
    for number, call in enumerate(calls):
        piece = _piece(call)
        if row and not (piece is not None and _goes_on(piece, row)):
            if call.kind != "effect" and not any(set(one.call.outputs) & set(call.inputs) for one in row):
                left.append(call)  # it can as well be done before the row
                continue
            left += _joined(row, last, number)
            row = []
        if piece is not None and (row or _can_start(piece)):
            row.append(piece)
        else:
            left.append(call)
    return left + _joined(row, last, len(calls))


def unchained(calls: Sequence[Call]) -> list[Call]:
    """The calls with those of chains by themselves."""
    return [one for call in calls for one in (call.function.calls if isinstance(call.function, Chain) else [call])]


def between(calls: Sequence[Call]) -> Iterator[tuple[Slot, int, int]]:
    """What is made in chains, and never there as a whole; how many images at a time, and of how many."""
    for call in calls:
        if isinstance(chain := call.function, Chain):
            for slot in {slot for one in chain.calls for slot in one.outputs}.difference(call.outputs):
                yield slot, chain.images, chain.n


# ------------------------------------------------------------------------------------------------------------------
# What goes through the batch


def _piece(call: Call) -> Piece | None:
    """How a call goes through the batch; None if it does not, or its results do not lie in memory in order."""
    if not call.outputs or not all(slot.seen.contiguous and slot.seen.whole for slot in call.outputs):
        return None
    if is_ufunc(call):
        return _elementwise(call)
    kernel, x = into(call), call.args[0].seen if call.args and isinstance(call.args[0], Slot) else None
    if choice() == "plain" or kernel is None or x is None or not x.shape:
        return None  # products by BLAS depend, in the last bit, on how many rows there are
    n, size = x.shape[0], prod(x.shape)
    if ours(call) == "sum_to":
        over_batch = call.kwargs["shape"] == x.shape[-1:]
        return Piece(call, n, call.args, [True], call.kwargs, "+", 8 * size) if over_batch else None
    if ours(call) == "_standardize":
        given = call.kwargs["axes"] == tuple(range(len(x.shape) - 1)) and call.kwargs.get("statistics") is not None
        return Piece(call, n, call.args, [True], call.kwargs, "n", 16 * size) if given else None
    if not isinstance(kernel, kernels.Kernel) or kernel.batch is None:
        return None
    taken, kinds = (text.split(",") for text in kernel.batch.split(" -> "))
    kwargs = dict(call.kwargs)
    names = list(signature(kernel.plain).parameters)[len(call.args) : len(taken)]
    args = [*call.args, *(kwargs.pop(name) for name in names)]
    like = [np.broadcast_to(np.empty((), arg.seen.dtype), arg.seen.shape) for arg in args]
    return Piece(call, n, args, [kind == "n" for kind in taken], kwargs, kinds, kernel.work(*like, **kwargs))


def _elementwise(call: Call) -> Piece | None:
    shape = call.outputs[0].seen.shape
    if call.kwargs or not shape or any(slot.seen.shape != shape for slot in call.outputs):
        return None
    if ours(call) in ROUNDED and any(step < 0 for slot in call.inputs for step in slot.seen.strides):
        return None
    cut = []
    for arg in call.args:
        own: tuple[int, ...] = arg.seen.shape if isinstance(arg, Slot) else ()
        cut.append(len(own) == len(shape) and own[0] == shape[0] > 1)
        if len(own) == len(shape) and not cut[-1] and own[0] != 1:
            return None
    return Piece(call, shape[0], call.args, cut, {}, "n" * len(call.outputs), 16 * prod(shape))


def _can_start(piece: Piece) -> bool:
    return piece.n > 1 and max(slot.seen.nbytes for slot in piece.call.outputs) >= WORTHWHILE


def _goes_on(piece: Piece, row: Sequence[Piece]) -> bool:
    """Can a call go through the batch together with those of a row?"""
    if piece.n != row[0].n:
        return False
    pieces, sums = ({slot for one in row for slot in one.made(kind)} for kind in "n+")
    if any(slot in sums or (slot in pieces and not cut) for slot, cut in piece.read()):
        return False  # it needs the whole of what is made in the row
    together = [*row, piece]
    if all(one.elementwise for one in together):
        return _can_start(piece) and piece.call.outputs[0].seen.shape == row[0].call.outputs[0].seen.shape
    whole = {slot for one in together for slot, cut in one.read() if not cut}
    return sum(slot.seen.nbytes for slot in whole) <= MOST_WHOLE


def _joined(row: Sequence[Piece], last: dict[Slot, int], after: int) -> list[Call]:
    """A row as one call; as it is, if it is too short."""
    calls = [piece.call for piece in row]
    outputs = [slot for call in calls for slot in call.outputs if last.get(slot, -1) >= after]
    if len(calls) < 2 or not outputs:
        return calls
    made = {slot for call in calls for slot in call.outputs}
    inputs = list(dict.fromkeys(slot for call in calls for slot in call.inputs if slot not in made))
    results: list[Any] = [()] if len(outputs) == 1 else [(k,) for k in range(len(outputs))]
    name = f"chain of {len(row)} ({', '.join(call.name for call in calls[:4])}{', ...' if len(row) > 4 else ''})"
    return [
        Call(
            "chain", name, Chain(row, inputs, outputs), tuple(inputs), {}, outputs, results, path=calls[0].path,
            source=calls[0].source, backward=calls[0].backward,
        )
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Going through it


class _Step(NamedTuple):
    """A call of a chain. What it reads and where it writes are places in the list of a block's arrays."""

    function: Any
    read: Sequence[tuple[bool, Any]]  # (True, a place), or (False, the number it is)
    named: dict[str, Any]  # slots in it are not cut
    written: Sequence[int]


class Chain:
    """Some calls as one function: ``chain(*inputs, out=outputs)``.

    Attributes
    ----------
    calls : in the order in which they run
    n, images : how many images there are, and go through it at a time
    """

    def __init__(self, row: Sequence[Piece], inputs: Sequence[Slot], outputs: Sequence[Slot]) -> None:
        self.calls = [piece.call for piece in row]
        self.n, self._work = row[0].n, sum(piece.work for piece in row)
        kinds = {slot: kind for piece in row for slot, kind in zip(piece.call.outputs, piece.kinds, strict=True)}
        made = [*outputs, *(slot for slot in kinds if slot not in outputs)]
        self._made = [(kinds[slot] == "+", slot.seen.shape, slot.seen.dtype) for slot in made]
        self._outputs, self._inputs = len(outputs), list(inputs)
        read = list(dict.fromkeys(pair for piece in row for pair in piece.read() if pair[0] not in kinds))
        self._read = [(inputs.index(slot), cut) for slot, cut in read]
        # In a block's arrays there is first what is read, then what is made.
        place = {pair: k for k, pair in enumerate(read)} | {(slot, True): k for k, slot in enumerate(made, len(read))}
        self._steps = [
            _Step(
                into(piece.call),
                [
                    (True, place[arg, cut]) if isinstance(arg, Slot) else (False, arg)
                    for arg, cut in zip(piece.args, piece.cut, strict=True)
                ],
                piece.kwargs,
                [place[slot, True] for slot in piece.call.outputs],
            )
            for piece in row
        ]
        each = [slot.seen.nbytes // self.n for slot in made if kinds[slot] == "n"]
        if all(piece.elementwise for piece in row):
            most = BLOCK_BYTES * len(each)
        else:
            most, each = MOST_BYTES, each + [slot.seen.nbytes // self.n for slot, cut in read if cut]
        self.images = min(max(1, most // max(1, sum(each))), self.n)

    def __call__(self, *arrays: Array, out: Any = None) -> Any:
        outs = out if isinstance(out, tuple) else (out,)
        if out is None:
            outs = tuple(np.empty(shape, dtype) for _, shape, dtype in self._made[: self._outputs])
        count = worth(self._work, self.n)
        if count < 2:
            self._go(slice(0, self.n), arrays, outs)
            return outs if len(outs) > 1 else outs[0]
        # Sums over the images of the first thread are taken where the result is to be, those of others added to it.
        sums = [is_sum for is_sum, _, _ in self._made[: self._outputs]]
        shares = []
        for k, part in enumerate(blocks(self.n, count, self.n)):
            to = [np.empty_like(out) if k and is_sum else out for out, is_sum in zip(outs, sums, strict=True)]
            shares.append((part, arrays, to))
        shared([partial(self._go, *share) for share in shares])
        for _, _, to in shares[1:]:
            for total, more, is_sum in zip(outs, to, sums, strict=True):
                if is_sum:
                    total += more
        return outs if len(outs) > 1 else outs[0]

    def _go(self, part: slice, arrays: Sequence[Array], outs: Sequence[Array]) -> None:
        """Some of the images, block by block."""
        named = [replaced(step.named, lambda leaf: self._whole(leaf, arrays)) for step in self._steps]
        own: list[Array] = [  # memory for what is in between, and for the sums over one block
            scratch(f"chain {k}", shape if is_sum else (self.images, *shape[1:]), dtype)
            if is_sum or k >= self._outputs else outs[k]
            for k, (is_sum, shape, dtype) in enumerate(self._made)
        ]  # fmt: skip
        for block in blocks(part.stop - part.start, 1, self.images):
            start, stop = part.start + block.start, part.start + block.stop
            here = [arrays[k][start:stop] if cut else arrays[k] for k, cut in self._read]
            for k, (memory, (is_sum, _, _)) in enumerate(zip(own, self._made, strict=True)):
                if k >= self._outputs:
                    here.append(memory if is_sum else memory[: stop - start])
                elif is_sum:
                    here.append(memory if block.start else outs[k])
                else:
                    here.append(memory[start:stop])
            for step, options in zip(self._steps, named, strict=True):
                given = [here[what] if is_place else what for is_place, what in step.read]
                to = [here[place] for place in step.written]
                step.function(*given, **options, out=to[0] if len(to) == 1 else tuple(to))
            if block.start:
                for k, total in enumerate(outs):
                    if self._made[k][0]:
                        total += own[k]

    def _whole(self, leaf: Any, arrays: Sequence[Array]) -> Any:
        return arrays[self._inputs.index(leaf)] if isinstance(leaf, Slot) else leaf
