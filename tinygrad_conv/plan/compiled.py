"""`tg.compile`: a step that is recorded at its first call and replayed at the next ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from functools import update_wrapper
from threading import Lock
from types import MethodType
from typing import Annotated, Any, Generic, ParamSpec, TypeVar

import numpy as np

from ..arguments import checked, functions
from ..engine.modes import MODE, OBSERVED, observed
from ..engine.tensor import Tensor, ndarray
from ..errors import CompileWarning, DTypeError, GraphError
from ..kernels.wanted import choice
from .loan import Loan
from .plan import Plan
from .reach import Reach
from .recorded import Recorded, handed_back
from .signature import Again, Leaves, Rebuild, as_arguments, is_array, never, recognizer, taken_apart, told_apart
from .tape import Tape

__all__ = ["Compiled", "compile"]

P = ParamSpec("P")
T = TypeVar("T")

MOST_SIGNATURES = 64  # that one step keeps plans for
MOST_PLANS = 4  # of one signature, for what it reads may be one thing or another
MOST_IN_VAIN = 8  # recordings in a row of one signature, of which none was ever replayed; then
REST = 100  # calls run as they are


@checked
def compile(
    step: Annotated[Callable[P, T], functions("a function, as in tg.compile(step)")], *, warn: bool = True
) -> Compiled[P, T]:
    """A step (forward, backward, update) that runs without building a graph, from its second call on.

    The first call with arguments of some shapes and dtypes runs as ever, and is recorded; further ones replay what was
    recorded, on memory laid out once. Results are those of the step itself.

    Parameters
    ----------
    step : callable
        Its arguments may hold arrays and tensors in nested lists, tuples and dicts; inside, arrays arrive as tensors.
        Anything else among them (numbers, strings, models) is part of the signature. Python code in it runs when
        recording only, which is done anew where something is another that this code can read. Parameters, buffers and
        other tensors that it uses are read at each call; other arrays that it uses are held, not copied.

    warn : bool
        Warn when something runs as it is; `Compiled.reasons` tells in any case.

    Returns
    -------
    Compiled
        Called as the step is. What cannot be replayed runs as it is, and a `CompileWarning` says why, once: a value
        that is read out (``if loss > 1``, ``loss.item()``, printing) with its line, Python state that the step changes,
        a result that still has its graph.

    Raises
    ------
    DTypeError
        `step` is not callable.

    >>> import tinygrad_conv as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.1)
    >>> @tg.compile
    ... def step(x):
    ...     loss = ((w * x) ** 2).sum()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> [round(step(np.ones(2)).item(), 4) for _ in range(3)]
    [5.0, 3.2, 2.048]
    >>> print(step.plan)
    <plan of step: 11 calls of 12 recorded, 0.00 MB laid out>
    """
    return Compiled(step, warn)


class Compiled(Generic[P, T]):
    """What `compile` returns.

    Attributes
    ----------
    plans : list of Plan
        Those that may be replayed: one or more for each signature, as what the step reads was different.
    plan : Plan
        The last one that was used.
    reasons : list of str
        Why some signatures run as they are.

    >>> import tinygrad_conv as tg
    >>> step = tg.compile(lambda x: tg.exp(x) * 2)
    >>> [step(np.zeros(n)).shape for n in (3, 3, 5, 5)], len(step.plans)
    ([(3,), (3,), (5,), (5,)], 2)
    """

    _ignored = None

    def __init__(self, step: Callable[P, T], warn: bool = True, reach: Callable[[], Reach] = Reach) -> None:
        update_wrapper(self, step)
        self._reach = reach
        self._warn = warn
        self._step = step
        self._name = getattr(step, "__name__", type(step).__name__)
        self._cache: dict[Hashable, _Recordings] = {}
        self._again: tuple[Again, _Recordings] = never, _Recordings()  # the last call that was replayed
        self._lock = Lock()
        self._last: Plan | None = None
        self._new = 0  # signatures in a row that were never seen before
        self.reasons: list[str] = []

    @property
    def plans(self) -> list[Plan]:
        return [one.plan for recordings in self._cache.values() for one in recordings.all if one.plan is not None]

    @property
    def plan(self) -> Plan:
        if self._last is None:
            why = ": call it once, or twice if the first call makes weights"
            why = f"; it runs as it is: {self.reasons[-1]}" if self.reasons else why
            raise DTypeError(f"compile: {self._name} has no plan{why}")
        return self._last

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        mode = MODE.get()
        if mode.is_watched or (OBSERVED and mode.observer is not None):
            return self._as_it_is(args, kwargs, *taken_apart(args, kwargs)[:2])  # somebody wants to see each operation
        recording, training, wanted = mode.recording, mode.training, choice()
        again, known = self._again
        arrays = again(args, kwargs, recording, training, wanted)
        leaves: Leaves = args
        rebuild: Rebuild = as_arguments
        key: Hashable = known
        if arrays is None:
            leaves, rebuild, structure = taken_apart(args, kwargs)
            key, arrays = told_apart(leaves, recording, training, wanted, structure)
        if key is None or not self._lock.acquire(False):  # in use in another thread, or called by itself
            return self._as_it_is(args, kwargs, leaves, rebuild)
        try:
            recordings = known if key is known else self._cache.get(key)
            if recordings is None:
                if self._new >= MOST_SIGNATURES:
                    self._say("it is called with something else each time", 3)
                    return self._as_it_is(args, kwargs, leaves, rebuild)
                self._new += 1
                recordings = self._cache[key] = _Recordings()
                while len(self._cache) > MOST_SIGNATURES:
                    self._cache.pop(next(iter(self._cache)))
            if recordings.reason is not None and recordings.stand():
                return self._as_it_is(args, kwargs, leaves, rebuild)
            recorded = recordings.fitting()
            if recorded is None or recorded.plan is None:
                return self._record(args, kwargs, leaves, rebuild, recordings, recorded)
            if key is not known:
                recordings.again = recordings.again or recognizer(args, kwargs, recording, training, wanted)
                self._again = recordings.again, recordings
            recordings.in_vain = self._new = 0
            self._last = recorded.plan
            return recorded.result(recorded.plan.run(arrays), leaves)
        finally:
            self._lock.release()

    def _as_it_is(self, args: Any, kwargs: Any, leaves: Leaves, rebuild: Rebuild, tape: Tape | None = None) -> T:
        """Run the step itself, with tensors for arrays; if there is a tape, it records that."""
        given = _as_tensors(leaves) if tape is None else tape.arguments_of(leaves)
        own_args, own_kwargs = rebuild(given)
        loan = None if leaves is args else Loan((args, tuple(kwargs.values())), (own_args, tuple(own_kwargs.values())))
        try:
            if tape is None:
                return self._step(*own_args, **own_kwargs)
            with observed(tape):
                return self._step(*own_args, **own_kwargs)
        finally:
            changed = loan is not None and loan.give_back(dict(zip(map(id, given), leaves, strict=True)))
            if tape is not None:
                tape.give_back(changed)

    def _record(
        self, args: Any, kwargs: Any, leaves: Leaves, rebuild: Rebuild, recordings: _Recordings,
        earlier: Recorded | None,
    ) -> T:  # fmt: skip
        reach = self._reach()
        reach.add(self._name, self._step)
        for leaf in leaves:
            if not is_array(leaf):
                reach.add("an argument", leaf)
        tape = Tape(reach)
        result = self._as_it_is(args, kwargs, leaves, rebuild, tape)
        recordings.add(Recorded(self._name, tape, result, earlier), earlier)
        if recordings.all and recordings.all[0].plan is not None:
            self._last = recordings.all[0].plan
        if recordings.reason is not None:
            self._say(recordings.reason, 4)
        return handed_back(result, tape.lent, leaves)

    def _say(self, reason: str, depth: int) -> None:
        """Warn of a reason, once, where the step was called: so many calls from here."""
        if reason not in self.reasons:
            self.reasons.append(reason)
            if self._warn:
                warnings.warn(f"compile: {self._name} runs as it is: {reason}", CompileWarning, stacklevel=depth)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: the instance is its first argument."""
        return self if instance is None else MethodType(self, instance)

    def _assumed(self, named: frozenset[str]) -> set[str]:
        """What another step that calls this one assumes of it: the step."""
        return {"_step"} | (named & vars(self).keys() - {"reasons"})

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            f"copy, pickle: expected something that is not tied to its models, got the compiled step {self._name}; "
            "copy the step itself, step.__wrapped__, and compile the copy"
        )

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self.plans)} plan{'s' if len(self.plans) != 1 else ''}>"


def _as_tensors(leaves: Any) -> list[Any]:
    """Arrays as tensors; one that is there twice is one tensor."""
    tensors: dict[int, Tensor] = {}
    given = []
    for leaf in leaves:
        if isinstance(leaf, (ndarray, np.generic)):
            leaf = tensors.setdefault(id(leaf), Tensor(leaf))
        given.append(leaf)
    return given


class _Recordings:
    """What the recordings of one signature came to.

    Attributes
    ----------
    all : those that may be replayed, or will be when a second one has shown that they may; the last one used first
    reason : why this signature runs as it is, if it does
    in_vain : how many there were since the last replay
    again : recognizes the next calls of this signature
    """

    def __init__(self) -> None:
        self.all: list[Recorded] = []
        self.reason: str | None = None
        self.in_vain = 0
        self.again: Again | None = None
        self._changed = False  # did the step change what it reads when it was recorded last?
        self._rest: int | None = None  # so many calls until it is worth another try

    def stand(self) -> bool:
        """Is the reason good still? What was another at each call may have settled."""
        if self._rest is None:
            return True
        self._rest -= 1
        if self._rest > 0:
            return True
        self.reason, self.in_vain, self._rest = None, 0, None
        return False

    def fitting(self) -> Recorded | None:
        """The recording whose assumptions hold."""
        for recorded in self.all:
            if recorded.assumptions.hold() or recorded.assumptions.look():
                if recorded is not self.all[0]:
                    self.all.remove(recorded)
                    self.all.insert(0, recorded)
                return recorded
        return None

    def add(self, recorded: Recorded, earlier: Recorded | None) -> None:
        """Take in another recording, in the place of the earlier one that it was compared with."""
        self.in_vain += 1
        self.reason = recorded.reason or (recorded.changed or None if self._changed else None)
        self._changed = bool(recorded.changed)  # once may be getting ready: a layer makes its weights
        if self.reason is None and self.in_vain > MOST_IN_VAIN:
            what = self.all[0].assumptions.broken if self.all else ""
            self.reason, self._rest = f"{what or 'what it reads'} is another at each call", REST
        if earlier is not None:
            self.all.remove(earlier)
        if self.reason is not None:
            self.all.clear()
        elif not recorded.changed:
            self.all.insert(0, recorded)
            del self.all[MOST_PLANS:]
