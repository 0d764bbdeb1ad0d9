"""What adapters share: a function of another library becomes an operation, and what it cannot do is found out.

A call is taken apart: its numbers (arrays, tensors of either library, floats) are the inputs of the operation, and the
rest (integers, bools, text, how everything is nested) stays as it is. What comes back, if it is not one tensor, travels
as one vector and is put together again. So each way to call a function is an operation of its own (`Form`), made once.

The pullback of a function, ``(g, *args) -> gradient of argument i``, is a function of its library again. So the rule of
an adapted function is an adapted function, and every order comes from that.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from math import prod
from typing import Any

import numpy as np

from ..engine.primitive import Primitive
from ..engine.tensor import Tensor
from ..engine.trees import flatten
from ..errors import ArgumentError, DTypeError, MissingExtraError
from ..ops.complex import conj
from .report import GradientError

__all__ = [
    "Adapted", "Form", "Library", "MissingRuleError", "Parametrized", "along", "called", "imported", "leaves_like",
    "remembered",
]  # fmt: skip

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


class MissingRuleError(ArgumentError):
    """A library has no such derivative of a function. Nothing is wrong with the function; there is nothing to check."""


@dataclass(frozen=True)
class Library:
    """What an adapter says of its library.

    Attributes
    ----------
    owns : callable
        Is something one of its tensors (also while it differentiates)?
    tensor, array : callable
        Make a tensor of an array, and an array of a tensor.
    joined : callable
        Makes one vector of a list of tensors.
    run : callable
        ``run(f, arrays)`` is f's value as an array.
    pull, push : callable
        ``pull(f, i)(g, *args)`` is the gradient of argument i, ``push(f, i)(t, *args)`` the tangent that it causes.
    missing : str
        A pattern of what the library says where it has no such derivative.
    order : int
        How often functions can be differentiated.
    conjugates : bool
        Is the gradient of a complex number the conjugate of PyTorch's?
    flatten : callable
        Takes nested arguments and results apart.
    """

    owns: Callable[[Any], bool]
    tensor: Callable[[Array], Any]
    array: Callable[[Any], Array]
    joined: Callable[[Sequence[Any]], Any]
    run: Callable[[Function, Sequence[Any]], Array]
    pull: Callable[[Function, int], Function]
    push: Callable[[Function, int], Function] | None = None
    missing: str = "(?!)"
    order: int = 2
    conjugates: bool = False
    flatten: Callable[[Any], tuple[list[Any], Callable[[Sequence[Any]], Any]]] = flatten


class Form:
    """One way to call a function, as a function of its numbers alone that returns one tensor.

    Attributes
    ----------
    build : callable
        Makes ``(args, keywords)`` of numbers.
    places : list of bool
        Which leaves of the arguments are numbers (empty: all).
    kept : tuple
        The other leaves.
    """

    def __init__(self, f: Function, library: Library, name: str, build: Any, places: Sequence[bool], kept: Any) -> None:
        self.f, self.library, self.__name__ = f, library, name
        self.build: Callable[[Sequence[Any]], Any] = build
        self.places, self.kept = places, kept
        self._made_of: dict[Any, Any] = {}  # by the shapes of the numbers: the shapes of the results, how to nest them

    def __call__(self, *numbers: Any) -> Any:
        args, keywords = self.build(numbers)
        y = self.f(*args, **keywords)
        made_of = self._made_of[tuple(x.shape for x in numbers)] = []
        if self._is_number(y):
            return self._tensor(y)
        leaves, rebuild = self.library.flatten(y)
        found = [self._tensor(leaf) if self._is_number(leaf) else None for leaf in leaves]
        found = [x if x is not None and _is_inexact(x) else None for x in found]
        if all(x is None for x in found):
            if y is None:
                raise DTypeError(f"{self.__name__}: the function returned nothing (None); return what you computed")
            got = type(y).__name__
            raise DTypeError(f"{self.__name__}: expected a function that returns floating-point numbers, got {got}")
        made_of += [[None if x is None else tuple(x.shape) for x in found], rebuild]
        return self.library.joined([x for x in found if x is not None])

    def _is_number(self, value: Any) -> bool:
        return self.library.owns(value) or isinstance(value, (float, complex, np.generic))

    def _tensor(self, value: Any) -> Any:
        return value if self.library.owns(value) else self.library.tensor(np.asarray(value))

    def split(self, y: Any, numbers: Sequence[Any]) -> Any:
        """The function's own result, of the one tensor. What is no floating-point number is None."""
        made_of = self._made_of[tuple(x.shape for x in numbers)]
        if not made_of:
            return y
        parts, start = [], 0
        for shape in made_of[0]:
            parts.append(None if shape is None else y[start : start + prod(shape)].reshape(shape))
            start += 0 if shape is None else prod(shape)
        return made_of[1](parts)


class Adapted:
    """A function of another library, which takes arrays and tensors, records, and composes with our operations.

    Attributes
    ----------
    modes, order : tuple of str, int
        How far its library can differentiate it, as far as that is known before it is called.
    parameters : mapping
        What it is differentiated by beside its arguments (the parameters of a module), by name.
    primitive : Primitive
        Of a call with numbers only; `at` gives that of any call.
    """

    def __init__(
        self, f: Function, library: Library, wrapped: Any, parameters: Mapping[str, Array] | None = None,
        modes: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.f, self.library, self.parameters = f, library, dict(parameters or {})
        self.__wrapped__, self.__doc__ = wrapped, wrapped.__doc__
        self.__name__ = self.__qualname__ = called(wrapped)
        self.order = library.order
        self.modes = tuple(modes or ("forward", "reverse")) if library.push else ("reverse",)
        self._operations: dict[Any, tuple[Form, Function]] = {}
        self.primitive: Primitive = self._plain[1].primitive  # type: ignore[attr-defined]

    @property
    def _plain(self) -> tuple[Form, Function]:
        return self._made(None, lambda numbers: (numbers, {}), (), ())

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.with_parameters(self.parameters, *args, **keywords)

    def with_parameters(self, values: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        """The result with other values of the parameters."""
        form, operation, numbers = self.at(*([dict(values)] if values else []), *args, **keywords)
        return form.split(operation(*numbers), numbers)

    def value(self, inputs: Sequence[Array]) -> Array:
        """The value of a call with arrays alone, of which nothing is recorded."""
        return np.asarray(self._plain[1].run(*inputs))  # type: ignore[attr-defined]

    def pull(self, g: Array, inputs: Sequence[Array]) -> list[Array]:
        """The gradients of such a call."""
        pulled = self._plain[1].pulled  # type: ignore[attr-defined]
        return [np.array(pulled(g, inputs, i, bare=True), x.dtype) for i, x in enumerate(inputs)]

    def at(self, *args: Any, **keywords: Any) -> tuple[Form, Function, list[Any]]:
        """A call as the form it has, the operation for that, and the numbers to call it with."""
        plain = not keywords and all(type(x) is np.ndarray or isinstance(x, Tensor) for x in args)
        if plain:
            return *self._plain, list(args)
        leaves, rebuild = self.library.flatten((args, keywords))
        values = [self._value(leaf) for leaf in leaves]
        numbers = [x for x in values if x is not None]
        others = tuple(None if x is not None else leaf for leaf, x in zip(leaves, values, strict=True))
        places = [x is not None for x in values]

        def build(numbers: Sequence[Any]) -> Any:
            given = iter(numbers)
            return rebuild([next(given) if place else leaf for place, leaf in zip(places, others, strict=True)])

        if len(args) == len(numbers) and not keywords and all(_is_leaf(x) for x in args):
            return *self._plain, numbers
        shape = repr(rebuild([_Mark(k, place) for k, place in enumerate(places)]))
        key = (shape, tuple((type(leaf), leaf if _hashable(leaf) else id(leaf)) for leaf in others))
        return *self._made(key, build, places, others), numbers

    def _value(self, leaf: Any) -> Any:
        """A leaf as a number that an operation takes; None if it is none."""
        if isinstance(leaf, (Tensor, np.ndarray)):
            return None if leaf.dtype.kind in "OUSMmV" else leaf
        if isinstance(leaf, (float, complex, np.generic)):
            return np.asarray(leaf)
        return self.library.array(leaf) if self.library.owns(leaf) else None

    def _made(self, key: Any, build: Any, places: Sequence[bool], kept: Any) -> tuple[Form, Function]:
        if key not in self._operations:
            form = Form(self.f, self.library, self.__name__, build, places, kept)
            made = _operation(form, self.library, self.__name__, ("forward" in self.modes, "reverse" in self.modes))
            self._operations[key] = form, made
        return self._operations[key]


class Parametrized:
    """A layer of Keras on this engine as a function, which is differentiated by its variables too."""

    def __init__(self, layer: Any) -> None:
        self.layer = self.__wrapped__ = layer
        self.parameters = {name: np.array(value._array, np.float64) for name, value in layer.named_parameters()}
        self.__name__ = self.__qualname__ = layer.name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.with_parameters(self.parameters, *args, **keywords)

    def with_parameters(self, values: Mapping[str, Any], *args: Any, **keywords: Any) -> Any:
        """The result with other values of the parameters."""
        return self.layer._with_parameters(values, *args, **keywords)


@dataclass(frozen=True)
class _Mark:
    """In place of a leaf, to tell how arguments are nested."""

    k: int
    number: bool


def _is_leaf(value: Any) -> bool:
    return not isinstance(value, (list, tuple, dict))


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def called(f: Any) -> str:
    """What reports call a function."""
    return getattr(f, "__name__", type(f).__name__)


def _is_inexact(x: Any) -> bool:
    return any(part in str(x.dtype) for part in ("float", "complex"))


# ------------------------------------------------------------------------------------------------------------------
# Operations


def _operation(
    f: Function, library: Library, name: str, has: tuple[bool, bool], single: list[bool] | None = None
) -> Any:
    """An operation that runs ``f``; its rules are the operations of its pullbacks and tangents."""
    single = [] if single is None else single  # [True] once f has run in float32, and did not in float64
    below = has if library.order > 1 else (False, False)

    def forward(*xs: Any) -> Array:
        with _Told(library, name):
            if single or not any(_is_double(x) for x in xs):
                return library.run(f, _in_single(xs) if single == [True] else xs)
            try:
                y = library.run(f, xs)
            except Exception as error:
                try:
                    y = library.run(f, _in_single(xs))
                except Exception:
                    raise error from None
                single.append(True)
                return y
            single.append(False)
            return y

    @cache
    def pull(i: int) -> Function:
        _needed(has[1] and library.pull, name, "reverse")
        return _operation(library.pull(f, i), library, f"gradient {i} of {name}", below, single)

    @cache
    def push(i: int) -> Function:
        _needed(has[0] and library.push, name, "forward")
        assert library.push is not None
        return _operation(library.push(f, i), library, f"tangent {i} of {name}", below, single)

    def pulled(g: Any, xs: Any, i: int, bare: bool = False) -> Any:
        rule: Any = pull(i).run if bare else pull(i)  # type: ignore[attr-defined]
        real = g.dtype.kind != "c"
        if real == library.conjugates and (not real or any(x.dtype.kind == "c" for x in xs)):
            return conj(rule(conj(g), *xs))  # the engine conjugates around rules of complex results
        return rule(g, *xs)

    forward.__name__ = forward.__qualname__ = name
    rules = (lambda g, xs, i: pulled(g, xs, i),), (lambda t, xs, i: push(i)(t, *xs),)
    made: Any = Primitive("opaque", forward, vjp=rules[0], jvp=rules[1]).operation
    made.run, made.pulled = forward, pulled
    return made


class _Told:
    """What the library says where it has no derivative becomes `MissingRuleError`."""

    def __init__(self, library: Library, name: str) -> None:
        self.library, self.name = library, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, (MissingRuleError, GradientError)) or not isinstance(error, Exception):
            return
        if isinstance(error, NotImplementedError) or re.search(self.library.missing, str(error)):
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise MissingRuleError(f"{self.name}: its library has no such derivative: {said[:160]}") from error


def _needed(rule: Any, name: str, mode: str) -> None:
    if not rule:
        which = 'order=1, or modes=("reverse",)' if mode == "forward" else "order=1"
        raise MissingRuleError(f"{name}: its library has no {mode} mode for it; check it with {which}")


def _is_double(x: Any) -> bool:
    return np.asarray(x).dtype in (np.float64, np.complex128)


def _in_single(xs: Sequence[Any]) -> list[Any]:
    return [x.astype(np.complex64 if x.dtype.kind == "c" else np.float32) if _is_double(x) else x for x in xs]


def leaves_like(gradient: Any, argument: Any) -> Iterator[Any]:
    """The leaves of a hand-written gradient, one for each of its argument's; ValueError where they do not fit."""
    if gradient is None:
        yield from (None for _ in flatten(argument)[0])
    elif isinstance(argument, dict):
        if not isinstance(gradient, dict) or gradient.keys() != argument.keys():
            raise ValueError(f"a dict of {', '.join(map(str, argument))}")
        for key, part in argument.items():
            yield from leaves_like(gradient[key], part)
    elif isinstance(argument, (list, tuple)):
        if not isinstance(gradient, (list, tuple)) or len(gradient) != len(argument):
            raise ValueError(f"a {type(argument).__name__} of {len(argument)}")
        for one, part in zip(gradient, argument, strict=True):
            yield from leaves_like(one, part)
    else:
        yield gradient


def remembered(adapter: Function) -> Function:
    """Let what an adapter makes say, in its attribute `recipe`, how it was made: tests are written down with that."""

    @wraps(adapter)
    def made(*functions: Any, **named: Any) -> Any:
        operation = adapter(*functions, **named)
        operation.recipe = (adapter.__name__, (*functions, *named.values()))
        return operation

    return made


def along(f: Function, i: int, args: Sequence[Any]) -> Function:
    """``f`` as a function of argument i alone."""
    return lambda x: f(*args[:i], x, *args[i + 1 :])


def imported(module: str, package: str) -> Any:
    """A library, imported when it is needed; MissingExtraError says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"checking a function of {module} needs it: pip install {package}") from error
