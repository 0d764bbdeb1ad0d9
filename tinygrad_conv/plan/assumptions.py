"""What a recording took for granted, compared before each replay.

That is what the step's Python code can read (`Reach`), and of the tensors that it looks at what a plan is made for. All
of it is written as one Python function, a line each, which is a microsecond for a small net. Where that finds something
else, each place is looked at: an equal number is the same, though it is another object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..engine.node import Node
from .calls import Found, Kind, kind_of
from .places import HELPERS, Place

__all__ = ["Assumptions"]


_HOLD = """\
def hold():
    try:
        if (
            {tests}
        ):
            return True
    except (KeyError, ValueError, AttributeError, RuntimeError):  # it is not there any more, or a thread changes it
        pass
    return False
"""


class Assumptions:
    """What must be as it was, for a recording to be what the step would do.

    Attributes
    ----------
    hold : is everything the very same as it was?
    broken : what was another when it was last looked at
    """

    def __init__(self, places: Iterable[Place], found: Iterable[Found], gradients: dict[Node, Kind | None]) -> None:
        self.broken = ""
        self._places = sorted((place for place in places if place.test), key=lambda place: id(place.of))
        self._found, self._gradients = list(found), list(gradients.items())
        self._names: dict[str, Any] = {}
        self.hold = self._written()

    def look(self) -> bool:
        """Is everything as it was, or so like it that the step cannot tell? To be asked where `hold` says no."""
        for place in self._places:
            if not _still(place):
                self.broken = place.label
                return False
        for found in self._found:
            if not found.fits():
                self.broken = f"a tensor of shape {found.tensor.shape}"
                return False
        for node, kind in self._gradients:
            if not _fits(node, kind):
                self.broken = f"the gradient of a tensor of shape {node.shape}"
                return False
        self._name()  # other objects, which are equal
        return True

    def _written(self) -> Callable[[], bool]:
        """The function that looks at all of it."""
        tests, of = [], None
        for k, place in enumerate(self._places):
            key = repr(place.key) if isinstance(place.key, str) else f"k{k}"
            mark = repr(place.mark) if isinstance(place.mark, (bool, type(None))) else f"m{k}"
            tests.append(place.test.format(of="o" if place.of is of else f"(o := o{k})", key=key, mark=mark))
            of = place.of
        for k, found in enumerate(self._found):
            tests.append(
                f"t{k}.node is n{k} and (a := t{k}._array).shape == s{k} and a.dtype is d{k} and a.strides == r{k}"
            )
            if found.node is not None:
                tests.append(f"same_items(n{k}.hooks, h{k})" if found.hooks else f"not n{k}.hooks")
        for k, (_, kind) in enumerate(self._gradients):
            tests.append(f"g{k}.grad is None" if kind is None else f"fits(g{k}, i{k})")
        source = _HOLD.format(tests="\n            and ".join(tests or ["True"]))
        self._names |= {**HELPERS, "fits": _fits}
        self._name()
        exec(compile(source, "<assumptions of a plan>", "exec"), self._names)
        return self._names.pop("hold")

    def _name(self) -> None:
        """Give the function what it compares with."""
        for k, place in enumerate(self._places):
            self._names |= {f"o{k}": place.of, f"k{k}": place.key, f"m{k}": place.mark}
        for k, found in enumerate(self._found):
            shape, dtype, strides = found.kind
            if found.tensor.dtype == dtype:
                dtype = found.tensor.dtype  # the very same object
            self._names |= {f"t{k}": found.tensor, f"n{k}": found.node, f"h{k}": found.hooks}
            self._names |= {f"s{k}": shape, f"d{k}": dtype, f"r{k}": strides}
        for k, (node, kind) in enumerate(self._gradients):
            self._names |= {f"g{k}": node, f"i{k}": kind}


def _still(place: Place) -> bool:
    try:
        return place.holds()
    except RuntimeError:  # another thread changes it
        return False


def _fits(node: Node, kind: Kind | None) -> bool:
    return (None if node.grad is None else kind_of(node.grad._array)) == kind
