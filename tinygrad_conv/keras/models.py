"""`keras.models`: `Model`, which trains any module, and `Sequential`, layers one after another."""

from typing import Any

from .absent import instead
from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential"]


def __getattr__(name: str) -> Any:
    return instead("keras.models", name, __all__)
