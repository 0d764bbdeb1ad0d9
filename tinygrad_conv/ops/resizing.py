"""Images of another size: pixels interpolated, and channels dealt out as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, prod
from typing import Annotated, Any

import numpy as np

from ..arguments import LATER, Size, afford, checked, one_of
from ..engine.modes import constant
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels.spatial import DataFormat, IntOrInts, channels_first, ints_of
from .convolution import Real, to_first, to_last
from .indexing import take
from .linalg import tensordot
from .shape import astype, moveaxis, permute_dims, reshape


@checked
def resize_images(
    x: Real, size: IntOrInts | None = None, scale: Annotated[float | Sequence[float] | None, LATER] = None,
    method: Annotated[str, one_of("bilinear", "nearest")] = "bilinear", align_corners: bool = False,
    data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """Images with other spatial sizes, along any number of axes: (N, *spatial, C) to (N, *size, C).

    Parameters
    ----------
    size : int, or one for each spatial axis
    scale : number, or one for each spatial axis
        In place of `size`: an axis of n elements gets ⌊n scale⌋.
    method : "bilinear" or "nearest"
        Between the neighbours along each axis (so "bilinear" is linear, or trilinear, for one axis or three), or the
        nearest pixel. There is no smoothing before an image gets smaller.
    align_corners : bool
        Pixels have their centres at 0.5, 1.5, ...; so element i of the result is read at (i + 0.5) / scale - 0.5, and
        outside of the outer centres is the outer pixel. With `align_corners` (of "bilinear" alone) the outer centres
        come to lie on the outer centres: it is read at i (n - 1) / (size - 1).

    As PyTorch's `interpolate` with "bilinear" or "nearest-exact", and as Keras' and TensorFlow's `resize`.
    Derivative: the transpose, each pixel gets its shares of the gradient.

    Raises ArgumentError unless one of `size` and `scale` is given, ShapeError for fewer than 3 axes or an empty image.

    >>> resize_images(Tensor([[[0.0], [4.0]]]), 4).reshape(4)
    Tensor([0., 1., 3., 4.])
    """
    if len(x.shape) < 3:
        raise ShapeError(f"resize_images: expected at least 3 axes (N, spatial axes, C), got shape {x.shape}")
    if (size is None) == (scale is None):
        raise ArgumentError(f"resize_images: expected size or scale, and not both, got size={size} and scale={scale}")
    if align_corners and method == "nearest":
        raise ArgumentError('resize_images: expected method="bilinear" with align_corners, got "nearest"')
    first = channels_first(data_format)
    y = to_last(x, first)
    ins, rank = y.shape[1:-1], len(x.shape) - 2
    if 0 in ins:
        raise ShapeError(f"resize_images: expected at least 1 element along the spatial axes, got {ins}")
    factors = _factors(scale, rank) if size is None else (None,) * rank
    sizes = ints_of("resize_images", "size", size, rank) if size is not None else _scaled(ins, factors)
    afford("resize_images", (y.shape[0], *sizes, y.shape[-1]), y.dtype.itemsize)
    if method == "bilinear" and y.dtype.kind not in "f":
        y = astype(y, np.float64)
    for axis, (n, out, factor) in enumerate(zip(ins, sizes, factors, strict=True), start=1):
        step = n / out if factor is None else 1 / factor
        if method == "nearest":
            y = take(y, np.minimum(np.floor((np.arange(out) + 0.5) * step), n - 1).astype(np.intp), axis=axis)
        elif out != n or factor is not None:
            places = np.linspace(0, n - 1, out) if align_corners else (np.arange(out) + 0.5) * step - 0.5
            y = moveaxis(tensordot(constant(_shares(places, n, y.dtype)), y, axes=(1, axis)), 0, axis)
    return to_first(y, first)


def _factors(scale: Any, rank: int) -> tuple[Any, ...]:
    values = tuple(scale) if isinstance(scale, (tuple, list)) else (scale,) * rank
    if len(values) != rank or not all(isinstance(v, (int, float)) and 0 < v < np.inf for v in values):
        raise ArgumentError(f"resize_images: expected scale > 0, one or {rank} numbers, got {scale}; use scale=2")
    return values


def _scaled(ins: Sequence[int], factors: Sequence[Any]) -> tuple[int, ...]:
    sizes = tuple(floor(n * factor) for n, factor in zip(ins, factors, strict=True))
    if min(sizes) < 1:
        raise ShapeError(f"resize_images: expected a scale that leaves pixels of {tuple(ins)}, got {tuple(factors)}")
    return sizes


def _shares(places: Any, n: int, dtype: Any) -> Any:
    """How much of each of n elements is read at each place between them, (places, n)."""
    places = np.clip(places, 0, n - 1)
    low = np.floor(places).astype(np.intp)
    part, rows = places - low, np.arange(len(places))
    shares = np.zeros((len(places), n), dtype)
    shares[rows, low] = 1 - part
    shares[rows, np.minimum(low + 1, n - 1)] += part
    return shares


# ------------------------------------------------------------------------------------------------------------------
# Channels as pixels


@checked
def pixel_shuffle(x: Array, factor: Size, data_format: DataFormat = "channels_last") -> Tensor:
    """Channels dealt out as pixels: (N, H, W, C r²) to (N, H r, W r, C), r being the factor; any spatial axes.

    Channel c r² + i r + j becomes channel c of the pixel (i, j) in its r by r block, as in PyTorch, wherever the
    channels are. (TensorFlow's `depth_to_space` counts (i r + j) C + c.) Derivative: `pixel_unshuffle`.
    Source: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel CNN" (2016).

    Raises ShapeError for fewer than 3 axes, or channels that r² (r to the number of spatial axes) does not divide.

    >>> pixel_shuffle(Tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2).reshape(4)
    Tensor([1., 2., 3., 4.])
    """
    first = channels_first(data_format)
    images = _images("pixel_shuffle", x, first)
    n, *ins, channels = images.shape
    rank = len(ins)
    if channels % factor**rank:
        wanted = f"{factor}**{rank} = {factor**rank}"
        raise ShapeError(f"pixel_shuffle: expected channels that {wanted} divides, got {channels} (x {x.shape})")
    blocks = reshape(images, (n, *ins, channels // factor**rank, *(factor,) * rank))
    pairs = [axis for k in range(rank) for axis in (1 + k, rank + 2 + k)]
    y = permute_dims(blocks, (0, *pairs, rank + 1))
    return to_first(reshape(y, (n, *(size * factor for size in ins), channels // factor**rank)), first)


@checked
def pixel_unshuffle(x: Array, factor: Size, data_format: DataFormat = "channels_last") -> Tensor:
    """Pixels gathered as channels: (N, H r, W r, C) to (N, H, W, C r²), the opposite of `pixel_shuffle`.

    Raises ShapeError for fewer than 3 axes, or sizes that the factor does not divide.

    >>> pixel_unshuffle(Tensor([[[1.0], [2.0], [3.0], [4.0]]]), 2)
    Tensor([[[1., 2.],
             [3., 4.]]])
    """
    first = channels_first(data_format)
    images = _images("pixel_unshuffle", x, first)
    n, *ins, channels = images.shape
    rank = len(ins)
    if any(size % factor for size in ins):
        raise ShapeError(f"pixel_unshuffle: expected sizes that {factor} divides, got {tuple(ins)} (x {x.shape})")
    apart = [size for whole in ins for size in (whole // factor, factor)]
    blocks = reshape(images, (n, *apart, channels))
    y = permute_dims(blocks, (0, *range(1, 2 * rank, 2), 2 * rank + 1, *range(2, 2 * rank + 1, 2)))
    return to_first(reshape(y, (n, *apart[::2], channels * prod((factor,) * rank))), first)


def _images(what: str, x: Array, first: bool) -> Any:
    if len(x.shape) < 3:
        raise ShapeError(f"{what}: expected at least 3 axes (N, spatial axes, C), got shape {x.shape}")
    return to_last(x, first)


__all__ = ["pixel_shuffle", "pixel_unshuffle", "resize_images"]
