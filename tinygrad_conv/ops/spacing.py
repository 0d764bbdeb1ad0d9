"""Evenly spaced values between two ends, which may be tensors: NumPy's names and arguments, plus `requires_grad`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import Count, Device, DType, checked
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError
from .creation import fits, made
from .elementwise import where
from .shape import astype, expand_dims, moveaxis


def _spaced(start: Any, stop: Any, num: int, endpoint: bool, between: Any) -> Any:
    """What `between` gives for the share 0 ... 1 of each of num values, along a new first axis; the ends themselves."""
    kind = np.result_type(array_of(start), array_of(stop), float(num))
    ndim = len(np.broadcast_shapes(shape_of(start), shape_of(stop)))
    places = np.arange(num).reshape(-1, *(1,) * ndim)
    share = places / (max(num - 1, 1) if endpoint else max(num, 1))
    first, last = astype(start, kind), astype(stop, kind)
    y = between(first, last, constant(share.astype(kind)))
    y = where(constant(places == 0), first, y)
    return where(constant(places == num - 1), last, y) if endpoint and num > 1 else y


@checked
def linspace(
    start: Array, stop: Array, num: Count = 50, endpoint: bool = True, retstep: bool = False,
    dtype: DType | None = None, axis: int = 0, *, device: Device | None = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """`num` evenly spaced values from start to stop, along a new axis; without stop itself if not `endpoint`.

    With `retstep`, also the step. Derivatives: the shares 1 - k / (num - 1) and k / (num - 1).

    >>> linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    fits("linspace", (num,), None)
    if not isinstance(start, Tensor) and not isinstance(stop, Tensor):
        values = np.linspace(start, stop, num, endpoint, retstep, dtype, axis)  # type: ignore[call-overload]
        return (made(values[0], requires_grad), values[1]) if retstep else made(values, requires_grad)
    y = _spaced(start, stop, num, endpoint, lambda a, b, share: a + (b - a) * share)
    y = moveaxis(y, 0, axis)
    y = y if dtype is None else astype(y, dtype)
    steps = num - endpoint
    return (y, (stop - start) / steps if steps > 0 else np.nan) if retstep else y


@checked
def geomspace(
    start: Array, stop: Array, num: Count = 50, endpoint: bool = True, dtype: DType | None = None, axis: int = 0
) -> Tensor:
    """`num` values from start to stop, each the same multiple of the one before.

    Raises ArgumentError for an end that is 0.

    >>> geomspace(Tensor(1.0), 100.0, 3)
    Tensor([  1.,  10., 100.])
    """
    fits("geomspace", (num,), None)
    if not (np.all(array_of(start)) and np.all(array_of(stop))):
        raise ArgumentError("geomspace: expected ends other than 0, of which there is no multiple, got 0")
    start, stop = (astype(x, np.result_type(array_of(x), np.float64)) for x in (start, stop))  # as NumPy does
    y = moveaxis(_spaced(start, stop, num, endpoint, lambda a, b, share: a * (b / a) ** share), 0, axis)
    return y if dtype is None else astype(y, dtype)


@checked
def logspace(
    start: Array, stop: Array, num: Count = 50, endpoint: bool = True, base: Array = 10.0,
    dtype: DType | None = None, axis: int = 0,
) -> Tensor:  # fmt: skip
    """`num` values from base ** start to base ** stop, whose logarithms are evenly spaced.

    >>> logspace(Tensor(0.0), 2.0, 3)
    Tensor([  1.,  10., 100.])
    """
    if np.ndim(array_of(base)):
        ndim = len(np.broadcast_shapes(*(shape_of(x) for x in (start, stop, base))))
        start, stop, base = (x[(None,) * (ndim - np.ndim(array_of(x)))] for x in map(_array, (start, stop, base)))
        base = expand_dims(base, axis)
    y = base ** linspace(start, stop, num, endpoint, axis=axis)
    return y if dtype is None else astype(y, dtype)


def _array(x: Array) -> Any:
    return x if isinstance(x, Tensor) else np.asarray(x)


__all__ = ["geomspace", "linspace", "logspace"]
