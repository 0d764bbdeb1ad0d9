"""`programs`: whole programs for Hypothesis."""

from hypothesis import strategies as st

from .arguments import ARGUMENTS, INPUTS, OPTIONS
from .grammar import STEPS, Part, Program, part
from .layers import LAYERS
from .odd_state import ODD
from .python_state import STATE
from .results import CALLS, FORMS, RAISES, RESULTS
from .training import BACKWARD, BEFORE, GRADIENTS, LOSSES, UPDATES
from .values import VALUES

__all__ = ["KINDS", "made", "programs"]

BASE = Part(setup="w = tg.nn.Parameter(np.array([0.5, -1.0, 2.0]))", takes="x", step="h = x * w", learns="w")
DETACHED = Part(step="loss = loss.detach()")
BODY = {**VALUES, **LAYERS, **STATE, **ODD, **ARGUMENTS, **RAISES}
KINDS = {
    "inputs": INPUTS, "body": BODY, "before": BEFORE, "losses": LOSSES, "backward": BACKWARD, "gradients": GRADIENTS,
    "updates": UPDATES, "results": RESULTS, "calls": CALLS, "options": OPTIONS,
}  # fmt: skip


@st.composite
def programs(draw, without=frozenset()):
    """A whole program; `without` names parts that it must not have, such as "body: counter"."""

    def choose(options):
        return draw(st.sampled_from(options))

    def some(kind, least, most, table=None):
        names = [name for name in KINDS[kind] if name in (table or KINDS[kind]) and f"{kind}: {name}" not in without]
        chosen[kind] = draw(st.lists(st.sampled_from(names), min_size=least, max_size=most))

    chosen = {kind: [] for kind in KINDS}
    some("inputs", 1, 1)
    some("losses", 1, 1)
    some("calls", 0, 1)
    if chosen["calls"] == ["by two at once"]:  # who changes something then has no right answer
        some("body", 0, 4, VALUES)
        some("results", 0, 3, RESULTS.keys() - {"by a counter"})
    else:
        some("body", 0, 4)
        some("before", 0, 1)
        some("backward", 0, 1)
        if chosen["backward"]:
            some("gradients", 0, 2)
            some("updates", 0, 1)
        some("results", 0, 3)
    some("options", 0, 1)
    return made(choose, chosen, choose(FORMS), choose(STEPS), draw(st.booleans()))


def made(choose, chosen, results="RESULTS", step=STEPS[0], closed=False):
    """A program of the parts with these names for each kind; a function makes the choices in them."""
    parts = [BASE]
    for kind, table in KINDS.items():
        for name in chosen.get(kind, ()):
            parts.append(part(choose, table[name], len(parts)))
        if kind == "backward" and not chosen.get(kind):
            parts.append(DETACHED)
    return Program(parts, results, step, closed)
