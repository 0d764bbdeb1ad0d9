"""`Draw`: what a primitive's declared `samples` function draws its arguments from.

Structure (shapes, axes, strides, layouts) comes from a chooser of integers, which Hypothesis or a random generator
stands behind; values come from a seeded generator. Drawing floats one by one would give inputs that are mostly ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, TypeVar

import numpy as np

from ..arguments import LATER, Count, SeedNumber, ShapeLike, Size, checked, integers, numbers
from ..kernels.product import matmul
from .boundary import LAYOUTS, boundary_samples, shape_classes
from .windows import conv_config, pool_config

T = TypeVar("T")
Axes = Annotated[int, integers(0, 64)]  # how many of them
Bound = Annotated[float, numbers("a number", -math.inf, math.inf, to_high=True)]  # of a domain
Sample = tuple[tuple[Any, ...], dict[str, Any]]
Shape = tuple[int, ...]

Array = np.ndarray[Any, Any]
Guide = Callable[[Any, Sequence[Sequence[int]]], AbstractContextManager[None]]


@checked
class Draw:
    """A source of sample arguments.

    Parameters
    ----------
    integer : callable
        ``integer(low, high)`` chooses an integer, both ends included; the smaller, the simpler the sample.
    seed : int
        For the values.
    ties, extremes : bool
        Fill arrays with values that tie and sit on kinks, or with the largest and smallest numbers of the domain.
    guide : callable, optional
        ``with guide(key, samples):`` makes `integer` choose what the next of these samples chose, if there is one left.
        So the first examples of a run walk the boundary classes: see `first_of`.

    Attributes
    ----------
    choices : list of int
        What was chosen so far; ``Draw.replay(seed, choices)`` chooses the same.
    classes : set of str
        The boundary classes that the sample falls in: "k = 1", "remainder", "empty", "negative stride", ...
    shrinks : bool
        Should a check that fails look for simpler choices itself? (With Hypothesis behind it, no.)

    >>> draw = Draw.seeded(0)
    >>> draw.array((2, 3)).shape, draw.values((4,)).shape, draw.laid_out(np.ones(3)).tolist()
    ((2, 3), (4,), [1.0, 1.0, 1.0])
    >>> draw.integer(1, 1), draw.boolean() in (False, True), draw.choice(["a"]), draw.axis(1) in (-1, 0)
    (1, True, 'a', True)
    >>> shape = draw.shape(min_ndim=2, max_ndim=2, min_side=2)
    >>> np.broadcast_shapes(draw.broadcastable(shape), shape) == shape, np.empty(shape)[draw.index(shape)].size >= 0
    (True, True)
    >>> draw.well_conditioned(2).shape, draw.turned([np.ones(2)])[0].dtype, draw.pool_config(2)["kernel"] > (0, 0)
    ((2, 2), dtype('complex128'), True)

    The others give whole samples, each as (inputs, keywords):

    >>> samples = [
    ...     draw.plain_sample(), draw.elementwise_sample([(0, 1), (-1, 1)]), draw.axis_sample(),
    ...     draw.reduction_sample(), draw.reshape_sample(), draw.permutation_sample(), draw.broadcast_sample(),
    ...     draw.sum_to_sample(), draw.concat_sample(), draw.pad_sample(), draw.index_sample(), draw.scatter_sample(),
    ...     draw.set_sample(), draw.matrix_sample(), draw.square_sample(), draw.solve_sample(), draw.matmul_sample(),
    ...     draw.contract_sample(), draw.standardize_sample(),
    ... ]
    >>> all(isinstance(inputs, tuple) and isinstance(keywords, dict) for inputs, keywords in samples)
    True
    """

    def __init__(
        self, integer: Callable[[int, int], int], seed: SeedNumber, *, ties: bool = False, extremes: bool = False,
        guide: Guide | None = None,
    ) -> None:  # fmt: skip
        self._integer = integer
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.ties, self.extremes = ties, extremes
        self.choices: list[int] = []
        self.classes: set[str] = set()
        self.shapes: list[Shape] = []  # of arrays
        self.shrinks = False
        self._arrays, self._guide = 0, guide

    @classmethod
    def seeded(cls, seed: SeedNumber, **options: bool) -> Draw:
        """A `Draw` whose structure comes from a seeded generator too; of seeds 0, 1, ..., from the boundary samples."""
        structure = np.random.default_rng([seed, 1])
        ahead: Iterator[int] = iter(())

        def integer(low: int, high: int) -> int:
            chosen = next(ahead, None)
            return int(structure.integers(low, high + 1)) if chosen is None else min(max(chosen, low), high)

        @contextmanager
        def guide(_: Any, samples: Sequence[Sequence[int]]) -> Iterator[None]:
            nonlocal ahead
            ahead = iter(samples[seed] if seed < len(samples) else ())
            yield
            ahead = iter(())

        draw = cls(integer, seed, guide=guide, **options)
        draw.shrinks = True
        return draw

    @classmethod
    def replay(cls, seed: SeedNumber, choices: Sequence[int]) -> Draw:
        """A `Draw` that repeats choices (as far as they are possible), and chooses the least when they run out.

        >>> draw = Draw.replay(0, [1, 9])
        >>> draw.integer(0, 5), draw.integer(0, 5), draw.integer(2, 5)
        (1, 5, 2)
        """
        left = list(reversed(choices))
        return cls(lambda low, high: min(max(left.pop(), low), high) if left else low, seed)

    def __repr__(self) -> str:
        return f"Draw.replay({self.seed}, {self.choices})"

    def first_of(self, build: Callable[..., T], *args: Any) -> T:
        """What ``build(draw, *args)`` draws; in the first examples of a run, the next of its `boundary_samples`.

        >>> draws = [Draw.seeded(seed) for seed in range(6)]
        >>> sorted({draw.first_of(lambda draw: draw.integer(0, 2)) for draw in draws})
        [0, 1, 2]
        """
        guide, self._guide = self._guide, None  # what is drawn inside belongs to it
        if guide is None:
            return build(self, *args)
        try:
            with guide((build, *args), boundary_samples(Draw, build, *args)):
                return build(self, *args)
        finally:
            self._guide = guide

    # -- structure -------------------------------------------------------------------------------------------------

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both possible; the least is the simplest."""
        self.choices.append(self._integer(low, high))
        return self.choices[-1]

    def boolean(self) -> bool:
        """False or True."""
        return bool(self.integer(0, 1))

    def choice(self, options: Annotated[Sequence[T], LATER]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def shape(self, min_ndim: Axes = 0, max_ndim: Axes = 3, min_side: Count = 0, max_side: Count = 4) -> Shape:
        """A shape: the number of its axes, and each size, are from the least to the most given."""
        return tuple(self.integer(min_side, max_side) for _ in range(self.integer(min_ndim, max_ndim)))

    def broadcastable(self, shape: ShapeLike) -> Shape:
        """A shape that broadcasts to `shape`: axes dropped from the left, others made 1."""
        kept = shape[self.integer(0, len(shape)) :] if shape else ()
        smaller = tuple(1 if self.boolean() else n for n in kept)
        if smaller != shape:
            self.classes.add("broadcast")
        return smaller

    # -- values ----------------------------------------------------------------------------------------------------

    def values(self, shape: ShapeLike, low: Bound = -3.0, high: Bound = 3.0) -> Array:
        """Distinct float64 values inside (low, high) and up to its ends, apart from each other, integers and halves.

        No two elements tie, nor do elements of different arrays of one sample, and differences in steps of 1e-4 cross
        no kink. With `ties`, multiples of 1/2 instead, few of them; with `extremes`, the ends of the domain, of the
        floating-point range, and zero.
        """
        n = math.prod(shape)
        self._arrays += 1
        if self.ties or self.extremes:
            self.classes.add("ties" if self.ties else "extremes")
            few = _tied(low, high, self.rng) if self.ties else _extreme(low, high)
            return self.rng.choice(few, shape)
        width = high - low
        slots = self.rng.permutation(n) + self.rng.uniform(0.3, 0.7, n)
        values = low + width * (0.02 + 0.96 * slots / max(n, 1))
        step = min(0.002, width / (4 * max(n, 1)))
        if n and step <= 0.005 * width:  # a gradient may be wrong at one end of the domain only
            ends = (self.seed // 3 + self._arrays) % 4
            if ends & 1:
                values[np.argmin(slots)] = low + 0.006 * width
            if ends & 2:
                values[np.argmax(slots)] = high - 0.006 * width
        values = np.floor(values / step) * step + step * (0.11 + 0.173 * (self._arrays % 5))
        near = np.abs(values * 2 - np.round(values * 2)) < 4e-4
        values[near] += 0.31 * step
        return values.reshape(shape)

    def array(self, shape: ShapeLike, low: Bound = -3.0, high: Bound = 3.0) -> Array:
        """`values` in a drawn memory layout."""
        self.classes |= shape_classes(shape)
        self.shapes.append(tuple(shape))
        return self.laid_out(self.values(shape, low, high))

    def laid_out(self, array: Array) -> Array:
        """The same values in a drawn memory layout."""
        # Hypothesis likes to repeat a choice; moved on by a digit of the seed, every layout is met in a few examples.
        n = len(LAYOUTS)
        layout = LAYOUTS[(self.integer(0, n - 1) + self.seed // n**self._arrays) % n]
        self.classes.add(layout)
        return laid_out(array, layout)

    # -- windows ---------------------------------------------------------------------------------------------------

    def conv_config(self, rank: Size | None = None) -> dict[str, Any]:
        """Sizes, kernel, stride, dilation, padding, groups and channels of a small convolution, as a dictionary.

        >>> sorted(Draw.seeded(1).conv_config(rank=2))
        ['channels', 'dilation', 'filters', 'groups', 'kernel', 'n', 'padding', 'sizes', 'stride']
        """
        return self.first_of(conv_config, rank)

    def pool_config(self, rank: Size | None = None) -> dict[str, Any]:
        """The same for a pooling: no window lies wholly in padding."""
        return self.first_of(pool_config, rank)

    # -- samples that several declarations share -------------------------------------------------------------------

    def turned(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The same arguments with floating-point numbers made complex, by a smaller imaginary part."""

        def turn(x: Any) -> Any:
            floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
            return x + 0.4j * self.rng.uniform(-1, 1, x.shape) if floating else x

        return tuple(map(turn, args))

    def elementwise_sample(self, domains: Sequence[tuple[float, float]]) -> Sample:
        """Inputs whose shapes broadcast together; one of them has the full shape."""
        whole = self.shape()
        full = self.integer(0, len(domains) - 1)
        shapes = [whole if k == full else self.broadcastable(whole) for k in range(len(domains))]
        return tuple(self.array(s, low, high) for s, (low, high) in zip(shapes, domains, strict=True)), {}

    def plain_sample(self, **params: Any) -> Sample:
        """An array of any shape, with these keywords."""
        return (self.array(self.shape()),), params

    def axis(self, ndim: Size) -> int:
        """An axis of so many, counted from either end."""
        return self.integer(-ndim, ndim - 1)

    def axis_sample(self, **params: Any) -> Sample:
        """An array of at least one axis, and an `axis` of it."""
        shape = self.shape(min_ndim=1, min_side=1)
        return (self.array(shape),), {**params, "axis": self.axis(len(shape))}

    def reduction_sample(self, nonempty: bool = False) -> Sample:
        """An array, and the `axis` and `keepdims` of a reduction; with `nonempty` no size is 0."""
        shape = self.shape(min_side=1 if nonempty else 0)
        axes = tuple(k - len(shape) * self.integer(0, 1) for k in range(len(shape)) if self.boolean())
        axis: Any = self.choice([None, axes, axes[0] if axes else None])
        return (self.array(shape),), {"axis": axis, "keepdims": self.boolean()}

    def reshape_sample(self) -> Sample:
        """An array, and a `shape` for as many elements, with -1 or without."""
        shape = self.shape(max_ndim=4, min_side=1)
        order = [shape[k] for k in range(len(shape)) if not self.boolean()]
        rest = math.prod(shape) // math.prod(order) if order else math.prod(shape)
        return (self.array(shape),), {"shape": self.choice([(*order, rest), (rest, *order), (-1,)])}

    def permutation_sample(self) -> Sample:
        """An array, and its `axes` in another order, or None."""
        shape = self.shape()
        axes: Any = tuple(int(k) for k in self.rng.permutation(len(shape)))
        return (self.array(shape),), {"axes": self.choice([axes, None])}

    def broadcast_sample(self) -> Sample:
        """An array, and a `shape` to which it broadcasts."""
        whole = self.shape()
        return (self.array(self.broadcastable(whole)),), {"shape": whole}

    def sum_to_sample(self) -> Sample:
        """An array, and a `shape` that broadcasts to its own."""
        whole = self.shape()
        return (self.array(whole),), {"shape": self.broadcastable(whole)}

    def concat_sample(self) -> Sample:
        """One to three arrays that can be joined along an `axis`."""
        shape = self.shape(min_ndim=1)
        axis = self.axis(len(shape))
        parts = []
        for _ in range(self.integer(1, 3)):
            part = list(shape)
            part[axis] = self.integer(0, 3)
            parts.append(self.array(tuple(part)))
        return tuple(parts), {"axis": axis}

    def pad_sample(self) -> Sample:
        """An array, and `pairs`: how much comes before and behind, along each axis."""
        shape = self.shape()
        return (self.array(shape),), {"pairs": tuple((self.integer(0, 2), self.integer(0, 2)) for _ in shape)}

    def index(self, shape: ShapeLike) -> Any:
        """A basic or advanced index of an array of this shape."""
        parts: list[Any] = []
        kind = self.integer(0, 3)  # 0, 1: basic; 2: with an integer array; 3: a mask
        self.classes.add(("slices", "slices", "index array", "mask")[kind])
        if kind == 3:
            return self.rng.random(shape) < 0.5
        for n in shape[: self.integer(0, len(shape))]:
            option = self.integer(0, 3)
            if option == 0 and n:
                parts.append(self.integer(-n, n - 1))
            elif option == 1:
                parts.append(slice(None, None, self.choice([1, 2, -1, -2])))
            elif option == 2:
                parts.append(slice(self.integer(0, n), None))
            else:
                parts.append(slice(None))
        if kind == 2 and parts and shape[0]:
            parts[0] = self.rng.integers(-shape[0], shape[0], self.integer(1, 4))
            if self.boolean():
                parts[0][-1] = parts[0][0]
        if self.boolean():
            parts.insert(self.integer(0, len(parts)), None)
        if self.boolean():
            parts.append(Ellipsis)
        return tuple(parts)

    def index_sample(self) -> Sample:
        """An array, and an `index` of it."""
        shape = self.shape(min_ndim=1)
        return (self.array(shape),), {"index": self.index(shape)}

    def scatter_sample(self) -> Sample:
        """Values for the places that an `index` picks of an array of `shape`."""
        shape = self.shape(min_ndim=1)
        index = self.index(shape)
        return (self.array(np.empty(shape)[index].shape),), {"index": index, "shape": shape}

    def set_sample(self) -> Sample:
        """An array, and values that broadcast to the places that an `index` picks."""
        shape = self.shape(min_ndim=1)
        index = self.index(shape)
        value = self.broadcastable(np.empty(shape)[index].shape)
        return (self.array(shape), self.array(value)), {"index": index}

    def matrix_sample(self) -> Sample:
        """Matrices, and the number `k` of a diagonal."""
        shape = (*self.shape(max_ndim=1), self.integer(1, 4), self.integer(1, 4))
        return (self.array(shape),), {"k": self.integer(-2, 2)}

    def well_conditioned(self, n: Count, batch: ShapeLike = ()) -> np.ndarray[Any, Any]:
        """Matrices with singular values between 1 and 2."""
        u, _, v = np.linalg.svd(self.values((*batch, n, n)))
        return self.laid_out(matmul(u * self.rng.uniform(1, 2, (*batch, 1, n)), v))

    def square_sample(self) -> Sample:
        """Well-conditioned square matrices."""
        return (self.well_conditioned(self.integer(1, 3), self.shape(max_ndim=1)),), {}

    def solve_sample(self) -> Sample:
        """Well-conditioned square matrices, and right-hand sides."""
        n, batch = self.integer(1, 3), self.shape(max_ndim=1)
        b = self.array((*self.broadcastable(batch), n, self.integer(1, 3)))
        return (self.well_conditioned(n, batch), b), {}

    def matmul_sample(self) -> Sample:
        """Two stacks of matrices that can be multiplied."""
        batch, (n, k, m) = self.shape(max_ndim=2), (self.integer(0, 3) for _ in range(3))
        left, right = batch, self.broadcastable(batch)
        if self.boolean():
            left, right = right, left
        return (self.array((*left, n, k)), self.array((*right, k, m))), {}

    def contract_sample(self) -> Sample:
        """Two arrays, and `terms`: the letters of their axes, and of the result's."""
        sizes = {c: self.integer(1, 3) for c in "abcd"}
        a = "".join(c for c in "abc" if self.boolean())
        b = "".join(c for c in "dcb" if self.boolean())
        out = "".join(c for c in "badc" if (c in a) != (c in b) or (c in a and self.boolean()))
        return (self.array(tuple(sizes[c] for c in a)), self.array(tuple(sizes[c] for c in b))), {"terms": (a, b, out)}

    def standardize_sample(self) -> Sample:
        """An array, the `axes` to normalise along, and `epsilon`."""
        shape = self.shape(min_ndim=1, min_side=2)
        axes = tuple(k for k in range(len(shape)) if self.boolean()) or (len(shape) - 1,)
        return (self.array(shape),), {"axes": axes, "epsilon": 0.01}


# ------------------------------------------------------------------------------------------------------------------
# Values and layouts


def _tied(low: float, high: float, rng: np.random.Generator) -> Array:
    """Three multiples of 1/2 in [low, high], 0 among them if it is there: where ties and kinks are."""
    halves = np.arange(math.ceil(2 * low), math.floor(2 * high) + 1) / 2
    some = rng.choice(halves, 3)
    return np.append(some, 0.0) if low <= 0 <= high else some


def _extreme(low: float, high: float) -> Array:
    """The ends of the domain, zero, and numbers that are almost zero or very large, as far as the domain goes."""
    sizes = np.array([0.0, 5e-324, 1e-300, 1e-30, 1e-8, 1.0, 88.0, 1e4, 1e30])
    numbers = np.concatenate([-sizes, sizes, [low, high]])
    return np.unique(numbers[(numbers >= low) & (numbers <= high)])


def laid_out(array: Array, layout: str) -> Array:
    """The same values in one of the `LAYOUTS`: transposed in memory, every other element of a wider array, ...

    >>> laid_out(np.array([1.0, 2.0, 3.0]), "negative stride").strides
    (-8,)
    """
    if layout == "transposed":
        return np.array(array.T, order="C").T
    if layout == "strided" and array.ndim:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "negative stride" and array.ndim:
        return np.array(array[::-1])[::-1]
    if layout == "read-only":
        array.flags.writeable = False
    return array
