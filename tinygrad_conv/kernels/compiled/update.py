"""Optimisers, compiled: one pass over all arrays, to the bit what the plain forms give."""

from __future__ import annotations

import numpy as np

from ..scratch import Array, result
from .arrays import array
from .jit import jit

__all__ = ["adam", "rmsprop", "sgd"]


def sgd(
    p: Array, g: Array, velocity: Array | None, lr: float, momentum: float, nesterov: bool, weight_decay: float, *,
    out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.sgd`, compiled."""
    new, number = result(out, p.shape, p.dtype), p.dtype.type
    numbers = number(-lr), number(momentum), number(weight_decay)
    _sgd(_flat(p), _flat(g), _flat(velocity), numbers, nesterov, weight_decay != 0, _flat(new))
    return new


def adam(
    p: Array, g: Array, mean: Array, square: Array, betas: tuple[float, float], corrections: tuple[float, float],
    lr: float, epsilon: float, weight_decay: float, shrink: float, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.adam`, compiled."""
    new, number = result(out, p.shape, p.dtype), p.dtype.type
    (beta1, beta2), (correct1, correct2) = betas, corrections
    numbers = (
        number(beta1), number(1 - beta1), number(beta2), number(1 - beta2), number(correct2), number(epsilon),
        number(-lr / correct1), number(weight_decay), number(shrink),
    )  # fmt: skip
    _adam(_flat(p), _flat(g), _flat(mean), _flat(square), numbers, weight_decay != 0, _flat(new))
    return new


def rmsprop(
    p: Array, g: Array, square: Array, mean: Array | None, velocity: Array | None, lr: float, rho: float,
    epsilon: float, momentum: float, weight_decay: float, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """`kernels.update.rmsprop`, compiled."""
    new, number = result(out, p.shape, p.dtype), p.dtype.type
    numbers = number(rho), number(1 - rho), number(epsilon), number(momentum), number(-lr), number(weight_decay)
    _rmsprop(
        _flat(p), _flat(g), _flat(square), _flat(mean), _flat(velocity), numbers, weight_decay != 0, _flat(new)
    )  # fmt: skip
    return new


def _flat(x: Array | None) -> Array | None:
    return None if x is None else array(x).reshape(-1)


@jit
def _sgd(p, g, velocity, numbers, nesterov, decays, new):
    minus_lr, momentum, weight_decay = numbers
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        if velocity is not None:
            v = velocity[k] * momentum + d
            velocity[k] = v
            d = d + momentum * v if nesterov else v
        new[k] = d * minus_lr + p[k]


@jit
def _adam(p, g, mean, square, numbers, decays, new):
    beta1, rest1, beta2, rest2, correct2, epsilon, factor, weight_decay, shrink = numbers
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        m = mean[k] * beta1 + d * rest1
        v = square[k] * beta2 + d * d * rest2
        mean[k], square[k] = m, v
        new[k] = m / (np.sqrt(v) / correct2 + epsilon) * factor + p[k] * shrink


@jit
def _rmsprop(p, g, square, mean, velocity, numbers, decays, new):
    rho, rest, epsilon, momentum, minus_lr, weight_decay = numbers
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        s = square[k] * rho + d * d * rest
        square[k] = s
        if mean is not None:
            m = mean[k] * rho + rest * d
            mean[k] = m
            s = s - m * m
            s = s if s > 0 or s != s else p.dtype.type(0)
        step = d / (np.sqrt(s) + epsilon)
        if velocity is not None:
            step = velocity[k] * momentum + step
            velocity[k] = step
        new[k] = step * minus_lr + p[k]
