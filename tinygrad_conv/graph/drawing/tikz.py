"""`svg_to_tikz`: a picture as TikZ, for papers that are written in LaTeX.

It reads the SVG that this package makes, as `pdf` does. Text stays text, in the paper's own sans serif font, which is
hardly wider than the one that the picture was laid out for. ``\\usepackage{tikz}`` is all that a paper needs for
``\\input{net.tikz}``. Equal pictures give equal text.
"""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

__all__ = ["svg_to_tikz"]

Style: TypeAlias = Mapping[str, str]  # an element's attributes, and those that it inherits


def svg_to_tikz(svg: str | bytes) -> str:
    """The picture as a ``tikzpicture``, a point of TeX's (bp) for each unit of the SVG.

    Parameters
    ----------
    svg : str or bytes
        An ``<svg>`` element such as `Drawing.svg`. Its style sheet (dark mode), links and tooltips are left out.

    >>> print(svg_to_tikz('<svg viewBox="0 0 9 6"><polygon fill="#ff0000" points="0,0 9,0 9,6"/></svg>'), end="")
    % \\usepackage{tikz}, and in the text: \\input{this file}
    \\begin{tikzpicture}[x=1bp, y=-1bp, miter limit=4]
    \\definecolor{tgff0000}{HTML}{FF0000}
    \\path[use as bounding box] (0,0) rectangle +(9,6);
    \\path[fill=tgff0000] (0,0) -- (9,0) -- (9,6) -- cycle;
    \\end{tikzpicture}
    """
    root = ET.fromstring(svg)
    x, y, width, height = root.attrib["viewBox"].split()
    drawn = list(_drawn(root, {}))
    colours = sorted(set(re.findall(r"\btg([0-9a-f]{6})\b", "\n".join(drawn))))
    return "\n".join([
        r"% \usepackage{tikz}, and in the text: \input{this file}",
        r"\begin{tikzpicture}[x=1bp, y=-1bp, miter limit=4]",
        *([_FITTED] if any(r"\tgtext" in line for line in drawn) else ()),
        *(rf"\definecolor{{tg{colour}}}{{HTML}}{{{colour.upper()}}}" for colour in colours),
        rf"\path[use as bounding box] ({x},{y}) rectangle +({width},{height});", *drawn, r"\end{tikzpicture}", "",
    ])  # fmt: skip


# A text, narrowed where it is wider in this font than there is room for it.
_FITTED = r"\def\tgtext#1#2{\setbox0\hbox{#2}\ifdim\wd0>#1\resizebox{#1}{\height}{\usebox0}\else\usebox0\fi}"


def _drawn(element: ET.Element, style: Style) -> Iterator[str]:
    """What draws an element and those in it, which inherit its attributes."""
    style = {**style, **element.attrib}
    tag = element.tag.rpartition("}")[2]
    if tag == "text":
        yield _text("".join(element.itertext()), style)
    elif tag in _OUTLINES:
        yield from _shape(_OUTLINES[tag](style), style)
    elif tag in ("svg", "g", "a"):
        moves = re.findall(r"(scale|translate)\((.*?)\)", style.pop("transform", ""))
        options = [_move(name, *_numbers(numbers)) for name, numbers in moves]
        inside = [line for child in element for line in _drawn(child, style)]
        yield from [rf"\begin{{scope}}[{', '.join(options)}]", *inside, r"\end{scope}"] if options else inside


def _move(name: str, x: str, y: str) -> str:
    return f"xscale={x}, yscale={y}" if name == "scale" else f"shift={{({x},{y})}}"


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?[\d.]+", text)


def _points(text: str) -> list[str]:
    numbers = _numbers(text)
    return [f"({x},{y})" for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


# ------------------------------------------------------------------------------------------
# Shapes


def _path(style: Style) -> str:
    """Moves, lines and Bézier curves, all to absolute places."""
    parts = []
    for command, text in re.findall(r"([MLC])([^A-Za-z]*)", style["d"]):
        points = _points(text)
        if command == "C":
            for a, b, end in zip(points[::3], points[1::3], points[2::3], strict=True):
                parts.append(f".. controls {a} and {b} .. {end}")
        else:
            parts += [point if command == "M" else f"-- {point}" for point in points]
    return " ".join(parts)


_OUTLINES: dict[str, Callable[[Style], str]] = {
    "polygon": lambda style: f"{' -- '.join(_points(style['points']))} -- cycle",
    "polyline": lambda style: " -- ".join(_points(style["points"])),
    "path": _path,
    "ellipse": lambda style: "({cx},{cy}) ellipse [x radius={rx}, y radius={ry}]".format_map(style),
    "rect": lambda style: "({x},{y}) rectangle +({width},{height})".format_map(style),
}


def _shape(outline: str, style: Style) -> Iterator[str]:
    fill, line = _colour(style.get("fill", "black")), _colour(style.get("stroke", "none"))
    options = [f"fill={fill}"] if fill else []
    if line:
        options += [f"draw={line}", f"line width={style.get('stroke-width', '1')}bp"]
        dashes = _numbers(style.get("stroke-dasharray", ""))
        if dashes:
            options.append(
                "dash pattern=" + " ".join(f"{'off' if k % 2 else 'on'} {n}bp" for k, n in enumerate(dashes))
            )
    if options:
        yield rf"\path[{', '.join(options)}] {outline};"


def _colour(name: str) -> str:
    """What a colour is called in LaTeX; empty where nothing is to be painted."""
    if name in ("none", "transparent"):
        return ""
    return f"tg{name[1:7].lower()}" if name.startswith("#") else name


# ------------------------------------------------------------------------------------------
# Text

_ANCHORS = {"start": "base west", "middle": "base", "end": "base east"}
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$",
    "|": r"$|$", "-": "{-}", "'": "{'}", "`": "{`}", "−": r"$-$",
    "×": r"$\times$", "·": r"$\cdot$", "←": r"$\leftarrow$", "→": r"$\rightarrow$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "ᵀ": r"$^{\mathsf{T}}$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$", "√": r"$\surd$", "∂": r"$\partial$", "∇": r"$\nabla$",
    "ο": "o", "∑": r"$\sum$", "∏": r"$\prod$", "…": r"\dots{}",
    "—": "---", "–": "--", "’": "'", "‘": "`", "“": "``", "”": "''",
    **{character: "\\" + character for character in "{}$&#_%"},
}  # fmt: skip


def _text(text: str, style: Style) -> str:
    """A line of text, in the paper's sans serif font."""
    size = style["font-size"]
    bold = r"\bfseries" if style.get("font-weight") in ("bold", "600") else ""
    line = rf"\sffamily{bold}\fontsize{{{size}bp}}{{{size}bp}}\selectfont {''.join(map(_character, text))}"
    if "textLength" in style:
        line = rf"\tgtext{{{style['textLength']}bp}}{{{line}}}"
    anchor, colour = _ANCHORS[style.get("text-anchor", "start")], _colour(style.get("fill", "black"))
    return rf"\node[anchor={anchor}, inner sep=0, text={colour}] at ({style['x']},{style['y']}) {{{line}}};"


def _character(character: str) -> str:
    """A character as LaTeX has it, or what comes closest: Greek in mathematics, a letter without its accent."""
    if character in _SPECIAL or character.isascii():
        return _SPECIAL.get(character, character if character.isprintable() else " ")
    words = unicodedata.name(character, "").split()
    if words[:3] == ["GREEK", "SMALL", "LETTER"] and len(words) == 4:
        return rf"$\{words[-1].lower()}$".replace("lamda", "lambda")
    how = unicodedata.decomposition(character)  # such as "<super> 0054", "0065 030C" or nothing
    parts = [chr(int(code, 16)) for code in re.findall(r"\b[0-9A-F]{4,5}\b", how)] or ["?"]
    plain = "".join(_character(part) for part in parts if not unicodedata.combining(part))
    place = "^" if "<super>" in how else "_" if "<sub>" in how else ""
    return rf"${place}{{\mathsf{{{plain}}}}}$" if place else plain
