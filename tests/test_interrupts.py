"""Ctrl-C on the command line: answered at once, obeyed at the second time, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tinygrad_conv.stopping import Stopped, Stopping

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals")
TRAIN = ["train", "mnist", "--limit", "2000", "--epochs", "10000", "--no-plots"]


@pytest.fixture(autouse=True)
def interruptible():
    """Children inherit what is ignored here, and in a job that a shell runs in the background SIGINT is."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def started(folder, *arguments):
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tinygrad_conv", *arguments], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def ended(process):
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, out, err


def test_ctrl_c_in_an_epoch_is_answered_at_once_and_then_the_rest_is_written(tmp_path):
    process = started(tmp_path, *TRAIN)
    while not process.stdout.readline().startswith("epoch"):
        pass
    time.sleep(0.05)  # into the next epoch
    process.send_signal(signal.SIGINT)
    start = time.perf_counter()
    answer = process.stderr.readline()
    assert time.perf_counter() - start < 5  # half a second where nobody else is at work
    assert "stopping after this batch" in answer
    code, out, err = ended(process)
    assert code == 130
    assert "to go on: --resume" in err
    assert out.splitlines()[-1].startswith("test accuracy")
    assert (tmp_path / "runs" / "mnist-cnn" / "report.html").exists()


def test_the_second_ctrl_c_ends_at_once(tmp_path):
    process = started(tmp_path, *TRAIN)
    while not process.stdout.readline().startswith("epoch"):
        pass
    process.send_signal(signal.SIGINT)
    assert "stopping after this batch" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, err.splitlines()[-1:]) == (130, ["tinygrad-conv: stopped"])
    assert "test accuracy" not in out
    assert not (tmp_path / "runs" / "mnist-cnn" / "report.html").exists()


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
"""
SCRIPT = "import sys\nfrom tinygrad_conv.cli import main\nsys.exit(main())\n"  # what pip makes of an entry point


@pytest.mark.parametrize("name", ["numpy.linalg", "tinygrad_conv.cli", "tqdm"])
@pytest.mark.parametrize("way", ["-m", "tinygrad-conv"])
def test_ctrl_c_while_importing_prints_no_traceback(tmp_path, name, way):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED.format(name=name))
    (tmp_path / "tinygrad-conv").write_text(SCRIPT)
    program = ["-m", "tinygrad_conv"] if way == "-m" else [str(tmp_path / "tinygrad-conv")]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run([sys.executable, *program, *TRAIN], cwd=tmp_path, text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": path}, timeout=120)  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "tinygrad-conv: stopped\n")


def test_other_programs_keep_their_ctrl_c():
    code = "import signal; a = signal.getsignal(2); import tinygrad_conv; assert signal.getsignal(2) is a, 'changed'"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_ctrl_c_means_something_else_it_stays_so():
    def own(*_):
        pass

    before = signal.signal(signal.SIGINT, own)
    try:
        with Stopping("never said") as stopping:
            assert signal.getsignal(signal.SIGINT) is own
        assert signal.getsignal(signal.SIGINT) is own
        stopping.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_once_answered_twice_raised(capfd):
    with Stopping("one moment") as stopping:
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == "one moment\n"
        with pytest.raises(Stopped):
            stopping.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
