"""A picture shows what is there: an arrow is data, what is no default is written, each call of a module has a box."""

import html
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import graph, nn
from tinygrad_conv.engine.primitive import primitives
from tinygrad_conv.graph.describing import options
from tinygrad_conv.graph.drawing.groups import one_per_call

STEPS = 40
DOES = ("operation", "module", "group")
SEQUENCE = np.zeros((2, STEPS, 3), "float32")


class Recurrent(nn.Module):
    def __init__(self):
        self.wx, self.wh = nn.Dense(4, in_features=3, seed=0), nn.Dense(4, in_features=4, seed=1)

    def forward(self, xs):
        h = np.zeros((2, 4), "float32")
        for t in range(xs.shape[1]):
            h = tg.tanh(self.wx(xs[:, t]) + self.wh(h))
        return h


def lines(drawing):
    return {line.strip("├─└│ ").split(":")[0]: line for line in str(drawing).splitlines()}


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: nn.Conv2D(8, 3, padding=1), "3×3, padding 1"),
        (lambda: nn.Conv2D(8, 1), "1×1"),
        (lambda: nn.Conv2D(8, 3, padding="same", stride=2), "3×3, stride 2, padding 0+1"),
        (lambda: nn.Conv2D(8, (3, 1), stride=(2, 1), dilation=2), "3×1, stride 2×1, dilation 2"),
        (lambda: nn.Conv2D(8, 3, groups=2, activation="relu"), "3×3, groups 2, relu"),
        (lambda: nn.MaxPool2D(2), "2×2, stride 2"),
        (lambda: nn.AvgPool2D(3, stride=1, padding=1), "3×3, padding 1"),
    ],
)
def test_every_option_is_written_that_is_not_the_default(layer, said):
    net, x = nn.Sequential(layer(), seed=0), np.zeros((2, 8, 8, 4), "float32")
    assert f"({said})" in str(tg.draw(net, x, level="modules"))
    assert said in tg.draw(net, x, level="modules").source
    first = said.removesuffix(", relu")
    assert f"({first})" in str(tg.draw(net, x))


class Scaled(nn.Module):
    def __init__(self, by=3):
        self.by, self.drop = by, nn.Dropout(0.25, seed=0)

    def _brief(self):
        return f"Scaled(by {self.by})"

    def forward(self, x):
        return self.drop(x) * 1.0 if self.by == 3 else self.drop(x)


@pytest.mark.parametrize(
    ("layer", "said", "not_said"),
    [
        (lambda: nn.Dropout(0.3, seed=0), "rate=0.3", "seed"),
        (lambda: nn.BatchNorm(momentum=0.9, epsilon=1e-5), "momentum=0.9", "features"),
        (lambda: nn.LayerNorm(epsilon=0.5, scale=False), "scale=False", "center"),
        (lambda: nn.Dense(8, use_bias=False, weight_init="he_normal"), "use_bias=False", "he_normal"),
        (lambda: nn.Conv2D(8, 3, groups=2, data_format="channels_last"), "data_format='channels_last'", "kernel_size"),
        (lambda: nn.GroupNorm(4), "groups 4", "features"),
        (lambda: nn.UpSampling2D(2, method="bilinear"), "method='bilinear'", "size"),
        (lambda: Scaled(), "by 3", "Scaled()"),
    ],
)
def test_what_a_module_keeps_to_itself_is_written_at_every_level(layer, said, not_said, tmp_path):
    net, x = nn.Sequential(layer(), seed=0), np.ones((2, 8, 8, 8), "float32")
    for level in ("ops", "modules"):
        drawing = tg.draw(net, x, level=level)
        text = str(drawing)
        assert said in text
        assert not_said not in text
        assert said in html.unescape(drawing.source)
        drawing.render(tmp_path / "net.html")
        assert said in (tmp_path / "net.html").read_text()


def test_what_a_module_was_told_is_as_it_was_when_the_picture_was_taken():
    net, x = nn.Sequential(nn.Dropout(0.25, seed=0), nn.Dropout(0.75, seed=0)), np.ones((2, 3))
    taken = graph.snapshot(net, x)
    net.layers[0].rate = 0.5
    assert [module.options for module in taken.modules] == [(("rate", "0.25"),), (("rate", "0.75"),)]
    assert graph.Graph.from_json(taken.to_json()) == taken


def test_blocks_that_were_told_something_else_are_not_equal():
    def folded(*rates):
        layers = (layer for rate in rates for layer in (nn.Dropout(rate, seed=0), nn.Flatten(), nn.Dense(3)))
        return str(tg.draw(nn.Sequential(*layers, seed=0), np.ones((2, 3), "float32"), level="modules"))

    assert "block/ x 8" in folded(*[0.25] * 8)
    assert "block/ x 4" in folded(*[0.25, 0.75] * 4)  # two of them are a block
    assert "block/" not in folded(0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4)


def test_a_module_that_cannot_say_what_it_was_told_is_drawn():
    class Silent(nn.Module):
        def _brief(self):
            raise RuntimeError("no")

        def forward(self, x):
            return x * 2.0

    assert [module.options for module in graph.snapshot(nn.Sequential(Silent()), np.ones(3)).modules] == [()]


def test_a_module_says_which_function_it_ends_with():
    net = nn.Sequential(nn.Dense(3, activation="tanh"), nn.Dense(3), nn.Dense(2, activation="softplus"), seed=0)
    shown = lines(tg.draw(net, np.zeros((1, 4), "float32"), level="modules"))
    assert "Dense(tanh)" in shown["0"]
    assert "Dense (" in shown["1"]
    assert "Dense(softplus)" in shown["2"]


@pytest.mark.parametrize("level", ["ops", "modules"])
def test_a_loop_is_drawn_once_with_what_goes_round(level):
    drawing = tg.draw(Recurrent(), SEQUENCE, level=level)
    shown = drawing.shown
    assert len(shown.nodes) <= 25
    assert not [node.name for node in shown.nodes if node.kind == "group"]
    assert [(module.label, module.repeat) for module in shown.modules if module.repeat > 1] == [("block", STEPS - 1)]
    rounds = [(before, node.name) for node in shown.nodes for before in node.again]
    assert len(rounds) == 1
    (before, after) = rounds[0]
    assert shown[before].label == "tanh"
    assert f'{before} -> {after} [label="{before}, the next time"' in drawing.source
    assert "xs -> " in drawing.source
    assert "index=(:, 1 … 39)" in drawing.source


def test_an_arrow_between_calls_of_a_module_is_data_and_not_its_weights():
    class Twice(nn.Module):
        def __init__(self):
            self.shared = nn.Dense(3, in_features=3, seed=0)

        def forward(self, a, b):
            return self.shared(a) * self.shared(b)

    drawing = tg.draw(Twice(), np.ones((1, 3), "float32"), np.ones((1, 3), "float32"))
    modules = graph.as_modules(drawing.graph)
    calls = [node for node in modules.nodes if node.kind == "module"]
    assert [node.inputs for node in calls] == [("a",), ("b",)]
    assert [dict(node.params)["call"] for node in calls] == ["1 of 2", "2 of 2"]
    assert sum(node.n_params for node in calls) == 12


@settings(max_examples=30)
@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=12), st.booleans())
def test_there_is_a_box_for_each_call(order, chained):
    class Parts(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(2, in_features=2, seed=0), nn.Dense(2, in_features=2, seed=0)

        def forward(self, x):
            y = x
            for name in order:
                part = getattr(self, name)
                y = part(y) if chained else y + part(x)
            return y

    it = tg.graph.snapshot(Parts(), np.ones((1, 2), "float32"))
    assert graph.from_json(it.to_json()) == it
    boxes = [node for node in graph.as_modules(it).nodes if node.kind == "module"]
    assert len(boxes) == len(order)
    split = one_per_call(it)
    assert [(node.name, node.inputs) for node in split.nodes] == [(node.name, node.inputs) for node in it.nodes]
    assert split.n_params == it.n_params
    if chained:
        assert all(later.inputs == (before.name,) for before, later in pairwise(boxes))


def test_parallel_branches_are_drawn_once():
    def branches(a):
        return tg.concat([tg.reshape(tg.exp(a[k]), (1,)) for k in range(60)])

    drawing = tg.draw(branches, np.arange(60.0))
    assert len(drawing.shown.nodes) <= 25
    assert "reads reshape_1 ×60" in str(drawing)
    assert drawing.source.count("-> concat_1") == 1


def test_operands_are_numbered_where_it_matters_which_is_which():
    source = tg.draw(lambda a, b: (a - b) / (a + b), np.ones(3), np.ones(3)).source
    assert "a -> subtract_1 [headlabel=1 " in source
    assert "b -> subtract_1 [headlabel=2 " in source
    assert "subtract_1 -> divide_1 [headlabel=1 " in source
    assert "a -> add_1 [weight" in source


def test_operations_declare_whether_their_operands_are_alike():
    rng = np.random.default_rng(0)
    for primitive in primitives().values():
        if primitive.broadcasts and primitive.inputs == ("x1", "x2"):
            low, high = max(pair[0] for pair in primitive.domain), min(pair[1] for pair in primitive.domain)
            a, b = rng.uniform(low, high, (2, 3, 3))
            if primitive.name == "ldexp":
                b = b.astype(int)
            swapped = primitive.name != "ldexp" and np.array_equal(primitive.forward(a, b), primitive.forward(b, a))
            assert primitive.ordered != swapped, primitive.name


def test_constants_say_what_they_are():
    source = tg.draw(lambda a: a + np.zeros((2, 3)) + np.array([1.0, 2.5, 3.0]) + np.arange(6.0).reshape(2, 3), np.ones(
        (2, 3))).source  # fmt: skip
    assert all(f">{text}<" in source for text in ("0 (2, 3)", "[1, 2.5, 3] (3,)", "0 … 5 (2, 3)"))


def test_what_transforms_put_in_is_left_out_unless_asked_for():
    def product(x, v):
        return tg.hvp(lambda x: tg.tanh(x @ x).sum(), x, v)

    plain = tg.draw(product, np.eye(2), np.ones((2, 2)))
    asked = tg.draw(product, np.eye(2), np.ones((2, 2)), show=("shape", "plumbing"))
    assert "identity" not in plain.source
    assert "identity" in asked.source
    assert "left out" in str(plain)
    assert plain.graph == asked.graph


def test_a_picture_takes_the_direction_in_which_it_fits():
    def chain(x):
        for k in range(12):
            x = tg.sin(x) if k % 2 else tg.exp(x * (k + 2.0))
        return x

    def wide(*xs):
        return tg.concat([tg.reshape(tg.exp(x * (k + 2.0)), (-1,)) for k, x in enumerate(xs)])

    for f, args in ((chain, [np.ones(2)]), (wide, [np.ones(2)] * 6)):
        sides = [longer_side(tg.draw(f, *args, direction=direction)) for direction in ("LR", "TB", "auto")]
        assert sides[2] <= max(min(sides[:2]), 2)  # in rows, where neither fits


def longer_side(drawing):
    width, height = (float(side) for side in re.findall(r'(?:width|height)="([0-9.]+)pt"', drawing.svg)[:2])
    return max(width / height, height / width)


def test_a_picture_is_never_wider_than_its_page():
    assert tg.draw(tg.exp, np.ones(2)).svg.startswith('<svg style="max-width:100%;height:auto" ')


def test_a_drawing_is_written_as_json_and_shown_as_a_page_in_a_page(tmp_path):
    drawing = tg.draw(tg.exp, np.ones(2))
    path = drawing.render(tmp_path / "exp.json")
    assert graph.from_json(path.read_text(encoding="utf-8")) == drawing.graph
    shown = drawing.interactive(height=300)._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "height:300px" in shown
    assert "<script" not in shown  # it is escaped, inside the attribute


class Stages(nn.Module):
    """Stages of residual blocks, as many in each as is said."""

    class Stage(nn.Module):
        def __init__(self, n):
            self.blocks = [nn.Dense(4, in_features=4, seed=0) for _ in range(n)]

        def forward(self, x):
            for block in self.blocks:
                x = tg.relu(block(x)) + x
            return tg.tanh(x)

    def __init__(self, counts):
        self.stages = [self.Stage(n) for n in counts]

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


@settings(max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=5), st.sampled_from(["ops", "modules"]))
@example([3, 4, 5], "ops")
@example([2, 1, 1], "ops")
def test_a_folded_picture_stands_for_as_many_operations_as_there_are(counts, level):
    """Stages of three, four and five blocks are not three equal ones."""
    drawing = tg.draw(Stages(counts), np.zeros((1, 4), "float32"), level=level)
    repeats = {module.path: module.repeat for module in drawing.shown.modules}

    def times(path):
        parts = path.split(".")
        return math.prod(repeats.get(".".join(parts[: k + 1]), 1) for k in range(len(parts)))

    stands = sum(node.count * times(node.module) for node in drawing.shown.nodes if node.kind in DOES)
    assert stands == drawing.graph.n_operations
    assert str(drawing).count("\n") >= len(drawing.shown.nodes)
    assert drawing.source


@pytest.mark.parametrize(
    ("activation", "said"),
    [("softmax", "softmax"), ("log_softmax", "log_softmax"), ("relu6", "clip(min=0, max=6)"), ("gelu", "gelu")],
)
def test_a_module_says_what_it_ends_with(activation, said):
    drawing = tg.draw(tg.nn.Sequential([tg.nn.Dense(3, activation=activation)]), np.ones((1, 4)), level="modules")
    assert options(drawing.shown["0"]) == said


def test_no_text_of_a_picture_needs_a_sign_that_fonts_lack():
    """Liberation Sans has no nabla: the paths of gradients are words."""
    drawing = tg.draw(Recurrent(), SEQUENCE, level="modules", backward=2)
    texts = re.findall(r">([^<>]+)</text>", drawing.svg)
    assert any("gradient" in text for text in texts)
    assert not [text for text in texts if "∇" in text]
    assert drawing.source.count(" -> ") < 40  # one iteration for all: 369 arrows between 152 boxes are no picture


def test_a_constant_of_numpy_is_its_number():
    (constant,) = (node for node in graph.snapshot(lambda x: x * np.float64(0.1), 1.0).nodes if node.kind == "constant")
    assert constant.label == "0.1"


class Tied(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(5, 4, seed=0)

    def forward(self, x):
        return self.embedding(np.array([0, 1, 2])) @ self.embedding.weight.T + x.sum()


def test_an_arrow_from_a_module_is_what_it_gives_and_not_its_weights():
    shown = lines(tg.draw(Tied(), np.ones(2), level="modules"))
    assert shown["embedding"].endswith("<- embedding.weight")
    assert shown["permute_dims_1"].endswith("<- embedding.weight")
    drawing = tg.draw(Tied(), np.ones(2), level="modules")
    assert "<B>embedding.weight</B>" in drawing.source


@pytest.mark.parametrize("options", [{}, {"backward": True}, {"show": ("values",)}])
def test_an_output_that_is_no_operation_s_has_its_numbers(options):
    def f(x):
        return x * 2.0, tg.Tensor([3.0, 4.0]), x.detach()

    shown = lines(tg.draw(f, np.float64(7.0), **options))
    assert "<- [3, 4]" in shown["output.1"]
    assert "<- 7" in shown["output.2"]
