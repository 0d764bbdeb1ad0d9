"""Work shared out among threads: each takes some of the images of a batch, and BLAS one thread for each of them.

BLAS would share out each product by itself. But its threads wait for each other at the end of each, and go on looking
for work for some milliseconds: on two cores a conv net's step took twice as long with them as on one thread. So what
can be split is split here, products included, and BLAS is held to one thread meanwhile.

There are as many threads as BLAS has. `OPENBLAS_NUM_THREADS` (or its kin) and `threadpoolctl.threadpool_limits` say how
many, for both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache, partial
from itertools import zip_longest
from math import isqrt
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .scratch import Array, blocks, result

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["blas_on_one", "libraries", "most", "over_batch", "over_rows", "shared", "threads", "worth"]

T = TypeVar("T")

START = 1 << 20  # multiply-adds that a thread does in the 50 µs that it takes to start it and to wait for its end
ELEMENT = 8  # multiply-adds that take as long as one element of an elementwise operation

_ALONE: ContextVar[bool] = ContextVar("tinygrad_conv_alone", default=False)  # is this a share of something already?


@cache
def libraries() -> Sequence[Any]:
    """The BLAS libraries of this process, as threadpoolctl knows them."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    found: Sequence[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _blas_threads() -> int:
    """How many threads BLAS has; where it does not tell, as on a Mac, as many as there are cores."""
    known = libraries()
    return max(int(library.num_threads) for library in known) if known else os.cpu_count() or 1  # which takes 20 µs


def most(work: int, start: int = START) -> int:
    """Among how many threads, if there are so many, `work` multiply-adds are best shared out.

    To start c threads takes c times `start`, and what each does then work / c: together least for c = √(work / start).

    >>> most(3 * START), most(4 * START)
    (1, 2)
    """
    return isqrt(work // start)


def worth(work: int, n: int, start: int = START) -> int:
    """Among how many of the threads that there are `work` multiply-adds over n things are best shared out.

    >>> worth(3 * START, n=100)
    1
    """
    count = min(most(work, start), n)
    return min(count, threads()) if count > 1 else 1


def threads() -> int:
    """How many threads there are for a kernel that is called here; takes less than a microsecond.

    >>> from threadpoolctl import threadpool_limits
    >>> with threadpool_limits(1):
    ...     threads()
    1
    """
    return 1 if _ALONE.get() or not _can_start() else _blas_threads()


@cache
def _can_start() -> bool:
    """Whether there are threads at all: Pyodide has none."""
    from threading import Thread

    trial = Thread(target=int)
    try:
        trial.start()
    except RuntimeError:
        return False
    trial.join()
    return True


@contextmanager
def blas_on_one() -> Iterator[None]:
    """Hold BLAS to one thread in a block, in the whole process; entering and leaving takes two microseconds."""
    before = [(library, library.num_threads) for library in libraries()]
    many = [(library, count) for library, count in before if count > 1]  # a 1 may be another's hold: not to be restored
    try:
        for library, _ in many:
            library.set_num_threads(1)
        yield
    finally:
        for library, count in many:
            library.set_num_threads(count)


def shared(works: Sequence[Callable[[], T]]) -> list[T]:
    """The results of some functions that run at the same time, in their order: the first here, the others in threads.

    Each sees the context of the caller (`np.errstate`, `use_kernels`). When one fails, its error is raised once all
    have ended.

    >>> shared([lambda: 1, lambda: threads()])
    [1, 1]
    """
    token = _ALONE.set(True)
    try:
        with blas_on_one():
            others: list[Future[T]] = []
            gate, may_begin = Lock(), list[bool]()

            def begin(work: Callable[[], T]) -> T:
                with gate:
                    pass
                return work() if may_begin else cast("T", None)

            try:
                with gate:  # nobody begins before all are known: one that Ctrl-C made us forget would write on
                    others.extend(_pool().submit(copy_context().run, begin, work) for work in works[1:])
                    may_begin.append(True)
                first = works[0]()
            finally:
                _await(others)
            return [first, *(other.result() for other in others)]
    finally:
        _ALONE.reset(token)


def _await(others: Sequence[Future[Any]]) -> None:
    """Wait until all have ended, whatever comes meanwhile: they write into the caller's arrays."""
    try:
        for other in others:
            other.exception()
    except KeyboardInterrupt:
        _await(others)
        raise


def over_batch(
    form: Callable[..., Any], plain: Callable[..., Any], batch: str, count: int, args: Sequence[Any],
    options: dict[str, Any], out: Any,
) -> Any:  # fmt: skip
    """``form(*args, out=out, **options)``, the first axis of some arguments cut into `count` parts.

    Parameters
    ----------
    form, plain : callable
        A kernel's form; and its plain one, which tells from no images what shape and dtype a result has.
    batch : str
        An argument and a result each: "n" is cut, "-" is whole, a result "+" is the sum of what the parts give.

    >>> over_batch(np.multiply, np.multiply, "n,- -> n", 2, (np.arange(4.0), 2.0), {}, None)
    array([0., 2., 4., 6.])
    """
    taken, given = (text.split(",") for text in batch.split(" -> "))
    n, options = len(args[0]), dict(options)
    if len(args) < len(taken):  # some by their names
        args = [*args, *map(options.pop, plain.__code__.co_varnames[len(args) : len(taken)])]

    def cut(part: slice) -> list[Any]:
        return [arg[part] if kind == "n" else arg for arg, kind in zip_longest(args, taken)]

    likes = _tuple(plain(*cut(slice(0)), **options))
    outs = [
        result(to, (n, *like.shape[1:]), like.dtype) if kind == "n" else to
        for to, kind, like in zip(_tuple(out) or (None,) * len(given), given, likes, strict=True)
    ]

    def share(part: slice) -> tuple[Array, ...]:
        to = tuple(to[part] if kind == "n" else None for to, kind in zip(outs, given, strict=True))
        return _tuple(form(*cut(part), out=to if len(to) > 1 else to[0], **options))

    parts = shared([partial(share, part) for part in blocks(n, count, n)])
    for k, kind in enumerate(given):
        if kind == "+":
            outs[k] = _sum([results[k] for results in parts], outs[k])
    return tuple(outs) if len(outs) > 1 else outs[0]


def over_rows(function: Callable[..., Any], *args: Any, out: Any) -> None:
    """``function(*args, out=out)`` of something elementwise: each thread makes some rows of the results, in as many
    threads as pay.

    >>> over_rows(np.add, np.ones((2, 3)), 1.0, out=(y := np.empty((2, 3))))
    >>> y.tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """
    first = _tuple(out)[0]
    count = worth(ELEMENT * first.size, len(first))
    if count < 2:
        function(*args, out=out)
        return

    def cut(part: slice, x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(cut(part, each) for each in x)
        return x[part] if isinstance(x, np.ndarray) and x.ndim == first.ndim and len(x) == len(first) else x

    parts = blocks(len(first), count, len(first))
    shared([partial(function, *cut(part, args), out=cut(part, out)) for part in parts])


def _tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else () if results is None else (results,)


def _sum(parts: Sequence[Array], out: Array | None) -> Array:
    """The sum of some arrays, in `out` if that is given, else in the first."""
    total = parts[0] if out is None else out
    np.add(parts[0], parts[1], out=total)
    for part in parts[2:]:
        total += part
    return total


@cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # 3 ms, which who imports the library need not wait

    return ThreadPoolExecutor(thread_name_prefix="tinygrad_conv")  # makes threads when it needs them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a child
