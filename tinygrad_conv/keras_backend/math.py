"""What `keras.src.backend.numpy.math` gets from this engine."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from keras.src.utils.module_utils import scipy as whole  # imported when it is asked

from ..engine.primitive import elementwise
from ..ops.elementwise import erf as _erf
from ..ops.elementwise import exp, square
from ..ops.indexing import scatter
from ..ops.reductions import logsumexp as _logsumexp
from .arrays import astype
from .core import convert_to_numpy, convert_to_tensor

__all__ = ["erf", "fft", "fft2", "istft", "logsumexp", "scipy", "segment_max", "segment_min", "segment_sum"]


def erf(x: Any) -> Any:
    x = convert_to_tensor(x)
    return astype(_erf(x), x.dtype)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _logsumexp(convert_to_tensor(x), axis, keepdims)


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    data, ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
    if num_segments is None:
        num_segments = int(convert_to_numpy(ids).max()) + 1
    ids = np.where((ids >= 0) & (ids < num_segments), ids, num_segments)  # others go where nobody looks
    return scatter(data, (ids,), (num_segments + 1, *data.shape[1:]))[:num_segments]


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


# ------------------------------------------------------------------------------------------------------------------
# What the module asks SciPy for


@elementwise(lambda x: -2 / math.sqrt(math.pi) * exp(-square(x)))
def _erfc(x: Any) -> Any:
    return whole.special.erfc(x)


@elementwise(lambda y: math.sqrt(math.pi) / 2 * exp(square(y)), domain=(-0.9, 0.9))
def _erfinv(x: Any) -> Any:
    return whole.special.erfinv(x)


def _get_window(name: str, length: int) -> Any:
    return whole.signal.get_window(name, length)


def _stft(x: Any, window: Any, nperseg: int, noverlap: int, nfft: int, **_: Any) -> tuple[Any, ...]:
    """The spectra of windows along the last axis, scaled as SciPy has them: (..., frequencies, windows)."""
    starts = np.arange(0, x.shape[-1] - nperseg + 1, nperseg - noverlap)
    parts = x[..., starts[:, None] + np.arange(nperseg)] * (window / np.sum(window))
    return (np.swapaxes(np.fft.rfft(parts, nfft), -2, -1),)


scipy = SimpleNamespace(
    signal=SimpleNamespace(stft=_stft, get_window=_get_window),
    special=SimpleNamespace(erfc=_erfc, erfinv=_erfinv),
)


def istft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, length: int | None = None,
    window: Any = "hann", center: bool = True,
) -> Any:  # fmt: skip
    real, imaginary = map(convert_to_tensor, x)
    parts = np.fft.irfft(real + 1j * imaginary, fft_length).astype(real.dtype)
    if window is not None:
        shape = convert_to_tensor(_get_window(window, sequence_length) if isinstance(window, str) else window)
        if shape.shape != (sequence_length,):
            raise ValueError(
                f"The shape of `window` must be equal to [sequence_length]. Received: window shape={shape.shape}"
            )
        before = (fft_length - sequence_length) // 2
        shape = np.pad(shape.astype(real.dtype), (before, fft_length - sequence_length - before))
        place = np.arange(fft_length) % sequence_stride
        parts = parts * (shape / scatter(np.square(shape), (place,), (sequence_stride,))[place])
    places = np.arange(parts.shape[-2])[:, None] * sequence_stride + np.arange(fft_length)
    y = scatter(parts, (..., places), (*parts.shape[:-2], int(places[-1, -1]) + 1))
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else y.shape[-1] - start
    return y[..., start:end]
