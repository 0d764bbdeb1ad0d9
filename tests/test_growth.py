"""Steps leave nothing behind: the number of Python's objects is the same after many, without the cycle collector."""

import contextlib
import gc
import os

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import keras
from tinygrad_conv.errors import TinygradConvError

STEPS = 10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 200
WARM = 60
X, Y = np.linspace(-1, 1, 48, dtype="float32").reshape(8, 6), np.arange(8) % 3
WRONG = Y + 9  # labels that there are not


class StopError(Exception):
    """Raised by code of the user's."""


def net():
    model = tg.nn.Sequential(
        tg.nn.Dense(5, activation="relu"), tg.nn.BatchNorm(), tg.nn.Dropout(0.2, seed=1), tg.nn.Dense(3), seed=0
    )
    model(X)
    return model, tg.optim.Adam(model.parameters(), 1e-3)


def step_of(model, optimizer):
    def step(x, y):
        optimizer.zero_grad()
        loss = tg.softmax_cross_entropy(model(x), y)
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def eager():
    step = step_of(*net())
    return lambda k: step(X, Y)


def with_hooks():
    model, optimizer = net()

    def step(k):
        optimizer.zero_grad()
        y = model(X)
        y.register_hook(lambda g: g * 1.0)
        tg.softmax_cross_entropy(y, Y).backward()
        optimizer.step()

    return step


def with_exceptions():
    model, optimizer = net()
    step = step_of(model, optimizer)

    def refuse(g):
        raise StopError

    def once(k):
        y = model(X)
        y.register_hook(refuse)
        for call in (
            lambda: y.sum().backward(), lambda: step(X, WRONG), lambda: tg.conv2d(X, X), lambda: tg.nn.Dense(0),
            lambda: model(X[:, :2]), lambda: y.sum(axis=7), lambda: X @ y @ y,
        ):  # fmt: skip
            with contextlib.suppress(StopError, TinygradConvError):
                call()

    return once


def compiled():
    step = tg.compile(step_of(*net()))
    return lambda k: step(X, Y)


def compiled_with_exceptions():
    step = tg.compile(step_of(*net()))

    def once(k):
        with contextlib.suppress(TinygradConvError):
            step(X, Y if k % 2 else WRONG)

    return once


class Stopping(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise StopError


def fit():
    layers = [keras.layers.Dense(5, input_shape=(6,)), keras.layers.Dropout(0.1), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])

    def once(k):
        model.train_on_batch(X, Y)
        with contextlib.suppress(TinygradConvError):
            model.train_on_batch(X, WRONG)
        if k % 20 == 0:
            model.fit(X, Y, batch_size=4, verbose=0)
            with contextlib.suppress(StopError):
                model.fit(X, Y, batch_size=4, verbose=0, callbacks=[Stopping()])

    return once


@pytest.mark.parametrize("made", [eager, with_hooks, with_exceptions, compiled, compiled_with_exceptions, fit])
def test_steps_leave_nothing(made):
    once = made()
    for k in range(WARM):
        once(k)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for k in range(STEPS):
            once(k)
        left = len(gc.get_objects()) - before
    finally:
        gc.enable()
    assert left < 50  # Python's own caches come and go; a step that left one object would leave STEPS
