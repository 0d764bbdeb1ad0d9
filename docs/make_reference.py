"""Writes the pages that are made from the code, operations.md and numpy.md: ``python docs/make_reference.py``."""

import inspect
import pathlib
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import tinygrad_conv as tg
from tinygrad_conv import array_api
from tinygrad_conv.engine.plain import is_plain
from tinygrad_conv.files import write
from tinygrad_conv.ops import overrides, protocols
from tinygrad_conv.ops.spellings import SPELLINGS

DOCS = pathlib.Path(__file__).parent


def row(function: Callable[..., Any], name: str) -> str:
    """One line of the table: name with its keywords, kind, the first sentence, the derivative."""
    primitive = getattr(function, "primitive", None)
    kind = primitive.kind if primitive else "plain" if is_plain(function) else "composed"
    return f"| `{name}{_arguments(function)}` | {kind} | {summary(function)} | {derivative(function)} |"


def summary(function: Callable[..., Any]) -> str:
    """The first sentence of a docstring."""
    first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.:])\s", first)[0].rstrip(":").replace("|", "\\|")


def derivative(function: Callable[..., Any]) -> str:
    """What a docstring says of the derivative; empty where it says nothing, as of what is composed."""
    doc = (inspect.getdoc(function) or "").split(">>>")[0].replace("\n", " ")
    found = re.search(r"Derivatives?:? (.*?)(?:\.\s|\.$|$)", doc)
    return (found[1] if found else "").replace("|", "\\|").strip()


def _arguments(function: object) -> str:
    parts = []
    for p in inspect.signature(function).parameters.values():  # type: ignore[arg-type]
        prefix = "*" if p.kind is p.VAR_POSITIONAL else ""
        parts.append(f"{prefix}{p.name}" + ("" if p.default is p.empty else f"={p.default!r}"))
    return f"({', '.join(parts)})".replace("|", "\\|")


def operations() -> str:
    """The page of all operations."""
    lines = [
        "# Operations", "",
        "Made from the docstrings by `python docs/make_reference.py`; `help(tg.conv2d)` says more. The kinds are those",
        "of [primitives](primitives.md). A *composed* operation has the derivatives of its parts; a *plain* one gives",
        "data without a gradient. [NumPy's functions](numpy.md) on tensors are these operations.", "",
    ]  # fmt: skip
    for family in tg.ops.FAMILIES:
        name = family.__name__.rsplit(".", 1)[-1]
        lines += [f"## {name}", "", (family.__doc__ or "").split("\n")[0], ""]
        lines += ["| operation | kind | what it does | derivative |", "|---|---|---|---|"]
        lines += [row(getattr(family, operation), operation) for operation in family.__all__]
        lines.append("")
    lines += ["## array_api", "", (array_api.__doc__ or "").split("\n")[0], ""]
    lines += ["| function | what it answers |", "|---|---|"]
    asked = {name: getattr(array_api, name) for name in array_api.__all__}
    lines += [
        f"| `{name}{_arguments(function)}` | {summary(function)} |"
        for name, function in asked.items()
        if inspect.isfunction(function)
    ]
    lines.append("")
    return "\n".join(lines)


def numpys() -> str:
    """The page of NumPy's functions."""
    served = {overrides.name_of(f): operation for f, operation in overrides.operations().items()}
    served |= {name: operation for name, operation in SPELLINGS.items() if not name.startswith("_")}
    combine = _names(f.__name__ for f in {*protocols.REDUCTIONS, *protocols.SCANS, *protocols.ASSOCIATIVE})
    methods = (
        f"`reduce`, `accumulate` and `reduceat` of {combine}; `outer` of every operation of two inputs. Others are "
        "refused: `at` writes into an array."
    )
    return f"""\
# NumPy, name by name

Made by `python docs/make_reference.py` from the table in `tinygrad_conv/ops/overrides.py`. It has every function and
ufunc that NumPy lets a library answer for; a test walks NumPy's own list and fails on a name without a class.

No gradient is lost in silence. A gradient follows a tensor if the tensor has a graph and recording is on. Such a tensor
becomes a plain array or number only where you ask for one by name: `x.numpy()`, `x.data`, `x.item()`, `x.tolist()`,
`float(x)`, printing. Other code that would make one of it raises `GraphError`, which says what to write instead.
Examples are the refused functions below, `np.array([x, y])`, `A.dot(x)`, `np.mean([x, y])`, `array[0] = x`,
`math.sqrt(x)`, a step size `tg.arange(0, 1, x)` and an integral of SciPy over a function that reads x. All of NumPy
works under `tg.no_grad()`, and for tensors that no gradient follows. The functions of `numpy.testing` only compare, so
they take every tensor.

Some functions of NumPy do not ask the library. Either they compute with the tensors as they are, or they make arrays of
them, which is refused as above. The functions of `numpy.polynomial` are of this kind (those of several variables with
powers only before NumPy 2.1). A few of them look at the class of their argument, and would compute something else of a
tensor than of an array. These raise `ArgumentError`.

Methods of tensors take what the methods of arrays take: `x.sum(where=mask)` is `np.sum(x, where=mask)`. A tensor is a
value, so it has no methods that change it (`sort`, `partition`, `fill`, `put`, `resize`): the functions `tg.sort(x)`
and `tg.partition(x, kth)` give another tensor.

Where a result is not NumPy's:

- refused: complex numbers as real ones, where NumPy warns (`astype`, `dtype=`); what fills `qr` and `svd` of followed
  matrices that are not square; `qr` with mode "raw"; `cross` of two elements; `nanmedian` of complex numbers;
  `statistics.mean(map(float, v))`, as the Python code that asks is not yours (`[float(x) for x in v]` is);
- another order, where NumPy promises none: `unique_values` (here sorted), `partition` within its parts, `multi_dot`
  (from left to right: bools and integers that run over see it);
- `average` with weights that add up to 0 gives NaN;
- `longdouble` is as exact as `float64` in `erf`, `gelu`, `selu`, `i0`, `sinc` (NumPy's own, too) and derivatives of
  `exp2`; in the others it keeps its digits;
- the angles of complex vectors of `eigh` and `svd` are LAPACK's choice: the derivative is that of vectors which turn as
  little as they can.

```python
>>> import numpy as np
>>> import tinygrad_conv as tg
>>> tg.grad(lambda x: np.add.reduce(np.square(x), where=[True, False]))(np.array([1.0, 2.0]))
Tensor([2., 0.])
>>> try:
...     tg.grad(lambda x: np.histogram(x)[0].sum())(np.array([1.0, 2.0]))
... except tg.errors.GraphError as error:
...     print(str(error)[:12])
np.histogram

```

## Operations

NumPy's function calls the library's operation, which is differentiable to any order, and gives a tensor. It takes the
keywords `axis`, `keepdims`, `dtype` (a floating one) and `casting`; a reduction also `where`, `initial` and `mean`.
While a gradient follows, other keywords raise an error, and so does `where` of a ufunc, as it leaves elements
undefined. `out` always raises one. A tensor that no gradient follows may update a plain array in place:
`weights -= 0.1 * tg.grad(loss)(weights)`.

{_filled(f"Methods of ufuncs: {methods}")}

Where no derivative is written, it is that of the parts of which an operation is composed.

| NumPy | here | derivative |
|---|---|---|
{_rows((name, f) for name, f in served.items() if not is_plain(f))}

## Data

What they give has no derivative (indices, truths, shapes, counts), or is saved or printed.

{_names([*overrides.DATA, *(name for name, operation in served.items() if is_plain(operation))])}

## Refused

They raise `GraphError` while a gradient follows.

{chr(10).join(_filled(f"- {reason} {_names(names.split())}", "  ") for reason, names in overrides.REASONS.items())}

All of {", ".join(f"`np.{name}*`" for name in overrides.TEXT)}.
"""


def _rows(pairs: Iterable[tuple[str, Callable[..., Any]]]) -> str:
    return "\n".join(f"| `np.{name}` | {_here(name, f)} | {derivative(f)} |" for name, f in sorted(pairs, key=str))


def _here(name: str, operation: Callable[..., Any]) -> str:
    """The name under which users find the operation that a function of NumPy's is."""
    own = operation.__name__
    if getattr(tg, own, None) is operation:
        return f"`tg.{own}`"
    return f"`tg.{name}`" if name.startswith(("linalg.", "fft.")) or hasattr(tg, name) else "composed"


def _names(names: Iterable[str]) -> str:
    return _filled(", ".join(f"`{name}`" for name in sorted(set(names))))


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()), 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


PAGES = {DOCS / "operations.md": operations, DOCS / "numpy.md": numpys}

if __name__ == "__main__":
    for path, page in PAGES.items():
        write(path, page())
