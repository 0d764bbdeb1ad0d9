"""`write`: the one way in which this library writes a file. It appears complete, or the old one stays."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, TypeAlias

from ..errors import DataError, DTypeError

__all__ = ["UNFINISHED", "Content", "folder_for", "name_of", "unfinished", "write"]

Content: TypeAlias = bytes | str | Callable[[IO[bytes]], Any]

UNFINISHED = f".{'[0-9a-f]' * 16}.part"  # what is called so was left by a killed process; nobody reads it
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(path: str | os.PathLike[str], content: Content, what: str = "write") -> Path:
    """Write a file that appears under its name whole or not at all, whatever ends the process meanwhile.

    It is written under a name of its own beside its place, reaches the disk, and then takes the place of the old file
    in one step. So a reader sees the old file or the new one, and of several writers the last one wins. An old file's
    permissions and a link that leads to it stay. What is no regular file (such as ``/dev/stdout``) is written to as it
    is.

    Parameters
    ----------
    path : str or path
    content : bytes, str (written as UTF-8), or a function that writes into an open binary file
    what : str
        Who writes, for messages.

    Returns
    -------
    Path
        `path`, for a caller that says where the file is.

    Raises
    ------
    DataError
        The file cannot be written there, or the disk is full. The old file is as it was.
    DTypeError
        A path of another type.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write(f"{folder}/a.txt", "some text").read_text()
    'some text'
    """
    name = name_of(path, what)
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")  # half of a character (a lone surrogate) is escaped
    with _said(name, what):
        mode = _mode(name)
        if mode is None or stat.S_ISREG(mode):
            _replace(os.path.realpath(name), content, mode)
        else:
            held = io.BytesIO()  # zip files look where they are, which devices do not know
            _fill(held, content)
            with open(name, "wb") as file:
                file.write(held.getbuffer())
    return Path(name)


def folder_for(path: str | os.PathLike[str], what: str = "write") -> None:
    """Make the folder of a file that is to be written later, and find out now what would be in the way then.

    A path that ends in a separator is a folder's.

    Raises DataError where the folder cannot be made or written to, or a folder has the file's name; DTypeError for
    what is no path.
    """
    name = name_of(path, what)
    folder, file = os.path.split(name)
    with _said(name, what):
        if folder:
            os.makedirs(folder, exist_ok=True)
        if file:
            _mode(name)
        if not os.access(folder or os.curdir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def name_of(path: Any, what: str) -> str:
    """A path as text. Raises DTypeError for anything else: the number 3 is a file to `open`, too."""
    if isinstance(path, (str, os.PathLike)):
        with suppress(Exception):  # what its own method raises
            name = os.fspath(path)
            if isinstance(name, str):
                return str.__str__(name)
    raise DTypeError(f"{what}: expected a path as str or pathlib.Path, got {type(path).__name__}")


def unfinished() -> str:
    """A name for what is not whole yet, which nobody else has."""
    return f".{token_hex(8)}.part"


def _mode(name: str) -> int | None:
    """What is there already, if anything. Raises OSError where it must not be written over."""
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        return None
    except ValueError as error:  # a zero byte, or what no file name can hold
        raise OSError(errno.EINVAL, str(error)) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(name, os.W_OK):  # the folder alone decides about replacing: this is what its owner meant
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return mode


def _replace(target: str, content: bytes | Callable[[IO[bytes]], Any], mode: int | None) -> None:
    folder = os.path.dirname(target)
    part = os.path.join(folder, unfinished())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(part, flags, 0o666)  # less what the user's umask takes away
        with open(handle, "wb") as file:
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            _fill(file, content)
            file.flush()
            os.fsync(handle)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    with suppress(OSError):  # that the new name is on the disk, too, not every file system can promise
        entries = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)


def _fill(file: IO[bytes], content: bytes | Callable[[IO[bytes]], Any]) -> None:
    if isinstance(content, bytes):
        file.write(content)
    else:
        content(file)


@contextmanager
def _said(name: str, what: str) -> Iterator[None]:
    """What the system says of a path, as the library's error."""
    try:
        yield
    except OSError as error:
        fix = (
            "make room and try again; what was there before is as it was"
            if error.errno in _FULL
            else "choose a file in an existing folder that you may write to"
        )
        raise DataError(f"{what}: cannot write {name!r}: {error.strerror or error}; {fix}") from error
