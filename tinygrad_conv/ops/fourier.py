"""Discrete Fourier transforms: three primitives, linear and closed under transposition, and what is composed of them.

`_fft` (forward or backward) is a symmetric matrix, so its transpose is itself; `_rfft` of real numbers and `_irfft` to
real numbers are each other's, but for weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Axes, Device, DType, Size, afford, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.primitive import linear
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError
from .axes import axis_of
from .complex import conj
from .creation import asarray
from .indexing import getitem
from .shape import concat, roll

NORMS = {"backward": "forward", "ortho": "ortho", "forward": "backward"}  # and their opposites
Norm: TypeAlias = Annotated[str | None, one_of(None, *NORMS)]


def _fitted(x: Any, n: int, axis: int) -> Any:
    """Cut, or filled up with zeros, to n along an axis."""
    size = x.shape[axis]
    if n <= size:
        return x if n == size else getitem(x, (*(slice(None),) * axis, slice(n)))
    zeros = np.zeros((*x.shape[:axis], n - size, *x.shape[axis + 1 :]), x.dtype)
    return concat([x, constant(zeros)], axis=axis)


@linear(
    lambda g, axis, norm, inverse: _fft(g, axis=axis, norm=norm, inverse=inverse), flops=lambda x, y, **_: _cost(y),
    samples=lambda d: _sample(d, inverse=d.boolean()), label="fft",
)  # fmt: skip
def _fft(x: Array, axis: int = -1, norm: str = "backward", inverse: bool = False) -> Array:
    """The discrete Fourier transform along an axis, or its inverse. Derivative: itself, which is its own transpose."""
    return (np.fft.ifft if inverse else np.fft.fft)(x, axis=axis, norm=norm)  # type: ignore[arg-type]


@linear(
    lambda g, x_shape, axis, norm: _fft(_fitted(g, x_shape[axis], axis), axis=axis, norm=norm),
    flops=lambda x, y, **_: _cost(x), samples=lambda d: _sample(d),
)  # fmt: skip
def _rfft(x: Array, axis: int = 0, norm: str = "backward") -> Array:
    """The first half of the transform of real numbers, n // 2 + 1 of them. Derivative: itself."""
    return np.fft.rfft(x, axis=axis, norm=norm)  # type: ignore[arg-type]


def _weights(n: int, count: int, axis: int, ndim: int, like: Any) -> Any:
    """How often each of the first half of a spectrum is there: 0 and n / 2 once, the others twice."""
    weights = np.full(count, 2.0, like.dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[n // 2 :] = 1
    return constant(weights.reshape([-1 if k == axis else 1 for k in range(ndim)]))


@linear(
    lambda g, x_shape, n, axis, norm: _weights(n, x_shape[axis], axis, len(x_shape), g)
    * _rfft(g, axis=axis, norm=NORMS[norm]),
    flops=lambda x, y, **_: _cost(y), samples=lambda d: _half_sample(d),
)  # fmt: skip
def _irfft(x: Array, n: int, axis: int = 0, norm: str = "backward") -> Array:
    """n real numbers from the n // 2 + 1 first of their transform. Derivative: itself; its transpose is `_rfft`."""
    return np.fft.irfft(x, n, axis=axis, norm=norm)  # type: ignore[arg-type]


def _cost(shape: Sequence[int]) -> int:
    size = int(np.prod(shape, dtype=np.int64))
    return int(5 * size * np.log2(max(size, 2)))


def _sample(d: Any, **params: Any) -> Any:
    shape = d.shape(min_ndim=1, min_side=1)
    return (d.array(shape),), {"axis": d.integer(0, len(shape) - 1), "norm": d.choice(list(NORMS)), **params}


def _half_sample(d: Any) -> Any:
    (x,), params = _sample(d)
    n = 2 * (x.shape[params["axis"]] - 1) + d.integer(0, 1)
    return (x,), {"n": n or 1, **params}


# ------------------------------------------------------------------------------------------------------------------
# NumPy's names


def _prepared(what: str, x: Array, n: int | None, axis: int, norm: str | None) -> tuple[Any, int, int, str]:
    """x as tensor or array, the number of points, the axis >= 0, the norm."""
    x = x if isinstance(x, Tensor) else np.asarray(x)
    axis = axis_of(what, axis, x.shape)
    norm = "backward" if norm is None else norm
    n = x.shape[axis] if n is None else n
    afford(what, (*x.shape[:axis], n, *x.shape[axis + 1 :]), 16)
    if n < 1:
        raise ArgumentError(f"{what}: expected at least 1 point, got {n} (shape {x.shape}, axis {axis})")
    return x, n, axis, norm


@checked
def fft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The discrete Fourier transform along an axis, cut or filled up with zeros to n: y_k = Σ x_j exp(-2πi j k / n).

    Derivative: the transform of the tangent.

    >>> fft(Tensor([1.0, 0.0, 0.0, 0.0])).real
    Tensor([1., 1., 1., 1.])
    """
    x, n, axis, norm = _prepared("fft", x, n, axis, norm)
    return _fft(_fitted(x, n, axis), axis=axis, norm=norm)


@checked
def ifft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The inverse of `fft`.

    >>> ifft(fft(Tensor([1.0, 2.0, 3.0]))).real
    Tensor([1., 2., 3.])
    """
    x, n, axis, norm = _prepared("ifft", x, n, axis, norm)
    return _fft(_fitted(x, n, axis), axis=axis, norm=norm, inverse=True)


@checked
def rfft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The first half of the `fft` of real numbers: the other is its conjugate.

    >>> rfft(Tensor([1.0, 0.0, 0.0, 0.0])).shape
    (3,)
    """
    x, n, axis, norm = _prepared("rfft", x, n, axis, norm)
    if x.dtype.kind == "c":
        raise ArgumentError(f"rfft: expected real numbers, got {x.dtype}; use fft")
    return _rfft(_fitted(x, n, axis), axis=axis, norm=norm)


@checked
def irfft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The inverse of `rfft`: n real numbers, 2 (m - 1) of m points if n is not given.

    >>> irfft(rfft(Tensor([1.0, 2.0, 3.0])), n=3)
    Tensor([1., 2., 3.])
    """
    if n is None:
        shape = shape_of(x)
        n = 2 * (shape[axis_of("irfft", axis, shape)] - 1)
    x, n, axis, norm = _prepared("irfft", x, n, axis, norm)
    return _irfft(_fitted(x, n // 2 + 1, axis), n=n, axis=axis, norm=norm)


@checked
def hfft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The transform of what is conjugate-symmetric, given its first half: real numbers.

    >>> hfft(Tensor([2.0, 1.0]), n=3)
    Tensor([4., 1., 1.])
    """
    norm = "backward" if norm is None else norm
    return irfft(conj(x), n, axis, NORMS.get(norm, norm))


@checked
def ihfft(x: Array, n: Size | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The inverse of `hfft`: the first half of what real numbers are the transform of.

    >>> ihfft(hfft(Tensor([2.0, 1.0]), n=3)).real
    Tensor([2., 1.])
    """
    norm = "backward" if norm is None else norm
    return conj(rfft(x, n, axis, NORMS.get(norm, norm)))


def _axes(what: str, x: Array, s: Any, axes: Any) -> list[tuple[int, int | None]]:
    """Pairs (axis, number of points)."""
    ndim = np.ndim(array_of(x))
    if axes is None:
        axes = range(ndim) if s is None else range(-len(s), 0)
    sizes = [None] * len(axes) if s is None else list(s)
    if len(sizes) != len(axes):
        raise ArgumentError(f"{what}: expected as many sizes as axes, got s={s} and axes={tuple(axes)}")
    return list(zip(axes, (None if n == -1 else n for n in sizes), strict=True))


@checked
def fftn(x: Array, s: Sequence[Size] | None = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """`fft` along several axes (all when None), the last one first.

    >>> fftn(Tensor([[1.0, 2.0], [3.0, 4.0]])).real
    Tensor([[10., -2.],
            [-4.,  0.]])
    """
    y: Any = x
    for axis, n in reversed(_axes("fftn", x, s, axes)):
        y = fft(y, n, axis, norm)
    return y


@checked
def ifftn(x: Array, s: Sequence[Size] | None = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """The inverse of `fftn`.

    >>> ifftn(fftn(Tensor([[1.0, 2.0], [3.0, 4.0]]))).real
    Tensor([[1., 2.],
            [3., 4.]])
    """
    y: Any = x
    for axis, n in reversed(_axes("ifftn", x, s, axes)):
        y = ifft(y, n, axis, norm)
    return y


@checked
def rfftn(x: Array, s: Sequence[Size] | None = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """`rfft` along the last of several axes, then `fft` along the others.

    >>> rfftn(Tensor(np.zeros((4, 6)))).shape
    (4, 4)
    """
    *others, (last, n) = _axes("rfftn", x, s, axes)
    y: Any = rfft(x, n, last, norm)
    for axis, m in reversed(others):
        y = fft(y, m, axis, norm)
    return y


@checked
def irfftn(x: Array, s: Sequence[Size] | None = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """The inverse of `rfftn`.

    >>> irfftn(rfftn(Tensor([[1.0, 2.0], [3.0, 4.0]])))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    *others, (last, n) = _axes("irfftn", x, s, axes)
    y: Any = x
    for axis, m in others:
        y = ifft(y, m, axis, norm)
    return irfft(y, n, last, norm)


@checked
def fft2(x: Array, s: Sequence[Size] | None = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """`fftn` along two axes.

    >>> fft2(Tensor(np.ones((2, 2)))).real
    Tensor([[4., 0.],
            [0., 0.]])
    """
    return fftn(x, s, axes, norm)


@checked
def ifft2(x: Array, s: Sequence[Size] | None = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """`ifftn` along two axes.

    >>> ifft2(fft2(Tensor([[1.0, 2.0], [3.0, 4.0]]))).real
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return ifftn(x, s, axes, norm)


@checked
def rfft2(x: Array, s: Sequence[Size] | None = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """`rfftn` along two axes.

    >>> rfft2(Tensor(np.ones((2, 2)))).real
    Tensor([[4., 0.],
            [0., 0.]])
    """
    return rfftn(x, s, axes, norm)


@checked
def irfft2(x: Array, s: Sequence[Size] | None = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """`irfftn` along two axes.

    >>> irfft2(rfft2(Tensor([[1.0, 2.0], [3.0, 4.0]])))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return irfftn(x, s, axes, norm)


def _shifts(x: Array, axes: Any, sign: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = shape_of(x)
    axes = tuple(range(len(shape))) if axes is None else (axes,) if isinstance(axes, (int, np.integer)) else tuple(axes)
    return tuple(shape[k] // 2 if sign > 0 else -(shape[k] // 2) for k in axes), axes


@checked
def fftshift(x: Array, axes: Axes = None) -> Tensor:
    """Frequency 0 in the middle: rolled by half along axes (all when None).

    >>> fftshift(fftfreq(4))
    Tensor([-0.5 , -0.25,  0.  ,  0.25])
    """
    return roll(x, *_shifts(x, axes, 1))


@checked
def ifftshift(x: Array, axes: Axes = None) -> Tensor:
    """The inverse of `fftshift`.

    >>> ifftshift(fftshift(Tensor([1.0, 2.0, 3.0])))
    Tensor([1., 2., 3.])
    """
    return roll(x, *_shifts(x, axes, -1))


@checked
def fftfreq(n: Size, d: float = 1.0, *, dtype: DType | None = None, device: Device | None = None) -> Tensor:
    """The frequencies that the n numbers of an `fft` are of, for points d apart.

    >>> fftfreq(4)
    Tensor([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return asarray(np.fft.fftfreq(n, d), dtype)


@checked
def rfftfreq(n: Size, d: float = 1.0, *, dtype: DType | None = None, device: Device | None = None) -> Tensor:
    """The frequencies that the n // 2 + 1 numbers of an `rfft` are of, for points d apart.

    >>> rfftfreq(4)
    Tensor([0.  , 0.25, 0.5 ])
    """
    return asarray(np.fft.rfftfreq(n, d), dtype)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
