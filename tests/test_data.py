"""The data package: IDX files, the MNIST sample, the full set and its every mishap, datasets and batches.

Nothing here goes further than 127.0.0.1: downloads run against a local server and a table of small files.
"""

import gzip
import hashlib
import importlib.util
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_conv.data import MNIST, Dataset, _mnist, batches, fetch, mnist, read_idx, write_idx
from tinygrad_conv.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    IndexingError,
    MissingExtraError,
    ShapeError,
)

ROOT = Path(__file__).parents[1]
ORIGINAL = os.environ.get("TINYGRAD_CONV_DATA")  # read before the fixtures below hide it
IDX_DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")


# --- IDX --------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(IDX_DTYPES), st.sampled_from(["<", ">", "="]))
def test_idx_gives_back_what_was_written(data: st.DataObject, name: str, order: Literal["<", ">", "="]) -> None:
    dtype = np.dtype(name).newbyteorder(order)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    array = data.draw(hnp.arrays(dtype, shape))
    back = read_idx(write_idx(array))
    assert back.dtype == np.dtype(name)
    assert back.dtype.isnative
    assert back.shape == shape
    assert back.flags.writeable
    assert back.tobytes() == array.astype(name).tobytes()  # by bytes, since NaN is not equal to itself


def test_idx_bytes_are_the_documented_ones() -> None:
    assert write_idx(np.array([[1, -2]], dtype="int16")) == bytes(
        [0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xFF, 0xFE]
    )
    assert write_idx(np.float32(1.0)) == bytes([0, 0, 0x0D, 0, 0x3F, 0x80, 0, 0])


def test_idx_takes_transposed_and_strided_arrays() -> None:
    array = np.arange(24, dtype="int32").reshape(2, 3, 4)
    for view in (array.T, array[:, ::-2], array[..., 1]):
        np.testing.assert_array_equal(read_idx(write_idx(view)), view)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_read_idx_reads_paths_and_unpacks(tmp_path: Path, pack: Any) -> None:
    array = np.arange(6, dtype="uint8").reshape(2, 3)
    path = tmp_path / "file"
    path.write_bytes(pack(write_idx(array)))
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        np.testing.assert_array_equal(read_idx(source), array)


WHOLE = write_idx(np.arange(100, dtype="uint8").reshape(4, 25))
BAD_IDX = {
    "empty": (b"", "expected an IDX file"),
    "a web page": (b"<html>", "expected an IDX file"),
    "unknown dtype": (b"\0\0\x07\x01" + WHOLE[4:], "expected an IDX file"),
    "header cut": (WHOLE[:9], "expected a header of 12 bytes for 2 axes, got 9 bytes.*truncated"),
    "values cut": (WHOLE[:-1], r"expected 112 bytes for shape \(4, 25\) of uint8, got 111.*truncated"),
    "values added": (WHOLE + b"\0", "expected 112 bytes.*got 113.*after its end"),
    "too many axes": (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"\0", "a shape that NumPy can hold"),
    "too long axes": (b"\0\0\x0e\x04" + b"\xff" * 12 + bytes(4), "a shape that NumPy can hold"),
    "gzip cut": (gzip.compress(WHOLE)[:-9], "whole compressed file.*truncated"),
    "gzip checksum": (gzip.compress(WHOLE)[:-8] + bytes(8), "whole compressed file.*CRC"),
    "gzip garbled": (gzip.compress(WHOLE)[:10] + b"\xff" * 40, "whole compressed file"),
    "xz cut": (lzma.compress(WHOLE)[:-9], "whole compressed file"),
}


@pytest.mark.parametrize(("blob", "message"), BAD_IDX.values(), ids=BAD_IDX.keys())
def test_read_idx_names_what_is_wrong(tmp_path: Path, blob: bytes, message: str) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(blob)
    with pytest.raises(DataError, match=f"^read_idx: .*some-file: .*{message}"):
        read_idx(path)
    with pytest.raises(DataError, match=f"^read_idx: {len(blob)} bytes: "):
        read_idx(blob)


def test_idx_refuses_what_it_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: expected a readable file, got: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DTypeError, match="expected source to be a path, a bytes or a bytearray, got 3"):
        read_idx(3)  # type: ignore[arg-type]  # open(3) would read whatever has that number
    for array in (np.array([1, 2], dtype="int64"), np.array([True]), np.array(["a"]), [1j]):
        with pytest.raises(DTypeError, match=r"expected one of uint8, .*float64, got .*astype"):
            write_idx(array)
    with pytest.raises(ShapeError, match=r"shorter than 2\*\*32"):
        write_idx(np.broadcast_to(np.uint8(0), 2**32))


def test_a_python_without_its_compression_modules_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = lzma.compress(WHOLE)
    monkeypatch.setitem(sys.modules, "lzma", None)
    with pytest.raises(MissingExtraError, match="without its standard module lzma"):
        read_idx(packed)


# --- the embedded sample ----------------------------------------------------------------------------------

CLASS_COUNTS = (
    (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
)


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("maker", ROOT / "examples" / "make_mnist_sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sample_has_the_classes_in_the_original_proportions() -> None:
    for (images, labels), n, original in zip(mnist(), (10_000, 2_000), CLASS_COUNTS, strict=True):
        assert images.shape == (n, 28, 28)
        assert images.dtype == labels.dtype == np.uint8
        assert labels.shape == (n,)
        quotas = np.array(original) * n / sum(original)
        assert (abs(np.bincount(labels, minlength=10) - quotas) < 1).all()
        assert images.min() == 0
        assert images.max() == 255
        assert len(np.unique(images.reshape(n, -1), axis=0)) == n  # no image twice


def test_sample_is_small_and_says_whose_it_is() -> None:
    files = list(Path(_mnist.SAMPLE_FOLDER).iterdir())
    assert sum(file.stat().st_size for file in files) < 2_500_000
    text = (Path(_mnist.SAMPLE_FOLDER) / "LICENSE.md").read_text(encoding="utf-8")
    for words in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "NIST", "CC BY-SA 3.0"):
        assert words in text


def test_mnist_object() -> None:
    sample = mnist()
    assert repr(sample) == "MNIST(10000 training and 2000 test images)"
    (x_train, y_train), (x_test, y_test) = sample
    assert x_train is sample.train_images
    assert y_train is sample.train_labels
    assert x_test is sample.test_images
    assert y_test is sample.test_labels
    with pytest.raises(AttributeError):
        sample.train_images = x_test  # type: ignore[misc]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mnist_arrays_for_a_model(dtype: str) -> None:
    sample = MNIST(*(array[:50] for pair in mnist() for array in pair))
    for (x, y), (images, labels) in zip(sample.arrays(dtype), sample, strict=True):
        assert x.shape == (50, 28, 28, 1)
        assert x.dtype == dtype
        assert (x.min(), x.max()) == (0, 1)
        np.testing.assert_array_equal(np.rint(x[..., 0] * 255), images)
        assert y.dtype == np.int64
        np.testing.assert_array_equal(y, labels)
    with pytest.raises(DTypeError, match="expected dtype to be a floating dtype, got 'uint8'; use dtype=\"float32\""):
        sample.arrays("uint8")


@pytest.mark.skipif(ORIGINAL is None, reason="TINYGRAD_CONV_DATA names no folder with the original files")
def test_sample_is_reproduced_byte_for_byte(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_maker().main([str(ORIGINAL), "--check"]) == 0
    assert capsys.readouterr().out.count(": identical\n") == 4


def test_data_package_imports_lightly() -> None:
    code = "import sys, tinygrad_conv.data; print(*{'pooch', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- the full set, from folders; a small made-up set takes its place --------------------------------------


def idx_files(seed: int) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    return {
        source.name: write_idx(
            rng.integers(0, 256 if len(source.shape) == 3 else 10, (n, *source.shape[1:]), dtype="uint8")
        )
        for source, n in zip(_mnist.FULL, (60, 60, 40, 40), strict=True)
    }


FILES = idx_files(seed=0)
OTHERS = idx_files(seed=1)  # same names and shapes, other values
NAMES = list(FILES)
SMALL = tuple(fetch.Source(name, hashlib.sha256(raw).hexdigest(), read_idx(raw).shape) for name, raw in FILES.items())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small set in place of the full one, a cache folder that does not exist yet, no variables set."""
    monkeypatch.setattr(_mnist, "FULL", SMALL)
    monkeypatch.setattr(_mnist, "MIRRORS", ())
    monkeypatch.setattr(_mnist, "cache_folder", lambda: str(tmp_path / "caches"))
    monkeypatch.delenv("TINYGRAD_CONV_DATA", raising=False)
    monkeypatch.delenv("TINYGRAD_CONV_MIRRORS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "caches" / "mnist"


def fill(folder: Path, suffix: str = "", names: list[str] = NAMES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / (name + suffix)).write_bytes(gzip.compress(FILES[name]) if suffix else FILES[name])
    return folder


def assert_small(result: MNIST) -> None:
    for array, raw in zip((array for pair in result for array in pair), FILES.values(), strict=True):
        np.testing.assert_array_equal(array, read_idx(raw))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_full_set_from_each_place(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    folder = fill(tmp_path / "given", suffix)
    assert_small(mnist(full=True, data_dir=folder))
    assert_small(mnist(full=True, data_dir=str(folder)))
    monkeypatch.setenv("TINYGRAD_CONV_DATA", str(folder))
    assert_small(mnist(full=True))
    monkeypatch.setenv("TINYGRAD_CONV_DATA", str(tmp_path / "nothing here"))
    fill(cache, suffix)
    assert_small(mnist(full=True))


def test_places_are_looked_into_in_order(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = fill(tmp_path / "bad")
    (bad / NAMES[0]).write_bytes(OTHERS[NAMES[0]])
    good = fill(tmp_path / "good")
    monkeypatch.setenv("TINYGRAD_CONV_DATA", str(bad))
    assert_small(mnist(full=True, data_dir=good))
    fill(cache)
    with pytest.raises(DataError, match=r"bad.*replace or delete the file"):  # never passed over in silence
        mnist(full=True)
    (bad / NAMES[0]).unlink()
    assert_small(mnist(full=True))  # one file from the cache, three from the named folder


def test_data_dir_expands_the_home_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill(tmp_path / "digits")
    assert_small(mnist(full=True, data_dir="~/digits"))


def test_data_dir_that_lacks_files_is_an_error_even_if_the_cache_has_them(cache: Path, tmp_path: Path) -> None:
    fill(cache)
    folder = fill(tmp_path / "half", names=NAMES[:2])
    with pytest.raises(DataError) as caught:
        mnist(full=True, data_dir=folder)
    assert str(caught.value) == (
        f"mnist: expected 4 IDX files (plain or .gz) in {folder}, got no t10k-images-idx3-ubyte,"
        " t10k-labels-idx1-ubyte; add what is missing or name another folder"
    )


def test_data_dir_that_is_no_folder(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for path in (tmp_path / "nowhere", file):
        with pytest.raises(DataError, match=r"expected a folder with the IDX files, got .*, which is no folder"):
            mnist(full=True, data_dir=path)


BAD_FILES = {
    "ends early": (FILES[NAMES[0]][:-7], "is truncated"),
    "gzip ends early": (gzip.compress(FILES[NAMES[0]])[:-200], "truncated or damaged"),
    "gzip checksum": (gzip.compress(FILES[NAMES[0]])[:-8] + bytes(8), "CRC"),
    "wrong magic": (b"\0\0\x99\x03" + FILES[NAMES[0]][4:], "expected an IDX file"),
    "wrong count": (
        write_idx(np.zeros((59, 28, 28), "uint8")),
        r"shape \(60, 28, 28\), got shape \(59, 28, 28\)",
    ),
    "labels for images": (FILES[NAMES[1]], r"shape \(60, 28, 28\), got shape \(60,\)"),
    "wrong content": (OTHERS[NAMES[0]], r"SHA-256 [0-9a-f]{12}.*other bytes \(SHA-256 [0-9a-f]{12}"),
}


@pytest.mark.parametrize(("blob", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_files_are_named(cache: Path, tmp_path: Path, blob: bytes, message: str) -> None:
    for folder, data_dir in ((cache, None), (tmp_path / "given", tmp_path / "given")):
        (fill(folder) / NAMES[0]).write_bytes(blob)
        with pytest.raises(DataError, match=message) as caught:
            mnist(full=True, data_dir=data_dir)
        assert str(caught.value).startswith(f"mnist: {folder / NAMES[0]}: expected ")
        assert str(caught.value).count("\n") == 0


def test_data_dir_belongs_to_the_full_set() -> None:
    with pytest.raises(ArgumentError, match=r"mnist\(full=True, ...\)"):
        mnist(data_dir="somewhere")
    with pytest.raises(ArgumentError, match=r"mnist\(full=True, ...\)"):
        mnist(mirrors=[])


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [("linux", "XDG_CACHE_HOME", ".cache"), ("darwin", None, "Caches"), ("win32", "LOCALAPPDATA", "Local")],
)
def test_cache_folder_of_each_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, tail: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    if variable:
        monkeypatch.delenv(variable, raising=False)
    folder = fetch.cache_folder()
    assert os.path.basename(folder) == "tinygrad-conv"
    assert os.path.dirname(folder).endswith(tail)
    if variable:
        monkeypatch.setenv(variable, os.path.join("else", "where"))
        assert fetch.cache_folder() == os.path.join("else", "where", "tinygrad-conv")


# --- the full set, downloaded -----------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """One mirror for each way to go wrong: the path's first part names it, the second the file."""

    asked: list[str]
    release: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        _, mirror, name = self.path.split("/")
        body = gzip.compress(FILES[name.removesuffix(".gz")])
        if mirror in ("404", "500"):
            self.send_error(int(mirror))
            return
        if mirror == "silent":
            self.release.wait(10)
            return
        sent = {
            "good": body,
            "cut": body[: len(body) // 2],
            "short": body[: len(body) // 2],
            "empty": b"",
            "checksum": body[:-8] + bytes(8),
            "page": b"<html>please log in</html>",
            "others": gzip.compress(OTHERS[name.removesuffix(".gz")]),
        }[mirror]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body if mirror == "cut" else sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a local server, and the list of the paths it was asked for."""
    pytest.importorskip("pooch", reason="downloads need the extra 'data'")
    Handler.asked, Handler.release = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", Handler.asked
        Handler.release.set()
        running.shutdown()
        thread.join()


def test_download_fills_the_cache_once(cache: Path, server: tuple[str, list[str]]) -> None:
    address, asked = server
    assert_small(mnist(full=True, mirrors=[f"{address}/good/"]))
    assert asked == [f"/good/{name}.gz" for name in NAMES]
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert_small(mnist(full=True))  # no mirrors now
    assert len(asked) == 4


BAD_MIRRORS = {
    "404": r"HTTP 404",
    "500": r"HTTP 500",
    "cut": r"ChunkedEncodingError|truncated",
    "short": r"train-images-idx3-ubyte.gz: expected a whole compressed file, got a truncated",
    "empty": r"expected an IDX file",
    "checksum": r"CRC",
    "page": r"expected an IDX file .*starts with \[60, 104, 116, 109\]",
    "others": r"got other bytes \(SHA-256",
    "silent": r"Timeout",
}


@pytest.mark.parametrize("kind", BAD_MIRRORS)
def test_bad_mirror_gives_way_to_the_next(
    cache: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    address, asked = server
    assert_small(mnist(full=True, mirrors=[f"{address}/{kind}", f"{address}/good"]))
    assert asked == [f"/{kind}/{NAMES[0]}.gz", *(f"/good/{name}.gz" for name in NAMES)]  # asked once only
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)


@pytest.mark.parametrize("kind", BAD_MIRRORS)
def test_bad_mirrors_leave_nothing_in_the_cache(
    cache: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    address, _ = server
    with pytest.raises(DataError, match=f"{address}/{kind} \\(.*({BAD_MIRRORS[kind]})") as caught:
        mnist(full=True, mirrors=[f"{address}/{kind}"])
    message = str(caught.value)
    assert message.startswith(f"mnist: expected {NAMES[0]} in {cache}, or to download it, got from the mirrors: ")
    assert message.endswith("\ncheck the network and try again, or pass data_dir= a folder that has the IDX files")
    assert message.count("\n") == 1
    assert list(cache.iterdir()) == []


def test_no_network(cache: Path, server: tuple[str, list[str]]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_address[1]
    with pytest.raises(DataError, match=f"http://127.0.0.1:{port} \\(ConnectionError\\)\ncheck the network"):
        mnist(full=True, mirrors=[f"http://127.0.0.1:{port}"])
    with pytest.raises(DataError, match="got from the mirrors: none was given"):
        mnist(full=True, mirrors=[])


def test_mirrors_from_the_environment(
    cache: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = server
    monkeypatch.setenv("TINYGRAD_CONV_MIRRORS", f"{address}/404 {address}/good")
    assert_small(mnist(full=True))
    assert [path.split("/")[1] for path in asked] == ["404", *["good"] * 4]
    (cache / f"{NAMES[3]}.gz").unlink()
    assert_small(mnist(full=True, mirrors=f"{address}/good"))  # one address is taken for a list of one
    assert asked[5:] == [f"/good/{NAMES[3]}.gz"]


def test_interrupted_download_leaves_nothing(
    cache: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mnist(full=True, mirrors=[f"{server[0]}/good"])
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written(cache: Path, server: tuple[str, list[str]]) -> None:
    cache.parent.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match=r"got a cache folder that cannot be written \(.+\)\n.* pass data_dir="):
        mnist(full=True, mirrors=[f"{server[0]}/good"])
    assert server[1] == []  # found out before any download


def test_download_without_pooch(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("TINYGRAD_CONV_DATA", str(tmp_path / "typo"))
    with pytest.raises(MissingExtraError, match=r"pip install 'tinygrad-conv\[data\]'\nor pass data_dir=") as caught:
        mnist(full=True)
    assert str(tmp_path / "typo") in str(caught.value)
    fill(cache)
    assert_small(mnist(full=True))


# --- the script that makes the sample ---------------------------------------------------------------------


@pytest.fixture
def maker(cache: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_maker()
    monkeypatch.setattr(module, "TRAIN", 20)
    monkeypatch.setattr(module, "TEST", 12)
    return module


def test_maker_shares_by_largest_remainder(maker: ModuleType) -> None:
    assert maker.shares(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert maker.shares(np.array([47, 33, 20]), 10).tolist() == [5, 3, 2]  # 4.7, 3.3, 2.0
    assert maker.shares(np.array([1, 1, 1]), 4).tolist() == [2, 1, 1]  # a tie goes to the smaller digit
    assert maker.shares(np.array(CLASS_COUNTS[0]), 10_000).sum() == 10_000


def test_maker_picks_evenly_within_each_class(maker: ModuleType) -> None:
    labels = np.array([0, 1, 0, 1, 0, 0, 1, 0, 0, 1], dtype="uint8")  # zeros at 0 2 4 5 7 8, ones at 1 3 6 9
    assert maker.pick(labels, 5).tolist() == [
        2,
        3,
        5,
        8,
        9,
    ]  # the 1st, 3rd and 5th of six; the 1st and 3rd of four
    assert maker.pick(labels, 10).tolist() == list(range(10))


def test_maker_writes_and_checks(maker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = fill(tmp_path / "source", ".gz"), tmp_path / "out"
    call = [str(source), "--out", str(out)]
    assert maker.main([*call, "--check"]) == 1
    assert capsys.readouterr().out.count(": missing\n") == 4
    assert not out.exists()

    assert maker.main(call) == 0
    printed = capsys.readouterr().out
    full = {name: read_idx(raw) for name, raw in FILES.items()}
    for split, n in (("train", 20), ("t10k", 12)):
        rows = maker.pick(full[f"{split}-labels-idx1-ubyte"], n)
        assert len(rows) == n
        assert (np.diff(rows) > 0).all()
        for name in (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"):
            raw = lzma.decompress((out / f"{name}.xz").read_bytes())
            assert raw == write_idx(full[name][rows])
            assert hashlib.sha256(raw).hexdigest() in printed
    assert maker.main([*call, "--check"]) == 0
    assert capsys.readouterr().out.count(": identical\n") == 4

    (out / f"{NAMES[1]}.xz").write_bytes(lzma.compress(write_idx(full[NAMES[1]])))
    (out / f"{NAMES[2]}.xz").write_bytes(b"noise")
    images = lzma.decompress((out / f"{NAMES[0]}.xz").read_bytes())
    (out / f"{NAMES[0]}.xz").write_bytes(lzma.compress(images, preset=0))
    assert maker.main([*call, "--check"]) == 1
    printed = capsys.readouterr().out
    assert f"{NAMES[0]}.xz: same data, packed differently" in printed
    assert printed.count(": other data\n") == 2


def test_maker_refuses_other_sources(maker: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        maker.main([str(tmp_path / "nowhere")])
    assert "which is no folder" in capsys.readouterr().err


# --- datasets ---------------------------------------------------------------------------------------------


def test_dataset_basics() -> None:
    x, y = np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1]
    data = Dataset(x, y)
    assert len(data) == 6
    assert repr(data) == f"Dataset(6 examples of float64 (2,), {np.asarray(y).dtype} ())"
    assert data.arrays[0] is x  # not copied
    for i in (0, 5, -1, np.int64(2)):
        example, label = data[i]
        np.testing.assert_array_equal(example, x[i])
        assert label == y[i]
    assert [int(label) for _, label in data] == y
    assert list(Dataset([3, 4])) == [3, 4]  # one array: bare entries
    assert Dataset([3, 4])[1] == 4


@pytest.mark.parametrize(
    "key", [slice(1, 4), slice(None, None, -2), [3, 0, 0], [], np.array([True, False] * 3), np.array([5, -6])]
)
def test_dataset_parts_are_datasets(key: Any) -> None:
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    part = Dataset(x, y)[key]
    assert isinstance(part, Dataset)
    np.testing.assert_array_equal(part.arrays[0], x[key])
    np.testing.assert_array_equal(part.arrays[1], y[key])


@pytest.mark.parametrize("key", [6, -7, 1.0, "a", (1, 2), None, [[0]], [True], [0.5]])
def test_dataset_refuses_other_keys(key: Any) -> None:
    with pytest.raises(IndexingError, match="Dataset: expected an integer, a slice, a mask"):
        Dataset(np.zeros((6, 2)))[key]


def test_dataset_refuses_other_arrays() -> None:
    with pytest.raises(ShapeError, match="Dataset: expected arrays of equal length, got lengths 3, 2, 3"):
        Dataset([1, 2, 3], np.zeros((2, 5)), ["a", "b", "c"])
    with pytest.raises(ShapeError, match=r"rank 1 or more, got shapes \(2,\), \(\)"):
        Dataset([1, 2], 3)
    with pytest.raises(ArgumentError, match="at least one array"):
        Dataset()
    with pytest.raises(ArgumentError, match="rows of equal shape"):
        Dataset([[1, 2], [3]])
    with pytest.raises(ShapeError, match="got lengths 3, 2"):
        batches([1, 2, 3], [1, 2])


@given(st.integers(0, 40), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_split_parts_every_example_once(n: int, fraction: float, seed: int) -> None:
    data = Dataset(np.arange(n), -np.arange(n))
    first, second = data.split(fraction, seed=seed)
    assert len(first) == round(fraction * n)
    assert sorted([*first.arrays[0], *second.arrays[0]]) == list(range(n))
    for part in (first, second):
        assert sorted(part.arrays[0]) == list(part.arrays[0])  # in the original order
        np.testing.assert_array_equal(part.arrays[0], -part.arrays[1])
    again, _ = data.split(fraction, seed=seed)
    np.testing.assert_array_equal(first.arrays[0], again.arrays[0])


def test_split_draws_and_refuses() -> None:
    data = Dataset(np.arange(100))
    firsts = [data.split(0.5, seed=seed)[0].arrays[0].tolist() for seed in (0, 1, np.random.default_rng(2))]
    assert firsts[0] != firsts[1] != firsts[2] != list(range(50))
    for fraction in (0, 1, -0.5, 80, float("nan")):
        with pytest.raises(ArgumentError, match=r"Dataset\.split: expected fraction to be a number in \(0, 1\), got"):
            data.split(fraction)
    with pytest.raises(
        DTypeError, match=r"Dataset\.split: expected seed to be an int >= 0 or a numpy\.random\.Generator, got"
    ):
        data.split(0.5, seed="x")  # type: ignore[arg-type]


# --- batches ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 60), st.integers(0, 2**64), st.booleans(), st.booleans())
def test_each_epoch_meets_every_example_once(n: int, size: int, seed: int, shuffle: bool, drop_last: bool) -> None:
    x = np.arange(2 * n).reshape(n, 2)
    runs = []
    for _ in range(2):
        made = batches(x, -x[:, 0], batch_size=size, shuffle=shuffle, seed=seed, drop_last=drop_last)
        epochs = [list(made) for _ in range(2)]
        for epoch in epochs:
            assert len(epoch) == len(made) == (n // size if drop_last else -(-n // size))
            assert all(len(xb) == size for xb, _ in epoch[:-1])
            for xb, yb in epoch:
                assert xb.shape == (len(yb), 2)
                np.testing.assert_array_equal(xb[:, 0], -yb)  # rows stay together
            seen = [int(row) // 2 for xb, _ in epoch for row in xb[:, 0]]
            kept = n - n % size if drop_last else n
            assert len(seen) == len(set(seen)) == kept
            if not shuffle:
                assert seen == list(range(kept))
        runs.append([[(xb.tolist(), yb.tolist()) for xb, yb in epoch] for epoch in epochs])
    assert runs[0] == runs[1]  # the same seed, the same orders


def orders(made: Any, epochs: int = 2) -> list[list[int]]:
    return [np.concatenate(list(made)).tolist() for _ in range(epochs)]


def test_orders_differ_from_epoch_to_epoch_and_seed_to_seed() -> None:
    x = np.arange(100)
    first, second = orders(batches(x))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(100)) != first
    assert orders(batches(x, seed=1)) != [first, second]
    assert orders(batches(x, seed=np.random.default_rng(0))) == [first, second]
    assert orders(Dataset(x).batches()) == orders(batches(Dataset(x))) == [first, second]


def test_two_loops_at_once_do_not_disturb_each_other() -> None:
    made = batches(np.arange(20), batch_size=3)
    pairs = list(zip(made, made, strict=True))
    for side in zip(*pairs, strict=True):
        assert sorted(np.concatenate(side).tolist()) == list(range(20))


def test_batches_are_new_arrays_of_any_kind() -> None:
    x = np.asfortranarray(np.arange(24.0).reshape(6, 4))[:, ::2]
    for shuffle in (True, False):
        for xb, words in batches(x, list("abcdef"), batch_size=4, shuffle=shuffle):
            assert type(xb) is type(words) is np.ndarray
            assert words.dtype.kind == "U"
            xb[:] = -1  # the user's own array stays as it is
    assert x.min() == 0
    assert repr(batches(x, batch_size=4)) == "Batches(2 of up to 4 from Dataset(6 examples of float64 (2,)))"


def test_batches_refuses_other_arguments() -> None:
    x = np.arange(4)
    for size in (0, -1):
        with pytest.raises(
            ArgumentError, match=f"batches: expected batch_size to be an int >= 1, got {size}; use batch_size=1"
        ):
            batches(x, batch_size=size)
    for wrong in (2.0, "2", None):
        with pytest.raises(
            DTypeError, match=r"batches: expected batch_size to be an int >= 1, got .+; use batch_size="
        ):
            batches(x, batch_size=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"batches: expected seed to be an int >= 0 or .*, got -1"):
        batches(x, seed=-1)
    with pytest.raises(
        DTypeError, match=r"batches: expected seed to be an int >= 0 or a numpy\.random\.Generator, got"
    ):
        batches(x, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="at least one array"):
        batches()
    assert len(batches(x, batch_size=np.int64(3))) == 2
