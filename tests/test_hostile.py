"""Bad calls of everything public end in a result or in an error of the library's, within two seconds: see `hostile`."""

import dis
import inspect
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from hostile.calls import Call, outcome
from hostile.surface import Target, keras_model, walk
from hostile.values import HOSTILE, RAISING, BoomError, square

import tinygrad_conv as tg
from tinygrad_conv.arguments import Checked, Setting, kinds_of
from tinygrad_conv.errors import TinygradConvError

ROOT = pathlib.Path(__file__).parent.parent
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
DRAWS, SEED = (20_000, int(time.time()) // 86_400) if NIGHTLY else (1_500, 0)  # other ones every night


def test_bad_calls_are_refused_in_words():
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", "-m", "hostile", str(DRAWS), str(SEED)]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, errors="replace")
    assert (run.returncode, run.stdout) == (0, ""), f"with seed {SEED}:\n{run.stdout}{run.stderr[-2000:]}"


def test_everything_public_is_called():
    names = {target.name for target in walk()}
    for name in tg.__all__:
        thing = getattr(tg, name)
        if callable(thing):
            assert f"tinygrad_conv.{name}" in names
    assert {"tinygrad_conv.nn.Dense", "keras.sequential.Sequential.fit", "tinygrad_conv.testing.check_vjp"} <= names


def raw():
    raise KeyError("x")


def boom():
    raise BoomError


def slow():
    end = time.process_time() + 0.06  # more than is allowed, and much less than what counts as hung
    while time.process_time() < end:
        pass


def endless():
    while True:
        pass


def no_numbers():
    tensor = tg.Tensor([1.0])
    tensor._array = np.array(["a"])
    return tensor


def no_words():
    raise tg.errors.ArgumentError


@pytest.mark.parametrize(
    ("function", "seen"),
    {
        raw: "raw KeyError", boom: "raw BoomError", slow: "took", endless: "hung", no_numbers: "a tensor of <U1",
        no_words: "an error without words",
    }.items(),
)  # fmt: skip
def test_what_is_wrong_is_seen(function, seen):
    call = Call(Target("test", lambda: function, inspect.signature(function)), (), {})
    assert outcome(call, seconds=0.05).startswith(seen)


IMAGE, BATCH = np.ones((1, 4, 4, 1)), [[1.0]]
BATCH.append(BATCH)
STRANGE = [make() for make in RAISING]  # objects that raise when they are looked at
CALLS = {  # which drawn ones have found
    "rules": lambda: [tg.opaque(vjp=x, jvp=x)(square) for x in STRANGE if issubclass(type(x), (tuple, list))],
    "what is decorated": lambda: tg.no_grad(STRANGE[0]),
    "a class of Python's that is decorated": lambda: tg.no_grad(type),
    "which argument": lambda: tg.grad(square, 10**5000)(1.0),
    "a scalar as a batch": lambda: keras_model().as_input(np.uint8(200)),
    "a batch that holds itself": lambda: keras_model().test_on_batch(BATCH),
    "objects as truth values": lambda: tg.logical_and(tg.Tensor([1.0]), np.array([1, None], object)),
    "a range as a shape": lambda: tg.keras.layers.Rescaling(0.5).cost((2, 3), range(10**12)),  # in C, without an end
    "axes that raise": lambda: [tg.nn.Parameter([1.0]).transpose(axes) for axes in STRANGE[:1]],
    "an order that is an array": lambda: tg.ones((2, 3)).flatten(np.ones(3)),
    "an order of lower case": lambda: tg.ones((2, 3)).ravel("f"),
    "more ones than fit": lambda: tg.nn.init.ones((10**6, 10**6)),
    "an array as a truth value": lambda: tg.Tensor(tg.Tensor([1.0]), np.ones(2)),
    "many windows": lambda: tg.adaptive_max_pool2d(IMAGE, 10**7),
    "many integrals": lambda: tg.polyint([1.0], 10**7),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_that_were_found(call):
    with pytest.raises(TinygradConvError):
        call()


@pytest.mark.parametrize("get", [tg.nn.init.get, tg.nn.activations.get])
def test_names_that_raise_when_they_are_looked_at(get):
    for name in STRANGE:
        if not callable(name):
            with pytest.raises(TinygradConvError):
                get(name)


def test_windows_that_are_alike_are_looked_at_once():
    x = np.arange(8.0).reshape(1, 4, 2)
    assert tg.adaptive_max_pool1d(x, 10**6).shape == (1, 10**6, 2)
    assert tg.polyder([1.0, 2.0], 10**9).shape == (0,)


def test_the_memory_that_a_process_may_have_is_known():
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)); import tinygrad_conv as tg;"
    run = subprocess.run(
        [sys.executable, "-c", limited + "tg.keras.metrics.Mean().add_variable(5 * 10**8)"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert "SizeError: Mean.add_variable: expected a result that fits into memory four times" in run.stderr


def with_settings(base):
    for kind in base.__subclasses__():
        if any(isinstance(value, Setting) for value in vars(kind).values()):
            yield kind
        yield from with_settings(kind)


CLASSES = sorted(set(with_settings(Checked)), key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


@pytest.mark.filterwarnings("ignore")  # of NumPy, about matrices
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__[14:]}.{kind.__name__}")
def test_what_a_constructor_refuses_cannot_be_assigned(kind):
    kinds = kinds_of(inspect.unwrap(kind.__init__))
    names = [name for name, value in vars(kind).items() if isinstance(value, Setting)]
    for number, make in enumerate(HOSTILE):
        name, thing, value = names[number % len(names)], object.__new__(kind), make()
        try:
            read = kinds[name].check(kind.__name__, name, make()) if name in kinds else value
        except TinygradConvError as error:
            with pytest.raises(type(error)):
                setattr(thing, name, value)
            assert not vars(thing)
        else:
            setattr(thing, name, value)
            assert name in vars(thing)
            assert name in kinds or vars(thing)[name] is read


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__[14:]}.{kind.__name__}")
def test_a_setting_is_what_the_constructor_assigns(kind):
    """One that it only reads of something else would be found there by who asks for it."""
    code = inspect.unwrap(kind.__init__).__code__
    assigned = {step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"}
    assert {name for name, value in vars(kind).items() if isinstance(value, Setting)} <= assigned


def test_settings_are_those_of_layers_optimisers_and_callbacks():
    found = {f"{kind.__name__}.{name}" for kind in CLASSES for name in vars(kind)}
    assert {"Dropout.rate", "Adam.betas", "Sliding.kernel_size", "EarlyStopping.patience", "Metric.dtype"} <= found
    with pytest.raises(TinygradConvError, match=r"^Dense: expected units to be an int >= 1, got 0"):
        tg.nn.Dense(2).units = 0
    with pytest.raises(AttributeError, match=r"^Dropout: rate cannot be deleted; assign another value"):
        del tg.nn.Dropout(0.5).rate
