"""`keras.losses`: what `compile(loss=...)` takes, by name, as an object, or as a function of (y_true, y_pred).

A loss on probabilities (`CategoricalCrossentropy()` after a softmax) is computed from the logits whenever the model
ends in that softmax: the same value, without overflow. See `Model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from inspect import cleandoc
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Checked, Fraction, as_array, checked, one_of
from ..engine.tensor import Tensor, wrap
from ..errors import ArgumentError, DTypeError, NotDefinedError, ShapeError
from ..nn.fixes import brief
from ..ops import losses as ops
from ..ops.activations import softplus
from ..ops.elementwise import abs, clip, log, square
from ..ops.indexing import getitem
from ..ops.leaving import followed, lost
from ..ops.reductions import mean, sum
from ..ops.shape import reshape
from .absent import instead, missing, resolved
from .spelling import strict

__all__ = [
    "BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence", "Loss", "MeanAbsoluteError",
    "MeanSquaredError", "SparseCategoricalCrossentropy", "binary_crossentropy", "categorical_crossentropy", "get",
    "kl_divergence", "mean_absolute_error", "mean_squared_error", "sparse_categorical_crossentropy",
]  # fmt: skip

Array = Any
EPSILON = 1e-7  # probabilities are kept this far from 0 and 1, as in Keras
Reduction: TypeAlias = Annotated[
    str | None, one_of("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)
]


class Loss(Checked):
    """Base of the losses. To make one, define ``call(self, y_true, y_pred)``: one loss per example, as a tensor.

    Calling a loss, ``loss(y_true, y_pred, sample_weight=None)``, gives their average as a tensor.

    Parameters
    ----------
    name : str, optional
    reduction : "sum_over_batch_size" or "mean" (over all losses), "sum", "mean_with_sample_weight", or "none"
        What is made of the losses of a batch; "mean_with_sample_weight" divides by the sum of the weights.

    >>> class Distance(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ((y_true - y_pred) ** 2).sum(axis=-1) ** 0.5
    >>> Distance()([[3.0, 4.0]], [[0.0, 0.0]]).item()
    5.0
    """

    activation: str | None = None  # the activation this loss undoes when it is given logits
    from_logits: bool = False
    reduction: str | None = "sum_over_batch_size"
    name: str = "loss"
    _ignored = frozenset[str]()

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which what a compiled step does depends."""
        return vars(self).keys() | named | {"call", "each"}

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass' own ``call`` be what the loss computes, from what the model puts out."""
        super().__init_subclass__(**options)
        if "call" in vars(cls) and "each" not in vars(cls):
            cls.each, cls.activation = Loss.each, None  # type: ignore[method-assign]

    @strict
    def __init__(self, name: str | None = None, reduction: Reduction = "sum_over_batch_size") -> None:
        self.name = name or _snake(type(self).__name__)
        self.reduction = reduction

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        """Labels as `call` wants them, checked against the shape of the model's output before any work.

        Raises ShapeError, ArgumentError or DTypeError.

        >>> import numpy as np
        >>> MeanSquaredError().prepare(np.array([[1], [0]]), (None, 1)).dtype
        dtype('float32')
        """
        return y if y.dtype == np.float32 else y.astype(np.float32)

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """The loss of each example; to be defined by subclasses."""
        raise NotDefinedError(f"{type(self).__name__}: define call(self, y_true, y_pred)")

    def each(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        """The loss of each example, or of each place of it, from probabilities or from logits.

        >>> import numpy as np
        >>> MeanSquaredError().each(np.array([[1.0, 3.0]]), Tensor([[1.0, 1.0]]), logits=False)
        Tensor([2.])
        """
        losses = self.call(y if isinstance(y, Tensor) else wrap(y, None), y_pred)
        if not isinstance(losses, Tensor):
            raise DTypeError(
                f"loss {self.name}: expected a tensor, got {type(losses).__name__}: compute it with tg operations"
            )
        return losses

    def of(self, y: Array, y_pred: Tensor, weights: Array | None, logits: bool) -> Tensor:
        """The losses of a batch, each times its weight, as one number.

        >>> import numpy as np
        >>> MeanSquaredError().of(np.array([[1.0, 3.0]]), Tensor([[1.0, 1.0]]), None, logits=False).item()
        2.0
        """
        losses, total = self.each(y, y_pred, logits), None
        if weights is not None:
            if losses.ndim == 0:
                raise ArgumentError(
                    f"loss {self.name}: sample weights need one loss per example, it returned one number"
                )
            weights = spread(f"loss {self.name}", weights, losses.shape)
            losses, total = losses * weights, sum(weights)
        if self.reduction in ("none", None):
            return losses
        if self.reduction == "sum":
            return sum(losses)
        if self.reduction == "mean_with_sample_weight" and total is not None:
            return sum(losses) / total
        return mean(losses)

    @checked
    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Tensor:
        if followed([y_true, sample_weight]):
            raise lost(
                f"{self.name}, whose y_true and sample_weight are data", "tg.mse and its like differentiate all. "
            )
        y = y_true._array if isinstance(y_true, Tensor) else as_array(y_true, self.name)
        prediction = y_pred if isinstance(y_pred, Tensor) else Tensor(as_array(y_pred, self.name, np.float32))
        weights = None if sample_weight is None else as_array(sample_weight, self.name, prediction.dtype)
        return self.of(self.prepare(y, prediction.shape), prediction, weights, self.from_logits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def spread(what: str, weights: Array, shape: tuple[int, ...]) -> Array:
    """Weights per example (N,) or (N, 1), or per place, with axes of 1 so that they multiply losses of a shape.

    Raises ShapeError where there are more or fewer.
    """
    given = weights.shape
    sizes = given[: len(shape)] if given[len(shape) :] in ((), (1,)) else given
    sizes = (*sizes, *(1,) * (len(shape) - len(sizes)))
    if (
        len(sizes) != len(shape)
        or sizes[0] != shape[0]
        or any(k not in (1, n) for k, n in zip(sizes, shape, strict=True))
    ):
        raise ShapeError(f"{what}: expected a weight for each example, or for each of the losses {shape}, got {given}")
    return weights if sizes == given else reshape(weights, sizes)


class _OfOneShape(Loss):
    """What losses of labels share that have the output's shape."""

    @strict
    def __init__(self, reduction: Reduction = "sum_over_batch_size", name: str | None = None) -> None:
        super().__init__(name, reduction)

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        if y.ndim == len(output) - 1 and output[-1] == 1:
            y = y[..., None]
        if y.shape[1:] != tuple(output[1:]):
            raise ShapeError(
                f"{self.name}: expected labels of the output's shape {brief(output)}, got {brief(batch_of(y))}"
            )
        return super().prepare(y, output)


class MeanSquaredError(_OfOneShape):
    """The mean of (y - p)².

    >>> MeanSquaredError()([[1.0, 3.0]], [[0.0, 0.0]]).item()
    5.0
    """

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        return _last(square(y_pred - y_true))


class MeanAbsoluteError(_OfOneShape):
    """The mean of |y - p|.

    >>> MeanAbsoluteError()([[1.0, 3.0]], [[0.0, 0.0]]).item()
    2.0
    """

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        return _last(abs(y_pred - y_true))


class KLDivergence(_OfOneShape):
    """Σ y log(y / p), both kept at least 1e-7.

    >>> round(KLDivergence()([[0.0, 1.0]], [[1.0, 0.0]]).item(), 3)
    16.118
    """

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        y = clip(y_true, EPSILON, 1)
        return sum(y * log(y / clip(y_pred, EPSILON, 1)), axis=-1)


class _Crossentropy(_OfOneShape):
    """What the cross-entropies share: they can be computed from logits."""

    @strict
    def __init__(
        self, from_logits: bool = False, label_smoothing: Fraction = 0.0, reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(reduction, name)
        self.from_logits, self.label_smoothing = bool(from_logits), label_smoothing

    def formula(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        """The loss of each example."""
        raise NotDefinedError(f"{type(self).__name__}: define formula(self, y, y_pred, logits)")

    def each(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        return self.formula(y, y_pred, logits)

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        return self.formula(y_true, y_pred, self.from_logits)


class CategoricalCrossentropy(_Crossentropy):
    """-Σ y log p for one-hot labels y (N, K) and probabilities p (N, K), or logits with ``from_logits=True``.

    `label_smoothing` mixes the labels with the uniform distribution.

    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    activation = "softmax"

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        k = output[-1]
        if y.ndim == len(output) - 1 or (y.ndim == len(output) and y.shape[-1] == 1 != k):
            raise ShapeError(
                f"{self.name}: expected one-hot labels {brief(output)}, got labels {brief(batch_of(y))}: use "
                f"loss='sparse_categorical_crossentropy', or write y = to_categorical(y, {k})"
            )
        return super().prepare(y, output)

    def formula(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        if logits:
            return ops.softmax_cross_entropy(y_pred, y, reduction="none", label_smoothing=self.label_smoothing)
        if self.label_smoothing:
            y = y * (1 - self.label_smoothing) + self.label_smoothing / y.shape[-1]
        return -sum(_log_of(y_pred) * y, axis=-1)


class SparseCategoricalCrossentropy(_Crossentropy):
    """-log p[y] for integer labels y (N,) and probabilities p (N, K), or logits with ``from_logits=True``.

    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]).item(), 4)
    0.6931
    """

    activation = "softmax"

    @strict
    def __init__(
        self, from_logits: bool = False, reduction: Reduction = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(from_logits, 0.0, reduction, name)

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

    def formula(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        if logits:
            return ops.softmax_cross_entropy(y_pred, y, reduction="none")
        return -getitem(_log_of(y_pred), (*np.indices(y.shape, sparse=True), y))


class BinaryCrossentropy(_Crossentropy):
    """-(y log p + (1 - y) log(1 - p)) for labels y in [0, 1] and probabilities p, or logits.

    `label_smoothing` moves the labels towards one half.

    >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]).item(), 4)
    0.6931
    """

    activation = "sigmoid"

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        y = super().prepare(y, output)
        if y.size and (y.min() < 0 or y.max() > 1):
            raise ArgumentError(f"{self.name}: expected labels in [0, 1], got {y.min():g} to {y.max():g}")
        return y

    def formula(self, y: Array, y_pred: Tensor, logits: bool) -> Tensor:
        if self.label_smoothing:
            y = y * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        if logits:
            return _last(softplus(y_pred) - y_pred * y)
        p = clip(y_pred, EPSILON, 1 - EPSILON)
        return _last(-(log(p) * y + log(1 - p) * (1 - y)))


class _Function(Loss):
    """A loss that is any function of (y_true, y_pred) giving one number, or one per example."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(getattr(function, "__name__", "loss"))
        self.call = function  # type: ignore[method-assign]

    def prepare(self, y: Array, output: tuple[Any, ...]) -> Array:
        """With as many axes as the output, where one of them is of size 1."""
        if y.ndim == len(output) - 1 and output[-1] == 1:
            y = y[..., None]
        elif y.ndim == len(output) + 1 and y.shape[-1] == 1:
            y = y[..., 0]
        return super().prepare(y, output)


def _last(losses: Tensor) -> Tensor:
    """Averaged over the last axis, if that is not the batch's."""
    return mean(losses, axis=-1) if losses.ndim > 1 else losses


def _log_of(y_pred: Tensor) -> Tensor:
    """The logarithm of probabilities, which may add up to anything."""
    return log(clip(y_pred / sum(y_pred, axis=-1, keepdims=True), EPSILON, 1 - EPSILON))


# ------------------------------------------------------------------------------------------------------------------
# By name, and as functions


def _function(kind: type[Loss], name: str) -> Callable[..., Tensor]:
    @checked
    def function(y_true: Array, y_pred: Array, **options: Any) -> Tensor:
        return kind(reduction="none", **options)(y_true, y_pred)

    function.__name__ = function.__qualname__ = name
    example = cleandoc(kind.__doc__ or "").partition(">>>")[2].replace(f"{kind.__name__}()", name)
    about = f"`{kind.__name__}` of each example, as an array (N,); it takes the options of that class."
    function.__doc__ = f"{about}\n\n>>>{example}\n"
    return function


binary_crossentropy = _function(BinaryCrossentropy, "binary_crossentropy")
categorical_crossentropy = _function(CategoricalCrossentropy, "categorical_crossentropy")
kl_divergence = _function(KLDivergence, "kl_divergence")
mean_absolute_error = _function(MeanAbsoluteError, "mean_absolute_error")
mean_squared_error = _function(MeanSquaredError, "mean_squared_error")
sparse_categorical_crossentropy = _function(SparseCategoricalCrossentropy, "sparse_categorical_crossentropy")

_KINDS: dict[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "kl_divergence": KLDivergence,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
_SHORT: dict[str, type[Loss]] = {
    "bce": BinaryCrossentropy, "kld": KLDivergence, "mae": MeanAbsoluteError, "mse": MeanSquaredError,
}  # fmt: skip
LOSSES = _KINDS | _SHORT
_BY_FUNCTION: dict[Any, Callable[[], Loss]] = {globals()[name]: kind for name, kind in _KINDS.items()} | {
    ops.binary_cross_entropy: lambda: BinaryCrossentropy(from_logits=True),  # the library's, of (prediction, target)
    ops.kl_divergence: KLDivergence,
    ops.mae: MeanAbsoluteError,
    ops.mse: MeanSquaredError,
    ops.softmax_cross_entropy: lambda: SparseCategoricalCrossentropy(from_logits=True),
}


@checked
def get(loss: Any) -> Loss:
    """The loss of this name, class or function; a loss object itself.

    Raises ArgumentError for an unknown name, naming the nearest, and for several losses; DTypeError for what is no
    loss.

    >>> get("mse")
    MeanSquaredError()
    >>> try:
    ...     get("categorical_crosentropy")
    ... except ArgumentError as error:
    ...     print(str(error).partition("; or")[0])
    compile: unknown loss 'categorical_crosentropy': use loss='categorical_crossentropy'
    """
    found = resolved(loss, Loss, LOSSES, "loss={!r}")
    if found is not None:
        return found
    if callable(loss):
        return _BY_FUNCTION[loss]() if _hashable(loss) and loss in _BY_FUNCTION else _Function(loss)
    if isinstance(loss, (list, tuple, dict)):
        raise missing(
            f"compile: expected one loss, got {len(loss)}: a model here has one output; to train several, add up "
            "their losses and call backward(), as the loop of tg.optim does"
        )
    raise DTypeError(f"compile: expected a loss by name, as an object or as a function, got {loss!r}")


def _hashable(value: Any) -> bool:
    return type(value).__hash__ is not None


def batch_of(y: Array) -> tuple[Any, ...]:
    """The shape of labels, for any number of them."""
    return (None, *y.shape[1:])


def _snake(name: str) -> str:
    """MeanSquaredError as mean_squared_error."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=L)(?=D)", "_", name).lower()


def __getattr__(name: str) -> Any:
    return instead("keras.losses", name, __all__)
