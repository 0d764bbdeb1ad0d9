"""The `np` of Keras' own modules: NumPy, but that a tensor stays one.

NumPy's functions take tensors as they are. Left are the few that make an array of whatever they are given, and random
numbers, which a step that is replayed must draw anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.plain import plain
from ..engine.tensor import Tensor
from ..ops.indexing import set_at

__all__ = ["array", "asarray", "astype", "empty", "ones_like", "put_at", "random", "zeros_like"]


def __getattr__(name: str) -> Any:
    return getattr(np, name)


def array(x: Any, dtype: Any = None, copy: bool = True) -> Any:
    """`np.array`; of a tensor, a tensor."""
    value = getattr(x, "value", x) if hasattr(x, "_deferred_initialize") else x
    if isinstance(value, Tensor):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    if isinstance(value, (list, tuple)) and _has_tensor(value):
        return array(np.stack([array(item) for item in value]), dtype)
    return np.array(value, dtype=dtype) if copy else np.asarray(value, dtype=dtype)


def asarray(x: Any, dtype: Any = None) -> Any:
    """`np.asarray`; of a tensor, a tensor."""
    return array(x, dtype, copy=False)


def astype(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)``; a tensor of that dtype is returned as it is, for nobody writes to it."""
    return x if isinstance(x, Tensor) and x.dtype == dtype else x.astype(dtype)


def put_at(x: Any, index: Any, value: Any) -> Any:
    """What a variable holds after ``x[index] = value``."""
    if isinstance(x, Tensor) or (isinstance(x, np.ndarray) and isinstance(value, Tensor)):
        return set_at(x, index, value)
    x[index] = value
    return x


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Data that has only its shape, and perhaps its dtype, of a tensor that a gradient follows."""
    return np.zeros(x.shape, dtype or x.dtype) if isinstance(x, Tensor) else np.zeros_like(x, dtype)


def ones_like(x: Any, dtype: Any = None) -> Any:
    return np.ones(x.shape, dtype or x.dtype) if isinstance(x, Tensor) else np.ones_like(x, dtype)


def empty(shape: Any, dtype: Any = float) -> Any:
    """Zeros: Keras finds shapes by computing with what it finds in memory, and our operations look at labels."""
    return np.zeros(shape, dtype)


def _has_tensor(items: Any) -> bool:
    left = list(items)
    while left:
        item = left.pop()
        if isinstance(item, Tensor):
            return True
        if isinstance(item, (list, tuple)):
            left += item
    return False


class random:  # noqa: N801 (NumPy's name)
    """`np.random`, as far as Keras asks for it."""

    @staticmethod
    def default_rng(seed: Any = None) -> Any:
        return _Drawing(seed) if isinstance(seed, Tensor) else np.random.default_rng(seed)


class _Drawing:
    """A generator whose seed is a tensor: what it draws is an operation on the seed, done again at each replay."""

    def __init__(self, seed: Tensor) -> None:
        self._seed = seed
        self._drawn: list[tuple[str, Any, Any]] = []  # before, with the same generator

    def __getattr__(self, method: str) -> Any:
        def draw(*args: Any, **named: Any) -> Any:
            self._drawn.append((method, args, named))
            return _draw(self._seed, tuple(self._drawn))

        return draw


@plain
def _draw(seed: Any, calls: Any) -> Any:
    """What the last of some calls of a generator gives."""
    generator = np.random.default_rng(np.asarray(seed))
    for method, args, named in calls:
        drawn = getattr(generator, method)(*args, **named)
    return drawn
