"""Pictures of graphs: an immutable snapshot, DOT text, and files that a browser or a paper can show.

>>> import tinygrad_conv as tg
>>> from tinygrad_conv.graph import draw
>>> a, b = tg.Tensor(2.0, requires_grad=True, name="a"), tg.Tensor(3.0, requires_grad=True, name="b")
>>> draw(a * b + a)
Drawing of a graph: 2 operations, 0 params; write it with .render("graph.svg")
"""

from .dense import DenseView, as_dense
from .diff import Diff, assert_same_graph, diff
from .dot import to_dot
from .exchange import from_json, to_json, to_networkx
from .folding import as_modules, fold
from .render import Drawing, draw
from .snapshot import snapshot
from .steps import Step
from .value import Graph, GraphModule, GraphNode, Values

__all__ = [
    "DenseView", "Diff", "Drawing", "Graph", "GraphModule", "GraphNode", "Step", "Values", "as_dense", "as_modules",
    "assert_same_graph", "diff", "draw", "fold", "from_json", "snapshot", "to_dot", "to_json", "to_networkx",
]  # fmt: skip
