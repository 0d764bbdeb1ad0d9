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
    """Base of every error this library raises on purpose.

    >>> import tinygrad_conv as tg
    >>> try:
    ...     tg.zeros(3).reshape(2, 2)
    ... except TinygradConvError as error:
    ...     type(error).__name__
    'ShapeError'
    """


class ShapeError(TinygradConvError, ValueError):
    """Shapes do not fit the operation.

    >>> import tinygrad_conv as tg
    >>> tg.add(tg.zeros(2), tg.zeros(3))
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.ShapeError: add: expected shapes that broadcast together, got (2,) and (3,); axis -1 has
    sizes 2 and 3: make them equal, or one of them 1
    """


class AxisError(ShapeError, IndexError):
    """An axis that an array does not have.

    >>> import tinygrad_conv as tg
    >>> tg.sum(tg.zeros((2, 3)), axis=2)
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.AxisError: sum: axis 2 is out of bounds for array of dimension 2 (got x (2, 3) float64)
    """


class SizeError(ShapeError, MemoryError):
    """A result would take more memory than this machine has; nothing was computed.

    >>> import tinygrad_conv as tg
    >>> try:
    ...     tg.zeros((10**6, 10**6, 10**3))
    ... except MemoryError as error:
    ...     print(type(error).__name__, str(error).split(" (")[0])
    SizeError zeros: expected a result that fits into memory four times
    """


class MatrixError(ShapeError, LinAlgError):
    """A matrix that is singular, or not positive definite, or whose eigenvalues are not found.

    >>> import tinygrad_conv as tg
    >>> tg.inv(tg.zeros((2, 2)))
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.MatrixError: inv: Singular matrix (got x (2, 2) float64)
    """


class ArgumentError(TinygradConvError, ValueError):
    """An argument has the right type and a value that the operation cannot use.

    >>> import tinygrad_conv as tg
    >>> tg.optim.SGD([tg.nn.Parameter([1.0])], lr=-0.1)
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.ArgumentError: SGD: expected lr to be a finite number >= 0 or a schedule, got -0.1; use
    lr=0.01
    """


class DTypeError(TinygradConvError, TypeError):
    """A type or dtype that the operation cannot use, such as an integer tensor that requires a gradient.

    >>> import tinygrad_conv as tg
    >>> tg.Tensor([1, 2], requires_grad=True)
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.DTypeError: requires_grad: expected a floating dtype, got int64; write Tensor(data,
    dtype='float32', requires_grad=True)
    """


class IndexingError(TinygradConvError, IndexError, ValueError):
    """An index is out of range, or of a kind that the operation cannot use.

    >>> import tinygrad_conv as tg
    >>> tg.zeros(3)[5]
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.IndexingError: getitem: index 5 is out of bounds for axis 0 with size 3 (got x (3,) float64)
    """


class GraphError(TinygradConvError, RuntimeError, ValueError):
    """The graph cannot do what was asked: it was freed, never recorded, or ends in a non-scalar.

    It is a ``RuntimeError`` too, as PyTorch's users expect.

    >>> import tinygrad_conv as tg
    >>> tg.Tensor([1.0, 2.0], requires_grad=True).backward()
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.GraphError: backward: expected a tensor with one element, got shape (2,); reduce it
    (y.sum().backward()) or pass gradient= of that shape
    """


class MutationError(GraphError):
    """A buffer that backward must read was changed after the graph saved it.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> data = np.ones(2)
    >>> loss = (tg.nn.Parameter([1.0, 2.0]) * data).sum()
    >>> data[0] = 5.0
    >>> try:
    ...     loss.backward()
    ... except MutationError as error:
    ...     print(str(error).split(" after")[0])
    multiply: its saved input 1 (shape (2,)) was changed in place
    """


class WrittenError(GraphError, DTypeError):
    """A tensor that a gradient follows would be written into an array, which is no place for a tensor in any case.

    >>> import tinygrad_conv as tg
    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> try:
    ...     w[0] = 5.0
    ... except WrittenError as error:
    ...     print(str(error).split(". ")[0])
    x[index] = value: expected a tensor whose gradient is not wanted, got a leaf
    """


class AnomalyError(GraphError, ArithmeticError):
    """A NaN or an infinity appeared inside ``detect_anomaly()``; names the first operation that made it.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> try:
    ...     with tg.detect_anomaly(), np.errstate(invalid="ignore"):
    ...         tg.sqrt(tg.Tensor([4.0, -1.0], requires_grad=True))
    ... except AnomalyError as error:
    ...     print(str(error).split(" (")[0])
    sqrt: the result has 1 NaN of 2
    """


class DeclarationError(TinygradConvError, TypeError):
    """A primitive's declaration is incomplete or contradicts itself; names the missing part.

    >>> import tinygrad_conv as tg
    >>> @tg.elementwise()
    ... def cube(x):
    ...     return x**3
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.DeclarationError: @elementwise cube: a derivative for each input is missing
    """


class NotDefinedError(DeclarationError, NotImplementedError):
    """A subclass does not define a method that it must; the message says which.

    >>> import tinygrad_conv as tg
    >>> tg.nn.Module()(1.0)
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.NotDefinedError: Module: define forward(self, x)
    """


class CheckError(TinygradConvError, AssertionError):
    """What a check was asked to make sure of does not hold: a gradient is wrong, or two graphs are not the same.

    >>> import tinygrad_conv as tg
    >>> @tg.elementwise(lambda x: 2 * x * x)
    ... def cubed(x):
    ...     return x**3
    >>> try:
    ...     tg.testing.check_gradients(cubed, tg.ones(2))
    ... except AssertionError as error:
    ...     print(type(error).__name__, str(error).splitlines()[0])
    GradientError cubed: JVP is not the numeric derivative [jvp_vs_numeric]
    """


class DataError(ArgumentError):
    """A file is missing, truncated, corrupt or not what its name says; or it cannot be written.

    >>> import tinygrad_conv as tg
    >>> tg.data.mnist(full=True, data_dir="no/such/folder")
    Traceback (most recent call last):
        ...
    tinygrad_conv.errors.DataError: mnist: expected a folder with the IDX files, got 'no/such/folder', which is no
    folder
    """


class CompileWarning(UserWarning):
    """A step given to `tg.compile` cannot be replayed and runs as it is; says why, with the line.

    >>> import warnings
    >>> import tinygrad_conv as tg
    >>> step = tg.compile(lambda x: x.sum().item())
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     total = step(tg.ones(2))
    >>> caught[0].category.__name__, step.reasons[0].split(" at ")[0]
    ('CompileWarning', 'item() reads the values of a tensor')
    """


class MissingError(TinygradConvError, AttributeError):
    """Something that is not here: a part of Keras that the front does not have, or a weight before it is made.

    >>> from tinygrad_conv import keras
    >>> try:
    ...     keras.layers.Dens
    ... except AttributeError as error:
    ...     print(type(error).__name__, str(error).split(";")[0])
    MissingError keras.layers has no 'Dens': use Dense
    """


class MissingExtraError(TinygradConvError, ImportError):
    """A feature needs an optional dependency; the message is the one command that installs it.

    >>> try:
    ...     raise MissingExtraError("plots need matplotlib: pip install 'tinygrad-conv[plots]'")
    ... except ImportError as error:
    ...     print(error)
    plots need matplotlib: pip install 'tinygrad-conv[plots]'
    """
