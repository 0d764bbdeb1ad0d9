"""``tinygrad-conv check MODULE:function``: the gradient of a user's own function, from the command line."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, ModuleType
from typing import Any

from ..arguments import afford
from ..errors import ArgumentError
from ..files.targets import fits, made, named, sizes
from .adapters import from_autograd, from_jax, from_mygrad, from_numpy, from_torch
from .case import BOTH
from .checks import check_gradients, said
from .draw import Draw
from .report import GradientError

__all__ = ["as_operation", "main"]

Function = Callable[..., Any]
LIBRARIES: dict[str, tuple[str, Function]] = {
    "torch": ("PyTorch", from_torch), "jax": ("JAX", from_jax), "autograd": ("autograd", from_autograd),
    "mygrad": ("MyGrad", from_mygrad),
}  # fmt: skip
DOMAINS = ((-3.0, 3.0), (0.1, 3.0))  # in turn: logarithms and roots live in the second


def main(options: argparse.Namespace) -> int:
    """0 if every example passes, 1 if a gradient is wrong. What cannot be checked raises an error of the library's."""
    target, shapes = options.pattern, [sizes("check", shape) for shape in options.input]
    for shape in shapes:
        afford("check", shape)
    f, whose = as_operation(named("check", target), options.vjp and named("check", options.vjp), target)
    fits("check", target, getattr(f, "__wrapped__", f), shapes)
    if not shapes:
        raise ArgumentError(f"check: {target} needs an argument to differentiate by: give its shape with --input")
    about = f"{target}, {whose}"
    with _left_out() as left_out:
        for k, seed in enumerate(range(options.seed, options.seed + options.examples)):
            draw = Draw.seeded(seed)
            try:
                check_gradients(f, *(draw.array(shape, *DOMAINS[seed % 2]) for shape in shapes), name=target, seed=seed)
            except GradientError as error:
                words = [target, *(f"--input {shape}" for shape in options.input)]
                words += [f"--vjp {options.vjp}"] if options.vjp else []
                print(f"{error}\nreplay: tinygrad-conv check {' '.join(words)} --examples 1 --seed {seed}\n")
                print(f"{about}: its gradient is wrong, at example {k + 1} of {options.examples}")
                return 1
    print(f"{about}: its gradient is right, at {options.examples} examples of {' and '.join(map(str, shapes))}")
    if not options.quiet:
        modes = " and ".join(getattr(f, "modes", BOTH))
        print(f"  checked in {modes} mode, to {'second' if getattr(f, 'order', 2) == 2 else 'first'} order")
        for line in left_out:
            print(f"  {line}")
    return 0


@contextmanager
def _left_out() -> Iterator[list[str]]:
    """What `check_gradients` says that it cannot check, instead of on the error stream."""
    log, handler = logging.getLogger("tinygrad_conv.testing.checks"), logging.Handler()
    lines: list[str] = []
    handler.emit = lambda record: lines.append(record.getMessage().partition(": ")[2])  # type: ignore[method-assign]
    log.addHandler(handler)
    before = said.copy()
    said.clear()  # it is to be said here, too
    try:
        yield lines
    finally:
        said.update(before)
        log.removeHandler(handler)


# ------------------------------------------------------------------------------------------------------------------
# What it is


def as_operation(thing: Any, vjp: Function | None = None, name: str = "f") -> tuple[Function, str]:
    """A function or module, of whatever library, as an operation; and in words what it is.

    A function is of the library whose names its code uses (and the functions that it calls, as far as they are no
    library's). With a `vjp`, it is a NumPy function.

    >>> import numpy as np
    >>> as_operation(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2))[1]
    'a NumPy function with its vjp'
    >>> as_operation(lambda x: x * x)[1]
    'a function of tensors'
    """
    found = _packages(thing, set())
    library = next((library for library in LIBRARIES if library in found), None)
    is_rule = library == "torch" and isinstance(thing, type) and hasattr(thing, "apply")  # torch.autograd.Function
    thing = thing if is_rule else made(thing)
    if not callable(thing):
        raise ArgumentError(f"check: expected a function or a module, got {name}, which is {type(thing).__name__}")
    if vjp is not None:
        return from_numpy(thing, vjp), "a NumPy function with its vjp"
    if library is None:
        return thing, "a function of tensors"
    called, adapter = LIBRARIES[library]
    what = "module" if hasattr(thing, "forward") and not is_rule else "function"
    return adapter(thing), f"a{'n' * (called == 'autograd')} {called} {what}"


def _packages(thing: Any, seen: set[int]) -> set[str]:
    """The names of the packages that something is of, or that its code uses."""
    if id(thing) in seen:
        return set()
    seen.add(id(thing))
    if isinstance(thing, ModuleType):
        return {_root(thing.__name__)}
    classes = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
    found = {_root(module) for module in (getattr(thing, "__module__", ""), *(c.__module__ for c in classes)) if module}
    if found & (LIBRARIES.keys() | {"tinygrad_conv", "numpy"}):
        return found
    inside = [getattr(thing, part, None) for part in ("__wrapped__", "func", "__func__")]
    code = getattr(thing, "__code__", None)
    if code is None and not isinstance(thing, type):
        inside.append(vars(type(thing)).get("__call__"))
    for name in _names(code) if isinstance(code, CodeType) else ():
        found |= {name} & LIBRARIES.keys()  # imported inside
        inside.append(thing.__globals__.get(name))
    for cell in getattr(thing, "__closure__", None) or ():
        with suppress(ValueError):  # an empty cell
            inside.append(cell.cell_contents)
    for part in inside:
        if isinstance(part, ModuleType) or callable(part):
            found |= _packages(part, seen)
    return found


def _root(module: str) -> str:
    return {"jaxlib": "jax"}.get(module.partition(".")[0], module.partition(".")[0])


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
