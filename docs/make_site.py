"""Builds the site: ``python docs/make_site.py OUT``. Runs every lesson; a warning is an error, and so is a dead link.

Links to other sites are not followed, so that it needs no network. The site of a version is built from its checkout, in
a folder of its own below that of main (``OUT/v1.2``): then each page has a menu of versions.
"""

import json
import pathlib
import re
import sys
from html import unescape
from urllib.parse import unquote

HERE = pathlib.Path(__file__).parent


def dead_links(site: pathlib.Path) -> list[str]:
    """What pages of a site point to and is not there: "page -> target"."""
    found = []
    for page in sorted(site.rglob("*.html")):
        text = re.sub(r'srcdoc=".*?"', "", page.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r"<script\b.*?</script>", "", text, flags=re.S)
        for target in re.findall(r'<[^<>]*\s(?:href|src)="([^"]*)"', text):
            file = unquote(unescape(target)).split("#")[0].split("?")[0]
            if re.match(r"[a-z]+:", file) or not file:
                continue
            if not (page.parent / file).exists():
                found.append(f"{page.relative_to(site)} -> {target}")
    return found


def list_versions(site: pathlib.Path) -> None:
    """Write what the menus read: "main", and the versions beside it or below it, the newest first."""
    top = site.parent if re.match(r"v\d", site.name) else site

    def number(name: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", name)]

    below = [path.parent.name for path in top.glob("v[0-9]*/index.html")]
    names = ["main", *sorted(below, key=number, reverse=True)]
    (top / "versions.js").write_text(f"showVersions({json.dumps(names)});\n", encoding="utf-8")


def main(out: str, *options: str) -> int:
    """Build the site; the exit code. `options` go to Sphinx: ``-D nb_execution_mode=off`` runs no lesson."""
    from sphinx.cmd.build import main as build

    if build(["-W", "--keep-going", "-q", "-b", "html", *options, str(HERE), out]):
        return 1
    list_versions(pathlib.Path(out).absolute())
    dead = dead_links(pathlib.Path(out))
    print("\n".join(["dead links:", *dead]) if dead else f"the site: python -m http.server -d {out}")
    return bool(dead)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
