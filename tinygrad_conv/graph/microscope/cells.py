"""One output of a convolution, a pooling or a dense layer: which inputs it reads, with what they are multiplied.

Written to be read: one loop per output, no blocks, no matrices. It is what the microscope shows, and tests hold it
to the kernels that compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...engine.tensor import ndarray

__all__ = ["KINDS", "Index", "Lens", "Term", "gather", "lens", "spread"]

Index: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One product of a sum: an element of x, an element of w, and their product.

    `x` is None for padding, `w` is None where there is no kernel (pooling): then `factor` is 1 or 1 over a count.
    """

    x: Index | None
    w: Index | None
    value: Any
    factor: Any

    @property
    def product(self) -> float:
        """In double precision: of two float32 numbers it is exact."""
        return float(self.value) * float(self.factor) + 0.0  # no -0.0


@dataclass(frozen=True)
class Lens:
    """The operation under the microscope: its kind, its arrays, and its window (None: dense)."""

    kind: str
    x: ndarray[Any, Any]
    w: ndarray[Any, Any] | None = None
    window: Any = None
    count_include_pad: bool = False

    @property
    def shape(self) -> Index:
        """Of the output: (N, *places, C)."""
        n, window = len(self.x), self.window
        if self.w is None:
            return n, *window.out_sizes, self.x.shape[-1]
        if window is None:
            return n, self.w.shape[-1]
        if self.kind == "conv_transpose":
            return (n, *window.in_sizes, window.groups * self.w.shape[-2])
        return (n, *window.out_sizes, self.w.shape[-1])

    def reads(self, place: Index) -> Iterator[tuple[Index, Index | None]]:
        """For an output's place: each kernel offset it uses, and the input's place (None: padding)."""
        window = self.window
        axes = zip(
            place, window.kernel, window.stride, window.dilation, window.pads, window.in_sizes, window.out_sizes,
            strict=True,
        )  # fmt: skip
        along = spread if self.kind == "conv_transpose" else gather
        for cell in product(*(list(along(*axis)) for axis in axes)):
            inside = all(position is not None for _, position in cell)
            yield tuple(offset for offset, _ in cell), tuple(p for _, p in cell) if inside else None  # type: ignore[misc]

    def terms(self, n: int, place: Index, channel: int) -> list[Term]:
        """Everything that one output is the sum of (of max pooling: the one that won has factor 1, the others 0)."""
        return list(_TERMS[self.kind](self, n, place, channel))


def gather(o: int, k: int, s: int, d: int, pads: tuple[int, int], n: int, _: int) -> Iterator[tuple[int, int | None]]:
    """Along one axis, for place o of the output: each kernel offset with the input's place, None for padding."""
    for i in range(k):
        position = o * s - pads[0] + i * d
        yield i, position if 0 <= position < n else None


def spread(q: int, k: int, s: int, d: int, pads: tuple[int, int], _: int, n: int) -> Iterator[tuple[int, int | None]]:
    """The other way round: the inputs of a transposed convolution whose kernel reaches place q."""
    for i in range(k):
        position, rest = divmod(q + pads[0] - i * d, s)
        if rest == 0 and 0 <= position < n:
            yield i, position


def _conv(lens: Lens, n: int, place: Index, channel: int) -> Iterator[Term]:
    assert lens.w is not None
    per_group = lens.w.shape[-2]
    first = channel // (lens.w.shape[-1] // lens.window.groups) * per_group
    for offset, position in lens.reads(place):
        for k in range(per_group):
            at = None if position is None else (n, *position, first + k)
            of = (*offset, k, channel)
            yield Term(at, of, lens.x.dtype.type(0) if at is None else lens.x[at], lens.w[of])


def _conv_transpose(lens: Lens, n: int, place: Index, channel: int) -> Iterator[Term]:
    assert lens.w is not None
    group, inner = divmod(channel, lens.w.shape[-2])
    per_group = lens.w.shape[-1] // lens.window.groups
    for offset, position in lens.reads(place):
        for k in range(group * per_group, (group + 1) * per_group):
            at, of = (n, *position, k), (*offset, inner, k)  # type: ignore[misc]
            yield Term(at, of, lens.x[at], lens.w[of])


def _max_pool(lens: Lens, n: int, place: Index, channel: int) -> Iterator[Term]:
    cells = [(n, *position, channel) for _, position in lens.reads(place) if position is not None]
    values = [lens.x[at] for at in cells]
    winner = next((k for k, v in enumerate(values) if v != v), None)  # a NaN counts as greatest
    winner = values.index(max(values)) if winner is None else winner
    for k, (at, value) in enumerate(zip(cells, values, strict=True)):
        yield Term(at, None, value, lens.x.dtype.type(k == winner))


def _avg_pool(lens: Lens, n: int, place: Index, channel: int) -> Iterator[Term]:
    cells = list(lens.reads(place))
    size = prod(lens.window.kernel) if lens.count_include_pad else sum(p is not None for _, p in cells)
    dtype = lens.x.dtype if lens.x.dtype.kind == "f" else np.dtype("float64")
    share = dtype.type(1 / size)
    for _, position in cells:
        if position is not None:
            at = (n, *position, channel)
            yield Term(at, None, lens.x[at], share)
        elif lens.count_include_pad:
            yield Term(None, None, lens.x.dtype.type(0), share)


def _dense(lens: Lens, n: int, place: Index, channel: int) -> Iterator[Term]:
    assert lens.w is not None
    for k in range(len(lens.w)):
        yield Term((n, k), (k, channel), lens.x[n, k], lens.w[k, channel])


_TERMS: dict[str, Any] = {
    "conv": _conv, "conv_transpose": _conv_transpose, "max_pool": _max_pool, "avg_pool": _avg_pool, "dense": _dense,
}  # fmt: skip

KINDS = {  # primitive -> kind
    "conv": "conv", "conv_transpose": "conv_transpose", "pool_max": "max_pool", "pool_maxima": "max_pool",
    "pool_mean": "avg_pool", "_matmul": "dense",
}  # fmt: skip


def lens(primitive: str, inputs: list[Any], params: dict[str, Any]) -> Lens | None:
    """The lens for one recorded operation; None for an operation that is none of these."""
    kind = KINDS.get(primitive)
    arrays = [np.asarray(a) for a in inputs]
    if kind is None or (kind == "dense" and any(a.ndim != 2 for a in arrays)):
        return None
    w = arrays[1] if len(arrays) > 1 else None
    return Lens(kind, arrays[0], w, params.get("window"), bool(params.get("count_include_pad", False)))
