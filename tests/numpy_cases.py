"""Calls of NumPy's functions and of ours of the same name, which must agree in value and dtype.

A `Case` is made of the two functions and their arguments. `CASES` holds them in groups, with values from one seed.
"""

from typing import Any, NamedTuple

import numpy as np
import reference
from numpy.testing.overrides import get_overridable_numpy_array_functions

import tinygrad_conv as tg
from tinygrad_conv.ops.sorting import METHODS

rng = np.random.default_rng(0)
L = np.linalg


class Case(NamedTuple):
    name: str
    theirs: Any
    ours: Any
    args: tuple
    gradient: bool = True


CASES: dict[str, list[Case]] = {}
_group: list[Case] = []


def group(name):
    global _group
    _group = CASES.setdefault(name, [])


def pair(name, theirs, ours, *args, gradient=True):
    _group.append(Case(name, theirs, ours, args, gradient))


def same(name, *args, gradient=True, **keywords):
    """NumPy's function and ours, called alike."""
    theirs, ours = getattr(np, name), getattr(tg, name)
    shown = ", ".join(f"{key}={value}" for key, value in keywords.items()).replace("\n", "")
    pair(
        f"{name}({shown})", lambda *a: theirs(*a, **keywords), lambda *a: ours(*a, **keywords), *args, gradient=gradient
    )


def normal(*shape):
    return rng.standard_normal(shape)


def positive(*shape):
    return rng.uniform(0.5, 3, shape)


# ------------------------------------------------------------------------------------------------------------------

group("sorting")
for axis in (None, 0, 1, -1):
    same("sort", normal(3, 4), axis=axis)
for axis in (None, 0, (0, 1), 1):
    for keepdims in (False, True):
        for name in ("median", "ptp", "nanmedian"):
            same(name, normal(3, 4), axis=axis, keepdims=keepdims)
        for q in (0.3, np.array([0.0, 0.25, 1.0]), np.array([[0.1, 0.9]])):
            same("quantile", normal(3, 5), q=q, axis=axis, keepdims=keepdims)
            same("nanquantile", normal(3, 5), q=q, axis=axis, keepdims=keepdims)
            same("percentile", normal(3, 5), q=q * 100, axis=axis, keepdims=keepdims)
for method in METHODS:
    same("quantile", normal(7), q=np.array([0.0, 0.2, 0.5, 0.77, 1.0]), method=method)
WITH_NAN = normal(4, 5)
WITH_NAN[1, 2] = WITH_NAN[0, 0] = np.nan
same("median", WITH_NAN, axis=1, gradient=False)
same("quantile", WITH_NAN, q=0.4, axis=0, gradient=False)
same("nanquantile", WITH_NAN, q=0.3, axis=1, gradient=False)
same("nanpercentile", WITH_NAN, q=30, axis=0, gradient=False)
for method in METHODS:
    same("nanquantile", WITH_NAN, q=np.array([0.1, 0.6]), axis=1, method=method, gradient=False)
for axis, weights in ((1, positive(4)), (None, positive(3, 4)), (0, np.array([1.0, 0, 2]))):
    same("quantile", normal(3, 4), q=[0.0, 0.4, 1.0], axis=axis, weights=weights, method="inverted_cdf")
same("nanquantile", WITH_NAN, q=0.4, weights=positive(4, 5), axis=1, method="inverted_cdf", gradient=False)

group("scans")
for axis in (None, 0, 1):
    same("cumprod", normal(3, 4), axis=axis)
same("cumprod", np.array([1.0, 0, 2, 0, 3]))
same("nancumsum", WITH_NAN, axis=1, gradient=False)
same("nancumprod", WITH_NAN, axis=0, gradient=False)
pair("cumulative_sum", lambda x: np.cumsum(x, 1), lambda x: tg.cumulative_sum(x, axis=1), normal(2, 3))
pair("cumulative_prod", lambda x: np.cumprod(x, 0), lambda x: tg.cumulative_prod(x, axis=0), normal(2, 3))
if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    same("cumulative_sum", normal(2, 3), axis=1, include_initial=True)
    same("cumulative_prod", normal(2, 3), axis=0, include_initial=True)
pair("logcumsumexp", lambda x: np.log(np.cumsum(np.exp(x), 1)), lambda x: tg.logcumsumexp(x, axis=1), normal(2, 7))

group("statistics")
for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"):
    for axis in (None, 0, 1, (0, 1)):
        same(name, normal(3, 4), axis=axis, keepdims=axis == 1)
        same(name, WITH_NAN, axis=axis, gradient=False)
same("average", normal(3, 4))
same("average", normal(3, 4), weights=positive(4), axis=1)
same("average", normal(3, 4), weights=positive(3, 4), axis=0)
same("average", normal(3, 4), weights=positive(3, 4))
same("cov", normal(3, 5))
same("cov", normal(5))
same("cov", normal(3, 5), rowvar=False)
same("cov", normal(3, 5), bias=True)
same("cov", normal(2, 5), fweights=np.array([1, 2, 1, 3, 1]), aweights=positive(5))
pair("cov of two", np.cov, tg.cov, normal(2, 5), normal(5))
same("corrcoef", normal(3, 5))
same("corrcoef", normal(3, 6), rowvar=False)

group("calculus")
for n in (0, 1, 2, 3):
    same("diff", normal(3, 5), n=n)
    same("diff", normal(5, 3), n=n, axis=0)
same("diff", normal(3, 5), prepend=1.0, append=normal(3, 2))
same("ediff1d", normal(2, 3), to_begin=np.array([1.0, 2]), to_end=5.0)
same("gradient", normal(5))
same("gradient", normal(6), edge_order=2)
same("gradient", normal(2, 3), axis=0)
POINTS = np.array([0.0, 1, 3, 3.5])
pair("gradient of both axes", lambda x: np.stack(np.gradient(x, 0.5, POINTS)),
     lambda x: tg.stack(tg.gradient(x, 0.5, POINTS)), normal(3, 4))  # fmt: skip
pair("gradient at points", lambda x: np.gradient(x, POINTS, axis=1, edge_order=2),
     lambda x: tg.gradient(x, POINTS, axis=1, edge_order=2), normal(3, 4))  # fmt: skip
same("trapezoid", normal(3, 4))
same("trapezoid", normal(3, 4), dx=0.3, axis=0)
pair("trapezoid at points", np.trapezoid, tg.trapezoid, normal(3, 4), np.sort(normal(4)))
pair("trapezoid along 0", lambda y, x: np.trapezoid(y, x, axis=0), lambda y, x: tg.trapezoid(y, x, axis=0),
     normal(3, 4), normal(3))  # fmt: skip
pair("interp", np.interp, tg.interp, normal(7) * 2, np.sort(normal(5)), normal(5))
same("interp", normal(2, 3) * 2, np.sort(normal(5)), normal(5), left=-1.0, right=2.0)
same("interp", normal(6) * 5, normal(5), normal(5), period=3.0)
same("interp", np.array([0.0, 1, 2, 5, -1]), np.array([0.0, 1, 2]), np.array([1.0, 3, 2]), gradient=False)
same("unwrap", normal(9) * 4)
same("unwrap", normal(4, 5) * 4, axis=0, period=3.0)
same("gradient", normal(4), edge_order=2)
pair("gradient by points", np.gradient, tg.gradient, normal(5), np.sort(normal(5)))
pair("interp of complex numbers", lambda x: np.interp(x, [0.0, 1], [1j, 2]).imag,
     lambda x: tg.interp(x, [0.0, 1], [1j, 2]).imag, normal(3))  # fmt: skip
for mode in ("full", "same", "valid"):
    for n, m in ((5, 3), (3, 5), (4, 4), (6, 2), (2, 6), (1, 3)):
        same("convolve", normal(n), normal(m), mode=mode)
        same("correlate", normal(n), normal(m), mode=mode)

group("polynomials")
pair("polyval", np.polyval, tg.polyval, normal(4), normal(2, 3))
same("vander", normal(4))
same("vander", normal(3), N=5, increasing=True)
same("vander", normal(3), N=0, gradient=False)
for n, m in ((3, 2), (1, 4), (3, 3)):
    for name in ("polyadd", "polysub", "polymul"):
        same(name, normal(n), normal(m))
    pair("polydiv", lambda u, v: np.polydiv(u, v)[0], lambda u, v: tg.polydiv(u, v)[0], normal(n), positive(m),
         gradient=n >= m)  # fmt: skip
    pair("last of the remainder", lambda u, v: np.polydiv(u, v)[1][-1:], lambda u, v: tg.polydiv(u, v)[1][-1:],
         normal(n), positive(m), gradient=n >= m)  # fmt: skip
for m in (0, 1, 2):
    same("polyder", normal(4), m=m)
    same("polyint", normal(3), m=m)
same("polyint", normal(3), m=2, k=[1.0, 2.0])
pair("poly", np.poly, tg.poly, normal(3))
pair("poly of a matrix", np.poly, tg.poly, np.diag([1.0, 2.5, -1]) + normal(3, 3) / 9)
pair("roots", np.roots, tg.roots, np.poly([1.0, 2.5, -1]))
pair("sizes of roots", lambda p: np.abs(np.roots(p)), lambda p: tg.abs(tg.roots(p)), np.array([1.0, 0.3, 2, 0.5]))
same("roots", np.array([0.0, 0, 2, -1, 0]), gradient=False)
pair("polyfit", lambda x, y: np.polyfit(x, y, 2), lambda x, y: tg.polyfit(x, y, 2), np.sort(normal(6)), normal(6))
same("polyfit", np.sort(normal(6)), normal(6, 2), deg=1, w=positive(6))
pair("covariance of polyfit", lambda x, y: np.polyfit(x, y, 1, cov=True)[1],
     lambda x, y: tg.polyfit(x, y, 1, cov=True)[1], np.sort(normal(6)), normal(6))  # fmt: skip
P = np.polynomial.polynomial
if P.polyval2d in get_overridable_numpy_array_functions():  # not before NumPy 2.1
    pair("polyval2d", P.polyval2d, lambda x, y, c: P.polyval2d(x, y, c), normal(3), normal(3), normal(2, 3))
pair("polyvalnd", P.polyval2d, lambda x, y, c: tg.polyvalnd([x, y], c), normal(2, 2), normal(2, 2), normal(2, 3))
pair("polygrid2d", P.polygrid2d, tg.polygrid2d, normal(2), normal(3), normal(2, 3))

group("spacing")
for endpoint in (True, False):
    for name in ("linspace", "geomspace", "logspace"):
        same(name, positive(3), positive(2, 1), num=4, endpoint=endpoint)
        same(name, positive(), positive(), num=1, endpoint=endpoint)
same("linspace", normal(2), normal(2), num=3, axis=-1)
pair("logspace with a base", lambda a, b, base: np.logspace(a, b, 3, base=base),
     lambda a, b, base: tg.logspace(a, b, 3, base=base), normal(2), normal(2), positive(2))  # fmt: skip
pair("step of linspace", lambda a, b: np.linspace(a, b, 5, retstep=True)[1],
     lambda a, b: tg.linspace(a, b, 5, retstep=True)[1], normal(2), normal(2))  # fmt: skip

group("sets")
THREES = np.array([3.0, 1, 2, 3, 1])
for name in ("unique", "unique_values"):
    pair(name, lambda x: np.unique(x), getattr(tg, name), THREES, gradient=False)
    pair(name, lambda x: np.unique(x), getattr(tg, name), normal(2, 3))
same("unique", normal(3, 2), axis=0)
for name, *asked in (("all", "index", "inverse", "counts"), ("inverse", "inverse"), ("counts", "counts")):
    ours, keywords = getattr(tg, f"unique_{name}"), {f"return_{which}": True for which in asked}
    for k in range(len(keywords) + 1):
        pair(f"unique_{name}[{k}]", lambda x, k=k, w=keywords: np.unique(x, **w)[k], lambda x, k=k, f=ours: f(x)[k],
             THREES, gradient=False)  # fmt: skip
for name in ("union1d", "setxor1d"):
    same(name, normal(3), normal(4))
pair("setdiff1d of data", lambda x: np.setdiff1d(x, THREES), lambda x: tg.setdiff1d(x, THREES), normal(3))
same("intersect1d", THREES, np.array([2.0, 3, 5]), gradient=False)
same("setxor1d", THREES, np.array([2.0, 5]), gradient=False)
same("setdiff1d", THREES, np.array([2.0, 5]), gradient=False)
pair("bincount", lambda w: np.bincount([3, 0, 3], w, 6), lambda w: tg.bincount([3, 0, 3], w, 6), normal(3))
same("trim_zeros", np.array([0.0, 0, 1, 0, 2, 0]), gradient=False)
same("trim_zeros", np.array([0.0, 0, 1, 0, 2, 0]), trim="b", gradient=False)
same("trim_zeros", np.zeros(3), trim="b", gradient=False)

group("windows")
windows = np.lib.stride_tricks.sliding_window_view
pair("one axis", lambda x: windows(x, 2, 1), lambda x: tg.sliding_window_view(x, 2, 1), normal(3, 4))
pair("all axes", lambda x: windows(x, (2, 3)), lambda x: tg.sliding_window_view(x, (2, 3)), normal(3, 4))
pair("an axis twice", lambda x: windows(x, (2, 2), (0, 0)), lambda x: tg.sliding_window_view(x, (2, 2), (0, 0)),
     normal(4))  # fmt: skip

pair("im2col", lambda x: windows(x[0, :, :, 0], (2, 2)).reshape(1, 2, 3, 4), lambda x: tg.im2col(x, 2),
     normal(1, 3, 4, 1))  # fmt: skip
pair("col2im", lambda x: np.array([[[x[0, 0, 0]], [x[0, 0, 1] + x[0, 1, 0]], [x[0, 1, 1]]]]),
     lambda x: tg.col2im(x, (1, 3, 1), 2), normal(1, 2, 2))  # fmt: skip

group("padding")
PAD_MODES = ["constant", "edge", "wrap", "reflect", "symmetric", "linear_ramp", "maximum", "minimum", "mean", "median"]
for width in (2, (1, 3), ((0, 2), (4, 0))):
    for mode in (
        "constant",
        "edge",
        "wrap",
        "reflect",
        "symmetric",
        "linear_ramp",
        "maximum",
        "minimum",
        "mean",
        "median",
    ):
        same("pad", normal(2, 3), pad_width=width, mode=mode)
    for mode in ("reflect", "symmetric"):
        same("pad", normal(2, 3), pad_width=width, mode=mode, reflect_type="odd")
for mode in ("maximum", "minimum", "mean", "median"):
    same("pad", normal(4), pad_width=2, mode=mode, stat_length=(1, 2))
same("pad", normal(2, 2), pad_width=1, constant_values=((1, 2), (3.0, 4)))
same("pad", normal(2), pad_width=3, mode="linear_ramp", end_values=(1.0, -1))
same("pad", np.arange(4), pad_width=2, mode="mean", stat_length=2, gradient=False)

group("functions")
for name in ("hypot", "fmax", "fmin", "copysign", "logaddexp2", "heaviside"):
    same(name, normal(3, 1), normal(4))
same("fmod", normal(3, 4), positive(4))
same("float_power", positive(3), normal(3))
for name, x in {
    "exp2": normal(5), "cbrt": normal(5), "asinh": normal(5), "acosh": 1 + positive(5), "atanh": np.tanh(normal(5)),
    "sinc": normal(9) * 3, "i0": normal(6) * 4, "deg2rad": normal(3), "rad2deg": normal(3), "rint": normal(4),
}.items():  # fmt: skip
    same(name, x)
same("sinc", np.array([0.0, 1, 2, 0.5, -1]), gradient=False)
same("i0", np.array([0.0, 80.0, -30.0]), gradient=False)
same("nan_to_num", np.array([1.0, np.nan, np.inf, -np.inf]), gradient=False)
same("ldexp", normal(4), np.array([1, -2, 0, 3]), gradient=False)
same("real_if_close", np.array([1 + 1e-17j, 2]), gradient=False)
same("real_if_close", np.array([1 + 1e-9j, 2]), gradient=False)
pair("frexp", lambda x: np.frexp(x)[0], lambda x: tg.frexp(x)[0], normal(5) * 9)
pair("nextafter", np.nextafter, tg.nextafter, normal(3), normal(2, 3), gradient=False)
for k in range(2):
    pair(
        f"divmod[{k}]",
        lambda x, y, k=k: np.divmod(x, y)[k],
        lambda x, y, k=k: tg.divmod(x, y)[k],
        normal(4),
        positive(4),
    )
    pair(f"modf[{k}]", lambda x, k=k: np.modf(x)[k], lambda x, k=k: tg.modf(x)[k], normal(4) * 3)

group("joining")
for name in ("hstack", "vstack", "dstack", "column_stack"):
    for shape in ((3,), (3, 2), (3, 2, 2)):
        if name != "column_stack" or len(shape) < 3:
            theirs, ours = getattr(np, name), getattr(tg, name)
            pair(
                f"{name} of {shape}", lambda *a, f=theirs: f(a), lambda *a, f=ours: f(a), normal(*shape), normal(*shape)
            )
pair("block", lambda a, b: np.block([[a, np.ones((2, 1))], [b, np.zeros((1, 1))]]),
     lambda a, b: tg.block([[a, np.ones((2, 1))], [b, np.zeros((1, 1))]]), normal(2, 2), normal(1, 2))  # fmt: skip
pair("block of vectors", lambda a, b: np.block([a, b, 3.0]), lambda a, b: tg.block([a, b, 3.0]), normal(2), normal(3))
same("append", normal(3), normal(2))
same("append", normal(3, 2), normal(1, 2), axis=0)
for at, values in (
    (1, 9.0), ([0, 2], np.array([5.0, 6.0])), (-1, 3.0), ([1, 1], np.array([7.0, 8.0])), (slice(0, 2), 1.0),
    ([1], np.array([4.0, 5.0])), (np.array([True, False, True]), np.array([1.0, 2.0])),
):  # fmt: skip
    if np.asarray(at).dtype.kind == "b" and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        continue  # a mask is taken for integers there, with a warning
    pair(
        f"insert at {at}",
        lambda x, i=at, v=values: np.insert(x, i, v),
        lambda x, i=at, v=values: tg.insert(x, i, v),
        normal(3),
    )
for axis in (0, 1):
    pair(f"insert along {axis}", lambda x, v, k=axis: np.insert(x, 1, v, axis=k),
         lambda x, v, k=axis: tg.insert(x, 1, v, axis=k), normal(3, 3), normal(3))  # fmt: skip
for at in (1, [0, 2], slice(0, 2), -1, np.array([True, False, True])):
    pair(f"delete {at}", lambda x, i=at: np.delete(x, i), lambda x, i=at: tg.delete(x, i), normal(3))
    pair(
        f"delete rows {at}",
        lambda x, i=at: np.delete(x, i, axis=0),
        lambda x, i=at: tg.delete(x, i, axis=0),
        normal(3, 2),
    )
same("resize", normal(3), new_shape=(2, 4))
same("compress", np.array([True, False, True]), normal(3, 2), axis=0, gradient=False)
same("extract", np.array([[True, False], [False, True]]), normal(2, 2), gradient=False)
for k in (-1, 0, 1, 2, 3):
    same("rot90", normal(2, 3), k=k)
    same("rot90", normal(2, 3, 2), k=k, axes=(2, 0))
same("fliplr", normal(2, 3))
same("flipud", normal(3))
for name, cuts in (("array_split", 3), ("hsplit", 2), ("vsplit", [1]), ("array_split", [1, 3])):
    theirs, ours = getattr(np, name), getattr(tg, name)
    pair(f"{name} {cuts}", lambda x, f=theirs, n=cuts: f(x, n)[1], lambda x, f=ours, n=cuts: f(x, n)[1], normal(4, 4))
for indexing in ("xy", "ij"):
    pair(f"meshgrid {indexing}", lambda *a, i=indexing: np.stack(np.meshgrid(*a, indexing=i)),
         lambda *a, i=indexing: tg.stack(tg.meshgrid(*a, indexing=i)), normal(2), normal(3), normal(2))  # fmt: skip
pair("broadcast_arrays", lambda a, b: np.broadcast_arrays(a, b)[0], lambda a, b: tg.broadcast_arrays(a, b)[0],
     normal(2, 1), normal(3))  # fmt: skip
for shape in ((), (3,), (2, 3), (2, 3, 2)):
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        same(name, normal(*shape))

group("choosing")
MASK = np.array([[True, False, True]])
pair("select", lambda a, b: np.select([MASK, ~MASK], [a, b], 7.0), lambda a, b: tg.select([MASK, ~MASK], [a, b], 7.0),
     normal(2, 3), normal(2, 3))  # fmt: skip
for index, mode in ((np.array([0, 1, 1]), "raise"), (np.array([0, 3, -1]), "wrap"), (np.array([0, 3, -1]), "clip")):
    pair(f"choose {mode}", lambda a, b, i=index, m=mode: np.choose(i, [a, b], mode=m),
         lambda a, b, i=index, m=mode: tg.choose(i, [a, b], mode=m), normal(3), normal(2, 3))  # fmt: skip
LOW, HIGH = np.array([True, False, False, False]), np.array([False, False, True, False])
pair("piecewise", lambda x: np.piecewise(x, [LOW, HIGH], [np.negative, np.square, 5.0]),
     lambda x: tg.piecewise(x, [LOW, HIGH], [tg.negative, tg.square, 5.0]), normal(4))  # fmt: skip
pair("apply_along_axis", lambda x: np.apply_along_axis(lambda v: np.array([v.sum(), v.max()]), 1, x),
     lambda x: tg.apply_along_axis(lambda v: tg.stack([v.sum(), v.max()]), 1, x), normal(3, 4))  # fmt: skip

group("products")
pair("matvec", lambda a, x: (a @ x[..., None])[..., 0], tg.matvec, normal(2, 1, 3, 2), normal(4, 2))
pair("vecmat", lambda x, a: (x[..., None, :] @ a)[..., 0, :], tg.vecmat, normal(4, 3), normal(2, 1, 3, 2))
pair("tensorinv", L.tensorinv, tg.tensorinv, normal(2, 2, 4))
pair("tensorinv 1", lambda x: L.tensorinv(x, 1), lambda x: tg.tensorinv(x, 1), normal(4, 2, 2))
pair("tensorsolve", L.tensorsolve, tg.tensorsolve, normal(2, 2, 4), normal(2, 2))
pair("tensorsolve along axes", lambda a, b: L.tensorsolve(a, b, (0, 2)), lambda a, b: tg.tensorsolve(a, b, (0, 2)),
     normal(2, 2, 2, 2), normal(2, 2))  # fmt: skip
for axis, ord in ((None, 0), (0, -1), ((0, 1), 3), (1, -np.inf), (1, 1.5)):
    pair(f"vector_norm {ord}", lambda x, k=axis, p=ord: L.vector_norm(x, axis=k, ord=p),
         lambda x, k=axis, p=ord: np.linalg.vector_norm(x, axis=k, ord=p), normal(3, 4), gradient=ord != 0)  # fmt: skip
pair("inner", np.inner, tg.inner, normal(2, 3), normal(4, 3))
pair("vdot", np.vdot, tg.vdot, normal(2, 3), normal(2, 3))
for a, b in (((2,), (3,)), ((2, 2), (3,)), ((2, 3), (3, 2)), ((), (2,))):
    pair(f"kron of {a} and {b}", np.kron, tg.kron, normal(*a), normal(*b))
pair("cross", np.cross, tg.cross, normal(4, 3), normal(3))
pair(
    "cross along 0",
    lambda a, b: np.cross(a, b, axis=0),
    lambda a, b: tg.cross(a, b, axis=0),
    normal(3, 2),
    normal(3, 2),
)
pair("multi_dot", lambda *a: L.multi_dot(a), lambda *a: tg.multi_dot(a), normal(3), normal(3, 4), normal(4))
for k in (-1, 0, 2):
    same("diag", normal(3), k=k)
    same("diag", normal(3, 4), k=k)
    same("diagflat", normal(2, 2), k=k)


def regular(n, *batch):
    a = normal(*batch, n, n)
    return a + 3 * np.eye(n) * np.sign(L.det(a))[..., None, None]


def symmetric(n, *batch):
    q = L.qr(normal(*batch, n, n))[0]
    w = np.arange(n) * 1.3 + rng.uniform(-0.2, 0.2, (*batch, n)) - 1
    return (q * w[..., None, :]) @ np.swapaxes(q, -1, -2)


def definite(n, *batch):
    a = regular(n, *batch)
    return a @ np.swapaxes(a, -1, -2)


group("eigenvalues")
for batch in ((), (2,)):
    spread = np.diag([1.0, 2.5, -1.5]) + normal(*batch, 3, 3) / 9
    turning = spread + np.array([[0, 2, 0], [-2, 0, 0], [0, 0, 3]])
    for k in range(2):
        pair(f"eig[{k}]", lambda x, k=k: L.eig(x)[k], lambda x, k=k: tg.eig(x)[k], spread)
        for part in ("real", "imag"):
            pair(f"{part} of eig[{k}]", lambda x, k=k, p=part: getattr(L.eig(x)[k], p),
                 lambda x, k=k, p=part: getattr(tg.eig(x)[k], p), turning)  # fmt: skip
    pair("eigvals", L.eigvals, tg.eigvals, spread)

group("decompositions")
for batch in ((), (2,)):
    for n in (1, 3):
        pair("cholesky", L.cholesky, tg.cholesky, definite(n, *batch))
        pair(
            "cholesky upper",
            lambda x: np.swapaxes(L.cholesky(x), -1, -2),
            lambda x: tg.cholesky(x, upper=True),
            definite(n, *batch),
        )
        pair("eigvalsh", L.eigvalsh, tg.eigvalsh, symmetric(n, *batch))
        pair("eigh", lambda x: L.eigh(x)[1], lambda x: tg.eigh(x).eigenvectors, symmetric(n, *batch))
        pair(
            "eigh U",
            lambda x: L.eigh(x, "U")[0],
            lambda x: tg.eigh(x, "U")[0],
            symmetric(n, *batch) + np.tril(normal(n, n), -1),
        )
        pair("slogdet", lambda x: L.slogdet(x)[1], lambda x: tg.slogdet(x)[1], regular(n, *batch))
        pair("sign of det", lambda x: L.slogdet(x)[0], lambda x: tg.slogdet(x)[0], regular(n, *batch), gradient=False)
        pair("det", L.det, tg.det, regular(n, *batch))
        for k in (-2, -1, 0, 1, 5):
            pair(
                f"matrix_power {k}",
                lambda x, k=k: L.matrix_power(x, k),
                lambda x, k=k: tg.matrix_power(x, k),
                regular(n, *batch) / 2,
            )
        for p in (None, "nuc") if batch else (None, 1, -1, 2, -2, "fro", "nuc", np.inf, -np.inf):
            pair(f"cond {p}", lambda x, p=p: L.cond(x, p), lambda x, p=p: tg.cond(x, p), regular(n, *batch))
    for m, n in ((1, 3), (3, 1), (2, 4), (4, 2), (3, 3)):
        x = normal(*batch, m, n)
        pair("svdvals", lambda x: L.svd(x, compute_uv=False), tg.svdvals, x)
        for k in range(3):
            pair(
                f"svd[{k}]",
                lambda x, k=k: L.svd(x, full_matrices=False)[k],
                lambda x, k=k: tg.svd(x, full_matrices=False)[k],
                x,
            )
        for k in range(2):
            pair(f"qr[{k}]", lambda x, k=k: L.qr(x)[k], lambda x, k=k: tg.qr(x)[k], x)
        pair("pinv", L.pinv, tg.pinv, x)
        for ord in () if batch else ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
            pair(
                f"matrix_norm {ord}",
                lambda x, o=ord: L.norm(x, o, axis=(-2, -1)),
                lambda x, o=ord: tg.matrix_norm(x, ord=o),
                x,
            )
for m, n in ((4, 2), (2, 4)):
    for b in ((m,), (m, 3)):
        for k in range(2):
            pair(
                f"lstsq[{k}]",
                lambda a, b, k=k: L.lstsq(a, b)[k],
                lambda a, b, k=k: tg.lstsq(a, b)[k],
                normal(m, n),
                normal(*b),
                gradient=k == 0 or m > n,
            )

# ------------------------------------------------------------------------------------------------------------------
# What has no derivative, or nothing but a plain one

group("creation")
for name, args in {
    "zeros": ((2, 3),), "ones": ((2, 3),), "full": ((2,), 7.0), "eye": (3, 4), "linspace": (0, 1, 7),
    "arange": (1.0, 7.0, 2.0), "asarray": ([1.0, 2.0],),
}.items():  # fmt: skip
    pair(
        name,
        lambda name=name, args=args: getattr(np, name)(*args),
        lambda name=name, args=args: getattr(tg, name)(*args),
        gradient=False,
    )
pair("empty", lambda: np.empty((0, 2)), lambda: tg.empty((0, 2)), gradient=False)
pair("empty_like", lambda x: x, tg.empty_like, np.zeros((0, 2)), gradient=False)
pair("from_dlpack", lambda x: x, lambda x: tg.from_dlpack(x), normal(3), gradient=False)
for name in ("fftfreq", "rfftfreq"):
    pair(
        name, lambda name=name: getattr(np.fft, name)(7, 0.5), lambda name=name: getattr(tg.fft, name)(7, 0.5),
        gradient=False,
    )  # fmt: skip
for name, keywords in {"zeros_like": {}, "ones_like": {}, "full_like": {"fill_value": 3.0}}.items():
    same(name, normal(2, 3), gradient=False, **keywords)

group("decisions")
for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    same(name, SIGNS := np.array([-1.0, 0, 1, 2, -2]), np.array([1.0, 0, -1, 2, -2]), gradient=False)
for name in ("logical_and", "logical_or", "logical_xor"):
    same(name, np.array([0.0, 0, 1, 2]), np.array([0.0, 1, 0, 3]), gradient=False)
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    same(name, np.array([0, 1, 6, -1]), np.array([3, 1, 5, 8]), gradient=False)
for name in ("logical_not", "isnan", "isinf", "isfinite", "sign"):
    same(name, np.array([-2.0, 0, np.inf, np.nan, 3]), gradient=False)
pair("bitwise_invert", np.invert, tg.bitwise_invert, np.array([0, 1, -7]), gradient=False)
for axis in (None, 0, 1):
    for name in ("argmax", "argmin", "count_nonzero"):
        same(name, np.round(normal(4, 3)), axis=axis, gradient=False)
same("argpartition", normal(7), kth=3, gradient=False)
same("searchsorted", np.sort(normal(5)), normal(4), side="right", gradient=False)
pair("matrix_rank", L.matrix_rank, tg.matrix_rank, np.outer(normal(3), normal(4)), gradient=False)

for name, theirs in {"bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift}.items():
    pair(name, theirs, getattr(tg, name), np.array([1, 5, 12]), np.array([2, 0, 1]), gradient=False)
same("signbit", SIGNS, gradient=False)
same("isin", SIGNS, np.array([0.0, 2.0]), gradient=False)
pair("nonzero", lambda x: np.nonzero(x)[0], lambda x: tg.nonzero(x)[0], SIGNS, gradient=False)
TWICE = np.array([3.0, 1, 3, 2, 1])
pair("unique_values", np.unique, tg.unique_values, TWICE, gradient=False)
for which, name in enumerate(("values", "indices", "inverse_indices", "counts")):
    pair(
        f"unique_all {name}",
        lambda x, which=which: np.unique(x, return_index=True, return_inverse=True, return_counts=True)[which],
        lambda x, which=which: tg.unique_all(x)[which], TWICE, gradient=False,
    )  # fmt: skip
pair("unique_counts", lambda x: np.unique(x, return_counts=True)[1], lambda x: tg.unique_counts(x).counts, TWICE,
     gradient=False)  # fmt: skip
pair("unique_inverse", lambda x: np.unique(x, return_inverse=True)[1], lambda x: tg.unique_inverse(x).inverse_indices,
     TWICE, gradient=False)  # fmt: skip

group("parts")
same("positive", normal(3))
same("imag", normal(3), gradient=False)
same("partition", normal(3, 7), kth=2, axis=1, gradient=False)
same("transpose", normal(2, 3, 4), axes=(1, 2, 0))
pair("unstack", lambda x: np.moveaxis(x, 1, 0)[2], lambda x: tg.unstack(x, axis=1)[2], normal(2, 3))
pair("dsplit", lambda x: np.dsplit(x, 2)[1], lambda x: tg.dsplit(x, 2)[1], normal(2, 1, 4))
pair("norm", lambda x: L.norm(x, axis=1), lambda x: tg.norm(x, axis=1), normal(2, 3))
for name in ("fftshift", "ifftshift"):
    pair(name, getattr(np.fft, name), getattr(tg.fft, name), normal(5))
for name in ("fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft", "rfft2", "rfftn", "irfft", "irfft2", "irfftn",
             "hfft", "ihfft"):  # fmt: skip
    pair(name, getattr(np.fft, name), getattr(tg.fft, name), normal(4, 6), gradient=False)  # see test_complex

group("of our own")
pair("add_at", lambda x: np.array([x[0], x[1] + 2 * x[2], x[2]]), lambda x: tg.add_at(x, [1, 1], x[2]), normal(3))
pair("one_hot", lambda x: np.eye(3, dtype=np.float32)[x], lambda x: tg.one_hot(x, 3), np.array([0, 2, 1, 1]),
     gradient=False)  # fmt: skip
pair("stop_gradient", np.array, tg.stop_gradient, normal(3), gradient=False)
pair("embedding", lambda t: t[np.array([[2, 0], [1, 1]])], lambda t: tg.embedding([[2, 0], [1, 1]], t), normal(3, 2))
pair("dropout", np.array, lambda x: tg.dropout(x, 0.0, np.random.default_rng(0)), normal(3, 4))


def looped(name, ours, *arrays, gradient=True, **geometry):
    """One of ours, and the loops of `reference` that say what it does."""
    theirs = getattr(reference, name)
    pair(
        f"{ours.__name__}({name})", lambda *a: theirs(*a, **geometry).astype(a[0].dtype), ours, *arrays,
        gradient=gradient,
    )  # fmt: skip


for rank, letter in ((1, "1d"), (2, "2d"), (3, "3d")):
    x, w, one = (
        normal(2, *(3, 4, 5)[:rank], 2),
        normal(*(2,) * rank, 2, 3),
        {"stride": (1,) * rank, "dilation": (1,) * rank},
    )
    flat = ((0, 0),) * rank
    looped("conv", getattr(tg, f"conv{letter}"), x, w, pads=flat, **one)
    looped("conv_transpose", getattr(tg, f"conv{letter}_transpose"), x, np.moveaxis(w, -1, -2).copy(), crop=flat,
           output_padding=(0,) * rank, **one)  # fmt: skip
    two = {"kernel": (2,) * rank, "stride": (2,) * rank, "dilation": (1,) * rank, "pads": flat}
    for name, more in (("max_pool", {}), ("avg_pool", {"count_include_pad": False})):
        theirs = getattr(reference, name)

        def pooled(x, theirs=theirs, more=more, two=two, largest=name == "max_pool"):
            y = theirs(x, **two, **more)
            return (y[0] if largest else y).astype(x.dtype)

        for ours in (name, f"{name}{letter}"):
            pair(ours, pooled, getattr(tg, ours), x)
looped("depthwise_conv2d", tg.depthwise_conv2d, normal(1, 3, 4, 2), normal(2, 2, 2, 2), pads=flat[:2], stride=(1, 1),
       dilation=(1, 1))  # fmt: skip
looped("locally_connected2d", lambda x, w: tg.locally_connected2d(x, w, kernel_size=2), normal(1, 3, 4, 2),
       normal(2, 3, 8, 2), kernel=(2, 2), pads=flat[:2], stride=(1, 1), dilation=(1, 1))  # fmt: skip
pair(
    "separable_conv2d", lambda x, d, p: (
        reference.depthwise_conv2d(x, d, (1, 1), flat[:2], (1, 1)) @ p[0, 0].astype(float)
    ).astype(x.dtype),
    tg.separable_conv2d, normal(1, 3, 4, 2), normal(2, 2, 2, 2), normal(1, 1, 4, 3),
)  # fmt: skip
pair("global_max_pool", lambda x: x.max((1, 2)), tg.global_max_pool, normal(2, 3, 4, 2))
pair("global_avg_pool", lambda x: x.mean((1, 2)), tg.global_avg_pool, normal(2, 3, 4, 2))


def standard(x, axes, epsilon=1e-3):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + x.dtype.type(epsilon))


pair("standardize", lambda x: standard(x, 0), lambda x: tg.standardize(x, axis=0), normal(5, 3))
pair("batch_norm", lambda x, a, b: standard(x, 0) * a + b, lambda x, a, b: tg.batch_norm(x, a, b)[0], normal(5, 3),
     normal(3), normal(3))  # fmt: skip
pair("layer_norm", lambda x, a, b: standard(x, -1) * a + b, tg.layer_norm, normal(2, 5), normal(5), normal(5))
pair("group_norm", lambda x: standard(x.reshape(2, 3, 2, 2), (1, 3)).reshape(x.shape),
     lambda x: tg.group_norm(x, groups=2), normal(2, 3, 4))  # fmt: skip
pair("instance_norm", lambda x: standard(x, (1, 2)), tg.instance_norm, normal(2, 3, 4, 2))

LABELS, CHANCES = np.array([0, 2, 1, 2]), rng.dirichlet(np.ones(3), 4)
pair("mse", lambda x, t: np.mean((x - t) ** 2), tg.mse, normal(4, 3), normal(4, 3))
pair("mae", lambda x, t: np.mean(np.abs(x - t)), tg.mae, normal(4, 3), normal(4, 3))
pair("huber", lambda x, t: np.mean(np.where(abs(x - t) <= 1, (x - t) ** 2 / 2, abs(x - t) - 0.5).astype(x.dtype)),
     tg.huber, normal(4, 3) * 2, normal(4, 3))  # fmt: skip
pair("hinge", lambda x: np.mean(np.maximum(0, 1 - x)), lambda x: tg.hinge(x, np.ones((4, 3), x.dtype)), normal(4, 3))
pair("kl_divergence", lambda p: np.mean(np.sum(CHANCES * np.log(CHANCES / p), -1)).astype(p.dtype),
     lambda p: tg.kl_divergence(p, CHANCES.astype(p.dtype)), rng.dirichlet(np.ones(3), 4))  # fmt: skip
pair("binary_cross_entropy", lambda x: np.mean(np.log1p(np.exp(-x))),
     lambda x: tg.binary_cross_entropy(x, np.ones((4, 3), x.dtype)), normal(4, 3))  # fmt: skip
pair("softmax_cross_entropy", lambda x: -np.mean((x - np.log(np.exp(x).sum(1, keepdims=True)))[np.arange(4), LABELS]),
     lambda x: tg.softmax_cross_entropy(x, LABELS), normal(4, 3))  # fmt: skip

# name -> ours and theirs, of an array (2, 3, 4)
COMPOSITES = {
    "mean": (lambda x: tg.mean(x, axis=1), lambda x: np.mean(x, axis=1)),
    "prod": (lambda x: tg.prod(x, axis=(0, 2), keepdims=True), lambda x: np.prod(x, axis=(0, 2), keepdims=True)),
    "var": (lambda x: tg.var(x, axis=-1, ddof=1), lambda x: np.var(x, axis=-1, ddof=1)),
    "std": (lambda x: tg.std(x, axis=0), lambda x: np.std(x, axis=0)),
    "moveaxis": (lambda x: tg.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.moveaxis(x, (0, 1), (-1, 0))),
    "expand_dims": (lambda x: tg.expand_dims(x, (0, -1)), lambda x: np.expand_dims(x, (0, -1))),
    "squeeze": (lambda x: tg.squeeze(x[:1], 0), lambda x: np.squeeze(x[:1], 0)),
    "stack": (lambda x: tg.stack([x, 2 * x], axis=-2), lambda x: np.stack([x, 2 * x], axis=-2)),
    "split": (lambda x: tg.split(x, [1, 2], axis=1)[1], lambda x: np.split(x, [1, 2], axis=1)[1]),
    "tile": (lambda x: tg.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
    "repeat": (lambda x: tg.repeat(x, [2, 0, 1], axis=1), lambda x: np.repeat(x, [2, 0, 1], axis=1)),
    "pad_constant": (lambda x: tg.pad(x, 1, constant_values=7), lambda x: np.pad(x, 1, constant_values=7)),
    "pad_reflect": (lambda x: tg.pad(x, ((0, 1), (1, 2), (0, 0)), mode="reflect"),
                    lambda x: np.pad(x, ((0, 1), (1, 2), (0, 0)), mode="reflect")),
    "pad_edge": (lambda x: tg.pad(x, 2, mode="edge"), lambda x: np.pad(x, 2, mode="edge")),
    "take": (lambda x: tg.take(x, [[0, 2], [1, 1]], axis=1), lambda x: np.take(x, [[0, 2], [1, 1]], axis=1)),
    "take_along_axis": (lambda x: tg.take_along_axis(x, np.array([[[0, 3]], [[1, 1]]]), axis=2),
                        lambda x: np.take_along_axis(x, np.array([[[0, 3]], [[1, 1]]]), axis=2)),
    "tensordot": (lambda x: tg.tensordot(x, x, axes=([0, 2], [0, 2])),
                  lambda x: np.tensordot(x, x, axes=([0, 2], [0, 2]))),
    "einsum_trace": (lambda x: tg.einsum("iji->j", x[:, :, :2]), lambda x: np.einsum("iji->j", x[:, :, :2])),
    "einsum_ellipsis": (lambda x: tg.einsum("...i,...i->...", x, x), lambda x: np.einsum("...i,...i->...", x, x)),
    "einsum_three": (lambda x: tg.einsum("aij,bij,cik->jk", x, x, x), lambda x: np.einsum("aij,bij,cik->jk", x, x, x)),
    "outer": (lambda x: tg.outer(x[0, 0], x[1, 1]), lambda x: np.outer(x[0, 0], x[1, 1])),
    "vecdot": (lambda x: tg.vecdot(x, x[0], axis=-1), lambda x: np.sum(x * x[0], axis=-1)),
    "trace": (lambda x: tg.trace(x), lambda x: np.trace(x)),
    "diagonal": (lambda x: tg.diagonal(x, 1, 0, 2), lambda x: np.diagonal(x, 1, 0, 2)),
    "norm": (lambda x: tg.linalg_norm(x, axis=1), lambda x: np.linalg.norm(x, axis=1)),
    "norm_1": (lambda x: tg.linalg_norm(x, 1, axis=1), lambda x: np.linalg.norm(x, 1, axis=1)),
    "norm_inf": (lambda x: tg.linalg_norm(x, np.inf, axis=1), lambda x: np.linalg.norm(x, np.inf, axis=1)),
    "norm_3": (lambda x: tg.linalg_norm(x, 3, axis=1), lambda x: np.linalg.norm(x, 3, axis=1)),
    "solve_vector": (lambda x: tg.solve(x[0, :3, :3] + 5 * np.eye(3), x[1, :, 0]),
                     lambda x: np.linalg.solve(x[0, :3, :3] + 5 * np.eye(3), x[1, :, 0])),
    "matmul_vector": (lambda x: x @ x[0, 0], lambda x: x @ x[0, 0]),
    "vector_matmul": (lambda x: x[0, :, 0] @ x, lambda x: x[0, :, 0] @ x),
    "dot": (lambda x: tg.dot(x, x[0].T), lambda x: np.dot(x, x[0].T)),
    "swapaxes": (lambda x: x.swapaxes(0, 2), lambda x: x.swapaxes(0, 2)),
    "cumsum_flat": (lambda x: x.cumsum(), lambda x: x.cumsum()),
    "flatten": (lambda x: tg.flatten(x, 1), lambda x: x.reshape(2, 12)),
    "clip": (lambda x: tg.clip(x, -1.0, 2.0), lambda x: np.clip(x, -1.0, 2.0)),
}  # fmt: skip
