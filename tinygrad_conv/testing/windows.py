"""Small convolutions and poolings, and the boundary classes that they fall in."""

from __future__ import annotations

from typing import Any

__all__ = ["conv_config", "pool_config", "window_classes"]

Config = dict[str, Any]
Shape = tuple[int, ...]

# Groups, and input and output channels per group: plain, grouped, depthwise.
GROUPINGS = ((1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2, 1), (2, 1, 2), (3, 1, 1))


def conv_config(draw: Any, rank: int | None) -> Config:
    """A small convolution: see `Draw.conv_config`."""
    groups, channels, filters = draw.choice(GROUPINGS)
    rank = rank or draw.choice((1, 2, 2, 3))
    spread = 3 - rank // 2  # the fewer axes, the larger
    kernel, stride = (tuple(draw.integer(1, spread) for _ in range(rank)) for _ in range(2))
    dilation = tuple(draw.integer(1, 2) for _ in range(rank))
    pads = tuple((draw.integer(0, 2), draw.integer(0, 1)) for _ in range(rank))
    padding = draw.choice(("valid", "same", pads))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [1] * rank if padding == "same" else reach
    if not isinstance(padding, str):
        least = [max(r - sum(pair), 1) for r, pair in zip(reach, pads, strict=True)]
    sizes = tuple(n + draw.integer(0, spread) for n in least)
    config: Config = {
        "n": draw.integer(1, 2), "sizes": sizes, "channels": groups * channels, "filters": groups * filters,
        "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
    }  # fmt: skip
    draw.classes |= window_classes(**config)
    return config


def pool_config(draw: Any, rank: int | None) -> Config:
    """A small pooling: see `Draw.pool_config`."""
    rank = rank or draw.choice((1, 2, 2, 3))
    spread = 3 - rank // 2
    kernel = tuple(draw.integer(1, spread) for _ in range(rank))
    stride = draw.choice((kernel, tuple(draw.integer(1, spread) for _ in range(rank))))
    dilation = tuple(draw.integer(1, 2) for _ in range(rank))
    pads = tuple((draw.integer(0, k // 2), draw.integer(0, k // 2)) for k in kernel)
    sizes = tuple(d * (k - 1) + 1 + draw.integer(0, spread) for k, d in zip(kernel, dilation, strict=True))
    config: Config = {
        "n": draw.integer(1, 2), "sizes": sizes, "channels": draw.integer(1, 2), "kernel": kernel, "stride": stride,
        "padding": draw.choice(("valid", "same", pads)), "dilation": dilation,
    }  # fmt: skip
    draw.classes |= window_classes(**config)
    return config


def window_classes(
    n: int, sizes: Shape, channels: int, kernel: Shape, stride: Shape, padding: Any, dilation: Shape,
    filters: int = 0, groups: int = 1,
) -> set[str]:  # fmt: skip
    """The boundary classes that a convolution or pooling falls in.

    >>> sorted(window_classes(1, (5, 4), 2, (2, 2), (2, 2), "valid", (1, 1)))
    ['H != W', 'batch 1', 'remainder', 'stride > 1']
    """
    axes = list(zip(sizes, kernel, stride, dilation, strict=True))
    reach = [d * (k - 1) + 1 for _, k, _, d in axes]
    pads = [(0, 0)] * len(axes) if isinstance(padding, str) else list(padding)
    if padding == "same":
        totals = [max((-(-h // s) - 1) * s + r - h, 0) for (h, _, s, _), r in zip(axes, reach, strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    room = [h + sum(pair) - r for (h, *_), pair, r in zip(axes, pads, reach, strict=True)]
    strides = [s for _, _, s, _ in axes]
    return {
        name
        for name, holds in {
            "batch 1": n == 1,
            "k = 1": all(k == 1 for k in kernel),
            "k = H": any(k == h for h, k, _, _ in axes),
            "H != W": len(set(sizes)) > 1,
            "remainder": any(left % s for left, s in zip(room, strides, strict=True)),
            "overlap": any(left >= s and s < r for left, s, r in zip(room, strides, reach, strict=True)),
            "stride > 1": any(s > 1 for s in strides),
            "dilation": any(d > 1 and k > 1 for _, k, _, d in axes),
            "padding": any(map(any, pads)),
            "pad >= k": any(max(pair) >= k for pair, (_, k, _, _) in zip(pads, axes, strict=True)),
            "same": padding == "same",
            "same with stride": padding == "same" and any(s > 1 for s in strides),
            "groups": groups > 1,
            "depthwise": 1 < groups == channels,
        }.items()
        if holds
    }
