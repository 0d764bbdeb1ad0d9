"""Optimisers, compiled for programs: one pass over all arrays, in place, to the bit what the plain forms give.

What they compute with beside arrays is worked out once for all parameters, see `NUMBERS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .jit import jit

__all__ = ["NUMBERS", "adam_elements", "rmsprop_elements", "sgd_elements"]


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


@jit
def sgd_elements(p, g, velocity, numbers, nesterov, decays):
    minus_lr, momentum, weight_decay, rate = numbers
    for k in range(len(p)):
        d = (g[k] + weight_decay * p[k] if decays else g[k]) * rate
        if velocity is not None:
            v = velocity[k] * momentum + d
            velocity[k] = v
            d = d + momentum * v if nesterov else v
        p[k] = d * minus_lr + p[k]


@jit
def adam_elements(p, g, mean, square, numbers, decays):
    beta1, rest1, beta2, rest2, correct2, epsilon, factor, weight_decay, shrink = numbers
    for k in range(len(p)):
        d = g[k] + weight_decay * p[k] if decays else g[k]
        m = mean[k] * beta1 + d * rest1
        v = square[k] * beta2 + d * d * rest2
        mean[k], square[k] = m, v
        p[k] = m / (np.sqrt(v) / correct2 + epsilon) * factor + p[k] * shrink


@jit
def rmsprop_elements(p, g, square, mean, velocity, numbers, decays):
    rho, rest, epsilon, momentum, minus_lr, weight_decay, inside, rate = numbers
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
        p[k] = step * minus_lr + p[k]
