"""Functions of arrays made into functions of tensors whose result is data, which no gradient flows through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec

import numpy as np

from ..arguments import bare_array, is_not_bare
from ..errors import AxisError, DTypeError, MatrixError, ShapeError, TinygradConvError
from .modes import observer
from .tensor import Tensor, ndarray, wrap

__all__ = ["explain_plain", "is_plain", "plain"]

P = ParamSpec("P")


def plain(function: Callable[P, Any]) -> Callable[P, Any]:
    """Make a function of arrays into one of tensors whose result is data, without a gradient (comparisons, argmax)."""

    @wraps(function)
    def operation(*args: P.args, **kwargs: P.kwargs) -> Any:
        by = observer()
        with_tensors = False
        for argument in (*args, *kwargs.values()):
            if type(argument) is ndarray:
                continue
            if isinstance(argument, Tensor):
                with_tensors = True
            elif is_not_bare(argument):
                bare = partial(bare_array, what=function.__name__.lstrip("_"))
                return operation(*map(bare, args), **{k: bare(value) for k, value in kwargs.items()})
        if not with_tensors:
            return function(*args, **kwargs) if by is None else by.compute(function, args, kwargs)
        values = [a._array if isinstance(a, Tensor) else a for a in args]
        named = {k: a._array if isinstance(a, Tensor) else a for k, a in kwargs.items()}
        try:
            if by is None:
                return _as_data(function, _as_arrays(function, *values, **named))
            return _as_data(function, by.compute(partial(_as_arrays, function), args, kwargs))
        except TinygradConvError:
            raise
        except ValueError as error:
            raise explain_plain(function, error, values) from error

    operation.plain = True  # type: ignore[attr-defined]
    return operation


def is_plain(operation: Callable[..., Any]) -> bool:
    """Does an operation give data, that no gradient flows through?"""
    return hasattr(operation, "plain")


def explain_plain(function: Callable[..., Any], error: ValueError, values: Sequence[Any]) -> ShapeError:
    """The library's error for what NumPy raised inside a `plain` function."""
    shapes = ", ".join(str(np.shape(v)) for v in values if isinstance(v, ndarray))
    kind = AxisError if isinstance(error, IndexError) else ShapeError
    kind = MatrixError if isinstance(error, np.linalg.LinAlgError) else kind
    return kind(f"{function.__name__}: {error} (got {shapes})")


def _as_arrays(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a function of arrays gives: an array, a tuple of some, or None."""
    result = function(*args, **kwargs)
    return result if result is None else tuple(map(np.asarray, result)) if type(result) is tuple else np.asarray(result)


def _as_data(function: Callable[..., Any], result: Any) -> Any:
    """The same as tensors, which hold numbers."""
    if type(result) is tuple:
        return tuple(_as_data(function, part) for part in result)
    if result is None or result.dtype.kind in "fiubc":
        return result if result is None else wrap(result, None)
    raise DTypeError(f"{function.__name__}: expected numbers, got a result of dtype {result.dtype}; convert them first")
