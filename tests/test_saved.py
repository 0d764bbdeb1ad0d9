"""What a graph holds for backward: the arrays that each operation saves, and the most that a step needs at once."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.engine.guards import owner_of
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.graph.watching import topological

IMAGES = (4, 12, 12, 6)
ROWS = (8, 12)


def held(y):
    """The arrays that the graph of y holds, each once: by the identity of their memory."""
    found = {}
    for node in topological([y.node]):
        for value in (*node.saved, *node.params.values()):
            for array in value if isinstance(value, tuple) else (value,):
                if isinstance(array, np.ndarray):
                    found[id(owner_of(array))] = owner_of(array)
    return found


WEIGHTS = []


def weight(*shape):
    """A parameter, which is held anyway."""
    WEIGHTS.append(tg.nn.Parameter(np.random.default_rng(1).normal(size=shape).astype("float32")))
    return WEIGHTS[-1]


CASES = {  # what is called, on which shape; is its input or output held, and how many bytes more per element of it?
    "relu": (tg.relu, ROWS, "", 1),
    "leaky_relu": (tg.leaky_relu, ROWS, "y", 0),
    "elu": (tg.elu, ROWS, "y", 0),
    "selu": (tg.selu, ROWS, "y", 0),
    "sigmoid": (tg.sigmoid, ROWS, "y", 0),
    "tanh": (tg.tanh, ROWS, "y", 0),
    "softmax": (tg.softmax, ROWS, "y", 0),
    "log_softmax": (tg.log_softmax, ROWS, "y", 0),
    "gelu": (tg.gelu, ROWS, "x", 0),
    "softplus": (tg.softplus, ROWS, "x", 0),
    "silu": (tg.silu, ROWS, "x", 0),
    "bias": (lambda x: x + weight(12), ROWS, "", 0),
    "sum": (tg.sum, ROWS, "", 0),
    "mean": (lambda x: tg.mean(x, axis=0), ROWS, "", 0),
    "reshape": (lambda x: tg.flatten(x, 1), IMAGES, "", 0),
    "pad": (lambda x: tg.pad(x, 1), ROWS, "", 0),
    "dense": (lambda x: x @ weight(12, 5), ROWS, "x", 0),
    "conv": (lambda x: tg.conv2d(x, weight(3, 3, 6, 4), weight(4), padding="same"), IMAGES, "x", 0),
    "conv, kernel is data": (lambda x: tg.conv2d(x, np.ones((3, 3, 6, 4), "float32")), IMAGES, "", 864 / 1600),
    "max_pool": (tg.max_pool2d, IMAGES, "", 1),
    "max_pool, padded": (lambda x: tg.max_pool2d(x, 3, stride=2, padding="same"), IMAGES, "", 1),
    "avg_pool": (tg.avg_pool2d, IMAGES, "", 0),
    "dropout": (lambda x: tg.dropout(x, 0.5, np.random.default_rng(0)), ROWS, "", 1),
    "conv, bias, relu": (lambda x: tg.relu(tg.conv2d(x, weight(3, 3, 6, 4), weight(4))), IMAGES, "x", 1),
    "relu, max_pool": (lambda x: tg.max_pool2d(tg.relu(x)), IMAGES, "", 1 + 4),  # relu's output is larger
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_held(name):
    f, shape, expected, more = CASES[name]
    x = weight(*shape) + np.float32(0)  # a sum holds nothing
    y = f(x)
    arrays = held(y)
    which = "".join(name for name, t in (("x", x), ("y", y)) if arrays.pop(id(owner_of(t._array)), None) is not None)
    weights = {id(w._array) for w in WEIGHTS}
    rest = sum(array.nbytes for key, array in arrays.items() if key not in weights)
    assert (which, rest / y.size) == (expected, more)


def test_batch_norm_holds_its_input_and_the_normalised():
    x = weight(4, 6, 6, 3) + np.float32(0)
    y, _, _ = tg.batch_norm(x, weight(3), weight(3))
    big = [array for array in held(y).values() if array.size == x.size]
    assert len(big) == 2
    assert any(array is x._array for array in big)


def convnet():
    layers = [
        tg.nn.Conv2D(32, 3, activation="relu"), tg.nn.MaxPool2D(), tg.nn.Conv2D(64, 3, activation="relu"),
        tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(10),
    ]  # fmt: skip
    net = tg.nn.Sequential(layers, seed=0)
    net(np.zeros((1, 28, 28, 1), "float32"))
    return net


def test_a_network_holds_what_its_rules_read_and_nothing_twice():
    n, net = 16, convnet()
    arrays = held(net(np.random.default_rng(0).random((n, 28, 28, 1), dtype="float32")).sum())
    for parameter in net.parameters():
        arrays.pop(id(owner_of(parameter._array)), None)
    floats = n * (28 * 28 + 13 * 13 * 32 + 1600)  # what the convolutions and the dense layer read
    bytes_ = n * (26 * 26 * 32 + 13 * 13 * 32 + 11 * 11 * 64 + 5 * 5 * 64)  # relus' signs, and places of the maxima
    assert sum(array.nbytes for array in arrays.values()) == 4 * floats + bytes_


def test_a_loss_holds_no_more_than_two_arrays_of_its_logits_and_the_labels():
    logits, labels = weight(8, 10) + np.float32(0), np.arange(8)
    arrays = held(tg.softmax_cross_entropy(logits, labels))
    assert sum(array.nbytes for array in arrays.values() if array.dtype == np.float32) <= 2 * logits.nbytes + 16
    assert sum(array.nbytes for array in arrays.values() if array.dtype.kind == "i") <= 2 * labels.nbytes


def test_the_most_that_a_training_step_needs_at_once():
    """relu's rule, behind the first convolution: two gradients and a mask, and less than a byte per element more."""
    n, net = 16, convnet()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.01)
    x, labels = np.random.default_rng(0).random((n, 28, 28, 1), dtype="float32"), np.arange(n) % 10

    def step():
        loss = tg.softmax_cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    largest = n * 26 * 26 * 32
    assert peak < (2 * 4 + 1 + 1) * largest


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.7])
def test_dropout_is_the_product_with_its_mask_to_the_bit(dtype, rate):
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(dtype)
    kept = np.random.default_rng(3).random(x.shape, dtype=np.float32) >= rate
    mask = kept * np.dtype(dtype).type(1 / (1 - rate))
    t = tg.Tensor(x, requires_grad=True)
    y = tg.dropout(t, rate, np.random.default_rng(3))
    assert y.dtype == x.dtype
    assert y.numpy().tobytes() == (x * mask).tobytes()
    y.backward(x)
    assert t.grad.numpy().tobytes() == (x * mask).tobytes()


def test_dropout_has_derivatives_of_every_order():
    x = np.random.default_rng(0).normal(size=6)
    scale = np.where(np.random.default_rng(3).random(6, dtype=np.float32) >= 0.5, 2.0, 0.0)

    def f(x):
        return (tg.dropout(x, 0.5, np.random.default_rng(3)) ** 3).sum()

    np.testing.assert_array_equal(tg.hessian(f)(x).numpy(), np.diag(6 * scale**3 * x))
    third = tg.grad(lambda x: tg.grad(lambda x: tg.grad(f)(x).sum())(x).sum())(x)
    np.testing.assert_array_equal(third.numpy(), 6 * scale**3)


@pytest.mark.parametrize("slope", [-0.1, np.array([0.1, -0.1])])
def test_a_slope_below_0_is_refused(slope):
    x = tg.Tensor([1.0, -1.0])
    with pytest.raises(ArgumentError, match=r"leaky_relu: expected negative_slope to be a number >= 0.*, got .*-0.1"):
        tg.leaky_relu(x, slope)
    with pytest.raises(ArgumentError, match=r"elu: expected alpha to be a number >= 0.*, got .*-0.1"):
        tg.elu(x, slope)


@pytest.mark.parametrize(
    ("f", "at_0"),
    [(tg.relu, 0.0), (tg.leaky_relu, 0.01), (partial(tg.leaky_relu, negative_slope=0.0), 0.0), (tg.elu, 1.0),
     (partial(tg.elu, alpha=0.0), 0.0), (tg.selu, 1.7580993408473766)],
)  # fmt: skip
def test_the_side_of_the_kink_is_told_by_the_output(f, at_0):
    tiny = np.finfo(float).smallest_subnormal
    x = np.array([-1e300, -tiny, -0.0, 0.0, tiny, 1e300, np.nan])
    low, high = (f(np.array(z)) - f(np.array(0.0)) for z in (-1e-9, 1e-9))
    slopes = tg.grad(lambda x: f(x).sum())(x).numpy()
    np.testing.assert_allclose(slopes[1:4], at_0, rtol=1e-12)
    np.testing.assert_allclose(slopes[1:4], low / -1e-9, rtol=1e-8)
    np.testing.assert_allclose(slopes[4:6], high / 1e-9, rtol=1e-8)
