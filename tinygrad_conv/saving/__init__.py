"""Weights as files: `save` and `load`, for models of this library and of Keras, in the files of both."""

from .weights import load, save

__all__ = ["load", "save"]
