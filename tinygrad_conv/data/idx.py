"""IDX, the file format of MNIST: a magic number, the shape, then the values, all big-endian.

The magic number is two zero bytes, one byte that codes the dtype and one byte that counts the axes; each axis
length is a 32-bit unsigned integer.
"""

import io
import struct
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_conv.arguments import Path, as_array, checked
from tinygrad_conv.errors import DataError, DTypeError, ShapeError
from tinygrad_conv.files import Expected, exactly, unpacking

DTYPES = {code: np.dtype(name) for code, name in {
    0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64",
}.items()}  # fmt: skip
AGAIN = "get the file again"
CODES = {dtype: code for code, dtype in DTYPES.items()}


@checked
def read_idx(source: Path | bytes | bytearray) -> NDArray[Any]:
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
        return decode(io.BytesIO(source), f"read_idx: {len(source)} bytes")[0]
    where = f"read_idx: {source}"
    with Expected(where, "a readable file", "check the path").opened(source) as file:
        return decode(file, where)[0]


@checked
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
    values = as_array(array, "write_idx")
    code = CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        names = ", ".join(map(str, CODES))
        raise DTypeError(f"write_idx: expected one of {names}, got {values.dtype}; convert with .astype(...)")
    if max(values.shape, default=0) >= 2**32:
        raise ShapeError(f"write_idx: expected every axis shorter than 2**32, got shape {values.shape}")
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def decode(
    file: IO[bytes], where: str, shape: tuple[int, ...] | None = None
) -> tuple[NDArray[Any], tuple[bytes, bytes]]:
    """The array in an IDX file, packed or not, and the file's content unpacked: header and values.

    The header says how long the content is: no more is unpacked, and nothing at all where `shape` is another one.
    ``where`` opens the message of every error.
    """
    idx = Expected(where, "an IDX file (0, 0, a dtype code, the rank)", AGAIN)
    read = unpacking(file, where)
    with Expected(where, "a whole compressed file", AGAIN).checking("a truncated or damaged one"):
        start = exactly(read, 4)
        dtype = DTYPES.get(start[2]) if len(start) == 4 and start.startswith(b"\0\0") else None
        if dtype is None:
            raise idx.error(f"one that starts with {list(start)}")
        rank = start[3]
        if rank > 64:
            raise DataError(f"{where}: expected a shape that NumPy can hold, got one of {rank} axes; {AGAIN}")
        header = start + exactly(read, 4 * rank)
        if len(header) < 4 + 4 * rank:
            raise DataError(
                f"{where}: expected a header of {4 + 4 * rank} bytes for {rank} axes, got {len(header)} bytes: the"
                " file is truncated; get it again"
            )
        found = struct.unpack_from(f">{rank}I", header, 4)
        if shape not in (None, found):
            raise DataError(f"{where}: expected shape {shape}, got shape {found}; replace or delete the file")
        size = prod(found) * dtype.itemsize
        values = exactly(read, size + 1)
    if len(values) != size:
        fault = "the file is truncated" if len(values) < size else "or more, after its end"
        raise DataError(
            f"{where}: expected {len(header) + size} bytes for shape {found} of {dtype}, got"
            f" {len(header) + len(values)}: {fault}; get it again"
        )
    flat = np.frombuffer(values, dtype.newbyteorder(">"))
    try:
        return flat.astype(dtype).reshape(found), (header, values)  # astype copies: the caller owns writable memory
    except ValueError as error:  # empty, with the other axes too long
        raise DataError(f"{where}: expected a shape that NumPy can hold, got {found}; get the file again") from error
