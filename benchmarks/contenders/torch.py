"""PyTorch: contiguous (its default), channels last, or compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .. import networks as spec
from ..cases import DEPTH, call, links, small_conv
from ..networks import NETWORKS

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def _channels_last(x: Any) -> Any:
    """Where PyTorch has such a layout: not for one spatial axis."""
    return x.contiguous(memory_format=LAYOUTS.get(x.ndim, torch.contiguous_format))


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


class GlobalAvgPool(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


def _layer(layer: Any, before: Any) -> Any:
    match layer:
        case spec.Conv(filters, size, padding):
            return nn.Conv2d(before[-1], filters, size, padding=padding)
        case spec.Depthwise(size):
            return nn.Conv2d(before[-1], before[-1], size, padding="same", groups=before[-1])
        case spec.Dense(units):
            return nn.Linear(before[0], units)
        case spec.MaxPool(size):
            return nn.MaxPool2d(size)
        case spec.AvgPool(size):
            return nn.AvgPool2d(size)
        case spec.Residual(layers):
            return Residual(_sequential(layers, before))
        case spec.BatchNorm:
            return nn.BatchNorm2d(before[-1], eps=spec.EPSILON, momentum=0.01)
    return {
        spec.Relu: nn.ReLU(), spec.Tanh: nn.Tanh(), spec.Flatten: nn.Flatten(), spec.GlobalAvgPool: GlobalAvgPool(),
    }[layer]  # fmt: skip


def _sequential(layers: Any, shape: Any) -> nn.Sequential:
    return nn.Sequential(*(_layer(layer, before) for layer, before, _ in spec.walk(layers, shape)))


def network(case: str, form: str) -> Any:
    net = NETWORKS[case]
    model = _sequential(net.layers, net.input)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), spec.weights(net, channels_first=True), strict=True):
            parameter.copy_(torch.from_numpy(value.T if value.ndim == 2 else value))
    x, t = map(torch.from_numpy, spec.data(net, channels_first=True))
    if form == "channels_last":
        x, model = _channels_last(x), model.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(model.parameters(), lr=spec.LEARNING_RATE)

    def criterion(x: Any, t: Any) -> Any:
        return F.cross_entropy(model(x), t)

    if form == "compiled":
        criterion = torch.compile(criterion)

    def step() -> Any:
        sgd.zero_grad()
        loss = criterion(x, t)
        loss.backward()
        sgd.step()
        return loss.detach()

    return step


def chain(case: str, form: str) -> Any:
    x, w = map(torch.from_numpy, links())
    x.requires_grad_()

    def forward(x: Any) -> Any:
        y = x
        for _ in range(DEPTH):
            y = torch.tanh(y * 1.0001 + w) - w
        return y.sum()

    if form == "compiled":
        forward = torch.compile(forward)

    def step() -> Any:
        x.grad = None
        total = forward(x)
        total.backward()
        return total.detach()

    return step


def gradcheck(case: str, form: str) -> Any:
    """`gradcheck` and `gradgradcheck`."""
    x, w = small_conv()
    inputs = [torch.tensor(array, requires_grad=True) for array in (x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1))]

    def step() -> None:
        torch.autograd.gradcheck(F.conv2d, inputs)
        torch.autograd.gradgradcheck(F.conv2d, inputs)

    return step


def _locally_connected2d(x: Any, w: Any, kernel_size: int) -> Any:
    """PyTorch has none: a matrix product at each place, w being (oh, ow, C * kh * kw, filters)."""
    oh, ow, k, filters = w.shape
    columns = F.unfold(x, kernel_size).reshape(len(x), k, oh * ow).permute(2, 0, 1)
    y = torch.bmm(columns, w.reshape(oh * ow, k, filters))
    return y.permute(1, 2, 0).reshape(len(x), filters, oh, ow)


def _function(name: str, options: dict[str, Any]) -> Any:
    """The primitive in PyTorch's names."""
    if name == "locally_connected2d":
        return lambda x, w: _locally_connected2d(x, w, **options)
    if name == "depthwise_conv2d":
        return lambda x, w: F.conv2d(x, w, groups=x.shape[1], **options)
    if name.startswith("global"):
        reduce = torch.amax if "max" in name else torch.mean
        return lambda x: reduce(x, (2, 3))
    if name.startswith("conv"):
        function = getattr(F, "conv_transpose" + name[4:6] if name.endswith("_transpose") else name)
        return lambda x, w: function(x, w, **options)
    options = {"kernel_size" if key == "pool_size" else key: value for key, value in options.items()}
    if name.startswith("avg"):
        options["count_include_pad"] = False
    return lambda x: getattr(F, name)(x, **options)


def _kernel(name: str, w: Any) -> Any:
    """A kernel in PyTorch's layout."""
    if name == "locally_connected2d":  # from (kh, kw, C) to (C, kh, kw)
        oh, ow, k, filters = w.shape
        return w.reshape(oh, ow, 9, k // 9, filters).swapaxes(2, 3).reshape(w.shape)
    if name == "depthwise_conv2d":
        return w.transpose(2, 3, 0, 1)
    return np.moveaxis(w, (-1, -2), (0, 1))  # (*k, in, out) to (out, in, *k); transposed (*k, out, in) to (in, out, *k)


def primitive(case: str, form: str) -> Any:
    name, given, both = call(case)
    x, *rest = given.arrays()
    arrays = [np.moveaxis(x, -1, 1), *(_kernel(name, w) for w in rest)]
    inputs = [torch.tensor(np.ascontiguousarray(array)) for array in arrays]
    if form == "channels_last":
        inputs = [_channels_last(tensor) for tensor in inputs]
    function = _function(name, given.options)
    ones = torch.ones_like(function(*inputs))
    for tensor in inputs:
        tensor.requires_grad_(both)

    def forward() -> Any:
        return function(*inputs)

    def forward_and_backward() -> Any:
        for tensor in inputs:
            tensor.grad = None
        y = function(*inputs)
        y.backward(ones)
        return [y.detach(), *(tensor.grad for tensor in inputs)]

    return forward_and_backward if both else forward
