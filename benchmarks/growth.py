"""How time grows with n, forward and back, against the work that each primitive declares (`flops`), or its elements.

A time that grows as fast as the work has growth 1.0; one that is quadratic in what should be linear, 2.0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv.engine.node import iter_parents
from tinygrad_conv.engine.primitive import flops_of

Sizes = tuple[int, ...]
SMALL, LARGE = 4, 256  # the first size, times these, is measured


class Case(NamedTuple):
    """What is run for n: a function of tensors, and their shapes; all of them are followed."""

    f: Callable[..., Any]
    shapes: Callable[[int], list[Sizes]]
    first: int = 256


def _vector(f: Callable[..., Any], inputs: int = 1) -> Case:
    return Case(f, lambda n: [(n,)] * inputs)


def _images(f: Callable[..., Any], *kernels: Sizes, first: int = 1) -> Case:
    return Case(f, lambda n: [(n, 8, 8, 4), *kernels], first)


def _matrices(f: Callable[..., Any]) -> Case:
    return Case(f, lambda n: [(n, 4, 4)], 16)


def _definite(x: Any) -> Any:
    return x @ x.mT + np.eye(4)


def _many(f: Callable[..., Any]) -> Case:
    return Case(f, lambda n: [(3,)] * n, 16)


def _where(x: Any, y: Any) -> Any:
    return tg.where(np.arange(len(x)) % 2 == 0, x, y)


def _every(length: int, step: int) -> Any:
    return np.arange(0, length, step)


def _layer_of_places(x: Any, w: Any) -> Any:
    return tg.locally_connected2d(x, w, kernel_size=2, stride=2)


def _norm(x: Any) -> Any:
    return tg.batch_norm(x)[0]


CASES: dict[str, Case] = {  # by what they show, or the primitive's name
    "broadcast_to": Case(lambda x: tg.broadcast_to(x, (4, len(x))), lambda n: [(n,)]),
    "sum_over_ranks": _vector(tg.distributed.norms.sum_over_ranks),
    "sum_to": Case(lambda x: tg.primitives()["sum_to"](x, (x.shape[1],)), lambda n: [(4, n)]),
    "_getitem": _vector(lambda x: x[_every(len(x), 2)]),
    "scatter": _vector(lambda x: tg.scatter(x, _every(2 * len(x), 2), (2 * len(x),))),
    "_set_at": _vector(lambda x, v: tg.set_at(x, slice(None), v), 2),
    "_add_at": _vector(lambda x, v: tg.add_at(x, np.arange(len(x)), v), 2),
    "pick": Case(lambda x: tg.primitives()["pick"](x, labels=np.zeros(len(x), int)), lambda n: [(n, 10)]),
    "place": _vector(lambda x: tg.primitives()["place"](x, labels=np.zeros(len(x), int), classes=10)),
    "cross_entropy": Case(lambda x: tg.softmax_cross_entropy(x, np.zeros(len(x), int)), lambda n: [(n, 10)]),
    "reshape": Case(lambda x: tg.reshape(x, (2, -1)), lambda n: [(n, 2)]),
    "permute_dims": Case(tg.permute_dims, lambda n: [(n, 8)]),
    "flip": _vector(tg.flip),
    "roll": _vector(lambda x: tg.roll(x, 1)),
    "_pad": _vector(lambda x: tg.pad(x, 2)),
    "_cast": _vector(lambda x: tg.astype(x, "float32")),
    "identity": _vector(tg.identity),
    "copy": _vector(tg.copy),
    "where": _vector(_where, 2),
    "sum": _vector(tg.sum),
    "max": _vector(tg.max),
    "min": _vector(tg.min),
    "logsumexp": _vector(tg.logsumexp),
    "cumsum": _vector(tg.cumsum),
    "softmax": _vector(tg.softmax),
    "log_softmax": _vector(tg.log_softmax),
    "tril": Case(tg.tril, lambda n: [(n, 8)]),
    "triu": Case(tg.triu, lambda n: [(n, 8)]),
    "_matmul": Case(tg.matmul, lambda n: [(n, 16), (16, 16)], 16),
    "_contract": Case(lambda x, w: tg.einsum("ij,jk->ik", x, w), lambda n: [(n, 16), (16, 16)], 16),
    "_solve": Case(tg.solve, lambda n: [(n, 4, 4), (n, 4, 1)], 16),
    "inv": Case(tg.inv, lambda n: [(n, 4, 4)], 16),
    "det": Case(tg.det, lambda n: [(n, 4, 4)], 16),
    "_log_det": _matrices(lambda x: tg.slogdet(x)[1]),
    "cofactors": _matrices(tg.primitives()["cofactors"]),
    "_cholesky": _matrices(lambda x: tg.cholesky(_definite(x))),
    "_eigh": _matrices(lambda x: tg.eigh(_definite(x))[0]),
    "_eig": _matrices(lambda x: tg.real(tg.eigvals(_definite(x)))),
    "_qr": _matrices(lambda x: tg.qr(x)[1]),
    "_svd": _matrices(lambda x: tg.svd(x)[1]),
    "_pinv": _matrices(tg.pinv),
    "_fft": _vector(lambda x: tg.real(tg.fft.fft(x))),
    "_rfft": _vector(lambda x: tg.real(tg.fft.rfft(x))),
    "_irfft": _vector(lambda x: tg.fft.irfft(x * 1j)),
    "_real": _vector(lambda x: tg.real(x * 1j)),
    "_imag": _vector(lambda x: tg.imag(x * 1j)),
    "_conj": _vector(lambda x: tg.imag(tg.conj(x * 1j))),
    "ldexp": _vector(lambda x: tg.ldexp(x, 3)),
    "conv": _images(tg.conv2d, (3, 3, 4, 8)),
    "conv_transpose": _images(tg.conv2d_transpose, (3, 3, 8, 4)),
    "conv_kernel_gradient": Case(
        lambda x, w: tg.grad(lambda w: (tg.conv2d(x, w) ** 2).sum())(w), lambda n: [(n, 8, 8, 4), (3, 3, 4, 8)], 1
    ),
    "patches": _images(_layer_of_places, (4, 4, 16, 3)),
    "patches_transpose": Case(
        lambda x, w: tg.grad(lambda x: (_layer_of_places(x, w) ** 2).sum())(x),
        lambda n: [(n, 8, 8, 4), (4, 4, 16, 3)], 1,
    ),
    "pool_max": _images(tg.max_pool2d),
    "pool_maxima": _images(tg.global_max_pool),
    "pool_gather": _images(lambda x: tg.jvp(tg.max_pool2d, (x,), (x,))[1]),
    "pool_scatter": _images(lambda x: tg.grad(lambda x: (tg.max_pool2d(x) ** 2).sum())(x)),
    "pool_mean": _images(tg.avg_pool2d),
    "pool_mean_transpose": _images(lambda x: tg.grad(lambda x: (tg.avg_pool2d(x) ** 2).sum())(x)),
    "_standardize": _images(_norm),
    "_concat": _many(lambda *xs: tg.concat(xs)),
    "stack of n": _many(lambda *xs: tg.stack(xs)),
    "concat of n, forward": _many(lambda *xs: tg.jvp(lambda *v: tg.concat(v), xs, xs)[1]),
    "sum of n": _many(lambda *xs: sum(xs[1:], xs[0])),
    "einsum of n": _many(lambda *xs: tg.einsum(",".join("i" * len(xs)) + "->i", *xs)),
    "a chain of n": Case(lambda x: _chain(x, 1), lambda n: [(n,)]),
    "prod of n": _vector(tg.prod),
    "checkpoint of n inputs": _many(tg.checkpoint(lambda *xs: tg.concat(xs))),
    "n in a list": _many(lambda *xs: tg.grad(lambda tree: (tg.concat(tree) ** 2).sum())(list(xs))[0]),
}  # fmt: skip


def _chain(x: Any, _: int) -> Any:
    y = x[0]
    for _ in range(len(x)):
        y = y * 1.001
    return y + x.sum()


def cases() -> dict[str, Case]:
    """`CASES` and every elementwise primitive that is not among them."""
    plain = {
        name: _vector(primitive.operation, len(primitive.inputs))
        for name, primitive in tg.primitives().items()
        if primitive.kind == "elementwise"
        or (primitive.kind == "linear" and name in ("add", "subtract", "negative", "deg2rad", "rad2deg"))
    }
    return plain | CASES


def step(case: Case, n: int) -> tuple[float, float]:
    """The seconds of one call with its backward pass, and the work: what is declared, or elements if those are more."""
    values = [np.random.default_rng(0).uniform(0.5, 0.9, shape) for shape in case.shapes(n)]
    leaves = [tg.Tensor(value, requires_grad=True) for value in values]
    with np.errstate(all="ignore"):
        start = time.perf_counter()
        y = case.f(*leaves)
        work = sum(value.size for value in values) + len(values) + y.size
        work = max(work, sum(map(flops_of, _nodes(y))))
        y.backward(np.ones(y.shape))
        return time.perf_counter() - start, work


def _nodes(y: Any) -> Iterator[Any]:
    seen, stack = set(), [y.node]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(iter_parents(node))
            yield node


def growth(case: Case, rounds: int = 3) -> tuple[float, float, float]:
    """The seconds for the least n and for the largest, and how time grows with the work between them."""
    sizes = case.first * SMALL, case.first * LARGE
    (few, little), (many, much) = (min(step(case, n) for _ in range(rounds)) for n in sizes)
    return few, many, math.log(many / few) / math.log(much / little)
