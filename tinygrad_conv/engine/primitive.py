"""How a primitive is declared, and how it is applied.

One block declares a primitive::

    @elementwise(lambda x, y: 1 - y * y)
    def tanh(x):
        return np.tanh(x)

The decorator names the *kind*, and the kind says what has to be stated:

=============  ==========================================================================================
`elementwise`  one derivative per input; VJP and JVP both multiply by it (`walk` undoes broadcasting)
`linear`       the transpose (per input, if it is linear in several together); the JVP is the operation itself
`bilinear`     the two transposes; the JVP is the operation with one input replaced by its tangent
`opaque`       VJP and JVP per input, for the few operations that are none of these
=============  ==========================================================================================

A rule asks by name for what it reads (`rules` says what there is).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ParamSpec

import numpy as np

from ..arguments import Kind, checked, described, integers, kinds_of, several, unchecked
from ..errors import DeclarationError, DTypeError
from .node import Node
from .operation import MISSING, operation_of, source_of
from .rules import JVPS, NONDIFF, ON_TENSORS, VJPS, Rule, derived_jvp, made, refuse, written
from .tensor import Tensor

__all__ = ["NONDIFF", "Primitive", "bilinear", "elementwise", "flops_of", "linear", "opaque", "primitives"]

P = ParamSpec("P")
TIES = ("left", "right", "mean", "least", "greatest", "share", "first")

_registry: dict[str, Primitive] = {}


def primitives() -> Mapping[str, Primitive]:
    """Every primitive declared so far by name, in order of declaration (read-only).

    >>> import tinygrad_conv as tg
    >>> tg.primitives()["tanh"].kind
    'elementwise'
    """
    return MappingProxyType(dict(_registry))  # a copy, for another thread may declare one meanwhile


class Primitive:
    """A declared operation: its forward function, its rules, and what documents, prices and tests it.

    Attributes
    ----------
    name, kind : str
    forward : callable on arrays
    operation, source : what users call, and its source code (see `operation`)
    inputs : tuple of str
        The names of the differentiable inputs (one name standing for all, if `variadic`).
    vjps, jvps : tuple of compiled rules, each ``rule(g, node, saved, parents, i)``
        On bare arrays; `vjps_on_tensors` and `jvps_on_tensors` are the same rules lifting what was saved to tensors.
    label : str
        What pictures of a graph print.
    flops : callable or int
        ``flops(<input>..., y, **params)`` of shapes; an int is a cost per output element.
    domain : tuple of (low, high)
        For each input, the open interval its test values are drawn from.
    samples, bad : declared test samples, and bad calls with the message they must raise (see `tinygrad_conv.testing`)
    kinks : str
        The published convention where the derivative does not exist.
    tie : str, or a tuple of one per input
        The same for a test to hold the rules to: one of `TIES`, explained in `tinygrad_conv.testing.kinks`.
    batch : tuple of str
        The inputs, keywords and "y" whose axis 0 is a batch. Without "y", the result is a sum over the batch.
    ordered : bool
        The inputs are not alike, and nothing but their place says which is which: pictures number them.

    >>> import tinygrad_conv as tg
    >>> tanh = tg.primitives()["tanh"]
    >>> tanh.kind, tanh.inputs, tanh.label
    ('elementwise', ('x',), 'tanh')
    """

    # Slots, for the walks look at these at each node: an attribute in a dictionary takes three times as long.
    __slots__ = (
        "__weakref__", "_jvps", "_vjps", "bad", "batch", "broadcasts", "by_position", "defaults", "domain", "flops",
        "forward", "has_residual", "inputs", "joint", "kind", "kinks", "label", "name", "nondiff", "operation",
        "ordered", "params", "positions", "reads", "rules", "samples", "signature", "tie", "variadic",
    )  # fmt: skip

    @checked
    def __init__(
        self, kind: str, forward: Callable[..., Any], *, vjp: Sequence[Any], jvp: Sequence[Any] | None,
        inputs: int | None = None, residual: bool = False, label: str | None = None, flops: Any = 1,
        domain: Any = None, samples: Any = None, bad: Sequence[Any] = (), kinks: str = "", tie: Any = None,
        batch: Sequence[str] = (), broadcasts: bool = False, ordered: bool = False,
    ) -> None:  # fmt: skip
        self.name = forward.__name__
        self.kind = kind
        self.joint = False  # do the rules of all inputs share their work, in `pull_all` and `push_all`?
        self.rules: list[tuple[Rule, ...]] = [(), (), (), ()]  # as far as they were asked for (see VJPS)
        self.forward = forward
        self.label = label or self.name
        self.flops, self.samples, self.bad, self.kinks = flops, samples, tuple(bad), kinks
        self.tie, self.batch, self.ordered = tie, tuple(batch), ordered
        if not set(tie if isinstance(tie, tuple) else (tie,)) <= {None, *TIES}:
            refuse(self, f"tie= to be one of {', '.join(TIES)}, or a tuple of these and None, got {tie!r}")
        self.has_residual = residual
        self._read_signature(len(vjp) if inputs is None else inputs)
        if kind == "elementwise":
            needed = [p.name for p in self.signature.parameters.values() if p.default is p.empty]
            if len(needed) != len(vjp):
                refuse(self, f"a derivative for each input {', '.join(needed)}; got {len(vjp)}")
        self.domain = _domains(domain, len(self.inputs))
        if len(vjp) != len(self.inputs):
            refuse(self, f"one rule for each input {', '.join(self.inputs)}; got {len(vjp)}")
        if kind in ("opaque",) and (jvp is None or len(jvp) != len(self.inputs)):
            refuse(self, f"a JVP for each input {', '.join(self.inputs)}; got {0 if jvp is None else len(jvp)}")
        self.broadcasts = broadcasts or kind == "elementwise" or (kind == "linear" and len(self.inputs) > 1)
        self.nondiff = tuple(rule is NONDIFF for rule in vjp)
        self.reads: list[set[int]] = [set() for _ in self.inputs]  # per input: positions in `saved` its rules read
        leading = "" if kind == "elementwise" else "g"
        self._vjps = tuple(written(self, rule, leading, k) for k, rule in enumerate(vjp))
        if kind == "elementwise":
            self._jvps = self._vjps
        elif jvp is None:
            self._jvps = tuple(derived_jvp(self, k) for k in range(len(self.inputs)))
        else:
            self._jvps = tuple(written(self, rule, "t", k) for k, rule in enumerate(jvp))
        self.operation = operation_of(self)

    # -- declaration -----------------------------------------------------------------------------------------------

    def _read_signature(self, n_inputs: int) -> None:
        try:
            self.signature = inspect.signature(self.forward)
        except (ValueError, TypeError):
            refuse(self, "a function that tells its parameters")
        parameters = list(self.signature.parameters.values())
        self.variadic = bool(parameters) and parameters[0].kind is parameters[0].VAR_POSITIONAL
        if self.variadic:
            n_inputs = 1
        if len(parameters) < n_inputs:
            refuse(self, f"a forward function of at least {n_inputs} inputs; its signature is {self.signature}")
        self.inputs = tuple(p.name for p in parameters[:n_inputs])
        self.params = tuple(p.name for p in parameters[n_inputs:])
        self.by_position = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters[n_inputs:])  # so many of them
        self.positions = () if self.variadic else tuple(range(n_inputs))
        self.defaults = {p.name: p.default for p in parameters[n_inputs:] if p.default is not p.empty}

    @checked
    def compiled(self, form: Annotated[int, integers(0, 3)]) -> tuple[Rule, ...]:
        """The rules in a form (see VJPS), compiled when first asked for: most rules of most primitives never are.

        >>> import tinygrad_conv as tg
        >>> rule = tg.primitives()["exp"].compiled(0)[0]  # of the first input, on bare arrays
        >>> callable(rule)
        True
        """
        if not self.rules[form]:
            rules = self._vjps if form < JVPS else self._jvps
            self.rules[form] = tuple(made(self, rule, on_tensors=form % 2 == ON_TENSORS) for rule in rules)
        return self.rules[form]

    vjps = property(lambda self: self.compiled(VJPS))
    vjps_on_tensors = property(lambda self: self.compiled(VJPS + ON_TENSORS))
    jvps = property(lambda self: self.compiled(JVPS))
    jvps_on_tensors = property(lambda self: self.compiled(JVPS + ON_TENSORS))

    # -- application -----------------------------------------------------------------------------------------------

    @checked
    def bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call into inputs and keyword parameters, however the caller spelled it.

        >>> import tinygrad_conv as tg
        >>> tg.primitives()["permute_dims"].bind((tg.ones((2, 3)),), {"axes": (1, 0)})[1]
        {'axes': (1, 0)}
        """
        n = len(self.inputs)
        if n < len(args) <= n + self.by_position and params.keys().isdisjoint(self.params[: len(args) - n]):
            return args[:n], dict(zip(self.params, args[n:], strict=False)) | params
        try:
            bound = self.signature.bind(*(x for x in args if x is not MISSING), **params)
        except TypeError as error:
            raise DTypeError(f"{self.name}: {error}; its signature is {self.name}{self.signature}") from None
        values = bound.arguments
        return (
            tuple(values[name] for name in self.inputs),
            {name: values[name] for name in self.params if name in values},
        )

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kinds of the keywords: of the library's own operations, for elsewhere annotations may mean anything."""
        if not self.forward.__module__.startswith("tinygrad_conv."):
            return {}
        return {name: kind for name, kind in kinds_of(self.forward).items() if name in self.params}

    @property
    def doc(self) -> str:
        """The docstring of the forward function."""
        return inspect.getdoc(self.forward) or ""

    @property
    def source(self) -> str:
        """The source code of `operation`, which is compiled when it is first called."""
        return source_of(self)

    @property
    def shown(self) -> str:
        """What users call it."""
        return self.name.lstrip("_")

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.operation(*args, **params)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _declared, (self.name,)  # copies are the primitive itself; a pickle finds it where it is declared too

    def __repr__(self) -> str:
        return f"<{self.kind} primitive {self.name}{self.signature}>"


def _declared(name: str) -> Primitive:
    """The primitive of a name, for pickles."""
    if name not in _registry:
        raise DeclarationError(f"pickle: nobody has declared a primitive {name!r} here; import it first")
    return _registry[name]


def _domains(domain: Any, n: int) -> tuple[tuple[float, float], ...]:
    if domain is None:
        domain = (-3.0, 3.0)
    if isinstance(domain[0], (int, float)):
        domain = (domain,) * n
    return tuple((float(low), float(high)) for low, high in domain)


# ------------------------------------------------------------------------------------------------------------------
# The decorators


def _made(kind: str, forward: Callable[..., Any], **declared: Any) -> Primitive:
    """A primitive. The library's own declarations are not held to their kinds: import would take 1 ms longer."""
    if not str(getattr(forward, "__module__", "")).startswith("tinygrad_conv."):
        return Primitive(kind, forward, **declared)
    primitive = object.__new__(Primitive)
    unchecked(Primitive.__init__)(primitive, kind, forward, **declared)
    return primitive


def _declare(primitive: Primitive) -> Callable[..., Any]:
    """Register a primitive and give back the operation that users call."""
    known = _registry.get(primitive.name)
    if known is not None and known.forward.__module__ != primitive.forward.__module__:
        raise DeclarationError(
            f"@{primitive.kind} {primitive.name}: a primitive of this name is declared in "
            f"{known.forward.__module__}; choose another name"
        )
    _registry[primitive.name] = primitive
    return primitive.operation


def elementwise(*derivatives: Any, **declared: Any) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Declare an operation that acts on each element by itself (after broadcasting).

    Parameters
    ----------
    *derivatives : callables
        One per input, in order: the partial derivative, asking by name for inputs, ``y`` and keywords.
    domain : (low, high), or one such pair per input
        Where test values are drawn from; (-3, 3) by default.
    kinks : str
        The convention where the derivative does not exist.
    label, flops, bad : see `Primitive`

    Raises
    ------
    DeclarationError
        A derivative is missing, or asks for something unknown.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> @tg.elementwise(lambda x: 3 * x * x)
    ... def cube(x):
    ...     return x ** 3
    >>> tg.grad(cube)(2.0)
    Tensor(12.)
    """

    def declare(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        _rules("elementwise", forward, derivatives, "a derivative for each input")
        return _declare(_made("elementwise", forward, vjp=derivatives, jvp=None, **declared))

    return declare


def linear(
    transpose: Any = None, *, jvp: Any = None, **declared: Any
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Declare an operation that is linear in its input, or in several inputs together.

    Parameters
    ----------
    transpose : callable, or one per input
        ``transpose(g, ...)``, the adjoint: <g, f(x)> = <transpose(g), x>. `NONDIFF` for an input that is data.
    jvp : callable or one per input, optional
        Only where the operation on a tangent (with 0 for the other inputs) is not what is wanted.

    >>> import tinygrad_conv as tg
    >>> @tg.linear(lambda g: 2 * g)
    ... def double(x):
    ...     return x * 2
    >>> tg.jvp(double, (1.0,), (5.0,))[1]
    Tensor(10.)
    """

    def declare(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        rules = _rules("linear", forward, transpose, "its transpose")
        jvps = None if jvp is None else _rules("linear", forward, jvp, "a JVP (jvp=)")
        return _declare(_made("linear", forward, vjp=rules, jvp=jvps, **declared))

    return declare


def bilinear(*transposes: Any, **declared: Any) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Declare an operation of two inputs that is linear in each: a product, a matrix product, a convolution.

    Parameters
    ----------
    *transposes : two callables
        ``transpose(g, ...)`` with respect to the first input (it asks for the second by name), and the other way.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> @tg.bilinear(lambda g, b: g * b, lambda g, a: (g * a).sum())
    ... def scale(a, b):
    ...     return a * b
    >>> tg.grad(lambda b: scale(np.array([1.0, 2.0]), b).sum())(3.0)
    Tensor(3.)
    """

    def declare(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        _rules("bilinear", forward, transposes, "its two transposes")
        if len(transposes) != 2:
            raise DeclarationError(f"@bilinear {forward.__name__}: expected two transposes, got {len(transposes)}")
        return _declare(_made("bilinear", forward, vjp=transposes, jvp=None, **declared))

    return declare


def opaque(*, vjp: Any = None, jvp: Any = None, **declared: Any) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Declare an operation of no particular kind: state its VJP and JVP for each input.

    Parameters
    ----------
    vjp, jvp : callable, or one per input
        ``vjp(g, ...)`` pulls a cotangent back to that input, ``jvp(t, ...)`` pushes that input's tangent forward.
    residual : bool
        The forward function returns ``(y, residual)``; rules may ask for ``residual``, which is data.

    >>> import tinygrad_conv as tg
    >>> @opaque(vjp=lambda g, x: g * tg.cos(x), jvp=lambda t, x: t * tg.cos(x), domain=(-3, 3))
    ... def my_sin(x):
    ...     return np.sin(x)
    >>> tg.grad(my_sin)(0.0)
    Tensor(1.)
    """

    def declare(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        vjps = _rules("opaque", forward, vjp, "a VJP (vjp=)")
        jvps = _rules("opaque", forward, jvp, "a JVP (jvp=)")
        return _declare(_made("opaque", forward, vjp=vjps, jvp=jvps, **declared))

    return declare


_RULES = several("a function for each input", None)


def _rules(kind: str, forward: Callable[..., Any], rules: Any, what: str) -> tuple[Rule, ...]:
    """The rules of a declaration, of which there is at least one, as a tuple."""
    if not callable(forward) or not hasattr(forward, "__name__"):
        raise DeclarationError(f"@{kind}: expected to decorate a function, got {described(forward)}")
    if isinstance(rules, (tuple, list)):
        rules = _RULES.check(f"@{kind} {forward.__name__}", what, rules)
    elif rules is not None:
        rules = (rules,)
    if not rules:
        raise DeclarationError(f"@{kind} {forward.__name__}: {what} is missing")
    return rules


def flops_of(node: Node) -> int:
    """The floating-point operations of one node, from its primitive's declaration and the shapes it knows."""
    primitive = node.primitive
    if primitive is None:
        return 0
    if isinstance(primitive.flops, (int, float)):
        return int(primitive.flops) * int(np.prod(node.shape, dtype=np.int64))
    shapes = [
        parent.shape if parent is not None else np.shape(saved)
        for parent, saved in zip(node.parents, node.saved, strict=False)
    ]
    return int(primitive.flops(*shapes, node.shape, **node.params))
