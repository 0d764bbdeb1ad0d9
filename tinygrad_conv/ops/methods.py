"""Operators and NumPy's methods of `Tensor`, which `engine/methods.py` declares: each operator *is* an operation."""

from __future__ import annotations

from functools import cache, wraps
from inspect import signature
from types import NoneType
from typing import Any, Literal

import numpy as np

from ..arguments import DType, check, explained, stands
from ..engine.tensor import Tensor, ops
from ..errors import ArgumentError
from .assignment import set_item

__all__ = ["put_in_place"]

OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift", "divmod": "divmod",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
OTHERS = {"neg": "negative", "abs": "abs", "invert": "bitwise_invert", "round": "round", "getitem": "getitem"}
METHODS = [
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "conj", "copy", "cumprod", "cumsum",
    "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted", "squeeze", "std",
    "sum", "swapaxes", "take", "trace", "var",
]  # fmt: skip
_NUMPY: Any = np  # whose functions on tensors are the library's, with all of NumPy's keywords


def put_in_place() -> None:
    """Give `Tensor` its operators and methods, after all operations were declared."""
    given: dict[str, Any] = {name: _method(name) for name in METHODS}
    given |= {f"__{operator}__": getattr(ops, name) for operator, name in (OPERATORS | COMPARISONS | OTHERS).items()}
    given |= {f"__r{operator}__": _reversed(getattr(ops, name)) for operator, name in OPERATORS.items()}
    given |= {"__pos__": _itself, "reshape": reshape, "transpose": transpose, "flatten": flatten, "ravel": flatten}
    given |= {"astype": astype, "compress": compress, "conjugate": ops.conj, "T": property(_transposed)}
    given |= {"mT": property(ops.matrix_transpose, doc="The last two axes swapped."), "__setitem__": set_item}
    given |= {"real": property(ops.real, doc="The real part."), "imag": property(ops.imag, doc="The imaginary part.")}
    for name, value in given.items():
        setattr(Tensor, name, value)


def _method(name: str) -> Any:
    """The operation as a method, which takes all that NumPy's method of that name does, in NumPy's order too."""
    operation = getattr(ops, name)

    @wraps(operation)
    def method(self: Tensor, *args: Any, **keywords: Any) -> Any:
        if (keywords or len(args) > 1) and not _takes(operation, args, keywords):
            return _as_numpy(name, self, *args, **keywords)
        return operation(self, *args, **keywords)

    return method


def _as_numpy(name: str, x: Any, *args: Any, **keywords: Any) -> Any:
    """NumPy's function of x, which asks the library back. What NumPy cannot do with its arguments is told."""
    try:
        return getattr(_NUMPY, name)(x, *args, **keywords)
    except Exception as error:
        if stands(error):
            raise
        given = {f"argument {k}": value for k, value in enumerate(args, 1)} | keywords
        raise explained(name, error, given) from error


def _takes(operation: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Does an operation have these keywords? What has a dtype or a word in second place is in NumPy's order."""
    names = _names(operation)
    if len(args) >= len(names) or (len(args) > 1 and issubclass(type(args[1]), (NoneType, str, type, np.dtype))):
        return False
    return keywords.keys() <= names


@cache
def _names(operation: Any) -> frozenset[str]:
    return frozenset(signature(operation).parameters)


def astype(self: Tensor, dtype: Any, *args: Any, **keywords: Any) -> Tensor:
    """The values in another dtype: ``astype(dtype, copy=True)``, or with NumPy's arguments in NumPy's order.

    Its `order` and `subok` change nothing, as how a tensor lies in memory is the library's own affair. Raises
    ArgumentError for a conversion that `casting` forbids.

    >>> Tensor([1.5, 2.5]).astype("int64")
    Tensor([1, 2])
    """
    names = ("copy",) if args and type(args[0]) is bool else ("order", "casting", "subok", "copy")
    keywords |= dict(zip(names, args, strict=False))
    check(Literal["K", "A", "C", "F"], "astype", "order", keywords.pop("order", "K"))
    check(bool, "astype", "subok", keywords.pop("subok", True))
    casting = check(Literal["no", "equiv", "safe", "same_kind", "unsafe"], "astype", "casting",
                    keywords.pop("casting", "unsafe"))  # fmt: skip
    if casting != "unsafe" and not np.can_cast(self.dtype, check(DType, "astype", "dtype", dtype), casting):
        raise ArgumentError(f"astype: casting={casting!r} does not convert {self.dtype} to {np.dtype(dtype)}")
    return ops.astype(self, dtype, **keywords)


def _reversed(operation: Any) -> Any:
    """``array * x``, where the tensor stands on the right."""

    def reversed_operation(self: Tensor, other: Any) -> Tensor:
        return operation(other, self)

    return reversed_operation


def _itself(self: Tensor) -> Tensor:
    return self


def reshape(self: Tensor, *shape: Any, **how: Any) -> Tensor:
    """The same elements in another shape, given as one tuple or as numbers; `order` and `copy` are NumPy's.

    >>> Tensor([1.0, 2.0, 3.0, 4.0]).reshape(2, -1).shape
    (2, 2)
    """
    return _as_numpy("reshape", self, _one_tuple(shape), **how) if how else ops.reshape(self, _one_tuple(shape))


def transpose(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, given as one tuple or as numbers; reversed if none are given.

    >>> Tensor([[[1.0, 2.0]]]).transpose(2, 0, 1).shape
    (2, 1, 1)
    """
    return ops.permute_dims(self, _one_tuple(axes) if axes else None)


def compress(self: Tensor, condition: Any, axis: int | None = None, *args: Any, **keywords: Any) -> Tensor:
    """The slices along an axis (of the flattened tensor when None) where the condition is true.

    >>> Tensor([[1.0, 2.0], [3.0, 4.0]]).compress([False, True], axis=0)
    Tensor([[3., 4.]])
    """
    if args or keywords:
        return _as_numpy("compress", condition, self, axis, *args, **keywords)
    return ops.compress(condition, self, axis)


def _transposed(self: Tensor) -> Tensor:
    """The axes reversed."""
    return ops.permute_dims(self, None)


def flatten(self: Tensor, order: str = "C") -> Tensor:
    """All elements on one axis, in the `order` of `numpy.ravel`.

    >>> Tensor([[1.0, 2.0], [3.0, 4.0]]).flatten()
    Tensor([1., 2., 3., 4.])
    """
    return ops.reshape(self, (-1,)) if type(order) is str and order == "C" else _as_numpy("ravel", self, order)


def _one_tuple(items: tuple[Any, ...]) -> Any:
    return items[0] if len(items) == 1 and not issubclass(type(items[0]), (int, np.integer)) else items
