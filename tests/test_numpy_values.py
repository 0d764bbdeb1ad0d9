"""Operations under NumPy's names give NumPy's values and dtypes, and derivatives that differences confirm."""

import inspect
import os
import re
import sys

import image_cases  # noqa: F401 (adds to them)
import numpy as np
import pytest
from drawn import CALLS, POLYNOMIALS, Drawn
from numpy_cases import CASES, COMPOSITES

import tinygrad_conv as tg
from tinygrad_conv.ops import FAMILIES, overrides
from tinygrad_conv.testing import check_gradients

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def plain(value):
    return value.numpy() if isinstance(value, tg.Tensor) else np.asarray(value)


def single(args):
    return [a.astype(np.float32) if a.dtype.kind == "f" else a for a in args]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings(
    "ignore:(All-NaN|Mean of empty|Degrees of freedom|invalid value|divide by zero):RuntimeWarning"
)
def test_values_and_dtypes_are_those_of_numpy(name):
    for case in CASES[name]:
        expected = np.asarray(case.theirs(*case.args))
        for found in (case.ours(*map(tg.Tensor, case.args)), case.ours(*case.args)):
            np.testing.assert_allclose(plain(found), expected, rtol=1e-9, atol=1e-11, err_msg=case.name)
        args = single(case.args)
        assert plain(case.ours(*map(tg.Tensor, args))).dtype == np.asarray(case.theirs(*args)).dtype, case.name


def called_by_cases():
    """The functions of Python that run while the cases do."""
    codes = set()
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: codes.add(frame.f_code) if event == "call" else None)
    try:
        for case in (case for cases in CASES.values() for case in cases):
            case.ours(*map(tg.Tensor, case.args))
        for ours, _ in COMPOSITES.values():
            ours(tg.Tensor(np.ones((2, 3, 4))))
    finally:
        sys.setprofile(before)
    return codes


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_operation_has_a_case():
    """Every public function of every family but the primitives, which test_primitives holds to a reference each."""
    public = {name: getattr(family, name) for family in FAMILIES for name in family.__all__}
    composed = {name: f for name, f in public.items() if inspect.isroutine(f) and not hasattr(f, "primitive")}
    codes = called_by_cases()
    assert {name for name, f in composed.items() if inspect.unwrap(f).__code__ not in codes} == set()


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_differences(name):
    """By day, to second order for one case of each function: what it is made of is held to that by itself."""
    seen = set()
    for case in (case for case in CASES[name] if case.gradient):
        function = re.split(r"[( ]", case.name)[0]
        order = 1 if function in seen and not NIGHTLY else 2
        seen.add(function)
        check_gradients(case.ours, *case.args, name=case.name, order=order)


def test_det_has_a_gradient_where_it_has_no_inverse():
    found = tg.grad(tg.det)(np.array([[1.0, 2.0], [2.0, 4.0]]))
    np.testing.assert_allclose(found.numpy(), [[4, -2], [-2, 1]], atol=1e-12)
    assert not tg.grad(tg.det)(np.zeros((3, 3))).numpy().any()
    check_gradients(tg.det, np.ones((3, 3)) + np.diag([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumprod", "cumulative_prod", "take", "repeat"])
def test_a_number_is_a_vector_where_it_is_one_for_numpy(name, axis):
    f, more = overrides.found(name), {"take": ([0, 0],), "repeat": (3,)}.get(name, ())
    if f is not None:
        check_gradients(lambda x: f(x, *more, axis=axis), 2.5)
        assert f(tg.Tensor(2.5), *more, axis=axis).tolist() == f(np.array(2.5), *more, axis=axis).tolist()


@pytest.mark.parametrize("where", [(4,), (3, 2), (2, 1, 3), ()])
@pytest.mark.parametrize("more", [(), (2,)])
def test_values_are_added_at_indices_of_several_axes(where, more, rng):
    """One by one; also where they have fewer axes than the index, with which NumPy 2.4's function goes wrong."""
    x, index = rng.standard_normal((4, *more)), rng.integers(-4, 4, where)
    whole = x[index].shape
    for k in range(len(whole) + 1):
        values = rng.standard_normal(whole[k:])
        expected = x.copy()
        for place, value in zip(index.ravel(), np.broadcast_to(values, whole).reshape(-1, *more), strict=True):
            expected[place] += value
        for given in (index, (index,)):
            np.testing.assert_allclose(tg.add_at(x, given, tg.Tensor(values)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("call", [
    lambda x: np.dot(x, 2.0), lambda x: np.inner(2, x), lambda x: np.choose([0, 1], [x, 2.5]),
    lambda x: np.choose([0, 1], [x, [2, 3]]), lambda x: np.linalg.lstsq(np.eye(3, 2) + x, [1.0, 2.0, 4.0])[0],
    lambda x: np.linalg.lstsq(np.eye(3, 2, dtype="f4") + x, [1.0, 2.0, 4.0])[3],
    *([
        lambda x: np.polynomial.polynomial.polyval2d(x, [0.5, 2.0], [[1.0, 2.0, 3.0]]),
        lambda x: np.polynomial.polynomial.polyval2d([0.5, 2.0], [2, 1], x[:, None]),
        lambda x: np.polynomial.polynomial.polygrid2d([0.5, 2.0], x, [[1.0, 2.0], [3.0, 1.0]]),
    ] if POLYNOMIALS else []),
])  # fmt: skip
def test_lists_and_numbers_beside_tensors_count_as_for_numpy(call):
    for x in (np.array([0.5, 2.0]), np.array([0.5, 2.0], np.float32)):
        found, expected = call(tg.Tensor(x, requires_grad=True)), call(x)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    check_gradients(lambda x: call(x), np.array([0.5, 2.0]))


def test_nothing_is_what_numpy_hands_on_where_nothing_was_given():
    x, nothing = tg.Tensor([[1.0, 3.0]], requires_grad=True), np._NoValue
    assert np.diff(x, 1, -1, nothing, nothing).tolist() == np.diff(x, prepend=nothing).tolist() == [[2]]
    assert np.max(x, None, None, nothing, nothing).item() == np.nanmax(x, keepdims=nothing).item() == 3
    assert np.fmax.reduce(x, None, initial=nothing).item() == 3


@pytest.mark.parametrize(
    "f", [tg.eig, tg.eigh, tg.eigvals, tg.svdvals, tg.inv, tg.det, tg.cholesky, tg.pinv, tg.slogdet]
)
@pytest.mark.parametrize("shape", [(0, 0), (0, 2, 2)])
def test_matrices_without_elements_have_gradients_without_elements(f, shape):
    x = tg.Tensor(np.zeros(shape), requires_grad=True)
    results = f(x)
    for y in results if isinstance(results, tuple) else [results]:
        if y.node is not None:  # the sign of a determinant is data
            tg.real(y).sum().backward(retain_graph=True)
    assert x.grad.shape == shape


def test_equal_eigenvalues_leave_finite_gradients():
    x = np.diag([2.0, 2.0, 5.0])
    np.testing.assert_allclose(tg.grad(lambda x: tg.eigvalsh(x).sum())(x).numpy(), np.eye(3), atol=1e-12)
    assert np.isfinite(tg.grad(lambda x: tg.eigh(x).eigenvectors.sum())(x).numpy()).all()
    np.testing.assert_allclose(tg.grad(lambda x: tg.svdvals(x).sum())(np.eye(2)).numpy(), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(tg.grad(lambda x: tg.eigvals(x).sum())(x).numpy(), np.eye(3), atol=1e-12)
    assert np.isfinite(tg.grad(lambda x: tg.eig(x).eigenvectors.sum())(x).numpy()).all()


@pytest.mark.parametrize(
    "method", ["linear", "hazen", "weibull", "inverted_cdf", "midpoint", "interpolated_inverted_cdf"]
)
def test_quantiles_have_a_derivative_by_q(method):
    """The slope between two elements; that on the right at one (left at the last), 0 beyond the ends and in steps."""
    x, rng = np.array([4.0, 1.0, np.nan, 2.0, 8.0]), np.random.default_rng(0)
    for f, g, scale in ((np.quantile, np.nanquantile, 1), (np.percentile, np.nanpercentile, 100)):
        given = rng.standard_normal((4, 3)), rng.random((2, 2)) * scale
        check_gradients(lambda x, q, f=f: f(x, q, axis=0, method=method), *given, order=1 + (f is np.quantile))
        check_gradients(lambda q, g=g: g(x, q, method=method), rng.random(3) * scale)
    slopes = {"linear": [3, 6, 12], "hazen": [0, 8, 0], "weibull": [0, 10, 0], "interpolated_inverted_cdf": [0, 8, 16]}
    for q, slope in zip((0.0, 0.5, 1.0), slopes.get(method, [0, 0, 0]), strict=True):
        assert tg.grad(lambda q: tg.nanquantile(x, q, method=method))(q).item() == slope
    assert tg.grad(lambda q: tg.quantile(np.array([1.0, np.inf]), q, method=method))(0.0).item() == 0
    assert tg.quantile([3, 4], tg.Tensor(0.5, requires_grad=True), method="lower").dtype == int


@pytest.mark.parametrize("f", [lambda x: tg.svd(x), lambda x: tg.qr(x, mode="complete")])
def test_arbitrary_vectors_have_no_gradient(f):
    x = np.random.default_rng(0).standard_normal((4, 2))
    assert f(x)[0].shape == f(tg.Tensor(x))[0].shape == (4, 4)
    with pytest.raises(tg.errors.ArgumentError, match="arbitrary, and have no derivative"):
        f(tg.Tensor(x, requires_grad=True))


@pytest.mark.parametrize(
    "choose", [lambda c, x: tg.compress(c, x), lambda c, x: tg.extract(c, x), lambda c, x: tg.delete(x, c)]
)
def test_what_decides_a_shape_is_data(choose):
    with pytest.raises(tg.errors.GraphError, match="a tensor that a gradient follows"):
        tg.grad(lambda c: choose(c, np.array([1.0, 2.0])).sum() + c.sum())(np.array([1.0, 0.0]))


# ------------------------------------------------------------------------------------------------------------------
# Drawn calls


def leaves(value):
    """The arrays of numbers in arguments or results."""
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if getattr(getattr(value, "dtype", None), "kind", "") in ("f", "c") else []


def filled(value, arrays):
    """The same value with the arrays of numbers in it replaced by these, an iterator."""
    if isinstance(value, (list, tuple)):
        return type(value)(filled(item, arrays) for item in value)
    return next(arrays) if leaves(value) else value


def turned(x, like):
    return x * (1 + 0.5j) if like.dtype.kind == "c" else x


def weighed(rng, given):
    """A real number of the results of a call: the sum of their elements with drawn weights, which stay the same."""
    weights = [turned(rng.standard_normal(np.shape(y)), y) for y in leaves(given)]

    def weigh(results):
        terms = [y * w for y, w in zip(leaves(results), weights, strict=True)]
        return sum((np.real(term) if term.dtype.kind == "c" else term).sum() for term in terms)

    return weigh


def quotient(f, inputs, directions, step=2e-4):
    """The derivative along directions by differences of the fourth order, and by how much it may be off."""
    found = []
    for h in (step, step / 4):
        steps = ([x + k * h * t for x, t in zip(inputs, directions, strict=True)] for k in (-2, -1, 1, 2))
        low, near, far, high = (f(*at) for at in steps)
        found.append((low - 8 * near + 8 * far - high) / (12 * h))
    return found[1], abs(found[1] - found[0])


def dot(gradients, directions):
    return sum(np.sum(np.real(np.conj(plain(g)) * t)) for g, t in zip(gradients, directions, strict=True))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:numpy.fix is deprecated")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("seed", range(30 if NIGHTLY else 1))
def test_drawn_calls_are_those_of_numpy(name, seed):
    """Values, dtypes, and derivatives along a direction to second order."""
    drawn, function = Drawn(seed), overrides.found(name)
    if function is None:
        return  # not in this version of NumPy
    args, keywords = CALLS[name](drawn)
    arrays = leaves([args, [*keywords.values()]])

    def call(*inputs):
        values = iter([*inputs, *arrays[len(inputs) :]])
        given, named = filled([list(args), [*keywords.values()]], values)
        return function(*given, **dict(zip(keywords, named, strict=True)))

    expected, tensors = call(*arrays), [tg.Tensor(x, requires_grad=True) for x in arrays]
    found = call(*tensors)
    for theirs, ours in zip(leaves(expected), leaves(found), strict=True):
        ours = plain(ours)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        single = {"f4", "c8"} & {x.dtype.str[1:] for x in [theirs, *arrays]}
        np.testing.assert_allclose(ours, theirs, rtol=2e-4 if single else 1e-9, atol=2e-4 if single else 1e-11)
    if not any(y.node is not None for y in leaves(found) if isinstance(y, tg.Tensor)):
        return
    inputs = [x.astype(complex if x.dtype.kind == "c" else float) for x in arrays[: len(tensors)]]
    weigh, every = weighed(drawn.rng, call(*inputs)), tuple(range(len(inputs)))
    directions = [turned(drawn.values(x.shape, -1, 1), x) for x in inputs]

    def f(*inputs):
        return weigh(call(*inputs))

    if np.isnan(plain(f(*inputs))):
        return  # such as log(1, base 1), which has no derivative

    def slope(*inputs):
        return dot(tg.grad(f, argnums=every)(*inputs), directions)

    right, off = quotient(f, inputs, directions)
    assert slope(*inputs) == pytest.approx(right, rel=1e-6, abs=1e-7 + 30 * off)
    assert float(tg.jvp(f, tuple(inputs), tuple(directions))[1]) == pytest.approx(right, rel=1e-6, abs=1e-7 + 30 * off)
    right, off = quotient(slope, inputs, directions)
    second = dot(tg.hvp(f, tuple(inputs), tuple(directions)), directions)
    assert second == pytest.approx(right, rel=1e-5, abs=1e-6 + 30 * off)


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.fmin, np.logaddexp, np.hypot, np.logical_or])
@pytest.mark.parametrize("starts", [[0], [1, 1, 2], [2, 0, 1], []])
def test_segments_are_reduced_as_numpys(ufunc, starts):
    x, starts = np.random.default_rng(0).standard_normal((3, 4)), np.array(starts, int)
    for axis in (0, -1):
        expected = ufunc.reduceat(x, starts, axis)
        for given in (tg.Tensor(x), tg.Tensor(x, requires_grad=True)):
            found = ufunc.reduceat(given, starts, axis)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    if expected.dtype != bool:
        check_gradients(lambda x: ufunc.reduceat(x, starts, axis), x)


@pytest.mark.parametrize("f", [np.linalg.inv, np.linalg.cholesky, lambda x: np.linalg.solve(x, np.ones(2))])
def test_singular_matrices_raise_what_numpy_raises(f):
    x = -np.ones((2, 2))
    for given in (x, tg.Tensor(x), tg.Tensor(x, requires_grad=True)):
        with pytest.raises(np.linalg.LinAlgError):
            f(given)
    assert tg.linalg.slogdet(tg.Tensor(x)).logabsdet == np.linalg.slogdet(x)[1] == -np.inf
    assert tg.det(tg.Tensor(x)) == np.linalg.det(x) == 0


FOLLOWED = tg.Tensor(np.ones(3), requires_grad=True)
IMAGE = np.ones((1, 4, 5, 2))
REFUSED = [
    (lambda: tg.adaptive_avg_pool2d(IMAGE, 0), "expected output_size to be an int >= 1"),
    (lambda: tg.adaptive_max_pool1d(IMAGE, 2), "expected x with 3 axes"),
    (lambda: tg.adaptive_avg_pool2d(IMAGE[:, :0], 2), "expected at least 1 element along the spatial axes"),
    (lambda: tg.max_unpool2d(IMAGE, np.zeros((1, 4, 5, 1), int)), "expected x with 4 axes and indices alike"),
    (lambda: tg.max_unpool2d(IMAGE, np.full(IMAGE.shape, 80)), "expected indices as integers from 0 to 79"),
    (lambda: tg.max_unpool2d(IMAGE, IMAGE), "expected indices as integers"),
    (lambda: tg.max_unpool2d(IMAGE, np.zeros(IMAGE.shape, int), padding="same"), "expected output_size with"),
    (lambda: tg.resize_images(IMAGE), "expected size or scale, and not both"),
    (lambda: tg.resize_images(IMAGE, 3, 2.0), "expected size or scale, and not both"),
    (lambda: tg.resize_images(IMAGE, scale=-1), "expected scale > 0"),
    (lambda: tg.resize_images(IMAGE, scale=0.1), "expected a scale that leaves pixels"),
    (lambda: tg.resize_images(IMAGE, 3, method="cubic"), 'expected method to be "bilinear" or "nearest"'),
    (lambda: tg.resize_images(IMAGE, 3, method="nearest", align_corners=True), "with align_corners"),
    (lambda: tg.pixel_shuffle(IMAGE, 2), r"expected channels that 2\*\*2 = 4 divides, got 2"),
    (lambda: tg.pixel_unshuffle(IMAGE, 2), "expected sizes that 2 divides"),
    (lambda: tg.softmax_cross_entropy(np.ones((2, 3)), [0, 1], class_weights=[1.0, 2]), "expected 3 class_weights"),
    (lambda: tg.softmax_cross_entropy(np.ones((2, 3)), [0, -1]), "expected labels from 0 to 2, got -1"),
    (lambda: tg.softmax_cross_entropy(np.ones((2, 3)), np.ones((2, 3)), ignore_index=1), "expected integer labels"),
    (lambda: tg.sliding_window_view(np.ones(3), 4), "expected windows that fit into"),
    (lambda: tg.im2col(np.ones(3), 1), "expected at least 3 axes"),
    (lambda: tg.col2im(IMAGE, (1, 4, 5, 2), 2), r"expected columns \(1, 3, 4, 8\)"),
    (lambda: tg.pad(np.ones(3), 1, "mean", constant_values=1), 'expected no constant_values with mode "mean"'),
    (lambda: tg.pad(np.ones(3), -1), "expected widths of at least 0"),
    (lambda: tg.pad(np.ones(3), 1, "empty"), "expected mode to be"),
    (lambda: tg.pad(np.ones(3), {1: 2}), "axis 1 is out of bounds"),
    (lambda: tg.quantile([1.0], 0.5, method="inverted_cdf", weights=[0.0]), "expected weights of which one is above 0"),
    (lambda: tg.matvec(np.ones(3), np.ones(3)), "expected matrices and vectors"),
    (lambda: tg.vecmat(np.ones(3), np.ones(3)), "expected vectors and matrices"),
    (lambda: tg.geomspace(0.0, 1.0), "expected ends other than 0"),
    (lambda: tg.eig(np.ones((2, 3))), "expected square matrices"),
    (lambda: tg.quantile(np.ones(3), 2.0), r"expected q in \[0, 1\]"),
    (lambda: tg.quantile(np.ones(3), 0.5, weights=np.ones(3)), 'expected method "inverted_cdf" with weights'),
    (lambda: tg.quantile(np.ones((3, 2)), 0.5, method="inverted_cdf", weights=np.ones(3)), "expected weights of x's"),
    (lambda: tg.take(np.ones(0), [1], mode="wrap"), "expected at least one element to take from"),
    (lambda: tg.tensorinv(np.ones((2, 3))), "expected as many elements"),
    (lambda: tg.tensorsolve(np.ones((2, 3)), np.ones(2)), "expected a square map"),
    (lambda: tg.polyfit(np.ones(3), np.ones(2), 1), r"expected x \(M,\) and y"),
    (lambda: tg.polyfit(np.arange(2.0), np.ones(2), 1, cov=True), "expected more than 2 points"),
    (lambda: tg.polyvalnd([np.ones(2), np.ones(3)], np.ones((2, 2))), "points of one shape"),
    (lambda: np.add.reduceat(FOLLOWED, [3]), r"reduceat: expected indices from 0 to 2, got \[3\]"),
    (lambda: np.add.reduceat(FOLLOWED, [0], 1), "reduceat: axis 1 is out of bounds"),
    (lambda: tg.trim_zeros(np.ones(3), "x"), 'expected trim "f", "b" or "fb"'),
]


@pytest.mark.parametrize(("call", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_bad_calls_are_refused_in_words(call, words):
    with pytest.raises(tg.errors.TinygradConvError, match=words):
        call()


# ---------------------------------------------------------------------------------------------------------------
# Methods

KEYWORDS = {
    "axis": 0, "dtype": np.float32, "keepdims": True, "initial": 0.5, "where": ~np.eye(3, dtype=bool), "ddof": 1,
    "correction": 1, "mean": np.array([[2.5, 1.0, 4.0]]), "stable": True, "kind": "stable", "order": "C",
    "mode": "clip", "side": "right", "decimals": 1, "offset": 1, "axis1": 1, "axis2": 0, "copy": False, "subok": False,
    "casting": "same_kind", "min": 0.0, "max": 4.0,
}  # fmt: skip
NEEDED = {
    "take": ([0, 1],), "repeat": (2,), "dot": (np.ones((3, 2)),), "searchsorted": ([1.5],), "argpartition": (1,),
    "astype": (np.float32,), "swapaxes": (0, 1), "reshape": ((9,),), "compress": ([True, False, True],),
    "choose": ([np.linspace(0, 1, 3), 7.0],),
}  # fmt: skip
POSITIONS = [
    ("sum", (0, np.float64)), ("sum", (0, None, None, True)), ("prod", (1, None, None, True, 2.0)), ("mean", (0, None)),
    ("max", (0, None, True)), ("min", (1, None, False, 0.0)), ("var", (0, None, None, 1)), ("cumsum", (0, None)),
    ("std", (1, "f8", None, 1, True)), ("argsort", (0, "stable")), ("take", ([0, 5], None, None, "clip")),
    ("clip", (0.0, None)), ("trace", (1, 0, 1, None)), ("astype", (np.float32, "C", "same_kind", True, False)),
    ("astype", (np.float32, False)),
]  # fmt: skip


def methods_of_both():
    return [name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(tg.Tensor, name, None))]


def calls_of(name, array):
    """What NumPy's method takes: (arguments, keywords, its result)."""
    for key, value in [("axis", None), *KEYWORDS.items()]:
        for also in ({}, {"axis": 0}):
            if key == "axis" and also:
                continue
            args, keywords = NEEDED.get(name, ()), {key: value, **also}
            if (name, key) == ("clip", "where"):
                continue  # NumPy leaves what is not there unwritten
            try:
                yield args, keywords, getattr(array, name)(*args, **keywords)
            except (TypeError, ValueError):  # not a keyword of this one
                continue


@pytest.mark.parametrize("name", methods_of_both())
def test_a_method_takes_what_the_method_of_arrays_takes(name):
    if name in ("tolist", "item", "to_device"):
        pytest.skip("gives no array")
    array = np.array([[1.0, -2.0, 3.0], [4.0, 5.5, 6.0], [-1.5, 2.5, 0.5]])
    if name == "searchsorted":
        array = np.sort(array.ravel())
    if name == "choose":
        array = (array > 1).astype(int)
    plainly = getattr(tg.Tensor(array, requires_grad=array.dtype.kind == "f"), name)
    for args, keywords, expected in calls_of(name, array):
        found = plainly(*args, **keywords)
        for a, b in zip(*((x,) if not isinstance(x, tuple) else x for x in (found, expected)), strict=True):
            assert isinstance(a, tg.Tensor), keywords
            np.testing.assert_allclose(np.asarray(a.detach()), b, rtol=1e-6, err_msg=str(keywords))
            assert a.dtype == np.asarray(b).dtype, keywords
            assert a.requires_grad == (a.dtype.kind == array.dtype.kind == "f"), keywords


def test_methods_that_tensors_do_not_have():
    """Each for its reason: whoever adds one here, or to NumPy, sees that it is decided."""
    in_place = {"byteswap", "fill", "partition", "put", "resize", "setfield", "sort"}  # tensors are values
    memory = {"dump", "dumps", "getfield", "setflags", "tobytes", "tofile", "view"}  # x.numpy() has these
    memory |= {"tostring"} & set(dir(np.ndarray))  # before NumPy 2.3
    methods = {name for name in dir(np.ndarray) if name[0] != "_" and callable(getattr(np.ndarray, name))}
    assert methods - set(dir(tg.Tensor)) == in_place | memory


@pytest.mark.parametrize("pair", [([5.0, -3.0], 2), (7, [2.0, -2.0]), (np.array([5.0]), [3.0])])
def test_divmod_is_an_operator(pair):
    arrays = [np.array(x) for x in pair]
    tensors = [tg.Tensor(x) if isinstance(x, list) else x for x in pair]
    for a, b in zip(divmod(*tensors), divmod(*arrays), strict=True):
        assert isinstance(a, tg.Tensor)
        assert a.tolist() == b.tolist()


def test_choose_and_compress_as_methods():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    kept = x.compress([False, True], 1)
    assert kept.tolist() == [[2.0], [4.0]]
    (kept * tg.Tensor([1, 0, 1]).choose([5.0, x[0, 0]])[:2, None]).sum().backward()
    assert x.grad.tolist() == [[2.0, 1.0], [0.0, 5.0]]
    with pytest.raises(tg.errors.TinygradConvError, match="out"):
        x.compress([True], 0, out=np.empty((1, 2)))


@pytest.mark.parametrize(("name", "args"), POSITIONS)
def test_a_method_takes_numpys_order(name, args):
    array = np.array([[1.0, -2.0, 3.0], [4.0, 5.5, 6.0], [-1.5, 2.5, 0.5]])
    found = getattr(tg.Tensor(array, requires_grad=True), name)(*args)
    if args[-1] is not False or name != "astype":
        np.testing.assert_allclose(np.asarray(found.detach()), getattr(array, name)(*args), rtol=1e-6)
    assert found.requires_grad == (found.dtype.kind == "f")


# ---------------------------------------------------------------------------------------------------------------
# Polynomials, which NumPy asks tensors for in part

FAMILIES_OF_POLYNOMIALS = ["polynomial", "chebyshev", "legendre", "hermite", "hermite_e", "laguerre"]
SHAPES = [
    [(2,)], [(3,), (3,)], [(2,), (2, 2)], [(2, 2), (2,)], [(2,), (2,), (2, 2)], [(2, 2), (2,), (2,)],
    [(2,), (2,), (2,), (2, 2, 2)], [(2, 2), (2,), (2,), (2,)], [(), (3,)], [(3,), ()],
]  # fmt: skip


def polynomials(family):
    module = getattr(np.polynomial, family)
    return [getattr(module, name) for name in module.__all__ if inspect.isfunction(getattr(module, name))]


@pytest.mark.parametrize("family", FAMILIES_OF_POLYNOMIALS)
@pytest.mark.filterwarnings("ignore")
def test_a_polynomial_of_numpy_is_right_or_refused(family):
    """None loses a gradient or computes something else, whether this NumPy asks tensors for it or not."""
    worked = set()
    for function in polynomials(family):
        for shapes in SHAPES:
            arrays = [np.random.default_rng(k).uniform(0.2, 1, shape) for k, shape in enumerate(shapes)]
            try:
                expected = np.asarray(function(*arrays))
            except Exception:
                continue  # NumPy's own refusal
            for k, array in enumerate(arrays):
                if function.__name__ == "trimcoef" and k:
                    continue  # the tolerance of what is cut off: no derivative

                def of(x, k=k, arrays=arrays, function=function):
                    return function(*arrays[:k], x, *arrays[k + 1 :])

                x = tg.Tensor(array, requires_grad=True)
                try:
                    y = of(x)
                except tg.errors.TinygradConvError:
                    continue
                np.testing.assert_allclose(plain(tg.stop_gradient(y)), expected, err_msg=function.__name__)
                (y * y).sum().backward()
                ahead, behind = (np.asarray(of(array + h * 1e-6)) for h in (1, -1))
                slope = float(np.sum(ahead * ahead - behind * behind)) / 2e-6
                np.testing.assert_allclose(x.grad.numpy().sum(), slope, rtol=1e-6, err_msg=function.__name__)
                worked.add(function.__name__)
    assert any(name.endswith("val") for name in worked)
