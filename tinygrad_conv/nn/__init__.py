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

from . import activations, init
from .convolution import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv2D,
    LocallyConnected2D,
    SeparableConv2D,
)
from .core import Activation, Dense, Dropout, Embedding, Flatten, Reshape
from .init import seed
from .layer import Layer, Weight
from .module import Buffer, Module, Parameter
from .normalization import BatchNorm, GroupNorm, LayerNorm
from .pooling import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from .sequential import Sequential
from .summary import Row, rows, summary

__all__ = [
    "Activation", "AvgPool1D", "AvgPool2D", "AvgPool3D", "BatchNorm", "Buffer", "Conv1D", "Conv1DTranspose", "Conv2D",
    "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "Dense", "DepthwiseConv2D", "Dropout", "Embedding", "Flatten",
    "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D",
    "GroupNorm", "Layer", "LayerNorm", "LocallyConnected2D", "MaxPool1D", "MaxPool2D", "MaxPool3D", "Module",
    "Parameter", "Reshape", "Row", "SeparableConv2D", "Sequential", "Weight", "activations", "init", "rows", "seed",
    "summary",
]  # fmt: skip
