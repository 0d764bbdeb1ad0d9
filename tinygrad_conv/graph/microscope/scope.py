"""`Scope`: one operation under the microscope, with its arrays and with what came after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arguments import checked
from ...engine.node import Node, Shape
from ...engine.tensor import ndarray
from ..watching import Watch
from .cells import Lens
from .receptive import Field, fields

__all__ = ["AXES", "Scope", "Stage"]

AXES = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
_NAMES = {"max_pool": "max pooling", "avg_pool": "average pooling", "conv_transpose": "transposed conv"}


@dataclass(frozen=True)
class Stage:
    """What comes after the operation itself: something added, axes moved or split, or a function of each element."""

    node: Node
    added: ndarray[Any, Any] | None = None
    axes: Sequence[int] | None = None


@checked
class Scope:
    """One operation and its arrays, with what came after it.

    Attributes
    ----------
    kind : "conv", "conv_transpose", "max_pool", "avg_pool" or "dense"
    x, w, y : array
        Input, kernel (None for pooling) and output with what was added to it, channels last.
    window : the geometry (None for dense): kernel, stride, dilation, pads, in_sizes, out_sizes, groups
    before, after : the stages up to the last that adds something, and those after it
    """

    def __init__(
        self, lens: Lens, node: Node, stages: Sequence[Stage], watch: Watch, gradient: ndarray[Any, Any] | None
    ) -> None:
        self.lens, self.node, self.watch = lens, node, watch
        self.kind, self.x, self.w, self.window = lens.kind, lens.x, lens.w, lens.window
        self.gradient = gradient
        self.shape: Shape = lens.shape
        last = max((k for k, s in enumerate(stages) if s.added is not None), default=-1)
        self.before, self.after = stages[: last + 1], stages[last + 1 :]
        self.y = self.back(watch.outputs[self.before[-1].node if self.before else node])

    def back(self, array: ndarray[Any, Any]) -> ndarray[Any, Any]:
        """An array of the layout after the stages that count, with channels last again."""
        for stage in reversed(self.before):
            if stage.axes is not None:
                array = array.transpose(np.argsort(stage.axes))
        return array

    @property
    def label(self) -> str:
        """What the operation is called in words."""
        return _NAMES.get(self.kind, self.kind)

    def cells(self) -> Iterator[dict[str, int]]:
        """The arguments of `explain` for every element."""
        names = ("n", *AXES[len(self.shape) - 2], "channel")
        return (dict(zip(names, at, strict=True)) for at in np.ndindex(self.shape))

    def fields(self) -> list[Field]:
        return [] if self.window is None else fields(self.node, self.shape)
