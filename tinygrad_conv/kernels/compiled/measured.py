"""What Winograd's algorithm saves on this machine: measured once, and kept beside the machine code.

There is a number for each class of channels, in and out, rounded to powers of two: the time of F(4x4, 3x3) as a share
of the direct algorithm's, the least of some runs in turn. It is measured in some milliseconds, when a convolution of
the class first comes, and written into a file. From then on every process reads it, so a machine always chooses the
same. With the environment variable ``TINYGRAD_CONV_MEASURE=0``, or where no file can be written, nothing is measured,
and `winograd.tile` goes by the numbers that it has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from math import log2
from pathlib import Path
from threading import RLock
from time import perf_counter

from ...blocks import awaited_by_forks
from ...errors import DataError
from ...files import write
from .jit import VECTOR_BYTES, folder

__all__ = ["class_of", "share"]

LEAST, MOST = 16, 256  # channels of the first class, and of the last
RUNS = 7
SANE = 0.05, 20.0

_lock = awaited_by_forks(RLock())


def class_of(channels: int) -> int:
    """The class of a number of channels.

    >>> [class_of(n) for n in (3, 40, 48, 64, 1000)]
    [16, 32, 64, 64, 256]
    """
    return min(max(1 << round(log2(channels)), LEAST), MOST)


def share(channels: int, filters: int, runs: tuple[Callable[[], object], Callable[[], object]]) -> float | None:
    """The number of a class; `runs` are the direct algorithm and F(4x4, 3x3), if it is to be measured."""
    place = folder()
    if place is None or os.environ.get("TINYGRAD_CONV_MEASURE") == "0":
        return None
    path, name = place / f"winograd-{VECTOR_BYTES}.json", f"{channels} {filters}"
    with _lock:
        known = _read(path)
        if name not in known:
            for run in runs:  # compiles it
                run()
            times = [min(times) for times in zip(*([_seconds(run) for run in runs] for _ in range(RUNS)), strict=True)]
            try:
                write(path, json.dumps(known | {name: round(times[1] / times[0], 3)}, indent=1))
            except (DataError, OSError):
                return None
            _read.cache_clear()
            known = _read(path)
        return known.get(name)


def _seconds(run: Callable[[], object]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


@cache
def _read(path: Path) -> dict[str, float]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {k: v for k, v in found.items() if isinstance(v, float) and SANE[0] < v < SANE[1]}
    return {}
