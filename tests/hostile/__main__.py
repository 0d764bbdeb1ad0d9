"""``python -m hostile COUNT SEED [PATTERN]``: draw so many bad calls, and print those that ended badly."""

import faulthandler
import os
import random
import re
import resource
import sys
import tempfile

from .calls import Hang, draw, outcome
from .surface import walk


def main(count: int, seed: int, pattern: str = "") -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    targets = [target for target in walk() if re.search(pattern, target.name)]
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for _ in range(count):
            call = draw(targets[rng.randrange(len(targets))], rng.randrange)
            faulthandler.dump_traceback_later(300, exit=True)  # of a loop in C, which no signal ends
            try:
                wrong = outcome(call)
            except Hang:
                wrong = "hung"
            if wrong:
                print(f"{call}\n    {wrong}".encode("utf-8", "replace").decode(), flush=True)
        faulthandler.cancel_dump_traceback_later()
        os.chdir("/")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
