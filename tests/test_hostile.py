"""Bad calls of everything public end in a result or in an error of the library's, within two seconds: see `hostile`."""

import inspect
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from hostile.calls import Call, outcome
from hostile.surface import Target, walk
from hostile.values import BoomError

import tinygrad_conv as tg

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
    end = time.process_time() + 0.1
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
