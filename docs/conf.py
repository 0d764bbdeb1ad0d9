"""How Sphinx makes the site: ``python docs/make_site.py OUT``."""

import os
import pathlib
import re
import subprocess
import sys

import jupytext

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from make_api import pages  # noqa: E402

import tinygrad_conv as tg  # noqa: E402

project, author, release = "tinygrad_conv", "The tinygrad_conv developers", tg.__version__
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "jupyterlite_sphinx"]
exclude_patterns = ["_build", "_lite", "images"]
html_theme, html_title = "furo", f"tinygrad_conv {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
html_copy_source = False
html_show_sphinx = False
default_role = "code"  # docstrings mark code by one backtick
templates_path: list[str] = []

myst_heading_anchors = 3
nb_execution_mode = "force"  # outputs are never by hand
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
os.environ["TQDM_DISABLE"] = "1"  # a page would show each state of a progress bar, one below the other
nb_execution_show_tb = True
autodoc_typehints = "none"  # signatures as they are read in the code; docstrings say shapes
autodoc_member_order = "bysource"
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # the type of an attribute that has the name of several things

reference = HERE / "reference"
reference.mkdir(exist_ok=True)
wanted = {reference / f"{name}.rst": text for name, text in pages().items()}
for path in set(reference.glob("*.rst")) - set(wanted):
    path.unlink()
for path, text in wanted.items():
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # what is as it was is not read again
        path.write_text(text, encoding="utf-8")

# The lessons as notebooks for JupyterLite, which runs them in the reader's browser, with the library as it is here:
# JupyterLite serves the wheels of its folder pypi.
lite = HERE / "_lite"
lite.mkdir(exist_ok=True)
build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(lite / "pypi")]
subprocess.run(build, cwd=HERE.parent, check=True, capture_output=True)
INSTALL = "%pip install -q tinygrad-conv matplotlib hypothesis"
for page in (HERE / "lessons").glob("[0-9]*.md"):
    notebook = jupytext.read(page, fmt="md:myst")
    notebook.cells.insert(0, jupytext.reads(INSTALL, fmt="py:percent").cells[0])
    notebook.metadata["kernelspec"] = {"name": "python", "display_name": "Python (Pyodide)"}  # else it asks which
    jupytext.write(notebook, lite / f"{page.stem}.ipynb")
jupyterlite_contents = ["_lite/*.ipynb"]
jupyterlite_dir = str(HERE / "_lite")
jupyterlite_silence = True

CODE = re.compile(r"(``.*?``|`[^`]*`)")


def _each(line):
    """Of "kind, name : str" a line for each, as napoleon wants it of attributes; and any other line."""
    names, colon, what = line.partition(" : ")
    return (
        [f"{name} : {what}" for name in names.split(", ")] if colon and re.fullmatch(r"\w+(, \w+)+", names) else [line]
    )


def with_sections(app, what, name, obj, options, lines):
    """What follows the list of arguments is a section of its own: prose, and what begins with >>>."""
    if what == "property":
        return
    lines[:] = (one for line in lines for one in _each(line))
    inside, k = False, 0
    while k < len(lines):
        line, after = lines[k], lines[k + 1] if k + 1 < len(lines) else ""
        if after.startswith("---"):
            inside, k = True, k + 2
            continue
        begins = line and not line[0].isspace() and (k == 0 or not lines[k - 1])
        if line.startswith(">>>"):
            lines[k:k] = ["Examples", "--------", ""]
            return
        if inside and begins and " : " not in line and not after.startswith(" "):
            lines[k:k] = ["Notes", "-----", ""]
            inside = False
        k += 1


def plain_prose(app, what, name, obj, options, lines):
    """Docstrings are prose with code in backticks: what else means something to docutils is escaped."""
    example = opened = False
    for k, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))  # up to the next empty line
        if example or line.lstrip().startswith(".."):
            continue
        before = "``" * opened  # of code that goes on from the line above
        opened = (before + line).count("``") % 2 == 1 and bool(line.strip())
        after = "``" * opened
        parts = CODE.split(before + line + after)
        whole = "".join(
            part if n % 2 else re.sub(r"(?<!\\)([*|]|(?<=\w)_(?=\W|$))", r"\\\1", part) for n, part in enumerate(parts)
        )
        lines[k] = whole[len(before) : len(whole) - len(after)]


_prose: list[str] = []


def before_napoleon(app, what, name, obj, options, lines):
    """It would take what stands before a colon in a property's docstring for its type."""
    _prose[:] = lines


def after_napoleon(app, what, name, obj, options, lines):
    if what == "property":
        lines[:] = _prose


def of_this_site(app, page, template, context, doctree):
    """JupyterLite's extension asks another site for a font on each page: nothing here uses it."""
    context["css_files"] = [file for file in context["css_files"] if "//" not in str(getattr(file, "filename", file))]


def reached_by_links(app, name, source):
    """Decisions are listed on a page of theirs, and not beside each page of the site."""
    if name.startswith("decisions/0"):
        source[0] = "---\norphan: true\n---\n" + source[0]


def with_a_link_to_run(app, name, source):
    """Each lesson says under its title where it runs in the browser."""
    if re.match(r"lessons/\d", name):
        address = f"../lite/lab/index.html?path={name.removeprefix('lessons/')}.ipynb"
        tested = '<a href="index.html#in-the-browser">what was tested</a>'
        link = f'```{{raw}} html\n<p><a href="{address}">Run this lesson in the browser</a> ({tested})</p>\n```'
        source[0] = re.sub(r"^(# .*)$", lambda title: f"{title[1]}\n\n{link}", source[0], count=1, flags=re.M)


def setup(app):
    app.connect("autodoc-process-docstring", with_sections, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", plain_prose, priority=450)
    app.connect("autodoc-process-docstring", before_napoleon, priority=490)
    app.connect("autodoc-process-docstring", after_napoleon, priority=510)
    app.connect("html-page-context", of_this_site)
    app.connect("source-read", reached_by_links)
    app.connect("source-read", with_a_link_to_run)
