"""The properties that a differentiable function must have, each by itself.

A property is a function of a `Case`. It raises `GradientError` when it does not hold, and returns None when it does,
or the reason why there was nothing to check.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from ..engine import transforms
from ..errors import ArgumentError, MissingExtraError
from ..kernels.wanted import use_kernels
from . import coverage
from . import kinks as _kinks
from .case import BOTH, DOUBLE, SINGLE, TOLERANCES, Case
from .explain import fail
from .numeric import largest
from .report import GradientError

__all__ = ["PROPERTIES", "run"]

Array = np.ndarray[Any, Any]
_ROUNDING = 1e-12  # of the sum of magnitudes: what two ways to add the same numbers may differ by


# ------------------------------------------------------------------------------------------------------------------
# The properties


def repeatable(case: Case) -> str | None:
    """Values, tangents and gradients are bit for bit the same when computed again."""
    again = case.again
    _same(case, "repeatable", "its value changes from call to call", again.value, case.y)
    if again.pushed is not None:
        _same(case, "repeatable", "its JVP changes from call to call", again.pushed, case.pushed)
    if again.gradients is not None:
        for before, after in zip(case.gradients, again.gradients, strict=True):
            _same(case, "repeatable", "its VJP changes from call to call", after, before)
    return None


def jvp_vs_numeric(case: Case) -> str | None:
    """Forward mode gives the numeric derivative along a direction, in every element of the output."""
    if "forward" not in case.modes:
        return "no forward mode"
    for tangents in case.directions:
        truth, pushed = case.numeric_along(tangents), case.push_along(tangents)
        wrong = case.outside(pushed, truth)
        if wrong.any():
            truth = case.numeric_again(tangents, truth)
            wrong = case.outside(pushed, truth, case.noise(partial(_pushed, case, tangents)))
        if wrong.any() and (case.bends or case.jumps):
            return _beside(case, jvp_vs_numeric)
        if wrong.any():
            fail(case, "jvp_vs_numeric", f"JVP is not {_truth(truth.kinks[wrong])}", forward=True)
    return None


def vjp_vs_numeric(case: Case) -> str | None:
    """Reverse mode gives the numeric derivative of <g, f> along a direction."""
    if "reverse" not in case.modes:
        return "no reverse mode"
    for tangents in case.directions:
        truth = case.numeric_along(tangents)
        value, noise = np.asarray(_inner(case.gradients, tangents)), case.rounding * _size(case.gradients, tangents)
        noise += case.floor * float(np.sum(np.abs(case.cotangent)))
        wrong = case.outside(value, truth.weighted(case.cotangent), noise)
        if wrong:
            truth = case.numeric_again(tangents, truth)
            rounding = case.noise(partial(_pulled_along, case, tangents))
            wrong = case.outside(value, truth.weighted(case.cotangent), noise + rounding)
        if wrong and (case.bends or case.jumps):
            return _beside(case, vjp_vs_numeric)
        if wrong:
            fail(case, "vjp_vs_numeric", f"VJP is not {_truth(truth.kinks)}")
    return None


def adjoint(case: Case) -> str | None:
    """The adjoint identity <g, J v> = <Jᵀ g, v>: forward and reverse mode are each other's transpose."""
    if case.modes != BOTH:
        return "needs both modes"
    left, right = float(np.sum(case.cotangent * case.pushed)), _inner(case.gradients, case.tangents)
    bound = case.rounding * (float(np.sum(np.abs(case.cotangent * case.pushed))) + _size(case.gradients, case.tangents))
    bound += case.floor * float(np.sum(np.abs(case.cotangent)))

    def gap(near: Near) -> Array:
        pushed = np.sum(case.cotangent * _pushed(case, case.tangents, near))
        return np.asarray(pushed - _pulled_along(case, case.tangents, near))

    if not _near(left, right, bound) and not _near(left, right, bound + float(case.noise(gap))):
        if case.foreign and case.truth.kinks.any() and not case.moved:  # each mode may take another derivative there
            return adjoint(case.beside)
        fail(case, "adjoint", f"adjoint identity fails: <g, Jv> = {left!r}, <Jᵀg, v> = {right!r}")
    return None


def vjp_vs_jvp(case: Case) -> str | None:
    """Single elements of the gradient, at drawn places, are what forward mode gives for them."""
    if case.modes != BOTH:
        return "needs both modes"
    if not all(np.isfinite(x).all() for x in (case.pushed, *case.gradients)):
        return "infinite derivatives"
    rng = np.random.default_rng(case.seed)
    for k, gradient in enumerate(case.gradients):
        for element in rng.permutation(gradient.size)[:2]:
            basis = [np.zeros(np.shape(x)) for x in case.inputs]
            basis[k].flat[element] = 1.0
            terms = case.cotangent * case.push(basis)
            expected, got = float(np.sum(terms)), float(gradient.flat[element])
            bound = case.rounding * (float(np.sum(np.abs(terms))) + abs(got))
            bound += case.floor * float(np.sum(np.abs(case.cotangent))) / case.units[k]
            if not _near(got, expected, bound):
                bound += float(case.noise(partial(_pulled_element, case, k, element)))
            if not _near(got, expected, bound):
                if case.foreign and case.truth.kinks.any() and not case.moved:
                    return vjp_vs_jvp(case.beside)
                fail(case, "vjp_vs_jvp", f"VJP is not the transpose of the JVP: {got!r} against {expected!r}")
    return None


def second_order(case: Case) -> str | None:
    """Derivatives of the gradient and of the tangent, in forward and in reverse mode: all four pairings.

    At a kink, where gradients jump, also beside it.
    """
    if case.order < 2:
        return "order 1 was asked for"
    for inner in case.derived:
        for check in (jvp_vs_numeric, vjp_vs_numeric, adjoint):
            check(inner)
    if case.truth.kinks.any() and not case.moved:
        second_order(case.beside)
    symmetric = case.modes == BOTH and "forward" in case.gradient_case.modes and "reverse" in case.tangent_case.modes
    if symmetric and not case.truth.kinks.any():
        gap = partial(_asymmetry, case)
        bound = case.rounding * _peak(*case.gradients)
        bound += case.gradient_case.floor * float(np.sum(np.abs(case.cotangent)))
        if not np.all(np.abs(gap(list)) <= bound) and not np.all(np.abs(gap(list)) <= bound + case.noise(gap)):
            fail(case.gradient_case, "second_order", "forward over reverse is not reverse over forward")
    return None


def linearity(case: Case) -> str | None:
    """The VJP is linear in the cotangent, the JVP in the tangent."""
    if "reverse" in case.modes:
        other = case.direction(case.y.shape)
        sums = case.pull(2 * case.cotangent - 3 * other)
        for k, (sum_, a, b) in enumerate(zip(sums, case.gradients, case.pull(other), strict=True)):
            message, noise = "its VJP is not linear in the cotangent", partial(_uneven_pull, case, k, other)
            _close(case, "linearity", message, sum_, 2 * a - 3 * b, _peak(a, b), case.labels[k], noise)
    if "forward" in case.modes:
        others = [case.direction(t.shape) for t in case.tangents]
        sum_ = case.push([2 * a - 3 * b for a, b in zip(case.tangents, others, strict=True)])
        a, b, message = case.pushed, case.push(others), "its JVP is not linear in the tangent"
        _close(case, "linearity", message, sum_, 2 * a - 3 * b, _peak(a, b), "", partial(_uneven_push, case, others))
    return None


def zero_cotangent(case: Case) -> str | None:
    """A zero cotangent gives zeros, and so does a zero tangent."""
    if not np.isfinite(case.truth.value).all():
        return "infinite derivatives"
    if "reverse" in case.modes:
        for gradient in case.pull(np.zeros(case.y.shape)):
            _same(case, "zero_cotangent", "a zero cotangent gives no zeros", gradient, np.zeros(gradient.shape))
    if "forward" in case.modes:
        pushed = case.push([np.zeros(np.shape(x)) for x in case.inputs])
        _same(case, "zero_cotangent", "a zero tangent gives no zeros", pushed, np.zeros(pushed.shape))
    return None


def not_mutated(case: Case) -> str | None:
    """Nothing that is passed in is changed: neither inputs, nor tangents, nor cotangents."""
    changed = case.again.changed
    if changed is not None:
        what = case.labels[changed] if changed < len(case.inputs) else "a tangent or cotangent"
        fail(case, "not_mutated", f"{what} was changed in place")
    return None


def not_aliased(case: Case) -> str | None:
    """What comes back shares no memory with what went in, nor with each other: writing to it changes nothing."""
    results = []
    if "reverse" in case.modes:
        results += case.gradients
    if "forward" in case.modes:
        results.append(case.pushed)
    given = [*case.inputs, *case.tangents, case.cotangent]
    for k, array in enumerate(results):
        for other in (*given, *results[:k]):
            if np.may_share_memory(array, other) and np.shares_memory(array, other):
                fail(case, "not_aliased", "a gradient shares its memory with an input or another gradient")
    return None


def dtype_kept(case: Case) -> str | None:
    """float32 in, float32 out: values (of primitives), tangents and gradients."""
    singles, g = _singles(case)
    if "dtype" in case.params:
        return "it converts dtypes"
    if case.foreign:
        return "its dtypes are those of another library"
    y = transforms.vjp(case.f, *singles)[0]
    if case.primitive is not None and y.dtype != np.float32:
        fail(case, "dtype_kept", f"float32 inputs gave a {y.dtype} result")
    if "reverse" in case.modes:
        for label, gradient in zip(case.labels, case.pull(g, singles), strict=True):
            if gradient.dtype != np.float32:
                fail(case, "dtype_kept", f"float32 inputs gave a {gradient.dtype} gradient of {label}")
    if "forward" in case.modes:
        pushed = case.push([t.astype(np.float32) for t in case.tangents], singles)
        if pushed.dtype != y.dtype:
            fail(case, "dtype_kept", f"the tangent of a {y.dtype} result is {pushed.dtype}")
    return None


def float32_vs_float64(case: Case) -> str | None:
    """In float32 values, gradients and tangents, to every order, are those of float64, as far as float32 goes."""
    if "dtype" in case.params:
        return "it converts dtypes"
    if case.unit > DOUBLE:
        return "it computes in float32"
    for each in (case, *case.derived):
        what = {"": "", "reverse": "gradient of the ", "forward": "derivative of the "}[each.over]
        try:
            both = list(_in_both(each))
        except Exception:
            if case.foreign:
                return "it does not run in float32"
            raise
        for k, (part, single, double) in enumerate(both):
            rtol, atol = TOLERANCES["float32"]
            bound = atol + rtol * np.maximum(largest(double), _natural(each, k))
            wrong = ~(np.abs(single - double) <= bound)
            if wrong.any():
                wrong &= (np.isfinite(single) | np.isfinite(double)) & ~(np.abs(double) > np.finfo(np.float32).max)
            if not wrong.any():
                continue
            if case.foreign and (part == "value" or not _same_in_single(case)):  # as with an epsilon of its dtype
                return "its float32 values are others"
            if not np.isfinite(single[wrong] if case.foreign else both[0][1]).all():
                return "its numbers are beyond float32"
            rounded = np.zeros(())  # what it changes by beside the point; where a function is more than one primitive
            for _ in range(4):  # in single precision too: x / |x| loses digits on its way
                _, near, moved = list(_in_both(each, near=True))[k]
                alone = 0.0 if case.primitive is not None else np.abs(near - single)
                rounded = np.maximum(rounded, np.maximum(np.abs(moved - double), alone))
            wrong &= ~(np.abs(single - double) <= bound + 16 * rounded)
            if wrong.any():
                at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                a, b = single[at], double[at]
                fail(case, "float32_vs_float64", f"its float32 {what}{part} is {a!r} where float64 has {b!r}")
    return None


def _same_in_single(case: Case) -> bool:
    """Does a function have the same values in float32, beside the point too?"""
    near = [np.asarray(x, np.float32) for x in case.beside.inputs]
    single, double = case.value(*near), case.value(*(x.astype(np.float64) for x in near))
    return bool(np.allclose(single, double, *TOLERANCES["float32"], equal_nan=True))


def _natural(case: Case, k: int) -> Any:
    """How large the numbers are that a part of `_in_both` is the difference of, in the derivative of a derivative."""
    if not case.over or "reverse" not in case.modes or not 0 < k <= len(case.inputs):
        return case.before
    x = np.abs(case.inputs[k - 1])
    return case.before / np.where(x == 0, 1.0, np.minimum(x, 1.0))


def _in_both(case: Case, near: bool = False) -> Iterator[tuple[str, Array, Array]]:
    """Value, gradients and tangent in float32 and float64, at a point that float32 has (or at one beside it)."""
    singles, g = _singles(case)
    if near:
        singles = [(x * (1 + case.rng.choice([-1, 1], x.shape) * SINGLE)).astype(np.float32) for x in singles]
    tangents = [t.astype(np.float32) for t in case.tangents]
    doubles = [x.astype(np.float64) for x in singles]
    if "reverse" in case.modes:
        value, gradients = case.value_and_pull(g, singles)
        double, doubled = case.value_and_pull(g.astype(np.float64), doubles)
    else:
        value, double, gradients, doubled = case.value(*singles), case.value(*doubles), [], []
    yield "value", value, double
    yield from ((f"gradient of {name}", a, b) for name, a, b in zip(case.labels, gradients, doubled, strict=False))
    if "forward" in case.modes:
        yield "tangent", case.push(tangents, singles), case.push([t.astype(np.float64) for t in tangents], doubles)


def batch_consistency(case: Case) -> str | None:
    """What is computed for a batch is what is computed for its samples, one by one."""
    primitive = case.primitive
    if primitive is None or not primitive.batch:
        return "no batch axis is declared"
    names = [*primitive.inputs, *case.params]
    values = [*case.args, *case.params.values()]
    n = next(len(v) for name, v in zip(names, values, strict=True) if name in primitive.batch)
    y_batched = "y" in primitive.batch
    ys, gradients = [], []
    for i in range(n):
        part = [v[i : i + 1] if name in primitive.batch else v for name, v in zip(names, values, strict=True)]
        args, params = part[: len(case.args)], dict(zip(case.params, part[len(case.args) :], strict=True))
        y, pullback = transforms.vjp(lambda *xs, params=params: primitive.operation(*xs, **params), *args)
        ys.append(y._array)
        with case.raising("VJP"):
            gradients.append([x._array for x in pullback(case.cotangent[i : i + 1] if y_batched else case.cotangent)])
    pairs = [("value", case.y, ys, y_batched)]
    for k, name in enumerate(primitive.inputs):
        pairs.append((f"gradient of {name}", case.gradients[k], [g[k] for g in gradients], name in primitive.batch))
    for what, whole, parts, batched in pairs:
        joined = np.concatenate(parts) if batched else np.sum(parts, axis=0)
        message = f"its {what} for a batch is not that of its samples"
        _close(case, "batch_consistency", message, whole, joined, _peak(whole))
    return None


def compiled_vs_plain(case: Case) -> str | None:
    """Compiled kernels give what the plain NumPy ones give, in float32 and in float64."""
    if case.foreign:
        return "its kernels are those of another library"
    try:
        with use_kernels("compiled") as forms:
            compiled = list(_in_both(case))
    except MissingExtraError:
        return "Numba is not installed"
    if not forms.ran:
        return "it has no compiled kernels"
    with use_kernels("plain"):
        plain = list(_in_both(case))
    for (part, *ours), (_, *theirs) in zip(compiled, plain, strict=True):
        for a, b, (rtol, atol) in zip(ours, theirs, (TOLERANCES["float32"], (_ROUNDING, _ROUNDING)), strict=True):
            bound = atol + rtol * _peak(a, b)
            same = (np.abs(a - b) <= bound) | (a == b) | (np.isnan(a) & np.isnan(b))
            if not same.all():
                at = np.unravel_index(int(np.argmin(same)), same.shape)
                what = f"its {part} is {a[at]!r} by compiled {', '.join(sorted(forms.ran))}, {b[at]!r} by plain"
                fail(case, "compiled_vs_plain", what)
    return None


def kinks(case: Case) -> str | None:
    """At kinks and ties, the derivative is the published one."""
    return _kinks.check(case)


PROPERTIES: Mapping[str, Callable[[Case], str | None]] = MappingProxyType({
    check.__name__: check
    for check in (
        repeatable, jvp_vs_numeric, vjp_vs_numeric, adjoint, vjp_vs_jvp, kinks, second_order, linearity,
        zero_cotangent, not_mutated, not_aliased, dtype_kept, float32_vs_float64, batch_consistency, compiled_vs_plain,
    )
})  # fmt: skip


def run(case: Case, properties: Sequence[str] | None = None) -> dict[str, str]:
    """Check some properties (all when None). Returns what was found for each: "holds", or why it does not apply."""
    unknown = set(properties or ()) - set(PROPERTIES)
    if unknown:
        raise ArgumentError(f"expected properties from {', '.join(PROPERTIES)}, got {min(unknown)!r}")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        case.leave_out()
        try:
            asked = PROPERTIES if properties is None else properties
            found = {name: PROPERTIES[name](case) or "holds" for name in asked}
        except GradientError:
            coverage.note_failed(case)
            raise
    coverage.note(case, found)
    return found


# ------------------------------------------------------------------------------------------------------------------
# Comparing


def _beside(case: Case, check: Callable[[Case], str | None]) -> str | None:
    """Where there is no derivative, the published rules hold, and beside that point the derivative is right."""
    _kinks.check_calls(case)
    if case.base is not None:
        check(case.base.beside)
    return check(case.beside)


def _truth(kinks: Array) -> str:
    return "between the one-sided derivatives" if kinks.any() else "the numeric derivative"


# Derivatives computed from what is near a case's inputs: see `Case.noise`.
Near: TypeAlias = Callable[[Sequence[Array]], list[Array]]


def _pushed(case: Case, tangents: Sequence[Array], near: Near) -> Array:
    return case.push(near(tangents), near(case.inputs))


def _pulled_along(case: Case, tangents: Sequence[Array], near: Near) -> Array:
    return np.asarray(_inner(case.pull(near([case.cotangent])[0], near(case.inputs)), tangents))


def _asymmetry(case: Case, near: Near) -> Array:
    """Forward over reverse less reverse over forward, which are both the second derivative along the tangents."""
    inputs, tangents, (g,) = near(case.inputs), near(case.tangents), near([case.cotangent])
    over_reverse = case.gradient_case.push([*tangents, np.zeros_like(g)], [*inputs, g])
    over_forward = case.tangent_case.pull(g, [*inputs, *tangents])[: len(inputs)]
    gap = over_reverse - np.concatenate([x.ravel() for x in over_forward])
    return np.where(np.isfinite(gap), gap, 0.0) if not np.isfinite(over_reverse).all() else gap


def _uneven_pull(case: Case, k: int, other: Array, near: Near) -> Array:
    """How far the gradient of input k is from linear in the cotangent."""
    g, h = near([case.cotangent, other])
    both, one, two = (case.pull(v)[k] for v in (2 * g - 3 * h, g, h))
    return both - 2 * one + 3 * two


def _uneven_push(case: Case, others: Sequence[Array], near: Near) -> Array:
    """How far the JVP is from linear in the tangent."""
    ts, us = near(case.tangents), near(others)
    both = case.push([2 * t - 3 * u for t, u in zip(ts, us, strict=True)])
    return both - 2 * case.push(ts) + 3 * case.push(us)


def _pulled_element(case: Case, k: int, element: int, near: Near) -> Array:
    return np.asarray(case.pull(near([case.cotangent])[0], near(case.inputs))[k].flat[element])


def _near(a: float, b: float, bound: float) -> bool:
    return abs(a - b) <= bound < np.inf or not (np.isfinite(a) or np.isfinite(b))


def _inner(xs: Sequence[Array], ys: Sequence[Array]) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(xs, ys, strict=True)))


def _size(xs: Sequence[Array], ys: Sequence[Array]) -> float:
    return float(sum(np.sum(np.abs(x * y)) for x, y in zip(xs, ys, strict=True)))


def _peak(*arrays: Array) -> float:
    return 10 * max(map(largest, arrays), default=0.0)


def _singles(case: Case) -> tuple[list[Array], Array]:
    return [np.asarray(x, np.float32) for x in case.inputs], case.cotangent.astype(np.float32)


def _same(case: Case, name: str, what: str, got: Array, expected: Array) -> None:
    if not (np.array_equal(got, expected) or np.array_equal(got, expected, equal_nan=True)):
        fail(case, name, what)


def _close(
    case: Case, name: str, what: str, got: Array, expected: Array, size: float, label: str = "",
    gap_near: Callable[[Near], Array] | None = None,
) -> None:  # fmt: skip
    if got.shape != expected.shape:
        fail(case, name, what)
    bound: Any = case.rounding * size
    gap = np.abs(got - expected)
    if np.all(gap <= bound):
        return
    bound += 10 * (case.gradient_case if "reverse" in case.modes else case.tangent_case).floor
    if gap_near is not None and not np.all(gap <= bound):
        bound = bound + case.noise(gap_near)
    wrong = ~(gap <= bound) & (np.isfinite(got) | np.isfinite(expected))
    if wrong.any():
        at = np.unravel_index(int(np.argmax(np.where(wrong, np.nan_to_num(gap, nan=np.inf), -1.0))), got.shape)
        shown = {
            "argument": label, "index": tuple(map(int, at)), "output": "<2 g - 3 h, output>", "method": "by linearity",
            "analytic": float(got[at]), "numeric": float(expected[at]), "error": float(np.max(bound)),
            "wrong": int(wrong.sum()), "total": got.size,
        }  # fmt: skip
        fail(case, name, what, shown=shown if label else {})
