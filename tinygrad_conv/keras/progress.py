"""What is shown while a model trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any
from warnings import catch_warnings, simplefilter

from .callback import Logs

__all__ = ["Bar"]


def in_notebook() -> bool:
    """Is this a notebook's kernel, whose output is no terminal and yet is watched?"""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


class Bar:
    """A progress bar per epoch (verbose 1), a line per epoch (2), or nothing (0); tqdm is imported when first shown."""

    def __init__(self, what: str, verbose: Any, steps: int | None) -> None:
        on_terminal = all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
        self.verbose = int((on_terminal or in_notebook()) if verbose == "auto" else verbose)
        self.steps, self._what, self._bar, self._shown = steps, what, None, 0.0

    def __enter__(self) -> Bar:
        self.begin(self._what)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def begin(self, title: str, done: int = 0) -> None:
        """Show a new bar, on which some batches are done already."""
        self._title, self._started = title, time.perf_counter()
        if self.verbose == 1:
            with catch_warnings():
                simplefilter("ignore")  # that a notebook has no widgets: then it is a bar of text
                from tqdm.auto import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(total=self.steps, desc=title, unit="batch", dynamic_ncols=True, initial=done)

    def tick(self, logs: Callable[[], Logs] | None = None) -> None:
        """One batch is done; show its logs if the last were shown a while ago."""
        if self._bar is not None:
            now = time.perf_counter()
            if logs is not None and now - self._shown > 0.1:
                self._shown = now
                self._bar.set_postfix_str(text(logs()), refresh=False)
            self._bar.update(1)

    def end(self, logs: Logs) -> None:
        """Show the final logs and close."""
        if self._bar is not None and logs:
            self._bar.set_postfix_str(text(logs))
        self.close()
        if self.verbose == 2:
            print(f"{self._title} - {time.perf_counter() - self._started:.1f}s - {text(logs)}")

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def text(logs: Logs) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
