"""Layers that bring values to mean 0 and variance 1: `BatchNorm`, `LayerNorm`, `GroupNorm`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from ..arguments import FloatDType, Fraction, Positive, Size, SomeAxes
from ..engine.modes import MODE, effect
from ..engine.tensor import Array, Tensor
from ..errors import ShapeError
from ..kernels.spatial import nearest_divisor
from ..ops import normalization as ops
from ..ops.shape import moveaxis
from . import init
from .fixes import Edit, Set, Shape
from .layer import Layer, Weight
from .module import Buffer, Parameter

__all__ = ["BatchNorm", "GroupNorm", "LayerNorm"]


class Norm(Layer):
    """What the norms share: gamma and beta, one each per feature."""

    gamma: Parameter | None = None
    beta: Parameter | None = None
    axis: Any = -1

    def __init__(
        self, epsilon: float, features: int | None, center: bool, scale: bool, name: str | None, dtype: Any
    ) -> None:
        super().__init__(name, dtype)
        self.epsilon, self.center, self.scale, self.features = epsilon, center, scale, features

    def wants(self, shape: Shape) -> int | None:
        return self.features

    def infer(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise ShapeError("expected x (N, ..., C)")
        features = self._size(shape)[-1]
        if self.features not in (None, features):
            raise ShapeError(f"got {features} features, it has {self.features}")
        return shape

    def _size(self, shape: Shape) -> tuple[int, ...]:
        return (shape[self.axis],)

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        size = self._size(shape)
        scale = {"gamma": Weight(size, init.ones)} if self.scale else {}
        return scale | ({"beta": Weight(size, init.zeros)} if self.center else {})

    def settle(self, shape: Shape) -> None:
        self.features = self._size(shape)[-1]

    def cost(self, shape: Shape, y: Shape) -> int:
        return math.prod(y) * (8 + self.scale + self.center)

    def formula(self, shape: Shape) -> str:
        return f"{self.scale + self.center}*{math.prod(self._size(shape))}"

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        if len(shape) > 1:
            yield Set("features", self._size(shape)[-1])


class BatchNorm(Norm):
    """Each channel to mean 0 and variance 1 over the batch, then times gamma plus beta.

    In training the batch's statistics are used, and running ones follow them:
    ``running = momentum * running + (1 - momentum) * batch`` (the variance divided by n, as in Keras). At inference
    (`eval`) the running ones are used.

    Parameters
    ----------
    momentum : float in [0, 1)
    epsilon : float above 0
        Added to the variance.
    axis : int
        The channels' axis.
    features : int, optional
        The number of channels; taken from the first input when None.
    center, scale : bool
        Have beta, have gamma.

    Shapes: x and y (N, ..., C); gamma, beta, running_mean and running_var (C,).

    Source: Ioffe & Szegedy, "Batch normalization" (2015).

    >>> layer = BatchNorm(features=2)
    >>> layer([[0.0, 1.0], [2.0, 5.0]]).shape, layer.running_mean
    ((2, 2), Tensor([0.01, 0.03], dtype=float32, name='running_mean'))
    """

    running_mean: Buffer
    running_var: Buffer
    normalize: Callable[..., Any] = staticmethod(ops.batch_norm)  # by the statistics of a batch

    def __init__(
        self, momentum: Fraction = 0.99, epsilon: Positive = 1e-3, axis: int = -1, features: Size | None = None,
        center: bool = True, scale: bool = True, name: str | None = None, dtype: FloatDType = "float32",
    ) -> None:  # fmt: skip
        super().__init__(epsilon, features, center, scale, name, dtype)
        self.momentum, self.axis = momentum, axis
        if features is not None:
            self.axis = -1
            self.build((None, features))
            self.axis = axis

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        size = self._size(shape)
        running = {
            "running_mean": Weight(size, init.zeros, learned=False),
            "running_var": Weight(size, init.ones, learned=False),
        }
        return super().weights_for(shape) | running

    def formula(self, shape: Shape) -> str:
        return f"{2 + self.scale + self.center}*{shape[self.axis]}"

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        inner = self.axis in (-1, x.ndim - 1)
        if not inner:
            x = moveaxis(x, self.axis, -1)
        if self.training and self.trainable:
            y, mean, var = self.normalize(x, self.gamma, self.beta, epsilon=self.epsilon)
            if not MODE.get().replaying:
                _follow(self.running_mean, mean, self.momentum)
                _follow(self.running_var, var, self.momentum)
        else:
            y = ops.batch_norm(x, self.gamma, self.beta, self.running_mean, self.running_var, epsilon=self.epsilon)
        return y if inner else moveaxis(y, -1, self.axis)


@effect
def _follow(running: Buffer, batch: Any, momentum: float) -> None:
    """Move a running statistic towards that of a batch."""
    moved = running._array * momentum
    moved += (1 - momentum) * batch
    running._array = moved


class LayerNorm(Norm):
    """Each example to mean 0 and variance 1 over its last axis (or last axes), then times gamma plus beta.

    Parameters
    ----------
    epsilon : float above 0
    axis : int or tuple
        The last axis, or several last ones such as ``(-2, -1)``.
    features : int, optional
        The size of the last axis; taken from the first input when None.
    center, scale : bool

    Source: Ba et al., "Layer normalization" (2016).

    >>> LayerNorm()([[1.0, 3.0]]).tolist()
    [[-0.9995003746877732, 0.9995003746877732]]
    """

    def __init__(
        self, epsilon: Positive = 1e-3, axis: SomeAxes = -1, features: Size | None = None, center: bool = True,
        scale: bool = True, name: str | None = None, dtype: FloatDType = "float32",
    ) -> None:  # fmt: skip
        super().__init__(epsilon, features, center, scale, name, dtype)
        self.axis = axis
        if features is not None and len(self._axes) == 1:
            self.build((None, features))

    @property
    def _axes(self) -> tuple[int, ...]:
        return (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)

    def infer(self, shape: Shape) -> Shape:
        places = sorted(axis % len(shape) for axis in self._axes)
        if places != list(range(len(shape) - len(places), len(shape))) or 0 in places:
            raise ShapeError(f"it normalises the last axes only, got axis={self.axis} of {len(shape)} axes")
        return super().infer(shape)

    def _size(self, shape: Shape) -> tuple[int, ...]:
        return tuple(shape[len(shape) - len(self._axes) :])

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        y = ops.standardize(x, tuple(range(x.ndim - len(self._axes), x.ndim)), self.epsilon)
        if self.gamma is not None:
            y = y * self.gamma
        return y if self.beta is None else y + self.beta


class GroupNorm(Norm):
    """Each example's groups of channels to mean 0 and variance 1, over space; then times gamma plus beta.

    One group per channel makes it instance norm. `axis` is the channels' axis.

    Raises ShapeError when `groups` does not divide the channels.

    Source: Wu & He, "Group normalization" (2018).

    >>> GroupNorm(4).output_shape((None, 8, 8, 16))
    (None, 8, 8, 16)
    """

    def __init__(
        self, groups: Size = 32, epsilon: Positive = 1e-3, features: Size | None = None, center: bool = True,
        scale: bool = True, name: str | None = None, dtype: FloatDType = "float32", axis: int = -1,
    ) -> None:  # fmt: skip
        super().__init__(epsilon, features, center, scale, name, dtype)
        self.groups = groups
        if features is not None:
            self.build((None, features))
        self.axis = axis

    def infer(self, shape: Shape) -> Shape:
        super().infer(shape)
        (channels,) = self._size(shape)
        if channels % self.groups:
            raise ShapeError(f"got {channels} channels, which groups={self.groups} does not divide")
        return shape

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        yield from super().fixes(shape)
        yield Set("groups", nearest_divisor(self.groups, *self._size(shape)))

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        inner = self.axis in (-1, x.ndim - 1)
        y = ops.group_norm(x if inner else moveaxis(x, self.axis, -1), self.gamma, self.beta, self.groups, self.epsilon)
        return y if inner else moveaxis(y, -1, self.axis)
