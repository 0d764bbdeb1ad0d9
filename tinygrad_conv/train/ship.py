"""Make the weights that `predict` uses by default, ``weights/cnn.npz``, from a run of the default model:

    tinygrad-conv train mnist --full
    python -m tinygrad_conv.train.ship runs/mnist-cnn

They are kept as float16, which halves the file; so they recognise 9,917 of MNIST's 10,000 test images, as before.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..files import write_arrays
from .predict import SHIPPED
from .run import load_weights


def ship(run: Path) -> None:
    """Write the weights of a run's folder to where `predict` looks for them."""
    name, model = load_weights(run / "weights.npz")
    SHIPPED.parent.mkdir(exist_ok=True)
    path = SHIPPED.with_name(f"{name}.npz")
    small = {key: array.astype("float16") for key, array in model.state_dict().items()}
    write_arrays(path, small, "ship", compressed=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    ship(Path(sys.argv[1]))
