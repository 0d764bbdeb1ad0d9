"""`fit` and what it needs: what `keras.src.backend.numpy.trainer` gets from this engine.

Evaluation and prediction are those of Keras' NumPy backend. A step is a method, as on Keras' other backends, that users
write anew; `fit` runs it compiled: as a function of the values of all variables, which returns their new ones.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from keras.src import backend, optimizers, tree
from keras.src import callbacks as callbacks_module
from keras.src.backend import config
from keras.src.backend.numpy.trainer import NumpyTrainer as Stock
from keras.src.trainers.data_adapters import array_slicing, data_adapter_utils
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.trainers.trainer import Trainer
from keras.src.utils import traceback_utils
from keras.src.utils.python_utils import pythonify_logs

from ..distributed.joining import mean_over_ranks, own_rows, rows_of_all
from ..distributed.world import world
from ..engine.backward import gradients
from ..engine.modes import mode, no_grad
from .backup import Progress
from .ranks import agree_on, average_variables, leave_to_first, share_legacy_randomness, share_variables
from .stepping import CompiledStep

__all__ = ["NumpyTrainer"]


class NumpyTrainer(Stock):  # type: ignore[misc]
    """Keras' trainer of NumPy models, which can train."""

    train_function: Any
    test_function: Any
    predict_function: Any

    _together = False  # does each of several processes compute a part of every batch?

    def __init__(self) -> None:
        super().__init__()
        self.train_function = None
        self._eval_epoch_iterator = None

    def train_step(self, data: Any) -> Any:
        """One step on a batch, and its metrics. Write it anew for a step of your own."""
        x, y, sample_weight = whole = data_adapter_utils.unpack_x_y_sample_weight(data)
        if self._together:
            rows = own_rows(_size(x))
            x, y, sample_weight = tree.map_structure(lambda part: None if part is None else part[rows], whole)
        y_pred = self(x, training=True) if self._call_has_training_arg else self(x)
        loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        tracked = backend.core.stop_gradient(loss)
        if self._together:
            (tracked,) = mean_over_ranks(tracked, count=_size(x))
        self._loss_tracker.update_state(tracked, sample_weight=_size(whole[0]))
        if self.optimizer is not None:
            loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        if weights:
            found = gradients(loss, [weight.value for weight in weights])
            if self._together:
                there = iter(mean_over_ranks(*(g for g in found if g is not None), count=_size(x)))
                found = [g if g is None else next(there) for g in found]
            with no_grad():
                self.optimizer.apply(found, weights)
        else:
            warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        with no_grad():
            y_pred = tree.map_structure(backend.core.stop_gradient, y_pred)
            if self._together:
                y_pred = tree.map_structure(rows_of_all, y_pred)
            return self.compute_metrics(whole[0], whole[1], y_pred, sample_weight=whole[2])

    def make_train_function(self, force: bool = False) -> Any:
        if self.train_function is not None and not force:
            return self.train_function

        step = self._compiled(self.train_step, optimizer=True)
        if isinstance(self.optimizer, optimizers.LossScaleOptimizer):  # which looks for what overflowed
            step = np.errstate(over="ignore", invalid="ignore")(step)
        self.train_function = _last(step)
        return self.train_function

    def _compiled(self, step: Any, optimizer: bool = False) -> Any:
        """A step as `compile` asks for it."""
        if self.run_eagerly or not self.jit_compile:
            return step

        def variables() -> list[Any]:
            more = self.optimizer.variables if optimizer and self.optimizer is not None else ()
            found = *self.variables, *self.metrics_variables, *more
            return list({id(variable): variable for variable in found}.values())

        return CompiledStep(step, variables, self)

    def make_test_function(self, force: bool = False) -> Any:
        if self.test_function is not None and not force:
            return self.test_function
        self.test_function = _last(self._compiled(self.test_step))
        return self.test_function

    def make_predict_function(self, force: bool = False) -> Any:
        if self.predict_function is not None and not force:
            return self.predict_function
        step = self._compiled(self.predict_step)

        def predict_function(data: Any) -> Any:
            outputs = [tree.map_structure(backend.convert_to_numpy, step(one)) for one in data]
            return tree.map_structure(lambda *parts: np.concatenate(parts), *outputs) if len(data) > 1 else outputs[0]

        self.predict_function = predict_function
        return predict_function

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def fit(
        self, x: Any = None, y: Any = None, batch_size: Any = None, epochs: int = 1, verbose: Any = "auto",
        callbacks: Any = None, validation_split: float = 0.0, validation_data: Any = None, shuffle: bool = True,
        class_weight: Any = None, sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: Any = None,
        validation_steps: Any = None, validation_batch_size: Any = None, validation_freq: Any = 1,
        distributed: bool = False,
    ) -> Any:  # fmt: skip
        self._assert_compile_called("fit")
        before, self._together = self._together, distributed and world().size > 1
        if self._together:
            share_legacy_randomness()
            verbose, callbacks = leave_to_first(verbose, callbacks)
        most = config.max_epochs()
        if most and most < epochs:
            warnings.warn(f"Limiting epochs to {most}", stacklevel=2)
            epochs = most
        self._eval_epoch_iterator = None
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = array_slicing.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        batches = self._batches(
            x=x, y=y, sample_weight=sample_weight, batch_size=batch_size, steps_per_epoch=steps_per_epoch,
            shuffle=shuffle, class_weight=class_weight,
        )  # fmt: skip
        more = self.optimizer.variables if self.optimizer is not None else []
        if self._together:
            agree_on(self)
            share_variables([*self.variables, *more])
        if not isinstance(callbacks, callbacks_module.CallbackList):
            callbacks = callbacks_module.CallbackList(
                callbacks, add_history=True, add_progbar=verbose != 0, verbose=verbose, epochs=epochs,
                steps=batches.num_batches, model=self,
            )  # fmt: skip
        self.stop_training = False
        self.make_train_function(force=before != self._together)
        progress = Progress(batches, callbacks.callbacks, initial_epoch, epochs, self._together)
        callbacks.on_train_begin()  # which may go on where a backup is
        epoch_logs: dict[str, Any] = {}
        for epoch in range(self._initial_epoch or progress.epoch, epochs):
            if not progress.batch:
                self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs: Any = self.get_metrics_result() if progress.batch else {}
            for begin, end, data in progress.rest():
                callbacks.on_train_batch_begin(begin)
                with mode(as_written=progress.is_kept):  # replays are rounded differently at times
                    logs = self.train_function(data)
                callbacks.on_train_batch_end(end, logs)
                if self.stop_training:
                    break
            progress.end()
            if self._together:
                average_variables(self.non_trainable_variables)
            epoch_logs = dict(pythonify_logs(self._get_metrics_result_or_logs(logs)))
            if validation_data is not None and self._should_eval(epoch, validation_freq):
                epoch_logs |= self._validate(
                    validation_data, validation_batch_size or batch_size, validation_steps, callbacks
                )
            callbacks.on_epoch_end(epoch, epoch_logs)
            if self.stop_training:
                break
        if isinstance(self.optimizer, optimizers.Optimizer) and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        self._eval_epoch_iterator = None
        callbacks.on_train_end(logs=epoch_logs)
        return self.history

    def _symbolic_build(self, data_batch: Any = None, iterator: Any = None) -> None:
        """Make all variables, with the shapes of a batch: as on the backends that train."""
        Trainer._symbolic_build(self, iterator, data_batch)

    def _validate(self, data: Any, batch_size: Any, steps: Any, callbacks: Any) -> dict[str, Any]:
        if self._eval_epoch_iterator is None:
            x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)
            self._eval_epoch_iterator = self._batches(
                x=x, y=y, sample_weight=sample_weight, batch_size=batch_size, steps_per_epoch=steps
            )
        logs = self.evaluate(callbacks=callbacks, return_dict=True, _use_cached_eval_dataset=True)
        return {f"val_{name}": value for name, value in logs.items()}

    def _batches(self, **given: Any) -> Any:
        """Passes over data. Building takes no batch away: afterwards they begin anew."""
        batches = EpochIterator(**given, steps_per_execution=self.steps_per_execution)
        self._symbolic_build(iterator=batches)
        batches.reset()
        return batches

    @traceback_utils.filter_traceback  # type: ignore[untyped-decorator]
    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: Any = None, verbose: Any = "auto", sample_weight: Any = None,
        steps: Any = None, callbacks: Any = None, return_dict: bool = False, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Keras' own, of a model that is built already: it would build it from the first batch."""
        cached = self._eval_epoch_iterator
        if not kwargs.pop("_use_cached_eval_dataset", False):
            self._assert_compile_called("evaluate")
            self._eval_epoch_iterator = self._batches(
                x=x, y=y, sample_weight=sample_weight, batch_size=batch_size, steps_per_epoch=steps
            )
        try:
            return super().evaluate(
                verbose=verbose, callbacks=callbacks, return_dict=return_dict, _use_cached_eval_dataset=True, **kwargs
            )
        finally:
            self._eval_epoch_iterator = cached

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        self._assert_compile_called("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    "Arguments `sample_weight` and `class_weight` cannot be specified at the same time. "
                    f"Received: sample_weight={sample_weight}, class_weight={class_weight}"
                )
            sample_weight = data_adapter_utils.class_weight_to_sample_weights(y, class_weight)
        data = (x, y, sample_weight)
        self._symbolic_build(data)
        self.make_train_function()
        self.reset_metrics()
        logs = pythonify_logs(self.train_function([data]))
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        self.reset_metrics()
        return super().test_on_batch(*args, **kwargs)

    def test_step(self, data: Any) -> Any:
        x, y, sample_weight = data_adapter_utils.unpack_x_y_sample_weight(data)
        with no_grad():
            y_pred = self(x, training=False) if self._call_has_training_arg else self(x)
            loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False)
            self._loss_tracker.update_state(loss, sample_weight=_size(x))
            return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, data: Any) -> Any:
        with no_grad():
            return super().predict_step(data)


def _last(step: Any) -> Any:
    """A function of some batches: a step on each; what the last one returned."""

    def run(data: Any) -> Any:
        for one in data:
            logs = step(one)
        return logs

    return run


def _size(x: Any) -> int:
    """How many examples are in a batch."""
    return next(part for part in tree.flatten(x) if part is not None).shape[0]
