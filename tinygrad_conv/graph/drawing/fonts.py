"""How wide text is, so that it stays in its box: in Helvetica, for which boxes are laid out, and in whatever is there.

A viewer that has neither Helvetica nor a font of its widths takes another, often a wider one. So each text of an SVG
says how wide it is to be (``textLength``), and viewers set it closer or wider.
"""

from __future__ import annotations

import re
from html import unescape

__all__ = ["BOLD", "REGULAR", "fitted", "in_page", "width"]


_LEAST = 9.0  # pixels: the size of text that can be read


def _table(rows: dict[int, str]) -> dict[str, int]:
    return {character: thousandths for thousandths, characters in rows.items() for character in characters}


# Thousandths of the size, from Adobe's metrics of Helvetica and Helvetica-Bold; what is not here is 556.
REGULAR = _table({
    191: "'", 222: "ijl‘’", 260: "|", 278: " !,./:;I[\\]ft·", 333: "()-`r²³", 334: "{}", 355: '"', 389: "*", 469: "^",
    500: "Jcksvxyz", 584: "+<=>~±×", 611: "FTZ", 667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%",
    944: "W", 987: "←→", 1000: "—…", 1015: "@",
})  # fmt: skip
BOLD = _table({
    238: "'", 278: " ,./I\\ijl‘’·", 280: "|", 333: "!()-:;[]`ft²³", 389: "*r{}", 474: '"', 500: "z", 584: "+<=>^~±×",
    611: "?FLTZbdghnopqu", 667: "EPSVXY", 722: "&ABCDHKNRU", 778: "GOQw", 833: "M", 889: "%m", 944: "W", 975: "@",
    987: "←→", 1000: "—…",
})  # fmt: skip


def width(text: str, size: float, bold: bool = False) -> float:
    """How wide Graphviz takes a line of text to be: what is not ASCII counts as a space for each of its bytes.

    >>> width("Conv2D", 10), width("Conv2D", 10, bold=True)
    (36.12, 37.78)
    """
    known = BOLD if bold else REGULAR
    thousandths = (known.get(c, 556) if c.isascii() else 278 * len(c.encode("utf-8", "replace")) for c in text)
    return round(size * sum(thousandths) / 1000, 2)


def in_page(svg: str) -> str:
    """The SVG for a notebook's page: as wide as there is room, but scrolled where its smallest text were too small.

    Notebooks show an SVG alone as an image, in its full width.

    >>> in_page('<svg style="height:auto" width="800pt"><text font-size="10">a</text></svg>')[:67]
    '<div style="overflow-x:auto"><svg style="min-width:720px;max-width:'
    """
    wide = re.search(r'<svg [^>]*?width="([\d.]+)(pt)?', svg)
    unit = 4 / 3 if wide and wide[2] else 1.0  # pixels
    smallest = min((float(size) * unit for size in re.findall(r'font-size="([\d.]+)"', svg)), default=_LEAST)
    least = min(_LEAST / smallest, 1.0) * float(wide[1]) * unit if wide else 0
    style = f'style="min-width:{least:.0f}px;max-width:100%;height:auto"'
    return f'<div style="overflow-x:auto">{re.sub("style=.[^>]*?height:auto.", style, svg, count=1)}</div>'


def fitted(svg: str) -> str:
    """The same SVG with a width for each line of text, which it keeps in any font."""
    return re.sub(r"<text ([^>]*)>([^<]*)</text>", _fitted, svg)


def _fitted(match: re.Match[str]) -> str:
    style, text = match.groups()
    size = re.search(r'font-size="([\d.]+)"', style)
    if size is None or not text:
        return match[0]
    wide = width(unescape(text), float(size[1]), 'font-weight="bold"' in style)
    return f'<text {style} textLength="{wide:g}" lengthAdjust="spacingAndGlyphs">{text}</text>'
