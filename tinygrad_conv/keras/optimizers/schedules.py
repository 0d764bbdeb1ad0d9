"""`keras.optimizers.schedules`: the schedules of `optim` by Keras' names. Any function of the step is one, too."""

from __future__ import annotations

from typing import Any

from ... import optim
from ...arguments import Checked, Count, NonNegative, Size
from ...errors import NotDefinedError
from ..absent import instead
from ..spelling import strict

__all__ = ["ExponentialDecay", "LearningRateSchedule"]


class LearningRateSchedule(Checked):
    """Base of the schedules. To make one, define ``__call__(self, step)``: the learning rate of step 0, 1, 2, ...

    >>> class Halved(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5**step
    >>> Halved()(2)
    0.025
    """

    def __call__(self, step: int) -> float:
        raise NotDefinedError(f"{type(self).__name__}: define __call__(self, step)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Known(LearningRateSchedule):
    """One that a schedule of `optim` computes."""

    schedule: Any

    @strict
    def __call__(self, step: Count) -> float:
        return float(self.schedule(step))


class ExponentialDecay(_Known):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``, in steps of whole numbers with `staircase`.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5, staircase=True)(19)
    0.05
    """

    @strict
    def __init__(
        self, initial_learning_rate: NonNegative, decay_steps: Size, decay_rate: NonNegative, staircase: bool = False
    ) -> None:
        kind = optim.StepDecay if staircase else optim.ExponentialDecay
        self.schedule = kind(initial_learning_rate, decay_steps, decay_rate)


def __getattr__(name: str) -> Any:
    return instead("keras.optimizers.schedules", name, __all__)
