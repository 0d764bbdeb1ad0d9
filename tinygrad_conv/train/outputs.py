"""What a run leaves in its folder: weights, history, graph, pictures, report."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__, files, nn
from ..digits import number
from ..errors import MissingExtraError
from ..plots import darkened, plot_confusion, plot_filters, plot_history, plot_mistakes
from . import report
from .recipes import CLASSES, INPUT, RECIPES
from .results import Results
from .run import Images, Run, Settings

PICTURES = ("curves.png", "confusion.png", "mistakes.png", "filters.png", "layers.png")


def write(run: Run, images: Images, results: Results, folder: Path, plots: bool, note: str) -> None:
    """Write everything into a run's folder but its settings and checkpoint, which are there already.

    `note` is what the report's reader must know, such as why pictures are missing.
    """
    files.write_arrays(folder / "weights.npz", run.model.state_dict(), "train")
    lines = io.StringIO()
    table = csv.DictWriter(lines, ("epoch", "loss", "accuracy", "val_loss", "val_accuracy"), lineterminator="\n")
    table.writeheader()
    table.writerows(run.history)
    files.write(folder / "history.csv", lines.getvalue(), "train")
    files.write(
        folder / "results.json", json.dumps({"accuracy": results.accuracy, "loss": results.loss}) + "\n", "train"
    )
    pages = draw_pages(run.model, images.x_test[:1], folder)
    try:
        draw_graph(run.model, images.x_test[:1], folder / "graph.svg")
    except MissingExtraError as error:
        note = f"{note} {error}".strip()
    for name in PICTURES:
        (folder / name).unlink(missing_ok=True)  # those of an earlier state
    dark = draw_pictures(run, images, results, folder) if plots else {}
    write_report(run, images, results, folder, note, dark, pages)


def draw_pages(model: nn.Sequential, x: NDArray[Any], folder: Path) -> dict[str, str]:
    """The graph to look around in, and the microscope of each convolution and pooling: file name -> what it is."""
    from ..graph import snapshot
    from ..graph.microscope import microscope
    from ..graph.page import render_html

    graph = snapshot(model, x, values=True, gradients=True)
    nodes = tuple(dataclasses.replace(node, source="") for node in graph.nodes)  # no line of the reader's made it
    render_html(dataclasses.replace(graph, nodes=nodes), folder / "graph.html")
    pages = {"graph.html": "the graph, to look around in"}
    for path, layer in model.named_children():
        if "Conv" in type(layer).__name__ or "Pool" in type(layer).__name__:
            name = f"microscope-{path}.html"
            microscope(layer, x).render(folder / name)
            pages[name] = f"the microscope of {path}"
        x = layer(x).numpy()
    return pages


def draw_graph(model: nn.Sequential, x: NDArray[Any], path: Path) -> None:
    """The graph of the model's run on one image, as SVG, no wider than a page."""
    from ..graph import draw

    draw(model, x, direction="TB").render(path)


def draw_pictures(run: Run, images: Images, results: Results, folder: Path) -> dict[str, bytes]:
    """The `PICTURES`, but those over epochs only if there was one. The same run gives the same bytes.

    Returns the same in the colours for dark pages.
    """
    dark: dict[str, bytes] = {}
    kernels, maps = first_layer(run.model, images.x_test[:1])
    figures = {
        "confusion.png": plot_confusion(results.labels, results.predicted, list(map(str, range(CLASSES)))),
        "mistakes.png": plot_mistakes(images.x_test, results.labels, results.probabilities),
        "filters.png": plot_filters(kernels, image=images.x_test[0, :, :, 0], maps=maps),
    }
    if run.history:
        metrics = ("loss", "val_loss", "accuracy", "val_accuracy")
        figures["curves.png"] = plot_history({name: [row[name] for row in run.history] for name in metrics})
        figures["layers.png"] = run.layers.plot()
    for name, figure in figures.items():
        draw = partial(figure.savefig, format="png", dpi=110, metadata={"Software": None})
        files.write(folder / name, draw, "train")
        darkened(figure)
        draw(content := io.BytesIO())
        dark[name] = content.getvalue()
    return dark


def first_layer(model: nn.Sequential, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The weights (h, w, 1, K) of the first layer that has any, and its answer (h, w, K) to an image, or None."""
    layer: Any = next(layer for layer in model if any(True for _ in layer.parameters()))
    weights = layer.weight.numpy()
    if weights.ndim == 2:
        return weights.reshape(*x.shape[1:], -1), None
    return weights, layer(x).numpy()[0]


def write_report(
    run: Run, images: Images, results: Results, folder: Path, note: str, dark: dict[str, bytes], pages: dict[str, str]
) -> None:  # fmt: skip
    """The page about the run."""
    settings, seconds, epochs = run.settings, run.seconds, len(run.history)
    layers = nn.rows(run.model, INPUT)
    speed = epochs * len(images.x) / seconds if seconds else 0
    numbers = [
        ("Test accuracy", f"{results.accuracy:.2%}", f"{results.right:,} of {len(results.labels):,} test images"),
        ("Test loss", number(results.loss), "mean cross-entropy"),
        *best(run.history),
        ("Parameters", f"{run.model.count_parameters():,}", f"in {len(layers)} layers"),
        ("Cost", f"{sum(row.flops for row in layers) / 1e6:.2f} MFLOPs", "forward, per image"),
        ("Training time", f"{seconds:.1f} s", f"{epochs} epochs, {speed:,.0f} images/s"),
    ]
    decay = f", × {settings.decay:g} after each epoch" if settings.decay != 1 else ""
    shown = {
        "model": settings.model,
        "data": "all of MNIST" if settings.full else "the sample of MNIST that comes along",
        "images": str(images),
        "epochs": settings.epochs,
        "batch size": settings.batch_size,
        "optimizer": settings.optimizer,
        "learning rate": f"{settings.lr:g}{decay}",
        "seed": settings.seed,
        "versions": f"tinygrad-conv {__version__}, NumPy {np.__version__}",
    }
    rated = [{**row, "lr": settings.lr * settings.decay**k} for k, row in enumerate(run.history)]
    about = RECIPES[settings.model].about
    title, about = f"MNIST digits: {settings.model}", f"{about[0].upper()}{about[1:]}."
    report.write(folder, title, about, numbers, shown, layers, rated, results, command(settings), note, dark, pages)


def best(history: Sequence[Mapping[str, float]]) -> list[tuple[str, str, str]]:
    """The epoch with the lowest loss on the images held out, as a figure for the report."""
    known = [row for row in history if math.isfinite(row["val_loss"])]
    if not known:
        return []
    row = min(known, key=lambda row: row["val_loss"])
    return [("Best epoch", f"{row['epoch']:.0f}", f"of {len(history)}: validation loss {number(row['val_loss'])}")]


def command(settings: Settings) -> str:
    """What to type for these settings.

    >>> command(Settings.of({"model": "dense", "lr": 0.1}))
    'tinygrad-conv train mnist --model dense --lr 0.1'
    """
    usual = dataclasses.asdict(
        Settings.of({"model": settings.model, "full": settings.full, "optimizer": settings.optimizer})
    )
    usual |= {"model": "cnn", "full": False, "optimizer": RECIPES[settings.model].optimizer}
    parts = ["tinygrad-conv train mnist"]
    for name, value in dataclasses.asdict(settings).items():
        if value != usual[name]:
            parts.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}"))
    return " ".join(parts)
