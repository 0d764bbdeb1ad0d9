"""`keras.models`: `Model`, which trains any module, and `Sequential`, layers one after another."""

from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential"]
