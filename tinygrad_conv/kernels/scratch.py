"""Memory for kernels: where results are written, temporaries that are used again, blocks that fit the cache.

A large array that was just made costs more to write than one that was written before, because the system hands out its
pages one fault at a time. So the temporaries of a kernel live on, per thread, from call to call.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from math import copysign, prod
from typing import Any, TypeAlias

import numpy as np

from ..errors import ArgumentError

__all__ = ["BLOCK_BYTES", "Array", "blocks", "counted", "number", "result", "scratch"]

Array: TypeAlias = np.ndarray[Any, Any]

MOST_BYTES = 1 << 24  # what a thread keeps under each name
BLOCK_BYTES = 1 << 21  # of images or columns at a time: in smaller blocks, calling NumPy costs more than a cache saves


class _Store(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[str, Array] = {}


_store = _Store()


def counted(n: int) -> Array:
    """0, 1, ... n - 1, not to be written to: short ones are kept, for NumPy takes a quarter of a microsecond.

    >>> counted(3)
    array([0, 1, 2])
    """
    return _short(n) if n <= 4096 else np.arange(n)


@lru_cache(maxsize=32)
def _short(n: int) -> Array:
    numbers = np.arange(n)
    numbers.flags.writeable = False
    return numbers


def number(value: float, dtype: np.dtype[Any]) -> Array:
    """A number in the dtype of the floats that it is combined with; NumPy would make it so at each call, in 0.3 µs.

    >>> number(0.5, np.dtype("f4")), number(-0.0, np.dtype("f4")), number(0.0, np.dtype("f4"))
    (array(0.5, dtype=float32), array(-0., dtype=float32), array(0., dtype=float32))
    """
    return _number(value, copysign(1.0, value), dtype)


@lru_cache(maxsize=64)
def _number(value: float, sign: float, dtype: np.dtype[Any]) -> Array:
    """`sign` tells 0.0 from -0.0, which are equal."""
    made = np.array(value, dtype)
    made.flags.writeable = False
    return made


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of any values, good until this thread asks for `name` again. What is too large to keep is made anew.

    >>> scratch("doctest", (2, 3), np.dtype("f4")).shape
    (2, 3)
    """
    size = prod(shape) * dtype.itemsize
    buffer = _store.buffers.get(name)
    if buffer is None or buffer.nbytes < size:
        buffer = np.empty(size + 64, np.uint8)
        start = -buffer.ctypes.data % 64  # a cache line: vectors that lie across two take twice as long
        buffer = buffer[start : start + size]
        if size <= MOST_BYTES:
            _store.buffers[name] = buffer
    return np.ndarray(shape, dtype, buffer)


def result(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Where to write a result: `out`, if it fits, or a new array of any values.

    >>> result(None, (2, 3), np.dtype("f4")).dtype
    dtype('float32')
    """
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise ArgumentError(
            f"expected out to be C-contiguous, of shape {shape} and dtype {dtype}, got shape {out.shape}, dtype "
            f"{out.dtype} and strides {out.strides}: use np.empty({shape}, np.{dtype})"
        )
    return out


def blocks(n: int, bytes_each: int, most: int) -> Iterator[slice]:
    """Slices of n things of at most about `most` bytes each, as equal as can be.

    >>> list(blocks(5, 100, most=250))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    count = -(-n * bytes_each // most) or 1
    size = -(-n // count) or 1
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
