"""What tests are drawn from, and the numeric truth they are held against."""

import inspect
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path
from time import thread_time

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.ops.shape import sum_to
from tinygrad_conv.testing import (
    Draw,
    GradientError,
    check_gradients,
    check_primitive,
    check_vjp,
    from_numpy,
    numeric,
    strategies,
)  # fmt: skip
from tinygrad_conv.testing.boundary import LAYOUTS
from tinygrad_conv.testing.draw import laid_out
from tinygrad_conv.testing.samples import draw_sample
from tinygrad_conv.testing.strategies import values

CONV_CLASSES = {
    "remainder", "k = 1", "k = H", "batch 1", "H != W", "groups", "depthwise", "overlap", "pad >= k", "padding",
    "dilation", "same", "same with stride", "stride > 1",
}  # fmt: skip
POOL_CLASSES = CONV_CLASSES - {"groups", "depthwise", "pad >= k"}  # such a pooling window would hold nothing
LIBRARY = {n: p for n, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}


def drawn(strategy, n=200):
    """So many examples."""
    found = []

    @settings(max_examples=n, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


# ---------------------------------------------------------------------------------------------------------------
# Strategies


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("configs", "classes"), [("conv_configs", CONV_CLASSES), ("pool_configs", POOL_CLASSES)])
def test_every_boundary_class_is_hit_within_200_examples(configs, classes, rank):
    counts = Counter(name for c in drawn(getattr(strategies, configs)(rank)) for name in c.classes)
    missing = classes - set(counts) - ({"H != W"} if rank == 1 else set())
    assert not missing, counts


@pytest.mark.parametrize(("name", "classes"), [("conv", CONV_CLASSES), ("pool_max", POOL_CLASSES)])
def test_samples_of_primitives_hit_every_boundary_class_and_layout(name, classes):
    counts = Counter()
    for seed in range(200):
        draw = Draw.seeded(seed)
        LIBRARY[name].samples(draw)
        counts.update(draw.classes)
    assert classes | set(LAYOUTS) <= set(counts), counts


def _multiply(x, y):
    return x * y


def _multiply_vjp(g, x, y):
    return [sum_to(g * other, np.shape(like)) for other, like in ((y, x), (x, y))]


CONV = tg.primitives()["conv"]
ONLY = {  # what a gradient of x * y may need to be wrong
    "equal shapes": lambda x, y: x.shape == y.shape and x.size > 1,
    "the first is broadcast": lambda x, y: x.size < y.size, "the second is broadcast": lambda x, y: y.size < x.size,
    "a scalar": lambda x, y: x.ndim == 0 < y.ndim, "one row": lambda x, y: x.ndim > 1 and x.shape[0] == 1 < x.shape[1],
    "a square": lambda x, y: x.ndim > 1 and x.shape[-1] == x.shape[-2] > 1,
    "no square": lambda x, y: x.ndim > 1 and min(x.shape) > 0 and x.shape[-1] != x.shape[-2],
}  # fmt: skip


def dies_in_15(check):
    """Is a gradient that is wrong for some draws found in fifteen, of Hypothesis and of ``Draw.seeded(0 ... 14)``?"""

    @settings(max_examples=15, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategies.draws())
    def by_hypothesis(draw):
        check(draw)

    def by_seed():
        for seed in range(15):
            check(Draw.seeded(seed))

    for run in (by_hypothesis, by_seed):
        with pytest.raises(GradientError):
            run()


@pytest.mark.parametrize("name", sorted(CONV_CLASSES))
def test_what_is_wrong_in_one_boundary_class_only_dies_in_15_examples(name):
    def wrong(draw):
        (x, w), params = draw_sample(CONV, draw)
        share = 1.01 if name in draw.classes else 1.0

        def vjp(g, x, w):
            return [share * d.numpy() for d in tg.vjp(lambda x, w: CONV.operation(x, w, **params), x, w)[1](g)]

        conv = from_numpy(lambda x, w: CONV.forward(x, w, **params), vjp)
        check_gradients(conv, x, w, properties=["vjp_vs_numeric"], explain=False)

    dies_in_15(wrong)


@pytest.mark.parametrize("name", ONLY)
def test_what_is_wrong_for_shapes_of_one_kind_only_dies_in_15_examples(name):
    def vjp(g, x, y):
        gradients = _multiply_vjp(g, x, y)
        if ONLY[name](x, y):
            gradients[0][..., -1:] *= 1.01  # in the last column
        return gradients

    def wrong(draw):
        args, _ = draw_sample(tg.primitives()["multiply"], draw)
        check_vjp(_multiply, vjp, *args)

    dies_in_15(wrong)


@pytest.mark.parametrize(("strategy", "builder"), [("conv_configs", "conv_config"), ("pool_configs", "pool_config")])
def test_fifteen_examples_meet_what_forty_would(strategy, builder):
    def pairs(found):
        return {pair for classes in found for pair in combinations(sorted(classes), 2)}

    by_seed = [Draw.seeded(seed) for seed in range(200)]
    for draw in by_seed:
        getattr(draw, builder)(2)
    all_pairs = pairs(draw.classes for draw in by_seed)
    for found in (
        [c.classes for c in drawn(getattr(strategies, strategy)(), 15)], [draw.classes for draw in by_seed[:15]],
    ):  # fmt: skip
        assert len(found) == 15
        assert len(all_pairs - pairs(found)) <= 2


@settings(max_examples=60)
@given(strategies.conv_configs(), strategies.pool_configs())
def test_configurations_are_legal(conv, pool):
    x, w = conv.arrays()
    assert tg.conv2d(x, w, **conv.keywords).size > 0
    (x,) = pool.arrays()
    assert tg.max_pool2d(x, **pool.keywords).size > 0
    assert tg.avg_pool2d(x, **pool.keywords).size > 0


def test_classes_mean_what_they_say():
    for c in drawn(strategies.conv_configs(), 100):
        (n, *sizes, channels), (*kernel, _, _) = c.shapes
        stride, dilation, groups = c.keywords["stride"], c.keywords["dilation"], c.keywords["groups"]
        assert ("batch 1" in c.classes) == (n == 1)
        assert ("k = 1" in c.classes) == (kernel == [1, 1])
        assert ("H != W" in c.classes) == (sizes[0] != sizes[1])
        assert ("depthwise" in c.classes) == (1 < groups == channels)
        x = np.ones(c.shapes[0])
        x[:, -1] = 10.0  # a remainder is what no window reads
        y = tg.conv2d(x, np.ones(c.shapes[1]), **c.keywords)
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if c.keywords["padding"] == "valid":
            left = [h - r - s * (o - 1) for h, r, s, o in zip(sizes, reach, stride, y.shape[1:3], strict=True)]
            assert ("remainder" in c.classes) == any(left)


def test_shapes_layouts_dtypes_axes():
    shapes = drawn(strategies.shapes())
    assert () in shapes
    assert any(0 in s for s in shapes)
    assert {len(s) for s in shapes} == {0, 1, 2, 3}
    for several in drawn(strategies.broadcastable_shapes(3), 50):
        assert np.broadcast_shapes(*several) in several
    assert set(drawn(strategies.dtypes(), 20)) == {np.dtype("f4"), np.dtype("f8")}
    assert set(drawn(strategies.layouts())) == set(LAYOUTS)
    for axes in drawn(strategies.axes(3), 50):
        np.sum(np.ones((2, 3, 4)), axis=axes)
    assert {type(a) for a in drawn(strategies.axes(3))} == {type(None), int, tuple}


def test_layouts_change_the_memory_and_not_the_values():
    x = np.arange(24.0).reshape(2, 3, 4)
    made = {name: laid_out(x.copy(), name) for name in LAYOUTS}
    for name, array in made.items():
        np.testing.assert_array_equal(array, x, err_msg=name)
    assert made["transposed"].flags.f_contiguous
    assert made["strided"].strides[-1] == 16
    assert made["negative stride"].strides[0] < 0
    assert not made["read-only"].flags.writeable


def test_indices_and_einsum_strings_are_legal():
    x = np.ones((3, 4))
    for index in drawn(strategies.indices((3, 4))):
        x[index]
    for subscripts, shapes in drawn(strategies.einsum_strings()):
        np.einsum(subscripts, *(np.ones(s) for s in shapes))


def test_arrays_and_samples():
    for array in drawn(strategies.arrays((2, 3), (0, 1), dtype=np.float32), 20):
        assert array.shape == (2, 3)
        assert array.dtype == np.float32
        assert ((array > 0) & (array < 1)).all()
    for args, keywords in drawn(strategies.samples(LIBRARY["pool_max"], ties=True), 20):
        assert np.isin(2 * args[0], range(-6, 7)).all()
        assert set(keywords) == {"window"}


@settings(max_examples=20)
@given(strategies.draws())
def test_draws_serve_a_declaration(draw):
    check_primitive(LIBRARY["conv"], draw)
    assert draw.classes
    assert draw.choices


def test_networks_are_of_all_sorts():
    layers = Counter(name for network in drawn(strategies.networks()) for name in network.layers)
    assert {"conv", "dense", "max_pool", "avg_pool", "relu", "softmax"} <= set(layers)


# ---------------------------------------------------------------------------------------------------------------
# Values


@pytest.mark.parametrize("domain", [(-3.0, 3.0), (0.1, 3.0), (-0.9, 0.9), (5.0, 6.0)])
@pytest.mark.parametrize("n", [1, 10, 3000, 20_000])
def test_values_are_distinct_inside_the_domain_and_reproducible(domain, n):
    x = values(7, domain, (n,))
    assert (x > domain[0]).all()
    assert (x < domain[1]).all()
    assert np.unique(x).size >= 0.95 * n
    np.testing.assert_array_equal(x, values(7, domain, (n,)))


def test_a_gradient_that_is_wrong_at_one_end_of_the_domain_dies():
    for low, high in ((-3, 3), (0.1, 2), (-0.8, 0.8)):
        near = 0.01 * (high - low)
        drawn = [Draw.seeded(seed).array((3,), low, high) for seed in range(15)]
        assert any((x > high - near).any() for x in drawn)
        assert any((x < low + near).any() for x in drawn)
        assert all(((low < x) & (x < high)).all() for x in drawn)


@pytest.mark.parametrize("first", ["tinygrad_conv as tg", "hypothesis"])
def test_hypothesis_knows_tensors_whichever_is_imported_first(first, tmp_path):
    entry = tmp_path / "entry-1.0.dist-info"  # as pip writes it, also where it has not
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: entry\nVersion: 1.0\n")
    (entry / "entry_points.txt").write_text("[hypothesis]\nentry = _tinygrad_conv_hypothesis:tell\n")
    code = f"""
import sys, {first}
import tinygrad_conv as tg
from hypothesis import find, strategies as st
assert "tinygrad_conv.testing.strategies" not in sys.modules
assert isinstance(find(st.from_type(tg.Tensor), lambda x: x.ndim > 0), tg.Tensor)
assert repr(st.from_type(tg.Tensor)).startswith("builds(tensor_of, ")  # the ghostwriter writes that, and its import
"""
    path = os.pathsep.join([str(tmp_path), str(Path(tg.__file__).parents[1])])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})


def test_arrays_of_one_sample_do_not_tie_with_each_other():
    draw = Draw.seeded(0)
    arrays = np.concatenate([draw.values((100,)) for _ in range(4)])
    assert np.unique(arrays).size == 400
    assert np.abs(2 * arrays - np.round(2 * arrays)).min() > 1e-4  # nor sit on kinks


def test_ties_and_extremes_on_demand():
    tied = values(0, (-3, 3), (50,), ties=True)
    assert np.unique(tied).size <= 4
    assert 0 in tied
    assert set(2 * values(3, (0.5, 3), (50,), ties=True)) <= {1, 2, 3, 4, 5, 6}
    extreme = values(0, (-np.inf, np.inf), (200,), extremes=True)
    finite = np.abs(extreme[np.isfinite(extreme) & (extreme != 0)])
    assert finite.min() < 1e-300
    assert finite.max() > 1e20
    assert 0 in extreme
    assert set(values(0, (-1, 1), (100,), extremes=True)) >= {-1.0, 1.0, 0.0}


def test_drawing_is_quick():
    """2 ms of this thread's own time an example of 3,000 elements; tested with slack for slow machines."""
    best = 1.0
    for _ in range(3):
        start = thread_time()
        examples = drawn(strategies.arrays((50, 60)), 50)
        best = min(best, (thread_time() - start) / 50)
    assert all(np.unique(x).size >= 0.95 * x.size for x in examples)
    assert best < 6e-3


# ---------------------------------------------------------------------------------------------------------------
# Shrinking


@pytest.mark.parametrize(
    ("fails", "shapes", "keywords"),
    [
        (lambda c: "stride > 1" in c.classes, ((1, 1, 1, 1), (1, 1, 1, 1)), {"stride": (1, 2)}),
        (lambda c: "H != W" in c.classes, ((1, 1, 2, 1), (1, 1, 1, 1)), {}),
        (lambda c: "overlap" in c.classes, ((1, 1, 3, 1), (1, 2, 1, 1)), {}),
        (lambda c: "depthwise" in c.classes, ((1, 1, 1, 2), (1, 1, 1, 2)), {"groups": 2}),
        (lambda c: "remainder" in c.classes, ((1, 1, 2, 1), (1, 1, 1, 1)), {"stride": (1, 2)}),
    ],
)
def test_hypothesis_shrinks_to_the_smallest_configuration(fails, shapes, keywords):
    found = find(strategies.conv_configs(), fails)
    plain = {"stride": (1, 1), "padding": "valid", "dilation": (1, 1), "groups": 1}
    # Which axis has the stride is as good as the other: to swap them takes two numbers at once.
    smallest = found.keywords | {"stride": tuple(sorted(found.keywords["stride"]))}
    assert smallest == plain | keywords
    assert [np.prod(s) for s in found.shapes] == [np.prod(s) for s in shapes]


def planted(name, wrong):
    """A matrix product whose first gradient is wrong where `wrong` says so, of the shapes."""

    def product(a, b):
        return a @ b

    product.__name__ = name
    return tg.bilinear(
        lambda g, b: (g @ b.mT) * (1.01 if wrong(g.shape, b.shape) else 1.0),
        lambda g, a: a.mT @ g,
        samples=lambda d: (lambda n, k, m: ((d.array((n, k)), d.array((k, m))), {}))(*(d.integer(1, 5) for _ in "nkm")),
    )(product)


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", dict(tg.primitives()))


@pytest.mark.usefixtures("registry")
def test_seeded_samples_shrink_too_and_the_test_to_paste_fails_alone():
    wrong = planted("wrong_product", lambda g, b: g[1] >= 3)

    def battery():
        for seed in range(9):
            check_primitive(wrong.primitive, Draw.seeded(seed))

    with pytest.raises(GradientError) as caught:
        battery()
    report = caught.value.report
    assert report.total == 1  # a is (1, 1), b (1, 3)
    assert "Draw.replay" in report.test
    with pytest.raises(GradientError):
        _run(report.test)


@pytest.mark.usefixtures("registry")
def test_hypothesis_shrinks_failing_samples_and_the_report_is_of_the_smallest():
    wrong = planted("wrong_product", lambda g, b: g[0] >= 2 and b[0] >= 3)

    @settings(max_examples=100, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
    @given(strategies.draws())
    def battery(draw):
        check_primitive(wrong.primitive, draw, ["vjp_vs_numeric"])

    with pytest.raises(GradientError) as caught:
        battery()
    assert "of 6 elements of argument 0" in str(caught.value)
    assert "Draw.replay(0, [2, 3, 1" in str(caught.value)


def _run(test):
    """Run the code of a test in a namespace of its own."""
    test = "\n".join(line for line in test.splitlines() if not line.startswith("import test_"))
    names = {}
    exec(test, names)
    next(f for name, f in names.items() if name.startswith("test_") and inspect.isfunction(f))()


@pytest.mark.usefixtures("registry")
def test_arguments_of_functions_shrink():
    wrong = planted("wrong_product", lambda g, b: True)

    def f(a, b):
        return tg.exp(wrong(a, b))

    with pytest.raises(GradientError) as caught:
        check_gradients(f, np.ones((3, 5)), np.ones((5, 4)), order=1)
    assert "(3, 5)" in caught.value.report.where  # what was given is explained
    assert caught.value.report.test.count("[") <= 4  # and the test is of the smallest that fails: two numbers


# ---------------------------------------------------------------------------------------------------------------
# Numeric truth

SMOOTH = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "rational": (lambda x: x / (1 + x * x), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    "real only": (lambda x: np.exp(np.real(x)), np.exp),
    "steep": (lambda x: np.sin(40 * x), lambda x: 40 * np.cos(40 * x)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
@given(seed=st.integers(0, 10**6))
def test_error_bars_hold(name, seed):
    f, derivative = SMOOTH[name]
    x = np.random.default_rng(seed).uniform(-2, 2, 20)
    t = np.random.default_rng(seed + 1).uniform(0.5, 1.5, 20)
    estimate = numeric.directional(f, [x], [t])
    expected = derivative(x) * t
    assert not estimate.kinks.any()
    assert (np.abs(estimate.value - expected) <= 4 * estimate.error + 1e-9 * np.abs(expected)).all()
    assert (estimate.error <= 1e-6).all()


def test_the_method_suits_the_function():
    x, w = values(0, shape=(3, 4)), values(1, shape=(4, 2))

    def method(f, *inputs, kind=None):
        return numeric.directional(f, inputs, [np.ones(np.shape(x)) for x in inputs], kind).method

    assert method(np.matmul, x, w, kind="bilinear") == "exact difference"
    assert method(np.matmul, x, w) == "exact difference"
    assert method(lambda x: 3 * x, x, kind="linear") == "exact difference"
    assert method(np.exp, x) == "complex step"
    assert method(np.abs, x) == "differences"  # abs of a complex number is another function
    assert method(np.exp, x, kind="linear") == "complex step"  # a claim that is not believed


def test_exact_differences_are_exact():
    x, w = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    estimate = numeric.directional(np.matmul, [x, w], [np.ones((2, 3)), np.ones((3, 4))], "bilinear")
    np.testing.assert_array_equal(estimate.value, np.ones((2, 3)) @ w + x @ np.ones((3, 4)))


def test_no_rounding_in_the_complex_step():
    estimate = numeric.directional(lambda x: 1e6 + np.sin(x), [np.array([0.5])], [np.ones(1)])
    assert estimate.value.item() == pytest.approx(np.cos(0.5), rel=1e-15)


@pytest.mark.parametrize(
    ("f", "x", "low", "high"),
    [
        (np.abs, 0.0, -1, 1), (lambda x: np.maximum(x, 0), 0.0, 0, 1), (np.abs, 1e-12, -1, 1),
        (lambda x: np.where(x > 0, x * x + x, 3 * x), 0.0, 1, 3), (np.floor, 1.0, 0, 0),
        (lambda x: np.where(x > 0, 5 + x, -x), 0.0, -1, 1), (lambda x: 1e-7 * np.abs(x), 0.0, -1e-7, 1e-7),
    ],
)  # fmt: skip
def test_kinks_and_jumps_are_seen_from_both_sides(f, x, low, high):
    estimate = numeric.directional(f, [np.array([x])], [np.ones(1)])
    assert estimate.kinks.all()
    assert estimate.low.item() == pytest.approx(low, rel=1e-6, abs=1e-12)
    assert estimate.high.item() == pytest.approx(high, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("distance", [1e-2, 1e-3, 1e-4, 1e-5, 3e-6, 1e-6, 1e-7, 1e-8])
def test_a_kink_nearby_is_no_kink(distance):
    estimate = numeric.directional(np.abs, [np.array([distance, -distance])], [np.ones(2)])
    assert not estimate.kinks.any()
    np.testing.assert_allclose(estimate.value, [1, -1], rtol=1e-6)


def test_the_edge_of_a_domain_and_infinite_derivatives():
    estimate = numeric.directional(np.sqrt, [np.array([0.0, 4.0])], [np.ones(2)])
    assert estimate.value[0] == np.inf
    assert estimate.value[1] == pytest.approx(0.25)
    arcsin = numeric.directional(np.arcsin, [np.array([0.999])], [np.ones(1)])
    assert arcsin.value.item() == pytest.approx(1 / np.sqrt(1 - 0.999**2), rel=1e-6)


def test_a_function_whose_shape_changes_is_refused():
    with pytest.raises(tg.errors.ShapeError, match="shape changes"):
        numeric.directional(lambda x: x[x > 0], [np.array([0.0, 1.0])], [np.ones(2)])


def test_jacobian():
    x, w = values(0, shape=(2, 3)), values(1, shape=(3, 2))
    found = numeric.jacobian(np.matmul, [x, w], 1)
    expected = tg.jacobian(tg.matmul, argnums=1)(tg.Tensor(x), tg.Tensor(w)).numpy()  # (2, 2, 3, 2)
    np.testing.assert_allclose(found.value, np.moveaxis(expected.reshape(2, 2, 6), -1, 0), atol=1e-12)
    assert numeric.jacobian(np.matmul, [x, w], 1, elements=[4]).value.shape == (1, 2, 2)
