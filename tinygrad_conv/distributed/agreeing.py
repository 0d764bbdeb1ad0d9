"""Do all ranks train the same thing? What differs is named, before the first step; then all take rank 0's numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from .. import nn
from ..engine.source import LIBRARY
from ..engine.tensor import Tensor
from ..errors import GraphError
from ..nn import init
from .describing import Line, of_files, of_object
from .world import World

__all__ = ["agree", "generators_of", "share", "share_randomness", "trained"]


def agree(world: World, who: str, lines: Iterable[Line]) -> None:
    """Raise GraphError, on all ranks, for the first thing in which a rank differs from rank 0."""
    own = [*_versions(), *lines]
    files = dict(of_files())
    here, known = world.from_first("compares the ranks' programs", (own, files))
    ours = [(name, files[name]) for name in known if name in files]  # rank 0 alone may load what draws and writes
    theirs = [(name, known[name]) for name, _ in ours]
    pairs = zip_longest([*theirs, *here], [*ours, *own], fillvalue=("part", "nothing"))
    found = next(((a, b) for a, b in pairs if a != b), None)
    for rank, other in enumerate(world.gathered("compares the ranks' programs", found)):
        if other is not None:
            (what, one), (name, another) = other
            if what != name:
                what, one, another = "part", f"{what}: {one}", f"{name}: {another}"
            raise GraphError(
                f"{who}: expected the same on all ranks, got another {what} on rank {rank}: {another}, and {one} on "
                "rank 0; start all ranks with the same program, files and versions"
            )


def _versions() -> Iterator[Line]:
    yield "Python", sys.version.split()[0]
    yield "NumPy", np.__version__
    yield "tinygrad-conv (its source)", _source()


@cache
def _source() -> str:
    """A checksum of this library."""
    found = 0
    for file in sorted(Path(LIBRARY).rglob("*.py")):
        found = crc32(file.read_bytes(), found)
    return f"{found:08x}"


def trained(optimizer: Any, names: Sequence[str], tensors: Sequence[Tensor], model: Any, more: Any) -> Iterator[Line]:
    """What decides what a distributed optimizer trains; the number of parameters comes before them."""
    yield "distributed.Optimizer", repr(more)
    yield "number of parameters", f"{len(tensors)}"
    for name, tensor in zip(names, tensors, strict=True):
        yield f"parameter {name!r}", f"shape {tensor.shape}, dtype {tensor.dtype}"
    yield from of_object("optimizer", optimizer)
    yield from of_object("model", model)


def share(world: World, tensors: Sequence[Tensor], optimizer: Any, generators: Sequence[np.random.Generator]) -> None:
    """Give all ranks the values, the optimiser's state and the random numbers of rank 0."""
    given = world.from_first("takes rank 0's weights", ([tensor._array for tensor in tensors], optimizer.state_dict()))
    if world.rank:
        arrays, state = given
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor._array = array
        optimizer.load_state_dict(state)
    share_randomness(world, generators)


def share_randomness(world: World, generators: Sequence[np.random.Generator]) -> None:
    """From here on all ranks draw the same numbers."""
    states = world.from_first("takes rank 0's random numbers", [one.bit_generator.state for one in generators])
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state


def generators_of(model: nn.Module | None) -> list[np.random.Generator]:
    """The package's generator, and those of the model's own layers: what dropout draws from."""
    found = [init.generator()]
    for module in () if model is None else model.modules():
        seed = getattr(module, "seed", None)
        if isinstance(module, nn.Dropout) and seed is not None:
            module.seed = seed = init.generator(seed)  # as it does at its first call
        if isinstance(seed, np.random.Generator) and not any(seed is other for other in found):
            found.append(seed)
    return found
