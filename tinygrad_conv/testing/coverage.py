"""What was checked: primitive x dtype x order x mode x boundary class, counted while checks run.

A `Coverage` is active inside ``with recording() as seen:``. Every case whose properties hold is added to it: for the
primitive it was drawn from, or for every primitive in the graph of the function that was checked. Modes of order 2 are
pairs, the outer one first: "forward over reverse".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..engine.node import iter_parents
from ..engine.primitive import Primitive
from ..engine.tensor import Tensor
from .boundary import shape_classes
from .case import BOTH, Case
from .draw import Draw
from .samples import primitive_sample

__all__ = [
    "BOTH", "CELLS", "Cell", "Coverage", "ToCheck", "note", "note_failed", "reachable", "recording", "table",
    "to_check",
]  # fmt: skip

Array = np.ndarray[Any, Any]
DTYPES = ("float64", "float32")
MODES = {
    1: BOTH,
    2: ("forward over forward", "forward over reverse", "reverse over forward", "reverse over reverse"),
}
CELLS: tuple[tuple[str, int, str], ...] = tuple(
    (dtype, order, mode) for dtype in DTYPES for order, modes in MODES.items() for mode in modes
)


FAILED = ("", 0, "", "failed")  # in place of the cells of a case that does not hold


class Cell(NamedTuple):
    """One thing that can have been checked. ``boundary`` is the name of a class of samples (see `Draw.classes`)."""

    primitive: str
    dtype: str
    order: int
    mode: str
    boundary: str


Coverage = Counter[Cell]
_active: ContextVar[Coverage | None] = ContextVar("coverage", default=None)


@contextmanager
def recording() -> Iterator[Coverage]:
    """Count what is checked inside the block.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.testing import check_gradients
    >>> with recording() as seen:
    ...     check_gradients(tg.tanh, 0.5, order=1)
    >>> sorted({(cell.primitive, cell.dtype, cell.mode) for cell in seen})[:2]
    [('tanh', 'float32', 'forward'), ('tanh', 'float32', 'reverse')]
    """
    seen: Coverage = Counter()
    token = _active.set(seen)
    try:
        yield seen
    finally:
        _active.reset(token)


def note(case: Case, results: Mapping[str, str]) -> None:
    """Add a case, given what each property found: "holds", or why it does not apply."""
    seen = _active.get()
    if seen is None:
        return
    held = {name for name, result in results.items() if result == "holds"}
    found = [(dtype, order, mode) for dtype, order, mode in CELLS if _was_checked(dtype, order, mode, held, case)]
    drawn = case.primitive is not None
    names = [case.primitive.name] if case.primitive is not None else _in_graph(case)
    classes = case.classes if drawn else set().union(*map(_classes, case.inputs))
    seen.update(Cell(name, *cell, boundary) for name in names for cell in found for boundary in ("any", *classes))


def note_failed(case: Case) -> None:
    """Add a case of which some property does not hold."""
    seen = _active.get()
    if seen is None:
        return
    names = [case.name]
    with suppress(Exception):
        names = [case.primitive.name] if case.primitive is not None else _in_graph(case)
    seen.update(Cell(name, *FAILED) for name in names)


def _was_checked(dtype: str, order: int, mode: str, held: set[str], case: Case) -> bool:
    if order > case.order or not set(mode.split(" over ")) <= set(case.modes):
        return False
    if dtype == "float32":
        return "float32_vs_float64" in held
    return ("second_order" if order == 2 else "jvp_vs_numeric" if mode == "forward" else "vjp_vs_numeric") in held


def _classes(x: Array) -> set[str]:
    """The boundary classes of one array that nobody drew."""
    layouts = {
        "read-only": not x.flags.writeable, "negative stride": any(step < 0 for step in x.strides),
        "contiguous": x.flags.c_contiguous, "transposed": x.flags.f_contiguous, "strided": True,
    }  # fmt: skip
    return shape_classes(x.shape) | {next(name for name, holds in layouts.items() if holds)}


def _in_graph(case: Case) -> list[str]:
    """The primitives that the function is made of."""
    y = case.f(*[Tensor(x, requires_grad=True) for x in case.inputs])
    names, stack, seen = [], [y.node], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(iter_parents(node))
            if node.primitive is not None:
                names.append(node.primitive.name)
    return sorted(set(names))


# ------------------------------------------------------------------------------------------------------------------
# The table


@lru_cache(maxsize=8)  # who asks for the classes of a primitive often asks for the table too
def reachable(primitive: Primitive, draws: int = 100) -> dict[str, int]:
    """The boundary classes that at least one in ten samples of a primitive falls in, each with the seed of the first.

    To check a primitive in all of them is to check the samples ``Draw.seeded(seed)`` of these seeds:

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.testing import Draw, check_primitive
    >>> for seed in set(reachable(tg.primitives()["tanh"]).values()):
    ...     check_primitive(tg.primitives()["tanh"], Draw.seeded(seed))
    """
    seeds: dict[str, list[int]] = {}
    for seed in range(draws):
        draw = Draw.seeded(seed)
        primitive_sample(primitive, draw)
        for boundary in draw.classes:
            seeds.setdefault(boundary, []).append(seed)
    return {boundary: found[0] for boundary, found in seeds.items() if len(found) * 10 >= draws}


ToCheck: TypeAlias = dict[str, tuple[list[str], list[str]]]  # by primitive: dtypes, boundary classes


def to_check(asked: Iterable[Primitive]) -> ToCheck:
    """What there is to check of some primitives. An operation that converts dtypes has no float32 cells."""
    return {p.name: (list(DTYPES[: 1 if "dtype" in p.params else 2]), sorted(reachable(p))) for p in asked}


def table(seen: Coverage, asked: ToCheck) -> tuple[str, list[str]]:
    """The table for some primitives, and its empty cells.

    Counts are of the least checked mode of a dtype and order, and of the least checked dtype, order and mode of a
    boundary class: a number means that nothing of its kind was checked less often.
    """
    rows, empty = [], []
    for name, (dtypes, classes) in asked.items():
        cells = [cell for cell in CELLS if cell[0] in dtypes]
        counts = {cell: seen[Cell(name, *cell, "any")] for cell in cells}
        columns = [
            min((counts[cell] for cell in cells if cell[:2] == column), default=0) for column in product(DTYPES, MODES)
        ]
        boundaries = {b: min(seen[Cell(name, *cell, b)] for cell in cells) for b in classes}
        if seen[Cell(name, *FAILED)]:
            boundaries["FAILED"] = seen[Cell(name, *FAILED)]
        rows.append((name, columns, boundaries))
        if not any(counts.values()):
            empty.append(f"{name}: not checked at all")
            continue
        empty += [f"{name}: {dtype}, order {order}, {mode}" for (dtype, order, mode), n in counts.items() if not n]
        empty += [f"{name}: {boundary}" for boundary in classes if not boundaries[boundary]]
    return _printed(rows), empty


def _printed(rows: Sequence[tuple[str, list[int], dict[str, int]]]) -> str:
    width = max((len(name) for name, *_ in rows), default=9)
    heads = [f"{dtype}·{order}" for dtype, order in product(DTYPES, MODES)]
    lines = [f"{'primitive':{width}}  {'  '.join(heads)}  boundary classes"]
    for name, columns, boundaries in rows:
        if any(columns) or "FAILED" in boundaries:
            numbers = "  ".join(f"{n or '-':>{len(head)}}" for n, head in zip(columns, heads, strict=True))
            hit = ", ".join(f"{boundary} {n or '-'}" for boundary, n in boundaries.items())
            lines.append(f"{name:{width}}  {numbers}  {hit}".rstrip())
    unchecked = [name for name, columns, boundaries in rows if not any(columns) and "FAILED" not in boundaries]
    if unchecked:
        lines.append(f"not checked: {', '.join(unchecked)}")
    return "\n".join(lines)


def to_rows(seen: Coverage) -> list[list[Any]]:
    """As plain lists, which travel between processes."""
    return [[*cell, n] for cell, n in seen.items()]


def from_rows(rows: Iterable[Sequence[Any]]) -> Coverage:
    """The opposite of `to_rows`."""
    return Counter({Cell(*row[:-1]): row[-1] for row in rows})
