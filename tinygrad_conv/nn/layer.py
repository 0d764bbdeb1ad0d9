"""`Layer`: a module of one input that knows its shapes, weights and cost before there is any array.

A subclass states four things as functions of the input's shape, and `forward`:

============  =====================================================================
`infer`       the output's shape; raises `ShapeError` with what does not fit
`weights_for` the parameters and buffers it needs
`cost`        floating-point operations
`fixes`       changes that might mend a misfit (they are tried before being printed)
============  =====================================================================

Arrays appear when the layer is first called, or at once when it was told its input size (``in_features=784``).
Every constructor argument is an attribute of the same name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import FloatDType, Sizes, afford, check, explained, held, stands
from ..engine.modes import MODE, mode
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from . import activations, init
from .fixes import Edit, Shape, explain
from .init import Fans
from .module import Module

__all__ = ["Layer", "Weight"]


@dataclass(frozen=True)
class Weight:
    """What a parameter or buffer will be: its shape, initialiser, the fans it scales with, and is it learned?

    >>> Weight((784, 10), "glorot_uniform").size
    7840
    """

    shape: tuple[int, ...]
    init: str | init.Initializer
    fans: Fans = None
    learned: bool = True

    @property
    def size(self) -> int:
        """How many numbers it will hold."""
        return math.prod(self.shape)


class Layer(Module):
    """Base of the layers: one input, one output, shapes known in advance.

    Parameters
    ----------
    name : str, optional
        What error messages, state dictionaries and summaries call it inside a `Sequential`.
    dtype : dtype
        Of its parameters.
    seed : int or numpy.random.Generator, optional
        For its first weights (and dropout's masks); without one the package's generator is used (`nn.seed`).

    >>> class Scale(Layer):
    ...     def weights_for(self, shape):
    ...         return {"factor": Weight((shape[-1],), "ones")}
    ...     def forward(self, x):
    ...         return self.ready(x) * self.factor
    >>> layer = Scale()
    >>> layer.count_parameters((None, 3)), layer([[1.0, 2.0, 3.0]]).shape
    (3, (1, 3))
    """

    built: bool = False
    _trainable: bool = True
    tunable: Mapping[str, tuple[Any, ...]] = {}  # arguments, and values for them, that suggestions may try
    spelling: Mapping[str, str] = {}  # what a subclass calls an argument
    activation: Any = None
    dtype: np.dtype[Any] = np.dtype("float32")
    seed: init.Seed = None
    _made_for: Shape = ()  # the input shape that the weights were made for
    _seen: Shape | None = None  # the input shape that was checked last
    _ignored = Module._ignored | {"_seen", "_made_for", "name", "weight_init", "bias_init", "beta_init", "gamma_init"}

    def _assumed(self, named: Set[str]) -> Set[str]:
        return super()._assumed(named) | (vars(self).keys() - self._ignored)

    def __init__(self, name: str | None = None, dtype: FloatDType = "float32", seed: init.Seed = None) -> None:
        self.name, self.dtype, self.seed = name, np.dtype(dtype), seed

    # -- what a subclass states ------------------------------------------------------------------------------------

    def infer(self, shape: Shape) -> Shape:
        """The output's shape. Raises ShapeError with what does not fit, in the words that follow the layer's name.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).infer((None, 784))
        (None, 10)
        """
        return shape

    def weights_for(self, shape: Shape) -> dict[str, Weight]:
        """The parameters and buffers, by attribute, for inputs of this shape.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).weights_for((None, 784))["weight"].shape
        (784, 10)
        """
        return {}

    def cost(self, shape: Shape, y: Shape) -> int:
        """Floating-point operations for inputs of this shape, the activation aside; a multiply-add counts as two.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).cost((1, 784), (1, 10))
        15690
        """
        return 0

    def fixes(self, shape: Shape) -> Iterator[Edit]:
        """Changes that might make this shape fit, the likeliest first.

        >>> import tinygrad_conv as tg
        >>> len(list(tg.nn.Dense(10, in_features=784).fixes((None, 780)))) > 0
        True
        """
        return iter(())

    def wants(self, shape: Shape) -> int | None:
        """How many channels (or features) an earlier layer would have to give, where that may be what is wrong.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10, in_features=784).wants((None, 780))
        784
        """
        return None

    def formula(self, shape: Shape) -> str:
        """How the number of parameters comes about, such as ``784*10 + 10``; empty where that is plain.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).formula((None, 784))
        '784*10 + 10'
        """
        return ""

    def note(self, shape: Shape) -> str:
        """A remark for the summary.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).note((None, 784))
        ''
        """
        return ""

    # -- what follows ----------------------------------------------------------------------------------------------

    @held
    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """`forward`; with ``training=True`` or ``False`` in that mode, and so is everything inside."""
        if training is not None:
            with mode(training=check(bool, type(self).__name__, "training", training, True)):
                return Layer.__call__(self, *args, **kwargs)
        # As Module does it, and not by its call: each operation looks at all frames between it and the user's.
        token = None if self._called_on else self._enter()
        try:
            return super().__call__(*args, **kwargs) if token is None else self.forward(*args, **kwargs)
        except Exception as error:
            if stands(error):
                raise
            given = {f"input {k}": x for k, x in enumerate(args)} | kwargs
            raise explained(type(self).__name__, error, given) from error
        finally:
            if token is not None:
                MODE.reset(token)

    def output_shape(self, input_shape: Sizes) -> Shape:
        """The output's shape for an input's shape, both with the batch axis (which may be None).

        Raises ShapeError, with changes that make it fit.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Conv2D(8, 3, padding="same").output_shape((None, 28, 28, 1))
        (None, 28, 28, 8)
        """
        return self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Sizes) -> Shape:
        """`output_shape` by Keras' name for it, which it keeps where `output_shape` is an attribute.

        >>> import tinygrad_conv as tg
        >>> tg.nn.MaxPool2D().compute_output_shape((None, 28, 28, 8))
        (None, 14, 14, 8)
        """
        try:
            return self.infer(input_shape)
        except (ShapeError, ArgumentError) as error:
            raise explain(self.chain(MODE.get().path), input_shape) or error from None

    def chain(self, path: str) -> list[tuple[str, Layer]]:
        """This layer as a chain of one, called `path`; a `Sequential` gives the layers inside.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Sequential(tg.nn.Dense(2), tg.nn.Sequential(tg.nn.Dense(1))).chain("net")
        [('net.0', Dense(2)), ('net.1.0', Dense(1))]
        """
        return [(path or self.name or "", self)]

    def count_parameters(self, input_shape: Sizes | None = None) -> int:
        """How many numbers the parameters hold, for an input shape, or (None) as built. Allocates nothing."""
        if input_shape is None:
            return super().count_parameters()
        self.compute_output_shape(input_shape)
        return sum(weight.size for weight in self.weights_for(input_shape).values() if weight.learned)

    def flops(self, input_shape: Sizes) -> int:
        """Floating-point operations of one call (per example when the batch size is None).

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(10).flops((None, 784))
        15690
        """
        shape = tuple(1 if n is None else n for n in input_shape)
        y = self.compute_output_shape(shape)
        return self.cost(shape, y) + activations.cost(self.activation) * math.prod(y)

    def build(self, input_shape: Sizes) -> None:
        """Make the weights for inputs of this shape, unless they are there.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.Dense(10)
        >>> layer.build((None, 784))
        >>> layer.weight.shape
        (784, 10)
        """
        if self.built:
            return
        self.compute_output_shape(input_shape)
        for name, weight, array in self._first_values(input_shape):
            setattr(self, name, self._kinds[not weight.learned](array, dtype=self.dtype, name=name))
        self.settle(input_shape)
        self.built, self._made_for = True, input_shape
        if not self._trainable:
            self.trainable = False

    def reset(self, seed: init.Seed = None) -> None:
        """Draw the first weights anew, from a seed if one is given. Nothing happens before they were made.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.Dense(1, in_features=2, seed=0)
        >>> before = layer.weight.tolist()
        >>> layer.reset(seed=1)
        >>> layer.weight.tolist() == before
        False
        """
        self.seed = self.seed if seed is None else seed
        if self.built:
            for name, _, array in self._first_values(self._made_for):
                getattr(self, name)._array = np.array(array, self.dtype)

    def _first_values(self, shape: Shape) -> Iterator[tuple[str, Weight, Any]]:
        rng = init.generator(self.seed)
        for name, weight in self.weights_for(shape).items():
            afford(f"{type(self).__name__}: {name}", weight.shape, self.dtype.itemsize)
            array = init.get(weight.init)(weight.shape, rng, self.dtype, weight.fans)
            if np.shape(array) != weight.shape:
                raise ShapeError(
                    f"{type(self).__name__}: expected first values of {name} with shape {weight.shape}, "
                    f"got {np.shape(array)}"
                )
            yield name, weight, array

    def settle(self, shape: Shape) -> None:
        """Note the input size that the weights were made for.

        >>> import tinygrad_conv as tg
        >>> layer = tg.nn.Dense(10)
        >>> layer.settle((None, 784))
        >>> layer.in_features
        784
        """

    @property
    def trainable(self) -> bool:
        """May it learn? Setting it says so for all layers inside: their parameters require gradients, or not."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if hasattr(module, "_trainable"):
                module._trainable = value
        for parameter in self.parameters():
            parameter.requires_grad = value

    def ready(self, x: Array) -> Tensor:
        """The input as a tensor, after its shape was checked and the weights made."""
        tensor = x if issubclass(type(x), Tensor) else Tensor(x)
        shape = tensor._array.shape
        if shape != self._seen:
            if self.built:
                self.compute_output_shape(shape)
            else:
                self.build(shape)
            self._seen = shape
        return tensor

    def activated(self, y: Array) -> Tensor:
        """The layer's activation of y.

        >>> import tinygrad_conv as tg
        >>> tg.nn.Dense(2, activation="relu").activated(tg.Tensor([-1.0, 1.0]))
        Tensor([0., 1.])
        """
        bare = MODE.get().bare
        if self.activation is not None and (bare is None or bare() is not self):
            y = activations.get(self.activation)(y)
        return y

    def spelled(self, argument: str) -> str:
        """What this class calls a constructor argument.

        >>> import tinygrad_conv as tg
        >>> tg.keras.layers.Dense(2).spelled("use_bias")
        'use_bias'
        """
        return self.spelling.get(argument, argument)

    def _brief(self) -> str:
        return call_of(self)


def call_of(layer: Module) -> str:
    """The constructor call that makes a layer like this one, without arguments left at their defaults."""
    told = ", ".join(text if is_needed else f"{name}={text}" for name, _, text, is_needed in told_of(layer))
    return f"{type(layer).__name__}({told})"


def told_of(layer: Module, without: Container[str] = ()) -> Iterator[tuple[str, str, str, bool]]:
    """The arguments that make a layer like this one, but for those at their defaults, and some attributes.

    As (name, the attribute that holds it, text, has it no default?).
    """
    attributes = {spelled: name for name, spelled in getattr(layer, "spelling", {}).items()}
    for parameter in list(inspect.signature(type(layer).__init__).parameters.values())[1:]:
        default = parameter.default
        attribute = attributes.get(parameter.name, parameter.name)
        if attribute in without:
            continue
        value = getattr(layer, attribute, default)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if parameter.name == "name" or value is default or value == default or isinstance(value, np.random.Generator):
            continue
        text = repr(str(value)) if isinstance(value, np.dtype) else getattr(value, "__name__", None) or repr(value)
        yield parameter.name, attribute, text, default is parameter.empty
