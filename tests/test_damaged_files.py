"""Every file that is read is an enemy until checked.

Whatever is done to one: reading it ends in a result or in an error of the library's, takes memory in proportion to what
it should hold, and runs no code.
"""

from __future__ import annotations

import copy
import dataclasses
import gzip
import io
import json
import lzma
import math
import os
import pickle
import struct
import warnings
import zipfile
from contextlib import redirect_stderr
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from damages import DAMAGES, ENTRIES, attempt, changed, with_a_damaged_entry
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv import files, nn
from tinygrad_conv.data import fetch, read_idx, write_idx
from tinygrad_conv.errors import ArgumentError, DataError, ShapeError
from tinygrad_conv.files import Expected, packed
from tinygrad_conv.graph import Graph, snapshot
from tinygrad_conv.graph.drawing.render import Drawing
from tinygrad_conv.keras import backup, callbacks, layers
from tinygrad_conv.train.images import read_digit
from tinygrad_conv.train.recipes import INPUT, build
from tinygrad_conv.train.run import Run, Settings, load_weights

# ------------------------------------------------------------------------------------------------------------------
# Kinds of files: one that is whole, and how it is read


def small():
    model = tg.keras.Sequential([tg.keras.Input((4,)), layers.Dense(8), layers.Dense(3)])
    model.get_weights()  # makes them
    return model


def into(model, path):
    return changed(lambda: [w.tobytes() for w in model.get_weights()], model.load_weights, path)


def weights(path):
    _, model = load_weights(path)
    return [array.tobytes() for array in model.state_dict().values()]


def run_of(path):
    def state():
        arrays = (*run.model.state_dict().values(), *run.optimizer.state_dict().values())
        past = copy.deepcopy((run.history, run.layers.gradients, run.seconds))
        return [np.asarray(array).tobytes() for array in arrays], *past, run.within, random_place()

    run = training()
    return changed(state, run.load, path)[:4]


def random_place():
    return files.where_is(nn.init.generator())


class Restoring(callbacks.BackupAndRestore):
    """Ends a training as soon as it has taken over a backup, and notes what it is then."""

    def on_train_begin(self, logs=None):
        def state():
            arrays = backup._arrays(self._trainer())
            return {name: np.asarray(array).tobytes() for name, array in arrays.items()}, backup._place(self._trainer())

        self.found = changed(state, super().on_train_begin)
        raise KeyboardInterrupt


@cache
def learning():
    model = small()
    model.compile("adam", "mse", metrics=["mae"])
    return model


class Ending(callbacks.BackupAndRestore):
    """Ends a training in its second epoch, and leaves a backup."""

    def on_train_batch_end(self, batch, logs=None):
        if self._trainer().done and batch == 3:
            self._save()
            raise KeyboardInterrupt


def fitted(path, kind=Restoring):
    calls = kind(path.parent)
    calls._path = str(path)
    with redirect_stderr(io.StringIO()):
        learning().fit(np.eye(12, 4), np.eye(12, 3), batch_size=2, epochs=3, verbose=0, callbacks=calls)
    return calls


def restored(path):
    if not path.exists():  # a training would begin anew
        raise DataError(str(path))
    return fitted(path).found


def drawn(path):
    graph = Graph.from_json(path.read_text(encoding="utf-8", errors="replace"))
    str(Drawing(graph)), Drawing(graph, level="modules").source, graph.to_json()
    return graph


def checkpoint():
    run = Run(Settings.of({"model": "dense", "optimizer": "adam", "epochs": 3}))
    x = np.zeros((8, 28, 28, 1), "float32")
    for number in (1, 2):
        tg.softmax_cross_entropy(run.model(x), np.arange(8)).backward()
        run.optimizer.step()
        run.layers.measure(run.model, x)
        run.history.append(
            {"epoch": number, "loss": 2.0, "accuracy": 0.25, "val_loss": 1.5, "val_accuracy": 0.5}
        )  # fmt: skip
    return run


training = cache(checkpoint)

IDX = write_idx(np.arange(3000, dtype="uint8").reshape(3, 10, 100) % 7)


def whole(folder):
    """A file of each kind."""
    pixels = np.zeros((40, 30), "uint8")
    pixels[10:30, 12:16] = 255
    model = build("dense")
    model.build(INPUT)
    small().save_weights(folder / "weights")
    tg.save(small(), folder / "weights.safetensors").rename(folder / "tensors")
    files.write_arrays(folder / "packed weights", model.state_dict(), compressed=True)
    checkpoint().save(folder / "checkpoint")
    fitted(folder / "backup", Ending)
    Settings.of({"model": "dense"}).save(folder / "settings")
    for name, content in (("idx", IDX), ("gz", gzip.compress(IDX)), ("xz", lzma.compress(IDX, preset=0))):
        (folder / name).write_bytes(content)
    graph = snapshot(tg.nn.Sequential([tg.nn.Dense(2, in_features=3, activation="relu")]), np.ones((1, 3)), values=True)
    (folder / "graph").write_text(graph.to_json(), encoding="utf-8")
    try:
        from PIL import Image
    except ImportError:
        return
    for name in ("png", "gif", "bmp", "jpeg"):
        Image.fromarray(pixels).save(folder / name, format=name)
    Image.init()  # so that reading imports nothing


SMALL = small()
READERS = {
    "weights": lambda path: into(SMALL, path),
    "tensors": lambda path: into(SMALL, path),
    "packed weights": weights,
    "checkpoint": run_of,
    "backup": restored,
    "settings": Settings.load,
    "idx": read_idx,
    "gz": read_idx,
    "xz": read_idx,
    "graph": drawn,
    "png": read_digit,
    "gif": read_digit,
    "bmp": read_digit,
    "jpeg": read_digit,
}
ALIKE = {"png", "gif", "bmp", "jpeg"}, {"idx", "gz", "xz"}, {"weights", "tensors"}  # one's reader reads another's
CHECKED = {
    "weights",
    "packed weights",
    "checkpoint",
    "backup",
    "gz",
    "xz",
}  # their formats have checksums: no other result passes


class Good(dict):
    """The content of a whole file of each kind."""

    def __repr__(self):
        return "whole files"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    whole(folder)
    return Good((path.name, path.read_bytes()) for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------------------------
# Damaged ones


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=settings().max_examples // 2)  # of each kind
@given(how=st.sampled_from(DAMAGES), times=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_refused_or_harmless(kind, how, times, seed, good, tmp_path_factory):
    if kind not in good:
        pytest.skip("Pillow is not installed")
    path = tmp_path_factory.getbasetemp() / f"damaged {kind}"
    path.write_bytes(good[kind])
    expected = attempt(READERS[kind], path)
    assert not isinstance(expected, Exception)
    rng, blob = np.random.default_rng(seed), good[kind]
    for _ in range(times):
        blob = how(blob, rng) or b"\0"
    path.write_bytes(blob)
    found = attempt(READERS[kind], path)
    if isinstance(found, Exception):
        assert str(path) in str(found) or kind == "graph" or not isinstance(found, DataError)
        assert len(str(found)) < 2000
    elif kind in CHECKED:
        assert np.array_equal(found, expected) if isinstance(found, np.ndarray) else found == expected


@pytest.mark.parametrize("kind", ["weights", "packed weights", "checkpoint", "backup"])
@given(how=st.sampled_from(ENTRIES), at=st.integers(0, 2**16))
def test_a_damaged_entry_changes_nothing(kind, how, at, good, tmp_path_factory):
    """The readers see that what is refused has changed nothing to the bit."""
    path = tmp_path_factory.getbasetemp() / f"other {kind}"
    chosen = with_a_damaged_entry(good[kind], how, at, path)
    found = attempt(READERS[kind], path)
    may_be = how in ("huge numbers", "a negative number") or (how == "no entry" and chosen.startswith("optimizer/"))
    assert may_be or isinstance(found, Exception)


@pytest.mark.parametrize("kind", READERS)
def test_a_file_of_another_kind_is_refused(kind, good, tmp_path):
    path = tmp_path / kind
    for other, blob in [*good.items(), ("empty", b""), ("zeros", bytes(100_000))]:
        if other != kind and not any({kind, other} <= alike for alike in ALIKE):
            path.write_bytes(blob)
            assert isinstance(attempt(READERS[kind], path), ArgumentError | ShapeError), other


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("kind", sorted(READERS.keys() - {"graph"}))
def test_what_is_no_regular_file_is_refused(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    endless = [path for path in map(Path, ("/dev/zero", "/dev/tty")) if path.exists()]
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing", *endless):
        assert isinstance(attempt(READERS[kind], path), DataError)
        with pytest.raises(DataError), Expected("here", "a file").opened(path):
            pytest.fail("it was opened")


# ------------------------------------------------------------------------------------------------------------------
# Archives that lie


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return os.system, ("false",)


def npy(header, values=b"", version=1):
    if isinstance(header, str):
        header = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def said(descr, shape, order=False):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


def members():
    """What `SMALL` writes, name by name."""
    return {f"{name}.npy": npy(said("<f4", array.shape), array.tobytes()) for name, array in SMALL.state_dict().items()}


FIRST = next(iter(members()))
ZEROS = bytes(16 << 20)
LIES = {  # the first entry instead of what it should be
    "an array of objects": npy(said("|O", (4, 8)), pickle.dumps([Code()] * 32)),
    "a pickle": pickle.dumps(Code()),
    "code as a header": npy("__import__('os').system('false')"),
    "a deep header": npy("(" * 9000),
    "a long header": npy(ZEROS, version=2),
    "a header of no length": npy(b""),
    "a large array": npy(said("<f4", (1 << 22,)), ZEROS),
    "a large array that is not there": npy(said("<f4", (1 << 60,))),
    "large texts": npy(said("<U131072", (4, 8)), ZEROS),
    "large numbers": npy(said("<f524288", (4, 8)), ZEROS),
    "records": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 8), }", bytes(128)),
    "a negative shape": npy(said("<f4", (-4, -8)), bytes(128)),
    "more after its end": npy(said("<f4", (4, 8)), ZEROS),
    "less than it says": npy(said("<f4", (4, 8)), bytes(124)),
    "nothing": b"",
}


@pytest.mark.parametrize("what", LIES)
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_entry_that_lies_is_refused_before_it_is_unpacked(what, packing, tmp_path):
    path = tmp_path / "weights"
    with zipfile.ZipFile(path, "w", packing, compresslevel=1) as archive:
        for name, content in {**members(), FIRST: LIES[what]}.items():
            archive.writestr(name, content)
    assert isinstance(attempt(READERS["weights"], path, 1 << 20), ArgumentError | ShapeError)


def archive(path, entries, packing=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", packing) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two entries with one name
        for name, content in entries:
            file.writestr(name, content)


ARCHIVES = {
    "two entries of one name": lambda path: archive(path, [*members().items(), *members().items()]),
    "an entry that is no array": lambda path: archive(path, [*members().items(), ("code.py", b"")]),
    "an entry too many": lambda path: archive(path, [*members().items(), ("a.npy", npy(said("<f4", (1,)), bytes(4)))]),
    "an entry too few": lambda path: archive(path, list(members().items())[1:]),
    "none": lambda path: archive(path, []),
    "an unusual packing": lambda path: archive(path, members().items(), zipfile.ZIP_LZMA),
    "another unusual packing": lambda path: archive(path, members().items(), zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_that_lies_is_refused(what, tmp_path):
    path = tmp_path / "weights"
    ARCHIVES[what](path)
    assert isinstance(attempt(READERS["weights"], path), ArgumentError)


def test_an_archive_with_a_password_is_refused(good, tmp_path):
    path = tmp_path / "weights"
    at = good["weights"].index(b"PK\x01\x02") + 8
    path.write_bytes(good["weights"][:at] + b"\1" + good["weights"][at + 1 :])
    assert "is encrypted" in str(attempt(READERS["weights"], path))


# ------------------------------------------------------------------------------------------------------------------
# Small files that unpack to large ones


@pytest.mark.parametrize("pack", [lambda raw: gzip.compress(raw, 1), lambda raw: lzma.compress(raw, preset=0)])
def test_no_more_is_unpacked_than_the_header_says(pack, tmp_path):
    path = tmp_path / "idx"
    path.write_bytes(pack(IDX + ZEROS))
    found = attempt(read_idx, path)
    assert f"expected {len(IDX):,} bytes".replace(",", "") in str(found)
    assert "or more, after its end" in str(found)
    path.write_bytes(pack(write_idx(np.zeros((60_000, 28, 28), "uint8"))))
    source = fetch.Source("idx", "", (60, 28, 28))
    assert "expected shape (60, 28, 28), got shape (60000, 28, 28)" in str(attempt(partial(fetch.read, source), path))


def test_a_header_is_not_believed_before_the_bytes_are_there(tmp_path):
    path = tmp_path / "idx"
    path.write_bytes(IDX[:4] + b"\xff" * 12 + IDX[16:])
    assert "is truncated" in str(attempt(read_idx, path))


def test_xz_takes_no_more_memory_than_it_needs(good, tmp_path, monkeypatch):
    path = tmp_path / "idx"
    path.write_bytes(good["xz"])
    monkeypatch.setattr(packed, "_XZ_MEMORY", 1 << 16)
    assert "Memory usage limit" in str(attempt(read_idx, path))


@pytest.mark.parametrize(("shape", "refused"), [((9000, 9000), True), ((3000, 3000), False), ((1, 20_000_000), False)])
def test_images_of_any_size_take_bounded_memory(shape, refused, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros(shape, "uint8")
    pixels[shape[0] // 3 : shape[0] // 2 + 1, shape[1] // 3 : shape[1] // 2] = 255
    image.fromarray(pixels).save(tmp_path / "image.png", compress_level=1)
    found = attempt(read_digit, tmp_path / "image.png")
    assert ("pixels, more than" in str(found)) == refused == isinstance(found, DataError)


def test_a_small_image_says_what_a_small_one_may(tmp_path):
    """Pillow makes room for all that is said, before it reads: 60 bytes may say 67 million pixels."""
    path = tmp_path / "image.gif"
    pytest.importorskip("PIL.Image").new("L", (9, 9), 1).save(path)
    blob = path.read_bytes()
    for side, told in ((2000, "image file is truncated"), (3000, "3000 x 3000 pixels, more than 4,")):
        size = side.to_bytes(2, "little") * 2
        path.write_bytes(blob[:6] + size + blob[10:].replace(b"\x09\0\x09\0", size, 1))
        assert told in str(attempt(read_digit, path))


# ------------------------------------------------------------------------------------------------------------------
# Edited by hand

HOSTILE = [None, True, -1, 0, 1.5, 10**30, 1e308, math.inf, math.nan, "", "3", "cnn", [], [1], {}, {"a": 1}]


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_a_setting_that_cannot_be_is_named(name, good, tmp_path):
    path = tmp_path / "settings.json"
    known = json.loads(good["settings"])
    for value in HOSTILE:
        path.write_text(json.dumps({**known, name: value}))
        found = attempt(Settings.load, path)
        if isinstance(found, Exception):
            assert str(found).startswith(f"{path}: expected {name} to be "), value
        else:
            assert getattr(found, name) == value
            run = Run(dataclasses.replace(found, full=False))
            run.optimizer.lr = found.lr * found.decay**1000 or 1.0
    less = {k: v for k, v in known.items() if k != name}
    for other in (*([] if name == "reduction" else [less]), {**known, "another": 1}, list(known)):  # which came later
        path.write_text(json.dumps(other))
        assert "expected the settings of a run, got other content" in str(attempt(Settings.load, path))


def changes(tree, value):
    """A JSON tree with one part replaced, for each part of it."""
    yield value
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, part in parts:
        for other in changes(part, value):
            yield {**tree, key: other} if isinstance(tree, dict) else [*tree[:key], other, *tree[key + 1 :]]


@given(seed=st.integers(0, 2**32 - 1))
def test_a_history_that_cannot_be_is_refused(seed, tmp_path_factory):
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "checkpoint.npz"
    run = checkpoint()
    about = {"history": run.history, "layers": [run.layers.gradients, run.layers.activations], "seconds": 1.0}
    hostile = HOSTILE[int(rng.integers(len(HOSTILE)))]
    others = list(changes(json.loads(json.dumps(about)), hostile))
    text = json.dumps(others[int(rng.integers(len(others)))])
    arrays = {f"model/{name}": array for name, array in run.model.state_dict().items()}
    arrays |= {f"optimizer/{name}": array for name, array in run.optimizer.state_dict().items()}
    steps = int(rng.choice([16, 16, 0, -1, 2**62]))
    files.write_arrays(path, {"about": np.array(text), **arrays, "optimizer/steps": steps})
    found = attempt(run_of, path)
    if not isinstance(found, Exception):
        _, history, gradients, seconds = found
        assert [row["epoch"] for row in history] == [1, 2]
        assert {len(norms) for norms in gradients.values()} <= {2}
        assert f"{history[0]['loss']:.4f} {seconds:.1f}"
        assert steps >= 0


@given(hostile=st.sampled_from([*HOSTILE, "f" * 20, "1 2 3 4"]), at=st.integers(0, 2**16))
def test_a_place_that_cannot_be_is_refused(hostile, at, good, tmp_path_factory):
    """Or is harmless: no training is sent on through its data for ever."""
    path = tmp_path_factory.getbasetemp() / "place.npz"
    path.write_bytes(good["backup"])
    with np.load(path) as archive:
        arrays = dict(archive)
    others = list(changes(json.loads(str(arrays["place"])), hostile))
    files.write_arrays(path, {**arrays, "place": np.array(json.dumps(others[at % len(others)]))})
    found = attempt(READERS["backup"], path)
    assert isinstance(found, DataError) or found[1].passes < 3


# ------------------------------------------------------------------------------------------------------------------
# Machine code


@given(how=st.sampled_from(DAMAGES), seed=st.integers(0, 2**32 - 1))
def test_machine_code_that_is_damaged_is_not_there(how, seed, tmp_path_factory):
    pytest.importorskip("numba")
    from tinygrad_conv.kernels.compiled.jit import _Files

    folder = tmp_path_factory.getbasetemp()
    cache = _Files(str(folder), "function", "stamp")
    cache.save("key", {"code": list(range(100))})
    assert cache.load("key") == {"code": list(range(100))}
    for path in folder.glob("function.*nb?"):
        blob = path.read_bytes()
        path.write_bytes(how(blob, np.random.default_rng(seed)))
        assert attempt(cache.load, "key") in (None, {"code": list(range(100))})
        path.write_bytes(blob)
