"""The one way in which functions are compiled here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["jit"]

# No fast-math: the order of sums is as written, so results are repeatable, and equal to the plain form's where its
# order is the same. One thread: a step alternates with BLAS, whose threads spin while they wait. With a second pool
# beside them, products and activations in turn took 2 to 4 times as long on two cores. Several steps in threads of
# their own do run at once, because the lock is given up (nogil).
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def jit(function: Callable[..., Any]) -> Any:
    """Compile at the first call, and keep the machine code on disk: beside the source, or else in the user's cache.

    Where neither can be written, a process compiles for itself. `NUMBA_CACHE_DIR` names another place.
    """
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # no place to write
        return njit(**_OPTIONS)(function)
