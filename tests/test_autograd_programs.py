"""Programs as people write them for autograd train to the same numbers here, with other imports and nothing else.

Each is written against a few names: `np` and the functions of autograd that it would import. There they are
``autograd.numpy`` and autograd's; here they are NumPy itself and ours.
"""

from types import SimpleNamespace

import numpy
import pytest

import tinygrad_conv as tg

pytestmark = pytest.mark.peer


def flattened(params):
    """A dictionary of arrays as one vector, and the way back."""
    vector = numpy.concatenate([numpy.ravel(value) for value in params.values()])

    def back(v):
        out, start = {}, 0
        for name, value in params.items():
            out[name] = v[start : start + value.size].reshape(value.shape)
            start += value.size
        return out

    return vector, back


def descent(gradient, x, steps, rate):
    """With momentum; x is changed in place."""
    direction = numpy.zeros(len(x))
    for _ in range(steps):
        direction = 0.9 * direction + 0.1 * gradient(x)
        x -= rate * direction
    return x


def adam(gradient, x, steps, rate=0.05):
    m = v = 0.0
    for k in range(1, steps + 1):
        g = numpy.asarray(gradient(x))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - rate * (m / (1 - 0.9**k)) / (numpy.sqrt(v / (1 - 0.999**k)) + 1e-8)
    return x


def gaussian_mixture(lib):
    """The likelihood of points under three Gaussians with full covariances, by Newton's method of SciPy."""
    optimize = pytest.importorskip("scipy.optimize")
    np, rng = lib.np, numpy.random.default_rng(0)
    data = rng.normal(size=(60, 2)) @ numpy.array([[1.0, 0.3], [0.0, 0.4]]) + rng.integers(0, 3, (60, 1)) * 2.0
    start, back = flattened({
        "proportions": rng.normal(size=3) * 0.1, "means": data[:3] * 1.0,
        "roots": numpy.zeros((3, 2, 2)) + numpy.eye(2),
    })  # fmt: skip

    def log_density(x, mean, cov):
        off = np.linalg.solve(cov, (x - mean).T)
        return -0.5 * (np.sum((x - mean) * off.T, axis=1) + np.linalg.slogdet(cov)[1] + 2 * np.log(2 * np.pi))

    def loss(v):
        params = back(v)
        weights = params["proportions"] - lib.logsumexp(params["proportions"])
        terms = []
        for log_weight, mean, root in zip(weights, params["means"], params["roots"], strict=True):
            terms.append(log_weight + log_density(data, mean, np.dot(root.T, root)))
        return -np.sum(lib.logsumexp(np.vstack(terms), axis=0))

    found = optimize.minimize(
        loss, start, jac=lib.grad(loss), hessp=lambda x, v: lib.hvp(loss, x, v), method="Newton-CG",
        options={"maxiter": 8},
    )  # fmt: skip
    return found.x, found.fun, lib.hvp(loss, start, start + 1)


def lstm(lib):
    """A character model that learns its own alphabet."""
    np, rng = lib.np, numpy.random.default_rng(1)
    text = numpy.array([[(5 * k + j) % 7 for j in range(6)] for k in range(4)]).T
    inputs = (text[:, :, None] == numpy.arange(7)).astype(float)
    gates = ("change", "forget", "ingate", "outgate")
    start, back = flattened({
        "hidden": rng.normal(size=(1, 5)) * 0.1, "cell": rng.normal(size=(1, 5)) * 0.1,
        "predict": rng.normal(size=(6, 7)) * 0.1, **{gate: rng.normal(size=(13, 5)) * 0.1 for gate in gates},
    })  # fmt: skip

    def times(weights, *parts):
        together = np.hstack([*parts, np.ones((parts[0].shape[0], 1))])
        return np.dot(together, weights)

    def sigmoid(x):
        return 0.5 * (np.tanh(x) + 1.0)

    def loss(v):
        params = back(v)
        hidden, cell = np.repeat(params["hidden"], 4, axis=0), np.repeat(params["cell"], 4, axis=0)
        total = 0.0
        for x in inputs:
            out = times(params["predict"], hidden)
            total += np.sum((out - lib.logsumexp(out, axis=1, keepdims=True)) * x)
            change = np.tanh(times(params["change"], x, hidden))
            forget, ingate, outgate = (sigmoid(times(params[gate], x, hidden)) for gate in gates[1:])
            cell = cell * forget + ingate * change
            hidden = outgate * np.tanh(cell)
        return -total / inputs[..., 0].size

    return adam(lib.grad(loss), start, 25), loss(start)


def fluid(lib):
    """Velocities that make smoke drift into the shape of a ring."""
    np, n = lib.np, 8
    across, down = numpy.meshgrid(numpy.arange(n), numpy.arange(n))
    target = ((across - 3.5) ** 2 + (down - 3.5) ** 2 < 9).astype(float)
    smoke_at_first = (across < 3) * 1.0

    def project(vx, vy):
        div = -0.5 / n * (np.roll(vx, -1, 0) - np.roll(vx, 1, 0) + np.roll(vy, -1, 1) - np.roll(vy, 1, 1))
        p = np.zeros(vx.shape)
        for _ in range(5):
            p = (div + np.roll(p, 1, 0) + np.roll(p, -1, 0) + np.roll(p, 1, 1) + np.roll(p, -1, 1)) / 4.0
        vx = vx - 0.5 * n * (np.roll(p, -1, 0) - np.roll(p, 1, 0))
        vy = vy - 0.5 * n * (np.roll(p, -1, 1) - np.roll(p, 1, 1))
        return vx, vy

    def advect(f, vx, vy):
        xs, ys = (down - vx).ravel(), (across - vy).ravel()
        left, top = np.floor(xs).astype(int), np.floor(ys).astype(int)
        right_share, low_share = xs - left, ys - top
        left, top = np.mod(left, n), np.mod(top, n)
        right, low = np.mod(left + 1, n), np.mod(top + 1, n)
        flat = (1 - right_share) * ((1 - low_share) * f[left, top] + low_share * f[left, low]) + right_share * (
            (1 - low_share) * f[right, top] + low_share * f[right, low]
        )
        return np.reshape(flat, (n, n))

    def loss(v):
        vx, vy = np.reshape(v[: n * n], (n, n)), np.reshape(v[n * n :], (n, n))
        smoke = smoke_at_first
        for _ in range(4):
            vx, vy = project(advect(vx, vx, vy), advect(vy, vx, vy))
            smoke = advect(smoke, vx, vy)
        return np.mean((smoke - target) ** 2)

    start = numpy.random.default_rng(2).normal(size=2 * n * n) * 0.1
    return adam(lib.grad(loss), start, 10), loss(start)


def rosenbrock(lib):
    """The valley, by conjugate gradients of SciPy."""
    optimize = pytest.importorskip("scipy.optimize")

    def loss(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    found = optimize.minimize(lib.value_and_grad(loss), x0=numpy.array([0.0, 0.0]), jac=True, method="CG")
    return numpy.asarray(found.x), found.nit


def small_convnet(lib):
    """Convolution, pooling, a dense layer and softmax, on images of stripes."""
    np, rng = lib.np, numpy.random.default_rng(4)
    labels = numpy.arange(12) % 2
    stripes = (numpy.arange(8) % 2)[:, None] + numpy.zeros((8, 8))
    images = numpy.stack([stripes if label else stripes.T for label in labels])[:, None] + rng.normal(
        size=(12, 1, 8, 8)
    )
    start, back = flattened({
        "kernel": rng.normal(size=(1, 3, 3, 3)) * 0.3, "bias": numpy.zeros((1, 3, 1, 1)),
        "dense": rng.normal(size=(27, 2)) * 0.3, "out": numpy.zeros(2),
    })  # fmt: skip
    wanted = (labels[:, None] == numpy.arange(2)).astype(float)

    def loss(v):
        params = back(v)
        maps = lib.convolve(images, params["kernel"]) + params["bias"]
        maps = np.max(np.max(maps.reshape((12, 3, 3, 2, 3, 2)), axis=3), axis=4)
        out = np.dot(np.reshape(np.tanh(maps), (12, 27)), params["dense"]) + params["out"]
        return -np.sum((out - lib.logsumexp(out, axis=1, keepdims=True)) * wanted) + 0.1 * np.dot(v, v)

    first = loss(start)
    return descent(lib.grad(loss), start, 20, 0.05), first


def of_autograd():
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as np
    from autograd.scipy.signal import convolve
    from autograd.scipy.special import logsumexp

    return SimpleNamespace(
        np=np, grad=autograd.grad, value_and_grad=autograd.value_and_grad, logsumexp=logsumexp,
        hvp=lambda f, x, v: autograd.hessian_vector_product(f)(x, v),
        convolve=lambda x, w: convolve(x, w, axes=([2, 3], [2, 3]), dot_axes=([1], [0]), mode="valid"),
    )  # fmt: skip


def ours():
    def convolve(x, w):  # turned round: this is no cross-correlation
        return tg.conv2d(x, tg.transpose(w, (2, 3, 0, 1))[::-1, ::-1], data_format="channels_first")

    return SimpleNamespace(
        np=numpy, grad=tg.grad, value_and_grad=tg.value_and_grad, logsumexp=tg.logsumexp,
        hvp=lambda f, x, v: tg.hvp(f, x, v), convolve=convolve,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", [gaussian_mixture, lstm, fluid, rosenbrock, small_convnet])
def test_programs_train_to_the_same_numbers(program):
    for got, want in zip(program(ours()), program(of_autograd()), strict=True):
        numpy.testing.assert_allclose(numpy.asarray(got), numpy.asarray(want), rtol=1e-6, atol=1e-8)
