"""Who calls what, and when: training mode, layers of one's own, callbacks, and what `fit` is fed with."""

import importlib
import inspect
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.errors import (
    AnomalyError,
    ArgumentError,
    DTypeError,
    GraphError,
    MissingError,
    ShapeError,
    SizeError,
)
from tinygrad_conv.keras import absent, callbacks, layers, losses, optimizers

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")


def regression(optimizer="sgd", **compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.build()
    model.compile(optimizer, "mse", **compiled)
    return model


# --- training is a property of the call -----------------------------------------------------------------------------

LAYERS = [
    name
    for name in layers.__all__
    if isinstance(getattr(layers, name), type) and issubclass(getattr(layers, name), nn.Layer)
]
ARGUMENTS = {
    "activation": "tanh", "filters": 3, "kernel_size": 2, "rate": 0.5, "scale": 2.0,
    "target_shape": (-1,), "units": 3,
}  # fmt: skip


def made(name, **more):
    """A layer of the front by its name, with as few arguments as it takes."""
    kind = getattr(layers, name)
    parameters = list(inspect.signature(kind).parameters.values())
    needed = {p.name: ARGUMENTS[p.name] for p in parameters if p.default is p.empty}
    return kind(**needed, **more)


def data_for(name, n=2):
    rank = next((k for k in (1, 2, 3) if f"{k}D" in name), 1)
    return np.random.default_rng(0).normal(size=(n, *(6,) * rank, 3)).astype("float32")


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_in_inference_mode_and_takes_training(name):
    layer, x = made(name), data_for(name)
    assert not layer.training
    bare = layer(x).numpy()
    np.testing.assert_array_equal(bare, layer(x, training=False).numpy())
    before = layer.get_weights()
    trained = layer(x, training=True).numpy()
    assert trained.shape == bare.shape == layer.compute_output_shape(x.shape)
    if name in ("BatchNormalization", "Dropout"):
        assert (trained != bare).any()
    else:
        np.testing.assert_array_equal(trained, bare)
    if name == "BatchNormalization":
        assert (layer.get_weights()[2] != before[2]).any()
    assert not layer.training
    np.testing.assert_array_equal(made(name)(x.tolist()).shape, bare.shape)
    assert isinstance(layer, layers.Layer)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_trains_in_a_model_as_it_is_and_compiled(name):
    """Also as a layer inside a model of one's own that hands `training` on."""

    def trained(eagerly, own):
        keras.utils.set_random_seed(0)
        layer = made(name)
        if own:

            class Own(keras.Model):
                def __init__(self):
                    self.layer, self.flatten, self.head = layer, layers.Flatten(), layers.Dense(1)

                def call(self, x, training=None):
                    seen.add(training)
                    return self.head(self.flatten(self.layer(x, training=training)))

            model = Own()
        else:
            model = keras.Sequential([layer, layers.Flatten(), layers.Dense(1)])
        model.compile(optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
        x = data_for(name, 8)
        model.fit(x, np.ones(8), batch_size=4, epochs=2, verbose=0)
        return [*model.get_weights(), model.predict(x, verbose=0)]

    seen = set()
    with tg.use_kernels("plain"):
        expected = trained(True, own=False)
        for eagerly, own in ((False, False), (True, True), (False, True)):
            for one, other in zip(expected, trained(eagerly, own), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert seen == {True, False}


def test_layers_inside_follow_the_outer_call():
    seen = []

    class Inner(layers.Layer):
        def call(self, x, training=None):
            seen.append((training, self.training, nn.Dropout(0.5).training))
            return x

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.plain = Inner(), nn.Dropout(0.5)

        def call(self, x):
            return self.plain(self.inner(x))

    model = Outer()
    for training, expected in ((None, False), (True, True), (False, False)):
        y = model(X, training=training).numpy()
        assert seen.pop()[:2] == (expected, expected)
        assert (y == 0).any() == expected  # a layer of `nn` inside does what the call says, too
    model.train()
    assert (model(X).numpy() == 0).any()
    assert not (model(X, training=False).numpy() == 0).any()
    assert nn.Dropout(0.5).training
    assert not (nn.Dropout(0.5)(X, training=False).numpy() == 0).any()

    class Fixed(keras.Model):
        def __init__(self):
            self.drop = layers.Dropout(0.5)

        def call(self, x):
            return self.drop(x, training=True)  # Monte Carlo dropout

    assert (Fixed()(X).numpy() == 0).any()


def test_threads_train_and_ask_one_model_at_once():
    model, wrong = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5)]), []

    def ask(training):
        dropped = [(model(X, training=training).numpy() == 0).any() for _ in range(50)]
        wrong.extend(each for each in dropped if each != training)

    threads = [threading.Thread(target=ask, args=(k % 2 == 0,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_fit_trains_the_layers_that_the_model_has(loss, eagerly):
    """Also the last one, whose softmax is left to the loss: what a callback puts there is what counts."""

    class Change(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[-1].weight = nn.Parameter(np.ones((4, 2)), "float32")
            if epoch == 2:
                self.model.layers[-1].activation = tg.tanh

    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")])
    model.compile(optimizers.SGD(0.0), loss, run_eagerly=eagerly)
    y = np.eye(2)[[0, 1] * 6]
    for epochs in (2, 3) if loss == "mse" else (2,):
        history = model.fit(X, y, epochs=epochs, verbose=0, callbacks=Change()).history["loss"]
        assert history[-1] == pytest.approx(model.evaluate(X, y), rel=1e-5)
        assert history[-1] != pytest.approx(history[0], rel=1e-5)


@pytest.mark.parametrize("eagerly", [False, True])
def test_weights_can_be_assigned_to(eagerly):
    class Sums(layers.Layer):
        def __init__(self):
            super().__init__()
            self.total = self.add_weight(shape=(4,), initializer="zeros", trainable=False)
            self.calls = self.add_weight(initializer="zeros", trainable=False)

        def call(self, x, training=None):
            if training:
                self.total.assign_add(x.sum(axis=0))
                self.calls.assign_sub(-1)
            return x * 1.0

    model = keras.Sequential([keras.Input((4,)), sums := Sums(), dense := layers.Dense(2)])
    model.compile("sgd", "mse", run_eagerly=eagerly)
    model.fit(X, Y, batch_size=5, epochs=4, verbose=0)
    np.testing.assert_allclose(sums.total, 4 * X.sum(axis=0), rtol=1e-4)
    assert sums.calls.item() == 4 * 3
    assert dense.kernel.assign(np.ones((4, 2))) is dense.kernel
    assert dense.kernel.requires_grad
    np.testing.assert_allclose(dense(X), np.repeat(X.sum(axis=1, keepdims=True), 2, 1) + dense.bias, rtol=1e-4)
    for call in dense.kernel.assign, dense.kernel.assign_add, dense.kernel.assign_sub:
        with pytest.raises(ShapeError, match=r"\(4, 2\), got \(3,\)"):
            call(np.ones(3))
    with pytest.raises(DTypeError, match="float32"):
        dense.bias.assign([1j, 0])
    for shape, error in (((2, -1), ArgumentError), (10**13, SizeError), ((2, None), DTypeError)):
        with pytest.raises(error, match="add_weight"):
            dense.add_weight(shape=shape)
    assert dense.add_weight(shape=3).shape == (3,)


def test_layers_of_ones_own():
    class Scale(layers.Layer):
        def __init__(self, start="ones", **kwargs):
            super().__init__(**kwargs)
            self.start = start

        def build(self, input_shape):
            self.factor = self.add_weight(shape=(input_shape[-1],), initializer=self.start, name="factor")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            return x * self.factor

    class Twice(layers.Dense):
        def call(self, x):
            return 2 * super().call(x)

    model = keras.Sequential([Scale(name="scale"), Twice(2, kernel_initializer="ones")])
    model.compile(optimizers.SGD(0.01), "mse")
    model.fit(X, Y, epochs=3, verbose=0)
    assert (model.layers[0].factor.numpy() != 1).all()
    assert len(model.layers[0].trainable_weights) == 1 and len(model.layers[0].weights) == 2  # noqa: PT018
    factor, _, kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(X), 2 * ((X * factor) @ kernel + bias), rtol=1e-5)
    assert Scale()(X.astype("float64")).dtype == np.float32  # floating-point arrays in the layer's dtype
    assert Scale(dtype="float64")(X).dtype == np.float64
    frozen = Scale(trainable=False)
    frozen(X)
    assert frozen.trainable_weights == []
    with pytest.raises(NotImplementedError, match=r"define call\(self, x\)"):
        layers.Layer()(X)
    with pytest.raises(ArgumentError, match="masks are not supported"):
        layers.Dense(2)(X, mask=np.ones(12))


def test_shapes_are_attributes_of_a_sequential():
    model = regression()
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    assert model.compute_output_shape((7, 4)) == (7, 2)
    series = keras.Sequential([layers.Conv1D(3, 2, padding="causal"), layers.GlobalMaxPooling1D(), layers.Dense(1)])
    series.compile("sgd", "mse")
    series.fit(np.ones((4, 9, 2)), np.ones(4), verbose=0)
    assert series.predict(np.ones((2, 14, 2))).shape == (2, 1)  # the size of the first data binds nobody
    assert (series.input_shape, series.output_shape) == ((None, 9, 2), (None, 1))
    with pytest.raises(DTypeError, match="for inputs of many sizes leave it out"):
        keras.Input((None, 2))
    with pytest.raises(AttributeError, match="no shape yet"):
        keras.Sequential([layers.Dense(2)]).output_shape  # noqa: B018
    fixed = keras.Sequential([keras.Input((4,), batch_size=3), layers.Dense(2)])
    assert fixed.predict(X, batch_size=3).shape == (12, 2)
    with pytest.raises(ShapeError, match=r"expected inputs \(3, 4\), got \(12, 4\)"):
        fixed(X)
    whole = keras.Sequential([keras.Input((4,), dtype="int64"), layers.Activation(lambda x: 1 * x)])
    assert whole.predict(X + 0.75).dtype == np.int64


# --- callbacks ------------------------------------------------------------------------------------------------------


class Told(callbacks.Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.events = []

    def set_model(self, model):
        super().set_model(model)
        self.events.append("set_model")

    def set_params(self, params):
        super().set_params(params)
        self.events.append(f"set_params {params['epochs']} {params['steps']} {params['verbose']}")


for _event in callbacks.EVENTS:
    if _event not in ("on_batch_begin", "on_batch_end"):

        def _told(self, *args, event=_event):
            *number, logs = args
            self.events.append(" ".join([event, *map(str, number), *sorted(logs)]))

        setattr(Told, _event, _told)


def test_events_and_their_logs_come_as_keras_sends_them():
    told = Told()
    model = regression(metrics=["mae"])
    model.fit(X, Y, batch_size=5, epochs=1, verbose=0, validation_split=0.25, callbacks=told)
    assert told.events == [
        "set_model", "set_params 1 2 0", "on_train_begin", "on_epoch_begin 0", "on_train_batch_begin 0",
        "on_train_batch_end 0 loss mae", "on_train_batch_begin 1", "on_train_batch_end 1 loss mae", "on_test_begin",
        "on_test_batch_begin 0", "on_test_batch_end 0 loss mae", "on_test_end loss mae",
        "on_epoch_end 0 loss mae val_loss val_mae", "on_train_end loss mae val_loss val_mae",
    ]  # fmt: skip
    told.events.clear()
    model.evaluate(X, Y, batch_size=6, callbacks=[told])
    model.predict(X, batch_size=12, callbacks=(told,))
    assert told.events == [
        "set_model", "set_params 1 2 0", "on_test_begin", "on_test_batch_begin 0", "on_test_batch_end 0 loss mae",
        "on_test_batch_begin 1", "on_test_batch_end 1 loss mae", "on_test_end loss mae", "set_model",
        "set_params 1 1 0", "on_predict_begin", "on_predict_batch_begin 0", "on_predict_batch_end 0 outputs",
        "on_predict_end",
    ]  # fmt: skip


def test_a_history_of_ones_own_is_the_history():
    history = callbacks.History()
    assert regression().fit(X, Y, verbose=0, callbacks=[history]) is history
    assert len(history.epoch) == 1


def test_each_kind_of_run_can_be_stopped():
    class Stop(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):  # the older name, which training still has
            self.model.stop_training = batch == 1

        def on_test_batch_end(self, batch, logs=None):
            self.model.stop_evaluating = batch == 1

        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 1

    model = regression()
    model.fit(X, Y, batch_size=2, epochs=3, verbose=0, callbacks=Stop())
    assert model.optimizer.iterations == 2
    assert model.predict(X, batch_size=2, callbacks=Stop()).shape == (4, 2)
    assert model.evaluate(X, Y, batch_size=2, callbacks=Stop()) == pytest.approx(model.evaluate(X[:4], Y[:4]))


def test_what_is_no_callback_is_refused():
    for given_, message in (([callbacks.EarlyStopping], r"write EarlyStopping\(\)"), ([print], "expected callbacks")):
        with pytest.raises(DTypeError, match=message):
            regression().fit(X, Y, verbose=0, callbacks=given_)


def test_a_schedule_s_own_error_is_shown_as_it_is():
    def schedule(epoch, lr):
        return None + 1

    with pytest.raises(TypeError, match="NoneType"):
        regression().fit(X, Y, verbose=0, callbacks=callbacks.LearningRateScheduler(schedule))
    for value in (float("nan"), -1.0, "fast"):
        with pytest.raises((ArgumentError, DTypeError), match="expected learning_rate to be a finite number >= 0"):
            regression().fit(X, Y, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch, lr, v=value: v))


def test_what_to_watch_for_is_known_or_asked_for():
    def stopped(monitor, mode="auto", metrics=()):
        model = regression(metrics=list(metrics))
        model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks.EarlyStopping(monitor, mode=mode))

    stopped("loss")
    stopped("mae", metrics=["mae"])
    stopped("accuracy", metrics=["accuracy"])
    stopped("score", "max", metrics=[score])
    with pytest.raises(ArgumentError, match="nothing says whether score should be low or high: use mode='min'"):
        stopped("score", metrics=[score])


def score(y_true, y_pred):
    return (y_true * y_pred).mean(axis=-1)


def test_terminate_on_nan_ends_training_before_the_weights_are_lost(capsys):
    model = regression(optimizers.SGD(0.1))
    x = X.copy()
    x[9] = np.nan
    history = model.fit(
        x, Y, batch_size=4, shuffle=False, epochs=5, verbose=0, callbacks=callbacks.TerminateOnNaN()
    ).history
    assert "Batch 2: the loss is nan" in capsys.readouterr().out
    assert np.isnan(history["loss"]).tolist() == [True]
    assert np.isfinite(model.get_weights()[0]).all()
    with pytest.raises(AnomalyError, match="at batch 2"):
        model.fit(x, Y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks.TerminateOnNaN(raise_error=True))
    with pytest.raises(AnomalyError, match="the inputs of this batch hold NaN"):
        model.fit(x, Y, verbose=0)


def test_columns_of_a_csv_file_stay_what_they_are(tmp_path):
    path = tmp_path / "new" / "log.csv"
    logger = callbacks.CSVLogger(path)
    regression().fit(X, Y, epochs=3, verbose=0, validation_split=0.5, validation_freq=2, callbacks=logger)
    rows = [line.split(",") for line in path.read_text().split()]
    assert rows[0] == ["epoch", "loss", "val_loss"]
    assert [len(row) for row in rows] == [3] * 4
    assert [row[2] == "NA" for row in rows[1:]] == [True, False, True]
    again = callbacks.CSVLogger(path, append=True)
    regression(metrics=["mae"]).fit(X, Y, verbose=0, callbacks=again)
    assert [len(line.split(",")) for line in path.read_text().split()] == [3] * 5


# --- what fit is fed with -------------------------------------------------------------------------------------------


class Batches:
    """A `Sequence`, as Keras calls it."""

    def __init__(self, size):
        self.size, self.told = size, []

    def __len__(self):
        return -(-len(X) // self.size)

    def __getitem__(self, k):
        assert 0 <= k < len(self)  # nobody looks further
        return X[k * self.size : (k + 1) * self.size], Y[k * self.size : (k + 1) * self.size]

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


class Iterable:
    """It can be gone through again and again, and knows nothing else."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter([self.batches[k] for k in range(len(self.batches))])


FEEDS = {
    "a sequence": lambda b: b,
    "an iterable": Iterable,
    "a list": lambda b: [b[k] for k in range(len(b))],
    "a tuple of lists": lambda b: tuple(list(b[k]) for k in range(len(b))),
    "an iterator": lambda b: iter([b[k] for k in range(len(b))] * 9),
    "a generator": lambda b: (b[k % len(b)] for k in range(999)),
    "tg.data.batches": lambda b: tg.data.batches(X, Y, batch_size=b.size, shuffle=False),
}


@given(st.sampled_from(sorted(FEEDS)), st.integers(1, 12), st.integers(1, 3), st.booleans())
@settings(max_examples=15)
def test_batches_train_as_the_arrays_do_that_they_are_cut_from(kind, size, epochs, weighted):
    batches = Batches(size)
    feed = FEEDS[kind](batches)
    steps = len(batches) if kind in ("an iterator", "a generator") else None
    expected, got = regression(), regression()
    weights = np.linspace(0, 2, len(X))
    if weighted and kind == "a list":
        feed = [(x, y, weights[k * size : k * size + size, None]) for k, (x, y) in enumerate(feed)]
    elif weighted:
        weighted = False
    one = expected.fit(
        X, Y, batch_size=size, epochs=epochs, shuffle=False, verbose=0, sample_weight=weights if weighted else None
    )
    other = got.fit(feed, epochs=epochs, shuffle=False, verbose=0, steps_per_epoch=steps)
    assert other.history["loss"] == pytest.approx(one.history["loss"], rel=1e-6)
    for a, b in zip(expected.get_weights(), got.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    if kind == "a sequence":
        assert batches.told == ["begin", "end"] * epochs
    batches = Batches(size)
    value = got.evaluate(FEEDS[kind](batches), steps=steps)
    assert value == pytest.approx(expected.evaluate(X, Y), rel=1e-5)
    if kind != "a tuple of lists":  # which may as well be an array
        np.testing.assert_allclose(got.predict(FEEDS[kind](batches), steps=steps), expected.predict(X), rtol=1e-5)


def test_sequences_are_shuffled_and_iterables_are_not():
    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(round(logs["loss"], 6))

    seen = []
    batches = [(X[k : k + 1], Y[k : k + 1]) for k in range(12)]

    def losses_of(feed, **options):
        seen.clear()
        regression(optimizers.SGD(0.0)).fit(feed, verbose=0, callbacks=Watch(), **options)
        return list(seen)

    in_order = losses_of(Iterable(batches))
    assert losses_of(batches, shuffle=False) == in_order
    assert losses_of(batches)[0] != in_order[0] and sorted(losses_of(batches))[0] != 0  # noqa: PT018


def test_an_epoch_of_so_many_steps_goes_on_where_the_last_one_stopped():
    seen = []

    class Watch(keras.Model):
        def __init__(self):
            self.dense = layers.Dense(2)

        def call(self, x, training=None):
            if training:
                seen.append(round(float(x.numpy()[0, 0])))
            return self.dense(x)

    x = np.arange(10.0)[:, None] * np.ones(4)
    model = Watch()
    model.compile(optimizers.SGD(0.0), "mse", run_eagerly=True)
    y = np.zeros((10, 2))
    model.fit(x, y, batch_size=2, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
    assert seen == [0, 2, 4, 6]
    seen.clear()
    with pytest.warns(UserWarning, match="the data ended after 1 of 2 batches"):
        model.fit(x, y, batch_size=2, steps_per_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert seen == [0, 2, 4, 6, 8, 0, 2]
    seen.clear()
    model.fit(x, y, batch_size=5, steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)  # exactly a pass
    assert seen == [0, 5, 0, 5]
    seen.clear()
    with pytest.warns(UserWarning, match="the data ended before epoch 2 of 3"):
        history = model.fit(((x[k : k + 1], y[:1]) for k in range(3)), epochs=3, verbose=0)
    assert (seen, history.epoch) == ([0, 1, 2], [0])


def test_evaluation_begins_at_the_beginning_of_its_data():
    model = regression(optimizers.SGD(0.0))
    held_out = {"validation_steps": 1, "validation_batch_size": 3}
    for validation in ((X, Y), tg.data.batches(X, Y, batch_size=3, shuffle=False)):
        if not isinstance(validation, tuple):
            held_out.pop("validation_batch_size", None)
        history = model.fit(X, Y, epochs=3, verbose=0, validation_data=validation, **held_out).history
        assert history["val_loss"] == pytest.approx([model.evaluate(X[:3], Y[:3])] * 3)
    with pytest.raises(ArgumentError, match="gone through after each of 2 epochs, got an iterator"):
        model.fit(X, Y, epochs=2, verbose=0, validation_data=iter([(X, Y)]))
    assert model.fit(X, Y, verbose=0, validation_data=iter([(X, Y)])).history["val_loss"]


def test_class_weights_apply_to_batches_too():
    labels = np.arange(12) % 2

    def after(feed, *args, **options):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
        return model.fit(
            feed, *args, class_weight={0: 3.0, 1: 0.0}, epochs=2, shuffle=False, verbose=0, **options
        ).history

    assert after([(X[:6], labels[:6]), (X[6:], labels[6:])]) == after(X, labels, batch_size=6)


class Endless:
    """Whatever goes through it by numbers never ends, and takes all memory."""

    def __len__(self):
        return 4

    def __getitem__(self, k):
        return X, Y


class Frame:
    """A data frame, as far as anybody here asks."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __iter__(self):
        return iter("columns")

    def __getitem__(self, key):
        raise KeyError(key)

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_what_gives_an_array_is_one():
    one, other = regression(), regression()
    history = one.fit(Frame(X), Frame(Y), verbose=0, shuffle=False, sample_weight=Frame(np.ones((12, 1))))
    assert history.history == other.fit(X, Y, verbose=0, shuffle=False).history
    np.testing.assert_array_equal(one.predict(Frame(X)), other.predict(X.tolist()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.fit([Endless()], Y, verbose=0), DTypeError, "expected x as an array, got list"),
        (lambda m: m.fit(X, Endless(), verbose=0), DTypeError, "expected y as an array, got Endless"),
        (lambda m: m.fit(Endless(), Y, verbose=0), ArgumentError, "expected no y beside an iterable"),
        (lambda m: m.fit(Batches(4), batch_size=3, verbose=0), ArgumentError, "no batch_size beside an iterable"),
        (lambda m: m.fit(Batches(4), validation_split=0.5), ArgumentError, "validation_split, got batches: use"),
        (lambda m: m.fit(tg.data.Dataset(X, Y), verbose=0), DTypeError, r"single examples: use its batches\("),
        (lambda m: m.fit([(X,)], verbose=0), DTypeError, r"each batch as \(x, y\) or .*, got 1 of them"),
        (lambda m: m.fit([X, X], verbose=0), DTypeError, "expected y as an array, got None"),
        (lambda m: m.fit(iter([X]), verbose=0), DTypeError, r"each batch as \(x, y\) or .*, got ndarray"),
        (lambda m: m.fit(iter([]), verbose=0), ArgumentError, "at least one batch, got none"),
        (lambda m: m.fit(iter([(X, Y[:3])]), verbose=0), ShapeError, "12 inputs .* and 3 labels"),
        (lambda m: m.fit({"a": X}, Y, verbose=0), ArgumentError, r"got 1 inputs: .* np\.concatenate\(\[a, b\]"),
        (lambda m: m.fit([X, X], Y, verbose=0), ArgumentError, "got 2 inputs: a model here has one input"),
        (lambda m: m.fit(X, [Y, Y], verbose=0), ArgumentError, "got 2 outputs: a model here has one output"),
        (lambda m: m.fit("abc", Y, verbose=0), DTypeError, "expected x as an array, got str"),
        (lambda m: m.fit(np.ma.masked_less(X, 0), Y, verbose=0), ArgumentError, "without masked elements"),
        (lambda m: m.fit(X, Y, sample_weight=np.full(12, np.nan)), ArgumentError, "finite sample weights"),
        (lambda m: m.fit(X, Y, class_weight={0: -1}), ArgumentError, "at least 0, got -1 for class 0"),
        (lambda m: m.fit(X, Y, class_weight={0: np.nan}), ArgumentError, "at least 0, got nan for class 0"),
        (lambda m: m.fit(X, Y, steps_per_epoch=0), ArgumentError, "steps_per_epoch to be an int >= 1"),
        (lambda m: m.predict(iter([{"a": X}])), ArgumentError, "got 1 inputs"),
    ],
)  # fmt: skip
def test_what_cannot_be_fed_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(regression())


# --- what the front does not have -------------------------------------------------------------------------------------


class Two(keras.Model):
    def __init__(self):
        self.a, self.b = layers.Dense(1), layers.Dense(2)

    def call(self, x):
        return self.a(x), self.b(x)


class Stepping(keras.Model):
    def __init__(self):
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        raise AssertionError


def compiled(model):
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers.Dense(2)(keras.Input((4,))), r"derive from keras\.Model and define call\(self, x\)"),
        (lambda: keras.Model(keras.Input((4,)), None), "no functional models here; derive from"),
        (lambda: keras.Model(inputs=1, outputs=2), "no functional models here"),
        (lambda: regression().save("m.keras"), r"use save_weights\(path\) and load_weights\(path\)"),
        (lambda: optimizers.Adam().apply_gradients([]), r"tg\.optim\.Adam\(model\.trainable_variables\)"),
        (lambda: compiled(Two()).fit(X, Y), r"expected one output, got 2: .* loss\.backward\(\)"),
        (lambda: keras.Sequential([layers.Dense(1)]).compile("sgd", ["mse", "mse"]), "expected one loss, got 2"),
        (lambda: compiled(Stepping()).fit(X, Y), r"train_step of Stepping would not be called here: write the loop"),
        (lambda: regression(loss_weights=[1.0]), "unknown argument 'loss_weights'"),
        (lambda: layers.Dense(2, kernel_regularizer="l2"), "use weight_decay= of the optimizer"),
    ],
)
def test_what_the_front_does_not_have_says_what_does(call, message):
    with pytest.raises((ArgumentError, DTypeError, GraphError), match=message):
        call()


def test_names_that_are_not_here_can_be_imported_and_say_what_serves_when_used():
    for module, (sentence, names) in absent._NAMES.items():
        here = importlib.import_module(f"tinygrad_conv.{module}")
        for name in names.split():
            assert name not in vars(here), f"{module}.{name} is here"
            assert name not in dir(here)
            stand_in = getattr(here, name)
            uses = (lambda s=stand_in: s(3), lambda s=stand_in: s.load_data, lambda s=stand_in: type("S", (s,), {}))
            for use in uses:
                with pytest.raises((ArgumentError, MissingError)) as caught:
                    use()
                assert f"{sentence}; {absent.STOCK}" in str(caught.value)
    from tinygrad_conv.keras.layers import LSTM, Conv2D  # noqa: F401  (as scripts do)

    with pytest.raises(AttributeError, match=r"keras\.layers has no 'Conv2d': use Conv2D"):
        layers.Conv2d  # noqa: B018
    assert not hasattr(keras, "nothing_of_the_kind")
