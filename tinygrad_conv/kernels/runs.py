"""Long runs: how NumPy is made to visit elements that lie apart as fast as those that lie together.

What costs time besides the arithmetic is how short the runs are that lie together, such as the channels of every other
column. So the elements are first copied to where runs are long, and in that copy a whole run moves as one element.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from .scratch import Array, scratch
from .window import Slices

__all__ = ["SHORT_RUN", "Piles", "copy_runs"]

SHORT_RUN = 128  # bytes: to visit runs as long as this once takes no longer where they are than to bring them together
FEW_RUNS = 1000  # columns: so many take less time to visit than it takes to begin dealing them out


def copy_runs(to: Array, x: Array) -> None:
    """``to[...] = x``, of equal shape and dtype, all of the last axis as one element.

    NumPy moves large elements at the speed of memory, but takes its time from each short row of small ones to the next.

    >>> to = np.empty((2, 3))
    >>> copy_runs(to, np.arange(12.0).reshape(4, 3)[::2])
    >>> to
    array([[0., 1., 2.],
           [6., 7., 8.]])
    """
    size = x.shape[-1] * x.itemsize
    if size > 8 and x.strides[-1] == to.strides[-1] == x.itemsize:
        run = np.dtype((np.void, size))
        to, x = to.view(run), x.view(run)
    np.copyto(to, x)


class Piles:
    """Every stride-th column of images (N, ..., W, C), in long runs.

    Where columns are short and so far apart, they are dealt into piles, one for each remainder of W by the stride.
    The more `visits` each will be paid, the more that saves.

    >>> piles = Piles(np.arange(6.0).reshape(1, 6, 1), 2).deal()
    >>> piles.at((slice(1, 5, 2),)).tolist()
    [[[1.0], [3.0]]]
    """

    def __init__(self, images: Array, stride: int, visits: int = 1, name: str = "piles") -> None:
        *before, w, c = images.shape
        self.images, self.stride = images, stride
        short = c * images.itemsize < visits * SHORT_RUN
        self.dealt = short and stride > 1 and prod(before) * w > FEW_RUNS
        if self.dealt:
            self.piles = scratch(name, (min(stride, w), *before, -(-w // stride), c), images.dtype)

    def at(self, inputs: Slices) -> Array:
        """The images at slices of all axes but N and C, that of W in steps of the stride."""
        *before, last = inputs
        if not self.dealt:
            return self.images[:, *inputs]
        pile, start = last.start % self.stride, last.start // self.stride
        columns: Array = self.piles[pile][:, *before, start : start + (last.stop - last.start) // self.stride]
        return columns

    def deal(self) -> Piles:
        """Fill the piles from the images."""
        for pile, columns in self._pairs():
            copy_runs(pile, columns)
        return self

    def clear(self) -> Piles:
        """Set everything to 0."""
        (self.piles if self.dealt else self.images).fill(0)
        return self

    def collect(self) -> None:
        """Fill the images from the piles."""
        for pile, columns in self._pairs():
            copy_runs(columns, pile)

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        for k, pile in enumerate(self.piles if self.dealt else ()):
            columns = self.images[..., k :: self.stride, :]
            yield pile[..., : columns.shape[-2], :], columns
