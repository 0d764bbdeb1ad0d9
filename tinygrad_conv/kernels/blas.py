"""Which kernels NumPy's BLAS chose for its products, and whether the processor has wider vectors than they use.

OpenBLAS chooses by the processor's name, or takes what the environment variable ``OPENBLAS_CORETYPE`` says. Both may be
older than the processor, and cost half of its speed. Nothing is set here: that is the user's to decide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

import numpy as np

from .threads import libraries

__all__ = ["chosen"]

SETTING = "OPENBLAS_CORETYPE"
WIDE = ("SkylakeX", "Cooperlake", "Sapphirerapids")  # OpenBLAS' kernels for AVX-512
MARKS = ("AVX512", "X86_V4")  # what NumPy calls features of AVX-512


@cache
def chosen() -> str:
    """A line: the library and its kernels, and what would be better where these are too narrow for the processor."""
    found = [(it.internal_api, it.version, getattr(it, "architecture", None)) for it in libraries()]
    extensions = np.show_config("dicts")["SIMD Extensions"]
    features = [*extensions.get("baseline", ()), *extensions.get("found", ())]
    return "; ".join(_line(*one, features, os.environ.get(SETTING)) for one in found) or "BLAS: one that does not tell"


def _line(name: str, version: str, kernels: str | None, features: Iterable[str], said: str | None) -> str:
    """For one library.

    >>> _line("openblas", "0.3.31", "SkylakeX", ["X86_V4"], None)
    'BLAS: openblas 0.3.31, SkylakeX kernels'
    >>> _line("openblas", "0.3.31", "Haswell", ["X86_V4"], None)
    'BLAS: openblas 0.3.31, Haswell kernels on a processor with AVX-512; try OPENBLAS_CORETYPE=SkylakeX'
    """
    line = f"BLAS: {name} {version}"
    if kernels is None:
        return line
    line += f", {kernels} kernels"
    wide = any(feature.startswith(MARKS) for feature in features)
    if name != "openblas" or not wide or kernels in WIDE:
        return line
    advice = f"{SETTING}={said} says so; without it, it may choose better" if said else f"try {SETTING}={WIDE[0]}"
    return f"{line} on a processor with AVX-512; {advice}"
