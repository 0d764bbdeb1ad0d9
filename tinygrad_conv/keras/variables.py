"""What layers and metrics keep: tensors that can be assigned to, as Keras' variables can."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import numpy as np

from ..engine.modes import effect
from ..engine.tensor import Tensor, cast
from ..errors import ShapeError
from ..nn import Buffer, Parameter

__all__ = ["Variable", "Weight"]


class _Assigned(Tensor):
    """A tensor that can be given other values of its shape, outside the graph."""

    __slots__ = ()

    def assign(self, value: Any) -> Self:
        """Take other values."""
        _change("assign", self, 0, value)
        return self

    def assign_add(self, value: Any) -> Self:
        """Add to the values."""
        _change("assign_add", self, 1, value)
        return self

    def assign_sub(self, value: Any) -> Self:
        """Subtract from the values."""
        _change("assign_sub", self, -1, value)
        return self


@effect
def _change(what: str, variable: Tensor, sign: int, value: Any) -> None:
    """Give a variable a value in place of its own, or `sign` times the value more."""
    array = cast(what, value, variable.dtype)
    with suppress(ValueError):  # of shapes that cannot be added
        array = variable._array + sign * array if sign else array
    if array.shape != variable.shape:
        raise ShapeError(f"{what}: expected values of shape {variable.shape}, got {np.shape(value)}")
    variable._array = np.array(array, variable.dtype)


class Weight(_Assigned, Parameter):
    """What a layer learns."""

    __slots__ = ()


class Variable(_Assigned, Buffer):
    """What a layer or a metric keeps without learning it."""

    __slots__ = ()
