"""`keras.metrics`: what is counted while a model trains, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Checked, DType, bare_array, checked
from ..arguments.kinds import numbers
from ..engine.tensor import Tensor, wrap
from ..errors import DTypeError, NotDefinedError
from . import initializers
from .absent import instead, resolved
from .losses import LOSSES, Loss, spread
from .spelling import strict
from .variables import Variable

__all__ = [
    "BinaryAccuracy", "CategoricalAccuracy", "Mean", "Metric", "SparseCategoricalAccuracy", "get",
]  # fmt: skip

Array = Any
Within: TypeAlias = Annotated[float, numbers("a number in (0, 1)", 0, 1, to_low=False)]


class Metric(Checked):
    """Base of the metrics. To make one, define `update_state` and `result`, and `reset_state` without `add_variable`.

    `fit` and `evaluate` reset it at the start of each pass, update it with the labels as they were given and the
    model's outputs, as tensors, and put its result, a number or a dictionary of numbers, into the logs.

    Parameters
    ----------
    name : str, optional
        What it is called in the logs; made of the class' name when None.
    dtype : dtype, optional
        Of its variables; float32 when None.

    Attributes
    ----------
    direction : "up", "down" or None
        Which way is better, for callbacks with ``mode="auto"``.

    >>> class Largest(Metric):
    ...     def __init__(self, name="largest"):
    ...         super().__init__(name)
    ...         self.most = self.add_variable(shape=(), initializer="zeros")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.most.assign(max(self.most.item(), y_pred.max().item()))
    ...     def result(self):
    ...         return self.most
    >>> Largest()([0.0], [[2.0, 3.0]])
    3.0
    """

    on_logits = False  # can it read logits in place of probabilities?
    direction: str | None = None
    name: str = "metric"

    def __init_subclass__(cls, **options: Any) -> None:
        """A subclass' own ``update_state`` gets what the model puts out."""
        super().__init_subclass__(**options)
        if "update_state" in vars(cls):
            cls.on_logits = vars(cls).get("on_logits", False)

    @strict
    def __init__(self, name: str | None = None, dtype: DType | None = None) -> None:
        self.name = name or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        self.dtype = np.dtype(dtype or "float32")

    @strict
    def add_variable(
        self,
        shape: initializers.WeightShape = (),
        initializer: Any = "zeros",
        dtype: DType | None = None,
        name: str | None = None,
    ) -> Variable:
        """A number (or an array) to count in, with `assign` and `assign_add`; `reset_state` sets it to 0.

        >>> counts = Metric().add_variable(shape=(2,))
        >>> counts.assign_add([1.0, 2.0]).tolist()
        [1.0, 2.0]
        """
        dtype = self.dtype if dtype is None else dtype
        what = f"{type(self).__name__}.add_variable"
        return Variable(initializers.first_values(what, initializer, shape, dtype), dtype, name)

    add_weight = add_variable

    @property
    def variables(self) -> list[Variable]:
        """What `add_variable` made and the metric holds."""
        return [value for value in vars(self).values() if isinstance(value, Variable)]

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Any:
        """Count a batch; to be defined by subclasses."""
        raise NotDefinedError(f"{type(self).__name__}: define update_state(self, y_true, y_pred, sample_weight=None)")

    def result(self) -> Any:
        """The value so far; to be defined by subclasses."""
        raise NotDefinedError(f"{type(self).__name__}: define result(self)")

    def reset_state(self) -> Any:
        """Start counting anew.

        >>> mean = Mean()
        >>> mean.update_state([2.0])
        >>> mean.reset_state()
        >>> mean.result()
        0.0
        """
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def logs(self) -> dict[str, float]:
        """The result by name, as plain numbers.

        >>> mean = Mean(name="mean")
        >>> mean.update_state([2.0])
        >>> mean.logs()
        {'mean': 2.0}
        """
        result = self.result()
        named = result if isinstance(result, dict) else {self.name: result}
        return {name: _number(self.name, value) for name, value in named.items()}

    @checked
    def __call__(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> Any:
        """Count a batch; the value so far."""
        self.update_state(_tensor(y_true), _tensor(y_pred), sample_weight)
        result = self.result()
        return result if isinstance(result, dict) else _number(self.name, result)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """An average, over batches, of numbers that `update_state` is given, or of what a subclass' `values` gives.

    >>> mean = Mean()
    >>> mean.update_state([1.0, 2.0]), mean.update_state([6.0])
    (None, None)
    >>> mean.result()
    3.0
    """

    @strict
    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.reset_state()

    def reset_state(self) -> None:
        self._total, self._count = 0.0, 0.0

    @checked
    def update_state(self, values: Array, sample_weight: Array | None = None) -> None:  # type: ignore[override]
        """Count values, one per example (or one number), each times its weight."""
        self.add(np.asarray(_plain(values)), sample_weight)

    def add(self, values: np.ndarray[Any, Any], sample_weight: Array | None = None) -> None:
        """`update_state` with an array.

        >>> mean = Mean()
        >>> mean.add(np.array([1.0, 3.0]))
        >>> mean.result()
        2.0
        """
        if sample_weight is not None:
            weights = np.broadcast_to(spread(self.name, np.asarray(_plain(sample_weight)), values.shape), values.shape)
            values = values * weights
            self._count += float(weights.sum()) / (weights.size / max(1, len(weights)))
        else:
            self._count += len(values) if values.ndim else 1
        self._total += float(values.sum()) / (values.size / len(values) if values.ndim and values.size else 1)

    def result(self) -> float:
        return self._total / self._count if self._count else 0.0


class OfOutputs(Mean):
    """What the accuracies share: the average of what ``values(y, outputs, logits)`` says of each example, as arrays."""

    direction = "up"
    on_logits = True

    def values(self, y: Array, outputs: Array, logits: bool) -> Any:
        """A number for each example, or for each place of it."""
        raise NotDefinedError(f"{type(self).__name__}: define values(self, y, outputs, logits)")

    def update_state(  # type: ignore[override]
        self, y_true: Array, y_pred: Array, sample_weight: Array | None = None, logits: bool = False
    ) -> None:
        """Count a batch; `logits` says that `y_pred` are, which makes a difference only where there is a threshold."""
        y, outputs = np.asarray(_plain(y_true)), np.asarray(_plain(y_pred))
        self.add(np.asarray(self.values(y, outputs, logits)), sample_weight)


def _classes(y: Array, outputs: Array) -> Array:
    """The label of each example as an integer, from integers (N,) or (N, 1) or from one-hot rows (N, K)."""
    if y.ndim < outputs.ndim:
        return y
    return y[..., 0] if y.shape[-1] == 1 != outputs.shape[-1] else y.argmax(-1)


class CategoricalAccuracy(OfOutputs):
    """How often the largest output is the label, one-hot or an integer.

    >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]])
    0.5
    """

    def values(self, y: Array, outputs: Array, logits: bool) -> Any:
        return _classes(y, outputs) == outputs.argmax(-1)


class SparseCategoricalAccuracy(CategoricalAccuracy):
    """`CategoricalAccuracy` by its name for integer labels.

    >>> SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.4, 0.6]])
    0.5
    """


class BinaryAccuracy(OfOutputs):
    """How often a label is 1 where the output is above the threshold, and 0 where it is not.

    >>> BinaryAccuracy()([[1], [0]], [[0.8], [0.6]])
    0.5
    """

    @strict
    def __init__(self, name: str = "binary_accuracy", threshold: Within = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y: Array, outputs: Array, logits: bool) -> Any:
        cut = float(np.log(self.threshold / (1 - self.threshold))) if logits else self.threshold
        labels = y[..., None] if y.ndim == outputs.ndim - 1 else y
        return labels == (outputs > cut)


class _Function(Mean):
    """Any function of (y_true, y_pred) as a metric: the average of what it gives, over examples."""

    def __init__(self, function: Callable[..., Any], name: str, direction: str | None = None) -> None:
        super().__init__(name)
        self.function, self.direction = function, direction

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array | None = None) -> None:  # type: ignore[override]
        values = np.asarray(_plain(self.function(_tensor(y_true), _tensor(y_pred))), np.float64)
        if values.ndim == 0:  # one number for the whole batch
            values = np.broadcast_to(values, len(y_pred))
        self.add(values, sample_weight)


def _of_loss(loss: Loss, name: str) -> Metric:
    """A loss as a metric."""

    def each(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return loss.each(loss.prepare(y_true._array, y_pred.shape), y_pred, loss.from_logits)

    return _Function(each, name, "down")


_BY_NAME: dict[str, Callable[[], Any]] = {
    "accuracy": SparseCategoricalAccuracy,  # or another one, by shapes: see `get`
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    **LOSSES,  # whose names `get` looks at first
}


@checked
def get(metric: Any, labels: Any = None, output: Any = None) -> Metric:
    """The metric that `compile(metrics=[...])` means; "accuracy" depends on the shapes of labels and outputs.

    Raises ArgumentError for an unknown name, DTypeError for what is no metric.

    >>> get("accuracy", labels=(None,), output=(None, 10)).name
    'accuracy'
    """
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return _accuracy(labels or (None,), output or (None, 2))(metric)
    if isinstance(metric, str) and metric.lower() in LOSSES:
        return _of_loss(LOSSES[metric.lower()](), metric)
    found: Metric | None = resolved(metric, Metric, _BY_NAME)
    if found is not None:
        return found
    if isinstance(metric, Loss):
        return _of_loss(metric, metric.name)
    if callable(metric):
        return _Function(metric, getattr(metric, "__name__", type(metric).__name__))
    raise DTypeError(f"compile: expected a metric by name, as an object or as a function, got {metric!r}")


def _accuracy(labels: tuple[Any, ...], output: tuple[Any, ...]) -> Callable[[str], Metric]:
    """Keras' rule: one output is a yes or no; labels with fewer axes, or one column of them, are integers."""
    if output[-1] == 1:
        return BinaryAccuracy
    if len(labels) < len(output) or labels[-1] == 1:
        return SparseCategoricalAccuracy
    return CategoricalAccuracy


# ------------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else bare_array(value, "metrics")


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else wrap(np.asarray(value), None)


def _number(name: str, value: Any) -> float:
    try:
        return float(_plain(value))
    except (TypeError, ValueError):
        raise DTypeError(
            f"metric {name}: expected result() to be a number or a dict of numbers, got {value!r}"
        ) from None


def __getattr__(name: str) -> Any:
    return instead("keras.metrics", name, __all__)
