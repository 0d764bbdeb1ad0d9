"""The site's reference has every public name; dead links are found. The build itself is in .ci/run."""

import contextlib
import doctest
import functools
import importlib
import inspect
import pathlib
import re
import sys
import time

import browser
import pytest

import tinygrad_conv as tg

DOCS = pathlib.Path(__file__).parents[1] / "docs"


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module


@pytest.mark.parametrize("room", ["tinygrad_conv", *(f"tinygrad_conv.{room}" for room in sorted(tg._LAZY))])
def test_the_reference_has_every_public_name(docs, room):
    text = "\n".join(docs("make_api").pages().values())
    written = set(re.findall(r"^\.\. auto(?:class|function):: tinygrad_conv(?:\.\w+)*\.(\w+)$", text, re.M))
    written |= set(re.findall(r"``(\w+)`` is ``", text))
    module = importlib.import_module(room)
    for name in dir(module) if room == "tinygrad_conv" else getattr(module, "__all__", dir(module)):
        value = getattr(module, name)
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isroutine(value)):
            continue
        assert name in written, f"docs/make_api.py: {room}.{name} is on no page"


def test_every_public_name_has_an_example_that_runs(docs):
    """In its docstring, as pytest collects it: found by doctest in the module that defines it, and not skipped."""

    @functools.cache
    def run(module):
        found = doctest.DocTestFinder().find(sys.modules[module])
        return {test.name for test in found if any(doctest.SKIP not in line.options for line in test.examples)}

    text = "\n".join(docs("make_api").pages().values())
    without = []
    for name in re.findall(r"^\.\. auto(?:class|function):: (\S+)$", text, re.M):
        room, _, own = name.rpartition(".")
        value = getattr(importlib.import_module(room), own)  # of `nn.summary`, which a module is called as well
        if f"{value.__module__}.{value.__qualname__}" not in run(value.__module__):
            without.append(name)
    assert not without


def test_every_method_has_an_example(docs):
    """In its docstring, or in that of the class which has it first: an example there calls it, or defines it."""
    text = "\n".join(docs("make_api").pages().values())
    methods, without = 0, []
    for name in re.findall(r"^\.\. autoclass:: (\S+)$", text, re.M):
        room, _, own = name.rpartition(".")
        cls = getattr(importlib.import_module(room), own)
        shown = "".join(example.source for example in doctest.DocTestParser().get_examples(cls.__doc__ or ""))
        for method, value in vars(cls).items():
            function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            is_method = inspect.isroutine(function) and not isinstance(function, functools.cached_property)
            if not is_method or method.startswith("_") or function.__name__.startswith("_"):
                continue
            if any(method in vars(base) for base in cls.__mro__[1:]):
                continue  # explained there
            methods += 1
            if ">>>" not in (function.__doc__ or "") and not re.search(rf"(\.|def ){method}\(", shown):
                without.append(f"{name}.{method}")
    assert methods > 250
    assert not without


def test_a_name_is_explained_once(docs):
    text = "\n".join(docs("make_api").pages().values())
    written = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", text, re.M)
    assert len(written) == len(set(written)) > 500


def test_dead_links_are_found(docs, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "a page.html").write_text('<a href="inside/b.html#top">b</a> <a href="https://c.org">c</a>', "utf-8")
    (tmp_path / "inside" / "b.html").write_text(
        '<img src="../gone.png"><a class="x" href="../a%20page.html?q=1">a</a><script>"href=\'no\'"</script>'
        '<iframe srcdoc="&lt;a href=1&gt;"></iframe>',
        "utf-8",
    )
    assert docs("make_site").dead_links(tmp_path) == [f"{pathlib.Path('inside/b.html')} -> ../gone.png"]


PAGE = """<!doctype html><html data-content_root="{up}" data-ready="true"><body><a class="sidebar-brand">tg</a>
<script src="{up}_static/versions.js"></script></body></html>"""


@pytest.fixture
def sites(docs, tmp_path):
    """Those of main, v0.9 and v0.10, each a page in a folder, as built one after another."""
    for name in ("", "v0.9", "v0.10"):
        site = tmp_path / name
        for folder, up in ((site, "./"), (site / "lessons", "../")):
            folder.mkdir(exist_ok=True)
            (folder / "index.html").write_text(PAGE.format(up=up), "utf-8")
        (site / "_static").mkdir()
        (site / "_static" / "versions.js").write_bytes((DOCS / "_static" / "versions.js").read_bytes())
        docs("make_site").list_versions(site)
    return tmp_path


def test_versions_are_listed_at_the_top(sites):
    assert (sites / "versions.js").read_text("utf-8") == 'showVersions(["main", "v0.10", "v0.9"]);\n'
    assert not list(sites.glob("v*/versions.js"))


@browser.needed
def test_a_menu_leads_from_version_to_version(sites):
    """From any page, in a folder that no server serves."""
    page = browser.Browser()
    menu = "document.querySelector('select.versions')"
    try:
        page.open(sites / "v0.9" / "lessons" / "index.html")
        for value, place in (("v0.10", "v0.10"), ("main", "."), ("v0.9", "v0.9")):
            _wait(page, f"{menu}?.options.length == 3")
            assert page.run(f"[...{menu}.options].map(it => it.value)") == ["main", "v0.10", "v0.9"]
            page.run(f"{menu}.value = '{value}'; setTimeout(() => {menu}.dispatchEvent(new Event('change')))")
            wanted = (sites / place / "index.html").as_uri()
            _wait(page, f"location.href == {wanted!r} && {menu}?.value == {value!r}")
        assert not page.complaints
    finally:
        page.close()


def _wait(page, condition):
    for _ in range(1500):
        with contextlib.suppress(RuntimeError):  # a page that is left does not answer
            if page.run(condition):
                return
        time.sleep(0.02)
    raise AssertionError(f"{condition}, at {page.run('location.href')}")
