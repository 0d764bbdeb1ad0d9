"""The grammar of programs: parts, each a few lines of text, and how they are put together.

A program is source text: a `step` to compile, a function `call(k)` that changes what should change before the call
number k and makes it, and `state()`, all that the program keeps. It is made of drawn *parts* in a fixed order of kinds,
and around them only what `written` says. So a failing program shrinks by losing parts, and is a script to paste.
"""

import ast
import re
from dataclasses import dataclass, replace
from textwrap import dedent, indent

__all__ = ["STEPS", "WHEN", "Part", "Program", "assigned", "chosen", "part"]

CHOICE = re.compile("«([^«»]*)»")
WHEN = "«k == 3|k % 2|k > 0|k in (2, 5)|k == 1|k % 3 == 2»"

HEAD = """\
import numpy as np

import tinygrad_conv as tg

compile = tg.compile  # or `eager` of programs.running


def array(k, *shape, dtype="float64"):
    return np.random.default_rng(k).standard_normal(shape).astype(dtype)


"""
FOOT = "\n\nfor k in range(8):\n    print(k, call(k))\n"


@dataclass(frozen=True)
class Part:
    """Lines that belong together, by their place in the program.

    In all of them ``#`` is the number of the part, so that names differ, and ``«a|b»`` draws a or b (with the space
    around it taken off).

    Attributes
    ----------
    setup : before the step is defined
    takes, gives : a parameter of the step, and what call k gives for it
    step : in the step; its running value is `h`, of shape (n, 3)
    between : before a call; only now and then, unless it says itself when
    result : an expression that the step returns, beside others
    learns : its parameters, written as items of a list
    call : how a call is made, with ``STEP`` for the compiled step
    """

    setup: str = ""
    takes: str = ""
    gives: str = ""
    step: str = ""
    between: str = ""
    result: str = ""
    learns: str = ""
    call: str = ""


def part(choose, template, number):
    """A template with all its choices made, by a function that chooses from a list."""
    texts = {name: chosen(choose, dedent(text).strip("\n")) for name, text in vars(template).items()}
    if texts["between"] and not texts["between"].startswith("if "):
        texts["between"] = f"if {chosen(choose, WHEN)}:\n{indent(texts['between'], '    ')}"
    return replace(template, **{name: text.replace("#", str(number)) for name, text in texts.items()})


def chosen(choose, text):
    """A text with its choices made, inner ones first."""
    while (choice := CHOICE.search(text)) is not None:
        text = text[: choice.start()] + choose(choice[1].split("|")).strip() + text[choice.end() :]
    return text


AS_METHOD = """\
class Step:
    {}
    def at(self, *args, **kwargs):
        return body(*args, **kwargs)


step = {}
"""
STEPS = (  # how the step comes to be compiled
    "@compile\ndef step",
    "def body\n\n\nstep = compile(lambda *args, **kwargs: body(*args, **kwargs))",
    "def body\n\n\nfrom functools import partial\n\nstep = compile(partial(body))",
    "def body\n\n\n" + AS_METHOD.format("@compile", "Step().at"),
    "def body\n\n\n" + AS_METHOD.format("", "compile(Step().at)"),
    "def body\n\n\n" + AS_METHOD.format("", "compile(Step())").replace("def at(", "def __call__("),
)


class Program:
    """Drawn parts, in order; a container for their results; one of `STEPS`; and is all of it in a closure?

    Printed, it is a script to paste.
    """

    def __init__(self, parts, results="RESULTS", step=STEPS[0], closed=False):
        self.source = written(parts, results, step, closed)

    def __repr__(self):
        return f"\n{HEAD}{self.source}{FOOT}"


def written(parts, results, step, closed):
    """The text of a program."""
    learned = ", ".join(p.learns for p in parts if p.learns)
    setup, body, between = (
        "\n".join(text for text in (getattr(p, name) for p in parts) if text).replace("LEARNED", learned)
        for name in ("setup", "step", "between")
    )
    takes, gives, given_back = (
        ", ".join(text for text in (getattr(p, name) for p in parts) if text) for name in ("takes", "gives", "result")
    )
    call = "STEP"
    for p in parts:
        call = call.replace("STEP", p.call or "STEP")
    names = assigned(setup)
    scope = "nonlocal" if closed else "global"
    head, tail = re.fullmatch(r"(.*?def \w+)(.*)", step, re.DOTALL).groups()
    source = f"""\
{setup}


{head}({takes}):
{indent(_declared(scope, names, body) + body, "    ")}
    return {results.replace("RESULTS", given_back or "None")}
{tail}

def call(k):
{indent(_declared(scope, names, between) + between, "    ")}
    return {call.replace("STEP", "step")}({gives})


def state():
    return dict({", ".join(f"{name}={name}" for name in names)})
"""
    if closed:
        source = f"def program():\n{indent(source, '    ')}\n    return call, state\n\n\ncall, state = program()\n"
    return re.sub(r"(:\n)\n+", r"\1", re.sub(r"\n( *\n)+", _blank, source))


def _blank(match):
    """At most two empty lines, without spaces in them."""
    return "\n" * min(match[0].count("\n"), 3)


def assigned(source):
    """The names that a text gives a value at its top level, in order."""
    names = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            names |= {inner.id: None for inner in ast.walk(target) if _stored(inner)}
    return list(names)


def _declared(scope, names, text):
    """The line that says which of the outer names a function's body gives new values."""
    stored = {node.id for node in ast.walk(ast.parse(text)) if _stored(node)}
    own = [name for name in names if name in stored]
    return f"{scope} {', '.join(own)}\n" if own else ""


def _stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
