"""Convolution, compiled: no columns, but a tile of outputs held in registers while it adds up.

All three convolutions are sums of products, for many outputs at once. A *tile* is a few rows of outputs times a few
vectors of neighbouring channels: each step reads one number for each row and one vector of weights for each vector,
and multiplies all with all. Lists say where a row's numbers lie and how far each step goes, so one loop does all three:

======================  ================  ==========================  ==========================
                        rows of a tile    its channels                the steps
======================  ================  ==========================  ==========================
`conv`                  output places     channels of y, weights w    kernel, and channels of x
`conv_input_grad`       input places      channels of x, weights wᵀ   kernel, and channels of y
`conv_kernel_grad`      elements of w     channels of y, weights g    images, and output places
======================  ================  ==========================  ==========================

An input gradient with a stride is several without, one for each remainder of an input place by the stride: the kernel
elements that meet it are fewer, and lie evenly apart. Places whose windows hang over the same edges go together, with
the steps of which they read no padding; where they are too few to fill tiles, images are copied with their padding.

There are three spatial axes, (N, D, H, W, C), of size 1 where an image has fewer.

The processor has fused multiply-adds, which round once where the plain form rounds twice, and sums are in another
order: results differ from the plain form's as two ways to add the same numbers do.
"""

from __future__ import annotations

from functools import lru_cache, reduce
from itertools import pairwise, product
from math import gcd, prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..scratch import result, scratch
from ..window import Window
from .arrays import array, per_window
from .jit import VECTOR_BYTES, inlined, jit

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad"]

Array: TypeAlias = np.ndarray[Any, Any]

# The shapes of tiles, widest first: (vectors, their bytes, rows). What fits the registers, 32 with AVX-512 and 16 below
# it, and is enough to hide the time that a multiply-add takes. The last is for few channels.
TILES = {
    64: ((4, 64, 6), (2, 64, 10), (1, 64, 12), (1, 32, 12)),
    32: ((2, 32, 6), (2, 32, 6), (1, 32, 12), (1, 16, 12)),
    16: ((2, 16, 6), (2, 16, 6), (1, 16, 12), (1, 16, 12)),
}[VECTOR_BYTES]
BLOCK_BYTES = 1 << 18  # of inputs at a time: they stay in a level-2 cache, beside the weights
PANEL = 1 << 16  # weights at a time, so that they do too
PLACES = 60 * 68  # outputs at a time, whose addresses are listed; of whole tiles
BAND_BYTES = 24 << 10  # of cotangents at a time in a kernel gradient: they stay in the level-1 cache

# ------------------------------------------------------------------------------------------------------------------
# The tile


def _make_tile(vectors: int, bytes_: int, rows: int) -> Any:
    """A tile of one shape, as machine code in place of the call. In one of one vector some lanes may be idle."""

    @intrinsic  # type: ignore[misc, unused-ignore]
    def tile(typing, each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more):
        """y[y_base + to[r] * scale + c] (+)= Σ over low <= t < high of a[a_base + at[r] + i] b[b_base + j * width + c],
        `_step(i, j)` being steps[t], for the tile's rows r from `row` on, and channels c < valid of its width; added to
        what is there if `more`. With `each`, not None, a channel of a has its own of b alone: a[... + c].
        """
        arguments = (each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more)
        names = "each row a at a_base b b_base steps low high y to scale y_base valid more".split()  # noqa: SIM905

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
            with cgutils.for_range_slice(builder, given["low"], given["high"], one, inc=True) as (step, _):
                # Nothing, but it may not be doubled: in two steps at once the sums would not fit the registers.
                if vectors > 1:
                    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True).attributes.add("convergent")
                both = builder.load(memory("steps", step))
                here = builder.lshr(both, ir.Constant(both.type, 32))
                there = builder.and_(both, ir.Constant(both.type, 2**32 - 1))
                there = builder.mul(there, ir.Constant(both.type, vectors * lanes))
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


@inlined
def _step(i, j):
    """A step, as one number: to look one up costs as much as what is looked up is multiplied with."""
    return i << 32 | j


_tile0, _tile1, _tile2, _tile3 = (_make_tile(*shape) for shape in TILES)
_R0, _R1, _R2, _R3 = (rows for _, _, rows in TILES)
_MOST_ROWS = max(_R0, _R1, _R2, _R3)


@jit
def _run(which, each, first, count, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more):
    """`count` rows of the tables, in tiles; behind them, the last row is repeated."""
    if which == 0:
        for row in range(first, first + count, _R0):
            _tile0(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    elif which == 1:
        for row in range(first, first + count, _R1):
            _tile1(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    elif which == 2:
        for row in range(first, first + count, _R2):
            _tile2(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip
    else:
        for row in range(first, first + count, _R3):
            _tile3(
                each, row, a, at, a_base, b, b_base, steps, low, high, y, to, scale, y_base, valid, more
            )  # fmt: skip


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
# Axes, and which of their places go together


class _Axis(NamedTuple):
    """What places along an axis read: place t the sources ``t * stride - before + i * dilation`` for i < taps.

    And which they are: the results ``first + t * step`` for t < places. There are `size` sources and `whole` results.
    """

    taps: int
    stride: int
    dilation: int
    before: int
    places: int
    size: int
    whole: int
    first: int = 0
    step: int = 1

    @property
    def reach(self) -> int:
        """How many sources they read, from the first to the last, padding included."""
        return max(0, (self.places - 1) * self.stride + (self.taps - 1) * self.dilation + 1)

    def parts(self) -> list[tuple[int, int, int, int]]:
        """Runs of places that read the same taps besides padding: (first place, last + 1, first tap, last + 1).

        >>> _Axis(3, 1, 1, 1, 5, 5, 5).parts()
        [(0, 1, 1, 3), (1, 4, 0, 3), (4, 5, 0, 2)]
        """
        start = np.arange(self.places) * self.stride - self.before
        low = np.clip(-(start // self.dilation), 0, self.taps)
        high = np.clip((self.size - 1 - start) // self.dilation + 1, low, self.taps)
        cuts = [0, *(np.flatnonzero(np.diff(low) | np.diff(high)) + 1).tolist(), self.places]
        return [(a, b, int(low[a]), int(high[a])) for a, b in pairwise(cuts)]


def _axes(window: Window) -> list[_Axis]:
    """Three of them, the first ones made up."""
    w, before = window, (front for front, _ in window.pads)
    own = map(_Axis, w.kernel, w.stride, w.dilation, before, w.out_sizes, w.in_sizes, w.out_sizes)
    return [_Axis(1, 1, 1, 0, 1, 1, 1)] * (3 - window.rank) + list(own)


def _phase(axis: _Axis, remainder: int) -> tuple[_Axis, slice]:
    """The inputs ``first + t * s`` of one remainder, and the elements of the reversed kernel that meet them.

    Element i meets input r at output ``(r + before - i * d) / s``, if that is an integer.
    """
    k, s, d, before, outs, n = axis[:6]
    first = (remainder - before) % s
    places = len(range(first, n, s))
    elements = [i for i in range(k) if (remainder - i * d) % s == 0]
    if not elements:
        return _Axis(0, 1, 1, 0, places, outs, n, first, s), slice(0)
    last = elements[-1]  # which reads the lowest output
    step, apart = s // gcd(s, d), d // gcd(s, d)
    start = -((first + before - last * d) // s)
    return _Axis(len(elements), 1, apart, start, places, outs, n, first, s), slice(k - 1 - last, k - elements[0], step)


# ------------------------------------------------------------------------------------------------------------------
# Forward, and input gradients: correlations of a source x (N, D, H, W, groups * K) with weights (kd, kh, kw, K, groups,
# F), to places of a result (N, D', H', W', groups * F)


def conv(x: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv`, compiled."""
    y = result(out, (len(x), *window.out_sizes, w.shape[-1]), x.dtype)
    depthwise = _is_depthwise(x.shape[-1], window)
    _correlate(window, False, _repeated(x, w.shape[-1]) if depthwise else x, w, y, depthwise)
    return y


def conv_input_grad(g: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv_input_grad`, compiled."""
    channels = window.groups * w.shape[-2]
    dx = result(out, (len(g), *window.in_sizes, channels), g.dtype)
    depthwise = _is_depthwise(channels, window)
    multiplier = g.shape[-1] // channels if depthwise else 1
    to = dx if multiplier == 1 else np.empty((*dx.shape[:-1], g.shape[-1]), g.dtype)
    _correlate(window, True, g, w, to, depthwise)
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


def _correlate(window: Window, back: bool, x: Array, w: Array, y: Array, depthwise: bool) -> None:
    x, w, y = array(x), array(w).reshape(-1), y.reshape(-1)
    works = _correlations(window, back, depthwise, len(x), x.shape[-1], w.size, x.itemsize)
    each, flat = 1 if depthwise else None, x.reshape(-1)
    for packing, sizes, axes, parts, panels, weights, staged in works:
        packed, stage = scratch("packed", (weights,), x.dtype), scratch("stage", (staged,), x.dtype)
        _pack(w, packing, panels, packed)
        _correlate_blocks(each, flat, packed, sizes, axes, parts, panels, stage, y)


@per_window
def _correlations(
    window: Window, back: bool, depthwise: bool, n: int, channels: int, elements: int, itemsize: int
) -> list[tuple[Any, ...]]:
    """The correlations that make up one: all that the compiled functions must be told of each."""
    axes, groups = _axes(window), 1 if depthwise else window.groups
    kernel = [axis.taps for axis in axes]
    k_in = 1 if depthwise else (elements * groups // (prod(kernel) * channels) if back else channels) // groups
    memory = np.empty((*kernel, k_in, groups, elements // (prod(kernel) * k_in * groups)), np.int8)  # of w, for places
    phases: Any = [[(axis, slice(None))] for axis in axes]
    taps = memory
    if back:  # the kernel from its end: then what is read lies upwards
        phases = [[_phase(axis, remainder) for remainder in range(axis.stride)] for axis in axes]
        taps = memory[::-1, ::-1, ::-1]
        taps = taps if depthwise else taps.transpose(0, 1, 2, 5, 4, 3)
    return [
        _correlation([axis for axis, _ in phase], taps[*(part for _, part in phase)], memory, n, channels, itemsize)
        for phase in product(*phases)
        if all(axis.places for axis, _ in phase)
    ]


def _correlation(
    axes: list[_Axis], taps: Array, memory: Array, n: int, channels: int, itemsize: int
) -> tuple[Any, ...]:
    *kernel, k, groups, filters = taps.shape
    panels = _panels(filters, itemsize)
    start = (taps.ctypes.data - memory.ctypes.data) if taps.size else 0
    packing = np.array((*taps.shape, start, *taps.strides, 0), np.intp)
    places = prod(axis.places for axis in axes)
    found = {}
    for staged in (False, True):
        block = _images_at_once(axes, n, channels * itemsize, places, staged)
        parts = list(product(*([(0, axis.places, 0, axis.taps)] if staged else axis.parts() for axis in axes)))
        rows = TILES[panels[0, 0]][2] if filters else 1
        tiles = (
            -(-block * prod(b - a for a, b, _, _ in part) // rows) * prod(high - low for _, _, low, high in part)
            for part in parts
        )
        found[staged] = sum(tiles) / block, block, parts
    staged = found[True] < found[False]
    _, block, parts = found[staged]
    sizes = np.array((n, block, channels, k, groups, groups * filters, PLACES), np.intp)
    elements = block * prod(axis.reach for axis in axes) * channels if staged else 0
    weights = groups * prod(kernel) * k * int(panels[:, 3].sum())
    table = np.array([(*axis, axis.reach) for axis in axes], np.intp)
    return packing, sizes, table, np.array(parts, np.intp).reshape(-1, 12), panels, weights, elements


def _images_at_once(axes: list[_Axis], n: int, bytes_each: int, places: int, staged: bool) -> int:
    """How many images are a block."""
    sizes = prod(axis.reach if staged else axis.size for axis in axes)
    return max(1, min(n, BLOCK_BYTES // max(1, sizes * bytes_each), PLACES // places))


@inlined
def _seven(a):
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6]


@inlined
def _twelve(a):
    return a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]


@jit
def _pack(w, packing, panels, packed):
    """w as one panel (taps, width) after the other, filled up with zeros."""
    kd, kh, kw, n, groups, _, first_source = _seven(packing)
    step_h, step_i, step_j, step_k, step_g, step_c, _ = _seven(packing[7:])
    at = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            first, count, width = panels[panel, 1], panels[panel, 2], panels[panel, 3]
            for h in range(kd):
                for i in range(kh):
                    for j in range(kw):
                        source = first_source + h * step_h + i * step_i + j * step_j + group * step_g + first * step_c
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
def _stage(x, first, count, channels, axes, stage):
    """Some images with their padding, or the part of them that is read."""
    front, top, left = axes[0, 3], axes[1, 3], axes[2, 3]
    depth, height, width = axes[0, 5], axes[1, 5], axes[2, 5]
    rows, row = axes[1, 9], axes[2, 9] * channels  # of what is read
    low = min(max(left, 0) * channels, row)
    high = max(min((width + left) * channels, row), low)
    for k in range(count * axes[0, 9] * rows):
        image, z, p = k // rows // axes[0, 9], k // rows % axes[0, 9] - front, k % rows - top
        inside = 0 <= z < depth and 0 <= p < height
        start, end = (low, high) if inside else (0, 0)
        place = ((first + image) * depth + z) * height + p if inside else 0
        to, source = stage[k * row : k * row + row], x[place * width * channels + max(-left, 0) * channels :]
        interior = to[start:end]
        for c in range(start):
            to[c] = 0
        for c in range(len(interior)):
            interior[c] = source[c]
        for c in range(end, row):
            to[c] = 0


@jit
def _list_places(table, low, count, depth, rows, columns, image_step, depth_step, row_step, column_step):
    """Where places lie, of images, depths, rows and columns: `count` from the `low`-th on. Then the last again."""
    q, p, z, m = low % columns, low // columns % rows, low // columns // rows % depth, low // columns // rows // depth
    k = 0
    while k < count:
        start = m * image_step + z * depth_step + p * row_step
        more = min(columns - q, count - k)
        for i in range(more):
            table[k + i] = start + (q + i) * column_step
        k += more
        q = 0
        p += 1
        if p == rows:
            p = 0
            z += 1
            if z == depth:
                z = 0
                m += 1
    for i in range(_MOST_ROWS):
        table[count + i] = table[count - 1]


@jit
def _correlate_blocks(each, x, packed, sizes, axes, parts, panels, stage, y):
    n, block, channels, k, groups, filters, most = _seven(sizes)
    kd, kh, kw = axes[0, 0], axes[1, 0], axes[2, 0]
    sd, sh, sw = axes[0, 1] * channels, axes[1, 1] * channels, axes[2, 1] * channels
    dd, dh, dw = axes[0, 2] * channels, axes[1, 2] * channels, axes[2, 2] * channels
    staged = len(stage) > 0
    source, column = (stage, 9) if staged else (x, 5)
    depth, height, width = axes[0, column], axes[1, column], axes[2, column]
    front, top, left = (0, 0, 0) if staged else (axes[0, 3], axes[1, 3], axes[2, 3])
    to_depth, to_height, to_width = axes[0, 6], axes[1, 6], axes[2, 6]
    step_d, step_h, step_w = axes[0, 8] * filters, axes[1, 8] * filters, axes[2, 8] * filters
    y_first = ((axes[0, 7] * to_height + axes[1, 7]) * to_width + axes[2, 7]) * filters

    # The steps of each part: the taps that read no padding, and their channels.
    ends, total = np.empty(len(parts), np.intp), 0
    for part in range(len(parts)):
        _, _, d0, d1, _, _, h0, h1, _, _, w0, w1 = _twelve(parts[part])
        total += (d1 - d0) * (h1 - h0) * (w1 - w0) * k
        ends[part] = total
    steps = np.empty(total, np.intp)
    step = 0
    for part in range(len(parts)):
        _, _, d0, d1, _, _, h0, h1, _, _, w0, w1 = _twelve(parts[part])
        for h in range(d0, d1):
            for i in range(h0, h1):
                for j in range(w0, w1):
                    for c in range(k):
                        place = (h * dd * height + i * dh) * width + j * dw + c
                        steps[step] = _step(place, ((h * kh + i) * kw + j) * k + c)
                        step += 1

    # Where places are: listed once for a block of images, or as often as needed for parts of large images.
    room = min(most, block * axes[0, 4] * axes[1, 4] * axes[2, 4]) + len(parts) * _MOST_ROWS
    at, to, known = np.empty(room, np.intp), np.empty(room, np.intp), 0
    for image in range(0, n, block):
        images = min(block, n - image)
        if staged:
            _stage(x, image, images, channels, axes, stage)
        row, whole = 0, images * axes[0, 4] * axes[1, 4] * axes[2, 4] <= most
        for part in range(len(parts)):
            z, deep, _, _, p, high, _, _, q, wide, _, _ = _twelve(parts[part])
            deep, high, wide = deep - z, high - p, wide - q
            a_base = (
                (0 if staged else image * depth * height * width * channels)
                + ((z * sd - front * channels) * height + p * sh - top * channels) * width
                + q * sw
                - left * channels
            )
            y_base = (
                image * to_depth * to_height * to_width * filters
                + y_first
                + (z * step_d * to_height + p * step_h) * to_width
                + q * step_w
            )
            first_step, last_step = ends[part - 1] if part > 0 else 0, ends[part]
            places = images * deep * high * wide
            for low in range(0, places, most):
                count = min(most, places - low)
                if not whole or images != known:
                    _list_places(
                        at[row:], low, count, deep, high, wide, depth * height * width * channels, sd * height * width,
                        sh * width, sw,
                    )  # fmt: skip
                    _list_places(
                        to[row:], low, count, deep, high, wide, to_depth * to_height * to_width * filters,
                        step_d * to_height * to_width, step_h * to_width, step_w,
                    )  # fmt: skip
                start = 0
                for group in range(groups):
                    for panel in range(panels.shape[0]):
                        which, first = panels[panel, 0], panels[panel, 1]
                        valid, lanes = panels[panel, 2], panels[panel, 3]
                        to_base = y_base + group * (filters // groups) + first
                        at_base = a_base + group * k + (0 if each is None else first)
                        some = max(1, PANEL // lanes)  # weights that stay in the cache
                        step = first_step
                        while True:  # without steps once too, for zeros
                            end = min(step + some, last_step)
                            _run(
                                which, each, row, count, source, at, at_base, packed, start, steps, step, end,
                                y, to, 1, to_base, valid, step > first_step,
                            )  # fmt: skip
                            step = end
                            if step == last_step:
                                break
                        start += kd * kh * kw * k * lanes
                if whole:
                    row += count + _MOST_ROWS
        known = images


# ------------------------------------------------------------------------------------------------------------------
# Kernel gradients


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv_kernel_grad`, compiled."""
    dw = result(out, (*window.kernel, x.shape[-1] // window.groups, g.shape[-1]), x.dtype)
    depthwise = _is_depthwise(x.shape[-1], window)
    x = array(_repeated(x, g.shape[-1]) if depthwise else x)
    sizes, axes, panels, elements, most, staged = _kernel_gradient(
        window, depthwise, len(x), x.shape[-1], g.shape[-1], x.itemsize
    )
    sums, weights = scratch("packed", (elements,), x.dtype), scratch("weights", (most,), x.dtype)
    stage, each = scratch("stage", (staged,), x.dtype), 1 if depthwise else None
    _kernel_grad(each, x.reshape(-1), array(g).reshape(-1), sizes, axes, panels, sums, weights, stage, dw.reshape(-1))
    return dw


@per_window
def _kernel_gradient(
    window: Window, depthwise: bool, n: int, channels: int, c_out: int, itemsize: int
) -> tuple[Any, ...]:
    """What the compiled function must be told."""
    axes, groups = _axes(window), 1 if depthwise else window.groups
    k = 1 if depthwise else channels // groups
    panels = _panels(c_out // groups, itemsize)
    staged = any(axis.before > 0 or axis.reach - axis.before > axis.size for axis in axes)
    block = _images_at_once(axes, n, channels * itemsize, prod(axis.places for axis in axes), staged)
    most = max(1, BAND_BYTES // (int(panels[:, 3].max()) * itemsize))  # places at a time
    sizes = np.array((n, block, channels, k, groups, c_out, most), np.intp)
    elements = groups * prod(axis.taps for axis in axes) * k * int(panels[:, 3].sum())
    weights = most * int(panels[:, 3].max())
    table = np.array([(*axis, axis.reach) for axis in axes], np.intp)
    return sizes, table, panels, elements, weights, block * prod(axis.reach for axis in axes) * channels * staged


@jit
def _kernel_grad(each, x, g, sizes, axes, panels, sums, weights, stage, dw):
    n, block, channels, k, groups, filters, most = _seven(sizes)
    kd, kh, kw = axes[0, 0], axes[1, 0], axes[2, 0]
    sd, sh, sw = axes[0, 1] * channels, axes[1, 1] * channels, axes[2, 1] * channels
    apart_d, apart_h, apart_w = axes[0, 2] * channels, axes[1, 2] * channels, axes[2, 2] * channels
    deep, high, wide = axes[0, 4], axes[1, 4], axes[2, 4]
    staged = len(stage) > 0
    source, column = (stage, 9) if staged else (x, 5)
    depth, height, width = axes[0, column], axes[1, column], axes[2, column]
    skipped = 0 if staged else ((axes[0, 3] * height + axes[1, 3]) * width + axes[2, 3]) * channels
    elements = kd * kh * kw * k
    at, to = np.empty(elements + _MOST_ROWS, np.intp), np.empty(elements + _MOST_ROWS, np.intp)
    for row in range(len(at)):
        e = min(row, elements - 1)  # the last again and again, with the same result
        tap = e // k
        at[row] = (tap // kw // kh * apart_d * height + tap // kw % kh * apart_h) * width + tap % kw * apart_w + e % k
        to[row] = e
    sums[:] = 0
    listed_at_once = -(-1000 // most) * most  # places whose addresses are listed, of whole bands
    places = min(listed_at_once, block * deep * high * wide)
    steps, known = np.empty(places + _MOST_ROWS, np.intp), (0, 0)
    for image in range(0, n, block):
        images = min(block, n - image)
        if staged:
            _stage(x, image, images, channels, axes, stage)
        base = (0 if staged else image * depth * height * width * channels) - skipped
        total, before = images * deep * high * wide, image * deep * high * wide
        for low in range(0, total, listed_at_once):
            listed = min(listed_at_once, total - low)
            if (low, listed) != known:
                known = (low, listed)
                _list_places(
                    steps, low, listed, deep, high, wide, depth * height * width * channels, sd * height * width,
                    sh * width, sw,
                )  # fmt: skip
                for place in range(listed):
                    steps[place] = _step(steps[place], place)
            for first_place in range(0, listed, most):
                count, start = min(most, listed - first_place), 0
                for group in range(groups):
                    for panel in range(panels.shape[0]):
                        which, first = panels[panel, 0], panels[panel, 1]
                        valid, lanes = panels[panel, 2], panels[panel, 3]
                        at_base = base + group * k + (0 if each is None else first)
                        b, b_base = g, (before + low + first_place) * filters + group * (filters // groups) + first
                        if lanes != filters:  # or else they lie as they should
                            for place in range(count):
                                line, part = g[b_base + place * filters :], weights[place * lanes : (place + 1) * lanes]
                                for c in range(valid):
                                    part[c] = line[c]
                                for c in range(valid, lanes):
                                    part[c] = 0
                            b, b_base = weights, 0
                        _run(
                            which, each, 0, elements, source, at, at_base, b, b_base - first_place * lanes, steps,
                            first_place, first_place + count, sums, to, lanes, start, valid, True,
                        )  # fmt: skip
                        start += elements * lanes
    start = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            first, valid, lanes = panels[panel, 1], panels[panel, 2], panels[panel, 3]
            for e in range(elements):
                row = dw[e * filters + group * (filters // groups) + first :]
                for f in range(valid):
                    row[f] = sums[start + f]
                start += lanes
