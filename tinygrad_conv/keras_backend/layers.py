"""Keras' layers as modules: the graph knows in which layer an operation ran, and what its parameters are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any
from weakref import ref

import numpy as np

from ..engine.modes import MODE
from ..engine.node import next_index
from ..engine.tensor import Tensor
from ..engine.trees import flatten
from .summary import CALLS, Call, rows_of

__all__ = ["known_to_graphs"]


def known_to_graphs(layer: Any) -> None:
    """Give Keras' class `Layer` what pictures and profiles, `save` and `load` ask of a `Module`."""
    layer.__call__ = _noted(layer.__call__)
    layer._own_weights, layer._saved_attributes = _own_weights, _saved_attributes
    layer._rows, layer._with_parameters = rows_of, _with_parameters
    layer._path_of, layer._walk = _path_of, _walk
    layer.named_modules, layer.named_parameters = _named_modules, _named_parameters


def _noted(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        mode = MODE.get()
        outer = mode.module and mode.module()
        path = "" if outer is None else outer._path_of(self, mode.path)
        calls = mode.calls if mode.watch is None else (*mode.calls, (next_index(), path))
        token = MODE.set(mode.but(module=ref(self), path=path, calls=calls))
        try:
            if (seen := CALLS.get()) is None:
                return call(self, *args, **kwargs)
            before, begin = len(seen), next_index()
            y = call(self, *args, **kwargs)
            seen.append(Call(before, path, self, range(begin, next_index()), y))
            return y
        finally:
            MODE.reset(token)

    return noted


def _path_of(self: Any, child: Any, path: str) -> str:
    name = getattr(child, "name", None) or type(child).__name__
    return f"{path}.{name}" if path else name


def _walk(
    self: Any, prefix: str = "", again: dict[str, str] | None = None
) -> Iterator[tuple[str, Any, int, list[tuple[str, Tensor]]]]:
    """(path, layer, depth, values of its trainable variables) for a layer and all inside it, outer ones first."""
    left: list[tuple[str, Any, int]] = [(prefix, self, 0)]
    first: dict[int, str] = {}
    while left:
        path, layer, depth = left.pop()
        if again is not None and first.setdefault(id(layer), path) != path:
            again[path] = first[id(layer)]
        yield path, layer, depth, [(variable.name, variable.value) for variable in layer._trainable_variables]
        left += [(layer._path_of(inner, path), inner, depth + 1) for inner in reversed(layer._layers)]


def _named_modules(self: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    return ((path, layer) for path, layer, _, _ in self._walk(prefix))


def _named_parameters(self: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(dotted path, value) of each trainable variable, once."""
    values: dict[int, tuple[str, Tensor]] = {}
    for path, _, _, held in self._walk(prefix):
        for name, value in held:
            values.setdefault(id(value), (f"{path}.{name}" if path else name, value))
    return iter(values.values())


def _own_weights(self: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, value) of each variable of a layer itself, in Keras' order: by its attribute, else by its own name."""
    variables = self._trainable_variables + self._non_trainable_variables
    attributes = {id(value): name for name, value in vars(self).items() if not name.startswith("_")}
    names = [attributes.get(id(variable), variable.name) for variable in variables]
    for k, (name, variable) in enumerate(zip(names, variables, strict=True)):
        yield (f"{name}_{k}" if name in names[:k] else name), variable._value


def _saved_attributes(self: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of each attribute that Keras looks for layers in, in its order."""
    from keras.src.saving.saving_lib import _walk_saveable

    return _walk_saveable(self)


def _inputs(layer: Any) -> list[Any]:
    """What says the dtype that a model makes of its inputs: an `InputLayer`, or a functional model's placeholders."""
    if type(layer).__name__ == "InputLayer":
        return [layer]
    return list(getattr(getattr(layer, "_functional", layer), "_inputs", None) or ())


def _with_parameters(self: Any, values: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The layer's output with other values of its trainable variables, by the names of `_named_parameters`.

    It is computed in their dtype (or in that of the arguments), also in float64, which Keras' rules of promotion make
    float32 elsewhere. What is assigned to variables meanwhile is forgotten: the next call gives the same.
    """
    from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE as PROMOTED
    from keras.src.backend.common.stateless_scope import StatelessScope
    from keras.src.dtype_policies import DTypePolicy

    dtypes = (np.dtype(getattr(value, "dtype", int)) for value in (*values.values(), *flatten(args)[0]))
    dtype = next((dtype for dtype in dtypes if dtype.kind == "f"), np.dtype("float32"))
    given = {id(value): values[name] for name, value in self.named_parameters() if name in values}
    layers = [layer for _, layer in self.named_modules()]
    inputs = {id(x): x for layer in layers for x in _inputs(layer)}.values()
    there = [(layer, "_dtype_policy", DTypePolicy(str(dtype))) for layer in layers]
    there += [(x, "_dtype", str(dtype)) for x in inputs if x.dtype.startswith("float")]
    before, promoted = [getattr(owner, name) for owner, name, _ in there], dict(PROMOTED)
    try:
        PROMOTED["float64"] = "float64"
        for owner, name, value in there:
            setattr(owner, name, value)
        with StatelessScope() as scope:
            for variable in self.variables:  # its constructor would cast them
                value = given.get(id(variable._value), variable._value)
                scope.state_mapping[id(variable)] = value.astype(dtype) if value.dtype.kind == "f" else value
            return self(*args, **kwargs)
    finally:
        PROMOTED.update(promoted)
        for (owner, name, _), value in zip(there, before, strict=True):
            setattr(owner, name, value)
