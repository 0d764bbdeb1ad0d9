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
from typing import Any

import numpy as np

from ..arguments import NonNegative, SeedNumber, checked
from ..engine.trees import flatten
from ..errors import DTypeError, MissingExtraError
from .adapting import Adapted, Library, Parametrized, along, called, imported, leaves_like, remembered
from .pytorch import from_torch
from .report import GradientError, Report

__all__ = ["check_vjp", "from_autograd", "from_jax", "from_keras", "from_mygrad", "from_numpy", "from_torch"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


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
@remembered
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
@remembered
def from_autograd(f: Function) -> Function:
    """A function written in `autograd.numpy`, as an operation of any order, in both modes.

    Raises MissingExtraError without autograd.

    >>> import autograd.numpy as anp
    >>> import tinygrad_conv as tg
    >>> square = from_autograd(lambda x: anp.square(x))
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    autograd = imported("autograd", "autograd")
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
@remembered
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
    jax = imported("jax", "jax")
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
        pull=lambda f, i: lambda g, *xs: jax.vjp(along(f, i, xs), xs[i])[1](g)[0],
        push=lambda f, i: lambda t, *xs: jax.jvp(along(f, i, xs), (xs[i],), (t,))[1],
        joined=lambda parts: jax.numpy.concatenate([jax.numpy.ravel(part) for part in parts]), flatten=nested,
        conjugates=True,
        missing="[Ff]orward-mode|[Rr]everse-mode|ifferentiation rule|support (JVP|differentiation)|custom_vjp function",
    )  # fmt: skip
    return Adapted(f, library, f)


@checked
@remembered
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
@remembered
def from_mygrad(f: Function) -> Function:
    """A function of MyGrad tensors, as an operation of first order in reverse mode, which is what MyGrad has.

    Raises MissingExtraError without MyGrad.

    >>> import mygrad
    >>> import tinygrad_conv as tg
    >>> square = from_mygrad(mygrad.square)
    >>> tg.grad(lambda x: square(x).sum())(np.array([1.0, 3.0]))
    Tensor([2., 6.])
    """
    mygrad = imported("mygrad", "mygrad")

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
