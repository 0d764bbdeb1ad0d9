"""The front equals Keras: drawn models, computed here and by stock Keras on JAX, both in float64.

Keras runs in a process of its own, which answers one case after another. `-m keras`.
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.keras

SERVER = """
import importlib.util, json, sys
import jax
jax.config.update("jax_enable_x64", True)
import keras
from keras.src.backend.common import dtypes
dtypes.BIT64_TO_BIT32_DTYPE.update(float64="float64")  # Keras' rules of promotion make float32 of it elsewhere
keras.config.set_floatx("float64")
spec = importlib.util.spec_from_file_location("ours", sys.argv[1])
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)
print("ready", flush=True)
for line in sys.stdin:
    try:
        what, case = json.loads(line)
        answer = ours.ASKED[what](keras, case)
    except Exception as error:
        answer = {"error": repr(error)}
    print("answer", json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def keras():
    """A function of a case: what Keras on JAX computes."""
    if not all(map(importlib.util.find_spec, ("keras", "jax"))):
        pytest.skip("pip install jax 'tinygrad-conv[keras]'")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER, __file__], env=os.environ | {"KERAS_BACKEND": "jax"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def answer(word):
        for line in process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise AssertionError("Keras' process has ended")

    def ask(case):
        process.stdin.write(json.dumps(case) + "\n")
        process.stdin.flush()
        return json.loads(answer("answer"))

    answer("ready")
    with process:
        yield ask
        process.stdin.close()


# ------------------------------------------------------------------------------------------------------------------
# What is drawn: parts of models as both write them. K is the module, `made` gives layers float64.

IMAGE, SERIES, ROW = [8, 8, 2], [9, 3], [5]
OF_IMAGES = (
    "Conv2D(3, 3)", "Conv2D(4, 2, strides=2, padding='same', activation='relu')", "Conv2D(2, 3, dilation_rate=2)",
    "Conv2D(4, (2, 3), groups=2, use_bias=False)", "Conv2DTranspose(3, 3, strides=2, padding='same')",
    "Conv2DTranspose(2, 2, activation='tanh')", "MaxPooling2D(2, padding='same')",
    "AveragePooling2D((2, 1), strides=1)", "AveragePooling2D(3, strides=2, padding='same')",
    "MaxPooling2D(3, strides=1)", "BatchNormalization()", "BatchNormalization(momentum=0.5, scale=False)",
    "LayerNormalization()", "Rescaling(0.5, -1.0)",
)  # fmt: skip
OF_SERIES = (
    "Conv1D(3, 2)", "Conv1D(4, 3, padding='causal', dilation_rate=2)", "MaxPooling1D(2)",
    "AveragePooling1D(3, padding='same')", "BatchNormalization(center=False)", "Dense(4, activation='gelu')",
)  # fmt: skip
OF_ROWS = (
    "Dense(6, activation='relu')", "Dense(4, activation='softplus', use_bias=False)", "Dense(5, 'elu')", "Dropout(0.0)",
    "Activation('tanh')", "Activation('leaky_relu')", "Activation('selu')", "ReLU(max_value=1.0, negative_slope=0.1)",
    "LeakyReLU()", "Softmax()", "BatchNormalization()", "LayerNormalization(epsilon=0.1)",
)  # fmt: skip
ENDS = {
    "image": ("Flatten()", "GlobalAveragePooling2D()", "GlobalMaxPooling2D()", "Reshape((-1,))"),
    "series": ("Flatten()", "GlobalMaxPooling1D()", "GlobalAveragePooling1D()"), "row": ("Activation('linear')",),
}  # fmt: skip
KINDS = {"image": (IMAGE, OF_IMAGES), "series": (SERIES, OF_SERIES), "row": (ROW, OF_ROWS)}
# A loss, the last layer's units and activation, and labels.
LOSSES = (
    ("'mse'", 2, None, "numbers"), ("'mae'", 1, None, "numbers"), ("K.losses.KLDivergence()", 3, "softmax", "shares"),
    ("'sparse_categorical_crossentropy'", 3, "softmax", "classes"),
    ("K.losses.SparseCategoricalCrossentropy(from_logits=True)", 3, None, "classes"),
    ("K.losses.CategoricalCrossentropy(label_smoothing=0.1)", 3, "softmax", "one-hot"),
    ("'categorical_crossentropy'", 3, "sigmoid", "one-hot"), ("'binary_crossentropy'", 1, "sigmoid", "yes or no"),
    ("K.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)", 1, None, "yes or no"),
    ("K.losses.MeanSquaredError(reduction='mean_with_sample_weight')", 2, None, "numbers"),
)  # fmt: skip
OPTIMIZERS = (
    "SGD(0.1)", "SGD(0.1, momentum=0.9)", "SGD(0.1, momentum=0.5, nesterov=True, weight_decay=0.01)", "Adam()",
    "Adam(0.01, beta_1=0.5, epsilon=1e-3, global_clipnorm=0.1)", "AdamW(0.01)", "RMSprop(0.01)",
    "RMSprop(0.01, momentum=0.5, centered=True)", "Adagrad(0.1)", "SGD(0.1, clipvalue=0.01)",
    "Adam(0.01, clipnorm=0.1)", "SGD(K.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5))",
)  # fmt: skip
METRICS = {
    "numbers": ("'mse'", "'mae'"), "shares": ("'mae'",), "classes": ("'accuracy'", "'sparse_categorical_accuracy'"),
    "one-hot": ("'accuracy'", "'categorical_accuracy'"),
    "yes or no": ("'accuracy'", "K.metrics.BinaryAccuracy(threshold=0.4)"),
}  # fmt: skip


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    shape, layers = KINDS[kind]
    loss, units, activation, labels = draw(st.sampled_from(LOSSES))
    body = draw(st.lists(st.sampled_from(layers), max_size=3))
    ends = [draw(st.sampled_from(ENDS[kind])), *draw(st.lists(st.sampled_from(OF_ROWS), max_size=1))]
    return {
        "shape": shape, "layers": [*body, *ends, f"Dense({units}, activation={activation!r})"], "loss": loss,
        "labels": labels, "units": units, "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "metrics": draw(st.lists(st.sampled_from(METRICS[labels]), unique=True)), "weighted": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }  # fmt: skip


def labels_of(kind, n, units, rng):
    if kind == "classes":
        return rng.integers(0, units, n)
    if kind == "one-hot":
        return np.eye(units)[rng.integers(0, units, n)]
    if kind == "yes or no":
        return rng.integers(0, 2, (n, 1)).astype(float)
    numbers = rng.random((n, units))
    return numbers / numbers.sum(-1, keepdims=True) if kind == "shares" else numbers


def computed(K, case):
    """What a case gives: outputs, a gradient, and the losses, metrics and weights of five steps."""
    rng = np.random.default_rng(case["seed"])
    names = {"K": K}

    def layer(text):
        name, _, rest = text.partition("(")
        comma = "" if rest == ")" else ", "
        return eval(f"K.layers.{name}({rest[:-1]}{comma}dtype='float64')", names)

    model = K.Sequential([K.Input(tuple(case["shape"])), *map(layer, case["layers"])])
    n = 6
    size = max(1.0, np.sqrt(np.prod(case["shape"])) / 3)  # of many inputs each is small, so that the steps are
    x = (rng.normal(size=(5 * n, *case["shape"])) / size).astype(np.float32)  # as the front takes numbers in
    y = labels_of(case["labels"], 5 * n, case["units"], rng)
    if y.dtype.kind == "f":
        y = y.astype(np.float32).astype(np.float64)
    weights = rng.uniform(0.5, 2.0, 5 * n).astype(np.float32) if case["weighted"] else None
    start = [  # small, so that no probability is one that Keras clips
        rng.uniform(0.1, 0.6, w.shape) if w.ndim == 1 else rng.uniform(-0.15, 0.15, w.shape)
        for w in model.get_weights()
    ]

    def batch(k):
        cut = slice(k * n, (k + 1) * n)
        return {"x": x[cut], "y": y[cut], "sample_weight": None if weights is None else weights[cut]}

    def compiled(optimizer):
        model.set_weights(start)
        loss, metrics = eval(case["loss"], names), [eval(metric, names) for metric in case["metrics"]]
        model.compile(optimizer, loss, metrics=metrics, run_eagerly=True)

    compiled(K.optimizers.SGD(1.0))  # whose step is the gradient
    found = {"outputs": model.predict(x[:n], verbose=0)}
    model.train_on_batch(**batch(0))
    found["gradient"] = np.concatenate([np.ravel(b - a) for a, b in zip(start, model.get_weights(), strict=True)])
    compiled(eval(f"K.optimizers.{case['optimizer']}", names))
    for k in range(5):
        found |= {f"{name} of step {k}": v for name, v in model.train_on_batch(**batch(k), return_dict=True).items()}
    found["weights"] = np.concatenate([np.ravel(w) for w in model.get_weights()])
    whole = batch(0) | {"x": x, "y": y, "sample_weight": weights}
    found |= {
        f"{name}, evaluated": v
        for name, v in model.evaluate(**whole, batch_size=7, verbose=0, return_dict=True).items()
    }
    return {name: np.asarray(value, np.float64).tolist() for name, value in found.items()}


# ------------------------------------------------------------------------------------------------------------------
# What `fit`, `evaluate` and `predict` make of data, weights and callbacks

CALLBACKS = (
    "EarlyStopping('loss', min_delta=0.05, patience=1)", "EarlyStopping('loss', mode='max', restore_best_weights=True)",
    "EarlyStopping('loss', baseline=0.01, patience=1, start_from_epoch=1)", "TerminateOnNaN()",
    "LearningRateScheduler(lambda epoch, rate: rate * 0.5)", "LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))",
    "LambdaCallback(on_train_batch_end=lambda batch, logs: logs.clear())",
)  # fmt: skip
EVENTS = [
    *(f"on_{what}{part}_{when}" for what in ("train", "test", "predict") for part in ("", "_batch")
      for when in ("begin", "end")),
    "on_epoch_begin", "on_epoch_end",
]  # fmt: skip
FEEDS = ("arrays", "batches by number", "generator")


@st.composite
def runs(draw):
    loss, units, activation, labels = draw(st.sampled_from(LOSSES))
    feed = draw(st.sampled_from(FEEDS))
    arrays = feed == "arrays"
    options = {
        "epochs": draw(st.integers(1, 4)), "initial_epoch": draw(st.integers(0, 2)),
        "validation_freq": draw(st.integers(1, 2)), "steps_per_epoch": draw(st.sampled_from((None, 1, 2))),
    }  # fmt: skip
    if feed == "generator":
        options["steps_per_epoch"] = draw(st.integers(1, 3))
    if arrays:
        options |= {"batch_size": draw(st.integers(3, 16)), "validation_split": draw(st.sampled_from((0.0, 0.3)))}
    weighted = draw(st.booleans())
    return {
        "fit": options, "loss": loss, "units": units, "activation": activation, "labels": labels, "feed": feed,
        "metrics": draw(st.lists(st.sampled_from(METRICS[labels]), unique=True)), "weighted": weighted,
        "weighted_metrics": draw(st.lists(st.sampled_from(METRICS[labels]), unique=True, max_size=1)),
        "classes": not weighted and arrays and labels in ("classes", "one-hot") and draw(st.booleans()),
        "callbacks": draw(st.lists(st.sampled_from(CALLBACKS), max_size=2, unique=True)),
        "held_out": draw(st.booleans()), "stops": draw(st.sampled_from((None, 1, 4))), "seed": draw(st.integers(0, 99)),
    }  # fmt: skip


def ran(K, case):
    """What a run gives: the history, who was told what and when, the weights, an evaluation and predictions."""
    rng, names, heard = np.random.default_rng(case["seed"]), {"K": K}, []
    model = K.Sequential([
        K.Input((4,)), K.layers.Dense(5, "tanh", dtype="float64"), K.layers.BatchNormalization(dtype="float64"),
        K.layers.Dense(case["units"], case["activation"], dtype="float64"),
    ])  # fmt: skip
    model.set_weights([
        rng.uniform(0.1, 0.6, w.shape) if w.ndim == 1 else rng.uniform(-0.3, 0.3, w.shape) for w in model.get_weights()
    ])  # fmt: skip
    n = 24
    x = rng.normal(size=(n, 4)).astype(np.float32)
    y = labels_of(case["labels"], n, case["units"], rng)
    if y.dtype.kind == "f":
        y = y.astype(np.float32).astype(np.float64)
    weights = rng.uniform(0.5, 2.0, n).astype(np.float32) if case["weighted"] else None
    arrays = (x, y) if weights is None else (x, y, weights)

    def batch(k):
        return tuple(array[5 * k : 5 * k + 5] for array in arrays)

    class ByNumber(K.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, k):
            return batch(k)

    def fed():
        if case["feed"] == "batches by number":
            return {"x": ByNumber()}
        if case["feed"] == "generator":
            return {"x": (batch(k % 5) for k in range(60))}
        return {"x": x, "y": y, "sample_weight": weights}

    class Hearing(K.callbacks.Callback):
        def set_params(self, params):
            super().set_params(params)
            heard.append(["set_params", {name: params[name] for name in ("epochs", "verbose")}])

    def hears(event):
        def method(self, *args, logs=None):
            *number, logs = (*args, logs) if logs is not None or (event.count("_") > 2 and len(args) < 2) else args
            logs = {name: value for name, value in (logs or {}).items() if name != "outputs"}
            heard.append([f"{event} {number}", {name: float(value) for name, value in logs.items()}])
            if event == "on_train_batch_end":
                self.batches = getattr(self, "batches", 0) + 1
                if self.batches == case["stops"]:
                    self.model.stop_training = True

        return method

    for event in EVENTS:
        setattr(Hearing, event, hears(event))
    metrics, weighted = ([eval(metric, names) for metric in case[kind]] for kind in ("metrics", "weighted_metrics"))
    model.compile(
        K.optimizers.SGD(0.1), eval(case["loss"], names), metrics=metrics, weighted_metrics=weighted, run_eagerly=True
    )
    callbacks = [eval(f"K.callbacks.{text}", names) for text in case["callbacks"]]
    history = model.fit(
        **fed(), **case["fit"], shuffle=False, verbose=0, callbacks=[*callbacks, Hearing()],
        validation_data=arrays if case["held_out"] else None,
        class_weight={0: 0.5, 1: 2.0} if case["classes"] else None,
    )  # fmt: skip
    told = [Hearing()]
    evaluated = model.evaluate(x, y, 7, 0, weights, callbacks=told, return_dict=True)
    predicted = model.predict(x, 9, 0, callbacks=told)
    return {
        "epochs": history.epoch, "history": {name: list(map(float, of)) for name, of in history.history.items()},
        "heard": heard, "weights": np.concatenate([np.ravel(w) for w in model.get_weights()]).tolist(),
        "evaluated": {name: float(value) for name, value in evaluated.items()},
        "predicted": np.asarray(predicted).tolist(),
    }  # fmt: skip


def close(ours, theirs, where="answer"):
    """Equal in all words, and to 1e-6 in all numbers; Keras sorts its logs."""
    assert type(ours) is type(theirs), (where, ours, theirs)
    if isinstance(ours, dict):
        assert sorted(ours) == sorted(theirs), where
        ours, theirs = ([of[name] for name in sorted(of)] for of in (ours, theirs))
    if isinstance(ours, list):
        assert len(ours) == len(theirs), (where, ours, theirs)
        for k, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            close(own, other, f"{where}[{k}]")
    elif isinstance(ours, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7, err_msg=where)
    else:
        assert ours == theirs, where


ASKED = {"computed": computed, "ran": ran}


def compared(keras, what, case):
    from tinygrad_conv import keras as front
    from tinygrad_conv.errors import ShapeError

    try:
        ours = ASKED[what](front, case)
    except ShapeError:  # layers that do not fit each other: Keras refuses them, too
        assert "error" in keras([what, case])
        return
    close(json.loads(json.dumps(ours)), keras([what, case]))


@settings(max_examples=10)
@given(cases())
def test_the_front_is_keras(keras, case):
    compared(keras, "computed", case)


@settings(max_examples=10)
@given(runs())
def test_runs_of_the_front_are_those_of_keras(keras, case):
    compared(keras, "ran", case)
