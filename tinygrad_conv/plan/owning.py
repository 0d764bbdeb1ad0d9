"""What others may hold after a step (results, gradients, parameters) is theirs alone, with no copy too many.

A constant that was made in the step is made once for all replays, and whoever is given it may write to it. So it is
copied at each replay, if it or a view of it gets out. Backward copies the gradient of each leaf, for a rule may have
passed one array on to several. Most are nobody else's, and need not be copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .calls import Call, Slot, Wrapped, copying, replaced
from .ours import ours

__all__ = ["owned"]


def owned(calls: Sequence[Call], outputs: Sequence[Slot], made: Sequence[Slot]) -> tuple[list[Call], list[Slot]]:
    """The calls and outputs, with a copy of each constant among `made` that gets out, and without needless copies."""
    outside = {slot.seen.memory for slot in outputs}
    outside |= {slot.seen.memory for call in calls if call.kind == "effect" for slot in call.inputs}
    copies = [_copied(slot) for slot in made if slot.seen.memory in outside]
    return _without_copies([*copies, *calls], outputs)


def _copied(slot: Slot) -> Call:
    """A call that makes a slot, which was a constant, at each replay."""
    own = slot.value.copy("K")  # the recording itself gave it out
    constant = Slot(-1 - slot.index, "constant", slot.seen, own)
    slot.origin, slot.value = "call", None
    call = copying(constant)
    call.outputs, call.results = [slot], [()]
    return call


def _without_copies(calls: Sequence[Call], outputs: Sequence[Slot]) -> tuple[list[Call], list[Slot]]:
    """The same with what is copied in the place of its copy, where memory of the plan is copied that stays inside."""
    taken = {slot.seen.memory for call in calls for slot in call.inputs if slot.origin != "call"}
    foreign = [call for call in calls if not ours(call)]  # who knows what these hold, and give
    taken |= {slot.seen.memory for call in foreign for slot in call.outputs}
    copies = [call for call in calls if ours(call) == "copy"]
    own = {slot for call in copies for slot in call.outputs}
    taken |= {slot.seen.memory for slot in outputs if slot not in own}
    taken |= {slot.seen.memory for call in foreign for slot in call.inputs if slot not in own}
    instead: dict[Slot, Slot] = {}
    merged: dict[int, int] = {}
    left = []
    for call in calls:
        if call in copies:
            source, copy = instead.get(call.args[0], call.args[0]), call.outputs[0]
            if source.seen.memory not in taken and source.seen.whole and source.seen.strides == copy.seen.strides:
                instead[copy], merged[copy.seen.memory] = source, source.seen.memory
                taken.add(source.seen.memory)
                continue
        left.append(call)

    def replacement(leaf: Any) -> Any:
        if isinstance(leaf, Wrapped):
            return Wrapped(instead.get(leaf.slot, leaf.slot))
        return instead.get(leaf, leaf) if isinstance(leaf, Slot) else leaf

    for call in left:
        call.args, call.kwargs = replaced(call.args, replacement), replaced(call.kwargs, replacement)
        for slot in call.outputs:
            slot.seen.memory = merged.get(slot.seen.memory, slot.seen.memory)
    return left, [instead.get(slot, slot) for slot in outputs]
