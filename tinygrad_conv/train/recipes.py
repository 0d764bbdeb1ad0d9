"""The models of the command line, and how each is trained unless told otherwise.

>>> build("lenet").count_parameters(INPUT)
61706
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from ..arguments import checked, one_of

if TYPE_CHECKING:
    from ..nn import Module, Sequential

INPUT = (None, 28, 28, 1)
CLASSES = 10
OPTIMIZERS = {"adam": 0.001, "adamw": 0.001, "adagrad": 0.01, "rmsprop": 0.001, "sgd": 0.01}  # and usual rates


@dataclass(frozen=True)
class Recipe:
    """A model and the settings that suit it.

    Attributes
    ----------
    about : str
        One line for help and report.
    layers : function
        Makes the model's layers; the last one gives logits.
    optimizer, lr, batch_size
    epochs, full_epochs : int
        Passes over the sample of 10,000 images, and over the full set of 60,000.
    decay : float
        What the learning rate is multiplied by after each epoch.
    """

    about: str
    layers: Callable[[], list[Module]]
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    full_epochs: int
    decay: float = 1.0


def _convnet(first: int, size: int, second: int, dropout: float) -> list[Module]:
    from ..nn import Conv2D, Dense, Dropout, Flatten, MaxPool2D

    return [
        Conv2D(first, size, activation="relu", name="conv1"),
        MaxPool2D(name="pool1"),
        Conv2D(second, 3, activation="relu", name="conv2"),
        MaxPool2D(name="pool2"),
        Flatten(name="flatten"),
        Dropout(dropout, name="dropout"),
        Dense(CLASSES, name="logits"),
    ]


def cnn() -> list[Module]:
    return _convnet(16, 5, 32, 0.3)


def dense() -> list[Module]:
    from ..nn import Dense, Flatten

    return [Flatten(name="flatten"), Dense(10, activation="relu", name="hidden"), Dense(CLASSES, name="logits")]


def lenet() -> list[Module]:
    from ..nn import AvgPool2D, Conv2D, Dense, Flatten

    return [
        Conv2D(6, 5, padding=2, activation="tanh", name="conv1"),
        AvgPool2D(name="pool1"),
        Conv2D(16, 5, activation="tanh", name="conv2"),
        AvgPool2D(name="pool2"),
        Flatten(name="flatten"),
        Dense(120, activation="tanh", name="dense1"),
        Dense(84, activation="tanh", name="dense2"),
        Dense(CLASSES, name="logits"),
    ]


def keras_convnet() -> list[Module]:
    return _convnet(32, 3, 64, 0.5)


RECIPES = {
    "cnn": Recipe("two convolutions, small and quick: the default", cnn, "adam", 0.003, 64, 12, 8, decay=0.8),
    "dense": Recipe("784-10-10 without convolution, to compare with", dense, "sgd", 0.01, 32, 20, 20),
    "lenet": Recipe("LeNet-5: tanh and average pooling, as in 1998", lenet, "adam", 0.002, 64, 15, 10, decay=0.8),
    "keras-convnet": Recipe("Keras' Simple MNIST convnet, with dropout", keras_convnet, "adam", 0.001, 128, 15, 15),
}


@checked
def build(name: Annotated[str, one_of(*RECIPES)], **arguments: Any) -> Sequential:
    """The model of this name, untrained; `arguments` are those of `nn.Sequential`, such as `seed`."""
    from ..nn import Sequential

    return Sequential(RECIPES[name].layers(), **arguments)
