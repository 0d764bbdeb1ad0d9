"""What is behind `Model.fit`, `evaluate` and `predict`: checks first, then as little per batch as it takes."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Set
from contextlib import nullcontext
from itertools import chain, count, islice
from typing import Any, TypeAlias
from weakref import ref

import numpy as np

from .. import distributed, nn
from ..distributed.agreeing import share_randomness
from ..distributed.world import World, world
from ..engine.modes import MODE, effect, mode, no_grad
from ..engine.tensor import Tensor, wrap
from ..errors import AnomalyError, ArgumentError, DTypeError, ShapeError
from ..nn.fixes import Shape
from ..ops.activations import sigmoid, softmax
from ..plan import compile
from ..stopping import Stopped, Stopping
from . import metrics
from .backup import BackupAndRestore
from .callback import CallbackList, History, Logs
from .feeding import Arrays, Batch, Feed
from .losses import Loss, spread
from .progress import Bar

Array: TypeAlias = Any

_ACTIVATIONS: dict[str | None, Any] = {"softmax": softmax, "sigmoid": sigmoid}


class Step:
    """One batch through a model. It knows no `Trainer`: trainers hold it, and what holds itself does not go at once."""

    loss: Loss
    _ignored = None  # what decides is named below

    def __init__(self, model: Any) -> None:
        self.model = model
        self.last: nn.Layer | None = None  # whose activation is left out, since the loss knows a stabler way

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which a step depends."""
        return {"model", "loss", "last"}

    @property
    def on_logits(self) -> bool:
        """Are the model's outputs logits, as it is run here?"""
        return self.last is not None or self.loss.from_logits

    def forward(self, x: Array, y: Array, weights: Array | None) -> tuple[Tensor, Tensor]:
        """The model's outputs (logits where the loss takes them) and the loss."""
        outputs: Tensor = self.model(self.model.as_input(x))
        return outputs, self.loss.of(y, outputs, weights, self.on_logits)

    def learn(self, x: Array, y: Array, weights: Array | None) -> tuple[Tensor, Tensor]:
        """`forward`, backward, and the optimiser's step."""
        outputs, loss = self.forward(x, y, weights)
        _check_finite(loss)
        optimizer = self.model.optimizer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return outputs, loss

    def pull(self, x: Array, y: Array, weights: Array | None) -> tuple[Tensor, Tensor]:
        """`forward` and backward, on a part of a batch, of which each rank has another."""
        outputs, loss = self.forward(x, y, weights)
        loss.backward()
        return outputs, loss


class Trainer:
    """One call of `fit`, `evaluate` or `predict` (`what`, for messages) on a model."""

    loss: Loss

    def __init__(self, model: Any, what: str, eagerly: bool = False) -> None:
        self.model, self.what, self.one = model, what, Step(model)
        self.runs: Callable[..., Any] = (lambda step: step) if eagerly or model.run_eagerly else _compiled
        self.learns = self.runs(self.one.learn)
        self.ranks = World()
        self.together: distributed.Optimizer | None = None  # the model's optimiser, with the gradients of all ranks
        self.stopping: Any = nullcontext()  # with that, all stop after one step when Ctrl-C is pressed
        self._outputs: dict[Any, Shape] = {}  # the output's shape, by that of the inputs
        self.forgives_nan = False
        # Whole epochs; batches and examples of the one that is under way, and the sum of their losses.
        self.done, self.batches, self.examples, self.total = 0, 0, 0, 0.0
        self._modes: tuple[Any, Any, Any] = (None, None, None)  # a mode, a layer, and the mode in which it is left out

    # -- checks ----------------------------------------------------------------------------------------------------

    def settle(self, feed: Feed, class_weight: dict[int, float] | None = None) -> None:
        """Look at the first batch: do data, model and loss fit each other, and how is the loss computed?"""
        assert self.model.loss is not None  # `Model` has seen to that
        self.loss = self.one.loss = self.model.loss
        first = feed.look()
        output = self.output_for(first.x)
        if self.model.ending("softmax") is not None and output[-1] == 1:
            raise ArgumentError(
                f"{self.what}: the model ends in a softmax over one unit, which is always 1: use "
                'activation="sigmoid" and loss="binary_crossentropy", or one unit per class'
            )
        ready = self.ready(first, class_weight)
        if isinstance(feed, Arrays):
            feed.data = ready
        self.model.make_for(first.x)
        shapes = first.y.shape, output
        self.plain, self.weighted = (
            [metrics.get(metric, *shapes) for metric in given] for given in self.model._metrics
        )
        self.metrics = [*self.plain, *self.weighted]

    def output_for(self, x: Array) -> Shape:
        """The output's shape for a batch, worked out once for each shape of examples."""
        if x.shape[1:] not in self._outputs:
            self._outputs[x.shape[1:]] = self.model.output_for(x)
        return self._outputs[x.shape[1:]]

    def ready(self, batch: Batch, class_weight: dict[int, float] | None = None) -> Batch:
        """A batch with its labels as the loss wants them, and with the weights of classes in its weights."""
        if batch.targets is not None:
            return batch
        output = self.output_for(batch.x)
        targets, weights = self.targets(batch.x, batch.y, output), batch.weights
        if class_weight is not None:
            of_classes = self.class_weights(batch.y, class_weight)
            weights = of_classes if weights is None else spread(self.what, weights, (len(weights),)) * of_classes
        if weights is not None:
            spread(self.what, weights, (len(weights), *output[1:-1]))
        return Batch(batch.x, batch.y, weights, targets)

    def targets(self, x: Array, y: Array, output: Shape) -> Array:
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

    def class_weights(self, y: Array, class_weight: dict[int, float]) -> Array:
        """The weight of each example's class."""
        if not isinstance(class_weight, dict):
            raise DTypeError(f"{self.what}: expected class_weight as a dictionary, got {class_weight!r}")
        classes = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y), -1)[:, 0].astype(np.intp)
        if classes.ndim > 1:
            raise ShapeError(f"{self.what}: class_weight needs one label per example, got labels {y.shape}")
        for label, weight in class_weight.items():
            if not isinstance(label, (int, np.integer)) or label < 0:
                raise ArgumentError(f"{self.what}: expected classes 0, 1, ... in class_weight, got {label!r}")
            if not isinstance(weight, (int, float, np.number)) or not 0 <= weight < math.inf:
                raise ArgumentError(
                    f"{self.what}: expected class weights of at least 0, got {weight!r} for class {label}: use 1.0"
                )
        table = np.ones(1 + max(int(classes.max()), *class_weight), np.float32)
        for label, weight in class_weight.items():
            table[label] = weight
        return table[classes]

    # -- one batch -------------------------------------------------------------------------------------------------

    def run(self, what: Callable[..., tuple[Tensor, Tensor]], batch: Batch) -> tuple[Tensor, Tensor]:
        """`forward`, or what learns, on a batch; the model leaves out a last activation that the loss makes up for."""
        last = self.one.last = self._left_out()
        here = MODE.get()
        if self._modes[0] is not here or self._modes[1] is not last:  # kept, as modules know modes by identity
            self._modes = here, last, here.but(bare=None if last is None else ref(last))
        token = MODE.set(self._modes[2])
        try:
            return what(batch.x, batch.targets, batch.weights)
        finally:
            MODE.reset(token)

    def _left_out(self) -> nn.Layer | None:
        """The layer that leaves out its activation."""
        return None if self.loss.from_logits else self.model.ending(self.loss.activation)

    def count(self, batch: Batch, outputs: Tensor) -> None:
        """Update the metrics with what the model puts out. Where its last activation was left out, accuracies read the
        logits, and the others get probabilities."""
        raw, probabilities = outputs._array, None
        for metric in self.metrics:
            given: dict[str, Any] = {"sample_weight": batch.weights} if metric in self.weighted else {}
            if isinstance(metric, metrics.OfOutputs) and metric.on_logits:
                metric.update_state(batch.y, raw, **given, logits=self.one.last is not None)
                continue
            if probabilities is None:
                activation = _ACTIVATIONS[self.loss.activation] if self.one.last is not None else np.asarray
                probabilities = wrap(np.asarray(activation(raw)), None)
            metric.update_state(wrap(batch.y, None), probabilities, **given)

    def step(self, batch: Batch, class_weight: dict[int, float] | None, where: str) -> float:
        """Forward, backward, and the optimiser's step; the loss before it."""
        batch = self.ready(batch, class_weight)
        if self.together is not None:
            return self._step_together(self.together, batch, where)
        try:
            outputs, loss = self.run(self.learns, batch)
        except _NotFiniteError as error:
            if self.forgives_nan:
                return float(error.args[0])
            raise self._not_finite(error.args[0], batch.x, where) from None
        self.count(batch, outputs)
        return float(loss._array)

    def _step_together(self, optimizer: distributed.Optimizer, batch: Batch, where: str) -> float:
        """A step of all ranks, each with its parts of the batch. All count the metrics of the whole batch."""
        optimizer.zero_grad()
        own = []
        for part in optimizer.parts(batch):
            outputs, loss = self.run(self.pulls, part)
            own.append(outputs._array)
            optimizer.note(float(loss._array), float(self.stopping.asked))
        optimizer.average()
        value, asked = optimizer.noted
        if not math.isfinite(value):
            if self.forgives_nan:
                return value
            raise self._not_finite(value, batch.x, where)
        optimizer.step()
        if self.metrics:
            found = self.ranks.gathered("counts a batch", own)
            self.one.last = self._left_out()  # a rank may have had no part
            self.count(batch, wrap(np.concatenate([array for arrays in found for array in arrays]), None))
        if asked:
            raise Stopped
        return value

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

    def logs(self, loss: float) -> Logs:
        """The loss and the results of all metrics; those of one name by the names that Keras gives them."""
        logs: Logs = {"loss": loss}
        for given, kind in (self.plain, ""), (self.weighted, "weighted_"):
            for metric in given:
                for name, value in metric.logs().items():
                    names = chain([name, f"{kind}{name}"], (f"{kind}{name}_{number}" for number in count(1)))
                    logs[next(name for name in names if name not in logs)] = value
        return logs

    def reset(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_state()

    def bind(self) -> None:
        """Give the optimiser the weights that may learn."""
        params = self.model.trainable_weights
        if not params:
            raise ArgumentError(f"{self.what}: the model has nothing to learn: no layer with trainable weights")
        self.model.optimizer.bind(params)

    def begin(self, shared: bool | str) -> None:
        """On all ranks, before anything is drawn: the same random numbers everywhere."""
        if shared:
            self.ranks = world()
            share_randomness(self.ranks, [nn.init.generator()])

    def share(self, shared: bool | str) -> None:
        """From here on steps are those of all ranks."""
        if not shared:
            return
        if self.loss.reduction in ("sum", "none", None, "mean_with_sample_weight"):
            raise ArgumentError(
                f"{self.what}: distributed=True takes the mean over the examples of all ranks, got a loss with "
                f"reduction={self.loss.reduction!r}: use reduction='sum_over_batch_size'"
            )
        how = "ordered" if shared == "ordered" else "mean"
        optimizer = distributed.Optimizer(self.model.optimizer, self.model, reduction=how)
        if not optimizer.is_alone:
            self.together, self.pulls = optimizer, self.runs(self.one.pull)
            self.stopping = Stopping("" if self.ranks.rank else f"{self.what}: stopping after this step, on all ranks")

    # -- whole runs ------------------------------------------------------------------------------------------------

    def calls(self, callbacks: Any, bar: Bar, epochs: int = 1) -> CallbackList:
        """Who is told of this run."""
        params = {"epochs": epochs, "steps": bar.steps, "verbose": bar.verbose}
        found = CallbackList(self.what, callbacks, self.model, params)
        if self.ranks.rank:
            found.leave_to_first()
        return found

    def fit(
        self, feed: Feed, held_out: Feed | None, epochs: int, verbose: Any, callbacks: Any,
        class_weight: dict[int, float] | None, initial_epoch: int, validation_freq: int, shared: bool | str,
    ) -> History:  # fmt: skip
        model, what = self.model, self.what
        self.begin(shared)
        self.settle(feed, class_weight)
        tester = Trainer(model, f"{what}, validation")
        tester.ranks = self.ranks
        if held_out is not None:
            tester.settle(held_out)
        model.metrics = self.metrics
        self.bind()
        self.share(shared)
        bar = Bar(what, 0 if self.ranks.rank else verbose, feed.batches)
        self.feed, self.epochs, self.done = feed, epochs, initial_epoch
        calls = self.calls(callbacks, bar, epochs)
        for callback in calls.callbacks:
            if isinstance(callback, BackupAndRestore):
                callback._begin(self)
        history = model.history = calls.history
        self.forgives_nan = any(getattr(callback, "forgives_nan", False) for callback in calls.callbacks)
        model.stop_training = False
        logs: Logs = {}
        epoch = initial_epoch
        try:
            with self.stopping:
                calls.tell("on_train_begin", {})  # which may go on from a backup
                for epoch in range(self.done, epochs):
                    calls.tell("on_epoch_begin", epoch, {})
                    bar.begin(f"Epoch {epoch + 1}/{epochs}", self.batches)
                    loss = self.epoch(feed, class_weight, epoch, calls, bar)
                    if loss is None:
                        warnings.warn(
                            f"{what}: the data ended before epoch {epoch + 1} of {epochs}: give it data that can be "
                            "gone through again, or steps_per_epoch", stacklevel=4,
                        )  # fmt: skip
                        break
                    self.done, logs = epoch + 1, self.logs(loss)
                    if held_out is not None and (epoch + 1) % validation_freq == 0:
                        logs = logs | tester.test(held_out, calls, None, prefix="val_")
                    shown = dict(logs)  # a callback may add to these, for those after it
                    calls.tell("on_epoch_end", epoch, shown)
                    bar.end(shown)
                    if model.stop_training:
                        break
        except KeyboardInterrupt as error:
            if self.together is not None and not isinstance(error, Stopped):
                raise  # other ranks would wait for this one, so this ends them
            history.interrupted = True
            bar.close()
            message = f"interrupted in epoch {epoch + 1} of {epochs}; the model keeps what it has learned"
            if not self.ranks.rank:
                print(f"{what}: {message}", file=sys.stderr)
        finally:
            bar.close()
        calls.tell("on_train_end", logs)
        return history

    def epoch(
        self, feed: Feed, class_weight: dict[int, float] | None, epoch: int, calls: CallbackList, bar: Bar
    ) -> float | None:
        """One pass over the data; the average loss, None where there was no data."""
        begins, ends = calls.hear("on_train_batch_begin"), calls.hear("on_train_batch_end")
        if not self.batches:
            self.reset()

        def logs() -> Logs:
            return self.logs(self.total / self.examples)

        with mode(training=True):
            for number, batch in enumerate(feed.epoch(), self.batches):
                if begins:
                    calls.tell("on_train_batch_begin", number, {})
                self.total += self.step(batch, class_weight, f"in epoch {epoch + 1}, batch {number + 1}") * len(batch)
                self.examples, self.batches = self.examples + len(batch), number + 1
                if ends:
                    calls.tell("on_train_batch_end", number, logs())
                bar.tick(logs)
                if self.model.stop_training:
                    break
        loss = self.total / self.examples if self.examples else None
        self.batches, self.examples, self.total = 0, 0, 0.0
        return loss

    def test(self, feed: Feed, calls: CallbackList, bar: Bar | None, prefix: str = "") -> Logs:
        """The loss and the metrics on checked data."""
        begins, ends = calls.hear("on_test_batch_begin"), calls.hear("on_test_batch_end")
        self.model.stop_evaluating = False
        calls.tell("on_test_begin", {})
        total, seen = 0.0, 0
        self.reset()
        with mode(training=False), no_grad():
            for number, (batch, loss, outputs) in enumerate(self._tested(feed, calls if begins else None)):
                total += loss * len(batch)
                seen += len(batch)
                self.count(batch, outputs)
                if ends:
                    calls.tell("on_test_batch_end", number, self.logs(total / seen))
                if bar is not None:
                    bar.tick()
                if self.model.stop_evaluating:
                    break
        if not seen:
            raise ArgumentError(f"{self.what}: expected data that can be gone through again, got some that have ended")
        logs = self.logs(total / seen)
        calls.tell("on_test_end", logs)
        return {f"{prefix}{name}": value for name, value in logs.items()}

    def _tested(self, feed: Feed, told: CallbackList | None) -> Iterator[tuple[Batch, float, Tensor]]:
        """Each batch with its loss and outputs; of as many as there are ranks, each rank computes one."""
        numbers, batches = count(), map(self.ready, feed.epoch(anew=True))
        while some := list(islice(batches, self.ranks.size)):
            for number in islice(numbers, len(some)):
                if told is not None:
                    told.tell("on_test_batch_begin", number, {})
            own = None
            if self.ranks.rank < len(some):
                outputs, loss = self.run(self.one.forward, some[self.ranks.rank])
                own = float(loss._array), outputs._array
            self.one.last = self._left_out()
            for batch, found in zip(some, self.ranks.gathered("evaluates", own), strict=False):
                yield batch, found[0], wrap(found[1], None)

    def evaluate(self, feed: Feed, verbose: Any, callbacks: Any) -> Logs:
        self.settle(feed)
        with Bar(self.what, verbose, feed.batches) as bar:
            calls = self.calls(callbacks, bar)
            logs = self.test(feed, calls, bar)
            bar.end(logs)
        return logs

    def predict(self, feed: Feed, verbose: Any, callbacks: Any) -> Array:
        self.model.output_for(feed.look().x)
        parts: list[Array] = []
        self.model.stop_predicting = False
        with Bar(self.what, verbose, feed.batches) as bar, mode(training=False), no_grad():
            calls = self.calls(callbacks, bar)
            calls.tell("on_predict_begin", {})
            for number, batch in enumerate(feed.epoch()):
                calls.tell("on_predict_batch_begin", number, {})
                parts.append(self.model(self.model.as_input(batch.x))._array)
                calls.tell("on_predict_batch_end", number, {"outputs": parts[-1]})
                bar.tick()
                if self.model.stop_predicting:
                    break
            calls.tell("on_predict_end", {})
            bar.end({})
        return np.concatenate(parts)

    def train_on_batch(self, batch: Batch, class_weight: dict[int, float] | None) -> Logs:
        self.settle(Arrays(self.what, batch, len(batch), None, shuffle=False), class_weight)
        self.bind()
        self.reset()
        with mode(training=True):
            return self.logs(self.step(batch, class_weight, "on this batch"))


def _compiled(step: Callable[..., Any]) -> Callable[..., Any]:
    return compile(step, warn=False)


class _NotFiniteError(Exception):
    """The loss of a batch is NaN or infinite."""


@effect
def _check_finite(loss: Tensor) -> None:
    value = float(loss._array)
    if not math.isfinite(value):
        raise _NotFiniteError(value)
