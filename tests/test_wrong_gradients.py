"""The same mistakes in gradients of NumPy, our own primitives, PyTorch, autograd and JAX.

Each dies, and an element that is truly wrong is named; the right gradient passes.
"""

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.engine.primitive import Primitive
from tinygrad_conv.testing import GradientError, check_gradients, check_vjp, from_autograd, from_jax, from_torch

pytestmark = pytest.mark.usefixtures("little_shrinking")


RNG = np.random.default_rng(0)
SQUARE, OTHER, ROW = RNG.uniform(-2, 2, (3, 3)), RNG.uniform(-2, 2, (3, 3)), RNG.uniform(-2, 2, 3)


def softmax(xp, x):
    e = xp.exp(x)
    return e / xp.sum(e, -1)[:, None]


def softmax_vjp(xp, g, x):
    s = softmax(xp, x)
    return [s * (g - xp.sum(g * s, -1)[:, None])]


def weighted(xp, x, w):
    return xp.exp(xp.matmul(x, w) / 4)


def weighted_vjp(xp, g, x, w):
    inner = g * weighted(xp, x, w) / 4
    return [xp.matmul(inner, w.T), xp.matmul(x.T, inner)]


def scaled(xp, x, w):
    return x * w * w


def scaled_vjp(xp, g, x, w):
    return [g * w * w, xp.sum(2 * g * x * w, 0)]


def positive(xp, x):
    return xp.where(x > 0, x * x, 0 * x)


def positive_vjp(xp, g, x):
    return [xp.where(x > 0, 2 * x * g, 0 * g)]


RIGHT = {
    softmax: (softmax_vjp, SQUARE), weighted: (weighted_vjp, SQUARE, OTHER), scaled: (scaled_vjp, SQUARE, ROW),
    positive: (positive_vjp, SQUARE),
}  # fmt: skip
COLUMNS = np.array([1.0, 1.0, 1.01])
WRONG = {
    "no cross term": (softmax, lambda xp, g, x: [softmax(xp, x) * g]),
    "the diagonal alone": (softmax, lambda xp, g, x: [g * softmax(xp, x) * (1 - softmax(xp, x))]),
    "the sum over the other axis": (
        softmax, lambda xp, g, x: [softmax(xp, x) * (g - xp.sum(g * softmax(xp, x), 0))],
    ),
    "a factor of 1 + 1e-6": (softmax, lambda xp, g, x: [softmax_vjp(xp, g, x)[0] * (1 + 1e-6)]),
    "an offset of 1e-5": (softmax, lambda xp, g, x: [softmax_vjp(xp, g, x)[0] + 1e-5]),
    "the last column": (softmax, lambda xp, g, x: [softmax_vjp(xp, g, x)[0] * xp.asarray(COLUMNS)]),
    "not transposed": (weighted, lambda xp, g, x, w: [weighted_vjp(xp, g, x, w.T)[0], weighted_vjp(xp, g, x, w)[1]]),
    "swapped": (weighted, lambda xp, g, x, w: weighted_vjp(xp, g, x, w)[::-1]),
    "dropped": (weighted, lambda xp, g, x, w: [weighted_vjp(xp, g, x, w)[0], 0 * w]),
    "without the inner derivative": (weighted, lambda xp, g, x, w: [xp.matmul(g, w.T) / 4, xp.matmul(x.T, g) / 4]),
    "the mean for the sum": (scaled, lambda xp, g, x, w: [g * w * w, xp.sum(2 * g * x * w, 0) / 3]),
    "the first row for the sum": (scaled, lambda xp, g, x, w: [g * w * w, (2 * g * x * w)[0]]),
    "wrong sign": (scaled, lambda xp, g, x, w: [-g * w * w, xp.sum(2 * g * x * w, 0)]),
    "the mask of another": (positive, lambda xp, g, x: [xp.where(x > 0.5, 2 * x * g, 0 * g)]),
    "the mask of g": (positive, lambda xp, g, x: [xp.where(g > 0, positive_vjp(xp, g, x)[0], 0 * g)]),
    "not masked": (positive, lambda xp, g, x: [2 * x * g]),
}  # fmt: skip


def by_numpy(f, vjp):
    check = lambda *xs: f(np, *xs)  # noqa: E731
    check.__name__ = f.__name__
    return lambda *xs: check_vjp(check, lambda g, *xs: vjp(np, g, *xs), *xs)


def by_us(f, vjp):
    rule = lambda g, xs, i: vjp(tg, g, *xs)[i]  # noqa: E731
    jvp = lambda t, xs, i: tg.jvp(lambda x: f(tg, *xs[:i], x, *xs[i + 1 :]), (xs[i],), (t,))[1]  # noqa: E731
    forward = lambda *xs: f(np, *xs)  # noqa: E731
    forward.__name__ = forward.__qualname__ = f.__name__
    return lambda *xs: check_gradients(Primitive("opaque", forward, vjp=(rule,), jvp=(jvp,)).operation, *xs)


def by_torch(f, vjp):
    torch = pytest.importorskip("torch")

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            return f(torch, *xs)

        @staticmethod
        def backward(ctx, g):
            return tuple(vjp(torch, g, *ctx.saved_tensors))

    return lambda *xs: check_gradients(from_torch(Function), *xs)


def by_autograd(f, vjp):
    extend = pytest.importorskip("autograd.extend")
    made = extend.primitive(lambda *xs: f(np, *xs))
    rules = [lambda y, *xs, i=i: lambda g: vjp(np, g, *xs)[i] for i in range(len(RIGHT[f]) - 1)]
    extend.defvjp(made, *rules)
    return lambda *xs: check_gradients(from_autograd(made), *xs, order=1)


def by_jax(f, vjp):
    jax = pytest.importorskip("jax")
    made = jax.custom_vjp(lambda *xs: f(jax.numpy, *xs))
    made.defvjp(lambda *xs: (f(jax.numpy, *xs), xs), lambda xs, g: tuple(vjp(jax.numpy, g, *xs)))
    return lambda *xs: check_gradients(from_jax(lambda *xs: made(*xs)), *xs, order=1, properties=["vjp_vs_numeric"])


FORMS = [by_numpy, by_us, *(pytest.param(form, marks=pytest.mark.peer) for form in (by_torch, by_autograd, by_jax))]


@pytest.mark.parametrize("form", FORMS)
def test_right_gradients_pass(form):
    for f, (vjp, *xs) in RIGHT.items():
        form(f, vjp)(*xs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mistake", WRONG)
def test_each_mistake_dies_and_a_wrong_element_is_named(form, mistake):
    f, vjp = WRONG[mistake]
    right, *xs = RIGHT[f]
    with pytest.raises(GradientError) as caught:
        form(f, vjp)(*xs)
    report = caught.value.report
    argument = int(report.argument.split()[-1])
    is_wrong = []
    for sign in (1.0, -1.0):  # some are wrong where g is negative only
        g = np.zeros_like(f(np, *xs))
        g[report.output_index] = sign
        wrong, true = (rule(np, g, *xs)[argument][report.index] for rule in (vjp, right))
        is_wrong.append(abs(wrong - true) > 1e-9)
    assert any(is_wrong)
    if report.property != "linearity":  # which compares with the gradient itself
        assert report.numeric == pytest.approx(sign * true, rel=1e-9)
    assert abs(report.analytic - report.numeric) > 1e-9
