"""A tile of outputs that is held in registers while it adds up: a few rows, times a few vectors of channels."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import VECTOR_BYTES, inlined, jit

__all__ = ["MOST_ROWS", "TILES", "one_step", "panels_of", "run"]

Array: TypeAlias = np.ndarray[Any, Any]

# The shapes of tiles, widest first: (vectors, their bytes, rows). What fits the registers, 32 with AVX-512 and 16 below
# it, and is enough to hide the time that a multiply-add takes. The last is for few channels.
TILES = {
    64: ((4, 64, 6), (2, 64, 10), (1, 64, 12), (1, 32, 12)),
    32: ((2, 32, 6), (2, 32, 6), (1, 32, 12), (1, 16, 12)),
    16: ((2, 16, 6), (2, 16, 6), (1, 16, 12), (1, 16, 12)),
}[VECTOR_BYTES]


def _make_tile(vectors: int, bytes_: int, rows: int) -> Any:
    """A tile of one shape, as machine code in place of the call. In one of one vector some lanes may be idle."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def tile(typing, each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more):
        """y[y_base + to[r] * scale + c] (+)= Σ over low <= t < high of a[a_base + at[r] + i] b[b_base + j * width + c],
        `one_step(i, j)` being steps[t], for the tile's rows r from `row` on, and channels c < valid of its width; added
        to what is there if `more`. With `each`, not None, a channel of a has its own of b alone: a[... + c].
        """
        arguments = (each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more)
        names = "each row a at a_base b b_base steps low high y to scale y_base valid more".split()  # noqa: SIM905

        def generate(context, builder, signature, values):
            given = dict(zip(names, values, strict=True))
            size = a.dtype.bitwidth // 8
            lanes = bytes_ // size
            vector = ir.VectorType(context.get_value_type(a.dtype), lanes)
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f{a.dtype.bitwidth}"
            )

            def memory(name, *offsets):
                start = context.make_array(signature.args[names.index(name)])(context, builder, given[name]).data
                return builder.gep(start, [reduce(builder.add, offsets)]) if offsets else start

            def vectors_at(start):
                return [
                    builder.bitcast(cgutils.gep(builder, start, v * lanes), vector.as_pointer()) for v in range(vectors)
                ]

            def rows_of(name, scale):
                table = memory(name, given["row"])
                return [builder.mul(builder.load(cgutils.gep(builder, table, r)), scale) for r in range(rows)]

            def in_all_lanes(x, kind=vector.element):
                undefined, index = ir.Constant(ir.VectorType(kind, lanes), ir.Undefined), ir.IntType(32)
                first = builder.insert_element(undefined, x, ir.Constant(index, 0))
                return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), None))

            # Some lanes only, where there are fewer channels: what lies behind them belongs to others.
            some = ir.VectorType(ir.IntType(1), lanes)
            numbers = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
            mask = builder.icmp_signed("<", numbers, in_all_lanes(given["valid"], ir.IntType(64)))
            p, align = vector.as_pointer(), ir.Constant(ir.IntType(32), size)
            suffix = f"v{lanes}f{a.dtype.bitwidth}.p0"
            masked_load, masked_store = (
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(*kind), f"llvm.masked.{verb}.{suffix}")
                for verb, kind in (
                    ("load", (vector, [p, align.type, some, vector])),
                    ("store", (ir.VoidType(), [vector, p, align.type, some])),
                )
            )

            def load(place):
                if vectors > 1:
                    return builder.load(place, align=size)
                return builder.call(masked_load, [place, align, mask, ir.Constant(vector, None)])

            def store(value, place):
                if vectors > 1:
                    builder.store(value, place, align=size)
                else:
                    builder.call(masked_store, [value, place, align, mask])

            one = context.get_constant(types.intp, 1)
            sources = [memory("a", given["a_base"], offset) for offset in rows_of("at", one)]
            targets = [vectors_at(memory("y", given["y_base"], offset)) for offset in rows_of("to", given["scale"])]
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            pairs = [pair for place in zip(sums, targets, strict=True) for pair in zip(*place, strict=True)]

            with builder.if_else(given["more"]) as (added, fresh):
                with added:
                    for total, target in pairs:
                        builder.store(load(target), total)
                with fresh:
                    for total, _ in pairs:
                        builder.store(ir.Constant(vector, None), total)
            with cgutils.for_range_slice(builder, given["low"], given["high"], one, inc=True) as (step, _):
                # Nothing, but it may not be doubled: in two steps at once the sums would not fit the registers.
                if vectors > 1:
                    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True).attributes.add("convergent")
                both = builder.load(memory("steps", step))
                here = builder.lshr(both, ir.Constant(both.type, 32))
                there = builder.and_(both, ir.Constant(both.type, 2**32 - 1))
                there = builder.mul(there, ir.Constant(both.type, vectors * lanes))
                weights = [builder.load(p, align=size) for p in vectors_at(memory("b", given["b_base"], there))]
                for source, row_sums in zip(sources, sums, strict=True):
                    at_here = builder.gep(source, [here])
                    if each is types.none:
                        factors = [in_all_lanes(builder.load(at_here))] * vectors
                    else:
                        factors = [load(place) for place in vectors_at(at_here)]
                    for total, factor, weight in zip(row_sums, factors, weights, strict=True):
                        builder.store(builder.call(fma, [factor, weight, builder.load(total)]), total)
            for total, target in pairs:
                store(builder.load(total), target)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


@inlined
def one_step(i, j):
    """A step, as one number: to look one up costs as much as what is looked up is multiplied with."""
    return i << 32 | j


_tile0, _tile1, _tile2, _tile3 = (_make_tile(*shape) for shape in TILES)
_R0, _R1, _R2, _R3 = (rows for _, _, rows in TILES)
MOST_ROWS = max(_R0, _R1, _R2, _R3)


@jit
def run(which, each, first, count, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more):
    """`count` rows of the tables, in tiles; behind them, the last row is repeated."""
    if which == 0:
        for row in range(first, first + count, _R0):
            _tile0(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    elif which == 1:
        for row in range(first, first + count, _R1):
            _tile1(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    elif which == 2:
        for row in range(first, first + count, _R2):
            _tile2(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    else:
        for row in range(first, first + count, _R3):
            _tile3(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip


@lru_cache(maxsize=256)
def panels_of(channels: int, itemsize: int) -> Array:
    """How channels are split into the widths of tiles: rows (which tile, first channel, channels, width)."""
    widths = [vectors * bytes_ // itemsize for vectors, bytes_, _ in TILES]
    at, panels = 0, []
    while at < channels:
        left = channels - at
        exact = (k for k, width in enumerate(widths) if width <= left or (TILES[k][0] == 1 and width < 2 * left))
        which = next(exact, len(widths) - 1)
        panels.append((which, at, min(widths[which], left), widths[which]))
        at += widths[which]
    return np.array(panels, np.intp).reshape(-1, 4)
