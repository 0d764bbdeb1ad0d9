"""What each weight of a model is called: by this library, and by Keras in its files.

Keras' path of a weight is made of the attributes that lead to it, in alphabetical order; what is in a list is called by
its class and counted, ``layers/dense_1/vars/0``; a weight is a number in its layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..engine.tensor import Tensor
from ..nn.module import Buffer, Module, Parameter, items
from ..nn.sequential import Sequential

__all__ = ["Place", "places"]

Names: TypeAlias = tuple[str, str, str]  # with the layers of a sequence by number, and by class; and Keras' path

# What Keras calls these classes and weights. All others have the same names.
_CLASSES = {"BatchNorm": "BatchNormalization", "LayerNorm": "LayerNormalization", "GroupNorm": "GroupNormalization"}
_WEIGHTS = {
    "kernel": "weight", "embeddings": "weight", "depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise",
    "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A weight of a model: its tensor, and its names."""

    tensor: Tensor
    names: Names


def places(model: Any) -> list[Place]:
    """All weights of a model, layer by layer; those that layers share, once for each."""
    found: list[Place] = []
    left: list[tuple[Any, Names]] = [(model, ("", "", ""))]
    seen: set[int] = set()
    while left:
        layer, names = left.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        for k, (name, tensor) in enumerate(_own(layer)):
            found.append(Place(tensor, _under(names, (name, name, f"vars/{k}"))))
        inside = [(inner, _under(names, more)) for inner, more in _inside(layer, layer is model)]
        left += reversed(inside)
    return found


def _under(names: Names, more: Names) -> Names:
    joints = zip(names, more, "../", strict=True)
    a, b, c = (f"{outer}{joint}{inner}" if outer else inner for outer, inner, joint in joints)
    return a, b, c


def _own(layer: Any) -> Iterable[tuple[str, Tensor]]:
    """The weights of a layer itself, those that it learns first, by name."""
    if not isinstance(layer, Module):
        return ((_WEIGHTS.get(name, name), tensor) for name, tensor in layer._own_weights())
    own = ((name, item) for name, item in items(layer) if isinstance(item, (Parameter, Buffer)))
    return sorted(own, key=lambda pair: isinstance(pair[1], Buffer))


def _inside(layer: Any, outermost: bool) -> Iterator[tuple[Any, Names]]:
    """The layers that one holds, in Keras' order."""
    attributes = list(_attributes(layer, outermost) if isinstance(layer, Module) else layer._saved_attributes())
    dotted: dict[int, str] = {}
    if attributes and attributes[0][0] == "layers":  # a sequence's
        number, used = 0, dict[str, int]()
        for inner in attributes.pop(0)[1]:
            name = _counted(inner, used)
            yield inner, (str(number), name, f"layers/{name}")
            number += type(inner).__name__ != "InputLayer"
    for attribute, value in sorted(attributes, key=lambda pair: pair[0] == "layers"):  # which has no name of its own
        for name, _, inner in _parts(attribute, value):
            dotted.setdefault(id(inner), name)
    for attribute, value in attributes:
        for _, path, inner in _parts(attribute, value):
            yield inner, (dotted[id(inner)], dotted[id(inner)], path)


def _attributes(module: Module, outermost: bool) -> Iterable[tuple[str, Any]]:
    """(name, value) in the order in which Keras looks at them."""
    if isinstance(module, Sequential):
        return [("layers", module.layers)]
    attributes = dict(vars(module))
    if outermost or hasattr(module, "fit"):  # Keras' models have a list of their layers, its layers have not
        attributes.setdefault("layers", list(module.children()))
    return sorted(attributes.items(), key=lambda pair: (pair[0].startswith("_"), pair[0]))


def _is_layer(value: Any) -> bool:
    return isinstance(value, Module) or hasattr(type(value), "_own_weights")


def _parts(attribute: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """(dotted name, Keras' path, layer) of what an attribute holds, in lists, tuples and dictionaries too."""
    if _is_layer(value):
        yield attribute, attribute, value
        return
    around: list[Any] = [(attribute, attribute, _named(value), {})]
    open_ = [id(value)]
    while around:
        name, path, left, used = around[-1]
        for key, item in left:
            if _is_layer(item):
                yield f"{name}.{key}", f"{path}/{_counted(item, used)}", item
            elif isinstance(item, (list, tuple, dict)) and id(item) not in open_:
                around.append((f"{name}.{key}", f"{path}/{_once('container', used)}", _named(item), {}))
                open_.append(id(item))
                break
        else:
            around.pop()
            open_.pop()


def _named(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, (list, tuple)) else iter(())


def _counted(layer: Any, used: dict[str, int]) -> str:
    """What Keras calls a layer in a list: dense, dense_1, ..."""
    name = type(layer).__name__
    name = _CLASSES.get(name, name) if isinstance(layer, Module) else name
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return _once(re.sub("([a-z])([A-Z])", r"\1_\2", name).lower(), used)


def _once(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name
