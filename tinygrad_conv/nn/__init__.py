"""Parameters, modules, layers and initialisers.

A `Module` is a plain object with parameters among its attributes; a `Layer` is one that also knows its shapes, weights
and cost in advance; a `Sequential` is layers one after another. All take NumPy arrays or tensors, channels last.

>>> import numpy as np
>>> import tinygrad_conv as tg
>>> model = tg.nn.Sequential([
...     tg.nn.Conv2D(8, 3, activation="relu"), tg.nn.MaxPool2D(), tg.nn.Flatten(), tg.nn.Dense(10),
... ], seed=0)
>>> model(np.zeros((2, 28, 28, 1), "float32")).shape
(2, 10)
>>> model
Sequential(  # 13,610 parameters
  (0): Conv2D(8, 3, in_channels=1, activation='relu')  # 80 parameters
  (1): MaxPool2D()
  (2): Flatten()
  (3): Dense(10, in_features=1352)  # 13,530 parameters
)
"""

from . import activations, convolution, core, init, layer, module, normalization, pooling, resizing, sequential
from .convolution import *
from .core import *
from .init import seed
from .layer import *
from .module import *
from .normalization import *
from .pooling import *
from .resizing import *
from .sequential import *
from .summary import Row, rows, summary

__all__ = ["Row", "activations", "init", "rows", "seed", "summary"]
__all__ += convolution.__all__ + core.__all__ + layer.__all__ + module.__all__
__all__ += normalization.__all__ + pooling.__all__ + resizing.__all__ + sequential.__all__
