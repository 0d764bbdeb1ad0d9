"""`keras.activations`: the activation functions by Keras' names and with Keras' meanings."""

from __future__ import annotations

from typing import Any

from ..arguments import checked
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError
from ..nn import activations as _nn
from ..nn.activations import linear, relu6
from ..ops import activations as _ops
from ..ops.activations import (
    elu,
    gelu,
    hard_sigmoid,
    log_softmax,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
)
from ..ops.elementwise import exp as exponential
from ..ops.elementwise import tanh
from .absent import instead, missing

__all__ = [
    "elu", "exponential", "gelu", "get", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6",
    "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
]  # fmt: skip

swish = silu


def leaky_relu(x: Array, negative_slope: float = 0.2) -> Tensor:
    """x for x > 0, else negative_slope * x; by name the slope is 0.2 in Keras, and 0.01 in `nn` as in PyTorch.

    >>> import tinygrad_conv as tg
    >>> leaky_relu(tg.Tensor([-1.0, 2.0]))
    Tensor([-0.2,  2. ])
    """
    return _ops.leaky_relu(x, negative_slope=negative_slope)


def meant(activation: Any) -> Any:
    """What `nn` calls the activation that Keras knows by this name; anything else as it is."""
    if not issubclass(type(activation), str):
        return activation
    try:
        _nn.get(activation)
    except ArgumentError as error:
        raise missing(str(error)) from None
    return leaky_relu if activation == "leaky_relu" else activation


@checked
def get(activation: Any) -> Any:
    """The function of this name, the callable itself, or (None) the identity.

    Raises ArgumentError for an unknown name, DTypeError for what is neither.

    >>> get("relu")([-1.0, 2.0])
    array([0., 2.])
    """
    return _nn.get(meant(activation))


def __getattr__(name: str) -> Any:
    return instead("keras.activations", name, __all__)
