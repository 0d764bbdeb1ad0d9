"""Operations that move elements and compute nothing: all linear, each with its transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import (
    Axes,
    Count,
    Device,
    DType,
    Kind,
    NewShape,
    ShapeLike,
    SomeAxes,
    afford,
    bare_array,
    checked,
    items_of,
)
from ..engine.bare import array_of, shape_of
from ..engine.node import Shape
from ..engine.primitive import linear
from ..engine.tensor import Array, Tensor, plain_array, wrap
from ..errors import ArgumentError, AxisError, DTypeError, ShapeError
from ..kernels.product import sum_rows
from ..kernels.spatial import divisors
from .axes import along, axis_of
from .indexing import getitem, take


def _itemsize(x: Array) -> int:
    return int(np.result_type(array_of(x)).itemsize)


def _arrays(value: Any) -> list[Any]:
    return items_of(bare_array(value))


Arrays: TypeAlias = Annotated[Sequence[Array], Kind("a sequence of arrays", _arrays, quick="type({0}) is list")]


@linear(lambda g, x_shape: reshape(g, x_shape), flops=0, samples=lambda d: d.reshape_sample())
def reshape(x: Array, shape: NewShape, copy: bool | None = None) -> Array:
    """The same elements in another shape (one size may be -1). Derivative: reshape back.

    They are copied if they must be, always (``copy=True``), or never: then a ShapeError tells that they would be.

    >>> reshape(Tensor([1.0, 2.0, 3.0, 4.0]), (2, 2))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    x = np.asarray(x)
    y = x.reshape(shape)
    if copy is None:
        return y
    shared = np.may_share_memory(x, y)
    if not copy and not shared:
        raise ShapeError(f"reshape: {x.shape} becomes {shape} by a copy only; its elements lie otherwise")
    return y.copy() if shared and copy else y


def _inverse(axes: Axes, ndim: int) -> tuple[int, ...] | None:
    order = (axes,) if isinstance(axes, int) else axes
    return None if order is None else tuple(int(k) for k in np.argsort([a % ndim for a in order]))


@linear(
    lambda g, axes: permute_dims(g, _inverse(axes, len(g.shape))), flops=0, samples=lambda d: d.permutation_sample()
)
def permute_dims(x: Array, axes: Axes = None) -> Array:
    """The axes in another order; reversed when None. Derivative: the inverse permutation.

    >>> permute_dims(Tensor([[1.0, 2.0]]), (1, 0))
    Tensor([[1.],
            [2.]])
    """
    return np.asarray(x).transpose(axes)


@checked
def transpose(x: Array, axes: Axes = None) -> Tensor:
    """NumPy's name for `permute_dims`.

    >>> transpose(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    return permute_dims(x, axes)


@checked
def matrix_transpose(x: Array) -> Tensor:
    """The last two axes swapped.

    >>> matrix_transpose(Tensor([[1.0, 2.0]])).shape
    (2, 1)
    """
    if np.ndim(array_of(x)) < 2:
        raise ShapeError(f"matrix_transpose: expected at least 2 axes, got shape {shape_of(x)}")
    return swapaxes(x, -1, -2)


def transposed(x: Array) -> Array:
    """`matrix_transpose` for rules, in which most are bare arrays."""
    return x.swapaxes(-1, -2) if type(x) is np.ndarray else matrix_transpose(x)


@checked
def swapaxes(x: Array, axis1: int, axis2: int) -> Tensor:
    """Two axes swapped.

    >>> swapaxes(Tensor(np.zeros((2, 3, 4))), 0, 2).shape
    (4, 3, 2)
    """
    shape = shape_of(x)
    axes = list(range(len(shape)))
    if not all(-len(shape) <= axis < len(shape) for axis in (axis1, axis2)):
        raise AxisError(f"swapaxes: expected axes of shape {shape}, got {axis1} and {axis2}")
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return permute_dims(x, tuple(axes))


@checked
def moveaxis(x: Array, source: SomeAxes, destination: SomeAxes) -> Tensor:
    """Some axes moved to other places, the rest kept in order.

    >>> moveaxis(Tensor(np.zeros((2, 3, 4))), 0, -1).shape
    (3, 4, 2)
    """
    ndim = np.ndim(array_of(x))
    sources = np.lib.array_utils.normalize_axis_tuple(source, ndim)
    places = np.lib.array_utils.normalize_axis_tuple(destination, ndim)
    if len(sources) != len(places):
        raise ShapeError(f"moveaxis: expected as many destinations as sources, got {len(places)} and {len(sources)}")
    order = [k for k in range(ndim) if k not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


@checked
def expand_dims(x: Array, axis: SomeAxes = 0) -> Tensor:
    """New axes of size 1 at these places of the result.

    >>> expand_dims(Tensor([1.0, 2.0]), 1).shape
    (2, 1)
    """
    shape = shape_of(x)
    if isinstance(axis, int) and 0 <= axis + len(shape) + 1 <= 2 * len(shape) + 1:
        axis %= len(shape) + 1
        return reshape(x, (*shape[:axis], 1, *shape[axis:]))
    return reshape(x, np.expand_dims(array_of(x), axis).shape)


@checked
def squeeze(x: Array, axis: Axes = None) -> Tensor:
    """Axes of size 1 taken away: these, or all.

    >>> squeeze(Tensor([[1.0], [2.0]])).shape
    (2,)
    """
    return reshape(x, np.squeeze(np.asarray(array_of(x)), axis=axis).shape)


@checked
def flatten(x: Array, start: int = 0) -> Tensor:
    """All axes from `start` on as one: ``flatten(x, 1)`` keeps the batch axis.

    >>> flatten(Tensor(np.zeros((2, 3, 4))), 1).shape
    (2, 12)
    """
    shape = shape_of(x)
    rest = int(np.prod(shape[start:], dtype=np.int64))
    return reshape(x, (*shape[:start], rest))


@linear(lambda g, x_shape: sum_to(g, x_shape), flops=0, samples=lambda d: d.broadcast_sample())
def broadcast_to(x: Array, shape: ShapeLike) -> Array:
    """Repeated along new axes and axes of size 1, as a read-only view. Derivative: sum over the repeated axes.

    >>> broadcast_to(Tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    x = np.asarray(x)
    if x.shape == ():  # as the gradient of every mean has; NumPy takes 3 µs
        y = np.ndarray(shape, x.dtype, x, strides=(0,) * len(shape))
        y.flags.writeable = False
        return y
    return np.broadcast_to(x, shape)


@linear(lambda g, x_shape: broadcast_to(g, x_shape), samples=lambda d: d.sum_to_sample())
def sum_to(x: Array, shape: ShapeLike) -> Array:
    """The transpose of `broadcast_to`: summed over the axes along which `shape` would be repeated.

    Derivative: broadcast back.

    >>> sum_to(Tensor([[1.0, 2.0], [3.0, 4.0]]), (2,))
    Tensor([4., 6.])
    """
    return summed_to(x, shape)


def summed_to(x: Any, shape: tuple[int, ...], *, out: Any = None) -> Any:
    """`sum_to`, into `out` if that is given."""
    x = np.asarray(x)
    lead = x.ndim - len(shape)
    axes: Sequence[int] = range(lead)
    if x.shape[lead:] != shape:
        axes = (*axes, *(k + lead for k, n in enumerate(shape) if n == 1 and x.shape[k + lead] != 1))
    if x.flags.c_contiguous and x.size and (not axes or axes[-1] < len(axes)):
        if x.ndim != 2 or len(axes) != 1:
            x = x.reshape(math.prod(x.shape[: len(axes)]), -1)  # leading axes of a contiguous array are one long axis
        y = sum_rows(x, out=None if out is None else out.reshape(-1))
        return y.reshape(shape) if out is None else out
    y = np.sum(x, axis=tuple(axes), keepdims=True, out=None if out is None else out.reshape((1,) * lead + shape))
    return y.reshape(shape)


@linear(lambda g, i, shapes, axis, cuts: _part(g, i, shapes, axis, cuts), flops=0, samples=lambda d: d.concat_sample())
def _concat(*xs: Array, axis: int = 0, cuts: Sequence[int] | None = None) -> Array:
    """Arrays joined along an axis. Derivative: each gets its part back.

    `cuts` is where each begins and the last one ends, or None: then the derivative counts them for each.
    """
    return np.concatenate(xs, axis=axis)


def _part(g: Array, i: int, shapes: Sequence[Shape], axis: int, cuts: Sequence[int] | None) -> Array:
    axis %= len(g.shape)
    start, stop = (cuts or _cuts([s[axis] for s in shapes]))[i : i + 2]
    return getitem(g, (slice(None),) * axis + (slice(start, stop),))


def _cuts(sizes: Sequence[int]) -> tuple[int, ...]:
    return (0, *accumulate(sizes))


@checked
def concat(arrays: Arrays, axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis (flattened first when None). Derivative: each gets its part back.

    >>> concat([Tensor([1.0]), Tensor([2.0, 3.0])])
    Tensor([1., 2., 3.])
    """
    if not arrays:
        raise ArgumentError("concat: expected at least one array, got an empty sequence")
    parts = [a if isinstance(a, Tensor) else np.asarray(plain_array(a, "concat")) for a in arrays]
    if axis is None:
        parts, axis = [reshape(a, (-1,)) for a in parts], 0
    fits = all(-a.ndim <= axis < a.ndim for a in parts)
    return _concat(*parts, axis=axis, cuts=_cuts([a.shape[axis] for a in parts]) if fits else None)


@checked
def stack(arrays: Arrays, axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.

    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    shapes = {shape_of(a) for a in arrays}
    if len(shapes) != 1:
        raise ShapeError(f"stack: expected arrays of one shape, got {sorted(shapes) or 'none'}")
    return concat([expand_dims(a, axis) for a in arrays], axis)


@checked
def split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along an axis: into so many equal parts, or at these indices.

    >>> split(Tensor([1.0, 2.0, 3.0]), [1])
    [Tensor([1.]), Tensor([2., 3.])]
    """
    shape = shape_of(x)
    axis = axis_of("split", axis, shape)
    n = shape[axis]
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections <= 0 or n % sections:
            fits = divisors(n) or [1]
            raise ShapeError(f"split: axis {axis} of size {n} has no {sections} equal parts; use one of {fits}")
        cuts = [k * (n // sections) for k in range(sections + 1)]
    else:
        cuts = [0, *indices_or_sections, n]
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in pairwise(cuts)]


@linear(lambda g, axis: flip(g, axis), flops=0, samples=lambda d: d.axis_sample())
def flip(x: Array, axis: Axes = None) -> Array:
    """The elements in reverse order along axes (all when None). Derivative: the same flip.

    >>> flip(Tensor([1.0, 2.0]))
    Tensor([2., 1.])
    """
    return np.flip(x, axis)


def _opposite(shift: Any) -> Any:
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift


@linear(lambda g, shift, axis: roll(g, _opposite(shift), axis), flops=0, samples=lambda d: d.axis_sample(shift=2))
def roll(x: Array, shift: int | tuple[int, ...], axis: Axes = None) -> Array:
    """The elements moved along axes, those that leave coming back at the other end. Derivative: the opposite roll.

    >>> roll(Tensor([1.0, 2.0, 3.0]), 1)
    Tensor([3., 1., 2.])
    """
    return np.roll(x, shift, axis)


@checked
def tile(x: Array, reps: Count | Sequence[Count]) -> Tensor:
    """The array laid out `reps` times along each axis.

    >>> tile(Tensor([1.0, 2.0]), 2)
    Tensor([1., 2., 1., 2.])
    """
    shape, counts = shape_of(x), (reps,) if isinstance(reps, int) else tuple(reps)
    ndim = len(shape) if len(shape) > len(counts) else len(counts)
    shape = (1,) * (ndim - len(shape)) + shape
    counts = (1,) * (ndim - len(counts)) + counts
    apart = tuple(n for size in shape for n in (1, size))
    repeated = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)
    whole = tuple(c * n for c, n in zip(counts, shape, strict=True))
    afford("tile", whole, _itemsize(x))
    return reshape(broadcast_to(reshape(x, apart), repeated), whole)


@checked
def repeat(x: Array, repeats: Array, axis: int | None = None) -> Tensor:
    """Each element (or slice along an axis) repeated: so often each, or one count for all.

    >>> repeat(Tensor([1.0, 2.0]), 2)
    Tensor([1., 1., 2., 2.])
    """
    x, axis = along("repeat", x, axis, numbers=True)
    shape = shape_of(x)
    if isinstance(repeats, Tensor):
        repeats._escapes("repeat, whose counts decide a shape,")
    counts, n = np.asarray(array_of(repeats)), shape[axis]
    if not counts.size:
        counts = counts.astype(np.intp)
    if counts.dtype.kind not in "iu":
        raise DTypeError(f"repeat: expected integers as repeats, got dtype {counts.dtype}")
    afford("repeat", (int(counts.sum()) * (n if counts.size == 1 else 1), math.prod(shape) // (n or 1)), _itemsize(x))
    return take(x, np.repeat(np.arange(n), counts), axis=axis)


@linear(lambda g: g, flops=0, samples=lambda d: d.plain_sample(dtype=np.float64))
def _cast(x: Array, dtype: Any) -> Array:
    """The elements converted to a floating dtype. Derivative: the gradient converted back."""
    x = np.asarray(x)
    return (x.real if x.dtype.kind == "c" != np.dtype(dtype).kind else x).astype(dtype)


@checked
def astype(x: Array, dtype: DType, copy: bool = True, device: Device | None = None) -> Tensor:
    """The elements converted to a dtype. Derivative: the gradient converted back; integers and bools have none.

    With ``copy=False``, what has that dtype already is returned as it is.

    >>> astype(Tensor([1.5]), np.float32).dtype
    dtype('float32')
    >>> astype(Tensor([1.5], requires_grad=True), int)
    Tensor([1])
    """
    given = np.asarray(x).dtype if not isinstance(x, Tensor) else x.dtype
    if not copy and given == dtype:
        return x if isinstance(x, Tensor) else np.asarray(x)  # type: ignore[return-value]
    if given.kind == "c" and dtype.kind not in "cb":
        raise DTypeError(f"astype: expected a complex dtype for complex numbers, got {dtype}; take the real part first")
    if dtype.kind not in "fc":
        x = stop_gradient(x)
        if isinstance(x, Tensor):
            x._no_graph = (f"it was converted to {dtype} by astype()", None)
    return _cast(x, dtype)


@linear(lambda g: g, flops=0, samples=lambda d: d.plain_sample())
def identity(x: Array) -> Array:
    """x itself, as a variable of its own in the graph. Derivative: 1.

    >>> identity(Tensor([1.0, 2.0], requires_grad=True)).node.primitive.name
    'identity'
    """
    return np.asarray(x)


@checked
def positive(x: Array) -> Tensor:
    """+x, which is x.

    >>> positive(Tensor([-1.0]))
    Tensor([-1.])
    """
    return identity(x)


@linear(lambda g: g, flops=0, samples=lambda d: d.plain_sample())
def copy(x: Array) -> Array:
    """The same values in memory of their own. Derivative: 1.

    >>> x = Tensor([1.0, 2.0])
    >>> y = copy(x)
    >>> x[0] = 9.0
    >>> y
    Tensor([1., 2.])
    """
    return np.array(x)


@checked
def stop_gradient(x: Array) -> Tensor:
    """x as data: the same values, through which no gradient flows.

    >>> import tinygrad_conv as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    Tensor(3.)
    """
    if not isinstance(x, Tensor):
        return x
    out = wrap(x._shared(), None)
    out._no_graph = ("it was cut by stop_gradient()", None)
    return out


__all__ = [
    "astype", "broadcast_to", "concat", "copy", "expand_dims", "flatten", "flip", "identity", "matrix_transpose",
    "moveaxis", "permute_dims", "positive", "repeat", "reshape", "roll", "split", "squeeze", "stack",
    "stop_gradient", "sum_to", "swapaxes", "tile", "transpose",
]  # fmt: skip
