"""The microscope's page: a window slides over the input; patch, kernel, products and sum stand beside each other."""

from __future__ import annotations

from base64 import b64encode
from math import isfinite, prod
from typing import Any

import numpy as np

from ...engine.tensor import ndarray
from ..page.template import fill
from .cells import gather, spread
from .scope import Scope

__all__ = ["page"]

_JS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NUMBERS = 200_000  # of the output and of the kernel, about; of the rest of the channels the page says so


def page(scope: Scope, n: int = 0, z: int = 0) -> str:
    """The page of one example of the batch, and of one depth of its output if that has three axes, as text."""
    deep = len(scope.shape) == 5
    data = _dense(scope, n) if scope.window is None else _windowed(scope, n, z)
    at = (n, z) if deep else (n,)
    y = scope.y[at]
    most = max(1, _NUMBERS // max(1, prod(y.shape[:-1]) + prod(data["kernel"]) * data["per_group"]))
    shown = min(y.shape[-1], most)
    images = y.reshape(*data["out"], -1)
    data |= {
        "kind": scope.kind, "label": scope.label, "dtype": str(scope.y.dtype), "channels": y.shape[-1], "shown": shown,
        "y": _numbers(images[..., :shown]), "added": _added(scope, at, shown), "levels": _levels(scope, n, z),
        "g": None if scope.gradient is None else _numbers(
            scope.back(scope.gradient)[at].reshape(images.shape)[..., :shown]
        ),
        "then": ", then ".join(stage.node.shown for stage in scope.after if stage.axes is None),
    }  # fmt: skip
    title = f"{scope.label}: {scope.x.shape[1:]} to {scope.shape[1:]}"
    return fill(__package__, "slides", title + (f", at depth {z} of the output" if deep else ""), _summary(scope), data)


def _summary(scope: Scope) -> str:
    window = scope.window
    if window is None:
        return f"each output is a sum over all {scope.x.shape[1]:,} inputs"
    facts = [("kernel", window.kernel), ("stride", window.stride), ("dilation", window.dilation)]
    pads = [f"{before}+{after}" if before != after else str(before) for before, after in window.pads]
    groups = [f"groups {window.groups}"] * (window.groups > 1)
    return ", ".join([*(f"{name} {'×'.join(map(str, v))}" for name, v in facts), f"padding {'×'.join(pads)}", *groups])


def _windowed(scope: Scope, n: int, z: int) -> dict[str, Any]:
    """Two spatial axes, whatever there are; the numbers of x and w."""
    window = scope.window
    transposed = scope.kind == "conv_transpose"
    sizes = {
        "kernel": window.kernel, "stride": window.stride, "dilation": window.dilation,
        "in": window.out_sizes if transposed else window.in_sizes,
        "out": window.in_sizes if transposed else window.out_sizes,
    }  # fmt: skip
    data: dict[str, Any] = {name: [1, *value][-2:] for name, value in sizes.items()}
    data["pads"] = [[0, 0], *map(list, window.pads)][-2:]
    data["groups"], data["size"] = window.groups, prod(window.kernel)
    x, w, per_group = scope.x[n], scope.w, 1
    if w is not None:
        # Always (*kernel, C / groups, C_out): a transposed convolution's own layout has the two the other way round.
        per_group = w.shape[-1] // window.groups if transposed else w.shape[-2]
    if len(window.kernel) == 3:
        data["z"] = z
        x, w, data["depth"] = _at_depth(scope, x, z, per_group)
        per_group *= len(data["depth"])
    data["x"], data["in_channels"], data["per_group"] = _numbers(x), x.shape[-1], per_group
    if w is not None:
        data["w"], data["w_channels"] = _numbers(w), list(w.shape[-2:])
    if scope.kind == "avg_pool":
        data["count_include_pad"] = scope.lens.count_include_pad
    return data


def _at_depth(
    scope: Scope, x: ndarray[Any, Any], z: int, per_group: int
) -> tuple[ndarray[Any, Any], ndarray[Any, Any] | None, list[tuple[int, int]]]:
    """Three axes as two: what one depth of the output reads, with the slices it reads as channels of each group.

    Returns x (H, W, groups * slices * C), w (kh, kw, slices * C, C_out) or likewise transposed, and for each slice its
    offset in the kernel and its depth in x; padding is left out.
    """
    window = scope.window
    along = spread if scope.kind == "conv_transpose" else gather
    axes = (window.kernel, window.stride, window.dilation, window.pads, window.in_sizes, window.out_sizes)
    found = along(z, *(axis[0] for axis in axes))
    slices = [(i, position) for i, position in found if position is not None]
    offsets, depths = [i for i, _ in slices], [position for _, position in slices]
    h, wide, c = x.shape[1:]
    x = np.moveaxis(x[depths].reshape(len(slices), h, wide, c // per_group, per_group), 0, 3)
    w = scope.w
    if w is not None and scope.kind == "conv_transpose":
        kernel = w[offsets].reshape(len(slices), *w.shape[1:-1], window.groups, per_group)
        w = np.moveaxis(kernel, 0, -2).reshape(*w.shape[1:-1], -1)
    elif w is not None:
        w = np.moveaxis(w[offsets], 0, 2).reshape(*w.shape[1:3], -1, w.shape[-1])
    return x.reshape(h, wide, -1), w, slices


def _dense(scope: Scope, n: int) -> dict[str, Any]:
    """A convolution whose kernel covers all there is: the vector is folded into rows, to have room."""
    assert scope.w is not None
    size, units = scope.w.shape
    width = next(k for k in range(min(size, 32), 0, -1) if size % k == 0)
    width = size if width < 4 else width
    sizes = [size // width, width]
    return {
        "kernel": sizes, "in": sizes, "out": [1, 1], "stride": [1, 1], "dilation": [1, 1], "pads": [[0, 0], [0, 0]],
        "groups": 1, "per_group": 1, "in_channels": 1, "x": _numbers(scope.x[n]), "w": _numbers(scope.w),
        "w_channels": [1, units],
    }  # fmt: skip


def _added(scope: Scope, at: tuple[int, ...], shown: int) -> list[Any] | None:
    """What was added to the sums: a number per channel, or per output."""
    total = None
    for stage in scope.before:
        if stage.added is not None:
            part = scope.back(stage.added)[at]
            total = part if total is None else total + part
    if total is None:
        return None
    flat = total.reshape(-1, total.shape[-1])[:, :shown]
    return _numbers(flat[0] if (flat == flat[0]).all() else flat)


def _levels(scope: Scope, n: int, z: int) -> list[dict[str, Any]]:
    """The arrays that the receptive field lies in, as grey images, from the first to the one that is read here.

    Of three spatial axes, the slice in the middle of the field is shown.
    """
    levels = []
    for field in scope.fields():
        known = scope.watch.inputs.get(field.node, ())
        array = next((a for a in (field.node.saved[field.position], *known[field.position :]) if a is not None), None)
        if array is None:
            continue
        image, name, spans = np.asarray(array)[n].mean(-1), field.name, field.spans[1:-1]
        if image.ndim == 3:
            first, last = spans[0].at(z, len(image)) if spans[0] else (0, len(image) - 1)
            name += f", depths {first} to {last}, shown: {(first + last) // 2}"
            image, spans = image[(first + last) // 2], spans[1:]
        image = image[None] if image.ndim == 1 else image
        if max(image.shape) > 512:
            continue
        pairs = [None if span is None else list(span) for span in spans]
        levels.append({
            "name": name, "shape": str(np.shape(array)[1:]), "h": image.shape[0], "w": image.shape[1],
            "codes": _grey(image), "spans": [[0, 0, 0], *pairs][-2:],
        })  # fmt: skip
    return levels[::-1]


def _grey(image: ndarray[Any, Any]) -> str:
    finite = np.nan_to_num(image.astype("float64"), posinf=0, neginf=0)
    low, high = float(finite.min()), float(finite.max())
    codes = np.zeros(image.shape) if low == high else (finite - low) / (high - low)
    return b64encode(np.rint(codes * 255).astype("uint8").tobytes()).decode()


def _numbers(array: ndarray[Any, Any]) -> list[Any]:
    """Flat, each number in its shortest form; the page turns them into the same bits again. Not finite ones as text."""
    flat = np.ravel(array)
    if flat.dtype.kind != "f":
        return [float(v) for v in flat.tolist()]
    short = [float(str(v)) for v in flat] if flat.dtype.itemsize < 8 else flat.tolist()
    return [int(v) if abs(v) < 1e15 and v == int(v) else v if isfinite(v) else _JS[str(v)] for v in short]
