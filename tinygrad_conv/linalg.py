"""``tg.linalg``: linear algebra under NumPy's names, which are the Array API's too."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine.tensor import Array, Tensor
from .ops import eigenvalues
from .ops.overrides import name_of, operations

_OPERATIONS = {name_of(function): operation for function, operation in operations().items()}


def __getattr__(name: str) -> Any:
    try:
        return _OPERATIONS[f"linalg.{name}"]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(name.removeprefix("linalg.") for name in _OPERATIONS if name.startswith("linalg."))


def eig(x: Array) -> eigenvalues.Eig:
    """`tg.eig` as the Array API has it: complex, whatever the eigenvalues are.

    >>> eig(Tensor([[2.0, 1.0], [0.0, 1.0]])).eigenvalues
    Tensor([2.+0.j, 1.+0.j], dtype=complex128)
    """
    return eigenvalues.Eig(*(y.astype(np.result_type(y.dtype, np.complex64)) for y in eigenvalues.eig(x)))


def eigvals(x: Array) -> Tensor:
    """`tg.eigvals` as the Array API has it: complex, whatever the eigenvalues are.

    >>> eigvals(Tensor([[2.0, 1.0], [0.0, 1.0]]))
    Tensor([2.+0.j, 1.+0.j], dtype=complex128)
    """
    return eig(x).eigenvalues
