"""Pictures: levels, folding, colours, the backward pass, units; and that pictures stay what they are."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest
from graph_models import (
    DRAWINGS,
    GOLDEN,
    IMAGE,
    SMALL,
    WRITTEN,
    Recurrent,
    convnet,
    expression,
    lecture,
    lenet,
    page_data,
    resnet,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.digits import aligned, number, short
from tinygrad_conv.errors import ArgumentError, DTypeError, GraphError, SizeError
from tinygrad_conv.graph import as_modules, draw, fold, snapshot
from tinygrad_conv.graph.drawing.command import draw_command
from tinygrad_conv.graph.drawing.dot import SHOW, to_dot
from tinygrad_conv.graph.drawing.pdf import _SYMBOLS, svg_to_pdf
from tinygrad_conv.graph.drawing.render import _program_folders
from tinygrad_conv.graph.microscope.dense import as_dense
from tinygrad_conv.palette import COSTS, TWINS, darkened, tint

ROOT = Path(__file__).parents[1]
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def texts(svg):
    return ["".join(text.itertext()).strip() for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def attributes(source, name):
    """The attributes of one node in DOT, as text, and the label without markup."""
    line = next(line for line in source.splitlines() if re.match(rf'\s*"?{re.escape(name)}"? \[', line))
    label = " ".join(re.sub(r"<[^>]+>", " ", re.search(r"label=<(.*?)> (?=color|\w+=)", line)[1]).split())
    return line, label


# ------------------------------------------------------------------------------------------
# Golden files, and the gallery


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_are_what_they_were(name):
    """If a change is meant: look at the pictures, then ``python tests/graph_models.py``."""
    assert DRAWINGS[name]().source == (GOLDEN / f"{name}.dot").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WRITTEN)
def test_json_and_pages_are_what_they_were(name):
    """Whichever Python runs this: the bytes do not depend on its version."""
    graph = DRAWINGS[name]().graph
    assert graph.to_json() == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert page_data(graph) == (GOLDEN / f"{name}.page.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_picture_can_be_laid_out_and_nothing_is_cut(name):
    svg = DRAWINGS[name]().svg
    root = ET.fromstring(svg)
    width, height = (float(root.get(side).removesuffix("pt")) for side in ("width", "height"))
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        x, y, size = float(text.get("x")), -float(text.get("y")), float(text.get("font-size"))
        assert 0 < x < width
        assert 0 < y < height + size


@pytest.mark.parametrize("name", DRAWINGS)
def test_nodes_never_overlap(name):
    root = ET.fromstring(DRAWINGS[name]().svg)
    boxes = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") == "node":
            for shape in group.iter():
                if shape.tag.endswith("ellipse"):
                    cx, cy, rx, ry = (float(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
                    boxes.append((cx - rx, cx + rx, cy - ry, cy + ry))
                elif shape.tag.endswith(("path", "polygon")):
                    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", shape.get("d") or shape.get("points"))]
                    boxes.append((min(numbers[::2]), max(numbers[::2]), min(numbers[1::2]), max(numbers[1::2])))
    assert len(boxes) >= 7
    for k, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[:k]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


def test_the_gallery_is_current():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_gallery
    finally:
        sys.path.pop(0)
    made = make_gallery.pictures()
    assert {path.name for path in make_gallery.IMAGES.glob("*.svg")} >= set(made)
    for name, picture in made.items():
        drawing = getattr(picture, "drawing", picture)
        kept = (make_gallery.IMAGES / name).read_text(encoding="utf-8")
        assert sorted(texts(kept)) == sorted(texts(drawing.svg)), f"{name}: run python docs/make_gallery.py"
        assert len(kept) < 100_000


# ------------------------------------------------------------------------------------------
# Modules


def test_modules_are_one_node_each():
    shown = draw(lenet(), IMAGE, level="modules").shown
    assert [node.name for node in shown.nodes] == [
        "x", "conv1", "pool1", "conv2", "pool2", "flatten", "dense1", "dense2", "logits", "output",
    ]  # fmt: skip
    conv = shown["conv2"]
    assert (conv.kind, conv.label, conv.shape) == ("module", "Conv2D", (1, 10, 10, 16))
    assert (conv.n_params, conv.count) == (2416, 3)
    whole = snapshot(lenet(), IMAGE)
    assert sum(node.n_params for node in shown.nodes) == whole.n_params
    assert sum(node.flops for node in shown.nodes) == whole.flops
    assert sum(node.bytes or 0 for node in shown.nodes) == whole.bytes


def test_what_runs_between_modules_stays():
    shown = as_modules(snapshot(resnet(1), SMALL))
    labels = [node.label for node in shown.nodes if node.module == "1"]
    assert labels == ["Conv2D", "BatchNorm", "relu", "Conv2D", "BatchNorm", "+", "relu"]


def test_a_module_that_is_called_again_is_another_node():
    shown = as_modules(snapshot(Recurrent(), np.ones((1, 4), "float32")))
    cells = [node for node in shown.nodes if node.label == "Dense"]
    assert [node.name for node in cells] == ["cell_1", "cell_2", "cell_3", "head"]
    order = {node.name: k for k, node in enumerate(shown.nodes)}
    assert all(order[before] < order[node.name] for node in cells[:1] for before in node.inputs)


# ------------------------------------------------------------------------------------------
# Folding


def test_twelve_blocks_become_one():
    drawing = draw(resnet(12), SMALL)
    assert "x 12</B>" in drawing.source
    assert drawing.shown.notes == ("12 equal blocks drawn once (x 12)",)
    assert len(drawing.shown.nodes) < 40 < len(drawing.graph.nodes)
    assert "folded: 12 equal blocks drawn once (x 12)" in texts(drawing.svg)
    repeated = {m.path: (m.repeat, m.label, m.n_params) for m in drawing.shown.modules if m.repeat > 1}
    assert repeated == {"1": (12, "1 to 12", 312)}
    assert f"{drawing.graph.n_params:,} params" in drawing.source  # totals are those of the whole
    assert draw(resnet(12), SMALL, fold=False).shown.notes == ()


def test_what_follows_a_folded_run_is_joined_to_it():
    shown = draw(resnet(12), SMALL).shown
    (flat,) = (node for node in shown.nodes if node.primitive == "reshape")
    assert shown[flat.inputs[0]].module == "1"
    names = {node.name for node in shown.nodes}
    assert all(before in names for node in shown.nodes for before in node.inputs)


def test_repeats_without_modules():
    def f(x, w):
        for _ in range(12):
            x = tg.tanh(x @ w)
        return x

    folded = fold(snapshot(f, np.ones((2, 2)), np.ones((2, 2))))
    assert [node.name for node in folded.nodes] == ["x", "w", "matmul_1", "tanh_1", "output"]
    assert [m.repeat for m in folded.modules] == [12]


def test_repeats_inside_repeats():
    def f(x):
        for _ in range(10):
            for _ in range(10):
                x = tg.sin(x)
            x = tg.cos(x)
        return x

    folded = fold(snapshot(f, 1.0))
    assert sorted(m.repeat for m in folded.modules) == [10, 10]
    assert [node.name for node in folded.nodes] == ["x", "sin_1", "cos_1", "output"]


def test_layers_side_by_side_in_one_list():
    layers = [layer for _ in range(12) for layer in (tg.nn.Dense(4), tg.nn.LayerNorm())]
    folded = draw(tg.nn.Sequential(layers, seed=0), np.ones((1, 4), "float32")).shown
    assert max(m.repeat for m in folded.modules) == 12
    assert len(folded.nodes) <= 12


@pytest.mark.parametrize(
    "different",
    [
        lambda x, k: tg.sin(x) if k == 5 else tg.cos(x),
        lambda x, k: tg.sin(x) * float(k),
        lambda x, k: tg.sum(x, axis=0 if k == 5 else 1, keepdims=True),
    ],
)
def test_what_differs_is_not_folded_away(different):
    def f(x):
        for k in range(12):
            x = different(x, k)
        return x

    graph = snapshot(f, np.ones((1, 1)))
    folded = fold(graph)
    seen = [(node.label, node.params) for node in folded.nodes]
    assert {(node.label, node.params) for node in graph.nodes} == set(seen)


def test_dead_blocks_are_not_hidden_among_live_ones():
    def f(x):
        for k in range(12):
            x = tg.relu(x * (-1.0 if k == 6 else 1.0))
        return x.sum()

    drawing = draw(f, np.ones(2), color="gradients")
    assert "gradient is zero" in drawing.source

    def dies_on_the_way(x):
        for _ in range(12):
            x = tg.relu(x) - 1.0
        return x

    shown = draw(dies_on_the_way, 4.0, color="gradients").shown
    assert {node.gradients.state for node in shown.nodes if node.label == "relu"} == {"zero", "finite"}


def tangle(n):
    def f(x, w):
        choose = np.random.default_rng(1)
        made = [x]
        for _ in range(n):
            a, b = made[-1], made[max(0, len(made) - 1 - int(choose.integers(0, 6)))]
            how = int(choose.integers(0, 4))
            made.append((a + b, tg.tanh(a), a * w, tg.sin(b))[how])
        return made[-1].sum() + made[-2].sum()

    return f


def test_large_graphs_fold_to_200_nodes_and_say_so():
    start = time.thread_time()
    drawing = draw(tangle(14_000), np.ones(3), np.ones(3))
    svg = drawing.svg
    took = time.thread_time() - start
    assert drawing.graph.n_operations > 9_000
    assert len(drawing.shown.nodes) <= 200
    assert "nodes drawn as" in " ".join(drawing.shown.notes)
    assert drawing.shown.notes[-1] in " ".join(texts(svg))
    assert sum(node.count for node in drawing.shown.nodes if node.kind != "constant") >= drawing.graph.n_operations
    assert sum(node.flops or 0 for node in drawing.shown.nodes) == drawing.graph.flops
    order = {node.name: k for k, node in enumerate(drawing.shown.nodes)}
    assert all(order[before] < order[after] for before, after in drawing.shown.edges)
    assert took < 10  # 2 seconds on the machine that this was written on


def test_large_models_fold_by_modules_first():
    layers = [tg.nn.Dense(k % 5 + 1) for k in range(120)]
    drawing = draw(tg.nn.Sequential(layers, seed=0), np.ones((1, 3), "float32"))
    assert len(drawing.shown.nodes) <= 200
    assert drawing.shown.nodes[1].kind == "module" or any(m.repeat > 1 for m in drawing.shown.modules)


def test_a_chain_of_30_000():
    y = tg.Tensor(1.0, requires_grad=True)
    for _ in range(30_000):
        y = -y
    drawing = draw(y)
    assert [node.label for node in drawing.shown.nodes] == ["input", "neg", "output"]
    assert "x 30,000" in drawing.source
    assert "x 30,000" in str(drawing)


def test_leaves_that_all_use_are_named_instead_of_joined():
    source = draw(tangle(300), np.ones(3), np.ones(3), fold=False).source
    assert "with w" in attributes(source, "multiply_1")[1]
    assert "w -> " not in source
    assert re.search(r"used \d+ times", attributes(source, "w")[1])


# ------------------------------------------------------------------------------------------
# What is shown, and colours


@pytest.mark.parametrize("f", [draw, to_dot])
def test_what_can_be_shown_is_documented(f):
    assert not [name for name in SHOW if f'"{name}"' not in f.__doc__]


def test_show_everything():
    show = ("shape", "dtype", "values", "gradients", "flops", "bytes", "time", "source")
    drawing = draw(convnet(), IMAGE, show=show)
    label = attributes(drawing.source, "conv_1")[1]
    assert re.fullmatch(
        r"conv \(1, 24, 24, 16\) float32 461 kFLOPs 41.6 kB [\d.]+ (µ|m)s test_pictures.py:.* "
        r"-?[\d.]+ … [\d.]+ gradient norm [\d.]+", label,
    ), label  # fmt: skip
    assert drawing.graph.known == ("values", "gradients", "time")


def test_scalars_show_their_numbers():
    a = tg.Tensor(2.0, requires_grad=True, name="a")
    assert attributes(draw(a * 3.0, show=("values", "gradients")).source, "a")[1] == "a value 2 gradient 3"


def test_cost_fills_the_ramp():
    source = draw(lenet(), IMAGE, level="modules", color="cost").source
    assert f'fillcolor="{COSTS[-1]}"' in attributes(source, "conv2")[0]
    assert f'fillcolor="{COSTS[0]}"' in attributes(source, "logits")[0]
    assert 'fillcolor="#FFFFFF"' in attributes(source, "flatten")[0]
    assert "FLOPs from 1.69 k to 498 k" in source


@pytest.mark.parametrize("color", ["bytes", "time", "gradients"])
def test_other_colours(color):
    source = draw(convnet(), IMAGE, color=color).source
    assert any(f'fillcolor="{fill}"' in source for fill in COSTS)
    assert "unfilled: none" in source


class Dying(tg.nn.Module):
    def __init__(self):
        self.weight, self.bias = tg.nn.Parameter(np.ones((3, 2))), tg.nn.Parameter([-9.0, -9.0])
        self.forgotten = tg.nn.Parameter([1.0])

    def forward(self, x):
        return tg.relu(x @ self.weight + self.bias).sum() + (x * x).sum()


@pytest.mark.parametrize("options", [{"color": "gradients"}, {"show": ("gradients", "legend")}])
def test_dead_gradients_stand_out(options):
    source = draw(Dying(), np.ones((1, 3)), **options).source
    for name, words in (("weight", "gradient is zero"), ("bias", "gradient is zero"), ("forgotten", "not reached")):
        line, label = attributes(source, name)
        assert words in label
        assert "penwidth=3" in line
        assert "#F0E442" in line
    assert "penwidth" not in attributes(source, "x")[0]
    assert "gradient is zero" in source.split("</TABLE>>")[0]  # the legend
    assert "penwidth" not in draw(Dying(), np.ones((1, 3))).source


def test_nan_stands_out():
    with np.errstate(all="ignore"):
        drawing = draw(lambda x: tg.log(x).sum(), np.array([1.0, -1.0]), show=("values", "gradients"))
    assert "values are NaN: 1 of 2" in attributes(drawing.source, "log_1")[1]
    with np.errstate(all="ignore"):
        drawing = draw(lambda x: (tg.sqrt(x * 0.0) * 0.0).sum(), np.ones(2), color="gradients")
    assert "gradient has NaN" in drawing.source


def test_dark():
    drawing = draw(convnet(), IMAGE, theme="dark")
    light = draw(convnet(), IMAGE, theme="light")
    assert drawing.source == darkened(light.source)
    for colour in set(re.findall(r'"(#[0-9A-F]{6})"', light.source)):
        assert colour in TWINS, f"{colour} has no dark twin"
        assert f'"{colour}"' not in drawing.source
    assert "<style>" not in light.svg
    assert "<style>@media (prefers-color-scheme:dark)" in draw(convnet(), IMAGE).svg


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", DRAWINGS)
def test_text_is_legible_in_light_and_dark(name):
    """The contrast of text and ground is at least 4.5, as WCAG asks."""
    source = DRAWINGS[name]().source
    for text, themed in ((tint("ink"), source), (TWINS[tint("ink")], darkened(source))):
        for fill in set(re.findall(r'fillcolor="(#\w{6})"', themed)) - {"#000000"}:
            a, b = sorted((luminance(fill), luminance(text)))
            assert (b + 0.05) / (a + 0.05) >= 4.5, fill


# ------------------------------------------------------------------------------------------
# Backward


def test_backward_is_drawn_to_second_order():
    source = draw(lambda x: tg.exp(x * x), 1.5, backward=2).source
    assert '"cluster_∇"' in source
    assert '"cluster_∇∇"' in source
    assert "<B>gradient of x</B>" in source
    assert "<B>second gradient of x</B>" in source
    assert len(draw(tg.exp, 1.0, backward=True).shown.nodes) > len(draw(tg.exp, 1.0).shown.nodes)


def test_backward_by_modules():
    shown = draw(convnet(), IMAGE, level="modules", backward=True).shown
    assert {"∇.conv1", "conv1", "∇.logits"} <= {node.name for node in shown.nodes if node.kind == "module"}
    assert draw(convnet(), IMAGE, level="modules", backward=True).svg


@pytest.mark.parametrize("level", ["ops", "modules"])
@pytest.mark.parametrize(("blocks", "order"), [(1, 1), (1, 2), (3, 1), (6 if NIGHTLY else 3, 2)])
def test_gradients_of_residual_nets_can_be_laid_out(blocks, order, level):
    drawing = draw(resnet(blocks), SMALL, backward=order, level=level)
    assert len(texts(drawing.svg)) > len(drawing.shown.nodes)


def test_blocks_of_the_gradient_fold_with_what_they_give():
    shown = draw(resnet(12), SMALL, backward=True).shown
    assert {m.path: m.repeat for m in shown.modules if m.repeat > 1} == {"1": 12, "∇.12": 11}  # the last reads the stem
    given = {node.label for node in shown.nodes if node.kind == "output" and node.module.startswith("∇.12")}
    assert given == {"gradient of weight", "gradient of bias", "gradient of gamma", "gradient of beta"}
    assert not [node.name for node in shown.nodes if node.kind == "group"]


def test_the_gradient_flows_back():
    """So it is drawn beneath what it is the gradient of, which has no say in ranks."""
    source = draw(lambda x: tg.exp(tg.sin(x)), 1.0, backward=True).source
    assert re.search(r'"?gradient.x"? -> multiply_2 \[dir=back weight=8\]', source)
    assert "sin_1 -> exp_1 [weight=8]" in source
    assert "x -> cos_1 [constraint=false]" in source


def test_a_folded_gradient_that_reads_all_over_says_so():
    shown = draw(tangle(300), np.ones(3), np.ones(3), backward=True)
    (whole,) = (node for node in shown.shown.nodes if node.order == 1 and node.kind in ("module", "group"))
    assert len(whole.inputs) > 12
    assert f"reads {len(whole.inputs)} nodes" in attributes(shown.source, whole.name)[1]
    assert len(re.findall(rf"_\d+ -> {whole.name} ", shown.source)) == 1


def test_boxes_that_cannot_be_laid_out_are_left_out(monkeypatch):
    tried = []

    def engine(source, format):
        tried.append(source.count("subgraph cluster_") + source.count('subgraph "cluster_'))
        if tried[-1]:
            raise GraphError("trouble in init_rank")
        return b"<svg></svg>"

    monkeypatch.setattr("tinygrad_conv.graph.drawing.render._run_engine", engine)
    drawing = draw(resnet(2), SMALL)
    assert drawing.svg.startswith("<svg")
    assert tried[0] > tried[1] > tried[2] == 0


def test_what_knows_its_own_graph_is_drawn():
    class Plan:
        def __graph__(self, *args, **options):
            self.asked = args, options
            return snapshot(tg.exp, 1.0)

    plan = Plan()
    assert draw(plan, 5, show="time").graph == snapshot(tg.exp, 1.0)
    assert plan.asked == ((5,), {"values": False, "gradients": False, "time": True, "backward": 0})
    with pytest.raises(DTypeError, match="expected __graph__ to return a Graph, got int"):
        draw(type("Wrong", (), {"__graph__": lambda self, **options: 3})())


# ------------------------------------------------------------------------------------------
# Units


def test_units():
    source = draw(lecture(), IMAGE, level="units").source
    assert "(partial diagram)" in source
    assert "784 → 10 → 10 units · 7,960 params" in source
    assert len(re.findall(r"u0_\d+ -> u1_\d+ \[color", source)) == 8 * 10
    assert len(re.findall(r"u1_\d+ -> u2_\d+ \[color", source)) == 100
    assert "relu" in source
    small = tg.nn.Sequential([tg.nn.Dense(2)], seed=0)
    assert "partial" not in draw(small, np.ones((1, 3), "float32"), level="units").source


def test_weights_are_lines():
    def f(x):
        return x @ w

    w = tg.Tensor(np.array([[2.0, -1.0]]), requires_grad=True)
    source = draw(f, np.ones((1, 1)), level="units").source
    assert 'u0_0 -> u1_0 [color="#B2182B" penwidth=2.00]' in source
    assert 'u0_0 -> u1_1 [color="#2166AC" penwidth=1.10]' in source


def test_units_say_what_is_left_out():
    source = draw(convnet(), IMAGE, level="units").source
    assert "left out" in source
    for name in ("conv1 Conv2D", "pool1 MaxPool2D", "conv2 Conv2D", "pool2 MaxPool2D"):
        assert name in re.sub(r"</FONT><BR/><FONT[^>]*>", " ", source)
    assert "Flatten" not in source
    assert "left out" not in draw(lecture(), IMAGE, level="units").source
    many = tg.nn.Sequential([*(tg.nn.LayerNorm(name=f"norm{k}") for k in range(9)), tg.nn.Dense(2)], seed=0)
    source = draw(many, np.ones((1, 4), "float32"), level="units").source
    assert "and 3 more" in re.sub(r"</FONT><BR/><FONT[^>]*>", " ", source)


def test_one_unit():
    source = draw(lecture(), IMAGE, level="units", unit=3).source
    weights = lecture()
    weights(IMAGE)
    shown = re.findall(r"<B>x(\d+)</B><BR/><FONT COLOR=\"#\w+\">times (.*?)</FONT>", source)
    assert len(shown) == 8
    matrix = weights.state_dict()["hidden.weight"]
    assert all(f"{matrix[int(k), 3]:.3g}" == weight for k, weight in shown)
    assert "relu(sum of input times weight plus bias)" in source


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: draw(tg.exp, 1.0, level="units"), GraphError, "level='units' draws dense layers"),
        (lambda: draw(lecture(), IMAGE, level="units", unit=10), ArgumentError, "unit to be from 0 to 9, got 10"),
        (lambda: draw(tg.exp, 1.0, level="all"), ArgumentError, 'level to be "ops", "modules" or "units", got'),
        (lambda: draw(tg.exp, 1.0, theme="sepia"), ArgumentError, 'theme to be "auto", "light" or "dark", got'),
        (lambda: draw(tg.exp, 1.0, color="red"), ArgumentError, '"kind", "cost", "bytes", "time" or "gradients", got'),
        (lambda: draw(tg.exp, 1.0, show="valuse"), ArgumentError, "show to be names out of .*values, .*, got 'valuse'"),
    ],
)
def test_bad_calls(bad, error, message):
    with pytest.raises(error, match=message):
        bad()


# ------------------------------------------------------------------------------------------
# PDF


def pdf_page(file):
    """The page's size and what draws it; fails where the file is not what its table of objects says."""
    place = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", file)[1])
    head = rb"xref\n0 (\d+)\n0000000000 65535 f \n((?:\d{10} 00000 n \n)*)trailer"
    size, table = re.match(head, file[place:]).groups()
    starts = [int(entry[:10]) for entry in table.splitlines()]
    objects = [file[start:end] for start, end in zip(starts, [*starts[1:], place], strict=True)]
    assert len(starts) + 1 == int(size)
    assert all(re.fullmatch(rb"%d 0 obj\n.*\nendobj\n" % k, it, re.S) for k, it in enumerate(objects, 1))
    assert b"/Kids[3 0 R]/Count 1>>" in objects[1]
    fonts = {name: objects[int(k) - 1] for name, k in re.findall(rb"/(\w+) (\d+) 0 R", objects[2].split(b"/Font")[1])}
    for name, font in {b"Regular": b"Helvetica/", b"Bold": b"Helvetica-Bold/", b"Symbol": b"Symbol>"}.items():
        assert b"<</Type/Font/Subtype/Type1/BaseFont/" + font in fonts[name]
    width, height = re.search(rb"/MediaBox\[0 0 (\S+) (\S+)\]", objects[2]).groups()
    length, stream = re.search(rb"/Length (\d+)>>\nstream\n(.*)\nendstream", objects[3], re.S).groups()
    assert len(stream) == int(length)
    return (float(width), float(height)), zlib.decompress(stream).decode()


def pdf_texts(content):
    symbols = {code: character for character, code in _SYMBOLS.items()}
    lines = (re.findall(r"/(\w+) \S+ Tf \S+ Ts <(\w*)> Tj", line) for line in re.findall("BT.*ET", content))
    runs = ([(font, bytes.fromhex(codes)) for font, codes in line] for line in lines)
    return [
        "".join("".join(map(symbols.get, run)) if font == "Symbol" else run.decode("cp1252") for font, run in line)
        for line in runs
    ]


@pytest.mark.parametrize("name", DRAWINGS)
def test_pdf_shows_what_svg_shows(name):
    svg = DRAWINGS[name]().svg
    file = svg_to_pdf(svg)
    assert file == svg_to_pdf(svg)
    size, content = pdf_page(file)
    assert list(size) == [float(side) for side in re.search(r'viewBox="0.00 0.00 (\S+) (\S+)"', svg).groups()]
    assert [text.strip() for text in pdf_texts(content)] == texts(svg)
    visible = [{it.get("fill"), it.get("stroke")} - {"none", "transparent", None} for it in ET.fromstring(svg).iter()]
    assert len(re.findall(r" (?:f|S|B|ET)$", content, re.M)) == sum(map(bool, visible))


def drawn(inside):
    """The operators that draw what is inside of an SVG."""
    size, content = pdf_page(svg_to_pdf(f'<svg viewBox="0 0 10 20">{inside}</svg>'))
    first, start, *operators, end = content.splitlines()
    assert (size, first, start, end) == ((10, 20), "1 0 0 -1 0 20 cm 4 M", "q", "Q")
    return operators


@pytest.mark.parametrize(
    ("svg", "operators"),
    [
        ('<polygon points="1,2 -3,4.5 1,2"/>', ["0.000 0.000 0.000 rg", "1 2 m -3 4.5 l 1 2 l h f"]),
        (
            '<polyline fill="none" stroke="#ff0033" stroke-width="2" stroke-dasharray="5,2" points="1,2 3,4"/>',
            ["1.000 0.000 0.200 RG 2 w [5 2] 0 d", "1 2 m 3 4 l S"],
        ),
        (
            '<path fill="white" stroke="black" d="M1,2C3,4 5,6 7,8 9,10 11,-12 13,14L0,1"/>',
            ["1.000 1.000 1.000 rg", "0.000 0.000 0.000 RG 1 w [] 0 d"]
            + ["1 2 m 3 4 5 6 7 8 c 9 10 11 -12 13 14 c 0 1 l B"],
        ),
        ('<path fill="none" stroke="transparent" d="M1,2L3,4"/>', []),
        (
            '<ellipse cx="10" cy="20" rx="3" ry="1"/>',
            ["0.000 0.000 0.000 rg", "13.00 20.00 m 13.00 20.55 11.66 21.00 10.00 21.00 c 8.34 21.00 7.00 20.55 7.00 "
             "20.00 c 7.00 19.45 8.34 19.00 10.00 19.00 c 11.66 19.00 13.00 19.45 13.00 20.00 c h f"],
        ),
        ('<rect x="1" y="2" width="3" height="4" fill="#008000"/>', ["0.000 0.502 0.000 rg", "1 2 3 4 re f"]),
        (
            '<g transform="scale(2 3) rotate(0) translate(4 -5)" fill="#ffffff"><title>no</title><a><text x="1" y="2" '
            'font-size="10">é</text></a></g>',
            ["q", "2 0 0 3 0 0 cm", "1 0 0 1 4 -5 cm", "q"]
            + ["1.000 1.000 1.000 rg BT 1 0 0 -1 1.00 2 Tm /Regular 10 Tf 0 Ts <e9> Tj ET", "Q", "Q"],
        ),
        (
            '<text x="1" y="2" font-size="9" font-weight="bold" stroke="black">7</text>',
            ["0.000 0.000 0.000 RG 1 w [] 0 d 1 Tr BT 1 0 0 -1 1.00 2 Tm /Bold 9 Tf 0 Ts <37> Tj ET 0 Tr"]
            + ["0.000 0.000 0.000 rg BT 1 0 0 -1 1.00 2 Tm /Bold 9 Tf 0 Ts <37> Tj ET"],
        ),
    ],
)  # fmt: skip
def test_each_shape_of_a_pdf(svg, operators):
    assert drawn(svg) == operators


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("Wi…", "/Regular 10 Tf 0 Ts <576985> Tj"),
        ("∇Σ√→−", "/Symbol 10 Tf 0 Ts <d153d6ae2d> Tj"),
        ("∂x²", "/Symbol 10 Tf 0 Ts <b6> Tj /Regular 10 Tf 0 Ts <78b2> Tj"),
        ("Wᵀ", "/Regular 10 Tf 0 Ts <57> Tj /Regular 6 Tf 3.5 Ts <54> Tj"),
        ("x₀", "/Regular 10 Tf 0 Ts <78> Tj /Regular 6 Tf -1.5 Ts <30> Tj"),
        ("ex̂ěﬁ漢", "/Regular 10 Tf 0 Ts <65786566693f> Tj"),
    ],
)
def test_text_that_no_standard_font_has_is_drawn_as_what_comes_closest(text, runs):
    (line,) = drawn(f'<text x="0" y="0" font-size="10">{text}</text>')
    assert line == f"0.000 0.000 0.000 rg BT 1 0 0 -1 0.00 0 Tm {runs} ET"


@pytest.mark.parametrize(("anchor", "x"), [("start", "50.00"), ("middle", "37.57"), ("end", "25.14")])
def test_text_is_where_its_anchor_says(anchor, x):
    wide = "Wi→²"  # 9.44 + 2.22 + 9.87 + 3.33
    (line,) = drawn(f'<text x="50" y="0" font-size="10" text-anchor="{anchor}">{wide}</text>')
    assert f" -1 {x} 0 Tm" in line


def test_a_pdf_page_has_a_largest_size():
    file = svg_to_pdf('<svg viewBox="0 0 28800 2000"></svg>')
    assert pdf_page(file) == ((14400, 1000), "0.5 0 0 -0.5 0 1000 cm 4 M\nq\nQ")


def test_pdf_needs_no_program_but_that_of_the_wheel(monkeypatch, tmp_path):
    pure = shutil.which("graphviz-pure", path=_program_folders())
    monkeypatch.setattr("tinygrad_conv.graph.drawing.render.find_engine", lambda: pure)
    drawing = draw(expression())
    assert drawing.render(tmp_path / "x.pdf").read_bytes() == svg_to_pdf(drawing.svg)


def test_matrices_are_drawn_as_pdf_too(tmp_path):
    view = as_dense(np.ones((2, 2, 1, 1)), (3, 3, 1))
    size, content = pdf_page(view.render(tmp_path / "x.pdf").read_bytes())
    assert pdf_texts(content)[:2] == ["dense", "36 weights"]
    assert content.count(" re f") == 1 + 36 + 2 * 16
    assert f'width="{size[0]:g}" height="{size[1]:g}"' in view.svg


# ------------------------------------------------------------------------------------------
# Without a layout program


def test_text_and_dot_need_no_program(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    drawing = draw(resnet(), SMALL)
    assert "├─ 1 to 24/ Residual x 24" in str(drawing)
    assert drawing.render(tmp_path / "x.dot").read_text(encoding="utf-8") == drawing.source


def test_the_tree_names_every_node():
    drawing = draw(convnet(), IMAGE)
    tree = str(drawing).replace("pool_max", "max_pool")
    names = [node.name.replace("pool_max", "max_pool") for node in drawing.shown.nodes if node.kind != "constant"]
    assert all(f"{name}: " in tree for name in names)
    assert "conv_2: conv(3×3) (1, 10, 10, 32) <- max_pool_1, conv2.weight" in tree


# ------------------------------------------------------------------------------------------
# The command line


MODEL = """
import tinygrad_conv as tg

def make():
    return tg.nn.Sequential([tg.nn.Dense(4, activation="relu", name="hidden")], seed=0)

model = make()
other = tg.nn.Sequential([tg.nn.Dense(5, activation="tanh", name="hidden")], seed=0)
def function(x):
    return x * 2.0
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


@pytest.mark.parametrize("name", ["model", "make", "function"])
def test_draw_command(model, name, capsys):
    assert draw_command(f"{model}:{name}", ["2x3"]) == 0
    assert "├─ x: input (2, 3)" in capsys.readouterr().out


def test_draw_command_writes(model, tmp_path, capsys):
    assert draw_command(f"{model}:model", ["2,3"], out=str(tmp_path / "x.svg"), level="modules") == 0
    assert (tmp_path / "x.svg").read_text(encoding="utf-8").startswith("<svg")
    assert draw_command(f"{model}:model", ["2x3"], out=str(tmp_path / "x.json")) == 0
    assert draw_command(str(tmp_path / "x.json"), against=f"{model}:model", shapes=["2x3"]) == 0
    assert draw_command(f"{model}:other", ["2x3"], against=str(tmp_path / "x.json")) == 1
    assert "+ tanh_1: tanh (2, 5) <- add_1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "shape", "message"),
    [
        ("missing.py:model", "1", "cannot read 'missing.py'"),
        ("FILE:missing", "1", "has no 'missing'; it has tg, make, model, other, function"),
        ("FILE", "1", "expected FILE.py:name"),
        ("FILE:model", "2xa", "expected a shape such as 1x28x28x1, got '2xa'"),
        ("FILE:model", "1x" * 64 + "1", "expected --input to be a shape"),
        ("FILE:model", "99999999x99999999", "expected a result that fits into memory"),
        ("FILE:model", None, ":model takes (x), got 0 arguments: give the shape of each with --input"),
        ("FILE:make", None, ":make takes (x), got 0 arguments: give the shape of each with --input"),
        ("FILE:function", None, ":function takes (x), got 0 arguments: give the shape of each with --input"),
        ("FOLDER/damaged.json", None, "damaged.json: from_json: expected what to_json wrote"),
        ("FOLDER/latin.json", None, "latin.json: from_json: expected what to_json wrote"),
        ("FOLDER", None, "expected FILE.py:name"),
    ],
)
def test_draw_command_errors(model, target, shape, message):
    (model.parent / "damaged.json").write_text('{"format": 1, "nodes": [[[')
    (model.parent / "latin.json").write_bytes(b"\xe9")
    with pytest.raises((ArgumentError, SizeError), match=re.escape(message)):
        draw_command(target.replace("FILE", str(model)).replace("FOLDER", str(model.parent)), [shape] if shape else [])


def test_a_picture_with_no_numbers_kept_shows_none():
    drawing = draw(expression(), show=("values",))  # its leaves are gone
    assert "value" in drawing.source
    assert drawing.details.known == ("values", "gradients")


def test_pages_are_made_with_numbers_and_the_users_lines(tmp_path):
    drawing = draw(convnet(), IMAGE)
    assert drawing.graph.known == ()
    assert drawing.details["conv_1"].values is not None
    lines = {node.source.split(":")[0] for node in drawing.details.nodes if node.kind == "operation"}
    assert lines == {"test_pictures.py"}
    assert drawing.render(tmp_path / "x.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


# ------------------------------------------------------------------------------------------
# Numbers


@given(st.floats(-1e300, 1e300), st.integers(1, 6))
def test_numbers_are_short_and_never_minus_zero(value, digits):
    text = number(value, digits)
    assert float(text) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits), abs=0)
    assert not text.startswith("-0") or float(text) != 0
    assert len(re.sub(r"e.*|[-.]", "", text).strip("0")) <= digits
    assert short(f"a={text}, b") == f"a={text}, b" or digits > 4


@given(st.lists(st.floats(-1e6, 1e6).map(number), min_size=1))
def test_points_of_numbers_stand_under_each_other(texts):
    column = aligned(texts)
    assert [text.strip() for text in column] == texts
    assert len({len(text) for text in column}) == 1
    assert len({re.match(r" *-?\d*", text).end() for text in column}) == 1


def test_constants_and_options_have_four_digits_unless_all_are_asked_for():
    def f(x):
        return tg.leaky_relu(x * (0.02 - 0.3), 0.1 + 0.2)

    assert "-0.27999999999999997" not in draw(f, 1.0).source + str(draw(f, 1.0))
    assert "-0.28" in draw(f, 1.0).source
    exact = draw(f, 1.0, show=("options", "exact", "values"))
    assert "-0.27999999999999997" in exact.source
    assert "0.30000000000000004" in exact.source
    assert exact.graph == snapshot(f, 1.0, values=True)
