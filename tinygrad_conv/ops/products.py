"""Products of vectors and matrices under NumPy's further names, composed of `matmul` and elementwise products."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ..arguments import Count, SomeAxes, checked
from ..engine.bare import array_of, shape_of
from ..engine.modes import constant
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, ShapeError
from .axes import axis_of
from .complex import conj
from .indexing import scatter
from .linalg import diagonal, dot, inv, matmul, solve, tensordot
from .shape import Arrays, broadcast_to, expand_dims, moveaxis, reshape, squeeze, stack


@checked
def inner(x1: Array, x2: Array) -> Tensor:
    """The sums of products along the last axes of both.

    >>> inner(Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        return dot(x1, x2)
    if a[-1] != b[-1]:
        raise ShapeError(f"inner: expected last axes of equal size, got x1 {a} and x2 {b}")
    return tensordot(x1, x2, axes=(-1, -1))


@checked
def vdot(x1: Array, x2: Array) -> Tensor:
    """The sum of all products of two arrays of one size, the first conjugated.

    >>> vdot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    a, b = reshape(x1, (-1,)), reshape(x2, (-1,))
    if shape_of(a) != shape_of(b):
        raise ShapeError(f"vdot: expected arrays of one size, got {shape_of(x1)} and {shape_of(x2)}")
    return matmul(conj(a), b)


@checked
def kron(x1: Array, x2: Array) -> Tensor:
    """The Kronecker product: each element of x1 times the whole of x2, as blocks.

    >>> kron(Tensor([1.0, 10.0]), Tensor([1.0, 2.0]))
    Tensor([ 1.,  2., 10., 20.])
    """
    a, b = shape_of(x1), shape_of(x2)
    n = len(a) if len(a) > len(b) else len(b)
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    apart = [size for k in a for size in (k, 1)], [size for k in b for size in (1, k)]
    y = reshape(x1, tuple(apart[0])) * reshape(x2, tuple(apart[1]))
    return reshape(y, tuple(i * j for i, j in zip(a, b, strict=True)))


@checked
def cross(x1: Array, x2: Array, axis: int = -1) -> Tensor:
    """The vector product of vectors of three elements along an axis; the other axes broadcast.

    >>> cross(Tensor([1.0, 0.0, 0.0]), Tensor([0.0, 1.0, 0.0]))
    Tensor([0., 0., 1.])
    """
    shapes = [shape_of(x) for x in (x1, x2)]
    if [shape[axis_of("cross", axis, shape)] if shape else 0 for shape in shapes] != [3, 3]:
        raise ShapeError(f"cross: expected 3 elements along axis {axis}, got shapes {shapes[0]} and {shapes[1]}")
    a, b = (moveaxis(x, axis, -1) for x in (x1, x2))
    (a1, a2, a3), (b1, b2, b3) = ([x[..., k] for k in range(3)] for x in (a, b))
    return stack([a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1], axis=axis)


@checked
def matvec(x1: Array, x2: Array) -> Tensor:
    """Matrices times vectors, in stacks that broadcast.

    >>> matvec(Tensor([[1.0, 2.0], [3.0, 4.0]]), [1.0, 1.0])
    Tensor([3., 7.])
    """
    if np.ndim(array_of(x1)) < 2 or np.ndim(array_of(x2)) < 1:
        raise ShapeError(f"matvec: expected matrices and vectors, {_shapes(x1, x2)}")
    return squeeze(matmul(x1, expand_dims(x2, -1)), -1)


@checked
def vecmat(x1: Array, x2: Array) -> Tensor:
    """Vectors, conjugated, times matrices, in stacks that broadcast.

    >>> vecmat(Tensor([1.0, 1.0]), [[1.0, 2.0], [3.0, 4.0]])
    Tensor([4., 6.])
    """
    if np.ndim(array_of(x1)) < 1 or np.ndim(array_of(x2)) < 2:
        raise ShapeError(f"vecmat: expected vectors and matrices, {_shapes(x1, x2)}")
    return squeeze(matmul(expand_dims(conj(x1), -2), x2), -2)


def _shapes(x1: Array, x2: Array) -> str:
    return f"got x1 {shape_of(x1)} and x2 {shape_of(x2)}"


@checked
def multi_dot(arrays: Arrays) -> Tensor:
    """The product of matrices from left to right; the first may be a row vector and the last a column vector.

    >>> multi_dot([Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([[2.0]])])
    Tensor([[22.]])
    """
    if len(arrays) < 2:
        raise ArgumentError(f"multi_dot: expected at least two arrays, got {len(arrays)}")
    product: Any = reduce(matmul, arrays)
    return product


@checked
def matrix_power(x: Array, n: int) -> Tensor:
    """Square matrices times themselves, n times; of the inverse for n < 0.

    >>> matrix_power(Tensor([[2.0]]), 3)
    Tensor([[8.]])
    """
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"matrix_power: expected square matrices, got shape {shape}")
    power: Any = None
    base: Any = inv(x) if n < 0 else x
    left = -n if n < 0 else n
    while left:
        if left % 2:
            power = base if power is None else matmul(power, base)
        left //= 2
        base = matmul(base, base) if left else base
    if power is None:
        power = broadcast_to(constant(np.eye(shape[-1], dtype=np.asarray(array_of(x)).dtype)), shape) + x * 0
    return power


@checked
def tensorinv(x: Array, ind: Count = 2) -> Tensor:
    """The inverse of an array as a linear map from its last axes to its first `ind` ones.

    >>> tensorinv(Tensor([[2.0]]), 1)
    Tensor([[0.5]])
    """
    shape = shape_of(x)
    rows, columns = (int(np.prod(sizes, dtype=np.int64)) for sizes in (shape[:ind], shape[ind:]))
    if rows != columns or not ind:
        raise ShapeError(f"tensorinv: expected as many elements in the first {ind} axes as in the others, got {shape}")
    return reshape(inv(reshape(x, (rows, rows))), shape[ind:] + shape[:ind])


@checked
def tensorsolve(a: Array, b: Array, axes: SomeAxes | None = None) -> Tensor:
    """x such that ``tensordot(a, x, x.ndim) == b``; `axes` of a are moved behind the others first.

    >>> tensorsolve(Tensor([[2.0, 0.0], [0.0, 4.0]]), Tensor([2.0, 4.0]))
    Tensor([1., 1.])
    """
    if axes is not None:
        named = (axes,) if isinstance(axes, int) else axes
        a = moveaxis(a, named, tuple(range(-len(named), 0)))
    shape, n = shape_of(a), int(np.size(array_of(b)))
    left = shape[np.ndim(array_of(b)) :]
    if int(np.prod(left, dtype=np.int64)) != n or int(np.prod(shape, dtype=np.int64)) != n * n:
        raise ShapeError(f"tensorsolve: expected a square map onto b {shape_of(b)}, got a {shape}")
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), left)


@checked
def diag(x: Array, k: int = 0) -> Tensor:
    """Of a vector the matrix with it on the k-th diagonal; of a matrix its k-th diagonal.

    >>> diag(Tensor([1.0, 2.0]))
    Tensor([[1., 0.],
            [0., 2.]])
    """
    shape = shape_of(x)
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ShapeError(f"diag: expected 1 or 2 axes, got shape {shape}")
    n, places = shape[0], np.arange(shape[0])
    shift = -k if k < 0 else k
    index = (places + (shift if k < 0 else 0), places + (shift if k > 0 else 0))
    return scatter(x, index, (n + shift, n + shift))


@checked
def diagflat(x: Array, k: int = 0) -> Tensor:
    """The matrix with the flattened array on its k-th diagonal.

    >>> diagflat(Tensor([1.0, 2.0]))
    Tensor([[1., 0.],
            [0., 2.]])
    """
    return diag(reshape(x, (-1,)), k)


__all__ = [
    "cross", "diag", "diagflat", "inner", "kron", "matrix_power", "matvec", "multi_dot", "tensorinv", "tensorsolve",
    "vdot", "vecmat",
]  # fmt: skip
