"""Who something is, is asked of the thing itself: never of its name, or of the module in which it stands."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.kernels import registry as kernels
from tinygrad_conv.plan import fusing, programs
from tinygrad_conv.plan.into import INTO, VIEWS
from tinygrad_conv.plan.lowerings import LOWERINGS
from tinygrad_conv.plan.ours import ours

optim = tg.optim


def weights_after(make, form, **attributes):
    """A parameter after some steps, eager (None) or compiled."""
    w = tg.nn.Parameter(np.linspace(-1, 1, 5))
    optimizer = make([w])
    vars(optimizer).update({name: value(optimizer) for name, value in attributes.items()})

    def step(x):
        optimizer.zero_grad()
        ((w * x) ** 2).sum().backward()
        optimizer.step()

    run = step if form is None else tg.compile(step, warn=False)
    with tg.use_kernels(form or "plain"):
        for k in range(5):
            run(tg.Tensor(np.linspace(1, 2, 5) + k))
    return w.numpy().copy()


def moved(self, p, g, state, lr, *, out=None):
    return p - 0.5 * lr * g


def written_anew(name, function, base, module):
    """A class below `base` with one method of its own, that says it stands in `module`."""
    return type("Mine", (base,), {name: function, "__module__": module})


METHODS = {
    "update": moved,
    "step": lambda self: setattr(self, "steps", self.steps + 1),
    "numbers": lambda self, lr: (2 * lr, self.momentum, self.nesterov, self.weight_decay),
    "begin": lambda self: setattr(self, "momentum", 0.5 * self.momentum),
    "start": lambda self, p: {"velocity": np.ones_like(p)},
}


@pytest.mark.parametrize("module", ["elsewhere", "tinygrad_conv.optim"])
@pytest.mark.parametrize("name", METHODS)
def test_an_optimiser_with_a_method_of_its_own_is_that_optimiser(name, module):
    kind = written_anew(name, METHODS[name], optim.SGD, module)
    expected = weights_after(lambda p: kind(p, lr=0.01, momentum=0.9), None)
    got = weights_after(lambda p: kind(p, lr=0.01, momentum=0.9), "auto")
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    other = weights_after(lambda p: optim.SGD(p, lr=0.01, momentum=0.9), None)
    assert not np.allclose(other, expected, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_and_so_is_one_with_a_method_for_itself_alone(name):
    def bound(optimizer):
        return METHODS[name].__get__(optimizer)

    def make(p):
        return optim.SGD(p, lr=0.01, momentum=0.9)

    expected = weights_after(make, None, **{name: bound})
    got = weights_after(make, "auto", **{name: bound})
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_class_that_names_a_kernel_and_updates_otherwise():
    class Mine(optim.Optimizer):
        kernel, arrays = kernels.sgd, ("velocity",)
        update = moved

    expected = weights_after(lambda p: Mine(p, lr=0.01), None)
    got = weights_after(lambda p: Mine(p, lr=0.01), "auto")
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_schedule_that_counts_is_asked_once_a_step():
    for form in (None, "plain", "auto"):
        asked = []
        weights_after(lambda p: optim.SGD(p, lr=lambda step: asked.append(step) or 0.01), form)  # noqa: B023
        assert asked == [0, 1, 2, 3, 4], form


# ---------------------------------------------------------------------------------------------------------------
# Operations


def tables():
    return sorted({*INTO, *LOWERINGS, *VIEWS, "pool_max", "pool_scatter"} - {""})


@pytest.mark.parametrize("name", tables())
def test_every_name_in_the_tables_is_a_function_of_ours(name):
    from tinygrad_conv.plan.ours import _FUNCTIONS

    assert name in _FUNCTIONS


@pytest.mark.parametrize("name", ["exp", "relu", "sum_to", "reshape", "_matmul"])
@pytest.mark.parametrize("module", ["mine", "tinygrad_conv.ops.elementwise", "tinygrad_conv.kernels.fused"])
def test_a_primitive_of_somebody_else_is_not_ours_whatever_it_is_called(name, module, monkeypatch):
    monkeypatch.setattr(tg.engine.primitive, "_registry", {})
    monkeypatch.setattr(fusing, "WORTHWHILE", 0)
    monkeypatch.setattr(programs, "LEAST_CALLS", 1)

    @tg.elementwise(lambda: 3.0)
    def tripled(x):
        return 3.0 * x

    tripled.primitive.name = tripled.primitive.forward.__name__ = tripled.primitive.forward.__qualname__ = name
    tripled.primitive.forward.__module__ = module
    w = tg.nn.Parameter(np.full((4, 3), 2.0))

    def step(x):
        w.zero_grad()
        tripled(w * x + 1.0).sum().backward()
        return w.grad

    for form in ("plain", "auto"):
        compiled = tg.compile(step)
        with tg.use_kernels(form):
            assert [compiled(np.full((4, 3), k)).tolist() for k in (1.0, 2.0, 3.0)] == [
                [[3 * k] * 3] * 4 for k in (1.0, 2.0, 3.0)
            ]
        assert not [call for call in compiled.plan.calls if ours(call) and call.name == name]


def test_an_addition_of_somebody_else_is_not_made_into_one_with_a_relu(monkeypatch):
    monkeypatch.setattr(tg.engine.primitive, "_registry", {})
    monkeypatch.setattr(fusing, "WORTHWHILE", 0)

    @tg.elementwise(lambda: 1.0, lambda: 2.0)
    def add(x, y):
        return x + 2.0 * y

    step = tg.compile(lambda x, b: tg.relu(add(x, b)))
    x, b = np.linspace(-1, 1, 12).reshape(4, 3), np.array([1.0, -1.0, 0.5])
    for form in ("plain", "auto"):
        with tg.use_kernels(form):
            assert [step(x, b).tolist() for _ in range(3)] == [np.maximum(x + 2 * b, 0).tolist()] * 3


# ---------------------------------------------------------------------------------------------------------------
# The compiled step itself


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_compiled_step_is_not_copied(copied):
    step = tg.compile(lambda x: x * 2.0)
    step(np.ones(2))
    with pytest.raises(tg.errors.GraphError, match=r"got the compiled step <lambda>; copy the step itself"):
        copied(step)


def test_gradients_that_are_clipped_at_some_calls_only():
    def run(wrap):
        w = tg.nn.Parameter(np.array([0.5, -1.0, 2.0]))

        def step(x):
            loss = ((w * x) ** 2).sum()
            w.zero_grad()
            loss.backward()
            tg.optim.clip_grad_norm([w], 3.0)
            return loss.detach(), w.grad[:2]

        step = wrap(step)
        return [[r.numpy().tobytes() for r in step(np.full(3, x))] for x in (0.1, 0.1, 0.1, 5.0, 0.1, 7.0)]

    with tg.use_kernels("plain"):
        assert run(tg.compile) == run(lambda step: step)
