"""``x[index] = value``: from then on x stands for what `set_at` gives, where nobody could tell the difference.

That is where nobody else sees the memory: no array, no other tensor, no graph but that of x itself. Everywhere else it
is refused, for what others see would stay as it was. So code that is written for the Array API, and assigns to arrays
that it has just made, runs on tensors, with a gradient; it matters what the tensor is, not who asks.
"""

from __future__ import annotations

from typing import Any

from ..engine.guards import unshared
from ..engine.tensor import Tensor
from ..errors import DTypeError, WrittenError
from .indexing import set_at

__all__ = ["set_item"]

_HELP = (
    "Tensors are values. Write y = tg.set_at(x, index, value), y = tg.add_at(x, index, value) or "
    "y = tg.where(mask, value, x), or assign to a copy of it"
)


def set_item(tensor: Tensor, index: Any, value: Any) -> None:
    """What ``tensor[index] = value`` does. It costs as much as a copy.

    Raises WrittenError (a GraphError) for a leaf whose gradient is wanted, DTypeError where others see the memory.
    """
    node, kept = tensor.node, 0
    if node is not None:
        if tensor.is_leaf:
            raise WrittenError(f"x[index] = value: expected a tensor whose gradient is not wanted, got a leaf. {_HELP}")
        kept = sum(saved is tensor._array for saved in node.saved)  # for the rule of the operation that made it
    if unshared(tensor, kept) is None:
        raise DTypeError(
            "x[index] = value: expected a tensor whose numbers nobody else sees, got one whose memory an array, a "
            f"view or a graph shares. {_HELP}"
        )
    y = set_at(tensor, index, value)
    tensor._array, tensor.node, tensor._no_graph = y._array, y.node, y._no_graph
