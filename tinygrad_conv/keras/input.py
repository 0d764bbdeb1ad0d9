"""`keras.Input`: the shape of what a `Sequential` is fed with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from .absent import missing
from .spelling import as_dtype, as_shape, strict

__all__ = ["Input", "InputLayer"]


class Input:
    """The input of a `Sequential`: its shape without the batch axis; no layer of its own, whatever Keras calls it.

    Parameters
    ----------
    shape : tuple of sizes
    batch_size : int, optional
        The only number of examples that a batch may have; any number when None.
    dtype : "float32" or a dtype of integers, optional
        What data become before the first layer: float32 when None (integers stay integers before an `Embedding`).
    name : str, optional
        Accepted for compatibility; nothing asks for it.
    batch_shape : tuple, optional
        `shape` with the batch axis before it, in place of both.

    >>> Input((28, 28, 1), batch_size=32).shape
    (32, 28, 28, 1)
    """

    @strict
    def __init__(
        self, shape: Any = None, batch_size: int | None = None, dtype: Any = None, name: str | None = None,
        batch_shape: Any = None,
    ) -> None:  # fmt: skip
        if batch_shape is not None:
            if shape is not None or batch_size is not None:
                raise ArgumentError("Input: expected batch_shape, or shape and batch_size, got both")
            batch_size, *shape = tuple(batch_shape)
        if shape is None:
            raise ArgumentError("Input: expected a shape, got none: use shape=(28, 28, 1), for example")
        if batch_size is not None:
            (batch_size,) = as_shape("Input", batch_size)
        self.batch_input_shape = (batch_size, *as_shape("Input", shape))
        self.dtype = None if dtype is None else as_dtype("Input", dtype)
        if self.dtype is not None and self.dtype != np.float32 and self.dtype.kind not in "iu":
            raise missing(f"Input: expected dtype float32 or integers, got {self.dtype}: leave it out")
        self.name = name

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.batch_input_shape


InputLayer = Input  # as Keras calls the class
