"""Compiled steps of drawn networks, in several threads, give what eager steps give."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.kernels import registry
from tinygrad_conv.plan import fusing

pytest.importorskip("numba")

DOUBLE = {"dtype": "float64"}
LAYERS = {
    "conv": lambda: tg.nn.Conv2D(4, 3, padding="same", **DOUBLE),
    "strided": lambda: tg.nn.Conv2D(3, 2, stride=2, activation="relu", **DOUBLE),
    "conv relu": lambda: tg.nn.Conv2D(4, 3, padding="same", activation="relu", **DOUBLE),
    "depthwise": lambda: tg.nn.DepthwiseConv2D(3, padding="same", **DOUBLE),
    "transposed": lambda: tg.nn.Conv2DTranspose(2, 2, stride=2, **DOUBLE),
    "relu": lambda: tg.nn.Activation("relu"),
    "tanh": lambda: tg.nn.Activation("tanh"),
    "max": lambda: tg.nn.MaxPool2D(2),
    "average": lambda: tg.nn.AvgPool2D(2, stride=1),
    "norm": lambda: tg.nn.BatchNorm(**DOUBLE),
    "dropout": lambda: tg.nn.Dropout(0.3),
}


def gradients(layers, n, compiled, repeats=3):
    """The loss and all gradients of a network's steps."""
    tg.nn.init.seed(0)
    net = tg.nn.Sequential(*[LAYERS[name]() for name in layers], tg.nn.Flatten(), tg.nn.Dense(5, **DOUBLE))
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((n, 9, 8, 2)), rng.integers(0, 5, n)
    try:
        net(x[:2])
    except tg.errors.ShapeError:
        assume(False)  # too many layers that make images smaller

    def step(x, t):
        loss = tg.softmax_cross_entropy(net(x), t)
        for p in net.parameters():
            p.zero_grad()
        loss.backward()
        return loss, *(p.grad * 1 for p in net.parameters())

    run = tg.compile(step) if compiled else lambda x, t: step(tg.Tensor(x), t)
    results = [run(x, t) for _ in range(repeats)][-1]
    return [np.asarray(tg.stop_gradient(r)) for r in results]


@settings(max_examples=40, deadline=None)
@given(
    layers=st.lists(st.sampled_from(sorted(LAYERS)), min_size=2, max_size=5), n=st.integers(2, 9),
    count=st.integers(1, 3), form=st.sampled_from(["plain", "compiled"]),
)  # fmt: skip
def test_networks(layers, n, count, form):
    with pytest.MonkeyPatch.context() as patch, tg.use_kernels(form):
        patch.setattr(fusing, "WORTHWHILE", 0)
        patch.setattr(registry, "worth", lambda work, n: min(count, n))
        patch.setattr(registry, "most", lambda work: count)
        expected, got = gradients(layers, n, False), gradients(layers, n, True)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * max(1, np.abs(a).max()))
