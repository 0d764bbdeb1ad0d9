"""What differs between two graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_models import IMAGE, SMALL, Recurrent, convnet, leaf, lenet, resnet

import tinygrad_conv as tg
from tinygrad_conv.graph import diff, snapshot


def changed(graph, *changes):
    """`convnet` with other layers in place."""
    layers = list(graph.layers)
    for place, layer in changes:
        layers[place] = layer
    return tg.nn.Sequential(layers, seed=0)


def test_no_difference():
    changes = diff(snapshot(lenet(), IMAGE), snapshot(lenet(), IMAGE))
    assert not changes
    assert (str(changes), changes.exit_code) == ("no difference", 0)


def test_one_changed_option_is_one_line_and_its_shapes():
    before = snapshot(lambda x: tg.sum(tg.exp(x), axis=0), np.ones((2, 2)))
    after = snapshot(lambda x: tg.sum(tg.exp(x), axis=1), np.ones((2, 2)))
    assert str(diff(before, after)) == "~ sum_1: axis 0 -> 1"


def test_insertion_does_not_shift_what_follows():
    """Names are numbered: the second relu is relu_3 now, and yet only one operation was added."""

    def f(x, extra):
        x = tg.relu(x * 2.0)
        if extra:
            x = tg.relu(x + 1.0)
        return tg.relu(tg.exp(x)).sum()

    changes = diff(snapshot(lambda x: f(x, False), 1.0), snapshot(lambda x: f(x, True), 1.0))
    assert {node.label for node in changes.added} <= {"+", "relu", "1.0"}
    assert len(changes.added) == 3
    assert changes.removed == ()
    assert len(str(changes).splitlines()) <= 4


def test_replaced_layers():
    before = convnet()
    after = changed(before, (1, tg.nn.AvgPool2D(name="pool1")))
    changes = diff(snapshot(before, IMAGE), snapshot(after, IMAGE))
    assert [node.label for node in changes.removed] == ["max_pool"]
    assert [node.label for node in changes.added] == ["avg_pool"]
    lines = str(changes).splitlines()
    assert lines[0].startswith("- ")
    assert lines[1].startswith("+ ")
    assert len(lines) == 3  # and the convolution that is computed from the other


def test_numbers_count_where_both_know_them():
    one, two = (snapshot(tg.exp, x, values=True) for x in (1.0, 2.0))
    assert "~ exp_1: values 2.718 -> 7.389" in str(diff(one, two))
    assert not diff(one, snapshot(tg.exp, 2.0))


def test_tensors_and_models_are_taken_as_they_are():
    assert str(diff(leaf(1.0, "x") * 2.0, leaf(1.0, "x") * 3.0)) == "~ constant_1: 2.0 -> 3.0"


def test_picture(tmp_path):
    changes = diff(snapshot(convnet(), IMAGE), snapshot(lenet(), IMAGE))
    source = changes.drawing.source
    assert "<B>added</B>" in source
    assert "<B>removed</B>" in source
    assert "changed:" in source
    assert "> added<" in source  # in the legend
    for node in changes.removed:
        assert f"removed.{node.name}" in source
    assert changes.render(tmp_path / "diff.svg").read_text(encoding="utf-8").startswith("<svg")
    bundle = changes._repr_mimebundle_()
    assert bundle["text/plain"] == str(changes)
    order = {node.name: k for k, node in enumerate(changes.drawing.graph.nodes)}
    assert all(order[before] < order[after] for before, after in changes.drawing.graph.edges)


def test_what_was_removed_hangs_where_it_was_though_names_shifted():
    before = snapshot(lambda x: tg.tanh(tg.relu(tg.exp(tg.relu(x)))).sum(), 1.0)
    after = snapshot(lambda x: tg.relu(tg.exp(x)).sum(), 1.0)
    changes = diff(before, after)
    (gone,) = (node for node in changes.drawing.graph.nodes if node.mark == "removed" and node.label == "tanh")
    assert gone.inputs == ("relu_1",)  # which was relu_2
    names = {node.name for node in changes.drawing.graph.nodes}
    assert all(name in names for node in changes.drawing.graph.nodes for name in node.inputs)


def test_folding_does_not_hide_a_difference():
    before, after = resnet(12), resnet(12)
    after.layers[7].conv1 = tg.nn.Conv2D(4, 5, padding="same")
    changes = diff(snapshot(before, SMALL), snapshot(after, SMALL))
    assert "changed: kernel" in changes.drawing.source


def test_what_a_module_was_told_is_one_line_where_it_begins():
    def graph(rate):
        layers = [tg.nn.Dense(4, in_features=4), tg.nn.Dropout(rate, name="drop"), tg.nn.Dense(2, in_features=4)]
        return snapshot(tg.nn.Sequential(layers, seed=0), np.ones((2, 4), "float32"))

    lines = str(diff(graph(0.5), graph(0.3))).splitlines()
    assert lines[0] == "~ drop (Dropout): rate 0.5 -> 0.3"
    assert not any("Dropout" in line for line in lines[1:])
    assert not diff(graph(0.5), graph(0.5))
    bare = [replace(graph(rate), nodes=graph(rate).nodes[:1]) for rate in (0.5, 0.3)]  # of it no node is left
    assert str(diff(*bare)) == lines[0]


def test_entirely_different():
    changes = diff(snapshot(convnet(), IMAGE), snapshot(Recurrent(), np.ones((1, 4), "float32")))
    assert changes.exit_code == 1
    assert "2 added" not in repr(changes)
    assert changes.drawing.svg


@pytest.mark.parametrize("n", [3_000])
def test_large(n):
    def f(x, last):
        for k in range(n):
            x = tg.sin(x) if k % 3 else tg.cos(x)
        return tg.exp(x) if last else tg.tanh(x)

    changes = diff(snapshot(lambda x: f(x, True), 1.0), snapshot(lambda x: f(x, False), 1.0))
    assert [node.label for node in (*changes.removed, *changes.added)] == ["exp", "tanh"]
