"""Text of users, such as names, as pages and pictures can show it."""

from __future__ import annotations

import re

__all__ = ["legible"]

# Control characters (tab and newline are none here), what turns the writing direction, halves of characters, and what
# is no character: XML has no place for most of them, and UTF-8 none for halves. And what Graphviz takes for an entity.
_ILLEGIBLE = re.compile(
    r"&(?=#?\w*;)|"
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def legible(text: str) -> str:
    r"""The same text with an escape for each character that cannot be shown.

    >>> legible("a\x00b")
    'a\\x00b'
    """
    return text if text.isprintable() and "&" not in text else _ILLEGIBLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
