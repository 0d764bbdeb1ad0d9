"""The rules of a primitive: what each reads, and how it becomes a function that a walk can call at a node.

A rule *asks by name for what it reads*, and the graph keeps that and nothing else: an input's name gives that input,
``y`` the output, ``residual`` whatever forward returned beside the output, ``<input>_shape`` an input's shape,
``y_shape`` the output's, and a keyword's name that keyword. The first argument of VJPs and transposes is the
cotangent ``g``, of JVPs the tangent ``t``.

Rules are written in the library's own operations. These compute on plain arrays when they get plain arrays, so a
first-order backward runs on bare NumPy; given tensors, the same rule records: any order comes from one rule.

So a rule is written out as a line of source twice, on bare arrays and on tensors, and compiled when it is first asked
for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from ..errors import DeclarationError
from .modes import OBSERVED, constant
from .node import Node
from .tensor import ndarray, ops, wrap

__all__ = ["JVPS", "NONDIFF", "ON_TENSORS", "VJPS", "Rule", "Written", "derived_jvp", "made", "refuse", "written"]

Rule: TypeAlias = Callable[..., Any]
VJPS, JVPS, ON_TENSORS = 0, 2, 1  # where `Primitive.rules` has them: each on bare arrays, and after it on tensors
NONDIFF: Any = object()  # in place of a rule: an input that is data, such as the condition of `where`


class Written(NamedTuple):
    """A rule (None: the operation itself), and the source of what calls it, on bare arrays and on tensors."""

    rule: Any
    on_arrays: str = ""
    on_tensors: str = ""


def refuse(of: Any, need: str) -> NoReturn:
    """Raise DeclarationError for what a declaration lacks."""
    raise DeclarationError(f"@{of.kind} {of.name}: expected {need}")


def written(of: Any, rule: Rule, leading: str, k: int) -> Written:
    """What makes ``rule(g, x2, axis)`` a function ``f(g, node, saved, parents, i)``, on arrays and on tensors."""
    if rule is NONDIFF:
        return Written(NONDIFF)
    if not callable(rule):
        refuse(of, f"a function as the rule of input {of.inputs[k]!r}, got {rule!r}")
    names = _argument_names(rule)
    if leading:
        if not names or names[0] != leading:
            refuse(of, f"{leading!r} as the first argument of the rule of {of.inputs[k]!r}, got {names}")
        names = names[1:]
    forms = []
    for lifted in (False, True):
        fetched = ", ".join(_fetch(of, name, k, lifted=lifted) for name in names)
        if leading:
            forms.append(f"lambda {leading}, n, s, p, i: rule({leading}, {fetched})")
        else:
            forms.append(f"lambda g, n, s, p, i: g * rule({fetched})")
    return Written(rule, *forms)


def derived_jvp(of: Any, k: int) -> Written:
    """Linear: the operation on the tangent, and 0. Bilinear: the operation with one input replaced by its tangent.

    Of any number of arrays: the tangent in place `i`, zeros elsewhere.
    """
    if of.nondiff[k]:
        return Written(NONDIFF)
    forms = []
    for lifted in (False, True):
        if of.variadic:
            fetched = ["*[t if j == i else Z(shape, t) for j, shape in enumerate(n.params['shapes'])]"]
        else:
            read = [of.kind == "bilinear" or of.nondiff[j] for j in range(len(of.inputs))]
            fetched = [
                "t" if j == k else _fetch(of, name, k, lifted=lifted) if read[j] else "0"
                for j, name in enumerate(of.inputs)
            ]
        fetched += [f"{name}=n.params[{name!r}]" for name in of.params]
        forms.append(f"lambda t, n, s, p, i: rule({', '.join(fetched)})")
    return Written(None, *forms)


def _fetch(of: Any, name: str, k: int, *, lifted: bool) -> str:
    """The expression that fetches what a rule asks for by `name`; notes what has to be saved for it."""
    position = None
    if name == "i" and of.variadic:
        return "i"
    if name == "shapes" and of.variadic:
        return "n.params['shapes']"
    if name in of.params:
        return f"n.params[{name!r}]"
    if name == "y_shape":
        return "n.shape"
    if name == "residual" and of.has_residual:
        of.reads[k].add(-1)
        return "s[-1]"
    if name == "y":
        of.reads[k].add(-2)
        return "W(s[-2], n)" if lifted else "s[-2]"
    if name in of.inputs:
        position = of.inputs.index(name)
        of.reads[k].add(position)
        if of.variadic:
            return "[W(a, q) for a, q in zip(s[:-2], p)]" if lifted else "s[:-2]"
        saved = f"W(s[{position}], p[{position}])" if lifted else f"s[{position}]"
        several = of.kind == "elementwise" and len(of.inputs) > 1 and not of.nondiff[position]
        return f"U({saved}, n.dtype)" if several else saved
    if name == f"{of.inputs[k]}_shape":
        return f"p[{'i' if of.variadic else k}].shape"
    known = [*of.inputs, "y", "y_shape", f"{of.inputs[k]}_shape", *of.params]
    refuse(of, f"rules that ask for any of {', '.join(known)}; the rule of {of.inputs[k]!r} asks for {name!r}")


def made(of: Any, written: Written, *, on_tensors: bool) -> Any:
    """The function ``f(g, node, saved, parents, i)`` of a rule that was written out."""
    if written.rule is NONDIFF:
        return NONDIFF
    rule = of.operation if written.rule is None else written.rule
    source = written.on_tensors if on_tensors else written.on_arrays
    function: Any = _evaluated(source)(rule, _lift, _zeros, _promoted)
    if written.rule is None and of.variadic:
        function.together = partial(_together, of)
    return function


@cache
def _evaluated(source: str) -> Callable[..., Any]:
    """What makes a rule of a line of source; many rules share one line, and compiling is slow."""
    function: Callable[..., Any] = eval(compile(f"lambda rule, W, Z, U: {source}", __file__, "eval"))
    return function


def _argument_names(rule: Rule) -> list[str]:
    code = getattr(rule, "__code__", None)
    if code is None or hasattr(rule, "__wrapped__") or hasattr(rule, "__self__"):
        return list(inspect.signature(rule).parameters)
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def _lift(saved: Any, node: Node | None) -> Any:
    """What was saved as a tensor: of its graph, or as data where somebody observes what is done with it."""
    return wrap(saved, node) if node is not None or (OBSERVED and type(saved) is ndarray) else saved


def _promoted(saved: Any, dtype: np.dtype[Any]) -> Any:
    """An input in the dtype of the result: a derivative of float64 is not computed of a float32 in its precision."""
    given = getattr(saved, "dtype", dtype)  # a number of Python's has none, and takes any
    return saved if given is dtype or given == dtype else ops.astype(saved, dtype=dtype)


def _zeros(shape: tuple[int, ...], like: Any) -> Any:
    return constant(np.broadcast_to(np.zeros((), like.dtype), shape))


def _together(primitive: Any, tangents: Sequence[Any], node: Node) -> Any:
    """What the derived JVP gives for all inputs, added up, by one call of the operation: None is a tangent of zero."""
    like = next(t for t in tangents if t is not None)
    full = [_zeros(shape, like) if t is None else t for t, shape in zip(tangents, node.params["shapes"], strict=True)]
    return primitive.operation(*full, **{name: node.params[name] for name in primitive.params})
