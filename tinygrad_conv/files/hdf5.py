"""Arrays by path, as Keras keeps them: HDF5 files (``.weights.h5``), alone or in a zip file (``.keras``)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, MissingExtraError
from .reading import Expected
from .writing import write

__all__ = ["datasets_in", "is_of_keras", "is_zipped", "write_datasets"]

_MOST = 100_000  # groups and datasets
_PACKED = 1_100  # how many times smaller than itself deflate can make an array
_INSIDE = "model.weights.h5"  # what Keras calls the weights in a ``.keras`` file


def is_zipped(file: IO[bytes]) -> bool:
    """Does a zip file, such as an npz file, begin here?"""
    file.seek(0)
    return file.read(2) == b"PK"


def is_of_keras(file: IO[bytes]) -> bool:
    """Is it an HDF5 file, or a zip file with one where Keras puts it?"""
    if is_zipped(file):
        with suppress(Exception):  # a damaged one: whoever reads it says so
            return _INSIDE in ZipFile(file).namelist()
    file.seek(0)
    return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _h5py(what: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError(
            f"{what}: files of Keras are read with h5py; pip install 'tinygrad-conv[keras]'"
        ) from None
    return h5py


def write_datasets(path: str | os.PathLike[str], arrays: Mapping[str, Any], what: str = "write") -> Path:
    """Write an HDF5 file as `write` does, with a dataset for each path.

    Raises ArgumentError for names that are no such paths, MissingExtraError without h5py.
    """
    h5py, content = _h5py(what), io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in arrays.items():
            try:
                file[name] = np.asarray(array)
            except (ValueError, TypeError, OSError, RuntimeError) as error:
                raise ArgumentError(
                    f"{what}: expected paths such as layers/dense/vars/0, none of which begins another, got {name!r}: "
                    f"{error}; use a file with the ending .npz"
                ) from None
    return write(path, content.getvalue(), what)


@contextmanager
def datasets_in(path: str | os.PathLike[str], expected: Expected) -> Iterator[dict[str, Dataset]]:
    """The datasets of an HDF5 file, or of that in a ``.keras`` file, by path; `numpy.asarray` reads one.

    What a file can lead elsewhere with (links to other files, datasets made of others) is refused, and no code that a
    ``.keras`` file holds is looked at.

    Raises DataError for whatever is no such file, MissingExtraError without h5py.
    """
    h5py = _h5py(expected.where)
    with expected.opened(path) as file:
        with expected.checking():
            source = _member(file, expected) if is_zipped(file) else file
            opened = h5py.File(source, "r")
        with opened as root:
            with expected.checking():
                entries = dict(_datasets(h5py, root, expected))
            yield entries


def _member(file: IO[bytes], expected: Expected) -> IO[bytes]:
    """The weights in a ``.keras`` file, which holds them as they are: no larger than itself."""
    with ZipFile(file) as archive:
        if _INSIDE not in archive.namelist():
            raise expected.error(f"a zip file without {_INSIDE}")
        info = archive.getinfo(_INSIDE)
        if info.compress_type != ZIP_STORED or info.flag_bits & 1 or info.file_size > os.fstat(file.fileno()).st_size:
            raise expected.error(f"a zip file whose {_INSIDE} is packed, which Keras never does")
        return io.BytesIO(archive.read(info))


def _datasets(h5py: Any, root: Any, expected: Expected) -> Iterator[tuple[str, Dataset]]:
    left, met = [("", root)], {_address(h5py, root)}
    while left:
        path, group = left.pop()
        for name in group:
            inner = f"{path}{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise expected.error(f"one where {inner[:80]!r} leads elsewhere")
            item = group[name]
            if _address(h5py, item) in met or len(met) > _MOST:
                raise expected.error(f"one with more than {_MOST:,} parts, or where {inner[:80]!r} is met twice")
            met.add(_address(h5py, item))
            if isinstance(item, h5py.Group):
                left.append((f"{inner}/", item))
            elif isinstance(item, h5py.Dataset):
                yield inner, Dataset.of(inner, item, expected)


def _address(h5py: Any, item: Any) -> int:
    """Where a group or dataset is in its file."""
    return int(h5py.h5o.get_info(item.id).addr)


@dataclass(frozen=True)
class Dataset:
    """An array in an HDF5 file, to be read when it is needed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    source: Any
    expected: Expected

    @classmethod
    def of(cls, path: str, source: Any, expected: Expected) -> Dataset:
        shape, dtype = source.shape, source.dtype
        if source.external or source.is_virtual or shape is None or dtype.kind not in "fiubcSO":
            raise expected.error(f"one where {path[:80]!r} is no array of numbers")
        return cls(tuple(shape), dtype, source, expected)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The array, a new one, whose shape says how much memory it takes."""
        if self.dtype.kind in "SO":
            raise self.expected.error(f"one where {self.source.name!r} is text")
        stored = self.source.id.get_storage_size()
        if prod(self.shape) * self.dtype.itemsize > _PACKED * stored + (1 << 20):
            raise self.expected.error(f"one where {self.source.name!r} says to be larger than what is there can be")
        with self.expected.checking():
            array: NDArray[Any] = self.source[()]
            return array if dtype is None else np.asarray(array).astype(dtype, copy=False)
