"""Results as Markdown tables, which are what is printed and what `docs/benchmarks.md` has."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import geometric_mean, median

from tinygrad_conv.kernels.blas import chosen

from .cases import call
from .measure import Result, all_cores
from .networks import NETWORKS, flops
from .scale import AFTER

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by `python -m benchmarks --write`: begin -->", "<!-- end -->"
NONE = "–"
Row = Sequence[str]
Runs = dict[int, dict[str, list[Result]]]  # by number of threads and by case


def table(header: Row, rows: Sequence[Row]) -> str:
    """Markdown, its columns padded: the first to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [
            cell.ljust(width) if not k else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (header, rule, *rows)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.4f}"


def ratio(a: Result, b: Result) -> float:
    """The median of the ratios round by round; of the rounds that both have."""
    return median(x / y for x, y in zip(a.times, b.times, strict=False))


def best_of_ours(results: Sequence[Result]) -> list[Result]:
    """The fastest of our forms on NumPy alone, and of all, as far as there are any."""
    ours = [result for result in results if result.contender.ours]
    plain = [result for result in ours if result.contender.plain]
    best = [min(forms, key=lambda result: median(result.times)) for forms in (plain, ours) if forms]
    return best if len(best) == 2 and best[0] is not best[1] else best[:1]


def threads_of(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def by_contender(runs: Runs) -> str:
    """A row for each contender: for each number of threads its median, and the best of our forms over it.

    That is the best on NumPy alone, and the best of all.
    """
    return _contenders(runs, "ms", 1e3, "first step, s")


def by_process(runs: Runs) -> str:
    """As `by_contender`, of whole processes."""
    return _contenders(runs, "s", 1, None)


def _contenders(runs: Runs, unit: str, per_second: float, start: str | None) -> str:
    header, cells, columns = ["contender"], {}, {}
    last: dict[str, Result] = {}
    for count, cases in runs.items():
        (results,) = cases.values()
        best = best_of_ours(results)
        header += [f"{unit}, {threads_of(count)}", *(f"{ours.contender.name} / it" for ours in best)]
        columns[count] = 1 + len(best)
        for result in results:
            last.setdefault(result.contender.name, result)
            cells[result.contender.name, count] = [
                number(median(result.times) * per_second), *(f"{ratio(ours, result):.2f}" for ours in best),
            ]  # fmt: skip
    rows = []
    for contender, result in last.items():
        row = [contender, *(cell for count in runs for cell in cells.get((contender, count), [NONE] * columns[count]))]
        floor = contender == "floor"  # whose memory and start mean nothing
        row.append(NONE if floor else number(result.memory))
        rows.append([*row, NONE if floor else number(result.start)] if start else row)
    return table([*header, "peak MB", start] if start else [*header, "peak MB"], rows)


def by_primitive(runs: Runs) -> str:
    """A row for each call: our time over that of the better of PyTorch's two; then the geometric means of all."""
    parts = []
    for count, cases in runs.items():
        ratios: dict[tuple[str, str], dict[str, float]] = {}  # by form and direction, and by call
        for case, results in cases.items():
            name, shapes, direction = case.split()
            peers = [result for result in results if not result.contender.ours]
            if peers:
                peer = min(peers, key=lambda result: median(result.times))
                for result in results:
                    if result.contender.ours:
                        calls = ratios.setdefault((result.contender.name, direction), {})
                        calls[f"{name} {shapes}"] = ratio(result, peer)
        each = [(f"`{case.split()[0]}` {call(case)[1]}", case.rsplit(maxsplit=1)[0]) for case in cases]
        rows = [
            [spelled, *(f"{calls[of]:.2f}" if of in calls else NONE for calls in ratios.values())]
            for spelled, of in dict.fromkeys(each)
        ]
        means = [f"{geometric_mean(calls.values()):.2f}" for calls in ratios.values()]
        columns = [f"{form}, {'forward' if way == 'forward' else 'and back'}" for form, way in ratios]
        everything = [f"all {len(rows)}, geometric mean", *means]
        parts.append(table([f"ours / PyTorch's best, {threads_of(count)}", *columns], [*rows, everything]))
    return "\n\n".join(parts)


def by_size(runs: Runs) -> str:
    """A row for each size: µs per image, and the cost of a FLOP over the contender's least (×)."""
    parts = []
    for count, cases in runs.items():
        names = list(dict.fromkeys(result.contender.name for results in cases.values() for result in results))
        each = {
            (result.contender.name, case): median(result.times) for case, results in cases.items() for result in results
        }
        costs = {(name, case): seconds / flops(NETWORKS[case]) for (name, case), seconds in each.items()}
        least = {name: min(cost for (other, _), cost in costs.items() if other == name) for name in names}
        rows = []
        for case in cases:
            row = [case]
            for name in names:
                per_image = each[name, case] / NETWORKS[case].batch * 1e6
                row += [number(per_image), f"{costs[name, case] / least[name]:.2f}"]
            rows.append(row)
        header = [cell for name in names for cell in (f"{name}, µs", "×")]
        parts.append(table([f"size, {threads_of(count)}", *header], rows))
    return "\n\n".join(parts)


def by_case(runs: Runs) -> str:
    """A row for each case."""
    parts = []
    for cases in runs.values():
        names = list(dict.fromkeys(result.contender.name for results in cases.values() for result in results))
        rows = [
            [
                case,
                *(
                    next((number(median(r.times) * 1e3) for r in results if r.contender.name == name), NONE)
                    for name in names
                ),
            ]
            for case, results in cases.items()
        ]
        parts.append(table(["case", *(f"{name}, ms" for name in names)], rows))
    return "\n\n".join(parts)


def of_growth(growths: dict[str, tuple[float, float, float]]) -> str:
    rows = [
        [f"`{name.lstrip('_')}`", number(few * 1e3), number(many * 1e3), f"{growth:.2f}"]
        for name, (few, many, growth) in sorted(growths.items(), key=lambda item: -item[1][2])
    ]
    return table(["operation", "small, ms", "large, ms", "growth"], rows)


def of_scale(seconds: dict[str, dict[str, float]]) -> str:
    rows = []
    for net, of in seconds.items():
        one = of["1 thread"]
        shown = [of.get(way) for way in ("2 threads", "2 ranks", AFTER)]
        cells = [cell for t in shown for cell in ((number(t * 1e3), f"{one / t / 2:.0%}") if t else (NONE, NONE))]
        rows.append([f"`{net}`", number(one * 1e3), *cells])
    return table(
        [
            "net",
            "1 thread, ms",
            "2 threads, ms",
            "efficiency",
            "2 ranks, ms",
            "efficiency",
            f"{AFTER}, ms",
            "efficiency",
        ],
        rows,
    )


def of_imports(times: dict[str, list[float]]) -> str:
    base = median(times["numpy"])
    rows = [
        [package, number(median(values) * 1e3), number((median(values) - base) * 1e3) if package != "numpy" else NONE]
        for package, values in times.items()
    ]
    return table(["package", "ms", "over NumPy's, ms"], rows)


# ------------------------------------------------------------------------------------------------------------------
# Where and when, and the page


def circumstances() -> str:
    """The date, the machine, the BLAS and the versions, in a sentence."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("tinygrad-conv", "numpy", "numba", "torch", "jax", "keras", "mygrad", "autograd"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return f"{time.strftime('%Y-%m-%d')}, {processor()} with {all_cores()} cores, {chosen()}; {', '.join(versions)}."


def processor() -> str:
    with suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return f"{found[1]} ({platform.machine()})"
    return platform.processor() or platform.machine()


def write(text: str) -> None:
    """Put the text between the marks on the page."""
    from tinygrad_conv import files

    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"benchmarks: {PAGE} has no marks {BEGIN} and {END}")
    files.write(PAGE, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
