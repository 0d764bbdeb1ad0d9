"""How often a checkpoint is written: every so many steps, or seconds."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ArgumentError

__all__ = ["Every"]


@dataclass(frozen=True)
class Every:
    """So many steps or seconds; infinity for never.

    >>> Every.of("100"), Every.of("30s")
    (Every(steps=100, seconds=inf), Every(steps=inf, seconds=30.0))
    """

    steps: float = math.inf
    seconds: float = math.inf

    @classmethod
    def of(cls, text: str) -> Every:
        """What a word of the command line says. Raises ArgumentError."""
        if re.fullmatch(r"0*[1-9]\d{0,8}", text):
            return cls(steps=int(text))
        if re.fullmatch(r"(\d{1,9}(\.\d{0,9})?|\.\d{1,9})s", text):
            return cls(seconds=float(text[:-1]))
        raise ArgumentError(f"expected a number of steps such as 100, or of seconds such as 30s, got {text!r}")

    def begin(self) -> Callable[[], bool]:
        """From now on: a function that is called after each step, and says whether one is due."""
        count, last = 0, time.monotonic()

        def due() -> bool:
            nonlocal count, last
            count += 1
            if count < self.steps and time.monotonic() - last < self.seconds:
                return False
            count, last = 0, time.monotonic()
            return True

        return due
