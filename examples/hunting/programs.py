"""Programs of a few lines that show a mistake, with the library that makes it alone.

``its`` is the `Library` that they are written for, ``call`` the text of what is wrong, ``report`` what the check says.
"""

import io
from contextlib import redirect_stdout
from itertools import islice

import numpy as np


def program(its, call, f, args, report):
    """A few lines that print their derivative and another, which differ; or that raise where they ask for theirs."""
    floats = [k for k, x in enumerate(args) if x.dtype.kind == "f"]
    modes = [its.reverse] * ("JVP" not in report.message) + [its.forward] * ("VJP" not in report.message)
    modes = modes[:: -1 if report.message.startswith("forward") else 1]
    if not report.property:  # it raises, or has another shape
        texts = [whole(its, call, args, k, mode) for k in floats for mode in modes]
    elif report.index is None:  # no single element is wrong
        texts = [together(its, call, args, floats), *(both(its, call, args, k) for k in floats)]
    else:
        outputs = [element(report.output_index)]
        if report.order == 2:
            outputs = [".sum()", *map(element, islice(np.ndindex(f(*args).shape), 12))]
        texts = [single(its, call, args, output, report, mode) for mode in modes if mode for output in outputs]
    return next((text for text in texts if text and shows(text, not report.property)), "")


def whole(its, call, args, k, mode):
    """Of the gradient by one argument, or of the derivative along it, the shape."""
    given, x = ", ".join("abcd"[: len(args)]), "abcd"[k]
    theirs, like = mode.format(f="f", k=k, given=given, x=x), x if mode == its.reverse else f"f({given})"
    lines = [its.imports, arrays(its, args, np.ones(args[k].shape))]
    lines.append(f"f = lambda {given}: {call}{'.sum()' * (mode == its.reverse)}")
    return "\n".join([*lines, f"print(tuple({theirs}.shape), '|', tuple({like}.shape))  # theirs, expected"])


def together(its, call, args, floats):
    """The derivative where all arguments move together."""
    names = "abcd"[: len(args)]
    given = ", ".join(names)
    theirs = " + ".join(f"{its.reverse.format(f='f', k=k, given=given, x=names[k])}.sum()" for k in floats)
    up, down = (", ".join(f"{n} {sign} e" if k in floats else n for k, n in enumerate(names)) for sign in "+-")
    lines = [its.imports, arrays(its, args, np.array(1e-4)), f"f = lambda {given}: {call}.sum()"]
    return "\n".join([*lines, f"print(float({theirs}), '|', float(f({up}) - f({down})) / 2e-4)  # theirs, numeric"])


def both(its, call, args, k):
    """The derivative along one argument, in reverse and in forward mode."""
    given, x = ", ".join("abcd"[: len(args)]), "abcd"[k]
    lines = [its.imports, arrays(its, args, np.ones(args[k].shape)), f"f = lambda {given}: {call}.sum()"]
    theirs = [mode.format(f="f", k=k, given=given, x=x) for mode in (its.reverse, its.forward)]
    return "\n".join([*lines, f"print(float({theirs[0]}.sum()), '|', float({theirs[1]}))  # reverse, forward"])


def single(its, call, args, output, report, mode):
    """The derivative of one element by another; for order 2, of an element of the gradient, or of the slope along e."""
    names = "abcd"[: len(args)]
    given, k = ", ".join(names), number(report.argument)
    if k >= len(args):  # by a tangent
        return ""
    step = np.zeros(args[k].shape)
    step[report.index] = 1e-4
    up, down = (", ".join(f"{n} {sign} e" if n == names[k] else n for n in names) for sign in "+-")
    lines = [its.imports, arrays(its, args, step), f"f = lambda {given}: {call}{output}"]
    if report.order == 2:
        inner, first = number(report.output), its.reverse
        if "tangent" in report.output:
            inner, first = k, f"{its.forward} / 1e-4"
        first = first.format(f="y", k=inner, given=given, x=names[inner])
        lines[-1] = lines[-1].replace("f", "y", 1)
        place = element(report.output_index) if "gradient" in report.output else ""
        lines.append(f"f = lambda {given}: {first}{place}")
    theirs = mode.format(f="f", k=k, given=given, x=names[k])
    theirs += element(report.index) if mode == its.reverse else " / 1e-4"
    return "\n".join([*lines, f"print(float({theirs}), '|', float(f({up}) - f({down})) / 2e-4)  # theirs, numeric"])


def arrays(its, args, step):
    """The line that makes arguments, and a step e."""
    made = [its.array.format(x.tolist()) + (f".reshape({x.shape})" if not x.size else "") for x in (*args, step)]
    return f"{', '.join('abcd'[: len(args)])}, e = {', '.join(made)}"


def element(index):
    return str(list(index)) if index else ""


def number(label):
    """The number of an argument in its label."""
    return next((int(word) for word in label.replace(")", " ").split() if word.isdigit()), 0)


def shows(text, may_raise):
    """Does a program print two things that differ, or raise where that is what it shows?"""
    lines, out, names = text.splitlines(), io.StringIO(), {}
    try:
        with redirect_stdout(out):
            exec("\n".join(lines[:-1]), names)
            exec(lines[-1], names)
    except Exception:
        return may_raise
    theirs, other = out.getvalue().split("|")
    try:
        return not np.isclose(float(theirs), float(other), rtol=1e-8, atol=1e-9, equal_nan=True)
    except ValueError:
        return theirs.split() != other.split()
