"""Winograd's transforms of small tiles, compiled: M d Mᵀ for a vector of neighbouring channels at a time.

The points that the matrices come from are in pairs ±a, so sums and differences serve two rows of a matrix each.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..winograd import matrices
from .vectors import Vector, lanes_of, load_lanes, store_lanes

__all__ = ["gradient_of", "inputs_of", "kernel_of", "outputs_of", "spread_of"]

Array: TypeAlias = np.ndarray[Any, Any]


def _paired(rows: Array) -> Array:
    """Half the sum and half the difference of each pair of rows, those of points ±a: half of their numbers are 0."""
    new = rows.copy()
    new[1:-1:2], new[2:-1:2] = (rows[1:-1:2] + rows[2:-1:2]) / 2, (rows[1:-1:2] - rows[2:-1:2]) / 2
    return new


def _product(builder: Any, fma: Any, matrix: Array, d: list[Any]) -> list[Any]:
    """matrix @ d, d a list of vectors; in pairs along the longer axis of the matrix."""

    def pairs(v: list[Any]) -> list[Any]:
        mixed = [(builder.fadd(p, m), builder.fsub(p, m)) for p, m in zip(v[1:-1:2], v[2:-1:2], strict=True)]
        return [v[0], *(x for pair in mixed for x in pair), v[-1]]

    def row(numbers: Array) -> Any:
        total = None
        for k in sorted(np.flatnonzero(numbers), key=lambda k: numbers[k] != 1):
            factor = ir.Constant(d[k].type, [float(numbers[k])] * d[k].type.count)
            if total is None:
                total = d[k] if numbers[k] == 1 else builder.fmul(d[k], factor)
            elif numbers[k] == 1:
                total = builder.fadd(total, d[k])
            else:
                total = builder.call(fma, [d[k], factor, total])
        return total

    if matrix.shape[0] < matrix.shape[1]:
        d = pairs(d)
        return [row(numbers) for numbers in _paired(matrix.T).T]
    return pairs([row(numbers) for numbers in _paired(matrix)])


def _make(matrix_of: Any) -> Any:
    """A transform by one matrix for tiles of 4 outputs along an axis (`small` is None), and of 2."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def transform(typing, small, x, at, row, column, valid, y, to, y_row, y_column, y_valid):
        """y[to + i * y_row + j * y_column + c] = Σ M[i, k] M[j, l] x[at + k * row + l * column + c], for the lanes c.

        Returns the sums of the results' absolute values.
        """
        matrix = matrix_of(*matrices(4 if small is types.none else 2))
        count = lanes_of(x.dtype)

        def generate(context, builder, signature, values):
            _, source, at, row, column, valid, target, to, y_row, y_column, y_valid = values
            kinds = signature.args
            integer = at.type
            made = ir.VectorType(context.get_value_type(x.dtype), count)
            suffix = f"v{count}f{x.dtype.bitwidth}"
            fma, absolute = (
                cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(made, [made] * k), f"llvm.{name}.{suffix}"
                )
                for name, k in (("fmuladd", 3), ("fabs", 1))
            )

            def place(start, i, first, j, second):
                steps = builder.mul(first, ir.Constant(integer, i)), builder.mul(second, ir.Constant(integer, j))
                return builder.add(builder.add(start, steps[0]), steps[1])

            m, n = matrix.shape
            lines = []
            for column_ in range(n):
                d = [
                    load_lanes(
                        context, builder, kinds[1], (source, place(at, i, row, column_, column), valid), count, kinds[5]
                    )
                    for i in range(n)
                ]
                lines.append(_product(builder, fma, matrix, d))
            total = ir.Constant(made, None)
            for i in range(m):
                for j, v in enumerate(_product(builder, fma, matrix, [line[i] for line in lines])):
                    store_lanes(
                        context, builder, kinds[6], (target, place(to, i, y_row, j, y_column), y_valid), v, kinds[10]
                    )
                    total = builder.fadd(total, builder.call(absolute, [v]))
            return total

        return Vector(x.dtype, count)(small, x, at, row, column, valid, y, to, y_row, y_column, y_valid), generate

    return transform


inputs_of = _make(lambda a, b, g: b)
outputs_of = _make(lambda a, b, g: a.T)
kernel_of = _make(lambda a, b, g: g)
spread_of = _make(lambda a, b, g: a)
gradient_of = _make(lambda a, b, g: g.T)
