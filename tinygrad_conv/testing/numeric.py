"""Numeric truth: the derivative of a function along a direction, with an error bar, from values alone.

Three methods, each where it is the most exact:

=====================  ===================================================================================
exact differences      linear and bilinear functions: step 1, and smaller steps must agree
complex step           functions that run on complex numbers: no subtraction, so no cancellation; believed
                       only where it agrees with the differences, as `abs`, `maximum` and `where` break it
a sweep of steps       everything else: central differences at steps 4^-3 ... 4^-10, extrapolated to step 0
=====================  ===================================================================================

The same sweep, read on each side by itself, gives the one-sided derivatives. Where they differ the function has a kink,
and there is no one right value: any value between the two is a directional derivative.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..errors import ShapeError

__all__ = ["Estimate", "cancelled", "directional", "jacobian", "largest", "unit"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

STEPS: Array = 4.0 ** -np.arange(3, 11)
FINE_STEPS: Array = 4.0 ** -np.arange(9, 18)  # a second look, where the first saw a kink or no limit
_FEW = (4, 5)  # of the steps, which smooth functions are clear with
_CLEAR = 1e-10  # of the largest derivative: an error bar that asks for no more of them
_ARRAYS = ("value", "error", "low", "high", "kinks")
SAFETY = 4.0  # error bars that an analytic derivative may be off by
_COARSE = 1e-10  # functions of this precision or a worse one are not looked at closely
_NOTHING = 2.0**-10  # of the largest element: less than all steps that tell something of such a function
_MOST_TINY = 16  # elements very close to 0 that are looked at one by one
_MOST_ELEMENTS = 64  # up to so many, each is asked how far it can go
_JUMP = 2.0**-10  # of the largest value: what changes by more when inputs change by one bit is no rounding
_APART = 8.0  # how many error bars apart two one-sided derivatives must be to make a kink


@dataclass(frozen=True)
class Estimate:
    """A derivative known to within an error bar, element by element.

    ``low`` and ``high`` are the smaller and the larger one-sided derivative where there is a kink (``kinks``), and
    both equal ``value`` elsewhere.
    """

    value: Array
    error: Array
    method: str
    low: Array
    high: Array
    kinks: Array

    def weighted(self, g: Array) -> Estimate:
        """The estimate of <g, derivative>, one number.

        >>> directional(np.square, [np.array([1.0, 2.0])], [np.ones(2)]).weighted(np.array([10.0, 1.0])).value.item()
        24.0
        """
        value, error = np.sum(g * self.value), np.sum(np.abs(g) * self.error)
        if not self.kinks.any():
            return _smooth(value, error, self.method)
        ends = np.stack([g * self.low, g * self.high])
        return Estimate(value, error, self.method, np.sum(ends.min(0)), np.sum(ends.max(0)), np.asarray(True))


def directional(
    f: Function, inputs: Sequence[Any], tangents: Sequence[Any], kind: str | None = None, scale: float = 0.0,
    unit: float = 0.0,
) -> Estimate:  # fmt: skip
    """The derivative of ``f(*inputs)`` along the tangents, with an error bar for each element.

    Parameters
    ----------
    f : callable of float64 arrays that returns an array (or a tensor)
    inputs, tangents : arrays of the same shapes
    kind : the kind of a primitive, or None
        Exact differences are tried for "linear", "bilinear" and None, and believed if different steps agree.
    scale : float
        The size of the numbers that are rounded on the way, if they are larger than the values.
    unit : float
        The precision of the function, if that of its values is better.

    >>> estimate = directional(np.exp, [np.array([0.0, 1.0])], [np.ones(2)])
    >>> estimate.method, bool(np.all(np.abs(estimate.value - np.exp([0, 1])) <= estimate.error))
    ('complex step', True)
    >>> at_kink = directional(np.abs, [np.zeros(1)], [np.ones(1)])
    >>> at_kink.low.item(), at_kink.high.item()
    (-1.0, 1.0)
    """
    inputs = [np.asarray(x, np.result_type(np.asarray(x), np.float64)) for x in inputs]
    tangents = [np.asarray(t, np.float64) for t in tangents]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        along = _Line(f, inputs, tangents, scale, unit)
        if kind in ("linear", "bilinear", None):
            estimate = _exact(along)
            if estimate is not None:
                return estimate
        return _complex_step(along, _sweep(along))


def jacobian(
    f: Function, inputs: Sequence[Any], k: int = 0, elements: Any = None, scale: float = 0.0, precision: float = 0.0,
    stretch: Any = 1.0,
) -> Estimate:  # fmt: skip
    """All derivatives with respect to input k, of shape ``(number of elements, *y.shape)``: to explain a failure.

    `elements` (flat positions in the input) asks for only these rows; `stretch` is that of the input (see `fitted`).

    >>> jacobian(lambda x: x * x, [np.array([1.0, 3.0])]).value
    array([[2., 0.],
           [0., 6.]])
    """
    elements = np.arange(np.size(inputs[k])) if elements is None else elements
    sizes = unit(inputs[k]) * np.broadcast_to(stretch, np.shape(inputs[k])).ravel()[elements]
    rows = []
    for element, size in zip(elements, sizes, strict=True):
        tangents = [np.zeros(np.shape(x)) for x in inputs]
        tangents[k].flat[element] = size
        rows.append(directional(f, inputs, tangents, None, scale, precision))
    if not rows:
        return _smooth(np.zeros((0, *np.shape(f(*inputs)))), np.zeros(()), "none")
    value, error, low, high, kinks = (np.stack([getattr(row, name) for row in rows]) for name in _ARRAYS)
    methods = [row.method for row in rows]
    method = methods[0] if len(set(methods)) == 1 else "several methods"
    size = _column(sizes, rows[0].value)
    return Estimate(value / size, error / size, method, low / size, high / size, kinks)


def fitted(
    f: Function, inputs: Sequence[Array], tangents: Sequence[Array], kind: str | None, scale: float, precision: float
) -> tuple[Estimate, list[Array]]:
    """The derivative along tangents, and by how much each of their elements was shortened for it.

    Near a singularity steps have to be shorter than the distance to it, and each element has its own. Where that helps,
    steps follow the size of the elements, or how far each can go before differences disagree. What stays in doubt has
    an infinite error bar.

    >>> x = np.array([1e-14, 0.5])
    >>> estimate, stretch = fitted(np.log, [x], [np.ones(2)], None, 0.0, 0.0)
    >>> bool(np.all(np.abs(estimate.value / stretch[0] * x - 1) < 1e-9))
    True
    """

    def along(stretch: Sequence[Array]) -> tuple[Estimate, Array]:
        shorter = [t * s for t, s in zip(tangents, stretch, strict=True)]
        estimate = directional(f, inputs, shorter, kind, scale, precision)
        doubts = _doubtful(f, inputs, shorter, estimate, scale, precision)
        return estimate, doubts | _overlooked(f, inputs, shorter, estimate, scale, precision)

    stretch = [np.ones(np.shape(x)) for x in inputs]
    if precision > _COARSE:  # only its long steps tell something, and what is smaller is nothing to them
        sizes = _by_value(f, inputs) or stretch
        stretch = [np.where(size < _NOTHING, size, 1.0) for size in sizes]
    best, doubts = along(stretch)
    for shortened in (_by_value, _by_reach):
        if not doubts.any() or precision > _COARSE:
            break
        other = shortened(f, inputs)
        found = along(other) if other is not None else None
        if found is not None and found[1].sum() < doubts.sum():
            (best, doubts), stretch = found, other or stretch
    if not doubts.any() or precision > _COARSE:
        return best, stretch
    error, kinks = np.where(doubts, np.inf, best.error), best.kinks & ~doubts
    return Estimate(best.value, error, best.method, best.low, best.high, kinks), stretch


def _doubtful(
    f: Function, inputs: Sequence[Array], tangents: Sequence[Array], estimate: Estimate, scale: float, precision: float
) -> Array:
    """Which outputs' derivatives are hardly known, or have kinks that shorter steps do not confirm."""
    bad = ~(estimate.error <= 1e-3 * np.abs(estimate.value) + 1e-6 * largest(estimate.value, scale))
    bad |= np.isinf(estimate.error)
    if estimate.kinks.any() and precision <= _COARSE:
        shorter = 2.0**-20
        again = directional(f, inputs, [shorter * t for t in tangents], None, scale, precision)
        slack = 1e-3 * (np.abs(estimate.low) + np.abs(estimate.high))
        slack += SAFETY * (again.error / shorter + estimate.error)
        same = again.kinks & (np.abs(again.low / shorter - estimate.low) <= slack)
        same &= np.abs(again.high / shorter - estimate.high) <= slack
        bad |= estimate.kinks & ~same & np.isfinite(estimate.low) & np.isfinite(estimate.high)
    return np.asarray(bad)


def _overlooked(
    f: Function, inputs: Sequence[Array], tangents: Sequence[Array], estimate: Estimate, scale: float, precision: float
) -> Array:
    """Which derivatives differ from the sum of their parts: those by elements that all steps jump over 0 from."""
    tiny = [(x != 0) & (np.abs(x) < STEPS[-1] * np.abs(t)) for x, t in zip(inputs, tangents, strict=True)]
    n = sum(int(part.sum()) for part in tiny)
    if not 0 < n <= _MOST_TINY or precision > _COARSE or estimate.method == "complex step":
        return np.zeros(estimate.value.shape, bool)
    rest = directional(f, inputs, [np.where(x, 0.0, t) for x, t in zip(tiny, tangents, strict=True)], None, scale)
    value, error = rest.value - estimate.value, rest.error + estimate.error
    for k, part in enumerate(tiny):
        for element in np.flatnonzero(part):
            alone = [np.zeros(np.shape(x)) for x in inputs]
            short = 2.0 ** np.floor(np.log2(np.abs(inputs[k].flat[element] / tangents[k].flat[element])))
            alone[k].flat[element] = short * tangents[k].flat[element]
            found = directional(f, inputs, alone, None, scale)
            value, error = value + found.value / short, error + found.error / short
    return np.asarray(np.abs(value) > SAFETY * error)


def _by_value(f: Function, inputs: Sequence[Array]) -> list[Array] | None:
    """Steps as large as the elements are."""
    with np.errstate(divide="ignore"):
        sizes = [np.where(x == 0, 1.0, 2.0 ** np.floor(np.log2(np.abs(x))) / unit(x)) for x in inputs]
    sizes = [np.minimum(size, 1.0) for size in sizes]
    return sizes if any((size < 1).any() for size in sizes) else None


def _by_reach(f: Function, inputs: Sequence[Array]) -> list[Array] | None:
    """Steps as long as the differences at them and at a quarter of them agree, element by element."""
    if sum(np.size(x) for x in inputs) > _MOST_ELEMENTS:
        return None
    reaches = [np.ones(np.shape(x)) for x in inputs]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for k, x in enumerate(inputs):
            for element in range(np.size(x)):
                tangents = [np.zeros(np.shape(x)) for x in inputs]
                tangents[k].flat[element] = unit(x)
                reaches[k].flat[element] = min(1.0, 16 * _reach(_Line(f, inputs, tangents, 0.0, 0.0)))
    return reaches


def _reach(along: _Line) -> float:
    before, noise = None, along.noise(along.start)
    for h in 4.0 ** -np.arange(0, 25):
        slope = (along(h) - along(-h)) / (2 * h)
        if before is not None:
            slack = 0.02 * np.maximum(np.abs(slope), np.abs(before)) + 2 * noise / h
            if np.all(np.abs(slope - before) <= slack):
                return float(4 * h)
        before = slope
    return 1.0


def unit(x: Any) -> float:
    """How long tangents of an input should be, so that steps suit it: 1, or of the size of its elements.

    >>> unit(np.array([0.5, 2.0])), unit(np.array([1e-6]))
    (1.0, 9.5367431640625e-07)
    """
    most = float(np.abs(x).max(initial=0.0))
    usual = most == 0 or 2.0**-4 <= most <= 2.0**4 or not np.isfinite(most)
    return 1.0 if usual else float(2.0 ** np.floor(np.log2(most)))


def largest(x: Array, least: float = 0.0) -> float:
    """The largest finite magnitude, or `least` if that is larger.

    >>> largest(np.array([0.5, -2.0, np.inf]))
    2.0
    """
    size = np.abs(x)
    most = float(size.max(initial=least))
    return most if np.isfinite(most) else float(size[np.isfinite(size)].max(initial=least))


def cancelled(f: Function, inputs: Sequence[Array], y: Array) -> float:
    """How large the numbers were of which the values y are what is left: the inputs, or 0 where nothing says so.

    ``x - tanh(x)`` near 0 has few digits: it is a multiple of the last digit of x. Values that are small for another
    reason have digits of their own.

    >>> x = np.array([2.7e-3])
    >>> cancelled(lambda x: x - np.tanh(x), [x], x - np.tanh(x)), cancelled(lambda x: 1e-9 * x, [x], 1e-9 * x)
    (0.0027, 0.0)
    """
    most = max((float(np.abs(x).max(initial=0.0)) for x in inputs), default=0.0)
    if not 0 < most < np.inf:
        return 0.0
    last, rng = float(np.spacing(most)) / 2, None
    for _ in range(3):
        if rng is not None:
            y = np.asarray(f(*(x * (1 + 2.0**-10 * rng.uniform(-1, 1, x.shape)) for x in inputs)))
        size = float(np.abs(y).max(initial=0.0))
        if (
            not size < 2.0**-8 * most
            or np.any(np.fmod(y, last) != 0)
            or not (size == 0 or np.spacing(size) < last / 64)
        ):
            return 0.0
        rng = rng or np.random.default_rng(0)
    return most


# ------------------------------------------------------------------------------------------------------------------
# Values along a line


class _Line:
    """``f(inputs + h * tangents)`` as a function of h; NaN where f raises."""

    def __init__(
        self, f: Function, inputs: Sequence[Array], tangents: Sequence[Array], scale: float, unit: float
    ) -> None:
        self.f, self.inputs, self.tangents, self.scale = f, inputs, tangents, scale
        self.start = np.asarray(f(*inputs))
        self._known: dict[complex, Array] = {}
        self.unit = max(unit, float(np.finfo(self.start.dtype).eps) if self.start.dtype.kind in "fc" else 2.3e-16)

    def __call__(self, h: complex) -> Array:
        if h not in self._known:
            self._known[h] = self._at([x + h * t for x, t in zip(self.inputs, self.tangents, strict=True)])
        return self._known[h]

    def _at(self, point: Sequence[Array]) -> Array:
        try:
            y = np.asarray(self.f(*point))
        except Exception:  # outside the domain of f
            return np.full(self.start.shape, np.nan)
        if y.shape != self.start.shape:
            raise ShapeError(
                f"the output shape changes with the values of the inputs: {self.start.shape}, then {y.shape}; only a "
                "function whose output has one shape near a point has a derivative there"
            )
        return y

    def noise(self, values: Array) -> float:
        """How far a value may be off by rounding: a few units in the last place of the largest number.

        Where a function makes more of rounding, more: what its values change by when its inputs change that little.
        """
        return max(4.0 * self.unit * largest(values, self.scale), 2.0 * self.wobble)

    @cached_property
    def wobble(self) -> float:
        most = 0.0
        jump = _JUMP * largest(self.start, self.scale)
        moves = [self.unit * _signs(k + x.size)[k:].reshape(x.shape) for k, x in enumerate(self.inputs)]
        for sign in (1, -1):  # both sides: at an integer, a function may be computed in another way on one of them
            gap = np.abs(self._at([x * (1 + sign * m) for x, m in zip(self.inputs, moves, strict=True)]) - self.start)
            most = max(most, float(gap[gap <= jump].max(initial=0.0)))
        return most


@lru_cache(maxsize=16)
def _signs(n: int) -> Array:
    return np.random.default_rng(0).choice(np.array([-1, 1], np.int8), n)


def _smooth(value: Array, error: Array, method: str) -> Estimate:
    return Estimate(value, error, method, value, value, np.zeros(value.shape, bool))


# ------------------------------------------------------------------------------------------------------------------
# The three methods


def _exact(along: _Line) -> Estimate | None:
    """Differences with step 1, if smaller steps say that f is a polynomial of degree 2 along the line."""
    h = float(STEPS[2])
    if not (_is_parabola(along, h, 0.25) and _is_parabola(along, 1.0, 0.5)):
        return None
    y, ahead, behind, half_ahead, half_behind = along.start, along(1.0), along(-1.0), along(0.5), along(-0.5)
    slope, bend = (ahead - behind) / 2, ahead - 2 * y + behind
    noise = along.noise(np.stack([y, ahead, behind, half_ahead, half_behind]))
    agree = (np.abs(slope - (half_ahead - half_behind)) <= 8 * noise) & (
        np.abs(bend - 4 * (half_ahead - 2 * y + half_behind)) <= 64 * noise
    )
    near = np.abs((along(h) - along(-h)) / (2 * h) - slope) <= 4 * noise / h
    return _smooth(slope, np.full(y.shape, noise), "exact difference") if np.all(agree & near) else None


def _is_parabola(along: _Line, h: float, part: float) -> bool:
    """Is the value at a part of a step the one of the parabola through those at the whole step, at 0 and behind?"""
    y, ahead, behind, between = along.start, along(h), along(-h), along(part * h)
    slope, bend = (ahead - behind) / 2, ahead - 2 * y + behind
    foretold = y + part * slope + part**2 / 2 * bend
    return bool(np.all(np.abs(between - foretold) <= 64 * along.noise(np.stack([y, ahead, behind, between]))))


def _sweep(along: _Line) -> Estimate:
    """Differences at falling steps, extrapolated; at smaller and smaller ones where a look saw a kink or no limit."""
    clear = _glance(along)
    if clear is not None:
        return clear
    first = _look(along, STEPS)
    unclear = first.kinks | ~(first.error <= 1e-4 * np.abs(first.value) + 1e-9)
    if not unclear.any():
        return first
    second = _look(along, FINE_STEPS)
    better = unclear & ~(first.kinks & second.kinks) & ~(second.error > first.error + 1e-6 * np.abs(second.value))
    value, error, low, high, kinks = (np.where(better, getattr(second, name), getattr(first, name)) for name in _ARRAYS)
    return Estimate(value, error, "differences", low, high, kinks)


def _glance(along: _Line) -> Estimate | None:
    """Central differences at a few steps, where they make it clear that the function is smooth, and how steep."""
    y = along.start
    for few in _FEW:
        steps = STEPS[:few]
        ahead, behind = np.stack([along(h) for h in steps]), np.stack([along(-h) for h in steps])
        noise = along.noise(ahead) / steps
        value, error = _to_zero((ahead - behind) / _column(2 * steps, y), (16, 256, 4096), noise, False)
        bends = (ahead[-3:] + behind[-3:] - 2 * y) / _column(steps[-3:], y)  # what one-sided differences are apart
        apart = 4 * bends[1:] - bends[:-1]  # of it, what does not shrink with the steps, nor with their third power
        size = np.abs(value).max(initial=along.scale)
        smooth = np.abs(64 * apart[1] - apart[0]) <= 63 * (_CLEAR * size + 32 * noise[-1])
        if np.all(smooth & (error <= _CLEAR * size)):
            return _smooth(value, error + 16 * along.unit * size, "differences")
    return None


def _look(along: _Line, steps: Array) -> Estimate:
    """Central differences over one range of steps, and one-sided ones, to see kinks."""
    y, gaps = along.start, steps[:-1] - steps[1:]
    ahead, behind = np.stack([along(h) for h in steps]), np.stack([along(-h) for h in steps])
    noise = along.noise(np.concatenate([y[None], ahead, behind]))
    final = steps is FINE_STEPS
    central, error = _to_zero((ahead - behind) / _column(2 * steps, y), (16, 256, 4096), noise / steps, final)
    rights, lefts = (ahead[:-1] - ahead[1:]) / _column(gaps, y), (behind[1:] - behind[:-1]) / _column(gaps, y)
    right, right_error = _to_zero(rights, (4, 16, 64), 2 * noise / gaps, final)
    left, left_error = _to_zero(lefts, (4, 16, 64), 2 * noise / gaps, final)
    # A kink: one-sided derivatives that differ, or a jump, that is a value where the branches do not meet.
    reach = _APART * (np.abs(right) + np.abs(left) + right_error + left_error) * steps[-1] + 8 * noise
    jump = np.zeros(y.shape, bool)
    for side in (ahead, behind):  # what a jump leaves does not shrink with the steps
        last, before = np.abs(side[-1] - y), np.abs(side[-2] - y)
        jump |= (last > reach) & (last > before / 2)
    kinks = (np.abs(right - left) > _APART * (right_error + left_error)) | jump
    if final and kinks.any():  # or is it one close by, and the finest steps see none?
        bound = _APART * noise / gaps[-1]
        nearby = kinks & ~jump & (np.abs(rights[-1] - lefts[-1]) <= bound)
        kinks = kinks & ~nearby
        central, error = np.where(nearby, (rights[-1] + lefts[-1]) / 2, central), np.where(nearby, bound, error)
        right_error, left_error = np.where(nearby, np.inf, right_error), np.where(nearby, np.inf, left_error)
    infinite = np.isinf(right) | np.isinf(left) | (np.isinf(central) & ~kinks)
    if final and infinite.any():
        unknown = infinite & ~_never_ends(along, infinite)
        error, right_error, left_error = (np.where(unknown, np.inf, e) for e in (error, right_error, left_error))
        kinks = kinks & ~unknown
    # At the edge of the domain one side is all there is; and beside a kink the sides may know more than the centre.
    value = np.where(np.isnan(left), right, np.where(np.isnan(right), left, (right + left) / 2))
    sides = np.where(np.isnan(right), 0.0, right_error) + np.where(np.isnan(left), 0.0, left_error)
    use_sides = kinks | (~np.isnan(value) & ~(error <= sides))
    value, error = np.where(use_sides, value, central), np.where(use_sides, sides, error)
    error = error + 16 * along.unit * largest(value)
    low, high = np.where(kinks, np.minimum(right, left), value), np.where(kinks, np.maximum(right, left), value)
    return Estimate(value, error, "differences", low, high, kinks)


def _column(steps: Array, y: Array) -> Array:
    return steps.reshape(-1, *(1,) * y.ndim)


def _to_zero(quotients: Array, powers: Sequence[int], noise: Array, final: bool) -> tuple[Array, Array]:
    """Difference quotients at steps falling by 4, extrapolated to step 0 (Richardson), with error bars (Ridders).

    Each column of the table removes one more power of the step. The error of an entry is how far it is from those it
    was made from, plus rounding; the entry with the least error wins, element by element, unless the smallest steps
    exclude it. Quotients that grow at every step have no limit, and if these are the `final` steps it is infinity.
    """
    noise = 2 * _column(noise, quotients[0])
    column, entries, errors = quotients, [quotients[1:]], [np.abs(quotients[1:] - quotients[:-1]) + noise[1:]]
    for power in powers:
        coarse, fine = column[:-1], column[1:]
        column = fine + (fine - coarse) / (power - 1)
        entries.append(column)
        errors.append(np.maximum(np.abs(column - fine), np.abs(column - coarse)) + noise[-len(column) :])
    table, bars = np.concatenate(entries), np.concatenate(errors)
    bars[np.isnan(bars)] = np.inf
    value, error = np.choose(np.argmin(bars, axis=0), table), bars.min(axis=0)
    # Beyond a kink nearby, large steps may agree on another value: what the smallest ones say is what counts.
    slack = error + _APART * (noise[-1] + np.abs(quotients[-1] - quotients[-2]))
    beyond = np.abs(value - quotients[-1]) > slack
    value, error = np.where(beyond, quotients[-1], value), np.where(beyond, slack, error)
    if final:  # `_look` says whether it goes on
        growing = np.all(np.abs(quotients[1:]) > 1.5 * np.abs(quotients[:-1]) + noise[1:], axis=0)
        value, error = np.where(growing, np.sign(quotients[-1]) * np.inf, value), np.where(growing, 0.0, error)
    return value, error


def _never_ends(along: _Line, growing: Array) -> Array:
    """Where difference quotients grow at ever smaller steps, as long as steps change anything: they have no limit.

    Closer to a singularity than the finest steps they only seem to.
    """
    before, most = np.zeros(growing.shape), growing.copy()
    for h in 4.0 ** -np.arange(18, 60):
        ahead, behind = along(h) - along.start, along.start - along(-h)
        now = np.fmax(np.abs(ahead), np.abs(behind)) / h
        still = now > 0
        most &= ~still | (now > 1.5 * before)
        before = np.where(still, now, before)
    return most


def _complex_step(along: _Line, swept: Estimate) -> Estimate:
    """The complex-step derivative where it agrees with the sweep everywhere, else the sweep."""
    h = 2.0**-80
    try:
        y = along(1j * h)
    except (ArithmeticError, ShapeError):  # no real numbers of real numbers: what is complex has two parts
        return swept
    if y.dtype.kind != "c" or y.shape != swept.value.shape or swept.kinks.any():
        return swept
    value = np.imag(y) / h
    if not np.all((np.abs(value - swept.value) <= _APART * swept.error) & np.isfinite(swept.error)):
        return swept
    size = 16 * along.unit * float(np.abs(value).max(initial=0.0)) + 4 * along.noise(along.start)
    return _smooth(value, np.minimum(size, swept.error), "complex step")
