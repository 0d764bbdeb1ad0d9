"""What notebooks show: tensors, modules, summaries, plans, histories, profiles; pages inline; the bar."""

from __future__ import annotations

import re
import sys
import types
from html.parser import HTMLParser

import browser
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.displays import curve
from tinygrad_conv.keras.progress import Bar


class Balance(HTMLParser):
    """Are all tags closed, and in order?"""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 7), max_size=5),
    st.sampled_from(["float32", "int64", "bool", "complex64"]),
)
def test_every_tensor_has_a_display(seed, shape, dtype):
    rng = np.random.default_rng(seed)
    array = (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)).astype(dtype)
    if dtype == "float32" and array.size and rng.random() < 0.3:
        array.reshape(-1)[0] = rng.choice([np.nan, np.inf])
    html = tg.Tensor(array, name="<b>")._repr_html_()
    Balance(html)
    assert str(tuple(shape)) in html
    assert "<b>&lt;b&gt;" not in html.replace("Tensor &lt;b&gt;", "")
    assert "http" not in html


def test_words_have_the_colour_of_the_page():
    """So that they can be read on dark pages, too; a plot is not laid on white by a site that knows class tgc."""
    x = tg.Tensor(np.eye(8).reshape(1, 8, 8, 1), requires_grad=True)
    plot = curve("loss", [0, 1], {"loss": [2.0, 1.0]})
    for html in (x._repr_html_(), nn.Dense(2, in_features=3)._repr_html_(), plot):
        assert not re.search(r"[^-]color:", html)
    assert 'class="tgc"' in plot


def test_an_image_its_statistics_and_its_gradient():
    x = tg.Tensor(np.linspace(-1, 1, 64).reshape(1, 8, 8, 1), requires_grad=True)
    assert "no gradient yet" in x._repr_html_()
    (x * x).sum().backward()
    html = x._repr_html_()
    assert html.count("data:image/png;base64,") == 2
    assert "from -1, to 1, mean" in html
    assert "from -2, to 2, mean" in html
    few = tg.Tensor([1.5, np.nan])._repr_html_()
    assert "<img" not in few
    assert "1 not finite" in few


def test_a_tensor_that_a_transform_follows_is_not_shown():
    step = tg.compile(lambda x: tg.Tensor._repr_html_(x * 2.0) and x)
    with pytest.warns(tg.errors.CompileWarning):
        step(tg.Tensor([1.0]))


def small():
    return nn.Sequential([nn.Conv2D(4, 3, activation="relu", name="first"), nn.Flatten(), nn.Dense(2)], seed=0)


def test_modules_summaries_plans_and_profiles():
    net, x = small(), tg.Tensor(np.ones((1, 6, 6, 1), "float32"))
    net(x)
    html = net._repr_html_()
    Balance(html)
    assert "first" in html
    assert f"{net.count_parameters():,} parameters" in html
    summary = nn.summary(net, (None, 6, 6, 1))
    assert isinstance(summary, str)
    assert repr(summary) == str(summary)
    Balance(summary._repr_html_())
    assert f"{net.count_parameters():,}" in summary._repr_html_()
    step = tg.compile(lambda x: net(x).sum().detach())
    for _ in range(3):
        step(x)
    (plan,) = step.plans
    Balance(plan._repr_html_())
    assert plan.calls[0].primitive is None or "<details>" in plan._repr_html_()
    with tg.profile() as profile:
        net(x)
    Balance(profile._repr_html_())


@pytest.mark.parametrize("epochs", [1, 4])
def test_histories_have_curves(epochs):
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    history = model.fit(rng.random((20, 4)), rng.random((20, 3)), epochs=epochs, validation_split=0.2, verbose=0)
    html = history._repr_html_()
    Balance(html)
    assert html.count("<svg") == 2  # the loss and the metric, each in training and on validation data
    assert ("the only one" in html) == (epochs == 1)
    assert html.count("<circle") == (4 if epochs == 1 else 0)
    assert "best val_loss in epoch" in html


@pytest.mark.parametrize("ends", [(0.002, 0.00128), (-1234567.0, 1e-300), (1.0, 2.0)])
def test_the_numbers_beside_a_curve_are_inside_of_it(ends):
    texts = re.findall(
        r'x="([\d.]+)" y="\d+" text-anchor="end" font-size="13"[^>]*>([^<]+)', curve("a", [0, 1], {"a": ends})
    )
    assert len(texts) == 2
    assert all(float(x) >= 13 * 0.636 * len(text) for x, text in texts)  # as wide as digits of DejaVu Sans


def test_a_curve_of_nothing_finite():
    Balance(curve("loss", [0, 1], {"loss": [float("nan"), float("inf")]}))


# ------------------------------------------------------------------------------------------
# Inline, and the bar


@browser.needed
def test_pages_are_shown_inline_and_offline(tmp_path):
    net, x = small(), np.ones((1, 6, 6, 1), "float32")
    shown = [
        tg.draw(net, x).interactive()._repr_html_(), tg.microscope(net[0], x).interactive()._repr_html_(),
        net._repr_html_(), tg.Tensor(np.random.default_rng(0).normal(size=(1, 28, 28, 4)))._repr_html_(),
        nn.summary(net, (None, 6, 6, 1))._repr_html_(),
    ]  # fmt: skip
    cells = "".join(f'<div class="cell">{html}</div>' for html in shown)
    page = f'<!doctype html><html lang="en" data-ready="true"><meta charset="utf-8"><body style="margin:0">{cells}'
    (tmp_path / "notebook.html").write_text(page, encoding="utf-8")
    tab = browser.Browser(1000, 900)
    try:
        tab.open(tmp_path / "notebook.html")
        frames = "[...document.querySelectorAll('iframe')]"
        ready = f"{frames}.every((f) => f.contentDocument.documentElement?.dataset.ready === 'true')"
        tab.run(f"new Promise((done) => {{ const ask = () => {ready} ? done() : setTimeout(ask, 20); ask(); }})")
        assert tab.run(f"{frames}.length") == 2
        assert tab.run("document.documentElement.scrollWidth") <= 1000
        assert (
            tab.run(f"{frames}.map((f) => f.contentDocument.documentElement.scrollWidth <= f.clientWidth)")
            == [True] * 2
        )
        assert tab.complaints == []
        assert [url for url in tab.requests if not url.startswith(("file:", "about:"))] == []
    finally:
        tab.close()


def test_the_bar_is_that_of_notebooks_there(monkeypatch):
    assert Bar("fit", "auto", 3).verbose == 0
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert Bar("fit", "auto", 3).verbose == 1
    monkeypatch.undo()
    bar = Bar("fit", 1, 3)
    with bar:
        assert re.match(r"tqdm\.(auto|asyncio|notebook)", type(bar._bar).__module__)
        bar.tick()


NOTEBOOK = """
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import nn
x = np.random.default_rng(0).random((1, 28, 28, 1)).astype("float32")
net = nn.Sequential([nn.Conv2D(8, 3, activation="relu"), nn.MaxPool2D(), nn.Flatten(), nn.Dense(10)], seed=0)
tg.Tensor(x)
---
net
---
nn.summary(net, x.shape)
---
tg.draw(net, x)
---
tg.draw(net, x, style="volumes")
---
tg.draw(net, x).interactive()
---
tg.microscope(net[0](x))
---
net[0].as_dense((6, 6, 1))
---
with tg.profile() as profile:
    net(x)
profile
"""
# What of a notebook's outputs reaches beyond the window, and neither it nor what it is in can be scrolled.
CUT = """
[...document.querySelectorAll(".jp-OutputArea-output :is(img, svg, table, iframe, pre)")].filter((e) => {
  const ends = (it) => it.getBoundingClientRect().right <= innerWidth + 1, image = e.tagName === "IMG";
  const scrolls = (it) => ["auto", "scroll"].includes(getComputedStyle(it).overflowX) && ends(it);
  let up = image ? null : e.parentElement;
  while (up && !scrolls(up)) up = up.parentElement;
  return !ends(e) && !up;
}).map((e) => e.outerHTML.slice(0, 80))
"""
# What text of a picture is under 9 pixels.
SMALL = """
[...document.querySelectorAll(".jp-OutputArea-output text")].filter((e) => e.getBoundingClientRect().height)
  .map((e) => [e.textContent, parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a])
  .filter(([, size]) => size < 8.9)
"""


@browser.needed
def test_nothing_of_a_notebook_is_cut(tmp_path):
    """Run by nbconvert, at a laptop's width and at a telephone's."""
    exporters = pytest.importorskip("nbconvert.exporters")
    pytest.importorskip("ipykernel")
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in NOTEBOOK.split("---\n")])
    ExecutePreprocessor(timeout=300, kernel_name="python3").preprocess(book, {})
    page, _ = exporters.HTMLExporter().from_notebook_node(book)
    (tmp_path / "book.html").write_text(
        f"{page}<script>document.documentElement.dataset.ready = true</script>", "utf-8"
    )
    tab = browser.Browser(1000, 900)
    for width in (1000, 390):
        tab.size(width, 900).open(tmp_path / "book.html")
        assert tab.run("document.querySelectorAll('.jp-OutputArea-output').length") == 9
        assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run(CUT) == []
        assert tab.run(SMALL) == []
    tab.close()
