"""What notebooks show of tensors, modules, summaries, plans and histories: HTML that needs no script and no network."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from .digits import number
from .engine.tensor import Tensor, ndarray
from .graph.page.picture import mosaic
from .legible import legible
from .palette import INKS, SIGNED, shared, tint

if TYPE_CHECKING:
    from .nn.module import Module
    from .nn.summary import Row

__all__ = ["curve", "history", "module", "plan", "summary", "table", "tensor"]

_FONT = "font:13px/1.45 system-ui,sans-serif"
_QUIET = "opacity:.75"  # of the page's own colour, be it light or dark
_SIDE = 160  # pixels of the longer side of an image, at least
_MOST = 50_000  # numbers of an image; of a larger one the first maps are shown


def tensor(x: Tensor) -> str:
    """A tensor: an image where it is one, its numbers where they are few, statistics, and its gradient likewise.

    >>> html = tensor(Tensor(np.ones((1, 8, 8, 2)), requires_grad=True, name="x"))
    >>> "2 maps of 8 by 8" in html, "data:image/png" in html, "no gradient yet" in html
    (True, True, True)
    """
    facts = [x.dtype.name, str(x.shape)]
    facts += ["requires a gradient"] if x.node is not None and x.node.primitive is None else []
    facts += [f"from {x.node.shown}"] if x.node is not None and x.node.primitive is not None else []
    parts = [_titled("values", x._array)]
    if x.node is not None and x.node.primitive is None:
        parts.append(
            _titled("gradient", x.node.grad._array) if x.node.grad is not None else "<div>no gradient yet</div>"
        )
    name = f" {legible(x.name)}" if x.name else ""
    return _framed(
        f"Tensor{name}",
        ", ".join(facts),
        f'<div style="display:flex;flex-wrap:wrap;gap:8px 28px">{"".join(parts)}</div>',
    )


def _titled(what: str, array: ndarray[Any, Any]) -> str:
    return f'<div><div style="{_QUIET}">{what}</div>{_shown(array)}</div>'


def _shown(array: ndarray[Any, Any]) -> str:
    if not array.size or array.dtype.kind not in "fiub":
        return f"<code>{escape(np.array2string(array, threshold=20))}</code>"
    if array.size == 1:
        return f"<b>{escape(str(array.item()))}</b>"
    image = _image(array) if _is_image(array) else ""
    few = (
        ""
        if image or array.size > 64 or array.ndim > 2
        else table((), [list(map(number, row)) for row in np.atleast_2d(array).tolist()])
    )
    return image + few + _statistics(array)


def _is_image(array: ndarray[Any, Any]) -> bool:
    """Is there something to see: two axes (or the middle ones) of at least six each?"""
    spatial = (
        array.shape
        if array.ndim == 2
        else array.shape[1:-1]
        if array.ndim == 4
        else array.shape[:2]
        if array.ndim == 3
        else ()
    )
    return len(spatial) == 2 and min(spatial) >= 6


def _image(array: ndarray[Any, Any]) -> str:
    """Maps side by side; colours as they are where the last axis is red, green and blue from 0 to 1."""
    if (
        array.ndim in (3, 4)
        and array.shape[-1] == 3
        and array.dtype.kind == "f"
        and array.min() >= 0
        and array.max() <= 1
    ):
        tiles = (array if array.ndim == 4 else array[None])[: max(1, _MOST // array[0].size if array.ndim == 4 else 1)]
        said, colours = f"{len(tiles)} images, red, green and blue", np.rint(255 * tiles).astype("u1")
    else:
        tiles, said = mosaic(array if array.ndim != 3 else array[None])
        tiles = tiles[: max(1, _MOST // tiles[0].size)].astype("float64")
        colours = _coloured(tiles)
    sheet = _sheet(colours)
    h, w = sheet.shape[:2]
    scale = max(1, _SIDE // max(h, w))
    return (
        f'<img alt="{escape(said)}" src="{_png(sheet)}" width="{w * scale}" height="{h * scale}" '
        f'style="image-rendering:pixelated;max-width:100%;height:auto;border:1px solid {tint("rule")}">'
        f'<div style="{_QUIET}">{escape(said)}</div>'
    )


def _coloured(tiles: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """Numbers as red, green and blue: on a scale with 0 in its middle if any is below, else ink on paper."""
    finite = np.where(np.isfinite(tiles), tiles, 0)
    most = float(np.abs(finite).max()) or 1.0
    stops = SIGNED if finite.min() < 0 else INKS
    places = (finite / most + 1) / 2 if finite.min() < 0 else finite / most
    known = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in stops], "float64")
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.rint(np.interp(places, at, known[:, c])) for c in range(3)], axis=-1).astype("u1")


def _sheet(tiles: ndarray[Any, Any]) -> ndarray[Any, Any]:
    n, h, w, _ = tiles.shape
    across = min(n, max(1, round((n * h / w) ** 0.5)))
    sheet = np.full((-(-n // across) * (h + 1) - 1, across * (w + 1) - 1, 3), 255, "u1")
    for k, tile in enumerate(tiles):
        y, x = k // across * (h + 1), k % across * (w + 1)
        sheet[y : y + h, x : x + w] = tile
    return sheet


def _png(pixels: ndarray[Any, Any]) -> str:
    """An image (H, W, 3) of bytes as an address that holds all of it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    h, w = pixels.shape[:2]
    rows = np.concatenate([np.zeros((h, 1), "u1"), pixels.reshape(h, -1)], axis=1)
    head = struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def _statistics(array: ndarray[Any, Any]) -> str:
    finite = array[np.isfinite(array)].astype("float64")
    bad = array.size - finite.size
    facts = (
        [("from", finite.min()), ("to", finite.max()), ("mean", finite.mean()), ("deviation", finite.std())]
        if finite.size
        else []
    )
    said = ", ".join(f"{name} {number(value)}" for name, value in facts)
    zeros = int((array == 0).sum())
    more = [f"{zeros / array.size:.0%} zeros"] * bool(zeros) + [f"<b>{bad:,} not finite</b>"] * bool(bad)
    return f"<div>{', '.join(filter(None, [said, *more]))}</div>"


# ------------------------------------------------------------------------------------------
# Tables


def table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 0, foot: Sequence[str] = ()) -> str:
    """A table of texts; all columns but the first `texts` are numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        sides = ("left" if k < texts else "right" for k in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align:{side};padding:1px 10px 1px 0">{escape(cell)}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )

    parts = [f"<tr>{line(head, 'th')}</tr>"] if head else []
    parts += [f"<tr>{line(cells, 'td')}</tr>" for cells in rows]
    parts += [f"<tr>{line(foot, 'th')}</tr>"] if foot else []
    return (
        f'<div style="overflow-x:auto"><table style="font-variant-numeric:tabular-nums">{"".join(parts)}</table></div>'
    )


def _framed(title: str, facts: str, body: str) -> str:
    quiet = f' <span style="{_QUIET}">{escape(facts)}</span>' if facts else ""
    return f'<div style="{_FONT}"><b>{escape(title)}</b>{quiet}{body}</div>'


def module(model: Module) -> str:
    """A module: its layers with what they were told, and how many numbers each has learned."""
    rows = []
    for path, child in model.named_modules():
        if not path or any(True for _ in child.named_children()):
            continue
        shapes = ", ".join(f"{name} {tuple(p.shape)}" for name, p in child.named_parameters())
        rows.append((legible(path), legible(child._brief()), shapes, f"{sum(p.size for p in child.parameters()):,}"))
    total = sum(p.size for p in model.parameters())
    body = table(("layer", "what", "shapes", "parameters"), rows, 3, ("all", "", "", f"{total:,}")) if rows else ""
    return _framed(type(model).__name__, f"{total:,} parameter{'s' if total != 1 else ''}", body)


def summary(rows: Sequence[Row]) -> str:
    """The table of `nn.summary`."""
    costs = [(row.parameters + row.fixed, row.flops, row.memory) for row in rows]
    lines = [
        (row.name, row.kind, str(row.output_shape), row.formula, *(f"{cost:,}" for cost in each))
        for row, each in zip(rows, costs, strict=True)
    ]
    sums = [f"{sum(values):,}" for values in zip(*costs, strict=True)]
    head = ("layer", "kind", "output", "made of", "parameters", "FLOPs", "bytes of output")
    return _framed("Summary", "per example", table(head, lines, 4, ("all", "", "", "", *sums)))


def plan(text: str, title: str) -> str:
    """A plan: what it is, and on request the table of its calls."""
    return _framed("Plan", title, f"<details><summary>all calls</summary><pre>{escape(text)}</pre></details>")


def history(epochs: Sequence[int], values: Mapping[str, Sequence[float]], said: str = "") -> str:
    """The loss and each metric over the epochs, as curves, with their best epoch."""
    pairs = {
        name: [key for key in (name, f"val_{name}") if key in values] for name in values if not name.startswith("val_")
    }
    plots = "".join(curve(name, epochs, {key: values[key] for key in keys}) for name, keys in pairs.items())
    best = _best(values)
    facts = [f"{len(epochs)} epoch{'s' if len(epochs) != 1 else ''}", said, best]
    rows = [(name, number(series[0]), number(series[-1])) for name, series in values.items() if len(series)]
    body = f'<div style="display:flex;flex-wrap:wrap;gap:8px 20px">{plots}</div>{table(("", "first", "last"), rows, 1)}'
    return _framed("History", ", ".join(filter(None, facts)), body)


def _best(values: Mapping[str, Sequence[float]]) -> str:
    name = next((name for name in ("val_loss", "loss") if len(values.get(name, ()))), None)
    if name is None or not np.isfinite(values[name]).any():
        return ""
    return f"best {name} in epoch {int(np.nanargmin(values[name])) + 1}"


def curve(title: str, epochs: Sequence[int], series: Mapping[str, Sequence[float]], width: int = 260) -> str:
    """A plot of one or two lines as SVG; one epoch is a point, which says so."""
    known = [v for line in series.values() for v in line if isfinite(v)]
    least, most = (min(known), max(known)) if known else (0.0, 1.0)
    most = most if most > least else least + (abs(least) or 1.0)
    n = max(len(line) for line in series.values())
    bounds = number(most, 3), number(least, 3)
    w, h, left, low = width, 160, max(52, 8 + 8.3 * max(map(len, bounds))), 24  # a digit is 8.3 wide in DejaVu Sans

    def place(k: int, value: float) -> tuple[float, float]:
        across = k / (n - 1) if n > 1 else 0.5
        return left + (w - left - 10) * across, 20 + (h - low - 20) * (1 - (value - least) / (most - least))

    parts, colours = [], [shared(k, len(series)) for k in range(len(series))]
    for colour, (name, line) in zip(colours, series.items(), strict=True):
        points = [place(k, v) for k, v in enumerate(line) if isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
        parts += (
            [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
            if len(line) == 1
            else []
        )
    text = 'font-size="13" fill="currentColor" font-family="system-ui,sans-serif"'
    names = "".join(
        f'<tspan fill="{colour}"> {escape(name)}</tspan>' for colour, name in zip(colours, series, strict=True)
    )
    ends = f"epoch {epochs[0] + 1}" + (f" to {epochs[-1] + 1}" if n > 1 else ", the only one") if len(epochs) else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tgc" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
        f'role="img" aria-label="{escape(title)} over the epochs"><text x="{left:g}" y="12" {text}>{names}</text>'
        f'<text x="{left - 5:g}" y="30" text-anchor="end" {text}>{bounds[0]}</text>'
        f'<text x="{left - 5:g}" y="{h - low}" text-anchor="end" {text}>{bounds[1]}</text>'
        f'<text x="{left:g}" y="{h - 6}" {text}>{ends}</text>'
        f'<path d="M{left:g} 18V{h - low}H{w - 8}" fill="none" stroke="{tint("rule")}"/>{"".join(parts)}</svg>'
    )
