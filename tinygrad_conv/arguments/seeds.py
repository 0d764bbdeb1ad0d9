"""Seeds: where random numbers come from."""

from __future__ import annotations  # so that NumPy imports its random generators at first use

import operator
from typing import Annotated, Any, TypeAlias

import numpy as np

from .kinds import Kind

__all__ = ["Seed", "SeedNumber", "drawn_from"]


def _number(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    number = operator.index(value)
    if number < 0:
        raise ValueError
    return number


def _seed(value: Any) -> Any:
    return value if isinstance(value, np.random.Generator) else _number(value)


def drawn_from(seed: int | np.random.Generator) -> np.random.Generator:
    """A new generator for a number, and a generator itself."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)


SeedNumber: TypeAlias = Annotated[int, Kind("an int >= 0", _number)]
Seed: TypeAlias = Annotated["int | np.random.Generator", Kind("an int >= 0 or a numpy.random.Generator", _seed)]
