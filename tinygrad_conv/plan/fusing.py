"""Neighbouring calls of a recording made into one, that goes through memory once.

========================  ==================================================================================
bias and ReLU             ``relu(z + b)`` is one call, and so are its two cotangents
... and max pooling       the same with the pooling after it: what relu gave is never written down
========================  ==================================================================================

Fused results are, to the bit, those of the calls one by one; all but the sum over a bias' cotangent, which compiled
kernels take in float64. Where the plain kernels are asked for, that sum stays a call of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import prod
from typing import Any

import numpy as np

from ..kernels import registry as kernels
from ..kernels.wanted import choice
from .calls import Call, Path, Seen, Slot
from .ours import ours

__all__ = ["fused"]

WORTHWHILE = 1 << 14  # bytes: what is smaller stays in the first cache, and one call more costs little


def fused(calls: Sequence[Call], outputs: Sequence[Slot]) -> list[Call]:
    """The calls with all that can be made into one made into one."""
    fusing = _Fusing(list(calls), outputs)
    for call in calls:
        if ours(call) == "relu":
            fusing.relu(call)
    return fusing.left()


_POOLS = "pool_max", "pool_maxima"


class _Fusing:
    """Who makes and who uses each slot, and what was decided so far."""

    def __init__(self, calls: list[Call], outputs: Sequence[Slot]) -> None:
        self.calls, self.outputs = calls, set(outputs)
        self.maker: dict[Slot, Call] = {slot: call for call in calls for slot in call.outputs}
        self.users: dict[Slot, list[Call]] = {}
        for call in calls:
            for slot in set(call.inputs):
                self.users.setdefault(slot, []).append(call)
        self._numbers = count(1 + max((slot.index for slot in self.maker), default=0))
        self.instead: dict[Call, list[Call]] = {}  # of these calls: what runs in their place

    def left(self) -> list[Call]:
        return [new for call in self.calls for new in self.instead.get(call, [call])]

    def only(self, slot: Slot) -> Call | None:
        """The one call that uses a slot, if there is just one."""
        users = self.users.get(slot, [])
        return users[0] if len(users) == 1 and slot not in self.outputs else None

    def relu(self, relu: Call) -> None:
        """``relu(z + b)``, with the max pooling after it if nothing else needs what relu gives."""
        bias = self.maker.get(relu.args[0])
        if bias is None or ours(bias) != "add" or self.only(relu.args[0]) is not relu or bias in self.instead:
            return
        z, b = bias.args[0], self._of_channels(bias.args[1])
        if len(relu.outputs) != 2 or not self.outputs.isdisjoint(relu.outputs) or not _is_bias(z, b, relu.outputs[0]):
            return
        h, mask = relu.outputs
        products = self.users.get(mask, [])
        if not all(_is_cotangent(product, mask, h) for product in products):
            return
        pool = self.only(h)
        if pool is not None and ours(pool) in _POOLS and self._pooled(bias, (z, b), relu, pool, products):
            return
        self._replace(relu, "bias_relu", (z, b), {}, [h])
        self.instead[bias] = []
        for product in products:
            self._cotangents(product, "bias_relu_grad", (_other(product, mask), h), {})

    def _of_channels(self, b: Any) -> Any:
        """A bias before it was given as many axes as there are, as Keras does; anything else as it is."""
        call = self.maker.get(b) if isinstance(b, Slot) else None
        flat = call.args[0] if call is not None and ours(call) == "reshape" else None
        return flat if isinstance(flat, Slot) and flat.seen.shape == b.seen.shape[-1:] else b

    def _pooled(self, bias: Call, args: tuple[Any, Any], relu: Call, pool: Call, products: Sequence[Call]) -> bool:
        window = pool.kwargs["window"]
        y, *places = pool.outputs
        argmax = places[0] if places else self._unused(y.seen.shape, np.min_scalar_type(prod(window.kernel) - 1))
        scattered = []
        for product in products:
            scatter = self.maker.get(_other(product, relu.outputs[1]))
            if scatter is None or ours(scatter) != "pool_scatter" or scatter.kwargs["argmax"] is not argmax:
                return False
            if scatter.kwargs["window"] != window or self.only(scatter.outputs[0]) is not product:
                return False
            scattered.append((scatter, product))
        self._replace(pool, "bias_relu_max_pool", args, {"window": window}, [y, argmax])
        self.instead[bias] = self.instead[relu] = []
        for scatter, product in scattered:
            self.instead[scatter] = []
            self._cotangents(product, "bias_relu_max_pool_grad", (scatter.args[0], y, argmax), {"window": window})
        return True

    def _cotangents(self, product: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """``dz, db`` in one call in place of the product that is dz; and in place of the sum that is db."""
        dz = product.outputs[0]
        sums = next(filter(None, (self._summed(call, dz) for call in self.users.get(dz, []))), None)
        if sums:
            db = sums[-1].outputs[0]
            self.instead |= {call: [] for call in sums}
        else:
            db = self._unused(dz.seen.shape[-1:], dz.seen.dtype)
        self._replace(product, name, args, kwargs, [dz, db])

    def _unused(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Slot:
        number = next(self._numbers)
        return Slot(number, "call", Seen(np.empty(shape, dtype), -number))

    def _summed(self, call: Call, dz: Slot) -> list[Call]:
        """Is a call the sum of dz over all axes but the last? It, and what takes away axes that it left."""
        of_channels = dz.seen.shape[-1:]
        if ours(call) != "sum_to" or choice() == "plain" or prod(call.kwargs["shape"]) != of_channels[0]:
            return []
        flat = self.only(call.outputs[0])
        calls = [call] if flat is None or ours(flat) != "reshape" else [call, flat]
        return next((calls[: k + 1] for k, c in enumerate(calls) if c.outputs[0].seen.shape == of_channels), [])

    def _replace(
        self, call: Call, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: list[Slot]
    ) -> None:
        results: list[Path] = [()] if len(outputs) == 1 else [(k,) for k in range(len(outputs))]
        self.instead[call] = [
            Call(
                "compute", name, kernels.get(name), args, kwargs, outputs, results, path=call.path, source=call.source,
                backward=call.backward,
            )
        ]  # fmt: skip


def _is_bias(z: Any, b: Any, y: Slot) -> bool:
    """Is z + b a large array with one number per channel added to it, all of one dtype?"""
    return (
        isinstance(z, Slot) and isinstance(b, Slot) and len(z.seen.shape) > 1 and z.seen.shape == y.seen.shape
        and b.seen.shape == z.seen.shape[-1:] and z.seen.dtype == b.seen.dtype == y.seen.dtype
        and z.seen.contiguous and z.seen.nbytes >= WORTHWHILE
    )  # fmt: skip


def _is_cotangent(product: Call, mask: Slot, h: Slot) -> bool:
    """Is it a cotangent of h, of h's kind, times the mask?"""
    if ours(product) != "multiply" or len(product.args) != 2:
        return False
    g = _other(product, mask)
    return isinstance(g, Slot) and g is not mask and g.seen.shape == h.seen.shape and g.seen.dtype == h.seen.dtype


def _other(product: Call, one: Slot) -> Any:
    """The other factor."""
    a, b = product.args
    return b if a is one else a
