"""The main job: train a network on MNIST, and leave a folder that tells all about it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib.util import find_spec
from logging import INFO, StreamHandler, getLogger
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import checked
from ..distributed.supervising import began
from ..distributed.world import world
from ..errors import ArgumentError, DataError
from ..files import Every, holding, unfinished
from ..stopping import Stopped, Stopping
from . import outputs
from .results import Results
from .run import Images, Run, Settings, predict

OTHERWISE = "wait until that has ended, or start a run with another --name"
NO_PLOTS = (
    f"matplotlib is not installed, so {', '.join(outputs.PICTURES)} are left out; to have them: "
    "pip install 'tinygrad-conv[plots]'"
)


def train(
    given: Mapping[str, Any], data_dir: str | None, out: str, name: str | None, resume: bool, quiet: bool, plots: bool,
    every: Every,
) -> int:  # fmt: skip
    """Train, write the run's folder, and print the test accuracy; returns the exit code, 130 after Ctrl-C.

    On several processes rank 0 alone reads and writes the folder, and prints.

    Parameters
    ----------
    given : settings by name; those that are None come from the model's recipe, or from the run resumed
    data_dir : where the full set is, if not where it is looked for usually
    out : the folder of the run's folder
    name : the run's folder, by default ``mnist-MODEL``
    resume : go on with the run of this name, or else with the model's newest
    quiet : print the last line only
    plots : draw PNG pictures
    every : how often to write a checkpoint, besides after each epoch
    """
    base = Path(out, name or f"mnist-{given.get('model') or 'cnn'}")
    ranks = world()
    with ExitStack() as held:
        if ranks.rank:
            settings = ranks.from_first("begins a run", None)
            run, images = Run(settings), Images.of(settings, data_dir)
            run.receive()
            return work(run, images, None, True, False, every)
        resume = resume or is_there(base, name, since=began())
        if resume:
            folder = base if name else newest(base)
            resumed(folder, given)  # for its errors: nothing is written before, not even who holds the folder
            held.enter_context(holding(folder, OTHERWISE))
            settings = resumed(folder, given)
        else:
            settings = Settings.of(given)
        if data_dir is not None and not settings.full:
            raise ArgumentError("--data-dir: expected together with --full, as the sample comes with the package")
        ranks.from_first("begins a run", settings)
        run = Run(settings)
        if resume:
            go_back(run, folder)
        images = Images.of(settings, data_dir)
        run.receive()
        if not resume:
            folder = fresh(base, settings)
            held.enter_context(holding(folder, OTHERWISE))
        elif settings != Settings.load(folder / "settings.json"):
            settings.save(folder / "settings.json")
        return work(run, images, folder, quiet, plots, every)


def is_there(base: Path, name: str | None, since: float) -> bool:
    """Was this program started again, and had its run begun?"""
    if since:
        with suppress(DataError, OSError):  # it may have failed before
            return os.path.getmtime((base if name else newest(base)) / "settings.json") >= since - 1
    return False


def go_back(run: Run, folder: Path) -> None:
    """To where the run in a folder was when its last checkpoint was written."""
    if (folder / "checkpoint.npz").exists():  # else it was stopped before the first
        run.load(folder / "checkpoint.npz")
    if len(run.history) > run.settings.epochs:
        raise ArgumentError(f"--epochs: {folder} has had {len(run.history)} epochs, got {run.settings.epochs}")


@contextmanager
def news(quiet: bool) -> Iterator[None]:
    """What the library logs in a block is printed: that kernels are being compiled."""
    logger, handler = getLogger("tinygrad_conv"), StreamHandler(sys.stdout)
    before = logger.level
    if not quiet:
        logger.addHandler(handler)
        logger.setLevel(INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def work(run: Run, images: Images, folder: Path | None, quiet: bool, plots: bool, every: Every) -> int:
    """Train, write everything into the folder (if there is one), and print the test accuracy."""
    settings = run.settings
    note = NO_PLOTS if plots and find_spec("matplotlib") is None else ""
    if not quiet:
        size = run.model.count_parameters()
        print(f"{settings.model}: {size:,} parameters; {images}; writing to {folder}")
        if note:
            print(note, flush=True)
    with one_thread(), news(quiet):
        stopped = learn(run, images, None if folder is None else folder / "checkpoint.npz", quiet, every)
        results = Results(predict(run.model, images.x_test), images.y_test)
        if folder is None:
            return 130 if stopped else 0
        outputs.write(run, images, results, folder, plots and not note, note)
    if stopped:
        where = f"stopped in epoch {min(len(run.history) + 1, settings.epochs)} of {settings.epochs}"
        print(f"tinygrad-conv: {where}; to go on: --resume --out {folder.parent} --name {folder.name}", file=sys.stderr)
    if not quiet:
        print(f"see {folder / 'report.html'}")
    print(results)
    return 130 if stopped else 0


ANSWER = (
    "tinygrad-conv: stopping after this batch; then what was learned is tested and written (not on a second Ctrl-C)"
)


def learn(run: Run, images: Images, checkpoint: Path | None, quiet: bool, every: Every) -> bool:
    """Train to the last epoch, saving after each, and as often as `every` says. Was it stopped by Ctrl-C?

    The model is then as far as it came; a run is resumed from the last checkpoint.
    """
    from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

    settings, done, stopping, due = run.settings, len(run.history), Stopping(ANSWER), every.begin()
    steps = -(-len(images.x) // settings.batch_size)
    bar = tqdm(
        total=settings.epochs * steps, unit="step", leave=False, dynamic_ncols=True,
        initial=done * steps + (-(-run.within.seen // settings.batch_size) if run.within else 0),
        disable=quiet or None,  # None: where there is no terminal
    )  # fmt: skip

    def tell(loss: float) -> None:
        bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        bar.update()
        if checkpoint is not None and due():
            run.save(checkpoint)

    def asked() -> bool:
        try:
            stopping.check()
        except Stopped:
            return True
        return False

    try:
        with stopping, bar, np.errstate(over="ignore", invalid="ignore"):  # a loss that is no number is said once
            for number in range(done + 1, settings.epochs + 1):
                bar.set_description(f"epoch {number}/{settings.epochs}", refresh=False)
                run.epoch(images, tell, asked)
                if checkpoint is not None:
                    run.save(checkpoint)
                if not quiet:
                    bar.write(_line(run.history[-1], settings.epochs), file=sys.stdout)
    except Stopped:
        return True
    except KeyboardInterrupt:
        if stopping.asked:  # and asked again
            raise
        return True
    return False


def one_thread() -> AbstractContextManager[Any]:
    """One thread for kernels and products, so that the bits of a run do not depend on the number of cores."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits


def _line(row: Mapping[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}  accuracy {row['accuracy']:.2%}  "
        f"validation loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.2%}"
    )


# ----------------------------------------------------------------------------------------------------------
# The run's folder


@checked
def fresh(base: Path, settings: Settings) -> Path:
    """Make the folder, with -2, -3, ... appended if there is something in it already.

    It appears with the settings in it, in one step: a run that was killed can be resumed if its folder is there.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for _ in range(3):
    ...         print(fresh(Path(folder, "run"), Settings.of({})).name)
    run
    run-2
    run-3
    """
    path, number = base, 1
    made = base.with_name(unfinished())
    try:
        made.mkdir(parents=True)
        try:
            settings.save(made / "settings.json")
            while not _became(made, path):
                number += 1
                path = base.with_name(f"{base.name}-{number}")
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(f"--out: expected a folder that can be written, got {path}: {error.strerror}") from None
    return path


def _became(made: Path, path: Path) -> bool:
    """Give a folder its name, unless a folder with something in it has that name."""
    try:
        os.rename(made, path)
    except OSError:
        if path.is_dir() and (any(path.iterdir()) or os.name == "nt"):
            return False
        raise
    return True


@checked
def newest(base: Path) -> Path:
    """The run with the highest number among `base`, `base`-2, `base`-3, ..."""
    runs = {1: base} if base.is_dir() else {}
    for path in base.parent.glob(f"{base.name}-*"):
        number = path.name.removeprefix(f"{base.name}-")
        if number.isdigit():
            runs[int(number)] = path
    if not runs:
        raise DataError(f"--resume: no run to go on with, as there is no {base}; see --out and --name")
    return runs[max(runs)]


@checked
def resumed(folder: Path, given: Mapping[str, Any]) -> Settings:
    """The settings of the run in a folder, of which only the number of epochs may be changed."""
    old = Settings.load(folder / "settings.json")
    for name, value in given.items():
        if value not in (None, getattr(old, name)) and name != "epochs":
            option = f"--{name.replace('_', '-')}"
            raise ArgumentError(
                f"--resume: {folder} was trained with {option} {getattr(old, name)}, got {value}; leave {option} out, "
                "or start a new run"
            )
    return dataclasses.replace(old, epochs=given.get("epochs") or old.epochs)
