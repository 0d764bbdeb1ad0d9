"""`tg.compile`: a step that is recorded at its first call and replayed at the next ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import update_wrapper
from threading import Lock
from types import MethodType
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np

from ..autodiff import flatten
from ..errors import CompileWarning, DTypeError, GraphError
from ..kernels.registry import choice
from ..modes import MODE, OBSERVED, observed
from ..tensor import Tensor, describe_source, ndarray, wrap
from .plan import Plan
from .tape import Slot, Tape

__all__ = ["Compiled", "compile"]

P = ParamSpec("P")
T = TypeVar("T")

MOST_PLANS = 64  # signatures that one step keeps plans for


def compile(step: Callable[P, T], *, warn: bool = True) -> Compiled[P, T]:
    """A step (forward, backward, update) that runs without building a graph, from its second call on.

    The first call with arguments of some shapes and dtypes runs as ever, and is recorded; further ones replay what was
    recorded, on memory laid out once. Results are those of the step itself.

    Parameters
    ----------
    step : callable
        Its arguments may hold arrays and tensors in nested lists, tuples and dicts; inside, arrays arrive as tensors.
        Anything else among them (numbers, strings, models) is part of the signature. Python code in it runs when
        recording only. Parameters, buffers and other tensors that it uses are read anew at each call, so they may be
        changed from outside between calls; other arrays that it uses are held, not copied.

    warn : bool
        Warn when something runs as it is; `Compiled.reasons` tells in any case.

    Returns
    -------
    Compiled
        Called as the step is. What cannot be replayed runs as it is, and a `CompileWarning` says why, once: a value
        that is read out (``if loss > 1``, ``loss.item()``, printing) with its line, a result that still has its graph,
        an argument that does.

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
    <plan of step: 11 calls of 11 recorded, 0.00 MB laid out>
    """
    if not callable(step):
        raise DTypeError(f"compile: expected a function, got {type(step).__name__}; write tg.compile(step)")
    return Compiled(step, warn)


class Compiled(Generic[P, T]):
    """What `compile` returns.

    Attributes
    ----------
    plans : list of Plan
        One for each signature that was recorded.
    plan : Plan
        The last one that was used.
    reasons : list of str
        Why some signatures run as they are.
    """

    def __init__(self, step: Callable[P, T], warn: bool = True) -> None:
        update_wrapper(self, step)
        self._warn = warn
        self._step = step
        self._name = getattr(step, "__name__", type(step).__name__)
        self._cache: dict[Any, list[_Recorded]] = {}
        self._lock = Lock()
        self._last: Plan | None = None
        self.reasons: list[str] = []

    @property
    def plans(self) -> list[Plan]:
        return [recorded.plan for entry in self._cache.values() for recorded in entry if recorded.plan is not None]

    @property
    def plan(self) -> Plan:
        if self._last is None:
            why = f"; it runs as it is: {self.reasons[-1]}" if self.reasons else ": call it once"
            raise DTypeError(f"compile: {self._name} has no plan{why}")
        return self._last

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        mode = MODE.get()
        leaves, rebuild = _taken_apart(args, kwargs)
        if mode.anomaly or mode.watch is not None or (OBSERVED and mode.observer is not None):
            return self._as_it_is(leaves, rebuild)  # somebody wants to see each operation
        arrays: list[Any] = []
        key: list[Any] = [mode.recording, mode.training, choice()]
        for leaf in leaves:
            if type(leaf) is not ndarray:
                if isinstance(leaf, Tensor):
                    if leaf.node is None:
                        leaf = leaf._array
                    elif leaf.node.primitive is None:
                        key.append(id(leaf))
                        continue
                    else:
                        return self._as_it_is(leaves, rebuild)  # a gradient is to flow through
                if not isinstance(leaf, (ndarray, np.generic)):
                    key.append((type(leaf), leaf) if isinstance(leaf, _BY_VALUE) else id(leaf))
                    continue
                leaf = np.asarray(leaf)
            arrays.append(leaf)
            key.append((leaf.shape, leaf.dtype, None if leaf.flags.c_contiguous else leaf.strides))
        signature = tuple(key)
        if not self._lock.acquire(blocking=False):
            return self._as_it_is(leaves, rebuild)  # in use in another thread, or called by itself
        try:
            for recorded in self._cache.get(signature, ()):
                if recorded.plan is None or recorded.plan.fits():
                    break
            else:
                return self._record(signature, leaves, rebuild)
            if recorded.unproven is not None:
                return self._record(signature, leaves, rebuild, recorded)
            if recorded.plan is None:
                return self._as_it_is(leaves, rebuild)
            self._last = recorded.plan
            return recorded.result(recorded.plan.run(arrays))  # type: ignore[no-any-return]
        finally:
            self._lock.release()

    def _as_it_is(self, leaves: Sequence[Any], rebuild: Callable[[Sequence[Any]], Any]) -> T:
        """Run the step itself, on tensors as when recording."""
        args, kwargs = rebuild([Tensor(x) if isinstance(x, (ndarray, np.generic)) else x for x in leaves])
        return self._step(*args, **kwargs)

    def _record(
        self, key: Any, leaves: Sequence[Any], rebuild: Callable[[Sequence[Any]], Any], earlier: _Recorded | None = None
    ) -> T:
        tape = Tape()
        given = []
        for leaf in leaves:
            plain = isinstance(leaf, Tensor) and leaf.node is None
            if plain or isinstance(leaf, (ndarray, np.generic)):
                given.append(tape.argument(leaf._array if plain else np.asarray(leaf)))
            else:
                given.append(leaf)
        args, kwargs = rebuild(given)
        with observed(tape):
            result = self._step(*args, **kwargs)
        recorded = _Recorded(self._name, tape, result, leaves)
        del given, args, kwargs
        recorded.finish(tape, earlier)
        entry = self._cache.setdefault(key, [])
        if earlier is not None:
            entry.remove(earlier)
        entry.insert(0, recorded)
        del entry[MOST_PLANS:]
        while len(self._cache) > MOST_PLANS:
            self._cache.pop(next(iter(self._cache)))
        self._last = recorded.plan or self._last
        if recorded.reason is not None and recorded.reason not in self.reasons:
            self.reasons.append(recorded.reason)
            if self._warn:
                message = f"compile: {self._name} runs as it is: {recorded.reason}"
                warnings.warn(message, CompileWarning, stacklevel=3)
        return result

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: the instance is its first argument."""
        return self if instance is None else MethodType(self, instance)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            f"copy, pickle: expected something that is not tied to its models, got the compiled step {self._name}; "
            "copy the step itself, step.__wrapped__, and compile the copy"
        )

    def __repr__(self) -> str:
        return f"<compiled {self._name}: {len(self.plans)} plan{'s' if len(self.plans) != 1 else ''}>"


def _taken_apart(args: Any, kwargs: Any) -> tuple[Sequence[Any], Callable[[Sequence[Any]], Any]]:
    """`flatten` of a call's arguments; most calls have arrays and nothing else."""
    if not kwargs:
        for arg in args:
            if type(arg) is not ndarray and type(arg) is not Tensor:
                break
        else:
            return args, _as_arguments
    return flatten((args, kwargs))


def _as_arguments(leaves: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    return leaves, {}


_BY_VALUE = (int, float, complex, str, bytes, bool, type(None), type, np.dtype)


class _Recorded:
    """What one signature's recording came to: a plan, or the reason why there is none."""

    def __init__(self, name: str, tape: Tape, result: Any, leaves: Sequence[Any]) -> None:
        self.plan: Plan | None = None
        self.unproven: list[Any] | None = None  # constants to compare with those of a second recording
        self.reason = tape.broken
        self._name, self._leaves = name, leaves  # held, so that no id in the signature is used again
        self._outputs: list[Slot] = []
        self._rebuild: Callable[[Sequence[Any]], Any] | None
        parts, self._rebuild = flatten(result)
        self._fixed: list[Any] = []  # per part of the result: what is returned, where it is no array
        for part in parts:
            slot = None
            if isinstance(part, Tensor):
                node = part.node
                if node is not None and node.primitive is not None and not node.freed:
                    self.reason = self.reason or (
                        f"it returns a tensor of shape {part.shape} with its graph; return it after backward(), "
                        "detached, or compute it in no_grad()"
                    )
                slot = None if node is not None and node.primitive is None else tape.slot_of(part)
            elif isinstance(part, (ndarray, np.generic)):
                slot = tape.known(part)
            if slot is None:
                self._fixed.append(part)
            else:
                self._fixed.append(_Output(len(self._outputs), isinstance(part, Tensor)))
                self._outputs.append(slot)
        if len(parts) == 1 and result is parts[0] and isinstance(self._fixed[0], _Output):
            self._rebuild = None  # one array or tensor, which most steps return

    def finish(self, tape: Tape, earlier: _Recorded | None) -> None:
        """Make the plan, if the recording allows it."""
        kept = [] if self.reason else tape.kept(self._outputs)
        if kept:
            self.reason = (
                f"it keeps a value that it computed ({kept[0].name}, shape {kept[0].outputs[0].seen.shape}) at "
                f"{describe_source(kept[0].source)}; return it instead"
            )
        unproven = tape.unproven()
        values = [np.array(slot.value) for slot in unproven]
        if self.reason is None and unproven:
            if earlier is None:
                self.unproven = values
                return
            before = earlier.unproven or []
            same = len(before) == len(values) and all(map(_equal, before, values))
            if not same:
                line = describe_source(unproven[0].source)
                self.reason = f"it uses an array that is made anew, with other values, at each call, at {line}"
        if self.reason is None:
            for slot in unproven:
                slot.checked = True
            self.plan = Plan(self._name, tape, self._outputs)

    def result(self, arrays: Sequence[Any]) -> Any:
        """What the step returns, with the outputs of a replay in it."""
        if self._rebuild is None:
            return self._fixed[0].of(arrays)
        return self._rebuild([part.of(arrays) if isinstance(part, _Output) else part for part in self._fixed])


class _Output(NamedTuple):
    """A part of the result that is an array or a tensor: which output of the plan."""

    number: int
    is_tensor: bool

    def of(self, arrays: Sequence[Any]) -> Any:
        array = arrays[self.number]
        return wrap(np.asarray(array), None) if self.is_tensor else array


def _equal(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())
