"""Does the battery see a wrong rule? Plant wrong rules in primitives, and count how many the checks kill.

A classical mistake (see `mistakes`) planted in one rule of one primitive is a `Mutant`. `run_mutants` plants every
mistake in every rule it fits and runs the battery on drawn samples: each mutant is *killed* (by a named property),
*survives*, or is *not applicable*, which has to be shown: no drawn sample is of the kind it spoils, or no derivative to
second order of any such sample changes.

Where rules come from decides where they can be wrong: an elementwise derivative serves both modes, so it is spoiled in
both; a VJP and a JVP are spoiled one by one, and those of an opaque primitive also together, as one wrong formula
would have it.

From the shell, with a table of which property alone would see which mistake::

    python -m tinygrad_conv.testing.mutation [PATTERN] [--table]
"""

from __future__ import annotations

import sys
import threading
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import numpy as np

from ..engine.modes import enable_grad
from ..engine.primitive import Primitive, primitives
from ..engine.rules import JVPS, NONDIFF, ON_TENSORS, VJPS, Rule
from ..engine.tensor import Tensor
from ..engine.walk import pull
from ..errors import ArgumentError
from .adapters import from_numpy
from .adapting import MissingRuleError
from .case import Case
from .checks import PROPERTIES, primitive_case, run
from .draw import Draw
from .mistakes import MUTATIONS, Call, Mutation, Situation
from .prepare import prepare
from .report import GradientError

__all__ = [
    "Mutant", "Verdict", "alive", "kill_table", "matching", "mutants_of", "mutants_of_function", "planted",
    "run_mutants", "run_on_function", "run_on_primitive", "summary",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


# ------------------------------------------------------------------------------------------------------------------
# Planting


@dataclass(frozen=True)
class Mutant:
    """A mutation in one rule: the VJP or the JVP of one input, or both, of one primitive."""

    primitive: Primitive
    k: int
    site: str  # "vjp", "jvp" or "both"
    mutation: Mutation

    @property
    def name(self) -> str:
        """What reports call it: ``conv: vjp of w: no flip``."""
        rule = {"vjp": "vjp", "jvp": "jvp", "both": "vjp and jvp"}[self.site]
        rule = "derivative" if self.primitive.kind == "elementwise" else rule
        argument = f"argument {self.k}" if self.primitive.variadic else self.primitive.inputs[self.k]
        return f"{self.primitive.name}: {rule} of {argument}: {self.mutation.name}"

    def fits(self, shapes: Sequence[Any], out: Any, params: Mapping[str, Any]) -> bool:
        """Is a sample with these shapes one that this mutant spoils?"""
        return self.k < len(shapes) and any(
            self.mutation.fits(Situation(kind_of(self.primitive), tuple(shapes), out, params, self.k, reverse))
            for reverse in (True, False) if self.site in ("both", "vjp" if reverse else "jvp")
        )  # fmt: skip


def kind_of(primitive: Primitive) -> str:
    """The primitive's kind; "function" for one that stands for a function of arrays (see `adapters`)."""
    return "function" if primitive.kind == "opaque" and primitive.variadic else primitive.kind


def mutants_of(primitive: Primitive, inputs: int = 2) -> Iterator[Mutant]:
    """Every mutation in every rule that the primitive has; of one with any number of inputs, for the first few."""
    sites = {"elementwise": ("both",), "opaque": ("vjp", "jvp", "both")}.get(primitive.kind, ("vjp", "jvp"))
    rules = primitive.vjps * inputs if primitive.variadic else primitive.vjps
    for k, rule in enumerate(rules):
        if rule is not NONDIFF:
            yield from (Mutant(primitive, k, site, mutation) for site in sites for mutation in MUTATIONS)


_planting = threading.RLock()
_planted: ContextVar[tuple[Mutant, ...]] = ContextVar("planted", default=())


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Inside the block, and in this thread only, the primitive's rule is wrong.

    >>> import tinygrad_conv as tg
    >>> negate = next(m for m in mutants_of(tg.primitives()["sin"]) if m.mutation.name == "negate")
    >>> with planted(negate):
    ...     tg.grad(tg.sin)(0.0)
    Tensor(-1.)
    >>> tg.grad(tg.sin)(0.0)
    Tensor(1.)
    """
    primitive, k = mutant.primitive, 0 if mutant.primitive.variadic else mutant.k
    with _planting:
        modes = {"vjp": (VJPS,), "jvp": (JVPS,), "both": (VJPS, JVPS)}[mutant.site]
        before = {form: primitive.compiled(form) for mode in modes for form in (mode, mode + ON_TENSORS)}
        token = _planted.set((*_planted.get(), mutant))
        try:
            for form, rules in before.items():
                constants = before[form - form % 2][k]
                wrong = _spoiled(mutant, rules[k], constants, reverse=form < JVPS)
                primitive.rules[form] = (*rules[:k], wrong, *rules[k + 1 :])
            yield
        finally:
            for form, rules in before.items():
                primitive.rules[form] = rules
            _planted.reset(token)


def _spoiled(mutant: Mutant, rule: Rule, constants: Rule, reverse: bool) -> Rule:
    """The wrong form of a compiled rule ``rule(g, node, saved, parents, i)``."""

    def wrong(g: Any, node: Any, saved: Any, parents: Any, i: int) -> Any:
        if i != mutant.k or mutant not in _planted.get():  # another thread's call, or another argument's
            return rule(g, node, saved, parents, i)

        def again(g: Any, params: Any, saved: Any) -> Any:
            kept, node.params = node.params, params
            try:
                return rule(g, node, saved, parents, i)
            finally:
                node.params = kept

        shapes = tuple(np.shape(a) if p is None else p.shape for a, p in zip(saved, parents, strict=False))
        call = Call(
            kind_of(mutant.primitive), shapes, node.shape, node.params, i, reverse,
            g, again, saved, lambda: constants(g, node, saved, parents, i),
        )  # fmt: skip
        if not mutant.mutation.fits(call):
            return call.right()
        with np.errstate(all="ignore"):
            return mutant.mutation.spoil(call)

    return wrong


# ------------------------------------------------------------------------------------------------------------------
# Judging


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant.

    Attributes
    ----------
    outcome : str
        "killed", "survived", "not applicable", or "rejected": the battery rejects the right rules, so it says nothing.
    by : str
        The property that killed it ("raises" if its rule raised), or the reason for another outcome.
    seed : int or None
        Of the sample that decided: ``Draw.seeded(seed)``.
    """

    mutant: str
    mutation: str
    outcome: str
    by: str = ""
    seed: int | None = None


class _Samples:
    """Samples of one function, each made once, with the derivatives that its right rules give there."""

    def __init__(self, make: Callable[[int], Case], seeds: Sequence[int]) -> None:
        self.make, self.seeds = make, seeds
        self.looked = 0  # at how many samples, for the last mutant
        self._cases: dict[int, Case] = {}
        self._right: dict[int, list[Array]] = {}

    def changed_by(self, mutant: Mutant, patience: int) -> Iterator[tuple[int, Case]]:
        """The samples where the mutant changes some derivative; gives up after so many that it fits, changing nothing.

        Raises GradientError if the battery rejects the right rules.
        """
        self.looked = found = 0
        for seed in self.seeds:
            case = self._cases.get(seed)
            if case is None:
                case = self._cases[seed] = self.make(seed)
            args = case.args or case.inputs
            shapes = [np.shape(x) for x in args]
            if not all(map(prod, (*shapes, case.y.shape))) or not mutant.fits(shapes, case.y.shape, case.params):
                continue
            self.looked += 1
            if seed not in self._right:
                run(_again(case))
                self._right[seed] = _derivatives(_again(case))
            with planted(mutant):
                changes = _changes(case, self._right[seed])
            if changes:
                found += 1
                yield seed, case
            elif not found and self.looked == patience:
                return


def _of_primitive(primitive: Primitive, seed: int, draws: int, turned: bool = False) -> _Samples:
    def make(seed: int) -> Case:
        return primitive_case(primitive, Draw.seeded(seed), explain=False, turned=turned)

    return _Samples(make, range(seed, seed + draws))


def _again(case: Case) -> Case:
    """The same function at the same point along the same directions: nothing that depends on a rule is known yet."""
    known = {name: getattr(case, name) for name in ("y", "tangents", "cotangent", "truth")}
    new = copy(case)
    for name in [name for name in vars(new) if hasattr(Case, name)]:  # cached properties
        del new.__dict__[name]
    new.__dict__.update(known, rng=np.random.default_rng(case.seed + 1))
    return new


def _derivatives(case: Case) -> list[Array]:
    """All first and second derivatives along the case's directions: what a mutant that changes anything changes."""
    cases, found = [case], []
    if case.order > 1:
        cases += [case.gradient_case] if "reverse" in case.modes else []
        cases += [case.tangent_case] if "forward" in case.modes else []
    for each in cases:
        with suppress(MissingRuleError):  # of another library, which has no such derivative
            found += [each.push(each.drawn)] if "forward" in case.modes else []
        with suppress(MissingRuleError):
            found += each.gradients if "reverse" in case.modes else []
    return found


def _changes(case: Case, right: Sequence[Array]) -> bool:
    with np.errstate(all="ignore"):
        try:
            found = _derivatives(_again(case))
        except GradientError:
            return True
        return not all(map(_equal, found, right))


def _equal(a: Array, b: Array) -> bool:
    """Equal but for rounding."""
    finite = np.isfinite(b)
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), finite):
        return False
    size = 1.0 + float(np.abs(b[finite]).max(initial=0.0))
    return bool(np.all(np.abs(a[finite] - b[finite]) <= 1e-11 * size))


def _killers(case: Case) -> Iterator[str]:
    """The properties that do not hold, each checked by itself; "raises" where a rule raises."""
    for name in PROPERTIES:
        try:
            run(_again(case), [name])
        except GradientError as error:
            yield name if error.report.property else "raises"


def _judge(mutant: Mutant, samples: _Samples, examples: int) -> Verdict:
    """Run the battery on samples that the mutant changes, until one kills it."""
    changed = 0
    name, mistake = mutant.name, mutant.mutation.name
    try:
        for seed, case in samples.changed_by(mutant, 2 * examples):
            with planted(mutant):
                killer = next(_killers(case), None)
            if killer is not None:
                return Verdict(name, mistake, "killed", killer, seed)
            changed += 1
            if changed == examples:
                break
    except GradientError as error:
        why = f"the battery rejects the right rules: {error.report.message}"
        return Verdict(mutant.primitive.name, mistake, "rejected", why)
    if changed:
        return Verdict(name, mistake, "survived", f"{changed} samples that it changes", samples.seeds[0])
    looked, all_ = samples.looked, len(samples.seeds)
    why = f"changes nothing in {looked} samples" if looked else f"fits none of {all_} samples"
    return Verdict(name, mistake, "not applicable", why)


def _judged(mutants: Iterable[Mutant], samples: _Samples, examples: int) -> list[Verdict]:
    """Verdicts on mutants of one primitive; if the battery rejects what is not spoiled, that ends it."""
    verdicts = []
    for mutant in mutants:
        verdicts.append(_judge(mutant, samples, examples))
        if verdicts[-1].outcome == "rejected":
            break
    return verdicts


def run_on_primitive(
    primitive: Primitive, mutants: Iterable[Mutant] | None = None, *,
    examples: int = 12, draws: int = 200, seed: int = 0, turned: bool = False,
) -> list[Verdict]:  # fmt: skip
    """Plant mistakes (all, or those given) in rules of one primitive, and let the battery judge: see `run_mutants`.

    With `turned`, samples are of complex numbers, checked as functions of real and imaginary parts.
    """
    samples = _of_primitive(primitive, seed, draws, turned)
    return _judged(mutants or mutants_of(primitive), samples, examples)


def run_mutants(
    pattern: str = "*", *, examples: int = 12, draws: int = 200, seed: int = 0,
    progress: Callable[[Sequence[Primitive]], Iterable[Primitive]] = iter,
) -> list[Verdict]:  # fmt: skip
    """Plant every mistake in every rule of the primitives that match, and let the battery judge.

    Parameters
    ----------
    pattern : str
        Of primitive names, as in a shell: ``"conv*"``.
    examples : int
        How many samples that it changes a mutant may survive. It is not applicable if it changes none of twice so many.
    draws : int
        How many samples are drawn to find some that a mutant fits.

    >>> print(summary(run_mutants("sin")))  # doctest: +ELLIPSIS
    mistake                                        killed survived not applicable
    scale by 1 + 1e-5                                   1        0              0
    ...
    gradmut: killed 8 of 8 mutants (100.0 %), 10 not applicable
    """
    return [
        verdict
        for primitive in progress(matching(pattern))
        for verdict in run_on_primitive(primitive, examples=examples, draws=draws, seed=seed)
    ]


def matching(pattern: str) -> list[Primitive]:
    """The registered primitives whose names match, as in a shell.

    Raises ArgumentError, naming the nearest, if none does.

    >>> [primitive.name for primitive in matching("conv*")]
    ['conv', 'conv_transpose', 'conv_kernel_gradient']
    """
    found = [p for name, p in primitives().items() if fnmatchcase(name, pattern)]
    if not found:
        near = get_close_matches(pattern.strip("*"), primitives(), 1, 0.0)[0]
        raise ArgumentError(f"no primitive matches {pattern!r}; did you mean {near!r}, or {near[:4] + '*'!r}?")
    return found


def alive(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each mutant that was not killed and should have been."""
    return [
        f"{verdict.outcome.upper()} {verdict.mutant} ({verdict.by})"
        for verdict in verdicts
        if verdict.outcome in ("survived", "rejected")
    ]


def summary(verdicts: Sequence[Verdict]) -> str:
    """A table of mistakes, the mutants that survived, and the kill rate in the last line."""
    counts = Counter((v.mutation, v.outcome) for v in verdicts)
    columns = ("killed", "survived", "not applicable")
    lines = [f"{'mistake':46} {' '.join(columns)}"]
    for mistake in (mutation.name for mutation in MUTATIONS):
        numbers = (f"{counts[mistake, column]:{len(column)}}" for column in columns)
        lines.append(f"{mistake:46} {' '.join(numbers)}")
    lines += alive(verdicts)
    total = Counter(v.outcome for v in verdicts)
    planted = total["killed"] + total["survived"] + total["rejected"]
    rate = 100 * total["killed"] / planted if planted else 100.0
    end = f"{total['not applicable']} not applicable"
    lines.append(f"gradmut: killed {total['killed']} of {planted} mutants ({rate:.1f} %), {end}")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------------------
# What each property alone would see


def kill_table(
    pattern: str = "*", *, examples: int = 3, seed: int = 0,
    progress: Callable[[Sequence[Primitive]], Iterable[Primitive]] = iter,
) -> str:  # fmt: skip
    """How many mutants each property alone would kill, as a Markdown table: of each mutation, and in all.

    Each mutant gets `examples` samples that it changes.

    >>> print(kill_table("sin").splitlines()[2])
    | scale by 1 + 1e-5 | 1 | 100 % | 100 % | 100 % | 0 % | 0 % | 0 % | 0 % | 0 % | 0 % |
    """
    columns = {
        "differences": {"jvp_vs_numeric", "vjp_vs_numeric"}, "forward only": {"jvp_vs_numeric"},
        "reverse only": {"vjp_vs_numeric"},
        "adjoint identity": {"adjoint"}, "single elements": {"vjp_vs_jvp"}, "second order": {"second_order"},
        "linearity": {"linearity"}, "zero cotangent": {"zero_cotangent"},
    }  # fmt: skip
    columns["all others"] = set(PROPERTIES) - set().union(*columns.values())
    planted_in: Counter[str] = Counter()
    killed: Counter[tuple[str, str]] = Counter()
    for primitive in progress(matching(pattern)):
        samples = _of_primitive(primitive, seed, draws=200)
        for mutant in mutants_of(primitive):
            killers = _all_killers(mutant, samples, examples)
            if killers is None:
                continue
            for row in (mutant.mutation.name, "all"):
                planted_in[row] += 1
                for column, properties in columns.items():
                    killed[row, column] += bool(properties & killers)
    lines = [f"| mutation | planted | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for row in (*(mutation.name for mutation in MUTATIONS), "all"):
        if planted_in[row]:
            shares = (f"{100 * killed[row, column] / planted_in[row]:.0f} %" for column in columns)
            lines.append(f"| {row} | {planted_in[row]} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _all_killers(mutant: Mutant, samples: _Samples, examples: int) -> set[str] | None:
    """Every property that kills the mutant in one of some samples that it changes; None if it changes none."""
    found: list[set[str]] = []
    for _, case in samples.changed_by(mutant, patience=20):
        with planted(mutant):
            found.append(set(_killers(case)))
        if len(found) == examples:
            break
    return set().union(*found) if found else None


# ------------------------------------------------------------------------------------------------------------------
# Plain functions


def run_on_function(f: Function, samples: Sequence[tuple[Any, ...]], *, examples: int = 12) -> list[Verdict]:
    """Plant every mistake that fits in the gradient of an adapted function (see `adapters`).

    Parameters
    ----------
    f : callable
        What `from_numpy`, `from_torch`, ... gave.
    samples : sequence of tuples
        Arguments to check it at.

    >>> from tinygrad_conv.testing.adapters import from_numpy
    >>> sine = from_numpy(np.sin, lambda g, x: g * np.cos(x))
    >>> print(summary(run_on_function(sine, [(np.array([0.5, -1.0]),)])).splitlines()[-1])
    gradmut: killed 4 of 4 mutants (100.0 %), 14 not applicable
    """
    modes, order = f.modes, f.order  # type: ignore[attr-defined]

    def recorded(*args: Any) -> Any:  # in the graph, whose rules are spoiled; checks ask `f` itself without one
        return f(*args)

    def make(k: int) -> Case:
        case = prepare(recorded, samples[k], order=order, modes=modes, explain=False)
        case.foreign = True
        case.args = tuple(map(np.asarray, samples[k]))
        return case

    first = [np.asarray(x) for x in samples[0]]
    cases = _Samples(make, range(len(samples)))
    fitting = (
        mutant
        for mutant in mutants_of(f.primitive, len(first))  # type: ignore[attr-defined]
        if first[mutant.k].dtype.kind == "f" and (mutant.site == "vjp" or "forward" in modes)
    )
    return _judged(fitting, cases, examples)


def mutants_of_function(f: Function, vjp: Function, *args: Any) -> Iterator[tuple[str, Function]]:
    """Wrong forms of a hand-written gradient that differ from it at these arguments: does your own test see them?

    Parameters
    ----------
    f, vjp, *args : as in `check_vjp`

    Yields
    ------
    (name, wrong_vjp)

    >>> for name, wrong in mutants_of_function(np.sin, lambda g, x: g * np.cos(x), np.array([0.0, 1.0])):
    ...     print(name, wrong(np.ones(2), np.zeros(2)))
    argument 0: scale by 1 + 1e-5 (array([1.00001, 1.00001]),)
    argument 0: negate (array([-1., -1.]),)
    argument 0: drop an argument's gradient (array([0., 0.]),)
    argument 0: constant offset of 5e-6 (array([1.000005, 1.000005]),)
    """
    operation = from_numpy(f, vjp)
    args = tuple(map(np.asarray, args))
    floats = [k for k, x in enumerate(args) if x.dtype.kind == "f"]
    shapes, out = [x.shape for x in args], np.shape(f(*args))

    def pulled(g: Any, *args: Any) -> tuple[Any, ...]:
        with enable_grad():  # a checker may ask for gradients where nothing is recorded
            values = [Tensor(x, requires_grad=k in floats) for k, x in enumerate(args)]
            leaves: list[Any] = [values[k].node for k in floats]
            found = pull({operation(*values).node: np.asarray(g)}, leaves)
        return tuple(found[leaves[floats.index(k)]] if k in floats else None for k in range(len(args)))

    g = np.random.default_rng(0).uniform(0.5, 1.5, out)
    right = pulled(g, *args)
    for mutant in mutants_of(operation.primitive, len(args)):  # type: ignore[attr-defined, unused-ignore]
        if mutant.site != "vjp" or mutant.k not in floats or not mutant.fits(shapes, out, {}):
            continue

        def wrong(g: Any, *args: Any, mutant: Mutant = mutant) -> tuple[Any, ...]:
            with planted(mutant):
                return pulled(g, *args)

        if not np.array_equal(wrong(g, *args)[mutant.k], right[mutant.k], equal_nan=True):
            yield f"argument {mutant.k}: {mutant.mutation.name}", wrong


# ------------------------------------------------------------------------------------------------------------------
# The command line


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m tinygrad_conv.testing.mutation [PATTERN] [--table]``: 0 if every mutant was killed."""
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    parser = ArgumentParser("python -m tinygrad_conv.testing.mutation", description=__doc__.partition("\n")[0])
    parser.add_argument("pattern", nargs="?", default="*", help="of primitive names, such as 'conv*'")
    parser.add_argument("--table", action="store_true", help="which property alone would see what, as Markdown")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample (default: 0)")
    options = parser.parse_args(argv)

    def bar(items: Sequence[Primitive]) -> Iterable[Primitive]:
        shown: Iterable[Primitive] = tqdm(items, unit="primitive", disable=None, leave=False)
        return shown

    if options.table:
        print(kill_table(options.pattern, seed=options.seed, progress=bar))
        return 0
    verdicts = run_mutants(options.pattern, seed=options.seed, progress=bar)
    print(summary(verdicts))
    return int(bool(alive(verdicts)))


if __name__ == "__main__":
    sys.exit(main())
