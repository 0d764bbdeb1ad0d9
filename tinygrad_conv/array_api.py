"""What the Array API (2025.12) asks of a namespace beside operations: dtypes, constants, and questions about them.

The namespace is ``tg`` itself, as ``x.__array_namespace__()`` says: its functions take and give tensors, and have the
standard's names, arguments and meaning. What stands here is found there too: ``tg.float32``, ``tg.finfo(x)``.

>>> import tinygrad_conv as tg
>>> xp = tg.Tensor([1.0]).__array_namespace__()
>>> xp.finfo(xp.float32).bits
32
"""

from __future__ import annotations

import builtins
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .arguments import Device, DType, ShapeLike, check, checked
from .engine.tensor import Tensor
from .errors import ArgumentError, DTypeError, ShapeError

__array_api_version__ = "2025.12"
e, pi, inf, nan, newaxis = np.e, np.pi, np.inf, np.nan, None

KINDS: dict[str, tuple[str, ...]] = {  # of dtypes, and which they are
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
KINDS["integral"] = KINDS["signed integer"] + KINDS["unsigned integer"]
KINDS["numeric"] = KINDS["integral"] + KINDS["real floating"] + KINDS["complex floating"]
DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(name) for name in KINDS["bool"] + KINDS["numeric"]}
globals().update(DTYPES)

# ------------------------------------------------------------------------------------------------------------------
# What can be asked of dtypes and shapes


class FloatInfo(NamedTuple):
    """The limits of a floating dtype, as numbers of Python's; of a complex one, those of its parts."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype[Any]


class IntegerInfo(NamedTuple):
    """The limits of an integer dtype, as numbers of Python's."""

    bits: int
    max: int
    min: int
    dtype: np.dtype[Any]


def _dtype_of(what: str, given: Any, kinds: str = "biufc") -> np.dtype[Any]:
    """The dtype that is given, or that of an array, if it is of one of NumPy's kinds."""
    of = given if isinstance(given, type) else getattr(given, "dtype", given)
    dtype: np.dtype[Any] = check(DType, what, "dtype", of)
    if dtype.kind not in kinds:
        raise DTypeError(f"{what}: expected a dtype of kind {kinds!r}, got {dtype}")
    return dtype


@checked
def finfo(type: Any, /) -> FloatInfo:
    """The limits of a floating or complex dtype, or of an array's.

    Raises DTypeError for another dtype.

    >>> finfo("float32").bits
    32
    """
    dtype = _dtype_of("finfo", type, "fc")
    info = np.finfo(dtype)
    eps, high, low, tiny = map(float, (info.eps, info.max, info.min, info.smallest_normal))
    return FloatInfo(int(info.bits), eps, high, low, tiny, np.dtype(info.dtype))


@checked
def iinfo(type: Any, /) -> IntegerInfo:
    """The limits of an integer dtype, or of an array's.

    Raises DTypeError for another dtype.

    >>> iinfo("int8").max
    127
    """
    dtype = _dtype_of("iinfo", type, "iu")
    info = np.iinfo(dtype)
    return IntegerInfo(info.bits, int(info.max), int(info.min), dtype)


@checked
def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Is a dtype another one, of one of these kinds ("real floating", "integral", ...), or among several such?

    Raises ArgumentError for a kind that does not exist.

    >>> isdtype("float32", ("integral", "real floating"))
    True
    """
    one = kind if isinstance(kind, tuple) else (kind,)
    for name in one:
        if isinstance(name, str) and name not in KINDS and name not in DTYPES:
            raise ArgumentError(f"isdtype: expected kind to be one of {', '.join(KINDS)}, or a dtype, got {name!r}")
    given = _dtype_of("isdtype", dtype)
    return any(
        given.name in KINDS[k] if isinstance(k, str) and k in KINDS else given == _dtype_of("isdtype", k) for k in one
    )


@checked
def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Does a dtype become another one by promotion: without loss, and of the same kind or a wider one?

    >>> can_cast("float32", "float64"), can_cast("float64", "float32")
    (True, False)
    """
    return np.can_cast(_dtype_of("can_cast", from_), _dtype_of("can_cast", to))


@checked
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that arrays, dtypes and Python's numbers together have in an operation.

    >>> result_type(Tensor([1.0], dtype="float32"), 2)
    dtype('float32')
    """
    return np.result_type(*(x.dtype if isinstance(x, Tensor) else x for x in arrays_and_dtypes))


@checked
def broadcast_shapes(*shapes: ShapeLike) -> tuple[int, ...]:
    """The shape that arrays of these shapes together have in an operation.

    Raises ShapeError where they do not fit.

    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"broadcast_shapes: expected shapes that broadcast together, got {shapes}") from None


# ------------------------------------------------------------------------------------------------------------------
# What can be asked of the namespace


def namespace(api_version: str | None = None) -> ModuleType:
    """What ``x.__array_namespace__()`` gives: ``tg``. Raises ArgumentError for a version later than this one."""
    if api_version is not None and not "2021.12" <= api_version <= __array_api_version__:
        raise ArgumentError(
            f"__array_namespace__: expected a version up to {__array_api_version__}, got {api_version!r}"
        )
    return import_module(__package__)


@checked
class Info:
    """What ``tg.__array_namespace_info__()`` gives."""

    def capabilities(self) -> dict[str, Any]:
        """Indexing by bools works, shapes may depend on data, and there is no limit to axes but NumPy's."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """``"cpu"``."""
        return "cpu"

    def devices(self) -> tuple[str, ...]:
        """``("cpu",)``."""
        return ("cpu",)

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, np.dtype[Any]]:
        """The dtypes of what is made without one."""
        made = {"real floating": 0.0, "complex floating": 0j, "integral": 0}
        return {**{kind: Tensor(one).dtype for kind, one in made.items()}, "indexing": np.dtype(np.intp)}

    def dtypes(
        self, *, device: Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, np.dtype[Any]]:
        """The dtypes of the standard by name: all, or those of some kinds."""
        return {name: dtype for name, dtype in DTYPES.items() if kind is None or isdtype(dtype, kind)}


def __array_namespace_info__() -> Info:  # noqa: N807
    """What the namespace can do, and its dtypes and devices.

    >>> __array_namespace_info__().default_dtypes()["real floating"]
    dtype('float64')
    """
    return Info()


def __getattr__(name: str) -> Any:
    """What is not here is the library's, so that this module is a namespace of the standard, too."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(namespace(), name)


__all__ = [
    "__array_api_version__", "__array_namespace_info__", "broadcast_shapes", "can_cast", "e", "finfo", "iinfo", "inf",
    "isdtype", "nan", "newaxis", "pi", "result_type", *DTYPES,
]  # fmt: skip
