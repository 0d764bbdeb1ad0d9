"""Pictures of graphs: an immutable snapshot, DOT text, and files that a browser or a paper can show.

What a graph *is* lies in this folder: `value` (`Graph`), `watching` and `reading` (from a recorded graph to one),
`snapshot`, `steps`, `exchange`, `describing`, `comparison`. How it is shown has rooms of its own: `page`, `drawing`,
`microscope`.

>>> import tinygrad_conv as tg
>>> from tinygrad_conv.graph import draw
>>> a, b = tg.Tensor(2.0, requires_grad=True, name="a"), tg.Tensor(3.0, requires_grad=True, name="b")
>>> draw(a * b + a)
Drawing of a graph: 2 operations, 0 params; write it with .render("graph.svg")
"""

from .comparison import assert_same_graph
from .drawing import Diff, Drawing, as_modules, diff, draw, fold, to_dot
from .exchange import from_json, to_json, to_networkx
from .microscope.dense import DenseView, as_dense
from .snapshot import snapshot
from .steps import Step
from .value import Graph, GraphModule, GraphNode, Values

__all__ = [
    "DenseView", "Diff", "Drawing", "Graph", "GraphModule", "GraphNode", "Step", "Values", "as_dense", "as_modules",
    "assert_same_graph", "diff", "draw", "fold", "from_json", "snapshot", "to_dot", "to_json", "to_networkx",
]  # fmt: skip
