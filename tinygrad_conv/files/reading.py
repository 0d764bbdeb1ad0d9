"""`read`: the one way in which this library reads a file that somebody else may have written."""

from __future__ import annotations

import os
import stat

from ..errors import DataError
from .writing import name_of

__all__ = ["read"]


def read(path: str | os.PathLike[str], what: str, expected: str = "a file", most: int | None = None) -> bytes:
    """The bytes of a regular file.

    Parameters
    ----------
    what : str
        Who reads, for messages.
    expected : str
        What the file should be, for messages.
    most : int, optional
        Refuse a file that is longer than any such file can be. Never more is read.

    Raises
    ------
    DataError
        There is no such file, it cannot be read, it is too long, or no regular file (reading could last for ever).
    DTypeError
        A path of another type.
    """
    name = name_of(path, what)
    wrong = f"{what}: expected {expected}, got {name!r}"
    try:
        with open(name, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{wrong}: it is no regular file")
            if most is not None and found.st_size > most:
                raise DataError(f"{wrong}: it has {found.st_size:,} bytes, more than the {most:,} that it can have")
            return file.read(found.st_size)
    except OSError as error:
        raise DataError(f"{wrong}: {error.strerror or error}") from None
    except ValueError as error:  # a zero byte, or what no file name can hold
        if isinstance(error, DataError):
            raise
        raise DataError(f"{wrong}: {error}") from None


def _at_once(name: str, flags: int) -> int:
    """Open without waiting: a pipe that nobody writes to would keep us for ever."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
