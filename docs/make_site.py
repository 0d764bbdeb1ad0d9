"""Builds the site: ``python docs/make_site.py OUT``. Runs every lesson; a warning is an error, and so is a dead link.

Links to other sites are not followed, so that it needs no network.
"""

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


def main(out: str, *options: str) -> int:
    """Build the site; the exit code. `options` go to Sphinx: ``-D nb_execution_mode=off`` runs no lesson."""
    from sphinx.cmd.build import main as build

    failed = build(["-W", "--keep-going", "-q", "-b", "html", *options, str(HERE), out])
    dead = dead_links(pathlib.Path(out))
    print("\n".join(["dead links:", *dead]) if dead else f"the site: python -m http.server -d {out}")
    return bool(failed or dead)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
