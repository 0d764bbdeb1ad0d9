"""Floating-point errors of products: true ones are reported as NumPy does, those that BLAS makes up are not."""

import io
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.kernels import product, threads


@pytest.fixture
def noise(monkeypatch):
    """A BLAS that flags everything in every product, as one with lanes of garbage may."""
    counted = []

    def noisy(function):
        def call(*args, **kwargs):
            y = function(*args, **kwargs)
            counted.append(function.__name__)
            big, small, zero = np.float64([1e300]), np.float64([1e-300]), np.zeros(1)
            np.multiply(big, big), np.multiply(small, small), np.divide(zero, zero), np.divide(1, zero)
            return y

        call.__name__ = function.__name__
        return call

    for module, name in ((np, "matmul"), (np, "dot"), (np, "einsum"), (np.linalg, "det")):
        monkeypatch.setattr(module, name, noisy(getattr(module, name)))
    return counted


CALLS = {
    "matmul": lambda a, b: tg.matmul(a, b),
    "row": lambda a, b: tg.matmul(a[0], b),
    "column": lambda a, b: tg.matmul(a, b[:, 0]),
    "stack": lambda a, b: tg.matmul(np.stack([a, a]), b),
    "dot": lambda a, b: tg.dot(a, b),
    "tensordot": lambda a, b: tg.tensordot(a, b, 1),
    "einsum": lambda a, b: tg.einsum("ij,jk->ki", a, b),
    "vecdot": lambda a, b: tg.vecdot(a, b.T[: len(a)]) if len(b.T) >= len(a) else tg.vecdot(a[: len(b.T)], b.T),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("action", ["warn", "raise", "call", "print", "log"])
def test_what_is_made_up_is_not_reported(noise, name, action, rng, capsys):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 5))
    log = io.StringIO()
    heard = log if action == "log" else lambda *what: pytest.fail(f"{what}")
    with np.errstate(all=action, call=heard):
        y = CALLS[name](a, b)
    assert np.isfinite(y).all()
    assert (log.getvalue(), *capsys.readouterr()) == ("", "", "")
    assert noise or name == "vecdot"  # which is no product of BLAS here


def test_networks_train_and_gradients_are_checked_without_a_word(noise, rng):
    net = tg.nn.Sequential([tg.nn.Conv2D(4, 3), tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(5)], seed=0)
    x, t = rng.standard_normal((3, 8, 8, 2)), rng.integers(0, 5, 3)
    net(x)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x, t):
        loss = tg.softmax_cross_entropy(net(x), t)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(net.parameters(), 1.0)
        optimizer.step()
        return loss

    for choice in ("plain", "auto"):
        with tg.use_kernels(choice):
            assert [np.isfinite(step(x, t).item()) for _ in range(3)] == [True] * 3
    tg.testing.check_gradients(tg.det, np.eye(3) + 0.1 * rng.standard_normal((3, 3)))
    assert {"matmul", "dot", "det"} <= set(noise)


def test_winograds_convolutions_and_shares_of_threads_too(noise, monkeypatch, rng):
    tg.conv2d(rng.standard_normal((4, 33, 33, 32)).astype("f4"), rng.standard_normal((3, 3, 32, 32)).astype("f4"))
    monkeypatch.setattr(product, "threads", lambda: 3)
    monkeypatch.setattr(threads, "threads", lambda: 3)
    monkeypatch.setattr(product, "ALONE", 0)
    monkeypatch.setattr(product, "START", 1)
    a = rng.standard_normal((99, 7))
    with np.errstate(all="raise"):
        np.testing.assert_allclose(product.matmul(a, a.T), (a[:, None] * a).sum(-1), rtol=1e-12, atol=1e-12)
        a[5, 3] = np.inf
        with pytest.raises(FloatingPointError, match="invalid value encountered in matmul"):
            product.matmul(a, np.zeros((7, 9)))


@given(
    m=st.integers(1, 4), k=st.integers(1, 5), n=st.integers(1, 4), dtype=st.sampled_from(("f4", "f8")),
    rare=st.sampled_from((0.05, 0.3)), values=st.sampled_from(("finite", "infinite", "any")),
    name=st.sampled_from(("matmul", "einsum")), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_what_is_true_is_reported(m, k, n, dtype, rare, values, seed, name):
    """As the terms of the sums are flagged, without BLAS. What was there before, in an operand, is no news."""
    rng = np.random.default_rng(seed)
    big = 1e30 if dtype == "f4" else 1e200
    special = {"finite": [big], "infinite": [big, np.inf, -np.inf], "any": [big, np.inf, -np.inf, np.nan]}[values]

    def draw(shape):
        few = rng.integers(-3, 4, shape)
        return np.where(rng.random(shape) < rare, rng.choice(special, shape), few).astype(dtype)

    def flags(f):
        seen = set()
        with np.errstate(all="call", call=lambda kind, flag: seen.add(kind)):
            f(a, b)
        return seen

    a, b = draw((m, k)), draw((k, n))
    expected, found = flags(lambda a, b: (a[:, :, None] * b).sum(1)), flags(CALLS[name])
    assert found <= expected
    if name == "matmul":  # NumPy 2.0 reports nothing of einsum
        assert values != "finite" or found == expected
        assert values == "any" or ("invalid value" in found) == ("invalid value" in expected)


@pytest.mark.parametrize(
    ("kind", "text", "value", "by"),
    [
        ("over", "overflow", 1e200, 1e200),
        ("under", "underflow", 1e-200, 1e-200),
        ("invalid", "invalid value", np.inf, 0),
    ],
)
def test_reports_are_numpys(kind, text, value, by, capfd):
    """In every way in which `np.errstate` can ask for them."""
    a, b = np.full((1, 1), value), np.full((1, 1), by)
    calls, log = [], io.StringIO()
    with np.errstate(**{kind: "ignore"}):
        tg.matmul(a, b)
    with np.errstate(**{kind: "warn"}), pytest.warns(RuntimeWarning, match=f"^{text} encountered in matmul$"):
        tg.matmul(a, b)
    with np.errstate(**{kind: "raise"}), pytest.raises(FloatingPointError, match=f"^{text} encountered in matmul$"):
        tg.matmul(a, b)
    for f in (np.matmul, tg.matmul):
        with np.errstate(**{kind: "call"}, call=lambda *what: calls.append(what)):
            f(a, b)
        with np.errstate(**{kind: "log"}, call=log):
            f(a, b)
        with np.errstate(**{kind: "print"}):
            f(a, b)
    assert calls[0] == calls[1]
    for text in (log.getvalue(), "".join(capfd.readouterr())):
        first, second = text.splitlines()
        assert first == second


def test_the_determinant():
    with np.errstate(over="raise"):
        tg.det(np.diag([1e200, 1e100]))
        with pytest.raises(FloatingPointError, match="overflow encountered in det"):
            tg.det(np.diag([1e200, 1e200]))


def test_products_within_products_and_in_many_threads(rng):
    """Each product hears its own flags only."""
    one = np.ones((1, 1))

    def outer(a, b):
        product.quietly(np.matmul, one, one)
        return np.multiply(a, b)

    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow encountered in outer"):
        product.quietly(outer, one * 1e200, one * 1e200)

    def work(k):
        with np.errstate(all="raise"):
            for _ in range(500):
                if k % 2:
                    tg.matmul(one, one)
                else:
                    with pytest.raises(FloatingPointError):
                        tg.matmul(one * 1e200, one * 1e200)
        ended.append(k)

    ended = []
    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(ended) == list(range(6))
