"""The lessons run as plain Python, without a notebook; their exercises are unsolved, and solved by their solutions.

By day those that take no time; at night (`HYPOTHESIS_PROFILE=nightly`) all. The build of the site runs all of them too.
"""

import ast
import contextlib
import io
import os
import pathlib
import re
import sys
import types
import xml.etree.ElementTree as ET

import pytest
from test_lecture import CONV, NET, POOL

from tinygrad_conv.cli import main
from tinygrad_conv.engine import primitive
from tinygrad_conv.lessons import check, opening, pictures, slider
from tinygrad_conv.lessons.figures import FIGURES

LESSONS = sorted((pathlib.Path(__file__).parents[1] / "docs" / "lessons").glob("[0-9]*.md"))
SLOW = {"01", "03", "09", "11"}  # they train networks
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
CELL = re.compile(r"^```\{code-cell\} python\n(?::tags: \[([^\]\n]*)\]\n)?(.*?)^```$", re.M | re.S)


def cells(path):
    """(tags, code) of each cell."""
    found = CELL.findall(path.read_text(encoding="utf-8"))
    return [(set(tags.split(", ")) if tags else set(), code) for tags, code in found]


def run(path):
    """All cells in one namespace; a check is red with the exercise that is to be solved."""
    names = {"__name__": "__lesson__"}
    for number, (tags, code) in enumerate(cells(path)):
        exec(compile(code, f"{path.name}[{number}]", "exec"), names)
        for exercise in re.findall(r"^def (\w+)", code, re.M) if "check" in tags else ():
            with pytest.raises(Exception):  # noqa: B017, PT011  (whatever comes of a function that does nothing yet)
                names[exercise]()


@pytest.mark.parametrize("path", [p for p in LESSONS if NIGHTLY or p.name[:2] not in SLOW], ids=lambda p: p.stem)
def test_a_lesson_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(primitive, "_registry", dict(primitive._registry))
    with contextlib.redirect_stdout(io.StringIO()):
        run(path)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_a_lesson_has_its_parts(path):
    """A number, a heading for Jupyter, and two exercises, each with a check and a solution that runs it."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\njupytext:\n")
    assert re.search(rf"^# {int(path.name[:2])}\. ", text, re.M)
    assert len(CELL.findall(text)) == text.count("```{code-cell}")
    assert "$$" not in text  # what would draw a formula lies on another site
    asked = [(tags - {"hide-cell"}, code) for tags, code in cells(path) if tags & {"exercise", "check", "solution"}]
    assert [tags for tags, _ in asked] == [{"exercise"}, {"check"}, {"solution"}] * 2
    for k in (1, 2):
        assert f"@check\ndef exercise_{k}():" in asked[3 * k - 2][1]
        assert f"\nexercise_{k}()" in asked[3 * k - 1][1]


# What the lecture states, by the lesson that asserts it; what is below 0 without its sign.
STATED = {
    "01": {28, 784, 0, 9, 10, 7840, 100, 7960, 20},
    "02": {40_000, 1.6e9, 1_000_000_000, 25_000_000_000},
    "04": {40_000, 1.6e9, 100},
    "05": {7, 3, 1, 100, 2},  # the volume, its padding, the shared patch, the worked example
    "07": {3, 128, 24, 4, 96},
    "08": {2, 0},  # pooling: the patch, the parameters
}


@pytest.mark.parametrize("number", STATED)
def test_the_numbers_of_the_lecture_are_asserted(number):
    (lesson,) = [path for path in LESSONS if path.name.startswith(number)]
    code = [code for tags, code in cells(lesson) if not tags & {"check", "exercise", "solution"}]
    asserts = [node for node in ast.walk(ast.parse("".join(code))) if isinstance(node, ast.Assert)]
    stated = {node.value for it in asserts for node in ast.walk(it) if isinstance(node, ast.Constant)}
    assert STATED[number] <= stated


@pytest.mark.parametrize(("number", "listing"), [("01", NET), ("07", CONV), ("08", POOL)])
def test_the_listings_of_the_lecture_are_there_to_the_letter(number, listing):
    def lines(text):
        return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())

    (lesson,) = [path for path in LESSONS if path.name.startswith(number)]
    assert lines(listing) in lines("".join(code for _, code in cells(lesson)))


def test_the_engine_of_the_lesson_is_short():
    (lesson,) = [path for path in LESSONS if path.name.startswith("10")]
    lines = [line for tags, code in cells(lesson) if "engine" in tags for line in code.splitlines() if line]
    assert 60 < len(lines) < 120


def test_a_check_says_how_it_stands(capsys):
    def wrong():
        raise AssertionError("no")

    assert check(wrong) is wrong
    check(lambda: 1 / 0)
    check(lambda: None)
    assert capsys.readouterr().out == "Not yet: no\nNot yet: ZeroDivisionError('division by zero')\nSolved.\n"


def test_pictures_and_a_slider(rng):
    plt = pytest.importorskip("matplotlib")
    assert plt
    one = pictures(rng.random((3, 4, 5)), ["<a>", "b", "c"], columns=2)
    assert [axes.get_title(loc="left") for axes in one.axes] == ["<a>", "b", "c", ""]
    html = slider("how far", {"<near>": one, "far": pictures(rng.random((1, 4, 4, 3)))})._repr_html_()
    assert html.count("<img") == 2
    assert html.count(" hidden") == 1
    assert "<near>" not in html
    for wrong in ((rng.random((4, 4)), ()), (rng.random((2, 4, 4)), ["one"]), (rng.random((2, 4, 4, 2)), ())):
        with pytest.raises(ValueError, match="pictures: expected"):
            pictures(*wrong)


def test_a_notebook_shows_a_figure(rng):
    pytest.importorskip("matplotlib")
    assert pictures(rng.random((1, 4, 4)))._repr_png_().startswith(b"\x89PNG")


@pytest.fixture
def jupyter(monkeypatch):
    """Jupyter and jupytext, as far as the command asks for them; what is started."""
    fake = types.SimpleNamespace(reads=lambda text, fmt: (fmt, text), writes=lambda read, fmt: f"{fmt} of {read}")
    monkeypatch.setitem(sys.modules, "jupytext", fake)
    monkeypatch.setattr(opening, "find_spec", lambda name: name in ("jupytext", "jupyterlab"))
    started = []
    monkeypatch.setattr(opening.subprocess, "call", lambda command: started.append(command) or 0)
    return started


def test_the_command_opens_notebooks_of_the_reader(jupyter, tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["lessons", str(folder)]) == 0
    assert "begin with 01_a_picture_is_a_vector.ipynb" in capsys.readouterr().out
    assert jupyter == [[sys.executable, "-m", "jupyterlab", str(folder / "01_a_picture_is_a_vector.ipynb")]]
    made = sorted(folder.iterdir())
    assert [path.stem for path in made] == [path.stem for path in LESSONS]
    assert "(02_too_many_parameters.ipynb)" in made[0].read_text(encoding="utf-8")
    made[0].write_text("my notes", encoding="utf-8")
    made[1].unlink()
    assert main(["lessons", str(folder), "--no-open"]) == 0
    assert made[0].read_text(encoding="utf-8") == "my notes"
    assert made[1].exists()
    assert len(jupyter) == 1


@pytest.mark.parametrize("there", [(), ("jupytext",), ("jupyterlab",)])
def test_the_command_says_what_is_missing(monkeypatch, tmp_path, capsys, there):
    monkeypatch.setattr(opening, "find_spec", lambda name: name in there)
    assert main(["lessons", str(tmp_path / "mine")]) == 2
    assert capsys.readouterr().err.endswith("not installed: pip install 'tinygrad-conv[lessons]'\n")
    assert not (tmp_path / "mine").exists()


def test_figures_for_slides(tmp_path, capsys):
    """Each as SVG and PDF, light and dark, with the same words."""
    assert main(["figures", str(tmp_path / "out")]) == 0
    assert "36 files" in capsys.readouterr().out
    for name in FIGURES:
        texts = []
        for theme in ("light", "dark"):
            svg = ET.fromstring((tmp_path / "out" / f"{name}-{theme}.svg").read_text(encoding="utf-8"))
            texts.append([element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")])
            assert (tmp_path / "out" / f"{name}-{theme}.pdf").read_bytes().startswith(b"%PDF")
        assert texts[0] == texts[1] != []
