"""Runs of small calls as *programs*: tables of instructions that one compiled function goes through.

NumPy takes half a microsecond or more for a call, however few numbers there are. A program takes ten nanoseconds for
an instruction. Each call of a plan that `LOWERINGS` has an entry for, and that is not too large, becomes instructions;
those that stand next to each other become a program. All others stay lines of Python between the programs.

To *lower* a call is to write instructions for memory that is not there yet. A *stand-in* is an array of the same
shape, dtype and strides as what will be there, so that views are taken of it by NumPy's own means (`reshape`, `T`,
slices), and give the right places. Where a stand-in is for memory of the plan, or a constant, it is the array itself,
and its address is written down. Where it is for an array that may be another one at each run (an argument, a parameter,
a result that somebody may keep) the instruction is patched at each run.

Programs are for compiled kernels: where plain ones are wanted, or Numba cannot be had, nothing is lowered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from ..engine.tensor import _owner
from ..kernels.loops import known, loop
from ..kernels.registry import choice, failed
from .calls import Call, Slot, replaced
from .into import INTO, is_view
from .ours import ours
from .raising import can_explain, explained

__all__ = ["LOWERINGS", "Program", "Programs", "machine", "wanted"]

Array: TypeAlias = np.ndarray[Any, Any]

LEAST_CALLS = 2  # of a program: one is as quick in Python
MOST_ROWS = 1 << 6  # instructions for one call
MOST_PRODUCT = 1 << 21  # multiply-adds of a product; larger ones are for BLAS and its threads
MOST_NARROW = 1 << 14  # the same where vectors have but 16 bytes: there BLAS is quicker
MOST_ELEMENTS = 1 << 16  # of a result: larger ones are worth threads, and kernels of their own


# Of these, the loops of NumPy (2.4) write wrong values at times where there are gaps between them.
_DENSE = (np.negative, np.isnan, np.isfinite)
_ROUNDED = (np.power, np.arctan2)  # `into.ROUNDED`


class _UnfitError(Exception):
    """This call stays a line of Python."""


# ------------------------------------------------------------------------------------------------------------------
# Instructions


class Code:
    """The instructions of one program, as they are written.

    Attributes
    ----------
    table : the instructions
    objects : slots of the arrays that the program is given at each run
    checks : instruction number -> the call that it checks for
    """

    def __init__(self, memory: _Memory) -> None:
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
            raise _UnfitError
        arrays = [self.cast(x, dtype) for x, dtype in zip(given, dtypes, strict=False)]
        if ufunc in _ROUNDED and any(step < 0 for x in arrays for step in x.strides):
            raise _UnfitError
        arrays = [*(np.broadcast_to(x, out.shape) for x in arrays), out]
        for places, (n, steps), (count, row_steps) in _levels(out.shape, arrays):
            addresses = [_at(x, place) for x, place in zip(arrays, places, strict=True)]
            if ufunc in _DENSE and n > 1 and steps[-1] != out.itemsize:
                raise _UnfitError
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
            raise _UnfitError
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
            raise _UnfitError
        most = MOST_PRODUCT if machine().VECTOR_BYTES > 16 else MOST_NARROW
        if m * n * k > (most if n > 1 else min(most, MOST_NARROW)):  # one column fills one lane
            raise _UnfitError
        if n > 1 and y.strides[1] != size:
            raise _UnfitError
        if n > 1 and b.strides[1] != size:
            b, given = self.memory.scratch(b.shape, b.dtype), b
            self.copy(given, b)
        self._add("PRODUCT", size, m, n, k, a, *a.strides, b, b.strides[0], y, y.strides[0])

    def move(self, call: Call, labels: Array, source: Array, to: Array) -> None:
        """to[r, label r] = source[r, label r], where one of them may have but one column, whatever the label."""
        size, classes = to.itemsize, max(to.shape[1], source.shape[1])
        if source.dtype != to.dtype or size not in (4, 8):
            raise _UnfitError
        self.check(call, labels, -classes, classes)
        (row, column), (from_row, from_column) = to.strides, source.strides
        column, from_column = column * (to.shape[1] > 1), from_column * (source.shape[1] > 1)
        kind, step = _label_kind(labels), labels.strides[0]
        places = to, row, column, source, from_row, from_column
        self._add("MOVE", size, len(labels), labels, kind, step, *places, classes)

    def select(self, condition: Array, yes: Any, no: Any, out: Array) -> None:
        if not isinstance(condition, np.ndarray) or condition.dtype != bool or out.itemsize not in (4, 8):
            raise _UnfitError
        arrays = [condition, self.cast(yes, out.dtype), self.cast(no, out.dtype)]
        arrays = [*(np.broadcast_to(x, out.shape) for x in arrays), out]
        for places, (n, steps), (count, row_steps) in _levels(out.shape, arrays):
            addresses = [_at(x, place) for x, place in zip(arrays, places, strict=True)]
            self._add("SELECT", out.itemsize, n, count, *addresses, *steps, *row_steps)

    def check(self, call: Call, labels: Array, low: int, high: int) -> None:
        """Stop unless all labels are in low ... high - 1; the call then says what is wrong."""
        if labels.ndim != 1:
            raise _UnfitError
        self.checks[len(self.table.rows)] = call
        self._add("CHECK", labels, _label_kind(labels), labels.strides[0], len(labels), low, high)


_CASTS = {("?", "f"): 0, ("?", "d"): 1, ("f", "d"): 2, ("d", "f"): 3, ("l", "d"): 4, ("q", "d"): 4}


def _label_kind(labels: Array) -> int:
    kind = {"i8": 8, "i4": 4, "i1": 1, "u1": -1}.get(labels.dtype.str[1:])
    if kind is None or not labels.dtype.isnative:
        raise _UnfitError
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
        raise _UnfitError from None


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
        raise _UnfitError
    for place in np.ndindex(*(count for _, count, _ in axes)):
        start = [0] * len(shape)
        for (numbers, _, _), k in zip(axes, place, strict=True):
            for axis, at in zip(numbers, np.unravel_index(k, [shape[a] for a in numbers]), strict=True):
                start[axis] = int(at)
        yield [tuple(start)] * len(arrays), inner, rows


# ------------------------------------------------------------------------------------------------------------------
# What each operation comes to. A lowering is given the code, the call, its arguments and outputs as arrays and numbers,
# and its parameters. It raises `_UnfitError` where it cannot.


def _elementwise(ufunc: np.ufunc) -> Callable[..., None]:
    def lowering(code: Code, call: Call, *args: Any, out: list[Array]) -> None:
        code.loop(ufunc, *args, out[0])

    return lowering


def _relu(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    y, above = out
    code.loop(np.greater, x, 0, above)  # first, for y may lie where x does
    code.loop(np.maximum, x, 0, y)


def _power(code: Code, call: Call, x1: Any, x2: Any, *, out: list[Array]) -> None:
    if out[0].dtype.kind != "f":  # for integers it may raise
        raise _UnfitError
    code.loop(np.power, x1, float(x2) if isinstance(x2, int) and x2 < 0 else x2, out[0])


def _reciprocal(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.true_divide, 1, x, out[0])


def _copy(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    code.copy(x, out[0])


def _where(code: Code, call: Call, condition: Array, yes: Any, no: Any, *, out: list[Array]) -> None:
    code.select(condition, yes, no, out[0])


def _cast(code: Code, call: Call, x: Array, dtype: Any, *, out: list[Array]) -> None:
    code.copy(code.cast(x, np.dtype(dtype)), out[0])


def _logistic(code: Code, x: Array) -> Array:
    e = code.new(np.exp, code.new(np.negative, code.new(np.absolute, x)))
    y, d = code.memory.scratch(x.shape, x.dtype), code.new(np.add, 1, e)
    right, left = code.new(np.true_divide, 1, d), code.new(np.true_divide, e, d)
    code.select(code.new(np.greater_equal, x, 0), right, left, y)
    return y


def _sigmoid(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    code.copy(_logistic(code, x), out[0])


def _silu(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.multiply, x, _logistic(code, x), out[0])


def _softplus(code: Code, call: Call, x: Array, *, out: list[Array]) -> None:
    code.loop(np.logaddexp, x, 0, out[0])


def _leaky_relu(code: Code, call: Call, x: Array, negative_slope: Any = 0.01, *, out: list[Array]) -> None:
    code.select(code.new(np.greater, x, 0), x, code.new(np.multiply, _number(negative_slope), x), out[0])


def _elu(code: Code, call: Call, x: Array, alpha: Any = 1.0, *, out: list[Array]) -> None:
    left = code.new(np.multiply, _number(alpha), code.new(np.expm1, code.new(np.minimum, x, 0)))
    code.select(code.new(np.greater, x, 0), x, left, out[0])


def _number(value: Any) -> Any:
    """A parameter that was checked when it was recorded."""
    if isinstance(value, np.ndarray):
        raise _UnfitError
    return value


def _reduction(ufunc: np.ufunc) -> Callable[..., None]:
    def lowering(code: Code, call: Call, x: Array, axis: Any = None, keepdims: Any = None, *, out: list[Array]) -> None:
        given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = [k % x.ndim for k in given]
        code.reduce(ufunc, x, axes, _kept(out[0], x, axes))

    return lowering


def _kept(out: Array, x: Array, axes: Sequence[int]) -> Array:
    """What is left of x without some axes, with a 1 for each of them."""
    return out.reshape([1 if k in axes else n for k, n in enumerate(x.shape)])


def _sum_to(code: Code, call: Call, x: Array, shape: tuple[int, ...], *, out: list[Array]) -> None:
    lead = x.ndim - len(shape)
    axes = [k for k in range(x.ndim) if k < lead or (shape[k - lead] == 1 and x.shape[k] != 1)]
    code.reduce(np.add, x, axes, _kept(out[0], x, axes))


def _matmul(code: Code, call: Call, a: Array, b: Array, *, out: list[Array]) -> None:
    y = out[0]
    if b.ndim != 2 or a.ndim < 2:
        raise _UnfitError
    if a.ndim > 2:
        a, y = a.reshape(-1, a.shape[-1]), y.reshape(-1, y.shape[-1])
    code.product(a, b, y)


def _log_softmax(code: Code, call: Call, x: Array, axis: int = -1, *, out: list[Array]) -> None:
    axes, y = [axis % x.ndim], out[0]
    top = code.memory.scratch([1 if k in axes else n for k, n in enumerate(x.shape)], x.dtype)
    total, e = code.memory.scratch(top.shape, x.dtype), code.memory.scratch(x.shape, x.dtype)
    code.reduce(np.maximum, x, axes, top)
    code.loop(np.subtract, x, top, y)
    code.loop(np.exp, y, e)
    code.reduce(np.add, e, axes, total)
    code.loop(np.log, total, total)
    code.loop(np.subtract, y, total, y)


def _softmax(code: Code, call: Call, x: Array, axis: int = -1, *, out: list[Array]) -> None:
    axes, y = [axis % x.ndim], out[0]
    total = code.memory.scratch([1 if k in axes else n for k, n in enumerate(x.shape)], x.dtype)
    code.reduce(np.maximum, x, axes, total)
    code.loop(np.subtract, x, total, y)
    code.loop(np.exp, y, y)
    code.reduce(np.add, y, axes, total)
    code.loop(np.true_divide, y, total, y)


def _cross_entropy(code: Code, call: Call, x: Array, labels: Array, *, out: list[Array]) -> None:
    losses, log_p = out
    _log_softmax(code, call, x, out=[log_p])
    code.move(call, labels.reshape(-1), log_p.reshape(-1, x.shape[-1]), losses.reshape(-1, 1))
    code.loop(np.negative, losses, losses)


def _pick(code: Code, call: Call, x: Array, labels: Array, *, out: list[Array]) -> None:
    code.move(call, labels.reshape(-1), x.reshape(-1, x.shape[-1]), out[0].reshape(-1, 1))


def _place(code: Code, call: Call, x: Array, labels: Array, classes: int, *, out: list[Array]) -> None:
    code.fill(0, out[0])
    code.move(call, labels.reshape(-1), x.reshape(-1, 1), out[0].reshape(-1, classes))


def _class_numbers(code: Code, call: Call, labels: Array, classes: int, *, out: list[Array]) -> None:
    if out:  # labels of another dtype are converted
        raise _UnfitError
    code.check(call, labels.reshape(-1), 0, classes)


LOWERINGS: dict[str, Callable[..., None]] = {
    name: _elementwise(ufunc) for name, ufunc in INTO.items() if isinstance(ufunc, np.ufunc) and ufunc.signature is None
} | {
    "relu": _relu, "pow": _power, "reciprocal": _reciprocal, "copy": _copy, "where": _where,
    "sum": _reduction(np.add), "max": _reduction(np.maximum), "min": _reduction(np.minimum), "sum_to": _sum_to,
    "_matmul": _matmul, "log_softmax": _log_softmax, "softmax": _softmax, "cross_entropy": _cross_entropy,
    "pick": _pick, "place": _place, "_class_numbers": _class_numbers, "_cast": _cast, "sigmoid": _sigmoid,
    "silu": _silu, "softplus": _softplus, "leaky_relu": _leaky_relu, "elu": _elu,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Programs


class _Memory:
    """Stand-ins, and what they stand for.

    Attributes
    ----------
    views : slot -> the call that takes it as a view of another's array
    """

    def __init__(self, static: dict[Slot, Array]) -> None:
        self.views: dict[Slot, Call] = {}
        self._arrays: dict[Slot, Array] = {}
        self._given: set[Slot] = set()
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
        self._owners.setdefault(id(_owner(array)), (patched, _address(array)))

    def of(self, slot: Slot) -> Array:
        """The stand-in of a slot."""
        if slot not in self._arrays:
            if slot.origin == "constant":
                self.know(slot, np.asarray(slot.value), None)
            elif slot in self._given:
                self._stand_in(slot)
        array = self._arrays.get(slot)
        if array is None or not (array.flags.aligned and array.dtype.isnative and array.size):
            raise _UnfitError
        return array

    def given(self, slot: Slot) -> None:
        """The array of a slot is given at each run, with the layout that was seen."""
        self._given.add(slot)

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
        found = self._owners.get(id(_owner(array)))
        if found is None:  # a copy, not a view
            raise _UnfitError
        slot, start = found
        return (None, _address(array)) if slot is None else (slot, _address(array) - start)

    def holds(self, array: Array) -> bool:
        """Is this a view of memory that is known?"""
        return id(_owner(array)) in self._owners

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
            return self._owners[id(_owner(array))][0] is None

        self._arrays = {slot: array for slot, array in self._arrays.items() if lasts(array)}
        self._kept = [array for array in self._kept if lasts(array)]
        self._owners, self._free = {}, []


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class Program:
    """Some calls as one table; call it with the arrays of its `objects`, in a tuple.

    Attributes
    ----------
    calls : what it does
    objects : slots of the arrays that it is given
    """

    def __init__(self, calls: Sequence[Call], code: Code) -> None:
        self.calls, self.objects = list(calls), code.objects
        self._code, self._run = code, code.table.run  # the code holds what its addresses point to

    def __call__(self, arrays: tuple[Array, ...]) -> None:
        stopped = self._run(arrays)
        if stopped < -1:  # an array that is not aligned: once more, with copies of all such
            arrays = tuple(x if x.flags.aligned else x.copy() for x in arrays)
            stopped = self._run(arrays)
        if stopped != -1:
            self._complain(self._code.checks[stopped], dict(zip(self.objects, arrays, strict=True)))

    def _complain(self, check: Call, arrays: dict[Slot, Array]) -> None:
        """The call for which a check stopped the program says what is wrong."""
        value = partial(self._value, arrays)
        try:
            check.function(*replaced(check.args, value), **replaced(check.kwargs, value))
        except Exception as error:
            if not can_explain(check, error):
                raise
            raise explained(check, error) from error
        raise RuntimeError(f"compile: {check.name} stopped a program, and finds nothing wrong")

    def _value(self, arrays: dict[Slot, Array], leaf: Any) -> Any:
        """What a leaf of a call's arguments is in this run."""
        if not isinstance(leaf, Slot) or leaf in arrays:
            return arrays[leaf] if isinstance(leaf, Slot) else leaf
        view = self._code.memory.views.get(leaf)
        if view is None:
            return self._code.memory.of(leaf)
        value = partial(self._value, arrays)
        return view.function(*replaced(view.args, value), **replaced(view.kwargs, value))


class Programs:
    """The programs of a plan, and what is left between them.

    Attributes
    ----------
    steps : calls and programs, in the order in which they run
    """

    def __init__(self, calls: Sequence[Call], arguments: Sequence[Slot], static: dict[Slot, Array]) -> None:
        self._memory, self._static = _Memory(static), static
        for slot in arguments:
            self._memory.given(slot)
        self.steps: list[Call | Program] = []
        self._begin()
        for call in calls:
            if self._still(call):
                self._row.append(call)
            elif self._lowered(call):
                self._row.append(call)
                self._done.append(call)
            else:
                self._end()
                self.steps.append(call)
                for slot in call.outputs:
                    if slot.seen.contiguous and slot not in static and ours(call):
                        self._memory.given(slot)
        self._end()
        self._memory.finish()

    def _begin(self) -> None:
        self._code = Code(self._memory)
        self._row: list[Call] = []  # since the last call that stays Python
        self._done: list[Call] = []  # those of them that are in the program

    def _end(self) -> None:
        """Close the program that is being written: tensors are read, and views taken, before it runs; after it those
        of what it makes."""
        if len(self._done) < LEAST_CALLS:
            self.steps += self._row
        else:
            done, made = set(self._done), {slot for call in self._done for slot in call.outputs}
            after: list[Call] = []
            for call in self._row:
                if call in done:
                    continue
                if made.isdisjoint(call.inputs):
                    self.steps.append(call)
                else:
                    made.update(call.outputs)
                    after.append(call)
            self.steps += [Program(self._done, self._code), *after]
        self._begin()

    def _still(self, call: Call) -> bool:
        """Does a call but name memory that is there: a tensor's, or a part of another's?"""
        if call.kind == "load":
            self._memory.given(call.outputs[0])
            return True
        if not is_view(call):
            return False
        try:
            args, kwargs = (replaced(tree, self._given) for tree in (call.args, call.kwargs))
        except _UnfitError:
            return False
        view = call.function(*args, **kwargs)
        if not isinstance(view, np.ndarray) or not self._memory.holds(view):
            return False
        self._memory.know(call.outputs[0], view, None)
        self._memory.views[call.outputs[0]] = call
        return True

    def _lowered(self, call: Call) -> bool:
        """Write a call's instructions, if it can be."""
        name = ours(call)
        lowering = LOWERINGS.get(name)
        if lowering is None or call.kind not in ("primitive", "compute"):
            return False
        if len(call.outputs) != _OUTPUTS.get(name, 1):
            return False
        if name != "_matmul" and any(
            math.prod(slot.seen.shape) > MOST_ELEMENTS for slot in (*call.inputs, *call.outputs)
        ):
            return False
        before = self._code.mark()
        try:
            args, kwargs = (replaced(tree, self._given) for tree in (call.args, call.kwargs))
            for slot in call.outputs:
                if slot not in self._static:
                    if not slot.seen.contiguous:
                        raise _UnfitError
                    self._memory.given(slot)
            lowering(self._code, call, *args, out=[self._memory.of(slot) for slot in call.outputs], **kwargs)
        except _UnfitError:
            self._code.reset(before)
            return False
        finally:
            self._memory.release()
        return True

    def _given(self, leaf: Any) -> Any:
        """A slot's stand-in; anything else as it is."""
        if isinstance(leaf, Slot):
            return self._memory.of(leaf)
        return leaf


_OUTPUTS = {"relu": 2, "cross_entropy": 2, "_class_numbers": 0}  # of a call; one of all others


@cache
def _compiled() -> Exception | None:
    """Why programs cannot be run, if they cannot."""
    try:
        machine().Table().run(())
    except Exception as error:
        return error
    return None


def wanted() -> bool:
    """Are programs wanted here and now, and possible?"""
    if choice() == "plain" or not known():
        return False
    error = _compiled()
    if error is not None:
        failed("a compiled step", error)
    return error is None
