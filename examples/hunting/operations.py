"""Samples for operations of ours, and what they are called in other libraries.

A call is text, with the arguments a, b, ... and the keywords of the sample in braces; so it can be run, and be printed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import tinygrad_conv as tg
from tinygrad_conv.testing import from_autograd, from_jax, from_mygrad, from_torch
from tinygrad_conv.testing.samples import draw_sample

# ----------------------------------------------------------------------------------------------------------------------
# Samples


def declared(name):
    """The samples with which a primitive of ours is checked."""
    return lambda draw: draw_sample(tg.primitives()[name], draw)


def matrix(**keywords):
    """A matrix, and keywords that are drawn."""

    def sample(draw):
        shape = draw.shape(min_ndim=2, max_ndim=2, min_side=1)
        return (draw.array(shape),), {name: value(draw) for name, value in keywords.items()}

    return sample


def einsum(draw):
    sizes = {c: draw.integer(1, 3) for c in "ijk"}
    terms = ["".join(draw.choice("ijk") for _ in range(draw.integer(1, 3))) for _ in range(draw.integer(1, 2))]
    out = "".join(c for c in "ijk" if c in "".join(terms) and draw.boolean())
    return tuple(draw.array([sizes[c] for c in term]) for term in terms), {"terms": f"{','.join(terms)}->{out}"}


def window(config, *, pads):
    """Keywords of a convolution or pooling, with padding as a pair for each axis."""
    names = ("stride", "dilation", *(["groups"] if "groups" in config else ["pool_size"]))
    padding = config["padding"] if not isinstance(config["padding"], str) else pads
    return {**{name: config["kernel" if name == "pool_size" else name] for name in names}, "padding": padding}


def conv2d(draw):
    c = draw.conv_config(2)
    x, w = (c["n"], *c["sizes"], c["channels"]), (*c["kernel"], c["channels"] // c["groups"], c["filters"])
    pads = tuple((k * d // 2,) * 2 for k, d in zip(c["kernel"], c["dilation"], strict=True))  # where it is "same"
    return (draw.array(x), draw.array(w)), window(c, pads=pads)


def pool2d(draw):
    c = draw.pool_config(2)
    return (draw.array((c["n"], *c["sizes"], c["channels"])),), window(c, pads=((0, 0), (0, 0)))


def getitem(draw):
    """An array and an index that can be printed."""
    args, keywords = draw.index_sample()
    index = keywords["index"]
    index = tuple(map(plain, index)) if isinstance(index, tuple) else plain(index)
    return args, {"index": index}


def plain(index):
    return index.tolist() if isinstance(index, np.ndarray) else index


def offset(draw):
    return draw.integer(-2, 2)


PRIMITIVES = """
    abs acos acosh asin asinh atan atanh ceil cos cosh erf exp exp2 expm1 floor log log10 log1p log2 negative reciprocal
    sin sinh sqrt square tan tanh trunc sigmoid silu softplus softsign relu selu hard_sigmoid mish cbrt elu leaky_relu
    gelu add subtract multiply divide pow maximum minimum hypot logaddexp logaddexp2 atan2 copysign fmod fmax fmin where
    softmax log_softmax sum max min logsumexp cumsum reshape permute_dims broadcast_to flip roll tril triu
"""

SAMPLES = {
    **{name: declared(name) for name in PRIMITIVES.split()},
    **{name: lambda draw: draw.reduction_sample(nonempty=True) for name in ("mean", "prod", "var", "std")},
    **{name: lambda draw: draw.axis_sample() for name in ("cumprod", "sort")},
    "clip": lambda draw: ((draw.array(draw.shape()),), {"min": -1.0, "max": 1.5}),
    "tile": lambda draw: ((draw.array(draw.shape(min_side=1)),), {"reps": tuple(draw.shape(min_ndim=1, max_side=2))}),
    "repeat": lambda draw: ((draw.array(draw.shape(min_ndim=1)),), {"repeats": draw.integer(0, 3), "axis": 0}),
    "concat": lambda draw: draw.concat_sample(), "pad": lambda draw: draw.pad_sample(), "einsum": einsum,
    "getitem": getitem, "diagonal": matrix(offset=offset), "trace": matrix(offset=offset),
    "matmul": lambda draw: draw.matmul_sample(), "kron": lambda draw: (matrix()(draw)[0] + matrix()(draw)[0], {}),
    "norm": matrix(), "inv": lambda draw: draw.square_sample(), "det": lambda draw: draw.square_sample(),
    "solve": lambda draw: draw.solve_sample(), "conv2d": conv2d, "max_pool2d": pool2d, "avg_pool2d": pool2d,
}  # fmt: skip

OURS = {name: getattr(tg, name, None) or getattr(tg.linalg, name, None) for name in SAMPLES} | {
    "concat": lambda *xs, axis: tg.concat(xs, axis), "pad": lambda x, pairs: tg.pad(x, pairs),
    "einsum": lambda *xs, terms: tg.einsum(terms, *xs), "getitem": lambda x, index: tg.asarray(x)[index],
}  # fmt: skip

# ----------------------------------------------------------------------------------------------------------------------
# Libraries


@dataclass(frozen=True)
class Library:
    """How a library is called.

    The first ones are what a program consists of that shows a mistake: the imports, an array of nested lists; of a
    function f, the gradient by argument k, named x, and the derivative along e in forward mode ("" if there is none).
    """

    adapter: Callable
    imports: str
    array: str
    reverse: str
    forward: str
    calls: dict[str, str]

    def names(self):
        """What a call can use."""
        names = {}
        exec(self.imports, names)
        return names


def alike(where, names):
    """Calls of functions that have our name, or ours:theirs."""
    pairs = [name.split(":") for name in names.split()]
    return {pair[0]: f"{where}.{pair[-1]}({{args}})" for pair in pairs}


NUMPY = (
    "abs cos cosh exp exp2 expm1 log log10 log1p log2 negative reciprocal sin sinh sqrt square tan tanh add subtract "
    "multiply divide maximum minimum logaddexp logaddexp2 fmax fmin where matmul"
)
ARCS = "acos:arccos acosh:arccosh asin:arcsin asinh:arcsinh atan:arctan atanh:arctanh atan2:arctan2"
REDUCTIONS = ("sum", "max", "min", "mean", "prod", "var", "std")
KEYWORDS = {
    **{name: f"{name}(a, axis={{axis}}, keepdims={{keepdims}})" for name in REDUCTIONS},
    "cumsum": "cumsum(a, {axis})", "cumprod": "cumprod(a, {axis})", "sort": "sort(a, {axis})",
    "reshape": "reshape(a, {shape})", "permute_dims": "transpose(a, {axes})", "roll": "roll(a, {shift}, {axis})",
    "broadcast_to": "broadcast_to(a, {shape})", "flip": "flip(a, {axis})", "tril": "tril(a, {k})",
    "triu": "triu(a, {k})", "clip": "clip(a, {min}, {max})", "tile": "tile(a, {reps})",
    "repeat": "repeat(a, {repeats}, {axis})", "concat": "concatenate([{args}], {axis})",
    "pad": "pad(a, {pairs}, 'constant')",
    "einsum": "einsum('{terms}', {args})", "diagonal": "diagonal(a, {offset})", "trace": "trace(a, {offset})",
    "kron": "kron({args})", "norm": "linalg.norm(a)", "inv": "linalg.inv(a)", "det": "linalg.det(a)",
    "solve": "linalg.solve({args})",
}  # fmt: skip


def numpy_like(module):
    """Calls of a library that has NumPy's names."""
    return {
        **alike(module, f"{NUMPY} {ARCS}"), **{name: f"{module}.{call}" for name, call in KEYWORDS.items()},
        "pow": f"{module}.power({{args}})", "getitem": "a[{index}]",
    }  # fmt: skip


LIBRARIES = {
    "torch": Library(
        from_torch, "import torch, torch.nn.functional as F",
        "torch.tensor({}, dtype=torch.float64)", "torch.func.grad({f}, {k})({given})",
        "torch.func.jvp(lambda {x}: {f}({given}), ({x},), (e,))[1]",
        {
            **alike("torch", f"{NUMPY} acos acosh asin asinh atan atanh atan2 ceil floor trunc erf pow hypot copysign "
                    "fmod kron sigmoid"),
            **alike("F", "silu softplus softsign relu selu mish hard_sigmoid:hardsigmoid"),
            "elu": "F.elu(a, {alpha})", "leaky_relu": "F.leaky_relu(a, {negative_slope})",
            "gelu": "F.gelu(a, approximate=['none', 'tanh'][{approximate}])",
            "softmax": "torch.softmax(a, {axis})", "log_softmax": "torch.log_softmax(a, {axis})",
            **{name: f"torch.{their}(a, dim={{axis}}, keepdim={{keepdims}})" for name, their in {
                "sum": "sum", "mean": "mean", "max": "amax", "min": "amin", "prod": "prod", "logsumexp": "logsumexp",
            }.items()},
            **{name: f"torch.{name}(a, dim={{axis}}, keepdim={{keepdims}}, correction=0)" for name in ("var", "std")},
            "cumsum": "torch.cumsum(a, {axis})", "cumprod": "torch.cumprod(a, {axis})",
            "sort": "torch.sort(a, {axis})[0]", "reshape": "a.reshape({shape})", "permute_dims": "a.permute({axes})",
            "broadcast_to": "a.broadcast_to({shape})", "flip": "torch.flip(a, [{axis}])",
            "roll": "torch.roll(a, {shift}, {axis})", "tril": "torch.tril(a, {k})", "triu": "torch.triu(a, {k})",
            "clip": "torch.clamp(a, {min}, {max})", "tile": "torch.tile(a, {reps})",
            "repeat": "torch.repeat_interleave(a, {repeats}, {axis})", "concat": "torch.cat([{args}], {axis})",
            "einsum": "torch.einsum('{terms}', {args})", "getitem": "a[{index}]",
            "diagonal": "torch.diagonal(a, {offset})", "trace": "torch.diagonal(a, {offset}).sum()",
            "norm": "torch.linalg.norm(a)", "inv": "torch.linalg.inv(a)", "det": "torch.linalg.det(a)",
            "solve": "torch.linalg.solve({args})",
            "conv2d": "F.conv2d(F.pad(a.permute(0, 3, 1, 2), {padding[1]} + {padding[0]}), b.permute(3, 2, 0, 1), "
                      "None, {stride}, 0, {dilation}, {groups}).permute(0, 2, 3, 1)",
            "max_pool2d": "F.max_pool2d(a.permute(0, 3, 1, 2), {pool_size}, {stride}, ({padding[0][0]}, "
                          "{padding[1][0]}), {dilation}).permute(0, 2, 3, 1)",
            "avg_pool2d": "F.avg_pool2d(a.permute(0, 3, 1, 2), {pool_size}, {stride}, ({padding[0][0]}, "
                          "{padding[1][0]}), count_include_pad=False).permute(0, 2, 3, 1)",
        },
    ),
    "jax": Library(
        from_jax, "import jax, jax.numpy as jnp; jax.config.update('jax_enable_x64', True)", "jnp.array({})",
        "jax.grad({f}, {k})({given})", "jax.jvp(lambda {x}: {f}({given}), ({x},), (e,))[1]",
        {
            **numpy_like("jnp"), **alike("jnp", "cbrt ceil floor trunc hypot copysign fmod"),
            **alike("jax.nn", "sigmoid silu relu selu mish softsign:soft_sign softplus hard_sigmoid"),
            "erf": "jax.scipy.special.erf(a)", "elu": "jax.nn.elu(a, {alpha})",
            "leaky_relu": "jax.nn.leaky_relu(a, {negative_slope})", "gelu": "jax.nn.gelu(a, approximate={approximate})",
            "softmax": "jax.nn.softmax(a, {axis})", "log_softmax": "jax.nn.log_softmax(a, {axis})",
            "logsumexp": "jax.nn.logsumexp(a, {axis}, keepdims={keepdims})",
            "conv2d": "jax.lax.conv_general_dilated(a, b, {stride}, {padding}, rhs_dilation={dilation}, "
                      "dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count={groups})",
            "max_pool2d": "jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, *{pool_size}, 1), (1, *{stride}, 1), "
                          "((0, 0), *{padding}, (0, 0)), window_dilation=(1, *{dilation}, 1))",
        },
    ),
    "autograd": Library(
        from_autograd,
        "import autograd.numpy as np; from autograd import grad, make_jvp; from autograd.scipy import special",
        "np.array({})", "grad({f}, {k})({given})", "make_jvp({f}, {k})({given})(e)[1]",
        {
            **numpy_like("np"), **alike("np", "ceil floor hypot"),
            **alike("special", "erf sigmoid:expit"),
            "logsumexp": "special.logsumexp(a, {axis}, keepdims={keepdims})",
        },
    ),
    "mygrad": Library(
        from_mygrad, "import mygrad as mg, numpy as np; from mygrad import nnet", "mg.tensor({})",
        "({f}({given}).backward(), {x}.grad)[1]", "",
        {
            **numpy_like("mg"), **alike("mg", "cbrt"),
            **alike("nnet", "relu sigmoid selu softsign:soft_sign"), "elu": "nnet.elu(a, {alpha})",
            "leaky_relu": "nnet.leaky_relu(a, {negative_slope})", "softmax": "nnet.softmax(a, {axis})",
            "log_softmax": "nnet.logsoftmax(a, {axis})",
            "conv2d": "mg.transpose(nnet.conv_nd(mg.transpose(a, (0, 3, 1, 2)), mg.transpose(b, (3, 2, 0, 1)), "
                      "stride={stride}, padding=({padding[0][0]}, {padding[1][0]}), dilation={dilation}), "
                      "(0, 2, 3, 1))",
            "max_pool2d": "mg.transpose(nnet.max_pool(mg.transpose(a, (0, 3, 1, 2)), {pool_size}, {stride}), "
                          "(0, 2, 3, 1))",
        },
    ),
}  # fmt: skip
