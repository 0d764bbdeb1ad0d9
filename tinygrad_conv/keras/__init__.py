"""The Keras-shaped front: code written for Keras' `Sequential` runs after a change of its import lines.

``from tinygrad_conv.keras import *`` gives the models, the layers and the helpers by name;
``from tinygrad_conv import keras`` gives ``keras.Sequential``, ``keras.layers.Conv2D`` and so on.

Where it differs from Keras: there is no functional API (derive from `keras.Model` and define ``call``); a loss that is
not finite raises; a last softmax and its cross-entropy are computed together, from logits; weights are made when first
needed; Ctrl-C ends `fit` with what was learned.

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

from . import activations, callbacks, initializers, layers, losses, metrics, models, optimizers, utils
from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from .layers import *  # noqa: F403  (its names are added to __all__ below)
from .layers import __all__ as _layers
from .losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from .models import Model, Sequential
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from .utils import set_random_seed, to_categorical

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "BinaryCrossentropy", "CSVLogger", "Callback", "CategoricalCrossentropy",
    "EarlyStopping", "Hinge", "History", "Huber", "KLDivergence", "LambdaCallback", "LearningRateScheduler", "Loss",
    "MeanAbsoluteError", "MeanSquaredError", "Model", "ModelCheckpoint", "RMSprop", "ReduceLROnPlateau", "Sequential",
    "SparseCategoricalCrossentropy", "TerminateOnNaN", "activations", "callbacks", "initializers", "layers", "losses",
    "metrics", "models", "optimizers", "set_random_seed", "to_categorical", "utils",
]  # fmt: skip
__all__ += _layers
