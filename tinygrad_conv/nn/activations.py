"""Activation functions by name, for the ``activation=`` of layers."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

from ..arguments import LATER, Kind, checked, described
from ..engine.primitive import primitives
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError
from ..ops import activations as ops
from ..ops import elementwise

__all__ = ["get"]


def _known(activation: Any) -> Any:
    get(activation)
    return activation


Activation: TypeAlias = Annotated[str | Callable[[Tensor], Tensor] | None, Kind("a name or a function", _known)]


def linear(x: Array) -> Array:
    """x itself.

    >>> linear(3.0)
    3.0
    """
    return x


def relu6(x: Array) -> Tensor:
    """min(max(x, 0), 6).

    >>> relu6([-1.0, 3.0, 9.0])
    array([0., 3., 6.])
    """
    return elementwise.clip(x, 0, 6)


_BY_NAME: dict[str, Callable[..., Any]] = {
    "elu": ops.elu,
    "exponential": elementwise.exp,
    "gelu": ops.gelu,
    "hard_sigmoid": ops.hard_sigmoid,
    "leaky_relu": ops.leaky_relu,
    "linear": linear,
    "log_softmax": ops.log_softmax,
    "mish": ops.mish,
    "relu": ops.relu,
    "relu6": relu6,
    "selu": ops.selu,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softmax": ops.softmax,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "swish": ops.silu,
    "tanh": elementwise.tanh,
}


@checked
def get(activation: Annotated[Activation, LATER]) -> Callable[[Any], Any]:
    """The function of this name, the callable itself, or (None) the identity.

    Raises ArgumentError for an unknown name, DTypeError for what is neither.

    >>> get("relu")([-1.0, 2.0])
    array([0., 2.])
    """
    if activation is None:
        return linear
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise DTypeError(f"activation: expected a name or a function, got {described(activation)}")
    if activation not in _BY_NAME:
        near = get_close_matches(str.lower(activation), _BY_NAME, 1)
        hint = f'use activation="{near[0]}"' if near else f"use one of {', '.join(_BY_NAME)}"
        raise ArgumentError(f"activation: expected a known name, got {activation!r}: {hint}")
    return _BY_NAME[activation]


def cost(activation: Activation) -> int:
    """Floating-point operations per element, as far as its primitive states them."""
    primitive = getattr(get(activation), "primitive", None)
    flops = 0 if primitive is None else primitives()[primitive.name].flops
    return flops if isinstance(flops, int) else 0
