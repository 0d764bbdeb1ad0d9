"""`python -m benchmarks guard`: what it calls slower, and a planted slowdown. All times but those are given."""

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import guard
from benchmarks.contenders import Unsupported


def pairs(ratio, noise, seed, count=3, rounds=5):
    """Rounds of a now that takes `ratio` times as long, each time off by about `noise`."""
    rng = np.random.default_rng(seed)
    times = np.exp(noise * rng.standard_normal((count, rounds, 2, 2)))
    times[:, :, 1] *= ratio
    return times.tolist()


@given(st.integers(0, 999), st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_equal_times_are_hardly_ever_slower_and_never_twice(seed, noise):
    first = guard.verdicts("x", pairs(1.0, noise, seed))
    again = guard.verdicts("x", pairs(1.0, noise, seed + 1000))
    assert not any(one.slower and other.slower for one, other in zip(first, again, strict=True))


@given(st.integers(0, 999), st.sampled_from([0.0, 0.005]))
def test_a_fifth_more_is_seen_where_it_is_quiet(seed, noise):
    assert all(verdict.slower for verdict in guard.verdicts("x", pairs(1.2, noise, seed)))


def test_the_bound_is_a_twentieth_or_six_times_the_noise():
    (quiet, _), (loud, _) = (guard.verdicts("x", pairs(1.0, noise, 0)) for noise in (0.0, 0.2))
    assert quiet.noise == 0
    assert quiet.bound == 1.05
    assert loud.bound == 1 + 6 * loud.noise > 1.2
    assert quiet.row() == ["x", "clock", "1,000", "1,000", "1.000", "0.0%", "1.05", ""]


def test_pairs_that_differ_are_noise_too():
    times = [[((1.0, 1.0), (ratio, 1.0))] * 5 for ratio in (1.0, 1.2, 1.2)]  # as steady as can be, within each pair
    clock, processor = guard.verdicts("x", times)
    assert clock.ratio == pytest.approx(1.2)
    assert clock.bound > 1.2
    assert processor.noise == 0


def test_rounds_are_asked_in_turn_the_other_one_first_each_time():
    asked = []
    guard.in_turn(lambda: asked.append("before"), lambda: asked.append("now"), 2)
    assert asked == ["before", "now", "now", "before"]


@pytest.mark.parametrize("slow", [(True, True), (True, False)])
def test_what_is_slower_once_only_is_not_slower(monkeypatch, slow):
    answers = iter(pairs(2.0 if it else 1.0, 0.0, 0) for it in slow)
    monkeypatch.setattr(guard, "imports", lambda *given: next(answers))
    assert [verdict.slower for verdict in guard.measured("import", (), 3, 5)] == [all(slow)] * 2


def git(*command):
    subprocess.run(
        ["git", "-C", str(guard.ROOT), "-c", "user.name=x", "-c", "user.email=x@x", *command], check=True,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit: the library, which is the one of here."""
    if shutil.which("git") is None:
        pytest.skip("no git on this machine")
    for part in guard.PARTS:
        ignore = shutil.ignore_patterns("__pycache__", "*.npz", "*.gz")
        shutil.copytree(guard.ROOT / part, tmp_path / part, ignore=ignore)
    monkeypatch.setattr(guard, "ROOT", tmp_path)
    git("init", "-q")
    git("add", "tinygrad_conv")
    git("commit", "-qm", "First")
    monkeypatch.setattr(guard, "CASES", ("mlp",))
    monkeypatch.setattr(guard, "SHORT", (1, 3))
    monkeypatch.setattr(guard, "SHORT_FORMS", ("plain",))
    monkeypatch.setattr(guard, "imports", lambda *given: pairs(1.0, 0.0, 0))
    return tmp_path


def test_a_planted_slowdown_is_seen(repository, capsys):
    file = repository / "tinygrad_conv" / "optim.py"
    file.write_text(file.read_text() + "\nfrom time import sleep\nold = SGD.step\n"
                    "SGD.step = lambda self: (sleep(0.005), old(self))[1]\n")  # fmt: skip
    with pytest.raises(SystemExit, match="slower than before: mlp plain"):
        guard.main(["HEAD", "--short"])
    assert "SLOWER" in capsys.readouterr().out


def test_a_slowdown_may_be_meant(repository, capsys, monkeypatch):
    monkeypatch.setattr(guard, "CASES", ())
    monkeypatch.setattr(guard, "imports", lambda *given: pairs(2.0, 0.0, 0))
    git("commit", "-q", "--allow-empty", "-m", "More")
    with pytest.raises(SystemExit, match="slower than before: import"):
        guard.main(["--short"])
    git("commit", "-q", "--allow-empty", "-m", "Still more\n\nSlower: import, for a test")
    guard.main(["--short"])
    assert "slower by intention: Slower: import, for a test" in capsys.readouterr().out


def test_without_a_commit_before_nothing_is_compared(repository, capsys):
    guard.main([])
    assert capsys.readouterr().out == "guard: there is no commit before this one here, so nothing is compared\n"
    with pytest.raises(SystemExit, match="guard: expected a commit, got 'nowhere'"):
        guard.main(["nowhere"])


def test_a_library_that_cannot_run_the_benchmarks_is_left_out(repository, capsys):
    (repository / "tinygrad_conv" / "optim.py").write_text("")
    guard.main(["HEAD", "--short"])
    assert "Left out: mlp plain (AttributeError: " in capsys.readouterr().out
    with pytest.raises(Unsupported):
        guard.steps("mlp", "plain", [repository], 1, 1)
