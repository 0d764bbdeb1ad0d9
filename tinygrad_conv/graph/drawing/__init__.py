"""How a graph is drawn: DOT text, and the files that Graphviz makes of it.

In order: `looks` (colours and lines), `dot` and `units` (a graph as DOT text, by operations or by units), `folding`
(what is the same, once: of `groups`, `repeats`, `branches`), `rows`, `tree` (as text for a terminal), `pdf`, `tikz`
(for LaTeX), `without_program` (SVG where no program is), `render` (`draw` and `Drawing`), `diff` (two graphs in one
picture), `command` (the command line).
"""

from .diff import Diff, diff
from .dot import to_dot
from .folding import fold
from .groups import as_modules
from .render import Drawing, draw

__all__ = ["Diff", "Drawing", "as_modules", "diff", "draw", "fold", "to_dot"]
