"""`check`: an exercise says whether it is solved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["check"]


def check(exercise: Callable[[], Any]) -> Callable[[], Any]:
    """Run the asserts of an exercise, and say in one line whether it is solved.

    It raises nothing, so that a notebook runs to its end with exercises that are not solved yet. The function comes
    back as it was: calling it raises what is wrong.

    >>> def double(x):
    ...     return None
    >>> @check
    ... def exercise_1():
    ...     assert double(3) == 6, "double(3) should be 6"
    Not yet: double(3) should be 6
    """
    try:
        exercise()
    except Exception as error:  # whatever the reader's code does
        print("Not yet:", error if isinstance(error, AssertionError) and str(error) else repr(error))
    else:
        print("Solved.")
    return exercise
