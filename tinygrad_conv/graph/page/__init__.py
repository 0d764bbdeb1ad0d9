"""The page of a graph: one HTML file that explains itself in a browser, and needs nothing else.

`template` puts a page together; `boxes` is the tree that it opens and closes, `picture` makes small images of arrays,
`rules` gives the expressions that backward fills in, `numbers` the weights with which the page computes, and `page` all
of it as data. `still` is a page of a picture that is laid out already. The scripts ``page.NN.*.js`` run in the order of
their numbers: data, the tree of boxes, what is on cards, layout, colours, drawing, moving, details, the backward pass,
search, the keys, the forward pass, drawing a digit, the microscope, and the beginning.
"""

from .page import html, render_html

__all__ = ["html", "render_html"]
