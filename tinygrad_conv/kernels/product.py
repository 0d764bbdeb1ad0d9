"""Products by BLAS, on bare arrays, in the threads that all kernels share; and which of its flags are true.

BLAS leaves floating-point flags of vector lanes that it does not use (seen with AVX-512), and NumPy then warns of an
"invalid value" where all numbers are finite. So every product is called through `quietly`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextvars import Context
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from .scratch import Array, blocks
from .threads import blas_on_one, shared, threads, worth

__all__ = ["einsum", "matmul", "quietly", "sum_rows"]

ALONE = 1 << 18  # multiply-adds that BLAS does on one thread in any case
START = 1 << 22  # that it does in the time it takes to start a thread and to wait for its end
FEW_EACH = 8  # rows for a thread: with fewer, products are slower
FEW_ROWS = 64  # whose sum takes NumPy no longer than BLAS


def matmul(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """a @ b: (..., M, K) and (..., K, N) to (..., M, N), leading axes broadcast; M or N may be missing.

    Each thread takes some of the rows of a large matrix. BLAS' own threads are left to matrices of few rows.
    """
    work = a.size * b.shape[-1]
    if work <= ALONE or threads() == 1:
        return quietly(np.matmul, a, b, out)
    if work < 4 * START:
        with blas_on_one():
            return quietly(np.matmul, a, b, out)
    count = worth(work, len(a) // FEW_EACH, START)
    if a.ndim != 2 or b.ndim != 2 or count < 2:
        return quietly(np.matmul, a, b, out)
    y = np.empty((len(a), b.shape[-1]), np.result_type(a, b)) if out is None else out
    shared([partial(quietly, np.matmul, a[part], b, y[part]) for part in blocks(len(a), count, len(a))])
    return y


def einsum(subscripts: str, a: Array, b: Array) -> Array:
    """NumPy's einsum of two operands, by BLAS where it can."""

    def einsum(a: Array, b: Array) -> Any:
        return np.einsum(subscripts, a, b, optimize=True)

    return quietly(einsum, a, b)


def sum_rows(x: Array, *, out: Array | None = None) -> Array:
    """The sum over all axes but the last, (..., C) to (C,): BLAS does it ten times as fast as NumPy."""
    table = x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])
    if len(table) > FEW_ROWS and x.dtype.char in "fd":
        return matmul(np.ones(len(table), x.dtype), table, out=out)
    total: Array = np.add.reduce(table, 0, None, out)  # type: ignore[arg-type]  # None or an array
    return total


# ------------------------------------------------------------------------------------------------------------------
# Flags

Listening: TypeAlias = tuple[Callable[..., Any], list[str]]  # a context's `run`, and what NumPy has flagged in it

_idle: list[Listening] = []  # as many as products ever ran at the same time
_NAMES = {"divide by zero": "divide", "overflow": "over", "underflow": "under", "invalid value": "invalid"}


def _listening() -> Listening:
    context, flagged = Context(), list[str]()
    context.run(np.seterrcall, lambda kind, flag: flagged.append(kind))
    context.run(partial(np.seterr, all="call"))
    return context.run, flagged


def quietly(*call: Any) -> Array:
    """``call[0](*call[1:])``; of the floating-point errors that are flagged, those are reported that the result bears
    out.

    Parameters
    ----------
    *call
        A function that is linear in each of two operands, or of one stack of matrices; the operands; and perhaps where
        to write. (In one tuple, which Python hands on as it is.)

    Reported as NumPy does, as `np.errstate` of the caller says. NumPy runs in a context of its own where it only notes
    what was flagged: that takes 0.1 µs, and `np.errstate` would take one.

    >>> with np.errstate(invalid="raise"):
    ...     quietly(np.matmul, np.ones((1, 1)), np.full((1, 1), np.nan))
    array([[nan]])
    """
    try:
        listening = _idle.pop()
    except IndexError:
        listening = _listening()
    run, flagged = listening
    result: Array = run(*call)
    if flagged:
        kinds = flagged.copy()
        flagged.clear()
        for kind in kinds:
            action = np.geterr()[_NAMES[kind]]  # type: ignore[literal-required]
            if action != "ignore" and _is_true(kind, call[0], call[1:3], result):
                _report(kind, call[0].__name__, action)
    _idle.append(listening)
    return result


def _is_true(kind: str, product: Callable[..., Any], operands: tuple[Array, ...], result: Array) -> bool:
    """Did this happen? Results tell: a NaN has come of no NaN, an infinity of finite numbers; small factors, if any."""
    if kind == "underflow":
        smallest = [np.abs(x[x != 0]).min(initial=np.inf) for x in operands]
        return bool(prod(map(float, smallest)) < np.finfo(result.dtype).smallest_normal)
    if kind == "divide by zero":
        return False
    bad = np.isnan if kind == "invalid value" else lambda x: ~np.isfinite(x)
    return bool((bad(result) & ~_reached(bad, product, operands)).any())


def _reached(bad: Callable[[Array], Array], product: Callable[..., Any], operands: tuple[Array, ...]) -> Array:
    """Which results are made of a bad element of an operand? Where it is 1 and all else is 0, the product is not 0."""
    wrong = [bad(x) for x in operands]
    if len(operands) == 1:
        return np.asarray(wrong[0].any((-2, -1)))
    ones = [np.ones(x.shape) for x in operands]
    with np.errstate(all="ignore"):
        counts = [product(*ones[:k], w.astype(float), *ones[k + 1 :]) for k, w in enumerate(wrong)]
    return np.asarray(sum(counts) > 0)


def _report(kind: str, name: str, action: str) -> None:
    """Say that a floating-point error has happened, as NumPy does."""
    message, handler = f"{kind} encountered in {name}", np.geterrcall()
    if action == "raise":
        raise FloatingPointError(message)
    if action == "warn":
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    elif action == "print":
        print(f"Warning: {message}", file=sys.stderr)
    elif action == "log":
        handler.write(f"Warning: {message}\n")  # type: ignore[union-attr]
    else:
        handler(kind, 1 << list(_NAMES).index(kind))  # type: ignore[operator, misc]
