"""Pictures as TikZ: all that is in the SVG, in LaTeX's words; and where LaTeX is installed, it takes them."""

import re
import shutil
import subprocess

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.graph.drawing.tikz import svg_to_tikz


def net():
    return tg.nn.Sequential(
        tg.nn.Conv2D(4, 3, padding="same", activation="relu"), tg.nn.MaxPool2D(2), tg.nn.Flatten(), tg.nn.Dense(3)
    )


def difficult():
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True, name="a_b%c&d#e{f}^~g\\h$<i>|--j")
    return tg.tanh(tg.matmul(x, tg.Tensor(np.ones((3, 2)), requires_grad=True, name="αβ−×ᵀ²é₂…語")))


IMAGES = np.ones((1, 8, 8, 1))
PICTURES = {
    "operations": lambda: tg.draw(net(), IMAGES),
    "modules": lambda: tg.draw(net(), IMAGES, level="modules", direction="TB"),
    "gradient": lambda: tg.draw(lambda x, w: tg.tanh(x @ w), np.ones((2, 3)), np.ones((3, 2)), backward=True),
    "dark": lambda: tg.draw(net(), IMAGES, theme="dark"),
    "units": lambda: tg.draw(tg.nn.Sequential(tg.nn.Dense(2), tg.nn.Dense(1)), np.ones((1, 3)), level="units"),
    "volumes": lambda: tg.draw(net(), IMAGES, style="volumes"),
    "difficult": lambda: tg.draw(difficult()),
}


@pytest.mark.parametrize("name", PICTURES)
def test_all_that_is_drawn_is_there(name, tmp_path):
    picture = PICTURES[name]()
    path = picture.render(tmp_path / "net.tikz")
    text = path.read_text(encoding="utf-8")
    assert text == svg_to_tikz(picture.svg)
    lines = text.splitlines()
    assert lines[1].startswith(r"\begin{tikzpicture}")
    assert lines[-1] == r"\end{tikzpicture}"
    assert text.count(r"\begin{scope}") == text.count(r"\end{scope}")
    assert text.count(r"\node[") == picture.svg.count("<text ")
    shapes = len(re.findall(r"<(?:polygon|polyline|path|ellipse|rect) ", picture.svg))
    assert text.count(r"\path[") - 1 == shapes  # one says how large the picture is
    assert set(re.findall(r"=(tg\w{6})\b", text)) == set(re.findall(r"\\definecolor\{(tg\w{6})\}", text))
    assert text.isascii()


def test_what_latex_takes_for_commands_is_text():
    text = svg_to_tikz(
        '<svg viewBox="0 0 9 6"><text x="1" y="2" font-size="8">a_%&amp;#{}$\\ -- é² αλ ᵀ 語</text></svg>'
    )
    assert r"a\_\%\&\#\{\}\$\textbackslash{} {-}{-} e$^{\mathsf{2}}$ $\alpha$$\lambda$ $^{\mathsf{T}}$ ?" in text


def test_the_command_line_writes_it(tmp_path, monkeypatch, capsys):
    from tinygrad_conv.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text("import tinygrad_conv as tg\ndef f(x): return tg.tanh(x)\n")
    assert main(["draw", "nets.py:f", "--input", "2x3", "--out", "net.tikz"]) == 0
    assert capsys.readouterr().out == "net.tikz\n"
    assert "tanh" in (tmp_path / "net.tikz").read_text()


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_latex_takes_it(tmp_path):
    for name, picture in PICTURES.items():
        picture().render(tmp_path / f"{name}.tikz")
    inputs = r"\newpage".join(rf"\noindent\input{{{name}.tikz}}" for name in PICTURES)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[paperwidth=80cm,paperheight=80cm,margin=1cm]{geometry}"
        rf"\usepackage{{tikz}}\begin{{document}}{inputs}\end{{document}}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert f"({len(PICTURES)} pages" in done.stdout
    assert "Overfull" not in done.stdout
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
