"""A model as a table: shapes, parameters and how they come about, cost and memory, before any array exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..arguments import Sizes, check, checked
from ..engine.tensor import ops
from ..legible import legible
from .fixes import Shape
from .layer import Layer
from .sequential import Sequential

__all__ = ["Row", "rows", "summary"]


@dataclass(frozen=True)
class Row:
    """One layer of a model.

    Attributes
    ----------
    name, kind : str
    output_shape : tuple, the batch axis None
    parameters : int
        Learned numbers; `fixed` are those kept but not learned (running statistics, frozen layers).
    formula : str
        How `parameters + fixed` comes about, where that is worth telling.
    flops : int
        Per example, a multiply-add counting as two.
    memory : int
        Bytes of the output, per example.
    bytes : int
        Bytes of the weights.
    note : str
        A remark.

    >>> from tinygrad_conv.nn import Dense
    >>> row = rows(Dense(10), (None, 784))[0]
    >>> row.parameters, row.formula, row.output_shape
    (7850, '784*10 + 10', (None, 10))
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    fixed: int
    formula: str
    flops: int
    memory: int
    bytes: int
    note: str


@checked
def rows(model: Any, input_shape: Sizes | Sequence[Sizes]) -> list[Row]:
    """A row for each layer of a `Sequential` (nested ones flattened), or for a single layer.

    A model or layer of Keras on this engine runs once, on zeros; one of several inputs takes a list of shapes.

    Raises ShapeError when the shapes do not fit.

    >>> from tinygrad_conv.nn import Conv2D, Flatten
    >>> model = Sequential([Conv2D(8, 3), Flatten()])
    >>> [(row.kind, row.parameters, row.output_shape) for row in rows(model, (None, 28, 28, 1))]
    [('Conv2D', 80, (None, 26, 26, 8)), ('Flatten', 0, (None, 5408))]
    """
    return _rows("rows", model, input_shape)


def _rows(what: str, model: Any, input_shape: Any) -> list[Row]:
    of_keras = None if isinstance(model, Layer) else getattr(type(model), "_rows", None)
    if of_keras is not None:
        return of_keras(model, input_shape)
    model, input_shape = check(Layer, what, "model", model), check(Sizes, what, "input_shape", input_shape)
    model.compute_output_shape(input_shape)
    if isinstance(model, Sequential):
        model.shapes(input_shape)
    table, shape = [], tuple(input_shape)
    for path, layer in model.chain(""):
        y = layer.infer(shape)
        weights = layer.weights_for(shape).values()
        learned = sum(weight.size for weight in weights if weight.learned) if layer.trainable else 0
        fixed = sum(weight.size for weight in weights) - learned
        table.append(
            Row(
                legible(path) or type(layer).__name__, type(layer).__name__, y, learned, fixed, layer.formula(shape),
                layer.flops(shape), math.prod(y[1:]) * layer.dtype.itemsize,
                (learned + fixed) * layer.dtype.itemsize, layer.note(shape),
            )
        )  # fmt: skip
        shape = y
    return table


class Summary(str):
    """A table as text, which a notebook shows as a table."""

    rows: list[Row]

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return str(ops.shown_summary(self.rows))


@checked
def summary(model: Any, input_shape: Sizes | Sequence[Sizes]) -> str:
    """The table of `rows` as text, with totals; in a notebook it shows itself as a table.

    >>> import tinygrad_conv as tg
    >>> print(summary(tg.nn.Sequential([tg.nn.Dense(10), tg.nn.Activation("relu")]), (None, 784)))
    layer           output shape   parameters             FLOPs   activations
    -------------------------------------------------------------------------
    0  Dense        (None, 10)     784*10 + 10 = 7,850   15.7 k          40 B
    1  Activation   (None, 10)     0                         10          40 B
    -------------------------------------------------------------------------
    total                          7,850 (30.7 KiB)      15.7 k          80 B
    """
    table = _rows("summary", model, input_shape)
    names = _columns([(row.name, row.kind if row.kind != row.name else "") for row in table])
    lines = [("layer", "output shape", "parameters", "FLOPs", "activations")]
    for name, row in zip(names, table, strict=True):
        count = f"{row.parameters + row.fixed:,}"
        parameters = f"{row.formula} = {count}" if any(c in row.formula for c in "*+") else count
        lines.append((name, _shape(row.output_shape), parameters, _si(row.flops), _bytes(row.memory)))
    learned, fixed = sum(row.parameters for row in table), sum(row.fixed for row in table)
    size, flops, memory = (sum(getattr(row, name) for row in table) for name in ("bytes", "flops", "memory"))
    lines.append(("total", "", f"{learned + fixed:,} ({_bytes(size)})", _si(flops), _bytes(memory)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = (str.ljust, str.ljust, str.ljust, str.rjust, str.rjust)
    text = [
        "   ".join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "-" * (sum(widths) + 12)
    text = [text[0], rule, *text[1:-1], rule, text[-1]]
    if fixed:
        text.append(f"of these {learned:,} are learned, {fixed:,} are not")
    found = Summary("\n".join([*text, *[row.note for row in table if row.note][:1]]))
    found.rows = table
    return found


def _columns(cells: Sequence[tuple[str, str]]) -> list[str]:
    width = max((len(left) for left, _ in cells), default=0)
    return [f"{left.ljust(width)}  {right}".rstrip() for left, right in cells]


def _shape(shape: Shape) -> str:
    return str(tuple(None if n is None else int(n) for n in shape))


def _si(number: float) -> str:
    """1234567 as 1.23 M."""
    for unit in ("", " k", " M", " G", " T"):
        if number < 1000 or unit == " T":
            return f"{number:.3g}{unit}" if unit else f"{number:.0f}"
        number /= 1000
    return ""


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return ""
