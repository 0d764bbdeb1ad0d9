"""`Explanation`: the terms of one element as text, and as tables for a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from math import fsum, isfinite, prod
from typing import Any

import numpy as np

from ...arguments import checked
from ...digits import aligned, number, short
from ...palette import tint
from .cells import Index, Term
from .scope import Scope

__all__ = ["Explanation"]

_SHOWN = 64  # terms that text shows one by one


@checked
@dataclass(frozen=True, repr=False)
class Explanation:
    """One element of an output: the terms whose sum it is, and what its gradient feeds.

    ``str()`` gives it as text whose numbers add up to the last bit, `brief` in four digits. A notebook shows patch,
    kernel and products beside each other.

    Attributes
    ----------
    at : dict of the element's indices
    terms : tuple of Term
        ``x``, ``w`` (indices), ``value``, ``factor``, ``product``.
    addends : tuple of (name, value)
        What was added: the bias.
    held : number
        What the tensor holds.
    g : float
        The gradient of this element.
    then : tuple of (operation, value)
        Activations that followed, with what they made of it.

    >>> import tinygrad_conv as tg
    >>> scope = tg.microscope(tg.nn.Conv1D(1, 2, weight_init="ones"), np.array([[[1.0], [3.0], [2.0]]]))
    >>> print(scope.explain(x=1))
    conv y[n=0, x=1, channel=0], y of shape (1, 2, 1)
    kernel 2, stride 1, padding 0, dilation 1, groups 1
      x[0, 1, 0] * w[0, 0, 0] = 3.0 * 1.0 = 3.0
      x[0, 2, 0] * w[1, 0, 0] = 2.0 * 1.0 = 2.0
      sum of 2 products = 5.0
      + bias[0] = 0.0
      = 5.0, which the tensor holds
    backward, for g = dL/dy = 1.0:
      dL/dx[0, 1, 0] += g * 1.0 = 1.0   dL/dw[0, 0, 0] += g * 3.0 = 3.0
      dL/dx[0, 2, 0] += g * 1.0 = 1.0   dL/dw[1, 0, 0] += g * 2.0 = 2.0
      dL/dbias[0] += g = 1.0
    """

    of: Scope
    at: dict[str, int]
    terms: tuple[Term, ...]
    addends: tuple[tuple[str, Any], ...]
    held: Any
    g: float
    then: tuple[tuple[str, Any], ...]
    source: str

    @property
    def sum(self) -> float:
        """The exact sum of the products, rounded once."""
        return _sum([term.product for term in self.terms])

    @property
    def rounding(self) -> tuple[float, ...]:
        """What the tensor's own arithmetic lost: mostly one number, none if its sum is exact to the last bit."""
        parts = [*(term.product for term in self.terms), *(float(value) for _, value in self.addends)]
        held = float(self.held)
        lost: list[float] = []
        if not all(map(isfinite, (held, *parts))):
            return ()
        while len(lost) < 4:
            rest = _sum([held, *(-part for part in parts), *(-part for part in lost)])
            if rest == 0:
                break
            lost.append(rest)
        return tuple(lost)

    @property
    def total(self) -> float:
        """The sum of everything shown: products, what was added, rounding. It is the number that the tensor holds."""
        return _sum([*(t.product for t in self.terms), *(float(v) for _, v in self.addends), *self.rounding])

    # -- text ------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self._text(str)

    @property
    def brief(self) -> str:
        """The text in numbers of four digits."""
        return self._text(lambda value: short(str(value)))

    def _text(self, say: Callable[[Any], str]) -> str:
        return "\n".join((*self._head(), *self._forward(say), *self._backward(say)))

    __repr__ = __str__

    def _head(self) -> list[str]:
        where = ", ".join(f"{name}={value}" for name, value in self.at.items())
        lines = [f"{self.of.label} y[{where}], y of shape {self.of.shape}"]
        window = self.of.window
        if window is not None:
            pads = [before if before == after else (before, after) for before, after in window.pads]
            kernel = " by ".join(map(str, window.kernel))
            facts = {"stride": window.stride, "padding": pads, "dilation": window.dilation}
            lines.append(
                f"kernel {kernel}, {', '.join(f'{name} {_brief(value)}' for name, value in facts.items())}"
                + (f", groups {window.groups}" if self.of.w is not None else "")
            )
        return lines

    def _forward(self, say: Callable[[Any], str]) -> list[str]:
        shown = self.terms if len(self.terms) <= _SHOWN + 1 else self.terms[:_SHOWN]
        names = [(_x(t.x), _w(t, self.of.kind)) for t in shown]
        wide = [max(map(len, column)) for column in zip(*names, strict=True)]
        numbers = zip(*((t.value, t.factor, t.product) for t in shown), strict=True)
        columns = [aligned([say(value) for value in column]) for column in numbers]
        lines = [
            f"  {a:<{wide[0]}} * {b:<{wide[1]}} = {v} * {f} = {p}".rstrip()
            for (a, b), v, f, p in zip(names, *columns, strict=True)
        ]
        if len(shown) < len(self.terms):
            rest = _sum([t.product for t in self.terms[len(shown) :]])
            lines.append(f"  and {len(self.terms) - len(shown):,} more products, together {say(rest)}")
        what = "the greatest" if self.of.kind == "max_pool" else f"sum of {len(self.terms):,} products"
        lines.append(f"  {what} = {say(self.sum)}")
        lines += [f"  + {name} = {say(value)}" for name, value in self.addends]
        lines += [f"  + rounding in {self.of.y.dtype} = {say(value)}" for value in self.rounding]
        lines.append(f"  = {say(self.held)}, which the tensor holds")
        lines += [f"  then {name} = {say(value)}" for name, value in self.then]
        return lines

    def _backward(self, say: Callable[[Any], str]) -> list[str]:
        shown = [t for t in self.terms if t.x is not None][:_SHOWN]  # padding feeds nobody
        left = [(f"dL/d{_x(t.x)} += g * ", say(t.factor), say(self.g * float(t.factor))) for t in shown]
        right = [
            ("" if t.w is None else f"dL/d{_w(t, '')} += g * ", say(t.value), say(self.g * float(t.value)))
            for t in shown
        ]
        lines = [f"backward, for g = dL/dy = {say(self.g)}:"]
        columns = [_column(left), _column(right)]
        lines += [f"  {a}   {b}".rstrip() for a, b in zip(*columns, strict=True)]
        if len(self.terms) > _SHOWN == len(shown):
            lines.append(f"  and so on for {len(self.terms):,} terms")
        lines += [f"  dL/d{name} += g = {say(self.g)}" for name, _ in self.addends]
        return lines

    # -- notebooks -------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        head, *details = self._head()
        style = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.4"
        parts = [f'<div style="{style}"><p><b>{escape(head)}</b><br>{"<br>".join(map(escape, details))}</p>']
        parts += self._grids()
        equation = [f"sum of {len(self.terms):,} products <b>{number(self.sum)}</b>"]
        equation += [f"{escape(name)} <b>{number(float(value))}</b>" for name, value in self.addends]
        equation += [f"rounding {number(value, 2)}" for value in self.rounding]
        held = f"{' + '.join(equation)} = <b>{number(float(self.held))}</b>, which the tensor holds"
        then = "".join(f"; then {escape(a)}: <b>{number(float(b))}</b>" for a, b in self.then)
        text = f"<details><summary>all terms, forward and backward</summary><pre>{escape(str(self))}</pre></details>"
        return "".join([*parts, f"<p>{held}{then}</p>{text}</div>"])

    def _grids(self) -> Iterator[str]:
        """For each input channel of a window of one or two axes: patch, kernel and products beside each other."""
        window = self.of.window
        if window is None or len(window.kernel) > 2 or self.of.kind == "conv_transpose":
            return
        rows = prod(window.kernel[:-1])
        channels = max(1, len(self.terms) // prod(window.kernel))
        if self.of.w is None:
            yield _grid([[t.value for t in self.terms]], ["patch"], 1, [t.factor == 1 for t in self.terms])
            return
        for k in islice(range(channels), 8):
            mine = self.terms[k::channels]
            tables = [[t.value for t in mine], [t.factor for t in mine], [t.product for t in mine]]
            seen = next((t.x[-1] for t in mine if t.x), k)
            yield _grid(tables, [f"x, channel {seen}", "kernel", "products"], rows, [t.x is None for t in mine])
        if channels > 8:
            yield f"<p>and {channels - 8:,} more channels</p>"


def _grid(tables: list[list[Any]], names: list[str], rows: int, marked: list[bool]) -> str:
    shades = [f"{tint(name)}33" for name in ("input-line", "parameter-line", "output-line")]  # on any ground
    out = []
    for table, name, shade in zip(tables, names, shades, strict=False):
        width = -(-len(table) // rows)
        cells = [
            f'<td style="text-align:right;padding:2px 6px;border:1px solid {tint("line")}88;background:'
            f'{tint("line") + "33" if mark else shade}">{number(float(value))}</td>'
            for value, mark in zip(table, marked, strict=True)
        ]
        lines = "".join(f"<tr>{''.join(cells[k : k + width])}</tr>" for k in range(0, len(cells), width))
        out.append(
            f'<table style="display:inline-table;border-collapse:collapse;margin:4px 12px 4px 0">'
            f'<caption style="white-space:nowrap">{escape(name)}</caption>{lines}</table>'
        )
    return f"<div>{''.join(out)}</div>"


def _sum(values: Sequence[float]) -> float:
    """The exact sum, rounded once; what NumPy says where there is none."""
    try:
        return fsum(values)
    except (OverflowError, ValueError):  # infinities of both signs, or beyond the largest number
        with np.errstate(all="ignore"):
            return float(np.sum(values))


def _brief(values: Sequence[Any]) -> str:
    return str(values[0]) if len(set(map(str, values))) == 1 else str(tuple(values))


def _x(at: Index | None) -> str:
    return "padding" if at is None else f"x[{', '.join(map(str, at))}]"


def _w(term: Term, kind: str) -> str:
    if term.w is not None:
        return f"w[{', '.join(map(str, term.w))}]"
    return "1 over the count" if kind == "avg_pool" else "greatest?"


def _column(rows: list[tuple[str, str, str]]) -> list[str]:
    """``name += g * a = b``, aligned; empty where there is no name."""
    if not rows:  # all that a cell looks at is padding
        return []
    names, a, b = zip(*rows, strict=True)
    wide = max(map(len, names))
    return [
        f"{name:<{wide}}{one} = {two}" if name else ""
        for name, one, two in zip(names, aligned(a), aligned(b), strict=True)
    ]
