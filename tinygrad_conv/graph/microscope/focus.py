"""From a tensor to the operation of interest: back through what was added, moved, or done to each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine.node import Node
from ...engine.source import describe_source
from ...engine.tensor import Tensor
from ...engine.walk import pull
from ...errors import GraphError
from ..watching import Watch, topological
from .cells import KINDS, Lens, lens
from .scope import Stage

__all__ = ["focused"]


def focused(node: Node, watch: Watch, loss: Tensor | None) -> tuple[Lens, Node, list[Stage], Watch, Any]:
    """What a `Scope` is made of: the operation that a node comes from, its arrays, and what came after it.

    Raises GraphError where there is no such operation, or where the graph did not keep what went into it.
    """
    order = topological([node])
    freed = next((n for n in order if n.freed), None)
    if freed is not None:
        raise GraphError(
            f"microscope: the graph of {freed.shown} from {describe_source(freed.source)} was freed by a backward "
            "pass; look before it, or call backward(retain_graph=True)"
        )
    chain = _chain(node)
    if not chain:
        names = "a convolution, a transposed convolution, max or average pooling, or a matrix product"
        raise GraphError(f"microscope: expected the result of {names}, got one of {node.shown}")
    watch.recover(order)
    core, after = chain[-1], chain[-2::-1]
    stages = [_stage(stage, before, watch) for before, stage in zip(chain[:0:-1], after, strict=True)]
    found = lens(core.primitive.name, _inputs(core, watch), core.params)
    if found is None:
        shapes = " and ".join(str(np.shape(a)) for a in _inputs(core, watch))
        raise GraphError(f"microscope: expected a product of two matrices, got {core.shown} of {shapes}")
    gradient = None
    summed = next((s.node for s in reversed(stages) if s.added is not None), core)
    if loss is not None:
        seed = {loss._needs_node("microscope"): np.ones(loss.shape, loss.dtype)}
        gradient = pull(seed, [summed], retain=True).get(summed)
        gradient = np.zeros(summed.shape, summed.dtype) if gradient is None else gradient
    return found, core, stages, watch, gradient


def _chain(node: Node) -> list[Node]:
    """From a node to the operation of interest, through additions, permutations and elementwise functions."""
    stack = [[node]]
    while stack:
        chain = stack.pop()
        primitive = chain[-1].primitive
        if primitive is None or len(chain) > 8:
            continue
        if primitive.name in KINDS:
            return chain
        if primitive.name == "reshape":  # a dense layer on more than two axes
            (parent,) = chain[-1].parents
            if parent is not None and len(parent.shape) == 2 and parent.shape[1:] == chain[-1].shape[-1:]:
                stack.append([*chain, parent])
            continue
        parents = [p for p in chain[-1].parents if p is not None and len(p.shape) == len(chain[-1].shape)]
        alone = primitive.kind == "elementwise" and len(primitive.inputs) == 1
        if alone or primitive.name in ("add", "permute_dims"):
            stack += [[*chain, parent] for parent in reversed(parents)]
    return []


def _stage(node: Node, before: Node, watch: Watch) -> Stage:
    assert node.primitive is not None
    if node.primitive.name == "permute_dims":
        return Stage(node, axes=node.params["axes"] or range(len(node.shape))[::-1])
    if node.primitive.name == "add":
        k = 1 - list(node.parents).index(before)
        added = watch.inputs.get(node, (None, None))[k]
        if added is None:  # a bias that nobody holds any more: the difference tells it, but for rounding
            _inputs(before, watch)
            added = watch.outputs[node] - watch.outputs[before]
        return Stage(node, added=np.broadcast_to(added, node.shape))
    return Stage(node)


def _inputs(node: Node, watch: Watch) -> list[Any]:
    """What went into an operation: what it saved, else what the graph still tells."""
    known = watch.inputs.get(node, ())
    inputs = [s if s is not None else x for s, x in zip(node.saved, known, strict=False)]
    if not inputs or any(x is None for x in inputs):
        raise GraphError(
            f"microscope: {node.shown} from {describe_source(node.source)} did not keep an input that needs no "
            "gradient; give the function and its arguments (tg.microscope(layer, x)), or make that input a tensor with "
            "requires_grad=True"
        )
    return inputs
