"""HIPS autograd, with an SGD step in NumPy."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

from .. import networks as spec
from ..cases import DEPTH, links
from ..networks import NETWORKS
from . import Unsupported


def _forward(layers: Any, x: Any, parameters: Any) -> Any:
    for layer in layers:
        match layer:
            case spec.Dense():
                x = anp.dot(x, next(parameters)) + next(parameters)
            case spec.Relu:
                x = anp.maximum(x, np.float32(0))
            case _:
                raise Unsupported("its convolution takes seconds a step")
    return x


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    x, t = spec.data(net)
    parameters = spec.weights(net)
    rows = np.arange(len(t))

    def criterion(parameters: Any) -> Any:
        logits = _forward(net.layers, x, iter(parameters))
        highest = logits.max(axis=1, keepdims=True)
        normal = anp.log(anp.sum(anp.exp(logits - highest), axis=1, keepdims=True)) + highest
        return -anp.mean((logits - normal)[rows, t])

    both = value_and_grad(criterion)

    def step() -> Any:
        loss, gradients = both(parameters)
        for p, g in zip(parameters, gradients, strict=True):
            p -= np.float32(spec.LEARNING_RATE) * g
        return loss

    return step


def chain(case: str, form: str) -> Any:
    x, w = links()

    def forward(x: Any) -> Any:
        y = x
        for _ in range(DEPTH):
            y = anp.tanh(y * np.float32(1.0001) + w) - w
        return anp.sum(y)

    both = value_and_grad(forward)
    return lambda: both(x)[0]
