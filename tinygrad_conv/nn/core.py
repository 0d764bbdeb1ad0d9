"""The layers that are not about images: `Dense`, `Activation`, `Flatten`, `Reshape`, `Dropout`, `Embedding`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeAlias

from ..arguments import FloatDType, NewShape, Size, check, numbers, unchecked
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels.spatial import DataFormat
from ..ops import linalg, normalization
from ..ops import shape as shapes
from . import activations, init
from .fixes import Add, Edit, Feed, Set, Shape
from .layer import Layer, Weight
from .module import Parameter

__all__ = ["Activation", "Dense", "Dropout", "Embedding", "Flatten", "Reshape"]

_matmul = unchecked(linalg.matmul)  # of what `ready` has looked at


class Dense(Layer):
    """Each output a linear combination of all inputs: ``activation(x @ weight + bias)`` along the last axis.

    Parameters
    ----------
    units : int
        The size of the output's last axis.
    in_features : int, optional
        The size of the input's last axis; taken from the first input when None.
    activation : str or callable, optional
    use_bias : bool
    weight_init, bias_init : str or callable
        See `nn.init`.
    name, dtype, seed : see `Layer`

    Shapes: x (N, ..., in_features), weight (in_features, units), bias (units,), y (N, ..., units).

    Raises ShapeError when the input's last axis is not `in_features`.

    >>> import numpy as np
    >>> layer = Dense(10, in_features=784)
    >>> layer(np.zeros((2, 784), "float32")).shape, layer.count_parameters()
    ((2, 10), 7850)
    """

    weight: Parameter | None = None
    bias: Parameter | None = None

    def __init__(
        self, units: Size, in_features: Size | None = None, activation: activations.Activation = None,
        use_bias: bool = True, weight_init: init.Init = "glorot_uniform", bias_init: init.Init = "zeros",
        name: str | None = None, dtype: FloatDType = "float32", seed: init.Seed = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype, seed)
        self.units, self.in_features = units, in_features
        self.activation, self.use_bias = activation, use_bias
        self.weight_init, self.bias_init = weight_init, bias_init
        if in_features is not None:
            self.build((None, in_features))

    def wants(self, shape: Shape) -> int | None:
        return self.in_features if len(shape) == 2 else None

    def infer(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise ShapeError("expected x (N, ..., features)")
        if self.in_features not in (None, shape[-1]):
            raise ShapeError(f"got {shape[-1]} features, its weight has {self.in_features}")
        return (*shape[:-1], self.units)

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        weights = {"weight": Weight((shape[-1], self.units), self.weight_init)}
        return weights | ({"bias": Weight((self.units,), self.bias_init)} if self.use_bias else {})

    def settle(self, shape: Shape) -> None:
        self.in_features = shape[-1]

    def cost(self, shape: Shape, y: Shape) -> int:
        return math.prod(y) * (2 * int(shape[-1]) + self.use_bias)

    def formula(self, shape: Shape) -> str:
        return f"{shape[-1]}*{self.units}" + (f" + {self.units}" if self.use_bias else "")

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        if len(shape) == 1:
            yield Feed("x[None]", (1, *shape))
            return
        n = math.prod(shape[1:])
        if len(shape) > 2:
            yield Add("Flatten()", Flatten(), None if n == self.in_features else Set("in_features", n))
        yield Set("in_features", shape[-1])

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        lead = x.shape[:-1]
        if len(lead) > 1:
            x = shapes.reshape(x, (math.prod(lead), x.shape[-1]))  # one product of matrices instead of many
        y = _matmul(x, self.weight)
        if self.bias is not None:
            y = y + self.bias
        y = self.activated(y)
        return shapes.reshape(y, (*lead, self.units)) if len(lead) > 1 else y


class Activation(Layer):
    """A function of each element (or of each row: softmax), by name or as a callable.

    >>> Activation("relu")([-1.0, 2.0])
    Tensor([0., 2.])
    """

    def __init__(self, activation: activations.Activation, name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activation

    def forward(self, x: Array) -> Tensor:
        return self.activated(self.ready(x))


class Flatten(Layer):
    """All axes after the batch as one: (N, H, W, C) to (N, H*W*C), the channel moving fastest.

    With ``data_format="channels_first"`` channels are moved to the end first, so that the order is the same.

    >>> Flatten().output_shape((None, 28, 28, 1))
    (None, 784)
    """

    flattens = True

    def __init__(self, data_format: DataFormat = None, name: str | None = None) -> None:
        super().__init__(name)
        self.data_format = data_format

    def infer(self, shape: Shape) -> Shape:
        return (shape[0], math.prod(shape[1:]))

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        if self.data_format == "channels_first" and x.ndim > 2:
            x = shapes.moveaxis(x, 1, -1)
        return shapes.flatten(x, 1)


class Reshape(Layer):
    """The elements of each example in another shape, of which one size may be -1.

    Raises ShapeError when the number of elements differs.

    >>> Reshape((28, 28, 1)).output_shape((None, 784))
    (None, 28, 28, 1)
    """

    def __init__(self, target_shape: NewShape, name: str | None = None) -> None:
        super().__init__(name)
        self.target_shape = check(NewShape, "Reshape", "target_shape", list(target_shape))
        if self.target_shape.count(-1) > 1:
            raise ArgumentError(f"Reshape: expected sizes with at most one -1, got {self.target_shape}")

    def wants(self, shape: Shape) -> int | None:
        return math.prod(self.target_shape) if len(shape) == 2 and -1 not in self.target_shape else None

    def infer(self, shape: Shape) -> Shape:
        n, known = math.prod(shape[1:]), math.prod(k for k in self.target_shape if k != -1)
        if -1 in self.target_shape:
            if not known or n % known:
                raise ShapeError(f"got {n} elements, which {known} (of target_shape {self.target_shape}) do not divide")
            return (shape[0], *(n // known if k == -1 else k for k in self.target_shape))
        if n != known:
            raise ShapeError(f"got {n} elements, target_shape {self.target_shape} has {known}")
        return (shape[0], *self.target_shape)

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        n = math.prod(shape[1:])
        for axis in reversed(range(len(self.target_shape))):
            rest = math.prod(k for a, k in enumerate(self.target_shape) if a != axis and k != -1)
            if rest and n % rest == 0:
                yield Set("target_shape", (*self.target_shape[:axis], n // rest, *self.target_shape[axis + 1 :]))
        yield Set("target_shape", shape[1:])

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        return shapes.reshape(x, self.infer(x.shape))


def _as_share(value: Any) -> float:
    return value / 100 if 1 < value < 100 else 0.5  # per cent were meant, perhaps


Rate: TypeAlias = Annotated[float, numbers("a number in [0, 1)", 0, 1, near=_as_share)]


class Dropout(Layer):
    """In training, each element is 0 with probability `rate`, the others divided by 1 - rate. Else x itself.

    Parameters
    ----------
    rate : float in [0, 1)
    seed : int or numpy.random.Generator, optional
        Where its masks come from; the package's generator when None.
    noise_shape : tuple, optional
        The mask's shape, with 1 for axes along which elements are dropped together: ``(None, 1, 1, None)`` drops
        whole channels of an image. None stands for the input's size.

    Source: Srivastava et al., "Dropout" (2014).

    >>> sorted(set(Dropout(0.5, seed=0)([1.0] * 100).tolist()))
    [0.0, 2.0]
    >>> Dropout(0.5).eval()([1.0, 1.0])
    Tensor([1., 1.])
    """

    def __init__(
        self, rate: Rate, seed: init.Seed = None, name: str | None = None,
        noise_shape: Sequence[Size | None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, seed=seed)
        self.rate, self.noise_shape = rate, noise_shape

    def forward(self, x: Array) -> Tensor:
        y = self.ready(x)
        if not self.training or not self.rate:
            return y
        if self.seed is not None and not hasattr(self.seed, "random"):
            self.seed = init.generator(self.seed)  # runs on from call to call
        return normalization.dropout(y, self.rate, init.generator(self.seed), self.noise_shape)


class Embedding(Layer):
    """A learned vector for each of `input_dim` integers: (N, ...) integers to (N, ..., output_dim).

    Raises ArgumentError for an integer out of range, DTypeError for what is no integer.

    >>> import numpy as np
    >>> Embedding(100, 8)(np.array([[1, 2, 99]])).shape
    (1, 3, 8)
    """

    weight: Parameter

    def __init__(
        self, input_dim: Size, output_dim: Size, weight_init: init.Init = "uniform", name: str | None = None,
        dtype: FloatDType = "float32", seed: init.Seed = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype, seed)
        self.input_dim, self.output_dim, self.weight_init = input_dim, output_dim, weight_init

    def infer(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        return {"weight": Weight((self.input_dim, self.output_dim), self.weight_init)}

    def formula(self, shape: Shape) -> str:
        return f"{self.input_dim}*{self.output_dim}"

    def forward(self, x: Array) -> Tensor:
        x = self.ready(x)
        if x.dtype.kind not in "iu":
            raise DTypeError(f"Embedding: expected integers, got dtype {x.dtype}: use x = x.astype('int64')")
        return normalization.embedding(x, self.weight)
