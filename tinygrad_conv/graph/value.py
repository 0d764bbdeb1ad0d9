"""`Graph`: an immutable value that says what a computation is made of.

The recorded graph is alive: backward frees it, its nodes hold arrays, and its order is the order of
creation. A `Graph` is a value: nodes with names, in an order that the structure alone decides. The same
computation gives an equal `Graph` in every process, so everything that shows a graph (pictures, reports,
tests) starts from one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from threading import RLock
from typing import Any, Literal, TypeAlias

import numpy as np

from ..arguments import checked
from ..blocks import awaited_by_forks
from ..digits import number
from ..engine.node import Shape
from ..engine.tensor import ndarray, ops
from ..errors import IndexingError
from ..legible import legible

__all__ = ["Graph", "GraphModule", "GraphNode", "Kind", "Values"]

Kind: TypeAlias = Literal["input", "parameter", "constant", "operation", "output", "module", "group", "link"]


def counted(n: int, unit: str) -> str:
    """
    >>> counted(1, "param"), counted(2_000, "param")
    ('1 param', '2,000 params')
    """
    return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}s"


@checked
class Values:
    """The numbers of one tensor: a read-only copy that is equal to another by its bits, with its statistics.

    >>> import numpy as np
    >>> values = Values(np.array([3.0, 0.0, -4.0]))
    >>> values, values.norm, values.state
    (3 values from -4 to 3, mean -0.333, 5.0, 'finite')
    >>> Values(np.zeros(2)).state
    'zero'
    """

    __slots__ = ("array",)

    array: ndarray[Any, Any]

    def __init__(self, array: Any) -> None:
        array = np.array(array, order="C")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Values are immutable; cannot set {name!r}")

    def __reduce__(self) -> Any:
        return Values, (self.array,)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Values:  # isinstance asks the other, which may raise
            return NotImplemented
        a, b = self.array, other.array
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    @property
    def _real(self) -> ndarray[Any, Any]:
        """In double precision; of complex numbers their magnitudes."""
        real: ndarray[Any, Any] = np.abs(self.array) if self.array.dtype.kind == "c" else self.array
        return real.astype("float64")

    @property
    def _finite(self) -> ndarray[Any, Any]:
        return self._real[np.isfinite(self.array)]

    @property
    def minimum(self) -> float:
        """The smallest finite value; NaN where there is none."""
        return float(self._finite.min(initial=np.inf)) if self._finite.size else float("nan")

    @property
    def maximum(self) -> float:
        """The largest finite value."""
        return float(self._finite.max(initial=-np.inf)) if self._finite.size else float("nan")

    @property
    def mean(self) -> float:
        """The mean of the finite values."""
        return float(self._finite.mean()) if self._finite.size else float("nan")

    @property
    def norm(self) -> float:
        """The square root of the sum of squares; NaN or infinite if a value is."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.sqrt(np.square(self._real).sum()))

    @property
    def nans(self) -> int:
        """How many are NaN."""
        return int(np.isnan(self.array).sum())

    @property
    def infinities(self) -> int:
        """How many are infinite."""
        return int(np.isinf(self.array).sum())

    @property
    def state(self) -> Literal["finite", "zero", "infinite", "nan"]:
        """What is noteworthy: NaN among them, infinities among them, all of them zero, or nothing (finite)."""
        if np.isfinite(self.array).all():
            return "finite" if self.array.any() or not self.array.size else "zero"
        return "nan" if self.nans else "infinite"

    def __repr__(self) -> str:
        if self.array.size == 1:
            return number(self.array.item())
        bad = "".join(f", {n} {what}" for n, what in ((self.nans, "NaN"), (self.infinities, "infinite")) if n)
        if not self._finite.size:
            return f"{self.array.size:,} values{bad}"
        least, most, mean = (number(value, 3) for value in (self.minimum, self.maximum, self.mean))
        return f"{self.array.size:,} values from {least} to {most}, mean {mean}{bad}"


class _Alive:
    """What a node of a fresh snapshot can do besides: no part of its value, nor of what is pickled or written."""

    __slots__ = ("live",)
    live: Any  # the recorded node, and what was seen of the run

    def explain(self, n: int = 0, y: int = 0, x: int = 0, channel: int = 0, z: int = 0) -> Any:
        """Every number that made one element of a convolution, pooling or dense layer: see `tg.microscope`.

        Needs a snapshot with ``values=True``.
        """
        return ops.microscope(self).explain(n, y, x, channel, z)


@checked
@dataclass(frozen=True, slots=True)
class GraphNode(_Alive):
    """One node of a `Graph`.

    Attributes
    ----------
    name : str
        Unique in its graph: an operation's name and number (``relu_2``), an argument's name, a parameter's
        dotted path.
    kind : "input", "parameter", "constant", "operation" or "output"; in a folded graph also "module" or "group", and in
        one that is drawn in rows "link", which stands for a node of another row
    label : str
        What a picture prints: the operation's sign (``@``), or the short name of a leaf.
    inputs : tuple of str
        The names of the nodes it is computed from, in the order of the operation's arguments.
    primitive : str
        The primitive's name; empty unless it is an operation.
    params : tuple of (name, value as text)
        The operation's keyword parameters, all of them.
    changed : tuple of str
        Those of `params` that are not at their default.
    shape : tuple of int, or None where the graph did not keep it (a constant that no rule reads)
    dtype : str
    module : str
        The path of the module it belongs to, such as ``features.0``; empty outside modules.
    n_params : int
        How many numbers a parameter holds; 0 for all else.
    flops : int, or None where the primitive cannot tell
    bytes : int, or None where an input's size is not known
        What the operation reads and writes.
    source : str
        The user's line, as ``file.py:12: y = x * w``; not part of equality.
    values, gradients : Values or None
        The numbers it held, and the derivative of the outputs' sum by them; None unless asked for, where the graph
        did not keep them, and (for gradients) where no gradient arrives.
    step : int
        The operation's place in the backward pass that `gradients` come from, from 1; 0 where it has none; not part of
        equality, for it follows the order in which the operations were written.
    arrivals : tuple of (operation, Values)
        Where several operations contribute to the gradient: their sum so far, after each of them but the last; not
        part of equality either.
    time : float or None
        Seconds that the operation took alone, if asked for; not part of equality.
    order : int
        0 for what the user computed, 1 for the gradient of that, 2 for the gradient's gradient.
    of : str
        For a node of a gradient: the operation whose rule made it.
    calls : tuple of (module's path, which call, of how many)
        For each module around it that was called more than once, the outermost first: in which call it ran, from 1.
    again : tuple of str
        In a folded graph, for the first of equal blocks: which of the block's nodes this one reads in the later ones.
    count : int
        How many operations it stands for, in a folded graph.
    mark : str
        In a picture of differences: "added", "removed" or "changed: ..." with what changed.

    >>> import tinygrad_conv as tg
    >>> node = tg.graph.snapshot(lambda x: tg.sum(x, axis=0), np.ones((2, 3)))["sum_1"]
    >>> node.inputs, node.shape, node.changed, node.flops
    (('x',), (3,), ('axis',), 3)
    """

    name: str
    kind: Kind
    label: str
    inputs: tuple[str, ...] = ()
    primitive: str = ""
    params: tuple[tuple[str, str], ...] = ()
    changed: tuple[str, ...] = ()
    shape: Shape | None = None
    dtype: str = ""
    module: str = ""
    n_params: int = 0
    flops: int | None = 0
    bytes: int | None = 0
    source: str = field(default="", compare=False)
    values: Values | None = None
    gradients: Values | None = None
    step: int = field(default=0, compare=False)
    arrivals: tuple[tuple[str, Values], ...] = field(default=(), compare=False)
    time: float | None = field(default=None, compare=False)
    order: int = 0
    of: str = ""
    calls: tuple[tuple[str, int, int], ...] = ()
    again: tuple[str, ...] = ()
    count: int = 1
    mark: str = ""


@checked
@dataclass(frozen=True, slots=True)
class GraphModule:
    """A module with nodes in a `Graph`: its path, its class (if known), its number of parameters.

    In a folded graph ``repeat`` says for how many equal ones it stands, and ``label`` what to print for its path.
    ``options`` are what it was told that is not the default and that neither its operations nor shapes show, as
    (name, text): a dropout's rate.

    >>> import tinygrad_conv as tg
    >>> tg.graph.snapshot(tg.nn.Sequential([tg.nn.Dense(10)]), np.ones((1, 4))).modules
    (GraphModule(path='0', kind='Dense', n_params=50, repeat=1, label='', options=()),)
    """

    path: str
    kind: str
    n_params: int
    repeat: int = 1
    label: str = ""
    options: tuple[tuple[str, str], ...] = ()


_READING = awaited_by_forks(RLock())


@checked
@dataclass(frozen=True, repr=False)
class Graph:
    """What a computation is made of: nodes in topological order, and the modules they belong to.

    Equal computations are equal graphs, with equal hashes.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> graph = snapshot(lambda x, w: tg.relu(x @ w), np.ones((4, 3)), np.ones((3, 2)))
    >>> for node in graph.nodes:
    ...     print(node.name, node.kind, node.inputs, node.shape)
    x input () (4, 3)
    w input () (3, 2)
    matmul_1 operation ('x', 'w') (4, 2)
    relu_1 operation ('matmul_1',) (4, 2)
    output output ('relu_1',) (4, 2)
    >>> graph.edges[0], graph["relu_1"].flops
    (('x', 'matmul_1'), 8)
    """

    title: str
    nodes: tuple[GraphNode, ...]
    modules: tuple[GraphModule, ...] = field(default_factory=tuple)  # (no attribute of the class: see `__getattr__`)
    known: tuple[str, ...] = ()  # what was asked for: "values", "gradients", "time"
    notes: tuple[str, ...] = ()  # what a folded graph leaves out, in words

    @classmethod
    def _later(cls, title: str, read: Callable[[], Graph]) -> Graph:
        """A graph whose nodes and modules are those of ``read()``, which is called when somebody looks at them."""
        graph = object.__new__(cls)
        vars(graph).update(title=legible(title), known=(), notes=(), _read=read)
        return graph

    def __getattr__(self, name: str) -> Any:
        if name in ("nodes", "modules"):
            with _READING:  # two threads may look at once
                if (read := vars(self).get("_read")) is not None:
                    graph = read()
                    vars(self).update(nodes=graph.nodes, modules=graph.modules, _read=None)
            if name in vars(self):
                return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __reduce__(self) -> Any:
        return Graph, tuple(getattr(self, part.name) for part in fields(self))

    def __post_init__(self) -> None:
        of_nodes = self.nodes, ("label", "module", "source", "params")
        for parts, names in (((self,), ("title",)), of_nodes, (self.modules, ("path", "label", "options"))):
            for part in parts:
                for name in names:
                    text = getattr(part, name)
                    shown = legible(text) if isinstance(text, str) else tuple((key, legible(it)) for key, it in text)
                    if shown != text:
                        object.__setattr__(part, name, shown)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs (from, to): for each node in order, its inputs in order."""
        return tuple((before, node.name) for node in self.nodes for before in node.inputs)

    @property
    def n_operations(self) -> int:
        """How many operations there are."""
        return sum(node.kind == "operation" for node in self.nodes)

    @property
    def n_params(self) -> int:
        """How many numbers all parameters hold together."""
        return sum(node.n_params for node in self.nodes)

    @property
    def flops(self) -> int:
        """The floating-point operations of one forward pass, as far as the primitives declare them."""
        return sum(node.flops or 0 for node in self.nodes)

    @property
    def bytes(self) -> int:
        """The bytes that all operations together read and write, as far as sizes are known."""
        return sum(node.bytes or 0 for node in self.nodes)

    @property
    def time(self) -> float:
        """The seconds that all operations took, as far as they were measured."""
        return sum(node.time or 0.0 for node in self.nodes)

    @cached_property
    def _by_name(self) -> dict[str, GraphNode]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> GraphNode:
        if name not in self:
            raise IndexingError(
                f"Graph: expected the name of a node, got {name!r}; use one of {', '.join(self._by_name)}"
            )
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._by_name

    def structural_hash(self) -> str:
        """A fingerprint of what is computed, whatever things are called: the same in every process.

        Operations with their parameters, shapes, dtypes and connections count, and so do constants; names, modules,
        source lines and numbers do not.

        >>> import tinygrad_conv as tg
        >>> from tinygrad_conv.graph import snapshot
        >>> one, two = snapshot(lambda x: tg.exp(x) * 2.0, 1.0), snapshot(lambda other: tg.exp(other) * 2.0, 5.0)
        >>> one.structural_hash() == two.structural_hash() != snapshot(tg.exp, 1.0).structural_hash()
        True
        """
        places = {node.name: place for place, node in enumerate(self.nodes)}
        digest = hashlib.sha256()
        for node in self.nodes:
            inputs = [places[name] for name in node.inputs]
            constant = node.label if node.kind == "constant" else ""
            said = (node.kind, node.primitive, node.params, node.shape, node.dtype, inputs, constant, node.order)
            digest.update(repr(said).encode())
        return digest.hexdigest()

    def to_json(self) -> str:
        """The graph as JSON text, which `from_json` reads; the same bytes for equal graphs.

        >>> import tinygrad_conv as tg
        >>> graph = tg.graph.snapshot(lambda x: tg.exp(x) * 2.0, 1.0)
        >>> graph.to_json()[:20]
        '{"format":1,"title":'
        """
        return str(ops.graph_to_json(self))

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph that `to_json` wrote.

        >>> import tinygrad_conv as tg
        >>> graph = tg.graph.snapshot(lambda x: tg.exp(x) * 2.0, 1.0)
        >>> Graph.from_json(graph.to_json()) == graph
        True
        """
        graph: Graph = ops.graph_from_json(text)
        return graph

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph`: nodes by name, with all that is known as attributes.

        >>> import tinygrad_conv as tg
        >>> tg.graph.snapshot(tg.exp, 1.0).to_networkx().number_of_nodes()
        3
        """
        return ops.graph_to_networkx(self)

    def __repr__(self) -> str:
        what = f"Graph of {self.title}" if self.title else "Graph"
        facts = counted(self.n_operations, "operation"), counted(self.n_params, "param"), counted(self.flops, "FLOP")
        return f"<{what}: {', '.join(facts)}>"
