"""From what users write to a `Window`: sizes, padding and groups, settled before any work is done.

Whatever does not fit raises here, and the message says what was expected, what came, and a call that works.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from math import gcd, prod
from typing import Any

from ..arguments import afford
from ..errors import ArgumentError, ShapeError
from .spatial import (
    DataFormat,
    IntOrInts,
    Padding,
    axis_names,
    brief,
    brief_pads,
    channels_first,
    ints_of,
    nearest_divisor,
    padding_of,
)  # fmt: skip
from .window import Pads, Sizes, Window, out_size, same_pads

__all__ = ["bias_fits", "conv_window", "depthwise_window", "local_window", "pool_window", "transpose_window"]

# ------------------------------------------------------------------------------------------------------------------
# Convolutions


def conv_window(
    what: str, rank: int, x_shape: Sizes, w_shape: Sizes,
    stride: IntOrInts, padding: Padding, dilation: IntOrInts, groups: int, data_format: DataFormat,
) -> Window:  # fmt: skip
    """The window of a convolution of x (N, *sizes, C) with w (*kernel, C / groups, C_out)."""
    return _conv_window(
        what, tuple(x_shape), tuple(w_shape), ints_of(what, "stride", stride, rank), padding_of(what, padding, rank),
        ints_of(what, "dilation", dilation, rank), groups, channels_first(data_format),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _conv_window(
    what: str, x_shape: Sizes, w_shape: Sizes,
    stride: Sizes, padding: str | Pads, dilation: Sizes, groups: int, first: bool,
) -> Window:  # fmt: skip
    rank = len(stride)
    given = f"(x {x_shape}, w {w_shape})"
    _check_kernel_axes(what, rank, w_shape, "C_in/groups, C_out", given)
    kernel, per_group, c_out = w_shape[:rank], w_shape[-2], w_shape[-1]
    expected = per_group * groups

    def again(x_shape: Sizes, first: bool = first) -> Window:
        return _conv_window(what, x_shape, w_shape, stride, padding, dilation, groups, first)

    sizes, channels = _image(what, x_shape, rank, first, given, again)
    if channels != expected:
        fixes = []
        if per_group and channels and channels % per_group == 0 and c_out % (channels // per_group) == 0:
            fixes.append(f"groups={channels // per_group}")
        fits = nearest_divisor(groups, gcd(channels, c_out))
        fixes.append(_with_groups(groups, fits, f"w of shape {(*kernel, channels // fits, c_out)}"))
        if x_shape[-1 if first else 1] == expected and _works(again, x_shape, not first):
            fixes.append(f'data_format="{"channels_last" if first else "channels_first"}"')
        raise ShapeError(
            f"{what}: expected x.shape[{1 if first else rank + 1}] == w.shape[{rank}] * groups, "
            f"got {channels} and {per_group} * {groups} {given}: use {', or '.join(fixes)}"
        )
    if c_out % groups:
        raise ShapeError(
            f"{what}: expected groups to divide C_out = w.shape[{rank + 1}], got groups={groups} and {c_out} {given}: "
            f"use w of shape {(*kernel, per_group, -(-c_out // groups) * groups)}"
        )
    window = _fit(what, "kernel", sizes, kernel, stride, padding, dilation, groups, given)
    _affordable(what, x_shape[0], window.out_sizes, c_out)
    return window


def depthwise_window(
    what: str, x_shape: Sizes, w_shape: Sizes,
    stride: IntOrInts, padding: Padding, dilation: IntOrInts, data_format: DataFormat, w: str = "w",
) -> Window:  # fmt: skip
    """The window of a depthwise convolution of x (N, H, W, C) with (kh, kw, C, multiplier); messages call that `w`."""
    return _depthwise_window(
        what, tuple(x_shape), tuple(w_shape), ints_of(what, "stride", stride, 2), padding_of(what, padding, 2),
        ints_of(what, "dilation", dilation, 2), channels_first(data_format), w,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _depthwise_window(
    what: str, x_shape: Sizes, w_shape: Sizes, stride: Sizes, padding: str | Pads, dilation: Sizes, first: bool, w: str
) -> Window:
    given = f"(x {x_shape}, {w} {w_shape})"
    _check_kernel_axes(what, 2, w_shape, "C, multiplier", given, w)
    sizes, channels = _image(
        what, x_shape, 2, first, given,
        lambda shape: _depthwise_window(what, shape, w_shape, stride, padding, dilation, first, w),
    )  # fmt: skip
    if channels != w_shape[2]:
        raise ShapeError(
            f"{what}: expected x.shape[{1 if first else 3}] == {w}.shape[2], got {channels} and {w_shape[2]} {given}: "
            f"use {w} of shape {(*w_shape[:2], channels, w_shape[3])}"
        )
    window = _fit(what, "kernel", sizes, w_shape[:2], stride, padding, dilation, channels, given)
    _affordable(what, x_shape[0], window.out_sizes, channels * w_shape[3])
    return window


def local_window(
    what: str, x_shape: Sizes, w_shape: Sizes, kernel_size: IntOrInts,
    stride: IntOrInts, padding: Padding, dilation: IntOrInts, data_format: DataFormat,
) -> Window:  # fmt: skip
    """The window of a convolution without weight sharing; w is (oh, ow, kh * kw * C, filters)."""
    given = f"(x {x_shape}, w {w_shape})"
    sizes, channels = _image(
        what, x_shape, 2, channels_first(data_format), given,
        lambda shape: local_window(what, shape, w_shape, kernel_size, stride, padding, dilation, data_format),
    )  # fmt: skip
    filters = w_shape[-1] if w_shape else 1

    def w_of(window: Window) -> Sizes:
        return *window.out_sizes, prod(window.kernel) * channels, filters

    window = _fit(
        what, "kernel_size", sizes, ints_of(what, "kernel_size", kernel_size, 2), ints_of(what, "stride", stride, 2),
        padding_of(what, padding, 2), ints_of(what, "dilation", dilation, 2), 1, given,
        lambda window: f" with w of shape {w_of(window)}",
    )  # fmt: skip
    kh, kw = window.kernel
    expected = w_of(window)
    if w_shape != expected:
        raise ShapeError(
            f"{what}: expected w of shape (oh, ow, kh * kw * C, filters) with oh = {expected[0]}, ow = {expected[1]} "
            f"and kh * kw * C = {kh} * {kw} * {channels} = {expected[2]}, got {w_shape} {given}: "
            f"use w of shape {expected}"
        )
    return window


def bias_fits(what: str, b_shape: Sizes, c_out: int) -> None:
    """Raise unless a bias has one element per output channel."""
    if b_shape != (c_out,):
        raise ShapeError(f"{what}: expected b of shape (C_out,) = ({c_out},), got {b_shape}: use b of shape ({c_out},)")


# ------------------------------------------------------------------------------------------------------------------
# Transposed convolutions


def transpose_window(
    what: str, rank: int, x_shape: Sizes, w_shape: Sizes, stride: IntOrInts, padding: Padding,
    output_padding: IntOrInts | None, dilation: IntOrInts, groups: int, data_format: DataFormat,
) -> tuple[Window, Sizes]:  # fmt: skip
    """The window of the convolution of which a transposed convolution is the input gradient, and zeros beyond it.

    Its `in_sizes`, with so many zeros at the end of each axis, are the sizes that the transposed convolution puts out.
    There are zeros only with an output_padding of at least the stride. Sizes follow Keras' ``Conv2DTranspose``.
    """
    extra = None if output_padding is None else ints_of(what, "output_padding", output_padding, rank, least=0)
    return _transpose_window(
        what, tuple(x_shape), tuple(w_shape), ints_of(what, "stride", stride, rank), padding_of(what, padding, rank),
        extra, ints_of(what, "dilation", dilation, rank), groups,
        channels_first(data_format),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _transpose_window(
    what: str, x_shape: Sizes, w_shape: Sizes, stride: Sizes, padding: str | Pads,
    output_padding: Sizes | None, dilation: Sizes, groups: int, first: bool,
) -> tuple[Window, Sizes]:  # fmt: skip
    rank = len(stride)
    given = f"(x {x_shape}, w {w_shape})"
    _check_kernel_axes(what, rank, w_shape, "C_out/groups, C_in", given)
    kernel, per_group, expected = w_shape[:rank], w_shape[-2], w_shape[-1]
    sizes, channels = _image(
        what, x_shape, rank, first, given,
        lambda shape: _transpose_window(
            what, shape, w_shape, stride, padding, output_padding, dilation, groups, first
        ),
    )  # fmt: skip
    if channels != expected:
        swapped = channels == per_group  # most often, the kernel of a plain convolution
        fix = f"w of shape {(*kernel, expected if swapped else per_group, channels)}"
        raise ShapeError(
            f"{what}: expected x.shape[{1 if first else rank + 1}] == w.shape[{rank + 1}] (its kernels are "
            f"{', '.join(axis_names(rank).kernel)}, C_out/groups, C_in), got {channels} and {expected} {given}: "
            f"use {_with_groups(groups, nearest_divisor(groups, channels), fix)}"
        )
    if expected % groups:
        raise ShapeError(
            f"{what}: expected groups to divide C_in = {expected}, got groups={groups} {given}: "
            f"use groups={nearest_divisor(groups, expected)}"
        )
    most = tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))
    if output_padding is not None and any(map(operator.gt, output_padding, most)):
        least = tuple(map(min, output_padding, most))
        raise ArgumentError(
            f"{what}: expected output_padding below stride or dilation, got {brief(output_padding)}, "
            f"{brief(stride)} and {brief(dilation)}: use output_padding={brief(least)}"
        )
    _check_kernel(what, "kernel", kernel, given)
    paddings = (padding,) * rank if isinstance(padding, str) else padding
    resolved = [
        _uncropped(n, k, s, d, extra, p)
        for n, k, s, d, extra, p in zip(
            sizes, kernel, stride, dilation, output_padding or (None,) * rank, paddings, strict=True
        )
    ]
    outs, pads = tuple(out for out, _ in resolved), tuple(pair for _, pair in resolved)
    if min(outs) < 1:
        _nothing_left(what, sizes, kernel, stride, dilation, output_padding, pads, outs, given)
    beyond = [0] * rank
    for axis, (n, s, d, k) in enumerate(zip(sizes, stride, dilation, kernel, strict=True)):
        (before, after), out = pads[axis], outs[axis]
        if out_size(out, k, s, d, before, after) > n:  # a convolution would find windows beyond the n-th
            room = n * s + d * (k - 1) - before  # places, padding at the end included, with which it does not
            pads = (*pads[:axis], (before, min(after, max(room - out, 0))), *pads[axis + 1 :])
            beyond[axis] = max(out - room, 0)
            outs = (*outs[:axis], out - beyond[axis], *outs[axis + 1 :])
    _affordable(what, x_shape[0], outs, per_group * groups)
    return Window(kernel, stride, dilation, pads, outs, sizes, groups), tuple(beyond)


def _uncropped(
    n: int, k: int, s: int, d: int, extra: int | None, padding: str | tuple[int, int]
) -> tuple[int, tuple[int, int]]:
    """The size that a transposed convolution makes of n, and the padding of the convolution back to n."""
    reach = d * (k - 1) + 1
    if padding == "same":
        out = n * s if extra is None else (n - 1) * s + reach % 2 + extra
        return out, same_pads(out, n, k, s, d)
    if padding == "valid":
        return (n - 1) * s + (max(reach, s) if extra is None else reach + extra), (0, 0)
    before, after = int(padding[0]), int(padding[1])
    return (n - 1) * s + reach - before - after + (extra or 0), (before, after)


def _nothing_left(
    what: str, sizes: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes, output_padding: Sizes | None, pads: Pads,
    outs: Sizes, given: str,
) -> None:  # fmt: skip
    rank = len(sizes)
    names, extras = axis_names(rank), output_padding or (0,) * rank
    full = [out + sum(pair) for out, pair in zip(outs, pads, strict=True)]
    fixed = tuple(pair if out > 0 else ((size - 1) // 2,) * 2 for pair, out, size in zip(pads, outs, full, strict=True))
    axis = next(k for k, out in enumerate(outs) if out < 1)
    n, k, s, d, extra = sizes[axis], kernel[axis], stride[axis], dilation[axis], extras[axis]
    before, after = pads[axis]
    raise ShapeError(
        f"{what}: nothing is left after cropping: {names.out[axis]} = ({names.axes[axis]} - 1) * stride + dilation * "
        f"({names.kernel[axis]} - 1) + 1 - ({names.ends[axis]}) + output_padding = ({n} - 1) * {s} + {d} * ({k} - 1) "
        f"+ 1 - ({before} + {after}) + {extra} = {outs[axis]} {given}; use padding={brief_pads(fixed)}"
    )


# ------------------------------------------------------------------------------------------------------------------
# Pooling


def pool_window(
    what: str, rank: int, x_shape: Sizes, pool_size: IntOrInts, stride: IntOrInts | None,
    padding: Padding, dilation: IntOrInts, data_format: DataFormat, ceil_mode: bool = False,
) -> Window:  # fmt: skip
    """The window of a pooling over x (N, *sizes, C); the stride is the pool size when None.

    With `ceil_mode`, elements left over at the end get a window of their own, and more padding to fill it.
    """
    kernel = ints_of(what, "pool_size", pool_size, rank)
    steps = kernel if stride is None else ints_of(what, "stride", stride, rank)
    pads, apart = padding_of(what, padding, rank), ints_of(what, "dilation", dilation, rank)
    first = channels_first(data_format)
    if ceil_mode and pads != "same" and len(x_shape) == rank + 2:
        given = ((0, 0),) * rank if isinstance(pads, str) else pads
        sizes = x_shape[2:] if first else x_shape[1:-1]
        pads = tuple(map(_up_to_the_end, sizes, kernel, steps, apart, given))
    return _pool_window(what, tuple(x_shape), kernel, steps, pads, apart, first)


def _up_to_the_end(n: int, k: int, s: int, d: int, pair: tuple[int, int]) -> tuple[int, int]:
    """Padding along an axis with so much behind that windows reach its end, if the last one begins before that."""
    before, after = pair
    reach = d * (k - 1) + 1
    beyond = -(n + before + after - reach) % s
    starts = n + before + after + beyond - reach  # where the last window would begin, padding counted
    return before, after + (beyond if starts < n + before else 0)


@lru_cache(maxsize=1024)
def _pool_window(
    what: str, x_shape: Sizes, kernel: Sizes, stride: Sizes, padding: str | Pads, dilation: Sizes, first: bool
) -> Window:
    rank = len(kernel)
    given = f"(x {x_shape}, pool_size {kernel})"
    sizes, channels = _image(
        what, x_shape, rank, first, given,
        lambda shape: _pool_window(what, shape, kernel, stride, padding, dilation, first),
    )  # fmt: skip
    window = _fit(
        what, "pool_size", sizes, kernel, stride, padding, dilation, 1, given,
        lambda window: "" if _has_no_empty_window(window) else None,
    )  # fmt: skip
    for axis in range(rank):
        empty = _window_in_padding(window, axis)
        if empty is not None:
            n, (before, after) = window.in_sizes[axis], window.pads[axis]
            raise ShapeError(
                f"{what}: window {empty} along {axis_names(rank).axes[axis]} lies entirely in padding and has nothing "
                f"to pool: {kernel[axis]} elements, {dilation[axis]} apart, over {before} + {n} + {after} {given}; "
                f"use {_milder(window)}"
            )
    _affordable(what, x_shape[0], window.out_sizes, channels)
    return window


def _has_no_empty_window(window: Window) -> bool:
    return all(_window_in_padding(window, axis) is None for axis in range(window.rank))


def _window_in_padding(window: Window, axis: int) -> int | None:
    """The first output along an axis all of whose elements are padding, without a look at each of many."""
    k, s, d = window.kernel[axis], window.stride[axis], window.dilation[axis]
    n, before, out = window.in_sizes[axis], window.pads[axis][0], window.out_sizes[axis]
    for o in range(min(out, before // s + 1)):  # it begins in the padding: some element must fall on the image
        start = o * s - before
        if start % d >= n or start + (k - 1) * d < 0:
            return o
        if d <= n:  # no later one can step over the image, and each ends further right
            break
    first = -(-(before + n) // s)  # that begins behind the image
    return first if first < out else None


_FEW = 100  # paddings that are tried for a suggestion


def _milder(window: Window) -> str:
    """Less padding, then less dilation, until no window is empty."""
    for dilation in (window.dilation, (1,) * window.rank):
        reach = max(d * (k - 1) for k, d in zip(window.kernel, dilation, strict=True))
        tried = min(max(map(max, window.pads)), reach)  # with more, the first window is empty
        for most in (*range(tried, max(tried - _FEW, 0), -1), 0):
            pads = tuple((min(before, most), min(after, most)) for before, after in window.pads)
            milder = _sized(window.in_sizes, window.kernel, window.stride, dilation, pads)
            if min(milder.out_sizes) > 0 and _has_no_empty_window(milder):
                changes = [f"padding={brief_pads(pads)}"] if pads != window.pads else []
                changes += [f"dilation={brief(dilation)}"] if dilation != window.dilation else []
                return ", ".join(changes)
    return 'pool_size=1, padding="valid"'


# ------------------------------------------------------------------------------------------------------------------
# Fitting


def _image(
    what: str, x_shape: Sizes, rank: int, first: bool, given: str, build: Callable[[Sizes], Any]
) -> tuple[Sizes, int]:
    """The spatial sizes and the channels of a batch of images; `build` tries what a message might suggest."""
    if len(x_shape) != rank + 2:
        axes = ["N", *axis_names(rank).axes]
        axes.insert(1 if first else len(axes), "C")
        fixes = []
        if len(x_shape) == rank + 1:
            if _works(build, (1, *x_shape)):
                fixes.append("x[None] for a batch of one")
            if _works(build, (x_shape[0], 1, *x_shape[1:]) if first else (*x_shape, 1)):
                fixes.append("x[:, None] for one channel" if first else "x[..., None] for one channel")
        fix = f": use {', or '.join(fixes)}" if fixes else ""
        raise ShapeError(f"{what}: expected x of {rank + 2} axes ({', '.join(axes)}), got {len(x_shape)} {given}{fix}")
    sizes = x_shape[2:] if first else x_shape[1:-1]
    if 0 in sizes:
        raise ShapeError(
            f"{what}: expected at least 1 element along {', '.join(axis_names(rank).axes)}, got {sizes} {given}"
        )
    return sizes, x_shape[1] if first else x_shape[-1]


def _affordable(what: str, n: int | None, sizes: Sizes, channels: int | None) -> None:
    """Raise SizeError for outputs that do not fit into memory; of a layer that knows its batch, that is."""
    if n is not None and channels is not None:
        afford(what, (n, *sizes, channels), 4)


def _works(build: Callable[..., Any], *arguments: Any) -> bool:
    try:
        build(*arguments)
    except ShapeError:
        return False
    return True


def _check_kernel_axes(what: str, rank: int, w_shape: Sizes, channels: str, given: str, w: str = "w") -> None:
    if len(w_shape) != rank + 2:
        axes = f"{', '.join(axis_names(rank).kernel)}, {channels}"
        raise ShapeError(f"{what}: expected {w} of {rank + 2} axes ({axes}), got {len(w_shape)} {given}")


def _check_kernel(what: str, name: str, kernel: Sizes, given: str) -> None:
    if 0 in kernel:
        fixed = tuple(max(1, k) for k in kernel)
        raise ShapeError(f"{what}: expected a {name} of at least 1 on each axis, got {kernel} {given}: use {fixed}")


def _sized(sizes: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes, pads: Pads, groups: int = 1) -> Window:
    outs = tuple(
        out_size(n, k, s, d, *pair) for n, k, s, d, pair in zip(sizes, kernel, stride, dilation, pads, strict=True)
    )
    return Window(kernel, stride, dilation, pads, sizes, outs, groups)


def _fit(
    what: str, name: str, sizes: Sizes, kernel: Sizes, stride: Sizes, padding: str | Pads, dilation: Sizes,
    groups: int, given: str, remark: Callable[[Window], str | None] = lambda window: "",
) -> Window:  # fmt: skip
    """Resolve the padding, and count the windows along each axis.

    `remark` is asked about the window of each fix to suggest: what else it takes, or None if it is no fix after all.
    """
    _check_kernel(what, name, kernel, given)
    if padding == "same":
        pads = tuple(
            same_pads(n, -(-n // s), k, s, d) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
        )
    else:
        pads = ((0, 0),) * len(sizes) if isinstance(padding, str) else padding
    window = _sized(sizes, kernel, stride, dilation, pads, groups)
    if min(window.out_sizes) < 1:
        _does_not_fit(what, name, window, given, remark)
    return window


def _does_not_fit(what: str, name: str, window: Window, given: str, remark: Callable[[Window], str | None]) -> None:
    sizes, kernel, stride, dilation, pads = (
        window.in_sizes, window.kernel, window.stride, window.dilation, window.pads,
    )  # fmt: skip
    smaller = tuple(
        min(k, (size - 1) // d + 1) for k, size, d in zip(kernel, window.padded_sizes, dilation, strict=True)
    )
    wider = tuple(max(*pair, -((n - reach) // 2)) for n, reach, pair in zip(sizes, window.reach, pads, strict=True))
    candidates = {
        f"a {name} of at most {brief(smaller)}": _sized(sizes, smaller, stride, dilation, pads),
        f"padding={brief(wider)}": _sized(sizes, kernel, stride, dilation, tuple((p, p) for p in wider)),
    }
    remarks = {fix: remark(fixed) for fix, fixed in candidates.items()}
    fixes = [f"{fix}{more}" for fix, more in remarks.items() if more is not None]
    fixes = fixes or [f'a {name} of at most 1 with padding="valid"']
    axis = next(k for k, out in enumerate(window.out_sizes) if out < 1)
    names = axis_names(window.rank)
    n, k, s, d, (before, after) = sizes[axis], kernel[axis], stride[axis], dilation[axis], pads[axis]
    raise ShapeError(
        f"{what}: the kernel does not fit: {names.out[axis]} = ({names.axes[axis]} + {names.ends[axis]} - dilation * "
        f"({names.kernel[axis]} - 1) - 1) // stride + 1 = ({n} + {before} + {after} - {d} * ({k} - 1) - 1) // {s} + 1 "
        f"= {window.out_sizes[axis]} {given}; use {', or '.join(fixes)}"
    )


def _with_groups(given: int, fits: int, fix: str) -> str:
    return fix if fits == given else f"groups={fits} with {fix}"
