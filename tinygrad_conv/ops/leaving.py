"""What leaves the tape: a tensor that a gradient follows becomes a plain array only where that is asked for by name.

NumPy makes an array of whatever it does not know, and goes on with that: the gradient would be zero, without a word. So
every such door is shut while a gradient follows the tensor (it has a node, and recording is on): `Tensor.__array__`,
NumPy's functions that are no operation of ours, and assignment into an array. The doors with a name stay open:
``x.numpy()``, ``x.data``, ``x.item()``, ``x.tolist()``, ``float(x)`` in a line of the user's, and what prints or saves.
"""

from __future__ import annotations

import builtins
import cmath
import dis
import math
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from itertools import starmap
from operator import methodcaller
from types import CodeType, FrameType
from typing import Any, NoReturn

from ..engine.bare import array_of
from ..engine.modes import MODE
from ..engine.tensor import Tensor, ops
from ..errors import GraphError
from . import creation

__all__ = ["WAYS_OUT", "data_of", "followed", "lost", "outermost", "refuse_array", "refuse_number", "tensors_in"]

WAYS_OUT = (
    "If no gradient is wanted, say so: x.detach(), or with tg.no_grad(). If one is: tg.stack([...]) makes one tensor "
    "of several, tg.set_at(x, index, value) sets elements"
)
ASSIGNMENT = "array[...] = tensor"
_WRITES = {  # what puts numbers into an array or another buffer, or makes NumPy's own of them
    ASSIGNMENT, "__setitem__", "setitem", "fill", "fromiter", "array", "append", "extend", "insert", "pack",
    "pack_into", "float64", "double", "complex128",
}  # fmt: skip
_COMPUTES = {name for module in (math, cmath) for name in dir(module)}
_HANDED_ON = (_WRITES - {"array", "fromiter", "extend", "pack"}) | _COMPUTES  # the others mean much else uncalled
_NUMBERS = {  # what is called for a number, or for what has no derivative
    "float", "int", "complex", "__float__", "__int__", "__complex__", "floor", "ceil", "trunc", "isnan", "isinf",
    "isfinite", "isclose",
}  # fmt: skip
_FOREIGN = re.compile(r"(scipy|statistics|tinygrad_conv\.arguments)(\.|$)")  # where a line is not the user's


def followed(value: Any) -> bool:
    """Does a gradient follow this tensor, or one in these lists, tuples and dictionaries?"""
    return MODE.get().recording and any(tensor.node is not None for tensor in tensors_in(value))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in these lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)


def lost(name: str, instead: str = "") -> GraphError:
    """The error for a gradient that would be lost in `name`; `instead` is what computes the same on the tape."""
    return GraphError(
        f"{name or 'a conversion to an array'}: a tensor that a gradient follows would become a plain array here, and "
        f"its gradient would be lost. {instead}{WAYS_OUT}"
    )


def data_of(name: str, value: Any) -> Any:
    """The array of an argument that is data. Raises GraphError, beginning with `name`, where a gradient follows it."""
    if followed(value):
        raise lost(name)
    return array_of(value)


# ------------------------------------------------------------------------------------------------------------------
# Conversions that somebody else asks for


def refuse_array(tensor: Tensor) -> None:
    """Raise GraphError where somebody makes an array of a tensor that is followed."""
    if tensor.node is not None and MODE.get().recording:
        name = _asker(sys._getframe(2))
        if not name.startswith("np.testing."):  # compares, and gives nothing back
            own = name.removeprefix("np.")
            raise lost(name, _ours(own))


def _ours(name: str) -> str:
    """What to use of the library in place of a function of this name."""
    return f"Use tg.{name}. " if hasattr(ops, name) and name not in creation.__all__ else ""


def refuse_number(tensor: Tensor) -> None:
    """Raise GraphError where who asks a tensor that is followed for a number is not told to: an array that is to hold
    it, ``math.sqrt``, an integral of SciPy's.

    They all ask as ``float(x)`` does, which stays; what tells them apart is the instruction that runs.
    """
    if tensor.node is not None and MODE.get().recording:
        frame = sys._getframe(2)
        if _FOREIGN.match(frame.f_globals.get("__name__", "")) or not _told(frame):
            name = _asker(frame)
            _raise_in(frame, lost(name, _ours(name)))


def _told(frame: FrameType) -> bool:
    """Does the expression that runs in a frame ask for a number by name, or only print it?"""
    name, *passed = _named(frame.f_code, frame.f_lasti)
    called = {*_known_as(frame, name)}
    if not called.isdisjoint(_WRITES):
        return False
    if not called.isdisjoint(_NUMBERS):
        return True
    handed_on = {known for each in passed for known in _known_as(frame, each)}  # list(map(array.__setitem__, ...))
    if not handed_on.isdisjoint(_NUMBERS):
        return True
    inner = not name or name in vars(builtins)  # what iterates, and asks for nothing itself
    return inner and called.isdisjoint(_COMPUTES) and handed_on.isdisjoint(_HANDED_ON)


def _known_as(frame: FrameType, name: str) -> Iterator[str]:
    """What something is called that has a name in a frame, and the functions in it: ``f = array.fill``, a partial."""
    owner, _, last = name.rpartition(".")
    named = frame.f_locals.get(name, frame.f_globals.get(name))
    if named is None and owner in frame.f_locals:  # ``self.f``
        named = getattr(frame.f_locals[owner], "__dict__", {}).get(last)
    left = [named]
    yield getattr(named, "__name__", "" if named is not None else last)
    while left:
        found = left.pop()
        if isinstance(found, (map, partial, methodcaller, starmap)):
            with suppress(TypeError):
                left += found.__reduce__()[1]
        elif isinstance(found, tuple):  # ``map(*arguments)``
            left += found[:1]
        elif isinstance(found, str):
            yield found  # the method that a methodcaller calls
        elif callable(found):
            yield getattr(found, "__name__", "")


def outermost(frame: FrameType | None) -> str:
    """The NumPy function that somebody called and that leads to this frame, such as ``np.mean``; "" outside of one."""
    name = ""
    while frame is not None and (module := frame.f_globals.get("__name__", "")).partition(".")[0] == "numpy":
        name = f"np.{'testing.' * module.startswith('numpy.testing')}{frame.f_code.co_qualname}"
        frame = frame.f_back
    return name


def _asker(frame: FrameType) -> str:
    """The name of what was called in the user's line and wants an array."""
    return outermost(frame) or re.sub(r".*\.(?=\w)", "", _named(frame.f_code, frame.f_lasti)[0])


@lru_cache(maxsize=256)
def _named(code: CodeType, offset: int) -> tuple[str, ...]:
    """What the instruction at an offset calls: ``f``, ``A.dot``, or `ASSIGNMENT` to an item, "" if nothing; and what
    else its expression names (a methodcaller does so in a text)."""
    instructions = list(dis.get_instructions(code))
    now = next((step for step in instructions if step.offset == offset), None)
    if now is not None and now.opname.startswith("STORE_S"):  # STORE_SUBSCR, STORE_SLICE
        return (ASSIGNMENT,)
    if now is None or now.opname.startswith("BINARY") or now.positions is None or None in now.positions:
        return ("",)  # ``"%f" % x`` prints
    start, end = now.positions[::2], now.positions[1::2]
    within = [
        (step.positions[::2], f"{'.' * (step.opname in ('LOAD_ATTR', 'LOAD_METHOD'))}{step.argval}")
        for step in instructions
        if step.offset < offset and step.opname.startswith("LOAD_") and isinstance(step.argval, str)
        and step.positions is not None and None not in step.positions
        and start <= step.positions[::2] and step.positions[1::2] <= end
    ]  # fmt: skip
    if "CALL" not in now.opname:  # in Python 3.11 PRECALL too, once the code is specialised
        return ("", *(name for _, name in within))
    first = [name for place, name in within if place == start]  # what is called is written first
    if sum(not name.startswith(".") for name in first) > 1:  # a program wrote them, all in one place (pytest 8.0)
        return ("", *(name for _, name in within))
    return ("".join(first) or "a call", *(name for place, name in within if place != start))


def _raise_in(frame: FrameType, error: GraphError) -> NoReturn:
    """Raise an error that the user's line is to end with, although NumPy puts another one in its place.

    "setting an array element with a sequence" is what it says about every error of an object that has a length. So the
    line is traced until that arrives. Where a debugger traces already, ours is the cause of NumPy's.
    """
    if sys.gettrace() is None:

        def exchange(frame: FrameType, event: str, _: Any) -> None:
            sys.settrace(None)
            frame.f_trace = None
            if event == "exception":
                raise error.with_traceback(None)

        frame.f_trace = exchange
        sys.settrace(lambda *_: None)
    raise error
