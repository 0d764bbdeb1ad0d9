"""`keras.optimizers`: optimisers with Keras' names, defaults and update rules. They meet their parameters in `fit`.

``weight_decay`` is decoupled in all of them, as in Keras: ``p *= 1 - lr * weight_decay`` before each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, NoReturn, Self

import numpy as np

from ... import optim
from ...arguments import Checked, Fraction, NonNegative, Positive, Setting, check, checked
from ...engine.modes import effect
from ...engine.tensor import Tensor
from ...errors import ArgumentError, DTypeError
from ..absent import instead, missing, resolved
from ..spelling import strict, takes
from . import rules, schedules

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]


class _Setting(Setting):
    """A setting, which goes on to the rule if there is one."""

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        if instance.inner is not None:
            for name, option in instance._options().items():
                setattr(instance.inner, name, option)


class Optimizer(Checked):
    """Base of the optimisers: holds the settings until `bind` gives it parameters.

    Parameters
    ----------
    learning_rate : float, at least 0, or a schedule: a function of the step, or of nothing
    weight_decay : float, optional
    clipnorm, clipvalue, global_clipnorm : float, optional
        Limit the norm of each gradient, each element, or the norm of all gradients together; one of them at most.
    name : str, optional
    lr : float or schedule, optional
        An older name of `learning_rate`.

    >>> optimizer = SGD(learning_rate=0.1, clipnorm=1.0)
    >>> optimizer.learning_rate = 0.05
    >>> optimizer
    SGD(learning_rate=0.05)
    """

    inner: optim.Optimizer | None = None
    _rule: type[optim.Optimizer]
    _ignored = frozenset[str]()
    _setting = _Setting

    def __init__(
        self, learning_rate: Any, weight_decay: NonNegative | None, clipnorm: Positive | None,
        clipvalue: Positive | None, global_clipnorm: Positive | None, name: str | None, lr: Any,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self._learning_rate = _rate(kind, learning_rate if lr is None else lr)
        self.name, self.weight_decay = name or kind.lower(), weight_decay or 0.0
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [limit for limit, value in limits.items() if value is not None]
        if len(given) > 1:
            raise ArgumentError(f"{kind}: expected one limit, got {' and '.join(given)}: use {given[-1]} alone")
        self._made([Tensor(np.zeros(1), requires_grad=True)])  # raises for settings that do not go together

    def __new__(cls, *args: Any, **options: Any) -> Self:
        if not hasattr(cls, "_rule"):
            raise missing(
                f"{cls.__name__}: use Adam, AdamW, SGD, RMSprop or Adagrad; rules of your own derive from "
                "tg.optim.Optimizer"
            )
        return super().__new__(cls)

    def _options(self) -> dict[str, Any]:
        """The rule's own settings, by its names for them."""
        raise NotImplementedError

    def _made(self, params: Sequence[Tensor]) -> optim.Optimizer:
        return self._rule(params, lr=self._learning_rate, **self._options())

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; assigning a number or a schedule changes it."""
        if self.inner is not None:
            return self.inner.lr
        return float(self._learning_rate(0) if callable(self._learning_rate) else self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        rate = _rate(type(self).__name__, value)
        self._learning_rate = rate
        if self.inner is not None:
            self.inner.lr = rate

    lr = learning_rate

    @property
    def iterations(self) -> int:
        """How many steps were made."""
        return 0 if self.inner is None else self.inner.steps

    def bind(self, params: Sequence[Tensor]) -> None:
        """Take these parameters, unless they are those it has.

        >>> import tinygrad_conv as tg
        >>> w, optimizer = tg.nn.Parameter([1.0]), SGD(learning_rate=0.5)
        >>> optimizer.bind([w])
        >>> optimizer.iterations
        0
        """
        if self.inner is None or [id(p) for p in self.inner.params] != [id(p) for p in params]:
            self.inner = self._made(params)

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which what a compiled step does depends, if its code names these."""
        return named | {"inner"} | ({"_learning_rate"} if named & {"lr", "learning_rate"} else set())

    def zero_grad(self) -> None:
        """Forget the accumulated gradients.

        >>> import tinygrad_conv as tg
        >>> w, optimizer = tg.nn.Parameter([1.0]), SGD(learning_rate=0.5)
        >>> optimizer.bind([w])
        >>> w.sum().backward()
        >>> optimizer.zero_grad()
        >>> w.grad is None
        True
        """
        if self.inner is not None:
            self.inner.zero_grad()

    def step(self) -> None:
        """Clip, decay, and move the parameters.

        >>> import tinygrad_conv as tg
        >>> w, optimizer = tg.nn.Parameter([1.0]), SGD(learning_rate=0.5)
        >>> optimizer.bind([w])
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> w
        Tensor([0.5], requires_grad=True)
        """
        if self.inner is None:
            raise ArgumentError(f"{type(self).__name__}: it has no parameters yet: compile a model with it and fit")
        self._clip_and_decay(self.inner)
        self.inner.step()

    @effect
    def _clip_and_decay(self, inner: optim.Optimizer) -> None:
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
                    param._array = param._array * keep

    def apply_gradients(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: loops of one's own are written with `optim`.

        >>> try:
        ...     SGD().apply_gradients([])
        ... except ArgumentError as error:
        ...     print(str(error)[:39])
        SGD: gradients are not handed over here
        """
        raise missing(
            f"{type(self).__name__}: gradients are not handed over here: in a loop of your own use an optimizer of "
            "tg.optim, such as tg.optim.Adam(model.trainable_variables): zero_grad(), loss.backward(), step()"
        )

    apply = minimize = apply_gradients

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"


def _rate(what: str, value: Any) -> Any:
    """A learning rate as `optim` takes it: a number, or a function of the step."""
    if not callable(value):
        return check(NonNegative, what, "learning_rate", value, 0.01)
    if isinstance(value, type):
        raise DTypeError(
            f"{what}: expected learning_rate as a number or a schedule, got {value!r}: write {value.__name__}(...)"
        )
    return value if takes(value, 1) else lambda step: value()


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    >>> SGD(0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1)
    """

    _rule = rules.SGD

    @strict
    def __init__(
        self, learning_rate: Any = 0.01, momentum: Fraction = 0.0, nesterov: bool = False, *,
        weight_decay: NonNegative | None = None, clipnorm: Positive | None = None, clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None, name: str | None = None, lr: Any = None,
    ) -> None:  # fmt: skip
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, lr)

    def _options(self) -> dict[str, Any]:
        return {"momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient.

    >>> Adam().learning_rate, Adam(1e-2)
    (0.001, Adam(learning_rate=0.01))
    """

    _rule = rules.Adam

    @strict
    def __init__(
        self, learning_rate: Any = 0.001, beta_1: Fraction = 0.9, beta_2: Fraction = 0.999, epsilon: NonNegative = 1e-7,
        *, weight_decay: NonNegative | None = None, clipnorm: Positive | None = None,
        clipvalue: Positive | None = None, global_clipnorm: Positive | None = None, name: str | None = None,
        lr: Any = None,
    ) -> None:  # fmt: skip
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, lr)

    def _options(self) -> dict[str, Any]:
        return {"betas": (self.beta_1, self.beta_2), "epsilon": self.epsilon}


class AdamW(Adam):
    """`Adam` with weight decay 0.004 unless told otherwise.

    >>> AdamW().weight_decay
    0.004
    """

    @strict
    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: NonNegative = 0.004, beta_1: Fraction = 0.9,
        beta_2: Fraction = 0.999, epsilon: NonNegative = 1e-7, *, clipnorm: Positive | None = None,
        clipvalue: Positive | None = None, global_clipnorm: Positive | None = None, name: str | None = None,
        lr: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
            global_clipnorm=global_clipnorm, name=name, lr=lr,
        )  # fmt: skip


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient, or (`centered`) by its standard deviation.

    >>> RMSprop(0.01, centered=True)
    RMSprop(learning_rate=0.01)
    """

    _rule = rules.RMSprop

    @strict
    def __init__(
        self, learning_rate: Any = 0.001, rho: Fraction = 0.9, momentum: Fraction = 0.0, epsilon: NonNegative = 1e-7,
        centered: bool = False, *, weight_decay: NonNegative | None = None, clipnorm: Positive | None = None,
        clipvalue: Positive | None = None, global_clipnorm: Positive | None = None, name: str | None = None,
        lr: Any = None,
    ) -> None:  # fmt: skip
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, lr)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rho", "momentum", "epsilon", "centered")}


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients, which starts at `initial_accumulator_value`.

    >>> Adagrad(schedules.ExponentialDecay(0.1, 1000, 0.5)).learning_rate
    0.1
    """

    _rule = rules.Adagrad

    @strict
    def __init__(
        self, learning_rate: Any = 0.001, initial_accumulator_value: NonNegative = 0.1, epsilon: NonNegative = 1e-7, *,
        weight_decay: NonNegative | None = None, clipnorm: Positive | None = None, clipvalue: Positive | None = None,
        global_clipnorm: Positive | None = None, name: str | None = None, lr: Any = None,
    ) -> None:  # fmt: skip
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        super().__init__(learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, name, lr)

    def _options(self) -> dict[str, Any]:
        return {"initial": self.initial_accumulator_value, "epsilon": self.epsilon}


_BY_NAME: dict[str, Callable[[], Optimizer]] = {
    "adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD,
}  # fmt: skip


@checked
def get(optimizer: Any) -> Optimizer:
    """The optimiser of this name or class with Keras' defaults; an optimiser object itself.

    Raises ArgumentError for an unknown name, naming the nearest; DTypeError for what is no optimiser.

    >>> get("adam")
    Adam(learning_rate=0.001)
    """
    found = resolved(optimizer, Optimizer, _BY_NAME, "optimizer={!r}")
    if found is not None:
        return found
    raise DTypeError(
        f"compile: expected an optimizer by name or a keras.optimizers object, got {optimizer!r}"
        + (f": use keras.optimizers.{type(optimizer).__name__}" if isinstance(optimizer, optim.Optimizer) else "")
    )


def __getattr__(name: str) -> Any:
    return instead("keras.optimizers", name, __all__)
