"""Chains of a compiled step: the batch block by block, in several threads, gives what it gives as a whole."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.plan import chains, fusing
from tinygrad_conv.plan.chains import Chain, unchained

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


def gradients(layers, n, compiled, repeats=2):
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
    results = [run(x, t) for _ in range(repeats + compiled)][-1]
    plan = run.plan if compiled else None
    return [np.asarray(tg.stop_gradient(r)) for r in results], plan


def chains_of(plan):
    return [call.function for call in plan.calls if isinstance(call.function, Chain)]


def names_of(chain):
    return {call.name for call in chain.calls}


@pytest.fixture
def small(monkeypatch):
    """Small arrays are chained as well, a few images at a time, in as many threads as the test says."""
    for module in (chains, fusing):
        monkeypatch.setattr(module, "WORTHWHILE", 0)
    return lambda images, count: (
        monkeypatch.setattr(chains, "MOST_BYTES", images),
        monkeypatch.setattr(chains, "worth", lambda work, n: min(count, n)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layers=st.lists(st.sampled_from(sorted(LAYERS)), min_size=2, max_size=5), n=st.integers(2, 9),
    most=st.sampled_from((1, 10_000, 30_000)), count=st.integers(1, 3),
)  # fmt: skip
def test_networks(small, layers, n, most, count):
    small(most, count)
    with tg.use_kernels("compiled"):
        # A mask is drawn at each step: the compiled one is one step longer, for it is recorded.
        expected, _ = gradients(layers, n, False, 3)
        got, plan = gradients(layers, n, True, 2)
    assert all(1 <= chain.images <= chain.n for chain in chains_of(plan))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * max(1, np.abs(a).max()))


def test_a_network_is_a_chain_forward_and_one_back(small):
    small(1, 2)
    with tg.use_kernels("compiled"):
        _, plan = gradients(["conv relu", "max", "conv relu", "max"], 7, True)
    forward, back = (chain for chain in chains_of(plan) if {"conv", "conv_transpose"} & names_of(chain))
    assert [call.name for call in forward.calls] == ["conv", "bias_relu_max_pool"] * 2
    assert sorted(call.name for call in back.calls) == sorted([
        "bias_relu_max_pool_grad", "conv_kernel_gradient", "conv_transpose", "bias_relu_max_pool_grad",
        "conv_kernel_gradient",
    ])  # fmt: skip
    assert forward.images == back.images == 1
    names = [call.name for call in unchained(plan.calls)]
    assert names.count("conv") == 2
    table = plan.summary()
    assert "1 of 7 at a time" in table  # what is in between is not laid out
    assert plan.runs_in(chains_of(plan)[0].calls[0]) == "chain_1"
    assert "chain_1" in table
    assert "conv_kernel_gradient (of conv" in table


def test_what_needs_the_whole_batch_is_not_chained(small):
    small(1, 1)
    with tg.use_kernels("compiled"):
        _, plan = gradients(["conv", "norm", "conv"], 6, True)
    for chain in chains_of(plan):
        sums = set()
        for call in chain.calls:
            assert sums.isdisjoint(call.inputs)
            assert "_statistics" not in call.name
            kinds = chains._piece(call).kinds
            sums |= {slot for slot, kind in zip(call.outputs, kinds, strict=True) if kind == "+"}


def test_what_is_made_in_a_row_is_not_read_whole_in_it(small, rng):
    small(1, 2)
    x, w, b = rng.standard_normal((3, 6, 6, 2)), rng.standard_normal((3, 3, 2, 4)), rng.standard_normal(2)

    def kernel_of_as_many_rows_as_images(x, w, b):
        return tg.conv2d(x, w * 3.0 * 2.0)

    def sum_that_is_used_at_once(x, w, b):
        db = tg.grad(lambda b: ((x + b) ** 2).sum())(b)
        return x * db

    for step in (kernel_of_as_many_rows_as_images, sum_that_is_used_at_once):
        with tg.use_kernels("compiled"):
            compiled = tg.compile(step)
            expected = step(*map(tg.Tensor, (x, w, b))).numpy()
            for _ in range(3):
                np.testing.assert_allclose(compiled(x, w, b).numpy(), expected, rtol=1e-12)
        assert chains_of(compiled.plan)


def test_plain_products_are_not_cut(small):
    small(1, 1)
    with tg.use_kernels("plain"):
        _, plan = gradients(["conv relu", "max", "tanh", "tanh"], 6, True)
    assert all(chains.is_ufunc(call) for chain in chains_of(plan) for call in chain.calls)


def test_large_kernels_stay_whole(small, monkeypatch):
    small(1, 1)
    monkeypatch.setattr(chains, "MOST_WHOLE", 8 * 3 * 3 * 2 * 4)  # the first kernel, and nothing else
    with tg.use_kernels("compiled"):
        expected, _ = gradients(["conv", "conv"], 6, False)
        got, plan = gradients(["conv", "conv"], 6, True)
    assert not any({"conv", "add"} < names_of(chain) for chain in chains_of(plan))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_elementwise_chains_are_the_same_to_the_bit(small, count, rng, monkeypatch):
    small(1, count)
    monkeypatch.setattr(chains, "BLOCK_BYTES", 64)
    w, x = rng.standard_normal(5), rng.standard_normal((41, 5))
    step = tg.compile(lambda x: tg.relu(tg.exp(x * w) - 1.0) / (x * x + 1.0))
    with tg.use_kernels("plain"):
        results = [step(x * k).numpy() for k in (1, 1, 2)]
    assert chains_of(step.plan)
    for k, y in zip((1, 1, 2), results, strict=True):
        np.testing.assert_array_equal(y, np.maximum(np.exp(x * k * w) - 1, 0) / (x * k * (x * k) + 1))
