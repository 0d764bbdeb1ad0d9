"""`still`: a picture that has been laid out, as a page: for what a page cannot lay out itself (neurons)."""

from __future__ import annotations

from html import escape

from ...palette import css
from ..value import Graph

__all__ = ["still"]

_PAGE = """<!DOCTYPE html>
<html lang="en" data-ready="true">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{colours}body {{ margin: 0; padding: 14px 18px; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, sans-serif; }}
main {{ overflow: auto; }} main svg {{ min-width: 640px; }} h1 {{ font-size: 17px; margin: 0 0 10px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<main>
{svg}
</main>
</body>
</html>
"""


def still(graph: Graph, svg: str) -> str:
    """One HTML file with an SVG picture of a graph; it can be scrolled where it is wider than the screen."""
    return _PAGE.format(colours=css(), title=escape(graph.title or "Graph"), svg=svg)
