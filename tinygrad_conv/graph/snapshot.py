"""`snapshot`: the `Graph` of a tensor, or of one run of a function or module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np

from ..arguments import checked, one_of
from ..engine.backward import Reached
from ..engine.modes import MODE
from ..engine.tensor import Tensor
from ..engine.trees import flatten
from ..errors import DTypeError, GraphError
from ..nn.module import Module
from .reading import GRADIENT, Reader, refuse_freed
from .value import Graph
from .watching import Watch, topological

if TYPE_CHECKING:
    from ..profiling import Profile

__all__ = ["Order", "snapshot"]

Order: TypeAlias = Annotated[bool | int, one_of(0, 1, 2)]


@checked
def snapshot(
    thing: Any, *example_args: Any, values: bool = False, gradients: bool = False, time: bool | Profile = False,
    backward: Order = 0,
) -> Graph:  # fmt: skip
    """What a tensor was computed from, or what a function or module does, as an immutable `Graph`.

    Parameters
    ----------
    thing : Tensor, function or Module; or what has a method ``__graph__``
        A function or module is run once on the example arguments. The run leaves no trace: no random numbers
        drawn, no running statistics changed, no ``.grad`` changed. So a training step is run as far as its first
        ``backward()`` that frees a graph, and this is what the graph ends in; ``backward=True`` shows the gradients
        too. A model that knows its input's shape (a Keras-style one) needs no arguments.
        ``thing.__graph__(*example_args, **options)``, with the options below, returns the `Graph` of whatever knows its
        own.
    *example_args : arrays, tensors, or nested lists, tuples and dictionaries of them
        Floating-point ones become the graph's inputs, under their argument's name.
    values : bool
        Keep the numbers that every node holds (of a tensor computed before: as far as its graph still tells).
    gradients : bool
        Keep the derivative of the outputs (summed, if there are several numbers) by every node, and add the parameters
        that no gradient reaches.
    time : bool or Profile
        Measure each operation alone, on the same inputs; or take the times per call of a profile (see `tg.profile`).
    backward : 0, 1 or 2
        Go on to the operations that compute the gradient of every leaf, and the gradient of these gradients.

    Raises
    ------
    GraphError
        The tensor has no graph, or a backward pass freed it; the result depends on no floating-point input.
    DTypeError
        Something else than a tensor, a function or a module.

    >>> import tinygrad_conv as tg
    >>> a = tg.Tensor(2.0, requires_grad=True, name="a")
    >>> [node.name for node in snapshot(tg.tanh(a * a)).nodes]
    ['a', 'multiply_1', 'tanh_1', 'output']
    >>> graph = snapshot(a * a, values=True, gradients=True)
    >>> graph["multiply_1"].values, graph["a"].gradients
    (4, 4)
    """
    if isinstance(thing, Graph):
        return thing
    if hasattr(type(thing), "__graph__"):
        made = thing.__graph__(*example_args, values=values, gradients=gradients, time=time, backward=int(backward))
        if not isinstance(made, Graph):
            raise DTypeError(f"snapshot: expected __graph__ to return a Graph, got {type(made).__name__}")
        return made
    known = ("values",) * bool(values) + ("gradients",) * bool(gradients) + ("time",) * bool(time)
    watch = Watch(None if isinstance(time, bool) else time, keep=bool(known or backward))
    if isinstance(thing, Tensor):
        if example_args:
            raise DTypeError("snapshot: a tensor is computed already; only functions and modules take arguments")
        thing._needs_node("snapshot")
        reader, outputs = Reader(thing.name or ""), [(thing.name or "output", thing)]
    elif callable(thing):
        reader, outputs = _called(thing, example_args or own_example(thing), watch)
        if not (known or backward) and (ends := watch.apart(outputs)) is not None:  # never looked at, it costs no more
            return Graph._later(reader.title, partial(reader.read, ends, watch))
    else:
        raise DTypeError(f"snapshot: expected a Tensor, a function or a Module, got {type(thing).__name__}")
    order = topological(y.node for _, y in outputs if y.node is not None) if known or backward else []
    refuse_freed(order)  # what is only read is asked while it is
    ys = [y for _, y in outputs]
    leaves = [node for node in reversed(order) if node.primitive is None]  # as backward reaches them: the last first
    for depth in range(1, int(backward) + 1):
        found = watch.derive(ys, depth)
        named = [(GRADIENT * depth + reader.name_of(node), found[node]) for node in leaves if node in found]
        ys = [y for _, y in named]
        outputs += named
    if known:
        watch.outputs |= {y.node: y._array for _, y in outputs if y.node is not None}
        watch.recover(topological(y.node for _, y in outputs if y.node is not None))
    if gradients:
        watch.differentiate([y for path, y in outputs if not path.startswith(GRADIENT)])
    graph = reader.read(outputs, watch, known)
    watch.forget()
    return graph


def _called(f: Callable[..., Any], args: Sequence[Any], watch: Watch) -> tuple[Reader, list[tuple[str, Tensor]]]:
    """A run of a function or module: a reader who knows its arguments and modules, and its outputs."""
    title = getattr(f, "__name__", type(f).__name__)
    reader = Reader("" if title == "<lambda>" else title, leaf_kind="parameter")
    leaves, rebuild = flatten(list(args))
    followed = [reader.argument(*named) for named in zip(_argument_paths(f, args), leaves, strict=True)]
    watch.given = set(reader.data)
    generators: dict[int, tuple[Any, Any]] = {}  # those that the run draws from, with the state before
    gradients: dict[Any, Any] = {}  # of leaves, before the run changed them
    heard = watch if watch.keep else watch.note
    changes = {"generators": generators, "gradients": gradients, "watch": heard}
    around = MODE.get()
    try:
        MODE.set(around.but(recording=True, replaying=True, **changes))
        result, name = f(*rebuild(followed)), "output"
    except Reached as end:  # a step that learns is drawn as far as here: what follows would leave traces
        result, name = end.y, "backward()"
    finally:
        MODE.set(around)
        for generator, state in generators.values():
            generator.bit_generator.state = state
        for node, gradient in gradients.items():
            node.grad = gradient
    for module in _modules_of(f):
        reader.module(module)
    named_results = zip(_paths(result, name), flatten(result)[0], strict=True)
    outputs = [(path, y) for path, y in named_results if isinstance(y, Tensor)]
    if not [y for _, y in outputs if y.node is not None]:
        raise GraphError(
            "snapshot: the result depends on no floating-point input, so nothing was recorded; give "
            "floating-point example arguments (3.0 for 3, array.astype('float32')) and return a tensor"
        )
    if watch.keep:
        for leaf in followed:
            if isinstance(leaf, Tensor) and leaf.node is not None:
                watch.outputs.setdefault(leaf.node, leaf._array)
    return reader, outputs


def own_example(model: Any) -> tuple[Any, ...]:
    """For a model that knows its input's shape: one example of noise, the same each time."""
    shape = getattr(model, "input_shape", None)
    if not shape or not isinstance(shape, tuple):
        return ()
    sizes = tuple(1 if size is None else size for size in shape)
    return (np.random.default_rng(0).normal(size=sizes).astype("float32"),)


def _modules_of(f: Any) -> list[Any]:
    """The module (ours or Keras') that `f` is, or those that its code names, or that of functions beside it."""
    if isinstance(f, Module):
        return [f]
    found = [f]
    for thing in found:  # which grows meanwhile
        more = [getattr(thing, "__self__", None), getattr(thing, "__wrapped__", None)]
        if isinstance(thing, FunctionType):
            around = thing.__globals__
            named = filter(_leads_on, map(around.get, thing.__code__.co_names))
            more += [it for it in named if getattr(it, "__globals__", around) is around]
            for cell in thing.__closure__ or ():
                with suppress(ValueError):  # a variable that has no value yet
                    more.append(cell.cell_contents)
        found += [it for it in more if _leads_on(it) and (_is_module(it) or all(it is not old for old in found))]
    return list(filter(_is_module, found))


def _is_module(thing: Any) -> bool:
    return hasattr(type(thing), "_path_of")


def _leads_on(thing: Any) -> bool:
    """Is it a module, or a routine, which may name one? (The class is asked: an object may answer for others.)"""
    kind = type(thing)
    return hasattr(kind, "_path_of") or (hasattr(kind, "__get__") and not hasattr(kind, "__set__"))


def _argument_paths(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """A name for every leaf of the arguments: ``x``, or ``batch.0`` inside a list."""
    run: Any = getattr(f, "forward", None) or getattr(f, "call", f)
    function = getattr(run, "__func__", run)
    if isinstance(function, FunctionType) and not vars(function):  # which may have another signature than its code
        names = function.__code__.co_varnames[function is not run : function.__code__.co_argcount]
        if len(names) >= len(args):  # all by position: no signature is needed, which takes as long as a small model
            named = zip(names, args, strict=False)
            return [leaf for name, it in named for leaf in (_paths(it, name) if isinstance(it, _NESTED) else (name,))]
    try:
        bound = inspect.signature(run).bind(*args)
    except (TypeError, ValueError):  # no signature, or a wrong call: the call will tell
        return list(_paths(list(args), "input"))
    return [leaf for name, value in bound.arguments.items() for leaf in _paths(value, name)]


_NESTED = (dict, list, tuple)


def _paths(tree: Any, path: str) -> Iterator[str]:
    """A name for every leaf of a tree, in the order of `flatten`."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, f"{path}.{key}")
    elif isinstance(tree, (list, tuple)):
        for k, value in enumerate(tree):
            yield from _paths(value, f"{path}.{k}")
    else:
        yield path
