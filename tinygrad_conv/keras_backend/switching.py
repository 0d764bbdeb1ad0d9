"""What asks for a backend by name: what `keras.src.utils.backend_utils` gets from this engine."""

from __future__ import annotations

from typing import Any

from keras.src import backend
from keras.src.utils import backend_utils as stock

from ..errors import MissingExtraError
from .loading import NAME

__all__ = ["DynamicBackend", "set_backend"]


class DynamicBackend(stock.DynamicBackend):  # type: ignore[misc]
    """What Keras' preprocessing layers compute with: this backend, or another one's for pipelines of data."""

    def __getattr__(self, name: str) -> Any:
        return getattr(backend, name) if self._backend == NAME else super().__getattr__(name)


def set_backend(backend: str) -> None:
    """Keras' own loads all of Keras again, beside what is adapted: half a backend."""
    if backend != NAME:
        raise MissingExtraError(
            f"keras.config.set_backend: expected {NAME!r}, which this process keeps, got {backend!r}; "
            "start a new process without import tinygrad_conv.keras_backend"
        )
