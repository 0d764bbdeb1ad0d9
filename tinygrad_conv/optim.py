"""Optimisers and learning-rate schedules.

An optimiser holds parameters and, at each `step`, moves them along their gradients. A graph recorded before the step
stays as it was, and so does whatever else holds a parameter's array: the parameter gets a new one. An array that nobody
else holds is updated in place, and so is the optimiser's own state.

A schedule is a function from the number of the step (0, 1, 2, ...) to a learning rate, given as ``lr=``.

>>> import tinygrad_conv as tg
>>> w = tg.nn.Parameter([1.0, -2.0])
>>> optimizer = tg.optim.SGD([w], lr=0.25)
>>> for _ in range(2):
...     loss = (w * w).sum()
...     optimizer.zero_grad()
...     loss.backward()
...     optimizer.step()
>>> w.tolist()
[0.25, -0.5]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, TypeAlias

import numpy as np

from .arguments import (
    Checked,
    Count,
    Fraction,
    Kind,
    NonNegative,
    Positive,
    Setting,
    Size,
    check,
    checked,
    described,
    instances,
    items_of,
    unchecked,
)
from .engine.guards import unshared
from .engine.modes import clears, effect
from .engine.tensor import Tensor, cast
from .errors import ArgumentError, DTypeError, NotDefinedError, ShapeError
from .kernels import registry as kernels
from .kernels.product import quietly

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "CosineDecay", "ExponentialDecay", "Optimizer", "PiecewiseConstant", "RMSprop",
    "StepDecay", "WarmUp", "clip_grad_norm", "clip_grad_value",
]  # fmt: skip

Schedule: TypeAlias = Annotated[Callable[[int], float], instances(Callable, "a schedule")]
Array: TypeAlias = np.ndarray[Any, Any]


def _leaves(params: Any) -> tuple[Tensor, ...]:
    if isinstance(params, Tensor):
        raise DTypeError("expected an iterable of parameters, got one tensor: use [w]")
    leaves = tuple(items_of(params))
    if not leaves:
        raise ArgumentError(
            "expected parameters, got none; build the model (call it once) before asking for its parameters()"
        )
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.node is None or not leaf.is_leaf:
            raise DTypeError(f"expected leaf tensors that require a gradient, got {described(leaf)}")
    if len(set(map(id, leaves))) < len(leaves):
        raise ArgumentError("expected each parameter once, got one twice")
    return leaves


Parameters: TypeAlias = Annotated[Iterable[Tensor], Kind("an iterable of parameters", _leaves)]

# ------------------------------------------------------------------------------------------------------------------
# Optimisers


class _Setting(Setting):
    """A setting: each parameter that was moved already has, from now on, the arrays that are kept because of it."""

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        moved = [(param, state) for param, state in zip(*instance._kept(), strict=True) if state]
        if moved:
            wanted = {*instance.slots}
            for param, state in moved:
                for name in {*instance.arrays} - wanted:
                    state.pop(name, None)
                if not state.keys() >= wanted:
                    state.update(instance.start(param._array) | state)


class _Params(Setting):
    """The parameters: each that was there before keeps its state."""

    def __set__(self, instance: Any, value: Any) -> None:
        before = {id(param): state for param, state in zip(*instance._kept(), strict=True)}
        super().__set__(instance, value)
        instance.state = [before.get(id(param), {}) for param in instance.params]


class Optimizer(Checked):
    """Base of the optimisers: a subclass says how one parameter moves, in `update`.

    Parameters
    ----------
    params : iterable of tensors that require gradients
    lr : float, at least 0, or a schedule
    weight_decay : float, at least 0

    Attributes
    ----------
    lr : float
        The learning rate of the next step. Assigning a number or a schedule changes it.
    steps : int
        How many steps were made.

    Each setting is an attribute too (``optimizer.weight_decay = 0.01``), held to what the constructor takes.

    Raises
    ------
    ArgumentError
        No parameters, one twice, or a learning rate or weight decay that is out of range (or NaN).
    DTypeError
        Something among `params` that is not a tensor requiring a gradient.

    >>> import tinygrad_conv as tg
    >>> class Sign(Optimizer):
    ...     def update(self, p, g, state, lr):
    ...         return p - lr * np.sign(g)
    >>> w = tg.nn.Parameter([1.0, -2.0])
    >>> optimizer = Sign([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5, -1.5]
    """

    params: tuple[Tensor, ...]
    state: list[dict[str, Array]]
    slots: Sequence[str] = ()  # the names of the arrays kept for each parameter
    _kernel: Any = None  # of `kernels.update`
    arrays: Sequence[str] = ()  # the slots that it takes, in order; None for one that is not kept
    _in_place = True  # does update take `out`?
    _ignored = frozenset(("_corrections",))
    _setting = _Setting

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "update" in vars(cls):
            cls._in_place = "out" in signature(cls.update).parameters

    def __init__(self, params: Parameters, lr: NonNegative | Schedule, weight_decay: NonNegative = 0.0) -> None:
        self.params = params  # type: ignore[assignment]  # read as a tuple
        self.lr = lr
        self.weight_decay = weight_decay
        self.steps = 0

    def _kept(self) -> tuple[Sequence[Tensor], Sequence[dict[str, Array]]]:
        """The parameters with their state; none before a subclass's constructor has called this one's."""
        return vars(self).get("params", ()), vars(self).get("state", ())

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        if not callable(self._lr):
            return self._lr
        return float(check(NonNegative, type(self).__name__, "what the schedule lr gives", self._lr(self.steps)))

    @lr.setter
    def lr(self, value: NonNegative | Schedule) -> None:
        self._lr = value if callable(value) else float(value)

    @effect
    def step(self) -> None:
        """Move every parameter that has a gradient; the others stay as they are."""
        lr, slots = self.lr, self.slots
        self.begin()
        update = self._all_by_kernel(lr) if type(self).update is Optimizer.update else unchecked(type(self).update)
        for param, state in zip(self.params, self.state, strict=True):
            grad = param.node.grad if param.node is not None else None
            if grad is None:
                continue
            if not state and slots:
                state.update(self.start(param._array))
            g = grad._array
            if g.dtype != param._array.dtype:
                g = g.astype(param._array.dtype)
            if self._in_place:
                out = unshared(param)  # before anybody here holds the array
                param._array = update(self, param._array, g, state, lr, out=out)
            else:
                param._array = update(self, param._array, g, state, lr)
        self.steps += 1

    def _all_by_kernel(self, lr: float) -> Callable[..., Array]:
        """`update` for all parameters of a step: with which numbers the kernel is called is asked once."""
        numbers, names, kernel = self.numbers(lr), self.arrays, self._kernel.plain

        def update(self: Any, p: Array, g: Array, state: dict[str, Array], lr: float, *, out: Array | None) -> Array:
            new: Array = kernel(p, g, *map(state.get, names), *numbers, out=out)
            return new

        return update

    def begin(self) -> None:
        """What a step computes once for all parameters.

        >>> import tinygrad_conv as tg
        >>> class Slower(SGD):
        ...     def begin(self):
        ...         self.lr = 0.5 * self.lr
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = Slower([w], lr=0.2)
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> optimizer.lr
        0.1
        """

    def start(self, p: Array) -> dict[str, Array]:
        """The state of a parameter before its first step.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> Adam([w]).start(np.zeros(1))
        {'mean': array([0.]), 'square': array([0.])}
        """
        return {name: np.zeros_like(p) for name in self.slots}

    def numbers(self, lr: float) -> tuple[Any, ...]:
        """What the kernel takes after the arrays, at this step.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> SGD([w], lr=0.1, momentum=0.5).numbers(lr=0.1)
        (0.1, 0.5, False, 0.0)
        """
        raise NotDefinedError(f"{type(self).__name__}: define update(self, p, g, state, lr)")

    def update(self, p: Array, g: Array, state: dict[str, Array], lr: float, *, out: Array | None = None) -> Array:
        """The new values of a parameter `p` with gradient `g`: in `out` (which may be p), or in a new array.

        An update without a parameter `out` always makes a new array.
        """
        new: Array = self._kernel(p, g, *map(state.get, self.arrays), *self.numbers(lr), out=out)
        return new

    @clears(lambda self: self.params)
    def zero_grad(self) -> None:
        """Forget the accumulated gradients.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = SGD([w], lr=0.1)
        >>> w.sum().backward()
        >>> optimizer.zero_grad()
        >>> w.grad is None
        True
        """
        for param in self.params:
            node = param.node
            if node is not None:
                node.grad = None

    def _assumed(self, named: Set[str]) -> Set[str]:
        """The attributes on which what a compiled step does depends, if its code names these; an update reads anew."""
        rate = {"_lr", "steps"} if callable(self._lr) else {"_lr"}
        return named | (rate if named & {"lr", "learning_rate"} else set())

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, with which `load_state_dict` continues to the bit: plain numbers and arrays.

        A schedule is not part of it; the number of steps, on which it depends, is.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = Adam([w])
        >>> w.sum().backward()
        >>> optimizer.step()
        >>> sorted(optimizer.state_dict())
        ['0.mean', '0.square', 'lr', 'steps']
        """
        state: dict[str, Any] = {"steps": self.steps}
        if not callable(self._lr):
            state["lr"] = self._lr
        for k, slots in enumerate(self.state):
            state |= {f"{k}.{name}": np.array(array) for name, array in slots.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises ArgumentError for entries this optimiser has no place for, ShapeError for arrays that do not fit.

        >>> import tinygrad_conv as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = SGD([w], lr=0.1)
        >>> optimizer.load_state_dict({"steps": 7, "lr": 0.01})
        >>> optimizer.steps, optimizer.lr
        (7, 0.01)
        """
        what = f"{type(self).__name__}.load_state_dict"
        slots: list[dict[str, Array]] = [{} for _ in self.params]
        for key, value in state.items():
            if key in ("steps", "lr"):
                continue
            number, _, name = str(key).partition(".")
            if not number.isdecimal() or int(number) >= len(slots) or name not in self.slots:
                raise ArgumentError(
                    f"{what}: expected {', '.join(self.slots) or 'no arrays'} for {len(slots)} parameters, got {key!r}"
                )
            param = self.params[int(number)]
            if np.shape(value) != param.shape:
                raise ShapeError(f"{what}: expected {key!r} of shape {param.shape}, got {np.shape(value)}")
            slots[int(number)][name] = np.array(cast(f"{what}: {key}", value, param.dtype))
        if "steps" not in state:
            raise ArgumentError(f"{what}: expected an entry 'steps', got {list(state)}")
        lr = check(NonNegative, what, "lr", state["lr"]) if "lr" in state else self._lr
        self.steps, self.state, self._lr = check(Count, what, "steps", state["steps"]), slots, lr

    def __repr__(self) -> str:
        rate = repr(self._lr) if callable(self._lr) else f"{self._lr:g}"
        return f"{type(self).__name__}({len(self.params)} parameters, lr={rate})"


Optimizer.params = _Params("params", Optimizer.__init__)  # type: ignore[assignment]  # read as any other


class SGD(Optimizer):
    """Stochastic gradient descent: ``p -= lr * v`` with ``v = momentum * v + g`` (v starts as the first g).

    Parameters
    ----------
    params, lr : see `Optimizer`
    momentum : float in [0, 1)
    nesterov : bool
        Look ahead: ``p -= lr * (g + momentum * v)``. Source: Sutskever et al. (2013).
    weight_decay : float
        Adds ``weight_decay * p`` to g.

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer = SGD([w], lr=0.1, momentum=0.5)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     w.sum().backward()
    ...     optimizer.step()
    ...     print(round(w.item(), 3))
    0.9
    0.75
    0.575
    """

    _kernel, arrays = kernels.sgd, ("velocity",)

    def __init__(
        self, params: Parameters, lr: NonNegative | Schedule = 0.01, momentum: Fraction = 0.0, nesterov: bool = False,
        weight_decay: NonNegative = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov
        if nesterov and not momentum:
            raise ArgumentError("SGD: expected a momentum above 0 with nesterov=True: use momentum=0.9")

    @property
    def slots(self) -> Sequence[str]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def numbers(self, lr: float) -> tuple[Any, ...]:
        return lr, self.momentum, self.nesterov, self.weight_decay


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient.

    ``m = β1 m + (1 - β1) g``, ``v = β2 v + (1 - β2) g²``, ``p -= lr * m̂ / (√v̂ + epsilon)``, with
    ``m̂ = m / (1 - β1^t)`` and ``v̂ = v / (1 - β2^t)`` at step t = 1, 2, ...

    Parameters
    ----------
    params, lr : see `Optimizer`
    betas : (float, float) in [0, 1)
    epsilon : float
    weight_decay : float
        Adds ``weight_decay * p`` to g (see `AdamW` for the other kind).

    Source: Kingma & Ba, "Adam" (2015); the defaults are theirs.

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0, 1.0])
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * tg.Tensor([1.0, 1000.0])).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(4)
    array([0.9, 0.9])
    """

    slots = arrays = ("mean", "square")
    _kernel = kernels.adam
    decoupled = False

    def __init__(
        self, params: Parameters, lr: NonNegative | Schedule = 0.001, betas: tuple[Fraction, Fraction] = (0.9, 0.999),
        epsilon: NonNegative = 1e-8, weight_decay: NonNegative = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        self.betas, self.epsilon = betas, epsilon

    def begin(self) -> None:
        t = self.steps + 1
        self._corrections = 1 - self.betas[0] ** t, math.sqrt(1 - self.betas[1] ** t)

    def numbers(self, lr: float) -> tuple[Any, ...]:
        decay, shrink = (0.0, 1 - lr * self.weight_decay) if self.decoupled else (self.weight_decay, 1.0)
        return self.betas, self._corrections, lr, self.epsilon, decay, shrink


class AdamW(Adam):
    """`Adam` with decoupled weight decay: ``p *= 1 - lr * weight_decay`` before each step.

    Source: Loshchilov & Hutter, "Decoupled weight decay regularization" (2019).

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([10.0])
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (0 * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [9.5]
    """

    decoupled = True

    def __init__(
        self, params: Parameters, lr: NonNegative | Schedule = 0.001, betas: tuple[Fraction, Fraction] = (0.9, 0.999),
        epsilon: NonNegative = 1e-8, weight_decay: NonNegative = 0.01,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, epsilon, weight_decay)


class RMSprop(Optimizer):
    """Steps divided by a running root mean square: ``s = rho s + (1 - rho) g²``, ``p -= lr * g / (√s + epsilon)``.

    With `momentum`, ``v = momentum * v + g / (√s + epsilon)`` and ``p -= lr * v``. With `centered`, the running mean
    of g is taken off s: an estimate of the variance. Source: Hinton, lecture 6e of "Neural networks for machine
    learning" (2012); Graves (2013) for `centered`.

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0, 1.0])
    >>> optimizer = RMSprop([w], lr=0.01, rho=0.99)
    >>> (w * tg.Tensor([1.0, 1000.0])).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(4)
    array([0.9, 0.9])
    """

    _kernel, arrays = kernels.rmsprop, ("square", "mean", "velocity")

    def __init__(
        self, params: Parameters, lr: NonNegative | Schedule = 0.01, rho: Fraction = 0.99, epsilon: NonNegative = 1e-8,
        momentum: Fraction = 0.0, centered: bool = False, weight_decay: NonNegative = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    @property
    def slots(self) -> Sequence[str]:  # type: ignore[override]
        return "square", *(["mean"] if self.centered else []), *(["velocity"] if self.momentum else [])

    def numbers(self, lr: float) -> tuple[Any, ...]:
        return lr, self.rho, self.epsilon, self.momentum, self.weight_decay


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients: ``s += g²``, ``p -= lr * g / (√s + epsilon)``.

    `initial` is what s starts from. Source: Duchi et al., "Adaptive subgradient methods" (2011).

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0])
    >>> optimizer = Adagrad([w], lr=0.1)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     w.sum().backward()
    ...     optimizer.step()
    ...     print(round(w.item(), 4))
    0.9
    0.8293
    0.7716
    """

    slots = ("sum",)

    def __init__(
        self, params: Parameters, lr: NonNegative | Schedule = 0.01, epsilon: NonNegative = 1e-10,
        initial: NonNegative = 0.0, weight_decay: NonNegative = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, weight_decay)
        self.epsilon, self.initial = epsilon, initial

    def start(self, p: Array) -> dict[str, Array]:
        return {"sum": np.full_like(p, self.initial)}

    def update(self, p: Array, g: Array, state: dict[str, Array], lr: float, *, out: Array | None = None) -> Array:
        if self.weight_decay:
            g = g + self.weight_decay * p
        total = state["sum"]
        new: Array = g * g
        total += new
        np.sqrt(total, out=new)
        new += self.epsilon
        np.divide(g, new, out=new)
        new *= -lr
        return np.add(new, p, out=new if out is None else out)


# ------------------------------------------------------------------------------------------------------------------
# Limits on gradients


@checked
@effect
def clip_grad_norm(params: Iterable[Tensor], max_norm: Positive) -> Tensor:
    """Scale all gradients by one factor so that their norm together is at most `max_norm`; returns the norm before.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks" (2013).

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> clip_grad_norm([w], 1.0), w.grad.tolist()
    (Tensor(10.), [0.6000000000000001, 0.8])
    """
    nodes = [p.node for p in params if p.node is not None and p.node.grad is not None]
    flat = [node.grad._array.reshape(-1) for node in nodes if node.grad is not None]
    norm = math.sqrt(sum(float(quietly(np.dot, g, g)) for g in flat))
    factor = max_norm / norm if norm > max_norm else 1.0
    for node in nodes:  # new gradients in any case, so that a compiled step knows them whether they were clipped or not
        node.grad = Tensor(node.grad._array * factor)
    return Tensor(norm)


@checked
@effect
def clip_grad_value(params: Iterable[Tensor], max_value: Positive) -> None:
    """Limit each element of the gradients to [-max_value, max_value].

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([3.0, 0.1])
    >>> (w * w).sum().backward()
    >>> clip_grad_value([w], 1.0)
    >>> w.grad
    Tensor([1. , 0.2])
    """
    for p in params:
        if p.node is not None and p.node.grad is not None:
            p.node.grad = Tensor(np.clip(p.node.grad._array, -max_value, max_value))


# ------------------------------------------------------------------------------------------------------------------
# Schedules


@checked
@dataclass(frozen=True)
class StepDecay:
    """``lr * factor`` after every `every` steps: a staircase.

    >>> schedule = StepDecay(0.1, every=10, factor=0.5)
    >>> schedule(9), schedule(10), schedule(20)
    (0.1, 0.05, 0.025)
    """

    lr: NonNegative
    every: Size
    factor: NonNegative = 0.1

    def __call__(self, step: Count) -> float:
        return self.lr * float(self.factor ** (step // self.every))


@checked
@dataclass(frozen=True)
class ExponentialDecay:
    """``lr * factor ** (step / every)``: smooth; the same as `StepDecay` at multiples of `every`.

    >>> schedule = ExponentialDecay(0.1, every=10, factor=0.5)
    >>> schedule(0), round(schedule(5), 4), schedule(10)
    (0.1, 0.0707, 0.05)
    """

    lr: NonNegative
    every: Positive
    factor: NonNegative

    def __call__(self, step: Count) -> float:
        return self.lr * float(self.factor ** (step / self.every))


@checked
@dataclass(frozen=True)
class CosineDecay:
    """Half a cosine from `lr` at step 0 to `final` at `steps`, then flat.

    Source: Loshchilov & Hutter, "SGDR" (2017).

    >>> schedule = CosineDecay(1.0, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(200)
    (1.0, 0.5, 0.0, 0.0)
    """

    lr: NonNegative
    steps: Size
    final: NonNegative = 0.0

    def __call__(self, step: Count) -> float:
        done = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@checked
@dataclass(frozen=True)
class PiecewiseConstant:
    """``values[k]`` from step ``boundaries[k - 1]`` on, up to ``boundaries[k]``.

    >>> schedule = PiecewiseConstant((100, 200), (0.1, 0.01, 0.001))
    >>> schedule(99), schedule(100), schedule(1000)
    (0.1, 0.01, 0.001)
    """

    boundaries: tuple[Count, ...]
    values: tuple[NonNegative, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                f"PiecewiseConstant: expected one value more than boundaries, got {len(self.values)} values and "
                f"{len(self.boundaries)} boundaries"
            )

    def __call__(self, step: Count) -> float:
        return self.values[sum(step >= boundary for boundary in self.boundaries)]


@checked
@dataclass(frozen=True)
class WarmUp:
    """Rise in a straight line for `steps` steps to where another schedule (or a number) then starts.

    Step k < steps has ``(k + 1) / (steps + 1)`` of that rate. Source: Goyal et al., "Accurate, large minibatch
    SGD" (2017).

    >>> schedule = WarmUp(CosineDecay(1.0, steps=100), steps=3)
    >>> schedule(0), schedule(1), schedule(2), schedule(3)
    (0.25, 0.5, 0.75, 1.0)
    """

    then: NonNegative | Schedule
    steps: Count

    def __call__(self, step: Count) -> float:
        if step >= self.steps:
            return self.then(step - self.steps) if callable(self.then) else self.then
        target = self.then(0) if callable(self.then) else self.then
        return target * (step + 1) / (self.steps + 1)
