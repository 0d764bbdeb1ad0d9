"""From a failed check to a `Report`: which elements are wrong, and what the error looks like.

Checks look along directions. To name an element, the numeric derivative by each element of the arguments is worked out
and held against the analytic one. Of large arguments, only the parts that disagree most are looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from ..kernels.product import matmul
from . import numeric
from .case import BOTH, Case
from .finding import RULE, Finding
from .numeric import SAFETY
from .patterns import suspect
from .report import GradientError, Report, hypothesis_runs

__all__ = ["basis", "fail"]

DERIVATIVES = {"jvp_vs_numeric", "vjp_vs_numeric", "adjoint", "vjp_vs_jvp", "kinks", "second_order", "linearity"}
Array = np.ndarray[Any, Any]
_SMALL = 5  # elements and outputs of which Jacobians are printed
_MOST = 400  # numeric derivatives that one explanation may cost (a third of that at second order)


def fail(
    case: Case, name: str, message: str, finding: Finding | None = None, forward: bool = False,
    shown: Mapping[str, Any] = MappingProxyType({}),
) -> NoReturn:  # fmt: skip
    """Raise `GradientError` for a property that does not hold, saying where if that can be found out.

    `forward` says that it is forward mode that is wrong, as far as is known; `shown` is what is known of the place.
    """
    if case.over:  # a derivative of a derivative
        name, message = "second_order", message.replace("JVP", f"forward over {case.over}")
        message = message.replace("VJP", f"reverse over {case.over}")
    report = Report(case.name, name, message, order=2 if name == "second_order" else 1, **shown)
    kind = (name, report.order, bool(np.isfinite(case.y).all()))
    if not case.explain or name not in DERIVATIVES:
        error = GradientError(report)
        error.kind = kind
        raise error
    modes = [mode for mode in (BOTH if forward else BOTH[::-1]) if mode in case.modes]
    error = GradientError(lambda: _explained(case, report, modes, finding))
    error.kind = kind
    if not hypothesis_runs():
        _ = error.report
    raise error


def _explained(case: Case, report: Report, modes: list[str], finding: Finding | None) -> Report:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        for mode in modes:
            with suppress(GradientError):  # a rule that raises has no elements
                found = finding or _find(case, mode)
                if found is not None:
                    return _described(case, report, found, mode)
    return report


def _described(case: Case, report: Report, found: Finding, mode: str) -> Report:
    worst = found.worst
    element = int(found.elements[worst])
    place, analytic = _worst_output(case, found, mode)
    label, index = case.output_at(int(found.outputs[place]))
    where, picture = _picture(case, found, element)
    return replace(
        report, argument=case.labels[found.k], index=_index(element, found.shape), output=label, output_index=index,
        analytic=analytic, numeric=float(found.jacobian[worst, place]), error=float(found.error[worst]),
        method=found.method,
        wrong=int(found.wrong.sum()), total=len(found.elements), where=where, picture=picture,
        jacobians=_jacobians(case, found, mode),
        pattern="" if found.method == RULE else suspect(case, found),
    )  # fmt: skip


def _index(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()


# ------------------------------------------------------------------------------------------------------------------
# Which elements


def _find(case: Case, mode: str) -> Finding | None:
    """The argument with the largest error, if any has one."""
    found = []
    budget = int(min(_MOST // 3 if case.over else _MOST, max(2e6 // max(case.y.size, 1), 24)))
    total = sum(np.size(x) for x in case.inputs)
    for k, x in enumerate(case.inputs):
        elements = np.arange(np.size(x))
        if total > budget:
            elements = _narrowed(case, k, mode, max(budget * np.size(x) // total, 16))
        found.append(_compared(case, k, elements, mode))
    found = [f for f in found if f.wrong.any()]
    gaps = [np.abs(f.analytic - f.numeric)[f.worst] for f in found]
    return found[int(np.argmax([np.inf if np.isnan(gap) else gap for gap in gaps]))] if found else None


def _compared(case: Case, k: int, elements: Array, mode: str) -> Finding:
    g = case.cotangent.ravel()
    truth = numeric.jacobian(case.value, case.inputs, k, elements, case.scale, case.unit, case.stretch[k])
    value, error, low, high = (
        np.reshape(a, (len(elements), -1)) for a in (truth.value, truth.error, truth.low, truth.high)
    )
    ends, smooth = np.stack([low * g, high * g]), np.zeros(len(elements), bool)
    along = numeric.Estimate(
        matmul(value, g), matmul(error, np.abs(g)), truth.method, ends.min(0).sum(1), ends.max(0).sum(1), smooth
    )
    analytic = _analytic(case, k, elements, mode)
    noise = case.rounding * matmul(np.abs(value), np.abs(g)) + 4 * SAFETY * along.error
    noise += case.floor * float(np.sum(np.abs(g))) / numeric.unit(case.inputs[k])
    wrong = case.outside(analytic, along, noise)
    shape = np.shape(case.inputs[k])
    outputs = np.arange(case.y.size)
    return Finding(k, shape, elements, analytic, along.value, along.error, wrong, outputs, value, truth.method)


def _analytic(case: Case, k: int, elements: Array, mode: str) -> Array:
    if mode == "reverse":
        return case.gradients[k].ravel()[elements]
    return np.array([float(np.sum(case.cotangent * case.push(basis(case, k, int(e))))) for e in elements])


def basis(case: Case, k: int, element: int) -> list[Array]:
    """Tangents that are 1 in one element of argument k, and 0 elsewhere."""
    tangents = [np.zeros(np.shape(x)) for x in case.inputs]
    tangents[k].flat[element] = 1.0
    return tangents


def _narrowed(case: Case, k: int, mode: str, most: int) -> Array:
    """The elements of argument k that are most likely wrong: of eight blocks the worst two are kept, and cut again."""
    elements = np.arange(np.size(case.inputs[k]))
    while len(elements) > most:
        blocks = np.array_split(elements, 8)
        gaps = [_gap(case, k, block, mode) for block in blocks]
        elements = np.concatenate([blocks[i] for i in sorted(np.argsort(gaps)[-2:])])
    return elements


def _gap(case: Case, k: int, block: Array, mode: str) -> float:
    """How far the derivative along some elements of argument k is from the numeric one, in error bars."""
    tangents = [np.zeros(np.shape(x)) for x in case.inputs]
    tangents[k].flat[block] = case.tangents[k].flat[block]
    along = numeric.directional(case.value, case.inputs, tangents, case.kind, case.scale, case.unit)
    truth = along.weighted(case.cotangent)
    if mode == "reverse":
        got = np.sum(case.gradients[k].flat[block] * tangents[k].flat[block])
    else:
        got = np.sum(case.cotangent * case.push(tangents))
    gap = float(np.abs(got - truth.value) / (truth.error + 1e-300))
    return np.inf if np.isnan(gap) else gap


def _worst_output(case: Case, found: Finding, mode: str) -> tuple[int, float]:
    """Which of the outputs has the most wrong derivative by the worst element, and the analytic derivative there."""
    k, element, column = found.k, int(found.elements[found.worst]), found.jacobian[found.worst]
    if mode == "forward":
        analytic = case.push(basis(case, k, element)).ravel()[found.outputs]
        gap = np.abs(analytic - column)
        worst = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
        return worst, float(analytic[worst])

    def pulled(places: Array, weights: Array) -> float:
        g = np.zeros(case.y.shape)
        g.flat[found.outputs[places]] = weights
        return float(case.pull(g)[k].flat[element])

    places, g = np.arange(len(found.outputs)), case.cotangent.ravel()[found.outputs]
    while len(places) > 1:  # the half that is more wrong
        halves = np.array_split(places, 2)
        gaps = [abs(pulled(half, g[half]) - float(matmul(column[half], g[half]))) for half in halves]
        places = halves[0 if np.isnan(gaps[0]) or gaps[0] >= gaps[1] else 1]
    return int(places[0]), pulled(places, g[places]) / float(g[places].item()) + 0.0  # not of 1: it may not be linear


# ------------------------------------------------------------------------------------------------------------------
# The picture


def _picture(case: Case, found: Finding, element: int) -> tuple[str, tuple[str, ...]]:
    """The plane of the argument with the worst element, ``x`` where it is wrong, and what that plane is called."""
    shape = found.shape
    if not shape or not found.complete or int(np.prod(shape)) == 1:
        return "", ()
    index = _index(element, shape)
    wrong = np.zeros(shape, bool)
    wrong.flat[found.elements[found.wrong]] = True
    axes = _plane(shape, case.y.shape)
    plane = wrong[tuple(slice(None) if a in axes else i for a, i in enumerate(index))]
    at = [index[a] for a in axes]
    if plane.ndim == 1:
        plane, at = plane[None], [0, *at]
    starts = [max(0, min(i - n // 2, size - n)) for i, n, size in zip(at, (8, 32), plane.shape, strict=True)]
    plane = plane[starts[0] : starts[0] + 8, starts[1] : starts[1] + 32]
    text = ", ".join(":" if a in axes else str(i) for a, i in enumerate(index))
    lines = (" ".join("x" if cell else "." for cell in row) for row in plane)
    return f"{case.labels[found.k]}[{text}], shape {shape}", tuple(lines)


def _jacobians(case: Case, found: Finding, mode: str) -> tuple[str, ...]:
    """The analytic and the numeric Jacobian side by side, where they are small enough to be looked at."""
    rows, columns = found.jacobian.shape
    if found.method == RULE or not found.complete or rows * columns == 1 or max(rows, columns) > _SMALL:
        return ()
    if mode == "reverse":
        pulled = [case.pull(g.reshape(case.y.shape))[found.k].ravel() for g in np.eye(columns)]
        analytic = np.stack(pulled, axis=1)
    else:
        analytic = np.stack([case.push(basis(case, found.k, e)).ravel() for e in range(rows)])
    texts = [[f"{x + 0:.4g}" for x in np.round(side, 12).ravel()] for side in (analytic, found.jacobian)]
    wide = max(len(text) for side in texts for text in side)
    sides = [[" ".join(f"{x:>{wide}}" for x in side[r * columns :][:columns]) for r in range(rows)] for side in texts]
    return tuple(f"{left} | {right}" for left, right in zip(*sides, strict=True))


def _plane(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """Which two axes to show: height and width of images (N, H, W, C) and kernels (kh, kw, C_in, C_out)."""
    if len(shape) < 3:
        return tuple(range(len(shape)))
    image = len(out) == len(shape) and out[0] == shape[0]
    return (len(shape) - 3, len(shape) - 2) if image or len(shape) == 3 else (len(shape) - 4, len(shape) - 3)
