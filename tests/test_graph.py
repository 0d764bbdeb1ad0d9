"""Snapshots and pictures of graphs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.engine import primitive
from tinygrad_conv.errors import ArgumentError, DTypeError, GraphError, MissingExtraError
from tinygrad_conv.graph import draw, snapshot, to_dot

module = sys.modules["tinygrad_conv.graph.drawing.render"]
IMAGE = np.zeros((1, 28, 28, 1), "float32")


def leaf(value, name=None):
    return tg.Tensor(value, requires_grad=True, name=name)


def expression():
    """micrograd's first picture."""
    return tg.tanh(leaf(2.0, "a") * leaf(-3.0, "b") + leaf(10.0, "c"))


def residual(x, w1, w2):
    h = tg.relu(x @ w1)
    return tg.relu(x + h @ w2), h.sum()


RESIDUAL_ARGS = np.ones((4, 3)), np.ones((3, 5)), np.ones((5, 3))


class Block(tg.nn.Module):
    def __init__(self):
        self.layers = [tg.nn.Conv2D(4, 3, padding="same"), tg.nn.BatchNorm()]

    def forward(self, x):
        y = x
        for layer in self.layers:
            y = layer(y)
        return tg.relu(x + y)


def network():
    layers = [
        tg.nn.Conv2D(4, 3, activation="relu", name="stem"), Block(), tg.nn.MaxPool2D(), tg.nn.Dropout(0.5),
        tg.nn.Flatten(), tg.nn.Dense(10, name="head"),
    ]  # fmt: skip
    return tg.nn.Sequential(layers, seed=0)


def kinds(graph):
    return {node.name: node.kind for node in graph.nodes}


# ------------------------------------------------------------------------------------------
# Snapshots: structure


def test_tensor():
    graph = snapshot(expression())
    assert [node.name for node in graph.nodes] == ["a", "b", "multiply_1", "c", "add_1", "tanh_1", "output"]
    assert [node.label for node in graph.nodes] == ["a", "b", "*", "c", "+", "tanh", "output"]
    assert kinds(graph)["a"] == "input"
    assert kinds(graph)["tanh_1"] == "operation"
    assert graph["add_1"].inputs == ("multiply_1", "c")
    assert graph["add_1"].shape == ()
    assert graph["add_1"].dtype == "float64"
    assert "leaf(10.0" in graph["add_1"].source
    assert graph.n_operations == 3


def test_function_diamond_and_residual():
    graph = snapshot(residual, *RESIDUAL_ARGS)
    assert graph.title == "residual"
    assert graph.edges == (
        ("x", "matmul_1"), ("w1", "matmul_1"), ("matmul_1", "relu_1"), ("relu_1", "matmul_2"), ("w2", "matmul_2"),
        ("x", "add_1"), ("matmul_2", "add_1"), ("add_1", "relu_2"), ("relu_1", "sum_1"),
        ("relu_2", "output.0"), ("sum_1", "output.1"),
    )  # fmt: skip
    assert graph["matmul_2"].shape == (4, 3)
    assert graph["matmul_2"].flops == 2 * 4 * 5 * 3
    assert graph.flops == 120 + 20 + 120 + 12 + 12 + graph["sum_1"].flops


def test_same_operand_twice():
    x = leaf(3.0, "x")
    assert snapshot(x * x)["multiply_1"].inputs == ("x", "x")


def test_a_leaf_alone():
    assert [node.name for node in snapshot(leaf(3.0, "x")).nodes] == ["x", "x_2"]


def test_equal_computations_are_equal_values():
    one, two = snapshot(expression()), snapshot(expression())
    assert one == two
    assert hash(one) == hash(two)
    assert one != snapshot(expression() * 2.0)
    assert snapshot(one) is one


def test_names_do_not_depend_on_the_order_of_creation():
    a, b = leaf(1.0, "a"), leaf(2.0, "b")
    left, right = tg.exp(a), tg.exp(b)
    first = snapshot(left + right)
    right = tg.exp(b)
    leaf(0.0)  # a gap
    left = tg.exp(a)
    assert snapshot(left + right) == first
    assert snapshot(right + left) != first


def test_immutable():
    graph = snapshot(expression())
    with pytest.raises(FrozenInstanceError):
        graph.title = "other"
    with pytest.raises(FrozenInstanceError):
        graph.nodes[0].name = "other"


def test_params_are_text_and_know_their_defaults():
    def f(x):
        return tg.sum(x[1:, ..., None], axis=0) + tg.mean(x, keepdims=True)

    graph = snapshot(f, np.ones((3, 2)))
    assert dict(graph["sum_1"].params) == {"axis": "0", "keepdims": "False", "dtype": "None"}
    assert graph["sum_1"].changed == ("axis",)
    assert dict(graph["getitem_1"].params) == {"index": "(1:, ..., None)"}


def test_params_never_hold_an_address():
    index = np.array([0, 1, 0, 1, 2])
    graph = snapshot(lambda x: x[index], np.ones(3))
    assert "0x" not in str(graph["getitem_1"].params)
    assert "int64 (5,)" in dict(graph["getitem_1"].params)["index"]
    few = snapshot(lambda x: x[0, [0, 2]], np.ones((2, 3)))
    assert "index=(0, [0, 2])" in str(tg.draw(few))  # so few are shown


def test_objects_as_params_are_their_name_or_type():
    class Thing:
        pass

    @tg.linear(lambda g, how, what: g)
    def with_things(x, how=None, what=None):
        return x

    graph = snapshot(lambda x: with_things(x, how=np.sum, what=Thing()), 1.0)
    assert graph["with_things_1"].params == (("how", "sum"), ("what", "Thing"))


def test_windows_count_as_their_fields():
    graph = snapshot(lambda x: tg.max_pool2d(x, 2), IMAGE)
    (pool,) = (node for node in graph.nodes if node.kind == "operation")
    assert dict(pool.params)["kernel"] == "(2, 2)"
    assert pool.changed == ("kernel", "stride")


def test_nested_arguments_and_results_have_paths():
    def f(batch, *rest, scale=1.0):
        return {"sum": batch["x"] + rest[0] + rest[1], "pair": [batch["y"], batch["x"] * scale]}

    graph = snapshot(f, {"x": 1.0, "y": 2.0}, 3.0, tg.Tensor(4.0))
    by_kind = [(node.name, node.kind) for node in graph.nodes if node.kind in ("input", "output")]
    assert by_kind == [
        ("batch.x", "input"), ("rest.0", "input"), ("rest.1", "input"), ("batch.y", "input"),
        ("output.sum", "output"), ("output.pair.0", "output"), ("output.pair.1", "output"),
    ]  # fmt: skip


def test_constants():
    y = leaf(np.ones(3), "x") * 2.0 + np.arange(3.0)
    graph = snapshot(y * np.arange(3.0))
    assert kinds(graph)["constant_1"] == "constant"
    assert graph["constant_1"].label == "2.0"
    assert graph["constant_3"].shape == (3,)


def test_untracked_data_are_inputs_too(monkeypatch):
    monkeypatch.setattr(primitive, "_registry", dict(primitive._registry))  # gone with the test
    labels = np.array([True, False])

    @tg.bilinear(lambda g, b: g * b, lambda g, a: g * a)
    def masked(a, b):
        return a * b

    graph = snapshot(lambda x, mask: masked(x, mask) + masked(x, mask), np.ones(2), labels)
    assert kinds(graph) == {
        "x": "input", "mask": "input", "masked_1": "operation", "masked_2": "operation", "add_1": "operation",
        "output": "output",
    }  # fmt: skip
    assert graph["mask"].dtype == "bool"


def test_leaves_that_a_function_closes_over_are_parameters():
    w = leaf(np.ones((3, 2)), "w")
    graph = snapshot(lambda x: x @ w, np.ones((4, 3)))
    assert kinds(graph)["w"] == "parameter"
    assert graph.n_params == graph["w"].n_params == 6


def test_names_are_unique_and_safe():
    odd = leaf(1.0, 'a "b": <c>')
    y = odd + leaf(2.0, "add_1") + leaf(3.0, "add_1")
    names = [node.name for node in snapshot(y).nodes]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.]+", name) for name in names)
    ET.fromstring(draw(y).svg)


def test_a_chain_of_30_000_operations():
    y = leaf(1.0, "x")
    for _ in range(30_000):
        y = -y
    graph = snapshot(y)
    assert len(graph.nodes) == 30_002
    assert graph.nodes[-2].name == "negative_30000"
    assert graph.n_operations == 30_000


# ------------------------------------------------------------------------------------------
# Snapshots: modules


def test_module():
    graph = snapshot(network(), IMAGE)
    assert graph.title == "Sequential"
    parameters = {node.name: node.n_params for node in graph.nodes if node.kind == "parameter"}
    assert parameters["stem.weight"] == 36
    assert parameters["1.layers.0.weight"] == 144
    assert graph["stem.weight"].label == "weight"
    assert graph["stem.weight"].module == "stem"
    assert graph["1.layers.0.weight"].module == "1.layers.0"
    model = network()
    model(IMAGE)
    assert graph.n_params == model.count_parameters()
    modules = {module.path: (module.kind, module.n_params) for module in graph.modules}
    assert modules["stem"] == ("Conv2D", 40)
    assert modules["1"] == ("Block", 148 + 8)
    assert modules["1.layers.1"] == ("BatchNorm", 8)
    assert "1.layers" not in modules  # a list is no module


def test_module_paths_are_those_of_named_parameters():
    model = network()
    graph = snapshot(model, IMAGE)
    assert [n.name for n in graph.nodes if n.kind == "parameter"] == [name for name, _ in model.named_parameters()]


class Tied(tg.nn.Module):
    """Holds its weights in a list, and lends the second to another module."""

    def __init__(self):
        self.weights = [tg.nn.Parameter(np.ones((2, 2))), tg.nn.Parameter(np.ones((2, 2)))]
        self.inner = Borrower(self.weights[1])

    def forward(self, x):
        return self.inner(x @ self.weights[0] @ self.weights[1])


class Borrower(tg.nn.Module):
    def __init__(self, weight):
        self.weight = weight

    def forward(self, x):
        return x @ self.weight


def test_a_shared_parameter_belongs_to_the_module_around_its_users():
    model = tg.nn.Sequential([Tied()])
    graph = snapshot(model, np.ones((1, 2)))
    shared = graph["0.weights.1"]
    assert (shared.module, shared.label) == ("0", "weights.1")
    assert [b for a, b in graph.edges if a == "0.weights.1"] == ["matmul_2", "matmul_3"]
    assert graph.modules[0].n_params == 8
    by_output = snapshot(model(np.ones((1, 2))))
    assert [node.module for node in by_output.nodes if node.kind == "parameter"] == ["0", "0"]
    assert draw(graph).source.count(" params</FONT>>") == 2


def test_a_run_leaves_no_trace():
    model = network()
    model(IMAGE)
    noise = np.random.default_rng(0)
    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    x = np.random.default_rng(1).normal(size=IMAGE.shape).astype("float32")
    first, again = (snapshot(lambda x: model(tg.dropout(x, 0.5, noise)), x) for _ in range(2))
    assert first == again
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
    assert noise.random() == np.random.default_rng(0).random()


def test_a_function_of_a_loss_knows_its_model():
    model = network()

    def loss(x, labels):
        return tg.softmax_cross_entropy(model(x), labels)

    graph = snapshot(loss, IMAGE, np.array([3]))
    assert kinds(graph)["head.weight"] == "parameter"
    assert {module.path: module.kind for module in graph.modules}["head"] == "Dense"


def test_the_graph_of_a_models_output():
    graph = snapshot(network()(IMAGE))
    assert [node.module for node in graph.nodes if node.kind == "parameter"][:2] == ["stem", "stem"]
    assert graph.n_params == snapshot(network(), IMAGE).n_params


def test_snapshot_records_inside_no_grad():
    with tg.no_grad():
        assert snapshot(tg.exp, 1.0).n_operations == 1


# ------------------------------------------------------------------------------------------
# Snapshots: errors


def test_freed_graph():
    y = expression()
    y.backward()
    with pytest.raises(GraphError, match=r"tanh.*freed by a backward pass; .*retain_graph=True"):
        snapshot(y)


def test_retained_graph():
    y = expression()
    before = snapshot(y)
    y.backward(retain_graph=True)
    assert snapshot(y) == before


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: snapshot(tg.Tensor(1.0)), GraphError, "has no graph.*requires_grad=True"),
        (lambda: snapshot(lambda x: x * 2, 3), GraphError, "no floating-point input.*3.0 for 3"),
        (lambda: snapshot(lambda x: None, 3.0), GraphError, "return a tensor"),
        (lambda: snapshot(lambda x: x.detach(), 3.0), GraphError, "nothing was recorded"),
        (lambda: snapshot(3.0), DTypeError, "expected a Tensor, a function or a Module, got float"),
        (lambda: snapshot(leaf(1.0), 2.0), DTypeError, "only functions and modules take arguments"),
        (lambda: snapshot(tg.exp), TypeError, "x"),
        (lambda: draw(tg.exp, 1.0, direction="up"), ArgumentError, 'direction to be "LR", "TB" or "auto", got \'up\''),
        (lambda: draw(tg.exp, 1.0, show=("size",)), ArgumentError, r"names out of shape, params, .* got \('size',\)"),
    ],
)
def test_bad_calls(bad, error, message):
    with pytest.raises(error, match=message):
        bad()


# ------------------------------------------------------------------------------------------
# DOT


def labels(source):
    """node name -> its label without markup."""
    found = re.findall(r'^\s*("?[\w.]+"?) \[label=<(.*?)> (?=color|\w+=)', source, flags=re.MULTILINE)
    return {name.strip('"'): re.sub(r"<[^>]+>", " ", text) for name, text in found}


def test_labels_hold_shapes_and_counts():
    source = to_dot(snapshot(network(), IMAGE)).source
    text = {name: " ".join(label.split()) for name, label in labels(source).items()}
    assert text["stem.weight"] == "weight (3, 3, 1, 4) 36 params"
    assert text["conv_1"] == "conv 3×3 (1, 26, 26, 4)"
    assert text["pool_max_1"] == "max_pool 2 MaxPool2D 2×2, stride 2 (1, 13, 13, 4)"
    assert text["output"] == "output (1, 10)"


@pytest.mark.parametrize(
    ("show", "shown"),
    [
        ((), ""),
        ("shape", " (2,)"),
        (("dtype",), " float64"),
        (("flops", "shape"), " (2,) 2 FLOPs"),
        (["source"], " test_graph.py:"),
    ],
)
def test_show(show, shown):
    source = to_dot(snapshot(lambda x, y: x + y, np.ones(2), np.ones(2)), show=show).source
    text = " ".join(labels(source)["add_1"].split())
    assert text == f"+{shown}" or (show == ["source"] and text.startswith(f"+{shown}"))
    assert "operations" not in source  # the title belongs to the legend


def test_modules_are_clusters_inside_each_other():
    source = to_dot(snapshot(network(), IMAGE)).source
    outer = source.index("subgraph cluster_1 {")
    inner = source.index('subgraph "cluster_1.layers.0" {')
    assert outer < inner < source.index("subgraph cluster_head {")
    depth = source[outer:inner].count("{") - source[outer:inner].count("}")
    assert depth == 1
    assert "<B>head</B> Dense" in source
    assert "40 params" in source
    assert "cluster_2" not in source  # max pooling is one operation: no box


def test_parameters_stand_beside_their_operation():
    source = to_dot(snapshot(network(), IMAGE)).source
    assert re.search(r'rank=same\s+"stem\.weight"\s+conv_1\s', source)
    assert 'conv_1 -> "stem.weight" [dir=back' in source


def test_shared_parameters_are_drawn_once():
    w = leaf(np.ones((2, 2)), "w")
    source = to_dot(snapshot(lambda x: (x @ w) @ w, np.ones((1, 2)))).source
    assert source.count("w [label=") == 1
    assert "w -> matmul_2 [headlabel=2 weight=8]" in source


def test_legend_names_only_the_kinds_there_are():
    assert "> constant<" not in draw(expression()).source
    assert "> constant<" in draw(expression() * 2.0).source


def test_hostile_names_are_escaped():
    y = leaf(1.0, '<b>&"quoted"\\n</b>') * 2.0
    assert "&lt;b&gt;&amp;" in draw(y).source
    root = ET.fromstring(draw(y).svg)
    assert any('&"quoted"' in (text.text or "") for text in root.iter("{http://www.w3.org/2000/svg}text"))


def test_long_labels_are_wrapped():
    name = " ".join(["word"] * 40)
    lines = re.findall(r"<B>(.*?)</B>", draw(leaf(1.0, name) * 1.0, show=()).source)
    assert max(map(len, lines)) <= 30
    assert any(line.endswith("…") for line in lines)


# ------------------------------------------------------------------------------------------
# Drawings


def texts(svg):
    return {"".join(text.itertext()).strip() for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_svg_is_one_element_that_says_everything():
    svg = draw(network(), IMAGE).svg
    assert svg.startswith("<svg")
    assert "Generated" not in svg
    assert {"Sequential", "(1, 26, 26, 4)", "36 params", "weight", "operation"} <= texts(svg)


def test_nothing_overlaps():
    """Boxes of nodes, read from the SVG, are disjoint; and each lies inside the picture."""
    svg = draw(network(), IMAGE).svg
    root = ET.fromstring(svg)
    boxes = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") == "node":
            numbers = [
                float(n)
                for shape in group.iter()
                if shape.tag.endswith(("path", "polygon"))
                for n in re.findall(r"-?\d+\.?\d*", shape.get("d") or shape.get("points"))
            ]
            xs, ys = numbers[0::2], numbers[1::2]
            if xs:
                boxes.append((min(xs), max(xs), min(ys), max(ys)))
    assert len(boxes) > 15
    for k, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[:k]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph"), ("SVG", b"<svg")],
)
def test_render(tmp_path, suffix, start):
    path = draw(expression()).render(tmp_path / f"graph.{suffix}")
    assert path == tmp_path / f"graph.{suffix}"
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["graph", "graph.jpeg", "graph.svg.txt"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(
        ArgumentError, match=r"ending in \.svg, \.png, \.pdf, \.tikz, \.dot, \.html or \.json, got .*" + re.escape(name)
    ):
        draw(expression()).render(tmp_path / name)


def test_a_graph_too_large_to_read(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MOST_NODES", 6)
    drawing = draw(expression())
    with pytest.raises(GraphError, match=r"at most 6 nodes.*got 7; draw it with fold=True, draw a part"):
        drawing.render(tmp_path / "graph.svg")
    assert "at most 6 nodes" in drawing._repr_mimebundle_()["text/plain"]
    drawing.render(tmp_path / "graph.dot")


def test_unwritable_path(tmp_path):
    with pytest.raises(ArgumentError, match=r"cannot write .*missing.*: No such file or directory; choose"):
        draw(expression()).render(tmp_path / "missing" / "graph.dot")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(ArgumentError, match=r"cannot write .*folder.svg"):
        draw(expression()).render(tmp_path / "folder.svg")


def test_left_to_right_is_wider_than_high():
    def size(drawing):
        root = ET.fromstring(drawing.svg)
        return [float(root.get(side).removesuffix("pt")) for side in ("width", "height")]

    y = expression()
    for _ in range(10):
        y = tg.sin(y)
    width, height = size(draw(y, fold=False))
    assert width > height
    width, height = size(draw(y, fold=False, direction="TB"))
    assert width < height


def test_str_and_notebook():
    drawing = draw(network(), IMAGE)
    assert repr(drawing).startswith("Drawing of Sequential: ")
    assert "\n" not in repr(drawing)
    assert "├─ stem/ Conv2D 40 params\n│  ├─ stem.weight: parameter (3, 3, 1, 4) 36 params\n" in str(drawing)
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"] == drawing.svg
    assert bundle["text/plain"] == repr(drawing)


# ------------------------------------------------------------------------------------------
# The layout program


def test_no_layout_program(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    drawing = draw(expression())
    with pytest.raises(MissingExtraError, match=r"pip install graphviz-pure; or write \.svg or \.pdf$"):
        drawing.render(tmp_path / "graph.png")
    assert drawing.render(tmp_path / "graph.dot").read_text() == drawing.source
    assert drawing.render(tmp_path / "graph.svg").read_text("utf-8") == drawing.svg
    assert drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg


def test_the_program_of_the_wheel_is_found_without_an_activated_environment(monkeypatch):
    monkeypatch.setenv("PATH", "")
    engine = module.find_engine()
    assert engine is not None
    assert Path(engine).stem == "graphviz-pure"
    assert draw(expression()).svg.startswith("<svg")


def test_graphviz_itself_goes_first(monkeypatch, tmp_path):
    program = tmp_path / ("dot.bat" if os.name == "nt" else "dot")
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(module.find_engine()) == program


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for a layout program is a shell script")
def test_a_layout_program_that_fails(monkeypatch, tmp_path):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(GraphError, match="could not lay the graph out: out of luck"):
        draw(expression()).render(tmp_path / "graph.png")


def test_importing_is_cheap():
    code = "import sys, tinygrad_conv.graph; print('graphviz' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Around(tg.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return tg.tanh(self.inner(x))


def test_a_module_that_two_others_call_says_which_call():
    shared = tg.nn.Sequential(tg.nn.Dense(3, name="dense"), tg.nn.Dropout(0.3, name="drop"))
    net = tg.nn.Sequential(Around(shared), Around(shared), Around(tg.nn.Dense(2)))
    graph = snapshot(net, np.ones((2, 3), "float32"), backward=True)
    told = {call for node in graph.nodes for call in node.calls if not node.order}
    assert told == {
        (f"{k}.inner{part}", k + 1, 2) for k in (0, 1) for part in ("", ".dense", ".drop")
    }  # fmt: skip
    known = {module.path: (module.kind, module.options) for module in graph.modules}
    for part in ("", ".dense", ".drop"):
        assert known[f"1.inner{part}"] == known[f"0.inner{part}"]
    drawn = str(tg.draw(net, np.ones((2, 3), "float32")))
    assert "dense, call 2 of 2/ Dense\n" in drawn
    assert "drop, call 2 of 2/ Dropout(rate=0.3)\n" in drawn
