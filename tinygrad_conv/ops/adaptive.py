"""Pooling to a given size, with windows of uneven sizes, and what undoes max pooling."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..arguments import afford, checked
from ..engine.bare import array_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels.geometry import pool_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding, channels_first, ints_of, padding_of
from .convolution import Real, to_first, to_last
from .indexing import getitem, set_at
from .leaving import data_of
from .linalg import tensordot
from .pooling import maximum_of, pool_mean, pool_places
from .shape import moveaxis, reshape

# ------------------------------------------------------------------------------------------------------------------
# To a given size


def _bounds(n: int, out: int) -> Any:
    """Where each of so many windows over n elements begins and ends: ⌊i n / out⌋ and ⌈(i + 1) n / out⌉."""
    i = np.arange(out)
    return i * n // out, -(-(i + 1) * n // out)


def _prepared(what: str, rank: int, x: Array, output_size: IntOrInts, data_format: DataFormat) -> Any:
    """Images with channels last, the sizes they are to have, and the window of even ones (None if they are uneven)."""
    if len(x.shape) != rank + 2:
        raise ShapeError(f"{what}: expected x with {rank + 2} axes (N, spatial axes, C), got shape {x.shape}")
    sizes = ints_of(what, "output_size", output_size, rank)
    images = to_last(x, channels_first(data_format))
    afford(what, (images.shape[0], *sizes, images.shape[-1]))
    ins = images.shape[1:-1]
    if 0 in ins:
        raise ShapeError(f"{what}: expected at least 1 element along the spatial axes, got {ins} (x {x.shape})")
    if any(n % out for n, out in zip(ins, sizes, strict=True)):
        return images, sizes, None
    kernel = tuple(n // out for n, out in zip(ins, sizes, strict=True))
    return images, sizes, pool_window(what, rank, images.shape, kernel, None, "valid", 1, None)


def _adaptive_avg_pool(what: str, rank: int, x: Array, output_size: IntOrInts, data_format: DataFormat) -> Any:
    images, sizes, window = _prepared(what, rank, x, output_size, data_format)
    if window is not None:
        y = pool_mean(images, window=window)
    else:
        y = images
        for axis, out in enumerate(sizes, start=1):
            start, stop = (bound[:, None] for bound in _bounds(y.shape[axis], out))
            at = np.arange(y.shape[axis])
            shares = ((start <= at) & (at < stop)) / (stop - start)
            shares = constant(shares.astype(np.result_type(y.dtype, np.float32)))
            y = moveaxis(tensordot(shares, y, axes=(1, axis)), 0, axis)
    return to_first(y, channels_first(data_format))


def _adaptive_max_pool(
    what: str, rank: int, x: Array, output_size: IntOrInts, data_format: DataFormat, return_indices: bool
) -> Any:
    images, sizes, window = _prepared(what, rank, x, output_size, data_format)
    first = channels_first(data_format)
    if window is not None and not return_indices:
        return to_first(maximum_of(images, window), first)
    places = _places(images, sizes) if window is None else pool_places(images, window)
    n, channels = images.shape[0], images.shape[-1]
    flat = reshape(images, (n, -1, channels))
    y = reshape(getitem(flat, _index(reshape(places, (n, -1, channels)))), (n, *sizes, channels))
    return (to_first(y, first), to_first(places, first)) if return_indices else to_first(y, first)


@plain
def _places(x: Array, sizes: tuple[int, ...]) -> Any:
    """Where in the image the first maximum of each window is, counted in row-major order."""
    ins = x.shape[1:-1]
    different, which = zip(*map(_different, ins, sizes), strict=True)  # of more windows than elements, many are alike
    found = np.empty((len(x), *map(len, different), x.shape[-1]), np.intp)
    numbers = np.arange(prod(ins)).reshape(ins)
    for cell in np.ndindex(found.shape[1:-1]):
        region = tuple(slice(*windows[k]) for windows, k in zip(different, cell, strict=True))
        within = x[(slice(None), *region)].reshape(len(x), -1, x.shape[-1]).argmax(1)
        found[(slice(None), *cell)] = numbers[region].reshape(-1)[within]
    return found[(slice(None), *np.ix_(*which))]


def _different(n: int, out: int) -> tuple[Any, Any]:
    """The windows of `_bounds`, each once; and which of them each is."""
    windows = np.stack(_bounds(n, out), axis=1)
    new = np.r_[True, (windows[1:] != windows[:-1]).any(axis=1)][:out]
    return windows[new], np.cumsum(new) - 1


def _index(places: Any) -> tuple[Any, Any, Any]:
    """The index that picks `places` (N, P, C) out of (N, elements, C)."""
    n, _, channels = places.shape
    return constant(np.arange(n)[:, None, None]), places, constant(np.arange(channels))


@checked
def adaptive_avg_pool1d(x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last") -> Tensor:
    """`adaptive_avg_pool2d` along one axis: (N, L, C) to (N, output_size, C).

    >>> adaptive_avg_pool1d(Tensor([[[1.0], [2.0], [6.0]]]), 2).reshape(2)
    Tensor([1.5, 4. ])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, x, output_size, data_format)


@checked
def adaptive_avg_pool2d(x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last") -> Tensor:
    """Means over windows that cut an image of any size to a given one: (N, H, W, C) to (N, oh, ow, C).

    Along an axis of n elements, window i is from ⌊i n / out⌋ to ⌈(i + 1) n / out⌉: all of one size if out divides n,
    else of two, and they may overlap by one. Derivative: 1 over the number of elements of the window.

    Raises ShapeError for another number of axes or an empty image.

    >>> adaptive_avg_pool2d(np.ones((2, 7, 5, 3)), (3, 1)).shape
    (2, 3, 1, 3)
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, x, output_size, data_format)


@checked
def adaptive_avg_pool3d(x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last") -> Tensor:
    """`adaptive_avg_pool2d` over three axes: (N, D, H, W, C) to (N, od, oh, ow, C).

    >>> adaptive_avg_pool3d(Tensor(np.arange(8.0).reshape(1, 2, 2, 2, 1)), (1, 1, 2)).reshape(2)
    Tensor([3., 4.])
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, x, output_size, data_format)


@checked
def adaptive_max_pool1d(
    x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last", return_indices: bool = False
) -> Any:
    """`adaptive_max_pool2d` along one axis: (N, L, C) to (N, output_size, C).

    >>> adaptive_max_pool1d(Tensor([[[1.0], [2.0], [6.0]]]), 2).reshape(2)
    Tensor([2., 6.])
    """
    return _adaptive_max_pool("adaptive_max_pool1d", 1, x, output_size, data_format, return_indices)


@checked
def adaptive_max_pool2d(
    x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last", return_indices: bool = False
) -> Any:
    """Maxima over the windows of `adaptive_avg_pool2d`; with `return_indices`, also where they are, as `max_pool2d`.

    Derivative: 1 at the first maximum of each window in row-major order.

    >>> adaptive_max_pool2d(Tensor(np.arange(12.0).reshape(1, 3, 4, 1)), (1, 2)).reshape(2)
    Tensor([ 9., 11.])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, x, output_size, data_format, return_indices)


@checked
def adaptive_max_pool3d(
    x: Real, output_size: IntOrInts, data_format: DataFormat = "channels_last", return_indices: bool = False
) -> Any:
    """`adaptive_max_pool2d` over three axes: (N, D, H, W, C) to (N, od, oh, ow, C).

    >>> adaptive_max_pool3d(Tensor(np.arange(8.0).reshape(1, 2, 2, 2, 1)), (1, 1, 2)).reshape(2)
    Tensor([6., 7.])
    """
    return _adaptive_max_pool("adaptive_max_pool3d", 3, x, output_size, data_format, return_indices)


# ------------------------------------------------------------------------------------------------------------------
# Back from maxima


def _max_unpool(
    what: str, rank: int, x: Array, indices: Array, pool_size: IntOrInts, stride: IntOrInts | None, padding: Padding,
    output_size: IntOrInts | None, data_format: DataFormat,
) -> Any:  # fmt: skip
    places = np.asarray(data_of(what, indices))
    if len(x.shape) != rank + 2 or places.shape != x.shape:
        raise ShapeError(f"{what}: expected x with {rank + 2} axes and indices alike, got {x.shape} and {places.shape}")
    first = channels_first(data_format)
    images, places = to_last(x, first), array_of(to_last(places, first))
    if output_size is None:
        kernel = ints_of(what, "pool_size", pool_size, rank)
        steps = kernel if stride is None else ints_of(what, "stride", stride, rank)
        pads = padding_of(what, padding, rank)
        if pads == "same":
            raise ArgumentError(f'{what}: expected output_size with padding="same", which leaves it open')
        given = [(0, 0)] * rank if isinstance(pads, str) else pads
        ins = zip(images.shape[1:-1], kernel, steps, given, strict=True)
        sizes = tuple((n - 1) * s + k - before - after for n, k, s, (before, after) in ins)
    else:
        sizes = ints_of(what, "output_size", output_size, rank)
    if places.dtype.kind not in "iu" or (places.size and not 0 <= places.min() <= places.max() < prod(sizes)):
        raise ArgumentError(f"{what}: expected indices as integers from 0 to {prod(sizes) - 1}, the places in {sizes}")
    n, channels = images.shape[0], images.shape[-1]
    index = _index(places.reshape(n, -1, channels))
    zeros = constant(np.zeros((n, prod(sizes), channels), images.dtype))
    y = reshape(set_at(zeros, index, reshape(images, (n, -1, channels))), (n, *sizes, channels))
    return to_first(y, first)


@checked
def max_unpool1d(
    x: Real, indices: Array, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    output_size: IntOrInts | None = None, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`max_unpool2d` along one axis.

    >>> from tinygrad_conv import max_pool1d
    >>> y, places = max_pool1d(Tensor([[[1.0], [3.0], [2.0], [0.0]]]), return_indices=True)
    >>> max_unpool1d(y, places).reshape(4)
    Tensor([0., 3., 2., 0.])
    """
    return _max_unpool("max_unpool1d", 1, x, indices, pool_size, stride, padding, output_size, data_format)


@checked
def max_unpool2d(
    x: Real, indices: Array, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    output_size: IntOrInts | None = None, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """Zeros with each element where `max_pool2d` found it, as `return_indices` says.

    Parameters
    ----------
    x, indices : (N, oh, ow, C)
    pool_size, stride, padding, data_format : as in the pooling
    output_size : int or (H, W), optional
        The size of the image that was pooled; the smallest that it can have been if not given.

    Returns y : (N, H, W, C). Where windows overlap and share a maximum, the last one's element stays.

    Raises ShapeError and ArgumentError for indices that do not fit.

    >>> from tinygrad_conv import max_pool2d
    >>> y, places = max_pool2d(Tensor(np.arange(4.0).reshape(1, 2, 2, 1)), return_indices=True)
    >>> max_unpool2d(y, places).reshape(2, 2)
    Tensor([[0., 0.],
            [0., 3.]])
    """
    return _max_unpool("max_unpool2d", 2, x, indices, pool_size, stride, padding, output_size, data_format)


@checked
def max_unpool3d(
    x: Real, indices: Array, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    output_size: IntOrInts | None = None, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`max_unpool2d` over three axes.

    >>> from tinygrad_conv import max_pool3d
    >>> y, places = max_pool3d(Tensor(np.arange(8.0).reshape(1, 2, 2, 2, 1)), return_indices=True)
    >>> max_unpool3d(y, places).reshape(8)
    Tensor([0., 0., 0., 0., 0., 0., 0., 7.])
    """
    return _max_unpool("max_unpool3d", 3, x, indices, pool_size, stride, padding, output_size, data_format)


__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip
