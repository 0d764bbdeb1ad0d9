"""Normalisation over all axes but the last, on bare arrays: the statistics, their use, and its gradient.

Each takes as `out` the array or arrays to write in: C-contiguous, of the result's shape and dtype, and of any content.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .product import sum_rows
from .scratch import Array, result

__all__ = ["moments", "standardize", "standardize_grad"]


def moments(x: Array, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """Mean and variance of each channel: x (..., C) to two arrays (C,), in two passes."""
    mean, variance = out or (None, None)
    mean, variance = result(mean, x.shape[-1:], x.dtype), result(variance, x.shape[-1:], x.dtype)
    n = x.dtype.type(prod(x.shape[:-1]))
    np.divide(sum_rows(x), n, out=mean)
    centred = x - mean
    return mean, np.divide(sum_rows(np.multiply(centred, centred, out=centred)), n, out=variance)


def standardize(x: Array, mean: Array, scale: Array, *, out: Array | None = None) -> Array:
    """(x - mean) * scale, one of each per channel."""
    y = np.subtract(x, mean, out=result(out, x.shape, x.dtype))
    return np.multiply(y, scale, out=y)


def standardize_grad(g: Array, y: Array, scale: Array, *, out: Array | None = None) -> Array:
    """scale * (g - mean(g) - y mean(g y)): from a cotangent g of the standardized y, that of x."""
    n = prod(g.shape[:-1])
    dx = np.multiply(g, y, out=result(out, g.shape, g.dtype))
    centred = g - sum_rows(g) / n
    np.subtract(centred, np.multiply(y, sum_rows(dx) / n, out=dx), out=dx)
    return np.multiply(scale, dx, out=dx)
