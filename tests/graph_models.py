"""What the tests of pictures draw; ``python tests/graph_models.py`` writes the golden files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.graph import draw
from tinygrad_conv.graph.page import html

GOLDEN = Path(__file__).parent / "golden"
IMAGE = np.random.default_rng(0).normal(size=(1, 28, 28, 1)).astype("float32")


def page_data(graph):
    """What a page holds, without its style, its script and the primitives' documentation."""
    text = html(graph).split('id="data">')[1].split("</script>")[0]
    return re.sub(r'"formulas":\{.*?\}', '"formulas":{}', text)


def leaf(value, name=None):
    return tg.Tensor(value, requires_grad=True, name=name)


def lecture():
    """The lecture's dense network: 784-10-10."""
    layers = [nn.Flatten(name="flatten"), nn.Dense(10, activation="relu", name="hidden"), nn.Dense(10, name="logits")]
    return nn.Sequential(layers, seed=0)


def convnet():
    layers = [
        nn.Conv2D(16, 5, activation="relu", name="conv1"), nn.MaxPool2D(name="pool1"),
        nn.Conv2D(32, 3, activation="relu", name="conv2"), nn.MaxPool2D(name="pool2"),
        nn.Flatten(name="flatten"), nn.Dense(10, name="logits"),
    ]  # fmt: skip
    return nn.Sequential(layers, seed=0)


def lenet():
    layers = [
        nn.Conv2D(6, 5, padding=2, activation="tanh", name="conv1"), nn.AvgPool2D(name="pool1"),
        nn.Conv2D(16, 5, activation="tanh", name="conv2"), nn.AvgPool2D(name="pool2"), nn.Flatten(name="flatten"),
        nn.Dense(120, activation="tanh", name="dense1"), nn.Dense(84, activation="tanh", name="dense2"),
        nn.Dense(10, name="logits"),
    ]  # fmt: skip
    return nn.Sequential(layers, seed=0)


class Residual(nn.Module):
    def __init__(self, channels):
        self.conv1, self.norm1 = nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm()
        self.conv2, self.norm2 = nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm()

    def forward(self, x):
        y = tg.relu(self.norm1(self.conv1(x)))
        return tg.relu(x + self.norm2(self.conv2(y)))


def resnet(blocks=24):
    """A residual network of 2 * blocks + 2 layers."""
    stem = nn.Conv2D(4, 3, padding="same", name="stem")
    return nn.Sequential([stem, *[Residual(4) for _ in range(blocks)], nn.Flatten(), nn.Dense(10, name="head")], seed=0)


class Recurrent(nn.Module):
    """A hand-written model with Python control flow."""

    def __init__(self):
        self.cell, self.head = nn.Dense(4, seed=0), nn.Dense(2, seed=1)

    def forward(self, x):
        h = x
        for step in range(3):
            h = tg.tanh(self.cell(h))
            if step == 1 and float(h.sum()) < 1e9:
                h = h * 2.0
        return self.head(h)


def hessian_times(x, v):
    return tg.hvp(lambda x: tg.tanh(x @ x).sum(), x, v)


def expression():
    """micrograd's first picture."""
    a, b, c = leaf(2.0, "a"), leaf(-3.0, "b"), leaf(10.0, "c")
    return tg.tanh((a * b + c) * 0.25)


SMALL = IMAGE[:, :8, :8]
DRAWINGS = {
    "expression": lambda: draw(expression(), show=("gradients", "legend")),
    "lecture": lambda: draw(lecture(), IMAGE),
    "lecture_units": lambda: draw(lecture(), IMAGE, level="units"),
    "lecture_unit": lambda: draw(lecture(), IMAGE, level="units", unit=3),
    "convnet": lambda: draw(convnet(), IMAGE),
    "lenet": lambda: draw(lenet(), IMAGE, direction="TB"),
    "lenet_cost": lambda: draw(lenet(), IMAGE, level="modules", color="cost"),
    "resnet": lambda: draw(resnet(), SMALL),
    "recurrent": lambda: draw(Recurrent(), np.ones((1, 4), "float32")),
    "hvp": lambda: draw(hessian_times, np.eye(2), np.ones((2, 2))),
    "lenet_gradient": lambda: draw(lenet(), IMAGE, level="modules", backward=True),
    "resnet_gradient": lambda: draw(resnet(), SMALL, level="modules", backward=True),
    "second_order": lambda: draw(lambda x: tg.exp(x * x), 1.5, backward=2),
}

WRITTEN = "lecture", "second_order"  # those whose JSON and page are kept too

if __name__ == "__main__":
    for name, make in DRAWINGS.items():
        make().render(GOLDEN / f"{name}.dot")
    for name in WRITTEN:
        (GOLDEN / f"{name}.json").write_text(DRAWINGS[name]().graph.to_json(), encoding="utf-8")
        (GOLDEN / f"{name}.page.json").write_text(page_data(DRAWINGS[name]().graph), encoding="utf-8")
