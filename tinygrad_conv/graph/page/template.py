"""A page as one file: its HTML, style and scripts, which lie beside the code, and its data, put together."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from ...palette import css

__all__ = ["fill"]


def fill(room: str, page: str, title: str, summary: str, data: Any) -> str:
    """A page whose files lie in `room`, a package: ``page.html`` with its style, its scripts and its data in it."""
    text = _resource(room, f"{page}.html")
    parts = {
        "title": escape(title), "summary": escape(summary), "style": css() + _resource(room, f"{page}.css"),
        "script": _script(room, page), "data": _json(data),
    }  # fmt: skip
    for name in ("style", "script", "title", "summary", "data"):  # data last: what they hold is nobody's template
        text = text.replace(f"{{{{{name}}}}}", parts[name].rstrip("\n"))
    return text


@cache
def _resource(room: str, name: str) -> str:
    return files(room).joinpath(name).read_text(encoding="utf-8")


def _script(room: str, page: str) -> str:
    """The page's scripts one after the other, in the order of their names: ``page.01.data.js`` comes first."""
    names = (file.name for file in files(room).iterdir())
    scripts = sorted(name for name in names if name.startswith(f"{page}.") and name.endswith(".js"))
    return "".join(_resource(room, name) for name in scripts)


def _json(data: Any) -> str:
    """JSON that may stand in a page: no tag can end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
