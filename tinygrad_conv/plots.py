"""Pictures of training, as matplotlib figures (extra ``plots``): curves, filters, maps, confusion, mistakes, layers.

Each function takes plain arrays and gives a `matplotlib.figure.Figure`, in no window: ``figure.savefig("x.png")``. The
same arrays give the same bytes. Colours are those of `palette`; `darkened(figure)` gives them for dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .arguments import Count, Size, as_array, checked
from .engine.tensor import Array, Tensor
from .errors import ArgumentError, MissingExtraError, ShapeError
from .graph.drawing.groups import as_modules
from .graph.snapshot import snapshot
from .palette import COSTS, INKS, SERIES, SIGNED, TWINS, tint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "LayerStatistics",
    "darkened",
    "plot_confusion",
    "plot_feature_maps",
    "plot_filters",
    "plot_history",
    "plot_mistakes",
]

PAPER, INK, QUIET, FAINT = (tint(name) for name in ("paper", "ink", "quiet", "rule"))
MARKS = "osv^Dx"
_MOST_CLASSES = 1_000  # in one picture
Names: TypeAlias = Sequence[str] | None
_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": QUIET,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 10,
    "axes.spines.top": False, "axes.spines.right": False, "xtick.color": QUIET, "ytick.color": QUIET,
    "axes.facecolor": PAPER, "figure.facecolor": PAPER, "legend.frameon": False, "axes.grid": False,
    "figure.titlesize": 11, "figure.titleweight": "bold", "image.interpolation": "nearest", "figure.dpi": 110,
}  # fmt: skip


@cache
def _shown() -> type[Figure]:
    """A figure that a notebook shows, without pyplot."""
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", metadata={"Software": None})
            return file.getvalue()

    return Shown


@contextmanager
def figure_of(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in inches, and our style while it is drawn."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise MissingExtraError("plots need matplotlib: pip install 'tinygrad-conv[plots]'") from None
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type, unused-ignore]
        figure = _shown()(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        for axes in figure.axes:  # ticks are made when the figure is saved, with the colours of then
            axes.tick_params(color=QUIET, labelcolor=QUIET)


@checked
def darkened(figure: Figure) -> Figure:
    """The same figure in the colours for dark pages: it is changed, so save it for light ones before.

    Maps keep their scales: 0 is white on dark pages too.

    >>> figure = darkened(plot_history({"loss": [2.0, 1.0]}))
    >>> figure.axes[0].lines[0].get_color() == TWINS[SERIES[0]]
    True
    """
    from matplotlib.colors import to_hex

    kinds = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
    found = [(it, what, getattr(it, f"get_{what}", lambda: None)()) for it in figure.findobj() for what in kinds]
    for artist, what, known in found:  # all is read before any is set: a marker's colour may be that of its line
        if isinstance(known, (str, tuple)) and (twin := TWINS.get(to_hex(known).upper())):
            getattr(artist, f"set_{what}")(twin)
    for axes in figure.axes:
        axes.tick_params(which="both", color=TWINS[QUIET], labelcolor=TWINS[QUIET], grid_color=TWINS[FAINT])
        for image in axes.images:
            stops = {"costs": COSTS, "right": (FAINT, FAINT)}.get(image.get_cmap().name)
            if stops:
                image.set_cmap(ramp("dark", [TWINS[stop] for stop in stops]))
    return figure


@checked
def plot_history(history: Mapping[str, Sequence[float]]) -> Figure:
    """The curves of `fit`: a panel for the loss and each metric, in training and on validation data.

    Parameters
    ----------
    history : name -> a value per epoch
        ``fit(...).history``; "val_loss" joins the panel of "loss".

    >>> figure = plot_history({"loss": [2.0, 1.0], "val_loss": [2.1, 1.4], "accuracy": [0.5, 0.7]})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['loss', 'accuracy']
    """
    names = [name for name in history if not name.startswith("val_") or name.removeprefix("val_") not in history]
    if not names or not any(len(history[name]) for name in names):
        raise ArgumentError("plot_history: expected at least one epoch, got an empty history; call fit first")
    with figure_of(4.5 * len(names), 3.6) as figure:
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            _curves(axes, name, {"training": history[name], "validation": history.get(f"val_{name}", ())})
    return figure


def _curves(axes: Axes, name: str, lines: Mapping[str, Sequence[float]]) -> None:
    """Up to two lines with their last values beside them."""
    shown = {label: np.array([float(value) for value in values]) for label, values in lines.items() if len(values)}
    every = np.concatenate(list(shown.values()))
    share = "acc" in name and bool(((every >= 0) & (every <= 1)).all())
    last = sorted((values[-1], label) for label, values in shown.items())
    for k, (label, values) in enumerate(shown.items()):
        epochs = np.arange(1, len(values) + 1)
        mark = MARKS[k] if len(values) <= 40 else ""
        axes.plot(epochs, values, color=SERIES[k], marker=mark, markersize=4.5, label=label, clip_on=False, zorder=3)
        if math.isfinite(values[-1]):
            apart = 0 if len(shown) == 1 else 5 if label == last[-1][1] else -5
            last_value = f"{values[-1]:.1%}" if share else f"{values[-1]:#.3g}".rstrip(".")
            axes.annotate(
                last_value, (epochs[-1], values[-1]), xytext=(8, apart), textcoords="offset points", va="center",
                color=SERIES[k], fontsize=9,
            )  # fmt: skip
    axes.set_title(name)
    if share:
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g}%")
    elif "loss" in name and bool((every >= 0).all()):
        axes.set_ylim(bottom=0)
    _over_epochs(axes, max(map(len, shown.values())))
    axes.legend()


def _over_epochs(axes: Axes, epochs: int) -> None:
    """The axis below, and lines to read values by."""
    axes.set_xlabel("epoch" if epochs > 1 else "epoch (the only one: no curve yet)")
    margin = 0.05 * (epochs - 1) or 0.5
    axes.set_xlim(1 - margin, epochs + margin)
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)


@checked
def plot_filters(kernels: Array, most: Size = 64, *, image: Array | None = None, maps: Array | None = None) -> Figure:
    """The kernels of a convolution on one symmetric scale: 0 is white, red pulls the sum up, blue pulls it down.

    Parameters
    ----------
    kernels : (kh, kw, C_in, C_out)
        ``layer.weight``. A row of pictures for each output channel, a picture for each input channel; they follow each
        other in rows if there is one input channel.
    most : int
        Kernels at most.
    image, maps : (H, W) and (H', W', C_out), optional
        With one input channel: an image, and the layer's output for it, drawn under the kernels.

    >>> figure = plot_filters(np.ones((3, 3, 1, 4)))
    >>> len(figure.axes)  # and the scale
    5
    """
    w = _array("plot_filters", kernels, 4, "kernels (kh, kw, C_in, C_out)")
    height, width, inputs, outputs = w.shape
    weights = _symmetric(w)
    pictures = [w[:, :, c, k] for k in range(outputs) for c in range(inputs)][:most]
    names = [f"{k}" if inputs == 1 else f"{k}, from {c}" for k in range(outputs) for c in range(inputs)]
    of = f"{outputs} filters of {height}x{width}{f'x{inputs}' if inputs > 1 else ''}"
    few = f"; the first {most} of {inputs * outputs}" if inputs * outputs > most else ""
    shown = [_Cell(picture, weights, name) for picture, name in zip(pictures, names, strict=False)]
    if image is None or maps is None:
        columns = min(inputs, 8) if inputs > 1 else _columns(len(shown))
        return _mosaic(shown, columns, f"{of} (red +, blue −){few}")
    x, y = _array("plot_filters", image, 2, "image (H, W)"), _array("plot_filters", maps, 3, "maps (H, W, C_out)")
    if inputs != 1 or y.shape[2] != outputs:
        raise ShapeError(
            f"plot_filters: expected kernels of one input channel and a map for each of the {outputs} output channels, "
            f"got {inputs} input channels and {y.shape[2]} maps"
        )
    look, columns = _look(y), _columns(len(shown))
    answers = [_Cell(y[:, :, k], look) for k in range(len(shown))]
    rows: list[_Cell] = []
    for start in range(0, len(shown), columns):
        for part in (shown, answers):
            row = part[start : start + columns]
            rows += row + [_GAP] * (columns - len(row))
    title = f"{of} (red +, blue −), and under each where it finds its pattern in this image{few}"
    wide = max(1.45 + 0.95 * columns, 0.09 * len(title))
    with figure_of(wide, 0.5 + 1.95 * (wide - 2) / columns * len(rows) / (2 * columns)) as figure:
        figure.suptitle(title, x=0.01, ha="left")
        parts: Any = figure.subfigures(1, 2, width_ratios=(1.3, wide - 1.3))
        left, right = parts
        _scale(left, _grid(left, [_Cell(x, _look(x))], 1), location="bottom")
        grid = _grid(right, rows, columns)
        _scale(right, grid, "filters")
        _scale(right, grid, "answers", of=columns)
    return figure


@checked
def plot_feature_maps(maps: Array, example: Count = 0, most: Size = 64) -> Figure:
    """The channels of a layer's output for one example, on one scale.

    Parameters
    ----------
    maps : (N, H, W, C)
    example : int
        Which of the N.
    most : int
        Channels at most.

    >>> figure = plot_feature_maps(np.random.default_rng(0).normal(size=(1, 14, 14, 8)))
    >>> figure.get_suptitle()
    '8 feature maps of 14x14'
    """
    y = _array("plot_feature_maps", maps, 4, "maps (N, H, W, C)")
    if not -len(y) <= example < len(y):
        raise ArgumentError(f"plot_feature_maps: expected an example from 0 to {len(y) - 1}, got {example}")
    y = y[example]
    height, width, channels = y.shape
    look = _look(y)
    few = f"; the first {most} of {channels}" if channels > most else ""
    shown = [_Cell(y[:, :, k], look, str(k)) for k in range(min(channels, most))]
    return _mosaic(shown, _columns(len(shown)), f"{channels} feature maps of {height}x{width}{few}")


@checked
def plot_confusion(labels: Array, predicted: Array, names: Names = None) -> Figure:
    """How often each class was taken for each other; right answers are pale, so that mistakes stand out.

    Parameters
    ----------
    labels, predicted : (N,)
        True and predicted classes, as numbers from 0.
    names : of the classes, optional

    >>> figure = plot_confusion([0, 1, 1], [0, 1, 0], names=["cat", "dog"])
    >>> figure.axes[0].get_title(loc="left")
    '1 mistake among 3'
    """
    true, said = (_classes("plot_confusion", part) for part in (labels, predicted))
    if len(true) != len(said) or not len(true):
        raise ShapeError(f"plot_confusion: expected as many labels as predictions, got {len(true)} and {len(said)}")
    n = max(int(max(true.max(), said.max())) + 1, len(names or ()))
    counts = np.zeros((n, n), int)
    np.add.at(counts, (true, said), 1)
    right = np.eye(n, dtype=bool)
    mistakes = int(counts[~right].sum())
    top = max(int(counts[~right].max(initial=0)), 5)  # a few mistakes shall not look like many
    shown = _names(names, n)
    with figure_of(max(2.2 + 0.5 * n, 4), 1.5 + 0.47 * n) as figure:
        axes = figure.subplots()
        axes.imshow(np.ma.masked_where(right | (counts == 0), counts), cmap=ramp("costs", COSTS), vmin=0, vmax=top)
        axes.imshow(np.ma.masked_where(~right, right), cmap=ramp("right", (FAINT, FAINT)), vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            count = int(counts[row, column])
            colour = QUIET if row == column else INK
            look: dict[str, Any] = {"fontsize": 9} if row == column else {"fontweight": "bold"}
            axes.text(column, row, str(count), ha="center", va="center", color=colour, **look)
        beside: dict[str, Any] = {"va": "center", "color": QUIET, "fontsize": 9}
        for row, total in enumerate(counts.sum(axis=1)):
            axes.text(n - 0.35, row, f"{counts[row, row] / total:.1%}" if total else "–", **beside)
        axes.text(n - 0.35, n - 0.35, "right", **beside | {"va": "top"})
        axes.set_title(f"{mistakes:,} mistake{'s' * (mistakes != 1)} among {len(true):,}")
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        leaning: dict[str, Any] = {"rotation": 45, "ha": "right"} if max(map(len, shown)) > 4 else {}
        axes.set_xticks(range(n), shown, **leaning)
        axes.set_yticks(range(n), shown)
        axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axes.grid(which="minor", color=FAINT, linewidth=0.8)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
    return figure


@checked
def plot_mistakes(images: Array, labels: Array, probabilities: Array, names: Names = None, most: Size = 24) -> Figure:
    """The mistakes that a network was surest of: true class → predicted class, and its probability.

    Parameters
    ----------
    images : (N, H, W), or (N, H, W, C) with 1, 3 or 4 channels
        From 0 to 1, or bytes.
    labels : (N,)
        True classes, as numbers from 0.
    probabilities : (N, classes)
        The network's.
    names : of the classes, optional
    most : int
        Images at most.

    >>> figure = plot_mistakes(np.zeros((2, 5, 5)), [0, 1], [[0.9, 0.1], [0.8, 0.2]], names=["cat", "dog"])
    >>> figure.get_suptitle(), figure.axes[0].get_title()
    ('All 1 mistake: true → predicted, and its probability', 'dog → cat   80%')
    """
    p = _array("plot_mistakes", probabilities, 2, "probabilities (N, classes)")
    true, x = _classes("plot_mistakes", labels), as_array(images, "plot_mistakes")
    if x.ndim not in (3, 4) or not len(x) == len(true) == len(p):
        raise ShapeError(
            "plot_mistakes: expected images (N, H, W) or (N, H, W, C), as many labels, and probabilities (N, classes), "
            f"got shapes {x.shape}, {true.shape} and {p.shape}"
        )
    said = p.argmax(axis=1)
    sure = p[np.arange(len(p)), said]
    wrong = np.flatnonzero(said != true)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    shown, called = wrong[:most], _names(names, int(max(true.max(initial=0), p.shape[1] - 1)) + 1)
    look = _ink(255 if x.dtype == np.uint8 else 1)
    cells = [_Cell(x[k], look, f"{called[true[k]]} → {called[said[k]]}   {_percent(float(sure[k]))}") for k in shown]
    which = f"All {len(wrong)}" if len(wrong) == len(shown) else f"The {len(shown)} surest of {len(wrong):,}"
    what = f"{which} mistake{'s' * (len(wrong) != 1)}: true → predicted, and its probability"
    columns = min(8, max(int(115 / max((len(cell.name) for cell in cells), default=1)), 1))  # so that no names touch
    with figure_of(9, 11.6 / columns * max(math.ceil(len(shown) / columns), 1) + 0.4) as figure:
        figure.suptitle(what if len(wrong) else "No mistakes", x=0.01, ha="left")
        _grid(figure, cells, columns, fontsize=9.5)
    return figure


def _percent(probability: float) -> str:
    """A probability in percent; what is not quite certain never reads 100.

    >>> _percent(0.876), _percent(0.99996)
    ('88%', '>99.9%')
    """
    return ">99.9%" if probability > 0.999 else f"{probability:.1%}" if probability > 0.99 else f"{probability:.0%}"


@checked
class LayerStatistics:
    """A callback for `fit`: after each epoch, gradient norms and activation statistics of every layer on a fixed batch.

    It looks at a snapshot of one forward and backward pass, which leaves no trace in the model.

    Parameters
    ----------
    x, y : arrays
        A batch, the same each time; with `y`, gradients are those of the model's loss, else those of its outputs' sum.
        `x` may be left out where every call of `measure` brings its own.
    loss : function of (y, output), optional
        Instead of the compiled model's own.

    Attributes
    ----------
    gradients : parameter -> its gradient's norm after each epoch
    activations : layer -> (mean, standard deviation, share of zeros) of its output after each epoch

    >>> import tinygrad_conv as tg
    >>> net = tg.nn.Sequential([tg.nn.Dense(4, seed=0), tg.nn.Activation("relu")])
    >>> watch = LayerStatistics(np.ones((8, 3), np.float32))
    >>> watch.measure(net)
    >>> list(watch.gradients), list(watch.activations)
    (['0.weight', '0.bias'], ['0', '1'])
    """

    model: Any
    params: Any

    def __init__(self, x: Array | None = None, y: Array | None = None, loss: Any = None) -> None:
        self.x, self.y, self.loss = x, y, loss
        self.gradients: dict[str, list[float]] = {}
        self.activations: dict[str, list[tuple[float, float, float]]] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Take one measurement.

        >>> import tinygrad_conv as tg
        >>> watch = LayerStatistics(np.ones((8, 3), np.float32))
        >>> watch.model = tg.nn.Dense(4, seed=0)
        >>> watch.on_epoch_end(0)
        >>> len(watch.gradients["weight"])
        1
        """
        self.measure(self.model)

    def measure(self, model: Any, x: Array | None = None, y: Array | None = None) -> None:
        """One measurement of a model, for loops of your own; on another batch, if one is given."""
        if x is None:
            x, y = self.x, self.y
        if x is None:
            raise ArgumentError("LayerStatistics.measure: expected a batch here or in LayerStatistics(x, y), got none")
        loss = self.loss if self.loss is not None else getattr(model, "loss", None)

        def run(x: Tensor) -> Any:
            output = model(x)
            return output if y is None or loss is None else loss(y, output)

        graph = snapshot(run, x, values=True, gradients=True)
        for node in graph.nodes:
            if node.kind == "parameter":
                norm = 0.0 if node.gradients is None else node.gradients.norm
                self.gradients.setdefault(node.name, []).append(norm)
        for node in as_modules(graph).nodes:
            if node.kind == "module" and node.values is not None:
                array = node.values.array
                row = float(array.mean()), float(array.std()), float((array == 0).mean())
                self.activations.setdefault(node.name, []).append(row)

    def plot(self) -> Figure:
        """Gradient norms, standard deviations of activations, and shares of zeros over the epochs.

        A layer's gradient norm is that of all its parameters. Layers that only reshape, do nothing in this mode, or
        come before the first that learns are left out: their line would be that of the layer before, or straight.

        >>> import tinygrad_conv as tg
        >>> watch = LayerStatistics(np.ones((8, 3), np.float32))
        >>> watch.measure(tg.nn.Sequential([tg.nn.Dense(4, seed=0)]))
        >>> [axes.get_title(loc="left") for axes in watch.plot().axes]
        ['gradient norm', 'activations: standard deviation', 'activations: share of zeros']
        """
        if not self.gradients and not self.activations:
            raise ArgumentError("LayerStatistics.plot: nothing measured yet; pass it to fit(callbacks=[...]) first")
        squares: dict[str, Any] = {}
        for name, norms in self.gradients.items():
            layer = name.rpartition(".")[0] or name
            squares[layer] = squares.get(layer, 0.0) + np.square(norms)
        rows: dict[str, Any] = {}
        before: Any = None if squares.keys().isdisjoint(self.activations) else ()
        for name, values in self.activations.items():
            array = np.asarray(values)
            if name in squares or before is None or (len(before) and not np.allclose(array, before, equal_nan=True)):
                rows[name] = before = array
        panels: list[tuple[str, dict[str, Any], bool]] = [
            ("gradient norm", {name: np.sqrt(values) for name, values in squares.items()}, True),
            ("activations: standard deviation", {name: values[:, 1] for name, values in rows.items()}, True),
            ("activations: share of zeros", {name: values[:, 2] for name, values in rows.items()}, False),
        ]
        looks = _line_looks(list({**rows, **squares}))
        epochs = max(len(values) for _, lines, _ in panels for values in lines.values())
        with figure_of(11, 4.0) as figure:
            for axes, (title, lines, steep) in zip(figure.subplots(1, 3), panels, strict=True):
                for name, values in lines.items():
                    axes.plot(range(1, len(values) + 1), values, markersize=4 if epochs <= 40 else 0, **looks[name])
                axes.set_title(title)
                _over_epochs(axes, epochs)
                if steep:
                    _steep(axes, np.concatenate([*lines.values(), []]))
                else:
                    axes.set_ylim(-0.03, 1.03)
                    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
            lines_of = {line.get_label(): line for axes in figure.axes for line in axes.lines}
            named = [name for name in looks if name in lines_of]
            named = named[:: math.ceil(len(named) / 18)]  # of a deep net, some: the colours go by depth
            handles = [lines_of[name] for name in named]
            figure.legend(handles, named, loc="outside lower center", ncols=_columns(len(named)), fontsize=9)
        return figure

    def _nothing(self, *args: Any) -> None: ...

    set_model = on_train_begin = on_train_end = on_epoch_begin = on_train_batch_begin = on_train_batch_end = _nothing


# ------------------------------------------------------------------------------------------------------------------
# Parts


class _Cell(NamedTuple):
    """A picture in a grid: its numbers (None leaves a gap), its colours, and what stands above it."""

    picture: Any
    look: dict[str, Any]
    name: str = ""


_GAP = _Cell(None, {})


def _columns(pictures: int) -> int:
    """At most eight, in rows of even length."""
    return max(math.ceil(pictures / max(math.ceil(pictures / 8), 1)), 1)


def _symmetric(values: Any) -> dict[str, Any]:
    """Diverging colours with 0 in the middle."""
    limit = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    return {"cmap": ramp("signed", SIGNED), "vmin": -limit, "vmax": limit}


def _ink(most: float) -> dict[str, Any]:
    return {"cmap": ramp("inks", INKS), "vmin": 0, "vmax": most}


def ramp(name: str, stops: Sequence[str]) -> Any:
    """A scale of the palette as matplotlib's."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, list(stops))


def _look(values: Any) -> dict[str, Any]:
    """Ink on paper where nothing is negative."""
    symmetric = _symmetric(values)
    if values.size and np.nanmin(values) < 0:
        return symmetric
    return _ink(symmetric["vmax"])


def _mosaic(shown: Sequence[_Cell], columns: int, title: str) -> Figure:
    """Pictures that share one scale, with the scale."""
    rows, size = max(math.ceil(len(shown) / columns), 1), 1.15 if columns > 5 else 1.5
    with figure_of(max(size * columns + 1, 0.085 * len(title)), (size + 0.2) * rows + 0.4) as figure:
        figure.suptitle(title, x=0.01, ha="left")
        _scale(figure, _grid(figure, shown, columns))
    return figure


def _grid(figure: Any, shown: Sequence[_Cell], columns: int, fontsize: float = 8) -> Any:
    """Pictures row by row, each in a thin frame."""
    rows = max(math.ceil(len(shown) / columns), 1)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, cell in zip(grid, [*shown, *[_GAP] * len(grid)], strict=False):
        if cell.picture is None:
            axes.set_visible(False)
            continue
        axes.imshow(cell.picture, **cell.look)
        axes.set_title(cell.name, fontsize=fontsize, fontweight="normal", loc="center", pad=3)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(FAINT)
    return grid


def _scale(figure: Any, grid: Any, label: str = "", of: int = 0, location: str = "right") -> None:
    """The colours of one of the pictures, the first if nothing else is said, beside them all."""
    if grid[of].images:
        bar = figure.colorbar(grid[of].images[0], ax=list(grid), aspect=30, pad=0.02, label=label, location=location)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)


def _line_looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Lines that can be told apart; of more than 18, those of near layers look alike."""
    if len(names) <= 18:
        styles = ("-", "--", ":")
        return {
            name: {"color": SERIES[k % 6], "marker": MARKS[k % 6], "linestyle": styles[k // 6], "label": name}
            for k, name in enumerate(names)
        }
    shade, depths = ramp("depths", SERIES[:2]), np.linspace(0, 1, len(names))
    return {name: {"color": shade(k), "label": name} for k, name in zip(depths, names, strict=True)}


def _steep(axes: Axes, values: Any) -> None:
    """A logarithmic axis, if all values can be shown on it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if not len(values) or not (np.isfinite(values) & (values > 0)).all():
        return
    axes.set_yscale("log")
    if values.max() < 1000 * values.min():
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _names(names: Names, classes: int) -> list[str]:
    """A name for each class: its number, where none is given."""
    given = [str(name) for name in names or ()]
    return given + [str(k) for k in range(len(given), classes)]


def _classes(what: str, value: Array) -> np.ndarray[Any, Any]:
    classes = _array(what, value, 1, "classes (N,)").astype(int)
    low, high = classes.min(initial=0), classes.max(initial=0)
    if not 0 <= low <= high < _MOST_CLASSES:
        raise ArgumentError(f"{what}: expected classes from 0 to {_MOST_CLASSES - 1}, got some from {low} to {high}")
    return classes


def _array(what: str, value: Array, ndim: int, expected: str) -> np.ndarray[Any, Any]:
    array = as_array(value._array if isinstance(value, Tensor) else value, what)
    if array.ndim != ndim or array.dtype.kind not in "biuf":
        raise ShapeError(f"{what}: expected {expected}, got shape {array.shape} of {array.dtype}")
    return array
