"""Modules, layers and initialisers: against formulas written another way, and against what the graph itself counts."""

import copy
import itertools
import math
import pickle
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.engine.guards import exposed
from tinygrad_conv.engine.primitive import flops_of
from tinygrad_conv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_conv.nn import init

F64 = {"dtype": "float64"}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- parameters and modules ------------------------------------------------------------------------------


def test_a_parameter_is_a_copy_that_nobody_else_can_reach():
    data = np.array([1.0, 2.0])
    parameter = nn.Parameter(data)
    data[0] = 9
    assert parameter.tolist() == [1.0, 2.0]
    assert parameter.requires_grad
    assert id(parameter._array) not in exposed
    assert not nn.Buffer(data).requires_grad
    with pytest.raises(DTypeError, match="floating"):
        nn.Parameter([1, 2])


class Holder(nn.Module):
    """Parameters and modules in every place where they may be; no super().__init__()."""

    def __init__(self):
        self.weight = nn.Parameter([1.0])
        self.shared = nn.Dense(2, in_features=3)
        self.parts = [nn.Dense(1, in_features=2, use_bias=False), (self.shared, {"deep": nn.Parameter([2.0, 3.0])})]
        self.named = {"norm": nn.BatchNorm(features=2), "count": 3}
        self.other = "text"


def test_parameters_are_found_in_attributes_lists_tuples_and_dictionaries_once():
    holder = Holder()
    assert [(name, p.shape) for name, p in holder.named_parameters()] == [
        ("weight", (1,)), ("parts.1.1.deep", (2,)), ("shared.weight", (3, 2)), ("shared.bias", (2,)),
        ("parts.0.weight", (2, 1)), ("named.norm.gamma", (2,)), ("named.norm.beta", (2,)),
    ]  # fmt: skip
    assert [name for name, _ in holder.named_buffers()] == ["named.norm.running_mean", "named.norm.running_var"]
    assert [name for name, _ in holder.named_modules()] == ["", "shared", "parts.0", "named.norm"]
    assert len(list(holder.children())) == 4  # the shared one is met twice
    assert holder.count_parameters() == 1 + 2 + 8 + 2 + 4
    holder.late = nn.Parameter([0.0])
    assert "late" in dict(holder.named_parameters())


@pytest.mark.parametrize("name", ["_seen", "_made_for", "_calls", "_cache", "_own"])
def test_a_module_under_any_name_of_the_user_s_is_found(name):
    """Layers note shapes under some of them; what notes calls may be skipped, what has weights not."""

    class Own(nn.Module):
        def __init__(self):
            setattr(self, name, nn.Dense(2, in_features=3))
            self.more = {name: [nn.Dense(1, in_features=2)]}

    assert len(list(Own().parameters())) == 4
    assert next(iter(Own().state_dict())) == f"{name}.weight"


def test_modes_and_zero_grad_reach_everything():
    holder = Holder()
    holder.eval()
    assert not any(module.training for module in holder.modules())
    assert holder.train() is holder
    assert all(module.training for module in holder.modules())
    sum((p * p).sum() for p in holder.parameters()).backward()
    assert all(p.grad is not None for p in holder.parameters())
    holder.zero_grad()
    assert all(p.grad is None for p in holder.parameters())


def test_state_dict_round_trip():
    one, two = Holder(), Holder()
    state = one.state_dict()
    state["weight"][:] = 7  # a copy
    assert one.weight.tolist() == [1.0]
    two.load_state_dict(state)
    state["weight"][:] = 8
    assert two.weight.tolist() == [7.0]
    for name, value in two.state_dict().items():
        np.testing.assert_array_equal(value, 7.0 if name == "weight" else one.state_dict()[name])
    assert two.state_dict()["shared.weight"].dtype == np.float32


def test_state_dict_errors_name_the_paths_and_change_nothing():
    holder = Holder()
    before = holder.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    state["new.weight"] = state.pop("shared.bias")
    with pytest.raises(ArgumentError, match=r"missing shared\.bias and unexpected new\.weight"):
        holder.load_state_dict(state)
    state = {name: value + 1 for name, value in before.items()}
    state["shared.weight"] = np.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"shared\.weight: \(3, 2\) and \(2, 3\)"):
        holder.load_state_dict(state)
    with pytest.raises(DTypeError, match="numbers for 'weight'"):
        holder.load_state_dict(before | {"weight": np.array(["a"])})
    for name, value in holder.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    holder.load_state_dict({"shared.bias": np.ones(2), "nowhere": 1.0}, strict=False)
    assert holder.shared.bias.tolist() == [1.0, 1.0]
    assert holder.shared.bias.dtype == np.float32
    with pytest.raises(ArgumentError, match="no weights yet"):
        nn.Dense(2).load_state_dict({"weight": np.zeros((2, 2))})


def test_graph_nodes_and_errors_know_the_layers_path():
    class Net(nn.Module):
        def __init__(self):
            self.body = [nn.Dense(4, in_features=3), nn.Dense(5, in_features=4)]
            self.head = nn.Sequential([nn.Dense(2, in_features=5), nn.Activation("relu")])

        def forward(self, x):
            for layer in self.body:
                x = layer(x)
            return self.head(x)

    net = Net()
    x = np.zeros((1, 3), "float32")
    y = net(x)
    assert y.node.path == "head.1"
    assert y.node.parents[0].path == "head.0"
    assert net.body[1](normal(1, 4)).node.path == ""
    net.body[1] = nn.Dense(5, in_features=9)
    with pytest.raises(ShapeError, match=r"Dense 'body\.1': got 4 features, its weight has 9"):
        net(x)
    model = nn.Sequential([nn.Dense(3, in_features=3), nn.Dense(3, in_features=3), nn.Activation("tanh")])
    assert model(x).node.path == "2"
    model.pop(0)
    assert model(x).node.path == "1"


def test_copies_and_pickles_take_the_layer_and_not_its_surroundings():
    model = nn.Sequential([nn.Dense(2, in_features=3, name="a"), nn.Dense(1, name="b")], seed=0)
    x = normal(4, 3).astype("float32")
    y = model(x).numpy()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(x).numpy(), y)
        twin[0].weight.data = np.zeros((3, 2))
        np.testing.assert_array_equal(model(x).numpy(), y)
    assert len(pickle.dumps(model[1])) < len(pickle.dumps(model))
    assert copy.deepcopy(model[0])._entered is None


# --- layers against other formulas -------------------------------------------------------------------------


def naive_conv(x, w, stride, dilation, pads, groups):
    """One output at a time: x (N, *sizes, C), w (*kernel, C / groups, O), any number of spatial axes."""
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    kernel, per_group, filters = w.shape[:rank], w.shape[-2], w.shape[-1]
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True)]
    y = np.zeros((len(x), *sizes, filters))
    for place in itertools.product(*map(range, sizes)):
        for offset in itertools.product(*map(range, kernel)):
            at = tuple(p * s + o * d for p, s, o, d in zip(place, stride, offset, dilation, strict=True))
            for o in range(filters):
                g = o // (filters // groups)
                pixels = x[(slice(None), *at, slice(g * per_group, (g + 1) * per_group))]
                y[(slice(None), *place, o)] += pixels @ w[(*offset, slice(None), o)]
    return y


@settings(max_examples=30)
@given(st.data())
def test_convolutions_are_what_loops_compute(data):
    rank = data.draw(st.sampled_from((1, 2, 2, 3)))
    number = st.integers(1, 3 if rank < 3 else 2)
    kernel = tuple(data.draw(number) for _ in range(rank))
    stride = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    dilation = tuple(data.draw(st.integers(1, 2)) for _ in range(rank))
    pads = tuple((data.draw(st.integers(0, 1)),) * 2 for _ in range(rank))
    groups = data.draw(st.integers(1, 2))
    channels, filters = groups * data.draw(number), groups * data.draw(number)
    sizes = tuple(d * (k - 1) + data.draw(st.integers(1, 3)) for k, d in zip(kernel, dilation, strict=True))
    first = data.draw(st.booleans())
    layer = {1: nn.Conv1D, 2: nn.Conv2D, 3: nn.Conv3D}[rank](
        filters, kernel, stride, pads, dilation, groups, bias_init="normal", seed=1,
        data_format="channels_first" if first else None, **F64,
    )  # fmt: skip
    x = normal(2, *sizes, channels)
    expected = naive_conv(x, layer_weights(layer, x, first).weight._array, stride, dilation, pads, groups)
    expected += layer.bias._array
    given_x = np.moveaxis(x, -1, 1) if first else x
    y = layer(given_x).numpy()
    np.testing.assert_allclose(np.moveaxis(y, 1, -1) if first else y, expected, atol=1e-12)
    assert layer.output_shape(given_x.shape) == y.shape


def layer_weights(layer, x, first=False):
    layer.build(np.moveaxis(x, -1, 1).shape if first else x.shape)
    return layer


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolutions_are_transposes(rank, padding):
    """<conv_transpose(x), y> = <x, conv(y)> with the same kernel."""
    up, down = {
        1: (nn.Conv1DTranspose, nn.Conv1D), 2: (nn.Conv2DTranspose, nn.Conv2D), 3: (nn.Conv3DTranspose, nn.Conv3D),
    }[rank]  # fmt: skip
    layer = up(3, 3, stride=2, padding=padding, use_bias=False, seed=0, **F64)
    x = normal(2, *(3, 4, 2)[:rank], 4)
    big = layer(x).numpy()
    assert big.shape == layer.output_shape(x.shape)
    y = normal(*big.shape, seed=1)
    conv = down(4, 3, stride=2, padding=padding, use_bias=False, in_channels=3, **F64)
    conv.weight.data = layer.weight
    assert conv(y).shape == x.shape
    assert np.isclose((big * y).sum(), (x * conv(y).numpy()).sum())


def test_depthwise_separable_and_local_convolutions():
    x = normal(2, 5, 6, 3)
    depthwise = nn.DepthwiseConv2D(3, multiplier=2, bias_init="normal", seed=0, **F64)
    y = depthwise(x).numpy()
    kernel = depthwise.weight._array.reshape(3, 3, 1, 6)  # channel c's m-th kernel makes output c * 2 + m
    np.testing.assert_allclose(y, naive_conv(x, kernel, (1, 1), (1, 1), ((0, 0),) * 2, 3) + depthwise.bias._array)

    separable = nn.SeparableConv2D(4, 3, multiplier=2, padding="same", bias_init="normal", seed=0, **F64)
    y = separable(x).numpy()
    middle = naive_conv(x, separable.depthwise._array.reshape(3, 3, 1, 6), (1, 1), (1, 1), ((1, 1),) * 2, 3)
    np.testing.assert_allclose(y, middle @ separable.pointwise._array[0, 0] + separable.bias._array)

    local = nn.LocallyConnected2D(4, (2, 3), stride=2, bias_init="normal", seed=0, **F64)
    y = local(x).numpy()
    for oh, ow in itertools.product(range(y.shape[1]), range(y.shape[2])):
        patch = x[:, 2 * oh : 2 * oh + 2, 2 * ow : 2 * ow + 3].reshape(2, -1)
        np.testing.assert_allclose(y[:, oh, ow], patch @ local.weight._array[oh, ow] + local.bias._array[oh, ow])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Avg", np.mean)])
def test_pooling(rank, kind, reduce):
    x = normal(2, *(6, 5, 4)[:rank], 3)
    y = getattr(nn, f"{kind}Pool{rank}D")(2, stride=1)(x).numpy()
    axes = tuple(range(1, rank + 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, (2,) * rank, axes)
    np.testing.assert_allclose(y, reduce(windows, axis=tuple(range(-rank, 0))))
    whole = getattr(nn, f"Global{kind}Pool{rank}D")
    np.testing.assert_allclose(whole()(x).numpy(), reduce(x, axis=axes))
    np.testing.assert_allclose(whole(keepdims=True)(x).numpy(), reduce(x, axis=axes, keepdims=True))
    first = np.moveaxis(x, -1, 1)
    np.testing.assert_allclose(whole(data_format="channels_first")(first).numpy(), reduce(x, axis=axes))
    assert getattr(nn, f"{kind}Pool{rank}D")().output_shape(x.shape) == (2, *(n // 2 for n in x.shape[1:-1]), 3)


def test_dense_works_along_the_last_axis():
    x = normal(2, 3, 4)
    layer = nn.Dense(5, activation="tanh", bias_init="normal", seed=0, **F64)
    np.testing.assert_allclose(layer(x).numpy(), np.tanh(x @ layer.weight._array + layer.bias._array))
    assert nn.Dense(5, use_bias=False)(x.astype("float32")).dtype == np.float32


def test_flatten_reshape_embedding_activation():
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(nn.Flatten()(x).numpy(), x.reshape(2, -1))
    first = nn.Flatten("channels_first")(np.moveaxis(x, -1, 1)).numpy()
    np.testing.assert_array_equal(first, x.reshape(2, -1))
    np.testing.assert_array_equal(nn.Reshape((5, -1))(x).numpy(), x.reshape(2, 5, 12))
    table = nn.Embedding(6, 3, seed=0)
    indices = np.array([[1, 5], [0, 1]])
    np.testing.assert_array_equal(table(indices).numpy(), table.weight._array[indices])
    with pytest.raises(DTypeError, match="expected integers"):
        table(normal(2))
    with pytest.raises(ArgumentError, match="from 0 to 5, got 6"):
        table(np.array([6]))
    for name in nn.activations._BY_NAME:
        assert nn.Activation(name)(x).shape == x.shape
    np.testing.assert_allclose(nn.Activation("relu6")(10 * x).numpy(), np.clip(10 * x, 0, 6))
    np.testing.assert_allclose(nn.Activation(tg.square)(x).numpy(), x * x)


# --- layers that know training from inference ----------------------------------------------------------------


def test_dropout_drops_in_training_only_and_by_its_seed():
    x = np.ones((200, 50))
    layer = nn.Dropout(0.25, seed=3)
    y, again = layer(x).numpy(), layer(x).numpy()
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert (y != again).any()  # the generator runs on
    np.testing.assert_array_equal(nn.Dropout(0.25, seed=3)(x).numpy(), y)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)
    tensor = tg.Tensor(x)
    assert nn.Dropout(0.0)(tensor) is tensor


def test_batch_norm_normalises_follows_and_then_uses_what_it_followed():
    x = 3 + 2 * normal(64, 5, 4)
    layer = nn.BatchNorm(momentum=0.9, epsilon=0.05, **F64)
    y = layer(x).numpy()
    mean, var = x.mean((0, 1)), x.var((0, 1))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 0.05))
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * mean)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * var)
    layer(x)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.9 * 0.1 * mean + 0.1 * mean)
    layer.gamma.data, layer.beta.data = normal(4, seed=1), normal(4, seed=2)
    running = layer.running_mean._array, layer.running_var._array
    y = layer.eval()(x).numpy()
    expected = (x - running[0]) / np.sqrt(running[1] + 0.05) * layer.gamma._array + layer.beta._array
    np.testing.assert_allclose(y, expected)
    assert layer.running_mean._array is running[0]
    with pytest.raises(ShapeError, match="got 1 features, it has 4"):
        layer(normal(3, 1))


def test_batch_norm_on_another_axis_frozen_and_replayed():
    x = normal(8, 3, 5)
    other, last = nn.BatchNorm(axis=1, **F64), nn.BatchNorm(**F64)
    np.testing.assert_allclose(other(x).numpy(), np.moveaxis(last(np.moveaxis(x, 1, -1)).numpy(), -1, 1))
    np.testing.assert_allclose(other.running_var.numpy(), last.running_var.numpy())
    frozen = nn.BatchNorm(features=5)
    frozen.trainable = False
    frozen(x)
    assert frozen.running_mean.tolist() == [0.0] * 5  # frozen means inference
    assert not frozen.gamma.requires_grad
    replayed = nn.BatchNorm(features=5, momentum=0.5, **F64)
    tg.checkpoint(replayed)(tg.Tensor(x, requires_grad=True)).sum().backward()
    np.testing.assert_allclose(replayed.running_mean.numpy(), 0.5 * x.mean((0, 1)))  # once, not twice


def test_layer_norm_and_group_norm():
    x = normal(3, 4, 5, 6)
    for axis in (-1, (-2, -1), (1, 2, 3)):
        layer = nn.LayerNorm(epsilon=1e-3, axis=axis, **F64)
        expected = (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-3)
        np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-12)
        size = x.shape[-len(axis) :] if isinstance(axis, tuple) else (6,)
        assert layer.gamma.shape == size
    with pytest.raises(ShapeError, match="last axes only"):
        nn.LayerNorm(axis=1)(x)
    layer = nn.GroupNorm(3, **F64)
    apart = x.reshape(3, 20, 3, 2)
    expected = (apart - apart.mean((1, 3), keepdims=True)) / np.sqrt(apart.var((1, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), expected.reshape(x.shape), atol=1e-12)


# --- all layers ------------------------------------------------------------------------------------------------

LAYERS = [
    (lambda **k: nn.Dense(4, activation="relu", **k), (2, 3)),
    (lambda **k: nn.Dense(4, **k), (2, 5, 3)),
    (lambda **k: nn.Conv1D(4, 3, stride=2, **k), (2, 9, 3)),
    (lambda **k: nn.Conv2D(4, (3, 2), padding="same", groups=2, activation="tanh", **k), (2, 5, 6, 2)),
    (lambda **k: nn.Conv2D(4, 3, padding=1, data_format="channels_first", **k), (2, 3, 5, 6)),
    (lambda **k: nn.Conv3D(2, 2, dilation=2, use_bias=False, **k), (1, 4, 4, 4, 2)),
    (lambda **k: nn.Conv1DTranspose(4, 3, stride=2, **k), (2, 5, 3)),
    (lambda **k: nn.Conv2DTranspose(4, 3, stride=2, output_padding=1, groups=2, **k), (2, 3, 4, 2)),
    (lambda **k: nn.Conv3DTranspose(2, 2, **k), (1, 2, 2, 2, 3)),
    (lambda **k: nn.DepthwiseConv2D(3, multiplier=2, **k), (2, 5, 5, 3)),
    (lambda **k: nn.SeparableConv2D(4, 3, multiplier=2, **k), (2, 5, 5, 3)),
    (lambda **k: nn.LocallyConnected2D(4, 2, stride=2, **k), (2, 4, 5, 3)),
    (lambda **k: nn.BatchNorm(**k), (6, 4, 3)),
    (lambda **k: nn.LayerNorm(**k), (4, 3)),
    (lambda **k: nn.GroupNorm(2, **k), (2, 3, 4)),
]
SHAPE_ONLY = [
    *((lambda rank=rank, kind=kind: getattr(nn, f"{kind}{rank}D")(), (2, *(6, 7, 4)[:rank], 3))
      for kind in ("MaxPool", "AvgPool", "GlobalMaxPool", "GlobalAvgPool") for rank in (1, 2, 3)),
    (lambda: nn.AvgPool2D(3, 1, "same"), (2, 6, 7, 3)),
    (lambda: nn.AvgPool2D(3, 1, 1, count_include_pad=True), (2, 4, 4, 1)),
    (lambda: nn.MaxPool2D(3, 2, ceil_mode=True), (2, 6, 8, 3)),
    *((lambda rank=rank, kind=kind: getattr(nn, f"Adaptive{kind}Pool{rank}D")(2), (2, *(6, 7, 4)[:rank], 3))
      for kind in ("Max", "Avg") for rank in (1, 2, 3)),
    *((lambda rank=rank: getattr(nn, f"UpSampling{rank}D")(), (2, *(2, 3, 4)[:rank], 3)) for rank in (1, 2, 3)),
    (lambda: nn.UpSampling2D((2, 3), "bilinear", data_format="channels_first"), (2, 3, 4, 5)),
    (lambda: nn.PixelShuffle2D(2), (2, 3, 2, 8)),
    (nn.Flatten, (2, 3, 4)), (lambda: nn.Activation("relu"), (2, 3)), (lambda: nn.Reshape((6, -1)), (2, 3, 4)),
    (lambda: nn.Dropout(0.5).eval(), (2, 3)),
]  # fmt: skip
EMBEDDING = [(lambda **k: nn.Embedding(9, 2, **k), (2, 3))]


def ids(cases):
    return [f"{k}-{make().__class__.__name__}" for k, (make, _) in enumerate(cases)]


def pooled(f, *names):
    def formula(layer, x):
        more = {name: getattr(layer, name) for name in ("ceil_mode", *names)}
        return f(x, layer.pool_size, layer.stride, layer.padding, layer.dilation, **more)

    return formula


def sized(f):
    return lambda layer, x: f(x, layer.output_size)


def convolved(f, *names):
    def formula(layer, x):
        return f(x, layer.weight, layer.bias, **{name: getattr(layer, name) for name in ("stride", "padding", *names)})

    return formula


def standard(x, axes):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)


# What a layer computes before its activation, by its class: from the arrays of its weights.
FORMULAS = {
    "Dense": lambda layer, x: x @ layer.weight.numpy() + layer.bias.numpy(),
    "DepthwiseConv2D": convolved(tg.depthwise_conv2d, "dilation"),
    "LocallyConnected2D": convolved(tg.locally_connected2d, "kernel_size"),
    "SeparableConv2D": lambda layer, x: tg.separable_conv2d(x, layer.depthwise, layer.pointwise, layer.bias),
    "BatchNorm": lambda layer, x: standard(x, tuple(range(x.ndim - 1))),
    "LayerNorm": lambda layer, x: standard(x, -1),
    "GroupNorm": lambda layer, x: standard(x.reshape(*x.shape[:-1], layer.groups, -1), (1, 3)).reshape(x.shape),
    "Flatten": lambda layer, x: x.reshape(len(x), -1),
    "Reshape": lambda layer, x: x.reshape(len(x), 6, -1),
    "Activation": lambda layer, x: x, "Dropout": lambda layer, x: x,
    "Embedding": lambda layer, x: layer.weight.numpy()[x],
    "PixelShuffle2D": lambda layer, x: tg.pixel_shuffle(x, layer.factor),
}  # fmt: skip
for rank in (1, 2, 3):
    axes, d = tuple(range(1, rank + 1)), f"{rank}d"
    FORMULAS |= {
        f"Conv{rank}D": convolved(getattr(tg, f"conv{d}"), "dilation", "groups", "data_format"),
        f"Conv{rank}DTranspose": convolved(getattr(tg, f"conv{d}_transpose"), "output_padding", "dilation", "groups"),
        f"MaxPool{rank}D": pooled(getattr(tg, f"max_pool{d}")),
        f"AvgPool{rank}D": pooled(getattr(tg, f"avg_pool{d}"), "count_include_pad"),
        f"AdaptiveMaxPool{rank}D": sized(getattr(tg, f"adaptive_max_pool{d}")),
        f"AdaptiveAvgPool{rank}D": sized(getattr(tg, f"adaptive_avg_pool{d}")),
        f"UpSampling{rank}D": lambda layer, x: tg.resize_images(
            x, scale=layer.size, method=layer.method, data_format=layer.data_format),
        f"GlobalMaxPool{rank}D": lambda layer, x, axes=axes: x.max(axes),
        f"GlobalAvgPool{rank}D": lambda layer, x, axes=axes: x.mean(axes),
    }  # fmt: skip


def test_every_layer_is_in_the_battery():
    public = {name for name, kind in vars(nn).items() if name in nn.__all__ and isinstance(kind, type)}
    public = {name for name in public if issubclass(getattr(nn, name), nn.Layer)} - {"Layer", "Sequential"}
    assert public == {type(make()).__name__ for make, _ in LAYERS + SHAPE_ONLY + EMBEDDING} == set(FORMULAS)


@pytest.mark.parametrize(("make", "shape"), LAYERS + SHAPE_ONLY + EMBEDDING, ids=ids(LAYERS + SHAPE_ONLY + EMBEDDING))
def test_a_layer_computes_its_formula(make, shape):
    layer, name = make(), type(make()).__name__
    x = np.random.default_rng(0).integers(0, 9, shape) if name == "Embedding" else normal(*shape)
    y = layer(x).numpy()
    activation = {"relu": tg.relu, "tanh": tg.tanh, None: tg.asarray}[getattr(layer, "activation", None)]
    x = x if name == "Embedding" or not layer.count_parameters() else x.astype("float32")
    with tg.no_grad():
        np.testing.assert_allclose(y, activation(FORMULAS[name](layer, x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "fans"),
    [
        (nn.Conv2DTranspose(6, 3, groups=2), (9 * 2, 9 * 3)), (nn.DepthwiseConv2D(3, multiplier=5), (9, 9 * 5)),
        (nn.SeparableConv2D(6, 3, multiplier=5), (9, 9 * 5)), (nn.LocallyConnected2D(6, 3), (9 * 4, 6)),
    ],
)  # fmt: skip
def test_weights_are_drawn_for_as_many_inputs_and_outputs_as_they_have(layer, fans):
    """Where the shape of the weight does not tell: of 3x3 kernels on 4 channels."""
    assert next(iter(layer.weights_for((None, 8, 8, 4)).values())).fans == fans


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=ids(LAYERS))
def test_what_a_layer_says_beforehand_is_what_it_does(make, shape):
    layer, unbuilt = make(seed=0) if "Norm" not in type(make()).__name__ else make(), make()
    y = layer(normal(*shape).astype("float32"))
    assert y.dtype == np.float32
    assert unbuilt.output_shape(shape) == y.shape
    assert unbuilt.output_shape((None, *shape[1:])) == (None, *y.shape[1:])
    assert unbuilt.count_parameters(shape) == layer.count_parameters() == sum(p.size for p in layer.parameters())
    assert unbuilt.count_parameters() == 0
    total = layer.count_parameters() + sum(buffer.size for buffer in layer.buffers())
    assert eval(unbuilt.formula(shape)) == total
    assert unbuilt.flops((None, *shape[1:])) * shape[0] == unbuilt.flops(shape)
    assert all(p.dtype == np.float32 for p in layer.parameters())


@pytest.mark.parametrize(("make", "shape"), SHAPE_ONLY, ids=ids(SHAPE_ONLY))
def test_layers_without_weights_know_their_shape(make, shape):
    layer = make()
    assert layer.output_shape(shape) == layer(normal(*shape)).shape
    assert layer.count_parameters(shape) == layer.count_parameters() == 0


def graph_flops(y):
    seen, stack, total = set(), [y.node], 0
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            total += flops_of(node)
            stack.extend(node.parents)
    return total


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=ids(LAYERS))
def test_flops_are_what_the_graph_counts(make, shape):
    layer = make()
    y = layer(tg.Tensor(normal(*shape).astype("float32"), requires_grad=True))
    assert layer.flops(shape) == pytest.approx(graph_flops(y), rel=0.02 if "Norm" in type(layer).__name__ else 0)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=ids(LAYERS))
def test_every_parameter_gets_its_gradient(make, shape):
    """The derivative along a random direction of each parameter, against a central difference."""
    layer = make(**F64)
    x = normal(*shape)
    target = normal(*layer(x).shape, seed=1)

    def loss():
        return (layer(x) * target).sum()

    loss().backward()
    for name, parameter in layer.named_parameters():
        direction, start = normal(*parameter.shape, seed=2), parameter._array
        values = []
        for step in (1e-6, -1e-6):
            parameter.data = start + step * direction
            values.append(loss().item())
        parameter.data = start
        slope = (values[0] - values[1]) / 2e-6
        assert np.isclose((parameter.grad.numpy() * direction).sum(), slope, rtol=1e-5, atol=1e-7), name


# --- initialisers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["glorot", "he", "lecun"])
@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 40, 60)])
def test_scaled_initialisers_have_the_variance_they_promise(family, shape):
    fan_in, fan_out = np.prod(shape[:-1]), np.prod(shape[:-2]) * shape[-1]
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]
    for kind in ("uniform", "normal"):
        values = getattr(init, f"{family}_{kind}")(shape, seed=0)
        assert values.shape == shape
        assert values.dtype == np.float32
        assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
        assert values.var() == pytest.approx(variance, rel=0.03)
        assert abs(values).max() <= (math.sqrt(3) if kind == "uniform" else 2 / 0.87) * math.sqrt(variance) + 1e-6
    other = getattr(init, f"{family}_uniform")((10,), seed=0, fans=(12, 12))
    assert abs(other).max() <= math.sqrt({"glorot": 3 / 12, "he": 6 / 12, "lecun": 3 / 12}[family])


@pytest.mark.parametrize(
    ("layer", "channels", "fan_in"),
    [
        (nn.Conv2DTranspose(90, 3, groups=2, weight_init="he_uniform", seed=0), 40, 9 * 20),
        (nn.Conv2D(90, 3, groups=2, weight_init="he_uniform", seed=0), 40, 9 * 20),
        (nn.DepthwiseConv2D(3, multiplier=50, weight_init="he_uniform", seed=0), 40, 9),
        (nn.LocallyConnected2D(8, 3, weight_init="he_uniform", seed=0), 40, 9 * 40),
    ],
)
def test_layers_scale_by_how_many_inputs_a_unit_has(layer, channels, fan_in):
    layer.build((None, 6, 6, channels))
    assert abs(layer.weight.numpy()).max() == pytest.approx(math.sqrt(6 / fan_in), rel=0.01)


def test_other_initialisers():
    for shape in ((6, 4), (4, 6), (2, 2, 3, 5)):
        w = init.orthogonal(shape, seed=0, dtype="float64", gain=2.0).reshape(-1, shape[-1])
        small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)
    corner = [init.orthogonal((2, 2), seed=seed)[0, 0] for seed in range(300)]
    assert abs(np.mean(corner)) < 0.15  # no direction is preferred
    with pytest.raises(ShapeError, match="at least 2 axes"):
        init.orthogonal((3,))
    values = init.truncated_normal((5000,), seed=0, std=2.0, mean=1.0)
    assert abs(values - 1).max() <= 4.0
    assert init.normal((5000,), seed=0, std=2.0).std() == pytest.approx(2.0, rel=0.05)
    assert init.zeros((2,)).tolist() == [0, 0]
    assert init.ones((2,), dtype="float64").dtype == np.float64
    assert init.uniform((1000,), seed=0, low=2, high=3).min() >= 2
    assert init.normal((3,), seed=0, dtype="float16").dtype == np.float16
    with pytest.raises(ArgumentError, match='use weight_init="he_normal"'):
        nn.Dense(3, weight_init="he_norml")(normal(1, 2))
    layer = nn.Dense(2, in_features=3, weight_init=lambda shape, seed, dtype, fans: np.full(shape, 0.5))
    assert layer.weight.tolist() == [[0.5, 0.5]] * 3
    with pytest.raises(ShapeError, match=r"first values of weight with shape \(3, 2\), got \(2, 2\)"):
        nn.Dense(2, in_features=3, weight_init=lambda shape, *rest: np.zeros((2, 2)))


def test_seeds():
    for bad, error in ((-1, ArgumentError), ("x", DTypeError), (1.5, DTypeError)):
        with pytest.raises(error, match="seed"):
            nn.Dense(2, in_features=2, seed=bad)
    nn.seed(5)
    one = nn.Dense(2, in_features=3).weight.numpy()
    nn.seed(5)
    two = nn.Dense(2, in_features=3).weight.numpy()
    np.testing.assert_array_equal(one, two)
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(nn.Dense(2, in_features=3, seed=rng).weight.numpy(), one)


def test_a_seeded_sequential_does_not_depend_on_the_order_in_which_weights_are_made():
    def layers(eager):
        size = {"in_features": 4} if eager else {}
        return [nn.Dense(4, **size), nn.Sequential([nn.Dense(4, **size), nn.Dropout(0.5)]), nn.Dense(4, **size)]

    lazy, eager = nn.Sequential(layers(False), seed=7), nn.Sequential(layers(True), seed=7)
    backwards = nn.Sequential(layers(False), seed=7)
    for layer in reversed(backwards.layers):
        layer.build((None, 4))
    x = normal(8, 4).astype("float32")
    y = lazy(x).numpy()
    np.testing.assert_array_equal(eager(x).numpy(), y)
    np.testing.assert_array_equal(backwards(x).numpy(), y)
    assert (lazy[0].weight.numpy() != lazy[2].weight.numpy()).any()
    assert (nn.Sequential(layers(True), seed=8)(x).numpy() != y).any()
    eager.reset(8)
    np.testing.assert_array_equal(eager(x).numpy(), nn.Sequential(layers(True), seed=8)(x).numpy())
    eager.reset(7)
    np.testing.assert_array_equal(eager(x).numpy(), y)
    streams = [nn.Sequential(layers(False), seed=np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*(model(x).numpy() for model in streams))
    own = nn.Sequential([nn.Dense(2, in_features=2, seed=1)], seed=7)
    np.testing.assert_array_equal(own[0].weight.numpy(), nn.Dense(2, in_features=2, seed=1).weight.numpy())


# --- Sequential, summary, repr -----------------------------------------------------------------------------------


def test_sequential_is_a_list_of_layers():
    model = nn.Sequential([nn.Dense(3), tg.relu, nn.Dense(2, name="head")])
    assert len(model) == 3
    assert [name for name, _ in model.named_children()] == ["0", "1", "head"]
    assert isinstance(model[1], nn.Activation)
    part = model[:2]
    assert isinstance(part, nn.Sequential)
    assert part[0] is model[0]
    assert model.pop() is not None
    model.add(nn.Dense(5))
    assert model(normal(2, 4)).shape == (2, 5)
    assert list(model) == model.layers
    assert nn.Sequential(nn.Dense(3), nn.Dense(2))(normal(2, 4)).shape == (2, 2)
    assert len(nn.Sequential(model)) == 1
    assert len(nn.Sequential(nn.Dense(k) for k in (1, 2, 3))) == 3
    assert len(nn.Sequential()) == 0
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(ArgumentError, match="different names, got 'head' twice"):
        nn.Sequential([nn.Dense(1, name="head"), nn.Dense(1, name="head")])
    with pytest.raises(DTypeError, match=r"write Dense\(\.\.\.\)"):
        nn.Sequential([nn.Dense])
    with pytest.raises(DTypeError, match="expected layers, got 3"):
        nn.Sequential([3])


def test_sequential_around_a_module_without_shape_rules():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    model = nn.Sequential([nn.Dense(3), Twice(), nn.Dense(2, in_features=4, name="last")])
    with pytest.raises(ShapeError, match=r"Dense 'last': got 3 features, its weight has 4 .*use in_features=3"):
        model(normal(2, 4))
    with pytest.raises(ArgumentError, match="shapes end at '1': Twice has no shape rule"):
        model.output_shape((None, 4))
    assert nn.Sequential([nn.Dense(3), Twice(), nn.Dense(2)])(normal(2, 4)).shape == (2, 2)


def test_shapes_are_checked_before_any_work():
    model = nn.Sequential([nn.Dense(3), nn.Dense(2, in_features=9)])
    with pytest.raises(ShapeError):
        model(normal(2, 4))
    assert not model[0].built


def test_shapes_are_checked_once_per_shape():
    class Counted(nn.Layer):  # no super().__init__() here either
        asked = 0

        def __init__(self):
            pass

        def infer(self, shape):
            self.asked += 1
            return shape

        def forward(self, x):
            return self.ready(x)

    layer = Counted()
    for n in (3, 3, 3, 2):
        layer(normal(n, 2))
    assert layer.asked == 2


def test_repr_shows_calls_and_counts():
    model = nn.Sequential(
        [nn.Conv2D(8, 3, padding="same", in_channels=1), nn.Sequential([nn.Flatten(), nn.Dropout(0.5)], name="tail")]
    )
    assert repr(nn.Dense(3, activation=tg.relu, dtype="float64")) == "Dense(3, activation=relu, dtype='float64')"
    assert repr(model).splitlines() == [
        "Sequential(  # 80 parameters",
        "  (0): Conv2D(8, 3, padding='same', in_channels=1)  # 80 parameters",
        "  (tail): Sequential(",
        "    (0): Flatten()",
        "    (1): Dropout(0.5)",
        "  )",
        ")",
    ]


def test_summary_of_a_layer_that_would_not_fit_in_memory():
    model = nn.Sequential([nn.Flatten(), nn.Dense(40_000, use_bias=False)])
    tracemalloc.start()
    start = time.thread_time()
    text = nn.summary(model, (None, 200, 200, 1))
    seconds = time.thread_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "40000*40000 = 1,600,000,000" in text
    assert peak < 1_000_000
    assert seconds < 0.5
    assert model.count_parameters((None, 200, 200, 1)) == 1_600_000_000
    assert not model[1].built


def test_summary_counts_what_is_learned_and_what_is_not():
    model = nn.Sequential([nn.Conv2D(4, 3), nn.BatchNorm(), nn.Flatten(), nn.Dense(2)])
    table = nn.rows(model, (None, 4, 4, 1))
    assert [(row.name, row.kind, row.output_shape, row.parameters, row.fixed) for row in table] == [
        ("0", "Conv2D", (None, 2, 2, 4), 40, 0), ("1", "BatchNorm", (None, 2, 2, 4), 8, 8),
        ("2", "Flatten", (None, 16), 0, 0), ("3", "Dense", (None, 2), 34, 0),
    ]  # fmt: skip
    assert [row.memory for row in table] == [64, 64, 64, 8]
    assert "of these 82 are learned, 8 are not" in nn.summary(model, (None, 4, 4, 1))
    model[0].trainable = False
    assert nn.rows(model, (None, 4, 4, 1))[0].parameters == 0
    with pytest.raises(DTypeError, match="summary: expected model to be a Layer, got a Holder"):
        nn.summary(Holder(), (None, 3))


# --- bad arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dense(0), "Dense: expected units to be an int >= 1, got 0; use units=1"),
        (lambda: nn.Dense(2.5), "Dense: expected units"),
        (lambda: nn.Dense(2, activation="rellu"), "got 'rellu': use activation=\"relu\""),
        (lambda: nn.Dense(2, activation=3), "expected a name or a function, got 3"),
        (lambda: nn.Dense(2, dtype="int32"), "expected dtype to be a floating dtype, got 'int32'"),
        (lambda: nn.Conv2D(8, 3, padding="smae"), 'use padding="same"'),
        (lambda: nn.Conv2D(8, 0), "use kernel_size=1"),
        (lambda: nn.Conv2D(8, 3, stride=0), "use stride=1"),
        (lambda: nn.Conv2D(8, 3, data_format="channel_first"), 'use data_format="channels_first"'),
        (lambda: nn.Conv2D(8, 3, groups=3, in_channels=4), "got 4 channels, which groups=3 does not divide"),
        (lambda: nn.MaxPool2D(0), "use pool_size=1"),
        (lambda: nn.Dropout(1.0), "rate to be a number in"),
        (lambda: nn.Dropout(50), "use rate=0.5"),
        (lambda: nn.BatchNorm(momentum=1.5), "use momentum=0.99"),
        (lambda: nn.LayerNorm(epsilon=0), "use epsilon=0.001"),
        (lambda: nn.GroupNorm(0), "groups"),
        (lambda: nn.Reshape((-1, -1)), "at most one -1"),
        (lambda: nn.Embedding(0, 3), "input_dim"),
        (lambda: nn.Sequential([nn.Dense(3)]).output_shape((3,)), r"expected x \(N, \.\.\., features\)"),
        (lambda: nn.Module()(1), r"define forward\(self, x\)"),
    ],
)
def test_bad_arguments_are_refused_with_a_fix(make, message):
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
        make()
