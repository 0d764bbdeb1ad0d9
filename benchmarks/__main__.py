"""``python -m benchmarks [WORKLOAD...] [--threads N] [--rounds N]``.

Each contender runs in a process of its own, all alive together and asked for one step in turn, so that the machine's
moods hit all alike. Printed are medians, and the median of the ratios round by round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from .workloads import WORKLOADS

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
NEEDS = {"torch": "torch", "mygrad": "mygrad"}


def serve(workload: str, contender: str) -> None:
    """Child process: build the step, warm up, then time one step per line read."""
    if contender.startswith("torch"):
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    step = WORKLOADS[workload][contender]()
    for _ in range(3):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


class Contender:
    """One child process."""

    def __init__(self, workload: str, name: str, threads: int) -> None:
        environment = os.environ | {variable: str(threads) for variable in THREADS}
        self.name = name
        self.times: list[float] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "--serve", workload, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.read()

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"benchmarks: {self.name} failed")
        return line

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(float(self.read()))


def compare(workload: str, threads: int, rounds: int) -> None:
    names = [n for n in WORKLOADS[workload] if all(_installed(m) for k, m in NEEDS.items() if n.startswith(k))]
    contenders = [Contender(workload, name, threads) for name in names]
    for _ in range(rounds):
        for contender in contenders:
            contender.ask()
    for contender in contenders:
        contender.process.kill()
    ours = contenders[0].times
    print(f"\n{workload}, {threads} thread{'s' if threads > 1 else ''}, {rounds} rounds")
    print(f"  {'':24}{'median ms':>10}{'min ms':>10}{'ours / it':>12}")
    for contender in contenders:
        ratio = statistics.median(a / b for a, b in zip(ours, contender.times, strict=True))
        median, least = statistics.median(contender.times), min(contender.times)
        print(f"  {contender.name:24}{median * 1e3:10.2f}{least * 1e3:10.2f}{ratio:12.3f}")


def startup(rounds: int = 9) -> None:
    """Import time over that of NumPy, in fresh processes, interleaved."""
    commands = {"numpy": "import numpy", "tinygrad_conv": "import tinygrad_conv"}
    if _installed("torch"):
        commands["torch"] = "import torch"
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            times[name].append(time.perf_counter() - start)
    print("\nimport, whole process")
    base = statistics.median(times["numpy"])
    for name, values in times.items():
        print(f"  {name:24}{statistics.median(values) * 1e3:10.1f} ms{(statistics.median(values) - base) * 1e3:+10.1f}")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:4])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"one of {', '.join(WORKLOADS)}, import; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    unknown = set(options.workload) - {*WORKLOADS, "import"}
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; choose from {', '.join(WORKLOADS)}, import")
    import numpy

    print(json.dumps({
        "machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(),
        "numpy": numpy.__version__, "date": time.strftime("%Y-%m-%d"),
    }))  # fmt: skip
    for workload in options.workload or [*WORKLOADS, "import"]:
        if workload == "import":
            startup()
        else:
            compare(workload, options.threads, options.rounds)
    return None


if __name__ == "__main__":
    main()
