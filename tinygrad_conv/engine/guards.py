"""Buffers that user code can reach, and how a change of one is noticed.

Tensors share memory with the arrays they were made from and with what `numpy()` returns, as in PyTorch. Somebody may
write to such a buffer between forward and backward. So a node that saves a buffer which user code can reach also
saves its fingerprint, and backward compares (`Node.check_saved`).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from .modes import observer

__all__ = [
    "FIXED", "Guard", "alone", "arrays_in", "checksum", "expose", "exposed", "fingerprint", "handed_out", "kept",
    "owner_of", "reachable", "unchanged", "unshared",
]  # fmt: skip

ndarray = np.ndarray
Guard: TypeAlias = tuple[int | str, ndarray, bytes | int]  # which input, "output" or "residual"; array; fingerprint

exposed: dict[int, Any] = {}  # id(owning array) -> weak reference
handed_out: dict[int, int] = {}  # id(owning array) -> checksum when it was first handed out, if made by the library


def owner_of(array: ndarray) -> ndarray:
    """The array whose memory this one is a view of; itself if it has its own."""
    base = array.base
    while isinstance(base, ndarray):
        array, base = base, base.base
    return array


def checksum(array: ndarray) -> int:
    """A number that all bytes of the elements, in order, decide: of large arrays twice as fast as CRC-32.

    Words are weighed with odd numbers and added up modulo 2**64, so that no change of one word is missed. A word's
    highest bit alone would count in the highest bit of the sum alone, where two changes of sign cancel: so it is mixed
    into lower ones before.
    """
    from zlib import crc32  # here, so that importing the library stays quick

    if array.nbytes < _TINY:
        return crc32(array.data if array.flags.c_contiguous else array.tobytes())
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    words, tail = raw[: raw.size & -8].view(np.uint64), raw[raw.size & -8 :]
    found, weights, mixed = crc32(tail.data), _weights(), np.empty(_BLOCK, np.uint64)
    for at in range(0, len(words), _BLOCK):
        block = words[at : at + _BLOCK]
        own = np.right_shift(block, 29, out=mixed[: len(block)])  # 29: the signs of two float32 must not meet
        own ^= block
        found = (found * _BETWEEN + int(np.einsum("i,i->", own, weights[: len(block)]))) % (1 << 64)
    return found


@cache
def _weights() -> ndarray:
    return np.random.default_rng(0).integers(1 << 63, size=_BLOCK, dtype=np.uint64) * 2 + 1


_BLOCK = 1 << 15  # words: these, their mixture and the weights stay in the processor's cache
_BETWEEN = 0x9E3779B97F4A7C15  # an odd number with which blocks are told apart
_SMALL = 1 << 22  # bytes: of so many a copy, made and compared, takes 0.2 ms, and two checksums 0.7
_TINY = 1 << 16


def fingerprint(array: ndarray) -> bytes | int:
    """What a node compares an array with: a copy of it (50 GB/s), or the checksum of a large one, to save memory."""
    return array.tobytes() if array.nbytes <= _SMALL else checksum(array)


def unchanged(array: ndarray, before: bytes | int) -> bool:
    """Is an array what its fingerprint says?"""
    if type(before) is bytes and len(before) > _TINY and array.flags.c_contiguous:
        return before.startswith(array.reshape(-1).view(np.uint8).data)  # of equal length: compares without a copy
    return fingerprint(array) == before


def expose(array: ndarray, *, late: bool) -> None:
    """Note that user code can write to `array`'s memory from now on.

    ``late`` means that nodes may have saved it already: they will be compared with the checksum taken now.
    """
    owner = owner_of(array)
    key = id(owner)
    if key in exposed or array.dtype.hasobject:
        return
    exposed[key] = weakref.ref(owner, partial(_forget, key, exposed, handed_out))
    if late:
        handed_out[key] = checksum(owner)


def _forget(key: int, exposed: dict[int, Any], handed_out: dict[int, int], _: Any) -> None:
    """An exposed array is gone. (The tables are arguments: when Python ends, this module's names are gone already.)"""
    exposed.pop(key, None)
    handed_out.pop(key, None)


def reachable(array: Any, inputs: Sequence[Any]) -> bool:
    """Can user code write to an array that an operation returned? It can if the memory is the user's, or an input's."""
    if not isinstance(array, ndarray):
        return False
    owner = owner_of(array)
    return id(owner) in exposed or any(isinstance(x, ndarray) and owner_of(x) is owner for x in inputs)


def arrays_in(value: Any) -> Iterator[ndarray]:
    """The arrays in a value: itself, or what tuples, lists and dictionaries hold."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, (tuple, list)):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


FIXED = frozenset({type(None), bool, int, float, complex, str, slice, type(Ellipsis), np.dtype, type})


def kept(value: Any) -> Any:
    """A keyword's value as a node keeps it, which nobody can change: an array becomes a copy, a list a tuple."""
    if isinstance(value, ndarray):
        own = np.array(value)
        by = observer()
        if by is not None:
            by.same(own, value)
        return own
    if isinstance(value, (tuple, list)):
        if type(value) is tuple:
            try:
                hash(value)
            except TypeError:  # there is an array or a list in it
                pass
            else:
                return value
        parts = [part if type(part) in FIXED else kept(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return {key: kept(part) for key, part in value.items()} if type(value) is dict else value


def unshared(tensor: Any, besides: int = 0) -> ndarray | None:
    """The tensor's array if nobody else holds it, so that it may be written over; None otherwise.

    Python counts who holds it: a graph that saved it, another tensor, a view, a local variable. `besides` is how many
    of these do not matter. An array that was ever given out (`data`, `numpy()`) is never written over. A thread that is
    computing with the array is counted, too; one that is about to read it is not.
    """
    array = tensor._array
    return array if alone(array, 1 + besides) and array.flags.carray and id(array) not in exposed else None


def alone(array: Any, besides: int = 0) -> bool:
    """Has an array memory of its own, and does nobody hold it but a local variable of the caller's, and `besides`?"""
    return sys.getrefcount(array) == _LOCAL + besides and type(array) is ndarray and array.base is None


def _local() -> int:
    array = np.empty(1)
    return _counted(array)


def _counted(array: Any) -> int:
    return sys.getrefcount(array)


_LOCAL = _local()  # what is counted in `alone` of an array that only its caller has, in a local variable
