"""`Plan`: a recorded step as a flat list of calls on memory that is laid out once.

From a tape to a plan: calls whose results nobody needs are dropped; what depends on constants alone is computed once;
values that die give their memory to later ones; views of memory that never moves are taken once. What is left is
written out as one Python function, a line per call, which `Plan.source` shows.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import finalize

import numpy as np

from ..arguments import checked
from ..engine.tensor import ops
from ..errors import ArgumentError
from . import telling
from .calls import Call, Slot
from .fusing import fused
from .into import is_total
from .layout import Layout
from .owning import owned
from .programs import Program, Programs, wanted
from .raising import can_explain, explained, raised_by
from .source import written
from .tape import Tape
from .updates import Update

if TYPE_CHECKING:
    from ..graph.value import Graph

__all__ = ["Plan"]

Array: TypeAlias = np.ndarray[Any, Any]


class Plan:
    """One signature of a compiled step, ready to run.

    Attributes
    ----------
    name : the step's
    calls : the calls that run, in order
    arguments, outputs : slots
    steps : the same calls, those of a program together
    updates : what runs in the place of an optimiser's step
    source : the Python function that runs

    >>> import tinygrad_conv as tg
    >>> step = tg.compile(lambda x: tg.exp(x) * 2)
    >>> for _ in range(2):
    ...     y = step(np.zeros(3))
    >>> print(step.plan)
    <plan of <lambda>: 2 calls of 2 recorded, 0.00 MB laid out>
    """

    def __init__(self, name: str, tape: Tape, outputs: Sequence[Slot]) -> None:
        self.name = name
        self.arguments = tape.arguments
        calls, self.outputs = owned(_needed(tape.calls, outputs), outputs, tape.fresh())
        calls = fused(calls, self.outputs)
        self.recorded = len(tape.calls)
        self._layout = Layout(calls, self.arguments, self.outputs)
        self.calls = self._layout.calls
        self.steps: Sequence[Call | Program] = self.calls
        self.updates: dict[Call, Update] = {}
        if wanted():
            self.steps = Programs(self.calls, self.arguments, self._layout.arrays).steps
            self.updates = {call: update for call in self.calls if (update := Update.of(call)) is not None}
        file, self.source, self._function, self._lines = written(
            name, self.steps, self.updates, self._layout, self.arguments, self.outputs
        )
        finalize(self, linecache.cache.pop, file, None)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for other arguments of the same signature.

        >>> import tinygrad_conv as tg
        >>> step = tg.compile(lambda x: tg.exp(x) * 2)
        >>> for _ in range(2):
        ...     y = step(np.zeros(3))
        >>> step.plan.run([np.zeros(3)])
        [array([2., 2., 2.])]
        """
        try:
            return self._function(arrays)
        except (ValueError, TypeError, IndexError) as error:
            call = raised_by(error.__traceback__, self._function.__code__, self._lines)
            if not can_explain(call, error):
                raise
            raise explained(call, error) from error

    # -- telling ---------------------------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """The bytes of memory that are laid out for results."""
        return self._layout.nbytes

    def summary(self) -> str:
        """A table: each call with module, result, FLOPs, bytes read and written, where its result lies, its program.

        >>> import tinygrad_conv as tg
        >>> step = tg.compile(lambda x: tg.exp(x) * 2)
        >>> for _ in range(2):
        ...     y = step(np.zeros(3))
        >>> "exp" in step.plan.summary()
        True
        """
        return telling.table(self)

    def __graph__(self, *args: Any, **options: Any) -> Graph:
        """The calls as a `Graph`: what `tg.draw(plan)` draws. A plan knows what they cost, but not their numbers."""
        if args:
            raise ArgumentError(f"draw: expected a plan alone, for it knows its shapes; got {len(args)} more arguments")
        return telling.graph(self)

    @checked
    def memory_of(self, call: Call) -> str:
        """Where the results of a call lie: in which block of the plan's memory, or in new memory at each run.

        >>> import tinygrad_conv as tg
        >>> step = tg.compile(lambda x: tg.exp(x) * 2)
        >>> for _ in range(2):
        ...     y = step(np.zeros(3))
        >>> step.plan.memory_of(step.plan.calls[-1])
        'new'
        """
        return ", ".join(map(self._place, call.outputs))

    def _place(self, slot: Slot) -> str:
        block = self._layout.block_of.get(slot)
        return "new" if block is None else f"block {block}"

    @checked
    def runs_in(self, call: Call) -> str:
        """Which program a call is in; nothing for a line of Python.

        >>> import tinygrad_conv as tg
        >>> step = tg.compile(lambda x: tg.exp(x) * 2)
        >>> for _ in range(2):
        ...     y = step(np.zeros(3))
        >>> all(isinstance(step.plan.runs_in(call), str) for call in step.plan.calls)
        True
        """
        return "update" if call in self.updates else self._runs_in.get(call, "")

    @cached_property
    def _runs_in(self) -> dict[Call, str]:
        programs = (step for step in self.steps if isinstance(step, Program))
        return {call: f"program_{k}" for k, program in enumerate(programs, 1) for call in program.calls}

    @checked
    def seen_as(self, slot: Slot) -> Slot:
        """The slot that a slot is a view of, if the view was taken once and for all; else the slot itself.

        >>> import tinygrad_conv as tg
        >>> step = tg.compile(lambda x: tg.exp(x) * 2)
        >>> for _ in range(2):
        ...     y = step(np.zeros(3))
        >>> slot = step.plan.outputs[0]
        >>> step.plan.seen_as(slot) == slot
        True
        """
        return self._layout.seen_as(slot)

    def _repr_html_(self) -> str:
        return str(ops.shown_plan(self.summary(), repr(self)))

    def __repr__(self) -> str:
        return (
            f"<plan of {self.name}: {len(self.calls)} calls of {self.recorded} recorded, "
            f"{self.nbytes / 1e6:.2f} MB laid out>"
        )


def _needed(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls that something depends on: an output, or an effect; and those that may raise."""
    wanted = set(outputs)
    kept = []
    for call in reversed(calls):
        if not is_total(call) or not wanted.isdisjoint(call.outputs):
            wanted.update(call.inputs)
            kept.append(call)
    return kept[::-1]
