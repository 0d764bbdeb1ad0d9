"""Normalisation, compiled: once through memory for the statistics, once for what is made of them.

Sums are in float64, and over blocks that stay in the cache, whose means and variances are then joined.
"""

from __future__ import annotations

import numpy as np

from ..scratch import Array, result
from .arrays import array, rows
from .jit import jit

__all__ = ["moments", "standardize", "standardize_grad"]

BLOCK = 1 << 13  # elements


def moments(x: Array, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """`kernels.norm.moments`, compiled."""
    mean, variance = out or (None, None)
    mean, variance = result(mean, x.shape[-1:], x.dtype), result(variance, x.shape[-1:], x.dtype)
    _moments(rows(x), mean, variance)
    return mean, variance


def standardize(x: Array, mean: Array, scale: Array, *, out: Array | None = None) -> Array:
    """`kernels.norm.standardize`, compiled."""
    y = result(out, x.shape, x.dtype)
    _standardize(rows(x), array(mean), array(scale), rows(y))
    return y


def standardize_grad(g: Array, y: Array, scale: Array, *, out: Array | None = None) -> Array:
    """`kernels.norm.standardize_grad`, compiled."""
    dx = result(out, g.shape, g.dtype)
    _standardize_grad(rows(g), rows(y), array(scale), rows(dx))
    return dx


@jit
def _moments(x, mean, variance):
    """Blocks of rows: each one's mean and sum of squares around it, joined as Chan, Golub & LeVeque (1979) do."""
    n, channels = x.shape
    total, squares = np.zeros(channels), np.zeros(channels)  # the mean so far, and the sum of squares around it
    block_mean, block_squares = np.empty(channels), np.empty(channels)
    size = max(1, BLOCK // max(1, channels))
    for low in range(0, n, size):
        high = min(low + size, n)
        for c in range(channels):
            block_mean[c] = 0
            block_squares[c] = 0
        for row in range(low, high):
            for c in range(channels):
                block_mean[c] += x[row, c]
        for c in range(channels):
            block_mean[c] /= high - low
        for row in range(low, high):
            for c in range(channels):
                d = x[row, c] - block_mean[c]
                block_squares[c] += d * d
        for c in range(channels):
            d = block_mean[c] - total[c]
            total[c] += d * (high - low) / high
            squares[c] += block_squares[c] + d * d * low * (high - low) / high
    for c in range(channels):
        mean[c] = total[c]
        variance[c] = squares[c] / n


@jit
def _standardize(x, mean, scale, y):
    for row in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[row, c] = (x[row, c] - mean[c]) * scale[c]


@jit
def _standardize_grad(g, y, scale, dx):
    n, channels = g.shape
    total, along = np.zeros(channels), np.zeros(channels)
    for row in range(n):
        for c in range(channels):
            total[c] += g[row, c]
            along[c] += g[row, c] * y[row, c]
    mean, slope = np.empty(channels, g.dtype), np.empty(channels, g.dtype)
    for c in range(channels):
        mean[c] = total[c] / n
        slope[c] = along[c] / n
    for row in range(n):
        for c in range(channels):
            dx[row, c] = scale[c] * (g[row, c] - mean[c] - y[row, c] * slope[c])
