"""`keras.callbacks`: what `fit` calls at the beginning and end of training, of each epoch and of each batch."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable
from string import Formatter
from typing import Annotated, Any, TypeAlias

from ..arguments import Count, Finite, Kind, Path, checked, one_of
from ..errors import AnomalyError, ArgumentError
from ..files import Expected, folder_for, name_of, write
from .absent import instead, missing
from .backup import BackupAndRestore
from .callback import EVENTS, Callback, History, Logs
from .spelling import strict, takes

__all__ = [
    "BackupAndRestore", "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "TerminateOnNaN",
]  # fmt: skip


def _character(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if len(value) != 1 or value in '\r\n"':
        raise ValueError
    return value


Mode: TypeAlias = Annotated[str, one_of("auto", "min", "max")]
Character: TypeAlias = Annotated[str, Kind("a string of one character", _character)]


@checked
class LambdaCallback(Callback):
    """Functions as a callback: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``.

    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> tell = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, list(logs)))
    >>> history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[tell])
    0 ['loss']
    1 ['loss']
    """

    def __init__(
        self, on_epoch_begin: Callable[..., Any] | None = None, on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None, on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None, on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any] | None,
    ) -> None:  # fmt: skip
        functions = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end, **others,
        }  # fmt: skip
        for name, function in functions.items():
            if name not in EVENTS:
                raise ArgumentError(f"LambdaCallback: unknown event {name!r}: use one of {', '.join(EVENTS)}")
            if function is not None:
                setattr(self, name, function)


class _Watching(Callback):
    """What callbacks share that watch whether a number gets better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None

    def watched(self, logs: Logs | None) -> float:
        """The number; raises ArgumentError when the logs do not have it."""
        logs = logs or {}
        if self.monitor not in logs:
            hint = "; give fit validation_data= or validation_split=" if self.monitor.startswith("val_") else ""
            raise ArgumentError(
                f"{type(self).__name__}: expected monitor among {', '.join(logs)}, got {self.monitor!r}{hint}"
            )
        value: float = logs[self.monitor]
        return value

    def better(self, value: float, than: float | None) -> bool:
        """Is it better by more than `min_delta`? Anything is better than None."""
        if than is None:
            return True
        return value - self.min_delta > than if self._upward() else value + self.min_delta < than

    def _upward(self) -> bool:
        """Is more better? With mode "auto" the metric of that name says so."""
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        metrics = {metric.name: metric.direction for metric in getattr(self.model, "metrics", ())}
        direction = "down" if name.endswith("loss") else metrics.get(name)
        if direction is None and name.endswith(("acc", "accuracy")):
            direction = "up"
        if direction is None:
            raise ArgumentError(
                f"{type(self).__name__}: expected mode 'min' or 'max', for nothing says whether {self.monitor} should "
                "be low or high: use mode='min' or mode='max'"
            )
        return direction == "up"


class EarlyStopping(_Watching):
    """Stop when a number has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        What counts as an improvement.
    patience : int
    mode : "min", "max" or "auto"
        Is lower better, or higher? "auto" knows for losses, and asks metrics for their `direction`.
    baseline : float, optional
        Patience runs out until the number is better than this, even while it improves.
    restore_best_weights : bool
        Go back to the weights of the best epoch at the end.
    start_from_epoch : int

    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> stop = EarlyStopping("loss", min_delta=0.01, patience=2)
    >>> history = model.fit([[1.0]], [[1.0]], epochs=500, verbose=0, callbacks=[stop])
    >>> len(history.epoch) == stop.stopped_epoch + 1 == stop.best_epoch + 3 < 500
    True
    """

    @strict
    def __init__(
        self, monitor: str = "val_loss", min_delta: Finite = 0.0, patience: Count = 0, verbose: Count = 0,
        mode: Mode = "auto", baseline: Finite | None = None, restore_best_weights: bool = False,
        start_from_epoch: Count = 0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best, self.wait, self.stopped_epoch, self.best_epoch = None, 0, 0, 0
        self._weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch < self.start_from_epoch:
            return
        value = self.watched(logs)
        self.wait += 1
        if self.better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._weights = self.model.get_weights()
            if self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")


class ModelCheckpoint(_Watching):
    """Save the weights after each epoch, or only when a number improved.

    `filepath` may hold ``{epoch:02d}`` and the names of logs, such as ``{val_loss:.2f}``. Its folder is made.
    `save_weights_only` is accepted for compatibility: only weights can be saved.

    Raises DataError, before any training, where no file can be written there.

    >>> import os, tempfile
    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save = ModelCheckpoint(folder + "/{epoch:02d}.npz")
    ...     history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[save])
    ...     sorted(os.listdir(folder))
    ['01.npz', '02.npz']
    """

    writes = True

    @strict
    def __init__(
        self, filepath: Path, monitor: str = "val_loss", verbose: Count = 0, save_best_only: bool = False,
        save_weights_only: bool = True, mode: Mode = "auto",
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode)
        if not save_weights_only:
            raise missing("ModelCheckpoint: only weights can be saved: use save_weights_only=True")
        self.filepath, self.verbose, self.save_best_only = name_of(filepath, "ModelCheckpoint"), verbose, save_best_only

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the folder, as far as its name is known, and find out now whether a file can be written there."""
        try:
            list(Formatter().parse(self.filepath))
        except ValueError as error:
            raise ArgumentError(
                f"ModelCheckpoint: expected braces in pairs in filepath, got {self.filepath!r}: {error}"
            ) from None
        fixed, brace, _ = self.filepath.partition("{")
        folder_for(os.path.join(os.path.dirname(fixed), "") if brace else fixed, "ModelCheckpoint")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_best_only:
            value = self.watched(logs)
            if not self.better(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ArgumentError(
                f"ModelCheckpoint: expected names among epoch, {', '.join(logs or {})} in filepath, got {error}"
            ) from None
        folder_for(path, "ModelCheckpoint")
        self.model.save_weights(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class CSVLogger(Callback):
    """Write the logs of each epoch as a line of a CSV file, whose folder is made; it has whole lines at any time.

    With `append` the lines of an earlier training stay. Raises DataError, before any training, where the file cannot
    be written.

    >>> import pathlib, tempfile
    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = CSVLogger(f"{folder}/log.csv")
    ...     history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[log])
    ...     lines = pathlib.Path(log.filename).read_text().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,val_loss', 3)
    """

    writes = True

    @strict
    def __init__(self, filename: Path, separator: Character = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = name_of(filename, "CSVLogger"), separator, append

    def on_train_begin(self, logs: Logs | None = None) -> None:
        folder_for(self.filename, "CSVLogger")
        self._written, log = b"", Expected(f"CSVLogger: {self.filename}", "a log")
        if self.append and os.path.exists(self.filename):
            with log.opened(self.filename) as file:
                self._written = file.read()
        first = self._written.decode(errors="replace").splitlines()[:1]
        with log.checking("other content"):
            self._columns = next(csv.reader(first, delimiter=self.separator), [])[1:]
        write(self.filename, self._written, "CSVLogger")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs, lines = logs or {}, io.StringIO()
        writer = csv.writer(lines, delimiter=self.separator)
        if not self._written:
            self._columns = sorted(logs)
            if not any(name.startswith("val_") for name in logs):  # there may be later, with validation_freq
                self._columns += [f"val_{name}" for name in self._columns]
            writer.writerow(["epoch", *self._columns])
        elif not self._written.endswith(b"\n"):  # an editor may have left the last line open
            lines.write("\r\n")
        writer.writerow([epoch, *(logs.get(name, "NA") for name in self._columns)])
        self._written += lines.getvalue().encode(errors="backslashreplace")
        write(self.filename, self._written, "CSVLogger")


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch to ``schedule(epoch, lr)`` (or ``schedule(epoch)``).

    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> slower = LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    >>> model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[slower]).history["learning_rate"]
    [0.1, 0.05]
    """

    @strict
    def __init__(self, schedule: Callable[..., float], verbose: Count = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        given = (epoch, self.model.optimizer.learning_rate)
        self.model.optimizer.learning_rate = self.schedule(*given[: 2 if takes(self.schedule, 2) else 1])
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {self.model.optimizer.learning_rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class TerminateOnNaN(Callback):
    """End training at a loss that is not finite, before it reaches the weights; without this, `fit` raises there.

    With `raise_error` it raises `AnomalyError` too.

    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[float("nan")]], epochs=5, verbose=0, callbacks=[TerminateOnNaN()])
    Batch 0: the loss is nan, training ends
    >>> len(history.epoch)
    1
    """

    forgives_nan = True  # asks `fit` not to raise

    @strict
    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            if self.raise_error:
                raise AnomalyError(f"TerminateOnNaN: the loss is {loss} at batch {batch}")
            print(f"Batch {batch}: the loss is {loss}, training ends")
            self.model.stop_training = True


def __getattr__(name: str) -> Any:
    return instead("keras.callbacks", name, __all__)
