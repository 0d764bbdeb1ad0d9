"""`microscope`: one element of a convolution, pooling or dense layer, with every number that made it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..autodiff import pull
from ..errors import GraphError, IndexingError
from ..tensor import Node, Shape, Tensor, describe_source, ndarray
from .cells import KINDS, Index, Lens, lens
from .explanation import Explanation
from .receptive import Field, fields
from .value import GraphNode
from .watching import Watch, topological

__all__ = ["Explanation", "Microscope", "microscope"]

_AXES = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
_NAMES = {"max_pool": "max pooling", "avg_pool": "average pooling", "conv_transpose": "transposed conv"}


def microscope(thing: Any, *example_args: Any, loss: Tensor | None = None) -> Microscope:
    """Look at single elements of what a convolution, a pooling or a dense layer computed.

    Parameters
    ----------
    thing : Tensor, or a node of a snapshot with values; or a function or layer to be run on the arguments
        The operation's result. A bias that was added, activations and a change of the data format may follow it.
    *example_args : arrays or tensors
        What to call a function with.
    loss : Tensor, optional
        Computed from `thing`: the gradients shown are those of this number. Without it, they are per unit of g.

    Raises
    ------
    GraphError
        The graph is freed or not there, the operation is none of these, or it did not keep what went in.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> x = tg.Tensor(np.arange(9.0).reshape(1, 3, 3, 1), requires_grad=True)
    >>> w = tg.Tensor(np.array([1.0, 0.0, 0.5, -1.0]).reshape(2, 2, 1, 1), requires_grad=True)
    >>> b = tg.Tensor([0.5], requires_grad=True)
    >>> print(microscope(tg.conv2d(x, w, b)).explain(y=1, x=0))
    conv y[n=0, y=1, x=0, channel=0], y of shape (1, 2, 2, 1)
    kernel 2 by 2, stride 1, padding 0, dilation 1, groups 1
      x[0, 1, 0, 0] * w[0, 0, 0, 0] = 3.0 *  1.0 =  3.0
      x[0, 1, 1, 0] * w[0, 1, 0, 0] = 4.0 *  0.0 =  0.0
      x[0, 2, 0, 0] * w[1, 0, 0, 0] = 6.0 *  0.5 =  3.0
      x[0, 2, 1, 0] * w[1, 1, 0, 0] = 7.0 * -1.0 = -7.0
      sum of 4 products = -1.0
      + bias[0] = 0.5
      = -0.5, which the tensor holds
    backward, for g = dL/dy = 1.0:
      dL/dx[0, 1, 0, 0] += g *  1.0 =  1.0   dL/dw[0, 0, 0, 0] += g * 3.0 = 3.0
      dL/dx[0, 1, 1, 0] += g *  0.0 =  0.0   dL/dw[0, 1, 0, 0] += g * 4.0 = 4.0
      dL/dx[0, 2, 0, 0] += g *  0.5 =  0.5   dL/dw[1, 0, 0, 0] += g * 6.0 = 6.0
      dL/dx[0, 2, 1, 0] += g * -1.0 = -1.0   dL/dw[1, 1, 0, 0] += g * 7.0 = 7.0
      dL/dbias[0] += g = 1.0
    """
    if isinstance(thing, Microscope):
        return thing
    if isinstance(thing, GraphNode):
        return _of_snapshot(thing)
    if callable(thing) and not isinstance(thing, Tensor):
        thing = thing(*map(_followed, example_args))
    if isinstance(thing, Tensor):
        node, known = thing._needs_node("microscope"), thing._data
    elif isinstance(thing, Node):
        node, known = thing, None
    else:
        raise GraphError(f"microscope: expected a tensor that was computed, got {type(thing).__name__}")
    watch = Watch()
    if known is not None:
        watch.outputs[node] = known
    return _focused(node, watch, loss)


def _followed(value: Any) -> Any:
    if isinstance(value, ndarray) and value.dtype.kind == "f":
        return Tensor(value, requires_grad=True)
    return value


# ------------------------------------------------------------------------------------------
# From a tensor to the operation


@dataclass(frozen=True)
class _Stage:
    """What comes after the operation itself: something added, axes moved or split, or a function of each element."""

    node: Node
    added: ndarray[Any, Any] | None = None
    axes: Sequence[int] | None = None


def _focused(node: Node, watch: Watch, loss: Tensor | None) -> Microscope:
    order = topological([node])
    freed = next((n for n in order if n.freed), None)
    if freed is not None:
        raise GraphError(
            f"microscope: the graph of {freed.label} from {describe_source(freed.source)} was freed by a backward "
            "pass; look before it, or call backward(retain_graph=True)"
        )
    chain = _chain(node)
    if not chain:
        names = "a convolution, a transposed convolution, max or average pooling, or a matrix product"
        raise GraphError(f"microscope: expected the result of {names}, got one of {node.label}")
    watch.recover(order)
    core, after = chain[-1], chain[-2::-1]
    stages = [_stage(stage, before, watch) for before, stage in zip(chain[:0:-1], after, strict=True)]
    found = lens(core.primitive.name, _inputs(core, watch), core.params)  # type: ignore[union-attr]
    if found is None:
        shapes = " and ".join(str(np.shape(a)) for a in _inputs(core, watch))
        raise GraphError(f"microscope: expected a product of two matrices, got {core.label} of {shapes}")
    gradient = None
    summed = next((s.node for s in reversed(stages) if s.added is not None), core)
    if loss is not None:
        seed = {loss._needs_node("microscope"): np.ones(loss.shape, loss.dtype)}
        gradient = pull(seed, [summed], retain=True).get(summed)
        gradient = np.zeros(summed.shape, summed.dtype) if gradient is None else gradient
    return Microscope(found, core, stages, watch, gradient)


def _chain(node: Node) -> list[Node]:
    """From a node to the operation of interest, through additions, permutations and elementwise functions."""
    stack = [[node]]
    while stack:
        chain = stack.pop()
        primitive = chain[-1].primitive
        if primitive is None or len(chain) > 8:
            continue
        if primitive.name in KINDS:
            return chain
        if primitive.name == "reshape":  # a dense layer on more than two axes
            (parent,) = chain[-1].parents
            if parent is not None and len(parent.shape) == 2 and parent.shape[1:] == chain[-1].shape[-1:]:
                stack.append([*chain, parent])
            continue
        parents = [p for p in chain[-1].parents if p is not None and len(p.shape) == len(chain[-1].shape)]
        alone = primitive.kind == "elementwise" and len(primitive.inputs) == 1
        if alone or primitive.name in ("add", "permute_dims"):
            stack += [[*chain, parent] for parent in reversed(parents)]
    return []


def _stage(node: Node, before: Node, watch: Watch) -> _Stage:
    assert node.primitive is not None
    if node.primitive.name == "permute_dims":
        return _Stage(node, axes=node.params["axes"] or range(len(node.shape))[::-1])
    if node.primitive.name == "add":
        k = 1 - list(node.parents).index(before)
        added = watch.inputs.get(node, (None, None))[k]
        if added is None:  # a bias that nobody holds any more: the difference tells it, but for rounding
            _inputs(before, watch)
            added = watch.outputs[node] - watch.outputs[before]
        return _Stage(node, added=np.broadcast_to(added, node.shape))
    return _Stage(node)


def _inputs(node: Node, watch: Watch) -> list[Any]:
    """What went into an operation: what it saved, else what the graph still tells."""
    known = watch.inputs.get(node, ())
    inputs = [s if s is not None else x for s, x in zip(node.saved, known, strict=False)]
    if not inputs or any(x is None for x in inputs):
        raise GraphError(
            f"microscope: {node.label} from {describe_source(node.source)} did not keep an input that needs no "
            "gradient; give the function and its arguments (tg.microscope(layer, x)), or make that input a tensor with "
            "requires_grad=True"
        )
    return inputs


def _of_snapshot(node: GraphNode) -> Microscope:
    live = getattr(node, "live", None)
    if live is None:
        raise GraphError(
            f"microscope: {node.name} is no operation of a fresh snapshot with values: take the snapshot with "
            "values=True, and give one of its operations; or give the tensor itself"
        )
    return _focused(live[0], live[1], None)


# ------------------------------------------------------------------------------------------
# The microscope


class Microscope:
    """One operation and its arrays; `explain` one element, or `render` a page on which the window moves.

    Attributes
    ----------
    kind : "conv", "conv_transpose", "max_pool", "avg_pool" or "dense"
    x, w, y : array
        Input, kernel (None for pooling) and output with what was added to it, channels last.
    window : the geometry (None for dense): kernel, stride, dilation, pads, in_sizes, out_sizes, groups
    """

    def __init__(
        self, lens: Lens, node: Node, stages: Sequence[_Stage], watch: Watch, gradient: ndarray[Any, Any] | None
    ) -> None:
        self._lens, self._node, self._stages, self._watch = lens, node, stages, watch
        self.kind, self.x, self.w, self.window = lens.kind, lens.x, lens.w, lens.window
        self.gradient = gradient
        self.shape: Shape = lens.shape
        last = max((k for k, s in enumerate(stages) if s.added is not None), default=-1)
        self._before, self._after = stages[: last + 1], stages[last + 1 :]
        self.y = self._back(watch.outputs[self._before[-1].node if self._before else node])

    def _back(self, array: ndarray[Any, Any]) -> ndarray[Any, Any]:
        """An array of the layout after the stages that count, with channels last again."""
        for stage in reversed(self._before):
            if stage.axes is not None:
                array = array.transpose(np.argsort(stage.axes))
        return array

    @property
    def label(self) -> str:
        """What the operation is called in words."""
        return _NAMES.get(self.kind, self.kind)

    def cells(self) -> Iterator[dict[str, int]]:
        """The arguments of `explain` for every element."""
        names = ("n", *_AXES[len(self.shape) - 2], "channel")
        return (dict(zip(names, at, strict=True)) for at in np.ndindex(self.shape))

    def explain(self, n: int = 0, y: int = 0, x: int = 0, channel: int = 0, z: int = 0) -> Explanation:
        """Every term of one element of the output, forward and backward.

        Parameters
        ----------
        n, z, y, x, channel : int
            Which element: of the batch, along depth, height and width, and the output's channel, in whatever data
            format. Axes that the output does not have must be 0.

        Raises IndexingError for an element that is not there.
        """
        named = {"n": n, "z": z, "y": y, "x": x, "channel": channel}
        used = ("n", *_AXES[len(self.shape) - 2], "channel")
        sizes = dict(zip(used, self.shape, strict=True))
        for name, value in named.items():
            size = sizes.get(name, 1)
            if not -size <= value < size:
                raise IndexingError(f"explain: {name}={value} is out of range for an output of shape {self.shape}")
            named[name] = value % size
        at = tuple(named[name] for name in used)
        terms = self._lens.terms(at[0], at[1:-1], at[-1])
        index: Index = at
        addends: list[tuple[str, Any]] = []
        later: list[tuple[str, Any]] = []
        for stage in (*self._before, *self._after):
            if stage.axes is not None:
                index = tuple(index[a] for a in stage.axes)
            elif stage.node.label == "reshape":
                index = (*map(int, np.unravel_index(index[0], stage.node.shape[:-1])), index[1])
            elif stage.added is not None:
                name = f"bias[{at[-1]}]" if not addends else f"added[{', '.join(map(str, index))}]"
                addends.append((name, stage.added[index]))
            else:
                later.append((stage.node.label, self._watch.outputs[stage.node][index]))
        g = 1.0 if self.gradient is None else float(self._back(self.gradient)[at])
        source = describe_source(self._node.source)
        where = {name: named[name] for name in used}
        return Explanation(self, where, tuple(terms), tuple(addends), self.y[at], g, tuple(later), source)

    def receptive_field(
        self, y: int = 0, x: int = 0, z: int = 0
    ) -> list[tuple[str, Shape, tuple[tuple[int, int], ...]]]:
        """What an output depends on, back to the first input: its name, its sizes, (first, last) along each axis.

        >>> import numpy as np
        >>> import tinygrad_conv as tg
        >>> w = tg.Tensor(np.ones((3, 3, 1, 1)), requires_grad=True)
        >>> y = tg.conv2d(tg.max_pool2d(tg.conv2d(np.ones((1, 12, 12, 1)), w), 2), w)
        >>> for field in microscope(y).receptive_field(y=1, x=2):
        ...     print(field)
        ('input of conv', (5, 5), ((1, 3), (2, 4)))
        ('input of max_pool', (10, 10), ((2, 7), (4, 9)))
        ('input of conv', (12, 12), ((2, 9), (4, 11)))
        """
        place = {"z": z, "y": y, "x": x}
        at = [place[name] for name in _AXES[len(self.shape) - 2]]
        out = []
        for field in self._fields():
            sizes = field.shape[1:-1]
            spans = zip(field.spans[1:-1], at, sizes, strict=True)
            named = tuple(span.at(o, n) if span else (0, n - 1) for span, o, n in spans)
            out.append((field.name, sizes, named))
        return out

    def _fields(self) -> list[Field]:
        return [] if self.window is None else fields(self._node, self.shape)

    def render(self, path: str | os.PathLike[str], n: int = 0, z: int = 0) -> Path:
        """Write a page on which the window slides over the input, for example n of the batch.

        Of three spatial axes it shows depth `z` of the output, and the slices of the input that this reads side by side
        with their channels. Raises ArgumentError for a path that cannot be written, IndexingError for an n or z that
        is not there.
        """
        from .page import write
        from .slides import page

        sizes = {"n": self.shape[0], "z": self.shape[1] if len(self.shape) == 5 else 1}
        for (name, size), value in zip(sizes.items(), (n, z), strict=True):
            if not -size <= value < size:
                raise IndexingError(f"render: {name}={value} is out of range for an output of shape {self.shape}")
        return write(page(self, n % sizes["n"], z % sizes["z"]), path)

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def __repr__(self) -> str:
        return f"<Microscope on {self.label} {self.x.shape} -> {self.shape}; .explain(...), .render('conv.html')>"
