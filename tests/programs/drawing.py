"""`programs`: whole programs for Hypothesis."""

from hypothesis import strategies as st

from .arguments import ARGUMENTS, INPUTS, OPTIONS
from .grammar import STEPS, Part, Program, part
from .layers import LAYERS
from .odd_state import ODD
from .python_state import STATE
from .results import CALLS, FORMS, KERNELS, RAISES, RESULTS
from .training import BACKWARD, BEFORE, GRADIENTS, LOSSES, UPDATES
from .values import VALUES

__all__ = ["KINDS", "made", "programs"]

BASE = Part(setup="w = tg.nn.Parameter(np.array([0.5, -1.0, 2.0]))", takes="x", step="h = x * w", learns="w")
DETACHED = Part(step="loss = loss.detach()")
BODY = {**VALUES, **LAYERS, **STATE, **ODD, **ARGUMENTS, **RAISES}
CALM = RESULTS.keys() - {"by a counter", "objects"}
KINDS = {
    "inputs": INPUTS, "body": BODY, "before": BEFORE, "losses": LOSSES, "backward": BACKWARD, "gradients": GRADIENTS,
    "updates": UPDATES, "results": RESULTS, "calls": CALLS, "kernels": KERNELS, "options": OPTIONS,
}  # fmt: skip


@st.composite
def programs(draw, without=frozenset()):
    """A whole program; `without` names parts that it must not have, such as "body: counter"."""

    def choose(options):
        return draw(st.sampled_from(options))

    def some(kind, least, most, among=None):
        names = [name for name in KINDS[kind] if name in (among or KINDS[kind]) and f"{kind}: {name}" not in without]
        chosen[kind] = draw(st.lists(st.sampled_from(names), min_size=least, max_size=most))

    chosen = {kind: [] for kind in KINDS}
    some("inputs", 1, 1)
    some("losses", 1, 1)
    some("calls", 0, 1)
    if chosen["calls"] == ["by two at once"]:  # who changes something then has no right answer
        some("body", 1, 4, VALUES)
        some("results", 1, 3, CALM)
    else:
        calm = draw(st.booleans())  # one part that cannot be replayed hides what is wrong with the replay of others
        some("body", 1, 4, {**VALUES, **LAYERS} if calm else BODY)
        some("before", 0, 1)
        some("backward", 0, 1)
        if chosen["backward"]:
            some("gradients", 0, 2)
            some("updates", 0, 1)
        some("results", 1, 3, CALM if calm else RESULTS)
    some("kernels", 0, 1)
    some("options", 1, 1)
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
