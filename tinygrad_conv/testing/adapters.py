"""Functions of other libraries as operations of this one, so that `check_gradients` checks them as it checks our own.

====================  ==========================================================================  ======  ============
adapter               takes                                                                       order   modes
====================  ==========================================================================  ======  ============
`from_numpy`          a NumPy function and its hand-written ``vjp(g, *args)``                     1       reverse
`from_autograd`       a function written in `autograd.numpy`                                      any     both
`from_torch`          a function of PyTorch tensors, or a ``torch.autograd.Function``             any     both
`from_jax`            a function of JAX arrays                                                    any     both
`from_mygrad`         a function of MyGrad tensors                                                1       reverse
====================  ==========================================================================  ======  ============

What comes back is an ordinary operation: it takes arrays and tensors, records, composes with ours, and says in its
attributes `order` and `modes` how far it can be differentiated. Each adapter imports its library when it is called.

How it works: the pullback of a function of such a library, ``(g, *args) -> gradient of argument i``, is a function of
that library again. So the rule of an adapted function is an adapted function, and every order comes from that.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..arguments import NonNegative, SeedNumber, checked
from ..engine.primitive import Primitive
from ..errors import ArgumentError, DTypeError, MissingExtraError
from .report import GradientError

__all__ = ["check_vjp", "from_autograd", "from_jax", "from_mygrad", "from_numpy", "from_torch"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def _remembered(adapter: Function) -> Function:
    """Let what an adapter makes say, in its attribute `recipe`, how it was made: tests are written down with that."""

    @wraps(adapter)
    def made(*functions: Any, **named: Any) -> Any:
        operation = adapter(*functions, **named)
        operation.recipe = (adapter.__name__, (*functions, *named.values()))
        return operation

    return made


@checked
def check_vjp(
    f: Function, vjp: Function, *args: Any, name: str | None = None, seed: SeedNumber = 0,
    rtol: NonNegative | None = None, atol: NonNegative | None = None,
) -> None:  # fmt: skip
    """Check the hand-written gradient of a NumPy function.

    Parameters
    ----------
    f : callable
        ``y = f(*args)``: arrays in, one array out.
    vjp : callable
        ``gradients = vjp(g, *args)``, with g of y's shape: one gradient for each argument, of its shape, as a tuple.
        With one argument, the gradient itself will do. For an argument that is not floating-point, put None.
    *args : arrays
    name, seed, rtol, atol : as in `check_gradients`

    Raises
    ------
    GradientError
        The gradient is wrong; the report says where, by how much, and what it looks like.

    >>> check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), np.array([0.5, -1.0]))
    >>> from tinygrad_conv.testing import GradientError
    >>> try:
    ...     check_vjp(np.tanh, lambda g, x: g * (1 - np.tanh(x)), np.array([0.5, -1.0]))
    ... except GradientError as error:
    ...     print("caught")
    caught
    """
    from .checks import check_gradients

    operation = from_numpy(f, vjp)
    check_gradients(operation, *args, order=1, modes=("reverse",), name=name, seed=seed, rtol=rtol, atol=atol)


# ------------------------------------------------------------------------------------------------------------------
# The adapters


@checked
@_remembered
def from_numpy(f: Function, vjp: Function) -> Function:
    """A NumPy function with a hand-written gradient, as an operation: see `check_vjp` for the convention.

    >>> import tinygrad_conv as tg
    >>> double = from_numpy(lambda x: 2 * x, lambda g, x: 2 * g)
    >>> tg.grad(lambda x: double(x).sum())(np.ones(2))
    Tensor([2., 2.])
    """

    def gradient(i: int) -> Function:
        def of(g: Array, *args: Any) -> Array:
            before = [np.array(x) for x in (g, *args)]
            gradients = vjp(g, *args)
            for k, (now, then) in enumerate(zip((g, *args), before, strict=True)):
                if not np.array_equal(now, then, equal_nan=then.dtype.kind in "fc"):
                    changed = f"argument {k - 1}" if k else "the cotangent g"
                    raise GradientError(f"{_name(f)}: its vjp changed {changed} in place; work on a copy")
            return np.asarray(_pick(_name(f), gradients, args, i))

        return of

    def pull(i: int) -> Function:
        return _operation(gradient(i), run=_plain, name=f"gradient {i} of {_name(f)}")

    return _operation(f, run=_plain, pull=pull, order=1)


@checked
@_remembered
def from_autograd(f: Function) -> Function:
    """A function written in `autograd.numpy`, as an operation of any order, in both modes.

    Raises MissingExtraError without autograd.
    """
    autograd = _library("autograd", "autograd")

    def run(f: Function, args: Sequence[Any]) -> Array:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")  # as constants and slopes are
            return _plain(f, args)

    def adapt(f: Function, name: str) -> Function:
        return _operation(
            f, run=run, name=name,
            pull=lambda i: adapt(lambda g, *xs: autograd.make_vjp(f, i)(*xs)[0](g), f"gradient {i} of {name}"),
            push=lambda i: adapt(lambda t, *xs: autograd.make_jvp(f, i)(*xs)(t)[1], f"tangent {i} of {name}"),
        )  # fmt: skip

    return adapt(f, _name(f))


@checked
@_remembered
def from_jax(f: Function) -> Function:
    """A function of JAX arrays, as an operation of any order, in both modes; it runs with 64-bit numbers enabled.

    Raises MissingExtraError without JAX.
    """
    jax = _library("jax", "jax")
    enable_x64 = (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64

    def run(f: Function, args: Sequence[Any]) -> Array:
        with enable_x64(True):
            return np.asarray(f(*[jax.numpy.asarray(np.asarray(x)) for x in args]))

    def adapt(f: Function, name: str) -> Function:
        return _operation(
            f, run=run, name=name,
            pull=lambda i: adapt(lambda g, *xs: jax.vjp(_along(f, i, xs), xs[i])[1](g)[0], f"gradient {i} of {name}"),
            push=lambda i: adapt(
                lambda t, *xs: jax.jvp(_along(f, i, xs), (xs[i],), (t,))[1], f"tangent {i} of {name}"
            ),
        )  # fmt: skip

    return adapt(f, _name(f))


@checked
@_remembered
def from_torch(f: Any) -> Function:
    """A function of PyTorch tensors, or a ``torch.autograd.Function``, as an operation of any order.

    Forward mode is that of `torch.func`; a ``Function`` has it if it states `setup_context` and `jvp`.

    Raises MissingExtraError without PyTorch.
    """
    torch = _library("torch", "torch")
    base = torch.autograd.Function
    is_class = isinstance(f, type) and issubclass(f, base)
    forward_mode = not is_class or (f.jvp is not base.jvp and f.setup_context is not base.setup_context)

    def run(f: Function, args: Sequence[Any]) -> Array:
        tensors = [torch.tensor(np.array(x)) for x in args]  # a copy: PyTorch takes no negative strides
        for x in tensors:
            x.requires_grad_(x.is_floating_point())
        with torch.enable_grad():
            y = f(*tensors)
        if not isinstance(y, torch.Tensor):
            raise DTypeError(f"{_name(f)}: expected a function that returns one tensor, got {type(y).__name__}")
        return np.asarray(y.detach().numpy())

    def gradient(f: Function, i: int) -> Function:
        def of(g: Any, *xs: Any) -> Any:
            y = f(*xs)
            if not y.requires_grad:
                return torch.zeros_like(xs[i])
            found = torch.autograd.grad(y, xs[i], g, create_graph=True, allow_unused=True)[0]
            return torch.zeros_like(xs[i]) if found is None else found

        return of

    def pure_gradient(f: Function, i: int) -> Function:  # what `torch.func` can go through, unlike `gradient`
        return lambda g, *xs: torch.func.vjp(_along(f, i, xs), xs[i])[1](g)[0]

    def tangent(f: Function, i: int) -> Function:
        def of(t: Any, *xs: Any) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's own: it compiles its rules with what it has deprecated
                return torch.func.jvp(_along(f, i, xs), (xs[i],), (t,))[1]

        return of

    def adapt(f: Function, pure: Function, name: str) -> Function:
        return _operation(
            f, run=run, name=name,
            pull=lambda i: adapt(gradient(f, i), pure_gradient(pure, i), f"gradient {i} of {name}"),
            push=(lambda i: adapt(tangent(pure, i), tangent(pure, i), f"tangent {i} of {name}"))
            if forward_mode else None,
        )  # fmt: skip

    function = f.apply if is_class else f
    return adapt(function, function, _name(f))


@checked
@_remembered
def from_mygrad(f: Function) -> Function:
    """A function of MyGrad tensors, as an operation of first order in reverse mode, which is what MyGrad has.

    Raises MissingExtraError without MyGrad.
    """
    mygrad = _library("mygrad", "mygrad")

    def tensors(args: Sequence[Any]) -> list[Any]:
        return [mygrad.tensor(np.array(x)) if np.asarray(x).dtype.kind == "f" else x for x in args]

    def run(f: Function, args: Sequence[Any]) -> Array:
        return np.array(mygrad.asarray(f(*tensors(args))))

    def gradient(i: int) -> Function:
        def of(g: Array, *xs: Any) -> Array:
            inside = tensors(xs)
            f(*inside).backward(g)
            found = inside[i].grad
            return np.zeros_like(xs[i]) if found is None else np.array(found)

        return of

    def pull(i: int) -> Function:
        return _operation(gradient(i), run=_plain, name=f"gradient {i} of {_name(f)}")

    return _operation(f, run=run, pull=pull, order=1)


# ------------------------------------------------------------------------------------------------------------------
# What they share


def _operation(
    f: Function, *, run: Callable[[Function, Sequence[Any]], Array], pull: Callable[[int], Function] | None = None,
    push: Callable[[int], Function] | None = None, name: str | None = None, order: int = 2,
) -> Function:  # fmt: skip
    """An operation that runs ``f`` by ``run(f, arrays)``; its rules are the operations ``pull(i)`` and ``push(i)``.

    ``pull(i)(g, *args)`` is the gradient of argument i, ``push(i)(t, *args)`` the tangent that argument i's causes.
    """
    name = name or _name(f)

    def forward(*xs: Any) -> Array:
        return run(f, xs)

    forward.__name__ = forward.__qualname__ = name
    forward.__doc__ = f.__doc__
    primitive = Primitive(
        "opaque", forward,
        vjp=(lambda g, xs, i: _needed(pull, name, "reverse")(i)(g, *xs),),
        jvp=(lambda t, xs, i: _needed(push, name, "forward")(i)(t, *xs),),
    )  # fmt: skip
    operation = primitive.operation
    operation.__wrapped__ = f  # type: ignore[attr-defined]  # whose signature names the arguments
    operation.modes = tuple(mode for mode, rule in (("forward", push), ("reverse", pull)) if rule)  # type: ignore[attr-defined]
    operation.order = order  # type: ignore[attr-defined]
    return operation


def _needed(rule: Callable[[int], Function] | None, name: str, mode: str) -> Callable[[int], Function]:
    if rule is None:
        which = 'order=1, or modes=("reverse",)' if mode == "forward" else "order=1"
        raise ArgumentError(f"{name}: its library has no {mode} mode for it; check it with {which}")
    return rule


def _plain(f: Function, args: Sequence[Any]) -> Array:
    y = f(*args)
    if isinstance(y, tuple):
        raise DTypeError(f"{_name(f)}: expected a function that returns one array, got a tuple of {len(y)}")
    if y is None:
        raise DTypeError(f"{_name(f)}: the function returned nothing (None); return the array that you computed")
    return np.asarray(y)


def _pick(name: str, gradients: Any, args: Sequence[Any], i: int) -> Any:
    """Gradient i of what a hand-written VJP returned, if it has the argument's shape."""
    if len(args) == 1 and not isinstance(gradients, (tuple, list)):
        gradients = (gradients,)
    if not isinstance(gradients, (tuple, list)) or len(gradients) != len(args):
        got = f"{len(gradients)}" if isinstance(gradients, (tuple, list)) else f"one {type(gradients).__name__}"
        raise GradientError(f"{name}: expected its vjp to return {len(args)} gradients, one per argument, got {got}")
    gradient = gradients[i]
    if gradient is None:
        raise GradientError(f"{name}: its vjp returned None for argument {i}, which is floating-point; return zeros")
    if np.shape(gradient) != np.shape(args[i]):
        raise GradientError(
            f"{name}: its vjp returned a gradient of shape {np.shape(gradient)} for argument {i} of shape "
            f"{np.shape(args[i])}; a missing sum over a broadcast axis?"
        )
    return gradient


def _along(f: Function, i: int, args: Sequence[Any]) -> Function:
    """``f`` as a function of argument i alone."""
    return lambda x: f(*args[:i], x, *args[i + 1 :])


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"checking a function of {module} needs it: pip install {package}") from error


def _name(f: Any) -> str:
    return getattr(f, "__name__", type(f).__name__)
