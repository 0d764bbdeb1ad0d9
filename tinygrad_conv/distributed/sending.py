"""`Sending`: sums over ranks that begin while backward still computes other gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..engine.backward import LISTENERS
from ..engine.node import Node
from .totals import Array, Bucket
from .world import World

__all__ = ["Sending"]


class Sending:
    """The exchange of one step. Buckets are sent in one order, the same on all ranks, each as soon as it is full.

    A gradient that was sent may still change: a second backward pass may add to it, or somebody may set ``.grad``.
    `is_stale` finds that out, since ``.grad`` then is another object than the one that the pass has left.
    """

    def __init__(self, world: World, buckets: Sequence[Bucket], numbers: Mapping[Node, int]) -> None:
        self._world, self._buckets, self._numbers = world, buckets, numbers
        self._bucket_of = {number: bucket for bucket in buckets for number in bucket.places}
        self._requests: list[Any] = []
        self._sent: dict[Node, Any] = {}  # what was in .grad after the pass
        self._new: list[Node] = []

    @contextmanager
    def during(self, weight: float) -> Iterator[None]:
        """In this block, backward passes are those of this rank's only part of the batch."""
        self._weight = weight
        LISTENERS.append(self)
        try:
            yield
        finally:
            LISTENERS.remove(self)

    def complete(self, leaf: Node, gradient: Array) -> None:
        number = self._numbers.get(leaf)
        if number is None or leaf in self._sent or leaf.grad is not None:
            return
        self._sent[leaf] = None
        self._new.append(leaf)
        if self._bucket_of[number].put(number, gradient, self._weight):
            while len(self._requests) < len(self._buckets) and not self._buckets[len(self._requests)].missing:
                bucket = self._buckets[len(self._requests)]
                bucket.add([], self._weight)
                self._requests.append(bucket.begin(self._world))
        for request in self._requests:
            request.Test()  # MPI goes on when it is called

    def over(self) -> None:
        for leaf in self._new:
            self._sent[leaf] = leaf.grad
        self._new.clear()

    def is_stale(self) -> bool:
        """Has a gradient changed after it was put into a bucket? The next part is looked at from here on."""
        sent, self._sent, self._new = self._sent, {}, []
        return any(leaf.grad is not gradient for leaf, gradient in sent.items())

    def add(self, arrays: Sequence[Array | None], weight: float) -> None:
        """All that was not sent."""
        for bucket in self._buckets[len(self._requests) :]:
            bucket.add(arrays, weight)

    def finish(self) -> None:
        """Wait until all sums are there."""
        self._requests += [bucket.begin(self._world) for bucket in self._buckets[len(self._requests) :]]
        for request in self._requests:
            request.Wait()
        self._requests = []
