"""Threads and tasks: gradients add up, modes stay where they were set, decorators keep what a function is."""

import asyncio
import contextlib
import functools
import inspect
import os
import sys
import threading
import time
from contextvars import copy_context

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.blocks import awaited_by_forks
from tinygrad_conv.errors import DTypeError, GraphError

BLOCKS = {
    "no_grad": (tg.no_grad, tg.is_grad_enabled, False),
    "use_kernels": (lambda: tg.use_kernels("plain"), lambda: tg.kernels.wanted.choice(), "plain"),
}


@pytest.fixture(autouse=True)
def often():
    """Threads change after a microsecond, where Python lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*work):
    """Run functions in a thread each; the first error of one is raised."""
    start, errors = threading.Barrier(len(work)), []

    def run(f):
        start.wait()
        try:
            f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# ---------------------------------------------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("kept", [False, True])
def test_gradients_of_many_threads_add_up(kept):
    x = tg.Tensor(np.zeros(10_000), requires_grad=True)
    shared = (x * 1).retain_grad()

    def work():
        for _ in range(200):
            if kept:
                (shared * 1.0).sum().backward(retain_graph=True)
            else:
                (x * 1.0).sum().backward()

    at_once(*[work] * 8)
    assert set(x.grad.tolist()) == {1600.0}
    assert not kept or set(shared.grad.tolist()) == {1600.0}


def test_hooks_registered_at_once_all_run():
    seen = []
    for _ in range(50):
        x = tg.Tensor([1.0], requires_grad=True)
        at_once(*[lambda x=x: x.register_hook(lambda g: seen.append(1))] * 4)
        (x * 1).sum().backward()
    assert len(seen) == 200


def test_a_graph_freed_by_another_thread_is_an_error_or_right():
    for _ in range(100):
        x = tg.Tensor([2.0], requires_grad=True)
        y = x
        for _ in range(5):
            y = tg.concat([y * y])
        outcomes = []

        def back(y=y, outcomes=outcomes):
            try:
                y.backward()
                outcomes.append(1)
            except GraphError:
                outcomes.append(0)

        at_once(back, back)
        expected = 32 * 2.0**31
        assert x.grad is None or x.grad.item() == sum(outcomes) * expected


def test_first_calls_and_declarations_at_once():
    def declare(k):
        def twice(x, a=2.0):
            return x * a

        twice.__name__ = f"_concurrent_{k}"
        return tg.linear(lambda g, a: g * a)(twice)

    try:
        for k in range(20):
            twice = declare(k)
            at_once(*[lambda f=twice: f(tg.Tensor([1.0], requires_grad=True), a=3.0).backward()] * 4, lambda: [
                primitive.name for primitive in tg.primitives().values()
            ], lambda k=k: declare(f"also_{k}"))  # fmt: skip
    finally:
        for name in [name for name in tg.primitives() if name.startswith("_concurrent_")]:
            del tg.engine.primitive._registry[name]


def test_arrays_handed_out_at_once_are_watched():
    x = tg.Tensor(np.ones(4), requires_grad=True)
    for _ in range(50):
        y = tg.exp(x)
        loss = (y * y).sum()
        at_once(*[lambda y=y: y.numpy()] * 4)
        y.numpy()[0] = 9.0
        with pytest.raises(tg.errors.MutationError):
            loss.backward()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_child_does_not_wait_for_locks_of_its_parent():
    x = tg.Tensor([1.0], requires_grad=True)
    for lock in tg.engine.node.LOCKS:
        lock.acquire()
    try:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            held = threading.Thread(target=lambda: (x * 2).sum().backward())  # another thread: locks are reentrant
            held.start()
            held.join(60)
            os.write(writer, b"done" if not held.is_alive() else b"hung")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 4) == b"done"
    finally:
        for lock in tg.engine.node.LOCKS:
            lock.release()


# ---------------------------------------------------------------------------------------------------------------
# Blocks


@pytest.mark.parametrize("name", BLOCKS)
def test_one_block_in_many_threads(name):
    make, get, inside = BLOCKS[name]
    outside, block = get(), copy_context().run(make)  # made alone, `use_kernels` holds from then on: not here

    def work():
        for _ in range(100):
            with block:
                assert get() == inside
                with block:
                    assert get() == inside
                assert get() == inside
            assert get() == outside

    at_once(*[work] * 6)


@pytest.mark.parametrize("name", BLOCKS)
def test_one_block_in_many_tasks(name):
    make, get, inside = BLOCKS[name]
    outside, block = get(), copy_context().run(make)

    async def work(k):
        for _ in range(3):
            with block:
                await asyncio.sleep(0.001 * (k % 3))
                assert get() == inside
            await asyncio.sleep(0)
            assert get() == outside

    async def every():
        with block:
            inherited = asyncio.create_task(asyncio.sleep(0))
        await asyncio.gather(inherited, *map(work, range(6)))

    asyncio.run(every())


@given(order=st.permutations(range(4)), which=st.lists(st.booleans(), min_size=4, max_size=4))
def test_blocks_left_in_any_order_leave_what_the_others_say(order, which):
    blocks = [tg.no_grad() if off else tg.enable_grad() for off in which]
    for block in blocks:
        block.__enter__()
    open_ = list(range(4))
    for k in order:
        blocks[k].__exit__(None, None, None)
        open_.remove(k)
        assert tg.is_grad_enabled() == (not which[open_[-1]] if open_ else True)


def test_a_block_entered_elsewhere_changes_nothing_here():
    block = tg.no_grad()
    thread = threading.Thread(target=block.__enter__)
    thread.start()
    thread.join()
    block.__exit__(None, None, None)
    assert tg.is_grad_enabled()


# ---------------------------------------------------------------------------------------------------------------
# Decorators


class RefusedError(Exception):
    pass


def script(log):
    """A generator that notes all that happens to it, and whether anything is recorded where it runs."""
    log.append(("start", tg.is_grad_enabled()))
    sent, k = None, 0
    try:
        while k < 3:
            try:
                sent = yield k, sent
                log.append((sent, tg.is_grad_enabled()))
            except RefusedError as error:
                log.append((str(error), tg.is_grad_enabled()))
            k += 1
        return "result"
    finally:
        log.append(("end", tg.is_grad_enabled()))


async def async_script(log):
    log.append(("start", tg.is_grad_enabled()))
    sent, k = None, 0
    try:
        while k < 3:
            try:
                sent = yield k, sent
                log.append((sent, tg.is_grad_enabled()))
            except RefusedError as error:
                log.append((str(error), tg.is_grad_enabled()))
            k += 1
    finally:
        log.append(("end", tg.is_grad_enabled()))


STEPS = st.lists(st.sampled_from(["next", "send", "throw", "other", "close"]), max_size=6)


def drive(make, steps):
    """What a generator answers, step by step."""
    log, answers = [], []
    it = make(log)
    for k, step in enumerate(steps):
        try:
            answers.append(
                {
                    "next": lambda: next(it), "send": lambda k=k: it.send(k if answers else None),
                    "throw": lambda k=k: it.throw(RefusedError(str(k))), "other": lambda: it.throw(KeyError("x")),
                    "close": it.close,
                }[step]()
            )  # fmt: skip
        except (StopIteration, KeyError, RefusedError) as error:
            answers.append((type(error), getattr(error, "value", None)))
        assert tg.is_grad_enabled()
    return answers, log


@given(STEPS)
def test_a_generator_stays_what_it_is(steps):
    plain, log = drive(script, steps)
    quiet, quiet_log = drive(tg.no_grad(script), steps)
    assert quiet == plain
    assert quiet_log == [(what, False) for what, _ in log]


async def adrive(make, steps):
    log, answers = [], []
    it = make(log)
    for k, step in enumerate(steps):
        try:
            answers.append(
                await {
                    "next": lambda: anext(it), "send": lambda k=k: it.asend(k if answers else None),
                    "throw": lambda k=k: it.athrow(RefusedError(str(k))), "other": lambda: it.athrow(KeyError("x")),
                    "close": it.aclose,
                }[step]()
            )  # fmt: skip
        except (StopAsyncIteration, KeyError, RefusedError) as error:
            answers.append(type(error))
        assert tg.is_grad_enabled()
    await it.aclose()
    return answers, log


@given(STEPS)
def test_an_async_generator_stays_what_it_is(steps):
    plain, log = asyncio.run(adrive(async_script, steps))
    quiet, quiet_log = asyncio.run(adrive(tg.no_grad(async_script), steps))
    assert quiet == plain
    assert quiet_log == [(what, False) for what, _ in log]


def test_yield_from_and_for_see_through_it():
    def outer():
        return (yield from tg.no_grad(script)([]))

    it = outer()
    assert [item for item, _ in iter(lambda: next(it, (None, None)), (None, None))] == [0, 1, 2]

    async def collect():
        return [item async for item in tg.no_grad(async_script)([])]

    assert asyncio.run(collect()) == [(0, None), (1, None), (2, None)]


def test_every_kind_of_callable_is_decorated():
    class Things:
        @tg.no_grad
        def method(self):
            return tg.is_grad_enabled(), self

        @tg.no_grad
        @classmethod
        def of_class(cls):
            return tg.is_grad_enabled(), cls

        @classmethod
        @tg.no_grad()
        def of_class_too(cls):
            return tg.is_grad_enabled(), cls

        @tg.no_grad()
        @staticmethod
        def static():
            return tg.is_grad_enabled(), None

        @tg.no_grad
        def __call__(self):
            return tg.is_grad_enabled(), self

    @tg.no_grad
    class Whole:
        def __call__(self):
            return tg.is_grad_enabled(), self

    class Generator:
        def __call__(self):
            yield tg.is_grad_enabled(), None

    things, whole = Things(), Whole()
    assert things.method() == things() == (False, things)
    assert things.of_class() == Things.of_class() == things.of_class_too() == (False, Things)
    assert things.static() == Things.static() == (False, None)
    assert isinstance(Whole, type)
    assert whole() == (False, whole)
    assert tg.no_grad(things)() == (False, things)
    assert next(tg.no_grad(Generator())()) == (False, None)
    assert tg.no_grad(functools.partial(lambda a: tg.is_grad_enabled(), 1))() is False
    assert inspect.isgeneratorfunction(tg.no_grad(script))
    assert inspect.isasyncgenfunction(tg.no_grad(async_script))

    async def coroutine():
        await asyncio.sleep(0)
        return tg.is_grad_enabled()

    assert inspect.iscoroutinefunction(tg.no_grad(coroutine))
    assert asyncio.run(tg.no_grad(coroutine)()) is False
    for wrong in (3, property(len), type("Empty", (), {})):
        with pytest.raises(DTypeError, match="expected a function to decorate"):
            tg.no_grad(wrong)


def test_an_error_inside_leaves_the_mode():
    with contextlib.suppress(ZeroDivisionError), tg.no_grad():
        _ = 1 / 0
    assert tg.is_grad_enabled()


def test_ctrl_c_while_a_block_is_entered_or_left_leaves_nothing_behind():
    class Interrupted(tg.engine.modes.mode):
        def _value(self, before):
            raise KeyboardInterrupt

    def work(inner):
        with tg.enable_grad():
            inner.__enter__()
            raise KeyboardInterrupt

    for inner in (Interrupted(recording=False), tg.no_grad()):  # as it is entered; as it is left, so that it is not
        with pytest.raises(KeyboardInterrupt):
            work(inner)
        assert tg.is_grad_enabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_fork_waits_for_locks_that_a_child_could_not_get():
    lock = awaited_by_forks(threading.RLock())
    held, order = threading.Event(), []

    def hold():
        with lock:
            held.set()
            time.sleep(0.2)
            order.append("free")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(0 if lock.acquire(False) else 1)
    order.append("forked")
    assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), order) == (0, ["free", "forked"])
    thread.join()
    assert lock.acquire(False)
    lock.release()
