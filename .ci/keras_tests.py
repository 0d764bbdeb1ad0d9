"""Keras' own tests, which ship in its wheel, on this engine: `python .ci/keras_tests.py [PART ...]`.

PART is a folder or a file below keras/src; without one, all of `PARTS`, which takes a while. Ends with 1 if a test
fails that `FAILING` does not explain, or if fewer than 97 % pass. Needs the extras `keras` and `test`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_conv.keras_backend  # isort: skip  # noqa: F401
import keras  # isort: skip

SOURCES = Path(keras.__file__).parent / "src"
PARTS = (
    "activations", "callbacks", "initializers", "layers", "losses", "metrics", "models", "ops", "optimizers", "random",
    "regularizers", "saving", "trainers",
)  # fmt: skip

OPTIONS = (
    "-q", "--no-header", "--tb=short", "-rN", "-p", "no:cacheprovider", "-p", "no:tinygrad_conv", "-W", "ignore",
    "--continue-on-collection-errors", "-c", "/dev/null",
)  # fmt: skip

# By a pattern of the name or of the error. What cannot run here:
ABSENT = (
    r"No module named '(tensorflow|grain|jax|sklearn|orbax)'",
    r"requires the ('orbax-checkpoint' package|(tensorflow|jax) module)",
    r"requires (installing )?TensorFlow",
    r"Backward-compat fixture missing",
)
# And what fails, with the reason.
FAILING = {
    r"bfloat16|float8": "NumPy has neither dtype",
    r"Flash attention is not supported": "there is no such kernel for a CPU",
    r"test_is_tensor": "a NumPy array counts as a tensor here, as on Keras' NumPy backend",
    r"QrOpTest::test_jvp": "Keras' function for this asks JAX",
    r"object has no attribute 'trainable'": "the test writes an attribute to a value, which only PyTorch lets one do",
    r"'train_one_step'": "the test has a step of its own for each backend that it knows",
    r"KeyError: 'tinygrad_conv'": "the test has a table of the backends that it knows",
    r"test_export": "there is no format to export to",
    r"BackupAndRestore\w*::test_best_case_step": "a training goes on inside an epoch; Keras does its batches again",
    r"BackupAndRestore\w*::test_backup_corrupted": "Keras' two files and their copies are one here, whole or not there",
}


class Collector:
    """Counts what passes, and keeps what fails."""

    def __init__(self) -> None:
        self.passed = 0
        self.skipped = 0
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.passed += 1
        elif report.skipped:
            self.skipped += 1
        elif report.failed:
            self.failed[report.nodeid] = str(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = str(report.longrepr)


def reason(name: str, error: str) -> str | None:
    """Why a test fails, as far as this file knows; nothing ("") if it cannot run."""
    text = "\n".join([name, *(line for line in error.splitlines() if line.startswith("E  "))])
    if any(re.search(pattern, text) for pattern in ABSENT):
        return ""
    return next((why for pattern, why in FAILING.items() if re.search(pattern, text)), None)


def helpers() -> None:
    """What Keras' tests import from the root of its repository, which is not in the wheel."""
    module = ModuleType("conftest")
    backend = keras.backend.backend

    def skip_if_backend(name: str, reason: str) -> pytest.MarkDecorator:
        return pytest.mark.skipif(backend() == name, reason=reason)

    module.skip_if_backend = skip_if_backend  # type: ignore[attr-defined]
    sys.modules["conftest"] = module


def known_here(path: Path, folder: Path) -> Path:
    """The test of trainers with this backend among those that it knows."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(
        r'raise ImportError\(f"Invalid backend.*',
        "from keras.src.backend.numpy.trainer import NumpyTrainer as Trainer", text,
    )  # fmt: skip
    copy = folder / path.name
    copy.write_text(text.replace('"torch": "cpu",', '"torch": "cpu", "tinygrad_conv": "cpu",'), encoding="utf-8")
    return copy


def main(parts: list[str]) -> int:
    helpers()
    found = Collector()
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for part in parts or PARTS:
            place = SOURCES / part
            paths = [place] if place.is_file() else sorted(place.rglob("*_test.py"))
            files += [known_here(path, Path(folder)) if path.name == "trainer_test.py" else path for path in paths]
        pytest.main([*OPTIONS, "--rootdir", str(SOURCES), *map(str, files)], plugins=[found])
    explained: dict[str, int] = {}
    unknown = []
    for name, error in found.failed.items():
        why = reason(name, error)
        if why is None:
            unknown.append((name, error))
        else:
            explained[why] = explained.get(why, 0) + 1
    absent = explained.pop("", 0)
    for name, error in unknown:
        print(f"\nFAILED {name}\n{error[-1500:]}")
    total = found.passed + len(found.failed) - absent
    print(f"\n{found.passed} of {total} pass ({found.passed / max(total, 1):.1%}), {found.skipped} are skipped,")
    print(f"{absent} need another library, or a file that is not in the wheel")
    for why, count in sorted(explained.items(), key=lambda item: -item[1]):
        print(f"  {count:4} fail: {why}")
    print(f"  {len(unknown):4} fail, and nothing explains it")
    return int(bool(unknown) or found.passed < 0.97 * total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
