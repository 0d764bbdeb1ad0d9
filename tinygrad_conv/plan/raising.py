"""What a call of a plan raises, in the words in which the operation that it was recorded of raises it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

from ..engine.operation import explain
from ..engine.plain import explain_plain
from ..errors import TinygradConvError
from .calls import Call, like

__all__ = ["can_explain", "explained", "raised_by"]


def can_explain(call: Any, error: Exception) -> bool:
    """Does the step itself raise another error in the place of what a call raised?"""
    if not isinstance(call, Call) or isinstance(error, TinygradConvError):
        return False
    of_data = isinstance(call.function, partial) and isinstance(error, ValueError)  # a function of data, on tensors
    return isinstance(error, (ValueError, TypeError, IndexError)) if call.primitive is not None else of_data


def explained(call: Call, error: Exception) -> Exception:
    """That error. Who raises it gives it no name: its frame would hold what holds the frame."""
    given = [like(arg) for arg in call.args]
    if call.primitive is not None:
        return explain(call.primitive, error, given)
    return explain_plain(call.function.args[0], error, given)  # type: ignore[attr-defined, arg-type]


def raised_by(traceback: TracebackType | None, code: Any, lines: Sequence[Any]) -> Any:
    """Of what stands in the lines of some code, the one that an error came through."""
    while traceback is not None and traceback.tb_frame.f_code is not code:
        traceback = traceback.tb_next
    return None if traceback is None else lines[traceback.tb_lineno - 2]
