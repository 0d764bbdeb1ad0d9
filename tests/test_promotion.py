"""Dtypes: integers in functions of floats, sums of float16, and the edges of variances and bounds."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import DTypeError

INTEGERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
NUMPYS = {  # of floats, elementwise; NumPy's name where it is another
    "acos": "arccos", "asin": "arcsin", "atan": "arctan", "cos": "", "cosh": "", "exp": "", "expm1": "", "log": "",
    "log10": "", "log1p": "", "log2": "", "sin": "", "sinh": "", "sqrt": "", "tan": "", "tanh": "",
}  # fmt: skip
OURS = ["gelu", "hard_sigmoid", "mish", "sigmoid", "silu", "softplus", "softsign"]
REDUCTIONS = ["mean", "var", "std"]
LIKE_MEAN = ["softmax", "log_softmax", "logsumexp"]


def numbers(dtype, rng):
    """Also the largest and the smallest, where products and absolute values of that dtype run over."""
    if dtype == "bool":
        return rng.random(7) < 0.5
    info = np.iinfo(dtype)
    x = rng.integers(max(info.min, -100), min(info.max, 100), 7).astype(dtype)
    x[:2] = info.min, info.max
    return x


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", NUMPYS)
def test_functions_of_integers_promote_as_numpys(name, dtype, rng):
    x = numbers(dtype, rng)
    with np.errstate(all="ignore"):
        expected = getattr(np, NUMPYS[name] or name)(x)
        for y in (getattr(tg, name)(tg.Tensor(x)).numpy(), getattr(tg, name)(x)):
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", OURS)
def test_activations_of_integers_promote_as_exp_does(name, dtype, rng):
    x = numbers(dtype, rng)
    f = getattr(tg, name)
    with np.errstate(all="ignore"):
        expected, y = f(x.astype("float64")), f(tg.Tensor(x)).numpy()
        assert y.dtype == np.exp(x).dtype
        limit = np.finfo(y.dtype)
        np.testing.assert_allclose(y.astype(float), expected.astype(y.dtype).astype(float), rtol=8 * float(limit.eps),
                                   atol=float(limit.tiny))  # fmt: skip


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", REDUCTIONS + LIKE_MEAN)
def test_reductions_of_integers_are_float64(name, dtype, rng):
    x = numbers(dtype, rng).reshape(1, 7)
    for axis in (0, 1, -1):
        expected = getattr(tg, name)(x.astype("float64"), axis=axis)
        for y in (getattr(tg, name)(tg.Tensor(x), axis=axis).numpy(), getattr(tg, name)(x, axis=axis)):
            assert y.dtype == np.float64
            np.testing.assert_allclose(y, expected, rtol=1e-14)
            if name in REDUCTIONS:
                np.testing.assert_allclose(y, getattr(np, name)(x, axis=axis), rtol=1e-14)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_products_norms_and_averages_of_integers(dtype, rng):
    x = numbers(dtype, rng)[2:]
    product = tg.prod(tg.Tensor(x))
    assert (product.dtype, product.item()) == (np.prod(x).dtype, np.prod(x))
    assert tg.linalg_norm(tg.Tensor(x)).item() == pytest.approx(np.linalg.norm(x))
    image = np.tile(numbers(dtype, rng)[:4].reshape(1, 2, 2, 1), (1, 2, 2, 1))
    y = tg.avg_pool2d(tg.Tensor(image), 2)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.numpy()[0, 0, 0], image[0, :2, :2].mean(axis=(0, 1)))


def test_softmax_of_lists_and_bools():
    np.testing.assert_allclose(tg.softmax(tg.Tensor([True, False])), np.exp([1, 0]) / np.exp([1, 0]).sum())
    assert tg.logsumexp([1, 2]).dtype == np.float64
    assert tg.softmax_cross_entropy(tg.Tensor([[1, 2]]), [0]).item() == pytest.approx(np.log(1 + np.e))
    assert tg.logsumexp(0.0) == 0


@pytest.mark.parametrize("f", [tg.mse, tg.mae, tg.huber, tg.binary_cross_entropy])
def test_losses_of_plain_numbers_are_computed_in_float64(f):
    assert f(0.7, np.array(0.41)).item() == pytest.approx(f(np.array(0.7), 0.41).item(), rel=1e-14)


def test_plain_numbers_without_nan():
    assert (tg.nanmean(0.5).item(), tg.nanvar(3).item(), tg.nanstd([1, 3]).item()) == (0.5, 0, 1)


# ---------------------------------------------------------------------------------------------------------------
# float16

HALF = {
    "mean": lambda x: tg.mean(x),
    "mean of rows": lambda x: tg.mean(x, axis=0, keepdims=True),
    "var": lambda x: tg.var(x),
    "std": lambda x: tg.std(x, axis=0),
    "softmax": lambda x: tg.softmax(x, axis=0),
    "log_softmax": lambda x: tg.log_softmax(x, axis=0),
    "logsumexp": lambda x: tg.logsumexp(x, axis=0),
    "mse": lambda x: tg.mse(x, np.float16(100) * np.ones(x.shape, "float16")),
    "standardize": lambda x: tg.standardize(x, 0),
    "layer_norm": lambda x: tg.layer_norm(tg.reshape(x, (2, -1))),
    "batch_norm": lambda x: tg.batch_norm(x)[0],
    "group_norm": lambda x: tg.group_norm(tg.reshape(x, (2, -1, 4)), groups=2),
    "global_avg_pool": lambda x: tg.global_avg_pool(tg.reshape(x, (2, -1, 4))),
    "avg_pool": lambda x: tg.avg_pool1d(tg.reshape(x, (2, -1, 4)), 9000),
}


@pytest.mark.parametrize("name", HALF)
def test_float16_is_added_up_in_float32(name):
    """Sums of 80,000 numbers about 100, which float16 cannot hold; results and gradients are those of float64."""
    values = (100 + np.random.default_rng(0).normal(size=(80_000, 1)) * 30).astype("float16")
    half, full = tg.Tensor(values, requires_grad=True), tg.Tensor(values.astype("float64"), requires_grad=True)
    y, expected = HALF[name](half), HALF[name](full)
    assert y.dtype == np.float16
    scale = np.abs(expected.numpy()).max()
    np.testing.assert_allclose(y.numpy().astype(float) / scale, expected.numpy() / scale, rtol=2e-3, atol=1e-4)
    g = np.random.default_rng(1).normal(size=y.shape).astype("float16")
    y.backward(g)
    expected.backward(g)
    assert half.grad.dtype == np.float16
    size = np.abs(full.grad.numpy()).max()
    if size > 1e-6:  # else float16 has no digits for it
        np.testing.assert_allclose(half.grad.numpy() / size, full.grad.numpy() / size, rtol=1e-2, atol=5e-3)


@given(st.integers(1, 50), st.integers(0, 2**16))
def test_the_mean_of_float16_is_numpys_to_the_bit(n, seed):
    x = (np.random.default_rng(seed).normal(size=(3, n)) * 1000).astype("float16")
    for axis in (None, 0, 1):
        assert np.asarray(tg.mean(x, axis=axis)).tobytes() == np.asarray(np.mean(x, axis=axis)).tobytes()


# ---------------------------------------------------------------------------------------------------------------
# Nothing left to divide by


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize(("n", "ddof"), [(1, 1), (2, 2), (2, 3), (3, 3.5), (0, 0)])
def test_no_degrees_of_freedom(name, n, ddof):
    values = np.arange(n) * 2.0 + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(np, name)(values, ddof=ddof)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        np.testing.assert_array_equal(getattr(tg, name)(tg.Tensor(values), ddof=ddof), expected)
    x = tg.Tensor(values, requires_grad=True)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(x, name)(ddof=ddof).backward()
    assert not np.isfinite(x.grad.numpy()).any()
    assert np.isnan(x.grad.numpy()).all() or name == "var"


PLAIN = [0, 0.0, -0.0, 1, -1, 2.5, np.inf, -np.inf, np.nan, 1e308, 5e-324, 10**15, True]


@pytest.mark.parametrize("number", PLAIN)
@pytest.mark.parametrize("name", sorted(
    name for name, primitive in tg.primitives().items() if len(primitive.inputs) == 2 and (
        primitive.kind == "elementwise" or name in ("add", "subtract")
    )
))  # fmt: skip
def test_rules_take_the_plain_numbers_that_forward_takes(name, number):
    """Where NumPy gives an infinity or NaN, so does the gradient: the numbers are those of an array's."""
    primitive = tg.primitives()[name]
    values = np.array([0.0, -0.0, 1.5, -2.0, np.inf, np.nan])
    for k in range(2):
        grads = []
        for other in (number, np.full(6, float(number))):
            x = tg.Tensor(values, requires_grad=True)
            args = [x, other] if k == 0 else [other, x]
            with np.errstate(all="ignore"):
                y = primitive(*args)
                y.backward(np.ones(y.shape))
            grads.append(x.grad.numpy())
        np.testing.assert_array_equal(*grads)


def test_float32_stays_float32_beside_plain_numbers():
    x = tg.Tensor(np.ones(2, "float32"), requires_grad=True)
    for f in (lambda: x / 2, lambda: x / 0, lambda: 1 / x, lambda: x**2, lambda: tg.clip(x, 0, None)):
        with np.errstate(all="ignore"):
            y = f()
            x.zero_grad()
            y.sum().backward()
        assert y.dtype == x.grad.dtype == np.float32


# ---------------------------------------------------------------------------------------------------------------
# Casts


def test_complex_numbers_do_not_become_real_in_silence():
    for f in (
        lambda: tg.Tensor(np.array([1 + 2j]), dtype="float64"),
        lambda: tg.Tensor([1 + 2j], dtype="float32"),
        lambda: tg.Tensor([1 + 2j]).astype("float64"),
        lambda: tg.astype(np.array([1 + 2j]), "int64"),
        lambda: tg.Tensor([1.0], requires_grad=True).backward(np.array([1j])),
    ):
        with pytest.raises(DTypeError, match="complex"):
            f()
    assert tg.Tensor([1 + 2j, 0]).astype(bool).tolist() == [True, False]


DOORS = {
    "state": lambda p, v: one(p).load_state_dict({"p": v}),
    "data": lambda p, v: setattr(p, "data", v),
    "grad": lambda p, v: setattr(p, "grad", v),
    "optimizer": lambda p, v: tg.optim.SGD([p], 0.1, momentum=0.5).load_state_dict({"steps": 1, "0.velocity": v}),
}
LOST = {
    ("float32", "complex"): [1 + 2j, 0],
    ("float32", "above float32"): [1e300, 0],
    ("float32", "below float32"): [0, -1e39],
    ("float16", "above float16"): np.array([70000, 0]),
    ("float32", "strings"): np.array(["a", "b"]),
}


def one(parameter):
    module = tg.nn.Module()
    module.p = parameter
    return module


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", LOST, ids=" ".join)
def test_what_a_dtype_cannot_hold_is_refused_where_nobody_asked_for_a_conversion(door, case):
    p = tg.nn.Parameter(np.ones(2, case[0]))
    with pytest.raises(tg.errors.TinygradConvError, match=r"expected (values|numbers)"):
        DOORS[door](p, LOST[case])
    assert p.tolist() == [1, 1]
    assert p.grad is None


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", [[1, 2], [True, False], [0.1, 1e-300], [np.inf, np.nan], [2**24 + 1, 0]])
def test_rounding_is_no_loss(door, value):
    p = tg.nn.Parameter(np.ones(2, "float32"))
    DOORS[door](p, np.array(value))
    assert p.dtype == np.float32
    if door in ("state", "data"):
        np.testing.assert_array_equal(p.numpy(), np.array(value).astype("float32"))


@pytest.mark.parametrize(
    ("dtype", "value"), [("int8", 300), ("int8", 1.5), ("uint8", -1), ("int64", np.nan), ("bool", 2)]
)
def test_integers_hold_their_numbers_only(dtype, value):
    buffer = tg.nn.Buffer(np.ones(1, dtype))
    with pytest.raises(tg.errors.ArgumentError, match=f"expected values that {dtype} holds"):
        one(buffer).load_state_dict({"p": np.array([value])})
    one(buffer).load_state_dict({"p": np.array([1.0])})
    assert buffer.dtype == dtype


@given(seed=st.integers(0, 2**16), bounds=st.sampled_from(["low", "high", "both"]))
def test_the_bounds_of_clip_are_differentiated(seed, bounds):
    rng = np.random.default_rng(seed)
    x = rng.choice([-2.0, -1.0, 0.0, 1.0, 2.0], (3, 4))
    low, high = rng.choice([-1.0, 0.0, 1.0], (2, 4))
    given = {"low": (low, None), "high": (None, high), "both": (low, high)}[bounds]
    tensors = [b if b is None else tg.Tensor(b, requires_grad=True) for b in given]
    t = tg.Tensor(x, requires_grad=True)
    y = tg.clip(t, *tensors)
    np.testing.assert_array_equal(y, np.clip(x, *given))
    y.sum().backward()
    total = t.grad.numpy().sum(axis=0) + sum(b.grad.numpy() for b in tensors if b is not None)
    np.testing.assert_array_equal(total, np.full(4, 3.0))  # each result is exactly one of the three
    plain = tg.Tensor(x, requires_grad=True)
    tg.clip(plain, *given).sum().backward()
    if bounds != "both" or (low <= high).all():
        np.testing.assert_array_equal(plain.grad, t.grad)


# ---------------------------------------------------------------------------------------------------------------
# Output padding


def scattered(x, w, stride, padding, dilation, output_padding):
    """The transposed convolution along one axis, element by element: x (N, L, C_in), w (k, C_out, C_in)."""
    (images, n, _), (k, filters, _) = x.shape, w.shape
    out = (n - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1
    y = np.zeros((images, out + 2 * padding + dilation * k, filters))
    for i in range(n):
        for j in range(k):
            y[:, i * stride + j * dilation] += x[:, i] @ w[j].T
    return y[:, padding : padding + out]


@given(
    n=st.integers(1, 5), k=st.integers(1, 3), stride=st.integers(1, 3), dilation=st.integers(1, 4),
    padding=st.integers(0, 2), extra=st.integers(0, 4), seed=st.integers(0, 2**16),
    form=st.sampled_from(["plain", "auto"]),
)  # fmt: skip
def test_output_padding_below_the_stride_or_the_dilation(n, k, stride, dilation, padding, extra, seed, form):
    """PyTorch's rule. The sizes are its too, and the results are those of the definition."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, n, 3)), rng.normal(size=(k, 2, 3))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": extra}
    out = (n - 1) * stride - 2 * padding + dilation * (k - 1) + extra + 1
    with tg.use_kernels(form):
        if extra >= max(stride, dilation) or out < 1:
            with pytest.raises(tg.errors.TinygradConvError, match="output_padding"):
                tg.conv1d_transpose(x, w, **options)
            return
        leaves = [tg.Tensor(x, requires_grad=True), tg.Tensor(w, requires_grad=True)]
        y = tg.conv1d_transpose(*leaves, **options)
        np.testing.assert_allclose(y, scattered(x, w, **options), atol=1e-12)
        g = rng.normal(size=y.shape)
        y.backward(g)
        for leaf, moved in zip(leaves, ("x", "w"), strict=True):
            t = rng.normal(size=leaf.shape)
            along = scattered(**{"x": x, "w": w, moved: t}, **options)
            assert (leaf.grad.numpy() * t).sum() == pytest.approx((g * along).sum(), abs=1e-9)
        layer = tg.nn.Conv1DTranspose(2, k, **options)
        assert layer.output_shape((2, n, 3)) == layer(x.astype("float32")).shape == y.shape


@pytest.mark.parametrize("primitive", [
    p for p in tg.primitives().values() if p.kind == "elementwise" and len(p.inputs) > 1 and not any(p.nondiff)
], ids=str)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_a_derivative_is_not_computed_in_the_precision_of_another_input(primitive, dtype, rng):
    """Of a float64 and something smaller it is that of two float64, which hold the same numbers."""
    for k in range(len(primitive.inputs)):
        given = [rng.uniform(*ends, 5) for ends in primitive.domain]
        small = [x if j == k else (np.ceil(x) if dtype == "int8" else x).astype(dtype) for j, x in enumerate(given)]
        f = tg.grad(lambda *xs: tg.sum(primitive(*xs)), argnums=k)
        np.testing.assert_allclose(f(*small), f(*(x.astype(float) for x in small)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("char", "?bhilBHILefdFD")
def test_a_dtype_that_is_given_is_numpys_one_object(char):
    """Dtypes are compared by `is` first, wherever that has to be quick."""
    one = np.dtype(char)
    for spelled in (one, one.name, one.type, one.newbyteorder("="), one.newbyteorder(">")):
        assert tg.zeros(2, dtype=spelled).numpy().dtype is one
    if one.kind == "f":
        assert tg.nn.Dense(2, in_features=2, dtype=one.name).weight.numpy().dtype is one
