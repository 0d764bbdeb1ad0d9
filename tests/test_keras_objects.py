"""Keras' models and layers under this library's eyes, and programs that the front does not run.

Summaries, profiles, checks, steps, the microscope. In a process of their own, `-m keras`.
"""

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import nn
from tinygrad_conv.errors import DTypeError, MissingExtraError
from tinygrad_conv.testing import GradientError, check_gradients, from_keras
from tinygrad_conv.testing.mutation import mutants_of, planted

pytestmark = pytest.mark.keras


def residual(keras, dropout=0.3):
    """A model with a branch, and one inside of it."""
    layers, image = keras.layers, keras.Input((6, 6, 3))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="conv")(image))
    x = layers.Dropout(dropout, name="drop")(x)
    x = layers.Add(name="add")([x, layers.Conv2D(4, 1, name="one")(x)])
    inner = keras.Sequential([layers.Flatten(name="flatten"), layers.Dense(5, name="inner")], name="seq")
    return keras.Model(image, layers.Dense(2, activation="softmax", name="out")(inner(x)))


def test_a_summary_counts_as_nn_does(keras):
    model = residual(keras)
    rows = nn.rows(model, (None, 6, 6, 3))
    assert [(row.name, row.kind, row.output_shape, row.parameters, row.fixed) for row in rows] == [
        ("conv", "Conv2D", (None, 6, 6, 4), 112, 0), ("norm", "BatchNormalization", (None, 6, 6, 4), 8, 8),
        ("drop", "Dropout", (None, 6, 6, 4), 0, 0), ("one", "Conv2D", (None, 6, 6, 4), 20, 0),
        ("add", "Add", (None, 6, 6, 4), 0, 0), ("seq.flatten", "Flatten", (None, 144), 0, 0),
        ("seq.inner", "Dense", (None, 5), 725, 0), ("out", "Dense", (None, 2), 12, 0),
    ]  # fmt: skip
    assert sum(row.parameters + row.fixed for row in rows) == model.count_params()
    ours = nn.Sequential(nn.Conv2D(4, 3, padding="same"), nn.Conv2D(4, 1), nn.Flatten(), nn.Dense(5))
    theirs = [row.flops for row in rows if row.name in ("conv", "one", "seq.inner")]
    assert theirs == [row.flops for row in nn.rows(ours, (None, 6, 6, 3)) if row.kind != "Flatten"]
    assert "seq.inner" in nn.summary(model, (None, 6, 6, 3))
    model.get_layer("conv").trainable = False
    assert nn.rows(model, (None, 6, 6, 3))[0].fixed == 112


def test_summaries_of_other_models(keras):
    layers = keras.layers
    assert nn.rows(layers.Dense(10), (None, 784))[0].flops == nn.rows(nn.Dense(10), (None, 784))[0].flops
    one, two, shared = keras.Input((3,)), keras.Input((3,)), layers.Dense(2, name="shared")
    model = keras.Model([one, two], layers.Concatenate()([shared(one), shared(two)]))
    rows = nn.rows(model, [(None, 3), (None, 3)])
    assert [(row.name, row.parameters) for row in rows if row.kind == "Dense"] == [("shared", 8), ("shared", 0)]
    assert len({row.flops for row in rows if row.kind == "Dense"}) == 1

    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(3, name="dense")

        def build(self, shape):
            self.scale = self.add_weight(shape=(3,))

        def call(self, x):
            return self.dense(x) * self.scale

    (dense, own) = nn.rows(Own(), (None, 4))
    assert (dense.name, own.name, own.parameters, own.flops) == ("dense", "own", 3, 3)
    with pytest.raises(DTypeError, match="rows: expected model to be a Layer"):
        nn.rows("model", (None, 3))


def test_a_profile_knows_the_layers(keras):
    model, x = residual(keras), np.ones((2, 6, 6, 3), np.float32)
    with tg.profile() as profile:
        model(x, training=True).sum().backward()
    rows = {row.module: row for row in profile.table(by="module").rows if row.direction == "forward"}
    assert {"conv", "norm", "drop", "one", "add", "seq.inner", "out"} <= rows.keys()
    assert rows["conv"].flops == 2 * nn.rows(model, (None, 6, 6, 3))[0].flops
    assert any(row.direction == "backward" and row.module == "conv" for row in profile.table(by="module").rows)


def test_gradients_of_layers_by_their_variables(keras):
    dense, x = keras.layers.Dense(2, activation="tanh", name="dense"), np.random.default_rng(0).normal(size=(3, 4))
    dense.build((None, 4))
    check_gradients(from_keras(dense), x)
    assert from_keras(dense)(tg.Tensor(x)).dtype == np.float64
    assert str(dense(x).dtype) == dense.kernel.dtype == "float32"
    model = residual(keras)
    states = [variable.numpy() for variable in model.variables]
    for training in (False, True):
        adapted = from_keras(model)
        check_gradients(
            lambda x, f=adapted, how=training: f(x, training=how),
            np.random.default_rng(1).normal(size=(2, 6, 6, 3)),
            order=1,
        )
    small = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), dense])
    check_gradients(from_keras(small), x, order=1)
    assert all(np.array_equal(a, v.numpy()) for a, v in zip(states, model.variables, strict=True))
    assert not any(np.asarray(w.numpy()).dtype == np.float64 for w in model.weights)


def test_layers_without_variables_are_checked_in_float64_too(keras):
    """In that of Keras, float32, a slope that is wrong by a thousandth in some shapes lived."""
    layers, x = keras.layers, np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    for layer, primitive in (
        (layers.MaxPooling2D(2), "pool_max"), (layers.AveragePooling2D(2, padding="same"), "pool_mean"),
        (layers.Softmax(), "softmax"), (layers.UpSampling2D(2, interpolation="bilinear"), None), (layers.ELU(), None),
    ):  # fmt: skip
        f = from_keras(layer)
        assert f(tg.Tensor(x)).dtype == np.float64
        assert f(tg.Tensor(x.astype("float32"))).dtype == np.float32
        check_gradients(f, x, order=1)
        for mutant in mutants_of(tg.primitives()[primitive]) if primitive else ():
            if mutant.site == "vjp" and mutant.mutation.name in ("wrong only for H != W", "negate"):
                with planted(mutant), pytest.raises(GradientError):
                    check_gradients(f, x, order=1, explain=False)


def test_a_wrong_gradient_of_a_layer_is_named(keras):
    ops = keras.ops

    @ops.custom_gradient
    def scaled(x, w):
        return x * w, lambda g: (g * w, ops.sum(g, axis=0))

    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=shape[-1:], name="w", initializer="ones")

        def call(self, x):
            return scaled(x, self.w)

    layer = Scale()
    layer.build((None, 3))
    with pytest.raises(GradientError, match="parameter w"):
        check_gradients(from_keras(layer), np.random.default_rng(0).normal(size=(2, 3)), order=1, modes=("reverse",))
    with pytest.raises(DTypeError, match="expected a layer of Keras, got function"):
        from_keras(lambda x: x)
    with pytest.raises(MissingExtraError, match=r"import tinygrad_conv\.keras_backend before import keras"):
        from_keras(3)


def test_backward_steps_of_a_model(keras):
    model, x = residual(keras, 0.0), np.random.default_rng(0).random((2, 6, 6, 3), np.float32)
    labels = np.array([0, 1])
    losses = [keras.losses.SparseCategoricalCrossentropy()(labels, model(x, training=True)) for _ in range(2)]
    steps = list(losses[0].backward_steps())
    found = [variable.grad.numpy() for variable in model.trainable_variables]
    assert {step.node.module for step in steps} >= {"conv", "norm", "one", "seq.inner", "out"}
    for variable in model.trainable_variables:
        variable.value.grad = None
    losses[1].backward()
    for variable, gradient in zip(model.trainable_variables, found, strict=True):
        np.testing.assert_array_equal(variable.grad.numpy(), gradient)


def test_the_microscope_on_layers(keras):
    layer = keras.layers.Conv2D(2, 2, strides=2, name="conv")
    x = np.random.default_rng(0).random((1, 4, 4, 1), np.float32)
    text = str(tg.microscope(layer, x).explain(y=1, x=0, channel=1))
    assert "conv y[n=0, y=1, x=0, channel=1]" in text
    assert text.count("x[0, ") == 8  # four products, forward and backward
    dense = keras.layers.Dense(3)
    assert "sum of 4 products" in str(tg.microscope(dense, np.ones((1, 4), np.float32)).explain())


# ------------------------------------------------------------------------------------------------------------------
# Programs that the front does not run: ../shared/reports has the same


def test_a_functional_model_with_a_skip(keras):
    layers, i = keras.layers, keras.Input(shape=(8, 8, 1))
    h = layers.Conv2D(1, 3, padding="same")(i)
    model = keras.Model(i, layers.Add()([h, i]))
    assert model.predict(np.ones((2, 8, 8, 1)), verbose=0).shape == (2, 8, 8, 1)


def test_save_and_load_with_the_state_of_the_optimizer(keras, tmp_path):
    model = keras.Sequential([keras.Input(shape=(2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="adam")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for one in (model, again):
        one.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    one = np.ones((1, 2))
    assert np.array_equal(model.predict(one, verbose=0), again.predict(one, verbose=0))


def test_two_inputs(keras):
    class Siamese(keras.Model):
        def __init__(self):
            super().__init__()
            self.e = keras.layers.Dense(4)

        def call(self, xs):
            a, b = xs
            return tg.sqrt(((self.e(a) - self.e(b)) ** 2).sum(axis=1, keepdims=True) + 1e-7)

    model = Siamese()
    model.compile(loss="mse", optimizer="adam")
    rng = np.random.default_rng(0)
    a, b = rng.random((64, 3)), rng.random((64, 3))
    losses = model.fit([a, b], ((a - b) ** 2).sum(1) ** 0.5, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_two_outputs(keras):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = keras.layers.Dense(1), keras.layers.Dense(2)

        def call(self, x):
            return self.a(x), self.b(x)

    model = Two()
    model.compile(loss=["mse", "mse"], optimizer="adam")
    model.fit(np.ones((8, 3)), [np.ones((8, 1)), np.ones((8, 2))], verbose=0)
    assert [y.shape for y in model.predict(np.ones((2, 3)), verbose=0)] == [(2, 1), (2, 2)]


def test_parts_of_a_unet(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input(shape=(4, 4, 1)), layers.UpSampling2D(2), layers.ZeroPadding2D(1)])
    assert model.predict(np.zeros((1, 4, 4, 1), "f4"), verbose=0).shape == (1, 10, 10, 1)


def test_apply_gradients(keras):
    model = keras.Sequential([keras.Input(shape=(2,)), keras.layers.Dense(1)])
    model.build()
    before = [v.numpy() for v in model.trainable_variables]
    optimizer = keras.optimizers.Adam(0.1)
    keras.losses.MeanSquaredError()(np.ones((4, 1)), model(np.ones((4, 2), np.float32), training=True)).backward()
    variables = model.trainable_variables
    optimizer.apply_gradients(zip([v.grad for v in variables], variables, strict=True))
    for was, variable in zip(before, variables, strict=True):
        np.testing.assert_allclose(np.abs(variable.numpy() - was), 0.1, rtol=1e-4)  # Adam's first step
