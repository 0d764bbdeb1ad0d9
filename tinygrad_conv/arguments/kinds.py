"""What an argument may be: a small vocabulary of kinds, and one form of message for what does not fit.

Annotations name kinds. Python's own are among them (``int``, ``bool``, ``str``, ``float``, ``Literal[...]``, classes,
``Callable[...]``, ``Sequence[int]``, ``tuple[float, float]``, and unions of these). The aliases at the end name the
others. `calls.checked` holds a function's calls to its annotations.

A kind also *reads*: a function gets each argument in the form that its code works with, such as an int for one of
NumPy's integers, or a tuple for any sequence of sizes.

>>> check(Probability, "mix", "share", 2)
Traceback (most recent call last):
tinygrad_conv.errors.ArgumentError: mix: expected share to be a number in [0, 1], got 2
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from reprlib import Repr
from types import FunctionType, MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import numpy as np

from ..errors import ArgumentError, DTypeError, TinygradConvError

__all__ = [
    "LATER", "Axes", "Count", "DType", "Device", "Finite", "FloatDType", "Fraction", "Kind", "NewShape",
    "NonNegative", "Path", "Positive", "Probability", "ShapeLike", "Size", "Sizes", "SomeAxes", "check",
    "described", "functions", "instances", "integers", "items_of", "kind_of", "names_of", "nearest", "numbers",
    "one_of", "outlined",
    "several",
]  # fmt: skip


class Kind:
    """What an argument may be.

    Attributes
    ----------
    expected : str
        What completes "expected units to be ...".
    read : callable
        The value in the form that code works with. Raises TypeError where the type does not fit, ValueError where the
        value does not, or an error of the library whose words are better.
    near : callable, optional
        A value to suggest in place of one that does not fit; else the argument's default is suggested.
    quick : str
        Source code of a cheap test of ``{0}``: what passes it fits as it is, and `read` is not called.
    names : mapping
        What `quick` means by its names.
    """

    def __init__(
        self, expected: str, read: Callable[[Any], Any], near: Callable[[Any], Any] | None = None, quick: str = "",
        names: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.expected, self.read, self.near, self.quick, self.names = expected, read, near, quick, names

    def check(self, what: str, name: str, value: Any, default: Any = None) -> Any:
        """The value as it is read. Raises an error that says which argument of what does not fit, and what would."""
        try:
            return self.read(value)
        except TinygradConvError as error:
            raise type(error)(f"{what}: {error}") from None
        except (ValueError, OverflowError) as error:
            refused: type[TinygradConvError] = DTypeError if isinstance(error, UnicodeError) else ArgumentError
        except Exception:  # a strange object may raise anything when it is looked at
            refused = DTypeError
        fix = default
        if self.near is not None:
            try:
                fix = self.near(value)
            except Exception:
                fix = default
        use = (
            "" if fix is None else f'; use {name}="{fix}"' if isinstance(fix, str) else f"; use {name}={described(fix)}"
        )
        raise refused(f"{what}: expected {name} to be {self.expected}, got {described(value)}{use}") from None


def check(annotation: Any, what: str, name: str, value: Any, default: Any = None) -> Any:
    """A value as the kind that an annotation stands for reads it: `Kind.check` for what is no argument of a function.

    >>> check(Size, "load", "steps", np.int64(3))
    3
    """
    kind = kind_of(annotation)
    return value if kind is None else kind.check(what, name, value, default)


# ------------------------------------------------------------------------------------------------------------------
# Words

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 50


def described(value: Any) -> str:
    """A value for a message, whatever it is: short, and without the address of an object.

    >>> described(np.ones((2, 3))), described("axis"), described(object()), described(int)
    ('ndarray (2, 3) float64', "'axis'", 'an object', 'the class int')
    """
    try:
        if isinstance(value, type):
            return f"the class {value.__name__}"
        if type(value) is np.ndarray and value.size <= 4:
            return " ".join(repr(value).split())
        if outline := outlined(value):
            return f"{type(value).__name__} {outline}"
        if type(value) is not object and type(value).__module__ in ("builtins", "numpy") and not callable(value):
            return _SHORT.repr(value)
        return str(getattr(value, "__name__", None) or _a(value))
    except Exception:  # again, and an int may be too long to be printed
        return _a(value)


def outlined(value: Any) -> str:
    """The shape and dtype of an array or tensor; empty for anything else."""
    try:
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        known = isinstance(shape, tuple) and isinstance(dtype, np.dtype) and not isinstance(value, np.generic)
        return f"{shape} {dtype}" if known else ""
    except Exception:
        return ""


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _or(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


# ------------------------------------------------------------------------------------------------------------------
# Reading


def _ensure(fits: bool) -> None:
    if not fits:
        raise ValueError


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_, int)):
        raise TypeError
    _ensure(value in (0, 1))
    return bool(value)


def _integer(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    number = int.__pos__(operator.index(value))  # of a class of somebody's own, the number alone
    _ensure(-(2**63) <= number < 2**63)
    return number


def _real(value: Any) -> Any:
    """Python's number, or one for NumPy's number or what else holds a single one."""
    if isinstance(value, (bool, np.bool_, str, bytes, bytearray)):
        raise TypeError
    if isinstance(value, (int, float)):
        float(value)  # refuses an int that no float can hold
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    if getattr(value, "ndim", 0) or kind not in "fiu":
        raise TypeError
    return float(value) if kind == "f" else int(value)


def _function(value: Any) -> Any:
    if not callable(value):
        raise TypeError
    return value


def _nothing(value: Any) -> None:
    if value is not None:
        raise TypeError


def _dtype(kinds: str, value: Any) -> Any:
    dtype = np.dtype(value)
    if value is None or dtype.kind not in kinds:
        raise TypeError
    return np.dtype(dtype.type)  # in the machine's byte order, and NumPy's one object for it, which is found by `is`


_MOST = 1_000_000  # items of an argument that is a sequence and no array


def items_of(value: Any) -> list[Any]:
    """The items of a sequence, or of what else can be iterated over; text and what has no order are none."""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping, set, frozenset, np.generic)):
        raise TypeError
    items = list(islice(iter(value), _MOST + 1))
    _ensure(len(items) <= _MOST)
    return items


def _axes(value: Any) -> Any:
    return _integer(value) if isinstance(value, (int, np.integer)) else tuple(map(_integer, items_of(value)))


def _shape(least: int, value: Any) -> tuple[int, ...]:
    one = isinstance(value, (int, np.integer)) or getattr(value, "ndim", None) == 0
    shape = tuple(map(_integer, [value] if one else items_of(value)))
    _ensure(min(shape, default=least) >= least and len(shape) <= 64 and math.prod(shape) < 2**63)
    return shape


def _sizes(value: Any) -> tuple[int | None, ...]:
    sizes = tuple(n if n is None else _integer(n) for n in items_of(value))
    _ensure(all(n is None or n >= 0 for n in sizes))
    return sizes


def _path(value: Any) -> str:
    path = os.fspath(value)
    if not isinstance(path, str):
        raise TypeError
    path = str.__str__(path)  # of a subclass, the text itself
    _ensure("\0" not in path and len(os.fsencode(path)) > 0)
    return path


def _text(value: Any) -> str:
    """A string; of a subclass of str, whose methods may be anybody's, the text itself."""
    if not isinstance(value, str):
        raise TypeError
    return str.__str__(value)


# ------------------------------------------------------------------------------------------------------------------
# Kinds of kinds


def integers(least: int, most: int = 2**63 - 1) -> Kind:
    """Ints from `least` to `most`."""

    def read(value: Any) -> int:
        number = _integer(value)
        _ensure(least <= number <= most)
        return number

    def near(value: Any) -> int:
        return min(max(least, round(value)), most) if abs(value) < 2**31 else least

    expected = f"an int >= {least}" if most >= 2**62 else f"an int from {least} to {most}"
    return Kind(expected, read, near, f"type({{0}}) is int and {least} <= {{0}} <= {most}")


def numbers(
    expected: str, low: float, high: float, *, to_low: bool = True, to_high: bool = False,
    near: Callable[[Any], Any] | None = None,
) -> Kind:  # fmt: skip
    """Numbers between bounds, which are among them or not; NaN never fits."""

    def read(value: Any) -> Any:
        number = _real(value)
        _ensure((low <= number if to_low else low < number) and (number <= high if to_high else number < high))
        return number

    source = f"{low} {'<=' if to_low else '<'} {{0}} {'<=' if to_high else '<'} {high}"
    return Kind(expected, read, near, f"type({{0}}) is float and {source}", {"inf": math.inf})


def nearest(word: Any, words: Sequence[str]) -> str:
    """Of some words the one that was most likely meant.

    >>> nearest("Sommed", ["mean", "sum", "none"])
    'sum'
    """
    from difflib import get_close_matches  # only when something is wrong

    return (get_close_matches(str(word).lower(), words, 1, 0.0) or words)[0]


def one_of(*options: Any) -> Kind:
    """One of some values; of strings, the nearest is suggested."""

    def read(value: Any) -> Any:
        if not isinstance(value, (str, int, NoneType)):
            raise TypeError
        _ensure(value in options)
        return options[options.index(value)]

    def near(value: Any) -> Any:
        words = [option for option in options if isinstance(option, str)]
        return nearest(value, words) if isinstance(value, str) else options[0]

    return Kind(_or([f'"{o}"' if isinstance(o, str) else repr(o) for o in options]), read, near)


def names_of(options: Collection[str]) -> Kind:
    """One name out of some, or several; read as a tuple of names."""

    def read(value: Any) -> tuple[str, ...]:
        names = (value,) if isinstance(value, str) else tuple(items_of(value))
        _ensure(all(isinstance(name, str) and name in options for name in names))
        return names

    def near(value: Any) -> Any:
        names = (value,) if isinstance(value, str) else items_of(value)
        return nearest(next(name for name in names if name not in options), tuple(options))

    return Kind(f"names out of {', '.join(options)}", read, near)


def instances(of: type, expected: str = "") -> Kind:
    """Instances of a class."""

    def read(value: Any) -> Any:
        if not isinstance(value, of):
            raise TypeError
        return value

    named = f"{'an' if of.__name__[:1].lower() in 'aeiou' else 'a'} {of.__name__}"
    return Kind(expected or named, read, quick=f"type({{0}}) is {of.__name__}", names={of.__name__: of})


def functions(expected: str = "a function") -> Kind:
    """What can be called."""
    return Kind(expected, _function, quick="type({0}) is FunctionType", names={"FunctionType": FunctionType})


def several(expected: str, kinds: Kind | tuple[Kind | None, ...] | None) -> Kind:
    """A sequence of values of one kind or (a tuple of kinds) as many values as there are kinds; read as a tuple."""

    def read(value: Any) -> tuple[Any, ...]:
        items = items_of(value)
        if isinstance(kinds, tuple):
            _ensure(len(items) == len(kinds))
            return tuple(item if kind is None else kind.read(item) for kind, item in zip(kinds, items, strict=True))
        return tuple(items if kinds is None else map(kinds.read, items))

    return Kind(expected, read)


def _either(kinds: tuple[Kind, ...]) -> Kind:
    """What fits one of some kinds; the first reads it."""

    def read(value: Any) -> Any:
        wrong: Exception = TypeError()
        for kind in kinds:
            try:
                return kind.read(value)
            except (TinygradConvError, ValueError, OverflowError) as error:  # right type, wrong value: says more
                wrong = error
            except Exception:
                continue
        try:
            raise wrong
        finally:
            del wrong  # it holds this call

    def near(value: Any) -> Any:
        return next(kind.near(value) for kind in kinds if kind.near is not None)

    quick = " or ".join(kind.quick for kind in kinds if kind.quick)
    names = {name: value for kind in kinds for name, value in kind.names.items()}
    return Kind(_or([kind.expected for kind in kinds]), read, near, quick, names)


# ------------------------------------------------------------------------------------------------------------------
# Python's annotations

LATER = "looked at by the work itself"  # in Annotated: not checked at the call

_OWN: dict[Any, Kind] = {
    bool: Kind("True or False", _flag, quick="{0} is True or {0} is False"),
    int: Kind("an int", _integer, quick="type({0}) is int"),
    float: Kind("a number", _real, quick="type({0}) is float"),
    str: Kind("a string", _text, quick="type({0}) is str"),
    NoneType: Kind("None", _nothing, quick="{0} is None"),
}


@cache
def kind_of(annotation: Any) -> Kind | None:
    """The kind that an annotation stands for; None for what may be anything."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated and LATER in inner:
        return None
    if origin is Annotated:
        return next((it for it in inner[1:] if isinstance(it, Kind)), None) or kind_of(inner[0])
    if origin in (Union, UnionType):
        kinds = tuple(map(kind_of, inner))
        known = tuple(kind for kind in kinds if kind is not None)
        return _either(known) if len(known) == len(kinds) else None
    if origin is Literal:
        return one_of(*inner)
    if Callable in (annotation, origin) or origin is get_origin(Callable[[], None]):
        return functions()
    if annotation in _OWN:
        return _OWN[annotation]
    base = origin or annotation
    if not isinstance(base, type) or base in (object, Any) or base.__module__.startswith("numpy._typing"):  # ArrayLike
        return None
    if issubclass(base, Mapping):
        return instances(Mapping, "a mapping")
    if origin is None or not issubclass(base, Iterable) or base is np.ndarray:
        return instances(base)
    if base is not tuple or inner[-1:] == (...,):
        each = kind_of(inner[0])
        return several("a sequence" + (f", each {each.expected}" if each else ""), each)
    each_of = tuple(map(kind_of, inner))
    words = [kind.expected if kind else "anything" for kind in each_of]
    one = f"{len(words)} values, each {words[0]}" if len(set(words)) == 1 else f"({', '.join(words)})"
    return several(one, each_of)


# ------------------------------------------------------------------------------------------------------------------
# The other kinds, for annotations

Size: TypeAlias = Annotated[int, integers(1)]
Count: TypeAlias = Annotated[int, integers(0)]
Finite: TypeAlias = Annotated[float, numbers("a finite number", -math.inf, math.inf, to_low=False)]
Positive: TypeAlias = Annotated[float, numbers("a finite number > 0", 0, math.inf, to_low=False)]
NonNegative: TypeAlias = Annotated[float, numbers("a finite number >= 0", 0, math.inf)]
Fraction: TypeAlias = Annotated[float, numbers("a number in [0, 1)", 0, 1)]
Probability: TypeAlias = Annotated[float, numbers("a number in [0, 1]", 0, 1, to_high=True)]

# For what NumPy looks at again: to look into a tuple would cost more than some operations do.
_INT_OR_TUPLE = "type({0}) is int or type({0}) is tuple"
SomeAxes: TypeAlias = Annotated[int | tuple[int, ...], Kind("an axis or a tuple of axes", _axes, quick=_INT_OR_TUPLE)]
Axes: TypeAlias = SomeAxes | None
ShapeLike: TypeAlias = Annotated[
    Any, Kind("a shape (an int, or ints >= 0)", partial(_shape, 0), quick="type({0}) is tuple")
]
NewShape: TypeAlias = Annotated[
    Any, Kind("a shape (an int, or ints >= 0, one of them -1)", partial(_shape, -1), quick=_INT_OR_TUPLE)
]
Device: TypeAlias = Annotated[str, one_of("cpu")]  # all there is
Sizes: TypeAlias = Annotated[
    Any, Kind("the sizes of an input, batch axis first (ints >= 0, or None)", _sizes, quick="type({0}) is tuple")
]

DType: TypeAlias = Annotated[Any, Kind("a dtype of numbers", partial(_dtype, "fiubc"), lambda value: "float32")]
FloatDType: TypeAlias = Annotated[Any, Kind("a floating dtype", partial(_dtype, "f"), lambda value: "float32")]
Path: TypeAlias = Annotated[str | os.PathLike[str], Kind("a path", _path)]
