"""`synchronize`: batch norms that use the statistics of the whole batch, of which each rank has a part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import nn
from ..arguments import checked
from ..engine.bare import array_of
from ..engine.modes import constant
from ..engine.primitive import linear
from ..engine.tensor import Array
from ..errors import ShapeError
from ..ops.elementwise import sqrt
from ..ops.reductions import sum
from ..ops.shape import concat, copy
from .world import world

__all__ = ["is_synchronized", "joint_batch_norm", "sum_over_ranks", "synchronize"]


def _of_whole_batch(g: Any, examples: int) -> Any:
    return sum_over_ranks(g * examples, examples=1) / examples


@linear(
    lambda g, examples: _of_whole_batch(g, examples), flops=0,
    samples=lambda d: ((d.array(d.shape()),), {"examples": 1}),
)  # fmt: skip
def sum_over_ranks(x: Array, examples: int = 1) -> Array:
    """The sum of all ranks' arrays, on each of them. Alone it is the array itself.

    Derivative: the gradients of all ranks, each of the mean loss over its `examples`, make that of the whole batch.

    >>> import tinygrad_conv as tg
    >>> sum_over_ranks(tg.Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """
    ranks = world()
    total = np.array(x, order="C")
    if ranks.comm is not None:
        ranks.meet(f"adds up an array of shape {total.shape}")
        ranks.comm.Allreduce(ranks.in_place, total)
    return total


@checked
def joint_batch_norm(
    x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """`tg.batch_norm` with the mean and variance of the examples of all ranks.

    >>> import tinygrad_conv as tg
    >>> y, mean, var = joint_batch_norm(tg.Tensor([[1.0], [3.0]]), epsilon=0.0)
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[-1.0], [1.0]], [2.0], [1.0])
    """
    shape = np.shape(array_of(x))
    if len(shape) < 2 or not math.prod(shape[:-1]):
        raise ShapeError(f"batch_norm: expected x (N, ..., C) with an example on each rank, got shape {shape}")
    axes, examples = tuple(range(len(shape) - 1)), shape[0]
    own = constant(np.full(1, math.prod(shape[:-1]), array_of(x).dtype))
    sums = sum_over_ranks(concat([sum(x, axis=axes), own]), examples=examples)
    count, mean = sums[-1], sums[:-1] / sums[-1]
    centred = x - mean
    var = sum_over_ranks(sum(centred * centred, axis=axes), examples=examples) / count
    y = centred / sqrt(var + epsilon)
    if gamma is not None:
        y = y * gamma
    return y if beta is None else y + beta, copy(mean.detach()), copy(var.detach())


def is_synchronized(module: nn.Module) -> bool:
    """Is it a batch norm that `synchronize` was called for?"""
    return getattr(module, "normalize", None) is joint_batch_norm


@checked
def synchronize(model: nn.Module) -> nn.Module:
    """Let a model's batch norms use the statistics of the whole batch, as on one process. Returns the model.

    Each then exchanges two small arrays forward and two backward, so it is slower. Every batch needs an example for
    each rank.

    >>> import tinygrad_conv as tg
    >>> net = tg.distributed.synchronize(tg.nn.Sequential([tg.nn.Dense(3), tg.nn.BatchNorm()]))
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm):
            module.normalize = joint_batch_norm
    return model
