"""While the command line imports what it needs, Ctrl-C ends it at once, without a traceback.

The package imports this first, so that there is no moment in which that is not so. It does nothing in other programs.
"""

from __future__ import annotations

import os
import sys

__all__ = ["over"]


def _is_command() -> bool:
    """Is this program ``tinygrad-conv`` or ``python -m tinygrad_conv``?"""
    program = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return program.startswith("tinygrad-conv") or (program == "-m" and "tinygrad_conv" in sys.orig_argv)


def _end(signum: int, frame: object) -> None:
    """Nothing has been begun, so nothing is left to be put in order."""
    os.write(2, b"tinygrad-conv: stopped\n")
    os._exit(130)


def over() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, as usual."""
    if _HEARD:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_HEARD = False
if _is_command():  # now: `python -m` changes sys.argv when the package is imported
    import _signal as signal  # type: ignore[import-not-found]  # the module signal imports enum first: 10 ms

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as in the background
        signal.signal(signal.SIGINT, _end)
        _HEARD = True
