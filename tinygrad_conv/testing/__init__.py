"""Checks of gradients: drawn samples, numeric derivatives, and the properties that every derivative must have.

The library's own suite is the first user: `check_primitive` runs the whole battery on one drawn sample of a
declaration, `check_gradients` on any function at any point. Both need nothing beyond NumPy; `strategies` draws for
Hypothesis.

From below, each file asking only those above it in this list:

==========================  ==========================================================================
`numeric`                   numeric derivatives that know their error
`boundary`, `windows`       boundary classes, and samples that meet them all; small convolutions
`draw`, `samples`           drawn arrays; what a primitive is called with
`report`                    `GradientError`, and what it says
`adapting`                  a function of another library as an operation, and what it cannot do
`case`                      a function at a point, and what is known of it; `prepare` makes one of a call
`finding`, `patterns`       where a gradient is wrong, and which mistake looks like that
`explain`                   from a failed check to a report
`kinks`, `coverage`         the published rules at ties; what was checked
`properties`                what every derivative must have
`replay`                    the smallest example that fails, as a test
`checks`                    `check_gradients` and `check_primitive`
`pytorch`, `adapters`       what each library is to `adapting`
`strategies`                drawing for Hypothesis
`mistakes`, `mutation`      wrong rules, planted to see whether the checks see them
`shrinking`, `budget`       an end for the search for smaller examples; time that tests share
`battery`, `users`          ``tinygrad-conv check``: the library's primitives, and a user's own function
`plugin`                    ``@property_gradient``, ``--gradcov``, ``--gradmut``, ``--gradbudget``
==========================  ==========================================================================
"""

from typing import Any

from .adapters import check_vjp, from_autograd, from_jax, from_keras, from_mygrad, from_numpy, from_torch
from .checks import PROPERTIES, check_gradients, check_primitive
from .draw import Draw
from .report import GradientError, Report

__all__ = [
    "PROPERTIES", "Draw", "GradientError", "Report", "check_gradients", "check_primitive", "check_vjp", "from_autograd",
    "from_jax", "from_keras", "from_mygrad", "from_numpy", "from_torch", "property_gradient",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "property_gradient":  # it needs pytest
        from .plugin import property_gradient

        return property_gradient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
