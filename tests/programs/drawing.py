"""`programs`: whole programs for Hypothesis."""

from hypothesis import strategies as st

from .calls import ARGUMENTS, CALLS, FORMS, INPUTS, OPTIONS, RAISES, RESULTS
from .grammar import Part, Program, part
from .layers import LAYERS
from .python_state import STATE
from .training import BACKWARD, BEFORE, GRADIENTS, LOSSES, UPDATES
from .values import VALUES

__all__ = ["KINDS", "made", "programs"]

BASE = Part(setup="w = tg.nn.Parameter(np.array([0.5, -1.0, 2.0]))", takes="x", step="h = x * w", learns="w")
DETACHED = Part(step="loss = loss.detach()")
KINDS = {
    "inputs": INPUTS, "body": {**VALUES, **LAYERS, **STATE, **ARGUMENTS, **RAISES}, "before": BEFORE, "losses": LOSSES,
    "backward": BACKWARD, "gradients": GRADIENTS, "updates": UPDATES, "results": RESULTS, "options": OPTIONS,
    "calls": CALLS,
}  # fmt: skip


@st.composite
def programs(draw, without=frozenset()):
    """A whole program; `without` names parts that it must not have, such as "body: counter"."""
    chosen = {kind: [] for kind in KINDS}

    def choose(kind, least, most):
        names = [name for name in KINDS[kind] if f"{kind}: {name}" not in without]
        chosen[kind] = draw(st.lists(st.sampled_from(names), min_size=least, max_size=most))

    choose("inputs", 1, 1)
    choose("body", 0, 4)
    choose("before", 0, 1)
    choose("losses", 1, 1)
    choose("backward", 0, 1)
    if chosen["backward"]:
        choose("gradients", 0, 2)
        choose("updates", 0, 1)
    choose("results", 0, 3)
    choose("options", 0, 1)
    choose("calls", 0, 1)
    return made(
        lambda options: draw(st.sampled_from(options)), chosen, draw(st.sampled_from(FORMS)), draw(st.booleans())
    )


def made(choose, chosen, form="RESULTS", closed=False):
    """A program of the parts with these names for each kind; a function makes the choices in them."""
    parts = [BASE]
    for kind, table in KINDS.items():
        for name in chosen.get(kind, ()):
            parts.append(part(choose, table[name], len(parts)))
        if kind == "backward" and not chosen.get(kind):
            parts.append(DETACHED)
    return Program(parts, form, closed)
