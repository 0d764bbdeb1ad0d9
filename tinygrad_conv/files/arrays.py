"""Arrays by name, as NumPy's npz files: a zip file with an entry ``NAME.npy`` for each array."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from .reading import CHUNK, Expected
from .writing import write

__all__ = ["Entry", "Header", "arrays_in", "write_arrays"]

_ENCRYPTED = 0x1
_LONGEST_NAME = 1_000  # characters
_LONGEST = 10_000  # bytes of a header; NumPy reads no longer one either
_FORM = re.compile(
    rb"\{'descr': '(?P<dtype>[<>|=][biufcU]\d{1,9})', 'fortran_order': (?P<order>True|False), "
    rb"'shape': \((?P<shape>(\d{1,19}, ?)*(\d{1,19})?)\),? ?\} *\n"
)


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


@contextmanager
def arrays_in(path: str | os.PathLike[str], expected: Expected) -> Iterator[dict[str, Entry]]:
    """What an npz file says of its arrays, none of which is unpacked before it is asked for.

    So compare `shape` and `dtype` first: they bound the memory that an entry takes. An entry is made an array by
    `numpy.asarray`. No code in a file is ever run.

    Raises DataError, here and when an entry is read, for whatever is not what `write_arrays` or `numpy.savez` writes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_arrays(f"{folder}/a.npz", {"x": np.arange(3.0)})
    ...     with arrays_in(path, Expected("read", "an npz file")) as entries:
    ...         entries["x"].shape, np.asarray(entries["x"])
    ((3,), array([0., 1., 2.]))
    """
    with expected.opened(path) as file:
        if file.read(2) != b"PK":
            raise expected.error("another kind of file")
        with expected.checking():
            archive = ZipFile(file)
            found = archive.infolist()
        entries = {info.filename.removesuffix(".npy"): Entry(archive, info, expected) for info in found}
        if len(entries) < len(found):
            raise expected.error("one with several entries of one name")
        yield entries


class Entry:
    """An array in an npz file, to be read when it is needed."""

    def __init__(self, archive: ZipFile, info: ZipInfo, expected: Expected) -> None:
        self._archive, self._info, self._expected = archive, info, expected
        self._name = repr(info.filename[:80])
        self._said: Header | None = None
        if not info.filename.endswith(".npy") or len(info.filename) > _LONGEST_NAME:
            raise expected.error(f"one with an entry {self._name}, which is no array")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise expected.error(f"one whose entry {self._name} is encrypted, or packed in an unusual way")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that the entry's header says."""
        return self._header().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype that the entry's header says: numbers, booleans or text, never Python objects."""
        return self._header().dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The array, a new one, of numbers: its shape says how much memory it takes."""
        if self.dtype.kind == "U":
            raise self._expected.error(f"one with text for the array {self._name}")
        array = self._read()
        return array if dtype is None else array.astype(dtype, copy=False)

    def item(self) -> Any:
        """The number that the entry is."""
        if self.shape:
            raise self._expected.error(f"one with an array of shape {self.shape} for the number {self._name}")
        return np.asarray(self).item()

    def text(self, most: int) -> str:
        """A text of at most so many characters."""
        header = self._header()
        if header.dtype.kind != "U" or header.shape or header.dtype.itemsize > 4 * most:
            raise self._expected.error(f"one where {self._name} is no text of at most {most:,} characters")
        with self._expected.checking():
            return str(self._read()[()])

    def _read(self) -> NDArray[Any]:
        header = self._header()
        with self._expected.checking(), self._archive.open(self._info) as member:
            flat = np.empty(prod(header.shape), header.dtype)
            member.read(header.length)
            left = flat.view(np.uint8).data
            while left:
                part = member.read(min(len(left), CHUNK))
                if not part:
                    raise EOFError(f"{self._name} ends too early")
                left[: len(part)] = part
                left = left[len(part) :]
            member.read(1)  # nothing: at the end the checksum is compared
            return flat.reshape(header.shape, order="F" if header.columns_first else "C")

    def _header(self) -> Header:
        if self._said is None:
            with self._expected.checking(), self._archive.open(self._info) as member:
                header = Header.of(member)
                if header is None or self._info.file_size != header.length + header.size:
                    raise ValueError(f"{self._name} is no array of numbers")
                self._said = header
        return self._said


@dataclass(frozen=True)
class Header:
    """What the beginning of an npy file says: `length` is its own."""

    shape: tuple[int, ...]
    columns_first: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def size(self) -> int:
        """How many bytes the values take."""
        return prod(self.shape) * self.dtype.itemsize

    @classmethod
    def of(cls, file: IO[bytes]) -> Header | None:
        """The header of an npy file of numbers or text: None where it is none, or one of anything else.

        It is a dictionary as Python writes it. NumPy evaluates it; as only one form of it is ever written, a pattern
        is enough, which bounds what a hostile one can do.
        """
        start = file.read(12)
        wide = start[6:7] > b"\1"  # since version 2 four bytes say the length, not two
        length = (12 if wide else 10) + int.from_bytes(start[8 : 12 if wide else 10], "little")
        if not start.startswith(b"\x93NUMPY") or not len(start) <= length <= _LONGEST:
            return None
        found = _FORM.fullmatch(start[12 if wide else 10 :] + file.read(length - len(start)))
        if found is None:
            return None
        shape = tuple(map(int, found["shape"].replace(b",", b" ").split()))
        return cls(shape, found["order"] == b"True", np.dtype(found["dtype"].decode()), length)
