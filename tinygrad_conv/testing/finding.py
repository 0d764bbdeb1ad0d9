"""`Finding`: where an analytic gradient and the true one disagree, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["RULE", "Finding"]

Array = np.ndarray[Any, Any]
RULE = "the published rule"  # in place of a numeric method


@dataclass(frozen=True)
class Finding:
    """The gradient by one argument, analytic and numeric, and where they disagree.

    ``analytic`` and ``numeric`` are the gradients of <cotangent, f>, flat, at the flat positions ``elements`` of
    argument ``k``; ``jacobian`` is ``(elements, outputs)``, with the outputs' flat positions in ``outputs``.
    """

    k: int
    shape: tuple[int, ...]
    elements: Array
    analytic: Array
    numeric: Array
    error: Array
    wrong: Array
    outputs: Array
    jacobian: Array
    method: str

    @property
    def worst(self) -> int:
        """The position in `elements` of the largest error."""
        gap = np.abs(self.analytic - self.numeric)
        return int(np.argmax(np.where(self.wrong, np.where(np.isnan(gap), np.inf, gap), -1.0)))

    @property
    def complete(self) -> bool:
        """Was every element of the argument looked at?"""
        return len(self.elements) == int(np.prod(self.shape))
