"""Windows of arrays as elements of their own: sliding windows of any axes, and of images as rows (im2col)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import Axes, ShapeLike, checked
from ..engine.bare import shape_of
from ..engine.modes import constant
from ..engine.tensor import Array, Tensor
from ..errors import ShapeError
from ..kernels.geometry import conv_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding, channels_first, ints_of
from .convolution import Real, patches, patches_transpose, to_first, to_last
from .indexing import getitem
from .reductions import normalize_axes


@checked
def sliding_window_view(x: Array, window_shape: ShapeLike, axis: Axes = None) -> Tensor:
    """All windows of a size along axes (all when None): these axes get shorter, the windows' own axes come last.

    Not a view of x's memory, but the elements themselves. Derivative: each element gets the sum of its windows'.

    >>> sliding_window_view(Tensor([1.0, 2.0, 3.0]), 2)
    Tensor([[1., 2.],
            [2., 3.]])
    """
    shape = shape_of(x)
    named = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = [normalize_axes(k, len(shape))[0] for k in named]  # one may be there twice
    if len(axes) != len(window_shape):
        raise ShapeError(f"sliding_window_view: expected a size for each of {len(axes)} axes, got {window_shape}")
    left = list(shape)
    for k, size in zip(axes, window_shape, strict=True):
        left[k] -= size - 1
    if min(left, default=1) < 1 and 0 not in shape:
        raise ShapeError(f"sliding_window_view: expected windows that fit into {shape}, got {window_shape}")
    ndim = len(shape) + len(axes)
    index = [_along(k, n, ndim) for k, n in enumerate(left)]
    for j, (k, size) in enumerate(zip(axes, window_shape, strict=True)):
        index[k] = index[k] + _along(len(shape) + j, size, ndim)
    return getitem(x, tuple(constant(places) for places in index))


def _along(axis: int, n: int, ndim: int) -> Any:
    return np.arange(max(n, 0)).reshape([-1 if k == axis else 1 for k in range(ndim)])


@checked
def im2col(
    x: Real, kernel: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid", dilation: IntOrInts = 1,
    data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """What is under each window of an image, as one vector: (N, *spatial, C) to (N, *windows, prod(kernel) * C).

    A convolution is this times the kernel as a matrix: ``conv2d(x, w) == im2col(x, (kh, kw)) @ w.reshape(-1, C_out)``.
    Arguments are those of `conv2d`; the padding is zeros. Derivative: `col2im`.

    >>> im2col(Tensor([[[1.0], [2.0], [3.0]]]), 2)
    Tensor([[[1., 2.],
             [2., 3.]]])
    """
    window = _window("im2col", x.shape, kernel, stride, padding, dilation, data_format)
    return patches(to_last(x, channels_first(data_format)), window=window)


@checked
def col2im(
    x: Array, shape: ShapeLike, kernel: IntOrInts, stride: IntOrInts = 1, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """The windows added back to where they came from, as an image of `shape`: the transpose of `im2col`.

    Where windows overlap, elements add up. Derivative: `im2col`.

    >>> col2im(Tensor([[[1.0, 2.0], [2.0, 3.0]]]), (1, 3, 1), 2)
    Tensor([[[1.],
             [4.],
             [3.]]])
    """
    window = _window("col2im", shape, kernel, stride, padding, dilation, data_format)
    first = channels_first(data_format)
    channels = shape[1] if first else shape[-1]
    expected = (shape[0], *window.out_sizes, int(np.prod(window.kernel)) * channels)
    if shape_of(x) != expected:
        raise ShapeError(f"col2im: expected columns {expected} for an image {shape}, got {shape_of(x)}")
    return to_first(patches_transpose(x, window=window), first)


def _window(what: str, shape: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, data_format: Any) -> Any:
    rank = len(shape) - 2
    if rank < 1:
        raise ShapeError(f"{what}: expected at least 3 axes (N, spatial axes, C), got shape {tuple(shape)}")
    channels = shape[1] if channels_first(data_format) else shape[-1]
    w_shape = (*ints_of(what, "kernel", kernel, rank), channels, 1)
    return conv_window(what, rank, shape, w_shape, stride, padding, dilation, 1, data_format)


__all__ = ["col2im", "im2col", "sliding_window_view"]
