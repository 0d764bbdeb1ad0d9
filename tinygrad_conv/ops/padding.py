"""Elements added around an array, as `numpy.pad`: zeros, other constants, its own elements, ramps, statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np

from ..arguments import Kind, afford, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.plain import plain
from ..engine.primitive import linear
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, AxisError, ShapeError
from .elementwise import where
from .indexing import getitem, take
from .linalg import tensordot
from .reductions import max, mean, min
from .shape import astype, broadcast_to, concat, moveaxis
from .sorting import median


@linear(
    lambda g, x_shape, pairs: getitem(g, tuple(slice(a, a + n) for (a, _), n in zip(pairs, x_shape, strict=True))),
    flops=0, samples=lambda d: d.pad_sample(),
)  # fmt: skip
def _pad(x: Array, pairs: tuple[tuple[int, int], ...]) -> Array:
    """Zeros added around. Derivative: cut them off again."""
    return np.pad(x, pairs) if pairs else np.array(x)


def _widths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {int(axis): _widths(width) for axis, width in value.items()}
    widths = np.asarray(value)
    if widths.dtype.kind not in "iu":
        raise TypeError
    return widths


Widths: TypeAlias = Annotated[
    Any, Kind("an int, a pair, a pair for each axis, or {axis: an int or a pair}", _widths, lambda value: 1)
]
_STATISTICS: dict[str, Any] = {"maximum": max, "mean": mean, "median": median, "minimum": min}
_OPTION = {  # what may be said beside a mode
    "constant": "constant_values", "linear_ramp": "end_values", "reflect": "reflect_type",
    "symmetric": "reflect_type", **dict.fromkeys(_STATISTICS, "stat_length"),
}  # fmt: skip
Mode: TypeAlias = Annotated[str, one_of("edge", "wrap", *_OPTION)]


@checked
def pad(
    x: Array, pad_width: Widths, mode: Mode = "constant", constant_values: Any = None, *, stat_length: Any = None,
    end_values: Any = None, reflect_type: Literal["even", "odd"] = "even",
) -> Tensor:  # fmt: skip
    """Elements added around, as `numpy.pad`: zeros, another constant, or what the array itself says.

    Parameters
    ----------
    pad_width : int, (before, after), one such pair for each axis, or {axis: int or pair}
    mode : "constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "median" or "minimum"
    constant_values, end_values : number, (before, after), or one such pair for each axis; data
        With "constant"; with "linear_ramp", what it runs to. 0 if not given.
    stat_length : int, (before, after), or one such pair for each axis
        From how many elements at each end the statistic is; from all if not given.
    reflect_type : "even" or "odd"
        Odd is twice the edge minus the reflected value.

    Derivative: each original element gets the sum of the gradients of its copies, times their share in it.

    >>> pad(Tensor([1.0, 2.0]), 1)
    Tensor([0., 1., 2., 0.])
    """
    shape = shape_of(x)
    if isinstance(pad_width, dict):
        ndim = len(shape)
        if wrong := [axis for axis in pad_width if not -ndim <= axis < ndim]:
            raise AxisError(f"pad: axis {wrong[0]} is out of bounds for shape {shape}")
        pad_width = [pad_width.get(k, pad_width.get(k - ndim, 0)) for k in range(ndim)]
        pad_width = [np.broadcast_to(width, 2) for width in pad_width]
    pairs = tuple((int(a), int(b)) for a, b in _pairs("pad_width", pad_width, len(shape)))
    if any(n < 0 for pair in pairs for n in pair):
        raise ArgumentError(f"pad: expected widths of at least 0, got {pad_width!r}; cut with x[a:b] instead")
    options = {"constant_values": constant_values, "stat_length": stat_length, "end_values": end_values}
    given = [name for name, value in options.items() if value is not None] + ["reflect_type"] * (reflect_type != "even")
    if given and given != [_OPTION.get(mode)]:
        raise ArgumentError(f'pad: expected no {given[0]} with mode "{mode}", got {given[0]}=; leave it out')
    dtype = np.asarray(array_of(x)).dtype
    afford("pad", [before + n + after for n, (before, after) in zip(shape, pairs, strict=True)], dtype.itemsize)
    if mode == "constant":
        return _with_constants(x, pairs, constant_values)
    if dtype.kind not in "fc" and mode in ("linear_ramp", *_STATISTICS):
        return _padded(x, pairs, mode, {name: options[name] for name in given})
    ends = _pairs("end_values", end_values or 0, len(shape))
    lengths = _pairs("stat_length", stat_length, len(shape))
    y: Any = x if isinstance(x, Tensor) else np.asarray(x)
    for axis, pair in enumerate(pairs):
        if pair == (0, 0):
            continue
        if mode == "linear_ramp":
            parts = [_ramp(y, axis, width, end, k) for k, (width, end) in enumerate(zip(pair, ends[axis], strict=True))]
            y = concat([parts[0], y, parts[1]], axis)
        elif mode in _STATISTICS:
            parts = [
                _statistic(mode, y, axis, w, n, k) for k, (w, n) in enumerate(zip(pair, lengths[axis], strict=True))
            ]
            y = concat([parts[0], y, parts[1]], axis)
        elif reflect_type == "odd":  # linear in the elements: the matrix is what it makes of the unit matrix
            matrix = np.pad(np.eye(shape[axis]), (pair, (0, 0)), mode, reflect_type="odd")  # type: ignore[call-overload]
            y = moveaxis(tensordot(constant(matrix.astype(y.dtype)), y, axes=(1, axis)), 0, axis)
        else:
            y = take(y, np.pad(np.arange(shape[axis]), pair, mode), axis=axis)  # type: ignore[call-overload]
    return y


def _pairs(name: str, value: Any, ndim: int) -> Any:
    try:
        return np.broadcast_to(value, (ndim, 2))
    except ValueError:
        raise ShapeError(
            f"pad: expected {name} as one, a pair, or one pair for each of {ndim} axes, got {value!r}"
        ) from None


@plain
def _padded(x: Array, pairs: Any, mode: str, options: Any) -> Array:
    return np.pad(x, pairs, mode, **options)  # type: ignore[call-overload]


def _with_constants(x: Array, pairs: Any, values: Any) -> Any:
    y = _pad(x, pairs)
    if values is None or (isinstance(values, (int, float)) and values == 0):
        return y
    inside = constant(np.pad(np.ones(shape_of(x), bool), pairs))
    if np.ndim(array_of(values)) > 0 or isinstance(values, (list, tuple)):
        zeros = np.zeros(shape_of(x), np.asarray(array_of(x)).dtype)
        values = constant(np.pad(zeros, pairs, constant_values=_pairs("constant_values", values, zeros.ndim)))
    return where(inside, y, values)


def _end(y: Any, axis: int, n: int | None, last: int) -> Any:
    """The first n places along an axis, or the last n; all when None."""
    size = y.shape[axis]
    n = size if n is None or n > size else int(n)
    return getitem(y, (*(slice(None),) * axis, slice(size - n, size) if last else slice(n)))


def _ramp(y: Any, axis: int, width: int, end: Any, last: int) -> Any:
    share = (np.arange(width) / (width or 1))[:: -1 if last else 1]
    share = constant(share.astype(y.real.dtype).reshape(-1, *(1,) * (y.ndim - 1 - axis)))
    return astype((_end(y, axis, 1, last) - end) * share + end, y.dtype)


def _statistic(mode: str, y: Any, axis: int, width: int, length: Any, last: int) -> Any:
    value = _STATISTICS[mode](_end(y, axis, length, last), axis=axis, keepdims=True)
    return broadcast_to(value, (*y.shape[:axis], width, *y.shape[axis + 1 :]))


__all__ = ["pad"]
