"""Make the MNIST sample that the package carries, from the four original IDX files.

    python examples/make_mnist_sample.py FOLDER           write the sample's files
    python examples/make_mnist_sample.py FOLDER --check   compare them with what would be written

The rule has no randomness in it, so that it gives the same bytes with every version of NumPy:

1. Each class gets its share of the images in the original proportion, rounded by largest remainder (of equal
   remainders, the smaller digit's comes first).
2. Of a class with n images, k are picked evenly spaced: the (2i + 1) n // 2k-th, for i = 0 ... k - 1, that is
   the middle of each of k equal stretches.
3. The picked images keep the original order.
"""

import argparse
import hashlib
import lzma
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinygrad_conv.data import MNIST, _mnist, mnist, read_idx, write_idx
from tinygrad_conv.errors import DataError
from tinygrad_conv.files import write

TRAIN, TEST = 10_000, 2_000

# Every setting is written out, since a preset may mean something else in the next version of the library. No
# literal position bits: pixels come one byte at a time.
FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "dict_size": 2**24,
        "lc": 4,
        "lp": 0,
        "pb": 0,
        "mode": lzma.MODE_NORMAL,
        "nice_len": 273,
        "mf": lzma.MF_BT4,
        "depth": 512,
    }
]


def shares(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """``total`` divided in the proportion of ``counts``, rounded by largest remainder."""
    quotas, remainders = np.divmod(counts * total, counts.sum())
    quotas[np.argsort(-remainders, kind="stable")[: total - quotas.sum()]] += 1
    return quotas


def pick(labels: NDArray[np.uint8], total: int) -> NDArray[np.int64]:
    """The ascending indices of ``total`` examples, evenly spaced within each class."""
    counts = np.bincount(labels).astype(np.int64)
    picked = [
        np.flatnonzero(labels == digit)[(2 * np.arange(k) + 1) * n // (2 * k)]
        for digit, (n, k) in enumerate(zip(counts, shares(counts, total), strict=True))
        if k > 0
    ]
    return np.sort(np.concatenate(picked))


def make(original: MNIST) -> dict[str, bytes]:
    """The sample's files, name to content."""
    (x_train, y_train), (x_test, y_test) = original
    train, test = pick(y_train, TRAIN), pick(y_test, TEST)
    arrays = x_train[train], y_train[train], x_test[test], y_test[test]
    return {
        f"{source.name}.xz": lzma.compress(write_idx(array), check=lzma.CHECK_CRC32, filters=FILTERS)
        for source, array in zip(_mnist.FULL, arrays, strict=True)
    }


def differences(path: Path, content: bytes) -> str | None:
    """What is wrong with the file at ``path``, if anything."""
    if not path.is_file():
        return "missing"
    if path.read_bytes() == content:
        return None
    try:
        same = np.array_equal(read_idx(path), read_idx(content))
    except DataError:
        same = False
    return "same data, packed differently by this version of liblzma" if same else "other data"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the MNIST sample that the package carries.")
    parser.add_argument("source", type=Path, help="folder with the four original IDX files, gzipped or not")
    parser.add_argument("--out", type=Path, default=Path(_mnist.SAMPLE_FOLDER), help="where the sample lies")
    parser.add_argument("--check", action="store_true", help="compare the sample with the source, write nothing")
    args = parser.parse_args(argv)
    try:
        files = make(mnist(full=True, data_dir=args.source))
    except DataError as error:
        parser.error(str(error))

    faults = 0
    for name, content in files.items():
        if args.check:
            fault = differences(args.out / name, content)
            faults += fault is not None
            print(f"{name}: {fault or 'identical'}")
        else:
            args.out.mkdir(parents=True, exist_ok=True)
            write(args.out / name, content)
            sha256 = hashlib.sha256(lzma.decompress(content)).hexdigest()
            print(f"{name}: {len(content)} bytes, SHA-256 of the unpacked file {sha256}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
