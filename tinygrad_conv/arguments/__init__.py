"""What calls may be given: kinds of arguments, and the decorator that holds a function to those of its annotations.

>>> @checked
... def mix(low: float, share: Probability = 0.5) -> float:
...     return low * share
>>> mix(4.0, share=2)
Traceback (most recent call last):
tinygrad_conv.errors.ArgumentError: mix: expected share to be a number in [0, 1], got 2; use share=0.5

=========  ================================================================================
`arrays`   what comes in as an array of a subclass is a plain one from here on
`kinds`    the vocabulary: what a value may be, how code reads it, and the form of a refusal
`calls`    `checked`, which looks at the arguments of each call
`seeds`    where random numbers come from
`memory`   results that cannot fit into memory are refused before any work
=========  ================================================================================
"""

from .arrays import array_from, as_array, bare_array, is_not_bare
from .calls import (
    OF_NUMPY,
    Checked,
    Setting,
    called,
    checked,
    explained,
    held,
    kinds_of,
    stands,
    unchecked,
)
from .kinds import (
    LATER,
    Axes,
    Count,
    Device,
    DType,
    Finite,
    FloatDType,
    Fraction,
    Kind,
    NewShape,
    NonNegative,
    Path,
    Positive,
    Probability,
    ShapeLike,
    Size,
    Sizes,
    SomeAxes,
    check,
    described,
    functions,
    instances,
    integers,
    items_of,
    kind_of,
    names_of,
    nearest,
    numbers,
    one_of,
    several,
)
from .memory import afford
from .seeds import Seed, SeedNumber, drawn_from

__all__ = [
    "LATER", "OF_NUMPY", "Axes", "Checked", "Count", "DType", "Device", "Finite", "FloatDType", "Fraction",
    "Kind", "NewShape", "NonNegative", "Path", "Positive", "Probability", "Seed", "SeedNumber", "Setting",
    "ShapeLike", "Size", "Sizes", "SomeAxes", "afford", "array_from", "as_array", "bare_array", "called", "check",
    "checked", "described", "drawn_from", "explained", "functions", "held", "instances", "integers", "is_not_bare",
    "items_of", "kind_of", "kinds_of", "names_of", "nearest", "numbers", "one_of", "several", "stands",
    "unchecked",
]  # fmt: skip
