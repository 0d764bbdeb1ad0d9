"""`holding`: a folder is one process' own for a while, and others are told whose."""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..arguments import NonNegative, Size
from ..errors import DataError
from .reading import Expected
from .records import parsed, record
from .writing import UNFINISHED

__all__ = ["holding"]

_NAME = ".lock"


@dataclass(frozen=True)
class Holder:
    """Who holds a folder: a process, its machine, and since when (in seconds, as `time.time` counts them)."""

    process: Size
    machine: str
    since: NonNegative

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(self.since, 2**31)))
        return f"process {self.process} on {ascii(self.machine)[1:-1]} since {when}"


@contextmanager
def holding(folder: Path, fix: str) -> Iterator[None]:
    """Hold a folder, so that no other process writes into it; and remove what killed processes left there unfinished.

    The system lets go of it when the process ends, whatever ends it.

    Raises DataError, which says who holds the folder already, or that nothing can be written there.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, holding(Path(folder), "wait"):
    ...     try:
    ...         with holding(Path(folder), "wait"):
    ...             pass
    ...     except DataError as error:
    ...         print("got one that is held by process" in str(error))
    True
    """
    from filelock import FileLock, Timeout  # here, since it takes a tenth of a second

    wanted = Expected(str(folder), "a folder that nobody else is writing into", fix)
    if not folder.is_dir():
        raise wanted.error("none")
    path = folder / _NAME
    lock = FileLock(path, fallback_to_soft=False)  # a lock that is a file alone would outlive `kill -9`
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise wanted.error(f"one that is held by {_holder(path)}") from None
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a file system without locks cannot keep others out, and works all the same
            raise wanted.error(f": {error.strerror or error}") from None
    try:
        holder = Holder(os.getpid(), platform.node(), time.time())
        with suppress(OSError), open(path, "w", encoding="utf-8") as file:  # not anew: it is this file that is locked
            json.dump(asdict(holder), file)
        for left in folder.glob(UNFINISHED):
            with suppress(OSError):
                left.unlink()
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: whoever has opened it meanwhile sees that it is no longer the one
        lock.release()


def _holder(path: Path) -> str:
    """Who holds the lock, as far as can be read."""
    expected = Expected(str(path), "who holds a folder")
    try:
        return str(record(Holder, parsed(expected.read(path, 1_000), expected), expected))
    except DataError:
        return "another process"
