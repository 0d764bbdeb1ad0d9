"""Convolution, compiled: no columns, but a tile of outputs held in registers while it adds up.

All three convolutions are sums of products over three nested loops, for many outputs at once. A *tile* is a few rows of
outputs times a few vectors of neighbouring channels: each step reads one number for each row and one vector of weights
for each vector, and multiplies all with all. Where a row's numbers lie is free, so one loop nest does all three:

======================  ================  ==========================  =======================
                        rows of a tile    its channels                the three loops
======================  ================  ==========================  =======================
`conv`                  output places     channels of y, weights w    kh, kw, channels of x
`conv_input_grad`       input places      channels of x, weights wᵀ   kh, kw, channels of y
`conv_kernel_grad`      elements of w     channels of y, weights g    images, oh, ow
======================  ================  ==========================  =======================

An input gradient with a stride is several without, one for each remainder of an input place by the stride: the kernel
elements that meet it are fewer, and lie evenly apart.

The processor has fused multiply-adds, which round once where the plain form rounds twice, and sums are in another
order: results differ from the plain form's as two ways to add the same numbers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import product
from math import gcd
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..scratch import result, scratch
from ..window import Window
from .arrays import array, images
from .jit import VECTOR_BYTES, jit

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad"]

Array: TypeAlias = np.ndarray[Any, Any]

# The shapes of tiles, widest first: (vectors, their bytes, rows). What fits the registers, 32 with AVX-512 and 16 below
# it, and is enough to hide the time that a multiply-add takes. The last is for few channels.
TILES = {
    64: ((4, 64, 6), (2, 64, 12), (1, 64, 12), (1, 32, 12)),
    32: ((2, 32, 6), (2, 32, 6), (1, 32, 12), (1, 16, 12)),
    16: ((2, 16, 6), (2, 16, 6), (1, 16, 12), (1, 16, 12)),
}[VECTOR_BYTES]
BLOCK_BYTES = 1 << 18  # of inputs at a time: they stay in a level-2 cache, beside the weights
PANEL = 1 << 16  # weights at a time, so that they do too
PLACES = 1 << 12  # outputs at a time, whose addresses are listed
BAND_BYTES = 24 << 10  # of cotangents at a time in a kernel gradient

# ------------------------------------------------------------------------------------------------------------------
# The tile


def _make_tile(vectors: int, bytes_: int, rows: int) -> Any:
    """A tile of one shape, as machine code in place of the call. In one of one vector some lanes may be idle."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def tile(typing, each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more):
        """y[y_base + to[r] * scale + c] (+)= Σ over i, j, k of a[a_base + at[r] + (i, j, k) . a_steps] * b[b_base +
        (i, j, k) . b_steps + c], for the tile's rows r from `row` on, and channels c < valid; added to what is there if
        `more`. With `each`, not None, a channel of a is multiplied with its own of b alone: a[... + c].
        """
        arguments = (each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more)
        names = "each row a at a_base b b_base n a_steps b_steps y to scale y_base valid more".split()  # noqa: SIM905

        def generate(context, builder, signature, values):
            given = dict(zip(names, values, strict=True))
            size = a.dtype.bitwidth // 8
            lanes = bytes_ // size
            vector = ir.VectorType(context.get_value_type(a.dtype), lanes)
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{lanes}f{a.dtype.bitwidth}"
            )

            def memory(name, *offsets):
                start = context.make_array(signature.args[names.index(name)])(context, builder, given[name]).data
                return builder.gep(start, [reduce(builder.add, offsets)]) if offsets else start

            def vectors_at(start):
                return [
                    builder.bitcast(cgutils.gep(builder, start, v * lanes), vector.as_pointer()) for v in range(vectors)
                ]

            def rows_of(name, scale):
                table = memory(name, given["row"])
                return [builder.mul(builder.load(cgutils.gep(builder, table, r)), scale) for r in range(rows)]

            def in_all_lanes(x, kind=vector.element):
                undefined, index = ir.Constant(ir.VectorType(kind, lanes), ir.Undefined), ir.IntType(32)
                first = builder.insert_element(undefined, x, ir.Constant(index, 0))
                return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), None))

            def dot(steps, place):
                terms = [builder.mul(builder.extract_value(given[steps], k), i) for k, i in enumerate(place)]
                return reduce(builder.add, terms)

            # Some lanes only, where there are fewer channels: what lies behind them belongs to others.
            some = ir.VectorType(ir.IntType(1), lanes)
            numbers = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
            mask = builder.icmp_signed("<", numbers, in_all_lanes(given["valid"], ir.IntType(64)))
            p, align = vector.as_pointer(), ir.Constant(ir.IntType(32), size)
            suffix = f"v{lanes}f{a.dtype.bitwidth}.p0"
            masked_load, masked_store = (
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(*kind), f"llvm.masked.{verb}.{suffix}")
                for verb, kind in (
                    ("load", (vector, [p, align.type, some, vector])),
                    ("store", (ir.VoidType(), [vector, p, align.type, some])),
                )
            )

            def load(place):
                if vectors > 1:
                    return builder.load(place, align=size)
                return builder.call(masked_load, [place, align, mask, ir.Constant(vector, None)])

            def store(value, place):
                if vectors > 1:
                    builder.store(value, place, align=size)
                else:
                    builder.call(masked_store, [value, place, align, mask])

            one = context.get_constant(types.intp, 1)
            sources = [memory("a", given["a_base"], offset) for offset in rows_of("at", one)]
            targets = [vectors_at(memory("y", given["y_base"], offset)) for offset in rows_of("to", given["scale"])]
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            pairs = [pair for place in zip(sums, targets, strict=True) for pair in zip(*place, strict=True)]

            with builder.if_else(given["more"]) as (added, fresh):
                with added:
                    for total, target in pairs:
                        builder.store(load(target), total)
                with fresh:
                    for total, _ in pairs:
                        builder.store(ir.Constant(vector, None), total)
            counts = [builder.extract_value(given["n"], k) for k in range(3)]
            with (
                cgutils.for_range(builder, counts[0]) as outer,
                cgutils.for_range(builder, counts[1]) as middle,
                cgutils.for_range(builder, counts[2]) as inner,
            ):
                loop = (outer.index, middle.index, inner.index)
                here, there = dot("a_steps", loop), dot("b_steps", loop)
                weights = [builder.load(p, align=size) for p in vectors_at(memory("b", given["b_base"], there))]
                for source, row_sums in zip(sources, sums, strict=True):
                    at_here = builder.gep(source, [here])
                    if each is types.none:
                        factors = [in_all_lanes(builder.load(at_here))] * vectors
                    else:
                        factors = [load(place) for place in vectors_at(at_here)]
                    for total, factor, weight in zip(row_sums, factors, weights, strict=True):
                        builder.store(builder.call(fma, [factor, weight, builder.load(total)]), total)
            for total, target in pairs:
                store(builder.load(total), target)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


_tile0, _tile1, _tile2, _tile3 = (_make_tile(*shape) for shape in TILES)
_R0, _R1, _R2, _R3 = (rows for _, _, rows in TILES)
_MOST_ROWS = 12  # a multiple of each


@jit
def _run(which, each, count, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more):
    """The first `count` rows of the tables, in tiles; the tables end with repetitions of the last row."""
    if which == 0:
        for row in range(0, count, _R0):
            _tile0(each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more)
    elif which == 1:
        for row in range(0, count, _R1):
            _tile1(each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more)
    elif which == 2:
        for row in range(0, count, _R2):
            _tile2(each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more)
    else:
        for row in range(0, count, _R3):
            _tile3(each, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, valid, more)


@lru_cache(maxsize=256)
def _panels(channels: int, itemsize: int) -> Array:
    """How channels are split into the widths of tiles: rows (which tile, first channel, channels, width)."""
    widths = [vectors * bytes_ // itemsize for vectors, bytes_, _ in TILES]
    at, panels = 0, []
    while at < channels:
        left = channels - at
        exact = (k for k, width in enumerate(widths) if width <= left or (TILES[k][0] == 1 and width < 2 * left))
        which = next(exact, len(widths) - 1)
        panels.append((which, at, min(widths[which], left), widths[which]))
        at += widths[which]
    return np.array(panels, np.intp).reshape(-1, 4)


# ------------------------------------------------------------------------------------------------------------------
# Forward, and input gradients: correlations of a source x with weights w (kh, kw, K, groups, channels of a group)


class _Axis(NamedTuple):
    """What places along an axis read: place t the sources ``t * stride - before + i * dilation`` for i < taps.

    And which they are: the results ``first + t * step`` for t < places.
    """

    taps: int
    stride: int
    dilation: int
    before: int
    places: int
    first: int = 0
    step: int = 1

    @property
    def reach(self) -> int:
        """How many sources they read, from the first to the last."""
        return (self.places - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    def inside(self, n: int) -> bool:
        """Do they read no padding of a source of size n?"""
        return self.before <= 0 and self.reach - self.before <= n


def conv(x: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv`, compiled."""
    y = result(out, (len(x), *window.out_sizes, w.shape[-1]), x.dtype)
    x, to = images(x), images(y)
    depthwise = _is_depthwise(x.shape[-1], window)
    if depthwise:
        x = _repeated(x, to.shape[-1])
    taps = _taps(w, window, depthwise)
    _correlate(depthwise, x, taps, taps, _axes(window), to)
    return y


def conv_input_grad(g: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv_input_grad`, compiled."""
    channels = window.groups * w.shape[-2]
    dx = result(out, (len(g), *window.in_sizes, channels), g.dtype)
    depthwise = _is_depthwise(channels, window)
    multiplier = g.shape[-1] // channels if depthwise else 1
    g, to = images(g), images(dx)
    if multiplier > 1:
        to = np.empty((*to.shape[:3], g.shape[-1]), g.dtype)
    # (kh, kw, F / G, G, C / G), the kernel from its end: then what is read lies upwards.
    taps = _taps(w, window, depthwise)
    back = taps[::-1, ::-1]
    back = back if depthwise else back.transpose(0, 1, 4, 3, 2)
    axes = zip(*_two_axes(window), to.shape[1:3], strict=True)
    phases = [[_phase(k, s, d, before, n, remainder) for remainder in range(s)] for k, s, d, (before, _), n in axes]
    for (rows, row_taps), (columns, column_taps) in product(*phases):
        if not (rows.taps and columns.taps):
            to[:, rows.first :: rows.step, columns.first :: columns.step] = 0
        elif rows.places and columns.places:
            _correlate(depthwise, g, taps, back[row_taps, column_taps], [rows, columns], to)
    if multiplier > 1:
        parts = to.reshape(*dx.shape, multiplier)
        dx[...] = parts[..., 0]
        for k in range(1, multiplier):
            dx += parts[..., k]
    return dx


def _is_depthwise(channels: int, window: Window) -> bool:
    """Is every channel by itself? A channel with several kernels is repeated, and its gradients summed up."""
    return window.groups == channels > 1


def _repeated(x: Array, channels: int) -> Array:
    return x if x.shape[-1] == channels else np.repeat(x, channels // x.shape[-1], axis=-1)


def _taps(w: Array, window: Window, depthwise: bool) -> Array:
    """The kernel (*kernel, C / G, F) as (kh, kw, C / G, G, F / G); (kh, kw, 1, 1, F) if depthwise."""
    return array(w).reshape(*_two_axes(window)[0], w.shape[-2], 1 if depthwise else window.groups, -1)


def _axes(window: Window) -> list[_Axis]:
    out_sizes = (1, *window.out_sizes)[-2:]
    axes = zip(*_two_axes(window), out_sizes, strict=True)
    return [_Axis(k, s, d, before, o) for k, s, d, (before, _), o in axes]


def _phase(k: int, s: int, d: int, before: int, n: int, remainder: int) -> tuple[_Axis, slice]:
    """The inputs ``first + t * s`` of one remainder, and the elements of the reversed kernel that meet them.

    Element i meets input r at output ``(r + before - i * d) / s``, if that is an integer.
    """
    first = (remainder - before) % s
    elements = [i for i in range(k) if (remainder - i * d) % s == 0]
    if not elements:
        return _Axis(0, 1, 1, 0, len(range(first, n, s)), first, s), slice(0)
    last = elements[-1]  # which reads the lowest output
    step, apart = s // gcd(s, d), d // gcd(s, d)
    axis = _Axis(len(elements), 1, apart, -((first + before - last * d) // s), len(range(first, n, s)), first, s)
    return axis, slice(k - 1 - last, k - elements[0], step)


def _two_axes(window: Window) -> tuple[Any, Any, Any, Any]:
    """kernel, stride, dilation and pads for two axes."""
    one = window.rank == 1
    kernel, stride, dilation = ((1, *v) if one else v for v in (window.kernel, window.stride, window.dilation))
    return kernel, stride, dilation, ((0, 0), *window.pads) if one else window.pads


def _correlate(depthwise: bool, x: Array, taps: Array, w: Array, axes: Sequence[_Axis], y: Array) -> None:
    """x (N, H, W, groups * K) and w (kh, kw, K, groups, F), a view of taps, to places of y (N, H', W', groups * F)."""
    kh, kw, k, groups, filters = w.shape
    panels = _panels(filters, x.itemsize)
    packed = scratch("packed", (groups * kh * kw * k * int(panels[:, 3].sum()),), x.dtype)
    start = (w.ctypes.data - taps.ctypes.data) // w.itemsize
    _pack(taps.reshape(-1), w.shape, (start, *(step // w.itemsize for step in w.strides)), panels, packed)
    stage, block = _staging(x, axes)
    block = max(1, min(block, PLACES // (axes[0].places * axes[1].places)))
    band = max(1, min(axes[0].places, PLACES // axes[1].places))
    each = 1 if depthwise else None
    _correlate_blocks(
        each, x, packed, (kh, kw, k), groups, panels, stage, block, band, tuple(axes[0]), tuple(axes[1]), y
    )


def _staging(x: Array, axes: Sequence[_Axis]) -> tuple[Array, int]:
    """Memory for a block of images with their padding, none if they need none; and how many images are a block."""
    sizes, staged = x.shape[1:3], not all(map(_Axis.inside, axes, x.shape[1:3]))
    if staged:
        sizes = (axes[0].reach, axes[1].reach)
    block = min(max(1, BLOCK_BYTES // max(1, sizes[0] * sizes[1] * x.shape[-1] * x.itemsize)), len(x))
    return scratch("stage", (block if staged else 0, *sizes, x.shape[-1]), x.dtype), block


@jit
def _pack(w, shape, steps, panels, packed):
    """w as one panel (taps, width) after the other, filled up with zeros."""
    kh, kw, n, groups = shape[0], shape[1], shape[2], shape[3]
    start, step_i, step_j, step_k, step_g, step_c = steps
    at = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            first, count, width = panels[panel, 1], panels[panel, 2], panels[panel, 3]
            for i in range(kh):
                for j in range(kw):
                    source = start + i * step_i + j * step_j + group * step_g + first * step_c
                    to = packed[at : at + n * width]
                    if step_c == 1:
                        for k in range(n):
                            row, line = w[source + k * step_k :], to[k * width :]
                            for c in range(count):
                                line[c] = row[c]
                    else:
                        for c in range(count):
                            column = w[source + c * step_c :]
                            for k in range(n):
                                to[k * width + c] = column[k * step_k]
                    for k in range(n if count < width else 0):
                        for c in range(count, width):
                            to[k * width + c] = 0
                    at += n * width


@jit
def _stage(x, first, count, stage, top, left):
    """Some images with their padding, or the part of them that is read."""
    n, height, width, channels = x.shape
    rows = x.reshape(n, height, width * channels)
    staged = stage.reshape(stage.shape[0], stage.shape[1], stage.shape[2] * channels)
    for image in range(count):
        for r in range(staged.shape[1]):
            p, to = r - top, staged[image, r]
            inside = 0 <= p < height
            low = min(max(left, 0), stage.shape[2]) * channels if inside else 0
            high = max(min(stage.shape[2], width + left) * channels, low) if inside else 0
            source, interior, after = (
                rows[first + image, p if inside else 0, max(-left, 0) * channels :],
                to[low:],
                to[high:],
            )
            for c in range(low):
                to[c] = 0
            for c in range(high - low):
                interior[c] = source[c]
            for c in range(len(after)):
                after[c] = 0


@jit
def _correlate_blocks(each, x, packed, loops, groups, panels, stage, block, band, rows, columns, y):
    kh, kw, k = loops
    _, stride_h, dilation_h, top, oh, first_h, step_h = rows
    _, stride_w, dilation_w, left, ow, first_w, step_w = columns
    n, channels, filters = x.shape[0], x.shape[3], y.shape[3]
    staged = stage.shape[0] > 0
    source = stage.reshape(-1) if staged else x.reshape(-1)
    height, width = (stage.shape[1], stage.shape[2]) if staged else (x.shape[1], x.shape[2])
    flat, most = y.reshape(-1), block * band * ow + _MOST_ROWS
    at, to = np.empty(most, np.intp), np.empty(most, np.intp)
    known = (0, 0)  # for how many images, and rows of them, `at` and `to` say where places are
    for image in range(0, n, block):
        count = min(block, n - image)
        if staged:
            _stage(x, image, count, stage, top, left)
        for low in range(0, oh, band):
            high = min(low + band, oh)
            if (count, high - low) != known:
                known = (count, high - low)
                _list_places(at, count, high - low, ow, height * width, stride_h * width, stride_w, channels)
                _list_places(to, count, high - low, ow, y.shape[1] * y.shape[2], step_h * y.shape[2], step_w, filters)
            skipped = image * height - top if not staged else 0
            a_base = ((skipped + low * stride_h) * width - (0 if staged else left)) * channels
            y_base = ((image * y.shape[1] + first_h + low * step_h) * y.shape[2] + first_w) * filters
            start, total = 0, count * (high - low) * ow
            for group in range(groups):
                for panel in range(panels.shape[0]):
                    which, first = panels[panel, 0], panels[panel, 1]
                    valid, lanes = panels[panel, 2], panels[panel, 3]
                    to_base = y_base + group * (filters // groups) + first
                    at_base = a_base + group * k + (0 if each is None else first)
                    a_steps = (dilation_h * width * channels, dilation_w * channels, 1)
                    b_steps = (kw * k * lanes, k * lanes, lanes)
                    some = max(1, min(kh, PANEL // (kw * k * lanes)))  # rows of the kernel: they stay in the cache
                    for i in range(0, kh, some):
                        # The innermost loop is the longest that there is: the steps of a row, if they are even.
                        n_loops, a_loops, b_loops = (min(some, kh - i), kw, k), a_steps, b_steps
                        if each is not None:
                            n_loops, a_loops = (1, min(some, kh - i), kw), (0, a_steps[0], a_steps[1])
                            b_loops = (0, b_steps[0], lanes)
                        elif dilation_w == 1 and groups == 1:
                            n_loops, a_loops = (1, min(some, kh - i), kw * k), (0, a_steps[0], 1)
                            b_loops = (0, b_steps[0], lanes)
                        _run(
                            which, each, total, source, at, at_base + i * a_steps[0], packed, start + i * b_steps[0],
                            n_loops, a_loops, b_loops, flat, to, 1, to_base, valid, i > 0,
                        )  # fmt: skip
                    start += kh * kw * k * lanes


@jit
def _list_places(table, images, rows, columns, image_step, row_step, column_step, channels):
    """Where places lie, then the last of them again and again, to fill a tile."""
    row = 0
    for m in range(images):
        for p in range(rows):
            for q in range(columns):
                table[row] = (m * image_step + p * row_step + q * column_step) * channels
                row += 1
    for k in range(row, len(table)):
        table[k] = table[row - 1]


# ------------------------------------------------------------------------------------------------------------------
# Kernel gradients


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv_kernel_grad`, compiled."""
    dw = result(out, (*window.kernel, x.shape[-1] // window.groups, g.shape[-1]), x.dtype)
    x, g, axes = images(x), images(g), _axes(window)
    depthwise = _is_depthwise(x.shape[-1], window)
    if depthwise:
        x = _repeated(x, g.shape[-1])
    taps = _taps(dw, window, depthwise).reshape(
        axes[0].taps * axes[1].taps, dw.shape[-2], -1, g.shape[-1] // (1 if depthwise else window.groups)
    )
    panels = _panels(taps.shape[-1], x.itemsize)
    sums = scratch("packed", (taps[..., 0].size * int(panels[:, 3].sum()),), x.dtype)
    stage, block = _staging(x, axes)
    lanes, places = int(panels[:, 3].max()), axes[0].places * axes[1].places
    most = BAND_BYTES // (lanes * x.itemsize)  # places at a time: what is read of g stays in the level-1 cache
    block = max(1, min(block, most // places))
    band = max(1, min(axes[0].places, most // axes[1].places))
    weights = scratch("weights", (block * places * lanes,), x.dtype)
    each = 1 if depthwise else None
    _kernel_grad(each, x, g, panels, sums, weights, stage, block, band, tuple(axes[0]), tuple(axes[1]), taps)
    return dw


@jit
def _kernel_grad(each, x, g, panels, sums, weights, stage, block, band, rows, columns, dw):
    _, stride_h, dilation_h, top, oh, _, _ = rows
    kw, stride_w, dilation_w, left, ow, _, _ = columns
    n, channels = x.shape[0], x.shape[3]
    taps, k, groups, filters = dw.shape
    staged = stage.shape[0] > 0
    source = stage.reshape(-1) if staged else x.reshape(-1)
    height, width = (stage.shape[1], stage.shape[2]) if staged else (x.shape[1], x.shape[2])
    at, to = np.empty(taps * k + _MOST_ROWS, np.intp), np.empty(taps * k + _MOST_ROWS, np.intp)
    for row in range(len(at)):
        element = min(row, taps * k - 1)  # the last again and again, with the same result
        at[row] = (element // k // kw * dilation_h * width + element // k % kw * dilation_w) * channels + element % k
        to[row] = element
    for element in range(len(sums)):
        sums[element] = 0
    places = g.reshape(n * oh * ow, groups * filters)
    for image in range(0, n, block):
        count = min(block, n - image)
        if staged:
            _stage(x, image, count, stage, top, left)
        base = 0 if staged else ((image * height - top) * width - left) * channels
        for low in range(0, oh, band):
            high = min(low + band, oh)
            start = 0
            for group in range(groups):
                for panel in range(panels.shape[0]):
                    which, first = panels[panel, 0], panels[panel, 1]
                    valid, lanes = panels[panel, 2], panels[panel, 3]
                    here = 0
                    for m in range(image, image + count):
                        for place in range((m * oh + low) * ow, (m * oh + high) * ow):
                            row, part = places[place, group * filters + first :], weights[here : here + lanes]
                            for c in range(valid):
                                part[c] = row[c]
                            for c in range(valid, lanes):
                                part[c] = 0
                            here += lanes
                    at_base = base + group * k + (0 if each is None else first)
                    _run(
                        which, each, taps * k, source, at, at_base + low * stride_h * width * channels,
                        weights, 0, (count, high - low, ow),
                        (height * width * channels, stride_h * width * channels, stride_w * channels),
                        ((high - low) * ow * lanes, ow * lanes, lanes), sums, to, lanes, start, valid, True,
                    )  # fmt: skip
                    start += taps * k * lanes
    start = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            which, first = panels[panel, 0], panels[panel, 1]
            valid, lanes = panels[panel, 2], panels[panel, 3]
            for i in range(taps):
                for c in range(k):
                    row, part = dw[i, c, group, first:], sums[start : start + lanes]
                    for f in range(valid):
                        row[f] = part[f]
                    start += lanes
