"""``python -m benchmarks guard [BASE]``: is the library, as it is here, slower than it was at a commit?

Both are copied to a folder each, and the benchmarks of here run in both, one thread each, in turn: so the machine's
moods hit both alike. No absolute time decides, but the median of the ratios now / before, round by round: by the clock,
and by the processor's time, which other programs hardly disturb. It fails above 1 + max(5 %, 6 x the noise), where the
noise is the standard error of that median: by the rounds, or by the few pairs of processes, whichever is larger. So on
a loaded machine the bound rises. What is too slow is measured once more, in new processes, and has to be so again.

A commit since BASE that is meant to be slower says so, in a line of its message: ``Slower: <what, and why>``.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, stdev

from .contenders import CONTENDERS, Unsupported
from .measure import THREADS, Process
from .tables import number, table

ROOT = Path(__file__).parent.parent
PARTS = ("tinygrad_conv", "benchmarks")
LEAST, TIMES_NOISE = 0.05, 6
CASES = ("cnn", "mlp", "chain")
FORMS, SHORT_FORMS = ("plain", "plain compiled", "compiled"), ("plain", "plain compiled")

LONG, SHORT = (5, 9), (3, 5)  # pairs of processes, and rounds
CLOCKS = ("clock", "processor")

Seconds = tuple[float, float]  # by the clock, and by the processor
Round = tuple[Seconds, Seconds]  # before, and now
Pairs = Sequence[Sequence[Round]]  # for each pair of processes its rounds


@dataclass(frozen=True)
class Verdict:
    """What the rounds of some pairs of processes say of a workload."""

    name: str
    clock: str
    pairs: Sequence[Sequence[tuple[float, float]]]  # seconds before and now

    def _logs(self) -> list[list[float]]:
        return [[math.log(now / before) for before, now in rounds] for rounds in self.pairs]

    @property
    def ratio(self) -> float:
        """Now / before: the median over all rounds."""
        return math.exp(median(log for logs in self._logs() for log in logs))

    @property
    def noise(self) -> float:
        """The standard error of the ratio."""
        logs = self._logs()
        every = [log for one in logs for log in one]
        spread = 1.4826 * median(abs(log - median(every)) for log in every)  # of a normal distribution: its deviation
        by_pair = stdev(map(median, logs)) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
        return max(1.2533 * spread / math.sqrt(len(every)), by_pair)

    @property
    def bound(self) -> float:
        return 1 + max(LEAST, TIMES_NOISE * self.noise)

    @property
    def slower(self) -> bool:
        return self.ratio > self.bound

    def row(self) -> list[str]:
        times = [median(both[side] for rounds in self.pairs for both in rounds) for side in (0, 1)]
        return [
            self.name, self.clock, *(number(1e3 * seconds) for seconds in times), f"{self.ratio:.3f}",
            f"{self.noise:.1%}", f"{self.bound:.2f}", "SLOWER" if self.slower else "",
        ]  # fmt: skip


def verdicts(name: str, pairs: Pairs) -> list[Verdict]:
    """One for each clock."""
    return [
        Verdict(name, clock, [[(before[k], now[k]) for before, now in rounds] for rounds in pairs])
        for k, clock in enumerate(CLOCKS)
    ]


# ------------------------------------------------------------------------------------------------------------------
# Rounds


def in_turn(before: Callable[[], Seconds], now: Callable[[], Seconds], rounds: int) -> list[Round]:
    """Ask both once a round, the other one first each time."""
    found = []
    for k in range(rounds):
        if k % 2:
            later = now()
            found.append((before(), later))
        else:
            found.append((before(), now()))
    return found


def steps(case: str, form: str, folders: Sequence[Path], pairs: int, rounds: int) -> Pairs:
    """Steps of a case in pairs of new processes. Raises Unsupported."""
    found = []
    for k in range(pairs):
        started = {
            folder: Process(CONTENDERS[form], "chain" if case == "chain" else "network", 1, folder)
            for folder in (folders if k % 2 else folders[::-1])
        }
        try:
            for folder in folders:
                answer = started[folder].ask(case)
                if "why" in answer:
                    raise Unsupported(answer["why"])
            found.append(in_turn(*(started[folder].ask for folder in folders), rounds))
        finally:
            for process in started.values():
                process.end()
    return found


def imports(folders: Sequence[Path], pairs: int, rounds: int) -> Pairs:
    """Processes that import the library and do nothing else."""

    def once(folder: Path) -> Seconds:
        environment = os.environ | {"PYTHONPATH": str(folder)} | dict.fromkeys(THREADS, "1")
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-c", "import tinygrad_conv"], cwd=folder, env=environment, check=True)
        after = os.times()
        worked = after.children_user + after.children_system - before.children_user - before.children_system
        return time.perf_counter() - start, max(worked, 0.01)  # which the system counts in hundredths

    for folder in folders:
        once(folder)  # writes its bytecode
    before, now = (partial(once, folder) for folder in folders)
    return [in_turn(before, now, rounds) for _ in range(pairs)]


def measured(name: str, folders: Sequence[Path], pairs: int, rounds: int) -> list[Verdict]:
    """The verdicts on a workload such as ``"cnn plain"``; again if it is slower by one of them. Raises Unsupported."""

    def once() -> list[Verdict]:
        if name == "import":
            return verdicts(name, imports(folders, pairs, rounds))
        return verdicts(name, steps(*name.split(maxsplit=1), folders, pairs, rounds))

    first = once()
    if not any(verdict.slower for verdict in first):
        return first
    return [min(both, key=lambda it: it.ratio / it.bound) for both in zip(first, once(), strict=True)]


# ------------------------------------------------------------------------------------------------------------------
# Commits


def _git(*command: str, text: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=text, check=False)


def parent() -> str | None:
    """Where this commit left main, or the one before it; None if there is none, as in a shallow clone."""
    head = _git("rev-parse", "HEAD").stdout.strip()
    left = _git("merge-base", "HEAD", "origin/main").stdout.strip()
    if left and left != head:
        return left
    return _git("rev-parse", "--verify", "--quiet", "HEAD^").stdout.strip() or None


def excuse(base: str) -> str | None:
    """Why a commit since `base` is meant to be slower, if one says so."""
    lines = _git("log", "--format=%B", f"{base}..HEAD").stdout.splitlines()
    return next((line for line in lines if line.startswith("Slower: ")), None)


@contextmanager
def copies(base: str) -> Iterator[tuple[Path, Path]]:
    """Folders with the library at `base` and as it is here, both with the benchmarks of here."""
    packed = _git("archive", base, PARTS[0], text=False)
    if packed.returncode:
        raise SystemExit(f"guard: expected a commit, got {base!r}: {packed.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder:
        before, now = Path(folder, "before"), Path(folder, "now")
        with closing(tarfile.open(fileobj=io.BytesIO(packed.stdout))) as archive:
            archive.extractall(before, filter="data")
        for part in PARTS:
            for to in (now,) if part == PARTS[0] else (before, now):
                shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
        yield before, now


# ------------------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks guard", description=__doc__)
    parser.add_argument("base", nargs="?", help="a commit; by default where this branch left main, or the one before")
    parser.add_argument("--short", action="store_true", help="within 90 seconds: no compiled kernels, fewer rounds")
    options = parser.parse_args(arguments)
    base = options.base or parent()
    if base is None:
        print("guard: there is no commit before this one here, so nothing is compared")
        return
    pairs, rounds = SHORT if options.short else LONG
    forms = [form for form in (SHORT_FORMS if options.short else FORMS) if not CONTENDERS[form].missing()]
    print(f"before: {_git('log', '-1', '--format=%h %s', base).stdout.strip()}; now: {ROOT}", flush=True)
    with copies(base) as folders:
        found: list[Verdict] = []
        left_out = []
        for name in ("import", *(f"{case} {form}" for case in CASES for form in forms)):
            try:
                found += measured(name, folders, pairs, rounds)
            except Unsupported as error:
                left_out.append(f"{name} ({error})")
    header = ["one thread", "time of the", "before, ms", "now, ms", "now / before", "noise", "bound", ""]
    print(table(header, [verdict.row() for verdict in found]))
    if left_out:
        print(f"Left out: {'; '.join(left_out)}.")
    slower = dict.fromkeys(verdict.name for verdict in found if verdict.slower)
    said = excuse(base)
    if slower and said:
        print(f"guard: slower by intention: {said}")
    elif slower:
        raise SystemExit(f"guard: slower than before: {', '.join(slower)}")
