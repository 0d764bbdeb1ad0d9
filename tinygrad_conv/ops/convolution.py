"""Convolutions: three bilinear primitives, closed under differentiation, and the public functions made of them.

`conv`, its input gradient `conv_transpose` and its kernel gradient `conv_kernel_gradient` are the three ways to sum
``x[o * stride - before + i * dilation, k] * w[i, k, c] * y[o, c]`` over all but one of its factors. So the derivative
of each is another, nothing is saved but the inputs, and derivatives of any order exist.

Everything below the public functions has channels last: images (N, *spatial, C), kernels (*kernel, C / groups, C_out).
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Kind, Size, checked
from ..engine.node import Shape
from ..engine.primitive import bilinear, linear
from ..engine.tensor import Array, Tensor, plain_array
from ..errors import ShapeError
from ..kernels import registry as kernels
from ..kernels.geometry import bias_fits, conv_window, depthwise_window, local_window, transpose_window
from ..kernels.spatial import DataFormat, IntOrInts, Padding
from ..kernels.window import Window
from .elementwise import add
from .linalg import matmul
from .padding import pad
from .shape import permute_dims, reshape

# ------------------------------------------------------------------------------------------------------------------
# Primitives


def _draw_window(d: Any) -> tuple[Window, dict[str, Any]]:
    """A small window for test samples, with the configuration it was made from."""
    c = d.conv_config()
    rank, groups = len(c["kernel"]), c["groups"]
    x, w = (1, *c["sizes"], c["channels"]), (*c["kernel"], c["channels"] // groups, c["filters"])
    return conv_window("sample", rank, x, w, c["stride"], c["padding"], c["dilation"], groups, None), c


def _sample(d: Any, *which: str) -> Any:
    """Two of x, w and y for a drawn window, with the window."""
    window, c = _draw_window(d)
    shapes = {
        "x": (c["n"], *window.in_sizes, c["channels"]),
        "w": (*window.kernel, c["channels"] // window.groups, c["filters"]),
        "y": (c["n"], *window.out_sizes, c["filters"]),
    }
    return tuple(d.array(shapes[name]) for name in which), {"window": window}


def _flops(w: Shape, y: Shape) -> int:
    """A multiplication and an addition per output, kernel element and input channel of its group."""
    return 2 * prod(y) * prod(w[:-1])


@bilinear(
    lambda g, w, window: conv_transpose(g, w, window=window),
    lambda g, x, window: conv_kernel_gradient(x, g, window=window),
    flops=lambda x, w, y, window: _flops(w, y),
    samples=lambda d: _sample(d, "x", "w"),
    batch=("x", "y"),
    bad=(
        (lambda: conv2d(np.ones((1, 4, 4, 6)), np.ones((3, 3, 4, 16)), groups=2), r"use w of shape \(3, 3, 3, 16\)"),
        (lambda: conv2d(np.ones((1, 2, 2, 1)), np.ones((3, 3, 1, 1))), "the kernel does not fit.*or padding=1"),
        (lambda: conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), stride=0), "stride.*use stride=1"),
        (lambda: conv2d(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), padding="full"), 'use padding="'),
    ),
)
def conv(x: Array, w: Array, window: Window) -> Array:
    """The cross-correlation of x (N, *in, C) with w (*kernel, C / groups, C_out): (N, *out, C_out).

    Derivatives: `conv_transpose` of g with w, and `conv_kernel_gradient` of x with g.
    """
    return kernels.conv(x, w, window)


@bilinear(
    lambda g, w, window: conv(g, w, window=window),
    lambda g, x, window: conv_kernel_gradient(g, x, window=window),
    label="convᵀ", flops=lambda x, w, y, window: _flops(w, x), samples=lambda d: _sample(d, "y", "w"),
    batch=("x", "y"),
    bad=((lambda: conv2d_transpose(np.ones((1, 4, 4, 6)), np.ones((3, 3, 6, 4))), r"use w of shape \(3, 3, 4, 6\)"),),
)  # fmt: skip
def conv_transpose(x: Array, w: Array, window: Window) -> Array:
    """The input gradient of `conv`: from x (N, *out, C_out) and the kernel w of the convolution to (N, *in, C).

    Derivatives: `conv` of g with w, and `conv_kernel_gradient` of g with x.
    """
    return kernels.conv_input_grad(x, w, window)


@bilinear(
    lambda g, dy, window: conv_transpose(dy, g, window=window),
    lambda g, x, window: conv(x, g, window=window),
    label="conv∂w", flops=lambda x, dy, y, window: _flops(y, dy), samples=lambda d: _sample(d, "x", "y"),
    batch=("x", "dy"),
)  # fmt: skip
def conv_kernel_gradient(x: Array, dy: Array, window: Window) -> Array:
    """The kernel gradient of `conv`: from x (N, *in, C) and dy (N, *out, C_out) to (*kernel, C / groups, C_out).

    Derivatives: `conv_transpose` of dy with g, and `conv` of x with g.
    """
    return kernels.conv_kernel_grad(x, dy, window)


def _sample_patches(d: Any, which: str) -> Any:
    window, c = _draw_window(d)
    x, y = (c["n"], *window.in_sizes, c["channels"]), (c["n"], *window.out_sizes, prod(window.kernel) * c["channels"])
    return (d.array(x if which == "x" else y),), {"window": window}


@linear(
    lambda g, window: patches_transpose(g, window=window), flops=0, samples=lambda d: _sample_patches(d, "x"),
    batch=("x", "y"),
)  # fmt: skip
def patches(x: Array, window: Window) -> Array:
    """The inputs under each window as one vector, (N, *out, prod(kernel) * C). Derivative: `patches_transpose`."""
    return kernels.patches(x, window)


@linear(
    lambda g, window: patches(g, window=window), label="patchesᵀ", flops=lambda x, y, window: prod(x),
    samples=lambda d: _sample_patches(d, "y"), batch=("x", "y"),
)  # fmt: skip
def patches_transpose(x: Array, window: Window) -> Array:
    """Each window's vector added back to where it came from, (N, *in, C). Derivative: `patches`."""
    return kernels.patches_transpose(x, window)


# ------------------------------------------------------------------------------------------------------------------
# The public edge: lists, layouts, biases


def _real(value: Any) -> Any:
    """A tensor or an array of real numbers."""
    value = value if isinstance(value, (Tensor, np.ndarray)) else np.asarray(plain_array(value, "images"))
    if value.dtype.kind not in "fiub":
        raise TypeError
    return value


Real: TypeAlias = Annotated[
    Any, Kind(
        "an array of real numbers", _real,
        quick="(type({0}) is Tensor or type({0}) is ndarray) and {0}.dtype.kind in 'fiub'",
        names={"Tensor": Tensor, "ndarray": np.ndarray},
    ),
]  # fmt: skip


def to_last(x: Array, first: bool) -> Array:
    """Channels moved from axis 1 to the end, if they are there: (N, C, *spatial) to (N, *spatial, C)."""
    return permute_dims(x, (0, *range(2, len(x.shape)), 1)) if first else x


def to_first(y: Array, first: bool) -> Array:
    """The opposite of `to_last`: (N, *spatial, C) to (N, C, *spatial)."""
    return permute_dims(y, (0, len(y.shape) - 1, *range(1, len(y.shape) - 1))) if first else y


def _biased(what: str, y: Array, b: Array | None) -> Array:
    if b is None:
        return y
    bias_fits(what, b.shape, y.shape[-1])
    return add(y, b)


def _conv(
    what: str, rank: int, x: Array, w: Array, b: Array | None, stride: IntOrInts, padding: Padding,
    dilation: IntOrInts, groups: int, data_format: DataFormat,
) -> Any:  # fmt: skip
    window = conv_window(what, rank, x.shape, w.shape, stride, padding, dilation, groups, data_format)
    first = data_format == "channels_first"
    return to_first(_biased(what, conv(to_last(x, first), w, window=window), b), first)


def _conv_transpose(
    what: str, rank: int, x: Array, w: Array, b: Array | None, stride: IntOrInts, padding: Padding,
    output_padding: IntOrInts | None, dilation: IntOrInts, groups: int, data_format: DataFormat,
) -> Any:  # fmt: skip
    window, beyond = transpose_window(
        what, rank, x.shape, w.shape, stride, padding, output_padding, dilation, groups, data_format
    )
    first = data_format == "channels_first"
    y = conv_transpose(to_last(x, first), w, window=window)
    if any(beyond):
        y = pad(y, [(0, 0), *((0, n) for n in beyond), (0, 0)])
    return to_first(_biased(what, y, b), first)


# ------------------------------------------------------------------------------------------------------------------
# Convolution


@checked
def conv1d(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    dilation: IntOrInts = 1, groups: Size = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`conv2d` along one axis: x (N, L, C), w (k, C / groups, C_out), y (N, ol, C_out).

    >>> conv1d(Tensor([[[1.0], [2.0], [4.0]]]), Tensor([[[-1.0]], [[1.0]]]))
    Tensor([[[1.],
             [2.]]])
    """
    return _conv("conv1d", 1, x, w, b, stride, padding, dilation, groups, data_format)


@checked
def conv2d(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    dilation: IntOrInts = 1, groups: Size = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """The convolution (cross-correlation: the kernel is not flipped) of a batch of images with a bank of kernels.

    ``y[n, p, q, c] = Σ over i, j, k of x[n, p * stride + i * dilation - top, q * stride + j * dilation - left, k] *
    w[i, j, k, c] + b[c]``, elements outside of the image being 0.

    Parameters
    ----------
    x : (N, H, W, C)
    w : (kh, kw, C / groups, C_out)
        In this layout for either `data_format`, as in Keras.
    b : (C_out,), optional
    stride, dilation : int, or one for each of H and W
        The step from window to window, and from element to element within a window.
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        "valid" is no padding; "same" gives oh = ceil(H / stride), the odd cell of padding at the end, as in TensorFlow.
    groups : int
        Split the channels into so many groups, convolved separately; groups = C is a depthwise convolution.
    data_format : "channels_last", "channels_first" or None
        Where the channels of x and y are; None means last.

    Returns
    -------
    y : (N, oh, ow, C_out)
        oh = (H + top + bottom - dilation * (kh - 1) - 1) // stride + 1, and likewise ow.

    Raises
    ------
    ShapeError
        Axes, channels or groups that do not agree, or a kernel larger than the padded image.
    ArgumentError, DTypeError
        A stride, dilation or padding that is none.

    Derivatives: for x, the transposed convolution of g with w; for w, the correlation of x with g; for b, the sum of g.

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning" (2016).

    >>> x = Tensor([[1.0, 0.0, 2.0], [2.0, -1.0, 4.0], [0.0, -5.0, 3.0]]).reshape(1, 3, 3, 1)
    >>> w = Tensor([[1.0, -1.0], [-1.0, 1.0]]).reshape(2, 2, 1, 1)
    >>> conv2d(x, w).reshape(2, 2)
    Tensor([[-2.,  3.],
            [-2.,  3.]])
    """
    return _conv("conv2d", 2, x, w, b, stride, padding, dilation, groups, data_format)


@checked
def conv3d(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    dilation: IntOrInts = 1, groups: Size = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`conv2d` over three axes: x (N, D, H, W, C), w (kd, kh, kw, C / groups, C_out), y (N, od, oh, ow, C_out).

    >>> conv3d(np.ones((1, 4, 4, 4, 2)), Tensor(np.ones((2, 2, 2, 2, 5)))).shape
    (1, 3, 3, 3, 5)
    """
    return _conv("conv3d", 3, x, w, b, stride, padding, dilation, groups, data_format)


@checked
def depthwise_conv2d(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    dilation: IntOrInts = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """Each channel convolved by itself: x (N, H, W, C), w (kh, kw, C, multiplier), y (N, oh, ow, C * multiplier).

    Output channel ``c * multiplier + m`` is input channel c with kernel ``w[:, :, c, m]``. The other arguments, and the
    derivatives, are those of `conv2d`.

    Raises ShapeError when the channels of x and w differ, and otherwise as `conv2d`.

    >>> depthwise_conv2d(np.ones((1, 5, 5, 3)), Tensor(np.ones((3, 3, 3, 2)))).shape
    (1, 3, 3, 6)
    """
    return _depthwise("depthwise_conv2d", "w", x, w, b, stride, padding, dilation, data_format)


def _depthwise(
    what: str, name: str, x: Array, w: Array, b: Array | None, stride: IntOrInts, padding: Padding,
    dilation: IntOrInts, data_format: DataFormat,
) -> Any:  # fmt: skip
    window = depthwise_window(what, x.shape, w.shape, stride, padding, dilation, data_format, name)
    first = data_format == "channels_first"
    taps = reshape(w, (*w.shape[:2], 1, w.shape[2] * w.shape[3]))  # (kh, kw, 1, C * multiplier)
    return to_first(_biased(what, conv(to_last(x, first), taps, window=window), b), first)


@checked
def separable_conv2d(
    x: Real, depthwise: Real, pointwise: Real, b: Real | None = None, stride: IntOrInts = 1,
    padding: Padding = "valid", dilation: IntOrInts = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`depthwise_conv2d`, which mixes places, then a 1 by 1 `conv2d`, which mixes channels.

    x (N, H, W, C), depthwise (kh, kw, C, multiplier), pointwise (1, 1, C * multiplier, C_out), b (C_out,):
    y (N, oh, ow, C_out). The other arguments are those of the depthwise step.

    Raises ShapeError when a kernel does not fit what it is given, and otherwise as `conv2d`.

    Source: Chollet, "Xception" (2017).

    >>> separable_conv2d(np.ones((1, 5, 5, 3)), np.ones((3, 3, 3, 1)), Tensor(np.ones((1, 1, 3, 8)))).shape
    (1, 3, 3, 8)
    """
    what = "separable_conv2d"
    between = _depthwise(what, "depthwise", x, depthwise, None, stride, padding, dilation, data_format)
    channels = prod(depthwise.shape[2:])
    if len(pointwise.shape) != 4 or pointwise.shape[:3] != (1, 1, channels):
        raise ShapeError(
            f"{what}: expected pointwise of shape (1, 1, C * multiplier, C_out), got {pointwise.shape} (depthwise "
            f"{depthwise.shape}): use pointwise of shape {(1, 1, channels, *pointwise.shape[-1:])}"
        )
    return _conv(what, 2, between, pointwise, b, 1, "valid", 1, 1, data_format)


@checked
def locally_connected2d(
    x: Real, w: Real, b: Real | None = None, kernel_size: IntOrInts = 3, stride: IntOrInts = 1,
    padding: Padding = "valid", dilation: IntOrInts = 1, data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """A convolution without weight sharing: every place has a kernel of its own.

    Parameters
    ----------
    x : (N, H, W, C)
    w : (oh, ow, kh * kw * C, filters)
        The kernel of each output place, its elements in the order of ``(kh, kw, C)``.
    b : (oh, ow, filters) or (filters,), optional
    kernel_size : int or (kh, kw)
    stride, padding, dilation, data_format : as in `conv2d`

    Returns y : (N, oh, ow, filters).

    Raises ShapeError when w does not fit; the message has the shape that does.

    Derivatives: those of a matrix product at each place, with `patches_transpose` for x.

    >>> locally_connected2d(np.ones((1, 4, 4, 1)), Tensor(np.ones((2, 2, 9, 5)))).shape
    (1, 2, 2, 5)
    """
    what = "locally_connected2d"
    window = local_window(what, x.shape, w.shape, kernel_size, stride, padding, dilation, data_format)
    first = data_format == "channels_first"
    columns = patches(to_last(x, first), window=window)  # (N, oh, ow, K)
    y = matmul(permute_dims(columns, (1, 2, 0, 3)), w)  # (oh, ow, N, K) @ (oh, ow, K, filters)
    y = permute_dims(y, (2, 0, 1, 3))  # (N, oh, ow, filters)
    if b is not None:
        if b.shape not in (y.shape[1:], y.shape[3:]):
            raise ShapeError(
                f"{what}: expected b of shape (oh, ow, filters) or (filters,), got {b.shape}: "
                f"use b of shape {y.shape[1:]} or {y.shape[3:]}"
            )
        y = add(y, b)
    return to_first(y, first)


# ------------------------------------------------------------------------------------------------------------------
# Transposed convolution


@checked
def conv1d_transpose(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    output_padding: IntOrInts | None = None, dilation: IntOrInts = 1, groups: Size = 1,
    data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`conv2d_transpose` along one axis: x (N, L, C_in), w (k, C_out / groups, C_in), y (N, ol, C_out).

    >>> conv1d_transpose(Tensor([[[1.0], [10.0]]]), Tensor([[[1.0]], [[2.0]]]), stride=2).reshape(4)
    Tensor([ 1.,  2., 10., 20.])
    """
    return _conv_transpose(
        "conv1d_transpose", 1, x, w, b, stride, padding, output_padding, dilation, groups, data_format
    )


@checked
def conv2d_transpose(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    output_padding: IntOrInts | None = None, dilation: IntOrInts = 1, groups: Size = 1,
    data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """The transpose of `conv2d`: every element of x adds a multiple of the kernel to the larger y.

    With the same kernel, stride, padding and dilation, it is the gradient of `conv2d` with respect to its input:
    <x, conv2d(y, w)> = <conv2d_transpose(x, w), y>.

    Parameters
    ----------
    x : (N, H, W, C_in)
    w : (kh, kw, C_out / groups, C_in)
        The kernel of the `conv2d` of which this is the transpose, as in Keras' ``Conv2DTranspose``: output channels
        come *before* input channels.
    b : (C_out,), optional
    stride, dilation, groups, data_format : as in `conv2d`
    padding : "valid", "same", int, (int, int) or ((top, bottom), (left, right))
        What `conv2d` pads, this crops.
    output_padding : int or (int, int), optional
        Rows and columns more at the bottom and right, fewer than the stride or the dilation.

    Returns
    -------
    y : (N, oh, ow, C_out)
        With reach = dilation * (kh - 1) + 1, Keras' sizes. Without `output_padding`: oh = (H - 1) * stride +
        max(reach, stride) for "valid", H * stride for "same". With it: oh = (H - 1) * stride + reach + output_padding
        for "valid", (H - 1) * stride + reach % 2 + output_padding for "same". For numbers, as in PyTorch:
        oh = (H - 1) * stride + reach - (top + bottom) + output_padding (0 when None).

    Raises
    ------
    ShapeError
        Axes, channels or groups that do not agree, or a padding that crops everything away.
    ArgumentError, DTypeError
        A stride, dilation or padding that is none, or an output_padding below neither stride nor dilation.

    Derivatives: for x, `conv2d` of g with w; for w, the correlation of g with x; for b, the sum of g.

    Source: Dumoulin & Visin (2016), chapter 4.

    >>> x = Tensor([[1.0, 10.0]]).reshape(1, 1, 2, 1)
    >>> w = Tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
    >>> conv2d_transpose(x, w).reshape(2, 3)
    Tensor([[ 1., 12., 20.],
            [ 3., 34., 40.]])
    """
    return _conv_transpose(
        "conv2d_transpose", 2, x, w, b, stride, padding, output_padding, dilation, groups, data_format
    )


@checked
def conv3d_transpose(
    x: Real, w: Real, b: Real | None = None, stride: IntOrInts = 1, padding: Padding = "valid",
    output_padding: IntOrInts | None = None, dilation: IntOrInts = 1, groups: Size = 1,
    data_format: DataFormat = "channels_last",
) -> Tensor:  # fmt: skip
    """`conv2d_transpose` over three axes: x (N, D, H, W, C_in), w (kd, kh, kw, C_out / groups, C_in).

    >>> conv3d_transpose(np.ones((1, 2, 2, 2, 3)), Tensor(np.ones((2, 2, 2, 5, 3))), stride=2).shape
    (1, 4, 4, 4, 5)
    """
    return _conv_transpose(
        "conv3d_transpose", 3, x, w, b, stride, padding, output_padding, dilation, groups, data_format
    )


__all__ = [
    "conv1d", "conv1d_transpose", "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "depthwise_conv2d",
    "locally_connected2d", "separable_conv2d",
]  # fmt: skip
