"""One bad call: drawn by a signature, made, and what is wrong with how it ended."""

import contextlib
import inspect
import os
import signal
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from contextvars import copy_context
from io import StringIO
from typing import Any, NamedTuple

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv.errors import TinygradConvError

from .surface import PROTOCOL, Target
from .values import HOSTILE, BoomError, good, square

SECONDS = 2.0
DEEDS = {"__call__", "__getitem__", "__next__", "__enter__", "__graph__"}  # a caller's own functions too
_HERE = os.path.dirname(os.path.abspath(__file__))


class Hang(BaseException):
    """Raised inside a call that takes too long."""


class Call(NamedTuple):
    target: Target
    args: tuple[Callable[[], Any], ...]
    kwargs: dict[str, Callable[[], Any]]

    def __str__(self) -> str:
        shown = [brief(make) for make in self.args] + [f"{key}={brief(make)}" for key, make in self.kwargs.items()]
        return f"{self.target.name}({', '.join(shown)})"


def brief(make: Callable[[], Any]) -> str:
    """A drawn value for a message."""
    try:
        value = make()
        text = f"{value.dtype}{value.shape}" if isinstance(value, (np.ndarray, tg.Tensor)) else repr(value)
        return f"{type(value).__name__}:{text[:60]}"
    except Exception as error:
        return f"<{type(error).__name__}>"


def draw(target: Target, choose: Callable[[int], int]) -> Call:
    """A call with about one hostile argument; `choose(n)` gives a number below n."""
    args: list[Callable[[], Any]] = []
    kwargs: dict[str, Callable[[], Any]] = {}

    def value(parameter: inspect.Parameter) -> Callable[[], Any]:
        fitting = good(parameter)
        return HOSTILE[choose(len(HOSTILE))] if not fitting or choose(5) < 2 else fitting[choose(len(fitting))]

    positional = True
    for parameter in target.signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            if positional:
                args += [value(parameter) for _ in range(choose(3))]
        elif parameter.kind is parameter.VAR_KEYWORD:
            continue
        elif parameter.default is not parameter.empty and choose(2):
            positional = False
        elif positional and parameter.kind is not parameter.KEYWORD_ONLY:
            args.append(value(parameter))
        elif parameter.kind is not parameter.POSITIONAL_ONLY:
            kwargs[parameter.name] = value(parameter)
    return Call(target, tuple(args), kwargs)


def said(error: Exception) -> str:
    """The words of an error, which may hold a strange object."""
    try:
        return str(error)
    except Exception:
        return "?"


def _alarm(*_: Any) -> None:
    raise Hang


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(call: Call, seconds: float = SECONDS) -> str | None:
    """What is wrong with how a call ended; None if nothing is."""
    function = call.target.get()
    args = [make() for make in call.args]
    kwargs = {key: make() for key, make in call.kwargs.items()}
    start = time.process_time()  # the machine may be busy
    try:
        with _limited(20 * seconds), np.errstate(all="ignore"), warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            result = copy_context().run(function, *args, **kwargs)  # a bare call of use_kernels holds from then on
            kind = type(result)
            if issubclass(kind, types.GeneratorType):
                list(zip(range(3), result, strict=False))
            elif issubclass(kind, types.FunctionType):
                with contextlib.suppress(TinygradConvError):
                    result(tg.Tensor([1.0, 2.0]))
                result(square)  # a decorator
            elif issubclass(kind, (tg.Tensor, np.ndarray)):
                code = result.dtype.kind
                if issubclass(kind, tg.Tensor) and (code not in "fiubc" or type(result._array) is not np.ndarray):
                    return f"a tensor of {result.dtype} in a {type(result._array).__name__}"
    except TinygradConvError as error:
        if not said(error) or said(error).startswith(("internal", "?")):
            return f"an error without words: {error!r}"
    except Hang:
        return f"hung: {''.join(traceback.format_exc().splitlines(True)[-4:-1])}"
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[1:]
        if isinstance(error, TypeError) and not frames:
            return None  # Python's own refusal of a call of another form, which names the function
        if call.target.name.split(".")[-1] in PROTOCOL and isinstance(error, (TypeError, ValueError, BoomError)):
            return None
        if any(f.filename.startswith(_HERE) and (not f.name.startswith("__") or f.name in DEEDS) for f in frames):
            return None  # the caller's own function raised
        where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames[-4:]))
        return f"raw {type(error).__name__}: {said(error)[:100]} at {where}"
    took = time.process_time() - start
    return f"took {took:.1f} s" if took > seconds else None
