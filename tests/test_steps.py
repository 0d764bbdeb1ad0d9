"""A backward pass one operation at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import GraphError, ShapeError
from tinygrad_conv.graph import snapshot


def leaf(value, name=None):
    return tg.Tensor(np.asarray(value, "float64"), requires_grad=True, name=name)


def lenet():
    layers = [
        tg.nn.Conv2D(6, 5, padding=2, activation="tanh", name="conv1"), tg.nn.AvgPool2D(), tg.nn.Conv2D(16, 5),
        tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(10, name="head"),
    ]  # fmt: skip
    return tg.nn.Sequential(layers, seed=0)


IMAGE = np.random.default_rng(0).random((2, 28, 28, 1)).astype("float32")


def loss_of(net):
    return tg.softmax_cross_entropy(net(IMAGE), np.array([3, 1])) + sum((p * p).sum() for p in net.parameters())


def gradients(net):
    return {name: p.grad.numpy().tobytes() for name, p in net.named_parameters()}


def test_ends_bit_equal_to_backward():
    one, two = lenet(), lenet()
    loss_of(one).backward()
    steps = list(loss_of(two).backward_steps())
    assert gradients(one) == gradients(two)
    assert len(steps) == snapshot(loss_of(one)).n_operations


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_ends_bit_equal_to_backward_on_drawn_graphs(seed, size):
    def build():
        rng = np.random.default_rng(seed)
        values = [leaf(rng.normal(size=(2, 3))) for _ in range(3)]
        for _ in range(size):
            a, b = (values[k] for k in rng.integers(0, len(values), 2))
            f = [tg.add, tg.multiply, tg.subtract, lambda a, b: tg.tanh(a), lambda a, b: a.sum(0, keepdims=True) + b]
            values.append(f[rng.integers(len(f))](a, b))
        return values[:3], tg.sum(values[-1] * values[-2])

    one, y = build()
    y.backward()
    two, y = build()
    for step in y.backward_steps():
        assert step.incoming.shape == step.node.shape
    for a, b in zip(one, two, strict=True):
        assert (a.grad is None) == (b.grad is None)
        assert a.grad is None or a.grad.numpy().tobytes() == b.grad.numpy().tobytes()


def test_what_arrives_is_the_sum_of_what_was_sent():
    x = leaf([1.0, -2.0], "x")
    y = tg.exp(x) * x
    sent = {}
    for node, incoming, outgoing in (y * y + y).sum().backward_steps():
        if node.name in sent:
            np.testing.assert_allclose(sent[node.name], incoming.numpy())
        for name, g in zip(node.inputs, outgoing, strict=True):
            sent[name] = sent.get(name, 0) + g.numpy()
    np.testing.assert_allclose(sent["x"], x.grad.numpy())


def test_steps_carry_the_names_of_a_snapshot():
    a = leaf(2.0, "a")
    y = tg.tanh(a * 3.0)
    names = [node.name for node in snapshot(y).nodes if node.kind == "operation"]
    steps = list(y.backward_steps())
    assert [step.node.name for step in steps] == names[::-1]
    assert "a * 3.0" in steps[-1].node.source
    assert steps[-1].outgoing[1] is None  # a constant
    assert "tanh_1: Tensor(1.)" in repr(steps[0])


def test_what_was_yielded_does_not_change_afterwards():
    x = leaf(np.ones(4))
    y = x * 1.0
    seen = [(s.incoming.numpy(), s.incoming.numpy().copy()) for s in ((y + y) + (y * y) + y + y).sum().backward_steps()]
    for now, then in seen:
        np.testing.assert_array_equal(now, then)


def test_the_graph_is_freed_on_the_way_or_retained():
    x = leaf([1.0])
    y = tg.exp(x).sum()
    list(y.backward_steps(retain_graph=True))
    list(y.backward_steps())
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.e)
    with pytest.raises(GraphError, match="freed"):
        list(y.backward_steps())


def test_stopping_early_leaves_grad_alone():
    x = leaf([1.0])
    steps = (tg.exp(x) * x).sum().backward_steps()
    next(steps)
    assert x.grad is None


def test_hooks_run_and_recording_is_the_callers():
    x = leaf([1.0])
    y = x * 2
    y.register_hook(lambda g: g * 10)
    for step in (y * 3).sum().backward_steps():
        assert tg.is_grad_enabled()
        assert not step.incoming.requires_grad
    assert x.grad.numpy() == 60


def test_gradient_of_another_shape_and_bad_calls():
    x = leaf([1.0, 2.0])
    list((x * x).backward_steps(gradient=np.array([1.0, 10.0])))
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 40.0])
    with pytest.raises(GraphError, match=r"backward_steps: .*one element.*y.sum\(\).backward_steps"):
        (x * x).backward_steps()
    with pytest.raises(ShapeError, match="backward_steps"):
        (x * x).backward_steps(gradient=np.ones(3))
    with pytest.raises(GraphError, match=r"backward_steps: .*no graph"):
        tg.Tensor(1.0).backward_steps()


def test_a_long_chain_and_a_checkpoint():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = -y
    assert sum(1 for _ in y.backward_steps()) == 20_000
    assert float(x.grad) == 1.0
    x = leaf([0.5])
    list(tg.checkpoint(lambda x: tg.exp(tg.sin(x)))(x).sum().backward_steps())
    np.testing.assert_allclose(x.grad.numpy(), np.exp(np.sin(0.5)) * np.cos(0.5))
