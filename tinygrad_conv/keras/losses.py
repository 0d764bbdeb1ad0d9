"""`keras.losses`: what `compile(loss=...)` takes, by name, as an object, or as a function of (y_true, y_pred).

A loss on probabilities (`CategoricalCrossentropy()` after a softmax) is computed from the logits whenever the model
ends in that softmax: the same value, without overflow. See `Model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from ..nn.fixes import brief
from ..ops import losses as ops
from ..ops.elementwise import clip, log
from ..ops.indexing import getitem
from ..ops.reductions import mean, sum
from ..tensor import Tensor, wrap
from .spelling import strict

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "Hinge", "Huber", "KLDivergence", "Loss", "MeanAbsoluteError",
    "MeanSquaredError", "SparseCategoricalCrossentropy", "get",
]  # fmt: skip

Array = Any
EPSILON = 1e-7  # probabilities are kept this far from 0 and 1, as in Keras


class Loss:
    """Base of the losses: subclasses define ``call(y, y_pred, weights, logits)``, the average over the batch.

    Calling a loss, ``loss(y_true, y_pred, sample_weight=None)``, gives it as a tensor.
    """

    activation: str | None = None  # the activation this loss undoes when it is given logits
    from_logits: bool = False

    @strict
    def __init__(self, name: str | None = None) -> None:
        self.name = name or _snake(type(self).__name__)

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        """Labels as `call` wants them, checked against the shape of the model's output before any work.

        Raises ShapeError, ArgumentError or DTypeError.
        """
        if y.ndim == len(output) - 1 and output[-1] == 1:
            y = y[..., None]
        if y.shape[1:] != tuple(output[1:]):
            raise ShapeError(
                f"{self.name}: expected labels of the output's shape {brief(output)}, got {brief(batch_of(y))}"
            )
        return y if y.dtype == np.float32 else y.astype(np.float32)

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        raise NotImplementedError

    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Tensor:
        y = y_true._data if isinstance(y_true, Tensor) else np.asarray(y_true)
        prediction = y_pred if isinstance(y_pred, Tensor) else Tensor(np.asarray(y_pred, np.float32))
        return self.call(self.prepare(y, prediction.shape), prediction, sample_weight, self.from_logits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Classes(Loss):
    """What the cross-entropies of several classes share."""

    activation = "softmax"

    @strict
    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        if not 0 <= label_smoothing < 1:
            raise ArgumentError(f"{self.name}: expected label_smoothing in [0, 1), got {label_smoothing}")
        self.from_logits, self.label_smoothing = bool(from_logits), label_smoothing

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        if logits:
            return ops.softmax_cross_entropy(y_pred, y, weights, label_smoothing=self.label_smoothing)
        total = sum(y_pred, axis=-1, keepdims=True)
        log_p = log(clip(y_pred / total, EPSILON, 1 - EPSILON))
        if y.ndim == y_pred.ndim:
            if self.label_smoothing:
                y = y * (1 - self.label_smoothing) + self.label_smoothing / y.shape[-1]
            each = -sum(log_p * y, axis=-1)
        else:
            each = -getitem(log_p, (*np.indices(y.shape, sparse=True), y))
        return mean(each if weights is None else each * weights)


class CategoricalCrossentropy(_Classes):
    """-Σ y log p for one-hot labels y (N, K) and probabilities p (N, K), or logits with ``from_logits=True``.

    >>> loss = CategoricalCrossentropy()
    >>> round(loss([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        k = output[-1]
        if y.ndim == len(output) - 1 or (y.ndim == len(output) and y.shape[-1] == 1 != k):
            raise ShapeError(
                f"{self.name}: expected one-hot labels {brief(output)}, got labels {brief(batch_of(y))}: use "
                f"loss='sparse_categorical_crossentropy', or write y = to_categorical(y, {k})"
            )
        return super().prepare(y, output)


class SparseCategoricalCrossentropy(_Classes):
    """-log p[y] for integer labels y (N,) and probabilities p (N, K), or logits with ``from_logits=True``.

    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> round(loss([1], [[0.0, 0.0]]).item(), 4)
    0.6931
    """

    @strict
    def __init__(self, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(from_logits, 0.0, name)

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        k = output[-1]
        if y.ndim == len(output) and y.shape[-1] == 1:
            y = y[..., 0]
        if y.ndim == len(output) and y.shape[1:] == tuple(output[1:]):
            raise ShapeError(
                f"{self.name}: expected integer labels {brief(output[:-1])}, got rows {brief(batch_of(y))}: use "
                "loss='categorical_crossentropy', or write y = y.argmax(-1)"
            )
        if y.shape[1:] != tuple(output[1:-1]):
            raise ShapeError(
                f"{self.name}: expected integer labels {brief(output[:-1])} for an output {brief(output)}, got "
                f"{brief(batch_of(y))}"
            )
        if y.dtype.kind not in "iu":
            if y.dtype.kind != "f" or not (y == np.floor(y)).all():
                raise DTypeError(f"{self.name}: expected integer labels, got dtype {y.dtype}")
            y = y.astype(np.intp)
        if y.size and (y.min() < 0 or y.max() >= k):
            fix = f": use labels y + {-int(y.min())}" if y.min() < 0 else ""
            raise ArgumentError(
                f"{self.name}: expected labels from 0 to {k - 1} for {k} classes, got {y.min()} to {y.max()}{fix}"
            )
        return y


class BinaryCrossentropy(Loss):
    """-(y log p + (1 - y) log(1 - p)) for labels y in [0, 1] and probabilities p, or logits."""

    activation = "sigmoid"

    @strict
    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits, self.label_smoothing = bool(from_logits), label_smoothing

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        y = super().prepare(y, output)
        if y.size and (y.min() < 0 or y.max() > 1):
            raise ArgumentError(f"{self.name}: expected labels in [0, 1], got {y.min():g} to {y.max():g}")
        return y

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        if self.label_smoothing:
            y = y * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        if logits:
            return ops.binary_cross_entropy(y_pred, y, weights)
        p = clip(y_pred, EPSILON, 1 - EPSILON)
        each = _per_example(-(log(p) * y + log(1 - p) * (1 - y)))
        return mean(each if weights is None else each * weights)


class _Regression(Loss):
    operation: Callable[..., Tensor]

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        return type(self).operation(y_pred, y, weights)


class MeanSquaredError(_Regression):
    """The mean of (y - p)²."""

    operation = ops.mse


class MeanAbsoluteError(_Regression):
    """The mean of |y - p|."""

    operation = ops.mae


class Hinge(_Regression):
    """The mean of max(0, 1 - y p), y in {-1, 1} or {0, 1}."""

    operation = ops.hinge


class KLDivergence(_Regression):
    """Σ y log(y / p)."""

    operation = ops.kl_divergence


class Huber(Loss):
    """Half the square for errors up to delta, linear beyond."""

    @strict
    def __init__(self, delta: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.delta = delta

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        return ops.huber(y_pred, y, weights, delta=self.delta)


class _Function(Loss):
    """A loss that is any function of (y_true, y_pred) giving one number, or one per example."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(getattr(function, "__name__", "loss"))
        self.function = function

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        return y.astype(np.float32) if y.dtype == np.float64 else y

    def call(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        each = self.function(y if isinstance(y, Tensor) else wrap(y, None), y_pred)
        if not isinstance(each, Tensor):
            raise DTypeError(
                f"loss {self.name}: expected a tensor, got {type(each).__name__}: compute it with tg operations"
            )
        if weights is not None:
            if each.ndim == 0:
                raise ArgumentError(
                    f"loss {self.name}: sample weights need one loss per example, it returned one number"
                )
            each = _per_example(each) * weights
        return mean(each)


def _per_example(each: Tensor) -> Tensor:
    return mean(each, axis=tuple(range(1, each.ndim))) if each.ndim > 1 else each


_BY_NAME: dict[str, Callable[[], Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "hinge": Hinge,
    "huber": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
_OPERATIONS: dict[Any, Callable[[], Loss]] = {  # the library's own losses, which take (prediction, target)
    ops.binary_cross_entropy: lambda: BinaryCrossentropy(from_logits=True),
    ops.hinge: Hinge,
    ops.huber: Huber,
    ops.kl_divergence: KLDivergence,
    ops.mae: MeanAbsoluteError,
    ops.mse: MeanSquaredError,
    ops.softmax_cross_entropy: lambda: SparseCategoricalCrossentropy(from_logits=True),
}


def get(loss: Any) -> Loss:
    """The loss of this name, class or function; a loss object itself.

    Raises ArgumentError for an unknown name, naming the nearest; DTypeError for what is no loss.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        if loss not in _BY_NAME:
            near = get_close_matches(loss.lower(), _BY_NAME, 1)
            hint = f"use loss='{near[0]}'" if near else f"use one of {', '.join(_BY_NAME)}"
            raise ArgumentError(f"compile: unknown loss {loss!r}: {hint}")
        return _BY_NAME[loss]()
    if isinstance(loss, type) and issubclass(loss, Loss):
        return loss()
    if callable(loss):
        return _OPERATIONS[loss]() if loss in _OPERATIONS else _Function(loss)
    raise DTypeError(f"compile: expected a loss by name, as an object or as a function, got {loss!r}")


def batch_of(y: Array) -> tuple[Any, ...]:
    """The shape of labels, for any number of them."""
    return (None, *y.shape[1:])


def _snake(name: str) -> str:
    """MeanSquaredError as mean_squared_error."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=L)(?=D)", "_", name).lower()
