"""What each primitive computes, a second time: as plain as can be, and by other means where there are any.

`value_of` finds the reference of a primitive. Elementwise ones (`SCALAR`) are functions of Python's numbers, others
(`WHOLE`) of arrays; `reference` has the loops of convolution and pooling. A primitive has to have an entry here.
"""

import math

import numpy as np
import reference

SCALAR = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "negative": lambda a: -a, "reciprocal": lambda a: 1 / a, "pow": math.pow,
    "floor_divide": lambda a, b: math.floor(a / b), "remainder": lambda a, b: a - b * math.floor(a / b),
    "square": lambda a: a * a, "sqrt": math.sqrt, "exp": math.exp, "expm1": math.expm1, "log": math.log,
    "log1p": math.log1p, "log2": math.log2, "log10": math.log10,
    "logaddexp": lambda a, b: math.log(math.exp(a) + math.exp(b)), "erf": math.erf, "abs": abs,
    "_sign": lambda a: (a > 0) - (a < 0), "floor": math.floor, "ceil": math.ceil, "round": round, "trunc": math.trunc,
    "maximum": max, "minimum": min, "where": lambda c, a, b: a if c else b, "sin": math.sin, "cos": math.cos,
    "tan": math.tan, "asin": math.asin, "acos": math.acos, "atan": math.atan, "atan2": math.atan2, "sinh": math.sinh,
    "cosh": math.cosh, "tanh": math.tanh, "relu": lambda a: max(a, 0),
    "_clip": lambda a, min, max: float(np.clip(a, min, max)) if (min, max) != (None, None) else a,
    "_clip_to": lambda a, low, high: min(max(a, low), high),
    "leaky_relu": lambda a, negative_slope: a if a > 0 else negative_slope * a,
    "elu": lambda a, alpha: a if a > 0 else alpha * math.expm1(a),
    "selu": lambda a: 1.0507009873554805 * (a if a > 0 else 1.6732632423543772 * (math.exp(a) - 1)),
    "gelu": lambda a, approximate: a * 0.5 * (
        1 + (math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3)) if approximate else math.erf(a / math.sqrt(2)))
    ),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "_normal_cdf": lambda a: 0.5 * (1 + math.erf(a / math.sqrt(2))),
    "silu": lambda a: a / (1 + math.exp(-a)), "softplus": lambda a: math.log(1 + math.exp(a)),
    "softsign": lambda a: a / (1 + abs(a)), "mish": lambda a: a * math.tanh(math.log(1 + math.exp(a))),
    "hard_sigmoid": lambda a: min(1, max(0, a / 6 + 0.5)),
    "exp2": lambda a: 2.0**a, "deg2rad": math.radians, "rad2deg": math.degrees,
    "cbrt": lambda a: math.copysign(abs(a) ** (1 / 3), a),
    "logaddexp2": lambda a, b: math.log2(2.0**a + 2.0**b), "hypot": math.hypot, "asinh": math.asinh,
    "acosh": math.acosh, "atanh": math.atanh, "fmax": max, "fmin": min, "fmod": math.fmod, "copysign": math.copysign,
    "nextafter": math.nextafter, "rint": round, "angle": lambda a: math.atan2(0.0, a),
    "_sinc": lambda a, n=0: math.sin(math.pi * a) / (math.pi * a) if a else 1.0,
    "_bessel_i": lambda a, n=0: sum((a / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(40)),
}  # fmt: skip


def _by_loops(name, *leading):
    """A function of `reference` for the window of a sample; `leading` are the window's attributes that it takes too."""

    def f(*arrays, window, **more):
        geometry = {"stride": window.stride, "pads": window.pads, "dilation": window.dilation}
        return getattr(reference, name)(*arrays, *(getattr(window, key) for key in leading), **geometry, **more)

    return f


def _grouped(name, *leading):
    f = _by_loops(name, *leading)
    return lambda *arrays, window: f(*arrays, window=window, groups=window.groups)


def _cells(channels, window):
    """A kernel that lays the cells of a window side by side: (*kernel, C, cells * C)."""
    size = math.prod(window.kernel) * channels
    return np.eye(size).reshape(*window.kernel, channels, size)


def _patches(x, window):
    return _by_loops("conv")(x, _cells(x.shape[-1], window), window=window)


def _patches_transpose(y, window):
    kernel = _cells(y.shape[-1] // math.prod(window.kernel), window)
    return _by_loops("conv_input_grad", "in_sizes")(y, kernel, window=window)


def _gather(x, argmax, window):
    cells = _patches(x, window).reshape(*argmax.shape[:-1], math.prod(window.kernel), x.shape[-1])
    return np.take_along_axis(cells, argmax[..., None, :].astype(int), -2)[..., 0, :]


def _scatter(y, argmax, window):
    cells = np.arange(math.prod(window.kernel))[:, None] == argmax[..., None, :]
    return _patches_transpose((cells * y[..., None, :]).reshape(*y.shape[:-1], -1), window)


def _spread(y, window, count_include_pad=False):
    inside = _patches(np.ones((len(y), *window.in_sizes, y.shape[-1])), window)
    count = inside.reshape(*y.shape[:-1], -1, y.shape[-1]).sum(-2)
    share = y / (math.prod(window.kernel) if count_include_pad else count)
    return _patches_transpose(np.concatenate([share] * math.prod(window.kernel), -1), window)


def _placed(x, value, index, add=False):
    """x with `value` at an index, an element at a time."""
    places = np.arange(x.size).reshape(x.shape)[index]
    out = np.array(x).ravel()
    for place, v in zip(np.ravel(places), np.ravel(np.broadcast_to(value, places.shape)), strict=True):
        out[place] = out[place] + v if add else v
    return out.reshape(x.shape)


def _summed(x, shape):
    out = np.zeros(shape)
    for place in np.ndindex(x.shape):
        last = place[x.ndim - len(shape) :]
        out[tuple(0 if n == 1 else k for n, k in zip(shape, last, strict=True))] += x[place]
    return out


def _qr(x, m):
    q, r = np.linalg.qr(x)
    return np.concatenate([q.mT, r], -1)


def _svd(x, m):
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u.mT, s[..., None], vh], -1)


def _eigh(x, UPLO):
    w, v = np.linalg.eigh(x, UPLO)
    return np.concatenate([v, w[..., None]], -1)


def _eig(x):
    w, v = np.linalg.eig(x)
    return np.concatenate([v, w[..., None]], -1)


WHOLE = {
    "sum": np.sum, "max": np.max, "min": np.min, "permute_dims": np.transpose, "flip": np.flip,
    "reshape": lambda x, shape: np.reshape(x, shape),
    "roll": np.roll, "tril": np.tril, "triu": np.triu, "cumsum": np.cumsum, "broadcast_to": np.broadcast_to,
    "inv": np.linalg.inv, "det": np.linalg.det, "_solve": np.linalg.solve, "_matmul": np.matmul,
    "_cast": lambda x, dtype: x.astype(dtype), "identity": np.array, "copy": np.array,
    "_concat": lambda *xs, axis: np.concatenate(xs, axis), "_pad": lambda x, pairs: np.pad(x, pairs) if pairs else x,
    "_getitem": lambda x, index: x[index],
    "_contract": lambda a, b, terms: np.einsum(f"{terms[0]},{terms[1]}->{terms[2]}", a, b),
    "logsumexp": lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    "softmax": lambda x, axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True),
    "log_softmax": lambda x, axis: x - np.log(np.exp(x).sum(axis, keepdims=True)),
    "_standardize": lambda x, axes, epsilon: (x - x.mean(axes, keepdims=True))
    / np.sqrt(x.var(axes, keepdims=True) + epsilon),
    "_real": np.real, "_imag": np.imag, "_conj": np.conj, "ldexp": np.ldexp,
    "_fft": lambda x, axis, norm, inverse: (np.fft.ifft if inverse else np.fft.fft)(x, axis=axis, norm=norm),
    "_rfft": lambda x, axis, norm: np.fft.rfft(x, axis=axis, norm=norm),
    "_irfft": lambda x, n, axis, norm: np.fft.irfft(x, n, axis=axis, norm=norm),
    "cofactors": lambda x: np.linalg.det(x)[..., None, None] * np.linalg.inv(x).mT,
    "_log_det": lambda x: np.linalg.slogdet(x)[1], "_pinv": np.linalg.pinv, "_cholesky": np.linalg.cholesky,
    "_qr": _qr, "_svd": _svd, "_eigh": _eigh, "_eig": _eig,
    "sum_over_ranks": lambda x, examples: x,
    "sum_to": _summed, "_set_at": _placed, "_add_at": lambda x, value, index: _placed(x, value, index, add=True),
    "scatter": lambda x, index, shape: _placed(np.zeros(shape), x, index, add=True),
    "pick": lambda x, labels: np.take_along_axis(x, labels[..., None], -1)[..., 0],
    "place": lambda x, labels, classes: x[..., None] * (labels[..., None] == np.arange(classes)),
    "cross_entropy": lambda x, labels: -np.log(
        np.take_along_axis(np.exp(x) / np.exp(x).sum(-1, keepdims=True), labels[..., None], -1)[..., 0]
    ),
    "conv": _grouped("conv"), "conv_transpose": _grouped("conv_input_grad", "in_sizes"),
    "conv_kernel_gradient": _grouped("conv_kernel_grad", "kernel"),
    "patches": _patches, "patches_transpose": _patches_transpose, "pool_gather": _gather, "pool_scatter": _scatter,
    "pool_max": lambda x, window: _by_loops("max_pool", "kernel")(x, window=window)[0],
    "pool_maxima": lambda x, window: _by_loops("max_pool", "kernel")(x, window=window)[0],
    "pool_mean": lambda x, window, count_include_pad=False: _by_loops("avg_pool", "kernel")(
        x, window=window, count_include_pad=count_include_pad
    ), "pool_mean_transpose": _spread,
}  # fmt: skip


def value_of(name, *args, **params):
    """What the primitive of a name gives for arrays, by its reference."""
    if name not in SCALAR:
        return WHOLE[name](*args, **params)
    out = np.empty(np.broadcast_shapes(*[a.shape for a in args]))
    for index, *values in zip(np.ndindex(out.shape), *[a.flat for a in np.broadcast_arrays(*args)], strict=True):
        out[index] = SCALAR[name](*map(float, values), **params)
    return out
