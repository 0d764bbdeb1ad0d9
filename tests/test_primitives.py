"""Every primitive, by its declared samples: values, derivatives, dtypes, layouts, extremes, errors."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_cases import COMPOSITES
from values import SCALAR, value_of

import tinygrad_conv as tg
from tinygrad_conv.kernels.window import Window
from tinygrad_conv.ops.pooling import pool_maxima
from tinygrad_conv.testing import Draw, check_primitive
from tinygrad_conv.testing.samples import draw_sample

LIBRARY = {n: p for n, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")}


def drawn(data):
    """A `Draw` whose structure Hypothesis chooses."""
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    return Draw(lambda low, high: data.draw(st.integers(low, high)), seed)


ELEMENTWISE = [name for name, primitive in LIBRARY.items() if primitive.kind == "elementwise"]


@pytest.mark.parametrize("name", ELEMENTWISE)
@settings(max_examples=4)  # they differ in their derivatives alone; test_testing.py draws all boundary classes
@given(data=st.data())
def test_battery_of_elementwise(name, data):
    """Differences, adjoint identity to 1e-12, second order in all modes, dtypes, inputs unmodified, any layout."""
    check_primitive(LIBRARY[name], drawn(data))


@pytest.mark.parametrize("name", [name for name in LIBRARY if name not in ELEMENTWISE])
@settings(max_examples=6)  # beside those of all boundary classes, in test_testing.py
@given(data=st.data())
def test_battery(name, data):
    check_primitive(LIBRARY[name], drawn(data))


@pytest.mark.parametrize("name", LIBRARY)
@settings(max_examples=10)
@given(data=st.data())
def test_value(name, data):
    """That of a reference, which every primitive has to have."""
    args, params = draw_sample(LIBRARY[name], drawn(data))
    got = LIBRARY[name].operation(*[tg.Tensor(a) for a in args], **params).numpy()
    expected = value_of(name, *args, **params)
    assert got.shape == expected.shape
    tolerance = {"rtol": 1e-13, "atol": 1e-14} if name in SCALAR else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(got, expected, **tolerance)


# ---------------------------------------------------------------------------------------------------------------
# Composites against NumPy, and their gradients


@pytest.mark.parametrize("name", COMPOSITES)
def test_composite_value_and_gradient(name):
    f, reference = COMPOSITES[name]
    x = Draw.seeded(3).values((2, 3, 4))
    np.testing.assert_allclose(f(tg.Tensor(x)).numpy(), reference(x), rtol=1e-12, atol=1e-12)
    tg.testing.check_gradients(f, x, name=name)


LOSSES = {
    "softmax_cross_entropy": lambda x: tg.softmax_cross_entropy(x, np.array([1, 0, 3])),
    "softmax_cross_entropy_one_hot": lambda x: tg.softmax_cross_entropy(x, np.eye(4)[[1, 0, 3]]),
    "softmax_cross_entropy_smooth": lambda x: tg.softmax_cross_entropy(
        x, np.array([1, 0, 3]), weights=[1.0, 0.0, 2.0], label_smoothing=0.1
    ),
    "binary_cross_entropy": lambda x: tg.binary_cross_entropy(x, (np.arange(12).reshape(3, 4) % 2)),
    "mse": lambda x: tg.mse(x, np.ones((3, 4)), reduction="none"),
    "mae": lambda x: tg.mae(x, np.full((3, 4), 0.3)),
    "huber": lambda x: tg.huber(x, np.zeros((3, 4)), delta=1.1),
    "hinge": lambda x: tg.hinge(x, np.sign(np.arange(12).reshape(3, 4) - 5.5)),
    "kl_divergence": lambda x: tg.kl_divergence(tg.softmax(x), np.eye(4)[[1, 0, 3]] * 0.7 + 0.075),
    "batch_norm": lambda x: tg.batch_norm(x, np.arange(1.0, 5), np.ones(4))[0],
    "batch_norm_given": lambda x: tg.batch_norm(x, None, None, np.ones(4), np.full(4, 2.0)),
    "layer_norm": lambda x: tg.layer_norm(x, np.arange(1.0, 5), np.ones(4)),
    "group_norm": lambda x: tg.group_norm(tg.reshape(x, (1, 3, 4)), groups=2),
    "instance_norm": lambda x: tg.instance_norm(tg.reshape(x, (1, 3, 4))),
    "embedding": lambda x: tg.embedding([[0, 2], [2, 2]], x),
    "dropout": lambda x: tg.dropout(x, 0.5, np.random.default_rng(1)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_norms_gradient(name):
    tg.testing.check_gradients(LOSSES[name], Draw.seeded(5).values((3, 4)), name=name)


def test_loss_values(rng):
    x, t = rng.standard_normal((5, 3)), np.array([0, 2, 1, 1, 0])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    expected = -np.mean([math.log(p[k, t[k]]) for k in range(5)])
    assert tg.softmax_cross_entropy(tg.Tensor(x), t).item() == pytest.approx(expected, abs=1e-12)
    assert tg.softmax_cross_entropy(tg.Tensor(x), np.eye(3)[t]).item() == pytest.approx(expected, abs=1e-12)
    assert tg.softmax_cross_entropy(tg.Tensor(x), t[:, None]).item() == pytest.approx(expected, abs=1e-12)
    y = (x > 0).astype(float)
    s = 1 / (1 + np.exp(-x))
    expected = -np.mean(y * np.log(s) + (1 - y) * np.log(1 - s))
    assert tg.binary_cross_entropy(tg.Tensor(x), y).item() == pytest.approx(expected, abs=1e-12)
    assert tg.kl_divergence(tg.Tensor(p), np.eye(3)[t]).item() == pytest.approx(
        -np.mean(np.log(p[np.arange(5), t])), abs=1e-12
    )


# ---------------------------------------------------------------------------------------------------------------
# Extremes, kinks, ties


@pytest.mark.parametrize(
    "name",
    ["sigmoid", "softplus", "tanh", "silu", "mish", "gelu", "elu", "selu", "softsign", "relu", "leaky_relu",
     "hard_sigmoid", "erf", "softmax", "log_softmax", "logsumexp"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_are_finite_to_second_order(name, dtype):
    f = getattr(tg, name)
    x = np.array([-1e4, -88.0, -20.0, -1e-30, 0.0, 1e-30, 20.0, 88.0, 1e4], dtype)
    y, pullback = tg.vjp(f, x)
    first = pullback(np.ones(y.shape, dtype))[0]
    second = tg.grad(lambda v: tg.grad(lambda u: tg.sum(f(u)))(v).sum())(x)
    for values in (y, first, second):
        assert np.isfinite(values.numpy()).all(), (name, values)


@pytest.mark.parametrize("x", [-1000.0, 0.0, 1000.0])
def test_cross_entropy_is_finite_at_extreme_logits(x):
    logits = tg.Tensor([[x, -x, 0.0]], requires_grad=True)
    loss = tg.softmax_cross_entropy(logits, [1])
    loss.backward()
    assert np.isfinite(loss.item())
    assert np.isfinite(logits.grad.numpy()).all()


# (function, point, derivative): the published table of docs/kinks.md
KINKS = [
    ("relu", lambda x: tg.relu(x), [0.0], [0.0]),
    ("leaky_relu", lambda x: tg.leaky_relu(x, 0.2), [0.0], [0.2]),
    ("elu", lambda x: tg.elu(x, 0.7), [0.0], [0.7]),
    ("selu", lambda x: tg.selu(x), [0.0], [1.0507009873554805 * 1.6732632423543772]),
    ("hard_sigmoid", lambda x: tg.hard_sigmoid(x), [-3.0, 3.0], [0.0, 0.0]),
    ("abs", lambda x: tg.abs(x), [0.0], [0.0]),
    ("_sign", lambda x: tg.sign(x), [0.0], [0.0]),
    ("floor", lambda x: tg.floor(x), [1.0], [0.0]),
    ("ceil", lambda x: tg.ceil(x), [1.0], [0.0]),
    ("round", lambda x: tg.round(x), [0.5], [0.0]),
    ("trunc", lambda x: tg.trunc(x), [1.0], [0.0]),
    ("floor_divide", lambda x: x // 1.0, [1.0], [0.0]),
    ("remainder", lambda x: x % 1.0, [1.0], [1.0]),
    ("atan2", lambda x: tg.atan2(x, 0.0), [0.0], [0.0]),
    ("pow", lambda x: tg.pow(0.0, x), [2.0], [0.0]),
    ("_clip", lambda x: tg.clip(x, -1, 1), [-1.0, 1.0], [1.0, 1.0]),
    ("_clip_to", lambda low: tg.clip(np.ones(3), low, 2), [0.0, 1.0, 3.0], [0.0, 0.0, 0.0]),
    ("maximum", lambda x: tg.maximum(x, 2.0), [2.0], [0.5]),
    ("fmax", lambda x: tg.fmax(x, 2.0), [2.0], [0.5]),
    ("fmin", lambda x: tg.fmin(2.0, x), [2.0], [0.5]),
    ("fmod", lambda x: tg.fmod(x, 1.0), [1.0], [1.0]),
    ("copysign", lambda x: tg.copysign(x, 1.0), [0.0], [0.0]),
    ("hypot", lambda x: tg.hypot(x, 0.0), [0.0], [0.0]),
    ("nextafter", lambda x: tg.nextafter(x, 1.0), [1.0], [1.0]),
    ("angle", lambda x: tg.angle(x + 0j), [0.0], [0.0]),
    ("rint", lambda x: tg.rint(x), [0.5], [0.0]),
    ("minimum", lambda x: tg.minimum(2.0, x), [2.0], [0.5]),
    ("max", lambda x: tg.max(x), [2.0, 2.0, 1.0, 2.0], [1 / 3, 1 / 3, 0.0, 1 / 3]),
    ("min", lambda x: tg.min(x), [1.0, 2.0, 1.0], [0.5, 0.0, 0.5]),
    ("pool_max", lambda x: tg.max_pool1d(x.reshape(1, 4, 1), 4), [1.0, 5.0, 5.0, 5.0], [0, 1.0, 0, 0]),
    (
        "pool_maxima",
        lambda x: pool_maxima(x.reshape(1, 4, 1), window=Window((4,), (4,), (1,), ((0, 0),), (4,), (1,))),
        [1.0, 5.0, 5.0, 5.0],
        [0, 1.0, 0, 0],
    ),
    ("linalg_norm", lambda x: tg.linalg_norm(x), [0.0, 0.0], [0.0, 0.0]),
    ("linalg_norm", lambda x: tg.linalg_norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
    ("std", lambda x: tg.std(x), [2.0, 2.0], [0.0, 0.0]),
]


@pytest.mark.parametrize(("name", "f", "x", "expected"), KINKS, ids=[k[0] for k in KINKS])
def test_kinks(name, f, x, expected):
    x = np.array(x)
    gradient = tg.grad(lambda v: tg.sum(f(v)))(x).numpy()
    np.testing.assert_allclose(gradient, expected, rtol=1e-15)
    pushed = tg.jvp(lambda v: tg.sum(f(v)), (x,), (np.ones(x.shape),))[1].item()
    assert pushed == pytest.approx(sum(expected), rel=1e-15)


def test_every_declared_kink_is_in_the_table():
    declared = {n for n, p in LIBRARY.items() if p.kinks}
    assert declared <= {k[0] for k in KINKS}


def test_kink_table_is_published():
    import pathlib

    page = pathlib.Path(__file__).parents[1] / "docs" / "kinks.md"
    text = page.read_text(encoding="utf-8")
    for name, primitive in LIBRARY.items():
        if primitive.kinks:
            assert f"| `{name.lstrip('_')}` | {primitive.kinks} |" in text


def test_where_guards_against_nan():
    x = np.array([-1.0, 0.0, 4.0])
    with np.errstate(invalid="ignore", divide="ignore"):
        leaky = tg.grad(lambda v: tg.sum(tg.where(v > 0, tg.sqrt(v), 0.0)))(x)
        safe = tg.grad(lambda v: tg.sum(tg.where(v > 0, tg.sqrt(tg.where(v > 0, v, 1.0)), 0.0)))(x)
    assert np.isnan(leaky.numpy()).any()
    np.testing.assert_array_equal(safe.numpy(), [0, 0, 0.25])


def test_pow_at_zero():
    for exponent in (0, 0.0, 1, 2, np.array([0.0])):
        g = tg.grad(lambda v, e=exponent: tg.sum(tg.pow(v, e)))(np.array([0.0, 2.0]))
        assert np.isfinite(g.numpy()).all()


def test_logsumexp_of_impossible_events():
    x = np.array([[-np.inf, 0.0], [-np.inf, -np.inf]])
    y, pullback = tg.vjp(lambda v: tg.logsumexp(v, axis=0), x)
    assert y.tolist() == [-np.inf, 0]
    np.testing.assert_array_equal(pullback(np.ones(2))[0].numpy(), [[0, 1], [0, 0]])


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_empty_axes_have_values_and_gradients(shape):
    x = tg.Tensor(np.zeros(shape), requires_grad=True)
    product = tg.prod(x, axis=shape.index(0))
    np.testing.assert_array_equal(product.numpy(), np.prod(x.numpy(), axis=shape.index(0)))
    (product.sum() + tg.log_softmax(x, axis=shape.index(0)).sum()).backward()
    assert x.grad.shape == shape


def test_prod_with_zeros_is_exact_to_second_order():
    x = np.array([0.0, 2.0, 0.0, 3.0])
    np.testing.assert_array_equal(tg.grad(tg.prod)(x).numpy(), [0, 0, 0, 0])
    hessian = tg.hessian(tg.prod)(x).numpy()
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 6
    np.testing.assert_array_equal(hessian, expected)


@pytest.mark.parametrize("index", [((0, 0),), ([0, 0],), (slice(None), (1, 1)), np.array([0, 0]), range(2)], ids=repr)
def test_an_element_picked_twice_gets_both_gradients(index):
    x = np.zeros((2, 3))
    counts = np.zeros((2, 3))
    np.add.at(counts, list(index) if isinstance(index, range) else index, 1)
    np.testing.assert_array_equal(tg.grad(lambda v: v[index].sum())(x).numpy(), counts)


@pytest.mark.parametrize("index", [1.5, "a", slice(0.0, 2.0)], ids=repr)
def test_indices_are_integers(index):
    with pytest.raises(IndexError, match="getitem: expected integers"):
        tg.Tensor([1.0, 2.0])[index]


def test_what_a_rule_reads_is_nobody_elses():
    low = np.zeros(3)
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = tg.clip(x, low).sum() + tg.roll(x, [1], [0]).sum()
    low += 9
    y.backward()
    assert x.grad.tolist() == [2, 2, 2]
    images = tg.Tensor(np.arange(6.0).reshape(3, 2) ** 2, requires_grad=True)
    expected = tg.grad(lambda v: (tg.batch_norm(v)[0] ** 3).sum())(images.detach())
    y, mean, var = tg.batch_norm(images)
    mean *= 0
    var *= 0
    (y**3).sum().backward()
    np.testing.assert_array_equal(images.grad.numpy(), expected.numpy())


def test_integers_combine_bit_by_bit_and_bools_logically():
    for name in ("and", "or", "xor"):
        f, reference = getattr(tg, f"bitwise_{name}"), getattr(np, f"bitwise_{name}")
        for a, b in ((np.array([6, 5]), 3), (np.array([True, False]), np.array([True, True]))):
            got = f(tg.Tensor(a), b).numpy()
            np.testing.assert_array_equal(got, reference(a, b), strict=True)
    assert tg.bitwise_invert(tg.Tensor([6])).tolist() == [~6]


# ---------------------------------------------------------------------------------------------------------------
# dtypes


def test_numpy_2_promotion():
    x = tg.Tensor(np.ones(2, np.float32), requires_grad=True)
    assert (x * 2.0).dtype == np.float32
    assert (2 + x).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64
    assert (x * np.ones(2)).dtype == np.float64
    assert (x > 0).dtype == bool
    assert (tg.Tensor([1, 2]) + 1).dtype == np.int64
    (x * np.ones(2)).sum().backward()
    assert x.grad.dtype == np.float32


# ---------------------------------------------------------------------------------------------------------------
# Bad calls

BAD = [
    (lambda: tg.Tensor(np.ones((3, 4))) + tg.Tensor(np.ones(5)), r"add: expected shapes.*\(3, 4\) and \(5,\).*axis -1"),
    (lambda: tg.matmul(np.ones((2, 3)), tg.Tensor(np.ones((2, 3)))), r"matmul: expected x1.shape\[-1\] == .*use x2.mT"),
    (lambda: tg.sum(tg.Tensor(np.ones(3)), axis=2), r"sum: axis 2 is out of bounds.*x \(3,\)"),
    (lambda: tg.reshape(tg.Tensor(np.ones(3)), (2, 2)), r"reshape: cannot reshape.*x \(3,\)"),
    (lambda: tg.Tensor(np.ones(3))[5], r"getitem: index 5 is out of bounds"),
    (lambda: tg.concat([tg.Tensor(np.ones((2, 3))), np.ones((2, 4))]), r"concat: .*\(2, 4\)"),
    (lambda: tg.concat([]), "concat: expected at least one"),
    (lambda: tg.stack([np.ones(2), tg.Tensor(np.ones(3))]), "stack: expected arrays of one shape"),
    (lambda: tg.split(tg.Tensor(np.ones(6)), 4), r"split: axis 0 of size 6 .*use one of \[1, 2, 3, 6\]"),
    (lambda: tg.squeeze(tg.Tensor(np.ones((2, 1))), 0), "squeeze: "),
    (lambda: tg.einsum("ij,jk->ik", np.ones((2, 3)), tg.Tensor(np.ones((4, 2)))), "einsum: axis 'j' has size 3 and"),
    (lambda: tg.einsum("ij->ij", np.ones(3)), "einsum: term 'ij' names 2 axes"),
    (lambda: tg.solve(np.ones((2, 3)), tg.Tensor(np.ones(2))), "solve: expected square"),
    (lambda: tg.inv(tg.Tensor(np.zeros((2, 2)))), "inv: Singular matrix"),
    (lambda: tg.one_hot([0, 3], 3), "one_hot: expected labels from 0 to 2, got 3 at index 1"),
    (lambda: tg.softmax_cross_entropy(np.zeros((2, 3)), [0, 3]), "expected labels from 0 to 2, got 3 at index 1"),
    (lambda: tg.softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2, 4))), "the last layer must have 4 units"),
    (lambda: tg.softmax_cross_entropy(np.zeros((2, 3)), [0.5, 1]), "expected integer labels"),
    (lambda: tg.mse(np.zeros((2, 1)), np.zeros(2)), r"mse: expected .*use target.reshape\(\(2, 1\)\)"),
    (
        lambda: tg.embedding([9], np.zeros((3, 2))),
        r"embedding: expected indices from 0 to 2, got 9 \(table \(3, 2\)\)",
    ),
    (lambda: tg.embedding([0.5], np.zeros((3, 2))), "expected integer indices"),
    (lambda: tg.layer_norm(np.ones((2, 3)), axis=4), "layer_norm: axis 4 is out of bounds"),
    (lambda: tg.prod(np.ones((2, 3)), axis=(0, 0)), "prod: repeated axis"),
    (lambda: tg.swapaxes(np.ones((2, 3)), 0, 2), r"swapaxes: expected axes of shape \(2, 3\), got 0 and 2"),
    (
        lambda: tg.mse(np.ones(2), np.ones(2), weights=np.ones(3)),
        r"mse: expected one weight per loss \(2,\), got \(3,\)",
    ),
    (lambda: tg.one_hot([-1], 3), "got -1 at index 0; renumber the labels from 0"),
    (lambda: tg.astype(np.ones(2), "float99"), "astype: expected dtype to be a dtype of numbers, got 'float99'"),
    (
        lambda: tg.dropout(tg.Tensor([1.0]), 1.0, np.random.default_rng(0)),
        r"dropout: expected rate to be a number in \[0, 1\)",
    ),
    (lambda: tg.group_norm(np.ones((1, 6)), groups=4), r"groups that divide 6 channels, got 4; use \[1, 2, 3, 6\]"),
    (lambda: tg.exp("a"), "exp: "),
    (lambda: tg.relu(tg.Tensor([1.0]), 3), "relu: too many positional"),
    (lambda: tg.relu(tg.Tensor([1.0]), slope=3), "relu: "),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_call(case):
    call, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    assert isinstance(caught.value, tg.errors.TinygradConvError)


DECLARED_BAD = [(n, k) for n, p in LIBRARY.items() for k in range(len(p.bad))]


@pytest.mark.parametrize(("name", "k"), DECLARED_BAD)
def test_declared_bad_call(name, k):
    call, message = LIBRARY[name].bad[k]
    with pytest.raises(tg.errors.TinygradConvError, match=message):
        call()


def test_every_primitive_is_documented():
    for name, primitive in LIBRARY.items():
        assert re.search(r"[Dd]erivative", primitive.doc), name


# ---------------------------------------------------------------------------------------------------------------
# The battery is worth its name: planted wrong rules turn it red


WRONG = {
    "wrong factor": lambda: tg.elementwise(lambda x: 2.0002 * x)(_named("w_square", lambda x: np.square(x))),
    "wrong sign": lambda: tg.elementwise(lambda x: tg.sin(x))(_named("w_cos", lambda x: np.cos(x))),
    "wrong argument": lambda: tg.elementwise(lambda x1: x1, lambda x2: x2)(_named("w_mul", lambda x1, x2: x1 * x2)),
    "wrong transpose": lambda: tg.linear(
        lambda g: g, samples=lambda d: ((d.array((3,)),), {})
    )(_named("w_flip", lambda x: np.flip(x))),
    "second order only": lambda: tg.elementwise(lambda x: tg.exp(tg.stop_gradient(x)))(_named("w_exp", np.exp)),
    "forward mode only": lambda: tg.opaque(vjp=lambda g, x: 2 * x * g, jvp=lambda t, x: x * t)(
        _named("w_sq", lambda x: np.square(x))
    ),
    "drops dtype": lambda: tg.elementwise(lambda: 1.0)(_named("w_id", lambda x: np.asarray(x, np.float64))),
    "mutates its input": lambda: tg.linear(lambda g: g)(_named("w_mut", _mutating)),
}  # fmt: skip


def _mutating(x):
    if x.size and x.flags.writeable:
        x.flat[0] += 1
    return np.array(x)


def _named(name, f):
    def forward(x):
        return f(x)

    def forward_of_two(x1, x2):
        return f(x1, x2)

    named = forward_of_two if name == "w_mul" else forward
    named.__name__ = name
    return named


@pytest.mark.parametrize("case", WRONG)
def test_planted_wrong_rule_is_caught(case, monkeypatch):
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", {})
    primitive = WRONG[case]().primitive

    def battery():
        for seed in range(10):
            check_primitive(primitive, Draw.seeded(seed))

    with pytest.raises(AssertionError, match=primitive.name):
        battery()
