"""MyGrad, channels first, with an SGD step in NumPy."""

from __future__ import annotations

from typing import Any

import mygrad as mg
from mygrad.nnet.activations import relu, tanh
from mygrad.nnet.layers import batchnorm, conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from .. import networks as spec
from ..cases import DEPTH, links
from ..networks import NETWORKS
from . import Unsupported


def _even(x: Any, size: int) -> Any:
    """It refuses a remainder."""
    height, width = (n - n % size for n in x.shape[2:])
    return x if (height, width) == x.shape[2:] else x[:, :, :height, :width]


def _forward(layers: Any, x: Any, parameters: Any) -> Any:
    for layer in layers:
        match layer:
            case spec.Conv(_, size, padding):
                x = conv_nd(x, next(parameters), stride=1, padding=size // 2 if padding == "same" else 0)
                x = x + next(parameters).reshape(1, -1, 1, 1)
            case spec.Depthwise():
                raise Unsupported("it has no grouped convolution")
            case spec.Dense():
                x = mg.matmul(x, next(parameters)) + next(parameters)
            case spec.MaxPool(size):
                x = max_pool(_even(x, size), (size, size), size)
            case spec.AvgPool(size):
                n, c, height, width = (x := _even(x, size)).shape
                x = x.reshape(n, c, height // size, size, width // size, size).mean((3, 5))
            case spec.Residual(inner):
                x = x + _forward(inner, x, parameters)
            case spec.BatchNorm:
                x = batchnorm(x, gamma=next(parameters), beta=next(parameters), eps=spec.EPSILON)
            case spec.Relu:
                x = relu(x)
            case spec.Tanh:
                x = tanh(x)
            case spec.Flatten:
                x = x.reshape(len(x), -1)
            case spec.GlobalAvgPool:
                x = x.mean((2, 3))
    return x


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    x, t = spec.data(net, channels_first=True)
    parameters = [mg.tensor(value) for value in spec.weights(net, channels_first=True)]

    def step() -> Any:
        loss = softmax_crossentropy(_forward(net.layers, x, iter(parameters)), t)
        loss.backward()
        for p in parameters:
            p.data -= spec.LEARNING_RATE * p.grad
            p.null_grad()
        return loss

    return step


def chain(case: str, form: str) -> Any:
    start, w = links()
    x = mg.tensor(start)

    def step() -> Any:
        y = x
        for _ in range(DEPTH):
            y = mg.tanh(y * 1.0001 + w) - w
        total = y.sum()
        total.backward()
        return total

    return step
