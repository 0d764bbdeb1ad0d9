"""Data that does not fit in memory: files in pieces, batches shuffled by blocks, read ahead, resumed in the middle."""

import gc
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_conv as tg
from tinygrad_conv.data import Dataset, Shards, stream
from tinygrad_conv.data.streaming import ahead
from tinygrad_conv.errors import ArgumentError, DataError, IndexingError, ShapeError, TinygradConvError
from tinygrad_conv.files import write_tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


def in_files(folder, kind, n, cuts):
    """Rows 0 ... n - 1 of two arrays, in files cut at these rows: the values of each row are the row's number."""
    x = np.arange(n, dtype="float32")[:, None, None] + np.zeros((2, 1), "float32")
    y = np.arange(n, dtype="int64")
    ends = [0, *sorted(cuts), n]
    for file in folder.iterdir():
        file.unlink()
    for k, (start, stop) in enumerate(itertools.pairwise(ends)):
        if kind == "npy":
            np.save(folder / f"x-{k}.npy", x[start:stop])
        else:
            write_tensors(folder / f"{k}.safetensors", {"x": x[start:stop], "y": y[start:stop], "other": np.ones(3)})
    if kind == "npy":
        np.save(folder / "y.npy", y)
        return Shards(f"{folder}/x-*.npy", folder / "y.npy")
    return Shards([folder / f"{k}.safetensors" for k in range(len(ends) - 1)], keys=("x", "y"))


@st.composite
def sources(draw):
    n = draw(st.integers(0, 40))
    kind = draw(st.sampled_from(["npy", "safetensors", "memory"]))
    return n, kind, draw(st.lists(st.integers(0, n), max_size=4))


ARGUMENTS = st.fixed_dictionaries({
    "batch_size": st.integers(1, 12), "shuffle": st.booleans(), "seed": st.integers(0, 5), "drop_last": st.booleans(),
    "block_size": st.none() | st.integers(1, 9), "window": st.integers(1, 5), "prefetch": st.integers(0, 2),
})  # fmt: skip


def opened(folder, source):
    n, kind, cuts = source
    return Dataset(np.arange(n), np.arange(n)) if kind == "memory" else in_files(folder, kind, n, cuts)


def numbers(batches):
    """The rows' numbers in each batch; the arrays of a row belong together."""
    found = []
    for x, y in batches:
        assert np.array_equal(np.broadcast_to(y.reshape(-1, *(1,) * (x.ndim - 1)), x.shape), x)
        found.append(y.tolist())
    return found


@settings(max_examples=40)
@given(source=sources(), arguments=ARGUMENTS)
def test_an_epoch_is_a_permutation(folder, source, arguments):
    n, size = source[0], arguments["batch_size"]
    batches = stream(opened(folder, source), **arguments)
    first, second = numbers(batches), numbers(batches)
    whole, rest = divmod(n, size)
    sizes = [size] * whole + [rest] * (rest > 0 and not arguments["drop_last"])
    for epoch in (first, second):
        assert list(map(len, epoch)) == sizes
        rows = list(itertools.chain.from_iterable(epoch))
        assert len(batches) == len(sizes)
        assert len(set(rows)) == len(rows) == sum(sizes)
        if not arguments["shuffle"]:
            assert rows == list(range(len(rows)))
    again = stream(opened(folder, source), **arguments)
    assert [numbers(again), numbers(again)] == [first, second]


@settings(max_examples=30)
@given(source=sources(), arguments=ARGUMENTS, data=st.data())
def test_it_goes_on_in_the_middle(folder, source, arguments, data):
    """As if nothing had been, through JSON, and without reading what is over."""
    shards = opened(folder, source)
    batches = stream(shards, **arguments)
    for _ in range(data.draw(st.integers(0, 1))):
        numbers(batches)
    stop = data.draw(st.integers(0, len(batches)))
    iterator, seen = iter(batches), []
    for _ in range(stop):
        seen += numbers([next(iterator)])
    kept = json.loads(json.dumps(batches.state_dict()))
    rest = numbers(iterator)
    after = numbers(batches)

    again = stream(shards, **arguments)
    again.load_state_dict(kept)
    if stop == len(batches):  # that epoch is over
        assert numbers(again) == after
        return
    read = []
    original = again._source.read
    again._source = type("Counted", (), {"__len__": lambda self: len(shards), "read": lambda self, a, b: (
        read.append(b - a) or original(a, b))})()  # fmt: skip
    if stop == 0 and not seen:  # nothing was handed out: the state is that of the epoch before
        return
    assert numbers(again) == rest
    rows = sum(map(len, rest)) + len(shards) % arguments["batch_size"] * arguments["drop_last"]
    assert sum(read) <= rows + arguments["window"] * again._block
    assert numbers(again) == after


def test_shuffling_mixes_all_rows_of_a_window_and_all_blocks():
    """Far neighbours meet in a batch, and each epoch has its own order."""
    batches = stream(np.arange(4096), batch_size=64, block_size=16, window=16, seed=3)
    first, second = (np.concatenate(list(batches)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.mean(np.abs(np.diff(first))) > 4096 / 4  # 1/3 for a random order; 1 in order
    one_block = stream(np.arange(64), batch_size=64, block_size=64)
    assert not np.array_equal(*one_block, *one_block)
    reach = [len({int(row) // 16 for row in batch}) for batch in first.reshape(-1, 64)]
    assert min(reach) >= 10  # blocks of a batch


CHANGES = {
    "shorter": lambda path: os.truncate(path, 200),
    "longer": lambda path: np.save(path, np.zeros((40, 5), "f")),
    "other numbers": lambda path: np.save(path, np.load(path) + 1),
    "other dtype": lambda path: np.save(path, np.load(path).view(np.int32)),
    "gone": os.remove,
}


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_what_goes_wrong_is_raised_in_the_loop_and_no_thread_stays(folder, prefetch, change):
    shards = in_files(folder, "npy", 40, [20])
    before = set(threading.enumerate())
    for k, _ in enumerate(stream(shards, batch_size=4, block_size=2, window=1, prefetch=prefetch)):
        if k == 2:
            break
    assert_no_thread_stays(before)
    batches = stream(shards, batch_size=4, shuffle=False, block_size=2, window=1, prefetch=prefetch)
    CHANGES[change](folder / "x-1.npy")
    if change != "gone":
        os.utime(folder / "x-1.npy", (1, 1))  # clocks of files are slower than tests
    seen = []
    with pytest.raises(DataError, match=r"x-1\.npy.*(changed since|No such file)"):
        seen += [len(y) for _, y in batches]
    assert_no_thread_stays(before)


def assert_no_thread_stays(before):
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_the_thread_may_collect_the_loop_that_it_reads_for():
    left = threading.Event()

    def jobs():
        yield int
        yield lambda: left.wait(60) and gc.collect()

    before = set(threading.enumerate())
    gc.disable()
    try:
        loop = [ahead(jobs(), 1)]
        next(loop[0])
        loop.append(loop)  # a cycle, which only the collector ends
        del loop
        left.set()
        assert_no_thread_stays(before)  # pytest fails for what is raised in it
    finally:
        gc.enable()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_child_goes_on_in_a_loop_without_its_thread():
    loop = iter(stream(np.arange(100), batch_size=10, block_size=5, window=1, prefetch=2))
    next(loop)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        os.write(writer, np.concatenate(list(loop)).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with open(reader, "rb") as file:
        assert file.read() == np.concatenate(list(loop)).tobytes()


LIMITED = """
import resource, sys
import numpy as np
from tinygrad_conv import data
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + {room}, size + {room}))
try:
    np.load({path!r})
except MemoryError:
    print("too large")
total = sum(int(x[:, 0].sum()) for x in data.stream(data.Shards({path!r}), batch_size=256, prefetch={prefetch}))
print(total)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the process's memory as Linux does")
@pytest.mark.parametrize(("prefetch", "room"), [(0, 64 << 20), (1, 128 << 20)])  # (a thread has 64 MB of its own)
def test_ten_times_the_memory(tmp_path, prefetch, room):
    path = tmp_path / "x.npy"
    rows = 10 * room // (1 << 15)
    x = np.lib.format.open_memmap(path, mode="w+", dtype="uint8", shape=(rows, 1 << 15))  # a file of holes
    x[::1000, 0] = 1
    x.flush()
    code = LIMITED.format(room=room, path=str(path), prefetch=prefetch)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.split("\n") == ["too large", str(math.ceil(rows / 1000)), ""], done.stderr


def mapped():
    """How many bytes of files are in this process's memory, where the system tells."""
    if not sys.platform.startswith("linux"):
        return 0
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("RssFile"))


def test_a_mapped_array_gives_its_memory_back(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(1 << 20))
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    before = mapped()
    assert sorted(np.concatenate(list(stream(x, batch_size=1000)))) == list(range(1 << 20))
    assert mapped() < before + (2 << 20)  # of 8 MiB
    assert int(x.sum()) > 0
    assert mapped() == 0 or mapped() > before + (6 << 20)
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[5] = -1  # nowhere but in memory
    assert min(batch.min() for batch in stream(changed, batch_size=1000)) == -1
    list(stream(changed, batch_size=1000))
    assert changed[5] == -1


def test_rows_by_index(folder):
    shards = in_files(folder, "safetensors", 9, [3, 3, 7])
    assert len(shards) == 9
    assert repr(shards) == "Shards(9 examples of float32 (2, 1), int64 () in 3 files)"
    x, y = shards[-1]
    assert (x.tolist(), int(y)) == ([[8.0], [8.0]], 8)
    assert shards[2:8][1].tolist() == [2, 3, 4, 5, 6, 7]
    assert shards[8:2][0].shape == (0, 2, 1)
    for bad in (9, -10, "a", slice(0, 9, 2), None, [1]):
        with pytest.raises(IndexingError, match="Shards: expected an integer or a slice"):
            shards[bad]


def test_files_that_do_not_fit_are_named(folder, tmp_path):
    in_files(folder, "npy", 9, [3])
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    np.save(tmp_path / "z.npy", np.ones((3, 2), "float32"))
    np.save(tmp_path / "f.npy", np.asfortranarray(np.ones((3, 2))))
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "one.npy", np.array(1.0))
    np.save(tmp_path / "object.npy", np.array([None]), allow_pickle=True)
    write_tensors(tmp_path / "a.safetensors", {"x": np.ones(3)})
    (tmp_path / "long.npy").write_bytes((tmp_path / "x.npy").read_bytes() + b"x")
    for files, keys, error, words in [
        ((), None, ArgumentError, "at least one array"),
        ((f"{tmp_path}/no*.npy",), None, DataError, "none of the name"),
        ((tmp_path / "no.npy",), None, DataError, "none of the name|No such file"),
        (([],), None, ArgumentError, "an empty list"),
        ((7,), None, ArgumentError, "a path, a pattern or a list"),
        ((tmp_path / "f.npy",), None, DataError, "ascontiguousarray"),
        ((tmp_path / "text.npy",), None, DataError, "text"),
        ((tmp_path / "one.npy",), None, DataError, "single number"),
        ((tmp_path / "object.npy",), None, DataError, "objects"),
        ((tmp_path / "long.npy",), None, DataError, "whose size"),
        ((tmp_path,), None, DataError, "directory|regular"),
        (([tmp_path / "x.npy", tmp_path / "z.npy"],), None, ShapeError, r"float64.*x\.npy.*float32.*z\.npy"),
        ((tmp_path / "x.npy", f"{folder}/y.npy"), None, ShapeError, "lengths 3, 9"),
        ((tmp_path / "a.safetensors",), None, ArgumentError, "expected keys"),
        ((tmp_path / "a.safetensors",), ["y"], DataError, "without 'y'; it has 'x'"),
        ((tmp_path / "a.safetensors",), "x", ArgumentError, "a list of names"),
        ((tmp_path / "x.npy",), ["x"], DataError, "another kind"),
    ]:
        with pytest.raises(error, match=words):
            Shards(*files, keys=keys)


@settings(max_examples=60)
@given(at=st.integers(0, 200), byte=st.integers(0, 255), kind=st.sampled_from(["npy", "safetensors"]))
def test_damaged_files_are_refused_or_read(folder, at, byte, kind):
    """Never anything but an error of ours, or as many rows as the files can hold."""
    in_files(folder, kind, 4, [2])
    path = folder / ("x-1.npy" if kind == "npy" else "1.safetensors")
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content)
    try:
        shards = Shards(f"{folder}/x-*.npy") if kind == "npy" else Shards(f"{folder}/*.safetensors", keys=["x"])
    except TinygradConvError:
        return
    assert sum(len(x) for x in stream(shards, batch_size=3)) == len(shards) <= 8


def test_states_of_other_streams_are_refused():
    batches = stream(np.arange(10), batch_size=4)
    good = batches.state_dict()
    for bad in (None, {}, {**good, "seed": 1}, {**good, "rows": 11}, {**good, "batch": 4}, {**good, "epoch": -1},
                {**good, "batch": 1.0}, {**good, "more": 1}):  # fmt: skip
        with pytest.raises(ArgumentError, match="Stream: expected"):
            batches.load_state_dict(bad)
    assert batches.state_dict() == good
    for bad in ((np.arange(3), Shards), (np.arange(3), np.arange(4)), (np.array(1.0),), ()):
        with pytest.raises(TinygradConvError):
            stream(*bad)


def test_fit_takes_a_stream(folder):
    """As any iterable of batches, epoch by epoch."""
    shards = in_files(folder, "npy", 30, [11])
    model = tg.keras.Sequential([tg.keras.layers.Flatten(), tg.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(stream(shards, batch_size=7, seed=1), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
