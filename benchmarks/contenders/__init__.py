"""Who is compared: this library in its forms, and the peers. One module each, with a function per kind of workload.

A function builds a workload and returns one step of it, which returns what the contenders must agree on.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


class Unsupported(Exception):  # noqa: N818  (no error: who is left out, and why)
    """The contender cannot do the workload; says why."""


@dataclass(frozen=True)
class Contender:
    """A module of this folder in one form, and what it takes to run it."""

    name: str
    module: str
    form: str = ""
    needs: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        return self.module == "ours" or self.environment.get("KERAS_BACKEND") == "tinygrad_conv"

    @property
    def plain(self) -> bool:
        """Does it run on NumPy alone?"""
        return self.environment.get("TINYGRAD_CONV_KERNELS") == "plain"

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.needs if importlib.util.find_spec(package) is None]

    def start(self) -> None:
        """Import what the library would import at the first step: memory is counted from then on, for all alike."""
        module = import_module(f"{__name__}.{self.module}")
        if hasattr(module, "start"):
            module.start()

    def build(self, kind: str, case: str) -> Any:
        """One step of a case, built; raises Unsupported."""
        return getattr(import_module(f"{__name__}.{self.module}"), kind)(case, self.form)


CONTENDERS = {
    contender.name: contender
    for contender in [
        Contender("plain", "ours", "eager", environment={"TINYGRAD_CONV_KERNELS": "plain"}),
        Contender("plain compiled", "ours", "compiled", environment={"TINYGRAD_CONV_KERNELS": "plain"}),
        Contender("fast", "ours", "eager", ("numba",), {"TINYGRAD_CONV_KERNELS": "compiled"}),
        Contender("compiled", "ours", "compiled", environment={"TINYGRAD_CONV_KERNELS": "auto"}),
        Contender("torch", "torch", "contiguous", ("torch",)),
        Contender("torch channels_last", "torch", "channels_last", ("torch",)),
        Contender("torch.compile", "torch", "compiled", ("torch",), {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}),
        Contender("jax", "jax", "", ("jax",), {"JAX_PLATFORMS": "cpu"}),
        Contender(
            "keras plain",
            "keras",
            "",
            ("keras",),
            {"KERAS_BACKEND": "tinygrad_conv", "TINYGRAD_CONV_KERNELS": "plain"},
        ),
        Contender("keras fast", "keras", "", ("keras", "numba"), {"KERAS_BACKEND": "tinygrad_conv"}),
        Contender("keras torch", "keras", "", ("keras", "torch"), {"KERAS_BACKEND": "torch"}),
        Contender("keras jax", "keras", "", ("keras", "jax"), {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}),
        Contender("mygrad", "mygrad", "", ("mygrad",)),
        Contender("autograd", "autograd", "", ("autograd",)),
        Contender("floor", "floor"),
    ]
}
