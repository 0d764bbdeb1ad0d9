"""From a call to a `Case`; and where bad use is told apart from a wrong gradient.

A function that cannot be checked at all raises one of the library's errors (`tinygrad_conv.errors`), a wrong gradient
raises `GradientError`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.modes import no_grad
from ..engine.tensor import Tensor
from ..engine.trees import flatten
from ..errors import ArgumentError, DTypeError, ShapeError
from .adapting import Adapted, Parametrized
from .case import SINGLE, Case, in_parts, joined

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
    leaves, owners, rebuild = _leaves(f, args)
    wanted = _wanted(name, leaves, owners, len(args), argnums)
    wholes = [np.asarray(_array(leaves[k])) for k in wanted]
    wholes = [np.asarray(x, np.complex128 if x.dtype.kind == "c" else np.float64) for x in wholes]
    inputs = [part for x in wholes for part in ((x.real.copy(), x.imag.copy()) if x.dtype.kind == "c" else (x,))]

    def on_inputs(*values: Any) -> Any:
        full, given = list(leaves), iter(values)
        for k, whole in zip(wanted, wholes, strict=True):
            full[k] = next(given) + 1j * next(given) if whole.dtype.kind == "c" else next(given)
        return rebuild(full)

    if len(inputs) == len(args) == len(leaves) and all(map(operator.is_, args, leaves)):
        on_inputs = f  # there is nothing to put together
    first, again = (_called(name, on_inputs, inputs) for _ in range(2))
    single: Function = on_inputs
    if isinstance(first, (list, tuple, dict)):
        parts = flatten(first)[0]
        if not any(map(_is_float, parts)):
            _check_values(name, parts[0] if parts else None, again)
        followed = [(k, part.dtype.kind == "c") for k, part in enumerate(parts) if _is_float(part)]

        def single(*values: Any) -> Any:
            parts = flatten(on_inputs(*values))[0]
            return joined(in_parts(parts[k]) if made_complex else parts[k] for k, made_complex in followed)

    elif isinstance(first, Tensor) and first.dtype.kind == "c":
        single = lambda *values: in_parts(on_inputs(*values))  # noqa: E731
    if single is not on_inputs:
        first, again = (_called(name, single, inputs) for _ in range(2))
    _check_values(name, first, again)
    kind = getattr(getattr(f, "primitive", None), "kind", None)
    labels = _labels(owners, wanted, wholes)
    foreign = isinstance(f, Adapted)
    case = Case(single, inputs, name=name, labels=labels, kind=kind, foreign=foreign, **options)
    case.y = first._array
    if first.dtype == np.float32:
        case.unit = SINGLE
    return case


def _labels(owners: Sequence[int | str], wanted: Sequence[int], wholes: Sequence[Array]) -> list[str]:
    """What reports call the inputs."""
    labels = []
    for k, whole in zip(wanted, wholes, strict=True):
        owner = owners[k]
        label = owner if isinstance(owner, str) else f"argument {owner}"
        label += f" (part {k - owners.index(owner)})" if owners.count(owner) > 1 else ""
        parts = (" (real part)", " (imaginary part)") if whole.dtype.kind == "c" else ("",)
        labels += [label + part for part in parts]
    return labels


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype.kind in "fc"


def _name_of(f: Function) -> str:
    name = getattr(f, "__name__", type(f).__name__)
    return "f" if name == "<lambda>" else name


def _leaves(f: Function, args: Sequence[Any]) -> tuple[list[Any], list[int | str], Function]:
    """All leaves of the arguments and the parameters, what each belongs to, and the call with other leaves.

    Tensors of another library are arrays here.
    """
    library = f.library if isinstance(f, Adapted) else None
    apart = library.flatten if library else flatten
    leaves: list[Any] = []
    owners: list[int | str] = []
    for k, arg in enumerate(args):
        parts, _ = apart(arg)
        leaves += [library.array(x) if library and library.owns(x) else x for x in parts]
        owners += [k] * len(parts)
    rebuild = apart(tuple(args))[1]
    if not isinstance(f, (Adapted, Parametrized)) or not f.parameters:
        return leaves, owners, lambda leaves: f(*rebuild(leaves))
    n, names = len(leaves), list(f.parameters)
    leaves += f.parameters.values()
    owners += [f"parameter {name}" for name in names]

    def call(leaves: Sequence[Any]) -> Any:
        return f.with_parameters(dict(zip(names, leaves[n:], strict=True)), *rebuild(leaves[:n]))

    return leaves, owners, call


def _array(value: Any) -> Array:
    return value._array if isinstance(value, Tensor) else np.asarray(value)


def _wanted(
    name: str, leaves: Sequence[Any], owners: Sequence[int | str], n: int, argnums: int | Sequence[int] | None
) -> list[int]:
    numbers = {k for k, leaf in enumerate(leaves) if isinstance(leaf, (float, complex, np.ndarray, np.generic, Tensor))}
    floats = [k for k in sorted(numbers) if _array(leaves[k]).dtype.kind in "fc"]
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
