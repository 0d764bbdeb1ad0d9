"""Picking elements and putting them back: `getitem` and its transpose `scatter`, and what is built on them."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import numpy as np

from ..arguments import Count, DType, ShapeLike, afford, as_array, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.node import Shape
from ..engine.plain import plain
from ..engine.primitive import linear
from ..engine.tensor import Array, Tensor, wrap
from ..errors import ArgumentError, DTypeError, IndexingError, ShapeError
from ..kernels.scratch import counted
from .axes import along, axis_of
from .elementwise import where


def _freeze(index: Any) -> Any:
    """An index of integers, slices and arrays: tensors and lists become arrays."""
    return tuple(map(_freeze_part, index)) if isinstance(index, tuple) else _freeze_part(index)


def _freeze_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, (int, np.integer, np.bool_)):
        return part
    if isinstance(part, slice):
        try:
            return slice(*(k if k is None else operator.index(k) for k in (part.start, part.stop, part.step)))
        except TypeError as error:
            raise IndexingError(f"getitem: expected integers in a slice, got {part} ({error})") from None
    if isinstance(part, Tensor) and part.dtype.kind == "b":
        part._escapes("a mask, which decides a shape,")
    return array_of(_index_array(part))


@plain
def _index_array(part: Any) -> Any:
    """A tensor, list, range, ... of indices as an array. (What is recorded keeps a copy.)"""
    try:
        array = np.asarray(part)
    except ValueError as error:
        raise IndexingError(
            f"getitem: expected integers or bools as an index, got no regular array ({error})"
        ) from None
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.intp)
    if array.dtype.kind not in "iub":
        raise IndexingError(f"getitem: expected integers or bools as an index, got dtype {array.dtype}")
    return array


_BASIC = (slice, int, np.integer, type(None), type(Ellipsis))


def _is_basic(index: Any) -> bool:
    """Only slices, integers, None and `...`: then no element is picked twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(part, bool) or not isinstance(part, _BASIC) for part in parts)


@linear(lambda g, x_shape, index: scatter(g, index, x_shape), flops=0, samples=lambda d: d.index_sample())
def _getitem(x: Array, index: Any) -> Array:
    """x[index]. Derivative: the gradients go back to where the elements came from, adding up."""
    return np.asarray(x)[index]


@linear(
    lambda g, index: _getitem(g, index), flops=0,
    samples=lambda d: d.scatter_sample(),
)  # fmt: skip
def scatter(x: Array, index: Any, shape: ShapeLike) -> Array:
    """Zeros of `shape` with x added at an index: the transpose of ``x[index]``. Derivative: pick them out again.

    >>> scatter(Tensor([1.0, 2.0]), np.array([0, 0]), (3,))
    Tensor([3., 0., 0.])
    """
    if isinstance(index, list):  # a node would keep a tuple of it, which means another index
        raise IndexingError(
            "scatter: expected an array of integers, a slice, or a tuple of them, got a list; use np.array"
        )
    x = np.asarray(x)
    out = np.zeros(shape, x.dtype)
    if _is_basic(index):
        out[index] = x
    else:
        _add_into(out, index, x)
    return out


@checked
def getitem(x: Array, index: Any) -> Tensor:
    """``x[index]``: basic (slices, integers, None, ...) and advanced (integer and bool arrays) indexing as in NumPy.

    Derivative: each element's gradient goes back to where it came from; an element picked twice gets the sum.

    Raises IndexingError (an IndexError) when an index is out of range.

    >>> getitem(Tensor([1.0, 2.0, 3.0]), [0, 2])
    Tensor([1., 3.])
    """
    return _getitem(x, _freeze(index))


@checked
def take(
    x: Array, indices: Array, axis: int | None = None, mode: Annotated[str, one_of("raise", "wrap", "clip")] = "raise"
) -> Tensor:
    """The slices at `indices` along an axis (of the flattened array when None).

    Indices beyond the ends are refused, or with `mode` "wrap" counted around, with "clip" taken for the ends.

    >>> take(Tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 0], axis=1)
    Tensor([[2., 1.],
            [4., 3.]])
    """
    shape = shape_of(x)
    index = _integers("take", indices)
    if axis is None or (not shape and axis in (0, -1)):  # a number is a vector here, as for NumPy
        x = x.reshape(-1) if isinstance(x, Tensor) else np.reshape(x, -1)
        return _getitem(x, index if mode == "raise" else _inside(index, np.size(array_of(x)), mode))
    axis = axis_of("take", axis, shape)
    if mode != "raise":
        index = _inside(index, shape[axis], mode)
    return _getitem(x, (slice(None),) * axis + (index,))


def _inside(index: Any, n: int, mode: str) -> Any:
    """Indices brought into 0 ... n - 1."""
    if not n and np.size(index):
        raise IndexingError("take: expected at least one element to take from, got none")
    return index % n if mode == "wrap" else np.clip(index, 0, n - 1)


def _integers(what: str, indices: Array) -> Any:
    return array_of(_integer_array(what, indices))


@plain
def _integer_array(what: str, indices: Any) -> Any:
    index = np.asarray(indices)
    if index.size == 0:
        index = index.astype(np.intp)
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{what}: expected integer indices, got dtype {index.dtype}; convert with astype(int)")
    return index


@checked
def take_along_axis(x: Array, indices: Array, axis: int | None = -1) -> Tensor:
    """One element per index along an axis: ``y[i, j] = x[i, indices[i, j]]`` for the last of two axes.

    Without an axis (None), of the flattened array.

    `indices` has x's number of axes; its other axes broadcast against x's.

    >>> take_along_axis(Tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]))
    Tensor([[2.],
            [3.]])
    """
    x, axis = along("take_along_axis", x, axis)
    return _getitem(x, _along("take_along_axis", shape_of(x), indices, axis))


def _along(what: str, shape: Shape, indices: Array, axis: int) -> tuple[Any, ...]:
    index = _integers(what, indices)
    if index.ndim != len(shape):
        raise ShapeError(f"{what}: expected indices with {len(shape)} axes as x {shape} has, got shape {index.shape}")
    axis = axis_of(what, axis, shape)
    grid = []
    for k, n in enumerate(shape):
        along = [1] * len(shape)
        along[k] = n
        grid.append(index if k == axis else constant(np.arange(n).reshape(along)))
    return tuple(grid)


@plain
def _last_wins(index: Any, shape: Shape, like: Shape) -> Any:
    """Which of the values assigned at an index survive: with repeated places, the last one."""
    number = np.arange(int(np.prod(like, dtype=np.int64))).reshape(like)
    owner = np.full(shape, -1)
    owner[index] = number
    return owner[index] == number


def _value_gradient(g: Array, index: Any) -> Array:
    picked = _getitem(g, index)
    if _is_basic(index):
        return picked
    return where(_last_wins(index, g.shape, picked.shape), picked, 0)


def _zeros_like_output(t: Array, y_shape: Shape) -> Any:
    return constant(np.zeros(y_shape, t.dtype))


@linear(
    (lambda g, index: _set_at(g, 0, index), lambda g, index: _value_gradient(g, index)),
    jvp=(
        lambda t, index: _set_at(t, 0, index),
        lambda t, index, y_shape: _set_at(_zeros_like_output(t, y_shape), t, index),
    ),
    flops=0, samples=lambda d: d.set_sample(),
)  # fmt: skip
def _set_at(x: Array, value: Array, index: Any) -> Array:
    """x with x[index] = value. Derivatives: the gradient outside the index, and the gradient inside."""
    dtype = np.result_type(x, value)
    out = np.array(x, dtype=dtype)
    out[index] = value
    return out


@checked
def set_at(x: Array, index: Any, value: Array) -> Tensor:
    """A copy of x with ``x[index] = value``: what to write instead of assignment in place.

    Where an index names a place twice, the last value stays (and gets the gradient), as in NumPy.

    >>> set_at(Tensor([1.0, 2.0, 3.0]), 1, 9.0)
    Tensor([1., 9., 3.])
    """
    return _set_at(x if isinstance(x, Tensor) else as_array(x, "set_at"), value, _freeze(index))


def _add_into(out: Array, index: Any, value: Any) -> None:
    if out.dtype.kind not in "fiubc":  # with text, NumPy's function ends the process
        raise DTypeError(f"expected numbers to add, got dtype {np.asarray(value).dtype}; convert the data first")
    np.add.at(out, index, value)


@linear(
    (lambda g: g, lambda g, index: _getitem(g, index)),
    jvp=(lambda t: t, lambda t, index, y_shape: _add_at(_zeros_like_output(t, y_shape), t, index)),
    samples=lambda d: d.set_sample(),
)
def _add_at(x: Array, value: Array, index: Any) -> Array:
    """x with value added at x[index]. Derivatives: 1, and the gradient at the index."""
    dtype = np.result_type(x, value)
    out = np.array(x, dtype=dtype)
    if out.ndim == 1 and np.ndim(value):  # NumPy 2.4 reads beyond values of fewer axes than the index
        value = np.broadcast_to(value, out[index].shape)
    _add_into(out, index, value)
    return out


@checked
def add_at(x: Array, index: Any, value: Array) -> Tensor:
    """A copy of x with `value` added at an index; a place named twice gets both.

    >>> add_at(Tensor([1.0, 2.0]), [0, 0], Tensor([10.0, 20.0]))
    Tensor([31.,  2.])
    """
    return _add_at(x if isinstance(x, Tensor) else as_array(x, "add_at"), value, _freeze(index))


def _sample_labels(d: Any, which: str) -> Any:
    shape = (*d.shape(max_ndim=2), d.integer(1, 4))
    labels = d.rng.integers(0, shape[-1], shape[:-1])
    if which == "x":
        return (d.array(shape),), {"labels": labels}
    return (d.array(shape[:-1]),), {"labels": labels, "classes": shape[-1]}


@linear(lambda g, x_shape, labels: place(g, labels, x_shape[-1]), flops=0, samples=lambda d: _sample_labels(d, "x"))
def pick(x: Array, labels: Any) -> Array:
    """From each row of x (..., K) the element that its label (...) names. Derivative: `place`."""
    return picked(x, labels)


def picked(x: Any, labels: Any, *, out: Any = None) -> Any:
    """`pick`, into `out` if that is given."""
    if labels.ndim == 1:
        y = x[counted(len(x)), labels]
    else:
        y = picked(x.reshape(-1, x.shape[-1]), labels.reshape(-1)).reshape(labels.shape)
    if out is None:
        return y
    np.copyto(out, y)
    return out


@linear(lambda g, labels: pick(g, labels), flops=0, samples=lambda d: _sample_labels(d, "y"))
def place(x: Array, labels: Any, classes: int) -> Array:
    """Rows (..., classes) of zeros with x (...) where the labels (...) say: the transpose of `pick`. Derivative: it."""
    return placed(x, labels, classes)


def placed(x: Any, labels: Any, classes: int, *, out: Any = None) -> Any:
    """`place`, into `out` if that is given."""
    if out is None:
        out = np.zeros((*labels.shape, classes), x.dtype)
    else:
        out.fill(0)
    out.reshape(-1, classes)[counted(labels.size), labels.reshape(-1)] = x.reshape(-1)
    return out


@checked
def one_hot(labels: Array, num_classes: Count | None = None, dtype: DType = np.float32) -> Tensor:
    """Rows of zeros with a 1 at each label, of shape ``labels.shape + (num_classes,)``; data, without a gradient.

    Raises ArgumentError when a label is not in 0 ... num_classes - 1.

    >>> one_hot([0, 2], 3)
    Tensor([[1., 0., 0.],
            [0., 0., 1.]], dtype=float32)
    """
    if num_classes is None and isinstance(labels, Tensor):
        labels._escapes("one_hot without num_classes")
    rows = _one_hot(labels, num_classes, dtype)
    return rows if isinstance(rows, Tensor) else wrap(rows, None)


@plain
def _one_hot(labels: Any, num_classes: int | None, dtype: Any) -> Any:
    index = _integers("one_hot", labels)
    top = int(index.max()) + 1 if index.size else 0
    n = top if num_classes is None else num_classes
    check_labels("one_hot", index, n)
    afford("one_hot", (*index.shape, n), np.dtype(dtype).itemsize)
    out = np.zeros((*index.shape, n), dtype)
    np.put_along_axis(out, index[..., None], 1, axis=-1)
    return out


@checked
@plain
def check_labels(what: str, labels: Any, num_classes: int) -> None:
    """Raise ArgumentError unless every label is in 0 ... num_classes - 1, naming the first that is not.

    >>> try:
    ...     check_labels("my loss", np.array([0, 3]), 3)
    ... except ArgumentError as error:
    ...     print(str(error).split(";")[0])
    my loss: expected labels from 0 to 2, got 3 at index 1
    """
    refuse_labels(what, labels, num_classes)


def refuse_labels(what: str, labels: Any, num_classes: int) -> None:
    """`check_labels` of an array."""
    if labels.size and not _are_within(labels, num_classes):
        wrong = (labels < 0) | (labels >= num_classes)
        where_ = tuple(int(k) for k in np.argwhere(wrong)[0])
        fix = "renumber the labels from 0"
        if labels.min() >= 0:
            fix = f"the model needs at least {int(labels.max()) + 1} classes or the labels must be renumbered"
        raise ArgumentError(
            f"{what}: expected labels from 0 to {num_classes - 1}, got {int(labels[where_])} at index "
            f"{where_[0] if len(where_) == 1 else where_}; {fix}"
        )


def _are_within(labels: Any, n: int) -> Any:
    """Is every label in 0 ... n - 1?"""
    if labels.dtype == np.int64:
        return labels.view(np.uint64).max() < n  # where -1 is a large number: one look at all instead of two
    return 0 <= labels.min() <= labels.max() < n


__all__ = ["add_at", "check_labels", "getitem", "one_hot", "scatter", "set_at", "take", "take_along_axis"]
