"""An argument that is accepted has its effect, or is documented as accepted for compatibility.

Every public function and class is walked by its signature; see `effects`. The tables here say what cannot be found out:
values, what an argument needs beside it, and what is left out, with the reason.
"""

import functools
import inspect
import random

import numpy as np
import pytest
from effects import anew, array, seen, without_effect

import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.data import Dataset
from tinygrad_conv.keras import callbacks, layers
from tinygrad_conv.kernels import wanted

MODULES = {
    "tg": tg, "nn": tg.nn, "init": tg.nn.init, "optim": tg.optim, "data": tg.data, "layers": keras.layers,
    "losses": keras.losses, "metrics": keras.metrics, "callbacks": keras.callbacks, "optimizers": keras.optimizers,
    "schedules": keras.optimizers.schedules, "initializers": keras.initializers, "utils": keras.utils,
    "activations": keras.activations,
}  # fmt: skip
SUBJECTS = {
    f"{module}.{name}": getattr(where, name)
    for module, where in MODULES.items()
    for name in where.__all__
    if callable(getattr(where, name))
}

LEFT_OUT = {
    **dict.fromkeys(
        ["tg.Primitive", "tg.bilinear", "tg.elementwise", "tg.linear", "tg.opaque"],
        "declarations: tests/test_primitives.py leaves each part out in turn",
    ),
    **dict.fromkeys(["nn.Module", "nn.Layer", "nn.Row", "nn.Weight", "data.MNIST"], "bases and records"),
    **dict.fromkeys(["optim.Optimizer", "optimizers.Optimizer"], "bases"),
    **dict.fromkeys(["callbacks.Callback", "initializers.Initializer"], "bases without arguments"),
    **dict.fromkeys(["data.mnist", "data.read_idx"], "what they read is in tests/test_data.py"),
    "data.Shards": "what it reads is in tests/test_streaming.py",
    "tg.check_labels": "it gives nothing; tests/test_edges.py has what it refuses",
}  # fmt: skip

# Arguments that are accepted and change nothing, and words of the documentation that say so.
COMPATIBLE = {
    **{(f"init.{name}", "fans"): "accepted" for name in ("constant", "normal", "ones", "orthogonal", "truncated_normal",
                                                        "uniform", "zeros")},
    **{(f"init.{name}", "seed"): "accepted" for name in ("constant", "ones", "zeros")},
    ("init.get", "argument"): "which came as this argument",
    ("initializers.get", "argument"): "which came as this argument",
    ("tg.jacobian", "mode"): "mode", ("tg.sort", "stable"): "compatib", ("tg.unique", "sorted"): "compatib",
    **{(f"layers.{name}", "name"): "compatib" for name in ("Input", "InputLayer")},
    **{(f"utils.{name}", argument): "compatib" for name in ("PyDataset", "Sequence")
       for argument in ("workers", "use_multiprocessing", "max_queue_size")},
    ("callbacks.ModelCheckpoint", "save_weights_only"): "only weights",
    ("Model.compile", "jit_compile"): "compatib",
    **{(name, "device"): "`device`" for name, of in SUBJECTS.items() if "device" in inspect.signature(of).parameters},
    **{(f"tg.{name}", "copy"): "copy" for name in ("asarray", "astype", "from_dlpack", "reshape")},  # of memory
    ("tg.argsort", "stable"): "compatib",
}  # fmt: skip


# --- what is done with a result -------------------------------------------------------------------------------------


def then(function, more):
    """A function with the same signature, and more done with its result."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        return more(function(*args, **kwargs), *args, **kwargs)

    return call


def gradients(result, params, *args, **kwargs):
    return result, [p.grad for p in params]


def drawn(result, *args, **kwargs):
    return nn.init.normal((2,)), random.random(), np.random.random()  # noqa: NPY002


class Own(layers.Layer):
    """A layer with all that the base has arguments for."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=input_shape[-1:])

    def call(self, x):
        return x * self.factor


class Off(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return (y_true - y_pred).sum(axis=-1)


class Largest(keras.metrics.Metric):
    def __init__(self, name=None, dtype=None):
        super().__init__(name, dtype)
        self.most = self.add_variable()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.most.assign(y_pred.max())

    def result(self):
        return self.most


def logger(result, filename, *args, **kwargs):
    with open(filename, "w") as file:  # that of an earlier training
        file.write("epoch,loss\n0,1.0\n")
    return result


def numpy_of(f):
    return lambda result, *args, **kwargs: f(result)


for name, more in {
    "tg.grad": lambda g, *a, **k: g(1.5, 2.5), "tg.value_and_grad": lambda g, *a, **k: g(1.5, 2.5),
    "tg.hessian": lambda g, *a, **k: g(1.5, 2.5), "tg.jacobian": lambda g, *a, **k: g(array(2), array(2)),
    "tg.checkpoint": lambda g, *a, **k: g(2.0), "tg.vjp": lambda r, *a, **k: (r[0], r[1](1.0)),
    "tg.use_kernels": lambda *a, **k: wanted.choice(), "tg.detect_anomaly": lambda *a, **k: None,
    "optim.clip_grad_norm": gradients, "optim.clip_grad_value": gradients, "nn.seed": drawn, "init.seed": drawn,
    "utils.set_random_seed": drawn, "callbacks.CSVLogger": logger,
}.items():  # fmt: skip
    SUBJECTS[name] = then(SUBJECTS[name], more)
SUBJECTS |= {"layers.Layer": Own, "losses.Loss": Off, "metrics.Metric": Largest}
SUBJECTS |= {
    "Dataset.split": lambda fraction, seed=0: Dataset(np.arange(20)).split(fraction, seed),
    "Dataset.batches": lambda batch_size=32, shuffle=True, seed=0, drop_last=False: Dataset(np.arange(20)).batches(
        batch_size, shuffle, seed, drop_last
    ),
}


# --- layers of the front, with the arguments that all of them take --------------------------------------------------

COMMON = {"name": ["mine"], "dtype": ["float64"], "trainable": [False], "input_shape": [(3, 3)], "input_dim": [7],
          "batch_input_shape": [(None, 5)]}  # fmt: skip
FRONT = [
    name
    for name, f in SUBJECTS.items()
    if name.startswith("layers.") and isinstance(f, type) and issubclass(f, nn.Layer)
]


def with_common(kind):
    """A layer class as a function whose signature has the common arguments, too."""
    own = inspect.signature(kind).parameters
    common = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in COMMON if n not in own]

    def make(*args, **kwargs):
        return kind(*args, **{k: v for k, v in kwargs.items() if k not in COMMON or v is not None})

    make.__signature__ = inspect.Signature([*own.values(), *common])
    make.__doc__ = inspect.getdoc(keras.layers)
    return make


for name in FRONT:
    kind = SUBJECTS[name]
    SUBJECTS[name] = with_common(kind)
    if not {"kernel", "gamma", "embeddings", "depthwise_kernel"} & set(dir(kind)) and "Normalization" not in name:
        COMPATIBLE[name, "trainable"] = "compatib"


# --- models ---------------------------------------------------------------------------------------------------------

X, Y = np.random.default_rng(0).normal(size=(12, 4)), np.random.default_rng(1).integers(0, 2, 12)
WEIGHTS = np.linspace(0, 3, 12)


class Loud(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("told", epoch)

    on_test_end = on_predict_end = lambda self, logs=None: print("told")


def method(name):
    """A method of a model as a function: what it gives, the weights afterwards, and what is printed and written."""
    of = getattr(keras.Sequential, name)

    def call(*args, **kwargs):
        import contextlib
        import io

        model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, seed=1), layers.Dense(2)])
        model.build()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            result = getattr(model, name)(*args, **kwargs)
            if name == "compile":
                model.add(layers.Activation(lambda x: print("ran") or x))
                result = model.fit(X, Y, verbose=0, sample_weight=WEIGHTS, epochs=9)
        if isinstance(result, callbacks.History):
            result = result.history
        words = [word for word in out.getvalue().split() if word.isalpha()]
        return seen(result), [seen(w) for w in model.get_weights()], words

    call.__signature__ = inspect.Signature([p for p in inspect.signature(of).parameters.values() if p.name != "self"])
    call.__doc__ = of.__doc__
    return call


SUBJECTS |= {
    f"Model.{name}": method(name)
    for name in (
        "compile",
        "fit",
        "evaluate",
        "predict",
        "train_on_batch",
        "test_on_batch",
        "predict_on_batch",
        "summary",
    )
}


def train(model="dense", limit=20, epochs=1, batch_size=8, optimizer="sgd", lr=0.1, decay=1.0, seed=0):
    """The settings of the command line's training, on images that are read once."""
    from tinygrad_conv.train.run import Images, Run, Settings

    given = {"model": model, "limit": limit, "epochs": epochs, "batch_size": batch_size, "optimizer": optimizer}
    given |= {"lr": lr, "decay": decay, "seed": seed}
    run = Run(Settings.of(given))
    images = Images(*(a[: limit or 20] for a in IMAGES_OF_RUN))
    for _ in range(run.settings.epochs + 1):
        run.epoch(images, lambda loss: None)
    return [seen(w) for w in run.model.state_dict().values()]


IMAGES_OF_RUN = [
    array(30, 28, 28, 1).astype("float32"), np.arange(30) % 10, array(4, 28, 28, 1).astype("float32"), np.arange(4),
    array(4, 28, 28, 1).astype("float32"), np.arange(4),
]  # fmt: skip
SUBJECTS["train"] = train

# --- what cannot be found out ---------------------------------------------------------------------------------------

FUNCTIONS = [lambda x, y: (x * x * y + y**3).sum(), lambda x, y: (x * y).sum()]
SIGNS = [np.sign(array(3, 3) - 0.5), np.sign(array(3, 3, seed=1) - 0.5)]
BOOLS = {"x1": [array(3, 3) > 0.5], "x2": [array(3, 3, seed=1) > 0.5]}
LEARNT = {"params": [anew(lambda seed=seed: [nn.Parameter(array(3, seed=seed))]) for seed in (0, 1)]}
MODELS = {
    "model": [anew(lambda: nn.Dense(3)), anew(lambda: nn.Sequential(nn.Dense(4)))], "input_shape": [(None, 4), (2, 5)],
}  # fmt: skip
SPEAK = [lambda *args: print("heard", *args[:1])]


def with_gradients(seed):
    p = nn.Parameter(array(3, seed=seed))
    p.grad = array(3, seed=seed)
    return [p]


GRADIENTS = {"params": [anew(lambda: with_gradients(0)), anew(lambda: with_gradients(1))]}
PRIMALS = {
    "f": FUNCTIONS, "primals": [(array(3), array(3, seed=1)), (array(3, seed=2), array(3, seed=3))],
    "tangents": [(array(3, seed=4), array(3, seed=5)), (array(3, seed=6), array(3, seed=7))],
}  # fmt: skip
DATA = {
    "x": [X, X * 2], "y": [Y, 1 - Y], "sample_weight": [WEIGHTS], "class_weight": [{0: 3.0}], "verbose": [0, 2, 1],
    "callbacks": [Loud()], "batch_size": [5], "epochs": [3], "validation_split": [0.5], "initial_epoch": [1],
    "validation_data": [(X, Y)], "steps_per_epoch": [2], "validation_steps": [1], "validation_batch_size": [2],
    "validation_freq": [2], "return_dict": [True], "steps": [1],
}  # fmt: skip

SUMMED = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")


def alike(names, given):
    """The same for several functions."""
    return {f"tg.{name}": given for name in names.split()}


QUANTILES = "quantile nanquantile percentile nanpercentile"
POSITIVE = [np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[2.0, 0.5], [0.25, 1.0]])]
NUMBERS = np.array([1.0, 2.0, 2.0, 3.0])
WILD = [np.array([np.nan, np.inf, -np.inf, 1.0])]
NUMPY = {
    "tg.cholesky": {"x": POSITIVE}, "tg.eigh": {"x": POSITIVE[1:]}, "tg.eigvalsh": {"x": POSITIVE[1:]},
    "tg.qr": {"x": [array(3, 2)], "mode": ["r", "complete"]},
    "tg.gradient": {"f": [array(4, 4), array(4)], "varargs": [[], [0.5]]},
    "tg.interp": {"x": [np.array([-1.0, 0.3, 5.0])], "xp": [np.array([0.0, 1.0, 2.0])], "fp": [array(3)]},
    "tg.polyval": {"x": [array(3)]}, "tg.isin": {"x1": [np.array([1, 2, 3])], "x2": [np.array([1]), np.array([2])]},
    "tg.unwrap": {"p": [np.array([[0.0, 4.0, 9.0]])], "discont": [4.5], "period": [3.0]},
    "tg.matrix_rank": {"x": [np.array([[0.0, 1.0], [0.0, 0.0]])]},
    "tg.meshgrid": {"arrays": [[array(2), array(3)]], "indexing": ["ij"]},
    "tg.apply_along_axis": {
        "function": [lambda x, k=1: tg.cumsum(x) * k, tg.sort], "args": [[], [2]], "x": [array(3, 3)],
    },
    "tg.choose": {"index": [np.array([0, 1, 2]), np.array([2, 1, 0])], "mode": ["wrap", "clip"]},
    "tg.nan_to_num": {"x": WILD},
    "tg.piecewise": {"functions": [[lambda x, k=1: x * k] * 2, [1.0, 2.0]], "args": [[], [2]]},
    "tg.partition": {"x": [array(9, 3000)], "kth": [1, 8, 2900]},
    "tg.argpartition": {"x": [array(9, 3000)], "kth": [1, 8, 2900]},
    "tg.select": {"choices": [[array(3), array(3, seed=1)]]}, "tg.multi_dot": {"arrays": [[array(2, 3), array(3, 2)]]},
    "tg.cumulative_prod": {"x": [array(3), array(3, 3)]}, "tg.cumulative_sum": {"x": [array(3), array(3, 3)]},
    "tg.heaviside": {"x1": [np.array([-1.0, 0.0, 1.0])]}, "tg.append": {"values": [array(3, 3, seed=1)]},
    "tg.compress": {"condition": [[True, False, True], [True, True, False]]},
    "tg.searchsorted": {"x1": [np.array([0.1, 0.5, 0.9]), np.array([0.9, 0.1, 0.5])], "x2": [np.array([0.5, 0.2])],
                        "side": ["right"], "sorter": [np.array([1, 2, 0])]},
    "tg.real_if_close": {"x": [np.array([1 + 1e-10j])], "tol": [1e9]}, "tg.take": {"mode": ["wrap", "clip"]},
    "tg.trim_zeros": {"x": [np.array([[0.0, 0.0], [0.0, 1.0]])], "trim": ["f", "b"], "axis": [0, 1]},
    "tg.pad": {"constant_values": [2.0], "stat_length": [1], "end_values": [2.0], "reflect_type": ["odd"]},
    **alike("polyadd polysub polymul", {"a1": [array(3)], "a2": [array(2)]}),
    "tg.poly": {"roots": [array(3)]}, "tg.polydiv": {"u": [array(4)], "v": [array(2)]},
    "tg.polyfit": {
        "x": [np.arange(6.0)], "y": [array(6)], "deg": [1, 2], "w": [array(6)], "rcond": [0.9], "cov": [True],
    },
    "tg.polygrid2d": {"c": [array(2, 3)]}, "tg.polyvalnd": {"points": [[array(2), array(2)]], "c": [array(2, 3)]},
    "tg.tensorinv": {"x": [array(2, 2, 4)], "ind": [1]},
    **alike("intersect1d setdiff1d", {"x1": [NUMBERS], "x2": [NUMBERS[1:], NUMBERS[:1] + 9]}),
    "tg.unique": {"x": [np.array([1.0, np.nan, np.nan]), NUMBERS.reshape(2, 2)], "axis": [0]},
    **alike(QUANTILES, {"weights": [array(3), array(3, 3)]}),
    **alike("geomspace linspace logspace", {"start": [array(3)], "stop": [1 + array(3)], "axis": [-1], "base": [2.0]}),
    "tg.im2col": {"kernel": [2, 3]}, **alike("pixel_shuffle pixel_unshuffle", {"factor": [2, 1, 3]}),
    "tg.resize_images": {"size": [3, 5], "scale": [2.0], "method": ["nearest"]},
    **{
        f"tg.max_unpool{rank}d": {
            "x": [array(2, *(4,) * rank, 4)], "output_size": [9],
            "indices": [np.arange(8 * 4**rank).reshape(2, *(4,) * rank, 4) % 6**rank],
        } for rank in (1, 2, 3)
    },
    "tg.col2im": {"x": [array(1, 3, 3, 16)], "shape": [(1, 4, 4, 4), (1, 5, 5, 4)], "kernel": [2, 4]},
    "tg.sliding_window_view": {"x": [array(4, 5)], "window_shape": [(2, 2), (3, 1)], "axis": [(1, 0)]},
    "tg.cov": {"fweights": [np.array([1, 2, 1])], "aweights": [np.array([0.5, 2.0, 1.0])], "x": [array(3, 3)]},
}  # fmt: skip

GIVEN = NUMPY | {
    "tg.grad": {"f": FUNCTIONS, "argnums": [1, (0, 1)], "has_aux": [True]},
    "tg.value_and_grad": {"f": FUNCTIONS, "argnums": [1]}, "tg.hessian": {"f": FUNCTIONS, "argnums": [1]},
    "tg.jacobian": {"f": FUNCTIONS, "argnums": [1]}, "tg.hvp": PRIMALS, "tg.jvp": PRIMALS,
    "tg.vjp": {"f": FUNCTIONS, "primals": PRIMALS["primals"]}, "tg.checkpoint": {"f": [tg.exp, tg.sin]},
    "tg.no_grad": {"f": [lambda k: tg.Tensor([1.0 * k], requires_grad=True) * 2]},
    "tg.enable_grad": {"f": [lambda k: tg.Tensor([1.0 * k], requires_grad=True) * 2]},
    "tg.use_kernels": {"choice": ["plain", "compiled", "exact"]}, "tg.arange": {"args": [[4], [2, 5]]},
    "tg.equal": BOOLS, "tg.not_equal": BOOLS, "tg.logical_or": BOOLS,
    "tg.einsum": {"subscripts": ["ij->ji", "ij->i"], "operands": [[array(2, 3)]]},
    "tg.hinge": {"target": SIGNS, "labels": SIGNS}, "tg.squeeze": {"x": [array(1, 3, 1)]},
    "tg.dropout": {"rng": [anew(lambda: np.random.default_rng(0)), anew(lambda: np.random.default_rng(1))]},
    "tg.locally_connected2d": {"x": [array(1, 3, 3, 2)], "w": [array(1, 1, 18, 3)], "b": [array(3)]},
    "optim.clip_grad_norm": GRADIENTS, "optim.clip_grad_value": GRADIENTS | {"max_value": [0.5, 0.3]},
    "nn.Sequential": {"layers": [anew(lambda: [nn.Dense(3)]), anew(lambda: [nn.Dropout(0.5), nn.Dense(2)])]},
    "nn.PixelShuffle2D": {"factor": [2, 1]},
    **{f"nn.UpSampling{k}D": {"size": [3], "method": ["bilinear"]} for k in "123"},
    "nn.rows": MODELS, "nn.summary": MODELS, "init.get": {"name": ["zeros", "ones"]},
    "nn.seed": {"value": [1, 2]}, "init.seed": {"value": [1, 2]}, "layers.Input": {"dtype": ["int32"]},
    "layers.InputLayer": {"dtype": ["int32"]}, "losses.get": {"loss": ["mse", "mae"]},
    "metrics.get": {"metric": ["accuracy", "mse"], "labels": [(None,), (None, 3)], "output": [(None, 3), (None, 1)]},
    "optimizers.get": {"optimizer": ["sgd", "adam"]}, "initializers.get": {"initializer": ["zeros", "ones"]},
    "callbacks.BackupAndRestore": {"backup_dir": ["here", "there"], "save_freq": [2], "delete_checkpoint": [False]},
    "callbacks.CSVLogger": {"filename": ["log.csv", "other.csv"], "separator": [";"]},
    "callbacks.LambdaCallback": dict.fromkeys(callbacks.EVENTS, SPEAK),
    "callbacks.LearningRateScheduler": {"schedule": [lambda epoch: 0.1 * epoch, lambda epoch: 0.2]},
    "callbacks.ModelCheckpoint": {"filepath": ["w.npz", "v-{epoch}.npz"]},
    "data.Dataset": {"arrays": [[array(4, 2), np.arange(4)]]}, "data.write_idx": {"array": [np.arange(6, dtype="u1")]},
    "data.batches": {"arrays": [[array(7, 2), np.arange(7)]]},
    "data.stream": {"arrays": [[array(70, 2), np.arange(70)]], "block_size": [3, 7],
                    "window": [2, 4], "prefetch": [0, 2]},
    "Dataset.split": {"fraction": [0.5, 0.25]},
    **{f"Model.{name}": DATA for name in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")},
    "Model.predict_on_batch": DATA,
    "Model.summary": {"line_length": [20], "print_fn": [lambda text: print("fn", text)]},
    "Model.compile": {
        "optimizer": ["sgd", "adam"], "loss": [SUMMED],
        "metrics": [["accuracy"]], "weighted_metrics": [["accuracy"]], "run_eagerly": [True],
    },
    "train": {"model": ["lenet"], "limit": [24], "optimizer": ["adam"], "lr": [0.2], "decay": [0.5], "epochs": [2]},
}  # fmt: skip
for name in SUBJECTS:
    if name.startswith("optim.") and name not in GIVEN:
        GIVEN[name] = LEARNT
    if name in FRONT:
        GIVEN[name] = COMMON | GIVEN.get(name, {})
GIVEN["Model.fit"] = GIVEN.get("Model.fit", {}) | {"distributed": ["ordered"]}

USUAL = {
    "tg.resize_images": {"size": 3},
    "nn.GroupNorm": {"groups": 1}, "layers.Input": {"shape": (4,)},
    "layers.InputLayer": {"shape": (4,)},
    "Model.fit": {"x": X, "y": Y, "verbose": 0, "epochs": 2}, "Model.evaluate": {"x": X, "y": Y, "verbose": 0},
    "Model.train_on_batch": {"y": Y}, "Model.test_on_batch": {"y": Y},
    "Model.compile": {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
}  # fmt: skip


def images(rank, size):
    """What convolutions need to be given channels first, or in groups."""
    w = array(*(2,) * rank, size, 4)
    grouped = {"w": array(*(2,) * rank, 2, 6)}
    return {"data_format": {"w": w}, "groups": grouped}


LEFT_OVER = {"ceil_mode": {"pool_size": 4}}
PADDED = {"count_include_pad": {"padding": 1}}
CONTEXT = {
    "tg.grad": {"has_aux": {"f": lambda x, y: (x * y, x + y)}}, "tg.arange": {"requires_grad": {"args": [4.0]}},
    "tg.value_and_grad": {"has_aux": {"f": lambda x, y: (x * y, x + y)}},
    "tg.conv1d": images(1, 6), "tg.conv2d": images(2, 6), "tg.conv3d": images(3, 5),
    **{
        f"tg.conv{k}d_transpose": {
            "data_format": {"w": array(*(2,) * k, 4, size)}, "output_padding": {"stride": 3},
            "groups": {"w": array(*(2,) * k, 3, 4), "groups": 2},
        } for k, size in ((1, 6), (2, 6), (3, 5))
    },
    "tg.depthwise_conv2d": {"data_format": {"w": array(2, 2, 6, 2)}},
    "tg.separable_conv2d": {"data_format": {"depthwise": array(2, 2, 6, 2), "pointwise": array(1, 1, 12, 3)}},
    "tg.locally_connected2d": {
        "kernel_size": {"w": array(2, 2, 8, 3)}, "stride": {"x": array(1, 5, 5, 2), "w": array(2, 2, 18, 3)},
        "padding": {"w": array(3, 3, 18, 3)}, "dilation": {"x": array(1, 5, 5, 2)},
        "data_format": {"x": array(1, 2, 3, 3)},
    },
    "tg.choose": {"mode": {"index": np.array([0, 1, 7])}}, "tg.take": {"mode": {"indices": np.array([0, 9])}},
    "tg.pad": {"stat_length": {"mode": "mean"}, "end_values": {"mode": "linear_ramp"},
               "reflect_type": {"mode": "reflect"}},
    "tg.tensorinv": {"ind": {"x": array(4, 2, 2)}},
    **alike(QUANTILES, {"weights": {"method": "inverted_cdf", "axis": 0}}),
    "tg.col2im": {
        "stride": {"x": array(1, 2, 2, 16)}, "padding": {"x": array(1, 5, 5, 16)},
        "dilation": {"x": array(1, 2, 2, 16)}, "shape": {"x": array(1, 2, 2, 16), "stride": 2},
        "kernel": {"x": array(1, 1, 1, 64)},
    },
    "tg.searchsorted": {"sorter": {"x1": np.array([0.9, 0.1, 0.5])}},
    "tg.cumulative_prod": {"axis": {"x": array(3, 3)}}, "tg.cumulative_sum": {"axis": {"x": array(3, 3)}},
    "tg.batch_norm": {"mean": {"var": array(3)}, "var": {"mean": array(3)}},
    **{f"tg.max_pool{k}": LEFT_OVER for k in ("", "1d", "2d", "3d")}, "tg.resize_images": {"scale": {"size": None}},
    **{f"tg.avg_pool{k}": PADDED | LEFT_OVER for k in ("", "1d", "2d", "3d")},
    **{f"nn.AvgPool{k}D": PADDED | LEFT_OVER for k in "123"}, **{f"nn.MaxPool{k}D": LEFT_OVER for k in "123"},
    **{f"nn.Conv{k}DTranspose": {"output_padding": {"stride": 3}} for k in "123"},
    "layers.Conv2DTranspose": {"output_padding": {"strides": 3}},
    "optim.SGD": {"nesterov": {"momentum": 0.9}}, "optimizers.SGD": {"nesterov": {"momentum": 0.9}},
    "layers.Input": {"batch_shape": {"shape": None}}, "layers.InputLayer": {"batch_shape": {"shape": None}},
    "callbacks.BackupAndRestore": {
        "save_freq": {"delete_checkpoint": False}, "backup_dir": {"delete_checkpoint": False},
    },
    "callbacks.EarlyStopping": {"baseline": {"patience": 2}},
    "callbacks.ModelCheckpoint": {"monitor": {"save_best_only": True}, "mode": {"save_best_only": True}},
    "Model.fit": {
        "validation_steps": {"validation_data": (X, Y), "validation_batch_size": 3},
        "validation_batch_size": {"validation_data": (X, Y), "validation_steps": 1},
        "validation_freq": {"validation_data": (X, Y)}, "steps_per_epoch": {"batch_size": 5},
    },
    "Model.evaluate": {"batch_size": {"steps": 1}, "steps": {"batch_size": 5}},
    "Model.predict": {"batch_size": {"steps": 1}, "steps": {"batch_size": 5}, "verbose": {}},
}  # fmt: skip


# --- the walk -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in LEFT_OUT])
def test_every_argument_has_an_effect(name):
    dead = without_effect(SUBJECTS[name], GIVEN.get(name), CONTEXT.get(name), USUAL.get(name))
    allowed = {argument for subject, argument in COMPATIBLE if subject == name}
    assert not set(dead) - allowed, f"{name}: accepted without an effect"
    assert allowed <= set(dead), f"{name}: has an effect, and need not be in the table"


def test_what_is_accepted_without_an_effect_is_documented():
    for (name, argument), words in COMPATIBLE.items():
        module = MODULES.get(name.partition(".")[0])
        pages = [inspect.getdoc(SUBJECTS[name]) or "", inspect.getdoc(module) or ""]
        assert any(words in page for page in pages), f"{name}: {argument} is not documented"


def test_nothing_is_left_out_that_is_not_there():
    assert set(LEFT_OUT) | set(GIVEN) | set(CONTEXT) | set(USUAL) <= set(SUBJECTS)


def test_arguments_that_were_planted_without_an_effect_are_found():
    def scaled(x, factor=2.0, quick=False, axis=None):
        return x * factor

    class Drop(nn.Dropout):
        def __init__(self, rate, seed=None, shape_of_noise=None):
            super().__init__(rate, seed)
            self.shape_of_noise = shape_of_noise  # kept, shown by repr, and read by nobody

    class Decayed(tg.optim.SGD):
        def __init__(self, params, lr=0.1, decay=0.0):
            super().__init__(params, lr)
            self.decay = decay

    class Patient(callbacks.EarlyStopping):
        def __init__(self, patience=0, grace=0):
            super().__init__(patience=patience)

    assert without_effect(scaled) == ["quick", "axis"]
    assert without_effect(Drop) == ["shape_of_noise"]
    assert without_effect(Decayed, LEARNT) == ["decay"]
    assert without_effect(Patient) == ["grace"]
    with pytest.raises(AssertionError, match="no arguments found"):
        without_effect(lambda nothing_known: None)
