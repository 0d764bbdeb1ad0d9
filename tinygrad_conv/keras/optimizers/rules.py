"""Keras' update rules, where they differ from those of `optim`, which are PyTorch's.

Epsilon stands on √v before the correction for the start (Adam), or under the root (RMSprop, Adagrad). A velocity holds
steps, each made with the learning rate of its time, where `optim` multiplies the whole by the rate of today.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import optim
from ...kernels import registry as kernels
from ...optim import Array

__all__ = ["SGD", "Adagrad", "Adam", "RMSprop"]


class SGD(optim.SGD):
    """``v = momentum * v - lr * g``, ``p += v``; with Nesterov ``p += momentum * v - lr * g``."""

    _kernel = kernels.sgd

    def numbers(self, lr: float) -> tuple[Any, ...]:
        return 1.0, self.momentum, self.nesterov, self.weight_decay, float(lr)


class Adam(optim.Adam):
    """``p -= lr * √(1 - β2^t) / (1 - β1^t) * m / (√v + epsilon)``."""

    _kernel = kernels.adam

    def begin(self) -> None:
        super().begin()
        mean, square = self._corrections
        self._corrections = mean / square, 1.0


class RMSprop(optim.RMSprop):
    """``v = momentum * v + lr * g / √(s + epsilon)``, ``p -= v``."""

    _kernel = kernels.rmsprop

    def numbers(self, lr: float) -> tuple[Any, ...]:
        return 1.0, self.rho, 0.0, self.momentum, self.weight_decay, self.epsilon, float(lr)


class Adagrad(optim.Adagrad):
    """``s += g²``, ``p -= lr * g / √(s + epsilon)``."""

    def update(self, p: Array, g: Array, state: dict[str, Array], lr: float, *, out: Array | None = None) -> Array:
        total = state["sum"]
        new: Array = np.asarray(g * g)
        total += new
        np.add(total, self.epsilon, out=new)
        np.sqrt(new, out=new)
        np.divide(g, new, out=new)
        new *= -lr
        return np.add(new, p, out=new if out is None else out)
