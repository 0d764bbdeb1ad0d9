"""Which rank this is, of how many; that all ranks do the same thing next; and that none is left waiting for one that
has ended."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np

from ..errors import GraphError, MissingExtraError
from ..stopping import Stopping

__all__ = ["World", "rank", "size", "world"]

# What the launchers set for the processes that they start: MPICH and its kin, PMIx (Open MPI, Slurm), Open MPI.
_SIGNS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")


class World:
    """The processes of a run.

    Attributes
    ----------
    rank, size : int
        This process' number, from 0, and how many there are.
    comm, background : mpi4py's communicators, this library's own; None alone
        The second is for sums that are under way while other messages are exchanged.
    """

    def __init__(self, mpi: Any = None) -> None:
        self.rank, self.size, self._mpi = 0, 1, mpi
        self.comm: Any = None
        self.background: Any = None
        if mpi is None or mpi.COMM_WORLD.size == 1:
            return
        self.comm = mpi.COMM_WORLD.Dup()  # the user's own messages are none of ours
        self.background = mpi.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        self._both = np.zeros(2, np.int64)  # given to MPI: it lives as long as the world
        self._ends_all()

    def meet(self, doing: str) -> None:
        """Go on when all ranks are about to do this. Raises GraphError, on all, where they are not.

        Every exchange begins here, the end of the program too. So no rank waits for one that will not come.
        """
        if self.comm is None:
            return
        code = crc32(doing.encode())
        self._both[:] = code, -code
        self.comm.Allreduce(self.in_place, self._both, self._mpi.MAX)
        if self._both[0] != -self._both[1]:
            others = self.comm.allgather(doing)
            told = ", ".join(f"rank {rank} {what}" for rank, what in enumerate(others))
            raise GraphError(
                f"distributed: expected all ranks to do the same, got {told}: let no decision depend on the rank but "
                "what is printed and written"
            )

    def gathered(self, doing: str, value: Any) -> list[Any]:
        """A value of each rank, in their order."""
        if self.comm is None:
            return [value]
        self.meet(doing)
        values: list[Any] = self.comm.allgather(value)
        return values

    def from_first(self, doing: str, value: Any) -> Any:
        """Rank 0's value."""
        if self.comm is None:
            return value
        self.meet(doing)
        return self.comm.bcast(value)

    @property
    def in_place(self) -> Any:
        """What MPI is given for a sum that takes the place of what is summed."""
        return self._mpi.IN_PLACE

    # -- the end ---------------------------------------------------------------------------------------------------

    def _ends_all(self) -> None:
        """From now on what is raised on one rank and caught by nobody ends all."""
        told, told_in_thread = sys.excepthook, threading.excepthook
        sys.excepthook = lambda *error: self._after(told, *error)
        threading.excepthook = lambda args: self._after(told_in_thread, args)
        atexit.register(self._leave)

    def _after(self, tell: Callable[..., Any], *error: Any) -> None:
        try:
            tell(*error)
            print(f"tinygrad-conv: rank {self.rank} of {self.size} has failed, which ends all", file=sys.stderr)
        finally:
            self.abort()

    def _leave(self) -> None:
        """The program ends; so it must on all ranks, or MPI would wait for the others forever."""
        try:
            self.meet("ends")
        except GraphError as error:
            print(f"tinygrad-conv: {error}", file=sys.stderr)
            self.abort()

    def abort(self) -> None:
        """End all processes of the run, now."""
        atexit.unregister(self._leave)  # MPI may take some time to end this one, and its end is nobody's news
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # closed, or there is none
                continue
        time.sleep(0.5)  # the launcher passes on what was printed, unless it is told first to end
        self._mpi.COMM_WORLD.Abort(1)


@cache
def world() -> World:
    """The processes that ``mpiexec`` has started, or this one alone."""
    if "mpi4py.MPI" not in sys.modules and not any(sign in os.environ for sign in _SIGNS):
        return World()
    count = next((int(os.environ[name]) for name in _COUNTS if name in os.environ), 1)
    with Stopping("") as joining:  # of a rank that ends half joined, others would learn nothing
        try:
            from mpi4py import MPI  # type: ignore[import-not-found, unused-ignore]
        except (ImportError, RuntimeError) as error:
            if count == 1:
                return World()
            raise MissingExtraError(
                f"distributed: {count} processes were started, which mpi4py would connect: pip install "
                f"'tinygrad-conv[mpi]' ({error})"
            ) from None
        found = World(MPI)
    joining.check()
    if count > 1 and found.size == 1:
        library = MPI.Get_library_version().split("\n")[0]
        raise MissingExtraError(
            f"distributed: {count} processes were started, and each is alone, as mpi4py uses {library!r} and mpiexec "
            "is of another MPI: use the mpiexec of that one"
        )
    return found


def rank() -> int:
    """This process' number: 0, 1, ... Rank 0 prints and writes files.

    >>> rank()
    0
    """
    return world().rank


def size() -> int:
    """How many processes there are: 1 without ``mpiexec``.

    >>> size()
    1
    """
    return world().size
