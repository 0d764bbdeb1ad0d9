"""Layers' functions: what `keras.src.backend.numpy.nn` gets from this engine.

All shapes and conventions are Keras': kernels (*window, in, out), `data_format` by name or Keras' default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras.src import backend
from keras.src.backend.common.backend_utils import check_conv_input_channels, check_conv_transpose_input_channels
from keras.src.backend.numpy import nn as stock

from ..kernels.spatial import ints_of
from ..ops import activations, adaptive, convolution, pooling
from ..ops.elementwise import where
from ..ops.indexing import scatter
from .arrays import astype
from .core import convert_to_tensor

__all__ = [
    "_dot_product_attention_xla", "adaptive_average_pool", "adaptive_max_pool", "average_pool", "batch_normalization",
    "binary_crossentropy", "conv", "conv_transpose", "depthwise_conv", "dot_product_attention", "elu", "fold", "gelu",
    "leaky_relu", "log_softmax", "max_pool", "moments", "one_hot", "relu", "relu6", "sigmoid", "silu", "softmax",
    "softplus", "unfold",
]  # fmt: skip


def _floating(f: Any) -> Any:
    """An activation of ours as Keras has it: of tensors, arrays and variables, with the dtype kept."""

    def activation(x: Any, *args: Any, **named: Any) -> Any:
        x = convert_to_tensor(x)
        return astype(f(x, *args, **named), x.dtype)

    activation.__name__ = f.__name__
    return activation


relu = _floating(activations.relu)
sigmoid = _floating(activations.sigmoid)
softplus = _floating(activations.softplus)
silu = _floating(activations.silu)


@_floating
def softmax(x: Any, axis: Any = -1) -> Any:
    return _along(activations.softmax, x, axis)


@_floating
def log_softmax(x: Any, axis: Any = -1) -> Any:
    return _along(activations.log_softmax, x, axis)


def _along(f: Any, x: Any, axis: Any) -> Any:
    """A function along one axis, along all of them (None), or along some."""
    if isinstance(axis, int):
        return f(x, axis)
    axes = range(x.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)
    others = [k for k in range(x.ndim) if k not in axes]
    order = [*others, *axes]
    turned = np.transpose(x, order)
    y = f(np.reshape(turned, (*(x.shape[k] for k in others), -1)), -1)
    return np.transpose(np.reshape(y, turned.shape), np.argsort(order))


@_floating
def relu6(x: Any) -> Any:
    return where(x >= 6, np.array(6, x.dtype), activations.relu(x))


@_floating
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    return activations.leaky_relu(x, negative_slope)


@_floating
def elu(x: Any, alpha: float = 1.0) -> Any:
    return activations.elu(x, alpha)


@_floating
def gelu(x: Any, approximate: bool = True) -> Any:
    return activations.gelu(x, approximate)


# ------------------------------------------------------------------------------------------------------------------
# Convolution and pooling


def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    data_format = backend.standardize_data_format(data_format)
    inputs, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    channels, of_kernel = _channels(inputs, data_format), kernel.shape[-2]
    if channels % of_kernel:
        raise ValueError(
            "The number of input channels must be evenly divisible by "
            f"kernel's in_channels. Received input channels {channels} and "
            f"kernel in_channels {of_kernel}. "
        )
    run = (convolution.conv1d, convolution.conv2d, convolution.conv3d)[inputs.ndim - 3]
    return run(
        inputs, kernel, stride=strides, padding=padding.lower(), dilation=dilation_rate,
        groups=channels // of_kernel, data_format=data_format,
    )  # fmt: skip


def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    data_format = backend.standardize_data_format(data_format)
    inputs, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    check_conv_input_channels(inputs, kernel, data_format)
    if inputs.ndim == 4:
        return convolution.depthwise_conv2d(
            inputs, kernel, stride=strides, padding=padding.lower(), dilation=dilation_rate, data_format=data_format
        )
    *window, channels, multiplier = kernel.shape
    kernel = np.reshape(kernel, (*window, 1, channels * multiplier))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


def conv_transpose(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    data_format = backend.standardize_data_format(data_format)
    inputs, kernel = convert_to_tensor(inputs), convert_to_tensor(kernel)
    check_conv_transpose_input_channels(inputs, kernel, data_format)
    run = (convolution.conv1d_transpose, convolution.conv2d_transpose, convolution.conv3d_transpose)[inputs.ndim - 3]
    return run(
        inputs, kernel, stride=strides, padding=padding.lower(), output_padding=output_padding,
        dilation=dilation_rate, data_format=data_format,
    )  # fmt: skip


def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    return _pool(pooling.max_pool, inputs, pool_size, strides, padding, data_format)


def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    return _pool(pooling.avg_pool, inputs, pool_size, strides, padding, data_format)


def _pool(run: Any, inputs: Any, pool_size: Any, strides: Any, padding: str, data_format: str | None) -> Any:
    if padding not in ("same", "valid"):
        raise ValueError(f"Invalid padding '{padding}', must be 'same' or 'valid'.")
    data_format = backend.standardize_data_format(data_format)
    return run(convert_to_tensor(inputs), pool_size, strides, padding, data_format=data_format)


def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    runs = adaptive.adaptive_avg_pool1d, adaptive.adaptive_avg_pool2d, adaptive.adaptive_avg_pool3d
    return runs[inputs.ndim - 3](convert_to_tensor(inputs), output_size, backend.standardize_data_format(data_format))


def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    runs = adaptive.adaptive_max_pool1d, adaptive.adaptive_max_pool2d, adaptive.adaptive_max_pool3d
    return runs[inputs.ndim - 3](convert_to_tensor(inputs), output_size, backend.standardize_data_format(data_format))


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Patches of (N, C, H, W) as columns (N, C * kh * kw, positions)."""
    (ph, pw), window = ints_of("unfold", "padding", padding, 2, 0), _Window(kernel_size, dilation, stride)
    x = np.pad(input, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows, columns = window.cells(x.shape[2:])
    n, c = x.shape[:2]
    return np.reshape(x[:, :, rows, columns], (n, c * rows.shape[0], rows.shape[1]))


def fold(x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The transpose of `unfold`: columns added up where their patches are."""
    (ph, pw), window = ints_of("fold", "padding", padding, 2, 0), _Window(kernel_size, dilation, stride)
    h, w = ints_of("fold", "output_size", output_size, 2)
    rows, columns = window.cells((h + 2 * ph, w + 2 * pw))
    n, c = x.shape[0], x.shape[1] // rows.shape[0]
    values = np.reshape(x, (n, c, *rows.shape))
    everything = slice(None), slice(None), rows, columns
    y = scatter(values, everything, (n, c, h + 2 * ph, w + 2 * pw))
    return y[:, :, ph : ph + h, pw : pw + w]


class _Window:
    """A kernel that slides over rows and columns."""

    def __init__(self, size: Any, dilation: Any, stride: Any) -> None:
        pairs = (("kernel_size", size), ("dilation", dilation), ("stride", stride))
        self.size, self.dilation, self.stride = (ints_of("unfold", name, value, 2) for name, value in pairs)

    def cells(self, shape: Any) -> list[Any]:
        """The rows and the columns of all cells of all patches, both (kh * kw, positions)."""
        offsets = np.meshgrid(*(np.arange(k) * d for k, d in zip(self.size, self.dilation, strict=True)), indexing="ij")
        reach = [(k - 1) * d for k, d in zip(self.size, self.dilation, strict=True)]
        starts = np.meshgrid(
            *(np.arange(0, n - r, s) for n, r, s in zip(shape, reach, self.stride, strict=True)), indexing="ij"
        )
        return [a.reshape(-1, 1) + b.reshape(1, -1) for a, b in zip(offsets, starts, strict=True)]


def _channels(x: Any, data_format: str) -> int:
    return x.shape[-1] if data_format == "channels_last" else x.shape[1]


_attention = stock.dot_product_attention


def dot_product_attention(
    query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: Any = None, is_causal: bool = False,
    flash_attention: Any = None, attn_logits_soft_cap: Any = None,
) -> Any:  # fmt: skip
    """Each head of keys and values serves several of queries, if there are fewer (as on PyTorch)."""
    query, key, value = map(convert_to_tensor, (query, key, value))
    if query.ndim == key.ndim == 4 and query.shape[2] % key.shape[2] == 0:
        key, value = (np.repeat(x, query.shape[2] // x.shape[2], axis=2) for x in (key, value))
    return _attention(query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap)


def _dot_product_attention_xla(
    query: Any, key: Any, value: Any, bias: Any, mask: Any, is_causal: bool, scale: Any
) -> Any:
    """Keras', but that float64 stays float64."""
    logits = scale * astype(np.einsum("BTNH,BSNH->BNTS", query, key), np.promote_types(query.dtype, np.float32))
    if bias is not None:
        logits = astype(logits + bias, logits.dtype)
    share = astype(softmax(stock._apply_masks(logits, mask, is_causal)), key.dtype)
    return np.einsum("BNTS,BSNH->BTNH", share, value)


# ------------------------------------------------------------------------------------------------------------------
# Losses and normalization


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    if sparse:
        raise ValueError("Unsupported value `sparse=True` with numpy backend")
    x = convert_to_tensor(x)
    if not num_classes:
        num_classes = int(np.max(x)) + 1
    hot = (np.expand_dims(x, -1) == np.arange(num_classes)).astype(dtype or "float32")
    return hot if axis == -1 else np.moveaxis(hot, -1, axis)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    target, output = convert_to_tensor(target), convert_to_tensor(output)
    if target.shape != output.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. "
            "Received: "
            f"target.shape={target.shape}, output.shape={output.shape}"
        )
    target = astype(target, output.dtype)
    if from_logits:
        return softplus(output) - target * output  # -log sigmoid(x) = softplus(x) - x, without overflow
    low = backend.epsilon()
    output = np.clip(output, low, 1.0 - low)
    return -(target * np.log(output) + (1.0 - target) * np.log(1.0 - output))


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    if synchronized:
        raise NotImplementedError("Argument synchronized=True is not supported with NumPy.")
    axes = tuple(axes) if isinstance(axes, list) else axes
    x = convert_to_tensor(x)
    small = x.dtype == np.float16  # whose range is too small for sums
    wide = x.astype("float32") if small else x
    mean = np.mean(wide, axes, keepdims=True)
    variance = np.mean(np.square(wide - mean), axes, keepdims=True)
    if not keepdims:
        mean, variance = np.squeeze(mean, axes), np.squeeze(variance, axes)
    if small:
        ends = np.finfo(np.float16).min, np.finfo(np.float16).max
        mean, variance = np.clip(mean, *ends).astype(x.dtype), np.clip(variance, *ends).astype(x.dtype)
    return mean, variance


def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    x = convert_to_tensor(x)
    shape = [1] * x.ndim
    shape[axis] = mean.shape[0]
    inverse = 1.0 / np.sqrt(np.reshape(variance, shape) + epsilon)
    if scale is not None:
        inverse = inverse * np.reshape(convert_to_tensor(scale), shape)
    shift = -np.reshape(mean, shape) * inverse
    if offset is not None:
        shift = shift + np.reshape(convert_to_tensor(offset), shape)
    return astype(x * inverse + shift, x.dtype)
