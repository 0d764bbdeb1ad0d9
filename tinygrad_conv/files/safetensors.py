"""Arrays by name, as safetensors files: a header in JSON, and the numbers one after another.

The format is small, and what can be wrong with a file is checked here in the library's own words; so this needs nothing
but NumPy. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError
from .reading import Expected
from .records import parsed
from .writing import write

__all__ = ["tensors_in", "write_tensors"]

_LONGEST = 100_000_000  # bytes of a header, as the format says
_DTYPES = {
    np.dtype(code): name
    for code, name in {
        "?": "BOOL", "i1": "I8", "u1": "U8", "<i2": "I16", "<u2": "U16", "<f2": "F16", "<i4": "I32", "<u4": "U32",
        "<f4": "F32", "<i8": "I64", "<u8": "U64", "<f8": "F64", "<c8": "C64",
    }.items()
}  # fmt: skip
_OF_NAME = {name: dtype for dtype, name in _DTYPES.items()}


def write_tensors(path: str | os.PathLike[str], arrays: Mapping[str, Any], what: str = "write") -> Path:
    """Write a safetensors file as `write` does. Raises DTypeError for a dtype that the format does not have."""
    header, at, parts = {}, 0, []
    for name, value in arrays.items():
        array = np.asarray(value)
        array = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        if array.dtype not in _DTYPES:
            raise DTypeError(f"{what}: expected a dtype of {', '.join(_OF_NAME)}, got {array.dtype} for {name!r}")
        header[name] = {
            "dtype": _DTYPES[array.dtype], "shape": array.shape, "data_offsets": [at, at := at + array.nbytes]
        }  # fmt: skip
        parts.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of 8

    def fill(file: IO[bytes]) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in parts:
            file.write(array.tobytes())

    return write(path, fill, what)


@contextmanager
def tensors_in(path: str | os.PathLike[str], expected: Expected) -> Iterator[dict[str, Part]]:
    """What a safetensors file says of its arrays; an entry is made an array by `numpy.asarray`.

    Raises DataError for whatever is no such file. No array is larger than the file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write_tensors(f"{folder}/a.safetensors", {"x": np.arange(3.0)})
    ...     with tensors_in(path, Expected("read", "a safetensors file")) as entries:
    ...         entries["x"].shape, np.asarray(entries["x"])
    ((3,), array([0., 1., 2.]))
    """
    with expected.opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST):
            raise expected.error("another kind of file")
        header = parsed(file.read(length), expected)
        with expected.checking():
            header.pop("__metadata__", None)
            entries = {name: Part.of(name, said, file, 8 + length, expected) for name, said in header.items()}
            ends = [8 + length]
            for part in sorted(entries.values(), key=lambda part: (part.begin, part.size)):
                if part.begin != ends[-1]:
                    raise ValueError("arrays with gaps between them")
                ends.append(part.begin + part.size)
            if ends[-1] != size:
                raise ValueError("more or less numbers than the header says")
        yield entries


@dataclass(frozen=True)
class Part:
    """An array in a safetensors file, to be read when it is needed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    size: int
    file: IO[bytes]
    expected: Expected

    @classmethod
    def of(cls, name: str, said: Any, file: IO[bytes], start: int, expected: Expected) -> Part:
        """What an entry of the header says, if that can be true."""
        shape, (begin, end) = said["shape"], said["data_offsets"]
        if said["dtype"] not in _OF_NAME:
            raise expected.error(f"one where {name[:80]!r} has the dtype {said['dtype']!r}, which NumPy has not")
        dtype = _OF_NAME[said["dtype"]]
        if any(type(n) is not int or n < 0 for n in (*shape, begin, end)):
            raise ValueError(f"{name[:80]!r} has no shape")
        if end - begin != prod(shape) * dtype.itemsize:
            raise ValueError(f"{name[:80]!r} has another size than its shape says")
        return cls(tuple(shape), dtype, start + begin, end - begin, file, expected)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The array, a new one."""
        with self.expected.checking():
            self.file.seek(self.begin)
            array = np.frombuffer(bytearray(self.file.read(self.size)), self.dtype).reshape(self.shape)
            return array if dtype is None else array.astype(dtype, copy=False)
