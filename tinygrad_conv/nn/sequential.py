"""`Sequential`: layers one after another, checked as a whole before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..arguments import Sizes
from ..engine.modes import MODE
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError
from . import init
from .core import Activation
from .fixes import Shape, explain, walk
from .layer import Layer
from .module import Module

__all__ = ["Sequential"]


class Sequential(Layer):
    r"""Each layer called on what the one before it returned.

    Parameters
    ----------
    *layers : modules, or functions such as ``tg.relu``; or one list of them
    name : str, optional
    seed : int or numpy.random.Generator, optional
        Draws the first weights (and dropout's masks) of every layer that has no seed of its own: the k-th layer gets
        the k-th stream of this seed, so that it does not matter when and in which order weights are made.

    Layers are called by their `name`, or else by their place: "0", "1", ... Indexing gives a layer, slicing another
    `Sequential` that shares its layers.

    Raises
    ------
    ShapeError
        Shapes do not fit, found before any layer runs; names changes (to the failing layer or an earlier one) with
        which the whole model fits.
    ArgumentError
        Two layers of one name.

    >>> import tinygrad_conv as tg
    >>> model = tg.nn.Sequential([
    ...     tg.nn.Conv2D(8, 3, activation="relu", name="conv1"), tg.nn.MaxPool2D(), tg.nn.Flatten(),
    ...     tg.nn.Dense(10, in_features=1568, name="head"),
    ... ], seed=0)
    >>> try:
    ...     model.output_shape((None, 28, 28, 1))
    ... except tg.errors.ShapeError as error:
    ...     print(str(error).replace(": use", ":\nuse"))
    Dense 'head': got 1352 = 13*13*8 features, its weight has 1568 = 14*14*8 (input (N, 1352)):
    use in_features=1352, or padding="same" in 'conv1'
    """

    def __init__(
        self, *layers: Module | Callable[..., Any] | Iterable[Any], name: str | None = None, seed: init.Seed = None
    ) -> None:
        super().__init__(name, seed=seed)
        self.layers: list[Module] = []
        one = layers[0] if len(layers) == 1 else None
        for layer in one if isinstance(one, Iterable) and not isinstance(one, Module) else layers:
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Put a layer (or a function) at the end.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential()
        >>> net.add(tg.nn.Dense(2))
        >>> net.add(tg.relu)
        >>> len(net)
        2
        """
        if not isinstance(layer, Module):
            if not callable(layer) or isinstance(layer, type):
                hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
                raise DTypeError(f"Sequential: expected layers, got {layer!r}{hint}")
            layer = Activation(layer)
        names = [name for name, _ in self.named_children()]
        if (layer.name or str(len(names))) in names:
            raise ArgumentError(f"Sequential: expected layers of different names, got {layer.name!r} twice")
        if self.seed is not None:
            self._seed_layer(layer, len(names))
        self.layers.append(layer)
        self._seen = self._paths = self._entered = None

    def _seed_layer(self, layer: Module, place: int) -> None:
        """Draw the weights of all in a layer that has no seed from the stream of this model's seed for its place."""
        stream = init.stream(self.seed, place)
        for inner in _leaves(layer):
            if inner.seed is None:
                inner.reset(np.random.default_rng(stream.spawn(1)[0]))

    def reset(self, seed: init.Seed = None) -> None:
        """Draw the first weights of all layers anew, from a seed if one is given."""
        self.seed = self.seed if seed is None else seed
        for place, layer in enumerate(self.layers):
            for inner in _leaves(layer):
                if seed is None:
                    inner.reset()
                else:
                    inner.seed = None
            if seed is not None:
                self._seed_layer(layer, place)

    def pop(self, index: int = -1) -> Module:
        """Take a layer (the last one) away and return it.

        >>> import tinygrad_conv as tg
        >>> net = tg.nn.Sequential(tg.nn.Dense(2), tg.nn.Dense(1))
        >>> net.pop(), len(net)
        (Dense(1), 1)
        """
        self._seen = self._paths = self._entered = None
        return self.layers.pop(index)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((layer.name or str(k), layer) for k, layer in enumerate(self.layers))

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return self.layers[index]
        part = Sequential()
        part.layers = self.layers[index]
        return part

    # -- shapes ----------------------------------------------------------------------------------------------------

    def chain(self, path: str) -> list[tuple[str, Layer]]:
        """(path, layer) of the layers inside, those of inner sequences too, up to the first without shape rules."""
        chain: list[tuple[str, Layer]] = []
        around = [(path, self.named_children())]
        while around:
            path, layers = around[-1]
            for name, layer in layers:
                inner = f"{path}.{name}" if path else name
                if isinstance(layer, Sequential):
                    around.append((inner, layer.named_children()))
                    break
                if not isinstance(layer, Layer):
                    return chain
                chain += layer.chain(inner)
            else:
                around.pop()
        return chain

    def _known_layers(self) -> list[Layer]:
        """The layers inside, all of which must have shape rules."""
        for name, layer in self.named_children():
            if not isinstance(layer, Layer):
                raise ArgumentError(
                    f"Sequential: shapes end at {name!r}: {type(layer).__name__} has no shape rule; derive it from "
                    "nn.Layer and define infer(shape), or call the model instead"
                )
        return self.layers  # type: ignore[return-value]

    def _steps(self, shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
        """(layer, shape before, shape after) of the layers inside, those of inner sequences too."""
        around = [iter(self._known_layers())]
        while around:
            for layer in around[-1]:
                if isinstance(layer, Sequential) and type(layer).infer is Sequential.infer:
                    around.append(iter(layer._known_layers()))
                    break
                after = layer.infer(shape)
                yield layer, shape, after
                shape = after
            else:
                around.pop()

    def infer(self, shape: Shape) -> Shape:
        for _, _, after in self._steps(shape):
            shape = after
        return shape

    def shapes(self, input_shape: Sizes) -> list[Shape]:
        """The shape of the input and after each layer.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Sequential(tg.nn.Conv2D(8, 3), tg.nn.MaxPool2D()).shapes((None, 28, 28, 1))
        [(None, 28, 28, 1), (None, 26, 26, 8), (None, 13, 13, 8)]
        """
        self.compute_output_shape(input_shape)
        shapes: list[Shape] = [tuple(input_shape)]
        for layer in self._known_layers():
            shapes.append(layer.infer(shapes[-1]))
        return shapes

    def count_parameters(self, input_shape: Sizes | None = None) -> int:
        if input_shape is None:
            return super().count_parameters()
        self.compute_output_shape(input_shape)
        return sum(layer.count_parameters(shape) for layer, shape, _ in self._steps(tuple(input_shape)))

    def flops(self, input_shape: Sizes) -> int:
        self.compute_output_shape(input_shape)
        return sum(layer.flops(shape) for layer, shape, _ in self._steps(tuple(input_shape)))

    def build(self, input_shape: Sizes) -> None:
        """Make the weights of all layers, as far as shapes are known."""
        chain, shape = self.chain(MODE.get().path), tuple(input_shape)
        shapes, error = walk(chain, shape)
        if error is not None:
            raise explain(chain, shape) or error
        for (_, layer), before in zip(chain, shapes, strict=False):
            layer.build(before)

    def ready(self, x: Array) -> Tensor:
        tensor = x if isinstance(x, Tensor) else Tensor(x)
        if tensor.shape != self._seen:
            self.build(tensor.shape)
            self._seen = tensor.shape
        return tensor

    @property
    def _is_plain(self) -> bool:
        """Is it called as any sequence is?"""
        kind = type(self)
        return kind.forward is Sequential.forward and kind.__call__ is Layer.__call__ and kind.ready is Sequential.ready

    def forward(self, x: Array) -> Tensor:
        checked = not issubclass(type(x), Tensor) or x.shape != self._seen  # now, and with it what is inside
        y = self.ready(x)
        around, tokens = [iter(self.layers)], []
        try:
            while around:
                for layer in around[-1]:
                    if isinstance(layer, Sequential) and layer._is_plain:  # its layers, without a call of a call
                        tokens.append(layer._enter())
                        if checked:
                            layer._seen = y.shape
                        y = layer.ready(y)
                        around.append(iter(layer.layers))
                        break
                    y = layer(y)
                    checked = checked and isinstance(layer, Layer)
                else:
                    around.pop()
                    if tokens:
                        MODE.reset(tokens.pop())
        finally:
            for token in reversed(tokens):
                MODE.reset(token)
        return y


def _leaves(layer: Module) -> Iterator[Layer]:
    """The layers in a module that are no sequences of others."""
    return (it for it in layer.modules() if isinstance(it, Layer) and not isinstance(it, Sequential))
