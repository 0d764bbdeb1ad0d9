"""Contenders in processes of their own, all alive together and asked for one step in turn, so that the machine's moods
hit all alike.

With one thread, a process is also held to one core, as not every library can be told otherwise.
"""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS, Contender, Unsupported

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
WARM_UP = 2  # steps after the first
BLOCK = 0.04  # seconds of steps that are timed together: one step, or as many as this takes
PAUSE = 0.04  # seconds until the threads of the contender before sleep


def all_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ------------------------------------------------------------------------------------------------------------------
# The child


def serve(name: str, kind: str, threads: int) -> None:
    """Build cases and time their steps, as told line by line; whatever libraries print is dropped."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    answers, silence = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    step, repeat = None, 1
    for line in sys.stdin:
        answer: Any
        try:
            if line.strip():
                step = None  # frees the case before
                step, answer = _build(CONTENDERS[name], kind, line.strip())
                repeat = max(1, round(BLOCK / answer["seconds"])) if kind != "epoch" else 1
            else:
                answer = _seconds(step, repeat)
        except Unsupported as error:
            answer = {"why": str(error)}
        except Exception as error:
            answer = {"why": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def _build(contender: Contender, kind: str, case: str) -> tuple[Any, dict[str, Any]]:
    step = contender.build(kind, case)
    contender.start()
    gc.collect()
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # where there is a /proc
        file.write("5")  # the high-water mark falls to what is resident now
    before = _resident("VmRSS")
    results = [_numbers(step())]
    started = time.time()
    seconds = 0.0
    for _ in range(0 if kind == "epoch" else WARM_UP):
        start = time.perf_counter()
        results.append(_numbers(step()))
        seconds = time.perf_counter() - start
    memory = None if before is None else _resident("VmHWM") - before
    return step, {"results": results, "started": started, "seconds": seconds, "memory": memory}


def _seconds(step: Any, repeat: int) -> tuple[float, float]:
    """By the clock, and by the processor."""
    step()  # not timed: caches, and threads that slept, are still as the contender before has left them
    start, worked = time.perf_counter(), time.process_time()
    for _ in range(repeat):
        step()
    return (time.perf_counter() - start) / repeat, (time.process_time() - worked) / repeat


def _resident(key: str) -> Any:
    """MB."""
    with suppress(OSError), open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1000 for line in file if line.startswith(key))
    return None


def _numbers(result: Any) -> list[float]:
    """What contenders must agree on: a loss, or sums of arrays."""
    if isinstance(result, list):
        return [number for one in result for number in _numbers(one)]
    if hasattr(result, "sum"):
        return [float(result.sum())]
    return [float(result)] if isinstance(result, float) else []


# ------------------------------------------------------------------------------------------------------------------
# The parent


@dataclass
class Result:
    """What a contender took for a case: seconds per step by round, MB, and seconds to the end of the first step."""

    contender: Contender
    times: list[float] = field(default_factory=list)
    memory: float | None = None
    start: float = 0.0
    results: list[list[float]] = field(default_factory=list)


class Process:
    """A contender at work."""

    def __init__(self, contender: Contender, kind: str, threads: int, folder: Path | None = None) -> None:
        environment = os.environ | contender.environment | {variable: str(threads) for variable in THREADS}
        if folder is not None:  # with a library and benchmarks of its own
            environment["PYTHONPATH"] = str(folder)
        self.contender, self.asked = contender, time.time()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "--serve", contender.name, kind, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder,
        )  # fmt: skip

    def ask(self, case: str = "") -> Any:
        """Build a case, or time a block of steps of the one that is built."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        with suppress(BrokenPipeError):
            self.child.stdin.write(case + "\n")
            self.child.stdin.flush()
        line = self.child.stdout.readline()
        return json.loads(line) if line else {"why": "its process died"}

    def end(self) -> None:
        self.child.kill()
        self.child.communicate()


def _agree(ours: list[list[float]], theirs: list[list[float]]) -> bool:
    """To a thousandth: losses of three steps in float32. A floor computes nothing, and agrees."""
    return not any(theirs) or all(
        len(a) == len(b) and all(math.isclose(m, n, rel_tol=1e-3) for m, n in zip(a, b, strict=True))
        for a, b in zip(ours, theirs, strict=True)
    )


def compare(
    kind: str, cases: Iterable[str], contenders: Sequence[Contender], threads: int, rounds: int, seconds: float
) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """The results of each case, in the contenders' order, and why which contenders are left out.

    A contender that has used up its `seconds` for a case is not asked again after three rounds.
    """
    left_out: dict[str, str] = {}
    alive: list[Process] = []
    found: dict[str, list[Result]] = {}
    try:
        for case in cases:
            found[case] = []
            running: list[tuple[Process, Result]] = []
            for contender in contenders:
                process = next((p for p in alive if p.contender is contender), None)
                if process is None and contender.name not in left_out:
                    process = Process(contender, kind, threads)
                    alive.append(process)
                if process is None:
                    continue
                answer = process.ask(case)
                # Not one of them is timed at other work than the first.
                if "why" not in answer and found[case] and not _agree(found[case][0].results, answer["results"]):
                    answer = {"why": f"computes {answer['results']} where others compute {found[case][0].results}"}
                if "why" in answer:
                    left_out[contender.name] = answer["why"]
                    alive.remove(process)
                    process.end()
                    continue
                result = Result(contender, [], answer["memory"], answer["started"] - process.asked, answer["results"])
                running.append((process, result))
                found[case].append(result)
            for number in range(rounds):
                for process, result in running:
                    if number < 3 or sum(result.times) < seconds:
                        time.sleep(PAUSE if threads > 1 else 0)
                        result.times.append(process.ask()[0])
    finally:
        for process in alive:
            process.end()
    return found, left_out


def once(
    kind: str, case: str, contenders: Sequence[Contender], threads: int, rounds: int
) -> tuple[list[Result], dict[str, str]]:
    """As `compare`, with a new process for each step: what is timed is all of it, from its start to the step's end."""
    results = {contender.name: Result(contender) for contender in contenders}
    left_out: dict[str, str] = {}
    for _ in range(rounds):
        for name, result in results.items():
            if name in left_out:
                continue
            process = Process(result.contender, kind, threads)
            answer = process.ask(case)
            process.end()
            if "why" in answer:
                left_out[name] = answer["why"]
            else:
                result.times.append(answer["started"] - process.asked)
                result.memory, result.results = answer["memory"], answer["results"]
    return [result for result in results.values() if result.times], left_out


def imports(packages: dict[str, dict[str, str]], rounds: int) -> dict[str, list[float]]:
    """Seconds of whole processes that import a package, in an environment, and do nothing else; round by round."""
    times: dict[str, list[float]] = {package: [] for package in packages}
    for _ in range(rounds):
        for package, environment in packages.items():
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", f"import {package}"], env=os.environ | environment, check=True,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            times[package].append(time.perf_counter() - start)
    return times
