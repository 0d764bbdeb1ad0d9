"""The Python function that runs a plan: a line per call, or per program of calls."""

from __future__ import annotations

import linecache
import math
from collections.abc import Iterator, Sequence
from itertools import count
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from ..engine.node import LOCKS, Node, add_grad
from ..engine.source import LIBRARY
from ..engine.tensor import wrap
from ..kernels.registry import Kernel
from .calls import Call, Slot, Wrapped, like, parts
from .into import into, is_view
from .layout import Layout
from .programs import Program
from .updates import Update

__all__ = ["written"]

Array: TypeAlias = np.ndarray[Any, Any]

_ADD_GRAD: Any = add_grad.__wrapped__  # type: ignore[attr-defined]
_files = count(1)


def written(
    name: str, steps: Sequence[Call | Program], updates: dict[Call, Update], layout: Layout,
    arguments: Sequence[Slot], outputs: Sequence[Slot],
) -> tuple[str, str, FunctionType, list[Call | Program | None]]:  # fmt: skip
    """The name of a file that tracebacks show, its text, the function, and what each of its lines is of."""
    writer = _Writer(steps, updates, layout, arguments, outputs)
    lines = [(line, writer.step) for line in writer.lines()]
    source = "def step(arrays):\n" + "".join(f"    {line}\n" for line, _ in lines)
    file = f"{LIBRARY}<plan of {name} {next(_files)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), writer.scope)
    return file, source, writer.scope.pop("step"), [step for _, step in lines]


class _Writer:
    def __init__(
        self, steps: Sequence[Call | Program], updates: dict[Call, Update], layout: Layout,
        arguments: Sequence[Slot], outputs: Sequence[Slot],
    ) -> None:  # fmt: skip
        self.steps, self.updates, self.layout = steps, updates, layout
        self.arguments, self.outputs = arguments, outputs
        self.step: Call | Program | None = None  # of which the lines are
        self.scope: dict[str, Any] = {"wrap": wrap, "empty": np.empty, "asarray": np.asarray, "locks": LOCKS}
        self._names: dict[int, str] = {}
        self._made: set[Slot] = set()  # arrays that were made for programs to write in
        self._last: dict[Slot, int] = dict.fromkeys(outputs, len(steps))  # the step that reads a slot last
        for number in reversed(range(len(steps))):
            step = steps[number]
            if isinstance(step, Program):
                inputs: Sequence[Slot] = step.objects
            else:
                inputs = [] if _is_still(step) and step.outputs[0] not in self._last else list(step.inputs)
            for slot in inputs:
                self._last.setdefault(slot, number)
        still = {step.outputs[0] for step in steps if isinstance(step, Call) and _is_still(step)}
        self._named_still = still.intersection(self._last)  # names of memory that others made

    # -- lines -----------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        numbers, done = count(1), set[Slot]()
        for k, slot in enumerate(self.arguments):
            if slot in self._last:
                yield f"v{slot.index} = arrays[{k}]"
        for number, step in enumerate(self.steps):
            self.step = step
            if isinstance(step, Program):
                yield from self._program(step, f"program_{next(numbers)}")
                inputs: Sequence[Slot] = step.objects
            elif _is_still(step) and step.outputs[0] not in self._last:
                continue
            else:
                if step.kind == "effect" and done:  # a parameter that nobody refers to may be updated in place
                    yield "del " + ", ".join(f"v{slot.index}" for slot in sorted(done, key=lambda slot: slot.index))
                    done = set()
                yield from self._call(step)
                inputs = list(step.inputs)
            done |= {slot for slot in inputs if self._last[slot] == number and slot in self._named_still}
        yield f"return [{', '.join(map(self._read, self.outputs))}]"

    def _program(self, program: Program, name: str) -> Iterator[str]:
        self.scope[name] = program
        made = {slot for call in program.calls for slot in call.outputs}.intersection(program.objects)
        self._made |= made
        for slot in program.objects:
            if slot in made:
                yield self._empty(slot)
        objects = ", ".join(map(self._object, program.objects))
        names = [call.name.strip("_") for call in program.calls]
        told = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
        yield f"{name}(({objects}{',' if len(program.objects) == 1 else ''}))  # {told}"

    def _object(self, slot: Slot) -> str:
        text = self._read(slot)
        return text if slot.seen.shape or slot in self._made else f"asarray({text})"  # NumPy may give a number

    def _empty(self, slot: Slot) -> str:
        return f"{self._read(slot)} = empty({slot.seen.shape}, {self._constant(slot.seen.dtype)})"

    def _call(self, call: Call) -> Iterator[str]:
        """A call as a line or two of Python."""
        read = self._read
        if call.kind == "load":
            source = f"{read(call.args[0])}.grad" if isinstance(call.args[0], Node) else read(call.args[0])
            yield f"v{call.outputs[0].index} = {source}._array"
            return
        if call in self.updates:
            yield f"{self._named(self.updates[call], 'update')}()  # {call.name} of {call.args[0]!r}"
            return
        given = [read(arg) for arg in call.args]
        named = [f"{name}={read(value)}" for name, value in call.kwargs.items()]
        places = self.layout.written
        if not places.isdisjoint(call.outputs):
            write = into(call)
            if isinstance(write, Kernel):
                write = write.bound(*map(like, call.args), **{key: like(value) for key, value in call.kwargs.items()})
            name = self._named(write, call.name)
            for slot in call.outputs:
                if slot not in places:
                    yield self._empty(slot)
            outs = [read(slot) for slot in call.outputs]
            out = outs[0] if len(outs) == 1 else f"({', '.join(outs)})"
            if isinstance(write, np.ufunc) and not named and write not in (np.maximum, np.minimum):
                yield f"{name}({', '.join([*given, out])})"
            else:
                yield f"{name}({', '.join([*given, *named, f'out={out}'])})"
            return
        if call.function is _ADD_GRAD and not call.outputs:  # as written there: a call would take as long again
            grad, more = f"{given[0]}.grad", given[1]
            lock = f"locks[{call.args[0].index % len(LOCKS)}]"
            yield f"with {lock}: {grad} = {more} if {grad} is None else {grad} + {more}"
            return
        text = f"{self._named(call.function, f'f_{call.name}')}({', '.join([*given, *named])})"
        if call.kind == "primitive" and not call.primitive.has_residual and call.outputs:  # type: ignore[union-attr]
            yield f"v{call.outputs[0].index} = {text}"
            return
        if not call.outputs:
            yield text
            return
        yield f"r = {text}"
        for slot, path in zip(call.outputs, call.results, strict=True):
            yield f"v{slot.index} = r" + "".join("._array" if k == -1 else f"[{k}]" for k in path)

    # -- names -----------------------------------------------------------------------------------------------------

    def _constant(self, value: Any, prefix: str = "k") -> str:
        if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
            text = repr(value)
            if len(text) < 40:
                return text
        if id(value) not in self._names:
            self._names[id(value)] = f"{prefix}{len(self._names)}"
            self.scope[self._names[id(value)]] = value
        return self._names[id(value)]

    def _read(self, tree: Any) -> str:
        """What stands for an argument in the source."""
        if isinstance(tree, Wrapped):
            return f"wrap({self._read(tree.slot)}, None)"
        if isinstance(tree, Slot):
            static = self.layout.arrays.get(tree)
            if static is not None:
                self.scope[f"b{tree.index}"] = static
                return f"b{tree.index}"
            return self._constant(tree.value, "c") if tree.origin == "constant" else f"v{tree.index}"
        if type(tree) in (tuple, list) and any(isinstance(part, Slot) for part in parts(tree)):
            inner = ", ".join(map(self._read, tree))
            return f"({inner},)" if isinstance(tree, tuple) else f"[{inner}]"
        if type(tree) is dict and any(isinstance(part, Slot) for part in parts(tree)):
            items = (f"{self._constant(key)}: {self._read(item)}" for key, item in tree.items())
            return "{" + ", ".join(items) + "}"
        return self._constant(tree)

    def _named(self, value: Any, text: str) -> str:
        """A name for a function in the source, made of what it is called."""
        name = "".join(c if c.isalnum() else "_" for c in text)
        while self.scope.get(name, value) is not value:
            name += "_"
        self.scope[name] = value
        return name


def _is_still(call: Call) -> bool:
    """Does a call but name memory that is there, so that it may be left out where nobody asks for the name?"""
    return call.kind == "load" or is_view(call)
