"""``tinygrad-conv run``: start a program under ``mpiexec``, and start it again when it has failed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import MissingExtraError

__all__ = ["began", "launcher", "restarted", "run"]

_RESTARTS = "TINYGRAD_CONV_RESTARTS"  # how often the program was started again
_BEGAN = "TINYGRAD_CONV_BEGAN"  # when it was started first, in seconds


def restarted() -> bool:
    """Was this program started again after a failure, so that it is to go on from its last checkpoint?

    >>> restarted()
    False
    """
    return int(os.environ.get(_RESTARTS, "0")) > 0


def began() -> float:
    """When this program was started first, as `time.time` counts; 0 if that was now."""
    return float(os.environ.get(_BEGAN, "0")) if restarted() else 0.0


def run(program: Sequence[str], processes: int, restarts: int) -> int:
    """Run a Python program (``script.py`` or ``-m module``, with its arguments) on so many ranks; its exit code.

    When it fails, it is started again, at most `restarts` times in all; `restarted` tells it so. Ctrl-C ends it. What
    comes before ``-n`` is in the variable MPIEXEC, where the program's name alone will not do.
    """
    command = [*launcher(), "-n", str(processes), sys.executable, *program]
    now = time.time()
    for number in range(restarts + 1):
        code = _once(command, {_RESTARTS: str(number), _BEGAN: str(now)})
        if code in (0, 130, -signal.SIGINT) or number == restarts:
            return code if code >= 0 else 128 - code
        what = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        print(f"tinygrad-conv: failed with {what}; start {number + 2} of {restarts + 1}", file=sys.stderr, flush=True)
        time.sleep(0.2)  # so that one which fails at once does not keep the machine busy
    return 0


def _once(command: Sequence[str], more: dict[str, str]) -> int:
    child = subprocess.Popen(command, env=os.environ | more)
    try:
        return child.wait()
    except KeyboardInterrupt:  # which mpiexec, and the ranks, have heard as well
        try:
            child.wait(30)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.kill()
            child.wait()
        return 130
    except BaseException:
        child.kill()
        raise


def launcher() -> list[str]:
    """The launcher: as MPIEXEC says, beside this Python, or on the PATH. Open MPI is told to share cores."""
    if given := shlex.split(os.environ.get("MPIEXEC", "")):
        return given
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise MissingExtraError("run: expected mpiexec, got none: pip install mpich, or load your cluster's MPI")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return [found, "--oversubscribe"] if "Open MPI" in version else [found]
