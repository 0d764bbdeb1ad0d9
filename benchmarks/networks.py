"""The networks, as data that every contender reads: layers, input, batch, and the same weights for all.

>>> [weight.shape for weight in weights(NETWORKS["mlp"])]
[(784, 10), (10,), (10, 10), (10,)]
>>> sum(weight.size for weight in weights(NETWORKS["lenet"]))
61706
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]
CLASSES = 10
LEARNING_RATE = 0.01
EPSILON = 1e-3  # of batch norm


@dataclass(frozen=True)
class Conv:
    filters: int
    size: int
    padding: str = "valid"


@dataclass(frozen=True)
class Depthwise:
    size: int  # with padding "same"


@dataclass(frozen=True)
class Dense:
    units: int


@dataclass(frozen=True)
class MaxPool:
    size: int = 2


@dataclass(frozen=True)
class AvgPool:
    size: int = 2


@dataclass(frozen=True)
class Plain:
    """A layer that has nothing to say but its name."""

    name: str


BatchNorm, Relu, Tanh = Plain("batch_norm"), Plain("relu"), Plain("tanh")
Flatten, GlobalAvgPool = Plain("flatten"), Plain("global_avg_pool")


@dataclass(frozen=True)
class Residual:
    """x + layers(x)."""

    layers: tuple[Any, ...]


@dataclass(frozen=True)
class Network:
    """Layers and what they are trained on; the loss is softmax cross-entropy, the optimiser SGD."""

    input: Shape
    batch: int
    layers: tuple[Any, ...]


class Step(NamedTuple):
    """A layer, and the shapes of one example before and after it."""

    layer: Any
    before: Shape
    after: Shape


def _vgg(*filters: int) -> tuple[Any, ...]:
    return tuple(it for f in filters for it in (Conv(f, 3, "same"), Relu, Conv(f, 3, "same"), Relu, MaxPool()))


SCALING = Network(
    (28, 28, 3), 16, (Conv(16, 3, "same"), Relu, MaxPool(), Conv(32, 3, "same"), Relu, GlobalAvgPool, Dense(CLASSES))
)
BATCHES, SIDES = (1, 4, 16, 64, 256, 1024), (8, 16, 32, 64, 128, 256)

NETWORKS = {
    "cnn": Network(
        (28, 28, 1), 128,
        (Conv(32, 3), Relu, MaxPool(), Conv(64, 3), Relu, MaxPool(), Flatten, Dense(CLASSES)),
    ),
    "mlp": Network((784,), 32, (Dense(10), Relu, Dense(CLASSES))),
    "lenet": Network(
        (28, 28, 1), 128,
        (Conv(6, 5, "same"), Tanh, AvgPool(), Conv(16, 5), Tanh, AvgPool(), Flatten, Dense(120), Tanh, Dense(84), Tanh,
         Dense(CLASSES)),
    ),
    "resblock": Network(
        (32, 32, 3), 32,
        (Conv(64, 1), Residual((Conv(64, 3, "same"), BatchNorm, Relu, Conv(64, 3, "same"), BatchNorm)), Relu,
         GlobalAvgPool, Dense(CLASSES)),
    ),
    "vgg": Network((64, 64, 3), 16, (*_vgg(32, 64, 128), Flatten, Dense(CLASSES))),
    "depthwise": Network(
        (32, 32, 3), 32,
        (Conv(64, 1), Depthwise(3), BatchNorm, Relu, Conv(128, 1), BatchNorm, Relu, GlobalAvgPool, Dense(CLASSES)),
    ),
    **{f"batch {n}": replace(SCALING, batch=n) for n in BATCHES},
    **{f"side {n}": replace(SCALING, input=(n, n, 3)) for n in SIDES},
}  # fmt: skip


def walk(layers: tuple[Any, ...], shape: Shape) -> Iterator[Step]:
    """The layers with their shapes."""
    for layer in layers:
        before = shape
        match layer:
            case Conv(filters, size, padding):
                cut = 0 if padding == "same" else size - 1
                shape = (shape[0] - cut, shape[1] - cut, filters)
            case Dense(units):
                shape = (units,)
            case MaxPool(size) | AvgPool(size):
                shape = (shape[0] // size, shape[1] // size, shape[2])
            case Plain("flatten"):
                shape = (prod(shape),)
            case Plain("global_avg_pool"):
                shape = shape[-1:]
        yield Step(layer, before, shape)


def steps(layers: tuple[Any, ...], shape: Shape) -> Iterator[Step]:
    """As `walk`, with the layers inside of a residual before it."""
    for step in walk(layers, shape):
        if isinstance(step.layer, Residual):
            yield from steps(step.layer.layers, step.before)
        yield step


def weights(network: Network, channels_first: bool = False) -> list[np.ndarray[Any, Any]]:
    """Kernels (kh, kw, C, F), matrices (in, out), biases, gammas and betas, in the order of the layers.

    `channels_first` gives kernels (F, C, kh, kw), and the rows of a matrix after a flattening in that order.
    """
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return (rng.standard_normal(shape) * np.sqrt(2 / prod(shape[:-1]))).astype(np.float32)

    found, flattened = [], None
    for layer, before, _ in steps(network.layers, network.input):
        match layer:
            case Conv(filters, size):
                kernel = draw(size, size, before[-1], filters)
                found += [kernel.transpose(3, 2, 0, 1) if channels_first else kernel, np.zeros(filters, np.float32)]
            case Depthwise(size):
                kernel = draw(size, size, before[-1], 1)
                found += [kernel.transpose(2, 3, 0, 1) if channels_first else kernel, np.zeros(before[-1], np.float32)]
            case Dense(units):
                matrix = draw(before[0], units)
                if channels_first and flattened:
                    matrix = matrix.reshape(*flattened, units).transpose(2, 0, 1, 3).reshape(-1, units)
                found += [matrix, np.zeros(units, np.float32)]
                flattened = None
            case Plain("batch_norm"):
                found += [np.ones(before[-1], np.float32), np.zeros(before[-1], np.float32)]
            case Plain("flatten"):
                flattened = before
    return [np.ascontiguousarray(weight) for weight in found]


def data(network: Network, channels_first: bool = False) -> tuple[Any, Any]:
    """A batch: images (N, H, W, C), or (N, C, H, W), and labels (N,)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.batch, *network.input), dtype=np.float32)
    if channels_first and x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x, rng.integers(0, CLASSES, network.batch)


class Product(NamedTuple):
    """Of rows (n, k), the windows of a convolution, with weights (k, m); backward has two more of the same size."""

    n: int
    k: int
    m: int


def products(network: Network) -> list[Product]:
    """The matrix products of a forward pass. The first layer's input, the data, needs no gradient."""
    found = []
    for layer, before, after in steps(network.layers, network.input):
        match layer:
            case Conv(filters, size):
                found.append(Product(network.batch * after[0] * after[1], size * size * before[-1], filters))
            case Dense(units):
                found.append(Product(network.batch, before[0], units))
    return found


def passes(network: Network) -> list[int]:
    """Numbers written by the layers that are no products: outputs in forward, gradients of inputs in backward."""
    moving = [
        s for s in steps(network.layers, network.input) if not isinstance(s.layer, (Conv, Dense)) and s.layer != Flatten
    ]
    return [network.batch * prod(shape) for s in moving for shape in (s.after, s.before)]


def flops(network: Network) -> int:
    """Floating-point operations of a step's matrix products."""
    first, *others = (2 * n * k * m for n, k, m in products(network))
    return 2 * first + 3 * sum(others)
