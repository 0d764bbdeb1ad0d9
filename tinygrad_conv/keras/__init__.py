"""The Keras-shaped front: code written for Keras' `Sequential` runs after a change of its import lines.

``from tinygrad_conv.keras import *`` gives the models, the layers and the helpers by name;
``from tinygrad_conv import keras`` gives ``keras.Sequential``, ``keras.layers.Conv2D`` and so on.

Wherever it has a name of Keras', it follows Keras 3; the page ``docs/keras.md`` says where it differs, and what serves
for what it does not have (functional models, several inputs, `save`).

>>> import numpy as np
>>> from tinygrad_conv import keras
>>> from tinygrad_conv.keras import layers
>>> keras.utils.set_random_seed(0)
>>> model = keras.Sequential([
...     keras.Input(shape=(8, 8, 1)), layers.Conv2D(4, kernel_size=(3, 3), activation="relu"), layers.Flatten(),
...     layers.Dense(2, activation="softmax"),
... ])
>>> model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
>>> x = np.random.default_rng(0).normal(size=(64, 8, 8, 1))
>>> y = (x.mean((1, 2, 3)) > 0).astype(int)
>>> history = model.fit(x, y, epochs=10, verbose=0)
>>> history.history["loss"][-1] < history.history["loss"][0]
True
"""

from typing import Any

from . import activations, callbacks, initializers, layers, losses, metrics, models, optimizers, utils
from .absent import instead
from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    TerminateOnNaN,
)
from .initializers import Initializer
from .layers import *  # noqa: F403  (its names are added to __all__ below)
from .layers import __all__ as _layers
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from .metrics import Metric
from .models import Model, Sequential
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from .utils import set_random_seed, to_categorical

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "BinaryCrossentropy", "CSVLogger", "Callback", "CategoricalCrossentropy",
    "EarlyStopping", "History", "Initializer", "KLDivergence", "LambdaCallback",
    "LearningRateScheduler", "Loss", "MeanAbsoluteError", "MeanSquaredError", "Metric", "Model", "ModelCheckpoint",
    "Optimizer", "RMSprop", "Sequential",
    "SparseCategoricalCrossentropy", "TerminateOnNaN", "activations", "callbacks", "initializers", "layers", "losses",
    "metrics", "models", "optimizers", "set_random_seed", "to_categorical", "utils",
]  # fmt: skip
__all__ += _layers


def __getattr__(name: str) -> Any:
    return instead("keras", name, __all__)
