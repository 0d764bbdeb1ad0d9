"""The pytest plugin, as far as every session loads it: options, and one look at each failure.

It lies outside of the package so that a session which checks no gradient imports neither the package nor Hypothesis.
What the options do is in `tinygrad_conv.testing.plugin`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinygrad_conv", "gradients (tinygrad_conv)")
    group.addoption(
        "--gradcov", nargs="?", const="*", metavar="PATTERN",
        help="print which primitives (of names like PATTERN) were checked: dtype, order, mode, boundary class",
    )  # fmt: skip
    group.addoption("--gradcov-fail-empty", action="store_true", help="fail if --gradcov has an empty cell")
    group.addoption(
        "--gradmut", nargs="?", const="*", metavar="PATTERN",
        help="plant wrong rules in primitives (of names like PATTERN) and adapted functions; print the kill rate",
    )  # fmt: skip
    group.addoption(
        "--gradbudget", type=_seconds, metavar="SECONDS",
        help="the gradient tests share this time: examples beyond it are left out, and counted",
    )  # fmt: skip


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return seconds


@pytest.hookimpl(tryfirst=True)  # before Hypothesis loads the profile that was asked for
def pytest_configure(config: pytest.Config) -> None:
    profile = config.getoption("--hypothesis-profile", default=None)
    if profile is not None and profile.removeprefix("tinygrad_conv-") in ("dev", "ci", "nightly"):
        from tinygrad_conv.testing.plugin import register_profiles

        register_profiles()
    options = config.option
    if options.gradcov or options.gradmut or options.gradcov_fail_empty or options.gradbudget:
        from tinygrad_conv.testing.plugin import GradientSession

        config.pluginmanager.register(GradientSession(config), "tinygrad_conv-session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under every wrong gradient, the one command that replays it."""
    report = yield
    library: Any = sys.modules.get("tinygrad_conv.testing.report")
    if library is not None and call.excinfo is not None and _is_a(library.GradientError, call.excinfo.value):
        from tinygrad_conv.testing.plugin import replay_command

        report.sections.append(("replay", replay_command(item)))
    return report


def _is_a(kind: type[BaseException], error: BaseException) -> bool:
    """Is it, or a group that holds, an error of this kind?"""
    return isinstance(error, kind) or any(_is_a(kind, part) for part in getattr(error, "exceptions", ()))
