"""Functions of other libraries as operations of this one, so that `check_gradients` checks them as it checks our own.

====================  ==========================================================================  ======  ============
adapter               takes                                                                       order   modes
====================  ==========================================================================  ======  ============
`from_numpy`          a NumPy function and its hand-written ``vjp(g, *args)``                     1       reverse
`from_autograd`       a function written in `autograd.numpy`                                      any     both
`from_torch`          a function of PyTorch tensors, or a ``torch.autograd.Function``             any     both
`from_jax`            a function of JAX arrays                                                    any     both
`from_mygrad`         a function of MyGrad tensors                                                1       reverse
`from_keras`          a layer or model of Keras on this engine                                    any     both
====================  ==========================================================================  ======  ============

What comes back is an ordinary operation: it takes arrays and tensors, records, composes with ours, and says in its
attributes `order` and `modes` how far it can be differentiated. Each adapter imports its library when it is called.

Arguments and results may be nested (lists, dictionaries, pytrees), tensors of the library, and beside floating-point
numbers anything else. How it works is in `adapting`.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ..arguments import NonNegative, SeedNumber, checked
from ..engine.trees import flatten
from ..errors import DTypeError, MissingExtraError
from .adapting import Adapted, Library, Parametrized, called, leaves_like
from .report import GradientError, Report

__all__ = ["check_vjp", "from_autograd", "from_jax", "from_keras", "from_mygrad", "from_numpy", "from_torch"]

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
    __tracebackhide__ = True
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
    name = called(f)
    before: list[Array] = []  # what the vjp returned when it was called last

    def pull(form: Any, i: int) -> Function:
        def of(g: Array, *numbers: Any) -> Array:
            (args, keywords), given = form.build(numbers), form.split(g, numbers)
            read = [np.asarray(x) for x in (*flatten(given)[0], *numbers) if x is not None]
            copies = [np.array(x) for x in read]
            gradients = vjp(given, *args, **keywords)
            for k, (now, then) in enumerate(zip(read, copies, strict=True)):
                if not np.array_equal(now, then, equal_nan=then.dtype.kind in "fc"):
                    k -= len(read) - len(numbers)
                    changed = f"argument {k}" if k >= 0 else "the cotangent g"
                    raise GradientError(f"{name}: its vjp changed {changed} in place; work on a copy")
            found = _leaves(name, gradients, args)
            found = [x for x, place in zip(found, form.places, strict=True) if place] if form.places else found
            for k, x in enumerate(numbers):
                _fits(name, found[k], x, k)
            _not_shared(name, [x for x in found if isinstance(x, np.ndarray)], read, before)
            return np.asarray(found[i])

        return of

    library = Library(
        owns=_is_array, tensor=np.asarray, array=np.asarray, run=_plain, pull=pull, order=1,
        joined=lambda parts: np.concatenate([np.ravel(part) for part in parts]),
    )  # fmt: skip
    return Adapted(f, library, f)


@checked
@_remembered
def from_autograd(f: Function) -> Function:
    """A function written in `autograd.numpy`, as an operation of any order, in both modes.

    Raises MissingExtraError without autograd.

    >>> import autograd.numpy as anp
    >>> import tinygrad_conv as tg
    >>> square = from_autograd(lambda x: anp.square(x))
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    autograd = _library("autograd", "autograd")
    numpy = importlib.import_module("autograd.numpy")
    boxes = importlib.import_module("autograd.tracer").Box

    def run(f: Function, args: Sequence[Any]) -> Array:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")  # as constants and slopes are
            return _plain(f, args)

    library = Library(
        owns=lambda x: isinstance(x, (np.ndarray, boxes)), tensor=np.asarray, array=np.asarray, run=run,
        conjugates=True,
        pull=lambda f, i: lambda g, *xs: autograd.make_vjp(f, i)(*xs)[0](g),
        push=lambda f, i: lambda t, *xs: autograd.make_jvp(f, i)(*xs)(t)[1],
        joined=lambda parts: numpy.concatenate([numpy.reshape(part, (-1,)) for part in parts]),
    )  # fmt: skip
    return Adapted(f, library, f)


@checked
@_remembered
def from_jax(f: Function) -> Function:
    """A function of JAX arrays, as an operation of any order, in both modes; it runs with 64-bit numbers enabled.

    Functions are compiled (`jax.jit`), if they can be.

    Raises MissingExtraError without JAX.

    >>> import jax
    >>> import tinygrad_conv as tg
    >>> square = from_jax(jax.numpy.square)
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    jax = _library("jax", "jax")
    enable_x64 = (jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")).enable_x64
    kinds = ("ConcretizationType", "TracerArrayConversion", "TracerIntegerConversion", "NonConcreteBooleanIndex")
    concrete = tuple(getattr(jax.errors, f"{kind}Error") for kind in kinds)
    compiled: dict[Function, Function] = {}

    def run(f: Function, args: Sequence[Any]) -> Array:
        with enable_x64(True):
            arrays = [jax.numpy.asarray(np.asarray(x)) for x in args]
            try:
                return np.asarray(compiled.setdefault(f, jax.jit(f))(*arrays))
            except concrete:  # it looks at values
                compiled[f] = f
                return np.asarray(f(*arrays))

    def nested(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
        leaves, structure = jax.tree_util.tree_flatten(tree, is_leaf=lambda x: x is None)
        return leaves, lambda parts: jax.tree_util.tree_unflatten(structure, list(parts))

    library = Library(
        owns=lambda x: isinstance(x, (jax.Array, np.ndarray)), tensor=jax.numpy.asarray, array=np.asarray, run=run,
        pull=lambda f, i: lambda g, *xs: jax.vjp(_along(f, i, xs), xs[i])[1](g)[0],
        push=lambda f, i: lambda t, *xs: jax.jvp(_along(f, i, xs), (xs[i],), (t,))[1],
        joined=lambda parts: jax.numpy.concatenate([jax.numpy.ravel(part) for part in parts]), flatten=nested,
        conjugates=True,
        missing="[Ff]orward-mode|[Rr]everse-mode|ifferentiation rule|support (JVP|differentiation)|custom_vjp function",
    )  # fmt: skip
    return Adapted(f, library, f)


@checked
@_remembered
def from_torch(f: Any) -> Function:
    """A function of PyTorch tensors, a ``torch.autograd.Function`` or a module, as an operation of any order.

    Forward mode is that of `torch.func`; a ``Function`` has it if it states `setup_context` and `jvp`. The parameters
    of a module are checked too, and are then float64 as its inputs are.

    Raises MissingExtraError without PyTorch.

    >>> import torch
    >>> import tinygrad_conv as tg
    >>> square = from_torch(torch.square)
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    torch = _library("torch", "torch")
    base = torch.autograd.Function
    is_class = isinstance(f, type) and issubclass(f, base)
    forward_mode = not is_class or (f.jvp is not base.jvp and f.setup_context is not base.setup_context)

    def run(f: Function, args: Sequence[Any]) -> Array:
        tensors = [torch.from_numpy(np.array(x)) for x in args]  # a copy: PyTorch takes no negative strides
        for x in tensors:
            x.requires_grad_(x.is_floating_point() or x.is_complex())
        with torch.enable_grad():
            return array(f(*tensors))

    def array(x: Any) -> Array:
        return np.asarray(x.detach().resolve_conj().resolve_neg().numpy(force=True))

    def gradient(f: Function, i: int) -> Function:
        def of(g: Any, *xs: Any) -> Any:
            if hasattr(f, "is_tangent"):
                raise NotImplementedError(_NOT_AGAIN)
            y = f(*xs)
            if not y.requires_grad:
                return torch.zeros_like(xs[i])
            made_by = y.grad_fn  # None where f returns an argument
            if made_by is not None and ("Error" in type(made_by).__name__ or "Error" in made_by.name()):
                raise NotImplementedError("it is marked @once_differentiable")
            found = torch.autograd.grad(y, xs[i], g, create_graph=True, allow_unused=True)[0]
            return torch.zeros_like(xs[i]) if found is None else found

        of.pure = lambda g, *xs: torch.func.vjp(_along(_pure(f), i, xs), xs[i])[1](g)[0]  # type: ignore[attr-defined]
        return of

    def tangent(f: Function, i: int) -> Function:
        def of(t: Any, *xs: Any) -> Any:
            if hasattr(f, "is_tangent"):
                raise NotImplementedError(_NOT_AGAIN)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's own: it compiles its rules with what it has deprecated
                return torch.func.jvp(_along(_pure(f), i, xs), (xs[i],), (t,))[1]

        of.is_tangent = True  # type: ignore[attr-defined]
        return of

    library = Library(
        owns=lambda x: isinstance(x, torch.Tensor), tensor=torch.as_tensor, array=array, run=run,
        pull=gradient, push=tangent, joined=lambda parts: torch.cat([part.reshape(-1) for part in parts]),
        flatten=lambda tree: flatten(tuple(tree) if type(tree).__module__ == "torch.return_types" else tree),
        missing="forward AD|setup_context|jvp|functorch|vmap|double backward|derivative for|differentiable|data pointer"
        "|does not require grad|in-place operation|not implemented",
    )  # fmt: skip
    modes = ("forward", "reverse") if forward_mode else ("reverse",)
    if not isinstance(f, torch.nn.Module):
        return Adapted(f.apply if is_class else f, library, f, modes=modes)
    parameters = {name: p.detach().numpy().astype(np.float64) for name, p in f.named_parameters() if p.requires_grad}

    def called_with(values: dict[str, Any], *args: Any, **keywords: Any) -> Any:
        dtype = next(iter(values.values())).dtype
        buffers = {name: b.to(dtype) if b.is_floating_point() else b.clone() for name, b in f.named_buffers()}
        return torch.func.functional_call(f, {**buffers, **values}, args, keywords)

    return Adapted(called_with if parameters else f, library, f, parameters, modes)


# So PyTorch 2.13 does in solve, in normalisations and in custom functions; that is no mistake of whoever calls them.
_NOT_AGAIN = "PyTorch differentiates its forward mode wrongly, and does not say so"


def _pure(f: Function) -> Function:
    """The form of a function that `torch.func` can go through."""
    return getattr(f, "pure", f)


@checked
@_remembered
def from_keras(layer: Any) -> Function:
    """A layer or model of Keras on this engine, as a function of what it is called with, in float64.

    Its trainable variables are checked too, so it must be built. A call changes none of its variables: the states of
    random numbers and of normalisations are the same at each. Keywords go to the layer, ``training=True`` among them.

    Raises MissingExtraError where Keras does not run on this engine; DTypeError for what is none of its layers.

    >>> import tinygrad_conv.keras_backend, keras
    >>> from tinygrad_conv.testing import check_gradients
    >>> layer = keras.layers.Dense(2, activation="tanh")
    >>> layer.build((None, 3))
    >>> check_gradients(from_keras(layer), np.ones((4, 3)))
    """
    if not hasattr(type(layer), "_with_parameters"):
        if type(layer).__module__.partition(".")[0] == "keras" or not callable(layer):
            raise MissingExtraError(
                f"from_keras: expected a layer of Keras on this engine, got {type(layer).__name__}; write "
                "import tinygrad_conv.keras_backend before import keras (pip install 'tinygrad-conv[keras]')"
            )
        raise DTypeError(f"from_keras: expected a layer of Keras, got {type(layer).__name__}")
    return Parametrized(layer)


@checked
@_remembered
def from_mygrad(f: Function) -> Function:
    """A function of MyGrad tensors, as an operation of first order in reverse mode, which is what MyGrad has.

    Raises MissingExtraError without MyGrad.

    >>> import mygrad
    >>> import tinygrad_conv as tg
    >>> square = from_mygrad(mygrad.square)
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    mygrad = _library("mygrad", "mygrad")

    def tensors(args: Sequence[Any]) -> list[Any]:
        return [mygrad.tensor(np.array(x)) if np.asarray(x).dtype.kind == "f" else x for x in args]

    def gradient(f: Function, i: int) -> Function:
        def of(g: Array, *xs: Any) -> Array:
            inside = tensors(xs)
            f(*inside).backward(g)
            found = inside[i].grad
            return np.zeros_like(xs[i]) if found is None else np.array(found)

        of.plain = True  # type: ignore[attr-defined]
        return of

    library = Library(
        owns=lambda x: isinstance(x, (mygrad.Tensor, np.ndarray)), tensor=mygrad.tensor, array=mygrad.asarray,
        pull=gradient, order=1,
        run=lambda f, args: _plain(f, args) if hasattr(f, "plain") else np.array(mygrad.asarray(f(*tensors(args)))),
        joined=lambda parts: mygrad.concatenate([mygrad.reshape(part, (-1,)) for part in parts]),
    )  # fmt: skip
    return Adapted(f, library, f)


# ------------------------------------------------------------------------------------------------------------------
# What they share


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _plain(f: Function, args: Sequence[Any]) -> Array:
    return np.asarray(f(*args))


def _leaves(name: str, gradients: Any, args: Sequence[Any]) -> list[Any]:
    """What a hand-written VJP returned, one gradient for each leaf of its arguments."""
    alone = len(args) == 1 and not (isinstance(gradients, (tuple, list)) and len(gradients) == 1)
    try:
        return list(leaves_like(gradients, args[0]) if alone else leaves_like(gradients, tuple(args)))
    except ValueError:
        pass
    got = f"{len(gradients)}" if isinstance(gradients, (tuple, list)) else f"one {type(gradients).__name__}"
    raise GradientError(f"{name}: expected its vjp to return {len(args)} gradients, one per argument, got {got}")


def _fits(name: str, gradient: Any, number: Any, k: int) -> None:
    """Refuse a gradient of another shape than its argument, and a missing one of a floating-point argument."""
    if np.asarray(number).dtype.kind not in "fc":
        return
    if gradient is None:
        raise GradientError(f"{name}: its vjp returned None for argument {k}, which is floating-point; return zeros")
    if np.shape(gradient) != np.shape(number):
        raise GradientError(
            f"{name}: its vjp returned a gradient of shape {np.shape(gradient)} for argument {k} of shape "
            f"{np.shape(number)}; a missing sum over a broadcast axis?"
        )


def _not_shared(name: str, gradients: list[Array], read: Sequence[Array], before: list[Array]) -> None:
    """A gradient that is the buffer of something else changes when that is written to."""
    for k, gradient in enumerate(gradients):
        for others, whose in (
            (read, "the cotangent g, or of an argument"), (gradients[:k], "another gradient"),
            (before, "what it returned the last time"),
        ):  # fmt: skip
            if gradient.size and any(_is_same_buffer(gradient, other) for other in others):
                message = f"gradient {k} of its vjp is the memory of {whose}, and changes with it; return a copy"
                raise GradientError(Report(name, "not_aliased", message))
    before[:] = gradients


def _is_same_buffer(a: Array, b: Array) -> bool:
    return a.ctypes.data == b.ctypes.data and a.shape == b.shape and a.strides == b.strides


def _along(f: Function, i: int, args: Sequence[Any]) -> Function:
    """``f`` as a function of argument i alone."""
    return lambda x: f(*args[:i], x, *args[i + 1 :])


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"checking a function of {module} needs it: pip install {package}") from error
