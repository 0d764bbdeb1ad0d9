"""Values that no function can use, and values that an argument of some name may well be."""

import collections
import datetime
import decimal
import fractions
import inspect
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv import data, graph, keras, nn, optim, testing


class Plain:
    """An object that can do nothing."""


class Liar:
    """An object that says it is an array, and is none."""

    shape, dtype, ndim = (2, 3), "float32", 2


def _holds_itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _deep(depth: int) -> list[Any]:
    nested: list[Any] = [1.0]
    for _ in range(depth):
        nested = [nested]
    return nested


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _images() -> np.ndarray:
    return np.linspace(-1, 1, 64).reshape(2, 4, 4, 2)


class BoomError(Exception):
    """What strange objects raise when they are looked at."""


def _boom(*args: Any, **kwargs: Any) -> Any:
    raise BoomError


def _raising(base: type, *names: str) -> Any:
    """An instance of a class whose methods of these names raise."""
    methods = {name: types.FunctionType(_boom.__code__.replace(co_name=name), globals()) for name in names}
    kind = type(f"Raises{base.__name__.title()}", (base,), methods)
    return np.ones((2, 3)).view(kind) if base is np.ndarray else kind()


def _endless() -> Any:
    while True:
        yield 1


RAISING: tuple[Callable[[], Any], ...] = tuple(
    partial(_raising, base, *names.split())
    for base, words in {
        object: (
            "__array__", "__eq__", "__bool__", "__len__", "__iter__", "__getitem__ __len__", "__index__", "__float__",
            "__int__", "__hash__", "__repr__ __str__", "__getattr__", "__getattribute__", "__array_interface__",
            "__fspath__", "__lt__ __gt__ __le__ __ge__", "__add__ __radd__ __mul__ __rmul__", "__array_ufunc__",
            "__call__",
            "__array_function__", "__format__", "__contains__", "__next__ __iter__", "__neg__ __abs__", "__enter__",
            "__deepcopy__ __copy__ __reduce_ex__", "__graph__", "__getstate__",
        ),
        list: ("__iter__", "__len__", "__getitem__", "__eq__", "__repr__", "__bool__"),
        tuple: ("__iter__", "__len__", "__hash__", "__repr__"),
        dict: ("__iter__", "items", "keys", "__getitem__", "__len__", "get", "__repr__"),
        str: ("__eq__ __hash__", "__len__", "lower", "__str__ __repr__", "__format__", "encode", "split"),
        int: ("__index__", "__eq__", "__lt__ __gt__ __ge__ __le__", "__repr__", "__float__", "__bool__"),
        float: ("__float__", "__eq__", "__mul__ __rmul__", "__lt__ __gt__ __ge__ __le__", "__repr__"),
        np.ndarray: ("__array_ufunc__", "__array_function__", "__getitem__", "__eq__", "__repr__"),
    }.items()
    for names in words
)  # fmt: skip


HOSTILE: tuple[Callable[[], Any], ...] = (
    lambda: None, lambda: True, lambda: False, lambda: 0, lambda: 1, lambda: -1, lambda: 2, lambda: -3, lambda: 10**9,
    lambda: -(10**9), lambda: 10**12, lambda: 2**63, lambda: 2**70, lambda: -(2**70), lambda: 10**5000, lambda: 0.0,
    lambda: -0.5, lambda: 1.5, lambda: 1e308, lambda: float("nan"), lambda: float("inf"), lambda: float("-inf"),
    lambda: 1j, lambda: complex("nan"), lambda: decimal.Decimal("1.5"), lambda: fractions.Fraction(1, 3), lambda: "",
    lambda: "x", lambda: "mean", lambda: "float32", lambda: "\ud800", lambda: "ij,jk->ik", lambda: "a" * 5000,
    lambda: b"", lambda: b"bytes", lambda: bytearray(b"ab"), lambda: memoryview(b"abcd"), object, Plain, Liar,
    lambda: Plain, lambda: int, lambda: np, lambda: Ellipsis, lambda: NotImplemented, lambda: slice(None),
    lambda: slice(0, 10**12, -1), lambda: slice("a", None), lambda: ValueError("text"),
    lambda: datetime.date(2020, 1, 1), tuple, list, dict, set, frozenset, lambda: {1, 2}, lambda: (1,), lambda: (0, 1),
    lambda: (2, 2), lambda: (-1, 2), lambda: (1, 1, 1), lambda: (2**40, 2**40), lambda: (10**6, 10**6), lambda: [0, 0],
    lambda: [1, [2]], lambda: [[1, 2], [3]], lambda: [None], lambda: ["a", "b"], lambda: (None, None),
    lambda: (None, 4, 4, 2), lambda: [1.5, 2.5], lambda: [float("nan")], lambda: [(1, 1), (1, 1)], lambda: {"a": 1},
    lambda: {1: None}, lambda: {"steps": "x"}, lambda: range(3), lambda: range(10**12), lambda: iter(()),
    lambda: (k for k in range(3)), lambda: collections.deque([1, 2]), lambda: collections.OrderedDict(a=1),
    _holds_itself, lambda: _deep(40), lambda: _deep(3000), lambda: lambda: None, lambda: lambda x: x,
    lambda: lambda x: None, lambda: lambda *a, **k: 3.0, lambda: print, lambda: np.float64(0.5),
    lambda: np.float16(0.5), lambda: np.int64(2), lambda: np.uint8(200), lambda: np.bool_(True), lambda: np.str_("x"),
    lambda: np.datetime64("2020-01-01"), lambda: np.timedelta64(1, "s"), lambda: np.void(b"ab"), lambda: np.array(3.0),
    lambda: np.array(2), lambda: np.array(None), lambda: np.zeros(0), lambda: np.zeros((0, 3)),
    lambda: np.zeros((2, 0, 2, 1)), lambda: np.ones(3), lambda: np.ones((2, 3)), lambda: np.ones((3, 3), "float16"),
    lambda: np.ones((2, 3), ">f8"), lambda: np.arange(6, dtype=">i4").reshape(2, 3),
    lambda: _read_only(np.ones((2, 3))), lambda: np.ones((2, 3), complex), lambda: np.ones((2, 3), bool),
    lambda: np.ones((2, 3), "uint8"), lambda: np.array([[1, None], ["a", 2]], object),
    lambda: np.array([1, 2, 3], object), lambda: np.array(["a", "b"]), lambda: np.array([b"a"]),
    lambda: np.zeros(2, "datetime64[s]"), lambda: np.zeros(2, "timedelta64[s]"),
    lambda: np.zeros(2, [("a", "f4"), ("b", "i4")]), lambda: np.full((2, 3), np.nan), lambda: np.full((2, 3), np.inf),
    lambda: np.ma.masked_array([1.0, 2.0], [True, False]), lambda: np.asmatrix(np.ones((2, 2))),
    lambda: np.zeros((1,) * 40), lambda: np.longdouble(1), lambda: np.ones(3, "longdouble"),
    lambda: np.random.default_rng(0), lambda: np.random.RandomState(0), lambda: np.matrix([[1.0]]),
    lambda: np.dtype("float32"), lambda: np.dtype("O"), lambda: np.float32, lambda: np.add, lambda: tg.Tensor(1.0),
    lambda: tg.Tensor([1.0, 2.0]), lambda: tg.Tensor([[1.0, 2.0]], requires_grad=True),
    lambda: tg.Tensor(np.arange(6).reshape(2, 3)), lambda: tg.Tensor([True, False]),
    lambda: tg.Tensor(np.zeros((0, 2))), lambda: tg.Tensor([1j]), lambda: tg.Tensor(2),
    lambda: tg.Tensor([1.0], requires_grad=True) * 2, lambda: tg.Tensor,
    lambda: tg.Tensor(_images(), requires_grad=True), lambda: nn.Parameter([1.0]), lambda: nn.Dense(2),
    lambda: nn.Dense, lambda: nn.Sequential(nn.Dense(2)), nn.Module, lambda: tg.relu, lambda: tg, lambda: tg.nn,
    lambda: optim.SGD([nn.Parameter([1.0])]), lambda: data.batches(np.ones(3)), lambda: tg.primitives()["tanh"],
    lambda: testing.Draw.seeded(0), lambda: "\x00", lambda: "a\nb\x1b[31m", lambda: "../..", lambda: "a" * 100_000,
    lambda: ["\ud800", "b"], lambda: {"\ud800": 1}, lambda: np.ones((2, 3))[:, ::-1],
    lambda: np.ones((4, 6))[::2, ::2], lambda: np.asfortranarray(np.ones((2, 3))),
    lambda: np.broadcast_to(1.0, (2, 3)), lambda: (2**70,), lambda: [10**9, 10**9], lambda: [2**70],
    lambda: (10**9,), lambda: 10**7, lambda: (10**5, 10**5), lambda: 2**31, lambda: [10**9], lambda: ((10**9, 10**9),),
    lambda: [[]], lambda: [[], []], lambda: [()], lambda: ((),), lambda: {"a": {"b": [1, np.ones(2)]}},
    lambda: np.array(["a", None], object), lambda: np.float32("nan"), lambda: np.array(np.nan),
    lambda: np.array([1.0, np.nan, np.inf]), lambda: np.full(3, 1e308), lambda: 5e-324,
    lambda: np.array([2**63], "uint64"), lambda: np.array([-(2**63)]), lambda: np.iinfo("int64").min, lambda: "nan",
    lambda: keras.Sequential([keras.layers.Dense(2)]), lambda: keras.layers.Dense, lambda: keras.losses,
    lambda: keras.callbacks.EarlyStopping(), _endless, lambda: map(float, "ab"), lambda: {2**70: 1}, lambda: type,
    *RAISING,
)  # fmt: skip


def parameters() -> list[Any]:
    parameters = [nn.Parameter([3.0, 4.0]), nn.Parameter([[1.0, 2.0]])]
    sum(((p * p).sum() for p in parameters), tg.Tensor(0.0)).backward()
    return parameters


def scalar() -> tg.Tensor:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    return (x * x).sum()


def square(*xs: Any) -> Any:
    return sum(((x * x).sum() for x in map(tg.asarray, xs)), tg.Tensor(0.0))


_ARRAYS: tuple[Callable[[], Any], ...] = (
    lambda: tg.Tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], requires_grad=True), lambda: np.ones((2, 3)),
    lambda: np.ones((2, 3), "float32"), lambda: [[0.5, 0.2], [0.1, 0.7]], lambda: 0.5, lambda: tg.Tensor([0.2, 0.3]),
    lambda: tg.Tensor(_images(), requires_grad=True), lambda: np.eye(2) + 0.1,
)  # fmt: skip
_INTS = tuple(partial(int, k) for k in (0, 1, 2, 3))
_FLOATS = tuple(partial(float, k) for k in (0.0, 0.1, 0.5, 1.0))
_SHAPES: tuple[Callable[[], Any], ...] = (
    lambda: (2, 3),
    lambda: (6,),
    lambda: 6,
    lambda: (3, 2),
    lambda: (None, 4, 4, 2),
)
_FUNCTIONS: tuple[Callable[[], Any], ...] = (lambda: square, lambda: tg.tanh, lambda: lambda x: (x * x).sum())

# What an argument of a name may well be; other arguments are drawn by their annotation.
GOOD: dict[str, tuple[Callable[[], Any], ...]] = {
    "axis": (lambda: None, lambda: 0, lambda: -1, lambda: (0, 1)), "axes": (lambda: None, lambda: (1, 0), lambda: 1),
    "shape": _SHAPES, "input_shape": _SHAPES, "target_shape": (lambda: (2, 3), lambda: (-1,)),
    "dtype": (lambda: None, lambda: "float32", lambda: np.float64, lambda: int),
    "index": (lambda: 0, lambda: [0, 1], lambda: slice(None), lambda: (0, ...)),
    "indices": (lambda: [0, 1], lambda: 1), "labels": (lambda: [0, 1], lambda: np.array([1, 0])),
    "name": (lambda: None, lambda: "n"), "seed": (lambda: None, lambda: 0, lambda: np.random.default_rng(1)),
    "rng": (lambda: np.random.default_rng(0),), "lr": (lambda: 0.1, lambda: optim.CosineDecay(0.1, 10)),
    "then": (lambda: 0.1, lambda: optim.StepDecay(0.1, 3)), "params": (parameters,), "betas": (lambda: (0.9, 0.99),),
    "activation": (lambda: None, lambda: "relu"), "weight_init": (lambda: "zeros",), "bias_init": (lambda: "ones",),
    "init": (lambda: "zeros", lambda: nn.init.ones),
    "padding": (lambda: "same", lambda: "valid", lambda: 1, lambda: (1, 0)),
    "kernel_size": (lambda: 2, lambda: (1, 2)), "pool_size": (lambda: 2, lambda: (1, 2)),
    "stride": (lambda: 1, lambda: 2), "dilation": (lambda: 1, lambda: (2, 1)),
    "output_padding": (lambda: None, lambda: 0), "data_format": (lambda: None, lambda: "channels_first"),
    "reduction": (lambda: "mean", lambda: "none"),
    "w": (lambda: np.ones((2, 2, 2, 3)), lambda: tg.Tensor(np.ones((2, 2, 2)), requires_grad=True)),
    "b": (lambda: None, lambda: np.ones(3)), "subscripts": (lambda: "ij,jk->ik", lambda: "ij->j"), "f": _FUNCTIONS,
    "step": _FUNCTIONS, "vjp": _FUNCTIONS, "jvp": (lambda: None, lambda: lambda t: t),
    "hook": (lambda: lambda g: g * 2,), "pad_width": (lambda: 1, lambda: (1, 2)),
    "mode": (lambda: "constant", lambda: "edge", lambda: "auto"), "args": (lambda: 3, lambda: 0.5),
    "arrays": (lambda: [np.ones((2, 3)), np.ones((2, 3))], lambda: np.ones((3, 2))), "state": (dict,),
    "thing": (scalar, lambda: nn.Dense(2, in_features=3), lambda: square), "example_args": (lambda: np.ones((2, 3)),),
    "graph": (lambda: graph.snapshot(scalar()),), "a": (lambda: graph.snapshot(scalar()), lambda: np.eye(2)),
    "text": (lambda: graph.snapshot(scalar()).to_json(),), "actual": (scalar,), "expected": (scalar,),
    "path": (lambda: "picture.svg", lambda: "graph.dot"), "level": (lambda: "ops", lambda: "modules"),
    "show": (lambda: ("shape",),), "direction": (lambda: "TB",), "color": (lambda: "kind", lambda: "cost"),
    "theme": (lambda: "dark",), "primitive": (lambda: tg.primitives()["tanh"],),
    "draw": (lambda: testing.Draw.seeded(1),), "model": (lambda: nn.Sequential(nn.Dense(3), nn.Dense(2)),),
    "layer": (lambda: nn.Dense(2), lambda: tg.relu), "layers": (lambda: nn.Dense(2), lambda: [nn.Dense(3)]),
    "conv": (lambda: nn.Conv2D(2, 2), lambda: np.ones((2, 2))), "boundaries": (lambda: (2, 4),),
    "values": (lambda: (0.1, 0.2, 0.3),), "full": (lambda: False,), "data_dir": (lambda: None,),
    "mirrors": (lambda: None,), "source": (lambda: data.write_idx([[1.0, 2.0]]),), "choice": (lambda: "plain",),
    "primals": (lambda: (np.ones(2),), lambda: 0.5), "tangents": (lambda: (np.ones(2),),),
    "gradient": (lambda: None, lambda: np.ones(())), "argnums": (lambda: 0, lambda: (0,)),
    "loss": (lambda: None, lambda: "mse", lambda: keras.losses.MeanSquaredError()), "order": (lambda: 1, lambda: 2),
    "modes": (lambda: ("forward",), lambda: "reverse"), "ord": (lambda: None, lambda: 1),
    "properties": (lambda: None, lambda: tuple(testing.PROPERTIES)[:2]), "min": (lambda: None, lambda: 0.0),
    "lens": (), "shifts": _INTS, "shift": _INTS, "domains": (lambda: ((-1.0, 1.0),),), "options": (lambda: (1, 2),),
    "choices": (lambda: (1, 2),), "fans": (lambda: None, lambda: (2.0, 3.0)), "strategies": (), "declared": (),
    "integer": (lambda: lambda low, high: low,), "forward": (lambda: lambda x: x,), "kind": (lambda: "linear",),
    "transposes": (lambda: lambda g, b: g * b,), "derivatives": (lambda: lambda x: 3 * x,), "title": (lambda: "t",),
    "nodes": (lambda: graph.snapshot(scalar()).nodes,), "report": (lambda: "text",), "array": _ARRAYS,
    "y": (lambda: np.array([0, 1]), lambda: np.ones((2, 3)), lambda: None),
    "y_true": (lambda: np.array([0, 1]), lambda: np.ones((2, 3))),
    "y_pred": (lambda: np.full((2, 3), 0.3), lambda: tg.Tensor(np.full((2, 3), 0.3))),
    "sample_weight": (lambda: None, lambda: np.ones(2)), "class_weight": (lambda: None, lambda: {0: 1.0, 1: 2.0}),
    "batch_size": (lambda: None, lambda: 2), "epochs": (lambda: 1,), "verbose": (lambda: 0,),
    "callbacks": (lambda: None, lambda: [keras.callbacks.EarlyStopping()]),
    "optimizer": (lambda: "sgd", lambda: keras.SGD(0.1)), "metrics": (lambda: None, lambda: ["accuracy"]),
    "learning_rate": (lambda: 0.1,), "steps_per_epoch": (lambda: None,),
    "validation_split": (lambda: 0.0, lambda: 0.5), "validation_data": (lambda: None,), "filters": (lambda: 2,),
    "kernel_initializer": (lambda: "zeros",), "monitor": (lambda: "loss",), "filepath": (lambda: "weights.npz",),
    "filename": (lambda: "log.csv",), "logs": (lambda: None, lambda: {"loss": 1.0}),
    "weights": (lambda: None, lambda: [np.ones((3, 2)), np.ones(2)]), "history": (lambda: {"loss": [1.0, 0.5]},),
    "kernels": (lambda: np.ones((3, 3, 1, 4)),), "maps": (lambda: np.ones((2, 4, 4, 3)),),
    "images": (lambda: np.ones((2, 4, 4, 1)),), "image": (lambda: None, lambda: np.ones((4, 4))),
    "noise_shape": (lambda: None,), "predicted": (lambda: [0, 1],), "names": (lambda: None, lambda: ["a", "b"]),
    "probabilities": (lambda: np.full((2, 2), 0.5),), "epoch": (lambda: 0, lambda: 1), "batch": (lambda: 0,),
    "schedule": (lambda: lambda epoch: 0.1,), "print_fn": (lambda: None, lambda: lambda line: None),
    "print_table": (lambda: False,), "example": (lambda: 0,), "file": (lambda: None,), "target": (lambda: None,),
    "workers": (lambda: 1,),
}  # fmt: skip


def good(parameter: inspect.Parameter) -> tuple[Callable[[], Any], ...]:
    """Values that an argument may well be."""
    if parameter.name in GOOD:
        return GOOD[parameter.name]
    annotation = str(parameter.annotation)
    for words, values in {
        ("bool",): (bool, partial(bool, 1)),
        ("int", "Size", "Count"): _INTS,
        ("float", "Positive", "NonNegative", "Finite", "Fraction", "Probability"): _FLOATS,
        ("str", "Path"): (partial(str, "n"),),
        ("Callable",): _FUNCTIONS,
    }.items():
        if annotation.startswith(words):
            return values
    return _ARRAYS
