"""The page computes: the net in plain JavaScript, a digit that is drawn, and the microscope of a layer."""

from __future__ import annotations

import browser
import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.graph import draw, snapshot
from tinygrad_conv.graph.page import html
from tinygrad_conv.graph.page.numbers import numbers

pytestmark = browser.needed
IMAGE = np.random.default_rng(0).random((1, 14, 14, 1)).astype("float32")
NETS = {
    "lecture": lambda: [nn.Flatten(), nn.Dense(10, activation="relu"), nn.Dense(10)],
    "tanh": lambda: [
        nn.Conv2D(4, 5, padding=2, activation="tanh"), nn.AvgPool2D(), nn.Conv2D(6, 3, activation="sigmoid"),
        nn.Flatten(), nn.Dense(12, activation="tanh"), nn.Dense(10, activation="softmax"),
    ],
    "relu": lambda: [
        nn.Conv2D(4, 3, stride=2, padding="same", activation="relu"), nn.MaxPool2D(2), nn.Conv2D(8, 3, groups=2),
        nn.Flatten(), nn.Dense(10),
    ],
    "pools": lambda: [
        nn.MaxPool2D(3, stride=1, padding=1), nn.AvgPool2D(3, stride=2, padding=1), nn.Flatten(), nn.Dense(10)
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def tab():
    tab = browser.Browser(1280, 720)
    yield tab
    tab.close()


def net(name):
    return nn.Sequential(NETS[name](), seed=0)


@pytest.mark.parametrize("name", NETS)
def test_the_forward_pass_is_that_of_the_library(tab, tmp_path, name):
    model = net(name)
    tab.open(draw(model, IMAGE).render(tmp_path / "net.html"))
    image = np.random.default_rng(1).random(IMAGE.shape).astype("float32")
    made = tab.run(
        f"Array.from(forward(new Map([[canvas.k, Float32Array.from({image.ravel().tolist()})]])).get(answer.k))"
    )
    np.testing.assert_allclose(made, model(image).numpy().ravel(), rtol=1e-5, atol=1e-5)
    graph = snapshot(model, IMAGE, values=True)
    for node in graph.nodes:  # and so is all on the way
        if node.kind == "operation":
            held = tab.run(f"Array.from(forward().get(nodes.find((n) => n.name === {node.name!r}).k))")
            np.testing.assert_allclose(held, node.values.array.ravel(), rtol=1e-5, atol=1e-5, err_msg=node.name)


def test_a_digit_drawn_with_the_mouse_goes_through_the_net(tab, tmp_path):
    tab.open(draw(net("tanh"), IMAGE).render(tmp_path / "net.html"))
    tab.click("#digit")
    before = tab.run("[...document.querySelectorAll('.thumbs image')].map((i) => i.getAttribute('href'))")
    x, y, size = tab.run("(({x, y, width}) => [x, y, width])($('board').getBoundingClientRect())")
    tab.drag((x + 0.4 * size, y + 0.2 * size), (x + 0.5 * size, y + 0.8 * size))
    tab.run("new Promise((done) => setTimeout(done, 100))")
    after = tab.run("[...document.querySelectorAll('.thumbs image')].map((i) => i.getAttribute('href'))")
    assert sum(a != b for a, b in zip(before, after, strict=True)) > 6
    assert tab.run("document.querySelectorAll('#guess li').length") == 10
    shares = tab.run("[...document.querySelectorAll('#guess meter')].map((m) => m.value)")
    pixels = np.array(tab.run("Array.from(live.get(canvas.k))"), "float32").reshape(IMAGE.shape)
    assert pixels.max() > 0.9
    np.testing.assert_allclose(shares, net("tanh")(pixels).numpy().ravel(), atol=1e-5)
    assert (tab.complaints, len(tab.requests)) == ([], 1)


@pytest.mark.parametrize("op", ["conv", "pool_mean", "_matmul"])
def test_a_layer_opens_its_microscope(tab, tmp_path, op):
    model = net("tanh")
    tab.open(draw(model, IMAGE).render(tmp_path / "net.html"))
    tab.run(f"select(nodes.find((n) => n.op === {op!r}))")
    tab.click(".openings button")
    inner = "$('scope-frame').contentWindow"
    ready = f"{inner} && {inner}.document.documentElement?.dataset.ready === 'true'"
    tab.run(f"new Promise((done) => {{ const ask = () => {ready} ? done() : setTimeout(ask, 20); ask(); }})")
    held = float(tab.run(f"{inner}.document.getElementById('equation').dataset.held"))
    graph = snapshot(model, IMAGE, values=True)
    node = next(node for node in graph.nodes if node.primitive == op)
    after = next((user for user in graph.nodes if node.name in user.inputs and user.primitive == "add"), node)
    assert np.isclose(held, after.values.array.ravel()[0], atol=1e-5)
    assert "Play" in tab.run(f"{inner}.document.body.textContent")
    tab.click("#scope-close")
    assert not tab.run("$('scope').open")
    assert tab.complaints == []


def test_what_a_page_cannot_compute_it_does_not_offer(tab, tmp_path):
    tab.open(draw(lambda x: tg.cumsum(x * 2.0), np.ones(4)).render(tmp_path / "other.html"))
    assert tab.run("$('digit').hidden")
    assert tab.run("document.querySelectorAll('.openings button').length") == 0


@pytest.mark.parametrize(("n", "error"), [(100, 2**-22), (40_000, 2**-18)])
def test_numbers_are_near_enough_and_too_many_are_left_out(tab, tmp_path, n, error):
    w = np.random.default_rng(0).normal(size=(2, n // 2)).astype("float32")
    graph = snapshot(lambda x, w: x @ w, np.ones((1, 2), "float32"), w, values=True)
    page = tmp_path / "w.html"
    page.write_text(html(graph), encoding="utf-8")
    tab.open(page)
    got = np.array(tab.run("Array.from(unpacked().get(nodes.find((n) => n.name === 'w').k))"))
    assert np.abs(got - w.ravel()).max() <= error * np.abs(w).max()
    huge = snapshot(lambda x, w: x @ w, np.ones((1, 2), "float32"), np.ones((2, 50_000), "float32"), values=True)
    assert numbers(huge) == {}
