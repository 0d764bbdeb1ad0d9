"""What optimisers do to one parameter p with gradient g, on bare arrays of one shape and dtype.

Each returns the new values, in `out` or in a new array, and updates its running arrays in place. `out` may be p.
"""

from __future__ import annotations

import numpy as np

from .scratch import Array, number, result

__all__ = ["adam", "rmsprop", "sgd"]


def sgd(
    p: Array, g: Array, velocity: Array | None, lr: float, momentum: float, nesterov: bool, weight_decay: float,
    rate: float = 1.0, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """p - lr v, with v = momentum * v + g, or g where there is no velocity; with Nesterov p - lr (g + momentum v).

    g enters times `rate`: Keras has its learning rate there, and 1 as `lr`.
    """
    if weight_decay:
        g = g + weight_decay * p
    if rate != 1:
        g = g * rate
    if velocity is not None:
        velocity *= momentum
        velocity += g
        g = g + momentum * velocity if nesterov else velocity
    new: Array = np.subtract(p, g * number(lr, g.dtype), out=result(out, p.shape, p.dtype))
    return new


def adam(
    p: Array, g: Array, mean: Array, square: Array, betas: tuple[float, float], corrections: tuple[float, float],
    lr: float, epsilon: float, weight_decay: float, shrink: float, *, out: Array | None = None,
) -> Array:  # fmt: skip
    """shrink * p - lr m̂ / (√v̂ + epsilon), with the running mean and square of g + weight_decay * p.

    `corrections` are 1 - β1^t and √(1 - β2^t). `shrink` is 1 - lr * decay where weights decay apart from g.
    """
    (beta1, beta2), (correct1, correct2) = betas, corrections
    if weight_decay:
        g = g + weight_decay * p
    step = np.asarray(g * (1 - beta1))  # an array, of a number too
    mean *= beta1
    mean += step
    np.multiply(g, g, out=step)
    step *= 1 - beta2
    square *= beta2
    square += step
    np.sqrt(square, out=step)
    step /= correct2
    step += epsilon
    np.divide(mean, step, out=step)
    step *= -lr / correct1
    return np.add(step, p if shrink == 1 else p * shrink, out=result(out, p.shape, p.dtype))


def rmsprop(
    p: Array, g: Array, square: Array, mean: Array | None, velocity: Array | None, lr: float, rho: float,
    epsilon: float, momentum: float, weight_decay: float, inside: float = 0.0, rate: float = 1.0, *,
    out: Array | None = None,
) -> Array:  # fmt: skip
    """p - lr g / (√s + epsilon), with the running square s of g, less that of its running mean where there is one.

    Keras adds its epsilon `inside` of the root, and multiplies by its learning rate (`rate`) before the velocity.
    """
    if weight_decay:
        g = g + weight_decay * p
    step = np.asarray(g * g)
    step *= 1 - rho
    square *= rho
    square += step
    under = square
    if mean is not None:
        mean *= rho
        mean += (1 - rho) * g
        np.multiply(mean, mean, out=step)
        np.subtract(square, step, out=step)
        under = np.maximum(step, 0, out=step)
    if inside:
        under = np.add(under, inside, out=step)
    np.sqrt(under, out=step)
    step += epsilon
    np.divide(g, step, out=step)
    if rate != 1:
        step *= rate
    if velocity is not None:
        velocity *= momentum
        velocity += step
        np.copyto(step, velocity)
    step *= -lr
    new: Array = np.add(step, p, out=result(out, p.shape, p.dtype))
    return new
