"""Programs: many small steps on memory that lies still, in one call.

A program is a table of 64-bit words. Its first row says how many *patches* and *instructions* follow. A patch puts into
an instruction the address of an array that may be another one at each run. An instruction is one of these:

===========  ============================================================================================
`LOOP`       an inner loop of NumPy on one or more rows: everything elementwise, and sums and maxima
`PRODUCT`    a product of two matrices
`MOVE`       one element of each row, which a label names: picked from rows, or placed in rows
`SELECT`     elements of one array or of another
`CAST`       elements of another dtype
`CHECK`      stop if a label is out of range
===========  ============================================================================================

What the words of a row are is said where they are read. `_run` is compiled once, for all programs. Elementwise results
are NumPy's to the bit, because NumPy's loops compute them. The updates of an optimiser are tables as well, with an
instruction for each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, extending, types  # type: ignore[attr-defined, unused-ignore]
from numba.core import cgutils

from ..loops import ARRAY_DATA, TUPLE_ITEMS
from .jit import VECTOR_BYTES, jit
from .update import NUMBERS, adam_elements, rmsprop_elements, sgd_elements

__all__ = [
    "CAST", "CHECK", "LOOP", "MOVE", "NUMBERS", "PRODUCT", "SELECT", "VECTOR_BYTES", "Given", "Table",
]  # fmt: skip

intrinsic: Any = extending.intrinsic  # whose results take other arguments than they are made from

WORDS = 20  # of a row
LOOP, PRODUCT, MOVE, SELECT, CAST, CHECK = range(6)

# ------------------------------------------------------------------------------------------------------------------
# Memory by its address


@intrinsic
def _load(typing, address, kind):
    """The number of a kind, such as np.int32, at an address."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], context.get_value_type(kind.dtype).as_pointer())
        return builder.load(pointer, align=1)

    return kind.dtype(types.int64, kind), generate


@intrinsic
def _store(typing, address, number):
    """Write a number at an address."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], context.get_value_type(number).as_pointer())
        builder.store(values[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, number), generate


@intrinsic
def _pointer(typing, address, kind):
    """An address as a pointer to numbers of a kind."""

    def generate(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(kind.dtype).as_pointer())

    return types.CPointer(kind.dtype)(types.int64, kind), generate


@intrinsic
def _call(typing, function, args, n, steps, data):
    """Call an inner loop of NumPy, by its address and those of the operands' addresses, n, the steps and its data."""

    def generate(context, builder, signature, values):
        byte = ir.IntType(8).as_pointer()
        pointer = ir.FunctionType(ir.VoidType(), [byte] * 4).as_pointer()
        builder.call(builder.inttoptr(values[0], pointer), [builder.inttoptr(v, byte) for v in values[1:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@jit
def _row(address):
    return carray(_pointer(address, np.int64), WORDS)


# ------------------------------------------------------------------------------------------------------------------
# Products


def _make_tile(number: Any, vectors: int, rows: int, full: bool = False) -> Any:
    """Some rows of a product, and as many columns as a few vectors have lanes, held in registers while they add up.

    A `full` one has no idle lanes, which some processors have no quick instructions for.
    """
    size = 4 if number is types.float32 else 8
    lanes = VECTOR_BYTES // size

    @intrinsic
    def tile(typing, n_rows, n_columns, k, a, a_row, a_k, b, b_k, y, y_row):
        """y[r, c] = Σ a[r, i] b[i, c] over i < k, for r < n_rows (at least one) and c < n_columns.

        Addresses, and bytes from row to row; columns of b and y are next to each other. Of fewer rows than the tile
        has, the last is computed again and again.
        """

        def generate(context, builder, signature, values):
            n_rows, n_columns, k, a, a_row, a_k, b, b_k, y, y_row = values
            word, index = ir.IntType(64), ir.IntType(32)
            element = context.get_value_type(number)
            vector = ir.VectorType(element, lanes)
            place, align = vector.as_pointer(), ir.Constant(index, size)
            suffix = f"v{lanes}f{size * 8}"
            some = ir.VectorType(ir.IntType(1), lanes)

            def function(name, result, arguments):
                return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)

            fma = function(f"llvm.fmuladd.{suffix}", vector, [vector] * 3)
            some_load = function(f"llvm.masked.load.{suffix}.p0", vector, [place, index, some, vector])
            some_store = function(f"llvm.masked.store.{suffix}.p0", ir.VoidType(), [vector, place, index, some])

            def in_all_lanes(x, kind):
                undefined = ir.Constant(ir.VectorType(kind, lanes), ir.Undefined)
                first = builder.insert_element(undefined, x, ir.Constant(index, 0))
                return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), None))

            def at(start, *offsets):
                for offset in offsets:
                    start = builder.gep(start, [offset])
                return start

            byte = ir.IntType(8).as_pointer()
            a, b, y = (builder.inttoptr(start, byte) for start in (a, b, y))
            last = builder.sub(n_rows, word(1))
            numbers = [
                builder.select(builder.icmp_signed("<", word(r), last), word(r), last) if r else word(0)
                for r in range(rows)
            ]
            sources = [at(a, builder.mul(r, a_row)) for r in numbers]
            columns = in_all_lanes(n_columns, word)
            masks = [
                builder.icmp_signed("<", ir.Constant(columns.type, list(range(v * lanes, (v + 1) * lanes))), columns)
                for v in range(vectors)
            ]
            zero = ir.Constant(vector, None)

            def load(place, mask):
                return builder.load(place, align=size) if full else builder.call(some_load, [place, align, mask, zero])

            def store(value, place, mask):
                if full:
                    builder.store(value, place, align=size)
                else:
                    builder.call(some_store, [value, place, align, mask])

            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
            for total in (total for row in sums for total in row):
                builder.store(zero, total)
            with cgutils.for_range(builder, k) as loop:
                line = at(b, builder.mul(loop.index, b_k))
                lines = [
                    load(builder.bitcast(at(line, word(v * VECTOR_BYTES)), place), mask) for v, mask in enumerate(masks)
                ]
                here = builder.mul(loop.index, a_k)
                for source, totals in zip(sources, sums, strict=True):
                    number_ = builder.load(builder.bitcast(at(source, here), element.as_pointer()), align=size)
                    factor = in_all_lanes(number_, element)
                    for total, weights in zip(totals, lines, strict=True):
                        builder.store(builder.call(fma, [factor, weights, builder.load(total)]), total)
            for r, totals in zip(numbers, sums, strict=True):
                target = at(y, builder.mul(r, y_row))
                for v, (total, mask) in enumerate(zip(totals, masks, strict=True)):
                    store(builder.load(total), builder.bitcast(at(target, word(v * VECTOR_BYTES)), place), mask)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 10), generate

    return tile


# As many rows as the registers hold sums for (32 of them with AVX-512, else 16), and enough to hide the time that a
# multiply-add takes.
_ROWS_1, _ROWS_2, _ROWS_FULL = (12, 8, 8) if VECTOR_BYTES == 64 else (8, 4, 6)
_single_1, _double_1 = (_make_tile(number, 1, _ROWS_1) for number in (types.float32, types.float64))
_single_2, _double_2 = (_make_tile(number, 2, _ROWS_2) for number in (types.float32, types.float64))
_single_full, _double_full = (_make_tile(number, 2, _ROWS_FULL, True) for number in (types.float32, types.float64))


@jit
def _product(size, m, n, k, a, a_row, a_k, b, b_k, y, y_row):
    """y (m, n) = a (m, k) @ b (k, n), all by address and steps in bytes; b and y with their columns side by side."""
    lanes = VECTOR_BYTES // size
    for c in range(0, n, 2 * lanes):
        left, line, to = n - c, b + c * size, y + c * size
        if left >= 2 * lanes:
            for r in range(0, m, _ROWS_FULL):
                if size == 4:
                    _single_full(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)
                else:
                    _double_full(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)
        elif left > lanes:
            for r in range(0, m, _ROWS_2):
                if size == 4:
                    _single_2(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)
                else:
                    _double_2(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)
        else:
            for r in range(0, m, _ROWS_1):
                if size == 4:
                    _single_1(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)
                else:
                    _double_1(m - r, left, k, a + r * a_row, a_row, a_k, line, b_k, to + r * y_row, y_row)


# ------------------------------------------------------------------------------------------------------------------
# The other instructions; each is given the address of its row of words


@jit
def _loop(row):
    """[LOOP, loop, its data, elements, rows, 3 addresses, 3 steps of elements, 3 steps of rows, 3 words to work in]."""
    words = _row(row)
    if words[4] == 1:
        _call(words[1], row + 5 * 8, row + 3 * 8, row + 8 * 8, words[2])
        return
    for k in range(3):
        words[14 + k] = words[5 + k]
    for _ in range(words[4]):
        _call(words[1], row + 14 * 8, row + 3 * 8, row + 8 * 8, words[2])
        for k in range(3):
            words[14 + k] += words[11 + k]


@jit
def _label(address, kind):
    """The integer of a kind (its bytes, negative if without a sign) at an address."""
    if kind == 8:
        return _load(address, np.int64)
    if kind == 4:
        return np.int64(_load(address, np.int32))
    if kind == 1:
        return np.int64(_load(address, np.int8))
    return np.int64(_load(address, np.uint8))


@jit
def _move(row):
    """[MOVE, bytes of an element, rows, labels, kind, step, to, step of rows, of columns, from, of rows, of columns,
    columns]; a label below 0 counts from the last column.
    """
    words = _row(row)
    for r in range(words[2]):
        label = _label(words[3] + r * words[5], words[4])
        label += words[12] if label < 0 else 0
        to = words[6] + r * words[7] + label * words[8]
        source = words[9] + r * words[10] + label * words[11]
        if words[1] == 4:
            _store(to, _load(source, np.int32))
        else:
            _store(to, _load(source, np.int64))


@jit
def _select(row):
    """[SELECT, bytes of an element, elements, rows, 4 addresses (condition, yes, no, to), 4 steps, 4 steps of rows]."""
    words = _row(row)
    for r in range(words[3]):
        condition, yes, no, to = (
            words[4] + r * words[12], words[5] + r * words[13], words[6] + r * words[14], words[7] + r * words[15],
        )  # fmt: skip
        for k in range(words[2]):
            source = yes + k * words[9] if _load(condition + k * words[8], np.int8) else no + k * words[10]
            if words[1] == 4:
                _store(to + k * words[11], _load(source, np.int32))
            else:
                _store(to + k * words[11], _load(source, np.int64))


@jit
def _cast(row):
    """[CAST, kind, elements, from, to], kinds: bool to float32, to float64; float32 to 64, 64 to 32; int64 to 64."""
    words = _row(row)
    kind, n, source, to = words[1], words[2], words[3], words[4]
    if kind == 0:
        _convert(carray(_pointer(source, np.uint8), n), carray(_pointer(to, np.float32), n))
    elif kind == 1:
        _convert(carray(_pointer(source, np.uint8), n), carray(_pointer(to, np.float64), n))
    elif kind == 2:
        _convert(carray(_pointer(source, np.float32), n), carray(_pointer(to, np.float64), n))
    elif kind == 3:
        _convert(carray(_pointer(source, np.float64), n), carray(_pointer(to, np.float32), n))
    else:
        _convert(carray(_pointer(source, np.int64), n), carray(_pointer(to, np.float64), n))


@jit
def _convert(x, y):
    for k in range(len(y)):
        y[k] = x[k]


@jit
def _in_range(row):
    """[CHECK, labels, kind, step, how many, the least, what all are below]."""
    words = _row(row)
    for k in range(words[4]):  # noqa: SIM110  (Numba has no generators)
        if not words[5] <= _label(words[1] + k * words[3], words[2]) < words[6]:
            return False
    return True


# ------------------------------------------------------------------------------------------------------------------
# Running them: given the address of the table and the id of a tuple of arrays, see `Table.run`

# The interpreter's lock is kept: who gives it up waits for it milliseconds, if another thread computes in Python.
holding = partial(jit, nogil=False)


@jit
def _patched(table, objects):
    """Where the instructions start, and how many there are; -2 - k for a patch k whose array is not aligned."""
    head, patches = _row(table), table + WORDS * 8
    code = patches + head[0] * WORDS * 8
    for k in range(head[0]):
        patch = _row(patches + k * WORDS * 8)
        array = _load(objects + TUPLE_ITEMS + patch[0] * 8, np.int64)
        address = _load(array + ARRAY_DATA, np.int64) + patch[1]
        if address & patch[2]:
            return code, -2 - k
        _store(code + patch[3] * 8, address)
    return code, head[1]


@holding
def _run(table, objects):
    code, count = _patched(table, objects)
    for k in range(count):
        row = code + k * WORDS * 8
        what = _load(row, np.int64)
        if what == LOOP:
            _loop(row)
        elif what == PRODUCT:
            words = _row(row)
            _product(
                words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8], words[9], words[10],
                words[11],
            )  # fmt: skip
        elif what == MOVE:
            _move(row)
        elif what == SELECT:
            _select(row)
        elif what == CAST:
            _cast(row)
        elif not _in_range(row):  # CHECK
            return k
    return min(count, -1)


# Updates of an optimiser, in place: [elements, p, g, up to 3 arrays of state or 0, the numbers (see `NUMBERS`)]. Each
# kernel has a function of its own, so that none has to wait until all are compiled. `like` is an array of the dtype.


@jit
def _array(address, n, kind):
    return carray(_pointer(address, kind), n)


@holding
def _run_sgd(table, objects, like):
    kind = like.dtype.type
    code, count = _patched(table, objects)
    for k in range(count):
        words = _row(code + k * WORDS * 8)
        n, numbers = words[0], carray(_pointer(words[6], np.float64), 5)
        four = kind(numbers[0]), kind(numbers[1]), kind(numbers[2]), kind(numbers[3])
        p, g, velocity = _array(words[1], n, kind), _array(words[2], n, kind), _array(words[3], n, kind)
        if words[3]:
            sgd_elements(p, g, velocity, four, numbers[4] != 0, numbers[2] != 0)
        else:
            sgd_elements(p, g, None, four, False, numbers[2] != 0)
    return min(count, -1)


@holding
def _run_adam(table, objects, like):
    kind = like.dtype.type
    code, count = _patched(table, objects)
    for k in range(count):
        words = _row(code + k * WORDS * 8)
        n, x = words[0], carray(_pointer(words[6], np.float64), 9)
        p, g = _array(words[1], n, kind), _array(words[2], n, kind)
        mean, square = _array(words[3], n, kind), _array(words[4], n, kind)
        nine = (
            kind(x[0]), kind(x[1]), kind(x[2]), kind(x[3]), kind(x[4]), kind(x[5]), kind(x[6]), kind(x[7]), kind(x[8]),
        )  # fmt: skip
        adam_elements(p, g, mean, square, nine, x[7] != 0)
    return min(count, -1)


@holding
def _run_rmsprop(table, objects, like):
    kind = like.dtype.type
    code, count = _patched(table, objects)
    for k in range(count):
        words = _row(code + k * WORDS * 8)
        n, x = words[0], carray(_pointer(words[6], np.float64), 8)
        p, g, square = _array(words[1], n, kind), _array(words[2], n, kind), _array(words[3], n, kind)
        mean, velocity = _array(words[4], n, kind), _array(words[5], n, kind)
        eight = kind(x[0]), kind(x[1]), kind(x[2]), kind(x[3]), kind(x[4]), kind(x[5]), kind(x[6]), kind(x[7])
        if words[4] and words[5]:
            rmsprop_elements(p, g, square, mean, velocity, eight, x[5] != 0)
        elif words[4]:
            rmsprop_elements(p, g, square, mean, None, eight, x[5] != 0)
        elif words[5]:
            rmsprop_elements(p, g, square, None, velocity, eight, x[5] != 0)
        else:
            rmsprop_elements(p, g, square, None, None, eight, x[5] != 0)
    return min(count, -1)


_UPDATES = {"sgd": _run_sgd, "adam": _run_adam, "rmsprop": _run_rmsprop}


# ------------------------------------------------------------------------------------------------------------------


class Given(NamedTuple):
    """A word that is an address in an array which is given at each run: which of them, and how many bytes on."""

    number: int
    offset: int
    alignment: int  # bytes, a power of two


class Table:
    """A program: rows are added, then it is run on tuples of arrays.

    `kernel` is that of an optimiser, for a table of its updates of parameters of a dtype.
    """

    def __init__(self, kernel: str = "", dtype: Any = None) -> None:
        self._run = _UPDATES[kernel] if kernel else _run
        self._like = (np.empty(0, dtype),) if kernel else ()
        self.rows: list[list[int]] = []
        self._patches: list[list[int]] = []
        self._words = np.zeros((1, WORDS), np.int64)
        self._address = 0

    def add(self, words: Sequence[int | Given]) -> None:
        for place, word in enumerate(words):
            if isinstance(word, Given):
                target = len(self.rows) * WORDS + place
                self._patches.append([word.number, word.offset, word.alignment - 1, target])
        self.rows.append([0 if isinstance(word, Given) else int(word) for word in words])

    def reset(self, rows: int) -> None:
        """Take back the rows from a number on."""
        del self.rows[rows:]
        self._patches = [patch for patch in self._patches if patch[3] < rows * WORDS]

    def run(self, arrays: tuple[Any, ...]) -> int:
        """-1 if all went well; the number of the row at which a check failed; below -1 for an array that is not
        aligned as its elements must be: then nothing was done.
        """
        if not self._address:
            self._words = np.zeros((1 + len(self._patches) + len(self.rows), WORDS), np.int64)
            self._words[0, :2] = len(self._patches), len(self.rows)
            for row, words in zip(self._words[1:], [*self._patches, *self.rows], strict=True):
                row[: len(words)] = words
            self._address = self._words.ctypes.data
        stopped: int = self._run(self._address, id(arrays), *self._like)
        return stopped
