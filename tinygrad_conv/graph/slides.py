"""The microscope's page: a window slides over the input; patch, kernel, products and sum stand beside each other."""

from __future__ import annotations

from base64 import b64encode
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tensor import ndarray
from .page import fill

if TYPE_CHECKING:
    from .microscope import Microscope

__all__ = ["page"]

_JS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NUMBERS = 200_000  # of the output and of the kernel, about; of the rest of the channels the page says so


def page(scope: Microscope, n: int = 0) -> str:
    """The page of one example of the batch, as text."""
    data = _dense(scope, n) if scope.window is None else _windowed(scope, n)
    y = scope.y[n]
    most = max(1, _NUMBERS // max(1, prod(y.shape[:-1]) + prod(data["kernel"]) * data["per_group"]))
    shown = min(y.shape[-1], most)
    images = y.reshape(*data["out"], -1)
    data |= {
        "kind": scope.kind, "label": scope.label, "dtype": str(scope.y.dtype), "channels": y.shape[-1], "shown": shown,
        "y": _numbers(images[..., :shown]), "added": _added(scope, n, shown), "levels": _levels(scope, n),
        "g": None if scope.gradient is None else _numbers(
            scope._back(scope.gradient)[n].reshape(images.shape)[..., :shown]
        ),
        "then": ", then ".join(stage.node.label for stage in scope._after if stage.axes is None),
    }  # fmt: skip
    title = f"{scope.label}: {scope.x.shape[1:]} to {scope.shape[1:]}"
    return fill("slides", title, _summary(data), data)


def _summary(data: dict[str, Any]) -> str:
    if data["kind"] == "dense":
        return f"each output is a sum over all {prod(data['in']):,} inputs"
    facts = [("kernel", data["kernel"]), ("stride", data["stride"]), ("dilation", data["dilation"])]
    pads = [f"{before}+{after}" if before != after else str(before) for before, after in data["pads"]]
    groups = [f"groups {data['groups']}"] * (data["groups"] > 1)
    return ", ".join([*(f"{name} {'×'.join(map(str, v))}" for name, v in facts), f"padding {'×'.join(pads)}", *groups])


def _windowed(scope: Microscope, n: int) -> dict[str, Any]:
    """Two spatial axes, whatever there are; the numbers of x and w."""
    window = scope.window
    one = len(window.kernel) == 1
    transposed = scope.kind == "conv_transpose"
    sizes = {
        "kernel": window.kernel, "stride": window.stride, "dilation": window.dilation,
        "in": window.out_sizes if transposed else window.in_sizes,
        "out": window.in_sizes if transposed else window.out_sizes,
    }  # fmt: skip
    data: dict[str, Any] = {name: [1, *value] if one else list(value) for name, value in sizes.items()}
    data["pads"] = [[0, 0], *map(list, window.pads)] if one else [list(pair) for pair in window.pads]
    data["x"] = _numbers(scope.x[n])
    data["in_channels"] = scope.x.shape[-1]
    data["groups"] = window.groups
    data["per_group"] = 1
    if scope.w is not None:
        # Always (*kernel, C / groups, C_out): a transposed convolution's own layout has the two the other way round.
        data["w"], data["w_channels"] = _numbers(scope.w), list(scope.w.shape[-2:])
        data["per_group"] = scope.w.shape[-1] // window.groups if transposed else scope.w.shape[-2]
    if scope.kind == "avg_pool":
        data["count_include_pad"] = scope._lens.count_include_pad
    return data


def _dense(scope: Microscope, n: int) -> dict[str, Any]:
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


def _added(scope: Microscope, n: int, shown: int) -> list[Any] | None:
    """What was added to the sums: a number per channel, or per output."""
    total = None
    for stage in scope._before:
        if stage.added is not None:
            part = scope._back(stage.added)[n]
            total = part if total is None else total + part
    if total is None:
        return None
    flat = total.reshape(-1, total.shape[-1])[:, :shown]
    return _numbers(flat[0] if (flat == flat[0]).all() else flat)


def _levels(scope: Microscope, n: int) -> list[dict[str, Any]]:
    """The arrays that the receptive field lies in, as grey images, from the first to the one that is read here."""
    levels = []
    for field in scope._fields():
        known = scope._watch.inputs.get(field.node, ())
        array = next((a for a in (field.node.saved[field.position], *known[field.position :]) if a is not None), None)
        if array is None:
            continue
        image = np.asarray(array)[n].mean(-1)
        image = image[None] if image.ndim == 1 else image
        spans = [None if span is None else list(span) for span in field.spans[1:-1]]
        if max(image.shape) > 512 or image.ndim > 2:
            continue
        levels.append({
            "name": field.name, "shape": str(np.shape(array)[1:]), "h": image.shape[0], "w": image.shape[1],
            "codes": _grey(image), "spans": [[0, 0, 0], *spans] if len(spans) == 1 else spans,
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
