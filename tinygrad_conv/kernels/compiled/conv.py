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

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..scratch import result, scratch
from ..window import Window
from .arrays import array, images
from .jit import jit

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad"]

Array: TypeAlias = np.ndarray[Any, Any]

_FEATURES = llvm.get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
# The shapes of tiles, widest first: (vectors, their bytes, rows). What fits the registers, of which AVX2 has half as
# many, and is enough to hide the time that a multiply-add takes. The last is for few channels.
TILES = {
    64: ((4, 64, 6), (2, 64, 12), (1, 64, 12), (1, 32, 12)),
    32: ((2, 32, 6), (2, 32, 6), (1, 32, 12), (1, 16, 12)),
    16: ((4, 16, 6), (2, 16, 12), (2, 16, 12), (1, 16, 12)),
}[VECTOR_BYTES]
BLOCK_BYTES = 1 << 18  # of inputs at a time: they stay in a level-2 cache, beside the weights
PANEL = 1 << 16  # weights at a time, so that they do too
PLACES = 1 << 12  # outputs at a time, whose addresses are listed
BAND_BYTES = 24 << 10  # of cotangents at a time in a kernel gradient

# ------------------------------------------------------------------------------------------------------------------
# The tile


def _make_tile(vectors: int, bytes_: int, rows: int) -> Any:
    names = "row a at a_base b b_base n a_steps b_steps y to scale y_base more".split()

    @intrinsic  # type: ignore[misc, unused-ignore]
    def tile(typing, row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more):
        """y[y_base + to[r] * scale + c] (+)= Σ over i, j, k of a[a_base + at[r] + i, j, k . a_steps] * b[b_base +
        i, j, k . b_steps + c], for the tile's rows r from `row` on and channels c; added to what is there if `more`.
        """
        arguments = (row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more)

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

            def in_all_lanes(x):
                undefined, index = ir.Constant(vector, ir.Undefined), ir.IntType(32)
                first = builder.insert_element(undefined, x, ir.Constant(index, 0))
                return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes), None))

            def dot(steps, place):
                terms = [builder.mul(builder.extract_value(given[steps], k), i) for k, i in enumerate(place)]
                return reduce(builder.add, terms)

            one = context.get_constant(types.intp, 1)
            sources = [memory("a", given["a_base"], offset) for offset in rows_of("at", one)]
            targets = [vectors_at(memory("y", given["y_base"], offset)) for offset in rows_of("to", given["scale"])]
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(rows)]
            pairs = [pair for total, target in zip(sums, targets, strict=True) for pair in zip(total, target)]

            with builder.if_else(given["more"]) as (added, fresh):
                with added:
                    for total, target in pairs:
                        builder.store(builder.load(target, align=size), total)
                with fresh:
                    for total, _ in pairs:
                        builder.store(ir.Constant(vector, None), total)
            counts = [builder.extract_value(given["n"], k) for k in range(3)]
            with (
                cgutils.for_range(builder, counts[0]) as outer,
                cgutils.for_range(builder, counts[1]) as middle,
                cgutils.for_range(builder, counts[2]) as inner,
            ):
                place = (outer.index, middle.index, inner.index)
                here, there = dot("a_steps", place), dot("b_steps", place)
                weights = [builder.load(p, align=size) for p in vectors_at(memory("b", given["b_base"], there))]
                for source, row_sums in zip(sources, sums, strict=True):
                    x = in_all_lanes(builder.load(builder.gep(source, [here])))
                    for total, weight in zip(row_sums, weights, strict=True):
                        builder.store(builder.call(fma, [x, weight, builder.load(total)]), total)
            for total, target in pairs:
                builder.store(builder.load(total), target, align=size)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


_tile0, _tile1, _tile2, _tile3 = (_make_tile(*shape) for shape in TILES)
_R0, _R1, _R2, _R3 = (rows for _, _, rows in TILES)
_MOST_ROWS = 12  # a multiple of each


@jit
def _run(which, first, count, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more):
    """Rows `first` to `first + count` of the tables, in tiles; the tables end with repetitions of the last row."""
    if which == 0:
        for row in range(first, first + count, _R0):
            _tile0(row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more)
    elif which == 1:
        for row in range(first, first + count, _R1):
            _tile1(row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more)
    elif which == 2:
        for row in range(first, first + count, _R2):
            _tile2(row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more)
    else:
        for row in range(first, first + count, _R3):
            _tile3(row, a, at, a_base, b, b_base, n, a_steps, b_steps, y, to, scale, y_base, more)


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
    y = result(out, (len(x), *window.out_sizes, w.shape[-1]), x.dtype)
    to = images(y)
    axes = [
        _Axis(k, s, d, before, o)
        for k, s, d, (before, _), o in zip(*_two_axes(window), to.shape[1:3], strict=True)
    ]
    taps = array(w).reshape(axes[0].taps, axes[1].taps, w.shape[-2], window.groups, -1)
    _correlate(images(x), taps, axes, to)
    return y


def conv_input_grad(g: Array, w: Array, window: Window, *, out: Array | None = None) -> Array:
    groups, per_group = window.groups, w.shape[-2]
    dx = result(out, (len(g), *window.in_sizes, groups * per_group), g.dtype)
    g, to = images(g), images(dx)
    kernel, stride, dilation, pads = _two_axes(window)
    # (kh, kw, F / G, G, C / G), the kernel from its end: then what is read lies upwards.
    back = array(w).reshape(*kernel, per_group, groups, -1).transpose(0, 1, 4, 3, 2)[::-1, ::-1]
    phases = [
        [_phase(k, s, d, before, n, remainder) for remainder in range(s)]
        for k, s, d, (before, _), n in zip(kernel, stride, dilation, pads, to.shape[1:3], strict=True)
    ]
    for (rows, row_taps), (columns, column_taps) in product(*phases):
        if not (rows.taps and columns.taps):
            to[:, rows.first :: rows.step, columns.first :: columns.step] = 0
        elif rows.places and columns.places:
            _correlate(g, back[row_taps, column_taps], [rows, columns], to)
    return dx


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


def _correlate(x: Array, w: Array, axes: Sequence[_Axis], y: Array) -> None:
    """x (N, H, W, groups * K) and w (kh, kw, K, groups, F) to places of y (N, H', W', groups * F)."""
    kh, kw, k, groups, filters = w.shape
    panels = _panels(filters, x.itemsize)
    packed = scratch("packed", (groups * kh * kw * k * int(panels[:, 3].sum()),), x.dtype)
    start, steps = _address(w)
    _pack(start, np.array(w.shape), steps, panels, packed)
    stage, block = _staging(x, axes)
    block = max(1, min(block, PLACES // (axes[0].places * axes[1].places)))
    _correlate_blocks(x, packed, (kh, kw, k), groups, panels, stage, block, *(np.array(a) for a in axes), y)


def _address(w: Array) -> tuple[Array, Array]:
    """A view of contiguous memory as that memory, flat, from the first element on, and the steps along each axis."""
    base = w if w.base is None else w.base
    flat = base.reshape(-1)
    start = (w.ctypes.data - flat.ctypes.data) // w.itemsize
    return flat, np.array([start, *(step // w.itemsize for step in w.strides)])


def _staging(x: Array, axes: Sequence[_Axis]) -> tuple[Array, int]:
    """Memory for a block of images with their padding, none if they need none; and how many images are a block."""
    sizes, staged = x.shape[1:3], not all(map(_Axis.inside, axes, x.shape[1:3]))
    if staged:
        sizes = (axes[0].reach, axes[1].reach)
    block = min(max(1, BLOCK_BYTES // max(1, sizes[0] * sizes[1] * x[0, 0, 0].nbytes)), len(x))
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
                            row = w[source + k * step_k :]
                            for c in range(count):
                                to[k * width + c] = row[c]
                    else:
                        for c in range(count):
                            column = w[source + c * step_c :]
                            for k in range(n):
                                to[k * width + c] = column[k * step_k]
                    for k in range(n if count < width else 0):
                        to[k * width + count : (k + 1) * width] = 0
                    at += n * width


@jit
def _stage(x, stage, top, left):
    """Images with their padding, or the part of them that is read."""
    for image in range(x.shape[0]):
        for r in range(stage.shape[1]):
            to, p = stage[image, r], r - top
            low = min(max(left, 0), to.shape[0])
            high = max(min(to.shape[0], x.shape[2] + left), low)
            if p < 0 or p >= x.shape[1]:
                low, high = 0, 0
            to[:low] = 0
            to[low:high] = x[image, p, low - left : high - left] if high > low else x[image, 0, :0]
            to[high:] = 0


@jit
def _correlate_blocks(x, packed, loops, groups, panels, stage, block, rows, columns, y):
    kh, kw, k = loops
    _, stride_h, dilation_h, top, oh, first_h, step_h = rows
    _, stride_w, dilation_w, left, ow, first_w, step_w = columns
    n, channels, filters = x.shape[0], x.shape[3], y.shape[3]
    staged = stage.shape[0] > 0
    source = stage.reshape(-1) if staged else x.reshape(-1)
    height, width = (stage.shape[1], stage.shape[2]) if staged else (x.shape[1], x.shape[2])
    flat, spare = y.reshape(-1), np.empty(_MOST_ROWS * VECTOR_BYTES, x.dtype)
    narrow = np.arange(_MOST_ROWS)
    at, to = np.empty(block * oh * ow + _MOST_ROWS, np.intp), np.empty(block * oh * ow + _MOST_ROWS, np.intp)
    known = 0  # for how many images `at` and `to` say where places are
    for image in range(0, n, block):
        count = min(block, n - image)
        if staged:
            _stage(x[image : image + count], stage, top, left)
        if count != known:
            known, row = count, 0
            for m in range(count):
                for p in range(oh):
                    for q in range(ow):
                        at[row] = ((m * height + p * stride_h) * width + q * stride_w) * channels
                        to[row] = ((m * y.shape[1] + p * step_h) * y.shape[2] + q * step_w) * filters
                        row += 1
            at[row:], to[row:] = at[row - 1], to[row - 1]
        a_base = 0 if staged else ((image * height - top) * width - left) * channels
        y_base = ((image * y.shape[1] + first_h) * y.shape[2] + first_w) * filters
        start, total = 0, count * oh * ow
        for group in range(groups):
            for panel in range(panels.shape[0]):
                which, first, valid, lanes = panels[panel]
                to_base = y_base + group * (filters // groups) + first
                a_steps = (dilation_h * width * channels, dilation_w * channels, 1)
                b_steps = (kw * k * lanes, k * lanes, lanes)
                if valid == lanes:
                    # As many rows of the kernel at once as leave their weights in the cache.
                    some = max(1, min(kh, PANEL // (kw * k * lanes)))
                    for i in range(0, kh, some):
                        _run(
                            which, 0, total, source, at, a_base + group * k + i * a_steps[0],
                            packed, start + i * b_steps[0], (min(some, kh - i), kw, k), a_steps, b_steps,
                            flat, to, 1, to_base, i > 0,
                        )  # fmt: skip
                else:
                    for row in range(0, total, _MOST_ROWS):
                        _run(
                            which, row, min(_MOST_ROWS, total - row), source, at, a_base + group * k,
                            packed, start, (kh, kw, k), a_steps, b_steps, spare, narrow, lanes, 0, False,
                        )  # fmt: skip
                        for r in range(min(_MOST_ROWS, total - row)):
                            place = to_base + to[row + r]
                            for c in range(valid):
                                flat[place + c] = spare[r * lanes + c]
                start += kh * kw * k * lanes


# ------------------------------------------------------------------------------------------------------------------
# Kernel gradients


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    groups = window.groups
    dw = result(out, (*window.kernel, x.shape[-1] // groups, g.shape[-1]), x.dtype)
    x, g = images(x), images(g)
    axes = [
        _Axis(k, s, d, before, o)
        for k, s, d, (before, _), o in zip(*_two_axes(window), g.shape[1:3], strict=True)
    ]
    taps = dw.reshape(axes[0].taps * axes[1].taps, x.shape[-1] // groups, groups, g.shape[-1] // groups)
    panels = _panels(taps.shape[-1], x.itemsize)
    sums = scratch("packed", (taps[..., 0].size * int(panels[:, 3].sum()),), x.dtype)
    stage, block = _staging(x, axes)
    lanes, places = int(panels[:, 3].max(initial=1)), axes[0].places * axes[1].places
    most = BAND_BYTES // (lanes * x.itemsize)  # places at a time: what is read of g stays in the level-1 cache
    block = max(1, min(block, most // places))
    band = max(1, min(axes[0].places, most // axes[1].places))
    weights = scratch("weights", (block * places * lanes,), x.dtype)
    _kernel_grad(x, g, panels, sums, weights, stage, block, band, *(np.array(a) for a in axes), taps)
    return dw


@jit
def _kernel_grad(x, g, panels, sums, weights, stage, block, band, rows, columns, dw):
    kh, stride_h, dilation_h, top, oh, _, _ = rows
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
    sums[:] = 0
    places = g.reshape(n * oh * ow, groups * filters)
    for image in range(0, n, block):
        count = min(block, n - image)
        if staged:
            _stage(x[image : image + count], stage, top, left)
        base = 0 if staged else ((image * height - top) * width - left) * channels
        for low in range(0, oh, band):
            high = min(low + band, oh)
            start = 0
            for group in range(groups):
                for panel in range(panels.shape[0]):
                    which, first, valid, lanes = panels[panel]
                    here = 0
                    for m in range(image, image + count):
                        for place in range((m * oh + low) * ow, (m * oh + high) * ow):
                            row, part = places[place, group * filters + first :], weights[here : here + lanes]
                            for c in range(valid):
                                part[c] = row[c]
                            for c in range(valid, lanes):
                                part[c] = 0
                            here += lanes
                    _run(
                        which, 0, taps * k, source, at, base + group * k + low * stride_h * width * channels,
                        weights, 0, (count, high - low, ow),
                        (height * width * channels, stride_h * width * channels, stride_w * channels),
                        ((high - low) * ow * lanes, ow * lanes, lanes), sums, to, lanes, start, True,
                    )  # fmt: skip
                    start += taps * k * lanes
    start = 0
    for group in range(groups):
        for panel in range(panels.shape[0]):
            which, first, valid, lanes = panels[panel]
            for i in range(taps):
                for c in range(k):
                    row, part = dw[i, c, group, first:], sums[start : start + lanes]
                    for f in range(valid):
                        row[f] = part[f]
                    start += lanes
