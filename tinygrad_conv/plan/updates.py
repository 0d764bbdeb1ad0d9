"""The step of an optimiser in a replay: all parameters in one program, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..engine.guards import unshared
from ..engine.tensor import ndarray
from ..kernels import registry as kernels
from ..kernels.wanted import failed
from ..optim import Optimizer
from .calls import Call
from .instructions import machine

__all__ = ["Update"]

Array: TypeAlias = np.ndarray[Any, Any]


class Kind(NamedTuple):
    """What the table was written for, of a parameter that has a gradient."""

    dtype: np.dtype[Any]
    nbytes: int
    state: tuple[tuple[str, Array], ...]
    kept: tuple[bool, ...]  # which of the arrays that the kernel takes there are


class Update:
    """What ``optimizer.step()`` does, in the place of the call of it.

    Where something is in the way (a parameter whose array somebody else holds, so that it must not be written to, or a
    gradient of another kind) the optimiser does it by itself. Results are the same to the bit.
    """

    def __init__(self, call: Call) -> None:
        self.optimizer, self._step = call.args[0], call.function
        self._arrays: Callable[[], tuple[Array, ...] | None] = lambda: None  # those that the table is for
        self._machine = machine()
        self._table, self._numbers = self._machine.Table(), np.zeros(16)
        self._numbers_of: Any = None

    @staticmethod
    def of(call: Call) -> Update | None:
        """For the call of a step that is nothing but one of the library's kernels for each parameter."""
        return Update(call) if call.function is _STEP and _is_all_by_kernel(call.args[0]) else None

    def __call__(self) -> None:
        optimizer = self.optimizer
        arrays = self._arrays() or self._anew()  # (not one in the other, which would hold arrays that are to be alone)
        if arrays is None:
            self._step(optimizer)
            return
        lr = optimizer.lr  # once, as in a step: a schedule may count how often it is asked
        optimizer.begin()
        given = optimizer.numbers(lr)
        if given != self._numbers_of:
            numbers = self._machine.NUMBERS[optimizer._kernel.name](*given)
            self._numbers[: len(numbers)] = numbers
            self._numbers_of = given
        try:
            self._table.run(arrays)
        except Exception as error:  # Numba's, which compiles it now
            failed(optimizer._kernel.name, error)
            self._step(optimizer)
        else:
            optimizer.steps += 1

    def _anew(self) -> tuple[Array, ...] | None:
        """The same, and all is written for them; None where the optimiser had better do it."""
        optimizer, self._arrays = self.optimizer, lambda: None
        slots = optimizer.slots
        arrays: list[Array] = []
        kinds: list[Kind | None] = []
        for param, state in zip(optimizer.params, optimizer.state, strict=True):
            gradient = None if param.node is None else param.node.grad
            if gradient is None:
                kinds.append(None)
                continue
            p = unshared(param)
            if p is None or p.dtype.char not in "fd" or not p.dtype.isnative or (slots and not state):
                return None
            found = [(name, state.get(name)) for name in optimizer.arrays]
            kept = tuple((name, array) for name, array in found if array is not None)
            arrays += (p, gradient._array, *(array for _, array in kept))
            for x in arrays[-1 - len(kept) :]:
                if type(x) is not ndarray or x.shape != p.shape or x.dtype != p.dtype or not x.flags.carray:
                    return None
            kinds.append(Kind(p.dtype, p.nbytes, kept, tuple(array is not None for _, array in found)))
        if not arrays or any(x.dtype != arrays[0].dtype for x in arrays):
            return None
        self._write(kinds)
        return tuple(arrays)

    def _write(self, kinds: list[Kind | None]) -> None:
        machine, self._arrays = self._machine, _looking(self.optimizer, kinds)
        present = [kind for kind in kinds if kind is not None]
        self._table = machine.Table(self.optimizer._kernel.name, present[0].dtype.type if present else None)
        numbers = count()
        for kind in present:
            size = kind.dtype.itemsize
            arrays = [machine.Given(next(numbers), 0, size) if here else 0 for here in (True, True, *kind.kept)]
            more = [0] * (5 - len(arrays))
            self._table.add([kind.nbytes // size, *arrays, *more, self._numbers.ctypes.data])


_LOOKING = """\
def arrays():
    params, states = of.params, of.state
    if len(params) == {count} and of.slots == slots and {tests}:
        return ({arrays},)
"""


def _looking(optimizer: Optimizer, kinds: Sequence[Kind | None]) -> Callable[[], tuple[Array, ...] | None]:
    """A function that finds each parameter, its gradient and its state; None where they are not of these kinds.

    Written out, as it runs at each step: a loop over parameters takes twice as long.
    """
    names: dict[str, Any] = {"of": optimizer, "slots": optimizer.slots, "ndarray": ndarray, "unshared": unshared}
    tests, arrays = [], []
    for k, kind in enumerate(kinds):
        if kind is None:
            tests.append(f"((n := params[{k}].node) is None or n.grad is None)")
            continue
        names[f"d{k}"] = kind.dtype
        tests += [
            f"(n := params[{k}].node) is not None and (g := n.grad) is not None and type(g{k} := g._array) is ndarray",
            f"g{k}.flags.carray and (p{k} := unshared(params[{k}])) is not None",
            *(f"{x}{k}.nbytes == {kind.nbytes} and ({x}{k}.dtype is d{k} or {x}{k}.dtype == d{k})" for x in "pg"),
            *(f"states[{k}].get({name!r}) is {name}{k}" for name, _ in kind.state),
        ]
        names |= {f"{name}{k}": array for name, array in kind.state}
        arrays += [f"p{k}", f"g{k}", *(f"{name}{k}" for name, _ in kind.state)]
    exec(_LOOKING.format(count=len(kinds), tests=" and ".join(tests), arrays=", ".join(arrays)), names)
    looking: Callable[[], tuple[Array, ...] | None] = names.pop("arrays")  # not in its own globals: a cycle
    return looking


_STEP: Any = Optimizer.step.__wrapped__  # type: ignore[attr-defined]


def _is_all_by_kernel(optimizer: Optimizer) -> bool:
    """Is a step what the kernel does for each parameter, with nothing written anew by the class that names the kernel
    (but what it is to be given), by one derived from that, or for this optimiser alone?"""
    kind = type(optimizer)
    naming = next((base for base in kind.__mro__ if "_kernel" in vars(base)), Optimizer)
    return (
        kind._kernel in (kernels.sgd, kernels.adam, kernels.rmsprop)
        and kind.step is Optimizer.step and kind.update is Optimizer.update
        and all(getattr(kind, name) is getattr(naming, name) for name in ("numbers", "begin", "arrays", "start"))
        and vars(optimizer).keys().isdisjoint(("step", "update", "numbers", "begin", "arrays", "start", "_kernel"))
    )  # fmt: skip
