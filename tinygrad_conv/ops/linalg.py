"""Linear algebra: products of arrays, and the few matrix functions with rules of their own.

Rules for `solve` and `inv`: M. Giles, "Collected matrix derivative results" (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..arguments import Axes, Count, SomeAxes, afford, checked
from ..engine.bare import array_of, shape_of
from ..engine.plain import plain
from ..engine.primitive import bilinear, linear, opaque
from ..engine.tensor import Array, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import product
from .complex import conj, squared_size
from .elementwise import abs, equal, multiply, pow, root, where
from .reductions import max, min, normalize_axes, sum
from .shape import astype, expand_dims, moveaxis, permute_dims, reshape, squeeze, sum_to, transposed

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@bilinear(
    lambda g, x2: _matmul(g, transposed(x2)), lambda g, x1: _matmul(transposed(x1), g), label="@",
    flops=lambda x1, x2, y: 2 * int(np.prod(y)) * x1[-1], broadcasts=True,
    samples=lambda d: d.matmul_sample(), ordered=True,
)  # fmt: skip
def _matmul(x1: Array, x2: Array) -> Array:
    """x1 @ x2 for stacks of matrices. Derivatives: g x2ᵀ and x1ᵀ g."""
    return product.matmul(x1, x2)


@checked
def matmul(x1: Array, x2: Array) -> Tensor:
    """The matrix product, by NumPy's rules: stacks of matrices broadcast, a vector becomes a row or a column.

    Derivatives: g x2ᵀ and x1ᵀ g.

    Raises ShapeError when the inner sizes differ, or an argument is 0-d.

    >>> matmul(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]))
    Tensor([[11.]])
    """
    a, b = shape_of(x1), shape_of(x2)
    if len(a) < 1 or len(b) < 1:
        raise ShapeError(f"matmul: expected at least 1 axis each, got x1 {a} and x2 {b}; use multiply for scalars")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ShapeError(
            f"matmul: expected x1.shape[-1] == x2.shape[{-2 if len(b) > 1 else 0}], got {a[-1]} and {inner} "
            f"(x1 {a}, x2 {b}){_matmul_fix(a, b)}"
        )
    if len(a) > 1 and len(b) > 1:
        return _matmul(x1, x2)
    rows = x1 if len(a) > 1 else expand_dims(x1, 0)
    columns = x2 if len(b) > 1 else expand_dims(x2, 1)
    drop = tuple(axis for axis, short in ((-2, len(a) == 1), (-1, len(b) == 1)) if short)
    return squeeze(_matmul(rows, columns), drop)


def _matmul_fix(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if len(b) > 1 and a[-1] == b[-1]:
        return "; use x2.mT"
    if len(a) > 1 and len(b) > 0 and a[-2] == (b[-2] if len(b) > 1 else b[0]):
        return "; use x1.mT"
    return ""


@checked
def dot(x1: Array, x2: Array) -> Tensor:
    """NumPy's dot: a product of scalars, `matmul` up to two axes, else a sum over x1's last and x2's last but one.

    >>> dot(Tensor([1.0, 2.0]), [3.0, 4.0])
    Tensor(11.)
    """
    a, b = np.ndim(array_of(x1)), np.ndim(array_of(x2))
    if a == 0 or b == 0:
        return multiply(*(x if isinstance(x, Tensor) else np.asarray(x) for x in (x1, x2)))  # numbers count as arrays
    if a <= 2 and b <= 2:
        return matmul(x1, x2)
    return tensordot(x1, x2, axes=(-1, -2 if b > 1 else -1))


@checked
def tensordot(x1: Array, x2: Array, axes: Count | tuple[SomeAxes, SomeAxes] = 2) -> Tensor:
    """The sum of products over pairs of axes; an int n pairs x1's last n with x2's first n.

    >>> tensordot(Tensor([[1.0, 2.0]]), Tensor([3.0, 4.0]), axes=1)
    Tensor([11.])
    """
    a, b = shape_of(x1), shape_of(x2)
    if isinstance(axes, int):
        most, _ = sorted((len(a), len(b)))  # `min` is the operation here
        if axes > most:
            raise ShapeError(f"tensordot: expected axes to be at most {most} for x1 {a} and x2 {b}, got {axes}")
        left, right = tuple(range(len(a) - axes, len(a))), tuple(range(axes))
    else:
        left = np.lib.array_utils.normalize_axis_tuple(axes[0], len(a))
        right = np.lib.array_utils.normalize_axis_tuple(axes[1], len(b))
    sizes = [a[k] if 0 <= k < len(a) else None for k in left], [b[k] if k < len(b) else None for k in right]
    if sizes[0] != sizes[1] or None in sizes[0]:
        raise ShapeError(f"tensordot: expected equal sizes on axes {left} and {right}, got x1 {a} and x2 {b}")
    free_a = tuple(k for k in range(len(a)) if k not in left)
    free_b = tuple(k for k in range(len(b)) if k not in right)
    inner = int(np.prod([a[k] for k in left], dtype=np.int64))
    rows = int(np.prod([a[k] for k in free_a], dtype=np.int64))
    columns = int(np.prod([b[k] for k in free_b], dtype=np.int64))
    first = reshape(permute_dims(x1, free_a + left), (rows, inner))
    second = reshape(permute_dims(x2, right + free_b), (inner, columns))
    return reshape(_matmul(first, second), tuple(a[k] for k in free_a) + tuple(b[k] for k in free_b))


@bilinear(
    lambda g, x2, terms: _contract(g, x2, terms=(terms[2], terms[1], terms[0])),
    lambda g, x1, terms: _contract(g, x1, terms=(terms[2], terms[0], terms[1])),
    label="einsum", flops=lambda x1, x2, y, terms: 2 * _space(terms, (x1, x2, y)),
    samples=lambda d: d.contract_sample(),
)  # fmt: skip
def _contract(x1: Array, x2: Array, terms: tuple[str, str, str]) -> Array:
    """einsum("a,b->c") with no axis repeated or alone in one operand. Derivatives: einsum("c,b->a") and ("c,a->b")."""
    return product.einsum(f"{terms[0]},{terms[1]}->{terms[2]}", x1, x2)


def _space(terms: Sequence[str], shapes: Sequence[Sequence[int]]) -> int:
    sizes = {label: n for term, shape in zip(terms, shapes, strict=True) for label, n in zip(term, shape, strict=True)}
    return int(np.prod(list(sizes.values()), dtype=np.int64))


@checked
def einsum(subscripts: str, *operands: Array) -> Tensor:
    """Einstein's summation: ``einsum("ij,jk->ik", a, b)``, with repeated axes, "..." and any number of operands.

    Raises ArgumentError for subscripts that do not parse, DTypeError for none, ShapeError for sizes that differ.

    >>> einsum("i,i->", Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    terms, out = _parse_einsum(subscripts, [shape_of(x) for x in operands])
    dtype = np.result_type(*map(array_of, operands))
    values = [astype(x, dtype) if isinstance(x, (Tensor, np.ndarray)) and x.dtype != dtype else x for x in operands]
    for k, term in enumerate(terms):
        elsewhere = set(out).union(*(terms[:k] + terms[k + 1 :]))
        terms[k], values[k] = _tidy(term, values[k], elsewhere)
    while len(values) > 1:
        later = set(out).union(*terms[2:])
        kept = "".join(c for c in dict.fromkeys(terms[0] + terms[1]) if c in later)
        values[:2] = [_contract(values[0], values[1], terms=(terms[0], terms[1], kept))]
        terms[:2] = [kept]
        terms[0], values[0] = _tidy(terms[0], values[0], later)
    return permute_dims(values[0], tuple(terms[0].index(c) for c in out))


def _parse_einsum(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[str], str]:
    """Operand terms and output term with "..." written out as letters."""
    if not isinstance(subscripts, str):
        raise DTypeError(f"einsum: expected subscripts such as 'ij,jk->ik' first, got {type(subscripts).__name__}")
    text = subscripts.replace(" ", "")
    left, arrow, out = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ArgumentError(f"einsum: expected {len(terms)} operands for {subscripts!r}, got {len(shapes)}")
    if not all(c.isalpha() for c in text.replace("...", "").replace(",", "").replace("->", "")):
        raise ArgumentError(f"einsum: expected letters, commas, '->' and '...', got {subscripts!r}")
    free = [c for c in LETTERS if c not in text]
    longest = 0
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        if "..." in term:
            n = len(shape) - len(term.replace("...", ""))
            if n < 0:
                raise ShapeError(f"einsum: term {term!r} needs more axes than operand {k} has (shape {shape})")
            longest = n if n > longest else longest
            terms[k] = term.replace("...", "".join(free[26 - n : 26]) if n else "")
        if len(terms[k]) != len(shape):
            raise ShapeError(f"einsum: term {term!r} names {len(terms[k])} axes, operand {k} has shape {shape}")
    dots = "".join(free[26 - longest : 26]) if longest else ""
    if arrow:
        out = out.replace("...", dots)
    else:
        letters = sorted(c for c in set("".join(terms)) - set(dots) if "".join(terms).count(c) == 1)
        out = dots + "".join(letters)
    unknown = set(out) - set("".join(terms))
    if unknown or len(set(out)) != len(out):
        raise ArgumentError(f"einsum: expected each output axis once and among the inputs', got {subscripts!r}")
    sizes: dict[str, int] = {}
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        for c, n in zip(term, shape, strict=True):
            if sizes.setdefault(c, n) != n:
                raise ShapeError(f"einsum: axis {c!r} has size {sizes[c]} and, in operand {k} {shape}, size {n}")
    return terms, out


def _tidy(term: str, x: Array, wanted: set[str]) -> tuple[str, Array]:
    """Take diagonals of repeated axes and sum axes that nobody wants."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            x = diagonal(x, 0, first, second)  # the diagonal comes last
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + c
    lone = tuple(k for k, c in enumerate(term) if c not in wanted)
    if lone:
        dtype = np.asarray(array_of(x)).dtype
        x = sum(x, axis=lone, dtype=None if dtype.kind in "fc" else dtype)  # integers stay what they are
        term = "".join(c for c in term if c in wanted)
    return term, x


@checked
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The elements whose index on axis2 is `offset` more than that on axis1, as a new last axis.

    >>> diagonal(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 4.])
    """
    moved = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = shape_of(moved)[-2:]
    places = [(k, k + offset) for k in range(rows) if 0 <= k + offset < columns]
    return moved[..., [i for i, _ in places], [j for _, j in places]]


@checked
def outer(x1: Array, x2: Array) -> Tensor:
    """All products of two vectors: ``y[i, j] = x1[i] * x2[j]``.

    >>> outer(Tensor([1.0, 2.0]), Tensor([3.0]))
    Tensor([[3.],
            [6.]])
    """
    rows, columns = reshape(x1, (-1, 1)), reshape(x2, (1, -1))
    afford("outer", (rows.shape[0], columns.shape[1]))
    return rows * columns


@checked
def vecdot(x1: Array, x2: Array, axis: int = -1) -> Tensor:
    """The sum of products along an axis of each, x1 conjugated, the other axes broadcast.

    Raises ShapeError where the sizes along the axis differ.

    >>> vecdot(Tensor([1.0, 2.0]), Tensor([3.0, 4.0]))
    Tensor(11.)
    """
    a, b = (x if axis == -1 else moveaxis(x, axis, -1) for x in (x1, x2))
    sizes = [shape_of(x)[-1:] for x in (a, b)]
    if sizes[0] != sizes[1] or () in sizes:
        shapes = f"x1 {shape_of(x1)} and x2 {shape_of(x2)}"
        raise ShapeError(f"vecdot: expected equal sizes along axis {axis}, got {shapes}")
    products = multiply(conj(a), b)
    return sum(products, axis=-1, dtype=None if products.dtype.kind in "fc" else products.dtype)


@checked
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of the `diagonal`: of the first two axes, if no others are given.

    >>> trace(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor(5.)
    """
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


@linear(lambda g, x_shape, k: sum_to(tril(g, k), x_shape), flops=0, samples=lambda d: d.matrix_sample())
def tril(x: Array, k: int = 0) -> Array:
    """The lower triangle of the last two axes, up to the k-th diagonal; zeros elsewhere. Derivative: the same.

    >>> tril(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 0.],
            [3., 4.]])
    """
    return np.tril(x, k)


@linear(lambda g, x_shape, k: sum_to(triu(g, k), x_shape), flops=0, samples=lambda d: d.matrix_sample())
def triu(x: Array, k: int = 0) -> Array:
    """The upper triangle of the last two axes, from the k-th diagonal on; zeros elsewhere. Derivative: the same.

    >>> triu(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([[1., 2.],
            [0., 4.]])
    """
    return np.triu(x, k)


@checked
def linalg_norm(
    x: Array, ord: float | Literal["fro"] | None = None, axis: Axes = None, keepdims: bool = False
) -> Tensor:
    """A norm over axes: Euclidean (None, 2, "fro"), 1, inf, -inf, or any power p > 0 of vectors.

    Derivative of the Euclidean norm: x / |x|; of every norm: 0 at x = 0.

    >>> linalg_norm(Tensor([3.0, 4.0]))
    Tensor(5.)
    """
    axes = normalize_axes(axis, np.ndim(array_of(x)))
    if ord in (None, "fro"):
        ord = 2
    elif len(axes) != 1:
        raise ArgumentError(f"linalg_norm: expected ord None or 'fro' over {len(axes)} axes, got {ord!r}; give axis=")
    return vector_norm(x, axes, keepdims, ord)


@checked
def vector_norm(x: Array, axis: Any = None, keepdims: bool = False, ord: float | str = 2) -> Tensor:
    """A norm of all elements along some axes as one vector: Euclidean (2), inf, -inf, or any power p; 0 counts those
    that are not 0.

    >>> x = Tensor([3.0, -4.0, 0.0])
    >>> [vector_norm(x, ord=p).item() for p in (2, 1, np.inf, 0)]
    [5.0, 7.0, 4.0, 2.0]
    """
    axes = normalize_axes(axis, np.ndim(array_of(x)))
    if np.asarray(array_of(x)).dtype.kind in "iub":
        x = astype(x, np.float64)  # as NumPy does; the squares of small integers would run over
    if ord == 2:
        return root(sum(squared_size(x), axis=axes, keepdims=keepdims))
    if ord == np.inf and np.size(array_of(x)):
        return max(abs(x), axis=axes, keepdims=keepdims)
    if ord == -np.inf:
        return min(abs(x), axis=axes, keepdims=keepdims)
    if ord in (1, np.inf):  # that of nothing is 0
        return sum(abs(x), axis=axes, keepdims=keepdims)
    if isinstance(ord, str):
        raise ArgumentError(f"linalg_norm: expected ord None, 'fro', inf, -inf or a number, got {ord!r}")
    if ord == 0:
        return sum(_is_not_zero(x), axis=axes, keepdims=keepdims)
    sizes = abs(x)
    nothing = equal(sizes, 0)  # its negative power is infinite, and there is no slope
    total = sum(where(nothing, 0.0 if ord > 0 else np.inf, pow(where(nothing, 1.0, sizes), ord)), axes, keepdims)
    lost = equal(total, 0 if ord > 0 else np.inf)  # the root has an infinite slope there
    return where(lost, 0.0, pow(where(lost, 1.0, total), 1 / ord))


@plain
def _is_not_zero(x: Array) -> Any:
    return (x != 0).astype(x.real.dtype)


def _square_matrices(what: str, x: Any) -> None:
    shape = np.shape(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"{what}: expected square matrices, got shape {shape}")


@opaque(
    vjp=(
        lambda g, a, y: -_matmul(_solve(transposed(a), g), transposed(y)),
        lambda g, a: _solve(transposed(a), g),
    ),
    jvp=(lambda t, a, y: -_solve(a, _matmul(t, y)), lambda t, a: _solve(a, t)),
    samples=lambda d: d.solve_sample(), broadcasts=True, ordered=True,
)  # fmt: skip
def _solve(a: Array, b: Array) -> Array:
    """x such that a x = b, b a stack of matrices. Derivatives: a⁻ᵀ g for b, and -a⁻ᵀ g xᵀ for a."""
    return np.linalg.solve(a, b)


@checked
def solve(a: Array, b: Array) -> Tensor:
    """x such that a x = b; b is a vector (1-d) or a stack of matrices. Derivatives: a⁻ᵀ g for b, -a⁻ᵀ g xᵀ for a.

    Raises ShapeError when `a` is not square or does not fit `b`, MatrixError (a `LinAlgError`) when it is singular.

    >>> solve(Tensor([[2.0, 0.0], [0.0, 4.0]]), Tensor([2.0, 4.0]))
    Tensor([1., 1.])
    """
    _square_matrices("solve", array_of(a))
    b_shape, n = shape_of(b), shape_of(a)[-1]
    if len(b_shape) < 1 or b_shape[-2 if len(b_shape) > 1 else 0] != n:
        raise ShapeError(f"solve: expected b with {n} rows as a has, got a {shape_of(a)} and b {b_shape}")
    if len(b_shape) == 1:
        return squeeze(_solve(a, expand_dims(b, 1)), -1)
    return _solve(a, b)


@opaque(
    vjp=lambda g, y: -_matmul(_matmul(transposed(y), g), transposed(y)),
    jvp=lambda t, y: -_matmul(_matmul(y, t), y),
    samples=lambda d: d.square_sample(),
)
def inv(x: Array) -> Array:
    """The inverse of square matrices. Derivative: -y t y.

    Raises ShapeError when a matrix is not square, MatrixError (a `LinAlgError`) when it is singular.

    >>> inv(Tensor([[2.0]]))
    Tensor([[0.5]])
    """
    _square_matrices("inv", x)
    return np.linalg.inv(x)


__all__ = [
    "diagonal", "dot", "einsum", "inv", "linalg_norm", "matmul", "outer", "solve", "tensordot", "trace", "tril",
    "triu", "vecdot",
]  # fmt: skip
