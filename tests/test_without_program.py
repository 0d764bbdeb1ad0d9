"""Pictures that are made without a layout program: nothing overlaps, lines end at boxes, text is in boxes."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from graph_models import DRAWINGS, IMAGE, SMALL, convnet, resnet
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import MissingExtraError
from tinygrad_conv.graph import draw
from tinygrad_conv.graph.drawing.fonts import width
from tinygrad_conv.graph.drawing.without_program import dot_to_svg

SVG = "{http://www.w3.org/2000/svg}"


def numbers(text):
    return [float(number) for number in re.findall(r"-?[\d.]+", text)]


def around(shape):
    """Left, top, right, bottom of a shape."""
    if shape.tag == f"{SVG}ellipse":
        x, y, a, b = (float(shape.get(name)) for name in ("cx", "cy", "rx", "ry"))
        return x - a, y - b, x + a, y + b
    found = numbers(shape.get("points") or shape.get("d"))
    return min(found[::2]), min(found[1::2]), max(found[::2]), max(found[1::2])


def box_of(group):
    shapes = [shape for tag in ("ellipse", "polygon", "path") for shape in group.iter(SVG + tag)]
    return around(shapes[0]) if shapes else None


def groups(root, kind):
    return [group for group in root.iter(f"{SVG}g") if group.get("class") == kind]


def title(group):
    return group.find(f"{SVG}title").text


def inside(inner, outer, by=0.05):
    return all(a >= b - by for a, b in zip(inner[:2], outer[:2], strict=True)) and all(
        a <= b + by for a, b in zip(inner[2:], outer[2:], strict=True)
    )


def apart(one, other):
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def check(source):
    """What must be true of any picture; returns its boxes by name."""
    root = ET.fromstring(dot_to_svg(source))
    whole = numbers(root.get("viewBox"))
    whole = 0, 0, *whole[2:]
    boxes = {title(group): box_of(group) for group in groups(root, "node")}
    boxes = {name: box for name, box in boxes.items() if box is not None}
    frames = {title(group): box_of(group) for group in groups(root, "cluster")}
    names = list(boxes)
    for k, name in enumerate(names):
        for other in names[:k]:
            assert apart(boxes[name], boxes[other]), (name, other)
    for name, frame in frames.items():
        for other, box in {**boxes, **frames}.items():
            assert other == name or inside(box, frame) or inside(frame, box) or apart(box, frame), (name, other)
    for group in groups(root, "edge"):
        tail, _, head = title(group).partition("->")
        path = numbers(group.find(f"{SVG}path").get("d"))
        tips = [numbers(tip.get("points"))[:2] for tip in group.findall(f"{SVG}polygon")]
        ends = [path[:2], tips[0] if tips else path[-2:]]
        for end in (tail, head):
            if end in boxes:
                assert any(touches(point, boxes[end]) for point in ends), (tail, head, end, ends, boxes[end])
        assert inside((min(path[::2]), min(path[1::2]), max(path[::2]), max(path[1::2])), whole), (tail, head)
    for box in (*boxes.values(), *frames.values()):
        assert inside(box, whole)
    for group in (*groups(root, "node"), *groups(root, "cluster"), root):
        own = whole if group is root else box_of(group)
        for text in group.iter(f"{SVG}text"):
            size, x, y = (float(text.get(name)) for name in ("font-size", "x", "y"))
            wide = width(text.text, size, text.get("font-weight") == "bold")
            if own is not None:
                assert inside((x, y - 0.7 * size, x + wide, y + 0.2 * size), own, 0.5), text.text
    return boxes


def touches(point, box, by=0.1):
    """Is a point on a box's outline?"""
    (x, y), (left, top, right, bottom) = point, box
    on = min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) < by
    return on and left - by <= x <= right + by and top - by <= y <= bottom + by


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_of_the_tests(name):
    source = DRAWINGS[name]().source
    assert check(source)
    assert dot_to_svg(source) == dot_to_svg(source)


class Net(tg.nn.Module):
    """A drawn net: modules in modules, skips, modules that are called again."""

    def __init__(self, rng, depth):
        self.own = [tg.nn.Dense(3, seed=0, name=f"d{k}") for k in range(rng.integers(1, 3))]
        self.inner = [Net(rng, depth - 1) for _ in range(rng.integers(0, 3))] if depth else []
        self.order = rng.integers(0, len(self.own) + len(self.inner), rng.integers(1, 4)).tolist()
        self.skip = bool(rng.integers(0, 2))

    def forward(self, x):
        y = x
        for k in self.order:
            y = tg.tanh([*self.own, *self.inner][k](y))
        return y * x + 2.0 if self.skip else y


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(0, 2), st.sampled_from(["LR", "TB"]), st.sampled_from(["ops", "modules"]),
    st.booleans(), st.booleans(), st.integers(0, 4),
)  # fmt: skip
def test_pictures_of_any_net(seed, depth, direction, level, backward, fold, rows):
    net = Net(np.random.default_rng(seed), depth)
    drawing = draw(net, np.ones((2, 3)), direction=direction, level=level, backward=backward, fold=fold)
    check(drawing._written(direction, rows))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from(["LR", "TB"]), st.booleans())
def test_pictures_of_any_graph(seed, n, direction, fold):
    """Operations of one and of two inputs, among them the same one twice, constants, several results."""
    rng = np.random.default_rng(seed)

    def f(x, y):
        known = [x, y]
        for _ in range(n):
            one, other = (known[k] for k in rng.integers(0, len(known), 2))
            operation = (lambda a, b: tg.sin(a), lambda a, b: a * b, lambda a, b: a - 0.5, lambda a, b: a @ b)
            known.append(operation[rng.integers(4)](one, other))
        return known[2:][-3:]

    check(draw(f, np.ones((2, 2)), np.ones((2, 2)), direction=direction, fold=fold).source)


def test_no_line_and_no_word_of_one_is_in_a_box():
    """But for a gradient's reading of the forward pass, which has no say in where things stand."""
    for name in ("convnet", "resnet", "recurrent", "hvp", "lenet", "expression"):
        source = DRAWINGS[name]().source
        boxes = check(source)
        for group in groups(ET.fromstring(dot_to_svg(source)), "edge"):
            ends = title(group).split("->")
            path = numbers(group.find(f"{SVG}path").get("d"))
            points = np.array(path).reshape(-1, 2)
            for k in range(0, len(points) - 3, 3):
                a, b, c, d = points[k : k + 4]
                for t in np.linspace(0, 1, 9):
                    x, y = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t * t * (1 - t) * c + t**3 * d
                    for other, box in boxes.items():
                        assert not (box[0] + 1 < x < box[2] - 1 and box[1] + 1 < y < box[3] - 1), (name, ends, other)
            for text in group.iter(f"{SVG}text"):
                x, y = float(text.get("x")), float(text.get("y"))
                place = x, y - 6, x + width(text.text, float(text.get("font-size"))), y
                assert all(apart(place, box) for box in boxes.values()), (name, ends, text.text)
                if "next time" in text.text:  # a loop is beneath what it goes around
                    assert all(box[3] < y for box in boxes.values() if box[0] < x < box[2]), ends


def test_rows_are_from_top_to_bottom_as_graphviz_has_them():
    source = draw(convnet(), IMAGE)._written("LR", 3)
    boxes = check(source)
    assert boxes["x"][3] < boxes["conv_2"][1] < boxes["output"][1]
    assert "Sequential" in dot_to_svg(source)
    assert 'class="cluster"><title>cluster_0<' not in dot_to_svg(source)  # they have no frames


@pytest.fixture
def no_program(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)


def test_everything_but_png_is_written(no_program, tmp_path):
    for drawing in (
        draw(convnet(), IMAGE),
        draw(resnet(), SMALL, direction="auto"),
        draw(convnet(), IMAGE, theme="dark"),
    ):
        for suffix in ("svg", "pdf", "tikz", "html", "dot", "json"):
            path = drawing.render(tmp_path / f"it.{suffix}")
            assert path.stat().st_size > 1000
        assert "laid out without Graphviz" in drawing.svg
        assert drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg
        with pytest.raises(MissingExtraError, match=r"pip install graphviz-pure; or write \.svg or \.pdf"):
            drawing.render(tmp_path / "it.png")
