"""Which of the library's own functions a call is of: by identity, for anybody's function may have the same name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..kernels.registry import KERNELS
from ..ops import FAMILIES
from .calls import Call

__all__ = ["ours"]


def ours(call: Call) -> str:
    """The name of the library's function that a call is of; nothing for any other."""
    function = call.primitive.forward if call.primitive is not None else call.function
    if isinstance(function, partial) and function.args:  # of a function of data, on tensors
        function = function.args[0]
    return _NAMES.get(id(function), "")


def _library() -> dict[str, Callable[..., Any]]:
    """The functions behind the operations and functions of data of all families, and the kernels, by their names."""
    functions: dict[str, Callable[..., Any]] = dict(KERNELS)
    for family in FAMILIES:
        for public in vars(family).values():
            primitive, inner = getattr(public, "primitive", None), getattr(public, "__wrapped__", None)
            if primitive is not None:
                functions[primitive.name] = primitive.forward
            elif inner is not None:
                functions[inner.__name__] = inner
    return functions


_FUNCTIONS = _library()  # as this package is imported; held, so that no other gets their ids
_NAMES = {id(function): name for name, function in _FUNCTIONS.items()}
