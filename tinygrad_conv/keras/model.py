"""`keras.Model`: a module that can be compiled, fitted, evaluated and asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, NoReturn, TypeAlias

import numpy as np

from .. import nn
from ..arguments import Count, Fraction, Path, Size, check, one_of
from ..engine.modes import no_grad
from ..engine.tensor import Array, Tensor, wrap
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..files import name_of
from ..nn.fixes import Shape
from ..saving.weights import WRITERS, load_into, save_as
from . import losses, metrics, optimizers
from .absent import STOCK, missing
from .callback import History
from .feeding import as_batch, feed_of, feeds_of
from .layer import Layer
from .spelling import refuse_unknown, strict
from .training import Trainer

__all__ = ["Model"]

Verbose: TypeAlias = Annotated[Any, one_of("auto", 0, 1, 2)]
Distributed: TypeAlias = Annotated[Any, one_of(False, True, "ordered")]

_LOOP = "write the loop: optimizer.zero_grad(); loss.backward(); optimizer.step(), with an optimizer of tg.optim"


class Model(Layer):
    """A layer that can be compiled, fitted, evaluated and asked: define ``call(self, x)`` (or ``forward``).

    Called by itself it is in inference mode (dropout off); ``model(x, training=True)`` and `fit` train.

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

    stop_training = stop_evaluating = stop_predicting = False
    run_eagerly = False
    history: History | None = None
    optimizer: optimizers.Optimizer
    loss: losses.Loss | None = None
    metrics: list[metrics.Metric] = []  # noqa: RUF012  (those of the last run, set anew by each)
    _metrics: tuple[list[Any], list[Any]] = ([], [])
    _ignored = Layer._ignored | {
        "stop_training", "stop_evaluating", "stop_predicting", "run_eagerly", "history", "loss", "metrics", "_metrics",
    }  # fmt: skip

    def __init__(self, *args: Any, **options: Any) -> None:
        if args or {"inputs", "outputs"} & set(options):
            raise missing(
                f"{type(self).__name__}: expected no inputs and outputs: there are no functional models here; derive "
                "from keras.Model, make the layers in __init__ and define call(self, x), or use Sequential"
            )
        refuse_unknown(type(self).__name__, options, ["name", "dtype", "trainable"])
        super().__init__(**options)

    # -- training --------------------------------------------------------------------------------------------------

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None, *,
        weighted_metrics: Any = None, run_eagerly: bool = False, jit_compile: Any = "auto",
        **unknown: Any,
    ) -> None:  # fmt: skip
        """Say how to train.

        Parameters
        ----------
        optimizer : str or `keras.optimizers` object
        loss : str, `keras.losses` object, or function of (y_true, y_pred) tensors
        metrics : list of str, `keras.metrics` objects, or functions of (y_true, y_pred)
        weighted_metrics : the same, for metrics that count each example by its weight
        run_eagerly : bool
            Run each training step as it is written, instead of through `tg.compile`.
        jit_compile : bool or "auto"
            Accepted for compatibility: steps are compiled unless `run_eagerly` says otherwise.

        Raises
        ------
        ArgumentError, DTypeError
            An unknown name or argument, with the nearest known one.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse", metrics=["mae"])
        >>> model.loss
        MeanSquaredError()
        """
        known = ["optimizer", "loss", "metrics", "weighted_metrics", "run_eagerly", "jit_compile"]
        run_eagerly = check(bool, "compile", "run_eagerly", run_eagerly, False)
        refuse_unknown("compile", unknown, known)
        if loss is None:
            raise ArgumentError("compile: expected a loss, got none: use loss='categorical_crossentropy', for example")
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get(loss)
        self._metrics = _listed("metrics", metrics), _listed("weighted_metrics", weighted_metrics)
        self.run_eagerly = run_eagerly

    @strict
    def fit(
        self, x: Any = None, y: Any = None, batch_size: Size | None = None, epochs: Size = 1, verbose: Verbose = "auto",
        callbacks: Any = None, validation_split: Fraction = 0.0, validation_data: Any = None, shuffle: bool = True,
        class_weight: dict[int, float] | None = None, sample_weight: Any = None, initial_epoch: Count = 0,
        steps_per_epoch: Size | None = None, validation_steps: Size | None = None,
        validation_batch_size: Size | None = None, validation_freq: Size = 1, distributed: Distributed = False,
    ) -> History:  # fmt: skip
        """Train.

        Parameters
        ----------
        x, y : arrays of equal length
            Inputs (integers become float32, unscaled) and labels as the loss wants them.

            Or, without y, x may give batches (x, y) or (x, y, sample_weight): an iterable such as `tg.data.batches`,
            which is gone through once per epoch; a list, or an object with ``__len__`` and ``__getitem__``; a
            generator, which is read on from epoch to epoch.
        batch_size : int
            Of arrays; 32 by default.
        epochs, initial_epoch : int
            Train from epoch `initial_epoch` up to epoch `epochs`.
        verbose : "auto", 0, 1 or 2
            Nothing, a progress bar, or a line per epoch; "auto" is 1 on a terminal, else 0.
        callbacks : a `keras.callbacks.Callback`, or a list of them
        validation_split : float in [0, 1)
            Set the last part of the arrays aside (before shuffling) and evaluate on it after each epoch.
        validation_data : (x, y), (x, y, sample_weight), or what gives batches
            Evaluate on these instead.
        shuffle : bool
            A new order of examples (of batches, where they are got by number) each epoch, drawn from the package's
            generator (`keras.utils.set_random_seed`). What is iterated over keeps its own order.
        class_weight : dict of class -> weight, optional
            What each class counts in learning, at least 0; validation does not weigh by it. With `sample_weight`, an
            example counts the product.
        sample_weight : array (N,) or (N, 1), optional
            What each example's loss counts.
        steps_per_epoch, validation_steps : int, optional
            An epoch takes so many batches, and the next one goes on where it stopped; an evaluation takes so many from
            the beginning of its data, or, of a generator, the next ones.
        validation_batch_size, validation_freq : int
            Evaluate in batches of this size (`batch_size` by default), every so many epochs.
        distributed : bool or "ordered"
            On several processes (``mpiexec -n 4 python script.py``) each computes a part of every batch; rank 0 alone
            prints, and writes what callbacks of this library write. With "ordered" weights are the same to the bit
            however many there are: see `tg.distributed.Optimizer`. All must be given the same data.

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
            Data that do not fit the model, the loss or each other; found before any work where they are arrays, and
            with each batch else.
        AnomalyError
            A loss that is not finite.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> x, y = [[1.0, 2.0], [3.0, 4.0]], [[0.0], [1.0]]
        >>> list(model.fit(x, y, epochs=2, verbose=0).history)
        ['loss', 'mae']
        """
        self._ready_for("fit")
        feed, held_out = feeds_of(
            "fit", x, y, sample_weight, batch_size, steps_per_epoch, shuffle, validation_split, validation_data,
            validation_batch_size, validation_steps, epochs - initial_epoch,
        )  # fmt: skip
        return Trainer(self, "fit").fit(
            feed, held_out, epochs, verbose, callbacks, class_weight, initial_epoch, validation_freq, distributed
        )

    @strict
    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: Size | None = None, verbose: Verbose = "auto",
        sample_weight: Any = None, steps: Size | None = None, callbacks: Any = None, return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """The loss, or [loss, metric, ...], on data; a dictionary of them with ``return_dict=True``.

        Data, batches and callbacks are as for `fit`; `steps` is the number of batches to evaluate on.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> x, y = [[1.0, 2.0], [3.0, 4.0]], [[0.0], [1.0]]
        >>> sorted(model.evaluate(x, y, verbose=0, return_dict=True))
        ['loss', 'mae']
        """
        self._ready_for("evaluate")
        feed = feed_of("evaluate", x, y, sample_weight, batch_size=batch_size, steps=steps)
        return _results(Trainer(self, "evaluate").evaluate(feed, verbose, callbacks), return_dict)

    @strict
    def predict(
        self, x: Any, batch_size: Size | None = None, verbose: Verbose = "auto", steps: Size | None = None,
        callbacks: Any = None,
    ) -> np.ndarray[Any, Any]:  # fmt: skip
        """The outputs for all of x, in batches (of 32 by default), as one array.

        x may give batches, as for `fit`; labels in them are not looked at.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.predict([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 1)
        """
        feed = feed_of("predict", x, labelled=False, batch_size=batch_size, steps=steps)
        outputs: np.ndarray[Any, Any] = Trainer(self, "predict").predict(feed, verbose, callbacks)
        return outputs

    @strict
    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:  # fmt: skip
        """One step on one batch; the loss, or [loss, metric, ...], before the step.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> x, y = [[1.0, 2.0], [3.0, 4.0]], [[0.0], [1.0]]
        >>> len(model.train_on_batch(x, y))
        2
        """
        self._ready_for("train_on_batch")
        batch = as_batch("train_on_batch", x, y, sample_weight, labelled=True)
        trainer = Trainer(self, "train_on_batch", eagerly=True)
        return _results(trainer.train_on_batch(batch, class_weight), return_dict)

    @strict
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """`evaluate` on one batch.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> x, y = [[1.0, 2.0], [3.0, 4.0]], [[0.0], [1.0]]
        >>> sorted(model.test_on_batch(x, y, return_dict=True))
        ['loss', 'mae']
        """
        batch = as_batch("test_on_batch", x, y, sample_weight, labelled=True)
        return self.evaluate(batch.x, batch.y, len(batch), 0, batch.weights, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray[Any, Any]:
        """`predict` on one batch.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.predict_on_batch([[1.0, 2.0]]).shape
        (1, 1)
        """
        batch = as_batch("predict_on_batch", x, None, None, labelled=False)
        outputs: np.ndarray[Any, Any] = self.predict(batch.x, len(batch), 0)
        return outputs

    def _ready_for(self, what: str) -> None:
        """Raise unless the model is compiled, or where it says to be trained in a way that is not the front's."""
        if self.loss is None:
            raise GraphError(
                f"{what}: the model is not compiled: call "
                "model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy']) first"
            )
        for step in ("train_step", "test_step", "compute_loss", "compute_metrics"):
            if hasattr(self, step):
                raise missing(f"{what}: {step} of {type(self).__name__} would not be called here: {_LOOP}")

    # -- what `Trainer` asks -----------------------------------------------------------------------------------------

    def ending(self, activation: str | None) -> nn.Layer | None:
        """The layer of which this activation is the last thing that the model does, if there is one.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.add(keras.layers.Activation("softmax"))
        >>> model.ending("softmax").name
        'activation'
        """
        return None

    def output_for(self, x: np.ndarray[Any, Any]) -> Shape:
        """The output's shape for this data. Raises ShapeError when they do not fit the model.

        >>> import numpy as np
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.output_for(np.ones((5, 2)))
        (None, 1)
        """
        with no_grad():
            y = self(self.as_input(x[:1]), training=False)
        if isinstance(y, (list, tuple, dict)):
            raise missing(
                f"{type(self).__name__}: expected one output, got {len(y)}: to train several, add their losses; {_LOOP}"
            )
        if not isinstance(y, Tensor):
            raise DTypeError(f"{type(self).__name__}: expected call to give a tensor, got {type(y).__name__}")
        return (None, *y.shape[1:])

    def make_for(self, x: np.ndarray[Any, Any]) -> None:
        """Make the weights for this data, if they are not there.

        >>> import numpy as np
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.make_for(np.ones((5, 2)))
        >>> model.count_params()
        3
        """
        self.output_for(x)

    def as_input(self, x: Array) -> Tensor:
        """A batch of data as a tensor in float32; integers stay integers where there is an `Embedding`."""
        if not x.ndim:
            raise ShapeError(f"{type(self).__name__}: expected a batch of data, got one number; use x[None]")
        dtype = self._taken(x.dtype)
        if x.dtype != dtype:
            x = x.astype(dtype)
        return x if isinstance(x, Tensor) else wrap(x, None)

    def _taken(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """In which dtype data of this one go in."""
        return dtype if dtype.kind in "iu" and self._embeds() else np.dtype(np.float32)

    def _embeds(self) -> bool:
        return any(isinstance(module, nn.Embedding) for module in self.modules())

    def mend_output(self, x: Shape, wanted: int) -> str:
        """How the model might be changed so that its output is (N, wanted), or empty.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.mend_output((None, 2), 3)
        "use units=3 in 'dense'"
        """
        return ""

    @strict
    def summary(self, line_length: Size | None = None, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers inside, with how many parameters they have.

        Lines are cut to `line_length`; `print_fn` gets the text in place of `print`.

        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.summary(line_length=43)
        layer          output shape   parameters
        -------------------------------------------
        dense  Dense   (None, 1)      2*1 + 1 = 3
        -------------------------------------------
        total                         3 (12 B)
        """
        (print_fn or print)("\n".join(line[:line_length] for line in repr(self).splitlines()))

    # -- files -----------------------------------------------------------------------------------------------------

    @strict
    def save_weights(self, filepath: Path) -> None:
        """Write all weights to a file, which Keras can read too; an older file stays until this one is whole.

        It has Keras' own format if it is called ``.h5`` and h5py is there (``pip install 'tinygrad-conv[keras]'``),
        that of safetensors if it is called so, and else NumPy's ``.npz``.

        Raises DataError when that is not possible.

        >>> import tempfile
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(f"{folder}/w.npz")
        ...     model.load_weights(f"{folder}/w.npz")
        """
        self._make("save_weights")
        ending = os.path.splitext(name_of(filepath, "save_weights"))[1]
        known = ending in WRITERS and (ending != ".h5" or find_spec("h5py") is not None)
        save_as(ending if known else ".npz", self, filepath, "save_weights")

    @strict
    def load_weights(self, filepath: Path) -> None:
        """Take over weights that `save_weights` wrote, here or in Keras (``.weights.h5``, ``.keras``).

        Raises DataError when there is no such file or it is another kind, ArgumentError or ShapeError when it was
        written by another model.

        >>> import tempfile
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save_weights(f"{folder}/w.npz")
        ...     model.load_weights(f"{folder}/w.npz")
        """
        self._make("load_weights")
        load_into(self, filepath, "load_weights", "a file that save_weights wrote")

    def save(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: see `save_weights`.

        >>> import tinygrad_conv as tg
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> try:
        ...     model.save("model.keras")
        ... except tg.errors.ArgumentError as error:
        ...     print(str(error)[:49])
        Sequential.save: models are not saved whole: make
        """
        raise missing(
            f"{type(self).__name__}.save: models are not saved whole: make the model by the same code, and use "
            "save_weights(path) and load_weights(path)"
        )

    export = to_json = get_config = from_config = save

    def add_loss(self, *args: Any, **options: Any) -> NoReturn:
        """Refused: losses besides that of `compile` are added up in a loop of one's own.

        >>> import tinygrad_conv as tg
        >>> from tinygrad_conv import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> try:
        ...     model.add_loss(0.0)
        ... except tg.errors.ArgumentError as error:
        ...     print(str(error).partition(": write")[0])
        Sequential.add_loss: the loss is that of compile
        """
        raise missing(f"{type(self).__name__}.add_loss: the loss is that of compile: {_LOOP}")


def _listed(name: str, metrics: Any) -> list[Any]:
    """The metrics, each found out to be one."""
    if isinstance(metrics, (str, dict)) or (metrics is not None and not isinstance(metrics, (list, tuple))):
        fix = f"a model here has one output; or {STOCK}" if isinstance(metrics, dict) else f"use {name}=[{metrics!r}]"
        raise DTypeError(f"compile: expected a list of metrics, got {metrics!r}: {fix}")
    for metric in metrics or ():
        _metric(metric)
    return list(metrics or ())


_metric = metrics.get


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    return next(iter(logs.values())) if len(logs) == 1 else list(logs.values())
