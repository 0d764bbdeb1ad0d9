"""Snapshots: the numbers in a graph, its fingerprint, and its way into other programs."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import replace
from time import sleep

import numpy as np
import pytest
from graph_models import IMAGE, Recurrent, convnet, expression, leaf, lenet
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.engine.modes import MODE
from tinygrad_conv.errors import ArgumentError, GraphError, MutationError
from tinygrad_conv.graph import Graph, Values, assert_same_graph, snapshot
from tinygrad_conv.graph.reading import Reader

# ------------------------------------------------------------------------------------------
# Values and gradients


def test_values_of_a_run_are_those_of_the_run():
    x = np.array([1.0, -2.0, 3.0])
    graph = snapshot(lambda x: (tg.relu(x) + 2.0).sum(), x, values=True)
    assert graph["x"].values == Values(x)
    assert graph["relu_1"].values == Values([1.0, 0.0, 3.0])
    assert graph["add_1"].values == Values([3.0, 2.0, 5.0])  # which no rule reads: the graph does not keep it
    assert graph["constant_1"].values == Values(np.asarray(2.0))
    assert graph["constant_1"].label == "2.0"
    assert graph["output"].values.array.item() == 10.0
    assert graph.known == ("values",)


def test_values_of_a_tensor_are_recovered():
    a, b, c = leaf(2.0, "a"), leaf(-3.0, "b"), leaf(10.0, "c")
    graph = snapshot(tg.tanh(a * b + c), values=True)
    assert {n.name: round(n.values.array.item(), 3) for n in graph.nodes} == {
        "a": 2.0, "b": -3.0, "multiply_1": -6.0, "c": 10.0, "add_1": 4.0, "tanh_1": 0.999, "output": 0.999,
    }  # fmt: skip


def test_what_nothing_tells_any_more_is_not_made_up():
    graph = snapshot(leaf(2.0, "a") + 1.0, values=True)  # the leaf is gone, and addition keeps nothing
    assert graph["a"].values is None
    assert graph["output"].values.array.item() == 3.0
    assert snapshot(leaf(2.0) * 3.0).nodes[0].values is None  # not asked for


def test_gradients_are_those_of_backward():
    model = lenet()
    model(IMAGE)
    graph = snapshot(model, IMAGE, gradients=True)
    model.zero_grad()
    model(tg.Tensor(IMAGE)).backward(np.ones((1, 10)))
    for name, parameter in model.named_parameters():
        assert graph[name].gradients == Values(parameter.grad._array), name


def test_gradients_leave_no_trace():
    a, b = leaf(2.0, "a"), leaf(3.0, "b")
    seen = []
    y = a * b
    y.register_hook(lambda g: seen.append(g.item()))
    z = y * y
    graph = snapshot(z, gradients=True)
    assert graph["a"].gradients.array.item() == 2 * 6 * 3
    assert a.grad is None
    assert (len(y.node.hooks), z.node.hooks, a.node.hooks) == (1, None, None)
    z.backward()
    assert a.grad.item() == 36.0


def test_two_outputs_count_once_each():
    graph = snapshot(lambda x: (x * 2.0, x * 3.0, x * 2.0), 1.0, gradients=True)
    assert graph["x"].gradients.array.item() == 7.0
    assert snapshot(lambda x: [x * 2.0] * 2, 1.0, gradients=True)["x"].gradients.array.item() == 4.0


def test_unreached_parameters_are_shown():
    class Forgetful(tg.nn.Module):
        def __init__(self):
            self.used, self.forgotten = tg.nn.Parameter([1.0]), tg.nn.Parameter([1.0, 2.0])

        def forward(self, x, y):
            return x * self.used

    graph = snapshot(Forgetful(), np.ones(1), np.ones(1), gradients=True)
    assert [n.name for n in graph.nodes if n.gradients is None and n.kind in ("parameter", "input")] == [
        "y", "forgotten",
    ]  # fmt: skip
    assert graph.n_params == 3
    assert "forgotten" not in snapshot(Forgetful(), np.ones(1), np.ones(1))


def test_nan_and_infinity_are_noticed_without_warnings():
    graph = snapshot(lambda x: tg.sqrt(x - x).sum(), np.ones(2), values=True, gradients=True)
    assert graph["x"].gradients.state == "nan"
    assert graph["subtract_1"].gradients.state == "infinite" or graph["subtract_1"].gradients.state == "nan"
    assert graph["sqrt_1"].values.state == "zero"


def test_time_is_measured_and_not_compared():
    graph = snapshot(convnet(), IMAGE, time=True)
    assert all(node.time > 0 for node in graph.nodes if node.kind == "operation")
    assert graph.time > 0
    assert replace(graph, known=()) == snapshot(convnet(), IMAGE)


def test_bytes_read_and_written():
    graph = snapshot(lambda x, w: x @ w, np.ones((4, 3)), np.ones((3, 2), "float64"))
    assert graph["matmul_1"].bytes == 8 * (12 + 6 + 8)
    assert graph.bytes == 208
    assert snapshot(leaf(1.0) + np.ones(3))["add_1"].bytes is None  # the constant's size was not kept


def test_a_checkpointed_segment_has_no_numbers_of_its_own_but_harms_nothing():
    graph = snapshot(lambda x: tg.checkpoint(lambda z: tg.exp(tg.sin(z)))(x) * 2.0, 0.5, values=True, gradients=True)
    assert graph["x"].gradients.array.item() == pytest.approx(2 * np.exp(np.sin(0.5)) * np.cos(0.5))


def test_nothing_watches_afterwards():
    model = convnet()
    snapshot(model, IMAGE, values=True)
    assert MODE.get().watch is None
    y = model(tg.Tensor(IMAGE))
    assert snapshot(y).known == ()


# ------------------------------------------------------------------------------------------
# The backward pass


def test_first_and_second_gradient():
    graph = snapshot(lambda x: tg.exp(x * x), 1.5, backward=2, values=True)
    assert [n.name for n in graph.nodes if n.kind == "output"] == ["output", "gradient.x", "gradient.gradient.x"]
    x = 1.5
    assert graph["gradient.x"].values.array.item() == pytest.approx(2 * x * np.exp(x * x))
    assert graph["gradient.gradient.x"].values.array.item() == pytest.approx((2 + 4 * x * x) * np.exp(x * x))
    assert {node.order for node in graph.nodes} == {0, 1, 2}
    assert {module.label for module in graph.modules} == {"gradient", "second gradient"}


def test_operations_of_a_gradient_know_what_they_belong_to():
    graph = snapshot(convnet(), IMAGE, backward=True)
    backward = [node for node in graph.nodes if node.order == 1 and node.kind == "operation"]
    assert all(graph[node.of].order == 0 for node in backward)
    assert {node.module for node in backward} >= {"∇.conv1", "∇.conv2", "∇.logits"}
    assert {m.path: m.kind for m in graph.modules}["∇.conv1"] == "Conv2D"
    assert len([n for n in graph.nodes if n.kind == "output" and n.order]) == 7  # six parameters and the image


def test_backward_of_a_tensor_leaves_its_graph():
    y = expression()
    assert snapshot(y, backward=True).n_operations > snapshot(y).n_operations
    y.backward()


@pytest.mark.parametrize("bad", [3, -1, "yes"])
def test_bad_order(bad):
    with pytest.raises(ArgumentError, match="backward to be 0, 1 or 2"):
        snapshot(tg.exp, 1.0, backward=bad)


def test_freed():
    y = expression()
    y.backward()
    with pytest.raises(GraphError, match=r"freed by a backward pass.*retain_graph=True"):
        snapshot(y, backward=1, values=True)


# ------------------------------------------------------------------------------------------
# Keras-style models


def test_a_model_that_knows_its_input_needs_no_example():
    layers = [tg.keras.Input((8, 8, 1)), tg.keras.layers.Conv2D(2, 3), tg.keras.layers.Flatten()]
    graph = snapshot(tg.keras.Sequential(layers), gradients=True)
    assert graph.nodes[0].shape == (1, 8, 8, 1)
    assert graph.nodes[0].gradients.state == "finite"


# ------------------------------------------------------------------------------------------
# Equality and fingerprint


def test_numbers_count_for_equality_and_not_for_the_fingerprint():
    one, two = (snapshot(tg.exp, x, values=True) for x in (1.0, 2.0))
    assert one != two
    assert one == snapshot(tg.exp, 1.0, values=True)
    assert hash(one) == hash(snapshot(tg.exp, 1.0, values=True))
    assert one.structural_hash() == two.structural_hash()


@pytest.mark.parametrize(
    "other",
    [
        lambda x: tg.tanh(x @ x).sum(axis=1), lambda x: tg.sin(x @ x).sum(axis=0),
        lambda x: tg.tanh(x @ x.T).sum(axis=0), lambda x: tg.tanh(x @ x).sum(axis=0) * 1.0,
    ],
)  # fmt: skip
def test_the_fingerprint_sees(other):
    def f(x):
        return tg.tanh(x @ x).sum(axis=0)

    x = np.ones((2, 2))
    assert snapshot(f, x).structural_hash() != snapshot(other, x).structural_hash()
    with pytest.raises(AssertionError, match="expected the same graph, got these differences"):
        assert_same_graph(snapshot(other, x), snapshot(f, x))
    assert_same_graph(snapshot(lambda name: f(name), x), snapshot(f, x))


def test_values_are_compared_with_anything():
    class Raising:
        @property
        def __class__(self):
            raise RuntimeError

    assert (Values([1.0]) == Raising()) is False


def test_constants_are_part_of_what_is_computed():
    with pytest.raises(AssertionError, match=r"constant_1: 2.0 -> 3.0"):
        assert_same_graph(snapshot(lambda x: x * 3.0, 1.0), snapshot(lambda x: x * 2.0, 1.0))


# ------------------------------------------------------------------------------------------
# Other programs


@pytest.mark.parametrize("options", [{}, {"values": True, "gradients": True}, {"backward": 1, "time": True}])
def test_json_there_and_back(options):
    graph = snapshot(Recurrent(), np.ones((1, 4), "float32"), **options)
    text = graph.to_json()
    assert Graph.from_json(text) == graph
    assert Graph.from_json(text).to_json() == text
    assert json.loads(text)["format"] == 1


def test_json_of_special_numbers():
    with np.errstate(all="ignore"):
        graph = snapshot(lambda x: x / 0.0, np.array([1.0, -1.0, 0.0]), values=True)
    assert Graph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', '{"format": 1, "nodes": 3}', "[1, 2]"])
def test_bad_json(text):
    with pytest.raises(ArgumentError, match="from_json: expected"):
        Graph.from_json(text)


def test_networkx():
    networkx = pytest.importorskip("networkx")
    x = leaf(3.0, "x")
    made = snapshot(x * x).to_networkx()
    assert isinstance(made, networkx.MultiDiGraph)
    assert sorted(data["argument"] for _, _, data in made.in_edges("multiply_1", data=True)) == [0, 1]
    assert made.nodes["multiply_1"]["primitive"] == "multiply"
    assert networkx.is_directed_acyclic_graph(made)


def test_pickle():
    graph = snapshot(convnet(), IMAGE, values=True)
    assert pickle.loads(pickle.dumps(graph)) == graph


def test_values_are_immutable():
    values = Values([1.0])
    with pytest.raises(AttributeError, match="immutable"):
        values.array = np.zeros(1)
    with pytest.raises(ValueError, match="read-only"):
        values.array[0] = 2.0
    data = np.ones(2)
    kept = Values(data)
    data[0] = 5.0
    assert kept == Values(np.ones(2))
    assert Values(np.array([np.nan])) == Values(np.array([np.nan]))
    assert Values(np.float32(1.0)) != Values(np.float64(1.0))


def test_modules_of_other_libraries_are_none_of_ours():
    class Theirs:  # as PyTorch's modules are
        def named_modules(self):
            yield "", self

        def named_parameters(self):
            yield "weight", np.ones(2)

    theirs = Theirs()
    graph = snapshot(lambda x: tg.exp(x) * len(list(theirs.named_modules())), 1.0)
    assert [node.kind for node in graph.nodes].count("parameter") == 0


# ------------------------------------------------------------------------------------------
# Read when somebody looks: what is in it is that of the run


class Leaking(nn.Module):
    """A model that keeps hold of what it computes, and whose constants and parts can be changed."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.parts = [nn.Dense(3, seed=k) for k in range(rng.integers(1, 4))]
        self.scale, self.shift = rng.normal(size=3), rng.normal(size=rng.integers(1, 3) * 3)[:3]
        self.rounds, self.outside = int(rng.integers(1, 4)), rng.random() < 0.3
        self.before = tg.tanh(leaf(rng.normal(size=3), "w")) if self.outside else 1.0
        self.table = rng.integers(0, 3, 3)

    def forward(self, x):
        self.kept = []
        for k in range(self.rounds):
            for part in self.parts:
                x = part(x) * self.scale + self.shift * self.before
                self.kept.append(x)
            self.scale[:] = self.scale + k  # the next round's is another
        return {"y": x[:, self.table], "left": (tg.sum(self.kept[0]),)}


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_happens_after_a_run_is_in_no_picture(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 3))

    def taken():
        model = Leaking(seed)
        model(x)
        return model, snapshot(model, x)

    model, graph = taken()
    _, known = taken()
    known = known if rng.random() < 0.5 else pickle.loads(pickle.dumps(known))
    assert known.nodes
    with suppress(MutationError):  # of a constant that the run itself changed
        tg.sum(model.kept[-1]).backward()  # frees the graph
    model.scale[:] = model.shift[:] = np.nan
    model.table[:] = 0
    x[:] = 0
    model.parts.insert(0, nn.Dense(7))
    model.parts[-1].weight.data = np.ones_like(model.parts[-1].weight.data)
    model.rounds = 0
    assert graph.to_json() == known.to_json()
    assert (graph, hash(graph)) == (known, hash(known))


def test_a_graph_is_read_once_and_only_if_somebody_looks(monkeypatch):
    reads = []
    read = Reader.read
    monkeypatch.setattr(Reader, "read", lambda *args: (reads.append(args), sleep(0.01), read(*args))[-1])
    graph = snapshot(lenet(), IMAGE)
    assert (graph.title, graph.known, graph.notes, reads) == ("Sequential", (), (), [])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: graph.nodes, range(8)))
    assert len(reads) == len({id(nodes) for nodes in found}) == 1
    assert copy(graph) == deepcopy(graph) == graph
    assert len(reads) == 1
    with pytest.raises(AttributeError, match="no attribute 'node'"):
        _ = graph.node


@pytest.mark.parametrize("values", [False, True])
def test_a_constant_that_the_run_changes_is_shown_as_it_was(values):
    noise = np.zeros(2)

    def f(x):
        for k in range(3):
            noise[:] = k
            x = x + noise
        return x

    graph = snapshot(f, np.ones(2), values=values)
    noise[:] = 9
    assert [node.label for node in graph.nodes if node.kind == "constant"] == ["0", "1", "2"]


@pytest.mark.parametrize("options", [{}, {"values": True, "gradients": True}, {"backward": 1}])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_step_is_drawn_as_far_as_its_backward_pass(options, compiled):
    model = nn.Sequential([nn.Dense(4, activation="tanh"), nn.Dense(2)], seed=0)
    x, t = np.ones((3, 5), "float32"), np.array([0, 1, 1])
    model(x)
    sgd = tg.optim.SGD(model.parameters(), lr=0.1)

    def loss(x, t):
        return tg.softmax_cross_entropy(model(x), t)

    def step(x, t):
        y = loss(x, t)
        y.backward()
        sgd.step()
        sgd.zero_grad()
        return y

    before = model.state_dict()
    graph = snapshot(tg.compile(step) if compiled else step, x, t, **options)
    assert_same_graph(replace(graph, title=""), replace(_ending(snapshot(loss, x, t, **options)), title=""))
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())  # nothing is learnt
    assert all(parameter.grad is None for parameter in model.parameters())
    tg.sum(model(x)).backward()  # and nothing is left behind that ends a later pass


def test_the_gradients_of_leaves_stay_as_they_were():
    """Whatever is done with them on the way: a step usually forgets them first."""
    model = nn.Dense(2, in_features=3, seed=0)
    x, sgd = np.ones((4, 3), "float32"), tg.optim.SGD(model.parameters(), lr=0.1)
    free = tg.Tensor([1.0], requires_grad=True)
    (model(x).sum() * free).sum().backward()
    before = [(parameter.grad, parameter.grad.tolist()) for parameter in (*model.parameters(), free)]

    def step(x):
        sgd.zero_grad()
        free.grad = None
        y = model(x).sum()
        (y * free).sum().backward(retain_graph=True)
        model.zero_grad()
        y.backward()
        sgd.step()

    snapshot(step, x)
    tg.draw(step, x, backward=True)
    after = [(parameter.grad, parameter.grad.tolist()) for parameter in (*model.parameters(), free)]
    assert all(a is b and values == old for (a, values), (b, old) in zip(after, before, strict=True))


def _ending(graph):
    """What ends in an output, ending in a backward pass."""
    nodes = [
        replace(node, name="backward", label="backward()") if node.name == "output" else node for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


def test_a_backward_pass_that_keeps_the_graph_is_no_end():
    def f(x):
        y = (x * x).sum()
        y.backward(create_graph=True)
        return y + 1.0

    assert snapshot(f, np.ones(3)).nodes[-1].name == "output"


@pytest.mark.parametrize("frees", [lambda y: list(y.backward_steps(np.ones(2))), lambda y: y.backward(np.ones(2))])
def test_all_that_frees_a_graph_is_an_end(frees):
    def f(x):
        y = tg.tanh(x)
        frees(y)
        return y * 2.0

    assert [node.name for node in snapshot(f, np.ones(2)).nodes] == ["x", "tanh_1", "backward"]
