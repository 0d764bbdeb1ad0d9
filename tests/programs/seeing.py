"""All that can be seen of values: types, structure, numbers, and which tensor is which."""

import itertools
import types
from collections import deque

import numpy as np

from tinygrad_conv import Tensor
from tinygrad_conv.optim import Optimizer
from tinygrad_conv.plan.compiled import Compiled

__all__ = ["difference", "look"]

TO_CALL = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.GeneratorType,
    types.ModuleType,
    Compiled,
)
AS_TEXT = (int, str, bytes, type, np.dtype, slice, range, itertools.count)
NOTHING = 1e-5  # as small as sums of numbers of size 1 that cancel, in float32
HIDDEN = {"run_eagerly"}  # what differs on purpose


def look(**values):
    """By path: arrays with their numbers, and the rest as text."""
    into, memo = {}, {}
    for name, value in values.items():
        _look(value, name, into, memo)
        memo = {key: known for key, known in memo.items() if isinstance(known[1], Tensor)}  # containers may be copied
    return into


def _look(value, path, into, memo):
    kind = type(value).__name__
    if isinstance(value, (Tensor, list, dict)):
        first = memo.setdefault(id(value), (path, value))[0]
        if first != path:
            into[f"{path}: is"] = first
            return
    if isinstance(value, Tensor):
        into[f"{path}: type"] = kind
        if value.node is not None and value.is_leaf:
            into[f"{path}: is"] = "a leaf"
            _look(value.grad, f"{path}.grad", into, memo)
        into[path] = np.array(value._array)  # not numpy(): an array that was given out is not updated in place
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        _look(value.tolist(), path, into, memo)
    elif isinstance(value, (np.ndarray, np.generic, float, complex)):
        into[f"{path}: type"] = kind
        into[path] = np.array(value)
    elif value is None or value is ... or isinstance(value, AS_TEXT):
        into[path] = f"{kind} {value!r}"
    elif isinstance(value, np.random.Generator):
        into[path] = repr(value.bit_generator.state)
    elif isinstance(value, (list, tuple, deque)):
        into[f"{path}: type"] = f"{kind} of {len(value)}"
        for number, item in enumerate(value):
            _look(item, f"{path}[{number}]", into, memo)
    elif isinstance(value, (dict, types.MappingProxyType)):
        into[f"{path}: type"] = f"{kind} of {list(value)}"
        for key, item in value.items():
            _look(item, f"{path}[{key!r}]", into, memo)
    elif isinstance(value, (set, frozenset)):
        into[path] = f"{kind} {sorted(value)}"
    elif isinstance(value, TO_CALL):
        into[path] = "something to call"
    elif id(value) not in memo:
        memo[id(value)] = (path, value)
        into[f"{path}: type"] = kind
        for name, item in sorted(getattr(value, "__dict__", {}).items()):
            if not name.startswith("_") and name not in HIDDEN:
                _look(item, f"{path}.{name}", into, memo)
        if isinstance(value, Optimizer):
            into[f"{path}.lr"] = np.array(value.lr)


def difference(expected, got, rounding):
    """Where two runs of a program differ, in words; None where they do not. Without rounding, to the bit."""
    after = [f"after call {k}, " for k in range(len(expected.seen))] + [""] * len(expected.late)
    pairs = zip(expected.seen + expected.late, got.seen + got.late, strict=True)
    for when, (x, y) in zip(after, pairs, strict=True):
        for path in {**y, **x}:
            if path not in x or path not in y:
                return f"{when}{path} is {'missing' if path in x else 'new'}: {_brief(x.get(path, y.get(path)))}"
            if not _same(x[path], y[path], rounding):
                return f"{when}{path} is {_brief(y[path])}; eager {_brief(x[path])}"
    return None


def _brief(leaf):
    return f"{leaf.dtype}{list(leaf.shape)} {leaf.tolist()}" if isinstance(leaf, np.ndarray) else leaf


def _same(a, b, rounding):
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and a == b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if a.dtype.kind not in "fc":
        return False
    both_nan = (a != a) & (b != b)  # one NaN is as good as another
    if not rounding:
        return bool((both_nan | ((a == b) & (np.signbit(a.real) == np.signbit(b.real)))).all())
    with np.errstate(all="ignore"):
        scale = np.abs(a[np.isfinite(a)], dtype="float64").max(initial=0.0)
        close = max(rounding * min(scale, 1e300), NOTHING)
        return np.allclose(a, b, rtol=rounding, atol=close, equal_nan=True)
