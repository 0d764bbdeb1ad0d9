"""The pytest plugin, in sessions of its own."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

import tinygrad_conv as tg
from tinygrad_conv.engine.primitive import _registry
from tinygrad_conv.testing import GradientError, coverage
from tinygrad_conv.testing.adapters import from_numpy
from tinygrad_conv.testing.plugin import property_gradient, register_profiles, replay_command

pytest_plugins = ["pytester"]

ROOT = pathlib.Path(tg.__file__).parents[1]
INSTALLED = any(entry.name == "tinygrad_conv" for entry in entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "_tinygrad_conv_pytest")

TESTS = """
import numpy as np
import pytest
import tinygrad_conv as tg
from hypothesis import settings
from tinygrad_conv.testing.adapters import from_numpy
from tinygrad_conv.testing.plugin import property_gradient
from tinygrad_conv.testing.strategies import arrays

@settings(max_examples=5, deadline=None)
@property_gradient(arrays((2, 3)), arrays((3, 2)))
def test_function(x, w):
    return tg.tanh(x @ w)

@settings(max_examples=5, deadline=None)
@property_gradient()
def test_pair(draw):
    return from_numpy(np.sin, lambda g, x: g * np.cos(x)), (draw.array((2, draw.integer(1, 3))),)
"""

WRONG = """
@property_gradient()
def test_wrong(draw):
    x = draw.array(draw.shape(min_side=1))
    return from_numpy(np.sin, lambda g, x: g * np.cos(x) * (1.01 if x.ndim == 2 and x.shape[0] == 1 else 1)), (x,)
"""


@pytest.fixture
def session(pytester, monkeypatch):
    """Run pytest on some test code in this process, with the plugin, every warning an error."""
    monkeypatch.delenv("CI", raising=False)
    before = dict(_registry)

    def run(code, *options):
        path = pytester.makepyfile(code)
        return pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider", "-W", "error", path, *options)

    yield run
    _registry.clear()
    _registry.update(before)


def text_of(result):
    return "\n".join(result.outlines)


# ---------------------------------------------------------------------------------------------------------------
# Tests of gradients


def test_functions_and_pairs(session):
    session(TESTS).assert_outcomes(passed=2)


def test_fixtures_and_methods(session):
    code = (
        TESTS
        + """
@pytest.fixture(scope="module")
def w():
    return np.ones((3, 2))

@property_gradient(arrays((2, 3)), order=1)
def test_fixture(w, x):
    return tg.tanh(x @ w)

class TestMethods:
    @property_gradient(arrays((2, 3)), order=1)
    def test_method(self, x):
        return tg.exp(x)
"""
    )
    session(code).assert_outcomes(passed=4)


def test_a_failure_is_shrunk_reported_and_replayed_by_one_command(pytester, monkeypatch):
    # In processes of their own: Hypothesis draws numbers that it finds in the modules of its process, too.
    monkeypatch.delenv("CI", raising=False)
    options = (*PLUGIN, "-p", "no:cacheprovider", "-W", "error")
    path = pytester.makepyfile(TESTS + WRONG)
    result = pytester.runpytest_subprocess(*options, path, "--hypothesis-seed=0", "-k", "wrong")
    result.assert_outcomes(failed=1, deselected=2)
    text = text_of(result)
    assert "VJP is not the numeric derivative" in text
    command = text.split(" replay ---")[1].splitlines()[1]
    words = shlex.split(command)
    assert words[0] == "pytest"
    assert words[1].endswith("::test_wrong")
    assert [word.split("=")[0] for word in words[2:]] == ["--hypothesis-profile", "--hypothesis-seed"]
    again = pytester.runpytest_subprocess(*options, *words[1:])
    again.assert_outcomes(failed=1)
    reports = [re.search(r"GradientError: .*?worst element[^\n]*", text_of(r), re.S)[0] for r in (result, again)]
    assert reports[0] == reports[1]


def test_the_seed_that_hypothesis_took_by_itself_is_in_the_command(request):
    test = SimpleNamespace(is_hypothesis_test=True, _hypothesis_internal_use_generated_seed=7)
    command = replay_command(SimpleNamespace(nodeid="test_it.py::test_wrong", config=request.config, obj=test))
    profile = settings.get_current_profile_name()
    assert command == f"pytest test_it.py::test_wrong --hypothesis-profile={profile} --hypothesis-seed=7"


def test_a_failure_has_a_test_to_paste_that_fails_alone(session, pytester):
    code = """
def wrong(x):
    return tg.square(x) + 0.25 * tg.sin(x - tg.stop_gradient(x))

@property_gradient(arrays())
def test_wrong(x):
    return wrong(x)
"""
    text = text_of(session(TESTS + code, "-k", "wrong"))
    pasted = re.search(r"a test that fails alone:\n(.*?)\nE +(Failing test case|Falsifying example)", text, re.S)[1]
    path = pytester.makepyfile(alone="\n".join(line[8:] for line in pasted.splitlines()))
    result = pytester.runpytest(*PLUGIN, "-p", "no:cacheprovider", path)
    result.assert_outcomes(failed=1)
    assert "alone.py::test_wrong" in text_of(result)


def test_a_failure_ends_soon_is_of_one_kind_and_stays_in_the_domain():
    wrong = from_numpy(np.log, lambda g, x: 1.01 * g / x)

    @settings(database=None)
    @property_gradient()
    def test_log(draw):
        return wrong, (draw.array(draw.shape(min_ndim=1, min_side=2), 0.1, 3),)

    start = perf_counter()
    with pytest.raises(GradientError) as caught:
        test_log()
    assert caught.value.report.property == "vjp_vs_numeric"
    assert "-" not in caught.value.report.test.partition("np.array")[2]
    assert perf_counter() - start < 30  # 4 on a machine that does nothing else; a minute before there was an end


def test_other_failures_have_no_replay(session):
    assert " replay " not in text_of(session("def test_it():\n    assert 0\n"))


def test_a_function_that_cannot_be_checked_says_so(session):
    code = (
        TESTS
        + """
@property_gradient(arrays((2,)))
def test_nothing(x):
    pass
"""
    )
    assert "returned nothing (None)" in text_of(session(code))


# ---------------------------------------------------------------------------------------------------------------
# --gradcov


def test_coverage(session):
    text = text_of(session(TESTS, "--gradcov=tan*"))
    row = next(line for line in text.splitlines() if line.startswith("tanh"))
    counts = row.split()[1:5]  # float64 and float32, orders 1 and 2
    assert set(counts) == {"5"}
    assert "contiguous" in row
    assert "not checked: tan" in text


def test_coverage_counts_what_was_asked_for_only(session):
    code = TESTS.replace("arrays((3, 2)))", "arrays((3, 2)), order=1, modes=('reverse',))")
    text = text_of(session(code, "--gradcov=tan*", "--gradcov-fail-empty"))
    assert "EMPTY tanh: float64, order 1, forward" in text
    assert "EMPTY tanh: float64, order 2, reverse over reverse" in text
    assert "EMPTY tanh: float64, order 1, reverse\n" not in text
    assert "EMPTY tan: not checked at all" in text


def test_coverage_shows_what_failed(session):
    code = """
import numpy as np
import tinygrad_conv as tg
from tinygrad_conv.testing import check_gradients, check_vjp

@tg.elementwise(lambda x: 1.01 * tg.cos(x))
def my_sine(x):
    return np.sin(x)

def test_wrong():
    check_gradients(my_sine, np.ones(3))

def test_vjp():
    check_vjp(np.sin, lambda g, x: 2 * g * np.cos(x), np.ones(3))
"""
    text = text_of(session(code, "--gradcov=my_*"))
    assert next(line for line in text.splitlines() if line.startswith("my_sine ")).partition("FAILED ")[2] > "0"
    assert "not checked: my_sine" not in text
    assert "<call of" not in text  # the library's own frames
    assert "> " in text
    assert "check_vjp(np.sin, lambda g" in text


def test_an_empty_cell_fails_when_asked(session):
    assert session(TESTS, "--gradcov=tanh").ret == 0
    result = session(TESTS, "--gradcov=tanh", "--gradcov-fail-empty")
    assert result.ret == 1
    assert "EMPTY tanh: 0-d" in text_of(result)


def test_full_coverage_passes_when_asked(session):
    code = """
import tinygrad_conv as tg
from hypothesis import given, settings
from tinygrad_conv.testing import check_primitive
from tinygrad_conv.testing.strategies import draws

@settings(max_examples=150, deadline=None, derandomize=True)
@given(draws())
def test_tanh(draw):
    check_primitive(tg.primitives()["tanh"], draw)
"""
    result = session(code, "--gradcov=tanh", "--gradcov-fail-empty")
    assert result.ret == 0
    assert "no cell is empty" in text_of(result)


def test_reachable_classes_are_those_of_the_samples():
    conv = set(coverage.reachable(tg.primitives()["conv"]))
    assert {"k = 1", "remainder", "batch 1", "H != W", "groups", "same", "overlap", "dilation", "transposed"} <= conv
    assert "0-d" not in conv
    assert "0-d" in coverage.reachable(tg.primitives()["tanh"])


# ---------------------------------------------------------------------------------------------------------------
# --gradmut


USERS = """
import tinygrad_conv as tg

@tg.elementwise(lambda x: 3 * x * x)
def my_cube(x):
    return x**3
"""


def test_mutants_of_a_users_primitive(session):
    result = session(USERS, "--gradmut=my_*")
    result.assert_outcomes(passed=1)
    text = text_of(result)
    assert "gradmut[my_cube] ." in text
    assert "gradmut: killed 8 of 8 mutants (100.0 %), 10 not applicable" in text


def test_mutants_of_a_wrong_primitive_are_named(session):
    result = session(USERS.replace("3 *", "2 *"), "--gradmut=my_*")
    result.assert_outcomes(failed=1)
    text = text_of(result)
    assert "REJECTED my_cube (the battery rejects the right rules" in text
    assert "(0.0 %)" in text
    assert "Traceback" not in text


def test_mutants_of_plain_functions(session):
    """The adapted functions that gradient tests check are spoiled too, at the samples of the test."""
    result = session(TESTS, "--gradmut=tanh", "-k", "pair or tanh")
    result.assert_outcomes(passed=2, deselected=1)
    killed = int(re.search(r"killed (\d+) of \1 mutants", text_of(result))[1])
    assert killed > 8  # those of tanh, and those of the sine


def test_survivors_fail_by_name(session):
    code = (
        TESTS
        + """
from tinygrad_conv.testing import mutation
mutation.PROPERTIES = {"repeatable": mutation.PROPERTIES["repeatable"]}
"""
    )
    from tinygrad_conv.testing import mutation

    before = mutation.PROPERTIES
    try:
        result = session(code, "--gradmut=tanh")
    finally:
        mutation.PROPERTIES = before
    result.assert_outcomes(passed=1, failed=2)
    text = text_of(result)
    assert "SURVIVED tanh: derivative of x: negate" in text
    assert "SURVIVED sin: vjp of argument 0: negate" in text
    assert "killed 0 of" in text
    replays = re.findall(r" replay -+\n(.*)", text)
    assert len(replays) == 2
    assert "::test_pair --gradmut=tanh --hypothesis-profile=" in replays[0]
    assert replays[1].endswith(" --gradmut=tanh -k gradmut")


def test_in_processes_of_pytest_xdist(session):
    """Only they know what test modules declare."""
    pytest.importorskip("xdist")
    result = session(
        USERS + TESTS, "-n2", "--gradmut=my_*", "--gradcov=my_*", "--gradcov-fail-empty", "--gradbudget=600",
        "-k", "my_ or pair",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    text = text_of(result)
    assert "5 examples of 1 test were checked in" in text
    assert re.search(r"killed (\d+) of \1 mutants", text)
    assert "EMPTY my_cube: not checked at all" in text
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("option", ["--gradmut", "--gradcov"])
@pytest.mark.parametrize("processes", [0, 1])
def test_a_pattern_that_matches_nothing_or_is_a_path(session, pytester, option, processes):
    if processes:
        pytest.importorskip("xdist")
    result = session("def test_it(): pass", f"{option}=tanz", *[f"-n{processes}"] * processes)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no primitive matches 'tanz'; did you mean 'tan*"])
    result = pytester.runpytest(*PLUGIN, "--gradmut", ".")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--gradmut took . for a pattern: write --gradmut=PATTERN"])


# ---------------------------------------------------------------------------------------------------------------
# --gradbudget


SLOW = """
import time
import numpy as np
import pytest
import tinygrad_conv as tg
from hypothesis import example, settings
from tinygrad_conv.testing.plugin import property_gradient
from tinygrad_conv.testing.strategies import arrays

SEEN = []

@settings(max_examples=3, database=None)
@property_gradient(arrays((2,)), order=1)
def test_quick(x):
    return tg.tanh(x)

@settings(max_examples=60, database=None)
@example(np.ones(2))
@example(np.zeros(2))
@property_gradient(arrays((2,)), order=1)
def test_slow(x):
    if isinstance(x, np.ndarray):
        time.sleep(0.2)
    return tg.tanh(x)

class TestLater:
    @pytest.mark.parametrize("k", [1, 2])
    @settings(max_examples=4, database=None)
    @property_gradient(arrays((2,)), order=1)
    def test_later(self, k, x):
        return tg.exp(k * x)

def test_another():
    pass
"""


def budget_of(result):
    """Of the summary: what was checked, and lines on tests."""
    text = text_of(result)
    checked, tests = re.search(
        r"^(\d+) examples of (\d+) tests? were checked in [\d.]+ s of [\d.]+", text, re.M
    ).groups()
    rows = re.findall(r"^  (\S+): (\d+) of (\d+) left out$", text, re.M)
    return int(checked), int(tests), {name.split("::", 1)[1]: (int(out), int(of)) for name, out, of in rows}


def test_a_budget_is_shared(session):
    result = session(SLOW, "--gradbudget=4")
    result.assert_outcomes(passed=5)
    checked, tests, rows = budget_of(result)
    assert tests == 4
    (out, of) = rows["test_slow"]
    assert 20 < out <= 60 <= of <= 62  # about 4/3 s for it, 0.2 s an example
    assert checked + sum(out for out, _ in rows.values()) == 3 + of + 8


def test_a_large_budget_leaves_nothing_out(session):
    result = session(SLOW, "--gradbudget=600", "-k", "quick or later")
    assert "11 examples of 3 tests were checked in" in text_of(result)
    assert "s of 600; none was left out" in text_of(result)


def test_a_budget_that_is_over_leaves_one_example_of_each_and_all_that_are_written_down(session):
    result = session(SLOW, "--gradbudget=1e-9")
    result.assert_outcomes(passed=5)
    checked, _, rows = budget_of(result)
    assert checked == 1 + 2 + 1 + 1
    assert rows.pop("test_slow") == (60, 62)
    assert rows == {"test_quick": (2, 3), "TestLater::test_later[1]": (3, 4), "TestLater::test_later[2]": (3, 4)}


def test_a_failure_stays_one_when_the_budget_is_over(session):
    """At its first example that is not rejected, and at one that is written down."""
    code = """
from hypothesis import Phase, assume

no_shrinking = settings(database=None, phases=[Phase.explicit, Phase.generate])

@no_shrinking
@property_gradient(arrays((2,)))
def test_first(x):
    return x + tg.stop_gradient(x)

@no_shrinking
@example(np.array([7.0]))
@property_gradient(arrays((2,)))
def test_written(x):
    return x + (tg.stop_gradient(x) if x.shape == (1,) else 0)

@no_shrinking
@property_gradient(arrays((2,)))
def test_raises(x):
    raise ValueError("no")

@no_shrinking
@property_gradient(arrays())
def test_assumes(x):
    assume(x.ndim == 2 and x.size)
    return x + tg.stop_gradient(x)
"""
    result = session(SLOW + code, "--gradbudget=1e-9", "-k", "first or written or raises or assumes")
    result.assert_outcomes(failed=4)
    text = text_of(result)
    assert "Flaky" not in text
    assert "gradient budget" in text


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_budget_is_a_time(session, seconds):
    result = session(SLOW, f"--gradbudget={seconds}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--gradbudget: expected a number of seconds above 0, got '{seconds}'"])


def test_assume_rejects_an_example(session):
    code = """
from hypothesis import assume

@property_gradient(arrays())
def test_matrices(x):
    assume(x.ndim == 2)
    return tg.tanh(x)
"""
    session(TESTS + code, "-k", "matrices").assert_outcomes(passed=1)


# ---------------------------------------------------------------------------------------------------------------
# Profiles, and what it costs


def test_profiles():
    register_profiles()
    assert settings.get_profile("tinygrad_conv-nightly").max_examples == 1000
    ci = settings.get_profile("tinygrad_conv-ci")
    assert ci.derandomize
    assert ci.max_examples <= 100
    assert ci.deadline is None


def test_profiles_do_not_replace_a_users_own():
    name = "dev"
    mine = settings(max_examples=7)
    before = settings.get_profile(name)
    try:
        settings.register_profile(name, mine)
        register_profiles()
        assert settings.get_profile(name).max_examples == 7
    finally:
        settings.register_profile(name, before)


def run_elsewhere(folder, code, *options):
    """A session in a process of its own must pass."""
    (folder / "test_it.py").write_text(code)
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-q", "-W", "error", *options]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", ["nightly", "tinygrad_conv-ci"])
def test_profiles_can_be_chosen(profile, tmp_path):
    code = f"""
from hypothesis import settings
def test_it():
    assert settings.get_current_profile_name() == {profile!r}
"""
    run_elsewhere(tmp_path, code, f"--hypothesis-profile={profile}")


def test_a_session_without_gradients_imports_nothing(tmp_path):
    code = """
import sys
def test_it():
    assert not {"hypothesis", "numpy", "tinygrad_conv"} & set(sys.modules)
"""
    run_elsewhere(tmp_path, code)
