"""What the front does not have is refused, and every refusal names the extra with which stock Keras runs here."""

import importlib
import inspect

import numpy as np
import pytest

from tinygrad_conv import keras as front
from tinygrad_conv.errors import ArgumentError, DTypeError, MissingError, TinygradConvError
from tinygrad_conv.keras import absent, layers

EXTRA = "pip install 'tinygrad-conv[keras]'"
X = np.zeros((4, 3), "float32")


class Own(front.Model):
    """A model that does something else than `fit` expects, by the name of its method."""

    def call(self, x):
        return [x, x]


class Stepping(Own):
    def train_step(self, data): ...


def model(**compiled):
    made = front.Sequential([front.Input((3,)), layers.Dense(2)])
    made.compile(**{"optimizer": "sgd", "loss": "mse"} | compiled)
    return made


def own(kind):
    made = kind()
    made.compile("sgd", "mse")
    return made


REFUSED = {
    "a functional model": lambda: front.Model(front.Input((3,)), None),
    "a layer called on an Input": lambda: layers.Dense(2)(front.Input((3,))),
    "a mask": lambda: layers.Dense(2)(X, mask=X),
    "a regulariser": lambda: layers.Dense(2, kernel_regularizer="l2"),
    "a constraint": lambda: layers.Dense(2, bias_constraint="non_neg"),
    "sizes of many inputs": lambda: front.Input((None, 3)),
    "half precision": lambda: front.Input((3,), dtype="float16"),
    "a policy": lambda: layers.Dense(2, dtype="mixed_float16"),
    "a whole model in a checkpoint": lambda: front.callbacks.ModelCheckpoint("m.npz", save_weights_only=False),
    "several inputs": lambda: model().fit([X, X], X[:, :2]),
    "inputs by name": lambda: model().predict({"x": X}),
    "several outputs": lambda: model().fit(X, {"a": X}),
    "several losses": lambda: model(loss=["mse", "mse"]),
    "metrics of several outputs": lambda: model(metrics={"a": "mse"}),
    "a call with two outputs": lambda: own(Own).fit(X, X),
    "a step of one's own": lambda: own(Stepping).fit(X, X),
    "an optimizer of one's own": front.optimizers.Optimizer,
    "gradients handed over": lambda: front.optimizers.SGD().apply_gradients([]),
    **{
        name: lambda name=name: getattr(model(), name)()
        for name in ("save", "export", "to_json", "get_config", "add_loss")
    },
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_names_the_extra(what):
    with pytest.raises(TinygradConvError) as caught:
        REFUSED[what]()
    assert EXTRA in str(caught.value)


MODULES = {
    "keras": front,
    **{
        name: importlib.import_module(f"tinygrad_conv.{name}")
        for name in absent._NAMES
        if name not in ("keras", "keras.optimizers.schedules")
    },
    "keras.optimizers.schedules": front.optimizers.schedules,
}


@pytest.mark.parametrize("module", MODULES)
def test_a_name_of_keras_is_refused_with_the_extra(module):
    for name in absent._names(module):
        stand_in = getattr(MODULES[module], name)
        for use in (
            stand_in,
            lambda stand_in=stand_in: stand_in.get,
            lambda stand_in=stand_in: type("T", (stand_in,), {}),
        ):
            with pytest.raises((ArgumentError, MissingError)) as caught:
                use()
            assert EXTRA in str(caught.value)
    with pytest.raises(MissingError) as caught:
        MODULES[module].Blorp  # noqa: B018
    assert EXTRA in str(caught.value)


def test_an_argument_that_nothing_here_resembles_names_the_extra():
    with pytest.raises(DTypeError, match="it takes learning_rate") as caught:
        front.optimizers.Adam(amsgrad=True)
    assert EXTRA in str(caught.value)
    with pytest.raises(DTypeError, match="use 'units'") as caught:
        layers.Dense(unit=3)
    assert EXTRA not in str(caught.value)


def test_names_that_compile_takes():
    for wrong, meant in {"optimizer": "adam", "loss": "mse"}.items():
        with pytest.raises(ArgumentError, match=f"use {wrong}='{meant}'"):
            model(**{wrong: meant + "e"})
    for wrong in ({"optimizer": "nadam"}, {"loss": "huber"}, {"metrics": ["AUC"]}):
        with pytest.raises(ArgumentError) as caught:
            model(**wrong)
        assert EXTRA in str(caught.value)


def test_what_is_here_by_name_alone_is_not_refused():
    for name in ("orthogonal", "LecunNormal", "truncated_normal"):
        assert layers.Dense(2, kernel_initializer=name)(X).shape == (4, 2)


# ------------------------------------------------------------------------------------------------------------------
# Against Keras itself, `-m keras`

SHARED = ("layers", "losses", "metrics", "callbacks", "optimizers", "optimizers.schedules", "initializers",
          "activations", "models", "utils", "")  # fmt: skip


def inside(keras, module):
    for name in filter(None, module.split(".")):
        keras = getattr(keras, name)
    return keras


def parameters(function):
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


@pytest.mark.keras
@pytest.mark.parametrize("module", SHARED)
def test_all_that_keras_has_is_here_or_refused_with_the_extra(keras, module):
    theirs, ours = inside(keras, module), inside(front, module)
    silent = []
    for name in [name for name in dir(theirs) if not name.startswith("_")]:
        if name not in dir(ours):
            with pytest.raises((ArgumentError, MissingError)) as caught:
                getattr(ours, name)()
            silent += [] if EXTRA in str(caught.value) else [name]
            continue
        function = getattr(ours, name)
        for argument in parameters(getattr(theirs, name)) if callable(function) and name != "get" else ():
            try:
                function(**{argument: None})
            except TinygradConvError as error:
                if "unknown argument" in str(error) and EXTRA not in str(error):
                    silent.append(f"{name}({argument}=): {error}")
            except TypeError as error:  # Python's: that it needs more is no refusal
                if "missing" in str(error):
                    continue
                silent.append(f"{name}({argument}=): {error!r}")
    assert not silent


@pytest.mark.keras
@pytest.mark.parametrize(
    "method", ["compile", "fit", "evaluate", "predict", "train_on_batch", "summary", "save_weights"]
)
def test_arguments_of_methods_that_keras_has(keras, method):
    for argument in parameters(getattr(keras.Model, method)) - parameters(getattr(front.Model, method)) - {"self"}:
        with pytest.raises(TinygradConvError) as caught:
            getattr(model(), method)(**{argument: 1})
        assert EXTRA in str(caught.value), (argument, str(caught.value))


# Nobody means these by their names.
BASES = {"Loss", "Metric", "metric", "Mean", "mean", "Initializer", "initializer", "optimizer", "optimizermap"}


@pytest.mark.keras
def test_names_that_keras_takes(keras):
    for module in ("losses", "metrics", "optimizers", "initializers", "activations"):
        silent = []
        for name in importlib.import_module(f"keras.src.{module}").ALL_OBJECTS_DICT.keys() - BASES:
            try:
                inside(front, module).get(name)
            except ArgumentError as error:
                silent += [] if EXTRA in str(error) else [name]
        assert not silent
