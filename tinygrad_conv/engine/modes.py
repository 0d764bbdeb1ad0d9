"""What operations do besides computing: one immutable `Mode` per thread and async task.

Here are also the doors through which everything goes that is computed: a primitive's forward function, a `plain`
function (whose result is data without a gradient), and an `effect` (which changes state). Each tells the mode's
`observer`, if there is one: a profile, which measures its time, or the tape of a compiled step, which records it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from ..blocks import Block

__all__ = [
    "CLEARED", "MODE", "Mode", "Observer", "clears", "constant", "detect_anomaly", "effect", "enable_grad",
    "is_grad_enabled", "keep_gradients", "mode", "no_grad", "observed", "observer",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")


class Observer(Protocol):
    """Somebody who sees all that is computed: `run`, `compute` and `effect` do the work, and return the result."""

    def run(self, primitive: Any, args: Sequence[Any], values: Sequence[Any], params: dict[str, Any]) -> Any:
        """Run ``primitive.forward(*values, **params)``; `args` are the same with their tensors."""

    def compute(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a function of arrays that is no primitive."""

    def effect(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a function that changes state."""

    def constant(self, array: Any) -> None:
        """An array was made from shapes alone."""

    def made(self, array: Any) -> None:
        """A tensor was made around an array."""

    def same(self, array: Any, original: Any) -> None:
        """An array is a copy of another one, and stays inside the library."""

    def copied(self, array: Any, original: Any) -> None:
        """An array was made as a copy of another one."""

    def enter(self, module: Any) -> None:
        """A module is called."""

    def touch(self, tensor: Any) -> None:
        """A tensor is about to share its array with another one, or to get another array, gradient or hook."""

    def gradient(self, node: Any) -> None:
        """The gradient that a node has is about to be read."""

    def escape(self, why: str) -> None:
        """Something happens here that cannot be seen: values leave the library, for example."""


@dataclass(eq=False)  # (frozen attributes are slow to set, and each call of a module in a picture makes a mode)
class Mode:
    """What operations do besides computing. One immutable value per thread and async task."""

    recording: bool = True  # are nodes made?
    anomaly: bool = False  # is every result checked for NaN?
    module: Any = None  # the innermost module being called (weakly, as modules keep modes)
    path: str = ""  # where it is in the outermost, such as "head.1"
    calls: tuple[tuple[int, str], ...] = ()  # of modules around, outermost first, for pictures: number, path
    generators: dict[int, tuple[Any, Any]] | None = None  # inside checkpoint: generators used, with their first state
    replaying: bool = False  # inside checkpoint's second run: no side effects on running statistics
    gradients: dict[Any, Any] | None = None  # inside a run for a picture: of leaves, with what was there before
    watch: Callable[[Any, Any, Sequence[Any]], None] | None = None  # for pictures: told of each node, output, inputs
    observer: Observer | None = None  # told of all computing, for profiles and compiled steps
    as_written: bool = False  # may no plan be replayed, which rounds differently than the call that it was recorded in?
    training: bool | None = None  # are modules called in training mode? None: each as its `train` and `eval` said
    bare: Any = None  # a layer (weakly) that leaves out its activation, because a loss that follows takes logits
    backward: Any = None  # whose rules a backward pass runs; noted for observers only

    _changed: dict[str, Any] = field(default_factory=dict)  # what is not as in the first mode
    _toggled: Mode | None = field(default=None, init=False)

    @property
    def is_watched(self) -> bool:
        """Must each operation run by itself, so that no plan may be replayed? A picture or a checkpoint wants that."""
        wanted = self.anomaly or self.generators is not None or self.replaying or self.as_written
        return wanted or self.watch is not None

    def but(self, **changes: Any) -> Mode:
        """The same with some fields changed."""
        if len(changes) == 1 and "recording" in changes:
            if self.recording == changes["recording"]:
                return self
            if self._toggled is None:  # made once, as every backward pass and `no_grad` asks for it
                self._toggled = self._with(changes)
            return self._toggled
        return self._with(changes)

    def _with(self, changes: dict[str, Any]) -> Mode:
        changed = self._changed | changes
        return Mode(**changed, _changed=changed)  # (once vars(mode) was asked for, its attributes take thrice as long)


MODE: ContextVar[Mode] = ContextVar("tinygrad_conv_mode", default=Mode())  # noqa: B039  (Mode is immutable)
OBSERVED: list[Observer] = []  # all observers of all threads: empty nearly always, and then nothing more is asked


class mode(Block):  # noqa: N801  (used like a function)
    """Run a block, or a decorated function, with some fields of the current `Mode` changed."""

    variable, entered = MODE, ContextVar("tinygrad_conv_mode_before", default=None)

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def _value(self, before: Mode) -> Mode:
        return before.but(**self._changes)


def no_grad(f: Callable[..., Any] | None = None) -> Any:
    """Record nothing in this block (or decorated function): values are plain data.

    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """
    return mode(recording=False) if f is None else mode(recording=False)(f)


def enable_grad(f: Callable[..., Any] | None = None) -> Any:
    """Record in this block (or decorated function) even inside `no_grad`.

    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """
    return mode(recording=True) if f is None else mode(recording=True)(f)


def is_grad_enabled() -> bool:
    """Is the graph recorded here? Holds for this thread and async task.

    >>> import tinygrad_conv as tg
    >>> with tg.no_grad():
    ...     tg.is_grad_enabled()
    False
    """
    return MODE.get().recording


def detect_anomaly() -> mode:
    """Check every value and gradient computed in this block; the first NaN raises `AnomalyError`, naming its operation.

    >>> import tinygrad_conv as tg
    >>> import numpy as np
    >>> x = tg.Tensor([-1.0], requires_grad=True)
    >>> with tg.detect_anomaly(), np.errstate(invalid="ignore"):
    ...     try:
    ...         loss = tg.log(x).sum()
    ...     except tg.errors.AnomalyError as error:
    ...         print(str(error).split(" (")[0])
    log: the result has 1 NaN of 1
    """
    return mode(anomaly=True)


# ------------------------------------------------------------------------------------------------------------------
# The doors


def observer() -> Observer | None:
    """Who observes this thread and async task."""
    return MODE.get().observer if OBSERVED else None


@contextmanager
def observed(by: Observer | None) -> Iterator[None]:
    """Tell an observer of all computing in this block (None: tell nobody)."""
    if by is not None:
        OBSERVED.append(by)
    try:
        with mode(observer=by):
            yield
    finally:
        if by is not None:
            OBSERVED.remove(by)


def effect(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that changes state (a gradient, a parameter, a running mean), so that a replay does too."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        by = observer()
        return function(*args, **kwargs) if by is None else by.effect(function, args, kwargs)

    return call


def clears(tensors: Callable[[Any], Iterable[Any]]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate an `effect` that forgets gradients: `tensors` of its first argument says whose (tensors or nodes)."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        CLEARED[function] = tensors
        forget = effect(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            keep_gradients(tensors(args[0]))
            return forget(*args, **kwargs)

        return call

    return decorate


def keep_gradients(of: Iterable[Any]) -> None:
    """Inside a run for a picture, keep the gradients of tensors or nodes, which are about to change."""
    if (kept := MODE.get().gradients) is not None:
        for node in (getattr(it, "node", it) for it in of):
            if node is not None:
                kept.setdefault(node, node.grad)


CLEARED: dict[Callable[..., Any], Callable[[Any], Iterable[Any]]] = {}  # the functions that `clears` has decorated


def constant(array: T) -> T:
    """An array made from shapes alone, such as a cotangent of ones: the same at every replay."""
    by = observer()
    if by is not None:
        by.constant(array)
    return array
