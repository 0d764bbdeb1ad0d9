"""`keras.initializers`: the functions of `nn.init` under Keras' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..nn import init

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer", "LecunNormal", "LecunUniform",
    "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "Zeros", "get",
]  # fmt: skip


class Initializer:
    """A function of `nn.init` with a seed and options of its own."""

    def __init__(self, function: Callable[..., Any], seed: int | None = None, **options: float) -> None:
        self.function, self.seed, self.options = function, seed, options

    def __call__(self, shape: tuple[int, ...], seed: Any = None, dtype: Any = "float32", fans: Any = None) -> Any:
        return self.function(shape, seed if self.seed is None else self.seed, dtype, fans, **self.options)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _scaled(function: Callable[..., Any]) -> Any:
    class Scaled(Initializer):
        __doc__ = f"{function.__doc__}"

        def __init__(self, seed: int | None = None) -> None:
            super().__init__(function, seed)

    name = "".join(part.capitalize() for part in function.__name__.split("_"))
    Scaled.__name__ = Scaled.__qualname__ = name
    return Scaled


GlorotUniform, GlorotNormal = _scaled(init.glorot_uniform), _scaled(init.glorot_normal)
HeUniform, HeNormal = _scaled(init.he_uniform), _scaled(init.he_normal)
LecunUniform, LecunNormal = _scaled(init.lecun_uniform), _scaled(init.lecun_normal)
Zeros, Ones = _scaled(init.zeros), _scaled(init.ones)


def Constant(value: float = 0.0) -> Initializer:  # noqa: N802
    """One value everywhere."""
    return Initializer(init.constant, value=value)


def RandomNormal(mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> Initializer:  # noqa: N802
    """Normally distributed."""
    return Initializer(init.normal, seed, mean=mean, std=stddev)


def TruncatedNormal(mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> Initializer:  # noqa: N802
    """Normally distributed, values beyond two standard deviations drawn again."""
    return Initializer(init.truncated_normal, seed, mean=mean, std=stddev)


def RandomUniform(minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> Initializer:  # noqa: N802
    """Evenly distributed."""
    return Initializer(init.uniform, seed, low=minval, high=maxval)


def Orthogonal(gain: float = 1.0, seed: int | None = None) -> Initializer:  # noqa: N802
    """Orthonormal rows or columns."""
    return Initializer(init.orthogonal, seed, gain=gain)


_ALIASES = {"random_normal": "normal", "random_uniform": "uniform", "zero": "zeros", "one": "ones"}


def get(initializer: Any, argument: str = "kernel_initializer") -> Any:
    """What layers take: a name in Keras' spelling becomes one of `nn.init`, a class an instance.

    Raises ArgumentError for an unknown name.
    """
    if isinstance(initializer, type):
        return initializer()
    if isinstance(initializer, str):
        name = _ALIASES.get(initializer, initializer)
        init.get(name, argument)
        return name
    return initializer
