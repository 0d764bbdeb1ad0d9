"""`Shards`: arrays too large for memory, in files, of which a few rows are read at a time.

Rows are read, not mapped: a process that maps its files has all that it ever touched in its memory, as far as others
can see, and is the first to be ended where memory is short.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from math import prod
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arguments import LATER, checked, described
from ..errors import ArgumentError, DataError, DTypeError, IndexingError, ShapeError
from ..files import Expected, Header, name_of, tensors_in

__all__ = ["Shards"]

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Piece(NamedTuple):
    """One array in one file: where its rows begin, how many there are, and what each is; the file as it was then."""

    path: str
    mark: tuple[int, int]
    begin: int
    rows: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int, into: NDArray[Any]) -> None:
        """The rows from start up to stop."""
        row = prod(self.shape) * self.dtype.itemsize
        with _expected(self.path).opened(self.path) as file:
            if _mark(file.fileno()) != self.mark:
                raise _expected(self.path).error("one that has changed since it was opened")
            file.seek(self.begin + start * row)
            left = into.reshape(-1).view(np.uint8).data
            while left:
                part = file.readinto(left)  # type: ignore[attr-defined]
                if not part:
                    raise _expected(self.path).error("one that has become shorter since it was opened")
                left = left[part:]


@checked
class Shards:
    """Arrays of equal length, each in one file or cut into several: a dataset that need not fit in memory.

    Args:
        files: for each array its files in order: a path, a list of paths, or a pattern (``"images-*.npy"``: in
            the order of their names). An array's rows are those of its files, one after another.
        keys: for safetensors files, which hold several arrays: the names of those that are asked for. Then
            there is one entry of `files`.

    Files are .npy (C order) or .safetensors. Their headers are read here, and rows when they are asked for:
    ``shards[7]`` is one example, ``shards[10:20]`` new arrays of ten. See `stream` for batches.

    Raises:
        DataError: a file is missing, is something else than it should be, or has changed since it was opened.
        ShapeError: rows differ in shape or dtype between the files of an array, or lengths between arrays.
        ArgumentError: no files, or `keys` where they do not belong.
        IndexingError: an index is out of range or of another kind.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for k in range(3):
    ...         np.save(f"{folder}/x-{k}.npy", np.arange(4.0) + 4 * k)
    ...     shards = Shards(f"{folder}/x-*.npy")
    ...     print(shards, shards[3:6])
    Shards(12 examples of float64 () in 3 files) [3. 4. 5.]
    """

    def __init__(self, *files: Annotated[Files, LATER], keys: Annotated[Sequence[str] | None, LATER] = None) -> None:
        if not files:
            raise ArgumentError("Shards: expected the files of at least one array, got none")
        if keys is not None and (isinstance(keys, str) or not keys or len(files) != 1):
            raise ArgumentError(
                f"Shards: expected one entry of files and a list of names as keys, got {len(files)} and {keys!r}; "
                'write Shards("train-*.safetensors", keys=["images", "labels"])'
            )
        columns = [_column(entry) for entry in files] if keys is None else _named(_paths(files[0]), keys)
        self._columns = [_like(pieces) for pieces in columns]
        lengths = [sum(piece.rows for piece in pieces) for pieces in self._columns]
        if len(set(lengths)) > 1:
            raise ShapeError(f"Shards: expected arrays of equal length, got lengths {', '.join(map(str, lengths))}")
        self._length = lengths[0]
        self._ends = [np.cumsum([piece.rows for piece in pieces]) for pieces in self._columns]

    def __len__(self) -> int:
        return self._length

    @property
    def row_bytes(self) -> int:
        """How many bytes one example takes."""
        return sum(prod(pieces[0].shape) * pieces[0].dtype.itemsize for pieces in self._columns)

    def read(self, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """The rows from start up to stop of each array, in new memory.

        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.arange(4.0))
        ...     Shards(f"{folder}/x.npy").read(1, 3)
        (array([1., 2.]),)
        """
        return tuple(_rows(p, ends, start, stop) for p, ends in zip(self._columns, self._ends, strict=True))

    def __getitem__(self, key: Any) -> Any:
        what = "an integer or a slice of step 1, within the length"
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise IndexingError(f"Shards: expected {what}, got {described(key)}")
            found = self.read(start, max(start, stop))
        else:
            try:
                at = range(len(self))[key]
            except (IndexError, TypeError):
                raise IndexingError(f"Shards: expected {what} {len(self)}, got {described(key)}") from None
            found = tuple(array[0] for array in self.read(at, at + 1))
        return found[0] if len(found) == 1 else found

    def __repr__(self) -> str:
        entries = ", ".join(f"{pieces[0].dtype} {pieces[0].shape}" for pieces in self._columns)
        files = len({piece.path for pieces in self._columns for piece in pieces})
        return f"Shards({len(self)} examples of {entries} in {files} file{'s' * (files != 1)})"


def _rows(pieces: Sequence[Piece], ends: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    whole = np.empty((stop - start, *pieces[0].shape), pieces[0].dtype)
    at = start
    while at < stop:
        k = int(np.searchsorted(ends, at, "right"))
        piece, first = pieces[k], int(ends[k]) - pieces[k].rows
        until = min(stop, int(ends[k]))
        piece.read(at - first, until - first, whole[at - start : until - start])
        at = until
    return whole


def _expected(path: str) -> Expected:
    return Expected(f"Shards: {path}", "a .npy file in C order, or a .safetensors file, of numbers")


def _paths(files: Any) -> list[str]:
    """The files that an entry names, in order."""
    if isinstance(files, str | os.PathLike):
        name = name_of(files, "Shards")
        found = [name] if os.path.exists(name) else sorted(glob.glob(name))
        if not found:
            raise DataError(f"Shards: expected files, got none of the name {name!r}")
        return found
    try:
        paths = [name_of(path, "Shards") for path in files]
    except (TypeError, DTypeError):
        raise ArgumentError(f"Shards: expected a path, a pattern or a list of paths, got {described(files)}") from None
    if not paths:
        raise ArgumentError("Shards: expected at least one file of each array, got an empty list")
    return paths


def _column(files: Any) -> list[Piece]:
    return [_of_npy(path) for path in _paths(files)]


def _of_npy(path: str) -> Piece:
    expected = _expected(path)
    with expected.opened(path) as file:
        header = Header.of(file)
        if header is None and str(path).endswith(".safetensors"):
            raise ArgumentError(f"Shards: expected keys for {path}: which of its arrays?")
        if header is None or header.dtype.kind == "U" or not header.shape:
            raise expected.error("another kind of file, or one of text, objects or a single number")
        if header.columns_first and len(header.shape) > 1:
            raise expected.error("one in Fortran order; save np.ascontiguousarray(x)")
        if os.fstat(file.fileno()).st_size != header.length + header.size:
            raise expected.error(f"one whose size is not that of shape {header.shape} and {header.dtype}")
        return Piece(path, _mark(file.fileno()), header.length, header.shape[0], header.shape[1:], header.dtype)


def _mark(file: int | str) -> tuple[int, int]:
    """The size of a file, and when it was written."""
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


def _named(paths: Sequence[str], keys: Sequence[str]) -> list[list[Piece]]:
    """The arrays of these names in safetensors files."""
    columns: list[list[Piece]] = [[] for _ in keys]
    for path in paths:
        expected = _expected(path)
        with tensors_in(path, expected) as parts:
            for pieces, key in zip(columns, keys, strict=True):
                if key not in parts:
                    raise expected.error(f"one without {key!r}; it has {', '.join(map(repr, sorted(parts)[:9]))}")
                part = parts[key]
                if not part.shape:
                    raise expected.error(f"one where {key!r} is a single number")
                pieces.append(Piece(path, _mark(path), part.begin, part.shape[0], part.shape[1:], part.dtype))
    return columns


def _like(pieces: list[Piece]) -> list[Piece]:
    """The same pieces, if all have rows of one kind; without empty ones, but for one."""
    first = pieces[0]
    for piece in pieces:
        if (piece.shape, piece.dtype) != (first.shape, first.dtype):
            raise ShapeError(
                f"Shards: expected rows of one shape and dtype, got {first.shape} of {first.dtype} in {first.path} and "
                f"{piece.shape} of {piece.dtype} in {piece.path}"
            )
    return [piece for piece in pieces if piece.rows] or pieces[:1]
