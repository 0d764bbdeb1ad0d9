"""Which models are compiled unless somebody says otherwise: what `keras.src.trainers.trainer` gets from this engine."""

from __future__ import annotations

from typing import Any

__all__ = ["model_supports_jit"]


def model_supports_jit(model: Any) -> bool:
    """Those whose layers can be; of those that move images Keras says that they cannot, for XLA's sake."""
    from keras.src.layers.preprocessing.image_preprocessing.base_image_preprocessing_layer import (
        BaseImagePreprocessingLayer,
    )

    return all(x.supports_jit or isinstance(x, BaseImagePreprocessingLayer) for x in model._flatten_layers())
