"""Wrong rules, planted in every primitive: each mistake is what it says, and the battery kills them all."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.cli import main
from tinygrad_conv.engine.primitive import _registry
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.testing import GradientError, check_primitive, mutation
from tinygrad_conv.testing.adapters import check_vjp, from_numpy, from_torch
from tinygrad_conv.testing.battery import run_battery
from tinygrad_conv.testing.draw import Draw
from tinygrad_conv.testing.mistakes import MUTATIONS
from tinygrad_conv.testing.mutation import (
    alive,
    kill_table,
    mutants_of,
    mutants_of_function,
    planted,
    run_mutants,
    run_on_function,
    run_on_primitive,
    summary,
)
from tinygrad_conv.testing.strategies import values

pytestmark = pytest.mark.usefixtures("little_shrinking")


NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LIBRARY = [name for name, p in tg.primitives().items() if p.forward.__module__.startswith("tinygrad_conv.")]


# All mistakes are planted in these by day, too
WINDOWS = "conv", "conv_transpose", "conv_kernel_gradient", "patches", "pool_max", "pool_mean"


@pytest.fixture
def registry():
    """A registry that forgets what the test declares."""
    before = dict(_registry)
    yield
    _registry.clear()
    _registry.update(before)


def mutant(primitive, mistake, k=0, site=None):
    found = [m for m in mutants_of(tg.primitives()[primitive]) if m.mutation.name.startswith(mistake) and m.k == k]
    return next(m for m in found if site in (None, m.site))


# ---------------------------------------------------------------------------------------------------------------
# The library: 100 %


def in_turn(mutants):
    """Of each mistake one mutant, in another rule than that of the mistake before."""
    by_mistake = {}
    for mutant in mutants:
        by_mistake.setdefault(mutant.mutation, []).append(mutant)
    return [those[number % len(those)] for number, those in enumerate(by_mistake.values())]


def assert_the_mistakes_of_windows(name, verdicts):
    """None of those that the geometry allows is waved through as not applicable."""
    wanted = {
        "swap stride and dilation", "shift a window", "ignore the remainder", "wrong only for batch 1",
        "wrong only for H != W", "wrong only for stride > 1",
    }  # fmt: skip
    if name.startswith("conv"):
        wanted |= {"transpose the kernel", "no flip", "wrong only for padding > 0 and k = 1"}
    assert not [v.mutant for v in verdicts if v.mutation in wanted and v.outcome == "not applicable"]
    assert [v for v in verdicts if v.mutation == "assign for add in overlap" and v.outcome == "killed"]


@pytest.mark.parametrize("name", LIBRARY)
def test_every_mutant_of_the_library_is_killed(name):
    """Bounded: each second mistake in one rule (or the others, where these change nothing), and two samples to kill it;
    at night all, in all rules, with twelve."""
    primitive = tg.primitives()[name]
    parts, bounds = [list(mutants_of(primitive))], {}
    if not NIGHTLY and name not in WINDOWS:
        some, first = in_turn(parts[0]), LIBRARY.index(name) % 2  # what one primitive is spared, the next is not
        parts, bounds = [some[first::2], some[1 - first :: 2]], {"examples": 2, "draws": 60}
    elif not NIGHTLY:
        bounds = {"examples": 3}
    verdicts = []
    for part in parts:
        if not any(v.outcome == "killed" for v in verdicts):
            verdicts += run_on_primitive(primitive, part, **bounds)
    if name in WINDOWS:
        assert_the_mistakes_of_windows(name, verdicts)
    assert not alive(verdicts)
    assert any(v.outcome == "killed" for v in verdicts)
    if name != "pool_maxima":  # whose rules look for the maxima again: a wrong window may have them beyond the image
        assert not [v.mutant for v in verdicts if v.by == "raises"]  # a mutant is a wrong value, not a crash


OFTEN = ["multiply", "abs", "_matmul", "_log_det", "_irfft"]
_TURNED = """
    add subtract divide negative reciprocal pow square sqrt exp expm1 log log1p log2 log10 sin cos tan asin acos atan
    sinh cosh tanh silu sigmoid angle where sum _real _imag _conj _getitem scatter _set_at _add_at pick place reshape
    permute_dims broadcast_to sum_to _concat flip roll _cast identity copy logsumexp cumsum softmax log_softmax
    cross_entropy _contract tril triu _pad _solve inv _cholesky _pinv _qr _eig det cofactors _fft exp2 asinh acosh
    atanh _sinc
"""
TURNED = [*OFTEN, *_TURNED.split()]  # what takes complex numbers


@pytest.mark.parametrize("name", TURNED if NIGHTLY else OFTEN)
def test_every_mutant_is_killed_by_complex_numbers_too(name):
    """In the directions of the real and of the imaginary part."""
    bounds = {} if NIGHTLY else {"examples": 1, "draws": 20}
    verdicts = run_on_primitive(tg.primitives()[name], turned=True, **bounds)
    assert not alive(verdicts)
    assert {"negate", "second-order-only: a wrong factor"} & {v.mutation for v in verdicts if v.outcome == "killed"}


def test_every_mistake_is_planted_somewhere():
    verdicts = [v for name in ("conv", "add") for v in run_on_primitive(tg.primitives()[name], examples=2)]
    assert {v.mutation for v in verdicts if v.outcome == "killed"} == {m.name for m in MUTATIONS}


def test_not_applicable_has_a_reason():
    verdicts = run_on_primitive(tg.primitives()["_sign"])
    reasons = {v.mutation: v.by for v in verdicts if v.outcome == "not applicable"}
    assert reasons["negate"] == "changes nothing in 24 samples"  # its derivative is 0
    assert reasons["no flip"] == "fits none of 200 samples"


# ---------------------------------------------------------------------------------------------------------------
# Each mistake is what it says


X, W = (np.random.default_rng(k).normal(size=shape) for k, shape in enumerate([(2, 5, 6, 2), (3, 3, 2, 4)]))


def gradients(f, *args):
    y, pullback = tg.vjp(f, *args)
    return [g.numpy() for g in pullback(np.ones(y.shape))]


def test_no_flip_is_the_gradient_of_the_flipped_kernel():
    dx, dw = gradients(tg.conv2d, X, W)
    flipped, _ = gradients(lambda x, w: tg.conv2d(x, w[::-1, ::-1]), X, W)
    with planted(mutant("conv", "no flip", k=0, site="vjp")):
        np.testing.assert_allclose(gradients(tg.conv2d, X, W)[0], flipped)
    with planted(mutant("conv", "no flip", k=1, site="vjp")):
        wrong = gradients(tg.conv2d, X, W)
    np.testing.assert_allclose(wrong[0], dx)  # that of x is left alone
    np.testing.assert_allclose(wrong[1], dw[::-1, ::-1])


def test_transpose_the_kernel():
    turned, _ = gradients(lambda x, w: tg.conv2d(x, tg.permute_dims(w, (1, 0, 2, 3))), X, W)
    with planted(mutant("conv", "transpose", k=0, site="vjp")):
        np.testing.assert_allclose(gradients(tg.conv2d, X, W)[0], turned)


def test_swap_stride_and_dilation():
    with planted(mutant("conv", "swap stride", k=1, site="vjp")):
        dw = gradients(lambda x, w: tg.conv2d(x, w, stride=2), X, W)[1]
    expected = np.zeros_like(W)
    for p, q, i, j in np.ndindex(2, 2, 3, 3):  # (oh, ow, kh, kw), at p + 2 i where it should be 2 p + i
        if p + 2 * i < 5 and q + 2 * j < 6:
            expected[i, j] += X[:, p + 2 * i, q + 2 * j].sum(0)[:, None]
    np.testing.assert_allclose(dw, expected)


def test_ignore_the_remainder():
    """Of 6 columns, windows of 3 with stride 2 leave the last out; the mutant places them that one too early."""
    f = lambda x, w: tg.conv2d(x, w, stride=2)  # noqa: E731
    right = gradients(f, X, W)[0]
    with planted(mutant("conv", "ignore the remainder", site="vjp")):
        dx = gradients(f, X, W)[0]
    assert not right[:, :, 5].any()
    np.testing.assert_allclose(dx[:, :, :5], right[:, :, 1:])


def test_shift_a_window():
    right = gradients(lambda x: tg.avg_pool2d(x, 2), X)[0]
    with planted(mutant("pool_mean", "shift", site="vjp")):
        dx = gradients(lambda x: tg.avg_pool2d(x, 2), X)[0]
    assert right[:, :4].all()
    assert dx[:, :3, :5].all()
    assert not dx[:, 3:].any()


def test_assign_for_add():
    x = np.arange(5.0).reshape(1, 5, 1)
    f = lambda x: tg.avg_pool1d(x, 3, stride=1) * np.array([[[1.0], [2.0], [4.0]]])  # noqa: E731
    with planted(mutant("pool_mean", "assign", site="vjp")):
        np.testing.assert_allclose(3 * gradients(f, x)[0].ravel(), [1, 2, 4, 4, 4])
    np.testing.assert_allclose(3 * gradients(f, x)[0].ravel(), [1, 3, 7, 6, 4])
    with planted(mutant("_getitem", "assign", site="vjp")):
        assert gradients(lambda v: v[np.array([0, 0, 1])], np.zeros(3))[0].tolist() == [1, 1, 0]


def test_skip_unbroadcasting_and_mean_for_sum():
    args = np.ones((4, 3)), np.ones(3)
    with planted(mutant("multiply", "skip un-", k=1)):
        assert gradients(tg.multiply, *args)[1].tolist() == [1, 1, 1]
    with planted(mutant("conv", "mean for sum", k=1, site="vjp")):
        dw = gradients(tg.conv2d, X, W)[1]
    np.testing.assert_allclose(2 * dw, gradients(tg.conv2d, X, W)[1])
    with planted(mutant("_matmul", "mean for sum", k=1, site="vjp")):
        assert gradients(tg.matmul, np.ones((4, 3)), np.ones((3, 2)))[1].tolist() == [[1, 1]] * 3


def test_wrong_only_sometimes():
    double = lambda x, **k: gradients(lambda x: tg.avg_pool2d(x, **k), x)[0]  # noqa: E731
    square, one = np.ones((2, 4, 4, 1)), np.ones((1, 4, 4, 1))
    for mistake, right, wrong in (
        ("wrong only for batch 1", (square, {"pool_size": 2}), (one, {"pool_size": 2})),
        ("wrong only for H", (square, {"pool_size": 2}), (X, {"pool_size": 2})),
        ("wrong only for stride", (square, {"pool_size": 2, "stride": 1}), (square, {"pool_size": 2})),
    ):
        before = [double(x, **params) for x, params in (right, wrong)]
        with planted(mutant("pool_mean", mistake, site="vjp")):
            after = [double(x, **params) for x, params in (right, wrong)]
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_allclose(after[1], 1.01 * before[1])


def test_second_order_only_errors_leave_the_first_alone():
    for mistake in ("second-order-only: a wrong factor", "second-order-only: inputs"):
        with planted(mutant("sin", mistake)):
            assert tg.grad(tg.sin)(0.3).item() == np.cos(0.3)
            assert tg.grad(tg.grad(tg.sin))(0.3).item() != pytest.approx(-np.sin(0.3))


# ---------------------------------------------------------------------------------------------------------------
# Planting


def test_the_rules_are_restored_after_an_error():
    conv = tg.primitives()["conv"]
    rules = conv.vjps, conv.vjps_on_tensors, conv.jvps, conv.jvps_on_tensors

    def fail():
        with planted(mutant("conv", "negate", site="vjp")):
            assert conv.vjps != rules[0]
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (conv.vjps, conv.vjps_on_tensors, conv.jvps, conv.jvps_on_tensors) == rules


def test_other_threads_see_the_right_rules():
    found = []
    with planted(mutant("sin", "negate")):
        thread = threading.Thread(target=lambda: found.append(tg.grad(tg.sin)(0.0).item()))
        thread.start()
        thread.join()
        found.append(tg.grad(tg.sin)(0.0).item())
    assert found == [1.0, -1.0]


def test_mutants_nest():
    with planted(mutant("sin", "negate")), planted(mutant("cos", "negate")):
        assert tg.grad(tg.cos)(0.5).item() == np.sin(0.5)
        assert tg.grad(tg.sin)(0.0).item() == -1.0
    assert tg.grad(tg.sin)(0.0).item() == 1.0


# ---------------------------------------------------------------------------------------------------------------
# A user's primitives


def test_a_users_primitive(registry):
    @tg.bilinear(
        lambda g, w: tg.matmul(g, tg.matrix_transpose(w)), lambda g, x: tg.matmul(tg.matrix_transpose(x), g),
        samples=lambda d: ((d.array((d.integer(1, 3), 2)), d.array((2, d.integer(1, 3)))), {}),
    )  # fmt: skip
    def my_dense(x, w):
        return x @ w

    verdicts = run_mutants("my_*")
    assert not alive(verdicts)
    assert {v.mutation for v in verdicts if v.outcome == "killed"} >= {
        "negate", "mean for sum over batch", "transpose the kernel", "wrong only for batch 1",
    }  # fmt: skip
    assert summary(verdicts).splitlines()[-1].startswith("gradmut: killed")
    assert "(100.0 %)" in summary(verdicts)


def test_a_battery_that_sees_too_little_is_found_out(monkeypatch):
    """With nothing but the adjoint identity, a wrong formula that both modes share goes unseen: it survives by name."""
    monkeypatch.setattr(mutation, "PROPERTIES", {"adjoint": mutation.PROPERTIES["adjoint"]})
    verdicts = run_on_primitive(tg.primitives()["sin"])
    assert "SURVIVED sin: derivative of x: negate (12 samples that it changes)" in summary(verdicts)
    assert "SURVIVED sin: derivative of x: second-order-only: a wrong factor" in summary(verdicts)
    assert "killed 1 of 8 mutants (12.5 %)" in summary(verdicts)  # the offset


def test_samples_that_are_too_weak_are_found_out(registry):
    """Samples that are all square cannot show an error for H != W, and the verdict says so."""

    @tg.elementwise(lambda x: 3 * x * x, samples=lambda d: ((d.array((2, 2)),), {}))
    def my_cube(x):
        return x**3

    verdicts = {v.mutation: v for v in run_mutants("my_cube")}
    assert verdicts["wrong only for H != W"].by == "fits none of 200 samples"
    assert verdicts["wrong only for batch 1"].outcome == "not applicable"


def test_a_primitive_that_is_wrong_already_is_rejected(registry):
    @tg.elementwise(lambda x: 2 * x * x)
    def my_wrong_cube(x):
        return x**3

    text = summary(run_mutants("my_wrong_cube"))
    assert text.count("REJECTED") == text.count("REJECTED my_wrong_cube (the battery rejects the right rules: ") == 1
    assert "killed 0 of" in text


def test_a_pattern_that_matches_nothing_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"no primitive matches 'conf\*'; did you mean 'conv', or 'conv\*'\?"):
        run_mutants("conf*")


# ---------------------------------------------------------------------------------------------------------------
# Plain functions


def convolve(x, w):
    """Images (N, H, W) with one kernel (kh, kw)."""
    oh, ow = x.shape[1] - w.shape[0] + 1, x.shape[2] - w.shape[1] + 1
    y = np.zeros((len(x), oh, ow))
    for i, j in np.ndindex(*w.shape):
        y += x[:, i : i + oh, j : j + ow] * w[i, j]
    return y


def convolve_vjp(g, x, w):
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for i, j in np.ndindex(*w.shape):
        window = slice(None), slice(i, i + g.shape[1]), slice(j, j + g.shape[2])
        dx[window] += g * w[i, j]
        dw[i, j] = np.sum(g * x[window])
    return dx, dw


SAMPLES = [
    tuple(np.random.default_rng(k).normal(size=shape) for shape in shapes)
    for k, shapes in enumerate([((2, 4, 5), (2, 2)), ((1, 4, 4), (3, 3)), ((3, 5, 4), (2, 3))])
]


def test_a_plain_function():
    verdicts = run_on_function(from_numpy(convolve, convolve_vjp), SAMPLES)
    assert not alive(verdicts)
    assert {v.mutation for v in verdicts if v.outcome == "killed"} >= {
        "negate", "shift a window", "transpose the kernel", "mean for sum over batch", "assign for add in overlap",
        "ignore the remainder", "wrong only for batch 1", "wrong only for H != W", "constant offset of 5e-6",
    }  # fmt: skip


def test_wrong_forms_of_a_plain_gradient():
    """A test that compares sums only sees some of them; `check_vjp` sees all."""
    x, w = SAMPLES[0]
    g = np.ones((2, 3, 4))
    sums = [np.sum(d) for d in convolve_vjp(g, x, w)]
    unseen = []
    for name, wrong in mutants_of_function(convolve, convolve_vjp, x, w):
        with pytest.raises(GradientError) as caught:
            check_vjp(convolve, wrong, x, w)
        report = caught.value.report  # of a gradient that is wrong, not of one that raises
        k, some = int(report.argument[-1]), values(5, shape=g.shape)
        assert wrong(some, x, w)[k][report.index] != convolve_vjp(some, x, w)[k][report.index], name
        if np.allclose([np.sum(d) for d in wrong(g, x, w)], sums, rtol=1e-6):
            unseen.append(name)
    assert {"argument 0: shift a window", "argument 1: transpose the kernel"} <= set(unseen)


@pytest.mark.peer
def test_functions_of_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    f = from_torch(lambda x, w: torch.tanh(x @ w))
    verdicts = run_on_function(f, [(np.ones((2, 3)), np.eye(3)), (np.full((1, 2), 0.5), np.ones((2, 2)))])
    assert not alive(verdicts)
    assert {"second-order-only: inputs taken for constants", "negate"} <= {
        v.mutation for v in verdicts if v.outcome == "killed"
    }


# ---------------------------------------------------------------------------------------------------------------
# The table, and the command line


def test_the_table_says_what_each_property_alone_would_see():
    header, rule, *rows = kill_table("sin").splitlines()
    columns = [c.strip() for c in header.strip("|").split("|")]
    cells = {row.split("|")[1].strip(): [c.strip() for c in row.strip("|").split("|")] for row in rows}
    shown = {name: dict(zip(columns, values, strict=True)) for name, values in cells.items()}
    assert shown["negate"]["adjoint identity"] == "0 %"  # one derivative serves both modes
    assert shown["negate"]["differences"] == "100 %"
    assert shown["second-order-only: a wrong factor"]["differences"] == "0 %"
    assert shown["second-order-only: a wrong factor"]["second order"] == "100 %"
    assert rule.count("---") == len(columns)


def test_from_the_shell():
    command = [sys.executable, "-m", "tinygrad_conv.testing.mutation", "sin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "gradmut: killed 8 of 8 mutants (100.0 %)" in done.stdout
    assert done.stderr == ""


def test_the_battery_prints_a_table(capsys):
    assert main(["check", "max*", "--examples", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["primitive", "maximum", "max", "2"]
    assert lines[-1].endswith("all properties hold")


def test_the_battery_reports_failures_and_how_to_replay_them(capsys):
    with planted(mutant("maximum", "wrong only for batch 1")):
        assert main(["check", "maximum", "--quiet"]) == 1
        text = capsys.readouterr().out
        replay = next(line for line in text.splitlines() if line.startswith("replay: tinygrad-conv ")).split()[2:]
        assert main(replay) == 1  # the one sample fails alone
        assert "1 primitive, 1 samples" in capsys.readouterr().out
        with pytest.raises(GradientError):
            check_primitive(tg.primitives()["maximum"], Draw.seeded(int(replay[-1])))
    assert "1 failed" in text


def test_the_battery_refuses_a_bad_pattern():
    with pytest.raises(ArgumentError, match="did you mean 'relu'"):
        run_battery("relo")
