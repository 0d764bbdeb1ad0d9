"""The command line: ``tinygrad-conv train mnist``, ``predict``, ``draw``, ``check`` and the others of `EXAMPLES`.

Commands import what they need when they run, so that ``--help`` answers at once. Whatever is wrong with a call is said
in one line, before any work, and exits with 2; Ctrl-C exits with 130. No traceback is shown, except with Python's own
``-X dev``, of what is no error of the library's.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from . import __version__
from .errors import ArgumentError, TinygradConvError
from .starting import over
from .train.recipes import OPTIMIZERS, RECIPES

__all__ = ["main"]

EXAMPLES = """examples:
  tinygrad-conv train mnist                              the default network on the sample that comes along
  tinygrad-conv train mnist --model lenet --full         LeNet-5 on all 70,000 images, downloaded once
  tinygrad-conv train mnist --resume --epochs 20         go on with the newest run
  mpiexec -n 4 tinygrad-conv train mnist                 on four processes
  tinygrad-conv run -n 4 --restart 3 -- train.py         a program of yours on four, again when it has failed
  tinygrad-conv predict digit.png                        which digit is this?
  tinygrad-conv predict *.png --weights runs/mnist-cnn   ask your own network
  tinygrad-conv report runs/mnist-cnn runs/mnist-lenet   two runs side by side
  tinygrad-conv draw model.py:net --input 1x28x28x1 --out net.svg
  tinygrad-conv check model.py:loss --input 4x10         is the gradient of a function right?
  tinygrad-conv check 'conv*'                            the gradient checks of some primitives
  tinygrad-conv summary lenet                            layers, shapes, parameters, FLOPs
  tinygrad-conv lessons                                  learn what a convolution is, in Jupyter
  tinygrad-conv figures slides/                          the lecture's figures, as SVG and PDF
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code.

    >>> main(["--version"])
    tinygrad-conv 0.1.0
    0
    """
    over()
    try:
        options = parser().parse_args(argv)
        code: int = options.run(options)
        return code
    except SystemExit as end:  # --help and --version, or a file that is drawn
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("tinygrad-conv: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if sys.flags.dev_mode and not isinstance(error, TinygradConvError):
            raise
        line = " ".join(_words(error).split()).encode(errors="backslashreplace").decode()
        print("tinygrad-conv: error:", line, file=sys.stderr)
        return 2


def _words(error: Exception) -> str:
    """An error in a line; with its place, if it is none of the library's: it is of a drawn file, nearly always."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (TinygradConvError, OSError)):
        return str(error)
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) and error.filename else f" ({last.filename}, line {last.lineno})"
    return f"{type(error).__name__}: {error}{where}; the whole traceback: python -X dev -m tinygrad_conv ..."


# ----------------------------------------------------------------------------------------------------------
# Commands


def train(options: argparse.Namespace) -> int:
    from .train.job import train
    from .train.run import Settings

    given = {name: value for name, value in vars(options).items() if name in Settings.__annotations__}
    return train(
        given, options.data_dir, options.out, options.name, options.resume, options.quiet, options.plots, options.every
    )


def run(options: argparse.Namespace) -> int:
    from .distributed.supervising import run

    program = options.program[1:] if options.program[:1] == ["--"] else options.program
    if not program:
        raise ArgumentError("run: expected a program after --, such as: tinygrad-conv run -n 4 -- script.py")
    return run(program, options.processes, options.restart)


def predict(options: argparse.Namespace) -> int:
    from .train.predict import predict

    return predict(options.images, options.weights)


def draw(options: argparse.Namespace) -> int:
    from .graph.drawing.command import draw_command

    how = {name: getattr(options, name) for name in ("level", "backward", "color", "direction", "style")}
    how["direction"] = how["direction"] or ("LR" if options.style == "volumes" else "TB")
    return draw_command(options.target, options.input, options.out, options.against, **how)


def check(options: argparse.Namespace) -> int:
    from .testing import battery, users

    if ":" in (options.pattern or ""):
        return users.main(options)
    if options.input or options.vjp:
        raise ArgumentError("check: --input and --vjp are of FILE.py:name or MODULE:name, such as model.py:loss")
    return battery.main(options)


def report(options: argparse.Namespace) -> int:
    from .train.comparing import compare

    return compare(options.runs, options.out)


def summary(options: argparse.Namespace) -> int:
    from .nn import summary
    from .train.recipes import INPUT, build

    recipe = RECIPES[options.model]
    print(f"{options.model}: {recipe.about}\n")
    print(summary(build(options.model), INPUT))
    return 0


def lessons(options: argparse.Namespace) -> int:
    from .lessons.opening import lessons

    return lessons(options.folder, options.opened)


def figures(options: argparse.Namespace) -> int:
    from .lessons.figures import figures

    written = list(figures(options.folder))
    print(f"{len(written)} files in {options.folder}: {', '.join(sorted({path.stem for path in written}))}")
    return 0


# ----------------------------------------------------------------------------------------------------------
# What can be said on the command line


class Parser(argparse.ArgumentParser):
    """Raises its errors, so that all are reported in one way, and suggests the nearest name."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentError(f"{message} (see {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            near = get_close_matches(str(value).lower(), map(str, action.choices), 1, 0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentError(
                action, f"expected one of {', '.join(map(str, action.choices))}, got {value!r}{hint}"
            )


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(
        prog="tinygrad-conv", description="Train a convolutional network on handwritten digits, and ask it.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    top.add_argument("--version", action="version", version=f"tinygrad-conv {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int], about: str, more: str = "") -> Parser:
        added: Parser = commands.add_parser(
            name, help=about, description=f"{about}\n\n{more}".strip(), allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(run=run)
        return added

    models = "\n".join(f"  {name:14} {recipe.about}" for name, recipe in RECIPES.items())
    it = command(
        "train", train, "train a network and report on it",
        f"models:\n{models}\n\nSettings not given are the model's own. The run is written to runs/mnist-MODEL: "
        "weights,\nhistory, pictures and report.html. Ctrl-C stops, and --resume goes on from there.",
    )  # fmt: skip
    it.add_argument("dataset", choices=["mnist"], help="what to learn: mnist, handwritten digits")
    it.add_argument("--model", choices=list(RECIPES), metavar="MODEL", help="see above (default: cnn)")
    it.add_argument("--full", action="store_true", default=None, help="all 70,000 images, downloaded if need be")
    it.add_argument("--data-dir", metavar="FOLDER", help="the folder of the four full MNIST files (with --full)")
    it.add_argument("--epochs", type=whole(1), metavar="N", help="passes over the training images")
    it.add_argument("--batch-size", type=whole(1), metavar="N", help="images per step")
    it.add_argument("--optimizer", choices=list(OPTIMIZERS), metavar="NAME", help=", ".join(OPTIMIZERS))
    it.add_argument("--lr", type=rate, metavar="RATE", help="learning rate of the first epoch")
    it.add_argument("--seed", type=whole(0), metavar="N", help="same seed, same machine: same bits (default: 0)")
    it.add_argument("--out", metavar="FOLDER", default="runs", help="where the run's folder is made (default: runs)")
    it.add_argument("--name", metavar="NAME", help="the run's folder (default: mnist-MODEL, then -2, -3, ...)")
    it.add_argument("--resume", action="store_true", help="go on with the run --name, or with the model's newest")
    it.add_argument("--quiet", action="store_true", help="print the test accuracy only")
    it.add_argument(
        "--checkpoint-every", dest="every", type=every, default=every("60s"), metavar="N",
        help="steps, or seconds as in 30s, after which a checkpoint is written, besides each epoch's (default: 60s)",
    )  # fmt: skip
    it.add_argument(
        "--reduction", choices=["mean", "ordered"], metavar="HOW",
        help="ordered: the same bits on 1, 2, 4 or 8 processes, more slowly (default: mean)",
    )  # fmt: skip
    it.add_argument("--no-plots", dest="plots", action="store_false", help="leave out the PNG pictures")
    it.add_argument("--limit", type=whole(20), metavar="N", help="for debugging: use the first N images only")

    it = command(
        "run", run, "run a Python program on several processes, and again when it has failed",
        "Starts it under mpiexec (pip install 'tinygrad-conv[mpi]' mpich). A program that was started again asks\n"
        "tg.distributed.restarted(), and goes on from its checkpoint, as 'train' does:\n"
        "  tinygrad-conv run -n 4 --restart 3 -- -m tinygrad_conv train mnist",
    )  # fmt: skip
    it.add_argument("-n", dest="processes", type=whole(1), default=1, metavar="N", help="how many (default: 1)")
    it.add_argument("--restart", type=whole(0), default=0, metavar="N", help="how often, at most (default: 0)")
    it.add_argument("program", nargs=argparse.REMAINDER, metavar="-- PROGRAM", help="script.py, or -m module, ...")

    it = command(
        "predict", predict, "say which digit an image shows",
        "Takes any size and colour, light on dark or dark on light. An image that is not 28x28 is cropped to the\n"
        "digit, scaled and centred as MNIST's are. Without --weights, a network that comes along is asked.",
    )  # fmt: skip
    it.add_argument("images", nargs="+", metavar="IMAGE", help="a PNG file, or another image")
    it.add_argument("--weights", metavar="RUN", help="a run's folder, or a .npz file with weights")

    it = command(
        "report", report, "compare runs on one page",
        "What they differ in, how they learned, and how they did: a page beside the first run.",
    )  # fmt: skip
    it.add_argument("runs", nargs="+", metavar="RUN", help="the folder of a run, such as runs/mnist-cnn")
    it.add_argument("--out", metavar="FILE", help="the page (default: report.html beside the first run)")

    it = command("summary", summary, "show a network's layers", f"models:\n{models}")
    it.add_argument("model", choices=list(RECIPES), metavar="MODEL", help="see above")

    it = command(
        "draw", draw, "draw the graph of a tensor, function or model",
        "TARGET is FILE.py:name or MODULE:name (a tensor, model or function, or a function that makes one), or a\n"
        ".json graph.",
    )  # fmt: skip
    it.add_argument("target", metavar="TARGET", help="what to draw")
    it.add_argument("--input", action="append", default=[], metavar="SHAPE", help="of an argument, such as 1x28x28x1")
    it.add_argument(
        "--out", metavar="FILE", help=".svg, .png, .pdf, .tikz, .dot, .html or .json; a tree is printed without"
    )
    it.add_argument("--against", metavar="TARGET", help="print what differs from this; exit code 1 if anything does")
    it.add_argument("--level", choices=["ops", "modules", "units"], default="ops", help="how closely (default: ops)")
    it.add_argument("--backward", action="store_true", help="the gradient's graph too")
    it.add_argument("--color", choices=["kind", "cost", "bytes", "time", "gradients"], default="kind", metavar="BY",
                    help="kind, cost, bytes, time or gradients")  # fmt: skip
    it.add_argument("--direction", choices=["TB", "LR", "auto"], help="top to bottom, left to right, or what fits")
    it.add_argument("--style", choices=["graph", "volumes"], default="graph", help="volumes are boxes in perspective")

    it = command(
        "check", check, "check the gradient of a function, or those of the library's primitives",
        "TARGET is FILE.py:name or MODULE:name: a function or module of this library, PyTorch, JAX, autograd or\n"
        "MyGrad, or a NumPy function (with --vjp). Or it is a pattern of names of primitives, such as 'conv*'.\n"
        "Exit code 1 if a gradient is wrong.",
    )  # fmt: skip
    it.add_argument("pattern", nargs="?", metavar="TARGET", help="what to check (default: all primitives)")
    it.add_argument("--input", action="append", default=[], metavar="SHAPE", help="of an argument, such as 2x3")
    it.add_argument("--vjp", metavar="TARGET", help="the gradient of a NumPy function: vjp(g, *arguments)")
    it.add_argument("--examples", type=whole(1), default=20, metavar="N", help="drawn samples of each (default: 20)")
    it.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of the samples (default: 0)")
    it.add_argument("--quiet", action="store_true", help="print failures and the last line only")

    it = command("lessons", lessons, "open the lessons on convolution in Jupyter",
                 "Writes each lesson as a notebook, unless it is there, and opens the first.")  # fmt: skip
    it.add_argument("folder", nargs="?", default="lessons", metavar="FOLDER", help="yours (default: lessons)")
    it.add_argument("--no-open", dest="opened", action="store_false", help="only write the notebooks")

    it = command("figures", figures, "write the lecture's figures for slides", "As SVG and PDF, light and dark.")
    it.add_argument("folder", metavar="FOLDER", help="where to write them")
    return top


def whole(least: int) -> Callable[[str], int]:
    """A parser of whole numbers from `least` on."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number < 2**31:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
        return number

    return parse


def every(text: str) -> Any:
    """How often to write a checkpoint."""
    from .files import Every

    try:
        return Every.of(text)
    except ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def rate(text: str) -> float:
    """A learning rate.

    >>> rate("1e-3")
    0.001
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number
