"""`svg_to_pdf`: a picture as a PDF of one page, in vectors, by nothing but the standard library.

It reads the SVG that this package makes: Graphviz's groups, polygons, polylines, ellipses, paths and lines of text, and
the squares of `as_dense`. Text stays text, which can be searched and copied, in the fonts that every reader of PDF
brings along: Helvetica, and Symbol for Greek and mathematics. Equal pictures give equal bytes.

Why by hand: of the libraries that do this, svglib (with reportlab and lxml) has no ᵀ in these fonts, so that ``convᵀ``
ends in a black box, and CairoSVG needs the system's cairo. Here nothing has to be installed.

Source: ISO 32000-1:2008, chapters 7.5 (files), 8 (graphics) and 9 (text), and annex D (the fonts' characters).
"""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple, TypeAlias

from .fonts import BOLD, REGULAR

__all__ = ["svg_to_pdf"]

Style: TypeAlias = Mapping[str, str]  # an element's attributes, and those that it inherits

_LONGEST = 14_400  # points: no page may be longer (annex C), and a larger picture is scaled


def svg_to_pdf(svg: str | bytes) -> bytes:
    """The picture as a PDF file, a point for each unit of the SVG.

    Parameters
    ----------
    svg : str or bytes
        An ``<svg>`` element such as `Drawing.svg`. Its style sheet (dark mode), links and tooltips are left out.

    Returns
    -------
    bytes
        The file.

    >>> file = svg_to_pdf('<svg viewBox="0 0 9 6"><polygon fill="black" points="0,0 9,0 9,6"/></svg>')
    >>> file[:8], b"/MediaBox[0 0 9 6]" in file
    (b'%PDF-1.4', True)
    """
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    scale = min(1.0, _LONGEST / max(width, height))
    width, height = width * scale, height * scale
    axes = f"{scale:.6g} 0 0 {-scale:.6g} 0 {height:.6g} cm 4 M"  # in SVG, y points down and sharp tips are cut at 4
    content = zlib.compress("\n".join([axes, *_operators(root, {})]).encode("ascii"))
    fonts = "".join(f"/{name} {number} 0 R" for number, name in enumerate(_FONTS, 5))
    return _file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width:.6g} {height:.6g}]/Contents 4 0 R"
        f"/Resources<</Font<<{fonts}>>>>>>".encode(),
        b"<</Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (len(content), content),
        *(f"<</Type/Font/Subtype/Type1/BaseFont{font}>>".encode() for font in _FONTS.values()),
    )


def _file(*objects: bytes) -> bytes:
    """Objects, numbered from 1, and the table that says at which byte each starts; the first is the catalog."""
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"  # the second line shows that the file is no text
    starts = []
    for number, content in enumerate(objects, 1):
        starts.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    size = len(objects) + 1
    table = "".join(f"{start:010} 00000 n \n" for start in starts)
    trailer = f"trailer\n<</Size {size}/Root 1 0 R>>\nstartxref\n{len(file)}\n%%EOF\n"
    return file + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def _operators(element: ET.Element, style: Style) -> Iterator[str]:
    """What draws an element and those in it, which inherit its attributes."""
    style = {**style, **element.attrib}
    tag = element.tag.rpartition("}")[2]
    if tag == "text":
        yield from _text("".join(element.itertext()), style)
    elif tag in _OUTLINES:
        yield from _shape(_OUTLINES[tag](style), style)
    elif tag in ("svg", "g", "a"):
        yield "q"
        for name, numbers in re.findall(r"(scale|translate)\((.*?)\)", style.pop("transform", "")):
            x, y = _numbers(numbers)
            yield f"{x} 0 0 {y} 0 0 cm" if name == "scale" else f"1 0 0 1 {x} {y} cm"
        for child in element:
            yield from _operators(child, style)
        yield "Q"


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?[\d.]+", text)


# ------------------------------------------------------------------------------------------
# Shapes


def _line(style: Style) -> str:
    numbers = _numbers(style["points"])
    points = (f"{x} {y}" for x, y in zip(numbers[::2], numbers[1::2], strict=True))
    return f"{next(points)} m " + " ".join(f"{point} l" for point in points)


def _path(style: Style) -> str:
    """Moves, lines and Bézier curves, all to absolute places; PDF has a command for each of several curves."""
    drawn = []
    for command, text in re.findall(r"([MLC])([^A-Za-z]*)", style["d"]):
        numbers, each = _numbers(text), 6 if command == "C" else 2
        drawn += [" ".join([*numbers[k : k + each], command.lower()]) for k in range(0, len(numbers), each)]
    return " ".join(drawn)


def _ellipse(style: Style) -> str:
    x, y, a, b = (float(style[name]) for name in ("cx", "cy", "rx", "ry"))
    k = 4 / 3 * (2**0.5 - 1)  # the Bézier curve that is closest to a quarter of a circle
    quarters = (1, k, k, 1, 0, 1), (-k, 1, -1, k, -1, 0), (-1, -k, -k, -1, 0, -1), (k, -1, 1, -k, 1, 0)
    curves = (" ".join(f"{x + a * q[i]:.2f} {y + b * q[i + 1]:.2f}" for i in (0, 2, 4)) for q in quarters)
    return f"{x + a:.2f} {y:.2f} m " + " ".join(f"{curve} c" for curve in curves)


_OUTLINES: dict[str, Callable[[Style], str]] = {
    "polygon": lambda style: f"{_line(style)} h",
    "polyline": _line,
    "path": _path,
    "ellipse": lambda style: f"{_ellipse(style)} h",
    "rect": lambda style: "{x} {y} {width} {height} re".format_map(style),
}


def _shape(outline: str, style: Style) -> Iterator[str]:
    fill, line = _colour(style.get("fill", "black")), _colour(style.get("stroke", "none"))
    if fill:
        yield f"{fill} rg"
    if line:
        dashes = " ".join(_numbers(style.get("stroke-dasharray", "")))
        yield f"{line} RG {style.get('stroke-width', '1')} w [{dashes}] 0 d"
    if fill or line:
        yield f"{outline} {'B' if fill and line else 'f' if fill else 'S'}"


_NAMED = {"black": "0.000 0.000 0.000", "white": "1.000 1.000 1.000"}


def _colour(name: str) -> str:
    """Red, green and blue from 0 to 1; empty where nothing is to be painted."""
    if name in ("none", "transparent"):
        return ""
    if name in _NAMED:
        return _NAMED[name]
    return " ".join(f"{int(name[k : k + 2], 16) / 255:.3f}" for k in (1, 3, 5))


# ------------------------------------------------------------------------------------------
# Text

_FONTS = {
    "Regular": "/Helvetica/Encoding/WinAnsiEncoding",
    "Bold": "/Helvetica-Bold/Encoding/WinAnsiEncoding",
    "Symbol": "/Symbol",
}
_SYMBOLS = {
    character: first + k
    for first, characters in {
        0x41: "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", 0x61: "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", 0x22: "∀", 0x24: "∃", 0x2A: "∗",
        0x2D: "−", 0x5E: "⊥", 0x7E: "∼", 0xA2: "′≤", 0xA5: "∞", 0xAB: "↔←↑→↓", 0xB3: "≥", 0xB5: "∝∂", 0xB9: "≠≡≈",
        0xC4: "⊗⊕∅∩∪", 0xCE: "∈∉", 0xD1: "∇", 0xD5: "∏√⋅", 0xD9: "∧∨⇔⇐⇑⇒⇓", 0xE5: "∑", 0xF2: "∫",
    }.items()
    for k, character in enumerate(characters)
}  # fmt: skip
_WIDTH = 556  # thousandths of the size: all digits, most small letters, and about that of a symbol


class _Glyph(NamedTuple):
    font: str
    code: int
    width: float  # of the line's size, as are the next two
    size: float = 1.0
    rise: float = 0.0


def _text(text: str, style: Style) -> Iterator[str]:
    """A line of text: runs of one font, size and height each."""
    font = "Bold" if style.get("font-weight") in ("bold", "600") else "Regular"
    glyphs = [glyph for character in text for glyph in _glyphs(character, font)]
    size = float(style["font-size"])
    wide = size * sum(glyph.width for glyph in glyphs)
    x = float(style["x"]) - wide * {"middle": 0.5, "end": 1.0}.get(style.get("text-anchor", "start"), 0.0)
    line = f"BT 1 0 0 -1 {x:.2f} {style['y']} Tm"
    for (name, scale, rise), run in groupby(glyphs, key=lambda glyph: (glyph.font, glyph.size, glyph.rise)):
        codes = bytes(glyph.code for glyph in run).hex()
        line += f" /{name} {size * scale:g} Tf {size * rise:g} Ts <{codes}> Tj"
    if stroke := _colour(style.get("stroke", "none")):  # an outline around the letters, beneath them
        yield f"{stroke} RG {style.get('stroke-width', '1')} w [] 0 d 1 Tr {line} ET 0 Tr"
    yield f"{_colour(style.get('fill', 'black'))} rg {line} ET"


def _glyphs(character: str, font: str) -> list[_Glyph]:
    """A character, or what comes closest to it in these fonts: a raised or lowered one, a letter without its accent."""
    widths = BOLD if font == "Bold" else REGULAR
    with suppress(UnicodeEncodeError):
        (code,) = character.encode("cp1252")
        plain = unicodedata.normalize("NFD", character)[0]  # letters with an accent are as wide as without
        return [_Glyph(font, code, widths.get(plain, _WIDTH) / 1000)]
    if character in _SYMBOLS:
        return [_Glyph("Symbol", _SYMBOLS[character], widths.get(character, _WIDTH) / 1000)]
    if unicodedata.combining(character):
        return []
    how = unicodedata.decomposition(character)  # such as "<super> 0054", "0065 030C" or nothing
    parts = [chr(int(code, 16)) for code in re.findall(r"\b[0-9A-F]{4,5}\b", how)] or ["?"]
    glyphs = [glyph for part in parts for glyph in _glyphs(part, font)]
    size, rise = (0.6, 0.35) if "<super>" in how else (0.6, -0.15) if "<sub>" in how else (1.0, 0.0)
    return [glyph._replace(width=size * glyph.width, size=size, rise=rise) for glyph in glyphs]
