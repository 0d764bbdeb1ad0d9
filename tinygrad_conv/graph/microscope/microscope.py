"""`microscope`: one element of a convolution, pooling or dense layer, with every number that made it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...arguments import Size, checked
from ...engine.node import Node, Shape
from ...engine.source import describe_source
from ...engine.tensor import Tensor, ndarray
from ...errors import GraphError, IndexingError
from ...files import write
from ..drawing.render import Inline
from ..value import GraphNode
from ..watching import Watch
from .cells import Index
from .explanation import Explanation
from .focus import focused
from .scope import AXES, Scope
from .slides import page

__all__ = ["Explanation", "Microscope", "microscope"]


@checked
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
        node, known = thing._needs_node("microscope"), thing._array
    elif isinstance(thing, Node):
        node, known = thing, None
    else:
        raise GraphError(f"microscope: expected a tensor that was computed, got {type(thing).__name__}")
    watch = Watch()
    if known is not None:
        watch.outputs[node] = known
    return Microscope(*focused(node, watch, loss))


def _followed(value: Any) -> Any:
    if isinstance(value, ndarray) and value.dtype.kind == "f":
        return Tensor(value, requires_grad=True)
    return value


def _of_snapshot(node: GraphNode) -> Microscope:
    live = getattr(node, "live", None)
    if live is None:
        raise GraphError(
            f"microscope: {node.name} is no operation of a fresh snapshot with values: take the snapshot with "
            "values=True, and give one of its operations; or give the tensor itself"
        )
    return Microscope(*focused(live[0], live[1], None))


@checked
class Microscope(Scope):
    """A `Scope`: `explain` one element, or `render` a page on which the window moves.

    >>> import tinygrad_conv as tg
    >>> scope = tg.microscope(lambda x: tg.max_pool1d(x, 2), np.array([[[1.0], [3.0], [2.0], [0.0]]]))
    >>> float(scope.explain(x=0).held), float(scope.explain(x=1).held)
    (3.0, 2.0)
    """

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
        used = ("n", *AXES[len(self.shape) - 2], "channel")
        sizes = dict(zip(used, self.shape, strict=True))
        for name, value in named.items():
            size = sizes.get(name, 1)
            if not -size <= value < size:
                raise IndexingError(f"explain: {name}={value} is out of range for an output of shape {self.shape}")
            named[name] = value % size
        at = tuple(named[name] for name in used)
        terms = self.lens.terms(at[0], at[1:-1], at[-1])
        index: Index = at
        addends: list[tuple[str, Any]] = []
        later: list[tuple[str, Any]] = []
        for stage in (*self.before, *self.after):
            if stage.axes is not None:
                index = tuple(index[a] for a in stage.axes)
            elif stage.node.shown == "reshape":
                index = (*map(int, np.unravel_index(index[0], stage.node.shape[:-1])), index[1])
            elif stage.added is not None:
                name = f"bias[{at[-1]}]" if not addends else f"added[{', '.join(map(str, index))}]"
                addends.append((name, stage.added[index]))
            else:
                later.append((stage.node.shown, self.watch.outputs[stage.node][index]))
        g = 1.0 if self.gradient is None else float(self.back(self.gradient)[at])
        source = describe_source(self.node.source)
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
        at = [place[name] for name in AXES[len(self.shape) - 2]]
        out = []
        for field in self.fields():
            sizes = field.shape[1:-1]
            spans = zip(field.spans[1:-1], at, sizes, strict=True)
            named = tuple(span.at(o, n) if span else (0, n - 1) for span, o, n in spans)
            out.append((field.name, sizes, named))
        return out

    def render(self, path: str | os.PathLike[str], n: int = 0, z: int = 0) -> Path:
        """Write a page on which the window slides over the input, for example n of the batch.

        Of three spatial axes it shows depth `z` of the output, and the slices of the input that this reads side by side
        with their channels. Raises DataError for a path that cannot be written, IndexingError for an n or z that
        is not there.

        >>> import tempfile
        >>> import tinygrad_conv as tg
        >>> scope = tg.microscope(lambda x: tg.max_pool1d(x, 2), np.array([[[1.0], [3.0]]]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scope.render(f"{folder}/pool.html").name
        'pool.html'
        """
        return write(path, self._page("render", n, z), "render")

    def interactive(self, n: int = 0, z: int = 0, height: Size = 600) -> Inline:
        """The page that `render` writes, inside a notebook's own page. Raises IndexingError as `render` does.

        >>> import tinygrad_conv as tg
        >>> scope = tg.microscope(lambda x: tg.max_pool1d(x, 2), np.array([[[1.0], [3.0]]]))
        >>> "<iframe" in scope.interactive()._repr_html_()
        True
        """
        return Inline(self._page("interactive", n, z), height)

    def _page(self, what: str, n: int, z: int) -> str:
        sizes = {"n": self.shape[0], "z": self.shape[1] if len(self.shape) == 5 else 1}
        for (name, size), value in zip(sizes.items(), (n, z), strict=True):
            if not -size <= value < size:
                raise IndexingError(f"{what}: {name}={value} is out of range for an output of shape {self.shape}")
        return page(self, n % sizes["n"], z % sizes["z"])

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def __repr__(self) -> str:
        return f"<Microscope on {self.label} {self.x.shape} -> {self.shape}; .explain(...), .render('conv.html')>"
