"""The lessons run as plain Python, without a notebook; their exercises are unsolved, and solved by their solutions.

By day those that take no time; at night (`HYPOTHESIS_PROFILE=nightly`) all. The build of the site runs all of them too.
"""

import contextlib
import io
import os
import pathlib
import re

import pytest

from tinygrad_conv.engine import primitive
from tinygrad_conv.lessons import check, pictures, slider

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
    asked = [(tags - {"hide-cell"}, code) for tags, code in cells(path) if tags & {"exercise", "check", "solution"}]
    assert [tags for tags, _ in asked] == [{"exercise"}, {"check"}, {"solution"}] * 2
    for k in (1, 2):
        assert f"@check\ndef exercise_{k}():" in asked[3 * k - 2][1]
        assert f"\nexercise_{k}()" in asked[3 * k - 1][1]


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
