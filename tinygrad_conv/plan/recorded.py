"""What a recording came to: a plan and when it may be replayed, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..engine.node import Node
from ..engine.source import Source, describe_source
from ..engine.tensor import Tensor, ndarray, wrap
from ..engine.trees import flatten
from ..errors import ArgumentError
from .assumptions import Assumptions
from .calls import Slot, Wrapped
from .plan import Plan
from .tape import Tape
from .values import is_plain, told

__all__ = ["Recorded", "handed_back"]


class Recorded:
    """One recording; with an `earlier` one that nothing differs from where a single one does not prove enough.

    Attributes
    ----------
    plan : what replays it
    reason : why none of this step ever will, if so
    changed : what the step changed by itself, so that this recording is of no use; the next one may be
    assumptions : what must be as it was
    """

    assumptions: Assumptions

    def __init__(self, name: str, tape: Tape, result: Any, earlier: Recorded | None = None) -> None:
        self.plan: Plan | None = None
        self.reason = tape.broken or tape.reach.refused
        self._outputs: list[Slot] = []
        self._kinds: list[bool] = []  # per output: is it a tensor?
        self._fixed: list[Any] = []  # per part of the result: what is returned, where it is nothing that is computed
        self._rebuild: Callable[[Sequence[Any]], Any] | None
        try:
            parts, self._rebuild = flatten(result, shared=True)
        except ArgumentError as error:
            parts, self._rebuild, self.reason = [], None, f"it returns what cannot be taken apart: {error}"
        if self.reason is None and any(map(tape.reach.includes, _containers(result))):
            self.reason = "it returns a container that it reads as well; return a copy"
        known: dict[int, Any] = {}
        for part in parts:
            if id(part) not in known:
                self._return(part, tape)
                known[id(part)] = self._fixed[-1]
            else:
                self._fixed.append(known[id(part)])
        if len(parts) == 1 and result is parts[0] and isinstance(self._fixed[0], _Output):
            self._rebuild = None  # one array or tensor, which most steps return
        kept = [] if self.reason else tape.kept(self._outputs)
        if kept:
            self.reason = (
                f"it keeps a value that it computed ({kept[0].name}, shape {kept[0].outputs[0].seen.shape}) at "
                f"{describe_source(kept[0].source)}; return it instead"
            )
        self.changed = "" if self.reason else tape.changed()
        if not self.changed:
            self.reason = self.reason or tape.unknown
        self._outline: list[Line] = []
        if self.reason or self.changed:
            return
        places = [place for place in tape.reach.places if not tape.reads(place)]
        self.assumptions = Assumptions(places, tape.tensors.values(), tape.gradients)
        constants = tape.unproven()
        if constants or tape.reach.doubt:
            self._outline = list(_outline(tape, constants, self._outputs, self._fixed))
            if earlier is None:
                return
            self.reason = _difference(earlier._outline, self._outline)
        if self.reason is None:
            for slot in constants:
                slot.checked = True
            self.plan = Plan(name, tape, self._outputs)

    # -- results ---------------------------------------------------------------------------------------------------

    def _return(self, part: Any, tape: Tape) -> None:
        """Note how a replay comes by a part of the result."""
        slot = None
        if id(part) in tape.lent:
            self._fixed.append(_Given(tape.lent[id(part)]))
            return
        if isinstance(part, Tensor):
            node = next((node for node in tape.leaves if node.grad is part), None)
            if node is not None:
                self._fixed.append(_Gradient(node))
                return
            slot = self._returned_tensor(part, tape)
        elif isinstance(part, np.generic):
            slot = tape.known(part)
        elif isinstance(part, ndarray):
            slot = None if tape.reach.includes(part) else tape.slot_of_array(part)
        elif not is_plain(part) and not tape.reach.includes(part):
            self.reason = self.reason or f"it returns a {type(part).__name__}, which is another at each call"
        if slot is None:
            self._fixed.append(part)
        else:
            self._fixed.append(_Output(len(self._outputs)))
            self._outputs.append(slot)
            self._kinds.append(isinstance(part, Tensor))

    def _returned_tensor(self, part: Tensor, tape: Tape) -> Slot | None:
        """The slot of a tensor that the step made; None for one that lives on, which is returned itself."""
        if id(part) in tape.tensors:
            return None
        node, why = part.node, ""
        if node is not None and node.primitive is None:
            why = "that requires a gradient and that it makes; return it detached"
        elif node is not None and not node.freed:
            why = "with its graph; return it after backward(), detached, or compute it in no_grad()"
        elif type(part) is not Tensor:
            why = f"of class {type(part).__name__} that it makes; return it detached"
        if why:
            self.reason = self.reason or f"it returns a tensor of shape {part.shape} {why}"
        return None if why else tape.known(part._array)

    def result(self, arrays: Sequence[Any], leaves: Sequence[Any]) -> Any:
        """What the step returns, with the outputs of a replay in it, and tensors that it was called with."""
        if self._rebuild is None:
            return wrap(np.asarray(arrays[0]), None) if self._kinds[0] else arrays[0]
        made = list(map(_made, arrays, self._kinds))
        kinds = (_Output, _Gradient, _Given)
        return self._rebuild([part.of(made, leaves) if isinstance(part, kinds) else part for part in self._fixed])


def handed_back(result: Any, lent: Mapping[int, int], leaves: Sequence[Any]) -> Any:
    """What a step returned while it was recorded, with the caller's tensors for those that stood for them."""
    with suppress(ArgumentError):  # a container that holds itself
        parts, rebuild = flatten(result, shared=True) if lent else ((), tuple)
        if not lent.keys().isdisjoint(map(id, parts)):
            return rebuild([leaves[lent[id(part)]] if id(part) in lent else part for part in parts])
    return result


def _made(array: Any, is_tensor: bool) -> Any:
    return wrap(np.asarray(array), None) if is_tensor else array


class _Output(NamedTuple):
    """A part of the result that is computed: which output of the plan. What is there twice is one object."""

    number: int

    def of(self, made: Sequence[Any], leaves: Sequence[Any]) -> Any:
        return made[self.number]


class _Given(NamedTuple):
    """A part of the result that is a tensor which the step was called with: which one."""

    number: int

    def of(self, made: Sequence[Any], leaves: Sequence[Any]) -> Any:
        return leaves[self.number]


class _Gradient(NamedTuple):
    """A part of the result that is the gradient of a leaf that lives on."""

    node: Node

    def of(self, made: Sequence[Any], leaves: Sequence[Any]) -> Any:
        return self.node.grad


def _containers(tree: Any) -> Iterator[Any]:
    left = [tree]
    while left:
        item = left.pop()
        if isinstance(item, (dict, list, tuple)):
            yield item
            left += item.values() if isinstance(item, dict) else item


# ------------------------------------------------------------------------------------------------------------------
# Comparing two recordings

Line = tuple[Hashable, Source | None]


def _outline(tape: Tape, constants: Sequence[Slot], outputs: Sequence[Slot], fixed: Sequence[Any]) -> Iterator[Line]:
    """All that a recording says, with the lines: arrays that were made in it, and its calls, one by one."""
    for slot in constants:
        yield ("array", slot.index, slot.seen.shape, slot.seen.dtype, slot.value.tobytes()), slot.source
    for call in tape.calls:
        results = tuple((slot.index, slot.seen.shape, slot.seen.dtype) for slot in call.outputs)
        yield (call.kind, _token(call.function), _token(call.args), _token(call.kwargs), results), call.source
    yield tuple(slot.index for slot in outputs), None
    yield tuple(map(_token, fixed)), None


def _token(tree: Any) -> Hashable:
    """An argument of a call as it is compared with that of another recording."""
    if isinstance(tree, Slot):
        return "slot", tree.index, tree.origin
    if isinstance(tree, Wrapped):
        return "wrapped", tree.slot.index
    if isinstance(tree, (list, tuple)):
        return type(tree), *map(_token, tree)
    if isinstance(tree, dict):
        return type(tree), *((told(key), _token(item)) for key, item in tree.items())
    if isinstance(tree, partial):
        return partial, _token(tree.func), _token(tree.args), _token(tree.keywords)
    return told(tree)


def _difference(before: Sequence[Line], now: Sequence[Line]) -> str | None:
    """In which two recordings differ, if they do."""
    for (a, _), (b, source) in zip(before, now, strict=False):
        if a != b:
            what = "uses an array that is made anew, with other values," if b[0] == "array" else "does something else"  # type: ignore[index]
            return f"it {what} at each call, at {describe_source(source)}"
    return None if len(before) == len(now) else "it does something else at each call"
