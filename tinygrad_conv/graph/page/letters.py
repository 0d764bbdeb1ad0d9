"""`letters`: whole numbers as text of a fixed length each, in letters that are one byte in a page."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from ...engine.tensor import ndarray

__all__ = ["BASE", "letters", "squeezed"]

BASE = 92  # from # to ~, but ! for <, which is six letters in a page, and a space for the backslash, which is two
_LETTERS = bytes(range(35, 35 + BASE)).replace(b"<", b"!").replace(b"\\", b" ").ljust(256)


def letters(codes: ndarray[Any, Any], n: int) -> str:
    """Numbers from 0 to below ``BASE ** n``, in `n` letters each, the highest place first.

    >>> letters(np.array([0, 1, BASE + 2, 25]), 2)
    '###$$%#!'
    """
    places = codes.astype("int64").reshape(-1, 1) // BASE ** np.arange(n)[::-1] % BASE
    return places.astype("uint8").tobytes().translate(_LETTERS).decode()


def squeezed(text: str) -> str:
    """Text that a page needs only if asked for, deflated: how many bytes, then each four of them, in five letters."""
    packed = zlib.compress(text.encode(), 9)
    words = np.frombuffer(packed.ljust(-len(packed) // 4 * -4, b"\0"), ">u4")
    return letters(np.concatenate(([len(packed)], words)), 5)
