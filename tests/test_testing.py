"""The gradient checker itself: it kills what it should, says why, and never cries wolf."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.testing import (
    PROPERTIES,
    Draw,
    GradientError,
    check_gradients,
    check_primitive,
    checks,
    coverage,
    kinks,
    strategies,
)
from tinygrad_conv.testing.case import Case
from tinygrad_conv.testing.strategies import values

pytestmark = pytest.mark.usefixtures("little_shrinking")


LIBRARY = {n: p for n, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Primitives that a test declares are gone after it."""
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", dict(tg.primitives()))


def declare(kind, f, *rules, name="planted", **declared):
    """An operation of a forward function (perhaps a ufunc) and rules."""
    forward = f
    if isinstance(f, np.ufunc):

        def forward(x):
            return f(x)

    forward.__name__ = name
    return kind(*rules, **declared)(forward)


def battery(primitive, seeds, properties=None):
    for seed in range(seeds):
        check_primitive(primitive, Draw.seeded(seed), properties)


# ---------------------------------------------------------------------------------------------------------------
# No false alarms


@pytest.mark.parametrize("name", LIBRARY)
def test_no_false_alarm_in_any_boundary_class(name):
    with coverage.recording() as seen:
        for seed in {123, *coverage.reachable(LIBRARY[name]).values()}:
            check_primitive(LIBRARY[name], Draw.seeded(seed))
    assert coverage.table(seen, coverage.to_check([tg.primitives()[name]]))[1] == []


@settings(max_examples=15)
@given(strategies.networks())
def test_no_false_alarm_in_networks(network):
    check_gradients(network, *network.arrays)


@settings(max_examples=15)
@given(strategies.einsum_strings(), st.integers(0, 99))
def test_no_false_alarm_in_einsum(drawn, seed):
    subscripts, shapes = drawn
    arrays = [values(seed + k, shape=shape) for k, shape in enumerate(shapes)]
    check_gradients(lambda *xs: tg.einsum(subscripts, *xs), *arrays)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_no_false_alarm_at_any_scale(scale):
    x, w = values(0, shape=(3, 4)) * scale, values(1, shape=(4, 2))
    check_gradients(lambda x, w: tg.matmul(x, w), x, w)
    check_gradients(lambda x, w: scale * tg.tanh(tg.matmul(x / scale, w)), x, w)


def test_no_false_alarm_where_values_are_saturated_or_steep():
    x = np.array([-30.0, -5.0, 5.0, 30.0])
    for f in (tg.sigmoid, tg.tanh, tg.softmax, tg.log_softmax, tg.softplus, lambda x: tg.softmax(3 * x)):
        check_gradients(f, x)
    check_gradients(tg.exp, np.array([-40.0, 0.0, 12.0]))
    check_gradients(tg.sqrt, np.array([1e-3, 1.0, 1e4]))


@pytest.mark.parametrize("seed", range(3))
def test_no_false_alarm_near_singularities_and_wrong_gradients_die_there(seed):
    rng = np.random.default_rng(seed)
    near = 10.0 ** rng.uniform(-14, 0, 4)
    for f, x in (
        (tg.log, near), (tg.sqrt, near), (tg.reciprocal, near), (tg.atanh, 1 - near), (lambda x: x * tg.log(x), near),
        (lambda x: x**-0.5, near), (tg.log, near * 1e6),
    ):  # fmt: skip
        check_gradients(f, x)
    wrong = declare(tg.elementwise, np.log, lambda x: tg.where(tg.less(x, 1.1 * near.min()), 1.01, 1.0) / x)
    with pytest.raises(GradientError) as caught:
        check_gradients(wrong, near, order=1)
    assert caught.value.report.index == (int(np.argmin(near)),)


def test_no_false_alarm_where_products_of_kinks_have_none_or_a_matrix_is_almost_singular():
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, y = rng.integers(-1, 2, (2, 4)).astype(float)
        for f in (
            lambda x, y: tg.maximum(x, y) * tg.minimum(x, y), lambda x, y: tg.abs(x - y) * tg.abs(x - y),
            lambda x, y: tg.sort(x) * y,
        ):  # fmt: skip
            check_gradients(f, x, y)
        u, _, v = np.linalg.svd(rng.normal(size=(3, 3)))
        check_gradients(tg.linalg.solve, (u * np.geomspace(1, 1e-6, 3)) @ v, rng.normal(size=(3, 2)))
    check_gradients(lambda x: x / tg.maximum(tg.sum(x), 1e-300), np.zeros(2), order=1)


def test_float32_goes_as_far_as_it_goes():
    check_gradients(tg.exp, np.array([400.0, -300.0]))
    check_gradients(tg.std, 1 + 1e-5 * np.arange(4.0) ** 2)


def test_nan_and_infinity_must_be_on_both_sides():
    check_gradients(tg.sqrt, np.array([0.0, 1.0]), order=1)  # infinite on both
    zero = declare(
        tg.elementwise, np.sqrt, lambda y: tg.where(tg.equal(y, 0), 0.0, 0.5 / tg.where(tg.equal(y, 0), 1, y))
    )
    with pytest.raises(GradientError):
        check_gradients(zero, np.array([0.0, 1.0]), order=1)
    nan = declare(tg.elementwise, np.square, lambda x: 2 * x * (x / x))
    with pytest.raises(GradientError, match="NaN"):
        check_gradients(nan, np.array([0.0, 1.0]), order=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["vjp_vs_numeric", "jvp_vs_numeric", "adjoint"])
def test_each_comparison_refuses_what_is_infinite_on_one_side(name, bad):
    def slope(x, wrong):
        return tg.where(tg.equal(x, 2), bad, tg.cos(x)) if wrong else tg.cos(x)

    forward = name == "jvp_vs_numeric"
    f = declare(tg.opaque, np.sin, vjp=lambda g, x: g * slope(x, not forward), jvp=lambda t, x: t * slope(x, forward))
    check_gradients(f, np.ones(2), properties=[name])
    with pytest.raises(GradientError):
        check_gradients(f, np.array([1.0, 2.0]), properties=[name])


# ---------------------------------------------------------------------------------------------------------------
# What must die


def times(c):
    """Multiplication by constants, and a declaration with the derivative that somebody claims."""
    return lambda claimed: declare(tg.elementwise, lambda x: c * x, lambda: claimed)


frozen = tg.stop_gradient
SMALL = np.array([1.0, 1e-7, -3.0])
DEADLY = {
    "a sign, at 1e-7": lambda: (times(1e-7)(-1e-7), np.ones(3)),
    "a sign in one element of 1e-7": lambda: (times(SMALL)(SMALL * [1, -1, 1]), np.ones(3)),
    "0.05 %": lambda: (declare(tg.elementwise, np.exp, lambda y: 1.0005 * y), np.linspace(-1, 1, 5)),
    "1 + 1e-5": lambda: (declare(tg.elementwise, np.sin, lambda x: (1 + 1e-5) * tg.cos(x)), np.linspace(-1, 1, 5)),
    "5e-6 too much": lambda: (declare(tg.elementwise, np.tanh, lambda y: 1 - y * y + 5e-6), np.linspace(-1, 1, 5)),
    "1e-7 of an element": lambda: (times(np.ones(50))(1 + 1e-7 * (np.arange(50) == 7)), np.ones(50)),
    "only the second order": lambda: (declare(tg.elementwise, np.exp, lambda x: tg.exp(frozen(x))), np.ones(2)),
    "a small part of the second order": lambda: (
        declare(tg.elementwise, np.square, lambda x: 2 * x + 1e-4 * (x - frozen(x))), np.ones(2)
    ),
    "only forward mode": lambda: (
        declare(tg.opaque, np.square, vjp=lambda g, x: 2 * g * x, jvp=lambda t, x: 2.00001 * t * x), np.ones(2)
    ),
    "only reverse mode": lambda: (
        declare(tg.opaque, np.square, vjp=lambda g, x: 2.00001 * g * x, jvp=lambda t, x: 2 * t * x), np.ones(2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DEADLY)
def test_deadly(case):
    f, x = DEADLY[case]()
    for seed in range(5):
        with pytest.raises(GradientError):
            check_gradients(f, x, seed=seed)


def test_a_wrong_element_dies_among_many():
    wrong = np.ones(20_000)
    wrong[12_345] = 1 + 1e-5
    with pytest.raises(GradientError, match=r"argument 0\[12345\]"):
        check_gradients(declare(tg.elementwise, lambda x: 1.0 * x, lambda: wrong), np.ones(20_000), order=1)


def test_tolerances_are_what_is_accepted():
    f, x = DEADLY["0.05 %"]()
    check_gradients(f, x, rtol=1e-2, atol=1e-2, properties=["jvp_vs_numeric", "vjp_vs_numeric", "second_order"])
    with pytest.raises(GradientError):
        check_gradients(f, x)


# ---------------------------------------------------------------------------------------------------------------
# Each property by itself


def _fresh():
    counter = iter(range(1, 10**6))
    return declare(tg.elementwise, np.sin, lambda x: tg.cos(x) * (1 + 1e-12 * next(counter)))


def _mutating(x):
    if x.size and x.flags.writeable:
        x.flat[0] += 1
    return np.array(x)


ALONE = {
    "repeatable": _fresh,
    "jvp_vs_numeric": lambda: DEADLY["0.05 %"]()[0],
    "vjp_vs_numeric": lambda: DEADLY["0.05 %"]()[0],
    "adjoint": lambda: DEADLY["only forward mode"]()[0],
    "vjp_vs_jvp": lambda: DEADLY["only reverse mode"]()[0],
    "second_order": lambda: DEADLY["only the second order"]()[0],
    "linearity": lambda: declare(
        tg.opaque, lambda x: 1.0 * x, name="f", vjp=lambda g: g * g * g / (g * g), jvp=lambda t: t + 1e-6
    ),
    "zero_cotangent": lambda: declare(tg.opaque, lambda x: 1.0 * x, name="f", vjp=lambda g: g + 1e-9, jvp=lambda t: t),
    "not_mutated": lambda: declare(tg.linear, _mutating, lambda g: g),
    "dtype_kept": lambda: declare(tg.elementwise, lambda x: np.asarray(x, np.float64), lambda: 1.0),
    "float32_vs_float64": lambda: declare(
        tg.elementwise, lambda x: x * 1, lambda x: np.float32(1.01) if x.dtype == np.float32 else 1.0
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_each_property_by_itself(name):
    primitive = ALONE[name]().primitive
    primitive.samples = lambda d: ((d.values((3,)),), {})
    with pytest.raises(GradientError) as caught:
        battery(primitive, 3, [name])
    assert caught.value.report.property == name


def test_kinks_by_itself():
    relu = declare(
        tg.elementwise, lambda x: np.maximum(x, 0), lambda x: tg.greater_equal(x, 0), kinks="0 at 0", tie="left"
    )
    with pytest.raises(GradientError, match="not the published one: 0 at 0"):
        check_gradients(relu, np.array([0.0, 1.0, -1.0]), properties=["kinks"])


def test_batch_consistency_by_itself():
    def centred(x):
        return x - x.mean(axis=0)

    primitive = declare(
        tg.linear, centred, lambda g: centred(g), batch=("x", "y"), samples=lambda d: ((d.values((3, 2)),), {})
    ).primitive
    with pytest.raises(GradientError, match="for a batch is not that of its samples"):
        check_primitive(primitive, Draw.seeded(0), properties=["batch_consistency"])
    check_primitive(LIBRARY["conv"], Draw.seeded(0), properties=["batch_consistency"])


def test_what_does_not_apply_says_why():
    case = checks.primitive_case(LIBRARY["tanh"], Draw.seeded(0))
    found = checks.run(case)
    assert list(found) == list(PROPERTIES)
    assert found["adjoint"] == "holds"
    assert found["compiled_vs_plain"] in ("it has no compiled kernels", "Numba is not installed")
    assert found["batch_consistency"] == "no batch axis is declared"
    assert checks.run(case, ["kinks"]) == {"kinks": "no kinks at this point"}


def test_a_rule_that_raises_or_has_the_wrong_shape_is_a_wrong_gradient():
    raising = declare(tg.opaque, np.sin, name="f", vjp=lambda g, x: tg.reshape(g, (7,)), jvp=lambda t, x: t)
    for properties in (None, ["second_order"], ["float32_vs_float64"]):
        with pytest.raises(GradientError, match="its VJP raised ShapeError"):
            check_gradients(raising, np.ones(3), properties=properties)
    single = declare(  # raises for the samples of a batch one by one
        tg.linear, lambda x: 2 * x, lambda g: 2 * tg.reshape(g, (3, 2)), batch=("x", "y"),
        samples=lambda d: ((d.values((3, 2)),), {}),
    )  # fmt: skip
    with pytest.raises(GradientError, match="its VJP raised ShapeError"):
        check_primitive(single.primitive, Draw.seeded(0), properties=["batch_consistency"])
    broadcast = declare(
        tg.opaque, lambda x, b: x + b, name="f", vjp=(lambda g: g, lambda g: g), jvp=(lambda t: t, lambda t: t)
    )
    with pytest.raises(GradientError, match=r"gradient of shape \(2, 3\) for an input of shape \(3,\)"):
        check_gradients(broadcast, np.ones((2, 3)), np.ones(3))


# ---------------------------------------------------------------------------------------------------------------
# Kinks

TIED = {
    "relu": (tg.relu, [(6,)]),
    "abs": (tg.abs, [(6,)]),
    "maximum": (tg.maximum, [(2, 3), (3,)]),
    "max": (lambda x: tg.max(x, axis=1), [(2, 4)]),
    "max_pool": (lambda x: tg.max_pool2d(x, 2), [(1, 4, 4, 1)]),
    "overlapping max_pool": (lambda x: tg.max_pool2d(x, 3, stride=1, padding=1), [(1, 3, 3, 1)]),
    "clip": (lambda x: tg.clip(x, -1, 1), [(6,)]),
    "where": (lambda x: tg.where(x > 0, x * x, -x), [(6,)]),
    "where with a jump": (lambda x: tg.where(x > 0, x + 1, -x), [(6,)]),
    "hinge": (lambda x: tg.hinge(x, np.array([1, -1, 1])), [(3,)]),
    "norm": (lambda x: tg.linalg_norm(x, np.inf), [(4,)]),
    "network": (lambda x, w: tg.max_pool2d(tg.relu(tg.conv2d(x, w)), 2), [(1, 5, 5, 1), (2, 2, 1, 2)]),
}


@pytest.mark.parametrize("name", TIED)
def test_no_false_alarm_at_ties(name):
    f, shapes = TIED[name]
    for seed in range(12):
        order = 2 if seed < 4 else 1
        check_gradients(f, *(values(9 * seed + k, shape=s, ties=True) for k, s in enumerate(shapes)), order=order)


def test_no_false_alarm_in_thousands_of_ties():
    """Each is a tied input of its own: 2,000 for each of five operations."""
    for f in (tg.relu, tg.abs, lambda x: tg.maximum(x, 0.0)):
        check_gradients(f, values(0, shape=(2000,), ties=True), order=1, properties=["jvp_vs_numeric", "adjoint"])
    x = values(1, shape=(2000, 4), ties=True)
    check_gradients(lambda x: tg.max(x, axis=1), x, order=1, properties=["jvp_vs_numeric", "vjp_vs_numeric", "adjoint"])
    x = values(2, shape=(20, 20, 20, 1), ties=True)  # 2,000 windows
    check_gradients(
        lambda x: tg.max_pool2d(x, 2), x, order=1, properties=["jvp_vs_numeric", "vjp_vs_numeric", "adjoint"]
    )


@pytest.mark.parametrize("slopes", [(0.0, 1.0), (-1.0, 1.0), (0.25, 0.5)])
@pytest.mark.parametrize(("share", "dies"), [(0.0, False), (0.5, False), (1.0, False), (-0.01, True), (1.01, True)])
def test_at_a_kink_what_lies_between_the_one_sided_derivatives_is_accepted(slopes, share, dies):
    left, right = slopes
    middle = left + share * (right - left)

    def slope(x):
        return tg.where(tg.equal(x, 0), middle, tg.where(tg.greater(x, 0), right, left))

    f = declare(tg.elementwise, lambda x: np.where(x > 0, right * x, left * x), slope)
    x = np.array([0.0, 1.0, 0.0, -2.0])
    if dies:
        with pytest.raises(GradientError, match="between the one-sided derivatives"):
            check_gradients(f, x, order=1)
    else:
        check_gradients(f, x)


def full(x, y, axis):
    return tg.equal(x, tg.expand_dims(y, axis)).astype(float)


def full_max():
    """The maximum that gives every tied maximum the full gradient."""
    return declare(
        tg.opaque, lambda x, axis: np.max(x, axis), name="full_max",
        vjp=lambda g, x, y, axis: tg.expand_dims(g, axis) * full(x, y, axis),
        jvp=lambda t, x, y, axis: tg.sum(t * full(x, y, axis), axis=axis),
    )  # fmt: skip


def test_the_full_gradient_for_every_tied_maximum_dies():
    f = full_max()
    check_gradients(lambda x: f(x, axis=1), values(0, shape=(3, 4)))
    for seed in range(8):
        with pytest.raises(GradientError, match="JVP is not"):
            check_gradients(lambda x: f(x, axis=1), np.array([[1.0, 2.0, 2.0]]), seed=seed)


def pooling(share, rule=None):
    """Max pooling by pairs along one axis, x (n,) to (n // 2,), with a rule of one's own for ties."""

    def shares(x):
        pairs = np.asarray(getattr(x, "_array", x)).reshape(-1, 2)
        weights = (pairs == pairs.max(1, keepdims=True)).astype(float)
        return share(weights)

    return declare(
        tg.opaque, lambda x: x.reshape(-1, 2).max(1), name="pool",
        vjp=lambda g, x: tg.reshape(tg.expand_dims(g, 1) * shares(x), (-1,)),
        jvp=lambda t, x: tg.sum(tg.reshape(t, (-1, 2)) * shares(x), axis=1),
        tie=rule, kinks="published" if rule else "", samples=lambda d: ((d.values((6,)),), {}),
    )  # fmt: skip


SHARES = {
    "half": lambda w: w / w.sum(1, keepdims=True),
    "first": lambda w: w * (np.cumsum(w, 1) == 1),
    "last": lambda w: (w[:, ::-1] * (np.cumsum(w[:, ::-1], 1) == 1))[:, ::-1],
    "full": lambda w: w,
}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("rule", ["first", "share", None])
def test_the_published_rule_decides_at_ties(share, rule):
    f = pooling(SHARES[share], rule)
    x = np.array([1.0, 1.0, 3.0, 2.0, 5.0, 5.0])
    right = share == {"first": "first", "share": "half"}.get(rule, share) and share != "full"
    if right:
        check_gradients(f, x)
    else:
        with pytest.raises(GradientError):
            check_gradients(f, x)
    check_gradients(f, np.array([1.0, 4.0, 3.0, 2.0, 5.0, 0.0]))


def test_a_wrong_tie_rule_dies_in_drawn_samples_and_inside_other_functions():
    half = pooling(SHARES["half"], "first")
    with pytest.raises(GradientError, match=r"published|between"):
        battery(half.primitive, 10)
    with pytest.raises(GradientError, match="published"):
        check_gradients(lambda x: tg.exp(half(2 * x)), np.array([1.0, 1.0, 3.0, 2.0]), order=1)


# No line through the point shows a kink, and yet there is no derivative of second order; for the median of first.
BENT = {
    "max of squares": (lambda x: tg.max(x * x), np.zeros(5)),
    "pooled squares": (lambda x: tg.max_pool2d(x * x, 2), np.zeros((1, 4, 4, 1))),
    "max of products": (lambda x, w: tg.max(x * w), np.zeros(4), np.zeros(4)),
    "relu of products": (lambda x, w: tg.relu(x @ w), np.zeros((2, 3)), np.zeros((3, 2))),
    "median": (lambda x: tg.sum(x, axis=0) - tg.max(x, axis=0) - tg.min(x, axis=0), np.ones((3, 2))),
    "squared relu": (lambda x: tg.relu(x) ** 2, np.array([0.0, 1.0, -1.0])),
    "cubed abs": (lambda x: tg.abs(x) ** 3, np.zeros(3)),
}


@pytest.mark.parametrize("name", BENT)
def test_no_false_alarm_where_a_function_bends_without_a_kink(name):
    f, *args = BENT[name]
    for seed in range(3):
        check_gradients(f, *args, seed=seed)


@pytest.mark.parametrize("steps", [1e3, 1e4, 3e4])
def test_the_stairs_of_round_are_not_those_of_float32(steps):
    """Its derivative is 0, which differences of the size that float32 needs do not show."""
    x, w = values(0, shape=(3, 4)), values(1, shape=(3, 4))
    check_gradients(lambda x: tg.round(x * steps) / steps, x, order=1)
    check_gradients(lambda x, w: tg.round(x * steps) / steps * w, x, w, order=1)


def test_wrong_gradients_die_where_a_function_bends_without_a_kink():
    def wrong_later(x):  # 2 x, whose own derivative is 2.002
        return 2 * x + (0.002 * (x - x.detach()) if isinstance(x, tg.Tensor) else 0)

    for slope in (lambda x: 2 * x + 1e-6, lambda x: 2.001 * x, wrong_later):
        f = declare(tg.elementwise, lambda x: x * x, slope)
        for g, x in ((tg.max, np.zeros(5)), (lambda y: tg.max_pool2d(y, 2), np.zeros((1, 4, 4, 1)))):
            with pytest.raises(GradientError, match="numeric"):
                check_gradients(lambda x, f=f, g=g: g(f(x)), x)
    half, first = pooling(SHARES["half"], "first"), pooling(SHARES["first"], "first")
    check_gradients(lambda x: first(x * x), np.zeros(4))
    with pytest.raises(GradientError, match="published"):
        check_gradients(lambda x: half(x * x), np.zeros(4))


def test_wrong_rules_do_not_bend_a_function():
    for wrong in (tg.sin, tg.abs, lambda x: 1e6 * x, lambda x: 1.001 * tg.exp(x)):
        case = Case(declare(tg.elementwise, np.exp, wrong), [values(0, shape=(3, 4))])
        assert (case.bends, case.gradient_case.bends) == (False, False)
    assert Case(lambda x: tg.max(x * x), [np.zeros(5)]).gradient_case.bends


def test_every_declared_kink_has_a_rule_that_a_machine_can_check():
    without = {name for name, p in LIBRARY.items() if p.kinks and not p.tie}
    # No kinks between branches, only points to step around: the logarithm of 0, and the origin.
    assert without == {"pow", "atan2", "angle", "hypot"}


def test_published_jacobians():
    case = Case.of_primitive(LIBRARY["maximum"], [np.array([1.0, 2.0]), np.array([1.0, 0.0])], {})
    for k, diagonal in enumerate(([0.5, 1.0], [0.5, 0.0])):
        jacobian = kinks.published(case, k, np.arange(2), np.arange(2))
        np.testing.assert_allclose(jacobian, np.diag(diagonal), atol=1e-9)


def test_a_wrong_tie_rule_in_a_large_array_is_found_and_named():
    half = pooling(SHARES["half"], "first")
    x = np.arange(4000.0)
    x[1234] = x[1235]
    with pytest.raises(GradientError, match="VJP at a tie is not the published one") as caught:
        check_gradients(half, x, order=1, properties=["kinks"])
    report = caught.value.report
    assert report.index in {(1234,), (1235,)}
    assert report.output_index == (617,)
    assert (report.analytic, report.method) == (0.5, "the published rule")
    check_gradients(pooling(SHARES["first"], "first"), x, order=1)


def test_a_rule_for_ties_that_nobody_knows_is_refused():
    with pytest.raises(tg.errors.DeclarationError, match="tie= to be one of left, right"):
        declare(tg.elementwise, np.abs, lambda x: tg.sign(x), tie="middle")


# ---------------------------------------------------------------------------------------------------------------
# Bad use

COUNTER = iter(range(10**6))
GENERATOR = np.random.default_rng(0)
BAD = {
    "no arguments": (lambda: check_gradients(lambda: tg.Tensor(1.0)), TypeError, "at least one floating-point"),
    "no float": (lambda: check_gradients(tg.exp, np.array([1, 2])), TypeError, "floating-point.*int64.*astype"),
    "an int": (lambda: check_gradients(tg.exp, 3), TypeError, "write 3.0 for 3"),
    "no function": (lambda: check_gradients(3.0, np.ones(2)), TypeError, "expected f to be a function, got 3.0"),
    "nothing": (lambda: check_gradients(lambda x: None, np.ones(2)), TypeError, "returned nothing"),
    "an array": (lambda: check_gradients(lambda x: x.numpy(), np.ones(2)), TypeError, "got ndarray.*has no graph"),
    "a string": (lambda: check_gradients(lambda x: "x", np.ones(2)), TypeError, "a tensor, got str"),
    "integers": (lambda: check_gradients(lambda x: tg.argmax(x), np.ones(2)), TypeError, "dtype int64.*no derivative"),
    "chance": (
        lambda: check_gradients(lambda x: x * GENERATOR.random(), np.ones(2)), ValueError, "not deterministic",
    ),
    "a shape by chance": (
        lambda: check_gradients(lambda x: tg.concat([x] * (1 + next(COUNTER))), np.ones(2)), ValueError,
        "shape changes",
    ),
    "a shape by values": (
        lambda: check_gradients(lambda x: x[: 1 + int(x.sum().item() > 3.0)], np.ones(3)), ValueError, "shape changes",
    ),
    "raises": (lambda: check_gradients(lambda x: 1 / 0, np.ones(2)), ValueError, "raised ZeroDivisionError"),
    "an argument that is not there": (
        lambda: check_gradients(tg.exp, np.ones(2), argnums=1), ValueError, "argnums=1, but there are 1 arguments",
    ),
    "an argument that is no float": (
        lambda: check_gradients(lambda x, n: x * n, np.ones(2), 3, argnums=1), TypeError, "argument 1 .*floating-point",
    ),
    "no mode": (lambda: check_gradients(tg.exp, np.ones(2), modes=()), ValueError, "expected modes from"),
    "an empty list": (lambda: check_gradients(lambda x: [], np.ones(2)), TypeError, "returned nothing"),
    "a list of nothing": (lambda: check_gradients(lambda x: [None], np.ones(2)), TypeError, "returned nothing"),
    "an unknown property": (
        lambda: check_gradients(tg.exp, np.ones(2), properties=["adjont"]), ValueError, "adjoint.*got 'adjont'",
    ),
    "an unknown mode": (lambda: check_gradients(tg.exp, np.ones(2), modes=("up",)), ValueError, "expected modes from"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_use_says_so(case):
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, tg.errors.TinygradConvError)
    assert not isinstance(caught.value, AssertionError)


# ---------------------------------------------------------------------------------------------------------------
# Ways to call


def test_arguments_of_all_kinds():
    parameters = {"w": values(0, shape=(3, 2)), "b": [values(1, shape=(2,)), 0.5]}
    x = values(2, shape=(4, 3)).astype(np.float32)

    def f(x, p, power, labels):
        return {"y": tg.tanh(x @ p["w"] + p["b"][0]) ** power, "loss": [p["b"][1] * tg.sum(x), labels.sum() * x[0, 0]]}

    check_gradients(f, tg.Tensor(x), parameters, 2, np.arange(3))
    check_gradients(f, x, parameters, 2, np.arange(3), argnums=(1,), modes="reverse", order=1, name="the model")


def test_modes_and_order_are_kept_to():
    forward_only = declare(tg.opaque, np.square, name="f", vjp=lambda g, x: 3 * g * x, jvp=lambda t, x: 2 * t * x)
    check_gradients(forward_only, np.ones(2), modes=("forward",))
    with pytest.raises(GradientError):
        check_gradients(forward_only, np.ones(2), modes=("reverse",))
    check_gradients(DEADLY["only the second order"]()[0], np.ones(2), order=1)


def test_empty_and_scalar_arguments():
    check_gradients(tg.exp, 0.5)
    check_gradients(tg.exp, np.zeros((0, 3)))
    check_gradients(lambda x, y: x * y, np.zeros((0, 3)), 2.0)


def test_hypothesis_is_not_needed():
    code = """
import sys; sys.modules["hypothesis"] = None
import numpy as np, tinygrad_conv as tg
from tinygrad_conv.testing import Draw, check_gradients, check_primitive
check_gradients(tg.tanh, np.ones(2))
check_primitive(tg.primitives()["conv"], Draw.seeded(0))
try:
    import tinygrad_conv.testing.strategies
except tg.errors.MissingExtraError as error:
    assert "pip install" in str(error)
else:
    raise SystemExit("strategies imported")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_checks_are_reproducible():
    def directions(seed):
        return Case(tg.exp, [np.ones(3)], seed=seed).tangents[0]

    np.testing.assert_array_equal(directions(1), directions(1))
    assert all(not np.array_equal(directions(a), directions(b)) for a, b in pairwise(range(5)))
