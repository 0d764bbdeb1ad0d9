"""A compiled step is the step itself: whole programs are drawn, and run as they are and compiled.

To the bit with plain kernels, but for rounding with compiled ones. Compared is all that can be seen after each of eight
calls: results, and at the end all earlier ones once more; parameters, gradients, buffers, optimisers, generators; what
the program keeps in Python; what it raises and warns of. A step that cannot be replayed may run as it is; so programs
like most people's must have been replayed.
"""

import contextlib
import random

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from programs.drawing import KINDS, made, programs
from programs.fits import fits
from programs.running import disagreement, run

from tinygrad_conv.plan import fusing
from tinygrad_conv.plan import programs as lowered
from tinygrad_conv.plan.plan import Plan

MANY, EACH = (2000, 40) if settings().max_examples >= 1000 else (200, 2)  # of a night, or of each test run


@contextlib.contextmanager
def small_calls_fused_too(really=True):
    with pytest.MonkeyPatch.context() as patch:
        if really:
            patch.setattr(fusing, "WORTHWHILE", 0)
            patch.setattr(lowered, "LEAST_CALLS", 1)
        yield


@given(drawn=programs(), small=st.booleans(), form=st.sampled_from(["auto", "compiled"]))
@settings(max_examples=MANY, suppress_health_check=list(HealthCheck))
def test_a_compiled_step_is_the_step_itself(drawn, small, form):
    with small_calls_fused_too(small):
        assert disagreement(drawn, ("plain", form)) is None


ALONE = {"inputs": ["of one shape"], "losses": ["mean of squares"], "results": ["the loss", "the values"]}
LEARNT = {**ALONE, "backward": ["cleared"], "results": ["the loss", "the gradient"]}


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_by_itself(kind):
    for name in KINDS[kind]:
        for number in range(EACH):
            learns = kind in ("gradients", "updates") or (number % 2 and kind != "calls")  # by two at once
            others = LEARNT if learns else ALONE
            drawn = made(random.Random(f"{name} {number}").choice, others | {kind: [name]})
            assert disagreement(drawn, ("plain",)) is None, drawn


@given(drawn=fits())
@settings(max_examples=MANY // 5, suppress_health_check=list(HealthCheck))
def test_fit_is_fit_run_eagerly(drawn):
    assert disagreement(drawn, calls=2) is None


# ---------------------------------------------------------------------------------------------------------------
# Replays are not avoided

COMMON = {
    "values alone": {"backward": [], "body": ["elementwise", "views"], "results": ["the values"]},
    "training": {"updates": ["an optimiser"]},
    "classes": {"losses": ["classes"], "updates": ["an optimiser"]},
    "a bad label": {"losses": ["a bad label at call 5"], "updates": ["an optimiser"]},
    "a dense net": {"body": ["dense"], "updates": ["an optimiser that clears after"]},
    "a schedule": {"updates": ["a schedule"]},
    "limits": {"gradients": ["clip the norm"], "updates": ["an optimiser"]},
    "accumulated": {"backward": ["accumulated"], "updates": ["an optimiser"]},
    "batches of two sizes": {"inputs": ["of two shapes"], "body": ["matrix"], "updates": ["an optimiser"]},
    "a list of arrays": {"body": ["a list"], "updates": ["an optimiser"]},
    "constants": {"body": ["constants made in the step", "another parameter"], "updates": ["an optimiser"]},
    "a gradient inside": {"body": ["a gradient inside"], "updates": ["an optimiser"]},
    "checkpoint": {"body": ["checkpoint", "images"], "updates": ["an optimiser"]},
    "in another thread": {"updates": ["an optimiser"], "calls": ["in another thread"]},
}


def first(options):
    return options[0]


def test_many_drawn_programs_are_replayed():
    replays = []

    @given(drawn=programs())
    @settings(max_examples=40, derandomize=True, database=None, phases=[Phase.generate])
    def count(drawn):
        replays.append(run(drawn, "plain").replays)

    count()
    assert sum(n >= 3 for n in replays) > len(replays) / 3


@pytest.mark.parametrize("name", COMMON)
def test_common_programs_are_replayed(name):
    drawn = made(first, LEARNT | {"results": ["the loss"]} | COMMON[name])
    for form in ("plain", "auto"):
        seen = run(drawn, form)
        assert not seen.reasons
        assert seen.replays >= 4, drawn


# ---------------------------------------------------------------------------------------------------------------
# The property sees what it is there for


def some_program_disagrees(strategy=None):
    try:
        find(
            strategy or programs(), lambda drawn: disagreement(drawn) is not None,
            settings=settings(max_examples=MANY, derandomize=True, database=None, phases=[Phase.generate]),
        )  # fmt: skip
    except NoSuchExample:
        return False
    return True


def test_a_replay_that_gives_old_results_is_noticed(monkeypatch):
    replay, first = Plan.run, {}
    monkeypatch.setattr(Plan, "run", lambda plan, arrays: first.setdefault(plan, replay(plan, arrays)))
    assert some_program_disagrees()
