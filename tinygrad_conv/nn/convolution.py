"""Convolution layers: kernels slide over the input, so that each output looks at one patch and all share weights."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..arguments import FloatDType, Size
from ..engine.tensor import Array, Tensor
from ..engine.tensor import ops as methods
from ..errors import ShapeError
from ..kernels.geometry import conv_window, depthwise_window, transpose_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding, ints_of, nearest_divisor
from ..kernels.window import Window
from ..ops import convolution as ops
from . import activations, init
from .fixes import Edit, Exchange, Set, Shape
from .image import Image, check_window
from .layer import Weight
from .module import Parameter

__all__ = [
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "DepthwiseConv2D",
    "LocallyConnected2D", "SeparableConv2D",
]  # fmt: skip


TUNABLE: Mapping[str, tuple[Any, ...]] = {
    "padding": ("same", "valid", 1, 2, 3),
    "kernel_size": (1, 2, 3, 4, 5, 6, 7),
    "stride": (1, 2, 3, 4),
}


class Sliding(Image):
    """What layers share whose kernels slide over images; `rank` is the number of spatial axes."""

    tunable = TUNABLE
    weight: Parameter
    bias: Parameter | None = None

    def __init__(
        self, kernel_size: IntOrInts, stride: IntOrInts, padding: Padding, dilation: IntOrInts,
        in_channels: int | None, activation: activations.Activation, use_bias: bool, data_format: DataFormat,
        weight_init: init.Init, bias_init: init.Init, name: str | None, dtype: FloatDType, seed: init.Seed,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype, seed)
        what = type(self).__name__
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        check_window(what, self.rank, padding, kernel_size=kernel_size, stride=stride, dilation=dilation)
        self.in_channels = in_channels
        self.activation, self.use_bias, self.data_format = activation, use_bias, data_format
        self.weight_init, self.bias_init = weight_init, bias_init

    def fitting_channels(self, shape: Shape) -> int:
        """The channels of an input. Raises ShapeError when the kernels have others."""
        channels = self.channels(shape)
        if self.in_channels not in (None, channels):
            raise ShapeError(f"got {channels} channels, its kernels have {self.in_channels}")
        return channels

    def as_dense(self, input_shape: Shape) -> Any:
        """The matrix that this layer is, for inputs of this shape (H, W, C): sparse, its weights shared.

        See `tinygrad_conv.graph.as_dense` for what it can do and draw.
        """
        return methods.as_dense(self, input_shape)


class Conv(Sliding):
    """What all convolutions share."""

    operation: Callable[..., Any]

    def __init__(
        self, filters: Size, kernel_size: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid",
        dilation: IntOrInts = 1, groups: Size = 1, in_channels: Size | None = None,
        activation: activations.Activation = None, use_bias: bool = True, data_format: DataFormat = None,
        weight_init: init.Init = "glorot_uniform", bias_init: init.Init = "zeros",
        name: str | None = None, dtype: FloatDType = "float32", seed: init.Seed = None,
    ) -> None:  # fmt: skip
        self.filters, self.groups = filters, groups
        super().__init__(
            kernel_size, stride, padding, dilation, in_channels, activation, use_bias, data_format, weight_init,
            bias_init, name, dtype, seed,
        )  # fmt: skip
        if in_channels is not None:
            self._divisible(in_channels)
            self.create(in_channels)

    # -- the kernel's layout, which subclasses change ----------------------------------------------------------------

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """The shape of the weights for so many input channels."""
        return (*self._sizes(), channels // self.groups, self.filters)

    def fans(self, channels: int) -> init.Fans:
        """(fan_in, fan_out), where the kernel's shape does not tell."""
        return None

    def window(self, shape: Shape) -> Window:
        """The geometry for an input shape; raises ShapeError when the kernel does not fit."""
        return conv_window(
            "conv", self.rank, shape, self.kernel_shape(self.channels(shape)), self.stride, self.padding, self.dilation,
            self.groups, self.data_format,
        )  # fmt: skip

    def _sizes(self) -> tuple[int, ...]:
        return ints_of("conv", "kernel_size", self.kernel_size, self.rank)

    def _divisible(self, channels: int) -> None:
        if channels % self.groups:
            raise ShapeError(f"got {channels} channels, which groups={self.groups} does not divide")
        if self.filters % self.groups:
            raise ShapeError(f"has {self.filters} filters, which groups={self.groups} does not divide")

    # -- what a layer states -----------------------------------------------------------------------------------------

    def infer(self, shape: Shape) -> Shape:
        channels = self.fitting_channels(shape)
        self._divisible(channels)
        return self.image(shape, self._out_sizes(shape), self.filters)

    def _out_sizes(self, shape: Shape) -> tuple[int, ...]:
        with self.in_own_words("conv"):
            return self.window(shape).out_sizes

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        channels = self.channels(shape)
        weights = {"weight": Weight(self.kernel_shape(channels), self.weight_init, self.fans(channels))}
        return weights | ({"bias": Weight((self.filters,), self.bias_init)} if self.use_bias else {})

    def cost(self, shape: Shape, y: Shape) -> int:
        per_output = 2 * math.prod(self.kernel_shape(self.channels(shape))[:-1])
        return math.prod(y) * (per_output + self.use_bias)

    def formula(self, shape: Shape) -> str:
        patch = "*".join(map(str, (*self._sizes(), self.channels(shape) // self.groups)))
        return f"{self.filters}*({patch} + 1)" if self.use_bias else f"{self.filters}*({patch})"

    def note(self, shape: Shape) -> str:
        """Where the count differs from kernel elements times filters, the arithmetic between the two."""
        area, channels = math.prod(self._sizes()), self.channels(shape) // self.groups
        if channels == 1 or len(self._sizes()) != 2:
            return ""
        bias, and_bias = (" + 1", " and a bias each") if self.use_bias else ("", "")
        total = self.filters * (area * channels + self.use_bias)
        return (
            f"{self.name or type(self).__name__}: {self.filters}*{area} = {self.filters * area:,} weights see one "
            f"channel; {channels} channels{and_bias} make it {self.filters}*({area}*{channels}{bias}) = {total:,}"
        )

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        yield from self.image_fixes(shape)
        if len(shape) != self.rank + 2:
            return
        channels = self.channels(shape)
        if self.in_channels not in (None, channels):
            yield Set("in_channels", channels)
        yield Set("groups", nearest_divisor(self.groups, math.gcd(channels, self.filters)))
        yield Set("filters", -(-self.filters // self.groups) * self.groups)
        yield from self.fitting("kernel_size", self._sizes(), shape)

    def forward(self, x: Array) -> Tensor:
        y = type(self).operation(
            self.ready(x), self.weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation,
            groups=self.groups, data_format=self.data_format,
        )  # fmt: skip
        return self.activated(y)


class Conv2D(Conv):
    """Kernels that slide over images: each output is a linear combination of one patch of all channels.

    Parameters
    ----------
    filters : int
        The channels of the output: how many kernels.
    kernel_size : int or (kh, kw)
    stride, dilation : int or one per axis
    padding : "valid" (none), "same" (ceil(size / stride) outputs), int, (int, int) or ((top, bottom), (left, right))
    groups : int
        The channels are cut into so many groups, each seen by its share of the filters.
    in_channels : int, optional
        The channels of the input; taken from the first input when None.
    activation : str or callable, optional
    use_bias : bool
    data_format : "channels_last" (None) or "channels_first"
    weight_init, bias_init : str or callable
        See `nn.init`.
    name, dtype, seed : see `Layer`

    Shapes: x (N, H, W, C), weight (kh, kw, C / groups, filters), bias (filters,), y (N, oh, ow, filters) with
    oh = (H + top + bottom - dilation * (kh - 1) - 1) // stride + 1, and likewise ow.

    Raises ShapeError when channels, groups or sizes do not fit, with changes that make them fit.

    >>> layer = Conv2D(24, (2, 2), in_channels=3)
    >>> layer.output_shape((None, 128, 128, 3)), layer.count_parameters()
    ((None, 127, 127, 24), 312)
    """

    rank, operation = 2, ops.conv2d


class Conv1D(Conv):
    """`Conv2D` along one axis: x (N, L, C), weight (k, C / groups, filters), y (N, ol, filters).

    >>> Conv1D(4, 3).output_shape((None, 10, 2))
    (None, 8, 4)
    """

    rank, operation = 1, ops.conv1d


class Conv3D(Conv):
    """`Conv2D` over three axes: x (N, D, H, W, C), weight (kd, kh, kw, C / groups, filters).

    >>> Conv3D(4, 3).output_shape((None, 8, 8, 8, 2))
    (None, 6, 6, 6, 4)
    """

    rank, operation = 3, ops.conv3d


class ConvTranspose(Conv):
    """What transposed convolutions share; their kernels are (*kernel_size, filters / groups, C)."""

    tunable: Mapping[str, tuple[Any, ...]] = {}

    def __init__(
        self, filters: Size, kernel_size: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid",
        output_padding: IntOrInts | None = None, dilation: IntOrInts = 1, groups: Size = 1,
        in_channels: Size | None = None, activation: activations.Activation = None, use_bias: bool = True,
        data_format: DataFormat = None, weight_init: init.Init = "glorot_uniform",
        bias_init: init.Init = "zeros", name: str | None = None, dtype: FloatDType = "float32",
        seed: init.Seed = None,
    ) -> None:  # fmt: skip
        self.output_padding = output_padding
        super().__init__(
            filters, kernel_size, stride, padding, dilation, groups, in_channels, activation, use_bias, data_format,
            weight_init, bias_init, name, dtype, seed,
        )  # fmt: skip

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        return (*self._sizes(), self.filters // self.groups, channels)

    def fans(self, channels: int) -> init.Fans:
        area = math.prod(self._sizes())
        return area * channels // self.groups, area * self.filters // self.groups

    def window(self, shape: Shape) -> Window:
        return self._window(shape)[0]

    def _window(self, shape: Shape) -> tuple[Window, tuple[int, ...]]:
        return transpose_window(
            "conv", self.rank, shape, self.kernel_shape(self.channels(shape)), self.stride, self.padding,
            self.output_padding, self.dilation, self.groups, self.data_format,
        )  # fmt: skip

    def _out_sizes(self, shape: Shape) -> tuple[int, ...]:
        with self.in_own_words("conv"):
            window, beyond = self._window(shape)
            return tuple(map(operator.add, window.in_sizes, beyond))  # of the convolution that this is the transpose of

    def cost(self, shape: Shape, y: Shape) -> int:
        kernel = self.kernel_shape(self.channels(shape))
        return 2 * math.prod(shape) * math.prod(kernel[:-1]) + math.prod(y) * self.use_bias

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        for edit in super().fixes(shape):
            if not isinstance(edit, Set) or edit.name in ("in_channels", "groups", "filters"):
                yield edit
        if self.output_padding is not None:
            yield Set("output_padding", min(ints_of("", "stride", self.stride, self.rank)) - 1)
        yield Set("padding", "valid")
        yield Set("padding", "same")

    def forward(self, x: Array) -> Tensor:
        y = type(self).operation(
            self.ready(x), self.weight, self.bias, stride=self.stride, padding=self.padding,
            output_padding=self.output_padding, dilation=self.dilation, groups=self.groups,
            data_format=self.data_format,
        )  # fmt: skip
        return self.activated(y)


class Conv2DTranspose(ConvTranspose):
    """The transpose of a `Conv2D` from `filters` channels: with a stride it enlarges images.

    Parameters are those of `Conv2D`, and ``output_padding``: rows and columns added at the end, less than the stride or
    the dilation.

    Shapes: x (N, H, W, C), weight (kh, kw, filters / groups, C), y (N, oh, ow, filters) with the sizes of Keras'
    ``Conv2DTranspose``; for "valid" oh = (H - 1) * stride + max(reach, stride), reach = dilation * (kh - 1) + 1.

    >>> Conv2DTranspose(8, 3, stride=2, padding="same").output_shape((None, 7, 7, 16))
    (None, 14, 14, 8)
    """

    rank, operation = 2, ops.conv2d_transpose


class Conv1DTranspose(ConvTranspose):
    """`Conv2DTranspose` along one axis: x (N, L, C), y (N, ol, filters).

    >>> Conv1DTranspose(8, 3, stride=2, padding="same").output_shape((None, 7, 16))
    (None, 14, 8)
    """

    rank, operation = 1, ops.conv1d_transpose


class Conv3DTranspose(ConvTranspose):
    """`Conv2DTranspose` over three axes: x (N, D, H, W, C), y (N, od, oh, ow, filters).

    >>> Conv3DTranspose(8, 3, stride=2, padding="same").output_shape((None, 7, 7, 7, 16))
    (None, 14, 14, 14, 8)
    """

    rank, operation = 3, ops.conv3d_transpose


class DepthwiseConv2D(Sliding):
    """Each channel with kernels of its own, `multiplier` of them: channels do not mix.

    Shapes: x (N, H, W, C), weight (kh, kw, C, multiplier), bias (C * multiplier,), y (N, oh, ow, C * multiplier).
    Other parameters and errors as in `Conv2D`.

    >>> DepthwiseConv2D(3).output_shape((None, 8, 8, 16))
    (None, 6, 6, 16)
    """

    rank = 2

    def __init__(
        self, kernel_size: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid", multiplier: Size = 1,
        dilation: IntOrInts = 1, in_channels: Size | None = None, activation: activations.Activation = None,
        use_bias: bool = True, data_format: DataFormat = None,
        weight_init: init.Init = "glorot_uniform", bias_init: init.Init = "zeros",
        name: str | None = None, dtype: FloatDType = "float32", seed: init.Seed = None,
    ) -> None:  # fmt: skip
        self.multiplier = multiplier
        super().__init__(
            kernel_size, stride, padding, dilation, in_channels, activation, use_bias, data_format, weight_init,
            bias_init, name, dtype, seed,
        )  # fmt: skip
        if in_channels is not None:
            self.create(in_channels)

    def _kernel(self, channels: int) -> tuple[int, ...]:
        return (*ints_of("conv", "kernel_size", self.kernel_size, 2), channels, self.multiplier)

    def _out_channels(self, channels: int) -> int:
        return channels * self.multiplier

    def infer(self, shape: Shape) -> Shape:
        channels = self.fitting_channels(shape)
        with self.in_own_words("conv"):
            window = depthwise_window(
                "conv", shape, self._kernel(channels), self.stride, self.padding, self.dilation, self.data_format
            )
        return self.image(shape, window.out_sizes, self._out_channels(channels))

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        kernel = self._kernel(self.channels(shape))
        area = math.prod(kernel[:2])
        weights = {"weight": Weight(kernel, self.weight_init, (area, area * self.multiplier))}
        biases = {"bias": Weight((self._out_channels(kernel[2]),), self.bias_init)} if self.use_bias else {}
        return weights | biases

    def cost(self, shape: Shape, y: Shape) -> int:
        return math.prod(y) * (2 * math.prod(self._kernel(1)[:2]) + self.use_bias)

    def formula(self, shape: Shape) -> str:
        kh, kw, channels, _ = self._kernel(self.channels(shape))
        kernels = f"{channels}*{self.multiplier}" if self.multiplier > 1 else f"{channels}"
        return f"{kernels}*({kh}*{kw} + 1)" if self.use_bias else f"{kernels}*({kh}*{kw})"

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        yield from self.image_fixes(shape)
        if len(shape) == 4:
            if self.in_channels is not None:
                yield Set("in_channels", self.channels(shape))
            yield from self.fitting("kernel_size", self._kernel(1)[:2], shape)

    def forward(self, x: Array) -> Tensor:
        y = ops.depthwise_conv2d(
            self.ready(x), self.weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation,
            data_format=self.data_format,
        )  # fmt: skip
        return self.activated(y)


class SeparableConv2D(DepthwiseConv2D):
    """A depthwise convolution, then one of 1x1 kernels that mixes the channels: fewer weights than `Conv2D`.

    Shapes: x (N, H, W, C), depthwise (kh, kw, C, multiplier), pointwise (1, 1, C * multiplier, filters), bias
    (filters,), y (N, oh, ow, filters). `pointwise_init` draws the second kernels; None means as `weight_init`. Other
    parameters and errors as in `DepthwiseConv2D`.

    Source: Chollet, "Xception" (2017).

    >>> SeparableConv2D(32, 3).count_parameters((None, 8, 8, 16))
    688
    """

    depthwise: Parameter
    pointwise: Parameter

    def __init__(
        self, filters: Size, kernel_size: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid",
        multiplier: Size = 1, dilation: IntOrInts = 1, in_channels: Size | None = None,
        activation: activations.Activation = None, use_bias: bool = True, data_format: DataFormat = None,
        weight_init: init.Init = "glorot_uniform", bias_init: init.Init = "zeros",
        name: str | None = None, dtype: FloatDType = "float32", seed: init.Seed = None,
        pointwise_init: str | init.Initializer | None = None,
    ) -> None:  # fmt: skip
        self.filters = filters
        self.pointwise_init = pointwise_init
        init.get(weight_init if pointwise_init is None else pointwise_init, "pointwise_init")
        super().__init__(
            kernel_size, stride, padding, multiplier, dilation, in_channels, activation, use_bias, data_format,
            weight_init, bias_init, name, dtype, seed,
        )  # fmt: skip

    def _out_channels(self, channels: int) -> int:
        return self.filters

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        kernel = self._kernel(self.channels(shape))
        area = math.prod(kernel[:2])
        pointwise = self.weight_init if self.pointwise_init is None else self.pointwise_init
        weights = {
            "depthwise": Weight(kernel, self.weight_init, (area, area * self.multiplier)),
            "pointwise": Weight((1, 1, kernel[2] * self.multiplier, self.filters), pointwise),
        }
        return weights | ({"bias": Weight((self.filters,), self.bias_init)} if self.use_bias else {})

    def cost(self, shape: Shape, y: Shape) -> int:
        kh, kw, channels, multiplier = self._kernel(self.channels(shape))
        places = math.prod(y) // self.filters
        return 2 * places * channels * multiplier * (kh * kw + self.filters) + math.prod(y) * self.use_bias

    def formula(self, shape: Shape) -> str:
        kh, kw, channels, multiplier = self._kernel(self.channels(shape))
        inner = f"{channels}*{multiplier}" if multiplier > 1 else f"{channels}"
        return f"{inner}*({kh}*{kw}) + {self.filters}*({inner}{' + 1' if self.use_bias else ''})"

    def forward(self, x: Array) -> Tensor:
        y = ops.separable_conv2d(
            self.ready(x), self.depthwise, self.pointwise, self.bias, stride=self.stride, padding=self.padding,
            dilation=self.dilation, data_format=self.data_format,
        )  # fmt: skip
        return self.activated(y)


class LocallyConnected2D(Conv):
    """A `Conv2D` that does not share weights: each place has kernels of its own. Locality without sharing.

    Shapes: x (N, H, W, C), weight (oh, ow, kh * kw * C, filters), bias (oh, ow, filters), y (N, oh, ow, filters).
    Weights are made for one image size. Parameters are those of `Conv2D`, without groups.

    Raises ShapeError for images of another size than the first.

    >>> LocallyConnected2D(8, 3).count_parameters((None, 10, 10, 1))  # 8*8 places * 8 * (9 + 1)
    5120
    """

    rank, operation = 2, ops.locally_connected2d
    tunable: Mapping[str, tuple[Any, ...]] = {}

    def __init__(
        self, filters: Size, kernel_size: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid",
        dilation: IntOrInts = 1, activation: activations.Activation = None, use_bias: bool = True,
        data_format: DataFormat = None, weight_init: init.Init = "glorot_uniform",
        bias_init: init.Init = "zeros", name: str | None = None, dtype: FloatDType = "float32",
        seed: init.Seed = None,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, stride, padding, dilation, 1, None, activation, use_bias, data_format,
            weight_init, bias_init, name, dtype, seed,
        )  # fmt: skip
        self.image_shape: tuple[int, ...] | None = None  # (H, W, C) or (C, H, W) that the weights were made for

    def infer(self, shape: Shape) -> Shape:
        y = super().infer(shape)
        if self.image_shape not in (None, shape[1:]):
            raise ShapeError(f"got images {shape[1:]}, its weights were made for {self.image_shape}")
        return y

    def settle(self, shape: Shape) -> None:
        super().settle(shape)
        self.image_shape = shape[1:]

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        if self.image_shape in (None, shape[1:]):
            yield from super().fixes(shape)
        else:
            yield Exchange(Conv2D)

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        places, patch = self._out_sizes(shape), math.prod(self._sizes()) * self.channels(shape)
        weights = {"weight": Weight((*places, patch, self.filters), self.weight_init, (patch, self.filters))}
        return weights | ({"bias": Weight((*places, self.filters), self.bias_init)} if self.use_bias else {})

    def formula(self, shape: Shape) -> str:
        oh, ow = self._out_sizes(shape)
        patch = "*".join(map(str, (*self._sizes(), self.channels(shape))))
        return f"{oh}*{ow}*{self.filters}*({patch}{' + 1' if self.use_bias else ''})"

    def forward(self, x: Array) -> Tensor:
        y = ops.locally_connected2d(
            self.ready(x), self.weight, self.bias, kernel_size=self._sizes(), stride=self.stride,
            padding=self.padding, dilation=self.dilation, data_format=self.data_format,
        )  # fmt: skip
        return self.activated(y)
