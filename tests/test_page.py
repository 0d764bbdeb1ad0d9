"""The page of a graph, in a real browser."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import browser
import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.graph import Graph, draw, snapshot
from tinygrad_conv.graph.page import html, render_html
from tinygrad_conv.graph.page.page import derivative
from tinygrad_conv.graph.page.picture import mosaic, picture

ROOT = Path(__file__).parents[1]
IMAGE = np.random.default_rng(0).random((1, 28, 28, 1)).astype("float32")


def lenet():
    layers = [
        tg.nn.Conv2D(6, 5, padding=2, activation="tanh", name="conv1"), tg.nn.AvgPool2D(name="pool1"),
        tg.nn.Conv2D(16, 5, activation="tanh", name="conv2"), tg.nn.AvgPool2D(name="pool2"), tg.nn.Flatten(),
        tg.nn.Dense(120, activation="tanh", name="dense1"), tg.nn.Dense(84, activation="tanh", name="dense2"),
        tg.nn.Dense(10, name="logits"),
    ]  # fmt: skip
    return tg.nn.Sequential(layers, seed=0)


def loss_graph():
    net = lenet()

    def loss(x):
        return tg.softmax_cross_entropy(net(x), np.array([3]))

    return snapshot(loss, IMAGE, values=True, gradients=True)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


# ------------------------------------------------------------------------------------------
# What is on the page


def test_lenet_on_one_image_is_small():
    page = html(loss_graph())
    assert len(page.encode()) <= 360_000  # of 400 kB, the most that is allowed
    data = data_of(page)
    assert data["has_values"]
    assert data["has_gradients"]
    assert len(data["steps"]) == 20
    assert all("value" in node for node in data["nodes"] if node["kind"] in ("operation", "parameter", "input"))


def test_nothing_is_loaded_and_no_path_of_the_machine_is_in_it():
    page = html(loss_graph())
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert str(ROOT) not in page
    assert "test_page.py:" in page  # the line, with the file's name alone


def test_steps_are_the_operations_backwards():
    data = data_of(html(loss_graph()))
    done = set(data["seeds"])
    for k in data["steps"]:
        assert k in done or any(data["nodes"][i]["kind"] == "output" and k in data["nodes"][i]["inputs"] for i in done)
        done.update(data["nodes"][k]["inputs"])


def several_users():
    x = tg.Tensor(np.arange(3.0), requires_grad=True, name="x")
    y = x * 2.0
    return (y + tg.sin(x) * tg.exp(x) + x).sum()


def test_steps_are_those_of_backward_steps_and_gradients_arrive_in_parts():
    """`multiply_2` is written first, so the engine comes to it last; by structure it is not."""
    graph = snapshot(several_users(), values=True, gradients=True)
    data = data_of(html(graph))
    names, sums, parts = [], {}, {}
    for node, _, outgoing in several_users().backward_steps():
        names.append(node.name)
        for name, g in zip(node.inputs, outgoing, strict=True):
            if g is not None:
                sums[name] = g.numpy() + sums.get(name, 0)
                parts.setdefault(name, []).append((node.name, sums[name]))
    assert [data["nodes"][k]["name"] for k in data["steps"]] == names
    assert names[-1] == "multiply_2"
    assert [node.name for node in graph.nodes if node.arrivals] == ["x"]
    assert [name for name, _ in graph["x"].arrivals] == [name for name, _ in parts["x"][:-1]]
    for (_, so_far), (_, expected) in zip(graph["x"].arrivals, parts["x"], strict=False):
        assert so_far.array.tobytes() == expected.tobytes()
    assert graph["x"].gradients.array.tobytes() == parts["x"][-1][1].tobytes()
    assert type(graph).from_json(graph.to_json())["x"].arrivals == graph["x"].arrivals


def test_hostile_names_end_no_script():
    x = tg.Tensor(1.0, requires_grad=True, name="</script><b>&")
    page = html(snapshot(x * 2.0, values=True))
    assert page.count("</script>") == 2
    assert data_of(page)["nodes"][0]["label"] == "</script><b>&"


def test_formulas_come_from_the_declarations():
    data = data_of(html(loss_graph()))
    assert data["formulas"]["tanh"].startswith("Derivative")
    assert "conv_transpose" in data["formulas"]["conv"]
    assert derivative("Nothing is said.") == ""


def test_bad_path():
    with pytest.raises(ArgumentError, match=r"cannot write.*existing folder"):
        render_html(snapshot(tg.exp, 1.0), "/no/such/folder/graph.html")


def test_pictures_of_all_shapes():
    rng = np.random.default_rng(0)
    for shape in [(0,), (1,), (7,), (100,), (3, 1), (4, 5), (300, 200), (2, 9, 3), (1, 28, 28, 6), (1, 200, 300, 3),
                  (1, 4, 4, 4, 2), (0, 3, 3, 1)]:  # fmt: skip
        for kernel in (False, True):
            p = picture(rng.normal(size=shape), kernel=kernel and len(shape) > 2)
            assert "text" in p or 0 < p["w"] * p["h"] <= 3 * 8192
    assert mosaic(np.zeros((3, 3, 2, 4)), kernel=True)[0].shape == (8, 3, 3)
    bad = picture(np.array([1.0, np.nan, np.inf, -np.inf]))
    assert bad["bad"] == "1 NaN and 2 infinite of 4 values"
    assert picture(np.zeros(9))["bad"] == "all zero"
    huge = picture(np.array([-1e308, 1e308, 1.0]))
    assert huge["low"] == "-1e+308"
    assert picture(np.array([True, False]))["grid"] == [["1", "0"]]


# ------------------------------------------------------------------------------------------
# In the browser


@pytest.fixture(scope="module")
def tab():
    tab = browser.Browser()
    yield tab
    tab.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return render_html(loss_graph(), tmp_path_factory.mktemp("page") / "lenet.html")


def text(tab, selector):
    return tab.run(f"document.querySelector({selector!r}).textContent")


@browser.needed
def test_it_opens_without_a_network_and_without_a_complaint(tab, page):
    tab.open(page)
    assert len(tab.requests) == 1
    assert tab.complaints == []
    assert tab.run("byId.size") > 30


@browser.needed
def test_a_screenshot_has_the_colours_of_all_kinds(tab, page):
    image = pytest.importorskip("PIL.Image")

    def pixels():
        return np.asarray(image.open(io.BytesIO(tab.shot())).convert("RGB"))

    tab.open(page)
    seen = set(map(tuple, pixels()[::2, ::2].reshape(-1, 3).tolist()))
    assert {(0xD5, 0xEC, 0xFA), (0xFB, 0xE6, 0xBF), (0xFF, 0xFF, 0xFF), (0xB3, 0x47, 0x00)} <= seen
    tab.open(page, dark=True)
    assert pixels().mean() < 90


@browser.needed
def test_a_click_shows_value_gradient_formula_and_line(tab, page):
    tab.open(page)
    tab.run("reveal(nodes.find((n) => n.name === 'tanh_1'))")
    tab.click('[data-node="tanh_1"]')
    shown = text(tab, "#details")
    for word in ("tanh_1", "(1, 28, 28, 6)", "Derivative: 1 - tanh", "test_page.py:", "Value", "Gradient", "histogram"):
        assert word in shown
    images = "[...document.querySelectorAll('#details figure > img')]"
    sizes = tab.run(f"Promise.all({images}.map((i) => i.decode().then(() => [i.naturalWidth, i.naturalHeight])))")
    assert sizes == [[3 * 28 + 2, 2 * 28 + 1]] * 2  # six maps of 28 by 28, a pixel apart
    assert tab.run("document.querySelectorAll('#details .hist rect').length") == 48
    tab.click("#details .links button")
    assert "add_1" in text(tab, "#details h2")


@browser.needed
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tanh", ["tanh_1", "tanh_2", "tanh_3", "tanh_4"]),
        ("conv2.w", ["conv2.weight"]),
        ("(1, 10, 10, 16)", ["conv_2", "add_2", "tanh_2"]),
        ("softmax_cross_entropy sum", ["sum_1"]),
        ("pool1", ["pool_mean_1"]),
        ("nothing of the kind", []),
    ],
)
def test_search_by_name_operation_shape_and_line(tab, page, query, names):
    tab.open(page)
    tab.key("/")
    tab.type(query)
    found = tab.run("matches.map((n) => n.name)")
    assert found == names
    assert text(tab, "#found") == f"{len(names)} found"
    if names:
        tab.key("Enter")
        assert text(tab, "#details h2") == names[0]
        assert tab.run(f"byId.get(nodes.find((n) => n.name === {names[0]!r}).id).classList.contains('selected')")
        tab.key("Enter")
        assert text(tab, "#details h2") == names[1 % len(names)]


@browser.needed
def test_stepping_backward_lets_gradients_appear(tab, page):
    tab.open(page)
    steps = tab.run("data.steps.map((k) => nodes[k].name)")
    arrived = "[...document.querySelectorAll('.late')].filter((g) => g.style.display !== 'none').length"
    whole = tab.run(arrived)
    counts = []
    for k, name in enumerate(steps):
        tab.click("#step") if k % 2 else tab.key("s")
        assert text(tab, "#details h2") == f"Step {k + 1}: {name}"
        assert tab.run("document.querySelector('.current').dataset.node") == name
        assert "Incoming gradient" in text(tab, "#details")
        assert "Not reached" not in text(tab, "#details section")
        counts.append(tab.run(arrived))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == whole
    assert text(tab, "#progress") == f"{len(steps)} of {len(steps)}"
    assert tab.run("document.getElementById('step').disabled")
    tab.key("b")
    assert text(tab, "#progress") == f"{len(steps) - 1} of {len(steps)}"
    tab.click("#reset")
    assert text(tab, "#progress") == ""
    tab.run("document.activeElement.blur()")
    tab.key(" ")
    assert tab.run("document.getElementById('play').getAttribute('aria-pressed')") == "true"
    assert tab.complaints == []


@browser.needed
def test_a_gradient_of_several_parts_says_how_many_have_arrived(tab, tmp_path):
    x = tg.Tensor(np.arange(3.0), requires_grad=True, name="x")
    graph = snapshot((tg.exp(x) * x + x).sum(), values=True, gradients=True)
    tab.open(render_html(graph, tmp_path / "fan.html"))
    for _ in range(2):
        tab.click("#step")
    assert "1 of 3 contributions have arrived; their sum so far:" in text(tab, "#details")
    assert tab.run("[...document.querySelectorAll('#details .numbers')].pop().textContent") == "111"  # of x, from "+ x"
    tab.click("#step")
    assert "2 of 3" in text(tab, "#details")
    tab.click("#step")
    assert "(3 of 3)" in text(tab, "#details")


@browser.needed
def test_modules_open_and_close(tab, page):
    tab.open(page)
    tab.click("#close-all")
    shown = tab.run("[...byId.keys()].map((id) => id)")
    assert "m:conv1" in shown
    assert not any(tab.run(f"nodes.find((n) => n.name === {n!r}).id") in shown for n in ("conv_1", "matmul_1"))
    tab.run("fit()")
    tab.click('[data-node="conv1"]', count=2)
    assert tab.run("byId.has(nodes.find((n) => n.name === 'conv_1').id)")
    assert tab.run("document.querySelector('[data-node=\"conv1\"]').getAttribute('aria-expanded')") == "true"
    tab.click('[data-node="conv1"] .toggle')
    assert not tab.run("byId.has(nodes.find((n) => n.name === 'conv_1').id)")
    tab.key("/")
    tab.type("conv_2")
    tab.key("Enter")  # what is found inside a closed module opens it
    assert tab.run("byId.has(nodes.find((n) => n.name === 'conv_2').id)")


@browser.needed
def test_pan_and_zoom(tab, page):
    tab.open(page)
    before = tab.run("({...view})")
    tab.drag((60, 300), (160, 260))
    after = tab.run("({...view})")
    assert (after["x"] - before["x"], after["y"] - before["y"]) == (100, -40)
    tab("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=400, deltaX=0, deltaY=-200)
    assert tab.run("view.scale") > before["scale"]
    tab.key("-")
    tab.key("0")
    fitted = tab.run("[root.w * view.scale, svg.clientWidth, root.h * view.scale, svg.clientHeight]")
    assert fitted[0] <= fitted[1]
    assert fitted[2] <= fitted[3]


@browser.needed
def test_keys_walk_along_the_graph(tab, page):
    tab.open(page)
    tab.run("select(nodes[0])")
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowRight"):
        tab.key(key)
        seen.append(tab.run("selected.name"))
    assert seen == ["conv_1", "add_1", "tanh_1", "add_1", "conv1.bias"]
    assert tab.run("document.activeElement.dataset.node") == "conv1.bias"
    tab.key("Enter")
    assert tab.run("document.activeElement.id") == "panel"
    tab.key("?")
    assert tab.run("!document.getElementById('help-text').hidden")
    tab.key("Escape")
    assert tab.run("document.getElementById('help-text').hidden")


CHECKS = (ROOT / "tests" / "page_checks.js").read_text(encoding="utf-8")


@browser.needed
@pytest.mark.parametrize("dark", [False, True])
def test_it_is_accessible(tab, page, dark):
    tab.open(page, dark=dark)
    tab.run(CHECKS)
    assert tab.run("accessible()") == []
    for _ in range(4):
        tab.key("s")
    tab.key("?")
    assert tab.run("accessible()") == []
    tab.key("/")
    tab.type("tanh")
    tab.key("Enter")
    assert tab.run("accessible()") == []


@browser.needed
def test_cards_do_not_overlap_and_text_fits(tab, page):
    tab.open(page)
    tab.run(CHECKS)
    for action in ("1", "everything(true)", "everything(false)"):
        tab.run(action)
        assert tab.run("overlapping()") == []
        assert tab.run("cut()") == []


@browser.needed
def test_what_is_not_a_number_catches_the_eye(tab, tmp_path):
    x = tg.Tensor(np.array([-1.0, 4.0]), requires_grad=True, name="x")
    with np.errstate(invalid="ignore"):
        graph = snapshot(tg.sqrt(x).sum(), values=True, gradients=True)
    tab.open(render_html(graph, tmp_path / "nan.html"))
    tab.click('[data-node="sqrt_1"]')
    assert "1 NaN of 2 values" in text(tab, ".bad")


@browser.needed
def test_a_graph_of_nothing_and_one_of_complex_numbers(tab, tmp_path):
    for name, graph in {
        "nothing": Graph("nothing", ()),
        "complex": snapshot(lambda z: tg.abs(z * z).sum(), np.array([3 + 4j, 1j]), values=True, gradients=True),
        "one": snapshot(lambda z: tg.abs(z), 3 + 4j, values=True, gradients=True),
    }.items():
        tab.open(render_html(graph, tmp_path / f"{name}.html"))
        for key in ("s", "ArrowDown", "0", "b", "Home", "Escape"):
            tab.key(key)
        tab.click("#fit")
        assert tab.complaints == []
    assert "data 3+4j" in tab.run("document.getElementById('graph').textContent")


@browser.needed
def test_ten_thousand_operations(tab, tmp_path):
    def chain(x):
        for _ in range(10_000):
            x = -x
        return x

    path = draw(chain, 1.0).render(tmp_path / "chain.html")
    tab.open(path)
    assert tab.run("byId.size") <= 200
    assert tab.run("nodes.length") > 10_000
    tab.key("/")
    tab.type("negative_5000")
    tab.key("Enter")
    assert text(tab, "#details h2") == "negative_5000"
    assert tab.complaints == []


@browser.needed
def test_a_drawing_renders_the_page(tab, tmp_path):
    net = lenet()
    tab.open(draw(net, IMAGE).render(tmp_path / "graph.html"))
    tab.click("#step")
    assert text(tab, "#details h2").startswith("Step 1")
    assert tab.complaints == []


def test_triangles_are_those_that_all_fonts_have():
    """Of these shapes Liberation, Arial and others have the four of Microsoft's old list: the rest were empty boxes."""
    package = ROOT / "tinygrad_conv" / "graph"
    for file in (*package.rglob("*.html"), *package.rglob("*.css"), *package.rglob("*.js")):
        shapes = set(re.findall(r"[\u25a0-\u27bf]", file.read_text(encoding="utf-8")))
        assert shapes <= set("▲►▼◄"), file.name
