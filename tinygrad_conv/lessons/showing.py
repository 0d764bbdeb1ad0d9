"""`pictures`: arrays side by side. `slider`: one picture of several, in any page and without a server."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import Size, checked
from ..engine.tensor import Array
from ..errors import ArgumentError
from ..palette import INKS, SIGNED
from ..plots import figure_of, ramp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Slider", "pictures", "slider"]

_numbers = count()


@checked
def pictures(images: Array, titles: Sequence[str] = (), columns: Size = 10, signed: bool = False) -> Figure:
    """A matplotlib figure of images in rows.

    Parameters
    ----------
    images : (N, H, W), or (N, H, W, 3) with colours from 0 to 1
    titles : one above each, if given
    columns : int
        How many in a row.
    signed : bool
        Blue below 0 and red above, on one scale; else ink on paper, each image on its own scale.

    >>> figure = pictures(np.eye(4).reshape(1, 4, 4), ["ones on the diagonal"])
    >>> figure.axes[0].get_title(loc="left")
    'ones on the diagonal'
    """
    shown = np.asarray(images)
    if shown.ndim not in (3, 4) or (shown.ndim == 4 and shown.shape[3] != 3) or not len(shown):
        raise ArgumentError(f"pictures: expected images (N, H, W) or (N, H, W, 3), got shape {shown.shape}")
    if titles and len(titles) != len(shown):
        raise ArgumentError(f"pictures: expected a title for each of {len(shown)} images, got {len(titles)}")
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    most = float(np.abs(shown).max()) or 1.0
    signs: dict[str, Any] = {"cmap": ramp("signed", SIGNED), "vmin": -most, "vmax": most}
    look = signs if signed else {"cmap": ramp("inks", INKS)}
    tall = 0.25 if titles else 0.0
    with figure_of(min(10.0, 2.2 * columns), rows * (min(2.2, 10.0 / columns) + tall)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for k, (axes, image) in enumerate(zip(grid.flat, shown, strict=False)):
            axes.imshow(image, **look)
            if titles:
                axes.set_title(titles[k], fontsize=8, fontweight="normal", pad=4)
    return figure


class Slider:
    """A picture of several, chosen by a slider: shows itself in a notebook, and in a page made of one.

    >>> Slider([("small", "a.png"), ("large", "b.png")], "how large")
    Slider over 2 pictures: how large
    """

    def __init__(self, frames: Sequence[tuple[str, str]], about: str) -> None:
        self.frames, self.about = frames, about

    def _repr_html_(self) -> str:
        name = f"tgc-slider-{next(_numbers)}"
        images = "".join(
            f'<figure style="margin:0"{"" if k == 0 else " hidden"}><figcaption>{escape(label)}</figcaption>'
            f'<img alt="{escape(label, quote=True)}" src="{source}" style="max-width:100%"></figure>'
            for k, (label, source) in enumerate(self.frames)
        )
        move = f"[...document.getElementById('{name}').children].forEach((f,k)=>f.hidden=k!=this.value)"
        return (
            f'<label>{escape(self.about)} <input type="range" min="0" max="{len(self.frames) - 1}" value="0" '
            f'style="width:min(24em,100%)" oninput="{move}"></label><div id="{name}">{images}</div>'
        )

    def __repr__(self) -> str:
        return f"Slider over {len(self.frames)} pictures: {self.about}"


@checked
def slider(about: str, figures: dict[str, Any]) -> Slider:
    """One of several figures at a time: `about` says what moves, the keys of `figures` what is seen at each place.

    The figures are part of the output, so that it works on a page that nothing computes behind.

    >>> slider("how much ink", {"little": pictures(np.eye(3)[None]), "much": pictures(np.ones((1, 3, 3)))})
    Slider over 2 pictures: how much ink
    """
    frames = []
    for label, figure in figures.items():
        file = BytesIO()
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
        frames.append((str(label), "data:image/png;base64," + b64encode(file.getvalue()).decode()))
    return Slider(frames, about)
