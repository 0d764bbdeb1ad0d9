"""Lists and dictionaries that a step is called with: it gets others for them, with tensors in the place of arrays.

What it does to these is done to those of the caller when it returns.
"""

from __future__ import annotations

from typing import Any

from ..engine.trees import dictionary
from .places import items_of, pairs_of

__all__ = ["Loan"]


class Loan:
    """The containers of a call, and those that the step has in their place."""

    def __init__(self, theirs: Any, own: Any) -> None:
        self._lent: list[tuple[Any, Any, tuple[Any, ...]]] = []
        left = [(theirs, own)]
        while left:
            theirs, own = left.pop()
            if isinstance(theirs, (dict, list, tuple)):
                before = _contents(theirs)
                left += zip(before, _contents(own), strict=True)
                if not isinstance(theirs, tuple):
                    self._lent.append((theirs, own, _contents(own)))

    def give_back(self, given: dict[int, Any]) -> bool:
        """Did the step change any? Then the same is done to the caller's.

        `given` : by the ids of what the step had, what the caller has in its place
        """
        changed = [(theirs, own) for theirs, own, before in self._lent if not _same(_contents(own), before)]
        given = given | {id(own): theirs for theirs, own, _ in self._lent}
        for theirs, own in changed:
            items = [given.get(id(item), item) for item in _contents(own)]
            if isinstance(theirs, list):
                list.__setitem__(theirs, slice(None), items)
            else:
                base = dictionary(theirs)
                base.clear(theirs)
                for key, item in zip(items[: len(items) // 2], items[len(items) // 2 :], strict=True):
                    base.__setitem__(theirs, key, item)
        return bool(changed)


def _contents(container: Any) -> tuple[Any, ...]:
    return pairs_of(container) if isinstance(container, dict) else items_of(container)


def _same(items: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(items) == len(others) and all(item is other for item, other in zip(items, others, strict=True))
