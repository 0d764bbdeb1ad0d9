"""A page as one file: its HTML, style and scripts, which lie beside the code, and its data, put together."""

from __future__ import annotations

import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from ...palette import css

__all__ = ["fill", "template"]


def fill(room: str, page: str, title: str, summary: str, data: Any) -> str:
    """A page whose files lie in `room`, a package: ``page.html`` with its style, its scripts and its data in it."""
    text = template(room, page)
    parts = {"title": escape(title), "summary": escape(summary), "data": _json(data)}
    for name, value in parts.items():  # data last: what they hold is nobody's template
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def template(room: str, page: str, style: str = "") -> str:
    """The same with places for its title, summary and data; `style` gives the colours, if not the palette."""
    text = _resource(room, f"{page}.html")
    style = (style or css()) + re.sub(r" *([{};,]) *|(:) ", r"\1\2", _resource(room, f"{page}.css"))
    for name, part in (("style", style), ("script", _script(room, page))):
        text = text.replace(f"{{{{{name}}}}}", part.rstrip("\n"))
    return text


@cache
def _resource(room: str, name: str) -> str:
    return files(room).joinpath(name).read_text(encoding="utf-8")


def _script(room: str, page: str) -> str:
    """The page's scripts one after the other, in the order of their names: ``page.01.data.js`` comes first."""
    names = (file.name for file in files(room).iterdir())
    scripts = sorted(name for name in names if name.startswith(f"{page}.") and name.endswith(".js"))
    text = "".join(_resource(room, name) for name in scripts)
    return re.sub(r"^\s+|^//.*\n|  // .*$", "", text, flags=re.M)  # as a page need not be read


def _json(data: Any) -> str:
    """JSON that may stand in a page: no tag can end it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
