"""Arrays that belong together, example by example, and the batches they are trained in."""

from __future__ import annotations  # so that NumPy imports its random generators at first use

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_conv.arguments import Seed, Size, bare_array, checked, described, drawn_from, numbers
from tinygrad_conv.errors import ArgumentError, IndexingError, ShapeError

# One example or one batch: a tuple with an entry for each array, or the bare entry where there is one array.
# `Any`, since a union would make every `x, y = ...` an error to type checkers.
Row = Any
Share: TypeAlias = Annotated[float, numbers("a number in (0, 1)", 0, 1, to_low=False)]
KEYS = "an integer, a slice, a mask or indices of rank 1, within the length"


@checked
class Dataset:
    """Arrays of equal length; entry ``i`` of each belongs to example ``i``.

    Args:
        arrays: one or more arrays or lists of any dtype and of rank 1 or more, not copied where they are
            NumPy arrays.

    Indexing with an integer gives one example, with a slice, an index array or a mask another ``Dataset``.
    Iterating gives the examples in order; ``batches`` gives batches.

    Raises:
        ShapeError: lengths differ, or an array has rank 0.
        ArgumentError: no array was given, or one is ragged.
        IndexingError: an index is out of range or of another kind.

    >>> data = Dataset([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [0, 1, 0])
    >>> data
    Dataset(3 examples of float64 (2,), int64 ())
    >>> x, y = data[1]
    >>> x, int(y)
    (array([2., 3.]), 1)
    >>> len(data[1:])
    2
    """

    def __init__(self, *arrays: ArrayLike) -> None:
        if not arrays:
            raise ArgumentError("Dataset: expected at least one array, got none")
        self.arrays: tuple[NDArray[Any], ...] = tuple(map(_as_array, arrays))
        if any(array.ndim == 0 for array in self.arrays):
            shapes = ", ".join(str(array.shape) for array in self.arrays)
            raise ShapeError(f"Dataset: expected arrays of rank 1 or more, got shapes {shapes}")
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            raise ShapeError(f"Dataset: expected arrays of equal length, got lengths {', '.join(map(str, lengths))}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, key: Any) -> Row:
        try:
            rows = np.arange(len(self))[key]  # NumPy judges the key, once for all arrays
        except IndexError as error:
            raise IndexingError(f"Dataset: expected {KEYS}, got {described(key)}: {error}") from None
        if rows.ndim > 1:
            raise IndexingError(f"Dataset: expected {KEYS}, got {described(key)}")
        picked = tuple(array[rows] for array in self.arrays)
        return _row(picked) if rows.ndim == 0 else Dataset(*picked)

    def __iter__(self) -> Iterator[Row]:
        return map(_row, zip(*self.arrays, strict=True))

    def __repr__(self) -> str:
        entries = ", ".join(f"{array.dtype} {array.shape[1:]}" for array in self.arrays)
        return f"Dataset({len(self)} examples of {entries})"

    def split(self, fraction: Share, seed: Seed = 0) -> tuple[Dataset, Dataset]:
        """Two datasets: ``round(fraction * len)`` examples drawn at random, and the others, in their order.

        Args:
            fraction: between 0 and 1, both excluded.
            seed: the same seed gives the same split.

        Raises:
            ArgumentError: ``fraction`` is not between 0 and 1, or ``seed`` is negative.
            DTypeError: ``seed`` is neither an integer nor a generator.

        >>> train, valid = Dataset(np.arange(10)).split(0.8, seed=0)
        >>> len(train), len(valid)
        (8, 2)
        """
        order = drawn_from(seed).permutation(len(self))
        first = np.zeros(len(self), dtype=bool)
        first[order[: round(fraction * len(self))]] = True
        return self[first], self[~first]

    def batches(
        self,
        batch_size: Size = 32,
        shuffle: bool = True,
        seed: Seed = 0,
        drop_last: bool = False,
    ) -> Batches:
        """The batches of this dataset; see ``tinygrad_conv.data.batches``.

        >>> data = Dataset(np.arange(4), np.arange(4) ** 2)
        >>> [x.tolist() for x, y in data.batches(batch_size=2, shuffle=False)]
        [[0, 1], [2, 3]]
        """
        return Batches(self, batch_size, shuffle, seed, drop_last)


@checked
class Batches:
    """What ``batches`` returns: ``len`` is the number of batches, each ``for`` loop over it is one epoch."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: Size,
        shuffle: bool,
        seed: Seed,
        drop_last: bool,
    ) -> None:
        self.batch_size = batch_size
        self.dataset = dataset
        self.shuffle = shuffle
        self.drop_last = drop_last
        self._rng = drawn_from(seed)  # runs on from epoch to epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Row]:
        n, size = len(self.dataset), self.batch_size
        order = self._rng.permutation(n) if self.shuffle else np.arange(n)
        for start in range(0, len(self) * size, size):
            rows = order[start : start + size]
            yield _row(tuple(array.take(rows, axis=0) for array in self.dataset.arrays))

    def __repr__(self) -> str:
        return f"Batches({len(self)} of up to {self.batch_size} from {self.dataset!r})"


@checked
def batches(
    *arrays: ArrayLike | Dataset,
    batch_size: Size = 32,
    shuffle: bool = True,
    seed: Seed = 0,
    drop_last: bool = False,
) -> Batches:
    """Arrays of equal length in batches, for one epoch or many.

    Each ``for`` loop over the result is an epoch: it meets every example once, in a new order, and the same
    seed gives the same orders again. So make the batches once, outside the loop over epochs.

    Args:
        arrays: one or more arrays or lists of any dtype, rank 1 or more and equal length; or one ``Dataset``.
        batch_size: examples in a batch, 1 or more.
        shuffle: a new order in each epoch; else the arrays' own.
        seed: an integer from 0, or a ``numpy.random.Generator`` to draw from.
        drop_last: leave out the last batch where it would be short.

    Returns:
        An iterable with a ``len``, of tuples of new arrays, one for each given; of bare arrays if one was
        given.

    Raises:
        ShapeError: lengths differ, or an array has rank 0.
        ArgumentError: ``batch_size`` or ``seed`` is out of range, no array was given, or one is ragged.
        DTypeError: ``batch_size`` is no integer, or ``seed`` neither an integer nor a generator.

    >>> x, y = np.arange(10.0), np.arange(10) % 2
    >>> epochs = batches(x, y, batch_size=4, seed=0)
    >>> len(epochs)
    3
    >>> [len(xb) for xb, yb in epochs]
    [4, 4, 2]
    >>> [xb.tolist() for xb in batches(x, batch_size=5, shuffle=False)]
    [[0.0, 1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]]
    """
    first = arrays[0] if len(arrays) == 1 else None
    dataset = first if isinstance(first, Dataset) else Dataset(*arrays)  # type: ignore[arg-type]
    return dataset.batches(batch_size, shuffle, seed, drop_last)


def _as_array(array: ArrayLike) -> NDArray[Any]:
    array = bare_array(array, "Dataset")
    try:
        return np.asarray(array)
    except ValueError as error:
        raise ArgumentError(f"Dataset: expected arrays with rows of equal shape, got: {error}") from error


def _row(entries: tuple[Any, ...]) -> Row:
    return entries[0] if len(entries) == 1 else entries
