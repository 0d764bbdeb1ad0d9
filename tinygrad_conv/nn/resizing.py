"""Layers that give images another size: pooling to a given one, upsampling, channels as pixels; without weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from ..arguments import Size, one_of
from ..engine.tensor import Array, Tensor
from ..errors import ShapeError
from ..kernels.spatial import DataFormat, IntOrInts, ints_of
from ..ops import adaptive, resizing
from .fixes import Edit, Remove, Shape
from .image import Image

__all__ = [
    "AdaptiveAvgPool1D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "AdaptiveMaxPool1D", "AdaptiveMaxPool2D",
    "AdaptiveMaxPool3D", "PixelShuffle2D", "UpSampling1D", "UpSampling2D", "UpSampling3D",
]  # fmt: skip


class Resizing(Image):
    """What these layers share."""

    def settle(self, shape: Shape) -> None:
        """They take any number of channels."""

    def cost(self, shape: Shape, y: Shape) -> int:
        return math.prod(shape)

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        yield from self.image_fixes(shape)
        yield Remove()


class AdaptivePool(Resizing):
    """What poolings to a given size share."""

    operation: Callable[..., Any]

    def __init__(self, output_size: IntOrInts, data_format: DataFormat = None, name: str | None = None) -> None:
        super().__init__(name)
        ints_of(type(self).__name__, "output_size", output_size, self.rank)
        self.output_size, self.data_format = output_size, data_format

    def infer(self, shape: Shape) -> Shape:
        return self.image(shape, ints_of("", "output_size", self.output_size, self.rank), self.channels(shape))

    def forward(self, x: Array) -> Tensor:
        y: Tensor = type(self).operation(self.ready(x), self.output_size, data_format=self.data_format)
        return y


class AdaptiveAvgPool2D(AdaptivePool):
    """Means over windows that cut an image of any size to `output_size`: see `tinygrad_conv.adaptive_avg_pool2d`.

    Shapes: x (N, H, W, C), y (N, oh, ow, C).

    >>> AdaptiveAvgPool2D(7).output_shape((None, 10, 16, 8))
    (None, 7, 7, 8)
    """

    rank, operation = 2, adaptive.adaptive_avg_pool2d


class AdaptiveAvgPool1D(AdaptivePool):
    """`AdaptiveAvgPool2D` along one axis: x (N, L, C).

    >>> AdaptiveAvgPool1D(2)([[[1.0], [2.0], [6.0]]]).reshape(2)
    Tensor([1.5, 4. ])
    """

    rank, operation = 1, adaptive.adaptive_avg_pool1d


class AdaptiveAvgPool3D(AdaptivePool):
    """`AdaptiveAvgPool2D` over three axes: x (N, D, H, W, C).

    >>> AdaptiveAvgPool3D((1, 7, 7)).output_shape((None, 5, 10, 16, 8))
    (None, 1, 7, 7, 8)
    """

    rank, operation = 3, adaptive.adaptive_avg_pool3d


class AdaptiveMaxPool2D(AdaptivePool):
    """Maxima over windows that cut an image of any size to `output_size`: see `tinygrad_conv.adaptive_max_pool2d`.

    Shapes: x (N, H, W, C), y (N, oh, ow, C).

    >>> AdaptiveMaxPool2D(7).output_shape((None, 10, 16, 8))
    (None, 7, 7, 8)
    """

    rank, operation = 2, adaptive.adaptive_max_pool2d


class AdaptiveMaxPool1D(AdaptivePool):
    """`AdaptiveMaxPool2D` along one axis: x (N, L, C).

    >>> AdaptiveMaxPool1D(2)([[[1.0], [2.0], [6.0]]]).reshape(2)
    Tensor([2., 6.])
    """

    rank, operation = 1, adaptive.adaptive_max_pool1d


class AdaptiveMaxPool3D(AdaptivePool):
    """`AdaptiveMaxPool2D` over three axes: x (N, D, H, W, C).

    >>> AdaptiveMaxPool3D((1, 7, 7)).output_shape((None, 5, 10, 16, 8))
    (None, 1, 7, 7, 8)
    """

    rank, operation = 3, adaptive.adaptive_max_pool3d


class UpSampling(Resizing):
    """What upsamplings share."""

    def __init__(
        self, size: IntOrInts = 2, method: Annotated[str, one_of("nearest", "bilinear")] = "nearest",
        data_format: DataFormat = None, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        ints_of(type(self).__name__, "size", size, self.rank)
        self.size, self.method, self.data_format = size, method, data_format

    def infer(self, shape: Shape) -> Shape:
        channels, factors = self.channels(shape), ints_of("", "size", self.size, self.rank)
        ins = shape[2:] if self.first else shape[1:-1]
        return self.image(shape, tuple(n * factor for n, factor in zip(ins, factors, strict=True)), channels)

    def forward(self, x: Array) -> Tensor:
        images = self.ready(x)
        size = self.infer(images.shape)[2:] if self.first else self.infer(images.shape)[1:-1]
        return resizing.resize_images(images, size, method=self.method, data_format=self.data_format)


class UpSampling2D(UpSampling):
    """Images larger by whole factors, as `tinygrad_conv.resize_images`: each pixel repeated, or interpolated.

    Parameters
    ----------
    size : int or (for H, for W)
        How many times as large.
    method : "nearest" or "bilinear"
    data_format, name : as in `Conv2D`

    Shapes: x (N, H, W, C), y (N, H * size, W * size, C).

    >>> UpSampling2D().output_shape((None, 7, 7, 8))
    (None, 14, 14, 8)
    """

    rank = 2


class UpSampling1D(UpSampling):
    """`UpSampling2D` along one axis: x (N, L, C).

    >>> UpSampling1D(2)([[[1.0], [5.0]]]).reshape(4)
    Tensor([1., 1., 5., 5.])
    """

    rank = 1


class UpSampling3D(UpSampling):
    """`UpSampling2D` over three axes: x (N, D, H, W, C).

    >>> UpSampling3D(2).output_shape((None, 4, 7, 7, 8))
    (None, 8, 14, 14, 8)
    """

    rank = 3


class PixelShuffle2D(Resizing):
    """Channels dealt out as pixels, as `tinygrad_conv.pixel_shuffle`: x (N, H, W, C r²), y (N, H r, W r, C).

    Raises ShapeError for channels that r², r being the factor, does not divide.

    >>> PixelShuffle2D(2).output_shape((None, 7, 7, 8))
    (None, 14, 14, 2)
    """

    rank = 2

    def __init__(self, factor: Size, data_format: DataFormat = None, name: str | None = None) -> None:
        super().__init__(name)
        self.factor, self.data_format = factor, data_format

    def infer(self, shape: Shape) -> Shape:
        channels, r = self.channels(shape), self.factor
        if channels % (r * r):
            raise ShapeError(f"got {channels} channels, it expects a multiple of {r * r}")
        ins = shape[2:] if self.first else shape[1:-1]
        return self.image(shape, tuple(n * r for n in ins), channels // (r * r))

    def forward(self, x: Array) -> Tensor:
        return resizing.pixel_shuffle(self.ready(x), self.factor, data_format=self.data_format)
