"""`keras.layers`: the layers of `nn` with Keras' names, argument order and defaults.

All take, besides their own arguments, ``name``, ``dtype``, ``trainable`` and (for the first layer of a model)
``input_shape`` or ``input_dim``. What they compute is said in `nn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from .. import nn
from ..errors import DTypeError
from ..kernels.geometry import IntOrInts
from ..nn import Layer
from ..ops import activations
from ..ops.elementwise import minimum
from ..tensor import Array, Tensor
from .initializers import get as initializer
from .spelling import as_shape, spelled, strict

__all__ = [
    "ELU", "Activation", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D",
    "AvgPool3D", "BatchNormalization", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D",
    "Conv3DTranspose", "Convolution2D", "Dense", "DepthwiseConv2D", "Dropout", "Embedding", "Flatten",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization", "Input", "InputLayer", "Layer",
    "LayerNormalization", "LeakyReLU", "LocallyConnected2D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "MaxPooling1D",
    "MaxPooling2D", "MaxPooling3D", "ReLU", "Rescaling", "Reshape", "SeparableConv2D", "Softmax",
]  # fmt: skip


class InputLayer:
    """The shape of a model's input, without the batch axis; no layer of its own."""

    @strict
    def __init__(
        self, shape: Any = None, batch_size: int | None = None, dtype: Any = None, name: str | None = None,
        batch_shape: Any = None,
    ) -> None:  # fmt: skip
        self.batch_input_shape = (batch_size, *as_shape("Input", shape)) if batch_shape is None else tuple(batch_shape)
        self.dtype, self.name = dtype, name

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.batch_input_shape

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise DTypeError(
            "Input begins a Sequential; to call layers on tensors, derive from keras.Model and define call"
        )


@strict
def Input(shape: Any = None, batch_size: int | None = None, dtype: Any = None, name: str | None = None) -> InputLayer:  # noqa: N802
    """The input of a `Sequential`: its shape without the batch axis.

    >>> Input(shape=(28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    return InputLayer(shape, batch_size, dtype, name)


# ------------------------------------------------------------------------------------------------------------------
# Core


@spelled(output_dim="units", init="kernel_initializer")
class Dense(nn.Dense):
    """`nn.Dense`. ``Dense(10, input_dim=784)`` is a first layer for 784 inputs."""

    spelling = {"weight_init": "kernel_initializer", "bias_init": "bias_initializer"}  # noqa: RUF012

    def __init__(
        self, units: int, activation: Any = None, use_bias: bool = True, kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            units,
            None,
            activation,
            use_bias,
            initializer(kernel_initializer),
            initializer(bias_initializer, "bias_initializer"),
        )


@spelled()
class Activation(nn.Activation):
    """`nn.Activation`."""

    def __init__(self, activation: Any) -> None:
        super().__init__(activation)


@spelled()
class ReLU(nn.Activation):
    """max(x, 0), with a slope below 0 and a maximum if wanted."""

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0) -> None:
        self.max_value, self.negative_slope = max_value, negative_slope
        super().__init__("relu" if max_value is None and not negative_slope else self._bounded)

    def _bounded(self, x: Tensor) -> Tensor:
        y = activations.leaky_relu(x, negative_slope=self.negative_slope)
        return y if self.max_value is None else minimum(y, self.max_value)


@spelled(alpha="negative_slope")
class LeakyReLU(nn.Activation):
    """x for x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.3) -> None:
        self.negative_slope = negative_slope
        super().__init__(partial(activations.leaky_relu, negative_slope=negative_slope))


@spelled()
class ELU(nn.Activation):
    """x for x > 0, else alpha (eˣ - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        super().__init__(partial(activations.elu, alpha=alpha))


@spelled()
class Softmax(nn.Activation):
    """Softmax along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        super().__init__("softmax" if axis == -1 else partial(activations.softmax, axis=axis))


@spelled()
class Flatten(nn.Flatten):
    """`nn.Flatten`."""

    def __init__(self, data_format: str | None = None) -> None:
        super().__init__(data_format)


@spelled()
class Reshape(nn.Reshape):
    """`nn.Reshape`."""

    def __init__(self, target_shape: Sequence[int]) -> None:
        super().__init__(target_shape)


@spelled(p="rate")
class Dropout(nn.Dropout):
    """`nn.Dropout`."""

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None) -> None:
        super().__init__(rate, seed)


@spelled()
class Embedding(nn.Embedding):
    """`nn.Embedding`."""

    spelling = {"weight_init": "embeddings_initializer"}  # noqa: RUF012

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform", input_length: int | None = None
    ) -> None:
        super().__init__(input_dim, output_dim, initializer(embeddings_initializer, "embeddings_initializer"))
        if input_length is not None:
            self.batch_input_shape = (None, input_length)


@spelled()
class Rescaling(Layer):
    """x * scale + offset, in the model's dtype: ``Rescaling(1 / 255)`` for images of bytes."""

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        super().__init__()
        self.scale, self.offset = float(scale), float(offset)

    def cost(self, shape: Any, y: Any) -> int:
        return 2 * int(math.prod(y))

    def forward(self, x: Array) -> Tensor:
        return self.ready(x) * self.scale + self.offset


# ------------------------------------------------------------------------------------------------------------------
# Convolution

_CONV = {
    "stride": "strides", "dilation": "dilation_rate", "weight_init": "kernel_initializer",
    "bias_init": "bias_initializer",
}  # fmt: skip


def _format(channels_last: bool) -> tuple[str, Any]:
    return "data_format", "channels_last" if channels_last else "channels_first"


_OLD = {
    "filter_size": "filters", "nb_filter": "filters", "subsample": "strides", "border_mode": "padding",
    "channels_last": _format, "init": "kernel_initializer",
}  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv1D(nn.Conv1D):
    """`nn.Conv1D`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = 1, padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = 1, groups: int = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, dilation_rate, groups, None, activation, use_bias, data_format,
            initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv2D(nn.Conv2D):
    """`nn.Conv2D`. The lecture's ``filter_size=24`` and ``channels_last=True`` are understood."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1), groups: int = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, dilation_rate, groups, None, activation, use_bias, data_format,
            initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv3D(nn.Conv3D):
    """`nn.Conv3D`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1, 1), groups: int = 1, activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, dilation_rate, groups, None, activation, use_bias, data_format,
            initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv1DTranspose(nn.Conv1DTranspose):
    """`nn.Conv1DTranspose`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = 1, padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", output_padding: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, dilation_rate, 1, None, activation, use_bias,
            data_format, initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv2DTranspose(nn.Conv2DTranspose):
    """`nn.Conv2DTranspose`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1), activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        output_padding: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, dilation_rate, 1, None, activation, use_bias,
            data_format, initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class Conv3DTranspose(nn.Conv3DTranspose):
    """`nn.Conv3DTranspose`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1, 1), activation: Any = None,
        use_bias: bool = True, kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        output_padding: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, dilation_rate, 1, None, activation, use_bias,
            data_format, initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(channels_last=_format)
class DepthwiseConv2D(nn.DepthwiseConv2D):
    """`nn.DepthwiseConv2D`."""

    spelling = _CONV | {"multiplier": "depth_multiplier", "weight_init": "depthwise_initializer"}

    def __init__(
        self, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1), activation: Any = None,
        use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, dilation_rate, None, activation, use_bias, data_format,
            initializer(depthwise_initializer, "depthwise_initializer"),
            initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(channels_last=_format)
class SeparableConv2D(nn.SeparableConv2D):
    """`nn.SeparableConv2D`; one initialiser serves both steps."""

    spelling = _CONV | {"multiplier": "depth_multiplier", "weight_init": "depthwise_initializer"}

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid",
        data_format: str | None = None, dilation_rate: IntOrInts = (1, 1), depth_multiplier: int = 1,
        activation: Any = None, use_bias: bool = True, depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, depth_multiplier, dilation_rate, None, activation, use_bias,
            data_format,
            initializer(depthwise_initializer, "depthwise_initializer"),
            initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


@spelled(**_OLD)  # type: ignore[arg-type]
class LocallyConnected2D(nn.LocallyConnected2D):
    """`nn.LocallyConnected2D`."""

    spelling = _CONV

    def __init__(
        self, filters: int, kernel_size: IntOrInts, strides: IntOrInts = (1, 1), padding: Any = "valid",
        data_format: str | None = None, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, 1, activation, use_bias, data_format,
            initializer(kernel_initializer), initializer(bias_initializer, "bias_initializer"),
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Pooling


def _pooling(base: Any, name: str) -> Any:
    @spelled(channels_last=_format, border_mode="padding")
    class Pooling(base):  # type: ignore[misc]
        __doc__ = f"`nn.{base.__name__}`."
        spelling = {"stride": "strides"}  # noqa: RUF012

        def __init__(
            self, pool_size: Any = 2, strides: Any = None, padding: Any = "valid", data_format: str | None = None
        ) -> None:
            super().__init__(pool_size, strides, padding, data_format=data_format)

    Pooling.__name__ = Pooling.__qualname__ = name
    return Pooling


def _global(base: Any, name: str) -> Any:
    @spelled()
    class GlobalPooling(base):  # type: ignore[misc]
        __doc__ = f"`nn.{base.__name__}`."

        def __init__(self, data_format: str | None = None, keepdims: bool = False) -> None:
            super().__init__(keepdims, data_format)

    GlobalPooling.__name__ = GlobalPooling.__qualname__ = name
    return GlobalPooling


MaxPooling1D = MaxPool1D = _pooling(nn.MaxPool1D, "MaxPooling1D")
MaxPooling2D = MaxPool2D = _pooling(nn.MaxPool2D, "MaxPooling2D")
MaxPooling3D = MaxPool3D = _pooling(nn.MaxPool3D, "MaxPooling3D")
AveragePooling1D = AvgPool1D = _pooling(nn.AvgPool1D, "AveragePooling1D")
AveragePooling2D = AvgPool2D = _pooling(nn.AvgPool2D, "AveragePooling2D")
AveragePooling3D = AvgPool3D = _pooling(nn.AvgPool3D, "AveragePooling3D")
GlobalMaxPooling1D = _global(nn.GlobalMaxPool1D, "GlobalMaxPooling1D")
GlobalMaxPooling2D = _global(nn.GlobalMaxPool2D, "GlobalMaxPooling2D")
GlobalMaxPooling3D = _global(nn.GlobalMaxPool3D, "GlobalMaxPooling3D")
GlobalAveragePooling1D = _global(nn.GlobalAvgPool1D, "GlobalAveragePooling1D")
GlobalAveragePooling2D = _global(nn.GlobalAvgPool2D, "GlobalAveragePooling2D")
GlobalAveragePooling3D = _global(nn.GlobalAvgPool3D, "GlobalAveragePooling3D")

# ------------------------------------------------------------------------------------------------------------------
# Normalisation


@spelled()
class BatchNormalization(nn.BatchNorm):
    """`nn.BatchNorm`."""

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, epsilon: float = 0.001, center: bool = True, scale: bool = True
    ) -> None:
        super().__init__(momentum, epsilon, axis, None, center, scale)


@spelled()
class LayerNormalization(nn.LayerNorm):
    """`nn.LayerNorm`."""

    def __init__(self, axis: Any = -1, epsilon: float = 0.001, center: bool = True, scale: bool = True) -> None:
        super().__init__(epsilon, axis, None, center, scale)


@spelled()
class GroupNormalization(nn.GroupNorm):
    """`nn.GroupNorm`."""

    def __init__(self, groups: int = 32, epsilon: float = 0.001, center: bool = True, scale: bool = True) -> None:
        super().__init__(groups, epsilon, None, center, scale)


Convolution2D = Conv2D
