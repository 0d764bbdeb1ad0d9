"""Running a program as it is and compiled, and what was seen of it."""

import linecache
import random
import warnings
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv.engine.primitive import _registry
from tinygrad_conv.errors import CompileWarning
from tinygrad_conv.nn import init
from tinygrad_conv.plan.plan import Plan
from tinygrad_conv.plan.programs import wanted

from .seeing import difference, look

__all__ = ["Run", "disagreement", "eager", "run"]

MISTAKES = (NameError, SyntaxError)  # those of a program's text: it means something else
CALLS = 8


class Run:
    """What was seen of a program.

    Attributes
    ----------
    seen : after each call, all that there is, by path
    late : the results of each call once more, after the last one
    said : the warnings of each call
    replays : how many plans ran
    mistaken : how many of them were made for other kernels, plain or compiled, than they ran with
    reasons : why steps ran as they are
    """

    def __init__(self):
        self.seen, self.late, self.said, self.reasons = [], [], [], []
        self.replays = self.mistaken = 0


def run(program, form=None, calls=CALLS):
    """Run a program: its step itself, or (with kernels of a form, "plain" or "auto") compiled."""
    outcome, steps = Run(), []

    def compiled(step):
        steps.append(tg.compile(step))
        return steps[-1]

    def counted(plan, arrays):
        outcome.replays += 1
        outcome.mistaken += wanted() is (plan.steps is plan.calls)
        return replay(plan, arrays)

    replay = Plan.run
    world = {
        "np": np, "tg": tg, "keras": tg.keras, "array": array, "compile": compiled if form else eager,
        "eagerly": form is None, "__name__": "program",
    }  # fmt: skip
    with tg.use_kernels(form or "plain"), patch.object(Plan, "run", counted), _deterministic():
        exec(_code(program.source), world)
        results = []
        for k in range(calls):
            result, said = _outcome(lambda k=k: world["call"](k), form)
            outcome.seen.append(look(state=world["state"](), generator=init.generator(None), result=result))
            outcome.said.append(said)
            results.append(result)
    outcome.late = [look(**{f"the result of call {k}, later": result}) for k, result in enumerate(results)]
    outcome.reasons = [reason for step in steps for reason in step.reasons]
    return outcome


def disagreement(program, forms=("plain", "auto"), calls=CALLS):
    """How a compiled program is not what it is: in words, or None."""
    expected = run(program, calls=calls)
    rounding = 0.03 if "float16" in program.source else 1e-3
    for form in forms:
        got = run(program, form, calls)
        found = difference(expected, got, 0.0 if form == "plain" else rounding)
        for k, (before, now) in enumerate(zip(expected.said, got.said, strict=True)):
            if not now <= before:  # fewer are right: of what nobody needs, and of what kernels compute
                found = found or f"in call {k} it warns of {now - before}"
        if got.mistaken:
            found = found or "a plan is replayed with other kernels than it was made for"
        if found is not None:
            return f"with kernels {form!r}, {found}"
    return None


def array(k, *shape, dtype="float64"):
    return np.random.default_rng(k).standard_normal(shape).astype(dtype)


def eager(step):
    """The step itself, with arrays among its arguments as tensors, also in plain containers."""

    def call(*args, **kwargs):
        memo = {}
        return step(*(_as_tensors(arg, memo) for arg in args), **_as_tensors(kwargs, memo))

    return call


def _as_tensors(value, memo):
    """What is there twice is one thing; containers in which there are no arrays stay."""
    if id(value) not in memo:
        memo[id(value)] = _converted(value, memo)
    return memo[id(value)]


def _converted(value, memo):
    if isinstance(value, (np.ndarray, np.generic)):
        return tg.Tensor(value)
    if type(value) not in (list, tuple, dict) and not hasattr(value, "_fields"):
        return value
    before = list(value.values() if isinstance(value, dict) else value)
    items = [_as_tensors(item, memo) for item in before]
    if all(a is b for a, b in zip(items, before, strict=True)):
        return value
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def _outcome(call, form):
    """What a call returned, or raised; and what NumPy and the program warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            if isinstance(error, MISTAKES) and form is None:
                raise
            result = f"{type(error).__name__}: {error}"
    said = (f"{w.category.__name__}: {w.message}" for w in caught if w.category is not CompileWarning)
    return result, {text.replace("scalar ", "") for text in said}  # NumPy's word for an array without axes


def _code(source, name="<program>"):
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # for messages with lines
    return compile(source, name, "exec")


@contextmanager
def _deterministic():
    """Seeded generators, those of others too; and all settings as they were afterwards."""
    ours, python, numpy = init.generator(None), random.getstate(), np.random.get_state()  # noqa: NPY002
    init.seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002
    try:
        with np.errstate(), patch.dict(_registry):  # primitives that a program declares are forgotten
            yield
    finally:
        init._default = ours
        random.setstate(python), np.random.set_state(numpy)  # noqa: NPY002
