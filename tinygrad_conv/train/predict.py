"""Which digit does an image show? Asks a trained network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .images import read_digit

SHIPPED = Path(__file__).parent / "weights" / "cnn.npz"


def predict(paths: Sequence[str], weights: str | None) -> int:
    """Print a line for each image file, such as ``digit.png: 7 (0.998)``; all are read before the first is shown.

    `weights` is a run's folder or a file; without it the weights that come along are used.
    """
    from . import run

    digits = [read_digit(path) for path in paths]
    _, model = run.load_weights(SHIPPED if weights is None else _file(weights))
    probabilities = run.predict(model, np.stack([digit for digit, _ in digits])[..., None])
    for path, (_, inverted), row in zip(paths, digits, probabilities, strict=True):
        if inverted:
            print(f"tinygrad-conv: note: {path} is dark on light, so it was inverted", file=sys.stderr)
        print(f"{path}: {row.argmax()} ({row.max():.3f})")
    return 0


def _file(weights: str) -> Path:
    path = Path(weights)
    return path / "weights.npz" if path.is_dir() else path
