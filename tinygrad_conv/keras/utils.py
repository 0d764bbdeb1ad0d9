"""`keras.utils`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arguments import Checked, Count, Size, as_array
from ..errors import NotDefinedError
from ..nn import init
from ..ops.indexing import one_hot
from .absent import instead
from .spelling import strict

__all__ = ["PyDataset", "Sequence", "set_random_seed", "to_categorical"]


class PyDataset(Checked):
    """Base of data sets whose batches are got by number; to make one, define ``__len__`` and ``__getitem__``.

    `on_epoch_begin` and `on_epoch_end` are called by `fit`, `evaluate` and `predict`. Any object with these methods
    will do. `workers`, `use_multiprocessing` and `max_queue_size` are accepted for compatibility: batches are made one
    after another.

    >>> import numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, k):
    ...         x = np.arange(3.0)[:, None] + 3 * k
    ...         return x, x**2
    ...     def on_epoch_begin(self):
    ...         print("begins")
    ...     def on_epoch_end(self):
    ...         print("ends")
    >>> [x.ravel().tolist() for x, y in Squares()]
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    >>> import tinygrad_conv as tg
    >>> model = tg.keras.Sequential([tg.keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(Squares(), verbose=0)
    begins
    ends
    """

    @strict
    def __init__(self, workers: Count = 1, use_multiprocessing: bool = False, max_queue_size: Count = 10) -> None: ...

    def __len__(self) -> int:
        """How many batches there are."""
        raise NotDefinedError(f"{type(self).__name__}: define __len__(self)")

    def __getitem__(self, index: int) -> Any:
        """Batch `index`: (x, y), (x, y, sample_weight), or x alone."""
        raise NotDefinedError(f"{type(self).__name__}: define __getitem__(self, index)")

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def on_epoch_begin(self) -> Any: ...

    def on_epoch_end(self) -> Any: ...


Sequence = PyDataset


@strict
def to_categorical(x: Any, num_classes: Size | None = None) -> np.ndarray[Any, Any]:
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
    return one_hot(labels, num_classes)._array


@strict
def set_random_seed(seed: Count) -> None:
    """Seed this library's generator, Python's and NumPy's: what follows is the same in every run, to the bit.

    >>> set_random_seed(0)
    >>> first = init.normal((2,))
    >>> set_random_seed(0)
    >>> bool((init.normal((2,)) == first).all())
    True
    """
    init.seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (scripts written for Keras draw from it)


def __getattr__(name: str) -> Any:
    return instead("keras.utils", name, __all__)
