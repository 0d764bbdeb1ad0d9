"""Tensors from nothing and from other arrays: NumPy's and the Array API's names, plus `requires_grad`."""

from __future__ import annotations

from math import ceil, isfinite
from typing import Any

import numpy as np

from ..arguments import Count, Device, DType, ShapeLike, afford, bare_array, checked, described
from ..engine.bare import array_of
from ..engine.guards import expose
from ..engine.modes import constant
from ..engine.node import Shape
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError, GraphError
from .shape import copy as copied


def made(array: Any, requires_grad: bool = False) -> Tensor:
    if array.dtype.kind not in "fiubc":
        raise DTypeError(f"expected numbers, got dtype {array.dtype} to be like; convert the data first")
    out = Tensor(0.0)
    out._array = constant(array)  # made here, so nobody else holds it
    out.requires_grad = requires_grad
    return out


def fits(what: str, shape: Shape, dtype: Any) -> Any:
    """The dtype, float64 if it is None, after a look at the memory that so much of it takes."""
    dtype = np.dtype(np.float64 if dtype is None else dtype)
    afford(what, shape, dtype.itemsize)
    return dtype


@checked
def asarray(data: Any, dtype: DType | None = None, *, device: Device | None = None, copy: bool | None = None) -> Tensor:
    """`data` as a tensor; a tensor of that dtype is returned as it is, unless ``copy=True``.

    An array shares its memory if it can. Raises ArgumentError with ``copy=False`` where it cannot.

    >>> asarray([1.0, 2.0])
    Tensor([1., 2.])
    """
    if not isinstance(data, Tensor):
        out = Tensor(data, dtype=dtype)
    else:
        out = data if dtype is None or data.dtype == dtype else data.astype(dtype)
    shared = out is data or not (isinstance(data, Tensor) or out._array.flags.owndata)
    shared = shared or (isinstance(data, np.ndarray) and np.may_share_memory(out._array, data))
    if copy is False and not shared:
        raise ArgumentError(f"asarray: expected what is a tensor of {out.dtype} without a copy, got {data!r:.50}")
    return copied(out) if copy and shared else out


@checked
def from_dlpack(x: Any, *, device: Device | None = None, copy: bool | None = None) -> Tensor:
    """Another library's array (PyTorch's, JAX's) as a tensor that shares its memory, unless ``copy=True``.

    Raises DTypeError for what is not given away, such as a PyTorch tensor that requires a gradient, or one of a GPU.

    >>> from_dlpack(np.array([1.0, 2.0]))
    Tensor([1., 2.])
    """
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: expected an array with __dlpack__, got {type(x).__name__}; use asarray")
    x = bare_array(x, "from_dlpack")
    try:
        array = np.from_dlpack(x)
    except GraphError:
        raise
    except Exception as error:  # whatever the other library raises
        raise DTypeError(
            f"from_dlpack: expected an array that gives its memory away, got {described(x)}: {error}"
        ) from error
    if copy:
        return made(array.copy())
    out = made(array)
    expose(array, late=False)
    return out


@checked
def zeros(
    shape: ShapeLike, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 0.

    >>> zeros(2)
    Tensor([0., 0.])
    """
    return made(np.zeros(shape, fits("zeros", shape, dtype)), requires_grad)


@checked
def ones(
    shape: ShapeLike, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 1.

    >>> ones((1, 2), requires_grad=True)
    Tensor([[1., 1.]], requires_grad=True)
    """
    return made(np.ones(shape, fits("ones", shape, dtype)), requires_grad)


@checked
def empty(
    shape: ShapeLike, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 0 (others leave undefined what `empty` holds).

    >>> empty(2)
    Tensor([0., 0.])
    """
    return zeros(shape, dtype, requires_grad)


@checked
def full(
    shape: ShapeLike, fill_value: Array, dtype: DType | None = None, requires_grad: bool = False, *,
    device: Device | None = None,
) -> Tensor:  # fmt: skip
    """All `fill_value`.

    >>> full(2, 7.0)
    Tensor([7., 7.])
    """
    fits("full", shape, dtype)
    return made(np.full(shape, fill_value, dtype), requires_grad)


@checked
def zeros_like(
    x: Array, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 0, with the shape and dtype of x.

    >>> zeros_like(Tensor([1, 2, 3]))
    Tensor([0, 0, 0])
    """
    return made(np.zeros_like(array_of(x), dtype, subok=False), requires_grad)


@checked
def ones_like(
    x: Array, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 1, with the shape and dtype of x.

    >>> ones_like(Tensor([[5.0, 7.0]]))
    Tensor([[1., 1.]])
    """
    return made(np.ones_like(array_of(x), dtype, subok=False), requires_grad)


@checked
def empty_like(
    x: Array, dtype: DType | None = None, requires_grad: bool = False, *, device: Device | None = None
) -> Tensor:
    """All 0, with the shape and dtype of x (others leave undefined what it holds).

    >>> empty_like(Tensor([5.0, 7.0]))
    Tensor([0., 0.])
    """
    return zeros_like(x, dtype, requires_grad)


@checked
def full_like(
    x: Array, fill_value: Array, dtype: DType | None = None, requires_grad: bool = False, *,
    device: Device | None = None,
) -> Tensor:  # fmt: skip
    """All `fill_value`, with the shape and dtype of x.

    >>> full_like(Tensor([5.0, 7.0]), 3)
    Tensor([3., 3.])
    """
    return made(np.full_like(array_of(x), fill_value, dtype, subok=False), requires_grad)


@checked
def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: DType | None = None, requires_grad: bool = False,
    *, device: Device | None = None,
) -> Tensor:  # fmt: skip
    """Evenly spaced values from start to (not including) stop; from 0, if one number is given.

    >>> arange(3)
    Tensor([0, 1, 2])
    """
    if stop is None:
        start, stop = 0, start
    steps = (stop - start) / step if step else 0.0
    if isfinite(steps):  # NumPy refuses the others
        fits("arange", (max(0, ceil(steps)),), dtype)
    return made(np.arange(start, stop, step, dtype=dtype), requires_grad)


@checked
def eye(
    n: Count, m: Count | None = None, dtype: DType | None = None, requires_grad: bool = False, *, k: int = 0,
    device: Device | None = None,
) -> Tensor:  # fmt: skip
    """1 on the k-th diagonal, 0 elsewhere.

    >>> eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return made(np.eye(n, m, k, dtype=fits("eye", (n, n if m is None else m), dtype)), requires_grad)


__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "ones", "ones_like", "zeros",
    "zeros_like",
]  # fmt: skip
