"""`BackupAndRestore` of stock Keras: a `fit` goes on inside its epoch, to the bit, on several processes too.

Keras writes weights and the number of the epoch, in two files and in place. Here one file has all variables, how far
the epoch is, and where the random numbers are. It appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from keras.src.callbacks.backup_and_restore import BackupAndRestore

from ..distributed.world import world
from ..files import Expected, arrays_in, parsed, write_arrays
from .ranks import average_variables, share_variables

__all__ = ["Progress"]

_LONGEST = 200_000  # characters of where the random numbers are


class Progress:
    """How far a `fit` is.

    Attributes
    ----------
    epoch, batch : int
        Whole epochs, and batches of the one that is under way.
    is_kept : bool
        Is there a callback that keeps it?
    """

    def __init__(self, batches: Any, callbacks: Any, epoch: int, epochs: int, together: bool) -> None:
        self.epoch, self.batch, self._epochs = epoch, 0, epochs
        self._batches, self._together = batches, together
        self._order, self._taken = "", 0  # the random numbers when the pass over the data began; batches since
        self._now = ""  # where they are after the batches that a `fit` before has used
        found = [callback for callback in callbacks if isinstance(callback, BackupAndRestore)]
        self.is_kept = bool(found)
        for callback in found:
            callback._save_model, callback._load_model = partial(self._save, callback), partial(self._load, callback)
            callback.delete_checkpoint &= not together or not world().rank
        if found:
            batches._get_iterator = self._noted(batches._get_iterator)

    def _noted(self, passes: Callable[[], Any]) -> Callable[[], Any]:
        def begin() -> Iterator[Any]:
            self._order, self._taken = _randomness(), 0
            for batch in passes():
                self._taken += 1
                yield batch

        return begin

    def rest(self) -> Iterator[Any]:
        """The batches of an epoch, without those that a `fit` before has used."""
        for begin, end, data in self._batches:
            if end < self.batch:
                continue
            self._go_on()
            self.batch = end + 1
            yield begin, end, data
        self._go_on()

    def end(self) -> None:
        """The epoch is over."""
        self.epoch, self.batch = self.epoch + 1, 0

    def _go_on(self) -> None:
        if self._now:
            _draw_on(self._now)
            self._now = ""

    def _save(self, callback: Any) -> None:
        if self._together:
            average_variables(callback.model.non_trainable_variables)  # so that rank 0 has what all have
        if not (self._together and world().rank):
            place = json.dumps([self.epoch, self.batch, self._taken, self._order, _randomness()])
            os.makedirs(callback.backup_dir, exist_ok=True)
            arrays = {f"{k}": v.numpy() for k, v in enumerate(_variables(callback.model))}
            write_arrays(_path(callback), {"place": np.array(place), **arrays}, "BackupAndRestore")

    def _load(self, callback: Any) -> None:
        place = self._read(callback) if not (self._together and world().rank) else None
        if self._together:
            place = world().from_first("looks for a backup", place)
        if place is None:
            return
        if self._together:
            share_variables(_variables(callback.model))
        self.epoch, self.batch, taken, order, self._now = place
        callback._last_batch_seen = max(self.batch - 1, 0)
        for _ in range(min(self.epoch, self._epochs)):  # what orders itself hears of each
            self._batches.data_adapter.on_epoch_begin()
            self._batches.data_adapter.on_epoch_end()
        steps, before = self._batches.steps_per_epoch, taken - self.batch
        if self.batch or (steps and before != self._batches._num_batches):  # a pass is under way
            _draw_on(order)
            if steps:  # since an epoch before, perhaps
                self._batches._current_iterator = passes = self._batches._get_iterator()
                self._batches._steps_seen = sum(1 for _ in islice(passes, before))
        if not self.batch:
            self._go_on()

    def _read(self, callback: Any) -> Any:
        """What a backup says, after its variables were taken over; None where there is none."""
        path = _path(callback)
        if not os.path.exists(path):
            return None
        expected = Expected(f"BackupAndRestore: {path}", "a backup of this training", "delete it to begin anew")
        with arrays_in(path, expected) as entries, expected.checking("other content"):
            place = parsed(entries.pop("place").text(_LONGEST), expected)
            epoch, batch, taken, order, now = place
            most = epoch * (self._batches.steps_per_epoch or taken)
            if {type(epoch), type(batch), type(taken)} != {int} or not 0 <= batch <= taken <= batch + most:
                raise ValueError(f"epoch {epoch}, batch {batch}, {taken} taken")
            here = _randomness()
            try:
                _draw_on(order)  # raises if it is no place of these generators
                _draw_on(now)
            finally:
                _draw_on(here)
            variables = {f"{number}": variable for number, variable in enumerate(_variables(callback.model))}
            for name, variable in variables.items():
                here, there = variable.numpy(), entries[name]
                if (there.shape, there.dtype) != (here.shape, here.dtype) or len(entries) != len(variables):
                    raise ValueError(f"other variables than {variable.path}")
            values = {name: np.asarray(entry) for name, entry in entries.items()}
        for name, variable in variables.items():  # what follows cannot fail
            variable.assign(values[name])
        return place


def _path(callback: Any) -> str:
    return os.path.join(callback.backup_dir, "backup.npz")


def _variables(model: Any) -> Sequence[Any]:
    more = model.optimizer.variables if model.optimizer is not None else []
    return list({id(v): v for v in (*model.variables, *more, *model.metrics_variables)}.values())


def _randomness() -> str:
    """Where the generators are that Keras draws from: Python's, and NumPy's first one."""
    _, numbers, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return json.dumps([numbers, gauss, kind, np.asarray(keys).tolist(), *rest])


def _draw_on(where: str) -> None:
    numbers, gauss, kind, keys, at, *rest = json.loads(where)
    if not 0 <= at <= len(keys):  # NumPy believes it, and would read beyond its numbers
        raise ValueError(f"random number {at} of {len(keys)}")
    random.setstate((3, tuple(numbers), None if gauss is None else float(gauss)))
    np.random.set_state((kind, keys, at, *rest))  # noqa: NPY002
