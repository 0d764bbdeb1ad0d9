"""Operators and NumPy's methods of `Tensor`, which `engine/methods.py` declares: each *is* an operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.tensor import Tensor, ops
from .assignment import set_item

__all__ = ["put_in_place"]

OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
OTHERS = {"neg": "negative", "abs": "abs", "invert": "bitwise_invert", "round": "round", "getitem": "getitem"}
METHODS = [
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "clip", "conj", "copy", "cumprod", "cumsum",
    "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "repeat", "round", "searchsorted", "squeeze", "std",
    "sum", "swapaxes", "take", "trace", "var",
]  # fmt: skip
_NUMPY: Any = np  # whose functions on tensors are the library's, with all of NumPy's keywords


def put_in_place() -> None:
    """Give `Tensor` its operators and methods, after all operations were declared."""
    given: dict[str, Any] = {name: getattr(ops, name) for name in METHODS}
    given |= {f"__{operator}__": getattr(ops, name) for operator, name in (OPERATORS | COMPARISONS | OTHERS).items()}
    given |= {f"__r{operator}__": _reversed(getattr(ops, name)) for operator, name in OPERATORS.items()}
    given |= {"__pos__": _itself, "reshape": reshape, "transpose": transpose, "flatten": flatten, "ravel": flatten}
    given |= {"conjugate": ops.conj, "T": property(_transposed)}
    given |= {"mT": property(ops.matrix_transpose, doc="The last two axes swapped."), "__setitem__": set_item}
    given |= {"real": property(ops.real, doc="The real part."), "imag": property(ops.imag, doc="The imaginary part.")}
    for name, value in given.items():
        setattr(Tensor, name, value)


def _reversed(operation: Any) -> Any:
    """``array * x``, where the tensor stands on the right."""

    def reversed_operation(self: Tensor, other: Any) -> Tensor:
        return operation(other, self)

    return reversed_operation


def _itself(self: Tensor) -> Tensor:
    return self


def reshape(self: Tensor, *shape: Any, **how: Any) -> Tensor:
    """The same elements in another shape, given as one tuple or as numbers; `order` and `copy` are NumPy's."""
    return (_NUMPY if how else ops).reshape(self, _one_tuple(shape), **how)


def transpose(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, given as one tuple or as numbers; reversed if none are given."""
    return ops.permute_dims(self, _one_tuple(axes) if axes else None)


def _transposed(self: Tensor) -> Tensor:
    """The axes reversed."""
    return ops.permute_dims(self, None)


def flatten(self: Tensor, order: str = "C") -> Tensor:
    """All elements on one axis, in the `order` of `numpy.ravel`."""
    return ops.reshape(self, (-1,)) if type(order) is str and order == "C" else _NUMPY.ravel(self, order)


def _one_tuple(items: tuple[Any, ...]) -> Any:
    return items[0] if len(items) == 1 and not issubclass(type(items[0]), (int, np.integer)) else items
