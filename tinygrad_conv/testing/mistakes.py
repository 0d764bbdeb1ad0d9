"""The classical mistakes in hand-written gradients, each as a way to spoil a rule: what `mutation` plants.

A `Mutation` sees one `Call` of a right rule, with what it was given, and returns the wrong result; `fits` says for
which calls the mistake can be made at all (a missing flip needs a kernel, a wrong batch mean needs a sum over the
batch). Those of windows know the geometry of convolution and pooling; functions of which nothing is known are taken
for functions of images where their arrays have so many axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..engine.bare import array_of
from ..engine.tensor import Tensor
from ..kernels.wanted import use_kernels
from ..ops.elementwise import where
from ..ops.shape import flip, permute_dims, roll, sum_to

__all__ = ["MUTATIONS", "Call", "Mutation", "Situation"]

SLIGHTLY = 1.01  # how wrong a rule is that is wrong only sometimes

# ------------------------------------------------------------------------------------------------------------------
# What a mutation sees


@dataclass(frozen=True)
class Situation:
    """What a mutation looks at to know whether it fits: shapes and parameters, of a call or of a drawn sample."""

    kind: str  # of the primitive, or "function"
    shapes: tuple[tuple[int, ...], ...]  # of the inputs
    out: tuple[int, ...]  # the output's shape
    params: Mapping[str, Any]
    k: int  # which input's rule
    reverse: bool  # a VJP, not a JVP

    @property
    def window(self) -> Any:
        """The geometry of a convolution or pooling, or None."""
        return self.params.get("window")

    @property
    def target(self) -> tuple[int, ...]:
        """The shape of what the rule returns, once broadcasting is undone."""
        return self.shapes[self.k] if self.reverse else self.out


@dataclass(frozen=True)
class Call(Situation):
    """One call of a rule: the cotangent (or tangent) it was given, and the right rule to compare with."""

    g: Any
    rule: Callable[..., Any]  # rule(g, params, saved)
    saved: Sequence[Any]
    constants: Callable[[], Any]  # the rule, taking what was saved for constants

    def right(self, g: Any = None, params: Mapping[str, Any] | None = None, saved: Sequence[Any] | None = None) -> Any:
        """What the right rule returns, for this call or for another cotangent, other parameters, other inputs."""
        return self.rule(
            self.g if g is None else g,
            self.params if params is None else params,
            self.saved if saved is None else saved,
        )


@dataclass(frozen=True)
class Mutation:
    """One classical mistake: ``spoil(call)`` is the wrong result, for the calls that `fits` says yes to."""

    name: str
    fits: Callable[[Any], bool]
    spoil: Callable[[Any], Any]


def _always(_: Situation) -> bool:
    return True


# ------------------------------------------------------------------------------------------------------------------
# The mistakes


def _slightly(c: Call) -> Any:
    return c.right() * SLIGHTLY


def _is_summed(c: Call, r: Any) -> bool:
    """Is the right gradient the sum of the cotangent over broadcast axes?"""
    if len(c.target) > c.g.ndim or c.g.shape == c.target:
        return False
    trailing = c.g.shape[c.g.ndim - len(c.target) :]
    if any(n not in (1, m) for n, m in zip(c.target, trailing, strict=True)):
        return False
    return r.shape == c.target and np.array_equal(array_of(r), sum_to(array_of(c.g), c.target))


def _broadcasts(c: Situation) -> bool:
    return c.reverse and c.target != c.out and prod(c.out) > 0 and len(c.target) <= len(c.out)


def _first_of_repeated(c: Call) -> Any:
    """One of the elements that broadcasting repeated, in place of their sum."""
    r = c.right()
    if _is_summed(c, r):
        r = c.g
    if r.shape == c.target or r.ndim < len(c.target) or not prod(r.shape):
        return r
    extra = r.ndim - len(c.target)
    keep = tuple(slice(0, n) if n == 1 else slice(None) for n in c.target)
    return r[(0,) * extra + keep]


def _mean_over_batch(c: Call) -> Any:
    r = c.right()
    if r.shape != c.target:
        return r / (prod(r.shape) // max(prod(c.target), 1) or 1)
    if _is_summed(c, r):
        return r / (prod(c.g.shape) // max(prod(c.target), 1) or 1)
    if c.window is not None:
        return r / (c.shapes[0][0] or 1) if _is_kernel(c, c.target) else r
    if c.kind == "function":
        return r / (c.out[0] or 1)
    return r / (c.g.shape[0] or 1) if c.kind == "bilinear" and c.k and c.g.ndim > 1 else r


def _sums_a_batch(c: Situation) -> bool:
    if not c.reverse:
        return False
    if c.kind == "function":
        return c.k > 0 and len(c.out) > 1
    return _broadcasts(c) or c.window is not None or (c.kind == "bilinear" and c.k > 0)


# Windows: convolution and pooling


def _moved(window: Any, *, stride: Any = None, dilation: Any = None, shift: Any = 0) -> Any:
    """Another placement of a window's cells, with padding enough that no cell lies beyond it."""
    stride, dilation = stride or window.stride, dilation or window.dilation
    shifts = shift if isinstance(shift, tuple) else (shift,) * window.rank
    pads = []
    for n, out, k, s, d, (before, _), move in zip(
        window.in_sizes, window.out_sizes, window.kernel, stride, dilation, window.pads, shifts, strict=True
    ):
        needed = max(out - 1, 0) * s + d * (k - 1) + 1
        pads.append((before + move, max(1, needed - n - before - move)))
    return replace(window, stride=stride, dilation=dilation, pads=tuple(pads))


def _with_window(c: Call, window: Any) -> Any:
    with use_kernels("plain"):  # compiled loops rely on what no call with such a window comes to
        return c.right(params={**c.params, "window": window})


def _swap_stride_and_dilation(c: Call) -> Any:
    if c.window is None:
        return c.right(params={**c.params, "stride": c.params["dilation"], "dilation": c.params["stride"]})
    return _with_window(c, _moved(c.window, stride=c.window.dilation, dilation=c.window.stride))


def _stride_is_not_dilation(c: Situation) -> bool:
    if c.window is not None:
        return bool(c.window.stride != c.window.dilation)
    return bool({"stride", "dilation"} <= set(c.params) and c.params["stride"] != c.params["dilation"])


def _image(c: Situation) -> bool:
    """Is this a function of images, whose geometry is not known?"""
    return "stride" in c.params or (c.kind == "function" and len(c.out) > 2)


def _shiftable(c: Situation) -> bool:
    return _image(c) if c.window is None else bool(c.window.kernel != c.window.in_sizes)


def _shift(c: Call) -> Any:
    if c.window is None:
        return roll(c.right(), 1, axis=1 if len(c.target) > 2 else 0)
    return _with_window(c, _moved(c.window, shift=1))


def _remainder(window: Any) -> tuple[int, ...]:
    """Rows of the padded input, per axis, that are in no window."""
    ends = zip(window.padded_sizes, window.out_sizes, window.stride, window.reach, strict=True)
    return tuple(max(n - (out - 1) * s - reach, 0) for n, out, s, reach in ends)


def _ignore_remainder(c: Call) -> Any:
    """Windows placed too early by what is left over; for a function of images: its last row gets no gradient."""
    if c.window is None:
        r = c.right()
        rows = np.ones((1, c.target[1], *(1,) * (len(c.target) - 2)))
        rows[:, -1:] = 0
        return r * rows
    return _with_window(c, _moved(c.window, shift=_remainder(c.window)))


def _is_kernel(c: Situation, shape: tuple[int, ...]) -> bool:
    """Is this the shape of a kernel, (*kernel, C_in, C_out), for the window of this call?"""
    rank = c.window.rank
    images = (c.window.in_sizes, c.window.out_sizes)
    return len(shape) == rank + 2 and shape[:rank] == c.window.kernel and shape[1:-1] not in images


def _rearranged_kernel(c: Call, rearrange: Callable[[Any], Any]) -> Any:
    """The rule with the kernel rearranged, whichever it is: what it returns, what it is given, or what it saved."""
    if _is_kernel(c, c.target):
        return rearrange(c.right())
    if _is_kernel(c, c.g.shape):
        return c.right(rearrange(c.g))
    operands = [rearrange(a) if a is not None and _is_kernel(c, np.shape(a)) else a for a in c.saved]
    return c.right(saved=operands)


def _has_kernel(c: Situation, side: Callable[[tuple[int, ...]], bool]) -> bool:
    if c.window is None:
        return False
    return side(c.window.kernel) and any(_is_kernel(c, shape) for shape in (*c.shapes, c.out))


def _transposable(c: Situation) -> bool:
    if c.window is not None:
        return _has_kernel(c, lambda kernel: len(kernel) > 1 and kernel[0] == kernel[1] > 1)
    shape = c.target
    if c.kind == "function" and len(shape) == 4:
        return c.k > 0 and (shape[0] == shape[1] > 1 or shape[2] == shape[3] > 1)
    return c.kind != "elementwise" and len(shape) > 1 and shape[-1] == shape[-2] > 1


def _transpose_kernel(c: Call) -> Any:
    if c.window is not None:
        return _rearranged_kernel(c, lambda a: permute_dims(a, (1, 0, *range(2, a.ndim))))
    r = c.right()
    if r.ndim < 2:  # a tangent that is still to be broadcast
        return r
    axes = list(range(r.ndim))
    i, j = (0, 1) if len(axes) == 4 and r.shape[0] == r.shape[1] and c.kind == "function" else (-2, -1)
    axes[i], axes[j] = axes[j], axes[i]
    return permute_dims(r, tuple(axes)) if r.shape[i] == r.shape[j] else r


def _flippable(c: Situation) -> bool:
    if c.window is not None:
        return _has_kernel(c, lambda kernel: max(kernel) > 1)
    if c.kind == "function":
        return c.k > 0 and len(c.target) > 2
    return "axis" in c.params and c.shapes[c.k] == c.out


def _no_flip(c: Call) -> Any:
    """The kernel the other way round; for others along an axis: the rule without the flips around it."""
    if c.window is not None:
        return _rearranged_kernel(c, lambda a: flip(a, axis=tuple(range(c.window.rank))))
    r = c.right()
    if c.kind == "function":
        return flip(r, axis=(0, 1))
    axis = c.params["axis"]
    turned = flip(c.g, axis=axis)
    return c.g if np.array_equal(array_of(turned), array_of(r)) else flip(c.right(turned), axis=axis)


def _overlaps(c: Situation) -> bool:
    if c.window is not None:
        steps = zip(c.window.reach, c.window.stride, strict=True)
        return prod(c.out) > 0 and any(reach > stride for reach, stride in steps)
    return "index" in c.params or (c.kind == "function" and len(c.out) > 2)


def _assign_for_add(c: Call) -> Any:
    """Where several positions of the cotangent go to one element, the last one wins."""
    axes = range(c.g.ndim)
    if c.window is not None:
        axes = range(c.window.rank) if _is_kernel(c, c.g.shape) else range(1, c.g.ndim - 1)
    elif c.kind == "function":
        axes = range(1, c.g.ndim - 1)
    sizes = [n if k in axes else 1 for k, n in enumerate(c.g.shape)]
    total = None
    for position in range(prod(sizes)):
        one = np.zeros(prod(sizes), c.g.dtype)
        one[position] = 1
        part = c.right(c.g * one.reshape(sizes))
        total = part if total is None else where(array_of(part) != 0, part, total)
    return c.right() if total is None else total


# Wrong only sometimes, and wrong only to second order


def _batch_of_one(c: Situation) -> bool:
    return len(c.shapes[0]) > 1 and c.shapes[0][0] == 1


def _not_square(c: Situation) -> bool:
    if c.window is not None:
        return len(set(c.window.in_sizes)) > 1
    shape = max(c.shapes, key=len)
    sizes = shape[1:-1] if len(shape) > 3 else shape[-2:]
    return len(set(sizes)) > 1


def _strided(c: Situation) -> bool:
    return bool(np.max(c.window.stride if c.window is not None else c.params.get("stride", 1)) > 1)


def _padded_point(c: Situation) -> bool:
    if c.window is None:
        return False
    return any(k == 1 and sum(pads) > 0 for k, pads in zip(c.window.kernel, c.window.pads, strict=True))


def _wrong_derivative(c: Call) -> Any:
    """The right value, whose own derivative is wrong."""
    r = c.right()
    return r + (SLIGHTLY - 1) * (r - r.detach()) if isinstance(r, Tensor) else r


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("scale by 1 + 1e-5", _always, lambda c: c.right() * (1 + 1e-5)),
    Mutation("negate", _always, lambda c: -c.right()),
    Mutation("drop an argument's gradient", _always, lambda c: c.right() * 0),
    Mutation("skip un-broadcasting", _broadcasts, _first_of_repeated),
    Mutation("swap stride and dilation", _stride_is_not_dilation, _swap_stride_and_dilation),
    Mutation("shift a window", _shiftable, _shift),
    Mutation("transpose the kernel", _transposable, _transpose_kernel),
    Mutation("no flip", _flippable, _no_flip),
    Mutation("mean for sum over batch", _sums_a_batch, _mean_over_batch),
    Mutation("assign for add in overlap", _overlaps, _assign_for_add),
    Mutation(
        "ignore the remainder", lambda c: any(_remainder(c.window)) if c.window is not None
        else _image(c) and c.k == 0 and len(c.target) > 2, _ignore_remainder,
    ),
    Mutation("wrong only for batch 1", _batch_of_one, _slightly),
    Mutation("wrong only for H != W", _not_square, _slightly),
    Mutation("wrong only for stride > 1", _strided, _slightly),
    Mutation("wrong only for padding > 0 and k = 1", _padded_point, _slightly),
    Mutation("constant offset of 5e-6", _always, lambda c: c.right() + 5e-6),
    Mutation("second-order-only: a wrong factor", _always, _wrong_derivative),
    Mutation("second-order-only: inputs taken for constants", _always, lambda c: c.constants()),
)  # fmt: skip
