"""Functions of NumPy, autograd, PyTorch, JAX and MyGrad: right gradients pass, planted wrong ones die and are named."""

import sys

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError, MissingExtraError, TinygradConvError
from tinygrad_conv.testing import GradientError, adapters, check_gradients
from tinygrad_conv.testing.adapters import check_vjp, from_autograd, from_jax, from_mygrad, from_numpy, from_torch
from tinygrad_conv.testing.boundary import LAYOUTS
from tinygrad_conv.testing.draw import laid_out
from tinygrad_conv.testing.prepare import prepare
from tinygrad_conv.testing.properties import run

X = np.random.default_rng(0).uniform(-1, 1, (4, 3))
W = np.random.default_rng(1).uniform(-1, 1, (3, 2))


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install {name.split('.')[0]}")


def dies(check, *args, **options):
    with pytest.raises(GradientError) as caught:
        check(*args, **options)
    return caught.value.report


# ---------------------------------------------------------------------------------------------------------------
# NumPy with a hand-written gradient


def conv(x, w):
    """A valid convolution of one image with one kernel, as in a first lecture."""
    kh, kw = w.shape
    y = np.zeros((x.shape[0] - kh + 1, x.shape[1] - kw + 1), np.result_type(x, w))
    for i in range(kh):
        for j in range(kw):
            y += x[i : i + y.shape[0], j : j + y.shape[1]] * w[i, j]
    return y


def conv_vjp(g, x, w):
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    oh, ow = g.shape
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            dx[i : i + oh, j : j + ow] += g * w[i, j]
            dw[i, j] = np.sum(g * x[i : i + oh, j : j + ow])
    return dx, dw


IMAGE, KERNEL = np.random.default_rng(2).normal(size=(5, 6)), np.random.default_rng(3).normal(size=(3, 3))


def test_a_right_gradient_passes():
    check_vjp(conv, conv_vjp, IMAGE, KERNEL)
    check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), X)  # one argument: no tuple needed
    check_vjp(lambda x, n: x * n, lambda g, x, n: (g * n, None), X, 3)  # an integer has no gradient
    check_vjp(np.square, lambda g, x: [2 * g * x], np.float64(1.5))


WRONG = {
    "a flipped kernel": (lambda g, x, w: (conv_vjp(g, x, w[::-1, ::-1])[0], conv_vjp(g, x, w)[1]), "argument 0"),
    "a transposed kernel gradient": (lambda g, x, w: (conv_vjp(g, x, w)[0], conv_vjp(g, x, w)[1].T), "argument 1"),
    "assignment for addition": (
        lambda g, x, w: (np.pad(g * w[-1, -1], ((2, 0), (2, 0))), conv_vjp(g, x, w)[1]), "argument 0",
    ),
    "a small factor": (lambda g, x, w: (conv_vjp(g, x, w)[0] * (1 + 1e-7), conv_vjp(g, x, w)[1]), "argument 0"),
    "a dropped argument": (lambda g, x, w: (conv_vjp(g, x, w)[0], 0 * w), "argument 1"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_gradient_dies_and_the_argument_is_named(wrong):
    vjp, argument = WRONG[wrong]
    report = dies(check_vjp, conv, vjp, IMAGE, KERNEL)
    assert report.name == "conv"
    assert argument in str(report)


def test_one_wrong_element_is_named():
    def vjp(g, x, w):
        dx, dw = conv_vjp(g, x, w)
        dw[1, 2] *= 1.001
        return dx, dw

    report = dies(check_vjp, conv, vjp, IMAGE, KERNEL)
    assert report.argument == "argument 1"
    assert report.index == (1, 2)
    assert (report.wrong, report.total) == (1, 9)


def test_a_tiny_gradient_of_the_wrong_sign_dies():
    dies(check_vjp, lambda x: 1e-7 * x, lambda g, x: -1e-7 * g, X)


def test_what_a_vjp_returns_is_held_to_its_arguments():
    with pytest.raises(GradientError, match=r"expected its vjp to return 2 gradients, one per argument, got 1"):
        check_vjp(conv, lambda g, x, w: (conv_vjp(g, x, w)[0],), IMAGE, KERNEL)
    with pytest.raises(GradientError, match="got one ndarray"):
        check_vjp(conv, lambda g, x, w: conv_vjp(g, x, w)[0], IMAGE, KERNEL)
    with pytest.raises(GradientError, match=r"shape \(4, 6\) for argument 0 of shape \(5, 6\)"):
        check_vjp(conv, lambda g, x, w: (conv_vjp(g, x, w)[0][1:], conv_vjp(g, x, w)[1]), IMAGE, KERNEL)
    with pytest.raises(GradientError, match="returned None for argument 1"):
        check_vjp(conv, lambda g, x, w: (conv_vjp(g, x, w)[0], None), IMAGE, KERNEL)
    with pytest.raises(GradientError, match="a missing sum over a broadcast axis"):
        check_vjp(np.add, lambda g, x, b: (g, g), X, np.ones(3))


def test_what_cannot_be_checked_is_said():
    for f, vjp, message in (
        (lambda x: None, lambda g, x: g, "returned nothing"), (lambda x: "x", lambda g, x: g, "numbers, got str"),
        (np.sin, None, r"expected vjp to be a function, got None"),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            check_vjp(f, vjp, X)
        assert isinstance(caught.value, TinygradConvError)


def test_a_vjp_that_changes_its_arguments_dies():
    def vjp(g, x):
        g *= np.cos(x)
        return g

    assert "its vjp changed the cotangent g in place" in str(dies(check_vjp, np.sin, vjp, X))


def test_a_gradient_that_is_another_buffer_dies():
    out = np.zeros_like(X)

    def always_the_same(g, x):
        np.multiply(g, 2, out=out)
        return out

    for f, vjp, whose in (
        (lambda x: x + 1, lambda g, x: g, "the cotangent g"), (lambda x: 2 * x, always_the_same, "the last time"),
        (lambda x: (x * x).sum() / 2, lambda g, x: x if g == 1 else x[:], "an argument"),
    ):  # fmt: skip
        assert whose in str(dies(check_vjp, f, vjp, X))
    check_vjp(lambda x: x.T, lambda g, x: g.T, X)  # a view in another order, as transposing is
    check_vjp(lambda x: x.sum(), lambda g, x: np.broadcast_to(g, x.shape), X)


def test_arguments_and_results_may_be_nested():
    def f(p, how):
        return (p["a"] @ p["b"], p["a"] ** 2) if how == "both" else p["a"]

    def vjp(g, p, how):
        return {"b": p["a"].T @ g[0], "a": np.outer(g[0], p["b"]) + 2 * g[1] * p["a"]}, None

    p = {"a": X, "b": np.array([0.5, -1.0, 2.0])}
    check_vjp(f, vjp, p, "both")
    report = dies(check_vjp, f, lambda g, p, how: ({**vjp(g, p, how)[0], "b": 0 * p["b"]}, None), p, "both")
    assert report.argument == "argument 0 (part 1)"
    assert "dropped" in report.pattern
    check_vjp(lambda x, k: x * k, lambda g, x, k: (g * k, None), X, 3)
    check_vjp(
        lambda x, mask: x[mask], lambda g, x, mask: (_put(g, mask), None), np.ones(3), np.array([True, False, True])
    )


def _put(g, mask):
    put = np.zeros(mask.shape)
    put[mask] = g
    return put


def test_complex_numbers():
    z = np.array([0.5 + 1j, -1.0 + 0.3j])
    check_vjp(lambda z: z * z, lambda g, z: g * 2 * np.conj(z), z)
    check_vjp(lambda z: np.abs(z) ** 2, lambda g, z: 2 * g * z, z)
    assert dies(check_vjp, lambda z: z * z, lambda g, z: g * 2 * z, z).argument.endswith("part)")


def test_complex_numbers_of_real_ones():
    """In the convention of complex ones, as an operation too."""

    def turned(x):
        return np.exp(1j * x)

    def vjp(g, x):
        return np.real(g * np.conj(1j * np.exp(1j * x)))

    check_vjp(turned, vjp, X)
    dies(check_vjp, turned, lambda g, x: np.real(g * 1j * np.exp(1j * x)), X)
    operation = from_numpy(turned, vjp)
    gradient = tg.grad(lambda x: tg.real(operation(x) * (1 + 2j)).sum())(X)
    np.testing.assert_allclose(gradient, -np.sin(X) - 2 * np.cos(X), rtol=1e-14)


def test_a_function_that_casts_to_float32_is_checked_to_that_precision(caplog):
    for dtype in (np.float32, np.float64):

        def inside(x, dtype=dtype):
            return np.tanh(x.astype(np.float32)).astype(dtype)

        check_vjp(inside, lambda g, x: g * (1 - np.tanh(x) ** 2), X, name=f"casting to {dtype}")
        assert "it computes in float32" in caplog.text
        caplog.clear()
        dies(check_vjp, inside, lambda g, x: 1.01 * g * (1 - np.tanh(x) ** 2), X)


def test_a_function_that_casts_one_argument_to_float32_too(caplog):
    """As `jax.nn.dot_product_attention` does with queries and keys. Its stairs are no kinks."""

    def weighted(x, w):
        return np.tanh(x.astype(np.float32)).astype(np.float64) * w

    def vjp(g, x, w, factor=1.0):
        return factor * g * w * (1 - np.tanh(x) ** 2), g * np.tanh(x)

    check_vjp(weighted, vjp, X, X + 0.5)
    assert "it computes in float32" in caplog.text
    dies(check_vjp, weighted, lambda g, x, w: vjp(g, x, w, 1.2), X, X + 0.5)


SIZES_APART = np.array([[1.1e-7, -28.7685063], [0.917583043, 5.12222512e-04], [-3.02653299e-08, -5.9442689e-08]])


def _unit_rows(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def _unit_rows_vjp(g, x, factor=1.0):
    x, g = np.float32(x), np.float32(g)
    y = _unit_rows(x)
    return factor * (g - y * (g * y).sum(-1, keepdims=True)) / np.sqrt((x * x).sum(-1, keepdims=True))


def test_elements_of_all_sizes_in_single_precision():
    """Steps that tell something of a large element jump over a small one, and the error bar has to say so."""
    for x in (SIZES_APART, SIZES_APART[::-1, ::-1].copy(), 0.125 * SIZES_APART):
        check_vjp(lambda x: _unit_rows(np.float32(x)), _unit_rows_vjp, x)
        dies(check_vjp, lambda x: _unit_rows(np.float32(x)), lambda g, x: _unit_rows_vjp(g, x, 1.5), x)


@pytest.mark.peer
def test_second_derivatives_in_single_precision_are_known_to_its_rounding():
    """x / |x| is a sign: its derivative is the rounding of two numbers of size 1 / x."""
    f = from_torch(lambda x: (lambda x: x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12))(x.float()))
    for x in (SIZES_APART, np.array([[14.8], [-5.03103965e-04], [9.22315891e-06]]), np.array([[1.33e-8], [0.0116]])):
        check_gradients(f, x)


def test_an_adapted_function_is_an_operation():
    sine = from_numpy(np.sin, lambda g, x: g * np.cos(x))
    np.testing.assert_array_equal(sine(X), np.sin(X))
    gradient = tg.grad(lambda x: (2 * sine(x * x)).sum())(X)
    np.testing.assert_allclose(gradient, 4 * X * np.cos(X * X), rtol=1e-14)
    assert (sine.order, sine.modes, sine.__name__) == (1, ("reverse",), "sin")
    with pytest.raises(ArgumentError, match=r'no forward mode for it; check it with order=1, or modes=\("reverse",\)'):
        tg.jvp(sine, (X,), (X,))


# ---------------------------------------------------------------------------------------------------------------
# autograd


@pytest.mark.peer
def test_autograd():
    anp = library("autograd.numpy")
    check_gradients(from_autograd(lambda x, w: anp.tanh(anp.dot(x, w)) ** 2), X, W)
    check_gradients(from_autograd(lambda x: anp.sum(x, axis=0)), X)


@pytest.mark.peer
def test_wrong_rules_of_autograd_die():
    library("autograd")
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def softsign(x):
        return x / (1 + np.abs(x))

    defvjp(softsign, lambda y, x: lambda g: g / (1 + np.abs(x)))  # not squared
    defjvp(softsign, lambda t, y, x: t / (1 + np.abs(x)) ** 2)
    report = dies(check_gradients, from_autograd(softsign), X, order=1)
    assert report.name == "softsign"
    assert report.property in ("vjp_vs_numeric", "adjoint")


# ---------------------------------------------------------------------------------------------------------------
# PyTorch


@pytest.mark.peer
def test_torch_functions():
    torch = library("torch")
    check_gradients(from_torch(lambda x, w: torch.tanh(x @ w) ** 2), X, W)
    image, kernel = IMAGE.reshape(1, 1, 5, 6), KERNEL.reshape(1, 1, 3, 3)
    check_gradients(from_torch(lambda x, w: torch.nn.functional.conv2d(x, w, padding=1)), image, kernel)
    check_gradients(from_torch(lambda x, n: x[n]), X, np.array([0, 0, 2]))  # integers are passed on
    check_gradients(from_torch(lambda x: torch.zeros_like(x).detach()), X, order=1)  # no graph: zeros
    check_gradients(from_torch(lambda x: x), X)  # the result is an argument, and nothing made it
    check_gradients(from_torch(torch.add), X, X)
    check_gradients(from_torch(torch.fft.rfft), X)  # real numbers become complex


@pytest.mark.peer
def test_torch_custom_functions():
    torch = library("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0] ** 2

    class WrongCube(Cube):
        @staticmethod
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0].detach() ** 2  # right, but a constant to whoever differentiates it

    class NegativeCube(Cube):
        @staticmethod
        def backward(ctx, g):
            return -3 * g * ctx.saved_tensors[0] ** 2

    assert from_torch(Cube).modes == ("reverse",)
    check_gradients(from_torch(Cube), X)
    check_gradients(from_torch(WrongCube), X, order=1)
    report = dies(check_gradients, from_torch(WrongCube), X)
    assert report.name.startswith("WrongCube")
    assert report.order == 2
    report = dies(check_gradients, from_torch(NegativeCube), X)
    assert report.name == "NegativeCube"
    assert "sign" in report.pattern


@pytest.mark.peer
def test_a_graph_of_torch_is_walked_more_than_once():
    """A Function that then has freed what it saved is checked all the same; one that has changed it is wrong."""
    torch = pytest.importorskip("torch")

    def squares(after):
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.kept = 2 * x.detach()
                return x * x

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g):
                kept, ctx.kept = ctx.kept, after(ctx.kept)
                return g * kept

        return from_torch(Square)

    x = np.array([0.5, -1.0, 3.0])
    check_gradients(squares(lambda kept: kept), x, order=1)
    check_gradients(squares(lambda kept: None), x, order=1)
    with pytest.raises(GradientError):
        check_gradients(squares(lambda kept: 1.01 * kept), x, order=1)


@pytest.mark.peer
def test_torch_functions_with_forward_mode():
    torch = library("torch")

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return 2 * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return 2 * g

        @staticmethod
        def jvp(ctx, t):
            return 2 * t

    class HalfForward(Double):
        @staticmethod
        def jvp(ctx, t):
            return 1 * t

    assert from_torch(Double).modes == ("forward", "reverse")
    check_gradients(from_torch(Double), X, order=1)
    assert dies(check_gradients, from_torch(HalfForward), X, order=1).property == "jvp_vs_numeric"


@pytest.mark.peer
def test_torch_calls_of_all_kinds(caplog):
    torch = library("torch")
    nn, double = torch.nn, torch.float64

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0] ** 2

    weight = torch.ones(3, 2, dtype=double)
    check_gradients(from_torch(lambda x: Cube.apply(x)), X, name="cube")
    assert caplog.text.count("cube: left out: forward mode") == 1
    check_gradients(from_torch(lambda x: torch.split(x, 2)), X, order=1)
    check_gradients(from_torch(lambda x: torch.topk(x, 2)), X, order=1)
    check_gradients(from_torch(lambda d, k: {"y": d["a"] * k}), {"a": torch.ones(2, dtype=double)}, 3, order=1)
    check_gradients(from_torch(lambda x: torch.tanh(x @ weight)), X, order=1)
    check_gradients(from_torch(lambda x: torch.tanh(x @ weight.float())), X, order=1)
    check_gradients(from_torch(lambda z: z * z.conj() * z), X + 1j, order=1)
    for module in (nn.Linear(3, 2), nn.Linear(3, 2).double(), nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()):
        check_gradients(from_torch(module), X, order=1)


@pytest.mark.peer
def test_parameters_of_torch_modules_are_checked():
    torch = library("torch")

    class Wrong(torch.nn.Linear):
        def forward(self, x):
            return x @ self.weight.T + self.bias + (self.bias - self.bias.detach())

    assert dies(check_gradients, from_torch(Wrong(3, 2)), X, order=1).argument == "parameter bias"


# ---------------------------------------------------------------------------------------------------------------
# JAX


@pytest.mark.peer
def test_jax():
    jax = library("jax")
    check_gradients(from_jax(lambda x, w: jax.numpy.tanh(x @ w) ** 2), X, W)


@pytest.mark.peer
def test_jax_calls_of_all_kinds(caplog):
    jax = library("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * g * x**2,))
    check_gradients(from_jax(jax.jit(cube)), X, name="custom cube")
    assert "custom cube: left out: forward mode" in caplog.text
    check_gradients(from_jax(lambda p, axis: {"y": jnp.sum(p["x"][0], axis)}), {"x": (jnp.asarray(X),)}, 1, order=1)
    check_gradients(from_jax(jax.vmap(lambda x: jnp.sin(x).sum())), X, order=1)
    check_gradients(from_jax(lambda x: x[x > 0]), X, order=1)  # not to be compiled
    check_gradients(from_jax(lambda z: z**2), X + 1j, order=1)


@pytest.mark.peer
def test_wrong_rules_of_jax_die():
    jax = library("jax")

    @jax.custom_jvp
    def sine(x):
        return jax.numpy.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), -jax.numpy.cos(primals[0]) * tangents[0]))
    report = dies(check_gradients, from_jax(sine), X)
    assert report.name == "sine"
    assert "sign" in report.pattern


# ---------------------------------------------------------------------------------------------------------------
# MyGrad


@pytest.mark.peer
def test_mygrad():
    mg = library("mygrad")
    f = from_mygrad(lambda x, w: mg.tanh(x @ w) ** 2)
    assert (f.order, f.modes) == (1, ("reverse",))
    check_gradients(f, X, W)
    check_gradients(from_mygrad(lambda x, w: mg.sum(x)), X, W)  # w has no gradient there: zeros


@pytest.mark.peer
def test_wrong_rules_of_mygrad_die():
    mg = library("mygrad")

    class WrongSquare(mg.operation_base.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data**2

        def backward_var(self, grad, index, **kwargs):
            return grad * self.variables[index].data  # no factor 2

    def square(x):
        return mg.Tensor._op(WrongSquare, x)

    report = dies(check_gradients, from_mygrad(square), X)
    assert report.name == "square"
    assert "factor" in report.pattern


# ---------------------------------------------------------------------------------------------------------------
# Missing libraries


@pytest.mark.parametrize("name", ["autograd", "jax", "torch", "mygrad"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    with pytest.raises(MissingExtraError, match=f"pip install {name}$"):
        getattr(adapters, f"from_{name}")(np.sin)


def test_what_rounding_does_near_singularities_is_no_wrong_gradient():
    """By each element its own: steps jump over tiny ones, and float32 loses what it cannot hold."""
    x = np.array([[-1.1e-9, 5.8e-3, -2.1e-9]])
    y = np.array([[4.5e-10, 8.8e-10, 2.4e-14]])
    check_vjp(lambda x, y: x * np.log(y), lambda g, x, y: (g * np.log(y), g * x / y), x, y, seed=1)
    norm = np.linalg.norm
    check_vjp(lambda x: x + 1e6 * np.finfo(x.dtype).eps, lambda g, x: 1 * g, X)  # another function in float32
    check_vjp(norm, lambda g, x: g * x / max(norm(x), 1e-300), np.zeros(2))  # 1e-300 is 0 in float32
    single = lambda x: np.sqrt(x * x + np.finfo(x.dtype).eps)  # noqa: E731 - another one only beside 0
    check_vjp(lambda x: x / single(x), lambda g, x: g * np.finfo(x.dtype).eps / single(x) ** 3, np.zeros(2))
    check_gradients(lambda x: tg.std(x), np.array([8.5e-10, -1.6e-12]))
    unit = lambda x: x / tg.sqrt(tg.sum(x * x, axis=-1, keepdims=True))  # noqa: E731 - its gradient is 1/|x| - 1/|x|
    check_gradients(unit, np.array([[1.2992696154330926e-07], [1.0], [-0.87]]))
    conv = lambda x, w: tg.relu(tg.conv2d(x, w))  # noqa: E731 - near w = 0 both x and w decide, by their sizes
    check_gradients(conv, 1e-4 * np.random.default_rng(3).normal(size=(2, 2, 2, 2)), np.zeros((2, 2, 2, 2)))
    check_gradients(lambda x: tg.gelu(x), np.array(-34.2))  # its derivative is 1e-254
    check_gradients(lambda x: x - tg.tanh(x), np.array([1.1e-12, 4.2e-9]))  # of 1 - (1 - tanh(x)²) nothing is left
    for near in np.array([1.2e-3]), np.array([2.7e-7]), np.array([1.7e-3, 1.3e-10]), np.array([1.1e-8, 5.7e-12]):
        check_gradients(lambda x: x - tg.tanh(x), near)  # its values are multiples of the last digit of x
    dies(check_vjp, lambda x: x - np.sin(x), lambda g, x: 1.01 * g * (1 - np.cos(x)), np.array([1e-3]))
    dies(check_vjp, lambda x: 1e-20 * x**2, lambda g, x: 2.000002e-20 * g * x, np.array([1.5, -2.0]))
    dies(check_vjp, lambda x: x**2, lambda g, x: 2.2 * g * x, np.array([1.1e-12]))
    wrong = lambda g, x, y: (g * np.log(y), g * x / y * [1, 1, 1.1])  # noqa: E731
    dies(check_vjp, lambda x, y: x * np.log(y), wrong, np.abs(x), np.array([[0.5, 1.5, 2.5]]))


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_a_gradient_that_is_wrong_in_one_memory_layout_only_dies(layout):
    """Points beside this one, which say what rounding does, are of another layout, and the gradient is right there."""
    x = laid_out(np.random.default_rng(0).uniform(-2, 2, (3, 4)), layout)
    f = lambda x: np.sin(x)  # noqa: E731
    wrong = lambda g, x: g * np.cos(x) * (1.0 if x.flags.c_contiguous and x.flags.writeable else 1.01)  # noqa: E731
    assert f"{layout!r})" in dies(check_vjp, f, wrong, x).test  # which is of that layout, too


def test_a_gradient_that_is_remembered_for_another_cotangent_dies():
    known = {}
    dies(check_vjp, np.sin, lambda g, x: known.setdefault(x.tobytes(), g * np.cos(x)).copy(), X)


@pytest.mark.peer
def test_gradients_of_torch_are_checked_in_what_torch_can_do(caplog):
    """Derivatives of its forward mode are wrong for a few operators; at kinks its modes may take different ones."""
    torch = library("torch")
    x = np.random.default_rng(0).normal(size=(4, 3))
    for module in (torch.nn.BatchNorm1d(3).double(), torch.nn.LayerNorm(3).double()):
        check_gradients(from_torch(module), x)
    check_gradients(from_torch(torch.linalg.solve), x[:3] + 3 * np.eye(3), x[:3])
    assert "differentiates the forward mode of _linalg_solve_ex wrongly" in caplog.text
    check_gradients(from_torch(lambda x: torch.nn.functional.mse_loss(x, 2 * x)), x)  # "ZeroTensors are immutable"
    check_gradients(from_torch(torch.nn.PReLU()), np.array([[1.0, 0.0, -2.0]]), order=1)
    check_gradients(from_torch(torch.exp), np.array([1.7e-7, 7.5e-7]))


@pytest.mark.peer
def test_derivatives_of_the_forward_mode_of_torch_are_checked(caplog):
    torch = library("torch")
    case = prepare(from_torch(torch.tanh), [X])
    assert run(case)["second_order"] == "holds"
    assert case.tangent_case.modes == ("forward", "reverse")
    assert not case.left_out

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx, t):
            return t * ctx.saved_tensors[0].cos()

    class Constant(Sine):
        @staticmethod
        def jvp(ctx, t):
            return t * ctx.saved_tensors[0].detach().cos()  # right, but a constant to whoever differentiates it

    check_gradients(from_torch(Sine), X)
    assert "differentiates the forward mode of a custom Function wrongly" in caplog.text  # by itself: jvp is not nested
    assert "reverse over forward" in dies(check_gradients, from_torch(Constant), X).message
