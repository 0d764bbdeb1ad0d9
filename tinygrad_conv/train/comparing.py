"""`compare`: several runs on one page: what they differ in, how they learned, and how they did."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from .. import files
from ..displays import curve
from ..errors import ArgumentError
from . import report
from .outputs import best
from .run import Epoch, Settings

SHOWN = {"val_loss": "Validation loss", "val_accuracy": "Validation accuracy", "loss": "Training loss"}
_LARGEST = 10_000_000  # bytes of a history


def compare(folders: Sequence[str], out: str | None) -> int:
    """Write a page about runs, by default beside the first one; returns the exit code.

    Raises DataError for a folder that is not that of a run.
    """
    if len(set(folders)) < len(folders):
        raise ArgumentError("report: expected different runs, got one twice")
    runs = {Path(folder).name if len(folders) > 1 else folder: _Told(Path(folder)) for folder in folders}
    if len(runs) < len(folders):  # the same name in two places
        runs = {folder: _Told(Path(folder)) for folder in folders}
    path = Path(out) if out is not None else Path(folders[0]).parent / "report.html"
    print(files.write(path, _page(runs), "report"))
    return 0


class _Told:
    """What the folder of a run says of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings.load(folder / "settings.json")
        self.history = _history(folder / "history.csv")
        self.results: dict[str, float] = {}
        path = folder / "results.json"
        if path.exists():
            expected = files.Expected(str(path), "the results of a run")
            found = files.parsed(expected.read(path, 10_000), expected)
            if not isinstance(found, dict) or not all(isinstance(v, (int, float)) for v in found.values()):
                raise expected.error("other content")
            self.results = found


def _history(path: Path) -> list[dict[str, float]]:
    expected = files.Expected(str(path), "the history of a run")
    names = [field.name for field in dataclasses.fields(Epoch)]
    with expected.checking("other content"):
        rows = list(csv.DictReader(io.StringIO(expected.read(path, _LARGEST).decode())))
        return [{name: float(row[name]) for name in names} for row in rows]


def _page(runs: dict[str, _Told]) -> str:
    names = list(runs)
    settings = {name: dataclasses.asdict(run.settings) for name, run in runs.items()}
    differ = [
        key for key in settings[names[0]] if key != "epochs" and len({str(settings[name][key]) for name in names}) > 1
    ]
    rows = [_row(name, run, [settings[name][key] for key in differ]) for name, run in runs.items()]
    head = ["run", "model", *(key.replace("_", " ") for key in differ if key != "model"), "epochs", "best epoch",
            "validation loss", "validation accuracy", "test loss", "test accuracy"]  # fmt: skip
    if "model" in differ:
        rows = [[row[0], *(cell for k, cell in enumerate(row[1:]) if k != 1 + differ.index("model"))] for row in rows]
    body = report.section("Side by side", report.table(head, rows, range(2, len(head))))
    plots = []
    for key, title in SHOWN.items():
        lines = {name: [row[key] for row in run.history] for name, run in runs.items() if run.history}
        if lines:
            longest = max(map(len, lines.values()))
            plots.append(report.section(title, f"<figure>{curve(title, range(longest), lines, 300)}</figure>"))
    title = f"Runs compared: {', '.join(names)}" if len(names) > 1 else f"Run {names[0]}"
    return report.page(title, [f"<h1>{escape(title)}</h1>", body, report.columns(*plots)])


def _row(name: str, run: _Told, differing: Sequence[Any]) -> list[str | float]:
    at_best = best(run.history)
    row = min(run.history, key=lambda row: row["val_loss"]) if at_best else {}
    held = [float(row["val_loss"]), f"{row['val_accuracy']:.2%}"] if row else ["–", "–"]
    told = run.results
    tested = [float(told["loss"]), f"{told['accuracy']:.2%}"] if {"loss", "accuracy"} <= told.keys() else ["–", "–"]
    epochs = [str(len(run.history)), at_best[0][1] if at_best else "–"]
    return [*map(escape, (name, run.settings.model, *map(str, differing), *epochs)), *held, *tested]
