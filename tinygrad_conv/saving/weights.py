"""`save` and `load`: the weights of a model as a file, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import as_array
from ..engine.tensor import Tensor
from ..errors import ArgumentError, DTypeError
from ..files import (
    Expected,
    arrays_in,
    datasets_in,
    is_of_keras,
    is_zipped,
    name_of,
    tensors_in,
    write,
    write_arrays,
    write_datasets,
    write_tensors,
)  # fmt: skip
from ..nn.module import Module, take_over
from .places import places

__all__ = ["load", "load_into", "save", "save_as"]

WRITERS = {".npz": write_arrays, ".safetensors": write_tensors, ".h5": write_datasets}


def save(model: Any, path: str | os.PathLike[str]) -> Path:
    """Write the weights of a model to a file, which appears whole or not at all. `load` reads it.

    Parameters
    ----------
    model : module, model or layer of Keras on this engine, or mapping from names to arrays
    path : str or path
        Its ending says the format: ``.npz``, ``.safetensors``, ``.weights.h5`` (which Keras reads with
        ``load_weights``; h5py is needed), or ``.keras`` (all of a model of Keras, as Keras saves it).

    Raises
    ------
    ArgumentError
        Another ending, or a model without weights.
    DTypeError
        What is no model; a dtype that the format does not have.
    DataError
        The file cannot be written. An older one is as it was.
    MissingExtraError
        No h5py.

    >>> from tempfile import TemporaryDirectory
    >>> import tinygrad_conv as tg
    >>> net = tg.nn.Sequential(tg.nn.Dense(3, in_features=2, name="head"))
    >>> with TemporaryDirectory() as folder:
    ...     {name: array.shape for name, array in load(save(net, f"{folder}/net.safetensors")).items()}
    {'head.weight': (2, 3), 'head.bias': (3,)}
    """
    name = name_of(path, "save")
    ending = os.path.splitext(name)[1].lower()
    if ending == ".keras":
        return write(path, _whole(model), "save")
    if ending not in WRITERS:
        raise ArgumentError(
            "save: expected a file with the ending .npz, .safetensors, .weights.h5 or .keras, got "
            f"{name!r}; use {name}.npz"
        )
    return save_as(ending, model, path, "save")


def save_as(ending: str, model: Any, path: str | os.PathLike[str], what: str) -> Path:
    """`save` in the format of an ending, whatever the file is called."""
    if isinstance(model, Mapping):
        arrays = {str(name): _numbers(what, name, array) for name, array in model.items()}
    else:
        names = _schemes(what, model)[-1 if ending == ".h5" else 0]
        arrays = {name: tensor._array for name, tensor in names.items()}
    if not arrays:
        raise ArgumentError(f"{what}: expected a model with weights, got none; build it or call it once before")
    return WRITERS[ending](path, arrays, what)


def _numbers(what: str, name: Any, value: Any) -> Any:
    array = value._array if isinstance(value, Tensor) else as_array(value, f"{what}: {name!r}")
    if array.dtype.kind not in "fiubc":
        raise DTypeError(f"{what}: expected numbers for {name!r}, got dtype {array.dtype}")
    return array


def load(path: str | os.PathLike[str], model: Any = None) -> dict[str, Any]:
    """Read weights from a file: of `save`, of Keras (``.weights.h5``, ``.keras``), of `numpy.savez`, or safetensors.

    Parameters
    ----------
    path : str or path
        The file may have any name.
    model : module, or model or layer of Keras on this engine, optional
        Takes over the weights. It has the layers of the model that was saved, which may have been one of this library,
        of `tinygrad_conv.keras` or of Keras.

    Returns
    -------
    dict
        The arrays by their names in the file; nothing once a model has taken them over.

    Raises
    ------
    DataError
        No such file, or another kind. Code in a file is never run.
    ArgumentError, ShapeError, DTypeError
        The weights of another model: the message names them, and both shapes. Nothing is changed.
    MissingExtraError
        No h5py, for files of Keras.

    >>> from tempfile import TemporaryDirectory
    >>> import tinygrad_conv as tg
    >>> net, other = (tg.nn.Dense(3, in_features=2, seed=seed) for seed in (0, 1))
    >>> with TemporaryDirectory() as folder:
    ...     load(save(net, f"{folder}/net.npz"), other)
    {}
    >>> bool((net.weight.numpy() == other.weight.numpy()).all())
    True
    """
    if model is not None:
        load_into(model, path, "load")
        return {}
    with _entries(path, "load", "weights") as entries:
        return {name: np.asarray(entry) for name, entry in entries.items()}


def load_into(model: Any, path: str | os.PathLike[str], what: str, wanted: str = "weights") -> None:
    """`load` with other words for messages."""
    schemes = _schemes(what, model)
    with _entries(path, what, wanted) as entries:
        found = {name: entry for name, entry in entries.items() if not name.startswith("optimizer/")}
        closest = max(schemes, key=lambda names: (names.keys() == found.keys(), len(names.keys() & found.keys())))
        take_over(what, type(model).__name__, closest, found)


@contextmanager
def _entries(path: Any, what: str, wanted: str) -> Iterator[Mapping[str, Any]]:
    """The arrays in a file, of which nothing but shapes and dtypes is read before it is asked for."""
    expected = Expected(f"{what}: {name_of(path, what)}", wanted)
    with expected.opened(path) as file:
        reader = datasets_in if is_of_keras(file) else arrays_in if is_zipped(file) else tensors_in
    with reader(path, expected) as entries:
        yield entries


def _schemes(what: str, model: Any) -> list[dict[str, Tensor]]:
    """The names that a model's weights may have in a file, each with its tensor: first those of `save`, last Keras'."""
    if not isinstance(model, Module) and not hasattr(type(model), "_own_weights"):
        raise DTypeError(
            f"{what}: expected a module, or a model of Keras after import tinygrad_conv.keras_backend, got "
            f"{type(model).__name__}"
        )
    found = places(model)
    by_number, by_class, of_keras = ({place.names[k]: place.tensor for place in found} for k in range(3))
    own = [dict(model._state())] if isinstance(model, Module) else []
    return [*own, *map(_once, (by_class, by_number)), of_keras]


def _once(names: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the further names of tensors that layers share."""
    first = {id(tensor): name for name, tensor in reversed(names.items())}
    return {name: tensor for name, tensor in names.items() if first[id(tensor)] == name}


def _whole(model: Any) -> bytes:
    """What Keras makes of a model."""
    if isinstance(model, Module) or not callable(getattr(model, "save", None)):
        raise ArgumentError(
            "save: a .keras file has the code of a model, too, which only Keras knows; use .weights.h5 for the weights"
        )
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        return Path(folder, "model.keras").read_bytes()
