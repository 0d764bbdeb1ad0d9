"""What is packed with gzip or xz, unpacked as far as it is asked for and no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

from ..errors import MissingExtraError
from .reading import CHUNK

__all__ = ["unpacking"]

_XZ_MEMORY = 1 << 27  # bytes for the dictionary, which the file says; `xz -9` needs half of that


def unpacking(file: IO[bytes], where: str) -> Callable[[int], bytes]:
    """The function that reads a file's content: as it lies there, or unpacked, which its first bytes tell.

    It gives at most as many bytes as it is asked for, and fewer than one only at the end. What it raises for a damaged
    file differs. A small file may unpack to a thousand times its size: ask for what the content can have.

    Raises MissingExtraError for a Python that was built without its standard modules.

    >>> import gzip, io
    >>> unpacking(io.BytesIO(gzip.compress(bytes(1_000_000))), "here")(3)
    b'\\x00\\x00\\x00'
    """
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    try:
        if start.startswith(b"\x1f\x8b"):
            import gzip

            return gzip.GzipFile(fileobj=file).read
        if start == b"\xfd7zXZ\x00":
            import lzma

            return _unpacking_xz(file, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))
    except ImportError as error:
        raise MissingExtraError(
            f"{where}: this Python was built without its standard module {error.name}; install a complete Python"
        ) from error
    return file.read


def _unpacking_xz(file: IO[bytes], engine: Any) -> Callable[[int], bytes]:
    """As `lzma.LZMAFile` does it, which takes all the memory that a file asks for."""

    def read(size: int) -> bytes:
        while not engine.eof:
            packed = file.read(CHUNK) if engine.needs_input else b""
            if engine.needs_input and not packed:
                raise EOFError("it ends before its end mark")
            found: bytes = engine.decompress(packed, size)
            if found:
                return found
        return b""

    return read
