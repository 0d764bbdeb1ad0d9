"""The library's exceptions. Each message says operation, expectation, what came, and the fix.

All are ``ValueError`` or ``TypeError`` subclasses, so code written for NumPy's habits catches them.

>>> import tinygrad_conv as tg
>>> try:
...     tg.conv2d(tg.Tensor([[1.0]]), tg.Tensor([[1.0]]))
... except tg.errors.ShapeError as error:
...     print("caught:", str(error)[:6])
caught: conv2d
"""

from numpy.linalg import LinAlgError

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "AxisError",
    "CheckError",
    "CompileWarning",
    "DTypeError",
    "DataError",
    "DeclarationError",
    "GraphError",
    "IndexingError",
    "MatrixError",
    "MissingError",
    "MissingExtraError",
    "MutationError",
    "NotDefinedError",
    "ShapeError",
    "SizeError",
    "TinygradConvError",
    "WrittenError",
]


class TinygradConvError(Exception):
    """Base of every error this library raises on purpose."""


class ShapeError(TinygradConvError, ValueError):
    """Shapes do not fit the operation."""


class AxisError(ShapeError, IndexError):
    """An axis that an array does not have."""


class SizeError(ShapeError, MemoryError):
    """A result would take more memory than this machine has; nothing was computed."""


class MatrixError(ShapeError, LinAlgError):
    """A matrix that is singular, or not positive definite, or whose eigenvalues are not found."""


class ArgumentError(TinygradConvError, ValueError):
    """An argument has the right type and a value that the operation cannot use."""


class DTypeError(TinygradConvError, TypeError):
    """A type or dtype that the operation cannot use, such as an integer tensor that requires a gradient."""


class IndexingError(TinygradConvError, IndexError, ValueError):
    """An index is out of range, or of a kind that the operation cannot use."""


class GraphError(TinygradConvError, RuntimeError, ValueError):
    """The graph cannot do what was asked: it was freed, never recorded, or ends in a non-scalar.

    It is a ``RuntimeError`` too, as PyTorch's users expect.
    """


class MutationError(GraphError):
    """A buffer that backward must read was changed after the graph saved it."""


class WrittenError(GraphError, DTypeError):
    """A tensor that a gradient follows would be written into an array, which is no place for a tensor in any case."""


class AnomalyError(GraphError, ArithmeticError):
    """A NaN or an infinity appeared inside ``detect_anomaly()``; names the first operation that made it."""


class DeclarationError(TinygradConvError, TypeError):
    """A primitive's declaration is incomplete or contradicts itself; names the missing part."""


class NotDefinedError(DeclarationError, NotImplementedError):
    """A subclass does not define a method that it must; the message says which."""


class CheckError(TinygradConvError, AssertionError):
    """What a check was asked to make sure of does not hold: a gradient is wrong, or two graphs are not the same."""


class DataError(ArgumentError):
    """A file is missing, truncated, corrupt or not what its name says; or it cannot be written."""


class CompileWarning(UserWarning):
    """A step given to `tg.compile` cannot be replayed and runs as it is; says why, with the line."""


class MissingError(TinygradConvError, AttributeError):
    """Something that is not here: a part of Keras that the front does not have, or a weight before it is made."""


class MissingExtraError(TinygradConvError, ImportError):
    """A feature needs an optional dependency; the message is the one command that installs it."""
