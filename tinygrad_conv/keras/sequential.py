"""`keras.Sequential`: layers one after another."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import nn
from ..arguments import Size, Sizes, as_array, checked
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, GraphError, MissingError, ShapeError
from ..nn.fixes import Chain, Set, Shape, brief, listed, walk
from . import activations
from .input import InputLayer
from .model import Model
from .spelling import strict

__all__ = ["Sequential"]

_BEGIN = "begin the model with Input(shape=(28, 28, 1)), for example, or call it once"


class Sequential(nn.Sequential, Model):
    """Layers one after another, as in Keras: the lecture's code runs as it stands.

    The shape of the input comes from an `Input`, or from ``input_shape=`` or ``input_dim=`` of the first layer, or else
    from the first data. Shapes are checked as layers are added; weights are made when they are first needed.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.keras import Activation, Dense, Sequential
    >>> model = Sequential()
    >>> model.add(Dense(10, input_dim=784))
    >>> model.add(Activation("relu"))
    >>> model.add(Dense(10))
    >>> model.add(Activation("softmax"))
    >>> model.count_params()
    7960
    """

    _ignored = Model._ignored | {"_counts"}

    @strict
    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, trainable: bool = True) -> None:
        self.batch_input_shape: Shape | None = None  # as it was declared
        self._first_shape: Shape | None = None  # or as that of the first data was
        self._input_dtype: np.dtype[Any] | None = None
        self._counts: dict[str, int] = {}
        super().__init__(name=name)
        self.trainable = trainable
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        """Put a layer at the end. Raises ShapeError at once if it does not fit, when the input's shape is known."""
        if isinstance(layer, InputLayer):
            if self.layers:
                raise ArgumentError("Sequential.add: expected Input as the first of the model, got it after a layer")
            self.batch_input_shape, self._input_dtype = layer.batch_input_shape, layer.dtype
            return
        if isinstance(layer, nn.Module) and layer.name is None:
            base = _snake(type(layer).__name__)
            number = self._counts[base] = self._counts.get(base, -1) + 1
            layer.name = f"{base}_{number}" if number else base
        super().add(layer)
        if len(self.layers) == 1 and self.batch_input_shape is None:
            self.batch_input_shape = getattr(self.layers[0], "batch_input_shape", None)
        if self.batch_input_shape is not None and len(self.chain("")) >= len(self.layers):
            try:
                self.compute_output_shape(self.batch_input_shape)
            except Exception:
                super().pop()
                raise

    @strict
    def get_layer(self, name: str | None = None, index: int | None = None) -> nn.Module:
        """The layer of this name or at this place. Raises ArgumentError when there is none.

        >>> from tinygrad_conv.keras.layers import Dense
        >>> model = Sequential([Dense(2, name="first"), Dense(1)])
        >>> model.get_layer("first").units, model.get_layer(index=1).units
        (2, 1)
        """
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ArgumentError(f"get_layer: expected an index below {len(self.layers)}, got {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ArgumentError(f"get_layer: expected one of {', '.join(str(x.name) for x in self.layers)}, got {name!r}")

    @property
    def input_shape(self) -> Shape | None:
        """The input's shape, as far as it is known."""
        return self.batch_input_shape or self._first_shape

    @property
    def output_shape(self) -> Shape:  # type: ignore[override]
        """The output's shape, the batch axis None. Raises MissingError while the input's shape is not known."""
        if self.input_shape is None:
            raise MissingError(f"{self.name or 'Sequential'}: its output has no shape yet: {_BEGIN}")
        return self.compute_output_shape((None, *self.input_shape[1:]))

    @strict
    def summary(self, line_length: Size | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print a table: shapes, parameters and how they come about, FLOPs and memory. Allocates nothing.

        Lines are cut to `line_length`; `print_fn` gets the text in place of `print`.
        """
        text = nn.summary(self, self._known_input("summary"))
        (print_fn or print)("\n".join(line[:line_length] for line in text.splitlines()))

    # -- shapes and weights ------------------------------------------------------------------------------------------

    def _known_input(self, what: str) -> Shape:
        if self.input_shape is None:
            raise GraphError(f"{what}: the input's shape is not known yet: {_BEGIN}")
        return self.input_shape

    def _make(self, what: str) -> None:
        self.build(self._known_input(what))

    @strict
    def build(self, input_shape: Sizes | None = None) -> None:
        """Make the weights of all layers."""
        shape = self._known_input("build") if input_shape is None else tuple(input_shape)
        self._first_shape = self._first_shape or (None, *shape[1:])
        super().build(shape)

    def count_params(self) -> int:
        """How many weights there are, learned or not. Allocates nothing."""
        return sum(row.parameters + row.fixed for row in nn.rows(self, self._known_input("count_params")))

    @checked
    def ready(self, x: Array) -> Tensor:
        if not isinstance(x, Tensor):
            x = self.as_input(as_array(x, self.name or type(self).__name__))
        if x.shape != self._seen and self.batch_input_shape is not None:
            self._check_input(x.shape, self.batch_input_shape)
        return super().ready(x)

    def _check_input(self, shape: Shape, expected: Shape) -> None:
        def fits(other: Shape) -> bool:
            return len(other) == len(expected) and all(n in (None, m) for n, m in zip(expected, other, strict=True))

        if fits(shape):
            return
        whole = ", ".join(map(str, (-1, *expected[1:])))
        orders = [(0, 2, 3, 1), (0, 3, 1, 2)] if len(shape) == 4 else []
        changes = [
            *((f"x.transpose{order}", tuple(shape[axis] for axis in order)) for order in orders),
            ("x[..., None]", (*shape, 1)),
            ("x[None]", (1, *shape)),
        ]
        if shape[1:] and math.prod(shape[1:]) == math.prod(expected[1:]):
            changes.append((f"x.reshape({whole})", (*shape[:1], *expected[1:])))
        fixes = listed([("write", f"x = {change}") for change, becomes in changes if fits(becomes)])
        raise ShapeError(
            f"{self.name or 'Sequential'}: expected inputs {brief(expected)}, got {brief(shape)}"
            + (f": {fixes}" if fixes else "")
        )

    # -- what `Trainer` asks -----------------------------------------------------------------------------------------

    def _taken(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        if self._input_dtype is not None and self._input_dtype.kind in "iu":
            return self._input_dtype
        return super()._taken(dtype)

    def output_for(self, x: np.ndarray[Any, Any]) -> Shape:
        if self.batch_input_shape is not None:
            self._check_input(x.shape, (None, *self.batch_input_shape[1:]))
        if all(isinstance(layer, nn.Layer) for layer in self.layers):
            return self.compute_output_shape((None, *x.shape[1:]))
        return super().output_for(x)

    def make_for(self, x: np.ndarray[Any, Any]) -> None:
        self.build((None, *x.shape[1:]))
        if not all(isinstance(layer, nn.Layer) for layer in self.layers):
            super().make_for(x)

    def ending(self, activation: str | None) -> nn.Layer | None:
        last = self.layers[-1] if self.layers else None
        if activation is None or not isinstance(last, nn.Layer) or last.activation is None:
            return None
        known = activations.get(last.activation) is activations.get(activation)  # by its name, or as a function
        return last if known else None

    def mend_output(self, x: Shape, wanted: int) -> str:
        if not all(isinstance(layer, nn.Layer) for layer in self.layers):
            return ""
        chain: Chain = [(path, _as_declared(layer)) for path, layer in self.chain("")]
        fixes: list[tuple[str, str]] = []

        def works(changed: Chain) -> bool:
            shapes, misfit = walk(changed, x)
            return misfit is None and shapes[-1][1:] == (wanted,)

        for k, (path, layer) in enumerate(chain):
            if isinstance(layer, nn.Dense) and works([*chain[:k], ("", nn.Flatten()), *chain[k:]]):
                fixes.append(("add", f"Flatten() before {path!r}"))
                break
        for k, (_, layer) in reversed(list(enumerate(chain))):
            name = next((name for name in ("units", "filters") if hasattr(layer, name)), None)
            if name is not None:
                edit = Set(name, wanted, k)
                if works(edit.apply(chain, k, x)[0]):
                    fixes.append((edit.verb, edit.text(chain, k)))
                break
        return listed(fixes)


def _as_declared(layer: nn.Layer) -> nn.Layer:
    """A copy that may still take any number of inputs, as before its weights were made."""
    layer = copy.copy(layer)
    for name in ("in_features", "in_channels", "features", "image_shape"):
        if hasattr(layer, name):
            setattr(layer, name, None)
    return layer


def _snake(name: str) -> str:
    """Conv2DTranspose as conv2d_transpose, MaxPooling2D as max_pooling2d."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\dD)(?=[A-Z])", "_", name).lower()
