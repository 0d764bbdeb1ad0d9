"""`Tensor` and `Node`: a value, and what the graph remembers of the operation that made it.

This file knows no particular operation. Operators and methods look their operation up by name in `ops`, a
namespace that the package `ops/` fills as it declares its primitives.

How the graph is held
---------------------
A `Tensor` is an array plus (when something it came from requires a gradient) a `Node`. A node knows its primitive,
the nodes of its inputs, and only those arrays that the primitive's rules read. Nodes never point at tensors, so
there are no reference cycles: when the last tensor of a graph goes, the graph goes.

How a gradient stays honest
---------------------------
Tensors share memory with the arrays they were made from and with what `numpy()` returns, as in PyTorch. Somebody may
write to such a buffer between forward and backward. So a node that saves a buffer which user code can reach also
saves its fingerprint, and backward compares (`Node.check_saved`).
"""

from __future__ import annotations

import os
import sys
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import count
from threading import RLock
from types import CodeType, SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np

from ..arguments import DType, Kind, afford, bare_array, check, checked, described
from ..errors import ArgumentError, DTypeError, GraphError, MutationError, ShapeError, TinygradConvError
from .modes import clears, effect, is_grad_enabled, observer

if TYPE_CHECKING:
    from .primitive import Primitive

__all__ = ["HookHandle", "Node", "Tensor"]

Shape: TypeAlias = tuple[int, ...]
ndarray = np.ndarray

ops: Any = SimpleNamespace()  # name -> operation; filled by the package `ops`

# ------------------------------------------------------------------------------------------------------------------
# Where in the user's code an operation was called

_LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_library_files: set[str] = set()  # as far as they were met, like those of users
_user_files: set[str] = set()
Source: TypeAlias = tuple[CodeType, int]


def user_source(depth: int) -> Source | None:
    """The innermost frame outside this library, as (code, instruction): cheap to take, resolved only when printed."""
    frame = sys._getframe(depth)
    while frame is not None:
        file = frame.f_code.co_filename
        if file in _user_files:
            return frame.f_code, frame.f_lasti
        if file in _library_files:
            frame = frame.f_back  # type: ignore[assignment]
        else:
            (_library_files if file.startswith(_LIBRARY) else _user_files).add(file)
    return None


def describe_source(source: Source | None) -> str:
    """``file.py:12: y = x * w`` for a source, as far as it is known."""
    if source is None:
        return "an unknown line"
    import linecache  # only when something is wrong

    code, lasti = source
    lines = [entry[0] for entry in code.co_positions()]
    line = lines[lasti // 2] if 0 <= lasti // 2 < len(lines) else None
    number = line or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{os.path.basename(code.co_filename)}:{number}" + (f": {text}" if text else "")


# ------------------------------------------------------------------------------------------------------------------
# Buffers that user code can reach

_exposed: dict[int, Any] = {}  # id(owning array) -> weak reference
_late: dict[int, int] = {}  # id(owning array) -> checksum when it was first handed out, if made by the library


def _owner(array: ndarray) -> ndarray:
    base = array.base
    while isinstance(base, ndarray):
        array, base = base, base.base
    return array


def checksum(array: ndarray) -> int:
    """CRC-32 of the elements in order (about 6 GB/s)."""
    return zlib.crc32(array.data if array.flags.c_contiguous else array.tobytes())


_SMALL = 1 << 19  # bytes


def fingerprint(array: ndarray) -> bytes | int:
    """What a node compares an array with: a copy of it (50 GB/s), or the checksum of a large one, to save memory."""
    return array.tobytes() if array.nbytes <= _SMALL else checksum(array)


def expose(array: ndarray, *, late: bool) -> None:
    """Note that user code can write to `array`'s memory from now on.

    ``late`` means that nodes may have saved it already: they will be compared with the checksum taken now.
    """
    owner = _owner(array)
    key = id(owner)
    if key in _exposed or array.dtype.hasobject:
        return
    _exposed[key] = weakref.ref(owner, partial(_forget, key, _exposed, _late))
    if late:
        _late[key] = checksum(owner)


def _forget(key: int, exposed: dict[int, Any], late: dict[int, int], _: Any) -> None:
    """An exposed array is gone. (The tables are arguments, for at the interpreter's end this module has no names.)"""
    exposed.pop(key, None)
    late.pop(key, None)


def reachable(array: Any, inputs: Sequence[Any]) -> bool:
    """Can user code write to an array that came out of an operation: is it their memory, or that of an input?"""
    if not isinstance(array, ndarray):
        return False
    owner = _owner(array)
    return id(owner) in _exposed or any(isinstance(x, ndarray) and _owner(x) is owner for x in inputs)


def arrays_in(value: Any) -> Iterator[ndarray]:
    """The arrays in a value: itself, or what tuples, lists and dictionaries hold."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, (tuple, list)):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


FIXED = frozenset({type(None), bool, int, float, complex, str, slice, type(Ellipsis), np.dtype, type})


def kept(value: Any) -> Any:
    """A keyword's value as a node keeps it, which nobody can change: an array becomes a copy, a list a tuple."""
    if isinstance(value, ndarray):
        own = np.array(value)
        by = observer()
        if by is not None:
            by.same(own, value)
        return own
    if isinstance(value, (tuple, list)):
        if type(value) is tuple:
            try:
                hash(value)
            except TypeError:  # there is an array or a list in it
                pass
            else:
                return value
        parts = [part if type(part) in FIXED else kept(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return {key: kept(part) for key, part in value.items()} if type(value) is dict else value


def unshared(tensor: Tensor) -> ndarray | None:
    """The tensor's array, if nobody else can see what it holds, and it may be written over: for updates in place.

    Whoever holds it (a graph that saved it, another tensor, a view, a local variable) is counted by Python; an array
    that was ever given out (`data`, `numpy()`) is left alone in any case. A thread that is computing with it is seen,
    one that is about to read it is not.
    """
    if _references(tensor) != _ALONE:
        return None
    array = tensor._array
    return array if array.base is None and array.flags.carray and id(array) not in _exposed else None


def _references(tensor: Any) -> int:
    return sys.getrefcount(tensor._array)


# ------------------------------------------------------------------------------------------------------------------
# Node

next_index = count(1).__next__
Guard: TypeAlias = tuple[int | str, ndarray, bytes | int]  # which input, "output" or "residual"; array; fingerprint
FREED: tuple[Any, ...] = ("freed",)


class Node:
    """What the graph remembers of one operation, or of a leaf (then `primitive` is None).

    ``saved`` holds, per input, the array if a rule reads it (else None), then the output if read, then the residual.
    ``index`` grows with creation, so every parent has a smaller index than its children: sorting by it is a
    topological order, and no walk recurses.
    """

    __slots__ = (
        "__weakref__", "dtype", "extra", "grad", "guards", "hooks", "index", "params", "parents", "primitive",
        "saved", "shape", "source",
    )  # fmt: skip

    def __init__(
        self,
        primitive: Primitive | None,
        parents: Sequence[Node | None],
        params: dict[str, Any],
        saved: Sequence[Any],
        shape: Shape,
        dtype: np.dtype[Any],
        source: Source | None,
        guards: tuple[Guard, ...] | None = None,
    ) -> None:
        self.primitive = primitive
        self.parents = parents
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.source = source
        self.guards = guards  # one for each saved buffer that user code can reach
        self.index = next_index()
        self.grad: Tensor | None = None  # leaves, and nodes that retain their gradient
        self.hooks: dict[int, Callable[[Tensor], Any]] | None = None
        self.extra: Any = None  # the module path, or the tensor's name for a leaf

    @property
    def freed(self) -> bool:
        """Has a backward pass already used this node up?"""
        return self.saved is FREED

    def free(self) -> None:
        """Let go of everything that only a further backward would need."""
        self.saved = FREED
        self.parents = ()
        self.guards = None

    def check_saved(self) -> None:
        """Raise `MutationError` if a saved buffer is not what it was when it was saved."""
        guarded = set()
        for what, array, before in self.guards or ():
            guarded.add(id(array))
            if fingerprint(array) != before:
                self._raise_mutated(what, array)
        if _late:
            for position, saved in enumerate(self.saved):
                for array in (saved,) if type(saved) is ndarray else arrays_in(saved):
                    if id(array) not in guarded:
                        owner = _owner(array)
                        first = _late.get(id(owner))
                        if first is not None and checksum(owner) != first:
                            last = len(self.saved) - 1
                            self._raise_mutated({last: "residual", last - 1: "output"}.get(position, position), array)

    def _raise_mutated(self, what: int | str, array: ndarray) -> None:
        raise MutationError(
            f"{self.label}: its saved {what if isinstance(what, str) else f'input {what}'} (shape {array.shape}) was "
            f"changed in place after the operation ran at {describe_source(self.source)}; its gradient would be "
            "wrong. Change a copy (x.numpy().copy()), or change it after backward()"
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            "a graph is neither copied nor pickled: take the values of its tensors (x.numpy(), x.detach())"
        )

    @property
    def label(self) -> str:
        return self.primitive.shown if self.primitive is not None else "leaf"

    def __repr__(self) -> str:
        return f"<Node {self.label} {self.shape} {self.dtype}>"


class HookHandle:
    """Removes the hook it stands for."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError("the handle of a hook is neither copied nor pickled: register the hook on the copied tensor")

    def remove(self) -> None:
        """Take the hook away; calling it twice is fine."""
        self._hooks.pop(self._key, None)


_LOCKS: list[Any] = []  # of nodes, by their number: two threads that add to one gradient must not lose a sum


def _new_locks() -> None:
    _LOCKS[:] = [RLock() for _ in range(61)]


_new_locks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_locks)  # a thread of the parent may have held one


def _lock(node: Node) -> Any:
    return _LOCKS[node.index % 61]


def accumulate_grad(node: Node, gradient: Tensor) -> None:
    """Add to a node's ``.grad``, as `backward` does, whatever other threads add."""
    by = observer()
    if by is not None:
        by.gradient(node)
    add_grad(node, gradient)


@effect
def add_grad(node: Node, gradient: Tensor) -> Tensor:
    """Add to a node's ``.grad``; the new one."""
    with _LOCKS[node.index % 61]:
        node.grad = total = gradient if node.grad is None else node.grad + gradient
    return total


@effect
def set_grad(node: Node, gradient: Tensor | None) -> None:
    """Give a node another ``.grad``, or none."""
    node.grad = gradient


def _retain(node: Callable[[], Node | None], gradient: Tensor) -> None:
    """The hook behind `Tensor.retain_grad`; the gradient itself goes on, and others may hold it too."""
    accumulate_grad(node(), gradient.copy())  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------------
# Tensor

_IN_PLACE_HELP = (
    "tensors are values: assignment in place is not recorded. Write y = tg.set_at(x, index, value), "
    "y = tg.add_at(x, index, value) or y = tg.where(mask, value, x) instead"
)


class Tensor:
    """An n-dimensional array that remembers how it was made.

    Parameters
    ----------
    data : array, scalar, nested list or Tensor
        The values. A NumPy array is shared, not copied (a list or scalar is converted by NumPy's rules); one of a
        subclass is taken as a plain array. A tensor stays in its graph, unless ``requires_grad`` makes a new leaf.
    requires_grad : bool
        Record what is computed from this tensor, so that `backward` can fill its `grad`. Needs a floating dtype.
    dtype : dtype, optional
        Convert to this dtype.
    name : str, optional
        Shown in errors, in `repr` and in pictures of the graph.

    Raises
    ------
    DTypeError
        ``requires_grad`` with an integer or bool dtype, or data that are not numbers.
    ArgumentError
        A masked array with masked elements.

    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_array", "_no_graph", "name", "node")
    __hash__ = object.__hash__

    _array: ndarray
    node: Node | None
    name: str | None
    _no_graph: tuple[str, Source | None] | None  # why there is no graph, and where that happened, if there is a reason

    def __init__(self, data: Array, requires_grad: bool = False, dtype: Any = None, name: str | None = None) -> None:
        node = None
        if dtype is not None:
            dtype = check(DType, "Tensor", "dtype", dtype)
        if name is not None:
            name = check(str, "Tensor", "name", name)
        if isinstance(data, Tensor):
            if type(self) is Tensor and not requires_grad and is_grad_enabled():  # the same variable, no gradient lost
                data = data if dtype is None else ops.astype(data, dtype)
                node = data.node
            data = data._shared(dtype)
        try:
            array = _as_array(data, dtype)
        except (ArgumentError, DTypeError, GraphError) as error:
            raise type(error)(f"Tensor: {error}") from None
        self._array = array
        self.node = node
        self.name = name
        self._no_graph = None
        by = observer()
        if by is not None:
            by.made(array)
        if isinstance(data, ndarray) and (array is data or np.may_share_memory(array, data)):
            expose(array, late=False)
        elif not isinstance(data, (list, tuple, int, float, complex, np.generic)):
            expose(array, late=False)  # anything else may keep a reference to its buffer
        if requires_grad is not False:
            self.requires_grad = requires_grad

    # -- the array -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return self._array.size

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def data(self) -> ndarray:
        """The array itself, shared. Assigning gives the tensor a new array of the same shape, outside the graph."""
        self._leaves("data")
        expose(self._array, late=True)
        return self._array

    @data.setter
    @checked
    def data(self, value: Array) -> None:
        _assign(self, value)

    def _leaves(self, what: str) -> None:
        """The values are about to be used outside the library."""
        by = observer()
        if by is not None:
            by.escape(f"{what} reads the values of a tensor")

    def _shared(self, dtype: Any = None) -> ndarray:
        """The array, for another tensor to hold (in another dtype: a new array of the same values)."""
        by = observer()
        if by is None:
            return self._array
        if dtype is not None and np.dtype(dtype) != self.dtype:
            return ops.astype(self, dtype)._array  # type: ignore[no-any-return]
        by.touch(self)
        return self._array

    def numpy(self) -> ndarray:
        """The values as a NumPy array that shares this tensor's memory."""
        return self.data

    to_numpy = numpy  # the name by which pictures ask for data: ``plt.plot(w * x)``

    def item(self) -> Any:
        """The single element as a Python number.

        Raises ShapeError when there is not exactly one element.
        """
        if self._array.size != 1:
            raise ShapeError(f"item: expected a tensor with one element, got shape {self.shape}; use numpy() or x[i]")
        self._leaves("item()")
        return self._array.item()

    def tolist(self) -> Any:
        """Nested Python lists of the elements."""
        self._leaves("tolist()")
        return self._array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        ops.refuse_array(self)
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            if copy is False:
                raise ValueError(f"cannot give a {self.dtype} tensor as {np.dtype(dtype)} without a copy")
            self._leaves("a conversion to an array")
            return np.array(self._array, dtype=dtype)
        return self.data

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """``np.exp(x)`` and ``array * x`` are ``tg.exp(x)`` and ``tg.multiply(array, x)``."""
        return ops.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """``np.sum(x)`` is ``tg.sum(x)``; what has no operation runs on the arrays, unless a gradient would be lost."""
        return ops.array_function(function, args, kwargs)

    def __dlpack__(self, **wanted: Any) -> Any:
        """The array for another library to share (``torch.from_dlpack(x)``)."""
        ops.refuse_array(self)
        return self.data.__dlpack__(**wanted)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    # -- the graph -------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Is this a leaf whose gradient is wanted, or computed from one?"""
        return self.node is not None

    @requires_grad.setter
    @checked
    def requires_grad(self, value: bool) -> None:
        if self.node is not None and self.node.primitive is not None:
            if not value:
                raise GraphError("requires_grad: this tensor was computed; use detach() to cut it from its graph")
            return
        by = observer()
        if by is not None:
            by.touch(self)
        if not value:
            self.node = None
        elif self.node is None:
            if self.dtype.kind not in "fc":
                raise DTypeError(
                    f"requires_grad: expected a floating dtype, got {self.dtype}; "
                    "write Tensor(data, dtype='float32', requires_grad=True)"
                )
            self.node = Node(None, (), {"tensor": weakref.ref(self)}, (), self.shape, self.dtype, user_source(2))
            self.node.extra = self.name

    @checked
    def requires_grad_(self, value: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor itself."""
        self.requires_grad = value
        return self

    @property
    def is_leaf(self) -> bool:
        """Was this tensor made by the user, not computed from others in a graph?"""
        return self.node is None or self.node.primitive is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` accumulated here; None before, or on a tensor that keeps none."""
        by = observer()
        if by is not None:
            by.touch(self)
            if self.node is not None:
                by.gradient(self.node)
        return None if self.node is None else self.node.grad

    @grad.setter
    @checked
    def grad(self, value: Array | None) -> None:
        if self.node is None:
            if value is None:
                return
            raise GraphError("grad: this tensor does not require a gradient; make it with requires_grad=True")
        if value is not None and not isinstance(value, Tensor):
            value = Tensor(value)
        if value is not None and value.shape != self.shape:
            raise ShapeError(f"grad: expected shape {self.shape}, got {value.shape}")
        if value is not None and value.dtype != self.dtype:
            followed = value.node is not None
            value = ops.astype(value, self.dtype) if followed else wrap(cast("grad", value._array, self.dtype), None)
        set_grad(self.node, value)

    def retain_grad(self) -> Tensor:
        """Keep the gradient of this computed tensor in `grad` at the next `backward`; returns the tensor."""
        node = self._needs_node("retain_grad")
        if node.primitive is not None:
            self.register_hook(partial(_retain, weakref.ref(node)))  # held by its node: a strong one would be a cycle
        return self

    @checked
    def register_hook(self, hook: Callable[[Tensor], Any]) -> HookHandle:
        """Call ``hook(gradient)`` when this tensor's gradient is complete during backward.

        What the hook returns (if not None) replaces the gradient. Returns a handle with `remove()`.

        >>> import tinygrad_conv as tg
        >>> x = tg.Tensor([1.0], requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * 3).sum().backward()
        >>> x.grad
        Tensor([30.])
        """
        node = self._needs_node("register_hook")
        by = observer()
        if by is not None:
            by.touch(self)
        with _lock(node):
            if node.hooks is None:
                node.hooks = {}
        key = next_index()
        node.hooks[key] = hook
        return HookHandle(node.hooks, key)

    def _needs_node(self, what: str) -> Node:
        if self.node is None:
            default = ("it was made without requires_grad=True, or from such tensors", None)
            why, source = self._no_graph or default
            if source is not None:
                why += f" at {describe_source(source)}"
            raise GraphError(
                f"{what}: this tensor (shape {self.shape}) has no graph: {why}. Make its inputs with "
                "requires_grad=True and compute it outside no_grad()"
            )
        return self.node

    def backward(self, gradient: Array | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf to the leaf's `grad`.

        Parameters
        ----------
        gradient : array of this tensor's shape, optional
            The cotangent to pull back; 1 by default, which needs a tensor with one element.
        retain_graph : bool
            Keep the graph for another backward. By default it is freed on the way.
        create_graph : bool
            Record the backward pass itself, so that gradients can be differentiated again (implies `retain_graph`).
            A `grad` then holds a graph that holds its tensor's node: forget it (`zero_grad`), or use `tg.grad`.

        Raises
        ------
        GraphError
            No graph, a graph already freed, or a non-scalar without `gradient`.
        MutationError
            A saved buffer was changed since forward.
        """
        ops.backward(self, gradient, retain_graph, create_graph)

    def backward_steps(self, gradient: Array | None = None, retain_graph: bool = False) -> Iterator[Any]:
        """`backward`, one operation at a time: ``for node, incoming, outgoing in loss.backward_steps()``.

        Yields a `graph.steps.Step` as each operation's rules have run: the operation, the gradient of its output, and
        for each input what it adds to that input's gradient. Ends with the same ``.grad`` as `backward`, to the bit.
        Arguments and errors are those of `backward`.
        """
        return ops.backward_steps(self, gradient, retain_graph)  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """The same values (shared memory) cut from the graph."""
        out = wrap(self._shared(), None)
        out._no_graph = ("it was made by detach()", None)
        return out

    @clears(lambda self: [self])
    def zero_grad(self) -> None:
        """Forget the accumulated gradient."""
        if self.node is not None:
            self.node.grad = None

    # -- Python ----------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        self._leaves("a printed text")
        text = np.array2string(self._array, separator=", ", threshold=60, edgeitems=2, prefix="Tensor(")
        parts = [text]
        if self.size > 60 or (not self.size and self.ndim > 1):
            parts.append(f"shape={self.shape}")
        if self.dtype not in (np.dtype("float64"), np.dtype("int64"), np.dtype("bool")):
            parts.append(f"dtype={self.dtype}")
        if self.name:
            parts.append(f"name={self.name!r}")
        if self.node is not None:
            parts.append("requires_grad=True" if self.node.primitive is None else f"from={self.node.label}")
        return f"Tensor({', '.join(parts)})"

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"the truth of a tensor with shape {self.shape} is ambiguous; use (x > 0).all() or .any()")
        self._leaves("a condition")
        return bool(self._array)

    def __float__(self) -> float:
        ops.refuse_number(self)
        return float(self.item())

    def __int__(self) -> int:
        ops.refuse_number(self)
        return int(self.item())

    def __index__(self) -> int:
        self._leaves("an index")
        return self._array.__index__()

    def __complex__(self) -> complex:
        ops.refuse_number(self)
        return complex(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __contains__(self, value: Array) -> bool:
        self._leaves("a condition")
        return bool(np.any(ops.equal(self, value)._array))

    def __copy__(self) -> Tensor:
        """The same values, in shared memory, at the same place in the graph; of a leaf, a leaf of its own."""
        out = self.__class__.__new__(self.__class__)
        out._array, out.name, out._no_graph = self._shared(), self.name, self._no_graph
        out.node = None if self.is_leaf else self.node
        if hasattr(self, "__dict__"):  # a subclass
            out.__dict__.update(self.__dict__)
        if self.is_leaf and self.requires_grad:
            out.requires_grad = True
        return out

    def __deepcopy__(self, memo: Any) -> Tensor:
        if not self.is_leaf:
            raise GraphError("deepcopy: only leaves can be copied; use x.detach() first")
        self._leaves("a copy")
        out = self.__class__.__new__(self.__class__)
        memo[id(self)] = out
        out._array, out.node, out.name, out._no_graph = self._array.copy(), None, self.name, None
        if hasattr(self, "__dict__"):
            out.__dict__.update(deepcopy(self.__dict__, memo))
        out.requires_grad = self.requires_grad
        if self.grad is not None:
            out.grad = wrap(self.grad._array.copy(), None)
        return out

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise GraphError("pickle: only leaves can be saved; use x.detach() first")
        self._leaves("a pickle")
        made = _unpickle, (self.__class__, self._array, self.requires_grad, self.name)
        return (*made, self.__dict__) if getattr(self, "__dict__", None) else made

    def __setitem__(self, index: Any, value: Any) -> None:
        raise DTypeError(_IN_PLACE_HELP)

    def __delitem__(self, index: Any) -> None:
        raise DTypeError(_IN_PLACE_HELP)

    # -- operators -------------------------------------------------------------------------------------------------

    def __add__(self, other: Array) -> Tensor:
        return ops.add(self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Array) -> Tensor:
        return ops.add(other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Array) -> Tensor:
        return ops.subtract(self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Array) -> Tensor:
        return ops.subtract(other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Array) -> Tensor:
        return ops.multiply(self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Array) -> Tensor:
        return ops.multiply(other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Array) -> Tensor:
        return ops.divide(self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Array) -> Tensor:
        return ops.divide(other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: Array) -> Tensor:
        return ops.floor_divide(self, other)  # type: ignore[no-any-return]

    def __rfloordiv__(self, other: Array) -> Tensor:
        return ops.floor_divide(other, self)  # type: ignore[no-any-return]

    def __mod__(self, other: Array) -> Tensor:
        return ops.remainder(self, other)  # type: ignore[no-any-return]

    def __rmod__(self, other: Array) -> Tensor:
        return ops.remainder(other, self)  # type: ignore[no-any-return]

    def __pow__(self, other: Array) -> Tensor:
        return ops.pow(self, other)  # type: ignore[no-any-return]

    def __rpow__(self, other: Array) -> Tensor:
        return ops.pow(other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Array) -> Tensor:
        return ops.matmul(self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Array) -> Tensor:
        return ops.matmul(other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Tensor:
        return ops.negative(self)  # type: ignore[no-any-return]

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)  # type: ignore[no-any-return]

    def __lt__(self, other: Array) -> Tensor:
        return ops.less(self, other)  # type: ignore[no-any-return]

    def __le__(self, other: Array) -> Tensor:
        return ops.less_equal(self, other)  # type: ignore[no-any-return]

    def __gt__(self, other: Array) -> Tensor:
        return ops.greater(self, other)  # type: ignore[no-any-return]

    def __ge__(self, other: Array) -> Tensor:
        return ops.greater_equal(self, other)  # type: ignore[no-any-return]

    def __eq__(self, other: Array) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)  # type: ignore[no-any-return]

    def __ne__(self, other: Array) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)  # type: ignore[no-any-return]

    def __and__(self, other: Array) -> Tensor:
        return ops.bitwise_and(self, other)  # type: ignore[no-any-return]

    def __or__(self, other: Array) -> Tensor:
        return ops.bitwise_or(self, other)  # type: ignore[no-any-return]

    def __xor__(self, other: Array) -> Tensor:
        return ops.bitwise_xor(self, other)  # type: ignore[no-any-return]

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Tensor:
        return ops.bitwise_invert(self)  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)  # type: ignore[no-any-return]

    # -- NumPy's array methods -------------------------------------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.sum(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.mean(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.prod(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.max(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.min(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def var(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        return ops.var(self, axis=axis, ddof=ddof, keepdims=keepdims)  # type: ignore[no-any-return]

    def std(self, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        return ops.std(self, axis=axis, ddof=ddof, keepdims=keepdims)  # type: ignore[no-any-return]

    def cumsum(self, axis: int | None = None) -> Tensor:
        return ops.cumsum(self, axis=axis)  # type: ignore[no-any-return]

    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.all(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        return ops.any(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return ops.argmax(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor:
        return ops.argmin(self, axis=axis, keepdims=keepdims)  # type: ignore[no-any-return]

    def argsort(self, axis: int = -1) -> Tensor:
        return ops.argsort(self, axis=axis)  # type: ignore[no-any-return]

    def round(self, decimals: int = 0) -> Tensor:
        return ops.round(self, decimals)  # type: ignore[no-any-return]

    def __round__(self, decimals: int = 0) -> Tensor:
        return ops.round(self, decimals)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return ops.diagonal(self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return ops.trace(self, offset, axis1, axis2)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, _varargs(shape))  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Tensor:
        return ops.permute_dims(self, _varargs(axes) if axes else None)  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The axes reversed."""
        return ops.permute_dims(self, None)  # type: ignore[no-any-return]

    @property
    def real(self) -> Tensor:
        """The real part."""
        return ops.real(self)  # type: ignore[no-any-return]

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return ops.imag(self)  # type: ignore[no-any-return]

    def conj(self) -> Tensor:
        return ops.conj(self)  # type: ignore[no-any-return]

    conjugate = conj

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """The last two axes swapped: a stack of matrices, each transposed."""
        return ops.matrix_transpose(self)  # type: ignore[no-any-return]

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return ops.swapaxes(self, axis1, axis2)  # type: ignore[no-any-return]

    def squeeze(self, axis: Any = None) -> Tensor:
        return ops.squeeze(self, axis=axis)  # type: ignore[no-any-return]

    def flatten(self) -> Tensor:
        return ops.reshape(self, (-1,))  # type: ignore[no-any-return]

    ravel = flatten

    def repeat(self, repeats: int, axis: int | None = None) -> Tensor:
        return ops.repeat(self, repeats, axis=axis)  # type: ignore[no-any-return]

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        return ops.take(self, indices, axis=axis)  # type: ignore[no-any-return]

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return ops.clip(self, min, max)  # type: ignore[no-any-return]

    def dot(self, other: Array) -> Tensor:
        return ops.dot(self, other)  # type: ignore[no-any-return]

    def astype(self, dtype: Any) -> Tensor:
        return ops.astype(self, dtype=dtype)  # type: ignore[no-any-return]

    def copy(self) -> Tensor:
        """The same values in memory of their own, still in the graph."""
        return ops.copy(self)  # type: ignore[no-any-return]


_new = object.__new__


def wrap(array: Any, node: Node | None) -> Tensor:
    """A `Tensor` around an array that the library made: no conversion, no checks."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor.node = node
    tensor.name = tensor._no_graph = None
    return tensor


_ALONE = _references(wrap(np.empty(1), None))  # what is counted where nobody else has the array


@effect
def _assign(tensor: Tensor, value: Array) -> None:
    """Give a tensor a new array: what ``tensor.data = value`` does."""
    array = cast("Tensor.data", value, tensor.dtype)
    if array.shape != tensor.shape:
        raise ShapeError(f"Tensor.data: expected an array of shape {tensor.shape}, got {array.shape}")
    tensor._array = array
    if isinstance(value, ndarray):
        expose(array, late=False)


def cast(what: str, value: Any, dtype: np.dtype[Any]) -> ndarray:
    """A value as an array of a dtype that can hold it, but for rounding: where nobody asked for a conversion.

    Raises DTypeError or ArgumentError for complex numbers that would become real, for what would become infinite, and
    for numbers that are none of an integer dtype's.
    """
    array = value._array if isinstance(value, Tensor) else np.asarray(bare_array(value, what))
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "fiubc" or (array.dtype.kind == "c" and dtype.kind != "c"):
        raise DTypeError(f"{what}: expected values that {dtype} holds, got {array.dtype} of shape {array.shape}")
    with np.errstate(all="ignore"):
        out = array.astype(dtype)
        lost = np.isfinite(array) & ~np.isfinite(out) if dtype.kind in "fc" else out != array
    if lost.any():
        where = tuple(map(int, np.argwhere(lost)[0]))
        raise ArgumentError(
            f"{what}: expected values that {dtype} holds, got {array[where]} at index {where}; give {dtype}, or "
            "convert them yourself with astype"
        )
    return out


def _unpickle(cls: type[Tensor], array: ndarray, requires_grad: bool, name: str | None) -> Tensor:
    out = cls.__new__(cls)
    out._array, out.node, out.name, out._no_graph = array, None, name, None
    out.requires_grad = requires_grad
    return out


def _varargs(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 and not isinstance(items[0], (int, np.integer)) else tuple(items)


# ------------------------------------------------------------------------------------------------------------------
# What operations take


def _numbers(data: Any, depth: int = 0) -> Any:
    """Nested lists with every Tensor in them replaced by its array, and arrays of subclasses by plain ones."""
    if isinstance(data, (list, tuple)):
        if depth > 64:
            raise DTypeError("expected lists nested at most 64 deep, as many axes as NumPy's arrays have")
        return [_numbers(item, depth + 1) for item in data]
    if isinstance(data, Tensor):
        if data.node is not None:
            raise GraphError("a list holds a tensor of a graph, which would be cut; use tg.stack([...])")
        data._leaves("a list")
        return data._array
    return bare_array(data)


def _as_array(data: Any, dtype: Any = None, copy: bool | None = None) -> ndarray:
    """Numbers as an array. Raises DTypeError or GraphError in words that follow the name of who was given them."""
    data = _numbers(data) if isinstance(data, (list, tuple)) else bare_array(data)
    try:
        if isinstance(data, range):
            afford("a range", (len(data),))
        if dtype is not None and np.dtype(dtype).kind not in "cb" and np.iscomplexobj(data):
            raise DTypeError(f"expected real numbers for {np.dtype(dtype)}, got complex ones; take the real part first")
        array = np.array(data, dtype=dtype, copy=copy)
    except TinygradConvError:
        raise
    except Exception as error:  # an object may raise anything when it is asked for its array
        raise DTypeError(f"expected numbers of one regular shape, got {described(data)} ({error})") from None
    if array.dtype.kind not in "fiubc":
        raise DTypeError(f"expected numbers, got dtype {array.dtype} from {described(data)}; convert the data first")
    return array


# Operations take these as they are.
PLAIN = frozenset({ndarray, bool, int, float, complex, *(np.dtype(code).type for code in "?bhilqBHILQefdgFDG")})


def _operand(value: Any) -> Any:
    """An operation's input as an array, if it is neither a tensor nor among what is taken as it is.

    A list, or what else has numbers (a buffer, another library's array), may be changed later, so it is copied.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, ndarray):  # of a subclass
        array = bare_array(value)
        expose(array, late=False)
        return array
    return _as_array(value, copy=True)


ARRAY = Kind(
    "numbers", _operand, quick="type({0}) in PLAIN or isinstance({0}, Tensor)",
    names={"Tensor": Tensor, "PLAIN": PLAIN},
)  # fmt: skip
Array: TypeAlias = Annotated[Any, ARRAY]  # a NumPy array, a scalar, nested lists or a Tensor: what operations accept


def plain_array(value: Any, what: str) -> Any:
    """An operation's input that is no tensor, no plain array and no number, as an array."""
    return ARRAY.check(what, "", value)
