"""tinygrad_conv: an autograd engine from scratch on NumPy, for convolutional networks.

>>> import tinygrad_conv as tg
>>> x = tg.Tensor([[1.0, 0.0, 2.0], [2.0, -1.0, 4.0], [0.0, -5.0, 3.0]], requires_grad=True)
>>> y = tg.relu(x).sum()
>>> y.backward()
>>> x.grad
Tensor([[1., 0., 1.],
        [1., 0., 1.],
        [0., 0., 1.]])

Operations are here (``tg.conv2d``, ``tg.relu``, ...); the rest is in submodules, imported when first used:

==================  ================================================================
``tg.nn``           parameters, modules, layers, initialisers
``tg.optim``        optimisers and schedules
``tg.keras``        the Keras-shaped front: ``Sequential``, ``compile``, ``fit``
``tg.data``         MNIST and batches
``tg.fft``          discrete Fourier transforms
``tg.linalg``       linear algebra under NumPy's names
``tg.graph``        pictures of graphs: ``tg.draw(y).render("graph.svg")``
``tg.distributed``  one run in several processes, over MPI
==================  ================================================================

``tg`` is a namespace of the Array API (2025.12), as ``x.__array_namespace__()`` says. A `device` is accepted for
compatibility: there is one, ``"cpu"``.
"""

from . import starting as _starting  # noqa: F401  # before all that takes time

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, neighbours, ops
from .engine.checkpoint import checkpoint
from .engine.modes import detect_anomaly, enable_grad, is_grad_enabled, no_grad
from .engine.primitive import NONDIFF, Primitive, bilinear, elementwise, linear, opaque, primitives
from .engine.tensor import Tensor
from .engine.tensor import later as _later
from .engine.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .kernels.heap import keep as _keep
from .kernels.wanted import use_kernels
from .ops import *

if TYPE_CHECKING:
    from . import data as data
    from . import distributed as distributed
    from . import fft as fft
    from . import graph as graph
    from . import keras as keras
    from . import linalg as linalg
    from . import nn as nn
    from . import optim as optim
    from . import testing as testing
    from .graph import draw as draw
    from .graph.microscope.microscope import microscope as microscope
    from .plan import compile as compile
    from .profiling import profile as profile
    from .saving import load as load
    from .saving import save as save

__version__ = "0.1.0"

_LAZY = {"array_api", "data", "distributed", "fft", "graph", "keras", "linalg", "nn", "optim", "testing"}
_FUNCTIONS = {
    "compile": "plan", "draw": "graph", "load": "saving", "microscope": "graph.microscope", "profile": "profiling",
    "save": "saving",
}  # fmt: skip

__all__ = [
    "NONDIFF", "Primitive", "Tensor", "bilinear", "checkpoint", "detect_anomaly", "elementwise", "enable_grad",
    "errors", "grad", "hessian", "hvp", "is_grad_enabled", "jacobian", "jvp", "linear", "no_grad", "opaque", "ops",
    "primitives", "use_kernels", "value_and_grad", "vjp", *ops.__all__,
]  # fmt: skip


# Imported when methods of tensors, nodes and layers first ask for them.
_later.update(
    array_function="tinygrad_conv.ops.protocols.array_function",
    array_namespace="tinygrad_conv.array_api.namespace",
    array_ufunc="tinygrad_conv.ops.protocols.array_ufunc",
    as_dense="tinygrad_conv.graph.microscope.dense.as_dense",
    backward_steps="tinygrad_conv.graph.steps.backward_steps",
    graph_from_json="tinygrad_conv.graph.exchange.from_json",
    graph_to_json="tinygrad_conv.graph.exchange.to_json",
    graph_to_networkx="tinygrad_conv.graph.exchange.to_networkx",
    microscope="tinygrad_conv.graph.microscope.microscope",
    shown_history="tinygrad_conv.displays.history",
    shown_module="tinygrad_conv.displays.module",
    shown_plan="tinygrad_conv.displays.plan",
    shown_summary="tinygrad_conv.displays.summary",
    shown_tensor="tinygrad_conv.displays.tensor",
)
neighbours.tell()
_keep()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    array_api = import_module(f"{__name__}.array_api")
    if name in array_api.__all__:  # ``tg`` is a namespace of the Array API
        return getattr(array_api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_LAZY, *import_module(f"{__name__}.array_api").__all__, *_FUNCTIONS})
