"""No gradient is lost in silence: what leaves the tape unasked is refused; NumPy's functions each have a class."""

import array
import cmath
import collections
import ctypes
import functools
import importlib
import itertools
import math
import operator
import statistics
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import overrides as numpys

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, DTypeError, GraphError, TinygradConvError
from tinygrad_conv.ops import overrides

for module in ("char", "fft", "lib.recfunctions", "lib.scimath", "polynomial", "strings"):
    importlib.import_module(f"numpy.{module}")  # whose functions are listed once they are imported


def pooled(function, values):
    with ThreadPool(1) as pool:
        return pool.map(function, values)


def assigned(container, index, value):
    container[index] = value
    return container


def called(write, value):
    return write(value)


# ------------------------------------------------------------------------------------------------------------------
# What NumPy, or whoever asks for an array, does without being told to

LEAVES = {
    "dot": lambda v: np.eye(3).dot(v),
    "asarray": lambda v: np.asarray(v),
    "array": lambda v: np.array([v[0] * v[1], v[2]]),
    "array of one dtype": lambda v: np.array([v[0], v[1]], np.float32),
    "mean": lambda v: np.mean([v[0], v[1]]),
    "full": lambda v: np.full(3, v[0]),
    "arange": lambda v: np.arange(v[0], 9.0),
    "copyto": lambda v: np.copyto(np.zeros(3), v),
    "put": lambda v: np.put(np.zeros(3), [0], v[0]),
    "np.add.at": lambda v: np.add.at(np.zeros(3), [0], v[0]),
    "np.histogram2d": lambda v: np.histogram2d(v, v),
    "np.histogram": lambda v: np.histogram(v),
    "np.histogramdd": lambda v: np.histogramdd(v[:, None]),
    "np.subtract.reduceat": lambda v: np.subtract.reduceat(v, [0, 1]),
    "np.subtract.reduce": lambda v: np.subtract.reduce(v),
    "twice (vectorized)": lambda v: np.frompyfunc(twice, 1, 1)(v),
    "vectorize": lambda v: np.vectorize(twice)(v),
    "np.histogram_bin_edges": lambda v: np.histogram_bin_edges(v),
    "normal": lambda v: np.random.default_rng(0).normal(v[0]),
    "np.ma": lambda v: np.ma.array(v).sum(),
    "masked array times": lambda v: np.ma.array(np.ones(3), mask=[1, 0, 0]) * v,
    "np.ma, a function": lambda v: np.ma.sqrt(v),
    "from_dlpack": lambda v: np.from_dlpack(v),
    "slice": lambda v: assigned(np.zeros(3), slice(None), v),
    "list in a slice": lambda v: assigned(np.zeros(2), slice(None), [v[0], v[1]]),
    "array\\[...\\] = tensor": lambda v: assigned(np.zeros(3), 0, v[0] ** 2),
    "float32": lambda v: assigned(np.zeros(3, np.float32), 0, v[0]),
    "float16": lambda v: assigned(np.zeros(3, np.float16), 0, v[0]),
    "int": lambda v: assigned(np.zeros(3, int), 0, v[0]),
    "complex": lambda v: assigned(np.zeros(3, complex), 0, v[0]),
    "0-d": lambda v: assigned(np.zeros(()), (), v[0]),
    "flat": lambda v: assigned(np.zeros(3).flat, 0, v[0]),
    "record": lambda v: assigned(np.zeros(2, "f8,f8"), 0, (v[0], v[1])),
    "array.array": lambda v: assigned(array.array("d", [0.0]), 0, v[0]),
    "memoryview": lambda v: assigned(memoryview(np.zeros(3)), 0, v[0]),
    "__setitem__": lambda v: np.zeros(3).__setitem__(0, v[0]),
    "setitem": lambda v: operator.setitem(np.zeros(3), 0, v[0]),
    "fill": lambda v: np.zeros(3).fill(v[0]),
    "under another name": lambda v: called(np.zeros(3).fill, v[0]),
    "a name that is taken": lambda v: [fill.fill(v[0]) for fill in [np.zeros(3)]],
    "float64": lambda v: np.float64(v[0]),
    "float32 too": lambda v: np.float32(v[0]),
    "append": lambda v: array.array("d").append(v[0]),
    "pack_into": lambda v: struct.pack_into("d", np.zeros(1), 0, v[0]),
    "exp in threads": lambda v: list(ThreadPoolExecutor(1).map(math.exp, v)),
    "exp in a pool": lambda v: pooled(math.exp, v),
    "_sum": lambda v: np.ones(3).sum(initial=v[0]),
    "pack": lambda v: struct.pack("d", v[0]),
    "map": lambda v: list(map(np.zeros(3).__setitem__, range(3), v)),
    "map in a loop": lambda v: [None for _ in map(np.zeros(3).__setitem__, range(3), v)],
    "map made before": lambda v: called(list, map(np.zeros(3).__setitem__, range(3), v)),
    "next": lambda v: next(map(np.zeros(3).__setitem__, range(3), v)),
    "starmap": lambda v: collections.deque(itertools.starmap(np.zeros(3).__setitem__, zip(range(3), v, strict=False))),
    "partial": lambda v: called(functools.partial(np.zeros(3).__setitem__, 0), v[0]),
    "partial in map": lambda v: any(map(functools.partial(operator.setitem, np.zeros(3)), range(3), v)),
    "methodcaller": lambda v: operator.methodcaller("fill", v[0])(np.zeros(3)),
    "methodcaller made before": lambda v: called(operator.methodcaller("fill", v[0]), np.zeros(3)),
    "float64 in map": lambda v: list(map(np.float64, v)),
    "fromiter": lambda v: np.fromiter((v[k] for k in range(3)), float),
    "complex64": lambda v: np.complex64(v[0], 1.0),
    "sqrt": lambda v: math.sqrt(v[0]),
    "pow": lambda v: math.pow(v[0], 2),
    "a math function under another name": lambda v: called(math.exp, v[0]),
    "math in map": lambda v: list(map(math.exp, v)),
    "fsum": lambda v: math.fsum(v),
    "cmath": lambda v: cmath.exp(v[0]),
    "statistics": lambda v: statistics.fmean(v),
    "NormalDist": lambda v: statistics.NormalDist(v[0], 1.0),
    "ctypes": lambda v: ctypes.c_double(v[0]),
    "ctypes arrays": lambda v: (ctypes.c_double * 2)(v[0], v[1]),
    "tg.arange": lambda v: tg.arange(v[0], 9.0),
    "var": lambda v: tg.var(np.ones(3), ddof=v[0]),
    "vector_norm": lambda v: tg.linalg.vector_norm(np.ones(3), ord=v[1]),
    "huber": lambda v: tg.huber(np.ones(3), np.zeros(3), delta=v[0]),
}  # fmt: skip


def twice(x):
    return 2 * x


@pytest.mark.parametrize("name", LEAVES)
def test_a_followed_tensor_does_not_become_an_array_unasked(name):
    leave = LEAVES[name]
    x = tg.Tensor([1.0, 2.0, 4.0], requires_grad=True)
    for followed in (x, *[x * 2] * 20):  # code that runs often is specialised by Python
        with pytest.raises(GraphError, match=r"its gradient would be lost.*x\.detach\(\).*no_grad.*stack.*set_at"):
            leave(followed)
    with pytest.raises(GraphError):
        tg.grad(lambda v: (leave(v), v.sum())[1])(np.ones(3))
    with tg.no_grad():
        leave(x * 2)
    leave(tg.Tensor([1.0, 2.0, 4.0]))


@pytest.mark.parametrize(
    "name", ["dot", "mean", "full", "np.histogram", "np.add.at", "array\\[...\\] = tensor", "fill"]
)
def test_the_error_names_what_was_called(name):
    with pytest.raises(GraphError, match=rf"^(np\.)?{name}: "):
        LEAVES[name](tg.Tensor([1.0, 2.0, 4.0], requires_grad=True))
    if hasattr(tg, name):
        with pytest.raises(GraphError, match=rf"Use tg\.{name}\. ") if name != "full" else pytest.raises(GraphError):
            LEAVES[name](tg.Tensor([1.0, 2.0, 4.0], requires_grad=True))


@pytest.mark.parametrize("write", [
    lambda v: operator.iadd(np.zeros(3), v), lambda v: operator.imatmul(np.eye(3), v),
    lambda v: np.exp(v, out=np.ones(3)), lambda v: np.add.accumulate(v, out=np.ones(3)),
    lambda v: np.sum(v, out=np.ones(())), lambda v: np.sum(v, 0, None, np.ones(())),
    lambda v: np.min(v, 0, np.ones(())),
])  # fmt: skip
def test_a_tensor_is_not_written_into_an_array(write):
    x = tg.Tensor([1.0, 2.0, 4.0], requires_grad=True)
    with pytest.raises(GraphError, match=r"not written into an array.*gradient would be lost.*set_at.*x\.detach\(\)"):
        write(x)
    with pytest.raises(DTypeError, match="not written into an array"):
        write(x)


@pytest.mark.parametrize("write", [
    lambda v: np.exp(v, out=np.ones(3)), lambda v: np.add(np.ones(3), v, out=np.ones(3)),
    lambda v: np.add.accumulate(v, out=np.ones(3)), lambda v: np.sum(v, out=np.ones(())),
    lambda v: np.add(v, v, out=(v,)), lambda v: np.add.reduce(v, out=np.ones(())),
])  # fmt: skip
def test_data_is_not_written_by_out(write):
    with pytest.raises(DTypeError, match="not written into an array"):
        write(tg.Tensor([1.0, 2.0, 4.0]))


def test_an_array_is_updated_in_place_by_what_nobody_follows():
    start = weights = np.zeros(3)
    for _ in range(2):
        weights -= 0.25 * tg.grad(lambda w: ((w - 1) ** 2).sum())(weights)
    assert weights is start
    assert weights.tolist() == [0.75] * 3
    x = tg.Tensor([1.0, 2.0, 4.0], requires_grad=True)
    with tg.no_grad():
        weights *= x * x
    assert weights.tolist() == [0.75, 3, 12]
    y = tg.Tensor(weights) * x
    weights += tg.ones(3)  # saved by a node, which notices
    with pytest.raises(tg.errors.MutationError):
        y.sum().backward()


def test_what_is_asked_for_by_name_stays():
    x = tg.Tensor([2.0, 3.0], requires_grad=True)
    y = x * x
    assert y.numpy().tolist() == y.data.tolist() == y.to_numpy().tolist() == y.tolist() == [4, 9]
    assert (float(y[0]), int(y[0]), complex(y[0]), y[0].item(), bool(y[0])) == (4, 4, 4, 4, True)
    assert list(map(float, y)) == [4, 9]
    written = list(map(np.zeros(2).__setitem__, range(2), map(float, y)))  # pytest 8.0 takes asserts apart
    assert written == [None, None]
    assert (f"{y[0]:.1f}", f"{y[0]:g}", repr(y[0])) == ("4.0", "4", "Tensor(4., from=getitem)")
    gamma, convert, layer = y[0], float, SimpleNamespace(gamma=y[0])
    assert ("%d" % gamma, "%.1f %s" % (layer.gamma, 1)) == ("4", "4.0 1")  # noqa: UP031
    assert convert(y[0]) == gamma.__float__() == 4
    first, second = map(float, y)
    assert [first, *map(float, y)] == [4, 4, 9] == [second - 5, *(float(z) for z in y)]
    assert called(max, map(float, y)) == max(*map(float, y)) == float(max(y, key=float)) == sorted(y, key=float)[1] == 9
    assert (math.isfinite(y[0]), math.isclose(y[0], 4), math.floor(y[0]), round(math.sqrt(y[0].item()))) == (1, 1, 4, 2)
    assert list(ThreadPoolExecutor(1).map(float, y)) == pooled(float, y) == [4, 9]
    for number in map(int, y):
        assert number in (4, 9)
    np.testing.assert_allclose(y, [4, 9])
    objects = assigned(np.zeros(1, object), 0, y[0])
    assert objects[0].node is not None


def test_a_tensor_of_a_tensor_stays_in_its_graph():
    assert tg.grad(lambda v: (tg.Tensor(v) ** 2 + tg.Tensor(v, dtype="f4") + tg.asarray(v)).sum())(3.0).item() == 8
    x = tg.Tensor([1.0], requires_grad=True)
    (tg.Tensor(x) * 2).sum().backward()
    assert x.grad.tolist() == [2]
    assert tg.Tensor(x * 2, requires_grad=True).is_leaf
    with tg.no_grad():
        assert not tg.Tensor(x).requires_grad


def test_a_tracer_keeps_the_line_and_sees_the_error_as_the_cause():
    x = tg.Tensor([2.0], requires_grad=True)
    sys.settrace(lambda *_: None)
    try:
        with pytest.raises(ValueError, match="sequence") as caught:
            np.zeros(1)[0] = x[0]
        assert isinstance(caught.value.__cause__, GraphError)
        assert sys.gettrace() is not None
    finally:
        sys.settrace(None)
    with pytest.raises(GraphError):
        np.zeros(1)[0] = x[0]
    assert sys.gettrace() is None


def test_a_keyword_that_passes_no_gradient_on_takes_no_followed_tensor():
    x, slope = tg.Tensor([-1.0, 2.0], requires_grad=True), tg.Tensor(0.1, requires_grad=True)
    with pytest.raises(GraphError, match="leaky_relu: expected data as negative_slope"):
        tg.leaky_relu(x, negative_slope=slope)
    assert tg.leaky_relu(x, negative_slope=slope.item()).tolist() == [-0.1, 2]


# ------------------------------------------------------------------------------------------------------------------
# Where arrays come in


def draws(function, kind):
    """Calls with one to three arrays of a kind, and with a list of two, as far as the function takes plain ones."""
    square = np.array([[0.6, 0.2], [0.3, 0.7]])
    for arguments in ([square], [square] * 2, [square] * 3, [[square, square]]):
        try:
            want = function(*arguments)
        except Exception:
            continue
        yield want, [[kind(a) for a in x] if isinstance(x, list) else kind(x) for x in arguments]


class Own(np.ndarray):
    """A subclass of somebody else's."""

    def __mul__(self, other):
        raise AssertionError


ENTRANCES = {name: getattr(tg, name) for name in tg.ops.__all__} | {"Tensor": tg.Tensor, "grad": tg.grad(tg.sum)}


@pytest.mark.parametrize("name", ENTRANCES)
@pytest.mark.filterwarnings("ignore")
def test_an_array_of_a_subclass_is_a_plain_one(name):
    for kind in (np.matrix, np.ma.array, lambda a: a.view(Own)):
        for want, arguments in draws(ENTRANCES[name], kind):
            got = ENTRANCES[name](*arguments)
            for result, right in zip(parts(got), parts(want), strict=True):
                if isinstance(right, (np.ndarray, np.generic, tg.Tensor)):
                    array = result._array if isinstance(result, tg.Tensor) else result
                    assert type(result) is type(right)
                    assert type(array) in (np.ndarray, type(right))
                    np.testing.assert_array_equal(array, right)


@pytest.mark.parametrize("name", [name for name in ENTRANCES if not name.endswith(("ones_like", "zeros_like"))])
@pytest.mark.filterwarnings("ignore")
def test_masked_elements_are_refused(name):
    for _, arguments in draws(ENTRANCES[name], lambda a: np.ma.array(a, mask=a > 0.65)):
        with pytest.raises(ArgumentError, match=r"without masked elements, got 1 of 4 masked; .*filled"):
            ENTRANCES[name](*arguments)


# ------------------------------------------------------------------------------------------------------------------
# NumPy's keywords


@pytest.mark.parametrize("call", [
    lambda v: np.sum(v, 0, "float64"), lambda v: np.sum(v, axis=(0, 1), keepdims=True, dtype=np.float64),
    lambda v: np.sum(v, axis=1, where=v > 0.3, initial=2.0), lambda v: np.prod(v, axis=0, where=[True, False, True]),
    lambda v: np.mean(v, axis=1, where=[[True, False, True]], keepdims=True), lambda v: np.mean(v, None, "float64"),
    lambda v: np.max(v, axis=1, initial=0.1), lambda v: np.min(v, where=v > 0.4, initial=9.0),
    lambda v: np.amax(v, 0), lambda v: np.std(v, 1, None, None, 1), lambda v: np.var(v, axis=0, correction=1),
    lambda v: np.add.reduce(v), lambda v: np.add.reduce(v, axis=(0, 1)), lambda v: np.multiply.reduce(v, axis=1),
    lambda v: np.maximum.reduce(v, axis=None), lambda v: np.minimum.reduce(v, keepdims=True),
    lambda v: np.logaddexp.reduce(v, axis=1), lambda v: np.add.reduce(v, axis=1, where=v > 0.4, initial=1),
    lambda v: np.add.accumulate(v, axis=1), lambda v: np.add.accumulate(v), lambda v: np.multiply.outer(v, v[0]),
    lambda v: np.subtract.outer(v[0], np.arange(2.0)), lambda v: np.arctan2.outer(v, 2.0),
    lambda v: np.multiply(v, v, dtype="float64"), lambda v: np.exp(v, casting="same_kind", order="C", subok=False),
    lambda v: np.add(v, 1, where=True), lambda v: np.clip(v, a_min=0.3, a_max=None), lambda v: np.clip(v, 0.3, 0.5),
    lambda v: np.linalg.vector_norm(v), lambda v: np.linalg.vector_norm(v, axis=1, ord=3, keepdims=True),
    lambda v: np.linalg.vector_norm(v, ord=1), lambda v: np.linalg.matrix_norm(v), lambda v: np.linalg.norm(v, 2, 1),
    lambda v: np.linalg.trace(v[:, :2], offset=-1), lambda v: np.linalg.diagonal(v), lambda v: np.fabs(-v),
    lambda v: np.linalg.vecdot(v, v, axis=0), lambda v: np.vecdot(v, v), lambda v: np.linalg.outer(v[0], v[1]),
    lambda v: np.linalg.tensordot(v, v, axes=((0, 1), (0, 1))), lambda v: np.linalg.matrix_transpose(v),
    lambda v: np.einsum("ij,kj->ik", v, v, optimize=True), lambda v: np.vstack([v[0], v]), lambda v: np.tril(v[0]),
    lambda v: np.hstack([v[0], v[1, :1]]), lambda v: np.hstack([v, v]), lambda v: np.column_stack([v[0], v[1]]),
    lambda v: np.dstack([v[0], v[1]]), lambda v: np.full_like(v, v[0, 0]),
    lambda v: np.reshape(v, (3, 2), order="C"), lambda v: np.ravel(v), lambda v: np.positive(v), lambda v: np.rint(v),
    lambda v: np.stack([v, v], dtype="float64"), lambda v: np.cov(v, dtype="f8"), lambda v: np.cumprod(v, 1, "f8"),
    *(lambda v, f=f, more=more: f(v, axis=1, where=v > 0.33, **more) for f, more in (
        (np.var, {}), (np.std, {"ddof": 1}), (np.nanmean, {}), (np.nanvar, {"keepdims": True}), (np.nansum, {}),
        (np.nanprod, {"initial": 3.0}), (np.nanmax, {"initial": 0.5}), (np.logaddexp.reduce, {"initial": -np.inf}),
    )),
    lambda v: np.var(v, mean=0.4), lambda v: np.std(v, axis=0, mean=v[:1], keepdims=True),
    *(lambda v, f=f, more=more: f.reduce(v, **more) for f in (np.fmin, np.hypot, np.logaddexp2)
      for more in ({}, {"keepdims": True, "initial": 0.7})),
    lambda v: np.fmax.reduce(v, axis=(0, 1)), lambda v: np.hypot.reduce(v, axis=None, keepdims=True),
    *(lambda v, f=f: f.accumulate(v, axis=1) for f in (
        np.multiply, np.logaddexp, np.logaddexp2, np.maximum, np.minimum, np.fmax, np.hypot
    )),
    lambda v: np.take(v, [5, -7], 1, mode="clip"), lambda v: np.take(v, [9, -7], mode="wrap"),
    lambda v: np.reshape(v, (3, 2), order="F"), lambda v: np.ravel(v.T, "K"), lambda v: np.einsum(v, [0, 1], v, [2, 1]),
    lambda v: np.linspace(v[0], v[1], 3, axis=1), lambda v: np.geomspace(v, 9.0, 4), lambda v: np.rollaxis(v, 1),
    lambda v: np.pad(v, 2, "reflect", reflect_type="odd"), lambda v: np.pad(v, 1, "mean", stat_length=2),
    lambda v: np.nanquantile(v, 0.3, 1, method="hazen"), lambda v: np.lib.scimath.sqrt(v[0]),
    lambda v: np.nanstd(v, correction=1, dtype="f8"), lambda v: np.ldexp(v, [1, 2, 3], dtype="f8"),
    lambda v: np.gradient(v + 0j, np.array([1, 2, 4]) * (1 + 0.5j), axis=1).real,
    lambda v: np.angle(v * (1 - 2j), deg=True), lambda v: np.cross(v.T, v[::-1], axisa=0, axisc=0),
    lambda v: np.cross(v, v[::-1] ** 2, axis=1), lambda v: np.einsum("ij,kj", v, v, order="F"),
    lambda v: np.linalg.svd(v[:, :2] - 1, hermitian=True), lambda v: np.linalg.svd(v[:, :2] - 1, False, False, True),
    lambda v: np.linalg.eigvalsh(v[:, :2], "u"), lambda v: np.linalg.norm(v, np.inf, (0,)),
    lambda v: np.roots(v[0] * [1, 1, 0]), lambda v: np.roots(v[0] * [1, 0, 0] + v[1] * [0, 1, 0]),
    lambda v: np.cov(v, dtype="f8", aweights=v[0]),
    lambda v: np.nan_to_num(np.where([1, 0, 1], v * (1 + 2j), np.nan), nan=0.5), lambda v: tg.cumulative_sum(v[0, 0]),
    *(lambda v, f=f: f(np.where([1, 0, 1], v, np.nan), axis=1, correction=0.5) for f in (np.nanvar, np.nanstd)),
])  # fmt: skip
def test_numpys_keywords_and_methods_are_honoured(call):
    old = [np.array([[0.21, 0.42, 0.35], [0.53, 0.31, 0.87]])]
    assert judge(None, call, tuple(old), old) == "right"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float32", "float64"])
@pytest.mark.parametrize("call", [
    np.nansum, np.nanprod, np.nanmax, np.median, np.logaddexp.reduce, np.hypot.reduce, np.fmax.reduce,
    np.maximum.accumulate, np.logaddexp.accumulate, np.add.accumulate,
    lambda v: np.sum(v, initial=3, where=v > 0), lambda v: np.max(v, axis=0, initial=2),
    lambda v: np.sum(v, dtype="i4"), lambda v: np.prod(v, initial=0.5, dtype=int), lambda v: np.cumsum(v, 0, "f4"),
    lambda v: np.fmax.reduce(v[:0], initial=1), lambda v: np.multiply.reduce(v[0, 0], axis=-1),
    lambda v: np.add.accumulate(v, axis=(1,)), lambda v: np.std(v, where=v > 0), lambda v: np.var(v, dtype="c16"),
    lambda v: np.floor_divide(v, [7, 9], dtype="f4"),
    lambda v: np.lib.scimath.sqrt(-v.astype("f2")), lambda v: np.poly(v[0].astype("f2")),
    lambda v: np.std(v, correction=1), np.fabs, np.deg2rad, np.degrees, np.reciprocal, np.sort_complex, np.imag,
    lambda v: np.modf(v)[0], lambda v: np.modf(v)[1], lambda v: np.heaviside(v, v), np.linalg.matrix_norm,
    lambda v: np.linalg.matrix_norm(v, ord=1), lambda v: np.einsum("ij->j", v), np.nanmedian,
    lambda v: np.einsum("ij,i", v, [1.5, 2]), lambda v: tg.linalg.vector_norm(v[:0], ord=np.inf),
    lambda v: np.imag(v.astype("f8") / 0), lambda v: np.atleast_2d(v, 1)[0],
    lambda v: np.roots(v[::-1].ravel()), lambda v: np.vdot(v, v), lambda v: np.apply_along_axis(np.sum, 0, v[:0]),
])  # fmt: skip
def test_values_and_dtypes_are_numpys_of_integers_too(call, dtype):
    array = np.array([[200, 250], [3, 1]]).astype(dtype)
    got, want = call(tg.Tensor(array)), call(array)
    assert isinstance(got, tg.Tensor)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("call", [
    lambda v: np.fabs(v * 1j), lambda v: np.deg2rad(v * 1j), lambda v: np.radians(v, dtype=complex),
    lambda v: np.heaviside(v, 1j), lambda v: np.add(v, np.float32(1), casting="no"), lambda v: np.log(v, dtype="i8"),
    lambda v: np.linalg.norm(v[0], "fro"), lambda v: np.linalg.norm(v, axis=()), lambda v: np.delete(v[0], 9),
    lambda v: np.delete(v, [True, False]), lambda v: np.insert(v, 9, 1.0), lambda v: np.float_power(v, 2, dtype="f2"),
])  # fmt: skip
def test_what_numpy_refuses_is_refused(call):
    array = np.array([[0.5, 2.0], [3.0, 1.0]])
    with pytest.raises((TypeError, ValueError, IndexError)) as theirs:
        call(array)
    for x in (tg.Tensor(array), tg.Tensor(array, requires_grad=True)):
        with pytest.raises(
            next(kind for kind in (TypeError, ValueError, IndexError) if isinstance(theirs.value, kind))
        ):
            call(x)


def test_roots_are_refused_where_their_number_changes():
    assert tg.roots(tg.Tensor([0.0, 1.0, -2.0])).tolist() == [2.0]
    with pytest.raises(ArgumentError, match=r"first factor that is not 0 .* got 1 of 0 in front; .*use p\[1:\]"):
        tg.roots(tg.Tensor([0.0, 1.0, -2.0], requires_grad=True))


def test_what_is_made_like_a_tensor_is_one():
    x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    for made in (np.zeros(3, like=x), np.arange(3, like=x), np.eye(3, like=x), np.zeros_like(x), np.full_like(x, 7)):
        assert type(made) is tg.Tensor
        assert not made.requires_grad
    assert (np.empty_like(x, dtype="f4").dtype, np.ones_like(x, shape=(2,)).tolist()) == (tg.float32, [1.0, 1.0])


def test_a_dtype_is_what_is_computed_in():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for y in (
        np.sum(x, 0, np.float32),
        np.add(x, x, dtype="f4"),
        np.add.reduce(x, dtype="f4"),
        np.cumsum(x, dtype="f4"),
    ):
        assert y.dtype == np.float32
        assert y.requires_grad


@pytest.mark.parametrize("call", [
    lambda v: np.add(v, v, where=[True, False]), lambda v: np.sum(v, dtype=int), lambda v: np.pad(v, 1, "empty"),
    lambda v: np.fmax.reduce(v, where=[True, False], initial=1), lambda v: np.nan_to_num(v, copy=False),
    lambda v: np.sqrt(v, where=[True, False]), lambda v: np.matmul(v, v, axes=[(0,), (0,), ()]),
])  # fmt: skip
def test_numpys_other_keywords_are_refused_in_words(call):
    with pytest.raises(TinygradConvError):
        call(tg.Tensor([1.0, 2.0], requires_grad=True))


# ------------------------------------------------------------------------------------------------------------------
# The table of NumPy's functions


def numpys_functions():
    listed = {*numpys.get_overridable_numpy_array_functions(), *numpys.get_overridable_numpy_ufuncs()}
    public = {f: overrides.found(overrides.name_of(f)) for f in listed}  # some are listed as their inner part
    return {public[f] if callable(public[f]) and not isinstance(f, np.ufunc) else f for f in listed}


def test_every_function_of_numpy_is_in_exactly_one_class():
    for function in numpys_functions():
        name = overrides.name_of(function)
        classes = [
            function in overrides.operations(),
            name in overrides.DATA,
            name in overrides.REFUSED or name.startswith(overrides.TEXT),
        ]
        assert sum(classes) == 1, f"{name}: give it a class in ops/overrides.py"
    assert not overrides.DATA & overrides.REFUSED
    assert overrides.class_of(np.frompyfunc(twice, 1, 1)) == "refused"
    assert {overrides.class_of(f) for f in (np.isnan, np.argmax, np.shape, np.nonzero, np.allclose)} == {"data"}


def bases(rng):
    """Pairs of arrays away from ties, steps and poles: vectors, matrices, square matrices."""
    for shape, least in (((3,), 0.21), ((2, 3), 0.21), ((2, 2), 0.21), ((2,), 1.21), ((2, 1, 2), 0.21)):
        n = int(np.prod(shape))
        spread = np.round(0.0731 * rng.permutation(2 * n), 2) + 0.0017 + 0.001 * rng.random(2 * n)
        yield list((least + spread).reshape(2, *shape))


def calls(a, b):
    """Plausible arguments: with two tensors, and what stands beside them."""
    last = a.ndim - 1
    yield from ((a,), (a, b), ([a, b],), (a, a.shape), (a, (-1,)), (a, -1), (a, 0), (a, 1), (a, 2), (a, last, 0))
    yield from ((a, [0, 1]), (a, b, last), (a > 0.5, a, b), (a, 0.3, 0.5), (a, [1, 0], last), ((b, a), last))
    yield from (("ij->ji", a), ("i,i->i", a, b), (a, 0, -1), (a, b, 1), (a, "float64"), (a, (1, 1)), (a, 0.5))
    yield from (((a, b), a.shape), (a, [a > 0.5], [0.5]), ([0, 1], a), (a, np.argsort(b), last), (a, [0.5]))
    yield from ((np.sum, a, [0]), (np.sum, last, a), (a, np.argsort(b), b, last))


def replaced(value, old, new):
    """The same arguments with other objects in place of the arrays."""
    for before, after in zip(old, new, strict=True):
        if value is before:
            return after
    if isinstance(value, (list, tuple)):
        return type(value)(replaced(item, old, new) for item in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def parts(result):
    return [part for item in result for part in parts(item)] if isinstance(result, (list, tuple)) else [result]


def real_parts(result):
    """The parts of a result, complex ones as two."""
    split = ((np.real(p), np.imag(p)) if np.result_type(p).kind == "c" else (p,) for p in parts(result))
    return [part for pair in split for part in pair]


def total(result):
    """A number that depends on all of a result's numbers, each in its own way."""
    arrays = (part._array if isinstance(part, tg.Tensor) else part for part in real_parts(result))
    values = [np.asarray(array, float) for array in arrays]
    return math.fsum(float((value * np.cos(np.arange(value.size)).reshape(value.shape)).sum()) for value in values)


def slopes(f, old, step=1e-6):
    """The numeric gradient of `total(f(*arrays))`."""
    for k, x in enumerate(old):
        gradient = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            ends = [[y.copy() for y in old] for _ in (0, 1)]
            ends[0][k][place] += step
            ends[1][k][place] -= step
            gradient[place] = (total(f(*ends[0])) - total(f(*ends[1]))) / (2 * step)
        yield gradient


def judge(function, call, arguments, old):
    """Call NumPy's function on arrays and on followed tensors. Returns what came of it: "error", "data", "right"."""
    if function is np.interp and len(arguments) > 1:  # points that do not increase give something else in each version
        if any(arguments[1] is x for x in old):
            return "error"
        arguments = (arguments[0], np.sort(arguments[1]), *arguments[2:])
    tensors = [tg.Tensor(x.copy(), requires_grad=True) for x in old]
    try:
        result = call(*replaced(arguments, old, tensors))
    except TinygradConvError:
        return "error"
    found = [part for part in real_parts(result) if isinstance(part, tg.Tensor) and part.requires_grad]
    if function is not None and overrides.class_of(function) == "data":
        assert not found
        return "data"
    want = call(*replaced(arguments, old, [x.copy() for x in old]))
    np.testing.assert_allclose(total(result), total(want), rtol=1e-6)
    for part in found:
        part.backward(np.cos(np.arange(part.size)).reshape(part.shape).astype(part.dtype), retain_graph=True)
    for tensor, slope in zip(tensors, slopes(lambda *xs: call(*replaced(arguments, old, xs)), old), strict=True):
        got = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(got, slope, rtol=1e-4, atol=1e-4)
    return "right"


def works(call, arguments, old):
    try:
        result = call(*replaced(arguments, old, [x.copy() for x in old]))
    except Exception:
        return False
    numbers = [p for p in parts(result) if isinstance(p, (np.ndarray, np.generic)) and p.dtype.kind in "fiubc"]
    return len(numbers) == len(parts(result)) and all(np.isfinite(part).all() for part in numbers)


def methods(function):
    """A function, or a ufunc with its methods, as functions of drawn arguments."""
    yield function
    if isinstance(function, np.ufunc) and function.nin == 2 and function.nout == 1 and function.signature is None:
        yield from (function.reduce, function.accumulate, function.outer, function.reduceat)


def fitting(rng, call, old):
    """Arguments that NumPy takes, in some order."""
    drawn = list(calls(*old))
    return (drawn[k] for k in rng.permutation(len(drawn)) if works(call, drawn[k], old))


def of_class(kind):
    """NumPy's functions of a class, but for those that work on text, with which NumPy itself may crash."""
    left_out = ("_", *overrides.TEXT, "frombuffer", "save")  # a tensor is no buffer, as NumPy says; no files
    of_numbers = (f for f in numpys_functions() if not overrides.name_of(f).startswith(left_out))
    return sorted((f for f in of_numbers if overrides.class_of(f) == kind), key=overrides.name_of)


@pytest.mark.parametrize("kind", ["operation", "data", "refused"])
@settings(max_examples=5, deadline=None, phases=[Phase.generate])  # a seed has nothing to shrink
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.filterwarnings("ignore")  # of NumPy's, about arguments that are drawn
def test_numpys_functions_give_the_gradient_or_an_error(kind, seed):
    rng = np.random.default_rng(seed)
    shapes = list(bases(rng))
    for function in of_class(kind):
        for call in methods(function):
            old = shapes[rng.integers(len(shapes))]
            for arguments in itertools.islice(fitting(rng, call, old), 2):
                outcome = judge(function, call, arguments, old)
                assert kind == "operation" or outcome in (kind, "error", "right")


@pytest.mark.filterwarnings("ignore")
def test_data_has_no_derivative_and_writes_nothing():
    """Whose class is data is let through: its result is the same all around, and its arguments stay as they are."""
    for function in of_class("data"):
        name = overrides.name_of(function)
        for old in bases(np.random.default_rng(0)):
            for arguments in calls(*old):
                given = [x.copy() for x in old]
                try:
                    result = function(*replaced(arguments, old, given))
                except Exception:
                    continue
                if any(part is x for part in parts(result) for x in given):
                    continue  # it was asked to write there
                np.testing.assert_array_equal(given, old, name)
                if works(function, arguments, old) and not name.startswith("empty"):
                    found = slopes(lambda *xs: function(*replaced(arguments, old, xs)), old)  # noqa: B023
                    assert not any(slope.any() for slope in found), name


@pytest.mark.filterwarnings("ignore")
def test_every_operation_gives_a_gradient():
    rng = np.random.default_rng(0)
    shapes = list(bases(rng))
    for function in of_class("operation"):
        if overrides.found(overrides.name_of(function)) is not function:
            continue  # the ufunc within a function of that name
        outcomes = (judge(function, function, a, old) for old in shapes for a in fitting(rng, function, old))
        assert "right" in outcomes, overrides.name_of(function)
