"""What `keras.src.backend.numpy.math` gets from this engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.elementwise import erf as _erf
from ..ops.indexing import scatter
from ..ops.reductions import logsumexp as _logsumexp
from .arrays import astype
from .core import convert_to_numpy, convert_to_tensor

__all__ = ["erf", "fft", "fft2", "logsumexp", "segment_max", "segment_min", "segment_sum"]


def erf(x: Any) -> Any:
    x = convert_to_tensor(x)
    return astype(_erf(x), x.dtype)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _logsumexp(convert_to_tensor(x), axis, keepdims)


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    data, ids, n = _segments(data, segment_ids, num_segments)
    return scatter(data, ids, (n, *data.shape[1:]))


def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    return _of_segments(np.max, -np.inf, *_segments(data, segment_ids, num_segments))


def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    return _of_segments(np.min, np.inf, *_segments(data, segment_ids, num_segments))


def _segments(data: Any, ids: Any, n: int | None) -> tuple[Any, Any, int]:
    """Data that is in a segment, the segment of each, and how many there are; -1 is no segment."""
    ids = convert_to_numpy(ids)
    n = int(ids.max()) + 1 if n is None else n
    inside = (ids >= 0) & (ids < n)
    return convert_to_tensor(data)[inside], ids[inside], n


def _of_segments(reduce: Any, nothing: float, data: Any, ids: Any, n: int) -> Any:
    empty = np.full(data.shape[1:], nothing, data.dtype)
    return np.stack([reduce(data[ids == k], axis=0) if (ids == k).any() else empty for k in range(n)])


def fft(x: Any) -> Any:
    return _of_pair(np.fft.fft, x)


def fft2(x: Any) -> Any:
    return _of_pair(np.fft.fft2, x)


def _of_pair(transform: Any, x: Any) -> Any:
    """A transform of complex numbers that are given as pairs (real, imaginary), as Keras has them."""
    real, imaginary = map(convert_to_tensor, x)
    y = transform(real + 1j * imaginary)
    return np.real(y).astype(real.dtype), np.imag(y).astype(real.dtype)
