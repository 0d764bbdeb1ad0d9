"""Files: every one is written whole or not at all, by one function, whatever ends the writer and wherever."""

from __future__ import annotations

import ast
import os
import pathlib
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv import files
from tinygrad_conv.errors import ArgumentError, DataError, DTypeError
from tinygrad_conv.keras import callbacks, layers

ROOT = pathlib.Path(__file__).parents[1]


# ------------------------------------------------------------------------------------------------------------------
# One function writes

ALWAYS = {"write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "savefig", "tofile", "copyfile"}
OF_MODULES = {("os", "replace"), ("os", "rename"), ("np", "save"), ("json", "dump"), ("pickle", "dump")}
WRITERS = {
    "tinygrad_conv/files/writing.py",
    "tinygrad_conv/files/arrays.py",  # into a file that `write` has opened
    "tinygrad_conv/train/job.py",  # gives a run's folder its name
    "tinygrad_conv/files/holding.py",  # who holds a folder, into the file that is locked
    "tinygrad_conv/plots.py",  # a picture in memory, for a notebook
    "tinygrad_conv/lessons/showing.py",  # the same
    "docs/conf.py",  # what Sphinx reads, beside the pages
    "docs/make_site.py",  # what the menus of versions read
    "benchmarks/measure.py",  # a pipe, and a switch under /proc
}


def writes(path):
    """The lines of a source file on which something is written to the disk."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            given = [
                arg.value for arg in (*node.args, *(k.value for k in node.keywords)) if isinstance(arg, ast.Constant)
            ]
            modes = [
                text for text in given if isinstance(text, str) and text.strip("btU")[:2] in ("w", "a", "x", "w+", "r+")
            ]
            if name in ALWAYS or (owner, name) in OF_MODULES or (name in ("open", "fdopen") and modes):
                yield node.lineno


def test_nothing_else_writes():
    sources = [
        path for room in ("tinygrad_conv", "benchmarks", "examples", "docs") for path in (ROOT / room).rglob("*.py")
    ]
    found = {str(path.relative_to(ROOT)): list(writes(path)) for path in sources}
    assert {name: lines for name, lines in found.items() if lines and name not in WRITERS} == {}
    assert all(found[name] for name in WRITERS)  # so what is looked for is seen


# ------------------------------------------------------------------------------------------------------------------
# Whole or not at all

KILL = """
import os, signal, sys
from tinygrad_conv import files

path, count, at = sys.argv[1], 0, 0

def step(*_):  # the n-th step of a child is its last
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(function):
    def call(*args, **kwargs):
        step()
        result = function(*args, **kwargs)
        step()
        return result
    return call

def content(file):
    file.write(b"new " * 50_000)
    step()
    file.write(b"content")

for name in ("open", "chmod", "fsync", "replace"):
    setattr(os, name, watched(getattr(os, name)))
for old in (None, b"the old content"):
    outcomes = []
    for at in range(1, 100):
        with __builtins__.open(path, "wb") as file:
            file.write(old or b"")
        if old is None:
            os.unlink(path)
        child = os.fork()
        if not child:
            files.write(path, content)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = None
        if os.path.exists(path):
            with __builtins__.open(path, "rb") as file:
                found = file.read()
        assert found in (old, b"new " * 50_000 + b"content"), found
        outcomes.append(found != old)
        if not ended:
            break
    assert ended == 0 and outcomes == sorted(outcomes) and outcomes[-1]
    print(outcomes.count(False), outcomes.count(True))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children that it forks")
def test_a_writer_killed_at_any_step_leaves_the_old_file_or_the_new(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILL, str(tmp_path / "file")], capture_output=True, text=True)
    assert done.stdout.split() == ["6", "6", "8", "6"], done.stderr  # steps before the new file is there, and after
    left = {path.name for path in tmp_path.iterdir()} - {"file"}
    assert left == {path.name for path in tmp_path.glob(files.UNFINISHED)}


class Stop(BaseException):
    """What ends a writer that is not killed."""


@pytest.mark.parametrize("error", [Stop, OSError(28, "No space left on device"), MemoryError])
def test_a_writer_that_fails_leaves_nothing_but_the_old_file(tmp_path, error):
    def content(file):
        file.write(b"half")
        raise error

    path = tmp_path / "file"
    path.write_text("old")
    expected = DataError if isinstance(error, OSError) else error
    with pytest.raises(expected) as caught:
        files.write(path, content, "save_weights")
    if expected is DataError:
        message = f"save_weights: cannot write {str(path)!r}: No space left on device; make room and try again"
        assert str(caught.value).startswith(message)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["open", "chmod", "fsync", "replace"])
def test_a_writer_that_is_stopped_after_any_step_leaves_nothing(name, tmp_path, monkeypatch):
    """As Ctrl-C stops it: after the system has done what it was asked for."""

    def stopped(*args, **kwargs):
        does(*args, **kwargs)
        raise Stop

    path, does = tmp_path / "file", getattr(os, name)
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, stopped)
        with pytest.raises(Stop):
            files.write(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == ("new" if name == "replace" else "old")


def test_writers_at_the_same_time_do_not_meet(tmp_path):
    path, wrong = tmp_path / "file", []
    texts = [str(number) * 100_000 for number in range(4)]

    def work(text):
        for _ in range(10):
            files.write(path, text)
            if path.read_text() not in texts:
                wrong.append(text[0])

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ------------------------------------------------------------------------------------------------------------------
# As people expect


def test_permissions_stay_and_new_files_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        new = files.write(tmp_path / "new", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    new.chmod(0o604)
    assert stat.S_IMODE(files.write(new, b"y").stat().st_mode) == 0o604


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    for target in ("far/there", "far/not-yet"):
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        files.write(link, "text")
        assert link.is_symlink()
        assert (tmp_path / target).read_text() == "text"


def test_what_is_no_regular_file_is_not_replaced():
    files.write(os.devnull, "text")
    assert not pathlib.Path(os.devnull).is_file()
    for device in filter(os.path.exists, ("/dev/null", "/dev/zero")):
        files.write_arrays(device, {"x": np.ones(3)})
    if os.path.exists("/dev/full"):
        with pytest.raises(DataError, match="cannot write '/dev/full': No space left on device; make room"):
            files.write("/dev/full", "text")


def test_half_a_character_is_escaped(tmp_path):
    assert files.write(tmp_path / "a", "é\ud800").read_bytes() == b"\xc3\xa9\\ud800"


@pytest.mark.parametrize("path", ["", ".", "missing/file", "file/inside", "zero\0byte", "\ud800", "x" * 300])
def test_where_nothing_can_be_written(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("old")
    with pytest.raises(DataError, match=r"^write: cannot write .*; choose a file in an existing folder"):
        files.write(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", [None, 3, b"bytes", 1.5, ["a"]])
def test_what_is_no_path(path):
    for call in (lambda path, what: files.Expected(what, "a file").read(path, 1), files.folder_for):
        with pytest.raises(DTypeError, match=r"render: expected a path as str or pathlib\.Path, got"):
            call(path, "render")
    with pytest.raises(DTypeError, match=r"expected a path as str or pathlib\.Path, got"):
        files.write(path, "text")


def test_what_its_owner_has_closed_is_not_replaced(tmp_path, monkeypatch):
    path = files.write(tmp_path / "file", "old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as it is for all but root
    with pytest.raises(DataError, match=r"cannot write .*: Permission denied"):
        files.write(path, "new")


# ------------------------------------------------------------------------------------------------------------------
# Arrays


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_the_bytes_that_numpy_writes(tmp_path, compressed, rng):
    arrays = {"a": rng.normal(size=(3, 4)).T, "b/c": np.arange(5), "d": np.array("text"), "e": np.zeros(0, "float16")}
    ours = files.write_arrays(tmp_path / "ours", arrays, compressed=compressed)
    with open(tmp_path / "numpys", "wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)
    assert ours.read_bytes() == (tmp_path / "numpys").read_bytes()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "args", "a.npy", ""])
def test_arrays_may_have_any_name(tmp_path, name):
    class Model(tg.keras.Model):
        def __init__(self):
            setattr(self, name, tg.nn.Parameter([1.0, 2.0]))

    model, twin = Model(), Model()
    model.save_weights(tmp_path / "w")
    twin.set_weights([[0.0, 0.0]])
    twin.load_weights(tmp_path / "w")
    assert twin.get_weights()[0].tolist() == [1.0, 2.0]


# ------------------------------------------------------------------------------------------------------------------
# Callbacks


def fitted(*calls, epochs=2, **options):
    model = tg.keras.Sequential([tg.keras.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 2))
    return model.fit(x, x[:, :1], epochs=epochs, verbose=0, callbacks=list(calls), **options)


def test_callbacks_make_their_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted(callbacks.ModelCheckpoint("a/b/w.npz"), callbacks.ModelCheckpoint("c/{epoch}/w-{loss:.0f}.npz"),
           callbacks.ModelCheckpoint("w-{epoch}.npz"), callbacks.CSVLogger("d/log.csv"))  # fmt: skip
    assert {str(p.relative_to(tmp_path)).split("-")[0] for p in tmp_path.rglob("*") if p.is_file()} == {
        "a/b/w.npz", "c/1/w", "c/2/w", "w", "d/log.csv",
    }  # fmt: skip


@pytest.mark.parametrize("kind", [callbacks.ModelCheckpoint, callbacks.CSVLogger])
@pytest.mark.parametrize("path", ["folder", "file/inside", "file/{epoch}", "zero\0byte"])
def test_callbacks_refuse_before_training(tmp_path, monkeypatch, kind, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    seen = []
    watch = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs=None: seen.append(epoch))
    with pytest.raises(ArgumentError, match=f"^{kind.__name__}: (cannot write|expected file.* to be a path)"):
        fitted(watch, kind(path))
    assert not seen


@pytest.mark.parametrize("path", ["w-{epoch", "w-}", "w-{0}", "w-{epoch:q}", "w-{epoch.nothing}", "w-{epoch[0]}"])
def test_a_name_that_cannot_be_filled_in_is_refused(tmp_path, path):
    with pytest.raises(ArgumentError, match=r"^ModelCheckpoint: expected .*filepath"):
        fitted(callbacks.ModelCheckpoint(tmp_path / path))


def test_a_log_has_whole_lines_whatever_ends_training(tmp_path):
    path = tmp_path / "log.csv"

    def end(epoch, logs=None):
        seen.append(path.read_bytes())
        if epoch == 1:
            raise Stop

    seen = []
    with pytest.raises(Stop):
        fitted(callbacks.CSVLogger(path), callbacks.LambdaCallback(on_epoch_end=end), epochs=3)
    assert [text.count(b"\r\n") for text in seen] == [2, 3]
    fitted(callbacks.CSVLogger(path, append=True), epochs=3, initial_epoch=2)
    text = path.read_bytes()
    assert text.startswith(seen[-1])
    assert [line.split(b",")[0] for line in text.splitlines()] == [b"epoch", b"0", b"1", b"2"]


def test_a_log_whose_last_line_was_left_open_is_closed(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"epoch,loss\r\n0,\xff")
    fitted(callbacks.CSVLogger(path, append=True), epochs=1)
    assert path.read_bytes().splitlines()[:2] == [b"epoch,loss", b"0,\xff"]
