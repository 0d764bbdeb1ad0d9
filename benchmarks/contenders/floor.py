"""What no NumPy program can be faster than, more or less: the products alone, and one pass over what must move."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import networks as spec
from ..cases import DEPTH, links
from ..networks import NETWORKS

BLOCK = 1 << 18  # numbers: rows are multiplied so many at a time, as windows can be, and stay in the cache


def network(case: str, form: str) -> Any:
    """The step's matrix products, and a copy for each layer that is none, forward and backward."""
    products = [_products(*product, first=not number) for number, product in enumerate(spec.products(NETWORKS[case]))]
    passes = [_pass(size) for size in spec.passes(NETWORKS[case])]

    def step() -> None:
        for part in products + passes:
            part()

    return step


def _products(n: int, k: int, m: int, first: bool) -> Any:
    block = min(n, max(1, BLOCK // k))
    rows, w, y = np.ones((block, k), np.float32), np.ones((k, m), np.float32), np.ones((n, m), np.float32)

    def part() -> None:
        for start in range(0, n, block):
            piece = y[start : start + block]
            np.matmul(rows[: len(piece)], w, piece)  # forward
            rows[: len(piece)].T @ piece  # the weights' gradient
            if not first:
                piece @ w.T  # the rows' gradient

    return part


def _pass(size: int) -> Any:
    source, target = np.ones(size, np.float32), np.ones(size, np.float32)
    return lambda: np.copyto(target, source)


def chain(case: str, form: str) -> Any:
    """The chain's forward NumPy calls alone."""
    x, w = links()

    def step() -> None:
        y = x
        for _ in range(DEPTH):
            y = np.tanh(y * np.float32(1.0001) + w) - w

    return step
