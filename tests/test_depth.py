"""Whatever users nest is walked without recursion, and what is wide costs its width."""

import copy
import pickle
import sys
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.engine.trees import flatten
from tinygrad_conv.errors import ArgumentError, DTypeError, GraphError

Pair = namedtuple("Pair", "a b")
LEAVES = st.none() | st.integers() | st.text(max_size=2)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(OrderedDict)
        | st.tuples(inner, inner).map(lambda pair: Pair(*pair))
    ),
    max_leaves=12,
)  # fmt: skip


def recursively(tree):
    """The leaves of a tree, as a definition."""
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in recursively(item)]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in recursively(item)]
    return [tree]


@given(TREES)
def test_a_tree_is_taken_apart_and_built_again(tree):
    leaves, rebuild = flatten(tree)
    assert leaves == recursively(tree)
    again = rebuild(leaves)
    assert again == tree
    assert repr(again) == repr(tree)  # types too
    assert recursively(rebuild(range(len(leaves)))) == list(range(len(leaves)))


@pytest.mark.parametrize("depth", [900, 100_000])
@pytest.mark.parametrize("wrap", [lambda t: [t], lambda t: (t,), lambda t: {"a": t}, lambda t: Pair(t, None)])
def test_deep_arguments_and_results(depth, wrap):
    tree = tg.Tensor(3.0)
    for _ in range(depth):
        tree = wrap(tree)
    leaves, rebuild = flatten(tree)
    again = rebuild([2.0] * len(leaves))
    for _ in range(depth):
        again = again["a"] if isinstance(again, dict) else again[0]
    assert again == 2


def test_a_gradient_has_the_depth_of_its_argument():
    tree = tg.Tensor(3.0)
    for _ in range(20_000):
        tree = [tree]
    gradient = tg.grad(lambda t: flatten(t)[0][0] ** 2)(tree)
    assert flatten(gradient)[0][0].item() == 6


def test_what_holds_itself_is_refused():
    tree = [1.0]
    tree.append({"a": (tree,)})
    with pytest.raises(ArgumentError, match="holds itself"):
        tg.grad(lambda t: 1.0)(tree)


def test_lists_of_numbers_are_as_deep_as_arrays_can_be():
    deep = 1.0
    for _ in range(100_000):
        deep = [deep]
    for f in (tg.Tensor, lambda x: tg.ones(2) * x, lambda x: tg.ones(2)[x]):
        with pytest.raises((DTypeError, IndexError), match=r"deep|regular"):
            f(deep)


def instructions(f):
    """How many instructions Python runs in f."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "f", [lambda *xs: tg.concat(xs), lambda *xs: tg.stack(xs, axis=1), tg.checkpoint(lambda *xs: tg.concat(xs))]
)
def test_many_inputs_cost_their_number(f):
    def work(n):
        values = [np.full(3, float(k)) for k in range(n)]
        xs = [tg.Tensor(value, requires_grad=True) for value in values]
        y = f(*xs)
        y.backward(np.zeros(y.shape))
        tg.jvp(f, tuple(values), tuple(values))

    work(2)
    assert instructions(lambda: work(400)) < 4.4 * instructions(lambda: work(100))


def test_parts_come_back_right():
    xs = [tg.Tensor(np.full((2, k), float(k)), requires_grad=True) for k in (1, 0, 3)]
    g = np.arange(8.0).reshape(2, 4)
    for axis in (1, -1):
        for x in xs:
            x.zero_grad()
        tg.concat(xs, axis=axis).backward(g)
        np.testing.assert_array_equal(np.concatenate([x.grad for x in xs], axis=1), g)
    tangents = np.full(1, 5.0), np.full(2, 6.0)
    t = tg.jvp(lambda a, b: tg.concat([a, np.ones(2), b]), (np.ones(1), np.ones(2)), tangents)[1]
    assert t.tolist() == [5, 0, 0, 6, 6]
    assert sys.getrecursionlimit() <= 10_000


# ---------------------------------------------------------------------------------------------------------------
# Modules


def nested(depth, wrap=lambda module: tg.nn.Sequential([module])):
    model = tg.nn.Dense(2, in_features=2, seed=0)
    for _ in range(depth):
        model = wrap(model)
    return model


X = np.ones((3, 2), "float32")


def test_3000_sequences_in_each_other():
    model, dense = nested(3000), nested(0)
    path = ".".join("0" * 3000)
    y = model(X)
    np.testing.assert_array_equal(y, dense(X))
    assert y.node.path == path
    y.sum().backward()
    assert [name for name, _ in model.named_parameters()] == [f"{path}.weight", f"{path}.bias"]
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad()
    state = model.state_dict()
    model.load_state_dict(state)
    assert model.eval() is model.train()
    assert model.output_shape((None, 2)) == (None, 2)
    assert (model.flops((1, 2)), model.count_parameters((None, 2))) == (dense.flops((1, 2)), 6)
    assert "Dense" in tg.nn.summary(model, (None, 2))
    assert repr(model).count("Sequential(  # 6 parameters") == 3000
    model.trainable = False
    model.reset(0)
    again = copy.deepcopy(model)
    np.testing.assert_array_equal(again(X), model(X))
    assert copy.copy(model).layers is model.layers
    with pytest.raises(GraphError, match=r"pickle: expected modules at most 80 deep.*state_dict"):
        pickle.dumps(model)
    assert len(tg.graph.snapshot(model, X).nodes) > 2


def test_other_nests_of_modules():
    class Holder(tg.nn.Module):
        def __init__(self, inner):
            self.inner = {"list": [(inner,)]}

    model = nested(3000, Holder)
    assert len(list(model.parameters())) == 2
    assert len(model.state_dict()) == 2
    assert repr(model).count("Holder(") == 3000
    deep = nested(0)
    for _ in range(50_000):
        deep = [deep]
    holder = Holder(deep)
    assert len(list(holder.modules())) == 2
    holder.inner["itself"] = holder.inner
    assert len(list(holder.modules())) == 2


def test_shapes_are_checked_through_nests_and_end_where_they_are_unknown():
    seq, dense = tg.nn.Sequential, tg.nn.Dense

    class Unknown(tg.nn.Module):
        def forward(self, x):
            return tg.concat([x, x], axis=1)

    model = seq([seq([dense(3), Unknown()]), seq([dense(4), seq([dense(2)])])])
    assert [path for path, _ in model.chain("")] == ["0.0"]
    assert model(X).shape == (3, 2)
    assert model[1][0].in_features == 6
    wrong = seq([dense(3), seq([seq([dense(2, in_features=5)])])])
    with pytest.raises(tg.errors.ShapeError, match=r"got 3 features, its weight has 5"):
        wrong(X)
    model[1].add(dense(7))
    assert model(X).shape == (3, 7)


def test_a_subclass_with_a_forward_of_its_own_is_called():
    class Twice(tg.nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    model = tg.nn.Sequential([Twice([tg.nn.Dense(2, in_features=2, seed=0)]), tg.nn.Sequential([tg.relu])])
    dense = nested(0)
    np.testing.assert_array_equal(model(X), tg.relu(dense(dense(X))))


@pytest.mark.parametrize("level", ["ops", "modules"])
def test_a_picture_of_3000_sequences_in_each_other(level):
    """Forty boxes; what is deeper stands in the last of them."""
    model, x = nested(3000), np.ones((1, 2), "float32")
    drawing = tg.draw(model, x, level=level)
    assert drawing.source.count("subgraph") <= 41
    assert "0.0.0" in drawing.svg
    assert tg.draw(nested(20), x, level=level).source.count("subgraph") >= 18


@given(st.recursive(st.just("dense"), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6))
def test_nested_sequences_are_flat_ones(tree):
    """Values, shapes, paths, counts and texts, whatever the nest."""

    def built(tree):
        if isinstance(tree, list):
            return tg.nn.Sequential([built(item) for item in tree])
        return tg.nn.Dense(2, in_features=2)

    tree = tree if isinstance(tree, list) else [tree]
    model = built(tree)
    layers = [module for module in model.modules() if isinstance(module, tg.nn.Dense)]
    flat = tg.nn.Sequential(list(layers))
    np.testing.assert_array_equal(model(X), flat(X))
    assert model.flops((1, 2)) == flat.flops((1, 2))
    assert model.count_parameters() == model.count_parameters((None, 2)) == 6 * len(layers)
    paths = dict(model.named_modules())
    for path, layer in model.chain(""):
        assert paths[path] is layer
    text = repr(model).splitlines()
    assert len([line for line in text if "Dense(" in line]) == len(layers)
    assert all(line.startswith("  " * 0) for line in text)
    assert text[-1] == ")"


ODD = ["\ud800", "a\x00b\x1b[31m", "\r\n\t", "\u202e\uffff\udc80\xe9", '"\\|{}<>&#;', "x" * 500, "", " ", "é中🙂"]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_names_of_any_text_are_drawn(name, tmp_path):
    x = tg.Tensor(np.ones(2), requires_grad=True, name=name)
    dense = tg.nn.Dense(2, in_features=2, name=name)
    model = tg.nn.Sequential([dense, tg.nn.Sequential([tg.relu], name=name * 2)])
    drawings = tg.draw(x * 2), tg.draw(model, X), tg.draw(model, X, level="modules")
    for k, drawing in enumerate(drawings):
        assert drawing.svg.encode()
        for kind in ("svg", "dot", "html", "pdf") if k == 1 else ("html",):
            drawing.render(tmp_path / f"{k}.{kind}")
    assert tg.graph.from_json(drawings[1].graph.to_json()) == drawings[1].graph
    assert str(drawings[1].graph).encode()
    assert repr(x).encode()
    assert tg.nn.summary(model, (None, 2)).encode()


def test_json_of_any_depth_is_refused_in_words():
    for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000):
        with pytest.raises(tg.errors.TinygradConvError):
            tg.graph.from_json(text)
