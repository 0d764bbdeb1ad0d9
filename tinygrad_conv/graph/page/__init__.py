"""The page of a graph: one HTML file that explains itself in a browser, and needs nothing else.

`template` puts a page together, `picture` makes small images of arrays, `page` gives the data of a graph. The scripts
``page.N.*.js`` run in the order of their numbers: the tree of boxes, layout, drawing, moving, details, the backward
pass, search, the keys, and the beginning.
"""

from .page import html, render_html

__all__ = ["html", "render_html"]
