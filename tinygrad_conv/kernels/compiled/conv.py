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

from functools import partial
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np

from .. import winograd
from ..scratch import result, scratch
from ..wanted import exact
from ..window import Window
from .arrays import array, per_window
from .jit import jit
from .measured import class_of, share
from .places import Axis, axes_of, list_places, phase, seven, stage_images, twelve
from .tiles import MOST_ROWS, TILES, one_step, panels_of, run
from .weights import map_of, pack, packing
from .winograd import correlate, kernel_gradient

__all__ = ["conv", "conv_input_grad", "conv_kernel_grad"]

Array: TypeAlias = np.ndarray[Any, Any]

BLOCK_BYTES = 1 << 18  # of inputs at a time: they stay in a level-2 cache, beside the weights
PANEL = 1 << 16  # weights at a time, so that they do too
PLACES = 60 * 68  # outputs at a time, whose addresses are listed; of whole tiles
BAND_BYTES = 24 << 10  # of cotangents at a time in a kernel gradient: they stay in the level-1 cache

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


def tile(n: int, channels: int, filters: int, window: Window) -> int:
    """`winograd.tile`, with what was measured on this machine."""
    if channels < winograd.FEWEST[2] or filters < winograd.FEWEST[2]:  # of a small net, which should not wait
        return 0
    return _tile(window, n, channels, filters, exact())


@per_window
def _tile(window: Window, n: int, channels: int, filters: int, exact: bool) -> int:
    return 0 if exact else winograd.tile(n, channels, filters, window, _measured)


def _measured(channels: int, filters: int) -> float | None:
    c_in, c_out = class_of(channels), class_of(filters)
    window = Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (24, 24), (24, 24))

    def run(size: int) -> None:
        x, w = np.ones((4, 24, 24, c_in), np.float32), np.ones((3, 3, c_in, c_out), np.float32)
        y = np.empty((4, 24, 24, c_out), np.float32)
        if size:
            correlate(size, False, x, w, window, y)
        else:
            _correlate_directly(window, False, x, w, y, False)

    found = share(c_in, c_out, (partial(run, 0), partial(run, 4)))
    return (
        None if found is None else found * winograd.expected(4, channels, filters) / winograd.expected(4, c_in, c_out)
    )


def _correlate(window: Window, back: bool, x: Array, w: Array, y: Array, depthwise: bool) -> None:
    forward = window.transposed if back else window
    size = tile(len(x), x.shape[-1], y.shape[-1], forward) if forward is not None else 0
    if not size or forward is None:
        return _correlate_directly(window, back, x, w, y, depthwise)
    left = correlate(size, back, x, w, forward, y)
    if left.any():
        some = y[left]
        _correlate_directly(window, back, x[left], w, some, depthwise)
        y[left] = some
    return None


def _correlate_directly(window: Window, back: bool, x: Array, w: Array, y: Array, depthwise: bool) -> None:
    x, w, y = array(x), array(w).reshape(-1), y.reshape(-1)
    works = _correlations(window, back, depthwise, len(x), x.shape[-1], w.size, x.itemsize)
    each, flat = 1 if depthwise else None, x.reshape(-1)
    for weights, sizes, axes, parts, taps, ends, panels, room, staged in works:
        packed, stage = scratch("packed", (room,), x.dtype), scratch("stage", (staged,), x.dtype)
        pack(w, *weights, packed)
        _correlate_blocks(each, flat, packed, sizes, axes, parts, taps, ends, panels, stage, y)


@per_window
def _correlations(
    window: Window, back: bool, depthwise: bool, n: int, channels: int, elements: int, itemsize: int
) -> list[tuple[Any, ...]]:
    """The correlations that make up one: all that the compiled functions must be told of each."""
    axes, groups = axes_of(window), 1 if depthwise else window.groups
    kernel = [axis.taps for axis in axes]
    k_in = 1 if depthwise else (elements * groups // (prod(kernel) * channels) if back else channels) // groups
    memory = map_of((*kernel, k_in, groups, elements // (prod(kernel) * k_in * groups)))
    phases: Any = [[(axis, slice(None))] for axis in axes]
    taps = memory
    if back:  # the kernel from its end: then what is read lies upwards
        phases = [[phase(axis, remainder) for remainder in range(axis.stride)] for axis in axes]
        taps = memory[::-1, ::-1, ::-1]
        taps = taps if depthwise else taps.transpose(0, 1, 2, 5, 4, 3)
    return [
        _correlation([axis for axis, _ in phase], taps[*(part for _, part in phase)], memory, n, channels, itemsize)
        for phase in product(*phases)
        if all(axis.places for axis, _ in phase)
    ]


def _correlation(axes: list[Axis], taps: Array, memory: Array, n: int, channels: int, itemsize: int) -> tuple[Any, ...]:
    *kernel, k, groups, filters = taps.shape
    panels = panels_of(filters, itemsize)
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
    room = groups * prod(kernel) * k * int(panels[:, 3].sum())
    table = np.array([(*axis, axis.reach) for axis in axes], np.intp)
    first = one_step.py_func(_taps(axes, channels, staged), np.arange(prod(kernel)).reshape(kernel) * k)
    steps = [first[d0:d1, h0:h1, w0:w1].reshape(-1) for (_, _, d0, d1), (_, _, h0, h1), (_, _, w0, w1) in parts]
    ends = k * np.cumsum([0, *map(len, steps)])
    return (
        packing(taps, memory, panels), sizes, table, np.array(parts, np.intp).reshape(-1, 12), np.concatenate(steps),
        ends, panels, room, elements,
    )  # fmt: skip


def _taps(axes: list[Axis], channels: int, staged: bool) -> Array:
    """Where the inputs of a window lie, from its first: (kd, kh, kw)."""
    apart = [channels * prod(axis.reach if staged else axis.size for axis in axes[at + 1 :]) for at in range(3)]
    each = (np.arange(axis.taps) * axis.dilation * step for axis, step in zip(axes, apart, strict=True))
    return np.asarray(sum(np.ix_(*each)), np.intp)


def _images_at_once(axes: list[Axis], n: int, bytes_each: int, places: int, staged: bool) -> int:
    """How many images are a block."""
    sizes = prod(axis.reach if staged else axis.size for axis in axes)
    return max(1, min(n, BLOCK_BYTES // max(1, sizes * bytes_each), PLACES // places))


@jit
def _correlate_blocks(each, x, packed, sizes, axes, parts, taps, ends, panels, stage, y):
    n, block, channels, k, groups, filters, most = seven(sizes)
    kd, kh, kw = axes[0, 0], axes[1, 0], axes[2, 0]
    sd, sh, sw = axes[0, 1] * channels, axes[1, 1] * channels, axes[2, 1] * channels
    staged = len(stage) > 0
    source, column = (stage, 9) if staged else (x, 5)
    depth, height, width = axes[0, column], axes[1, column], axes[2, column]
    front, top, left = (0, 0, 0) if staged else (axes[0, 3], axes[1, 3], axes[2, 3])
    to_depth, to_height, to_width = axes[0, 6], axes[1, 6], axes[2, 6]
    step_d, step_h, step_w = axes[0, 8] * filters, axes[1, 8] * filters, axes[2, 8] * filters
    y_first = ((axes[0, 7] * to_height + axes[1, 7]) * to_width + axes[2, 7]) * filters

    # The steps of each part: the taps that read no padding, and their channels.
    steps = np.empty(len(taps) * k, np.intp)
    for tap in range(len(taps)):
        for c in range(k):
            steps[tap * k + c] = taps[tap] + one_step(c, c)

    # Where places are: listed once for a block of images, or as often as needed for parts of large images.
    room = min(most, block * axes[0, 4] * axes[1, 4] * axes[2, 4]) + len(parts) * MOST_ROWS
    at, to, known = np.empty(room, np.intp), np.empty(room, np.intp), 0
    for image in range(0, n, block):
        images = min(block, n - image)
        if staged:
            stage_images(x, image, images, channels, axes, stage)
        row, whole = 0, images * axes[0, 4] * axes[1, 4] * axes[2, 4] <= most
        for part in range(len(parts)):
            z, deep, _, _, p, high, _, _, q, wide, _, _ = twelve(parts[part])
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
            first_step, last_step = ends[part], ends[part + 1]
            places = images * deep * high * wide
            for low in range(0, places, most):
                count = min(most, places - low)
                if not whole or images != known:
                    list_places(
                        at[row:], low, count, deep, high, wide, depth * height * width * channels, sd * height * width,
                        sh * width, sw,
                    )  # fmt: skip
                    list_places(
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
                            run(
                                which, each, row, count, source, at, at_base, packed, start, steps, step, end,
                                y, to, 1, to_base, valid, step > first_step,
                            )  # fmt: skip
                            step = end
                            if step == last_step:
                                break
                        start += kd * kh * kw * k * lanes
                if whole:
                    row += count + MOST_ROWS
        known = images


# ------------------------------------------------------------------------------------------------------------------
# Kernel gradients


def conv_kernel_grad(x: Array, g: Array, window: Window, *, out: Array | None = None) -> Array:
    """`kernels.conv.conv_kernel_grad`, compiled."""
    dw = result(out, (*window.kernel, x.shape[-1] // window.groups, g.shape[-1]), x.dtype)
    size = tile(len(x), x.shape[-1], g.shape[-1], window)
    if size and kernel_gradient(size, x, g, window, dw):
        return dw
    depthwise = _is_depthwise(x.shape[-1], window)
    x = array(_repeated(x, g.shape[-1]) if depthwise else x)
    sizes, axes, at, to, panels, elements, most, staged = _kernel_gradient(
        window, depthwise, len(x), x.shape[-1], g.shape[-1], x.itemsize
    )
    sums, weights = scratch("packed", (elements,), x.dtype), scratch("weights", (most,), x.dtype)
    stage, each = scratch("stage", (staged,), x.dtype), 1 if depthwise else None
    x, g, flat = x.reshape(-1), array(g).reshape(-1), dw.reshape(-1)
    _kernel_grad(each, x, g, sizes, axes, at, to, panels, sums, weights, stage, flat)
    return dw


@per_window
def _kernel_gradient(
    window: Window, depthwise: bool, n: int, channels: int, c_out: int, itemsize: int
) -> tuple[Any, ...]:
    """What the compiled function must be told."""
    axes, groups = axes_of(window), 1 if depthwise else window.groups
    k = 1 if depthwise else channels // groups
    panels = panels_of(c_out // groups, itemsize)
    staged = any(axis.before > 0 or axis.reach - axis.before > axis.size for axis in axes)
    block = _images_at_once(axes, n, channels * itemsize, prod(axis.places for axis in axes), staged)
    most = max(1, BAND_BYTES // (int(panels[:, 3].max()) * itemsize))  # places at a time
    sizes = np.array((n, block, channels, k, groups, c_out, most), np.intp)
    elements = groups * prod(axis.taps for axis in axes) * k * int(panels[:, 3].sum())
    weights = most * int(panels[:, 3].max())
    table = np.array([(*axis, axis.reach) for axis in axes], np.intp)
    at = (_taps(axes, channels, staged).reshape(-1, 1) + np.arange(k)).reshape(-1)
    to = np.minimum(np.arange(len(at) + MOST_ROWS), len(at) - 1)  # the last again and again, with the same result
    stage = block * prod(axis.reach for axis in axes) * channels * staged
    return sizes, table, at[to], to, panels, elements, weights, stage


@jit
def _kernel_grad(each, x, g, sizes, axes, at, to, panels, sums, weights, stage, dw):
    n, block, channels, k, groups, filters, most = seven(sizes)
    kd, kh, kw = axes[0, 0], axes[1, 0], axes[2, 0]
    sd, sh, sw = axes[0, 1] * channels, axes[1, 1] * channels, axes[2, 1] * channels
    deep, high, wide = axes[0, 4], axes[1, 4], axes[2, 4]
    staged = len(stage) > 0
    source, column = (stage, 9) if staged else (x, 5)
    depth, height, width = axes[0, column], axes[1, column], axes[2, column]
    skipped = 0 if staged else ((axes[0, 3] * height + axes[1, 3]) * width + axes[2, 3]) * channels
    elements = kd * kh * kw * k
    sums[:] = 0
    listed_at_once = -(-1000 // most) * most  # places whose addresses are listed, of whole bands
    places = min(listed_at_once, block * deep * high * wide)
    steps, known = np.empty(places + MOST_ROWS, np.intp), (0, 0)
    for image in range(0, n, block):
        images = min(block, n - image)
        if staged:
            stage_images(x, image, images, channels, axes, stage)
        base = (0 if staged else image * depth * height * width * channels) - skipped
        total, before = images * deep * high * wide, image * deep * high * wide
        for low in range(0, total, listed_at_once):
            listed = min(listed_at_once, total - low)
            if (low, listed) != known:
                known = (low, listed)
                list_places(
                    steps, low, listed, deep, high, wide, depth * height * width * channels, sd * height * width,
                    sh * width, sw,
                )  # fmt: skip
                for place in range(listed):
                    steps[place] = one_step(steps[place], place)
            for first_place in range(0, listed, most):
                count, start = min(most, listed - first_place), 0
                for group in range(groups):
                    for panel in range(panels.shape[0]):
                        which, first = panels[panel, 0], panels[panel, 1]
                        valid, lanes = panels[panel, 2], panels[panel, 3]
                        at_base = base + group * k + (0 if each is None else first)
                        b, b_base = g, (before + low + first_place) * filters + group * (filters // groups) + first
                        if not valid == lanes == filters:  # or else they lie as they should
                            for place in range(count):
                                line, part = g[b_base + place * filters :], weights[place * lanes : (place + 1) * lanes]
                                for c in range(valid):
                                    part[c] = line[c]
                                for c in range(valid, lanes):
                                    part[c] = 0
                            b, b_base = weights, 0
                        run(
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
