"""`keras.layers.Layer`: what all layers and models of the front have in common.

In Keras training is a property of the call, not of the layer: ``layer(x, training=True)``. Layers called inside follow
the outer call; a bare call is inference.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np

from .. import nn
from ..arguments import FloatDType, checked
from ..engine.modes import MODE, mode
from ..engine.tensor import Array, Tensor, cast
from ..errors import DTypeError, MissingError, NotDefinedError, ShapeError
from ..nn.module import items
from . import initializers
from .absent import STOCK, missing
from .input import InputLayer
from .spelling import strict
from .variables import Variable, Weight

__all__ = ["Layer", "variable"]


class Layer(nn.Module):
    """Base of the layers. To make one, define ``call(self, x)`` and, for its weights, ``build(self, input_shape)``.

    `call` may take ``training=`` and ``mask=``; it gets True for the first in `fit`, and False else. A layer of one's
    own has no shape rule: its weights are made when it is first called.

    Parameters
    ----------
    name : str, optional
    dtype : dtype
        Of its weights, and of floating-point arrays that it is called with.
    trainable : bool
        False keeps its weights as they are.

    >>> import numpy as np
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=input_shape[-1:], initializer="ones")
    ...     def call(self, x):
    ...         return x * self.factor
    >>> layer = Scale()
    >>> layer(np.array([[1.0, 2.0]])).tolist(), layer.count_params()
    ([[1.0, 2.0]], 2)
    """

    _kinds = Weight, Variable
    _called_on = True
    _training = False
    _trainable = True
    _takes: frozenset[str] = frozenset()  # the arguments of a subclass' own `call`
    built = False
    dtype: np.dtype[Any] = np.dtype("float32")
    trainable = nn.Layer.trainable
    _ignored = nn.Layer._ignored

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass' own ``call`` be what the layer computes."""
        super().__init_subclass__(**options)
        if "call" in vars(cls):
            cls._takes = frozenset(inspect.signature(cls.call).parameters)
            if "forward" not in vars(cls):
                cls.forward = Layer.forward  # type: ignore[method-assign]

    @strict
    def __init__(self, *, name: str | None = None, dtype: FloatDType = "float32", trainable: bool = True) -> None:
        self.name, self.dtype, self._trainable = name, np.dtype(dtype), trainable

    def _assumed(self, named: Set[str]) -> Set[str]:
        return super()._assumed(named) | {"call", "built", "dtype", "_trainable"}

    @checked
    def __call__(self, x: Any, *args: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        """The output for a batch; in training mode if `training` or, where that says nothing, the call around it is."""
        if isinstance(x, InputLayer):
            raise DTypeError(
                f"{type(self).__name__}: expected data, got a keras.Input: Input begins a Sequential; to call layers "
                f"on tensors, derive from keras.Model and define call(self, x); or {STOCK}"
            )
        if mask is not None:
            if "mask" not in self._takes:
                raise missing(f"{type(self).__name__}: masks are not supported: multiply by the mask instead")
            kwargs["mask"] = mask
        if isinstance(x, (np.ndarray, np.generic)):
            x = self.as_input(Tensor(x))
        said = MODE.get().training
        if training is None:
            training = self._training if said is None else said
        if training is said:
            return super().__call__(x, *args, **kwargs)
        with mode(training=training):
            return super().__call__(x, *args, **kwargs)

    def forward(self, x: Array, *args: Any, **kwargs: Any) -> Any:
        """`call`, after `build` at the first time."""
        if not self.built:
            if isinstance(x, Tensor):
                self.build(x.shape)
            self.built = True
        if "training" in self._takes:
            kwargs.setdefault("training", self.training)
        return self.call(x, *args, **kwargs)

    def call(self, x: Array, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes; to be defined by subclasses."""
        for kind in type(self).__mro__:
            forward = vars(kind).get("forward")
            if forward not in (None, Layer.forward, nn.Module.forward):
                return forward(self, x, *args, **kwargs)
        raise NotDefinedError(f"{type(self).__name__}: define call(self, x)")

    def as_input(self, x: Tensor) -> Tensor:
        """Data as the layer takes them: floating-point numbers in its dtype.

        >>> import tinygrad_conv as tg
        >>> tg.keras.layers.Dense(1).as_input(tg.ones(2)).dtype
        dtype('float32')
        """
        return x if x.dtype.kind != "f" or x.dtype == self.dtype else x.astype(self.dtype)

    # -- weights ---------------------------------------------------------------------------------------------------

    def build(self, input_shape: Sequence[int | None]) -> Any:
        """Make the weights for inputs of this shape; to be defined by subclasses that need it."""

    @strict
    def add_weight(
        self, *, shape: initializers.WeightShape = (), initializer: Any = "glorot_uniform",
        dtype: FloatDType | None = None, trainable: bool = True, name: str | None = None,
    ) -> Any:  # fmt: skip
        """A new weight, to be kept as an attribute: a tensor with `assign`, `assign_add` and `assign_sub`.

        >>> import tinygrad_conv as tg
        >>> tg.keras.layers.Layer().add_weight(shape=(2,), initializer="ones")
        Tensor([1., 1.], dtype=float32, requires_grad=True)
        """
        dtype = self.dtype if dtype is None else dtype
        values = initializers.first_values(f"{type(self).__name__}.add_weight", initializer, shape, dtype)
        return Weight(values, dtype, name, self._trainable) if trainable else Variable(values, dtype, name)

    def _tensors(self) -> Iterator[Tensor]:
        """Parameters and buffers, layer by layer."""
        seen: set[int] = set()
        for module in self.modules():
            for _, item in items(module):
                if isinstance(item, (nn.Parameter, nn.Buffer)) and id(item) not in seen:
                    seen.add(id(item))
                    yield item

    def _make(self, what: str) -> None:
        """Make the weights, if the input's shape is known."""

    @property
    def weights(self) -> list[Tensor]:
        """All weights, layer by layer, those that learn and those that do not."""
        return list(self._tensors())

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The weights that `fit` moves."""
        return [tensor for tensor in self._tensors() if tensor.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """The weights that `fit` does not move: frozen ones, running statistics."""
        return [tensor for tensor in self._tensors() if not tensor.requires_grad]

    variables, trainable_variables, non_trainable_variables = weights, trainable_weights, non_trainable_weights

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all weights, layer by layer: kernel, bias; gamma, beta, running mean, running variance.

        >>> import tinygrad_conv as tg
        >>> layer = tg.keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> [array.shape for array in layer.get_weights()]
        [(3, 2), (2,)]
        """
        self._make("get_weights")
        return [tensor._array.copy() for tensor in self._tensors()]

    @strict
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take over what `get_weights` gave. Raises ShapeError when number or shapes differ.

        >>> import numpy as np
        >>> import tinygrad_conv as tg
        >>> layer = tg.keras.layers.Dense(1)
        >>> layer.build((None, 2))
        >>> layer.set_weights([np.ones((2, 1)), np.zeros(1)])
        >>> layer([[1.0, 2.0]])
        Tensor([[3.]], from=add)
        """
        self._make("set_weights")
        own = list(self._tensors())
        shapes, got = [tensor.shape for tensor in own], [np.shape(weight) for weight in weights]
        if shapes != got:
            wrong = [f"{k}: {a} and {b}" for k, (a, b) in enumerate(zip(shapes, got, strict=False)) if a != b][:4]
            others = f" ({'; '.join(wrong)})" if wrong else ""
            raise ShapeError(f"set_weights: expected {len(own)} arrays of the model's shapes, got {len(got)}{others}")
        arrays = [
            np.array(cast("set_weights", weight, tensor.dtype)) for tensor, weight in zip(own, weights, strict=True)
        ]
        for tensor, array in zip(own, arrays, strict=True):
            tensor._array = array

    def count_params(self) -> int:
        """How many weights there are, learned or not.

        >>> import tinygrad_conv as tg
        >>> layer = tg.keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> layer.count_params()
        8
        """
        self._make("count_params")
        return sum(tensor.size for tensor in self._tensors())


def variable(attribute: str) -> Any:
    """A weight by Keras' name for it: ``kernel = variable("weight")``. There is none before the layer is built."""

    def get(layer: Any) -> Tensor:
        if not layer.built:
            raise MissingError(
                f"{type(layer).__name__}: its weights are made for its first input: call it or build(input_shape) "
                "before asking for them"
            )
        value: Tensor = getattr(layer, attribute)
        return value

    return property(get, doc=f"`{attribute}`, by Keras' name.")
