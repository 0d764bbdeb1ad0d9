"""Hypothesis strategies for everything that a derivative may depend on: shapes, layouts, windows, indices, networks.

Hypothesis draws the structure, and shrinks it; the numbers come from a generator with a drawn seed. Floats drawn one by
one would be slow, and mostly zeros and ties.

>>> from hypothesis import given, settings
>>> from tinygrad_conv.testing import check_gradients
>>> import tinygrad_conv as tg
>>> @settings(max_examples=5, deadline=None, database=None)
... @given(conv_configs())
... def test_conv2d(c):
...     check_gradients(lambda x, w: tg.conv2d(x, w, **c.keywords), *c.arrays())
>>> test_conv2d()
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .. import ops
from ..engine.primitive import Primitive
from ..engine.tensor import Tensor
from ..errors import MissingExtraError
from .boundary import LAYOUTS
from .draw import Draw, Guide, Sample, Shape, laid_out
from .samples import draw_sample

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover
    raise MissingExtraError("tinygrad_conv.testing.strategies needs: pip install 'tinygrad-conv[test]'") from error

__all__ = [
    "Configuration", "Network", "arrays", "axes", "broadcastable_shapes", "conv_configs", "draws", "dtypes",
    "einsum_strings", "indices", "layouts", "networks", "pool_configs", "samples", "shapes", "tensor_of", "tensors",
    "values",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Strategy = st.SearchStrategy[Any]
SEEDS = st.integers(0, 2**32 - 1)
_between = lru_cache(maxsize=None)(st.integers)


# ------------------------------------------------------------------------------------------------------------------
# Draws


def _behind(choose: Callable[[Strategy], Any], data: Any, **options: Any) -> Draw:
    """A `Draw` behind which Hypothesis chooses."""
    return Draw(lambda low, high: choose(_between(low, high)), choose(SEEDS), guide=_guide(data), **options)


def _guide(data: Any) -> Guide:
    """Has the next choices made for Hypothesis, as if it repeated an example, in those that it draws itself.

    What it repeats or makes smaller stays its own: such examples say all choices beforehand, or have no generator.
    """

    @contextmanager
    def guide(key: Any, samples: Sequence[Sequence[int]]) -> Iterator[None]:
        run, before = getattr(data, "_random", None), getattr(data, "prefix", None)
        if run is None or before is None or data.index < len(before):
            yield
            return
        turns = _turns.setdefault(run, Counter())  # one generator serves all examples of a run
        if turns[key] < len(samples):
            data.prefix = (*(0,) * data.index, *samples[turns[key]])
        yield
        turns[key] += 1

    return guide


_turns: WeakKeyDictionary[Any, Counter[Any]] = WeakKeyDictionary()


@st.composite
def _from(draw: Callable[[Strategy], Any], build: Callable[..., Any], *args: Any) -> Any:
    """What a function of a `Draw` returns, with Hypothesis choosing."""
    return build(_behind(draw, draw(st.data()).conjecture_data), *args)


def draws(*, ties: bool = False, extremes: bool = False) -> Strategy:
    """A `Draw` for `check_primitive` or for a declaration's ``samples``, behind which Hypothesis chooses.

    >>> from hypothesis import find
    >>> find(draws(), lambda draw: draw.shape(max_side=9) >= (3,)).choices
    [1, 3]
    """

    def behind(data: tuple[Any]) -> Draw:
        return _behind(data[0].draw, data[0].conjecture_data, ties=ties, extremes=extremes)

    return st.tuples(st.data()).map(behind)


def samples(primitive: Primitive, *, ties: bool = False, extremes: bool = False) -> Strategy:
    """``(args, keywords)`` for a primitive, as its declaration draws them; tied or extreme values on demand.

    >>> from hypothesis import find
    >>> from tinygrad_conv import primitives
    >>> (x,), keywords = find(samples(primitives()["sum"]), lambda sample: sample[0][0].ndim == 2)
    >>> x.shape, keywords
    ((0, 0), {'axis': None, 'keepdims': False})
    """

    def build(draw: Draw) -> Sample:
        draw.ties, draw.extremes = ties, extremes
        return draw_sample(primitive, draw)

    return _from(build)


# ------------------------------------------------------------------------------------------------------------------
# Arrays


def shapes(min_ndim: int = 0, max_ndim: int = 3, min_side: int = 0, max_side: int = 4) -> Strategy:
    """Shapes, 0-d and empty ones among them.

    >>> from hypothesis import find
    >>> find(shapes(max_side=9), lambda shape: len(shape) == 2 and shape[0] > 4)
    (5, 0)
    """
    return _from(lambda d: d.shape(min_ndim, max_ndim, min_side, max_side))


def broadcastable_shapes(n: int = 2, max_ndim: int = 3, max_side: int = 4) -> Strategy:
    """Tuples of n shapes that broadcast together; one of them is the shape of the result.

    >>> from hypothesis import find
    >>> a, b = find(broadcastable_shapes(), lambda pair: pair[0] != pair[1])
    >>> np.broadcast_shapes(a, b) in (a, b)
    True
    """

    def build(d: Draw) -> tuple[Shape, ...]:
        whole, full = d.shape(max_ndim=max_ndim, max_side=max_side), d.integer(0, n - 1)
        return tuple(whole if k == full else d.broadcastable(whole) for k in range(n))

    return _from(build)


def dtypes() -> Strategy:
    """float64 and float32.

    >>> from hypothesis import find
    >>> find(dtypes(), lambda dtype: dtype.itemsize < 8)
    dtype('float32')
    """
    return st.sampled_from([np.dtype(np.float64), np.dtype(np.float32)])


def layouts() -> Strategy:
    """Names of memory layouts, for `draw.laid_out`: contiguous, transposed, strided, negative stride, read-only.

    >>> from hypothesis import find
    >>> find(layouts(), lambda layout: layout != "contiguous")
    'transposed'
    """
    return st.sampled_from(LAYOUTS)


def values(
    seed: int, domain: tuple[float, float] = (-3.0, 3.0), shape: Shape = (), *, ties: bool = False,
    extremes: bool = False, dtype: Any = np.float64,
) -> Array:  # fmt: skip
    """An array of the shape, filled from a generator: distinct values inside the domain.

    With `ties`, few values, which tie and sit where kinks are (multiples of 1/2); with `extremes`, the ends of the
    domain and of the floating-point range.

    >>> np.unique(values(0, (0, 1), (3, 4))).size
    12
    >>> np.unique(values(0, (-3, 3), (100,), ties=True)).size <= 4
    True
    """
    return Draw(lambda low, high: low, seed, ties=ties, extremes=extremes).values(tuple(shape), *domain).astype(dtype)


def arrays(
    shape: Any = None, domain: tuple[float, float] = (-3.0, 3.0), *, dtype: Any = np.float64, ties: bool = False,
    extremes: bool = False,
) -> Strategy:  # fmt: skip
    """Arrays of a shape (or of a drawn one), in any memory layout, filled by `values`.

    >>> from hypothesis import find
    >>> x = find(arrays((2, 3), domain=(0, 1)), lambda x: not x.flags.c_contiguous)
    >>> x.shape, bool(((x > 0) & (x < 1)).all())
    ((2, 3), True)
    """
    shape = shapes() if shape is None else shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))

    def build(parts: Any) -> Array:
        size, choice, seed = parts
        drawn = Draw(lambda low, high: choice, seed, ties=ties, extremes=extremes)
        return drawn.laid_out(drawn.values(size, *domain).astype(dtype))

    return st.tuples(shape, st.integers(0, len(LAYOUTS) - 1), SEEDS).map(build)


def tensor_of(shape: Sequence[int], layout: str, seed: int) -> Tensor:
    """A tensor of a shape, in one of the `layouts`, filled by `values`.

    >>> tensor_of((2, 3), "transposed", seed=0).numpy().flags.c_contiguous
    False
    """
    return Tensor(laid_out(values(seed, shape=tuple(shape)), layout))


def tensors() -> Strategy:
    """Tensors of drawn shapes: what ``from_type(tg.Tensor)`` of Hypothesis gives, and its ghostwriter writes.

    >>> from hypothesis import find
    >>> find(tensors(), lambda x: x.size == 2).shape
    (2,)
    """
    return st.builds(tensor_of, shape=st.lists(st.integers(0, 4), max_size=3), layout=layouts(), seed=SEEDS)


def axes(ndim: int) -> Strategy:
    """What an ``axis`` argument may be for so many axes: None, a number from either end, a tuple of them.

    >>> from hypothesis import find
    >>> find(axes(2), lambda axis: isinstance(axis, tuple) and len(axis) == 2)
    (0, 1)
    """

    def build(d: Draw) -> Any:
        some = tuple(k - ndim * d.integer(0, 1) for k in range(ndim) if d.boolean())
        return d.choice([None, some, some[0] if some else None])

    return _from(build)


def indices(shape: Shape) -> Strategy:
    """Index expressions for a shape: integers, slices, None, ..., integer and bool arrays.

    >>> from hypothesis import find
    >>> x = np.arange(12).reshape(3, 4)
    >>> x[find(indices((3, 4)), lambda index: x[index].ndim == 1)].ndim
    1
    """
    return _from(lambda d: d.index(tuple(shape)))


# ------------------------------------------------------------------------------------------------------------------
# Convolution and pooling


@dataclass(frozen=True)
class Configuration:
    """A legal call of `conv2d` or `max_pool2d`: the shapes of its arrays, and its keywords.

    ``classes`` names the boundary classes it falls in: "remainder", "k = 1", "depthwise", ...

    >>> from hypothesis import find
    >>> c = find(conv_configs(), lambda c: "depthwise" in c.classes)
    >>> [x.shape for x in c.arrays()] == list(c.shapes), c.keywords["groups"]
    (True, 2)
    """

    shapes: tuple[Shape, ...]
    keywords: dict[str, Any]
    classes: frozenset[str]
    seed: int = field(default=0, repr=False)

    def arrays(self, *, ties: bool = False) -> list[Array]:
        """Arrays of these shapes."""
        draw = Draw(lambda low, high: low, self.seed, ties=ties)
        return [draw.values(shape) for shape in self.shapes]


def conv_configs(rank: int = 2) -> Strategy:
    """Configurations of `conv1d`, `conv2d` or `conv3d` (by rank), among them all boundary cases.

    >>> from hypothesis import find
    >>> find(conv_configs(), lambda c: c.keywords["stride"] == (2, 1)).shapes
    ((1, 1, 1, 1), (1, 1, 1, 1))
    """

    def build(d: Draw) -> Configuration:
        c = d.conv_config(rank)
        x = (c["n"], *c["sizes"], c["channels"])
        w = (*c["kernel"], c["channels"] // c["groups"], c["filters"])
        keywords = {name: c[name] for name in ("stride", "padding", "dilation", "groups")}
        return Configuration((x, w), keywords, frozenset(d.classes), d.seed)

    return _from(build)


def pool_configs(rank: int = 2) -> Strategy:
    """Configurations of `max_pool2d` and `avg_pool2d` (or those of another rank).

    >>> from hypothesis import find
    >>> find(pool_configs(), lambda c: c.keywords["dilation"] == (2, 1)).keywords
    {'pool_size': (1, 1), 'stride': (1, 1), 'padding': 'valid', 'dilation': (2, 1)}
    """

    def build(d: Draw) -> Configuration:
        c = d.pool_config(rank)
        keywords = {"pool_size": c["kernel"], **{name: c[name] for name in ("stride", "padding", "dilation")}}
        return Configuration(((c["n"], *c["sizes"], c["channels"]),), keywords, frozenset(d.classes), d.seed)

    return _from(build)


def einsum_strings(max_operands: int = 3) -> Strategy:
    """``(subscripts, shapes)`` for `einsum`: repeated axes within and between operands, axes summed and kept.

    >>> from hypothesis import find
    >>> find(einsum_strings(), lambda drawn: drawn[0].endswith("->j"))
    ('j->j', ((1,),))
    """

    def build(d: Draw) -> tuple[str, tuple[Shape, ...]]:
        sizes = {c: d.integer(1, 3) for c in "ijk"}
        terms = ["".join(d.choice("ijk") for _ in range(d.integer(0, 3))) for _ in range(d.integer(1, max_operands))]
        used = sorted(set("".join(terms)))
        out = "".join(c for c in used if d.boolean())
        out = out[::-1] if d.boolean() else out
        return f"{','.join(terms)}->{out}", tuple(tuple(sizes[c] for c in term) for term in terms)

    return _from(build)


# ------------------------------------------------------------------------------------------------------------------
# Networks


@dataclass(frozen=True)
class Network:
    """A small network: a function of an image batch and its parameters, and arrays to call it with.

    >>> from hypothesis import find
    >>> network = find(networks(), lambda network: "conv" in network.layers)
    >>> network.layers, network(*network.arrays).shape
    (('conv', 'tanh', 'flatten', 'dense'), (1, 1))
    """

    layers: tuple[str, ...]
    arrays: tuple[Array, ...] = field(repr=False)

    def __call__(self, x: Any, *parameters: Any) -> Any:
        left = list(parameters)
        for layer in self.layers:
            x = _LAYERS[layer](x, *(left.pop(0) for _ in range(_PARAMETERS.get(layer, 0))))
        return x


_ACTIVATIONS = ("tanh", "sigmoid", "softplus", "gelu", "relu")
_PARAMETERS = {"conv": 2, "dense": 2}
_LAYERS: dict[str, Callable[..., Any]] = {
    "conv": lambda x, w, b: ops.conv2d(x, w, b, padding="same"),
    "max_pool": lambda x: ops.max_pool2d(x, 2),
    "avg_pool": lambda x: ops.avg_pool2d(x, 2),
    "flatten": lambda x: ops.flatten(x, 1),
    "dense": lambda x, w, b: ops.matmul(x, w) + b,
    "softmax": lambda x: ops.softmax(x),
    **{name: getattr(ops, name) for name in _ACTIVATIONS},
}


def networks(max_blocks: int = 2) -> Strategy:
    """Small convolutional networks: blocks of convolution, activation and pooling, then a dense layer.

    >>> from hypothesis import find
    >>> find(networks(), lambda network: True).layers
    ('flatten', 'dense')
    """

    def build(d: Draw) -> Network:
        n, side, channels = d.integer(1, 2), d.integer(2, 5), d.integer(1, 2)
        arrays, layers = [d.values((n, side, side, channels))], []
        for _ in range(d.integer(0, max_blocks)):
            filters, k = d.integer(1, 3), d.integer(1, 3)
            arrays += [d.values((k, k, channels, filters), -1, 1), d.values((filters,), -1, 1)]
            layers += ["conv", d.choice(_ACTIVATIONS)]
            channels = filters
            if side >= 2 and d.boolean():
                layers.append(d.choice(("max_pool", "avg_pool")))
                side //= 2
        units = d.integer(1, 3)
        arrays += [d.values((side * side * channels, units), -1, 1), d.values((units,), -1, 1)]
        layers += ["flatten", "dense", *(["softmax"] if d.boolean() else [])]
        return Network(tuple(layers), tuple(arrays))

    return _from(build)
