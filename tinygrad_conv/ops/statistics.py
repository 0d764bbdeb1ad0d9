"""Averages with weights, moments without NaN, covariances: composed of sums and `where`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import Axes, DType, checked
from ..engine.bare import array_of, shape_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .complex import conj, imag, real, squared_size
from .elementwise import clip, divide, greater, isnan, root, sqrt, where
from .joining import vstack
from .leaving import data_of
from .linalg import diagonal, matmul
from .reductions import all, max, mean, min, normalize_axes, prod, sum
from .shape import astype, broadcast_to, expand_dims, matrix_transpose, reshape, squeeze


@checked
def average(
    x: Array, axis: Axes = None, weights: Array | None = None, returned: bool = False, *, keepdims: bool = False
) -> Any:
    """The mean over axes, weighted: Σ w x / Σ w. With `returned`, also the sum of the weights.

    >>> average(Tensor([1.0, 2.0]), weights=[3.0, 1.0])
    Tensor(1.25)
    """
    shape = shape_of(x)
    if weights is None:
        y = mean(x, axis=axis, keepdims=keepdims)
        n = int(np.prod([shape[k] for k in normalize_axes(axis, len(shape))], dtype=np.int64))
        return (y, np.full(shape_of(y), n, np.asarray(array_of(y)).dtype)) if returned else y
    given = shape_of(weights)
    if given != shape:
        named = () if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else tuple(axis)
        axes = tuple(k % len(shape) for k in named)
        if axis is None or given != tuple(shape[k] for k in axes):
            raise ShapeError(
                f"average: expected weights of x's shape {shape}, or of its sizes along axis={axis}, got {given}"
            )
        order = np.argsort(axes)
        sized = tuple(shape[k] if k in axes else 1 for k in range(len(shape)))
        turned = weights.transpose(*order) if isinstance(weights, Tensor) else np.transpose(weights, order)
        weights = reshape(turned, sized)
    dtypes = [np.asarray(array_of(v)).dtype for v in (x, weights)]
    if dtypes[0].kind in "iub":
        dtypes.append(np.dtype(np.float64))
    weights = astype(broadcast_to(weights, shape), np.result_type(*dtypes))
    total = sum(weights, axis=axis, keepdims=keepdims)
    y = sum(x * weights, axis=axis, keepdims=keepdims) / total
    return (y, total) if returned else y


# ------------------------------------------------------------------------------------------------------------------
# Without NaN


@checked
def nansum(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The sum of the elements that are not NaN; 0 where there are none.

    >>> nansum(Tensor([1.0, np.nan, 2.0]))
    Tensor(3.)
    """
    return sum(where(isnan(x), 0, x), axis=axis, keepdims=keepdims)


@checked
def nanprod(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The product of the elements that are not NaN; 1 where there are none.

    >>> nanprod(Tensor([2.0, np.nan, 3.0]))
    Tensor(6.)
    """
    return prod(where(isnan(x), 1, x), axis=axis, keepdims=keepdims)


@checked
def nanmax(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest element that is not NaN; NaN where there is none.

    >>> nanmax(Tensor([1.0, np.nan, 5.0]))
    Tensor(5.)
    """
    return _nan_extreme(max, -np.inf, x, axis, keepdims)


@checked
def nanmin(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest element that is not NaN; NaN where there is none.

    >>> nanmin(Tensor([1.0, np.nan, 5.0]))
    Tensor(1.)
    """
    return _nan_extreme(min, np.inf, x, axis, keepdims)


def _nan_extreme(extreme: Any, worst: float, x: Array, axis: Any, keepdims: bool) -> Any:
    if np.asarray(array_of(x)).dtype.kind in "biu":
        return extreme(x, axis=axis, keepdims=keepdims)
    y = extreme(where(isnan(x), worst, x), axis=axis, keepdims=keepdims)
    return where(all(isnan(x), axis=axis, keepdims=keepdims), np.nan, y)


@checked
def nanmean(x: Array, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The mean of the elements that are not NaN; NaN where there are none.

    >>> nanmean(Tensor([1.0, np.nan, 3.0]))
    Tensor(2.)
    """
    return nansum(x, axis=axis, keepdims=keepdims) / _numbers(x, axis, keepdims)


@checked
def nanvar(x: Array, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The variance of the n elements that are not NaN, divided by n - ddof; NaN where that is not above 0.

    >>> nanvar(Tensor([1.0, np.nan, 5.0]))
    Tensor(4.)
    """
    centred = where(isnan(x), 0.0, x - nanmean(x, axis=axis, keepdims=True))
    return sum(squared_size(centred), axis=axis, keepdims=keepdims) / _numbers(x, axis, keepdims, ddof)


@checked
def nanstd(x: Array, axis: Axes = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The root of `nanvar`.

    >>> nanstd(Tensor([1.0, np.nan, 5.0]))
    Tensor(2.)
    """
    return root(nanvar(x, axis=axis, ddof=ddof, keepdims=keepdims))


@plain
def _numbers(x: Array, axis: Any, keepdims: bool, ddof: float = 0) -> Any:
    """How many elements are not NaN, less ddof; NaN itself where that is not above 0. In x's dtype."""
    count = np.sum(~np.isnan(x), axis=axis, keepdims=keepdims) - ddof
    dtype = np.asarray(x).real.dtype
    return np.where(count > 0, count, np.nan).astype(dtype if dtype.kind == "f" else np.float64)


# ------------------------------------------------------------------------------------------------------------------
# Together


@checked
def cov(
    x: Array, y: Array | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Array | None = None, *, dtype: DType | None = None,
) -> Tensor:  # fmt: skip
    """The covariances of variables, which are rows (columns with ``rowvar=False``), as `numpy.cov`.

    `fweights`, how often each was seen, are data; `dtype` is what is computed in, float64 at least if not given.
    Derivative: that of the centred products.

    >>> cov(Tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]))
    Tensor([[1., 2.],
            [2., 4.]])
    """
    rows = _variables(x, rowvar)
    if y is not None:
        rows = vstack([rows, _variables(y, rowvar, of_x=False)])
    rows = astype(rows, np.result_type(rows.dtype, np.float64) if dtype is None else dtype)
    n = shape_of(rows)[1]
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights: Any = np.ones(n, np.float64 if fweights is not None or aweights is not None else rows.real.dtype)
    for name, given, kind in (("fweights", fweights, "iu"), ("aweights", aweights, "iuf")):
        if given is not None:
            array = np.asarray(data_of("cov, whose fweights are data", given) if kind == "iu" else array_of(given))
            if array.shape != (n,) or array.dtype.kind not in kind or (array < 0).any():
                raise ArgumentError(
                    f"cov: expected {name} as {n} numbers >= 0 ({kind}), got {array.dtype} {array.shape}"
                )
            weights = weights * given
    total = sum(weights)
    centre = sum(rows * weights, axis=1, keepdims=True) / total
    lost: Any = ddof if aweights is None or ddof == 0 else ddof * sum(weights * aweights) / total
    factor = total - lost
    centred = astype(rows - centre, rows.dtype)
    found = matmul(centred * weights, conj(matrix_transpose(centred))) / where(greater(factor, 0), factor, np.nan)
    return squeeze(found) if 1 in shape_of(found) else found


def _variables(x: Array, rowvar: bool, of_x: bool = True) -> Any:
    ndim = np.ndim(array_of(x))
    if ndim > 2:
        raise ShapeError(f"cov: expected at most 2 axes, got shape {shape_of(x)}")
    if ndim < 2:
        return reshape(x, (1, -1))
    turned = not rowvar and (of_x or shape_of(x)[0] != 1)  # as NumPy 2.2 and later have it
    return matrix_transpose(x) if turned else x if isinstance(x, Tensor) else np.asarray(x)


@checked
def corrcoef(x: Array, y: Array | None = None, rowvar: bool = True, *, dtype: DType | None = None) -> Tensor:
    """The correlation coefficients of variables: `cov` over the product of standard deviations, in [-1, 1].

    >>> corrcoef(Tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).round()
    Tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if np.ndim(array_of(c)) == 0:
        return c / c
    deviation = sqrt(real(diagonal(c)))
    found = divide(divide(c, expand_dims(deviation, 1)), expand_dims(deviation, 0))
    if not np.iscomplexobj(array_of(found)):
        return clip(found, -1, 1)
    return clip(real(found), -1, 1) + 1j * clip(imag(found), -1, 1)


__all__ = [
    "average", "corrcoef", "cov", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar",
]  # fmt: skip
