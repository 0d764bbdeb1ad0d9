"""`keras.initializers`: the functions of `nn.init` under Keras' names."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from typing import Any, TypeAlias

import numpy as np

from ..arguments import Checked, Count, Finite, FloatDType, NonNegative, afford, checked
from ..errors import ArgumentError, DTypeError, NotDefinedError
from ..nn import init
from .absent import instead, missing
from .spelling import strict

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer", "Ones", "RandomNormal",
    "RandomUniform", "Zeros", "get",
]  # fmt: skip

WeightShape: TypeAlias = Count | tuple[Count, ...]


class Initializer(Checked):
    """Base of the initialisers. To make one, define ``__call__(self, shape, dtype=None)``, which gives an array.

    >>> import numpy as np
    >>> import tinygrad_conv as tg
    >>> class Diagonal(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.eye(*shape, dtype=dtype)
    >>> layer = tg.keras.layers.Dense(2, kernel_initializer=Diagonal())
    >>> layer(np.array([[3.0, 4.0]])).tolist()
    [[3.0, 4.0]]
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        raise NotDefinedError(f"{type(self).__name__}: define __call__(self, shape, dtype=None)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Known(Initializer):
    """A function of `nn.init` with a seed and options of its own."""

    function: Callable[..., Any]

    def __init__(self, seed: init.Seed = None, **options: float) -> None:
        self.seed, self.options = seed, options

    @strict
    def __call__(self, shape: WeightShape, dtype: FloatDType | None = None, seed: Any = None, fans: Any = None) -> Any:
        seed = seed if self.seed is None else self.seed
        return type(self).function(shape, seed, dtype or "float32", fans, **self.options)


class Constant(_Known):
    """One value everywhere.

    >>> Constant(0.5)((3,))
    array([0.5, 0.5, 0.5], dtype=float32)
    """

    function = init.constant

    @strict
    def __init__(self, value: Finite = 0.0) -> None:
        super().__init__(value=value)


class RandomNormal(_Known):
    """Normally distributed.

    >>> w = RandomNormal(stddev=0.5, seed=0)((100, 100))
    >>> round(float(w.std()), 1)
    0.5
    """

    function = init.normal

    @strict
    def __init__(self, mean: Finite = 0.0, stddev: NonNegative = 0.05, seed: init.Seed = None) -> None:
        super().__init__(seed, mean=mean, std=stddev)


class RandomUniform(_Known):
    """Evenly distributed.

    >>> w = RandomUniform(-1, 1, seed=0)((100, 100))
    >>> bool(abs(w).max() <= 1)
    True
    """

    function = init.uniform

    @strict
    def __init__(self, minval: Finite = -0.05, maxval: Finite = 0.05, seed: init.Seed = None) -> None:
        super().__init__(seed, low=minval, high=maxval)


class _Seeded(_Known):
    """A function that takes no more than a seed."""

    @strict
    def __init__(self, seed: init.Seed = None) -> None:
        super().__init__(seed)


class _Fixed(_Known):
    """A function that takes nothing."""

    @strict
    def __init__(self) -> None:
        super().__init__()


def _named(base: Any, of: Callable[..., Any]) -> Any:
    """A class for a function, with its words; in the example, options come before the shape."""
    name = "".join(part.capitalize() for part in of.__name__.split("_"))
    words = re.sub(rf"\b{of.__name__}\((\(.*?\))(?:, )?(.*?)\)", rf"{name}(\2)(\1)", of.__doc__ or "")
    return type(name, (base,), {"function": of, "__doc__": words, "__module__": __name__})


GlorotUniform, GlorotNormal = _named(_Seeded, init.glorot_uniform), _named(_Seeded, init.glorot_normal)
HeUniform, HeNormal = _named(_Seeded, init.he_uniform), _named(_Seeded, init.he_normal)
Zeros, Ones = _named(_Fixed, init.zeros), _named(_Fixed, init.ones)

# Keras has its classes under these names, too.
zeros, ones, constant = Zeros, Ones, Constant
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, random_normal, random_uniform = HeUniform, HeNormal, RandomNormal, RandomUniform

_ALIASES = {"random_normal": "normal", "random_uniform": "uniform", "zero": "zeros", "one": "ones"}


class _ForLayers:
    """An initialiser as `nn` calls it: with a generator, and how many inputs and outputs a unit has."""

    def __init__(self, initializer: Callable[..., Any]) -> None:
        self.initializer = initializer

    def __call__(self, shape: tuple[int, ...], seed: Any = None, dtype: Any = "float32", fans: Any = None) -> Any:
        if isinstance(self.initializer, _Known):
            return self.initializer(shape, dtype, seed, fans)
        if "dtype" in signature(self.initializer).parameters:
            return np.asarray(self.initializer(shape, dtype=dtype))
        return np.asarray(self.initializer(shape))

    def __repr__(self) -> str:
        return getattr(self.initializer, "__name__", None) or repr(self.initializer)


@checked
def get(initializer: Any, argument: str = "kernel_initializer") -> Any:
    """What layers take: a name in Keras' spelling, a class or an object; a function of (shape) or (shape, dtype).

    Raises ArgumentError for an unknown name, DTypeError for what is none of these, which came as this argument.

    >>> get("GlorotUniform"), get("he_normal")
    ('glorot_uniform', 'he_normal')
    """
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        initializer = initializer()
    if isinstance(initializer, str):
        name = _ALIASES.get(initializer, initializer)
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")  # GlorotUniform too
        name = _ALIASES.get(name, name)
        try:
            init.get(name, argument)
        except ArgumentError as error:
            raise missing(str(error)) from None
        return name
    if any(initializer is function for function in vars(init).values() if callable(function)):
        return initializer
    if not callable(initializer):
        raise DTypeError(f"{argument}: expected the name of an initialiser or a function, got {initializer!r}")
    return initializer if isinstance(initializer, _ForLayers) else _ForLayers(initializer)


def first_values(what: str, initializer: Any, shape: WeightShape, dtype: Any) -> Any:
    """An array of a shape from whatever `get` takes."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    afford(what, shape, np.dtype(dtype).itemsize)
    return init.get(get(initializer, "initializer"), "initializer")(shape, None, dtype, None)


def __getattr__(name: str) -> Any:
    return instead("keras.initializers", name, __all__)
