"""BLAS on one thread, while products are small.

BLAS' threads share out each product, and wait for each other at its end: where a product takes less than a millisecond
they may take several times as long as one of them alone (a conv net's step on two cores: 28 to 60 ms, against 16).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

__all__ = ["has_threads", "one_thread"]


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")


def has_threads() -> bool:
    """Has BLAS more than one thread?"""
    return any(pool["num_threads"] > 1 for pool in _blas().info())


def one_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread in a block, in the whole process; entering and leaving takes about 20 µs.

    >>> with one_thread():
    ...     has_threads()
    False
    """
    limit: AbstractContextManager[Any] = _blas().limit(limits=1)
    return limit
