"""Pictures of digits from files, made to look like MNIST's: 28x28, light on dark, from 0.0 to 1.0.

MNIST's convention: the digit is scaled to fit 20x20 pixels, its proportions kept, and stands with its centre of mass
in the middle of 28x28.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked
from ..errors import DataError, MissingExtraError
from ..files import Expected
from ..ops.linalg import matmul

if TYPE_CHECKING:
    from PIL import Image

SIZE, BOX = 28, 20
SIDE = 512  # of the largest square that is looked at pixel by pixel
MOST_PIXELS, MOST_BYTES = 1 << 26, 1 << 28  # a photo has no more; a small file may say that it has
FEW_PIXELS, EACH_BYTE = 1 << 22, 1000  # how many a small file may have, and each of its bytes besides: paper is white
FORMATS = (
    "PNG",
    "JPEG",
    "GIF",
    "BMP",
    "PPM",
    "TIFF",
    "WEBP",
)  # what Pillow reads by itself; for others it runs programs
FAINT = 0.1  # what is fainter than this share of the darkest ink is paper


@checked
def read_digit(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], bool]:
    """An image file as the networks expect it.

    Parameters
    ----------
    path : str or path
        An image of any size: grey, colour, with a palette or transparency.

    Returns
    -------
    digit : float32 (28, 28)
    inverted : bool
        Was it dark on light?

    Raises
    ------
    DataError
        No such file, no image, or nothing drawn on it.
    MissingExtraError
        Pillow is not installed.
    """
    where = os.fspath(path)
    grey = _grey(where)
    inverted = is_dark_on_light(grey)
    if inverted:
        grey = 1 - grey
    if grey.max() - grey.min() < 0.05:
        raise DataError(f"{where}: expected a digit, got an image of one colour")
    return (grey if grey.shape == (SIZE, SIZE) else centred(grey)).astype(np.float32), inverted


@checked
def is_dark_on_light(grey: NDArray[Any]) -> bool:
    """Is the paper, judged by the rim, lighter than the middle between the darkest and the lightest pixel?

    >>> page = np.ones((9, 9))
    >>> page[2:7, 4] = 0
    >>> is_dark_on_light(page), is_dark_on_light(1 - page)
    (True, False)
    """
    return bool(np.median(rim(grey)) > (grey.min() + grey.max()) / 2)


@checked
def rim(grey: NDArray[Any]) -> NDArray[Any]:
    """The outermost pixels, where there is mostly paper."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])


@checked
def centred(grey: NDArray[Any]) -> NDArray[Any]:
    """A light digit on dark paper of any size, by MNIST's convention; its contrast is stretched to the full range.

    >>> stroke = np.zeros((100, 60))
    >>> stroke[10:90, 5:15] = 0.5
    >>> digit = centred(stroke)
    >>> digit.shape, round(float(digit.max()), 2)
    ((28, 28), 1.0)
    >>> rows, columns = np.nonzero(digit > 0.5)
    >>> int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
    (4, 23, 13, 14)
    """
    paper = np.median(rim(grey))
    ink = np.clip(grey - paper, 0, None) / (grey.max() - paper)
    rows, columns = np.nonzero(ink > FAINT)
    cut = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = BOX / max(cut.shape)
    down, across = (_averages(length, max(round(length * scale), 1)) for length in cut.shape)
    small = np.asarray(matmul(down, matmul(cut, across.T)))
    return _placed(small / small.max())


def _averages(old: int, new: int) -> NDArray[np.float64]:
    """A matrix (new, old) that resamples by area: each new pixel is the average of what it covers.

    >>> _averages(4, 2)
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    """
    edges = np.arange(new + 1)[:, None] * old / new
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.asarray(np.clip(overlap, 0, None) * new / old)


def _placed(small: NDArray[Any]) -> NDArray[Any]:
    """A small image in 28x28, its centre of mass in the middle as far as there is room."""
    out = np.zeros((SIZE, SIZE))
    corner = []
    for axis in (0, 1):
        length = small.shape[axis]
        mass = small.sum(axis=1 - axis)
        centre = float((mass * (np.arange(length) + 0.5)).sum()) / float(mass.sum())
        corner.append(min(max(round(SIZE / 2 - centre), 0), SIZE - length))
    top, left = corner
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def _grey(path: str) -> NDArray[np.float64]:
    """The image in shades of grey, 0.0 black to 1.0 white."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtraError(
            "predict reads images with Pillow, which is not installed: pip install 'tinygrad-conv[plots]'"
        ) from error
    expected = Expected(path, "an image that can be read")
    if not os.path.exists(path):
        raise DataError(f"{path}: no such file")
    content = io.BytesIO(expected.read(path, MOST_BYTES))  # which never gives more than it has, whatever is asked for
    with warnings.catch_warnings(), expected.checking():
        warnings.simplefilter("ignore")  # what Pillow warns of is refused below, or does not matter
        try:
            image = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise Expected(path, "an image such as a PNG").error("another kind of file") from None
        with image:
            most = min(MOST_PIXELS, FEW_PIXELS + EACH_BYTE * len(content.getbuffer()))
            if image.width * image.height > most:
                raise expected.error(f"one of {image.width} x {image.height} pixels, more than {most:,}")
            image.load()
            return _shades(image)


def _shades(image: Image.Image) -> NDArray[np.float64]:
    if image.mode.startswith("I"):  # 16 bits
        return _numbers(image) / 65535
    if image.has_transparency_data:
        grey, alpha = (_numbers(band) / 255 for band in image.convert("LA").split())
        ink = np.average(grey, weights=alpha) if alpha.any() else 0.0
        return grey * alpha + (1 - alpha) * (ink < 0.5)  # transparent paper: light behind dark ink, dark behind light
    return _numbers(image.convert("L")) / 255


def _numbers(image: Image.Image) -> NDArray[np.float64]:
    """The pixels as numbers: of a large image (a photo) means over squares of them, which is plenty for a digit."""
    every = max(math.ceil(math.sqrt(image.width * image.height) / SIDE), math.ceil(max(image.size) / (4 * SIDE)))
    if image.mode == "L":
        return np.asarray(image.reduce(every)).astype(np.float64)
    return np.asarray(image)[::every, ::every].astype(np.float64)
