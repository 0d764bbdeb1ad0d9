"""An end for Hypothesis' search for a smaller example, which else takes minutes where each example takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..engine.trees import flatten
from .report import GradientError

__all__ = ["SECONDS", "Bounded"]

SECONDS = 2.0  # from the first failure on


class Bounded:
    """Runs the checks of one test. After a failure, examples count that fail in the same way, for some seconds.

    Later ones are rejected unheard. Those that have failed already, as the smallest one has, fail again at once.
    """

    def __init__(self) -> None:
        self._run: Any = None
        self._start(None)

    def _start(self, run: Any) -> None:
        self._run, self._end = run, float("inf")
        self._kind: tuple[Any, ...] | None = None
        self._failed: dict[Any, GradientError] = {}
        self._tracebacks: dict[Any, Any] = {}

    def __call__(self, check: Callable[[], None], values: Sequence[Any]) -> None:
        __tracebackhide__ = True
        run = _this_run()
        if run is None:
            return check()
        if run is not self._run:
            self._start(run)
        key = _fingerprint(values)
        if key in self._failed:
            error = self._failed[key]
            raise error.with_traceback(self._tracebacks[key])  # which tells Hypothesis that it is the same failure
        if perf_counter() > self._end:
            _reject()
        try:
            check()
        except GradientError as error:
            if self._kind is None:
                self._kind, self._end = error.kind, perf_counter() + SECONDS
            if error.kind != self._kind:
                _reject()
            self._failed[key], self._tracebacks[key] = error, error.__traceback__
            raise
        return None


def _this_run() -> Any:
    """What all examples of one run of Hypothesis have in common; None outside of one."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute_once" and "self" in frame.f_locals:
            return frame.f_locals["self"]
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _fingerprint(values: Sequence[Any]) -> Any:
    return tuple(
        (x.shape, str(x.dtype), x.tobytes()) if isinstance(x, np.ndarray) else repr(x) for x in flatten(list(values))[0]
    )


def _reject() -> None:
    from hypothesis import reject

    reject()
