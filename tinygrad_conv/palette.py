"""The colours of everything that is drawn, each with its twin for dark pages: no other file has a colour in it.

Tints are those of Okabe and Ito's palette, which colour-blind readers can tell apart, and whatever a colour says, an
outline or a word says too. One thing has one colour everywhere: an input is blue in a picture, on a page and in the
microscope. Numbers of both signs are blue below 0, white at 0 and red above, on a scale with 0 in the middle; numbers
of one sign are ink on paper, which is 0; costs are a ramp of orange. These scales are the same on dark pages.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping

__all__ = ["COSTS", "INKS", "SERIES", "SIGNED", "TWINS", "alone", "css", "dark_style", "darkened", "shared", "tint"]

_TINTS = {  # name: (on light pages, on dark ones)
    "paper": ("#FFFFFF", "#16191E"), "ink": ("#1D2129", "#ECEEF1"), "quiet": ("#545B66", "#ADB4BF"),
    "line": ("#777E89", "#8A929E"), "rule": ("#D4D8DE", "#363C45"), "bar": ("#F4F5F7", "#1E2228"),
    "box": ("#F6F7F9", "#1D2127"), "box2": ("#EDEFF3", "#252A32"), "box-line": ("#B9BEC6", "#4A515A"),
    "shadow": ("#00000033", "#00000088"), "accent": ("#0060A8", "#6CB8F2"), "bad": ("#A4006D", "#FF8FD2"),
    "input": ("#D5ECFA", "#123C55"), "input-line": ("#0072B2", "#56B4E9"),
    "parameter": ("#FBE6BF", "#493910"), "parameter-line": ("#8F6300", "#E6B13C"),
    "constant": ("#EEEEEE", "#30343A"), "constant-line": ("#6D6D6D", "#9AA0A8"),
    "operation": ("#FEFEFE", "#262B32"), "operation-line": ("#3A3F47", "#C3C9D1"),
    "output": ("#CDEBE1", "#0F4234"), "output-line": ("#007A5A", "#3FC79D"),
    "module": ("#E9E4F5", "#342C50"), "module-line": ("#5B4A94", "#B3A2EE"), "group": ("#D9D9D9", "#3A4149"),
    "product": ("#F0DDEC", "#4A2742"), "pad": ("#E9E9E9", "#2B2F36"),
    "grad": ("#B34700", "#FF9D5C"), "grad-fill": ("#FDE6D4", "#4A2C17"),
    "grad2": ("#A8517F", "#D890B8"), "grad2-fill": ("#F5DDEA", "#43283A"),
    "alarm": ("#F0E442", "#6B6300"), "alarm-line": ("#D00000", "#FF6A5E"),
    "added": ("#C2EBC0", "#1F4A22"), "added-line": ("#1B7F2A", "#62C46E"), "removed": ("#F6D5CF", "#54211C"),
    "negative": ("#2166AC", "#6FB1E8"), "positive": ("#B2182B", "#EF7A6E"),  # of lines and words; of maps: `SIGNED`
}  # fmt: skip
SIGNED = ("#2166AC", "#67A9CF", "#FFFFFF", "#EF8A62", "#B2182B")  # from the most negative over 0 to the most positive
INKS = ("#FFFFFF", "#0C0C18")  # from 0 to the most
_FAULT = ("#DC00A0",)  # NaN and infinite ones on either
COSTS = ("#FFF5EB", "#FEE6CE", "#FDD0A2", "#FDAE6B", "#FD8D3C", "#F16913")  # from the least to the most
_DARK_COSTS = ("#2B2622", "#40301F", "#5A3A1B", "#774415", "#8A490E", "#9F4F05")
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # of lines in one plot
_DARK_SERIES = ("#56B4E9", "#F0803C", "#2FC79B", "#E39AC4", "#F3B63A", "#9AD6F6")

TWINS: Mapping[str, str] = {
    **dict(zip(SERIES, _DARK_SERIES, strict=True)), **dict(zip(COSTS, _DARK_COSTS, strict=True)),
    **dict(_TINTS.values()),
}  # fmt: skip


def tint(name: str) -> str:
    """A colour by its name, as it is on light pages.

    >>> tint("negative"), TWINS[tint("negative")]
    ('#2166AC', '#6FB1E8')
    """
    return _TINTS[name][0]


def shared(number: int, of: int) -> str:
    """The colour of one of many things that are to be told apart by colour: nine tints, then rings of hues."""
    if of <= len(SERIES) + 3:
        return (*SERIES, tint("alarm"), tint("module-line"), "#8C564B")[number]
    rings = max(3, round((of / 12) ** 0.5))
    place, ring = divmod(number, rings)
    return _hsl((place + ring / rings) / -(-of // rings), 0.75, 0.3 + 0.45 * ring / (rings - 1))


def alone(row: int, column: int, rows: int, columns: int) -> str:
    """The colour of one cell of a table where no two are alike: hues from left to right, darker downwards."""
    return _hsl(column / columns, 0.35, 0.8 - 0.45 * row / rows)


def _hsl(hue: float, saturation: float, lightness: float) -> str:
    parts = colorsys.hls_to_rgb(hue, lightness, saturation)
    return "#" + "".join(f"{round(255 * part):02X}" for part in parts)


def darkened(source: str) -> str:
    """The same picture in DOT for a dark page."""
    return re.sub(r'"(#\w{6})"', lambda it: f'"{TWINS.get(it[1], it[1])}"', source)


def dark_style() -> str:
    """A style sheet for SVG of class ``tgc``: our colours become their dark twins where the reader prefers dark."""
    names = {light.lower(): dark for light, dark in TWINS.items()} | {"white": TWINS[tint("paper")]}
    rules = "".join(
        f'.tgc [{what}="{light}" i]{{{what}:{dark}}}' for light, dark in names.items() for what in ("fill", "stroke")
    )
    return f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"


def css() -> str:
    """The colours as properties of a page's root: ``var(--input)``; scales as lists that a script can split."""
    pairs = [*_TINTS.items(), *((f"cost-{k}", pair) for k, pair in enumerate(zip(COSTS, _DARK_COSTS, strict=True)))]
    tints = (f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in pairs)
    scales = (
        f"--{name}: {' '.join(stops)};" for name, stops in (("signed", SIGNED), ("inks", INKS), ("fault", _FAULT))
    )
    rules = (":root { color-scheme: light dark;", *tints, *scales, "}")
    return "\n".join(rules) + "\n"
