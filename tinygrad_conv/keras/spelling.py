"""Keras' spelling of constructor arguments: aliases, the arguments common to all layers, and unknown ones refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from ..arguments import called, checked, unchecked
from ..errors import ArgumentError, DTypeError
from .absent import STOCK, missing

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

COMMON = ("input_shape", "input_dim", "batch_input_shape", "name", "dtype", "trainable")
UNSUPPORTED = ("_constraint", "_regularizer")  # how arguments end that Keras has


def refuse_unknown(what: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    """Raise DTypeError (a TypeError) for the first argument that is not accepted, naming the nearest that is.

    >>> refuse_unknown("Dense", ["unit"], ["units", "activation"])
    Traceback (most recent call last):
      ...
    tinygrad_conv.errors.DTypeError: Dense: unknown argument 'unit': use 'units'
    """
    accepted = list(accepted)
    for name in given:
        if name not in accepted:
            near = get_close_matches(name, accepted, 1) or [other for other in accepted if other.startswith(name)]
            hint = f"use {near[0]!r}" if near else f"it takes {', '.join(accepted)}"
            misspelt = near and (near[0].startswith(name) or get_close_matches(name, near, 1, 0.85))
            raise DTypeError(f"{what}: unknown argument {name!r}: {hint}" + ("" if misspelt else f"; or {STOCK}"))


def strict(function: F) -> F:
    """Decorate a function or constructor: arguments are held to their annotations, an unknown one names the nearest.

    >>> @strict
    ... def fit(epochs=1):
    ...     return epochs
    >>> fit(epoch=2)
    Traceback (most recent call last):
      ...
    tinygrad_conv.errors.DTypeError: fit: unknown argument 'epoch': use 'epochs'
    """
    accepted = [name for name in inspect.signature(function).parameters if name != "self"]
    constructs = function.__name__ == "__init__"
    held = checked(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        what = type(args[0]).__name__ if constructs else function.__name__
        for name in kwargs:
            if name not in accepted:
                refuse_unknown(what, kwargs, accepted)
        try:
            return held(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # of this very call
                raise DTypeError(f"{what}: {error}; its arguments are {', '.join(accepted)}") from None
            raise

    call.unchecked = function  # type: ignore[attr-defined]
    return cast(F, call)


def spelled(
    aliases: Mapping[str, str | Callable[[Any], tuple[str, Any]]], kinds: Mapping[str, Callable[[Any], Any]]
) -> Callable[[C], C]:
    """Decorate a layer class: its constructor also takes the common arguments and other (older) names.

    An alias maps to the argument meant, or to a function from the value to the argument and its value. `kinds` has, by
    argument, functions from values in Keras' spelling to those of `nn`.
    """

    def decorate(cls: C) -> C:
        construct = unchecked(cls.__init__)  # type: ignore[misc]
        signature, held = inspect.signature(construct), checked(construct)

        @wraps(construct)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            common = {name: kwargs.pop(name) for name in COMMON if name in kwargs and name not in parameters}
            for old, new in aliases.items():
                if old in kwargs:
                    value = kwargs.pop(old)
                    name, value = new(value) if callable(new) else (new, value)
                    if name in kwargs:
                        raise DTypeError(f"{cls.__name__}: {old!r} and {name!r} are the same argument: use {name!r}")
                    kwargs[name] = value
            for name in [name for name in kwargs if name.endswith(UNSUPPORTED)]:
                if kwargs.pop(name) is not None:
                    raise missing(f"{cls.__name__}: {name} is not supported: use weight_decay= of the optimizer")
            refuse_unknown(cls.__name__, kwargs, [*parameters, *COMMON])
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise DTypeError(f"{cls.__name__}: {error}; its arguments are {', '.join(parameters)}") from None
            for name, value in bound.arguments.items():
                if name in kinds:
                    bound.arguments[name] = called(cls.__name__, kinds[name], value)
            held(*bound.args, **bound.kwargs)
            _set_common(self, **common)

        parameters = [name for name in signature.parameters if name != "self"]
        __init__.unchecked = construct  # type: ignore[attr-defined]
        cls.__init__ = __init__  # type: ignore[misc]
        return cls

    return decorate


def _set_common(
    layer: Any, input_shape: Any = None, input_dim: Any = None, batch_input_shape: Any = None, name: str | None = None,
    dtype: Any = None, trainable: bool = True,
) -> None:  # fmt: skip
    if batch_input_shape is not None:
        layer.batch_input_shape = tuple(batch_input_shape)
    elif input_shape is not None or input_dim is not None:
        shape = input_dim if input_shape is None else input_shape
        layer.batch_input_shape = (None, *as_shape(type(layer).__name__, shape))
    if name is not None:
        layer.name = name
    if dtype is not None:
        layer.dtype = as_dtype(type(layer).__name__, dtype)
        if layer.dtype.kind != "f":
            raise DTypeError(f"{type(layer).__name__}: expected a floating dtype, got {dtype!r}: use dtype='float32'")
    layer.trainable = trainable


def takes(function: Callable[..., Any], count: int) -> bool:
    """Can a function be called with so many arguments? One that cannot be looked into can."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def as_dtype(what: str, dtype: Any) -> np.dtype[Any]:
    """A dtype. Raises DTypeError for what is none, such as one of Keras' policies."""
    try:
        return np.dtype(dtype)
    except (TypeError, ValueError):
        raise DTypeError(f"{what}: expected a dtype, got {dtype!r}: use dtype='float32'; or {STOCK}") from None


def as_shape(what: str, shape: Any) -> tuple[int, ...]:
    """A shape without its batch axis, as positive integers.

    Raises DTypeError or ArgumentError.
    """
    if isinstance(shape, str) or not isinstance(shape, (int, np.integer, Iterable)):
        raise DTypeError(f"{what}: expected a shape of integers without the batch axis, got {shape!r}")
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    for size in sizes:
        if size is None:
            raise DTypeError(
                f"{what}: expected a shape of integers without the batch axis, got {shape!r}: for inputs of many sizes "
                f"leave it out, and weights are made for the first of them; or {STOCK}"
            )
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise DTypeError(f"{what}: expected a shape of integers without the batch axis, got {shape!r}")
        if size < 1:
            raise ArgumentError(f"{what}: expected sizes of at least 1, got {shape!r}")
    return tuple(int(size) for size in sizes)
