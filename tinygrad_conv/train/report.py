"""`report.html`: one page about a run that needs no network, no scripts and no other file."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import files, palette
from ..digits import number, padded
from ..displays import curve
from ..graph.drawing.fonts import in_page
from .results import Results

STYLE = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--box); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 0 0 .35rem; }
p { margin: 0 0 .9rem; max-width: 46rem; }
.quiet, figcaption, th, .unit { color: var(--quiet); }
section { background: var(--paper); border: 1px solid var(--rule); border-radius: 12px; padding: 1.3rem 1.5rem 1.4rem;
  margin-top: 1.25rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; margin: 1.4rem 0 0; }
.numbers div { background: var(--paper); border: 1px solid var(--rule); border-radius: 12px; padding: .9rem 1.1rem; }
.numbers dt { color: var(--quiet); font-size: .88rem; }
.numbers dd { margin: .1rem 0 0; font-size: 1.55rem; font-weight: 650; line-height: 1.25; }
.numbers .unit { display: block; font-size: .82rem; font-weight: 400; }
.numbers .main { border-color: var(--accent); }
.numbers .main dd { color: var(--accent); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 0 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem; }
th { text-align: left; font-weight: 500; font-size: .86rem; }
th, td { padding: .36rem .9rem .36rem 0; border-bottom: 1px solid var(--rule); vertical-align: baseline; }
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; }
tfoot td { border-top: 2px solid var(--rule); border-bottom: 0; font-weight: 600; }
.right { text-align: right; }
.exact, .scroll:has(:checked) .brief { display: none; }
.scroll:has(:checked) .exact { display: inline; }
code, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em;
  white-space: nowrap; }
figure { margin: .6rem 0 0; background: var(--paper); border-radius: 8px; padding: .8rem; overflow-x: auto;
  text-align: center; }
section > figure { border: 1px solid var(--rule); }
figure img, figure svg { max-width: 100%; height: auto; }
.track { display: block; background: var(--box2); border-radius: 4px; height: .75rem; min-width: 6rem; }
.fill { display: block; background: var(--grad); border-radius: 4px; height: 100%; }
pre { background: var(--box); border: 1px solid var(--rule); border-radius: 8px; padding: .7rem .9rem;
  overflow-x: auto; margin: 0; }
@media (max-width: 60rem) { figure img { max-width: none; } }  /* moved sideways: text stays legible */
@media print { body { background: none; } section { break-inside: avoid; } }
"""

CAPTIONS = {
    "curves.png": (
        "How it learned",
        "Training values are averages over an epoch, with dropout where there is any; validation follows each epoch, "
        "on images held out. Where its loss rises while the training loss falls, the network learns by heart.",
    ),
    "confusion.png": (
        "What is taken for what",
        "Rows are the true digits, columns what the network said. Right answers are on the grey diagonal; the stronger "
        "the orange, the more frequent the mistake.",
    ),
    "mistakes.png": (
        "Its surest mistakes",
        "Test images that the network got wrong, first those where it was surest.",
    ),
    "filters.png": (
        "What the first layer looks for",
        "Ink under red weights adds to a filter's answer, ink under blue ones takes away from it.",
    ),
    "layers.png": (
        "What each layer does, epoch by epoch",
        "Measured after each epoch on the same few training images, without dropout. Layers learn at a like pace where "
        "their gradient norms are near each other; activations that grow without end, fade, or are zero for all images "
        "tell of a layer in trouble.",
    ),
}


def write(
    folder: Path, title: str, about: str, numbers: Sequence[tuple[str, str, str]], settings: Mapping[str, Any],
    layers: Sequence[Any], history: Sequence[Mapping[str, float]], results: Results, command: str,
    note: str = "", dark: Mapping[str, bytes] = {}, pages: Mapping[str, str] = {},
) -> None:  # fmt: skip
    """Write ``report.html`` about the run in `folder`, with the pictures that are there.

    Parameters
    ----------
    about : str
        One or two sentences under the title.
    numbers : (label, value, unit) of the figures to show first
    layers : rows of `nn.rows`
    history : a row for each epoch
    command : str
        What to type to have the same again.
    note : str
        Something the reader must know, such as which pictures are missing and why.
    dark : name -> PNG
        The pictures in the colours for dark pages.
    pages : file name -> what it is
        Interactive pages in the same folder, which the report links.
    """
    cards = "".join(
        f"<div{' class=main' if k == 0 else ''}><dt>{escape(label)}</dt><dd>{escape(value)}"
        f'<span class="unit">{escape(unit)}</span></dd></div>'
        for k, (label, value, unit) in enumerate(numbers)
    )
    pictures = [_picture(folder / name, *CAPTIONS[name], dark.get(name)) for name in CAPTIONS]
    body = [
        f"<h1>{escape(title)}</h1><p class=quiet>{escape(about)}</p><dl class=numbers>{cards}</dl>",
        section("Please note", f"<p>{escape(note)}</p>") if note else "",
        pictures[0],
        _rates(history, settings),
        section("The network", _layers(layers)),
        columns(section("Accuracy per digit", _per_class(results)), section("Settings", _settings(settings))),
        *pictures[1:],
        _graph(folder / "graph.svg", pages),
        section("Epoch by epoch", _history(history)) if history else "",
        section("The same again", f"<pre>{escape(command)}</pre>"),
    ]
    files.write(folder / "report.html", page(title, body), "train")


def page(title: str, body: Iterable[str]) -> str:
    """A page of sections, in the style of the report."""
    lines = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{palette.css()}{STYLE}</style></head><body><main>",
        *filter(None, body),
        "</main></body></html>\n",
    ]
    return "\n".join(lines)


def section(title: str, content: str, text: str = "") -> str:
    """A part of a page, with a line of explanation."""
    words = f"<p class=quiet>{escape(text)}</p>" if text else ""
    return f"<section><h2>{escape(title)}</h2>{words}{content}</section>"


def columns(*sections: str) -> str:
    """Parts beside each other, where there is room."""
    return f"<div class=columns>{''.join(sections)}</div>"


def _picture(path: Path, title: str, text: str, dark: bytes | None) -> str:
    """A PNG inside the page, and the one for readers who prefer dark; nothing if it was not drawn."""
    if not path.exists():
        return ""
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">' if dark else ""
    picture = f'<picture>{source}<img alt="{escape(title)}" src="{_data(path.read_bytes())}"></picture>'
    return section(title, f"<figure>{picture}</figure>", text)


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _rates(history: Sequence[Mapping[str, float]], settings: Mapping[str, Any]) -> str:
    """The learning rate of each epoch."""
    rates = [row["lr"] for row in history if "lr" in row]
    if not rates:
        return ""
    text = f"{settings['optimizer']}: {settings['learning rate']}."
    drawn = curve("learning rate", range(len(rates)), {"learning rate": rates})
    return section("Learning rate", f"<figure>{drawn}</figure>", text)


def _graph(path: Path, pages: Mapping[str, str]) -> str:
    """The SVG without its XML head, so that it can stand in the page, and links to pages to look around in."""
    links = ", ".join(f'<a href="{escape(name)}">{escape(what)}</a>' for name, what in pages.items())
    more = f"<p>To look around in: {links}.</p>" if links else ""
    if not path.exists():
        return section("The graph", more) if more else ""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    text = "Recorded while the network ran on one image: each box is an operation with the shape of its result."
    return section("The graph", f"{more}<figure>{in_page(svg)}</figure>", text)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str | float]], right: Sequence[int], foot: Sequence[str] = ()
) -> str:  # fmt: skip
    """A table of HTML cells; the columns in `right` are numbers. A float is shown in four digits, in all on demand."""
    cells = [list(row) for row in rows]
    switch = ""
    for k in right:
        places = [place for place, row in enumerate(cells) if isinstance(row[k], float)]
        values = [cells[place][k] for place in places]
        both = zip(places, padded([*map(number, values)]), padded([*map(repr, values)]), strict=True)
        for place, brief, exact in both:
            cells[place][k] = f"<span class=brief>{brief}</span><span class=exact>{exact}</span>"
            switch = "<label class=quiet><input type=checkbox> all digits</label>"

    def row(cells: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag} class=right>{cell}</{tag}>" if k in right else f"<{tag}>{cell}</{tag}>"
            for k, cell in enumerate(cells)
        )

    lines = "".join(f"<tr>{row(line, 'td')}</tr>" for line in cells)
    end = f"<tfoot><tr>{row(foot, 'td')}</tr></tfoot>" if foot else ""
    top = f"<thead><tr>{row(head, 'th')}</tr></thead>" if head else ""
    return f"<div class=scroll>{switch}<table>{top}<tbody>{lines}</tbody>{end}</table></div>"


def _layers(layers: Sequence[Any]) -> str:
    rows = [
        (
            escape(row.name), escape(row.kind), f"<span class=mono>{' × '.join(map(str, row.output_shape[1:]))}</span>",
            f"<span class='mono quiet'>{escape(row.formula)}</span>" if row.formula != str(row.parameters) else "",
            f"{row.parameters:,}", f"{row.flops:,}",
        )
        for row in layers
    ]  # fmt: skip
    parameters, flops = sum(row.parameters for row in layers), sum(row.flops for row in layers)
    head = ("layer", "kind", "output", "made of", "parameters", "FLOPs per image")
    return table(head, rows, (4, 5), ("all", "", "", "", f"{parameters:,}", f"{flops:,}"))


def _per_class(results: Results) -> str:
    """How many images of each digit were recognised, with a bar for the share that was not."""
    misses = 1 - results.per_class
    longest = float(np.nanmax(misses)) or 1.0
    rows = []
    for digit, miss in enumerate(misses):
        right, total = int(results.confusion[digit, digit]), int(results.confusion[digit].sum())
        width = 0.0 if math.isnan(miss) else 100 * float(miss) / longest
        bar = f'<span class=track><span class=fill style="width:{width:.1f}%"></span></span>'
        rows.append((str(digit), "–" if math.isnan(miss) else f"{1 - miss:.1%}", f"{right}/{total}", bar))
    return table(("digit", "accuracy", "right", f"missed (full bar: {longest:.1%})"), rows, (1, 2))


def _settings(settings: Mapping[str, Any]) -> str:
    return table((), [(escape(name), escape(str(value))) for name, value in settings.items()], ())


def _history(history: Sequence[Mapping[str, float]]) -> str:
    rows = [
        (
            str(row["epoch"]), float(row["loss"]), f"{row['accuracy']:.2%}", float(row["val_loss"]),
            f"{row['val_accuracy']:.2%}",
        )
        for row in history
    ]  # fmt: skip
    return table(("epoch", "loss", "accuracy", "validation loss", "validation accuracy"), rows, (0, 1, 2, 3, 4))
