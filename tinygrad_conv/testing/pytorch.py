"""`from_torch`: functions, modules and ``torch.autograd.Function`` of PyTorch as operations."""

from __future__ import annotations

import importlib
import operator
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..arguments import checked
from ..engine.trees import flatten
from .adapting import Adapted, Library, along, imported, remembered

__all__ = ["from_torch"]

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]

# Derivatives of the forward mode of these are wrong in PyTorch 2.13, and it does not say so. Of 1,515 samples of the
# operations that it tests itself with, no other differs from its own reverse mode over reverse mode.
_WRONG = {
    "_linalg_det", "_linalg_slogdet", "_linalg_solve_ex", "linalg_householder_product", "native_layer_norm",
    "native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update",
}  # fmt: skip


@checked
@remembered
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
    torch = imported("torch", "torch")
    dispatch = importlib.import_module("torch.utils._python_dispatch")

    class Operators(dispatch.TorchDispatchMode):  # type: ignore[misc, name-defined, unused-ignore]
        """Notes the names of the operators that run."""

        def __init__(self) -> None:
            super().__init__()
            self.names: set[str] = set()

        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), keywords: Any = None) -> Any:
            self.names.add(operator.overloadpacket.__name__)
            return operator(*args, **(keywords or {}))

    base, custom = torch.autograd.Function, torch.autograd.function.BackwardCFunction
    is_class = isinstance(f, type) and issubclass(f, base)
    forward_mode = not is_class or (f.jvp is not base.jvp and f.setup_context is not base.setup_context)

    shared: list[Any] = [None, (), {}]  # a function, what its gradients were asked at, and those not yet asked for
    last: list[Any] = [None, (), (), None]  # what ran last: a function, its arrays and tensors, and its result

    def run(f: Function, args: Sequence[Any]) -> Array:
        with torch.enable_grad():
            if not hasattr(f, "of"):
                tensors = [tracked(x) for x in args]
                last[:] = f, args, tensors, f(*tensors)
                return array(last[3]).copy()
            inner, i = f.of  # one walk backward gives the gradients of all arguments
            if not is_last(shared, inner, args) or i not in shared[2]:
                found = None
                if is_last(last, inner, args[1:]):
                    with suppress(Exception):  # a Function may free what it saved when it is walked for the first time
                        found = all_gradients(inner, *map(tracked, args[:1]), *last[2], y=last[3])
                shared[:] = inner, args, all_gradients(inner, *map(tracked, args)) if found is None else found
            return shared[2].pop(i)

    def tracked(x: Array) -> Any:
        made = torch.from_numpy(np.array(x))  # a copy: PyTorch takes no negative strides
        return made.requires_grad_(made.is_floating_point() or made.is_complex())

    def is_last(known: Sequence[Any], f: Function, args: Sequence[Any]) -> bool:
        return f is known[0] and len(args) == len(known[1]) and all(map(operator.is_, args, known[1]))

    def array(x: Any) -> Array:
        return np.asarray(x.numpy(force=True))

    def all_gradients(f: Function, g: Any, *xs: Any, y: Any = None) -> dict[int, Array]:
        which = [k for k, x in enumerate(xs) if x.requires_grad]
        return dict(zip(which, map(array, gradients(f, which, g, *xs, y=y, create_graph=False)), strict=True))

    def gradients(
        f: Function, which: Sequence[int], g: Any, *xs: Any, y: Any = None, create_graph: bool = True
    ) -> list[Any]:
        wanted = [xs[i] for i in which]
        if hasattr(f, "tangent_of"):
            refuse_if_wrong(f.tangent_of, xs[1:])
            placed = lambda *some: f(*(dict(zip(which, some, strict=True)).get(k, x) for k, x in enumerate(xs)))  # noqa: E731
            return list(torch.func.vjp(placed, *wanted)[1](g))
        y = f(*xs) if y is None else y
        if not y.requires_grad:
            return [torch.zeros_like(x) for x in wanted]
        made_by = y.grad_fn  # None where f returns an argument
        if made_by is not None and ("Error" in type(made_by).__name__ or "Error" in made_by.name()):
            raise NotImplementedError("it is marked @once_differentiable")
        found = torch.autograd.grad(y, wanted, g, retain_graph=True, create_graph=create_graph, allow_unused=True)
        return [torch.zeros_like(x) if d is None else d for x, d in zip(wanted, found, strict=True)]

    def gradient(f: Function, i: int) -> Function:
        def of(g: Any, *xs: Any) -> Any:
            return gradients(f, [i], g, *xs)[0]

        of.of = f, i  # type: ignore[attr-defined]
        of.pure = lambda g, *xs: torch.func.vjp(along(_pure(f), i, xs), xs[i])[1](g)[0]  # type: ignore[attr-defined]
        return of

    def tangent(f: Function, i: int) -> Function:
        def of(t: Any, *xs: Any) -> Any:
            if hasattr(f, "tangent_of"):
                refuse_if_wrong(f.tangent_of, xs[1:], forward=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's own: it compiles its rules with what it has deprecated
                return torch.func.jvp(along(_pure(f), i, xs), (xs[i],), (t,))[1]

        of.tangent_of = f  # type: ignore[attr-defined]
        return of

    def refuse_if_wrong(f: Function, xs: Sequence[Any], forward: bool = False) -> None:
        """Is there something in a function of which PyTorch has wrong derivatives of the forward mode?"""
        with Operators() as operators:
            stack = [f(*xs).grad_fn]
        wrong, seen = operators.names & _WRONG, {None}
        while forward and stack:
            made_by = stack.pop()
            if made_by not in seen:
                seen.add(made_by)
                stack += [before for before, _ in made_by.next_functions]
                wrong |= {"a custom Function"} if isinstance(made_by, custom) else set()
        if wrong:
            raise NotImplementedError(f"PyTorch differentiates the forward mode of {min(wrong)} wrongly")

    library = Library(
        owns=lambda x: isinstance(x, torch.Tensor), tensor=torch.as_tensor, array=array, run=run,
        pull=gradient, push=tangent, joined=lambda parts: torch.cat([part.reshape(-1) for part in parts]),
        flatten=lambda tree: flatten(tuple(tree) if type(tree).__module__ == "torch.return_types" else tree),
        missing="forward AD|setup_context|jvp|functorch|vmap|double backward|derivative for|differentiable|data pointer"
        "|does not require grad|in-place operation|not implemented|ZeroTensors",
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


def _pure(f: Function) -> Function:
    """The form of a function that `torch.func` can go through."""
    return getattr(f, "pure", f)
