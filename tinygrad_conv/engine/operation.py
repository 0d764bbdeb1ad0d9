"""The function behind an operation: what runs when somebody calls ``tg.multiply``.

Whatever a primitive computes, calling it does the same: take the arrays out of the tensors, run the forward function,
and, if an input's gradient is wanted, make a node that holds what the rules will read. A loop over inputs and rules at
each call would take half as long again, so the function is written out as source code: `_OPERATION`, with the few parts
that depend on the primitive filled in. To read one::

    print(tg.primitives()["multiply"].source)
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, wraps
from textwrap import indent
from types import FunctionType, NoneType
from typing import Any, Protocol

import numpy as np

from ..arguments import OF_NUMPY, Kind, bare_array, explained, stands
from ..errors import AnomalyError, DTypeError, GraphError, ShapeError, TinygradConvError
from .guards import FIXED, arrays_in, expose, exposed, fingerprint, kept, owner_of, reachable
from .modes import MODE, OBSERVED, Mode
from .node import Node, Shape, next_index
from .source import LIBRARY, describe_source, user_files, user_source
from .tensor import PLAIN, Tensor, ndarray, plain_array, wrap

__all__ = ["MISSING", "explain", "operation_of", "source_of", "written_out"]


class Declared(Protocol):
    """What an operation knows of its primitive: what the declaration says of the inputs, and what rules read."""

    name: str
    forward: Callable[..., Any]
    operation: Callable[..., Any]
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    defaults: dict[str, Any]
    by_position: int
    variadic: bool
    broadcasts: bool
    has_residual: bool
    nondiff: tuple[bool, ...]
    reads: list[set[int]]

    @property
    def shown(self) -> str: ...

    @property
    def kinds(self) -> dict[str, Kind]: ...

    def bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]: ...


MISSING: Any = object()  # in place of an input that was not given, or by name

_OPERATION = """\
def operation({parameters}):
    try:
{unpack}
        if OBSERVED and (by := MODE.get().observer) is not None:
            y = by.run(primitive, {xs}, {values}, params)
        else:
            y = {call}
    except Exception as error:
        if stands(error):
            raise
        raise explain(primitive, error, {xs}) from error
{residual}
    if not tensors:
        return y
    if type(y) is not ndarray:
        y = np.asarray(y)
{shared}
    mode = MODE.get()
    if mode.anomaly:
        check_finite(primitive, y, {values})
    if {unfollowed} or not mode.recording:
        return unrecorded(primitive, {xs}, y, mode)
    dtype = y.dtype
    if dtype is not float32 and dtype is not float64 and dtype.kind not in "fc":
        return data(primitive, y)
    guards = None
{save}
    frame = sys._getframe(1)
    code = frame.f_code
    node = new(Node)
    node.primitive = primitive
    node.parents = {parents}
    node.params = {params}
    node.saved = saved
    node.shape = y.shape
    node.dtype = dtype
    node.source = (code, frame.f_lasti) if code.co_filename in user_files else user_source(2)
    node.guards = guards
    node.index = next_index()
    node.grad = node.hooks = None
    node.path = mode.path
    out = new(Tensor)
    out._array = y
    out.node = node
    out.name = out._no_graph = None
    if mode.watch is not None:  # a picture is being made
        mode.watch(node, y, {values})
    return out
"""
_UNPACK = """\
{a}, {n} = {x}, None
if isinstance({x}, Tensor):
    {a}, {n}, tensors = {x}._array, {x}.node, True
elif type({x}) not in PLAIN:
    {a} = plain_array({x}, primitive.shown)
    if isinstance({a}, Tensor):  # which {x} stands for
        {given} = {a}
        {a}, {n}, tensors = {a}._array, {a}.node, True
"""
_PARAMS = """\
for value in params.values():
    if type(value) not in BARE and isinstance(value, (Tensor, ndarray)):
        params = untracked(primitive, params)
        break
"""
_GUARD = """\
if {test}id({a} if {a}.base is None else owner({a})) in exposed{end}:
    if guards is None or id({a}) not in [id(guard[1]) for guard in guards]:  # in x * x, once
        guards = (*(guards or ()), ({what}, {a}, fingerprint({a})))  # user code could change it meanwhile
"""
# The library's own forward functions put results into memory of their own (tests/test_guards.py); others may return
# what they were given, or a part of it, as the result or in the residual.
_GUARD_RESIDUAL = """\
for a in arrays_in(residual):
    if reachable(a, {values}):
        guards = (*(guards or ()), ("residual", a, fingerprint(a)))
"""
_SHARED = """\
    if reachable(y, {values}):
        expose(y, late=False)
"""


def operation_of(primitive: Declared) -> Callable[..., Any]:
    """The function that users call. Given arrays only it returns an array, else a tensor."""
    names = {"primitive": primitive, "forward": primitive.forward, "defaults": primitive.defaults}
    operation: Any = FunctionType(_first_call.__code__, {**_NAMES, **names})
    operation.primitive = primitive
    return wraps(primitive.forward)(operation)


def _first_call(*args: Any, **params: Any) -> Any:
    """What an operation is at first: to compile all of them takes 20 ms, and most are never called."""
    return written_out(primitive)(*args, **params)  # type: ignore[name-defined]  # noqa: F821


def written_out(primitive: Declared) -> Callable[..., Any]:
    """The operation, after its code was made from its source."""
    made = _compiled(source_of(primitive))
    operation: Any = primitive.operation
    for name, kind in primitive.kinds.items():
        operation.__globals__.update({**kind.names, f"check_{name}": kind.check})
    operation.__defaults__ = made.__defaults__
    # A code object of its own: the interpreter notes there which types it meets, and debuggers show its name.
    operation.__code__ = made.__code__.replace(co_name=primitive.name)
    return operation


@cache
def _compiled(source: str) -> FunctionType:
    """The function that some source defines, which many primitives share."""
    file = f"{LIBRARY}<operation {_compiled.cache_info().misses}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file  # for tracebacks and debuggers
    names = {"MISSING": MISSING}
    exec(compile(source, file, "exec"), names)
    return names["operation"]


def source_of(primitive: Declared) -> str:
    """The source code of a primitive's operation."""
    ours = primitive.forward.__code__.co_filename.startswith(LIBRARY)
    parts = (_parts_of_variadic if primitive.variadic else _parts_of_fixed)(primitive, "" if ours else _GUARD_RESIDUAL)
    parts["shared"] = "" if ours else _SHARED.format(values=parts["values"])
    parts["unpack"], parts["save"] = indent(parts["unpack"], "        "), indent(parts["save"], "    ")
    residual = "    y, residual = y" if primitive.has_residual else ""
    return re.sub(r"\n\s*\n", "\n", _OPERATION.format(residual=residual, **parts))


def _parts_of_fixed(primitive: Declared, guard_residual: str) -> dict[str, str]:
    """For inputs x0, x1, ...: their arrays are a0, a1, ..., their nodes n0, n1, ..."""
    inputs = range(len(primitive.inputs))
    followed = [k for k in inputs if not primitive.nondiff[k]]
    xs, values = [f"x{k}" for k in inputs], [f"a{k}" for k in inputs]
    bound = f"{_tuple_of(xs)}, params = primitive.bind({_tuple_of([*xs, '*more'])}, params)"
    if primitive.params:
        unpack = f"""\
if more and not params and len(more) <= {primitive.by_position}:  # keywords given by position
    params = dict(zip(primitive.params, more))
elif more or {xs[-1]} is MISSING:
    {bound}
tensors = False
"""
    else:
        unpack = f"""\
if more or params or {xs[-1]} is MISSING:
    {bound}
tensors = False
"""
    for k in inputs:
        unpack += _UNPACK.format(x=f"x{k}", a=f"a{k}", n=f"n{k}", given=f"x{k}")
    unpack += _PARAMS + _keywords(primitive) if primitive.params else ""
    saved, guard = ["None"] * (len(inputs) + 2), ""
    for position in sorted(set().union(*primitive.reads)):
        if position == -1:
            name, lines = "residual", guard_residual.format(values=_tuple_of(values))
        elif position == -2:
            name, lines = "y", _guard_output()
        else:
            name, lines = f"a{position}", _guard_input(f"a{position}", f"x{position}", str(position))
        readers = [k for k in followed if position in primitive.reads[k]]
        if readers != followed:
            read = " or ".join(f"n{k} is not None" for k in readers)
            name, lines = f"{name} if {read} else None", lines and f"if {read}:\n{indent(lines, '    ')}"
        saved[position] = name
        guard += lines
    save = f"saved = {_tuple_of(saved)}\n{guard}"
    call = f"forward({', '.join(values)})"
    return {
        "parameters": f"{''.join(f'{x}=MISSING, ' for x in xs)}/, *more, **params",
        "unpack": unpack,
        "xs": _tuple_of(xs),
        "values": _tuple_of(values),
        "call": f"{call[:-1]}, **params) if params else {call}" if primitive.params else call,
        "unfollowed": " and ".join(f"n{k} is None" for k in followed) or "True",
        "save": save,
        "parents": _tuple_of([f"n{k}" if k in followed else "None" for k in inputs]),
        "params": "all_params(primitive, params) if params else defaults" if primitive.params else "defaults",
    }


def _parts_of_variadic(primitive: Declared, guard_residual: str) -> dict[str, str]:
    """For any number of inputs."""
    unpack = _UNPACK.format(x="x", a="a", n="n", given="xs = [*xs]\n        xs[len(values)]")
    unpack += "values.append(a)\nparents.append(n)\n"
    unpack = f"values, parents, tensors = [], [], False\nfor x in xs:\n{indent(unpack, '    ')}"
    reads = primitive.reads[0]
    y, residual = "y" if -2 in reads else None, "residual" if -1 in reads else None
    save = f"saved = (*{'values' if 0 in reads else '[None] * len(xs)'}, {y}, {residual})\n"
    if 0 in reads:
        guard = _guard_input("a", "x", "position")
        save += f"for position, (a, x) in enumerate(zip(values, xs)):\n{indent(guard, '    ')}"
    if y:
        save += _guard_output()
    if residual:
        save += guard_residual.format(values="values")
    return {
        "parameters": "*xs, **params",
        "unpack": unpack + _PARAMS + _keywords(primitive),
        "xs": "xs",
        "values": "values",
        "call": "forward(*values, **params)",
        "unfollowed": "True" if primitive.nondiff[0] else "not any(parents)",
        "save": save,
        "parents": "parents",
        "params": '{**all_params(primitive, params), "shapes": tuple(map(np.shape, values))}',
    }


def _keywords(primitive: Declared) -> str:
    """The lines that look at the keywords that have a kind, if any are given."""
    lines = ""
    for name, kind in primitive.kinds.items():
        default = f"defaults[{name!r}]" if name in primitive.defaults else "MISSING"
        if type(primitive.defaults.get(name, MISSING)) in (NoneType, bool):  # the common case, without looking it up
            default = repr(primitive.defaults[name])
        given = f"(value := params.get({name!r}, {default})) is not {default}"
        lines += f"    if {given}{f' and not ({kind.quick})'.format('value') if kind.quick else ''}:\n"
        lines += f"        params = {{**params, {name!r}: check_{name}(primitive.shown, {name!r}, value)}}\n"
    return f"if params:\n{lines}" if lines else ""


def _tuple_of(names: Sequence[str]) -> str:
    return f"({', '.join(names)})" if len(names) > 1 else f"({names[0]},)"


def _guard_input(a: str, x: str, position: str) -> str:
    return _GUARD.format(what=position, a=a, test=f"type({a}) is ndarray and ({a} is {x} or ", end=")")


def _guard_output() -> str:
    return _GUARD.format(what='"output"', a="y", test="", end="")


def _untracked(primitive: Declared, params: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call with a plain array for each tensor, through which no gradient can flow."""
    for name, value in params.items():
        if isinstance(value, Tensor) and value.node is not None and MODE.get().recording:
            raise GraphError(
                f"{primitive.shown}: expected data as {name}, for which there is no derivative, got a tensor that a "
                f"gradient follows; use {name}.detach()"
            )
    return {
        name: value._shared() if isinstance(value, Tensor) else bare_array(value, primitive.shown)
        for name, value in params.items()
    }


def _all_params(primitive: Declared, params: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call, which nobody can change any more, with the defaults of the others."""
    for name, value in params.items():
        if type(value) not in FIXED:
            own = kept(value)
            if own is not value:
                params = {**params, name: own}
    return {**primitive.defaults, **params}


def _data(primitive: Declared, y: ndarray) -> Tensor:
    """A result that is not floating: integers and bools are data."""
    return wrap(_of_numbers(primitive, y), None)


def _of_numbers(primitive: Declared, y: ndarray) -> ndarray:
    if y.dtype.kind not in "fiubc":
        raise DTypeError(
            f"{primitive.shown}: expected numbers, got a result of dtype {y.dtype}; convert the data first"
        )
    return y


def _unrecorded(primitive: Declared, args: tuple[Any, ...], y: ndarray, mode: Mode) -> Tensor:
    """The tensor of a result that is not followed, which remembers why, for the error of a later `backward()`."""
    out = wrap(_of_numbers(primitive, y), None)
    for argument in args:
        if isinstance(argument, Tensor):
            if argument.node is not None and not mode.recording:
                out._no_graph = (f"it was computed ({primitive.name}) inside no_grad()", user_source(3))
                break
            if argument._no_graph is not None:
                out._no_graph = argument._no_graph
    return out


def _check_finite(primitive: Declared, y: ndarray, values: Sequence[Any]) -> None:
    """For `detect_anomaly`: raise at the first operation whose result holds a NaN that no input held."""
    if y.dtype.kind not in "fc":
        return
    bad = int(np.isnan(y).sum())
    if bad:
        shapes = ", ".join(f"{name} {np.shape(v)}" for name, v in zip(primitive.inputs, values, strict=False))
        hint = "".join(
            f"; {name} already held {what}"
            for test, what in ((np.isnan, "NaN"), (np.isinf, "infinities"))
            for name, v in zip(primitive.inputs, values, strict=False)
            if test(np.asarray(v)).any()
        )
        raise AnomalyError(
            f"{primitive.shown}: the result has {bad} NaN of {y.size} ({shapes}){hint}, "
            f"computed at {describe_source(user_source(3))}"
        )


def explain(primitive: Declared, error: Exception, values: Sequence[Any]) -> Exception:
    """The library's error for what NumPy raised inside `primitive`."""
    names = [f"{primitive.inputs[0]}[{k}]" for k in range(len(values))] if primitive.variadic else primitive.inputs
    if primitive.broadcasts and isinstance(error, ValueError) and (shapes := _apart(values)):
        return ShapeError(
            f"{primitive.shown}: expected shapes that broadcast together, got {' and '.join(map(str, shapes))}"
            f"{_broadcast_fix(shapes)}"
        )
    return explained(primitive.shown, error, dict(zip(names, values, strict=False)))


def _stands(error: Exception) -> bool:
    """Is it raised as it is: the library's, or one that NumPy does not raise, of a user's forward function?"""
    return isinstance(error, TinygradConvError) or (not isinstance(error, OF_NUMPY) and stands(error))


def _apart(values: Sequence[Any]) -> Sequence[Shape]:
    """The shapes of values that do not broadcast together; none if they do, or if there is one that has no shape."""
    shapes: list[Shape] = []
    with suppress(Exception):
        shapes = [np.shape(value) for value in values]
        np.broadcast_shapes(*shapes)
        return ()
    return shapes


def _broadcast_fix(shapes: Sequence[Shape]) -> str:
    """Name the first axis (from the right) on which shapes disagree, and what would mend it."""
    for axis in range(-1, -1 - max(map(len, shapes)), -1):
        sizes = sorted({shape[axis] for shape in shapes if len(shape) >= -axis} - {1})
        if len(sizes) > 1:
            return f"; axis {axis} has sizes {' and '.join(map(str, sizes))}: make them equal, or one of them 1"
    return ""


_NAMES: dict[str, Any] = {  # what the source means by its names
    "BARE": FIXED | {ndarray, tuple, list, dict},  # types of keywords that are no tensor and no odd array
    "MISSING": MISSING, "MODE": MODE, "Node": Node, "OBSERVED": OBSERVED, "Tensor": Tensor, "all_params": _all_params,
    "check_finite": _check_finite, "data": _data, "explain": explain, "exposed": exposed, "fingerprint": fingerprint,
    "float32": np.dtype(np.float32), "float64": np.dtype(np.float64), "ndarray": ndarray, "new": object.__new__,
    "next_index": next_index, "np": np, "PLAIN": PLAIN, "arrays_in": arrays_in, "expose": expose, "owner": owner_of,
    "plain_array": plain_array, "reachable": reachable, "stands": _stands, "sys": sys, "unrecorded": _unrecorded,
    "untracked": _untracked, "user_files": user_files, "user_source": user_source, "wrap": wrap,
    "written_out": written_out,
}  # fmt: skip
