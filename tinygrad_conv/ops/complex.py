"""Parts of complex numbers.

The gradient of a real loss by a complex number z = a + i b is dL/da + i dL/db, the direction of steepest ascent, as in
PyTorch (JAX gives its conjugate). It is the engine's business: rules state derivatives as for real numbers, and are
given and give conjugates (`engine/walk.py`). What is stated here is what is no derivative of a complex function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import checked
from ..engine.bare import array_of
from ..engine.plain import plain
from ..engine.primitive import elementwise, linear
from ..engine.tensor import Array
from .elementwise import equal, square, where


@linear(lambda g: g, flops=0, samples=lambda d: d.plain_sample())
def _real(x: Array) -> Array:
    """The real part. Derivative: that of the tangent; the gradient is real."""
    return np.real(x)


@linear(lambda g: g * 1j, flops=0, samples=lambda d: d.plain_sample())
def _imag(x: Array) -> Array:
    """The imaginary part. Derivative: that of the tangent; the gradient is imaginary."""
    return np.imag(x)


@linear(lambda g: conj(g), flops=0, samples=lambda d: d.plain_sample())
def _conj(x: Array) -> Array:
    """The complex conjugate. Derivative: the conjugate."""
    return np.conjugate(x)


def _is_complex(x: Array) -> bool:
    return np.iscomplexobj(array_of(x))


@checked
def real(x: Array) -> Any:
    """The real part; a real array itself.

    >>> from tinygrad_conv import Tensor
    >>> real(Tensor([1 + 2j]))
    Tensor([1.])
    """
    return _real(x) if _is_complex(x) else x


@checked
def imag(x: Array) -> Any:
    """The imaginary part; 0 for a real array.

    >>> from tinygrad_conv import Tensor
    >>> imag(Tensor([1 + 2j]))
    Tensor([2.])
    """
    return _imag(x) if _is_complex(x) else where(True, np.zeros((), np.asarray(array_of(x)).dtype), x)


@checked
def conj(x: Array) -> Any:
    """The complex conjugate; a real array itself.

    >>> from tinygrad_conv import Tensor
    >>> conj(Tensor([1 + 2j]))
    Tensor([1.-2.j], dtype=complex128)
    """
    return _conj(x) if _is_complex(x) else x


@checked
def real_if_close(x: Array, tol: float = 100) -> Any:
    """The real part, if all imaginary parts are less than `tol` units of rounding (`tol` itself up to 1).

    >>> from tinygrad_conv import Tensor
    >>> real_if_close(Tensor([1 + 1e-16j]))
    Tensor([1.])
    """
    if not _is_complex(x):
        return x
    least = tol * np.finfo(np.asarray(array_of(x)).dtype).eps if tol > 1 else tol
    return real(x) if bool(_all_below(imag(x), least)) else x


@plain
def _all_below(x: Array, least: float) -> Any:
    return np.all(np.absolute(x) < least)


def squared_size(x: Array) -> Any:
    """|x|²: of a real number x². Derivative: 2 x."""
    return real(x * conj(x)) if _is_complex(x) else square(x)


def _turn(x: Any) -> Any:
    zero = equal(x, 0)
    return where(zero, 0, 1j / where(zero, 1, conj(x))) if x.dtype.kind == "c" else x * 0


@elementwise(lambda x: _turn(x), flops=10, kinks="0 at the origin", domain=(0.3, 3))
def angle(x: Array) -> Array:
    """The angle of a complex number, in [-π, π]. Derivative: i x / |x|², 0 at 0.

    >>> from tinygrad_conv import Tensor
    >>> angle(Tensor([1j]))
    Tensor([1.57079633])
    """
    return np.angle(x)


__all__ = ["angle", "conj", "imag", "real", "real_if_close"]
