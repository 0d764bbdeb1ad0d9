"""`stream`: batches of data that need not fit in memory, shuffled by blocks, read ahead, resumed in the middle.

An epoch is a permutation of blocks of neighbouring rows. A window of some blocks is in memory at a time, and its rows
are permuted again. All orders follow from the seed and the number of the epoch, so a stream that goes on in the middle
reads nothing of what is over.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import Count, Seed, Size, checked, described, drawn_from
from ..errors import ArgumentError
from .batching import Dataset
from .shards import Shards

__all__ = ["Stream", "stream"]

Rows = tuple[NDArray[Any], ...]
BLOCK_BYTES = 1 << 20  # of a block, where nobody says otherwise: a disk reads so much at once without loss


class Source(Protocol):
    """What a stream reads from."""

    def __len__(self) -> int: ...
    @property
    def row_bytes(self) -> int: ...
    def read(self, start: int, stop: int) -> Rows: ...


class _InMemory:
    """Arrays as a source. Of files that are mapped to be read, memory is given back after each block."""

    def __init__(self, dataset: Dataset, maps: list[mmap.mmap]) -> None:
        self._arrays, self._maps = dataset.arrays, maps

    def __len__(self) -> int:
        return len(self._arrays[0])

    @property
    def row_bytes(self) -> int:
        return sum(array[:1].nbytes for array in self._arrays)

    def read(self, start: int, stop: int) -> Rows:
        rows = tuple(np.array(array[start:stop]) for array in self._arrays)
        for each in self._maps:
            each.madvise(mmap.MADV_DONTNEED)
        return rows


@checked
def stream(
    *arrays: ArrayLike | Dataset | Shards,
    batch_size: Size = 32,
    shuffle: bool = True,
    seed: Seed = 0,
    drop_last: bool = False,
    block_size: Size | None = None,
    window: Size = 16,
    prefetch: Count = 1,
) -> Stream:
    """Batches of data that may be larger than memory, for one epoch or many.

    Args:
        arrays: one `Shards`, or one ``Dataset``, or arrays of equal length, such as those of ``numpy.load(...,
            mmap_mode="r")``.
        batch_size: examples in a batch, 1 or more.
        shuffle: a new order in each epoch: of blocks, and of the rows in a window of blocks; else their own.
        seed: an integer from 0, or a ``numpy.random.Generator`` that one is drawn from.
        drop_last: leave out the last batch where it would be short.
        block_size: neighbouring rows that are read at once. By default as many as take 1 MiB, or fewer, so
            that there are some 64 blocks.
        window: blocks that are shuffled among each other: the more, the better, and the more memory.
        prefetch: windows that a thread reads ahead; 0: none, and no thread.

    Returns:
        An iterable with a ``len``, of tuples of new arrays, one for each given; of bare arrays if one was
        given. Each ``for`` loop is an epoch. At most ``prefetch + 2`` windows are in memory.

    Raises:
        ShapeError: lengths differ, or an array has rank 0.
        ArgumentError: an argument is out of range, or no array was given.

    >>> x, y = np.arange(100.0), np.arange(100) % 2
    >>> batches = stream(x, y, batch_size=40, block_size=10, window=4)
    >>> [len(xb) for xb, yb in batches]
    [40, 40, 20]
    >>> sorted(np.concatenate([xb for xb, yb in batches])) == x.tolist()
    True

    A checkpoint keeps where the stream is, and another process goes on there:

    >>> for k, (xb, yb) in enumerate(batches):
    ...     if k == 1:
    ...         kept = batches.state_dict()
    >>> again = stream(x, y, batch_size=40, block_size=10, window=4)
    >>> again.load_state_dict(kept)
    >>> [bool(np.array_equal(xb, last)) for last, _ in again]
    [True]
    """
    first = arrays[0] if len(arrays) == 1 else None
    if isinstance(first, Shards):
        source: Source = first
    else:
        if any(isinstance(array, Shards | Dataset) for array in arrays) and not isinstance(first, Dataset):
            raise ArgumentError("stream: expected arrays, or one Dataset or Shards by itself, got several things")
        source = _InMemory(
            first if isinstance(first, Dataset) else Dataset(*arrays),  # type: ignore[arg-type]
            [found for array in arrays if (found := _map_of(array)) is not None],
        )
    n = len(source)
    if block_size is None:
        block_size = max(1, min(BLOCK_BYTES // max(source.row_bytes, 1), -(-n // 64)))
    number = int(seed if isinstance(seed, int | np.integer) else drawn_from(seed).integers(2**62))
    return Stream(source, batch_size, shuffle, number, drop_last, block_size, window, prefetch)


class Stream:
    """What `stream` returns. ``state_dict()`` says where it is, and ``load_state_dict`` goes on there.

    >>> len(stream(np.arange(10), batch_size=4))
    3
    """

    def __init__(
        self, source: Source, batch_size: int, shuffle: bool, seed: int, drop_last: bool, block_size: int, window: int,
        prefetch: int,
    ) -> None:  # fmt: skip
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self._source, self._block, self._window, self._ahead = source, block_size, window, prefetch
        self._order = {
            "seed": seed, "rows": len(source), "batch_size": batch_size, "block_size": block_size, "window": window,
            "shuffle": int(shuffle), "drop_last": int(drop_last),
        }  # fmt: skip
        self._at = (0, 0)  # the epoch, and how many of its batches were handed out
        self._next = (0, 0)  # where the next loop begins

    def __len__(self) -> int:
        whole, rest = divmod(len(self._source), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __repr__(self) -> str:
        return f"Stream({len(self)} of up to {self.batch_size} from {len(self._source)} rows)"

    def __iter__(self) -> Iterator[Any]:
        epoch, done = self._next
        self._next = (epoch + 1, 0)
        last = len(self) * self.batch_size
        parts: list[Rows] = []  # of windows, which a batch is made of
        for rows in self._permuted(epoch, done * self.batch_size):
            at, n = 0, len(rows[1])
            while at < n and done < len(self):
                size = min(self.batch_size, min(last, len(self._source)) - done * self.batch_size)
                take = rows[1][at : at + size - sum(len(part[0]) for part in parts)]
                parts.append(tuple(array[take] for array in rows[0]))
                at += len(take)
                if sum(len(part[0]) for part in parts) == size:
                    batch = parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))
                    parts, done = [], done + 1
                    self._at = (epoch, done)
                    yield batch[0] if len(batch) == 1 else batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream is: after the batch that was handed out last. Numbers, which JSON can hold."""
        return {**self._order, "epoch": self._at[0], "batch": self._at[1]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another stream of the same data and arguments was: the next loop is the rest of its epoch.

        Raises ArgumentError for another stream's state, and then changes nothing.
        """
        if not isinstance(state, dict) or set(state) != {*self._order, "epoch", "batch"}:
            raise ArgumentError(f"Stream: expected what state_dict() returned, got {described(state)}")
        for name, mine in self._order.items():
            if state[name] != mine:
                raise ArgumentError(
                    f"Stream: expected the state of one with {name} {mine}, got {described(state[name])}"
                )
        epoch, done = state["epoch"], state["batch"]
        if any(type(n) is not int or n < 0 for n in (epoch, done)) or done > len(self):
            raise ArgumentError(
                f"Stream: expected an epoch and at most {len(self)} batches, got {epoch!r} and {done!r}"
            )
        self._at = (epoch, done)
        self._next = (epoch + 1, 0) if done == len(self) else (epoch, done)

    def _permuted(self, epoch: int, skipped: int) -> Iterator[tuple[Rows, NDArray[Any]]]:
        """The epoch's windows, and the order of rows in each, without the first rows."""
        n, size = len(self._source), self._block
        blocks = np.arange(-(-n // size))
        if self.shuffle:
            blocks = np.random.default_rng([self._order["seed"], epoch]).permutation(blocks)

        def windows() -> Iterator[Callable[[], tuple[Rows, NDArray[Any]]]]:
            begin = 0
            for w, k in enumerate(range(0, len(blocks), self._window)):
                chosen = [(b * size, min((b + 1) * size, n)) for b in blocks[k : k + self._window].tolist()]
                end = begin + sum(stop - start for start, stop in chosen)
                if end > skipped:
                    yield partial(self._read, chosen, (epoch, w), max(0, skipped - begin))
                begin = end

        return ahead(windows(), self._ahead)

    def _read(self, chosen: list[tuple[int, int]], which: tuple[int, int], skipped: int) -> tuple[Rows, NDArray[Any]]:
        parts = [self._source.read(start, stop) for start, stop in chosen]
        rows = parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))
        order = np.arange(len(rows[0]))
        if self.shuffle:
            epoch, window = which
            order = np.random.default_rng([self._order["seed"], epoch, window + 1]).permutation(order)
        return rows, order[skipped:]


def ahead(jobs: Iterator[Callable[[], Any]], most: int) -> Iterator[Any]:
    """The results of the jobs, in order; up to so many are made ahead by a thread, which ends after the loop.

    What a job raises is raised here. A process that is forked inside the loop goes on in it without a thread.

    >>> list(ahead((lambda k=k: k * k for k in range(4)), 2))
    [0, 1, 4, 9]
    """
    from concurrent.futures import Future, ThreadPoolExecutor  # 3 ms, which who imports the library need not wait

    process, thread = os.getpid(), ThreadPoolExecutor(1, "tinygrad_conv.data.stream")
    begun: deque[tuple[Callable[[], Any], Future[Any] | None]] = deque()
    try:
        while True:
            has_thread = most > 0 and os.getpid() == process
            for job in islice(jobs, most + 1 - len(begun)):
                begun.append((job, thread.submit(job) if has_thread else None))
            if not begun:
                return
            job, result = begun.popleft()
            yield job() if result is None or not has_thread else result.result()
            job = result = None  # type: ignore[assignment]  # its memory is free while the next one is awaited
    finally:
        if os.getpid() == process:
            thread.shutdown(wait=False, cancel_futures=True)  # this may be that thread, which collects garbage


def _map_of(array: Any) -> mmap.mmap | None:
    """The map of a file that is only read, which holds nothing that the file does not."""
    if not isinstance(array, np.memmap) or array.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
