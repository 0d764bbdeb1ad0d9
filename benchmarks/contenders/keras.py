"""Keras, on the backend that $KERAS_BACKEND says: `train_on_batch`, and `fit` for an epoch."""

from __future__ import annotations

import os
from typing import Any

if os.environ.get("KERAS_BACKEND") == "tinygrad_conv":
    import tinygrad_conv.keras_backend  # noqa: F401  (before Keras)

import keras
from keras import layers

from .. import networks as spec
from ..cases import fit_mnist
from ..networks import NETWORKS


def _apply(spec_layers: Any, x: Any) -> Any:
    for layer in spec_layers:
        match layer:
            case spec.Conv(filters, size, padding):
                x = layers.Conv2D(filters, size, padding=padding)(x)
            case spec.Depthwise(size):
                x = layers.DepthwiseConv2D(size, padding="same")(x)
            case spec.Dense(units):
                x = layers.Dense(units)(x)
            case spec.MaxPool(size):
                x = layers.MaxPooling2D(size)(x)
            case spec.AvgPool(size):
                x = layers.AveragePooling2D(size)(x)
            case spec.Residual(inner):
                x = layers.add([x, _apply(inner, x)])
            case spec.BatchNorm:
                x = layers.BatchNormalization(epsilon=spec.EPSILON)(x)
            case spec.Relu | spec.Tanh:
                x = layers.Activation(layer.name)(x)
            case spec.Flatten:
                x = layers.Flatten()(x)
            case spec.GlobalAvgPool:
                x = layers.GlobalAveragePooling2D()(x)
    return x


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    source = keras.Input(net.input)
    model = keras.Model(source, _apply(net.layers, source))
    for variable, value in zip(model.trainable_variables, spec.weights(net), strict=True):
        variable.assign(value)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(spec.LEARNING_RATE), loss)
    x, t = map(keras.ops.convert_to_tensor, spec.data(net))
    return lambda: model.train_on_batch(x, t)


def epoch(case: str, form: str) -> Any:
    return lambda: fit_mnist(keras, int(case))
