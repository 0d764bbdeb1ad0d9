"""Keras' tensors and variables: what `keras.src.backend.numpy.core` gets from this engine."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
from keras.src import tree
from keras.src.backend.common import KerasVariable, standardize_dtype
from keras.src.backend.common.dtypes import result_type
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.backend.numpy import core as stock

from ..engine.checkpoint import checkpoint
from ..engine.modes import MODE, is_grad_enabled, no_grad
from ..engine.primitive import opaque
from ..engine.tensor import Tensor
from ..errors import GraphError, NotDefinedError
from ..ops.indexing import scatter as scattered
from ..ops.indexing import set_at
from . import arrays

__all__ = [
    "IS_THREAD_SAFE", "Variable", "associative_scan", "compute_output_spec", "cond", "convert_to_numpy",
    "convert_to_tensor", "custom_gradient", "is_tensor", "remat", "scatter", "scatter_update", "slice", "slice_update",
    "stop_gradient",
]  # fmt: skip

IS_THREAD_SAFE = False  # callbacks run between the steps, in order: one may read or keep weights


class Variable(KerasVariable):  # type: ignore[misc]
    """A Keras variable; its value is a leaf, with a gradient if it is trainable."""

    def _initialize(self, value: Any) -> None:
        self._value = Tensor(np.array(convert_to_numpy(value), self._dtype))
        self._value.requires_grad = self._follows()

    def _follows(self) -> bool:
        return bool(self._trainable) and self._value.dtype.kind in "fc"

    def assign(self, value: Any) -> Any:
        """Take a value. No gradient goes through that of a state, in a scope that keeps it for later (a compiled step)
        either; a weight's is what the gradient is then asked for."""
        return super().assign(value if self._follows() else stop_gradient(value))

    def _direct_assign(self, value: Any) -> None:
        self._value.data = np.array(convert_to_numpy(value), self._dtype)

    def _convert_to_tensor(self, value: Any, dtype: Any = None) -> Any:
        return convert_to_tensor(value, dtype)

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        if self._value is not None:
            self._value.requires_grad = self._follows()

    @property
    def grad(self) -> Any:
        """What `backward` left at the value."""
        return None if self._value is None else self._value.grad

    def numpy(self) -> Any:
        return convert_to_numpy(self.value)

    def __tensor__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        value = self.value if MODE.get().module is not None else self.numpy()
        return np.array(value, dtype)  # in a layer, a tensor that is followed refuses that: its gradient would be lost

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        return getattr(ufunc, method)(*(x.value if isinstance(x, Variable) else x for x in inputs), **named)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = tree.map_structure(lambda x: x.value if isinstance(x, Variable) else x, (args, kwargs))
        return function(*args, **kwargs)


def is_tensor(x: Any) -> bool:
    """Data that no gradient flows through may stay an array: NumPy's functions mix the two."""
    return isinstance(x, (Tensor, np.ndarray, np.generic))


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    if isinstance(x, KerasVariable):
        x = x.value
    if sparse or ragged or not isinstance(x, (Tensor, list, tuple)):
        array = _convert(x, dtype, sparse, ragged)
        return array[()] if isinstance(x, (int, float)) else array  # a number: ``+=`` of a tensor makes a tensor of it
    if dtype is None and not isinstance(x, Tensor):
        dtype = result_type(*(getattr(item, "dtype", type(item)) for item in tree.flatten(x)))
    return arrays.array(x, None if dtype is None else standardize_dtype(dtype))


_convert = stock.convert_to_tensor


def convert_to_numpy(x: Any) -> Any:
    if isinstance(x, KerasVariable):
        x = x.value
    return np.array(x.detach().numpy() if isinstance(x, Tensor) else x)


_specified = stock.compute_output_spec


def compute_output_spec(fn: Any, *args: Any, **kwargs: Any) -> Any:
    with no_grad(), np.errstate(all="ignore"):  # it computes with zeros
        return _specified(fn, *args, **kwargs)


def stop_gradient(variable: Any) -> Any:
    x = convert_to_tensor(variable)
    return x.detach() if isinstance(x, Tensor) and x.node is not None else x


def cond(pred: Any, true_fn: Any, false_fn: Any) -> Any:
    decide = getattr(get_stateless_scope(), "decide", bool)  # a compiled step's
    return true_fn() if decide(pred) else false_fn()


def scatter(indices: Any, values: Any, shape: Any) -> Any:
    indices, values = convert_to_tensor(indices), convert_to_tensor(values)
    count = indices.shape[-1]
    indices = np.reshape(indices, (-1, count))
    values = np.reshape(values, (-1, *shape[count:]))
    return scattered(values, tuple(indices[:, k] for k in range(count)), tuple(shape))


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    index = tuple(np.transpose(convert_to_numpy(indices)))
    inputs, updates = convert_to_tensor(inputs), convert_to_tensor(updates)
    if reduction is None:
        return set_at(inputs, index, updates)
    if reduction == "add":
        return inputs + scattered(updates, index, inputs.shape)
    if reduction not in ("max", "min", "mul"):
        raise ValueError(f"Unsupported reduction: {reduction}")
    combine = {"max": np.maximum, "min": np.minimum, "mul": np.multiply}[reduction]
    for k in np.ndindex(index[0].shape):  # one by one: an index may come again
        at = tuple(i[k] for i in index)
        inputs = set_at(inputs, at, combine(inputs[at], updates[k]))
    return inputs


def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    if len(start_indices) != len(shape):
        raise ValueError(
            "Length of `start_indices` must match length of `shape`. "
            f"Received: start_indices={start_indices}, shape={shape}"
        )
    return convert_to_tensor(inputs)[_box(start_indices, shape)]


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    return set_at(convert_to_tensor(inputs), _box(start_indices, updates.shape), convert_to_tensor(updates))


def _box(starts: Any, shape: Any) -> tuple[Any, ...]:
    begins = map(int, convert_to_numpy(starts))
    return tuple(builtins.slice(begin, begin + length) for begin, length in zip(begins, shape, strict=False))


def associative_scan(f: Any, elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The elements one after the other: each result is f of the one before it and the element."""
    if not callable(f):
        raise TypeError(f"`f` should be a callable. Received: f={f}")
    flat = [convert_to_tensor(x) for x in tree.flatten(elems)]
    lengths = {x.shape[axis] for x in flat}
    if len(lengths) > 1:
        raise ValueError(
            f"Array inputs to associative_scan must have the same first dimension. (saw: {[x.shape for x in flat]})"
        )
    steps = [tree.pack_sequence_as(elems, [np.take(x, [k], axis) for x in flat]) for k in range(*lengths)]
    if reverse:
        steps.reverse()
    results = steps[:1]
    for step in steps[1:]:
        results.append(f(results[-1], step))
    if reverse:
        results.reverse()
    return tree.map_structure(lambda *parts: np.concatenate(parts, axis), *results)


class custom_gradient:  # noqa: N801 (Keras' name)
    """A function with a gradient of its own.

    Parameters
    ----------
    fun : callable
        ``outputs, grad = fun(*args)``, and ``grad(*upstream)`` gives one gradient for each argument.
    """

    def __init__(self, fun: Any) -> None:
        self.fun = fun

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple(x.value if isinstance(x, KerasVariable) else x for x in args)
        followed = [k for k, x in enumerate(args) if _is_followed(x)]
        beside = tree.flatten(([x for x in args if not isinstance(x, Tensor)], kwargs))
        if is_grad_enabled() and any(map(_is_followed, beside)):
            raise GraphError(
                "custom_gradient: expected what a gradient follows as an argument by position, got it as a keyword or "
                "in a container, which `grad` cannot reach; pass it by position"
            )
        with no_grad():
            outputs, grad = self.fun(*args, **kwargs)
        if not followed or not is_grad_enabled():
            return outputs
        flat = [convert_to_tensor(y) for y in tree.flatten(outputs)]

        def attached(j: int) -> Any:
            asked: list[Any] = [None, 0, ()]  # g and i of the last call, and what `grad` said of g

            def pulled(g: Any, i: int) -> Any:
                if asked[0] is not g or i <= asked[1]:  # one walk asks for one argument after the other
                    upstream = [np.zeros_like(y) if k != j else g for k, y in enumerate(flat)]
                    found = grad(*map(_as_tensor, upstream))
                    asked[2] = found if isinstance(found, (tuple, list)) else (found,)
                asked[:2] = g, i
                mine = asked[2][followed[i]]
                mine = np.zeros_like(args[followed[i]]) if mine is None else convert_to_tensor(mine)
                return mine if isinstance(g, Tensor) else convert_to_numpy(mine)

            def custom(*xs: Any) -> Any:
                return xs[-1]

            return opaque(vjp=pulled, jvp=_no_jvp)(custom)(*(args[k] for k in followed), flat[j])

        return tree.pack_sequence_as(outputs, [attached(j) for j in range(len(flat))])


def _is_followed(x: Any) -> bool:
    x = x.value if isinstance(x, KerasVariable) else x
    return isinstance(x, Tensor) and x.node is not None


def _as_tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else Tensor(x)


def _no_jvp(t: Any) -> Any:
    raise NotDefinedError("custom_gradient: it has no forward mode; Keras asks for its gradient only")


def remat(f: Any) -> Any:
    return checkpoint(f)
