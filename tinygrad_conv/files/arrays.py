"""Arrays by name, as NumPy's npz files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np

from .writing import write

__all__ = ["write_arrays"]


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], what: str = "write", compressed: bool = False
) -> Path:
    """Write an npz file as `write` does; the same arrays give the same bytes, which are those of `numpy.savez`.

    Any name will do, also those that `numpy.savez` takes for its own arguments.
    """

    def fill(file: IO[bytes]) -> None:
        with ZipFile(file, "w", ZIP_DEFLATED if compressed else ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)

    return write(path, fill, what)
