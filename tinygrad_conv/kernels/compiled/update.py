"""Optimisers, compiled: one pass over all arrays, to the bit what the plain forms give.

What they compute with beside arrays is worked out once for all parameters, see `NUMBERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..scratch import Array, result
from .arrays import array
from .jit import jit

__all__ = ["NUMBERS", "adam", "adam_elements", "rmsprop", "rmsprop_elements", "sgd", "sgd_elements"]


def sgd(
    p: Array, g: Array, velocity: Array | None, lr: float, momentum: float, nesterov: bool, weight_decay: float,
    rate: float = 1.0, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.sgd`, compiled."""
    new = result(out, p.shape, p.dtype)
    numbers = _numbers("sgd", p, lr, momentum, nesterov, weight_decay, rate)[:4]
    sgd_elements(_flat(p), _flat(g), _flat(velocity), numbers, nesterov, weight_decay != 0, _apart(new, p))
    return new


def adam(
    p: Array, g: Array, mean: Array, square: Array, betas: tuple[float, float], corrections: tuple[float, float],
    lr: float, epsilon: float, weight_decay: float, shrink: float, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.adam`, compiled."""
    new = result(out, p.shape, p.dtype)
    numbers = _numbers("adam", p, betas, corrections, lr, epsilon, weight_decay, shrink)
    adam_elements(_flat(p), _flat(g), _flat(mean), _flat(square), numbers, weight_decay != 0, _apart(new, p))
    return new


def rmsprop(
    p: Array, g: Array, square: Array, mean: Array | None, velocity: Array | None, lr: float, rho: float,
    epsilon: float, momentum: float, weight_decay: float, inside: float = 0.0, rate: float = 1.0, *,
    out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.rmsprop`, compiled."""
    new = result(out, p.shape, p.dtype)
    numbers = _numbers("rmsprop", p, lr, rho, epsilon, momentum, weight_decay, inside, rate)
    rmsprop_elements(
        _flat(p), _flat(g), _flat(square), _flat(mean), _flat(velocity), numbers, weight_decay != 0, _apart(new, p)
    )  # fmt: skip
    return new


# For each kernel: the numbers that it computes with, from those that it is given.
NUMBERS: dict[str, Callable[..., tuple[float, ...]]] = {
    "sgd": lambda lr, momentum, nesterov, weight_decay, rate=1.0: (-lr, momentum, weight_decay, rate, nesterov),
    "adam": lambda betas, corrections, lr, epsilon, weight_decay, shrink: (
        betas[0], 1 - betas[0], betas[1], 1 - betas[1], corrections[1], epsilon, -lr / corrections[0], weight_decay,
        shrink,
    ),
    "rmsprop": lambda lr, rho, epsilon, momentum, weight_decay, inside=0.0, rate=1.0: (
        rho, 1 - rho, epsilon, momentum, -lr, weight_decay, inside, rate,
    ),
}  # fmt: skip


def _numbers(kernel: str, p: Array, *given: Any) -> tuple[Any, ...]:
    return tuple(map(p.dtype.type, NUMBERS[kernel](*given)))


def _flat(x: Array | None) -> Array | None:
    return None if x is None else array(x).reshape(-1)


def _apart(new: Array, p: Array) -> Array | None:
    """Where to write; None for p itself, so that the compiler knows it to be no other array, and uses vectors."""
    return None if new is p else new.reshape(-1)


@jit
def sgd_elements(p, g, velocity, numbers, nesterov, decays, new):
    minus_lr, momentum, weight_decay, rate = numbers
    to = p if new is None else new
    for k in range(len(p)):
        d = (g[k] + weight_decay * p[k] if decays else g[k]) * rate
        if velocity is not None:
            v = velocity[k] * momentum + d
            velocity[k] = v
            d = d + momentum * v if nesterov else v
        to[k] = d * minus_lr + p[k]


@jit
def adam_elements(p, g, mean, square, numbers, decays, new):
    beta1, rest1, beta2, rest2, correct2, epsilon, factor, weight_decay, shrink = numbers
    to = p if new is None else new
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        m = mean[k] * beta1 + d * rest1
        v = square[k] * beta2 + d * d * rest2
        mean[k], square[k] = m, v
        to[k] = m / (np.sqrt(v) / correct2 + epsilon) * factor + p[k] * shrink


@jit
def rmsprop_elements(p, g, square, mean, velocity, numbers, decays, new):
    rho, rest, epsilon, momentum, minus_lr, weight_decay, inside, rate = numbers
    to = p if new is None else new
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        s = square[k] * rho + d * d * rest
        square[k] = s
        if mean is not None:
            m = mean[k] * rho + rest * d
            mean[k] = m
            s = s - m * m
            s = s if s > 0 or s != s else p.dtype.type(0)
        step = d / (np.sqrt(s + inside) + epsilon) * rate
        if velocity is not None:
            step = velocity[k] * momentum + step
            velocity[k] = step
        to[k] = step * minus_lr + p[k]
