"""``tinygrad-conv figures``: the lecture's figures, as SVG and PDF, for light and for dark slides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write
from ..graph.drawing.pdf import svg_to_pdf
from ..graph.drawing.render import draw
from ..palette import SERIES, TWINS, tint

__all__ = ["FIGURES", "figures"]

CELL = 34
COLOURS = {
    "paper": tint("paper"), "ink": tint("ink"), "line": tint("line"), "cell": tint("bar"), "own": tint("group"),
    "a": tint("input"), "b": tint("parameter"), "c": tint("output"), "red": SERIES[1], "green": SERIES[2],
    "blue": SERIES[0],
    **{f"shared {k}": colour for k, colour in enumerate(SERIES[:4])},
}  # fmt: skip


class Sheet:
    """A figure of squares, words and arrows, which grows with what is put on it."""

    def __init__(self, colours: dict[str, str]) -> None:
        self.colours, self.parts = colours, list[str]()
        self.width = self.height = 0.0

    def grid(self, x: float, y: float, cells: Any, text: bool = True, size: float = CELL) -> None:
        """Rows of (colour, what stands in it); a colour is one of `COLOURS`."""
        for i, row in enumerate(cells):
            for j, (colour, word) in enumerate(row):
                left, top = x + j * size, y + i * size
                fill = self.colours[colour]
                self.parts.append(
                    f'<rect x="{left:g}" y="{top:g}" width="{size:g}" height="{size:g}" fill="{fill}" '
                    f'stroke="{self.colours["line"]}" stroke-width="0.8"/>'
                )
                self._reach(left + size, top + size)
                if text and word != "":
                    self.words(left + size / 2, top + size / 2 + 5, word, middle=True)

    def words(self, x: float, y: float, text: object, middle: bool = False, size: int = 14) -> None:
        anchor = ' text-anchor="middle"' if middle else ""
        style = f'font-size="{size}"{anchor} fill="{self.colours["ink"]}"'
        self.parts.append(f'<text x="{x:g}" y="{y:g}" {style}>{escape(str(text))}</text>')
        wide = 0.6 * size * len(str(text))
        self._reach(x + (wide / 2 if middle else wide), y + 4)

    def arrow(self, x: float, y: float, length: float = 40) -> None:
        ink = self.colours["ink"]
        tip = x + length
        self.parts.append(f'<polyline fill="none" stroke="{ink}" points="{x:g},{y:g} {tip - 8:g},{y:g}"/>')
        self.parts.append(f'<polygon fill="{ink}" points="{tip:g},{y:g} {tip - 9:g},{y - 4:g} {tip - 9:g},{y + 4:g}"/>')

    def _reach(self, x: float, y: float) -> None:
        self.width, self.height = max(self.width, x), max(self.height, y)

    @property
    def svg(self) -> str:
        width, height = f"{self.width + 20:g}", f"{self.height + 20:g}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'font-family="Helvetica,Arial,sans-serif"><rect x="0" y="0" width="{width}" height="{height}" '
            f'fill="{self.colours["paper"]}"/>{"".join(self.parts)}</svg>'
        )


def image(height: int, width: int, marked: dict[tuple[int, int], str], values: Any = None) -> list[list[Any]]:
    """The cells of a picture: some in a colour of their own."""
    return [
        [(marked.get((i, j), "cell"), "" if values is None else f"{values[i][j]:g}") for j in range(width)]
        for i in range(height)
    ]


def window(y: int, x: int, size: int, colour: str, step: int = 1) -> dict[tuple[int, int], str]:
    return {(y + step * i, x + step * j): colour for i in range(size) for j in range(size)}


def patch(sheet: Sheet) -> None:
    sheet.words(20, 28, "A hidden unit looks at a patch")
    sheet.grid(20, 44, image(7, 7, window(2, 3, 3, "a")), size=26)
    sheet.arrow(214, 135)
    sheet.grid(266, 118, [[("a", "")]])
    sheet.words(20, 250, "9 weights, where a unit that sees everything has 49", size=12)


def sharing(sheet: Sheet) -> None:
    sheet.words(20, 28, "One matrix: everything, then a patch each, then shared")
    for k, (name, note) in enumerate((("dense", "36 weights"), ("cut", "16 weights"), ("shared", "4 weights"))):
        rows = []
        for y in range(2):
            for x in range(2):
                seen = {(y + i) * 3 + x + j: f"shared {2 * i + j}" for i in range(2) for j in range(2)}
                own = [(seen.get(c, "paper") if name == "shared" else "own", "") for c in range(9)]
                rows.append([cell if name == "dense" or c in seen else ("paper", "") for c, cell in enumerate(own)])
        sheet.grid(20 + 200 * k, 64, rows, size=20)
        sheet.words(20 + 200 * k, 56, name, size=12)
        sheet.words(20 + 200 * k, 164, note, size=12)


def stride(sheet: Sheet) -> None:
    for k, step in enumerate((1, 2)):
        x = 20 + 270 * k
        sheet.words(x, 28, f"Stride {step}")
        marked = window(1, 0, 3, "a") | {(1 + i, step + j): "b" for i in range(3) for j in range(3)}
        marked |= {(1 + i, j): "c" for i in range(3) for j in range(step, 3)}
        sheet.grid(x, 44, image(5, 7, marked), size=32)
        sheet.words(x, 224, f"{(7 - 3) // step + 1} patches in a row", size=12)
    sheet.words(20, 246, "blue: in the first patch; yellow: in the second; green: in both", size=12)


def padding(sheet: Sheet) -> None:
    sheet.words(20, 28, "Padding 1: zeros around the picture")
    edge = {(i, j): "paper" for i in range(7) for j in range(7) if {i, j} & {0, 6}}
    values = np.pad(np.ones((5, 5)), 1)
    sheet.grid(20, 44, image(7, 7, edge | window(0, 0, 3, "a"), values), size=30)
    sheet.arrow(242, 149)
    sheet.grid(294, 74, image(5, 5, {(0, 0): "a"}), size=30)
    sheet.words(20, 276, "5 by 5 goes in, and 5 by 5 comes out", size=12)


def channels(sheet: Sheet) -> None:
    sheet.words(20, 28, "A patch of a colour picture has three channels, and so has the filter")
    for k, name in enumerate(("red", "green", "blue")):
        sheet.grid(20 + 130 * k, 64, image(4, 4, window(1, 1, 2, name)), size=28)
        sheet.words(20 + 130 * k, 56, name, size=12)
    sheet.arrow(412, 120)
    sheet.grid(464, 103, [[("c", "Σ")]])
    sheet.words(20, 206, "2 * 2 * 3 = 12 weights and a bias make one number", size=12)


def pooling(sheet: Sheet) -> None:
    values = [[1, 3, 2, 0], [5, 4, 1, 1], [0, 2, 6, 7], [1, 1, 8, 3]]
    marked = window(0, 0, 2, "a") | window(0, 2, 2, "b") | window(2, 0, 2, "c")
    sheet.words(20, 28, "Max pooling and average pooling")
    sheet.grid(20, 44, image(4, 4, marked, values))
    sheet.arrow(170, 112)
    for k, (name, results) in enumerate((("max", [[5, 2], [2, 8]]), ("average", [[3.25, 1], [1, 6]]))):
        colours = {(0, 0): "a", (0, 1): "b", (1, 0): "c"}
        sheet.grid(230 + 120 * k, 78, image(2, 2, colours, results), size=44)
        sheet.words(230 + 120 * k, 70, name, size=12)


def _dense_drawing(**options: Any) -> Callable[[str], str]:
    def drawn(theme: str) -> str:
        from ..nn import Dense, Flatten, Sequential

        net = Sequential(
            [Flatten(name="flatten"), Dense(10, activation="relu", name="hidden"), Dense(10, name="output")], seed=0
        )
        example = np.random.default_rng(0).random((1, 28, 28, 1), dtype="float32")
        return draw(net, example, level="units", theme=theme, **options).svg  # type: ignore[arg-type]

    return drawn


def _convnet(theme: str) -> str:
    from ..train.recipes import build

    example = np.zeros((1, 28, 28, 1), "float32")
    shown = ("shape", "params", "flops")
    return draw(build("cnn", seed=0), example, level="modules", show=shown, theme=theme).svg  # type: ignore[arg-type]


def _sheet(fill: Callable[[Sheet], None]) -> Callable[[str], str]:
    def drawn(theme: str) -> str:
        sheet = Sheet({name: TWINS[of] if theme == "dark" else of for name, of in COLOURS.items()})
        fill(sheet)
        return sheet.svg

    return drawn


FIGURES: dict[str, Callable[[str], str]] = {
    "partial-diagram": _dense_drawing(), "hidden-unit": _dense_drawing(unit=3), "convnet": _convnet,
    **{fill.__name__: _sheet(fill) for fill in (patch, sharing, stride, padding, channels, pooling)},
}  # fmt: skip


def figures(folder: str) -> Iterator[Path]:
    """Write each figure as NAME-light.svg, NAME-dark.svg, and both as .pdf; the paths, one by one."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, drawn in FIGURES.items():
        for theme in ("light", "dark"):
            svg = drawn(theme)
            for suffix, content in (("svg", svg), ("pdf", svg_to_pdf(svg))):
                yield write(Path(folder) / f"{name}-{theme}.{suffix}", content, "figures")
