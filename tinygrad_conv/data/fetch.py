"""Find, verify and download data files; nothing gets past ``read`` that is not what its ``Source`` says."""

import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_conv.data.idx import decode
from tinygrad_conv.errors import DataError, MissingExtraError
from tinygrad_conv.files import Expected, folder_for, write

SUFFIXES = ("", ".gz", ".xz")
BY_HAND = "pass data_dir= a folder that has the IDX files"
TIMEOUT = 20  # seconds without an answer until the next mirror's turn


@dataclass(frozen=True)
class Source:
    """One IDX file of uint8: its name, the SHA-256 of its uncompressed bytes, and its shape."""

    name: str
    sha256: str
    shape: tuple[int, ...]


def cache_folder() -> str:
    """Where this platform keeps files that can be had again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "tinygrad-conv")


def find(source: Source, folder: str) -> str | None:
    """The path of the file in ``folder``, packed or not, if it is there."""
    paths = (os.path.join(folder, source.name + suffix) for suffix in SUFFIXES)
    return next(filter(os.path.isfile, paths), None)


def read(source: Source, path: str, downloaded: IO[bytes] | None = None) -> NDArray[np.uint8]:
    """Read one file and hold it against its source: shape first, for the clearer message, then every byte."""
    import hashlib

    where = f"mnist: {path}"
    with (
        nullcontext(downloaded) if downloaded else Expected(where, "a readable file", "check the path").opened(path)
    ) as file:
        array, (header, values) = decode(file, where, source.shape)
    sha256 = hashlib.sha256(header)
    sha256.update(values)
    digest = sha256.hexdigest()
    if digest != source.sha256:
        raise DataError(
            f"{where}: expected the content of {source.name} (SHA-256 {source.sha256[:12]}...),"
            f" got other bytes (SHA-256 {digest[:12]}...); replace or delete the file"
        )
    return array


def from_folder(sources: Sequence[Source], folder: str) -> list[NDArray[np.uint8]]:
    """All files from one folder; a missing one is an error, never a download."""
    if not os.path.isdir(folder):
        raise DataError(f"mnist: expected a folder with the IDX files, got {folder!r}, which is no folder")
    paths = {source: find(source, folder) for source in sources}
    missing = [source.name for source, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"mnist: expected {len(sources)} IDX files (plain or .gz) in {folder},"
            f" got no {', '.join(missing)}; add what is missing or name another folder"
        )
    return [read(source, path) for source, path in paths.items() if path is not None]


def from_anywhere(sources: Sequence[Source], folders: Sequence[str], mirrors: Sequence[str]) -> list[NDArray[np.uint8]]:
    """Each file from the first folder that has it, else from a mirror into the last folder, the cache."""
    order = list(mirrors)  # shared by the files, so that a dead mirror is waited for once
    arrays = []
    for source in sources:
        path = next(filter(None, (find(source, folder) for folder in folders)), None)
        arrays.append(read(source, path) if path else download(source, folders, order))
    return arrays


def download(source: Source, folders: Sequence[str], mirrors: list[str]) -> NDArray[np.uint8]:
    """Download a file that none of ``folders`` has into the last of them, the cache.

    It appears there under its name whole and verified, or not at all. ``mirrors`` are tried in order, and one
    that fails moves to the list's end.
    """
    cache = folders[-1]
    wanted = f"mnist: expected {source.name} in {' or '.join(folders)}, or to download it"
    try:
        import pooch  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError(
            f"{wanted}, which needs pooch: pip install 'tinygrad-conv[data]'\nor {BY_HAND}"
        ) from error
    name = source.name + ".gz"
    try:
        folder_for(os.path.join(cache, name), "mnist")
    except DataError as error:
        raise DataError(
            f"{wanted}, got a cache folder that cannot be written ({error})\nmake it writable, or {BY_HAND}"
        ) from None

    progress = bool(sys.stderr and sys.stderr.isatty())
    http = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=TIMEOUT)
    failures = []
    for mirror in tuple(mirrors):
        try:
            file = _Limited(prod(source.shape) + 2**16)  # packed, it is shorter; gzip adds a little to what is random
            http(f"{mirror.rstrip('/')}/{name}", file, None)
            array = read(source, name, file)
        except (OSError, DataError) as error:  # the errors of requests are OSErrors
            failures.append(f"{mirror} ({reason(error)})")
            mirrors.append(mirrors.pop(mirrors.index(mirror)))
        else:
            write(os.path.join(cache, name), file.getvalue(), "mnist")
            return array
    raise DataError(
        f"{wanted}, got from the mirrors: {'; '.join(failures) or 'none was given'}\n"
        f"check the network and try again, or {BY_HAND}"
    )


class _Limited(io.BytesIO):
    """Takes so many bytes and no more: a mirror may send for ever."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.most:
            raise DataError(f"mnist: expected at most {self.most:,} bytes, got more")
        return super().write(data)


def reason(error: Exception) -> str:
    """Why a download failed, in a few words: what requests says fills a screen."""
    if isinstance(error, DataError):
        return str(error).removeprefix("mnist: ").partition(";")[0]
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"HTTP {status}" if status else getattr(error, "strerror", None) or type(error).__name__
