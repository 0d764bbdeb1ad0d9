"""Running sums, products and the like along an axis.

`cumprod` and `logcumsumexp` are composed by doubling: after k steps each element holds what its last 2^k elements make.
So they take log n operations, and derivatives are exact where an element is 0 or -inf.
Source: W. D. Hillis and G. L. Steele, "Data parallel algorithms" (1986).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import DType, checked
from ..engine.bare import array_of, shape_of
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError
from .axes import along
from .elementwise import isnan, logaddexp, multiply, where
from .indexing import getitem
from .reductions import cumsum
from .shape import astype, concat, reshape


def running(combine: Callable[[Any, Any], Any], what: str, x: Array, axis: int | None) -> Any:
    """The running result along an axis of what combines two elements, associatively."""
    x, axis = along(what, x, axis, numbers=True)  # as for `cumsum`
    y: Any = x if isinstance(x, Tensor) else np.asarray(x)
    before, n, step = (slice(None),) * axis, y.shape[axis], 1
    while step < n:
        start, later = getitem(y, (*before, slice(step))), getitem(y, (*before, slice(step, None)))
        y = concat([start, combine(later, getitem(y, (*before, slice(n - step))))], axis=axis)
        step *= 2
    return y


@checked
def cumprod(x: Array, axis: int | None = None) -> Tensor:
    """The running product along an axis (of the flattened array when None).

    Derivative of y_i by x_k, k <= i: the product of the other factors, exact with zeros too.

    >>> cumprod(Tensor([2.0, 3.0, 4.0]))
    Tensor([ 2.,  6., 24.])
    """
    if np.asarray(array_of(x)).dtype.kind in "biu":  # NumPy counts in integers of the machine's size
        x = astype(x, np.result_type(array_of(x), np.uint if np.asarray(array_of(x)).dtype.kind == "u" else np.int_))
    return running(multiply, "cumprod", x, axis)


@checked
def logcumsumexp(x: Array, axis: int | None = None) -> Tensor:
    """log of the running sum of eˣ along an axis (of the flattened array when None), without overflow.

    Derivative of y_i by x_k, k <= i: exp(x_k - y_i).

    >>> logcumsumexp(Tensor([0.0, 0.0])).round(4)
    Tensor([0.    , 0.6931])
    """
    return running(logaddexp, "logcumsumexp", x, axis)


def _with_initial(
    what: str, x: Array, axis: int | None, dtype: Any, initial: float, run: Any, include_initial: bool
) -> Any:
    x = reshape(x, (1,)) if not shape_of(x) else x
    if axis is None:
        if len(shape_of(x)) != 1:
            raise ArgumentError(f"{what}: expected axis= for an array of shape {shape_of(x)}; only vectors need none")
        axis = 0
    y = run(x if dtype is None else astype(x, dtype), axis=axis)
    if dtype is not None and y.dtype != dtype:  # a small integer dtype, which NumPy adds up in a larger one
        y = astype(y, dtype)
    if include_initial:
        first = list(shape_of(y))
        first[axis] = 1
        y = concat([np.full(first, initial, y.dtype), y], axis=axis)
    return y


@checked
def cumulative_sum(
    x: Array, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False
) -> Tensor:
    """`cumsum` as the Array API has it: in a dtype; vectors need no axis; on request with a 0 in front.

    >>> cumulative_sum(Tensor([1.0, 2.0]), include_initial=True)
    Tensor([0., 1., 3.])
    """
    return _with_initial("cumulative_sum", x, axis, dtype, 0, cumsum, include_initial)


@checked
def cumulative_prod(
    x: Array, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False
) -> Tensor:
    """`cumprod` as the Array API has it: in a dtype; vectors need no axis; on request with a 1 in front.

    >>> cumulative_prod(Tensor([2.0, 3.0]), include_initial=True)
    Tensor([1., 2., 6.])
    """
    return _with_initial("cumulative_prod", x, axis, dtype, 1, cumprod, include_initial)


@checked
def nancumsum(x: Array, axis: int | None = None) -> Tensor:
    """`cumsum` with NaN taken for 0.

    >>> nancumsum(Tensor([1.0, np.nan, 2.0]))
    Tensor([1., 1., 3.])
    """
    return cumsum(where(isnan(x), 0, x), axis=axis)


@checked
def nancumprod(x: Array, axis: int | None = None) -> Tensor:
    """`cumprod` with NaN taken for 1.

    >>> nancumprod(Tensor([2.0, np.nan, 3.0]))
    Tensor([2., 2., 6.])
    """
    return cumprod(where(isnan(x), 1, x), axis=axis)


__all__ = ["cumprod", "cumulative_prod", "cumulative_sum", "logcumsumexp", "nancumprod", "nancumsum"]
