"""`checked`: every call of a function is held to its annotations, and ends in a result or in an error of the library.

::

    @checked
    def clip_grad_norm(params: Iterable[Tensor], max_norm: Positive) -> Tensor:

At its first call a checked function is written out as source: its own parameters, and one line for each that has a kind
(see `kinds`). An argument that is the default costs one comparison, which is 10 ns.

What NumPy or Python raises inside all the same is told in the library's words, with the arguments. What code of the
user's raises is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial, wraps
from inspect import CO_VARARGS, Parameter, isgeneratorfunction, signature, unwrap
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from .. import errors
from ..errors import (
    ArgumentError,
    AxisError,
    DTypeError,
    IndexingError,
    MatrixError,
    ShapeError,
    SizeError,
    TinygradConvError,
)
from .kinds import Kind, described, kind_of, outlined

__all__ = [
    "OF_NUMPY", "Checked", "Setting", "called", "checked", "explained", "held", "kinds_of", "stands", "unchecked",
]  # fmt: skip

T = TypeVar("T")

# ------------------------------------------------------------------------------------------------------------------
# What is raised inside

OF_NUMPY = (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError, MemoryError)  # what arrays raise
RAW = (*OF_NUMPY, LookupError, AttributeError, AssertionError, RuntimeError, BufferError)
_LIBRARY, _NUMPY, _PYTHON = (
    os.path.dirname(os.path.abspath(file)) + os.sep for file in (errors.__file__, np.__file__, os.__file__)
)
_PACKAGES = f"{os.sep}site-packages{os.sep}"
# A method of Python's protocols is how somebody looks at a value: what it raises says that the value is of no use here.
# These are called for what they do.
_DEEDS = {"__call__", "__getitem__", "__next__", "__init__", "__new__", "__enter__", "__exit__", "__graph__"}


def stands(error: Exception) -> bool:
    """Is it to be raised as it is: an error of the library, or of code of the user's that was called?"""
    if isinstance(error, TinygradConvError):
        return True
    of_user = _of_user(error)
    if of_user is None:
        return not isinstance(error, RAW)
    return not of_user.startswith("__") or of_user in _DEEDS


def explained(what: str, error: Exception, arguments: Mapping[str, Any]) -> TinygradConvError:
    """The library's error that says the same, and what the arguments were."""
    if isinstance(error, RecursionError):
        return ArgumentError(f"{what}: expected arguments that are not nested so deeply, nor hold themselves")
    given = ", ".join(f"{name} {outlined(value) or described(value)}" for name, value in arguments.items())
    text = f"{what}: {error if str(error) else type(error).__name__} (got {given})"
    if isinstance(error, MemoryError):
        return SizeError(text)
    if isinstance(error, np.linalg.LinAlgError):
        return MatrixError(text)
    if isinstance(error, IndexError):  # NumPy's for an axis is a ValueError too
        return (AxisError if isinstance(error, ValueError) else IndexingError)(text)
    return (ShapeError if isinstance(error, (ValueError, ArithmeticError, RuntimeError)) else DTypeError)(text)


def _of_user(error: Exception) -> str | None:
    """The first function that it came through which is neither the library's nor NumPy's nor Python's."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        file = code.co_filename
        inside = file.startswith((_LIBRARY, _NUMPY, "<frozen")) or file.endswith(".pyx")  # NumPy's random numbers
        if not inside and (not file.startswith(_PYTHON) or _PACKAGES in file):
            return code.co_name
        trace = trace.tb_next
    return None


def called(what: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function of the user's returns. That it cannot be called so is told; what it raises is left alone."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        if stands(error):
            raise
        raise explained(what, error, {"a call of": function}) from error


# ------------------------------------------------------------------------------------------------------------------
# Calls

_CALL = """\
def call({parameters}):
    try:
{checks}
        return {result}
    except Exception as error:
        if STANDS(error):
            raise
        raise EXPLAINED({what}, error, {arguments}) from error  # no variable may hold it: it holds this call's
"""


_SPECIAL = ("__init__", "__call__", "__getitem__", "__matmul__")
_INNER = ("forward", "ready", "activated")  # what `__call__` of a layer, which is held, runs


def checked(thing: T) -> T:
    """Hold every call of a function, or of a class and its public methods, to the annotations.

    Raises what `Kind.check` does.

    >>> from tinygrad_conv.arguments import Probability
    >>> @checked
    ... def mix(low: float, share: Probability = 0.5) -> float:
    ...     return low * share
    >>> mix(4.0, np.float32(0.25))
    1.0
    >>> mix(4.0, share=2)
    Traceback (most recent call last):
    tinygrad_conv.errors.ArgumentError: mix: expected share to be a number in [0, 1], got 2; use share=0.5
    """
    if not isinstance(thing, type):
        return _held(thing)
    for name, member in list(vars(thing).items()):
        if name.startswith("_") and name not in _SPECIAL:
            continue
        if isinstance(member, (staticmethod, classmethod)):
            setattr(thing, name, type(member)(_held(member.__func__)))
        elif isinstance(member, property) and member.fset is not None:
            setattr(thing, name, property(member.fget, _held(member.fset, name), member.fdel, member.__doc__))
        elif isinstance(member, FunctionType) and _takes_something(member, f"{thing.__qualname__}.{name}"):
            setattr(thing, name, _held(member))
    return thing


def _takes_something(function: FunctionType, name: str) -> bool:
    """Is it a method of this class, with an argument, and neither held already nor run inside of held ones?"""
    code = unwrap(function).__code__
    takes = code.co_argcount + code.co_kwonlyargcount > 1 or (code.co_flags & CO_VARARGS and name[-8:] != "__call__")
    own = function.__qualname__ == name and function.__name__ not in _INNER
    return bool(takes) and own and not hasattr(function, "unchecked")


class Setting:
    """An attribute that holds an argument of the constructor: what is assigned later is held to the same kind.

    It is read as any other attribute, at the same speed: from the object's own dictionary.
    """

    def __init__(self, name: str, constructor: Any) -> None:
        self._name, self._constructor = name, constructor

    @cached_property
    def _kind(self) -> Kind | None:  # asked late: an annotation may name what is defined further down
        return kinds_of(self._constructor).get(self._name)

    def __set__(self, instance: Any, value: Any) -> None:
        if self._kind is not None:
            value = self._kind.check(type(instance).__name__, self._name, value)
        vars(instance)[self._name] = value

    def __delete__(self, instance: Any) -> None:  # who read it then would be given this
        raise AttributeError(f"{type(instance).__name__}: {self._name} cannot be deleted; assign another value")


class Checked:
    """Base of classes that are `checked`, as are all their subclasses in this library.

    What a constructor keeps under the name of an argument is a setting; a class may say of which kind.

    >>> from tinygrad_conv import nn
    >>> nn.Dropout(0.5).rate = 2
    Traceback (most recent call last):
    tinygrad_conv.errors.ArgumentError: Dropout: expected rate to be a number in [0, 1), got 2; use rate=0.02
    """

    _setting: type[Setting] = Setting

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
            return
        if "__init__" in vars(cls):
            constructor = unwrap(cls.__init__)
            code = constructor.__code__
            for name in code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]:
                if name in code.co_names and not hasattr(cls, name):  # there is an attribute of that name
                    setattr(cls, name, cls._setting(name, constructor))
        checked(cls)


def _held(function: Any, sets: str = "") -> Any:
    """A function whose calls are checked; `sets` is the property that it sets, if it does that."""
    names: dict[str, Any] = {}
    call: Any = FunctionType(_first_call.__code__, names)
    names["written_out"] = partial(_written_out, call, function, sets)
    call.unchecked = function
    return wraps(function)(call)


def held(function: T) -> T:
    """Mark a method that holds its calls itself, as `checked` would, in its own words and without a call of a call."""
    function.unchecked = function  # type: ignore[attr-defined]
    return function


def unchecked(function: Any) -> Any:
    """A function without the checks of its calls, for a loop of the library's own."""
    return getattr(function, "unchecked", function)


def _first_call(*args: Any, **kwargs: Any) -> Any:
    """What a checked function is at first: an annotation may name what is defined further down."""
    return written_out()(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def _steps(what: str, steps: Any, arguments: Mapping[str, Any]) -> Any:
    """What a generator yields; it runs, and may raise, after the call is over."""
    try:
        return (yield from steps)
    except Exception as error:
        if stands(error):
            raise
        raise explained(what, error, arguments) from error


def _written_out(call: Any, function: Any, sets: str) -> Any:
    """A checked function, after its code was made from its source."""
    parameters = list(signature(function).parameters.values())
    kinds, what = kinds_of(function), _what("__init__" if sets else function.__name__, parameters)
    names: dict[str, Any] = {
        "FUNCTION": function,
        "STANDS": stands,
        "EXPLAINED": explained,
        "STEPS": _steps,
        "__tracebackhide__": True,  # pytest shows the caller's line instead
    }
    checks = []
    for p in parameters:
        kind = kinds.get(p.name)
        if kind is not None:
            names |= {**kind.names, f"CHECK_{p.name}": kind.check}
            checks.append(_check(p, kind, what, sets or p.name))
        if p.default is not p.empty:
            names[f"DEFAULT_{p.name}"] = p.default
    arguments = ", ".join(f"{p.name!r}: {p.name}" for p in parameters if p.name != "self")
    passed = ", ".join(f"{_star(p) or f'{p.name}=' * (p.kind is p.KEYWORD_ONLY)}{p.name}" for p in parameters)
    result, arguments = f"FUNCTION({passed})", f"{{{arguments}}}"
    if isgeneratorfunction(function):
        result = f"STEPS({what}, {result}, {arguments})"
    source = _CALL.format(
        parameters=_declared(parameters), checks="\n".join(checks), what=what, arguments=arguments, result=result
    )
    call.__globals__.update(names)
    exec(compile(source, f"{_LIBRARY}<call of {function.__qualname__}>", "exec"), call.__globals__)
    made = call.__globals__.pop("call")
    call.__defaults__, call.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
    # A code object of its own: the interpreter notes there which types it meets, and Python's errors show its name.
    call.__code__ = made.__code__.replace(co_name=function.__name__, co_qualname=function.__qualname__)
    return call


def kinds_of(function: Any) -> dict[str, Kind]:
    """The kinds of a function's arguments, as far as its annotations say."""
    names = unwrap(function).__globals__
    kinds: dict[str, Kind] = {}
    for p in signature(function).parameters.values():
        try:
            kind = kind_of(eval(p.annotation, names) if isinstance(p.annotation, str) else p.annotation)
        except NameError:  # a name that is imported for type checkers only
            continue
        if kind is not None and p.annotation is not p.empty:
            kinds[p.name] = kind
    return kinds


def _star(p: Parameter) -> str:
    return "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""


def _declared(parameters: Sequence[Parameter]) -> str:
    """The parameters in source code, with the names of their defaults."""
    parts: list[str] = []
    for p, after in zip(parameters, [*parameters, None][1:], strict=True):
        if p.kind is p.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        parts.append(f"{_star(p)}{p.name}" + ("" if p.default is p.empty else f"=DEFAULT_{p.name}"))
        if p.kind is p.POSITIONAL_ONLY and (after is None or after.kind is not p.POSITIONAL_ONLY):
            parts.append("/")
    return ", ".join(parts)


def _what(name: str, parameters: Sequence[Parameter]) -> str:
    """What messages call a function, in source code."""
    if not parameters or parameters[0].name != "self":
        return repr(name)
    return "type(self).__name__" + ("" if name in ("__init__", "__call__") else f" + {f'.{name}'!r}")


def _check(p: Parameter, kind: Kind, what: str, shown: str) -> str:
    """The line that looks at one argument."""
    if p.kind is p.VAR_POSITIONAL:
        return f"        {p.name} = [CHECK_{p.name}({what}, f'{p.name}[{{k}}]', it) for k, it in enumerate({p.name})]"
    if p.kind is p.VAR_KEYWORD:
        return f"        {p.name} = {{k: CHECK_{p.name}({what}, k, it) for k, it in {p.name}.items()}}"
    tests = [f"{p.name} is not DEFAULT_{p.name}"] if p.default is not p.empty else []
    tests += [f"not ({kind.quick.format(p.name)})"] if kind.quick else []
    given = f"{what}, {shown!r}, {p.name}" + (f", DEFAULT_{p.name}" if p.default is not p.empty else "")
    condition = f"if {' and '.join(tests)}: " if tests else ""
    return f"        {condition}{p.name} = CHECK_{p.name}({given})"
