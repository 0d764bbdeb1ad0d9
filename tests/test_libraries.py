"""Other people's code runs on tensors, and arrays of other libraries come in and go out, where these are installed."""

import datetime
import importlib
import inspect
import subprocess
import sys

import numpy as np
import pytest
from test_array_api import FUNCTIONS, found

import tinygrad_conv as tg
from tinygrad_conv.errors import DTypeError, GraphError, MutationError, TinygradConvError

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
RNG = np.random.default_rng(3)
A, B, V, W = RNG.normal(size=(4, 5)), RNG.normal(size=(4, 5)), RNG.normal(size=5), RNG.normal(size=7)


def library(name):
    return pytest.importorskip(name)


def numbers(result):
    """The numbers of a result, as one vector."""
    parts = result if isinstance(result, (tuple, list)) else [result]
    return np.concatenate([np.ravel(p.numpy() if isinstance(p, tg.Tensor) else p).astype(complex) for p in parts])


def held_to_numpy(call, *arrays, gradient=True):
    """A call gives on tensors what it gives on arrays, and derivatives that numeric ones confirm."""
    want = numbers(call(*arrays))
    np.testing.assert_allclose(numbers(call(*map(tg.Tensor, arrays))), want, rtol=1e-9, atol=1e-12)
    if gradient:
        weight = np.random.default_rng(0).normal(size=want.size)
        xs = [tg.Tensor(a, requires_grad=True) for a in arrays]
        results = call(*xs)
        results = results if isinstance(results, (tuple, list)) else [results]
        flat = tg.concat([tg.real(r).reshape(-1) for r in results])
        (flat * weight).sum().backward()
        for k, x in enumerate(xs):
            step = np.random.default_rng(k).normal(size=x.shape)
            moved = [[a + h * step if k == i else a for i, a in enumerate(arrays)] for h in (1e-6, -1e-6)]
            slope = (numbers(call(*moved[0])) - numbers(call(*moved[1]))).real @ weight / 2e-6
            got = 0.0 if x.grad is None else (x.grad.numpy() * step).sum()
            np.testing.assert_allclose(got, slope, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------------
# The Array API's own


def test_names_and_signatures_are_those_of_array_api_strict():
    strict = library("array_api_strict")
    places = {"": strict, "linalg.": strict.linalg, "fft.": strict.fft}
    walked = 0
    for where, module in places.items():
        for name in module.__all__:
            theirs = getattr(module, name)
            if not inspect.isfunction(theirs) or "strict" in name.lower():
                continue
            ours = list(inspect.signature(found(where + name)).parameters.values())
            for k, p in enumerate(inspect.signature(theirs).parameters.values()):
                if p.kind is p.POSITIONAL_OR_KEYWORD:
                    assert ours[k].name == p.name, f"{where}{name}"
                elif p.kind is p.KEYWORD_ONLY:
                    assert p.name in {q.name for q in ours}, f"{where}{name}"
                elif p.kind is p.POSITIONAL_ONLY:
                    assert ours[k].kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD), f"{where}{name}"
            walked += 1
            assert where + name in {entry.partition(":")[0] for entry in FUNCTIONS} | {"__array_namespace_info__"}
    assert walked > 150


def test_array_api_compat_knows_tensors():
    compat = library("array_api_compat")
    x = tg.Tensor(A, requires_grad=True)
    assert compat.array_namespace(x, x.detach()) is tg
    assert compat.is_array_api_obj(x)
    assert (compat.size(x), compat.device(x), compat.to_device(x, "cpu")) == (20, "cpu", x)


EXTRA = {
    "atleast_nd": lambda x, a, b: x.atleast_nd(a, ndim=3), "cov": lambda x, a, b: x.cov(a),
    "kron": lambda x, a, b: x.kron(a, b), "create_diagonal": lambda x, a, b: x.create_diagonal(a[0]),
    "expand_dims": lambda x, a, b: x.expand_dims(a, axis=(0, 2)), "pad": lambda x, a, b: x.pad(a, 1),
    "sinc": lambda x, a, b: x.sinc(a), "isclose": lambda x, a, b: x.isclose(a, b),
    "nunique": lambda x, a, b: x.nunique(a), "partition": lambda x, a, b: x.partition(a[0], 2),
    "at set": lambda x, a, b: x.at(a * 1, (slice(None), 1)).set(b[:, 0]),
    "at add": lambda x, a, b: x.at(a, 0).add(b[0], copy=True),
    "at mask": lambda x, a, b: x.at(a * 2, a > 0).multiply(3.0),
    "apply_where": lambda x, a, b: x.apply_where(a > 0, (a, b), lambda p, q: p * q, lambda p, q: p - q),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_array_api_extra(name):
    xpx = library("array_api_extra")
    held_to_numpy(lambda a, b: EXTRA[name](xpx, a, b), A, B, gradient=name not in ("isclose", "nunique"))


def test_assignment_stays_refused_where_others_would_see_it():
    xpx, scipy = library("array_api_extra"), library("scipy.special")
    x = tg.Tensor(V, requires_grad=True)
    with pytest.raises(GraphError, match="copy"):
        xpx.at(x, 0).set(1.0)
    np.testing.assert_array_equal(x.numpy(), V)
    with pytest.raises(DTypeError, match="graph"):  # it assigns to an array of which it took the maximum
        scipy.logsumexp(x, b=tg.Tensor(V))


# ------------------------------------------------------------------------------------------------------------------
# einops, SciPy, scikit-learn


@pytest.mark.parametrize("call", [
    lambda e, a, b: e.rearrange(a, "(h k) w -> w k h", k=2), lambda e, a, b: e.reduce(a, "h w -> w", "mean"),
    lambda e, a, b: e.reduce(a, "(h k) w -> h", "max", k=2), lambda e, a, b: e.repeat(a, "h w -> h (w c)", c=3),
    lambda e, a, b: e.einsum(a, b, "h w, k w -> h k"), lambda e, a, b: e.rearrange([a, b], "n h w -> h (n w)"),
    lambda e, a, b: e.pack([a, b], "* w")[0], lambda e, a, b: e.unpack(a, [[2], [3]], "h *"),
    lambda e, a, b: e.reduce(a, "h w -> ", "prod"), lambda e, a, b: e.asnumpy(a) * 0 + 1,
])  # fmt: skip
def test_einops(call):
    einops = library("einops")
    held_to_numpy(lambda a, b: call(einops, a, b), A, B, gradient="asnumpy" not in call.__code__.co_names)


@pytest.mark.parametrize("imports", ["import einops, tinygrad_conv as tg", "import tinygrad_conv as tg, einops"])
def test_einops_may_be_imported_before_or_after(imports):
    library("einops")
    program = f"{imports}; import gc; gc.collect(); print(einops.rearrange(tg.ones((2, 3)), 'a b -> b a').shape)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "(3, 2)\n"


SCIPY = {
    "logsumexp": lambda s, a, b: s.special.logsumexp(a, axis=1), "fft": lambda s, a, b: s.fft.fft(a, axis=0),
    "softmax": lambda s, a, b: s.special.softmax(a, axis=0),
    "logsumexp with factors": lambda s, a, b: s.special.logsumexp(a, axis=0, b=b**2, keepdims=True),
    "log_softmax": lambda s, a, b: s.special.log_softmax(a, axis=1), "xlogy": lambda s, a, b: s.special.xlogy(a, b * b),
    "convolve": lambda s, a, b: s.signal.convolve(a, b[:2, :3], method="fft"),
    "fftconvolve": lambda s, a, b: s.signal.fftconvolve(a, b, mode="same", axes=1),
    "trapezoid": lambda s, a, b: s.integrate.trapezoid(a), "zscore": lambda s, a, b: s.stats.zscore(a, axis=1),
    "cumulative_trapezoid": lambda s, a, b: s.integrate.cumulative_trapezoid(a, axis=0),
    "gmean": lambda s, a, b: s.stats.gmean(a * a), "kurtosis": lambda s, a, b: s.stats.kurtosis(a, axis=1),
    "rosen": lambda s, a, b: s.optimize.rosen(a[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCIPY)
def test_scipy(name):
    scipy = library("scipy")
    for part in ("fft", "integrate", "optimize", "signal", "special", "stats"):
        importlib.import_module(f"scipy.{part}")
    held_to_numpy(lambda a, b: SCIPY[name](scipy, a, b), A, B, gradient=name != "logsumexp with factors")


def test_scipys_compiled_code_is_refused_where_a_gradient_would_be_lost():
    signal = library("scipy.signal")
    np.testing.assert_allclose(signal.convolve(tg.Tensor(V), tg.Tensor(W)).numpy(), np.convolve(V, W))
    with pytest.raises(GraphError, match="gradient would be lost"):
        signal.convolve(tg.Tensor(V, requires_grad=True), tg.Tensor(W), method="direct")


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("method", ["BFGS", "CG", "TNC", "L-BFGS-B", "SLSQP"])
def test_scipy_minimizes_with_our_gradients(method):
    optimize = library("scipy.optimize")
    both = tg.value_and_grad(rosenbrock)
    if method in ("L-BFGS-B", "SLSQP"):  # in compiled code, which takes arrays alone
        found = optimize.minimize(lambda x: [y.numpy() for y in both(x)], np.zeros(3), jac=True, method=method)
    else:
        found = optimize.minimize(both, np.zeros(3), jac=True, method=method)
    np.testing.assert_allclose(np.asarray(found.x), 1, atol=5e-3)
    assert found.nit < 100


SKLEARN = {
    "standard": lambda sk, x, y, c: sk("preprocessing.StandardScaler")().fit_transform(x),
    "minmax": lambda sk, x, y, c: sk("preprocessing.MinMaxScaler")().fit_transform(x),
    "norm": lambda sk, x, y, c: sk("preprocessing.Normalizer")().fit_transform(x),
    "poly": lambda sk, x, y, c: sk("preprocessing.PolynomialFeatures")(2).fit_transform(x),
    "pca": lambda sk, x, y, c: sk("decomposition.PCA")(2, svd_solver="full").fit(x).explained_variance_,
    "ridge": lambda sk, x, y, c: sk("linear_model.Ridge")(solver="svd").fit(x, y).predict(x),
    "lda": lambda sk, x, y, c: sk("discriminant_analysis.LinearDiscriminantAnalysis")().fit(x, c).decision_function(x),
    "r2": lambda sk, x, y, c: sk("metrics.r2_score")(y, x[:, 0]),
    "kernel": lambda sk, x, y, c: sk("metrics.pairwise.rbf_kernel")(x),
    "cosine": lambda sk, x, y, c: sk("metrics.pairwise.cosine_similarity")(x),
    "confusion": lambda sk, x, y, c: sk("metrics.confusion_matrix")(c, c),
    "pipeline": lambda sk, x, y, c: sk("pipeline.make_pipeline")(
        sk("preprocessing.StandardScaler")(), sk("linear_model.Ridge")(solver="svd")
    ).fit(x, y).predict(x),
    "scores": lambda sk, x, y, c: sk("model_selection.cross_val_score")(
        sk("linear_model.Ridge")(solver="svd"), x, y, cv=3
    ),
}  # fmt: skip
DIFFERENTIABLE = {"kernel"}


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn(name):
    sklearn = library("sklearn")

    def part(path):
        module, _, what = path.rpartition(".")
        return getattr(importlib.import_module(f"sklearn.{module}"), what)

    x = RNG.normal(size=(30, 4))
    y = x @ [1.0, -2.0, 0.5, 0.0] + 0.1 * np.cos(np.arange(30))
    with sklearn.config_context(array_api_dispatch=True):
        of_tensors = SKLEARN[name](part, tg.Tensor(x), tg.Tensor(y), tg.Tensor((y > 0).astype(int)))
        assert isinstance(of_tensors, (tg.Tensor, float)) or name == "scores"
        want = SKLEARN[name](part, x, y, (y > 0).astype(int))
        np.testing.assert_allclose(numbers(of_tensors), numbers(want), rtol=1e-7, atol=1e-9)
        if name in DIFFERENTIABLE:
            held_to_numpy(lambda x: SKLEARN[name](part, x, y, None), x)


# ------------------------------------------------------------------------------------------------------------------
# Arrays in and out

INTO = [tg.Tensor, tg.asarray, tg.from_dlpack]


@pytest.mark.parametrize("into", INTO)
def test_torch_shares_memory_both_ways_and_its_writes_are_noticed(into):
    torch = library("torch")
    array = torch.arange(6.0).reshape(2, 3).T
    x = into(array)
    assert (x.dtype, x.shape) == (tg.float32, (3, 2))
    array[0, 1] = 9.0
    assert x[0, 1].item() == 9.0
    back = torch.from_dlpack(x)
    assert back.data_ptr() == array.data_ptr()
    w = tg.Tensor(np.ones((3, 2), "float32"), requires_grad=True)
    for write in (array, back):
        y = (x * w).sum()
        write.add_(1)
        with pytest.raises(MutationError, match="changed in place"):
            y.backward()
    y = (x * w).sum()
    y.backward()
    np.testing.assert_array_equal(w.grad.numpy(), array.numpy())


def test_a_copy_of_torchs_memory_is_ours():
    torch = library("torch")
    array = torch.ones(2)
    copies = [into(array, copy=True) for into in (tg.asarray, tg.from_dlpack)]
    shared = tg.asarray(array, copy=False)
    array[0] = 5.0
    assert [x.tolist() for x in (*copies, shared)] == [[1.0, 1.0], [1.0, 1.0], [5.0, 1.0]]


def test_an_alias_that_torch_gets_late_is_noticed():
    torch = library("torch")
    w = tg.Tensor([1.0, 1.0], requires_grad=True)
    x = tg.Tensor([1.0, 2.0]) * 3
    y = (x * w).sum()
    torch.from_dlpack(x).mul_(2)
    with pytest.raises(MutationError):
        y.backward()
    with pytest.raises(GraphError, match="gradient would be lost"):
        torch.from_dlpack(x * w)


@pytest.mark.parametrize("into", INTO)
def test_what_torch_does_not_give_away_is_refused(into):
    torch = library("torch")
    for array in (
        torch.ones(2, requires_grad=True), torch.nn.Parameter(torch.ones(2)), torch.ones(2, dtype=torch.bfloat16),
        torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.ones(2, dtype=torch.complex64).conj(),
    ):  # fmt: skip
        with pytest.raises(TinygradConvError):
            into(array)
    for dtype in ("float16", "float64", "int8", "int64", "bool", "complex64"):
        assert into(torch.ones(2, dtype=getattr(torch, dtype))).dtype == dtype


@pytest.mark.parametrize("into", INTO)
def test_jax_shares_memory_both_ways(into):
    jax = library("jax")
    array = jax.numpy.arange(6.0).reshape(2, 3)
    x = into(array)
    assert x.dtype == array.dtype
    assert np.shares_memory(x.numpy(), np.asarray(array))
    w = tg.Tensor(np.asarray(array), requires_grad=True)
    (w * x).sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.asarray(array))
    np.testing.assert_array_equal(np.asarray(jax.numpy.from_dlpack(w.grad)), np.asarray(array))
    with pytest.raises(TinygradConvError):
        jax.grad(lambda a: into(a).sum())(array)


CONVERTED = {
    "pandas": {
        "floats": lambda pd: pd.Series([1.0, None]), "ints": lambda pd: pd.Series([1, 2]),
        "index": lambda pd: pd.RangeIndex(3), "nullable": lambda pd: pd.Series([1, None], dtype="Int64"),
        "frame": lambda pd: pd.DataFrame({"a": [1.0], "b": [2]}),
        "bools": lambda pd: pd.Series([True, False]), "numbered": lambda pd: pd.Series([1, 2], dtype="category"),
    },
    "polars": {
        "floats": lambda pl: pl.Series([1.0, None]), "ints": lambda pl: pl.Series([1, 2]),
        "frame": lambda pl: pl.DataFrame({"a": [1.0, 3.0], "b": [2, 4]}), "bools": lambda pl: pl.Series([True, False]),
        "arrays": lambda pl: pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float64, 2)),
    },
    "PIL.Image": {
        mode: lambda im, mode=mode: im.fromarray(np.arange(12, dtype="uint8").reshape(2, 2, 3)).convert(mode)
        for mode in ("RGB", "L", "RGBA", "LA", "F", "1", "I;16", "CMYK")
    },
}  # fmt: skip
REFUSED = {
    "pandas": {
        "text": lambda pd: pd.Series(["a"]), "dates": lambda pd: pd.Series(pd.to_datetime(["2020-01-01"])),
        "mixed": lambda pd: pd.DataFrame({"a": [1.0], "b": ["x"]}),
        "names": lambda pd: pd.Series(["a"], dtype="category"),
        "truths with gaps": lambda pd: pd.Series([True, None], dtype="boolean"),
    },
    "polars": {
        "text": lambda pl: pl.Series(["a"]), "dates": lambda pl: pl.Series([datetime.date(2020, 1, 1)]),
        "mixed": lambda pl: pl.DataFrame({"a": [1.0], "b": ["x"]}), "lists": lambda pl: pl.Series([[1.0], [2.0, 3.0]]),
        "truths with gaps": lambda pl: pl.Series([True, None]), "lazy": lambda pl: pl.LazyFrame({"a": [1.0]}),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in CONVERTED for kind in CONVERTED[name]])
def test_columns_and_images_become_tensors(name, kind):
    data = CONVERTED[name][kind](library(name))
    want = np.asarray(data)
    for x in (tg.Tensor(data), tg.asarray(data), tg.Tensor([data, data])[0]):
        assert x.dtype == want.dtype
        np.testing.assert_array_equal(x.numpy(), want)
    assert tg.Tensor(data, dtype="float32").dtype == tg.float32


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in REFUSED for kind in REFUSED[name]])
def test_what_holds_no_numbers_is_refused_by_name(name, kind):
    data = REFUSED[name][kind](library(name))
    with pytest.raises(DTypeError, match=rf"Tensor: expected numbers, got dtype .* from (a|{type(data).__name__})"):
        tg.Tensor(data)


def test_a_column_that_is_written_to_is_noticed():
    pandas = library("pandas")
    column, w = pandas.Series([1.0, 2.0]), tg.Tensor([1.0, 1.0], requires_grad=True)
    y = (tg.Tensor(column) * w).sum()
    column[0] = 5.0
    if np.shares_memory(column.to_numpy(), tg.Tensor(column).numpy()):
        with pytest.raises(MutationError):
            y.backward()
