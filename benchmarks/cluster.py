"""``python -m benchmarks cluster``: what a step would take on many ranks, by a model that is fitted here.

The model (Hockney 1994; Thakur, Rabenseifner and Gropp 2005): a message of n bytes takes ``latency + n / bandwidth``.
Ranks sum n bytes by recursive doubling, ``ceil(log2 P) (latency + n / bandwidth)``, or by halving and gathering,
``2 ceil(log2 P) latency + 2 (P - 1) / P n / bandwidth``, whichever is shorter. Backward gives gradients from the last
layer to the first, collected in buckets. A bucket is exchanged when it is full and the one before is through, while
backward runs on. The step ends when the last bucket is there.

It leaves out: ranks that wait for the slowest (so real clusters are slower), several ranks that share a network card,
switches that are crowded, and reading the data.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .networks import NETWORKS, Network, products

FLOAT = 4  # bytes
RANKS = (1, 2, 4, 8, 16, 64, 256, 1024)
SIZES = (1, 1024, 16_384, 131_072, 1_048_576, 4_194_304)  # floats that are summed to fit the model
FIXED = 2e-4  # seconds that a step takes however small its part of the batch: calls, not numbers
FORWARD = 1 / 3  # of a step: backward computes two products where forward computes one


@dataclass(frozen=True)
class Link:
    """The way from one rank to another: seconds before the first byte, and bytes a second after it."""

    latency: float
    bandwidth: float

    def total(self, ranks: int, size: float) -> float:
        """Seconds in which so many ranks sum so many bytes, all of them having the sum.

        >>> link = Link(1e-6, 1e9)
        >>> link.total(1, 1e6), link.total(4, 0.0), round(link.total(4, 1e9), 3)
        (0.0, 2e-06, 1.5)
        """
        if ranks == 1:
            return 0.0
        rounds = math.ceil(math.log2(ranks))
        doubling = rounds * (self.latency + size / self.bandwidth)
        halving = 2 * rounds * self.latency + 2 * (ranks - 1) / ranks * size / self.bandwidth
        return min(doubling, halving)


LINKS = {
    "10 Gb/s, 20 µs": Link(20e-6, 10e9 / 8),
    "25 Gb/s, 5 µs": Link(5e-6, 25e9 / 8),
    "100 Gb/s, 2 µs": Link(2e-6, 100e9 / 8),
}


@dataclass(frozen=True)
class Work:
    """What one rank computes in a step: seconds, for each layer its share of them and its parameters, and the batch."""

    seconds: float
    layers: tuple[tuple[float, int], ...]  # in the order of forward
    images: int = 1

    @property
    def parameters(self) -> int:
        return sum(count for _, count in self.layers)


def work(network: Network, seconds: float) -> Work:
    """The step of a network, shared among its layers as their multiplications are."""
    found = products(network)
    whole = sum(n * k * m for n, k, m in found)
    return Work(seconds, tuple((n * k * m / whole, (k + 1) * m) for n, k, m in found), network.batch)


# ResNet-50 (He et al. 2015): multiplications of an image of 224x224, in 1e9, and parameters, stage by stage.
RESNET50 = (
    (0.118, 9_536),
    (0.68, 215_808),
    (1.04, 1_219_584),
    (1.47, 7_098_368),
    (0.81, 14_964_736),
    (0.002, 2_049_000),
)


def resnet50(images: int, flops: float) -> Work:
    """A step of ResNet-50 at a rate of floating-point operations a second."""
    whole = sum(giga for giga, _ in RESNET50)
    return Work(3 * 2e9 * whole * images / flops, tuple((giga / whole, count) for giga, count in RESNET50), images)


def step(one: Work, link: Link, ranks: int, bucket: float = 4 << 20, overlap: bool = True) -> float:
    """Seconds of a step in which each rank computes `one`; buckets of so many bytes.

    >>> one = Work(3.0, ((0.5, 1000), (0.5, 1000)))
    >>> step(one, Link(0.0, 1e3), 1)
    3.0
    >>> step(one, Link(0.0, 1e3), 2, bucket=4000), step(one, Link(0.0, 1e3), 2, overlap=False)
    (10.0, 11.0)
    """
    now, through, waiting = FORWARD * one.seconds, 0.0, 0.0
    for position, (share, count) in enumerate(reversed(one.layers), 1):
        now += (1 - FORWARD) * one.seconds * share
        waiting += count * FLOAT
        last = position == len(one.layers)
        if last or (overlap and waiting >= bucket):
            through = max(through, now) + link.total(ranks, waiting)
            waiting = 0.0
    return max(now, through)


def fitted(measured: Mapping[tuple[int, int], float]) -> Link:
    """The link that explains best what sums took: seconds by (ranks, bytes), relative errors squared.

    >>> there = Link(3e-6, 2e9)
    >>> found = fitted({(p, n): there.total(p, n) for p in (2, 4) for n in (4, 4096, 1 << 22)})
    >>> round(found.latency * 1e6, 3), round(found.bandwidth / 1e9, 3)
    (3.0, 2.0)
    """
    best, least = Link(1e-6, 1e9), math.inf
    for latency in np.geomspace(1e-7, 1e-2, 101):
        for bandwidth in np.geomspace(1e7, 1e11, 161):
            link = Link(float(latency), float(bandwidth))
            loss = sum(math.log(link.total(p, n) / t) ** 2 for (p, n), t in measured.items())
            if loss < least:
                best, least = link, loss
    return _polished(best, measured)


def _polished(link: Link, measured: Mapping[tuple[int, int], float]) -> Link:
    """The best link nearby, at steps that become smaller."""

    def loss(link: Link) -> float:
        return sum(math.log(link.total(p, n) / t) ** 2 for (p, n), t in measured.items())

    factor = 1.06
    while factor > 1 + 1e-6:
        near = [
            Link(link.latency * factor**a, link.bandwidth * factor**b) for a in (-1, 0, 1) for b in (-1, 0, 1)
        ]  # fmt: skip
        closest = min(near, key=loss)
        if loss(closest) >= loss(link):
            factor = math.sqrt(factor)
        else:
            link = closest
    return link


# ------------------------------------------------------------------------------------------------------------------
# Measuring, on the ranks of this machine

_SUMS = """
import sys, time
import numpy as np
from mpi4py import MPI
world = MPI.COMM_WORLD
for size in map(int, sys.argv[1:]):
    array, times = np.zeros(size, "float32"), []
    for _ in range(30 if size < 1 << 20 else 10):
        world.Barrier()
        start = time.perf_counter()
        world.Allreduce(MPI.IN_PLACE, array)
        times.append(world.allreduce(time.perf_counter() - start, MPI.MAX))
    if world.rank == 0:
        print(size, sorted(times)[len(times) // 4])
"""


def sums(ranks: int, sizes: Sequence[int] = SIZES) -> dict[tuple[int, int], float]:
    """Seconds in which ranks of this machine sum so many floats, by (ranks, bytes): lower quartiles."""
    from tinygrad_conv.distributed.supervising import launcher

    command = [*launcher(), "-n", str(ranks), sys.executable, "-c", _SUMS, *map(str, sizes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {(ranks, int(size) * FLOAT): float(seconds) for size, seconds in rows}


def table(works: Mapping[str, Work], links: Mapping[str, Link] = LINKS, ranks: Sequence[int] = RANKS) -> str:
    """Efficiency by network and link, twice: each rank with a batch of its own, and one batch shared by all.

    It is the work done in a second, in percent of that of as many ranks that need not talk; – for less than an image.
    """
    lines = [f"| network, and its step on one rank | link | {' | '.join(f'{p:,}' for p in ranks)} |"]
    lines.append("|---|---|" + "---|" * len(ranks))
    for name, one in works.items():
        for label, link in links.items():
            cells = []
            for p in ranks:
                own = one.seconds / step(one, link, p)
                part = Work(max(one.seconds / p, FIXED), one.layers)
                shared = f"{100 * one.seconds / p / step(part, link, p):.0f}" if p <= one.images else "–"
                cells.append(f"{100 * own:.0f} / {shared}")
            lines.append(f"| {name}, {one.seconds * 1e3:,.1f} ms | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Fit the model to sums on 2 and 4 ranks, and print what it predicts."""
    from .contenders import CONTENDERS
    from .measure import compare
    from .networks import flops

    measured = sums(2) | sums(4)
    link = fitted(measured)
    print(f"2 and 4 ranks of this machine: {link.latency * 1e6:.1f} µs, {link.bandwidth / 1e9:.2f} GB/s")
    for (ranks, size), seconds in measured.items():
        told = f"measured {seconds * 1e6:9.1f} µs, model {link.total(ranks, size) * 1e6:9.1f} µs"
        print(f"  {ranks} ranks, {size:>12,} bytes: {told}")
    found, _ = compare("network", ("cnn", "vgg"), [CONTENDERS["compiled"]], 1, 11, 2.0)
    seconds = {name: float(np.median(results[0].times)) for name, results in found.items()}
    works = {name: work(NETWORKS[name], each) for name, each in seconds.items()}
    rate = flops(NETWORKS["vgg"]) / seconds["vgg"]
    works[f"ResNet-50, batch 32, at {rate / 1e9:.0f} GFLOP/s"] = resnet50(32, rate)
    works["ResNet-50, batch 32, at 20 TFLOP/s"] = resnet50(32, 20e12)
    print(f"\n{table(works)}")
