"""NumPy's keywords that an operation does not have itself, composed: ``dtype=``, ``where=``, ``initial=``, ``mean=``.

=============  ===============================================================================================
``dtype=``     what it computes in: the arguments are converted first
``where=``     of reductions: what is left out becomes what changes nothing, as 0 in a sum
``initial=``   of reductions: one more element
``mean=``      of `var` and `std`: the deviations are from it (`correction` is `ddof`, as in the Array API)
=============  ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..engine.bare import array_of, shape_of
from ..engine.tensor import Tensor
from ..errors import ArgumentError
from .complex import squared_size
from .elementwise import add, logaddexp, maximum, minimum, multiply, root
from .elementwise import where as choose
from .functions import fmax, fmin
from .reductions import logsumexp, max, min, prod, std, sum, var
from .reductions import mean as average
from .shape import astype, reshape
from .statistics import nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar

__all__ = ["composed"]

# For each reduction: what takes one more element in, and what changes nothing (None: only `initial` does).
_REDUCTIONS: dict[Any, tuple[Any, Any]] = {
    sum: (add, 0), nansum: (add, 0), prod: (multiply, 1), nanprod: (multiply, 1), logsumexp: (logaddexp, -np.inf),
    max: (maximum, None), nanmax: (fmax, None), min: (minimum, None), nanmin: (fmin, None),
}  # fmt: skip
_MOMENTS: dict[Any, bool] = {  # are NaN left out?
    average: False, var: False, std: False, nanmean: True, nanvar: True, nanstd: True,
}  # fmt: skip


def composed(name: str, operation: Any, inputs: Sequence[Any], known: dict[str, Any], rest: Mapping[str, Any]) -> Any:
    """The operation on inputs, with the keywords that it has and the rest; NotImplemented, if that cannot be composed.

    Raises ArgumentError for a `dtype` that `casting` forbids.
    """
    rest = dict(rest)
    dtype, casting = rest.pop("dtype", None), rest.pop("casting", "unsafe")
    whole = np.asarray(array_of(inputs[0])).dtype.kind in "biu" if operation in _REDUCTIONS else False
    asked = known.get("dtype", dtype)
    if whole or (asked is not None and np.dtype(asked).kind not in "fc"):
        return NotImplemented  # what integers are added up in is NumPy's own choice
    if dtype is not None:
        data = getattr(getattr(operation, "primitive", None), "nondiff", ())  # as the exponents of `ldexp`
        inputs = [
            x if k < len(data) and data[k] else _converted(name, x, np.dtype(dtype), casting)
            for k, x in enumerate(inputs)
        ]
    if operation in _MOMENTS and rest and rest.keys() <= {"where", "mean", "correction"}:
        operation, rest, known = partial(_moment, operation), {}, {**known, **rest}
    combine, nothing = _REDUCTIONS.get(operation, (None, None))
    initial = rest.pop("initial", None) if combine is not None else None
    nothing = initial if nothing is None else nothing
    if "where" in rest and nothing is not None:
        x = inputs[0]
        mask = np.broadcast_to(array_of(rest.pop("where")), shape_of(x))
        inputs = [choose(mask, x, nothing), *inputs[1:]]
    if rest:
        return NotImplemented
    if initial is not None and not np.size(array_of(inputs[0])):
        return sum(*inputs, **known) + initial  # of nothing; an extreme alone would be refused
    result = operation(*inputs, **known)
    if dtype is not None and isinstance(result, Tensor) and result.dtype != dtype:
        result = astype(result, dtype)  # that of covariances is float64 at least
    return result if initial is None else combine(result, initial)


def _converted(name: str, x: Any, dtype: np.dtype[Any], casting: str) -> Any:
    """An argument in another dtype; what is no array or list of arrays stays."""
    if isinstance(x, (list, tuple)):
        if all(isinstance(item, (int, float)) for item in x):
            return np.asarray(x, dtype)
        return [_converted(name, item, dtype, casting) for item in x]
    if not isinstance(x, (Tensor, np.ndarray)):
        return x
    if not np.can_cast(x.dtype, dtype, casting):  # type: ignore[arg-type]
        raise ArgumentError(f"{name}: casting={casting!r} does not convert {x.dtype} to {dtype}")
    return astype(x, dtype)


def _moment(
    operation: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: float | None = None,
    *, where: Any = True, mean: Any = None,
) -> Any:  # fmt: skip
    """The mean, variance or standard deviation of what a mask lets through, about its mean or another centre."""
    x = x if isinstance(x, Tensor) else np.asarray(x)
    mask = np.broadcast_to(array_of(where), x.shape)
    if _MOMENTS[operation]:
        mask = mask & ~np.isnan(array_of(x))
    kind = x.real.dtype if x.dtype.kind in "fc" else np.float64
    count = np.sum(mask, axis=axis, keepdims=True).astype(kind)
    y = sum(choose(mask, x, 0.0), axis=axis, keepdims=True) / count if mean is None else mean
    if operation not in (average, nanmean):
        ddof = ddof if correction is None else correction
        y = sum(squared_size(choose(mask, x - y, 0.0)), axis=axis, keepdims=True) / np.maximum(count - ddof, 0)
        y = root(y) if operation in (std, nanstd) else y
    return y if keepdims else reshape(y, np.sum(mask, axis=axis).shape)
