"""What Hypothesis runs as it is imported (its entry point ``hypothesis``); outside of the package, to import little."""

from __future__ import annotations

import sys
from typing import Any


def tell() -> None:
    """Tell it of tensors, if the library is there. A library that is imported later does so itself."""
    library: Any = sys.modules.get("tinygrad_conv.neighbours")
    if library is not None and hasattr(library, "tell_hypothesis"):
        library.tell_hypothesis()
