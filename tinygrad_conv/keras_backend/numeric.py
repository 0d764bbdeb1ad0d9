"""What `keras.src.backend.numpy.numpy` gets from this engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras.src.backend.numpy import numpy as stock

from .core import convert_to_tensor

__all__ = ["divide_no_nan", "size", "sum"]

_sum = stock.sum


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Of lists too: Keras adds up a model's losses with it."""
    return _sum(convert_to_tensor(x), axis, keepdims)


def size(x: Any) -> Any:
    return convert_to_tensor(x).size  # what NumPy's function reads of a tensor are its values


_divide = stock.divide


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """x1 / x2, and 0 where x2 is 0; its gradient is 0 there, too, and nobody is warned."""
    x2 = convert_to_tensor(x2)
    nothing = x2 == 0
    y = _divide(x1, np.where(nothing, np.array(1, x2.dtype), x2))
    return np.where(nothing, np.array(0, y.dtype), y)
