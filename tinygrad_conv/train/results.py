"""`Results`: what a classifier said about labelled images, and what can be counted from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Results:
    """Probabilities ``(N, classes)`` that a model gave, and the true labels ``(N,)``.

    >>> results = Results(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]))
    >>> results
    test accuracy 0.6667 (2/3)
    >>> results.confusion
    array([[1, 0],
           [1, 1]])
    >>> results.per_class
    array([1. , 0.5])
    """

    probabilities: NDArray[Any]
    labels: NDArray[Any]

    @cached_property
    def predicted(self) -> NDArray[Any]:
        """The likeliest class of each image."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def confusion(self) -> NDArray[Any]:
        """How many images of each true class (row) were taken for each class (column)."""
        classes = self.probabilities.shape[1]
        pairs = self.labels * classes + self.predicted
        return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    @property
    def right(self) -> int:
        """How many images were recognised."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """The share of images recognised."""
        return self.right / len(self.labels)

    @property
    def loss(self) -> float:
        """The mean cross-entropy: what a sure mistake costs most."""
        likely = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(np.maximum(likely, np.finfo(likely.dtype).tiny)).mean())

    @property
    def per_class(self) -> NDArray[Any]:
        """The share of each class's images recognised; NaN for a class without images."""
        totals = self.confusion.sum(axis=1)
        return np.where(totals > 0, self.confusion.diagonal() / np.maximum(totals, 1), np.nan)

    def __repr__(self) -> str:
        return f"test accuracy {self.accuracy:.4f} ({self.right}/{len(self.labels)})"
