"""Which inputs each place of an output reads along an axis, and which places go together."""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..window import Window
from .jit import inlined, jit
from .tiles import MOST_ROWS

__all__ = ["Axis", "axes_of", "list_places", "phase", "seven", "stage_images", "twelve"]

Array: TypeAlias = np.ndarray[Any, Any]


class Axis(NamedTuple):
    """What places along an axis read: place t the sources ``t * stride - before + i * dilation`` for i < taps.

    And which they are: the results ``first + t * step`` for t < places. There are `size` sources and `whole` results.
    """

    taps: int
    stride: int
    dilation: int
    before: int
    places: int
    size: int
    whole: int
    first: int = 0
    step: int = 1

    @property
    def reach(self) -> int:
        """How many sources they read, from the first to the last, padding included."""
        return max(0, (self.places - 1) * self.stride + (self.taps - 1) * self.dilation + 1)

    def parts(self) -> list[tuple[int, int, int, int]]:
        """Runs of places that read the same taps besides padding: (first place, last + 1, first tap, last + 1).

        >>> Axis(3, 1, 1, 1, 5, 5, 5).parts()
        [(0, 1, 1, 3), (1, 4, 0, 3), (4, 5, 0, 2)]
        """
        start = np.arange(self.places) * self.stride - self.before
        low = np.clip(-(start // self.dilation), 0, self.taps)
        high = np.clip((self.size - 1 - start) // self.dilation + 1, low, self.taps)
        cuts = [0, *(np.flatnonzero(np.diff(low) | np.diff(high)) + 1).tolist(), self.places]
        return [(a, b, int(low[a]), int(high[a])) for a, b in pairwise(cuts)]


def axes_of(window: Window) -> list[Axis]:
    """Three of them, the first ones made up."""
    w, before = window, (front for front, _ in window.pads)
    own = map(Axis, w.kernel, w.stride, w.dilation, before, w.out_sizes, w.in_sizes, w.out_sizes)
    return [Axis(1, 1, 1, 0, 1, 1, 1)] * (3 - window.rank) + list(own)


def phase(axis: Axis, remainder: int) -> tuple[Axis, slice]:
    """The inputs ``first + t * s`` of one remainder, and the elements of the reversed kernel that meet them.

    Element i meets input r at output ``(r + before - i * d) / s``, if that is an integer.
    """
    k, s, d, before, outs, n = axis[:6]
    first = (remainder - before) % s
    places = len(range(first, n, s))
    elements = [i for i in range(k) if (remainder - i * d) % s == 0]
    if not elements:
        return Axis(0, 1, 1, 0, places, outs, n, first, s), slice(0)
    last = elements[-1]  # which reads the lowest output
    step, apart = s // gcd(s, d), d // gcd(s, d)
    start = -((first + before - last * d) // s)
    return Axis(len(elements), 1, apart, start, places, outs, n, first, s), slice(k - 1 - last, k - elements[0], step)


@inlined
def seven(a):
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6]


@inlined
def twelve(a):
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]


@jit
def stage_images(x, first, count, channels, axes, stage):
    """Some images with their padding, or the part of them that is read."""
    front, top, left = axes[0, 3], axes[1, 3], axes[2, 3]
    depth, height, width = axes[0, 5], axes[1, 5], axes[2, 5]
    rows, row = axes[1, 9], axes[2, 9] * channels  # of what is read
    low = min(max(left, 0) * channels, row)
    high = max(min((width + left) * channels, row), low)
    for k in range(count * axes[0, 9] * rows):
        image, z, p = k // rows // axes[0, 9], k // rows % axes[0, 9] - front, k % rows - top
        inside = 0 <= z < depth and 0 <= p < height
        start, end = (low, high) if inside else (0, 0)
        place = ((first + image) * depth + z) * height + p if inside else 0
        to, source = stage[k * row : k * row + row], x[place * width * channels + max(-left, 0) * channels :]
        interior = to[start:end]
        for c in range(start):
            to[c] = 0
        for c in range(len(interior)):
            interior[c] = source[c]
        for c in range(end, row):
            to[c] = 0


@jit
def list_places(table, low, count, depth, rows, columns, image_step, depth_step, row_step, column_step):
    """Where places lie, of images, depths, rows and columns: `count` from the `low`-th on. Then the last again."""
    q, p, z, m = low % columns, low // columns % rows, low // columns // rows % depth, low // columns // rows // depth
    k = 0
    while k < count:
        start = m * image_step + z * depth_step + p * row_step
        more = min(columns - q, count - k)
        for i in range(more):
            table[k + i] = start + (q + i) * column_step
        k += more
        q = 0
        p += 1
        if p == rows:
            p = 0
            z += 1
            if z == depth:
                z = 0
                m += 1
    for i in range(MOST_ROWS):
        table[count + i] = table[count - 1]
