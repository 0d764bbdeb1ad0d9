"""`Expected`: the one way in which this library opens a file that it reads, since somebody else may have written it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from ..errors import DataError
from .writing import name_of

__all__ = ["CHUNK", "Expected", "exactly"]

CHUNK = 1 << 20  # bytes that are read at once: memory grows with what is there, not with what a header says


@dataclass(frozen=True)
class Expected:
    """What a file should be. Whatever else it is, is told in one form of message.

    Attributes
    ----------
    where : str
        What messages begin with: who reads, and which file.
    what : str
        What completes "expected ...".
    fix : str
        What messages end with.

    >>> from tinygrad_conv.errors import DataError
    >>> try:
    ...     Expected("read", "the settings of a run", "give another --name").read("no/such/file", 1000)
    ... except DataError as error:
    ...     print(error)
    read: expected the settings of a run, got: No such file or directory; give another --name
    """

    where: str
    what: str
    fix: str = ""

    def error(self, got: str) -> DataError:
        """The error for a file that is something else."""
        end = f"; {self.fix}" if self.fix else ""
        got = got if len(got) <= 300 else f"{got[:300]}..."
        return DataError(f"{self.where}: expected {self.what}, got{'' if got.startswith(':') else ' '}{got}{end}")

    @contextmanager
    def checking(self, got: str = "a damaged one") -> Iterator[None]:
        """Whatever is raised inside by those who know the format is told as this error.

        What zipfile, zlib, lzma, json, Pillow and NumPy raise has no closer base in common than Exception.
        """
        try:
            yield
        except DataError:
            raise
        except Exception as error:
            raise self.error(f"{got} ({str(error) or type(error).__name__})") from None

    @contextmanager
    def opened(self, path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
        """The file, open for reading.

        Raises DataError where it cannot be opened or read, or is no regular file, which might never end; DTypeError for
        what is no path.
        """
        name = name_of(path, self.where)
        try:
            with self._open(name) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise self.error("what is no regular file")
                yield file
        except OSError as error:
            raise self.error(f": {error.strerror or error}") from None

    def _open(self, name: str) -> IO[bytes]:
        try:
            return open(name, "rb", opener=_at_once)
        except ValueError as error:  # a zero byte, or what no file name can hold
            raise self.error(f": {error}") from None

    def read(self, path: str | os.PathLike[str], most: int) -> bytes:
        """The content of a file that can have `most` bytes. Raises DataError as `opened` does, and for a longer one."""
        with self.opened(path) as file:
            content = exactly(file.read, most + 1)
        if len(content) > most:
            raise self.error(f"more than the {most:,} bytes that it can have")
        return content


def exactly(read: Callable[[int], bytes], size: int) -> bytes:
    """So many bytes, or all there are if they are fewer."""
    parts, left = [], size
    while left > 0 and (part := read(min(left, CHUNK))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _at_once(name: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
