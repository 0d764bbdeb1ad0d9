"""Complex numbers: the gradient of a real loss is dL/da + i dL/db, and every rule conjugates by itself."""

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.testing import check_gradients

rng = np.random.default_rng(0)


def complex_normal(*shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def check_both_directions(f, *args):
    """Check f as a function of real and imaginary parts, to second order."""

    def in_parts(*parts):
        y = f(*(re + 1j * im for re, im in zip(parts[::2], parts[1::2], strict=True)))
        return tg.stack([tg.real(y), tg.imag(y)]) if y.dtype.kind == "c" else y

    check_gradients(in_parts, *(part for z in args for part in (z.real.copy(), z.imag.copy())))


def test_the_convention_is_the_direction_of_steepest_ascent():
    z = tg.Tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (tg.abs(z) ** 2).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), 2 * z.numpy())
    (tg.real(z * (2 + 1j))).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), 2 * z.numpy() + (2 - 1j))


UNARY = {
    "exp": tg.exp, "log": tg.log, "sqrt": tg.sqrt, "sin": tg.sin, "cos": tg.cos, "tan": tg.tan, "tanh": tg.tanh,
    "cosh": tg.cosh, "atan": tg.atan, "asinh": tg.asinh, "expm1": tg.expm1, "log1p": tg.log1p, "abs": tg.abs,
    "abs²": lambda z: tg.abs(z) ** 2, "angle": tg.angle, "real": tg.real, "imag": tg.imag, "conj": tg.conj,
    "sign": tg.sign, "square": tg.square, "reciprocal": tg.reciprocal, "cube": lambda z: z**3, "sum": tg.sum,
    "mean": lambda z: z.mean(0), "prod": tg.prod, "cumprod": lambda z: tg.cumprod(z, 0), "std": tg.std,
    "norm": tg.linalg_norm, "transpose": lambda z: z.T, "getitem": lambda z: z[1:, [0, 0, 2]], "trace": tg.trace,
    "real times complex": lambda z: tg.real(z) * z, "inv": tg.inv, "det": tg.det, "slogdet": lambda z: tg.slogdet(z)[1],
    "matrix_power": lambda z: tg.matrix_power(z, -2), "checkpoint": tg.checkpoint(lambda z: tg.exp(z) * z),
    "sigmoid": tg.sigmoid, "sinc": tg.sinc,
    "fft": lambda z: tg.fft.fft(z, 5), "ifft": lambda z: tg.fft.ifft(z, 2, axis=0, norm="ortho"),
    "irfft": lambda z: tg.fft.irfft(z), "irfft to 5": lambda z: tg.fft.irfft(z, 5, norm="forward"),
    "fft2": tg.fft.fft2, "hfft": tg.fft.hfft, "rfftn": lambda z: tg.fft.rfftn(tg.real(z)), "irfftn": tg.fft.irfftn,
    "ihfft": lambda z: tg.fft.ihfft(tg.imag(z), 5), "fftshift": tg.fft.fftshift,
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_array(name):
    check_both_directions(UNARY[name], complex_normal(3, 3) + 0.5)


BINARY = {
    "multiply": tg.multiply, "divide": tg.divide, "add": tg.add, "matmul": tg.matmul, "solve": tg.solve,
    "vdot": tg.vdot, "kron": tg.kron, "einsum": lambda a, b: tg.einsum("ij,kj->ik", a, b),
    "concat": lambda a, b: tg.concat([a, b]),
    "where": lambda a, b: tg.where(np.eye(3) > 0, a, b), "set_at": lambda a, b: tg.set_at(a, 0, b[0]),
    "convolve": lambda a, b: tg.convolve(a[0], b[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_arrays(name):
    check_both_directions(BINARY[name], complex_normal(3, 3), complex_normal(3, 3))


def test_softsign_takes_real_numbers():
    with pytest.raises(tg.errors.DTypeError, match="expected real numbers, got complex128"):
        tg.softsign(complex_normal(3))


def hermitian(n):
    a = complex_normal(n, n)
    return a + a.conj().T + np.diag(3.0 * np.arange(n))


def definite(n):
    a = complex_normal(n, n) + 2 * np.eye(n)
    return a @ a.conj().T


def first_projector(w, v):
    return v[:, :1] @ tg.conj(v[:, :1]).T


DECOMPOSITIONS = {  # of vectors, only what does not depend on their phase
    "cholesky": (tg.cholesky, definite(3)), "qr, q": (lambda z: tg.qr(z).Q, complex_normal(4, 3)),
    "qr, r": (lambda z: tg.qr(z).R, complex_normal(3, 3)), "qr, wide": (lambda z: tg.qr(z).R, complex_normal(2, 4)),
    "eigvals": (tg.eigvals, complex_normal(3, 3) + np.diag([0, 3, 6j])),
    "eig": (lambda z: tg.eig(z).eigenvectors, complex_normal(3, 3) + np.diag([0, 3, 6j])),  # LAPACK's phase
    "roots": (tg.roots, np.poly([1, 2.5j, -1.5])),
    "eigvalsh": (tg.eigvalsh, hermitian(3)), "eigh": (lambda z: first_projector(*tg.eigh(z)), hermitian(3)),
    "svdvals": (tg.svdvals, complex_normal(3, 4)), "pinv": (tg.pinv, complex_normal(3, 2)),
    "svd": (lambda z: (lambda u, s, v: (u * s**2) @ v)(*tg.svd(z, full_matrices=False)), complex_normal(4, 2)),
    "svd, first pair": (lambda z: (lambda u, s, v: u[:, :1] @ v[:1])(*tg.svd(z, False)), complex_normal(3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", DECOMPOSITIONS)
def test_decompositions(name):
    f, z = DECOMPOSITIONS[name]
    check_both_directions(f, z)


@pytest.mark.parametrize(
    "name",
    ["fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "hfft", "irfft", "irfft2", "irfftn", "fftshift", "ifftshift"],
)
def test_transforms_are_those_of_numpy(name):
    z = complex_normal(3, 4)
    np.testing.assert_allclose(getattr(tg.fft, name)(tg.Tensor(z)).numpy(), getattr(np.fft, name)(z), atol=1e-12)


@pytest.mark.parametrize("name", ["rfft", "ihfft", "rfft2", "rfftn"])
def test_transforms_of_real_numbers_are_those_of_numpy(name):
    x = complex_normal(3, 4).real
    np.testing.assert_allclose(getattr(tg.fft, name)(tg.Tensor(x)).numpy(), getattr(np.fft, name)(x), atol=1e-12)


def test_convolution_by_fft_equals_conv2d_forward_and_back():
    image, kernel = rng.standard_normal((1, 7, 6, 1)), rng.standard_normal((3, 2, 1, 1))

    def by_fft(x, w):
        size = x.shape[1:3]
        spectrum = tg.fft.rfft2(x[0, :, :, 0]) * tg.conj(tg.fft.rfft2(w[:, :, 0, 0], s=size))
        return tg.fft.irfft2(spectrum, s=size)[: size[0] - 2, : size[1] - 1]

    def by_windows(x, w):
        return tg.conv2d(x, w)[0, :, :, 0]

    np.testing.assert_allclose(by_fft(tg.Tensor(image), kernel).numpy(), by_windows(tg.Tensor(image), kernel).numpy())
    g = rng.standard_normal((5, 5))
    for one, two in zip(*(tg.vjp(f, image, kernel)[1](g) for f in (by_fft, by_windows)), strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-12)


def test_a_complex_result_needs_a_gradient():
    z = tg.Tensor(1 + 2j, requires_grad=True)
    with pytest.raises(tg.errors.GraphError, match="expected a real number, got complex128"):
        (z * z).backward()
    (z * z).backward(gradient=1 + 0j)
    np.testing.assert_allclose(z.grad.numpy(), 2 - 4j)


def test_a_real_input_has_a_real_gradient():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    tg.abs(x * (3 + 4j)).sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_allclose(x.grad.numpy(), [5, 5])
