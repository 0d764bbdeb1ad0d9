"""`keras.optimizers.schedules`: the schedules of `optim` by Keras' names. Any function of the step is one, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import optim
from ...arguments import Checked, Count, NonNegative, Size
from ...errors import ArgumentError, NotDefinedError
from ..absent import instead
from ..spelling import strict

__all__ = ["CosineDecay", "ExponentialDecay", "LearningRateSchedule", "PiecewiseConstantDecay"]


class LearningRateSchedule(Checked):
    """Base of the schedules. To make one, define ``__call__(self, step)``: the learning rate of step 0, 1, 2, ..."""

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


class CosineDecay(_Known):
    """Half a cosine from a learning rate down to `alpha` times that, over `decay_steps`; then flat.

    With `warmup_target` the rate first goes in a straight line from `initial_learning_rate` to that target, over
    `warmup_steps`, and decays from there.

    >>> CosineDecay(1.0, decay_steps=100, alpha=0.5)(100)
    0.5
    """

    @strict
    def __init__(
        self, initial_learning_rate: NonNegative, decay_steps: Size, alpha: NonNegative = 0.0,
        warmup_target: NonNegative | None = None, warmup_steps: Count = 0,
    ) -> None:  # fmt: skip
        if warmup_steps and warmup_target is None:
            raise ArgumentError("CosineDecay: expected warmup_target with warmup_steps, got none")
        top = initial_learning_rate if warmup_target is None else warmup_target
        self.schedule = optim.CosineDecay(top, decay_steps, alpha * top)
        self.first, self.top, self.warmup_steps = initial_learning_rate, top, warmup_steps

    @strict
    def __call__(self, step: Count) -> float:
        if step < self.warmup_steps:
            return self.first + (self.top - self.first) * step / self.warmup_steps
        return super().__call__(step - self.warmup_steps)


class PiecewiseConstantDecay(_Known):
    """``values[k]`` up to and including step ``boundaries[k]``, then the next one.

    >>> schedule = PiecewiseConstantDecay([2], [1.0, 0.5])
    >>> schedule(2), schedule(3)
    (1.0, 0.5)
    """

    @strict
    def __init__(self, boundaries: Sequence[Count], values: Sequence[NonNegative]) -> None:
        self.schedule = optim.PiecewiseConstant(tuple(boundary + 1 for boundary in boundaries), tuple(values))


def __getattr__(name: str) -> Any:
    return instead("keras.optimizers.schedules", name, __all__)
