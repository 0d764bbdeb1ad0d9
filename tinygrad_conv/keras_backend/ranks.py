"""What `fit` of stock Keras needs on several processes: one start for all, and files from one rank alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras.src import callbacks as every
from keras.src.losses import Loss

from ..distributed.agreeing import agree
from ..distributed.describing import Line, of_object
from ..distributed.joining import mean_over_ranks
from ..distributed.world import world

__all__ = ["agree_on", "average_variables", "leave_to_first", "share_legacy_randomness", "share_variables"]

_WRITERS = (every.CSVLogger, every.ModelCheckpoint, every.TensorBoard)


def share_legacy_randomness() -> None:
    """From here on all ranks draw the same numbers from NumPy's and Python's own generators, as Keras does."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  (Keras draws from it)
    python, numpy = world().from_first("takes rank 0's random numbers", states)
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


def agree_on(model: Any) -> None:
    """Raise GraphError, on all ranks, where one trains something else."""
    layers = {f"layer {layer.name}": layer for layer in reversed(list(model._flatten_layers()))}
    things = {"optimizer": model.optimizer, "loss": model.loss, **layers}
    agree(world(), "fit", (line for name, thing in things.items() for line in _described(name, thing)))


def _described(name: str, thing: Any) -> Iterator[Line]:
    yield from of_object(name, type(thing) if hasattr(thing, "get_config") else thing)
    try:
        yield from of_object(name, vars(thing) if isinstance(thing, Loss) else thing.get_config())
    except (AttributeError, NotImplementedError):  # it has none
        return


def share_variables(variables: Sequence[Any]) -> None:
    """Give all ranks the values of rank 0. Other ranks drop other things: their seeds are moved by the rank."""
    ranks = world()
    ranks.meet(f"shares {[(v.path, v.shape, v.dtype) for v in variables]}")
    values = ranks.from_first("takes rank 0's variables", [np.asarray(v.numpy()) for v in variables])
    for variable, value in zip(variables, values, strict=True):
        is_seed = "seed_generator" in variable.path
        variable.assign(value + np.asarray([ranks.rank, 0], value.dtype) if is_seed else value)


def average_variables(variables: Sequence[Any]) -> None:
    """Running statistics, of which each rank has its own, become those of all."""
    floats = [variable for variable in variables if np.dtype(variable.numpy().dtype).kind == "f"]
    means = mean_over_ranks(*(variable.numpy() for variable in floats), count=1)
    for variable, mean in zip(floats, means, strict=True):
        variable.assign(mean)


def leave_to_first(verbose: Any, callbacks: Any) -> tuple[Any, Any]:
    """What is shown, and who is told, on this rank: only rank 0 shows progress and writes files."""
    if not world().rank or isinstance(callbacks, every.CallbackList):
        return (verbose if not world().rank else 0), callbacks
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return 0, [callback for callback in given if not isinstance(callback, _WRITERS)]
