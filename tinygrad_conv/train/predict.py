"""Which digit does an image show? Asks a trained network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arguments import checked
from ..errors import DataError
from .images import read_digit

SHIPPED = Path(__file__).parent / "weights" / "cnn.npz"


@checked
def predict(paths: Sequence[str], weights: str | None) -> int:
    """Print a line for each image file, such as ``digit.png: 7 (0.998)``; returns the exit code.

    A line says where the network is unsure, and where the image is hardly one of a digit. The code is 2 if there is an
    image that cannot be read. Each such is named, and the others are answered all the same.

    `weights` is a run's folder or a file; without it the weights that come along are used.
    """
    from . import run

    _, model = run.load_weights(SHIPPED if weights is None else _file(weights))
    code = 0
    for path in paths:
        try:
            digit, inverted = read_digit(path)
        except DataError as error:
            print("tinygrad-conv: error:", error, file=sys.stderr)
            code = 2
            continue
        if inverted:
            print(f"tinygrad-conv: note: {path} is dark on light, so it was inverted", file=sys.stderr)
        row = run.predict(model, digit[None, ..., None])[0]
        print(f"{path}: {_said(row)}{_doubt(digit)}")
    return code


SURE = 0.9  # below, the second best is told too


def _said(row: Any) -> str:
    """The likeliest digit, and the next one where that is near.

    >>> import numpy as np
    >>> _said(np.array([0.001, 0.998, 0.001])), _said(np.array([0.5, 0.05, 0.45]))
    ('1 (0.998)', '0 (0.500), unsure: perhaps 2 (0.450)')
    """
    second, first = row.argsort()[-2:]
    doubt = f", unsure: perhaps {second} ({row[second]:.3f})" if row[first] < SURE else ""
    return f"{first} ({row[first]:.3f}){doubt}"


def _doubt(digit: Any) -> str:
    """A network says some digit of anything: what is hardly an image of one."""
    return ", unsure: the image is nearly empty" if (digit > 0.5).mean() < 0.01 else ""


def _file(weights: str) -> Path:
    path = Path(weights)
    return path / "weights.npz" if path.is_dir() else path
