"""Arrays put together and taken apart under NumPy's other names, all composed of `concat`, `split` and `getitem`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from ..arguments import Axes, ShapeLike, afford, bare_array, checked, one_of
from ..engine.bare import array_of, shape_of
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, IndexingError, ShapeError
from .axes import along, axis_of
from .indexing import getitem
from .leaving import data_of
from .reductions import normalize_axes, sum
from .shape import Arrays, astype, broadcast_to, concat, flip, matrix_transpose, moveaxis, reshape, split, swapaxes

# ------------------------------------------------------------------------------------------------------------------
# More axes


@checked
def atleast_1d(*arrays: Array) -> Any:
    """Each array with at least one axis; a tuple of them if there are several.

    >>> atleast_1d(Tensor(1.0))
    Tensor([1.])
    """
    return _each(_as_vector, arrays)


@checked
def atleast_2d(*arrays: Array) -> Any:
    """Each array with at least two axes: a vector becomes a row.

    >>> atleast_2d(Tensor([1.0, 2.0]))
    Tensor([[1., 2.]])
    """
    return _each(_as_rows, arrays)


@checked
def atleast_3d(*arrays: Array) -> Any:
    """Each array with at least three axes: (N,) becomes (1, N, 1), and (M, N) becomes (M, N, 1).

    >>> atleast_3d(Tensor([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _each(_as_sheets, arrays)


def _each(function: Any, arrays: Arrays) -> Any:
    made = tuple(map(function, arrays))
    return made[0] if len(made) == 1 else made


def _tensor(x: Array) -> Any:
    return x if isinstance(x, Tensor) else np.asarray(bare_array(x))


def _as_vector(x: Array) -> Any:
    return reshape(x, (1,)) if np.ndim(array_of(x)) == 0 else _tensor(x)


def _as_sheets(x: Array) -> Any:
    return _as_rows(x)[..., None] if np.ndim(array_of(x)) < 3 else _tensor(x)


def _as_rows(x: Array) -> Any:
    ndim = np.ndim(array_of(x))
    return reshape(x, (1, -1)) if ndim < 2 else _tensor(x)


@checked
def broadcast_arrays(*arrays: Array) -> tuple[Tensor, ...]:
    """The arrays, all repeated to one shape.

    Raises ShapeError when the shapes do not broadcast together.

    >>> [x.tolist() for x in broadcast_arrays(Tensor([1.0, 2.0]), Tensor(3.0))]
    [[1.0, 2.0], [3.0, 3.0]]
    """
    shapes = [shape_of(x) for x in arrays]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_arrays: expected shapes that broadcast together, got {shapes}") from None
    return tuple(broadcast_to(x, shape) for x in arrays)


@checked
def meshgrid(
    *arrays: Array, indexing: Annotated[str, one_of("xy", "ij")] = "xy", sparse: bool = False
) -> tuple[Tensor, ...]:
    """Coordinate grids of coordinate vectors; with "xy" the first vector runs along the second axis.

    With `sparse`, each has size 1 along the axes of the others.

    >>> [x.tolist() for x in meshgrid(Tensor([1.0, 2.0]), Tensor([3.0]))]
    [[[1.0, 2.0]], [[3.0, 3.0]]]
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: expected indexing 'xy' or 'ij', got {indexing!r}")
    n = len(arrays)
    grids = [reshape(x, tuple(-1 if axis == k else 1 for axis in range(n))) for k, x in enumerate(arrays)]
    if indexing == "xy" and n > 1:
        grids = [swapaxes(x, 0, 1) for x in grids]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


# ------------------------------------------------------------------------------------------------------------------
# Together


@checked
def hstack(arrays: Arrays) -> Tensor:
    """Arrays side by side: joined along axis 1, vectors along axis 0.

    >>> hstack([Tensor([1.0]), Tensor([2.0])])
    Tensor([1., 2.])
    """
    parts = list(map(_as_vector, arrays))
    return concat(parts, axis=0 if np.ndim(array_of(parts[0])) == 1 else 1)


@checked
def vstack(arrays: Arrays) -> Tensor:
    """Arrays on top of each other: vectors as rows, joined along axis 0.

    >>> vstack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return concat(list(map(_as_rows, arrays)), axis=0)


@checked
def dstack(arrays: Arrays) -> Tensor:
    """Arrays behind each other: joined along axis 2.

    >>> dstack([Tensor([1.0]), Tensor([2.0])])
    Tensor([[[1., 2.]]])
    """
    return concat(list(map(_as_sheets, arrays)), axis=2)


@checked
def column_stack(arrays: Arrays) -> Tensor:
    """Vectors as columns, and matrices, side by side.

    >>> column_stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])])
    Tensor([[1., 3.],
            [2., 4.]])
    """
    parts = [matrix_transpose(_as_rows(x)) if np.ndim(array_of(x)) < 2 else x for x in arrays]
    return concat(parts, axis=1)


@checked
def block(arrays: Any) -> Tensor:
    """An array of blocks in nested lists: the innermost are joined along the last axis, their outer ones before it.

    >>> block([[Tensor([[1.0]]), 2.0], [3.0, 4.0]])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    depth = _depth(arrays)
    ndim = max([depth, *(np.ndim(array_of(x)) for x in _flat(arrays))])

    def join(tree: Any, level: int) -> Any:
        if not isinstance(tree, list):
            missing = ndim - np.ndim(array_of(tree))
            return reshape(tree, (1,) * missing + shape_of(tree))
        return concat([join(item, level + 1) for item in tree], axis=ndim - depth + level)

    return join(arrays, 0)


def _depth(tree: Any) -> int:
    if not isinstance(tree, list):
        return 0
    depths = {_depth(item) for item in tree}
    if len(depths) != 1:
        raise ShapeError(f"block: expected lists nested equally deep and not empty, got depths {sorted(depths)}")
    return 1 + depths.pop()


def _flat(tree: Any) -> list[Any]:
    return [leaf for item in tree for leaf in _flat(item)] if isinstance(tree, list) else [tree]


@checked
def append(x: Array, values: Array, axis: int | None = None) -> Tensor:
    """`values` behind x along an axis (both flattened when None).

    >>> append(Tensor([1.0, 2.0]), 3.0)
    Tensor([1., 2., 3.])
    """
    return concat([x, values], axis=axis)


# ------------------------------------------------------------------------------------------------------------------
# Apart


_MOST_PARTS = 1000  # of an axis that has fewer elements: the rest are empty


@checked
def array_split(x: Array, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """`split` where the parts need not be equal: the first ones are one longer.

    >>> [len(part) for part in array_split(Tensor([1.0, 2.0, 3.0]), 2)]
    [2, 1]
    """
    if not isinstance(indices_or_sections, int):
        return split(x, indices_or_sections, axis)
    shape = shape_of(x)
    sections, n = indices_or_sections, shape[axis_of("array_split", axis, shape)]
    if sections < 1 or sections > max(n, _MOST_PARTS):
        raise ArgumentError(f"array_split: expected from 1 to {max(n, _MOST_PARTS)} sections, got {sections}")
    sizes = [n // sections + (k < n % sections) for k in range(sections)]
    cuts = np.cumsum(sizes)[:-1].tolist()
    return split(x, cuts, axis)


@checked
def hsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """`split` along axis 1; of a vector along axis 0.

    >>> hsplit(Tensor([[1.0, 2.0], [3.0, 4.0]]), 2)[0]
    Tensor([[1.],
            [3.]])
    """
    ndim = np.ndim(array_of(x))
    if ndim == 0:
        raise ShapeError("hsplit: expected at least 1 axis, got a scalar")
    return split(x, indices_or_sections, 1 if ndim > 1 else 0)


@checked
def vsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """`split` along axis 0, of at least two axes.

    >>> vsplit(Tensor([[1.0, 2.0], [3.0, 4.0]]), 2)
    [Tensor([[1., 2.]]), Tensor([[3., 4.]])]
    """
    _needs_axes("vsplit", x, 2)
    return split(x, indices_or_sections, 0)


@checked
def dsplit(x: Array, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """`split` along axis 2.

    >>> [part.shape for part in dsplit(Tensor(np.zeros((2, 2, 5))), [3])]
    [(2, 2, 3), (2, 2, 2)]
    """
    _needs_axes("dsplit", x, 3)
    return split(x, indices_or_sections, 2)


def _needs_axes(what: str, x: Array, n: int) -> None:
    if np.ndim(array_of(x)) < n:
        raise ShapeError(f"{what}: expected at least {n} axes, got shape {shape_of(x)}")


@checked
def unstack(x: Array, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, which is gone: the opposite of `stack`.

    >>> unstack(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    (Tensor([1., 2.]), Tensor([3., 4.]))
    """
    shape = shape_of(x)
    before = (slice(None),) * axis_of("unstack", axis, shape)
    return tuple(getitem(x, (*before, k)) for k in range(shape[axis]))


# ------------------------------------------------------------------------------------------------------------------
# Elements in and out


def decided(what: str, value: Any) -> Any:
    """The array of what decides a shape: a compiled step cannot follow that, and is told."""
    if isinstance(value, Tensor):
        value._escapes(f"{what}, which of whose arguments decide a shape,")
    return data_of(what, value)


def looked_at(what: str, x: Array) -> Any:
    """The array of what keeps its gradient, but whose elements decide a shape: a compiled step is told."""
    if isinstance(x, Tensor):
        x._escapes(f"{what}, in which elements decide a shape,")
    return np.asarray(array_of(x))


@checked
def insert(x: Array, index: Any, values: Array, axis: int | None = None) -> Tensor:
    """`values` put in before the given positions along an axis (of the flattened array when None), as `numpy.insert`.

    >>> insert(Tensor([1.0, 2.0]), 1, 9.0)
    Tensor([1., 9., 2.])
    """
    places, x, axis = _positions("insert", x, index, axis)
    shape, dtype = list(shape_of(x)), np.asarray(array_of(x)).dtype
    n = shape[axis]
    if len(places) == 1:  # one position may take several slices
        given = shape_of(values)
        values = reshape(values, (1,) * (len(shape) - len(given)) + given)
        if np.ndim(array_of(index)) == 0 and not isinstance(index, slice):  # along the values' first axis, as in NumPy
            values = moveaxis(values, 0, axis)
        places = np.repeat(places, shape_of(values)[axis])
    shape[axis] = len(places)
    new = astype(broadcast_to(values, tuple(shape)), dtype)
    order = np.argsort(places, kind="stable")
    behind = np.concatenate(
        [np.arange(n), n + np.arange(len(places))[order]]
    )  # where in [x, new] each element comes from
    keys = np.concatenate([np.arange(n) * 2 + 1, places[order] * 2])
    taken = behind[np.argsort(keys, kind="stable")]
    before = (slice(None),) * axis
    return getitem(concat([x, new], axis=axis), (*before, taken))


@checked
def delete(x: Array, index: Any, axis: int | None = None) -> Tensor:
    """x without the given positions along an axis (of the flattened array when None).

    >>> delete(Tensor([1.0, 2.0, 3.0]), [0, 2])
    Tensor([2.])
    """
    places, x, axis = _positions("delete", x, index, axis)
    kept = np.setdiff1d(np.arange(shape_of(x)[axis]), places)
    return getitem(x, (*(slice(None),) * axis, kept))


def _positions(what: str, x: Array, index: Any, axis: int | None) -> tuple[Any, Any, int]:
    """Positions along an axis as integers >= 0; x, flattened where there is no axis; the axis >= 0."""
    x, axis = along(what, x, axis)
    n = shape_of(x)[axis]
    if isinstance(index, slice):
        return np.arange(n)[index], x, axis
    places = np.atleast_1d(np.asarray(decided(what, index)))
    if places.dtype == bool:
        if places.shape != (n,) and what == "delete":
            raise ShapeError(f"delete: expected a mask of shape ({n},) for axis {axis}, got {places.shape}")
        places = np.flatnonzero(places)
    if places.size and places.dtype.kind not in "iu":
        raise ArgumentError(f"{what}: expected integer positions, got dtype {places.dtype}")
    most = n if what == "insert" else n - 1
    wrong = [int(k) for k in places.ravel() if not -n <= k <= most]
    if wrong:
        raise IndexingError(f"{what}: position {wrong[0]} is out of range for axis {axis} of size {n}")
    places = places.ravel().astype(np.intp)
    return np.where(places < 0, places + n, places), x, axis


@checked
def resize(x: Array, new_shape: ShapeLike) -> Tensor:
    """The elements in order, again from the first when they run out, in a new shape (`numpy.resize`, not the method).

    Of none, zeros.

    >>> resize(Tensor([1.0, 2.0]), (3,))
    Tensor([1., 2., 1.])
    """
    shape = new_shape
    afford("resize", shape, 2 * 8)  # with the places
    flat = reshape(x, (-1,))
    size, n = int(np.prod(shape, dtype=np.int64)), shape_of(flat)[0]
    if not n:  # nothing to repeat
        return broadcast_to(astype(sum(flat), np.asarray(array_of(x)).dtype), shape)
    return reshape(getitem(flat, np.arange(size) % max(n, 1)), shape)


@checked
def compress(condition: Any, x: Array, axis: int | None = None) -> Tensor:
    """The slices along an axis (of the flattened array when None) where the condition is true.

    >>> compress([True, False], Tensor([1.0, 2.0]))
    Tensor([1.])
    """
    kept = np.asarray(decided("compress", condition)).astype(bool)
    if kept.ndim != 1:
        raise ShapeError(f"compress: expected a condition with 1 axis, got shape {kept.shape}")
    x, axis = along("compress", x, axis, numbers=True)
    return getitem(x, (*(slice(None),) * axis, np.flatnonzero(kept)))


@checked
def trim_zeros(x: Array, trim: str = "fb", axis: Axes = None) -> Tensor:
    """Without the zeros in front ("f") and behind ("b"), along all axes or these: slices that are 0 everywhere.

    Which these are is data.

    >>> trim_zeros(Tensor([0.0, 1.0, 0.0]))
    Tensor([1.])
    """
    trim, values = trim.lower(), looked_at("trim_zeros", x)
    if trim not in ("f", "b", "fb", "bf"):
        raise ArgumentError(f'trim_zeros: expected trim "f", "b" or "fb", got {trim!r}')
    index = [slice(None)] * values.ndim
    for k in normalize_axes(axis, values.ndim):
        places = np.flatnonzero(values.any(axis=tuple(j for j in range(values.ndim) if j != k)))
        low, high = (int(places[0]), int(places[-1]) + 1) if places.size else (values.shape[k],) * 2
        index[k] = slice(low if "f" in trim else 0, high if "b" in trim or not places.size else None)
        if not places.size and "f" not in trim:
            index[k] = slice(0, 0)
    return getitem(x, tuple(index))


@checked
def extract(condition: Any, x: Array) -> Tensor:
    """The elements where the condition, of x's size, is true.

    >>> extract(np.array([True, False]), Tensor([1.0, 2.0]))
    Tensor([1.])
    """
    return getitem(reshape(x, (-1,)), np.flatnonzero(np.ravel(np.asarray(decided("extract", condition)))))


# ------------------------------------------------------------------------------------------------------------------
# Turned


@checked
def fliplr(x: Array) -> Tensor:
    """Columns in reverse order: `flip` along axis 1.

    >>> fliplr(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[2., 1.],
            [4., 3.]])
    """
    _needs_axes("fliplr", x, 2)
    return flip(x, 1)


@checked
def flipud(x: Array) -> Tensor:
    """Rows in reverse order: `flip` along axis 0.

    >>> flipud(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[3., 4.],
            [1., 2.]])
    """
    _needs_axes("flipud", x, 1)
    return flip(x, 0)


@checked
def rot90(x: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Turned by k right angles in the plane of two axes, from the first towards the second.

    >>> rot90(Tensor([[1.0, 2.0]]))
    Tensor([[2.],
            [1.]])
    """
    _needs_axes("rot90", x, 2)
    n = np.ndim(array_of(x))
    if len(axes) != 2 or not all(-n <= a < n for a in axes) or axes[0] % n == axes[1] % n:
        raise ArgumentError(f"rot90: expected two different axes of {n}, got {tuple(axes)}")
    first, second = axes[0] % n, axes[1] % n
    turns = k % 4
    if turns == 0:
        return flip(flip(x, first), first)
    if turns == 2:
        return flip(x, (first, second))
    return swapaxes(flip(x, second), first, second) if turns == 1 else flip(swapaxes(x, first, second), second)


__all__ = [
    "append", "array_split", "atleast_1d", "atleast_2d", "atleast_3d", "block", "broadcast_arrays", "column_stack",
    "compress", "delete", "dsplit", "dstack", "extract", "fliplr", "flipud", "hsplit", "hstack", "insert", "meshgrid",
    "resize", "rot90", "trim_zeros", "unstack", "vsplit", "vstack",
]  # fmt: skip
