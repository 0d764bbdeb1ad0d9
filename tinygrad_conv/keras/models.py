"""`keras.models`: `Model`, which trains any module, and `Sequential`, layers one after another."""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .. import nn
from ..errors import ArgumentError, DataError, DTypeError, GraphError, ShapeError
from ..files import write_arrays
from ..modes import no_grad
from ..nn.fixes import Chain, Set, Shape, brief, listed, walk
from ..nn.module import items, unpacked
from ..tensor import Array, Tensor, cast, wrap
from . import losses, metrics, optimizers
from .callbacks import Callback, History
from .layers import InputLayer
from .spelling import refuse_unknown, strict
from .training import Trainer

__all__ = ["Model", "Sequential"]


class Model(nn.Module):
    """A module that can be compiled, fitted, evaluated and asked: define ``forward(self, x)`` (or ``call``).

    Unlike other modules it is in inference mode (dropout off) unless called with ``training=True``; `fit` trains.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> class Line(tg.keras.Model):
    ...     def __init__(self):
    ...         self.dense = tg.keras.layers.Dense(1, kernel_initializer="zeros")
    ...     def call(self, x):
    ...         return self.dense(x)
    >>> model = Line()
    >>> model.compile(optimizer=tg.keras.optimizers.SGD(0.5), loss="mse")
    >>> x = np.array([[-1.0], [1.0]])
    >>> history = model.fit(x, 2 * x, epochs=20, verbose=0)
    >>> model.predict(x).round(2).tolist()
    [[-2.0], [2.0]]
    """

    training = False
    stop_training = False
    run_eagerly = False
    history: History | None = None
    optimizer: optimizers.Optimizer
    loss: losses.Loss | None = None
    _metrics: Sequence[Any] = ()

    def forward(self, x: Array) -> Tensor:
        """What the model computes; to be defined by subclasses, under this name or as ``call``."""
        call: Callable[[Array], Tensor] | None = getattr(self, "call", None)
        if call is None:
            raise NotImplementedError(f"{type(self).__name__}: define call(self, x)")
        return call(x)

    def __setattr__(self, name: str, value: Any) -> None:
        """Modules take over this model's mode when they become part of it."""
        super().__setattr__(name, value)
        if not name.startswith("_"):
            for _, item in unpacked(name, value):
                if isinstance(item, nn.Module):
                    item.train(self.training)

    def __call__(self, x: Array, training: bool | None = None) -> Any:
        """The output for a batch, in training or inference mode if `training` says so."""
        mode = self.training
        if training is None or training == mode:
            return super().__call__(x)
        self.train(training)
        try:
            return super().__call__(x)
        finally:
            self.train(mode)

    # -- training --------------------------------------------------------------------------------------------------

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Iterable[Any] | None = None, **ignored: Any
    ) -> None:
        """Say how to train.

        Parameters
        ----------
        optimizer : str or `keras.optimizers` object
        loss : str, `keras.losses` object, or function of (y_true, y_pred) tensors
        metrics : list of str, `keras.metrics` objects, or functions of (y_true, y_pred)
        run_eagerly : bool
            Run each training step as it is written, instead of through `tg.compile`.

        Raises
        ------
        ArgumentError, DTypeError
            An unknown name or argument, with the nearest known one.
        """
        refuse_unknown("compile", ignored, ["optimizer", "loss", "metrics", "run_eagerly", "jit_compile"])
        if loss is None:
            raise ArgumentError("compile: expected a loss, got none: use loss='categorical_crossentropy', for example")
        if isinstance(metrics, str):
            raise DTypeError(f"compile: expected a list of metrics, got {metrics!r}: use metrics=[{metrics!r}]")
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get(loss)
        self._metrics, self.run_eagerly = list(metrics or ()), bool(ignored.get("run_eagerly"))
        self.resolved_metrics(None)

    def compiled(self, what: str) -> losses.Loss:
        """The loss. Raises GraphError when the model is not compiled."""
        if self.loss is None:
            raise GraphError(
                f"{what}: the model is not compiled: call "
                "model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy']) first"
            )
        return self.loss

    def resolved_metrics(self, units: int | None) -> list[metrics.Metric]:
        """The metrics, for an output of so many units."""
        loss = self.compiled("metrics")
        return [metrics.get(metric, loss, units) for metric in self._metrics]

    @strict
    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1, verbose: Any = "auto",
        callbacks: Iterable[Callback] | None = None, validation_split: float = 0.0, validation_data: Any = None,
        shuffle: bool = True, class_weight: dict[int, float] | None = None, sample_weight: Any = None,
        initial_epoch: int = 0, validation_batch_size: int | None = None, validation_freq: int = 1,
    ) -> History:  # fmt: skip
        """Train.

        Parameters
        ----------
        x, y : arrays of equal length
            Inputs (integers become float32, unscaled) and labels as the loss wants them.
        batch_size : int
            32 by default.
        epochs, initial_epoch : int
            Train from epoch `initial_epoch` up to epoch `epochs`.
        verbose : "auto", 0, 1 or 2
            Nothing, a progress bar, or a line per epoch; "auto" is 1 on a terminal, else 0.
        callbacks : list of `keras.callbacks`
        validation_split : float in [0, 1)
            Set the last part of the data aside (before shuffling) and evaluate on it after each epoch.
        validation_data : (x, y) or (x, y, sample_weight)
            Evaluate on these instead.
        shuffle : bool
            A new order each epoch, drawn from the package's generator (`keras.utils.set_random_seed`).
        class_weight : dict of class -> weight, optional
            What each class counts in learning; validation does not weigh by it.
        sample_weight : array (N,), optional
            What each example's loss counts.
        validation_batch_size, validation_freq : int
            Evaluate in batches of this size, every so many epochs.

        Returns
        -------
        History
            ``.history`` has the loss and the metrics of each epoch. Ctrl-C ends training cleanly: the model keeps what
            it has learned and ``.interrupted`` is True.

        Raises
        ------
        GraphError
            The model is not compiled.
        ShapeError, ArgumentError, DTypeError
            Data that do not fit the model, the loss or each other; found before any work.
        AnomalyError
            A loss that is not finite.
        """
        return Trainer(self, "fit").fit(
            x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle, class_weight,
            sample_weight, initial_epoch, validation_batch_size, validation_freq,
        )  # fmt: skip

    @strict
    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: Any = "auto",
        sample_weight: Any = None, return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """The loss, or [loss, metric, ...], on data; a dictionary of them with ``return_dict=True``."""
        return _results(Trainer(self, "evaluate").evaluate(x, y, batch_size, verbose, sample_weight), return_dict)

    @strict
    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> np.ndarray[Any, Any]:
        """The outputs for all of x, in batches (256 by default), as one array."""
        outputs: np.ndarray[Any, Any] = Trainer(self, "predict").predict(x, batch_size, verbose)
        return outputs

    @strict
    def train_on_batch(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on one batch; the loss, or [loss, metric, ...], before the step."""
        trainer = Trainer(self, "train_on_batch")
        return _results(trainer.train_on_batch(x, y, sample_weight, class_weight), return_dict)

    @strict
    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """`evaluate` on one batch."""
        return self.evaluate(x, y, max(1, len(x)), 0, sample_weight, return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray[Any, Any]:
        """`predict` on one batch."""
        return self.predict(x, max(1, len(x)), 0)

    # -- what `Trainer` asks -----------------------------------------------------------------------------------------

    def ends_in(self, activation: str | None) -> bool:
        """Is this activation the last thing the model does, so that `without_activation` makes sense?"""
        return False

    def without_activation(self) -> nn.Module:
        """This model without its last activation: other modules around the same weights."""
        return self

    def output_for(self, x: np.ndarray[Any, Any]) -> Shape:
        """The output's shape for this data. Raises ShapeError when they do not fit the model."""
        with no_grad():
            y: Tensor = self(self.as_input(x[:1]), training=False)
        return (None, *y.shape[1:])

    def make_for(self, x: np.ndarray[Any, Any]) -> None:
        """Make the weights for this data, if they are not there."""
        self.output_for(x)

    def as_input(self, x: Array) -> Tensor:
        """A batch of data as a tensor in the model's dtype."""
        x = x if x.dtype == np.float32 else x.astype(np.float32)
        return x if isinstance(x, Tensor) else wrap(x, None)

    def mend_output(self, x: Shape, wanted: int) -> str:
        """How the model might be changed so that its output is (N, wanted), or empty."""
        return ""

    # -- weights ---------------------------------------------------------------------------------------------------

    def _tensors(self) -> Iterator[Tensor]:
        """Parameters and buffers, module by module."""
        seen: set[int] = set()
        for module in self.modules():
            for _, item in items(module):
                if isinstance(item, (nn.Parameter, nn.Buffer)) and id(item) not in seen:
                    seen.add(id(item))
                    yield item

    def _make(self, what: str) -> None:
        """Make the weights, if the input's shape is known."""

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all weights, layer by layer: kernel, bias; gamma, beta, running mean, running variance."""
        self._make("get_weights")
        return [tensor._data.copy() for tensor in self._tensors()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take over what `get_weights` gave. Raises ShapeError when number or shapes differ."""
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
            tensor._data = array

    @strict
    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Write all weights to a NumPy ``.npz`` file of any name; an older file stays until this one is whole.

        Raises DataError when that is not possible.
        """
        self._make("save_weights")
        write_arrays(filepath, self.state_dict(), "save_weights")

    @strict
    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take over weights that `save_weights` wrote.

        Raises DataError when there is no such file or it is another kind, ArgumentError or ShapeError when it was
        written by another model.
        """
        self._make("load_weights")
        try:
            with open(filepath, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile) as error:
            raise DataError(
                f"load_weights: expected a file that save_weights wrote, got {filepath!s}: {error}"
            ) from None
        self.load_state_dict(state)

    def count_params(self) -> int:
        """How many weights there are, learned or not."""
        self._make("count_params")
        return sum(tensor.size for tensor in self._tensors())


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    return next(iter(logs.values())) if len(logs) == 1 else list(logs.values())


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

    @strict
    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, trainable: bool = True) -> None:
        self.batch_input_shape: Shape | None = None
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
            self.batch_input_shape = layer.batch_input_shape
            return
        if isinstance(layer, nn.Module) and layer.name is None:
            base = _snake(type(layer).__name__)
            number = self._counts[base] = self._counts.get(base, -1) + 1
            layer.name = f"{base}_{number}" if number else base
        super().add(layer)
        self.layers[-1].train(self.training)
        if len(self.layers) == 1 and self.batch_input_shape is None:
            self.batch_input_shape = getattr(self.layers[0], "batch_input_shape", None)
        if self.batch_input_shape is not None and len(self.chain("")) >= len(self.layers):
            try:
                self.output_shape(self.batch_input_shape)
            except Exception:
                super().pop()
                raise

    def get_layer(self, name: str | None = None, index: int | None = None) -> nn.Module:
        """The layer of this name or at this place. Raises ArgumentError when there is none."""
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
        return self.batch_input_shape

    @strict
    def summary(self, line_length: int | None = None, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table: shapes, parameters and how they come about, FLOPs and memory. Allocates nothing."""
        print_fn(nn.summary(self, self._known_input("summary")))

    # -- shapes and weights ------------------------------------------------------------------------------------------

    def _known_input(self, what: str) -> Shape:
        if self.batch_input_shape is None:
            raise GraphError(
                f"{what}: the input's shape is not known yet: begin the model with Input(shape=(28, 28, 1)), for "
                "example, or call it once"
            )
        return self.batch_input_shape

    def _make(self, what: str) -> None:
        self.build(self._known_input(what))

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Make the weights of all layers."""
        shape = self._known_input("build") if input_shape is None else tuple(input_shape)
        if self.batch_input_shape is None:
            self.batch_input_shape = (None, *shape[1:])
        super().build(shape)

    def count_params(self) -> int:
        """How many weights there are, learned or not. Allocates nothing."""
        return sum(row.parameters + row.fixed for row in nn.rows(self, self._known_input("count_params")))

    def ready(self, x: Array) -> Tensor:
        if not isinstance(x, Tensor):
            x = self.as_input(np.asarray(x))
        if x.shape != self._seen and self.batch_input_shape is not None:
            self._check_input(x.shape)
        return super().ready(x)

    def _check_input(self, shape: Shape) -> None:
        expected = self.batch_input_shape or shape

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

    def as_input(self, x: Array) -> Tensor:
        if self.layers and isinstance(self.layers[0], nn.Embedding) and x.dtype.kind in "iu":
            return x if isinstance(x, Tensor) else wrap(x, None)
        return super().as_input(x)

    def output_for(self, x: np.ndarray[Any, Any]) -> Shape:
        if self.batch_input_shape is not None:
            self._check_input(x.shape)
        if all(isinstance(layer, nn.Layer) for layer in self.layers):
            return self.output_shape((None, *x.shape[1:]))
        return super().output_for(x)

    def make_for(self, x: np.ndarray[Any, Any]) -> None:
        self.build((None, *x.shape[1:]))
        if not all(isinstance(layer, nn.Layer) for layer in self.layers):
            super().make_for(x)

    def ends_in(self, activation: str | None) -> bool:
        last = self.layers[-1] if self.layers else None
        return activation is not None and isinstance(last, nn.Layer) and last.activation == activation

    def without_activation(self) -> nn.Module:
        bare, last = copy.copy(self), self.layers[-1]
        bare.layers = self.layers[:-1]
        if not isinstance(last, nn.Activation):
            linear: Any = copy.copy(last)
            linear.activation = None
            bare.layers = [*bare.layers, linear]
        return bare

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
