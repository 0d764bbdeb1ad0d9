"""What a failed check says: which element is wrong, by how much, what it looks like, and a test that fails alone."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CheckError

__all__ = ["GradientError", "Report", "hypothesis_runs"]

Index = tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """A failed check, taken apart. ``str()`` is at most 25 lines.

    Attributes
    ----------
    name, property : str
        The function, and the property that does not hold (a key of `checks.PROPERTIES`).
    message : str
        What does not hold, in one line.
    order : int
        1 for a derivative, 2 for the derivative of one.
    argument, index : str and tuple
        The worst element: by which argument, and where in it.
    output, output_index : str and tuple
        Of what it is the derivative ("output", or for order 2 "gradient of argument 0", ...), and where in that.
    analytic, numeric, error : float
        The two derivatives of that output element by that argument element, and the numeric one's error bar.
    method : str
        How the numeric one was found.
    wrong, total : int
        How many elements of that argument are wrong, of how many that were looked at.
    where : str
        Which plane of the argument the picture shows.
    picture : tuple of str
        ``x`` wrong, ``.`` right.
    jacobians : tuple of str
        Of a small function, the analytic and the numeric Jacobian side by side, a row for each element of the argument.
    pattern : str
        What the error looks like: a sign, a factor, a transpose, ... ("" if like nothing known)
    test : str
        Python code that fails by itself ("" if none could be written).

    >>> import numpy as np
    >>> from tinygrad_conv.testing import GradientError, check_vjp
    >>> try:
    ...     check_vjp(np.tanh, lambda g, x: 2 * g * (1 - np.tanh(x) ** 2), np.ones(3))
    ... except GradientError as error:
    ...     print(f"{error.report.wrong} of {error.report.total} wrong; {error.report.pattern}")
    3 of 3 wrong; a factor: analytic = 2 * numeric in every element
    """

    name: str
    property: str
    message: str
    order: int = 1
    argument: str = ""
    index: Index | None = None
    output: str = "output"
    output_index: Index | None = None
    analytic: float | None = None
    numeric: float | None = None
    error: float | None = None
    method: str = ""
    wrong: int = 0
    total: int = 0
    where: str = ""
    picture: tuple[str, ...] = ()
    jacobians: tuple[str, ...] = ()
    pattern: str = ""
    test: str = ""

    def rows(self) -> list[tuple[str, str]]:
        """What there is to say, as (title, text).

        >>> Report("f", "vjp", "the gradient is wrong", pattern="a sign").rows()
        [('suspect', 'a sign')]
        """
        rows = []
        if self.index is not None:
            by = f"{self.argument}{_at(self.index)}"
            rows.append(("worst element", f"d {self.output}{_at(self.output_index)} / d {by}"))
            rows.append(("analytic", f"{self.analytic:.12g}"))
            rows.append(("numeric", f"{self.numeric:.12g} ± {self.error:.1g} ({self.method})"))
            rows.append(("wrong", f"{self.wrong} of {self.total} elements of {self.argument}"))
        if self.picture:
            rows.append(("where", self.where))
        if self.jacobians:
            rows.append(("Jacobians", "analytic | numeric, a row for each element, a column for each output"))
        if self.pattern:
            rows.append(("suspect", self.pattern))
        return rows

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.message} [{self.property}]" if self.property else f"{self.name}: {self.message}"]
        for title, text in self.rows():
            lines.append(f"  {title:<14} {text}")
            lines += [f"  {'':<14} {row}" for row in self._below(title)]
        test = self.test.splitlines()
        if test and len(lines) + len(test) < 25:
            lines += ["  a test that fails alone:", *(f"    {line}" if line else "" for line in test)]
        return "\n".join(lines)

    def _below(self, title: str) -> tuple[str, ...]:
        """The lines under a row."""
        return {"where": self.picture, "Jacobians": self.jacobians}.get(title, ())

    def _repr_html_(self) -> str:
        cell = "style='text-align:left;vertical-align:top'"
        rows = "".join(
            f"<tr><th {cell}>{html.escape(title)}</th><td {cell}>{html.escape(text)}"
            + (f"<pre>{html.escape(chr(10).join(self._below(title)))}</pre>" if self._below(title) else "")
            + "</td></tr>"
            for title, text in self.rows()
        )
        test = f"<details><summary>a test that fails alone</summary><pre>{html.escape(self.test)}</pre></details>"
        return (
            f"<b>{html.escape(self.name)}</b>: {html.escape(self.message)} <i>[{html.escape(self.property)}]</i>"
            f"<table>{rows}</table>{test if self.test else ''}"
        )


def _at(index: Index | None) -> str:
    """An index as it is written: [1, 2], and nothing for a scalar's."""
    return str(list(index)) if index else ""


class GradientError(CheckError):
    """A gradient is wrong (or something else that a check promises does not hold); ``.report`` says what and where.

    A report may be given as a function that makes it when it is first asked for.

    >>> print(GradientError("f: its gradient is wrong"))
    f: its gradient is wrong
    """

    kind: tuple[Any, ...] = ()  # the property, the order, and whether values were finite: what smaller examples keep

    def __init__(self, report: Report | str | Callable[[], Report]) -> None:
        super().__init__(report if isinstance(report, str) else "")
        self._report = report

    @property
    def report(self) -> Report:
        """What is wrong, and where."""
        if isinstance(self._report, str):
            name, _, message = self._report.partition(": ")
            self._report = Report(name, "", message)
        elif not isinstance(self._report, Report):
            self._report = self._report()
        return self._report

    def with_test(self, test: Callable[[], str]) -> GradientError:
        """The same error, with the code of a test that fails alone in its report.

        >>> GradientError(Report("f", "vjp", "wrong")).with_test(lambda: "assert False").report.test
        'assert False'
        """
        error = GradientError(lambda: replace(self.report, test=test()))
        error.kind = self.kind
        return error

    def __str__(self) -> str:
        return str(self.report)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def hypothesis_runs() -> bool:
    """Is this a test that Hypothesis runs? Then it shrinks what fails, and explanations can wait until it is done."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and hypothesis.currently_in_test_context()
