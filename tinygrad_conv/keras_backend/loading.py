"""How Keras' own modules come to hold our tensors: they are adapted while they are imported.

Keras chooses its backend by name, from a list that no package can add to. So Keras loads what it calls "numpy"; each
module of that backend runs as it is written, but for its imports of JAX, and then gets what stands in our module of the
same name. When all of Keras is there, the backend gets its true name.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from types import CodeType, FunctionType, ModuleType

from ..errors import MissingExtraError
from .layers import known_to_graphs

__all__ = ["NAME", "install"]

NAME = "tinygrad_conv"
KNOWN = ((3, 15),)  # the versions of Keras that this was tested with
STOCK = "keras.src.backend.numpy"
OURS = {  # modules of Keras that get what is public in one of ours
    f"{STOCK}.core": "core",
    f"{STOCK}.nn": "nn",
    f"{STOCK}.math": "math",
    f"{STOCK}.numpy": "numeric",
    f"{STOCK}.image": "images",
    f"{STOCK}.trainer": "trainer",
    "keras.src.trainers.data_adapters.data_adapter_utils": "feeding",
    "keras.src.trainers.trainer": "compiling",
    "keras.src.utils.backend_utils": "switching",
}
ARRAYS = {f"{STOCK}.{name}" for name in ("core", "nn", "math", "numpy", "random", "rnn", "image", "linalg")}


def install() -> None:
    """Let Keras, when it is imported, run on this engine.

    Raises MissingExtraError without Keras, with a version of it that this does not know, or if it is there already.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    try:
        found = version("keras")
    except PackageNotFoundError:
        raise MissingExtraError("keras_backend: expected Keras; pip install 'tinygrad-conv[keras]'") from None
    if "keras" in sys.modules:
        raise MissingExtraError(
            f"keras_backend: expected to be imported before keras, which is there already with the backend "
            f"{_name_of_backend()!r}; write import tinygrad_conv.keras_backend first, in a new process"
        )
    if tuple(map(int, found.split(".")[:2])) not in KNOWN:
        known = ", ".join(".".join(map(str, one)) for one in KNOWN)
        raise MissingExtraError(
            f"keras_backend: expected Keras {known}, got {found}; pip install 'tinygrad-conv[keras]'"
        )
    os.environ["KERAS_BACKEND"] = "numpy"  # until all of it is loaded
    sys.meta_path.insert(0, _Finder())


def _name_of_backend() -> str:
    config = sys.modules.get("keras.src.backend.config")
    return "unknown" if config is None else config.backend()


class _Finder(MetaPathFinder):
    """Finds `keras` and the modules of it that are adapted."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras" and name not in OURS and name not in ARRAYS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            kind = _Whole if name == "keras" else _Adapted
            spec.loader = kind(spec.loader.name, spec.loader.path)
        return spec


class _Whole(SourceFileLoader):
    """Keras itself: when it is there, its layers are known to graphs, and its backend has the name that it has."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        known_to_graphs(sys.modules["keras.src.layers.layer"].Layer)
        sys.modules["keras.src.backend.config"]._BACKEND = NAME  # type: ignore[attr-defined]
        os.environ["KERAS_BACKEND"] = NAME


class _Adapted(SourceFileLoader):
    """A module of Keras that gets something of ours."""

    def get_code(self, fullname: str) -> CodeType:
        """The module's code, changed a little; it is not the one that Python has cached."""
        tree = ast.parse(self.get_data(self.path), self.path)
        if fullname in ARRAYS:
            tree.body = [statement for statement in tree.body if not _imports_jax(statement)]
            tree = ast.fix_missing_locations(_Conversions().visit(tree))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if module.__name__ in ARRAYS:
            vars(module)["np"] = import_module(f"{__package__}.arrays")
        if module.__name__ in OURS:
            ours = import_module(f"{__package__}.{OURS[module.__name__]}")
            for public in ours.__all__:
                function = getattr(ours, public)
                if isinstance(function, FunctionType) and public in vars(module):
                    function.__signature__ = signature(vars(module)[public])  # type: ignore[attr-defined]
                setattr(module, public, function)


class _Conversions(ast.NodeTransformer):
    """What a tensor cannot do as an array does, done by a function of our `np`.

    ``x.astype(dtype)`` becomes ``np.astype(x, dtype)``, which copies no tensor of that dtype; ``x[k] = y`` becomes
    ``x = np.put_at(x, np.s_[k], y)``, which makes a new tensor.
    """

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            call = ast.Call(_of_np("astype"), [node.func.value, *node.args], node.keywords)
            return ast.copy_location(call, node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        target = node.targets[-1]
        if not (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)):
            return node
        name, index = target.value.id, ast.Subscript(_of_np("s_"), target.slice, ast.Load())
        call = ast.Call(_of_np("put_at"), [ast.Name(name, ast.Load()), index, node.value], [])
        return ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], call), node)


def _of_np(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())


def _imports_jax(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import):
        return any(alias.name.split(".")[0] == "jax" for alias in statement.names)
    return isinstance(statement, ast.ImportFrom) and "jax" in (statement.module or "").split(".")
