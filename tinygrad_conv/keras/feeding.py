"""What `fit`, `evaluate` and `predict` are fed with: arrays, or batches from whoever gives them.

A `Feed` gives batches, pass after pass. Its kinds:

===========================================  ==================================================================
arrays                                       cut into batches, in a new order at each pass if asked for
an object with ``__len__``, ``__getitem__``  batch k is ``data[k]``; told of ``on_epoch_begin`` and ``on_epoch_end``
an iterable                                  iterated anew at each pass: `tg.data.batches`, a list of batches
an iterator, such as a generator             read on from pass to pass
===========================================  ==================================================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np

from ..arguments import as_array as plain_array
from ..engine.tensor import Tensor
from ..errors import ArgumentError, DTypeError, ShapeError, TinygradConvError
from ..files import put_generator, where_is
from ..nn import init
from .absent import missing

__all__ = ["Batch", "Feed", "as_array", "feed_of", "gives_batches"]

Array: TypeAlias = Any


@dataclass(frozen=True)
class Batch:
    """Examples: inputs, labels, and what each example's loss counts."""

    x: Array
    y: Array = None
    weights: Array = None
    targets: Array = None  # the labels as the loss wants them, once that is known

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: slice | Array) -> Batch:
        arrays = (self.x, self.y, self.weights, self.targets)
        if isinstance(chosen, slice):
            return Batch(*(None if array is None else array[chosen] for array in arrays))
        return Batch(*(None if array is None else array.take(chosen, axis=0) for array in arrays))


class Feed:
    """Batches for one epoch after another.

    Parameters
    ----------
    what : str
        Who asks, for messages.
    passes : function, optional
        Starts a pass over the data: an iterator of batches. None where `_begin` is overridden.
    length : int, optional
        How many batches a pass has, where that is known.
    steps : int, optional
        How many batches an epoch takes, going on where the last one stopped; a whole pass when None.
    again : bool
        May a pass be started more than once?
    source : object, optional
        Whoever is told of the beginnings and ends of epochs.
    own_order : bool
        Do the data keep their own order, which the package's generator knows nothing of?

    Attributes
    ----------
    passes, taken : int
        Passes that were begun, and batches that were taken of the last one.
    order : str
        Where the package's generator was when that one began.
    """

    def __init__(
        self, what: str, passes: Callable[[], Iterator[Batch]] | None, length: int | None, steps: int | None, *,
        again: bool = True, source: Any = None, own_order: bool = False,
    ) -> None:  # fmt: skip
        self.what, self.steps, self.again = what, steps, again
        self.batches = length if steps is None else steps  # in an epoch, as far as anybody knows
        self._passes, self._source = passes, source
        self._pass: Iterator[Batch] | None = None
        self._begun, self._own_order = False, own_order  # were batches used?
        self.passes, self.taken, self.order = 0, 0, ""
        self._before = 0  # batches of this epoch that a training before has used

    def look(self) -> Batch:
        """What the data are like: the first batch, which is still to come."""
        batches = self._current()
        first = next(batches, None)
        if first is None:
            raise ArgumentError(f"{self.what}: expected at least one batch, got none")
        self._pass = chain([first], batches)
        return first

    def epoch(self, anew: bool = False) -> Iterator[Batch]:
        """The batches of one epoch; `anew` begins another pass, if that is possible.

        Warns where there are some batches, and fewer than `steps`.
        """
        self._tell("on_epoch_begin")
        if anew and self._begun and self.again:
            self._pass = None
        self._begun = True
        if self.steps is None:
            batches, self._pass = self._current(), None
            for each in batches:
                self.taken += 1
                yield each
        else:
            for count in range(self._before, self.steps):
                batch = self._next(begins=count == 0)
                if batch is None:
                    if count:
                        message = f"{self.what}: the data ended after {count} of {self.steps} batches"
                        warnings.warn(f"{message}: use fewer steps, or data that go on", stacklevel=2)
                    break
                self.taken += 1
                yield batch
        self._before = 0
        self._tell("on_epoch_end")

    def check(self, passes: int, taken: int, epochs: int, used: int) -> None:
        """Raise ValueError where `go_to` would go further than so many epochs and batches can have come."""
        steps = self.steps or 1
        if passes > 1 + epochs * steps + used or (self.steps and taken > epochs * steps + used):
            raise ValueError(f"{passes} passes and {taken} batches after {epochs} epochs")

    def go_to(self, passes: int, taken: int, order: str, epochs: int, used: int) -> None:
        """Go to where the feed of a training before was: so many whole epochs, and then `used` batches, later."""
        for event in ("on_epoch_begin", "on_epoch_end") * epochs:
            self._tell(event)
        if self.again and not self._own_order:
            put_generator(init.generator(), order)
            self.passes, self._pass = passes - 1, None
        while self.passes < passes:  # what orders itself begins those before as well
            self._pass = None
            batches = self._current()
            if self.passes < passes:
                next(batches, None)
        self.taken = sum(1 for _ in islice(self._current(), taken))
        self._begun, self._before = True, used
        if not used and self.steps is None:  # the next epoch is another pass
            self._pass = None

    def _begin(self) -> Iterator[Batch]:
        """A new pass; it is kept, so it must not hold the feed."""
        return iter(()) if self._passes is None else self._passes()

    def _current(self) -> Iterator[Batch]:
        """The pass that is under way, or a new one."""
        if self._pass is None:
            if self.passes and not self.again:
                return iter(())
            self.order = where_is(init.generator())
            self._pass, self.passes, self.taken = self._begin(), self.passes + 1, 0
        return self._pass

    def _next(self, begins: bool) -> Batch | None:
        """The next batch; an epoch may begin where a pass has just ended, and then begins another."""
        batch = next(self._current(), None)
        if batch is None:
            self._pass = None
            if begins:
                batch = next(self._current(), None)
        return batch

    def _tell(self, event: str) -> None:
        told = getattr(self._source, event, None)
        if callable(told):
            told()


class Arrays(Feed):
    """Arrays of examples, cut into batches."""

    def __init__(self, what: str, data: Batch, batch_size: int, steps: int | None, shuffle: bool) -> None:
        super().__init__(what, None, -(-len(data) // batch_size), steps)
        self.data, self._batch_size, self._shuffle = data, batch_size, shuffle

    def _begin(self) -> Iterator[Batch]:
        return _cut(self.data, self._batch_size, self._shuffle)

    def look(self) -> Batch:
        """All of the examples."""
        return self.data


def _cut(data: Batch, size: int, shuffle: bool) -> Iterator[Batch]:
    n = len(data)
    order = init.generator().permutation(n) if shuffle else None
    for start in range(0, n, size):
        stop = min(start + size, n)
        yield data[slice(start, stop) if order is None else order[start:stop]]


def feed_of(
    what: str, x: Any, y: Any = None, weights: Any = None, *, labelled: bool = True, batch_size: int | None = None,
    steps: int | None = None, shuffle: bool = False,
) -> Feed:  # fmt: skip
    """Whatever users feed models with, as a `Feed`.

    Raises ShapeError, DTypeError or ArgumentError for what cannot be that.
    """
    if not gives_batches(x, labelled and y is None):
        batch = as_batch(what, x, y, weights, labelled)
        return Arrays(what, batch, 32 if batch_size is None else batch_size, steps, shuffle)
    if callable(getattr(x, "batches", None)):
        raise DTypeError(
            f"{what}: expected batches, got {x!r}, which gives single examples: use its batches(batch_size=32)"
        )
    for name, value in (("y", y), ("sample_weight", weights), ("batch_size", batch_size)):
        if value is not None:
            where = (
                "the batches say how large they are"
                if name == "batch_size"
                else "give each batch as (x, y) or (x, y, w)"
            )
            raise ArgumentError(f"{what}: expected no {name} beside an iterable of batches: {where}")

    def checked(items: Iterator[Any]) -> Iterator[Batch]:
        return (_unpacked(what, item, labelled) for item in items)

    if hasattr(x, "__next__"):
        return Feed(what, lambda: checked(x), None, steps, again=False)
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):

        def passes() -> Iterator[Batch]:
            order = init.generator().permutation(len(x)).tolist() if shuffle else range(len(x))
            return checked(x[k] for k in order)

        return Feed(what, passes, len(x), steps, source=x)
    return Feed(what, lambda: checked(iter(x)), _length(x), steps, own_order=True)


def feeds_of(
    what: str, x: Any, y: Any, weights: Any, batch_size: int | None, steps: int | None, shuffle: bool, fraction: float,
    validation: Any, validation_batch_size: int | None, validation_steps: int | None, epochs: int,
) -> tuple[Feed, Feed | None]:  # fmt: skip
    """What `fit` learns from, and what it evaluates on."""
    tested = f"{what}, validation"
    of_validation = validation_batch_size or batch_size
    if validation is not None:
        if gives_batches(validation):
            held_out = feed_of(tested, validation, batch_size=validation_batch_size, steps=validation_steps)
            if not held_out.again and validation_steps is None and epochs > 1:
                raise ArgumentError(
                    f"{tested}: expected data that can be gone through after each of {epochs} epochs, got an iterator: "
                    "use validation_steps=, or give a list"
                )
        elif isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
            x_y_weights = (*validation, None)[:3]
            held_out = feed_of(tested, *x_y_weights, batch_size=of_validation, steps=validation_steps)
        else:
            raise DTypeError(f"{what}: expected validation_data=(x, y), (x, y, sample_weight) or batches")
    if validation is not None or not fraction:
        feed = feed_of(what, x, y, weights, batch_size=batch_size, steps=steps, shuffle=shuffle)
        return feed, None if validation is None else held_out
    if gives_batches(x, y is None):
        raise ArgumentError(f"{what}: expected arrays with validation_split, got batches: use validation_data=")
    data = as_batch(what, x, y, weights, labelled=True)
    n = int(len(data) * (1 - fraction))
    if not 0 < n < len(data):
        raise ArgumentError(
            f"{what}: expected validation_split to leave examples in both parts, got {fraction} of {len(data)}"
        )
    held_out = Arrays(tested, data[n:], of_validation or 32, validation_steps, shuffle=False)
    return Arrays(what, data[:n], batch_size or 32, steps, shuffle), held_out


def _length(x: Any) -> int | None:
    try:
        return len(x)
    except Exception:  # iterables that cannot know it raise all kinds of errors
        return None


# ------------------------------------------------------------------------------------------------------------------
# One batch


def gives_batches(x: Any, labelled: bool = False) -> bool:
    """Does it give batches, rather than being an array? A list does if its items are tuples that begin with an array.

    Items that are lists count too where labels must come from somewhere.
    """
    if x is None or _is_array(x) or isinstance(x, (str, bytes, bytearray, memoryview, dict, set, frozenset, type)):
        return False
    if isinstance(x, (list, tuple)):
        kinds = (tuple, list) if labelled else tuple
        return len(x) > 0 and all(isinstance(item, kinds) and item and _is_array(item[0]) for item in x)
    return any(hasattr(x, name) for name in ("__next__", "__iter__", "__getitem__"))


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or hasattr(value, "__array__")


def _unpacked(what: str, item: Any, labelled: bool) -> Batch:
    """A batch as an iterable gives it: (x, y) or (x, y, weights); where no labels are asked for, x alone too."""
    if isinstance(item, tuple) or (labelled and isinstance(item, list)):
        if 1 + labelled <= len(item) <= 3:
            x, y, weights = (*item, None, None)[:3]
            return as_batch(what, x, y, weights, labelled)
    elif not labelled:
        return as_batch(what, item, None, None, labelled)
    wanted = "(x, y) or (x, y, sample_weight)" if labelled else "x, (x,) or (x, y)"
    got = f"{len(item)} of them" if isinstance(item, (tuple, list)) else type(item).__name__
    raise DTypeError(f"{what}: expected each batch as {wanted}, got {got}")


def as_batch(what: str, x: Any, y: Any, weights: Any, labelled: bool) -> Batch:
    """Arrays that belong together, as NumPy arrays of equal length."""
    if isinstance(x, dict) or _are_several(x, y):
        raise missing(
            f"{what}: expected x as one array, got {len(x)} inputs: a model here has one input; put them side by side, "
            "x = np.concatenate([a, b], axis=-1), and take them apart in call(self, x)"
        )
    if isinstance(y, dict) or _are_several(y, x):
        raise missing(
            f"{what}: expected y as one array, got {len(y)} outputs: a model here has one output; to train several, "
            "add up their losses and call backward(), as the loop of tg.optim does"
        )
    x = as_array(what, "x", x)
    if not labelled:
        return Batch(x)
    y = as_array(what, "y", y)
    _same_length(what, x, y, "labels")
    if weights is None:
        return Batch(x, y)
    weights = as_array(what, "sample_weight", weights).astype(np.float32)
    _same_length(what, x, weights, "sample weights")
    if not np.isfinite(weights).all():
        raise ArgumentError(f"{what}: expected finite sample weights, got NaN or infinity among them")
    return Batch(x, y, weights)


def _are_several(value: Any, other: Any) -> bool:
    """Is it a list of arrays that are each as long as another one, and not as many of them?"""
    if not isinstance(value, (list, tuple)) or not value or not all(map(_is_array, value)):
        return False
    try:
        n = len(other)
        return len(value) != n and all(len(item) == n for item in value)
    except TypeError:
        return False


def as_array(what: str, name: str, value: Any) -> Array:
    """Data as an array of numbers with at least one example. What is no array and no list of numbers is refused."""
    if not (_is_array(value) or isinstance(value, (np.generic, int, float)) or _is_list(value)):
        got = "None" if value is None else type(value).__name__
        raise DTypeError(f"{what}: expected {name} as an array, got {got}")
    try:
        array = value._array if isinstance(value, Tensor) else plain_array(value, f"{what}: {name}")
    except TinygradConvError:
        raise
    except ValueError as error:
        raise ShapeError(f"{what}: expected {name} with examples of one shape, got {error}") from None
    except Exception as error:  # of whoever is to give an array
        raise DTypeError(f"{what}: expected {name} as an array, got {type(value).__name__}: {error}") from None
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"{what}: expected {name} as numbers, got {type(value).__name__} of dtype {array.dtype}")
    if array.ndim == 0 or not len(array):
        raise ShapeError(f"{what}: expected at least one example in {name}, got shape {array.shape}")
    return array


def _is_list(value: Any) -> bool:
    """Nested lists of numbers and arrays, so that NumPy asks nobody else for items."""
    if not isinstance(value, (list, tuple)):
        return False
    levels, met = [value], set()
    while levels:
        level = levels.pop()
        if id(level) in met:  # a list that holds itself, say
            continue
        met.add(id(level))
        for kind in set(map(type, level)):
            if not issubclass(kind, (int, float, str, list, tuple, np.generic)) and not _is_kind_of_array(kind):
                return False
        levels += [item for item in level if isinstance(item, (list, tuple))]
    return True


def _is_kind_of_array(kind: type) -> bool:
    return issubclass(kind, (Tensor, np.ndarray)) or hasattr(kind, "__array__")


def _same_length(what: str, x: Array, other: Array, name: str) -> None:
    """Raise unless there is one label or weight per input."""
    if len(x) != len(other):
        n = min(len(x), len(other))
        raise ShapeError(
            f"{what}: expected as many {name} as inputs, got {len(x)} inputs {x.shape} and {len(other)} "
            f"{name} {other.shape}: use the first {n} of both if they belong together"
        )
