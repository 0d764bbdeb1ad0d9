"""Images moved and blurred: what `keras.src.backend.numpy.image` gets from this engine.

There Keras asks SciPy, image by image, and so it still is with arrays. Of tensors these are sums of weighted pixels,
of a whole batch where Keras' layers have one: gradients pass, and a compiled step can have them.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from keras.src import backend
from keras.src.backend.numpy import image as stock
from keras.src.backend.numpy.nn import depthwise_conv

from ..engine.tensor import Tensor
from .core import convert_to_tensor

__all__ = ["affine_transform", "gaussian_blur", "map_coordinates", "sobel_edges"]

_mapped, _moved, _blurred = stock.map_coordinates, stock.affine_transform, stock.gaussian_blur


def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0.0
) -> Any:
    inputs, coordinates = convert_to_tensor(inputs), convert_to_tensor(coordinates)
    if not (isinstance(inputs, Tensor) or isinstance(coordinates, Tensor)):
        return _mapped(inputs, coordinates, order, fill_mode, fill_value)
    y = _between(np.expand_dims(inputs, (0, -1)), coordinates[:, None], order, fill_mode, fill_value)
    return np.squeeze(y, (0, -1))


def affine_transform(
    images: Any, transform: Any, interpolation: str = "bilinear", fill_mode: str = "constant", fill_value: float = 0,
    data_format: str | None = None,
) -> Any:  # fmt: skip
    images, transform = convert_to_tensor(images), convert_to_tensor(transform)
    if not (isinstance(images, Tensor) or isinstance(transform, Tensor)):
        return _moved(images, transform, interpolation, fill_mode, fill_value, data_format)
    first = backend.standardize_data_format(data_format) == "channels_first"
    x = _as_batch(images, first).astype(backend.result_type(images.dtype, "float32"))
    a0, a1, a2, b0, b1, b2 = np.reshape(np.transpose(np.reshape(transform, (-1, 8)))[:6], (6, -1, 1, 1))
    rows, columns = np.indices(x.shape[1:3], dtype=x.dtype)
    places = np.stack([b0 * columns + b1 * rows + b2, a0 * columns + a1 * rows + a2])
    order = stock.AFFINE_TRANSFORM_INTERPOLATIONS[interpolation]
    return _as_given(_between(x, places, order, fill_mode, fill_value), images, first)


def _between(x: Any, places: Any, order: int, mode: str, value: float) -> Any:
    """Images (N, *sizes, C) looked up between their pixels: places (len(sizes), N, *shape) give (N, *shape, C)."""
    if order == 0:
        return _at(x, np.floor(places + 0.5), mode, value)
    low = np.floor(places)
    share = places - low  # of the upper neighbour
    total: Any = 0
    for corner in product((0, 1), repeat=len(places)):
        weight = 1.0
        for k, up in enumerate(corner):
            weight = weight * (share[k] if up else 1 - share[k])
        found = _at(x, low + np.reshape(np.array(corner, low.dtype), (-1, *[1] * (low.ndim - 1))), mode, value)
        total = total + np.expand_dims(weight, -1) * found
    return total if np.dtype(x.dtype).kind == "f" else np.round(total).astype(x.dtype)


def _at(x: Any, places: Any, mode: str, value: float) -> Any:
    """The pixels at whole places, which may be outside."""
    n, *sizes, channels = x.shape
    wide = np.reshape(np.array(sizes, places.dtype), (-1, *[1] * (places.ndim - 1)))
    around, back = (np.mod(places, period) for period in (wide * 2, np.maximum(wide * 2 - 2, 1)))
    within = {
        "constant": lambda: np.clip(places, 0, wide - 1),
        "nearest": lambda: np.clip(places, 0, wide - 1),
        "wrap": lambda: np.mod(places, wide),
        "reflect": lambda: np.minimum(around, wide * 2 - 1 - around),
        "mirror": lambda: np.minimum(back, wide * 2 - 2 - back),
    }[mode]()
    flat = np.reshape(np.arange(n), (-1, *[1] * (places.ndim - 2)))
    for index, size in zip(within, sizes, strict=True):
        flat = flat * size + index.astype(np.int64)
    found = np.take(np.reshape(x, (-1, channels)), flat, axis=0)
    if mode != "constant":
        return found
    inside = np.all((places >= 0) & (places < wide), axis=0)
    return np.where(np.expand_dims(inside, -1), found, np.array(value, found.dtype))


def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: str | None = None
) -> Any:
    images, sigma = convert_to_tensor(images), convert_to_tensor(sigma)
    if not (isinstance(images, Tensor) or isinstance(sigma, Tensor)):
        return _blurred(images, kernel_size, sigma, data_format)
    first = data_format == "channels_first"
    x = _as_batch(images, first).astype(backend.result_type(images.dtype, "float32"))
    # The first size and sigma are those of columns: so it is in Keras.
    across, down = (_bell(int(size), sigma[k].astype(x.dtype)) for k, size in enumerate(kernel_size))
    return _as_given(_filtered(x, down, across), images, first)


def _bell(size: int, sigma: Any) -> Any:
    weights = np.exp(-0.5 * np.square((np.arange(size, dtype=sigma.dtype) - (size - 1) / 2) / sigma))
    return weights / np.sum(weights)


def sobel_edges(images: Any, data_format: str | None = None) -> Any:
    first = data_format == "channels_first"
    x = np.pad(_as_batch(convert_to_tensor(images), first), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    smooth, slope = np.array([1, 2, 1], x.dtype), np.array([-1, 0, 1], x.dtype)
    edges = [_filtered(x, slope, smooth)[:, 1:-1, 1:-1], _filtered(x, smooth, slope)[:, 1:-1, 1:-1]]
    return np.stack([np.transpose(y, (0, 3, 1, 2)) if first else y for y in edges], -1)


def _filtered(x: Any, down: Any, across: Any) -> Any:
    """Each channel with one filter, the outer product of two vectors; zeros around."""
    kernel = np.reshape(down, (-1, 1, 1, 1)) * np.reshape(across, (1, -1, 1, 1))
    return depthwise_conv(x, kernel * np.ones((x.shape[-1], 1), kernel.dtype), 1, "same", "channels_last")


def _as_batch(images: Any, first: bool) -> Any:
    """One image or several as (N, H, W, C)."""
    x = images if images.ndim == 4 else images[None]
    return np.transpose(x, (0, 2, 3, 1)) if first else x


def _as_given(y: Any, images: Any, first: bool) -> Any:
    y = np.transpose(y, (0, 3, 1, 2)) if first else y
    y = y if images.ndim == 4 else y[0]
    return y.astype(images.dtype)
