"""The microscope: every number of one element; and the matrix that a convolution is."""

from __future__ import annotations

import math
import pathlib
import re
import xml.etree.ElementTree as ET

import browser
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, GraphError, IndexingError, ShapeError
from tinygrad_conv.graph import snapshot
from tinygrad_conv.graph.microscope import slides
from tinygrad_conv.graph.microscope.dense import DenseView, as_dense

ROOT = pathlib.Path(__file__).parents[1]
KINDS = ("conv", "conv_transpose", "max_pool", "avg_pool", "dense")
CONV = {1: tg.conv1d, 2: tg.conv2d, 3: tg.conv3d}
CONV_TRANSPOSE = {1: tg.conv1d_transpose, 2: tg.conv2d_transpose, 3: tg.conv3d_transpose}


def leaf(array, name=None):
    return tg.Tensor(array, requires_grad=True, name=name)


@st.composite
def operations(draw, kinds=KINDS):
    """One operation on drawn sizes: (kind, x, w or None, b or None, y)."""
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(("float32", "float64")))

    def array(*shape):
        return leaf((rng.normal(size=shape) * 10.0 ** rng.integers(-2, 3)).astype(dtype))

    n = draw(st.integers(1, 2))
    if kind == "dense":
        x, w, b = array(n, draw(st.integers(1, 6))), None, None
        units = draw(st.integers(1, 4))
        w, b = array(x.shape[1], units), array(units)
        return kind, x, w, b, x @ w + b
    rank = draw(st.sampled_from((1, 2, 2, 2, 3)))
    few = st.integers(1, 3 if rank < 3 else 2)
    kernel, stride, dilation = (tuple(draw(few) for _ in range(rank)) for _ in range(3))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = draw(st.sampled_from(("valid", "same", "some")))
    sizes = [r + draw(st.integers(0, 3 if rank < 3 else 1)) for r in reach]
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    if kind.endswith("pool"):
        if padding == "some":
            options["padding"] = tuple((draw(st.integers(0, k // 2)), draw(st.integers(0, k // 2))) for k in kernel)
        x = array(n, *sizes, draw(st.integers(1, 3)))
        if kind == "avg_pool":
            options["count_include_pad"] = draw(st.booleans())
        try:
            y = getattr(tg, kind)(x, kernel, **options)
        except ShapeError:  # a window that lies in padding as a whole
            assume(False)
        return kind, x, None, None, y
    groups, c_in, c_out = draw(st.sampled_from(((1, 1, 1), (1, 3, 2), (2, 1, 2), (2, 2, 1), (3, 1, 1))))
    if padding == "some":
        options["padding"] = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in kernel)
    options["groups"] = groups
    b = array(groups * c_out) if draw(st.booleans()) else None
    if kind == "conv":
        x, w = array(n, *sizes, groups * c_in), array(*kernel, c_in, groups * c_out)
        return kind, x, w, b, CONV[rank](x, w, b, **options)
    x, w = array(n, *(draw(st.integers(1, 3)) for _ in kernel), groups * c_in), array(*kernel, c_out, groups * c_in)
    try:
        return kind, x, w, b, CONV_TRANSPOSE[rank](x, w, b, **options)
    except ShapeError:  # nothing is left after cropping
        assume(False)


def ulps(a, b, dtype):
    return abs(a - b) / float(np.spacing(np.abs(np.asarray(b, dtype)))) if a != b else 0.0


@given(operations())
def test_terms_sum_to_the_element_of_every_cell(operation):
    kind, _, _, b, y = operation
    scope = tg.microscope(y)
    assert scope.kind == kind
    assert scope.shape == y.shape
    rank = y.ndim - 2
    for at in np.ndindex(y.shape):
        where = dict(zip(("n", *("z", "y", "x")[3 - rank :], "channel"), at, strict=True))
        e = scope.explain(**where)
        held = y.numpy()[at]
        assert e.held == held
        displayed = [t.product for t in e.terms] + [float(v) for _, v in e.addends] + list(e.rounding)
        assert ulps(math.fsum(displayed), float(held), y.dtype) <= 1
        assert ulps(e.total, float(held), y.dtype) <= 1
        size = sum(abs(t.product) for t in e.terms) + sum(abs(float(v)) for _, v in e.addends)
        assert abs(math.fsum(e.rounding)) <= size * np.finfo(y.dtype).eps * (len(e.terms) + 2)
        assert len(e.addends) == (b is not None)


@given(operations(), st.integers(0, 2**32))
def test_backward_terms_of_all_cells_are_the_gradients(operation, seed):
    _, x, w, _, y = operation
    g = np.random.default_rng(seed).normal(size=y.shape).astype(y.dtype)
    loss = (y * g).sum()
    scope = tg.microscope(y, loss=loss)
    dx, dw = np.zeros(x.shape), None if w is None else np.zeros(w.shape)
    for where in scope.cells():
        e = scope.explain(**where)
        for t in e.terms:
            if t.x is not None:
                dx[t.x] += e.g * float(t.factor)
            if t.w is not None:
                dw[t.w] += e.g * float(t.value)
    loss.backward()
    scale = 1e-4 if y.dtype == "float32" else 1e-9
    np.testing.assert_allclose(dx, x.grad.numpy(), atol=scale * np.abs(dx).max(initial=1), rtol=1e-4)
    if w is not None:
        np.testing.assert_allclose(dw, w.grad.numpy(), atol=scale * np.abs(dw).max(initial=1), rtol=1e-4)


@given(operations())
def test_every_cell_has_text_and_html(operation):
    scope = tg.microscope(operation[-1])
    e = scope.explain(channel=-1)
    assert str(e).count("\n") >= len([t for t in e.terms if t.x])
    text = e._repr_html_()
    assert "which the tensor holds" in text
    ET.fromstring(text.replace("<br>", "<br/>"))


# ------------------------------------------------------------------------------------------
# What stands around the operation


def test_a_layer_with_bias_and_activation_in_either_format():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    last = tg.nn.Conv2D(4, 3, padding=1, activation="relu", seed=0, bias_init="ones")
    y = last(x)
    first = tg.nn.Conv2D(4, 3, padding=1, activation="relu", data_format="channels_first", in_channels=3)
    first.weight.data, first.bias.data = last.weight.numpy(), last.bias.numpy()
    z = first(x.transpose(0, 3, 1, 2))
    for at in [(0, 0, 0, 0), (1, 5, 6, 3), (1, 2, 3, 1)]:
        n, row, column, channel = at
        a, b = (tg.microscope(t).explain(n, row, column, channel) for t in (y, z))
        assert a.then == (("relu", y.numpy()[at]),)
        assert b.then[0][1] == z.numpy()[n, channel, row, column]
        assert a.addends[0] == (f"bias[{channel}]", 1.0)
        assert a.held == b.held
        assert [t.product for t in a.terms] == [t.product for t in b.terms]


def test_a_function_and_a_node_of_a_snapshot():
    net = tg.nn.Sequential([tg.nn.Conv2D(2, 3), tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(3)], seed=0)
    x = np.random.default_rng(1).normal(size=(1, 8, 8, 1)).astype("float32")
    graph = snapshot(net, x, values=True)
    for node in graph.nodes:
        if node.primitive in ("conv", "pool_max", "_matmul", "add"):
            e = node.explain(channel=1)
            assert e.held == node.values.array[(0,) * (node.values.array.ndim - 1) + (1,)]
    assert tg.microscope(net, x).kind == "dense"
    assert tg.microscope(tg.microscope(net, x)).kind == "dense"
    with pytest.raises(GraphError, match="values=True"):
        snapshot(net, x)["conv_1"].explain()


def test_a_dense_layer_on_more_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    layer = tg.nn.Dense(5, activation="tanh", seed=0)  # held: its weights are no part of a graph that reads only x
    y = layer(x)
    e = tg.microscope(y).explain(n=4, channel=2)  # row 4 of 2 * 3
    assert e.then[-1][1] == y.numpy()[1, 1, 2]
    assert [t.value for t in e.terms] == list(x[1, 1])


def test_a_cell_that_nothing_reaches():
    x, w = leaf(np.ones((1, 1, 1))), leaf(np.ones((2, 1, 1)))
    e = tg.microscope(tg.conv1d_transpose(x, w, padding=1, dilation=2)).explain()
    assert all(term.x is None for term in e.terms)
    assert "= 0.0, which the tensor holds" in str(e)


def test_a_first_layer_on_plain_data_is_explained():
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 1)).astype("float32")
    layer = tg.nn.Conv2D(2, 3, seed=0)
    e = tg.microscope(layer(x)).explain(y=1, x=1)
    assert [t.value for t in e.terms] == list(x[0, 1:4, 1:4, 0].ravel())


def test_not_finite_numbers_are_shown_as_they_are():
    x = np.zeros((1, 3, 3, 1))
    x[0, 0, 0, 0], x[0, 0, 1, 0] = np.nan, np.inf
    y = tg.conv2d(leaf(x), leaf(np.ones((2, 2, 1, 1))))
    e = tg.microscope(y).explain()
    assert math.isnan(e.held)
    assert e.rounding == ()
    assert "nan, which the tensor holds" in str(e)
    assert math.isnan(tg.microscope(tg.max_pool2d(leaf(x), 2)).explain().sum)


def test_a_tie_goes_to_the_first():
    x = leaf(np.ones((1, 2, 2, 1)))
    e = tg.microscope(tg.max_pool2d(x, 2)).explain()
    assert [t.factor for t in e.terms] == [1, 0, 0, 0]


def test_long_sums_are_cut_and_still_add_up():
    x, w = leaf(np.random.default_rng(0).normal(size=(1, 500))), leaf(np.random.default_rng(1).normal(size=(500, 2)))
    text = str(tg.microscope(x @ w).explain())
    assert "436 more products, together" in text
    lines = text.split("backward")[0].splitlines()
    shown = [float(line.rpartition(" = ")[2]) for line in lines if " * " in line]
    rest = [float(re.search(r"together (\S+)", text)[1])]
    rounding = [float(line.rpartition(" = ")[2]) for line in lines if "rounding" in line]
    assert ulps(math.fsum(shown + rest + rounding), float((x @ w).numpy()[0, 0]), "float64") <= 1


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda y: tg.microscope(3.0), GraphError, "expected a tensor that was computed, got float"),
        (lambda y: tg.microscope(tg.Tensor(1.0)), GraphError, "no graph"),
        (lambda y: tg.microscope(tg.exp(leaf(1.0))), GraphError, "convolution, .*, got one of exp"),
        (lambda y: tg.microscope(y).explain(y=2), IndexingError, r"y=2 is out of range for .*\(1, 2, 2, 1\)"),
        (lambda y: tg.microscope(y).explain(z=1), IndexingError, "z=1"),
        (lambda y: tg.microscope(y).render("/no/such/folder/a.html"), ArgumentError, "cannot write"),
        (lambda y: tg.microscope(leaf(np.ones((2, 2, 2))) @ leaf(np.eye(2))), GraphError, "product of two matrices"),
    ],
)
def test_bad_calls(bad, error, message):
    y = tg.conv2d(leaf(np.ones((1, 3, 3, 1))), leaf(np.ones((2, 2, 1, 1))))
    with pytest.raises(error, match=message):
        bad(y)


def test_a_freed_graph_and_a_lost_input():
    y = tg.conv2d(leaf(np.ones((1, 3, 3, 1))), leaf(np.ones((2, 2, 1, 1))))
    y.sum().backward()
    with pytest.raises(GraphError, match=r"freed by a backward pass.*retain_graph=True"):
        tg.microscope(y)
    y = tg.conv2d(np.ones((1, 3, 3, 1)), leaf(np.ones((2, 2, 1, 1))))  # nobody holds the kernel
    with pytest.raises(GraphError, match=r"did not keep an input.*tg.microscope\(layer, x\)"):
        tg.microscope(y)


def test_a_bias_that_is_gone_is_the_difference():
    y = tg.conv2d(leaf(np.ones((1, 3, 3, 1))), leaf(np.ones((2, 2, 1, 1))), np.array([0.25]))
    assert tg.microscope(y).explain().addends == (("bias[0]", 0.25),)


# ------------------------------------------------------------------------------------------
# Receptive fields


@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_receptive_field_holds_all_inputs_that_matter(seed, depth):
    rng = np.random.default_rng(seed)
    x = leaf(rng.normal(size=(1, 15, 14, 1)))
    y = x
    for _ in range(depth):
        options = {"stride": int(rng.integers(1, 3)), "padding": int(rng.integers(0, 2))}
        w = np.ones((int(rng.integers(1, 4)), int(rng.integers(2, 4)), 1, 1))
        try:
            y = [
                lambda y, w, o: tg.conv2d(y, leaf(w), **o),
                lambda y, w, o: tg.avg_pool2d(y, 2, **o),
                lambda y, w, o: tg.conv2d_transpose(y, leaf(w), **o),
                lambda y, w, o: tg.tanh(y) + tg.conv2d(y, leaf(np.ones((3, 3, 1, 1))), padding=1),
            ][rng.integers(4)](y, w, options)
        except ShapeError:
            assume(False)
    y = tg.conv2d(y, leaf(np.ones((1, 1, 1, 1))))
    row, column = (int(rng.integers(n)) for n in y.shape[1:3])
    _, sizes, ((top, bottom), (left, right)) = tg.microscope(y).receptive_field(row, column)[-1]
    assert sizes == (15, 14)
    g = np.zeros(y.shape)
    g[0, row, column, 0] = 1
    y.backward(g)
    rows, columns = np.nonzero(np.abs(x.grad.numpy()[0, :, :, 0]) > 1e-12)
    if len(rows):
        assert top <= rows.min() <= rows.max() <= bottom
        assert left <= columns.min() <= columns.max() <= right


# ------------------------------------------------------------------------------------------
# The matrix


@given(operations(kinds=("conv", "conv_transpose")))
def test_the_matrix_is_the_convolution(operation):
    kind, x, w, b, y = operation
    view = DenseView(tg.microscope(y).lens)
    plain = y - b if b is not None else y
    matrix = view.toarray()
    scale = 1e-3 if y.dtype == "float32" else 1e-9
    for n in range(len(x)):
        expected = plain.numpy()[n].ravel()
        limit = scale * max(1.0, np.abs(expected).max(initial=0), np.abs(y.numpy()).max(initial=0))
        np.testing.assert_allclose(matrix @ x.numpy()[n].ravel(), expected, atol=limit)
        np.testing.assert_allclose(view @ x[n], expected, atol=limit)
    assert view.nnz == len(set(zip(view.rows.tolist(), view.columns.tolist(), strict=True)))
    assert view.counts["convolution"] == w.size
    assert kind in ("conv", "conv_transpose")


def test_counts_of_the_lecture_and_layers():
    view = as_dense(tg.nn.Conv2D(6, 5, padding=2), (None, 28, 28, 1))
    assert view.shape == (28 * 28 * 6, 28 * 28)
    assert view.counts == {"dense": 28 * 28 * 6 * 28 * 28, "locally connected": 107_736, "convolution": 150}
    assert "3,687,936 weights if dense" in repr(view)
    layer = tg.nn.Conv2D(2, (3, 2), stride=2, groups=2, in_channels=4, seed=0)
    x = np.random.default_rng(0).normal(size=(1, 7, 6, 4)).astype("float32")
    np.testing.assert_allclose(as_dense(layer, (7, 6, 4)) @ x[0], layer(x).numpy().ravel(), atol=1e-5)
    layer = tg.nn.Conv2DTranspose(2, 3, stride=2, in_channels=3, seed=0)
    x = np.random.default_rng(0).normal(size=(1, 3, 3, 3)).astype("float32")
    np.testing.assert_allclose(as_dense(layer, x.shape) @ x, layer(x).numpy().ravel(), atol=1e-5)
    layer = tg.nn.DepthwiseConv2D(2, multiplier=2, stride=2, padding=1, seed=0)
    np.testing.assert_allclose(as_dense(layer, x.shape) @ x, layer(x).numpy().ravel(), atol=1e-5)
    layer = tg.nn.Conv2D(4, 2, data_format="channels_first", seed=0)
    y = layer(x.transpose(0, 3, 1, 2)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(as_dense(layer, (3, 3, 3)) @ x, y.ravel(), atol=1e-5)
    kernel = np.arange(6.0).reshape(3, 2, 1)
    assert as_dense(kernel, (5, 2), padding="same", dilation=2).shape == (5, 10)
    assert as_dense(tg.Tensor(kernel), (5, 2)).toarray()[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 0, 0]


def test_no_two_weights_of_the_dense_layer_look_alike_nor_two_shared_ones():
    view = as_dense(np.arange(36.0).reshape(3, 3, 2, 2), (4, 5, 2))
    squares = [r.get("fill") for r in ET.fromstring(view.svg).iter("{http://www.w3.org/2000/svg}rect")][1:]
    ends = [k for k, fill in enumerate(squares) if fill == "none"]
    dense, convolution = squares[: ends[0]], squares[ends[1] + 1 : ends[2]]
    assert len(dense) == len(set(dense)) == 12 * 40
    assert len(set(convolution)) == 36
    parts = np.array([[int(fill[k : k + 2], 16) for k in (1, 3, 5)] for fill in set(convolution)])
    assert np.abs(parts[:, None] - parts).sum(2)[~np.eye(36, dtype=bool)].min() >= 40


def test_shared_weights_have_one_colour(tmp_path):
    view = as_dense(np.ones((2, 2, 1, 1)), (4, 4, 1))
    view.render(tmp_path / "m.svg")
    root = ET.fromstring((tmp_path / "m.svg").read_text("utf-8"))
    squares = [r.get("fill") for r in root.iter("{http://www.w3.org/2000/svg}rect")]
    for colour in ("#0072B2", "#D55E00", "#009E73", "#CC79A7"):
        assert squares.count(colour) == 9  # nine outputs use each of the four weights
    text = "".join(root.itertext())
    assert "144 weights" in text
    assert "36 weights" in text
    assert "4 weights" in text
    view.render(tmp_path / "m.html")
    assert "<svg" in (tmp_path / "m.html").read_text("utf-8")
    assert view._repr_svg_() == view.svg


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: as_dense(tg.nn.Dense(3), (3,)), ArgumentError, "convolution layer or a kernel, got Dense"),
        (lambda: as_dense(tg.nn.SeparableConv2D(3, 2), (3, 3, 1)), ArgumentError, "weights, got SeparableConv2D"),
        (lambda: as_dense(np.ones((2, 2)), (3, 3)), ShapeError, r"expected a kernel .*got shape \(2, 2\)"),
        (lambda: as_dense(np.ones((2, 2, 1, 1)), (3,)), ShapeError, "input_shape"),
        (lambda: as_dense(np.ones((4, 4, 1, 1)), (3, 3, 1)), ShapeError, "fit"),
        (lambda: as_dense(np.ones((2, 2, 1, 1)), (3, 3, 1)) @ np.ones(4), ShapeError, "expected 9 inputs, got 4"),
        (lambda: as_dense(np.ones((2, 2, 1, 1)), (3, 3, 1)).render("m.gif"), ArgumentError, ".svg, .pdf or"),
    ],
)
def test_bad_matrices(bad, error, message):
    with pytest.raises(error, match=message):
        bad()


# ------------------------------------------------------------------------------------------
# The page


def cs231n():
    """Their demo: 7 by 7 by 3 with padding, two filters of 3 by 3 by 3, stride 2."""
    rng = np.random.default_rng(0)
    x = leaf(rng.integers(0, 3, (1, 7, 7, 3)).astype("float32"))
    w = leaf(rng.integers(-1, 2, (3, 3, 3, 2)).astype("float32"))
    return tg.conv2d(x, w, leaf(np.array([1, 0], "float32")), padding=1, stride=2)


def test_the_page_asks_for_nothing():
    assert "http" not in slides.page(tg.microscope(cs231n())).replace("http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def tab():
    tab = browser.Browser()
    yield tab
    tab.close()


@browser.needed
def test_numbers_that_are_none_reach_the_page(tmp_path, tab):
    x = np.zeros((1, 3, 3, 1), "float32")
    x[0, 0, 0, 0], x[0, 2, 2, 0] = np.nan, np.inf
    tg.microscope(tg.conv2d(leaf(x), leaf(np.ones((2, 2, 1, 1), "float32")))).render(tmp_path / "nan.html")
    tab.open(tmp_path / "nan.html")
    assert tab.run("[...y].map(String)") == ["NaN", "0", "0", "Infinity"]
    assert tab.complaints == []


@browser.needed
def test_the_window_slides_in_a_browser(tmp_path, tab):
    y = cs231n()
    tg.microscope(y).render(tmp_path / "conv.html")
    tab.open(tmp_path / "conv.html")
    assert tab.run("document.getElementById('play').textContent") == "Pause"  # it moves by itself
    tab.run("pause(); moveTo(0, 0)")
    seen = []
    for _ in range(y.size):
        held, total = (tab.run(f"document.getElementById('equation').dataset.{k}") for k in ("held", "sum"))
        assert float(held) == float(total)
        seen.append(float(held))
        tab.key("ArrowRight") if (len(seen) % 4) else tab.click("#next")
    assert seen == [float(v) for v in np.moveaxis(y.numpy()[0], -1, 0).ravel()]
    before = tab.shot()
    tab.key("b")
    assert "adds g × kernel" in tab.run("document.getElementById('equation').textContent")
    assert tab.shot() != before
    tab.run("document.activeElement.blur()")
    tab.key(" ")
    assert tab.run("document.getElementById('play').getAttribute('aria-pressed')") == "true"
    assert tab.complaints == []
    assert len(tab.requests) == 1


@browser.needed
@pytest.mark.parametrize("kind", KINDS)
def test_the_pages_sums_are_those_of_the_tensor(tmp_path, tab, kind):
    rng = np.random.default_rng(0)
    x = leaf(rng.normal(size=(1, 6, 5, 4)).astype("float32"))
    y = {
        "conv": lambda: tg.conv2d(
            x, leaf(rng.normal(size=(3, 2, 2, 6)).astype("float32")), padding="same", groups=2, dilation=2
        ),
        "conv_transpose": lambda: tg.conv2d_transpose(
            x, leaf(rng.normal(size=(3, 2, 3, 4)).astype("float32")), stride=2, groups=2, padding=1
        ),
        "max_pool": lambda: tg.max_pool2d(x, 3, stride=1, padding=1),
        "avg_pool": lambda: tg.avg_pool2d(x, 3, stride=2, padding=1),
        "dense": lambda: x.reshape(1, 120) @ leaf(rng.normal(size=(120, 7)).astype("float32")),
    }[kind]()
    tg.microscope(y).render(tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    tab.run("pause(); at.channel = 0; moveTo(0, 0)")
    all_cells = """[...Array(oh * ow * data.shown)].map((_, k) => { if (k) step(1);
        const d = document.getElementById('equation').dataset; return [+d.sum, +d.held]; })"""
    pairs = np.array(tab.run(all_cells))
    held = np.moveaxis(y.numpy()[0], -1, 0).ravel()
    np.testing.assert_array_equal(pairs[:, 1].astype("float32"), held)
    np.testing.assert_allclose(pairs[:, 0], held, atol=1e-4)
    assert tab.complaints == []


@browser.needed
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_page_of_three_axes_shows_one_depth(tmp_path, tab, kind):
    """As two axes, with the slices that this depth reads as channels: their sums are those of the tensor too."""
    rng = np.random.default_rng(1)

    def array(*shape):
        return leaf(rng.normal(size=shape).astype("float32"))

    x, options = array(2, 4, 5, 4, 4), {"groups": 2, "padding": ((1, 0), (0, 1), (1, 1))}
    y = {
        "conv": lambda: tg.conv3d(x, array(3, 2, 2, 2, 6), array(6), dilation=(1, 2, 1), stride=(2, 1, 1), **options),
        "conv_transpose": lambda: tg.conv3d_transpose(x, array(3, 2, 2, 3, 4), stride=(2, 1, 2), **options),
        "max_pool": lambda: tg.max_pool3d(x, (3, 2, 3), stride=1, padding=1),
        "avg_pool": lambda: tg.avg_pool3d(x, (3, 2, 2), stride=1, padding=1, count_include_pad=True),
    }[kind]()
    scope = tg.microscope(y, loss=(y * y).sum())
    for z in (0, y.shape[1] - 1):
        scope.render(tmp_path / "deep.html", n=1, z=z)
        tab.open(tmp_path / "deep.html")
        assert f"depth {z} of the output" in tab.run("document.title")
        tab.run("pause(); at.channel = 0; moveTo(0, 0)")
        shown = tab.run(
            """[...Array(oh * ow * data.shown)].map((_, k) => { if (k) step(1);
            const d = document.getElementById('equation').dataset, max = (a, c) => c.factor ? c.value : a;
            return [data.kind === 'max_pool' ? terms().flatMap((r) => r.cells).reduce(max, 0) : +d.sum, +d.held]; })"""
        )
        held = np.moveaxis(y.numpy()[1, z], -1, 0).ravel()
        np.testing.assert_array_equal(np.array(shown)[:, 1].astype("float32"), held)
        np.testing.assert_allclose(np.array(shown)[:, 0], held, atol=1e-4)
        tab.run("at.channel = 0; moveTo(0, 1)")
        e = scope.explain(n=1, z=z, x=1)
        where = tab.run("terms().flatMap((r) => r.cells.filter((c) => c.inside).map((c) => [c.value, c.factor]))")
        terms = [[float(t.value), float(t.factor)] for t in e.terms if t.x is not None]
        np.testing.assert_allclose(sorted(where), sorted(terms))
        words = tab.run("document.getElementById('rows').textContent + document.getElementById('levels').textContent")
        assert "channel 0, depth " in words
        assert "shown: " in words
    assert tab.complaints == []
    with pytest.raises(IndexingError, match=f"z={y.shape[1]} is out of range"):
        scope.render(tmp_path / "deep.html", z=y.shape[1])


def test_the_page_in_a_notebook_is_the_page_that_is_written(tmp_path):
    y = tg.conv2d(leaf(np.ones((1, 4, 4, 1))), leaf(np.ones((2, 2, 1, 1))))
    tg.microscope(y).render(tmp_path / "page.html")
    inline = tg.microscope(y).interactive(height=400)
    assert inline.page == (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "height:400px" in inline._repr_html_()
    with pytest.raises(IndexingError, match="interactive: n=1 is out of range"):
        tg.microscope(y).interactive(n=1)


# ------------------------------------------------------------------------------------------
# One view, linked


def large_conv():
    rng = np.random.default_rng(0)
    x, w, b = (leaf(rng.normal(size=shape).astype("float32")) for shape in ((1, 32, 32, 3), (5, 5, 3, 16), (16,)))
    return tg.conv2d(x, w, b, padding="same")


def hover(tab, x, y):
    tab("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


PARTS = ("input", "kernel", "products", "sum", "output", "equation")


@browser.needed
def test_all_is_in_one_view(tmp_path, tab):
    tab.size(1280, 720)
    try:
        tg.microscope(large_conv()).render(tmp_path / "large.html")
        tab.open(tmp_path / "large.html")
        tab.run("pause(); moveTo(3, 4)")
        for part in (*PARTS, "channels", "filters"):
            x, y, right, bottom = tab.run(
                f"(({{x, y, right, bottom}}) => [x, y, right, bottom])($({part!r}).getBoundingClientRect())"
            )
            assert 0 <= x < right <= 1280, part
            assert 0 <= y < bottom <= 720, part
        assert "bias" in tab.run("$('equation').textContent")
        shown = "[...$('equation').querySelectorAll('b')].slice(1).map((b) => b.textContent.match(/[0-9]/g).length)"
        assert max(tab.run(shown)) <= 6  # 0.01234: four digits that count
        tab.click("#digits")
        assert max(tab.run(shown)) >= 8
        assert tab.run("$('filters').children.length") == 16
        tab.click("#filters button:nth-child(6)")
        assert (tab.run("at.channel"), tab.run("$('channel').value")) == (5, "5")
        tab.click("#channels button:nth-child(3)")
        assert "channel 2" in tab.run("$('input-title').textContent")
        assert tab.complaints == []
    finally:
        tab.size(1300, 900)


@browser.needed
def test_cell_weight_product_and_term_are_linked(tmp_path, tab):
    tg.microscope(large_conv()).render(tmp_path / "large.html")
    tab.open(tmp_path / "large.html")
    tab.run("pause(); moveTo(3, 4)")
    for part, cell in (("kernel", (1, 2)), ("products", (3, 4)), ("input", (3 + 2, 4 + 1))):
        x, y, size = tab.run(
            f"((e) => [e.getBoundingClientRect().x, e.getBoundingClientRect().y, e.cell])($({part!r}))"
        )
        row, column = cell
        hover(tab, x + 2 + (column + 0.5) * size, y + 2 + (row + 0.5) * size)
        offset = cell if part != "input" else (2, 1)
        assert tab.run("hot") == offset[0] * 5 + offset[1]
        product = tab.run("short(terms()[at.row].cells[hot].value) + '·'")
        assert tab.run("document.querySelector('.hot').textContent").startswith(product)
    box = "document.querySelectorAll('.term')[7].getBoundingClientRect()"
    hover(tab, *tab.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({box})"))
    assert tab.run("hot") == 7
    tab.key("b")
    hover(tab, 3, 3)
    assert tab.run("hot") == -1


@browser.needed
def test_max_pooling_is_a_maximum(tmp_path, tab):
    values = np.arange(16.0).reshape(1, 4, 4, 1) % 7
    scope = tg.microscope(tg.max_pool2d(tg.Tensor(values, requires_grad=True), 2))  # nobody holds the tensor
    e = scope.explain(y=1, x=1)
    assert (float(e.held), sorted(float(term.value) for term in e.terms)) == (4.0, [0.0, 1.0, 3.0, 4.0])
    scope.render(tmp_path / "max.html")
    tab.open(tmp_path / "max.html")
    tab.run("pause(); moveTo(0, 1)")
    said = tab.run("$('equation').textContent")
    assert said == "y[0, 1, 0] = max(2, 3, 6, 0) = 6, which the tensor holds."
    assert "·" not in said
    assert tab.run("[$('kernel-figure').hidden, $('times').hidden]") == [True, True]
    assert tab.run("$('sum').textContent") == "max 6"
    tab.key("b")
    assert "All of it goes to the greatest" in tab.run("$('equation').textContent")


@pytest.mark.parametrize("pool", [tg.max_pool2d, tg.avg_pool2d])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_tensor_that_nobody_holds(pool, data_format):
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 4))
    y = pool(tg.Tensor(x, requires_grad=True), 2, data_format=data_format)
    e = tg.microscope(y).explain(n=1, y=1, x=0, channel=2)
    assert np.isclose(float(e.held), y.numpy()[(1, 1, 0, 2) if data_format == "channels_last" else (1, 2, 1, 0)])
    assert len(e.terms) == 4


@browser.needed
@pytest.mark.parametrize("dark", [False, True])
def test_the_microscope_on_a_phone(tmp_path, tab, dark):
    tab.size(390, 844)
    try:
        x = leaf(np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32"))
        for y in (large_conv(), tg.max_pool2d(x, 2)):
            tg.microscope(y).render(tmp_path / "phone.html")
            tab.open(tmp_path / "phone.html", dark=dark)
            tab.run((pathlib.Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8"))
            tab.run("pause(); moveTo(3, 4)")
            assert (tab.run("sideways()"), tab.run("tiny()"), tab.run("accessible()")) == ([], [], [])
            assert tab.complaints == []
    finally:
        tab.size(1300, 900)
