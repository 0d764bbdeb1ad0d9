"""`keras.callbacks`: what `fit` calls at the beginning and end of training, of each epoch and of each batch."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..files import folder_for, name_of, read, write
from .spelling import strict

if TYPE_CHECKING:
    from .models import Model

__all__ = [
    "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint",
    "ReduceLROnPlateau", "TerminateOnNaN",
]  # fmt: skip

Logs = dict[str, float]


class Callback:
    """Base of the callbacks: override what is needed. `model` is set; ``model.stop_training = True`` ends `fit`.

    `logs` hold the loss and the metrics so far.
    """

    model: Model
    params: dict[str, Any]

    def on_train_begin(self, logs: Logs | None = None) -> None: ...

    def on_train_end(self, logs: Logs | None = None) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...


class History(Callback):
    """What `fit` returns: `history` maps "loss", each metric and their "val_" to a list with a value per epoch.

    `interrupted` says that Ctrl-C ended training early.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.interrupted = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self) -> Any:
        """Loss and metrics over the epochs, as a matplotlib figure (extra ``plots``)."""
        from ..plots import plot_history

        return plot_history(self.history)

    def __repr__(self) -> str:
        last = [f"{name} {values[-1]:.4g}" for name, values in self.history.items()]
        parts = [f"{len(self.epoch)} epochs", *(["interrupted"] if self.interrupted else []), *last]
        return f"History({', '.join(parts)})"


class LambdaCallback(Callback):
    """Functions as a callback: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if not hasattr(Callback, name):
                raise ArgumentError(f"LambdaCallback: unknown event {name!r}: use one of {', '.join(_EVENTS)}")
            setattr(self, name, function)


_EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


class _Watching(Callback):
    """What callbacks share that watch whether a number gets better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(
                f"{type(self).__name__}: expected mode 'auto', 'min' or 'max', got {mode!r}: use mode='auto'"
            )
        upward = mode == "max" or (mode == "auto" and "acc" in monitor)
        self.monitor, self.min_delta, self._sign = monitor, abs(min_delta), -1.0 if upward else 1.0
        self.best = math.inf * self._sign

    def watched(self, logs: Logs | None) -> float:
        """The number; raises ArgumentError when the logs do not have it."""
        logs = logs or {}
        if self.monitor not in logs:
            hint = "; give fit validation_data= or validation_split=" if self.monitor.startswith("val_") else ""
            raise ArgumentError(
                f"{type(self).__name__}: expected monitor among {', '.join(logs)}, got {self.monitor!r}{hint}"
            )
        return logs[self.monitor]

    def improved(self, value: float) -> bool:
        """Is it better than the best so far by more than `min_delta`? Then it is the best."""
        if (self.best - value) * self._sign > self.min_delta or (math.isinf(self.best) and not math.isnan(value)):
            self.best = value
            return True
        return False


class EarlyStopping(_Watching):
    """Stop when a number has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        What counts as an improvement.
    patience : int
    mode : "min", "max" or "auto" (accuracies go up, all else down)
    baseline : float, optional
        The number to beat at first.
    restore_best_weights : bool
        Go back to the weights of the best epoch at the end.
    start_from_epoch : int
    """

    @strict
    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, verbose: int = 0,
        mode: str = "auto", baseline: float | None = None, restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = math.inf * self._sign if self.baseline is None else self.baseline
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self._weights: list[Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improved(self.watched(logs)):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self._weights = self.model.get_weights()
        elif self.wait >= self.patience:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")


class ModelCheckpoint(_Watching):
    """Save the weights after each epoch, or only when a number improved.

    `filepath` may hold ``{epoch:02d}`` and the names of logs, such as ``{val_loss:.2f}``. Its folder is made.

    Raises DataError, before any training, where no file can be written there.
    """

    @strict
    def __init__(
        self, filepath: str | os.PathLike[str], monitor: str = "val_loss", verbose: int = 0,
        save_best_only: bool = False, save_weights_only: bool = True, mode: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode)
        if not save_weights_only:
            raise ArgumentError("ModelCheckpoint: only weights can be saved: use save_weights_only=True")
        self.filepath, self.verbose, self.save_best_only = name_of(filepath, "ModelCheckpoint"), verbose, save_best_only

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Make the folder, as far as its name is known, and find out now whether a file can be written there."""
        fixed, brace, _ = self.filepath.partition("{")
        folder_for(os.path.join(os.path.dirname(fixed), "") if brace else fixed, "ModelCheckpoint")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_best_only and not self.improved(self.watched(logs)):
            return
        try:
            path = self.filepath.format(epoch=epoch + 1, **(logs or {}))
        except KeyError as error:
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
    """

    @strict
    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = name_of(filename, "CSVLogger"), separator, append

    def on_train_begin(self, logs: Logs | None = None) -> None:
        folder_for(self.filename, "CSVLogger")
        self._written = read(self.filename, "CSVLogger") if self.append and os.path.exists(self.filename) else b""
        write(self.filename, self._written, "CSVLogger")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs, lines = logs or {}, io.StringIO()
        writer = csv.writer(lines, delimiter=self.separator)
        if not self._written:
            writer.writerow(["epoch", *sorted(logs)])
        elif not self._written.endswith(b"\n"):  # an editor may have left the last line open
            lines.write("\r\n")
        writer.writerow([epoch, *(logs[name] for name in sorted(logs))])
        self._written += lines.getvalue().encode(errors="backslashreplace")
        write(self.filename, self._written, "CSVLogger")


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch to ``schedule(epoch, lr)`` (or ``schedule(epoch)``)."""

    @strict
    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        lr = self.model.optimizer.learning_rate
        try:
            lr = self.schedule(epoch, lr)
        except TypeError:
            lr = self.schedule(epoch)
        self.model.optimizer.learning_rate = lr
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {lr:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class ReduceLROnPlateau(_Watching):
    """Multiply the learning rate by `factor` when a number has not improved for `patience` epochs."""

    @strict
    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, verbose: int = 0, mode: str = "auto",
        min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: expected factor between 0 and 1, got {factor}: use factor=0.1")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best, self.wait, self._cooling = math.inf * self._sign, 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.watched(logs)
        lr = self.model.optimizer.learning_rate
        if logs is not None:
            logs["learning_rate"] = lr
        if self._cooling:
            self._cooling, self.wait = self._cooling - 1, 0
        if self.improved(value):
            self.wait = 0
        elif not self._cooling:
            self.wait += 1
            if self.wait >= self.patience and lr > self.min_lr:
                self.model.optimizer.learning_rate = max(lr * self.factor, self.min_lr)
                self._cooling, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {self.model.optimizer.learning_rate:g}")


class TerminateOnNaN(Callback):
    """Here for Keras' sake: `fit` stops at a loss that is not finite by itself, with an error that says where."""
