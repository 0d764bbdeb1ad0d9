"""The axis that a caller names, as a number from 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.bare import array_of, shape_of
from ..engine.tensor import Shape, Tensor
from ..errors import AxisError

__all__ = ["along", "axis_of"]


def axis_of(what: str, axis: int, shape: Shape) -> int:
    """An axis as a number from 0. Raises AxisError, which begins with `what`, for one that is not there.

    >>> axis_of("split", -1, (2, 3))
    1
    """
    if not -len(shape) <= axis < len(shape):
        raise AxisError(f"{what}: axis {axis} is out of bounds for shape {shape}")
    return axis % len(shape)


def along(what: str, x: Any, axis: int | None, *, numbers: bool = False) -> tuple[Any, int]:
    """x and the axis; x flattened, and its only axis, where none is named. With `numbers`, a number is a vector."""
    if axis is None or (numbers and axis in (0, -1) and not np.ndim(array_of(x))):
        return x.reshape(-1) if isinstance(x, Tensor) else np.reshape(x, -1), 0
    return x, axis_of(what, axis, shape_of(x))
