"""Errors that solve for the fix: when shapes do not fit, which single change to the model would make them fit?

A chain is a list of (path, layer). `explain` walks shapes through it, finds the layer that fails, tries changes (to
that layer, to an earlier one, to the input), and prints only those with which the walk succeeds. No arrays appear.

Suggestions are code: ``in_features=1352``, ``padding=1 in 'conv1'``, ``add Flatten() before 'head'``,
``remove 'pool3'``, ``Conv2D for Conv1D``, ``x = x[..., None]``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias

from ..arguments import Sizes, kind_of
from ..errors import ArgumentError, ShapeError, TinygradConvError

Shape: TypeAlias = Annotated[tuple[Any, ...], kind_of(Sizes)]  # the batch axis may be None
Chain: TypeAlias = "Sequence[tuple[str, Link]]"

MOST = 3  # how many suggestions a message lists


class Link(Protocol):
    """What is asked of a layer here: see `Layer`."""

    @property
    def tunable(self) -> Mapping[str, tuple[Any, ...]]: ...
    def infer(self, shape: Shape) -> Shape: ...
    def fixes(self, shape: Shape) -> Iterator[Edit]: ...
    def wants(self, shape: Shape) -> int | None: ...
    def spelled(self, argument: str) -> str: ...


# ------------------------------------------------------------------------------------------------------------------
# Changes to a chain whose layer k fails. Each has a verb for the message, and is left to `explain` to be tried.


@dataclass(frozen=True)
class Set:
    """Give a layer another value for a constructor argument; `at` is its place in the chain, None the failing one."""

    name: str
    value: Any
    at: int | None = None
    verb = "use"

    def apply(self, chain: Chain, k: int, shape: Shape) -> tuple[Chain, Shape]:
        at = k if self.at is None else self.at
        changed = copy.copy(chain[at][1])
        setattr(changed, self.name, self.value)
        return [*chain[:at], (chain[at][0], changed), *chain[at + 1 :]], shape

    def text(self, chain: Chain, k: int) -> str:
        layer = chain[k if self.at is None else self.at][1]
        value = f'"{self.value}"' if isinstance(self.value, str) else repr(self.value)
        where = "" if self.at is None else f" in {_called(chain, self.at)}"
        return f"{layer.spelled(self.name)}={value}{where}"


@dataclass(frozen=True)
class Add:
    """Put a layer before the failing one, which may need another value for an argument then."""

    source: str
    layer: Link
    then: Set | None = None
    verb = "add"

    def apply(self, chain: Chain, k: int, shape: Shape) -> tuple[Chain, Shape]:
        if self.then is not None:
            chain, shape = self.then.apply(chain, k, shape)
        return [*chain[:k], ("", self.layer), *chain[k:]], shape

    def text(self, chain: Chain, k: int) -> str:
        after = "" if self.then is None else f" and {self.then.text(chain, k)}"
        return f"{self.source} before {_called(chain, k)}{after}"


@dataclass(frozen=True)
class Remove:
    """Leave the failing layer out."""

    verb = "remove"

    def apply(self, chain: Chain, k: int, shape: Shape) -> tuple[Chain, Shape]:
        return [*chain[:k], *chain[k + 1 :]], shape

    def text(self, chain: Chain, k: int) -> str:
        return _called(chain, k)


@dataclass(frozen=True)
class Exchange:
    """Take a layer of another class, with the same arguments, in place of the failing one."""

    kind: type[Link]
    verb = "use"

    def apply(self, chain: Chain, k: int, shape: Shape) -> tuple[Chain, Shape]:
        changed = copy.copy(chain[k][1])
        changed.__class__ = self.kind
        return [*chain[:k], (chain[k][0], changed), *chain[k + 1 :]], shape

    def text(self, chain: Chain, k: int) -> str:
        return f"{self.kind.__name__} for {type(chain[k][1]).__name__}"


@dataclass(frozen=True)
class Feed:
    """Feed the model something else."""

    expression: str
    shape: Shape
    verb = "write"

    def apply(self, chain: Chain, k: int, shape: Shape) -> tuple[Chain, Shape]:
        return chain, self.shape

    def text(self, chain: Chain, k: int) -> str:
        return f"x = {self.expression}"


Edit: TypeAlias = Set | Add | Remove | Exchange | Feed


def _called(chain: Chain, k: int) -> str:
    return repr(chain[k][0] or type(chain[k][1]).__name__)


def listed(fixes: Sequence[tuple[str, str]]) -> str:
    """Suggestions, as (verb, text), in one phrase: ``use padding=1, or add Flatten() before 'head'``."""
    said, parts = "", []
    for verb, text in fixes:
        parts.append(text if verb == said else f"{verb} {text}")
        said = verb
    return ", or ".join(parts)


# ------------------------------------------------------------------------------------------------------------------
# The search


@dataclass(frozen=True)
class _Mended:
    """A change that works, the chain it makes, and the shapes in that."""

    edit: Edit
    chain: Chain
    shapes: list[Shape]


def walk(chain: Chain, shape: Shape) -> tuple[list[Shape], TinygradConvError | None]:
    """The shape before each layer as far as they fit (and after the last), and what the first misfit raised."""
    shapes = [shape]
    for _, layer in chain:
        try:
            shapes.append(layer.infer(shapes[-1]))
        except TinygradConvError as error:
            return shapes, error.with_traceback(None)  # whose frames would hold whoever keeps the error
    return shapes, None


def explain(chain: Chain, shape: Shape) -> TinygradConvError | None:
    """The error for a chain that `shape` does not fit, with the changes that mend it; None if it fits."""
    shapes, error = walk(chain, shape)
    if not isinstance(error, (ShapeError, ArgumentError)):
        return error
    k = len(shapes) - 1
    path, layer = chain[k]
    chosen = _chosen(chain, shape, shapes)
    problem = _factored(str(error), chain, shapes, chosen)
    fixes = listed([(mended.edit.verb, mended.edit.text(chain, k)) for mended in chosen])
    named = f"{type(layer).__name__} {path!r}" if path else type(layer).__name__
    return type(error)(f"{named}: {problem} (input {brief(shapes[k])}){f': {fixes}' if fixes else ''}")


def _chosen(chain: Chain, shape: Shape, shapes: list[Shape]) -> list[_Mended]:
    """The first few changes with which the whole chain fits, or else those that get past the failing layer.

    At most two are to the failing layer, and one to each other.
    """
    k = len(shapes) - 1
    whole: list[_Mended] = []
    partly: list[_Mended] = []
    for edit in _candidates(chain, shapes):
        changed, start = edit.apply(chain, k, shape)
        reached, misfit = walk(changed, start)
        past = k + 1 + len(changed) - len(chain)  # where the chain goes on after the failing layer
        if misfit is None or len(reached) > past:
            (partly if misfit else whole).append(_Mended(edit, changed, reached))
    places: dict[Any, int] = {}
    chosen = []
    for mended in whole or partly:
        at = getattr(mended.edit, "at", None)
        places[at] = places.get(at, 0) + 1
        if places[at] <= (2 if at is None else 1):
            chosen.append(mended)
    return chosen[:MOST]


def _candidates(chain: Chain, shapes: list[Shape]) -> Iterator[Edit]:
    """Changes worth trying, the likeliest first: to the failing layer, then to earlier ones, the nearest first."""
    k = len(shapes) - 1
    failing = chain[k][1]
    yield from (edit for edit in failing.fixes(shapes[k]) if k == 0 or not isinstance(edit, Feed))
    wanted = failing.wants(shapes[k])
    for at in range(k - 1, -1, -1):
        layer = chain[at][1]
        if wanted is not None:
            yield from (Set(name, wanted, at) for name in ("units", "filters") if hasattr(layer, name))
        for name, values in layer.tunable.items():
            now = getattr(layer, name)
            near = sorted(values, key=lambda value: abs(value - now)) if isinstance(now, int) else values
            yield from (Set(name, value, at) for value in near if value != now)


def _factored(problem: str, chain: Chain, shapes: list[Shape], chosen: Sequence[_Mended]) -> str:
    """Say where a number of features comes from: 1352 becomes 1352 = 13*13*8 when a Flatten made it."""
    k = len(shapes) - 1
    if k == 0 or not getattr(chain[k - 1][1], "flattens", False):
        return problem
    flattened = [shapes[k - 1], *(m.shapes[k - 1] for m in chosen if getattr(m.edit, "at", None) is not None)]
    words = problem.split(" ")
    for shape in flattened:
        number, factors = str(math.prod(shape[1:])), "*".join(map(str, shape[1:]))
        if number in words and len(shape) > 2:
            words[words.index(number)] = f"{number} = {factors}"
    return " ".join(words)


def brief(shape: Shape) -> str:
    """A shape with N for a batch size that is not known."""
    return f"({', '.join('N' if n is None else str(n) for n in shape)}{',' if len(shape) == 1 else ''})"
