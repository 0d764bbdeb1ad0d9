"""Every run is the same: Hypothesis draws the same examples each time. `HYPOTHESIS_PROFILE=nightly` explores."""

import gc
import os
from importlib import import_module
from importlib.util import find_spec

import pytest
from hypothesis import settings

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
if workers:  # of pytest-xdist: each gets its share of the cores. BLAS reads this when NumPy is imported, below
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

os.environ.setdefault("TINYGRAD_CONV_MEASURE", "0")  # what runs is not to depend on how busy a machine is
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # SciPy reads it as it is imported; tests/test_libraries.py

from tinygrad_conv.testing.plugin import register_profiles  # noqa: E402  (imports NumPy)

PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or "ci"
register_profiles()
settings.load_profile(f"tinygrad_conv-{PROFILE}")


def pytest_generate_tests(metafunc):
    """Sets have another order in each process, and pytest-xdist runs what all of its processes list in one order."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        if any(isinstance(arg, (set, frozenset)) for arg in mark.args):
            raise pytest.UsageError(f"{metafunc.definition.nodeid} is parametrized by a set: write sorted(...)")


COMPILING = tuple(
    f"tests/test_{name}"
    for name in (
        "compiled_kernels", "benchmarks", "architecture.py::test_code_on_pages", "plan_programs", "cli"
    )
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """What makes machine code comes first: the first process of pytest-xdist is given that, and others find it made.

    At night a test draws at least as many examples as the profile says, however few it is given by day.
    """
    items.sort(key=lambda item: not item.nodeid.startswith(COMPILING))
    for item in items if PROFILE == "nightly" else ():
        test = getattr(item, "function", None)
        few = getattr(test, "_hypothesis_internal_use_settings", None)
        if few is not None and few.max_examples < settings.default.max_examples:
            test._hypothesis_internal_use_settings = settings(few, max_examples=settings.default.max_examples)


def pytest_collection_finish():
    """What pytest holds to the end (7,000 tests, what they import) is not gone through at each collection of cycles."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def nothing_is_left_set():
    """A test that leaves another mode or other kernels to the next one fails, not the next one."""
    from tinygrad_conv.engine.modes import MODE
    from tinygrad_conv.kernels.wanted import choice

    before = MODE.get(), choice()
    yield
    assert (MODE.get(), choice()) == before


@pytest.fixture
def little_shrinking(monkeypatch):
    """Failing arguments are not made as small as can be, which takes longer than to find them."""
    from tinygrad_conv.testing import replay

    monkeypatch.setattr(replay, "_SECONDS", 0.1)


@pytest.fixture
def no_collector():
    """What is gone meanwhile went without the collector of cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.fixture(scope="session")
def keras():
    """Stock Keras on this engine, which has to be imported before it."""
    if find_spec("keras") is None:
        pytest.skip("pip install 'tinygrad-conv[keras]'")
    import_module("tinygrad_conv.keras_backend")
    return import_module("keras")
