"""What a failed check says: the right element, the right suspicion, a test that fails alone, in 25 lines."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.testing import (
    Draw,
    GradientError,
    Report,
    adapters,
    check_gradients,
    check_primitive,
    numeric,
    replay,
)
from tinygrad_conv.testing.strategies import values

pytestmark = pytest.mark.usefixtures("little_shrinking")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", dict(tg.primitives()))


def report_of(f, *args, **options):
    with pytest.raises(GradientError) as caught:
        check_gradients(f, *args, **options)
    assert len(str(caught.value).splitlines()) <= 25
    assert max(map(len, str(caught.value).splitlines())) <= 240
    return caught.value.report


# ---------------------------------------------------------------------------------------------------------------
# The right element is named

SUBJECTS = {
    "conv": (lambda x, w: tg.conv2d(x, w, padding="same"), [(2, 3, 4, 2), (2, 3, 2, 2)]),
    "strided conv": (lambda x, w: tg.conv2d(x, w, stride=2), [(1, 4, 5, 2), (2, 2, 2, 1)]),
    "max_pool": (lambda x: tg.max_pool2d(x, 2) ** 2, [(2, 4, 2, 2)]),
    "avg_pool": (lambda x: tg.avg_pool2d(x, 2) ** 2, [(2, 4, 2, 2)]),
    "matmul": (lambda a, b: tg.matmul(a, b), [(4, 3), (3, 5)]),
    "softmax": (lambda x: tg.softmax(x, axis=-1), [(3, 4)]),
}


def spoiled(k, index, shape, order):
    """The identity for argument k, whose derivative (or only its second one) is wrong in one element."""
    mask = np.zeros(shape)
    mask[index] = 0.3

    if order == 1:
        return tg.elementwise(lambda: 1.0 + mask)(_identity)
    return tg.elementwise(lambda x: 1.0 + mask * (x - tg.stop_gradient(x)))(_identity)


def _identity(x):
    return np.array(x)


def read_elements(name, shapes, k):
    """The elements of argument k that the output depends on."""
    f, arrays = SUBJECTS[name][0], [values(7 + j, shape=s) for j, s in enumerate(shapes)]
    gradient = tg.grad(lambda *xs: tg.sum(f(*xs) ** 2), argnums=k)(*map(tg.Tensor, arrays)).numpy()
    return arrays, np.argwhere(np.abs(gradient) > 1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", SUBJECTS)
@settings(max_examples=2)
@given(data=st.data())
def test_the_wrong_element_is_named(name, order, data):
    f, shapes = SUBJECTS[name]
    k = data.draw(st.integers(0, len(shapes) - 1))
    arrays, places = read_elements(name, shapes, k)
    index = tuple(int(i) for i in places[data.draw(st.integers(0, len(places) - 1))])
    nudge = spoiled(k, index, shapes[k], order)

    def wrong(*xs):
        return f(*(nudge(x) if j == k else x for j, x in enumerate(xs)))

    with pytest.raises(GradientError) as caught:
        check_gradients(wrong, *arrays)
    report = caught.value.report
    assert (report.argument, report.index) == (f"argument {k}", index)
    assert report.order == order
    assert f"argument {k}{list(index)}" in str(caught.value)
    assert report.wrong == 1
    assert abs(report.analytic - report.numeric) > 100 * report.error
    if order == 2:
        assert report.output_index == index
        assert report.output == f"(gradient of argument {k})"


def test_the_wrong_element_is_named_where_only_one_mode_is_wrong():
    x, w = values(0, shape=(1, 4, 4, 1)), values(1, shape=(2, 2, 1, 2))
    mask = np.ones(w.shape)
    mask[1, 0, 0, 1] = 0.5
    for wrong in ("vjp", "jvp"):
        rules = {"vjp": lambda g: 1.0 * g, "jvp": lambda t: 1.0 * t}
        rules[wrong] = {"vjp": lambda g: g * mask, "jvp": lambda t: t * mask}[wrong]
        nudge = tg.opaque(**rules)(_identity)
        report = report_of(lambda x, w, nudge=nudge: tg.conv2d(x, nudge(w)), x, w, order=1)
        assert (report.argument, report.index) == ("argument 1", (1, 0, 0, 1))
        assert report.message.startswith(wrong.upper())
        assert report.output_index[-1] == 1


def test_the_wrong_element_is_named_in_large_arrays():
    x = values(0, shape=(4, 16, 16, 3))
    nudge = spoiled(0, (2, 11, 5, 1), x.shape, 1)
    report = report_of(lambda x: tg.avg_pool2d(nudge(x), 2), x, order=1)
    assert report.index == (2, 11, 5, 1)
    assert report.output_index == (2, 5, 2, 1)


def test_each_part_of_a_nested_argument_has_a_name():
    nudge = spoiled(0, (1,), (3,), 1)
    report = report_of(lambda p: p["a"] * nudge(p["b"]), {"a": np.ones(3), "b": np.full(3, 2.0)}, order=1)
    assert report.argument == "argument 0 (part 1)"
    assert report.index == (1,)


# ---------------------------------------------------------------------------------------------------------------
# The right suspicion


def conv(x, w):
    kh, kw = w.shape[:2]
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    return sum(x[:, i : i + oh, j : j + ow] @ w[i, j] for i in range(kh) for j in range(kw))


def conv_vjp(g, x, w):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    (kh, kw), (oh, ow) = w.shape[:2], g.shape[1:3]
    for i in range(kh):
        for j in range(kw):
            dx[:, i : i + oh, j : j + ow] += g @ w[i, j].T
            dw[i, j] = np.einsum("nhwc,nhwd->cd", x[:, i : i + oh, j : j + ow], g)
    return dx, dw


def assigned(g, x, w):
    dx, dw = np.zeros_like(x), conv_vjp(g, x, w)[1]
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            dx[:, i : i + g.shape[1], j : j + g.shape[2]] = g @ w[i, j].T
    return dx, dw


def changed(k, how):
    """The right gradients, with the one of argument k changed."""

    def vjp(g, x, w):
        gradients = list(conv_vjp(g, x, w))
        gradients[k] = how(gradients[k])
        return tuple(gradients)

    return vjp


def first_sample(g, x, w):
    return conv_vjp(g, x, w)[0], conv_vjp(g[:1], x[:1], w)[1]


def without_the_end(dx):
    dx = dx.copy()
    dx[:, -1] = 0
    return dx


SUSPECTS = {
    "the sign": (changed(0, lambda d: -d), 0),
    "a factor: analytic = 1.5 *": (changed(1, lambda d: 1.5 * d), 1),
    "a factor: analytic = 1.00001 *": (changed(0, lambda d: (1 + 1e-5) * d), 0),
    "a mean where a sum over the batch": (changed(1, lambda d: d / 3), 1),
    "a missing sum over the batch: only sample 0": (first_sample, 1),
    "a transpose: analytic is numeric with axes 0 and 1 swapped": (changed(1, lambda d: d.swapaxes(0, 1)), 1),
    "a flip: analytic is numeric reversed along axes 0, 1": (changed(1, lambda d: d[::-1, ::-1]), 1),
    "off by one: analytic is numeric moved by +1 along axis 1": (changed(0, lambda d: np.roll(d, 1, 1)), 0),
    "a dropped remainder: 0 in the last 1 of 6 along axis 1": (changed(0, without_the_end), 0),
    "a constant: analytic = numeric +5e-06": (changed(0, lambda d: d + 5e-6), 0),
    "the dtype: the gradient was rounded to float32": (changed(1, lambda d: d.astype("f4").astype("f8")), 1),
    "dropped: all derivatives by argument 1 are 0": (changed(1, lambda d: 0 * d), 1),
    "assigned where it should be added": (assigned, 0),
    "NaN or infinite": (changed(0, lambda d: np.where(d > 1, np.nan, d)), 0),
}


@pytest.mark.parametrize("suspicion", SUSPECTS)
def test_classical_mistakes_are_recognised(suspicion):
    vjp, k = SUSPECTS[suspicion]
    x, w = values(0, shape=(3, 6, 5, 2)), values(1, shape=(2, 2, 2, 3))
    adapters.check_vjp(conv, conv_vjp, x, w)
    report = report_of(adapters.from_numpy(conv, vjp), x, w)
    assert report.pattern.startswith(suspicion) or suspicion in report.pattern
    assert report.argument == f"argument {k}"


def test_swapped_gradients_and_missing_sums():
    def swapped(g, a, b):
        return g * a, g * b

    a, b = values(0, shape=(3,)), values(1, shape=(3,))
    assert "are swapped" in report_of(adapters.from_numpy(np.multiply, swapped), a, b).pattern
    with pytest.raises(GradientError, match="missing sum over a broadcast axis"):
        adapters.check_vjp(np.add, lambda g, a, b: (g, g), np.ones((2, 3)), np.ones(3))


def test_wrong_only_in_one_element_gets_no_wild_suspicion():
    def one(d):
        d = d.copy()
        d[1, 2, 3, 0] += 0.125
        return d

    x, w = values(0, shape=(3, 6, 5, 2)), values(1, shape=(2, 2, 2, 3))
    report = report_of(adapters.from_numpy(conv, changed(0, one)), x, w)
    assert report.index == (1, 2, 3, 0)
    assert report.pattern == ""  # from one number, nothing can be told
    assert report.wrong == 1
    assert report.where == "argument 0[1, :, :, 0], shape (3, 6, 5, 2)"
    assert report.picture == tuple(". . . x ." if row == 2 else ". . . . ." for row in range(6))


# ---------------------------------------------------------------------------------------------------------------
# The text, and the test to paste


def run_test(code):
    """Run the code of a test by itself; this module is importable while it is tested."""
    names = {}
    exec(code, names)
    next(f for name, f in names.items() if name.startswith("test_") and inspect.isfunction(f))()


def test_what_the_text_says():
    x, w = values(0, shape=(2, 6, 5, 2)), values(1, shape=(2, 2, 2, 3))
    report = report_of(adapters.from_numpy(conv, assigned), x, w)
    lines = str(report).splitlines()
    assert lines[0] == "conv: VJP is not the numeric derivative [vjp_vs_numeric]"
    titles = [line[2:16].strip() for line in lines]
    for title in ("worst element", "analytic", "numeric", "wrong", "where", "suspect"):
        assert title in titles
    assert f"± {report.error:.1g} (exact difference)" in str(report)
    assert "  a test that fails alone:" in lines
    assert "from_numpy(conv, assigned)" in report.test
    with pytest.raises(GradientError):
        run_test(report.test)


def test_html():
    report = report_of(tg.elementwise(lambda: 2.0)(_identity), np.ones((2, 2)))
    html = report._repr_html_()
    assert html.startswith("<b>_identity</b>: JVP is not the numeric derivative")
    assert "<pre>x x\nx x</pre>" in html
    assert "<script" not in Report("<script>", "p", "<script>")._repr_html_()
    assert GradientError(report)._repr_html_() == html


def test_an_error_may_be_plain_text():
    error = GradientError("f: its gradient is wrong")
    assert str(error) == "f: its gradient is wrong"
    assert (error.report.name, error.report.message) == ("f", "its gradient is wrong")


def wrong_square(x):
    return tg.square(x) + 0.25 * tg.sin(x - tg.stop_gradient(x))


def test_tests_to_paste():
    scale, offsets = 3.0, np.array([1.0, 2.0])

    def local(x):
        return scale * wrong_square(x) + offsets

    for f in (wrong_square, local, lambda x: scale * wrong_square(x)):
        report = report_of(f, np.ones((3, 2)), order=1)
        assert report.test, f
        with pytest.raises(GradientError):
            run_test(report.test)

    def test(x):
        return wrong_square(x)

    assert "def checked_test(x):" in report_of(test, np.ones(3), order=1).test  # pytest would take it for a test
    report = report_of(lambda x, n: n * wrong_square(x), np.ones(3), 2, order=1, seed=5)
    assert "order=1" in report.test
    assert "seed=5" in report.test
    with pytest.raises(GradientError):
        run_test(report.test)


def test_what_cannot_be_written_down_is_left_out():
    big = np.arange(1000.0)

    def closed_over(x):
        return wrong_square(x) * big.sum()

    report = report_of(closed_over, np.ones(3), order=1)
    assert report.test == ""
    assert "fails alone" not in str(report)


def test_what_is_shrunk_may_stand_beside_lists_of_any_form():
    args, _ = replay.shrunk_arguments([np.arange(6.0).reshape(2, 3), [[1.0, 2.0], [3.0]]], lambda args: True)
    assert args[0].shape == (1, 1)
    assert args[1] == [[1.0, 2.0], [3.0]]


def test_the_test_of_a_primitive_replays_the_smallest_sample(monkeypatch):
    monkeypatch.setattr(replay, "_SECONDS", 2.0)

    def double(x):
        return 2 * x

    primitive = tg.linear(lambda g: 2 * g * (1 + 1e-3 * (g.ndim == 2)))(double).primitive

    def battery():
        for seed in range(20):
            check_primitive(primitive, Draw.seeded(seed))

    with pytest.raises(GradientError) as caught:
        battery()
    report = caught.value.report
    assert report.total == 1
    assert report.index == (0, 0)
    assert "Draw.replay(" in report.test
    replayed = report.test.partition("Draw.replay(")[2]
    assert eval(replayed.partition(", ")[2].partition("]")[0] + "]")[0] == 2  # two axes


def test_missing_terms_of_normalisations_are_suspected():
    x = values(3, shape=(4, 5))

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True)

    def normalised(x):
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)

    def vjp(g, x, mean, variance):
        y = normalised(x)
        inside = g - mean * g.mean(-1, keepdims=True) - variance * y * (g * y).mean(-1, keepdims=True)
        return inside / x.std(-1, keepdims=True)

    def suspected(f, vjp):
        return report_of(adapters.from_numpy(f, vjp), x).pattern

    adapters.check_vjp(normalised, lambda g, x: vjp(g, x, 1, 1), x)
    assert "cross term of a softmax" in suspected(softmax, lambda g, x: g * softmax(x))
    assert "without its mean's part" in suspected(normalised, lambda g, x: vjp(g, x, 0, 1))
    assert "without its variance's part" in suspected(normalised, lambda g, x: vjp(g, x, 1, 0))
    assert "without its mean's and its variance's part" in suspected(normalised, lambda g, x: vjp(g, x, 0, 0))


def test_suspicions_are_not_silly():
    def suspected(vjp, *x):
        return report_of(adapters.from_numpy(lambda x: 3 * x, vjp), *x).pattern

    assert suspected(lambda g, x: 4 * g, np.array([2.0])) == ""  # one number is any multiple of another
    assert "batch" not in suspected(lambda g, x: 1.5 * g, values(0, shape=(2, 3)))
    assert "(1 +1e-06)" in suspected(lambda g, x: 3 * (1 + 1e-6) * g, values(0, shape=(2, 3)))


def softmax(x):
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True)


def dropped_out(x, seed=0):
    return x * (np.random.default_rng(seed).random(x.shape) < 0.5) / 0.5


def gathered(x):
    return x[[0, 2, 2, 1, 0]]


def assigned_at(g, x):
    gradient = np.zeros_like(x)
    gradient[[0, 2, 2, 1, 0]] = g
    return gradient


def grouped(x, w):
    """Two groups of channels, (N, 2 * c) and (2, c, f)."""
    return np.einsum("ngc,gcf->ngf", x.reshape(len(x), 2, -1), w).reshape(len(x), -1)


def grouped_vjp(g, x, w, mixed=0):
    gs, xs = g.reshape(len(g), 2, -1), x.reshape(len(x), 2, -1)
    dx = np.einsum("ngf,gcf->ngc", gs, w[::-1] if mixed == 1 else w).reshape(x.shape)
    return dx, np.einsum("ngc,ngf->gcf", xs, gs[:, ::-1] if mixed == 2 else gs)


ORDER = [2, 0, 1, 3]
MISPLACED = {
    "the wrong axis: a mean or sum": (
        softmax, lambda g, x: softmax(x) * (g - (g * softmax(x)).sum(0)), [values(3, shape=(4, 5))],
    ),
    "the wrong axis: analytic is constant": (
        lambda x: x.sum(0), lambda g, x: np.tile(g[:, None], (1, 4)), [values(3, shape=(4, 4))],
    ),
    "the wrong axis: analytic is the cotangent": (
        lambda x, b: x + b, lambda g, x, b: (g.copy(), g.sum(1)), [values(3, shape=(4, 4)), values(4, shape=(4,))],
    ),
    "another mask": (dropped_out, lambda g, x: dropped_out(g, 1), [values(3, shape=(4, 5))]),
    "an inverse permutation": (
        lambda x: x[ORDER], lambda g, x: g[ORDER], [values(3, shape=(4, 3))],
    ),
    "assigned where it should be added: of several contributions (repeated indices?)": (
        gathered, assigned_at, [values(3, shape=(3, 2))],
    ),
    "groups mixed": (
        grouped, lambda g, x, w: grouped_vjp(g, x, w, 1), [values(3, shape=(3, 4)), values(4, shape=(2, 2, 3))],
    ),
    "groups mixed: what belongs to one of 2": (
        grouped, lambda g, x, w: grouped_vjp(g, x, w, 2), [values(3, shape=(3, 4)), values(4, shape=(2, 2, 3))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("suspicion", MISPLACED)
def test_other_axes_masks_orders_and_groups_are_suspected(suspicion):
    f, vjp, args = MISPLACED[suspicion]
    assert report_of(adapters.from_numpy(f, vjp), *args).pattern.startswith(suspicion)


@pytest.mark.parametrize("suspicion", MISPLACED)
@pytest.mark.parametrize(
    "spoil", [lambda d: d + 0.3 * np.sin(7 * d), lambda d: d * np.linspace(0.5, 2, d.size).reshape(d.shape)]
)
def test_other_mistakes_get_no_such_suspicion(suspicion, spoil):
    """The right gradient of the same function, wrong in another way."""
    f, _, args = MISPLACED[suspicion]
    right = by_differences(f, args)
    report = report_of(adapters.from_numpy(f, lambda g, *xs: tuple(map(spoil, right(g, *xs)))), *args)
    assert not report.pattern.startswith(
        ("the wrong axis", "another mask", "an inverse", "assigned", "groups", "a missing")
    )


def by_differences(f, args):
    """The gradient by differences, far more exact than the mistakes here are large."""

    def right(g, *xs):
        found = []
        for k in range(len(xs)):
            rows = numeric.jacobian(f, list(xs), k).value.reshape(xs[k].size, -1)
            found.append((rows @ g.ravel()).reshape(xs[k].shape))
        return found

    return right
