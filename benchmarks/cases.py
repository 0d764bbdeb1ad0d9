"""The workloads that are no networks, as data: a chain of operations, a gradient check, single primitives, MNIST.

>>> len(PRIMITIVES["conv2d"]) > 3
True
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]
DEPTH = 250  # of the chain, times four operations


def links() -> tuple[Any, Any]:
    """x and w of the chain: ``y = tanh(y * 1.0001 + w) - w``, DEPTH times, and the derivative of the sum by x."""
    return np.linspace(-1, 1, 16, dtype=np.float32), np.full(16, 0.1, np.float32)


def small_conv() -> tuple[Any, Any]:
    """x and w of the convolution whose gradients are checked, channels last."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 6, 6, 3)), rng.standard_normal((3, 3, 3, 4))


class Call(NamedTuple):
    """One call of a primitive: shapes of x and of w (None: it has none), and options, in our own layouts and names."""

    x: Shape
    w: Shape | None
    options: dict[str, Any]

    def __str__(self) -> str:
        shapes = ["x".join(map(str, shape)) for shape in (self.x, self.w) if shape]
        return ", ".join([*shapes, *(f"{option} {value}" for option, value in self.options.items())])

    def arrays(self) -> list[Any]:
        """x and w, positive, so that sums of results lose no digits and can be compared."""
        rng = np.random.default_rng(0)
        return [rng.random(shape, dtype=np.float32) for shape in (self.x, self.w) if shape]


def _calls(*calls: Any) -> list[Call]:
    return [Call(x, w, options) for x, w, options in calls]


def _pools(*shapes: Shape) -> list[Call]:
    return _calls(*((x, None, options) for x in shapes for options in (
        {"pool_size": 2}, {"pool_size": 3, "stride": 2, "padding": 1},
    )))  # fmt: skip


_LINES = (32, 1024, 16), (32, 128, 64)
_IMAGES = (32, 26, 26, 32), (16, 56, 56, 16), (32, 8, 8, 128)
_VOLUMES = (4, 16, 16, 16, 16), (8, 8, 8, 8, 32)

PRIMITIVES: dict[str, list[Call]] = {
    "conv1d": _calls(
        ((32, 128, 64), (3, 64, 64), {}),
        ((32, 1024, 4), (7, 4, 16), {}),
        ((32, 256, 32), (5, 32, 64), {"stride": 2, "padding": 2}),
    ),
    "conv2d": _calls(
        ((64, 28, 28, 1), (3, 3, 1, 32), {}),
        ((32, 14, 14, 64), (3, 3, 64, 64), {"padding": 1}),
        ((8, 56, 56, 16), (5, 5, 16, 32), {"padding": 2}),
        ((16, 14, 14, 128), (1, 1, 128, 128), {}),
        ((16, 32, 32, 32), (3, 3, 32, 64), {"stride": 2, "padding": 1}),
        ((16, 16, 16, 32), (3, 3, 32, 32), {"padding": 2, "dilation": 2}),
        ((16, 16, 16, 64), (3, 3, 16, 64), {"padding": 1, "groups": 4}),
    ),
    "conv3d": _calls(
        ((4, 12, 12, 12, 8), (3, 3, 3, 8, 16), {}),
        ((2, 16, 16, 16, 16), (3, 3, 3, 16, 16), {"stride": 2, "padding": 1}),
    ),
    "depthwise_conv2d": _calls(
        ((16, 32, 32, 32), (3, 3, 32, 1), {"padding": 1}),
        ((16, 14, 14, 128), (5, 5, 128, 1), {"padding": 2}),
        ((16, 32, 32, 64), (3, 3, 64, 1), {"stride": 2, "padding": 1}),
    ),
    "locally_connected2d": _calls(((32, 14, 14, 8), (12, 12, 72, 16), {"kernel_size": 3})),
    "conv1d_transpose": _calls(((32, 128, 32), (4, 16, 32), {"stride": 2, "padding": 1})),
    "conv2d_transpose": _calls(
        ((16, 14, 14, 64), (3, 3, 32, 64), {"padding": 1}),
        ((16, 14, 14, 64), (4, 4, 32, 64), {"stride": 2, "padding": 1}),
    ),
    "conv3d_transpose": _calls(((4, 6, 6, 6, 16), (4, 4, 4, 8, 16), {"stride": 2, "padding": 1})),
    "max_pool1d": _pools(*_LINES),
    "max_pool2d": _pools(*_IMAGES),
    "max_pool3d": _pools(*_VOLUMES),
    "avg_pool1d": _pools(*_LINES),
    "avg_pool2d": _pools(*_IMAGES),
    "avg_pool3d": _pools(*_VOLUMES),
    "global_max_pool": _calls(*((x, None, {}) for x in _IMAGES)),
    "global_avg_pool": _calls(*((x, None, {}) for x in _IMAGES)),
}


def call(case: str) -> tuple[str, Call, bool]:
    """The primitive, its call, and whether backward is timed too, of a case such as ``"conv2d 0 forward"``."""
    name, number, direction = case.split()
    return name, PRIMITIVES[name][int(number)], direction == "both"


def mnist(images: int) -> tuple[Any, Any]:
    """Images float32 (N, 28, 28, 1) in [0, 1] and labels (N,): MNIST from $TINYGRAD_CONV_DATA, or noise of its size."""
    folder = os.environ.get("TINYGRAD_CONV_DATA")
    if not folder:
        rng = np.random.default_rng(0)
        return rng.random((images, 28, 28, 1), dtype=np.float32), rng.integers(0, 10, images)
    x = _idx(folder, "train-images-idx3-ubyte", 16).reshape(-1, 28, 28, 1)[:images]
    return np.divide(x, 255, dtype=np.float32), _idx(folder, "train-labels-idx1-ubyte", 8)[:images].astype(np.int64)


def _idx(folder: str, name: str, header: int) -> Any:
    plain = Path(folder, name)
    raw = plain.read_bytes() if plain.exists() else gzip.decompress(Path(folder, name + ".gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=header)


def fit_mnist(keras: Any, images: int) -> Any:
    """Keras' simple convnet for MNIST through one epoch, in Keras or in our Keras-shaped front."""
    layers = keras.layers
    x, t = mnist(images)
    model = keras.Sequential([
        keras.Input(shape=(28, 28, 1)),
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"), layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(64, kernel_size=(3, 3), activation="relu"), layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model.fit(x, t, batch_size=128, epochs=1, verbose=0).history["loss"][-1]
