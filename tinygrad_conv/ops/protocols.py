"""NumPy's own functions on tensors: ``np.exp(x)`` and ``np.sum(x, axis=0)`` are the library's operations of that name.

Where the library has no such operation, NumPy's runs on the arrays and gives an array, which no gradient flows through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..tensor import Tensor
from . import elementwise, indexing, linalg, reductions, shape

OPERATIONS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): getattr(family, name)
    for family in (elementwise, reductions, indexing, shape, linalg)
    for name in family.__all__
    if hasattr(np, name)
}
OPERATIONS |= {
    np.linalg.norm: linalg.linalg_norm, np.linalg.solve: linalg.solve, np.linalg.inv: linalg.inv,
    np.linalg.det: linalg.det,
}  # fmt: skip


def array_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``Tensor.__array_ufunc__`` answers. Raises DTypeError where a tensor would be written into an array."""
    if kwargs.get("out") is not None:
        raise DTypeError(f"np.{ufunc.__name__}: a tensor is not written into an array; use its x.numpy()")
    if method == "__call__" and ufunc in OPERATIONS:
        return OPERATIONS[ufunc](*inputs, **kwargs)
    return getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))


def array_function(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What ``Tensor.__array_function__`` answers."""
    if function in OPERATIONS:
        return OPERATIONS[function](*args, **kwargs)
    return function(*_arrays(args), **_arrays(kwargs))


def _arrays(value: Any) -> Any:
    """The same with an array for each tensor in it."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _arrays(item) for key, item in value.items()}
    return type(value)(map(_arrays, value)) if type(value) in (list, tuple) else value
