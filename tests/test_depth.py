"""Whatever users nest is walked without recursion, and what is wide costs its width."""

import sys
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.autodiff import flatten
from tinygrad_conv.errors import ArgumentError, DTypeError

Pair = namedtuple("Pair", "a b")
LEAVES = st.none() | st.integers() | st.text(max_size=2)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3).map(OrderedDict)
        | st.tuples(inner, inner).map(lambda pair: Pair(*pair))
    ),
    max_leaves=12,
)  # fmt: skip


def recursively(tree):
    """The leaves of a tree, as a definition."""
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in recursively(item)]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in recursively(item)]
    return [tree]


@given(TREES)
def test_a_tree_is_taken_apart_and_built_again(tree):
    leaves, rebuild = flatten(tree)
    assert leaves == recursively(tree)
    again = rebuild(leaves)
    assert again == tree
    assert repr(again) == repr(tree)  # types too
    assert recursively(rebuild(range(len(leaves)))) == list(range(len(leaves)))


@pytest.mark.parametrize("depth", [900, 100_000])
@pytest.mark.parametrize("wrap", [lambda t: [t], lambda t: (t,), lambda t: {"a": t}, lambda t: Pair(t, None)])
def test_deep_arguments_and_results(depth, wrap):
    tree = tg.Tensor(3.0)
    for _ in range(depth):
        tree = wrap(tree)
    leaves, rebuild = flatten(tree)
    again = rebuild([2.0] * len(leaves))
    for _ in range(depth):
        again = again["a"] if isinstance(again, dict) else again[0]
    assert again == 2


def test_a_gradient_has_the_depth_of_its_argument():
    tree = tg.Tensor(3.0)
    for _ in range(20_000):
        tree = [tree]
    gradient = tg.grad(lambda t: flatten(t)[0][0] ** 2)(tree)
    assert flatten(gradient)[0][0].item() == 6


def test_what_holds_itself_is_refused():
    tree = [1.0]
    tree.append({"a": (tree,)})
    with pytest.raises(ArgumentError, match="holds itself"):
        tg.grad(lambda t: 1.0)(tree)


def test_lists_of_numbers_are_as_deep_as_arrays_can_be():
    deep = 1.0
    for _ in range(100_000):
        deep = [deep]
    for f in (tg.Tensor, lambda x: tg.ones(2) * x, lambda x: tg.ones(2)[x]):
        with pytest.raises((DTypeError, IndexError), match=r"deep|regular"):
            f(deep)


def instructions(f):
    """How many instructions Python runs in f."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "f", [lambda *xs: tg.concat(xs), lambda *xs: tg.stack(xs, axis=1), tg.checkpoint(lambda *xs: tg.concat(xs))]
)
def test_many_inputs_cost_their_number(f):
    def work(n):
        values = [np.full(3, float(k)) for k in range(n)]
        xs = [tg.Tensor(value, requires_grad=True) for value in values]
        y = f(*xs)
        y.backward(np.zeros(y.shape))
        tg.jvp(f, tuple(values), tuple(values))

    work(2)
    assert instructions(lambda: work(400)) < 4.4 * instructions(lambda: work(100))


def test_parts_come_back_right():
    xs = [tg.Tensor(np.full((2, k), float(k)), requires_grad=True) for k in (1, 0, 3)]
    g = np.arange(8.0).reshape(2, 4)
    for axis in (1, -1):
        for x in xs:
            x.zero_grad()
        tg.concat(xs, axis=axis).backward(g)
        np.testing.assert_array_equal(np.concatenate([x.grad for x in xs], axis=1), g)
    tangents = np.full(1, 5.0), np.full(2, 6.0)
    t = tg.jvp(lambda a, b: tg.concat([a, np.ones(2), b]), (np.ones(1), np.ones(2)), tangents)[1]
    assert t.tolist() == [5, 0, 0, 6, 6]
    assert sys.getrecursionlimit() <= 10_000
