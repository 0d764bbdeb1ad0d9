"""The reference pages of the site, made from what is public: each name once, where users find it.

`conf.py` writes them before the site is built; `tests/test_site.py` holds that no public name is missing.
"""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import tinygrad_conv as tg

KERAS = ("layers", "losses", "metrics", "optimizers", "callbacks", "initializers", "activations", "utils")
# Page -> its title (of the module, if None), and where it takes its names from.
PAGES: dict[str, tuple[str | None, list[str]]] = {
    "engine": ("Tensors, gradients and primitives", ["tinygrad_conv"]),
    **{
        family.__name__.rsplit(".", 1)[-1]: (None, [family.__name__])
        for family in tg.ops.FAMILIES
        if not family.__name__.endswith((".fourier", ".linalg"))
    },
    "fft": ("Fourier transforms, tg.fft", ["tinygrad_conv.fft"]),
    "linalg": ("Linear algebra, also as tg.linalg", ["tinygrad_conv.ops.linalg", "tinygrad_conv.linalg"]),
    "array_api": ("What the Array API asks for", ["tinygrad_conv.array_api"]),
    "nn": ("Models, tg.nn", ["tinygrad_conv.nn", "tinygrad_conv.nn.init"]),
    "optim": ("Optimisers, tg.optim", ["tinygrad_conv.optim"]),
    "distributed": ("Several processes, tg.distributed", ["tinygrad_conv.distributed"]),
    "keras": (
        "The Keras-shaped front, tg.keras",
        ["tinygrad_conv.keras", *(f"tinygrad_conv.keras.{room}" for room in KERAS)],
    ),
    "data": ("Data, tg.data", ["tinygrad_conv.data"]),
    "saving": ("Weights in files, tg.save and tg.load", ["tinygrad_conv.saving"]),
    "graph": ("Pictures, tg.graph", ["tinygrad_conv.graph", "tinygrad_conv.graph.microscope", "tinygrad_conv.plots"]),
    "testing": ("Checks, tg.testing", ["tinygrad_conv.testing", "tinygrad_conv.testing.strategies"]),
    "speed": ("Compiled steps and profiles", ["tinygrad_conv.plan", "tinygrad_conv.profiling"]),
    "lessons": ("Helpers of the lessons", ["tinygrad_conv.lessons"]),
    "errors": ("Errors", ["tinygrad_conv.errors"]),
}


def public(module_name: str) -> Iterator[tuple[str, Any]]:
    """The names that a module gives its users, with what they are: functions and classes."""
    module = importlib.import_module(module_name)
    for name in getattr(module, "__all__", None) or dir(module):
        value = getattr(module, name)
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)):
            yield name, value


def pages() -> dict[str, str]:
    """Page -> its text, in reStructuredText."""
    seen: dict[int, str] = {}
    families = {id(value) for family in tg.ops.FAMILIES for _, value in public(family.__name__)}
    written = {}
    for page, (title, modules) in PAGES.items():
        first = importlib.import_module(modules[0])
        title = title or (first.__doc__ or page).split("\n")[0].rstrip(".").replace("`", "")
        lines = [title, "=" * len(title), ""]
        for module in modules:
            at_top = module.startswith(("tinygrad_conv.ops.", "tinygrad_conv.array_api"))
            shown = "tinygrad_conv" if at_top else module
            if len(modules) > 1:
                lines += [module, "-" * len(module), ""]
            same = []
            for name, value in public(module):
                if page == "engine" and id(value) in families:
                    continue
                if shown != module and getattr(tg, name, None) is not value:
                    continue  # under tg.fft or tg.linalg, further down
                if id(value) in seen:
                    same.append(f"``{name}`` is ``{seen[id(value)]}``")
                    continue
                seen[id(value)] = f"{shown}.{name}"
                kind = "autoclass" if inspect.isclass(value) else "autofunction"
                lines += [f".. {kind}:: {shown}.{name}"]
                lines += ["   :members:", ""] if inspect.isclass(value) else [""]
            if same:
                lines += ["; ".join(same) + ".", ""]
        written[page] = "\n".join(lines)
    title = "Every public name"
    tree = ["", ".. toctree::", "   :maxdepth: 1", "", *(f"   {page}" for page in PAGES), ""]
    written["index"] = "\n".join([title, "=" * len(title), *tree])
    return written
