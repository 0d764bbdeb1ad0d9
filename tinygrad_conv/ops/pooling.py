"""Pooling: the maximum or the mean of each window of an image, and of whole images.

Max pooling is an argmax, which has no derivative, and then a linear gather at the places found; `pool_gather` and
`pool_scatter` are each other's transposes. Average pooling is linear. So derivatives of any order exist.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..arguments import checked
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.primitive import linear, opaque
from ..engine.tensor import Array, Tensor
from ..errors import ShapeError
from ..kernels import registry as kernels
from ..kernels.geometry import pool_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding, channels_first, padding_of
from ..kernels.window import Window
from .convolution import Real, to_first, to_last
from .padding import pad
from .shape import reshape

# ------------------------------------------------------------------------------------------------------------------
# Primitives


def _sample(d: Any, which: str = "x") -> Any:
    """A small window, with and without overlap, padding, dilation and a remainder, and x or y for it."""
    c = d.pool_config()
    x = (c["n"], *c["sizes"], c["channels"])
    window = pool_window("sample", len(c["kernel"]), x, c["kernel"], c["stride"], c["padding"], c["dilation"], None)
    return (d.array(x if which == "x" else (c["n"], *window.out_sizes, c["channels"])),), {"window": window}


def _sample_places(d: Any, which: str) -> Any:
    """A sample for the gather and scatter pair: the places are those of some maxima."""
    (x,), params = _sample(d)
    y, argmax = kernels.max_pool(x, params["window"])
    return (x if which == "x" else d.array(y.shape),), {"argmax": argmax, **params}


@opaque(
    vjp=lambda g, residual, window: pool_scatter(g, argmax=residual, window=window),
    jvp=lambda t, residual, window: pool_gather(t, argmax=residual, window=window),
    residual=True, label="max_pool", flops=lambda x, y, window: prod(y) * prod(window.kernel),
    kinks="a tie goes to the first maximum of the window", tie="first", samples=_sample, batch=("x", "y"),
    bad=(
        (lambda: max_pool2d(np.ones((1, 2, 2, 1)), 3), "the kernel does not fit.*pool_size of at most 2, or padding=1"),
        (lambda: max_pool2d(np.ones((1, 4, 4, 1)), 2, padding=2), "entirely in padding.*use padding=1"),
    ),
)  # fmt: skip
def pool_max(x: Array, window: Window) -> Array:
    """The maximum of each window, (N, *in, C) to (N, *out, C). Derivative: 1 at the first maximum, 0 elsewhere."""
    return kernels.max_pool(x, window)


@opaque(
    vjp=lambda g, x, window: pool_scatter(g, argmax=array_of(_first_maxima(x, window)), window=window),
    jvp=lambda t, x, window: pool_gather(t, argmax=array_of(_first_maxima(x, window)), window=window),
    label="max_pool", flops=lambda x, y, window: prod(y) * prod(window.kernel),
    kinks="a tie goes to the first maximum of the window", tie="first", samples=_sample, batch=("x", "y"),
)  # fmt: skip
def pool_maxima(x: Array, window: Window) -> Array:
    """`pool_max` where no gradient is followed, in half the time: its derivative asks where the maxima are."""
    return kernels.maxima(x, window)


def maximum_of(x: Array, window: Window) -> Any:
    """The maxima, by the operation that is best for it."""
    followed = isinstance(x, Tensor) and x.node is not None  # then a place for each maximum is less to keep than x
    return (pool_max if followed else pool_maxima)(x, window=window)


@plain
def _first_maxima(x: Array, window: Window) -> Array:
    return kernels.max_pool(x, window)[1]


@linear(
    lambda g, argmax, window: pool_scatter(g, argmax=argmax, window=window), flops=0,
    samples=lambda d: _sample_places(d, "x"), batch=("x", "argmax", "y"),
)  # fmt: skip
def pool_gather(x: Array, argmax: Any, window: Window) -> Array:
    """The element of each window that `argmax` names. Derivative: `pool_scatter`."""
    return kernels.pool_gather(x, argmax, window)


@linear(
    lambda g, argmax, window: pool_gather(g, argmax=argmax, window=window), flops=lambda x, y, argmax, window: prod(x),
    samples=lambda d: _sample_places(d, "y"), batch=("x", "argmax", "y"),
)  # fmt: skip
def pool_scatter(x: Array, argmax: Any, window: Window) -> Array:
    """Each element added to the place that `argmax` names, (N, *out, C) to (N, *in, C). Derivative: `pool_gather`."""
    return kernels.pool_scatter(x, argmax, window)


@linear(
    lambda g, window, count_include_pad: pool_mean_transpose(g, window=window, count_include_pad=count_include_pad),
    label="avg_pool", flops=lambda x, y, window, count_include_pad: prod(y) * (prod(window.kernel) + 1),
    samples=_sample, batch=("x", "y"),
    bad=((lambda: avg_pool2d(np.ones((1, 4, 4, 1)), 2, stride=0), "expected stride to be an int >= 1.*use stride=1"),),
)  # fmt: skip
def pool_mean(x: Array, window: Window, count_include_pad: bool = False) -> Array:
    """The mean of each window, (N, *in, C) to (N, *out, C). Derivative: `pool_mean_transpose`."""
    return kernels.avg_pool(x, window, count_include_pad)


@linear(
    lambda g, window, count_include_pad: pool_mean(g, window=window, count_include_pad=count_include_pad),
    label="avg_poolᵀ", flops=lambda x, y, window, count_include_pad: prod(x) * (prod(window.kernel) + 1),
    samples=lambda d: _sample(d, "y"), batch=("x", "y"),
)  # fmt: skip
def pool_mean_transpose(x: Array, window: Window, count_include_pad: bool = False) -> Array:
    """Each element shared out equally over its window, (N, *out, C) to (N, *in, C). Derivative: `pool_mean`."""
    return kernels.avg_pool_transpose(x, window, count_include_pad)


# ------------------------------------------------------------------------------------------------------------------
# Max pooling


def _spatial_rank(what: str, x: Array) -> int:
    if len(x.shape) < 3:
        raise ShapeError(
            f"{what}: expected x of at least 3 axes (N, spatial axes, C), got {len(x.shape)} (x {x.shape})"
        )
    return len(x.shape) - 2


def _max_pool(
    what: str, rank: int | None, x: Array, pool_size: IntOrInts, stride: IntOrInts | None, padding: Padding,
    dilation: IntOrInts, data_format: DataFormat, ceil_mode: bool, return_indices: bool,
) -> Any:  # fmt: skip
    rank = rank or _spatial_rank(what, x)
    window = pool_window(what, rank, x.shape, pool_size, stride, padding, dilation, data_format, ceil_mode)
    first = data_format == "channels_first"
    images = to_last(_kept(x), first)
    if not return_indices:
        return to_first(maximum_of(images, window), first)
    argmax = _first_maxima(images, window)
    y = pool_gather(images, argmax=array_of(argmax), window=window)
    return to_first(y, first), to_first(_in_image(argmax, window), first)


def _kept(x: Array) -> Array:
    """x: no rule of pooling reads it, but the microscope shows it, also where nobody else holds it any more."""
    if isinstance(x, Tensor) and x.node is not None:
        x.node.keep(x._array)
    return x


@plain
def _in_image(argmax: Array, window: Window) -> Array:
    """Where in the image, counted in row-major order, the elements of windows are that `argmax` names."""
    within = np.unravel_index(argmax.astype(np.intp), window.kernel)
    grids = np.indices(window.out_sizes, sparse=True)
    axes = zip(within, grids, window.stride, window.dilation, window.pads, strict=True)
    places = [grid[..., None] * s - before + k * d for k, grid, s, d, (before, _) in axes]
    return np.ravel_multi_index(places, window.in_sizes)


def pool_places(x: Array, window: Window) -> Any:
    """Where in the image the first maximum of each window is: data."""
    return _in_image(_first_maxima(x, window), window)


@checked
def max_pool(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d` over all axes between the first and the last: x (N, *spatial, C).

    >>> max_pool(Tensor([[[1.0], [3.0], [2.0], [0.0]]])).reshape(2)
    Tensor([3., 2.])
    """
    return _max_pool("max_pool", None, x, pool_size, stride, padding, dilation, data_format, ceil_mode, return_indices)


@checked
def max_pool1d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d` along one axis: x (N, L, C), y (N, ol, C).

    >>> max_pool1d(Tensor([[[1.0], [3.0], [2.0], [0.0]]]), 3, stride=1).reshape(2)
    Tensor([3., 3.])
    """
    return _max_pool("max_pool1d", 1, x, pool_size, stride, padding, dilation, data_format, ceil_mode, return_indices)


@checked
def max_pool2d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The maximum of each window of each channel.

    Parameters
    ----------
    x : (N, H, W, C)
    pool_size : int, or one for each of H and W
    stride : int, or one for each of H and W, optional
        The step from window to window; the pool size when None, so that windows lie side by side.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        As in `conv2d`, except that padding is never the maximum. With "valid", rows and columns too few for a window
        are dropped.
    dilation : int, or one for each of H and W
        The step from element to element within a window.
    data_format : "channels_last", "channels_first" or None
        Where the channels of x and y are; None means last.
    ceil_mode : bool
        Let rows and columns that are too few for a window have one all the same, if it begins before the image ends.
    return_indices : bool
        Give also where in its image each maximum is, counted in row-major order (row * W + column), for `max_unpool2d`.

    Returns
    -------
    y : (N, oh, ow, C), or a pair of this and integers of the same shape
        oh = (H + top + bottom - dilation * (kh - 1) - 1) // stride + 1, and likewise ow; with `ceil_mode` rounded up. A
        NaN in a window gives NaN.

    Raises
    ------
    ShapeError
        The window is larger than the padded image, or some window would hold nothing but padding.
    ArgumentError, DTypeError
        A size, stride, dilation or padding that is none.

    Derivative: 1 at the first maximum of each window in row-major order, 0 elsewhere.

    >>> x = Tensor([[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]).reshape(1, 2, 4, 1)
    >>> max_pool2d(x).reshape(2)
    Tensor([4., 8.])
    """
    return _max_pool("max_pool2d", 2, x, pool_size, stride, padding, dilation, data_format, ceil_mode, return_indices)


@checked
def max_pool3d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d` over three axes: x (N, D, H, W, C), y (N, od, oh, ow, C).

    >>> max_pool3d(np.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """
    return _max_pool("max_pool3d", 3, x, pool_size, stride, padding, dilation, data_format, ceil_mode, return_indices)


# ------------------------------------------------------------------------------------------------------------------
# Average pooling


def _avg_pool(
    what: str, rank: int | None, x: Array, pool_size: IntOrInts, stride: IntOrInts | None, padding: Padding,
    dilation: IntOrInts, data_format: DataFormat, count_include_pad: bool, ceil_mode: bool,
) -> Any:  # fmt: skip
    rank = rank or _spatial_rank(what, x)
    window = pool_window(what, rank, x.shape, pool_size, stride, padding, dilation, data_format, ceil_mode)
    include = count_include_pad and padding != "same"  # cells that "same" made up are never counted, as in Keras
    first = data_format == "channels_first"
    images = to_last(_kept(x), first)
    if ceil_mode and include:  # the padding that was asked for counts, what fills the last window does not
        pads = padding_of(what, padding, rank)
        given = ((0, 0),) * rank if isinstance(pads, str) else pads
        images = pad(images, [(0, 0), *given, (0, 0)])
        beyond = [(0, wide - after) for (_, wide), (_, after) in zip(window.pads, given, strict=True)]
        window = pool_window(what, rank, images.shape, pool_size, stride, beyond, dilation, None)
        include = False
    return to_first(pool_mean(images, window=window, count_include_pad=include), first)


@checked
def avg_pool(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", count_include_pad: bool = False,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """`avg_pool2d` over all axes between the first and the last: x (N, *spatial, C).

    >>> avg_pool(Tensor([[[1.0], [3.0], [2.0], [0.0]]])).reshape(2)
    Tensor([2., 1.])
    """
    return _avg_pool(
        "avg_pool", None, x, pool_size, stride, padding, dilation, data_format, count_include_pad, ceil_mode
    )


@checked
def avg_pool1d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", count_include_pad: bool = False,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """`avg_pool2d` along one axis: x (N, L, C), y (N, ol, C).

    >>> avg_pool1d(Tensor([[[1.0], [3.0], [2.0], [0.0]]]), 2, stride=1).reshape(3)
    Tensor([2. , 2.5, 1. ])
    """
    return _avg_pool(
        "avg_pool1d", 1, x, pool_size, stride, padding, dilation, data_format, count_include_pad, ceil_mode
    )


@checked
def avg_pool2d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", count_include_pad: bool = False,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """The mean of each window of each channel.

    Parameters
    ----------
    x : (N, H, W, C)
    pool_size, stride, padding, dilation, data_format, ceil_mode : as in `max_pool2d`
    count_include_pad : bool
        Let cells of padding given in numbers count as zeros (True is PyTorch's default) instead of not at all. Those of
        padding "same" never count, as in Keras.

    Returns y : (N, oh, ow, C), of the sizes of `max_pool2d`.

    Raises: as `max_pool2d`.

    Derivative: 1 over the number of cells that count, for each of them.

    >>> x = Tensor([[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]).reshape(1, 2, 4, 1)
    >>> avg_pool2d(x).reshape(2)
    Tensor([2.5, 6.5])
    """
    return _avg_pool(
        "avg_pool2d", 2, x, pool_size, stride, padding, dilation, data_format, count_include_pad, ceil_mode
    )


@checked
def avg_pool3d(
    x: Real, pool_size: IntOrInts = 2, stride: IntOrInts | None = None, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last", count_include_pad: bool = False,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """`avg_pool2d` over three axes: x (N, D, H, W, C), y (N, od, oh, ow, C).

    >>> avg_pool3d(np.ones((1, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """
    return _avg_pool(
        "avg_pool3d", 3, x, pool_size, stride, padding, dilation, data_format, count_include_pad, ceil_mode
    )


# ------------------------------------------------------------------------------------------------------------------
# Whole images


def _whole(what: str, x: Array) -> Window:
    """The window of (N, *spatial, C) that is the whole image."""
    return pool_window(what, len(x.shape) - 2, x.shape, x.shape[1:-1], None, "valid", 1, None)


def _global(what: str, pool: Callable[..., Any], x: Array, keepdims: bool, data_format: DataFormat) -> Any:
    rank, first = _spatial_rank(what, x), channels_first(data_format)
    sizes = x.shape[2:] if first else x.shape[1:-1]
    if 0 in sizes:
        raise ShapeError(f"{what}: expected at least 1 element along the spatial axes, got {sizes} (x {x.shape})")
    channels = x.shape[1] if first else x.shape[-1]
    x = to_last(x, first)
    y = pool(x, window=_whole(what, x))  # (N, 1, ..., C)
    shape = (len(x), channels) if not keepdims else (len(x), *(channels, *(1,) * rank)) if first else y.shape
    return y if shape == y.shape else reshape(y, shape)


@checked
def global_max_pool(x: Real, keepdims: bool = False, data_format: DataFormat = "channels_last") -> Tensor:
    """The maximum of each channel over all spatial axes: (N, *spatial, C) to (N, C), or (N, 1, ..., C) with `keepdims`.

    Derivative: 1 at the first maximum in row-major order, 0 elsewhere. Raises ShapeError for fewer than 3 axes or an
    empty image.

    >>> global_max_pool(Tensor([[[1.0], [3.0], [2.0]]]))
    Tensor([[3.]])
    """
    return _global("global_max_pool", maximum_of, x, keepdims, data_format)


@checked
def global_avg_pool(x: Real, keepdims: bool = False, data_format: DataFormat = "channels_last") -> Tensor:
    """The mean of each channel over all spatial axes: (N, *spatial, C) to (N, C), or (N, 1, ..., C) with `keepdims`.

    Derivative: 1 over the number of elements. Raises ShapeError for fewer than 3 axes or an empty image.

    >>> global_avg_pool(Tensor([[[1.0], [3.0], [2.0]]]))
    Tensor([[2.]])
    """
    return _global("global_avg_pool", pool_mean, x, keepdims, data_format)


__all__ = [
    "avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d", "global_avg_pool", "global_max_pool", "max_pool",
    "max_pool1d", "max_pool2d", "max_pool3d",
]  # fmt: skip
