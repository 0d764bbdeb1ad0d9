"""Products by BLAS, on bare arrays, in the threads that all kernels share."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np

from .scratch import Array, blocks
from .threads import blas_on_one, shared, threads, worth

__all__ = ["matmul", "sum_rows"]

ALONE = 1 << 18  # multiply-adds that BLAS does on one thread in any case
START = 1 << 22  # that it does in the time it takes to start a thread and to wait for its end
FEW_EACH = 8  # rows for a thread: with fewer, products are slower
FEW_ROWS = 64  # whose sum takes NumPy no longer than BLAS


def matmul(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b: (..., M, K) and (..., K, N) to (..., M, N), leading axes broadcast; M or N may be missing.

    Each thread takes some of the rows of a large matrix. BLAS' own threads are left to matrices of few rows.
    """
    work = a.size * b.shape[-1]
    if work <= ALONE or threads() == 1:
        product: Array = np.matmul(a, b, out)
        return product
    if work < 4 * START:
        with blas_on_one():
            return np.matmul(a, b, out)
    count = worth(work, len(a) // FEW_EACH, START)
    if a.ndim != 2 or b.ndim != 2 or count < 2:
        return np.matmul(a, b, out)
    y = np.empty((len(a), b.shape[-1]), np.result_type(a, b)) if out is None else out
    shared([partial(np.matmul, a[part], b, y[part]) for part in blocks(len(a), count, len(a))])
    return y


def sum_rows(x: Array, *, out: Array | None = None) -> Array:
    """The sum over all axes but the last, (..., C) to (C,): BLAS does it ten times as fast as NumPy."""
    table = x.reshape(prod(x.shape[:-1]), x.shape[-1])
    if len(table) > FEW_ROWS and x.dtype.char in "fd":
        return matmul(np.ones(len(table), x.dtype), table, out=out)
    total: Array = np.add.reduce(table, 0, None, out)  # type: ignore[arg-type]  # None or an array
    return total
