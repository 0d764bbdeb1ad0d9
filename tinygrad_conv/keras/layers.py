"""`keras.layers`: the layers of `nn` with Keras' names, argument order and defaults.

All take, besides their own arguments, ``name``, ``dtype`` (of their weights), ``trainable`` and, for the first layer of
a model, ``input_shape``, ``input_dim`` or ``batch_input_shape``; a layer without weights takes ``dtype`` and
``trainable`` for compatibility. What they compute is said in `nn`. Called by itself, a layer is in inference mode;
``layer(x, training=True)`` trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias

import numpy as np

from .. import nn
from ..arguments import Kind, NonNegative
from ..engine.tensor import Array, Tensor
from ..kernels.spatial import IntOrInts, ints_of
from ..nn.fixes import Shape
from ..ops import activations as ops
from ..ops.elementwise import minimum, where
from . import activations, spelling
from .absent import instead
from .initializers import get as initializer
from .input import Input, InputLayer
from .layer import Layer, variable

__all__ = [
    "Activation", "AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D", "BatchNormalization", "Conv1D",
    "Conv2D", "Conv2DTranspose", "Convolution1D", "Convolution2D", "Dense", "Dropout", "Flatten",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalMaxPool1D",
    "GlobalMaxPool2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Input", "InputLayer", "Layer",
    "LayerNormalization", "LeakyReLU", "MaxPool1D", "MaxPool2D", "MaxPooling1D", "MaxPooling2D", "ReLU", "Rescaling",
    "Reshape", "Softmax",
]  # fmt: skip


def _lower(word: Any) -> Any:
    return str.lower(word) if issubclass(type(word), str) else word


def _format(channels_last: bool) -> tuple[str, Any]:
    return "data_format", "channels_last" if channels_last else "channels_first"


_KINDS: Mapping[str, Any] = {
    "activation": activations.meant,
    "padding": _lower,
    "data_format": _lower,
    **{
        name: partial(initializer, argument=name)
        for name in ("kernel_initializer", "bias_initializer")
    },
}  # fmt: skip


def _spelled(**aliases: Any) -> Any:
    """A class decorator: its constructor takes the common arguments, these older names, and Keras' words for values."""
    return spelling.spelled(aliases, _KINDS)


def _named(
    cls: Any, name: str, base: Any, arguments: str = "", side: int = 0, channels: int = 3, more: str = ""
) -> Any:
    """A class that was made in a function, under the name that it has here, with its documentation.

    The example has these arguments, and takes 3 channels of side 28 to so many of this side (0: to numbers).
    """
    cls.__name__ = cls.__qualname__ = name
    before, after = (None, *(28,) * base.rank, 3), (None, *((side,) * base.rank if side else ()), channels)
    example = f">>> {name}({arguments}).compute_output_shape({before})\n{after}"
    cls.__doc__ = f"`nn.{base.__name__}`, as in Keras.{more}\n\n{example}\n"
    return cls


# ------------------------------------------------------------------------------------------------------------------
# Core


@_spelled(output_dim="units", init="kernel_initializer")
class Dense(nn.Dense, Layer):
    """`nn.Dense`. ``Dense(10, input_dim=784)`` is a first layer for 784 inputs.

    >>> layer = Dense(10, activation="relu")
    >>> layer.build((None, 784))
    >>> layer.count_params()
    7850
    """

    spelling = {"weight_init": "kernel_initializer", "bias_init": "bias_initializer"}  # noqa: RUF012
    kernel = variable("weight")

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(units, None, activation, use_bias, kernel_initializer, bias_initializer)


@_spelled()
class Activation(nn.Activation, Layer):
    """`nn.Activation`.

    >>> Activation("relu")([[-1.0, 2.0]])
    Tensor([[0., 2.]])
    """


@_spelled()
class ReLU(nn.Activation, Layer):
    """x at and above the threshold, else negative_slope * (x - threshold); at most max_value.

    >>> ReLU(max_value=6.0, negative_slope=0.1)([[-1.0, 2.0, 9.0]]).numpy()
    array([[-0.1,  2. ,  6. ]])
    """

    def __init__(
        self, max_value: NonNegative | None = None, negative_slope: NonNegative = 0.0, threshold: NonNegative = 0.0
    ) -> None:
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold
        super().__init__("relu" if max_value is None and not negative_slope and not threshold else self._bounded)

    def _bounded(self, x: Tensor) -> Tensor:
        if self.threshold:
            y = where(x >= self.threshold, x, self.negative_slope * (x - self.threshold))
        else:
            y = ops.leaky_relu(x, negative_slope=self.negative_slope)
        return y if self.max_value is None else minimum(y, self.max_value)


@_spelled(alpha="negative_slope")
class LeakyReLU(nn.Activation, Layer):
    """x for x > 0, else negative_slope * x.

    >>> LeakyReLU(0.1)([[-1.0, 2.0]]).numpy()
    array([[-0.1,  2. ]])
    """

    def __init__(self, negative_slope: NonNegative = 0.3) -> None:
        self.negative_slope = negative_slope
        super().__init__(partial(ops.leaky_relu, negative_slope=negative_slope))


@_spelled()
class Softmax(nn.Activation, Layer):
    """Softmax along an axis.

    >>> Softmax()([[0.0, 0.0]])
    Tensor([[0.5, 0.5]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        super().__init__("softmax" if axis == -1 else partial(ops.softmax, axis=axis))


@_spelled()
class Flatten(nn.Flatten, Layer):
    """`nn.Flatten`.

    >>> Flatten().compute_output_shape((None, 5, 5, 16))
    (None, 400)
    """


@_spelled()
class Reshape(nn.Reshape, Layer):
    """`nn.Reshape`.

    >>> Reshape((28, 28, 1)).compute_output_shape((None, 784))
    (None, 28, 28, 1)
    """


@_spelled(p="rate")
class Dropout(nn.Dropout, Layer):
    """`nn.Dropout`.

    >>> Dropout(0.5, seed=0)(np.ones((1, 8)), training=True)
    Tensor([[2., 2., 2., 0., 0., 0., 0., 0.]], dtype=float32)
    """

    def __init__(self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: nn.init.Seed = None) -> None:
        super().__init__(rate, seed, noise_shape=noise_shape)


def _factor(value: Any) -> Any:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError
    return array.astype(np.float32) if array.ndim else float(array)


Factor: TypeAlias = Annotated[float | Sequence[float], Kind("a number or a list of numbers", _factor)]


@_spelled()
class Rescaling(nn.Layer, Layer):
    """x * scale + offset, in the model's dtype: ``Rescaling(1 / 255)`` for images of bytes.

    Both may be lists with a number for each channel.

    >>> Rescaling(1 / 255)(np.array([[0, 255]]))
    Tensor([[0., 1.]])
    """

    def __init__(self, scale: Factor, offset: Factor = 0.0) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def cost(self, shape: Shape, y: Shape) -> int:
        return 2 * int(math.prod(y))

    def forward(self, x: Array) -> Tensor:
        y: Tensor = self.ready(x) * self.scale + self.offset
        return y


# ------------------------------------------------------------------------------------------------------------------
# Convolution

_CONV = {
    "stride": "strides", "dilation": "dilation_rate", "weight_init": "kernel_initializer",
    "bias_init": "bias_initializer",
}  # fmt: skip
_OLD: Mapping[str, Any] = {
    "filter_size": "filters", "nb_filter": "filters", "subsample": "strides", "border_mode": "padding",
    "channels_last": _format, "init": "kernel_initializer",
}  # fmt: skip


def _conv(base: Any, name: str, more: str = "") -> Any:
    @_spelled(**_OLD)
    class Conv(base, Layer):  # type: ignore[misc]
        spelling = _CONV
        kernel = variable("weight")

        def __init__(
            self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = 1, padding: Any = "valid",
            data_format: str | None = None, dilation_rate: IntOrInts = 1, groups: int = 1, activation: Any = None,
            use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        ) -> None:  # fmt: skip
            if isinstance(padding, str) and padding == "causal" and base.rank == 1:
                padding = _causal(name, kernel_size, dilation_rate)
            base.__init__(
                self, filters, kernel_size, strides, padding, dilation_rate, groups, None, activation, use_bias,
                data_format, kernel_initializer, bias_initializer,
            )  # fmt: skip

    return _named(Conv, name, base, "8, 3", 26, 8, more)


def _causal(what: str, kernel_size: Any, dilation: Any) -> tuple[tuple[int, int]]:
    """So much padding before a series that no output sees a later input."""
    (k,), (d,) = ints_of(what, "kernel_size", kernel_size, 1), ints_of(what, "dilation_rate", dilation, 1)
    return ((d * (k - 1), 0),)


Conv1D = _conv(nn.Conv1D, "Conv1D", ' With ``padding="causal"`` no output sees a later input.')
Conv2D = _conv(nn.Conv2D, "Conv2D", " The lecture's ``filter_size=24`` and ``channels_last=True`` are understood.")
Convolution1D, Convolution2D = Conv1D, Conv2D


@_spelled(**_OLD)
class Conv2DTranspose(nn.Conv2DTranspose, Layer):
    """`nn.Conv2DTranspose`.

    >>> Conv2DTranspose(8, 3, strides=2, padding="same").compute_output_shape((None, 7, 7, 16))
    (None, 14, 14, 8)
    """

    spelling = _CONV
    kernel = variable("weight")

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid",
        output_padding: Any = None, data_format: str | None = None, dilation_rate: IntOrInts = (1, 1),
        activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, dilation_rate, 1, None, activation, use_bias,
            data_format, kernel_initializer, bias_initializer,
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Pooling


def _pooling(base: Any, name: str) -> Any:
    @_spelled(channels_last=_format, border_mode="padding")
    class Pooling(base, Layer):  # type: ignore[misc]
        spelling = {"stride": "strides"}  # noqa: RUF012

        def __init__(
            self, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", data_format: str | None = None
        ) -> None:
            base.__init__(self, pool_size, strides, padding, data_format=data_format)

    return _named(Pooling, name, base, side=14)


def _global(base: Any, name: str) -> Any:
    @_spelled()
    class GlobalPooling(base, Layer):  # type: ignore[misc]
        def __init__(self, data_format: str | None = None, keepdims: bool = False) -> None:
            base.__init__(self, keepdims, data_format)

    return _named(GlobalPooling, name, base)


MaxPooling1D = MaxPool1D = _pooling(nn.MaxPool1D, "MaxPooling1D")
MaxPooling2D = MaxPool2D = _pooling(nn.MaxPool2D, "MaxPooling2D")
AveragePooling1D = AvgPool1D = _pooling(nn.AvgPool1D, "AveragePooling1D")
AveragePooling2D = AvgPool2D = _pooling(nn.AvgPool2D, "AveragePooling2D")
GlobalMaxPooling1D = GlobalMaxPool1D = _global(nn.GlobalMaxPool1D, "GlobalMaxPooling1D")
GlobalMaxPooling2D = GlobalMaxPool2D = _global(nn.GlobalMaxPool2D, "GlobalMaxPooling2D")
GlobalAveragePooling1D = GlobalAvgPool1D = _global(nn.GlobalAvgPool1D, "GlobalAveragePooling1D")
GlobalAveragePooling2D = GlobalAvgPool2D = _global(nn.GlobalAvgPool2D, "GlobalAveragePooling2D")

# ------------------------------------------------------------------------------------------------------------------
# Normalisation


@_spelled()
class BatchNormalization(nn.BatchNorm, Layer):
    """`nn.BatchNorm`.

    >>> x = np.array([[1.0], [3.0]])
    >>> BatchNormalization()(x, training=True).numpy().round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    moving_mean, moving_variance = variable("running_mean"), variable("running_var")

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 0.001, center: bool = True, scale: bool = True
    ) -> None:
        super().__init__(momentum, epsilon, axis, None, center, scale)


@_spelled()
class LayerNormalization(nn.LayerNorm, Layer):
    """`nn.LayerNorm`.

    >>> LayerNormalization()(np.array([[1.0, 3.0]])).numpy().round(2)
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, axis: Any = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True) -> None:
        super().__init__(epsilon, axis, None, center, scale)


def __getattr__(name: str) -> Any:
    return instead("keras.layers", name, __all__)
