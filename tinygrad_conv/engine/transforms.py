"""Transforms: functions that give the derivatives of functions, nested to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeAlias

import numpy as np

from ..arguments import Kind, checked, integers, items_of, one_of
from ..errors import ShapeError
from .backward import cotangent
from .modes import MODE, constant
from .tensor import Tensor, ndarray, ops, wrap
from .trace import Trace, as_tensor
from .trees import flatten
from .walk import pull, push

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]


_POSITION = integers(-(2**63))


def _different(argnums: Any) -> Any:
    several = isinstance(argnums, (tuple, list, range))
    numbers = tuple(items_of(argnums)) if several else (argnums,)
    if not all(isinstance(k, int) for k in numbers):
        raise ValueError
    numbers = tuple(map(_POSITION.read, numbers))
    if len(set(numbers)) < len(numbers):
        raise ValueError
    return numbers if several else numbers[0]


Argnums: TypeAlias = Annotated[int | Sequence[int], Kind("an int or different ints", _different)]


def _argnums(argnums: Argnums) -> tuple[tuple[int, ...], bool]:
    """As a tuple, and was it one number?"""
    return ((argnums,), True) if isinstance(argnums, int) else (tuple(argnums), False)


@checked
def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``f``'s scalar value and its gradient.

    Parameters
    ----------
    f : callable returning one number (or ``(number, aux)`` with ``has_aux``)
    argnums : int or tuple of ints
        Which positional arguments to differentiate; each may be a nested list, tuple or dict of tensors.

    Returns
    -------
    callable
        ``(value, gradient)``; the gradient has the structure of the argument (a tuple of such for several argnums).

    Raises
    ------
    ShapeError, DTypeError
        ``f`` returns more than one number, nothing, or is given integers.

    >>> import tinygrad_conv as tg
    >>> tg.value_and_grad(lambda x: x * x)(3.0)
    (Tensor(9.), Tensor(6.))
    """
    numbers, single = _argnums(argnums)

    def value_and_grad_f(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        trace = Trace("grad", lambda *a: f(*a, **kwargs), args, numbers)
        y, aux = trace.scalar(has_aux)
        recording = trace.depends_on_more()
        one = wrap(constant(np.ones(y.shape, y.dtype)), None)
        gradients = trace.arrange(trace.pull_back([one], recording, retain=recording))
        trace.finish(recording)
        trace.close()
        if aux is not None and not recording:  # data: what it came from is this call's own
            parts, rebuild = flatten(aux)
            aux = rebuild([wrap(part._array, None) if isinstance(part, Tensor) else part for part in parts])
        value = (trace.outputs[0], aux) if has_aux else trace.outputs[0]
        return value, gradients[0] if single else tuple(gradients)

    return value_and_grad_f


@checked
def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function. Touches nobody's ``.grad``; nests to any order.

    See `value_and_grad` for the arguments and errors.

    >>> import tinygrad_conv as tg
    >>> tg.grad(lambda x: x ** 3)(2.0)
    Tensor(12.)
    >>> tg.grad(tg.grad(lambda x: x ** 3))(2.0)
    Tensor(12.)
    >>> tg.grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 5.0})
    {'a': Tensor(5.), 'b': Tensor(2.)}
    """
    both = value_and_grad(f, argnums, has_aux)

    def grad_f(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return grad_f


@checked
def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Reverse mode: ``f``'s value, and the function that pulls a cotangent back to the primals.

    Returns
    -------
    (y, pullback)
        ``pullback(g)`` takes a cotangent of ``y``'s structure and returns one gradient per primal, as a tuple;
        it may be called many times.

    >>> import tinygrad_conv as tg
    >>> y, pullback = tg.vjp(lambda x, w: x * w, 2.0, 3.0)
    >>> pullback(1.0)
    (Tensor(3.), Tensor(2.))
    """
    trace = Trace("vjp", f, primals, range(len(primals)))
    trace.flatten_result()
    recording = trace.depends_on_more()

    def pullback(g: Any) -> tuple[Any, ...]:
        parts, _ = flatten(g)
        if len(parts) != len(trace.outputs):
            raise ShapeError(f"vjp: expected {len(trace.outputs)} cotangents, one per output, got {len(parts)}")
        cotangents = [cotangent("vjp", part, y) for part, y in zip(parts, trace.outputs, strict=True)]
        follow = (recording or any(c.node is not None for c in cotangents)) and MODE.get().recording
        return tuple(trace.arrange(trace.pull_back(cotangents, follow, retain=True)))

    visible = [y if recording else wrap(y._array, None) for y in trace.outputs]
    return trace.rebuild_output(visible), pullback


@checked
def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Forward mode: ``f``'s value, and its derivative along the tangents.

    Parameters
    ----------
    primals, tangents : tuple (or list)
        The arguments of ``f``, and for each a direction of the same structure and shapes.

    Returns
    -------
    (y, tangent), both of ``y``'s structure.

    >>> import tinygrad_conv as tg
    >>> tg.jvp(lambda x: x * x, (3.0,), (1.0,))
    (Tensor(9.), Tensor(6.))
    """
    primals = tuple(primals) if isinstance(primals, (tuple, list)) else (primals,)
    tangents = tuple(tangents) if isinstance(tangents, (tuple, list)) else (tangents,)
    trace = Trace("jvp", f, primals, range(len(primals)))
    trace.flatten_result()
    parts, _ = flatten(tangents)
    if len(parts) != len(trace.inputs):
        raise ShapeError(f"jvp: expected {len(trace.inputs)} tangents, one per primal, got {len(parts)}")
    directions = [cotangent("jvp", part, x) for part, x in zip(parts, trace.inputs, strict=True)]
    recording = trace.outer and (trace.depends_on_more() or any(t.node is not None for t in directions))
    results = trace.push_forward(directions, recording)
    trace.finish(recording)
    trace.close()
    return trace.rebuild_output(trace.outputs), trace.rebuild_output(results)


Direction: TypeAlias = Annotated[str, one_of("auto", "reverse", "forward")]


@checked
def jacobian(f: Callable[..., Any], argnums: Argnums = 0, mode: Direction = "auto") -> Callable[..., Any]:
    """The matrix of all first derivatives, of shape ``y.shape + x.shape``.

    Parameters
    ----------
    mode : "reverse" (one pullback per output element), "forward" (one push per input element), or "auto"

    >>> import tinygrad_conv as tg
    >>> tg.jacobian(lambda x: x * x)(tg.Tensor([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]])
    """
    numbers, single = _argnums(argnums)

    def jacobian_f(*args: Any, **kwargs: Any) -> Any:
        trace = Trace("jacobian", lambda *a: f(*a, **kwargs), args, numbers)
        trace.flatten_result()
        recording = trace.depends_on_more()
        blocks = [[_jacobian_block(trace, k, j, recording, mode) for j in range(len(trace.inputs))]
                  for k in range(len(trace.outputs))]  # fmt: skip
        trace.close()
        rows = [trace.arrange(row) for row in blocks]
        return trace.rebuild_output([row[0] if single else tuple(row) for row in rows])

    return jacobian_f


def _jacobian_block(trace: Trace, k: int, j: int, recording: bool, how: str) -> Tensor:
    """The derivative of output k with respect to input j."""
    y, x = trace.outputs[k], trace.inputs[j]
    shape = y.shape + x.shape
    if y.node is None:
        return wrap(constant(np.zeros(shape, y.dtype)), None)
    forward = how == "forward" or (how == "auto" and x.size < y.size)
    columns = []
    for e in range(x.size if forward else y.size):
        basis = np.zeros(x.size if forward else y.size, x.dtype if forward else y.dtype)
        basis[e] = 1
        constant(basis)
        if forward:
            start = {trace.nodes[j]: _seed(basis.reshape(x.shape), recording)}
            column = push(start, [y.node], recording=recording)[0]
        else:
            start = {y.node: _seed(basis.reshape(y.shape), recording)}
            column = pull(start, trace.nodes, recording=recording, retain=True).get(trace.nodes[j])
        if column is None:
            column = _seed(np.zeros(y.shape if forward else x.shape, y.dtype), recording)
        columns.append(column)
    if not columns:
        return wrap(constant(np.zeros(shape, y.dtype)), None)
    stacked = ops.stack(columns, axis=-1 if forward else 0)
    return as_tensor(ops.reshape(stacked, shape))


def _seed(array: ndarray, recording: bool) -> Any:
    return wrap(array, None) if recording else array


@checked
def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The matrix of all second derivatives of a scalar function, of shape ``x.shape + x.shape`` (forward over reverse).

    >>> import tinygrad_conv as tg
    >>> tg.hessian(lambda x: (x ** 3).sum())(tg.Tensor([1.0, 2.0]))
    Tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums, mode="forward")


@checked
def hvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """The Hessian of a scalar function times a direction, without the Hessian (forward over reverse).

    Parameters
    ----------
    primals, tangents : a tensor, or a tuple of arguments and of directions

    Returns
    -------
    The product, of the structure of `primals`.

    >>> import tinygrad_conv as tg
    >>> tg.hvp(lambda x: (x ** 3).sum(), tg.Tensor([1.0, 2.0]), tg.Tensor([1.0, 1.0]))
    Tensor([ 6., 12.])
    """
    several = isinstance(primals, (tuple, list))
    points = tuple(primals) if several else (primals,)
    directions = tuple(tangents) if several else (tangents,)
    gradient = grad(f, argnums=tuple(range(len(points))))
    product = jvp(gradient, points, directions)[1]
    return product if several else product[0]
