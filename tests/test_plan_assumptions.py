"""What a plan assumes is compared: arguments, Python state, layers, gradients. Each case is a kind of change."""

import builtins
import collections
import contextlib
import copy
import functools
import inspect
import itertools
import operator
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.errors import CompileWarning
from tinygrad_conv.plan import compiled as compiling
from tinygrad_conv.plan import places, signature
from tinygrad_conv.plan.assumptions import Assumptions
from tinygrad_conv.plan.tape import Tape
from tinygrad_conv.plan.values import alike, told

STATES = 6
X = np.linspace(-1, 1, 6).reshape(2, 3)


def seen(make, compile):
    """What is seen of a case over some calls: results, or errors; and what it kept.

    `make(compile)` gives the step, compiled by `compile`; what is done before every second call; and what it keeps.
    """
    step, before, state = make(compile)
    out = []
    with tg.use_kernels("plain"):
        for k in range(2 * STATES):
            if k % 2 == 0:
                before(k // 2)
                out.append(bits(state()))
            try:
                result = step(tg.Tensor(X + k))
            except Exception as error:
                result = f"{type(error).__name__}: {error}"
            out.append((bits(result), bits(state())))
    return out


def bits(value):
    if isinstance(value, (list, tuple)):
        return type(value), *map(bits, value)
    if isinstance(value, dict):
        return type(value), *((key, bits(item)) for key, item in value.items())
    if isinstance(value, (tg.Tensor, np.ndarray, np.generic)):
        array = np.asarray(value._array if isinstance(value, tg.Tensor) else value)
        return type(value), array.shape, array.dtype, array.tobytes()
    return told(value)


def agrees(name):
    make = CASES[name]
    return seen(make, lambda f: f) == seen(make, lambda f: tg.compile(f, warn=False))


CASES = {}


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


def nothing(*args):
    return ()


# ---------------------------------------------------------------------------------------------------------------
# Python state that somebody else changes


@case
def a_variable_around(compile):
    rate = 0.5

    def step(x):
        return x * rate

    def before(k):
        nonlocal rate
        rate = [0.5, 0.5, 2.0, -0.0, 0.0, True][k]

    return compile(step), before, nothing


@case
def a_variable_that_is_not_there_at_first(compile):
    if False:
        late = 1.0

    def step(x):
        return x * late

    def before(k):
        nonlocal late
        if k == 2:
            late = 3.0

    return compile(step), before, nothing


SETTING = 1.0


@case
def a_global(compile):
    def before(k):
        global SETTING
        SETTING = float(k // 2)

    return compile(lambda x: x * SETTING), before, nothing


@case
def what_a_function_reads_that_is_called(compile):
    box = {"rate": 1.0}

    def rate():
        return box["rate"]

    def before(k):
        box["rate"] = 1.0 + (k == 3)

    return compile(lambda x: x * rate()), before, nothing


@case
def a_function_that_is_replaced(compile):
    functions = [tg.exp]
    return compile(lambda x: functions[0](x)), lambda k: functions.__setitem__(0, [tg.exp, tg.tanh][k // 3]), nothing


@case
def defaults_of_a_function(compile):
    def f(x, by=2.0, *, more=(1.0,)):
        return x * by + more[0]

    def before(k):
        f.__defaults__ = (2.0 + k // 2,)
        f.__kwdefaults__ = {"more": (float(k // 3),)}

    return compile(lambda x: f(x)), before, nothing


@case
def a_partial_and_a_cached_function(compile):
    state = [1.0]

    @functools.lru_cache
    def cached():
        return state[0]

    scale = functools.partial(lambda x, by: x * by, by=2.0)

    def before(k):
        scale.keywords["by"] = 2.0 + k // 3
        state[0] = float(k)
        if k == 4:
            cached.cache_clear()

    return compile(lambda x: scale(x) + cached()), before, nothing


@case
def attributes(compile):
    class Slots:
        __slots__ = ("rate",)

    @dataclass
    class Settings:
        rate: float = 1.0
        kind = "class"

        @property
        def twice(self):
            return self.rate * 2 + len(self.kind)

    one, two, three = Settings(), Slots(), SimpleNamespace(inner=SimpleNamespace(rate=1.0))
    two.rate = 1.0

    def before(k):
        if k == 1:
            one.rate = 2.0
        if k == 2:
            two.rate = 2.0
        if k == 3:
            three.inner.rate = 2.0
        if k == 4:
            Settings.kind = "other class"
        if k == 5:
            one.kind = "its own"

    return compile(lambda x: x * one.twice * two.rate * three.inner.rate), before, nothing


@case
def attributes_by_computed_names(compile):
    box, more = SimpleNamespace(ab=1.0, ac=2.0), type("More", (), {"ab": 1.0})
    names = ["a", "b", "c"]

    def step(x):
        return (
            x * getattr(box, names[0] + names[1])
            + operator.attrgetter(names[0] + names[2])(box)
            + getattr(more, names[0] + names[1])
        )

    def before(k):
        setattr([box, box, more][k % 3], ["ab", "ac", "ab"][k % 3], float(k))

    return compile(step), before, nothing


class Plain:
    pass


def asking_case(name, step, change=lambda box, more, k: setattr(box, "rate", float(k))):
    """Who asks for an attribute, whose name does not stand in the code of the step."""

    def asking(compile):
        box, more = Plain(), {"twice": lambda self: self.two}
        box.__class__ = type("Box", (Plain,), more)
        box.rate, box.two, box.inner = 0.5, 2.0, Plain()
        box.inner.rate = 1.0
        return compile(step(box, "ra" + "te"[:2])), lambda k: change(box, type(box), k), nothing

    CASES[f"asked for: {name}"] = asking


def change_class(box, kind, k):
    kind.twice = lambda self: float(k)


asking_case("getattr under another name", lambda box, name, ask=getattr: lambda x: x * ask(box, name))
asking_case("a partial", lambda box, name: (lambda ask: lambda x: x * ask(name))(functools.partial(getattr, box)))
asking_case("attrgetter under another name", lambda box, name, a=operator.attrgetter: lambda x: x * a(name)(box))
asking_case("made before", lambda box, name: (lambda ask: lambda x: x * ask(box))(operator.attrgetter(name)))
asking_case(
    "within", lambda box, name: (lambda ask: lambda x: x * ask(box))(operator.attrgetter(f"inner.{name}")),
    lambda box, more, k: setattr(box.inner, "rate", float(k)),
)  # fmt: skip
asking_case(
    "a method", lambda box, name: (lambda ask: lambda x: x * ask(box))(operator.methodcaller("twice")), change_class
)
asking_case(
    "a method by name",
    lambda box, name, m=operator.methodcaller: lambda x: x * m("twi" + name[:0] + "ce")(box),
    change_class,
)
asking_case("vars under another name", lambda box, name, ask=vars: lambda x: x * ask(box)[name])
asking_case("the method of all objects", lambda box, name, ask=object.__getattribute__: lambda x: x * ask(box, name))
asking_case("its own", lambda box, name: (lambda ask: lambda x: x * ask(name))(box.__getattribute__))
asking_case("by somebody else", lambda box, name: lambda x: x * inspect.getattr_static(box, name))
asking_case("from the builtins", lambda box, name: lambda x: x * __builtins__["getattr"](box, name))
asking_case("of the module", lambda box, name: lambda x: x * builtins.getattr(box, name))
asking_case("of an imported module", lambda box, name: lambda x: x * __import__("builtins").getattr(box, name))
asking_case("in a copy", lambda box, name: lambda x: x * getattr(copy.copy(box), name))


@case
def containers(compile):
    parts = {"list": [1.0], "queue": collections.deque([1.0]), "order": collections.OrderedDict(a=1.0), "set": {1}}

    def step(x):
        return x * parts["list"][-1] * parts["queue"][0] * sum(parts["order"].values()) * len(parts["set"])

    def before(k):
        kind = ["", "list", "queue", "order", "set", "list"][k]
        if kind == "list":
            parts[kind].append(k)
        if kind == "queue":
            parts[kind].appendleft(k)
        if kind == "order":
            parts[kind]["b"] = k
        if kind == "set":
            parts[kind].add(k)

    return compile(step), before, nothing


@case
def the_order_of_a_dictionary(compile):
    parts = {"a": 2.0, "b": 3.0}

    def step(x):
        for value in parts.values():
            x = x * value + 1.0
        return x

    return compile(step), lambda k: parts.__setitem__("a", parts.pop("a")) if k == 3 else None, nothing


@case
def an_array_that_python_reads(compile):
    table = np.array([1.0, 2.0, 3.0])

    def step(x):
        return x * table + (2.0 if table[0] > 5 else 1.0) * float(table[1]) * table[2]

    return compile(step), lambda k: table.__setitem__(k % 3, 3.0 * k), nothing


@case
def an_array_that_changes_while_the_step_runs(compile):
    def step(x):
        table = np.zeros(3)
        y = x + table
        table[0] = 5.0
        return y * table

    return compile(step), nothing, nothing


@case
def a_name_of_a_tensor(compile):
    w = tg.Tensor([1.0, 2.0, 3.0], name="rate")
    before = lambda k: setattr(w, "name", ["rate", "other"][k // 3])  # noqa: E731
    return compile(lambda x: x * (2.0 if w.name == "rate" else w)), before, nothing


# ---------------------------------------------------------------------------------------------------------------
# Python state that the step changes itself


@case
def a_counter(compile):
    count = 0

    def step(x):
        nonlocal count
        count += 1
        return x * 2.0 if count != 3 else x

    return compile(step), nothing, lambda: count


@case
def a_counter_that_nobody_reads(compile):
    state = {"calls": 0}

    def step(x):
        state["calls"] += 1
        return x * 2.0

    return compile(step), nothing, lambda: state


@case
def a_schedule_of_ones_own(compile):
    class Schedule:
        rate = 1.0

        def step(self):
            self.rate *= 0.5
            return self.rate

    schedule = Schedule()
    return compile(lambda x: x * schedule.step()), nothing, lambda: schedule.rate


@case
def the_rate_of_an_optimizer(compile):
    w = tg.nn.Parameter([1.0, 2.0, 3.0])
    optimizer = tg.optim.SGD([w], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        optimizer.lr *= 0.5
        return w.detach() * 1.0

    return compile(step), nothing, lambda: (optimizer.lr, optimizer.steps)


@case
def the_rate_of_a_schedule_that_is_returned(compile):
    w = tg.nn.Parameter([1.0, 2.0, 3.0])
    optimizer = tg.optim.SGD([w], lr=tg.optim.PiecewiseConstant((3,), (0.5, 0.25)))

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return optimizer.lr, w.detach() * 1.0

    return compile(step), nothing, nothing


@case
def generators_and_iterators(compile):
    numbers = iter([1.0, 1.0, 2.0, 2.0, 3.0, 3.0] * 2)

    def generated():
        yield from itertools.cycle([1.0, 1.0, 5.0])

    more = generated()
    return compile(lambda x: x * next(numbers) + next(more)), nothing, nothing


@case
def random_numbers(compile):
    rng = np.random.default_rng(0)

    def step(x):
        return tg.ops.normalization.dropout(x, 0.5, rng) * (2.0 if rng.random() < 0.5 else 1.0)

    return compile(step), nothing, lambda: rng.bit_generator.state["state"]["state"]


@case
def random_numbers_of_a_kind_of_its_own(compile):
    return compile(lambda x: x * tg.ops.normalization.dropout(x, 0.5, np.random.default_rng(0))), nothing, nothing


@case
def the_generator_of_the_package(compile):
    layer = tg.nn.Dropout(0.5)
    return compile(lambda x: layer(x)), lambda k: tg.nn.init.seed(k // 2), nothing


@case
def an_error_that_is_caught(compile):
    labels = np.array([0, 1])

    def step(x):
        try:
            return tg.softmax_cross_entropy(x, labels)
        except tg.errors.ArgumentError:
            return x

    return compile(step), lambda k: labels.__setitem__(0, 7 * (k == 4)), nothing


@case
def an_error_in_what_nobody_needs(compile):
    labels = tg.Tensor(np.array([0, 1]))

    def step(x):
        tg.take(x, labels, axis=0)
        return x * 2.0

    def before(k):
        labels.data = np.array([0, 9 if k == 4 else 1])

    return compile(step), before, nothing


# ---------------------------------------------------------------------------------------------------------------
# Layers


def layer_case(name, make, change, train=True):
    def layers(compile):
        tg.nn.init.seed(0)
        layer = make()
        layer.train(train)(tg.Tensor(X))

        def step(x):
            for parameter in layer.parameters():
                parameter.zero_grad()
            y = layer(x)
            if y.requires_grad:
                (y * y).sum().backward()
            return y.detach(), [p.grad for p in layer.parameters()]

        return compile(step), lambda k: change(layer) if k == 3 else None, lambda: list(layer.state_dict().values())

    CASES[f"a layer: {name}"] = layers


DOUBLE = {"dtype": "float64"}


def dense(**more):
    return tg.nn.Dense(3, in_features=3, **DOUBLE, **more)


class Scaled(tg.nn.Module):
    def __init__(self):
        self.inner, self.scales = [dense()], {"a": 1.0}

    def forward(self, x):
        for layer in self.inner:
            x = self.scaled(layer(x))
        return x

    def scaled(self, x):
        return x * self.scales["a"]


class Shifted(tg.nn.Dense):
    def __init__(self):
        super().__init__(3, in_features=3, **DOUBLE)

    def activated(self, y):
        return y + 1.0


layer_case("rate", lambda: tg.nn.Dropout(0.5, seed=0), lambda layer: setattr(layer, "rate", 0.25))
layer_case("another generator", lambda: tg.nn.Dropout(0.5, seed=0), lambda layer: setattr(layer, "seed", 1))
layer_case("mode", lambda: tg.nn.Dropout(0.5, seed=0), lambda layer: layer.eval())
layer_case("activation", lambda: dense(activation="relu"), lambda layer: setattr(layer, "activation", tg.tanh))
layer_case("epsilon", lambda: tg.nn.LayerNorm(**DOUBLE), lambda layer: setattr(layer, "epsilon", 0.5))
layer_case("momentum", lambda: tg.nn.BatchNorm(**DOUBLE), lambda layer: setattr(layer, "momentum", 0.5))
layer_case("another weight", dense, lambda layer: setattr(layer, "weight", tg.nn.Parameter(np.ones((3, 3)))))
layer_case("no bias", dense, lambda layer: setattr(layer, "bias", None))
layer_case("frozen", dense, lambda layer: setattr(layer, "trainable", False))
layer_case("forward of its own", dense, lambda layer: setattr(layer, "forward", lambda x: x * 2.0))
layer_case("another layer", Scaled, lambda net: net.inner.__setitem__(0, dense(activation="tanh")))
layer_case("one layer more", lambda: tg.nn.Sequential(dense(seed=1)), lambda net: net.add(dense(seed=2)))
layer_case("what a method reads", Scaled, lambda net: net.scales.update(a=2.0))
layer_case("what a library's forward reads", Shifted, lambda layer: setattr(layer, "bias", tg.nn.Parameter(np.ones(3))))
layer_case("hooks", dense, lambda layer: layer.weight.register_hook(lambda g: g * 2.0))


@case
def a_layer_that_is_made_in_the_step(compile):
    return compile(lambda x: tg.nn.Dropout(0.5, seed=0)(tg.nn.Dense(3, seed=1, **DOUBLE)(x)).detach()), nothing, nothing


@case
def a_layer_that_makes_its_weights_at_the_first_call(compile):
    layer = tg.nn.Dense(3, seed=0, **DOUBLE)
    return compile(lambda x: layer(x).detach()), nothing, lambda: list(layer.state_dict().values())


@case
def a_rate_that_one_layer_changes(compile):
    class Annealed(tg.nn.Module):
        rate = 1.0

        def forward(self, x):
            self.rate *= 0.5
            return x * self.rate

    layer = Annealed()
    return compile(lambda x: layer(x)), nothing, lambda: layer.rate


# ---------------------------------------------------------------------------------------------------------------
# Gradients


def gradient_case(name, write, before=nothing):
    def gradients(compile):
        w = tg.nn.Parameter([1.0, 2.0, 3.0])

        def step(x):
            return write(w, (w * w * x).sum())

        return compile(step), lambda k: before(k, w), lambda: (w.grad, w.data)

    CASES[f"a gradient: {name}"] = gradients


def updated(w, loss):
    loss.backward()
    with tg.no_grad():
        w.data = w - 0.1 * w.grad


def hooked(w, loss):
    handle = w.register_hook(lambda g: g * 2.0)
    loss.backward()
    handle.remove()


def retained(w, loss):
    y = (w * loss).retain_grad()
    (y * y).sum().backward()
    return y.grad


def in_turn(k, w):
    if k % 2:
        w.grad = None


def fill(k, w):
    if w.grad is not None:
        w.grad.numpy()[...] = k


gradient_case("returned", lambda w, loss: (loss.backward(), loss.detach(), w.grad)[1:])
gradient_case("returned before", lambda w, loss: (w.grad, loss.backward())[0])
gradient_case("read before it is there", lambda w, loss: (loss.backward(), w.grad * 2.0 if w.grad is not None else 0.0))
gradient_case("none at times", lambda w, loss: (w.grad is None, loss.backward())[0], in_turn)
gradient_case("scaled", lambda w, loss: (loss.backward(), setattr(w, "grad", w.grad * 0.5))[1])
gradient_case("set to an array", lambda w, loss: setattr(w, "grad", np.ones(3)))
gradient_case("set to a result", lambda w, loss: setattr(w, "grad", (w * loss).detach()))
gradient_case("cleared", lambda w, loss: (loss.backward(), setattr(w, "grad", None))[1])
gradient_case("cleared first", lambda w, loss: (w.zero_grad(), loss.backward(), w.grad)[2])
gradient_case("updated by hand", updated)
gradient_case("a hook added", lambda w, loss: (w.register_hook(lambda g: g * 2.0), loss.backward())[1])
gradient_case("a hook added and removed", hooked)
gradient_case("retained", retained)
gradient_case("with its graph", lambda w, loss: loss.backward(create_graph=True))
gradient_case("written to outside", lambda w, loss: w.sum().backward(), fill)


@case
def one_gradient_for_two_leaves(compile):
    a, b = tg.nn.Parameter([1.0, 2.0, 3.0]), tg.nn.Parameter([1.0, 2.0, 3.0])

    def step(x):
        a.zero_grad()
        b.zero_grad()
        ((a + b) * x).sum().backward()
        return a.grad * 1.0

    def before(k):
        if a.grad is not None:
            a.grad.numpy()[...] = 7.0

    return compile(step), before, lambda: (a.grad, b.grad)


# ---------------------------------------------------------------------------------------------------------------
# Results


@case
def results_that_are_made_anew(compile):
    held = []

    def step(x):
        return np.array([1.0, 2.0]), tg.zeros(2), tg.Tensor([1.0]), np.ones(3)[1:]

    inner = compile(step)

    def outer(x):
        results = inner(x)
        held.append([np.array(part) for part in results])
        for part in results:
            (part.numpy() if isinstance(part, tg.Tensor) else part)[...] = 9.0
        return held[-1]

    return outer, nothing, nothing


@case
def results_that_are_one_object(compile):
    frozen = tg.nn.Parameter([1.0], requires_grad=False)

    def step(x):
        y, pair, more = x * 2.0, [x * 3.0], {"a": x}
        return y, [y, y.detach()], pair, {"pair": pair}, more, more, frozen, frozen, x, x

    inner = compile(step)

    def outer(x):
        a, (b, c), d, e, f, g, h, i, j, k = inner(x)
        return a is b, a is c, d is e["pair"], f is g, h is i is frozen, j is k, j is f["a"], a, c, d, e, f, j

    return outer, nothing, nothing


@case
def results_that_live_on(compile):
    frozen, table = tg.nn.Parameter([1.0], requires_grad=False), np.ones(2)
    inner = compile(lambda x: [frozen, table, x * 2.0])

    def outer(x):
        a, b, c = inner(x)
        return a is frozen, b is table, type(a).__name__, c

    return outer, lambda k: table.fill(k), nothing


@case
def an_argument_that_is_changed(compile):
    t = tg.Tensor([1.0])

    def step(x):
        x.data = x * 2.0
        return x + 1.0

    inner = compile(step)
    return lambda x: inner(t), nothing, lambda: t


@case
def containers_among_the_arguments_that_are_changed(compile):
    given_ = {"list": [np.ones(2)], "dict": collections.OrderedDict(a=1.0, b=2.0)}

    def step(x, given):
        given["list"].append(x.shape[0])
        given["dict"]["c"] = given["dict"].pop("a") + 1.0
        given["dict"]["a"] = 3.0
        return x * given["dict"]["b"] + given["list"][0].sum()

    inner = compile(step)
    return lambda x: inner(x, given_), lambda k: given_["list"].__delitem__(slice(1, None)), lambda: given_


@case
def one_container_for_two_arguments(compile):
    one, other = [2.0, 3.0], [2.0, 3.0]

    def step(x, a, b):
        a.append(1.0)
        return x * (2.0 if a is b else 3.0) + len(b)

    inner, calls = compile(step), itertools.count()
    return lambda x: inner(x, one, [one, other][next(calls) % 3 == 2]), nothing, lambda: (one, other)


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_step_is_the_step(name):
    assert agrees(name)


# ---------------------------------------------------------------------------------------------------------------
# The key


LEAVES = st.sampled_from([0.0, -0.0, float("nan"), 1, 1.0, True, None, "a", 2j, np.float32(1), b"b", (), slice(1, 2)])
Pair = collections.namedtuple("Pair", "a b")
TREES = st.recursive(
    LEAVES | st.just(X[0]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.builds(Pair, inner, inner),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.builds(lambda a: collections.OrderedDict(b=a), inner),
    ),
    max_leaves=4,
)  # fmt: skip


@given(one=TREES, other=TREES)
@settings(max_examples=300)
def test_calls_of_one_key_are_one_call(one, other):
    """Keys are equal if structures are, and the bits in them, but for the numbers of arrays; and a call has one key."""

    def key(tree):
        leaves, _, structure = signature.taken_apart((tree,), {})
        return signature.told_apart(leaves, structure)[0]

    assert key(one) == key(one)
    assert hash(key(one)) == hash(key(one))
    assert (key(one) == key(other)) is (repr_of(one) == repr_of(other))


GRID = np.arange(12.0).reshape(3, 4)
GIVEN = [  # arrays and tensors of which two may be one to a plan, or not
    GRID, tg.Tensor(GRID), tg.nn.Parameter(GRID), tg.Tensor(GRID, requires_grad=True), tg.Tensor(GRID, name="grid"),
    GRID.copy(), GRID.T, GRID.reshape(4, 3), GRID[:2], GRID.astype("f4"), GRID.astype(">f8"), np.arange(3), 1.0, "a",
    tg.Tensor(GRID.copy()), tg.nn.Parameter(GRID), tg.nn.Parameter(GRID, requires_grad=False), np.float32(1), [GRID],
]  # fmt: skip
MODES = [(True, None, "plain"), (False, None, "plain"), (True, True, "plain"), (True, None, "compiled")]


def recognized(one, other):
    """Does what knows one call again know the other? Then it is of the same key, and has the same arrays."""

    def told(args, kwargs, *more):
        leaves, _, structure = signature.taken_apart(args, kwargs)
        return signature.told_apart(leaves, *more, structure)

    arrays = signature.recognizer(*one)(*other)
    if arrays is not None:
        key, expected = told(*other)
        assert key == told(*one)[0], (one, other)
        assert list(map(id, arrays)) == list(map(id, expected))
    return arrays is not None


def test_a_call_is_recognized_as_one_of_its_key_only():
    for x, y in itertools.product(GIVEN, GIVEN):
        for one, other in (((x,), (y,)), ((x, x), (x, y)), ((x, y), (x, x)), ((x, y), (y, x)), ((x,), (x, y))):
            recognized((one, {}, *MODES[0]), (other, {}, *MODES[0]))
        for mode in MODES:
            assert recognized(((x,), {}, *MODES[0]), ((y,), {}, *mode)) <= (mode == MODES[0])
    assert not recognized(((GRID,), {}, *MODES[0]), ((GRID,), {"a": GRID}, *MODES[0]))
    assert all(recognized(((x,), {}, *mode), ((x,), {}, *mode)) for x in GIVEN[:4] for mode in MODES)
    w = tg.Tensor(GRID, requires_grad=True)
    again = signature.recognizer((w,), {}, *MODES[0])
    w.requires_grad = False
    assert again((w,), {}, *MODES[0]) is None


def repr_of(tree):
    if isinstance(tree, (dict, list, tuple)):
        parts = tree.items() if isinstance(tree, dict) else tree
        return f"{type(tree).__name__}[{', '.join(map(repr_of, parts))}]"
    if isinstance(tree, (np.ndarray, np.generic)):
        return f"array {np.shape(tree)} {tree.dtype}"
    return f"{type(tree).__name__} {tree!r}"


def test_names_of_keywords_count_and_their_order():
    step = tg.compile(lambda x, **named: next(x * k + len(name) for k, (name, x) in enumerate(named.items(), 2)) + x)
    x, y = np.ones(2), np.full(2, 3.0)
    for _ in range(2):
        assert step(x, a=y).tolist() == [8.0, 8.0]
        assert step(x, long=y).tolist() == [11.0, 11.0]
        assert step(x, a=x, long=y).tolist() == [4.0, 4.0]
        assert step(x, long=y, a=x).tolist() == [11.0, 11.0]


def test_one_tensor_given_twice_is_one_tensor():
    step = tg.compile(lambda a, b: a * 2.0 if a is b else a + b)
    x, y = np.ones(2), np.full(2, 5.0)
    for one, two in ((x, y), (tg.Tensor(x), tg.Tensor(y))) * 3:
        assert step(one, two).tolist() == [6.0, 6.0]
        assert step(one, one).tolist() == [2.0, 2.0]


def test_arguments_that_share_memory_with_parameters():
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.5)

    def step(x):
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        return x * 1.0, w.detach() * 1.0

    def trained(run):
        w.data = np.array([1.0, 2.0])
        return [[part.tolist() for part in run(w.numpy())] for _ in range(5)]

    assert trained(tg.compile(step)) == trained(lambda x: step(tg.Tensor(x)))


def test_a_frozen_parameter_among_the_arguments_is_that_parameter():
    w = tg.nn.Parameter([1.0, 2.0], requires_grad=False)

    def step(p):
        p.data = p * 2.0
        return isinstance(p, tg.nn.Parameter)

    compiled = tg.compile(step)
    assert [compiled(w) for _ in range(4)] == [True] * 4
    assert w.tolist() == [16.0, 32.0]


# ---------------------------------------------------------------------------------------------------------------
# What is said, and what is kept


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a counter that nobody reads", r"it changes state at test_plan_assumptions\.py:\d+: state\[.calls.\] \+= 1"),
        ("a schedule of ones own", r"it changes schedule\.rate at test_plan_assumptions\.py:\d+: self\.rate \*= 0\.5"),
        ("the rate of an optimizer", r"it changes optimizer\._lr"),
        ("generators and iterators", "it can read numbers, a list_iterator, which may give something else each time"),
        ("an error that is caught", r"it catches what is raised, at test_plan_assumptions\.py"),
        ("a gradient: with its graph", "it keeps a value that it computed"),
        ("a gradient: a hook added", r"it changes requires_grad or hooks of a tensor of shape \(3,\)"),
        ("the rate of a schedule that is returned", r"optimizer\.steps is another at each call"),
        ("an argument that is changed", "it changes an argument"),
        ("random numbers of a kind of its own", "something is done to a Generator that it makes"),
    ],
)
def test_why_it_runs_as_it_is(name, why):
    step, before, _ = CASES[name](tg.compile)

    def run():
        for k in range(2 * STATES):
            before(min(k, 1))
            step(tg.Tensor(X))

    with pytest.warns(CompileWarning, match=why):
        run()


def test_what_is_made_ready_at_the_first_call_is_replayed_from_the_second_on():
    layer = tg.nn.Dense(3, seed=0, **DOUBLE)
    step = tg.compile(lambda x: layer(x).detach())
    for k in range(3):
        step(X)
        assert len(step.plans) == (k > 0)
    assert not step.reasons


def test_a_state_that_comes_again_has_its_plan_still():
    rate = 1.0
    step = tg.compile(lambda x: x * rate)
    for k in range(12):
        rate = float(k % 3)
        assert step(X).tolist() == (X * rate).tolist()
    assert len(step.plans) == 3
    for k in range(50):
        rate = float(k // 2)
        assert step(X).tolist() == (X * rate).tolist()
    assert len(step.plans) == compiling.MOST_PLANS
    assert not step.reasons


def test_what_a_model_keeps_beside_is_not_compared():
    net = Scaled()
    step = tg.compile(lambda x: net(x).detach())
    net.losses, net.epoch = [], 0
    for k in range(6):
        net.losses.append(step(X).numpy().sum())
        net.epoch = k
    assert len(step.plans) == 1
    net.scales["a"] = 3.0
    assert step(X).tolist() == (net.inner[0](X) * 3.0).tolist()


def test_what_settles_is_replayed_in_the_end(monkeypatch):
    monkeypatch.setattr(compiling, "REST", 5)
    rate = 0.0
    step = tg.compile(lambda x: x * rate, warn=False)
    for k in range(40):
        rate = float(min(k, 15))
        assert step(X).tolist() == (X * rate).tolist()
    assert step.reasons == ["rate is another at each call"]
    assert step.plans


def test_something_else_at_each_call_is_recorded_no_more(monkeypatch):
    monkeypatch.setattr(compiling, "MOST_SIGNATURES", 8)
    step = tg.compile(lambda x, f: f(x))

    def run():
        for k in range(20):
            assert step(X, lambda x, k=k: x * k).tolist() == (X * k).tolist()

    with pytest.warns(CompileWarning, match="it is called with something else each time") as caught:
        run()
    assert caught[0].filename == __file__
    assert len(step.plans) == 8


def test_large_arrays_that_operations_read_are_read_at_each_replay():
    table, small = np.ones(1 << 14), np.ones(3)
    step = tg.compile(lambda x: x * table[:3] + small)
    for k in range(20):
        table[:] = k
        assert step(X).tolist() == (X * k + 1).tolist()
    assert len(step.plans) == 1


def test_errors_leave_everything_as_the_step_leaves_it():
    w = tg.nn.Parameter(np.zeros((3, 3)))
    optimizer = tg.optim.SGD([w], lr=1.0)
    bad = False

    def step(x, labels):
        optimizer.zero_grad()
        if bad:
            raise KeyError("bad")
        tg.softmax_cross_entropy(x @ w, labels).backward()
        optimizer.step()

    def run(f):
        nonlocal bad
        out = []
        w.data, optimizer.steps = np.zeros((3, 3)), 0
        for k in range(10):
            bad = k in (0, 4)
            with contextlib.suppress(KeyError, tg.errors.ArgumentError):
                f(X, np.array([0, 9 if k in (2, 6) else 1]))
            out.append((w.numpy().tobytes(), optimizer.steps, w.grad is None))
        return out

    compiled = tg.compile(step)
    with tg.use_kernels("plain"):
        assert run(compiled) == run(lambda x, labels: step(tg.Tensor(x), labels))
    assert compiled.plans
    assert not tg.engine.modes.OBSERVED


def test_called_by_itself_and_by_two_threads():
    @tg.compile
    def power(x, n):
        return x if n == 0 else power(x, n - 1) * x

    for _ in range(3):
        assert power(np.array([3.0]), 4).tolist() == [3.0**5]
    step = tg.compile(lambda x: tg.exp(x) * 2.0)
    results = {}

    def work(k):
        results[k] = [step(np.full(3, float(k))).tolist() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, values in results.items():
        assert values == [(np.exp(np.full(3, float(k))) * 2.0).tolist()] * 20


def test_nothing_that_was_assumed_is_kept_in_a_circle():
    import gc
    import weakref

    def made():
        layer = dense()
        step = tg.compile(lambda x: layer(x).detach())
        for _ in range(3):
            step(X)
        return weakref.ref(layer), weakref.ref(step), weakref.ref(step.plan)

    gc.collect()
    gc.disable()
    try:
        assert [ref() for ref in made()] == [None] * 3
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------------------------------
# Planted bugs


PLANTED = {
    "nothing is compared": (Assumptions, "_written", lambda self: lambda: True),
    "numbers are equal": (places, "alike", lambda a, b: a == b if is_number(a, b) else alike(a, b)),
    "what the step changes": (Tape, "changed", lambda self: ""),
    "gradients": (Tape, "gradient", lambda self, node: None),
    "gradients are shared": (Tape, "copied", lambda self, array, of: self._know(array, self._operand(of))),
    "constants are shared": (Tape, "fresh", lambda self: []),
    "effects on what the step makes": (Tape, "_use", lambda self, why: None),
    "keys of dictionaries": (places.Pairs, "look", lambda self: tuple(sorted(self.of.values()))),
    "arrays": (places.Contents, "look", lambda self: (0, 0, b"")),
    "attributes of classes": (places.Attribute, "test", ""),
    "defaults": (places.Detail, "test", ""),
    "new attributes": (places.Keys, "TEST", ""),
}


def is_number(a, b):
    return isinstance(a, (int, float)) and isinstance(b, (int, float))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_noticed(name, monkeypatch):
    monkeypatch.setattr(*PLANTED[name])
    assert not all(map(agrees_or_fails, CASES))


def agrees_or_fails(name):
    try:
        return agrees(name)
    except Exception:
        return False


def test_a_text_that_is_the_name_of_a_function_calls_nothing():
    w = tg.nn.Parameter([1.0, 2.0])
    optimizer = tg.optim.SGD([w], lr=0.1)

    @tg.compile
    def step(x, mode="train"):
        optimizer.zero_grad()
        loss = (x * w).sum() * (2.0 if mode == "eval" else 1.0)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(4):
        step(np.ones(2))
    assert len(step.plans) == 1, step.reasons
