"""Training pictures: matplotlib figures made of plain arrays."""

from __future__ import annotations

import io

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, ShapeError

pytest.importorskip("matplotlib")
from tinygrad_conv.plots import (
    LayerStatistics,
    plot_confusion,
    plot_feature_maps,
    plot_filters,
    plot_history,
    plot_mistakes,
)


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def test_history():
    figure = plot_history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "accuracy": [0.1, 0.9]})
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.5, 1.5]]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert len(accuracy.lines) == 1
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["1.00", "1.50", "90.0%"]
    assert png(figure) == png(plot_history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "accuracy": [0.1, 0.9]}))


def test_filters_share_one_symmetric_scale():
    w = np.arange(-6.0, 12.0).reshape(3, 3, 1, 2)
    figure = plot_filters(tg.nn.Parameter(w))
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert np.array_equal(images[1].get_array(), w[:, :, 0, 1])
    assert {image.get_clim() for image in images[:2]} == {(-11.0, 11.0)}
    assert png(figure).startswith(b"\x89PNG")


def test_filters_of_many_channels_are_limited_and_say_so():
    figure = plot_filters(np.ones((3, 3, 6, 16)))
    assert "the first 64 of 96" in figure.get_suptitle()


def test_filters_with_their_maps_in_pairs_of_rows():
    rng = np.random.default_rng(0)
    w, image, maps = rng.normal(size=(3, 3, 1, 10)), rng.random((7, 7)), rng.random((5, 5, 10))
    figure = plot_filters(w, image=image, maps=maps)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(shown[0], image)
    assert np.array_equal(shown[1], w[:, :, 0, 0])
    assert np.array_equal(shown[6], maps[:, :, 0])  # five columns
    assert np.array_equal(shown[20], maps[:, :, 9])


def test_feature_maps():
    maps = np.random.default_rng(0).random((2, 5, 5, 3))
    figure = plot_feature_maps(maps, example=1)
    assert np.array_equal(figure.axes[2].images[0].get_array(), maps[1, :, :, 2])
    assert figure.axes[0].images[0].get_cmap().name == "inks"
    assert plot_feature_maps(-maps).axes[0].images[0].get_cmap().name == "signed"


def test_confusion():
    figure = plot_confusion([0, 1, 1, 2], [0, 2, 2, 2], names=["a", "b", "c"])
    axes = figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}  # across: predicted; down: true
    beside = {(2.65, 2.65): "right", (2.65, 0): "100.0%", (2.65, 1): "0.0%", (2.65, 2): "100.0%"}
    assert cells == {(0, 0): "1", (2, 1): "2", (2, 2): "1"} | beside
    assert axes.get_title(loc="left") == "2 mistakes among 4"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]


def test_mistakes():
    images = np.stack([np.full((4, 4), k / 10) for k in range(4)])[..., None]
    said = [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.2, 0.1, 0.7]]
    figure = plot_mistakes(images, [0, 1, 2, 1], said, names=["a", "b"])
    assert figure.get_suptitle() == "All 3 mistakes: true → predicted, and its probability"
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert titles == ["2 → b   >99.9%", "b → 2   70%", "b → a   60%"]
    assert float(figure.axes[0].images[0].get_array().max()) == 0.2
    assert plot_mistakes(images, [0, 1, 2, 1], said, most=1).get_suptitle().startswith("The 1 surest of 3")
    assert plot_mistakes(images[:1], [0], said[:1]).get_suptitle() == "No mistakes"


def test_the_look_does_not_depend_on_where_a_figure_is_saved():
    import matplotlib

    plain = png(plot_confusion([0, 1], [0, 0])), png(plot_history({"loss": [2.0, 1.0]}))
    with matplotlib.rc_context({"xtick.color": "red", "ytick.color": "red", "axes.facecolor": "red"}):
        assert (png(plot_confusion([0, 1], [0, 0])), png(plot_history({"loss": [2.0, 1.0]}))) == plain


def test_layers_over_time():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)).astype("float32"), rng.integers(0, 2, 32)
    layers = [tg.keras.layers.Dense(4, activation="relu"), tg.keras.layers.Dense(2, activation="softmax")]
    model = tg.keras.Sequential([tg.keras.Input((6,)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy")
    statistics = LayerStatistics(x[:8], y[:8])
    model.fit(x, y, epochs=3, verbose=0, callbacks=[statistics])
    names = [name for name, _ in model.named_parameters()]
    assert list(statistics.gradients) == names
    assert all(len(norms) == 3 for norms in statistics.gradients.values())
    assert list(statistics.activations) == [name.removesuffix(".weight") for name in names if name.endswith("weight")]
    loss = model.loss(y[:8], model(tg.Tensor(x[:8])))
    model.zero_grad()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert statistics.gradients[name][-1] == pytest.approx(float(np.linalg.norm(parameter.grad.numpy())))
    assert png(statistics.plot()).startswith(b"\x89PNG")


def test_layers_share_a_legend_without_those_that_only_reshape():
    x, y = np.random.default_rng(0).normal(size=(8, 9, 9, 1)).astype("float32"), np.arange(8) % 2
    names = tg.nn.Conv2D(2, 3, name="conv"), tg.nn.Flatten(name="flat"), tg.nn.Dense(2, name="logits")
    model = tg.nn.Sequential(list(names), seed=0)
    statistics = LayerStatistics(loss=lambda y, logits: tg.softmax_cross_entropy(logits, y))
    for _ in range(2):
        statistics.measure(model, x, y)
    figure = statistics.plot()
    assert list(statistics.activations) == ["conv", "flat", "logits"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["conv", "logits"]
    norms = [statistics.gradients[f"logits.{name}"][0] for name in ("weight", "bias")]
    assert figure.axes[0].lines[1].get_ydata()[0] == pytest.approx(np.hypot(*norms))


def test_a_deep_net_has_a_line_for_each_layer_and_a_legend_for_some():
    statistics = LayerStatistics()
    statistics.gradients = {f"block{k}.weight": [0.5**k] * 50 for k in range(40)}
    figure = statistics.plot()
    assert len(figure.axes[0].lines) == 40
    assert len(figure.legends[0].get_texts()) <= 18
    assert png(figure) == png(statistics.plot())


def test_measuring_changes_nothing():
    x = np.ones((4, 3), "float32")
    model = tg.nn.Sequential([tg.nn.Dense(2), tg.nn.BatchNorm(), tg.nn.Dropout(0.5)], seed=0)
    model(x)
    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    LayerStatistics(x).measure(model)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lambda: plot_history({}), ArgumentError, "at least one epoch"),
        (lambda: plot_history({"loss": []}), ArgumentError, "at least one epoch"),
        (lambda: plot_filters(np.ones(3)), ShapeError, r"kernels \(kh, kw, C_in, C_out\), got shape \(3,\)"),
        (lambda: plot_feature_maps(np.ones((1, 2, 2, 1)), 3), ArgumentError, "from 0 to 0, got 3"),
        (lambda: plot_confusion([0], [0, 1]), ShapeError, "as many labels as predictions, got 1 and 2"),
        (lambda: plot_confusion([], []), ShapeError, "got 0 and 0"),
        (lambda: plot_confusion([-1], [0]), ArgumentError, "from 0 to 999"),
        (lambda: plot_filters(np.ones((3, 3, 2, 1)), image=[[1]], maps=[[[1]]]), ShapeError, "got 2 input channels"),
        (lambda: plot_mistakes(np.ones((2, 4, 4)), [0], [[1.0]]), ShapeError, "as many labels"),
        (lambda: LayerStatistics().measure(None), ArgumentError, "expected a batch"),
        (lambda: LayerStatistics(np.ones(1)).plot(), ArgumentError, "nothing measured yet"),
    ],
)
def test_bad_calls(bad, error, message):
    with pytest.raises(error, match=message):
        bad()
