"""The engine: recording, backward, transforms, safety, memory."""

import asyncio
import copy
import gc
import linecache
import pickle
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.engine import guards
from tinygrad_conv.engine.operation import written_out
from tinygrad_conv.errors import AnomalyError, DeclarationError, DTypeError, GraphError, MutationError, ShapeError


def leaf(*values, dtype=None):
    return tg.Tensor(list(values), requires_grad=True, dtype=dtype)


# ---------------------------------------------------------------------------------------------------------------
# Tensor


def test_tensor_attributes():
    x = tg.Tensor([[1, 2, 3], [4, 5, 6]], dtype=np.float32, name="x")
    assert (x.shape, x.ndim, x.size, x.dtype, x.nbytes) == ((2, 3), 2, 6, np.float32, 24)
    assert x.T.shape == (3, 2)
    assert not x.requires_grad
    assert x.grad is None
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2, 3], [4, 5, 6]]
    assert "name='x'" in repr(x)
    assert "requires_grad=True" in repr(leaf(1.0))
    assert "from=multiply" in repr(leaf(1.0) * 2)
    assert "shape=(100, 100)" in repr(tg.Tensor(np.zeros((100, 100))))
    assert f"{tg.Tensor(1.23456):.2f}" == "1.23"
    assert 3 in tg.Tensor([1, 2, 3])


def test_operators_follow_numpy(rng):
    a, b = rng.standard_normal((2, 3)), rng.uniform(1, 2, 3)
    x, y = tg.Tensor(a), tg.Tensor(b)
    pairs = [
        (x + y, a + b), (x - y, a - b), (x * y, a * b), (x / y, a / b), (x // y, a // b), (x % y, a % b),
        (y**x, b**a), (-x, -a), (+x, a), (abs(x), abs(a)), (x @ y, a @ b), (2 + x, 2 + a), (2 - x, 2 - a),
        (2 * x, 2 * a), (2 / y, 2 / b), (2**x, 2**a), (7 // y, 7 // b), (7 % y, 7 % b), (a + y, a + b), (b * x, b * a),
        (a @ y, a @ b), (x > y, a > b), (x >= y, a >= b), (x < y, a < b), (x <= y, a <= b), (x == x, a == a),
        (x != y, a != b), ((x > 0) & (y > 0), (a > 0) & (b > 0)), ((x > 0) | (y > 0), (a > 0) | (b > 0)),
        (~(x > 0), ~(a > 0)), ((x > 0) ^ (y > 0), (a > 0) ^ (b > 0)), (x[0, 1:], a[0, 1:]),
        (x.reshape(3, 2), a.reshape(3, 2)), (x.reshape((-1,)), a.ravel()), (x.transpose(1, 0), a.T), (x.mT, a.T),
        (x.sum(0), a.sum(0)), (x.mean(), a.mean()), (x.prod(1), a.prod(1)), (x.max(1), a.max(1)), (x.min(), a.min()),
        (x.var(0), a.var(0)), (x.std(), a.std()), (x.cumsum(1), a.cumsum(1)), (x.argmax(1), a.argmax(1)),
        (x.argmin(), a.argmin()), (x.argsort(), a.argsort()), (x.clip(-1, 1), a.clip(-1, 1)), (x.flatten(), a.ravel()),
        (x.ravel(), a.ravel()), (x.repeat(2, 1), a.repeat(2, 1)), (x.take([0, 2], 1), a.take([0, 2], 1)),
        (x.dot(y), a.dot(b)), (x.astype(np.float32), a.astype(np.float32)), (x.swapaxes(0, 1), a.swapaxes(0, 1)),
        (x.round(), a.round()), ((x > 9).any(), (a > 9).any()), ((x < 9).all(1), (a < 9).all(1)), (x.copy(), a),
        (x[None].squeeze(), a),
    ]  # fmt: skip
    for k, (got, expected) in enumerate(pairs):
        assert isinstance(got, tg.Tensor), k
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-14, err_msg=str(k))
        assert got.shape == np.shape(expected), k


def test_scalars_convert():
    x = tg.Tensor([2.5])
    assert (float(x), int(x), x.item(), bool(x)) == (2.5, 2, 2.5, True)
    assert [10, 20, 30][tg.Tensor(1)] == 20
    with pytest.raises(ShapeError, match="ambiguous"):
        bool(tg.Tensor([1.0, 2.0]))
    with pytest.raises(ShapeError, match="one element"):
        tg.Tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="0-d"):
        len(tg.Tensor(1.0))


def test_data_that_are_not_numbers():
    for bad in ("text", ["a"], [[1.0], [1.0, 2.0]], {"a": 1}, None, object()):
        with pytest.raises(DTypeError, match="Tensor: expected numbers"):
            tg.Tensor(bad)
    with pytest.raises(DTypeError, match="expected a floating dtype, got int64"):
        tg.Tensor([1, 2], requires_grad=True)
    assert not leaf(1.7).astype(int).requires_grad
    with pytest.raises(GraphError, match=r"tg\.stack"):
        tg.Tensor([leaf(1.0) * 2, 3.0])


def test_copies():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.requires_grad
        np.testing.assert_array_equal(twin.numpy(), x.numpy())
        assert not np.shares_memory(twin.numpy(), x.numpy())
    with pytest.raises(GraphError, match="detach"):
        pickle.dumps(x * 2)
    with pytest.raises(GraphError, match="detach"):
        copy.deepcopy(x * 2)


# ---------------------------------------------------------------------------------------------------------------
# backward


def test_methods_have_numpys_order():
    array = np.arange(6.0).reshape(2, 3)
    x = tg.Tensor(array, requires_grad=True)
    for call in (
        lambda x: x.reshape(3, 2, order="F"), lambda x: x.reshape((3, -1), order="C"), lambda x: x.ravel("F"),
        lambda x: x.T.flatten("K") if isinstance(x, tg.Tensor) else x.T.ravel("K"), lambda x: x.flatten(order="F"),
        lambda x: x.ravel().searchsorted(2.5), lambda x: x.nonzero()[1], lambda x: x.argpartition(1, axis=0),
    ):  # fmt: skip
        assert call(x).tolist() == call(array).tolist()
    tg.testing.check_gradients(lambda x: x.reshape(3, 2, order="F") * x.ravel("F").reshape(3, 2), array)


def test_backward_accumulates_like_pytorch():
    x = leaf(3.0)
    for expected in (6.0, 12.0):
        (x * x).sum().backward()
        assert x.grad.tolist() == [expected]
    x.zero_grad()
    assert x.grad is None
    x.grad = np.array([1.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [7.0]
    with pytest.raises(ShapeError, match="grad: expected shape"):
        x.grad = np.ones(3)


def test_grads_of_several_leaves_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(1.0, 2.0)
    seed = np.ones(2)
    (a + b).backward(seed)
    assert not np.shares_memory(a.grad.numpy(), b.grad.numpy())
    assert not np.shares_memory(a.grad.numpy(), seed)


def test_a_node_used_many_times():
    x = leaf(2.0)
    y = x * x
    z = y * y + y + y * x
    z.sum().backward()
    assert x.grad.item() == pytest.approx(4 * 8 + 4 + 12)


def test_same_input_twice_does_not_corrupt():
    x = leaf(1.0, 2.0)
    y = x + x
    (y + y + x).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_backward_with_gradient_and_errors():
    x = leaf(1.0, 2.0)
    y = x * 3
    with pytest.raises(GraphError, match=r"one element, got shape \(2,\); reduce it"):
        y.backward()
    with pytest.raises(ShapeError, match=r"output's shape \(2,\), got \(3,\)"):
        y.backward(np.ones(3))
    y.backward(tg.Tensor([1.0, 10.0]))
    assert x.grad.tolist() == [3.0, 30.0]


def test_second_backward_names_the_fix():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 4
    with pytest.raises(GraphError, match="retain_graph=True"):
        y.backward()


def test_no_graph_errors_say_why():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match="made without requires_grad=True"):
        tg.Tensor([1.0]).backward()
    with tg.no_grad():
        y = (x * x).sum()
    with pytest.raises(GraphError, match=r"inside no_grad\(\) at test_engine.py:\d+: y = \(x \* x\)"):
        y.backward()
    with pytest.raises(GraphError, match=r"detach\(\)"):
        x.detach().backward()
    with pytest.raises(GraphError, match="stop_gradient"):
        tg.stop_gradient(x).backward()
    with pytest.raises(RuntimeError):
        tg.Tensor(1.0).backward()


def test_create_graph():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    g = x.grad
    x.grad = None
    g.sum().backward()
    assert x.grad.item() == pytest.approx(12)


def test_hooks():
    x = leaf(1.0, 2.0)
    y = x * 3
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    doubled = x.register_hook(lambda g: g * 2)
    y.retain_grad()
    (y * y).sum().backward()
    assert seen == [[6.0, 12.0]]
    assert x.grad.tolist() == [36.0, 72.0]
    assert y.grad.tolist() == [6.0, 12.0]
    handle.remove()
    handle.remove()
    doubled.remove()
    x.zero_grad()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    x.register_hook(lambda g: np.ones(5))
    with pytest.raises(ShapeError, match="hook of leaf"):
        (x * 3).sum().backward()


def test_hooks_outlive_a_time_without_gradients():
    """As in PyTorch; the gradient itself is forgotten, so that no optimiser goes on with it."""
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    handle = x.register_hook(lambda g: g * 2)
    (x * 3).sum().backward()
    x.requires_grad = False
    x.requires_grad = False
    assert x.grad is None
    for expected in ([6.0, 6.0], [3.0, 3.0]):
        x.requires_grad = True
        (x * 3).sum().backward()
        assert x.grad.tolist() == expected
        x.requires_grad = False
        handle.remove()


def test_dtype_of_gradients():
    x = leaf(1.0, 2.0, dtype=np.float32)
    w = leaf(1.0, 2.0)
    (x * w).sum().backward()
    assert x.grad.dtype == np.float32
    assert w.grad.dtype == np.float64


def test_a_chain_of_200_000_operations():
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + 1.0
    y.backward(np.ones(1))
    assert x.grad.tolist() == [1.0]
    y = x
    for _ in range(200_000):
        y = y * 1.0
    del y  # letting go of a deep graph does not recurse either


def test_wide_graph():
    x = leaf(1.0)
    tg.stack([x * float(k) for k in range(1000)]).sum().backward()
    assert x.grad.item() == sum(range(1000))


# ---------------------------------------------------------------------------------------------------------------
# Transforms


def cubic(x):
    return (x**3).sum()


def test_transforms_touch_nothing():
    w = leaf(2.0)
    g = tg.grad(lambda x: (x * w).sum())(np.array([3.0]))
    assert g.tolist() == [2.0]
    assert w.grad is None
    plain = np.array([3.0])
    tg.grad(cubic)(plain)
    assert plain.tolist() == [3.0]


def test_argnums_and_trees():
    def f(params, x):
        return (params["w"] * x + params["b"][0] * params["b"][1]).sum()

    params = {"w": tg.Tensor([2.0]), "b": (tg.Tensor([3.0]), [np.array([4.0])][0])}
    value, g = tg.value_and_grad(f)(params, np.array([5.0]))
    assert value.item() == 22
    assert g["w"].tolist() == [5.0]
    assert isinstance(g["b"], tuple)
    assert [part.tolist() for part in g["b"]] == [[4.0], [3.0]]
    gw, gx = tg.grad(f, argnums=(0, 1))(params, np.array([5.0]))
    assert gx.tolist() == [2.0]
    assert gw["w"].tolist() == [5.0]
    g, aux = tg.grad(lambda x: (x * x, "aux"), has_aux=True)(3.0)
    assert (g.item(), aux) == (6.0, "aux")


def test_value_and_grad_matches_backward(rng):
    a = rng.standard_normal((3, 4))
    x = tg.Tensor(a, requires_grad=True)
    y = tg.tanh(x @ x.T).sum()
    y.backward()
    value, g = tg.value_and_grad(lambda v: tg.tanh(v @ v.T).sum())(a)
    assert value.item() == y.item()
    np.testing.assert_array_equal(g.numpy(), x.grad.numpy())


def test_vjp_and_jvp():
    y, pullback = tg.vjp(lambda x, w: {"a": x * w, "b": x.sum()}, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert y["a"].tolist() == [3.0, 8.0]
    gx, gw = pullback({"a": np.array([1.0, 1.0]), "b": np.array(10.0)})
    assert gx.tolist() == [13.0, 14.0]
    assert gw.tolist() == [1.0, 2.0]
    again = pullback({"a": np.array([1.0, 1.0]), "b": np.array(10.0)})
    assert again[0].tolist() == gx.tolist()
    y, t = tg.jvp(lambda x, w: (x * w, x), (2.0, 3.0), (1.0, 10.0))
    assert [v.item() for v in t] == [23.0, 1.0]
    with pytest.raises(ShapeError, match="jvp: expected 1 tangents"):
        tg.jvp(cubic, (1.0,), (1.0, 2.0))
    with pytest.raises(ShapeError, match="jvp: expected a gradient of the output's shape"):
        tg.jvp(cubic, (np.ones(2),), (np.ones(3),))


def test_jacobian_hessian_hvp(rng):
    a = rng.standard_normal(3)
    m = rng.standard_normal((2, 3))
    for how in ("auto", "reverse", "forward"):
        np.testing.assert_allclose(tg.jacobian(lambda x: tg.Tensor(m) @ x, mode=how)(a).numpy(), m, rtol=1e-14)
        np.testing.assert_allclose(
            tg.jacobian(lambda x: tg.sin(x), mode=how)(a).numpy(), np.diag(np.cos(a)), rtol=1e-14
        )
    np.testing.assert_allclose(tg.hessian(cubic)(a).numpy(), np.diag(6 * a), rtol=1e-13)
    v = rng.standard_normal(3)
    np.testing.assert_allclose(tg.hvp(cubic, a, v).numpy(), 6 * a * v, rtol=1e-13)
    np.testing.assert_allclose(tg.hvp(cubic, (a,), (v,))[0].numpy(), 6 * a * v, rtol=1e-13)
    tree = tg.jacobian(lambda p: p["x"] * 2)({"x": a})
    np.testing.assert_array_equal(tree["x"].numpy(), 2 * np.eye(3))


@pytest.mark.parametrize("outer", ["forward", "reverse"])
@pytest.mark.parametrize("middle", ["forward", "reverse"])
@pytest.mark.parametrize("inner", ["forward", "reverse"])
def test_nesting_in_any_mode(outer, middle, inner):
    def derivative(f, how):
        return tg.grad(f) if how == "reverse" else lambda x: tg.jvp(f, (x,), (1.0,))[1]

    third = derivative(derivative(derivative(lambda x: tg.sin(x) * x**2, inner), middle), outer)(0.7)
    x = 0.7
    expected = -np.cos(x) * x**2 - 6 * x * np.sin(x) + 6 * np.cos(x)
    assert third.item() == pytest.approx(expected, rel=1e-12)


def test_perturbations_are_not_confused():
    # d/dx [x * d/dy (x + y)] = 1; a confused implementation gives 2
    assert tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0).item() == 1
    assert tg.jvp(lambda x: x * tg.jvp(lambda y: x * y, (1.0,), (1.0,))[1], (2.0,), (1.0,))[1].item() == 4
    assert tg.grad(lambda x: tg.jvp(lambda y: x * y * y, (3.0,), (1.0,))[1])(2.0).item() == 6


def test_gradient_penalty_through_parameters():
    w = leaf(2.0)

    def critic(x):
        return (w * x * x).sum()

    penalty = (tg.grad(critic)(tg.Tensor([3.0])) ** 2).sum()  # (2 w x)^2
    penalty.backward()
    assert w.grad.item() == pytest.approx(2 * 2 * 9 * 4)


def test_results_of_transforms_hold_no_graph_when_nothing_outside_is_followed():
    nested = tg.grad(lambda x: tg.grad(lambda y: x * y * y)(2.0))(3.0)
    assert not nested.requires_grad
    value, g = tg.value_and_grad(cubic)(np.ones(2))
    assert not value.requires_grad
    assert not g.requires_grad


def test_transforms_inside_no_grad():
    with tg.no_grad():
        g = tg.grad(cubic)(np.array([2.0]))
    assert g.tolist() == [12.0]


def test_functions_that_ignore_an_argument_or_are_constant():
    assert tg.grad(lambda x, y: y * 2, argnums=0)(1.0, 2.0).item() == 0
    assert tg.jvp(lambda x: tg.Tensor(1.0), (1.0,), (1.0,))[1].item() == 0
    assert tg.jacobian(lambda x: tg.Tensor([1.0]))(np.ones(2)).tolist() == [[0.0, 0.0]]


def test_transform_errors():
    with pytest.raises(DTypeError, match=r"expected floating-point input, argument 0 has dtype int64; write 3.0"):
        tg.grad(lambda x: x * x)(3)
    with pytest.raises(ShapeError, match=r"one number as its value, got shape \(2,\)"):
        tg.grad(lambda x: x)(np.ones(2))
    with pytest.raises(DTypeError, match="returned None"):
        tg.grad(lambda x: None)(1.0)
    with pytest.raises(DTypeError, match="expected f to be a function"):
        tg.grad(3)(1.0)
    with pytest.raises(ValueError, match="argnums=1"):
        tg.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(ValueError, match="mode"):
        tg.jacobian(cubic, mode="sideways")


# ---------------------------------------------------------------------------------------------------------------
# Checkpointing


def test_checkpoint_equals_plain_to_second_order():
    w = leaf(0.5)

    def f(x, scale):
        return {"y": tg.tanh(w * x) * scale, "s": tg.sin(x * w)}

    def loss(x, g):
        out = g(x, scale=2.0)
        return (out["y"] * out["s"]).sum()

    x = np.array([0.3, -0.4])
    for order in (lambda h: tg.grad(h), lambda h: tg.grad(lambda v: (tg.grad(h)(v) ** 2).sum())):
        plain = order(lambda v: loss(v, f))(x)
        saved = order(lambda v: loss(v, tg.checkpoint(f)))(x)
        np.testing.assert_allclose(saved.numpy(), plain.numpy(), rtol=1e-14)
    np.testing.assert_allclose(
        tg.jvp(lambda v: loss(v, tg.checkpoint(f)), (x,), (np.ones(2),))[1].numpy(),
        tg.jvp(lambda v: loss(v, f), (x,), (np.ones(2),))[1].numpy(),
        rtol=1e-14,
    )
    loss(tg.Tensor(x), tg.checkpoint(f)).backward()
    through_checkpoint = w.grad.item()
    w.zero_grad()
    loss(tg.Tensor(x), f).backward()
    assert through_checkpoint == pytest.approx(w.grad.item(), rel=1e-14)


def test_a_hook_outside_of_a_checkpoint_runs_once():
    w, calls = leaf(1.0, 2.0), []
    w.register_hook(lambda g: (calls.append(g), g / 2)[1])
    h = w * 3
    h.register_hook(lambda g: g * 5)
    (tg.checkpoint(lambda z: (z * w).sum())(tg.Tensor([3.0, 4.0])) + tg.checkpoint(tg.sum)(h) + w.sum()).backward()
    assert w.grad.tolist() == [(3 + 15 + 1) / 2, (4 + 15 + 1) / 2]
    assert len(calls) == 1


def test_checkpoint_repeats_dropout():
    rng = np.random.default_rng(3)
    x = np.ones(1000)
    y, pullback = tg.vjp(tg.checkpoint(lambda v: tg.dropout(v, 0.5, rng)), x)
    after = rng.bit_generator.state
    np.testing.assert_array_equal(pullback(np.ones(1000))[0].numpy(), y.numpy())
    assert rng.bit_generator.state == after


def test_checkpoint_holds_less():
    def block(x):
        for _ in range(20):
            x = tg.sin(x)
        return x

    def held(f):
        gc.collect()
        tracemalloc.start()
        x = tg.Tensor(np.ones(100_000), requires_grad=True)
        y = f(f(x))
        current = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        y.sum().backward()
        return current, x.grad.numpy()

    plain, g1 = held(block)
    less, g2 = held(tg.checkpoint(block))
    np.testing.assert_array_equal(g1, g2)
    assert less < plain / 5


# ---------------------------------------------------------------------------------------------------------------
# Safety: changed buffers


def change_through_alias(a, x):
    a[0] = 100.0


def change_through_numpy(a, x):
    x.numpy()[0] = 100.0


def change_through_data(a, x):
    x.data[0] = 100.0


def change_through_view(a, x):
    a[:1][...] = 100.0


def change_through_asarray(a, x):
    with tg.no_grad():
        np.asarray(x)[0] = 100.0


@pytest.mark.parametrize(
    "change", [change_through_alias, change_through_numpy, change_through_data, change_through_view,
               change_through_asarray]
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 100_000])
def test_changed_input_raises_at_backward(change, size):
    a = np.ones(size)
    x = tg.Tensor(a, requires_grad=True)
    y = (x * x).sum()
    change(a, x)
    with pytest.raises(MutationError, match=r"multiply: its saved input 0.*test_engine.py:\d+: y = \(x \* x\).sum\(\)"):
        y.backward()
    assert x.grad is None


def test_changed_output_raises_at_backward():
    x = tg.Tensor(np.ones(3), requires_grad=True)
    y = tg.exp(x)
    z = y.sum()
    y.numpy()[1] = 7.0
    with pytest.raises(MutationError, match="exp: its saved output"):
        z.backward()


def test_changed_view_of_an_output_raises_at_backward():
    x = tg.Tensor(np.ones(4), requires_grad=True)
    y = tg.exp(x)
    z = y.reshape(2, 2)
    z.numpy()[0, 0] = 7.0
    with pytest.raises(MutationError, match="exp"):
        (y.sum() + z.sum()).backward()


def test_changed_constant_operand_raises_at_backward():
    c = np.ones(3)
    x = leaf(1.0, 2.0, 3.0)
    y = (x * c).sum()
    c[1] = 5
    with pytest.raises(MutationError, match="multiply: its saved input 1"):
        y.backward()


def test_changed_index_does_not_matter():
    index = np.array([0, 1])
    x = leaf(1.0, 2.0, 3.0)
    y = x[index].sum()
    index[:] = 2
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_permuting_elements_is_noticed():
    a = np.array([1.0, 2.0, 3.0])
    x = tg.Tensor(a, requires_grad=True)
    y = (x * x).sum()
    a[:] = a[::-1].copy()
    with pytest.raises(MutationError):
        y.backward()


def flip_a_bit(c, rng):
    """Of one element: another number, or another NaN, or the other zero."""
    index = tuple(int(rng.integers(n)) for n in c.shape)
    raw = bytearray(c[index].tobytes())
    raw[rng.integers(len(raw))] ^= 1 << int(rng.integers(8)) if c.dtype != bool else 1
    c[index] = np.frombuffer(bytes(raw), c.dtype)[0]


def swap_two(c, rng):
    i, j = (tuple(int(rng.integers(n)) for n in c.shape) for _ in range(2))
    c[i], c[j] = c[j], c[i]


def negate(c, rng):
    c[...] = ~c if c.dtype == bool else -c


CHANGES = {
    "flip": flip_a_bit,
    "swap": swap_two,
    "shuffle rows": lambda c, rng: rng.shuffle(c) if c.ndim else None,
    "reverse": lambda c, rng: c.__setitem__(..., np.array(np.flip(c))),
    "negate": negate,
    "add": lambda c, rng: c.__setitem__(..., c + np.ones((), c.dtype)),
    "scale": lambda c, rng: c.__setitem__(..., c * np.asarray(2, c.dtype)),
    "zero": lambda c, rng: c.__setitem__(..., 0),
}
LAYOUTS = {
    "C": lambda c: np.array(c, order="C"),
    "Fortran": lambda c: np.array(c, order="F"),
    "strided": lambda c: np.repeat(c[..., None], 3, axis=-1)[..., 1],
    "reversed": lambda c: c.copy()[(*[slice(None, None, -1)] * c.ndim, ...)],
}


@pytest.mark.parametrize("small", [0, 1 << 19])
@given(
    dtype=st.sampled_from(["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"]),
    shape=st.lists(st.integers(1, 5), max_size=3), layout=st.sampled_from(list(LAYOUTS)),
    change=st.sampled_from(list(CHANGES)), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_saved_array_is_changed_exactly_if_its_bits_are(small, dtype, shape, layout, change, seed):
    """Whether a copy or a checksum of it is kept."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, 2, 3] if dtype == "bool" or "u" in dtype else [-2, -1, 0, 1, 2, 3], shape)
    c = LAYOUTS[layout](np.asarray(values).astype(dtype))
    if c.dtype.kind == "f":
        c[rng.random(shape) < 0.1] = np.nan
    x = tg.Tensor(np.ones(shape), requires_grad=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "_SMALL", small)
        y = x * c
        before = c.tobytes()
        CHANGES[change](c, rng)
        if c.tobytes() == before:
            y.backward(np.ones(shape))
            np.testing.assert_array_equal(x.grad.numpy(), c.astype(float))
        else:
            with pytest.raises(MutationError, match="multiply: its saved input 1"):
                y.backward(np.ones(shape))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("change", ["input 0", "input 1", "output", None])
def test_an_operation_of_many_inputs_saves_what_its_rule_reads(change):
    @tg.opaque(vjp=lambda g, xs, y, i: g * y / xs[i], jvp=lambda t, xs, y, i: t * y / xs[i])
    def product(*xs):
        return np.prod(xs, axis=0)

    a, c = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    x = tg.Tensor(a, requires_grad=True)
    y = product(x, c, x)
    z = y.sum()
    assert [type(s) for s in y.node.saved] == [np.ndarray] * 4 + [type(None)]
    if change is not None:
        {"input 0": a, "input 1": c, "output": y.numpy()}[change][0] = -1
        with pytest.raises(MutationError, match=f"product: its saved {change}"):
            z.backward()
        return
    z.backward()
    assert x.grad.tolist() == (2 * a * c).tolist()
    hessian = tg.hessian(lambda x: product(x, c, x).sum())(a)
    assert hessian.tolist() == np.diag(2 * c).tolist()


@pytest.mark.usefixtures("registry")
def test_a_residual_is_kept_for_the_input_whose_rule_reads_it():
    @tg.opaque(
        vjp=(lambda g, residual: g * residual, lambda g: g), jvp=(lambda t, residual: t * residual, lambda t: t),
        residual=True,
    )  # fmt: skip
    def shifted_square(x, b):
        return x * x + b, 2 * x

    x, b = leaf(3.0), leaf(1.0)
    assert shifted_square(x, b.detach()).node.saved[-1].tolist() == [6.0]
    assert shifted_square(x.detach(), b).node.saved == (None,) * 4
    shifted_square(x, b).backward()
    assert (x.grad.tolist(), b.grad.tolist()) == ([6.0], [1.0])


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("many", [False, True])
def test_an_output_in_the_users_memory_is_watched(many):
    @tg.opaque(vjp=lambda g, y: g * y, jvp=lambda t, y: t * y)
    def same(x):
        return x

    @tg.opaque(vjp=lambda g, y: g * y, jvp=lambda t, y: t * y)
    def first(*xs):
        return xs[0]

    a = np.array([2.0, 3.0])
    y = (first if many else same)(tg.Tensor(a, requires_grad=True))
    a[0] = 7
    with pytest.raises(MutationError, match="its saved output"):
        y.backward(np.ones(2))


def test_changes_that_do_no_harm_are_allowed():
    a = np.ones(3)
    x = tg.Tensor(a, requires_grad=True)
    a[0] = 5.0  # before forward
    y = (x + x).sum()
    a[1] = 7.0  # addition reads nothing
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    x.zero_grad()
    z = (x * x).sum()
    z.backward()
    a[2] = 9.0  # after backward
    assert x.grad.tolist() == [10.0, 14.0, 2.0]
    z = (x * x).sum()  # and forward again with the new values
    x.zero_grad()
    z.backward()
    assert x.grad.tolist() == [10.0, 14.0, 18.0]


def test_in_place_assignment_says_what_to_write():
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match=r"set_at\(x, index, value\)"):
        x[0] = 5.0
    before = x
    x += 1
    assert before.tolist() == [1.0, 2.0]
    assert x.requires_grad


def test_assigning_data_keeps_old_graphs_right():
    x = leaf(3.0)
    y = (x * x).sum()
    x.data = np.array([10.0])
    y.backward()
    assert x.grad.item() == 6
    with pytest.raises(ShapeError, match="data"):
        x.data = np.ones(4)


# ---------------------------------------------------------------------------------------------------------------
# Modes


def test_grad_mode_is_per_thread():
    x = leaf(1.0)
    inside, seen = threading.Event(), {}
    leave = threading.Event()

    def other():
        with tg.no_grad():
            inside.set()
            leave.wait(60)
            seen["thread"] = (x * 2).requires_grad

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    seen["main"] = (x * 2).requires_grad
    leave.set()
    thread.join()
    assert seen == {"main": True, "thread": False}


def test_grad_mode_is_per_task():
    x = leaf(1.0)

    async def quiet():
        with tg.no_grad():
            await asyncio.sleep(0.01)
            return (x * 2).requires_grad

    async def loud():
        await asyncio.sleep(0.005)
        return (x * 2).requires_grad

    async def both():
        return await asyncio.gather(quiet(), loud())

    assert asyncio.run(both()) == [False, True]


def test_no_grad_as_decorator_and_nested():
    x = leaf(1.0)

    @tg.no_grad()
    def f():
        with tg.enable_grad():
            recorded = (x * 2).requires_grad
        return (x * 2).requires_grad, recorded

    assert f() == (False, True)
    assert tg.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        _ = 1 / 0
    assert tg.is_grad_enabled()


def test_detect_anomaly():
    x = leaf(-1.0, 4.0)
    with tg.detect_anomaly(), np.errstate(invalid="ignore", divide="ignore"):
        infinite = tg.log(x * 0 + 0)
        with pytest.raises(AnomalyError, match=r"sqrt: the result has 1 NaN of 2 .*test_engine.py:\d+: .*tg.sqrt"):
            tg.sqrt(x)
        with pytest.raises(AnomalyError, match=r"subtract: .* already held infinities"):
            tg.subtract(infinite, infinite)
        y = tg.sqrt(leaf(0.0)) * 0.0
        with pytest.raises(AnomalyError, match=r"(multiply|sqrt): its gradient has 1 NaN"):
            y.sum().backward()


# ---------------------------------------------------------------------------------------------------------------
# Memory


def test_nothing_is_retained_over_many_steps():
    w = tg.Tensor(np.ones((50, 50)), requires_grad=True)

    def step():
        y = tg.tanh(tg.Tensor(np.ones((50, 50))) @ w).sum()
        y.backward()
        w.zero_grad()

    gc.disable()
    try:
        for _ in range(5):
            step()
        tracemalloc.start()
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            step()
        end = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    finally:
        gc.enable()
    assert end - start < 20_000  # one retained 50x50 array alone is 20,000 bytes, 50 steps would keep a million


def test_graphs_die_with_their_last_tensor_without_the_cycle_collector():
    gc.collect()
    gc.disable()
    try:
        x = tg.Tensor(np.ones(3), requires_grad=True)
        y = tg.exp(x)
        node = weakref.ref(y.node)
        z = tg.sin(y * y).sum()
        del y
        assert node() is not None
        del z
        assert node() is None
        grads = weakref.ref(tg.grad(cubic)(np.ones(3)))
        assert grads() is None
    finally:
        gc.enable()


def test_backward_frees_as_it_goes():
    x = tg.Tensor(np.ones(3), requires_grad=True)
    y = tg.exp(x)
    z = tg.sin(y)
    z.sum().backward()
    assert y.node.freed
    assert y.node.saved == ("freed",)


def test_only_what_rules_read_is_saved():
    x, w = leaf(1.0, 2.0), tg.Tensor([3.0, 4.0])
    assert [s is None for s in (x + x).node.saved] == [True] * 4
    product = (x * w).node.saved  # the gradient of x reads w; nobody wants the gradient of w, which would read x
    assert product[0] is None
    assert product[1] is w.numpy()
    assert [s is None for s in tg.exp(x).node.saved] == [True, False, True]


# ---------------------------------------------------------------------------------------------------------------
# Determinism


def test_same_seed_same_bits():
    def run():
        rng = np.random.default_rng(5)
        w = tg.Tensor(rng.standard_normal((20, 20)).astype(np.float32), requires_grad=True)
        for _ in range(5):
            loss = (tg.dropout(tg.relu(w @ w.T), 0.3, rng) ** 2).mean()
            w.zero_grad()
            loss.backward()
            w.data = w.numpy() - 0.1 * w.grad.numpy()
        return w.numpy().tobytes()

    assert run() == run()


# ---------------------------------------------------------------------------------------------------------------
# Declaring primitives


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", {})


@pytest.mark.usefixtures("registry")
def test_incomplete_declarations_are_refused():
    def f(x):
        return x

    def two(x1, x2):
        return x1 * x2

    cases = [
        (lambda: tg.elementwise()(f), "@elementwise f: a derivative for each input is missing"),
        (lambda: tg.elementwise(lambda x1: x1)(two), "a derivative for each input x1, x2; got 1"),
        (lambda: tg.elementwise(lambda z: z)(f), "asks for 'z'"),
        (lambda: tg.elementwise(3)(f), "a function as the rule of input 'x', got 3"),
        (lambda: tg.elementwise(lambda x: x)(3), "expected to decorate a function"),
        (lambda: tg.linear()(f), "@linear f: its transpose is missing"),
        (lambda: tg.linear(lambda x: x)(f), "'g' as the first argument"),
        (lambda: tg.bilinear(lambda g, x2: g * x2)(two), "expected two transposes, got 1"),
        (lambda: tg.opaque(vjp=lambda g: g)(f), r"a JVP \(jvp=\) is missing"),
        (lambda: tg.opaque(jvp=lambda t: t)(f), r"a VJP \(vjp=\) is missing"),
        (lambda: tg.opaque(vjp=(lambda g: g, lambda g: g), jvp=lambda t: t)(two), "a JVP for each input x1, x2"),
    ]
    for declare, message in cases:
        with pytest.raises(DeclarationError, match=message):
            declare()


@pytest.mark.usefixtures("registry")
def test_a_primitive_of_ones_own_gets_everything():
    @tg.elementwise(lambda x, beta: tg.sigmoid(beta * x), label="sp", domain=(-2, 2))
    def my_softplus(x, beta=1.0):
        """log(1 + exp(beta x)) / beta."""
        return np.logaddexp(beta * x, 0) / beta

    tg.testing.check_primitive(my_softplus.primitive, tg.testing.Draw.seeded(1))
    assert tg.grad(my_softplus)(0.0).item() == 0.5
    assert tg.grad(tg.grad(lambda x: my_softplus(x, beta=2.0)))(0.0).item() == pytest.approx(0.5)
    assert my_softplus(np.zeros(1)).tolist() == [np.log(2)]
    assert "my_softplus" in tg.primitives()


def test_a_name_cannot_be_taken():
    def exp(x):
        return x

    exp.__module__ = "elsewhere"
    with pytest.raises(DeclarationError, match=r"declared in tinygrad_conv\.ops.elementwise"):
        tg.elementwise(lambda y: y)(exp)


@pytest.mark.usefixtures("registry")
def test_a_rule_of_wrong_shape_is_named():
    @tg.linear(lambda g: np.ones(7))
    def odd(x):
        return x * 1

    with pytest.raises(ShapeError, match=r"odd: its rule returned a gradient of shape \(7,\)"):
        tg.grad(lambda x: tg.sum(odd(x)))(np.ones(3))


def test_every_operation_is_the_code_that_its_primitive_shows():
    for primitive in tg.primitives().values():
        code = written_out(primitive).__code__
        assert code.co_name == primitive.name
        lines = primitive.source.splitlines(keepends=True)
        assert [linecache.getline(code.co_filename, k + 1) for k in range(len(lines))] == lines
        assert primitive.source.count("for x in xs") == primitive.variadic


def test_mixed_arguments_by_keyword():
    x = leaf(1.0, 4.0)
    assert tg.sum(x, 0, keepdims=True).tolist() == [5.0]
    assert tg.sum(x, 0, True).tolist() == tg.sum(x, keepdims=True, axis=0).tolist() == [5.0]
    for wrong in (
        lambda: tg.sum(x, 0, axis=0),
        lambda: tg.sum(x, 0, True, 1),
        tg.sum,
        lambda: tg.tanh(x, 1),
        lambda: tg.tanh(x, y=1),
        lambda: tg.add(x),
        lambda: tg.add(x, x, x1=x),
    ):
        with pytest.raises(DTypeError, match=r"(sum|tanh|add): .*its signature is (sum|tanh|add)\("):
            wrong()
    assert tg.sum(x=x, axis=0).item() == 5
    assert tg.softmax(x, 0).shape == (2,)
    assert tg.clip(x, max=2.0).tolist() == [1.0, 2.0]


def test_gradients_of_leaves_leave_grad_as_it_is():
    from tinygrad_conv.engine.backward import gradients

    a, b, c = (tg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(3))
    a.grad = np.ones(2)
    of_a, of_b, of_c = gradients((a * a * b).sum(), [a, b, c])
    assert (of_a.tolist(), of_b.tolist(), of_c) == ([2.0, 8.0], [1.0, 4.0], None)
    assert a.grad.tolist() == [1.0, 1.0]
    assert b.grad is None
