"""The engine's edges: memory after the last reference, lists, NumPy's functions, decorators, transforms' arguments."""

import asyncio
import gc
import itertools
import operator
import tracemalloc

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import errors
from tinygrad_conv.testing import check_gradients


def held(step):
    """Bytes that 10 calls leave behind without the cycle collector."""
    gc.collect()
    gc.disable()
    try:
        step()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            step()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.mark.parametrize("transform", [
    lambda x: tg.grad(lambda p: (p["a"] ** 2).sum())({"a": x}), lambda x: tg.hvp(lambda a: (a**3).sum(), x, x),
    lambda x: tg.checkpoint(lambda a: (a * a).sum())(tg.Tensor(x, requires_grad=True)).backward(),
], ids=["grad", "hvp", "checkpoint"])  # fmt: skip
def test_transforms_leave_nothing_to_the_cycle_collector(transform):
    assert held(lambda: transform(np.ones(100_000))) < 100_000  # one array has 800,000 bytes


def test_a_list_that_changes_later_does_not_change_the_gradient():
    x, w = tg.Tensor([1.0, 2.0], requires_grad=True), [3.0, 4.0]
    y = (x * w).sum()
    w[0] = 9.0
    y.backward()
    assert x.grad.tolist() == [3, 4]


def test_a_list_of_tensors_is_not_cut_from_the_graph_in_silence():
    x = tg.Tensor(1.0, requires_grad=True)
    with pytest.raises(errors.GraphError, match=r"sum: a list holds a tensor of a graph.*tg.stack"):
        tg.sum([x, x])


def test_operators_on_integers_are_bitwise():
    for op in (operator.and_, operator.or_, operator.xor):
        assert op(tg.Tensor([6]), 3).tolist() == op(3, tg.Tensor([6])).tolist() == [op(6, 3)]
    assert (~tg.Tensor([6])).tolist() == [~6]


def test_numpys_functions_are_the_librarys():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for f in (np.exp, np.sum, np.mean, np.max, np.std, lambda v: np.concatenate([v, v]), lambda v: np.clip(v, 0, 1)):
        assert isinstance(f(x), tg.Tensor)
        assert f(x).requires_grad
        np.testing.assert_allclose(f(x), f(x.numpy()))
    with pytest.raises(TypeError, match="not written into an array"):
        np.ones(2).__iadd__(x)


def test_names_that_users_know():
    x = tg.Tensor([1.0], requires_grad=True)
    assert repr(x[:1]) == "Tensor([1.], from=getitem)"
    with pytest.raises(IndexError, match=r"^getitem: index 5"):
        x[5]


@pytest.mark.parametrize(
    "value", [["a", "b"], [b"a", b"b"], np.array(["a", None], object), np.zeros(2, "M8[s]")], ids=str
)
def test_only_numbers_are_added_at_an_index(value):
    """NumPy's add.at ends the process, of text."""
    text = np.asarray(value)
    index = np.array([0, 0])
    for call in (
        lambda: tg.add_at(text, index, text), lambda: tg.add_at(np.ones(2), index, text),
        lambda: tg.add_at(text, index, 1), lambda: tg.primitives()["scatter"].operation(text, index, (3,)),
        lambda: tg.primitives()["_add_at"].operation(text, text, index),
    ):  # fmt: skip
        with pytest.raises((errors.DTypeError, TypeError), match=r"numbers|dtype"):
            call()


@pytest.mark.parametrize("kind", [np.array, tg.Tensor, lambda index: (index,), lambda index: (tg.Tensor(index),)])
def test_what_is_scattered_adds_up_whatever_the_index_is(kind):
    """A place that an index has twice gets the sum, of arrays, tensors and lists in a tuple alike."""
    index = kind([1, 1, 2])
    for x in (np.ones(3), tg.Tensor(np.ones(3)), tg.Tensor(np.ones(3), requires_grad=True)):
        assert tg.scatter(x, index, (4,)).tolist() == [0, 2, 1, 0]
    assert tg.grad(lambda x: (tg.scatter(x, index, (4,)) * np.arange(4)).sum())(np.ones(3)).tolist() == [1, 1, 2]
    with pytest.raises(IndexError, match=r"got a list; use np\.array"):
        tg.scatter(np.ones(3), [1, 1, 2], (4,))


def test_modes_hold_in_generators_and_coroutines():
    @tg.no_grad
    def steps():
        yield tg.is_grad_enabled()
        yield tg.is_grad_enabled()

    @tg.no_grad()
    async def task():
        await asyncio.sleep(0)
        return tg.is_grad_enabled()

    assert [(step, tg.is_grad_enabled()) for step in steps()] == [(False, True)] * 2
    assert not asyncio.run(task())


def test_argnums_and_aux():
    assert [g.item() for g in tg.jacobian(lambda a, b: a * b, (0, 1))(2.0, 3.0)] == [3, 2]
    for wrong in ((0, 0), "a"):
        with pytest.raises(errors.ArgumentError, match="different ints"):
            tg.grad(lambda a: a, wrong)(1.0)
    with pytest.raises(errors.DTypeError, match=r"got a tuple.*has_aux=True"):
        tg.grad(lambda a: (a, a))(1.0)
    assert not tg.grad(lambda a: (a * a, a + 1), has_aux=True)(2.0)[1].requires_grad


def test_powers_of_zero_and_zeroth_powers_to_second_order():
    """d²(x ** y) / dx dy is 1 / x at y = 0, in both orders; at x = 0 nothing is NaN."""
    check_gradients(lambda x, y: x**y, np.array([2.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0]))
    at_zero = tg.grad(lambda x: tg.grad(lambda x: (x ** np.array([0.0, 1.0])).sum())(x).sum())(np.zeros(2))
    assert at_zero.tolist() == [0, 0]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.norm(x, 1, (0, 5)), lambda x: np.rollaxis(x, 5), lambda x: np.rollaxis(x, -4),
        lambda x: np.rollaxis(x, 1, 4), lambda x: np.rollaxis(x, 1, -4),
    ],
)  # fmt: skip
def test_an_axis_that_is_not_there_stands_for_no_other(call):
    with pytest.raises(errors.AxisError):
        call(tg.ones((2, 3, 4)))
    x = np.ones((2, 3, 4))
    for axis, start in itertools.product(range(-3, 3), range(-3, 4)):
        assert np.rollaxis(tg.Tensor(x), axis, start).shape == np.rollaxis(x, axis, start).shape
