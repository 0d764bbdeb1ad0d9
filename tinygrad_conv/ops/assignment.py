"""``x[index] = value``: refused to users, for tensors are values; recorded in code that is written for the Array API.

There the tensor becomes what `set_at` gives. That is what an assignment does, as long as nobody else sees the memory:
``array_api_extra.at`` promises nothing of the array but what it returns; for SciPy and scikit-learn, which assign to
arrays that they have just made, it is looked at.
"""

from __future__ import annotations

import sys
from typing import Any

from ..engine.guards import unshared
from ..engine.tensor import Tensor
from ..errors import DTypeError, GraphError
from .indexing import set_at

__all__ = ["set_item"]

_HELP = (
    "tensors are values: assignment in place is not recorded. Write y = tg.set_at(x, index, value), "
    "y = tg.add_at(x, index, value) or y = tg.where(mask, value, x) instead"
)
_PORTABLE = {"scipy", "sklearn"}  # packages


def set_item(tensor: Tensor, index: Any, value: Any) -> None:
    """What ``tensor[index] = value`` does.

    Raises DTypeError; for those that may, GraphError for a leaf that is followed.
    """
    packages = sys._getframe(1).f_globals.get("__name__", "").split(".")
    if "array_api_extra" not in packages and (packages[0] not in _PORTABLE or unshared(tensor) is None):
        raise DTypeError(_HELP)
    if tensor.node is not None and tensor.is_leaf:
        raise GraphError(
            "x[index] = value: this tensor's gradient is wanted, so its values stay; assign to a copy of it"
        )
    y = set_at(tensor, index, value)
    tensor._array, tensor.node = y._array, y.node
