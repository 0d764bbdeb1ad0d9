"""Libraries that have a list of the arrays they know: einops is told of tensors as it is imported, whenever that is."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from .engine.tensor import Tensor

__all__ = ["tell"]

_EINOPS = "einops._backends"


def tell() -> None:
    """Tell einops now, if it is there, or when it is imported."""
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
