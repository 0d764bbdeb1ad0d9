"""Time that the gradient tests of a session share: ``pytest --gradbudget=60``.

Tests run in their order, and each may take its part of the seconds that are left: what one does not need, those after
it have. A test whose part is over leaves out the examples that it would still draw. It never leaves out its first one,
one that was written down (`@example`) or failed before, or anything once an example has failed: it stays a failure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

__all__ = ["Budget", "Part", "part_of_this_test", "told"]

part_of_this_test: ContextVar[Part | None] = ContextVar("part_of_this_test", default=None)


class Part:
    """What one test may take, and what it did with that.

    Attributes
    ----------
    checked, left_out : int
        Examples.

    >>> part = Part(0.0)
    >>> with part.example():
    ...     pass
    >>> part.checked, part.left_out
    (1, 0)
    """

    def __init__(self, seconds: float) -> None:
        self._end = perf_counter() + seconds
        self._failed = False
        self.checked = self.left_out = 0

    def leaves_out(self) -> bool:
        """Is the next example left out?"""
        over = bool(self.checked) and not self._failed and perf_counter() > self._end and not _is_given()
        self.left_out += over
        return over

    @contextmanager
    def example(self) -> Iterator[None]:
        """One example that is checked."""
        try:
            yield
        except Exception as error:
            self._failed |= type(error).__name__ != "UnsatisfiedAssumption"  # which only rejects the example
            raise
        self.checked += 1


class Budget:
    """Seconds for some tests.

    >>> budget = Budget(6.0)
    >>> budget.tests = 2
    >>> with budget.part():
    ...     pass
    >>> budget.tests, round(budget.left)
    (1, 6)
    """

    def __init__(self, seconds: float) -> None:
        self.left, self.tests = seconds, 0

    @contextmanager
    def part(self) -> Iterator[Part]:
        """While the next test runs."""
        start = perf_counter()
        part = Part(self.left / max(self.tests, 1))
        token = part_of_this_test.set(part)
        try:
            yield part
        finally:
            part_of_this_test.reset(token)
            self.left = max(self.left - (perf_counter() - start), 0.0)
            self.tests -= 1


def _is_given() -> bool:
    """Was this example written down, or saved when it failed? (Others are those that Hypothesis draws.)"""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_name
        if name.startswith("reuse_existing") or (name == "execute_once" and frame.f_locals.get("is_final")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def told(seconds: float, tests: Mapping[str, tuple[int, int, float]]) -> str:
    """What the summary says; of each test (by its name) the examples checked and left out, and the seconds it took.

    >>> print(told(60.0, {"test_a": (40, 0, 3.0), "test_b": (7, 33, 58.2)}))
    47 examples of 2 tests were checked in 61.2 s of 60; 33 were left out:
      test_b: 33 of 40 left out
    """
    checked, left_out, taken = (sum(row[k] for row in tests.values()) for k in range(3))
    n = len(tests)
    line = f"{checked} examples of {n} test{'s' * (n != 1)} were checked in {taken:.1f} s of {seconds:g}"
    line += f"; {left_out} were left out:" if left_out else "; none was left out"
    rows = [f"  {name}: {out} of {done + out} left out" for name, (done, out, _) in sorted(tests.items()) if out]
    return "\n".join([line, *rows])
