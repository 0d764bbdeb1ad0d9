"""Which digit does an image show? Asks a trained network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError
from .images import read_digit

SHIPPED = Path(__file__).parent / "weights" / "cnn.npz"


def predict(paths: Sequence[str], weights: str | None) -> int:
    """Print a line for each image file, such as ``digit.png: 7 (0.998)``; returns the exit code.

    It is 2 if there is an image that cannot be read. Each such is named, and the others are answered all the same.

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
        print(f"{path}: {row.argmax()} ({row.max():.3f})")
    return code


def _file(weights: str) -> Path:
    path = Path(weights)
    return path / "weights.npz" if path.is_dir() else path
