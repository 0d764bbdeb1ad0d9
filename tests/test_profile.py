"""Where the time of a block goes: told by a clock that only the tests move."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import profiling
from tinygrad_conv.engine import modes, primitive
from tinygrad_conv.engine.plain import plain
from tinygrad_conv.errors import ArgumentError, DeclarationError
from tinygrad_conv.graph.drawing.looks import amount_text
from tinygrad_conv.kernels import blas
from tinygrad_conv.profiling import REST, Machine, Row
from tinygrad_conv.testing.draw import Draw
from tinygrad_conv.testing.samples import draw_sample


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def pass_(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, "perf_counter", clock)
    monkeypatch.setattr(profiling, "machine", lambda: Machine(8.0, (4.0, 2.0)))
    monkeypatch.setattr(primitive, "_registry", dict(primitive._registry))  # what a test declares is gone with it
    return clock


@pytest.fixture
def slow(clock):
    """An operation that takes a second forward; its rule, 3 x², takes as long as `wait` does, twice."""

    @tg.elementwise(lambda x: 3 * wait(x) * wait(x), flops=5)
    def slow(x):
        clock.pass_(1.0)
        return x**3

    @tg.elementwise(lambda: 1.0)
    def wait(x):
        clock.pass_(0.25)
        return np.array(x)

    return slow


def rows(p, by="primitive"):
    """(name or module, direction, rule of) -> row."""
    return {(row.name or row.module, row.direction, row.rule_of): row for row in p.table(by).rows}


def leaf(*shape, dtype="float64"):
    return tg.Tensor(np.random.default_rng(0).normal(size=shape).astype(dtype), requires_grad=True)


# ------------------------------------------------------------------------------------------------------------------
# Arithmetic


def test_times_shares_and_the_rest(clock, slow):
    x = leaf(2)
    with tg.profile() as p:
        clock.pass_(0.5)
        y = slow(slow(x))
        clock.pass_(1.0)
        y.sum().backward()
        clock.pass_(0.5)
    clock.pass_(77.0)
    found = rows(p)
    assert p.total == 5.0
    assert (found["slow", "forward", ""].calls, found["slow", "forward", ""].seconds) == (2, 2.0)
    assert (found["wait", "backward", "slow"].calls, found["wait", "backward", "slow"].seconds) == (4, 1.0)
    assert found["multiply", "backward", "slow"].seconds == 0.0
    assert (found[REST, "", ""].seconds, found[REST, "", ""].share, found[REST, "", ""].calls) == (2.0, 0.4, 0)
    for by in ("primitive", "module"):
        table = p.table(by)
        assert table.total == 5.0
        assert sum(row.share for row in table.rows) == 1.0
        assert sum(row.seconds for row in table.rows) == 5.0
        assert table.rows[-1].name == REST
        times = [row.seconds for row in table.rows[:-1]]
        assert times == sorted(times, reverse=True)


def test_what_a_call_calls_is_counted_there(clock, slow):
    @tg.elementwise(lambda: 0.0)
    def outer(x):
        clock.pass_(0.125)
        return slow(slow(x))

    @modes.effect
    def change():
        clock.pass_(0.5)
        return outer(leaf(2))

    with tg.profile() as p:
        change()
    found = rows(p)
    assert found["change", "effect", ""].seconds == 0.5
    assert found["outer", "forward", ""].seconds == 0.125
    assert found["slow", "forward", ""].seconds == 2.0
    assert p.total == 2.625
    assert found[REST, "", ""].seconds == 0.0


def test_total_of_an_open_block_and_of_several(clock, slow):
    p = tg.profile()
    assert p.total == 0.0
    assert p.table().rows[0].share == 0.0
    for _ in range(2):
        with p:
            slow(1.0)
            assert p.total in (1.0, 2.0)
        clock.pass_(9.0)
    assert p.total == 2.0
    assert rows(p)["slow", "forward", ""].calls == 2


def test_a_profile_in_use_cannot_be_entered(clock, slow):
    with tg.profile() as p:
        with pytest.raises(ArgumentError, match=r"block is open; use another tg\.profile\(\)"), p:
            pass
        slow(1.0)
    assert p.total == 1.0
    assert modes.OBSERVED == []


def test_tables_are_by_primitive_or_module():
    with pytest.raises(ArgumentError, match='by to be "primitive" or "module", got \'layer\''):
        tg.profile().table("layer")


def test_an_empty_block(clock):
    with tg.profile() as p:
        pass
    assert [row.name for row in p.table().rows] == [REST]
    assert p.total == 0.0
    assert str(p.table()).splitlines()[-1].startswith("total")


# ------------------------------------------------------------------------------------------------------------------
# Blocks


def test_a_block_in_a_block_is_counted_in_both(clock, slow):
    with tg.profile() as outer:
        slow(1.0)
        with tg.profile() as inner:
            slow(1.0)
            clock.pass_(0.5)
        slow(1.0)
    assert (inner.total, rows(inner)["slow", "forward", ""].calls) == (1.5, 1)
    assert (outer.total, rows(outer)["slow", "forward", ""].calls) == (3.5, 3)
    assert rows(outer)[REST, "", ""].seconds == 0.5


def test_a_block_opened_inside_of_a_call(clock, slow):
    inner = tg.profile()

    @modes.effect
    def change():
        clock.pass_(0.5)
        with inner:
            slow(1.0)

    with tg.profile() as outer:
        change()
    assert (inner.total, rows(inner)["slow", "forward", ""].seconds) == (1.0, 1.0)
    assert rows(outer)["change", "effect", ""].seconds == 0.5
    assert rows(outer)["slow", "forward", ""].seconds == 1.0


def test_an_exception_ends_the_block_and_keeps_what_ran(clock, slow):
    @tg.elementwise(lambda: 0.0)
    def broken(x):
        clock.pass_(0.5)
        raise ValueError("planted")

    p = tg.profile()
    with pytest.raises(ValueError, match="planted"), p:
        broken(slow(1.0))
    assert p.total == 1.5
    assert rows(p)["slow", "forward", ""].calls == 1
    assert (rows(p)["broken", "forward", ""].seconds, rows(p)["broken", "forward", ""].flops) == (0.5, 0)
    assert modes.OBSERVED == []
    assert modes.observer() is None
    with p:
        slow(1.0)
    assert p.total == 2.5


def test_an_exception_in_a_rule_leaves_no_mark(clock, slow):
    @tg.elementwise(lambda x: 1 / 0)
    def broken(x):
        return np.array(x)

    with tg.profile() as p:
        with pytest.raises(ZeroDivisionError):
            broken(leaf()).backward()
        assert modes.MODE.get().backward is None
        slow(1.0)
    assert rows(p)["slow", "forward", ""].calls == 1


def test_off_it_is_not_asked(clock, monkeypatch):
    with tg.profile() as p:
        tg.exp(1.0)
    monkeypatch.setattr(profiling, "perf_counter", lambda: pytest.fail("asked for the time"))
    before = p.table()
    (tg.exp(leaf(2)) > 1).sum()
    tg.exp(leaf(2)).sum().backward()
    assert p.table() == before
    assert modes.OBSERVED == []


def test_other_threads_are_not_counted(clock, slow):
    with tg.profile() as p:
        for target in (partial(slow, 1.0), partial(contextvars.copy_context().run, slow, 1.0)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        slow(1.0)
    assert rows(p)["slow", "forward", ""].calls == 1
    assert p.total == 3.0


def test_tasks_started_inside_are_counted_and_others_are_not(clock, slow):
    async def work(times, started=None, done=None):
        if started is not None:
            await started.wait()
        for _ in range(times):
            slow(1.0)
            await asyncio.sleep(0)
        if done is not None:
            done.set()

    async def main():
        started, done, late = asyncio.Event(), asyncio.Event(), asyncio.Event()
        other = asyncio.create_task(work(10, started, done))
        with tg.profile() as p:
            started.set()
            await asyncio.gather(work(2), work(3))
            outliving = asyncio.create_task(work(4, late))
            await done.wait()
        with tg.profile() as q:  # so that someone observes
            late.set()
            await outliving
        await other
        return p, q

    p, q = asyncio.run(main())
    assert rows(p)["slow", "forward", ""].calls == 5
    assert p.total == 15.0
    assert rows(p)[REST, "", ""].seconds == 10.0
    assert ("slow", "forward", "") not in rows(q)


def test_another_observer_goes_on_observing(clock, slow):
    heard = []

    class Recorder:
        def run(self, primitive, args, values, params):
            heard.append(("run", primitive.name, args))
            return primitive.forward(*values, **params)

        def compute(self, function, args, kwargs):
            heard.append(("compute", function, args))
            return function(*[getattr(a, "_array", a) for a in args], **kwargs)

        def effect(self, function, args, kwargs):
            heard.append(("effect", function, args))
            return function(*args, **kwargs)

        def __getattr__(self, name):
            return lambda *args: heard.append((name, *args))

    x = leaf(2)
    with modes.observed(Recorder()), tg.profile() as p:
        y = slow(x)
        y > x  # noqa: B015
        x.zero_grad()
        tg.nn.Flatten()(np.ones((1, 2)))
        y.detach()
        y.item() if y.size == 1 else y.tolist()
        modes.constant(x._array)
        modes.observer().same(x._array, x._array)
        modes.observer().copied(x._array, x._array)
        modes.observer().gradient(x.node)
        tg.Tensor([1.0])
    kinds = [kind for kind, *_ in heard]
    assert [kind for kind in ("run", "compute", "effect", "enter", "touch", "escape", "constant", "same",
                               "copied", "gradient", "made")
            if kind not in kinds] == []  # fmt: skip
    assert next(args for kind, _, args in (h for h in heard if h[0] == "run"))[0] is x
    assert next(h for h in heard if h[0] == "compute")[2] == (y, x)
    assert rows(p)["slow", "forward", ""].calls == 1
    assert rows(p)["greater", "forward", ""].calls == 1
    assert rows(p)["Tensor.zero_grad", "effect", ""].calls == 1


# ------------------------------------------------------------------------------------------------------------------
# Networks


def convnet(normalized=True):
    norm = [tg.nn.BatchNorm(name="norm")] if normalized else []
    layers = [
        tg.nn.Conv2D(4, 3, activation="relu", name="conv"), *norm, tg.nn.MaxPool2D(name="pool"),
        tg.nn.Flatten(name="flat"), tg.nn.Dropout(0.5, seed=0, name="drop"), tg.nn.Dense(3, name="head"),
    ]  # fmt: skip
    net = tg.nn.Sequential(layers, seed=0)
    net(IMAGE[:1])
    return net


IMAGE = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
LABELS = np.array([0, 2])


def train(net, optimizer, steps=2):
    for _ in range(steps):
        optimizer.zero_grad()
        tg.softmax_cross_entropy(net(IMAGE), LABELS).backward()
        optimizer.step()


def test_a_step_by_primitive_and_by_module():
    net = convnet()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    with tg.profile() as p:
        train(net, optimizer, 3)
    by_primitive, by_module = rows(p), rows(p, "module")
    assert by_primitive["conv", "forward", ""].calls == 3
    assert by_primitive["conv_kernel_gradient", "backward", "conv"].calls == 3
    assert ("conv_transpose", "backward", "conv") not in by_primitive  # nobody wants the images' gradient
    assert by_primitive["pool_scatter", "backward", "pool_max"].calls == 3
    assert by_primitive["matmul", "backward", "matmul"].calls == 6
    assert by_primitive["multiply", "backward", "relu"].calls == 3
    assert by_primitive["SGD.step", "effect", ""].calls == 3
    both = {module for module, direction, _ in by_module if direction == "backward"}
    assert {"conv", "norm", "pool", "flat", "drop", "head", ""} == both
    assert by_module["conv", "backward", ""].flops > by_module["head", "backward", ""].flops > 0
    for by in ("primitive", "module"):
        assert sum(row.share for row in p.table(by).rows) == pytest.approx(1.0, abs=1e-12)
        assert all(row.seconds >= 0 for row in p.table(by).rows)
    assert sum(row.calls for row in by_primitive.values()) == sum(row.calls for row in by_module.values())


@pytest.mark.parametrize("normalized", [False, True])
def test_a_profiled_step_is_the_same_to_the_bit(normalized):
    found = []
    for watched in (False, True):
        net = convnet(normalized)
        optimizer = tg.optim.Adam(net.parameters())
        if watched:
            with tg.profile():
                train(net, optimizer)
        else:
            train(net, optimizer)
        found.append({name: array.tobytes() for name, array in net.state_dict().items()})
    assert found[0] == found[1]


@given(st.integers(0, 2**32), st.integers(1, 20))
def test_gradients_of_drawn_graphs_are_the_same_to_the_bit(seed, size):
    def gradients():
        rng = np.random.default_rng(seed)
        xs = [tg.Tensor(rng.normal(size=(2, 3)), requires_grad=True) for _ in range(3)]
        values = list(xs)
        for _ in range(size):
            a, b = (values[k] for k in rng.integers(0, len(values), 2))
            f = [tg.add, tg.multiply, tg.maximum, lambda a, b: tg.relu(a), lambda a, b: a.sum(0, keepdims=True) + b]
            values.append(f[rng.integers(len(f))](a, b))
        tg.sum(values[-1] * values[-2]).backward()
        assert all(x.grad is None or type(x.grad._array) is np.ndarray for x in xs)
        return [None if x.grad is None else x.grad.numpy().tobytes() for x in xs]

    plain = gradients()
    with tg.profile():
        assert gradients() == plain


def test_transforms_and_higher_orders_are_counted():
    def f(x):
        return (tg.tanh(x) * x).sum()

    x = np.linspace(-1, 1, 3)
    with tg.profile() as p:
        seen = tg.grad(f)(x), tg.hessian(f)(x), tg.jvp(f, (x,), (x,))[1]
    plain = tg.grad(f)(x), tg.hessian(f)(x), tg.jvp(f, (x,), (x,))[1]
    for a, b in zip(seen, plain, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()
        assert a.node is None
    assert ("multiply", "backward", "tanh") in rows(p)


def test_a_checkpoint_runs_again_in_backward():
    net = convnet()
    found = []
    for f in (lambda x: net(x).sum(), tg.checkpoint(lambda x: net(x).sum())):
        with tg.profile() as p:
            f(IMAGE).backward()
        found.append((rows(p), rows(p, "module")))
    (_, once), (by_primitive, again) = found
    assert by_primitive["conv", "forward", ""].calls == 1
    assert [row.calls for key, row in by_primitive.items() if key[:2] == ("conv", "backward")] == [1]
    for module in ("conv", "pool", "head"):
        forward, backward = once[module, "forward", ""], once[module, "backward", ""]
        assert again[module, "forward", ""].calls == forward.calls
        assert again[module, "backward", ""].flops == forward.flops + backward.flops


def test_a_hook_is_in_no_rule(slow):
    y = tg.tanh(leaf(2)) * 2.0
    z = tg.tanh(y)
    y.register_hook(slow)
    with tg.profile() as p:
        z.sum().backward()
    assert rows(p)["slow", "forward", ""].calls == 1


def test_backward_steps_are_plain_tensors():
    with tg.profile():
        for step in tg.tanh(leaf(2)).sum().backward_steps():
            assert type(step.incoming._array) is np.ndarray
            assert all(g is None or type(g._array) is np.ndarray for g in step.outgoing)


def test_effects_are_named_by_their_object():
    class Meter:
        @modes.effect
        def update(self):
            pass

    @modes.effect
    def reset(x):
        return plain(np.negative)(x)

    with tg.profile() as p:
        Meter().update()
        assert reset(3) == -3
    assert ("Meter.update", "effect", "") in rows(p)
    assert ("reset", "effect", "") in rows(p)
    assert ("negative", "forward", "") in rows(p)


# ------------------------------------------------------------------------------------------------------------------
# Prices


def price(f, *args):
    with tg.profile() as p:
        f(*args)
    (row,) = p.table().rows[:-1]
    return row.flops, row.read, row.written


def test_bytes_and_flops_of_a_call(clock):
    x, w = leaf(2, 5, 5, 3), leaf(3, 3, 3, 4)
    assert price(tg.add, x, x) == (150, 2400, 1200)
    assert price(tg.conv2d, x, w) == (2 * 2 * 9 * 4 * 27, 1200 + 864, 2 * 9 * 4 * 8)
    assert price(tg.max_pool2d, x) == (2 * 4 * 3 * 4, 1200, 24 * 8 + 24)  # and a byte per place
    assert price(tg.exp, x) == (1500, 1200, 1200)
    assert price(tg.greater, x, 0) == (0, 1200, 150)
    assert price(lambda: tg.where(np.ones((2, 2), bool), 1.0, 0.0)) == (4, 4, 32)
    assert price(lambda: tg.concat([x, x])) == (0, 2400, 2400)


def test_views_move_nothing(clock):
    x = leaf(4, 6)
    for f in (lambda x: x.reshape(24), lambda x: x.T, lambda x: x[1:], lambda x: tg.broadcast_to(x, (3, 4, 6))):
        assert price(f, x)[1:] == (0, 0)
    assert price(lambda x: x.reshape(24), x.T) == (0, 192, 192)  # a copy


def test_what_is_broadcast_is_read_once(clock):
    assert price(tg.add, np.broadcast_to(np.ones(3), (100, 3)), leaf(100, 3)) == (300, 24 + 2400, 2400)
    assert price(tg.add, np.ones((0, 3)), leaf(0, 3)) == (0, 0, 0)


def test_the_floor_is_the_slower_of_bytes_and_flops(clock):
    assert Machine(8.0, (4.0, 2.0)).floor(8, 8, 4) == 2.0
    assert Machine(8.0, (4.0, 2.0)).floor(8, 8, 8) == 4.0
    assert Machine(8.0, (4.0, 2.0)).floor(8, 80, 8) == 10.0
    row = Row("add", "", "forward", "", 2, 4.0, 1.0, 6, 10, 5, 3.0)
    assert (row.speed, row.of_floor) == (1.5, 0.75)
    assert Row("step", "", "effect", "", 2, 4.0, 1.0, 0, 0, 0, None).of_floor is None
    with tg.profile() as p:
        tg.square(leaf(4))  # 4 FLOPs in float64, 64 bytes
        tg.square(leaf(2, dtype="float32"))  # 2 FLOPs, 16 bytes
    assert rows(p)["square", "forward", ""].floor == 64 / 8 + 16 / 8
    assert rows(p)[REST, "", ""].floor is None


def test_the_machine_is_measured_once():
    profiling.machine.cache_clear()
    speeds = profiling.machine()
    assert profiling.machine() is speeds
    assert speeds.bandwidth > 1e8
    assert min(speeds.flops) > 1e7


def test_every_primitive_has_a_price():
    for declared in tg.primitives().values():
        for seed in range(3):
            values, params = draw_sample(declared, Draw.seeded(seed))
            with tg.profile() as p:
                declared(*values, **params)
            assert any(row.name == declared.name.lstrip("_") and row.flops >= 0 for row in p.table().rows)


def test_a_price_that_cannot_be_told_is_an_error(clock):
    @tg.elementwise(lambda: 1.0, flops=lambda x, y, missing: 3)
    def odd(x):
        clock.pass_(1.0)
        return np.array(x)

    with tg.profile() as p:
        with pytest.raises(DeclarationError, match=r"@elementwise odd: expected flops\(.*missing.*\(2,\) to \(2,\)"):
            odd(leaf(2))
        tg.exp(1.0)
    assert rows(p)["odd", "forward", ""].seconds == 1.0
    assert rows(p)["exp", "forward", ""].seconds == 0.0


# ------------------------------------------------------------------------------------------------------------------
# Text, and pictures


def test_print(clock, slow):
    with tg.profile() as p:
        slow(leaf(2)).sum().backward()
        clock.pass_(2.0)
    lines = str(p).splitlines()
    assert lines[:4] == [
        "primitive            pass      rule of  calls    time   share  FLOP/s  read  written  floor",
        "-------------------------------------------------------------------------------------------",
        "slow                 forward                1     1 s   28.6%      10  16 B     16 B   500%",
        "wait                 backward  slow         2  500 ms   14.3%       8  32 B     32 B  1600%",
    ]
    assert [line.split() for line in lines if line.startswith(REST)] == [[*REST.split(), "2", "s", "57.1%"]] * 2
    calls = str(sum(row.calls for row in p.table().rows))
    assert [line.split() for line in lines if line.startswith("total")] == [["total", calls, "3.50", "s", "100.0%"]] * 2
    assert "(in no module)       forward" in str(p.table("module"))
    assert lines[-2].endswith("this machine's 8 B/s and 4 FLOP/s (float32)")
    assert lines[-1].startswith("BLAS: ")


def test_html_is_escaped(clock):
    @modes.effect
    def change():
        clock.pass_(1.0)

    change.__wrapped__.__name__ = "<change>"
    with tg.profile() as p:
        change()
    html = p._repr_html_()
    assert "&lt;change&gt;" in html
    assert "<change>" not in html
    assert html.count("<table>") == 2
    assert html.count("<tr>") == html.count("</tr>") == 8


def test_a_picture_takes_its_times_from_a_profile(clock, slow):
    net = convnet().eval()
    with tg.profile() as p:
        for _ in range(3):
            net(IMAGE)
            slow(leaf(2))
            slow(leaf(2, 3))
    drawing = tg.draw(net, IMAGE[:1], show=("time",), color="time", profile=p)
    times = {node.primitive: node.time for node in drawing.graph.nodes if node.kind == "operation"}
    assert times["conv"] == 0.0  # the clock stood still
    assert tg.draw(slow, np.ones(2), show=("time",), profile=p).graph["slow_1"].time == 1.0
    assert amount_text(1.0, "time") in tg.draw(slow, np.ones(2), show=("time",), profile=p).source
    assert tg.draw(slow, np.ones(3), show=("time",), profile=p).graph["slow_1"].time == 1.0  # only the batch differs
    assert tg.draw(slow, np.ones((2, 4)), show=("time",), profile=p).graph["slow_1"].time is None  # it never ran


def test_a_picture_of_a_gradient_takes_its_times_from_a_profile(clock, slow):
    with tg.profile() as p:
        for _ in range(2):
            slow(leaf(2)).sum().backward()
    graph = tg.draw(lambda x: slow(x).sum(), np.ones(2), show=("time",), backward=True, profile=p).graph
    assert [node.time for node in graph.nodes if node.primitive == "wait"] == [0.25, 0.25]


@pytest.mark.parametrize(("kernels", "features", "said", "advice"), [
    ("Haswell", ["X86_V4"], "Haswell", "OPENBLAS_CORETYPE=Haswell says so; without it, it may choose better"),
    ("Zen", ["AVX2", "AVX512F"], None, "try OPENBLAS_CORETYPE=SkylakeX"),
    ("SkylakeX", ["X86_V4"], "SkylakeX", ""), ("Haswell", ["X86_V3"], "Haswell", ""), ("neoversev1", ["SVE"], None, ""),
])  # fmt: skip
def test_advice_is_never_an_older_kind_of_processor(kernels, features, said, advice):
    line = blas._line("openblas", "0.3", kernels, features, said)
    assert line.startswith(f"BLAS: openblas 0.3, {kernels} kernels")
    assert line.partition("; ")[2] == advice
    assert line.count("AVX-512") == bool(advice)
