"""From a call to a `Case`; and where bad use is told apart from a wrong gradient.

A function that cannot be checked at all raises one of the library's errors (`tinygrad_conv.errors`), a wrong gradient
raises `GradientError`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.modes import no_grad
from ..engine.tensor import Tensor
from ..engine.trees import flatten
from ..errors import ArgumentError, DTypeError, ShapeError
from .case import Case, joined

__all__ = ["prepare"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def prepare(f: Function, args: Sequence[Any], argnums: int | Sequence[int] | None = None, **options: Any) -> Case:
    """The case of ``f(*args)``, differentiated by its floating-point arguments (or by `argnums`).

    Raises
    ------
    DTypeError
        No argument is floating-point, or the function returns nothing or something that is no tensor.
    ArgumentError
        The function raises, or gives two values for the same arguments.
    ShapeError
        The shape of its output changes.
    """
    if not callable(f):
        raise DTypeError(f"check_gradients: expected a function, got {type(f).__name__}")
    name = options.pop("name", None) or _name_of(f)
    leaves, owners, rebuild = _leaves(args)
    wanted = _wanted(name, leaves, owners, len(args), argnums)
    inputs = [np.asarray(_array(leaves[k]), np.float64) for k in wanted]

    def on_inputs(*values: Any) -> Any:
        full = list(leaves)
        for k, value in zip(wanted, values, strict=True):
            full[k] = value
        return f(*rebuild(full))

    first, again = (_called(name, on_inputs, inputs) for _ in range(2))
    if isinstance(first, (list, tuple, dict)):
        parts = flatten(first)[0]
        if not any(isinstance(part, Tensor) for part in parts):
            _check_values(name, parts[0] if parts else None, again)
        single: Function = lambda *values: joined(flatten(on_inputs(*values))[0])  # noqa: E731
        first, again = (_called(name, single, inputs) for _ in range(2))
    else:
        single = on_inputs
    _check_values(name, first, again)
    several = [owners.count(owners[k]) > 1 for k in wanted]
    labels = [
        f"argument {owners[k]}" + (f" (part {k - owners.index(owners[k])})" if many else "")
        for k, many in zip(wanted, several, strict=True)
    ]
    kind = getattr(getattr(f, "primitive", None), "kind", None)
    return Case(single, inputs, name=name, labels=labels, kind=kind, **options)


def _name_of(f: Function) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else name


def _leaves(args: Sequence[Any]) -> tuple[list[Any], list[int], Function]:
    """All leaves of the arguments, the number of the argument each belongs to, and how to put arguments together."""
    leaves: list[Any] = []
    owners: list[int] = []
    for k, arg in enumerate(args):
        parts, _ = flatten(arg)
        leaves += parts
        owners += [k] * len(parts)
    return leaves, owners, flatten(tuple(args))[1]


def _array(value: Any) -> Array:
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def _wanted(
    name: str, leaves: Sequence[Any], owners: Sequence[int], n: int, argnums: int | Sequence[int] | None
) -> list[int]:
    numbers = {k for k, leaf in enumerate(leaves) if isinstance(leaf, (float, np.ndarray, np.generic, Tensor))}
    floats = [k for k in sorted(numbers) if _array(leaves[k]).dtype.kind == "f"]
    if argnums is not None:
        chosen = {argnums} if isinstance(argnums, int) else set(argnums)
        if not all(-n <= k < n for k in chosen):
            raise ArgumentError(f"{name}: argnums={argnums}, but there are {n} arguments")
        chosen = {k % n for k in chosen}
        wrong = sorted(chosen - {owners[k] for k in floats})
        if wrong:
            raise DTypeError(f"{name}: argument {wrong[0]} of argnums={argnums} is not floating-point")
        floats = [k for k in floats if owners[k] in chosen]
    if not floats:
        got = ", ".join(
            f"{type(leaf).__name__}" + (f" of {_array(leaf).dtype}" if k in numbers else "")
            for k, leaf in enumerate(leaves)
        )
        raise DTypeError(
            f"{name}: expected at least one floating-point argument to differentiate by, got {got or 'none'}; "
            "write 3.0 for 3, or convert with astype(float)"
        )
    return floats


def _called(name: str, f: Function, inputs: Sequence[Array]) -> Any:
    try:
        with no_grad(), np.errstate(all="ignore"):
            return f(*map(Tensor, inputs))
    except Exception as error:
        raise ArgumentError(
            f"{name}: cannot be checked, because calling it raised {type(error).__name__}: {error}"
        ) from error


def _check_values(name: str, first: Any, again: Any) -> None:
    if first is None or (isinstance(first, Tensor) and first._array.dtype == object and first._array.item() is None):
        raise DTypeError(f"{name}: the function returned nothing (None); return the tensor that you computed")
    if not isinstance(first, Tensor):
        hint = ""
        if isinstance(first, (np.ndarray, np.generic)):
            hint = "; an array has no graph: compute with this library's operations, or use check_vjp for NumPy's"
        raise DTypeError(f"{name}: expected a function that returns a tensor, got {type(first).__name__}{hint}")
    if first.dtype.kind != "f":
        raise DTypeError(f"{name}: expected a floating-point result, got dtype {first.dtype}, which has no derivative")
    if first.shape != again.shape:
        raise ShapeError(
            f"{name}: its output shape changes from call to call: {first.shape}, then {again.shape} for equal arguments"
        )
    if not np.array_equal(first._array, again._array, equal_nan=True):
        raise ArgumentError(
            f"{name}: not deterministic: two calls with equal arguments gave different values; make its random "
            "numbers inside, from a seed"
        )
