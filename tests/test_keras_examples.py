"""The examples in `examples/keras`: each runs, and asserts what it says at its end. With Keras, `-m keras`."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.keras

FOLDER = Path(__file__).parent.parent / "examples" / "keras"
FIRST = "import tinygrad_conv.keras_backend\n\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs(path):
    if find_spec("keras") is None:
        pytest.skip("pip install 'tinygrad-conv[keras]'")
    done = subprocess.run(
        [sys.executable, "-W", "error", path], env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_one_line_makes_an_example_ours(path):
    """Without it, it is a program of Keras; from this library it has but its data."""
    text = path.read_text(encoding="utf-8")
    assert text.count(FIRST) == 1
    rest = text.replace(FIRST, "").replace("from tinygrad_conv import data\n", "")
    assert "tinygrad_conv" not in rest
    assert "\nassert " in text
