"""`Run`: a model in training, with all it takes to go on later as if it had never stopped.

Every epoch draws its random numbers (the order of the images, dropout's masks) from a generator of its own, started
from the seed and the epoch's number. So weights, optimiser and what happened so far are the whole state; within an
epoch also where its generator is. This state is what a checkpoint holds: `Run.save` writes one, `Run.load` reads it.

On several processes each computes a part of every batch. All have the same state after each step.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from .. import distributed, files, nn, optim
from ..arguments import Count, Finite, NonNegative, Positive, Probability, Size, checked, one_of
from ..arguments.kinds import integers, numbers
from ..data import batches, mnist
from ..distributed.optimizer import Reduction
from ..distributed.world import world
from ..engine.modes import no_grad
from ..errors import ArgumentError, DataError
from ..nn.module import fitting, put
from ..ops.activations import softmax
from ..ops.losses import softmax_cross_entropy
from ..plots import LayerStatistics
from ..stopping import Stopped
from .recipes import INPUT, OPTIMIZERS, RECIPES, build

HELD_OUT = 0.1  # the share of the training images, the last ones, that only validation sees
ABOUT = 4_000  # characters that a checkpoint says of an epoch, at most; 850 are usual
LOOKED_AT = 32  # training images, the first ones, on which the layers are looked at after each epoch


@dataclass(frozen=True)
class Settings:
    """What decides a run's outcome.

    >>> Settings.of({"model": "dense", "lr": 0.1})
    Settings(model='dense', full=False, limit=None, epochs=20, batch_size=32, optimizer='sgd', lr=0.1, decay=1.0,
    seed=0, reduction='mean')
    """

    model: Annotated[str, one_of(*RECIPES)]
    full: bool
    limit: Annotated[int, integers(20)] | None
    epochs: Size
    batch_size: Size
    optimizer: Annotated[str, one_of(*OPTIMIZERS)]
    lr: Positive
    decay: Annotated[float, numbers("a number in (0, 1]", 0, 1, to_low=False, to_high=True)]
    seed: Count
    reduction: Reduction = "mean"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """What was given, and for the rest (missing, or None) the model's recipe."""
        known = {name: value for name, value in given.items() if value is not None}
        model = known.get("model", "cnn")
        recipe, full = RECIPES[model], known.get("full", False)
        optimizer = known.get("optimizer", recipe.optimizer)
        usual = {
            "model": model, "full": full, "limit": None, "epochs": recipe.full_epochs if full else recipe.epochs,
            "batch_size": recipe.batch_size, "optimizer": optimizer,
            "lr": recipe.lr if optimizer == recipe.optimizer else OPTIMIZERS[optimizer],
            "decay": recipe.decay, "seed": 0,
        }  # fmt: skip
        return cls(**usual | known)

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        files.write(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n", "train")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what `save` wrote. Raises DataError for anything else, and names the setting that cannot be."""
        expected = files.Expected(str(path), "the settings of a run")
        return files.record(cls, files.parsed(expected.read(path, 10_000), expected), expected)


@dataclass(frozen=True)
class Epoch:
    """What is known of a finished epoch."""

    epoch: Size
    loss: Finite
    accuracy: Probability
    val_loss: float
    val_accuracy: Probability


@dataclass(frozen=True)
class Within:
    """How far an epoch is that has not ended: examples seen, their losses, how many were right, and the generator."""

    seen: Size
    total: Finite
    right: Count
    generator: str

    @classmethod
    def of(cls, seen: int, total: float, right: int) -> Within:
        """So far, with the package's generator as it is now."""
        return cls(seen, total, right, files.where_is(nn.init.generator()))

    def draw_on(self) -> None:
        """Go on with the random numbers from there. Raises ValueError for what is no state of a generator."""
        files.put_generator(nn.init.generator(), self.generator)


@dataclass(frozen=True)
class About:
    """What a checkpoint says besides arrays."""

    history: Sequence[dict[str, Any]]
    layers: tuple[dict[str, Any], dict[str, Any]]
    seconds: NonNegative
    within: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Images:
    """MNIST for a run: images to train on, to validate with, and to test with."""

    x: NDArray[Any]
    y: NDArray[Any]
    x_val: NDArray[Any]
    y_val: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]

    @classmethod
    def of(cls, settings: Settings, data_dir: str | None) -> Images:
        (x, y), (x_test, y_test) = mnist(settings.full, data_dir=data_dir).arrays()
        if settings.limit is not None:
            x, y = x[: settings.limit], y[: settings.limit]
            x_test, y_test = x_test[: settings.limit], y_test[: settings.limit]
        n = round(len(x) * (1 - HELD_OUT))
        return cls(x[:n], y[:n], x[n:], y[n:], x_test, y_test)

    def __repr__(self) -> str:
        return f"{len(self.x):,} images to learn from, {len(self.x_val):,} held out, {len(self.x_test):,} to test"


@checked
class Run:
    """A model, its optimiser, and what happened so far.

    Attributes
    ----------
    history : list of {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
        One row for each finished epoch.
    layers : LayerStatistics
        Gradient norms and activations of every layer after each epoch.
    seconds : float
        Time spent on training.
    within : Within or None
        How far the epoch is that goes on now.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        nn.seed(_number(settings.seed, 0))
        self.model = build(settings.model)
        self.model.build(INPUT)
        kinds = {name.lower(): getattr(optim, name) for name in optim.__all__}
        optimizer: optim.Optimizer = kinds[settings.optimizer](self.model.parameters(), lr=settings.lr)
        self.optimizer = distributed.Optimizer(optimizer, self.model, settings.reduction)
        self.history: list[dict[str, float]] = []
        self.layers = LayerStatistics(loss=lambda y, logits: softmax_cross_entropy(logits, y))
        self.seconds = 0.0
        self.within: Within | None = None

    def epoch(self, images: Images, tell: Callable[[float], Any], asked: Callable[[], bool] = bool) -> None:
        """Go once through the training images, then look at the validation images and at the layers.

        `tell` is called after each step with the loss so far; `asked` says whether to stop. An epoch that was begun,
        of which `within` tells, is ended.

        Raises ArgumentError when the loss is no number any more; Stopped on all ranks when one was asked to stop.
        """
        start, settings = time.perf_counter(), self.settings
        number = len(self.history) + 1
        nn.seed(_number(settings.seed, number))
        self.optimizer.lr = settings.lr * settings.decay ** (number - 1)
        self.model.train()
        begun, seen, total, right = self.within, 0, 0.0, 0
        if begun is not None:
            seen, total, right = begun.seen, begun.total, begun.right
        every = batches(images.x, images.y, batch_size=settings.batch_size, seed=nn.init.generator())
        for xb, yb in islice(every, -(-seen // settings.batch_size), None):
            if begun is not None:  # here, after the order was drawn
                begun.draw_on()
                begun = None
            self.optimizer.zero_grad()
            for x, y in self.optimizer.parts(xb, yb):
                logits = self.model(x)
                loss = softmax_cross_entropy(logits, y)
                loss.backward()
                self.optimizer.note(loss.item(), (logits.numpy().argmax(axis=1) == y).mean(), float(asked()))
            self.optimizer.step()
            batch_loss, accuracy, stop = self.optimizer.noted
            seen, total, right = seen + len(yb), total + batch_loss * len(yb), right + round(accuracy * len(yb))
            if not math.isfinite(total):
                raise ArgumentError(f"train: the loss is {batch_loss} in epoch {number}; try --lr {settings.lr / 10:g}")
            self.within = Within.of(seen, total, right)
            tell(total / seen)
            if stop:
                raise Stopped
        val_loss, val_accuracy = self.judge(images.x_val, images.y_val)
        self.layers.measure(self.model.eval(), images.x[:LOOKED_AT], images.y[:LOOKED_AT])
        self.seconds, self.within = self.seconds + time.perf_counter() - start, None
        self.history.append(
            {"epoch": number, "loss": total / seen, "accuracy": right / seen, "val_loss": val_loss,
             "val_accuracy": val_accuracy}
        )  # fmt: skip

    def judge(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
        """Loss and accuracy on labelled images."""
        probabilities = predict(self.model, x)
        likely = probabilities[np.arange(len(y)), y]
        loss = -np.log(np.maximum(likely, np.finfo(likely.dtype).tiny)).mean()
        return float(loss), float((probabilities.argmax(axis=1) == y).mean())

    def save(self, path: Path) -> None:
        """Write the whole state to a file."""
        layers = [self.layers.gradients, self.layers.activations]
        about = json.dumps(
            {"history": self.history, "layers": layers, "seconds": self.seconds}
            | ({"within": dataclasses.asdict(self.within)} if self.within else {})
        )
        model = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        optimizer = {f"optimizer/{name}": value for name, value in self.optimizer.state_dict().items()}
        files.write_arrays(path, {"about": np.array(about), **model, **optimizer}, "train")

    def load(self, path: Path) -> None:
        """Continue from a file that `save` wrote. Raises DataError for anything else."""
        expected = files.Expected(str(path), "the checkpoint of a run")
        with files.arrays_in(path, _weights(path)) as entries, expected.checking("other content"):
            text = entries.pop("about").text(ABOUT * (1 + min(self.settings.epochs, 10_000)))
            about = files.record(About, files.parsed(text, expected), expected)
            past = _past(about, expected)
            parts: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}}
            for name, entry in entries.items():
                part, _, inner = name.partition("/")
                parts[part][inner] = entry if entry.shape else entry.item()
            own = dict(self.model._state())
            values = fitting("train", self.settings.model, own, parts["model"])
            self.optimizer.load_state_dict(parts["optimizer"])  # all or nothing; what follows cannot fail
        put(own, values)
        self.history, self.layers.gradients, self.layers.activations, self.seconds, self.within = past

    def receive(self) -> None:
        """Take over all that rank 0 has, which may have loaded it."""
        self.optimizer.share()
        state = self.history, self.layers.gradients, self.layers.activations, self.seconds, self.within
        self.history, self.layers.gradients, self.layers.activations, self.seconds, self.within = world().from_first(
            "takes rank 0's history", state
        )


@checked
def predict(model: nn.Module, x: NDArray[Any], batch_size: Size = 500) -> NDArray[Any]:
    """The probabilities (N, 10) of the digits in images (N, 28, 28, 1), of which each rank computes some batches."""
    model.eval()
    ranks = world()
    with no_grad():
        own = range(ranks.rank * batch_size, len(x), ranks.size * batch_size)
        parts = [softmax(model(x[k : k + batch_size])).numpy() for k in own]
    found = ranks.gathered("predicts", parts)
    return np.concatenate([part for parts in zip_longest(*found) for part in parts if part is not None])


def _past(about: About, expected: files.Expected) -> tuple[Any, ...]:
    """What happened so far: history, gradients and activations of layers, seconds, how far the epoch is."""
    epochs = [files.record(Epoch, row, expected) for row in about.history]
    if [row.epoch for row in epochs] != list(range(1, len(epochs) + 1)):
        raise expected.error("other content (epochs that do not follow one another)")
    kinds: tuple[Any, Any] = Sequence[float], Sequence[tuple[float, float, float]]
    for kind, names in zip(kinds, about.layers, strict=True):
        for name, rows in names.items():
            names[name] = list(files.value(kind, name, rows, expected))
            if len(rows) != len(epochs):
                raise expected.error(f"other content ({len(rows)} rows for {name!r} after {len(epochs)} epochs)")
    within = None if about.within is None else files.record(Within, about.within, expected)
    if within is not None:
        files.put_generator(np.random.default_rng(0), within.generator)  # for its errors
    return list(map(dataclasses.asdict, epochs)), *about.layers, about.seconds, within


@checked
def load_weights(path: Path) -> tuple[str, nn.Sequential]:
    """The name of the model that a file of weights fits, and that model with these weights.

    Raises DataError for a file that is missing or damaged, or fits no model.
    """
    with files.arrays_in(path, _weights(path)) as entries:
        for name in RECIPES:
            model = build(name)
            model.build(INPUT)
            shapes = {name: array.shape for name, array in model.state_dict().items()}
            if entries.keys() == shapes.keys() and all(entries[name].shape == shapes[name] for name in shapes):
                model.load_state_dict(entries)
                return name, model
    raise DataError(f"{path}: expected the weights of {', '.join(RECIPES)}, got arrays that fit none of them")


def _weights(path: Path) -> files.Expected:
    return files.Expected(str(path), "a file of weights (.npz)")


def _number(seed: int, epoch: int) -> int:
    """A seed for an epoch (0: the first weights), from the run's seed."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
