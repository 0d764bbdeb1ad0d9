"""``python -m benchmarks scale``: one net on one thread, on two threads, and on two ranks of one thread each.

Buckets of the ranks' gradients travel while backward runs and, to compare, after it.
All train on batches of the same total size. Efficiency is the time of one thread, over twice the time of two. Each way
is a program of its own, run in turn with the others; the least time counts, as others use the machine as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np

AFTER = "2 ranks, sums after backward"  # where buckets of gradients travel while it runs, else
WAYS = {"1 thread": (1, 1), "2 threads": (1, 2), "2 ranks": (2, 1), AFTER: (2, 1)}  # ranks, threads
NETS = ("mlp", "cnn", "wide")
STEPS = 30


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of a step, by net and way; "2 ranks" is left out without mpi4py."""
    from tinygrad_conv.distributed.supervising import launcher

    found: dict[str, dict[str, float]] = {net: {} for net in NETS}
    for _ in range(rounds):
        for way, (ranks, threads) in WAYS.items():
            if ranks > 1 and find_spec("mpi4py") is None:
                continue
            start = [*launcher(), "-n", str(ranks)] if ranks > 1 else []
            env = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
            command = [*start, sys.executable, "-m", "benchmarks.scale", way]
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            for net, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                found[net][way] = min(seconds, found[net].get(way, seconds))
    return found


def steps() -> dict[str, float]:
    """In a program that was started for it: the least seconds of an eager step of each net."""
    import tinygrad_conv as tg
    from tinygrad_conv import nn
    from tinygrad_conv.distributed.sending import Sending

    if sys.argv[1:] == [AFTER]:
        Sending.complete = lambda *sent: None  # type: ignore[method-assign]

    conv = [nn.Conv2D(32, 3, activation="relu"), nn.MaxPool2D(), nn.Conv2D(64, 3, activation="relu"), nn.MaxPool2D()]
    layers = {
        "mlp": [nn.Flatten(), nn.Dense(10, activation="relu"), nn.Dense(10)],
        "cnn": [*conv, nn.Flatten(), nn.Dense(10)],
        "wide": [nn.Flatten(), *(nn.Dense(1000, activation="relu") for _ in range(4)), nn.Dense(10)],
    }
    rng, found = np.random.default_rng(0), {}
    x, y = rng.normal(size=(128, 28, 28, 1)).astype("f"), rng.integers(0, 10, 128)
    for name in NETS:
        tg.nn.seed(0)
        net = nn.Sequential(layers[name])
        net.build((None, 28, 28, 1))
        optimizer = tg.distributed.Optimizer(tg.optim.SGD(net.parameters(), lr=0.01), net)
        times = []
        for _ in range(STEPS):
            start = time.perf_counter()
            optimizer.zero_grad()
            for xs, ys in optimizer.parts(x, y):
                tg.softmax_cross_entropy(net(xs), ys).backward()
            optimizer.step()
            times.append(time.perf_counter() - start)
        found[name] = min(times)
    return found


if __name__ == "__main__":
    result = json.dumps(steps())
    import tinygrad_conv.distributed

    if not tinygrad_conv.distributed.rank():
        print(result)
