"""``python -m benchmarks [WORKLOAD...]``: each workload in this library and in every peer that is installed.

Each contender runs in a process of its own, all alive together and asked for one step in turn (or for as many as take
40 ms), after one that is not timed. Printed are medians; medians of the ratios round by round; peak memory, over what
was resident before the first step; and the seconds from the start of the process to the end of the first step. All
contenders train the same network from the same weights on the same data, and one whose losses differ is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from fnmatch import fnmatch

from . import cluster, growth, guard, measure, scale, tables
from .contenders import CONTENDERS
from .measure import all_cores
from .workloads import AT_ALL_CORES, PACKAGES, WORKLOADS, Workload, quick

LAYOUTS = {"primitive": tables.by_primitive, "graph": tables.by_case, "epoch": tables.by_process}
SECONDS = (2.0, 0.5)  # that a contender may use for a case: of a workload with one, with many


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        return measure.serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    if sys.argv[1:2] == ["guard"]:
        return guard.main(sys.argv[2:])
    if sys.argv[1:] == ["cluster"]:
        return cluster.main()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--threads", type=int, nargs="+", help="by default 1 and all cores, for what gains from them")
    parser.add_argument("--rounds", type=int, help="how often each is asked (11, or 5 where there are many cases)")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="contenders, as in 'torch*' plain")
    parser.add_argument("--quick", action="store_true", help="few rounds and cases, no torch.compile")
    parser.add_argument("--data-dir", help="where MNIST's files are, for epoch; else $TINYGRAD_CONV_DATA, else noise")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {tables.PAGE}")
    options = parser.parse_args()
    if unknown := set(options.workload) - set(WORKLOADS):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; choose from {', '.join(WORKLOADS)}")
    if options.data_dir:
        os.environ["TINYGRAD_CONV_DATA"] = options.data_dir
    started = time.time()
    text = tables.circumstances()
    print(text, flush=True)
    for name in options.workload or WORKLOADS:
        workload = WORKLOADS[name]
        if options.quick:
            workload = quick(workload)
        threads = options.threads or sorted({1, all_cores() if name in AT_ALL_CORES else 1})
        about = workload.about[0].upper() + workload.about[1:]
        part = f"### `{name}`\n\n{about}.\n\n{run(workload, threads, options)}"
        print(f"\n{part}", flush=True)
        text += f"\n\n{part}"
    print(f"\n{time.time() - started:.0f} s in all")
    if options.write:
        tables.write(text)
    return None


def run(workload: Workload, threads: list[int], options: argparse.Namespace) -> str:
    """The workload's table, and who is left out."""
    rounds = options.rounds or (3 if options.quick else 5 if len(workload.cases) > 1 else 11)
    if workload.kind == "import":
        installed = {name: it for name, it in PACKAGES.items() if importlib.util.find_spec(name)}
        return tables.of_imports(measure.imports(installed, min(rounds, 5)))
    if workload.kind == "scale":
        return tables.of_scale(scale.measured(min(rounds, 5)))
    if workload.kind == "growth":
        known = growth.cases().items()
        return tables.of_growth({name: growth.growth(case, min(rounds, 3)) for name, case in known})
    left_out: dict[str, str] = {}
    contenders = []
    for name in workload.contenders:
        contender = CONTENDERS[name]
        if not any(fnmatch(name, pattern) for pattern in options.only):
            continue
        if missing := contender.missing():
            left_out[name] = f"not installed: {', '.join(missing)}"
        else:
            contenders.append(contender)
    runs = {}
    for count in threads:
        if workload.kind == "epoch":
            results, why = measure.once(workload.kind, workload.cases[0], contenders, count, options.rounds or 1)
            runs[count] = {workload.cases[0]: results}
        else:
            seconds = SECONDS[len(workload.cases) > 1] / (4 if options.quick else 1)
            runs[count], why = measure.compare(workload.kind, workload.cases, contenders, count, rounds, seconds)
        left_out |= why
    shown = LAYOUTS.get(workload.kind, tables.by_contender)
    if workload.kind == "network" and len(workload.cases) > 1:
        shown = tables.by_size
    lines = [f"Left out: {'; '.join(f'{name} ({why})' for name, why in left_out.items())}."] if left_out else []
    return "\n\n".join([shown(runs), *lines])


if __name__ == "__main__":
    main()
