"""How much memory there is: results that cannot fit are refused before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from math import prod

from ..errors import SizeError

__all__ = ["afford"]

_LARGE = 1 << 28  # bytes; what is smaller fits anywhere, and nobody is asked


def afford(what: str, shape: Iterable[int], itemsize: int = 8) -> None:
    """Raise SizeError if an array of this shape would not fit into memory with a result of it and their gradients."""
    size = prod(shape) * itemsize
    if size > _LARGE and 4 * size > (free := _available()):
        raise SizeError(
            f"{what}: expected a result that fits into memory four times (gradients do too), got shape {tuple(shape)}, "
            f"which takes {_gib(size)} of {_gib(free)} that are free; make it smaller"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size < 1 << 60 else "more"


def _available() -> int:
    """Bytes that can be had now, as far as the system tells."""
    return min(_free_in_machine(), _left_in_container(), _left_to_process())


def _free_in_machine() -> int:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return sys.maxsize


def _left_in_container() -> int:
    try:
        with open("/sys/fs/cgroup/memory.max") as most, open("/sys/fs/cgroup/memory.current") as used:
            return int(most.read()) - int(used.read())
    except (OSError, ValueError):  # no container, or one without a limit
        return sys.maxsize


def _left_to_process() -> int:
    try:
        import resource  # not on every system

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        with open("/proc/self/statm") as sizes:
            used = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, AttributeError, OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if most == resource.RLIM_INFINITY else most - used
