"""Does each argument of a function have an effect? What `test_arguments_have_effect` is built from.

A subject is a public function or class. It is called with arguments that work (its base); then, for each argument,
other values are tried until something that can be seen is different. What can be seen of a result is what its kind is
for: a layer is called in both modes, an optimiser makes steps, a loss, metric or initialiser is asked, a callback hears
a `fit`. An error is no effect (but a call that succeeds with a value, and only with it, is one), nor is an attribute
that nobody reads.
"""

import contextlib
import contextvars
import inspect
import io
import itertools
import pathlib
import shutil
import tempfile
import threading
from types import SimpleNamespace

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv import keras, nn, optim
from tinygrad_conv.data import Dataset

TRIES = 3_000  # calls until some arguments work
BASES = 4  # of these are gone on with


def array(*shape, seed=0):
    """Numbers between 0.1 and 0.9, which any function takes."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape)


# --- values by the name of an argument: the first that works is the base, the others are tried -----------------------

IMAGES = [array(2, 6, 6, 4), array(2, 6, 4), array(1, 5, 5, 5, 4)]
MATRICES = [array(3, 3), array(3, 3) - 0.5, array(4, 6), array(3)]
NUMBERS = [np.array([0, 2, 1]), np.array([[1, 0, 1]])]

VALUES = {
    "a": MATRICES, "activation": ["tanh", "relu", "softmax"], "arrays": [[array(2, 3), array(2, 3, seed=1)]],
    "axes": [(1, 0), 1, ((0,), (1,)), (0, 1)], "axis": [0, 1, -1, (0, 1), (-2, -1), None, 2], "axis1": [0, 1, 2, -1],
    "UPLO": ["U"], "axis2": [1, 0, 2], "choices": [[array(3), array(3, seed=1), array(3, seed=2)]],
    "b": [array(6), array(4), array(8), array(3), array(2), array(3, 3)],
    "baseline": [0.95, -1.0, 4.5], "batch_shape": [(None, 4), (3, 4)], "batch_size": [3, 2, 5], "betas": [(0.5, 0.6)],
    "bias_init": ["ones", "normal"], "bias_initializer": ["ones"], "boundaries": [(2, 4), (1, 3)],
    "condition": [array(3, 3) > 0.5, np.array([True, False, True])],
    "conditions": [[array(3) > 0.5, array(3) > 0.2], [array(3, 3) > 0.6, array(3, 3) > 0.3]],
    "data": [array(2, 3)], "data_format": ["channels_first", "channels_last"],
    "decay_rate": [0.5, 0.25], "decay_steps": [4, 2], "depthwise": [array(2, 2, 4, 2)], "destination": [1, 0, -1],
    "dilation": [2], "dilation_rate": [2], "dtype": ["float64", "float32", "int64"], "every": [2, 3],
    "embeddings_initializer": ["ones"], "depthwise_initializer": ["ones"], "pointwise_initializer": ["ones"],
    "kernel_initializer": ["ones"], "factor": [0.5, 0.25], "fans": [(50.0, 2.0)], "features": [4, 3],
    "fill_value": [7.0, 2.0], "filters": [4, 2, 6], "final": [0.01, 0.5], "groups": [2, 4, 1], "in_channels": [4],
    "in_features": [4], "index": [1, 0, (0, 1), slice(0, 2)], "indices": NUMBERS, "initial_learning_rate": [0.1, 0.2],
    "indices_or_sections": [3, 1], "input_dim": [5, 4], "input_length": [6, 5], "kernel_size": [2, 3], "kth": [1, 0],
    "label_smoothing": [0.1], "labels": [np.array([0, 1, 2]), np.array([2, 1, 0]), array(3, 3)],
    "learning_rate": [0.1, lambda step: 0.5**step], "logits": MATRICES, "lr": [0.1, 0.2, lambda step: 0.1 / (step + 1)],
    "max": [0.5], "max_norm": [0.5, 0.25], "max_value": [0.25, 0.5], "method": ["lower", "higher"],
    "min": [0.5], "mode": ["max", "min", "edge"],
    "model": [], "monitor": ["loss", "val_loss"], "n": [3, 4], "name": ["mine"], "negative_slope": [0.4],
    "new_shape": [(2, 2), 5],
    "noise_shape": [(None, 1, 1, None), (None, 1)], "num": [3, 4], "num_classes": [4, 5], "ord": [1, 2, np.inf],
    "output_dim": [3, 2], "output_size": [2, 3], "output_padding": [1, 0],
    "padding": ["same", "valid", 1], "pad_width": [1, ((0, 1), (1, 0))],
    "pointwise": [array(1, 1, 8, 3)], "pool_size": [2, 3], "p": [array(3), 9 * array(3)],
    "prediction": [array(3, 3), array(3)], "q": [0.3, 0.5, 30.0], "rate": [0.5, 0.25],
    "reduction": ["sum", "none"], "repeats": [2, 3], "reps": [2, (2, 1)], "scale": [2.0, 3.0, False], "seed": [1, 2],
    "shape": [(3, 3), (2, 3, 3), (4, 3, 3), (4, 3), (1, 3), 9, 4], "shift": [1, 2], "source": [0, 1],
    "start": [0.0, 1.0], "steps": [4, 2],
    "stop": [2.0, 3.0], "stride": [2, 1], "strides": [2, 1], "table": [array(5, 3), array(4, 2)],
    "target": [array(3, 3, seed=1), array(3, seed=1)], "target_shape": [(-1,), (2, -1)], "then": [0.1, 0.2],
    "threshold": [0.2], "units": [3, 2], "value": [7.0, 2.0], "values": [(0.1, 0.2, 0.3), (0.3, 0.2, 0.1)],
    "w": [array(2, 2, 4, 6), array(2, 4, 6), array(2, 2, 2, 4, 6), array(2, 2, 4, 2), array(2, 2, 6, 4),
          array(2, 6, 4), array(2, 2, 2, 6, 4)],
    "weight_init": ["ones", "normal"], "weights": [np.array([1.0, 2.0, 0.5])], "x": MATRICES + IMAGES + NUMBERS,
    "x1": [*MATRICES, array(3, 3) > 0.5, *NUMBERS],
    "x2": [array(3, 3, seed=1), array(4, 6, seed=1), array(3, seed=1), array(3, 3, seed=1) > 0.5, np.array([1, 3, 2])],
    "y": [array(3, 3, seed=2), array(3)], "y_pred": [array(4, 3, seed=1)],
    "y_true": [np.eye(3)[[0, 2, 1, 0]], np.array([0, 2, 1, 0])],
}  # fmt: skip
BY_KIND = {bool: [True, False], int: [1, 2, 3, 0, -2, 5], float: [0.5, 0.05, 0.9, 2.0, 0.0], str: ["ones", "same"]}
ANYTHING = [
    1,
    2,
    0,
    0.5,
    True,
    "mine",
    "float64",
    "ones",
    "channels_first",
    (1,),
    (2, 2),
    (0, 1),
    array(4),
    array(3),
    7,
]


def candidates(parameter, given):
    """Values to try for an argument: those given for this function, those of its name, those of its default's kind."""
    if parameter.name in given:
        return given[parameter.name]
    of_kind = BY_KIND.get(type(parameter.default), [])
    return [*VALUES.get(parameter.name, []), *of_kind, *(ANYTHING if parameter.default is None else [])]


# --- what can be seen -------------------------------------------------------------------------------------------------


def seen(result):
    """A result as plain data that can be compared."""
    for kind, look in LOOKS:
        if isinstance(result, kind):
            return look(result)
    if callable(result) and not isinstance(result, type):
        return [_or_nothing(lambda k=k: seen(result(k))) for k in range(13)]  # a schedule, or what else takes a number
    text = repr(result)
    return type(result).__qualname__ if " at 0x" in text else text


def _or_nothing(make):
    try:
        return make()
    except Exception as error:
        return type(error).__name__


def _of_array(x):
    return (x.shape, str(x.dtype), x.tobytes())


def _of_tensor(x):
    return (*_of_array(np.asarray(x.detach().numpy())), x.requires_grad, x.name)


LAYER_INPUTS = [
    np.random.default_rng(0).normal(size=shape).astype("float32")
    for shape in ((4, 9, 9, 4), (4, 9, 4), (2, 7, 7, 7, 4), (4, 4), (2, 4, 4, 4))
] + [np.random.default_rng(0).integers(0, 3, (4, 6))]


def _of_layer(layer):
    """Its name in a sequence, its weights before and after the first call, and what it gives in both modes."""
    before = (layer.built, getattr(layer, "batch_input_shape", None), layer.name)
    for x in LAYER_INPUTS:
        try:
            outputs = [seen(layer(x, training=training)) for training in (False, True, True)]
        except Exception:
            continue
        weights = [(name, p.requires_grad, _of_array(p.numpy())) for name, p in layer.named_parameters()]
        return before, outputs, weights, [_of_array(b.numpy()) for b in layer.buffers()]
    raise ValueError("no input fits")


def _steps_of(optimizer, params):
    for k in range(4):
        for p in params:
            p.grad = np.random.default_rng(k).normal(size=p.shape)
        optimizer.step()
    return [p.numpy().copy().tobytes() for p in params]


def _of_front_optimizer(optimizer):
    w = nn.Parameter(array(3))
    optimizer.bind([w])
    return optimizer.name, _steps_of(optimizer, [w])


LABELS = [np.eye(3)[[0, 2, 1, 0]], np.array([0, 2, 1, 0]), np.array([[0.0], [1.0], [1.0], [0.0]])]
OUTPUTS = [array(4, 3, seed=1), array(4, 3, seed=2), array(4, 1), array(4, 8)]


def _of_scored(make):
    """What a loss or a metric makes of labels and outputs, with and without weights."""
    asked = itertools.product(LABELS, OUTPUTS, (None, np.array([1.0, 2.0, 0.0, 0.5])))
    return [_or_nothing(lambda case=case: seen(make()(*case))) for case in asked]


def _of_loss(loss):
    return loss.name, _of_scored(lambda: loss)


def _of_metric(metric):
    def anew():
        metric.reset_state()
        return metric

    return type(metric).__name__, metric.name, _of_scored(anew), [str(v.dtype) for v in metric.variables]


SCRIPT = [3.0, 1.0, 2.0, 0.9, 1.5, 0.85, 0.8, 0.8, 0.79, 0.78]


class _Scripted(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"], logs["loss"] = SCRIPT[epoch], -SCRIPT[epoch]
        self.model.layers[0].bias.data = [float(epoch)]


def _of_callback(callback):
    """What a `fit` with it does: history, weights, what is printed, what is written."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.build()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    out = io.StringIO()
    x = np.ones((4, 2))
    if isinstance(callback, keras.callbacks.TerminateOnNaN):
        x[0] = np.nan
    calls = [_Scripted(), callback]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            history = model.fit(x, np.zeros((4, 1)), epochs=10, batch_size=4, verbose=0, callbacks=calls)
        except tg.errors.AnomalyError:  # which one of them is there to raise
            history = model.history
    return str(history.history), [w.tobytes() for w in model.get_weights()], out.getvalue(), _files()


def _of_stream(stream):
    others = {*threading.enumerate()}  # one of an earlier stream may still be ending
    return [(seen(batch), len({*threading.enumerate()} - others)) for batch in stream]


def _files():
    """What is in the files of the folder; of archives, the arrays, for they note the time as well."""
    found = {}
    for path in sorted(filter(pathlib.Path.is_file, pathlib.Path().rglob("*"))):
        data = path.read_bytes()
        if data.startswith(b"PK"):
            with np.load(path) as arrays:
                data = [(name, arrays[name].tobytes()) for name in arrays.files]
        found[str(path)] = data
    return found


def _of_input(given):
    model = keras.Sequential([given, keras.layers.Activation("linear")])
    calls = [np.full((n, 4), 1.6, "float32") for n in (3, 5)]
    return model.input_shape, [_or_nothing(lambda x=x: seen(model.predict(x, len(x)))) for x in calls]


LOOKS = [
    (np.ndarray, _of_array),
    (tg.Tensor, _of_tensor),
    (np.random.Generator, lambda rng: rng.integers(0, 1 << 30)),
    (keras.layers.InputLayer, _of_input),
    (nn.Layer, _of_layer),
    (keras.layers.Layer, _of_layer),
    (optim.Optimizer, lambda o: _steps_of(o, o.params)),
    (keras.optimizers.Optimizer, _of_front_optimizer),
    (keras.losses.Loss, _of_loss),
    (keras.metrics.Metric, _of_metric),
    (keras.callbacks.Callback, _of_callback),
    (keras.initializers.Initializer, lambda make: seen(make((4, 3)))),
    (Dataset, lambda data: [seen(a) for a in data.arrays]),
    (dict, lambda d: [(k, seen(v)) for k, v in d.items()]),
    ((tuple, list), lambda items: [seen(item) for item in items]),
    (tg.data.stream(np.ones(2)).__class__, lambda stream: _of_stream(stream)),
    (tg.data.batches(np.ones(2)).__class__, lambda b: [[seen(batch) for batch in b] for _ in range(2)]),
    ((int, float, str, bytes, bool, type(None), np.generic), lambda x: (type(x).__name__, repr(x))),
    (SimpleNamespace, lambda space: seen(vars(space))),
]


# --- walking ----------------------------------------------------------------------------------------------------------


def _plainly(look):
    """Nobody waits for a compiler here."""
    with tg.use_kernels("plain"):
        return look()


def looked_at(function, args, kwargs):
    """What can be seen of a call, in an empty folder and from the same state of the generators."""
    keras.utils.set_random_seed(3)
    try:
        with np.errstate(all="ignore"):
            return contextvars.copy_context().run(_plainly, lambda: seen(function(*args, **kwargs)))
    finally:
        for path in pathlib.Path().iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fresh(value):
    """Values that are used up are made anew."""
    return value() if getattr(value, "anew", False) else value


def anew(make):
    """A value that is made for each call."""
    make.anew = True
    return make


def _call(function, parameters, values):
    args, kwargs = [], {}
    for p in parameters:
        if p.name in values:
            value = _fresh(values[p.name])
            if p.kind is p.VAR_POSITIONAL:
                args += value
            elif p.kind is p.POSITIONAL_ONLY:
                args.append(value)
            elif p.kind is not p.VAR_KEYWORD:
                kwargs[p.name] = value
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):  # what comes before it goes by place
        before = list(itertools.takewhile(lambda p: p.kind is not p.VAR_POSITIONAL, parameters))
        args = [kwargs.pop(p.name) for p in before if p.name in kwargs] + args
    return looked_at(function, args, kwargs)


def _near(value):
    """Arrays like one, with other numbers and of other lengths."""
    if isinstance(value, np.ndarray) and value.size:
        return [value[::-1], value[..., :1], value[:1], 1 - value if value.dtype != bool else ~value, value * 0]
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], np.ndarray):
        return [type(value)([other, *value[1:]]) for other in _near(value[0])]
    return []


def without_effect(function, given=None, context=None, usual=None):
    """The arguments of a function of which no value changes anything that can be seen.

    `given` has values for arguments by name, `context` the other arguments that one needs to have an effect, `usual`
    arguments with defaults that the base takes all the same.

    Raises AssertionError where no values are found with which the function can be called at all.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return _without_effect(function, given, context, usual)


def _without_effect(function, given, context, usual):
    given, context = given or {}, context or {}
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    tried = itertools.islice(itertools.product(*(candidates(p, given) for p in needed)), TRIES)
    left, found = [p for p in parameters if p.kind is not p.VAR_KEYWORD], 0
    for values in tried:
        base = dict(zip((p.name for p in needed), values, strict=True)) | (usual or {})
        try:
            _call(function, parameters, base)
        except Exception:
            continue
        found += 1
        left = [p for p in left if not _matters(function, parameters, p, base, given, context)]
        if not left or found == BASES:
            break
    assert found, f"no arguments found for {function}: put values of their names into VALUES of tests/effects.py"
    return [p.name for p in left]


def _matters(function, parameters, p, base, given, context):
    """Does some value of an argument change what can be seen, where the others are as in the base?"""
    base = {**base, **context.get(p.name, {})}
    try:
        before = _call(function, parameters, base)
    except tg.errors.TinygradConvError:
        before = "refused"
    except Exception:
        return False
    for value in [*candidates(p, given), *_near(base.get(p.name))]:
        try:
            if _call(function, parameters, {**base, p.name: value}) != before:
                return True
        except Exception:
            continue
    return False
