"""Drawn calls of NumPy's functions: for each, a function that draws arguments as somebody may give them.

Shapes have 0 to 4 axes, some of size 0 or 1; arrays are of every kind that the function takes, in several memory
layouts, with values apart from each other and away from poles. `CALLS` has the functions by their path in ``numpy``.
"""

import numpy as np
from numpy.testing.overrides import get_overridable_numpy_array_functions

FLOATS, REAL = ("f8", "f8", "f8", "f4"), ("f8", "f8", "f8", "f4", "i8", "b1")
ANY = (*REAL, "c16", "c16", "c8")
CALLS = {}
# Does NumPy ask tensors for polynomials of several variables? Not before 2.1.
POLYNOMIALS = np.polynomial.polynomial.polyval2d in get_overridable_numpy_array_functions()


class Drawn:
    """Draws from one seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def chance(self, share=0.5):
        return self.rng.random() < share

    def of(self, *options):
        return options[self.integer(0, len(options) - 1)]

    def shape(self, least=0, most=4, empty=0.05):
        return tuple(0 if self.chance(empty) else self.integer(1, 4) for _ in range(self.integer(least, most)))

    def values(self, shape, low=-3.0, high=3.0):
        n = int(np.prod(shape))
        steps = np.arange(1, n + 1) + self.rng.uniform(-0.3, 0.3, n)
        return self.rng.permutation(low + (high - low) * steps / (n + 1)).reshape(shape)

    def array(self, shape=None, low=-3.0, high=3.0, kinds=FLOATS):
        shape = self.shape() if shape is None else shape
        kind, x = self.of(*kinds), self.values(shape, low, high)
        if kind.startswith("c"):
            x = x + 1j * self.values(shape, low, high)
        x = np.ceil(x) if kind == "i8" else x > (low + high) / 2 if kind == "b1" else x
        x = np.asarray(x).astype(kind)
        return self.of(x, np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1]) if x.ndim else x

    def axis(self, ndim, none=True, several=True):
        if not ndim or (none and self.chance(0.3)):
            return None
        if several and self.chance(0.3):
            return tuple(int(k) - ndim * self.chance() for k in self.rng.permutation(ndim)[: self.integer(1, ndim)])
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim, n=2):
        return tuple(int(k) for k in self.rng.permutation(ndim)[:n])

    def broadcastable(self, n=2):
        shape = self.shape()
        return [tuple(1 if self.chance(0.3) else k for k in shape)[self.integer(0, len(shape)) :] for _ in range(n)]

    def keywords(self, **options):
        """Some of these, made by what stands for them."""
        return {name: make() for name, make in options.items() if self.chance(0.4)}

    def spread(self, m, n, *batch):
        """Matrices whose singular values are apart from each other and from 0."""
        u, _, v = np.linalg.svd(self.rng.standard_normal((*batch, m, n)), full_matrices=False)
        s = 1 + 0.6 * np.arange(min(m, n))[::-1] + self.rng.uniform(-0.1, 0.1, (*batch, min(m, n)))
        return (u * s[..., None, :]) @ v

    def square(self, least=1):
        n = self.integer(least, 3)
        return self.spread(n, n, *self.shape(0, 1))

    def symmetric(self):
        n, batch = self.integer(1, 3), self.shape(0, 1)
        q = np.linalg.qr(self.rng.standard_normal((*batch, n, n)))[0]
        return (q * (1.3 * np.arange(n) - 1 + self.rng.uniform(-0.2, 0.2, (*batch, 1, n)))) @ q.mT


def call(names):
    """Declares how calls of these functions are drawn."""

    def declare(draw):
        CALLS.update(dict.fromkeys(names.split(), draw))
        return draw

    return declare


def elementwise(names, *domains, kinds=REAL):
    def draw(d):
        shapes = d.broadcastable(len(domains)) if len(domains) > 1 else [d.shape()]
        given = [d.array(shape, *domain, kinds) for shape, domain in zip(shapes, domains, strict=True)]
        if len(given) > 1 and d.chance(0.2):
            given[0] = float(d.values((), *domains[0]))
        return given, d.keywords(dtype=lambda: "f8") if kinds is FLOATS else {}

    call(names)(draw)


ALL = (-3.0, 3.0)
elementwise("sin cos sinh cosh tanh arctan arcsinh exp expm1 square absolute conjugate", ALL, kinds=ANY)
elementwise("sign positive", ALL, kinds=("f8", "f4", "i8", "c16"))
elementwise("exp2 cbrt rint floor ceil trunc fabs deg2rad degrees radians rad2deg", ALL, kinds=FLOATS)
elementwise("negative frexp modf fix around i0 sinc nan_to_num real_if_close", ALL, kinds=("f8", "f4"))
elementwise("real imag angle", ALL, kinds=ANY)
elementwise("tan", (-1.2, 1.2))
elementwise("log log2 log10 sqrt reciprocal", (0.3, 3.0), kinds=("f8", "f4", "c16"))
elementwise("arcsin arccos arctanh lib.scimath.arccos lib.scimath.arctanh", (-0.9, 0.9), kinds=("f8", "f4", "c16"))
elementwise("log1p", (-0.8, 3.0))
elementwise("arccosh", (1.2, 4.0))
elementwise("add subtract multiply", ALL, ALL, kinds=ANY)
elementwise("divide", ALL, (0.4, 3.0), kinds=FLOATS)
elementwise("maximum minimum fmax fmin hypot arctan2 logaddexp logaddexp2 copysign heaviside nextafter", ALL, ALL)
elementwise("floor_divide remainder fmod divmod", ALL, (0.6, 2.5), kinds=FLOATS)
elementwise("power", (0.3, 3.0), ALL, kinds=FLOATS)
elementwise("float_power lib.scimath.power", (0.3, 3.0), ALL, kinds=("f8", "f4"))
elementwise("lib.scimath.arcsin", (-3.0, -1.2), kinds=("f8", "f4", "c16"))
elementwise("lib.scimath.logn", (1.2, 3.0), ALL, kinds=("f8", "f4", "i8", "c16"))
elementwise("lib.scimath.sqrt lib.scimath.log lib.scimath.log2 lib.scimath.log10", ALL, kinds=("f8", "f4", "i8", "c16"))


@call("sum prod")
def _(d):
    x = d.array(kinds=ANY)
    mask = lambda: d.rng.random(x.shape) < 0.7  # noqa: E731
    return [x], {"axis": d.axis(x.ndim), **d.keywords(keepdims=d.chance, where=mask, initial=lambda: 2.5)}


@call("mean var std nanmean nanvar nanstd nansum nanprod")
def _(d):
    x = d.array(d.shape(empty=0), kinds=ANY[:4])
    return [x], {"axis": d.axis(x.ndim), **d.keywords(keepdims=d.chance, dtype=lambda: "f8")}


@call("max min amax amin nanmax nanmin ptp median nanmedian")
def _(d):
    x = d.array(d.shape(empty=0), kinds=REAL[:4])
    return [x], {"axis": d.axis(x.ndim), **d.keywords(keepdims=d.chance)}


@call("quantile nanquantile percentile nanpercentile")
def _(d):
    x = d.array(d.shape(empty=0), kinds=("f8", "f4"))
    method = d.of("linear", "lower", "nearest", "midpoint", "hazen", "weibull", "inverted_cdf", "median_unbiased")
    return [x, d.of(0.3, d.rng.random(3), 1)], {"axis": d.axis(x.ndim), "method": method}


@call("cumsum cumprod nancumsum nancumprod sort")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x], {"axis": d.axis(x.ndim, several=False)}


@call("cumulative_sum cumulative_prod")
def _(d):
    x = d.array(d.shape(1), kinds=FLOATS)
    return [x], {"axis": d.axis(x.ndim, False, False), **d.keywords(include_initial=d.chance)}


@call("average")
def _(d):
    x = d.array(d.shape(empty=0), kinds=ANY)
    axis = d.axis(x.ndim)
    names = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    sizes = x.shape if axis is None or d.chance() else tuple(x.shape[k] for k in names)
    return [x], {"axis": axis, **d.keywords(weights=lambda: d.array(sizes, 0.3, 2), returned=d.chance)}


@call("diff")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x], d.keywords(n=lambda: d.integer(0, 3), axis=lambda: d.axis(x.ndim, False, False), append=lambda: 1.5)


@call("ediff1d")
def _(d):
    return [d.array()], d.keywords(to_end=lambda: d.array((2,)), to_begin=lambda: 2.5)


@call("gradient")
def _(d):
    x = d.array(tuple(d.integer(3, 5) for _ in range(d.integer(1, 3))))
    steps = [d.of(0.3, np.cumsum(d.values((n,), 0.3, 2))) for n in x.shape]
    return d.of([x], [x, 0.7], [x, *steps]), d.keywords(edge_order=lambda: d.of(1, 2))


@call("trapezoid")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    axis = d.axis(x.ndim, False, False)
    return [x], {"axis": axis, **d.keywords(x=lambda: d.array(d.of(x.shape, (x.shape[axis],))))}


@call("interp")
def _(d):
    n = d.integer(1, 5)
    return [d.array(), np.sort(d.values((n,))), d.array((n,), kinds=("f8", "c16"))], d.keywords(left=lambda: 5.5)


@call("unwrap")
def _(d):
    x = d.array(d.shape(1, empty=0), -9, 9)
    return [x], d.keywords(axis=lambda: d.axis(x.ndim, False, False), period=lambda: 3.0)


@call("convolve correlate")
def _(d):
    x, w = (d.array((d.integer(1, 5),), kinds=ANY) for _ in range(2))
    return [x, w], d.keywords(mode=lambda: d.of("full", "same", "valid"))


@call("polyadd polysub polymul")
def _(d):
    return [d.array((d.integer(1, 5),), kinds=ANY[:4]) for _ in range(2)], {}


@call("polyval")
def _(d):
    return [d.array((d.integer(0, 4),), kinds=ANY), d.array(kinds=ANY)], {}


@call("polyder polyint")
def _(d):
    return [d.array((d.integer(1, 5),))], d.keywords(m=lambda: d.integer(0, 3))


@call("poly roots")
def _(d):
    return [np.cumsum(d.values((d.integer(1, 4),), 0.6, 1.5)) * d.of(1, -1)], {}


@call("polydiv")
def _(d):
    return [d.array((d.integer(1, 5),), 0.5, 2, ("f8",)), d.array((d.integer(1, 4),), 0.5, 2, ("f8",))], {}


@call("polynomial.polynomial.polyval2d polynomial.polynomial.polygrid2d" if POLYNOMIALS else "")
def _(d):
    shape = d.shape(0, 2)
    return [d.array(shape), d.array(shape), d.array((d.integer(1, 3), d.integer(1, 3)))], {}


@call("vander")
def _(d):
    return [d.array((d.integer(0, 4),), 0.3, 2, ANY)], d.keywords(N=lambda: d.integer(0, 4), increasing=d.chance)


@call("polyfit")
def _(d):
    points = d.array(d.of((6,), (6, 2)), kinds=("f8",))
    return [np.sort(d.values((6,))), points, d.integer(0, 3)], d.keywords(w=lambda: d.values((6,), 0.5, 2))


@call("linspace geomspace logspace")
def _(d):
    low, high = (d.array(shape, 0.3, 3, ("f8", "f4")) for shape in d.broadcastable())
    return [low, high], {"num": d.integer(0, 5), **d.keywords(endpoint=d.chance)}


@call("unique unique_all unique_counts unique_inverse unique_values")
def _(d):
    return [d.array(kinds=("f8", "f4"))], {}


@call("union1d setdiff1d setxor1d intersect1d")
def _(d):
    return np.split(d.values((7,)), [d.integer(0, 7)]), {}


@call("clip")
def _(d):
    shapes = d.broadcastable(3)
    return [d.array(shapes[0]), d.of(None, d.array(shapes[1], -2, -0.2)), d.of(1.0, d.array(shapes[2], 0.2, 2))], {}


@call("where")
def _(d):
    shapes = d.broadcastable(3)
    return [d.rng.random(shapes[0]) < 0.5, d.array(shapes[1], kinds=ANY), d.of(2.5, d.array(shapes[2], kinds=ANY))], {}


@call("diag diagflat")
def _(d):
    return [d.array(d.shape(1, 2), kinds=ANY)], d.keywords(k=lambda: d.integer(-2, 2))


@call("diagonal trace")
def _(d):
    x = d.array(d.shape(2), kinds=ANY)
    named = dict(zip(("axis1", "axis2"), d.axes(x.ndim), strict=True)) if d.chance() else {}
    return [x], {**named, **d.keywords(offset=lambda: d.integer(-2, 2))}


@call("tril triu matrix_transpose linalg.matrix_transpose linalg.diagonal linalg.trace fliplr flipud")
def _(d):
    return [d.array(d.shape(2), kinds=ANY)], {}


@call("rot90")
def _(d):
    x = d.array(d.shape(2), kinds=ANY)
    return [x], d.keywords(k=lambda: d.integer(-2, 4), axes=lambda: d.axes(x.ndim))


@call("flip fft.fftshift fft.ifftshift")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x, d.axis(x.ndim)], {}


@call("roll")
def _(d):
    x = d.array(kinds=ANY)
    return [x, d.integer(-3, 3)], {"axis": d.axis(x.ndim)}


@call("hstack vstack dstack stack")
def _(d):
    shape = d.shape(0, 3)
    return [[d.array(shape, kinds=ANY) for _ in range(d.integer(1, 3))]], {}


@call("concatenate")
def _(d):
    shape = list(d.shape(1))
    axis = d.integer(-len(shape), len(shape) - 1)
    parts = [d.array((*shape[: axis % len(shape)], d.integer(0, 3), *shape[axis % len(shape) + 1 :])) for _ in range(2)]
    return [parts], {"axis": axis}


CALLS["append"] = lambda d: (lambda given, named: ([*given[0]], named))(*CALLS["concatenate"](d))


@call("array_split")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x, d.of(d.integer(1, 3), [1, 3])], {"axis": d.axis(x.ndim, False, False)}


@call("select")
def _(d):
    shapes = d.broadcastable(4)
    return [
        [d.rng.random(s) < 0.5 for s in shapes[:2]],
        [d.array(shapes[2], kinds=ANY), d.of(1.5, d.array(shapes[3]))],
    ], {}


@call("choose")
def _(d):
    shapes, mode = d.broadcastable(3), d.of("wrap", "clip")
    return [d.rng.integers(-4, 5, shapes[0]), [d.array(s) for s in shapes[1:]]], {"mode": mode}


@call("column_stack")
def _(d):
    n = d.integer(0, 3)
    return [[d.array(d.of((n,), (n, 1), (n, 2)), kinds=ANY) for _ in range(d.integer(1, 3))]], {}


@call("block")
def _(d):
    n, (a, b) = d.integer(1, 3), (d.integer(0, 3) for _ in range(2))
    return [[[d.array((n, a), kinds=ANY), d.array((n, b))], [d.array((1, a + b)), d.array((1, 0))]]], {}


@call("split")
def _(d):
    x, k = d.array((2, 3, 4), kinds=ANY), d.integer(0, 2)
    return [x, d.of(k + 2, [1, 3], [-1])], {"axis": d.of(k, k - 3)}


@call("hsplit vsplit dsplit")
def _(d):
    return [d.array((2, 4, 2), kinds=ANY), d.of(2, [1])], {}


@call("unstack")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x], d.keywords(axis=lambda: d.axis(x.ndim, False, False))


@call("compress")
def _(d):
    x = d.array(d.shape(1, empty=0), kinds=ANY)
    axis = d.axis(x.ndim, several=False)
    n = x.size if axis is None else x.shape[axis]
    return [d.rng.random(d.integer(0, n)) < 0.5, x], {"axis": axis}


@call("extract")
def _(d):
    x = d.array(kinds=ANY)
    return [d.rng.random(x.shape) < 0.5, x], {}


@call("piecewise")
def _(d):
    x = d.array(kinds=("f8", "f4"))
    return [x, d.of([x < 0], [x < 0, x > 1]), [2.5, np.sin, 0][: d.integer(2, 3)][-2:]], {}


@call("partition")
def _(d):
    x = d.array(d.shape(1, empty=0), kinds=("f8", "f4", "i8"))
    axis = d.axis(x.ndim, several=False)
    n = x.size if axis is None else x.shape[axis]
    return [x, d.integer(-n, n - 1)], {"axis": axis}


@call("delete")
def _(d):
    x = d.array(d.shape(1, 3, 0))
    axis = d.axis(x.ndim, several=False)
    n = x.size if axis is None else x.shape[axis]
    return [x, d.of(d.integer(-n, n - 1), [0, n - 1], slice(0, 2))], {"axis": axis}


CALLS["insert"] = lambda d: (lambda given, named: ([*given, 1.5], named))(*CALLS["delete"](d))


@call("resize")
def _(d):
    return [d.array(kinds=ANY), d.shape()], {}


@call("meshgrid")
def _(d):
    return [d.array((d.integer(1, 4),)) for _ in range(d.integer(1, 3))], d.keywords(
        indexing=lambda: "ij", sparse=d.chance, copy=d.chance
    )


@call("broadcast_arrays")
def _(d):
    return [d.array(s, kinds=ANY) for s in d.broadcastable(3)], {}


@call("expand_dims")
def _(d):
    x = d.array(kinds=ANY)
    return [x, d.of(0, -1, (0, -1), (1, 0), x.ndim)], {}


@call("broadcast_to")
def _(d):
    x = d.array(kinds=ANY)
    return [x, (*d.shape(0, 2), *(d.integer(0, 3) if n == 1 else n for n in x.shape))], {}


@call("astype")
def _(d):
    return [d.array(kinds=FLOATS), d.of("f8", "f4", "c16")], {}


@call("full_like")
def _(d):
    x = d.array(kinds=FLOATS)
    return [x, d.of(d.array(()), d.array(x.shape[-1:]), 2.5)], d.keywords(dtype=lambda: "f8")


@call("apply_over_axes")
def _(d):
    x = d.array(d.shape(1, empty=0))
    return [d.of(np.sum, np.max), x, d.axis(x.ndim, False)], {}


@call("ix_")
def _(d):
    return [d.array((d.integer(1, 4),), kinds=FLOATS) for _ in range(d.integer(1, 3))], {}


@call("round")
def _(d):
    return [d.array(kinds=FLOATS)], d.keywords(decimals=lambda: d.of(0, 1, 2))


@call("ldexp")
def _(d):
    shape, other = d.broadcastable()
    return [d.array(shape), d.rng.integers(-2, 3, other)], {}


@call("sort_complex")
def _(d):
    return [d.array((*d.shape(0, 2), d.integer(0, 4)), kinds=("f8", "c16"))], {}


@call("atleast_1d atleast_2d atleast_3d ravel copy transpose squeeze")
def _(d):
    return [d.array(kinds=ANY)], {}


@call("reshape")
def _(d):
    x = d.array(kinds=ANY)
    return [x, x.shape[::-1]], d.keywords(order=lambda: d.of("C", "F"))


@call("moveaxis swapaxes rollaxis")
def _(d):
    x = d.array(d.shape(1), kinds=ANY)
    return [x, d.axis(x.ndim, False, False), d.axis(x.ndim, False, False)], {}


@call("tile")
def _(d):
    return [d.array(d.shape(0, 3), kinds=ANY), d.of(2, (2,), (1, 2), 0)], {}


@call("repeat")
def _(d):
    x = d.array(kinds=ANY)
    return [x, d.of(0, 2)], {"axis": d.axis(x.ndim, several=False)}


@call("pad")
def _(d):
    mode = d.of("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "median")
    more = {"constant": "constant_values", "linear_ramp": "end_values", "mean": "stat_length"}
    return [d.array(d.shape(1, 3, 0)), d.of(1, (1, 2))], {"mode": mode, **({more[mode]: 2} if mode in more else {})}


@call("take")
def _(d):
    x = d.array(d.shape(empty=0), kinds=ANY)
    axis = d.axis(x.ndim, several=False)
    return [x, d.rng.integers(-9, 9, d.shape(0, 2))], {"axis": axis, "mode": d.of("wrap", "clip")}


@call("take_along_axis")
def _(d):
    x = d.array(d.shape(1, empty=0), kinds=ANY)
    axis = d.axis(x.ndim, False, False)
    return [x, np.argsort(d.values(x.shape), axis)], {"axis": axis}


@call("dot inner")
def _(d):
    n = d.integer(0, 3)
    return [d.array(s, kinds=ANY) for s in d.of(((n,), (n,)), ((), (2, n)), ((2, n), (n,)), ((n, n), (n, n)))], {}


@call("vdot")
def _(d):
    shape = d.shape()
    return [d.array(shape, kinds=ANY), d.array(shape[::-1], kinds=ANY)], {}


@call("outer")
def _(d):
    return [d.array(kinds=ANY), d.array(kinds=ANY)], {}


@call("linalg.outer")
def _(d):
    return [d.array((d.integer(0, 4),), kinds=ANY) for _ in range(2)], {}


@call("matmul linalg.matmul")
def _(d):
    n, (a, b) = d.integer(0, 3), d.broadcastable()
    return [d.array(s, kinds=ANY) for s in d.of(((n,), (*b, n, 2)), ((*a, 3, n), (n,)), ((*a, 3, n), (*b, n, 2)))], {}


@call("vecdot linalg.vecdot")
def _(d):
    n, (a, b) = d.integer(1, 3), d.broadcastable()
    return [d.array((*a, n), kinds=ANY), d.array((*b, n), kinds=ANY)], {}


CALLS["matvec"] = lambda d: ([d.array((*d.shape(0, 2), 3, 2), kinds=ANY), d.array((2,), kinds=ANY)], {})
CALLS["vecmat"] = lambda d: ([d.array((*d.shape(0, 2), 3), kinds=ANY), d.array((3, 2), kinds=ANY)], {})


@call("kron")
def _(d):
    return [d.array(d.shape(0, 3), kinds=ANY) for _ in range(2)], {}


@call("cross linalg.cross")
def _(d):
    return [d.array((*shape, 3), kinds=("f8", "f4", "i8", "c16")) for shape in d.broadcastable()], {}


@call("tensordot linalg.tensordot")
def _(d):
    a, b = d.shape(2, 3), d.shape(1, 2)
    return [d.array(a, kinds=ANY), d.array((*a[-2:], *b), kinds=ANY)], {}


@call("einsum")
def _(d):
    n, m = d.integer(1, 3), d.integer(1, 3)
    x, y = d.array((n, m), kinds=ANY), d.array((m, n), kinds=ANY)
    return d.of(["ij,jk->ik", x, y], ["ij,ji", x, y], ["...j,jk", x, y], [x, [0, 1], y, [1, 2], [2, 0]]), {}


@call("linalg.det linalg.inv linalg.slogdet linalg.eigvals linalg.cond linalg.pinv")
def _(d):
    return [d.square()], {}


@call("linalg.svd")
def _(d):
    return [d.spread(d.integer(1, 3), d.integer(1, 3), *d.shape(0, 1))], {"full_matrices": False}


@call("linalg.multi_dot")
def _(d):
    sizes = [d.integer(1, 3) for _ in range(4)]
    arrays = [d.array(sizes[k : k + 2], kinds=ANY) for k in range(d.integer(2, 3))]
    return [[d.of(arrays[0], arrays[0][0]), *arrays[1:]]], {}


@call("linalg.tensorinv")
def _(d):
    return [d.spread(6, 6).reshape(2, 3, 3, 2)], {"ind": 2}


@call("linalg.tensorsolve")
def _(d):
    return [d.spread(6, 6).reshape(2, 3, 3, 2), d.array((2, 3), kinds=("f8",))], {}


@call("linalg.matrix_power")
def _(d):
    return [d.square(), d.integer(-2, 3)], {}


@call("linalg.cholesky")
def _(d):
    x = d.square()
    return [x @ x.mT], d.keywords(upper=d.chance)


@call("linalg.eigvalsh linalg.eigh")
def _(d):
    return [d.symmetric()], d.keywords(UPLO=lambda: d.of("L", "U"))


@call("linalg.svdvals linalg.qr linalg.matrix_norm")
def _(d):
    return [d.spread(d.integer(1, 3), d.integer(1, 3), *d.shape(0, 1))], {}


@call("linalg.solve linalg.lstsq")
def _(d):
    n = d.integer(1, 3)
    return [d.spread(n, n), d.array(d.of((n,), (n, 2)), kinds=("f8",))], {}


@call("linalg.norm linalg.vector_norm")
def _(d):
    x = d.array(d.shape(1, empty=0), kinds=ANY)
    return [x], {
        "axis": d.axis(x.ndim, False, False),
        "ord": d.of(1, 2, 3, np.inf, -np.inf, 0, -1),
        "keepdims": d.chance(),
    }


@call("cov corrcoef")
def _(d):
    return [d.array((d.integer(1, 3), d.integer(3, 5)), kinds=ANY[:4])], d.keywords(rowvar=lambda: True)


@call("fft.fft fft.ifft fft.rfft fft.ihfft")
def _(d):
    x = d.array(d.shape(1, 3, 0), kinds=FLOATS)
    return [x], d.keywords(n=lambda: d.integer(1, 6), axis=lambda: d.axis(x.ndim, False, False), norm=lambda: "ortho")


@call("fft.irfft fft.hfft")
def _(d):
    return [d.array((*d.shape(0, 2, 0), d.integer(2, 4)), kinds=("c16", "f8"))], d.keywords(n=lambda: d.integer(2, 6))


@call("fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft2 fft.rfftn fft.irfft2 fft.irfftn")
def _(d):
    x = d.array((d.integer(2, 4), d.integer(2, 4)), kinds=("f8",))
    return [x], {"axes": (-2, -1), **d.keywords(s=lambda: (3, 4), norm=lambda: "forward")}


@call("apply_along_axis")
def _(d):
    x = d.array(d.shape(1, 3, 0))
    return [d.of(np.sum, np.sort), d.axis(x.ndim, False, False), x], {}


@call("bincount")
def _(d):
    n = d.integer(1, 6)
    return [d.rng.integers(0, 4, n)], {"weights": d.array((n,))}


@call("lib.stride_tricks.sliding_window_view")
def _(d):
    x = d.array(d.shape(1, 3, 0))
    return [x, d.integer(1, x.shape[-1])], {"axis": -1}
