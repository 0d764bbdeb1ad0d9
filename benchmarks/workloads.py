"""What is compared: each workload's cases and contenders."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .cases import PRIMITIVES
from .networks import BATCHES, SIDES

OURS = ("plain", "plain compiled", "fast", "compiled")
COMPILER = ("torch.compile",)  # takes a quarter of a minute to start, so for two workloads only
TORCH = ("torch", "torch channels_last")
AT_ALL_CORES = {"cnn", "lenet", "resblock", "vgg", "depthwise", "epoch", "keras"}  # run so too, besides at one thread
OTHERS = ("jax", "keras torch", "keras jax", "mygrad", "autograd", "floor")


@dataclass(frozen=True)
class Workload:
    """Cases of one kind, which is a function of the contenders' modules."""

    about: str
    kind: str
    cases: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()


def _network(name: str, about: str, compiler: tuple[str, ...] = ()) -> Workload:
    return Workload(about + ": a training step", "network", (name,), (*OURS, *TORCH, *compiler, *OTHERS))


WORKLOADS = {
    "cnn": _network(
        "cnn", "conv 32@3x3, relu, maxpool 2, conv 64@3x3, relu, maxpool 2, flatten, dense 10; 28x28x1, batch 128",
        COMPILER,
    ),
    "mlp": _network("mlp", "784-10-10, batch 32"),
    "lenet": _network("lenet", "LeNet-5 with tanh and average pooling, 61,706 parameters, batch 128"),
    "resblock": _network(
        "resblock", "two 3x3 convolutions of 64 channels with batch norm and a skip, 32x32, batch 32", COMPILER,
    ),
    "vgg": _network("vgg", "six 3x3 convolutions of 32 to 128 channels with three poolings, 64x64x3, batch 16"),
    "depthwise": _network("depthwise", "a depthwise-separable block of 64 to 128 channels, 32x32, batch 32"),
    "chain": Workload(
        "1,000 elementwise operations on 16 numbers, and back", "chain", ("chain",),
        ("plain", "plain compiled", "compiled", "torch", "jax", "mygrad", "autograd", "floor"),
    ),
    "primitives": Workload(
        "single convolutions and poolings (shapes of the input and of the kernel), forward, and forward and back: our "
        "time over that of PyTorch's better layout", "primitive",
        tuple(f"{name} {number} {direction}" for name, calls in PRIMITIVES.items() for number in range(len(calls))
              for direction in ("forward", "both")),
        ("plain", "fast", *TORCH),
    ),
    "epoch": Workload(
        "Keras' simple convnet through the 60,000 images of MNIST, batch 128: a whole process, data loading included",
        "epoch", ("60000",), ("plain", "fast", "keras torch", "keras jax"),
    ),
    "keras": Workload(
        "the same epoch by stock Keras, on [this engine](keras-backend.md) and on its own backends",
        "epoch", ("60000",), ("keras plain", "keras fast", "keras torch", "keras jax"),
    ),
    "gradcheck": Workload(
        "a small convolution checked to second order, each library with its own checker", "gradcheck", ("gradcheck",),
        ("plain", "torch", "jax"),
    ),
    "graph": Workload(
        "running a network on one image, a snapshot of it, and its picture as DOT text", "graph",
        tuple(f"{name} {stage}" for name in ("cnn", "resblock", "vgg") for stage in ("record", "snapshot", "dot")),
        ("plain",),
    ),
    "scaling": Workload(
        "a training step of two convolutions (16 and 32 channels) by batch, at 28x28, and by side, at batch 16: µs per "
        "image, and the time per FLOP over the least (×)", "network",
        (*(f"batch {n}" for n in BATCHES), *(f"side {n}" for n in SIDES)), (*OURS, *TORCH),
    ),
    "growth": Workload(
        "how the time of an operation and of its derivative grows with the work: from few to 64 times as many "
        "elements, images, or inputs (1.0 is in step; below, a fixed cost is left)", "growth",
    ),
    "scale": Workload(
        "an eager training step, batch 128, on one thread, on two, and on two ranks of one thread each "
        "(`tg.distributed`): 784-10-10, `cnn`, and four layers of 1,000 units (3.8 M parameters); efficiency is the "
        "time of one thread over twice that of two", "scale",
    ),
    "import": Workload("`import` of a package in a fresh process, all of it", "import"),
}  # fmt: skip

PACKAGES: dict[str, dict[str, str]] = {  # what is imported, and in which environment
    "numpy": {}, "tinygrad_conv": {}, "torch": {}, "jax": {}, "keras": {"KERAS_BACKEND": "torch"}, "mygrad": {},
    "autograd": {},
}  # fmt: skip


def quick(workload: Workload) -> Workload:
    """Fewer cases and contenders: the first shape of each primitive, the outer sizes, a tenth of an epoch."""
    cases = workload.cases
    if workload.kind == "primitive":
        cases = tuple(case for case in cases if " 0 " in case)
    if workload.kind == "epoch":
        cases = ("6000",)
    if workload is WORKLOADS["scaling"]:
        cases = tuple(f"batch {n}" for n in BATCHES[::2]) + tuple(f"side {n}" for n in SIDES[::2])
    return replace(workload, cases=cases, contenders=tuple(it for it in workload.contenders if it not in COMPILER))
