"""Pictures fit: text in its boxes with any fonts, in a real browser; nothing longer than twice its width."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import browser
import numpy as np
import pytest
from graph_models import DRAWINGS, IMAGE, SMALL, convnet, lenet, resnet
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.graph import draw, snapshot
from tinygrad_conv.graph.drawing.fonts import fitted, width
from tinygrad_conv.graph.drawing.render import _run_engine
from tinygrad_conv.graph.drawing.rows import in_rows
from tinygrad_conv.graph.microscope.dense import as_dense
from tinygrad_conv.palette import tint

# Each text, and the shapes of its node or box: where does it stick out, by more than what a browser rounds?
STICKING_OUT = """
(() => {
  const found = [], rect = (e) => e.getBoundingClientRect();
  for (const svg of document.querySelectorAll("svg")) {
    let before = null;
    for (const text of svg.querySelectorAll("text")) {
      const home = text.closest("g.node, g.cluster"), it = rect(text);
      const shapes = home ? [...home.querySelectorAll("polygon, ellipse, path")] : [];
      const around = (shapes.length ? shapes : [svg]).map(rect);
      const side = (name, far) => far(...around.map((r) => r[name]));
      const out = Math.max(side("left", Math.min) - it.left, side("top", Math.min) - it.top,
        it.right - side("right", Math.max), it.bottom - side("bottom", Math.max));
      if (out > 1.5) found.push([text.textContent, out]);
      const line = (e) => e.getAttribute("y");
      const beside = before && before.parentNode === text.parentNode && line(before) === line(text);
      if (beside && text.textContent.trim() && rect(before).left < it.left && rect(before).right > it.left + 1.5)
        found.push([before.textContent, text.textContent, rect(before).right - it.left]);
      before = text;
    }
  }
  return found;
})()
"""


def fonts(family):
    """A folder with this family alone in it, or None: matplotlib brings DejaVu along, Liberation is the system's."""
    if family == "DejaVu":
        matplotlib = pytest.importorskip("matplotlib")
        return Path(matplotlib.get_data_path(), "fonts", "ttf")
    places = ["/usr/share/fonts", Path.home() / ".local/share/fonts", Path.home() / ".fonts"]
    found = (font for place in places for font in sorted(Path(place).rglob("LiberationSans-Regular.ttf")))
    return next((font.parent for font in found), None)


def page_of(folder, pictures):
    page = folder / "page.html"
    ready = "<script>document.documentElement.dataset.ready = true</script>"
    page.write_text(f"<!doctype html><html><meta charset=utf-8>{'<hr>'.join(pictures)}{ready}</html>", "utf-8")
    return page


@pytest.fixture(scope="module", params=["DejaVu", "Liberation"])
def tab(request):
    if browser.find() is None:
        pytest.skip("no Chromium on this machine")
    folder = fonts(request.param)
    if folder is None:
        pytest.skip(f"no {request.param} on this machine")
    tab = browser.Browser(fonts=folder)
    yield tab
    tab.close()


def test_text_stays_in_its_box(tab, tmp_path):
    pictures = [make().svg for make in DRAWINGS.values()]
    pictures.append(draw(lambda 日本語の名前のとても長い変数: tg.exp(日本語の名前のとても長い変数), 1.0).svg)
    pictures += [draw(net, x, style="volumes").svg for net, x in ((convnet(), IMAGE), (resnet(), SMALL))]
    pictures += [as_dense(np.ones((3, 3, 2, 2)), (26, 28, 2)).svg, as_dense(tg.nn.Conv2D(1, 2), (3, 3, 1)).svg]
    tab.open(page_of(tmp_path, pictures))
    assert tab.run("document.querySelectorAll('text').length") > 400
    assert tab.run(STICKING_OUT) == []
    tab.run("document.querySelectorAll('text').forEach((t) => t.removeAttribute('textLength'))")
    assert "DejaVu" not in str(tab.fonts) or tab.run(STICKING_OUT)  # the check finds it without


def test_no_picture_is_wider_than_its_page(tab, tmp_path):
    tab.open(page_of(tmp_path, [DRAWINGS["lenet_gradient"]().svg]))
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("bold", [False, True])
def test_widths_are_those_that_boxes_are_laid_out_for(bold):
    texts = ["Conv2D", "3×3, stride 2", "W (5, 4) @ x", "naïve∇ 日本語", "'quoted' | {~} ^_`", 'a"b&c<d>']
    labels = [f"<B>{html.escape(text)}</B>" if bold else html.escape(text) for text in texts]
    nodes = "".join(f"n{k}[label=<{label}>];" for k, label in enumerate(labels))
    look = 'fontname="Helvetica" fontsize=20 shape=box margin=0 width=0'
    svg = _run_engine(f"digraph{{node[{look}];{nodes}}}", "svg").decode()
    for text, points in zip(texts, re.findall(r'<polygon fill="none"[^>]*points="([^"]*)"', svg), strict=True):
        xs = [float(point.split(",")[0]) for point in points.split()]
        assert width(text, 20, bold) == pytest.approx(max(xs) - min(xs), abs=0.1), text


def test_what_is_no_text_keeps_its_width():
    assert fitted("<text x='1'>a</text>") == "<text x='1'>a</text>"
    assert 'textLength="8.34"' in fitted('<text font-size="15.00" x="1">&lt;</text>').replace("8.76", "8.34")


# ------------------------------------------------------------------------------------------
# Shape

FUNCTIONS = tg.sin, tg.cos, tg.tanh, tg.sigmoid, tg.relu


def tangle(seed, n, reach):
    """A chain of operations that read back, no part of which is like another."""
    choose = np.random.default_rng(seed)

    def f(x):
        made = [x]
        for _ in range(n):
            back = made[-1 - choose.integers(min(reach, len(made)))]
            made.append(FUNCTIONS[choose.integers(5)](made[-1]) if choose.integers(3) else made[-1] * back)
        return made[-1]

    return f


def size(drawing):
    width, height = (float(side) for side in re.findall(r'(?:width|height)="([0-9.]+)pt"', drawing.svg)[:2])
    return width, height


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 12), st.integers(1, 9), st.booleans())
def test_rows_hold_all_nodes_and_say_at_both_ends_what_goes_on(seed, n, reach, rows, gradient):
    graph = snapshot(tangle(seed, n, reach), np.ones(2), backward=gradient)
    parts = in_rows(graph, rows)
    assert 1 <= len(parts) <= rows
    row_of = {node.name: k for k, part in enumerate(parts) for node in part.nodes}
    assert sorted(row_of.keys() & {node.name for node in graph.nodes}) == sorted(node.name for node in graph.nodes)
    orders = {node.name: node.order for node in graph.nodes}
    for before, after in graph.edges:
        read = [name.partition(".row_")[0] for name in parts[row_of[after]][after].inputs]
        assert before in read
        if row_of[before] != row_of[after] and orders[before] == orders[after]:
            assert parts[row_of[before]][f"{before}.goes_on"].inputs == (before,)
            assert parts[row_of[after]][f"{before}.row_{row_of[after] + 1}"].label == f"… {before}"


@pytest.mark.parametrize("n", [25, 40, 70])
def test_a_long_picture_is_wrapped_until_it_fits_a_page(n):
    drawing = draw(tangle(n, n, 2), np.ones(2), direction="auto")
    width, height = size(drawing)
    assert 0.5 <= width / height <= 2
    assert drawing.source.count("…") >= 2


def test_a_picture_that_is_not_long_is_in_one_row():
    for drawing in (draw(tangle(0, 8, 2), np.ones(2)), draw(tangle(0, 8, 2), np.ones(2), direction="TB")):
        assert "goes on in another row" not in drawing.source


def test_thousands_of_irregular_operations_are_a_picture_that_can_be_looked_at(tmp_path):
    drawing = draw(tangle(3, 7716, 6), np.array(0.5))
    assert drawing.graph.n_operations == 7716
    drawing.render(tmp_path / "it.png")
    header = (tmp_path / "it.png").read_bytes()[16:24]
    assert max(int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")) <= 6000
    width, height = size(drawing)
    assert 0.4 <= width / height <= 2.5


def test_many_branches_and_a_long_loop_are_small():
    cell, other = tg.nn.Dense(4, seed=0), tg.nn.Dense(4, seed=1)

    def loop(xs):
        h = tg.zeros((2, 4))
        for t in range(40):
            h = tg.tanh(cell(xs[:, t]) + other(h))
        return h

    def branches(a):
        return tg.concat([tg.exp(part) for part in a])

    for f, x in ((loop, np.ones((2, 40, 3))), (branches, [np.ones((2, 3))] * 60), (tg.concat, [np.ones(3)] * 60)):
        for direction in ("LR", "TB", "auto"):
            drawing = draw(f, x, direction=direction)
            assert len(drawing.shown.nodes) <= 25
            assert size(drawing)[0] <= 1600
            assert size(drawing)[1] <= 1200
    assert "a.0 … 59" in draw(branches, [np.ones((2, 3))] * 60).source


# ------------------------------------------------------------------------------------------
# Papers


def test_volumes_are_as_large_as_what_flows_and_skips_are_arcs(tmp_path):
    drawing = draw(resnet(2), SMALL, style="volumes", fold=False)
    root = ET.fromstring(drawing.svg)
    boxes = [box for box in root.iter("{http://www.w3.org/2000/svg}g") if box.get("class") == "volume"]
    assert len(boxes) == len([n for n in drawing.shown.nodes if n.kind not in ("parameter", "constant")])
    curves = [path for path in root.iter("{http://www.w3.org/2000/svg}path") if "C" in path.get("d")]
    assert len(curves) == 2  # one skip for each block
    sides = {}
    for box in ET.fromstring(draw(lenet(), IMAGE, style="volumes").svg).iter("{http://www.w3.org/2000/svg}g"):
        if box.get("class") == "volume":
            front = [tuple(map(float, at.split(","))) for at in box[1].get("points").split()]
            sides[box[0].text] = front[2][1] - front[1][1], front[1][0] - front[0][0]
    assert sides["x"][0] == pytest.approx(sides["conv1"][0], abs=0.15)
    assert sides["conv1"][0] > sides["pool1"][0] > sides["conv2"][0] > sides["pool2"][0]
    assert sides["conv1"][1] == pytest.approx(sides["pool1"][1], abs=0.15)  # one decimal each
    assert sides["x"][1] < sides["conv1"][1] < sides["conv2"][1]
    assert sides["dense1"][0] > sides["dense2"][0] > sides["logits"][0]
    for suffix in ("svg", "pdf", "tikz"):
        drawing.render(tmp_path / f"it.{suffix}")
        assert (tmp_path / f"it.{suffix}").stat().st_size > 1000
    for suffix in ("png", "dot"):
        with pytest.raises(ArgumentError, match=r"\.svg, \.pdf or \.tikz"):
            drawing.render(tmp_path / f"it.{suffix}")
    loop = draw(resnet(), SMALL, style="volumes")
    assert "the next time" in loop.svg
    assert "folded: 24 equal blocks" in loop.svg
    assert tint("paper") not in draw(lenet(), IMAGE, style="volumes", theme="dark").svg


def test_what_has_no_effect_on_volumes_is_refused_and_what_is_shown_can_be_chosen():
    for how in ({"level": "units"}, {"color": "cost"}, {"direction": "TB"}, {"direction": "auto"}, {"show": "flops"}):
        with pytest.raises(ArgumentError, match="style='volumes' has no place for it"):
            draw(lenet(), IMAGE, style="volumes", **how)
    plain = draw(lenet(), IMAGE, style="volumes").svg
    for name, text in (("shape", "28×28×6"), ("params", "156 params"), ("options", "padding 2"), ("legend", "17 oper")):
        assert text in plain
        others = tuple({"shape", "params", "options", "legend"} - {name})
        assert text not in draw(lenet(), IMAGE, style="volumes", show=others).svg


ACTIVATIONS = (tg.relu, tg.tanh, tg.sin, tg.exp, lambda y: y * y, lambda y: tg.sqrt(tg.abs(y) + 1.0))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 80), st.sampled_from(["ops", "modules"]))
def test_many_different_branches_fit(seed, n, level):
    """Whatever each of them does, with whatever options: in 25 boxes, and none of them is lost."""
    rng = np.random.default_rng(seed)
    layers = [tg.nn.Dense(int(rng.integers(1, 9)), seed=0) for _ in range(n)]
    chosen = [[ACTIVATIONS[k] for k in rng.integers(0, 6, rng.integers(0, 4))] for _ in layers]

    class Wide(tg.nn.Module):
        def __init__(self):
            self.branches = layers

        def forward(self, x):
            ends = []
            for layer, functions in zip(self.branches, chosen, strict=True):
                y = layer(x)
                for function in functions:
                    y = function(y)
                ends.append(y)
            return tg.concat(ends, axis=-1)

    drawing = draw(Wide(), np.ones((2, 3), "float32"), level=level, direction="auto")
    whole, shown = drawing.graph, drawing.shown
    assert len(shown.nodes) <= 25
    if any(module.repeat > 1 for module in shown.modules):
        return
    for total in ("n_params", "flops", "bytes"):
        assert getattr(shown, total) == getattr(whole, total)
    assert (
        sum(node.count for node in shown.nodes if node.kind in ("operation", "module", "group")) == whole.n_operations
    )
    width, height = (float(side) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', drawing.svg)[:2])
    assert width <= 1200
    assert height <= 1200
