"""From a failure to the smallest test that fails alone: shrink the example, and write it down as code.

Samples of primitives are sequences of choices (`Draw.choices`): they shrink by choosing less. Arguments of functions
shrink by cutting their axes. What Hypothesis drew is left to Hypothesis to shrink.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter
from types import CodeType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..engine.primitive import Primitive
from ..engine.tensor import Tensor
from .boundary import LAYOUTS
from .draw import Draw, laid_out
from .report import GradientError, hypothesis_runs

__all__ = ["gradient_test", "primitive_test", "shrunk_arguments", "shrunk_draw", "with_test"]

Array = np.ndarray[Any, Any]
_SECONDS = 2.0  # that shrinking may take


def with_test(error: GradientError, test: Callable[[], str]) -> GradientError:
    """The same error, with the code of a test in its report; while Hypothesis runs, made when it is asked for."""
    new = error.with_test(test)
    if not hypothesis_runs():
        _ = new.report
    return new


# ------------------------------------------------------------------------------------------------------------------
# Samples of primitives


def shrunk_draw(draw: Draw, fails: Callable[[Draw], bool]) -> Draw:
    """A replay of the smallest choices found for which a check still fails.

    >>> draw = Draw.replay(0, [3, 4, 1])
    >>> _ = draw.shape()
    >>> shrunk_draw(draw, lambda d: len(d.shape()) >= 2)
    Draw.replay(0, [2, 0, 0])
    """
    best, end, improved = draw.choices, perf_counter() + _SECONDS, True
    while improved and perf_counter() < end:
        improved = False
        for choices in _simpler(best):
            trial = Draw.replay(draw.seed, choices)
            if fails(trial) and _size(trial.choices) < _size(best):
                best, improved = trial.choices, True
                break
            if perf_counter() > end:
                break
    again = Draw.replay(draw.seed, best)
    again.choices = list(best)
    return again


def _simpler(choices: Sequence[int]) -> Iterator[list[int]]:
    for k, value in enumerate(choices):
        for less in dict.fromkeys((0, value // 2, value - (1 if value > 0 else -1))):
            if abs(less) < abs(value):
                yield [*choices[:k], less, *choices[k + 1 :]]


def _size(choices: Sequence[int]) -> tuple[int, int]:
    return sum(map(abs, choices)), len(choices)


def primitive_test(primitive: Primitive, draw: Draw) -> str:
    """The code of a test that checks one sample of a primitive.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.testing import check_primitive
    >>> draw = Draw.replay(0, [1, 2])
    >>> check_primitive(tg.primitives()["tanh"], draw)
    >>> print(primitive_test(tg.primitives()["tanh"], draw))
    import tinygrad_conv as tg
    from tinygrad_conv.testing import Draw, check_primitive
    <BLANKLINE>
    def test_tanh():
        check_primitive(tg.primitives()["tanh"], Draw.replay(0, [1, 2, 0, 0]))
    """
    module = primitive.forward.__module__
    known = module == "__main__" or module.startswith("tinygrad_conv.")
    declared = [] if known else [f"import {module}  # declares {primitive.name}"]
    return "\n".join([
        *declared, "import tinygrad_conv as tg", "from tinygrad_conv.testing import Draw, check_primitive", "",
        f"def test_{primitive.name.lstrip('_')}():",
        f'    check_primitive(tg.primitives()["{primitive.name}"], Draw.replay({draw.seed}, {draw.choices}))',
    ])  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------
# Arguments of functions


_Range: TypeAlias = tuple[float, float]


def shrunk_arguments(args: Sequence[Any], fails: Callable[[Sequence[Any]], bool]) -> tuple[list[Any], list[_Range]]:
    """The smallest arguments found for which a check still fails, with simple values if these fail too.

    Simple values are random ones from the range that the argument's were in, which comes back too.

    >>> shrunk_arguments([np.arange(6.0).reshape(2, 3)], lambda args: args[0].shape[1] >= 2)[0][0].shape
    (1, 2)
    """
    end = perf_counter() + _SECONDS
    best = [np.asarray(a._array) if isinstance(a, Tensor) else a for a in args]
    ranges = [_range(a) if _is_float(a) else (-1.0, 1.0) for a in best]
    simple = [_generated(a, k, ranges[k]) if _is_float(a) else a for k, a in enumerate(best)]
    plain = [np.array(a, order="C") if isinstance(a, np.ndarray) else a for a in best]
    best = next((trial for trial in (simple, plain) if fails(trial)), best)  # it may fail in its memory layout only
    improved = True
    tried: set[tuple[tuple[int, ...], ...]] = set()  # shapes, which say what is in a trial: the first of each axis
    while improved and perf_counter() < end:
        improved = False
        for trial in _cut(best, ranges):
            if perf_counter() > end:
                break
            shapes = tuple(a.shape for a in trial if isinstance(a, np.ndarray))
            if shapes in tried:
                continue
            tried.add(shapes)
            if fails(trial):
                best, improved = trial, True
                break
    rounded = [np.round(a, 1) if _is_float(a) and np.ndim(a) else a for a in best]
    return rounded if perf_counter() < end and fails(rounded) else best, ranges


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _range(array: Array) -> _Range:
    """A range of few digits that holds the values, so that simple ones are in the function's domain as these are."""
    finite = array[np.isfinite(array)]
    low, high = float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf))
    if not low < high:
        return -1.0, 1.0
    size = 10.0 ** (np.floor(np.log10(high - low)) - 1)
    inside = float(f"{np.ceil(low / size) * size:.6g}"), float(f"{np.floor(high / size) * size:.6g}")
    return inside if inside[0] < inside[1] else (low, high)


def _generated(array: Array, k: int, within: _Range) -> Array:
    return np.asarray(np.random.default_rng(k).uniform(*within, array.shape))


def _cut(args: Sequence[Any], ranges: Sequence[_Range]) -> Iterator[list[Any]]:
    """Arguments with some axes shorter: all axes of one size together (they may have to agree), then single ones."""
    arrays = [k for k, a in enumerate(args) if isinstance(a, np.ndarray)]
    places = [(k, axis, n) for k in arrays for axis, n in enumerate(args[k].shape)]
    groups = [[p for p in places if p[2] == size] for size in sorted({n for *_, n in places}, reverse=True)]
    for group in [*groups, *([p] for p in sorted(places, key=lambda p: -p[2]))]:
        size = group[0][2]
        for less in dict.fromkeys((1, size // 2, size - 1)):
            if 0 < less < size:
                trial = list(args)
                for k, axis, _ in group:
                    whole = trial[k]
                    trial[k] = np.take(whole, range(less), axis)
                    if _is_float(whole) and np.array_equal(whole, _generated(whole, k, ranges[k])):
                        trial[k] = _generated(trial[k], k, ranges[k])
                yield trial


def gradient_test(f: Callable[..., Any], args: Sequence[Any], options: str = "", ranges: Sequence[_Range] = ()) -> str:
    """The code of a test that checks a function, or "" where its source or an argument cannot be written down.

    >>> import tinygrad_conv as tg
    >>> print(gradient_test(tg.tanh, [np.array([1.0, 2.0])]))
    import numpy as np
    from tinygrad_conv.ops.elementwise import tanh
    from tinygrad_conv.testing import check_gradients
    <BLANKLINE>
    def test_tanh():
        check_gradients(tanh, np.array([1., 2.]))
    """
    imports = {"import numpy as np", "from tinygrad_conv.testing import check_gradients"}
    setup: list[str] = []
    try:
        expression = _written(f, imports, setup)
        arguments = [_argument(a, k, ranges[k] if ranges else None) for k, a in enumerate(args)]
    except _UnwrittenError:
        return ""
    if any(text.startswith("laid_out") for text in arguments):
        imports.add("from tinygrad_conv.testing.draw import laid_out")
    name = expression if expression.isidentifier() else "gradient"
    parts = [expression, *arguments, *([options] if options else [])]
    call = f"    check_gradients({', '.join(parts)})"
    if len(call) > 110:
        call = "\n".join(["    check_gradients(", *(f"        {part}," for part in parts), "    )"])
    return "\n".join([*_merged(imports), "", *setup, f"def test_{name.lstrip('_')}():", call])


def _merged(imports: set[str]) -> list[str]:
    """Import statements in order, those from one module as one."""
    names: dict[str, list[str]] = {}
    for line in sorted(imports, key=lambda line: (line.startswith("from"), line)):
        head, _, name = line.partition(" import ")
        names.setdefault(head if name else line, []).append(name)
    return [f"{head} import {', '.join(found)}" if found[0] else head for head, found in names.items()]


class _UnwrittenError(Exception):
    """Something that cannot be written down as code."""


def _argument(value: Any, k: int, within: _Range | None = None) -> str:
    if isinstance(value, np.ndarray):
        if within and _is_float(value) and value.size > 4 and np.array_equal(value, _generated(value, k, within)):
            return f"np.random.default_rng({k}).uniform({within[0]!r}, {within[1]!r}, {value.shape})"
        if value.size > 60 or value.dtype.kind not in "fiub":
            raise _UnwrittenError
        text = " ".join(np.array2string(value, separator=", ", floatmode="unique", threshold=100).split())
        text = f"np.array({text}).reshape({value.shape})" if value.size == 0 else f"np.array({text})"
        layout = next((name for name in LAYOUTS if _in_memory(value) == _in_memory(laid_out(value.copy(), name))), None)
        return text if layout in (None, LAYOUTS[0]) else f"laid_out({text}, {layout!r})"
    if isinstance(value, (int, float, str, bool, type(None), tuple)):
        return repr(value)
    raise _UnwrittenError


def _in_memory(array: Array) -> tuple[Any, ...]:
    return array.strides, array.flags.writeable


def _written(f: Callable[..., Any], imports: set[str], setup: list[str]) -> str:
    """An expression for a function; what it needs goes to `imports` and `setup`."""
    name, module = getattr(f, "__qualname__", ""), getattr(f, "__module__", None)
    if name.isidentifier() and module not in (None, "__main__") and getattr(sys.modules.get(module), name, None) is f:
        imports.add(f"from {module} import {name}")
        return name
    if hasattr(f, "recipe"):  # made by an adapter: its name, and the functions it was made of
        maker, parts = f.recipe
        imports.add(f"from tinygrad_conv.testing.adapters import {maker}")
        return f"{maker}({', '.join(_written(part, imports, setup) for part in parts)})"
    code: CodeType | None = getattr(f, "__code__", None)
    if code is None or hasattr(f, "__wrapped__"):
        raise _UnwrittenError
    if code.co_name == "<lambda>":
        expression = source = _lambda_source(code)
    else:
        try:
            source = _without_decorators(textwrap.dedent(inspect.getsource(f)))
        except (OSError, TypeError, SyntaxError):
            raise _UnwrittenError from None
        expression = code.co_name.removeprefix("test_")  # a test that is checked is no test in the one that checks it
        if expression.startswith("test") or not expression.isidentifier():
            expression = f"checked_{expression}"
        source = source.replace(f"def {code.co_name}(", f"def {expression}(", 1)
        if source.count("\n") > 12 or not source.startswith("def "):
            raise _UnwrittenError
    _needs(f, code, imports, setup)
    if source is not expression:
        setup += [*source.rstrip().splitlines(), ""]
    return expression


def _without_decorators(source: str) -> str:
    return "\n".join(source.splitlines()[ast.parse(source).body[0].lineno - 1 :])


def _lambda_source(code: CodeType) -> str:
    """The text of a lambda that stands in one line."""
    places = [p for p in code.co_positions() if None not in p and p[3]]
    line = linecache.getline(code.co_filename, code.co_firstlineno)
    if not places or any(place[:2] != (code.co_firstlineno,) * 2 for place in places):
        raise _UnwrittenError
    start = line.rfind("lambda", 0, min(place[2] or 0 for place in places))
    for end in range(max(place[3] or 0 for place in places), len(line)):  # closing brackets may follow the last name
        with suppress(SyntaxError):
            ast.parse(line[start:end], mode="eval")
            return line[start:end]
    raise _UnwrittenError


def _needs(f: Any, code: CodeType, imports: set[str], setup: list[str]) -> None:
    """The names a function reads from around it, as imports or assignments."""
    names = {name: f.__globals__[name] for name in _names(code) if name in f.__globals__}
    with suppress(ValueError):  # an empty cell
        names |= dict(zip(code.co_freevars, [c.cell_contents for c in f.__closure__ or ()], strict=True))
    for name, value in names.items():
        if isinstance(value, ModuleType):
            imports.add(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
        elif callable(value):
            if value is not f and _written(value, imports, setup) != name:
                raise _UnwrittenError
        else:
            setup.append(f"{name} = {_argument(value, -1)}")


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(c) for c in code.co_consts if isinstance(c, CodeType)))
