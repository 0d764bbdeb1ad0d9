"""Weights in the order in which tiles of registers read them: packed, in panels as wide as a tile."""

from __future__ import annotations

import numpy as np

from ..scratch import Array
from .jit import jit

__all__ = ["map_of", "pack", "packing"]


def map_of(shape: tuple[int, ...]) -> Array:
    """An array of bytes in the place of weights: its views say where their elements lie."""
    return np.empty(shape, np.int8)


def packing(taps: Array, whole: Array, panels: Array) -> tuple[Array, int, int, int]:
    """What `pack` must be told of taps (kd, kh, kw, channels, groups, filters), a view of `whole`.

    For each group, panel and tap: where its first weight lies, the filters and width of the panel. Then the channels,
    and how far they and the filters are apart.
    """
    start = (taps.ctypes.data - whole.ctypes.data) if taps.size else 0
    *_, channels, groups, _ = taps.shape
    *steps, step_k, step_g, step_c = taps.strides
    each = (np.arange(size) * step for size, step in zip(taps.shape[:3], steps, strict=True))
    tap = np.ravel(sum(np.ix_(*each), start=start))
    first = np.arange(groups)[:, None, None] * step_g + panels[:, 1, None] * step_c + tap
    rows = [np.broadcast_to(x, first.shape).ravel() for x in (first, panels[:, 2, None], panels[:, 3, None])]
    return np.stack(rows, axis=1), channels, step_k, step_c


@jit
def pack(w, places, channels, step_k, step_c, packed):
    """w as one panel (taps, channels, width) after the other, filled up with zeros."""
    at = 0
    for row in range(len(places)):
        source, count, width = places[row, 0], places[row, 1], places[row, 2]
        for _ in range(channels):
            for c in range(count):
                packed[at + c] = w[source + c * step_c]
            for c in range(count, width):
                packed[at + c] = 0
            source += step_k
            at += width
