"""Libraries that have a list of the types they know are told of tensors, whichever is imported first.

einops is told as it is imported. Hypothesis calls `tell_hypothesis` itself when it is imported later, through the entry
point in ``_tinygrad_conv_hypothesis.py``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from .engine.tensor import Tensor

__all__ = ["tell", "tell_hypothesis"]

_EINOPS = "einops._backends"


def tell() -> None:
    """Tell Hypothesis now, if it is there; einops now, or when it is imported."""
    if "hypothesis.strategies" in sys.modules:
        tell_hypothesis()
    if _EINOPS in sys.modules:
        _backend(sys.modules[_EINOPS])
    else:
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """What Python asks for every module that is imported; it waits for one."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _EINOPS:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_tell(module: ModuleType) -> None:
                run(module)
                _backend(module)
                if self in sys.meta_path:  # another thread may have been here
                    sys.meta_path.remove(self)

            spec.loader.exec_module = run_and_tell  # type: ignore[method-assign]
        return spec


def _backend(einops: Any) -> None:
    """Give einops a backend for tensors: that of NumPy, whose functions take them."""

    class TensorBackend(einops.NumpyBackend):  # type: ignore[misc]
        framework_name = __package__

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: Any) -> Tensor:
            return Tensor(x)

        def to_numpy(self, x: Tensor) -> Any:
            return x.numpy()

    einops._loaded_backends[__package__] = TensorBackend()


def tell_hypothesis() -> None:
    """Let ``from_type(Tensor)`` draw tensors, and so Hypothesis' ghostwriter. The strategies are imported by then."""
    strategies: Any = import_module("hypothesis.strategies")
    strategies.register_type_strategy(Tensor, lambda _: import_module(f"{__package__}.testing.strategies").tensors())
