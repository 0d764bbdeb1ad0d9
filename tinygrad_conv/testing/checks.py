"""The battery: every property, on a function at a point, or on drawn samples of a primitive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import NonNegative, SeedNumber, checked, one_of
from ..engine.primitive import Primitive
from ..errors import ArgumentError
from . import replay
from .case import BOTH, DOUBLE, SINGLE, Case
from .draw import Draw
from .prepare import prepare
from .properties import PROPERTIES, run
from .report import GradientError, hypothesis_runs
from .samples import draw_sample, primitive_sample

__all__ = [
    "PROPERTIES",
    "check_gradients",
    "check_primitive",
    "draw_sample",
    "primitive_case",
    "primitive_sample",
    "run",
    "said",
]

Function = Callable[..., Any]
Order: TypeAlias = Annotated[int, one_of(1, 2)]
_log = logging.getLogger(__name__)


@checked
def check_gradients(
    f: Function, *args: Any, order: Order = 2, modes: str | Sequence[str] = BOTH, name: str | None = None,
    seed: SeedNumber = 0, argnums: int | Sequence[int] | None = None, rtol: NonNegative | None = None,
    atol: NonNegative | None = None, properties: Sequence[str] | None = None, explain: bool = True,
) -> None:  # fmt: skip
    """Check the gradients of a function at one point, in forward and reverse mode, to second order.

    Parameters
    ----------
    f : callable
        Returns one tensor, or a list, tuple or dict of tensors.
    *args
        What it is called with. Floating-point arrays, tensors and numbers (also inside lists, tuples and dicts) are
        what it is differentiated by, in float64; everything else is passed on as it is.
    order : 1 or 2
    modes : "forward", "reverse", or both
    name : str, optional
        What the report calls the function.
    seed : int
        For the directions that are drawn.
    argnums : int or ints, optional
        Differentiate by these arguments only.
    rtol, atol : float, optional
        Accepted in addition to the error bar of the numeric derivative; see `TOLERANCES`.
    properties : names, optional
        Check only these of `PROPERTIES`.
    explain : bool
        Search for the wrong elements and the pattern in them. Without it the report is one line, and quick.

    Raises
    ------
    GradientError
        A property does not hold; ``.report`` says where and what it looks like.
    DTypeError, ArgumentError, ShapeError
        The function cannot be checked: no floating-point argument, no tensor returned, not deterministic, a shape
        that changes, or it raises.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> check_gradients(lambda x, w: tg.tanh(x @ w), np.ones((2, 3)), np.ones((3, 1)))
    """
    __tracebackhide__ = True  # for pytest: the report says it all
    options: dict[str, Any] = {"seed": seed, "rtol": rtol, "atol": atol, "modes": _modes(modes, f)}
    options["order"] = min(order, getattr(f, "order", order))

    def attempt(args: Sequence[Any], explain: bool = False) -> None:
        case = prepare(f, args, argnums, name=name, explain=explain, **options)
        try:
            run(case, properties)
            # The stairs of float32 look like kinks, between whose sides a wrong gradient may lie.
            single = case.unit == DOUBLE and _is_rough(case) and case.resolution() > DOUBLE
        except GradientError:
            single = case.unit == DOUBLE and case.resolution(any_stairs=True) > DOUBLE  # in doubt, no false alarm
            if not single:
                raise
        if single:
            case = prepare(f, args, argnums, name=name, explain=explain, unit=SINGLE, **options)
            run(case, properties)
        _say(case)

    try:
        attempt(args, explain)
    except GradientError as error:
        if not explain:
            raise
        asked: dict[str, Any] = {"seed": (seed, 0), "argnums": (argnums, None)}
        if not hasattr(f, "recipe"):  # what an adapter made knows its order and modes
            asked |= {"order": (order, 2), "modes": (tuple(modes), BOTH)}
        changed = ", ".join(f"{key}={value!r}" for key, (value, default) in asked.items() if value != default)

        kind = error.kind

        def test() -> str:
            small, ranges = replay.shrunk_arguments(args, lambda trial: _fails(lambda: attempt(trial), kind))
            return replay.gradient_test(f, small, changed, ranges)

        raise replay.with_test(error, test) from error.__cause__


def _is_rough(case: Case) -> bool:
    truth = case.truth
    return bool(truth.kinks.any() or (truth.error > 1e-8 * np.abs(truth.value).max(initial=0.0)).any())


said: set[tuple[str, str]] = set()  # lines that are not logged again


def _say(case: Case) -> None:
    """In one line each, once: what was left out."""
    left_out = [f"left out: {what}" for what in case.left_out]
    if case.unit > DOUBLE:
        left_out.append("it computes in float32, or as roughly: checked to that precision")
    for line in left_out:
        if (case.name, line) not in said:
            said.add((case.name, line))
            _log.warning("%s: %s", case.name, line)


@checked
def check_primitive(
    primitive: Primitive, draw: Draw, properties: Sequence[str] | None = None, order: Order = 2, *, explain: bool = True
) -> None:
    """The whole battery (or some properties) on one drawn sample of a primitive.

    A sample that fails is shrunk to the simplest one that fails, unless Hypothesis drew it and does that itself.

    >>> import tinygrad_conv as tg
    >>> check_primitive(tg.primitives()["conv"], Draw.seeded(0))
    """
    __tracebackhide__ = True

    def attempt(draw: Draw, explain: bool = False) -> None:
        run(primitive_case(primitive, draw, order, explain=explain), properties)

    try:
        attempt(draw, explain and (hypothesis_runs() or not draw.shrinks))
    except GradientError as first:
        if not explain:
            raise
        error, kind = first, first.kind
        if draw.shrinks and not hypothesis_runs():
            draw = replay.shrunk_draw(draw, lambda trial: _fails(lambda: attempt(trial), kind))
            try:
                attempt(Draw.replay(draw.seed, draw.choices), explain=True)
            except GradientError as smaller:
                error = smaller
        raise replay.with_test(error, lambda: replay.primitive_test(primitive, draw)) from error.__cause__


def _fails(check: Callable[[], None], kind: tuple[Any, ...]) -> bool:
    """Does a check find a gradient wrong in the same way? (Something that cannot be checked at all is not.)"""
    try:
        check()
    except GradientError as error:
        return error.kind == kind
    except Exception:
        return False
    return False


def primitive_case(
    primitive: Primitive, draw: Draw, order: int = 2, *, explain: bool = True, turned: bool = False
) -> Case:
    """A drawn sample of a primitive as a case; `turned`, of complex numbers."""
    args, params = primitive_sample(primitive, draw)
    args = draw.turned(args) if turned else args
    seed = int(draw.rng.integers(2**31))
    return Case.of_primitive(primitive, args, params, seed=seed, order=order, explain=explain, classes=draw.classes)


def _modes(modes: Sequence[str], f: Function) -> tuple[str, ...]:
    asked = (modes,) if isinstance(modes, str) else tuple(modes)
    if not asked or not set(asked) <= set(BOTH):
        raise ArgumentError(f'check_gradients: expected modes from ("forward", "reverse"), got {modes!r}')
    known = getattr(f, "modes", BOTH)
    return tuple(m for m in BOTH if m in asked and m in known)
