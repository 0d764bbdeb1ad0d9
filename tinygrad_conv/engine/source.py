"""Whose code it is, and where in the user's something was called: the line that errors and pictures name."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from itertools import islice
from types import CodeType
from typing import Literal, TypeAlias

__all__ = ["LIBRARY", "Source", "describe_source", "user_files", "user_source", "whose"]

LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_library_files: set[str] = set()  # as far as they were met, like those of users
user_files: set[str] = set()
Source: TypeAlias = tuple[CodeType, int]


def user_source(depth: int) -> Source | None:
    """The innermost frame outside this library, as (code, instruction): cheap to take, resolved only when printed."""
    frame = sys._getframe(depth)
    while frame is not None:
        file = frame.f_code.co_filename
        if file in _library_files:  # as most are
            frame = frame.f_back  # type: ignore[assignment]
        elif file in user_files:
            return frame.f_code, frame.f_lasti
        else:
            (_library_files if file.startswith(LIBRARY) else user_files).add(file)
    return None


def describe_source(source: Source | None) -> str:
    """``file.py:12: y = x * w`` for a source, as far as it is known."""
    if source is None:
        return "an unknown line"
    import linecache  # only when something is wrong

    code, lasti = source
    position = next(islice(code.co_positions(), lasti // 2, None), None) if lasti >= 0 else None
    number = (position and position[0]) or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{os.path.basename(code.co_filename)}:{number}" + (f": {text}" if text else "")


Whose = Literal["library", "user", "foreign"]


@lru_cache(maxsize=4096)
def whose(file: str) -> Whose:
    """Whose code is in a file: this library's, the user's, or that of Python and of what was installed beside it."""
    if file.startswith(LIBRARY):
        return "library"
    return "foreign" if file.startswith(_FOREIGN) else "user"


_FOREIGN = (
    *(os.path.join(path, "") for name, path in sysconfig.get_paths().items() if name.endswith(("stdlib", "lib"))),
    "<frozen ",
)
