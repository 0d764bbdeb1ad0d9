"""Runs of small calls as *programs*: tables of instructions that one compiled function goes through.

NumPy takes half a microsecond or more for a call, however few numbers there are. A program takes ten nanoseconds for
an instruction. Each call of a plan that `LOWERINGS` has an entry for, and that is not too large, becomes instructions;
those that stand next to each other become a program. All others stay lines of Python between the programs.

Programs are for compiled kernels: where plain ones are wanted, or Numba cannot be had, nothing is lowered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from ..kernels.loops import known
from ..kernels.wanted import choice, failed
from .calls import Call, Slot, replaced
from .instructions import Instructions, machine
from .into import is_view
from .lowerings import LOWERINGS
from .ours import ours
from .raising import can_explain, explained
from .standins import StandIns, UnfitError

__all__ = ["Program", "Programs", "wanted"]

Array: TypeAlias = np.ndarray[Any, Any]

LEAST_CALLS = 2  # of a program: one is as quick in Python
MOST_ELEMENTS = 1 << 16  # of a result: larger ones are worth threads, and kernels of their own


class Program:
    """Some calls as one table; call it with the arrays of its `objects`, in a tuple.

    Attributes
    ----------
    calls : what it does
    objects : slots of the arrays that it is given
    """

    def __init__(self, calls: Sequence[Call], code: Instructions) -> None:
        self.calls, self.objects = list(calls), code.objects
        self._code, self._run = code, code.table.run  # the code holds what its addresses point to

    def __call__(self, arrays: tuple[Array, ...]) -> None:
        stopped = self._run(arrays)
        if stopped < -1:  # an array that is not aligned: once more, with copies of all such
            arrays = tuple(x if x.flags.aligned else x.copy() for x in arrays)
            stopped = self._run(arrays)
        if stopped != -1:
            self._complain(self._code.checks[stopped], dict(zip(self.objects, arrays, strict=True)))

    def _complain(self, check: Call, arrays: dict[Slot, Array]) -> None:
        """The call for which a check stopped the program says what is wrong."""
        value = partial(self._value, arrays)
        try:
            check.function(*replaced(check.args, value), **replaced(check.kwargs, value))
        except Exception as error:
            if not can_explain(check, error):
                raise
            raise explained(check, error) from error
        raise RuntimeError(f"compile: {check.name} stopped a program, and finds nothing wrong")

    def _value(self, arrays: dict[Slot, Array], leaf: Any) -> Any:
        """What a leaf of a call's arguments is in this run."""
        if not isinstance(leaf, Slot) or leaf in arrays:
            return arrays[leaf] if isinstance(leaf, Slot) else leaf
        view = self._code.memory.views.get(leaf)
        if view is None:
            return self._code.memory.of(leaf)
        value = partial(self._value, arrays)
        return view.function(*replaced(view.args, value), **replaced(view.kwargs, value))


class Programs:
    """The programs of a plan, and what is left between them.

    Attributes
    ----------
    steps : calls and programs, in the order in which they run
    """

    def __init__(self, calls: Sequence[Call], arguments: Sequence[Slot], static: dict[Slot, Array]) -> None:
        self._stand_ins, self._static = StandIns(static), static
        for slot in arguments:
            self._stand_ins.given(slot)
        self.steps: list[Call | Program] = []
        self._begin()
        for call in calls:
            if self._still(call):
                self._row.append(call)
            elif self._lowered(call):
                self._row.append(call)
                self._done.append(call)
            else:
                self._end()
                self.steps.append(call)
                for slot in call.outputs:
                    if slot.seen.contiguous and slot not in static and ours(call):
                        self._stand_ins.given(slot)
        self._end()
        self._stand_ins.finish()

    def _begin(self) -> None:
        self._code = Instructions(self._stand_ins)
        self._row: list[Call] = []  # since the last call that stays Python
        self._done: list[Call] = []  # those of them that are in the program

    def _end(self) -> None:
        """Close the program that is being written: tensors are read, and views taken, before it runs; after it those
        of what it makes."""
        if len(self._done) < LEAST_CALLS:
            self.steps += self._row
        else:
            done, made = set(self._done), {slot for call in self._done for slot in call.outputs}
            after: list[Call] = []
            for call in self._row:
                if call in done:
                    continue
                if made.isdisjoint(call.inputs):
                    self.steps.append(call)
                else:
                    made.update(call.outputs)
                    after.append(call)
            self.steps += [Program(self._done, self._code), *after]
        self._begin()

    def _still(self, call: Call) -> bool:
        """Does a call but name memory that is there: a tensor's, or a part of another's?"""
        if call.kind == "load":
            self._stand_ins.given(call.outputs[0])
            return True
        if not is_view(call):
            return False
        try:
            args, kwargs = (replaced(tree, self._stand_in) for tree in (call.args, call.kwargs))
        except UnfitError:
            return False
        view = call.function(*args, **kwargs)
        if not isinstance(view, np.ndarray) or not self._stand_ins.holds(view):
            return False
        self._stand_ins.know(call.outputs[0], view, None)
        self._stand_ins.views[call.outputs[0]] = call
        return True

    def _lowered(self, call: Call) -> bool:
        """Write a call's instructions, if it can be."""
        name = ours(call)
        lowering = LOWERINGS.get(name)
        if lowering is None or call.kind not in ("primitive", "compute"):
            return False
        if len(call.outputs) != _OUTPUTS.get(name, 1):
            return False
        if name != "_matmul" and any(
            math.prod(slot.seen.shape) > MOST_ELEMENTS for slot in (*call.inputs, *call.outputs)
        ):
            return False
        before = self._code.mark()
        try:
            args, kwargs = (replaced(tree, self._stand_in) for tree in (call.args, call.kwargs))
            for slot in call.outputs:
                if slot not in self._static:
                    if not slot.seen.contiguous:
                        raise UnfitError
                    self._stand_ins.given(slot)
            lowering(self._code, call, *args, out=[self._stand_ins.of(slot) for slot in call.outputs], **kwargs)
        except UnfitError:
            self._code.reset(before)
            return False
        finally:
            self._stand_ins.release()
        return True

    def _stand_in(self, leaf: Any) -> Any:
        """A slot's stand-in; anything else as it is."""
        if isinstance(leaf, Slot):
            return self._stand_ins.of(leaf)
        return leaf


_OUTPUTS = {"relu": 2, "cross_entropy": 2, "_class_numbers": 0}  # of a call; one of all others


@cache
def _compiled() -> Exception | None:
    """Why programs cannot be run, if they cannot."""
    try:
        machine().Table().run(())
    except Exception as error:
        return error
    return None


def wanted() -> bool:
    """Are programs wanted here and now, and possible?"""
    if choice() == "plain" or not known():
        return False
    error = _compiled()
    if error is not None:
        failed("a compiled step", error)
    return error is None
