"""``tinygrad-conv check [PATTERN]``: every property of every primitive, on drawn samples, from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from ..engine.primitive import Primitive
from .checks import check_primitive
from .draw import Draw
from .mutation import matching
from .report import GradientError

__all__ = ["Result", "main", "run_battery", "table"]


@dataclass
class Result:
    """What the battery found for one primitive.

    Attributes
    ----------
    examples : int
        Samples that were checked, the failing one included: it stops there.
    classes : set of str
        The boundary classes among them.
    error : GradientError or None
    seed : int or None
        Of the failing sample: ``Draw.seeded(seed)``.
    """

    primitive: Primitive
    examples: int = 0
    seconds: float = 0.0
    classes: set[str] = field(default_factory=set)
    error: GradientError | None = None
    seed: int | None = None

    @property
    def replay(self) -> str:
        """The command that checks the failing sample again."""
        return f"tinygrad-conv check {self.primitive.name} --examples 1 --seed {self.seed}"


def run_battery(pattern: str | None = None, examples: int = 20, seed: int = 0, progress: bool = True) -> list[Result]:
    """Check all properties of the primitives that match, each on some samples.

    Parameters
    ----------
    pattern : str or None
        Of primitive names, as in a shell (``"conv*"``); all when None.
    examples, seed : int
        The samples are ``Draw.seeded(seed)``, ``Draw.seeded(seed + 1)``, ...
    progress : bool
        Show a bar, if the error stream is a terminal.

    Raises ArgumentError, naming the nearest primitive, if none matches.

    >>> [(r.primitive.name, r.examples, r.error) for r in run_battery("relu", examples=3)]
    [('relu', 3, None)]
    """
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    results = []
    with tqdm(matching(pattern or "*"), unit="primitive", disable=None if progress else True, leave=False) as bar:
        for primitive in bar:
            bar.set_postfix_str(primitive.name)
            results.append(_run(primitive, range(seed, seed + examples)))
    return results


def _run(primitive: Primitive, seeds: Sequence[int]) -> Result:
    result = Result(primitive)
    start = perf_counter()
    for seed in seeds:
        draw = Draw.seeded(seed)
        result.examples += 1
        try:
            check_primitive(primitive, draw)
        except GradientError as error:
            result.error, result.seed = error, seed
            break
        finally:
            result.classes |= draw.classes
    result.seconds = perf_counter() - start
    return result


def table(results: Sequence[Result]) -> str:
    """One line for each primitive, and one for all.

    >>> print(table([Result(matching("relu")[0], examples=3, seconds=0.01, classes={"0-d", "empty"})]))
    primitive  kind         samples  classes  seconds
    relu       elementwise        3        2     0.01  holds
    1 primitive, 3 samples, 0.0 s: all properties hold
    """
    width = max(len("primitive"), *(len(result.primitive.name) for result in results))
    lines = [f"{'primitive':{width}}  {'kind':11}  samples  classes  seconds"]
    for r in results:
        found = "holds" if r.error is None else f"FAILS {r.error.report.property}".rstrip()
        name, kind = r.primitive.name, r.primitive.kind
        lines.append(f"{name:{width}}  {kind:11}  {r.examples:7}  {len(r.classes):7}  {r.seconds:7.2f}  {found}")
    failed = sum(r.error is not None for r in results)
    n, samples, seconds = len(results), sum(r.examples for r in results), sum(r.seconds for r in results)
    end = f"{failed} failed" if failed else "all properties hold"
    lines.append(f"{n} primitive{'s' * (n != 1)}, {samples} samples, {seconds:.1f} s: {end}")
    return "\n".join(lines)


def main(options: argparse.Namespace) -> int:
    """``tinygrad-conv check``: 0 if all properties hold, 1 if not; a bad pattern raises ArgumentError."""
    results = run_battery(options.pattern, options.examples, options.seed, progress=not options.quiet)
    for result in results:
        if result.error is not None:
            print(f"{result.error}\nreplay: {result.replay}\n")
    text = table(results)
    print(text.splitlines()[-1] if options.quiet else text)
    return int(any(result.error is not None for result in results))
