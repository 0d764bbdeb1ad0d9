"""For pytest: gradient tests driven by Hypothesis, what they covered, and whether they would see a wrong rule.

>>> from hypothesis import settings
>>> import tinygrad_conv as tg
>>> from tinygrad_conv.testing.strategies import arrays
>>> @settings(max_examples=5)
... @property_gradient(arrays(), order=1)
... def test_tanh(x):
...     return tg.tanh(x)
>>> test_tanh()

====================================  ================================================================================
``--gradcov[=PATTERN]``               after the tests, a table of what was checked: see `coverage`
``--gradcov-fail-empty``              and fail if one of its cells is empty
``--gradmut[=PATTERN]``               plant wrong rules in primitives, one test item each, and in the adapted functions
                                      that gradient tests check; fail if a wrong rule survives: see `mutation`
``--gradbudget=SECONDS``              the tests of `@property_gradient` share this time; the examples that were left out
                                      are counted: see `budget`
``--hypothesis-profile=NAME``         ``tinygrad_conv-dev``, ``tinygrad_conv-ci`` (derandomised, bounded) and
                                      ``tinygrad_conv-nightly``; also without the prefix, where nobody else has the name
====================================  ================================================================================

A failure prints the one command that replays it. The options are declared in ``_tinygrad_conv_pytest.py``, which is all
that pytest loads in a session that uses none of this.
"""

from __future__ import annotations

import inspect
import os
import shlex
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from ..arguments import checked
from ..errors import ArgumentError, MissingExtraError
from . import coverage
from .budget import Budget, part_of_this_test, told
from .checks import check_gradients
from .mutation import Verdict, alive, matching, run_on_function, run_on_primitive, summary
from .report import GradientError
from .shrinking import Bounded

if TYPE_CHECKING:
    from ..engine.primitive import Primitive

__all__ = ["property_gradient", "register_profiles", "replay_command"]

Function = Callable[..., Any]
_Call = tuple[Function, tuple[Any, ...]]
_adapted: ContextVar[list[_Call] | None] = ContextVar("adapted", default=None)  # what --gradmut wants to see


# ------------------------------------------------------------------------------------------------------------------
# Tests


@checked
def property_gradient(*strategies: Any, **options: Any) -> Callable[[Function], Function]:
    """Make a function a Hypothesis test of its gradient.

    Parameters
    ----------
    *strategies : Hypothesis strategies
        One for each argument; a `Draw` if there is none.
    **options : as in `check_gradients`
        ``order``, ``modes``, ``rtol``, ``atol``, ``argnums``, ...

    The decorated function is what is differentiated: it takes what was drawn and returns a tensor. Or it returns
    ``(f, args)``, and ``f(*args)`` is checked. Hypothesis' own ``@settings`` and ``@example`` go above it. Without such
    ``@settings`` there is no deadline, and no phase `explain`: it would vary what was drawn a hundred times over, to
    say less than the report does.

    Raises MissingExtraError without Hypothesis.

    >>> import numpy as np
    >>> from tinygrad_conv.testing.adapters import from_numpy
    >>> @property_gradient()
    ... def test_sine(draw):
    ...     return from_numpy(np.sin, lambda g, x: g * np.cos(x)), (draw.array(draw.shape()),)
    >>> test_sine()
    """
    register_profiles()
    from hypothesis import Phase, given, settings

    from .strategies import draws

    chosen = strategies or (draws(),)

    def decorate(function: Function) -> Function:
        drawn = list(inspect.signature(function).parameters)[-len(chosen) :]  # before them: self, fixtures
        bounded = Bounded()

        @wraps(function)
        def test(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            values = tuple(kwargs.pop(name) for name in drawn)

            def under_test(*values: Any) -> Any:
                return function(*args, **kwargs, **dict(zip(drawn, values, strict=True)))

            part = part_of_this_test.get()
            if part is not None and part.leaves_out():
                return
            with nullcontext() if part is None else part.example():
                f, values = _what_to_check(under_test if args or kwargs else function, values)
                named = {"name": function.__name__, **options}
                bounded(lambda: check_gradients(f, *values, **named), values)
            calls = _adapted.get()
            if calls is not None and hasattr(f, "modes"):
                calls.append((f, values))

        if not hasattr(test, "_hypothesis_internal_use_settings"):  # what @settings sets; another one may still come
            plain = settings(deadline=None, phases=set(Phase) - {Phase.explain})
            test._hypothesis_internal_use_settings = plain  # type: ignore[attr-defined]
        driven: Function = given(*chosen)(test)  # type: ignore[no-untyped-call, unused-ignore]
        driven.checks_a_gradient = True  # type: ignore[attr-defined]
        return driven

    return decorate


def _what_to_check(function: Function, values: tuple[Any, ...]) -> _Call:
    """What a test returned as (f, args), or the test function itself."""
    from hypothesis.errors import UnsatisfiedAssumption

    try:
        returned = function(*values)
    except UnsatisfiedAssumption:  # `assume` rejects the example
        raise
    except Exception:  # on tensors it may do better; if not, `check_gradients` says so
        returned = None
    if isinstance(returned, tuple) and len(returned) == 2 and callable(returned[0]):
        f, args = returned
        return f, tuple(args) if isinstance(args, (tuple, list)) else (args,)
    return function, values


def register_profiles() -> None:
    """Register the Hypothesis profiles ``tinygrad_conv-dev``, ``-ci`` (derandomised, bounded) and ``-nightly``.

    Without the prefix too, where nobody has registered that name: a user's own profiles stay as they are.

    >>> register_profiles()
    >>> from hypothesis import settings
    >>> settings.get_profile("tinygrad_conv-ci").derandomize
    True
    """
    try:
        from hypothesis import HealthCheck, errors, settings
    except ImportError as error:
        raise MissingExtraError("gradient tests need Hypothesis: pip install 'tinygrad-conv[test]'") from error
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    profiles: dict[str, dict[str, Any]] = {
        "dev": {"max_examples": 40}, "ci": {"max_examples": 40, "derandomize": True, "database": None},
        "nightly": {"max_examples": 1000},
    }  # fmt: skip
    for name, settled in profiles.items():
        settled = {**settled, "deadline": None, "suppress_health_check": quiet}
        settings.register_profile(f"tinygrad_conv-{name}", **settled)
        try:
            settings.get_profile(name)
        except errors.InvalidArgument:
            settings.register_profile(name, **settled)


def replay_command(item: pytest.Item) -> str:
    """The command that runs a failed test again, with the same examples.

    Hypothesis' seed and profile are in it, where the test is one of Hypothesis'.
    """
    pattern = item.config.getoption("--gradmut")
    words = ["pytest", item.nodeid, *([f"--gradmut={pattern}"] if pattern else [])]
    if isinstance(item, GradmutItem):
        words = ["pytest", *item.config.args, f"--gradmut={item.primitive.name}", "-k", "gradmut"]
    test = getattr(item, "obj", None)
    if getattr(test, "is_hypothesis_test", False):
        from hypothesis import settings

        seed = getattr(test, "_hypothesis_internal_use_generated_seed", None)  # None where it is derandomised
        seed = item.config.getoption("--hypothesis-seed", default=None) if seed is None else seed
        words += [f"--hypothesis-profile={settings.get_current_profile_name()}"]
        words += [] if seed is None else [f"--hypothesis-seed={seed}"]
    return shlex.join(words)


# ------------------------------------------------------------------------------------------------------------------
# Coverage and mutants


class GradientSession:
    """What the options do in one session. Results travel with the reports, as pytest-xdist needs."""

    def __init__(self, config: pytest.Config) -> None:
        options = config.option
        self.gradcov: str | None = options.gradcov or ("*" if options.gradcov_fail_empty else None)
        self.gradmut: str | None = options.gradmut
        self.fail_empty: bool = options.gradcov_fail_empty
        self.seen: coverage.Coverage = Counter()
        self.verdicts: list[Verdict] = []
        self.seconds: float | None = options.gradbudget
        self.budget = Budget(self.seconds or 0.0)
        self.shared: dict[str, tuple[int, int, float]] = {}  # by test: examples checked, left out, and seconds
        self.told: list[Any] = []  # by the processes of pytest-xdist, which alone know what test modules declare
        self.bad = ""  # a pattern, in such a process: what is wrong with it
        self.tells = hasattr(config, "workeroutput")
        for option, pattern in (("--gradcov", self.gradcov), ("--gradmut", self.gradmut)):
            if pattern and os.path.exists(pattern):
                raise pytest.UsageError(f"{option} took {pattern} for a pattern: write {option}=PATTERN")

    @pytest.hookimpl(tryfirst=True)  # before -k and -m choose
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """An item for each primitive to plant wrong rules in; by now test modules have declared theirs."""
        for primitive in self._matching(self.gradmut):
            name = f"gradmut[{primitive.name}]"
            items.append(GradmutItem.from_parent(session, name=name, nodeid=name, primitive=primitive))

    def _matching(self, pattern: str | None) -> Sequence[Primitive]:
        try:
            return matching(pattern) if pattern else []
        except ArgumentError as error:
            self.bad = str(error)
            if self.tells:
                return []
            raise pytest.UsageError(self.bad) from None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.budget.tests = sum(map(_checks_a_gradient, session.items))

    @contextmanager
    def _part(self, item: pytest.Item) -> Iterator[None]:
        """The test's part of the budget."""
        start = perf_counter()
        with self.budget.part() as part:
            try:
                yield
            finally:
                row = (part.checked, part.left_out, perf_counter() - start)
                item.user_properties.append(("gradbudget", row))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        token = _adapted.set([] if self.gradmut else None)
        shares = self.seconds is not None and _checks_a_gradient(item)
        try:
            with self._part(item) if shares else nullcontext(), coverage.recording() as seen:
                try:
                    result = yield
                finally:  # what failed was checked too
                    if self.gradcov and not isinstance(item, GradmutItem):
                        item.user_properties.append(("gradcov", coverage.to_rows(seen)))
            calls = _adapted.get()
        finally:
            _adapted.reset(token)
        if calls:
            _report(item, _on_functions(calls))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            properties: list[tuple[str, Any]] = report.user_properties
            for name, rows in properties:
                if name == "gradcov":
                    self.seen += coverage.from_rows(rows)
                elif name == "gradmut":
                    self.verdicts += [Verdict(*row) for row in rows]
                elif name == "gradbudget":
                    self.shared[report.nodeid] = tuple(rows)

    def _table(self) -> tuple[str, list[str]]:
        found = [asked for asked, _ in self.told] or [coverage.to_check(self._matching(self.gradcov))]
        return coverage.table(self.seen, {name: cells for asked in found for name, cells in asked.items()})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.told += getattr(node, "workeroutput", {}).get("tinygrad_conv", [])  # nothing by one that crashed

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.tells:
            asked = coverage.to_check(self._matching(self.gradcov))
            session.config.workeroutput["tinygrad_conv"] = [(asked, self.bad)]  # type: ignore[attr-defined]
            return
        for _, bad in self.told:
            if bad:
                raise pytest.UsageError(bad)
        if self.fail_empty and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if self._table()[1] else exitstatus

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.gradcov:
            text, empty = self._table()
            terminalreporter.section("gradient coverage")
            terminalreporter.write_line(text)
            if self.fail_empty:
                terminalreporter.write_line("\n".join(f"EMPTY {cell}" for cell in empty) or "no cell is empty")
        if self.gradmut:
            terminalreporter.section("gradient mutants")
            terminalreporter.write_line(summary(self.verdicts))
        if self.seconds is not None:
            terminalreporter.section("gradient budget")
            terminalreporter.write_line(told(self.seconds, self.shared))


def _checks_a_gradient(item: pytest.Item) -> bool:
    return getattr(getattr(item, "obj", None), "checks_a_gradient", False)


class GradmutItem(pytest.Item):
    """Passes if the battery kills every mutant of one primitive."""

    def __init__(self, primitive: Primitive, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.primitive = primitive

    def runtest(self) -> None:
        _report(self, run_on_primitive(self.primitive))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        if isinstance(excinfo.value, SurvivedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name


class SurvivedError(GradientError):
    """Wrong rules that no property saw."""


def _on_functions(calls: Sequence[_Call]) -> list[Verdict]:
    """Verdicts on the adapted functions of one test, by what they are made of, each at all of its samples."""
    samples: dict[str, list[_Call]] = {}
    for f, args in calls:
        samples.setdefault(getattr(f, "__qualname__", repr(f)), []).append((f, args))
    return [v for group in samples.values() for v in run_on_function(group[0][0], [args for _, args in group])]


def _report(item: pytest.Item, verdicts: Sequence[Verdict]) -> None:
    """Hand verdicts on, and fail if a mutant survived."""
    rows = [[v.mutant, v.mutation, v.outcome, v.by, v.seed] for v in verdicts]
    item.user_properties.append(("gradmut", rows))
    lines = alive(verdicts)
    if lines:
        raise SurvivedError("\n".join(lines))
