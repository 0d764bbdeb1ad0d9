"""The Keras-shaped front: spellings, losses, metrics, the training loop, callbacks, weights, and bad calls."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import keras, nn, optim
from tinygrad_conv.errors import AnomalyError, ArgumentError, DataError, DTypeError, GraphError, ShapeError
from tinygrad_conv.keras import callbacks, layers, losses, metrics, optimizers
from tinygrad_conv.keras.utils import to_categorical


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


X = normal(40, 5)
LABELS = np.random.default_rng(1).integers(0, 3, 40)
ONE_HOT = to_categorical(LABELS, 3)


def classifier(loss="categorical_crossentropy", optimizer="sgd", activation="softmax", seed=0, **compiled):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(8, activation="relu"), layers.Dense(3, activation=activation)]
    )
    model.compile(optimizer, loss, **({"metrics": ["accuracy"]} | compiled))
    return model


# --- spellings ------------------------------------------------------------------------------------------------


TWINS = [
    (layers.Dense(4, "relu", kernel_initializer="he_normal"), nn.Dense(4, activation="relu"), (2, 5)),
    (layers.Conv1D(4, 3, strides=2, dilation_rate=1), nn.Conv1D(4, 3, stride=2), (2, 9, 3)),
    (layers.Conv2D(6, 3, (2, 1), "same", groups=3), nn.Conv2D(6, 3, (2, 1), "same", groups=3), (2, 7, 8, 3)),
    (layers.Conv2D(4, 3, channels_last=False), nn.Conv2D(4, 3, data_format="channels_first"), (2, 3, 7, 8)),
    (layers.Conv2D(nb_filter=4, kernel_size=3, border_mode="same"), nn.Conv2D(4, 3, 1, "same"), (2, 7, 7, 1)),
    (layers.Conv2DTranspose(4, 3, strides=2, padding="same"), nn.Conv2DTranspose(4, 3, 2, "same"), (2, 3, 4, 2)),
    (layers.MaxPooling2D((3, 2), strides=2, padding="same"), nn.MaxPool2D((3, 2), 2, "same"), (2, 7, 8, 3)),
    (layers.AveragePooling2D(2, 1, "same"), nn.AvgPool2D(2, 1, "same"), (2, 7, 7, 3)),
    (layers.GlobalAveragePooling2D(), nn.GlobalAvgPool2D(), (2, 7, 8, 3)),
    (layers.GlobalMaxPooling1D(keepdims=True), nn.GlobalMaxPool1D(True), (2, 7, 3)),
    *((getattr(layers, f"{ours}{rank}D")(*options), getattr(nn, f"{theirs}{rank}D")(*options),
       (2, *(5, 6, 4)[:rank], 3))
      for rank in (1, 2) for ours, theirs, options in (
          ("MaxPooling", "MaxPool", (2,)), ("AveragePooling", "AvgPool", (2, 1)),
          ("GlobalMaxPooling", "GlobalMaxPool", ()), ("GlobalAveragePooling", "GlobalAvgPool", ()))),
    (layers.BatchNormalization(momentum=0.5, epsilon=0.1), nn.BatchNorm(0.5, 0.1), (8, 3)),
    (layers.LayerNormalization(), nn.LayerNorm(), (2, 7)),
    (layers.Flatten(), nn.Flatten(), (2, 3, 4)),
    (layers.Reshape((4, 3)), nn.Reshape((4, 3)), (2, 12)),
    (layers.LeakyReLU(alpha=0.1), nn.Activation(lambda x: tg.leaky_relu(x, negative_slope=0.1)), (2, 3)),
    (layers.ReLU(2, 0.5), nn.Activation(lambda x: tg.clip(tg.where(x > 0, x, x / 2), None, 2)), (2, 9)),
    (layers.ReLU(), nn.Activation("relu"), (2, 3)),
    (layers.Activation("tanh"), nn.Activation("tanh"), (2, 3)),
    (layers.Softmax(axis=1), nn.Activation(lambda x: tg.softmax(x, axis=1)), (2, 3, 4)),
    (layers.Rescaling(1 / 2, offset=-1), nn.Activation(lambda x: x / 2 - 1), (2, 3)),
    (layers.Dropout(0.5, seed=3), nn.Dropout(0.5, 3), (2, 30)),
]  # fmt: skip


def test_every_layer_has_a_twin():
    kinds = {kind for name, kind in vars(layers).items() if name in layers.__all__ and isinstance(kind, type)}
    kinds = {kind for kind in kinds if issubclass(kind, nn.Layer)} - {layers.Layer}
    assert kinds == {type(layer) for layer, *_ in TWINS}


@pytest.mark.parametrize(
    ("layer", "twin", "shape"), TWINS, ids=lambda case: type(case).__name__ if isinstance(case, nn.Module) else ""
)
def test_keras_layers_are_those_of_nn(layer, twin, shape):
    x = 3 * normal(*shape)
    twin.build(shape)
    layer.build(shape)
    layer.load_state_dict(twin.state_dict())
    for training in (False, True):
        y = twin(x, training=training).numpy()
        np.testing.assert_allclose(layer(x, training=training).numpy(), y, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(layer(x).numpy(), layer(x, training=False).numpy())  # a bare call is inference
    assert layer.output_shape(shape) == twin.output_shape(shape)


def test_initializers():
    assert layers.Dense(2, kernel_initializer="random_normal").weight_init == "normal"
    for given in (keras.initializers.HeNormal, keras.initializers.HeNormal(), "he_normal", "HeNormal"):
        keras.utils.set_random_seed(3)
        layer = layers.Dense(2, kernel_initializer=given)
        layer.build((None, 4))
        nn.seed(3)
        np.testing.assert_array_equal(layer.kernel.numpy(), nn.init.he_normal((4, 2)))
    for given in (np.ones, lambda shape, dtype=None: np.ones(shape, dtype), keras.initializers.Ones):
        layer = layers.Dense(2, kernel_initializer=given)
        assert layer([[1.0, 2.0]]).tolist() == [[3.0, 3.0]]
    layer = layers.Dense(3, kernel_initializer=keras.initializers.Constant(0.5), bias_initializer="ones")
    assert layer([[1.0, 2.0]]).tolist() == [[2.5, 2.5, 2.5]]
    seeded = [layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=1)) for _ in range(2)]
    np.testing.assert_array_equal(*(layer(X).numpy() for layer in seeded))
    for make in ("RandomNormal", "RandomUniform", "Zeros", "HeUniform"):
        assert getattr(keras.initializers, make)()((4, 4)).shape == (4, 4)


def test_names_and_input_shapes():
    model = keras.Sequential(name="net")
    model.add(layers.Conv2D(2, 3, input_shape=(8, 8, 1)))
    for layer in (
        layers.Conv2DTranspose(2, 3),
        layers.MaxPooling2D(),
        layers.Conv2D(2, 1, name="mine"),
        layers.Conv2D(2, 1),
    ):
        model.add(layer)
    names = ["conv2d", "conv2d_transpose", "max_pooling2d", "mine", "conv2d_1"]
    assert [layer.name for layer in model.layers] == names
    assert model.get_layer("mine") is model.get_layer(index=3)
    assert model.input_shape == (None, 8, 8, 1)
    with pytest.raises(ArgumentError, match=r"expected one of conv2d, .*, got 'other'"):
        model.get_layer("other")
    assert model.pop().name == "conv2d_1"
    with pytest.raises(ArgumentError, match="Input as the first"):
        keras.Sequential([layers.Dense(2), keras.Input((3,))])
    with pytest.raises(ArgumentError, match="sizes of at least 1"):
        keras.Input((0, 3))
    with pytest.raises(DTypeError, match="without the batch axis"):
        keras.Input((None, 3))


def test_common_arguments():
    layer = layers.Dense(3, dtype="float64", trainable=False, name="mine", input_shape=(2,))
    assert (layer.name, layer.batch_input_shape) == ("mine", (None, 2))
    assert layer(np.zeros((1, 2))).dtype == np.float64
    assert not layer.weight.requires_grad


def test_a_layer_that_does_not_fit_is_not_added():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)])
    with pytest.raises(ShapeError, match="Conv2D 'conv2d_1': the kernel does not fit"):
        model.add(layers.Conv2D(2, 3))
    assert len(model.layers) == 1
    model.add(layers.Conv2D(2, 2))


def test_suggestions_for_the_output_look_past_weights_already_made():
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    x = normal(6, 4, 4, 1)
    model.predict(x)
    with pytest.raises(ShapeError, match=r": add Flatten\(\) before 'dense'$"):
        model.fit(x, ONE_HOT[:6])


def test_weights_are_made_when_needed_and_counted_before():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3), layers.BatchNormalization()])
    assert model.count_params() == 5 * 3 + 3 + 4 * 3
    assert not model.layers[0].built
    assert [w.shape for w in model.get_weights()] == [(5, 3), (3,), (3,), (3,), (3,), (3,)]
    open_ended = keras.Sequential([layers.Dense(3)])
    with pytest.raises(GraphError, match="input's shape is not known yet: begin the model with Input"):
        open_ended.count_params()
    open_ended(X)
    assert open_ended.count_params() == 18


def test_summary(capsys):
    classifier().summary()
    text = capsys.readouterr().out
    assert "5*8 + 8 = 48" in text
    assert "8*3 + 3 = 27" in text
    assert "total" in text
    assert "75" in text
    lines = []
    classifier().summary(print_fn=lines.append)
    assert lines == [text.rstrip("\n")]


# --- losses and metrics --------------------------------------------------------------------------------------


def test_cross_entropies_from_probabilities_logits_and_labels_agree():
    logits = normal(6, 3)
    p, t = softmax(logits), ONE_HOT[:6]
    expected = -np.log((p * t).sum(-1)).mean()
    for loss, y, outputs in (
        (losses.CategoricalCrossentropy(), t, p), (losses.CategoricalCrossentropy(from_logits=True), t, logits),
        (losses.SparseCategoricalCrossentropy(), LABELS[:6], p),
        (losses.SparseCategoricalCrossentropy(from_logits=True), LABELS[:6, None], logits),
        (losses.get(tg.softmax_cross_entropy), LABELS[:6], logits), (losses.CategoricalCrossentropy(), t, 5 * p),
    ):  # fmt: skip
        assert loss(y, outputs).item() == pytest.approx(expected, rel=1e-5)
    smooth = losses.CategoricalCrossentropy(label_smoothing=0.1)
    soft = 0.9 * t + 0.1 / 3
    assert smooth(t, p).item() == pytest.approx(-(soft * np.log(p)).sum(-1).mean(), rel=1e-5)
    assert smooth.of(t, tg.Tensor(logits), None, True).item() == pytest.approx(smooth(t, p).item(), rel=1e-5)
    weights = np.arange(6, dtype="float32")
    weighted = (-np.log((p * t).sum(-1)) * weights).mean()  # Keras divides by the number of examples
    for loss, y, outputs in (
        (losses.CategoricalCrossentropy(), t, p),
        (losses.get(tg.softmax_cross_entropy), LABELS[:6], logits),
    ):
        assert loss(y, outputs, weights).item() == pytest.approx(weighted, rel=1e-5)


def test_other_losses():
    y, p = normal(6, 2, seed=1), normal(6, 2)
    error = y - p
    expected = {
        "mse": (error**2).mean(), "mean_absolute_error": abs(error).mean(),
    }  # fmt: skip
    for name, value in expected.items():
        assert losses.get(name)(y, p).item() == pytest.approx(value, rel=1e-5)
    q, t = 1 / (1 + np.exp(-p)), (y > 0).astype("float32")
    entropy = -(t * np.log(q) + (1 - t) * np.log(1 - q)).mean()
    assert losses.BinaryCrossentropy()(t, q).item() == pytest.approx(entropy, rel=1e-5)
    assert losses.BinaryCrossentropy(from_logits=True)(t, p).item() == pytest.approx(entropy, rel=1e-5)
    a, b = softmax(y), softmax(p)
    assert losses.get("kld")(a, b).item() == pytest.approx((a * np.log(a / b)).sum(-1).mean(), rel=1e-5)
    assert losses.get(losses.MeanSquaredError).name == "mean_squared_error"
    assert losses.KLDivergence().name == "kl_divergence"
    assert losses.get("mse")(np.ones(6), np.ones((6, 1))).item() == 0.0


@pytest.mark.parametrize("last", ["fused", "layer", "Softmax"])
def test_a_softmax_and_its_loss_are_computed_from_logits(last):
    """The same value as from the probabilities, and finite where these round to 0."""
    heads = {
        "fused": lambda: [layers.Dense(3, activation="softmax")],
        "layer": lambda: [layers.Dense(3), layers.Activation("softmax")],
        "Softmax": lambda: [layers.Dense(3), layers.Softmax()],
    }
    for loss, y in (("categorical_crossentropy", ONE_HOT), ("sparse_categorical_crossentropy", LABELS)):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((5,)), layers.Dense(4), *heads[last]()])
        model.compile("sgd", loss, metrics=["accuracy", "mse"] if y is ONE_HOT else ["accuracy"])
        value = model.evaluate(X, y)
        p = model.predict(X)
        assert value[0] == pytest.approx(-np.log(p[np.arange(40), LABELS]).mean(), rel=1e-5)
        assert value[1] == pytest.approx((p.argmax(-1) == LABELS).mean())
        if y is ONE_HOT:
            assert value[2] == pytest.approx(((p - ONE_HOT) ** 2).mean(), rel=1e-5)  # metrics see probabilities
        assert model.evaluate(1e4 * X, y)[0] > 100  # probabilities clipped at 1e-7 could not exceed 16.2
        history = model.fit(X, y, epochs=5, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]


def test_a_sigmoid_and_its_loss_are_computed_from_logits():
    y = (LABELS > 0).astype(int)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy", "mae"])
    value, accuracy, mae = model.evaluate(X, y)
    p = model.predict(X)[:, 0]
    assert value == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), rel=1e-5)
    assert accuracy == pytest.approx(((p > 0.5) == y).mean())
    assert mae == pytest.approx(abs(p - y).mean(), rel=1e-5)
    assert model.evaluate(1e4 * X, y)[0] > 100


def test_metrics():
    p = softmax(normal(50, 6))
    y = np.random.default_rng(2).integers(0, 6, 50)
    assert metrics.CategoricalAccuracy()(to_categorical(y, 6), p) == pytest.approx((p.argmax(-1) == y).mean())
    assert metrics.SparseCategoricalAccuracy()(y[:, None], p) == pytest.approx((p.argmax(-1) == y).mean())
    q, t = p[:, :2], np.eye(2)[y % 2]
    assert metrics.BinaryAccuracy(threshold=0.2)(t, q) == pytest.approx(((q > 0.2) == t).mean())
    images = np.eye(3)[np.random.default_rng(0).integers(0, 3, (4, 5))]
    assert metrics.CategoricalAccuracy()(images, images) == 1.0
    spread = metrics.get(lambda y_true, y_pred: (y_pred - y_true).max(), losses.get("mse"), 2)
    assert spread(np.zeros((4, 2)), np.ones((4, 2))) == 1.0


def test_custom_losses_and_metrics_get_tensors():
    def loss(y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(axis=-1)

    def largest(y_true, y_pred):
        return abs(y_true - y_pred).max(axis=-1)

    model = classifier(loss, metrics=[largest, "mse"], activation=None)
    results = model.evaluate(X, ONE_HOT, return_dict=True)
    assert list(results) == ["loss", "largest", "mse"]
    assert results["loss"] == pytest.approx(results["mse"], rel=1e-5)
    error = abs(model.predict(X) - ONE_HOT)
    assert results["largest"] == pytest.approx(error.max(-1).mean(), rel=1e-5)
    weights = np.linspace(0, 2, 40)
    expected = (weights * (error**2).mean(-1)).mean()
    assert model.evaluate(X, ONE_HOT, sample_weight=weights)[0] == pytest.approx(expected, rel=1e-5)
    model.fit(X, ONE_HOT, verbose=0)
    with pytest.raises(DTypeError, match="loss bad: expected a tensor"):
        classifier(bad).fit(X, ONE_HOT)
    with pytest.raises(ArgumentError, match="weights need one loss per example"):
        classifier(lambda y, p: (y - p).sum()).fit(X, ONE_HOT, sample_weight=weights)


def bad(y_true, y_pred):
    return 3.0


# --- fit --------------------------------------------------------------------------------------------------------


@tg.use_kernels("plain")  # compiled ones, where `fit` fuses calls, sum a bias' gradient in float64
def test_fit_does_what_a_hand_written_loop_does():
    model = classifier(optimizer=optimizers.SGD(0.1, momentum=0.9), seed=4)
    start = [w.copy() for w in model.get_weights()]
    keras.utils.set_random_seed(9)
    history = model.fit(X, ONE_HOT, batch_size=16, epochs=3, verbose=0).history

    twin = nn.Sequential([nn.Dense(8, in_features=5, activation="relu"), nn.Dense(3, in_features=8)])
    for parameter, values in zip(twin.parameters(), start, strict=True):
        parameter.data = values
    optimizer = optimizers.rules.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    nn.seed(9)
    rng = nn.init.generator()
    for epoch in range(3):
        order = rng.permutation(40)
        losses_, hits = [], 0
        for k in range(0, 40, 16):
            chosen = order[k : k + 16]
            logits = twin(tg.Tensor(X[chosen]))
            loss = tg.softmax_cross_entropy(logits, ONE_HOT[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses_ += [loss.item()] * len(chosen)
            hits += (logits.numpy().argmax(-1) == LABELS[chosen]).sum()
        assert history["loss"][epoch] == pytest.approx(np.mean(losses_), rel=1e-6)
        assert history["accuracy"][epoch] == pytest.approx(hits / 40)
    for mine, theirs in zip(model.get_weights(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())


def test_a_seed_makes_fit_reproducible_to_the_bit():
    def run(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dropout(0.3), layers.Dense(3)])
        model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(X, LABELS, batch_size=7, epochs=3, verbose=0).history
        return history["loss"], np.concatenate([w.ravel() for w in model.get_weights()])

    one, two, other = run(1), run(1), run(2)
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])
    assert (other[1] != one[1]).any()


def test_shuffle_and_batches():
    class Watch(keras.Model):
        def __init__(self):
            self.dense, self.seen = layers.Dense(1), []

        def call(self, x):
            if self.training:
                self.seen.append(x.numpy()[:, 0].copy())
            return self.dense(x)

    x = np.arange(10.0)[:, None]
    model = Watch()
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1e-9
    model.fit(x, x, batch_size=4, epochs=2, shuffle=False, verbose=0)
    assert [len(batch) for batch in model.seen] == [4, 4, 2, 4, 4, 2]
    assert np.concatenate(model.seen).tolist() == [*range(10)] * 2
    model.seen.clear()
    model.fit(x, x, batch_size=4, epochs=2, verbose=0)
    first, second = np.concatenate(model.seen[:3]), np.concatenate(model.seen[3:])
    assert sorted(first) == sorted(second) == [*range(10)]
    assert first.tolist() != second.tolist()
    model.seen.clear()
    model.fit(x, x, batch_size=4, validation_split=0.35, verbose=0)
    assert sorted(np.concatenate(model.seen)) == [*range(6)]  # the last part is set aside, before shuffling


def test_validation():
    for n, extra in ((40, {"validation_split": 0.25}), (30, {"validation_data": (X[30:], ONE_HOT[30:])})):
        model = classifier()
        history = model.fit(X[:n], ONE_HOT[:n], epochs=2, verbose=0, **extra).history
        assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
        assert [history["val_loss"][-1], history["val_accuracy"][-1]] == model.evaluate(X[30:], ONE_HOT[30:])
    model = classifier()
    weights = np.linspace(0, 1, 10)
    history = model.fit(X[:30], ONE_HOT[:30], validation_data=(X[30:], ONE_HOT[30:], weights), epochs=4,
                        validation_freq=2, validation_batch_size=3, verbose=0).history  # fmt: skip
    assert len(history["loss"]) == 4
    assert len(history["val_loss"]) == 2
    value = model.evaluate(X[30:], ONE_HOT[30:], sample_weight=weights)[0]
    assert history["val_loss"][-1] == pytest.approx(value, rel=1e-6)


def test_a_validation_split_takes_its_weights_along():
    model, weights = classifier(), np.linspace(0, 1, 40)
    history = model.fit(
        X, ONE_HOT, validation_split=0.25, sample_weight=weights, class_weight={0: 9.0}, verbose=0
    ).history  # class weights are for learning only
    value = model.evaluate(X[30:], ONE_HOT[30:], sample_weight=weights[30:])[0]
    assert history["val_loss"][-1] == pytest.approx(value, rel=1e-6)


def test_class_and_sample_weights():
    model = classifier()
    by_class = {0: 2.0, 2: 0.5}
    each = np.array([by_class.get(int(label), 1.0) for label in LABELS])
    start = model.get_weights()

    def after(**kwargs):
        model.set_weights(start)
        model.fit(X, ONE_HOT, shuffle=False, batch_size=40, verbose=0, **kwargs)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    np.testing.assert_array_equal(after(class_weight=by_class), after(sample_weight=each))
    both = after(class_weight=by_class, sample_weight=np.full(40, 0.5))
    np.testing.assert_allclose(both, after(sample_weight=each / 2), rtol=1e-6)
    assert (after() != after(sample_weight=each)).any()
    np.testing.assert_array_equal(after(sample_weight=np.zeros(40)), np.concatenate([w.ravel() for w in start]))
    model.set_weights(start)
    p = model.predict(X)
    expected = (each * -np.log(p[np.arange(40), LABELS])).mean()
    assert model.train_on_batch(X, ONE_HOT, class_weight=by_class)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "float32", "bool"])
def test_inputs_become_float32_unscaled(dtype):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 200, (12, 5)).astype(dtype)
    model = classifier(loss="sparse_categorical_crossentropy")
    y = model.predict(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, model.predict(x.astype("float32")))
    np.testing.assert_array_equal(y, model(x).numpy())
    model.fit(x, LABELS[:12], verbose=0)
    assert all(w.dtype == np.float32 for w in model.get_weights())


def test_embedding_keeps_integers_and_images_may_be_lists():
    model = keras.Sequential([nn.Embedding(10, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).integers(0, 10, (16, 6))
    model.fit(x, x[:, 0], verbose=0)
    assert model.predict(x.tolist()).shape == (16, 1)
    assert model.fit(tg.Tensor(x), x[:, 0].tolist(), verbose=0).history["loss"]


def test_batches_of_evaluate_and_predict_make_no_difference():
    model = classifier()
    whole = model.predict(X, batch_size=40)
    np.testing.assert_allclose(model.predict(X, batch_size=7), whole, rtol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(X), whole)
    np.testing.assert_allclose(model.evaluate(X, ONE_HOT, batch_size=7), model.evaluate(X, ONE_HOT), rtol=1e-6)
    before = model.evaluate(X, ONE_HOT, batch_size=40)
    assert model.test_on_batch(X, ONE_HOT) == before
    assert model.train_on_batch(X, ONE_HOT) == pytest.approx(before)
    assert model.train_on_batch(X, ONE_HOT, return_dict=True)["loss"] < before[0]
    single = classifier(metrics=None)
    assert isinstance(single.evaluate(X, ONE_HOT), float)


def test_dropout_and_batch_norm_train_in_fit_only():
    model = keras.Sequential([keras.Input((5,)), layers.BatchNormalization(momentum=0.5), layers.Dropout(0.5)])
    model.compile("sgd", "mse")
    x = 5 + X
    np.testing.assert_allclose(model(x).numpy(), x / np.sqrt(1.001), rtol=1e-5)  # inference by default
    assert (model(x, training=True).numpy() == 0).any()
    assert not (model(x).numpy() == 0).any()
    mean = x.mean(0)
    np.testing.assert_allclose(model.layers[0].running_mean.numpy(), 0.5 * mean, rtol=1e-5)
    model.fit(x, x, batch_size=40, verbose=0)
    np.testing.assert_allclose(model.layers[0].running_mean.numpy(), 0.75 * mean, rtol=1e-5)
    assert not model.training
    before = model.layers[0].running_mean.numpy().copy()
    value = model.evaluate(x, x)
    model.train()
    assert model.evaluate(x, x) == value
    model.predict(x)
    assert model.training
    np.testing.assert_array_equal(model.layers[0].running_mean.numpy(), before)


def test_frozen_layers_stay_and_optimiser_state_lasts_from_fit_to_fit():
    model = classifier(optimizer="adam")
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, ONE_HOT, verbose=0, batch_size=40)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()
    assert model.optimizer.iterations == 1
    model.fit(X, ONE_HOT, verbose=0, batch_size=40)
    assert model.optimizer.iterations == 2
    model.layers[0].trainable = True
    model.fit(X, ONE_HOT, verbose=0, batch_size=40)
    assert (model.get_weights()[0] != after[0]).any()
    model.trainable = False
    with pytest.raises(ArgumentError, match="nothing to learn"):
        model.fit(X, ONE_HOT, verbose=0)


def test_a_model_of_ones_own():
    class Residual(keras.Model):
        def __init__(self):
            self.first, self.second = layers.Dense(5, activation="relu"), nn.Dense(3)

        def forward(self, x):
            return self.second(x + self.first(x))

    model = Residual()
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(X, LABELS, epochs=30, verbose=0, validation_split=0.2).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.predict(X).shape == (40, 3)
    assert model.count_params() == 5 * 5 + 5 + 5 * 3 + 3
    with pytest.raises(NotImplementedError, match=r"define call\(self, x\)"):
        keras.Model()(X)


def test_parts_of_a_model_of_ones_own_are_found_and_in_its_mode():
    class Scale(nn.Module):
        def __init__(self):
            self.factors = [nn.Parameter([2.0], dtype="float32"), nn.Parameter([3.0], dtype="float32")]

        def forward(self, x):
            return x * self.factors[0] * self.factors[1]

    class Net(keras.Model):
        def __init__(self):
            self.parts = [layers.Dropout(0.5), nn.Dropout(0.5), Scale()]

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    model = Net()
    np.testing.assert_allclose(model(X).numpy(), 6 * X, rtol=1e-6)
    assert [w.tolist() for w in model.get_weights()] == [[2.0], [3.0]]
    assert (model(X, training=True).numpy() == 0).any()


def test_a_sequential_may_hold_modules_without_shape_rules():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), Twice(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    model.fit(X, ONE_HOT, verbose=0)
    assert model.predict(X).shape == (40, 3)


# --- optimisers ---------------------------------------------------------------------------------------------------


def test_keras_defaults():
    for name, rate in (("sgd", 0.01), ("adam", 0.001), ("rmsprop", 0.001), ("adagrad", 0.001), ("AdamW", 0.001)):
        assert optimizers.get(name).learning_rate == rate
    assert optimizers.get("adam").epsilon == 1e-7
    assert optimizers.get(optimizers.AdamW).weight_decay == 0.004
    assert isinstance(classifier(optimizer="rmsprop").optimizer, optimizers.RMSprop)
    assert repr(optimizers.SGD(0.5)) == "SGD(learning_rate=0.5)"


def test_clipping_decay_and_schedules():
    w = nn.Parameter([2.0])
    for options, moved in (
        ({}, -2.0), ({"clipvalue": 0.5}, -0.25), ({"clipnorm": 1.0}, -0.5), ({"global_clipnorm": 2.0}, -1.0),
        ({"weight_decay": 0.1}, -2.1), ({"momentum": 0.5, "nesterov": True}, -3.0),
    ):  # fmt: skip
        w.data, w.grad = [2.0], [4.0]
        optimizer = optimizers.SGD(0.5, **options)
        optimizer.bind([w])
        optimizer.step()
        assert w.item() == pytest.approx(2 + moved)
    schedule = optimizers.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5, staircase=True)
    assert [schedule(k) for k in (9, 10)] == [0.1, 0.05]
    model = classifier(optimizer=optimizers.SGD(schedule))
    model.fit(X, ONE_HOT, batch_size=4, verbose=0)
    assert model.optimizer.learning_rate == 0.05
    model.optimizer.learning_rate = 0.2
    assert model.optimizer.lr == 0.2
    with pytest.raises(ArgumentError, match="no parameters yet"):
        optimizers.SGD().step()


# --- callbacks ------------------------------------------------------------------------------------------------------


class Scripted(callbacks.Callback):
    """Writes given values into the logs, so that other callbacks see them."""

    def __init__(self, **values):
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in self.values.items()})


def test_events_come_in_order():
    events = []

    class Events(callbacks.Callback):
        def on_train_begin(self, logs=None):
            events.append("begin")

        def on_train_end(self, logs=None):
            events.append("end")

        def on_epoch_begin(self, epoch, logs=None):
            events.append(f"epoch {epoch}")

        def on_epoch_end(self, epoch, logs=None):
            events.append(f"/epoch {epoch} {sorted(logs)}")

        def on_train_batch_begin(self, batch, logs=None):
            events.append(f"batch {batch}")

        def on_train_batch_end(self, batch, logs=None):
            events.append(f"/batch {batch} {sorted(logs)}")

    model = classifier()
    model.fit(X, ONE_HOT, batch_size=20, initial_epoch=1, epochs=2, verbose=0, callbacks=[Events()])
    logs = ["accuracy", "loss"]
    assert events == [
        "begin", "epoch 1", "batch 0", f"/batch 0 {logs}", "batch 1", f"/batch 1 {logs}", f"/epoch 1 {logs}", "end",
    ]  # fmt: skip
    seen = []
    told = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model.fit(X, ONE_HOT, epochs=2, verbose=0, callbacks=[told])
    assert seen == [0, 1]
    assert told.model is model
    assert told.params == {"epochs": 2, "steps": 2, "verbose": 0}
    begun = []
    model.fit(X, ONE_HOT, verbose=0, callbacks=callbacks.LambdaCallback(lambda epoch, logs: begun.append(epoch)))
    assert begun == [0]
    with pytest.raises(ArgumentError, match="unknown event 'on_epoch'"):
        callbacks.LambdaCallback(on_epoch=print)


def test_stop_training_in_the_middle_of_an_epoch():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = classifier()
    history = model.fit(X, ONE_HOT, batch_size=4, epochs=5, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]
    assert model.optimizer.iterations == 2


def test_early_stopping():
    def epochs(values, monitor="val_loss", **options):
        stopping = callbacks.EarlyStopping(monitor, **options)
        history = classifier().fit(
            X, ONE_HOT, epochs=len(values), verbose=0, callbacks=[Scripted(**{monitor: values}), stopping]
        )
        return len(history.epoch), stopping

    assert epochs([5, 4, 4.5, 4.2, 3, 2], patience=2)[0] == 4
    assert epochs([5, 4, 4.5, 3, 2, 1], patience=2)[0] == 6
    assert epochs([5, 4.9, 4.8, 4.7], patience=1, min_delta=0.5)[0] == 2
    assert epochs([0.1, 0.2, 0.1, 0.1], "val_acc", patience=1)[0] == 3
    assert epochs([0.1, 0.2, 0.1, 0.1], "val_acc", patience=1, mode="min")[0] == 2
    assert epochs([5, 4, 3], patience=2, baseline=1)[0] == 3  # while it improves it goes on, as in Keras
    assert epochs([5, 4, 4], patience=2, baseline=1)[0] == 3
    assert epochs([5, 4, 4, 4], patience=2, baseline=4.5)[0] == 4
    assert epochs([1, 9, 9, 9, 9], patience=1, start_from_epoch=2)[0] == 4
    assert epochs([3, 2, 4, 5], patience=2)[1].best_epoch == 1
    with pytest.raises(ArgumentError, match=r"monitor among loss, accuracy, got 'val_loss'; give fit validation_data"):
        classifier().fit(X, ONE_HOT, verbose=0, callbacks=[callbacks.EarlyStopping()])
    with pytest.raises(ArgumentError, match="expected mode to be"):
        callbacks.EarlyStopping(mode="down")


def test_early_stopping_restores_the_best_weights():
    kept = []
    model = classifier()
    keep = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()))
    stopping = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    scripted = Scripted(val_loss=[3, 1, 2, 2, 2])
    model.fit(X, ONE_HOT, epochs=5, verbose=0, callbacks=[keep, scripted, stopping])
    assert len(kept) == 4
    for mine, best in zip(model.get_weights(), kept[1], strict=True):
        np.testing.assert_array_equal(mine, best)


def test_model_checkpoint(tmp_path):
    path = tmp_path / "w-{epoch:02d}-{val_loss:.1f}.npz"
    best = tmp_path / "best.weights.h5"
    model = classifier()
    scripted = Scripted(val_loss=[3.0, 1.0, 2.0])
    saving = [callbacks.ModelCheckpoint(path), callbacks.ModelCheckpoint(best, save_best_only=True)]
    model.fit(X, ONE_HOT, epochs=3, verbose=0, callbacks=[scripted, *saving])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.weights.h5", "w-01-3.0.npz", "w-02-1.0.npz", "w-03-2.0.npz",
    ]  # fmt: skip
    one, two = classifier(seed=5), classifier(seed=6)
    one.load_weights(best)
    two.load_weights(tmp_path / "w-02-1.0.npz")
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    with pytest.raises(ArgumentError, match="names among epoch, loss, accuracy in filepath, got 'nothing'"):
        model.fit(X, ONE_HOT, verbose=0, callbacks=[callbacks.ModelCheckpoint("{nothing}")])


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    model = classifier()
    history = model.fit(X, ONE_HOT, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)]).history
    model.fit(X, ONE_HOT, initial_epoch=2, epochs=3, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["loss"]) for row in rows[:2]] == history["loss"]


def test_learning_rates_by_callback(capsys):
    model = classifier()
    scheduler = callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else lr, verbose=1)
    history = model.fit(X, ONE_HOT, epochs=3, verbose=0, callbacks=[scheduler]).history
    assert history["learning_rate"] == [0.01, 0.005, 0.0025]
    assert "Epoch 2: learning rate 0.005" in capsys.readouterr().out
    by_epoch = callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    assert model.fit(X, ONE_HOT, epochs=2, verbose=0, callbacks=[by_epoch]).history["learning_rate"] == [0.1, 0.05]


@pytest.mark.parametrize("event", ["on_train_batch_end", "on_epoch_end", "on_epoch_begin"])
def test_ctrl_c_ends_training_cleanly(event, capsys):
    def interrupt(number, logs=None):
        if number == 1:
            raise KeyboardInterrupt

    ended = []
    model = classifier()
    before = model.get_weights()
    calls = [
        callbacks.LambdaCallback(**{event: interrupt}),
        callbacks.LambdaCallback(on_train_end=lambda logs=None: ended.append(True)),
    ]
    history = model.fit(X, ONE_HOT, batch_size=8, epochs=9, verbose=1, callbacks=calls)
    assert history.interrupted
    assert len(history.epoch) == (0 if "batch" in event else 1)
    assert (model.get_weights()[0] != before[0]).any()
    assert ended
    assert not model.training
    epoch = 1 if "batch" in event else 2
    assert f"fit: interrupted in epoch {epoch} of 9; the model keeps what it has learned" in capsys.readouterr().err
    assert not model.fit(X, ONE_HOT, verbose=0).interrupted


# --- output -----------------------------------------------------------------------------------------------------


def test_progress(capsys):
    model = classifier()
    model.fit(X, ONE_HOT, epochs=2)
    model.evaluate(X, ONE_HOT)
    model.predict(X)
    assert capsys.readouterr() == ("", "")  # not a terminal: quiet
    model.fit(X, ONE_HOT, epochs=2, verbose=1, validation_split=0.2)
    shown = capsys.readouterr().err
    assert "Epoch 2/2" in shown
    assert "val_accuracy" in shown
    model.evaluate(X, ONE_HOT, verbose=1)
    assert "loss" in capsys.readouterr().err
    model.predict(X, verbose=1)
    assert "predict" in capsys.readouterr().err
    model.fit(X, ONE_HOT, epochs=2, verbose=2)
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert out.startswith("Epoch 1/2 - 0.")
    assert err == ""
    assert repr(model.fit(X, ONE_HOT, epochs=2, verbose=0)).startswith("History(2 epochs, loss ")


def test_importing_keras_is_cheap():
    code = "import sys, tinygrad_conv.keras; print([m for m in ('tqdm', 'tinygrad_conv.data', 'tinygrad_conv.graph', " \
        "'numpy.random', 'matplotlib') if m in sys.modules])"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['numpy.random']")


# --- weights ------------------------------------------------------------------------------------------------------


def test_weights_round_trip(tmp_path):
    model, twin = classifier(seed=1), classifier(seed=2)
    model.fit(X, ONE_HOT, verbose=0)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    third = classifier(seed=3)
    path = tmp_path / "some.weights"
    model.save_weights(path)
    assert [p.name for p in tmp_path.iterdir()] == ["some.weights"]
    third.load_weights(path)
    np.testing.assert_array_equal(third.predict(X), model.predict(X))
    weights = model.get_weights()
    weights[0][:] = 0  # copies
    np.testing.assert_array_equal(third.predict(X), model.predict(X))


def test_weights_that_do_not_fit_are_refused(tmp_path):
    model = classifier()
    with pytest.raises(ShapeError, match="expected 4 arrays of the model's shapes, got 3"):
        model.set_weights(model.get_weights()[:3])
    with pytest.raises(ShapeError, match=r"got 4 \(0: \(5, 8\) and \(8, 5\); 2: "):
        model.set_weights([w.T for w in model.get_weights()])
    with pytest.raises(DataError, match="expected a file that save_weights wrote"):
        model.load_weights(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="expected a file that save_weights wrote"):
        model.load_weights(tmp_path / "text.npz")
    whole = tmp_path / "whole.npz"
    model.save_weights(whole)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(DataError, match="expected a file that save_weights wrote"):
        model.load_weights(tmp_path / "cut.npz")
    other = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    with pytest.raises(ArgumentError, match="unexpected dense_1"):
        other.load_weights(whole)


# --- bad calls ----------------------------------------------------------------------------------------------------


def fit(loss="categorical_crossentropy", x=X, y=ONE_HOT, activation="softmax", **kwargs):
    return classifier(loss, activation=activation).fit(x, y, verbose=0, **kwargs)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: layers.Dense(3, unit=3), DTypeError, "Dense: unknown argument 'unit': use 'units'"),
        (lambda: layers.Conv2D(3, 3, stride=2), TypeError, "Conv2D: unknown argument 'stride': use 'strides'"),
        (lambda: layers.Conv2D(3), TypeError, "missing a required argument: 'kernel_size'"),
        (lambda: layers.Conv2D(3, 3, filter_size=3), TypeError, "multiple values for argument 'filters'"),
        (lambda: layers.Conv2D(filters=3, filter_size=3, kernel_size=3), TypeError, "the same argument: use 'filters'"),
        (lambda: layers.Dense(3, kernel_regularizer="l2"), ArgumentError, "use weight_decay= of the optimizer"),
        (lambda: layers.Dense(3, activation="sofmax"), ArgumentError, 'use activation="softmax"'),
        (lambda: layers.Dense(3, kernel_initializer="glorot"), ArgumentError, 'use kernel_initializer="glorot_'),
        (lambda: optimizers.SGD(learning_rat=1), TypeError, "unknown argument 'learning_rat': use 'learning_rate'"),
        (lambda: optimizers.Adam(learning_rate=-1), ArgumentError, "a finite number >= 0, got -1"),
        (lambda: classifier("categorical_crosentropy"), ArgumentError, "use loss='categorical_crossentropy'"),
        (lambda: classifier(optimizer="addam"), ArgumentError, "use optimizer='adam'"),
        (lambda: classifier(metrics=["acuracy"]), ArgumentError, "use 'accuracy'"),
        (lambda: classifier(metrics="accuracy"), TypeError, r"use metrics=\['accuracy'\]"),
        (lambda: classifier(metrics=[3]), TypeError, "expected a metric by name"),
        (lambda: classifier(loss=3), TypeError, "expected a loss by name"),
        (lambda: classifier(None), ArgumentError, "expected a loss, got none"),
        (lambda: classifier(metric=["accuracy"]), TypeError, "compile: unknown argument 'metric': use 'metrics'"),
        (lambda: classifier(optimizer=optim.SGD([nn.Parameter([1.0])])), TypeError, r"use keras\.optimizers\.SGD"),
        (lambda: keras.Sequential([layers.Dense(3)]).fit(X, ONE_HOT), GraphError, "fit: the model is not compiled"),
        (lambda: fit(y=ONE_HOT[:39]), ShapeError, r"40 inputs \(40, 5\) and 39 labels \(39, 3\)"),
        (lambda: fit(x=None), TypeError, "expected x as an array, got None"),
        (lambda: fit(x=X[:0], y=ONE_HOT[:0]), ShapeError, "at least one example"),
        (lambda: fit(x=[[1.0], [1.0, 2.0]]), ShapeError, "examples of one shape"),
        (lambda: fit(x=np.array([["a"] * 5] * 40)), TypeError, "expected x as numbers"),
        (lambda: fit(y=LABELS), ShapeError, r"use loss='sparse_categorical_crossentropy', or write y = to_categorical"),
        (lambda: fit("sparse_categorical_crossentropy"), ShapeError, "use loss='categorical_crossentropy'"),
        (lambda: fit(y=to_categorical(LABELS, 4)), ShapeError, "use units=4 in 'dense_1'"),
        (lambda: fit("sparse_categorical_crossentropy", y=LABELS + 1), ArgumentError, "use units=4 in 'dense_1'"),
        (lambda: fit("sparse_categorical_crossentropy", y=LABELS - 1), ValueError, "from 0 to 2 for 3 classes, got -1"),
        (lambda: fit("sparse_categorical_crossentropy", y=LABELS + 0.5), TypeError, "expected integer labels"),
        (lambda: fit("bce", activation="sigmoid", y=2 * ONE_HOT), ArgumentError, r"labels in \[0, 1\], got 0 to 2"),
        (lambda: fit("mse", y=LABELS), ShapeError, "use units=1 in 'dense_1'"),
        (lambda: fit(x=X.reshape(40, 5, 1)), ShapeError, r"\(N, 5\), got \(40, 5, 1\): write x = x.reshape\(-1, 5\)"),
        (lambda: fit(batch_size=0), ArgumentError, "batch_size to be an int >= 1 or None, got 0; use batch_size=1"),
        (lambda: fit(batch_size=2.5), TypeError, "batch_size to be an int >= 1"),
        (lambda: fit(epochs=0), ArgumentError, "epochs to be an int >= 1, got 0; use epochs=1"),
        (lambda: fit(validation_split=1.0), ArgumentError, r"validation_split to be a number in \[0, 1\), got 1.0"),
        (lambda: fit(validation_split=-0.1), ArgumentError, "validation_split to be"),
        (lambda: fit(validation_split=0.99), ArgumentError, "examples in both parts"),
        (lambda: fit(validation_data=X), TypeError, r"validation_data=\(x, y\)"),
        (lambda: fit(validation_data=(X, ONE_HOT[:3])), ShapeError, "fit, validation: expected as many labels"),
        (lambda: fit(sample_weight=np.ones(3)), ShapeError, "40 inputs .* and 3 sample weights"),
        (lambda: fit(sample_weight=ONE_HOT), ShapeError, "expected a weight for each example"),
        (lambda: fit(class_weight=[1, 2]), TypeError, "class_weight to be a mapping"),
        (lambda: fit(class_weight={"a": 1}), ArgumentError, "classes 0, 1, ... in class_weight, got 'a'"),
        (lambda: classifier().fit(X, ONE_HOT, verbose=3), ArgumentError, "verbose to be .*, 0, 1 or 2, got 3"),
        (lambda: classifier().predict(X[:, :4]), ShapeError, r"expected inputs \(N, 5\), got \(40, 4\)"),
        (lambda: to_categorical([0.5]), TypeError, "integer"),
        (lambda: layers.Dense(3)(keras.Input((3,))), TypeError, "derive from keras.Model and define call"),
        (lambda: to_categorical([3], 3), ArgumentError, "from 0 to 2, got 3"),
    ],
)  # fmt: skip
def test_bad_calls_are_refused_with_a_fix(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(epoch=2), "fit: unknown argument 'epoch': use 'epochs'"),
        (lambda: fit(nb_epoch=2), "fit: unknown argument 'nb_epoch': use 'epochs'"),
        (lambda: classifier().evaluate(X, ONE_HOT, batchsize=2), "evaluate: .*'batchsize': use 'batch_size'"),
        (lambda: classifier().predict(X, verbos=0), "predict: .*'verbos': use 'verbose'"),
        (lambda: classifier().summary(line_len=80), "summary: .*'line_len': use 'line_length'"),
        (lambda: keras.Sequential(layer=[]), "Sequential: .*'layer': use 'layers'"),
        (lambda: keras.Input(shap=(3,)), "Input: .*'shap': use 'shape'"),
        (lambda: callbacks.EarlyStopping(patienc=3), "EarlyStopping: .*'patienc': use 'patience'"),
        (lambda: losses.MeanSquaredError(nam="a"), "MeanSquaredError: .*'nam': use 'name'"),
        (lambda: metrics.BinaryAccuracy(treshold=0.5), "BinaryAccuracy: .*'treshold': use 'threshold'"),
        (lambda: to_categorical([0], nb_classes=3), "to_categorical: .*'nb_classes': use 'num_classes'"),
    ],
)
def test_unknown_arguments_of_every_call_name_the_nearest(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_labels_below_0_are_shifted_and_not_given_more_units():
    with pytest.raises(ArgumentError, match=r"expected labels from 0 to 2 .* got -1 to 1: use labels y \+ 1$"):
        fit("sparse_categorical_crossentropy", y=LABELS - 1)


def test_a_softmax_over_one_unit_is_refused():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1, activation="softmax")])
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ArgumentError, match='always 1: use activation="sigmoid"'):
        model.fit(X, LABELS > 0)


def test_a_loss_that_is_not_finite_says_where_and_how_to_find_it():
    model = classifier("mse", optimizer=optimizers.SGD(1e20), activation=None)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            AnomalyError,
            match=r"epoch \d, batch \d; often the learning rate is too high \(it is 1e\+20\).*detect_anomaly",
        ),
    ):
        model.fit(X, ONE_HOT, epochs=5, batch_size=8, verbose=0)
    assert not model.training
    with np.errstate(all="ignore"), pytest.raises(AnomalyError, match=r"they reach 255: try x / 255"):
        classifier("mse", optimizers.SGD(1e6), None).fit(np.full((40, 5), 255), ONE_HOT, epochs=9, verbose=0)
    x = X.copy()
    x[3, 2] = np.nan
    with pytest.raises(AnomalyError, match="the inputs of this batch hold NaN"):
        classifier().fit(x, ONE_HOT, verbose=0)


def test_bad_data_are_refused_before_any_work():
    model = classifier()
    with pytest.raises(ShapeError):
        model.fit(X, ONE_HOT, verbose=0, validation_data=(X, ONE_HOT[:, :2]))
    assert model.optimizer.iterations == 0
