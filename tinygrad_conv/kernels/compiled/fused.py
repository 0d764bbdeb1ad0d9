"""The fused kernels, compiled: one pass, in the order of rounding of the operations one by one."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..scratch import result
from .arrays import array, rows
from .jit import jit

__all__ = ["bias_relu", "bias_relu_grad"]

Array: TypeAlias = np.ndarray[Any, Any]


def bias_relu(z: Array, b: Array, *, out: Array | None = None) -> Array:
    """`kernels.fused.bias_relu`, compiled."""
    y = result(out, z.shape, z.dtype)
    _bias_relu(rows(z), array(b), rows(y))
    return y


def bias_relu_grad(g: Array, y: Array, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """`kernels.fused.bias_relu_grad`, compiled."""
    dz, db = out or (None, None)
    dz, db = result(dz, g.shape, g.dtype), result(db, g.shape[-1:], g.dtype)
    _bias_relu_grad(rows(g), rows(y), rows(dz), db)
    return dz, db


@jit
def _bias_relu(z, b, y):
    for row in range(z.shape[0]):
        for c in range(z.shape[1]):
            v = z[row, c] + b[c]
            y[row, c] = z.dtype.type(0) if v <= 0 else v  # a NaN stays


@jit
def _bias_relu_grad(g, y, dz, db):
    total = np.zeros(len(db))
    for row in range(g.shape[0]):
        for c in range(g.shape[1]):
            v = g[row, c] * g.dtype.type(y[row, c] > 0)
            dz[row, c] = v
            total[c] += v
    for c in range(len(db)):
        db[c] = total[c]
