"""What is dropped goes at once, without the cycle collector; what can be copied is, and what cannot says what to do."""

import contextlib
import copy
import gc
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import keras
from tinygrad_conv.errors import GraphError, TinygradConvError

IMAGES = np.linspace(-1, 1, 2 * 8 * 8).reshape(2, 8, 8, 1).astype("float32")
ROWS = np.ones((4, 3), "float32")


def net():
    inner = tg.nn.Sequential([tg.nn.BatchNorm(), tg.nn.MaxPool2D(), tg.nn.Dropout(0.5, seed=1)])
    return tg.nn.Sequential(
        [tg.nn.Conv2D(4, 3, activation="relu"), inner, tg.nn.Flatten(), tg.nn.Dense(3, activation=tg.tanh)], seed=0
    )


class Own(tg.nn.Module):
    """Modules in a list and in an attribute, called from outside of where they are."""

    def __init__(self):
        self.first = tg.nn.Dense(3, in_features=3)
        self.rest = [tg.nn.Sequential([tg.nn.Dense(3, in_features=3)])]

    def forward(self, x):
        return self.rest[0][0](self.rest[0](self.first(x)))


def called(model, x):
    model(x)
    return model


def trained():
    model = called(net(), IMAGES)
    optimizer = tg.optim.Adam(model.parameters(), lr=tg.optim.ExponentialDecay(0.1, 0.9, 1))
    for _ in range(2):
        optimizer.zero_grad()
        (model(IMAGES) ** 2).mean().backward()
        optimizer.step()
    return model, optimizer


def compiled():
    model = called(net(), IMAGES)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

    @tg.compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(IMAGES)
    return step


def profiled():
    with tg.profile() as profile:
        net()(IMAGES)
    str(profile)
    return profile


def hooked():
    x = tg.Tensor(ROWS, requires_grad=True)
    y = (x * 2).retain_grad()
    handle = y.register_hook(lambda g: g)
    y.sum().backward()
    return x, y, handle


def refusing():
    """A compiled step whose replays raise: in a line of Python, and in a program."""

    @tg.compile
    def step(x, index, labels):
        loss = tg.softmax_cross_entropy(tg.tanh(x) * 2, labels).sum() if labels is not None else x.sum()
        return loss + x[index].sum()

    for k in range(6):
        with contextlib.suppress(TinygradConvError):
            step(ROWS, np.array([0, 9 * (k > 3)]), np.array([0, 1, 2, 1]))
        with contextlib.suppress(TinygradConvError):
            step(ROWS, np.array([0, 1]), np.array([0, 1, 2, 5 * (k > 3)]))


def refused():
    """Bad calls of each form: an axis, a choice, a union, shapes, an operation, a file, a callback."""
    x = tg.Tensor(ROWS, requires_grad=True)
    for call in (
        lambda: x.sum(axis=9), lambda: x.sum(axis="x"), lambda: x.reshape(5), lambda: x + np.ones(2), lambda: x @ x,
        lambda: tg.nn.Dense(0), lambda: tg.nn.Conv2D(2, 0, padding="most"), lambda: tg.optim.SGD([x], 0.1, momentum=2),
        lambda: tg.nn.Dense(2)(ROWS[0, 0]), lambda: tg.grad(lambda v: v)(ROWS), lambda: x.backward(),
        lambda: tg.nn.Dense(2, in_features=2)(ROWS), lambda: net().load_state_dict({"w": 3}), lambda: x[7],
        lambda: tg.nn.load("/nothing/there.npz"), lambda: net().load_weights("/nothing/there.npz"),
    ):  # fmt: skip
        with contextlib.suppress(TinygradConvError, AttributeError, OSError):
            call()


def page(path):
    tg.draw(net(), IMAGES).render(path)


THINGS = {
    "model": lambda tmp: called(net(), IMAGES),
    "own model": lambda tmp: called(Own(), ROWS),
    "optimizer": lambda tmp: trained(),
    "compiled step": lambda tmp: compiled(),
    "keras model": lambda tmp: called(keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]), ROWS),
    "snapshot": lambda tmp: tg.graph.snapshot(net(), IMAGES, values=True),
    "snapshot of gradients": lambda tmp: tg.graph.snapshot(
        lambda x: (net()(x) ** 2).sum(), IMAGES, values=True, gradients=True
    ),
    "picture": lambda tmp: tg.draw(net(), IMAGES),
    "page": lambda tmp: page(tmp / "page.html"),
    "microscope": lambda tmp: tg.microscope(tg.nn.Conv2D(2, 3), IMAGES),
    "summary": lambda tmp: tg.nn.summary(net(), (None, 8, 8, 1)),
    "profile": lambda tmp: profiled(),
    "hooks": lambda tmp: hooked(),
    "transforms": lambda tmp: tg.hessian(lambda x: (x**3).sum())(np.ones(3)),
    "vjp": lambda tmp: tg.vjp(tg.sin, np.ones(3)),
    "checkpoint": lambda tmp: tg.checkpoint(lambda x: tg.sin(x) * x)(tg.Tensor(ROWS, requires_grad=True)),
    "steps": lambda tmp: list((tg.Tensor(ROWS, requires_grad=True) * 2).sum().backward_steps()),
    "decorated generator": lambda tmp: list(tg.no_grad(lambda: (yield tg.Tensor(ROWS)))()),
    "deep copy": lambda tmp: copy.deepcopy(trained()),
    "replays that raise": lambda tmp: refusing(),
    "bad calls": lambda tmp: refused(),
    "text": lambda tmp: repr(called(net(), IMAGES)),
}  # fmt: skip


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.usefixtures("no_collector")
def test_nothing_is_left_to_the_cycle_collector(name, tmp_path):
    THINGS[name](tmp_path)  # what is made once and stays
    gc.collect()
    THINGS[name](tmp_path)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    ours = [o for o in gc.garbage if isinstance(o, (np.ndarray, Exception)) or "tinygrad_conv" in type(o).__module__]
    assert not ours


@pytest.mark.usefixtures("no_collector")
def test_dropped_models_free_their_memory():
    weights = []
    for _ in range(100):
        model = tg.nn.Sequential([tg.nn.Dense(500, in_features=500)])
        model(np.ones((1, 500), "float32"))
        weights.append(weakref.ref(model[0].weight._array))
    assert sum(weight() is not None for weight in weights) == 1


def test_a_model_stays_in_what_holds_it():
    """The caches are weak, so a path must not depend on them."""
    model = Own()
    for _ in range(3):
        y = model(ROWS)
        assert y.node.path == "rest.0.0"
        gc.collect()
    model.rest = [tg.nn.Sequential([tg.nn.Dense(3, in_features=3, name="other")])]
    assert model(ROWS).node.path == "rest.0.other"


def test_the_interpreter_ends_in_silence():
    code = """
import numpy as np, tinygrad_conv as tg
kept = [tg.Tensor(np.ones(k), requires_grad=True) for k in range(50)]
arrays = [t.numpy() for t in kept] + [tg.exp(t).numpy() for t in kept]
class Late:
    def __del__(self): arrays.clear(); kept.clear()
late = Late()
import builtins  # gone after the modules, the last of a tuple first
builtins.held = (tg.engine.guards.exposed, tg.engine.guards.handed_out, arrays, kept)
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


# ---------------------------------------------------------------------------------------------------------------
# Copies and pickles

COPIES = {
    "copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "old pickle": lambda x: pickle.loads(pickle.dumps(x, 0)),
}  # fmt: skip


class Named(tg.Tensor):
    """A tensor with an attribute of its own."""


@pytest.mark.parametrize("how", COPIES)
def test_a_leaf_is_copied_with_all_it_has(how):
    x = Named(np.arange(3.0), requires_grad=True, name="x")
    x.note = ["kept"]
    (x * x).sum().backward()
    y = COPIES[how](x)
    assert (type(y), y.tolist(), y.name, y.requires_grad, y.note) == (Named, [0, 1, 2], "x", True, ["kept"])
    assert y.node is not x.node
    assert (y.note is x.note) == (how == "copy")
    (y * 3).sum().backward()
    assert x.grad.tolist() == [0, 2, 4]


def test_a_computed_tensor_is_copied_in_its_graph():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    z = copy.copy(y)
    assert z is not y
    (z * z).sum().backward()
    assert x.grad.tolist() == [18, 36]
    for how in ("deepcopy", "pickle", "old pickle"):
        with pytest.raises(GraphError, match=r"only leaves can be .*x\.detach\(\)"):
            COPIES[how](y)
    assert COPIES["pickle"](y.detach()).tolist() == [3, 6]


@pytest.mark.parametrize("how", COPIES)
def test_models_and_optimizers_are_copied(how):
    model, optimizer = trained()
    model.eval()
    again, other = COPIES[how]((model, optimizer)) if how != "copy" else (copy.copy(model), copy.copy(optimizer))
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    shared = how == "copy"
    assert all((a is b) == shared for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert all(a is b for a, b in zip(other.params, again.parameters(), strict=True))
    assert vars(again).keys() <= vars(model).keys()
    (again(IMAGES) ** 2).sum().backward()
    other.step()


def test_one_parameter_in_two_places_stays_one():
    a, b = tg.nn.Dense(3, in_features=3), tg.nn.Dense(3, in_features=3)
    b.weight = a.weight
    model = tg.nn.Sequential([a, b])
    model.again, model.itself = a, model
    for how in ("deepcopy", "pickle"):
        other = COPIES[how](model)
        assert other[0].weight is other[1].weight
        assert other.again is other[0]
        assert other.itself is other


def public():
    """One of everything that is made, by name."""
    x = tg.Tensor(ROWS, requires_grad=True)
    model, optimizer = trained()
    fitted = keras.Sequential([keras.layers.Dense(2, input_shape=(3,))])
    fitted.compile("adam", "mse")
    history = fitted.fit(ROWS, np.ones((4, 2), "float32"), epochs=1, verbose=0)
    step = tg.compile(lambda x: x * 2)
    step(ROWS)
    with tg.use_kernels("plain") as kernels:
        pass
    return {
        "node": (x * 2).node, "leaf's node": x.node, "handle": x.register_hook(lambda g: g), "model": model,
        "optimizer": optimizer, "schedule": tg.optim.ExponentialDecay(0.1, 0.9, 1), "keras model": fitted,
        "history": history, "keras optimizer": fitted.optimizer, "compiled step": step, "block": tg.no_grad(),
        "kernels": kernels, "anomaly": tg.detect_anomaly(), "operation": tg.multiply,
        "composition": tg.take, "primitive": tg.primitives()["conv"], "snapshot": tg.graph.snapshot(model, IMAGES),
        "profile": tg.profile(), "picture": tg.draw(model, IMAGES), "initializer": tg.nn.init.get("glorot_uniform"),
        "callback": keras.callbacks.EarlyStopping(), "loss": keras.losses.MeanSquaredError(),
        "layer": keras.layers.Dense(2), "error": tg.errors.ShapeError("message"),
        "checkpoint": tg.checkpoint(tg.sin)(x).node.primitive,
    }  # fmt: skip


@pytest.mark.parametrize("how", COPIES)
def test_everything_is_copied_or_says_what_to_do(how):
    for name, thing in public().items():
        again = None
        with contextlib.suppress(TinygradConvError):
            again = COPIES[how](thing)
        assert again is None or type(again) is type(thing), name


def test_a_primitive_and_an_operation_are_themselves_everywhere():
    for primitive in tg.primitives().values():
        if primitive.forward.__module__.startswith("tinygrad_conv."):
            for how in COPIES.values():
                assert how(primitive) is primitive
                assert how(primitive.operation) is primitive.operation
