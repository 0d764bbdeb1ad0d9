"""`examples/hunt.py` finds what is planted, and what is known to be wrong in other libraries."""

import contextlib
import importlib
import io
import pathlib
import re
import sys
from importlib.metadata import version

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.testing import replay

ROOT = pathlib.Path(tg.__file__).parents[1]
PAGE = (ROOT / "docs" / "hunt.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hunting():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        yield importlib.import_module("hunt")
    finally:
        sys.path.remove(str(ROOT / "examples"))
        for name in ("hunt", "hunting", "hunting.operations", "hunting.programs"):
            sys.modules.pop(name, None)


def outcome(program):
    """What a program prints, or the error that it ends with."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            exec(program, {})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return out.getvalue().strip()


# ------------------------------------------------------------------------------------------------------------------
# What is planted


@pytest.fixture
def planted(hunting, monkeypatch):
    """This library as one that is hunted in, by calls."""

    def hunt(samples=6, **calls):
        library = sys.modules["hunting.operations"].Library(
            lambda f: f, "import tinygrad_conv as tg", "tg.Tensor({}, requires_grad=True)",
            "tg.grad({f}, argnums={k})({given})", "tg.jvp(lambda {x}: {f}({given}), ({x},), (e,))[1]", calls,
        )  # fmt: skip
        monkeypatch.setitem(hunting.LIBRARIES, "planted", library)
        return hunting.hunt("planted", seconds=1000, samples=samples)

    return hunt


def test_what_is_right_is_not_found(planted, hunting):
    hunt = planted(
        tanh="tg.tanh(a)", sum="tg.sum(a, {axis}, {keepdims})", where="tg.where({args})",
        conv2d="tg.conv2d(a, b, None, {stride}, {padding}, {dilation}, {groups})",
        exp="2 * tg.exp(a)", cos="tg.cosine(a)",
    )  # fmt: skip
    assert hunt.found == []
    assert hunt.checked == {"tanh": 6, "sum": 6, "where": 6, "conv2d": 6}  # exp means something else, cos is not there
    assert "planted: 24 cases of 4 operations, 0 mistakes" in hunting.told(hunt)


def test_what_is_wrong_is_found_made_small_and_shown_by_a_program(planted, hunting, monkeypatch):
    monkeypatch.setattr(replay, "_SECONDS", 0.5)
    hunt = planted(
        2,
        sin="tg.sin(a) + 0.5 * (a - tg.stop_gradient(a))",
        cos="tg.cos(a) + (tg.stop_gradient(a) - a) * (a - tg.stop_gradient(a))", exp="tg.exp(a)",
    )  # fmt: skip
    found = {each.operation: each for each in hunt.found}
    assert {name: each.report.order for name, each in found.items()} == {"sin": 1, "cos": 2}
    text = hunting.told(hunt)
    for each in found.values():
        assert each.program in text
        assert len(each.program.splitlines()) <= 5
        assert re.search(rf"^{each.operation} .* {each.report.analytic:.9g} +{each.report.numeric:.9g}$", text, re.M)
        theirs, numeric = map(float, outcome(each.program).split("|"))
        assert abs(theirs - numeric) > 0.1
        assert not np.isclose(each.report.analytic, each.report.numeric)


def test_every_operation_has_samples_that_ours_takes(hunting):
    for operation in hunting.SAMPLES:
        for seed in range(4):
            args, keywords = hunting.sample(operation, seed)
            with np.errstate(all="ignore"):
                hunting.OURS[operation](*args, **keywords)
    for library in hunting.LIBRARIES.values():
        assert library.calls.keys() <= hunting.SAMPLES.keys()


# ------------------------------------------------------------------------------------------------------------------
# What is known

KNOWN = {
    "torch": "hard_sigmoid mish logaddexp",  # what is wrong in forward mode twice is left out by now
    "autograd": "prod tanh where einsum tile solve sort var broadcast_to getitem",
    "mygrad": "maximum minimum leaky_relu std repeat",
}  # fmt: skip
CASES = [(library, operation) for library, operations in KNOWN.items() for operation in operations.split()]
VERSIONS = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", PAGE.lower().replace("pytorch", "torch"), re.M))


def is_newer(library):
    def parts(text):
        return [int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3]]

    return parts(version(library)) > parts(VERSIONS[library])


@pytest.mark.peer
@pytest.mark.parametrize(("library", "operation"), CASES)
def test_known_mistakes_are_found(hunting, library, operation, monkeypatch):
    pytest.importorskip(library)
    monkeypatch.setattr(replay, "_SECONDS", 0.5)
    found = []
    for seed in range(0, 40, 4):
        found = found or hunting.hunt(library, [operation], seconds=1000, seed=seed, samples=4).found
    if not found and is_newer(library):
        pytest.skip(f"{library} {version(library)} has mended {operation}: say so in docs/hunt.md")
    assert {each.operation for each in found} == {operation}
    assert all(each.program in hunting.told(hunting.Hunt(library, found)) for each in found)
    assert any(each.program for each in found)


@pytest.mark.peer
def test_nothing_is_found_in_jax(hunting):
    pytest.importorskip("jax")
    hunt = hunting.hunt("jax", ["tanh", "prod", "where"], seconds=1000, samples=2)
    assert hunt.found == []
    assert hunt.checked == {"tanh": 2, "prod": 2, "where": 2}


@pytest.mark.peer
def test_a_derivative_that_is_refused_is_no_mistake(hunting):
    pytest.importorskip("autograd")
    hunt = hunting.hunt("autograd", ["diagonal"], seconds=1000, samples=6)
    assert hunt.found == []
    assert any("make_diagonal only supports offset=0" in line for line in hunt.missing)


PROGRAMS = re.findall(r"```py\n(import .*?)```\n\n```text\n(.*?)\n```", PAGE, re.S)


def test_the_page_has_what_is_known():
    assert set(VERSIONS) == {"torch", "jax", "autograd", "mygrad"}
    assert len(PROGRAMS) >= 15
    assert len(PROGRAMS) == PAGE.count("```py")


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("program", "said"), PROGRAMS)
def test_programs_on_the_page_print_what_it_says(program, said):
    library = re.match(r"import (\w+)", program)[1]
    pytest.importorskip(library)
    found = outcome(program)
    if found != said and is_newer(library):
        pytest.skip(f"{library} {version(library)} does otherwise: say so in docs/hunt.md")
    assert found == said
