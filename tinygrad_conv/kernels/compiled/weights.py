"""Weights in the order in which tiles of registers read them: packed, in panels as wide as a tile."""

from __future__ import annotations

import numpy as np

from ..scratch import Array
from .jit import jit
from .places import seven

__all__ = ["map_of", "pack", "packing"]


def map_of(shape: tuple[int, ...]) -> Array:
    """An array of bytes in the place of weights: its views say where their elements lie."""
    return np.empty(shape, np.int8)


def packing(taps: Array, whole: Array) -> Array:
    """What `pack` must be told of taps (kd, kh, kw, channels, groups, filters), a view of `whole`: shape and places."""
    start = (taps.ctypes.data - whole.ctypes.data) if taps.size else 0
    return np.array((*taps.shape, start, *taps.strides, 0), np.intp)


@jit
def pack(w, packing, panels, packed):
    """w as one panel (taps, width) after the other, filled up with zeros."""
    kd, kh, kw, n, groups, _, first_source = seven(packing)
    step_h, step_i, step_j, step_k, step_g, step_c, _ = seven(packing[7:])
    at = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            first, count, width = panels[panel, 1], panels[panel, 2], panels[panel, 3]
            for h in range(kd):
                for i in range(kh):
                    for j in range(kw):
                        source = first_source + h * step_h + i * step_i + j * step_j + group * step_g + first * step_c
                        to = packed[at : at + n * width]
                        if step_c == 1:
                            for k in range(n):
                                row, line = w[source + k * step_k :], to[k * width :]
                                for c in range(count):
                                    line[c] = row[c]
                        else:
                            for c in range(count):
                                column = w[source + c * step_c :]
                                for k in range(n):
                                    to[k * width + c] = column[k * step_k]
                        for k in range(n if count < width else 0):
                            for c in range(count, width):
                                to[k * width + c] = 0
                        at += n * width
