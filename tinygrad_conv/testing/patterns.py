"""What a wrong gradient looks like: the classical mistakes, each recognised by what it does to the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from ..kernels.product import matmul
from .case import Case
from .finding import Finding

__all__ = ["suspect"]

Array = np.ndarray[Any, Any]


def suspect(case: Case, found: Finding) -> str:
    """The first classical mistake that explains a wrong gradient, in words; "" if none does."""
    with np.errstate(all="ignore"):
        for recognise in _MISTAKES:
            text = recognise(case, found)
            if text:
                return text
    return ""


def _alike(a: Array, b: Array, found: Finding) -> bool:
    """Equal, as far as the numeric side can tell."""
    bound = 1e-7 * np.max(np.abs(found.numeric), initial=0.0) + 8 * np.max(found.error, initial=0.0)
    return bool(a.size and np.isfinite(bound) and np.all(np.abs(a - b) <= bound))


def _wholes(found: Finding) -> tuple[Array, Array] | None:
    """Analytic and numeric gradient in the argument's shape, if all of it is known."""
    return (found.analytic.reshape(found.shape), found.numeric.reshape(found.shape)) if found.complete else None


# ------------------------------------------------------------------------------------------------------------------
# Number by number


def _not_finite(case: Case, found: Finding) -> str:
    bad = ~np.isfinite(found.analytic) & np.isfinite(found.numeric)
    return f"{int(bad.sum())} NaN or infinite, where the derivative is finite" if bad.any() else ""


def _dropped(case: Case, found: Finding) -> str:
    if found.analytic.any() or not found.wrong.any():
        return ""
    return f"dropped: all derivatives by {case.labels[found.k]} are 0"


def _sign(case: Case, found: Finding) -> str:
    a, n = found.analytic[found.wrong], found.numeric[found.wrong]
    return f"the sign: analytic = -numeric in {_how_many(found)}" if _alike(a, -n, found) else ""


def _factor(case: Case, found: Finding) -> str:
    a, n = found.analytic[found.wrong], found.numeric[found.wrong]
    ratios = a[n != 0] / n[n != 0]
    if len(ratios) < max(len(a), 2):  # one number is any multiple of another
        return ""
    factor = float(np.median(ratios))
    if factor == 0 or not _alike(a, factor * n, found):
        return ""
    batch = case.y.shape[0] if case.y.ndim else 1
    for size in {batch, *(np.shape(x)[0] for x in case.inputs if np.ndim(x))}:
        if size > 2 and abs(factor * size - 1) < 1e-6:  # for 2, it may as well be a lost factor
            return f"a mean where a sum over the batch (axis 0) belongs: analytic = numeric / {size}"
    written = f"(1 {factor - 1:+.3g})" if abs(factor - 1) < 5e-6 else f"{factor:.8g}"
    return f"a factor: analytic = {written} * numeric in {_how_many(found)}"


def _offset(case: Case, found: Finding) -> str:
    gap = (found.analytic - found.numeric)[found.wrong]
    middle = float(np.median(gap))
    error = 8 * float(np.max(found.error[found.wrong]))
    if len(gap) > 1 and np.all(np.abs(gap - middle) <= error + 1e-4 * abs(middle)):
        return f"a constant: analytic = numeric {middle:+.4g} in {_how_many(found)}"
    return ""


def _precision(case: Case, found: Finding) -> str:
    single = found.analytic.astype(np.float32)
    gap = np.abs(found.analytic - found.numeric)
    if np.all(single == found.analytic) and np.all(gap <= 1e-5 * np.max(np.abs(found.numeric))):
        return "the dtype: the gradient was rounded to float32 on its way"
    return ""


def _how_many(found: Finding) -> str:
    wrong = int(found.wrong.sum())
    return "every element" if wrong == len(found.wrong) else "one element" if wrong == 1 else f"{wrong} elements"


def _slabs(found: Finding) -> list[tuple[int, int]]:
    """(axis, thickness) of the slab at the end of an axis that is wrong (where it is not 0), all else being right."""
    wrong = np.zeros(found.shape, bool)
    wrong.flat[found.elements[found.wrong]] = True
    slabs = []
    for axis, size in enumerate(found.shape):
        along = np.moveaxis(wrong | (found.numeric.reshape(found.shape) == 0), axis, 0).reshape(size, -1)
        first = int(np.argmax(np.moveaxis(wrong, axis, 0).reshape(size, -1).any(axis=1)))
        if first > 0 and along[first:].all() and along[first:].size > 1:
            slabs.append((axis, size - first))
    return slabs


# ------------------------------------------------------------------------------------------------------------------
# The whole array


def _normalised(case: Case, found: Finding) -> str:
    """The error is a term of a softmax or a normalisation: the same along some axes, or as the output is there."""
    wholes = _wholes(found)
    if wholes is None or case.y.shape != found.shape or found.wrong.sum() < 2:
        return ""
    gap, y = wholes[0] - wholes[1], case.y
    for axes in _subsets([axis for axis, n in enumerate(found.shape) if n > 1]):
        if np.prod([found.shape[axis] for axis in axes]) < 3:
            continue
        along, mean = _axes(axes), gap.mean(axes, keepdims=True)
        share = (gap * y).sum(axes, keepdims=True) / (y * y).sum(axes, keepdims=True)
        sums = np.sum(y, axes)
        if _alike(gap, share * y, found):
            softmax = np.all(y > 0) and np.allclose(sums, 1)
            term = "the cross term of a softmax" if softmax else "a normalisation without its variance's part"
            return f"a missing term: the error is as the output along {along}, as in {term}"
        if _alike(gap, mean + 0 * gap, found):
            return f"a missing term: the error is the same along {along}, as in a normalisation without its mean's part"
        if np.allclose(sums, 0, atol=1e-6 * np.abs(y).max()) and _alike(gap, mean + share * y, found):
            return f"missing terms: a normalisation along {along} without its mean's and its variance's part"
    return ""


def _swapped(case: Case, found: Finding) -> str:
    for k, gradient in enumerate(case.gradients if "reverse" in case.modes else ()):
        same_shape = k != found.k and gradient.shape == found.shape and found.complete and gradient.size > 1
        if same_shape and _alike(found.numeric, gradient.ravel(), found):
            return f"the gradients of {case.labels[found.k]} and {case.labels[k]} are swapped"
    return ""


def _transposed(case: Case, found: Finding) -> str:
    wholes = _wholes(found)
    for i, j in combinations(range(len(found.shape)), 2) if wholes else ():
        if found.shape[i] == found.shape[j] > 1 and _alike(wholes[0], wholes[1].swapaxes(i, j), found):  # type: ignore[index]
            return f"a transpose: analytic is numeric with axes {i} and {j} swapped"
    return ""


def _flipped(case: Case, found: Finding) -> str:
    wholes = _wholes(found)
    if wholes is None:
        return ""
    for axes in _subsets([a for a, n in enumerate(found.shape) if n > 1]):
        if _alike(wholes[0], np.flip(wholes[1], axes), found):
            return f"a flip: analytic is numeric reversed along {_axes(axes)}"
    return ""


def _shifted(case: Case, found: Finding) -> str:
    wholes = _wholes(found)
    for axis, size in enumerate(found.shape) if wholes else ():
        for step in (1, -1) if size > 2 else ():
            a, n = (np.moveaxis(w, axis, 0) for w in wholes)  # type: ignore[union-attr]
            inner = (a[1:], n[:-1]) if step == 1 else (a[:-1], n[1:])
            if np.ptp(n) > 0 and _alike(*inner, found):
                return f"off by one: analytic is numeric moved by {step:+d} along axis {axis}"
    return ""


def _one_sample(case: Case, found: Finding) -> str:
    n = case.y.shape[0] if case.y.ndim and not case.over and found.wrong.sum() > 1 else 0
    for sample in {0, n - 1} if n > 1 else ():
        g = np.zeros(case.y.shape)
        g[sample] = case.cotangent[sample]
        if _alike(found.analytic, matmul(found.jacobian, g.ravel()), found):
            return f"a missing sum over the batch: only sample {sample} of axis 0 contributes"
    return ""


def _remainder(case: Case, found: Finding) -> str:
    slabs = _slabs(found) if found.complete and found.shape else []
    if not slabs:
        return ""
    end = " and ".join(f"the last {thick} of {found.shape[axis]} along axis {axis}" for axis, thick in slabs)
    dropped = not found.analytic[found.wrong].any()
    return f"a dropped remainder: 0 in {end}" if dropped else f"the border: wrong only in {end}"


def _overlap(case: Case, found: Finding) -> str:
    """Each wrong element holds one of the terms that it should be the sum of."""
    if found.wrong.sum() < 2:
        return ""
    terms = (found.jacobian[found.wrong] * case.cotangent.ravel()).reshape(int(found.wrong.sum()), *case.y.shape)
    gathers = found.complete and bool(np.all((np.abs(found.jacobian) > found.error[:, None]).sum(axis=0) <= 1))
    if terms.ndim > 2 and not gathers:  # channels of one place belong to one window
        terms = terms.sum(axis=-1)
    terms = terms.reshape(len(terms), -1)
    several = (np.abs(terms) > 0).sum(axis=1) > 1
    near = np.abs(terms - found.analytic[found.wrong][:, None]).min(axis=1, initial=np.inf)
    if several.all() and _alike(near, np.zeros(len(near)), found):
        why = "repeated indices" if gathers else "overlapping windows"
        return f"assigned where it should be added: of several contributions ({why}?) only one is left"
    return ""


# ------------------------------------------------------------------------------------------------------------------
# Other cotangents, or other elements, than the right ones


def _wrong_axis(case: Case, found: Finding) -> str:
    """A sum over an axis that has the size of the right one."""
    wholes = _wholes(found)
    if wholes is None or found.wrong.sum() < 2:
        return ""
    analytic, numeric = wholes
    axes = [axis for axis, n in enumerate(found.shape) if n > 1]
    for i, j in ((i, j) for i in axes for j in axes if i != j):
        constant = [_alike(w, w.mean(axis, keepdims=True) + 0 * w, found) for w, axis in ((analytic, i), (numeric, j))]
        if all(constant) and found.shape[i] == found.shape[j] and _alike(analytic, numeric.swapaxes(i, j), found):
            return (
                f"the wrong axis: analytic is constant along axis {i}, as after a sum over it, numeric along axis {j}"
            )
    sums = {a: case.cotangent.sum(a) for a in _subsets(list(range(case.y.ndim)))}
    sums = {a: s for a, s in sums.items() if s.shape == found.shape}
    for a in sums:
        for b in sums:
            if a != b and _alike(analytic, sums[a], found) and _alike(numeric, sums[b], found):
                return f"the wrong axis: analytic is the cotangent summed along {_axes(a)}, numeric along {_axes(b)}"
    if case.y.shape == found.shape:
        for i, j in combinations(axes, 2):
            for each in (1.0, case.y):
                gap = (analytic - numeric) / each
                parts = gap.mean(i, keepdims=True), gap.mean(j, keepdims=True)
                both = parts[0] + parts[1] - gap.mean((i, j), keepdims=True)
                apart = min(map(np.ptp, parts)) > 1e-6 * np.abs(gap).max()
                if apart and gap.size > sum(gap.shape) and _alike(each * gap, each * both, found):
                    return (
                        f"the wrong axis: a mean or sum along axis {i} where one along axis {j} belongs, or the reverse"
                    )
    return ""


def _other_mask(case: Case, found: Finding) -> str:
    """Elementwise, the derivative is 0 or one number; the gradient too, but elsewhere."""
    if case.y.shape != found.shape or not found.complete or found.wrong.sum() < 2:
        return ""
    slopes = np.stack([found.analytic, found.numeric]) / case.cotangent.ravel()
    size = np.max(np.abs(slopes))
    kept = np.abs(slopes) > 1e-7 * size
    both = kept[0] & ~kept[1], kept[1] & ~kept[0]
    if all(map(np.any, both)) and np.all(np.abs(slopes[kept] - np.median(slopes[kept])) <= 1e-6 * size):
        return f"another mask: not 0 in {both[0].sum()} elements where it should be, and 0 in {both[1].sum()} others"
    return ""


def _inverse_permutation(case: Case, found: Finding) -> str:
    moved = np.abs(found.jacobian) > found.error[:, None]
    if not found.complete or moved.shape[0] != moved.shape[1] or not (moved.sum(0) == 1).all():
        return ""
    if (moved.sum(1) == 1).all() and _alike(found.analytic, matmul(found.jacobian.T, case.cotangent.ravel()), found):
        return "an inverse permutation: elements go to where they should come from"
    return ""


def _groups(case: Case, found: Finding) -> str:
    """The cotangent, or what it is multiplied by, of another group of channels."""
    if not found.complete or case.over:
        return ""
    g, shape = case.cotangent, found.shape
    for count in (2, 3, 4):
        outs = [axis for axis, n in enumerate(case.y.shape) if n % count == 0 and n >= count]
        ins = [axis for axis, n in enumerate(shape) if n % count == 0 and n >= count]
        for out, step in ((out, step) for out in outs for step in range(1, count)):
            pulled = matmul(found.jacobian, np.roll(g, step * g.shape[out] // count, out).ravel()).reshape(shape)
            numeric = found.numeric.reshape(shape)
            shifts = [(axis, s * shape[axis] // count) for axis in ins for s in range(1, count)]
            tries = [pulled, *(np.roll(w, s, axis) for axis, s in shifts for w in (pulled, numeric))]
            grouped = np.abs(pulled - numeric).max() > 0 and (found.jacobian == 0).mean() >= 1 - 1 / count - 1e-9
            if grouped and any(_alike(found.analytic, w.ravel(), found) for w in tries):
                return f"groups mixed: what belongs to one of {count} groups of channels is taken from another"
    return ""


def _subsets(axes: list[int]) -> Iterator[tuple[int, ...]]:
    for n in range(1, min(len(axes), 4) + 1):
        yield from combinations(axes, n)


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


_MISTAKES: tuple[Callable[[Case, Finding], str], ...] = (
    _not_finite, _dropped, _sign, _precision, _wrong_axis, _inverse_permutation, _transposed, _flipped, _swapped,
    _one_sample, _remainder, _factor, _offset, _other_mask, _normalised, _shifted, _groups, _overlap,
)  # fmt: skip
