"""`picture`: an array as something to look at: a small image, a histogram, statistics, the numbers if they are few."""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any

import numpy as np

from ...digits import number
from ...engine.tensor import ndarray
from .letters import letters

__all__ = ["mosaic", "picture"]

_TOP, _BAD, _GAP = 89, 90, 91  # the highest code of a number; codes of NaN and infinity, and of nothing at all
_BINS = 24
_TILES = 64  # at most, of those that there are


def exact(value: Any) -> str:
    """The shortest text that is this number and no other of its dtype.

    >>> exact(np.float32(0.1)), exact(np.float64(1) / 3)
    ('0.1', '0.3333333333333333')
    """
    return "NaN" if value != value else str(value)


def picture(array: ndarray[Any, Any], kernel: bool = False, pixels: int = 8192) -> dict[str, Any]:
    """What a page shows of an array, ready for JSON.

    Parameters
    ----------
    array : of any shape and numeric dtype
    kernel : bool
        Is it a convolution's kernel (*kernel, C_in, C_out)? Else four axes are images (N, H, W, C).
    pixels : int
        The most pixels of the image: a larger one is averaged down.

    >>> import numpy as np
    >>> shown = picture(np.array([[1.0, -2.0], [0.0, 4.0]]))
    >>> shown["w"], shown["h"], shown["low"], shown["high"], shown["grid"]
    (2, 2, '-4', '4', [['1', '-2'], ['0', '4']])
    """
    given, array = array, np.abs(array) if array.dtype.kind == "c" else array  # magnitudes are to be seen
    flat = array.reshape(-1).astype("float64")
    finite = flat[np.isfinite(flat)]
    nans, infinities = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
    shown: dict[str, Any] = {}
    if nans or infinities:
        found = [f"{n:,} {what}" for n, what in ((nans, "NaN"), (infinities, "infinite")) if n]
        shown["bad"] = f"{' and '.join(found)} of {flat.size:,} values"
    elif flat.size and not flat.any():
        shown["bad"] = "all zero"
    if flat.size == 1:
        return {**shown, "text": number(given.reshape(-1)[0]), "exact": exact(given.reshape(-1)[0])}
    if not finite.size:
        return {**shown, "text": shown.get("bad", "no values")}
    shown |= _image(array, finite, kernel, pixels)
    if given is not array:
        shown["caption"] += ", magnitudes"
    least, most = float(finite.min()), float(finite.max())
    if most > least:
        with np.errstate(over="ignore"):
            wide = np.isfinite(most - least)
        counts = np.histogram(finite if wide else finite / 4, bins=_BINS)[0]
        shown |= {"histogram": counts.tolist(), "least": number(least), "most": number(most)}
    shown["statistics"] = _statistics(flat, finite)
    if flat.size <= _TILES and array.ndim <= 2:
        shown["grid"] = [[number(v) for v in row] for row in np.atleast_2d(array).tolist()]
        shown["exact"] = [[exact(v) for v in row] for row in np.atleast_2d(given)]
    return shown


def _statistics(flat: ndarray[Any, Any], finite: ndarray[Any, Any]) -> list[str]:
    """The smallest, the largest, mean, standard deviation, norm, and how many are zero."""
    with np.errstate(all="ignore"):
        facts = finite.min(), finite.max(), finite.mean(), finite.std(), np.sqrt(np.square(finite).sum())
    zeros = int((flat == 0).sum())
    return [*map(number, facts), f"{zeros:,} of {flat.size:,} ({zeros / flat.size:.0%})"]


# ------------------------------------------------------------------------------------------
# The image


def _image(array: ndarray[Any, Any], finite: ndarray[Any, Any], kernel: bool, pixels: int) -> dict[str, Any]:
    tiles, caption = mosaic(array, kernel)
    budget = max(1, pixels // len(tiles))
    tiles, factor = _shrunk(tiles.astype("float64"), budget)
    least, most = float(finite.min()), float(finite.max())
    signed, high = least < 0, max(-least, most) or 1.0  # as everywhere: 0 in the middle of the scale, or at its start
    low = -high if signed else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        t = (tiles / 2 - low / 2) / (high / 2 - low / 2)  # halves, so that the difference does not overflow
    codes = np.where(np.isfinite(t), np.rint(np.clip(np.nan_to_num(t), 0, 1) * _TOP), _BAD).astype("uint8")
    if len(tiles) == 1 and factor == 1:
        codes.reshape(-1)[array.size :] = _GAP  # what fills up the last row of a long vector
    sheet = _sheet(codes)
    caption += f", averaged over {factor} by {factor}" if factor > 1 else ""
    return {
        "w": sheet.shape[1], "h": sheet.shape[0], "codes": letters(sheet, 1), "signed": int(signed),
        "low": number(low), "high": number(high), "caption": caption,
    }  # fmt: skip


def mosaic(array: ndarray[Any, Any], kernel: bool = False) -> tuple[ndarray[Any, Any], str]:
    """An array as tiles (n, h, w), and what they are in words.

    >>> import numpy as np
    >>> tiles, caption = mosaic(np.zeros((1, 28, 28, 6)))
    >>> tiles.shape, caption
    ((6, 28, 28), '6 maps of 28 by 28')
    """
    shape = array.shape
    if array.ndim <= 1 or (array.ndim == 2 and 1 in shape):
        n = array.size
        width = n if n <= 32 else 2 ** ceil((n.bit_length() + 1) / 2)
        rows = -(-n // width)
        padded = np.zeros(rows * width, array.dtype)
        padded[:n] = array.reshape(-1)
        tiles = padded.reshape(1, rows, width)
        return tiles, f"{n} values" + (f", in rows of {width}" if rows > 1 else "")
    if array.ndim == 2:
        return array[None], f"{shape[0]} by {shape[1]}"
    if array.ndim == 3 and not kernel:  # (N, L, C): one map for each of N
        return _first(array, "map")
    # (N, *spatial, C) to (N * C * depths, H, W), or (*kernel, C_in, C_out) likewise
    moved = np.moveaxis(array, (-2, -1), (0, 1)) if kernel else np.moveaxis(array, -1, 1)
    if moved.ndim == 3:
        moved = moved[:, :, None]
    return _first(moved.reshape(-1, *moved.shape[-2:]), "kernel" if kernel else "map")


def _first(tiles: ndarray[Any, Any], what: str) -> tuple[ndarray[Any, Any], str]:
    n, h, w = tiles.shape
    few = tiles[:_TILES]
    return few, f"{'' if n <= _TILES else f'first {_TILES} of '}{n} {what}{'s' if n > 1 else ''} of {h} by {w}"


def _shrunk(tiles: ndarray[Any, Any], budget: int) -> tuple[ndarray[Any, Any], int]:
    """Tiles of at most so many pixels each: blocks are averaged."""
    _, h, w = tiles.shape
    factor = 1
    while -(-h // factor) * -(-w // factor) > budget:
        factor += 1
    if factor > 1:
        with np.errstate(all="ignore"):
            for axis, size in ((1, h), (2, w)):
                starts = np.arange(0, size, factor)
                counts = np.diff([*starts, size]).reshape([-1 if k == axis else 1 for k in range(3)])
                tiles = np.add.reduceat(tiles, starts, axis) / counts
    return tiles, factor


def _sheet(codes: ndarray[Any, Any]) -> ndarray[Any, Any]:
    """Tiles side by side in a nearly square sheet, a pixel apart."""
    n, h, w = codes.shape
    across = min(n, max(1, isqrt(max(1, round(n * h / w)))))
    if across * across * w < n * h and across < n:
        across += 1
    down = -(-n // across)
    sheet = np.full((down * (h + 1) - 1, across * (w + 1) - 1), _GAP, "uint8")
    for k, tile in enumerate(codes):
        y, x = k // across * (h + 1), k % across * (w + 1)
        sheet[y : y + h, x : x + w] = tile
    return sheet
