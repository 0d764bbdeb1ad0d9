"""`keras.optimizers`: the optimisers of `optim` with Keras' names and defaults; they meet their parameters in `fit`.

``weight_decay`` is decoupled in all of them, as in Keras: ``p *= 1 - lr * weight_decay`` before each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import optim
from ..errors import ArgumentError, DTypeError
from ..modes import effect
from ..tensor import Tensor
from .spelling import refuse_unknown

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]

_LIMITS = ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "name", "lr")


class Optimizer:
    """Base of the optimisers: holds the settings until `bind` gives it parameters.

    Parameters
    ----------
    learning_rate : float or schedule
    weight_decay : float, optional
    clipnorm, clipvalue, global_clipnorm : float, optional
        Limit the norm of each gradient, each element, or the norm of all gradients together.
    """

    def __init__(
        self, make: Callable[..., optim.Optimizer], learning_rate: Any, options: dict[str, Any], limits: dict[str, Any]
    ) -> None:
        kind = type(self).__name__
        refuse_unknown(kind, limits, ["learning_rate", *options, *_LIMITS])
        self._make, self._options = make, options
        self._learning_rate = limits.pop("lr", learning_rate)
        self.name = limits.pop("name", None) or kind.lower()
        self.weight_decay = float(limits.pop("weight_decay", None) or 0.0)
        self.clipnorm, self.clipvalue = limits.get("clipnorm"), limits.get("clipvalue")
        self.global_clipnorm = limits.get("global_clipnorm")
        self.inner: optim.Optimizer | None = None
        make([Tensor(np.zeros(1), requires_grad=True)], lr=self._learning_rate, **options)  # raises for bad settings

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; assigning changes it."""
        if self.inner is not None:
            return self.inner.lr
        return self._learning_rate(0) if callable(self._learning_rate) else float(self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate = value
        if self.inner is not None:
            self.inner.lr = value

    lr = learning_rate

    @property
    def iterations(self) -> int:
        """How many steps were made."""
        return 0 if self.inner is None else self.inner.steps

    def bind(self, params: Sequence[Tensor]) -> None:
        """Take these parameters, unless they are those it has."""
        if self.inner is None or [id(p) for p in self.inner.params] != [id(p) for p in params]:
            self.inner = self._make(params, lr=self._learning_rate, **self._options)

    @effect
    def zero_grad(self) -> None:
        """Forget the accumulated gradients."""
        if self.inner is not None:
            self.inner.zero_grad()

    @effect
    def step(self) -> None:
        """Clip, decay, and move the parameters."""
        inner = self.inner
        if inner is None:
            raise ArgumentError(f"{type(self).__name__}: it has no parameters yet: compile a model with it and fit")
        if self.clipvalue is not None:
            optim.clip_grad_value(inner.params, self.clipvalue)
        if self.clipnorm is not None:
            for param in inner.params:
                optim.clip_grad_norm([param], self.clipnorm)
        if self.global_clipnorm is not None:
            optim.clip_grad_norm(inner.params, self.global_clipnorm)
        if self.weight_decay:
            keep = 1 - inner.lr * self.weight_decay
            for param in inner.params:
                if param.grad is not None:
                    param._data = param._data * keep
        inner.step()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"


class SGD(Optimizer):
    """`optim.SGD`."""

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **limits: Any) -> None:
        super().__init__(optim.SGD, learning_rate, {"momentum": momentum, "nesterov": nesterov}, limits)


class Adam(Optimizer):
    """`optim.Adam`, with Keras' epsilon 1e-7."""

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
        **limits: Any,
    ) -> None:  # fmt: skip
        super().__init__(optim.Adam, learning_rate, {"betas": (beta_1, beta_2), "epsilon": epsilon}, limits)


class AdamW(Adam):
    """`Adam` with weight decay 0.004 unless told otherwise."""

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-7, **limits: Any,
    ) -> None:  # fmt: skip
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, **limits)


class RMSprop(Optimizer):
    """`optim.RMSprop`, with Keras' rho 0.9 and epsilon 1e-7."""

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
        centered: bool = False, **limits: Any,
    ) -> None:  # fmt: skip
        options = {"rho": rho, "momentum": momentum, "epsilon": epsilon, "centered": centered}
        super().__init__(optim.RMSprop, learning_rate, options, limits)


class Adagrad(Optimizer):
    """`optim.Adagrad`, with Keras' initial accumulator 0.1 and epsilon 1e-7."""

    def __init__(
        self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7, **limits: Any
    ) -> None:
        options = {"initial": initial_accumulator_value, "epsilon": epsilon}
        super().__init__(optim.Adagrad, learning_rate, options, limits)


_BY_NAME: dict[str, Callable[[], Optimizer]] = {
    "adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD,
}  # fmt: skip


def get(optimizer: Any) -> Optimizer:
    """The optimiser of this name or class with Keras' defaults; an optimiser object itself.

    Raises ArgumentError for an unknown name, naming the nearest; DTypeError for what is no optimiser.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        if optimizer.lower() not in _BY_NAME:
            near = get_close_matches(optimizer.lower(), _BY_NAME, 1)
            hint = f"use optimizer='{near[0]}'" if near else f"use one of {', '.join(_BY_NAME)}"
            raise ArgumentError(f"compile: unknown optimizer {optimizer!r}: {hint}")
        return _BY_NAME[optimizer.lower()]()
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()  # type: ignore[call-arg]
    raise DTypeError(
        f"compile: expected an optimizer by name or a keras.optimizers object, got {optimizer!r}"
        + (f": use keras.optimizers.{type(optimizer).__name__}" if isinstance(optimizer, optim.Optimizer) else "")
    )


# ------------------------------------------------------------------------------------------------------------------
# Schedules


def _exponential(
    initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
) -> optim.Schedule:
    """``optim.StepDecay`` or ``optim.ExponentialDecay``."""
    kind = optim.StepDecay if staircase else optim.ExponentialDecay
    return kind(initial_learning_rate, decay_steps, decay_rate)


def _cosine(initial_learning_rate: float, decay_steps: int, alpha: float = 0.0) -> optim.Schedule:
    """`optim.CosineDecay` down to alpha times the first rate."""
    return optim.CosineDecay(initial_learning_rate, decay_steps, alpha * initial_learning_rate)


def _piecewise(boundaries: Sequence[int], values: Sequence[float]) -> optim.Schedule:
    """`optim.PiecewiseConstant`; a boundary itself still has the value before it."""
    return optim.PiecewiseConstant(tuple(boundary + 1 for boundary in boundaries), tuple(values))


schedules = SimpleNamespace(ExponentialDecay=_exponential, CosineDecay=_cosine, PiecewiseConstantDecay=_piecewise)
