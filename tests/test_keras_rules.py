"""The front's numbers are Keras 3's: update rules, losses, metrics and layers, against formulas written as loops."""

import inspect
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.errors import ArgumentError, DTypeError, ShapeError
from tinygrad_conv.keras import callbacks, layers, losses, metrics, optimizers

# --- optimisers, one number at a time -----------------------------------------------------------------------------
# Each takes the parameter, its gradient at each step, and the learning rate of each step.


def sgd(p, grads, rates, momentum=0.0, nesterov=False):
    m = 0.0
    for g, lr in zip(grads, rates, strict=True):
        m = momentum * m - lr * g
        p += momentum * m - lr * g if nesterov else m
    return p


def adam(p, grads, rates, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(grads, rates, strict=True), 1):
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        p -= lr * math.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (math.sqrt(v) + epsilon)
    return p


def rmsprop(p, grads, rates, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    s = mean = v = 0.0
    for g, lr in zip(grads, rates, strict=True):
        s = rho * s + (1 - rho) * g * g
        mean = rho * mean + (1 - rho) * g
        v = momentum * v + lr * g / math.sqrt(s - (mean * mean if centered else 0.0) + epsilon)
        p -= v
    return p


def adagrad(p, grads, rates, initial_accumulator_value=0.1, epsilon=1e-7):
    s = initial_accumulator_value
    for g, lr in zip(grads, rates, strict=True):
        s += g * g
        p -= lr * g / math.sqrt(s + epsilon)
    return p


FORMULAS = {"SGD": sgd, "Adam": adam, "AdamW": adam, "RMSprop": rmsprop, "Adagrad": adagrad}
OPTIMIZERS = [
    name
    for name in optimizers.__all__
    if isinstance(getattr(optimizers, name), type) and getattr(optimizers, name) is not optimizers.Optimizer
]
fraction, small = st.sampled_from([0.0, 0.5, 0.9]), st.sampled_from([1e-7, 1e-2, 0.5])
SETTINGS = {
    "momentum": fraction, "nesterov": st.booleans(), "beta_1": fraction, "beta_2": st.sampled_from([0.5, 0.999]),
    "epsilon": small, "rho": fraction, "centered": st.booleans(), "initial_accumulator_value": small,
}  # fmt: skip


def test_every_optimiser_of_the_front_has_a_formula_here():
    assert set(FORMULAS) == set(OPTIMIZERS)


KERAS_DEFAULTS = {  # of Keras 3
    "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
    "Adam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "AdamW": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.004},
    "RMSprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
    "Adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
}


LAYER_DEFAULTS = {  # of the numbers, in Keras 3
    "BatchNormalization": {"axis": -1, "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True},
    "LayerNormalization": {"axis": -1, "epsilon": 0.001, "center": True, "scale": True},
    "ReLU": {"negative_slope": 0.0, "threshold": 0.0}, "LeakyReLU": {"negative_slope": 0.3},
    "Softmax": {"axis": -1},
    "Rescaling": {"offset": 0.0}, "GlobalAveragePooling2D": {"keepdims": False},
}  # fmt: skip


@pytest.mark.parametrize("name", LAYER_DEFAULTS)
def test_the_defaults_of_layers_are_those_of_keras(name):
    parameters = inspect.signature(getattr(layers, name)).parameters
    assert {key: parameters[key].default for key in LAYER_DEFAULTS[name]} == LAYER_DEFAULTS[name]


def test_the_defaults_of_every_optimiser_are_those_of_keras():
    kinds = {name: inspect.signature(getattr(optimizers, name)).parameters for name in OPTIMIZERS}
    given = {name: {key: p.default for key, p in kind.items() if p.default is not None} for name, kind in kinds.items()}
    assert given == KERAS_DEFAULTS
    for name, defaults in KERAS_DEFAULTS.items():  # and they can be read, and assigned
        optimizer = getattr(optimizers, name)()
        assert {key: getattr(optimizer, key) for key in defaults} == defaults
        for key in {*defaults, "clipnorm", "clipvalue", "global_clipnorm", "weight_decay"} - {"learning_rate"}:
            with pytest.raises((ArgumentError, DTypeError), match=f"^{name}: expected {key} to be "):
                setattr(optimizer, key, -1)


@given(st.data())
@settings(max_examples=60)
def test_every_optimiser_follows_the_rule_of_keras(data):
    """With learning rates that change from step to step, decay of weights, settings that are given or assigned later,
    and either form of the kernels."""
    name = data.draw(st.sampled_from(OPTIMIZERS))
    formula = FORMULAS[name]
    known = formula.__code__.co_varnames[3 : formula.__code__.co_argcount]
    chosen = {key: data.draw(SETTINGS[key]) for key in known if data.draw(st.booleans())}
    if not chosen.get("momentum"):
        chosen.pop("nesterov", None)
    decay = data.draw(st.sampled_from([0.0, 0.1]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    start, grads, rates = rng.normal(size=3), rng.normal(size=(5, 3)), rng.uniform(0, 0.3, 5).tolist()
    w = nn.Parameter(start)
    later = data.draw(st.sampled_from(["given", "before", "after"]))
    settings = {"weight_decay": decay, **chosen}
    optimizer = getattr(optimizers, name)(lambda step: rates[step], **(settings if later == "given" else {}))
    if later == "after":
        optimizer.bind([w])
    for key, value in settings.items():
        setattr(optimizer, key, value)
    optimizer.bind([w])
    with tg.use_kernels(data.draw(st.sampled_from(["plain", "auto"]))):
        for g in grads:
            w.grad = g
            optimizer.step()
    for k in range(3):
        p, steps = start[k], range(len(rates))
        if decay:  # before each step the parameter shrinks: a step of a rule does not look at it
            for step in steps:
                before = formula(0.0, grads[:step, k], rates[:step], **chosen)
                p = (
                    p * (1 - rates[step] * decay)
                    + formula(0.0, grads[: step + 1, k], rates[: step + 1], **chosen)
                    - before
                )
        else:
            p = formula(p, grads[:, k], rates, **chosen)
        assert w.numpy()[k] == pytest.approx(p, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_is_the_same_in_a_compiled_step(name):
    def trained(eagerly):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
        options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        rate = optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        model.compile(getattr(optimizers, name)(rate, **options, clipnorm=0.5), "mse", run_eagerly=eagerly)
        x = np.random.default_rng(1).normal(size=(12, 4))
        model.fit(x, x[:, :3], batch_size=4, epochs=3, verbose=0)
        return model.get_weights()

    with tg.use_kernels("plain"):
        for one, other in zip(trained(True), trained(False), strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_learning_rate_of_0_is_legal_and_changes_nothing():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile(optimizers.SGD(0.0), "mse")
    before = model.get_weights()
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    warm = callbacks.LearningRateScheduler(lambda epoch, lr: 0.1 * epoch)
    rates = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=warm).history["learning_rate"]
    assert rates == [0.0, 0.1, 0.2]


def test_settings_that_keras_does_not_have_are_refused_by_name():
    for make, message in (
        (lambda: optimizers.Adam(betas=(0.5, 0.5)), "Adam: unknown argument 'betas': use 'beta_[12]'"),
        (lambda: optimizers.Adagrad(initial=5.0), "unknown argument 'initial': use 'initial_accumulator_value'"),
        (lambda: optimizers.Adam(amsgrad=True), "unknown argument 'amsgrad'"),
        (lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0), "one limit, got clipnorm and clipvalue"),
        (lambda: optimizers.SGD(learning_rate=float("nan")), "learning_rate to be a finite number >= 0, got nan"),
        (lambda: optimizers.Adam(beta_1=1.0), r"beta_1 to be a number in \[0, 1\), got 1.0"),
        (
            lambda: optimizers.schedules.ExponentialDecay(float("nan"), 10, 0.5),
            "initial_learning_rate to be",
        ),
        (lambda: optimizers.schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps to be an int >= 1, got 0"),
        (lambda: tg.optim.CosineDecay(float("nan"), 10), "lr to be a finite number"),
    ):
        with pytest.raises((ArgumentError, DTypeError), match=message):
            make()


def test_schedules():
    class Halves(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5**step

    for rate in (Halves(), lambda step: 0.5**step):
        assert optimizers.SGD(rate).learning_rate == 1.0
    assert optimizers.SGD(lambda: 0.25).learning_rate == 0.25  # a function of nothing, as in Keras


# --- losses -------------------------------------------------------------------------------------------------------

Y, P = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.7, 0.3], [0.2, 0.8]])
WEIGHTS = np.array([2.0, 0.5, 0.0])


def clipped(p, low=1e-7, high=1 - 1e-7):
    return np.clip(p.astype("float32"), low, high).astype("float64")


EACH = {
    "kl_divergence": lambda y, p: (clipped(y, high=1) * np.log(clipped(y, high=1) / clipped(p, high=1))).sum(-1),
    "categorical_crossentropy": lambda y, p: -(y * np.log(clipped(p))).sum(-1),
    "binary_crossentropy": lambda y, p: -(y * np.log(clipped(p)) + (1 - y) * np.log(1 - clipped(p))).mean(-1),
    "mean_squared_error": lambda y, p: ((y - p) ** 2).mean(-1),
    "mean_absolute_error": lambda y, p: abs(y - p).mean(-1),
}


@pytest.mark.parametrize("name", sorted(losses._KINDS))
def test_every_loss_weighs_and_reduces_as_keras_does(name):
    kind, y = losses._KINDS[name], Y
    if name == "sparse_categorical_crossentropy":
        each, y = EACH["categorical_crossentropy"](Y, P), Y.argmax(-1)
    else:
        each = EACH[name](Y, P)
    expected = {
        "sum_over_batch_size": (each * WEIGHTS).mean(), "mean": (each * WEIGHTS).mean(), "sum": (each * WEIGHTS).sum(),
        "mean_with_sample_weight": (each * WEIGHTS).sum() / WEIGHTS.sum(), "none": each * WEIGHTS, None: each * WEIGHTS,
    }  # fmt: skip
    for reduction, value in expected.items():
        for weights in (WEIGHTS, WEIGHTS[:, None]):
            np.testing.assert_allclose(kind(reduction=reduction)(y, P, weights).numpy(), value, rtol=2e-4)
    assert kind()(y, P).item() == pytest.approx(each.mean(), rel=2e-4)
    np.testing.assert_allclose(getattr(losses, name)(y, P).numpy(), each, rtol=2e-4)
    assert isinstance(losses.get(getattr(losses, name)), kind)
    assert isinstance(losses.get(kind.__name__), kind)  # by the name of its class, too
    with pytest.raises(ArgumentError, match="reduction"):
        kind(reduction="average")


def test_weights_of_places_within_examples():
    y, p = np.zeros((2, 3, 1)), np.arange(6.0).reshape(2, 3, 1)
    mse = losses.MeanSquaredError()
    for weights in (np.array([2.0, 0.0]), np.array([[2.0], [0.0]])):
        assert mse(y, p, weights).item() == pytest.approx((p[0] ** 2).sum() * 2 / 6)
    places = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    assert mse(y, p, places).item() == pytest.approx(3 * 25 / 6)
    with pytest.raises(ShapeError, match=r"a weight for each example, or for each of the losses \(2, 3\), got \(3,\)"):
        mse(y, p, np.ones(3))


def test_a_loss_of_ones_own_is_computed_from_what_the_model_puts_out():
    class Miss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return 1 - (y_true * y_pred).sum(axis=-1)

    class Doubled(keras.losses.CategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return 2 * super().call(y_true, y_pred)

    x, y = np.random.default_rng(0).normal(size=(8, 3)), np.eye(2)[[0, 1] * 4]
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    p = model.predict(x)
    for loss, expected in (
        (Miss(), (1 - (y * p).sum(-1)).mean()), (Doubled(), -2 * np.log((y * p).sum(-1)).mean()),
        (lambda a, b: abs(a - b).mean(axis=-1), abs(y - p).mean()),
    ):  # fmt: skip
        model.compile(optimizers.SGD(0.0), loss)
        assert model.evaluate(x, y) == pytest.approx(expected, rel=1e-4)
        assert model.fit(x, y, verbose=0).history["loss"] == pytest.approx([expected], rel=1e-4)
    seen = []
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", lambda a, b: seen.append(a.shape) or ((a - b) ** 2).mean(axis=-1))
    model.evaluate(x, y[:, 0])  # one label per example: as many axes as the output, or they would spread to (8, 8)
    assert seen == [(8, 1)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", [*sorted(losses._KINDS), "logits", "a function", "a class"])
def test_steps_are_replayed_with_every_loss(name, weighted, capsys):
    """Python code of the model runs when a step is recorded, and no more."""

    class Own(losses.Loss):
        def call(self, y_true, y_pred):
            return abs(y_true - y_pred).mean(axis=-1)

    own = {"a function": lambda a, b: abs(a - b).mean(axis=-1), "a class": Own(),
           "logits": losses.SparseCategoricalCrossentropy(from_logits=True)}  # fmt: skip
    x = np.random.default_rng(0).uniform(0.1, 0.9, (6, 4))
    last = layers.Activation(lambda z: print("ran") or tg.softmax(z))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), last])
    model.compile("sgd", own.get(name, name), metrics=["accuracy", "mae" if "sparse" not in name else "accuracy"])
    y = np.array([0, 1, 2, 0, 1, 2])
    y = y if "sparse" in name or name == "logits" else np.eye(3)[y]
    extra = {"sample_weight": np.arange(6.0)[:, None], "class_weight": {0: 2.0}} if weighted else {}
    if name == "logits":
        model.compile("sgd", own[name])
    model.fit(x, y, epochs=9, verbose=0, **extra)
    assert capsys.readouterr().out.count("ran") <= 2


# --- metrics ------------------------------------------------------------------------------------------------------

SPARSE = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("units", "activation", "labels", "loss", "kind"),
    [
        (3, "softmax", np.eye(3)[[0, 1, 2, 0]], "binary_crossentropy", metrics.CategoricalAccuracy),
        (3, "sigmoid", np.eye(3)[[0, 1, 2, 0]], "binary_crossentropy", metrics.CategoricalAccuracy),
        (1, "sigmoid", np.array([0, 1, 1, 0]), "binary_crossentropy", metrics.BinaryAccuracy),
        (1, None, np.array([[0], [1], [1], [0]]), "mse", metrics.BinaryAccuracy),
        (3, None, np.eye(3)[[0, 1, 2, 0]], "mse", metrics.CategoricalAccuracy),
        (3, "softmax", np.array([0, 1, 2, 0]), SPARSE, metrics.SparseCategoricalAccuracy),
        (3, "softmax", np.array([[0], [1], [2], [0]]), SPARSE, metrics.SparseCategoricalAccuracy),
    ],
)  # fmt: skip
def test_accuracy_is_chosen_by_shapes(units, activation, labels, loss, kind):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, metrics=["accuracy", "acc"])
    x = np.random.default_rng(0).normal(size=(4, 2))
    model.fit(x, labels, verbose=0)
    assert [type(metric) for metric in model.metrics] == [kind, kind]
    p, flat = model.predict(x), labels.reshape(4, -1)
    hits = (p > 0.5) == flat if units == 1 else p.argmax(-1) == (flat[:, 0] if flat.shape[1] == 1 else flat.argmax(-1))
    assert model.evaluate(x, labels, return_dict=True)["accuracy"] == pytest.approx(hits.mean())


def test_thresholds_are_those_of_what_the_model_puts_out():
    """Keras compares logits with 0.5, too, if the model puts out logits."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    x = np.array([[-1.0], [0.2], [0.4], [0.6]])
    assert model.evaluate(x, x > 0, return_dict=True)["accuracy"] == 0.5


def test_binary_accuracy_asks_for_the_label_itself():
    assert metrics.BinaryAccuracy()([[1.0], [0.0], [0.7]], [[0.9], [0.9], [0.9]]) == pytest.approx(1 / 3)


def test_weighted_metrics():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    x, y, w = np.random.default_rng(0).normal(size=(6, 2)), np.arange(6.0), np.arange(6.0)
    error = model.predict(x)[:, 0] - y
    got = model.evaluate(x, y, sample_weight=w, return_dict=True)
    assert got == pytest.approx(
        {"loss": (error**2 * w).mean(), "mae": abs(error).mean(), "mse": (error**2 * w).sum() / w.sum()}, rel=1e-5
    )


def test_metrics_of_one_name_are_all_in_the_logs():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae", "mae"], weighted_metrics=["mae", "mae"])
    x, y, w = np.random.default_rng(0).normal(size=(6, 2)), np.arange(6.0), np.arange(6.0)
    got = model.evaluate(x, y, sample_weight=w, return_dict=True)
    assert list(got) == ["loss", "mae", "mae_1", "weighted_mae", "weighted_mae_1"]
    error = abs(model.predict(x)[:, 0] - y)
    assert got["mae"] == got["mae_1"] == pytest.approx(error.mean(), rel=1e-5)
    assert got["weighted_mae"] == pytest.approx((error * w).sum() / w.sum(), rel=1e-5)


def test_what_a_callback_adds_is_of_its_epoch():
    ended = []
    calls = [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), SimpleNamespace(on_train_end=ended.append)]
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=calls).history
    assert list(history) == ["loss", "learning_rate"]
    assert [list(logs) for logs in ended] == [["loss"]]


def test_a_metric_of_ones_own():
    class Count(metrics.Metric):
        def __init__(self, name="count"):
            super().__init__(name=name)
            self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")
            self.calls = []

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.calls.append((y_true.shape, y_pred.shape))
            self.seen.assign_add(len(y_true))

        def result(self):
            return self.seen

    class Both(metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            self.most = y_pred.max()

        def result(self):
            return {"most": self.most, "twice": 2 * self.most}

    class Never(metrics.CategoricalAccuracy):
        def update_state(self, y_true, y_pred, sample_weight=None):
            assert abs(y_pred.numpy().sum(-1) - 1).max() < 1e-5  # probabilities, where the loss is given logits

    count = Count()
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[count, Both(), Never("never")])
    x, y = np.random.default_rng(0).normal(size=(10, 3)), np.eye(2)[[0, 1] * 5]
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0).history
    assert history["count"] == [10, 10]  # reset at each epoch
    assert count.calls[:3] == [((4, 2), (4, 2)), ((4, 2), (4, 2)), ((2, 2), (2, 2))]
    assert history["twice"] == pytest.approx([2 * most for most in history["most"]])
    assert count(y, y) == 20.0
    count.reset_state()
    assert count.result().item() == 0.0
    with pytest.raises(NotImplementedError, match="define update_state"):
        metrics.Metric()([1], [1])


# --- layers -------------------------------------------------------------------------------------------------------


def test_activations_by_name_mean_what_keras_means():
    x = np.array([[-2.0, 0.5]], "float32")
    for layer in (
        layers.Activation("leaky_relu"),
        layers.Dense(2, "leaky_relu", kernel_initializer=lambda s: np.eye(2)),
    ):
        np.testing.assert_allclose(layer(x).numpy(), [[-0.4, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(keras.activations.get("leaky_relu")(x), [[-0.4, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(nn.Activation("leaky_relu")(x).numpy(), [[-0.02, 0.5]], rtol=1e-6)  # as in PyTorch
    np.testing.assert_allclose(layers.LeakyReLU()(x).numpy(), [[-0.6, 0.5]], rtol=1e-6)
    y = layers.ReLU(max_value=2.0, negative_slope=0.5, threshold=1.0)(np.array([-1.0, 0.0, 1.0, 1.5, 3.0], "float32"))
    np.testing.assert_allclose(y.numpy(), [-1.0, -0.5, 1.0, 1.5, 2.0])


@given(kernel=st.integers(1, 4), dilation=st.integers(1, 3), stride=st.integers(1, 2), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_causal_convolutions_do_not_look_ahead(kernel, dilation, stride, seed):
    if stride > 1:
        dilation = 1
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1, 9, 2)).astype("float32")
    layer = layers.Conv1D(3, kernel, strides=stride, padding="causal", dilation_rate=dilation, use_bias=False)
    y = layer(x).numpy()
    assert y.shape == (1, -(-9 // stride), 3)
    w = layer.kernel.numpy()
    for t in range(y.shape[1]):
        reads = [t * stride - dilation * (kernel - 1 - k) for k in range(kernel)]
        expected = sum(x[0, at] @ w[k] for k, at in enumerate(reads) if at >= 0)
        np.testing.assert_allclose(y[0, t], expected, rtol=1e-4, atol=1e-5)


def test_padding_and_data_format_in_capitals():
    assert layers.Conv2D(2, 3, padding="SAME").padding == "same"
    assert layers.MaxPooling2D(2, padding="Valid").padding == "valid"
    assert layers.Conv2D(2, 3, data_format="Channels_First").first
    with pytest.raises(ArgumentError, match="got 'causal'"):
        layers.Conv2D(2, 3, padding="causal")


@given(st.sampled_from([(None, 1), (1, None), (1, 1), (None, None), (6, 1)]), st.integers(0, 99))
@settings(max_examples=15)
def test_dropout_drops_together_along_axes_of_1(noise_shape, seed):
    for layer in (layers.Dropout(0.5, noise_shape, seed), nn.Dropout(0.5, seed, noise_shape=noise_shape)):
        y = layer(np.ones((6, 5), "float32"), training=True).numpy()
        shape = [n if size is None else size for n, size in zip((6, 5), noise_shape, strict=True)]
        mask = y[tuple(slice(n) for n in shape)]
        np.testing.assert_array_equal(y, np.broadcast_to(mask, y.shape))
        assert set(y.ravel()) <= {0.0, 2.0}
    with pytest.raises(ShapeError, match="expected noise_shape with 1, None or x's size"):
        layers.Dropout(0.5, (None, 2))(np.ones((6, 5), "float32"), training=True)


def test_weights_by_the_names_of_keras():
    for layer, shape, names in (
        (layers.Dense(2), (3,), ["kernel", "bias"]), (layers.Conv2D(2, 3), (5, 5, 1), ["kernel", "bias"]),
        (layers.Conv2DTranspose(2, 3), (5, 5, 1), ["kernel"]),
        (layers.BatchNormalization(), (3,), ["gamma", "beta", "moving_mean", "moving_variance"]),
        (layers.LayerNormalization(), (3,), ["gamma", "beta"]),
    ):  # fmt: skip
        if names[0] not in ("gamma", "beta"):
            with pytest.raises(AttributeError, match="made for its first input"):
                getattr(layer, names[0])
        layer.build((None, *shape))
        assert {id(getattr(layer, name)) for name in names} <= set(map(id, layer.weights))
        assert layer.count_params() == sum(weight.size for weight in layer.weights)
        for mine, copy in zip(layer.weights, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(mine.numpy(), copy)
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_variables) == 2


def test_separable_convolutions_draw_each_step_by_itself():
    layer = nn.SeparableConv2D(3, 2, weight_init="ones", pointwise_init="zeros")
    layer.build((None, 4, 4, 2))
    assert (layer.depthwise.numpy() == 1).all()
    assert (layer.pointwise.numpy() == 0).all()


def test_rescaling_by_channel():
    assert repr(layers.Rescaling([1.0, 2.0], offset=[0.0, 1.0])) == "Rescaling([1.0, 2.0], offset=[0.0, 1.0])"
    y = layers.Rescaling([1.0, 2.0], offset=[0.0, 1.0])(np.ones((1, 2), "float32"))
    assert y.tolist() == [[1.0, 3.0]]
    assert y.dtype == np.float32
    with pytest.raises(DTypeError, match="expected scale to be a number"):
        layers.Rescaling("a")


def test_group_norm_over_another_axis():
    x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    layer = nn.GroupNorm(3, axis=1)
    moved = nn.GroupNorm(3)(x.transpose(0, 2, 1)).numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(layer(x).numpy(), moved, rtol=1e-5, atol=1e-6)
    assert layer.gamma.shape == (6,)
