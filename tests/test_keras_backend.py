"""Stock Keras on this engine, which is imported before Keras: these tests have a process of their own, `-m keras`."""

import itertools
import json
import os
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, ENTRIES, attempt, changed, with_a_damaged_entry
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.graph import snapshot

pytestmark = pytest.mark.keras

SHAPES = {"image": (8, 8, 3), "series": (6, 4), "vector": (5,)}


def models(keras):
    """One model of each kind, by name: with what it is fed."""
    layers, inputs = keras.layers, {name: keras.Input(shape) for name, shape in SHAPES.items()}
    image, series, vector = inputs["image"], inputs["series"], inputs["vector"]

    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(image))
    y = layers.SeparableConv2D(4, 3, padding="same", activation="gelu")(layers.Activation("relu")(x))
    x = layers.MaxPooling2D()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(2, padding="same")(layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x))
    yield "residual", keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))

    x = layers.Bidirectional(layers.GRU(3))(layers.LSTM(4, return_sequences=True)(series))
    yield "recurrent", keras.Model(series, layers.Dense(3, activation="softmax")(x))

    x = layers.LayerNormalization()(series)
    x = layers.Flatten()(layers.Add()([series, layers.MultiHeadAttention(2, 3)(x, x)]))
    yield "attention", keras.Model(series, layers.Dense(3, activation="softmax", kernel_regularizer="l2")(x))

    x = layers.Dropout(0.3)(layers.Dense(8, activation="elu", kernel_constraint="max_norm")(vector))
    yield "dense", keras.Model(vector, layers.Dense(3, activation="softmax")(x))

    x = layers.Reshape((36, 4))(layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(4, 3)(image))))
    x = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3)(x, x))
    yield "level", keras.Model(image, layers.Dense(3, activation="softmax")(x))


NAMES = ("residual", "recurrent", "attention", "dense")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam", "lion")


def fed(model, seed, n=20):
    rng = np.random.default_rng(seed)
    return rng.random((n, *model.input_shape[1:])).astype(np.float32), rng.integers(0, 3, n)


def trained(keras, name, optimizer, seed, **how):
    """A model's losses and weights after two epochs."""
    keras.utils.set_random_seed(seed)
    model = dict(models(keras))[name]
    x, y = fed(model, seed)
    x = x.astype(keras.config.floatx())
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **how)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    return history.history["loss"], model.get_weights(), model.predict(x, verbose=0)


def test_it_says_what_it_is(keras):
    assert keras.backend.backend() == "tinygrad_conv"
    assert isinstance(keras.layers.Dense(2)(np.ones((1, 3))), tg.Tensor)


@settings(max_examples=8)
@given(st.sampled_from(NAMES), st.sampled_from(OPTIMIZERS), st.integers(0, 99))
def test_a_compiled_step_is_the_step(keras, name, optimizer, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error", tg.errors.CompileWarning)
        compiled = trained(keras, name, optimizer, seed)
    eager = trained(keras, name, optimizer, seed, run_eagerly=True)
    for a, b in zip(_flat(compiled), _flat(eager), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.fixture
def in_float64(keras, monkeypatch):
    dtypes = import_module("keras.src.backend.common.dtypes")
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")  # normalization is in float32 elsewhere
    for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
        setting("float64")
    yield
    for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
        setting("float32")


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("level", "nadam", 0)
@given(st.sampled_from((*NAMES, "level")), st.sampled_from([name for name in OPTIMIZERS if name != "lion"]),
       st.integers(0, 99))  # fmt: skip
def test_what_a_compiled_step_does_otherwise_is_rounding(keras, in_float64, name, optimizer, seed):
    """Some weights have a gradient that is zero but for rounding: a bias before batch norm, one of attention's keys.
    Adam and its like divide it by its size, so in float32 these differ by as much as steps are large. Here they do not.
    """
    for a, b in zip(
        *(_flat(trained(keras, name, optimizer, seed, run_eagerly=run)) for run in (False, True)), strict=True
    ):
        assert np.asarray(a).dtype == "float64"
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_convolutions_bias_and_pooling_are_one_pass(keras):
    """Keras gives a bias the axes of the output; a plan fuses it all the same, forward and backward."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten()]
    )
    model.compile("sgd", "mse")
    step = model._compiled(model.train_step, optimizer=True)
    for _ in range(3):
        step((np.ones((16, 28, 28, 1), np.float32), np.ones((16, 13 * 13 * 8), np.float32)))
    calls = {call.name for call in step.compiled.plan.calls}
    assert {"bias_relu_max_pool", "bias_relu_max_pool_grad"} <= calls
    assert "relu" not in calls


def test_layers_that_move_images_are_compiled(keras):
    """Keras says that they cannot be. Each step moves them by other numbers."""
    found = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        layers = keras.layers
        moves = [
            layers.RandomRotation(0.2),
            layers.RandomZoom(0.3),
            layers.RandomShear(0.2),
            layers.RandomPerspective(0.5),
        ]
        model = keras.Sequential([keras.Input((8, 8, 2)), *moves, layers.Flatten(), layers.Dense(2)])
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        assert model.jit_compile != run_eagerly
        x = np.random.default_rng(0).random((6, 8, 8, 2), dtype=np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("error", tg.errors.CompileWarning)
            found.append([float(model.train_on_batch(x, x[:, 0, 0])) for _ in range(4)])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert len(set(found[0])) == 4


DECIDING = {  # what asks `ops.cond`, by numbers that are others at each step
    "accumulation": lambda o, n: o.Adam(0.01, gradient_accumulation_steps=n),
    "averages": lambda o, n: o.SGD(0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=n),
    "both": lambda o, n: o.RMSprop(
        0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2, gradient_accumulation_steps=n
    ),
    "warmup": lambda o, n: o.SGD(o.schedules.CosineDecay(0.001, 9, warmup_target=0.01, warmup_steps=n)),
    "overflow": lambda o, n: o.LossScaleOptimizer(o.SGD(0.01), dynamic_growth_steps=n),
}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*DECIDING]), st.integers(2, 5), st.sampled_from(["hinge", "mse"]), st.booleans(),
       st.integers(0, 99))  # fmt: skip
def test_a_compiled_step_decides_by_numbers(keras, in_float64, name, n, loss, with_layer, seed):
    """Each step takes its own branch; the gradient of the other one would be NaN."""

    class Rooted(keras.layers.Layer):
        def call(self, x):
            total = keras.ops.sum(x)
            root = keras.ops.cond(total > 0, lambda: keras.ops.sqrt(total), lambda: total * 0.1)
            return x + root

    def trained(**how):
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Dense(3, "tanh"), *[Rooted()] * with_layer, keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile(DECIDING[name](keras.optimizers, n), loss, metrics=["mae"], **how)
        generator = np.random.default_rng(seed)
        losses = []
        for signs in generator.integers(0, 2, (14, 1)):
            x = generator.standard_normal((4, 4)) * (1e300 if name == "overflow" and signs[0] else 1)
            losses += model.train_on_batch(x, signs * np.ones((4, 1)))
        return [np.array(losses), *model.get_weights(), *(v.numpy() for v in model.optimizer.variables)]

    with warnings.catch_warnings():
        warnings.simplefilter("error", tg.errors.CompileWarning)
        compiled = trained()
    for a, b in zip(compiled, trained(run_eagerly=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sequence", [True, False])
def test_a_model_is_built_without_taking_a_batch(keras, sequence):
    """Keras' NumPy backend builds from the first batch, which `evaluate` then went without."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, k):
            return np.full((2, 1), k, np.float32), np.zeros((2, 1), np.float32)

    class Counting(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(round(float(logs["loss"]), 3))

    seen = []
    model = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    data = Batches() if sequence else (Batches()[k] for k in range(3))
    model.evaluate(data, steps=None if sequence else 3, verbose=0, callbacks=[Counting()])
    assert seen == [0.0, 0.5, 1.667]


def test_what_a_layer_assigns_is_a_value(keras):
    """A layer that reads its state after it has assigned it: no gradient goes through that, compiled or not."""

    class Centered(keras.layers.Layer):
        def build(self, shape):
            self.mean = self.add_weight(shape=shape[1:], initializer="zeros", trainable=False)
            self.scale = self.add_weight(shape=shape[1:], initializer="ones")

        def call(self, x):
            self.mean.assign(0.5 * self.mean + 0.5 * keras.ops.mean(x, axis=0))
            return self.scale * (x - self.mean)

    found = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), Centered()])
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        x = np.random.default_rng(0).random((6, 3), dtype=np.float32)
        found.append([float(model.train_on_batch(x, x)) for _ in range(4)])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("layer", ["SpectralNormalization", "clipped"])
def test_a_weight_that_a_layer_assigns_has_a_gradient(keras, layer):
    """The gradient is that of the assigned value, compiled or not."""

    class Clipped(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=shape[1:], initializer="ones")

        def call(self, x):
            self.scale.assign(keras.ops.clip(self.scale, -0.9, 0.9))
            return self.scale * x

    found = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        made = Clipped() if layer == "clipped" else keras.layers.SpectralNormalization(keras.layers.Dense(3))
        model = keras.Sequential([keras.Input((3,)), made])
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        x = np.random.default_rng(0).random((6, 3), dtype=np.float32)
        found.append([float(model.train_on_batch(x, 0.1 * x)) for _ in range(4)])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0][3] < found[0][0]


METRICS = {
    "AUC": {}, "R2Score": {}, "MeanIoU": {"num_classes": 3, "sparse_y_true": False, "sparse_y_pred": False},
    "OneHotIoU": {"num_classes": 3, "target_class_ids": [1]}, "F1Score": {}, "TopKCategoricalAccuracy": {"k": 2},
    "PrecisionAtRecall": {"recall": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
def test_a_step_with_a_metric_is_compiled(keras, name):
    """What metrics scatter by (buckets, confusion matrices) is data of the step: nothing runs as it is written."""
    found = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
        metric = getattr(keras.metrics, name)(**METRICS[name])
        model.compile("sgd", "categorical_crossentropy", metrics=[metric], run_eagerly=run_eagerly)
        rng = np.random.default_rng(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", tg.errors.CompileWarning)
            for _ in range(4):
                logs = model.train_on_batch(rng.random((30, 4)), np.eye(3)[rng.integers(0, 3, 30)])
                found.append(np.concatenate([np.ravel(value) for value in logs]))
    np.testing.assert_allclose(found[:4], found[4:], rtol=1e-5)


def _flat(results):
    losses, weights, predicted = results
    return [np.asarray(losses), *weights, predicted]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_numbers(keras, in_float64, name):
    keras.utils.set_random_seed(0)
    model = dict(models(keras))[name]
    x = np.random.default_rng(0).standard_normal((2, *model.input_shape[1:]))
    tg.testing.check_gradients(lambda x: model(x, training=False), x, order=1)


OTHER = """
import importlib.util, json, sys
from pathlib import Path
import keras
sys.path.insert(0, str(Path(sys.argv[2]).parent))  # which pytest has
spec = importlib.util.spec_from_file_location("ours", sys.argv[2])
ours = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours)
print(json.dumps(getattr(ours, sys.argv[3])(keras, Path(sys.argv[1]))))
"""


def elsewhere(backend, function, folder):
    """What a function of this file returns with Keras on another backend."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER, folder, Path(__file__), function.__name__],
        env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_torch_agrees(keras, tmp_path):
    """Ten steps of each model from the same weights: the losses of Keras on PyTorch."""
    pytest.importorskip("torch")
    for name, model in models(keras):
        model.save_weights(tmp_path / f"{name}.weights.h5")
    theirs = elsewhere("torch", ten_steps, tmp_path)
    for name, losses in ten_steps(keras, tmp_path).items():
        np.testing.assert_allclose(losses, theirs[name], rtol=1e-4, err_msg=name)


def ten_steps(keras, folder):
    losses = {}
    for name, model in models(keras):
        model.load_weights(folder / f"{name}.weights.h5")
        x, y = fed(model, 1, 80)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        model.compile("adam", "sparse_categorical_crossentropy")
        batches = range(0, 80, 8)
        losses[name] = [float(model.train_on_batch(x[k : k + 8], y[k : k + 8])) for k in batches]
    return losses


def test_what_is_drawn_is_what_the_numpy_backend_draws(keras, tmp_path):
    """Weights, batches, and random numbers, from one seed."""
    theirs = elsewhere("numpy", drawn_from_a_seed, tmp_path)
    assert json.loads(json.dumps(drawn_from_a_seed(keras, tmp_path))) == theirs


def drawn_from_a_seed(keras, folder):
    keras.utils.set_random_seed(7)
    found = {name: [w.tolist() for w in model.get_weights()] for name, model in models(keras)}
    adapters = import_module("keras.src.trainers.data_adapters.array_data_adapter")
    adapter = adapters.ArrayDataAdapter(np.arange(20.0), np.arange(20.0), batch_size=6, shuffle=True)
    found["batches"] = [np.asarray(x).tolist() for _ in range(2) for x, _ in adapter.get_numpy_iterator()]
    seed, ones = keras.random.SeedGenerator(3), np.ones((2, 4), np.float32)
    calls = {
        "normal": [(3,)], "uniform": [(3,)], "truncated_normal": [(3,)], "randint": [(3,), 0, 9],
        "dropout": [ones, 0.5], "categorical": [ones, 3], "shuffle": [ones.ravel()],
        "gamma": [(3,), 2.0], "beta": [(3,), 2.0, 1.0],
        "binomial": [(3,), 5, ones[0, :1] / 2],
    }  # fmt: skip
    for name, args in calls.items():
        drawn = [getattr(keras.random, name)(*args, seed=one) for one in (5, seed, None)]
        found[name] = [np.asarray(keras.ops.convert_to_numpy(x)).tolist() for x in drawn]
    return found


def test_what_a_callback_sets_has_its_effect(keras):
    """Plain attributes of layers are compared before a replay."""
    keras.utils.set_random_seed(0)
    scale = scaling(keras)
    model = keras.Sequential([keras.Input((3,)), scale])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), np.float32)
    assert [float(model.train_on_batch(x, x)) for _ in range(3)] == [0.0] * 3
    scale.by = 3.0
    assert float(model.train_on_batch(x, x)) == 4.0


def test_zeros_of_both_signs_are_told_apart(keras):
    """They are equal, and what is divided by them is not."""

    class Quotient(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.by = 0.0

        def call(self, x):
            return keras.ops.clip(x / self.by, -1, 1)

    quotient = Quotient()
    model = keras.Sequential([keras.Input((2,)), quotient])
    model.compile("sgd", "mse")
    x, found = np.ones((2, 2), np.float32), []
    with np.errstate(divide="ignore"):
        for quotient.by in (0.0, 0.0, 0.0, -0.0, 0.0, -0.0):
            found.append(float(model.test_on_batch(x, x)))
    assert found == [0.0, 0.0, 0.0, 4.0, 0.0, 4.0]


def scaling(keras):
    class Scaled(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.by = 1.0
            self.shift = self.add_weight(shape=(), initializer="zeros")

        def call(self, x):
            return x * self.by + self.shift * 0

    return Scaled()


@pytest.mark.parametrize("change", ["list", "dict", "tuple", "number in a list", "object of Keras'"])
def test_what_containers_hold_is_compared(keras, change):
    """Between two replays of a step."""

    class Chosen(keras.Model):
        def __init__(self):
            super().__init__()
            self.all = [twice(keras), twice(keras)]
            self.named = {"one": [twice(keras)]}
            self.pair = (twice(keras), (twice(keras),))
            self.numbers = [[1.0]]
            self.spare = twice(keras, 3.0)
            self.scale = twice(keras, 1.0)
            self.scale.trainable = True
            self.penalty = keras.regularizers.L2(0.0)

        def call(self, x):
            for layer in (*self.all, *self.named["one"], self.pair[0], *self.pair[1]):
                x = layer(x)
            self.add_loss(self.penalty(x))
            return self.scale(x * self.numbers[0][0])

    model = Chosen()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)
    assert [float(model.train_on_batch(x, y)) for _ in range(3)] == [1024.0] * 3
    if change == "list":
        model.all[1] = model.spare
    elif change == "dict":
        model.named["one"][0] = model.spare
    elif change == "tuple":
        model.pair = (model.pair[0], (model.spare,))
    elif change == "number in a list":
        model.numbers[0][0] = 1.5
    else:
        model.penalty.l2 = 1.25 / 4
    assert [float(model.train_on_batch(x, y)) for _ in range(3)] == [1024 * 2.25] * 3


def twice(keras, by=2.0):
    """A layer that multiplies by a weight which stays."""
    start = keras.initializers.Constant(by)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer=start, trainable=False)
    layer.build((None, 1))
    return layer


def test_a_step_is_traced_once(keras):
    """What a fit changes of a model by itself is none of a step's business."""
    traced = []

    class Told(keras.layers.Layer):
        def call(self, x):
            traced.append(x.shape)
            self.last = x
            return x * 1.0

    model = keras.Sequential([keras.Input((2,)), Told(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    fitted = []
    for _ in range(3):
        stop = keras.callbacks.EarlyStopping("loss", patience=0, baseline=0.0)
        model.fit(x, y, batch_size=4, epochs=3, validation_data=(x, y), callbacks=[stop], verbose=0)
        fitted.append(len(traced))
    assert fitted[0] == fitted[-1]


def test_a_step_of_ones_own(keras):
    """As on PyTorch: backward, and gradients from the values of variables."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.seen = keras.metrics.Mean(name="loss")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            loss = keras.ops.mean(keras.ops.square(self(x) - y))
            weights = self.trainable_weights
            for weight in weights:
                weight.value.grad = None
            loss.backward()
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
            self.seen.update_state(loss.detach())
            return {"loss": self.seen.result()}

    x = np.random.default_rng(0).random((32, 2)).astype(np.float32)
    y = x.sum(1, keepdims=True)
    model = Own()
    model.compile(keras.optimizers.SGD(0.3))
    losses = model.fit(x, y, batch_size=8, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 100


def test_a_model_is_saved_and_loaded(keras, tmp_path):
    for name, model in models(keras):
        model.save(tmp_path / f"{name}.keras")
        again = keras.models.load_model(tmp_path / f"{name}.keras")
        x, _ = fed(model, 0)
        np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_a_regularizer_starts_from_a_number(keras):
    weight = keras.Variable(np.array([1.0, -2.0], np.float32))
    keras.regularizers.L1L2(0.5, 0.25)(weight).backward()
    assert weight.value.grad.tolist() == [1.0, -1.5]


def test_a_gradient_of_ones_own(keras):
    @keras.ops.custom_gradient
    def clipped(x):
        def grad(*args, upstream=None):
            return keras.ops.clip(upstream if args == () else args[0], -1, 1)

        return x * 10.0, grad

    assert tg.grad(lambda x: (clipped(x) * np.array([0.5, 7.0])).sum())(np.ones(2)).tolist() == [0.5, 1.0]


def test_a_gradient_of_ones_own_is_asked_for_once(keras):
    calls = []

    @keras.ops.custom_gradient
    def scaled(x, y):
        def grad(g):
            calls.append(g)
            return g * y, g * x

        return x * y, grad

    x, y, g = np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([1.0, 10.0])
    pull = tg.vjp(scaled, x, y)[1]
    for turn in (1, 2):
        assert [one.tolist() for one in pull(g)] == [[3.0, 50.0 * turn], [1.0, 20.0 * turn]]
        assert len(calls) == turn
        g[1] = 20.0


def test_a_gradient_is_not_lost_on_the_way(keras):
    """Where one would be, it is refused."""

    class Careless(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(3,))

        def call(self, x):
            return x * np.asarray(self.w)

    layer = Careless()
    with pytest.raises(tg.errors.GraphError, match="its gradient would be lost"):
        layer(np.ones((2, 3), np.float32))
    assert np.asarray(layer.w).shape == layer.w.numpy().shape == (3,)

    @keras.ops.custom_gradient
    def scaled(x, by=1.0):
        return x * by, lambda g: g * by

    with pytest.raises(tg.errors.GraphError, match="pass it by position"):
        scaled(np.ones(3, np.float32), by=layer.w)


def test_relu6_keeps_nan(keras):
    x = np.array([-1.0, 3.0, 6.0, 9.0, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(keras.ops.relu6(x), [0, 3, 6, 6, 6, np.nan])


def test_functions_that_write_in_place_elsewhere(keras):
    ops, x = keras.ops, np.arange(6.0).reshape(3, 2)
    at, more = np.array([[0], [2], [0]]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    for f in (
        lambda v: ops.scatter(at, v, (4, 2)),
        lambda v: ops.scatter_update(x, at[:2], v[:2]),
        lambda v: ops.slice_update(x, (1, 0), v[:2]),
        lambda v: ops.associative_scan(ops.multiply, v),
        lambda v: ops.one_hot(np.array([0, 2, -1]), 3) @ v,
    ):
        tg.testing.check_gradients(f, more, order=1)
    assert np.array_equal(x, np.arange(6.0).reshape(3, 2))


MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


@settings(max_examples=40)
@given(
    st.sampled_from(MODES), st.sampled_from(["nearest", "bilinear"]), st.booleans(), st.booleans(), st.integers(0, 99)
)
def test_images_of_tensors_are_moved_as_images_of_arrays(keras, mode, interpolation, first, one, seed):
    rng, image = np.random.default_rng(seed), keras.ops.image
    side = tuple(rng.integers(1, 6, 2))
    x = rng.random((*side, 2) if one else (3, *side, 2)).astype(np.float32)
    x = np.moveaxis(x, -1, -3) if first else x
    by = np.array([1, 0, 0, 0, 1, 0, 0, 0]) + rng.uniform(-2, 2, (1 if one else 3, 8)) * ([1] * 6 + [0] * 2)
    named = {"interpolation": interpolation, "fill_mode": mode, "fill_value": 0.5}
    at = rng.uniform(-9, 9, (x.ndim, 4, 3)).astype(np.float32)
    corners = np.array([[0, 0], [3, 0], [0, 3], [3, 3]], np.float32) + rng.uniform(0, 1, (2, 4, 2)).astype(np.float32)
    how = {"data_format": "channels_first" if first else "channels_last"}
    calls = [
        lambda x: image.affine_transform(x, by[0] if one else by, **named, **how),
        lambda x: image.map_coordinates(x, at, int(interpolation == "bilinear"), mode, 0.5),
        lambda x: image.gaussian_blur(x, (3, 5), (0.5, 1.5), **how),
        lambda x: image.perspective_transform(x, *corners, interpolation, 0.5, **how),
        lambda x: image.sobel_edges(x[None] if one else x, **how),
    ]
    if not one and min(side) > 1:  # Keras' own squeezes axes of length 1 away
        calls.append(lambda x: image.elastic_transform(x, 2.0, 0.5, **named, seed=seed, **how))
    for f in calls:
        np.testing.assert_allclose(f(tg.Tensor(x)), f(x), rtol=1e-4, atol=2e-5)


def test_losses_of_sequences_have_gradients(keras):
    """Keras' CTC loss writes in place, which makes new tensors here."""
    x = np.random.default_rng(0).normal(size=(2, 6, 4))
    labels, lengths = np.array([[1, 2, 0], [3, 1, 2]]), (np.array([2, 3]), np.array([6, 5]))
    tg.testing.check_gradients(lambda x: keras.ops.ctc_loss(labels, x, *lengths), x, order=1)


@pytest.mark.parametrize("name", ["erf", "erfinv", "erfc"])
def test_error_functions_have_gradients(keras, name):
    tg.testing.check_gradients(getattr(keras.ops, name), np.array([0.1, -0.5, 0.7]))


def test_spectra_come_back(keras):
    x = np.random.default_rng(0).normal(size=(2, 40)).astype(np.float32)
    for window in ("hann", "hamming"):
        options = {"sequence_length": 12, "sequence_stride": 4, "fft_length": 16, "window": window}
        there = keras.ops.stft(tg.Tensor(x), **options)
        for mine, theirs in zip(there, keras.ops.stft(x, **options), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-5)
        back = keras.ops.istft(there, **options, length=40)
        np.testing.assert_allclose(np.asarray(back)[:, 8:32], x[:, 8:32], atol=1e-5)


def test_variables_in_numpy_keep_their_gradient(keras):
    weight = keras.Variable(np.ones(2, np.float32))
    loss = np.sum(np.multiply(np.array([2.0, 3.0], np.float32), weight)) + (np.ones(2, np.float32) * weight).sum()
    loss.backward()
    assert weight.value.grad.tolist() == [3.0, 4.0]
    weight.trainable = False
    assert not weight.value.requires_grad


def test_a_tensor_meets_a_variable_in_a_layer(keras):
    class Scaled(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(3,), initializer="ones")

        def call(self, x):
            return tg.concat([tg.exp(x) * self.w + tg.sqrt(self.w) @ self.w, self.w[None], tg.stack([self.w])])

    layer, x = Scaled(), tg.Tensor([[0.0, 0.0, 0.0]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0, 1.0]]
    assert layer.w.value.grad.tolist() == [7.5, 7.5, 7.5]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import keras; import tinygrad_conv.keras_backend", "expected to be imported before keras"),
        ("import importlib.metadata as m; m.version = lambda _: '9.9'; import tinygrad_conv.keras_backend", "got 9.9"),
    ],
)  # fmt: skip
def test_half_a_backend_is_never_installed(keras, code, told):
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.environ['KERAS_BACKEND'] = 'numpy'\n{code}"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "MissingExtraError" in done.stderr
    assert told in done.stderr


def test_the_variable_may_name_the_backend(keras):
    """Keras 3.15 knows no backends of others: the import before it is what counts."""
    done = subprocess.run(
        [sys.executable, "-c", "import tinygrad_conv.keras_backend, keras; print(keras.backend.backend())"],
        env=os.environ | {"KERAS_BACKEND": "tinygrad_conv"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "tinygrad_conv\n"


def test_one_process_has_one_backend(keras):
    """Keras would load itself again, on another backend by the name of this one."""
    keras.config.set_backend("tinygrad_conv")
    with pytest.raises(tg.errors.MissingExtraError, match=r"expected 'tinygrad_conv'.*got 'torch'; start a new proc"):
        keras.config.set_backend("torch")
    assert keras.backend.backend() == "tinygrad_conv"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_dtypes_that_numpy_has_not_are_refused_by_name(keras, policy):
    with pytest.raises((tg.errors.DTypeError, RuntimeError), match="bfloat16"):
        keras.layers.Dense(2, dtype=policy)(np.ones((1, 3), np.float32))


def test_mixed_precision_trains(keras):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((5,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, dtype="float32")]
        )
        model.compile(keras.optimizers.Adam(0.02), "mse", run_eagerly=True)
        x = np.random.default_rng(0).random((64, 5)).astype(np.float32)
        losses = model.fit(x, x.sum(1, keepdims=True), epochs=20, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[0](x).dtype == np.float16
    assert model.layers[0].kernel.dtype == "float32"
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize("axis", [None, -1, 0, (0, 2)])
def test_softmax_along_axes(keras, axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    e = np.exp(x - x.max())
    expected = e / e.sum(axis, keepdims=True)
    np.testing.assert_allclose(keras.ops.softmax(x, axis), expected, rtol=1e-5)
    np.testing.assert_allclose(keras.ops.log_softmax(x, axis), np.log(expected), rtol=1e-5)


def test_a_picture_knows_the_layers(keras):
    model = dict(models(keras))["residual"]
    graph = snapshot(model, fed(model, 0, 2)[0], values=True)
    classes = {module.path: module.kind for module in graph.modules}
    names = {
        layer.name: type(layer).__name__ for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)
    }
    assert classes == names
    assert {node.name for node in graph.nodes if node.kind == "parameter"} == {
        f"{layer.name}.{variable.name}" for layer in model.layers for variable in layer.trainable_variables
    }


def test_a_model_in_a_model_has_its_path(keras):
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="one")], name="inner")
    outer = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dense(1, name="two")], name="outer")
    graph = snapshot(lambda x: outer(x).sum(), np.ones((1, 3), np.float32))
    assert {node.module for node in graph.nodes if node.kind == "operation"} == {"inner.one", "two", ""}


class _EndedError(Exception):
    """As if the process had been killed."""


@pytest.mark.parametrize("how", ["arrays", "some steps", "sequence", "generator"])
@pytest.mark.parametrize("every", [2, "epoch"])
def test_a_fit_goes_on_inside_its_epoch(keras, how, every, tmp_path):
    """To the bit, however it is fed and wherever it ends; each time its random numbers begin elsewhere."""

    class Rows(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.turn = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            own = slice(5 * ((index + self.turn) % 4), None)
            return x[own][:5], y[own][:5]

        def on_epoch_end(self):
            self.turn += 1

    def endless():
        for k in itertools.count():
            yield x[k % 9 : k % 9 + 5], y[k % 9 : k % 9 + 5]

    def fit(folder, seed, ends=0):
        keras.utils.set_random_seed(seed)
        inner = [keras.layers.Dropout(0.3), keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")]
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), *inner])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        seen = itertools.count(1)

        def end(batch, logs):
            if next(seen) == ends:
                raise _EndedError

        ending = keras.callbacks.LambdaCallback(on_train_batch_end=end)
        given = {
            "arrays": {"x": x, "y": y, "batch_size": 6}, "sequence": {"x": Rows(), "shuffle": False},
            "some steps": {"x": x, "y": y, "batch_size": 5, "steps_per_epoch": 2},
            "generator": {"x": endless(), "steps_per_epoch": 3, "shuffle": False},
        }[how]  # fmt: skip
        calls = [keras.callbacks.BackupAndRestore(folder, every), ending]
        history = model.fit(**given, epochs=4, verbose=0, callbacks=calls).history
        return [w.tobytes() for w in model.get_weights()], {name: values[-1] for name, values in history.items()}

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)).astype("f"), rng.integers(0, 3, 20)
    expected = fit(tmp_path / "whole", 0)
    assert not (tmp_path / "whole").exists()
    folder = tmp_path / "ended"
    for seed, ends in enumerate((5, 3, 0)):
        try:
            found = fit(folder, seed, ends)
        except _EndedError:
            assert [path.name for path in folder.iterdir()] == ["backup.npz"]
    assert found == expected
    with pytest.raises(_EndedError):
        fit(folder, 0, 5)
    path = folder / "backup.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    text = str(kept["place"])
    one, other = text.replace("MT19937", "MT", 1), "MT".join(text.rsplit("MT19937", 1))  # of two generators' places
    for place in (text.replace(text[1], "-1", 1), text[:-1], "[]", one, other, "[1, 1, 1, 1, 1]"):
        np.savez(path, **{**kept, "place": place})
        with pytest.raises(tg.errors.DataError, match=r"backup\.npz: expected a backup of this training"):
            fit(folder, 0)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(tg.errors.DataError, match="delete it to begin anew"):
        fit(folder, 0)


def test_a_callback_runs_between_the_steps(keras):
    """One that is given alone too: Keras calls it from other threads, while the next steps write to the weights."""
    seen = []

    class Looking(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, int(self.model.optimizer.iterations), threading.current_thread()))

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    model.compile("adam", "mse")
    for callbacks in (Looking(), [Looking()], keras.callbacks.CallbackList(Looking(), model=model)):
        model.optimizer.iterations.assign(0)
        model.fit(np.eye(12, 4), np.eye(12, 5), batch_size=2, verbose=0, callbacks=callbacks)
    assert seen == [(k, k + 1, threading.main_thread()) for k in range(6)] * 3


def test_a_damaged_backup_changes_nothing(keras, tmp_path):
    """Neither variables nor random numbers nor how far the training is; whatever is taken over can be gone on from."""
    from tinygrad_conv.keras_backend import backup

    class Restoring(keras.callbacks.BackupAndRestore):
        def on_train_begin(self, logs=None):
            def state():
                variables = [v.numpy().tobytes() for v in backup._variables(self.model)]
                progress = self._load_model.func.__self__
                return variables, backup._randomness(), progress.epoch, progress.batch, progress._now

            self.found = changed(state, super().on_train_begin)
            raise _EndedError

    class Ending(keras.callbacks.BackupAndRestore):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self._current_epoch and batch == 3:
                raise _EndedError

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dropout(0.3)])
    model.compile("adam", "mse", metrics=["mae"])
    path = tmp_path / "backup.npz"

    def read(path, kind=Restoring):
        calls = kind(tmp_path, 1)
        with suppress(_EndedError):
            model.fit(np.eye(12, 4), np.eye(12, 5), batch_size=2, epochs=3, verbose=0, callbacks=calls)
        return calls.found if kind is Restoring else None

    read(path, Ending)
    whole = path.read_bytes()
    expected = attempt(read, path)

    @given(how=st.sampled_from([*DAMAGES, *ENTRIES]), at=st.integers(0, 2**16))
    def check(how, at):
        if how in ENTRIES:
            with_a_damaged_entry(whole, how, at, path)
        else:
            path.write_bytes(how(whole, np.random.default_rng(at)) or b"\0")
        found = attempt(read, path)
        assert isinstance(found, tg.errors.DataError) or (how in DAMAGES and found == expected)

    check()


def test_random_numbers_that_lie_are_refused(keras):
    """NumPy believes the place in its numbers, and reads beyond them."""
    from tinygrad_conv.keras_backend import backup

    numbers, gauss, kind, keys, _, *rest = json.loads(backup._randomness())
    for lie in (-1, len(keys) + 1, 2**31 - 1, None):
        with pytest.raises((ValueError, TypeError)):
            backup._draw_on(json.dumps([numbers, gauss, kind, keys, lie, *rest]))
