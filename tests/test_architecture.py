"""The house: imports point one way, public things are documented, the README's code runs."""

import ast
import doctest
import importlib
import inspect
import io
import pathlib
import pkgutil
import re
import subprocess
import sys
import tokenize
from functools import cache

import numpy as np
import pytest

import tinygrad_conv as tg
from tinygrad_conv.engine import primitive

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tinygrad_conv"

FILES = sorted(PACKAGE.rglob("*.py"))
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(PACKAGE)) for p in FILES])


def layers():
    """Each part of the package and the parts that it may import, as docs/architecture.md says, "Layout"."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)(?:\.py|/)` \|.*\| (.*) \|$", page, re.M)
    return {part: set() if allowed == "–" else set(allowed.split(", ")) for part, allowed in rows}


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path):
    """What a file imports, at run time or for types, anywhere in it: module, name taken, and what it is called here."""
    package = ["tinygrad_conv", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(module, alias.name, alias.asname or alias.name) for alias in node.names]
    return found


@cache
def file_of(module, name=None):
    """The file that an import runs: a submodule's if the name is one, else the module's. None outside the package."""
    for dotted in ([f"{module}.{name}"] if name else []) + [module]:
        path = ROOT.joinpath(*dotted.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if dotted.startswith("tinygrad_conv") and file.exists():
                return file
    return None


def imported_files(path):
    return {file for module, name, _ in imports(path) if (file := file_of(module, name))} - {path}


@EACH_FILE
def test_imports_point_one_way(path):
    """Between the parts of the package."""
    if part_of(path) not in ("__init__", "__main__"):
        of = {part_of(file) for file in imported_files(path)} - {part_of(path), "__init__"}
        assert of <= layers()[part_of(path)]


def test_colours_stand_in_the_palette_alone():
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".css", ".js", ".html") and path.name != "palette.py":
            text = re.sub(r"&#\w+;|>>>.*", "", path.read_text(encoding="utf-8"))
            assert not re.findall(r"#(?:[0-9a-fA-F]{3,4}){1,2}\b|\b(?:rgb|hsl)a?\((?!\$)", text), path


def test_rows_of_the_layout_import_rows_above_them():
    above = set()
    for part, allowed in layers().items():
        assert allowed <= above, part
        above.add(part)
    assert above == {part_of(path) for path in FILES} - {"__init__", "__main__"}


def test_imports_point_one_way_inside_the_parts_too():
    """No file imports another that imports it, through however many."""
    left = {path: imported_files(path) for path in FILES}
    while free := [path for path, of in left.items() if not of & left.keys()]:
        for path in free:
            del left[path]
    while free := [path for path in left if not any(path in of for of in left.values())]:
        for path in free:  # what imports a circle, and is in none
            del left[path]
    assert not {str(path.relative_to(PACKAGE)) for path in left}


def private(name):
    return name.startswith("_") and not name.startswith("__")


@EACH_FILE
def test_private_names_stay_in_their_file(path):
    """Neither imported from another file, nor asked of it: `from .a import _b`, `a._b`."""
    taken = [(file_of(module), file_of(f"{module}.{name}"), name, here) for module, name, here in imports(path) if name]
    assert not {name for file, own, name, _ in taken if file and not own and private(name)}
    files = {here for _, own, _, here in taken if own}
    asked = {node for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
    assert not {ast.unparse(node) for node in asked if private(node.attr) and ast.unparse(node.value) in files}


def lines_of_code(path):
    """Lines without docstrings, comments and blanks."""
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.string.strip() and token.type != tokenize.COMMENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(parsed(path)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


@EACH_FILE
def test_a_file_is_one_idea(path):
    assert lines_of_code(path) <= 400


PRODUCTS = {"matmul", "dot", "inner", "vdot", "vecdot", "tensordot", "det", "slogdet"}  # of NumPy, by BLAS


@EACH_FILE
def test_products_of_arrays_are_called_quietly(path):
    """Through `kernels.product`, which tells true floating-point flags of BLAS from others."""
    for node in ast.walk(parsed(path)):
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"@ in line {node.lineno}"
        if isinstance(node, ast.Call):
            called, keywords = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
            by_blas = called.startswith("np.") and called.split(".")[-1] in PRODUCTS
            by_blas |= called == "np.einsum" and "optimize" in keywords and path.name != "product.py"
            assert not by_blas, f"{called} in line {node.lineno}"


def test_importing_the_package_imports_no_extra():
    code = (
        "import sys, tinygrad_conv; "
        "bad = {'matplotlib', 'pooch', 'pytest', 'hypothesis', 'numba', 'PIL', 'tqdm', 'graphviz', 'filelock', "
        "'mpi4py'}; "
        "bad &= set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def public_objects():
    for info in pkgutil.walk_packages([str(PACKAGE)], "tinygrad_conv."):
        if info.name.startswith("tinygrad_conv.keras_backend"):  # Keras' own names; it changes Keras
            continue
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        assert module.__doc__, f"{info.name} has no docstring"
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{info.name}.{name}", value


def test_public_things_are_documented():
    undocumented = {path for path, value in public_objects() if not inspect.getdoc(value)}
    assert not undocumented


def test_every_name_in_all_exists():
    for name in tg.__all__:
        assert hasattr(tg, name)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_code_on_pages_runs(page, tmp_path, monkeypatch):
    """Python blocks of a page share one namespace; those with >>> are checked against their output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(primitive, "_registry", dict(primitive._registry))  # what a page declares is gone with it
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    names = {"__name__": "__page__"}
    for number, block in enumerate(blocks):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, f"{page.name}[{number}]", str(page), 0)
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
            runner.run(test, clear_globs=False)
            assert runner.failures == 0, f"{page.name}, block {number}"
            names.update(test.globs)
        else:
            exec(compile(block, f"{page.name}[{number}]", "exec"), names)
    monkeypatch.undo()


def names_in(path):
    """Functions and classes of a file, methods as Class.method."""
    for node in parsed(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        for inner in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(inner, ast.FunctionDef):
                yield f"{node.name}.{inner.name}"


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/inside.md", "docs/lessons/10_how_it_learns.md", "CONTRIBUTING.md"]
)
def test_walks_name_what_exists(page):
    """Rows of a table: a file of the package or the repository, and a name in it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    steps = re.findall(r"^\|.*?`([a-z_/]+\.py)` \| `([A-Za-z_.]+)` \|", text, re.M)
    assert len(steps) > 4
    for file, name in steps:
        path = next(path for path in (PACKAGE / file, ROOT / file) if path.exists())
        assert name in set(names_in(path)), f"{file} has no {name}"


def test_pages_name_files_that_exist():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for file in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.[a-z]+)`", page.read_text(encoding="utf-8")):
            assert any((folder / file).exists() for folder in (ROOT, PACKAGE, ROOT / "docs")), f"{page.name}: {file}"


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\| (\d+) \| \[(.*)\]\((.*)\) \|", (folder / "README.md").read_text(encoding="utf-8"))
    written = [path for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    titles = [path.read_text(encoding="utf-8").split("\n")[0] for path in written]
    assert [f"# {n}. {title}" for n, title, _ in listed] == titles
    assert [file for _, _, file in listed] == [path.name for path in written]
    assert [int(n) for n, *_ in listed] == list(range(1, len(written) + 1))


def test_pages_link_to_files_that_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_pages_made_from_code_are_current():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import make_reference
    finally:
        sys.path.pop(0)
    old = not hasattr(np, "cumulative_sum")  # the page of NumPy's names has those of 2.1 too
    for path, page in make_reference.PAGES.items():
        if old and path.name == "numpy.md":
            continue
        assert path.read_text(encoding="utf-8") == page(), "run: python docs/make_reference.py"
