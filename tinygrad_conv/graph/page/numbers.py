"""`numbers`: what a net was given and has learned, in few bytes: with it a page computes what follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..value import Graph
from .letters import BASE, letters

__all__ = ["numbers"]

_MOST = 90_000  # numbers, all together: of a larger net a page tells less
_FINE = 30_000  # of so many each has four letters, 26 bits, of more three, 19.5: LeNet's page stays below 400 kB


def numbers(graph: Graph) -> dict[str, Any]:
    """The numbers of inputs, parameters and constants, as text.

    ``leaves`` has for each its node's place in the graph, how many numbers it holds, and its greatest magnitude m;
    ``packed`` all numbers x, one after the other, as (x / m + 1) (BASE^n - 1) / 2, in n ``letters`` each. Nothing if
    they are too many, or not known.

    >>> import tinygrad_conv as tg
    >>> from tinygrad_conv.graph import snapshot
    >>> numbers(snapshot(lambda x: x * 2.0, 1.0, values=True))
    {'letters': 4, 'leaves': [[0, 1, 1.0], [1, 1, 2.0]], 'packed': '~~~}~~~}'}
    """
    known = [
        (place, node.values.array.astype("float64").ravel()) for place, node in enumerate(graph.nodes)
        if node.kind in ("input", "parameter", "constant") and not node.order and node.values is not None
        and node.values.array.dtype.kind in "fiub" and np.isfinite(node.values.array).all()
    ]  # fmt: skip
    total = sum(x.size for _, x in known)
    if not known or total > _MOST:
        return {}
    n = 4 if total <= _FINE else 3
    peaks = [float(np.abs(x).max(initial=0)) for _, x in known]
    shares = np.concatenate([x / (peak or 1.0) for (_, x), peak in zip(known, peaks, strict=True)])
    codes = np.rint((shares + 1) * ((BASE**n - 1) // 2))
    leaves = [[place, x.size, peak] for (place, x), peak in zip(known, peaks, strict=True)]
    return {"letters": n, "leaves": leaves, "packed": letters(codes, n)}
