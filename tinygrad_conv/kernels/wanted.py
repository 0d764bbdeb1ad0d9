"""Which form of the kernels is wanted: `use_kernels`, and what holds where nobody says anything.

============  ==========================================================================================
"auto"        the compiled form, where there is one that takes the arguments and is faster with them
"plain"       the plain form
"compiled"    the compiled form, wherever there is one that takes the arguments; for tests of it
"exact"       as "auto", but convolutions add up the products as they are defined: no Winograd
============  ==========================================================================================

The environment variable ``TINYGRAD_CONV_KERNELS`` says what holds where nobody says anything; "auto" if it is not set.
Numba is imported when a compiled form is first run, which compiles it, and keeps the code for the next process. If it
cannot be imported, or fails to compile a form, "auto" and "exact" warn once and are "plain" from then on; "compiled"
raises.
"""

from __future__ import annotations

import os
import warnings
from contextvars import ContextVar
from functools import cache
from typing import Any

from ..arguments import checked
from ..blocks import Block
from ..errors import ArgumentError, MissingExtraError

__all__ = ["choice", "exact", "failed", "needs_numba", "noted", "use_kernels"]

CHOICES = ("auto", "plain", "compiled", "exact")


def _checked(choice: str, what: str) -> str:
    if choice not in CHOICES:
        raise ArgumentError(f"{what}: expected one of {', '.join(map(repr, CHOICES))}, got {choice!r}")
    if choice == "compiled":
        needs_numba()
    return choice


def needs_numba() -> None:
    """Raises MissingExtraError without it."""
    if not _installed():
        raise MissingExtraError("compiled kernels need numba: pip install 'tinygrad-conv[fast]'")


@cache
def _installed() -> bool:
    from importlib.util import find_spec  # here, so that importing the library stays quick

    return find_spec("numba") is not None


@cache
def _from_environment() -> str:
    return _checked(os.environ.get("TINYGRAD_CONV_KERNELS") or "auto", "TINYGRAD_CONV_KERNELS")


_failures: list[str] = []  # of Numba, in this process

_SETTING: ContextVar[use_kernels | None] = ContextVar("tinygrad_conv_kernels", default=None)


def choice() -> str:
    """What is wanted here and now, one of `CHOICES`; "plain" for "auto" and "exact" without a Numba that works."""
    setting = _SETTING.get()
    wanted = _from_environment() if setting is None else setting.choice
    if wanted == "plain":
        return wanted
    return "plain" if not _installed() or (_failures and wanted != "compiled") else wanted


def exact() -> bool:
    """Are convolutions to add up their products as they are defined?"""
    setting = _SETTING.get()
    return (_from_environment() if setting is None else setting.choice) == "exact"


def noted(kernel: str) -> None:
    """The compiled form of a kernel has run."""
    setting = _SETTING.get()
    if setting is not None:
        setting.ran.add(kernel)


def failed(name: str, error: Exception) -> None:
    """What is compiled for `name` could not be made: Numba is too old, too new, or not whole. Warns once, or raises."""
    reason = (str(error).splitlines() or [""])[0]
    message = (
        f"{name}: expected a numba that compiles it, got {type(error).__name__}: {reason}: "
        "pip install -U 'tinygrad-conv[fast]', or use_kernels(\"plain\")"
    )
    if choice() == "compiled":
        raise MissingExtraError(message) from error
    _failures.append(message)
    if len(_failures) == 1:
        warnings.warn(f"{message}. Plain kernels run instead, which are slower.", RuntimeWarning, stacklevel=3)


class use_kernels(Block):  # noqa: N801  (used like a function)
    """Say which form of the kernels runs: from now on, in a block, or in a decorated function.

    It holds for this thread and async task only. A bare call ``tg.use_kernels("plain")`` takes effect at once,
    until the next one; after a block, what held before holds again.

    Parameters
    ----------
    choice : "auto", "plain", "compiled" or "exact"
        Compiled where that is faster; nowhere; or wherever it is possible. "exact" is "auto" with convolutions that add
        up products as they are defined: slower for many channels, with half the error.

    Attributes
    ----------
    ran : set of str
        The kernels of which the compiled form ran; in compiled steps, while they were recorded.

    Raises ArgumentError for another choice, MissingExtraError for "compiled" without Numba; a kernel raises it in the
    block if Numba is installed and does not work.

    >>> import tinygrad_conv as tg
    >>> with tg.use_kernels("plain") as forms:
    ...     y = tg.max_pool2d(tg.ones((1, 4, 4, 1)), 2)
    >>> forms.ran
    set()
    """

    variable, entered = _SETTING, ContextVar("tinygrad_conv_kernels_before", default=None)
    said: ContextVar[Any] = ContextVar("tinygrad_conv_kernels_said", default=None)  # what a bare call here has entered

    @checked
    def __init__(self, choice: str) -> None:
        self.choice = _checked(choice, "use_kernels")
        self.ran: set[str] = set()
        last = self.entered.get()
        if last is not None and last is self.said.get():  # a bare call before this one: nobody will leave it
            self.entered.set(last[2])
        super().__enter__()
        self.said.set(self.entered.get())

    def _value(self, before: use_kernels | None) -> use_kernels:
        return self

    def _is_said(self) -> bool:
        """Was this the last bare call of this thread and task? It is one no more."""
        last = self.entered.get()
        if last is None or last is not self.said.get() or last[0] is not self:
            return False
        self.said.set(None)
        return True

    def __enter__(self) -> use_kernels:
        return self if self._is_said() else super().__enter__()

    def __call__(self, f: Any) -> Any:
        if self._is_said():
            self.__exit__()
        return super().__call__(f)
