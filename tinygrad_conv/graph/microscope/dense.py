"""`as_dense`: the matrix that a convolution is, beside the dense layer and the locally connected one.

A convolution is a dense layer twice restrained: most parameters are cut (an output sees its window only), and what is
left is shared (the windows use the same kernel). In one picture, with the counts.
"""

from __future__ import annotations

import os
from functools import cached_property
from html import escape
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...arguments import ShapeLike, Size, checked
from ...digits import number
from ...engine.node import Shape
from ...engine.tensor import Array, Tensor, ndarray
from ...errors import ArgumentError, ShapeError
from ...files import write
from ...palette import alone, css, dark_style, shared, tint
from ..drawing.fonts import fitted, in_page, width
from ..drawing.pdf import svg_to_pdf
from .cells import Lens

__all__ = ["DenseView", "as_dense"]

_FONTS = "Helvetica,Arial,sans-serif"
_CELLS = 40  # rows and columns of the matrix that a picture shows


@checked
def as_dense(
    conv: Any, input_shape: ShapeLike, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: Size = 1
) -> DenseView:
    """The matrix M with ``conv(x).ravel() == M @ x.ravel()`` for one image (the bias aside).

    Parameters
    ----------
    conv : a convolution layer (transposed and depthwise too), or a kernel (*kernel, C_in / groups, C_out)
    input_shape : (H, W, C), or with a batch axis in front, which does not matter
        One or three spatial axes for layers and kernels of that kind. A layer without weights gets them. Rows and
        columns have channels last, whatever the layer's data format.
    stride, padding, dilation, groups : as in `conv2d`, for a kernel; a layer has its own

    Raises
    ------
    ShapeError
        The kernel does not fit the input.
    ArgumentError
        No convolution.

    >>> import numpy as np
    >>> from tinygrad_conv.graph.microscope.dense import as_dense
    >>> view = as_dense(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1), (5, 1))
    >>> view.toarray()
    array([[1., 2., 3., 0., 0.],
           [0., 1., 2., 3., 0.],
           [0., 0., 1., 2., 3.]])
    >>> view.counts
    {'dense': 15, 'locally connected': 9, 'convolution': 3}
    """
    layer, shape = _layer(conv, input_shape, stride, padding, dilation, groups)
    window, values = layer.window(shape), np.asarray(layer.weight._array)
    transposed = type(layer).__name__.endswith("Transpose")
    channels = values.shape[-1] if transposed else values.shape[-2] * window.groups
    x = np.zeros((1, *(window.out_sizes if transposed else window.in_sizes), channels), values.dtype)
    lens = Lens("conv_transpose" if transposed else "conv", x, values, window)
    return DenseView(lens, None if layer.bias is None else layer.bias.shape)


def _layer(conv: Any, shape: Shape, stride: Any, padding: Any, dilation: Any, groups: int) -> tuple[Any, Shape]:
    """A layer with weights, and the input's shape with a batch axis of 1."""
    from ...nn import convolution as nn  # here, so that importing this package stays cheap

    if isinstance(conv, (nn.SeparableConv2D, nn.LocallyConnected2D)):
        raise ArgumentError(f"as_dense: expected one convolution with shared weights, got {type(conv).__name__}")
    if isinstance(conv, (nn.Conv, nn.DepthwiseConv2D)):
        full = _batched(shape, conv.rank)
        conv.build(full)  # refuses a shape that does not fit
        conv.compute_output_shape(full)
        return (_grouped(nn, conv) if isinstance(conv, nn.DepthwiseConv2D) else conv), full
    if not isinstance(conv, (Tensor, ndarray)):
        raise ArgumentError(f"as_dense: expected a convolution layer or a kernel, got {type(conv).__name__}")
    kernel = conv._array if isinstance(conv, Tensor) else conv
    classes = {1: nn.Conv1D, 2: nn.Conv2D, 3: nn.Conv3D}
    if kernel.ndim - 2 not in classes:
        raise ShapeError(f"as_dense: expected a kernel (*kernel, C_in / groups, C_out), got shape {kernel.shape}")
    layer: Any = classes[kernel.ndim - 2](
        kernel.shape[-1], kernel.shape[:-2], stride, padding, dilation, groups, use_bias=False, weight_init="zeros",
        in_channels=kernel.shape[-2] * groups, dtype=str(kernel.dtype if kernel.dtype.kind == "f" else "float64"),
    )  # fmt: skip
    layer.weight.data = np.array(kernel)
    full = _batched(shape, layer.rank)
    layer.compute_output_shape(full)
    return layer, full


def _batched(shape: Shape, rank: int) -> Shape:
    full = (1, *shape) if len(shape) == rank + 1 else (1, *shape[1:])
    if len(full) != rank + 2:
        raise ShapeError(f"as_dense: expected an input_shape of {rank + 1} axes, and perhaps a batch axis, got {shape}")
    return full


def _grouped(nn: Any, conv: Any) -> Any:
    """A depthwise convolution as one of as many groups as there are channels."""
    kernel = conv.weight._array
    *size, channels, multiplier = kernel.shape
    layer = nn.Conv2D(
        channels * multiplier, tuple(size), conv.stride, conv.padding, conv.dilation, channels, channels,
        use_bias=conv.use_bias, data_format=conv.data_format, weight_init="zeros", dtype=str(kernel.dtype),
    )  # fmt: skip
    layer.weight.data = kernel.reshape(*size, 1, -1)
    return layer


@checked
class DenseView:
    """A convolution as a sparse matrix: rows are outputs, columns inputs, both raveled with channels last.

    Attributes
    ----------
    shape : (outputs, inputs)
    rows, columns, values : arrays of one length
        The entries that are not cut, by row.
    weights : array of the same length
        Which element of the (raveled) kernel each entry is: equal numbers are the same, shared weight.

    >>> import tinygrad_conv as tg
    >>> dense = tg.graph.as_dense(tg.nn.Conv1D(1, 2, seed=0), (None, 3, 1))
    >>> dense.shape, list(zip(dense.rows.tolist(), dense.columns.tolist(), dense.weights.tolist()))
    ((2, 3), [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 2, 1)])
    """

    def __init__(self, lens: Lens, bias: ShapeLike | None = None) -> None:
        self._lens, self.bias = lens, bias
        assert lens.w is not None
        self.kernel: ndarray[Any, Any] = lens.w
        self.out_shape, self.in_shape = lens.shape[1:], lens.x.shape[1:]
        self.shape = prod(self.out_shape), prod(self.in_shape)
        self.rows, self.columns, self.weights = self._entries()
        self.values = self.kernel.reshape(-1)[self.weights]

    def _entries(self) -> tuple[ndarray[Any, Any], ndarray[Any, Any], ndarray[Any, Any]]:
        """Which input and which weight each output reads: the places once, the channels for all places together."""
        lens, kernel = self._lens, self.kernel.shape
        c_in, c_out, groups = self.in_shape[-1], self.out_shape[-1], lens.window.groups
        found = [
            (np.ravel_multi_index(place, self.out_shape[:-1]), np.ravel_multi_index(position, self.in_shape[:-1]),
             np.ravel_multi_index(offset, kernel[:-2]))
            for place in np.ndindex(self.out_shape[:-1])
            for offset, position in lens.reads(place) if position is not None
        ]  # fmt: skip
        places, positions, offsets = np.array(found, int).reshape(-1, 3).T[:, :, None, None]
        per_in, per_out = c_in // groups, c_out // groups
        c = np.arange(c_out)[:, None]  # (C_out, C_in / groups)
        k = c // per_out * per_in + np.arange(per_in)
        a, b = (c % per_out, k) if lens.kind == "conv_transpose" else (k % per_in, c)
        weights = (offsets * kernel[-2] + a) * kernel[-1] + b
        rows, columns = places * c_out + c, positions * c_in + k
        rows, columns, weights = (np.broadcast_to(v, weights.shape).reshape(-1) for v in (rows, columns, weights))
        order = np.lexsort((columns, rows))
        return rows[order], columns[order], weights[order]

    @property
    def nnz(self) -> int:
        """How many entries are not cut."""
        return len(self.rows)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The weights of the dense layer, of the locally connected one, and of the convolution, biases aside."""
        return {"dense": prod(self.shape), "locally connected": self.nnz, "convolution": self.kernel.size}

    def toarray(self) -> ndarray[Any, Any]:
        """The matrix with all its zeros.

        >>> import numpy as np
        >>> view = as_dense(np.ones((2, 1, 1)), (4, 1))
        >>> view.toarray().shape
        (3, 4)
        """
        matrix = np.zeros(self.shape, self.values.dtype)
        np.add.at(matrix, (self.rows, self.columns), self.values)
        return matrix

    def __matmul__(self, x: Array) -> ndarray[Any, Any]:
        """The matrix times a vector of all inputs (or an image of the input's shape, channels last)."""
        vector = np.ravel(x._array if isinstance(x, Tensor) else x)
        if len(vector) != self.shape[1]:
            raise ShapeError(f"as_dense: expected {self.shape[1]} inputs, got {len(vector)} (shape {np.shape(x)})")
        out = np.zeros(self.shape[0], np.result_type(vector, self.values))
        np.add.at(out, self.rows, self.values * vector[self.columns])
        return out

    def __repr__(self) -> str:
        dense, local, conv = self.counts.values()
        return (
            f"<{self.shape[0]:,} by {self.shape[1]:,} matrix of a convolution: {dense:,} weights if dense, "
            f"{local:,} with most cut, {conv:,} shared>"
        )

    # -- the picture -----------------------------------------------------------------------

    @cached_property
    def svg(self) -> str:
        """Dense, locally connected and convolution side by side: an ``<svg>`` element."""
        return _draw(self)

    def render(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture: .svg, .pdf or .html.

        Raises ArgumentError for another suffix, or a path that cannot be written.

        >>> import tempfile
        >>> import numpy as np
        >>> view = as_dense(np.ones((2, 1, 1)), (4, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     view.render(f"{folder}/matrix.svg").name
        'matrix.svg'
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".svg":
            return write(path, self.svg, "render")
        if suffix == ".pdf":
            return write(path, svg_to_pdf(self.svg), "render")
        if suffix == ".html":
            title = "A convolution as a dense layer"
            style = f"{css()}body{{font:14px {_FONTS};margin:24px;background:var(--paper);color:var(--ink)}}"
            head = f'<meta charset="utf-8"><title>{title}</title><style>{style}</style>'
            body = f"<h1>{title}</h1>{self.svg}"
            page = f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>{body}</body>\n</html>\n'
            return write(path, page, "render")
        raise ArgumentError(f"render: expected a path ending in .svg, .pdf or .html, got {str(path)!r}")

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return in_page(self.svg)


# ------------------------------------------------------------------------------------------
# Drawing


def _draw(view: DenseView) -> str:
    rows, columns = (min(_CELLS, size) for size in view.shape)
    cell = max(6, min(26, 300 // max(rows, columns)))
    wide, tall = columns * cell, rows * cell
    top = 64
    entries = zip(view.rows.tolist(), view.columns.tolist(), view.weights.tolist(), strict=True)
    kept = {(r, c): w for r, c, w in entries if r < rows and c < columns}
    own = {(r, c): alone(r, c, rows, columns) for r, c in product(range(rows), range(columns))}
    numbers = {weight: k for k, weight in enumerate(sorted(set(kept.values())))}
    dense, local, conv = view.counts.values()
    panels = (
        ("dense", dense, "every output sees every input", own),
        ("locally connected", local, f"cut: {_share(local, dense)} of the dense layer's",
         {at: own[at] for at in kept}),
        ("convolution", conv, f"shared: {_share(conv, dense)} of the dense layer's",
         {at: shared(numbers[weight], len(numbers)) for at, weight in kept.items()}),
    )  # fmt: skip
    step = max(wide, *(round(width(why, 11)) for _, _, why, _ in panels)) + 40
    parts = []
    for k, (name, count, why, cells) in enumerate(panels):
        x = 20 + k * step
        parts += [_words(x, 20, name, 15, "bold"), _words(x, 38, f"{count:,} weights", 13), _words(x, 54, why, 11)]
        parts += [_square(x + c * cell, top + r * cell, cell, colour) for (r, c), colour in cells.items()]
        parts.append(f'<rect x="{x}" y="{top}" width="{wide}" height="{tall}" fill="none" stroke="{tint("line")}"/>')
    numbered = cell >= 18 and conv <= 99
    if numbered:
        parts += [_numbered(20 + 2 * step + c * cell, top + r * cell, cell, w) for (r, c), w in kept.items()]
    which = f" (a number each, 0 to {conv - 1})" if numbered else ""
    note = f"rows: {view.shape[0]:,} outputs {view.out_shape}; columns: {view.shape[1]:,} inputs {view.in_shape}"
    if (rows, columns) != view.shape:
        note += f"; shown: the first {rows} rows and {columns} columns"
    notes = [
        note, "dense and locally connected: each cell is a weight of its own, in a colour of its own",
        f"convolution: cells of one colour are one shared weight{which}; what is not filled is 0, for good",
    ]  # fmt: skip
    if view.bias is not None:
        notes.append(f"biases: {view.shape[0]:,} if dense or locally connected, {prod(view.bias):,} in the convolution")
    parts += [_words(20, top + tall + 22 + 17 * k, text, 12) for k, text in enumerate(notes)]
    alt = escape(repr(view), quote=True)
    across = max(3 * step + 20, *(round(width(text, 12)) + 40 for text in notes))
    down = top + tall + 22 + 17 * len(notes)
    return fitted(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}" viewBox="0 0 {across} {down}" '
        f'style="max-width:100%;height:auto" class="tgc" role="img" aria-label="{alt}" font-family="{_FONTS}">'
        f'<title>{alt}</title>{dark_style()}<g fill="{tint("ink")}">'
        f'<rect x="0" y="0" width="{across}" height="{down}" fill="{tint("paper")}"/>{"".join(parts)}</g></svg>'
    )


def _words(x: int, y: int, text: str, size: int, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}">{escape(text)}</text>'


def _square(x: int, y: int, size: int, fill: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{fill}"/>'


def _numbered(x: int, y: int, size: int, number: int) -> str:
    return (
        f'<text x="{x + size / 2:g}" y="{y + size * 0.68:g}" font-size="{size * 0.5:g}" text-anchor="middle" '
        f'fill="{tint("paper")}" stroke="{tint("ink")}" stroke-width="2" paint-order="stroke">{number}</text>'
    )


def _share(n: int, of: int) -> str:
    return f"{number(100 * n / of, 3)} %" if of else "none"
