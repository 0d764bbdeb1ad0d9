"""NumPy's own functions on tensors: ``np.exp(x)`` and ``np.sum(x, axis=0)`` are the library's operations of that name.

`overrides` says which operation a function is. Here a call is made to fit it: arguments are taken by NumPy's signature,
and keywords that the operation does not have are composed (`keywords`) or refused. What is no operation runs on the
arrays, unless that would lose a gradient.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from math import prod as prod_of
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..arguments import checked
from ..engine.bare import array_of, shape_of
from ..engine.plain import is_plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError, GraphError, IndexingError, ShapeError, WrittenError
from .axes import axis_of
from .elementwise import logaddexp, maximum, minimum
from .functions import fmax, fmin, hypot, logaddexp2, resolved
from .indexing import getitem
from .leaving import WAYS_OUT, followed, lost, outermost, tensors_in
from .overrides import class_of, name_of, operations
from .reductions import all, any, cumsum, halved, logsumexp, max, min, normalize_axes, prod, sum
from .scans import cumprod, logcumsumexp, running
from .shape import astype, moveaxis, reshape, stack

REDUCTIONS: dict[Any, Any] = {  # what a ufunc's `reduce` is
    np.add: sum, np.multiply: prod, np.maximum: max, np.minimum: min, np.logaddexp: logsumexp, np.logical_and: all,
    np.logical_or: any,
}  # fmt: skip
SCANS: dict[Any, Any] = {np.add: cumsum, np.multiply: cumprod, np.logaddexp: logcumsumexp}  # what its `accumulate` is
ASSOCIATIVE = {maximum, minimum, fmax, fmin, logaddexp, logaddexp2, hypot}  # these also have both methods
_IGNORED = {"subok", "kind", "stable", "device", "optimize", "copy"}  # change no value, or leave nothing to choose
_DEFAULTS: dict[str, Any] = {"where": True, "keepdims": False, "order": "C", "casting": "same_kind"}
_NOTHING = id(np._NoValue)  # NumPy's own functions hand it on for what was not given
_RENAMED = {"a_min": "min", "a_max": "max"}
_IN_PLACE = "x + y, tg.set_at(x, index, value) and tg.add_at(x, index, value) give new tensors. "
_UNKNOWN = "It is none of the library's operations. "
_BY_CLASS = frozenset(f"numpy.polynomial.{name}" for name in (
    "polynomial", "chebyshev", "legendre", "hermite", "hermite_e", "laguerre",
))  # fmt: skip


def array_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``Tensor.__array_ufunc__`` answers.

    Raises GraphError where a gradient would be lost, ArgumentError for a keyword that cannot be honoured, DTypeError
    where a tensor would be written into an array.
    """
    if (caller := sys._getframe(2)).f_globals.get("__name__") in _BY_CLASS:
        _refuse_axes(caller)
    operation = operations().get(ufunc)
    if operation is not None and method == "__call__" and not kwargs:
        return operation(*inputs)
    name = "np." * (getattr(np, ufunc.__name__, None) is ufunc) + ufunc.__name__ + f".{method}" * (method != "__call__")
    if (out := kwargs.get("out")) is not None:
        if method != "__call__" or out[0] is not inputs[0] or isinstance(out[0], Tensor) or followed(inputs[1:]):
            raise _written(name, [*inputs, out])
        return ufunc(*_arrays(inputs), **_arrays(kwargs))  # ``array -= rate * gradient``: nobody follows it
    if method == "__call__" and kwargs.keys() & {"dtype", "casting"}:  # NumPy says what it has no loop for
        resolved(ufunc, *inputs, **{key: kwargs[key] for key in ("dtype", "casting") if key in kwargs})
    if method == "outer" and operation is not None and ufunc.signature is None:
        inputs, method = _facing(*inputs), "__call__"
    elif method in ("reduce", "accumulate", "reduceat"):  # of integers they are data, in dtypes of NumPy's choice
        numbers = np.asarray(array_of(inputs[0])).dtype.kind in "fc"
        operation, kwargs = _method(ufunc, method, *inputs[1:]) if numbers else None, {"axis": 0, **kwargs}
        if method == "accumulate" and isinstance(kwargs["axis"], tuple) and len(kwargs["axis"]) == 1:
            (kwargs["axis"],) = kwargs["axis"]
    elif method != "__call__":
        operation = None
    if operation is not None:
        given = inputs if method == "__call__" else inputs[:1]
        result = _fitted(name, operation, given, {k: v for k, v in kwargs.items() if k != "order"})
        if result is not NotImplemented:
            return result
    elif (class_of(ufunc) != "data" or method == "at") and followed([*inputs, kwargs]):
        raise lost(name, _IN_PLACE if method == "at" else _UNKNOWN)
    result = getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))
    return _tensors(result) if ufunc in operations() else result


def array_function(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``Tensor.__array_function__`` answers; raises as `array_ufunc` does."""
    if (caller := sys._getframe(2)).f_globals.get("__name__") in _BY_CLASS:
        _refuse_axes(caller)
    operation = operations().get(function)
    if kwargs.get("out") is not None:
        raise _written(f"np.{name_of(function)}", [*args, kwargs["out"]])
    if operation is not None:
        if len(args) == 1 and not kwargs:
            return operation(*args)
        fit = _fit(function, operation)
        if (
            len(args) <= fit.leading
            and kwargs.keys() <= fit.same
            and _NOTHING not in map(id, (*args, *kwargs.values()))
        ):
            return operation(*args, **kwargs)
        inputs, keywords = _bound(function, operation, args, kwargs)
        if keywords.get("out") is not None:  # in its place, without its name
            raise _written(f"np.{name_of(function)}", [*inputs, keywords["out"]])
        result = _fitted(f"np.{name_of(function)}", operation, inputs, keywords)
        if result is not NotImplemented:
            return result
    elif class_of(function) != "data" and followed([*args, kwargs]):
        raise lost(outermost(sys._getframe(2)) or f"np.{name_of(function)}", _UNKNOWN)
    result = function(*_arrays(args), **_arrays(kwargs))
    ours = (
        operation is not None or next(tensors_in([*args, kwargs]), None) is None
    )  # then ``like=tensor`` asked for one
    return _tensors(result) if ours else result


def _refuse_axes(caller: FrameType) -> None:
    """Refuse what a function in `_BY_CLASS` would compute otherwise of a tensor than of an array.

    NumPy does not ask tensors for these. They give their coefficients `c`, or roots `r`, further axes for those of `x`
    if that is an instance of `numpy.ndarray`.
    """
    given, name = caller.f_locals, caller.f_code.co_name
    x, rows = given.get("x"), np.ndim(given.get("c", given.get("r", 0)))
    if isinstance(x, Tensor) and x.ndim and (rows > 1 and given.get("tensor", True) if "r" not in given else rows):
        raise ArgumentError(
            f"{caller.f_globals['__name__']}.{name}: expected x without axes, or coefficients with one, got a tensor "
            f"{x.shape} and {rows} axes: NumPy computes something else than of an array; write out the sum "
            "(tg.polyval for powers), or give x.numpy() if no gradient is wanted"
        )


def _written(name: str, values: Sequence[Any]) -> GraphError | DTypeError:
    problem = f"{name}: a tensor is not written into an array (out=, or an operator such as +=); "
    if followed(values):
        return WrittenError(f"{problem}its gradient would be lost. {_IN_PLACE}{WAYS_OUT}")
    return DTypeError(f"{problem}use its x.numpy()")


def _facing(a: Array, b: Array) -> tuple[Array, Array]:
    """Two arrays with axes such that each element of one meets each of the other."""
    return reshape(a, shape_of(a) + (1,) * np.ndim(array_of(b))), b


def _arrays(value: Any) -> Any:
    """The same with an array for each tensor in it."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return type(value)(map(_arrays, value)) if type(value) in (list, tuple) else value


def _tensors(value: Any) -> Any:
    """The same with a tensor for each array or number of NumPy's in it."""
    if isinstance(value, (np.ndarray, np.generic)):
        return Tensor(value)
    return type(value)(map(_tensors, value)) if type(value) in (list, tuple) else value


# ------------------------------------------------------------------------------------------------------------------
# Methods of ufuncs


def _method(ufunc: np.ufunc, method: str, indices: Any = None) -> Any:
    """The operation that ``ufunc.reduce``, ``accumulate`` or ``reduceat`` is; None if it is none."""
    known = (SCANS if method == "accumulate" else REDUCTIONS).get(ufunc)
    operation = operations().get(ufunc)
    if known is None and operation in ASSOCIATIVE:
        identity = ufunc.identity if method == "reduce" else None  # there is always one element
        known = partial(_accumulated, operation) if method == "accumulate" else partial(_reduced, operation, identity)
    if method != "reduceat":
        return known
    return None if known is None or is_plain(known) else partial(_reduced_between, known, np.asarray(array_of(indices)))


@checked
def _reduced(
    operation: Any, identity: Any, x: Array, axis: Any = 0, keepdims: bool = False, initial: Any = None
) -> Any:
    """All elements along axes combined, with what changes nothing (None if there is no such thing) or `initial`."""
    initial = identity if initial is None else initial
    shape = shape_of(x)
    axes = normalize_axes(axis, len(shape))
    rows = moveaxis(x, axes, tuple(range(len(axes))))
    left = rows.shape[len(axes) :]
    rows = reshape(rows, (prod_of(rows.shape[: len(axes)]), *left))
    if rows.shape[0]:
        y = getitem(halved(operation, rows), 0)
        y = y if initial is None else operation(initial, y)
    elif initial is not None:
        y = Tensor(np.full(left, initial, rows.dtype))
    else:
        raise ShapeError(f"{operation.__name__}.reduce: expected an element, or initial=, got shape {shape}")
    return reshape(y, [1 if k in axes else n for k, n in enumerate(shape)]) if keepdims else y


@checked
def _reduced_between(combine: Any, starts: Any, x: Array, axis: int = 0) -> Any:
    """The elements from each start to the next combined; one alone where the next is not behind it."""
    x = x if isinstance(x, Tensor) else np.asarray(x)
    axis = axis_of("reduceat", axis, x.shape)
    n, before = x.shape[axis], (slice(None),) * axis
    if starts.ndim != 1 or (starts.size and starts.dtype.kind not in "iu") or ((starts < 0) | (starts >= n)).any():
        raise IndexingError(f"reduceat: expected indices from 0 to {n - 1}, got {starts.tolist()}")
    ends = [*starts[1:], n]
    parts = [
        combine(getitem(x, (*before, slice(i, j if i < j else i + 1))), axis=axis)
        for i, j in zip(starts.tolist(), ends, strict=False)
    ]
    return stack(parts, axis) if parts else getitem(x, (*before, slice(0)))


@checked
def _accumulated(operation: Any, x: Array, axis: int | None = 0) -> Any:
    """The elements along an axis combined with all before."""
    return running(operation, f"{operation.__name__}.accumulate", x, axis)


# ------------------------------------------------------------------------------------------------------------------
# Calls made to fit


class _Fit(NamedTuple):
    """How the arguments of a NumPy function are those of an operation."""

    signature: inspect.Signature  # NumPy's
    names: dict[str, str]  # its arguments in the operation's names
    same: frozenset[str]  # those with one name in both
    leading: int  # how many arguments come first in both


@cache
def _fit(function: Any, operation: Any) -> _Fit:
    try:
        signature = inspect.signature(function)
    except ValueError:  # NumPy 2.0 does not tell that of functions in C
        signature = inspect.signature(operation)
    own = list(inspect.signature(operation).parameters.values())
    keywords = {p.name for p in own}
    names, leading = {}, 0
    for k, theirs in enumerate(signature.parameters.values()):
        if theirs.kind is theirs.VAR_POSITIONAL:
            leading = sys.maxsize
            break
        name = _RENAMED.get(theirs.name, theirs.name)
        if k < len(own) and own[k].default is inspect.Parameter.empty:
            name = own[k].name
        if name in keywords:
            names[theirs.name] = name
            leading += leading == k < len(own) and name == own[k].name and theirs.kind is not theirs.KEYWORD_ONLY
    same = frozenset(name for name in names if names[name] == name)
    return _Fit(signature, names, same if operation is astype else same - {"dtype"}, leading)


def _bound(function: Any, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The operation's inputs, and all keywords of the call that say something, in the operation's names."""
    signature, names, *_ = _fit(function, operation)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise DTypeError(f"np.{name_of(function)}: {error}") from None
    inputs: list[Any] = []
    keywords: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            inputs.extend(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords |= value
        elif id(value) == _NOTHING:
            continue
        elif name in names or not (value is parameter.default or (type(value) is str and value == parameter.default)):
            keywords[names.get(name, name)] = value
    needed = [p.name for p in inspect.signature(operation).parameters.values() if p.default is p.empty]
    return [keywords.pop(name) for name in needed if name in keywords] + inputs, keywords


def _fitted(name: str, operation: Any, inputs: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """The operation with NumPy's keywords; NotImplemented where NumPy may run on the arrays, as no gradient is lost.

    Raises ArgumentError for a keyword that can neither be passed on nor composed.
    """
    own = inspect.signature(operation).parameters
    known = {key: value for key, value in keywords.items() if key in own and id(value) != _NOTHING}
    rest = {key: value for key, value in keywords.items() if key not in known and _says(key, value)}
    follows = followed([*inputs, keywords])
    dtype = keywords.get("dtype")
    if follows and dtype is not None and operation is not astype and np.dtype(dtype).kind not in "fc":
        raise ArgumentError(f"{name}: expected a floating dtype while a gradient follows, got {np.dtype(dtype)}")
    if not rest:
        return operation(*inputs, **known)
    from .keywords import composed  # here, for most programs give none

    result = NotImplemented if is_plain(operation) else composed(name, operation, inputs, known, rest)
    if result is NotImplemented and follows and not is_plain(operation):
        raise ArgumentError(
            f"{name}: cannot take {'=, '.join(rest)}= while a gradient follows; leave it out, or compose what it does "
            "(tg.where(mask, a, b) for where=, y.astype(dtype) for dtype=)"
        )
    return result


def _says(key: str, value: Any) -> bool:
    """Does a keyword change the value?"""
    return key not in _IGNORED and value is not None and id(value) != _NOTHING and value is not _DEFAULTS.get(key)
