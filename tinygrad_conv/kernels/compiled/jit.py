"""The one way in which functions are compiled here, and for which processor."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import Any

from numba import config, njit, types
from numba.core.caching import IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from ...blocks import awaited_by_forks
from ...errors import DataError
from ...files import write

__all__ = ["VECTOR_BYTES", "folder", "inlined", "jit"]

if config.DISABLE_JIT:  # type: ignore[attr-defined, unused-ignore]
    raise ImportError("NUMBA_DISABLE_JIT is set, and what is compiled here would take minutes if interpreted")

# The processor that Numba compiles for, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may say. The key of its cache holds
# the same, so code made for one size of vectors is never run with another.
_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
VECTOR_BYTES = 64 if "+avx512f" in _FEATURES else 32 if "+avx2" in _FEATURES else 16

# No fast-math: the order of sums is as written, so results are repeatable, and equal to the plain form's where its
# order is the same. A compiled function knows of no threads: `kernels.threads` calls it for parts of a batch at the
# same time, which works because the lock is given up (nogil).
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}

awaited_by_forks(global_compiler_lock)


# Numba compiles a function again when its file has changed. What it calls may be in another file: any of these.
_STAMP: tuple[Any, ...] = ()
with suppress(OSError):
    _STAMP = tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in sorted(Path(__file__).parent.glob("*.py")))


class _Files(IndexDataCacheFile):  # type: ignore[misc, unused-ignore]
    """Numba's files for one function, with a checksum in front and with what each was made from written in it.

    A file that is damaged is not read, and made again. Numba names them by number, in an index of its own. Processes
    that compile a function for different types at the same time can take the same number: then the index of one names
    the code of the other, which reads other memory than it should. Such a file is made again, too. A full disk is no
    reason to stop either.
    """

    def save(self, key: Any, data: Any) -> None:
        with suppress(OSError, DataError):
            super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        return found[2] if found is not None and found[:2] == (self._source_stamp, key) else None

    def _save_index(self, overloads: Any) -> None:
        self._put(self._index_path, (self._source_stamp, overloads))

    def _load_index(self) -> Any:
        stamp, overloads = self._get(self._index_path) or (None, {})
        return overloads if stamp == self._source_stamp else {}

    def _save_data(self, name: str, data: Any) -> None:
        self._put(self._data_path(name), data)

    def _load_data(self, name: str) -> Any:
        return self._get(self._data_path(name))

    def _put(self, path: str, value: Any) -> None:
        content: bytes = self._dump(value)
        write(path, self._checksum(content) + content)

    def _get(self, path: str) -> Any:
        """What a file holds; None if it is not there, damaged, or another version's."""
        with suppress(OSError):
            content = Path(path).read_bytes()
            checksum, content = content[:32], content[32:]
            if checksum == self._checksum(content):
                return pickle.loads(content)
        return None

    def _checksum(self, content: bytes) -> bytes:
        return sha256(self._version.encode() + content).digest()


def inlined(function: Callable[..., Any]) -> Any:
    """For parts of compiled functions: never a call, which would carry every array in a dozen arguments."""
    return njit(forceinline=True, **_OPTIONS)(function)


def folder() -> Path | None:
    """Where machine code is kept; None if nowhere."""
    return (
        Path(_place._cache.cache_path) if hasattr(_place, "_cache") and hasattr(_place._cache, "cache_path") else None
    )


@cache
def _tell() -> None:
    """Once in a process, and only where nothing is on disk yet."""
    getLogger("tinygrad_conv").info("compiling kernels for this processor, once for each installation: some seconds")


def jit(function: Callable[..., Any], **options: Any) -> Any:
    """Compile at the first call, and keep the machine code on disk: beside the source, or else in the user's cache.

    Where neither can be written, a process compiles for itself. `NUMBA_CACHE_DIR` names another place.
    """
    try:
        compiled: Any = njit(cache=True, **_OPTIONS | options)(function)
        files = compiled._cache._cache_file
        files.__class__, files._source_stamp = _Files, (files._source_stamp, _STAMP)
    except RuntimeError:  # no place to write
        compiled = njit(**_OPTIONS | options)(function)
    work, template = compiled._compiler.compile, compiled.get_call_template

    def told(*args: Any) -> Any:
        _tell()
        return work(*args)

    compiled._compiler.compile = told
    # To Numba a 0 in a call is a type of its own, for which a function would be compiled once more.
    compiled.get_call_template = lambda args, kws: template(tuple(map(types.unliteral, args)), kws)
    return compiled


@jit
def _place(x):
    """Never called: it has a place in the cache, as all have."""
    return x
