"""Numbers as text that a reader takes in: four significant digits, decimals under decimals, 3.2 M for 3,200,000."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["aligned", "amount_text", "number", "padded", "short"]

_LONG = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[+-]?\d+)?(?![\w.])")


def number(value: Any, digits: int = 4) -> str:
    """A number as short text.

    >>> number(0.123456), number(12), number(-0.0), number(float("nan"))
    ('0.1235', '12', '0', 'NaN')
    """
    return "NaN" if value != value else f"{value + 0.0:.{digits}g}"  # no -0


def short(text: str) -> str:
    """The same text with numbers of more than four significant digits cut to them.

    >>> short("-0.27999999999999997"), short("(3.0, 1.00001)"), short("v1.23456")
    ('-0.28', '(3.0, 1)', 'v1.23456')
    """
    return _LONG.sub(lambda match: match[0] if len(_digits(match[0])) <= 4 else number(float(match[0])), text)


def _digits(text: str) -> str:
    return re.sub(r"e.*|[-.]", "", text).lstrip("0")


def aligned(texts: Sequence[str]) -> list[str]:
    """Numbers with their points one under the other, all of one width.

    >>> aligned(["3.0", "-7.25", "12"])
    [' 3.0 ', '-7.25', '12   ']
    """
    parts = [re.match(r"-?\d*", text) for text in texts]
    before = [match.end() if match else 0 for match in parts]
    left = max(before, default=0)
    shifted = [" " * (left - n) + text for n, text in zip(before, texts, strict=True)]
    wide = max(map(len, shifted), default=0)
    return [text.ljust(wide) for text in shifted]


def padded(texts: Sequence[str]) -> list[str]:
    """Numbers that stand at the right of a column, with spaces after them as wide as what they lack behind their point.

    >>> [text.replace("\u2007", "_").replace("\u2008", "-") for text in padded(["3.25", "7.5", "12"])]
    ['3.25', '7.5_', '12-__']
    """
    ends = [re.fullmatch(r"-?\d+(\.\d*)?", text) for text in texts]
    most = max((len(end[1] or "") for end in ends if end), default=0)  # with the point
    return [
        text + ("\u2008" * (not end[1]) + "\u2007" * (most - max(len(end[1] or ""), 1)) if end and most else "")
        for text, end in zip(texts, ends, strict=True)
    ]


def amount_text(amount: float, color: str) -> str:
    """What a node costs in time, bytes or FLOPs, or its gradient's norm.

    >>> amount_text(1234567, "cost"), amount_text(2.5e-05, "time"), amount_text(0.125, "gradients")
    ('1.23 M', '25 µs', '0.125')
    """
    if color == "gradients":
        return number(amount, 3)
    if color == "time":
        scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if amount >= s), (1e-6, "µs"))
        return f"{number(amount / scale, 3)} {unit}"
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{number(amount / size, 3)} {prefix}"
    return f"{number(amount, 3)} "
