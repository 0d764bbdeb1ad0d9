"""``tinygrad-conv lessons``: the lessons as notebooks in a folder of the reader's own, opened in Jupyter."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import DataError, MissingExtraError
from ..files import write

__all__ = ["lessons"]

MISSING = "the lessons open in Jupyter, which is not installed: pip install 'tinygrad-conv[lessons]'"


def pages() -> list[Path]:
    """The lessons that came with the package, or lie beside it in a clone of the repository."""
    here = Path(__file__).parent
    for folder in (here / "pages", here.parents[1] / "docs" / "lessons"):
        if found := sorted(folder.glob("[0-9]*.md")):
            return found
    raise DataError(f"lessons: expected the lessons in {here / 'pages'}, got none; install the package again")


def notebooks(folder: Path) -> list[Path]:
    """Write a notebook of each lesson. One that is there already is the reader's, and stays as it is."""
    import jupytext

    made = []
    for page in pages():
        path = folder / f"{page.stem}.ipynb"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            text = re.sub(r"\((\d\d_\w+)\.md\)", r"(\1.ipynb)", page.read_text(encoding="utf-8"))
            write(path, jupytext.writes(jupytext.reads(text, fmt="md:myst"), fmt="ipynb"), "lessons")
        made.append(path)
    return made


def lessons(folder: str, opened: bool = True) -> int:
    """Write the notebooks and open the first in Jupyter; the exit code. Raises MissingExtraError without Jupyter."""
    if not find_spec("jupytext") or (opened and not find_spec("jupyterlab")):
        raise MissingExtraError(MISSING)
    first, *_ = notebooks(Path(folder))
    print(f"the lessons are in {folder}; begin with {first.name}", flush=True)
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(first)]) if opened else 0
