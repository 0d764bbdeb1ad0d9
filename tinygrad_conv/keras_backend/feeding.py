"""Batches as arrays: what `keras.src.trainers.data_adapters` gets from this engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from keras.src import tree

from ..engine.tensor import Tensor

__all__ = ["get_numpy_iterator"]


def get_numpy_iterator(iterable: Iterable[Any]) -> Iterator[Any]:
    for batch in iterable:
        yield tree.map_structure(_as_array, batch, none_is_leaf=False)


def _as_array(x: Any) -> Any:
    """What a model is fed is data, whatever it was computed from."""
    if isinstance(x, Tensor):
        return x.detach().numpy()
    if hasattr(x, "detach"):  # PyTorch's
        x = x.detach().cpu()
    return np.asarray(x) if hasattr(x, "__array__") else x
