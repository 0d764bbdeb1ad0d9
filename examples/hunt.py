"""A hunt for wrong gradients in PyTorch, JAX, autograd and MyGrad.

    python examples/hunt.py --minutes 30                    all four
    python examples/hunt.py --library torch mish 'hard*'    some operations of one

Arguments come from the samples with which this library checks its own operations. A case counts if their function has
the value of ours there, and the gradient of ours passes. Then theirs is checked in the same way, to second order. What
fails is made smaller, and written down as a program that needs their library only. What was found: docs/hunt.md.
"""

import argparse
import logging
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from time import perf_counter

import numpy as np
from hunting.operations import LIBRARIES, OURS, SAMPLES
from hunting.programs import element, number, program

import tinygrad_conv as tg
from tinygrad_conv.testing import GradientError, Report, check_gradients
from tinygrad_conv.testing.draw import Draw
from tinygrad_conv.testing.replay import shrunk_arguments

PROPERTIES = ["repeatable", "jvp_vs_numeric", "vjp_vs_numeric", "adjoint", "vjp_vs_jvp", "second_order", "not_mutated"]


@dataclass
class Found:
    """A wrong gradient: of which call, what the check says, and a program that shows it ("" if none was found)."""

    operation: str
    call: str
    report: Report
    program: str


@dataclass
class Hunt:
    """What was found in a library, each kind of mistake once, and how many cases of each operation were checked."""

    library: str
    found: list[Found] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # what it says that it cannot do


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("patterns", nargs="*", default=["*"], metavar="OPERATION")
    parser.add_argument("--library", choices=list(LIBRARIES), action="append")
    parser.add_argument("--minutes", type=float, default=30, help="in all (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample (default: 0)")
    options = parser.parse_args()
    libraries = options.library or list(LIBRARIES)
    for library in libraries:
        print(told(hunt(library, options.patterns, 60 * options.minutes / len(libraries), options.seed)), flush=True)


def hunt(library, patterns=("*",), seconds=60.0, seed=0, samples=1000):
    """Check a library's operations, one sample of each in turn, as long as there is time."""
    result, kinds, agreed, end = Hunt(library), set(), set(), perf_counter() + seconds
    calls = {n: call for n, call in LIBRARIES[library].calls.items() if any(fnmatch(n, p) for p in patterns)}
    for k in range(seed, seed + samples):
        for operation, template in calls.items():
            if perf_counter() > end:
                return result
            args, keywords = sample(operation, k)
            names = "abcd"[: len(args)]
            call = template.format(*args, args=", ".join(names), **keywords)
            with warnings.catch_warnings(), np.errstate(all="ignore"), heard(result.missing):
                warnings.simplefilter("ignore")
                f, ours = adapted(library, call, names), partial(OURS[operation], **keywords)
                same = same_value(f, ours, args)
                if same:
                    agreed.add(operation)
                if not (operation in agreed if same is None else same):
                    continue
                result.checked[operation] = result.checked.get(operation, 0) + 1
                error = failure(operation, f, args, k)
                if error is None or (operation, kind(error)) in kinds or failure(operation, ours, args, k):
                    continue
                kinds.add((operation, kind(error)))
                result.found.append(smaller(library, operation, call, f, args, k, error))
    return result


@contextmanager
def heard(lines):
    """What checks say that a library cannot do."""
    log, handler = logging.getLogger("tinygrad_conv.testing.checks"), logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def sample(operation, seed):
    """Arguments and keywords: some with ties and zeros, some large."""
    args, keywords = SAMPLES[operation](Draw.seeded(seed, ties=seed % 3 == 1))
    primitive = tg.primitives().get(operation)
    if seed % 4 == 3 and primitive and set(primitive.domain) == {(-3.0, 3.0)}:
        args = tuple(300 * x if x.dtype.kind == "f" else x for x in args)
    return args, keywords


def adapted(library, call, names):
    """A call that is written down, as an operation that can be checked."""
    its = LIBRARIES[library]
    return its.adapter(eval(f"lambda {', '.join(names)}: {call}", its.names()))


def same_value(f, ours, args):
    """Do both take these arguments, and mean the same by them? None: their results are empty, and do not tell."""
    try:
        y, our_y = np.asarray(f(*args)), np.asarray(ours(*args))
    except Exception:
        return False
    if y.shape != our_y.shape:
        return False
    return np.allclose(y, our_y, rtol=1e-9, equal_nan=True) if y.size else None


def failure(name, f, args, seed, explain=False):
    """The error of a wrong gradient; None if it is right, or cannot be checked."""
    try:
        check_gradients(f, *args, name=name, seed=seed, properties=PROPERTIES, explain=explain)
    except GradientError as error:
        return error
    except tg.errors.TinygradConvError:
        pass
    return None


def kind(error):
    """What two examples of one mistake have in common."""
    return error.kind or re.sub(r"\(.*?\)|\d+", "", error.report.message)[:30]  # in all shapes


def smaller(library, operation, call, f, args, seed, error):
    """The same mistake at the smallest arguments that show it."""

    def fails(trial):
        found = failure(operation, f, trial, seed)
        return found is not None and kind(found) == kind(error)

    for _ in range(3):  # each ends after some seconds
        before, args = args, shrunk_arguments(args, fails)[0]
        if all(map(np.array_equal, before, args)):
            break
    report = (failure(operation, f, args, seed, explain=True) or error).report
    alone = [at(x, report.index) if np.shape(x) == np.shape(args[number(report.argument)]) else x for x in args]
    if report.index and fails(alone):
        args, report = alone, failure(operation, f, alone, seed, explain=True).report
    return Found(operation, call, report, program(LIBRARIES[library], call, f, args, report))


def at(x, index):
    """An element, as an array of as many dimensions."""
    return x[tuple(slice(i, i + 1) for i in index or ())]


def told(hunt):
    """A table of what was found, and under it the programs."""
    rows = [("operation", "configuration", "property", "element", "theirs", "numeric")]
    for each in hunt.found:
        r = each.report
        place, numbers = r.message, ("", "")
        if r.index is not None:
            place = f"d {r.output}{element(r.output_index)} / d {r.argument}{element(r.index)}"
            numbers = (f"{r.analytic:.9g}", f"{r.numeric:.9g}")
        rows.append((each.operation, each.call[:50], r.property, place[:60], *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    n = sum(hunt.checked.values())
    lines.append(f"{hunt.library}: {n} cases of {len(hunt.checked)} operations, {len(hunt.found)} mistakes")
    lines += [f"  {line[:117]}" for line in hunt.missing]
    for each in hunt.found:
        lines += ["", f"# {each.operation}: {each.report.message}", each.program or f"# {each.call}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
