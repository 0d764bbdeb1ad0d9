"""What is behind `Model.fit`, `evaluate` and `predict`: checks first, then as little per batch as it takes."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import AnomalyError, ArgumentError, DTypeError, ShapeError
from ..modes import effect, no_grad
from ..nn import Module, init
from ..ops.activations import sigmoid, softmax
from ..plan import compile
from ..tensor import Tensor
from .callbacks import Callback, History, Logs
from .losses import Loss

if TYPE_CHECKING:
    from .models import Model

Array: TypeAlias = Any
BATCH = 256  # where nothing is learned, a larger batch is only faster


@dataclass(frozen=True)
class Data:
    """Examples: inputs, labels as the loss wants them, and what each example's loss counts."""

    x: Array
    y: Array
    weights: Array | None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: slice | Array) -> Data:
        if isinstance(chosen, slice):
            return Data(self.x[chosen], self.y[chosen], None if self.weights is None else self.weights[chosen])
        weights = None if self.weights is None else self.weights.take(chosen)
        return Data(self.x.take(chosen, axis=0), self.y.take(chosen, axis=0), weights)


class Trainer:
    """One call of `fit`, `evaluate` or `predict` (`what`, for messages) on a model."""

    loss: Loss
    logits: bool  # does the model leave out its last activation, since the loss knows a stabler way?
    run: Module  # the model, or the model without that activation

    def __init__(self, model: Model, what: str) -> None:
        self.model, self.what = model, what
        self.replay = self.learn if model.run_eagerly else compile(self.learn, warn=False)

    # -- checks ----------------------------------------------------------------------------------------------------

    def array(self, name: str, value: Any) -> Array:
        """Data as an array of numbers with at least one example."""
        if value is None:
            raise DTypeError(f"{self.what}: expected {name} as an array, got None")
        try:
            array = value._data if isinstance(value, Tensor) else np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"{self.what}: expected {name} with examples of one shape, got {error}") from None
        if array.dtype.kind not in "fiub":
            raise DTypeError(
                f"{self.what}: expected {name} as numbers, got {type(value).__name__} of dtype {array.dtype}"
            )
        if array.ndim == 0 or not len(array):
            raise ShapeError(f"{self.what}: expected at least one example in {name}, got shape {array.shape}")
        return array

    def size(self, name: str, value: Any, default: int) -> int:
        """An argument that must be a positive integer."""
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise DTypeError(f"{self.what}: expected {name} as an integer, got {value!r}: use {name}={default}")
        if value < 1:
            raise ArgumentError(f"{self.what}: expected {name} of at least 1, got {value}: use {name}={default}")
        return int(value)

    def same_length(self, x: Array, other: Array, name: str) -> None:
        """Raise unless there is one label or weight per input."""
        if len(x) != len(other):
            n = min(len(x), len(other))
            raise ShapeError(
                f"{self.what}: expected as many {name} as inputs, got {len(x)} inputs {x.shape} and {len(other)} "
                f"{name} {other.shape}: use the first {n} of both if they belong together"
            )

    def data(self, x: Any, y: Any, sample_weight: Any = None) -> Data:
        """The data, checked against each other, the model and the loss; settles how the loss is computed."""
        loss = self.loss = self.model.compiled(self.what)
        x, y = self.array("x", x), self.array("y", y)
        self.same_length(x, y, "labels")
        output = self.model.output_for(x)
        if self.model.ends_in("softmax") and output[-1] == 1:
            raise ArgumentError(
                f"{self.what}: the model ends in a softmax over one unit, which is always 1: use "
                'activation="sigmoid" and loss="binary_crossentropy", or one unit per class'
            )
        y = self.labels(x, y, output)
        weights = None
        if sample_weight is not None:
            weights = self.array("sample_weight", sample_weight).astype(np.float32)
            self.same_length(x, weights, "sample weights")
            if weights.ndim != 1:
                raise ShapeError(f"{self.what}: expected one weight per example, got shape {weights.shape}")
        self.model.make_for(x)
        self.logits = not loss.from_logits and self.model.ends_in(loss.activation)
        self.run = self.model.without_activation() if self.logits else self.model
        self.metrics = self.model.resolved_metrics(output[-1])
        return Data(x, y, weights)

    def labels(self, x: Array, y: Array, output: tuple[Any, ...]) -> Array:
        """The labels as the loss wants them; where they do not fit, say how to change the model."""
        try:
            return self.loss.prepare(y, output)
        except (ShapeError, ArgumentError) as error:
            if ": use " in str(error) or y.ndim > 2:
                raise
            if y.ndim == 2 and y.shape[-1] > 1:
                wanted = y.shape[-1]
            elif self.loss.activation == "softmax" and y.dtype.kind in "iu":
                wanted = int(y.max()) + 1 if len(output) == 2 else max(int(y.max()) + 1, output[-1])
            else:
                wanted = 1
            fix = self.model.mend_output((None, *x.shape[1:]), wanted) if wanted > 0 else ""
            if not fix:
                raise
            raise type(error)(f"{error}: {fix}") from None

    def by_class(self, data: Data, class_weight: dict[int, float] | None) -> Data:
        """The data with each example's weight multiplied by its class's."""
        if class_weight is None:
            return data
        weights = self.class_weights(data.y, class_weight)
        return Data(data.x, data.y, weights if data.weights is None else data.weights * weights)

    def class_weights(self, y: Array, class_weight: dict[int, float]) -> Array:
        """The weight of each example's class."""
        if not isinstance(class_weight, dict):
            raise DTypeError(f"{self.what}: expected class_weight as a dictionary, got {class_weight!r}")
        classes = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y), -1)[:, 0].astype(np.intp)
        if classes.ndim > 1:
            raise ShapeError(f"{self.what}: class_weight needs one label per example, got labels {y.shape}")
        for label in class_weight:
            if not isinstance(label, (int, np.integer)) or label < 0:
                raise ArgumentError(f"{self.what}: expected classes 0, 1, ... in class_weight, got {label!r}")
        table = np.ones(1 + max(int(classes.max()), *class_weight), np.float32)
        for label, weight in class_weight.items():
            table[label] = weight
        return table[classes]

    # -- one batch -------------------------------------------------------------------------------------------------

    def forward(self, x: Array, y: Array, weights: Array | None) -> tuple[Tensor, Tensor]:
        """The model's outputs (logits where the loss takes them) and the loss."""
        outputs: Tensor = self.run(self.model.as_input(x))
        return outputs, self.loss.call(y, outputs, weights, self.logits or self.loss.from_logits)

    def learn(self, x: Array, y: Array, weights: Array | None) -> tuple[Tensor, Tensor]:
        """`forward`, backward, and the optimiser's step."""
        outputs, loss = self.forward(x, y, weights)
        _check_finite(loss)
        optimizer = self.model.optimizer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return outputs, loss

    def count(self, y: Array, outputs: Tensor) -> None:
        """Update the metrics. Accuracies read logits as they are; the others get probabilities."""
        raw, probabilities = outputs._data, None
        for metric in self.metrics:
            if not self.logits or metric.on_logits:
                metric.update(y, raw, self.logits or self.loss.from_logits)
            else:
                if probabilities is None:
                    probabilities = (softmax if self.loss.activation == "softmax" else sigmoid)(raw)
                metric.update(y, probabilities, False)

    def step(self, batch: Data, where: str) -> float:
        """Forward, backward, and the optimiser's step; the loss before it."""
        try:
            outputs, loss = self.replay(batch.x, batch.y, batch.weights)
        except _NotFiniteError as error:
            raise self._not_finite(error.args[0], batch.x, where) from None
        self.count(batch.y, outputs)
        return float(loss._data)

    def _not_finite(self, value: float, x: Array, where: str) -> AnomalyError:
        cause = f"often the learning rate is too high (it is {self.model.optimizer.learning_rate:g})"
        largest = np.abs(x.astype(np.float64)).max()
        if not math.isfinite(largest):
            cause = "the inputs of this batch hold NaN or infinity"
        elif largest > 20:
            cause += f", or the inputs too large (they reach {largest:g}: try x / {largest:g})"
        return AnomalyError(
            f"{self.what}: the loss is {value} {where}; {cause}. To find the operation that made it, run inside "
            "`with tg.detect_anomaly():`"
        )

    def logs(self, loss: float, prefix: str = "") -> Logs:
        return {f"{prefix}loss": loss} | {f"{prefix}{metric.name}": metric.result() for metric in self.metrics}

    def reset(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset()

    def bind(self) -> None:
        """Give the optimiser the weights that may learn."""
        params = [param for param in self.model.parameters() if param.requires_grad]
        if not params:
            raise ArgumentError(f"{self.what}: the model has nothing to learn: no layer with trainable weights")
        self.model.optimizer.bind(params)

    @contextmanager
    def mode(self, training: bool) -> Iterator[None]:
        """The model in training or inference mode, and as it was afterwards."""
        before = self.model.training
        self.model.train(training)
        try:
            yield
        finally:
            self.model.train(before)

    # -- whole runs ------------------------------------------------------------------------------------------------

    def fit(
        self, x: Any, y: Any, batch_size: int | None, epochs: int, verbose: Any, callbacks: Iterable[Callback] | None,
        validation_split: float, validation_data: Any, shuffle: bool, class_weight: dict[int, float] | None,
        sample_weight: Any, initial_epoch: int, validation_batch_size: int | None, validation_freq: int,
    ) -> History:  # fmt: skip
        model = self.model
        data = self.data(x, y, sample_weight)
        batch_size, epochs = self.size("batch_size", batch_size, 32), self.size("epochs", epochs, 1)
        tester = Trainer(model, f"{self.what}, validation")
        tester_size = self.size("validation_batch_size", validation_batch_size, BATCH)
        tester_freq = self.size("validation_freq", validation_freq, 1)
        data, held_out = self._split(data, validation_split)
        data = self.by_class(data, class_weight)
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                raise DTypeError(f"{self.what}: expected validation_data=(x, y) or (x, y, sample_weight)")
            held_out = tester.data(*validation_data)
        elif held_out is not None:
            held_out = tester.data(held_out.x, held_out.y, held_out.weights)
        self.bind()

        history = model.history = History()
        calls = [*(callbacks or ()), history]
        bar = Bar(self.what, verbose, -(-len(data) // batch_size))
        for callback in calls:
            callback.model = model
            callback.params = {"epochs": epochs, "steps": bar.steps, "verbose": bar.verbose}
        model.stop_training = False
        epoch = initial_epoch
        try:
            tell(calls, "on_train_begin")
            for epoch in range(initial_epoch, epochs):
                tell(calls, "on_epoch_begin", epoch)
                bar.begin(f"Epoch {epoch + 1}/{epochs}")
                with self.mode(training=True):
                    logs = self.logs(self.epoch(data, batch_size, shuffle, epoch, calls, bar))
                if held_out is not None and (epoch + 1) % tester_freq == 0:
                    logs |= tester.test(held_out, tester_size, lambda: None, prefix="val_")
                tell(calls, "on_epoch_end", epoch, logs)
                bar.end(logs)
                if model.stop_training:
                    break
        except KeyboardInterrupt:
            history.interrupted = True
            bar.close()
            message = f"interrupted in epoch {epoch + 1} of {epochs}; the model keeps what it has learned"
            print(f"{self.what}: {message}", file=sys.stderr)
        finally:
            bar.close()
        tell(calls, "on_train_end")
        return history

    def _split(self, data: Data, fraction: float) -> tuple[Data, Data | None]:
        """The last part of the data set aside."""
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction < 1:
            raise ArgumentError(
                f"{self.what}: expected validation_split in [0, 1), got {fraction!r}: use validation_split=0.1"
            )
        if not fraction:
            return data, None
        n = int(len(data) * (1 - fraction))
        if not 0 < n < len(data):
            raise ArgumentError(
                f"{self.what}: expected validation_split to leave examples in both parts, got {fraction} of {len(data)}"
            )
        return data[:n], data[n:]

    def epoch(
        self, data: Data, batch_size: int, shuffle: bool, epoch: int, callbacks: list[Callback], bar: Bar
    ) -> float:
        """One pass over the data; the average loss."""
        n = len(data)
        order = init.generator().permutation(n) if shuffle else None
        before = [callback for callback in callbacks if overrides(callback, "on_train_batch_begin")]
        after = [callback for callback in callbacks if overrides(callback, "on_train_batch_end")]
        self.reset()
        total, seen = 0.0, 0

        def logs() -> Logs:
            return self.logs(total / seen)

        for number, start in enumerate(range(0, n, batch_size)):
            stop = min(start + batch_size, n)
            batch = data[slice(start, stop) if order is None else order[start:stop]]
            tell(before, "on_train_batch_begin", number)
            total += self.step(batch, f"in epoch {epoch + 1}, batch {number + 1}") * (stop - start)
            seen = stop
            if after:
                tell(after, "on_train_batch_end", number, logs())
            bar.tick(logs)
            if self.model.stop_training:
                break
        return total / seen

    def test(self, data: Data, batch_size: int, tick: Callable[[], None], prefix: str = "") -> Logs:
        """The loss and the metrics on checked data."""
        total = 0.0
        self.reset()
        with self.mode(training=False), no_grad():
            for start in range(0, len(data), batch_size):
                batch = data[start : start + batch_size]
                outputs, loss = self.forward(batch.x, batch.y, batch.weights)
                total += float(loss._data) * len(batch)
                self.count(batch.y, outputs)
                tick()
        return self.logs(total / len(data), prefix)

    def evaluate(self, x: Any, y: Any, batch_size: int | None, verbose: Any, sample_weight: Any) -> Logs:
        data = self.data(x, y, sample_weight)
        batch_size = self.size("batch_size", batch_size, BATCH)
        with Bar(self.what, verbose, -(-len(data) // batch_size)) as bar:
            logs = self.test(data, batch_size, bar.tick)
            bar.end(logs)
        return logs

    def predict(self, x: Any, batch_size: int | None, verbose: Any) -> Array:
        x = self.array("x", x)
        batch_size = self.size("batch_size", batch_size, BATCH)
        self.model.output_for(x)
        parts = []
        with Bar(self.what, verbose, -(-len(x) // batch_size)) as bar, self.mode(training=False), no_grad():
            for start in range(0, len(x), batch_size):
                parts.append(self.model(self.model.as_input(x[start : start + batch_size]))._data)
                bar.tick()
            bar.end({})
        return np.concatenate(parts)

    def train_on_batch(self, x: Any, y: Any, sample_weight: Any, class_weight: dict[int, float] | None) -> Logs:
        data = self.by_class(self.data(x, y, sample_weight), class_weight)
        self.bind()
        self.reset()
        with self.mode(training=True):
            return self.logs(self.step(data, "on this batch"))


class _NotFiniteError(Exception):
    """The loss of a batch is NaN or infinite."""


@effect
def _check_finite(loss: Tensor) -> None:
    value = float(loss._data)
    if not math.isfinite(value):
        raise _NotFiniteError(value)


def tell(callbacks: Iterable[Callback], event: str, *args: Any) -> None:
    """Call one method of each callback."""
    for callback in callbacks:
        getattr(callback, event)(*args)


def overrides(callback: Callback, event: str) -> bool:
    """Does a callback do anything at this event?"""
    return event in vars(callback) or getattr(type(callback), event) is not getattr(Callback, event)


class Bar:
    """A progress bar per epoch (verbose 1), a line per epoch (2), or nothing (0); tqdm is imported when first shown."""

    def __init__(self, what: str, verbose: Any, steps: int) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ArgumentError(f"{what}: expected verbose 'auto', 0, 1 or 2, got {verbose!r}: use verbose=\"auto\"")
        on_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
        self.verbose = int(on_terminal if verbose == "auto" else verbose)
        self.steps, self._what, self._bar, self._shown = steps, what, None, 0.0

    def __enter__(self) -> Bar:
        self.begin(self._what)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def begin(self, title: str) -> None:
        """Show a new bar."""
        self._title, self._started = title, time.perf_counter()
        if self.verbose == 1:
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=self.steps, desc=title, unit="batch", dynamic_ncols=True)

    def tick(self, logs: Callable[[], Logs] | None = None) -> None:
        """One batch is done; show its logs if the last were shown a while ago."""
        if self._bar is not None:
            now = time.perf_counter()
            if logs is not None and now - self._shown > 0.1:
                self._shown = now
                self._bar.set_postfix_str(text(logs()), refresh=False)
            self._bar.update(1)

    def end(self, logs: Logs) -> None:
        """Show the final logs and close."""
        if self._bar is not None and logs:
            self._bar.set_postfix_str(text(logs))
        self.close()
        if self.verbose == 2:
            print(f"{self._title} - {time.perf_counter() - self._started:.1f}s - {text(logs)}")

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def text(logs: Logs) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
