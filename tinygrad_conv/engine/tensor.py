"""`Tensor`: an array, and (when something it came from requires a gradient) a `Node` of the graph.

This file knows no particular operation. Methods look their operation up by name in `ops`, a namespace that the package
`ops/` fills as it declares its primitives; there, too, NumPy's operators and methods (`methods.py`) are put in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import DType, Kind, array_from, bare_array, check, checked
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from .guards import expose
from .methods import ArrayMethods
from .modes import clears, effect, is_grad_enabled, observer
from .node import HookHandle, Leaf, Node, Shape, accumulate_grad, lock_of, next_index, set_grad
from .source import Source, describe_source, user_source

__all__ = ["PLAIN", "Array", "Shape", "Tensor", "cast", "later", "ops", "plain_array", "wrap"]

ndarray = np.ndarray


class _Above(SimpleNamespace):
    """What methods look up by name, for its file imports this one: operations, and what is imported at first use."""

    def __getattr__(self, name: str) -> Any:
        if name not in later:
            raise AttributeError(name)
        module, _, attribute = later[name].rpartition(".")
        setattr(self, name, getattr(import_module(module), attribute))
        return getattr(self, name)


ops: Any = _Above()  # name -> operation; filled by the package `ops`
later: dict[str, str] = {}  # name -> where it is; filled by the library itself


class Tensor(ArrayMethods["Tensor"]):
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

    __slots__ = ("__weakref__", "_array", "_hooks", "_no_graph", "name", "node")
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
        if requires_grad is not False:
            requires_grad = check(bool, "Tensor", "requires_grad", requires_grad)
        if issubclass(type(data), Tensor):
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
        if isinstance(data, ndarray) and (
            array is data or type(data) is not ndarray or np.may_share_memory(array, data)
        ):
            expose(array, late=False)
        elif not isinstance(data, (list, tuple, int, float, complex, np.generic)):
            expose(array, late=False)  # anything else may keep a reference to its buffer
        if requires_grad:
            self.requires_grad = requires_grad

    # -- the array -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The sizes along the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numbers' dtype, NumPy's."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """How many elements there are."""
        return self._array.size

    @property
    def nbytes(self) -> int:
        """How many bytes the elements take."""
        return self._array.nbytes

    @property
    def data(self) -> ndarray:
        """The array itself, shared. Assigning gives the tensor a new array of the same shape, outside the graph."""
        self._escapes("data")
        expose(self._array, late=True)
        return self._array

    @data.setter
    @checked
    def data(self, value: Array) -> None:
        _assign(self, value)

    def _escapes(self, what: str) -> None:
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
            return ops.astype(self, dtype)._array
        by.touch(self)
        return self._array

    def numpy(self) -> ndarray:
        """The values as a NumPy array that shares this tensor's memory.

        >>> import tinygrad_conv as tg
        >>> tg.Tensor([1.0, 2.0]).numpy()
        array([1., 2.])
        """
        return self.data

    to_numpy = numpy  # the name by which pictures ask for data: ``plt.plot(w * x)``

    def item(self) -> Any:
        """The single element as a Python number.

        Raises ShapeError when there is not exactly one element.

        >>> import tinygrad_conv as tg
        >>> tg.Tensor([[3.0]]).item()
        3.0
        """
        if self._array.size != 1:
            raise ShapeError(f"item: expected a tensor with one element, got shape {self.shape}; use numpy() or x[i]")
        self._escapes("item()")
        return self._array.item()

    def tolist(self) -> Any:
        """Nested Python lists of the elements.

        >>> import tinygrad_conv as tg
        >>> tg.Tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        self._escapes("tolist()")
        return self._array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        ops.refuse_array(self)
        if dtype is None and (copy is None or copy is False):
            return self.data
        return self._converted(dtype, copy)

    @checked
    def _converted(self, dtype: Any, copy: bool | None) -> ndarray:
        if not copy and np.dtype(dtype) == self.dtype:
            return self.data
        if copy is False:
            raise ArgumentError(f"cannot give a {self.dtype} tensor as {np.dtype(dtype)} without a copy; use copy=None")
        self._escapes("a conversion to an array")
        return np.array(self._array, dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """``np.exp(x)`` and ``array * x`` are ``tg.exp(x)`` and ``tg.multiply(array, x)``."""
        return ops.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """``np.sum(x)`` is ``tg.sum(x)``; what has no operation runs on the arrays, unless a gradient would be lost."""
        return ops.array_function(function, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions of the Array API for this tensor: ``tg`` itself."""
        return ops.array_namespace(api_version)

    @property
    def device(self) -> str:
        """``"cpu"``."""
        return "cpu"

    @checked
    def to_device(self, device: str, /, *, stream: None = None) -> Tensor:
        """The tensor itself, for there is one device. Raises ArgumentError for another one.

        >>> import tinygrad_conv as tg
        >>> tg.Tensor([1.0]).to_device("cpu")
        Tensor([1.])
        """
        if device != "cpu" or stream is not None:
            raise ArgumentError(f'to_device: expected "cpu" and no stream, got {device!r} and stream={stream!r}')
        return self

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """The array for another library to share (``torch.from_dlpack(x)``)."""
        ops.refuse_array(self)
        wanted = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return self.data.__dlpack__(**{name: value for name, value in wanted.items() if value is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    # -- the graph -------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Is this a leaf whose gradient is wanted, or computed from one? Set to False, a gradient is forgotten."""
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
            if self.node is not None:
                self._hooks = self.node.hooks  # for when it is followed again
            self.node = None
        elif self.node is None:
            if self.dtype.kind not in "fc":
                raise DTypeError(
                    f"requires_grad: expected a floating dtype, got {self.dtype}; "
                    "write Tensor(data, dtype='float32', requires_grad=True)"
                )
            self.node = Leaf(self, user_source(2))
            self.node.hooks = getattr(self, "_hooks", None)

    @checked
    def requires_grad_(self, value: bool = True) -> Tensor:
        """Set `requires_grad` and return the tensor itself.

        >>> import tinygrad_conv as tg
        >>> tg.ones(2).requires_grad_()
        Tensor([1., 1.], requires_grad=True)
        """
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
        """Keep the gradient of this computed tensor in `grad` at the next `backward`; returns the tensor.

        >>> import tinygrad_conv as tg
        >>> y = (tg.Tensor([1.0, 2.0], requires_grad=True) * 3).retain_grad()
        >>> (y * y).sum().backward()
        >>> y.grad
        Tensor([ 6., 12.])
        """
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
        with lock_of(node):
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

        >>> import tinygrad_conv as tg
        >>> loss = tg.exp(tg.Tensor(2.0, requires_grad=True) * 3.0)
        >>> [node.primitive for node, incoming, outgoing in loss.backward_steps()]
        ['exp', 'multiply']
        """
        return ops.backward_steps(self, gradient, retain_graph)

    def detach(self) -> Tensor:
        """The same values (shared memory) cut from the graph.

        >>> import tinygrad_conv as tg
        >>> x = tg.Tensor([1.0], requires_grad=True)
        >>> (x * 2).detach().requires_grad
        False
        """
        out = wrap(self._shared(), None)
        out._no_graph = ("it was made by detach()", None)
        return out

    @clears(lambda self: [self])
    def zero_grad(self) -> None:
        """Forget the accumulated gradient.

        >>> import tinygrad_conv as tg
        >>> x = tg.Tensor([1.0], requires_grad=True)
        >>> x.sum().backward()
        >>> x.zero_grad()
        >>> x.grad is None
        True
        """
        if self.node is not None:
            self.node.grad = None

    # -- Python ----------------------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        self._escapes("a shown picture")
        return str(ops.shown_tensor(self))

    def __repr__(self) -> str:
        self._escapes("a printed text")
        text = np.array2string(self._array, separator=", ", threshold=60, edgeitems=2, prefix="Tensor(")
        parts = [text]
        if self.size > 60 or (not self.size and self.ndim > 1):
            parts.append(f"shape={self.shape}")
        if self.dtype not in (np.dtype("float64"), np.dtype("int64"), np.dtype("bool")):
            parts.append(f"dtype={self.dtype}")
        if self.name:
            parts.append(f"name={self.name!r}")
        if self.node is not None:
            parts.append("requires_grad=True" if self.node.primitive is None else f"from={self.node.shown}")
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
        self._escapes("a condition")
        return bool(self._array)

    def __float__(self) -> float:
        ops.refuse_number(self)
        return float(self.item())

    def __int__(self) -> int:
        ops.refuse_number(self)
        return int(self.item())

    def __index__(self) -> int:
        self._escapes("an index")
        return self._array.__index__()

    def __complex__(self) -> complex:
        ops.refuse_number(self)
        return complex(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __contains__(self, value: Array) -> bool:
        self._escapes("a condition")
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
        self._escapes("a copy")
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
        self._escapes("a pickle")
        made = _unpickle, (self.__class__, self._array, self.requires_grad, self.name)
        return (*made, self.__dict__) if getattr(self, "__dict__", None) else made

    def __delitem__(self, index: Any) -> None:
        raise DTypeError("tensors are values: an element is not deleted in place; tg.delete(x, index) gives the others")


def _retain(node: Callable[[], Node | None], gradient: Tensor) -> None:
    """The hook behind `Tensor.retain_grad`; the gradient itself goes on, and others may hold it too."""
    accumulate_grad(node(), gradient.copy())  # type: ignore[arg-type]


_new = object.__new__


def wrap(array: Any, node: Node | None) -> Tensor:
    """A `Tensor` around an array that the library made: no conversion, no checks."""
    tensor = _new(Tensor)
    tensor._array = array
    tensor.node = node
    tensor.name = tensor._no_graph = None
    return tensor


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


# ------------------------------------------------------------------------------------------------------------------
# What operations take


def _as_array(data: Any, dtype: Any = None, copy: bool | None = None) -> ndarray:
    return array_from(data, dtype, copy, of=_in_a_list)


def _in_a_list(value: Any) -> Any:
    """What stands in a list, as an array if it is a tensor."""
    if not isinstance(value, Tensor):
        return bare_array(value)
    if value.node is not None:
        raise GraphError("a list holds a tensor of a graph, which would be cut; use tg.stack([...])")
    value._escapes("a list")
    return value._array


# Operations take these as they are.
PLAIN = frozenset({ndarray, bool, int, float, complex, *(np.dtype(code).type for code in "?bhilqBHILQefdgFDG")})


def _operand(value: Any) -> Any:
    """An operation's input as an array, if it is neither a tensor nor among what is taken as it is.

    A list, or what else has numbers (a buffer, another library's array), may be changed later, so it is copied. What
    stands for a tensor, as a variable of Keras does, gives it with a method ``__tensor__``.
    """
    if isinstance(value, Tensor):
        return value
    if (stands_for := getattr(type(value), "__tensor__", None)) is not None:
        return stands_for(value)
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
