"""Values without their graph, for what is computed beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .tensor import Tensor

__all__ = ["array_of", "shape_of"]


def array_of(value: Any) -> Any:
    """The array of a tensor; anything else as it is.

    >>> array_of(Tensor([1.0, 2.0])), array_of("sum")
    (array([1., 2.]), 'sum')
    """
    return value._array if isinstance(value, Tensor) else value


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of a tensor, of an array, or of what NumPy would make an array of.

    >>> shape_of(Tensor([1.0, 2.0])), shape_of([[1.0, 2.0]])
    ((2,), (1, 2))
    """
    if isinstance(value, Tensor):
        return value._array.shape
    return value.shape if type(value) is np.ndarray else np.shape(value)
