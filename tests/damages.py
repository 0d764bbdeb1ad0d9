"""What can be done to a file, and what reading it then may do: end in a result or in an error of the library's."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np

from tinygrad_conv import files
from tinygrad_conv.errors import TinygradConvError


def flip(blob, rng):
    at = int(rng.integers(len(blob)))
    return blob[:at] + bytes([blob[at] ^ 1 << int(rng.integers(8))]) + blob[at + 1 :]


def cut(blob, rng):
    return blob[: int(rng.integers(len(blob)))]


def span(blob, rng):
    a, b = sorted(rng.integers(len(blob) + 1, size=2))
    return int(a), int(b)


def remove(blob, rng):
    a, b = span(blob, rng)
    return blob[:a] + blob[b:]


def repeat(blob, rng):
    a, b = span(blob, rng)
    return blob[:b] + blob[a:]


def swap(blob, rng):
    a, b = span(blob, rng)
    c = a + (b - a) // 2
    return blob[:a] + blob[c:b] + blob[a:c] + blob[b:]


def zeros(blob, rng):
    a, b = span(blob, rng)
    return blob[:a] + bytes(b - a) + blob[b:]


def lie(blob, rng):
    """Some number in a header is the largest, the smallest, or another."""
    size = int(rng.choice([1, 2, 4, 8]))
    at = int(rng.integers(min(len(blob), int(rng.choice([64, len(blob)])))))
    value = [b"\xff" * size, bytes(size), b"\x7f" + b"\xff" * (size - 1), rng.bytes(size)][int(rng.integers(4))]
    return blob[:at] + value[:: int(rng.choice([-1, 1]))] + blob[at + size :]


def digits(blob, rng):
    """A number in a text is another: JSON, and the headers of arrays."""
    places = [k for k, byte in enumerate(blob) if 48 <= byte < 58]
    if not places:
        return flip(blob, rng)
    at = int(rng.choice(places))
    new = [b"9" * 30, b"-1", b"1e400", b"NaN", b"null", b"[" * 2000, b'"1"', b"0", b"true", b"{}"][
        int(rng.integers(10))
    ]
    return blob[:at] + new + blob[at + 1 :]


DAMAGES = [flip, cut, remove, repeat, swap, zeros, lie, digits]
ENTRY = {  # what is done to one array in an archive, whose checksums are right
    "no entry": lambda name, array: {},
    "another name": lambda name, array: {f"{name}_": array},
    "one more": lambda name, array: {name: array, f"{name}_": array},
    "another shape": lambda name, array: {name: np.stack([array, array])},
    "text": lambda name, array: {name: np.array(f"{array}!")},  # which is none that was there
    "complex numbers": lambda name, array: {name: array.astype(complex) + 1j if array.dtype.kind in "fiu" else 1j},
    "huge numbers": lambda name, array: {name: np.full(array.shape, 1e300)},
    "a negative number": lambda name, array: {name: np.full(array.shape, -1)},
}
ENTRIES = [*ENTRY, "another checksum"]


def with_a_damaged_entry(blob, how, at, path):
    """Write an archive with something done to one of its arrays; the name of that."""
    path.write_bytes(blob)
    with np.load(path) as archive:
        arrays = dict(archive)
    chosen = sorted(arrays)[at % len(arrays)]
    if how in ENTRY:
        others = (ENTRY[how](name, array) if name == chosen else {name: array} for name, array in arrays.items())
        files.write_arrays(path, {name: array for other in others for name, array in other.items()})
    else:
        place = blob.rindex(f"{chosen}.npy".encode()) - 30  # of the checksum, in the list of entries
        path.write_bytes(blob[:place] + bytes(4) + blob[place + 4 :])
    return chosen


FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
watched = []


def watch(event, args):
    if watched and event in FORBIDDEN:
        watched.append((event, args))


sys.addaudithook(watch)


def attempt(read, path, most=8 << 20):
    """What reading ends in: a result, or an error of the library's. Anything else, code or much memory fails."""
    watched[:] = ["on"]
    tracemalloc.start()
    try:
        found = read(path)
    except TinygradConvError as error:
        found = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        ran, watched[:] = watched[1:], []
    assert not ran
    assert peak < most, f"{peak:,} bytes"
    return found


def changed(state, read, *args):
    """What `state` gives after reading; it sees that where reading fails nothing is changed."""
    before = state()
    try:
        read(*args)
    except BaseException:
        assert state() == before
        raise
    return state()
