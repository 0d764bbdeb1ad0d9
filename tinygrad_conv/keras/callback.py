"""What a callback is: the events that `fit`, `evaluate` and `predict` tell of, who hears them, and `History`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias
from weakref import ref

from ..arguments import Checked, described
from ..engine.tensor import ops
from ..errors import DTypeError

__all__ = ["Callback", "CallbackList", "History", "Logs"]

Logs: TypeAlias = dict[str, Any]


class Callback(Checked):
    """Base of the callbacks: override what is needed.

    `fit`, `evaluate` and `predict` call the methods, each at the event it is named after: ``on_train_begin`` and
    ``on_train_end`` (`fit`), ``on_test_...``, ``on_predict_...``, and within them ``..._batch_begin`` and
    ``..._batch_end``; ``on_batch_begin`` and ``on_batch_end`` are older names of those of training. Before a run the
    callback is told `set_model` and `set_params`. `logs` hold the loss and the metrics so far.
    ``model.stop_training = True`` ends `fit`, ``stop_evaluating`` and ``stop_predicting`` the others.

    Attributes
    ----------
    model : the model that is trained
    params : dict with "epochs", "steps" (batches in an epoch, None where nobody knows) and "verbose"

    >>> from tinygrad_conv import keras
    >>> class Telling(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, list(logs))
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0, callbacks=[Telling()])
    0 ['loss']
    1 ['loss']
    >>> class Recording(Callback):
    ...     def __init__(self):
    ...         self.heard = []
    ...     def on_train_begin(self, logs=None): self.heard.append("train begin")
    ...     def on_epoch_begin(self, epoch, logs=None): self.heard.append(f"epoch {epoch} begin")
    ...     def on_train_batch_begin(self, batch, logs=None): self.heard.append(f"batch {batch} begin")
    ...     def on_train_batch_end(self, batch, logs=None): self.heard.append(f"batch {batch} end")
    ...     def on_train_end(self, logs=None): self.heard.append("train end")
    ...     def on_test_begin(self, logs=None): self.heard.append("test begin")
    ...     def on_test_batch_begin(self, batch, logs=None): self.heard.append(f"test batch {batch} begin")
    ...     def on_test_batch_end(self, batch, logs=None): self.heard.append(f"test batch {batch} end")
    ...     def on_test_end(self, logs=None): self.heard.append("test end")
    ...     def on_predict_begin(self, logs=None): self.heard.append("predict begin")
    ...     def on_predict_batch_begin(self, batch, logs=None): self.heard.append(f"predict batch {batch} begin")
    ...     def on_predict_batch_end(self, batch, logs=None): self.heard.append(f"predict batch {batch} end")
    ...     def on_predict_end(self, logs=None): self.heard.append("predict end")
    >>> recording = Recording()
    >>> history = model.fit([[1.0]], [[1.0]], verbose=0, callbacks=[recording])
    >>> loss = model.evaluate([[1.0]], [[1.0]], verbose=0, callbacks=[recording])
    >>> y = model.predict([[1.0]], callbacks=[recording])
    >>> recording.heard[:4]
    ['train begin', 'epoch 0 begin', 'batch 0 begin', 'batch 0 end']
    >>> recording.heard[4:]
    ['train end', 'test begin', 'test batch 0 begin', 'test batch 0 end', 'test end',
     'predict begin', 'predict batch 0 begin', 'predict batch 0 end', 'predict end']
    """

    model: Any = None
    writes = False  # files, so that one of several processes is enough for it
    params: dict[str, Any] = {}  # noqa: RUF012  (set anew for each run, never changed)

    def set_model(self, model: Any) -> None:
        """Told before a run, whose run it is.

        >>> callback = Callback()
        >>> callback.set_model("a model")
        >>> callback.model
        'a model'
        """
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Told before a run, what is known of it.

        >>> callback = Callback()
        >>> callback.set_params({"epochs": 2})
        >>> callback.params
        {'epochs': 2}
        """
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> Any: ...

    def on_train_end(self, logs: Logs | None = None) -> Any: ...

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> Any: ...

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> Any: ...

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> Any:
        """An older name of `on_train_batch_begin`, which calls it.

        >>> Callback().on_batch_begin(0)
        """

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> Any:
        """An older name of `on_train_batch_end`, which calls it.

        >>> Callback().on_batch_end(0)
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> Any:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> Any:
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> Any: ...

    def on_test_end(self, logs: Logs | None = None) -> Any: ...

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> Any: ...

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> Any: ...

    def on_predict_begin(self, logs: Logs | None = None) -> Any: ...

    def on_predict_end(self, logs: Logs | None = None) -> Any: ...

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> Any: ...

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> Any: ...


EVENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class _Listening(Callback):
    """What has some of these methods, such as `plots.LayerStatistics`, and is no Callback: told of these."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        vars(self).update({event: getattr(listener, event) for event in EVENTS if hasattr(listener, event)})

    def set_model(self, model: Any) -> None:
        self.listener.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.listener.params = params


class CallbackList:
    """The callbacks of a run, who are told of each event in their order; the last of them is a `History`."""

    def __init__(self, what: str, callbacks: Any, model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(_flat(what, callbacks))
        given = [callback for callback in self.callbacks if isinstance(callback, History)]
        self.history = given[0] if given else History()
        if not given:
            self.callbacks.append(self.history)
        for callback in self.callbacks:
            callback.set_model(model)
        for callback in self.callbacks:
            callback.set_params(params)

    def leave_to_first(self) -> None:
        """On another rank than the first: write and print nothing here."""
        self.callbacks = [callback for callback in self.callbacks if not callback.writes]
        for callback in self.callbacks:
            if hasattr(callback, "verbose"):
                callback.verbose = 0

    def tell(self, event: str, *args: Any) -> None:
        """Call one method of each callback."""
        for callback in self.callbacks:
            getattr(callback, event)(*args)

    def hear(self, event: str) -> bool:
        """Does any callback do anything at this event? If not, nobody need find out what there is to tell."""
        older = event.replace("on_train_batch", "on_batch")
        return any(_overrides(callback, name) for callback in self.callbacks for name in {event, older})


def _overrides(callback: Callback, event: str) -> bool:
    return event in vars(callback) or getattr(type(callback), event) is not getattr(Callback, event)


def _flat(what: str, callbacks: Any) -> Iterator[Callback]:
    """One callback, or all in a list of them; lists may be nested."""
    if isinstance(callbacks, Callback):
        yield callbacks
    elif isinstance(callbacks, (list, tuple, CallbackList)):
        for callback in callbacks.callbacks if isinstance(callbacks, CallbackList) else callbacks:
            yield from _flat(what, callback)
    elif not isinstance(callbacks, type) and any(hasattr(callbacks, event) for event in EVENTS):
        yield _Listening(callbacks)
    elif callbacks is not None:
        fix = f": write {callbacks.__name__}()" if isinstance(callbacks, type) else ""
        raise DTypeError(
            f"{what}: expected callbacks, each a keras.callbacks.Callback, got {described(callbacks)}{fix}"
        )


class History(Callback):
    """What `fit` returns: `history` maps "loss", each metric and their "val_" to a list with a value per epoch.

    `interrupted` says that Ctrl-C ended training early. The model holds its history, so the history does not hold the
    model: `model` is None once that is gone, and in copies and pickles.

    >>> from tinygrad_conv import keras
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [[1.0]], epochs=2, verbose=0)
    >>> history.epoch, {name: len(values) for name, values in history.history.items()}
    ([0, 1], {'loss': 2})
    """

    _model: ref[Any] | None = None

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.interrupted = False

    @property
    def model(self) -> Any:
        return None if self._model is None else self._model()

    @model.setter
    def model(self, model: Any) -> None:
        self._model = None if model is None else ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_model"}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self) -> Any:
        """Loss and metrics over the epochs, as a matplotlib figure (extra ``plots``).

        >>> history = History()
        >>> history.on_epoch_end(0, {"loss": 1.0})
        >>> figure = history.plot()
        >>> len(figure.axes) > 0
        True
        """
        from ..plots import plot_history

        return plot_history(self.history)

    def _repr_html_(self) -> str:
        return str(ops.shown_history(self.epoch, self.history, "interrupted" if self.interrupted else ""))

    def __repr__(self) -> str:
        last = [f"{name} {values[-1]:.4g}" for name, values in self.history.items()]
        parts = [f"{len(self.epoch)} epochs", *(["interrupted"] if self.interrupted else []), *last]
        return f"History({', '.join(parts)})"
