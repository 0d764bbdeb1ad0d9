"""Differences, integrals, interpolation, and the convolution of vectors: composed."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Axes, Count, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.plain import plain
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .axes import axis_of
from .complex import conj, imag, real
from .convolution import conv1d
from .elementwise import not_equal, remainder, where
from .indexing import getitem, take
from .reductions import argsort, sum
from .shape import astype, broadcast_to, concat, flip, reshape


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return getitem(x, (*(slice(None),) * axis, slice(start, stop)))


# ------------------------------------------------------------------------------------------------------------------
# Differences and integrals


@checked
def diff(x: Array, n: Count = 1, axis: int = -1, prepend: Array | None = None, append: Array | None = None) -> Tensor:
    """The n-th differences of neighbours along an axis, which gets n shorter. Of bools: do they differ?

    `prepend` and `append` are joined to x along the axis before.

    >>> diff(Tensor([1.0, 2.0, 4.0]))
    Tensor([1., 2.])
    """
    if n < 0:
        raise ArgumentError(f"diff: expected n >= 0, got {n}")
    if n == 0:
        return x if isinstance(x, Tensor) else np.asarray(x)  # type: ignore[return-value]
    axis = axis_of("diff", axis, shape_of(x))
    shape = list(shape_of(x))
    ends = []
    for given in (prepend, append):
        if given is not None and np.ndim(array_of(given)) == 0:
            given = broadcast_to(given, (*shape[:axis], 1, *shape[axis + 1 :]))
        ends.append(given)
    if prepend is not None or append is not None:
        x = concat([part for part in (ends[0], x, ends[1]) if part is not None], axis=axis)
    y: Any = x if isinstance(x, Tensor) else np.asarray(x)
    for _ in range(min(n, y.shape[axis])):  # of more, nothing is left
        later, earlier = _cut(y, axis, 1, None), _cut(y, axis, None, -1)
        y = not_equal(later, earlier) if y.dtype == bool else later - earlier
    return y


@checked
def ediff1d(x: Array, to_end: Array | None = None, to_begin: Array | None = None) -> Tensor:
    """The differences of neighbours of the flattened array, with what is to stand before and behind.

    >>> ediff1d(Tensor([1.0, 2.0, 4.0]), to_begin=0.0)
    Tensor([0., 1., 2.])
    """
    y = diff(reshape(x, (-1,)))
    dtype = np.asarray(array_of(y)).dtype
    ends = [None if given is None else astype(reshape(given, (-1,)), dtype) for given in (to_begin, to_end)]
    return concat([part for part in (ends[0], y, ends[1]) if part is not None])


@checked
def gradient(f: Array, *varargs: Array, axis: Axes = None, edge_order: Annotated[int, one_of(1, 2)] = 1) -> Any:
    """Central differences along axes, one-sided at the ends, as `numpy.gradient`: the same shape for each axis.

    `varargs` are spacings (a number) or coordinates (a vector), one for all axes or one each.

    >>> gradient(Tensor([1.0, 2.0, 4.0]))
    Tensor([1. , 1.5, 2. ])
    """
    ndim = np.ndim(array_of(f))
    named: Any = range(ndim) if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else axis
    axes = [axis_of("gradient", k, shape_of(f)) for k in named]
    given: list[Any] = [
        v if isinstance(v, Tensor) else np.asarray(v, np.result_type(v, np.float64)) for v in varargs
    ] or [np.ones(())]
    if len(given) == 1 and (len(axes) == 1 or given[0].ndim == 0):
        given = given * len(axes)
    if len(given) != len(axes):
        raise ArgumentError(f"gradient: expected spacings for {len(axes)} axes, got {len(given)}")
    made = [_slope(f, k, h, edge_order) for k, h in zip(axes, given, strict=True)]
    return made[0] if len(made) == 1 else tuple(made)


def _slope(f: Array, axis: int, h: Any, edge_order: int) -> Any:
    """The differences along one axis; with steps a before and b behind, by the parabola through three points."""
    n = shape_of(f)[axis]
    if n < edge_order + 1:
        raise ShapeError(f"gradient: expected at least {edge_order + 1} elements along axis {axis}, got {n}")
    if h.ndim and h.shape != (n,):
        raise ShapeError(f"gradient: expected {n} coordinates along axis {axis}, got shape {h.shape}")
    f = astype(f, np.result_type(array_of(f), np.float16))
    kind = np.asarray(array_of(f)).real.dtype if h.dtype.kind != "c" else np.result_type(array_of(f), np.complex64)
    steps = astype(diff(h) if h.ndim else broadcast_to(h, (n - 1,)), kind)
    steps = reshape(steps, (*(1,) * axis, n - 1, *(1,) * (np.ndim(array_of(f)) - 1 - axis)))

    def part(x: Any, start: int | None, stop: int | None) -> Any:
        return _cut(x, axis, start, stop)

    slopes = (part(f, 1, None) - part(f, None, -1)) / steps
    a, b = part(steps, None, -1), part(steps, 1, None)
    inner = (part(slopes, None, -1) * b + part(slopes, 1, None) * a) / (a + b)
    first, last = part(slopes, None, 1), part(slopes, -1, None)
    if edge_order == 2:  # the slope of the parabola at its end
        first = first + (first - part(slopes, 1, 2)) * part(a / (a + b), None, 1)
        last = last + (last - part(slopes, -2, -1)) * part(b / (a + b), -1, None)
    return concat([first, inner, last], axis=axis)


@checked
def trapezoid(y: Array, x: Array | None = None, dx: Array = 1.0, axis: int = -1) -> Tensor:
    """The integral along an axis by the trapezoidal rule, at points x or with steps dx.

    >>> trapezoid(Tensor([1.0, 2.0, 3.0]))
    Tensor(4.)
    """
    place = axis_of("trapezoid", axis, shape_of(y))
    if x is None:
        step: Any = dx
    else:
        step = diff(x, axis=-1 if np.ndim(array_of(x)) == 1 else axis)
        if np.ndim(array_of(x)) == 1:
            step = reshape(step, (-1, *(1,) * (np.ndim(array_of(y)) - 1 - place)))
    return sum(step * (_cut(y, place, 1, None) + _cut(y, place, None, -1)) / 2, axis=axis)


# ------------------------------------------------------------------------------------------------------------------
# Interpolation


@plain
def _interval(xp: Array, x: Array) -> Any:
    """The interval that each x lies in: its number (0 if there is none), and is it left or right of all?"""
    number = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(len(xp) - 2, 0))
    return number, x < xp[0], x > xp[-1]


@checked
def interp(
    x: Array, xp: Array, fp: Array, left: Array | None = None, right: Array | None = None, period: float | None = None
) -> Tensor:
    """Values at x of the line through the points (xp, fp), xp ascending; `left` and `right` beyond its ends.

    Derivatives: the slope by x, the shares by fp, and minus slope times share by xp. At a point the slope is that on
    its right.

    >>> interp(Tensor([0.5, 3.0]), [0.0, 1.0, 2.0], [0.0, 10.0, 30.0])
    Tensor([ 5., 30.])
    """
    kind = np.complex128 if np.iscomplexobj(array_of(fp)) else np.float64  # as NumPy does
    x, points, values = astype(x, np.float64), astype(xp, np.float64), astype(fp, kind)
    if points.ndim != 1 or points.shape != values.shape or not points.shape[0]:
        raise ShapeError(f"interp: expected xp and fp as vectors of one length, got {points.shape} and {values.shape}")
    if period is not None:
        if period == 0:
            raise ArgumentError("interp: expected a period other than 0")
        period = abs(period)
        x, points = remainder(x, period), remainder(points, period)
        order = argsort(points)
        points, values = take(points, order), take(values, order)
        points = concat([points[-1:] - period, points, points[:1] + period])
        values = concat([values[-1:], values, values[:1]])
    k, below, above = _interval(points, x)
    if points.shape[0] == 1:
        points, values = concat([points, points + 1]), concat([values, values])
    x0, x1, y0, y1 = take(points, k), take(points, k + 1), take(values, k), take(values, k + 1)
    y = y0 + (y1 - y0) / (x1 - x0) * (x - x0)
    first = values[0] if left is None else left
    last = values[-1] if right is None else right
    return where(below, first, where(above, last, y))


@checked
def unwrap(p: Array, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi) -> Tensor:
    """Angles with multiples of the period added, so that neighbours differ by half of it at most. Derivative: 1.

    >>> unwrap(Tensor([0.0, 6.0])).round(3)
    Tensor([ 0.   , -0.283])
    """
    return p + _turns(p, discont, axis, period)


@plain
def _turns(p: Array, discont: float | None, axis: int, period: float) -> Any:
    return np.unwrap(p, discont=discont, axis=axis, period=period) - p


# ------------------------------------------------------------------------------------------------------------------
# Convolution of vectors

Mode: TypeAlias = Annotated[str, one_of("full", "same", "valid")]


@checked
def convolve(x1: Array, x2: Array, mode: Mode = "full") -> Tensor:
    """The convolution of two vectors, y_n = Σ x1_k x2_(n-k): "full", "same" size as the longer, or "valid".

    >>> convolve(Tensor([1.0, 2.0, 3.0]), [0.0, 1.0, 0.5])
    Tensor([0. , 1. , 2.5, 4. , 1.5])
    """
    if shape_of(x2)[:1] > shape_of(x1)[:1]:
        x1, x2 = x2, x1
    return _slid("convolve", x1, flip(x2 if isinstance(x2, Tensor) else np.asarray(x2), 0), mode)


@checked
def correlate(x1: Array, x2: Array, mode: Mode = "valid") -> Tensor:
    """The cross-correlation of two vectors, y_n = Σ x1_(n+k) x2_k, the second conjugated.

    >>> correlate(Tensor([1.0, 2.0, 3.0]), [0.0, 1.0])
    Tensor([2., 3.])
    """
    if shape_of(x2)[:1] > shape_of(x1)[:1]:
        return flip(_slid("correlate", conj(x2), x1, mode), 0)
    return _slid("correlate", x1, conj(x2), mode)


def _slid(what: str, x: Any, w: Any, mode: str) -> Tensor:
    """The sums of products of the shorter vector w with x, at each place that the mode asks for."""
    sizes = shape_of(x), shape_of(w)
    if len(sizes[0]) != 1 or len(sizes[1]) != 1 or not sizes[1][0]:
        raise ShapeError(f"{what}: expected two vectors that are not empty, got {sizes[0]} and {sizes[1]}")
    k = sizes[1][0]
    pads = {"full": (k - 1, k - 1), "same": (k // 2, (k - 1) // 2), "valid": (0, 0)}
    if mode not in pads:
        raise ArgumentError(f"{what}: expected mode to be one of {', '.join(pads)}, got {mode!r}")
    parts = [(real(v), imag(v)) if np.iscomplexobj(array_of(v)) else (v,) for v in (x, w)]
    rows = [
        [conv1d(reshape(a, (1, -1, 1)), reshape(b, (-1, 1, 1)), padding=[pads[mode]]) for b in parts[1]]
        for a in parts[0]
    ]
    y: Any = 0
    for k, row in enumerate(rows):
        for m, term in enumerate(row):
            y = y + term * 1j ** (k + m) if k + m else term
    return reshape(y, (-1,))


__all__ = [
    "convolve", "correlate", "diff", "ediff1d", "gradient", "interp", "trapezoid", "unwrap",
]  # fmt: skip
