"""Writes docs/operations.md from the operations' own docstrings: ``python docs/make_reference.py``."""

import inspect
import pathlib
import re

import tinygrad_conv as tg
from tinygrad_conv.files import write

PAGE = pathlib.Path(__file__).with_name("operations.md")


def row(name: str) -> str:
    """One line of the table: name with its keywords, kind, the first sentence, the derivative."""
    function = getattr(tg, name)
    doc = inspect.getdoc(function) or ""
    summary = re.split(r"(?<=[.:])\s", doc.split("\n\n")[0].replace("\n", " "))[0].rstrip(":")
    derivative = re.search(r"Derivatives?:? (.*?)(?:\.\s|\.$|$)", doc.split(">>>")[0].replace("\n", " "))
    primitive = getattr(function, "primitive", None)
    kind = primitive.kind if primitive else "composed"
    cell = (derivative[1] if derivative else "").replace("|", "\\|").strip()
    return f"| `{name}{_arguments(function)}` | {kind} | {summary.replace('|', chr(92) + '|')} | {cell} |"


def _arguments(function: object) -> str:
    parts = []
    for p in inspect.signature(function).parameters.values():  # type: ignore[arg-type]
        prefix = "*" if p.kind is p.VAR_POSITIONAL else ""
        parts.append(f"{prefix}{p.name}" + ("" if p.default is p.empty else f"={p.default!r}"))
    return f"({', '.join(parts)})".replace("|", "\\|")


def page() -> str:
    """The whole page."""
    lines = [
        "# Operations", "",
        "Made from the docstrings by `python docs/make_reference.py`; `help(tg.conv2d)` says more. Kinds are those of",
        "[primitives](primitives.md); composed operations are differentiable through their parts, and plain ones give",
        "data without a gradient.", "",
    ]  # fmt: skip
    for family in tg.ops.FAMILIES:
        name = family.__name__.rsplit(".", 1)[-1]
        lines += [f"## {name}", "", (family.__doc__ or "").split("\n")[0], ""]
        lines += ["| operation | kind | what it does | derivative |", "|---|---|---|---|"]
        lines += [row(operation) for operation in family.__all__ if callable(getattr(tg, operation))]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    write(PAGE, page())
