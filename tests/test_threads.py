"""Kernels give the same in many threads as in one, and leave BLAS, errors and the caller's context as they were."""

import signal
import threading
import time
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernels import convolutions, poolings
from threadpoolctl import threadpool_info, threadpool_limits

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.kernels import product, registry, threads, wanted
from tinygrad_conv.kernels.geometry import pool_window
from tinygrad_conv.kernels.registry import KERNELS, get
from tinygrad_conv.plan import into

COUNT = 3
drawn = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def shares(monkeypatch):
    """As if there were three threads, and all work worth sharing. Gives a list: among how many each was shared."""
    seen, shared = [], threads.shared

    def noted(works):
        seen.append(len(works))
        return shared(works)

    for module in (threads, product):
        monkeypatch.setattr(module, "shared", noted)
    for module in (threads, product):
        monkeypatch.setattr(module, "threads", lambda: 1 if threads._ALONE.get() else COUNT)
    for module in (registry, product, threads):
        monkeypatch.setattr(module, "worth", lambda work, n, start=1: min(n, threads.threads()) if work else 1)
    monkeypatch.setattr(registry, "most", lambda work: COUNT)
    monkeypatch.setattr(product, "ALONE", 0)
    monkeypatch.setattr(product, "START", 0)
    return seen


def as_list(results):
    return list(results) if isinstance(results, tuple) else [results]


def agree(shares, name, *args, terms=None):
    """A kernel in three threads gives what it gives in one, wherever it is told to write.

    `terms` is what the magnitudes of each result's terms sum up to, where the order of a sum may differ; None else.
    """
    kernel = get(name)
    forms = ["plain"] + ["compiled"] * bool(kernel.module and wanted._installed() and kernel.takes(*args))
    for choice in forms:
        with tg.use_kernels(choice), np.errstate(all="ignore"):
            expected = as_list(getattr(kernel, choice)(*args))
            del shares[:]
            got = as_list(kernel(*args))
            n = len(args[0])
            assert shares == ([-(-n // -(-n // COUNT))] if n > 1 else [])  # equal shares: of four images two and two
            out = [np.full_like(a, 77, order="C", subok=False) for a in expected]
            written = as_list(kernel(*args, out=tuple(out) if len(out) > 1 else out[0]))
        assert all(a is b for a, b in zip(written, out, strict=True))
        for k, (a, b, c) in enumerate(zip(expected, got, out, strict=True)):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            assert b.flags.c_contiguous
            np.testing.assert_array_equal(b, c)
            if terms is None or terms[k] is None:
                np.testing.assert_array_equal(a, b)
            else:
                assert (np.abs(a - b) <= 1e-14 * terms[k] + 1e-300).all()


@drawn
@given(c=convolutions(), n=st.sampled_from((1, 2, 3, 7)))
def test_convolutions(shares, c, n):
    x, g = (np.concatenate([a] * n)[:7] for a in (c.x, c.g))
    bound = [abs_conv(get(name), *args) for name, args in (
        ("conv", (x, c.w, c.window)), ("conv_input_grad", (g, c.w, c.window)), ("conv_kernel_grad", (x, g, c.window)),
    )]  # fmt: skip
    agree(shares, "conv", x, c.w, c.window, terms=bound[:1])
    agree(shares, "conv_input_grad", g, c.w, c.window, terms=bound[1:2])
    agree(shares, "conv_kernel_grad", x, g, c.window, terms=bound[2:])


def abs_conv(kernel, a, b, window):
    return kernel.plain(np.abs(a), np.abs(b), window)


@drawn
@given(c=poolings(), n=st.sampled_from((1, 2, 3, 7)))
def test_poolings(shares, c, n):
    x, g = (np.concatenate([a] * n)[:7] for a in (c.x, c.g))
    agree(shares, "max_pool", x, c.window)
    agree(shares, "maxima", x, pool_window("t", x.ndim - 2, x.shape, x.shape[1:-1], None, 0, 1, None))
    _, argmax = get("max_pool").plain(x, c.window)
    agree(shares, "pool_gather", x, argmax, c.window)
    agree(shares, "pool_scatter", g, argmax, c.window)
    agree(shares, "avg_pool", x, c.window)
    agree(shares, "avg_pool_transpose", g, c.window)
    agree(shares, "patches", x, c.window)
    agree(shares, "patches_transpose", get("patches").plain(x, c.window), c.window)
    b = np.arange(x.shape[-1]) - 1.0
    agree(shares, "bias_relu_max_pool", x, b, c.window)
    y, argmax = get("bias_relu_max_pool").plain(x, b, c.window)
    magnitudes = np.abs(g).sum(tuple(range(g.ndim - 1)))
    agree(shares, "bias_relu_max_pool_grad", g, y, argmax, c.window, terms=[None, magnitudes])


@drawn
@given(n=st.integers(0, 8), places=st.integers(1, 40), channels=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_others(shares, n, places, channels, seed):
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((2, n, places, channels))
    b = rng.standard_normal(channels)
    agree(shares, "bias_relu", x, b)
    agree(shares, "bias_relu_grad", g, np.maximum(x, 0), terms=[None, np.abs(g).sum((0, 1))])
    agree(shares, "standardize", x, b, b + 3)


def test_every_kernel_that_is_shared_is_tested_here():
    here = "conv conv_input_grad conv_kernel_grad patches patches_transpose standardize bias_relu bias_relu_grad "
    here += "max_pool maxima pool_gather pool_scatter avg_pool avg_pool_transpose "
    here += "bias_relu_max_pool bias_relu_max_pool_grad"
    assert {kernel.name for kernel in KERNELS.values() if kernel.batch} == set(here.split())


@drawn
@given(
    m=st.integers(0, 60), k=st.integers(1, 9), n=st.integers(1, 9), seed=st.integers(0, 2**32),
    transposed=st.booleans(), dtypes=st.sampled_from(("dd", "fd", "df", "ff", "id")), to=st.booleans(),
)  # fmt: skip
def test_matmul(shares, m, k, n, seed, transposed, dtypes, to):
    rng = np.random.default_rng(seed)
    a = rng.integers(-9, 9, (k, m)).astype(dtypes[0]).T if transposed else rng.integers(-9, 9, (m, k)).astype(dtypes[0])
    b = rng.integers(-9, 9, (k, n)).astype(dtypes[1])
    expected = a @ b  # of small integers: exact in any order
    del shares[:]
    out = np.full_like(expected, 77) if to else None
    y = product.matmul(a, b, out=out)
    count = min(m // product.FEW_EACH, COUNT)
    assert shares == ([-(-m // -(-m // count))] if count > 1 else [])
    assert y.dtype == expected.dtype
    assert out is None or y is out
    np.testing.assert_array_equal(y, expected)


def test_stacks_of_matrices_and_sums_of_rows(shares, rng):
    a, b = rng.integers(-9, 9, (2, 5, 40, 3)).astype(float), rng.integers(-9, 9, (5, 3, 4)).astype(float)
    np.testing.assert_array_equal(product.matmul(a, b), a @ b)
    for n in (0, 3, 64, 65, 500):
        x = rng.integers(-9, 9, (n, 7)).astype(np.float32)
        np.testing.assert_array_equal(product.sum_rows(x), x.sum(0))
        out = np.empty(7, np.float32)
        np.testing.assert_array_equal(product.sum_rows(x.reshape(n, 1, 7), out=out), x.sum(0))
        assert product.sum_rows(x, out=out) is out


def test_elementwise_operations_of_a_plan(shares, rng, monkeypatch):
    """Arguments with as many rows as the result are cut, and no others; the result may lie where an argument was."""
    monkeypatch.setattr(into, "MANY", 1)
    w = tg.Tensor(rng.standard_normal((3, 4)), requires_grad=True)

    def step(x, column, row, deep):
        y = tg.relu(x * w) * column - row + deep
        (y / (1 + tg.abs(x))).sum().backward()
        return y, w.grad

    args = [rng.standard_normal(shape) for shape in ((7, 3, 4), (7, 1, 1), (3, 4), (1, 3, 4))]
    compiled = tg.compile(step)
    with tg.use_kernels("plain"):
        for run in (step, compiled, compiled, compiled):
            w.zero_grad()
            del shares[:]
            y, slope = (part.numpy() for part in run(*args))
            if run is step:
                expected = y, slope
            np.testing.assert_array_equal(y, expected[0])
            np.testing.assert_allclose(slope, expected[1], rtol=1e-12)
    assert shares.count(3) >= 8


@pytest.mark.parametrize("spoil", [lambda a: a[:-1], lambda a: a.astype("f4"), lambda a: np.asfortranarray(a)])
def test_results_are_not_written_where_they_do_not_fit(shares, spoil, rng):
    x = rng.standard_normal((6, 5, 4))
    with pytest.raises(ArgumentError, match="expected out to be C-contiguous"):
        registry.bias_relu(x, np.zeros(4), out=spoil(np.zeros_like(x)))


def test_a_step_is_the_same_up_to_the_order_of_sums(shares, rng):
    net = tg.nn.Sequential(
        [tg.nn.Conv2D(4, 3, activation="relu"), tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(5)], seed=0
    )
    x, t = rng.standard_normal((7, 10, 10, 2)), rng.integers(0, 5, 7)

    def gradients():
        for p in net.parameters():
            p.zero_grad()
        tg.softmax_cross_entropy(net(x), t).backward()
        return [p.grad.numpy() for p in net.parameters()]

    got = gradients()
    assert len(shares) >= 5  # convolution and pooling, and back
    with pytest.MonkeyPatch.context() as patch:
        for module in (threads, product):
            patch.setattr(module, "threads", lambda: 1)
        expected = gradients()
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * np.abs(a).max())


# ------------------------------------------------------------------------------------------------------------------
# Threads


def blas_threads():
    """Of the libraries that were loaded when first asked for: NumPy's, and not what other packages bring later."""
    known = {library.filepath for library in threads.libraries()}
    return [pool["num_threads"] for pool in threadpool_info() if pool["filepath"] in known]


def test_works_run_at_the_same_time_and_results_keep_their_order():
    together = threading.Barrier(3)
    names = threads.shared([lambda: (together.wait(60), threading.current_thread().name)[1] for _ in range(3)])
    assert len(set(names)) == 3
    assert names[0] == threading.current_thread().name
    assert threads.shared([lambda k=k: k for k in range(9)]) == list(range(9))


def test_shares_see_the_context_and_blas_on_one_thread():
    def seen():
        return threads.threads(), np.geterr()["over"], wanted.choice(), blas_threads()

    with threadpool_limits(2):
        before = blas_threads()
        with np.errstate(over="raise"), tg.use_kernels("plain"):
            found = threads.shared([seen] * 3)
        assert found == [(1, "raise", "plain", [1] * len(before))] * 3
        assert blas_threads() == before
        assert threads.threads() == 2


def test_where_blas_does_not_tell_there_are_as_many_threads_as_cores_and_shares_do_not_share(monkeypatch):
    monkeypatch.setattr(threads, "libraries", tuple)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 5)
    assert threads.threads() == 5
    assert threads.shared([threads.threads] * 3) == [1, 1, 1]
    assert threads.threads() == 5


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_is_raised_once_all_have_ended(failing):
    ended, before = [], blas_threads()

    def work(k):
        if k == failing:
            raise FloatingPointError(f"share {k}")
        ended.append(k)

    with pytest.raises(FloatingPointError, match=f"share {failing}"):
        threads.shared([lambda k=k: work(k) for k in range(3)])
    assert sorted(ended) == [k for k in range(3) if k != failing]
    assert blas_threads() == before
    assert not threads._ALONE.get()


@pytest.mark.parametrize("first", [True, False])
def test_ctrl_c_waits_for_those_that_write_into_the_same_arrays(first):
    """Also where the thread is only being made: what it was given was once forgotten, and wrote on."""
    if first:
        threads._pool.cache_clear()
    main, ended = threading.get_ident(), []

    def other():
        for _ in range(2):
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.1)
        ended.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            threads.shared([lambda: None, other])
        assert ended
    finally:
        signal.signal(signal.SIGINT, before)


def test_numbers_of_threads_are_those_of_blas():
    with threadpool_limits(1):
        assert threads.threads() == 1
        with threads.blas_on_one():
            assert blas_threads() == [1] * len(blas_threads())
        assert blas_threads() == [1] * len(blas_threads())  # not raised by leaving


def test_little_work_is_not_shared(monkeypatch, rng):
    monkeypatch.setattr(threads, "threads", lambda: pytest.fail("asked"))
    x = rng.standard_normal((2, 8, 8, 4))
    registry.bias_relu(x, np.zeros(4))
    assert prod(x.shape) * 16 < 4 * threads.START


def test_the_number_of_threads_grows_as_the_root_of_the_work(monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: 20)
    works = [0, 1, 3 * threads.START, 4 * threads.START, 100 * threads.START, 10**6 * threads.START]
    assert [threads.worth(work, 1000) for work in works] == [1, 1, 1, 2, 10, 20]
    assert threads.worth(works[-1], 7) == 7
    assert threads.worth(works[-1], 1) == threads.worth(works[-1], 0) == 1
    for work in works[3:]:  # no other number takes less time
        cost = {c: c * threads.START + work / c for c in range(1, 21)}
        assert cost[threads.worth(work, 1000)] <= 1.1 * min(cost.values())
