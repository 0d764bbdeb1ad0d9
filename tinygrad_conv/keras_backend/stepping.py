"""A model's step, compiled: a function of the values of all variables, which returns their new ones.

Keras says of such a step that its Python code runs when it is traced. So nobody looks for what else the code can read,
as `tg.compile` does elsewhere; but the plain attributes of layers and of the optimizer, and their functions, are
compared before each replay, so that a rate or an activation which a callback sets has its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from keras.src.backend.common.stateless_scope import StatelessScope

from ..engine.tensor import Tensor
from ..plan.compiled import Compiled
from ..plan.reach import Reach
from .core import stop_gradient

__all__ = ["CompiledStep"]


class CompiledStep:
    """``step(data)`` as a replay. Variables are the model's, the optimizer's and the metrics' own objects, as ever.

    Parameters
    ----------
    step : method of a model
    variables : list of Keras variables
        All that the step may read or assign.
    owners : list
        Objects whose plain attributes the step depends on.
    """

    def __init__(self, step: Callable[[Any], Any], variables: Sequence[Any], owners: Sequence[Any]) -> None:
        self._variables = list(variables)
        self._attributes = [vars(owner) for owner in owners]
        self._step = step

        def run(data: Any, values: Sequence[Any], settings: Any) -> Any:
            mapping = list(zip(self._variables, values, strict=True))
            with StatelessScope(state_mapping=mapping, collect_losses=True) as scope:
                returned = step(data)
            if len(scope.state_mapping) > len(self._variables):
                raise _UnknownError
            now = map(scope.get_current_value, self._variables)
            return returned, [new if new is old else stop_gradient(new) for new, old in zip(now, values, strict=True)]

        run.__name__ = step.__name__
        self.compiled = Compiled(run, reach=_Traced)
        self._eager = False

    def __call__(self, data: Any) -> Any:
        if self._eager:
            return self._step(data)
        values = [variable._value for variable in self._variables]
        settings = tuple(
            tuple((name, value) for name, value in attributes.items() if type(value) in _PLAIN)
            for attributes in self._attributes
        )
        try:
            returned, new = self.compiled(data, values, settings)
        except _UnknownError:
            self._eager = True  # it has changed nothing yet
            return self._step(data)
        for variable, before, after in zip(self._variables, values, new, strict=True):
            if after is not before:
                variable._value.data = after
        return returned


_PLAIN = {int, float, str, bool, type(None), FunctionType}


class _UnknownError(Exception):
    """The step assigns a variable that is none of its model's."""


class _Traced(Reach):
    """Nothing but tensors: what Python code reads is read when it is traced."""

    def add(self, label: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self.tensors[id(value)] = value
