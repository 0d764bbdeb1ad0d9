"""What a model was trained with goes at once when it is dropped, without the cycle collector."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from tinygrad_conv import keras
from tinygrad_conv.errors import AnomalyError
from tinygrad_conv.keras import callbacks, layers

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
LABELS = np.arange(12) % 3


class Own(keras.Model):
    """A model that defines `call`."""

    def __init__(self):
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(x)


class Sized:
    """Batches by number, which hears of epochs."""

    def __len__(self):
        return 3

    def __getitem__(self, k):
        return X[4 * k : 4 * k + 4], LABELS[4 * k : 4 * k + 4]

    def on_epoch_end(self):
        pass


class Interrupting(callbacks.Callback):
    """Ctrl-C after the first batch."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def compiled(model, **options):
    optimizer = keras.optimizers.Adam(0.01, clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"], **options)
    return model


def sequential(**options):
    kinds = [layers.Dense(5, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.5)]
    return compiled(keras.Sequential([keras.Input((4,)), *kinds, layers.Dense(3, activation="softmax")]), **options)


def diverging(model, x, y):
    try:
        model.fit(x * np.nan, y, verbose=0)
    except AnomalyError:
        return
    raise AssertionError("expected an AnomalyError")


WATCHERS = [callbacks.EarlyStopping("loss", restore_best_weights=True)]

RUNS = {
    "fit": lambda model, x, y: model.fit(x, y, epochs=2, batch_size=5, verbose=0),
    "fit and validate": lambda model, x, y: model.fit(x, y, epochs=2, validation_split=0.5, shuffle=False, verbose=0),
    "fit in steps that end within a pass": lambda model, x, y: model.fit(x, y, 4, 1, 0, steps_per_epoch=2),
    "fit with weights": lambda model, x, y: model.fit(x, y, class_weight={0: 2}, sample_weight=np.ones(12), verbose=0),
    "fit with callbacks": lambda model, x, y: model.fit(x, y, epochs=3, verbose=0, callbacks=copy.deepcopy(WATCHERS)),
    "fit on a generator": lambda model, x, y: model.fit(((x, y) for _ in range(9)), steps_per_epoch=3, verbose=0),
    "fit on a sequence": lambda model, x, y: model.fit(Sized(), verbose=0),
    "fit with a bar": lambda model, x, y: model.fit(x, y, verbose=1),
    "fit interrupted": lambda model, x, y: model.fit(x, y, verbose=0, callbacks=[Interrupting()]),
    "fit that fails": diverging,
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "evaluate in steps": lambda model, x, y: model.evaluate(x, y, 4, 0, steps=2),
    "predict": lambda model, x, y: model.predict(x, 5, 0),
    "predict in steps": lambda model, x, y: model.predict(x, 4, 0, steps=2),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
}  # fmt: skip


def dropped(make, run):
    """Weak references to a model that ran, and to its data."""
    model, x, y = make(), X.copy(), LABELS.copy()
    run(model, x, y)
    return [weakref.ref(x), weakref.ref(y), weakref.ref(model), weakref.ref(model.optimizer)]


@pytest.mark.parametrize("make", [sequential, lambda: sequential(run_eagerly=True), lambda: compiled(Own())])
@pytest.mark.usefixtures("no_collector")
def test_a_dropped_model_goes_at_once_with_its_data_and_trainers(make):
    for run in RUNS.values():
        dropped(make, run)  # what is made once and stays
    gc.collect()
    for name, run in RUNS.items():
        assert not [left for left in dropped(make, run) if left() is not None], name
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    ours = [o for o in gc.garbage if isinstance(o, np.ndarray) or type(o).__module__.startswith("tinygrad_conv")]
    assert not ours


def test_a_history_knows_its_model_as_long_as_that_lives():
    seen = []
    given = callbacks.History()
    watcher = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((watcher.model, given.model)))
    model = sequential()
    history = model.fit(X, LABELS, verbose=0, callbacks=[watcher, given])
    assert history is given is model.history
    assert history.model is model
    assert seen == [(model, model)]
    for again in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert (again.model, again.history, again.epoch) == (None, history.history, [0])
    assert callbacks.History().model is None
    seen.clear()
    watcher.set_model(None)
    del model
    assert history.model is None
    assert len(history.history["loss"]) == 1
