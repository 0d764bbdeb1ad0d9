"""`svg_to_pdf`: a picture as a PDF of one page, in vectors, by nothing but the standard library.

It reads the SVG that this package makes: Graphviz's groups, polygons, polylines, ellipses, paths of Bézier curves and
lines of text, and `as_dense`'s squares. Text stays text, which can be searched and copied, in the fonts that every
reader of PDF brings along (Helvetica, and Symbol for Greek and mathematics): no font is embedded. Equal pictures give
equal bytes.

Source: PDF 32000-1:2008, sections 8 (graphics) and 9 (text), and annex D for the fonts' characters.
"""

from __future__ import annotations

import colorsys
import re
import unicodedata
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, groupby
from typing import NamedTuple, TypeAlias

__all__ = ["svg_to_pdf"]

Style: TypeAlias = Mapping[str, str]

_LONGEST = 14_400  # points: a page may be no longer (annex C), and what is larger is scaled
_FONTS = {
    "Regular": "/BaseFont/Helvetica/Encoding/WinAnsiEncoding",
    "Bold": "/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding",
    "Symbol": "/BaseFont/Symbol",
}
_SYMBOL_RUNS = {
    0x41: "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", 0x61: "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", 0x22: "∀", 0x24: "∃", 0x2A: "∗", 0x2D: "−",
    0x5E: "⊥", 0x7E: "∼", 0xA2: "′≤", 0xA5: "∞", 0xAB: "↔←↑→↓", 0xB3: "≥", 0xB5: "∝∂", 0xB9: "≠≡≈", 0xC4: "⊗⊕∅∩∪",
    0xCE: "∈∉", 0xD1: "∇", 0xD5: "∏√⋅", 0xD9: "∧∨⇔⇐⇑⇒⇓", 0xE5: "∑", 0xF2: "∫",
}  # fmt: skip
_SYMBOLS = {character: start + k for start, run in _SYMBOL_RUNS.items() for k, character in enumerate(run)}
_WIDTHS = {
    character: width
    for width, characters in {
        191: "'", 222: "ijl‘’", 260: "|", 278: " !,./:;I[\\]ft·", 333: "()-`r", 334: "{}", 355: '"', 389: "*",
        469: "^", 500: "Jcksvxyz", 584: "+<=>~±×÷", 611: "FTZ", 667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ",
        833: "Mm", 889: "%", 944: "W", 987: "←→⇐⇒", 1000: "…—", 1015: "@",
    }.items()
    for character in characters
}  # fmt: skip
_WIDTH = 556  # of a thousandth of the size: digits, most small letters, and nearly that of most symbols


def svg_to_pdf(svg: str | bytes) -> bytes:
    """The picture as a PDF file; a unit of the SVG is a point.

    Parameters
    ----------
    svg : str or bytes
        An ``<svg>`` element, as `Drawing.svg` and `DenseView.svg` are. Style sheets (dark mode), links and tooltips
        have no part in it.

    Returns
    -------
    bytes
        The file.

    >>> file = svg_to_pdf('<svg viewBox="0 0 9 6"><polygon fill="#ff0000" points="0,0 9,0 9,6"/></svg>')
    >>> file[:8], b"/MediaBox[0 0 9 6]" in file
    (b'%PDF-1.4', True)
    """
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    scale = min(1.0, _LONGEST / max(width, height))
    upside_down = f"{scale:.6g} 0 0 {-scale:.6g} 0 {height * scale:.6g} cm"  # as y points down in SVG, and up in PDF
    content = zlib.compress("\n".join([upside_down, "4 M", *_operators(root, {})]).encode("ascii"))
    fonts = "".join(f"/{name}<</Type/Font/Subtype/Type1{font}>>" for name, font in _FONTS.items())
    return _file(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width * scale:.6g} {height * scale:.6g}]/Contents 4 0 R"
        f"/Resources<</Font<<{fonts}>>>>>>".encode(),
        b"<</Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (len(content), content),
    )


def _file(*objects: bytes) -> bytes:
    """Objects, numbered from 1, and the table that says at which byte each starts; the first is the catalog."""
    file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"  # bytes that are no text: the file is binary
    starts = []
    for number, content in enumerate(objects, 1):
        starts.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = "".join(f"{start:010} 00000 n \n" for start in starts)
    size = len(objects) + 1
    trailer = f"trailer\n<</Size {size}/Root 1 0 R>>\nstartxref\n{len(file)}\n%%EOF\n"
    return file + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def _operators(element: ET.Element, style: Style) -> Iterator[str]:
    """What draws an element and those in it; they inherit its style."""
    style = {**style, **element.attrib}
    tag = element.tag.rpartition("}")[2]
    if tag == "text":
        yield from _text("".join(element.itertext()), style)
    elif tag in _OUTLINES:
        yield from _painted(_OUTLINES[tag](style), style)
    elif tag in ("svg", "g", "a"):
        yield "q"
        yield from map(_matrix, re.findall(r"(\w+)\((.*?)\)", style.pop("transform", "")))
        yield from chain.from_iterable(_operators(child, style) for child in element)
        yield "Q"


def _matrix(transform: tuple[str, str]) -> str:
    name, arguments = transform
    a, *rest = arguments.split()
    if name == "translate":
        return f"1 0 0 1 {a} {rest[0]} cm"
    if name == "scale":
        return f"{a} 0 0 {rest[0] if rest else a} 0 0 cm"
    return ""  # Graphviz turns pictures only where it was asked to, which nothing here does


# ------------------------------------------------------------------------------------------
# Shapes


def _polyline(style: Style) -> str:
    return " l ".join(style["points"].replace(",", " ").split(" ")) if False else _line(_numbers(style["points"]))


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?[\d.]+", text)


def _line(numbers: list[str]) -> str:
    (x, y), *points = zip(numbers[::2], numbers[1::2], strict=True)
    return " ".join([f"{x} {y} m", *(f"{x} {y} l" for x, y in points)])


def _path(style: Style) -> str:
    """Moves, lines and Bézier curves to absolute places, the only commands of Graphviz's paths."""
    drawn = []
    for command, text in re.findall(r"([MLC])([^A-Z]*)", style["d"]):
        numbers, step = _numbers(text), 6 if command == "C" else 2
        drawn += [" ".join([*numbers[k : k + step], command.lower()]) for k in range(0, len(numbers), step)]
    return " ".join(drawn)


def _ellipse(style: Style) -> str:
    x, y, a, b = (float(style[name]) for name in ("cx", "cy", "rx", "ry"))
    k = 0.5523  # the Bézier curves closest to quarters of a circle: (4/3) (√2 - 1)
    around = [(1, k, k, 1, 0, 1), (-k, 1, -1, k, -1, 0), (-1, -k, -k, -1, 0, -1), (k, -1, 1, -k, 1, 0)]
    quarters = [
        " ".join(f"{x + a * u:.2f} {y + b * v:.2f}" for u, v in zip(to[::2], to[1::2], strict=True)) for to in around
    ]
    return " ".join([f"{x + a:.2f} {y:.2f} m", *(f"{quarter} c" for quarter in quarters), "h"])


_OUTLINES: dict[str, Callable[[Style], str]] = {
    "polygon": lambda style: f"{_polyline(style)} h",
    "polyline": _polyline,
    "path": _path,
    "ellipse": _ellipse,
    "rect": lambda style: f"{style.get('x', '0')} {style.get('y', '0')} {style['width']} {style['height']} re",
}
