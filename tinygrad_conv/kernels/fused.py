"""Several operations in one pass over memory, to the bit what they give one by one.

The plain forms go through the batch in blocks that stay in the cache. Each takes as `out` the array or arrays to
write in: C-contiguous, of the result's shape and dtype, and of any content.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np

from . import pool
from .product import sum_rows
from .scratch import result, scratch
from .window import Window

__all__ = ["bias_relu", "bias_relu_grad", "bias_relu_max_pool", "bias_relu_max_pool_grad"]

Array: TypeAlias = np.ndarray[Any, Any]

BLOCK_BYTES = 1 << 18  # of each array at a time: a few of them fit a level-2 cache


def _blocks(x: Array) -> Iterator[slice]:
    """Slices of the first axis of about `BLOCK_BYTES` each."""
    size = max(1, BLOCK_BYTES // max(1, prod(x.shape[1:]) * x.itemsize))
    return (slice(start, min(start + size, len(x))) for start in range(0, len(x), size))


def bias_relu(z: Array, b: Array, *, out: Array | None = None) -> Array:
    """max(z + b, 0), b one per channel (the last axis); `out` may be z."""
    y = result(out, z.shape, z.dtype)
    for block in _blocks(z):
        part = np.add(z[block], b, out=y[block])
        np.maximum(part, 0, out=part)
    return y


def bias_relu_grad(g: Array, y: Array, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """For y = relu(z + b) and a cotangent g of it, those of z and b: dz = g (y > 0), db = Σ dz; dz may be g.

    db is summed up block by block by BLAS, and the blocks in float64.
    """
    dz, db = out or (None, None)
    dz, db = result(dz, g.shape, g.dtype), result(db, g.shape[-1:], g.dtype)
    total = np.zeros(len(db))
    for block in _blocks(g):
        part = np.multiply(g[block], y[block] > 0, out=dz[block])
        total += sum_rows(part)
    db[...] = total
    return dz, db


def bias_relu_max_pool(
    z: Array, b: Array, window: Window, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """The maximum of each window of relu(z + b), and the place of the first one in it, as from `max_pool`."""
    shape = (len(z), *window.out_sizes, z.shape[-1])
    y, argmax = out or (None, None)
    y, argmax = result(y, shape, z.dtype), result(argmax, shape, np.min_scalar_type(prod(window.kernel) - 1))
    for block in _blocks(z):
        part = bias_relu(z[block], b, out=scratch("bias_relu_max_pool", z[block].shape, z.dtype))
        pool.max_pool(part, window, out=(y[block], argmax[block]))
    return y, argmax


def bias_relu_max_pool_grad(
    g: Array, y: Array, argmax: Array, window: Window, *, out: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """For y, argmax = bias_relu_max_pool(z, b) and a cotangent g of y, those of z and b.

    db is summed up block by block by BLAS, and the blocks in float64.
    """
    dz, db = out or (None, None)
    dz = result(dz, (len(g), *window.in_sizes, g.shape[-1]), g.dtype)
    db = result(db, g.shape[-1:], g.dtype)
    total = np.zeros(len(db))
    for block in _blocks(dz):
        kept = np.multiply(g[block], y[block] > 0)
        total += sum_rows(kept)
        pool.pool_scatter(kept, argmax[block], window, out=dz[block])
    db[...] = total
    return dz, db
