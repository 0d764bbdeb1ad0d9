"""``tinygrad-conv check MODULE:function``: a user's own function."""

import shlex
import sys

import pytest

from tinygrad_conv.cli import main

OURS = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
import tinygrad_conv as tg

@dataclass
class Settings:  # which look for their module
    size: int = 3

def sine(x): return np.sin(x)
def sine_vjp(g, x): return g * np.cos(x)
def wrong_vjp(g, x): return g * np.sin(x)
def product(x, w): return tg.tanh(x @ w)
def late(x): return x + (tg.stop_gradient(tg.square(x)) if float(x.detach().sum()) < 0 else 0)
def logarithm(x): return tg.log(x)
def arrays(x): return np.asarray(x.detach()) * 2
def nothing(x): return None
def noise(x): return x * np.random.rand()
def net(): return tg.nn.Sequential(tg.nn.Dense(2, in_features=3))
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_users_own.py").write_text(OURS)
    yield
    sys.modules.pop("a_users_own", None)


def check(*words):
    return main(["check", *words, "--examples", "4"])


@pytest.mark.parametrize("words", [
    "a_users_own.py:product --input 2x3 --input 3x2", "a_users_own:product --input 2x3 --input 3x2",
    "a_users_own:logarithm --input 3", "a_users_own.py:net --input 2x3", "tinygrad_conv:softmax --input 2x3",
])  # fmt: skip
def test_a_right_gradient(words, capsys):
    assert check(*words.split()) == 0
    first, how = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{words.split()[0]}, a function of tensors: its gradient is right, at 4 examples of (")
    assert how == "  checked in forward and reverse mode, to second order"
    assert check(*words.split(), "--quiet") == 0
    assert capsys.readouterr().out.splitlines() == [first]


def test_numpy_with_a_vjp(capsys):
    assert check("a_users_own:sine", "--input", "2x3", "--vjp", "a_users_own.py:sine_vjp") == 0
    out = capsys.readouterr().out
    assert out.startswith("a_users_own:sine, a NumPy function with its vjp: its gradient is right")
    assert "checked in reverse mode, to first order" in out


@pytest.mark.parametrize("words", [
    "a_users_own.py:sine --input 2x3 --vjp a_users_own:wrong_vjp", "a_users_own.py:late --input 3"
])  # fmt: skip
def test_a_wrong_gradient_is_reported_and_replayed_by_one_command(words, capsys):
    assert check(*words.split()) == 1
    out = capsys.readouterr().out
    assert "worst element" in out
    assert ": its gradient is wrong, at example " in out.splitlines()[-1]
    replay = shlex.split(next(line for line in out.splitlines() if line.startswith("replay: tinygrad-conv check ")))
    assert main(replay[2:]) == 1
    analytic = [line for line in out.splitlines() if "analytic" in line]
    assert analytic == [line for line in capsys.readouterr().out.splitlines() if "analytic" in line]


@pytest.mark.parametrize(("words", "said"), [
    ("a_users_own:product --input 2x3", r"takes (x, w), got 1 argument: give the shape of each with --input"),
    ("a_users_own:sine", "takes (x), got 0 arguments"),
    ("a_users_own:sine --input 2y", "expected a shape such as 1x28x28x1, got '2y'"),
    ("a_users_own:sine --input 999999999x999999999", "memory"),
    ("a_users_own:nix --input 3", "a_users_own has no 'nix'; it has"),
    ("numpy:tanhh --input 3", "numpy has no 'tanhh'; it has tanh"),
    ("a_users_other:f --input 3", "there is no module 'a_users_other'; for a file, write FILE.py:name"),
    ("no.py:f --input 3", "cannot read 'no.py'"), (":f", "expected FILE.py:name or MODULE:name"),
    ("a_users_own:number --input 3", "expected a function or a module, got a_users_own:number, which is int"),
    ("a_users_own:arrays --input 3", "expected a function that returns a tensor, got ndarray"),
    ("a_users_own:nothing --input 3", "returned nothing"), ("a_users_own:noise --input 3", "not deterministic"),
    ("tanh --input 3", "--input and --vjp are of FILE.py:name or MODULE:name"),
    ("tanh --vjp a_users_own:sine_vjp", "--input and --vjp are of FILE.py:name or MODULE:name"),
    ("a_users_own:sine --input 3 --vjp a_users_own:nix", "a_users_own has no 'nix'"),
])  # fmt: skip
def test_what_cannot_be_checked_is_said_in_a_line(words, said, capsys):
    assert check(*words.split()) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tinygrad-conv: error: ")
    assert said in err


OTHERS = {
    "torch": """
import torch
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3
    @staticmethod
    def backward(ctx, g):
        return g * FACTOR * ctx.saved_tensors[0] ** 2
def cube(x): return inside(x)
def inside(x): return Cube.apply(x)
def linear(): return torch.nn.Linear(3, 2)
""",
    "jax": """
import jax
@jax.custom_vjp
def cube(x): return x**3
cube.defvjp(lambda x: (x**3, x), lambda x, g: (g * FACTOR * x**2,))
@jax.jit
def jitted(x): return cube(x)
""",
    "autograd": """
from autograd.extend import defvjp, primitive
@primitive
def cube(x): return x**3
defvjp(cube, lambda y, x: lambda g: g * FACTOR * x**2)
""",
}
CALLS = [
    ("torch", "cube", "a PyTorch function"), ("torch", "Cube", "a PyTorch function"),
    ("torch", "linear", "a PyTorch module"), ("jax", "cube", "a JAX function"), ("jax", "jitted", "a JAX function"),
    ("autograd", "cube", "an autograd function"),
]  # fmt: skip


@pytest.mark.peer
@pytest.mark.parametrize(("library", "name", "what"), CALLS)
def test_functions_of_other_libraries(library, name, what, tmp_path, capsys):
    pytest.importorskip(library)
    for factor in (3, 2):
        (tmp_path / "others.py").write_text(OTHERS[library].replace("FACTOR", str(factor)))
        right = factor == 3 or name == "linear"
        assert check(f"others.py:{name}", "--input", "2x3") == (0 if right else 1)
        out = capsys.readouterr().out
        assert f"others.py:{name}, {what}: its gradient is {'right' if right else 'wrong'}" in out
        assert right or "a factor: analytic = 0.66666667 * numeric" in out


@pytest.mark.peer
def test_what_a_library_cannot_do_is_said(tmp_path, capsys):
    pytest.importorskip("jax")
    (tmp_path / "others.py").write_text(OTHERS["jax"].replace("FACTOR", "3"))
    assert check("others.py:cube", "--input", "2") == 0
    assert "  left out: forward mode (" in capsys.readouterr().out


@pytest.mark.peer
def test_functions_of_mygrad(tmp_path, capsys):
    pytest.importorskip("mygrad")
    (tmp_path / "others.py").write_text("import mygrad as mg\ndef f(x): return mg.tanh(x) * x\n")
    assert check("others.py:f", "--input", "2") == 0
    assert capsys.readouterr().out.startswith("others.py:f, a MyGrad function: its gradient is right")
