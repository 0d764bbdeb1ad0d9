"""Keras' layers as modules: the graph knows in which layer an operation ran, and what its parameters are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from weakref import ref

from ..engine.modes import MODE
from ..engine.node import next_index
from ..engine.tensor import Tensor

__all__ = ["known_to_graphs"]


def known_to_graphs(layer: Any) -> None:
    """Give Keras' class `Layer` what pictures and profiles ask of a `Module`."""
    layer.__call__ = _noted(layer.__call__)
    layer._path_of, layer.named_modules, layer.named_parameters = _path_of, _named_modules, _named_parameters


def _noted(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        mode = MODE.get()
        outer = mode.module and mode.module()
        path = "" if outer is None else outer._path_of(self, mode.path)
        calls = mode.calls if mode.watch is None else (*mode.calls, (next_index(), path))
        token = MODE.set(mode.but(module=ref(self), path=path, calls=calls))
        try:
            return call(self, *args, **kwargs)
        finally:
            MODE.reset(token)

    return noted


def _path_of(self: Any, child: Any, path: str) -> str:
    name = getattr(child, "name", None) or type(child).__name__
    return f"{path}.{name}" if path else name


def _named_modules(self: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, layer) for a layer and all inside it, outer ones first."""
    left = [(prefix, self)]
    while left:
        path, layer = left.pop()
        yield path, layer
        left += [(layer._path_of(inner, path), inner) for inner in reversed(layer._layers)]


def _named_parameters(self: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """(dotted path, value) of each trainable variable, once."""
    seen = set()
    for path, layer in self.named_modules(prefix):
        for variable in layer._trainable_variables:
            if id(variable) not in seen:
                seen.add(id(variable))
                yield (f"{path}.{variable.name}" if path else variable.name), variable.value
