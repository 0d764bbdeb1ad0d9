"""A model of Keras as rows of `nn.summary`: it runs once on zeros, and the operations of each call are counted."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..engine.modes import enable_grad
from ..engine.primitive import flops_of
from ..engine.tensor import Tensor
from ..nn.summary import Row

__all__ = ["CALLS", "Call", "rows_of"]


@dataclass(frozen=True)
class Call:
    """A call of a layer: how many were noted before it, where, the numbers of its operations' nodes, its result."""

    before: int
    path: str
    layer: Any
    nodes: range
    y: Any


CALLS: ContextVar[list[Call] | None] = ContextVar("CALLS", default=None)  # where calls are noted, while one summarises


def rows_of(model: Any, input_shape: Any) -> list[Row]:
    """A row for each call of a layer that is no model itself; what models compute themselves is under their names.

    A model of several inputs takes a list of shapes.
    """
    import keras

    shapes = input_shape if any(isinstance(n, (tuple, list)) for n in input_shape) else [input_shape]
    dtypes = [x.dtype for x in getattr(model, "inputs", None) or ()] or ["float32"] * len(shapes)
    inputs = [_zeros(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    calls: list[Call] = []
    token = CALLS.set(calls)
    try:
        with enable_grad(), np.errstate(all="ignore"):
            y = model(inputs if len(shapes) > 1 else inputs[0], training=False)
    finally:
        CALLS.reset(token)
    flops = _flops(y)
    rows: list[Row] = []
    counted: set[int] = set()  # variables of calls before
    left = set(flops)
    for call in _outermost(calls, keras.Model):
        layer, is_model = call.layer, isinstance(call.layer, keras.Model)
        own = layer._trainable_variables + layer._non_trainable_variables if is_model else layer.weights
        new = [variable for variable in own if id(variable) not in counted]
        counted |= {id(variable) for variable in new}
        here = left & set(call.nodes)
        left -= here
        if is_model and not here and not new:
            continue
        batches = [x for x in keras.tree.flatten(call.y) if hasattr(x, "shape")]
        sizes = [(prod(v.shape), prod(v.shape) * np.dtype(v.dtype).itemsize, v.trainable) for v in new]
        outputs = [x[:1] if x.ndim else x for x in batches]  # of one example
        shape = (None, *outputs[0].shape[1:]) if outputs else ()
        learned, all_ = (sum(n for n, _, counts in sizes if counts or both) for both in (False, True))
        rows.append(
            Row(
                call.path or layer.name, type(layer).__name__, shape, learned, all_ - learned, "",
                sum(flops[k] for k in here), sum(x.nbytes for x in outputs), sum(size for _, size, _ in sizes), "",
            )
        )  # fmt: skip
    return rows


def _zeros(shape: Any, dtype: Any) -> Any:
    array = np.zeros([1 if n is None else n for n in shape], dtype)
    return Tensor(array, requires_grad=True) if array.dtype.kind == "f" else array


def _flops(y: Any) -> dict[int, int]:
    """FLOPs by node, for all that led to a result."""
    import keras

    left = [x.node for x in keras.tree.flatten(y) if isinstance(x, Tensor) and x.node is not None]
    found: dict[int, int] = {}
    while left:
        node = left.pop()
        if node.index not in found:
            found[node.index] = flops_of(node) if node.parents else 0
            left += [parent for parent in node.parents if parent is not None]
    return found


def _outermost(calls: list[Call], models: type) -> list[Call]:
    """Calls in no other call but of models, in order; those of models after the calls inside."""
    found: list[tuple[int, Call]] = []
    for number, call in enumerate(calls):  # inner ones first
        while found and found[-1][0] >= call.before and not isinstance(call.layer, models):
            found.pop()
        found.append((number, call))
    return [call for _, call in found if type(call.layer).__name__ != "InputLayer"]
