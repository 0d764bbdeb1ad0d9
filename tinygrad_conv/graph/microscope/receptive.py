"""Receptive fields: which part of every earlier array one output depends on.

Along an axis, output o of a window reads the inputs from ``stride * o + low`` to ``stride * o + high``. Windows after
each other compose: so a field is three numbers per axis, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import ceil, floor
from typing import Any, NamedTuple, TypeAlias

from ...engine.node import Node, Shape
from .cells import KINDS

__all__ = ["Field", "Span", "fields"]


class Span(NamedTuple):
    """Along one axis, output o depends on inputs from ``step * o + low`` to ``step * o + high``."""

    step: float
    low: float
    high: float

    def at(self, o: int, size: int) -> tuple[int, int]:
        """First and last input that output o depends on, within the array.

        >>> Span(2, -1, 1).at(0, 8)
        (0, 1)
        """
        return max(0, ceil(self.step * o + self.low)), min(size - 1, floor(self.step * o + self.high))

    def through(self, k: int, s: int, d: int, before: int, transposed: bool) -> Span:
        """The span in the input of a window, given the span in its output."""
        if transposed:
            return Span(self.step / s, (self.low + before - d * (k - 1)) / s, (self.high + before) / s)
        return Span(self.step * s, self.low * s - before, self.high * s - before + d * (k - 1))

    def union(self, other: Span) -> Span | None:
        """Both together; None (everything) if they move at different speeds."""
        if self.step != other.step:
            return None
        return Span(self.step, min(self.low, other.low), max(self.high, other.high))


Spans: TypeAlias = list["Span | None"]  # per axis; None: the axis as a whole


class Field(NamedTuple):
    """What the output depends on in one input of a window (channels last), or in the first input of all."""

    node: Node  # the operation that reads the array
    position: int  # as which of its inputs
    shape: Shape
    spans: Spans

    @property
    def name(self) -> str:
        """In words."""
        assert self.node.primitive is not None
        return f"input of {self.node.primitive.label}"


def fields(node: Node, shape: Shape) -> list[Field]:
    """From the input of `node`, a window, back to the first input: what an element of its output depends on."""
    unit: Spans = [None, *(Span(1, 0, 0) for _ in shape[1:-1]), None]
    pending = {node: unit}
    heap = [(-node.index, node)]
    found: list[Field] = []
    while heap:
        node = heappop(heap)[1]
        spans = pending.pop(node)
        if node.primitive is None:
            continue
        windowed = KINDS.get(node.primitive.name) not in (None, "dense")
        for k, parent in enumerate(node.parents):
            kernel = k == 1 and windowed
            before = None if kernel else _before(node, spans, k)
            if before is None:
                continue
            inner, inner_shape = before
            if windowed and any(inner):
                found.append(Field(node, k, inner_shape, inner))
            if parent is not None and any(inner):
                if parent in pending:
                    inner = [a.union(b) if a and b else None for a, b in zip(pending[parent], inner, strict=True)]
                else:
                    heappush(heap, (-parent.index, parent))
                pending[parent] = inner
    return found


def _before(node: Node, spans: Spans, k: int) -> tuple[Spans, Shape] | None:
    """The spans in input k of an operation, and that input's shape; None where nothing is known."""
    assert node.primitive is not None
    name, parent = node.primitive.name, node.parents[k]
    if KINDS.get(name) not in (None, "dense"):
        window = node.params["window"]
        transposed = name == "conv_transpose"
        sizes = window.out_sizes if transposed else window.in_sizes
        inner: Spans = [None] * len(spans)
        for axis, (n, s, d, (pad, _)) in enumerate(
            zip(window.kernel, window.stride, window.dilation, window.pads, strict=True), start=1
        ):
            span = spans[axis]
            inner[axis] = span.through(n, s, d, pad, transposed) if span else None
        return inner, (node.shape[0], *sizes, -1)
    if parent is None:
        return None
    if name == "permute_dims":
        axes: Sequence[Any] = node.params["axes"] or range(len(spans))[::-1]
        inner = [None] * len(spans)
        for span, axis in zip(spans, axes, strict=True):
            inner[axis] = span
        return inner, parent.shape
    if node.primitive.kind == "elementwise" or (node.primitive.broadcasts and name != "_matmul"):
        aligned = spans[len(spans) - len(parent.shape) :]
        return [s if n > 1 else None for s, n in zip(aligned, parent.shape, strict=True)], parent.shape
    if parent.shape == node.shape and name not in ("flip", "cumsum"):
        return (spans, parent.shape) if name in _PLACEWISE else None
    return None


_PLACEWISE = {"identity", "copy", "astype"}
