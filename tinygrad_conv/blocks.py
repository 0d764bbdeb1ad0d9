"""What `with` blocks that set a context variable share: `no_grad`, `use_kernels` and their kin; locks and forks."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeVar

from .arguments import described
from .errors import DTypeError

__all__ = ["Block", "awaited_by_forks"]

T = TypeVar("T")


class Block:
    """A block in which a context variable has another value; a decorator too.

    One object may be entered many times, also by several threads and tasks at once: what was there before is kept in
    the context, so every one of them leaves as it came. Subclasses name the variable, give `entered` a variable of
    their own, and define `_value`.
    """

    variable: ContextVar[Any]
    entered: ContextVar[Any]  # None, or (block, value before, the same of the block around it)

    def _value(self, before: Any) -> Any:
        """What the variable is to be, after what it was."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        before, around = self.variable.get(), self.entered.get()
        value = self._value(before)
        try:
            self.entered.set((self, before, around))
            self.variable.set(value)
        except BaseException:  # Ctrl-C comes between any two lines
            self.entered.set(around)
            self.variable.set(before)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        inner, entered = [], self.entered.get()
        while entered is not None and entered[0] is not self:  # blocks of generators, for example, may end crosswise
            inner.append(entered[0])
            entered = entered[2]
        if entered is None:  # it was entered in another context
            return
        _, before, around = entered
        self.entered.set(around)
        self.variable.set(before)
        if error[:1] != (KeyboardInterrupt,):  # which may have come just before an inner block was left
            for block in reversed(inner):
                block.__enter__()

    def __call__(self, f: Any) -> Any:
        """The function, method, generator or coroutine that runs in such a block.

        Of a class, its `__call__` does. Raises DTypeError for what cannot be called.
        """
        if issubclass(type(f), (staticmethod, classmethod)):
            return type(f)(self(f.__func__))
        if issubclass(type(f), type) and "__call__" in vars(f):
            with suppress(TypeError):  # of a class that is not written in Python
                f.__call__ = self(f.__call__)
                return f
        if issubclass(type(f), type) or not callable(f):
            what = f"class {f.__name__}" if issubclass(type(f), type) else described(f)
            raise DTypeError(
                f"expected a function to decorate, got {what}; decorate its methods, or write a with block"
            )
        for is_kind, decorated in (
            (isasyncgenfunction, _async_generator), (isgeneratorfunction, _generator), (iscoroutinefunction, _coroutine)
        ):  # fmt: skip
            if is_kind(f) or is_kind(type(f).__call__):
                return decorated(self, f)
        return _function(self, f)


def _function(block: Block, f: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with block:
            return f(*args, **kwargs)

    return wrapped


def _coroutine(block: Block, f: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(f)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        with block:
            return await f(*args, **kwargs)

    return wrapped


def _generator(block: Block, f: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        steps = f(*args, **kwargs)
        resume, value = steps.send, None
        while True:
            with block:  # while its body runs, not while the caller looks at what it yields
                try:
                    item = resume(value)
                except StopIteration as end:
                    return end.value
            try:
                value = yield item
                resume = steps.send
            except GeneratorExit:
                with block:
                    steps.close()
                raise
            except BaseException as error:
                resume, value = steps.throw, error

    return wrapped


def _async_generator(block: Block, f: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(f)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        steps = f(*args, **kwargs)
        resume, value = steps.asend, None
        while True:
            with block:
                try:
                    item = await resume(value)
                except StopAsyncIteration:
                    return
            try:
                value = yield item
                resume = steps.asend
            except GeneratorExit:
                with block:
                    await steps.aclose()
                raise
            except BaseException as error:
                resume, value = steps.athrow, error

    return wrapped


def awaited_by_forks(lock: T) -> T:
    """A lock that a fork waits for. Else a child, in which no other thread lives on, might wait for it forever.

    It is one that its holder can take once more (`threading.RLock`).
    """
    held: Any = lock
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=held.acquire, after_in_parent=held.release, after_in_child=held.release)
    return lock
