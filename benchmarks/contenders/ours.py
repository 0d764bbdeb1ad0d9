"""This library. The form is "eager" or "compiled"; which kernels run is said by the environment."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.kernels import wanted

from .. import networks as spec
from ..cases import DEPTH, call, fit_mnist, links, small_conv
from ..networks import NETWORKS


def start() -> None:
    """Start Numba, where it is used: it loads its own compiler with the first function."""
    if wanted.choice() != "plain":
        import numba

        numba.njit(lambda: None)()


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        self.body = body

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


def _layer(layer: Any, before: Any) -> Any:
    match layer:
        case spec.Conv(filters, size, padding):
            return nn.Conv2D(filters, size, padding=padding, in_channels=before[-1])
        case spec.Depthwise(size):
            return nn.DepthwiseConv2D(size, padding="same", in_channels=before[-1])
        case spec.Dense(units):
            return nn.Dense(units, in_features=before[0])
        case spec.MaxPool(size):
            return nn.MaxPool2D(size)
        case spec.AvgPool(size):
            return nn.AvgPool2D(size)
        case spec.Residual(layers):
            return Residual(_sequential(layers, before))
        case spec.BatchNorm:
            return nn.BatchNorm(epsilon=spec.EPSILON, features=before[-1])
    return {
        spec.Relu: tg.relu, spec.Tanh: tg.tanh, spec.Flatten: nn.Flatten(), spec.GlobalAvgPool: nn.GlobalAvgPool2D(),
    }[layer]  # fmt: skip


def _sequential(layers: Any, shape: Any) -> nn.Sequential:
    return nn.Sequential([_layer(layer, before) for layer, before, _ in spec.walk(layers, shape)])


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    model = _sequential(net.layers, net.input)
    names = [name for name, _ in model.named_parameters()]
    model.load_state_dict(dict(zip(names, spec.weights(net), strict=True)), strict=False)
    x, t = spec.data(net)
    sgd = tg.optim.SGD(model.parameters(), lr=spec.LEARNING_RATE)

    def step(x: Any, t: Any) -> Any:
        loss = tg.softmax_cross_entropy(model(x), t)
        loss.backward()
        sgd.step()
        sgd.zero_grad()
        return loss

    run = tg.compile(step) if form == "compiled" else step
    return lambda: run(x, t)


def chain(case: str, form: str) -> Any:
    start, w = links()
    x = tg.Tensor(start, requires_grad=True)

    def step(x: Any) -> Any:
        y = x
        for _ in range(DEPTH):
            y = tg.tanh(y * 1.0001 + w) - w
        total = y.sum()
        total.backward()
        return total

    run = tg.compile(step) if form == "compiled" else step

    def forget_and_run() -> Any:
        x.zero_grad()
        return run(x)

    return forget_and_run


def gradcheck(case: str, form: str) -> Any:
    """Every property of the toolkit, in both modes, to second order."""
    from tinygrad_conv.testing import check_gradients

    x, w = small_conv()
    return lambda: check_gradients(tg.conv2d, x, w)


def graph(case: str, form: str) -> Any:
    """A step's graph of a network: recorded, or as a snapshot, or drawn as DOT text."""
    name, stage = case.split()
    net = NETWORKS[name]
    model = _sequential(net.layers, net.input)
    x = spec.data(net)[0][:1]

    if stage == "record":
        return lambda: model(x)
    if stage == "snapshot":
        return lambda: tg.graph.snapshot(model, x)
    return lambda: tg.graph.to_dot(tg.graph.snapshot(model, x))


def primitive(case: str, form: str) -> Any:
    """One call on tensors that are not followed, or on followed ones and back, from a gradient of ones."""
    name, given, both = call(case)
    inputs = [tg.Tensor(array, requires_grad=both) for array in given.arrays()]
    function = getattr(tg, name)
    ones = tg.ones(function(*inputs, **given.options).shape, dtype=np.float32)

    def forward() -> Any:
        return function(*inputs, **given.options)

    def forward_and_backward() -> Any:
        for tensor in inputs:
            tensor.zero_grad()
        y = function(*inputs, **given.options)
        y.backward(ones)
        return [y, *(tensor.grad for tensor in inputs)]

    return forward_and_backward if both else forward


def epoch(case: str, form: str) -> Any:
    return lambda: fit_mnist(tg.keras, int(case))
