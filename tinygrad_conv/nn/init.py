"""First values of weights. Each function makes an array of a shape from a seed or a generator.

Scales depend on how many inputs (`fan_in`) and outputs (`fan_out`) one unit has. They are read off the shape, as
``(..., fan_in, fan_out)`` with the leading axes counted into both: right for `Dense` (in, out) and for kernels
(kh, kw, C_in, C_out). Layers whose weights are laid out otherwise pass `fans`.

Each is called in the same way, ``f(shape, seed, dtype, fans)``: what some of them do not need (a seed for zeros, fans
for a given spread) is accepted all the same.

Without a seed, numbers come from the package's generator: ``tg.nn.seed(0)`` makes everything that follows
reproducible to the bit; else each run differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any, TypeAlias

import numpy as np

from .. import arguments
from ..arguments import Finite, FloatDType, Kind, NonNegative, SeedNumber, ShapeLike, afford, checked
from ..errors import ArgumentError, ShapeError

__all__ = [
    "constant", "generator", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "normal", "ones", "orthogonal", "seed", "truncated_normal", "uniform", "zeros",
]  # fmt: skip

Fans: TypeAlias = tuple[NonNegative, NonNegative] | None
Initializer: TypeAlias = Callable[..., Any]


def _initializer(value: Any) -> Any:
    if not callable(value) and not isinstance(value, str):
        raise TypeError
    if isinstance(value, str) and value not in _BY_NAME:
        raise ValueError
    return value


def _near(value: Any) -> str | None:
    return next(iter(get_close_matches(value, _BY_NAME, 1)), None) if isinstance(value, str) else None


Seed: TypeAlias = arguments.Seed | None
Init: TypeAlias = Annotated[
    str | Initializer, Kind("the name of an initialiser or a function", _initializer, _near, "callable({0})")
]
_default: np.random.Generator | None = None


@checked
def seed(value: SeedNumber) -> None:
    """Start the package's generator, which everything without a seed of its own draws from, anew.

    >>> seed(0)
    >>> first = float(normal((1,))[0])
    >>> seed(0)
    >>> float(normal((1,))[0]) == first
    True
    """
    global _default
    anew = np.random.default_rng(value)
    if _default is None:
        _default = anew
    else:  # the same object: who shares it among ranks has it already
        _default.bit_generator.state = anew.bit_generator.state


@checked
def generator(seed: Seed = None) -> np.random.Generator:
    """The generator that a seed stands for: itself, one started from the number, or (None) the package's.

    Raises DTypeError for anything else, ArgumentError for a negative number.

    >>> float(generator(0).random()) == float(np.random.default_rng(0).random())
    True
    """
    global _default
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is not None:
        return np.random.default_rng(seed)
    if _default is None:
        _default = np.random.default_rng()
    return _default


def stream(seed: Seed, place: int) -> np.random.SeedSequence:
    """The part of a seed that belongs to a place (the k-th layer of a model): each place has randomness of its own."""
    if isinstance(seed, np.random.Generator):
        return seed.bit_generator.seed_seq.spawn(1)[0]  # type: ignore[attr-defined]
    return np.random.SeedSequence(seed, spawn_key=(place,))


# ------------------------------------------------------------------------------------------------------------------
# Without a scale of their own


@checked
def zeros(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """All 0.

    >>> zeros((3,))
    array([0., 0., 0.], dtype=float32)
    """
    afford("zeros", shape, np.dtype(dtype).itemsize)
    return np.zeros(shape, dtype)


@checked
def ones(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """All 1.

    >>> ones((3,))
    array([1., 1., 1.], dtype=float32)
    """
    afford("ones", shape, np.dtype(dtype).itemsize)
    return np.ones(shape, dtype)


@checked
def constant(
    shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None, value: Finite = 0.0
) -> Any:
    """One value everywhere.

    >>> constant((2,), value=0.5)
    array([0.5, 0.5], dtype=float32)
    """
    afford("constant", shape, np.dtype(dtype).itemsize)
    return np.full(shape, value, dtype)


@checked
def uniform(
    shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None,
    low: Finite = -0.05, high: Finite = 0.05,
) -> Any:  # fmt: skip
    """Evenly distributed between `low` and `high`.

    >>> w = uniform((1000,), seed=0, low=-1, high=1)
    >>> float(w.min()) >= -1, float(w.max()) < 1, round(float(w.var()) * 3, 1)
    (True, True, 1.0)
    """
    drawn = generator(seed).random(shape, dtype=_drawn(shape, dtype))
    drawn *= high - low
    drawn += low
    return drawn.astype(dtype, copy=False)


@checked
def normal(
    shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None,
    mean: Finite = 0.0, std: NonNegative = 0.05,
) -> Any:  # fmt: skip
    """Normally distributed around `mean`, with the standard deviation `std`.

    >>> w = normal((10000,), seed=0, mean=2.0, std=0.5)
    >>> round(float(w.mean()), 1), round(float(w.std()), 1)
    (2.0, 0.5)
    """
    drawn = generator(seed).standard_normal(shape, dtype=_drawn(shape, dtype))
    drawn *= std
    drawn += mean
    return drawn.astype(dtype, copy=False)


@checked
def truncated_normal(
    shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None,
    mean: Finite = 0.0, std: NonNegative = 0.05,
) -> Any:  # fmt: skip
    """Normally distributed, values beyond two `std` drawn again.

    >>> bool((abs(truncated_normal((1000,), seed=0, std=1.0)) <= 2).all())
    True
    """
    rng, kind = generator(seed), _drawn(shape, dtype)
    drawn = rng.standard_normal(shape, dtype=kind)
    far = np.abs(drawn) > 2
    while far.any():
        drawn[far] = rng.standard_normal(int(far.sum()), dtype=kind)
        far = np.abs(drawn) > 2
    drawn *= std
    drawn += mean
    return drawn.astype(dtype, copy=False)


@checked
def orthogonal(
    shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None, gain: Finite = 1.0
) -> Any:
    """Orthonormal columns (or rows, whichever are fewer) of the weights as a matrix (product of the rest, last axis).

    Source: Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear networks" (2013).

    Raises ShapeError for fewer than two axes.

    >>> import numpy as np
    >>> w = orthogonal((4, 2), seed=0, dtype="float64")
    >>> bool(np.allclose(w.T @ w, np.eye(2)))
    True
    """
    if len(shape) < 2:
        raise ShapeError(f"orthogonal: expected a shape of at least 2 axes, got {shape}")
    afford("orthogonal", shape, 4 * 8)  # for what QR needs
    rows, columns = math.prod(shape[:-1]), shape[-1]
    drawn = generator(seed).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(drawn)
    q *= np.sign(np.diagonal(r))  # else the distribution depends on how QR chooses signs
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


# ------------------------------------------------------------------------------------------------------------------
# Scaled by fan_in and fan_out


@checked
def fans_of(shape: ShapeLike) -> tuple[float, float]:
    """(fan_in, fan_out) of a weight laid out (..., in, out).

    >>> fans_of((3, 3, 8, 16))
    (72, 144)
    """
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    area = math.prod(shape[:-2])
    return area * shape[-2], area * shape[-1]


def _variance(kind: str, shape: tuple[int, ...], fans: Fans) -> float:
    fan_in, fan_out = fans or fans_of(shape)
    scale, fan = {"glorot": (1.0, (fan_in + fan_out) / 2), "he": (2.0, fan_in), "lecun": (1.0, fan_in)}[kind]
    return scale / max(1.0, fan)


def _scaled_uniform(kind: str, shape: ShapeLike, seed: Seed, dtype: Any, fans: Fans) -> Any:
    limit = math.sqrt(3 * _variance(kind, shape, fans))
    return uniform(shape, seed, dtype, low=-limit, high=limit)


_TRUNCATION = 0.87962566103423978  # the standard deviation of a standard normal truncated to [-2, 2]


def _scaled_normal(kind: str, shape: ShapeLike, seed: Seed, dtype: Any, fans: Fans) -> Any:
    return truncated_normal(shape, seed, dtype, std=math.sqrt(_variance(kind, shape, fans)) / _TRUNCATION)


@checked
def glorot_uniform(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Uniform with variance 2 / (fan_in + fan_out). Source: Glorot & Bengio (2010).

    >>> w = glorot_uniform((300, 100), seed=0)
    >>> round(float(w.var()) * (300 + 100) / 2, 1)
    1.0
    """
    return _scaled_uniform("glorot", shape, seed, dtype, fans)


@checked
def glorot_normal(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Truncated normal with variance 2 / (fan_in + fan_out). Source: Glorot & Bengio (2010).

    >>> w = glorot_normal((300, 100), seed=0)
    >>> round(float(w.var()) * (300 + 100) / 2, 1)
    1.0
    """
    return _scaled_normal("glorot", shape, seed, dtype, fans)


@checked
def he_uniform(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Uniform with variance 2 / fan_in, made for relu. Source: He et al. (2015).

    >>> w = he_uniform((300, 100), seed=0)
    >>> round(float(w.var()) * 300, 1)
    2.0
    """
    return _scaled_uniform("he", shape, seed, dtype, fans)


@checked
def he_normal(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Truncated normal with variance 2 / fan_in, made for relu. Source: He et al. (2015).

    >>> w = he_normal((3, 3, 8, 100), seed=0)
    >>> round(float(w.var()) * 3 * 3 * 8, 1)
    2.0
    """
    return _scaled_normal("he", shape, seed, dtype, fans)


@checked
def lecun_uniform(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Uniform with variance 1 / fan_in. Source: LeCun et al., "Efficient backprop" (1998).

    >>> w = lecun_uniform((300, 100), seed=0)
    >>> round(float(w.var()) * 300, 1)
    1.0
    """
    return _scaled_uniform("lecun", shape, seed, dtype, fans)


@checked
def lecun_normal(shape: ShapeLike, seed: Seed = None, dtype: FloatDType = "float32", fans: Fans = None) -> Any:
    """Truncated normal with variance 1 / fan_in, made for selu. Source: LeCun et al. (1998).

    >>> w = lecun_normal((300, 100), seed=0)
    >>> round(float(w.var()) * 300, 1)
    1.0
    """
    return _scaled_normal("lecun", shape, seed, dtype, fans)


# ------------------------------------------------------------------------------------------------------------------

_BY_NAME: dict[str, Initializer] = {
    f.__name__: f
    for f in (
        zeros, ones, constant, uniform, normal, truncated_normal, orthogonal, glorot_uniform, glorot_normal,
        he_uniform, he_normal, lecun_uniform, lecun_normal,
    )
}  # fmt: skip


@checked
def get(name: str | Initializer, argument: str = "weight_init") -> Initializer:
    """The initialiser of this name, or the callable itself (called as ``f(shape, generator, dtype, fans)``).

    Raises ArgumentError for an unknown name, which came as this argument.

    >>> get("he_normal") is he_normal
    True
    >>> get("he_norm")
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.ArgumentError: init: expected the name of an initialiser or a callable, got 'he_norm': use
    weight_init="he_normal"
    """
    if callable(name):
        return name
    if not isinstance(name, str) or name not in _BY_NAME:
        near = get_close_matches(str(name), _BY_NAME, 1)
        hint = f'use {argument}="{near[0]}"' if near else f"use one of {', '.join(_BY_NAME)}"
        raise ArgumentError(f"init: expected the name of an initialiser or a callable, got {name!r}: {hint}")
    return _BY_NAME[name]


def _drawn(shape: Any, dtype: Any) -> Any:
    """The dtype to draw in: generators know float32 and float64. Raises SizeError if memory does not do."""
    afford("numbers drawn at random", shape, 2 * 8)  # with what becomes of them
    return np.float64 if np.dtype(dtype) == np.float64 else np.float32
