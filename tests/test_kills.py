"""Runs that are killed at drawn moments, inside each write too: every file is whole, and they go on to the bit."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import settings

from tinygrad_conv import files
from tinygrad_conv.cli import main
from tinygrad_conv.errors import DataError
from tinygrad_conv.train.job import one_thread
from tinygrad_conv.train.run import Images, Run, Settings

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children that it forks")
KILLS = 300 if settings().max_examples >= 1000 else 9  # in the nightly profile, and else

# A process that does jobs in children of its own. The step at which a child is killed is one of: before and after each
# call that changes the disk, in the middle of each piece that is written, and each batch.
DRIVER = """
import functools, json, os, signal, sys
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv.cli import main
from tinygrad_conv.files import writing
from tinygrad_conv.graph.drawing import render
from tinygrad_conv.keras import callbacks, layers
from tinygrad_conv import stopping

count, last = 0, 0

def step(*_):
    global count
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)

def around(function):
    def call(*args, **kwargs):
        step()
        result = function(*args, **kwargs)
        step()
        return result
    return call

class InPieces:
    def __init__(self, file):
        self.file = file

    def write(self, data):
        data = bytes(data)
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        step()
        return len(data[: len(data) // 2]) + self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name):
        return getattr(self.file, name)

def watched():
    for name in ("open", "chmod", "fsync", "replace", "rename", "mkdir", "unlink"):
        setattr(os, name, around(getattr(os, name)))
    fill = writing._fill
    writing._fill = lambda file, content: fill(InPieces(file), content)
    stopping.Stopping.check = step

class Batches(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        step()

def fit(folder):
    tg.keras.utils.set_random_seed(0)
    model = tg.keras.Sequential([tg.keras.Input((2,)), layers.Dense(3), layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(40, 2))
    saving = callbacks.ModelCheckpoint(f"{folder}/best.npz", monitor="loss", save_best_only=True)
    calls = [Batches(), saving, callbacks.CSVLogger(f"{folder}/log.csv")]
    model.fit(x, x[:, :1], epochs=3, batch_size=8, verbose=0, callbacks=calls)

render._run_engine = functools.cache(render._run_engine)  # the pictures are the same in all children
stdout, sys.stdout = sys.stdout, open(os.devnull, "w")
for job in json.loads(sys.argv[1]):  # so that the children have imported everything, and drawn it
    fit(job) if isinstance(job, str) else main(job)
sys.stdout = stdout
for line in sys.stdin:
    last, job = json.loads(line)
    child = os.fork()
    if not child:
        sys.stdout = open(os.devnull, "w")
        watched()
        code = fit(job) if isinstance(job, str) else main(job)
        os.write(1, (json.dumps([code or 0, count]) + "\\n").encode())
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        print(json.dumps([None, 0]), flush=True)
"""


@pytest.fixture(scope="module")
def do(tmp_path_factory):
    """Do a job in a process that is killed at a step of it: its exit code (None if it was killed) and its steps."""
    folder = tmp_path_factory.mktemp("before")
    first = [str(folder), *(training(folder / model, model, "--epochs", "1") for model in MODELS)]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(first)], text=True, bufsize=1, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def do(job, last=0):
        driver.stdin.write(json.dumps([last, job]) + "\n")
        return json.loads(driver.stdout.readline())

    yield do
    driver.stdin.close()
    driver.stdout.close()
    driver.wait()


MODELS = {  # dropout, every state of optimisers, checkpoints within epochs
    "dense": [], "cnn": ["--optimizer", "sgd", "--checkpoint-every", "1"], "keras-convnet": ["--checkpoint-every", "2"],
}  # fmt: skip


def training(out, model, *more):
    size = "40" if model != "dense" else "100"
    return ["train", "mnist", "--limit", size, "--model", model, "--batch-size", "16", *MODELS[model], "--no-plots",
            "--quiet", "--out", str(out), "--name", "run", *more]  # fmt: skip


def outcome(folder):
    """All that a run leaves, but for the time that it took."""
    assert_whole(folder)
    assert {path.name for path in folder.iterdir() if not path.match("microscope-*.html")} == {
        "settings.json", "checkpoint.npz", "weights.npz", "history.csv", "results.json", "graph.svg", "graph.html",
        "report.html",
    }  # fmt: skip
    with np.load(folder / "checkpoint.npz") as arrays:
        about = json.loads(str(arrays["about"]))
        state = {name: arrays[name].tobytes() for name in arrays.files if name != "about"}
    alike = "settings.json", "weights.npz", "history.csv", "graph.svg", "graph.html"
    same = {name: (folder / name).read_bytes() for name in alike}
    return same, state, about["history"], about["layers"]


ENDS = {".html": b"</html>\n", ".svg": b"</svg>\n", ".csv": b"\n", ".json": b"}\n"}


def assert_whole(folder):
    for path in folder.rglob("*"):
        if path.is_file() and not path.match(files.UNFINISHED) and path.name != ".lock":
            if path.suffix == ".npz":
                with np.load(path) as arrays:
                    assert all(arrays[name] is not None for name in arrays.files)
            else:
                assert path.read_bytes().endswith(ENDS[path.suffix]) or (path.name, path.stat().st_size) == (
                    "log.csv",
                    0,
                )


@pytest.mark.parametrize("model", MODELS)
def test_a_run_that_is_killed_goes_on_to_the_bit(model, do, tmp_path):
    whole = training(tmp_path / "whole", model, "--epochs", "3")
    code, steps = do(whole)
    assert code == 0
    expected = outcome(tmp_path / "whole" / "run")
    rng = np.random.default_rng(sum(map(ord, model)))
    for number in range(KILLS // 3):
        out = tmp_path / str(number)
        before = "3" if number % 2 else "2"  # with more epochs, the settings are written anew when it goes on
        jobs = [training(out, model, "--epochs", before), training(out, model, "--epochs", "3", "--resume")]
        ended = None
        for again in range(6):
            started = (out / "run").exists()
            last = int(rng.integers(1, steps)) if again < 2 else 0
            ended, _ = do(jobs[started], last)
            if (out / "run").exists():
                assert_whole(out / "run")
            if again >= 2 and started:
                break
        assert ended == 0
        assert outcome(out / "run") == expected
        assert {path.name for path in out.iterdir() if not path.match(files.UNFINISHED)} == {"run"}


def test_a_fit_that_is_killed_leaves_whole_files(do, tmp_path):
    _, steps = do(str(tmp_path / "whole"))
    rng = np.random.default_rng(0)
    for last in rng.integers(1, steps, size=KILLS):
        ended, _ = do(str(tmp_path / "killed"), int(last))
        assert ended in (None, 0)  # where there are files already, there are fewer steps
        assert_whole(tmp_path / "killed")


def test_a_run_goes_on_from_each_step(tmp_path):
    """Also from the last of an epoch, which may be a short batch."""
    settings = Settings.of({"model": "keras-convnet", "limit": 40, "epochs": 2, "batch_size": 16})
    images, run = Images.of(settings, None), Run(settings)

    def weights(run):
        return [array.tobytes() for array in run.model.state_dict().values()]

    with one_thread():
        for _ in range(2):
            run.epoch(images, lambda loss: run.save(tmp_path / f"{run.optimizer.steps}.npz"))
        assert len(list(tmp_path.iterdir())) == 6
        for path in tmp_path.iterdir():
            again = Run(settings)
            again.load(path)
            while len(again.history) < 2:
                again.epoch(images, bool)
            assert again.history == run.history, path.name
            assert weights(again) == weights(run), path.name


FULL = """
import resource, sys
from tinygrad_conv.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("name", ["settings.json", "graph.svg"])
def test_on_a_full_disk_there_is_one_line_and_the_old_files(name, tmp_path):
    assert main(training(tmp_path, "dense", "--epochs", "1")) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    room = len(before[tmp_path / "run" / name]) - 1
    job = training(tmp_path, "dense", "--epochs", "2", "--resume")
    done = subprocess.run([sys.executable, "-c", FULL, str(room), *job], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tinygrad-conv: error: ")
    assert done.stderr.endswith("make room and try again; what was there before is as it was\n")
    assert done.stderr.count("\n") == 1
    assert_whole(tmp_path / "run")
    assert {path.name for path in before} == {path.name for path in (tmp_path / "run").iterdir()}
    assert main(job) == 0
    outcome(tmp_path / "run")


# ------------------------------------------------------------------------------------------------------------------
# One at a time


def test_the_second_process_is_told_who_holds_a_run(tmp_path, capsys):
    job = training(tmp_path, "dense", "--epochs", "1")
    assert main(job) == 0
    capsys.readouterr()
    with files.holding(tmp_path / "run", "wait"):
        assert main([*job, "--resume"]) == 2
        said = capsys.readouterr().err
        assert (
            f"run: expected a folder that nobody else is writing into, got one that is held by process {os.getpid()}"
            in said
        )
        assert "since 2" in said
        assert said.endswith("; wait until that has ended, or start a run with another --name\n")
        before = sorted(tmp_path.rglob("*"))
        assert main([*job]) == 0  # which is run-2
        assert sorted(tmp_path.rglob("*"))[: len(before)] == before
    assert main([*job, "--resume"]) == 0
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_lock_of_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import sys, os, signal, pathlib; from tinygrad_conv import files\n"
        "with files.holding(pathlib.Path(sys.argv[1]), ''): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    assert (tmp_path / ".lock").exists()
    (tmp_path / ".0123456789abcdef.part").touch()
    (tmp_path / ".mine.part").touch()
    with files.holding(tmp_path, ""):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", ".mine.part"}
    assert {path.name for path in tmp_path.iterdir()} == {".mine.part"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", bytes(5000), b'{"process": -1, "machine": "", "since": 0}'])
def test_a_lock_that_says_nothing_holds_all_the_same(content, tmp_path):
    with files.holding(tmp_path, "wait"):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(DataError, match="is held by another process; wait"), files.holding(tmp_path, "wait"):
            pass


def test_a_folder_that_is_not_there_cannot_be_held(tmp_path):
    with pytest.raises(DataError, match="got none"), files.holding(pathlib.Path(tmp_path, "file", "x"), ""):
        pass
