"""Where a random generator is, as text, so that a checkpoint can keep it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError

__all__ = ["put_generator", "where_is"]


def where_is(generator: np.random.Generator) -> str:
    """The state of one of `numpy.random.default_rng`. Raises ArgumentError for another kind.

    >>> kept = where_is(generator := np.random.default_rng(0))
    >>> first = generator.random()
    >>> put_generator(generator, kept)
    >>> generator.random() == first
    True
    """
    found: Any = generator.bit_generator.state
    if found["bit_generator"] != "PCG64":
        raise ArgumentError(
            f"checkpoint: expected generators of numpy.random.default_rng, got one with {found['bit_generator']}; "
            "use numpy.random.default_rng(seed)"
        )
    return " ".join(f"{number:x}" for number in (*found["state"].values(), found["has_uint32"], found["uinteger"]))


def put_generator(generator: np.random.Generator, where: str) -> None:
    """Go on with the random numbers from there. Raises ValueError for what is no state of a generator."""
    state, inc, has, half = (int(number, 16) for number in where.split())
    if max(state, inc) >> 128 or has > 1 or half >> 32 or min(state, inc, has, half) < 0:
        raise ValueError(where[:80])
    generator.bit_generator.state = {
        "bit_generator": "PCG64", "state": {"state": state, "inc": inc}, "has_uint32": has, "uinteger": half,
    }  # fmt: skip
