"""What users write for spatial axes (sizes, padding, the place of channels), read; and what messages call the axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import isqrt
from typing import Annotated, Any, NamedTuple, TypeAlias

from ..arguments import LATER, described, nearest, one_of
from ..errors import ArgumentError, DTypeError
from .window import Pads, Sizes

__all__ = [
    "DataFormat", "IntOrInts", "Padding", "axis_names", "brief", "brief_pads", "channels_first", "divisors", "ints_of",
    "nearest_divisor", "padding_of",
]  # fmt: skip

Padding: TypeAlias = Annotated[str | int | Sequence[int | Sequence[int]], LATER]  # here, where the rank is known
IntOrInts: TypeAlias = Annotated[int | Sequence[int], LATER]
DataFormat: TypeAlias = Annotated[str | None, one_of("channels_last", "channels_first", None)]


class AxisNames(NamedTuple):
    """What messages call the spatial axes, the kernel's axes, the output's, and the two ends of each."""

    axes: tuple[str, ...]
    kernel: tuple[str, ...]
    out: tuple[str, ...]
    ends: tuple[str, ...]


def axis_names(rank: int) -> AxisNames:
    """What messages call the axes of so many spatial axes."""
    if rank == 1:
        return AxisNames(("L",), ("k",), ("ol",), ("left + right",))
    if rank == 2:
        return AxisNames(("H", "W"), ("kh", "kw"), ("oh", "ow"), ("top + bottom", "left + right"))
    if rank == 3:
        ends = ("front + back", "top + bottom", "left + right")
        return AxisNames(("D", "H", "W"), ("kd", "kh", "kw"), ("od", "oh", "ow"), ends)
    axes, kernel, out = (tuple(f"{letter}{n}" for n in range(1, rank + 1)) for letter in ("S", "k", "o"))
    return AxisNames(axes, kernel, out, ("before + after",) * rank)


def channels_first(data_format: DataFormat) -> bool:
    """Do channels come before the spatial axes? None means channels last."""
    return data_format == "channels_first"


_MOST = 1 << 31  # sizes from here on are those of no image


def ints_of(what: str, name: str, value: Any, rank: int, least: int = 1) -> Sizes:
    """An int for each spatial axis, from one int or one per axis."""
    if type(value) is int and least <= value < _MOST:
        return (value,) * rank
    if type(value) is tuple and len(value) == rank and all(type(v) is int and least <= v < _MOST for v in value):
        return value
    each = "" if rank == 1 else f", or {rank} of them ({', '.join(axis_names(rank).axes)})"
    expected = f"{what}: expected {name} to be an int >= {least}{each}, got {described(value)}; use {name}="
    values = list(value) if isinstance(value, (tuple, list)) else [value]
    try:
        ints = [int(operator.index(v)) for v in values]
    except TypeError:
        raise DTypeError(expected + str(_nearest_ints(values, rank, least))) from None
    if len(ints) == 1:
        ints *= rank
    if len(ints) != rank or min(ints) < least or max(ints) >= _MOST:
        raise ArgumentError(expected + str(_nearest_ints(ints, rank, least)))
    return tuple(ints)


def _nearest_ints(values: Sequence[Any], rank: int, least: int) -> Any:
    near = [max(least, round(v)) if isinstance(v, (int, float)) and abs(v) < _MOST else least for v in values]
    return brief(tuple((near + (near[-1:] or [least]) * rank)[:rank]))


def padding_of(what: str, padding: Any, rank: int) -> str | Pads:
    """Padding as "valid", "same", or one pair per spatial axis."""
    if isinstance(padding, str) and padding in ("valid", "same"):
        return padding
    if type(padding) is int and 0 <= padding < _MOST:
        return ((padding, padding),) * rank
    axes = ", ".join(axis_names(rank).axes)
    expected = (
        f'{what}: expected padding to be "valid", "same", an int >= 0, or for each of {axes} '
        f"an int or a pair (before, after), got {described(padding)}; use padding="
    )
    if isinstance(padding, str):
        raise ArgumentError(f'{expected}"{nearest(padding, ("valid", "same"))}"')
    entries = list(padding) if isinstance(padding, (tuple, list)) else [padding] * rank
    if len(entries) == 2 * rank and not any(isinstance(entry, (tuple, list)) for entry in entries):
        raise ArgumentError(expected + _nearest_pads(list(zip(entries[::2], entries[1::2], strict=True)), rank))
    pairs = [tuple(entry) if isinstance(entry, (tuple, list)) else (entry, entry) for entry in entries]
    try:
        pads = [tuple(int(operator.index(p)) for p in pair) for pair in pairs]
    except TypeError:
        raise DTypeError(expected + _nearest_pads(pairs, rank)) from None
    if len(pads) != rank or any(len(pair) != 2 or min(pair) < 0 or max(pair) >= _MOST for pair in pads):
        raise ArgumentError(expected + _nearest_pads(pairs, rank))
    return tuple((before, after) for before, after in pads)


def _nearest_pads(pairs: Sequence[Sequence[Any]], rank: int) -> str:
    near = [_nearest_ints(pair, 2, 0) for pair in pairs]
    near = [(p, p) if isinstance(p, int) else p for p in near]
    return brief_pads(tuple((near + [(0, 0)] * rank)[:rank]))


def brief(values: tuple[int, ...]) -> Any:
    """One value in place of several equal ones."""
    return values[0] if len(set(values)) == 1 else values


def brief_pads(pads: Pads) -> str:
    """Padding as short as it can be written."""
    if all(before == after for before, after in pads):
        return str(brief(tuple(before for before, _ in pads)))
    return str(pads)


def divisors(n: int) -> list[int]:
    """The divisors of n, the least first; of a number beyond any size, the small ones and what they leave."""
    small = [d for d in range(1, min(isqrt(n), 1_000_000) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def nearest_divisor(value: int, n: int) -> int:
    """The divisor of n nearest to a value (0 has every divisor).

    >>> nearest_divisor(3, 8)
    2
    """
    return min(divisors(n), key=lambda d: (abs(d - value), d)) if n else value
