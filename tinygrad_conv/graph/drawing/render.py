"""`Drawing`: a picture of a graph, as text and as SVG, PNG or PDF.

Layout is done by Graphviz's `dot` program where there is one, else by `graphviz-pure`, which the wheel of
that name brings along, else by `without_program`; of SVG from these, `pdf` makes a PDF.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ...arguments import Count, Size, checked
from ...digits import short
from ...errors import ArgumentError, GraphError, MissingExtraError, MutationError
from ...files import name_of, write
from ...palette import dark_style, darkened, tint
from ..snapshot import Order, snapshot
from ..value import Graph, GraphNode, counted
from .dot import DEFAULT_SHOW, Direction, Shown, to_dot
from .folding import fold as folded
from .fonts import fitted, in_page
from .groups import as_modules
from .looks import Color
from .plumbing import without_plumbing
from .tree import tree
from .units import units_to_dot
from .volumes import SHOWN, volumes

if TYPE_CHECKING:
    from ...profiling import Profile

__all__ = ["Drawing", "draw"]

Level: TypeAlias = Literal["ops", "modules", "units"]
AnyDirection: TypeAlias = Literal["LR", "TB", "auto"]
Form: TypeAlias = Literal["graph", "volumes"]
Theme: TypeAlias = Literal["auto", "light", "dark"]
_FORMATS = ("svg", "png", "pdf", "tikz", "dot", "html", "json")
_FONTS = "Helvetica,Arial,Nimbus Sans,Liberation Sans,Arimo,sans-serif"  # all of the same widths, but the last
_FIT = 2.0  # a picture fits a page if no side is longer than this times the other
_HEADING = 70  # points: title and legend, about
_MOST_TRIED = 1_000  # in more than one way
_MOST_NODES = 5_000  # layout takes some seconds at this size, and grows faster than it


@checked
def draw(
    thing: Any,
    *example_args: Any,
    level: Level = "ops",
    show: Shown = DEFAULT_SHOW,
    backward: Order = False,
    fold: bool = True,
    direction: AnyDirection = "LR",
    color: Color = "kind",
    theme: Theme = "auto",
    unit: Count | None = None,
    profile: Profile | None = None,
    style: Form = "graph",
) -> Drawing:
    """Draw the graph of a tensor, or of a function or module run once on example arguments.

    Parameters
    ----------
    thing : Tensor, function, Module or Graph; or what has a method ``__graph__`` (see `snapshot`)
    *example_args : arrays or tensors
        What to call a function or module with: shapes matter, and values where they are shown.
    level : "ops", "modules" or "units"
        Every operation; each module as one node; or the neurons of a small dense network.
    show : names out of "shape", "params", "options", "legend", "dtype", "values", "gradients", "flops", "bytes",
        "time", "source", "plumbing", "exact"
    backward : False, True or 2
        Draw the operations of the gradient too, and of the gradient's gradient.
    fold : bool
        Equal blocks once, and at most 200 nodes: modules are open from the outside in, all of one depth, as far as they
        fit. The picture says what was folded.
    direction : "LR" (left to right), "TB" (top to bottom) or "auto"
        "auto" is the first that fits a page (no side more than twice the other) of "LR", "TB", and "LR" in rows as text
        is wrapped, each end of which says what goes on. Pictures of more than 60 steps are in rows in any case.
    color : "kind", "cost", "bytes", "time" or "gradients"
        What fills mean. Dead gradients (zero, NaN, not reached) stand out where gradients are shown or coloured.
    theme : "auto", "light" or "dark"
        "auto" is light, and in SVG dark where the reader's system prefers it.
    unit : int, optional
        With level "units": only this unit of the first layer, with its inputs, weights and activation.
    profile : Profile, optional
        Where time is shown or coloured: the times per call of a real run (see `tg.profile`), not of each operation
        alone.
    style : "graph" or "volumes"
        "volumes" draws what flows through the modules as boxes in perspective, as papers do, with skips as arcs, from
        left to right; it is written as .svg, .pdf or .tikz, and shows shapes, params and options.

    Returns
    -------
    Drawing
        Shows itself in a notebook; ``render("graph.svg")`` writes a file; ``print`` shows a tree.

    Raises
    ------
    GraphError
        There is no graph, or a backward pass has freed it.
    ArgumentError
        An unknown level, direction, colour, theme or name in `show`.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import draw
    >>> drawing = draw(lambda x, w: tg.relu(x @ w), np.ones((4, 3)), np.ones((3, 2)))
    >>> drawing
    Drawing of a graph: 2 operations, 0 params; write it with .render("graph.svg")
    >>> print(drawing)
    2 operations, 56 FLOPs
    ├─ x: input (4, 3)
    ├─ w: input (3, 2)
    ├─ matmul_1: @ (4, 2) <- x, w
    ├─ relu_1: relu (4, 2) <- matmul_1
    └─ output: output (4, 2) <- relu_1
    """
    options: dict[str, Any] = {
        "values": "values" in show or level == "units", "gradients": "gradients" in show or color == "gradients",
        "time": ("time" in show or color == "time") and (profile or True), "backward": backward,
    }  # fmt: skip
    graph = snapshot(thing, *example_args, **options)
    details = partial(snapshot, thing, *example_args, **{**options, "values": True, "gradients": True})
    how: dict[str, Any] = {"level": level, "fold": fold, "color": color, "theme": theme, "unit": unit, "style": style}
    return Drawing(graph, direction, show, details=details, **how)


@checked
class Drawing:
    """A picture of a graph: shows itself in a notebook, and writes itself to a file.

    Attributes
    ----------
    graph : Graph
        What is drawn, unfolded.

    >>> import tinygrad_conv as tg
    >>> drawing = tg.draw(lambda x: tg.relu(x * 2), 1.0)
    >>> [node.label for node in drawing.shown.nodes]
    ['x', '2', '*', 'relu', 'output']
    """

    def __init__(
        self, graph: Graph, direction: AnyDirection = "LR", show: Shown = DEFAULT_SHOW, *, level: Level = "ops",
        fold: bool = True, color: Color = "kind", theme: Theme = "auto", unit: Count | None = None,
        details: Callable[..., Graph] | None = None, style: Form = "graph",
    ) -> None:  # fmt: skip
        self.graph = graph
        self._details, self._theme = details, theme
        self._detailed: Graph | None = None
        self._direction, self._level, self._unit, self._style = direction, level, unit, style
        self._show, self._color, self._fold = show, color, fold
        if style == "volumes":
            _refuse_without_effect(level, color, direction, show)
        if level == "units":
            self._written("LR")  # what cannot be drawn so is refused now

    @cached_property
    def shown(self) -> Graph:
        """What the picture shows: `graph` at the level asked for, folded."""
        if self._level == "units":
            return self.graph
        plain = self.graph if "plumbing" in self._show else without_plumbing(self.graph)
        at_level = as_modules(plain) if self._level == "modules" or self._style == "volumes" else plain
        folded_ = folded(at_level) if self._fold else at_level
        return folded_ if "exact" in self._show else _with_short_numbers(folded_)

    def _written(self, direction: Direction, rows: int = 0) -> str:
        if self._level == "units":
            return self._themed(units_to_dot(self.graph, direction, self._unit))
        return self._themed(to_dot(self.shown, direction, self._show, self._color, self.graph, rows).source)

    @cached_property
    def source(self) -> str:
        """The picture in DOT; with direction "auto", the first way that fits a page."""
        if self._direction != "auto":
            return self._written(self._direction)
        if len(self.shown.nodes) > _MOST_TRIED:
            return self._written("LR")
        found: dict[str, float] = {}
        for source in self._ways():
            found[source] = _unfit(source)
            if found[source] <= _FIT:
                return source
        return min(found, key=found.__getitem__)

    def _ways(self) -> Iterator[str]:
        """The picture in one line, from left to right or down, and in rows: more of them while it is too wide."""
        yield self._written("LR", 1)
        yield self._written("TB", 1)
        if self._level != "units":
            width, height = _size(self._written("LR", 1))
            n = max(2, round((width / max(height - _HEADING, 1) / _FIT) ** 0.5))
            yield from (self._written("LR", rows) for rows in range(n, n + 4))

    def _themed(self, source: str) -> str:
        return darkened(source) if self._theme == "dark" else source

    @property
    def details(self) -> Graph:
        """`graph` with values and gradients, for pages that show them; without, if they cannot be had any more."""
        if self._detailed is None:  # no cached_property: its frame would be taken for the user's line
            self._detailed = self.graph
            if self._details is not None and not {"values", "gradients"} <= set(self.graph.known):
                with suppress(GraphError, MutationError):
                    self._detailed = self._details()
        return self._detailed

    @cached_property
    def svg(self) -> str:
        """The picture as SVG text: one ``<svg>`` element, fit for a file or for a page."""
        if self._style == "volumes":
            return volumes(self.shown, self.graph, self._theme, self._show)
        svg = self._laid_out("svg").decode()
        svg = svg[svg.index("<svg") :]  # without the prolog, which names the program and its version
        svg = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)  # no page cuts it at the right
        svg = fitted(svg.replace('"Helvetica,sans-Serif"', f'"{_FONTS}"'))
        if self._theme == "auto":
            start = svg.index(">") + 1
            svg = svg[: start - 1] + ' class="tgc">' + dark_style() + svg[start:]
        return svg

    def render(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file whose suffix says the format: .svg, .png, .pdf, .tikz (for LaTeX), .dot,
        .html or .json.

        Raises
        ------
        ArgumentError
            Another suffix. A DataError, which is one too, for a path that cannot be written.
        MissingExtraError
            A .png, and no layout program is installed. Other pictures the library then lays out itself, which they say.
        GraphError
            The graph is too large for a picture.

        >>> import tempfile
        >>> import tinygrad_conv as tg
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tg.draw(tg.exp, 1.0).render(f"{folder}/graph.svg").name
        'graph.svg'
        """
        path = Path(name_of(path, "render"))
        suffix = path.suffix.lower().removeprefix(".")
        if suffix not in _FORMATS:
            known = f".{', .'.join(_FORMATS[:-1])} or .{_FORMATS[-1]}"
            raise ArgumentError(f"render: expected a path ending in {known}, got {str(path)!r}")
        if self._style == "volumes" and suffix in ("png", "dot"):
            raise ArgumentError(f"render: expected .svg, .pdf or .tikz for style='volumes', got {str(path)!r}; use one")
        if suffix == "html":
            return write(path, self._page(), "render")
        return write(path, self._content(suffix), "render")

    def _content(self, suffix: str) -> bytes | str:
        if suffix in ("dot", "json"):
            return self.source if suffix == "dot" else self.graph.to_json()
        if suffix == "tikz":
            from .tikz import svg_to_tikz

            return svg_to_tikz(self.svg)
        if self._style == "volumes" and suffix == "pdf":
            return _as_pdf(self.svg)
        return self.svg if suffix == "svg" else self._laid_out(suffix)

    def _laid_out(self, format: str) -> bytes:
        if len(self.shown.nodes) > _MOST_NODES:
            raise GraphError(
                f"render: expected at most {_MOST_NODES:,} nodes, which is more than anyone can read, got "
                f"{len(self.shown.nodes):,}; draw it with fold=True, draw a part of the model, or write a .dot file"
            )
        return _laid_out(self.source, format)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the picture, or why there is none."""
        try:
            return {"text/html": in_page(self.svg), "image/svg+xml": self.svg, "text/plain": repr(self)}
        except GraphError as error:
            return {"text/plain": f"{self!r}\n{error}"}

    def interactive(self, height: Size = 600) -> Inline:
        """The page that `render` writes as .html, inside a notebook's own page; it asks for nothing from the network.

        Raises what `render` does.

        >>> import tinygrad_conv as tg
        >>> page = tg.draw(tg.exp, 1.0).interactive()
        >>> "<iframe" in page._repr_html_()
        True
        """
        return Inline(self._page(), height)

    def _page(self) -> str:
        from ..page.page import html
        from ..page.still import still

        if self._level == "units":
            return still(self.graph, self.svg)
        graph = self.details
        if self._details is not None and "time" not in graph.known:  # a page has a switch for it
            with suppress(GraphError, MutationError):
                graph = self._details(time=True)
        graph = graph if "plumbing" in self._show else without_plumbing(graph)
        return html(graph, self._show, self._color, self._level, self._fold, self._theme)

    def __str__(self) -> str:
        return tree(self.shown, whole=self.graph)

    def __repr__(self) -> str:
        what, graph = self.graph.title or "a graph", self.graph
        return (
            f"Drawing of {what}: {counted(graph.n_operations, 'operation')}, {counted(graph.n_params, 'param')}; "
            'write it with .render("graph.svg")'
        )


def _with_short_numbers(graph: Graph) -> Graph:
    """What constants and options say, in four digits."""

    def told(node: GraphNode) -> GraphNode:
        label = short(node.label) if node.kind == "constant" else node.label
        params = tuple((name, short(value)) for name, value in node.params)
        return node if (label, params) == (node.label, node.params) else replace(node, label=label, params=params)

    return replace(graph, nodes=tuple(map(told, graph.nodes)))


def _refuse_without_effect(level: Level, color: Color, direction: AnyDirection, show: Shown) -> None:
    """Volumes have one level, one direction and one set of colours."""
    shown = {show} if isinstance(show, str) else set(show)
    vain: list[tuple[str, str]] = [("show", name) for name in sorted(shown - {*SHOWN, "plumbing", "exact"})]
    vain += [("level", level)] * (level == "units") + [("color", color)] * (color != "kind")
    vain += [("direction", direction)] * (direction != "LR")
    for what, value in vain:
        raise ArgumentError(f"draw: expected no {what}={value!r}: style='volumes' has no place for it; leave it out")


class Inline:
    """A page inside a notebook's own page."""

    def __init__(self, page: str, height: int) -> None:
        self.page, self.height = page, height

    def _repr_html_(self) -> str:
        style = f"width:100%;box-sizing:border-box;height:{self.height}px;border:1px solid {tint('box-line')}"
        return f'<iframe srcdoc="{escape(self.page)}" style="{style}" title="interactive graph"></iframe>'


# ------------------------------------------------------------------------------------------
# The layout program


def find_engine() -> str | None:
    """The layout program: Graphviz's own `dot` if there is one, else the `graphviz-pure` of the wheel."""
    return shutil.which("dot") or shutil.which("graphviz-pure", path=_program_folders())


def _program_folders() -> str:
    """Where a wheel's programs may be: also in an environment that is not activated, or in the user's own."""
    from importlib.metadata import PackageNotFoundError, files  # here, so that importing this package stays cheap

    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    with suppress(PackageNotFoundError):
        folders += [str(Path(str(file.locate())).parent) for file in files("graphviz-pure") or ()]
    return os.pathsep.join([*dict.fromkeys(folders), os.environ.get("PATH", "")])


def _unfit(source: str) -> float:
    """How far the picture is from a shape that fits a page: the longer side over the shorter."""
    width, height = _size(source)
    return max(width / height, height / width)


@lru_cache(4)
def _size(source: str) -> tuple[float, float]:
    svg = _laid_out(source, "svg").decode()
    width, height = (float(side) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    return width, height


def _laid_out(source: str, format: str) -> bytes:
    *tries, last = _with_fewer_boxes(source)
    for simpler in tries:
        with suppress(GraphError):
            return _run_engine(simpler, format)
    return _run_engine(last, format)


def _with_fewer_boxes(source: str) -> Iterator[str]:
    """The picture, then without boxes in boxes, then without boxes: `dot` fails on some ("trouble in init_rank")."""
    yield source
    if "subgraph" in source:
        yield re.sub(r'^(\t\t+subgraph "?)cluster_', r"\1", source, flags=re.M)
        yield re.sub(r'^(\t+subgraph "?)cluster_', r"\1", source, flags=re.M)


def _run_engine(source: str, format: str) -> bytes:
    engine = find_engine()
    if engine is None and format == "png":
        raise MissingExtraError(
            "render: a .png needs a layout program: pip install graphviz-pure; or write .svg or .pdf"
        )
    if engine is None and format == "svg":
        from .without_program import dot_to_svg

        return dot_to_svg(source).encode()
    if engine is None:
        return _as_pdf(_run_engine(source, "svg"))
    resolution = ["-Gdpi=144"] if format == "png" else []
    done = subprocess.run([engine, f"-T{format}", *resolution], input=source.encode(), capture_output=True)
    if done.returncode == 0:
        return done.stdout
    complaint = done.stderr.decode(errors="replace").strip()
    if format == "pdf" and "not recognized" in complaint:
        return _as_pdf(_run_engine(source, "svg"))
    errors = [line for line in complaint.splitlines() if "arning" not in line] or ["it did not say why"]
    raise GraphError(f"render: {engine} could not lay the graph out: {errors[0][:200]}")


def _as_pdf(svg: str | bytes) -> bytes:
    from .pdf import svg_to_pdf  # here, so that importing this package stays cheap

    return svg_to_pdf(svg)
