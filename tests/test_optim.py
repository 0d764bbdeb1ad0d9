"""Optimisers against their formulas written as loops over single numbers, schedules, and clipping."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import nn, optim
from tinygrad_conv.errors import ArgumentError, DTypeError, ShapeError

# --- formulas, one number at a time -------------------------------------------------------------------------
# Each takes the parameter and the gradients of all steps so far (gradients are functions of the parameter).


def sgd(p, grad, steps, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    v = 0.0
    for _ in range(steps):
        g = grad(p) + weight_decay * p
        v = momentum * v + g
        p = p - lr * (g + momentum * v if nesterov else v)
    return p


def adam(p, grad, steps, lr, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.0, decoupled=False):
    m = v = 0.0
    for t in range(1, steps + 1):
        g = grad(p)
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        p = p - lr * (m / (1 - betas[0] ** t)) / (math.sqrt(v / (1 - betas[1] ** t)) + epsilon)
    return p


def rmsprop(p, grad, steps, lr, rho=0.99, epsilon=1e-8, momentum=0.0, centered=False, weight_decay=0.0):
    square = mean = v = 0.0
    for _ in range(steps):
        g = grad(p) + weight_decay * p
        square = rho * square + (1 - rho) * g * g
        mean = rho * mean + (1 - rho) * g
        scaled = g / (math.sqrt(square - (mean * mean if centered else 0.0)) + epsilon)
        v = momentum * v + scaled
        p = p - lr * v
    return p


def adagrad(p, grad, steps, lr, epsilon=1e-10, initial=0.0, weight_decay=0.0):
    total = initial
    for _ in range(steps):
        g = grad(p) + weight_decay * p
        total += g * g
        p = p - lr * g / (math.sqrt(total) + epsilon)
    return p


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adam, adam, {"lr": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.6), "epsilon": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, lambda *a, **k: adam(*a, decoupled=True, **k), {"lr": 0.1, "weight_decay": 0.2}),
    (optim.RMSprop, rmsprop, {"lr": 0.05}),
    (optim.RMSprop, rmsprop, {"lr": 0.05, "rho": 0.8, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.05, "rho": 0.9, "centered": True, "epsilon": 1e-3}),
    (optim.Adagrad, adagrad, {"lr": 0.5, "initial": 0.1, "weight_decay": 0.1}),
]
PUBLIC = {kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)}
START = np.array([[1.0, -2.0], [0.5, 3.0]])


def loss_of(w):
    return (w * w * w * w / 4 - w).sum()  # gradient w^3 - 1


def test_every_optimiser_has_a_formula():
    assert {kind for kind, *_ in CASES} == PUBLIC - {optim.Optimizer}


DEFAULTS = {  # those of the papers, and of PyTorch but for the rate of SGD
    optim.SGD: {"lr": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    optim.Adam: {"lr": 0.001, "betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": 0.0},
    optim.AdamW: {"lr": 0.001, "betas": (0.9, 0.999), "epsilon": 1e-8, "weight_decay": 0.01},
    optim.RMSprop: {
        "lr": 0.01, "rho": 0.99, "epsilon": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0,
    },
    optim.Adagrad: {"lr": 0.01, "epsilon": 1e-10, "initial": 0.0, "weight_decay": 0.0},
}  # fmt: skip


def test_every_optimiser_has_its_defaults():
    given = {kind: list(inspect.signature(kind).parameters.values())[1:] for kind in PUBLIC - {optim.Optimizer}}
    assert {kind: {p.name: p.default for p in parameters} for kind, parameters in given.items()} == DEFAULTS


@pytest.mark.parametrize(("kind", "formula", "options"), CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_are_those_of_the_formula(kind, formula, options, dtype):
    w = nn.Parameter(START, dtype=dtype)
    idle = nn.Parameter([1.0])
    optimizer = kind([w, idle], **options)
    for _ in range(7):
        optimizer.zero_grad()
        loss_of(w).backward()
        before = w._array
        kept = before.copy()
        optimizer.step()
        assert w._array is not before  # a new array: graphs recorded before stay right
        np.testing.assert_array_equal(before, kept)
    expected = [[formula(p, lambda p: p**3 - 1, 7, **options) for p in row] for row in START]
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-12 if dtype == "float64" else 2e-5)
    assert w.dtype == dtype
    assert idle.tolist() == [1.0]  # a parameter without a gradient stays
    assert optimizer.steps == 7
    assert all(array.dtype == dtype for array in optimizer.state[0].values())


def test_numpy_scalars_do_not_widen_parameters():
    w = nn.Parameter(START, dtype="float32")
    optimizer = optim.Adam([w], lr=np.float64(0.1), weight_decay=np.float64(0.1), betas=(np.float64(0.9), 0.99))
    loss_of(w).backward()
    optimizer.step()
    optimizer.lr = np.float64(0.01)
    optimizer.step()
    assert w.dtype == np.float32


# --- settings that change --------------------------------------------------------------------------------

VALUES = {  # of each setting, and one that its constructor refuses
    "lr": ([0.0, 0.1, lambda step: 0.1 / (1 + step)], -1), "momentum": ([0.0, 0.5, 0.9], 1.0),
    "nesterov": ([True, False], "yes"), "weight_decay": ([0.0, 0.1], np.nan), "rho": ([0.5, 0.9], -0.1),
    "betas": ([(0.5, 0.9), (0.9, 0.5)], (0.9, 1)), "epsilon": ([1e-8, 0.1], None),
    "centered": ([True, False], 2), "initial": ([0.0, 1.0], "0"),
}  # fmt: skip


@given(
    kind=st.sampled_from(sorted(DEFAULTS, key=lambda kind: kind.__name__)), compiled=st.booleans(),
    form=st.sampled_from(["plain", "auto"]), seed=st.integers(0, 2**16),
)  # fmt: skip
@settings(max_examples=100)
def test_a_setting_is_what_was_assigned_last(kind, compiled, form, seed):
    """Also one that asks for another array for each parameter; as if made anew each time, with the state so far."""
    rng = np.random.default_rng(seed)
    changes = []
    for _ in range(6):
        names = [name for name in DEFAULTS[kind] if name != "initial" and rng.random() < 0.3]
        changes.append({name: VALUES[name][0][rng.integers(len(VALUES[name][0]))] for name in names})

    def run(change, compile=lambda step: step):
        w, settings = nn.Parameter(np.linspace(-1, 1, 8)), {"momentum": 0.5} if kind is optim.SGD else {}
        optimizer = kind([w], **settings)

        def step(x):
            optimizer.zero_grad()
            (tg.tanh(w * x) * w).sum().backward()
            optimizer.step()

        go, seen = compile(step), []
        for k, changed in enumerate(changes):
            settings |= changed
            optimizer = change(optimizer, changed, settings)
            for _ in range(3):
                go(tg.Tensor(np.full(8, 1.0 + k)))
                seen.append(w._array.tobytes())  # given out by numpy(), it would not be updated in place
        return seen

    def assign(optimizer, changed, settings):
        for name, value in changed.items():
            setattr(optimizer, name, value)
        return optimizer

    def make_anew(optimizer, changed, settings):
        settings = settings if settings.get("momentum", 0) else {**settings, "nesterov": False}  # refused, without
        made = kind(optimizer.params, **{k: v for k, v in settings.items() if k in DEFAULTS[kind] and k in settings})
        state, started = optimizer.state_dict(), made.start(optimizer.params[0]._array)
        kept = {k: v for k, v in state.items() if k == "steps" or k.partition(".")[2] in made.slots}
        made.load_state_dict({f"0.{name}": array for name, array in started.items()} | kept)
        return made

    with tg.use_kernels(form):
        expected = run(make_anew)
        assert run(assign, tg.compile if compiled else lambda step: step) == expected


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in DEFAULTS for name in [*DEFAULTS[kind], "params"]])
def test_a_setting_is_held_to_what_the_constructor_takes(kind, name):
    w = nn.Parameter([1.0])
    optimizer = kind([w])
    before = getattr(optimizer, name)
    with pytest.raises((ArgumentError, DTypeError), match=f"^{kind.__name__}: expected"):
        setattr(optimizer, name, [] if name == "params" else VALUES[name][1])
    assert getattr(optimizer, name) is before


def test_a_subclass_may_set_before_it_calls_its_base():
    class Slowing(optim.SGD):
        def __init__(self, params, rate: float):
            self.momentum, self.rate = 0.5, rate
            super().__init__(params, lr=rate, momentum=0.9)

    assert (Slowing([nn.Parameter([1.0])], 0.1).momentum, Slowing([nn.Parameter([1.0])], 1).rate) == (0.9, 1.0)


def test_a_parameter_keeps_its_state_when_others_come_and_go():
    a, b, c = (nn.Parameter([float(k)]) for k in range(3))
    optimizer = optim.Adam([a, b])
    (a + b).sum().backward()
    optimizer.step()
    state = optimizer.state[1]
    optimizer.params = [b, c]
    assert optimizer.state[0] is state
    assert optimizer.state[1] == {}
    optimizer.step()  # c has no gradient
    assert (state["mean"] != 0).all()


# --- updates in place -------------------------------------------------------------------------------------


def a_view_of(array):
    return array.reshape(-1)[1:]


HOLDERS = {
    "data": lambda w, o: w.data,
    "numpy": lambda w, o: w.numpy(),
    "asarray": lambda w, o: np.asarray(w.detach()),
    "the array": lambda w, o: w._array,
    "a view": lambda w, o: a_view_of(w._array),
    "a view of a view": lambda w, o: a_view_of(w._array)[::2].T,
    "a buffer": lambda w, o: memoryview(w._array),
    "detach": lambda w, o: w.detach(),
    "another tensor": lambda w, o: tg.Tensor(w),
    "another parameter": lambda w, o: nn.Parameter(w),
    "a graph": lambda w, o: (w * w, w.detach() * 1),
    "a graph of a view": lambda w, o: (w.T.reshape(-1)[1:] * 2 + w.reshape(-1)[:-1] ** 2, None),
    "a graph that is kept": lambda w, o: ((w * w).sum(), None),
    "a state_dict": lambda w, o: nn.Sequential(Held(w)).state_dict(),
    "the optimiser's state": lambda w, o: o.state_dict(),
    "an average": lambda w, o: w.numpy() * 1,
    "DLPack": lambda w, o: np.from_dlpack(w._array),
    "a closure": lambda w, o: (lambda array: lambda: array)(w._array),
    "a generator": lambda w, o: holding(w._array),
}


class Held(nn.Module):
    def __init__(self, w):
        self.w = w

    def forward(self, x):
        return x * self.w


def holding(array):
    yield array


def seen(held):
    """The numbers that a holder sees."""
    if callable(held):
        held = held()
    if isinstance(held, tuple):
        return [seen(one) for one in held if one is not None]
    if isinstance(held, dict):
        return {key: np.array(value).tolist() for key, value in held.items()}
    if hasattr(held, "gi_frame"):
        return held.gi_frame.f_locals["array"].tolist()
    return np.array(held.detach() if isinstance(held, tg.Tensor) else held).tolist()


KINDS = [
    lambda p: optim.SGD(p, lr=0.1), lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.Adam(p, lr=0.1),
    lambda p: optim.AdamW(p, lr=0.1), lambda p: optim.RMSprop(p, lr=0.1, momentum=0.5, centered=True),
    lambda p: optim.Adagrad(p, lr=0.1),
]  # fmt: skip


@given(
    kind=st.sampled_from(KINDS), compiled=st.booleans(), form=st.sampled_from(["plain", "auto"]),
    holders=st.lists(st.none() | st.sampled_from(sorted(HOLDERS)), min_size=3, max_size=7),
    dtype=st.sampled_from(["f4", "f8"]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_who_holds_an_array_of_a_parameter_never_sees_it_change(kind, compiled, form, holders, dtype, seed):
    start = np.random.default_rng(seed).standard_normal((4, 5)).astype(dtype)

    def run(watched):
        w = nn.Parameter(start.copy())
        optimizer = kind([w])

        def step(x):
            optimizer.zero_grad()
            loss = (tg.tanh(w * x) * w).sum()
            loss.backward()
            optimizer.step()
            return loss

        go = tg.compile(step) if compiled else step
        held = []
        for k, name in enumerate(holders):
            go(tg.Tensor(np.full((4, 5), 1 + k, dtype)))
            if watched and name:
                held.append(HOLDERS[name](w, optimizer))
                held[-1] = held[-1], seen(held[-1]), name
            for one, then, what in held:
                assert seen(one) == then, what
        for one, then, what in held:
            assert seen(one) == then, what
            if what == "a graph":  # y = w²; and its gradient is that of then
                w.zero_grad()
                one[0].sum().backward()
                np.testing.assert_allclose(w.grad.numpy() ** 2, 4 * np.array(then[0]), rtol=1e-5)
        return w.numpy().tobytes()

    with tg.use_kernels(form):
        assert run(True) == run(False)


@pytest.mark.parametrize("form", ["plain", "auto"])
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_an_array_that_nobody_else_holds_is_updated_in_place(kind, form):
    w = nn.Parameter(np.ones((30, 40)))
    optimizer = KINDS[kind]([w])

    def step(x):
        optimizer.zero_grad()
        ((w * x) ** 2).sum().backward()
        optimizer.step()

    replayed, x = tg.compile(step), tg.Tensor(np.ones(40))
    with tg.use_kernels(form):
        for run in (lambda: step(x), lambda: replayed(x)):
            run()
            run()
            places = set()
            for _ in range(4):
                run()
                places.add(w._array.ctypes.data)
            assert len(places) == 1
            view = w._array[0]
            run()
            assert w._array.ctypes.data not in places
            del view


def test_arrays_that_are_not_a_parameter_s_own_are_left_alone():
    own = np.ones((2, 3))
    table = np.ones((4, 3))
    still = np.ones(3)
    still.setflags(write=False)
    params = [nn.Parameter(own), nn.Parameter(table[1]), nn.Parameter(still), nn.Parameter(np.ones((3, 2)).T)]
    params[3]._array = np.asfortranarray(np.ones((2, 3)))
    optimizer = optim.SGD(params, lr=0.5)
    for _ in range(2):
        for p in params:
            p.grad = np.ones(p.shape)
        optimizer.step()
    assert [set(np.ravel(p).tolist()) for p in params] == [{0.0}] * 4
    assert own.min() == table.min() == still.min() == 1


def test_a_planted_update_in_place_of_an_array_that_others_hold_is_noticed(monkeypatch):
    monkeypatch.setattr(optim, "unshared", lambda tensor: tensor._array)
    with pytest.raises(AssertionError):
        test_a_graph_recorded_before_the_step_keeps_its_values()


def test_updates_of_one_s_own_make_new_arrays_unless_they_take_out():
    class Sign(optim.Optimizer):
        def update(self, p, g, state, lr):
            return p - lr * np.sign(g)

    class Halved(optim.SGD):
        def update(self, p, g, state, lr, *, out=None):
            return super().update(p, g / 2, state, lr, out=out)

    for kind, step in ((Sign, 0.25), (Halved, 0.5)):
        w = nn.Parameter([4.0])
        optimizer = kind([w], lr=0.25)
        run = tg.compile(lambda x, w=w, optimizer=optimizer: [(w * x).sum().backward(), optimizer.step()])
        for k in range(4):
            w.zero_grad()
            before = w._array
            run(np.full(1, 4.0))
            assert before.item() == 4.0 - k * step
            assert w.item() == 4.0 - (k + 1) * step


def test_a_graph_recorded_before_the_step_keeps_its_values():
    w = nn.Parameter([2.0])
    y = w * w
    optimizer = optim.SGD([w], lr=0.5)
    w.grad = [1.0]
    optimizer.step()
    w.zero_grad()
    y.sum().backward()
    assert w.grad.tolist() == [4.0]
    assert w.tolist() == [1.5]


@pytest.mark.parametrize(("kind", "formula", "options"), CASES)
def test_state_dict_continues_to_the_bit(kind, formula, options):
    def run(steps, w, optimizer):
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(w).backward()
            optimizer.step()

    whole = nn.Parameter(START)
    run(6, whole, kind([whole], **options))
    first = nn.Parameter(START)
    optimizer = kind([first], **options)
    run(3, first, optimizer)
    state = optimizer.state_dict()
    run(1, first, optimizer)  # the state is a copy
    second = nn.Parameter(START)
    run(3, second, kind([second], **options))
    continued = kind([second], **(options | {"lr": 99.0}))
    continued.load_state_dict(state)
    assert continued.lr == options["lr"]
    run(3, second, continued)
    np.testing.assert_array_equal(second.numpy(), whole.numpy())


def test_state_dict_errors():
    w = nn.Parameter(START)
    optimizer = optim.SGD([w], momentum=0.9)
    with pytest.raises(ArgumentError, match=r"expected velocity for 1 parameters, got '1\.velocity'"):
        optimizer.load_state_dict({"steps": 1, "1.velocity": START})
    with pytest.raises(ArgumentError, match=r"got '0\.mean'"):
        optimizer.load_state_dict({"steps": 1, "0.mean": START})
    with pytest.raises(ShapeError, match=r"'0\.velocity' of shape \(2, 2\), got \(3,\)"):
        optimizer.load_state_dict({"steps": 1, "0.velocity": [1, 2, 3]})
    with pytest.raises(ArgumentError, match="entry 'steps'"):
        optimizer.load_state_dict({})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda w: optim.SGD([]), ArgumentError, "expected parameters, got none; build the model"),
        (lambda w: optim.SGD(w), DTypeError, r"got one tensor: use \[w\]"),
        (lambda w: optim.SGD([w, w]), ArgumentError, "each parameter once"),
        (lambda w: optim.SGD([w * 2]), DTypeError, "leaf tensors that require a gradient"),
        (lambda w: optim.SGD([np.zeros(3)]), DTypeError, "leaf tensors that require a gradient"),
        (lambda w: optim.SGD([tg.Tensor([1.0])]), DTypeError, "leaf tensors that require a gradient"),
        (
            lambda w: optim.SGD([w], lr=-0.1),
            ArgumentError,
            "lr to be a finite .* or a schedule, got -0.1; use lr=0.01",
        ),
        (lambda w: optim.SGD([w], lr=-1), ArgumentError, "lr to be a finite number >= 0"),
        (
            lambda w: optim.SGD([w], lr=float("nan")),
            ArgumentError,
            "lr to be a finite .* or a schedule, got nan",
        ),
        (lambda w: optim.SGD([w], lr=float("inf")), ArgumentError, "lr to be a finite number >= 0"),
        (lambda w: optim.SGD([w], lr="fast"), DTypeError, "lr to be .* or a schedule, got 'fast'"),
        (lambda w: optim.SGD([w], momentum=1.0), ArgumentError, r"momentum to be a number in \[0, 1\), got 1.0"),
        (lambda w: optim.SGD([w], nesterov=True), ArgumentError, "momentum above 0 with nesterov"),
        (lambda w: optim.SGD([w], weight_decay=-0.1), ArgumentError, "weight_decay to be a finite number >= 0"),
        (
            lambda w: optim.Adam([w], betas=(0.9, 1.0)),
            ArgumentError,
            r"2 values, each a number in \[0, 1\), got \(0.9, 1",
        ),
        (lambda w: optim.Adam([w], epsilon=float("nan")), ArgumentError, "epsilon to be a finite number >= 0"),
        (lambda w: optim.Adagrad([w], initial=-1), ArgumentError, "initial to be a finite number >= 0"),
        (lambda w: optim.clip_grad_norm([w], 0), ArgumentError, "max_norm to be a finite number > 0"),
        (lambda w: optim.clip_grad_value([w], -1), ArgumentError, "max_value to be a finite number > 0"),
        (lambda w: setattr(optim.SGD([w]), "lr", -1), ArgumentError, "SGD: expected lr to be a finite number >= 0"),
    ],
)
def test_bad_settings_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(nn.Parameter(START))


# --- schedules --------------------------------------------------------------------------------------------------


def test_schedules_follow_their_formulas():
    for step in range(40):
        assert optim.StepDecay(0.1, 10, 0.5)(step) == pytest.approx(0.1 * 0.5 ** (step // 10))
        assert optim.ExponentialDecay(0.1, 10, 0.5)(step) == pytest.approx(0.1 * 0.5 ** (step / 10))
        done = min(step / 30, 1)
        expected = 0.01 + 0.09 * (1 + math.cos(math.pi * done)) / 2
        assert optim.CosineDecay(0.1, 30, final=0.01)(step) == pytest.approx(expected)
        warm = optim.WarmUp(optim.StepDecay(0.1, 10, 0.5), 4)
        assert warm(step) == pytest.approx(0.1 * (step + 1) / 5 if step < 4 else 0.1 * 0.5 ** ((step - 4) // 10))
    assert [optim.WarmUp(1.0, 3)(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    values = [optim.PiecewiseConstant((2, 4), (1.0, 0.5, 0.1))(step) for step in range(6)]
    assert values == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]


def test_an_optimiser_follows_a_schedule_and_resumes_in_it():
    w = nn.Parameter([0.0])
    optimizer = optim.SGD([w], lr=lambda step: 1.0 / (step + 1))
    rates = []
    for _ in range(3):
        w.grad = [1.0]
        rates.append(optimizer.lr)
        optimizer.step()
    assert rates == [1.0, 0.5, 1 / 3]
    assert w.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3))
    other = optim.SGD([nn.Parameter([0.0])], lr=lambda step: 1.0 / (step + 1))
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 0.25
    optimizer.lr = 0.1
    assert optimizer.lr == 0.1
    cosine = optim.SGD([w], lr=optim.CosineDecay(0.1, 1))
    cosine.step()
    w.grad = [1.0]
    before = w.item()
    cosine.step()  # a schedule may end at 0
    assert w.item() == before
    with pytest.raises(ArgumentError, match="got nan"):
        _ = optim.SGD([w], lr=lambda step: float("nan")).lr


# --- clipping -----------------------------------------------------------------------------------------------


def test_clipping():
    a, b, idle = nn.Parameter([3.0, 0.0]), nn.Parameter([[4.0]]), nn.Parameter([1.0])
    a.grad, b.grad = [3.0, 0.0], [[4.0]]
    assert optim.clip_grad_norm([a, b, idle], 10.0) == 5.0
    assert a.grad.tolist() == [3.0, 0.0]
    assert optim.clip_grad_norm([a, b, idle], 1.0) == 5.0
    np.testing.assert_allclose(a.grad.numpy(), [0.6, 0.0])
    np.testing.assert_allclose(b.grad.numpy(), [[0.8]])
    assert idle.grad is None
    optim.clip_grad_value([a, b, idle], 0.5)
    assert a.grad.tolist() == [0.5, 0.0]
    assert b.grad.tolist() == [[0.5]]
    assert a.grad.dtype == np.float64
    single = nn.Parameter([1.0], dtype="float32")
    single.grad = np.array([30.0], "float32")
    optim.clip_grad_norm([single], 1.0)
    assert single.grad.dtype == np.float32


def test_training_a_small_network_with_every_optimiser():
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
    for kind, lr in (
        (optim.SGD, 0.5),
        (optim.Adam, 0.05),
        (optim.AdamW, 0.05),
        (optim.RMSprop, 0.02),
        (optim.Adagrad, 0.2),
    ):
        model = nn.Sequential([nn.Dense(16, in_features=3, activation="tanh"), nn.Dense(1)], seed=1)
        model.build((None, 3))
        optimizer = kind(model.parameters(), lr=lr)
        first = None
        for _ in range(150):
            optimizer.zero_grad()
            loss = tg.binary_cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            first = first or loss.item()
        assert loss.item() < 0.5 * first, kind
