"""Checks of gradients: drawn samples, numeric derivatives, and the properties that every derivative must have.

The library's own suite is the first user: `check_primitive` runs the whole battery on one drawn sample of a
declaration, `check_gradients` on any function at any point. Both need nothing beyond NumPy; `strategies` draws for
Hypothesis.

=============  =======================================================================================
`checks`       the properties, and the two functions that check them
`adapters`     functions of NumPy, autograd, PyTorch, JAX and MyGrad, to check like our own
`strategies`   shapes, layouts, windows, indices, networks, for Hypothesis
`plugin`       for pytest: ``@property_gradient``, ``--gradcov``, ``--gradmut``
`mutation`     wrong rules, planted to see whether the checks see them
`battery`      ``tinygrad-conv check``: all properties of all primitives
=============  =======================================================================================
"""

from typing import Any

from .adapters import check_vjp, from_autograd, from_jax, from_mygrad, from_numpy, from_torch
from .checks import PROPERTIES, check_gradients, check_primitive
from .draw import Draw
from .report import GradientError, Report

__all__ = [
    "PROPERTIES", "Draw", "GradientError", "Report", "check_gradients", "check_primitive",
    "check_vjp", "from_autograd", "from_jax", "from_mygrad", "from_numpy", "from_torch", "property_gradient",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "property_gradient":  # it needs pytest
        from .plugin import property_gradient

        return property_gradient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
