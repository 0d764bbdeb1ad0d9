"""Every operation, by family. Primitives are declared one block each; the rest is composed of them.

=================  ==========================================================
`creation`         zeros, ones, ranges
`elementwise`      arithmetic, functions of one number, comparisons
`reductions`       sums, extremes, moments along axes
`indexing`         picking elements and putting them back
`shape`            moving elements
`linalg`           products of matrices and of arrays
`activations`      relu and its relatives, softmax
`convolution`      conv in 1, 2 and 3 dimensions, and its transposes
`pooling`          max and average pooling
`losses`           what training minimises
`normalization`    batch, layer, group and instance norm; dropout; embedding
=================  ==========================================================
"""

from types import ModuleType

from .. import autodiff, tensor
from . import (
    activations,
    convolution,
    creation,
    elementwise,
    indexing,
    leaving,
    linalg,
    losses,
    normalization,
    pooling,
    protocols,
    reductions,
    shape,
)
from .activations import *
from .convolution import *
from .creation import *
from .elementwise import *
from .indexing import *
from .linalg import *
from .losses import *
from .normalization import *
from .pooling import *
from .reductions import *
from .shape import *

FAMILIES: tuple[ModuleType, ...] = (
    creation, elementwise, reductions, indexing, shape, linalg, activations, convolution, pooling, losses,
    normalization,
)  # fmt: skip

__all__: list[str] = []
__all__ += activations.__all__
__all__ += convolution.__all__
__all__ += creation.__all__
__all__ += elementwise.__all__
__all__ += indexing.__all__
__all__ += linalg.__all__
__all__ += losses.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += reductions.__all__
__all__ += shape.__all__

# Operators and methods of `Tensor`, and the engine, look operations up by name.
vars(tensor.ops).update(
    {name: globals()[name] for name in __all__}, backward=autodiff.backward, array_ufunc=protocols.array_ufunc,
    array_function=protocols.array_function, refuse_array=leaving.refuse_array, refuse_number=leaving.refuse_number,
)  # fmt: skip

# A binary operator *is* its operation, which saves a call for each.
for _operator, _name in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "pow", "matmul": "matmul",
}.items():  # fmt: skip
    setattr(tensor.Tensor, f"__{_operator}__", globals()[_name])
