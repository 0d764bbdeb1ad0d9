"""`Window`: which inputs each output of a convolution or a pooling reads.

Output ``o`` reads, for each kernel offset ``i``, the input ``o * stride - before + i * dilation`` (per axis); an input
below 0 or beyond the end is padding. A `Window` holds these numbers for every axis, resolved and checked, so the
kernels never have to ask again. `geometry` makes windows from what users write.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

__all__ = ["Pads", "Sizes", "Slices", "Window", "out_size", "same_pads"]

Sizes: TypeAlias = tuple[int, ...]
Pads: TypeAlias = tuple[tuple[int, int], ...]
Slices: TypeAlias = tuple[slice, ...]


def out_size(n: int, k: int, s: int, d: int, before: int, after: int) -> int:
    """How many windows fit along an axis."""
    return (n + before + after - d * (k - 1) - 1) // s + 1


def same_pads(n: int, out: int, k: int, s: int, d: int) -> tuple[int, int]:
    """TensorFlow's "same": as much padding as `out` windows need, the odd cell at the end."""
    total = max((out - 1) * s + d * (k - 1) + 1 - n, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """The resolved geometry of a convolution or pooling: sizes per spatial axis, and groups.

    >>> Window(kernel=(3,), stride=(2,), dilation=(1,), pads=((1, 1),), in_sizes=(8,), out_sizes=(4,)).reach
    (3,)
    """

    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    pads: Pads
    in_sizes: Sizes
    out_sizes: Sizes
    groups: int = 1

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    @cached_property
    def reach(self) -> Sizes:
        """How far a window extends: the kernel with its dilation."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @cached_property
    def padded(self) -> bool:
        """Is there any padding?"""
        return any(map(any, self.pads))

    @cached_property
    def padded_sizes(self) -> Sizes:
        """The input sizes, padding included."""
        return tuple(n + before + after for n, (before, after) in zip(self.in_sizes, self.pads, strict=True))

    @cached_property
    def interior(self) -> Slices:
        """Where the input lies in its padded form (spatial axes only)."""
        return tuple(slice(before, before + n) for n, (before, _) in zip(self.in_sizes, self.pads, strict=True))

    @cached_property
    def pointwise(self) -> bool:
        """Does every output read the one input at its own place?"""
        return max(self.reach) == 1 and max(self.stride) == 1 and not self.padded

    @cached_property
    def tiles(self) -> bool:
        """Do windows lie side by side, without padding, gaps or overlap?"""
        return self.kernel == self.stride and max(self.dilation) == 1 and not self.padded

    @cached_property
    def whole(self) -> bool:
        """Is there one window, which is the whole image?"""
        return self.kernel == self.in_sizes and max(self.dilation) == 1 and not self.padded

    @cached_property
    def transposed(self) -> Window | None:
        """The window whose convolution, with the kernel flipped, is the input gradient of this one's.

        None if there is none: with a stride, or so much padding that some windows hold nothing else.

        >>> Window((3,), (1,), (1,), ((0, 1),), (8,), (7,)).transposed
        Window(kernel=(3,), stride=(1,), dilation=(1,), pads=((2, 1),), in_sizes=(7,), out_sizes=(8,), groups=1)
        """
        pads = tuple(
            (reach - 1 - before, reach - 1 - after)
            for reach, (before, after) in zip(self.reach, self.pads, strict=True)
        )
        if max(self.stride) > 1 or any(p < 0 for pair in pads for p in pair):
            return None
        return Window(self.kernel, self.stride, self.dilation, pads, self.out_sizes, self.in_sizes, self.groups)

    @cached_property
    def axis_cells(self) -> tuple[tuple[tuple[slice, slice], ...], ...]:
        """For each axis, for each kernel offset along it: the outputs that read a real input there, and those inputs.

        Both are of equal length, and the inputs `stride` apart. So padding needs no copy of the input.
        """
        axes = []
        for k, s, d, (before, _), n, out in zip(
            self.kernel, self.stride, self.dilation, self.pads, self.in_sizes, self.out_sizes, strict=True
        ):
            axis = []
            for i in range(k):
                start = i * d - before  # the input that output 0 reads
                first = max(0, -(start // s))
                count = max(0, min(out, (n - 1 - start) // s + 1) - first)
                at = start + first * s
                axis.append((slice(first, first + count), slice(at, at + count * s, s) if count else slice(0, 0)))
            axes.append(tuple(axis))
        return tuple(axes)

    @cached_property
    def cells(self) -> tuple[tuple[Slices, Slices], ...]:
        """`axis_cells` of all axes together: for each kernel offset in row-major order, outputs and their inputs."""
        return tuple((tuple(o for o, _ in cell), tuple(i for _, i in cell)) for cell in product(*self.axis_cells))
