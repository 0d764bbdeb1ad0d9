"""The command line says what is wrong in one line, whatever it is given: words are drawn, and files that do not run."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.cli import main

DRAWS = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 60

GOOD = """
import tinygrad_conv as tg
net = tg.nn.Sequential(tg.nn.Dense(2, in_features=3))
number, tensor = 3, tg.Tensor([1.0], requires_grad=True) * 2
def double(x): return x * 2
def bad(x): return 1 / 0
def nothing(x): return None
def endless(x): return endless(x)
class Plain: pass
class Needs:
    def __init__(self, size): pass
"""
FILES = {
    "good.py": GOOD, "syntax.py": "def f(:\n", "raises.py": "1 / 0\n", "two_lines.py": 'raise KeyError("a\\nb")\n',
    "imports.py": "import nothing_like_this\n", "endless.py": "def f(): return f()\nf()\n", "zero.py": "\0",
    "stops.py": 'raise SystemExit("no")\n', "odd_stop.py": "raise SystemExit(3.5)\n", "cut.json": '{"a":',
    "deep.json": "[" * 100_000, "weights.npz": "PK\3\4junk", "bad.png": "\x89PNG junk", "empty.png": "",
}  # fmt: skip
NAMES = ("net", "number", "tensor", "double", "bad", "nothing", "endless", "Plain", "Needs", "none")
TARGETS = [f"good.py:{name}" for name in NAMES] + [f"{name}:f" if ".py" in name else name for name in FILES]
WORDS = [
    "", "x", "-1", "0", "1", "2", "nan", "1e400", "9" * 400, "é", "\ud800", "a" * 5000, "\0", "a\nb", "..", "/", ".",
    "~", "/dev/null", "/dev/full", "--", "-h", "mnist", "lenet", "1x3", "0x0", "99999999999x9", "٣", "1_0", "tanh", "[",
    "TB", "good.py:net", "good.py:", ":", "out.svg", "out.html", "out.json", "out.txt", "no/where/x.svg", "ok.png",
    "units", "sgd", "time",
]  # fmt: skip
COMMANDS = {  # a call that works, as far as it goes, and the options
    "train": (["mnist", "--limit", "20", "--epochs", "1", "--no-plots", "--quiet"], ["--model", "--data-dir",
              "--epochs", "--batch-size", "--optimizer", "--lr", "--seed", "--out", "--name", "--resume", "--limit"]),
    "predict": (["ok.png"], ["--weights"]),
    "summary": ([], []),
    "draw": ([], ["--input", "--out", "--against", "--level", "--backward", "--color", "--direction", "--style"]),
    "check": (["tanh", "--examples", "1"], ["--seed", "--quiet"]),
    "check good.py:double": (["--examples", "1", "--input", "2"], ["--seed", "--quiet", "--input", "--vjp"]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.arange(784, dtype="uint8").reshape(28, 28)).save("ok.png")
    (tmp_path / "graph.json").write_text(tg.graph.snapshot(tg.exp, 1.0).to_json())
    return tmp_path


def refused(capsys, argv):
    """The line that a command ends with."""
    assert main(argv) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("tinygrad-conv: error: ")
    return line


@pytest.mark.parametrize("name", ["syntax.py", "raises.py", "two_lines.py", "imports.py", "endless.py"])
def test_a_file_that_does_not_run_is_named(name, capsys):
    line = refused(capsys, ["draw", f"{name}:f"])
    assert name in line
    assert "Traceback" not in line


def test_a_file_that_ends_python_ends_the_command():
    assert (main(["draw", "stops.py:f"]), main(["draw", "odd_stop.py:f"])) == (1, 1)


def test_draw_without_an_input_names_the_flag(capsys):
    assert "give the shape of each with --input" in refused(capsys, ["draw", "good.py:double"])


def test_python_shows_the_traceback_if_asked_to(folder):
    run = [sys.executable, "-X", "dev", "-m", "tinygrad_conv", "draw", "raises.py:f"]
    assert "Traceback" in subprocess.run(run, capture_output=True, text=True).stderr


def test_drawn_words(capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    rng = random.Random(0)
    for _ in range(DRAWS):
        name = rng.choice([*COMMANDS, "draw", "draw", "predict", "x"])
        start, options = COMMANDS.get(name, ([], []))
        argv = [*name.split(), *start] + [rng.choice(TARGETS)] * (name == "draw")
        for _ in range(rng.randrange(4)):
            if options and rng.random() < 0.6:
                argv.append(rng.choice(options))
            argv.append(rng.choice(WORDS + TARGETS))
        code = main(argv)
        out, err = capsys.readouterr()
        assert code in (0, 1, 2), argv
        assert "Traceback" not in out + err, argv
        assert code != 2 or "tinygrad-conv: error: " in err, argv
