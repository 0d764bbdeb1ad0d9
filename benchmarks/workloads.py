"""The workloads, in this library and in each peer: functions that build and return one step to time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[], Any]


def _cnn_data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((128, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, 128)


def _cnn_weights() -> list[Any]:
    rng = np.random.default_rng(1)
    shapes = [(3, 3, 1, 32), (32,), (3, 3, 32, 64), (64,), (1600, 10), (10,)]
    return [(0.1 * rng.standard_normal(s)).astype(np.float32) for s in shapes]


def cnn_tinygrad_conv() -> Step:
    """Conv 32@3x3 - relu - maxpool 2 - Conv 64@3x3 - relu - maxpool 2 - flatten - dense 10, batch 128, SGD."""
    import tinygrad_conv as tg

    x, t = _cnn_data()
    w = [tg.nn.Parameter(a) for a in _cnn_weights()]
    sgd = tg.optim.SGD(w, lr=0.01)

    def step() -> None:
        h = tg.max_pool2d(tg.relu(tg.conv2d(x, w[0], w[1])), 2)
        h = tg.max_pool2d(tg.relu(tg.conv2d(h, w[2], w[3])), 2)
        loss = tg.softmax_cross_entropy(tg.flatten(h, 1) @ w[4] + w[5], t)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    return step


def _torch_cnn(channels_last: bool) -> Step:
    import torch
    from torch import nn

    x, t = _cnn_data()
    inputs, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(t)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 10),
    )  # fmt: skip
    if channels_last:
        inputs = inputs.to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        sgd.zero_grad()
        criterion(model(inputs), labels).backward()
        sgd.step()

    return step


def cnn_torch() -> Step:
    return _torch_cnn(channels_last=False)


def cnn_torch_channels_last() -> Step:
    return _torch_cnn(channels_last=True)


def cnn_mygrad() -> Step:
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    x, t = _cnn_data()
    x = x.transpose(0, 3, 1, 2).copy()
    k1, b1, k2, b2, dense, b3 = _cnn_weights()
    kernels = [k.transpose(3, 2, 0, 1).copy() for k in (k1, k2)]
    w = [mg.tensor(a) for a in (kernels[0], b1.reshape(1, -1, 1, 1), kernels[1], b2.reshape(1, -1, 1, 1), dense, b3)]

    def step() -> None:
        h = max_pool(relu(conv_nd(x, w[0], stride=1) + w[1]), (2, 2), 2)
        h = relu(conv_nd(h, w[2], stride=1) + w[3])
        h = max_pool(h[:, :, :10, :10], (2, 2), 2)  # it refuses a remainder
        loss = softmax_crossentropy(mg.matmul(h.reshape(128, 1600), w[4]) + w[5], t)
        loss.backward()
        for p in w:
            p.data -= 0.01 * p.grad
            p.null_grad()

    return step


def cnn_floor() -> Step:
    """The matrix products of the step alone, in NumPy: forward, kernel gradients, one input gradient."""
    rng = np.random.default_rng(0)
    products = [(86528, 9, 32), (9, 86528, 32), (15488, 288, 64), (288, 15488, 64), (15488, 64, 288),
                (128, 1600, 10), (1600, 128, 10), (128, 10, 1600)]  # fmt: skip
    pairs = [
        (rng.standard_normal((n, k)).astype(np.float32), rng.standard_normal((k, m)).astype(np.float32))
        for n, k, m in products
    ]

    def step() -> None:
        for a, b in pairs:
            np.matmul(a, b)

    return step


CHAIN = 250  # times four operations


def chain_tinygrad_conv() -> Step:
    """1,000 elementwise operations on 16 numbers, forward and backward."""
    import tinygrad_conv as tg

    x = tg.Tensor(np.linspace(-1, 1, 16, dtype=np.float32), requires_grad=True)
    w = tg.Tensor(np.full(16, 0.1, np.float32))

    def step() -> None:
        y = x
        for _ in range(CHAIN):
            y = tg.tanh(y * 1.0001 + w) - w
        x.zero_grad()
        y.sum().backward()

    return step


def chain_torch() -> Step:
    import torch

    x = torch.linspace(-1, 1, 16, requires_grad=True)
    w = torch.full((16,), 0.1)

    def step() -> None:
        y = x
        for _ in range(CHAIN):
            y = torch.tanh(y * 1.0001 + w) - w
        x.grad = None
        y.sum().backward()

    return step


def chain_mygrad() -> Step:
    import mygrad as mg

    x = mg.tensor(np.linspace(-1, 1, 16, dtype=np.float32))
    w = np.full(16, 0.1, np.float32)

    def step() -> None:
        y = x
        for _ in range(CHAIN):
            y = mg.tanh(y * 1.0001 + w) - w
        y.sum().backward()

    return step


def chain_floor() -> Step:
    """The NumPy calls of the chain's forward pass alone."""
    x, w = np.linspace(-1, 1, 16, dtype=np.float32), np.full(16, 0.1, np.float32)

    def step() -> None:
        y = x
        for _ in range(CHAIN):
            y = np.tanh(y * 1.0001 + w) - w

    return step


def _gradcheck_data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 6, 6, 3)), rng.standard_normal((3, 3, 3, 4))


def gradcheck_tinygrad_conv() -> Step:
    """A small convolution checked to second order: every property, in both modes."""
    import tinygrad_conv as tg
    from tinygrad_conv.testing import check_gradients

    x, w = _gradcheck_data()
    return lambda: check_gradients(tg.conv2d, x, w)


def gradcheck_torch() -> Step:
    """PyTorch's gradcheck and gradgradcheck of the same."""
    import torch

    x, w = _gradcheck_data()
    inputs = (
        torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True),
        torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True),
    )

    def step() -> None:
        torch.autograd.gradcheck(torch.nn.functional.conv2d, inputs)
        torch.autograd.gradgradcheck(torch.nn.functional.conv2d, inputs)

    return step


WORKLOADS: dict[str, dict[str, Callable[[], Step]]] = {
    "cnn": {
        "tinygrad_conv": cnn_tinygrad_conv, "torch": cnn_torch, "torch channels last": cnn_torch_channels_last,
        "mygrad": cnn_mygrad, "floor (GEMMs)": cnn_floor,
    },
    "chain": {
        "tinygrad_conv": chain_tinygrad_conv, "torch": chain_torch, "mygrad": chain_mygrad,
        "floor (NumPy forward)": chain_floor,
    },
    "gradcheck": {"tinygrad_conv": gradcheck_tinygrad_conv, "torch": gradcheck_torch},
}  # fmt: skip
