"""Do all ranks train the same thing? What differs is named, before the first step; then all take rank 0's numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from .. import nn
from ..engine.tensor import Tensor
from ..errors import GraphError
from ..nn import init
from .world import World

__all__ = ["agree", "generators_of", "share", "share_randomness"]

Line: TypeAlias = tuple[str, str]


def agree(world: World, optimizer: Any, names: Sequence[str], tensors: Sequence[Tensor], more: Any) -> None:
    """Raise GraphError, on all ranks, for the first thing in which a rank differs from rank 0."""
    lines = list(_described(optimizer, names, tensors, more))
    everybody = world.gathered("makes a distributed optimizer", lines)
    first = everybody[0]
    for rank, other in enumerate(everybody):
        if other == first:
            continue
        what, (here, there) = next(
            (a[0], (a[1], b[1])) if a[0] == b[0] else ("names", (a[0], b[0]))
            for a, b in zip(first, other, strict=False) if a != b
        )  # fmt: skip
        raise GraphError(
            f"distributed.Optimizer: expected the same on all ranks, got another {what} on rank {rank}: {there}, and "
            f"{here} on rank 0; start all ranks with the same program, files and versions"
        )


def _described(optimizer: Any, names: Sequence[str], tensors: Sequence[Tensor], more: Any) -> Iterator[Line]:
    """All that must be equal, each with a name; the number of parameters comes before them."""
    yield "tinygrad-conv (its source)", f"{_checksum(sorted(Path(__file__).parents[1].rglob('*.py'))):08x}"
    yield "NumPy", np.__version__
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    yield "program", f"{program} ({_checksum([Path(program)]):08x})" if program else "none"
    settings = {name: value for name, value in sorted(vars(optimizer).items()) if isinstance(value, _PLAIN)}
    yield "optimizer", f"{type(optimizer).__name__}({settings})"
    yield "distributed.Optimizer", repr(more)
    yield "number of parameters", f"{len(tensors)}"
    for name, tensor in zip(names, tensors, strict=True):
        yield f"parameter {name!r}", f"shape {tensor.shape}, dtype {tensor.dtype}"


_PLAIN = (bool, int, float, str, tuple, type(None))


def _checksum(files: Sequence[Path]) -> int:
    found = 0
    for file in files:
        try:
            found = crc32(file.read_bytes(), found)
        except OSError:  # it is in an archive, or gone
            continue
    return found


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
