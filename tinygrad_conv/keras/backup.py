"""`BackupAndRestore`: a training that something has ended goes on at its last backup, to the bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeAlias
from weakref import ref

import numpy as np

from ..arguments import Count, Finite, Kind, Path, Size
from ..distributed.agreeing import generators_of
from ..engine.tensor import Tensor
from ..files import (
    Every,
    Expected,
    arrays_in,
    folder_for,
    name_of,
    parsed,
    put_generator,
    record,
    where_is,
    write_arrays,
)
from ..nn.module import fitting, put
from .callback import Callback, Logs
from .spelling import strict
from .variables import Variable

__all__ = ["BackupAndRestore", "Place"]

_LONGEST = 1_000_000  # characters that a backup says besides arrays


def _every(frequency: int | str) -> Every:
    return Every() if frequency == "epoch" else Every.of(str(frequency))


def _frequency(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError
    _every(value)
    return value


Frequency: TypeAlias = Annotated[int | str, Kind("'epoch', so many batches, or seconds such as '30s'", _frequency)]


@dataclass(frozen=True)
class Place:
    """How far a training is.

    Attributes
    ----------
    epoch : int
        Whole epochs.
    batch, examples, total : numbers
        What was seen of the next one, and the sum of its examples' losses.
    passes, taken : int
        Passes over the data that were begun, and batches of the last one.
    order, generators : str
        Where the package's generator was when that pass began, and where all generators are now.
    """

    epoch: Count
    batch: Count
    examples: Count
    total: Finite
    passes: Size
    taken: Count
    order: str
    generators: Sequence[str]


class BackupAndRestore(Callback):
    """Keep all that a training is in a file; the next `fit` of the same program goes on from there, to the bit.

    The file has the weights, the optimiser's state, how far the epoch is with its loss and metrics, and where all
    random numbers are. It appears whole or not at all, whatever ends the process. Several processes go on together.
    Steps run as they are written, not through `tg.compile`, whose replays may be rounded differently than first calls.

    What it does not have: what callbacks count (the patience of `EarlyStopping`), what metrics of your own keep besides
    numbers and variables, and the state of data that draw at random themselves. Batches that came from an iterable are
    gone through again, up to where it was.

    Parameters
    ----------
    backup_dir : str or path
        A folder, which is made, for ``backup.npz``.
    save_freq : "epoch", int, or str
        After each epoch, every so many batches, or every so many seconds: ``"30s"``.
    delete_checkpoint : bool
        Delete the file when training has reached its end.

    >>> import tempfile
    >>> from tinygrad_conv import keras
    >>> def train(epochs, folder):
    ...     keras.utils.set_random_seed(0)
    ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    ...     model.compile("adam", "mse")
    ...     kept = BackupAndRestore(folder, delete_checkpoint=False)
    ...     history = model.fit([[1.0], [2.0]], [[1.0], [0.0]], 1, epochs, verbose=0, callbacks=[kept])
    ...     return history.epoch, model.get_weights()[0].tolist()
    >>> with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
    ...     train(2, folder), train(4, folder)[0], train(4, folder)[1] == train(4, other)[1]
    (([0, 1], [[1.2114274501800537]]), [2, 3], True)
    """

    _trainer: ref[Any]
    _due: Callable[[], bool]

    @strict
    def __init__(self, backup_dir: Path, save_freq: Frequency = "epoch", delete_checkpoint: bool = True) -> None:
        self.backup_dir, self.save_freq = name_of(backup_dir, "fit"), save_freq
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "backup.npz")

    def _begin(self, trainer: Any) -> None:
        """Told before training, by whom."""
        self._trainer, self._due = ref(trainer), _every(self.save_freq).begin()
        trainer.learns, trainer.pulls = trainer.one.learn, trainer.one.pull  # as they are written

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_trainer", "_due")}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        trainer = self._trainer()
        if trainer is None:
            return
        ranks = trainer.ranks
        if not ranks.rank:
            folder_for(self._path, "BackupAndRestore")
        found = not ranks.rank and os.path.exists(self._path) and self._restore(trainer)
        if ranks.from_first("looks for a backup", found):
            arrays, place = ranks.from_first("takes rank 0's backup", (_arrays(trainer), _place(trainer)))
            if ranks.rank:
                _take(trainer, arrays, place)
                _go_to(trainer, place)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._due():
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        trainer = self._trainer()
        if self.delete_checkpoint and not (trainer is None or trainer.ranks.rank or self.model.history.interrupted):
            with suppress(OSError):
                os.unlink(self._path)
                os.rmdir(self.backup_dir)  # unless there is more in it

    def _save(self) -> None:
        trainer = self._trainer()
        if trainer is not None and not trainer.ranks.rank:  # after each step all have the same
            place = np.array(json.dumps(asdict(_place(trainer))))
            write_arrays(self._path, {"place": place, **_arrays(trainer)}, "BackupAndRestore")

    def _restore(self, trainer: Any) -> bool:
        expected = Expected(f"BackupAndRestore: {self._path}", "a backup of this training", "delete it to begin anew")
        with arrays_in(self._path, expected) as entries, expected.checking("other content"):
            place = record(Place, parsed(entries.pop("place").text(_LONGEST), expected), expected)
            _take(trainer, entries, place)
        _go_to(trainer, place)
        return True


def _tensors(trainer: Any) -> dict[str, Tensor]:
    """The weights, and the variables that metrics count in, by name."""
    found = {f"model/{name}": tensor for name, tensor in trainer.model._state()}
    return found | {name: value for name, (_, _, value) in _counted(trainer).items() if isinstance(value, Variable)}


def _counted(trainer: Any) -> dict[str, tuple[Any, str, Any]]:
    """What metrics count in, their numbers and variables, by name: metric, attribute, value."""
    return {
        f"metric {number}/{name}": (metric, name, value)
        for number, metric in enumerate(trainer.metrics)
        for name, value in vars(metric).items()
        if type(value) in (int, float, Variable)
    }


def _arrays(trainer: Any) -> dict[str, Any]:
    """All arrays and numbers of a training, by name."""
    state = trainer.model.optimizer.inner.state_dict()
    counted = {name: np.array(value) for name, (_, _, value) in _counted(trainer).items()}
    optimizer = {f"optimizer/{name}": np.asarray(value) for name, value in state.items()}
    return {**{name: tensor._array for name, tensor in _tensors(trainer).items()}, **counted, **optimizer}


def _place(trainer: Any) -> Place:
    feed, generators = trainer.feed, generators_of(trainer.model)
    return Place(
        trainer.done, trainer.batches, trainer.examples, trainer.total, feed.passes, feed.taken, feed.order,
        [where_is(generator) for generator in generators],
    )  # fmt: skip


def _take(trainer: Any, arrays: Mapping[str, Any], place: Place) -> None:
    """Take over a backup. Raises whatever comes of one of another training, before anything is changed."""
    optimizer, tensors, counted = trainer.model.optimizer.inner, _tensors(trainer), _counted(trainer)
    state = {name: entry if entry.shape else entry.item() for name, entry in arrays.items()}
    of_optimizer = {
        name.removeprefix("optimizer/"): state.pop(name) for name in arrays if name.startswith("optimizer/")
    }
    numbers = {name: state.pop(name) for name in counted.keys() - tensors.keys()}
    for name, number in numbers.items():
        if type(number) is not type(counted[name][2]):
            raise ValueError(f"{number} for {name}")
    values = fitting("fit", "this training", tensors, state)
    trainer.feed.check(place.passes, place.taken, place.epoch, place.batch)
    if len(place.generators) != len(generators_of(trainer.model)):
        raise ValueError(f"{len(place.generators)} generators")
    for where in (place.order, *place.generators):
        put_generator(np.random.default_rng(0), where)  # for its errors
    optimizer.load_state_dict(of_optimizer)  # all or nothing; what follows cannot fail
    put(tensors, values)
    for name, number in numbers.items():
        metric, attribute, _ = counted[name]
        setattr(metric, attribute, number)


def _go_to(trainer: Any, place: Place) -> None:
    """Go on from there. Raises nothing but what the data raise."""
    if place.epoch < trainer.epochs:
        trainer.feed.go_to(place.passes, place.taken, place.order, place.epoch - trainer.done, place.batch)
    trainer.done, trainer.batches = place.epoch, place.batch
    trainer.examples, trainer.total = place.examples, place.total
    for generator, where in zip(generators_of(trainer.model), place.generators, strict=True):
        put_generator(generator, where)
