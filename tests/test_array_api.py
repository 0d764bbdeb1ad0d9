"""``tg`` is a namespace of the Array API: its names, signatures, dtypes and special cases; Hypothesis draws in it."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, AxisError, DTypeError, GraphError, MutationError, ShapeError

# The standard's functions of 2025.12, whose array arguments are positional, and the keywords that each must know.
_FUNCTIONS = """
    abs acos acosh add all:axis,keepdims any:axis,keepdims arange:stop,step,dtype,device argmax:axis,keepdims
    argmin:axis,keepdims argsort:axis,descending,stable asarray:dtype,device,copy asin asinh astype:copy,device atan
    atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
    broadcast_arrays broadcast_shapes broadcast_to:shape can_cast ceil clip:min,max concat:axis conj copysign cos
    cosh count_nonzero:axis,keepdims cumulative_prod:axis,dtype,include_initial
    cumulative_sum:axis,dtype,include_initial diff:axis,n,prepend,append divide empty:shape,dtype,device
    empty_like:dtype,device equal exp expand_dims:axis expm1 eye:k,dtype,device finfo flip:axis floor floor_divide
    from_dlpack:device,copy full:shape,fill_value,dtype,device full_like:fill_value,dtype,device greater
    greater_equal hypot iinfo imag isdtype:dtype,kind isfinite isin:invert isinf isnan less less_equal
    linspace:num,dtype,device,endpoint log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor
    matmul matrix_transpose max:axis,keepdims maximum mean:axis,keepdims meshgrid:indexing min:axis,keepdims minimum
    moveaxis multiply negative nextafter nonzero not_equal ones:shape,dtype,device ones_like:dtype,device
    permute_dims:axes positive pow prod:axis,dtype,keepdims real reciprocal remainder repeat:axis reshape:shape,copy
    result_type roll:shift,axis round searchsorted:side,sorter sign signbit sin sinh sort:axis,descending,stable
    sqrt square squeeze:axis stack:axis std:axis,correction,keepdims subtract sum:axis,dtype,keepdims take:axis
    take_along_axis:axis tan tanh tensordot:axes tile tril:k triu:k trunc unique_all unique_counts unique_inverse
    unique_values unstack:axis var:axis,correction,keepdims vecdot:axis where zeros:shape,dtype,device
    zeros_like:dtype,device linalg.cholesky:upper linalg.cross:axis linalg.det linalg.diagonal:offset linalg.eigh
    linalg.eigvalsh linalg.inv linalg.matmul linalg.matrix_norm:keepdims,ord linalg.matrix_power
    linalg.matrix_rank:rtol linalg.matrix_transpose linalg.outer linalg.pinv:rtol linalg.qr:mode linalg.slogdet
    linalg.solve linalg.svd:full_matrices linalg.svdvals linalg.tensordot:axes linalg.trace:offset,dtype
    linalg.vecdot:axis linalg.vector_norm:axis,keepdims,ord fft.fft:n,axis,norm fft.ifft:n,axis,norm
    fft.fftn:s,axes,norm fft.ifftn:s,axes,norm fft.rfft:n,axis,norm fft.irfft:n,axis,norm fft.rfftn:s,axes,norm
    fft.irfftn:s,axes,norm fft.hfft:n,axis,norm fft.ihfft:n,axis,norm fft.fftfreq:d,dtype,device
    fft.rfftfreq:d,dtype,device fft.fftshift:axes fft.ifftshift:axes
"""
_METHODS = """
    abs add and array_namespace bool complex dlpack dlpack_device eq float floordiv ge getitem gt index int invert
    le lshift lt matmul mod mul ne neg or pos pow rshift sub truediv xor radd rsub rmul rtruediv rfloordiv rmod rpow
    rmatmul rand ror rxor rlshift rrshift
"""
FUNCTIONS, METHODS = _FUNCTIONS.split(), _METHODS.split()


def found(name):
    of = tg
    for part in name.split("."):
        of = getattr(of, part)
    return of


@pytest.mark.parametrize("entry", FUNCTIONS)
def test_every_function_of_the_standard_is_there_with_its_keywords(entry):
    name, _, keywords = entry.partition(":")
    assert set(filter(None, keywords.split(","))) <= set(inspect.signature(found(name)).parameters)


def test_every_method_and_attribute_of_an_array_is_there():
    x = tg.Tensor([[1.0, 2.0]])
    assert all(hasattr(x, f"__{name}__") for name in METHODS)
    assert (x.device, x.dtype, x.ndim, x.shape, x.size) == ("cpu", tg.float64, 2, (1, 2), 2)
    assert x.T.shape == x.mT.shape == (2, 1)
    assert x.to_device("cpu") is x
    with pytest.raises(ArgumentError, match="cpu"):
        x.to_device("gpu")


def test_the_namespace_is_the_library():
    x = tg.Tensor([1.0])
    assert x.__array_namespace__() is x.__array_namespace__(api_version="2021.12") is tg
    assert tg.__array_api_version__ == "2025.12"
    with pytest.raises(ArgumentError, match=r"2025\.12"):
        x.__array_namespace__(api_version="2099.12")
    assert all(getattr(tg.array_api, name) is getattr(tg, name) for name in ("sum", "float32", "linalg", "finfo"))
    assert {"svd", "norm", "matmul"} <= set(dir(tg.linalg))
    for module in (tg, tg.array_api, tg.linalg, tg.fft):
        assert not hasattr(module, "no_such_name")
    assert tg.linalg.matmul is tg.matmul
    assert tg.linalg.inv is tg.inv
    assert tg.linalg.eig(tg.eye(2)).eigenvalues.dtype == tg.linalg.eigvals(tg.eye(2)).dtype == tg.complex128
    assert (tg.pi, tg.e, tg.inf, tg.newaxis) == (math.pi, math.e, math.inf, None)
    assert math.isnan(tg.nan)


def test_dtypes_and_what_is_asked_of_them():
    info = tg.__array_namespace_info__()
    dtypes = info.dtypes()
    assert len(dtypes) == 13
    assert all(getattr(tg, name) is dtype and dtype.name == name for name, dtype in dtypes.items())
    assert list(info.dtypes(kind=("bool", "complex floating"))) == ["bool", "complex64", "complex128"]
    assert info.default_dtypes(device="cpu")["complex floating"] == tg.complex128
    assert info.devices() == (info.default_device(),) == ("cpu",)
    assert info.capabilities()["boolean indexing"]
    for name, dtype in dtypes.items():
        x = tg.ones(2, dtype=dtype)
        assert (x.dtype, tg.result_type(x, dtype)) == (dtype, dtype)
        assert tg.isdtype(dtype, name)
        floats = tg.isdtype(dtype, ("real floating", "complex floating"))
        for ask, allowed in ((tg.finfo, floats), (tg.iinfo, tg.isdtype(dtype, "integral"))):
            if not allowed:
                with pytest.raises(DTypeError, match=name):
                    ask(dtype)
            else:
                assert ask(x) == ask(dtype) == ask(name)
                assert all(type(part) in (int, float) for part in ask(x)[:-1])
    assert (tg.finfo("complex64").dtype, tg.iinfo("uint8").max) == (tg.float32, 255)
    assert tg.can_cast("int8", tg.int16)
    assert not tg.can_cast(tg.ones(1), "int64")
    assert tg.finfo(np.float32) == tg.finfo("float32")
    for wrong in (None, 3.5, "integer", ("integral", None)):
        with pytest.raises((ArgumentError, DTypeError), match="isdtype: expected"):
            tg.isdtype("float64", wrong)
    with pytest.raises(ArgumentError, match="integral"):
        tg.isdtype("int8", "integer")
    with pytest.raises(DTypeError, match="expected dtype to be a dtype"):
        tg.finfo("nothing")
    with pytest.raises(ShapeError, match="broadcast"):
        tg.broadcast_shapes((2,), (3,))


@given(data=st.data())
def test_hypothesis_draws_tensors(data):
    xps = make_strategies_namespace(tg, api_version="2024.12")  # the newest that all versions of Hypothesis know
    x = data.draw(xps.arrays(data.draw(xps.scalar_dtypes()), xps.array_shapes()))
    assert type(x) is tg.Tensor
    index = data.draw(xps.indices(x.shape))
    np.testing.assert_array_equal(x[index].numpy(), x.numpy()[index])
    np.testing.assert_array_equal(tg.sort(x, descending=True).numpy(), tg.take_along_axis(
        x, tg.argsort(x, descending=True)
    ).numpy())  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Special cases

NAN, INF = math.nan, math.inf
CASES = [
    *((name, (NAN,), NAN) for name in ("acos", "exp", "expm1", "log", "sign", "sqrt", "tanh", "trunc", "round")),
    ("acosh", (1.0,), 0.0), ("acosh", (0.5,), NAN), ("asinh", (-0.0,), -0.0), ("atan", (INF,), math.pi / 2),
    ("atan2", (0.0, -0.0), math.pi), ("atan2", (-0.0, 0.0), -0.0), ("atanh", (1.0,), INF), ("ceil", (-0.5,), -0.0),
    ("copysign", (NAN, -1.0), NAN), ("divide", (-0.0, 1.0), -0.0), ("divide", (1.0, -0.0), -INF),
    ("expm1", (-0.0,), -0.0),
    ("hypot", (INF, NAN), INF), ("log", (0.0,), -INF), ("log", (-1.0,), NAN), ("maximum", (1.0, NAN), NAN),
    ("nextafter", (0.0, -0.0), -0.0), ("pow", (NAN, 0.0), 1.0), ("pow", (1.0, NAN), 1.0), ("pow", (-0.0, -1.0), -INF),
    ("remainder", (-0.0, 1.0), 0.0), ("remainder", (-1.0, INF), INF), ("round", (2.5,), 2.0), ("round", (-0.5,), -0.0),
    ("sign", (-0.0,), 0.0), ("signbit", (-0.0,), True), ("signbit", (math.copysign(NAN, -1),), True),
    ("sqrt", (-0.0,), -0.0),
    ("tanh", (-INF,), -1.0), ("logaddexp", (-INF, -INF), -INF), ("positive", (-0.0,), -0.0), ("square", (-INF,), INF),
    ("sum", ((),), 0.0), ("prod", ((),), 1.0), ("mean", ((NAN, 1.0),), NAN), ("max", ((1.0, NAN),), NAN),
    ("any", ((),), False), ("all", ((),), True), ("sign", (-2j,), -1j), ("sign", (0j,), 0j),
    ("sign", (complex(-0.0, -0.0),), 0j), ("vecdot", ((1j, 2.0), (1j, 1.0)), 3 + 0j),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("name", "arguments", "want"), CASES)
def test_special_cases(name, arguments, want):
    got = getattr(tg, name)(*map(tg.asarray, arguments))
    assert isinstance(got, tg.Tensor)
    np.testing.assert_array_equal(got.numpy(), want)
    parts = (np.real, np.imag) if isinstance(want, complex) else (np.asarray,)
    for part in parts:
        if not np.isnan(part(want)):
            assert np.signbit(part(got.numpy())) == np.signbit(part(want))


def test_vecdot_takes_the_axis_of_each_argument():
    a, b = np.arange(6.0).reshape(3, 2) + 1j, np.arange(24.0).reshape(4, 3, 2)
    np.testing.assert_allclose(tg.vecdot(a, b, axis=-2), np.einsum("ij,kij->kj", a.conj(), b))
    assert tg.vecdot(tg.ones(3, dtype="uint8"), tg.ones(3, dtype="uint8")).dtype == tg.uint8
    for x1, x2 in ((np.ones(3), np.ones(1)), (np.ones((2, 3)), np.ones(2)), (np.ones(2), np.float64(1.0))):
        with pytest.raises(ShapeError, match="vecdot"):
            tg.vecdot(x1, x2)


def test_unique_and_places():
    x = tg.asarray([[3.0, NAN], [1.0, 3.0]])
    parts = tg.unique_all(x)
    np.testing.assert_array_equal(parts.values.numpy(), [1.0, 3.0, NAN])
    assert parts.counts.tolist() == [1, 2, 1]
    assert parts.inverse_indices.shape == x.shape
    assert [part.tolist() for part in tg.nonzero(x - 3.0)] == [[0, 1], [1, 0]]
    assert tg.isin(x, tg.asarray([3.0]), invert=True).tolist() == [[False, True], [True, False]]


def test_copies_as_they_are_asked_for():
    array = np.ones((2, 3))
    x = tg.asarray(array)
    assert tg.asarray(x) is x
    for made, shared in (
        (tg.asarray(array), True), (tg.asarray(array, copy=False), True), (tg.asarray(array, copy=True), False),
        (tg.asarray(x, copy=True), False), (tg.reshape(x, (3, 2), copy=False), True),
        (tg.reshape(x, (3, 2), copy=True), False), (tg.astype(x, tg.float64), False),
        (tg.astype(x, tg.float64, copy=False), True), (tg.from_dlpack(array), True),
        (tg.from_dlpack(x, copy=True), False),
    ):  # fmt: skip
        assert np.may_share_memory(made.numpy(), array) == shared
    for refused in (
        lambda: tg.asarray([1.0], copy=False), lambda: tg.asarray(array, dtype="int8", copy=False),
        lambda: tg.reshape(x.T, (6,), copy=False),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="copy"):
            refused()


# ------------------------------------------------------------------------------------------------------------------
# Memory that others write to, and assignment


@pytest.mark.parametrize("into", [tg.from_dlpack, tg.asarray, tg.Tensor])
def test_a_write_through_an_alias_is_noticed(into):
    array = np.array([1.0, 2.0])
    x, w = into(array), tg.Tensor([1.0, 1.0], requires_grad=True)
    late = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # before, NumPy gave read-only aliases
    for alias in (lambda: array, *([lambda: np.from_dlpack(x)] if late else [])):
        y = (x * w).sum()
        written = alias()
        written += 1.0
        with pytest.raises(MutationError):
            y.backward()
    with pytest.raises(GraphError, match="gradient would be lost"):
        np.from_dlpack(x * w)


def assigned(x, index, value):
    x[index] = value
    return x


@pytest.mark.parametrize("index", [1, -1, slice(None, None, 2), [2, 0], np.array([True, False, True]), Ellipsis])
def test_assignment_to_what_nobody_else_sees_is_recorded(index):
    """As NumPy assigns, with the gradients of `set_at`."""
    x, v = np.array([1.0, 2.0, 3.0]), 5.0

    def f(x, v):
        y = assigned(tg.exp(x * 2), index, v)  # exp keeps its result for its own rule
        return (y * y).sum()

    assert assigned(tg.asarray(x, copy=True), index, v).tolist() == assigned(x.copy(), index, v).tolist()
    got = tg.grad(f, argnums=(0, 1))(x, np.array(v))
    want = tg.grad(lambda x, v: (tg.set_at(tg.exp(x * 2), index, v) ** 2).sum(), argnums=(0, 1))(x, np.array(v))
    assert [g.tolist() for g in got] == [g.tolist() for g in want]


def test_assignment_is_refused_where_others_see_the_memory():
    made = tg.zeros(4)
    view, array, w = made[:2], np.zeros(2), tg.Tensor([1.0, 2.0], requires_grad=True)
    followed = w * 2
    square = (followed * followed).sum()
    leaf = tg.Tensor([1.0], requires_grad=True)
    for shared in (made, view, tg.asarray(array), followed, leaf):
        before = shared.tolist()
        with pytest.raises(DTypeError, match=r"set_at\(x, index, value\)"):
            shared[0] = 1.0
        assert shared.tolist() == before
    with pytest.raises(GraphError, match="copy"):
        leaf[0] = 1.0
    del view, square
    assert assigned(made, 0, 1.0).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert assigned(followed, 0, 1.0).tolist() == [1.0, 4.0]


def test_assignment_in_a_compiled_step():
    step = tg.compile(lambda x: assigned(x * 2, 0, x[1]))
    for k in range(3):
        assert step(np.array([1.0, 2.0 + k])).tolist() == [2.0 + k, 4.0 + 2 * k]
    assert len(step.plans) == 1


X = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
_BESIDE = {  # arguments before the axis, where they are not X for each that is needed
    "argpartition": (X, 1), "array_split": (X, 1), "compress": ([True, False], X), "concat": ([X, X],),
    "delete": (X, 0), "insert": (X, 0, 1.0), "nanquantile": (X, 0.5), "partition": (X, 1), "quantile": (X, 0.5),
    "repeat": (X, 2), "roll": (X, 1), "split": (X, 1), "stack": ([X, X],), "take": (X, [0]),
}  # fmt: skip


def of_an_axis(namespace, where):
    """The functions with an argument `axis`, with the arguments before it."""
    for name in namespace.__all__:
        function = getattr(namespace, name)
        parameters = inspect.signature(function).parameters if inspect.isfunction(function) else {}
        if "axis" in parameters and name not in ("apply_along_axis", "sliding_window_view"):  # with axes further on
            needed = [p for p in parameters.values() if p.default is p.empty and p.name != "axis"]
            yield pytest.param(function, _BESIDE.get(name, (X,) * len(needed)), id=f"{where}{name}")


@pytest.mark.parametrize(("function", "given"), [*of_an_axis(tg, ""), *of_an_axis(tg.fft, "fft.")])
def test_an_axis_that_is_not_there_is_an_error_of_both_kinds(function, given):
    for axis in (5, -4):
        with pytest.raises(AxisError, match="out of bounds") as caught:
            function(*given, axis=axis)
        assert isinstance(caught.value, IndexError)
        assert isinstance(caught.value, ValueError)
