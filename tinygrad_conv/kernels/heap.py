"""Memory that a step frees is kept for the next one, instead of going back to the system.

An eager step makes and frees the same arrays again and again. The C library hands what lies free at the end of its heap
back to the system, which gives it out again page by page, each page cleared, and a fault for each: a fifth of a conv
net's step. So it is told to hold on to some. Who gets which memory is decided by `malloc` as ever: an array, or a view
of it, that somebody holds is as safe as it was.

The environment variable ``TINYGRAD_CONV_KEEP_MB`` says how much is kept at most at the end of the heap; what lies free
before something that is in use stays there, as ever, and is used again. 0 leaves the C library as it is. So do its own
settings (``MALLOC_...``, ``GLIBC_TUNABLES``). Only GNU's C library can be told.
"""

from __future__ import annotations

import ctypes
import os
import sys

from ..errors import ArgumentError

__all__ = ["keep"]

SETTING, DEFAULT = "TINYGRAD_CONV_KEEP_MB", 256
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3), whose values are ints of C
MOST, LARGEST = 2047, 32  # MB: what it takes; the largest array on the heap, others come from the system and go back


def keep() -> int:
    """Keep free memory at the end of the heap from now on, in the whole process.

    Returns how many MB at most; 0 where nothing was changed. Raises ArgumentError for a setting that is no such number.
    """
    said = os.environ.get(SETTING) or str(DEFAULT)
    if not (said.isascii() and said.isdigit() and int(said) <= MOST):
        raise ArgumentError(
            f"{SETTING}: expected whole megabytes from 0 to {MOST}, got {said!r}; use {SETTING}={DEFAULT}"
        )
    megabytes = int(said)
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return 0
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if not megabytes or mallopt is None:
        return 0
    return megabytes * (mallopt(MMAP_THRESHOLD, LARGEST << 20) and mallopt(TRIM_THRESHOLD, megabytes << 20))
