"""Values without their graph, for what is computed beside it."""

from __future__ import annotations

from typing import Any

from .tensor import Tensor

__all__ = ["array_of"]


def array_of(value: Any) -> Any:
    """The array of a tensor; anything else as it is.

    >>> array_of(Tensor([1.0, 2.0])), array_of("sum")
    (array([1., 2.]), 'sum')
    """
    return value._array if isinstance(value, Tensor) else value
