"""Kinks: where a function has one-sided derivatives that differ, and the library publishes which value it takes.

Two things are asked of a gradient at a kink. Along every direction it lies between the one-sided numeric derivatives
(`properties.jvp_vs_numeric` and `vjp_vs_numeric` ask that everywhere). And if the primitive publishes a rule (`tie=`
in its declaration), it is the value of that rule, which is worked out here from values of the function alone:

===========  ==============================================================================================
rule         the derivative by one element at a kink, from its one-sided derivatives
===========  ==============================================================================================
"left"       the left one (towards smaller x)
"right"      the right one
"mean"       their mean
"least"      the one closer to 0
"greatest"   the one further from 0
"share"      of m elements tied for an output, each gets 1/m of the "greatest"
"first"      of the elements tied for an output, the first (row-major) gets the "greatest", others the "least"
===========  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import transforms
from ..engine.modes import mode
from ..engine.node import Node
from ..kernels.product import matmul
from .case import Case
from .explain import basis, fail
from .finding import RULE, Finding
from .numeric import unit

__all__ = ["check", "check_calls", "published"]

Array = np.ndarray[Any, Any]

_STEP = 2.0**-20
_SMALL = 256  # up to how many elements all derivatives are looked at
_SOME = 32  # outputs that are looked at in larger arrays
_CLOSE = 1e-4  # what one-sided differences with that step may be off by; rules differ by much more


def check(case: Case) -> str | None:
    """Hold the derivative at a kink to the published rule: the primitive's, or that of each one in a function."""
    return check_calls(case) if case.truth.kinks.any() else "no kinks at this point"


def check_calls(case: Case) -> str | None:
    """The same where the kinks cancel, so that the function as a whole shows none."""
    cases = [case] if case.primitive is not None else _calls(case)
    ruled = [c for c in cases if c.primitive is not None and c.primitive.tie]
    for each in ruled:
        for k in range(len(each.inputs)) if each.truth.kinks.any() else ():
            _hold(each, k)
    return None if ruled else "no rule is published"


def published(case: Case, k: int, elements: Array, outputs: Array) -> Array | None:
    """The derivatives that the rule asks for, ``(elements, outputs)``, both by flat position; None without a rule.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.testing.case import Case
    >>> case = Case.of_primitive(tg.primitives()["max"], [np.array([2.0, 5.0, 5.0])], {})
    >>> published(case, 0, np.arange(3), np.array([0])).ravel()
    array([0. , 0.5, 0.5])
    """
    tie = None if case.primitive is None else case.primitive.tie
    rule = tie[k] if isinstance(tie, tuple) else tie
    return None if rule is None else _RULES[rule](*_slopes(case, k, elements, outputs))


def _hold(case: Case, k: int) -> None:
    """Compare the derivatives by input k with those of the rule."""
    x = case.inputs[k]
    outputs, elements = np.arange(case.y.size), np.arange(np.size(x))
    if np.size(x) > _SMALL or case.y.size > _SMALL:  # only some of the outputs with a tie, and what they read
        outputs = case.rng.permutation(np.flatnonzero(case.truth.kinks))[:_SOME]
        elements = _read(case, k, elements, outputs)
    rule = published(case, k, elements, outputs)
    if rule is None:
        return
    g, t = np.zeros(case.y.shape), [np.zeros(np.shape(x)) for x in case.inputs]
    g.flat[outputs] = case.cotangent.flat[outputs]
    t[k].flat[elements] = case.tangents[k].flat[elements]
    expected = matmul(rule, g.flat[outputs])

    def found(got: Array) -> Finding:
        error, wrong = np.full(len(elements), _CLOSE), ~_agree(got, expected)
        return Finding(k, np.shape(x), elements, got, expected, error, wrong, outputs, rule, RULE)

    message = f"at a tie is not the published one: {case.primitive.kinks if case.primitive else ''}"
    if "reverse" in case.modes:
        gradient = case.pull(g)[k].ravel()[elements]
        if not _agree(gradient, expected).all():
            fail(case, "kinks", f"VJP {message}", found(gradient))
    if "forward" in case.modes and not _agree(case.push(t).flat[outputs], matmul(t[k].flat[elements], rule)).all():
        pushed = np.array([np.sum(g * case.push(basis(case, k, int(e)))) for e in elements])
        fail(case, "kinks", f"JVP {message}", found(pushed), forward=True)


def _agree(got: Array, expected: Array) -> Array:
    return np.asarray(np.abs(got - expected) <= _CLOSE * (1 + np.abs(expected)))


def _slopes(case: Case, k: int, elements: Array, outputs: Array) -> tuple[Array, Array]:
    """The left and the right derivatives of some outputs by some elements of input k.

    A kink is at the point if it stays where steps are but a few units in the last place; else it is only close by.
    """
    left, right = np.empty((2, len(elements), len(outputs)))
    for row, e in enumerate(elements):
        step = _STEP * unit(case.inputs[k])
        left[row], right[row] = _sides(case, k, e, step, outputs)
        if (np.abs(left[row] - right[row]) > _CLOSE).any():
            least = float(2.0**10 * np.spacing(np.abs(case.inputs[k].flat[e])))
            beside = np.stack(_sides(case, k, e, least, outputs))
            close_by = np.abs(beside[0] - beside[1]) <= _CLOSE
            left[row], right[row] = np.where(close_by, beside, (left[row], right[row]))
    return left, right


def _sides(case: Case, k: int, element: Any, step: float, outputs: Array) -> tuple[Array, Array]:
    """The left and the right derivatives by one element, each from two steps on its side."""
    far_left, near_left, near_right, far_right = (
        _moved(case, k, element, move)[outputs] for move in (-2 * step, -step, step, 2 * step)
    )
    return (near_left - far_left) / step, (far_right - near_right) / step


def _moved(case: Case, k: int, elements: Any, move: float) -> Array:
    """The output, flat, with some elements of input k moved."""
    inputs = list(case.inputs)
    inputs[k] = np.array(inputs[k])
    inputs[k].flat[elements] += move
    return case.value(*inputs).ravel()


def _read(case: Case, k: int, elements: Array, outputs: Array) -> Array:
    """The elements of input k that some outputs change with: blocks are halved as long as moving them shows."""
    step = _STEP * unit(case.inputs[k])
    if not any((_moved(case, k, elements, move)[outputs] != case.y.flat[outputs]).any() for move in (step, -step)):
        return elements[:0]
    if len(elements) == 1:
        return elements
    return np.concatenate([_read(case, k, half, outputs) for half in np.array_split(elements, 2)])


# ------------------------------------------------------------------------------------------------------------------
# The rules


def _least(left: Array, right: Array) -> Array:
    return np.where(np.abs(left) <= np.abs(right), left, right)


def _greatest(left: Array, right: Array) -> Array:
    return np.where(np.abs(left) > np.abs(right), left, right)


def _share(left: Array, right: Array) -> Array:
    tied = np.abs(left - right) > _CLOSE
    return _greatest(left, right) / np.where(tied, np.maximum(tied.sum(axis=0), 1), 1)


def _first(left: Array, right: Array) -> Array:
    tied = np.abs(left - right) > _CLOSE
    first = tied & (np.cumsum(tied, axis=0) == 1)
    return np.where(first, _greatest(left, right), _least(left, right))


_RULES: dict[str, Callable[[Array, Array], Array]] = {
    "left": lambda left, right: left,
    "right": lambda left, right: right,
    "mean": lambda left, right: (left + right) / 2,
    "least": _least,
    "greatest": _greatest,
    "share": _share,
    "first": _first,
}


# ------------------------------------------------------------------------------------------------------------------
# Which primitives with a rule a function calls, and with what


def _calls(case: Case) -> list[Case]:
    """Each call that a function makes of a primitive with a rule for ties, as a case."""
    calls: list[Case] = []

    def note(node: Node, y: Any, values: Sequence[Any]) -> None:
        primitive = node.primitive
        if primitive is not None and primitive.tie:
            args = [np.array(v, np.float64) if np.asarray(v).dtype.kind == "f" else v for v in values]
            name = case.name if case.name == primitive.name else f"{case.name}: {primitive.name}"
            options = {"name": name, "seed": case.seed, "modes": case.modes}
            calls.append(Case.of_primitive(primitive, args, node.params, order=1, explain=case.explain, **options))

    with mode(watch=note):
        transforms.vjp(case.f, *case.inputs)
    return calls
