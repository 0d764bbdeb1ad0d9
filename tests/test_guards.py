"""What is changed between forward and backward: the gradient is that of the old values, or `MutationError`.

Every array that goes into an operation is changed, one by one: inputs, data, keywords, arrays in indices, what a
checkpointed function uses. So is what came out.
"""

import copy
import inspect
from functools import partial

import image_cases  # noqa: F401 (adds to them)
import numpy as np
import numpy_cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.engine.guards import arrays_in, checksum, owner_of
from tinygrad_conv.errors import GraphError, MutationError

PRIMITIVES = tg.primitives()
LABELS = np.array([0, 2, 1, 2])
ROWS = np.linspace(-2.0, 3.0, 12).reshape(4, 3)
IMAGE = np.linspace(-1.0, 2.0, 32).reshape(2, 4, 4, 1)
MASK = np.array([True, False, True, True])


def case(f, *args, **params):
    """A function of arrays, and the arrays: all of them are changed, the floats are followed in turn."""
    return f, args, params


COMPOSED = [
    case(lambda x, i: x[i], ROWS, np.array([0, 0, 3])),
    case(lambda x, i: x[1:, i], ROWS, np.array([2, 0])),
    case(lambda x, i, k: x[i, k], ROWS, LABELS, np.array([0, 1, 2, 0])),
    case(lambda x, m: x[m], ROWS, MASK),
    case(tg.take, ROWS, LABELS, axis=1),
    case(tg.take, ROWS, LABELS),
    case(tg.take_along_axis, ROWS, LABELS[:, None]),
    case(tg.set_at, ROWS, MASK, np.ones(3)),
    case(tg.set_at, ROWS, LABELS[:3], ROWS[:3] * 2),
    case(tg.add_at, ROWS, LABELS, ROWS * 2),
    case(lambda x, i: tg.scatter(x, i, (5, 3)), ROWS, LABELS),
    case(lambda x, i: tg.scatter(x, (slice(None), i), (4, 7)), ROWS, np.array([5, 0, 5])),
    case(tg.repeat, ROWS, np.array([1, 0, 2, 3]), axis=0),
    case(tg.embedding, LABELS, ROWS),
    case(tg.softmax_cross_entropy, ROWS, LABELS),
    case(tg.softmax_cross_entropy, ROWS, LABELS[:, None], label_smoothing=0.1),
    case(lambda x, labels, w: tg.softmax_cross_entropy(x, labels, w), ROWS, LABELS, np.ones(4)),
    case(lambda x, t: tg.softmax_cross_entropy(x, t), ROWS, np.eye(4)[:, :3]),
    case(tg.binary_cross_entropy, ROWS, np.eye(4)[:, :3]),
    case(lambda x, t, w: tg.mse(x, t, w), ROWS, ROWS[::-1].copy(), np.ones(4)),
    case(tg.mae, ROWS, ROWS[::-1].copy()),
    case(tg.huber, ROWS, ROWS[::-1].copy()),
    case(tg.hinge, ROWS, np.sign(ROWS[::-1])),
    case(tg.kl_divergence, np.full((4, 3), 1 / 3), np.eye(4)[:, :3]),
    case(lambda x, low, high: tg.clip(x, low, high), ROWS, np.full(3, -1.0), np.full(3, 1.0)),
    case(lambda x, s: tg.leaky_relu(x, negative_slope=s), ROWS, np.full(3, 0.2)),
    case(lambda x, a: tg.elu(x, a), ROWS, np.full(3, 0.2)),
    case(tg.where, MASK[:, None], ROWS, ROWS * 2),
    case(lambda x, c: tg.pad(x, 1, constant_values=c), ROWS, np.float64(2.0).reshape(())),
    case(tg.conv2d, IMAGE, np.ones((2, 2, 1, 3)), np.zeros(3)),
    case(tg.conv2d_transpose, IMAGE, np.ones((2, 2, 3, 1)), np.zeros(3), stride=2),
    case(tg.depthwise_conv2d, IMAGE, np.ones((2, 2, 1, 2))),
    case(tg.locally_connected2d, IMAGE, np.ones((2, 2, 9, 2))),
    case(lambda x, g, b: tg.batch_norm(x, g, b)[0], ROWS, np.ones(3), np.zeros(3)),
    case(lambda x, g, b, m, v: tg.batch_norm(x, g, b, m, v), ROWS, np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)),
    case(tg.layer_norm, ROWS, np.ones(3), np.zeros(3)),
    case(tg.max_pool2d, IMAGE),
    case(tg.avg_pool2d, IMAGE),
    case(tg.global_max_pool, IMAGE),
    case(partial(tg.einsum, "ij,jk,kl->il"), ROWS, ROWS.T, ROWS),
    case(tg.dot, ROWS, ROWS.T),
    case(tg.outer, ROWS[0], ROWS[1]),
    case(lambda *xs: tg.stack(xs), ROWS, ROWS * 2),
    case(lambda *xs: tg.concat(xs, axis=1) ** 2, ROWS, ROWS * 2),
    case(tg.solve, ROWS[:3] + 4 * np.eye(3), ROWS[:3]),
    case(tg.prod, ROWS[:2] + 5),
    case(lambda x: tg.max(x, axis=1), ROWS),
    case(lambda x: tg.std(x, axis=1, ddof=1), ROWS),
    case(lambda x: tg.dropout(x * 3, 0.5, np.random.default_rng(0)), ROWS),
    case(tg.checkpoint(lambda x, i: tg.exp(x)[i]), ROWS, LABELS),
]  # fmt: skip


def writable(value):
    """The same with copies of its arrays that may be written to."""
    if isinstance(value, np.ndarray):
        return np.array(value)
    if isinstance(value, (tuple, list)):
        return type(value)(map(writable, value))
    return {k: writable(v) for k, v in value.items()} if isinstance(value, dict) else copy.copy(value)


def change(array):
    """Other values that are as good as these: an index stays in range."""
    if array.dtype.kind == "f":
        array += 1.5
    else:
        array[...] = ~array if array.dtype.kind == "b" else (array == 0)


def gradients(f, args, params, wrapped, alter, how):
    """Of f by the arguments in `wrapped`; between forward and backward `alter(args and keywords, y)` runs."""
    args, params = writable(args), writable(params)
    given = [tg.Tensor(a, requires_grad=k in wrapped) if k in wrapped else a
             for k, a in enumerate(args)]  # fmt: skip
    leaves = [given[k] for k in wrapped]
    if how == "forward":

        def altered(*values):
            every = list(given)
            for k, value in zip(wrapped, values, strict=True):
                every[k] = value
            y = f(*every, **params)
            alter((args, params), y)
            return y

        tangents = tuple(np.cos(np.arange(args[k].size)).reshape(args[k].shape) for k in wrapped)
        return [tg.jvp(altered, tuple(args[k] for k in wrapped), tangents)[1].numpy()]
    y = f(*given, **params)
    cotangent = np.cos(np.arange(y.size)).reshape(y.shape)
    if how == "second":
        y.backward(cotangent, create_graph=True)
        firsts = [leaf.grad for leaf in leaves]
        loss = sum(((g * g).sum() for g in firsts if g is not None and g.requires_grad), tg.Tensor(0.0))
        if not loss.requires_grad:
            return []
        alter((args, params), y)
        for leaf in leaves:
            leaf.zero_grad()
        loss.backward()
    else:
        alter((args, params), y)
        y.backward(cotangent)
    return [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


def check(f, args, params):
    """Change each array in turn, and the output."""
    floats = [k for k, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    count = len(list(arrays_in((writable(args), writable(params)))))
    for wrapped in [floats, *([k] for k in floats if len(floats) > 1)]:
        for how in ("backward", "forward", "second"):
            with np.errstate(all="ignore"):
                try:
                    expected = gradients(f, args, params, wrapped, lambda *_: None, how)
                except GraphError as error:
                    if "expected data as" in str(error):  # a keyword, which cannot be followed
                        continue
                    raise
            for k in range(count + 1):

                def alter(given, y, k=k):
                    change(list(arrays_in(given))[k] if k < count else y.numpy())

                try:
                    with np.errstate(all="ignore"):
                        got = gradients(f, args, params, wrapped, alter, how)
                except MutationError:
                    continue
                except ValueError as error:
                    if "read-only" in str(error):  # the output is a view that nobody can change
                        continue
                    raise
                for a, b in zip(got, expected, strict=True):
                    np.testing.assert_array_equal(a, b, f"array {k} of {count}, followed: {wrapped}, {how}")


@pytest.mark.parametrize("k", range(len(COMPOSED)))
def test_a_changed_array_is_noticed_or_does_no_harm(k):
    check(*COMPOSED[k])


@pytest.mark.parametrize(
    "name", [n for n in PRIMITIVES if PRIMITIVES[n].forward.__module__.startswith("tinygrad_conv.")]
)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**16))
def test_of_every_primitive(name, seed):
    primitive = PRIMITIVES[name]
    draw = tg.testing.Draw.seeded(seed)
    args, params = sample(primitive, draw)
    if args and all(np.size(a) for a in args):
        check(primitive.operation, args, params)


def joined(result):
    """One tensor of all that is floating in a result."""
    if isinstance(result, (tuple, list)):
        parts = [part for part in result if isinstance(part, tg.Tensor) and part.dtype.kind in "fc"]
        return tg.concat([tg.reshape(part, (-1,)) for part in parts])
    return result


@pytest.mark.parametrize("group", numpy_cases.CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_of_numpys_functions(group):
    for case in numpy_cases.CASES[group]:
        called = inspect.getclosurevars(case.ours).nonlocals
        f, params = called.get("ours", case.ours), called.get("keywords", {})
        if case.gradient and case.name != "broadcast_arrays":  # which gives back what is not followed as it is
            check(lambda *args, f=f, **params: joined(f(*args, **params)), case.args, params)


def sample(primitive, draw):
    samples = primitive.samples or (lambda d: d.elementwise_sample(primitive.domain))
    return samples(draw)


@pytest.mark.parametrize("name", list(PRIMITIVES))
@settings(max_examples=15)
@given(seed=st.integers(0, 2**16))
def test_results_and_residuals_are_no_memory_of_a_second_input(name, seed):
    """So the operations of the library need not look for it (see `operation`)."""
    primitive = PRIMITIVES[name]
    args, params = sample(primitive, tg.testing.Draw.seeded(seed))
    result = primitive.forward(*args, **params)
    y, residual = result if primitive.has_residual else (result, None)
    memory = {id(owner_of(a)) for a in arrays_in((args, params))}
    assert not any(id(owner_of(array)) in memory for array in arrays_in(residual))
    if len(args) > 1:
        assert not any(id(owner_of(array)) in memory for array in arrays_in(y))


def f_and_mutable(closure):
    """A checkpointed function that uses something, and what changes that."""
    w = tg.nn.Parameter(np.linspace(0.5, 2.0, 3))
    optimizer = tg.optim.SGD([w], lr=0.1)
    array, number = np.ones(3), [2.0]
    fed = tg.Tensor(np.ones(3))

    def replace():
        w.data = w.data * 2

    def write():
        w.data[...] *= 2

    def step():
        w.grad = np.ones(3)
        optimizer.step()

    return {
        "replaced": (lambda x: x * w, replace),
        "written to": (lambda x: x * w, write),
        "optimizer": (lambda x: x * w, step),
        "array": (lambda x: x * array, lambda: array.__setitem__(0, 7.0)),
        "number": (lambda x: x * number[0], lambda: number.__setitem__(0, 7.0)),
        "more outputs": (lambda x: [x] * int(number[0]), lambda: number.__setitem__(0, 3)),
        "shape": (lambda x: (x * w).reshape(-1) if number[0] == 2 else (x * w).reshape(1, -1),
                  lambda: number.__setitem__(0, 3)),
        "no graph": (lambda x: x * w if number[0] == 2 else (x * w).detach(), lambda: number.__setitem__(0, 3)),
        "data": (lambda x: x * fed, lambda: setattr(fed, "data", np.zeros(3))),
    }[closure]  # fmt: skip


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    "closure",
    ["replaced", "written to", "optimizer", "array", "number", "more outputs", "shape", "no graph", "data"],
)
def test_a_checkpoint_notices_what_its_function_uses(closure, zero):
    f, change_it = f_and_mutable(closure)
    x = tg.Tensor(np.zeros(3) if zero else np.arange(1.0, 4.0), requires_grad=True)
    result = tg.checkpoint(f)(x)
    loss = sum(tg.sum(part) for part in (result if isinstance(result, list) else [result]))
    change_it()
    if zero and closure in ("array", "number", "data"):  # the outputs are zeros before and after
        return
    with pytest.raises(MutationError, match=r"checkpoint\(<lambda>\): .*gradient would be wrong"):
        loss.backward()


def test_a_checkpoint_runs_again_as_it_ran_at_first():
    """With the kernels of then, and NumPy's errors handled as then."""
    x = tg.Tensor(np.random.default_rng(0).random((2, 8, 8, 1), "float32"), requires_grad=True)
    seen = []

    def f(x):
        seen.append((np.geterr()["divide"], tg.is_grad_enabled()))
        return tg.max_pool2d(tg.conv2d(x, np.ones((3, 3, 1, 4), "float32")), 2)

    with tg.use_kernels("plain"), np.errstate(divide="ignore"):
        y = tg.checkpoint(f)(x).sum()
    y.backward()
    assert seen == [("ignore", True)] * 2


def test_a_checkpoint_of_two_dtypes_keeps_them():
    x = tg.Tensor(np.ones(2, "float32"), requires_grad=True)
    a, b = tg.checkpoint(lambda x: (x * 2, tg.astype(x, "float64")))(x)
    assert (a.dtype, b.dtype) == (np.float32, np.float64)
    (a.sum() + b.sum()).backward()
    assert x.grad.tolist() == [3.0, 3.0]


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("tinygrad_conv.engine.primitive._registry", {})


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("way", ["array", "part", "tuple", "dict"])
def test_a_residual_in_the_users_memory_is_watched(way):
    pick = {"array": lambda r: r, "part": lambda r: r, "tuple": lambda r: r[1], "dict": lambda r: r["a"][0]}[way]
    pack = {
        "array": lambda a: a, "part": lambda a: a[::-1][::-1], "tuple": lambda a: (1, a), "dict": lambda a: {"a": [a]},
    }[way]  # fmt: skip

    @tg.opaque(
        vjp=(lambda g, residual: g * pick(residual), lambda g: 0 * g), jvp=(lambda t: t, lambda t: t), residual=True
    )
    def scaled(x, by):
        return x * by, pack(by)

    for by in (np.ones(3), tg.Tensor(np.ones(3)), tg.Tensor(np.ones(3)) * 1):
        x = tg.Tensor(np.ones(3), requires_grad=True)
        y = scaled(x, by)
        (by if isinstance(by, np.ndarray) else by.numpy())[0] = 5
        with pytest.raises(MutationError, match="scaled: its saved residual"):
            y.sum().backward()


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("followed", [True, False])
def test_a_result_in_the_memory_of_a_second_input_is_watched(followed):
    @tg.linear((lambda g: 0 * g, lambda g: g), jvp=(lambda t: 0 * t, lambda t: t))
    def second(x, a):
        return a[:]

    x, a = tg.Tensor(np.ones(3), requires_grad=True), np.ones(3)
    y = second(x if followed else x.detach(), a)
    z = (y * x).sum()
    a[0] = 5
    with pytest.raises(MutationError, match="multiply"):
        z.backward()


@pytest.mark.usefixtures("registry")
def test_keywords_are_kept_as_they_were():
    @tg.linear(lambda g, how: g * how["by"][0][0])
    def scaled(x, how):
        return x * how["by"][0][0]

    x, by = tg.Tensor(np.ones(3), requires_grad=True), np.full(3, 2.0)
    how = {"by": [(by,), None]}
    y = scaled(x, how=how)
    by[:], how["by"] = 7.0, None
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_what_else_holds_numbers_is_copied():
    from array import array

    x = tg.Tensor(np.ones(3), requires_grad=True)
    for data in ([1.0, 2.0, 3.0], array("d", [1.0, 2.0, 3.0]), [np.ones(3)], memoryview(bytearray(24)).cast("d")):
        expected = np.array(data, dtype=float)
        y = x * data
        (data if not isinstance(data[0], np.ndarray) else data[0])[0] = 9.0
        x.zero_grad()
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, expected.reshape(3))


def test_a_subclass_is_watched(tmp_path):
    memory = np.memmap(tmp_path / "a", "float64", "w+", shape=3)
    memory[:] = 2
    x = tg.Tensor(np.ones(3), requires_grad=True)
    y = x * memory
    memory[0] = 5
    with pytest.raises(MutationError, match="multiply"):
        y.sum().backward()


def test_hooks_and_kept_gradients_do_not_write_to_each_other():
    a, b = (tg.Tensor(np.ones(2), requires_grad=True) for _ in "ab")
    x, y = (a * 1).retain_grad(), (b * 1).retain_grad()
    a.register_hook(lambda g: g.numpy().__setitem__(0, 5.0))
    with pytest.raises(ValueError, match="read-only"):
        (x + y).sum().backward(retain_graph=True)


def test_a_gradient_kept_twice_adds_up_and_goes_on_as_it_is():
    a = tg.Tensor(np.ones(2), requires_grad=True)
    x = (a * 3).retain_grad()
    y, z = x.sum(), tg.Tensor([5.0, 5.0])
    for _ in range(2):
        y.backward(retain_graph=True)
    assert (x.grad.tolist(), a.grad.tolist()) == ([2, 2], [6, 6])
    x.grad.numpy()[0] = 99.0
    assert a.grad.tolist() == [6, 6]
    a.zero_grad()
    a.register_hook(lambda g: z)
    y.backward()
    a.grad.numpy()[0] = 7.0
    assert z.tolist() == [5, 5]


def test_an_array_that_is_saved_twice_is_guarded_once():
    """A fingerprint of a large array takes as long as the product."""
    values = np.ones(5)
    x = tg.Tensor(values, requires_grad=True)
    y, other = x * x, x * tg.Tensor(np.ones(5), requires_grad=True)
    assert (len(y.node.guards), len(other.node.guards)) == (1, 2)
    values[3] = 2.0
    with pytest.raises(MutationError, match="saved input 0"):
        y.sum().backward()


CHANGES = {
    "one bit": lambda raw, a, b: raw.__setitem__(a, raw[a] ^ 1 << b % 8),
    "the last byte": lambda raw, a, b: raw.__setitem__(-1, raw[-1] ^ 1),
    "two equal bits": lambda raw, a, b: np.bitwise_xor.at(raw, [a, b], np.uint8(128)),
    "signs of all numbers": lambda raw, a, b: np.bitwise_xor(raw[3::4], 128, out=raw[3::4]),
    "signs of every second number": lambda raw, a, b: np.bitwise_xor(raw[7::8], 128, out=raw[7::8]),
    "two numbers change places": lambda raw, a, b: _swap(raw, a & -8, b & -8, 8),
    "two blocks change places": lambda raw, a, b: _swap(raw, 0, size := 1 << (18 if len(raw) > 1 << 19 else 15), size),
    "rotated": lambda raw, a, b: raw.__setitem__(slice(None), np.roll(raw, 8)),
}


def _swap(raw, a, b, size):
    raw[a : a + size], raw[b : b + size] = raw[b : b + size].copy(), raw[a : a + size].copy()


@pytest.mark.parametrize("change", CHANGES)
@given(
    kind=st.sampled_from(["random", "zeros", "ones", "NaN"]), large=st.booleans(), seed=st.integers(0, 2**32),
    tail=st.integers(0, 7),
)  # fmt: skip
def test_a_checksum_tells_any_change(change, kind, large, seed, tail):
    """Of signs of zero and of NaN's other bits too, and of bytes that are no whole word."""
    rng = np.random.default_rng(seed)
    raw = np.zeros((600_000 if large else 70_000) + tail, np.uint8)
    numbers = raw[: len(raw) & -8].view("f4")
    numbers[:] = {"random": rng.random(len(numbers)), "zeros": 0, "ones": 1, "NaN": np.nan}[kind]
    before, old = checksum(raw), raw.copy()
    assert checksum(raw[::-1][::-1]) == before
    a, b = rng.choice(len(raw) - 8, 2, replace=False)
    CHANGES[change](raw, a, b)
    assert (checksum(raw) == before) == np.array_equal(raw, old)


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "i2", "?", ">f8", "U1"])
def test_a_checksum_is_of_the_elements_in_order(dtype):
    whole = (np.arange(90_000) % 5).reshape(300, 300).astype(dtype)
    assert checksum(whole.T) == checksum(whole.T.copy()) != checksum(whole)
    assert checksum(whole[::2, ::3]) == checksum(whole[::2, ::3].copy())
    assert checksum(np.frombuffer(b"0" + whole.tobytes(), np.uint8)[1:]) == checksum(whole)
