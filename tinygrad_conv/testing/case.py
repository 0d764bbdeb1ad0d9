"""`Case`: one function at one point, and everything the properties read, each computed once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..engine import transforms
from ..engine.modes import is_grad_enabled, no_grad
from ..engine.primitive import Primitive
from ..engine.tensor import Tensor
from ..ops.complex import imag, real
from ..ops.shape import concat, expand_dims, reshape
from . import numeric
from .adapting import Adapted, MissingRuleError
from .numeric import SAFETY
from .report import GradientError

__all__ = ["BOTH", "TOLERANCES", "Case", "in_parts", "joined"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]
BOTH = ("forward", "reverse")
DOUBLE, SINGLE = (float(np.finfo(dtype).eps) for dtype in (np.float64, np.float32))

_UNDERFLOW = 2.0**-511  # products of smaller numbers are 0
_TINY = 2.0**-20  # of numbers this close to 0 the leading term of a derivative may be lost in rounding

# Per dtype, (rtol, atol) beyond the error bar. What can be told apart is the error bar's business, not theirs.
TOLERANCES: Mapping[str, tuple[float, float]] = {"float64": (1e-9, 0.0), "float32": (5e-4, 5e-4)}


class Again(NamedTuple):
    """What a second run gave: and which of inputs, tangents and cotangent, in this order, it changed."""

    value: Array
    pushed: Array | None
    gradients: list[Array] | None
    changed: int | None


class Case:
    """One function at one point.

    Attributes
    ----------
    f : callable of tensors, returning one tensor
    inputs : list of float64 arrays
    name, seed, order, modes : as in `check_gradients`
    labels : list of str
        What reports call the inputs: "argument 0", ...
    kind : "linear", "bilinear" or None
    primitive, args, params : the primitive behind `f`, if there is one, and how it was called
    classes : set of str
        The boundary classes that the sample falls in.
    foreign : bool
        Does it belong to another library, whose dtypes are its own affair?
    unit : float
        The precision that it computes with inside.
    left_out : list of str
        What cannot be checked, and why.
    """

    def __init__(
        self, f: Function, inputs: Sequence[Any], *, name: str = "f", seed: int = 0, order: int = 2,
        modes: Sequence[str] = BOTH, labels: Sequence[str] | None = None, kind: str | None = None,
        primitive: Primitive | None = None, args: Sequence[Any] = (), params: Mapping[str, Any] | None = None,
        rtol: float | None = None, atol: float | None = None, explain: bool = True, classes: Iterable[str] = (),
        foreign: bool = False, unit: float = DOUBLE,
    ) -> None:  # fmt: skip
        self.f, self.inputs, self.name, self.seed, self.order = f, list(inputs), name, seed, order
        self.modes = tuple(modes)
        self.labels = list(labels or (f"argument {k}" for k in range(len(self.inputs))))
        self.kind, self.primitive, self.args, self.params = kind, primitive, tuple(args), dict(params or {})
        self.rtol = TOLERANCES["float64"][0] if rtol is None else rtol
        self.atol = TOLERANCES["float64"][1] if atol is None else atol
        self.explain, self.foreign, self.unit = explain, foreign, unit
        self.classes = set(classes)
        self.left_out: list[str] = []
        self.over = ""  # for the derivative of a derivative: the mode that the inner one is of
        self.parts: list[tuple[str, tuple[int, ...]]] = []  # what the output is made of, where it is several things
        self.base: Case | None = None  # for the derivative of a derivative: the case of what was differentiated
        self.before = 0.0  # for the derivative of a derivative: the scale of what was differentiated
        self.moved = False  # is this point one beside a kink?
        self._bends: list[bool] = []  # the answer, once it is asked for; copies of this case share it
        self.rng = np.random.default_rng(seed)

    @classmethod
    def of_primitive(cls, primitive: Primitive, args: Sequence[Any], params: Mapping[str, Any], **options: Any) -> Case:
        """A call of a primitive, as a function of those of its arguments that it is differentiated by."""
        numbers = [k for k, a in enumerate(args) if np.asarray(a).dtype.kind in "fc"]
        numbers = [k for k in numbers if primitive.variadic or not primitive.nondiff[k]]
        inputs: list[Any] = []  # of complex numbers, real and imaginary parts
        labels: list[str] = []
        for k in numbers:
            x, turned = args[k], np.iscomplexobj(args[k])
            inputs += [x.real.copy(), x.imag.copy()] if turned else [x]
            labels += [f"real part of argument {k}", f"imaginary part of argument {k}"] if turned else [f"argument {k}"]

        def f(*inputs: Any) -> Any:
            full, parts = list(args), iter(inputs)
            for k in numbers:
                full[k] = next(parts) + 1j * next(parts) if np.iscomplexobj(args[k]) else next(parts)
            y = primitive.operation(*full, **params)
            made_complex = y.dtype.kind == "c" and all(x.dtype.kind != "c" for x in inputs)
            return in_parts(y) if made_complex else y

        return cls(
            f, inputs, labels=labels, kind=primitive.kind, primitive=primitive, args=args, params=params,
            **{"name": primitive.name, **options},
        )  # fmt: skip

    # -- what is drawn ---------------------------------------------------------------------------------------------

    def direction(self, shape: Sequence[int]) -> Array:
        """Numbers of size 1/2 to 3/2, so that none is overlooked; as multiples of 2^-26 they make exact steps."""
        size = self.rng.integers(2**25, 3 * 2**25, shape) / 2**26
        return np.where(self.rng.integers(0, 2, shape), size, -size)

    def draw_tangents(self) -> list[Array]:
        drawn = [unit * self.direction(np.shape(x)) for unit, x in zip(self.units, self.inputs, strict=True)]
        return [t * stretch for t, stretch in zip(drawn, self.stretch, strict=True)]

    @cached_property
    def units(self) -> list[float]:
        """How long the tangents of each input should be."""
        return list(map(numeric.unit, self.inputs))

    @cached_property
    def tangents(self) -> list[Array]:
        return [t * stretch for t, stretch in zip(self.drawn, self.stretch, strict=True)]

    @cached_property
    def drawn(self) -> list[Array]:
        """The tangents before any is shortened near a singularity, which takes a numeric derivative to know."""
        return [unit * self.direction(np.shape(x)) for unit, x in zip(self.units, self.inputs, strict=True)]

    @cached_property
    def _fitted(self) -> tuple[numeric.Estimate, list[Array]]:
        def fitted() -> tuple[numeric.Estimate, list[Array]]:
            return numeric.fitted(self._near, self.inputs, self.drawn, self.kind, self.scale, self.unit)

        with no_grad():
            found = fitted()
            if self.unit == DOUBLE and np.isinf(found[0].error).any() and self.resolution() > DOUBLE:
                self.unit = SINGLE
                found = fitted()
        return found

    @property
    def stretch(self) -> list[Array]:
        """By how much steps of each element are shortened, near singularities."""
        return self._fitted[1]

    @cached_property
    def cotangent(self) -> Array:
        return self.direction(self.y.shape)

    # -- what is computed ------------------------------------------------------------------------------------------

    def value(self, *inputs: Any) -> Array:
        """The function's value on plain arrays."""
        if (self.over == "reverse" or (self.over and self.foreign)) and any(map(np.iscomplexobj, inputs)):
            raise ArithmeticError("rules conjugate, and take real parts: no complex step")
        if isinstance(self.f, Adapted):
            return self.f.value([np.asarray(x) for x in inputs])
        raising = self.raising({"forward": "JVP", "reverse": "VJP"}[self.over]) if self.over else nullcontext()
        with raising, nullcontext() if not is_grad_enabled() else no_grad():
            return np.asarray(self.f(*map(Tensor, inputs))._array)

    @cached_property
    def y(self) -> Array:
        return self.value(*self.inputs)

    def _near(self, *inputs: Any) -> Array:
        """`value`, which is known at the point itself."""
        return self.y if all(map(operator.is_, inputs, self.inputs)) else self.value(*inputs)

    def push(self, tangents: Sequence[Any], inputs: Sequence[Any] | None = None) -> Array:
        """The JVP."""
        inputs = self.inputs if inputs is None else inputs
        return np.asarray(self._rule("JVP", lambda: transforms.jvp(self.f, tuple(inputs), tuple(tangents))[1]._array))

    def pull(self, g: Any, inputs: Sequence[Any] | None = None) -> list[Array]:
        """The VJP: one gradient per input."""
        if inputs is not None:
            return self.value_and_pull(g, inputs)[1]
        gradients: list[Array] = self._rule("VJP", lambda: self._pulled(g, self.inputs, self.y))
        return gradients

    def value_and_pull(self, g: Any, inputs: Sequence[Any]) -> tuple[Array, list[Array]]:
        """The value at some inputs, and the VJP there."""
        values: list[Array] = []

        def run() -> list[Array]:
            if isinstance(self.f, Adapted):
                values.append(self.value(*inputs))
                return self._pulled(g, inputs, values[0])
            y, pullback = transforms.vjp(self.f, *inputs)
            values.append(np.asarray(y._array))
            return [x._array for x in pullback(g)]

        gradients = self._rule("VJP", run)
        return values[0], gradients

    def _pulled(self, g: Any, inputs: Sequence[Any], y: Array) -> list[Array]:
        """The gradients at the inputs, where the value is y; those of another library without a graph of ours."""
        if isinstance(self.f, Adapted):
            return self.f.pull(np.array(g, y.dtype), [np.asarray(x) for x in inputs])
        return [x._array for x in self._pullback(g)]

    @cached_property
    def _pullback(self) -> Function:
        return transforms.vjp(self.f, *self.inputs)[1]

    @contextmanager
    def raising(self, what: str) -> Iterator[None]:
        """A rule that raises is a wrong rule."""
        try:
            yield
        except (GradientError, MissingRuleError):
            raise
        except Exception as error:
            raise GradientError(f"{self.name}: its {what} raised {type(error).__name__}: {error}") from error

    def _rule(self, what: str, run: Callable[[], Any]) -> Any:
        with self.raising(what):
            result = run()
        expected = [self.y.shape] if what == "JVP" else [np.shape(x) for x in self.inputs]
        for k, (array, shape) in enumerate(zip([result] if what == "JVP" else result, expected, strict=True)):
            if what == "VJP" and array.shape != shape:
                raise GradientError(f"{self.name}: gradient {k} has shape {array.shape}, its input {shape}")
        return result

    @cached_property
    def pushed(self) -> Array:
        return self.push(self.tangents)

    @cached_property
    def gradients(self) -> list[Array]:
        return self.pull(self.cotangent)

    @cached_property
    def again(self) -> Again:
        """All of this computed once more, from the start."""
        given = [*self.inputs, *self.tangents, self.cotangent]
        before = [x.tobytes() for x in given]
        pushed = self.push(self.tangents) if "forward" in self.modes else None
        gradients = None
        if "reverse" in self.modes:
            value, gradients = self.value_and_pull(self.cotangent, self.inputs)
        else:
            value = self.value(*self.inputs)
        pairs = enumerate(zip(given, before, strict=True))
        changed = next((k for k, (x, then) in pairs if x.tobytes() != then), None)
        return Again(value, pushed, gradients, changed)

    @cached_property
    def truth(self) -> numeric.Estimate:
        """The numeric derivative along the tangents."""
        return self._fitted[0]

    def _directional(self, tangents: Sequence[Any]) -> numeric.Estimate:
        return numeric.directional(self._near, self.inputs, tangents, self.kind, self.scale, self.unit)

    @cached_property
    def scale(self) -> float:
        """The size of the numbers that are rounded on the way: of the output, or of what it is what is left of."""
        size = max(numeric.largest(self.y), self.before)
        with no_grad(), np.errstate(all="ignore"), suppress(Exception):  # beside the point it may not be defined
            return size if self.over else max(size, numeric.cancelled(self.value, self.inputs, self.y))
        return size

    @cached_property
    def directions(self) -> list[list[Array]]:
        """Along which derivatives are compared with numeric ones: the drawn tangents, and at a kink some more."""
        return [self.tangents, *(self._more_directions() if self.truth.kinks.any() else ())]

    def _more_directions(self) -> list[list[Array]]:
        """For a kink: all elements up together, another drawn direction, and each input by itself.

        Along the first one no tie breaks, so a gradient that gives every tied maximum the full share shows.
        """
        drawn = self.draw_tangents()
        several = range(len(drawn)) if len(drawn) > 1 else ()
        alone = [[t if j == k else np.zeros(t.shape) for j, t in enumerate(drawn)] for k in several]
        return [self._together(), drawn, *alone]

    def _together(self) -> list[Array]:
        """The direction in which all elements of all inputs move by the same amount, which suits the smallest."""
        size = min(self.units, default=1.0)
        size *= min((s.min(initial=1.0) for s in self.stretch), default=1.0)
        return [np.full(np.shape(x), size) for x in self.inputs]

    def push_along(self, tangents: Sequence[Any]) -> Array:
        """The JVP along any tangents."""
        return self.pushed if tangents is self.tangents else self.push(tangents)

    def numeric_along(self, tangents: Sequence[Any]) -> numeric.Estimate:
        """The numeric derivative along any tangents."""
        if tangents is self.tangents:
            return self.truth
        known = self.__dict__.setdefault("_numeric", {})  # by identity; the tangents are kept with the result
        if id(tangents) not in known:
            with no_grad():
                known[id(tangents)] = self._directional(tangents), tangents
        return known[id(tangents)][0]

    @property
    def bends(self) -> bool:
        """Is the numeric derivative not linear in the direction, though no line through the point shows a kink?

        Then there is no derivative, and no rule can give what is found along every direction: max(x²) at 0 to second
        order, the median of equal numbers to first. (A wrong rule does not bend the function.)
        """
        if self.moved:
            return False
        if not self._bends:
            self._bends.append(any(self._bends_towards(self.draw_tangents()) for _ in range(8)))
        return self._bends[0] or (self.base is not None and self.base.bends)

    @cached_property
    def jumps(self) -> bool:
        """For the derivative of a derivative: does that jump at this point, as it does where kinks meet and cancel?

        |x| |x| has none at 0, but the rules of its parts have. What they publish decides there, and values beside it.
        """
        if self.base is None or self.moved:
            return False
        n = len(self.base.inputs)
        derivative = self.pushed if "forward" in self.modes else joined(map(Tensor, self.gradients[:n])).numpy()
        for sign in (1.0, -1.0):
            moves = [sign * 2.0**-20 * numeric.unit(x) * self.direction(np.shape(x)) for x in self.inputs[:n]]
            near = [x + move for x, move in zip(self.inputs, moves, strict=False)] + self.inputs[n:]
            if "forward" in self.modes:
                there = self.push(self.tangents, near)
            else:
                there = joined(map(Tensor, self.pull(self.cotangent, near)[:n])).numpy()
            if np.any(np.abs(there - derivative) > 1e-2 * (np.abs(there) + np.abs(derivative)) + 1e-6 * self.scale):
                return True
        return False

    def _bends_towards(self, other: Sequence[Array]) -> bool:
        one = self.numeric_along(self.tangents)
        with no_grad():
            two, both = map(self._directional, (other, [a + b for a, b in zip(self.tangents, other, strict=True)]))
        gap, size = np.abs(one.value + two.value - both.value), np.abs(one.value) + np.abs(two.value)
        bound = 4 * SAFETY * (one.error + two.error + both.error) + 1e-4 * size + self.floor
        return bool(np.any((gap > bound) & ~(one.kinks | two.kinks | both.kinks)))

    def numeric_again(self, tangents: Sequence[Any], before: numeric.Estimate) -> numeric.Estimate:
        """A second opinion: other steps too, and an error bar that covers what they disagree by.

        At kinks, where more than two branches may meet, also the derivatives beside the point.
        """
        value, error = before.value, before.error
        for scale in (0.7, 0.45):
            other = self._directional([scale * t for t in tangents])
            error = np.maximum(error, np.maximum(other.error / scale, np.abs(other.value / scale - value)))
        low, high, found = before.low, before.high, 0
        for step in range(64 if before.kinks.any() else 0):  # until 16 more have found no other branch
            moves = [2.0**-14 * u * self.direction(np.shape(x)) for u, x in zip(self.units, self.inputs, strict=True)]
            near, short = [x + move for x, move in zip(self.inputs, moves, strict=True)], 2.0**-22
            with no_grad():
                beside = numeric.directional(
                    self.value, near, [short * t for t in tangents], None, self.scale, self.unit
                )
            known = before.kinks & (beside.error <= 1e-3 * (short + np.abs(beside.value)))
            wider = known & ((beside.low / short < low) | (beside.high / short > high))
            low = np.where(wider, np.minimum(low, beside.low / short), low)
            high = np.where(wider, np.maximum(high, beside.high / short), high)
            found = step if wider.any() else found
            if step - found == 16:
                break
        error = np.where(before.kinks | np.isinf(value), before.error, error)
        return replace(before, error=error, low=low, high=high)

    def noise(self, derivative: Callable[[Callable[[Sequence[Array]], list[Array]]], Array]) -> Array:
        """How far rounding moves an analytic derivative: what it changes by when all it reads moves a little.

        ``derivative(near)`` computes it with ``near(arrays)`` in place of arrays. At kinks nothing is allowed for, as
        the derivative may jump.
        """

        def near(arrays: Sequence[Array]) -> list[Array]:
            return [x * (1 + max(2.0**-44, self.unit) * self.rng.integers(-4, 5, np.shape(x))) for x in arrays]

        def here(arrays: Sequence[Array]) -> list[Array]:  # a rule may be wrong in the layout of the point itself
            return [np.array(x, order="C") for x in arrays]

        most = np.zeros(())
        # In single precision a derivative itself is made of steps, which are no kinks where the function has none.
        own = self.base if self.base is not None and self.unit > DOUBLE else self
        if not own.truth.kinks.any():
            first = derivative(here)
            if not np.array_equal(derivative(here), first, equal_nan=True):  # that is no rounding
                return most
            for _ in range(4):
                most = np.maximum(most, np.abs(derivative(near) - first))
        return 16 * np.where(np.isfinite(most), most, 0.0)

    def outside(self, got: Array, truth: numeric.Estimate, noise: Any = 0.0) -> Array:
        """Where a value is not between the one-sided derivatives, give or take the error bar and the tolerances.

        A NaN or an infinity on one side only is outside.
        """
        finite, unknown = np.isfinite(truth.value), np.isinf(truth.error) | np.isnan(truth.error)
        bound = SAFETY * truth.error + self.rtol * np.abs(np.where(finite, truth.value, 0.0)) + self.atol
        bound = bound + self.floor + noise
        inside = (got >= truth.low - bound) & (got <= truth.high + bound) & (np.isfinite(got) | ~finite)
        neither = ~np.isfinite(got) & ~finite & ~(got == -truth.value)
        return np.asarray(~inside & ~neither & ~unknown)

    def output_at(self, position: int) -> tuple[str, tuple[int, ...]]:
        """What an element of the output (by its flat position) is called, and its index."""
        parts = self.parts or [("output", self.y.shape)]
        sizes = [int(np.prod(shape)) for _, shape in parts]
        part = int(np.searchsorted(np.cumsum(sizes), position, "right"))
        label, shape = parts[part]
        return label, tuple(int(i) for i in np.unravel_index(position - sum(sizes[:part]), shape)) if shape else ()

    @property
    def floor(self) -> float:
        """What an analytic derivative along a tangent may be off by for rounding."""
        return 450 * self.unit * self.scale * max(1.0, *self.units) + _UNDERFLOW

    @property
    def rounding(self) -> float:
        """Of the sum of magnitudes: what two ways to add the same numbers may differ by."""
        return 4500 * self.unit

    def leave_out(self) -> None:
        """Go on without the modes that its library does not have."""
        for mode, name in (("forward", "pushed"), ("reverse", "gradients")):
            if mode in self.modes:
                try:
                    getattr(self, name)
                except MissingRuleError as error:
                    self.modes = tuple(m for m in self.modes if m != mode)
                    self.left_out.append(f"{mode}{f' over {self.over}' if self.over else ''} mode ({error})")
                except Exception:  # the property that reads it will say so
                    pass

    def resolution(self, any_stairs: bool = False) -> float:
        """The precision that the function seems to compute with: that of float32, if tiny steps change nothing.

        Steps of all inputs, and of each one alone: what is computed from the others may be in float64. Where steps that
        float32 would show change nothing, the stairs are those of `round`, or of float32 beside larger numbers: these
        count with `any_stairs` alone.
        """
        every = set(range(len(self.inputs)))
        alone = [{k} for k in every if len(every) > 1]

        def stands_still(moving: set[int], closer: float, step: float, visible: float) -> bool:
            """Do most values stay at this step that would change by a `visible` part, as a longer one tells?"""

            def moved(scale: float) -> Array:
                return self.value(*(closer * (scale if k in moving else 1) * x for k, x in enumerate(self.inputs)))

            y = moved(1)
            far, near = (np.abs(moved(1 + size) - y) for size in (2.0**-12, step))
            seen = far * step * 2.0**12 > visible * np.maximum(np.abs(y), closer * self.scale) + 1e-300
            return bool(seen.any() and np.mean(near[seen] == 0) > 0.5)

        def coarse(moving: set[int]) -> bool:  # closer to 0, where nothing is seen at this point
            stairs = not any_stairs and stands_still(moving, 1, 2.0**-22, SINGLE)
            return not stairs and any(
                stands_still(moving, closer, 2.0**-30, 64 * DOUBLE) for closer in (1, 0.25, 2.0**-4)
            )

        with no_grad(), np.errstate(all="ignore"), suppress(Exception):
            return SINGLE if self.y.dtype == np.float32 or any(map(coarse, (every, *alone))) else DOUBLE
        return DOUBLE

    # -- second order ----------------------------------------------------------------------------------------------

    @cached_property
    def gradient_case(self) -> Case:
        """The function (inputs, cotangent) -> all gradients as one vector; its derivatives are those over reverse."""

        def gradient(*values: Any) -> Any:
            *primals, g = values
            return joined(transforms.vjp(self.f, *primals)[1](g))

        case = self._derived(gradient, [self.cotangent], ["the cotangent"])
        shapes = map(np.shape, self.inputs)
        case.over, case.parts = "reverse", [(f"(gradient of {n})", s) for n, s in zip(self.labels, shapes, strict=True)]
        return case

    @cached_property
    def tangent_case(self) -> Case:
        """The function (inputs, tangents) -> derivative along the tangents; its derivatives are those over forward."""
        n = len(self.inputs)

        def tangent(*values: Any) -> Any:
            return transforms.jvp(self.f, values[:n], values[n:])[1]

        labels = [f"the tangent of {label}" for label in self.labels]
        case = self._derived(tangent, self.tangents, labels)
        case.over, case.parts = "forward", [("(tangent of output)", self.y.shape)]
        return case

    @cached_property
    def derived(self) -> list[Case]:
        """The derivatives that there are, as cases, if they are to be differentiated."""
        if self.order < 2:
            return []
        cases = [self.gradient_case] if "reverse" in self.modes else []
        cases += [self.tangent_case] if "forward" in self.modes else []
        for case in cases:
            case.leave_out()
            self.left_out += case.left_out
        return cases

    def _like(self, f: Function, inputs: Sequence[Any], labels: Sequence[str], **options: Any) -> Case:
        """A case of another function, or at another point, to which the same was asked."""
        shared = ("name", "modes", "kind", "rtol", "atol", "explain", "foreign", "unit")
        return Case(f, inputs, labels=labels, **{name: getattr(self, name) for name in shared}, **options)

    def _derived(self, f: Function, more: Sequence[Array], labels: Sequence[str]) -> Case:
        case = self._like(f, [*self.inputs, *more], [*self.labels, *labels], seed=self.seed + 1, order=1)
        size = min(1.0, *self.units)
        case.base, case.before = self, self.scale / size
        if size < _TINY:  # 1 - (1 - tanh(x)²), the derivative of x - tanh(x), is 0 for all x below 1e-8
            case.before = max(case.before, *(float(np.abs(v).max(initial=0.0)) for v in more))
        if self.truth.kinks.any():
            # The derivative jumps here. It is smooth in what it is linear in; and in a primitive no tie breaks where
            # all inputs move together. Along other directions any of many branches may be met, or none.
            still = [np.zeros(np.shape(x)) for x in self.inputs]
            case.directions = [[*still, *case.drawn[len(still) :]]]
            if self.primitive is not None:
                case.directions.append([*self._together(), *(np.zeros_like(x) for x in more)])
        return case

    @cached_property
    def beside(self) -> Case:
        """The same function at a point close by, where nothing ties: every element is moved by another amount."""
        sizes = [np.size(x) for x in self.inputs]
        moves = 2.0**-6 * ((self.rng.permutation(sum(sizes)) + 0.25) / sum(sizes) - 0.5)  # none is 0
        parts = np.split(moves, np.cumsum(sizes)[:-1])
        reach = [np.where(x == 0, u, np.minimum(u, np.abs(x))) for u, x in zip(self.units, self.inputs, strict=True)]
        near = [x + s * move.reshape(np.shape(x)) for x, s, move in zip(self.inputs, reach, parts, strict=True)]
        case = self._like(self.f, near, self.labels, seed=self.seed + 2, order=self.order)
        case.moved, case.over, case.parts, case.before = True, self.over, self.parts, self.before
        return case


def in_parts(y: Any) -> Any:
    """A complex result as real numbers: its real and imaginary parts side by side."""
    return concat([expand_dims(real(y), -1), expand_dims(imag(y), -1)], axis=-1)


def joined(tensors: Iterable[Any]) -> Any:
    """Tensors as one vector."""
    return concat([reshape(t, (-1,)) for t in tensors])
