"""`keras.metrics`: what is counted while a model trains. They work on bare arrays, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError
from ..tensor import Tensor, wrap
from .losses import Loss
from .losses import get as get_loss
from .spelling import strict

__all__ = [
    "BinaryAccuracy", "CategoricalAccuracy", "Metric", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy", "get",
]  # fmt: skip

Array = Any


class Metric:
    """Base of the metrics: an average over examples of what ``score(y, outputs)`` sums up.

    ``logits`` says that outputs are logits, which for the accuracies makes no difference but the threshold.
    """

    on_logits = False  # can it read logits in place of probabilities?

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self._total, self._count = 0.0, 0

    def update(self, y: Array, outputs: Array, logits: bool) -> None:
        """Count a batch."""
        self._total += self.score(y, outputs, logits)
        self._count += len(outputs)

    def score(self, y: Array, outputs: Array, logits: bool) -> float:
        """The sum over a batch's examples."""
        raise NotImplementedError

    def result(self) -> float:
        """The average so far."""
        return self._total / self._count if self._count else 0.0

    def __call__(self, y_true: Array, y_pred: Array) -> float:
        y, outputs = (np.asarray(a._data if isinstance(a, Tensor) else a) for a in (y_true, y_pred))
        return self.score(y, outputs, False) / len(outputs)


def _share(hits: Array) -> float:
    """The number of hits, per example where an example has several."""
    return float(np.count_nonzero(hits)) / (hits.size // len(hits) if hits.ndim > 1 and hits.size else 1)


def _classes(y: Array, outputs: Array) -> Array:
    """The label of each example as an integer, from integers (N,) or (N, 1) or from one-hot rows (N, K)."""
    if y.ndim < outputs.ndim:
        return y
    return y[..., 0] if y.shape[-1] == 1 != outputs.shape[-1] else y.argmax(-1)


class CategoricalAccuracy(Metric):
    """How often the largest output is the label, one-hot or an integer.

    >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]])
    0.5
    """

    on_logits = True

    @strict
    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def score(self, y: Array, outputs: Array, logits: bool) -> float:
        return _share(_classes(y, outputs) == outputs.argmax(-1))


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """`CategoricalAccuracy` by its name for integer labels."""

    @strict
    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


class BinaryAccuracy(Metric):
    """How often an output is on the label's side of the threshold."""

    on_logits = True

    @strict
    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        if not 0 < threshold < 1:
            raise ArgumentError(f"BinaryAccuracy: expected a threshold between 0 and 1, got {threshold}")
        self.threshold = threshold

    def score(self, y: Array, outputs: Array, logits: bool) -> float:
        cut = float(np.log(self.threshold / (1 - self.threshold))) if logits else self.threshold
        labels = y[..., None] if y.ndim == outputs.ndim - 1 else y
        return _share((labels > 0.5) == (outputs > cut))


class TopKCategoricalAccuracy(Metric):
    """How often the label, one-hot or an integer, is among the k largest outputs."""

    on_logits = True

    @strict
    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        if k < 1:
            raise ArgumentError(f"{type(self).__name__}: expected k of at least 1, got {k}")
        self.k = k

    def score(self, y: Array, outputs: Array, logits: bool) -> float:
        labels = _classes(y, outputs).astype(np.intp)
        of_label = np.take_along_axis(outputs, labels[..., None], -1)
        return _share((outputs > of_label).sum(-1) < self.k)


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """`TopKCategoricalAccuracy` by its name for integer labels."""

    @strict
    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(k, name)


class _Function(Metric):
    """Any function of (y_true, y_pred) as a metric."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        super().__init__(name)
        self.function = function

    def score(self, y: Array, outputs: Array, logits: bool) -> float:
        value = self.function(wrap(y, None), wrap(outputs, None))
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        return float(array.mean()) * len(outputs)


_BY_NAME: dict[str, Callable[[], Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}
_LOSSES = ("mse", "mae", "mean_squared_error", "mean_absolute_error", "binary_crossentropy", "categorical_crossentropy",
           "sparse_categorical_crossentropy", "hinge", "huber", "kl_divergence")  # fmt: skip


def get(metric: Any, loss: Loss, units: int | None) -> Metric:
    """The metric that `compile(metrics=[...])` means; "accuracy" depends on the loss and on the number of outputs.

    Raises ArgumentError for an unknown name, DTypeError for what is no metric.
    """
    if isinstance(metric, Metric):
        return metric
    if metric in ("accuracy", "acc"):
        binary = loss.activation == "sigmoid" or (loss.activation is None and units == 1)
        return BinaryAccuracy(metric) if binary else CategoricalAccuracy(metric)
    if isinstance(metric, str):
        if metric in _BY_NAME:
            return _BY_NAME[metric]()
        if metric in _LOSSES:
            return _Function(get_loss(metric), metric)
        near = get_close_matches(metric, ["accuracy", *_BY_NAME, *_LOSSES], 1)
        hint = f"use {near[0]!r}" if near else f"use one of {', '.join(['accuracy', *_BY_NAME])}"
        raise ArgumentError(f"compile: unknown metric {metric!r}: {hint}")
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric()  # type: ignore[call-arg]
    if callable(metric):
        return _Function(metric, getattr(metric, "__name__", type(metric).__name__))
    raise DTypeError(f"compile: expected a metric by name, as an object or as a function, got {metric!r}")
