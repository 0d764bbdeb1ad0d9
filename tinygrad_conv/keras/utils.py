"""`keras.utils`."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from ..arguments import as_array
from ..nn import init
from ..ops.indexing import one_hot
from .spelling import strict

__all__ = ["set_random_seed", "to_categorical"]


@strict
def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray[Any, Any]:
    """One-hot rows, float32 (N, num_classes), of integer labels (N,) or (N, 1).

    Raises ArgumentError for a label out of range, DTypeError for labels that are no integers.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = as_array(x, "to_categorical")
    if labels.dtype.kind == "f" and (labels == np.floor(labels)).all():
        labels = labels.astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return one_hot(labels, num_classes)._data


def set_random_seed(seed: int) -> None:
    """Seed this library's generator, Python's and NumPy's: what follows is the same in every run, to the bit."""
    init.seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (scripts written for Keras draw from it)
