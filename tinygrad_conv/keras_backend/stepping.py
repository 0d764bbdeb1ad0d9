"""A model's step, compiled: a function of the values of all variables, which returns their new ones.

Keras says of such a step that its Python code runs when it is traced. So nobody looks for what else the code can read,
as `tg.compile` does elsewhere; but before each replay it is compared what the model and the objects of Keras' in it
hold, in containers too: numbers, names, functions, variables, and such objects. So a rate or an activation which a
callback sets has its effect, and so has another layer in a list.

Where Keras asks `ops.cond` for a branch by a number, the way of a step is what it decided. Each way has a plan, with
checks that it is the way to take. If it is not, that replay has changed nothing, and another plan has its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import is_
from types import FunctionType
from typing import Any, NamedTuple

from keras.src.backend.common import KerasVariable
from keras.src.backend.common.stateless_scope import StatelessScope
from keras.src.constraints.constraints import Constraint
from keras.src.optimizers.schedules.learning_rate_schedule import LearningRateSchedule
from keras.src.regularizers.regularizers import Regularizer
from keras.src.saving.keras_saveable import KerasSaveable

from ..engine.plain import plain
from ..engine.tensor import Tensor
from ..plan.compiled import Compiled
from ..plan.reach import Reach
from .core import convert_to_tensor, stop_gradient

__all__ = ["CompiledStep"]


class CompiledStep:
    """``step(data)`` as a replay. Variables are the model's, the optimizer's and the metrics' own objects, as ever.

    Parameters
    ----------
    step : method of a model
    variables : callable
        Gives all Keras variables that the step may read or assign.
    model : Keras model
        With what it holds: what the step depends on.
    """

    def __init__(self, step: Callable[[Any], Any], variables: Callable[[], Sequence[Any]], model: Any) -> None:
        self._step = step
        self._gather = variables
        self._model = model
        self._parts: list[Iterable[Any]] = []  # where the model can change
        self._held: list[Any] = [None]  # what was there when somebody looked last
        self._states: dict[tuple[Any, ...], _State] = {}
        self._state = _State(0, [], [])
        self._before: deque[_Way] = deque([()], maxlen=16)  # the ways of the last steps
        self._next: dict[tuple[_Way, ...], _Way] = {}  # the way that came after such

        def run(data: Any, values: Sequence[Any], number: int, way: _Way | None) -> Any:
            variables = self._state.variables
            with _Scope(list(zip(variables, values, strict=True)), way) as scope:
                returned = step(data)
            if len(scope.state_mapping) > len(variables):
                raise _UnknownError
            now = map(scope.get_current_value, variables)
            new = [new if new is old else stop_gradient(new) for new, old in zip(now, values, strict=True)]
            return returned, new, scope.way, scope.checks

        run.__name__ = step.__name__
        self._run = run
        self.compiled = Compiled(run, reach=_Traced)
        self._eager = False

    def __call__(self, data: Any) -> Any:
        if self._eager:
            return self._step(data)
        held = [*chain.from_iterable(self._parts)]
        if len(held) != len(self._held) or not all(map(is_, held, self._held)):
            self._look()
        number, variables, _ = self._state
        values = [variable._value for variable in variables]
        before = tuple(self._before)
        way: _Way | None = self._next.get(before, before[-1])
        while True:
            try:
                run = self._run if way is None else self.compiled
                returned, new, way, _ = run(data, values, number, way)
                break
            except _OtherWay as other:
                (start,) = other.args
                way = next((known for known in self._next.values() if known[: len(start)] == start), None)
            except _UnknownError:
                self._eager = True  # it has changed nothing yet
                return self._step(data)
        for variable, old, after in zip(variables, values, new, strict=True):
            if after is not old:
                variable._value.data = after
        if len(self._next) > 999:  # they come as they like
            self._next.clear()
        self._next[before] = way
        self._before.append(way)
        return returned

    def _look(self) -> None:
        """What the step depends on: as it was once, or new."""
        found, objects, self._parts = _held_by(self._model)
        self._held = [*chain.from_iterable(self._parts)]
        if found not in self._states:
            self._states[found] = _State(len(self._states), list(self._gather()), objects)
        self._state = self._states[found]


_Way = tuple[bool, ...]


class _Scope(StatelessScope):  # type: ignore[misc]
    """Where a step is a function of the values of variables; its decisions follow a way, or (None) find one."""

    def __init__(self, values: list[tuple[Any, Any]], follows: _Way | None) -> None:
        super().__init__(state_mapping=values, collect_losses=True)
        self.way: _Way = ()
        self.checks: list[Any] = []
        self._follows = follows

    def decide(self, pred: Any) -> bool:
        pred = convert_to_tensor(pred)
        now = bool(pred._array if isinstance(pred, Tensor) else pred)
        self.way += (now,)
        if self._follows is not None and isinstance(pred, Tensor):
            if self._follows[len(self.way) - 1 : len(self.way)] != (now,):
                raise _OtherWay(self.way)
            self.checks.append(_as_before(pred, self.way))
        return now


@plain
def _as_before(pred: Any, way: _Way) -> Any:
    """The last decision of a way; raises _OtherWay if it is another now."""
    if bool(pred) is not way[-1]:
        raise _OtherWay((*way[:-1], not way[-1]))
    return way[-1]


class _OtherWay(BaseException):
    """The step takes another way; this holds how that starts. No error, so that nobody catches it."""


class _State(NamedTuple):
    """The variables while the model is as it is, and the objects in it, held for their ids."""

    number: int
    variables: list[Any]
    objects: list[Any]


_PLAIN = {int, float, complex, str, bool, type(None)}
_KNOWN = (KerasSaveable, LearningRateSchedule, Regularizer, Constraint)
_CONTAINERS = (list, tuple, set, dict)
_BESIDE = {  # what Keras' loops note in a model
    "train_function", "test_function", "predict_function", "stop_training", "stop_evaluating", "stop_predicting",
    "history", "_eval_epoch_iterator", "_initial_epoch",
}  # fmt: skip


def _held_by(model: Any) -> tuple[tuple[Any, ...], list[Any], list[Iterable[Any]]]:
    """What a model holds, as a key; the objects whose ids are in that; and what to go through to see that it is so."""
    key: list[Any] = []
    objects: list[Any] = []
    parts: list[Iterable[Any]] = []
    seen = set()
    left = [model]
    while left:
        value = left.pop()
        if type(value) in _PLAIN:
            key += type(value), repr(value) if type(value) in (float, complex) else value  # 0.0 is not -0.0
        elif isinstance(value, (*_KNOWN, *_CONTAINERS, KerasVariable, FunctionType)):
            objects.append(value)
            if isinstance(value, _CONTAINERS):
                key += type(value), len(value)
                inside = value
            else:
                key.append(id(value))
                inside = vars(value) if isinstance(value, _KNOWN) else ()
            if id(value) in seen:
                continue
            seen.add(id(value))
            parts.append(inside)
            if isinstance(inside, dict):
                parts.append(inside.values())
                inside = {name: item for name, item in inside.items() if name not in _BESIDE}
                key += inside
                left += inside.values()
            else:
                left += inside
    return tuple(key), objects, parts


class _UnknownError(Exception):
    """The step assigns a variable that is none of its model's."""


class _Traced(Reach):
    """Nothing but tensors: what Python code reads is read when it is traced, and so is what it prints."""

    prints = False  # messages that Keras' own code makes, and drops, among it

    def add(self, label: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self.tensors[id(value)] = value
