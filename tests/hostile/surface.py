"""Everything public that can be called: what modules list, and the methods and operators of instances."""

import contextlib
import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv import data, graph, keras, nn, optim, plots, testing

from .values import parameters, scalar, square


def keras_model() -> Any:
    model = keras.Sequential([keras.layers.Dense(3, input_shape=(3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def _compiled() -> Any:
    step = tg.compile(square)
    for _ in range(3):
        step(np.ones(3))
    return step


def _profiled() -> Any:
    with tg.profile() as profile:
        scalar().backward()
    return profile


def testing_report() -> Any:
    return testing.check_gradients(tg.tanh, np.ones(2))


INSTANCES: tuple[Callable[[], Any], ...] = (
    lambda: tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), lambda: tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True) * 2,
    scalar, lambda: tg.Tensor(3), lambda: nn.Parameter([1.0, 2.0]), lambda: nn.Buffer([1.0]), lambda: nn.Dense(2),
    lambda: nn.Dense(2, in_features=3, activation="relu"), lambda: nn.Activation("relu"), nn.Flatten,
    lambda: nn.Reshape((2, 3)), lambda: nn.Dropout(0.5), lambda: nn.Embedding(4, 2), lambda: nn.Conv2D(3, 2),
    lambda: nn.Conv1D(2, 2), lambda: nn.Conv2DTranspose(2, 2, in_channels=2), lambda: nn.DepthwiseConv2D(2),
    lambda: nn.SeparableConv2D(2, 2), lambda: nn.LocallyConnected2D(2, 2), nn.MaxPool2D, nn.AvgPool1D,
    nn.GlobalAvgPool2D, nn.BatchNorm, nn.LayerNorm, lambda: nn.GroupNorm(2),
    lambda: nn.Sequential(nn.Conv2D(2, 2), nn.Flatten(), nn.Dense(2)), lambda: optim.SGD(parameters(), momentum=0.9),
    lambda: optim.Adam(parameters()), lambda: optim.RMSprop(parameters()), lambda: optim.Adagrad(parameters()),
    lambda: optim.StepDecay(0.1, 2), lambda: optim.WarmUp(0.1, 3), lambda: optim.CosineDecay(0.1, 5),
    lambda: optim.PiecewiseConstant((2,), (0.1, 0.2)), lambda: optim.ExponentialDecay(0.1, 2, 0.5),
    lambda: data.Dataset(np.ones((4, 2)), np.arange(4)), lambda: data.batches(np.ones(5), batch_size=2), data.mnist,
    lambda: graph.snapshot(scalar()), lambda: graph.draw(scalar()), lambda: graph.snapshot(scalar()).nodes[0],
    lambda: graph.diff(scalar(), scalar()), lambda: graph.as_dense(np.ones((2, 2, 1, 1)), (3, 3, 1)),
    lambda: testing.Draw.seeded(0), lambda: tg.primitives()["tanh"], lambda: tg.compile(square),
    lambda: tg.microscope(nn.Dense(2, in_features=3), np.ones((2, 3))),
    lambda: graph.snapshot(scalar(), values=True)["multiply_1"].values, lambda: next(iter(scalar().backward_steps())),
    lambda: _compiled().plans[0], lambda: _profiled(), testing_report, lambda: tg.no_grad(),
    lambda: copy_context().run(tg.use_kernels, "plain"),
    lambda: tg.Tensor([1.0], requires_grad=True).register_hook(lambda g: g),
    keras_model, lambda: keras.Sequential(), lambda: keras.layers.Dense(2), lambda: keras.layers.Conv2D(2, 2),
    lambda: keras.layers.MaxPooling2D(), keras.layers.Flatten, keras.layers.BatchNormalization,
    lambda: keras.layers.Dropout(0.5), keras.layers.Softmax, keras.layers.Layer,
    lambda: keras.layers.Rescaling(0.5), lambda: keras.layers.Reshape((3, 2)), lambda: keras.layers.Activation("relu"),
    keras.layers.GlobalAveragePooling2D, keras.layers.LeakyReLU,
    lambda: keras.SGD(0.1, momentum=0.9), keras.Adam, keras.RMSprop, keras.Adagrad, keras.AdamW,
    lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5),
    keras.losses.MeanSquaredError,
    keras.losses.BinaryCrossentropy, keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy,
    keras.losses.KLDivergence, keras.metrics.Mean,
    keras.metrics.BinaryAccuracy, keras.metrics.SparseCategoricalAccuracy, lambda: keras.metrics.Metric("m"),
    lambda: keras.metrics.get("accuracy"), keras.callbacks.EarlyStopping,
    lambda: keras.callbacks.ModelCheckpoint("w.npz"), lambda: keras.callbacks.CSVLogger("l.csv"),
    lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
    keras.callbacks.TerminateOnNaN, keras.callbacks.LambdaCallback, keras.callbacks.History, keras.callbacks.Callback,
    keras.initializers.RandomNormal, keras.initializers.Zeros, keras.initializers.GlorotUniform,
    lambda: keras.initializers.Constant(1.0), keras.utils.PyDataset,
    lambda: plots.LayerStatistics(np.ones((2, 3)), np.zeros(2, int), "mse"),
)  # fmt: skip
_OPERATORS = {
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__", "__floordiv__",
    "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__", "__matmul__", "__rmatmul__", "__lt__", "__le__",
    "__gt__", "__ge__", "__eq__", "__ne__", "__and__", "__or__", "__xor__", "__rand__", "__getitem__", "__setitem__",
    "__call__", "__iter__", "__len__", "__bool__", "__contains__", "__array__", "__round__", "__format__",
}  # fmt: skip
# These answer as Python's protocols ask, with its own exceptions, and so may these.
PROTOCOL = {"__contains__", "__len__", "__iter__", "__format__", "__bool__", "__round__"}
# Not called: they change what the harness itself uses.
SKIPPED = {
    "MNIST.arrays", "from_jax", "from_torch", "from_mygrad", "from_autograd", "property_gradient",
    "Plan.run",  # at each replay, of arrays that the signature has compared
}  # fmt: skip


class Target(NamedTuple):
    """Something that can be called."""

    name: str
    get: Callable[[], Callable[..., Any]]
    signature: inspect.Signature


TRAIN = ("images", "job", "predict", "recipes", "run")  # of the command line: what is held to its arguments
MODULES = ("tinygrad_conv", "tinygrad_conv.plots", "tinygrad_conv.profiling", "tinygrad_conv.graph.microscope")


def modules() -> Iterator[types.ModuleType]:
    """The public modules: those named, and all that public modules list."""
    left, seen = [importlib.import_module(name) for name in MODULES], set()
    while left:
        module = left.pop()
        if module.__name__ not in seen:
            seen.add(module.__name__)
            yield module
            left += [
                thing
                for name in public(module)
                if isinstance(thing := getattr(module, name), types.ModuleType) and "tinygrad_conv" in thing.__name__
            ]


def public(module: types.ModuleType) -> list[str]:
    """The public names of a module."""
    names = dir(module) if module is tg else getattr(module, "__all__", ())
    return [name for name in names if not name.startswith("_") and name not in SKIPPED]


def walk() -> Iterator[Target]:
    """Everything public that can be called."""
    for module in modules():
        for name in public(module):
            thing = getattr(module, name)
            if callable(thing) and not (isinstance(thing, type) and issubclass(thing, Exception)):
                with contextlib.suppress(ValueError, TypeError):
                    yield Target(f"{module.__name__}.{name}", partial(getattr, module, name), inspect.signature(thing))
    for name in TRAIN:
        module = importlib.import_module(f"tinygrad_conv.train.{name}")
        for thing in vars(module).values():
            if getattr(thing, "__module__", "") == module.__name__ and hasattr(thing, "unchecked"):
                yield Target(f"{module.__name__}.{thing.__name__}", partial(_itself, thing), inspect.signature(thing))
    for make in INSTANCES:
        instance = make()
        kind = type(instance)
        for name in dir(kind):
            where = f"{kind.__module__.removeprefix('tinygrad_conv.')}.{kind.__name__}.{name}"
            if (name.startswith("_") and name not in _OPERATORS) or f"{kind.__name__}.{name}" in SKIPPED:
                continue
            method = inspect.getattr_static(kind, name)
            if getattr(method, "__objclass__", None) in (object, tuple):  # Python's own
                continue
            if isinstance(method, types.MemberDescriptorType):  # an attribute; what is called is the user's
                continue
            if getattr(getattr(method, "__code__", None), "co_filename", "") == "<string>":  # dataclasses' own
                continue
            if isinstance(method, property):
                if method.fset is not None:
                    yield Target(where, partial(_setter, make, name), inspect.signature(lambda value: None))
            else:
                with contextlib.suppress(Exception):
                    if callable(found := getattr(instance, name)):
                        yield Target(where, partial(_method, make, name), inspect.signature(found))


def _itself(thing: Any) -> Any:
    return thing


def _method(make: Callable[[], Any], name: str) -> Callable[..., Any]:
    return getattr(make(), name)


def _setter(make: Callable[[], Any], name: str) -> Callable[..., Any]:
    return partial(setattr, make(), name)
