"""Pooling layers: images made smaller by taking the maximum or mean of each patch. They have no weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..engine.tensor import Array, Tensor
from ..kernels.geometry import pool_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding, ints_of
from ..ops import pooling as ops
from .fixes import Edit, Remove, Shape
from .image import Image, check_window
from .resizing import Resizing

__all__ = [
    "AvgPool1D", "AvgPool2D", "AvgPool3D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D",
    "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D", "MaxPool1D", "MaxPool2D", "MaxPool3D",
]  # fmt: skip


TUNABLE: Mapping[str, tuple[Any, ...]] = {
    "padding": ("same", "valid"),
    "pool_size": (1, 2, 3, 4, 5, 6),
    "stride": (1, 2, 3),
}


class Pool(Image):
    """What all poolings share."""

    tunable = TUNABLE
    operation: Callable[..., Any]
    extra_flops = 0  # per output

    def __init__(
        self, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
        dilation: IntOrInts = 1, data_format: DataFormat = None, name: str | None = None, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name)
        what, self.ceil_mode = type(self).__name__, ceil_mode
        self.pool_size, self.stride, self.padding, self.dilation = pool_size, stride, padding, dilation
        step = {} if stride is None else {"stride": stride}
        check_window(what, self.rank, padding, pool_size=pool_size, dilation=dilation, **step)
        self.data_format = data_format

    def settle(self, shape: Shape) -> None:
        """Pooling takes any number of channels."""

    def infer(self, shape: Shape) -> Shape:
        channels = self.channels(shape)
        with self.in_own_words("pool"):
            window = pool_window(
                "pool", self.rank, shape, self.pool_size, self.stride, self.padding, self.dilation, self.data_format,
                self.ceil_mode,
            )  # fmt: skip
        return self.image(shape, window.out_sizes, channels)

    def cost(self, shape: Shape, y: Shape) -> int:
        cells = math.prod(ints_of("", "pool_size", self.pool_size, self.rank))
        return math.prod(y) * (cells + self.extra_flops)

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        yield from self.image_fixes(shape)
        if len(shape) == self.rank + 2:
            sizes = ints_of("", "pool_size", self.pool_size, self.rank)
            if max(shape[2:] if self.first else shape[1:-1]) == 1:
                yield Remove()
            yield from self.fitting("pool_size", sizes, shape)
        yield Remove()

    def _options(self) -> dict[str, Any]:
        """What the operation is called with."""
        return {
            "pool_size": self.pool_size, "stride": self.stride, "padding": self.padding, "dilation": self.dilation,
            "data_format": self.data_format, "ceil_mode": self.ceil_mode,
        }  # fmt: skip

    def forward(self, x: Array) -> Tensor:
        y: Tensor = type(self).operation(self.ready(x), **self._options())
        return y


class MaxPool2D(Pool):
    """The maximum of each patch of each channel.

    Parameters
    ----------
    pool_size : int or (kh, kw)
    stride : int or one per axis, optional
        The pool size when None, so that patches do not overlap.
    padding : as in `Conv2D`; padding is never the maximum
    dilation, data_format, name : as in `Conv2D`
    ceil_mode : bool
        Let rows and columns that are too few for a patch have one all the same, as `tinygrad_conv.max_pool2d` says.

    Shapes: x (N, H, W, C), y (N, oh, ow, C) with the sizes of `Conv2D`; with `ceil_mode` rounded up.

    Raises ShapeError when no patch fits.

    >>> MaxPool2D().output_shape((None, 28, 28, 8))
    (None, 14, 14, 8)
    """

    rank, operation = 2, ops.max_pool2d


class MaxPool1D(Pool):
    """`MaxPool2D` along one axis: x (N, L, C).

    >>> MaxPool1D(2)([[[1.0], [5.0], [2.0], [3.0]]]).reshape(2)
    Tensor([5., 3.])
    """

    rank, operation = 1, ops.max_pool1d


class MaxPool3D(Pool):
    """`MaxPool2D` over three axes: x (N, D, H, W, C).

    >>> MaxPool3D(2).output_shape((None, 8, 28, 28, 16))
    (None, 4, 14, 14, 16)
    """

    rank, operation = 3, ops.max_pool3d


class AvgPool(Pool):
    """What average poolings share."""

    extra_flops = 1

    def __init__(
        self, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
        dilation: IntOrInts = 1, data_format: DataFormat = None, count_include_pad: bool = False,
        name: str | None = None, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(pool_size, stride, padding, dilation, data_format, name, ceil_mode)
        self.count_include_pad = count_include_pad

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "count_include_pad": self.count_include_pad}


class AvgPool2D(AvgPool):
    """The mean of each patch of each channel; cells of padding do not count unless `count_include_pad`.

    Parameters, shapes and errors are those of `MaxPool2D`.

    >>> AvgPool2D(3, stride=2, padding="same").output_shape((None, 28, 28, 8))
    (None, 14, 14, 8)
    """

    rank, operation = 2, ops.avg_pool2d


class AvgPool1D(AvgPool):
    """`AvgPool2D` along one axis: x (N, L, C).

    >>> AvgPool1D(2)([[[1.0], [5.0], [2.0], [3.0]]]).reshape(2)
    Tensor([3. , 2.5])
    """

    rank, operation = 1, ops.avg_pool1d


class AvgPool3D(AvgPool):
    """`AvgPool2D` over three axes: x (N, D, H, W, C).

    >>> AvgPool3D(2).output_shape((None, 8, 28, 28, 16))
    (None, 4, 14, 14, 16)
    """

    rank, operation = 3, ops.avg_pool3d


class GlobalPool(Resizing):
    """What poolings of whole images share."""

    operation: Callable[..., Any]

    def __init__(self, keepdims: bool = False, data_format: DataFormat = None, name: str | None = None) -> None:
        super().__init__(name)
        self.keepdims, self.data_format = keepdims, data_format

    def infer(self, shape: Shape) -> Shape:
        channels = self.channels(shape)
        return self.image(shape, (1,) * self.rank, channels) if self.keepdims else (shape[0], channels)

    def forward(self, x: Array) -> Tensor:
        y: Tensor = type(self).operation(self.ready(x), keepdims=self.keepdims, data_format=self.data_format)
        return y


class GlobalMaxPool2D(GlobalPool):
    """The maximum of each channel over the image: (N, H, W, C) to (N, C), or (N, 1, 1, C) with `keepdims`.

    >>> GlobalMaxPool2D().output_shape((None, 7, 7, 64))
    (None, 64)
    """

    rank, operation = 2, ops.global_max_pool


class GlobalMaxPool1D(GlobalPool):
    """`GlobalMaxPool2D` along one axis: (N, L, C) to (N, C).

    >>> GlobalMaxPool1D()([[[1.0], [5.0], [3.0]]])
    Tensor([[5.]])
    """

    rank, operation = 1, ops.global_max_pool


class GlobalMaxPool3D(GlobalPool):
    """`GlobalMaxPool2D` over three axes: (N, D, H, W, C) to (N, C).

    >>> GlobalMaxPool3D().output_shape((None, 4, 7, 7, 64))
    (None, 64)
    """

    rank, operation = 3, ops.global_max_pool


class GlobalAvgPool2D(GlobalPool):
    """The mean of each channel over the image: (N, H, W, C) to (N, C), or (N, 1, 1, C) with `keepdims`.

    Source: Lin et al., "Network in network" (2013).

    >>> GlobalAvgPool2D().output_shape((None, 7, 7, 64))
    (None, 64)
    """

    rank, operation = 2, ops.global_avg_pool


class GlobalAvgPool1D(GlobalPool):
    """`GlobalAvgPool2D` along one axis: (N, L, C) to (N, C).

    >>> GlobalAvgPool1D()([[[1.0], [5.0], [3.0]]])
    Tensor([[3.]])
    """

    rank, operation = 1, ops.global_avg_pool


class GlobalAvgPool3D(GlobalPool):
    """`GlobalAvgPool2D` over three axes: (N, D, H, W, C) to (N, C).

    >>> GlobalAvgPool3D().output_shape((None, 4, 7, 7, 64))
    (None, 64)
    """

    rank, operation = 3, ops.global_avg_pool
