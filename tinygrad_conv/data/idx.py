"""IDX, the file format of MNIST: a magic number, the shape, then the values, all big-endian.

The magic number is two zero bytes, one byte that codes the dtype and one byte that counts the axes; each axis
length is a 32-bit unsigned integer.
"""

import os
import struct
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_conv.errors import DataError, DTypeError, MissingExtraError, ShapeError

DTYPES = {code: np.dtype(name) for code, name in {
    0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64",
}.items()}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}


def read_idx(source: str | os.PathLike[str] | bytes | bytearray) -> NDArray[Any]:
    """Read an IDX file, plain or packed with gzip or xz.

    Args:
        source: the file's path, or its content as bytes.

    Returns:
        A new array of any rank and of any IDX dtype (uint8, int8, int16, int32, float32, float64), in the
        machine's byte order.

    Raises:
        DataError: the file is missing, truncated, damaged or no IDX file.
        DTypeError: ``source`` is neither a path nor bytes.

    >>> read_idx(write_idx([[1.0, 2.0], [3.0, 4.0]]))
    array([[1., 2.],
           [3., 4.]])
    """
    if isinstance(source, bytes | bytearray):
        blob, where = bytes(source), f"read_idx: {len(source)} bytes"
    elif isinstance(source, str | os.PathLike):
        where = f"read_idx: {os.fspath(source)}"
        blob = load_bytes(os.fspath(source), where)
    else:
        raise DTypeError(f"read_idx: expected a path or bytes, got {type(source).__name__}")
    return decode(unpack(blob, where), where)


def write_idx(array: ArrayLike) -> bytes:
    """The bytes of an IDX file that holds ``array``; ``read_idx`` gives the same array back.

    Args:
        array: any rank up to 64; uint8, int8, int16, int32, float32 or float64, in any byte order.

    Raises:
        DTypeError: IDX has no such dtype.
        ShapeError: an axis is longer than 32 bits can say.

    >>> write_idx(np.array([7, 8], dtype="uint8"))
    b'\\x00\\x00\\x08\\x01\\x00\\x00\\x00\\x02\\x07\\x08'
    """
    values = np.asarray(array)
    code = CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(map(str, CODES))
        raise DTypeError(f"write_idx: expected one of {names}, got {values.dtype}; convert with .astype(...)")
    if max(values.shape, default=0) >= 2**32:
        raise ShapeError(f"write_idx: expected every axis shorter than 2**32, got shape {values.shape}")
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def load_bytes(path: str, where: str) -> bytes:
    """The file's bytes as they lie on the disk."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{where}: expected a readable file, got: {error.strerror}; check the path") from error


def unpack(blob: bytes, where: str) -> bytes:
    """Undo gzip or xz, told by their first bytes, since browsers unpack files and keep the name."""
    try:
        if blob.startswith(b"\x1f\x8b"):
            import gzip

            return gzip.decompress(blob)
        if blob.startswith(b"\xfd7zXZ\x00"):
            import lzma

            return lzma.decompress(blob)
    except ImportError as error:
        raise MissingExtraError(
            f"{where}: this Python was built without its standard module {error.name}; install a complete Python"
        ) from error
    except Exception as error:  # zlib.error, LZMAError, EOFError and OSError have no closer base in common
        raise DataError(
            f"{where}: expected a whole compressed file, got a truncated or damaged one ({error}); get the file again"
        ) from error
    return blob


def decode(raw: bytes, where: str) -> NDArray[Any]:
    """The array in uncompressed IDX bytes; ``where`` opens the message of every error."""
    dtype = DTYPES.get(raw[2]) if len(raw) >= 4 and raw.startswith(b"\0\0") else None
    if dtype is None:
        raise DataError(
            f"{where}: expected an IDX file (0, 0, a dtype code, the rank), got one that starts with"
            f" {list(raw[:4])}; get the file again"
        )
    rank = raw[3]
    header = 4 + 4 * rank
    if len(raw) < header:
        raise DataError(
            f"{where}: expected a header of {header} bytes for {rank} axes, got {len(raw)} bytes: the file is"
            " truncated; get it again"
        )
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    size = header + prod(shape) * dtype.itemsize
    if len(raw) != size:
        fault = "is truncated" if len(raw) < size else "has bytes after its end"
        raise DataError(
            f"{where}: expected {size} bytes for shape {shape} of {dtype}, got {len(raw)}: the file {fault};"
            " get it again"
        )
    flat = np.frombuffer(raw, dtype.newbyteorder(">"), offset=header)
    try:
        return flat.astype(dtype).reshape(shape)  # astype copies: the caller owns writable memory
    except ValueError as error:  # over 64 axes, or empty with the other axes too long
        raise DataError(f"{where}: expected a shape that NumPy can hold, got {shape}; get the file again") from error
