"""Ctrl-C while a network learns: what happens now is said at once, and a second one ends everything."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

__all__ = ["Stopped", "Stopping"]


class Stopped(KeyboardInterrupt):
    """Training ends here, since Ctrl-C was pressed a while ago."""


class Stopping:
    """In this block the first Ctrl-C is answered, and remembered; the next is a KeyboardInterrupt, as usual.

    Where Ctrl-C has another meaning already, or this is not the main thread, which alone hears it, nothing is changed.
    """

    asked = False
    _ours = False

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def check(self) -> None:
        """Raises Stopped if Ctrl-C was pressed."""
        if self.asked:
            raise Stopped

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _heard(self, signum: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.asked = True
        line = "\n" if sys.stderr is not None and sys.stderr.isatty() else ""  # that of the progress bar is not ended
        with suppress(OSError):  # not by print, which the signal may have interrupted
            os.write(2, f"{line}{self._answer}\n".encode() if self._answer else b"")
